"""`trunkline retention`: how long things are kept, and which accounts differ."""

from urllib.parse import quote

import click

from trunkline.cli import options
from trunkline.cli.client import Document, Platform, rows, section
from trunkline.cli.show import cell, print_json, print_table
from trunkline.domain.retention import KINDS, OF_ACCOUNTS

PATH = "/trunkline/v1/retention"
KINDS_SHOWN = {"Kind": "kind", "Kept for": "days", "Setting": "setting"}
ACCOUNTS = {"Account": "account_sid", **{k.title(): f"{k}_days" for k in OF_ACCOUNTS}}


@click.group()
@options.data_dir_option
def retention() -> None:
    """Say how long things are kept."""


@retention.command("show")
@options.data_dir_option
@options.json_option
def show(*, as_json: bool) -> None:
    """Show how long each kind of thing is kept, and the accounts that differ."""
    document = Platform(options.credentials()).fetch(PATH)
    if as_json:
        print_json(document)
        return
    periods, accounts = section(document, "retention"), rows(document, "accounts")
    print_table(KINDS_SHOWN, [_kind(kind, periods) for kind in KINDS])
    if accounts:
        click.echo()
        print_table(ACCOUNTS, [_account(account) for account in accounts])


@retention.command("set")
@click.argument("account")
@click.option("--messages-days", metavar="N", help="Messages, with all that is known of them.")
@click.option("--trace-days", metavar="N", help="What happened to messages.")
@click.option("--media-days", metavar="N", help="Pictures, sounds and files.")
@click.option("--attempts-days", metavar="N", help="Attempts at webhooks.")
@click.option("--parked-days", metavar="N", help="Webhooks that were given up.")
@click.option("--alerts-days", metavar="N", help="What went wrong.")
@options.data_dir_option
def set_(*, account: str, **given: str | None) -> None:
    """Set for how many days an account's things are kept; 0 is for ever.

    An empty value (--media-days "") goes back to what holds for everybody.
    """
    form = [
        ("".join(word.title() for word in name.split("_")), days)
        for name, days in given.items()
        if days is not None
    ]
    if not form:
        raise click.UsageError("Nothing is to be changed: name an option, like --messages-days 90.")
    made = Platform(options.credentials()).post(_path(account), form)
    print_table(ACCOUNTS, [_account(made)])


@retention.command("reset")
@click.argument("account")
@options.data_dir_option
def reset(*, account: str) -> None:
    """Keep an account's things as long as everybody's again."""
    Platform(options.credentials()).delete(_path(account))
    click.echo(f"{cell(account)} keeps its things as long as everybody.")


def _path(account: str) -> str:
    return f"/trunkline/v1/accounts/{quote(account, safe='', errors='replace')}/retention"


def _kind(kind: str, periods: Document) -> Document:
    days = _days(periods.get(f"{kind}_days"))
    return {"kind": kind, "days": days, "setting": f"retention_{kind}_days"}


def _account(account: Document) -> Document:
    """Return an account's periods; those of its own have a star."""
    own = account.get("own")
    names = own if isinstance(own, list) else []
    shown: Document = {"account_sid": account.get("account_sid")}
    for kind in OF_ACCOUNTS:
        star = " *" if kind in names else ""
        shown[f"{kind}_days"] = _days(account.get(f"{kind}_days")) + star
    return shown


def _days(value: object) -> str:
    return "for ever" if value == 0 else f"{cell(value)} days"
