"""`trunkline consent` and `trunkline services` against a running platform."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.processes import Server, ask
from trunkline.cli import commands

Call = Callable[..., Result]

ANNA, BEN = "+15558675310", "+15558675311"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a platform that all tests of this file share."""
    server = Server(tmp_path_factory.mktemp("platform") / "data")
    yield server
    server.process.close()


@pytest.fixture
def call(server: Server) -> Call:
    """Call the command line."""
    before = ["--data-dir", str(server.data_dir)]
    return lambda *args, **given: CliRunner().invoke(commands, [*before, *args], **given)


def said(result: Result) -> str:
    """Return what a command that went well has printed."""
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def send(server: Server, recipient: str) -> int:
    """Try to send a text; return the status of the answer."""
    form = {"To": recipient, "From": server.number, "Body": "Hello"}
    return ask("POST", f"{server.account_url}/Messages.json", form, auth=server.auth).status


def test_a_file_is_imported_line_by_line(server: Server, call: Call, tmp_path: Path) -> None:
    """Good lines count, bad ones are named; what was exported can be imported again."""
    file = tmp_path / "list.csv"
    lines = [
        "recipient,status,consented_at,form",
        f"{ANNA},opt-out,2026-01-05T10:00:00Z,spring fair",
        f"{BEN},opt-in,,",
        "12,opt-in,,",
        f"{BEN},perhaps,,",
        f"{BEN},opt-in",
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    options = ("--scope", server.number, "--source", "offline")
    result = call("consent", "import", str(file), *options)
    assert result.exit_code == 1
    assert result.stdout == "2 changed; 3 refused\n"
    assert result.stderr.splitlines() == [
        "line 6: it has more or fewer fields than the first line",
        "line 4: INVALID_CONTACT_ID: the recipient is no phone number",
        "line 5: INVALID_STATUS: the status is neither opt-in nor opt-out",
    ]
    assert (send(server, ANNA), send(server, BEN)) == (400, 201)
    exported = said(call("consent", "export"))
    first, second = csv.DictReader(io.StringIO(exported))
    assert (first["recipient"], first["status"], first["source"]) == (ANNA, "opt-out", "offline")
    assert json.loads(first["evidence"]) == {"form": "spring fair", "recorded_by": "admin"}
    assert second["number"] == "2"
    again = call("consent", "import", "-", input=exported)
    assert said(again) == "2 known; 0 refused\n"
    assert "spring fair" in said(call("consent", "history", ANNA))
    assert BEN not in said(call("consent", "list", "--status", "opt-out"))


def test_a_list_without_dates_overrules_nobody_who_opted_out(
    server: Server, call: Call, tmp_path: Path
) -> None:
    """However often it is read; by hand, too, it must be said when somebody agreed again."""
    number = "+15558675314"
    file = tmp_path / "list.csv"
    file.write_text(f"recipient,status\n{number},opt-in\n", encoding="utf-8")
    read = ("consent", "import", str(file), "--scope", server.number, "--source", "website")
    assert said(call(*read)) == "1 changed; 0 refused\n"
    said(call("consent", "set", number, server.number, "opt-out"))
    result = call(*read)
    assert (result.exit_code, result.stderr) == (1, "line 2: DATE_OF_CONSENT_NEEDED\n")
    assert send(server, number) == 400
    again = ("consent", "set", number, server.number, "opt-in")
    assert "DATE_OF_CONSENT_NEEDED" in call(*again).stderr
    assert send(server, number) == 400
    now = datetime.now(UTC).isoformat()
    assert said(call(*again, "--at", now)) == f"{number}: changed\n"
    assert send(server, number) == 201


@pytest.mark.parametrize("delimiter", [";", "\t", ","])
def test_a_file_is_read_as_a_spreadsheet_writes_it(
    server: Server, call: Call, tmp_path: Path, delimiter: str
) -> None:
    """With a mark, CRLF, quotes, names of columns as people write them, and emptied lines."""
    number = f"+1555867{1000 + ord(delimiter)}"
    rows = [
        ["Recipient", " Status", "Page", "", ""],
        [number, "opt-out", f'"said{delimiter} ""no""\r\nand left"', "", ""],
        ["", "", "", "", ""],
        [""],
    ]
    file = tmp_path / "excel.csv"
    text = "".join(delimiter.join(row) + "\r\n" for row in rows)
    file.write_bytes(text.encode("utf-8-sig"))
    # The file says "out": what is said for lines that name nothing must not stand in for it.
    options = ("--scope", server.number, "--source", "website", "--status", "opt-in")
    assert said(call("consent", "import", str(file), *options)) == "1 changed; 0 refused\n"
    assert send(server, number) == 400
    (entry,) = json.loads(said(call("consent", "history", number, "--json")))["history"]
    assert entry["evidence"]["Page"].splitlines() == [f'said{delimiter} "no"', "and left"]


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (b"+15558675313,opt-in,caf\xe9\n", "it is not UTF-8"),
        (b'+15558675313,opt-in,"never ends\n', "unexpected end of data"),
    ],
)
def test_lines_before_one_that_cannot_be_read_are_kept(
    server: Server, call: Call, tmp_path: Path, end: bytes, why: str
) -> None:
    """As the error says, which names the last of them."""
    file = tmp_path / "list.csv"
    lines = b"".join(b"+15558676%03d,opt-in,%d\n" % (n, len(why)) for n in range(500))
    file.write_bytes(b"recipient,status,form\n" + lines + end)
    result = call("consent", "import", str(file), "--scope", server.number, "--source", "others")
    assert (result.exit_code, why in result.stderr) == (1, True), result.output
    (said_last,) = re.findall("What follows line ([0-9]+) cannot be read", result.stderr)
    last = f"+15558676{int(said_last) - 2:03d}"
    (entry, *_) = json.loads(said(call("consent", "history", last, "--json")))["history"]
    assert entry["evidence"]["form"] == str(len(why))


