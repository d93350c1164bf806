"""The mandatory fields of a PDU in wire order, compiled so that each takes little time.

Strings and single octets that follow each other make one run: it is written by one `%` on a
template and read in one loop, which is several times faster than a call per field. What is a list
or has a length of its own stands by itself.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter, le

from trunkline.smpp.fields import (
    CSTRING_RECEIVED_MAX,
    CString,
    ListField,
    MalformedPdu,
    Octet,
    endless_string,
)

PlainField = Octet | CString
AnyField = PlainField | ListField


def _reader(names: Sequence[str]) -> Callable[[object], tuple[object, ...]]:
    """Return what reads these attributes; attrgetter makes a tuple of two or more only."""
    if len(names) > 1:
        return attrgetter(*names)
    if not names:
        return lambda pdu: ()
    read = attrgetter(names[0])
    return lambda pdu: (read(pdu),)


class _Run:
    """Strings and single octets that follow each other."""

    def __init__(self, plain: Sequence[tuple[str, PlainField]]) -> None:
        self._template = "".join("%s\0" if isinstance(f, CString) else "%c" for _, f in plain)
        self._values = _reader([name for name, _ in plain])
        strings = [(name, field) for name, field in plain if isinstance(field, CString)]
        self._names = [name for name, _ in strings]
        self._strings = _reader(self._names)
        self._lengths_max = [field.size_max - 1 for _, field in strings]
        self._steps = list(_steps(plain))

    def encode(self, pdu: object) -> bytes:
        strings = self._strings(pdu)
        # Latin-1 makes one octet of each character, so that counting characters is enough.
        fits = all(map(le, map(len, strings), self._lengths_max))  # type: ignore[arg-type]
        if not fits or "\0" in "".join(strings):  # type: ignore[arg-type]
            raise ValueError(self._fault(strings))
        try:
            return (self._template % self._values(pdu)).encode("latin-1")
        except (UnicodeEncodeError, OverflowError):
            raise ValueError("a field of one octet or a string holds what octets cannot") from None

    def decode(self, octets: bytes, at: int, *, into: list[object]) -> int:
        text = octets.decode("latin-1")
        for count, field in self._steps:
            if field is None:
                end = at + count
                if end > len(octets):
                    raise MalformedPdu(f"the body ends in the {count} octets from {at} on")
                into += octets[at:end]
                at = end
                continue
            end = text.find("\0", at, at + CSTRING_RECEIVED_MAX)
            if end < 0:
                raise endless_string(octets, at, kind=field)
            into.append(text[at:end])
            at = end + 1
        return at

    def _fault(self, strings: tuple[object, ...]) -> str:
        names = zip(self._names, strings, self._lengths_max, strict=True)
        bad = [f"{n} takes {size}" for n, s, size in names if len(str(s)) > size or "\0" in str(s)]
        return f"octets without NUL: {', '.join(bad)}"


def _steps(plain: Sequence[tuple[str, PlainField]]) -> list[tuple[int, CString | None]]:
    """Return how to read a run: one string, or so many octets, at a time."""
    steps: list[tuple[int, CString | None]] = []
    for is_octets, group in groupby((f for _, f in plain), key=lambda f: isinstance(f, Octet)):
        found = list(group)
        if is_octets:
            steps.append((len(found), None))
        else:
            steps += ((0, field) for field in found if isinstance(field, CString))
    return steps


class _Single:
    """A field that is a list or has a length of its own."""

    def __init__(self, name: str, field: ListField) -> None:
        self._name = name
        self._field = field
        self._value = attrgetter(name)

    def encode(self, pdu: object) -> bytes:
        return self._field.encode(self._value(pdu), self._name)

    def decode(self, octets: bytes, at: int, *, into: list[object]) -> int:
        value, end = self._field.decode(octets, at)
        into.append(value)
        return end


class Layout:
    """The mandatory fields of one PDU."""

    def __init__(self, fields: Sequence[tuple[str, AnyField]]) -> None:
        self.names = tuple(name for name, _ in fields)
        self.private = frozenset(
            name
            for name, field in fields
            if not isinstance(field, Octet) and getattr(field, "private", True)
        )
        pieces = _pieces(fields)
        self._encoders = tuple(piece.encode for piece in pieces)
        self._decoders = tuple(piece.decode for piece in pieces)

    def encode(self, pdu: object) -> bytes:
        """Encode the fields of a PDU; raise ValueError for one that does not fit."""
        return b"".join([encode(pdu) for encode in self._encoders])

    def decode(self, octets: bytes, *, into: list[object]) -> int:
        """Append the values to *into* and return where they ended.

        Whoever catches the MalformedPdu finds the values before the fault in *into*.
        """
        at = 0
        for decode in self._decoders:
            at = decode(octets, at, into=into)
        return at


def _pieces(fields: Sequence[tuple[str, AnyField]]) -> list[_Run | _Single]:
    pieces: list[_Run | _Single] = []
    plain: list[tuple[str, PlainField]] = []
    for name, field in fields:
        if isinstance(field, Octet | CString):
            plain.append((name, field))
            continue
        pieces += (_Run(plain), _Single(name, field)) if plain else (_Single(name, field),)
        plain = []
    return [*pieces, _Run(plain)] if plain else pieces
