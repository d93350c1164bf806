"""A file of contacts and a template: what is to be sent to whom, read before anything is sent.

What is wrong with the file as a whole is a ValueError with a sentence for people; what is wrong
with one line is told beside it.
"""

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trunkline.domain.address import AddressKind, parse_recipient

# All of it is held: some 100 MB with the texts. More is more than one file.
ROWS_MAX = 100_000
BYTES_MAX = 50_000_000
# The first of these that the file has is where the numbers are.
NUMBER_COLUMNS = ("to", "phone", "number", "phone_number", "mobile", "recipient")
DELIMITERS = (",", ";", "\t")
LINES_SHOWN_MAX = 5

_PLACE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Row:
    """One text: the line it stands in, whom it is for, and what it says."""

    line: int
    recipient: str
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Campaign:
    """What a file and a template make: the texts, and the lines that make none with the reason.

    digest: of the file and everything else that decides what is sent.
    """

    rows: Sequence[Row]
    broken: Mapping[int, tuple[str, str]]
    digest: str


def read_campaign(
    path: Path,
    template: str,
    *,
    sender: str,
    column: str | None = None,
    may_repeat: bool = False,
) -> Campaign:
    """Return what the file at *path* makes of *template*."""
    content = _content(path)
    header, lines = _table(_decoded(content), path.name)
    numbers = _number_column(header, column)
    _check_template(template, header)
    rows: list[Row] = []
    broken: dict[int, tuple[str, str]] = {}
    for line, values in lines:
        row = _row(line, dict(zip(header, values, strict=True)), template=template, numbers=numbers)
        if isinstance(row, Row):
            rows.append(row)
        else:
            broken[line] = (values[header.index(numbers)], row)
    if not rows and not broken:
        raise ValueError(f"{path.name} has a line of names and no contacts.")
    if not may_repeat:
        _check_repeats(rows)
    parts = (content, template.encode(), sender.encode(), numbers.encode())
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts))
    return Campaign(rows, broken, digest.hexdigest())


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > BYTES_MAX:
        raise ValueError(f"{path.name} has more than {BYTES_MAX:,} bytes; divide it.")
    return content


def _decoded(content: bytes) -> str:
    if content.startswith(_UTF_16):
        raise ValueError("The file is UTF-16; save it as CSV in UTF-8.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"Line {line} is not UTF-8; save the file as CSV in UTF-8.") from error
    if "\0" in text:
        raise ValueError("The file holds NUL characters; it is no CSV file.")
    return text


def _table(text: str, name: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the names of the columns, and the lines behind them with their numbers."""
    lines = _lines(text)
    number, header = next(lines, (0, []))
    if not header:
        raise ValueError(f"{name} is empty; its first line must name the columns.")
    header = [_name(cell) for cell in header]
    # Spreadsheets write delimiters behind the last name; such columns have none.
    twice = sorted({each for each in header if each and header.count(each) > 1})
    if twice:
        raise ValueError(f"Line {number} names a column twice: {_quoted(twice)}.")
    return header, _of_width(lines, len(header))


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield what stands in each line that is not empty, with the number of its first line."""
    first = next((line for line in io.StringIO(text, newline=None) if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)  # Of none the comma: there is one column.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1
    try:
        for values in reader:
            if any(value.strip() for value in values):
                yield number, values
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"Line {number} cannot be read: {error}.") from error


def _of_width(
    lines: Iterator[tuple[int, list[str]]], width: int
) -> Iterator[tuple[int, list[str]]]:
    for count, (number, values) in enumerate(lines):
        if len(values) != width:
            raise ValueError(f"Line {number} has {len(values)} columns; the first has {width}.")
        if count == ROWS_MAX:
            raise ValueError(f"There are more than {ROWS_MAX:,} contacts; divide the file.")
        yield number, values


def _name(text: str) -> str:
    """Return the name of a column, however its accents are put together."""
    return unicodedata.normalize("NFC", text.strip())


def _names(template: str) -> list[str]:
    """Return the columns that a template asks for, in their order."""
    return [_name(text) for text in dict.fromkeys(_PLACE.findall(template))]


def _number_column(header: Sequence[str], wanted: str | None) -> str:
    if wanted is not None:
        if not wanted.strip() or _name(wanted) not in header:
            raise ValueError(f"There is no column {wanted!r}; there are {_quoted(header)}.")
        return _name(wanted)
    folded = {name.lower().replace(" ", "_"): name for name in header}
    for name in NUMBER_COLUMNS:
        if name in folded:
            return folded[name]
    raise ValueError(
        f"No column is called {_quoted(NUMBER_COLUMNS)}; name the one that holds the numbers"
        f" with --to-column. There are {_quoted(header)}."
    )


def _check_template(template: str, header: Sequence[str]) -> None:
    if not template.strip():
        raise ValueError("The template is empty.")
    missing = [name for name in _names(template) if not name or name not in header]
    if missing:
        raise ValueError(
            f"The template asks for {_quoted(missing)}; the file has {_quoted(header)}."
        )
    rest = _PLACE.sub("", template)
    if "{{" in rest or "}}" in rest:
        raise ValueError("The template has braces that do not belong together: write {{name}}.")


def _row(line: int, values: Mapping[str, str], *, template: str, numbers: str) -> Row | str:
    """Return the text of a line, or what is wrong with it."""
    address = parse_recipient(values[numbers])
    if address is None:
        return "the number is none"
    if address.kind is AddressKind.SHORT_CODE:
        return "the number is a short code"
    empty = [name for name in _names(template) if not values[name].strip()]
    if empty:
        return f"{_quoted(empty)} is empty"
    body = _PLACE.sub(lambda place: values[_name(place[1])].strip(), template)
    return Row(line, address.text, body)


def _check_repeats(rows: Sequence[Row]) -> None:
    lines: dict[str, list[int]] = {}
    for row in rows:
        lines.setdefault(row.recipient, []).append(row.line)
    twice = {number: found for number, found in lines.items() if len(found) > 1}
    if not twice:
        return
    shown = [
        f"{number} in lines {', '.join(map(str, found[:LINES_SHOWN_MAX]))}"
        for number, found in list(twice.items())[:LINES_SHOWN_MAX]
    ]
    more = "" if len(twice) <= LINES_SHOWN_MAX else f", and {len(twice) - LINES_SHOWN_MAX:,} more"
    raise ValueError(
        f"Numbers stand there more than once: {'; '.join(shown)}{more}."
        " If each of these lines is to be sent, say --allow-duplicates."
    )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names if name)
