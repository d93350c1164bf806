"""Contacts in bulk, and numbers that no protection may block: nothing here would heed either."""

from dataclasses import dataclass
from typing import Annotated, Any

from trunkline.api.resource import Call, Op, Resource, v1
from trunkline.api.wire import Sid, refused
from trunkline.domain.errors import Refusal

_NO_CONTACTS = "quiet hours go by the place that a number is from"
_NO_PROTECTION = "no number is blocked that the list would let through"


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkContactsView:
    """What became of each contact, by its correlation id."""

    items: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkContacts:
    """Contacts: each a JSON object with contact_id, correlation_id, country_iso_code, zip_code."""

    items: Annotated[tuple[dict[str, Any], ...], refused(_NO_CONTACTS, by_flow=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeListView:
    """A number that no protection blocks."""

    sid: Annotated[str, Sid("GN")]
    phone_number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddSafeNumber:
    """A number that no protection is to block."""

    phone_number: Annotated[str, refused(_NO_PROTECTION, by_flow=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindSafeNumber:
    """Which number is looked for."""

    phone_number: str | None = None


async def add_contacts(_: Call, __: BulkContacts) -> BulkContactsView:
    """Refuse contacts, whose place would say when they are to be left alone."""
    raise Refusal(20422, name="`Items`", reason=f"not supported here; {_NO_CONTACTS}")


async def add_number(_: Call, __: AddSafeNumber) -> SafeListView:
    """Refuse a number: it is safe as it is."""
    raise Refusal(20422, name="`PhoneNumber`", reason=f"not supported here; {_NO_PROTECTION}")


async def find_number(_: Call, __: FindSafeNumber) -> SafeListView | None:
    """Find nothing: no number is in the list."""
    return None


async def remove_number(_: Call, __: FindSafeNumber) -> bool:
    """Remove nothing: no number is in the list."""
    return False


def _contacts(_: Call, view: BulkContactsView) -> BulkContactsView:
    return view


def _number(_: Call, view: SafeListView) -> SafeListView:
    return view


CONTACTS = Resource(
    name="contacts in bulk",
    path="/Contacts/Bulk",
    dialect=v1("accounts"),
    view=_contacts,
    create=Op(run=add_contacts, params=BulkContacts),
)
SAFE_LIST = Resource(
    name="safe list number",
    path="/SafeList/Numbers",
    dialect=v1("accounts"),
    one="",
    view=_number,
    create=Op(run=add_number, params=AddSafeNumber),
    fetch=Op(run=find_number, params=FindSafeNumber),
    delete=Op(run=remove_number, params=FindSafeNumber),
)
