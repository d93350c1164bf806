"""`trunkline services`: what Messaging Services are told that Twilio's API has no word for."""

from pathlib import Path
from urllib.parse import quote

import click

from trunkline.cli import options
from trunkline.cli.client import Document, Platform, rows
from trunkline.cli.show import cell, print_json, print_table

PATH = "/trunkline/v1/services"
SERVICES = {
    "Service": "sid",
    "Name": "friendly_name",
    "Requires consent": "requires_consent",
    "Quiet hours": "quiet_hours",
}
KEYWORDS = {
    "Language": "language",
    "Country": "country",
    "Stop": "stop",
    "Start": "start",
    "Help": "help",
}


@click.group()
@options.data_dir_option
def services() -> None:
    """Say whom Messaging Services may text, and which words stop their texts."""


@services.command("list")
@click.option("--account", metavar="AC…", help="Of this account instead of the main one.")
@options.data_dir_option
@options.json_option
def list_(*, account: str | None, as_json: bool) -> None:
    """List Messaging Services, newest first."""
    query = [("account", account)] if account else []
    document = Platform(options.credentials()).fetch(PATH, query)
    if as_json:
        print_json(document)
    else:
        print_table(SERVICES, rows(document, "services"))


@services.command("set")
@click.argument("service")
@click.option(
    "--requires-consent/--no-requires-consent",
    default=None,
    help="Whether who did not opt in is sent nothing.",
)
@click.option(
    "--quiet-hours",
    metavar="21:00-08:00|off",
    help="From when to when, by the recipient's clock, nothing is sent.",
)
@click.option(
    "--quiet-rule",
    type=click.Choice(["hold", "refuse"]),
    default="hold",
    help="Whether what is asked for then waits until the hours are over, or fails (30610).",
)
@options.data_dir_option
def set_(
    *, service: str, requires_consent: bool | None, quiet_hours: str | None, quiet_rule: str
) -> None:
    """Change SERVICE (MG…)."""
    form = []
    if requires_consent is not None:
        form.append(("RequiresConsent", str(requires_consent).lower()))
    if quiet_hours is not None:
        form += [("QuietHours", quiet_hours), ("QuietRule", quiet_rule)]
    if not form:
        raise click.UsageError("Say what is to change: --requires-consent or --quiet-hours.")
    made = Platform(options.credentials()).post(_path(service), form)
    rule = "only to those who opted in" if made.get("requires_consent") else "unless they opted out"
    hours, held = made.get("quiet_hours"), made.get("quiet_rule") == "hold"
    quiet = f"; from {hours} it {'holds' if held else 'refuses'} them" if hours else ""
    click.echo(f"{cell(made.get('sid'))} sends to recipients {rule}{quiet}.")


@services.command()
@click.argument("service")
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON with words and answers of its own, as --json prints them.",
)
@click.option("--reset", is_flag=True, help="Let the usual words hold again.")
@options.data_dir_option
@options.json_option
def keywords(*, service: str, file: Path | None, reset: bool, as_json: bool) -> None:
    """Show or change the words that stop and start the texts of SERVICE (MG…), and their answers.

    With words of its own the webhook gets OptOutType. STOP, START, UNSTOP and HELP always work.
    """
    if reset and file:
        raise click.UsageError("Either --file or --reset.")
    platform, path = Platform(options.credentials()), f"{_path(service)}/keywords"
    if reset:
        platform.delete(path)
        click.echo("The usual words hold.")
        return
    form = [("Wordings", _content(file))] if file else []
    document = platform.post(path, form) if form else platform.fetch(path)
    found = rows(document, "wordings")
    if as_json:
        print_json(found)
    elif found:
        print_table(KEYWORDS, [_shown(each) for each in found])
    else:
        click.echo("The usual words hold.")


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise click.ClickException(f"{file} cannot be read: {reason}.") from error


def _path(service: str) -> str:
    return f"{PATH}/{quote(service, safe='', errors='replace')}"


def _shown(wording: Document) -> Document:
    words = {name: value for name, value in wording.items() if isinstance(value, list)}
    return wording | {name: " ".join(map(str, value)) for name, value in words.items()}
