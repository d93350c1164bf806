"""The life of a message."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trunkline.domain.errors import Refusal
from trunkline.domain.ids import instant, is_sid, micros, render_sid
from trunkline.domain.message import (
    CALLED_BACK,
    FINAL,
    TRANSITIONS,
    Direction,
    Fact,
    Message,
    Status,
    blame,
    cancel,
    observe,
    redact,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
RANK = [
    {Status.SCHEDULED},
    {Status.ACCEPTED},
    {Status.QUEUED, Status.RECEIVING},
    {Status.SENDING},
    {Status.SENT},
    {Status.DELIVERED, Status.UNDELIVERED, Status.FAILED, Status.CANCELED, Status.RECEIVED},
    {Status.READ},
]


def message(status: Status) -> Message:
    """Return a message in *status*."""
    return Message(
        account_sid="AC" + "0" * 32,
        sid="SM" + "0" * 32,
        direction=Direction.OUTBOUND_API,
        status=status,
        sender="+14155550100",
        recipient="+15558675310",
        body="Hello",
        encoding="GSM-7",
        num_segments=1,
        carrier="simulated",
        created_at=NOON,
        updated_at=NOON,
    )


def rank(status: Status) -> int:
    """Return how far along a status is."""
    return next(i for i, group in enumerate(RANK) if status in group)


def test_the_table_knows_every_status_and_only_goes_forward() -> None:
    """No row is missing, and no fact leads back."""
    assert set(TRANSITIONS) == set(Status)
    for before, row in TRANSITIONS.items():
        assert all(rank(after) > rank(before) for after in row.values())


def test_final_statuses_have_no_way_out() -> None:
    """What is final ends the life of a message."""
    assert {status for status in Status if not TRANSITIONS[status]} == FINAL


@given(st.lists(st.tuples(st.sampled_from(Fact), st.integers(1, 60))), st.sampled_from(Status))
def test_facts_in_any_order_never_go_backwards(
    facts: list[tuple[Fact, int]], first: Status
) -> None:
    """Late, early, repeated and contradictory facts change what they may, or nothing at all."""
    now = message(first)
    for fact, minutes in facts:
        after = observe(now, fact, at=NOON + timedelta(minutes=minutes), error_code=30008)
        assert after is now or rank(after.status) > rank(now.status)
        now = after


def test_a_receipt_may_overtake_the_answer() -> None:
    """DELIVERED from SENDING sets the time of hand-over, and the late answer is stale."""
    delivered = observe(message(Status.SENDING), Fact.HANDSET_REACHED, at=NOON)
    assert (delivered.status, delivered.sent_at) == (Status.DELIVERED, NOON)
    assert observe(delivered, Fact.CARRIER_ACCEPTED, at=NOON) is delivered


def test_only_what_receivers_know_is_called_back() -> None:
    """`sending`, `accepted` and `queued` are not."""
    assert {s.value for s in CALLED_BACK} == {
        *("sent", "delivered", "undelivered", "failed", "canceled", "read")
    }


def test_commands_may_be_refused() -> None:
    """Cancelling is for what is scheduled or held, redaction for what has left."""
    waiting = {Status.SCHEDULED, Status.ACCEPTED}
    assert {cancel(message(s), at=NOON).status for s in waiting} == {Status.CANCELED}
    for status in set(Status) - waiting:
        with pytest.raises(Refusal, match="30409"):
            cancel(message(status), at=NOON)
    assert redact(message(Status.DELIVERED), at=NOON).body == ""
    with pytest.raises(Refusal, match="20009"):
        redact(message(Status.QUEUED), at=NOON)


def test_blame_leaves_the_status() -> None:
    """An inbound message stays received, whatever its webhook met."""
    inbound = replace(message(Status.RECEIVED), direction=Direction.INBOUND)
    blamed = blame(inbound, 11200, at=NOON)
    assert (blamed.status, blamed.error_code) == (Status.RECEIVED, 11200)
    assert blamed.error_message
    assert blame(blamed, None, at=NOON).error_message is None


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_sids_sort_by_time(moment: datetime) -> None:
    """A later SID is greater, whatever its random part."""
    at = moment.replace(tzinfo=UTC)
    early = render_sid("SM", micros(at), digits="f" * 18)
    late = render_sid("SM", micros(at) + 1, digits="0" * 18)
    assert is_sid(early, "SM", "MM")
    assert early < late
    assert instant(micros(at)) == at
