"""`trunkline credentials`: how to sign in to the platform."""

import shlex
from dataclasses import asdict, replace

import click

from trunkline.cli import options
from trunkline.cli.client import Platform
from trunkline.cli.show import print_facts, print_json
from trunkline.connecting import reachable
from trunkline.datadir import Credentials


@click.command()
@click.option("--env", "as_env", is_flag=True, help="Print lines for a shell: variables to export.")
@click.option(
    "--test", "for_tests", is_flag=True, help="The test credentials, for which nothing is done."
)
@options.data_dir_option
@options.json_option
def credentials(*, as_env: bool, for_tests: bool, as_json: bool) -> None:
    """Show how to sign in to the platform.

    They are read from the data directory, so the platform need not run, but for --test. The
    official SDKs find them in a shell that was told: eval "$(trunkline credentials --env)"
    """
    found = _for_tests(options.credentials()) if for_tests else options.credentials()
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


def _for_tests(found: Credentials) -> Credentials:
    path = f"/trunkline/v1/accounts/{found.account_sid}/test-credentials"
    told = Platform(found).fetch(path)
    return replace(
        found,
        account_sid=str(told["account_sid"]),
        auth_token=str(told["auth_token"]),
        phone_number=str(told["phone_number"]),
    )
