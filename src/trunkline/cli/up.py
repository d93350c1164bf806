"""`trunkline up`: the platform itself."""

from importlib import import_module

import click

from trunkline.cli import options
from trunkline.cli.banner import announce
from trunkline.config import Config, load_config, option_name, requirement
from trunkline.crew.supervisor import supervise
from trunkline.starting import StartupError


def setting_options() -> list[click.Parameter]:
    """Return an option for every setting but the data directory, which all commands share."""
    return [
        click.Option(
            [option_name(name), name],
            metavar="VALUE",
            help=f"{field.description} ({requirement(name)})",
        )
        for name, field in Config.model_fields.items()
        if name != "data_dir"
    ]


@click.command(params=setting_options())
@options.data_dir_option
def up(**given: str | None) -> None:
    """Start the platform.

    What is not given here is taken from TRUNKLINE_* variables, then from trunkline.toml in the
    current or in the data directory.
    """
    values = {name: value for name, value in given.items() if value is not None}
    data_dir = options.chosen_data_dir()
    if data_dir is not None:
        values["data_dir"] = data_dir
    try:
        config = load_config(values)
    except ValueError as error:
        click.echo(f"Error: {error}", err=True)
        click.get_current_context().exit(2)
    # Who only supervises needs neither the seconds nor the memory that the whole program takes.
    serve = supervise if config.workers > 1 else import_module("trunkline.app").serve
    try:
        serve(config, announce, reread=lambda: load_config(values))
    except StartupError as error:
        raise click.ClickException(str(error)) from error
