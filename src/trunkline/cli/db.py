"""`trunkline db`: the database as a whole."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import click
from rich import progress as rich_progress
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from trunkline import app
from trunkline.cli import options
from trunkline.cli.show import print_json
from trunkline.config import Config, load_config, requirement
from trunkline.ops import storage
from trunkline.ops.storage import Progress, Step
from trunkline.runtime import SystemClock

F = TypeVar("F", bound=Callable[..., object])


def database_options(function: F) -> F:
    """Let a command say which database it means, as `trunkline up` does."""
    named = click.option(
        "--database",
        metavar="URL",
        help=f"The PostgreSQL database, where it is one ({requirement('database')}).",
    )
    return options.data_dir_option(named(function))


@click.group()
@options.data_dir_option
def db() -> None:
    """Look after the database: bring it up to date, check it, save it, move it.

    Which database is meant is read from the settings, as `trunkline up` reads them.
    """


@db.command()
@database_options
def migrate(*, database: str | None) -> None:
    """Bring the schema up to date; `trunkline up` does it by itself."""
    config = _config(database)
    with _plainly(), _held(config):
        before, after = storage.migrate(config)
    if before == after:
        click.echo(f"The schema has version {after} already.")
    else:
        click.echo(f"The schema had {f'version {before}' if before else 'none'}: now {after}.")


@db.command()
@database_options
@options.json_option
def check(*, database: str | None, as_json: bool) -> None:
    """Look for what cannot be in a healthy database; the platform may be running.

    Every row is read. Exit code 1 says that something is wrong.
    """
    with _plainly():
        faults = storage.check(_config(database), SystemClock().now())
    if as_json:
        print_json({"faults": [asdict(fault) for fault in faults]})
    for fault in [] if as_json else faults:
        example = f", for example {fault.example}" if fault.example else ""
        click.echo(f"{fault.what}: {fault.count}{example}")
    if faults:
        click.get_current_context().exit(1)
    if not as_json:
        click.echo("Nothing is wrong.")


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@database_options
def backup(*, file: Path, database: str | None) -> None:
    """Write the database to FILE as it is at this moment; the platform may be running.

    A SQLite file can be put in the place of the old one; what pg_dump writes is for pg_restore.
    """
    config = _config(database)
    if config.database is not None:
        click.echo(shlex.join(storage.dump_command(config.database, file)), err=True)
    with _plainly():
        storage.save(config, file)
    click.echo(f"{file} is written. It needs {_beside(config)}: keep that, too.")


@db.command()
@database_options
def move(*, database: str | None) -> None:
    """Move everything from the data directory to a PostgreSQL database.

    The platform must not be running. Whoever is interrupted calls this once more.
    """
    config = _config(database)
    with _plainly(), _held(config), _bar() as progress:
        moved = storage.move(config, progress)
    for name, count in moved.rows.items():
        click.echo(f"{name}: {count:,} rows, the same on both sides")
    click.echo(f"media: {moved.media:,}")
    click.echo(
        f"Everything is moved. Start with the setting database from now on; {_key(config)} is"
        " needed by every node."
    )


def _beside(config: Config) -> str:
    """Say what a backup is worth little without."""
    if config.database is not None:
        return _key(config)
    return f"{_key(config)} and the directory {config.data_dir / 'media'}"


def _key(config: Config) -> str:
    if config.secret_key is not None:
        return "the key of the setting secret_key"
    file = config.data_dir / "secret.key"
    if file.exists():
        return f"the key in {file}"
    return (
        f"the servers' key, which is not in {config.data_dir} (it is what their setting secret_key"
        " names, or the file secret.key of their --data-dir)"
    )


def _config(database: str | None) -> Config:
    given = {"database": database, "data_dir": options.chosen_data_dir()}
    try:
        return load_config({name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _plainly() -> Iterator[None]:
    try:
        yield
    except (ValueError, app.StartupError) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _held(config: Config) -> Iterator[None]:
    with app.owned(config.data_dir):
        yield


@contextmanager
def _bar() -> Iterator[Progress]:
    """Show how far something is, where somebody looks."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with rich_progress.Progress(
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    ) as shown:
        tasks: dict[str, TaskID] = {}

        def show(step: Step) -> None:
            if step.what not in tasks:
                tasks[step.what] = shown.add_task(step.what, total=step.total)
            shown.update(tasks[step.what], completed=step.done, total=step.total)

        yield show
