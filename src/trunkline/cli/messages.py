"""`trunkline send` and `trunkline messages`: the Twilio API from the command line."""

import contextlib
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from itertools import islice
from pathlib import Path
from typing import Final, TypedDict, Unpack

import click

from trunkline.cli import options
from trunkline.cli.bulk import Order, send_campaign
from trunkline.cli.campaign import read_campaign
from trunkline.cli.client import Document, Fields, Platform, rows
from trunkline.cli.journal import SUFFIX, Journal
from trunkline.cli.show import brief, cell, print_json, print_table
from trunkline.domain.message import Status

WAIT_SECONDS_MAX = 86_400  # A message ends within ten hours, unless its carrier says nothing.
# What the API gives in one page; more than one look at a terminal takes in.
LIMIT_MAX = 1000
# A rare status is looked for among the newest messages, not in all of history.
PAGES_MAX = 50
# A line tells messages apart; the whole body is in --json, in the trace and in the console.
BODY_SHOWN_MAX = 50

COLUMNS = {
    "SID": "sid",
    "Created": "created",
    "Direction": "direction",
    "From": "from",
    "To": "to",
    "Status": "status",
    "Error": "error_code",
    "Segments": "num_segments",
    "Body": "body",
}


# What means nothing for a single message; nobody is to believe that it was heeded.
CSV_ONLY: Final = ("template", "to_column", "allow_duplicates", "yes", "no_wait", "report")


class Bulk(TypedDict):
    """How everybody in a file is sent to."""

    template: str | None
    to_column: str | None
    allow_duplicates: bool
    yes: bool
    wait_seconds: float
    no_wait: bool
    report: str | None


@click.command()
@click.argument("to", required=False)
@click.argument("body", required=False)
@click.option("--from", "sender", metavar="NUMBER", help="Send from this number of the account.")
@click.option("--service", metavar="MG…", help="Send with this Messaging Service.")
@click.option("--media", multiple=True, metavar="URL", help="Attach a file; may be repeated.")
@click.option("--csv", "contacts", metavar="FILE", help="Send to everybody in a CSV file.")
@click.option("--template", metavar="TEXT", help="With --csv: the text, with {{column}}s in it.")
@click.option("--to-column", metavar="NAME", help="With --csv: the column of the numbers.")
@click.option("--allow-duplicates", is_flag=True, help="With --csv: numbers may repeat.")
@click.option("--yes", is_flag=True, help="With --csv: do not ask before sending.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, WAIT_SECONDS_MAX),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="With --csv: for how long the texts are followed.",
)
@click.option("--no-wait", is_flag=True, help="With --csv: do not wait for what becomes of them.")
@click.option("--report", metavar="FILE", help="With --csv: where to write what became of each.")
@options.data_dir_option
@options.json_option
def send(
    *,
    to: str | None,
    body: str | None,
    sender: str | None,
    service: str | None,
    media: tuple[str, ...],
    as_json: bool,
    contacts: str | None,
    **bulk: Unpack[Bulk],
) -> None:
    """Send a message through the API, or one to everybody in a file.

    Without --from or --service it is sent from the account's first number.

    With --csv and --template every line is checked before anything is sent. How far it came stands
    in a file beside the contacts, so that the same command goes on where it was interrupted.
    """
    if sender and service:
        raise click.UsageError("A message is sent --from a number or with a --service.")
    platform = Platform(options.credentials())
    who = ("From", sender or platform.credentials.phone_number)
    if service:
        who = ("MessagingServiceSid", service)
    if contacts is not None:
        if to is not None or media or as_json:
            raise click.UsageError("--csv goes with --template, not with TO, --media or --json.")
        click.get_current_context().exit(_send_to_all(platform, who, Path(contacts), **bulk))
    if to is None or body is None:
        raise click.UsageError("Say whom to text and what, or give --csv and --template.")
    if any(bulk[name] for name in CSV_ONLY):
        names = ", ".join("--" + name.replace("_", "-") for name in CSV_ONLY)
        raise click.UsageError(f"These go with --csv only: {names}.")
    form = [("To", to), who, ("Body", body)]
    form += [("MediaUrl", url) for url in media]
    message = platform.post(platform.account_path("Messages.json"), form)
    if as_json:
        print_json(message)
        return
    sid, status = cell(message.get("sid")), cell(message.get("status"))
    click.echo(f"{sid} to {cell(message.get('to'))} is {status}.")


def _send_to_all(
    platform: Platform,
    who: tuple[str, str],
    path: Path,
    **bulk: Unpack[Bulk],
) -> int:
    """Send to everybody in the file at *path*; return the exit code."""
    if bulk["template"] is None:
        raise click.UsageError("--csv needs a --template.")
    report = bulk["report"]
    try:
        campaign = read_campaign(
            path,
            bulk["template"],
            sender="=".join((platform.credentials.account_sid, *who)),
            column=bulk["to_column"],
            may_repeat=bulk["allow_duplicates"],
        )
        journal = Journal.open(path.with_name(path.name + SUFFIX), campaign.digest)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    order = Order(
        sender=[who],
        wait_seconds=0.0 if bulk["no_wait"] else bulk["wait_seconds"],
        is_confirmed=bulk["yes"],
        report=Path(report) if report else path.with_name(path.stem + ".report.csv"),
    )
    with contextlib.closing(journal):
        return send_campaign(platform, campaign, journal=journal, order=order)


@click.command()
@click.option("--to", "recipient", metavar="NUMBER", help="Only messages to this number.")
@click.option("--from", "sender", metavar="NUMBER", help="Only messages from this number.")
@click.option(
    "--status",
    type=click.Choice([status.value for status in Status]),
    metavar="STATUS",
    help="Only messages that have this status now.",
)
@click.option(
    "--limit", type=click.IntRange(1, LIMIT_MAX), default=20, show_default=True, help="How many."
)
@options.data_dir_option
@options.json_option
def messages(
    *, recipient: str | None, sender: str | None, status: str | None, limit: int, as_json: bool
) -> None:
    """List messages, newest first.

    Long bodies are shortened; --json and `trunkline trace` have them whole.
    """
    filters = [(name, value) for name, value in (("To", recipient), ("From", sender)) if value]
    # A status is no filter of the API: then whole pages are read and sifted here.
    size = limit if status is None else LIMIT_MAX
    platform = Platform(options.credentials())
    everything = _all(platform, [*filters, ("PageSize", str(size))])
    found = list(islice((m for m in everything if status in {None, m.get("status")}), limit))
    if as_json:
        print_json(found)
    elif found:
        print_table(COLUMNS, [_shown(message) for message in found])
    else:
        click.echo("No messages.")


def _all(platform: Platform, query: Fields) -> Iterator[Document]:
    """Yield messages, page after page, as long as somebody takes them."""
    document = platform.fetch(platform.account_path("Messages.json"), query)
    for _ in range(PAGES_MAX):
        yield from rows(document, "messages")
        following = document.get("next_page_uri")
        if not isinstance(following, str):
            return
        document = platform.fetch(following)


def _shown(message: Document) -> Document:
    body = brief(message.get("body"), size_max=BODY_SHOWN_MAX)
    return {**message, "created": _created(message), "body": body}


def _created(message: Document) -> str:
    try:
        at = parsedate_to_datetime(str(message.get("date_created")))
    except ValueError:
        return ""
    return f"{at:%Y-%m-%d %H:%M:%S}"
