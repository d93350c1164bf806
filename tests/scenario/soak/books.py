"""The books: what must hold between what was seen from outside and what the database has.

Each check yields a sentence for every breach that it finds.
"""

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter

from tests.scenario.soak.ledger import (
    AGAIN,
    DELIVERED,
    MISSED,
    ONCE,
    PUT_OFF,
    REFUSED,
    SIMULATED,
    SMPP,
    Arrival,
    Ledger,
    Stored,
)
from tests.scenario.soak.texts import REPLY, token_of

WINDOW, LANES = 8, 2
RESPONSE_SECONDS = 2.0
RATE = 5.0  # Segments a second of one sender, by the carrier with limits.
BURST_SECONDS, STRETCH_SECONDS = 1.0, 10.0
SEGMENTS_MAX = 7  # Of one text here.
# What one connection has in hand: twice its window is about to be sent, sent, or answered and about
# to be recorded. Texts of several segments go whole, and so beyond what there is room for.
IN_HAND_MAX = 2 * WINDOW + 2 * SEGMENTS_MAX
FINAL = {"delivered", "undelivered", "failed", "canceled", "received"}
CALLED_BACK = {"sent", "delivered", "undelivered", "failed", "canceled"}
# A receipt may overtake the carrier's answer, and then nobody is told `sent`.
ORDERS = (
    *(["sent"], ["failed"], ["delivered"], ["undelivered"], ["canceled"]),
    *(["sent", "delivered"], ["sent", "undelivered"]),
)
RANKS = {"scheduled": 0, "queued": 1, "sending": 2, "sent": 3, **dict.fromkeys(FINAL, 4)}
# Why media could not be had.
NO_MEDIA = range(11200, 11300)
IN_DOUBT, OPTED_OUT = 30008, 21610
# What was handed over before somebody opted out may be in the hand of a connection, or of a process
# that stands still, for so long.
HAND_SECONDS = 15.0

Check = Callable[[Ledger, Stored], Iterator[str]]


