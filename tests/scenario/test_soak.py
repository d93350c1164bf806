"""What `make soak` does, for half a minute; and the books themselves, which must find breaches."""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.databases import DATABASES, POSTGRESQL
from tests.scenario.soak import books
from tests.scenario.soak.ledger import (
    AGAIN,
    API,
    ONCE,
    PUT_OFF,
    REFUSED,
    SMPP,
    TAKEN,
    Arrival,
    Ledger,
    Made,
    Offer,
    Row,
    Sent,
    Stored,
    Told,
)
from tests.scenario.soak.story import Story
from tests.scenario.soak.texts import REPLY, written

FAULTS = 5  # Each takes a second or two.
SEED = 20_261_121
ACCOUNT, RECIPIENT = "AC1", "+13035550100"
Doctoring = Callable[[Ledger, Stored], object]


def test_the_books_balance(tmp_path: Path) -> None:
    """Whatever goes wrong, everything that was promised is found in the end."""
    is_shared = DATABASES.kind == POSTGRESQL
    story = Story(tmp_path / "site", SEED, nodes=2 if is_shared else 1, is_shared=is_shared)
    try:
        story.begin()
        story.rage(faults=FAULTS)
        story.calm()
        found = story.balance()
    finally:
        story.close()
    print(story.counts())
    assert found == []
    assert story.ledger.accepted
    assert story.ledger.arrivals


def arrival(token: int, carrier: str, *, place: int, at: float = 1.0) -> Arrival:
    """Return a segment that was taken at once."""
    return Arrival(
        token=token,
        key=str(token),
        carrier=carrier,
        sender="14155560000",
        recipient=RECIPIENT,
        connection=0,
        place=place,
        at=at,
        in_flight=1,
        ref=f"ref{place}",
        verdict=TAKEN,
        answered_at=at,
    )


def message(sid: str, status: str, *, token: int, direction: str = "outbound-api") -> Row:
    """Return a message as the database has it."""
    return Row(
        sid=sid,
        account_sid=ACCOUNT,
        direction=direction,
        status=status,
        error_code=None,
        body=written(token),
        carrier=ONCE,
        was_sent=status != "failed" and direction != "inbound",
        is_chosen=False,
        recipient=RECIPIENT,
    )


@pytest.fixture
def balanced() -> tuple[Ledger, Stored]:
    """Return books without a breach: two messages, and a text with its reply."""
    ledger, stored = Ledger(), Stored()
    for place, (sid, way) in enumerate((("SM1", API), ("SM2", SMPP)), 1):
        ledger.accepted[sid] = Sent(place, way, ACCOUNT, way == API, ONCE)
        ledger.arrivals.append(arrival(place, ONCE, place=place))
        ledger.receipts[f"ref{place}"].add("DELIVRD")
        ledger.receipts_acknowledged.add(f"ref{place}")
        stored.refs[sid].append((0, f"ref{place}", 1))
        stored.messages[sid] = message(sid, "delivered", token=place)
    ledger.told += [Told("SM1", status, 200) for status in ("sent", "delivered")]
    ledger.polled["SM1"] += ["queued", "sent", "delivered"]
    ledger.reported["SM2"].append("DELIVRD")
    ledger.inbound[3] = Offer(1, True, True, Counter({0: 1}), {0})
    ledger.heard[3] = ledger.brought[3] = 1
    stored.messages["SM3"] = message("SM3", "received", token=3, direction="inbound")
    reply = message("SM4", "sent", token=3 + REPLY, direction="outbound-reply")
    stored.messages["SM4"] = reply
    stored.used.update({"sms-outbound": 3, "sms-inbound": 1})
    ledger.made.update({"SK1": Made(True, {"name 1."}), "SK2": Made(False, {"name 2."})})
    stored.records["SK1"] = '{"friendly_name": "name 1."}'
    return ledger, stored


def put(stored: Stored, sid: str, **fields: object) -> None:
    """Change a message in the books."""
    stored.messages[sid] = replace(stored.messages[sid], **fields)  # type: ignore[arg-type]


def fill(ledger: Ledger, count: int, *, seconds: float) -> None:
    """Let so many segments of one sender come in some time."""
    ledger.arrivals += [
        arrival(100 + n, ONCE, place=3 + n, at=10 + seconds * n / count) for n in range(count)
    ]


def repeat(ledger: Ledger, *, carrier: str = ONCE, verdict: str = TAKEN) -> None:
    """Let a segment come again on a connection that is as it was."""
    first = replace(arrival(1, carrier, place=1), verdict=verdict)
    ledger.arrivals[0] = first
    ledger.arrivals.append(replace(first, place=99, at=20.0))


def opt_out(ledger: Ledger, stored: Stored) -> None:
    """Let somebody have opted out of a service long before its message came."""
    put(stored, "SM1", is_chosen=True)
    long_ago = ledger.arrivals[0].at - books.HAND_SECONDS - 1
    ledger.opted_out[ACCOUNT, RECIPIENT] = (long_ago, long_ago)


