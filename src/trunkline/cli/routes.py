"""`trunkline routes`: which messages leave by which carrier, from the command line."""

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import quote

import click

from trunkline.cli import options
from trunkline.cli.client import Document, Platform, rows, section
from trunkline.cli.show import cell, print_json, print_table

PATH = "/trunkline/v1/routes"

# The options of a route: the API's parameter, and what it is for.
FIELDS = {
    "--prefix": ("Prefix", "DIGITS", "Only recipients that begin so, for example +1415."),
    "--country": ("Country", "CODE", "Only recipients of a country, for example US."),
    "--sender": ("Sender", "SENDER", "Only this sender, or with a star all that begin so."),
    "--sender-type": (
        "SenderType",
        "TYPE",
        "Only senders of a type: long_code, toll_free, short_code, alphanumeric or channel.",
    ),
    "--channel": (
        "Channel",
        "CHANNEL",
        "Only sms, mms, whatsapp, rcs or messenger; without it sms and mms.",
    ),
    "--account": ("Account", "SID", "Only messages of an account."),
    "--order": ("Order", "N", "Smaller goes first, before all else; 100 unless it is said."),
    "--weight": ("Weight", "N", "The share among equals, 1 unless it is said; 0 waits behind."),
    "--price": ("Price", "USD", "What a segment costs; without it the price list holds."),
    "--priority": ("Priority", "N", "0 to 3; in a queue more goes first."),
}
ROUTES = {
    "SID": "sid",
    "Order": "order",
    "Carrier": "carrier",
    "For": "conditions",
    "Weight": "weight",
    "Price": "price",
    "Priority": "priority",
}
CONSIDERED = {
    "Rank": "rank",
    "Route": "sid",
    "Carrier": "carrier",
    "For": "conditions",
    "Details": "why",
}
CONDITIONS = ("prefix", "country", "sender", "sender_type", "channel", "account")

F = TypeVar("F", bound=Callable[..., object])


def _route_options(function: F) -> F:
    """Let a command take everything that a route can be told."""
    for name, (_, metavar, meaning) in reversed(FIELDS.items()):
        function = click.option(name, metavar=metavar, help=meaning)(function)
    return function


def _form(wish: Mapping[str, str | None]) -> list[tuple[str, str]]:
    named = {option.removeprefix("--").replace("-", "_"): row[0] for option, row in FIELDS.items()}
    return [(named[key], value) for key, value in wish.items() if value is not None]


@click.group()
@options.data_dir_option
def routes() -> None:
    """Say which messages leave by which carrier.

    `trunkline route` is the same command.
    """


@routes.command("add")
@click.option("--carrier", required=True, metavar="NAME", help="The carrier it leads to.")
@_route_options
@options.data_dir_option
@options.json_option
def add(*, carrier: str, as_json: bool, **wish: str | None) -> None:
    """Add a route. Without conditions it takes every message."""
    platform = Platform(options.credentials())
    route = platform.post(PATH, [("Carrier", carrier), *_form(wish)])
    if as_json:
        print_json(route)
        return
    takes = _conditions(route)
    click.echo(f"{cell(route.get('sid'))} leads to {cell(route.get('carrier'))}: {takes}.")
    for other in rows(platform.fetch(PATH), "routes"):
        if _is_equal(route, other):
            click.echo(_meeting(route, other))


@routes.command("set")
@click.argument("sid")
@click.option("--carrier", metavar="NAME", help="The carrier it leads to.")
@_route_options
@options.data_dir_option
def set_(*, sid: str, carrier: str | None, **wish: str | None) -> None:
    """Change a route; an empty value takes a condition away."""
    form = _form(wish) + ([("Carrier", carrier)] if carrier else [])
    route = Platform(options.credentials()).post(_path(sid), form)
    takes = _conditions(route)
    click.echo(f"{cell(route.get('sid'))} leads to {cell(route.get('carrier'))}: {takes}.")


@routes.command("list")
@options.data_dir_option
@options.json_option
def list_(*, as_json: bool) -> None:
    """List the routes, by their order."""
    found = rows(Platform(options.credentials()).fetch(PATH), "routes")
    if as_json:
        print_json(found)
    elif found:
        print_table(ROUTES, [{**route, "conditions": _conditions(route)} for route in found])
    else:
        click.echo("No routes: every message is refused.")


@routes.command("remove")
@click.argument("sid")
@options.data_dir_option
def remove(*, sid: str) -> None:
    """Forget a route."""
    Platform(options.credentials()).delete(_path(sid))
    click.echo(f"{cell(sid)} is gone.")


@routes.command("explain")
@click.option("--to", required=True, metavar="NUMBER", help="The recipient.")
@click.option("--from", "sender", required=True, metavar="SENDER", help="The sender.")
@click.option("--account", metavar="SID", help="The account that sends; by default the main one.")
@click.option("--channel", metavar="CHANNEL", help="mms for a message with media.")
@options.data_dir_option
@options.json_option
def explain(
    *, to: str, sender: str, account: str | None, channel: str | None, as_json: bool
) -> None:
    """Tell which route a message would take now, and why it takes no other."""
    query = [("To", to), ("From", sender), ("Account", account), ("Channel", channel)]
    answer = Platform(options.credentials()).fetch(
        f"{PATH}/explain", [(key, value) for key, value in query if value]
    )
    if as_json:
        print_json(answer)
        return
    carrier = answer.get("carrier")
    went = "is refused: no route takes it" if carrier is None else f"leaves by {cell(carrier)}"
    parties = f"from {cell(answer.get('from'))} to {cell(answer.get('to'))}"
    click.echo(f"A message {parties} {went}.")
    if considered := rows(answer, "routes"):
        click.echo()
        print_table(CONSIDERED, [_considered(each) for each in considered])


def _path(sid: str) -> str:
    return f"{PATH}/{quote(sid, safe='', errors='replace')}"


def _conditions(route: Document) -> str:
    held = [f"{name} {route[name]}" for name in CONDITIONS if route.get(name)]
    return ", ".join(cell(text.replace("_", " ", 1)) for text in held) or "everything"


def _is_equal(route: Document, other: Document) -> bool:
    """Tell whether another route is for the same messages, with the same order."""
    same = ("order", *CONDITIONS)
    return other["sid"] != route["sid"] and all(other[name] == route[name] for name in same)


def _meeting(route: Document, other: Document) -> str:
    sid, carrier = cell(other.get("sid")), cell(other.get("carrier"))
    if other.get("carrier") == route.get("carrier"):
        return f"{sid} does so already; remove one of them: trunkline routes remove {sid}"
    return f"It shares these messages, by weight, with {sid}, which leads to {carrier}."


def _considered(each: Document) -> Mapping[str, object]:
    route = section(each, "route")
    return {**route, **each, "conditions": _conditions(route)}