def accepted_messages_are_there(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """A message that was answered for is there, unless it was deleted; what was deleted is not."""
    for sid, sent in ledger.accepted.items():
        if sid not in stored.messages and sid not in ledger.removed:
            yield f"{sid} ({sent.way}, text {sent.token}) was accepted and is not there"
    for sid, is_certain in ledger.removed.items():
        if is_certain and sid in stored.messages:
            yield f"{sid} was deleted and is there"
    for sid, is_certain in ledger.redacted.items():
        if is_certain and sid in stored.messages and stored.messages[sid].body:
            yield f"{sid} was redacted and has its text"


def what_was_made_is_there(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """Whatever was configured is there under its name; what was removed is not."""
    for sid, made in ledger.made.items():
        doc = stored.records.get(sid)
        if made.is_there is not None and made.is_there is not (doc is not None):
            yield f"{sid} was {'made' if made.is_there else 'removed'}, and that did not last"
        elif doc is not None and made.names and not any(name in doc for name in made.names):
            yield f"{sid} was named one of {sorted(made.names)}, and is not"


def nothing_is_accepted_twice(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """A text is the text of one message; one whose request was not answered, of one at most."""
    tokens = Counter(
        token
        for row in stored.messages.values()
        if row.direction == "outbound-api" and (token := token_of(row.body))
    )
    for token, count in tokens.items():
        if count > 1:
            yield f"text {token} is in {count} messages"
    known = {sent.token for sent in ledger.accepted.values()} | ledger.unanswered
    for token in tokens.keys() - known:
        yield f"text {token} is in a message, and its request was refused"


def every_message_ends(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """It has a final status, or a row that moves it, or nobody ever said what became of it."""
    for sid, row in stored.messages.items():
        if row.status in FINAL or sid in stored.moving:
            continue
        if row.status != "sent":
            yield f"{sid} is {row.status} and nothing moves it"
        elif row.carrier == SIMULATED:
            yield f"{sid} is sent, and simulated phones always tell"
        elif stored.refs[sid] and not _is_open(ledger, stored, sid):
            yield f"{sid} is sent, and all its receipts were acknowledged"


def _is_open(ledger: Ledger, stored: Stored, sid: str) -> bool:
    """Say whether the receipt of some segment never came."""
    came: defaultdict[int, bool] = defaultdict(bool)
    for index, ref, _ in stored.refs[sid]:
        came[index] |= ref in ledger.receipts_acknowledged
    return not all(came.values())


def receipts_count(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """A receipt that was acknowledged is noted, and messages end as their receipts say."""
    for sid, refs in stored.refs.items():
        for _, ref, delivered in refs:
            if ref in ledger.receipts_acknowledged and delivered is None:
                yield f"{sid}: the receipt of {ref} was acknowledged and is not noted"
        row = stored.messages.get(sid)
        if row is None or row.carrier == SIMULATED:
            continue
        said = {stat for _, ref, _ in refs for stat in ledger.receipts.get(ref, ())}
        if row.status == "delivered" and DELIVERED not in said:
            yield f"{sid} is delivered, and no receipt said so"
        if row.status == "undelivered" and MISSED not in said:
            yield f"{sid} is undelivered, and no receipt said so"


def statuses_go_forward(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """Neither what the API shows nor what is called back ever goes back; the end stays."""
    for sid, told in _first_told(ledger).items():
        known = stored.messages.get(sid) or ledger.accepted.get(sid)
        # Whose sender was chosen is told to be queued first of all.
        rest = told[1:] if known and known.is_chosen and told[0] == "queued" else told
        if rest and rest not in ORDERS:
            yield f"{sid} was told {told}"
    for sid, seen in ledger.polled.items():
        row = stored.messages.get(sid)
        life = seen + ([row.status] if row else [])
        for before, after in pairwise(life):
            if RANKS[after] < RANKS[before] or (before in FINAL and after != before):
                yield f"{sid} was {before} and then {after}"


def every_status_is_told(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """Each status that is called back arrived, signed; nothing else was told."""
    told = _first_told(ledger)
    for sid, sent in ledger.accepted.items():
        row = stored.messages.get(sid)
        due = {row.status} if row else set()
        due |= set(ledger.polled.get(sid, ()))
        is_chosen = sent.is_chosen and due - {"scheduled", "canceled"}
        if row and row.error_code == OPTED_OUT:
            is_chosen = False  # Perhaps it failed before it was queued.
        due = (due & CALLED_BACK) | ({"queued"} if is_chosen else set())
        missing = due - set(told.get(sid, ()))
        if sent.is_called_back and missing:
            yield f"{sid}: nobody was told {sorted(missing)}, only {told.get(sid)}"
    for sid, count in ledger.badly_signed.items():
        if count:
            yield f"{sid}: {count} webhooks had a wrong signature"
    for name in ("callbacks", "parked"):
        if stored.waiting[name]:
            yield f"{stored.waiting[name]} {name} are left"


def _first_told(ledger: Ledger) -> dict[str, list[str]]:
    """Return the statuses that were taken of each message, in the order of their first time."""
    found: dict[str, list[str]] = {}
    for each in ledger.told:
        statuses = found.setdefault(each.sid, [])
        if each.is_taken and each.status not in statuses:
            statuses.append(each.status)
    return {sid: statuses for sid, statuses in found.items() if statuses}


def use_is_counted_once(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """The use of all accounts has each message once that was sent, also of those deleted since."""
    sent = sum(row.was_sent and row.direction != "inbound" for row in stored.messages.values())
    sure = sum(sid not in stored.messages for sid, is_sure in ledger.removed.items() if is_sure)
    maybe = sum(sid not in stored.messages for sid in ledger.removed) - sure
    count = stored.used["sms-outbound"] + stored.used["mms-outbound"]
    if not sent + sure <= count <= sent + sure + maybe:
        yield f"{count} messages were counted, {sent} were sent and {sure} more deleted since"
    inbound = sum(row.direction == "inbound" for row in stored.messages.values())
    if stored.used["sms-inbound"] != inbound:
        yield f"{stored.used['sms-inbound']} inbound messages were counted, {inbound} are there"


def windows_are_kept(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """No connection ever has more segments unanswered than its window."""
    over = [each for each in ledger.arrivals if each.in_flight > WINDOW]
    for each in over[:1]:
        yield f"{len(over)} segments came beyond the window, one as number {each.in_flight}"


def rates_are_kept(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """In any stretch of time a sender has its rate, and a burst besides."""
    by_sender: defaultdict[str, list[Arrival]] = defaultdict(list)
    for each in ledger.arrivals:
        if each.carrier == ONCE:
            by_sender[each.sender].append(each)
    # What a lane knew of a rate goes with it. Whoever follows has a connection of its own, begins
    # with a full bucket, and what was let go may have waited in its hand.
    burst = RATE * BURST_SECONDS + SEGMENTS_MAX + IN_HAND_MAX
    for sender, mine in by_sender.items():
        for first, each in enumerate(mine):
            end = bisect_right(mine, each.at + STRETCH_SECONDS, key=attrgetter("at"))
            together = mine[first:end]
            starts = len({other.connection for other in together})
            if len(together) > RATE * STRETCH_SECONDS + starts * burst:
                yield (
                    f"a sender had {len(together)} segments in {STRETCH_SECONDS} s on {starts}"
                    f" connections ({sender[-4:]})"
                )
                break


@dataclass(frozen=True)
class Connections:
    """How many segments came on each connection of the SMSC, and which of them ended early."""

    counts: Counter[int]
    ended: dict[int, float]

    def behind(self, arrival: Arrival) -> int:
        """Return how many segments came behind one on its connection."""
        return self.counts[arrival.connection] - arrival.place

    def was_in_doubt(self, arrival: Arrival) -> bool:
        """Say whether nobody can know for us what was answered to a segment."""
        if not was_answered_soon(arrival):
            return True
        return arrival.connection in self.ended and self.behind(arrival) < IN_HAND_MAX


def segments_are_repeated_only_in_doubt(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """A segment comes again after a deferral, or where the carrier's rule allows it in doubt."""
    connections = connections_of(ledger)
    # A text that a handset sent again has a reply of its own, with the same words.
    twins = {token + REPLY for token, offer in ledger.inbound.items() if offer.was_repeated}
    for first, second in repetitions(ledger.arrivals):
        if first.verdict == PUT_OFF or first.token in twins:
            continue
        if first.carrier == AGAIN and connections.was_in_doubt(first):
            continue
        yield (
            f"text {first.token} came again by {first.carrier}: {first.verdict or 'not answered'}"
            f" on connection {first.connection} with {connections.behind(first)} behind it, again"
            f" {second.at - first.at:.1f} s later on {second.connection}"
        )


def was_answered_soon(arrival: Arrival) -> bool:
    """Say whether the answer to a segment was certainly in time."""
    answered_at = arrival.answered_at
    return answered_at is not None and answered_at - arrival.at <= RESPONSE_SECONDS / 2


def connections_of(ledger: Ledger) -> Connections:
    """Return what is to be known of the SMSC's connections."""
    return Connections(Counter(each.connection for each in ledger.arrivals), ledger.ended)


def repetitions(arrivals: Iterable[Arrival]) -> Iterator[tuple[Arrival, Arrival]]:
    """Yield the arrivals of one segment that follow each other."""
    by_key: defaultdict[str, list[Arrival]] = defaultdict(list)
    for each in arrivals:
        by_key[each.key].append(each)
    for mine in by_key.values():
        yield from pairwise(mine)


def messages_fail_for_a_reason(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """A failed one was refused by the SMSC; or in doubt, where it may not be sent again."""
    refused = {each.token for each in ledger.arrivals if each.verdict == REFUSED}
    doubtful = []
    for sid, row in stored.messages.items():
        token = ledger.accepted[sid].token if sid in ledger.accepted else token_of(row.body)
        if row.status != "failed" or token in refused:
            continue
        if row.error_code == OPTED_OUT:
            if (row.account_sid, row.recipient) not in ledger.opted_out:
                yield f"{sid} failed with {OPTED_OUT}, and its recipient did not opt out"
        elif sid in ledger.accepted and ledger.accepted[sid].has_media:
            if row.error_code not in NO_MEDIA:
                yield f"{sid} with media failed with {row.error_code}"
        elif row.carrier == ONCE and row.error_code == IN_DOUBT:
            doubtful.append(sid)
        else:
            yield f"{sid} by {row.carrier} failed with {row.error_code}, and nobody refused it"
    # Without a connection a lane has nothing in hand; each that ended cost its own at most.
    limit = (len(ledger.ended) + len(ledger.disturbed) * LANES) * IN_HAND_MAX
    late = sum(each.answered_at is None for each in ledger.arrivals)
    if len(doubtful) > limit + late:
        yield f"{len(doubtful)} messages failed in doubt, {limit + late} may have been in hand"


def accepted_messages_leave(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """What is sent or delivered came to the SMSC."""
    came = {each.token for each in ledger.arrivals}
    for sid, sent in ledger.accepted.items():
        row = stored.messages.get(sid)
        if row and row.carrier in (AGAIN, ONCE) and row.was_sent and sent.token not in came:
            yield f"{sid} is {row.status}, and its text never came to the SMSC"


def canceled_messages_stay(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """What was canceled in time never comes to the SMSC; nothing else is canceled."""
    came = {each.token for each in ledger.arrivals}
    for sid, is_certain in ledger.canceled.items():
        row = stored.messages.get(sid)
        if is_certain and row and row.status != "canceled":
            yield f"{sid} was canceled and is {row.status}"
    for sid, row in stored.messages.items():
        if row.status == "canceled" and sid not in ledger.canceled:
            yield f"{sid} is canceled, and nobody asked for that"
        if row.status == "canceled" and ledger.accepted[sid].token in came:
            yield f"{sid} is canceled, and its text came to the SMSC"


def who_opted_out_gets_nothing(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """Nothing comes by a service that its recipient opted out of before, however long it waited."""
    by_token = {token_of(row.body): row for row in stored.messages.values() if row.is_chosen}
    for each in ledger.arrivals:
        row = by_token.get(each.token)
        if row is None or row.direction != "outbound-api":
            continue
        _, answered_at = ledger.opted_out.get((row.account_sid, row.recipient), (0.0, math.inf))
        if each.at > answered_at + HAND_SECONDS:
            yield (
                f"{row.sid} came {each.at - answered_at:.1f} s after its recipient had opted out"
            )


def inbound_texts_are_kept(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """A text that was acknowledged is there, once if it was offered once; its reply as often."""
    found: Counter[int] = Counter()
    replies: Counter[int] = Counter()
    for row in stored.messages.values():
        counts = {"inbound": found, "outbound-reply": replies}.get(row.direction)
        if counts is not None:
            counts[token_of(row.body)] += 1
    for token, offer in ledger.inbound.items():
        count = found[token]
        if offer.is_taken and not count:
            yield f"inbound text {token} was acknowledged and is not there"
        if count > 1 and not offer.was_repeated:
            yield f"inbound text {token} was brought once and is there {count} times"
        answers = replies[token + REPLY]
        if answers != (count if offer.wants_reply else 0):
            yield f"inbound text {token} is there {count} times, its reply {answers} times"


def inbound_texts_are_told(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """The application took the webhook of each text that came; who listed its number, the text."""
    for row in stored.messages.values():
        if row.direction != "inbound":
            continue
        token = token_of(row.body)
        if not ledger.heard[token]:
            yield f"{row.sid} (inbound text {token}) is there, and nobody was told"
        if ledger.inbound[token].is_customers and not ledger.brought[token]:
            yield f"{row.sid} (inbound text {token}) is there, and its customer was not brought it"


def customers_get_their_receipts(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """Whoever submitted over SMPP is brought how it ended."""
    words = {"delivered": DELIVERED, "undelivered": MISSED}
    for sid, sent in ledger.accepted.items():
        row = stored.messages.get(sid)
        if sent.way != SMPP or row is None or row.status not in FINAL:
            continue
        said = set(ledger.reported[sid])
        wanted = words.get(row.status)
        if not said or (wanted and said != {wanted}):
            yield f"{sid} is {row.status}, and its customer was brought {sorted(said)}"


def the_database_is_sound(ledger: Ledger, stored: Stored) -> Iterator[str]:
    """`trunkline db check` finds nothing, and nothing waits."""
    yield from (f"db check: {fault}" for fault in stored.faults)
    for name in ("outbox", "media_fetches", "schedule", "deliveries", "receipts", "on the air"):
        if stored.waiting[name]:
            yield f"{stored.waiting[name]} rows are left: {name}"


CHECKS: tuple[Check, ...] = (
    accepted_messages_are_there,
    what_was_made_is_there,
    nothing_is_accepted_twice,
    every_message_ends,
    receipts_count,
    statuses_go_forward,
    every_status_is_told,
    use_is_counted_once,
    windows_are_kept,
    rates_are_kept,
    segments_are_repeated_only_in_doubt,
    messages_fail_for_a_reason,
    accepted_messages_leave,
    canceled_messages_stay,
    who_opted_out_gets_nothing,
    inbound_texts_are_kept,
    inbound_texts_are_told,
    customers_get_their_receipts,
    the_database_is_sound,
)


def breaches(ledger: Ledger, stored: Stored) -> list[str]:
    """Return everything that is wrong, with the check that found it."""
    return [f"{check.__name__}: {found}" for check in CHECKS for found in check(ledger, stored)]
