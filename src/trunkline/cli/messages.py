"""`trunkline send` and `trunkline messages`: the Twilio API from the command line."""

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from itertools import islice

import click

from trunkline.cli import options
from trunkline.cli.client import Document, Fields, Platform, rows
from trunkline.cli.show import brief, cell, print_json, print_table
from trunkline.domain.message import Status

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


@click.command()
@click.argument("to")
@click.argument("body")
@click.option("--from", "sender", metavar="NUMBER", help="Send from this number of the account.")
@click.option("--media", multiple=True, metavar="URL", help="Attach a file; may be repeated.")
@options.data_dir_option
@options.json_option
def send(*, to: str, body: str, sender: str | None, media: tuple[str, ...], as_json: bool) -> None:
    """Send a message through the API.

    Without --from it is sent from the account's first number.
    """
    platform = Platform(options.credentials())
    form = [("To", to), ("From", sender or platform.credentials.phone_number), ("Body", body)]
    form += [("MediaUrl", url) for url in media]
    message = platform.post(platform.account_path("Messages.json"), form)
    if as_json:
        print_json(message)
        return
    sid, status = cell(message.get("sid")), cell(message.get("status"))
    click.echo(f"{sid} to {cell(message.get('to'))} is {status}.")


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
