"""`trunkline doctor`: what is wrong with this installation."""

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import click
from rich import box
from rich.table import Table
from rich.text import Text

from trunkline.cli import options
from trunkline.cli.show import console, print_json, visible
from trunkline.config import FOREIGN_VARIABLES, PREFIX, Config, load_config
from trunkline.connecting import reachable
from trunkline.datadir import SETTINGS_FILE, find_data_dir, read_credentials, read_settings
from trunkline.ops.doctor.examine import examine
from trunkline.ops.doctor.finding import Finding, Installation, Verdict
from trunkline.ops.doctor.settings import names_known, settings_valid
from trunkline.runtime import SystemClock

STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.WRONG: "bold red"}


@click.command()
@click.option("--database", metavar="URL", help="The PostgreSQL database, where it is one.")
@options.data_dir_option
@options.json_option
def doctor(*, database: str | None, as_json: bool) -> None:
    """Find out what is wrong with this installation, running or stopped.

    Settings are read as `trunkline up` reads them, from TRUNKLINE_* variables and trunkline.toml;
    other options that were given to `up` are not known here. Nothing is changed. Exit code 1 says
    that something is wrong; warnings alone end with 0.
    """
    named = {"data_dir": options.chosen_data_dir(), "database": database}
    given = {name: value for name, value in named.items() if value is not None}
    findings = [*_settings(given), *examine(_installation(given))]
    if as_json:
        print_json({"findings": [asdict(each) for each in findings]})
    elif sys.stdout.isatty():
        _print_table(findings)
    else:
        _print_lines(findings)
    if any(each.verdict is Verdict.WRONG for each in findings):
        click.get_current_context().exit(1)


def _data_dir() -> Path:
    try:
        return find_data_dir(options.chosen_data_dir())
    except ValueError:
        # A broken file of settings is told of with the settings.
        return find_data_dir(options.chosen_data_dir(), {}, beside=Path(os.devnull))


def _settings(given: Mapping[str, str]) -> Iterable[Finding]:
    file = next((p for p in _settings_files() if _is_there(p)), None)
    origin = "defaults and the environment" if file is None else f"{file} and the environment"
    trouble = ""
    try:
        load_config(given)
    except ValueError as error:
        trouble = str(error)
    yield settings_valid(trouble, origin=origin)
    known = Config.model_fields
    if file is not None:
        # A file that cannot be read has been told of.
        with contextlib.suppress(ValueError):
            yield names_known(str(file), read_settings(file), known=known, prefix="")
    yield names_known("environment", _variables(), known=known, prefix=PREFIX)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False  # A directory that may not be looked into is told of by whoever reads there.


def _settings_files() -> tuple[Path, ...]:
    return Path(SETTINGS_FILE), _data_dir() / SETTINGS_FILE


def _variables() -> list[str]:
    return [
        name
        for name, value in os.environ.items()
        if name.startswith(PREFIX)
        and not FOREIGN_VARIABLES.fullmatch(name)
        and value
        and not value.startswith("tcp://")  # Kubernetes' own, of a service named like us.
    ]


def _installation(given: Mapping[str, str]) -> Installation:
    """Return what there is to look at; settings that cannot be read are taken as defaults."""
    data_dir = _data_dir()
    try:
        config = load_config(given)
    except ValueError:
        config = Config(data_dir=data_dir)
    url, account_sid, auth_token = reachable(config.public_url), "", ""
    try:
        left = read_credentials(data_dir)
        account_sid, auth_token = left.account_sid, left.auth_token
        # The port of options, or a free one, stands there alone.
        url = reachable(left.local_url or left.base_url)
    except ValueError:
        pass  # Never started, or damaged; the server writes it anew.
    if config.base_url is not None:
        url = reachable(Config(host=config.host, port=config.port).public_url)
    return Installation(
        data_dir=data_dir,
        now=SystemClock().now,
        database=config.database or "",
        secret_key=config.secret_key or "",
        disk_reserve=config.disk_free_min_mb * 1_000_000,
        base_url=config.base_url or "",
        local_url=url,
        account_sid=account_sid,
        auth_token=auth_token,
        certificates=_certificates(config),
    )


def _certificates(config: Config) -> dict[str, tuple[Path, Path | None]]:
    if config.smpp_tls_cert is None:
        return {}
    return {"smpp_tls_cert": (config.smpp_tls_cert, config.smpp_tls_key)}


def _print_table(findings: Iterable[Finding]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("", "Check", "Found", "What to do"):
        table.add_column(title, overflow="fold")
    for each in findings:
        verdict = Text(each.verdict, style=STYLES[each.verdict])
        table.add_row(verdict, *(Text(visible(t)) for t in (each.check, each.found, each.advice)))
    console().print(table)


def _print_lines(findings: Iterable[Finding]) -> None:
    for each in findings:
        advice = f" → {each.advice}" if each.advice else ""
        click.echo(visible(f"{each.verdict}: {each.check}: {each.found}{advice}"))
