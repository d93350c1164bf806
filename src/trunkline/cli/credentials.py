"""`trunkline credentials`: how to sign in to the platform."""

from dataclasses import asdict

import click

from trunkline.cli import options
from trunkline.cli.show import print_facts, print_json


@click.command()
@options.data_dir_option
@options.json_option
def credentials(*, as_json: bool) -> None:
    """Show how to sign in to the platform.

    They are read from the data directory, so the platform need not run.
    """
    found = options.credentials()
    if as_json:
        print_json(asdict(found))
        return
    print_facts(
        {
            "Account SID": found.account_sid,
            "Auth token": found.auth_token,
            "Base URL": found.base_url,
            "Phone number": found.phone_number,
        }
    )
