"""The vocabulary of the wire: what texts mean, how declared parameters are read, views written."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.api.fields import Inputs, Outputs, Pairs
from trunkline.api.resource import iso_8601, rfc_2822
from trunkline.api.wire import (
    KINDS,
    Address,
    Code,
    Period,
    Sid,
    Url,
    Wire,
    accepted,
    refused,
)
from trunkline.domain.errors import Refusal


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    to: Address | None = None
    from_: Address | None = None
    body: str | None = None
    loud: bool = False
    count: int | None = None
    price: Decimal | None = None
    send_at: Annotated[datetime | None, Code(35114)] = None
    colour: Colour | None = None
    media_url: tuple[Url, ...] = ()
    sent_before: Annotated[Period | None, Wire("Sent<")] = None
    account_sid: Annotated[str | None, Sid("AC"), Code(21470)] = None
    options: dict[str, Any] | None = None
    quiet: Annotated[bool | None, accepted("nobody listens")] = None
    fast: Annotated[bool, refused("it is slow")] = False
    slow: Annotated[str | None, refused("told by the flow", by_flow=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Needy:
    phone_number: Annotated[str, Code(21421)]
    name: str


INPUTS = Inputs(Params)
ACCOUNT = "AC" + "0" * 32


def parsed(*pairs: tuple[str, str]) -> Params:
    params = INPUTS.parse(pairs)
    assert isinstance(params, Params)
    return params


def code_of(pairs: Pairs, inputs: Inputs = INPUTS) -> tuple[int, str]:
    with pytest.raises(Refusal) as refusal:
        inputs.parse(pairs)
    return refusal.value.code, refusal.value.message


def test_nothing_sent_leaves_the_defaults() -> None:
    """Every parameter has a value, sent or not."""
    assert parsed() == Params()


def test_each_kind_reads_its_texts() -> None:
    """A text becomes a value of the declared type."""
    params = parsed(
        ("To", "+15558675310"),
        ("From", "ACME"),
        ("Body", ""),
        ("Loud", "TRUE"),
        ("Count", "42"),
        ("Price", "-0.0075"),
        ("SendAt", "2026-12-01T10:00:00Z"),
        ("Colour", "Green"),
        ("MediaUrl", "http://a/1"),
        ("MediaUrl", "http://a/2"),
        ("Sent<", "2026-12-01"),
        ("AccountSid", ACCOUNT),
        ("Options", '{"a": 1}'),
    )
    assert params == Params(
        to=Address("+15558675310"),
        from_=Address("ACME"),
        body="",
        loud=True,
        count=42,
        price=Decimal("-0.0075"),
        send_at=datetime(2026, 12, 1, 10, tzinfo=UTC),
        colour=Colour.GREEN,
        media_url=(Url("http://a/1"), Url("http://a/2")),
        sent_before=Period(datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 2, tzinfo=UTC)),
        account_sid=ACCOUNT,
        options={"a": 1},
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("Loud", text) for text in ("yes", "2", "truefalse")),
        *(("Count", text) for text in ("1.5", "1e3", "٤", "9" * 40, "0x1", " 1", "NaN")),
        *(("Price", text) for text in ("NaN", "Infinity", "1e5", "1,5", "9" * 40, ".")),
        *(("Colour", text) for text in ("blue", "redgreen")),
        *(("Sent<", text) for text in ("2026-13-01", "yesterday", "10000-01-01", "2026-12-1")),
        *(("Options", text) for text in ("[1]", "{", "null", '{"a":' * 50_000)),
    ],
)
def test_a_text_of_another_kind_is_refused_by_name(name: str, text: str) -> None:
    """The error says which parameter was wrong."""
    code, message = code_of([(name, text)])
    assert code == 20422
    assert f"`{name}`" in message


def test_a_field_may_have_an_error_code_of_its_own() -> None:
    """Where Twilio has a code for it, that one is the answer."""
    assert code_of([("SendAt", "soon")])[0] == 35114
    assert code_of([("SendAt", "0001-01-01T00:00:00+14:00")])[0] == 35114
    # Not read in part, without its offset.
    assert code_of([("SendAt", f"2026-12-01T10:00:00.{'0' * 20}+05:00")])[0] == 35114
    assert code_of([("AccountSid", "AC123")])[0] == 21470


@pytest.mark.parametrize("name", ["Loud", "Count", "Price", "SendAt", "Colour", "Sent<", "Options"])
def test_an_empty_text_of_most_kinds_is_no_text(name: str) -> None:
    """A form field that was left empty was not filled in."""
    assert parsed((name, "")) == Params()


def test_unknown_parameters_are_ignored_and_known_ones_found_in_any_case() -> None:
    """Applications in the field send a Channel, and misspell ContentSID."""
    assert parsed(("Channel", "sms"), ("mediaURL", "http://a/")).media_url == ("http://a/",)


def test_the_exact_name_wins_over_a_misspelt_one() -> None:
    """Whichever comes last."""
    assert parsed(("Body", "exact"), ("BODY", "shouted")).body == "exact"


def test_of_a_parameter_that_does_not_repeat_the_last_counts() -> None:
    """One value is used."""
    assert parsed(("Body", "one"), ("Body", "two")).body == "two"


def test_a_nul_character_is_refused() -> None:
    """No database keeps one in a text."""
    assert code_of([("Body", "a\0b")])[0] == 20422
    assert code_of([("MediaUrl", "http://a/\0")])[0] == 20422


def test_a_refused_parameter_is_refused_when_it_asks_for_something() -> None:
    """Its default asks for nothing; where the flow answers, the value passes."""
    assert parsed(("Fast", "false"), ("Fast", "")).fast is False
    code, message = code_of([("Fast", "true")])
    assert code == 20422
    assert "`Fast`" in message
    assert "it is slow" in message
    assert parsed(("Slow", "MG1"), ("Quiet", "true")) == Params(slow="MG1", quiet=True)


def test_a_required_parameter_is_missed_with_its_code() -> None:
    """An empty one is missing, too."""
    needy = Inputs(Needy)
    assert code_of([("Name", "n")], needy)[0] == 21421
    assert code_of([("PhoneNumber", "1"), ("Name", "")], needy)[0] == 20422
    assert needy.parse([("PhoneNumber", "1"), ("Name", "n")]) == Needy(phone_number="1", name="n")


def test_a_time_names_its_second_and_its_day() -> None:
    """Python's SDK writes a date as a midnight."""
    parse = KINDS[Period].parse
    midnight, noon = parse("2026-12-01T00:00:00Z"), parse("2026-12-01T12:00:00.7+02:00")
    assert midnight.as_day() == parse("2026-12-01")
    assert noon.as_day() == midnight.as_day()
    assert noon == Period(
        datetime(2026, 12, 1, 10, tzinfo=UTC), datetime(2026, 12, 1, 10, 0, 1, tzinfo=UTC)
    )


