"""`trunkline carriers`: the accounts with carriers, from the command line."""

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import click

from trunkline.cli import options
from trunkline.cli.client import Document, Platform, rows
from trunkline.cli.show import brief, cell, moment, print_facts, print_json, print_table
from trunkline.domain.carrier import SETTING_LENGTH_MAX, CarrierState

PATH = "/trunkline/v1/carriers"
ROUTES_PATH = "/trunkline/v1/routes"
# A certificate in a table would push everything else off the screen.
VALUE_SHOWN_MAX = 60

CARRIERS = {
    "Name": "name",
    "Type": "type",
    "State": "state",
    "Connections": "connections",
    "Bound": "bound",
    "Down since": "down_since",
    "Changed": "updated_at",
}
FACTS = ("name", "type", "state", "connections", "bound", "down_since", "created_at", "updated_at")
SETTINGS = {"Setting": "name", "Value": "value", "": "origin"}
TYPE_SETTINGS = {"Setting": "name", "Default": "default", "Details": "details"}
BINDS = {
    "Lane": "lane",
    "Kind": "kind",
    "Phase": "phase",
    "Since": "since",
    "Peer": "peer",
    "Window": "window",
    "Reason": "last_error",
}
TRAFFIC = {
    "Lane": "lane",
    "Kind": "kind",
    "Submitted": "submitted",
    "Taken": "taken",
    "Refused": "refused",
    "Throttled": "throttled",
    "In doubt": "in_doubt",
    "Receipts": "receipts",
    "Texts": "texts",
}
TIMES = ("since", "down_since", "created_at", "updated_at")

F = TypeVar("F", bound=Callable[..., object])


def _path(name: str, part: str = "") -> str:
    return f"{PATH}/{quote(name, safe='', errors='replace')}{part}"


def _given(texts: Iterable[str]) -> tuple[str, ...]:
    """Return settings as name=value, with the contents of files and what is typed at a prompt."""
    return tuple(_setting(text) for text in texts)


def _setting(text: str) -> str:
    name, equals, value = text.partition("=")
    if not name:
        raise click.BadParameter("a setting is written NAME=VALUE.")
    if not equals:
        value = _asked(name)
    elif value.startswith("@"):
        value = _content(value[1:])
    return f"{name}={value}"


def _asked(name: str) -> str:
    """Return a value from a person, unseen, or else from the next line of a pipe."""
    if sys.stdin.isatty():
        return str(click.prompt(f"{name} (not shown)", hide_input=True, err=True))
    line = sys.stdin.readline()
    if not line:
        raise click.BadParameter(f"{name} has no value; write {name}=VALUE.")
    return line.rstrip("\r\n")


def _content(name: str) -> str:
    """Return what a file holds, without the end of its last line."""
    try:
        with Path(name).open(encoding="utf-8") as file:
            return file.read(SETTING_LENGTH_MAX + 1).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise click.BadParameter(f"{name} cannot be read: {reason}.") from error


def _set_option(function: F) -> F:
    """Let a command take settings."""
    return click.option(
        "--set",
        "more",
        multiple=True,
        metavar="NAME=VALUE",
        callback=lambda context, _, texts: _given(texts),
        help="A setting; may be repeated.",
    )(function)


@click.group()
@options.data_dir_option
def carriers() -> None:
    """Set up the carriers that messages leave by."""


@carriers.command("add")
@click.argument("name")
@click.option("--type", "kind", required=True, metavar="TYPE", help="simulated, smpp or twilio.")
@_set_option
@click.option("--disabled", is_flag=True, help="Do not connect yet.")
@options.data_dir_option
@options.json_option
def add(*, name: str, kind: str, more: tuple[str, ...], disabled: bool, as_json: bool) -> None:
    """Add a carrier. Nothing is sent to it before a route leads there.

    NAME=@FILE takes the value from a file, NAME alone asks for it, which keeps secrets out of
    the shell's history. `trunkline carriers types` tells what can be set.
    """
    state = CarrierState.DISABLED if disabled else CarrierState.ENABLED
    platform = Platform(options.credentials())
    for each in _types(platform):
        if each.get("type") == kind:
            _check(more, each)
    form = [("Name", name), ("Type", kind), ("State", state), *_pairs(more)]
    carrier = platform.post(PATH, form)
    if as_json:
        print_json(carrier)
        return
    shown = cell(carrier.get("name"))
    click.echo(f"The carrier {shown} is {cell(carrier.get('state'))}.")
    click.echo(f"Try it: trunkline carriers test {shown}")
    click.echo(f"Send through it: trunkline routes add --carrier {shown} --prefix +1")


