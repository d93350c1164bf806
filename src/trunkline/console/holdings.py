"""The numbers that the account holds, as the console's forms offer them."""

from trunkline.console.visit import Visit
from trunkline.domain.account import Number
from trunkline.store.paging import Page
from trunkline.store.records import NUMBERS, page_records

HOLDINGS_MAX = 100  # A longer list is no choice for a person; the API lists them all.


async def holdings(visit: Visit) -> list[Number]:
    """Return the account's numbers, the oldest first."""
    sid = visit.account.sid
    found = await visit.platform.store.read(
        lambda db: page_records(db, NUMBERS, Page(size=HOLDINGS_MAX), account_sid=sid)
    )
    return found.items[::-1]


async def first_numbers(visit: Visit) -> list[str]:
    """Return the account's phone numbers, the oldest first."""
    return [number.phone_number for number in await holdings(visit)]
