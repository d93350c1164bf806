"""The command line against a platform that answers what it is told to."""

import ast
import json
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from click.testing import CliRunner, Result

from trunkline import __version__, app
from trunkline.cli import COMMANDS, commands, load_command
from trunkline.cli.banner import banner
from trunkline.cli.reference import PAGES
from trunkline.cli.show import print_table, visible
from trunkline.cli.snippet import snippet
from trunkline.config import Config
from trunkline.datadir import Credentials, StartedFacts, read_credentials, write_credentials

ACCOUNT = "AC" + "0" * 32
TOKEN = "1" * 32
NUMBER = "+14155550100"
SID = "SM" + "2" * 32
MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


@dataclass
class Request:
    """What a command asked."""

    method: str
    path: str
    authorization: str
    form: list[tuple[str, str]]


@dataclass
class Platform:
    """Answers from a table, remembers what it was asked."""

    base_url: str = ""
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def answer(self, request: str, document: object, *, status: int = 200) -> None:
        """Answer *request* ("GET /path") with a document, or with bytes as they are."""
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answers[request] = (status, content)


def handler_of(platform: Platform) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            form = parse_qsl(body, keep_blank_values=True)
            authorization = self.headers["Authorization"]
            platform.requests.append(Request(self.command, self.path, authorization, form))
            status, content = platform.answers[f"{self.command} {self.path}"]
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = reply  # noqa: N815 - the names are http.server's.

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay silent."""

    return Handler


@pytest.fixture
def platform() -> Iterator[Platform]:
    platform = Platform()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(platform))
    platform.base_url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield platform
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def data_dir(platform: Platform, tmp_path: Path) -> Path:
    """Hold the credentials of the platform."""
    return leave(tmp_path / "data", base_url=platform.base_url)


@pytest.fixture
def call(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call the command line where nothing but --data-dir tells it where to look."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRUNKLINE_DATA_DIR", raising=False)
    return lambda *args: CliRunner().invoke(commands, ["--data-dir", str(data_dir), *args])


def leave(directory: Path, *, base_url: str) -> Path:
    directory.mkdir()
    write_credentials(
        directory,
        Credentials(account_sid=ACCOUNT, auth_token=TOKEN, base_url=base_url, phone_number=NUMBER),
    )
    return directory


def test_a_server_behind_a_proxy_is_asked_itself(
    platform: Platform, call: Callable[..., Result], tmp_path: Path
) -> None:
    """Whether or not the way to it from outside is open at the moment."""
    directory = leave(tmp_path / "behind", base_url="https://127.0.0.1:1")
    left = read_credentials(directory)
    assert left.local_url == ""
    write_credentials(directory, replace(left, local_url=platform.base_url))
    platform.answer(f"GET {MESSAGES}?PageSize=20", {"messages": [message()]})
    result = call("messages", "--data-dir", str(directory))
    assert result.exit_code == 0, result.output


def message(**changes: object) -> dict[str, object]:
    return {
        "sid": SID,
        "date_created": "Fri, 24 May 2019 17:44:46 +0000",
        "direction": "outbound-api",
        "from": NUMBER,
        "to": "+15558675310",
        "status": "delivered",
        "error_code": None,
        "num_segments": "1",
        "body": "Hello",
    } | changes


def test_credentials_are_shown_while_the_platform_is_down(
    tmp_path: Path, call: Callable[..., Result]
) -> None:
    """Only the data directory is needed; --data-dir may stand before or after the command."""
    down = str(leave(tmp_path / "down", base_url="http://127.0.0.1:1"))
    expected = {
        "account_sid": ACCOUNT,
        "auth_token": TOKEN,
        "base_url": "http://127.0.0.1:1",
        "phone_number": NUMBER,
        "local_url": "",
    }
    after = call("credentials", "--json", "--data-dir", down)
    before = CliRunner().invoke(commands, ["--data-dir", down, "credentials", "--json"])
    variable = CliRunner().invoke(
        commands, ["credentials", "--json"], env={"TRUNKLINE_DATA_DIR": down}
    )
    assert [json.loads(r.stdout) for r in (after, before, variable)] == [expected] * 3
    for value in expected.values():
        assert value in call("credentials", "--data-dir", down).stdout


def test_credentials_can_be_put_into_the_environment_of_a_shell(
    call: Callable[..., Result], tmp_path: Path
) -> None:
    """What is printed is what a shell exports, and where a server on all addresses is reached."""
    down = str(leave(tmp_path / "down", base_url="http://0.0.0.0:8800"))
    lines = call("credentials", "--env", "--data-dir", down).stdout
    names = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER", "TRUNKLINE_URL")
    said = " ".join(f'"${name}"' for name in names)
    ran = subprocess.run(
        ["sh", "-c", f"{lines}\nprintf '%s\n' {said}"], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == [ACCOUNT, TOKEN, NUMBER, "http://127.0.0.1:8800"]


def test_missing_credentials_say_what_to_do(tmp_path: Path, call: Callable[..., Result]) -> None:
    """Somebody who never started the platform is told to."""
    result = call("credentials", "--data-dir", str(tmp_path / "nowhere"))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "start the server once with `trunkline up`" in result.stderr


@pytest.mark.parametrize("content", ["", "[]", "{}", "\0", "null"])
def test_damaged_credentials_say_what_to_do(
    data_dir: Path, call: Callable[..., Result], content: str
) -> None:
    """A file of something else is no traceback."""
    (data_dir / "credentials.json").write_text(content)
    result = call("messages")
    assert result.exit_code == 1
    assert "is damaged" in result.stderr


def test_credentials_are_for_the_owner_alone(data_dir: Path) -> None:
    """Nobody else on the machine may read the token; writing again leaves the new one."""
    path = data_dir / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    fresh = Credentials(account_sid="a", auth_token="b", base_url="c", phone_number="d")
    write_credentials(data_dir, fresh)
    assert read_credentials(data_dir) == fresh
    assert [p.name for p in data_dir.iterdir()] == ["credentials.json"]


def test_send_posts_to_the_api(platform: Platform, call: Callable[..., Result]) -> None:
    """The account's number is the sender unless another is named; every media URL is sent."""
    platform.answer(f"POST {MESSAGES}", message(status="queued"), status=201)
    media = ("--media", "http://a/1.png", "--media", "http://a/2.png")
    result = call("send", "+15558675310", "Grüß & <b>", *media, "--json")
    assert json.loads(result.stdout) == message(status="queued")
    call("send", "+15558675310", "x", "--from", "+14155550199")
    first, second = platform.requests
    assert first.form == [
        ("To", "+15558675310"),
        ("From", NUMBER),
        ("Body", "Grüß & <b>"),
        ("MediaUrl", "http://a/1.png"),
        ("MediaUrl", "http://a/2.png"),
    ]
    assert first.authorization.startswith("Basic ")
    assert ("From", "+14155550199") in second.form
    assert call("send", "+15558675310", "x").stdout == f"{SID} to +15558675310 is queued.\n"


