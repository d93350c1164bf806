"""What the environment and a `.env` file offer as a carrier, and that nothing in it is run."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.upstream import FILE_SIZE_MAX, offered, parse_dotenv, read_dotenv

AC = "AC" + "a1" * 16
SK = "SK" + "b2" * 16
MG = "MG" + "c3" * 16
TOKEN = {"TWILIO_ACCOUNT_SID": AC, "TWILIO_AUTH_TOKEN": "secret"}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("  export A = b  ", "b"),
        ("A=", ""),
        ("A=b # why", "b"),
        ("A=b#c", "b#c"),
        ("A=# nothing", ""),
        ("A='b # c' # why", "b # c"),
        ("A='b\\n'", "b\\n"),
        ('A="b \\"c\\" \\\\ \\$d\\n"', 'b "c" \\ $d\n'),
        ('A="b"#why', "b"),
        ("A=$(touch x)`touch y`${HOME}", "$(touch x)`touch y`${HOME}"),
        ("A=b c", "b c"),
    ],
)
def test_a_line_is_read_as_it_stands(line: str, value: str) -> None:
    """Quotes, escapes and comments mean what they do elsewhere; nothing is expanded."""
    assert parse_dotenv(line) == {"A": value}


@pytest.mark.parametrize(
    "line", ["", "# A=b", "A", "A b=c", "1A=b", "A='b", 'A="b', "A='b'c", "=b"]
)
def test_a_line_that_cannot_be_read_is_left_out(line: str) -> None:
    """The lines around it count."""
    assert parse_dotenv(f"X=1\n{line}\r\nY=2\n") == {"X": "1", "Y": "2"}


def test_the_last_of_a_name_counts() -> None:
    """As in a shell."""
    assert parse_dotenv("A=1\nA=2") == {"A": "2"}


@given(st.text(max_size=200))
def test_no_text_is_too_odd(text: str) -> None:
    """Whatever stands in the file, reading it ends with names and texts."""
    assert all(name.isascii() for name in parse_dotenv(text))


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,9}", fullmatch=True), st.text(max_size=30)))
def test_what_is_written_with_quotes_is_read_again(variables: dict[str, str]) -> None:
    """Any value survives double quotes with its escapes."""
    escaped = {
        name: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for name, value in variables.items()
    }
    text = "\n".join(f'{name}="{value}"' for name, value in escaped.items())
    one_line = {
        n: v for n, v in variables.items() if len(f"x{v}x".replace("\n", "").splitlines()) == 1
    }
    found = parse_dotenv(text)
    assert {name: found.get(name) for name in one_line} == one_line


def test_a_token_or_a_key_makes_an_offer() -> None:
    """The secrets are kept apart from the rest, and never show."""
    by_token = offered(TOKEN, Path("/nowhere"))
    assert by_token is not None
    assert (by_token.name, by_token.type) == ("twilio", "twilio")
    assert (by_token.settings, by_token.secrets) == ({"account_sid": AC}, {"auth_token": "secret"})
    assert "secret" not in repr(by_token)
    by_key = offered(
        {
            "TWILIO_ACCOUNT_SID": AC,
            "TWILIO_API_KEY_SID": SK,
            "TWILIO_API_KEY_SECRET": "s",
            "TWILIO_FROM_NUMBER": "+15550006001",
            "TWILIO_BASE_URL": "https://api.example.com",
        },
        Path("/nowhere"),
    )
    assert by_key is not None
    assert by_key.secrets == {"api_key_secret": "s"}
    assert by_key.settings == {
        "account_sid": AC,
        "api_key_sid": SK,
        "from_number": "+15550006001",
        "base_url": "https://api.example.com",
    }


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"TWILIO_ACCOUNT_SID": AC},
        {"TWILIO_AUTH_TOKEN": "secret"},
        {"TWILIO_ACCOUNT_SID": AC, "TWILIO_API_KEY_SID": SK},
        {"TWILIO_ACCOUNT_SID": AC, "TWILIO_AUTH_TOKEN": ""},
    ],
)
def test_what_is_incomplete_offers_nothing(environ: dict[str, str]) -> None:
    """An account without credentials, or credentials without an account."""
    assert offered(environ, Path("/nowhere")) is None


def test_half_a_key_is_left_out_beside_a_token() -> None:
    """The token alone is enough."""
    offer = offered(TOKEN | {"TWILIO_API_KEY_SID": SK}, Path("/nowhere"))
    assert offer is not None
    assert "api_key_sid" not in offer.settings


def test_a_service_goes_before_a_number() -> None:
    """Only one of the two can choose the sender."""
    both = {"TWILIO_MESSAGING_SERVICE_SID": MG, "TWILIO_FROM_NUMBER": "+15550006001"}
    offer = offered(TOKEN | both, Path("/nowhere"))
    assert offer is not None
    assert offer.settings == {"account_sid": AC, "messaging_service_sid": MG}


def test_a_file_fills_what_the_environment_lacks(tmp_path: Path) -> None:
    """A variable that is set beats the file; one that is set to nothing does not."""
    (tmp_path / ".env").write_text(
        f"\ufeffexport TWILIO_ACCOUNT_SID={AC}\nTWILIO_AUTH_TOKEN='of the file'\nOTHER=x\n"
    )
    offer = offered({}, tmp_path)
    assert offer is not None
    assert offer.secrets == {"auth_token": "of the file"}
    nearer = offered({"TWILIO_AUTH_TOKEN": "nearer", "TWILIO_ACCOUNT_SID": ""}, tmp_path)
    assert nearer is not None
    assert nearer.secrets == {"auth_token": "nearer"}


def test_a_file_of_another_kind_holds_nothing(tmp_path: Path) -> None:
    """A folder, a pipe, too large a file, or one in another encoding stops no start."""
    path = tmp_path / ".env"
    assert read_dotenv(path) == {}
    path.mkdir()
    assert read_dotenv(path) == {}
    path.rmdir()
    os.mkfifo(path)
    assert read_dotenv(path) == {}
    path.unlink()
    path.write_bytes(b"TWILIO_AUTH_TOKEN=\xff")
    assert read_dotenv(path) == {}
    path.write_text("TWILIO_AUTH_TOKEN=x\n" + "#" * FILE_SIZE_MAX)
    assert read_dotenv(path) == {}
