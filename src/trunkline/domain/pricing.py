"""What messages and numbers cost, by country, from a price list that settings may change.

The figures are illustrative, made up for this program in the usual order of magnitude; nobody's
price list is copied.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from types import MappingProxyType

from trunkline.domain.message import Direction

# The key of the rates of countries that a list does not name.
DEFAULT = "default"
# Twilio renders prices of messages with five decimals.
_PLACES = Decimal("0.00001")
# Plain decimals only: Decimal itself would take "NaN" and "1e9" as well.
_AMOUNT = re.compile(r"[0-9]{1,6}(\.[0-9]{1,8})?").fullmatch


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars: a segment of SMS, one MMS, and one message of any other channel."""

    outbound_sms: Decimal
    inbound_sms: Decimal
    outbound_mms: Decimal = Decimal("0.0200")
    inbound_mms: Decimal = Decimal("0.0100")
    channel: Decimal = Decimal("0.0050")


def _table(rows: Mapping[str, str]) -> Mapping[str, Rates]:
    pairs = ((country, row.split()) for country, row in rows.items())
    return MappingProxyType(
        {
            country: Rates(Decimal(outbound), Decimal(inbound))
            for country, (outbound, inbound) in pairs
        }
    )


# A segment out, a segment in.
_RATES = _table(
    {
        "AE": "0.0800 0.0080",
        "AR": "0.0700 0.0075",
        "AT": "0.0850 0.0090",
        "AU": "0.0400 0.0075",
        "BE": "0.0900 0.0080",
        "BG": "0.0900 0.0080",
        "BR": "0.0450 0.0075",
        "CA": "0.0080 0.0080",
        "CH": "0.0700 0.0080",
        "CL": "0.0500 0.0075",
        "CN": "0.0500 0.0075",
        "CO": "0.0500 0.0075",
        "CZ": "0.0600 0.0075",
        "DE": "0.0900 0.0080",
        "DK": "0.0500 0.0075",
        "ES": "0.0750 0.0075",
        "FI": "0.0700 0.0080",
        "FR": "0.0750 0.0080",
        "GB": "0.0450 0.0075",
        "GR": "0.0700 0.0075",
        "HK": "0.0600 0.0075",
        "HU": "0.0900 0.0080",
        "ID": "0.3500 0.0100",
        "IE": "0.0700 0.0075",
        "IL": "0.1800 0.0090",
        "IN": "0.0700 0.0075",
        "IT": "0.0800 0.0075",
        "JP": "0.0800 0.0080",
        "KE": "0.1500 0.0080",
        "KR": "0.0500 0.0075",
        "MX": "0.0450 0.0075",
        "MY": "0.1500 0.0080",
        "NG": "0.2500 0.0080",
        "NL": "0.0900 0.0080",
        "NO": "0.0650 0.0075",
        "NZ": "0.1000 0.0080",
        "PH": "0.1800 0.0080",
        "PL": "0.0400 0.0075",
        "PR": "0.0400 0.0075",
        "PT": "0.0450 0.0075",
        "RO": "0.0800 0.0075",
        "SE": "0.0600 0.0075",
        "SG": "0.0450 0.0075",
        "TH": "0.0250 0.0075",
        "TR": "0.0500 0.0075",
        "UA": "0.1500 0.0080",
        "US": "0.0080 0.0080",
        "VN": "0.1600 0.0080",
        "ZA": "0.0950 0.0075",
    }
)
_DEFAULT_RATES = Rates(Decimal("0.1000"), Decimal("0.0080"))

# A number a month, by the kinds of Twilio's pricing resources.
_NUMBERS = MappingProxyType(
    {
        "local": Decimal("1.00"),
        "mobile": Decimal("6.00"),
        "national": Decimal("2.00"),
        "toll free": Decimal("2.00"),
        "shortcode": Decimal("1000.00"),
    }
)


@dataclass(frozen=True, slots=True)
class PriceList:
    """Rates by ISO country, those of all others, and what a number of each type costs a month."""

    rates: Mapping[str, Rates] = field(default_factory=lambda: _RATES)
    other: Rates = _DEFAULT_RATES
    numbers: Mapping[str, Decimal] = field(default_factory=lambda: _NUMBERS)

    def rates_in(self, country: str | None) -> Rates:
        """Return the rates of a country; an unknown one has those of every other country."""
        return self.rates.get(country or "", self.other)


def price_list(changes: Mapping[str, Mapping[str, str]]) -> PriceList:
    """Return the default list with changes: ISO country or "default" to rate names and dollars.

    A changed default changes no country that has rates of its own. Raises ValueError for an
    unknown rate, and for a price that is not written as plain decimals.
    """
    base = PriceList()
    other = _changed(base.other, changes.get(DEFAULT, {}))
    countries = {
        country: _changed(base.rates.get(country, other), rates)
        for country, rates in changes.items()
        if country != DEFAULT
    }
    return PriceList(MappingProxyType({**base.rates, **countries}), other)


def price(
    prices: PriceList, country: str | None, *, direction: Direction, segments: int, channel: str
) -> Decimal:
    """Return the price of a message in US dollars, as a positive number of five decimals.

    SMS costs by the segment; MMS, and any other channel, by the message.
    """
    rates = prices.rates_in(country)
    inbound = direction is Direction.INBOUND
    if channel == "sms":
        rate = (rates.inbound_sms if inbound else rates.outbound_sms) * segments
    elif channel == "mms":
        rate = rates.inbound_mms if inbound else rates.outbound_mms
    else:
        rate = rates.channel
    return rate.quantize(_PLACES)


def _changed(rates: Rates, changes: Mapping[str, str]) -> Rates:
    unknown = changes.keys() - {rate.name for rate in fields(Rates)}
    if unknown:
        raise ValueError(f"unknown rates: {', '.join(sorted(unknown))}")
    return replace(rates, **{name: _dollars(name, text) for name, text in changes.items()})


def _dollars(name: str, text: str) -> Decimal:
    if not _AMOUNT(text):
        raise ValueError(f"{name} is no price: {text}")
    return Decimal(text)
