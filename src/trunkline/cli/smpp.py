"""`trunkline smpp`: who may bind to the SMPP server."""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

import click

from trunkline.cli import options
from trunkline.cli.client import Document, Platform, rows
from trunkline.cli.show import cell, print_json, print_table

PATH = "/trunkline/v1/smpp-credentials"
CREDENTIALS = {
    "System id": "system_id",
    "Kind": "kind",
    "Account": "account_sid",
    "Addresses": "addresses",
    "Hosts": "allowed_hosts",
    "Binds": "binds_max",
    "Per second": "per_second_max",
    "Enabled": "is_enabled",
    "Waiting": "waiting",
}

F = TypeVar("F", bound=Callable[..., object])


def _password(text: str | None) -> str | None:
    if text == "":
        raise click.BadParameter("a password has at least one character.")
    return text


def _credential_options(function: F) -> F:
    """Let a command say what is to be set of a credential."""
    for option in (
        click.option(
            "--password",
            metavar="TEXT",
            callback=lambda context, _, text: _password(text),
            help="At most 8 characters suit all clients.",
        ),
        click.option(
            "--address", multiple=True, metavar="SENDER", help="A sender it may use; repeat it."
        ),
        click.option(
            "--allowed-host", multiple=True, metavar="HOST", help="Where it may bind from; repeat."
        ),
        click.option("--binds-max", type=int, metavar="N", help="How many binds at once."),
        click.option("--per-second-max", type=int, metavar="N", help="Texts a second; 0: any."),
    ):
        function = option(function)
    return function


@click.group()
@options.data_dir_option
def smpp() -> None:
    """Let SMPP clients bind to the platform."""


@smpp.command("add")
@click.argument("system_id")
@click.option("--simulator", is_flag=True, help="Any sender, to the simulated network alone.")
@click.option("--account", metavar="SID", help="Whose messages they are; by default the main one.")
@_credential_options
@options.data_dir_option
@options.json_option
def add(*, system_id: str, account: str | None, as_json: bool, **given: object) -> None:
    """Let a client bind as SYSTEM_ID; a password is made up unless one is given.

    A customer needs the numbers and names it may send from, and gets the texts to these numbers.
    """
    form = [("SystemId", system_id), *([("Account", account)] if account else []), *_form(given)]
    made = Platform(options.credentials()).post(PATH, form)
    if as_json:
        print_json(made)
    else:
        shown = cell(made.get("system_id")), cell(made.get("password"))
        click.echo(f"{shown[0]} may bind with the password {shown[1]}, which is not shown again.")


@smpp.command("set")
@click.argument("system_id")
@click.option("--enable/--disable", "enabled", default=None, help="Whether it may bind.")
@_credential_options
@options.data_dir_option
def set_(*, system_id: str, **given: object) -> None:
    """Change what is given; who is bound follows within a second."""
    form = _form(given)
    if not form:
        raise click.UsageError("Nothing is to be changed: name an option, for example --disable.")
    Platform(options.credentials()).post(_path(system_id), form)
    click.echo(f"{cell(system_id)} is changed.")


@smpp.command("list")
@options.data_dir_option
@options.json_option
def list_(*, as_json: bool) -> None:
    """List who may bind, and how much waits for each."""
    found = rows(Platform(options.credentials()).fetch(PATH), "smpp_credentials")
    if as_json:
        print_json(found)
    elif found:
        print_table(CREDENTIALS, [_shown(credential) for credential in found])
    else:
        click.echo("Nobody may bind.")


@smpp.command("remove")
@click.argument("system_id")
@options.data_dir_option
def remove(*, system_id: str) -> None:
    """Let SYSTEM_ID bind no more; what waits for it is lost."""
    Platform(options.credentials()).delete(_path(system_id))
    click.echo(f"{cell(system_id)} may bind no more.")


def _path(system_id: str) -> str:
    return f"{PATH}/{quote(system_id, safe='', errors='replace')}"


def _form(given: dict[str, object]) -> list[tuple[str, str]]:
    """Return the parameters of what was given; each value of a repeated option is one."""
    form: list[tuple[str, str]] = []
    for name, value in given.items():
        wire = "".join(word.title() for word in name.split("_"))
        if isinstance(value, tuple):
            form += [(wire, str(each)) for each in value]
        elif isinstance(value, bool):
            form += [(wire, str(value).lower())]
        elif value is not None:
            form += [(wire, str(value))]
    return form


def _shown(credential: Document) -> Document:
    kind = "simulator" if credential.get("is_simulator") else "customer"
    enabled = "yes" if credential.get("is_enabled") else "no"
    lists = {name: _joined(credential.get(name)) for name in ("addresses", "allowed_hosts")}
    return {**credential, **lists, "kind": kind, "is_enabled": enabled}


def _joined(values: object) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list) else ""
