"""A resource is declared once; routes, parsing, refusals, rendering and paging follow from it.

    View     a frozen dataclass: the JSON object, field by field
    Params   a frozen dataclass per operation: what a caller may send
    Op       joins Params to the one async function that does the work
    Dialect  what differs between the 2010-04-01 API and the newer ones

A function that does the work takes the Call, then its Params where it has some, then the Page where
it finds a list. It returns a domain object (None: there is none, 404), for a deletion whether there
was something to delete, for a list a Found, or a sequence where the list is not paged.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, get_type_hints

from trunkline.api.answers import Answer, json_answer
from trunkline.api.auth import Actor
from trunkline.api.fields import Inputs, Outputs, Pairs
from trunkline.api.paging import (
    ENVELOPE_2010,
    ENVELOPE_V1,
    Listing,
    envelope_2010,
    envelope_v1,
    parse_asked,
)
from trunkline.domain.account import Account
from trunkline.domain.errors import Refusal
from trunkline.flows.platform import Platform

JSON_SUFFIX = ".json"

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Verb(StrEnum):
    """What an operation does to its resource."""

    CREATE = "create"
    PAGE = "page"
    FETCH = "fetch"
    UPDATE = "update"
    DELETE = "delete"
    DOWNLOAD = "download"


# The method, and the status of an operation that declares none.
_METHODS: Mapping[Verb, tuple[str, int]] = {
    Verb.CREATE: ("POST", 201),
    Verb.PAGE: ("GET", 200),
    Verb.FETCH: ("GET", 200),
    Verb.UPDATE: ("POST", 200),
    Verb.DELETE: ("DELETE", 204),
    Verb.DOWNLOAD: ("GET", 307),
}
_OF_MANY = (Verb.CREATE, Verb.PAGE)


@dataclass(slots=True, kw_only=True)
class Call:
    """One request, once it is known who sent it and to what."""

    platform: Platform
    account: Account
    actor: Actor
    path: Mapping[str, str]
    uri: str
    base_url: str = ""
    idempotency_key: str | None = None

    @property
    def root(self) -> str:
        """The address under which everything of the account stands."""
        return f"/2010-04-01/Accounts/{self.account.sid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What differs between generations of the API; nothing else does."""

    product: str
    prefix: str
    suffix: str
    render_time: Callable[[datetime], str]
    time_format: str  # Its name in OpenAPI.
    envelope: Callable[[Listing], dict[str, Any]]
    # Left out of the hash by which the description of resources is kept.
    envelope_fields: Mapping[str, Mapping[str, Any]] = field(hash=False)


def rfc_2822(at: datetime) -> str:
    """Write a time as the 2010 API does; Node's and Java's SDKs read exactly this form."""
    at = at.astimezone(UTC)
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    clock = f"{at.hour:02}:{at.minute:02}:{at.second:02}"
    return f"{day}, {at.day:02} {month} {at.year:04} {clock} +0000"


def iso_8601(at: datetime) -> str:
    """Write a time as the newer APIs do: Python's SDK reads no fractions and no offset."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


V2010 = Dialect(
    product="api",
    prefix="/2010-04-01/Accounts/{AccountSid}",
    suffix=JSON_SUFFIX,
    render_time=rfc_2822,
    time_format="date-time-rfc-2822",
    envelope=envelope_2010,
    envelope_fields=ENVELOPE_2010,
)


def v1(product: str) -> Dialect:
    """Return the dialect of a product's /v1 API."""
    return Dialect(
        product=product,
        prefix="/v1",
        suffix="",
        render_time=iso_8601,
        time_format="date-time",
        envelope=envelope_v1,
        envelope_fields=ENVELOPE_V1,
    )