def test_an_error_of_the_api_is_one_sentence(
    platform: Platform, call: Callable[..., Result]
) -> None:
    """The message and the code of the error reach whoever called; control characters do not."""
    error = {"code": 21211, "message": "Invalid 'To' \x1b[31mNumber", "status": 400}
    platform.answer(f"POST {MESSAGES}", error, status=400)
    result = call("send", "nonsense", "x")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "Error: Invalid 'To' ␛[31mNumber (error 21211)\n"


def test_nobody_answering_is_one_sentence(tmp_path: Path, call: Callable[..., Result]) -> None:
    """Whoever forgot to start the platform is told so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    down = leave(tmp_path / "down", base_url=f"http://0.0.0.0:{port}")
    result = call("phone", "list", "--data-dir", str(down))
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: Nothing answers at http://127.0.0.1:{port}; start it with `trunkline up`.\n"
    )


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"\xff", b""])
def test_another_server_is_recognised(
    platform: Platform, call: Callable[..., Result], content: bytes
) -> None:
    """Something else on the port is not taken for the platform."""
    platform.answer("GET /trunkline/v1/phones", content)
    result = call("phone", "list")
    assert result.exit_code == 1
    assert result.stderr == f"Error: What answers at {platform.base_url} is no Trunkline.\n"


def test_an_answer_of_another_shape_is_one_sentence(
    platform: Platform, call: Callable[..., Result]
) -> None:
    """A platform of another version does not end in a traceback."""
    platform.answer("GET /trunkline/v1/phones", {"phones": "none"})
    assert "has no 'phones'" in call("phone", "list").stderr


def test_messages_are_listed_with_the_filters_of_the_api(
    platform: Platform, call: Callable[..., Result]
) -> None:
    """To, From and the limit are asked of the server; JSON is the list as it came."""
    path = f"{MESSAGES}?To=%2B15558675310&From=%2B14155550100&PageSize=2"
    found = [message(), message(sid="SM" + "3" * 32)]
    platform.answer(f"GET {path}", {"messages": found, "next_page_uri": "/never"})
    options = ("--to", "+15558675310", "--from", NUMBER, "--limit", "2")
    assert json.loads(call("messages", *options, "--json").stdout) == found
    table = call("messages", *options).stdout
    for value in (SID, NUMBER, "+15558675310", "delivered", "2019-05-24 17:44:46", "Hello"):
        assert value in table


def test_a_status_is_sifted_page_after_page(
    platform: Platform, call: Callable[..., Result]
) -> None:
    """A status that is rare on the first page is looked for on the next, to the end."""
    second = f"{MESSAGES}?Page=1"
    failed = message(status="failed", error_code=30003)
    platform.answer(
        f"GET {MESSAGES}?PageSize=1000", {"messages": [message()], "next_page_uri": second}
    )
    platform.answer(f"GET {second}", {"messages": [failed, failed], "next_page_uri": None})
    assert json.loads(call("messages", "--status", "failed", "--json").stdout) == [failed] * 2
    limited = call("messages", "--status", "failed", "--limit", "1", "--json").stdout
    assert json.loads(limited) == [failed]
    assert call("messages", "--status", "read").stdout == "No messages.\n"
    assert call("messages", "--status", "lost").exit_code == 2


def test_strangers_cannot_steer_the_terminal(
    platform: Platform, call: Callable[..., Result]
) -> None:
    """Markup stays text; escape sequences, newlines and reordering are shown, not sent."""
    body = "[red]x[/red] :smile: \x1b[2J\x9b1m\nend\u202egnp"
    platform.answer(
        f"GET {MESSAGES}?PageSize=20", {"messages": [message(body=body)], "next_page_uri": None}
    )
    shown = call("messages").stdout
    assert r"[red]x[/red] :smile: ␛[2J\x9b1m␊end\u202egnp" in shown
    assert not {"\x1b", "\x9b", "\u202e"} & set(shown)


def test_harmless_text_is_shown_as_it_is() -> None:
    """Other alphabets, right-to-left script, joined emoji and flags stay whole."""
    text = "Grüße שלום مرحبا 👩‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿 नमस्ते"
    assert visible(text) == text
    assert visible("\ud800\x7f\t\u2028") == r"\ud800\x7f␉\u2028"


def test_a_long_body_is_short_in_the_table_and_whole_in_json(
    platform: Platform, call: Callable[..., Result]
) -> None:
    """One message is one line, which does not end in blanks."""
    body = "x y" * 500
    document = {"messages": [message(body=body)], "next_page_uri": None}
    platform.answer(f"GET {MESSAGES}?PageSize=20", document)
    (line,) = [line for line in call("messages").stdout.splitlines() if SID in line]
    shown = line.rpartition("   ")[2]
    assert (len(shown), shown[:-1] in body, shown[-1]) == (50, True, "…")
    assert json.loads(call("messages", "--json").stdout)[0]["body"] == body


def test_lines_of_a_table_do_not_end_in_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    """They would wrap on a terminal that is narrower than the table."""
    rows = [{"sid": SID, "body": "Hi"}, {"sid": SID, "body": "a longer one"}]
    print_table({"SID": "sid", "Body": "body"}, rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [f"{SID}   Hi", f"{SID}   a longer one"]


@pytest.mark.parametrize(
    ("path", "args", "text"),
    [
        ("GET /trunkline/v1/carriers/a%2Fb", ("carriers", "show", "a/b"), "carrier a/b"),
        ("POST /trunkline/v1/routes/RX1", ("routes", "set", "RX1", "--order", "1"), "route RX1"),
        ("POST /trunkline/v1/smpp-credentials/me", ("smpp", "set", "me", "--disable"), "client me"),
        (f"GET /trunkline/v1/messages/{SID}/trace", ("trace", SID), f"message {SID}"),
        (
            "POST /trunkline/v1/accounts/AC1/auth-token/promote",
            ("accounts", "rotate-token", "AC1", "--promote"),
            "account AC1, or it has no second auth token",
        ),
    ],
)
def test_what_is_not_there_says_where_to_look(
    platform: Platform, call: Callable[..., Result], path: str, args: tuple[str, ...], text: str
) -> None:
    """By the name that was given, and with the command that lists the names."""
    platform.answer(path, {"code": 20404, "message": "gone", "status": 404}, status=404)
    error = call(*args).stderr
    assert f"{text}; see `trunkline " in error
    assert error.endswith("` (error 20404)\n")


@pytest.mark.parametrize(
    "option",
    [("--template", "x"), ("--yes",), ("--no-wait",), ("--report", "x"), ("--to-column", "x")],
)
def test_what_is_for_a_file_of_contacts_is_refused_without_one(
    platform: Platform, call: Callable[..., Result], option: tuple[str, ...]
) -> None:
    """Nothing is sent by who believes that it was heeded."""
    result = call("send", "+15558675310", "Hi", *option)
    assert (result.exit_code, platform.requests) == (2, [])
    assert option[0] in result.stderr.partition("These go with --csv only")[2]


@pytest.mark.parametrize(
    ("content", "code"), [(b"\xff\xfe[]", 1), (b'\xef\xbb\xbf[{"language": "en"}]', 0)]
)
def test_words_are_read_as_utf_8(
    platform: Platform, call: Callable[..., Result], tmp_path: Path, *, content: bytes, code: int
) -> None:
    """With a mark of their encoding as well; anything else is refused in a sentence."""
    (tmp_path / "words.json").write_bytes(content)
    platform.answer("POST /trunkline/v1/services/MG1/keywords", {"wordings": []})
    result = call("services", "keywords", "MG1", "--file", str(tmp_path / "words.json"))
    assert result.exit_code == code, result.output
    sent = [request.form for request in platform.requests]
    assert sent == ([] if code else [[("Wordings", '[{"language": "en"}]')]])
    assert ("is not UTF-8" in result.stderr) == bool(code)


def test_a_narrow_terminal_breaks_no_sid(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text gives way to the edge of the terminal; what one copies stays whole."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "50")
    print_table({"SID": "sid", "Body": "body"}, [{"sid": SID, "body": "word " * 30}])
    lines = capsys.readouterr().out.splitlines()
    assert SID in lines[2]
    assert len(lines) > 5


INBOX_ENTRY = {
    "from": NUMBER,
    "to": "+15558675310",
    "body": "Hi",
    "media": ["http://a/1.png"],
    "segments": 1,
    "encoding": "GSM-7",
    "received_at": "2026-01-02T03:04:05Z",
}


def test_an_inbox_entry_has_its_seven_fields(
    platform: Platform, call: Callable[..., Result]
) -> None:
    """JSON has exactly these, whatever else the platform may add one day."""
    path = "GET /trunkline/v1/phones/%2B15558675310/inbox?limit=50"
    platform.answer(path, {"inbox": [{**INBOX_ENTRY, "extra": 1}]})
    assert json.loads(call("phone", "inbox", "+15558675310", "--json").stdout) == [INBOX_ENTRY]
    table = call("phone", "inbox", "+15558675310").stdout
    for value in (NUMBER, "Hi", "http://a/1.png", "GSM-7", "2026-01-02T03:04:05Z"):
        assert value in table


def test_an_empty_list_is_an_empty_document(
    platform: Platform, call: Callable[..., Result]
) -> None:
    """Programs read a list, people a sentence."""
    platform.answer("GET /trunkline/v1/phones/1/inbox?limit=5", {"inbox": []})
    platform.answer("GET /trunkline/v1/phones", {"phones": []})
    assert call("phone", "inbox", "1", "--limit", "5", "--json").stdout == "[]\n"
    assert call("phone", "inbox", "1", "--limit", "5").stdout == "No texts.\n"
    assert call("phone", "list", "--json").stdout == "[]\n"
    assert call("phone", "list").stdout == "No phones.\n"


def test_a_phone_speaks(platform: Platform, call: Callable[..., Result]) -> None:
    """The text goes from the phone to the number, with its pictures."""
    sent = {"sid": SID, "from": "+15558675310", "to": NUMBER, "body": "Yes"}
    platform.answer("POST /trunkline/v1/phones/%2B15558675310/texts", sent, status=201)
    args = ("phone", "send", "+15558675310", NUMBER, "Yes", "--media", "http://a/1.png")
    assert json.loads(call(*args, "--json").stdout) == sent
    assert platform.requests[0].form == [
        ("To", NUMBER),
        ("Body", "Yes"),
        ("MediaUrl", "http://a/1.png"),
    ]
    assert call(*args).stdout == f"+15558675310 has sent {SID}.\n"


def test_phones_are_listed_and_set(platform: Platform, call: Callable[..., Result]) -> None:
    """A phone is shown with its behaviour, which can be changed."""
    phone = {
        "number": "+15558675310",
        "name": "Ada",
        "behaviour": "off",
        "texts": 3,
        "updated_at": "2026-01-02T03:04:05Z",
    }
    platform.answer("GET /trunkline/v1/phones", {"phones": [phone]})
    platform.answer("POST /trunkline/v1/phones/%2B15558675310", phone)
    assert json.loads(call("phone", "list", "--json").stdout) == [phone]
    assert "Ada" in call("phone", "list").stdout
    assert call("phone", "set", "+15558675310", "off").stdout == "+15558675310 behaves: off.\n"
    assert platform.requests[-1].form == [("Behaviour", "off")]


def test_a_trace_tells_events_and_webhooks(platform: Platform, call: Callable[..., Result]) -> None:
    """What happened, what was tried and what is to come each have a table."""
    at = "2026-01-02T03:04:05Z"
    attempt = {"at": at, "label": "queued", "method": "POST", "url": "http://app/", "reason": "No"}
    document = {
        "message": message(),
        "media": [],
        "events": [{"at": at, "kind": "submitted", "detail": {"carrier_ref": "0A"}}],
        "attempts": [{**attempt, "http_status": 500, "duration_ms": 12, "error_code": 11200}],
        "waiting": [{"kind": "callback", "label": "sent", "url": "http://app/", "due_at": at}],
    }
    platform.answer(f"GET /trunkline/v1/messages/{SID}/trace", document)
    assert json.loads(call("trace", SID, "--json").stdout) == document
    shown = call("trace", SID).stdout
    for value in ("submitted", '{"carrier_ref":"0A"}', "11200", "http://app/", "Webhooks to come"):
        assert value in shown


def test_the_clock_is_moved(platform: Platform, call: Callable[..., Result]) -> None:
    """Seconds may be a fraction."""
    platform.answer("POST /trunkline/v1/clock", {"now": "2026-01-02T03:04:05Z"})
    assert call("clock", "1.5").stdout == "The clock moved forward by 1.5 seconds.\n"
    assert platform.requests[0].form == [("Seconds", "1.5")]


def test_version_is_said_both_ways() -> None:
    """As an option and as a command."""
    for args in (["version"], ["--version"]):
        assert CliRunner().invoke(commands, args).stdout == f"trunkline {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_opens_with_its_row(name: str) -> None:
    """The short help in the table is the first sentence of the command's own."""
    assert (load_command(name).help or "").startswith(COMMANDS[name][1])
    result = CliRunner().invoke(commands, [name, "--help"])
    assert result.exit_code == 0
    assert f"Usage: commands {name}" in result.stdout


