"""`trunkline numbers`: numbers and short codes that one has from a carrier of one's own."""

from urllib.parse import quote

import click

from trunkline.cli import options
from trunkline.cli.client import Platform, rows
from trunkline.cli.show import cell, print_json, print_table

PATH = "/trunkline/v1/numbers"
NUMBERS = {
    "Number": "phone_number",
    "Kind": "kind",
    "Account": "account_sid",
    "SID": "sid",
    "Name": "friendly_name",
    "URL": "sms_url",
}


@click.group()
@options.data_dir_option
def numbers() -> None:
    """Bring your own numbers and short codes."""


@numbers.command("add")
@click.argument("number")
@click.option("--account", metavar="SID", help="The account that uses it; by default the main one.")
@click.option("--country", metavar="CODE", help="Where a short code works; by default US.")
@click.option("--name", metavar="TEXT", help="What people call it.")
@click.option("--sms-url", metavar="URL", help="The webhook for what it receives.")
@options.data_dir_option
@options.json_option
def add(
    *,
    number: str,
    account: str | None,
    country: str | None,
    name: str | None,
    sms_url: str | None,
    as_json: bool,
) -> None:
    """Let an account send from, and receive at, a number or short code of yours."""
    given = {"PhoneNumber": number, "Account": account, "Country": country, "FriendlyName": name}
    form = [(key, value) for key, value in {**given, "SmsUrl": sms_url}.items() if value]
    made = Platform(options.credentials()).post(PATH, form)
    if as_json:
        print_json(made)
    else:
        held, account_sid = cell(made.get("phone_number")), cell(made.get("account_sid"))
        click.echo(f"{held} is a number of {account_sid}.")


@numbers.command("list")
@options.data_dir_option
@options.json_option
def list_(*, as_json: bool) -> None:
    """List the numbers of all accounts."""
    found = rows(Platform(options.credentials()).fetch(PATH), "numbers")
    if as_json:
        print_json(found)
    elif found:
        print_table(NUMBERS, found)
    else:
        click.echo("No numbers.")


@numbers.command("remove")
@click.argument("number")
@options.data_dir_option
def remove(*, number: str) -> None:
    """Take a number from the account that uses it."""
    Platform(options.credentials()).delete(f"{PATH}/{quote(number, safe='', errors='replace')}")
    click.echo(f"{cell(number)} is nobody's number now.")
