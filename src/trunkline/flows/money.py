"""What a message costs, and what is written down of its use."""

from decimal import Decimal

from trunkline.domain.address import country_of
from trunkline.domain.media import carries_media
from trunkline.domain.message import CONSENT_ANSWER, ROUTE_PRICE, Message
from trunkline.domain.pricing import PriceList, price
from trunkline.store.usage import Used


def cost(prices: PriceList, message: Message) -> Decimal:
    """Return the price of a message in USD: its route's, or that of the handset's country."""
    if CONSENT_ANSWER in message.options:
        return Decimal(0)  # Twilio's automatic answers are free.
    if ROUTE_PRICE in message.options:
        return Decimal(message.options[ROUTE_PRICE]) * message.num_segments
    handset = message.recipient if message.is_outbound else message.sender or ""
    return price(
        prices,
        country_of(handset),
        direction=message.direction,
        segments=message.num_segments,
        channel="mms" if carries_media(message) else "sms",
    )


def usage_of(message: Message) -> Used:
    """Return a message's entry in the use of its account."""
    channel = "mms" if carries_media(message) else "sms"
    return Used(
        account_sid=message.account_sid,
        day=(message.sent_at or message.updated_at).strftime("%Y-%m-%d"),
        category=f"{channel}-{'outbound' if message.is_outbound else 'inbound'}",
        count=1,
        units=message.num_segments,
        price=message.price or Decimal(0),
    )