Run = Callable[..., Awaitable[Any]]
View = Callable[[Call, Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operation; `view` where its answer differs from the resource's, `method` from usual.

    rehearse: what test credentials get in place of `run`; None: they may not ask for it.
    takes_key: whether it has its effect once for each Idempotency-Key.
    """

    run: Run
    params: type | None = None
    status: int | None = None
    method: str | None = None
    view: View | None = None
    rehearse: Run | None = None
    unpaged: bool = False
    takes_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource of the API.

    `one` follows the path of a single thing; `account` names the path's part that is an account.
    """

    name: str
    path: str
    dialect: Dialect
    view: View
    list_key: str = ""
    one: str = "/{Sid}"
    account: str = "AccountSid"
    open_to_keys: bool = True
    open_when_inactive: bool = False
    create: Op | None = None
    page: Op | None = None
    fetch: Op | None = None
    update: Op | None = None
    delete: Op | None = None
    download: Op | None = None

    def ops(self) -> dict[Verb, Op]:
        """Return the operations that are declared."""
        declared: dict[Verb, Op | None] = {verb: getattr(self, verb.value) for verb in Verb}
        return {verb: op for verb, op in declared.items() if op is not None}

    def routes(self) -> "list[Route]":
        """Return one route per operation."""
        return [Route(self, verb=verb, op=op) for verb, op in self.ops().items()]


class Route:
    """One operation made ready: tables for reading its parameters and writing its answer."""

    def __init__(self, resource: Resource, *, verb: Verb, op: Op) -> None:
        self.resource = resource
        self.verb = verb
        self.op = op
        method, status = _METHODS[verb]
        self.method = op.method or method
        self.status = op.status or status
        self.path = resource.dialect.prefix + resource.path
        self.path += "" if verb in _OF_MANY else resource.one
        self.names = [p[1:-1] for p in self.path.split("/") if p.startswith("{")]
        self.inputs = None if op.params is None else Inputs(op.params)
        self.view = op.view or resource.view

    @cached_property
    def view_type(self) -> type:
        """The declared class of the answer: what the view function returns."""
        declared: type = get_type_hints(self.view)["return"]
        return declared

    @cached_property
    def outputs(self) -> Outputs:
        """The table that writes the answer."""
        return Outputs(self.view_type, self.resource.dialect.render_time)

    @property
    def summary(self) -> str:
        """What the operation does, in a sentence: its function's own."""
        return (inspect.getdoc(self.op.run) or "").partition("\n\n")[0].replace("\n", " ")

    async def answer(self, call: Call, pairs: Pairs) -> Answer:
        """Do what is asked and say how it went; raises Refusal."""
        arguments = [] if self.inputs is None else [self.inputs.parse(pairs)]
        if self.verb is Verb.PAGE:
            return await self._list(call, arguments, pairs=pairs)
        run = self.op.rehearse if call.actor.is_test and self.op.rehearse else self.op.run
        result = await run(call, *arguments)
        if result is None or result is False:
            raise Refusal(20404, path=call.uri)
        if self.verb is Verb.DELETE:
            return Answer(self.status)
        if isinstance(result, Answer):
            return result
        return json_answer(self.outputs.render(self.view(call, result)), status=self.status)

    async def _list(self, call: Call, arguments: list[Any], *, pairs: Pairs) -> Answer:
        """Answer with a page, or with the whole of a list that is not paged."""
        resource = self.resource
        key, path = resource.list_key, self._own_path(call)
        asked = parse_asked(pairs)
        found = await self.op.run(call, *arguments, asked.page)
        if found is None:
            raise Refusal(20404, path=call.uri)
        items = found if self.op.unpaged else found.items
        rows = [self.outputs.render(self.view(call, item)) for item in items]
        if self.op.unpaged:
            return json_answer({key: rows, "uri": path}, status=self.status)
        listing = Listing(
            list_key=key,
            rows=rows,
            asked=asked,
            found=found,
            path=path,
            filters=self.inputs.known(pairs) if self.inputs else [],
            base_url=call.base_url,
        )
        return json_answer(resource.dialect.envelope(listing), status=self.status)

    def _own_path(self, call: Call) -> str:
        """Return the list's canonical path, without the product's prefix."""
        return self.path.format_map(call.path) + self.resource.dialect.suffix
