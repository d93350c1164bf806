"""Which sender of a pool a message leaves from, and why."""

from datetime import UTC, datetime

import pytest

from trunkline.domain.account import Capabilities
from trunkline.domain.choice import Choice, Wanted, choose_sender
from trunkline.domain.service import MessagingService, Pool, PoolSender, SenderKind

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SHORT, BRAND, TOLLFREE = "55123", "Acme", "+18005550100"
BOSTON, BOSTON_TOO, AUSTIN = "+16172000001", "+16172000002", "+15122000001"
TORONTO, BERLIN = "+14162000001", "+4930200000001"
IN_BOSTON, IN_TORONTO, IN_BERLIN, IN_PARIS = (
    *("+16175550199", "+14165550199", "+493055500199", "+33155500199"),
)
COUNTRIES = {TORONTO: "CA", BERLIN: "DE"}


def sender(address: str, *, mms: bool = True, country: str | None = None) -> PoolSender:
    """Return a sender of the kind that its address shows."""
    kind = SenderKind.NUMBER if address.startswith("+") else SenderKind.SHORT_CODE
    if not address.strip("+").isdigit():
        kind = SenderKind.ALPHANUMERIC
    own = "" if kind is SenderKind.ALPHANUMERIC else COUNTRIES.get(address, "US")
    return PoolSender(
        sender=address,
        kind=kind,
        country=own if country is None else country,
        is_tollfree=address == TOLLFREE,
        capabilities=Capabilities(mms=mms),
    )


def pool(*senders: PoolSender | str, geomatch: bool = True) -> Pool:
    """Return a service with these senders."""
    service = MessagingService(
        sid="MG" + 32 * "0",
        account_sid="AC" + 32 * "0",
        friendly_name="Test",
        area_code_geomatch=geomatch,
        created_at=NOON,
        updated_at=NOON,
    )
    found = tuple(s if isinstance(s, PoolSender) else sender(s) for s in senders)
    return Pool(service, found)


def chosen(given: Pool, to: str, *, with_media: bool = False, sticky: str | None = None) -> str:
    """Return the sender that is chosen."""
    choice = choose_sender(given, Wanted(recipient=to, with_media=with_media, sticky=sticky))
    return choice.sender if choice else ""


@pytest.mark.parametrize(
    ("senders", "to", "first"),
    [
        ([BOSTON, SHORT, TOLLFREE], IN_BOSTON, SHORT),
        ([BOSTON, SHORT], IN_BERLIN, BOSTON),
        ([BERLIN, BRAND], IN_BERLIN, BRAND),
        ([BOSTON, BRAND], IN_BOSTON, BOSTON),
        ([BOSTON, TOLLFREE], IN_TORONTO, TOLLFREE),
        ([BOSTON, BERLIN, TORONTO], IN_TORONTO, TORONTO),
        ([BOSTON, BERLIN], IN_PARIS, BOSTON),
        ([BERLIN], IN_PARIS, BERLIN),
        ([AUSTIN, BOSTON], IN_BOSTON, BOSTON),
        ([AUSTIN, TORONTO], IN_BOSTON, AUSTIN),
        (["+14132000001", "+18572000001", AUSTIN], IN_BOSTON, "+18572000001"),
        (["+14132000001", AUSTIN], IN_BOSTON, "+14132000001"),
        ([BRAND], IN_BOSTON, ""),
        ([SHORT], IN_BERLIN, ""),
        ([], IN_BOSTON, ""),
    ],
)
def test_kinds_countries_and_area_codes(senders: list[str], to: str, first: str) -> None:
    """Short codes, then names, then numbers of the country; the United States before elsewhere."""
    assert chosen(pool(*senders), to) == first


def test_area_codes_count_only_if_the_service_says_so() -> None:
    """Else the numbers of the country take turns."""
    given = pool(AUSTIN, BOSTON, geomatch=False)
    assert choose_sender(given, Wanted(recipient=IN_BOSTON)) == Choice(
        AUSTIN, "a number, of the recipient's country, the least busy of them"
    )


def test_a_sender_for_a_country_comes_before_one_for_all() -> None:
    """And is used nowhere else."""
    given = pool(BRAND, sender("AcmeDE", country="DE"))
    assert chosen(given, IN_BERLIN) == "AcmeDE"
    assert chosen(given, IN_PARIS) == BRAND


def test_media_need_a_sender_that_carries_them() -> None:
    """However near the other is."""
    given = pool(sender(BOSTON, mms=False), AUSTIN)
    assert chosen(given, IN_BOSTON) == BOSTON
    assert chosen(given, IN_BOSTON, with_media=True) == AUSTIN


def test_the_sender_that_a_recipient_knows_comes_first() -> None:
    """As long as it is in the pool and can send."""
    given = pool(SHORT, BOSTON, AUSTIN)
    assert chosen(given, IN_BOSTON, sticky=AUSTIN) == AUSTIN
    assert chosen(given, IN_BOSTON, sticky=TORONTO) == SHORT
    assert chosen(given, IN_BERLIN, sticky=SHORT) == BOSTON


def test_equals_take_turns_by_what_they_have_to_do() -> None:
    """Who never had anything is the first, who finished long ago the next."""
    given, wanted = pool(BOSTON, BOSTON_TOO), Wanted(recipient=IN_BOSTON)
    for busy, first in [
        ({BOSTON: 3.0, BOSTON_TOO: 2.0}, BOSTON_TOO),
        ({BOSTON: -9.0, BOSTON_TOO: -2.0}, BOSTON),
        ({BOSTON: -9.0}, BOSTON_TOO),
    ]:
        choice = choose_sender(given, wanted, busy=busy)
        assert choice is not None
        assert choice.sender == first


def test_who_cannot_reach_the_recipient_is_passed_over() -> None:
    """Until nobody is left; and nobody sends to itself."""
    given, wanted = pool(BOSTON, AUSTIN), Wanted(recipient=IN_BOSTON)
    choice = choose_sender(given, wanted, without={BOSTON})
    assert choice is not None
    assert choice.sender == AUSTIN
    assert choose_sender(given, wanted, without={BOSTON, AUSTIN}) is None
    assert chosen(pool(BOSTON), BOSTON) == ""


def test_only_numbers_send_in_a_channel() -> None:
    """Wherever they are from; names and short codes are of the telephone network."""
    given = pool(BRAND, SHORT, BERLIN, BOSTON)
    wanted = Wanted(recipient=IN_BOSTON, channel="whatsapp")
    for busy, first in [({BERLIN: 3.0}, BOSTON), ({BOSTON: 3.0}, BERLIN)]:
        choice = choose_sender(given, wanted, busy=busy)
        assert choice is not None
        assert choice.sender == first
    assert choose_sender(pool(BRAND, SHORT), wanted) is None
