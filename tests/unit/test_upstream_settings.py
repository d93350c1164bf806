"""The settings of an upstream account: what each must be, and what does not go together."""

import pytest

from trunkline.carriers.twilio.settings import SETTINGS, check, parse
from trunkline.domain.carrier import check_settings
from trunkline.domain.errors import Refusal

AC = "AC" + "a1" * 16
SK = "SK" + "b2" * 16
MG = "MG" + "c3" * 16
KNOWN = {setting.name: setting for setting in SETTINGS}
GOOD = {"account_sid": AC, "auth_token": "secret"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_url", "https://api.twilio.com"),
        ("base_url", "https://api.dublin.ie1.twilio.com/"),
        ("base_url", "https://[2001:db8::1]:8443"),
        ("base_url", "http://127.0.0.1:8800"),
        ("base_url", "http://[::1]:8800"),
        ("base_url", "http://localhost"),
        ("from_number", "+15550006001"),
        ("from_number", "12345"),
        ("from_number", "ACME"),
        ("messages_per_second", "0.5"),
        ("inbound", "poll"),
    ],
)
def test_good_values_pass(name: str, value: str) -> None:
    """What operators write."""
    check_settings({name: value}, known=KNOWN)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("account_sid", SK),
        ("account_sid", AC + "0"),
        ("api_key_sid", AC),
        ("api_key_secret", "a b"),
        ("auth_token", "x" * 201),
        ("base_url", "http://api.twilio.com"),
        ("base_url", "http://127.0.0.1.example.com"),
        ("base_url", "https://user:pass@api.twilio.com"),
        ("base_url", "https://api.twilio.com/2010-04-01"),
        ("base_url", "https://api.twilio.com?x"),
        ("base_url", "https://"),
        ("base_url", "https://api.twilio.com:x"),
        ("base_url", "ftp://api.twilio.com"),
        ("messaging_service_sid", AC),
        ("from_number", "whatsapp:+15550006001"),
        ("from_number", "*"),
        ("window", "0"),
        ("window", "101"),
        ("messages_per_second", "-1"),
        ("messages_per_second", "nan"),
        ("poll_seconds", "0"),
        ("request_seconds", "121"),
        ("doubt_seconds", "61"),
        ("callbacks", "on"),
        ("inbound", "yes"),
        ("inbound_hours", "73"),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, value: str) -> None:
    """A refusal names the setting and says what it must be."""
    with pytest.raises(Refusal, match=name):
        check_settings({name: value}, known=KNOWN)


def test_defaults_are_good() -> None:
    """Every default passes its own check."""
    check_settings({s.name: s.default for s in SETTINGS}, known=KNOWN)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"account_sid": ""}, "account_sid"),
        ({"auth_token": ""}, "auth_token"),
        ({"api_key_sid": SK}, "api_key_secret"),
        ({"api_key_secret": "s"}, "api_key_sid"),
        ({"messaging_service_sid": MG, "from_number": "ACME"}, "from_number"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, str], name: str) -> None:
    """The refusal names the setting to be mended."""
    check(GOOD)
    with pytest.raises(Refusal, match=name) as caught:
        check(GOOD | changes)
    assert caught.value.code == 20422


def test_an_api_key_signs_in_where_there_is_one() -> None:
    """The auth token then only checks signatures."""
    by_token = parse(GOOD)
    assert (by_token.username, by_token.password) == (AC, "secret")
    by_key = parse(GOOD | {"api_key_sid": SK, "api_key_secret": "s"})
    assert (by_key.username, by_key.password, by_key.auth_token) == (SK, "s", "secret")
    assert by_key.base_url == "https://api.twilio.com"