@pytest.mark.parametrize("columns", ["recipient,status,Status", "recipient,,status"])
def test_columns_that_may_mislead_are_refused(call: Call, columns: str) -> None:
    """Two that are called the same, and one without a name."""
    result = call("consent", "import", "-", input=f"{columns}\n+15558675310,opt-in,opt-out\n")
    assert result.exit_code == 1
    assert "Each column must have a name of its own" in result.stderr


def test_somebody_is_set_by_hand(server: Server, call: Call) -> None:
    """With evidence, at once; nonsense is refused with its name."""
    number = "+15558675312"
    args = ("consent", "set", number, server.number)
    assert "changed" in said(call(*args, "opt-out", "--evidence", "call=on the phone"))
    assert send(server, number) == 400
    (entry,) = json.loads(said(call("consent", "history", number, "--json")))["history"]
    assert entry["evidence"]["call"] == "on the phone"
    wrong = call("consent", "set", number, "MG" + "0" * 32, "opt-in")
    assert (wrong.exit_code, "INVALID_SENDER_ID" in wrong.stderr) == (1, True)


def test_a_file_without_columns_is_refused(call: Call) -> None:
    """A sentence says what is missing."""
    result = call("consent", "import", "-", input="+15558675310,opt-out\n")
    assert result.exit_code == 1
    assert "The first line must name the columns" in result.stderr


def test_a_service_is_told_what_the_api_has_no_word_for(
    server: Server, call: Call, tmp_path: Path
) -> None:
    """Consent is required, words are its own until they are reset."""
    url = f"{server.account_url.partition('/2010-04-01')[0]}/v1/Services"
    made = ask("POST", url, {"FriendlyName": "Fair"}, auth=server.auth)
    assert made.status == 201, made.body
    sid = made.json["sid"]
    assert "only to those who opted in" in said(call("services", "set", sid, "--requires-consent"))
    assert f"{sid}   Fair" in said(call("services", "list"))
    file = tmp_path / "words.json"
    file.write_text(json.dumps([{"language": "de", "stop": ["Schluss"]}]), encoding="utf-8")
    assert "schluss" in said(call("services", "keywords", sid, "--file", str(file)))
    shown = json.loads(said(call("services", "keywords", sid, "--json")))
    assert shown[0]["stop"] == ["stop", "schluss"]
    said(call("services", "keywords", sid, "--reset"))
    assert said(call("services", "keywords", sid)) == "The usual words hold.\n"
