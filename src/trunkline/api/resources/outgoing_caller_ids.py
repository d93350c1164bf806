"""Verified numbers: https://www.twilio.com/docs/voice/api/outgoing-caller-ids-resource"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from trunkline.api.resource import JSON_SUFFIX, V2010, Call, Op, Resource
from trunkline.api.wire import Address, Code, Method, Sid, Url, accepted, refused
from trunkline.domain.account import CallerId, Validation
from trunkline.domain.address import parse_recipient
from trunkline.flows import caller_ids
from trunkline.store.paging import Found, Page

_NO_CALL = "the code is texted to the number, nobody is called"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerIdView:
    """A number whose holder agreed."""

    sid: Annotated[str, Sid("PN")]
    date_created: datetime
    date_updated: datetime
    friendly_name: str
    account_sid: Annotated[str, Sid("AC")]
    phone_number: Address
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationView:
    """What is waited for: that the number's holder texts the code back."""

    account_sid: Annotated[str, Sid("AC")]
    call_sid: Annotated[str | None, Sid("CA")]
    friendly_name: str
    phone_number: Address
    validation_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validate:
    """A number that is to be verified."""

    phone_number: Annotated[Address, Code(21401)]
    friendly_name: str | None = None
    call_delay: Annotated[int | None, accepted(_NO_CALL)] = None
    extension: Annotated[str | None, refused(_NO_CALL)] = None
    status_callback: Annotated[
        Url | None, refused(f"{_NO_CALL}; a verified number stands in the list")
    ] = None
    status_callback_method: Annotated[Method | None, accepted(_NO_CALL)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerIdName:
    """The name of a verified number."""

    friendly_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCallerIds:
    """Which verified numbers are wanted."""

    phone_number: Address | None = None
    friendly_name: str | None = None


def _view(call: Call, caller_id: CallerId) -> CallerIdView:
    return CallerIdView(
        sid=caller_id.sid,
        date_created=caller_id.created_at,
        date_updated=caller_id.updated_at,
        friendly_name=caller_id.friendly_name,
        account_sid=caller_id.account_sid,
        phone_number=Address(caller_id.phone_number),
        uri=f"{call.root}/OutgoingCallerIds/{caller_id.sid}{JSON_SUFFIX}",
    )


def _validation_view(_: Call, asked: tuple[Validation, str]) -> ValidationView:
    validation, code = asked
    return ValidationView(
        account_sid=validation.account_sid,
        call_sid=None,
        friendly_name=validation.friendly_name,
        phone_number=Address(validation.phone_number),
        validation_code=code,
    )


async def create(call: Call, params: Validate) -> tuple[Validation, str]:
    """Text a code to a number; it is verified when its holder texts the code back."""
    return await caller_ids.ask(
        call.platform,
        call.account,
        phone_number=params.phone_number,
        friendly_name=params.friendly_name or None,
    )


async def page(call: Call, params: ListCallerIds, page: Page) -> Found[CallerId]:
    """List the verified numbers, newest first."""
    wanted = params.phone_number and parse_recipient(params.phone_number)
    number = wanted.text if wanted else params.phone_number

    def is_wanted(caller_id: CallerId) -> bool:
        return number in (None, "", caller_id.phone_number) and (
            params.friendly_name in (None, "", caller_id.friendly_name)
        )

    return await caller_ids.page(call.platform, call.account.sid, where=is_wanted, page=page)


async def fetch(call: Call) -> CallerId | None:
    """Return a verified number."""
    return await caller_ids.find(call.platform, call.account.sid, call.path["Sid"])


async def update(call: Call, params: CallerIdName) -> CallerId | None:
    """Give a verified number another name."""
    return await caller_ids.rename(
        call.platform,
        call.account.sid,
        sid=call.path["Sid"],
        friendly_name=params.friendly_name,
    )


async def delete(call: Call) -> bool:
    """Let a number be verified no longer."""
    return await caller_ids.remove(call.platform, call.account.sid, sid=call.path["Sid"])


OUTGOING_CALLER_IDS = Resource(
    name="outgoing caller id",
    path="/OutgoingCallerIds",
    dialect=V2010,
    view=_view,
    list_key="outgoing_caller_ids",
    # Twilio answers 200 here, not 201.
    create=Op(run=create, params=Validate, view=_validation_view, status=200),
    page=Op(run=page, params=ListCallerIds),
    fetch=Op(run=fetch),
    update=Op(run=update, params=CallerIdName),
    delete=Op(run=delete),
)
