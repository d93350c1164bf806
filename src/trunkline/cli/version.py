"""`trunkline version`: which version this is."""

import click

from trunkline import __version__


@click.command()
def version() -> None:
    """Show the version."""
    click.echo(f"trunkline {__version__}")