def test_up_starts_with_the_settings(
    call: Callable[..., Result], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options and the group's data directory reach the server."""
    started: list[Config] = []
    monkeypatch.setattr(app, "serve", lambda config, on_ready, reread: started.append(config))
    monkeypatch.setenv("TRUNKLINE_SEED", "3")
    result = call("up", "--port", "9000", "--clock", "manual")
    assert result.exit_code == 0, result.output
    assert started == [Config(port=9000, clock="manual", seed=3, data_dir=data_dir)]


def test_up_refuses_a_bad_setting(call: Callable[..., Result]) -> None:
    """One sentence on stderr, exit status 2."""
    result = call("up", "--port", "abc")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: The setting port is 'abc' from --port: it must be a whole number from 0 to 65535.\n"
    )


def test_up_says_why_it_cannot_start(
    call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence on stderr, exit status 1."""

    def serve(config: Config, on_ready: object, *, reread: object) -> None:
        raise app.StartupError(f"Port {config.port} is in use.")

    monkeypatch.setattr(app, "serve", serve)
    result = call("up")
    assert result.exit_code == 1
    assert result.stderr == "Error: Port 8800 is in use.\n"


def facts(*, is_first_start: bool, base_url: str = "http://127.0.0.1:8800") -> StartedFacts:
    return StartedFacts(
        base_url=base_url,
        console_url=f"{base_url}/console",
        account_sid=ACCOUNT,
        auth_token=TOKEN,
        phone_number=NUMBER,
        is_first_start=is_first_start,
    )


def test_the_first_start_shows_a_program_that_works(
    platform: Platform, call: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is printed where nobody looks holds the program, which sends a message as it stands."""
    platform.answer(f"POST {MESSAGES}", message(status="queued"), status=201)
    started = facts(is_first_start=True, base_url=platform.base_url)
    monkeypatch.setattr(app, "serve", lambda config, on_ready, reread: on_ready(started))
    lines = call("up").stdout.splitlines()
    first = lines.index("from twilio.rest import Client")
    program = "\n".join(lines[first : lines.index("", first + 2)])
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"{SID} queued\n"
    assert ("To", "+15558675310") in platform.requests[0].form


def test_a_later_start_keeps_the_token_to_itself() -> None:
    """Logs of restarts hold no secret; where to find it is said."""
    later = banner(facts(is_first_start=False)).plain
    assert TOKEN not in later
    assert "trunkline credentials" in later
    for text in (later, banner(facts(is_first_start=True)).plain):
        assert "http://127.0.0.1:8800/console  phones" in text
        assert "Ctrl-C" in text


def test_the_program_is_quoted() -> None:
    """No value can end its string."""
    code = snippet(ACCOUNT, TOKEN, base_url="http://a/'\"", phone_number=NUMBER)
    values = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    assert "http://a/'\"" in values


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_up_to_date(name: str) -> None:
    """Generated pages say what the code declares: `make docs` writes them anew."""
    assert (REFERENCE / name).read_text() == PAGES[name]()
