"""Refusals and the error table."""

import re

import pytest

from trunkline.domain.errors import ERRORS, VALUE_MAX, Refusal, delivery_error, masked

# Texts that clients match on, as answered by api.twilio.com.
ON_THE_WIRE = [
    (20003, {}, "Authenticate"),
    (
        20404,
        {"path": "/2010-04-01/Accounts/AC1.json"},
        "The requested resource /2010-04-01/Accounts/AC1.json was not found",
    ),
    (20429, {}, "Too Many Requests"),
    (21211, {"number": "+15551234567"}, "Invalid 'To' Phone Number: +1555123XXXX"),
    (
        21212,
        {"number": "nobody at all"},
        (
            "The 'From' number nobody at all is not a valid phone number, shortcode, "
            "or alphanumeric sender ID."
        ),
    ),
    (21266, {}, "'To' and 'From' number cannot be the same"),
    (
        21408,
        {"number": "+15005550003"},
        (
            "Permission to send an SMS has not been enabled for the region indicated "
            "by the 'To' number: +15005550003"
        ),
    ),
    (21602, {}, "Message body is required."),
    (21603, {}, "A 'From' phone number is required."),
    (21604, {}, "A 'To' phone number is required."),
    (
        21606,
        {"number": "+15005550007"},
        (
            "The From phone number +15005550007 is not a valid, SMS-capable inbound phone number "
            "or short code for your account."
        ),
    ),
    (
        21608,
        {"number": "+917000123456"},
        (
            "The number +91700012XXXX is unverified. Trial accounts cannot send messages to "
            "unverified numbers; verify +91700012XXXX at "
            "twilio.com/user/account/phone-numbers/verified, or purchase a Twilio number to send "
            "messages to unverified numbers"
        ),
    ),
    (21610, {}, "Attempt to send to unsubscribed recipient"),
    (21611, {}, "SMS queue is full."),
    (
        21612,
        {"recipient": "+15005550002", "sender": "+15005550006"},
        (
            "The 'To' phone number: +15005550002, is not currently reachable using the "
            "'From' phone number: +15005550006 via SMS."
        ),
    ),
    (21614, {"number": "+15005550009"}, "To number: +15005550009, is not a mobile number"),
    (21617, {}, "The concatenated message body exceeds the 1600 character limit."),
    (21619, {}, "A text message body or media urls must be specified."),
    (
        21659,
        {"number": "+15551234567"},
        "'From' +15551234567 is not a Twilio phone number or Short Code country mismatch",
    ),
    (
        21660,
        {"number": "+15551234567", "account": "AC1"},
        "Mismatch between the 'From' number +15551234567 and the account AC1",
    ),
    (60200, {"name": "`To`", "reason": "+1555"}, "Invalid parameter `To`: +1555"),
]


@pytest.mark.parametrize(("code", "values", "text"), ON_THE_WIRE)
def test_texts_on_the_wire_are_kept_letter_by_letter(code, values, text):
    assert Refusal(code, **values).message == text


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (20003, 401),
        (20004, 405),
        (20005, 403),
        (20008, 403),
        (20009, 409),
        (20404, 404),
        (20409, 409),
        (20429, 429),
        (20500, 500),
        (20503, 503),
        (21211, 400),
        (21701, 404),
        (30409, 409),
        (60202, 429),
    ],
)
def test_a_code_has_its_http_status(code, status):
    assert Refusal(code).status == status


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_row_reads_well_without_values(code):
    message = Refusal(code).message
    assert message
    assert message == message.strip()
    assert not re.search(r"[{}]|  | ,|:$", message)
    assert 400 <= ERRORS[code].status <= 599


def test_a_refusal_says_where_to_read_more():
    refusal = Refusal(21211, number="+15551234567")
    assert refusal.code == 21211
    assert refusal.more_info == "https://www.twilio.com/docs/errors/21211"
    assert str(refusal) == "21211: Invalid 'To' Phone Number: +1555123XXXX"


def test_a_message_replaces_the_text_of_the_row():
    refusal = Refusal(20429, message="Too many requests")
    assert refusal.message == "Too many requests"
    assert refusal.status == 429


def test_a_missing_value_leaves_no_gap():
    url = "ftp://example.com"
    assert Refusal(21609, name=url).message == f"Invalid StatusCallback URL: {url}"
    assert Refusal(21614).message == "To number:, is not a mobile number"


def test_values_are_text_and_never_templates():
    assert Refusal(20404, path="/{path}{0}%s\\1").message == (
        "The requested resource /{path}{0}%s\\1 was not found"
    )


def test_long_values_are_cut():
    assert len(Refusal(21212, number="9" * 10_000).message) < VALUE_MAX + 200


@pytest.mark.parametrize(
    ("number", "hidden"),
    [
        ("+14155552671", "+1415555XXXX"),
        ("whatsapp:+14155552671", "whatsapp:+1415555XXXX"),
        ("123", "XXXX"),
    ],
)
def test_the_end_of_a_number_is_hidden(number, hidden):
    assert masked(number) == hidden


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (30003, "Unreachable destination handset"),
        (30004, "Message blocked"),
        (30005, "Unknown destination handset"),
        (30006, "Landline or unreachable carrier"),
        (30007, "Message filtered"),
        (30008, "Unknown error"),
        (30036, "Validity period expired"),
        (1, "Unknown error"),
    ],
)
def test_a_failed_message_has_an_error_message(code, text):
    assert delivery_error(code) == text
