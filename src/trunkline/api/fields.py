"""Declarations made ready: the fields of a params or view class, and the tables that use them.

Rule: a declaration is resolved once, when the server starts; a request only looks things up.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, get_type_hints

from trunkline.api.wire import KINDS, Code, Kind, Level, Support, Wire, meaning_of
from trunkline.domain.errors import Refusal

INVALID_PARAMETER = 20422

Pairs = Sequence[tuple[str, str]]

_FULL = Support(Level.FULL)
_TIME = KINDS[datetime]
Mark = TypeVar("Mark")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a declaration; `wire` is Twilio's name for it."""

    name: str
    wire: str
    kind: Kind
    many: bool
    nullable: bool
    required: bool
    default: Any
    support: Support
    code: int

    def read(self, texts: list[str]) -> Any:
        """Return the value of the texts sent for this field, or refuse.

        Of a field that does not repeat the last counts; an empty text of most kinds is no text, nor
        is it one of several: forms send MediaUrl= for no media.
        """
        if self.many or not self.kind.takes_empty:
            texts = [text for text in texts if text]
        values = [self._read_one(text) for text in (texts if self.many else texts[-1:])]
        value = tuple(values) if self.many else (values[0] if values else self.default)
        if value not in (self.default, ""):
            self._check_support()
        return value

    def _read_one(self, text: str) -> Any:
        if "\0" in text:
            raise self._refusal("holds a NUL character", text="")
        try:
            return self.kind.parse(text)
        except ValueError as problem:
            raise self._refusal(str(problem), text=text) from None

    def _check_support(self) -> None:
        if self.support.level is Level.REFUSED and not self.support.by_flow:
            reason = f"not supported here; {self.support.reason}"
            raise Refusal(self.support.code, name=f"`{self.wire}`", reason=reason)

    def _refusal(self, reason: str, *, text: str) -> Refusal:
        return Refusal(self.code, name=f"`{self.wire}`", reason=reason, number=text)


@cache
def fields_of(declared: type, *, request: bool) -> tuple[Field, ...]:
    """Return the fields of a dataclass as they stand in requests, or in answers."""
    hints = get_type_hints(declared, include_extras=True)
    return tuple(_field(f, hints[f.name], request=request) for f in fields(declared))


def _field(declared: Any, annotation: Any, *, request: bool) -> Field:
    meaning = meaning_of(annotation)
    bare = declared.name.removesuffix("_")
    derived = "".join(word.capitalize() for word in bare.split("_")) if request else bare
    wire = _mark(meaning.marks, Wire, otherwise=Wire(derived))
    code = _mark(meaning.marks, Code, otherwise=Code(INVALID_PARAMETER))
    return Field(
        name=declared.name,
        wire=wire.name,
        kind=meaning.kind,
        many=meaning.many,
        nullable=meaning.nullable,
        required=declared.default is MISSING,
        default=None if declared.default is MISSING else declared.default,
        support=_mark(meaning.marks, Support, otherwise=_FULL),
        code=code.code,
    )


def _mark(marks: Iterable[Any], kind: type[Mark], *, otherwise: Mark) -> Mark:
    return next((mark for mark in marks if isinstance(mark, kind)), otherwise)


class Inputs:
    """Reads what a caller sent into a params class.

    What Twilio does not declare is ignored, as Twilio does. A known name counts in any case,
    because applications in the field misspell it so; the exact spelling wins.
    """

    def __init__(self, params: type) -> None:
        self._make = params
        self.fields = fields_of(params, request=True)
        self._by_wire = {field.wire: field for field in self.fields}
        self._folded = {field.wire.lower(): field.wire for field in self.fields}
        self._required = [field for field in self.fields if field.required]

    def parse(self, pairs: Pairs) -> Any:
        """Return the params, or refuse with an error that names the parameter."""
        texts = self._texts(pairs)
        for field in self._required:
            if not any(texts.get(field.wire, ())):
                name = f"`{field.wire}`"
                raise Refusal(field.code, name=name, reason="required", number=f"{name} required")
        by_wire = self._by_wire
        return self._make(**{by_wire[w].name: by_wire[w].read(t) for w, t in texts.items()})

    def known(self, pairs: Pairs) -> list[tuple[str, str]]:
        """Return the pairs that were declared, under their exact names."""
        return [(wire, text) for wire, texts in self._texts(pairs).items() for text in texts]

    def _texts(self, pairs: Pairs) -> Mapping[str, list[str]]:
        exact: dict[str, list[str]] = {}
        miscased: dict[str, list[str]] = {}
        for name, text in pairs:
            if name in self._by_wire:
                exact.setdefault(name, []).append(text)
            elif wire := self._folded.get(name.lower()):
                miscased.setdefault(wire, []).append(text)
        return {**miscased, **exact} if miscased else exact


class Outputs:
    """Writes a view as the JSON object of the wire."""

    def __init__(self, view: type, render_time: Callable[[datetime], str]) -> None:
        self.fields = fields_of(view, request=False)
        self._names = tuple(field.wire for field in self.fields)
        first, *others = (f.name for f in self.fields)
        # Of one name alone attrgetter returns the value itself.
        self._values: Callable[[Any], tuple[Any, ...]] = (
            attrgetter(first, *others) if others else lambda view: (getattr(view, first),)
        )
        self._renders = [
            (field.wire, render_time if field.kind is _TIME else field.kind.render)
            for field in self.fields
        ]
        self._renders = [(wire, render) for wire, render in self._renders if render]

    def render(self, view: Any) -> dict[str, Any]:
        """Return what is to be written as JSON; a value that is absent is null."""
        rendered = dict(zip(self._names, self._values(view), strict=True))
        for wire, render in self._renders:
            if rendered[wire] is not None and render is not None:
                rendered[wire] = render(rendered[wire])
        return rendered
