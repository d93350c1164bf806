"""What an account may still spend: https://www.twilio.com/docs/usage/api/account-balance"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from trunkline.api.resource import V2010, Call, Op, Resource
from trunkline.api.wire import Sid
from trunkline.domain.message import PRICE_UNIT
from trunkline.flows import accounts


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceView:
    """An amount of money."""

    account_sid: Annotated[str, Sid("AC")]
    balance: str
    currency: str


def _view(call: Call, balance: Decimal) -> BalanceView:
    # As many places as prices have, so that a test's sums come out even.
    return BalanceView(account_sid=call.account.sid, balance=f"{balance:.5f}", currency=PRICE_UNIT)


async def fetch(call: Call) -> Decimal:
    """Return the starting balance of an account less what its messages cost."""
    return await accounts.balance(call.platform, call.account)


BALANCE = Resource(
    name="balance", path="/Balance", dialect=V2010, one="", view=_view, fetch=Op(run=fetch)
)