@carriers.command("list")
@options.data_dir_option
@options.json_option
def list_(*, as_json: bool) -> None:
    """List the carriers and how their connections do."""
    found = rows(Platform(options.credentials()).fetch(PATH), "carriers")
    if as_json:
        print_json(found)
    elif found:
        print_table(CARRIERS, [_timed(carrier) for carrier in found])
    else:
        click.echo("No carriers.")


@carriers.command("show")
@click.argument("name")
@options.data_dir_option
@options.json_option
def show(*, name: str, as_json: bool) -> None:
    """Show a carrier with its settings and its connections; secrets are masked."""
    carrier = Platform(options.credentials()).fetch(_path(name))
    if as_json:
        print_json(carrier)
        return
    timed = _timed(carrier)
    print_facts({fact: timed[fact] for fact in FACTS if carrier.get(fact) is not None})
    click.echo("\nSettings")
    print_table(SETTINGS, [_shown(setting) for setting in rows(carrier, "settings")])
    if binds := rows(carrier, "binds"):
        click.echo("\nConnections")
        print_table(BINDS, [{**_timed(bind), "window": _window(bind)} for bind in binds])
        click.echo("\nTraffic")
        print_table(TRAFFIC, binds)


@carriers.command("set")
@click.argument("name")
@click.argument(
    "settings", nargs=-1, metavar="NAME=VALUE...", callback=lambda context, _, texts: _given(texts)
)
@_set_option
@options.data_dir_option
def set_(*, name: str, settings: tuple[str, ...], more: tuple[str, ...]) -> None:
    """Change settings of a carrier, with --set or without; NAME= means the default again.

    NAME=@FILE takes the value from a file, NAME alone asks for it.
    """
    changes = (*settings, *more)
    if not changes:
        raise click.UsageError("Nothing is to be set: name a setting as NAME=VALUE.")
    platform = Platform(options.credentials())
    _check(changes, platform.fetch(_path(name)))
    platform.post(_path(name), _pairs(changes))
    names = ", ".join(setting.partition("=")[0] for setting in changes)
    click.echo(f"{cell(name)} has new settings: {cell(names)}.")


@carriers.command("test")
@click.argument("name")
@click.option("--to", metavar="NUMBER", help="Send a real message there, whatever the routes say.")
@click.option("--from", "sender", metavar="SENDER", help="Send it from here.")
@options.data_dir_option
@options.json_option
def test(*, name: str, to: str | None, sender: str | None, as_json: bool) -> None:
    """Try the connection to a carrier, or with --to a message through it."""
    form = [(key, value) for key, value in (("To", to), ("From", sender)) if value]
    answer = Platform(options.credentials()).post(_path(name, "/test"), form)
    if as_json:
        print_json(answer)
    elif to:
        sid = cell(answer.get("message_sid"))
        click.echo(f"{sid} is on its way; see what becomes of it: trunkline trace {sid}")
    elif answer.get("is_good"):
        took = f"{answer.get('milliseconds', 0):.0f} ms"
        click.echo(f"{cell(name)} works: {cell(answer.get('detail'))} ({took}).")
    if not to and not answer.get("is_good"):
        raise click.ClickException(f"{cell(name)} cannot be used: {cell(answer.get('detail'))}.")


@carriers.command("enable")
@click.argument("name")
@options.data_dir_option
def enable(*, name: str) -> None:
    """Connect to a carrier and let it have messages."""
    _change_state(name, CarrierState.ENABLED)


