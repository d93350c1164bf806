"""`trunkline consent`: who agreed to what, who opted out, and the evidence of it."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TextIO

import click

from trunkline.cli import options
from trunkline.cli.client import Document, Fields, Platform, rows
from trunkline.cli.show import cell, moment, print_json, print_table
from trunkline.domain.consent import Consent, Source

PATH = "/trunkline/v1/consents"
HISTORY = f"{PATH}/history"
STATES = {"Recipient": "recipient", "Scope": "scope", "Status": "status", "Since": "since"}
ENTRIES = {
    "No.": "number",
    "Recipient": "recipient",
    "Scope": "scope",
    "Status": "status",
    "Source": "source",
    "Said": "consented_at",
    "Details": "evidence",
}
# The columns of a file that say what is meant; all others are evidence.
PARTS = {
    "recipient": "contact_id",
    "scope": "sender_id",
    "status": "status",
    "source": "source",
    "consented_at": "date_of_consent",
}
EVIDENCE = "evidence"
# What the platform's words for a mistake mean.
WRONG = {
    "INVALID_CONTACT_ID": "the recipient is no phone number",
    "INVALID_SENDER_ID": "the scope is no Messaging Service or sender of the account",
    "INVALID_STATUS": "the status is neither opt-in nor opt-out",
    "INVALID_SOURCE": "no such source is known",
    "INVALID_DATE_OF_CONSENT": "the time is none, or it is to come",
    "INVALID_EVIDENCE": "the evidence has too many fields, or too long ones",
}
# What stands between the fields: Excel writes semicolons where a comma is in numbers, and tabs.
DELIMITERS = ",;\t"
EXPORTED = ("number", *PARTS, "recorded_at", EVIDENCE, "digest")
# A request holds 64 kB; encoded as a form, text grows up to threefold.
BATCH_ROWS_MAX = 100
BATCH_CHARACTERS_MAX = 18_000
PAGE_ROWS = 500
ERRORS_SHOWN_MAX = 100  # What is wrong with a file shows in fewer lines.

STATUS = click.Choice([each.value for each in Consent])
SOURCE = click.Choice([each.value for each in Source])


@click.group()
@options.data_dir_option
def consent() -> None:
    """Show who agreed to be sent texts and who opted out; keep the evidence of it."""


@consent.command("list")
@click.option("--status", type=STATUS, help="Only these.")
@click.option("--recipient", metavar="NUMBER", help="Only of this recipient.")
@click.option("--account", metavar="AC…", help="Of this account instead of the main one.")
@click.option("--limit", default=50, type=click.IntRange(1, 1000), show_default=True)
@click.option("--after", metavar="RECIPIENT,SCOPE", help="Go on behind this line.")
@options.data_dir_option
@options.json_option
def list_(*, as_json: bool, limit: int, **filters: str | None) -> None:
    """Show what recipients want, in the order of their numbers."""
    query = [("limit", str(limit)), *_given(filters)]
    document = Platform(options.credentials()).fetch(PATH, query)
    if as_json:
        print_json(document)
        return
    print_table(STATES, [_shown(row) for row in rows(document, "consents")])


@consent.command()
@click.argument("recipient", required=False)
@click.option("--account", metavar="AC…", help="Of this account instead of the main one.")
@click.option("--limit", default=50, type=click.IntRange(1, 1000), show_default=True)
@click.option("--before", metavar="N", help="Only what is older than this entry.")
@options.data_dir_option
@options.json_option
def history(*, as_json: bool, limit: int, **filters: str | None) -> None:
    """Show what RECIPIENT, or everybody, said of it, the newest first."""
    query = [("limit", str(limit)), *_given(filters)]
    document = Platform(options.credentials()).fetch(HISTORY, query)
    if as_json:
        print_json(document)
        return
    print_table(ENTRIES, [_shown(row) for row in rows(document, "history")])


@consent.command("set")
@click.argument("recipient")
@click.argument("scope")
@click.argument("status", type=STATUS)
@click.option("--source", type=SOURCE, default="others", show_default=True)
@click.option("--at", "consented_at", metavar="TIME", help="When it was said (ISO 8601).")
@click.option("--evidence", multiple=True, metavar="NAME=TEXT", help="May be repeated.")
@click.option("--account", metavar="AC…", help="For this account instead of the main one.")
@options.data_dir_option
def set_(*, evidence: tuple[str, ...], account: str | None, **parts: str | None) -> None:
    """Note that RECIPIENT opted in or out of SCOPE: a Messaging Service (MG…) or a sender."""
    named = dict(_named(text) for text in evidence)
    item = _item({name: text or "" for name, text in parts.items()}, named)
    (done,) = _post(Platform(options.credentials()), [item], account=account)
    if done.get("errors"):
        raise click.ClickException(cell(_wrong(done)))
    click.echo(f"{cell(parts['recipient'])}: {cell(done.get('effect'))}")


@consent.command("import")
@click.argument("file", type=click.File(encoding="utf-8-sig"))
@click.option("--scope", metavar="MG…|SENDER", help="For lines that name none.")
@click.option("--status", type=STATUS, help="For lines that name none.")
@click.option("--source", type=SOURCE, help="For lines that name none.")
@click.option("--account", metavar="AC…", help="For this account instead of the main one.")
@options.data_dir_option
def import_(*, file: TextIO, account: str | None, **usual: str | None) -> None:
    """Keep what a CSV FILE says ("-": standard input), each line for itself.

    The columns recipient, scope, status, source and consented_at say what is meant; all others are
    kept as evidence, and one called evidence may hold a JSON object. Commas, semicolons or tabs
    stand between them, as the first line has it. Lines that are known already change nothing, so a
    file may be imported again. Exit code 1 says that some lines were refused.
    """
    platform = Platform(options.credentials())
    tally = _Tally()
    for batch in _batches(_lines(file, usual=dict(_given(usual)), tally=tally)):
        done = _post(platform, [item for _, item in batch], account=account)
        for (line, _), outcome in zip(batch, done, strict=True):
            tally.add(line, outcome)
    counts = ", ".join(f"{count:,} {name}" for name, count in tally.effects.items())
    click.echo(f"{counts or 'nothing'}; {tally.refused:,} refused")
    if tally.refused:
        click.get_current_context().exit(1)


@consent.command()
@click.argument("file", type=click.File("w", encoding="utf-8", lazy=True), default="-")
@click.option("--account", metavar="AC…", help="Of this account instead of the main one.")
@options.data_dir_option
def export(*, file: TextIO, account: str | None) -> None:
    """Write the whole history to a CSV FILE, oldest first; the last digest stands for all of it."""
    platform = Platform(options.credentials())
    writer = csv.DictWriter(file, EXPORTED, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for entry in _entries(platform, account):
        evidence = json.dumps(entry.get(EVIDENCE), ensure_ascii=False, sort_keys=True)
        writer.writerow({**entry, EVIDENCE: evidence})


@dataclass(slots=True)
class _Tally:
    """What became of the lines of a file."""

    refused: int = 0
    effects: dict[str, int] = field(default_factory=dict)

    def add(self, line: int, outcome: Document) -> None:
        if outcome.get("errors"):
            self.refuse(line, _wrong(outcome))
            return
        effect = cell(outcome.get("effect"))
        self.effects[effect] = self.effects.get(effect, 0) + 1

    def refuse(self, line: int, reason: str) -> None:
        self.refused += 1
        if self.refused <= ERRORS_SHOWN_MAX:
            click.echo(f"line {line}: {reason}", err=True)
        elif self.refused == ERRORS_SHOWN_MAX + 1:
            click.echo("… and more", err=True)


def _lines(file: TextIO, *, usual: Mapping[str, str], tally: _Tally) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that can be sent, with their numbers."""
    number = 0
    try:
        first = file.readline()
        delimiter = max(DELIMITERS, key=first.count)
        reader = csv.DictReader(chain([first], file), delimiter=delimiter, strict=True)
        reader.fieldnames = _columns(reader.fieldnames or ())
        for row in reader:
            number = reader.line_num
            if not any("".join(text or ()) for text in row.values()):
                continue  # What a spreadsheet leaves of a line that was emptied.
            item = _read(row, usual)
            if len(item) > BATCH_CHARACTERS_MAX:
                tally.refuse(number, "it is too long")
            elif item:
                yield number, item
            else:
                tally.refuse(number, "it has more or fewer fields than the first line")
    except UnicodeDecodeError as error:
        raise click.ClickException(_unreadable(number, "it is not UTF-8")) from error
    except csv.Error as error:
        raise click.ClickException(_unreadable(number, str(error))) from error


