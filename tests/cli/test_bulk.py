"""`trunkline send --csv`: everybody in a file gets one text, whatever comes in between."""

import csv
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from signal import SIGINT
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.processes import Process, Server, ask, wait_until
from trunkline.cli import commands
from trunkline.cli.campaign import read_campaign
from trunkline.datadir import Credentials, write_credentials

Send = Callable[..., Result]

TEMPLATE = "Hi {{name}}, see you {{ when }}"
SECONDS = 60.0
RETRY_AFTER = 2
BUSY_SID = "SM" + "2" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a platform with a quick network, which all tests of this file share."""
    directory = tmp_path_factory.mktemp("platform")
    server = Server(directory / "data", delivery_delay_seconds=0.01)
    yield server
    server.process.close()


@pytest.fixture
def send(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Call `trunkline send` in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    before = ["--data-dir", str(server.data_dir), "send", "--csv", "contacts.csv"]
    return lambda *args, **given: CliRunner().invoke(commands, [*before, *args], **given)


def contacts(tmp_path: Path, text: str | bytes, name: str = "contacts.csv") -> Path:
    """Write a file of contacts."""
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def report(tmp_path: Path) -> list[dict[str, str]]:
    """Return the lines of the report."""
    with (tmp_path / "contacts.report.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def many(tmp_path: Path, series: int, *, count: int) -> list[str]:
    """Write a file of so many contacts and return their numbers."""
    numbers = [f"+1555{series:03}{n:04}" for n in range(count)]
    contacts(tmp_path, "to,name\n" + "".join(f"{to},n{to[-4:]}\n" for to in numbers))
    return numbers


def sent_to(server: Server, series: int) -> Counter[str]:
    """Return how many messages the account has for each of the numbers of a series."""
    counts: Counter[str] = Counter()
    url = f"{server.account_url}/Messages.json?PageSize=1000"
    while url:
        page = ask("GET", url, auth=server.auth).json
        counts.update(m["to"] for m in page["messages"] if m["to"].startswith(f"+1555{series:03}"))
        url = page["next_page_uri"] and server.base_url + page["next_page_uri"]
    return counts


def test_everybody_gets_a_text_of_his_own(server: Server, send: Send, tmp_path: Path) -> None:
    """Asked before; told afterwards what became of each; said again, it sends nothing more."""
    contacts(tmp_path, "name,phone,when\nAda,(555) 610-0001,today\nBo,+15556100002,at 5\n")
    assert send("--template", "Hello", input="n\n").exit_code == 1
    declined = send("--template", TEMPLATE, input="n\n")
    assert declined.exit_code == 1
    assert "2 texts, 2 segments, about $0.0160." in declined.stdout
    assert server.bodies("+15556100001") == []
    done = send("--template", TEMPLATE, input="y\n")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    assert server.bodies("+15556100001") == ["Hi Ada, see you today"]
    assert server.bodies("+15556100002") == ["Hi Bo, see you at 5"]
    lines = report(tmp_path)
    assert [line["status"] for line in lines] == ["delivered", "delivered"]
    assert [line["line"] for line in lines] == ["2", "3"]
    assert all(line["sid"].startswith("SM") and line["price"] for line in lines)
    again = send("--template", TEMPLATE)
    assert "Nothing is left to be sent." in again.stdout
    assert again.exit_code == 0
    assert report(tmp_path) == lines
    assert sent_to(server, 610).total() == 2
    journal = (tmp_path / "contacts.csv.sending").read_text()
    assert "1555" not in journal
    assert "Ada" not in journal


def test_lines_that_cannot_be_sent_are_told_before(
    server: Server, send: Send, tmp_path: Path
) -> None:
    """Numbers that are none, gaps, and who opted out; the others get their text."""
    server.say("STOP", phone="+15556200002")
    wait_until(lambda: server.bodies("+15556200002"), SECONDS, what="the answer to STOP")
    contacts(
        tmp_path,
        "to,name\n+15556200001,Ada\n+15556200002,Bo\n1.55562E+10,Cy\n\n+15556200004,\n"
        "+15556200005,Eve\n",
    )
    result = send("--template", "Hi {{name}}", "--yes")
    assert result.exit_code == 1
    assert "2 texts" in result.stdout
    assert "line 3: Attempt to send to unsubscribed recipient" in result.stderr
    assert "line 4: the number is none" in result.stderr
    assert "line 6: 'name' is empty" in result.stderr
    assert "3 lines cannot be sent." in result.stderr
    lines = {line["line"]: line for line in report(tmp_path)}
    statuses = {number: line["status"] for number, line in lines.items()}
    gone = {"3": "refused", "4": "invalid", "6": "invalid"}
    assert statuses == {"2": "delivered", **gone, "7": "delivered"}
    assert lines["3"]["error_code"] == "21610"
    answered = {"+15556200002": 1}
    assert sent_to(server, 620) == {"+15556200001": 1, "+15556200005": 1, **answered}


def test_a_message_that_fails_is_told(send: Send, tmp_path: Path) -> None:
    """With its error; the exit code says that not all is well."""
    contacts(tmp_path, "to\n+15555530003\n+15556300001\n")
    result = send("--template", "Hello", "--yes")
    assert result.exit_code == 1
    failed, good = report(tmp_path)
    assert (failed["status"], failed["error_code"]) == ("undelivered", "30003")
    assert good["status"] == "delivered"
    assert "1 undelivered, 1 delivered: contacts.report.csv" in result.stdout


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        (b"", "contacts.csv is empty"),
        (b"to,name\n", "a line of names and no contacts"),
        ("to,name\n+15556400001,Ada\n".encode("utf-16"), "UTF-16"),
        ("to,name\n+15556400001,Zo\xeb\n".encode("latin-1"), "Line 2 is not UTF-8"),
        (b"to,name\n+15556400001,A\0da\n", "NUL characters"),
        (b"to,who\n+15556400001,Ada\n", "The template asks for 'name'; the file has 'to', 'who'."),
        (b"telly,name\n+15556400001,Ada\n", "--to-column"),
        (b"to,name,name\n+15556400001,Ada,x\n", "names a column twice: 'name'"),
        (b"to,name\n+15556400001,Ada,x\n", "Line 2 has 3 columns; the first has 2."),
        (b'to,name\n+15556400001,"Ada\n', "Line 2 cannot be read"),
        (b"to,name\n+15556400001,A\n+15556400002,B\n(555) 640-0001,C\n", "in lines 2, 4"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_in_a_sentence(
    server: Server, send: Send, tmp_path: Path, content: bytes, trouble: str
) -> None:
    """Before anything is sent, and without leaving a journal."""
    contacts(tmp_path, content)
    result = send("--template", "Hi {{name}}", "--yes")
    assert result.exit_code == 1
    assert trouble in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert not (tmp_path / "contacts.csv.sending").exists()
    assert sent_to(server, 640).total() == 0


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffto,name\r\n+15556500001,Zoë\r\n",
        "to;name\n+15556500001;Zoë\n",
        "to\tname\n+15556500001\tZoë\n",
        "\n\r\n to ; name \n\n+15556500001;Zoë\n",
        "to,name,,\r\n+15556500001,Zoë,,\r\n",
        "to;name\r+15556500001;Zoë\r;,,,\r",
    ],
)
def test_files_of_spreadsheets_are_read(tmp_path: Path, content: str) -> None:
    """With marks, separators and ends of lines of every country; what is empty says nothing."""
    campaign = read_campaign(contacts(tmp_path, content), "Hi {{name}}", sender="x")
    assert [(row.recipient, row.body) for row in campaign.rows] == [("+15556500001", "Hi Zoë")]


def test_names_are_the_same_however_their_accents_are_written(tmp_path: Path) -> None:
    """In one character or in two; a line is called by its number, however many are before it."""
    content = 'te\u0301le\u0301phone,名前\n+15556500001,"太\n郎"\nnone,x\n'
    path = contacts(tmp_path, content)
    template = "{{ te\u0301le\u0301phone }} {{名前}}"
    campaign = read_campaign(path, template, sender="x", column="t\u00e9l\u00e9phone")
    assert [(r.line, r.body) for r in campaign.rows] == [(2, "+15556500001 太\n郎")]
    assert list(campaign.broken) == [4]


def test_numbers_may_repeat_where_that_is_meant(send: Send, server: Server, tmp_path: Path) -> None:
    """Each line is a text of its own then."""
    contacts(tmp_path, "mobile,when\n+15556600001,at 5\n+15556600001,at 6\n")
    given = ("--template", "See you {{when}}", "--yes", "--to-column", "mobile")
    assert "--allow-duplicates" in send(*given).stderr
    assert send(*given, "--allow-duplicates").exit_code == 0
    assert sorted(server.bodies("+15556600001")) == ["See you at 5", "See you at 6"]


def test_a_kill_in_the_middle_sends_nothing_twice(
    server: Server, send: Send, tmp_path: Path
) -> None:
    """Killed without a word, again and again; what it had begun it ends, once for everybody."""
    numbers = many(tmp_path, 670, count=240)
    given = ("--template", "Hi {{name}}", "--yes", "--no-wait")
    command = [sys.executable, "-m", "trunkline", "--data-dir", str(server.data_dir), "send"]
    journal = tmp_path / "contacts.csv.sending"
    for goal in (40, 120):
        process = Process([*command, "--csv", "contacts.csv", *given], tmp_path)
        try:
            wait_until(partial(has_taken, journal, goal), SECONDS, what=f"{goal} texts")
        finally:
            process.close()
    assert 0 < sent_to(server, 670).total() < len(numbers)
    result = send(*given)
    assert result.exit_code == 0, result.output
    assert sent_to(server, 670) == dict.fromkeys(numbers, 1)
    wait_until(lambda: server.bodies(numbers[-1]), SECONDS, what="the last text")
    assert all(server.bodies(number) == [f"Hi n{number[-4:]}"] for number in numbers[::24])


def has_taken(journal: Path, count: int) -> bool:
    """Tell whether a journal knows the SIDs of so many texts."""
    return journal.exists() and journal.read_text().count('"sid"') >= count


def test_what_was_not_written_down_any_more_is_asked_for_again(
    server: Server, send: Send, tmp_path: Path
) -> None:
    """Under the same key; so the platform answers with the same messages. Half a line is none."""
    many(tmp_path, 680, count=12)
    given = ("--template", "Hi {{name}}", "--yes", "--no-wait")
    assert send(*given).exit_code == 0
    before = {line["to"]: line["sid"] for line in report(tmp_path)}
    journal = tmp_path / "contacts.csv.sending"
    lines = journal.read_text().splitlines(keepends=True)
    lost = [line for line in lines if '"sid"' in line][-5:]
    journal.write_text("".join(line for line in lines if line not in lost) + lost[0][:20])
    assert send(*given).exit_code == 0
    assert {line["to"]: line["sid"] for line in report(tmp_path)} == before
    assert sent_to(server, 680).total() == 12


def test_ctrl_c_ends_it_in_order(server: Server, send: Send, tmp_path: Path) -> None:
    """With a report, a word on how to go on, and the exit code of a signal."""
    numbers = many(tmp_path, 690, count=240)
    given = ("--csv", "contacts.csv", "--template", "Hi {{name}}", "--yes", "--no-wait")
    command = [sys.executable, "-m", "trunkline", "--data-dir", str(server.data_dir), "send"]
    process = Process([*command, *given], tmp_path)
    try:
        journal = tmp_path / "contacts.csv.sending"
        wait_until(lambda: has_taken(journal, 20), SECONDS, what="20 texts")
        assert process.end(SIGINT, seconds=30) == 130
    finally:
        process.close()
    assert "Say the same again to go on with the rest." in process.stderr
    assert "Traceback" not in process.stderr
    told = Counter(line["status"] for line in report(tmp_path))
    assert told["not sent"] > 0
    assert told["not sent"] + sent_to(server, 690).total() == len(numbers)
    assert send(*given[2:]).exit_code == 0
    assert sent_to(server, 690) == dict.fromkeys(numbers, 1)


def test_a_journal_belongs_to_its_campaign(send: Send, tmp_path: Path) -> None:
    """Another text, another file or another sender is not mistaken for the rest of it."""
    path = contacts(tmp_path, "to,name\n+15557000001,Ada\n")
    assert send("--template", "Hi {{name}}", "--yes", "--no-wait").exit_code == 0
    other = send("--template", "Bye {{name}}", "--yes", "--no-wait")
    assert other.exit_code == 1
    assert "remove contacts.csv.sending, and all of it is sent anew" in other.stderr
    path.write_text("to,name\n+15557000001,Ada\n+15557000002,Bo\n")
    assert send("--template", "Hi {{name}}", "--yes").exit_code == 1
    (tmp_path / "contacts.csv.sending").write_text("[]\n[]\n")
    assert "is no journal" in send("--template", "Hi {{name}}", "--yes").stderr


def test_what_may_have_been_sent_long_ago_is_not_sent_again(
    server: Server, send: Send, tmp_path: Path
) -> None:
    """A day later the platform does not know the key any more, so the line is named instead."""
    contacts(tmp_path, "to,name\n+15557100001,Ada\n+15557100002,Bo\n")
    given = ("--template", "Hi {{name}}", "--yes")
    assert send(*given).exit_code == 0
    journal = tmp_path / "contacts.csv.sending"
    long_ago = (datetime.now(UTC) - timedelta(hours=25)).isoformat()
    head, *lines = journal.read_text().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["line"] == 2]
    journal.write_text(head + "".join(kept) + json.dumps({"line": 3, "tried_at": long_ago}) + "\n")
    result = send(*given)
    assert result.exit_code == 1
    assert "1 line was asked for more than a day ago" in result.stderr
    assert [line["status"] for line in report(tmp_path)] == ["delivered", "unknown"]
    assert sent_to(server, 710).total() == 2


def test_one_process_at_a_time(server: Server, send: Send, tmp_path: Path) -> None:
    """Two would send the rest of it twice as fast, and each report half."""
    many(tmp_path, 720, count=240)
    given = ("--csv", "contacts.csv", "--template", "Hi {{name}}", "--yes", "--no-wait")
    command = [sys.executable, "-m", "trunkline", "--data-dir", str(server.data_dir), "send"]
    process = Process([*command, *given], tmp_path)
    try:
        journal = tmp_path / "contacts.csv.sending"
        wait_until(lambda: has_taken(journal, 5), SECONDS, what="5 texts")
        second = send(*given[2:])
    finally:
        process.close()
    assert second.exit_code == 1
    assert "another process is sending this" in second.stderr


class Busy:
    """A platform that is busy at first, then loses an answer, and then takes everything."""

    def __init__(self, directory: Path) -> None:
        self.keys: list[str] = []
        self.asked_at: list[float] = []
        self.answers: list[int] = []
        self.code = 20429
        self.looks: list[int] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        write_credentials(
            directory,
            Credentials(
                account_sid="AC" + "0" * 32,
                auth_token="1" * 32,
                base_url=f"http://127.0.0.1:{self._server.server_port}",
                phone_number="+14155550100",
            ),
        )

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str, key: str) -> tuple[int, dict[str, Any]]:
        """Return what is answered, and note what was asked."""
        if path.endswith("/messages/check"):
            item = {"to": "x", "num_segments": 1, "price": "0.01", "error_code": None}
            return 200, {"items": [item]}
        with self._lock:
            self.keys.append(key)
            self.asked_at.append(time.monotonic())
            status = self.answers.pop(0)
        return status, {"sid": BUSY_SID, "code": self.code, "message": "Too Many Requests"}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        busy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                status, document = busy.answer(self.path, self.headers["Idempotency-Key"])
                if status == 0:  # It was taken, and nobody hears of it.
                    self.close_connection = True
                    return
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Retry-After", str(RETRY_AFTER))
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self) -> None:
                page = {"messages": [{"sid": BUSY_SID, "status": "delivered"}]}
                content = json.dumps(page).encode()
                self.send_response(busy.looks.pop(0) if busy.looks else 200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Stay silent."""

        return Handler


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Busy]:
    """Yield a busy platform."""
    (tmp_path / "busy").mkdir()
    busy = Busy(tmp_path / "busy")
    yield busy
    busy.close()


