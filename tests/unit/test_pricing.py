"""Prices of messages."""

from decimal import Decimal

import pytest

from trunkline.domain.message import Direction
from trunkline.domain.pricing import PriceList, Rates, price, price_list

OUT, IN = Direction.OUTBOUND_API, Direction.INBOUND


def test_sms_costs_by_the_segment():
    prices = price_list({"US": {"outbound_sms": "0.0075", "inbound_sms": "0.005"}})
    one = price(prices, "US", direction=OUT, segments=1, channel="sms")
    assert str(one) == "0.00750"
    assert price(prices, "US", direction=OUT, segments=11, channel="sms") == one * 11
    reply = price(prices, "US", direction=Direction.OUTBOUND_REPLY, segments=1, channel="sms")
    assert reply == one
    assert price(prices, "US", direction=IN, segments=2, channel="sms") == Decimal("0.01")


def test_mms_and_other_channels_cost_by_the_message():
    prices = PriceList({}, Rates(*map(Decimal, ("1", "2", "3", "4", "5"))))
    for segments in (1, 3):
        assert price(prices, "US", direction=OUT, segments=segments, channel="mms") == 3
        assert price(prices, "US", direction=IN, segments=segments, channel="mms") == 4
        assert price(prices, "US", direction=OUT, segments=segments, channel="whatsapp") == 5


def test_countries_without_rates_have_those_of_all_others():
    prices = PriceList()
    elsewhere = price(prices, None, direction=OUT, segments=1, channel="sms")
    assert price(prices, "TV", direction=OUT, segments=1, channel="sms") == elsewhere
    assert price(prices, "US", direction=OUT, segments=1, channel="sms") < elsewhere


def test_changes_touch_what_they_name_and_nothing_else():
    prices = price_list({"TV": {"outbound_sms": "0.5"}, "default": {"inbound_sms": "0.25"}})
    assert prices.rates_in("TV").outbound_sms == Decimal("0.5")
    assert prices.rates_in("TV").inbound_sms == Decimal("0.25")
    assert prices.rates_in("NR").inbound_sms == Decimal("0.25")
    assert prices.rates_in("DE") == PriceList().rates_in("DE")
    assert prices.numbers == PriceList().numbers


@pytest.mark.parametrize("text", ["-1", "NaN", "1e9", "", ".", "free", "0.1.2"])
def test_a_price_is_written_in_plain_decimals(text):
    with pytest.raises(ValueError, match="outbound_sms is no price"):
        price_list({"US": {"outbound_sms": text}})


def test_an_unknown_rate_is_refused():
    with pytest.raises(ValueError, match="unknown rates: outbound_fax"):
        price_list({"US": {"outbound_fax": "1"}})


def test_every_default_price_is_above_zero():
    prices = PriceList()
    assert len(prices.rates) >= 40
    assert all(rate.outbound_sms > 0 < rate.inbound_sms for rate in prices.rates.values())
    assert all(amount > 0 for amount in prices.numbers.values())
