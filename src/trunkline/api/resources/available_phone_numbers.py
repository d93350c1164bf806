"""Numbers for sale:
https://www.twilio.com/docs/phone-numbers/api/availablephonenumber-resource"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from trunkline.api.resource import JSON_SUFFIX, V2010, Call, Op, Resource
from trunkline.api.wire import Address, accepted, refused
from trunkline.domain.inventory import (
    AvailableNumber,
    CountryCode,
    Criteria,
    NumberKind,
    countries,
    kinds_of,
)
from trunkline.flows import numbers
from trunkline.store.paging import Page

_FREE = "no number for sale here requires an address"
_CAMEL_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class CountryView:
    """A country, and which kinds of numbers it has."""

    country_code: str
    country: str
    uri: str
    beta: bool
    subresource_uris: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableNumberView:
    """A number for sale."""

    friendly_name: str
    phone_number: Address
    lata: str | None
    locality: str | None
    rate_center: str | None
    latitude: str | None
    longitude: str | None
    region: str | None
    postal_code: str | None
    iso_country: str
    address_requirements: str
    beta: bool
    capabilities: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAvailable:
    """Which numbers are wanted."""

    area_code: int | None = None
    contains: str | None = None
    sms_enabled: bool | None = None
    mms_enabled: bool | None = None
    voice_enabled: bool | None = None
    exclude_all_address_required: Annotated[bool | None, accepted(_FREE)] = None
    exclude_local_address_required: Annotated[bool | None, accepted(_FREE)] = None
    exclude_foreign_address_required: Annotated[bool | None, accepted(_FREE)] = None
    beta: Annotated[bool | None, accepted("no number for sale here is a beta one")] = None
    near_number: Address | None = None
    near_lat_long: Annotated[str | None, refused("numbers have no place on the map")] = None
    distance: Annotated[int | None, accepted("near means in the same area code")] = None
    in_postal_code: Annotated[str | None, accepted("it is echoed in what is found")] = None
    in_region: str | None = None
    in_rate_center: Annotated[str | None, accepted("it is echoed in what is found")] = None
    in_lata: Annotated[str | None, accepted("it is echoed in what is found")] = None
    in_locality: Annotated[str | None, accepted("it is echoed in what is found")] = None
    fax_enabled: bool | None = None


def _country_view(call: Call, country: CountryCode) -> CountryView:
    own = f"{call.root}/AvailablePhoneNumbers/{country.iso}"
    offered = [kind for kind in NumberKind if kind in kinds_of(country.iso)]
    return CountryView(
        country_code=country.iso,
        country=country.name,
        uri=own + JSON_SUFFIX,
        beta=False,
        subresource_uris={_snake(k): f"{own}/{k.value}{JSON_SUFFIX}" for k in offered},
    )


def _snake(kind: NumberKind) -> str:
    return _CAMEL_HUMP.sub("_", kind.value).lower()


def _number_view(_: Call, number: AvailableNumber) -> AvailableNumberView:
    return AvailableNumberView(
        friendly_name=number.friendly_name,
        phone_number=Address(number.phone_number),
        lata=number.lata,
        locality=number.locality,
        rate_center=number.rate_center,
        latitude=number.latitude,
        longitude=number.longitude,
        region=number.region,
        postal_code=number.postal_code,
        iso_country=number.iso_country,
        address_requirements="none",
        beta=False,
        capabilities=_capabilities(number),
    )


def _capabilities(number: AvailableNumber) -> dict[str, bool]:
    """Return what a number can do, under the names of the documents and those of the wire.

    Documents write sms and mms, Twilio sends SMS and MMS in this list, and Java's SDK reads those:
    https://github.com/twilio/twilio-node/issues/833
    """
    able = asdict(number.capabilities)
    return {**able, "SMS": able["sms"], "MMS": able["mms"]}


def _country(call: Call) -> CountryCode | None:
    wanted = call.path["CountryCode"].upper()
    return next((country for country in countries() if country.iso == wanted), None)


async def page_countries(call: Call, page: Page) -> tuple[CountryCode, ...]:
    """List the countries that have numbers, all at once."""
    return countries()


async def fetch_country(call: Call) -> CountryCode | None:
    """Return a country and the kinds of numbers it has."""
    return _country(call)


def _search(
    kind: NumberKind,
) -> Callable[[Call, ListAvailable, Page], Awaitable[list[AvailableNumber] | None]]:
    async def page(call: Call, params: ListAvailable, page: Page) -> list[AvailableNumber] | None:
        country = _country(call)
        if country is None or kind not in kinds_of(country.iso):
            return None
        return await numbers.available(
            call.platform,
            country.iso,
            kind=kind,
            criteria=_criteria(params),
            limit=page.size,
        )

    page.__doc__ = "Find numbers that nobody holds; the list is not paged."
    return page


def _criteria(params: ListAvailable) -> Criteria:
    return Criteria(
        area_code=None if params.area_code is None else str(params.area_code),
        contains=params.contains or None,
        near_number=params.near_number or None,
        in_region=params.in_region or None,
        in_locality=params.in_locality or None,
        in_postal_code=params.in_postal_code or None,
        in_rate_center=params.in_rate_center or None,
        in_lata=params.in_lata or None,
        voice_enabled=params.voice_enabled,
        sms_enabled=params.sms_enabled,
        mms_enabled=params.mms_enabled,
        fax_enabled=params.fax_enabled,
    )


COUNTRIES = Resource(
    name="available phone number country",
    path="/AvailablePhoneNumbers",
    one="/{CountryCode}",
    dialect=V2010,
    view=_country_view,
    list_key="countries",
    page=Op(run=page_countries, unpaged=True),
    fetch=Op(run=fetch_country),
)
AVAILABLE = {
    kind: Resource(
        name=f"available phone number ({kind.value})",
        path=f"/AvailablePhoneNumbers/{{CountryCode}}/{kind.value}",
        dialect=V2010,
        view=_number_view,
        list_key="available_phone_numbers",
        page=Op(run=_search(kind), params=ListAvailable, unpaged=True),
    )
    for kind in NumberKind
}
