"""`trunkline phone`: the simulated phones from the command line."""

from urllib.parse import quote

import click

from trunkline.cli import options
from trunkline.cli.client import Platform, rows
from trunkline.cli.show import cell, print_json, print_table

# The screens of a phone that one look takes in; the network keeps more.
LIMIT_MAX = 1000

INBOX = ("from", "to", "body", "media", "segments", "encoding", "received_at")
PHONES = {
    "Number": "number",
    "Name": "name",
    "Behaviour": "behaviour",
    "Texts": "texts",
    "Changed": "updated_at",
}
INBOX_COLUMNS = {
    "Received": "received_at",
    "From": "from",
    "To": "to",
    "Segments": "segments",
    "Encoding": "encoding",
    "Body": "body",
    "Media": "media",
}


def _phone_path(number: str) -> str:
    return f"/trunkline/v1/phones/{quote(number, safe='', errors='replace')}"


@click.group()
@options.data_dir_option
def phone() -> None:
    """Hold a simulated phone in your hand."""


@phone.command("send")
@click.argument("sender", metavar="FROM")
@click.argument("to")
@click.argument("body")
@click.option("--media", multiple=True, metavar="URL", help="Attach a file; may be repeated.")
@options.data_dir_option
@options.json_option
def send(*, sender: str, to: str, body: str, media: tuple[str, ...], as_json: bool) -> None:
    """Send a text from the phone FROM to a number of the platform.

    A phone that nobody has seen before comes to life with its first text.
    """
    form = [("To", to), ("Body", body), *(("MediaUrl", url) for url in media)]
    text = Platform(options.credentials()).post(f"{_phone_path(sender)}/texts", form)
    if as_json:
        print_json(text)
    else:
        click.echo(f"{cell(text.get('from'))} has sent {cell(text.get('sid'))}.")


@phone.command("inbox")
@click.argument("number")
@click.option(
    "--limit", type=click.IntRange(1, LIMIT_MAX), default=50, show_default=True, help="How many."
)
@options.data_dir_option
@options.json_option
def inbox(*, number: str, limit: int, as_json: bool) -> None:
    """Show the texts that a phone has received, the newest last."""
    path = f"{_phone_path(number)}/inbox"
    document = Platform(options.credentials()).fetch(path, [("limit", str(limit))])
    texts = [{key: text.get(key) for key in INBOX} for text in rows(document, "inbox")]
    if as_json:
        print_json(texts)
    elif texts:
        shown = [{**text, "media": _lines(text["media"])} for text in texts]
        print_table(INBOX_COLUMNS, shown)
    else:
        click.echo("No texts.")


@phone.command("list")
@options.data_dir_option
@options.json_option
def list_(*, as_json: bool) -> None:
    """List the phones, the one that moved last first."""
    phones = rows(Platform(options.credentials()).fetch("/trunkline/v1/phones"), "phones")
    if as_json:
        print_json(phones)
    elif phones:
        print_table(PHONES, phones)
    else:
        click.echo("No phones.")


@phone.command("set")
@click.argument("number")
@click.argument("behaviour")
@options.data_dir_option
def set_(*, number: str, behaviour: str) -> None:
    """Make a phone behave in a way: deliver, off, slow and so on."""
    Platform(options.credentials()).post(_phone_path(number), [("Behaviour", behaviour)])
    click.echo(f"{cell(number)} behaves: {cell(behaviour)}.")


def _lines(media: object) -> str:
    return " ".join(map(str, media)) if isinstance(media, list) else ""