def test_a_bound_may_be_the_end_of_time() -> None:
    """Which languages write as 9999-12-31."""
    parse = KINDS[Period].parse
    for text in ("9999-12-31", "9999-12-31T23:59:59Z", "9999-12-31T00:00:00Z"):
        assert parse(text).start.year == parse(text).as_day().end.year == 9999


def test_an_offset_whose_plus_sign_became_a_space_is_read() -> None:
    """As it does in a query that was written by hand."""
    parse = KINDS[Period].parse
    wanted = parse("2026-12-01T08:30:00Z")
    for text in ("2026-12-01T10:30:00 02:00", "2026-12-01T10:30:00 0200"):
        assert parse(text) == wanted
    assert parse("2026-12-01 08:30:00") == parse("2026-12-01 08:30") == wanted


@given(st.lists(st.tuples(st.sampled_from([f.wire for f in INPUTS.fields]), st.text())))
def test_any_text_is_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    """Nothing that a caller writes is anybody's bug."""
    try:
        code = INPUTS.parse(pairs) and 0
    except Refusal as refusal:
        code = refusal.code
    assert code in {0, 20422, 35114, 21470}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    from_: Address | None
    colour: Colour
    price: Decimal
    sent_at: datetime | None
    links: dict[str, Any]


def test_a_view_is_written_under_the_names_of_the_wire() -> None:
    """Absent values are null; times follow the dialect."""
    at = datetime(2019, 5, 24, 19, 44, 46, 999, tzinfo=timezone(timedelta(hours=2)))
    view = View(from_=None, colour=Colour.RED, price=Decimal("0.50"), sent_at=at, links={"a": "b"})
    old = Outputs(View, rfc_2822).render(view)
    assert old == {
        "from": None,
        "colour": "red",
        "price": "0.50",
        "sent_at": "Fri, 24 May 2019 17:44:46 +0000",
        "links": {"a": "b"},
    }
    assert list(old) == ["from", "colour", "price", "sent_at", "links"]
    assert Outputs(View, iso_8601).render(view)["sent_at"] == "2019-05-24T17:44:46Z"
