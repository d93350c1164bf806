"""`trunkline clock`: moving the platform's manual clock."""

import click

from trunkline.cli import options
from trunkline.cli.client import Platform
from trunkline.cli.show import print_json


@click.command()
@click.argument("seconds", type=click.FloatRange(min=0))
@options.data_dir_option
@options.json_option
def clock(*, seconds: float, as_json: bool) -> None:
    """Move the platform's manual clock forward.

    The platform must have been started with `--clock manual`.
    """
    form = [("Seconds", f"{seconds:g}")]
    answer = Platform(options.credentials()).post("/trunkline/v1/clock", form)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"The clock moved forward by {seconds:g} seconds.")
