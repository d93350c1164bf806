"""Countries that texts may be sent to: https://www.twilio.com/docs/messaging/guides/sms-geo-permissions"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trunkline.api.resource import Call, Op, Resource, v1
from trunkline.flows import geo
from trunkline.flows.geo import INVALID, Permission


@dataclass(frozen=True, slots=True, kw_only=True)
class GeoPermissionsView:
    """Permissions, each for a country."""

    permissions: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchGeoPermissions:
    """Which permissions are wanted."""

    country_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateGeoPermissions:
    """What is to be opened and closed: objects with country_code, type and enabled."""

    permissions: tuple[dict[str, Any], ...]


def _view(_: Call, found: Sequence[Permission]) -> GeoPermissionsView:
    return GeoPermissionsView(
        permissions=tuple(
            {
                "country_code": each.country,
                "type": "country",
                "enabled": each.is_enabled,
                "error_code": INVALID if each.trouble else 0,
                "error_messages": [each.trouble] if each.trouble else [],
            }
            for each in found
        )
    )


async def fetch(call: Call, params: FetchGeoPermissions) -> Sequence[Permission]:
    """Tell to which countries the account may send texts."""
    return geo.permissions(call.platform, call.account, params.country_code or None)


async def update(call: Call, params: UpdateGeoPermissions) -> Sequence[Permission]:
    """Open and close countries; what is wrong with one permission does not hold up the others."""
    return await geo.change(call.platform, call.account.sid, params.permissions)


GEO_PERMISSIONS = Resource(
    name="messaging geo permissions",
    path="/Messaging/GeoPermissions",
    dialect=v1("accounts"),
    one="",
    view=_view,
    fetch=Op(run=fetch, params=FetchGeoPermissions),
    update=Op(run=update, params=UpdateGeoPermissions, method="PATCH"),
)