def test_it_waits_as_it_is_told_and_asks_again_under_the_same_key(
    busy: Busy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 429 and 503 with Retry-After, and after an answer that was lost."""
    monkeypatch.chdir(tmp_path)
    contacts(tmp_path, "to\n+15557300001\n")
    busy.answers = [429, 0, 503, 201]
    given = ["send", "--csv", "contacts.csv", "--template", "Hello", "--yes", "--no-wait"]
    result = CliRunner().invoke(commands, ["--data-dir", str(tmp_path / "busy"), *given])
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    assert len(busy.keys) == 4
    assert len(set(busy.keys)) == 1
    first, second, third, fourth = busy.asked_at
    assert min(second - first, fourth - third) >= RETRY_AFTER - 0.1
    assert report(tmp_path)[0]["sid"] == BUSY_SID


@pytest.mark.parametrize(("status", "code"), [(401, 20003), (429, 63038)])
def test_what_holds_for_all_texts_stops_it(
    busy: Busy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, status: int, code: int
) -> None:
    """Credentials that are void, and a trial's day that is over, are not tried a thousand times."""
    monkeypatch.chdir(tmp_path)
    many(tmp_path, 740, count=1)
    busy.answers, busy.code = [status], code
    given = ["send", "--csv", "contacts.csv", "--template", "Hello", "--yes"]
    result = CliRunner().invoke(commands, ["--data-dir", str(tmp_path / "busy"), *given])
    assert result.exit_code == 1
    assert f"Stopped: Too Many Requests (error {code})." in result.stderr
    assert report(tmp_path)[0]["status"] == "not sent"


@pytest.mark.parametrize(("wait", "status"), [("60", "delivered"), ("0", "taken")])
def test_texts_that_were_taken_are_reported_though_nobody_answers(
    busy: Busy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, wait: str, status: str
) -> None:
    """What became of them is asked again while there is time, and said to be unknown after that."""
    monkeypatch.chdir(tmp_path)
    many(tmp_path, 750, count=1)
    busy.answers, busy.looks = [201], [503]
    given = ["send", "--csv", "contacts.csv", "--template", "Hello", "--yes", "--wait", wait]
    result = CliRunner().invoke(commands, ["--data-dir", str(tmp_path / "busy"), *given])
    assert result.exit_code == 0, result.output
    assert report(tmp_path)[0]["status"] == status
    assert ("could not be asked" in result.stderr) == (status == "taken")
