"""Reading addresses and what their digits say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.domain.address import (
    ADDRESS_MAX,
    Address,
    AddressKind,
    country_of,
    is_tollfree,
    national_format,
    parse_recipient,
    parse_sender,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+14155552671", "+14155552671"),
        ("+15005550001", "+15005550001"),
        ("+1 (415) 555-2671", "+14155552671"),
        ("+1.415.555.2671", "+14155552671"),
        ("  +14155552671  ", "+14155552671"),
        (" 14155552671", "+14155552671"),
        ("4155552671", "+14155552671"),
        ("(415) 555-2671", "+14155552671"),
        ("447400123456", "+447400123456"),
        # Ten digits after a space: a plus sign that was not encoded, where that makes a number.
        (" 4512345678", "+4512345678"),
        (" 4155552671", "+14155552671"),
        # Italy keeps its zero, the United Kingdom drops it.
        ("+390212345678", "+390212345678"),
        ("+44 (0)20 7183 8750", "+442071838750"),
        ("+5215512345678", "+525512345678"),
        ("+5491123456789", "+5491123456789"),
        # Possible, though no plan lists it.
        ("+15551234567", "+15551234567"),
    ],
)
def test_numbers_are_normalised(text, number):
    assert parse_recipient(text) == Address(number, AddressKind.NUMBER)
    assert parse_sender(text) == Address(number, AddressKind.NUMBER)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "+",
        "abc",
        "12",
        "1234567",
        "+1555123",
        "+1415555267",
        "+141555526711",
        "+999123456789",
        "+04155552671",
        "04155552671",
        "+1415555267a",
        "++14155552671",
        "+1234567890123456",
        "٤١٥٥٥٥٢٦٧١",
        "+1415555٢٦٧١",
        "+14155552671\n",
        "sms:+14155552671",
        "whatsapp:",
        "whatsapp:abc",
        "whatsapp:+1555",
        "messenger:",
        "rcs:a b",
        "whatsapp:whatsapp:+14155552671",
        "whatsapp:" + "1" * ADDRESS_MAX,
    ],
)
def test_what_is_no_recipient(text):
    assert parse_recipient(text) is None


@pytest.mark.parametrize("text", ["123", "12345", "123456", " 85244 "])
def test_short_codes(text):
    assert parse_recipient(text) == Address(text.strip(), AddressKind.SHORT_CODE)


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("ACME", "ACME"),
        ("Acme Co", "Acme Co"),
        ("a-b+c_d&e 12", None),
        ("a-b+c_d&e 1", "a-b+c_d&e 1"),
        (" ACME ", "ACME"),
        ("123 456", None),
        ("1234567A", "1234567A"),
        ("ACME!", None),
        ("Köln", None),
        ("TwelveLetter", None),
        ("-+_&", None),
        ("   ", None),
        ("ACME\n", None),
    ],
)
def test_alphanumeric_senders(text, sender):
    address = parse_sender(text)
    assert (address.text if address else None) == sender
    if address:
        assert address.kind is AddressKind.ALPHANUMERIC
        assert parse_recipient(text) is None


@pytest.mark.parametrize(
    ("text", "channel", "bare"),
    [
        ("whatsapp:+14155552671", "whatsapp", "+14155552671"),
        ("whatsapp: 14155552671", "whatsapp", "+14155552671"),
        ("WhatsApp:+1 415 555 2671", "whatsapp", "+14155552671"),
        ("whatsapp:+5215512345678", "whatsapp", "+5215512345678"),
        ("whatsapp:US.13491208655302741918", "whatsapp", "US.13491208655302741918"),
        ("rcs:+14155552671", "rcs", "+14155552671"),
        ("rcs:acme_agent", "rcs", "acme_agent"),
        ("messenger:1234567890", "messenger", "1234567890"),
    ],
)
def test_channel_addresses(text, channel, bare):
    address = parse_recipient(text)
    assert address == Address(f"{channel}:{bare}", AddressKind.CHANNEL, channel)
    assert address.bare == bare


@given(st.text(alphabet="+0123456789 ()-.:abcwhtsp\u0664\u00e9", max_size=24))
@settings(deadline=None)
def test_reading_is_idempotent_and_never_raises(text):
    for parse in (parse_recipient, parse_sender):
        address = parse(text)
        if address is not None:
            assert parse(address.text) == address


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+14155552671", "US"),
        ("+14165552671", "CA"),
        ("+17875552671", "PR"),
        ("+18005552671", "US"),
        ("+15005550006", "US"),
        ("+447400123456", "GB"),
        ("+441481960194", "GG"),
        ("+4915112345678", "DE"),
        ("+77010001234", "KZ"),
        ("+79161234567", "RU"),
        ("+80012345678", None),
        ("+999123456789", None),
        ("12345", None),
        ("ACME", None),
        ("", None),
    ],
)
def test_the_country_of_a_number(number, country):
    assert country_of(number) == country


def test_tollfree_numbers_are_those_of_north_america():
    assert is_tollfree("+18885551234")
    assert not is_tollfree("+14155552671")
    assert not is_tollfree("+448001111111")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("+14155552671", "(415) 555-2671"),
        ("+447400123456", "07400 123456"),
        ("+4930123456", "030 123456"),
        ("12345", "12345"),
    ],
)
def test_national_format(number, text):
    assert national_format(number) == text
