"""trunkline.connect(): the official client that never calls Twilio."""

from pathlib import Path

import pytest
from twilio.rest import Client

import trunkline
from trunkline.connecting import reachable
from trunkline.datadir import Credentials, write_credentials

LEFT = Credentials(
    account_sid="AC" + "0" * 32,
    auth_token="1" * 32,
    base_url="http://0.0.0.0:8800",
    phone_number="+14155550100",
)
OTHER = "AC" + "5" * 32


@pytest.fixture(autouse=True)
def _no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCOUNT_SID", "AUTH_TOKEN", "API_KEY", "API_SECRET", "REGION", "EDGE"):
        monkeypatch.delenv(f"TWILIO_{name}", raising=False)
        monkeypatch.delenv(f"TRUNKLINE_{name}", raising=False)
    for name in ("BASE_URL", "URL", "DATA_DIR"):
        monkeypatch.delenv(f"TRUNKLINE_{name}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Hold what a server left."""
    directory = tmp_path / "trunkline-data"
    directory.mkdir()
    write_credentials(directory, LEFT)
    return directory


def test_nothing_but_the_data_directory_is_needed(data_dir: Path) -> None:
    """The credentials of the server on this machine are found in its directory."""
    for client in (trunkline.connect(), trunkline.connect(data_dir=data_dir)):
        assert isinstance(client, Client)
        assert client.auth == (LEFT.account_sid, LEFT.auth_token)
        assert client.api.base_url == "http://127.0.0.1:8800"


def test_no_product_is_left_at_twilio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every product goes to the server under its name, and no region or edge rewrites that."""
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    client = trunkline.connect(account_sid=OTHER, auth_token="t", base_url="http://host:1/x/")
    products = [name[1:] for name in vars(client) if name[1:] in dir(type(client))]
    urls = {name: getattr(client, name).base_url for name in products}
    assert urls["api"] == "http://host:1/x"
    assert urls["messaging"] == "http://host:1/x/messaging"
    assert urls["flex_api"] == "http://host:1/x/flex-api"
    assert len(urls) > 30
    assert all(url.startswith("http://host:1/x") for url in urls.values())
    assert client.get_hostname("http://a.b.c.d/") == "http://a.b.c.d/"


def test_the_environment_beats_the_data_directory(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our variables come before Twilio's, arguments before both."""
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "ACtwilio")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "twilio")
    monkeypatch.setenv("TRUNKLINE_URL", "http://url:1")
    client = trunkline.connect()
    assert client.auth == ("ACtwilio", "twilio")
    assert client.api.base_url == "http://url:1"
    monkeypatch.setenv("TRUNKLINE_ACCOUNT_SID", OTHER)
    monkeypatch.setenv("TRUNKLINE_AUTH_TOKEN", "ours")
    monkeypatch.setenv("TRUNKLINE_BASE_URL", "http://base:1")
    client = trunkline.connect()
    assert client.auth == (OTHER, "ours")
    assert client.api.base_url == "http://base:1"
    client = trunkline.connect(auth_token="given", base_url="http://given:1")
    assert client.auth == (OTHER, "given")
    assert client.api.base_url == "http://given:1"


def test_a_key_signs_in_for_its_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of the environment beats a token there; a token that is given beats the key."""
    monkeypatch.setenv("TRUNKLINE_URL", "http://url:1")
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", OTHER)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "t")
    monkeypatch.setenv("TWILIO_API_KEY_SID", "SK1")
    monkeypatch.setenv("TWILIO_API_KEY_SECRET", "s")
    client = trunkline.connect()
    assert (client.auth, client.account_sid) == (("SK1", "s"), OTHER)
    assert trunkline.connect(auth_token="given").auth == (OTHER, "given")
    assert trunkline.connect(api_key="SK2", api_secret="s2").auth == ("SK2", "s2")


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an identity, no server or a bad URL end in a sentence, never at Twilio."""
    with pytest.raises(ValueError, match="start the server once"):
        trunkline.connect()
    with pytest.raises(ValueError, match=r"auth_token is missing.*TRUNKLINE_AUTH_TOKEN"):
        trunkline.connect(account_sid=OTHER)
    with pytest.raises(ValueError, match=r"account_sid is missing.*TRUNKLINE_ACCOUNT_SID"):
        trunkline.connect(api_key="SK1", api_secret="s")
    with pytest.raises(ValueError, match="base_url is 'localhost:8800': it must be like"):
        trunkline.connect(account_sid=OTHER, auth_token="t", base_url="localhost:8800")
    monkeypatch.setenv("TRUNKLINE_DATA_DIR", "elsewhere")
    with pytest.raises(ValueError, match="no credentials in elsewhere"):
        trunkline.connect(account_sid=OTHER, auth_token="t")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://0.0.0.0:8800", "http://127.0.0.1:8800"),
        ("http://0.0.0.0", "http://127.0.0.1"),
        ("http://[::]:8800/x/", "http://[::1]:8800/x"),
        ("http://[::]", "http://[::1]"),
        ("https://[fe80::1]", "https://[fe80::1]"),
        ("https://sms.example/x", "https://sms.example/x"),
    ],
)
def test_every_address_is_reached_through_loopback(url: str, expected: str) -> None:
    """Nobody can connect to the address that means all of them."""
    assert reachable(url) == expected
