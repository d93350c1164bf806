"""`trunkline webhooks`: what your application was not told, and telling it after all."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import quote

import click

from trunkline.cli import options
from trunkline.cli.client import Document, Platform, rows
from trunkline.cli.show import cell, moment, print_json, print_table

PATH = "/trunkline/v1/webhooks"
LIMIT_MAX = 1000  # What the API gives at once.
HOSTS_NAMED_MAX = 10  # More are in `trunkline webhooks hosts`.
ROUNDS_MAX = 10_000  # Each is up to 10,000 webhooks: more than any disk holds.
COLUMNS = {
    "SID": "sid",
    "Created": "created",
    "Message": "message_sid",
    "Tells": "label",
    "Host": "host",
    "Attempts": "attempts",
    "Next": "next",
    "Last error": "error",
}
HOSTS = {"Host": "host", "Waiting": "waiting", "Parked": "parked", "Last error": "error"}

_SPAN = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

F = TypeVar("F", bound=Callable[..., object])


def _since(text: str | None) -> str | None:
    """Return a moment, or how long ago it was, as ISO 8601."""
    if text is None:
        return None
    if span := _SPAN.fullmatch(text):
        ago = timedelta(**{_UNITS[span[2]]: int(span[1])})
        return (datetime.now(UTC) - ago).isoformat()
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter("2026-11-20, 2026-11-20T12:00 or 90m, 2h, 3d.") from error
    return (at.replace(tzinfo=UTC) if at.tzinfo is None else at).isoformat()


def _filters(function: F) -> F:
    """Let a command say which webhooks are meant."""
    for option in (
        click.option("--host", metavar="HOST", help="Only those for this host, with its port."),
        click.option("--account", metavar="SID", help="Only those of this account."),
        click.option("--message", metavar="SID", help="Only those of this message."),
        click.option("--kind", type=click.Choice(["status", "inbound"]), help="Only this kind."),
        click.option(
            "--since",
            metavar="TIME",
            callback=lambda context, parameter, text: _since(text),
            help="Only those made since: a time, or 2h.",
        ),
    ):
        function = option(function)
    return function


def _choice(function: F) -> F:
    """Let a command work on webhooks by name, by filter, or on all of them."""
    for option in (
        click.argument("sids", metavar="[SID]...", nargs=-1),
        _filters,
        click.option("--all", "everything", is_flag=True, help="All that were given up."),
        click.option("--yes", is_flag=True, help="Do not ask first."),
        options.data_dir_option,
    ):
        function = option(function)
    return function


@click.group()
@options.data_dir_option
def webhooks() -> None:
    """Show webhooks that were given up, and make them again."""


@webhooks.command("list")
@_filters
@click.option("--waiting", is_flag=True, help="Those that still wait for their time instead.")
@click.option(
    "--limit", type=click.IntRange(1, LIMIT_MAX), default=50, show_default=True, help="How many."
)
@options.data_dir_option
@options.json_option
def list_(*, waiting: bool, limit: int, as_json: bool, **given: str | None) -> None:
    """List webhooks that were given up, newest first."""
    status = "waiting" if waiting else "parked"
    chosen = _query(given)
    query = [("status", status), ("limit", str(limit)), *chosen]
    platform = Platform(options.credentials())
    found = rows(platform.fetch(PATH, query), "webhooks")
    if as_json:
        print_json(found)
    elif found:
        print_table(COLUMNS, [_shown(webhook) for webhook in found])
    if not found and given["host"]:
        raise click.ClickException(_none_for(platform, given["host"], status=status))
    if not found and not as_json:
        some = "No such webhooks" if chosen else "No webhooks"
        click.echo(f"{some} wait." if waiting else f"{some} were given up.")


@webhooks.command("hosts")
@options.data_dir_option
@options.json_option
def hosts(*, as_json: bool) -> None:
    """List the hosts for which webhooks wait or were given up."""
    found = rows(Platform(options.credentials()).fetch(f"{PATH}/hosts"), "hosts")
    if as_json:
        print_json(found)
    elif found:
        print_table(HOSTS, [{**host, "error": _error(host)} for host in found])
    else:
        click.echo("No webhooks wait, and none were given up.")


@webhooks.command("replay")
@_choice
def replay(*, sids: tuple[str, ...], everything: bool, yes: bool, **given: str | None) -> None:
    """Make webhooks again that were given up, in the order of each message.

    Replaying one replays the others of its message that were given up, too.
    """
    _act("replay", sids, everything=everything, yes=yes, given=given)


@webhooks.command("discard")
@_choice
def discard(*, sids: tuple[str, ...], everything: bool, yes: bool, **given: str | None) -> None:
    """Throw webhooks away that were given up; nobody will be told of them."""
    _act("discard", sids, everything=everything, yes=yes, given=given)


def _act(
    verb: str,
    sids: tuple[str, ...],
    *,
    everything: bool,
    yes: bool,
    given: dict[str, str | None],
) -> None:
    chosen = _query(given)
    if bool(sids) + bool(chosen) + everything != 1:
        raise click.UsageError("Name webhooks, or choose them with options, or say --all.")
    platform = Platform(options.credentials())
    if sids:
        done = sum(_one(platform, verb, sid) for sid in sids)
    else:
        if not _is_sure(platform, verb, chosen, yes=yes):
            if given["host"]:
                raise click.ClickException(_none_for(platform, given["host"], status="parked"))
            click.echo("No such webhooks were given up.")
            return
        done = _many(platform, verb, chosen)
    click.echo(f"{_counted(done)} {'replayed' if verb == 'replay' else 'thrown away'}.")


def _is_sure(platform: Platform, verb: str, chosen: list[tuple[str, str]], *, yes: bool) -> bool:
    """Say how many webhooks are meant and ask; False, and not asked, where there are none."""
    counted = platform.fetch(f"{PATH}/count", chosen)
    count = _number(counted.get("count"))
    if not count:
        return False
    if not yes:
        some = f"{count:,} or more webhooks" if counted.get("has_more") else _counted(count)
        click.confirm(f"{verb.title()} {some}?", abort=True)
    return True


def _none_for(platform: Platform, host: str, *, status: str) -> str:
    """Say that there is nothing for a host, and for which hosts there is something."""
    did = "wait" if status == "waiting" else "were given up"
    hosts = rows(platform.fetch(f"{PATH}/hosts"), "hosts")
    names = [cell(each.get("host")) for each in hosts if _number(each.get(status))]
    if host.lower() in names:
        return f"No such webhooks for {host} {did}."
    # Whoever left the port out means one of these.
    names.sort(key=lambda name: not name.startswith(f"{host.lower()}:"))
    others = f" and {len(names) - HOSTS_NAMED_MAX} others" if len(names) > HOSTS_NAMED_MAX else ""
    some = ", ".join(names[:HOSTS_NAMED_MAX]) + others
    hint = f"there are some for {some}" if names else "there are none for any host"
    return f"No webhooks for {host} {did}; {hint}."


def _one(platform: Platform, verb: str, sid: str) -> int:
    path = f"{PATH}/{quote(sid, safe='', errors='replace')}"
    if verb == "discard":
        platform.delete(path)
        return 1
    return _number(platform.post(f"{path}/replay", []).get("replayed"))


def _many(platform: Platform, verb: str, chosen: list[tuple[str, str]]) -> int:
    form = [(name.title(), value) for name, value in chosen] or [("All", "true")]
    total = 0
    for _ in range(ROUNDS_MAX):
        answer = platform.post(f"{PATH}/{verb}", form)
        total += _number(answer.get("replayed", answer.get("discarded")))
        if not answer.get("has_more"):
            break
    return total


def _query(given: dict[str, str | None]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in given.items() if value is not None]


def _counted(count: int) -> str:
    return f"{count:,} webhook{'' if count == 1 else 's'}"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _shown(webhook: Document) -> Document:
    due = moment(webhook.get("due_at")) if webhook.get("due_at") else "never"
    created = moment(webhook.get("created_at"))
    return {**webhook, "created": created, "next": due, "error": _error(webhook)}


def _error(found: Document) -> str:
    """Return in a few words why the last attempt failed."""
    last = found.get("last_attempt")
    if not isinstance(last, dict):
        return ""
    return f"{cell(last.get('error_code'))} {cell(last.get('reason'))}".strip()
