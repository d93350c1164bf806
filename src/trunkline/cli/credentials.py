"""`trunkline credentials`: how to sign in to the platform."""

import shlex
from dataclasses import asdict

import click

from trunkline.cli import options
from trunkline.cli.show import print_facts, print_json
from trunkline.connecting import reachable


@click.command()
@click.option("--env", "as_env", is_flag=True, help="Print lines for a shell: variables to export.")
@options.data_dir_option
@options.json_option
def credentials(*, as_env: bool, as_json: bool) -> None:
    """Show how to sign in to the platform.

    They are read from the data directory, so the platform need not run. The official SDKs find
    them in a shell that was told: eval "$(trunkline credentials --env)"
    """
    found = options.credentials()
    if as_json:
        print_json(asdict(found))
        return
    if as_env:
        variables = {
            "TWILIO_ACCOUNT_SID": found.account_sid,
            "TWILIO_AUTH_TOKEN": found.auth_token,
            "TWILIO_PHONE_NUMBER": found.phone_number,
            "TRUNKLINE_URL": reachable(found.base_url),
        }
        for name, value in variables.items():
            click.echo(f"export {name}={shlex.quote(value)}")
        return
    print_facts(
        {
            "Account SID": found.account_sid,
            "Auth token": found.auth_token,
            "Base URL": found.base_url,
            "Phone number": found.phone_number,
        }
    )
