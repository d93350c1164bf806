"""How commands show things: tables for people, JSON for programs, strangers' text made harmless."""

import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

import click
import msgspec
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Whoever reads from a pipe wants whole lines: no text is folded and no SID is cut.
PIPED_WIDTH: Final = 1_000_000
# The columns that give way on a narrow terminal, and how far; everything else stays whole.
FOLDED: Final = {"Body", "Details", "Media", "Reason", "URL"}
FOLDED_WIDTH: Final = 20
GAP: Final = 3
HIDDEN_CATEGORIES: Final = {"Cc", "Cs", "Zl", "Zp"}
# These reorder the text around them, so that a name or a number reads as another.
REORDERING: Final = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def visible(text: str) -> str:
    """Return *text* with everything that would steer a terminal replaced by something to see."""
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    is_steering = unicodedata.category(character) in HIDDEN_CATEGORIES
    if not is_steering and unicodedata.bidirectional(character) not in REORDERING:
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)  # U+2400 to U+241F are pictures of the control characters.
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def print_json(document: object) -> None:
    """Print one JSON document and nothing else."""
    click.echo(msgspec.json.format(msgspec.json.encode(document)).decode())


def print_table(columns: Mapping[str, str], rows: Sequence[Mapping[str, object]]) -> None:
    """Print *rows*; *columns* are the titles and the keys of what stands under them."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    shown = [[cell(row.get(key)) for key in columns.values()] for row in rows]
    needed = 0
    for index, title in enumerate(columns):
        is_folded = title in FOLDED
        widest = max(cell_len(text) for text in (title, *(line[index] for line in shown)))
        needed += (min(widest, FOLDED_WIDTH) if is_folded else widest) + GAP
        table.add_column(title, overflow="fold", no_wrap=not is_folded)
    for line in shown:
        table.add_row(*map(Text, line))
    screen = console()
    # A SID or a number broken in two cannot be copied: better let the terminal wrap the line.
    screen.width = max(screen.width, needed)
    with screen.capture() as captured:
        screen.print(table)
    # The blanks that fill the last column would wrap on a terminal that is narrower than the table.
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one pair a line."""
    width = max(len(name) for name in facts) + 2
    for name, value in facts.items():
        click.echo(f"{name:<{width}}{cell(value)}".rstrip())


def cell(value: object) -> str:
    """Return a value of a document as one harmless line."""
    if value is None:
        return ""
    return visible(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def brief(value: object, *, size_max: int) -> str:
    """Return a value as a line of at most so many characters; a longer one ends in an ellipsis."""
    text = cell(value)
    return text if len(text) <= size_max else f"{text[: size_max - 1].rstrip()}…"


def moment(value: object) -> str:
    """Return a time of a document as people read it, in UTC and to the second."""
    return cell(value)[:19].replace("T", " ")


def console() -> Console:
    """Return where people read; without colour and as wide as need be where nobody looks."""
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)
