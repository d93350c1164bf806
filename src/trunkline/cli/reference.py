"""The reference pages of the settings and of the command line, written from what the code declares.

`python -m trunkline.cli.reference docs/reference` writes them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from trunkline.cli import COMMANDS, commands, load_command
from trunkline.config import PREFIX, Config, option_name, requirement

_SETTINGS_HEAD = """\
# Settings

Every setting can be given in three places; the first that names it wins:

1. an option of `trunkline up`,
2. an environment variable (an empty one counts as not set),
3. the file `trunkline.toml` in the current directory or, where there is none, in the data
   directory.

In variables and options a list is written `5,30,120` and a table `deliver=0.9,off=0.1`; both may
also be JSON. A name or a value that the platform does not know stops it at the start with a
sentence that says which, and with exit status 2.

"""

_COMMAND_LINE_HEAD = """\
# The command line

`trunkline` is `.venv/bin/trunkline` in a checkout; `. .venv/bin/activate` lets a terminal find it.
The commands other than `up` speak to a running platform, which they find through its data
directory: `--data-dir`, `TRUNKLINE_DATA_DIR`, what `trunkline.toml` says, or `trunkline-data` in
the current directory. Times are in UTC. Exit status: 0 done, 1 refused or not reachable, 2 not
understood.

"""


def render_settings() -> str:
    """Return the page of the settings."""
    return _SETTINGS_HEAD + "\n".join(_setting_section(name) for name in Config.model_fields)


def render_command_line() -> str:
    """Return the page of the commands."""
    root = click.Context(commands, info_name="trunkline")
    sections = [_command_section(root)]
    for name in COMMANDS:
        sections += _command_sections(click.Context(load_command(name), root, info_name=name))
    return _COMMAND_LINE_HEAD + "\n".join(sections)


PAGES = {"settings.md": render_settings, "command-line.md": render_command_line}


def main(directory: str) -> None:
    """Write the pages into a directory."""
    for name, render in PAGES.items():
        path = Path(directory) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render())


def _setting_section(name: str) -> str:
    field = Config.model_fields[name]
    return (
        f"## `{name}`\n\n{field.description}\n\n"
        f"- Value: {requirement(name)}\n- Default: {_default(field.default)}\n"
        f"- Option: `{option_name(name)}`\n- Variable: `{PREFIX}{name.upper()}`\n"
    )


def _default(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, tuple):
        return f"`{','.join(f'{item:g}' for item in value)}`" if value else "empty"
    return "empty" if value == {} else f"`{value}`"


def _command_sections(context: click.Context) -> Iterator[str]:
    yield _command_section(context)
    command = context.command
    if isinstance(command, click.Group):
        for name, member in command.commands.items():
            yield from _command_sections(click.Context(member, context, info_name=name))


def _command_section(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"## `{context.command_path}`", "", _paragraphs(command.help or ""), ""]
    lines += ["```", usage, "```", ""]
    options = (p for p in command.params if isinstance(p, click.Option))
    rows = [record for option in options if (record := option.get_help_record(context))]
    if rows:
        lines += ["| Option | Meaning |", "|---|---|"]
        lines += [f"| `{option}` | {_cell(meaning)} |" for option, meaning in rows]
        lines.append("")
    return "\n".join(lines)


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(p.split()) for p in text.split("\n\n"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main(sys.argv[1])
