"""Sending to everybody in a file: checked first, sent once, and told line by line.

Rule: each text is asked for under a key of its own, so that asking again sends nothing twice; what
was asked for so long ago that its key may be forgotten is left alone and named.
"""

import contextlib
import csv
import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.client import HTTPException
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trunkline.cli.campaign import Campaign, Row
from trunkline.cli.client import Document, Fields, Line, Platform, Reply, rows
from trunkline.cli.journal import Journal, Outcome
from trunkline.cli.show import brief, cell
from trunkline.domain.ids import is_sid, position_of
from trunkline.domain.message import FINAL

CHECK = "/trunkline/v1/messages/check"
# A request holds 64 kB; encoded as a form, text grows up to threefold.
BATCH_ROWS_MAX = 100
BATCH_CHARACTERS_MAX = 18_000
LINES_MAX = 8  # Connections; what comes at the same time is committed together.
# The platform forgets a key after 24 hours.
KEY_LIFE = timedelta(hours=23)
# So long nothing may be taken before sending stops; it can be taken up again.
SILENCE_SECONDS_MAX = 60.0
BUSY_SECONDS_MAX = 3600.0
PAUSE_SECONDS_MAX = 30.0
QUEUE_FULL = 21611  # The sender has ten hours of work; there is room again as it works.
BUSY = frozenset({429, 503})
FATAL = frozenset({401, 403, 404})  # These say something of all texts alike.
DAY_IS_FULL = 63038  # A trial account may send again tomorrow; a pause is no use.
# Looking what became of the texts: pages of the newest messages, and a pause as it takes.
PAGE_ROWS, PAGES_MAX = 1000, 500
LOOK_SECONDS, LOOK_TIMES = 1.0, 5.0
BROKEN_SHOWN_MAX = 10
REASON_SHOWN_MAX = 100
INTERRUPTED = 130  # The exit code of what a signal ended.