def _unreadable(number: int, reason: str) -> str:
    return f"What follows line {number} cannot be read: {reason}. What is before it is kept."


def _columns(names: Sequence[str]) -> list[str]:
    """Return the columns of a file, however Status is written; refuse what might mislead."""
    found = [name.strip() for name in names]
    while found and not found[-1]:
        found.pop()
    known = {*PARTS, EVIDENCE}
    found = [name.lower() if name.lower() in known else name for name in found]
    if "recipient" not in found:
        raise click.ClickException("The first line must name the columns; one is recipient.")
    if "" in found or len(set(found)) < len(found):
        raise click.ClickException("Each column must have a name of its own in the first line.")
    return found


def _read(row: Mapping[str | None, str | list[str] | None], usual: Mapping[str, str]) -> str:
    """Return a line as it is sent; '' where it has not the fields of the first."""
    values = {name: text for name, text in row.items() if name and isinstance(text, str)}
    if any(row.get(None) or ()) or None in row.values():
        return ""
    parts = {name: values.pop(name, "").strip() or usual.get(name, "") for name in PARTS}
    evidence = {name: text for name, text in values.items() if text and name != EVIDENCE}
    return _item(parts, _object(values.get(EVIDENCE, "")) | evidence)


def _object(text: str) -> dict[str, str]:
    """Return the texts of a JSON object; of something else, that it was the evidence."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return {EVIDENCE: text}
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in found.items()
    }


def _item(parts: Mapping[str, str], evidence: Mapping[str, str]) -> str:
    named = {PARTS[name]: text for name, text in parts.items()}
    return json.dumps({**named, EVIDENCE: dict(evidence)})


def _batches(lines: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """Yield lines as many together as a request holds; those before one that ends it all, too."""
    batch: list[tuple[int, str]] = []
    size = 0
    try:
        for number, item in lines:
            if len(batch) == BATCH_ROWS_MAX or size + len(item) > BATCH_CHARACTERS_MAX:
                yield batch
                batch, size = [], 0
            batch.append((number, item))
            size += len(item)
    except click.ClickException:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _post(platform: Platform, items: Iterable[str], *, account: str | None) -> list[Document]:
    form = [("Items", item) for item in items]
    return rows(platform.post(PATH, [*form, *_given({"Account": account})]), "items")


def _entries(platform: Platform, account: str | None) -> Iterator[Document]:
    """Yield the history, a page at a time."""
    after: object = 0
    while True:
        query = [("after", str(after)), ("limit", str(PAGE_ROWS)), *_given({"account": account})]
        page = rows(platform.fetch(HISTORY, query), "history")
        yield from page
        if len(page) < PAGE_ROWS:
            return
        after = page[-1].get("number")


def _given(values: Mapping[str, str | None]) -> Fields:
    return [(name, value) for name, value in values.items() if value]


def _named(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.UsageError("Evidence has a name and a text, like form=spring.")
    return name, value


def _wrong(outcome: Document) -> str:
    errors = outcome.get("errors")
    names = map(str, errors) if isinstance(errors, list) else ()
    return "; ".join(f"{name}: {WRONG[name]}" if name in WRONG else name for name in names)


def _shown(row: Document) -> Document:
    shown = dict(row)
    for name in ("since", "consented_at"):
        shown[name] = moment(row.get(name))
    evidence = row.get(EVIDENCE)
    if isinstance(evidence, dict):
        shown[EVIDENCE] = ", ".join(f"{name}={value}" for name, value in evidence.items())
    return shown
