"""Options that several commands share, and what they mean."""

from collections.abc import Callable
from typing import TypeVar

import click

from trunkline.datadir import Credentials, find_data_dir, read_credentials

_DATA_DIR = "trunkline.data_dir"

F = TypeVar("F", bound=Callable[..., object])


def _remember(context: click.Context, value: str | None) -> None:
    # The context's meta is shared by a command and its subcommands; the innermost option wins.
    if value is not None:
        context.meta[_DATA_DIR] = value


def data_dir_option(function: F) -> F:
    """Let a command take --data-dir; it may stand before or after the command's name."""
    return click.option(
        "--data-dir",
        metavar="DIR",
        expose_value=False,
        callback=lambda context, _, value: _remember(context, value),
        help="The platform's data directory; also TRUNKLINE_DATA_DIR.",
    )(function)


def json_option(function: F) -> F:
    """Let a command print one JSON document instead of something to look at."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(
        function
    )


def chosen_data_dir() -> str | None:
    """Return the data directory that the command line names, if it does."""
    value = click.get_current_context().meta.get(_DATA_DIR)
    return None if value is None else str(value)


def credentials() -> Credentials:
    """Return the credentials in the data directory; end the command where there are none."""
    try:
        return read_credentials(find_data_dir(chosen_data_dir()))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
