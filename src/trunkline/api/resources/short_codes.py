"""Short codes that an account uses:
https://www.twilio.com/docs/messaging/api/short-code-resource"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from trunkline.api.resource import JSON_SUFFIX, V2010, Call, Op, Resource
from trunkline.api.wire import Code, Method, Sid, Url, accepted
from trunkline.domain.account import Number
from trunkline.domain.ids import is_sid
from trunkline.flows import numbers
from trunkline.flows.numbers import SHORT_CODE, Changes
from trunkline.store.paging import Found, Page

_PATH = "/SMS/ShortCodes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortCodeView:
    """A short code."""

    account_sid: Annotated[str, Sid("AC")]
    api_version: str
    date_created: datetime
    date_updated: datetime
    friendly_name: str
    short_code: str
    sid: Annotated[str, Sid("SC")]
    sms_fallback_method: str
    sms_fallback_url: str | None
    sms_method: str
    sms_url: str | None
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateShortCode:
    """What can be set on a short code."""

    friendly_name: str | None = None
    api_version: Annotated[str | None, accepted("there is one version")] = None
    sms_url: Url | None = None
    sms_method: Annotated[Method | None, Code(21403)] = None
    sms_fallback_url: Url | None = None
    sms_fallback_method: Annotated[Method | None, Code(21403)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListShortCodes:
    """Which short codes are wanted; a star stands for any digit."""

    friendly_name: str | None = None
    short_code: str | None = None

    def wants(self, number: Number) -> bool:
        """Tell whether a number is one of those."""
        return (
            number.kind == SHORT_CODE
            and self.friendly_name in (None, "", number.friendly_name)
            and (not self.short_code or numbers.matches(number.phone_number, self.short_code))
        )


def _view(call: Call, number: Number) -> ShortCodeView:
    return ShortCodeView(
        account_sid=number.account_sid,
        api_version="2010-04-01",
        date_created=number.created_at,
        date_updated=number.updated_at,
        friendly_name=number.friendly_name,
        short_code=number.phone_number,
        sid=number.sid,
        sms_fallback_method=number.sms_fallback_method,
        sms_fallback_url=number.sms_fallback_url or None,
        sms_method=number.sms_method,
        sms_url=number.sms_url or None,
        uri=f"{call.root}{_PATH}/{number.sid}{JSON_SUFFIX}",
    )


def _sid(call: Call) -> str:
    """Return the SID of the path; a phone number's is nobody's here."""
    sid = call.path["Sid"]
    return sid if is_sid(sid, "SC") else ""


async def page(call: Call, params: ListShortCodes, page: Page) -> Found[Number]:
    """List the short codes of the account, newest first."""
    return await numbers.page(call.platform, call.account.sid, where=params.wants, page=page)


async def fetch(call: Call) -> Number | None:
    """Return a short code."""
    return await numbers.find(call.platform, call.account.sid, _sid(call))


async def update(call: Call, params: UpdateShortCode) -> Number | None:
    """Configure a short code."""
    changes = Changes(
        friendly_name=params.friendly_name,
        sms_url=params.sms_url,
        sms_method=params.sms_method,
        sms_fallback_url=params.sms_fallback_url,
        sms_fallback_method=params.sms_fallback_method,
    )
    return await numbers.update(call.platform, call.account.sid, sid=_sid(call), changes=changes)


SHORT_CODES = Resource(
    name="short code",
    path=_PATH,
    dialect=V2010,
    view=_view,
    list_key="short_codes",
    page=Op(run=page, params=ListShortCodes),
    fetch=Op(run=fetch),
    update=Op(run=update, params=UpdateShortCode),
)
