"""`trunkline accounts`: subaccounts, trials, where each may send to, and rotation of tokens."""

from urllib.parse import quote

import click

from trunkline.cli import options
from trunkline.cli.client import Document, Platform, rows
from trunkline.cli.show import cell, moment, print_facts, print_json, print_table

PATH = "/trunkline/v1/accounts"
COLUMNS = {
    "Account": "sid",
    "Name": "friendly_name",
    "Status": "status",
    "Type": "type",
    "Countries": "countries",
    "Created": "created",
}
TYPE = click.Choice(["trial", "full"])


@click.group()
@options.data_dir_option
def accounts() -> None:
    """Look after subaccounts: trials, countries, auth tokens."""


@accounts.command("list")
@options.data_dir_option
@options.json_option
def list_(*, as_json: bool) -> None:
    """List the main account and its subaccounts, newest first."""
    document = Platform(options.credentials()).fetch(PATH)
    if as_json:
        print_json(document)
    else:
        print_table(COLUMNS, [_shown(account) for account in rows(document, "accounts")])


@accounts.command("add")
@click.argument("name")
@click.option("--trial", "is_trial", is_flag=True, help="It may text verified numbers only.")
@options.data_dir_option
@options.json_option
def add(*, name: str, is_trial: bool, as_json: bool) -> None:
    """Make a subaccount called NAME and show how to sign in as it."""
    form = [("FriendlyName", name), ("Type", "Trial" if is_trial else "Full")]
    made = Platform(options.credentials()).post(PATH, form)
    if as_json:
        print_json(made)
        return
    facts = {"Account SID": made.get("sid"), "Auth token": made.get("auth_token")}
    print_facts({**facts, "Type": made.get("type")})


@accounts.command("set")
@click.argument("account")
@click.option("--type", "type_", type=TYPE, help="A trial, or upgraded to a full account.")
@click.option("--country", "countries", multiple=True, metavar="CODE", help="May be repeated.")
@click.option("--every-country", is_flag=True, help="It may send wherever anybody may.")
@options.data_dir_option
def set_(
    *, account: str, type_: str | None, countries: tuple[str, ...], every_country: bool
) -> None:
    """Make an account a trial or a full one, and say to which countries it may send.

    Its countries are those given and no others.
    """
    if countries and every_country:
        raise click.UsageError("Give --country or --every-country, not both.")
    form = [("Type", type_)] if type_ else []
    form += [("Country", country) for country in ([""] if every_country else countries)]
    if not form:
        raise click.UsageError("Nothing is to be changed: name an option, like --type full.")
    changed = Platform(options.credentials()).post(_path(account), form)
    print_table(COLUMNS, [_shown(changed)])


@accounts.command("test-credentials")
@click.argument("account")
@options.data_dir_option
@options.json_option
def test_credentials(*, account: str, as_json: bool) -> None:
    """Show an account's test credentials, for which nothing is sent, bought or stored."""
    told = Platform(options.credentials()).fetch(f"{_path(account)}/test-credentials")
    if as_json:
        print_json(told)
        return
    facts = {"Account SID": told.get("account_sid"), "Auth token": told.get("auth_token")}
    print_facts({**facts, "Phone number": told.get("phone_number")})


@accounts.command("rotate-token")
@click.argument("account")
@click.option("--promote", "does_promote", is_flag=True, help="Make the second token the only one.")
@click.option("--give-up", "gives_up", is_flag=True, help="Remove the second token again.")
@options.data_dir_option
def rotate_token(*, account: str, does_promote: bool, gives_up: bool) -> None:
    """Give an account a second auth token; later put it in the first one's place.

    Both work until then. Webhooks are signed with the first, and with the second once it is
    promoted; then the first is void.
    """
    if does_promote and gives_up:
        raise click.UsageError("Give --promote or --give-up, not both.")
    platform, path = Platform(options.credentials()), f"{_path(account)}/auth-token"
    if gives_up:
        platform.delete(f"{path}/secondary")
        click.echo(f"{cell(account)} has one auth token.")
    elif does_promote:
        made = platform.post(f"{path}/promote", [])
        print_facts({"Account SID": account, "Auth token": made.get("auth_token")})
    else:
        made = platform.post(f"{path}/secondary", [])
        print_facts({"Account SID": account, "Second token": made.get("secondary_auth_token")})


def _path(account: str) -> str:
    return f"{PATH}/{quote(account, safe='', errors='replace')}"


def _shown(account: Document) -> Document:
    countries = account.get("countries")
    listed = ", ".join(map(str, countries)) if isinstance(countries, list) else "all"
    return account | {"countries": listed, "created": moment(account.get("created_at"))}
