"""The `trunkline` command: starting the platform, and speaking to one that runs."""

import io
import sys
from importlib import import_module

import click

from trunkline import __version__
from trunkline.cli.options import data_dir_option

# One row a command: the module in trunkline.cli that holds it under its name, and what it is for.
COMMANDS = {
    "up": ("up", "Start the platform."),
    "credentials": ("credentials", "Show how to sign in to the platform."),
    "send": ("messages", "Send a message through the API, or one to everybody in a file."),
    "messages": ("messages", "List messages, newest first."),
    "phone": ("phone", "Hold a simulated phone in your hand."),
    "carriers": ("carriers", "Set up the carriers that messages leave by."),
    "routes": ("routes", "Say which messages leave by which carrier."),
    "accounts": ("accounts", "Look after subaccounts: trials, countries, auth tokens."),
    "numbers": ("numbers", "Bring your own numbers and short codes."),
    "services": (
        "services",
        "Say whom Messaging Services may text, and which words stop their texts.",
    ),
    "consent": (
        "consent",
        "Show who agreed to be sent texts and who opted out; keep the evidence of it.",
    ),
    "smpp": ("smpp", "Let SMPP clients bind to the platform."),
    "trace": ("trace", "Tell everything that happened to a message."),
    "webhooks": ("webhooks", "Show webhooks that were given up, and make them again."),
    "retention": ("retention", "Say how long things are kept."),
    "nodes": ("nodes", "Show the nodes that share the database, and what each has."),
    "clock": ("clock", "Move the platform's manual clock forward."),
    "doctor": ("doctor", "Find out what is wrong with this installation, running or stopped."),
    "db": ("db", "Look after the database: bring it up to date, check it, save it, move it."),
    "version": ("version", "Show the version."),
}
# What people type as well.
ALIASES = {"route": "routes"}


def load_command(name: str) -> click.Command:
    """Return a command of the table.

    Its module is imported now and not before: `up` needs the whole program, which takes a second
    to import, and nobody wants to wait that long for `--help`.
    """
    module, _ = COMMANDS[name]
    command: click.Command = getattr(import_module(f"trunkline.cli.{module}"), name)
    return command


class _Commands(click.Group):
    """A group whose members are rows of the table until one of them is called."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(
            ctx, [ALIASES.get(args[0], args[0]), *args[1:]]
        )
        return name, load_command(name) if name in COMMANDS else command, rest


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trunkline", message="%(prog)s %(version)s")
@data_dir_option
def commands() -> None:
    """A self-hosted communications platform that speaks Twilio's HTTP API."""


for _name, (_, _purpose) in COMMANDS.items():
    commands.add_command(click.Command(_name, help=_purpose))


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no emoji must not stop a list of messages.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    commands(prog_name="trunkline")
