"""The way of a text through the simulated network, as pure functions.

Rules: what becomes of a text is drawn once, when its first segment comes, and stored; the same
segment again changes nothing about it, but asks for its receipt again, because a caller that
submits twice may have lost the first receipt with the first answer.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from trunkline.carriers.port import Deferred, Incoming, Receipt, Refused, SubmitResult, Taken
from trunkline.domain.handset import Handset, HandsetText, Parcel, Step
from trunkline.domain.ids import instant, micros
from trunkline.network.behaviours import (
    DELIVER,
    Behaviour,
    NetworkSettings,
    choose_behaviour,
    draw,
    find_behaviour,
)

TICK_MICROS = 50_000  # Texts that are due within one tick arrive in one commit.
JITTER = 0.25  # Receipts of a burst do not come in lockstep.
DEFER_SECONDS = 2.0
REASSEMBLY_SECONDS = 60.0  # Segments are submitted together; a lost one is not waited for longer.
RETRY_SECONDS = 5.0  # Long enough for any commit, short enough to be seen by who waits for it.
RETRY_SECONDS_MAX = 300.0
LOST = 30008


def judge(
    parcel: Parcel, known: HandsetText | Handset, *, settings: NetworkSettings
) -> HandsetText:
    """Return the text after *parcel* came; *known* itself when nothing is new.

    *known* is the message's text, or the handset that is to have a new one.
    """
    if isinstance(known, Handset):
        return _begin(parcel, known, settings=settings)
    if known.step is Step.REFUSED:
        return known
    text = replace(known, segments=_joined(known.segments, parcel.segments))
    if known.step is Step.DEFERRED:
        return _ask_again(text, parcel.at, settings=settings)
    if known.step is not Step.ON_ITS_WAY:
        return replace(text, due_at=_moment(parcel.at))
    if known.is_whole:
        return known
    return replace(text, due_at=_arrival(text, parcel.at, settings=settings))


def submit_result(text: HandsetText, segment_index: int) -> SubmitResult:
    """Return the carrier's answer for one segment."""
    if text.step is Step.REFUSED:
        return Refused(_behaviour(text).error_code or LOST)
    if text.step is Step.DEFERRED:
        return Deferred(DEFER_SECONDS)
    return Taken(f"{text.sid}-{segment_index}")


def claim(text: HandsetText, at: datetime) -> HandsetText:
    """Return a due text as it is while the news of it is handed over.

    It is due again after a while, so that news which could not be handed over come again. A text
    to a handset arrives by this, or fails: also when segments of it are still missing.
    """
    seconds = min(RETRY_SECONDS * 2 ** min(text.attempts, 10), RETRY_SECONDS_MAX)
    text = replace(text, due_at=at + timedelta(seconds=seconds), attempts=text.attempts + 1)
    if text.is_outgoing or text.step is not Step.ON_ITS_WAY:
        return text
    if text.is_whole and _behaviour(text).arrives:
        return replace(text, step=Step.ARRIVED, arrived_at=at)
    return replace(text, step=Step.FAILED)


def finish(text: HandsetText, at: datetime) -> HandsetText:
    """Return a claimed text once the news of it was handed over."""
    text = replace(text, due_at=None, attempts=0)
    return replace(text, step=Step.ARRIVED, arrived_at=at) if text.is_outgoing else text


def receipts(text: HandsetText, at: datetime) -> list[Receipt]:
    """Return what the carrier says of the segments of a claimed text; nothing is an answer too."""
    behaviour = _behaviour(text)
    if text.is_outgoing or not behaviour.gives_receipt:
        return []
    delivered = text.step is Step.ARRIVED
    return [
        Receipt(
            carrier_ref=f"{text.sid}-{index}",
            delivered=delivered,
            error_code=None if delivered else behaviour.error_code or LOST,
            at=text.arrived_at or at,
        )
        for index, segment in enumerate(text.segments)
        if segment is not None
    ]


def incoming(text: HandsetText) -> Incoming:
    """Return a text that a handset sent as its recipient's carrier brings it."""
    return Incoming(
        ref=text.sid,
        sender=text.handset,
        recipient=text.peer,
        body=text.body,
        encoding=text.encoding,
        num_segments=len(text.segments),
        media=text.media,
        at=text.created_at,
    )


def passed_on(text: HandsetText) -> Incoming:
    """Return a text that arrived at a number of the platform's own, as it comes in there."""
    return replace(incoming(text), sender=text.peer, recipient=text.handset)


def _begin(parcel: Parcel, handset: Handset, *, settings: NetworkSettings) -> HandsetText:
    drawn = draw(settings.seed, handset.number, ordinal=handset.texts)
    behaviour = choose_behaviour(
        handset.behaviour, handset.number, odds=settings.odds, fate=drawn.fate
    )
    text = HandsetText(
        sid=parcel.sid,
        handset=parcel.recipient,
        peer=parcel.sender,
        is_outgoing=False,
        message_ref=parcel.message_sid,
        encoding=parcel.encoding,
        segments=_joined((None,) * parcel.segment_count, parcel.segments),
        media=parcel.media,
        behaviour=behaviour.name,
        due_at=None,
        created_at=parcel.at,
    )
    if behaviour.is_refusal:
        return replace(text, step=Step.REFUSED)
    if behaviour.deferrals:
        return replace(text, step=Step.DEFERRED, attempts=1)
    return replace(text, due_at=_arrival(text, parcel.at, settings=settings, jitter=drawn.jitter))


def _ask_again(text: HandsetText, at: datetime, *, settings: NetworkSettings) -> HandsetText:
    if text.attempts < _behaviour(text).deferrals:
        return replace(text, attempts=text.attempts + 1)
    return replace(
        text, step=Step.ON_ITS_WAY, attempts=0, due_at=_arrival(text, at, settings=settings)
    )


def _arrival(
    text: HandsetText, at: datetime, *, settings: NetworkSettings, jitter: float = 0.5
) -> datetime:
    """Return when a text arrives, or is given up if segments are missing then. 0 <= jitter < 1."""
    if not text.is_whole:
        return _moment(at, REASSEMBLY_SECONDS)
    mean = settings.slow_seconds if _behaviour(text).is_slow else settings.delay_seconds
    return _moment(at, mean * (1 + JITTER * (2 * jitter - 1)))


def _moment(at: datetime, seconds: float = 0.0) -> datetime:
    # Rounded down: without a delay a text is due at once also when no clock moves.
    due = micros(at) + int(seconds * 1_000_000)
    return instant(due - due % TICK_MICROS)


def _joined(segments: tuple[str | None, ...], new: Mapping[int, str]) -> tuple[str | None, ...]:
    return tuple(new.get(index, segment) for index, segment in enumerate(segments))


def _behaviour(text: HandsetText) -> Behaviour:
    return find_behaviour(text.behaviour) or DELIVER