REPORT = ("line", "to", "sid", "status", "error_code", "error", "segments", "price")
INVALID, REFUSED, UNKNOWN, NOT_SENT, TAKEN = "invalid", "refused", "unknown", "not sent", "taken"
_BAD = frozenset({INVALID, REFUSED, UNKNOWN, NOT_SENT, "failed", "undelivered", "canceled"})
_FINAL = frozenset(status.value for status in FINAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """From whom a campaign is sent, how long it is followed, and where that is told."""

    sender: Fields
    wait_seconds: float
    is_confirmed: bool
    report: Path


@dataclass(slots=True)
class Estimate:
    """What the platform thinks of the texts; refused: the error of those it would not take."""

    segments: int = 0
    price: Decimal = Decimal(0)
    refused: dict[int, Outcome] = field(default_factory=dict)


def send_campaign(platform: Platform, campaign: Campaign, *, journal: Journal, order: Order) -> int:
    """Check, ask, send, wait and report; return the exit code."""
    rest, doubtful = _rest(campaign, journal)
    estimate = _estimate(platform, rest, sender=order.sender)
    good = [row for row in rest if row.line not in estimate.refused]
    _tell_before(campaign, journal, estimate=estimate, good=good)
    if good and not order.is_confirmed:
        click.confirm(f"Send {_count(len(good), 'text')}?", abort=True)
    with _signals() as stop:
        sending = _Sending(platform, journal, sender=order.sender, stop=stop)
        sending.run(good)
        found = {} if stop.is_set() else _follow(platform, journal, order=order, stop=stop)
    outcomes = {**estimate.refused, **journal.outcomes}
    lines = list(_report(campaign, outcomes, doubtful=doubtful, found=found))
    _write(order.report, lines)
    return _conclude(lines, order, stopped=sending.reason or "by a signal" * stop.is_set())


def _rest(campaign: Campaign, journal: Journal) -> tuple[list[Row], set[int]]:
    """Return what is still to be sent, and the lines of which nobody knows whether they were."""
    before = datetime.now(UTC) - KEY_LIFE
    left = [row for row in campaign.rows if row.line not in journal.outcomes]
    doubtful = {row.line for row in left if journal.tried.get(row.line, before) < before}
    return [row for row in left if row.line not in doubtful], doubtful


def _estimate(platform: Platform, wanted: Sequence[Row], *, sender: Fields) -> Estimate:
    """Ask the platform what would come of texts."""
    estimate = Estimate()
    for batch in _batches(wanted):
        items = [("Items", json.dumps({"To": r.recipient, "Body": r.body})) for r in batch]
        answers = rows(platform.post(CHECK, [*sender, *items]), "items")
        for row, answer in zip(batch, answers, strict=True):
            code = answer.get("error_code")
            if isinstance(code, int):
                text = cell(answer.get("error_message"))
                estimate.refused[row.line] = Outcome(error_code=code, error=text)
                continue
            estimate.segments += int(str(answer.get("num_segments")))
            estimate.price += Decimal(str(answer.get("price")))
    return estimate


def _batches(wanted: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield rows as many together as a request holds."""
    batch: list[Row] = []
    size = 0
    for row in wanted:
        if batch and (len(batch) == BATCH_ROWS_MAX or size + len(row.body) > BATCH_CHARACTERS_MAX):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += len(row.body)
    if batch:
        yield batch


def _tell_before(
    campaign: Campaign, journal: Journal, *, estimate: Estimate, good: Sequence[Row]
) -> None:
    """Show what is about to be sent, and what cannot be."""
    broken = {line: why for line, (_, why) in campaign.broken.items()}
    broken |= {line: f"{o.error} (error {o.error_code})" for line, o in estimate.refused.items()}
    for line in sorted(broken)[:BROKEN_SHOWN_MAX]:
        click.echo(f"line {line}: {brief(broken[line], size_max=REASON_SHOWN_MAX)}", err=True)
    if len(broken) > BROKEN_SHOWN_MAX:
        click.echo(f"… and {len(broken) - BROKEN_SHOWN_MAX:,} lines more", err=True)
    if broken:
        click.echo(f"{_count(len(broken), 'line')} cannot be sent.", err=True)
    if journal.outcomes:
        done = _count(len(journal.outcomes), "line")
        click.echo(f"{done} dealt with already, begun on {journal.began_at:%Y-%m-%d %H:%M} UTC.")
    if good:
        texts, segments = _count(len(good), "text"), _count(estimate.segments, "segment")
        click.echo(f"{texts}, {segments}, about ${estimate.price:,.4f}.")
    else:
        click.echo("Nothing is left to be sent.")


@contextlib.contextmanager
def _signals() -> Iterator[threading.Event]:
    """Yield what Ctrl-C and a kind kill set, instead of ending the program in the middle."""
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, lambda *_: stop.set()) for each in signals]
    try:
        yield stop
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


class _Sending:
    """Asks for texts on several connections, until all are taken or it has to stop."""

    def __init__(
        self, platform: Platform, journal: Journal, *, sender: Fields, stop: threading.Event
    ) -> None:
        self.reason = ""
        self._platform = platform
        self._journal = journal
        self._sender = sender
        self._stop = stop
        self._local = threading.local()
        self._lines: list[Line] = []
        self._taken_at = time.monotonic()

    def run(self, wanted: Sequence[Row]) -> None:
        """Send what is wanted, in this order as far as several connections keep one."""
        pending: set[Future[None]] = set()
        with _progress(len(wanted)) as advance, ThreadPoolExecutor(LINES_MAX) as pool:
            for row in wanted:
                if self._stop.is_set():
                    break
                pending.add(pool.submit(self._one, row))
                if len(pending) > LINES_MAX:
                    pending = _settled(pending, advance, everything=False)
            _settled(pending, advance, everything=True)
        for line in self._lines:
            line.close()

    def _one(self, row: Row) -> None:
        """Ask for a text until it is known what came of it, or sending stops."""
        if self._stop.is_set():
            return
        form = [("To", row.recipient), *self._sender, ("Body", row.body)]
        headers = {"Idempotency-Key": f"{self._journal.name}-{row.line}"}
        if row.line not in self._journal.tried:
            self._journal.note_try(row.line)
        pause = 1.0
        while not self._stop.is_set():
            verdict = self._ask(form, headers)
            if isinstance(verdict, Outcome):
                self._journal.note_outcome(row.line, verdict)
                self._taken_at = time.monotonic()
                return
            seconds, seconds_max, why = verdict
            if time.monotonic() - self._taken_at > seconds_max:
                self._end(why)
            self._stop.wait(min(seconds or pause, PAUSE_SECONDS_MAX))
            pause *= 2

    def _ask(self, form: Fields, headers: Mapping[str, str]) -> Outcome | tuple[float, float, str]:
        """Return what came of a request, or how long to wait, how often at most, and why."""
        if not hasattr(self._local, "line"):
            self._local.line = Line(self._platform)
            self._lines.append(self._local.line)
        path = self._platform.account_path("Messages.json")
        try:
            reply = self._local.line.post(path, form, headers=headers)
        except (OSError, HTTPException, ValueError) as error:
            return 0, SILENCE_SECONDS_MAX, f"{self._platform.base_url} does not answer: {error}"
        return _judge(reply)

    def _end(self, why: str) -> None:
        self.reason = why
        self._stop.set()


def _judge(reply: Reply) -> Outcome | tuple[float, float, str]:
    """Return what an answer says of its text, or how long to wait, how often at most, and why."""
    sid, code = cell(reply.document.get("sid")), reply.document.get("code")
    text = cell(reply.document.get("message")) or f"HTTP status {reply.status}"
    said = f"{text} (error {cell(code) or reply.status})"
    if reply.status == 201 and is_sid(sid, "SM", "MM"):
        return Outcome(sid)
    if reply.status in FATAL or code == DAY_IS_FULL:
        return 0, 0, said
    if reply.status in BUSY or code == QUEUE_FULL:
        after = reply.headers.get("retry-after", "")
        return float(after) if after.isdigit() else 0, BUSY_SECONDS_MAX, said
    if reply.status >= 500 or not isinstance(code, int):
        return 0, SILENCE_SECONDS_MAX, said
    return Outcome(error_code=code, error=text)


def _settled(
    pending: set[Future[None]], advance: Callable[[int], None], *, everything: bool
) -> set[Future[None]]:
    """Wait for one of *pending*, or for all; raise what one of them raised, return the others."""
    if not pending:
        return pending
    done, left = wait(pending, return_when="ALL_COMPLETED" if everything else FIRST_COMPLETED)
    for each in done:
        each.result()
        advance(1)
    return left


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar where somebody looks; yield what moves it."""
    bar = Progress(
        TextColumn("Sending"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)


def _follow(
    platform: Platform, journal: Journal, *, order: Order, stop: threading.Event
) -> dict[str, Document]:
    """Return the messages of a campaign, once all have ended or nobody waits any longer.

    While the platform does not answer it is asked again: they are sent, and the report is due.
    """
    wanted = {outcome.sid for outcome in journal.outcomes.values() if outcome.sid}
    found: dict[str, Document] = {}
    until = time.monotonic() + order.wait_seconds
    while wanted:
        began = time.monotonic()
        trouble = ""
        try:
            found |= _look(platform, wanted)
        except click.ClickException as error:
            trouble = error.message
        wanted -= {sid for sid, message in found.items() if message.get("status") in _FINAL}
        left, took = until - time.monotonic(), time.monotonic() - began
        if left <= 0 or stop.wait(min(left, max(LOOK_SECONDS, took * LOOK_TIMES))):
            if trouble:
                click.echo(f"What became of the texts could not be asked: {trouble}", err=True)
            break
    return found


def _look(platform: Platform, wanted: set[str]) -> dict[str, Document]:
    """Return the messages that are wanted, found among the newest of the account."""
    oldest = min(position_of(sid) for sid in wanted)
    found: dict[str, Document] = {}
    path = platform.account_path(f"Messages.json?PageSize={PAGE_ROWS}")
    for _ in range(PAGES_MAX):
        document = platform.fetch(path)
        page = rows(document, "messages")
        found |= {str(m.get("sid")): m for m in page if m.get("sid") in wanted}
        following = document.get("next_page_uri")
        if not isinstance(following, str) or position_of(str(page[-1].get("sid"))) < oldest:
            break
        path = following
    return found


def _report(
    campaign: Campaign,
    outcomes: Mapping[int, Outcome],
    *,
    doubtful: set[int],
    found: Mapping[str, Document],
) -> Iterator[dict[str, object]]:
    """Yield what became of each line, in their order."""
    recipients = {row.line: row.recipient for row in campaign.rows}
    recipients |= {line: text for line, (text, _) in campaign.broken.items()}
    for line, recipient in sorted(recipients.items()):
        told: dict[str, object] = {"line": line, "to": recipient}
        outcome = outcomes.get(line)
        if line in campaign.broken:
            told |= {"status": INVALID, "error": campaign.broken[line][1]}
        elif outcome is None:
            told["status"] = UNKNOWN if line in doubtful else NOT_SENT
        elif not outcome.sid:
            told |= {"error_code": outcome.error_code, "error": outcome.error, "status": REFUSED}
        else:
            told |= {"sid": outcome.sid, **_ended(found.get(outcome.sid))}
        yield told


def _ended(message: Document | None) -> Document:
    if message is None:
        return {"status": TAKEN}
    names = {"status": "status", "error_code": "error_code", "error": "error_message"}
    names |= {"segments": "num_segments", "price": "price"}
    return {ours: message.get(theirs) for ours, theirs in names.items()}


def _write(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, REPORT, restval="")
            writer.writeheader()
            writer.writerows(lines)
        partial.replace(path)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}.") from error


def _conclude(lines: Sequence[Mapping[str, object]], order: Order, *, stopped: str) -> int:
    """Say how it went and return the exit code."""
    counts = Counter(str(line["status"]) for line in lines)
    click.echo(f"{', '.join(f'{n:,} {status}' for status, n in counts.items())}: {order.report}")
    if stopped:
        click.echo(f"Stopped: {stopped}. Say the same again to go on with the rest.", err=True)
    if counts[UNKNOWN]:
        text = "was asked for more than a day ago, and nobody knows what came of it"
        click.echo(f"{_count(counts[UNKNOWN], 'line')} {text}.", err=True)
    if stopped == "by a signal":
        return INTERRUPTED
    return 1 if stopped or _BAD & counts.keys() else 0


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")