# Each check, and what makes it complain.
DOCTORED: list[tuple[books.Check, Doctoring]] = [
    (books.accepted_messages_are_there, lambda ledger, stored: stored.messages.pop("SM1")),
    (
        books.accepted_messages_are_there,
        lambda ledger, stored: ledger.removed.update({"SM1": True}),
    ),
    (
        books.accepted_messages_are_there,
        lambda ledger, stored: ledger.redacted.update({"SM1": True}),
    ),
    (books.what_was_made_is_there, lambda ledger, stored: stored.records.pop("SK1")),
    (books.what_was_made_is_there, lambda ledger, stored: stored.records.update({"SK2": "{}"})),
    (books.what_was_made_is_there, lambda ledger, stored: stored.records.update({"SK1": "{}"})),
    (
        books.nothing_is_accepted_twice,
        lambda ledger, stored: put(stored, "SM2", body=written(1)),
    ),
    (
        books.nothing_is_accepted_twice,
        lambda ledger, stored: put(stored, "SM2", body=written(99)),
    ),
    (books.every_message_ends, lambda ledger, stored: put(stored, "SM1", status="sending")),
    (books.every_message_ends, lambda ledger, stored: put(stored, "SM1", status="sent")),
    (
        books.receipts_count,
        lambda ledger, stored: stored.refs.update({"SM1": [(0, "ref1", None)]}),
    ),
    (books.receipts_count, lambda ledger, stored: put(stored, "SM1", status="undelivered")),
    (books.receipts_count, lambda ledger, stored: ledger.receipts.clear()),
    (books.statuses_go_forward, lambda ledger, stored: ledger.told.reverse()),
    (books.statuses_go_forward, lambda ledger, stored: ledger.polled["SM1"].append("sent")),
    (books.statuses_go_forward, lambda ledger, stored: put(stored, "SM1", status="failed")),
    (books.every_status_is_told, lambda ledger, stored: ledger.told.pop()),
    (
        books.every_status_is_told,
        lambda ledger, stored: ledger.badly_signed.update({"SM1": 1}),
    ),
    (books.every_status_is_told, lambda ledger, stored: stored.waiting.update({"parked": 1})),
    (books.use_is_counted_once, lambda ledger, stored: stored.used.update({"sms-outbound": 1})),
    (books.use_is_counted_once, lambda ledger, stored: stored.used.update({"sms-inbound": 1})),
    (
        books.windows_are_kept,
        lambda ledger, stored: ledger.arrivals.append(
            replace(arrival(9, AGAIN, place=9), in_flight=books.WINDOW + 1)
        ),
    ),
    (books.rates_are_kept, lambda ledger, stored: fill(ledger, 100, seconds=4)),
    (books.segments_are_repeated_only_in_doubt, lambda ledger, stored: repeat(ledger)),
    (
        books.segments_are_repeated_only_in_doubt,
        lambda ledger, stored: repeat(ledger, carrier=AGAIN),
    ),
    (
        books.segments_are_repeated_only_in_doubt,
        lambda ledger, stored: repeat(ledger, carrier=AGAIN, verdict=REFUSED),
    ),
    (books.messages_fail_for_a_reason, lambda ledger, stored: put(stored, "SM1", status="failed")),
    (
        books.messages_fail_for_a_reason,
        lambda ledger, stored: put(stored, "SM1", status="failed", error_code=books.IN_DOUBT),
    ),
    (books.accepted_messages_leave, lambda ledger, stored: ledger.arrivals.clear()),
    (books.canceled_messages_stay, lambda ledger, stored: ledger.canceled.update({"SM1": True})),
    (books.canceled_messages_stay, lambda ledger, stored: put(stored, "SM1", status="canceled")),
    (books.who_opted_out_gets_nothing, opt_out),
    (
        books.messages_fail_for_a_reason,
        lambda ledger, stored: put(stored, "SM1", status="failed", error_code=books.OPTED_OUT),
    ),
    (books.inbound_texts_are_kept, lambda ledger, stored: stored.messages.pop("SM3")),
    (
        books.inbound_texts_are_kept,
        lambda ledger, stored: stored.messages.update({"SM5": stored.messages["SM3"]}),
    ),
    (
        books.inbound_texts_are_kept,
        lambda ledger, stored: stored.messages.update({"SM5": stored.messages["SM4"]}),
    ),
    (books.inbound_texts_are_told, lambda ledger, stored: ledger.heard.clear()),
    (books.inbound_texts_are_told, lambda ledger, stored: ledger.brought.clear()),
    (books.customers_get_their_receipts, lambda ledger, stored: ledger.reported.clear()),
    (books.the_database_is_sound, lambda ledger, stored: stored.faults.append("damaged")),
    (books.the_database_is_sound, lambda ledger, stored: stored.waiting.update({"outbox": 1})),
]


def test_balanced_books_are_found_balanced(balanced: tuple[Ledger, Stored]) -> None:
    """So that what the next tests find is what they changed."""
    assert books.breaches(*balanced) == []


@pytest.mark.parametrize(("check", "doctor"), DOCTORED)
def test_a_doctored_ledger_is_found_out(
    balanced: tuple[Ledger, Stored], check: books.Check, doctor: Doctoring
) -> None:
    """Each check complains of what it is for."""
    ledger, stored = copy.deepcopy(balanced)
    doctor(ledger, stored)
    assert list(check(ledger, stored))


def test_every_check_is_tried() -> None:
    """A check that nobody sees complain may never do so."""
    assert {check for check, _ in DOCTORED} == set(books.CHECKS)


@pytest.mark.parametrize(
    ("carrier", "verdict", "is_ended", "is_allowed"),
    [
        (AGAIN, TAKEN, True, True),
        (AGAIN, REFUSED, True, True),
        (AGAIN, PUT_OFF, False, True),
        (ONCE, PUT_OFF, False, True),
        (ONCE, TAKEN, True, False),
    ],
)
def test_a_segment_may_come_again(
    balanced: tuple[Ledger, Stored], carrier: str, verdict: str, *, is_ended: bool, is_allowed: bool
) -> None:
    """Where it was put off; where it was in doubt, if the carrier's rule allows it."""
    ledger, stored = balanced
    repeat(ledger, carrier=carrier, verdict=verdict)
    ledger.arrivals[-1] = replace(ledger.arrivals[-1], connection=1)
    if is_ended:
        ledger.ended[0] = 2.0
    found = list(books.segments_are_repeated_only_in_doubt(ledger, stored))
    assert (found == []) is is_allowed