@carriers.command("drain")
@click.argument("name")
@options.data_dir_option
def drain(*, name: str) -> None:
    """Give a carrier nothing new, but send what waits for it and receive."""
    _change_state(name, CarrierState.DRAINING)


@carriers.command("disable")
@click.argument("name")
@options.data_dir_option
def disable(*, name: str) -> None:
    """Disconnect from a carrier; what waits for it takes other routes."""
    _change_state(name, CarrierState.DISABLED)


@carriers.command("remove")
@click.argument("name")
@click.option("--force", is_flag=True, help="Remove the routes to it as well.")
@options.data_dir_option
def remove(*, name: str, force: bool) -> None:
    """Forget a carrier and its settings."""
    platform = Platform(options.credentials())
    if not force:
        _check_unused(platform, name)
    platform.delete(_path(name, "?Force=true" if force else ""))
    click.echo(f"The carrier {cell(name)} is gone.")


@carriers.command("types")
@click.argument("kind", metavar="[TYPE]", required=False)
@options.data_dir_option
@options.json_option
def types(*, kind: str | None, as_json: bool) -> None:
    """Tell what can be set of a type of carrier, or of every type."""
    everything = _types(Platform(options.credentials()))
    found = [each for each in everything if kind in (None, each.get("type"))]
    if not found:
        names = ", ".join(cell(each.get("type")) for each in everything)
        raise click.ClickException(f"There is no type {cell(kind)}; there are {names}.")
    if as_json:
        print_json(found)
        return
    for each in found:
        click.echo(f"{cell(each.get('type'))}\n")
        settings = rows(each, "settings")
        print_table(TYPE_SETTINGS, [{**row, "details": _details(row)} for row in settings])


def _types(platform: Platform) -> list[Document]:
    return rows(platform.fetch("/trunkline/v1/carrier-types"), "carrier_types")


def _check(settings: Iterable[str], described: Document) -> None:
    """End the command at a setting that a carrier or a type does not have."""
    known = [str(row.get("name")) for row in rows(described, "settings")]
    for setting in settings:
        name = setting.partition("=")[0]
        if name not in known:
            kind = cell(described.get("type"))
            raise click.ClickException(
                f"There is no setting {cell(name)} of {kind}; {_instead(name, known)}"
                f"`trunkline carriers types {kind}` tells them all."
            )


def _instead(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"is it {close[0]}? " if close else ""


def _check_unused(platform: Platform, name: str) -> None:
    """End the command while routes lead to a carrier."""
    found = rows(platform.fetch(ROUTES_PATH), "routes")
    sids = [cell(route.get("sid")) for route in found if route.get("carrier") == name]
    if sids:
        raise click.ClickException(
            f"Routes lead to {cell(name)}: {', '.join(sids)}. Lead them elsewhere with"
            f" `trunkline routes set SID --carrier NAME`, or remove them too with --force."
        )


def _change_state(name: str, state: CarrierState) -> None:
    Platform(options.credentials()).post(_path(name), [("State", state)])
    click.echo(f"The carrier {cell(name)} is {state}.")


def _pairs(settings: Iterable[str]) -> list[tuple[str, str]]:
    return [("Set", setting) for setting in settings]


def _shown(setting: Document) -> Mapping[str, object]:
    value = brief(setting.get("value"), size_max=VALUE_SHOWN_MAX)
    return {**setting, "value": value, "origin": "" if setting.get("is_set") else "default"}


def _timed(document: Document) -> Document:
    """Return a carrier or a connection with its times as people read them."""
    return document | {name: moment(document[name]) for name in TIMES if name in document}


def _window(bind: Document) -> str:
    most = bind.get("window_max")
    return f"{bind.get('window_used')} of {most}" if most else ""


def _details(setting: Document) -> str:
    secret = " Kept secret." if setting.get("is_secret") else ""
    return f"{setting.get('meaning')}{secret} It must be {setting.get('must')}."
