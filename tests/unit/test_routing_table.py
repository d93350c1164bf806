"""The routing table: which routes a message may take, in which order, and what it says about it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.domain.address import country_of
from trunkline.domain.carrier import CarrierState, Route, sender_type_of
from trunkline.domain.routing import Ask, RoutingTable

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG_CODE = "+14155550100"
SAN_FRANCISCO = "+14155552671"
ALL_UP = dict.fromkeys("abcdef", CarrierState.ENABLED)


def route(
    carrier: str,
    conditions: Mapping[str, str] | None = None,
    *,
    number: int = 0,
    order: int = 100,
    weight: int = 1,
) -> Route:
    """Return a route; its SID follows from the carrier unless a number is given."""
    texts = defaultdict(str, conditions or {})
    return Route(
        sid=f"RX{number or ord(carrier):032x}",
        account_sid="AC0",
        carrier=carrier,
        prefix=texts["prefix"],
        country=texts["country"],
        sender=texts["sender"],
        sender_type=texts["sender_type"],
        channel=texts["channel"],
        for_account=texts["for_account"],
        order=order,
        weight=weight,
        created_at=NOON,
        updated_at=NOON,
    )


def ask(
    recipient: str = SAN_FRANCISCO,
    sender: str = LONG_CODE,
    *,
    account_sid: str = "AC1",
    channel: str = "",
) -> Ask:
    """Return a message that needs a route."""
    return Ask(account_sid=account_sid, sender=sender, recipient=recipient, channel=channel)


def table(*routes: Route, states: Mapping[str, CarrierState] = ALL_UP) -> RoutingTable:
    """Return a table of routes whose carriers are up."""
    return RoutingTable(routes, states)


def carriers(routes: Sequence[Route]) -> str:
    """Return the names of carriers as one text."""
    return "".join(each.carrier for each in routes)


def test_an_empty_table_knows_no_way() -> None:
    """Nothing is chosen, nothing explained."""
    assert table().choose(ask()) is None
    assert table().candidates(ask()) == []
    assert table().explain(ask()) == []


def test_a_route_without_conditions_takes_every_text() -> None:
    """Numbers anywhere, short codes, from whomever."""
    open_to_all = table(route("a"))
    for recipient in (SAN_FRANCISCO, "+4917012345678", "+8613012345678", "12345"):
        for sender in (LONG_CODE, "MYSHOP", "12345", ""):
            assert open_to_all.choose(ask(recipient, sender))


TO_BERLIN, TO_LONDON = "+4930123456", "+442079460000"
HOLDS = [
    ({"prefix": "+1415"}, ask(), ask("+14165550100")),
    ({"prefix": "+1"}, ask(), ask(TO_BERLIN)),
    ({"prefix": "+1"}, ask(), ask("12345")),
    ({"prefix": "+1415555267100"}, ask("+1415555267100"), ask()),
    ({"prefix": "+1", "channel": "whatsapp"}, ask(f"whatsapp:{SAN_FRANCISCO}"), ask()),
    ({"country": "DE"}, ask(TO_BERLIN), ask(TO_LONDON)),
    ({"country": "CA"}, ask("+14165550100"), ask()),
    ({"country": "US"}, ask(), ask("12345")),
    ({"country": "GB", "prefix": "+4420"}, ask(TO_LONDON), ask("+441612345678")),
    ({"sender": "MYSHOP"}, ask(sender="MYSHOP"), ask(sender="MYSHOP2")),
    ({"sender": "MYSHOP*"}, ask(sender="MYSHOP2"), ask(sender="MYSHO")),
    ({"sender": "+1415*"}, ask(), ask(sender="+14165550100")),
    ({"sender_type": "toll_free"}, ask(sender="+18005550100"), ask()),
    ({"sender_type": "long_code"}, ask(), ask(sender="12345")),
    ({"sender_type": "short_code"}, ask(sender="12345"), ask()),
    ({"sender_type": "alphanumeric"}, ask(sender="MYSHOP"), ask()),
    ({"channel": "mms"}, ask(channel="mms"), ask()),
    ({"channel": "sms"}, ask(), ask(channel="mms")),
    ({"channel": "whatsapp"}, ask(f"whatsapp:{SAN_FRANCISCO}"), ask("rcs:agent")),
    ({"channel": "messenger"}, ask("messenger:1234567"), ask("1234567")),
    ({"for_account": "AC1"}, ask(), ask(account_sid="AC2")),
    ({}, ask(channel="mms"), ask(f"whatsapp:{SAN_FRANCISCO}")),
    ({"prefix": "+1"}, ask(), ask(f"whatsapp:{SAN_FRANCISCO}")),
]


@pytest.mark.parametrize(("conditions", "taken", "left"), HOLDS, ids=[str(h[0]) for h in HOLDS])
def test_a_condition_holds_or_not(conditions: dict[str, str], taken: Ask, left: Ask) -> None:
    """A route takes what it is for and nothing else, and says so."""
    one = table(route("a", conditions))
    assert one.choose(taken)
    assert one.choose(left) is None
    assert [c.is_match for c in one.explain(taken) + one.explain(left)] == [True, False]


ORDERS = [
    # The order comes before everything else.
    (ask(), [("a", 5, {}), ("b", 10, {"prefix": "+1415", "for_account": "AC1"})]),
    # The longest prefix, a country between its calling code and what is longer.
    (
        ask(),
        [(n, 1, {"prefix": p}) for n, p in zip("abc", ("+1415555", "+1415", "+1"), strict=True)],
    ),
    (ask(), [("a", 1, {"prefix": "+14"}), ("b", 1, {"country": "US"}), ("c", 1, {"prefix": "+1"})]),
    (
        ask(TO_BERLIN),
        [("a", 1, {"prefix": "+493"}), ("b", 1, {"country": "DE"}), ("c", 1, {"prefix": "+49"})],
    ),
    (ask(), [("a", 1, {"prefix": "+1"}), ("b", 1, {"for_account": "AC1", "sender": LONG_CODE})]),
    # The most conditions.
    (
        ask(),
        [
            ("a", 1, {"prefix": "+1", "sender_type": "long_code", "channel": "sms"}),
            ("b", 1, {"prefix": "+1", "for_account": "AC1"}),
            ("c", 1, {"prefix": "+1"}),
        ],
    ),
    (ask(), [("a", 1, {"country": "US", "prefix": "+1415"}), ("b", 1, {"prefix": "+1415"})]),
    # The account, then the sender, its type, the channel.
    (
        ask(),
        [
            ("a", 1, {"for_account": "AC1"}),
            ("b", 1, {"sender": LONG_CODE}),
            ("c", 1, {"sender": "+1415*"}),
            ("d", 1, {"sender": "+1*"}),
            ("e", 1, {"sender_type": "long_code"}),
            ("f", 1, {"channel": "sms"}),
        ],
    ),
]


@pytest.mark.parametrize(("message", "expected"), ORDERS)
def test_the_narrower_route_comes_first(
    message: Ask, expected: list[tuple[str, int, dict[str, str]]]
) -> None:
    """However the routes are listed."""
    routes = [route(name, conditions, order=order) for name, order, conditions in expected]
    assert table(*routes).candidates(message) == routes
    assert table(*reversed(routes)).candidates(message) == routes
    assert [c.route for c in table(*reversed(routes)).explain(message)] == routes


def test_calling_codes_have_the_length_that_they_have() -> None:
    """A country counts more than its calling code and less than one digit more, everywhere."""
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        number = f"+{code}23456789"
        country = country_of(number)
        if regions == ("001",) or country is None:
            continue
        conditions = ({"prefix": f"+{code}2"}, {"country": country}, {"prefix": f"+{code}"})
        routes = [route(name, each) for name, each in zip("abc", conditions, strict=True)]
        assert carriers(table(*routes).candidates(ask(number))) == "abc", code


def test_carriers_that_are_not_enabled_get_nothing_new() -> None:
    """Draining, disabled or gone; the explanation says which."""
    states = {"b": CarrierState.DRAINING, "c": CarrierState.DISABLED, "d": CarrierState.ENABLED}
    gapped = table(*(route(name) for name in "abcd"), states=states)
    assert carriers(gapped.candidates(ask())) == "d"
    assert [(c.route.carrier, c.is_match, c.rank, c.why) for c in gapped.explain(ask())] == [
        ("d", True, 1, "it alone matches"),
        ("a", True, None, "there is no such carrier"),
        ("b", True, None, "the carrier is draining"),
        ("c", True, None, "the carrier is disabled"),
    ]


def test_what_is_avoided_is_passed_over() -> None:
    """The next best one is chosen; without any there is none."""
    three = table(route("a", order=1), route("b", order=2), route("c", order=3))
    found = [three.choose(ask(), avoid=avoid) for avoid in ("", "a", "ab", "abc")]
    assert [each and each.carrier for each in found] == ["a", "b", "c", None]
    explained = three.explain(ask(), avoid={"a": "its connections are down"})
    assert [(c.route.carrier, c.rank, c.why) for c in explained] == [
        ("b", 1, "it is the first of 2 that match"),
        ("c", 2, "its order 3 comes after 2"),
        ("a", None, "its connections are down"),
    ]


def shares(routes: Sequence[Route], pairs: int = 4000) -> Counter[str]:
    """Return how many pairs of addresses choose each carrier."""
    shared = table(*routes)
    asks = (ask(f"+1415555{number:04d}") for number in range(pairs))
    return Counter(found.carrier for each in asks if (found := shared.choose(each)))


def test_equals_share_by_weight() -> None:
    """Within what chance allows: five standard deviations are 137 of 4,000."""
    found = shares([route("a", weight=1), route("b", weight=2), route("c", weight=5)])
    assert found["a"] == pytest.approx(500, abs=137)
    assert found["b"] == pytest.approx(1000, abs=137)
    assert found["c"] == pytest.approx(2500, abs=160)


def test_no_weight_is_a_fallback() -> None:
    """It comes behind its equals, and still before what is wider."""
    routes = (
        route("a", {"prefix": "+1"}, weight=0),
        route("b", {"prefix": "+1"}),
        route("c"),
        route("d", {"prefix": "+1"}, weight=0),
    )
    orders = {carriers(table(*routes).candidates(ask(f"+1415555{n:04d}"))) for n in range(100)}
    assert orders == {"badc", "bdac"}


def test_a_pair_keeps_its_route() -> None:
    """Also when another route is added: only what that one takes over moves."""
    before, after = (table(*(route(name) for name in names)) for names in ("abc", "cbad"))
    asks = [ask(f"+1415555{number:04d}") for number in range(1000)]
    moved = [
        (x.carrier, y.carrier)
        for x, y in zip(chosen(before, asks), chosen(after, asks), strict=True)
        if x != y
    ]
    assert {new for _, new in moved} == {"d"}
    assert 180 < len(moved) < 320
    assert chosen(before, asks) == chosen(before, asks)


def chosen(routing: RoutingTable, asks: Sequence[Ask]) -> list[Route]:
    return [found for each in asks if (found := routing.choose(each))]


def test_the_explanation_names_what_does_not_hold() -> None:
    """Every condition that fails, in plain words."""
    wrong = {
        "prefix": "+49",
        "country": "DE",
        "sender": "MYSHOP*",
        "sender_type": "toll_free",
        "channel": "mms",
        "for_account": "AC9",
    }
    (found,) = table(route("a", wrong)).explain(ask())
    assert (found.is_match, found.rank) == (False, None)
    assert found.why == (
        "the number does not start with +49 and the number's country is US, not DE"
        " and the sender does not start with MYSHOP and the sender's type is long_code, not"
        " toll_free and the channel is sms, not mms and it is for the account AC9"
    )
    (plain,) = table(route("a")).explain(ask(f"whatsapp:{SAN_FRANCISCO}"))
    assert plain.why == "only a route that names the channel takes whatsapp"


WHY = [
    ({"prefix": "+1415"}, {"prefix": "+1"}, "its prefix +1 is shorter than +1415"),
    ({"prefix": "+1415"}, {"country": "US"}, "its country US is wider than prefix +1415"),
    ({"country": "US"}, {}, "it has no prefix or country, which is wider than country US"),
    ({"for_account": "AC1", "channel": "sms"}, {"sender": "+1*"}, "it has 1 condition, not 2"),
    (
        {"for_account": "AC1", "sender": "+1*"},
        {"sender": LONG_CODE, "channel": "sms"},
        "a condition on the account counts more than one on the sender",
    ),
    (
        {"prefix": "+1415", "channel": "sms"},
        {"prefix": "+1415", "country": "US"},
        "a condition on the channel counts more than one on the country",
    ),
    (
        {"country": "DE", "prefix": "+49"},
        {"country": "DE", "prefix": "+4"},
        "its prefix +4 is shorter than +49",
    ),
    (
        {"for_account": "AC1"},
        {"sender": LONG_CODE},
        "a condition on the account counts more than one on the sender",
    ),
    (
        {"sender": LONG_CODE},
        {"sender": "+1415*"},
        "its sender +1415* is wider than +14155550100",
    ),
    (
        {"sender": "+1*"},
        {"sender_type": "long_code"},
        "a condition on the sender counts more than one on the sender's type",
    ),
    (
        {"sender_type": "long_code"},
        {"channel": "sms"},
        "a condition on the sender's type counts more than one on the channel",
    ),
]


@pytest.mark.parametrize(("best", "other", "why"), WHY)
def test_the_explanation_says_why_a_route_lost(
    best: dict[str, str], other: dict[str, str], why: str
) -> None:
    """It is compared with the one that is chosen."""
    to_germany = "DE" in best.values()
    found = table(route("b", other), route("a", best)).explain(
        ask(TO_BERLIN) if to_germany else ask()
    )
    assert [(c.route.carrier, c.rank) for c in found] == [("a", 1), ("b", 2)]
    assert found[1].why == why


def test_the_explanation_tells_equals_apart() -> None:
    """By weight, or by having none."""
    (_, idle) = table(route("a", weight=0), route("b")).explain(ask())
    assert idle.why == "its weight is 0, so it comes behind its equals"
    (_, second) = table(route("a"), route("b")).explain(ask())
    assert second.why == "it is an equal, and by weight these two addresses fall to the other one"


CONDITIONS = {
    "prefix": ["+1", "+14", "+1415", "+4", "+49", "+493", "+7"],
    "country": ["US", "CA", "DE", "KZ"],
    "sender": ["*", "+1*", "+1415*", LONG_CODE, "MY*", "MYSHOP"],
    "sender_type": ["long_code", "alphanumeric", "channel"],
    "channel": ["sms", "mms", "whatsapp"],
    "for_account": ["AC1", "AC2"],
}
ROUTES = st.lists(
    st.builds(
        route,
        st.sampled_from("abcz"),
        st.fixed_dictionaries(
            {}, optional={name: st.sampled_from(texts) for name, texts in CONDITIONS.items()}
        ),
        number=st.integers(1, 1 << 64),
        order=st.sampled_from([1, 1, 1, 2]),
        weight=st.sampled_from([0, 1, 1, 3]),
    ),
    max_size=12,
    unique_by=lambda each: each.sid,
)
ASKS = st.builds(
    ask,
    st.sampled_from([SAN_FRANCISCO, "+14165550100", TO_BERLIN, "+77011234567", "12345"]).flatmap(
        lambda text: st.sampled_from([text, f"whatsapp:{text}"])
    ),
    st.sampled_from([LONG_CODE, "+14165550100", "MYSHOP", "MY", f"whatsapp:{LONG_CODE}"]),
    account_sid=st.sampled_from(["AC1", "AC2"]),
    channel=st.sampled_from(["", "", "mms"]),
)


def holds(each: Route, message: Ask) -> bool:
    """Say whether a route takes a message, one condition after the other."""
    channel, _, number = message.recipient.rpartition(":")
    channel = message.channel or channel or "sms"
    sender = each.sender.rstrip("*")
    is_open = each.sender.endswith("*") or not each.sender
    return (
        (not each.prefix or number.startswith(each.prefix))
        and each.country in ("", country_of(number))
        and (message.sender.startswith(sender) if is_open else message.sender == sender)
        and each.sender_type in ("", sender_type_of(message.sender))
        and (channel in ("sms", "mms") if not each.channel else channel == each.channel)
        and each.for_account in ("", message.account_sid)
    )


@given(routes=ROUTES, message=ASKS)
@settings(max_examples=200)
def test_the_index_finds_what_a_search_finds(routes: list[Route], message: Ask) -> None:
    """And the explanation tells of every route once, in the order in which they are tried."""
    routing = table(*routes)
    found = routing.candidates(message)
    up = [each for each in routes if each.carrier != "z" and holds(each, message)]
    assert sorted(each.sid for each in found) == sorted(each.sid for each in up)
    assert all(first.order <= second.order for first, second in pairwise(found))
    assert routing.choose(message) == (found[0] if found else None)
    told = routing.explain(message)
    assert sorted(c.route.sid for c in told) == sorted(each.sid for each in routes)
    assert [c.route for c in told if c.rank] == found
    assert [c.rank for c in told if c.rank] == list(range(1, len(found) + 1))
    assert {c.route.sid for c in told if c.is_match} == {r.sid for r in routes if holds(r, message)}
    assert all(c.why for c in told)
    assert table(*reversed(routes)).candidates(message) == found
