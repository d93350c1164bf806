"""`trunkline up` as its users see it: starting, stopping, and saying why it cannot start."""

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

import pytest
from sqlalchemy import text

from tests.databases import DATABASES
from tests.processes import (
    PHONE,
    PROGRAM,
    READY,
    TRUNKLINES,
    Process,
    Server,
    environment,
    receiving,
    running,
    up,
    wait_until,
)

SECONDS = 60


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as server:
        yield server


def complaint(
    arguments: list[str], directory: Path, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Return the exit code and the sentence of a start that must fail."""
    process = Process(arguments[len(PROGRAM) :], directory / "said", env=env, nursery=TRUNKLINES)
    try:
        code = process.popen.wait(SECONDS)
    finally:
        process.close()
    assert process.stdout == ""
    lines = process.stderr.splitlines()
    assert len(lines) == 1, process.stderr
    assert re.fullmatch(r"Error: .+\.", lines[0]), process.stderr
    return code, lines[0]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory with everything that a server leaves there."""
    directory = tmp_path_factory.mktemp("used")
    process = Process(up(directory / "data"), directory)
    try:
        process.wait_for(READY)
        assert process.end() == 0, process.stderr
    finally:
        process.close()
    return directory / "data"


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_a_signal_ends_it_in_time(server: Server, number: Signals) -> None:
    """Also with connections that are idle, half-way through a request, or watching events."""
    there = ("127.0.0.1", int(server.base_url.rpartition(":")[2]))
    host = f"Host: 127.0.0.1:{there[1]}\r\n\r\n".encode()
    with (
        socket.create_connection(there, timeout=SECONDS) as idle,
        socket.create_connection(there) as half,
        socket.create_connection(there, timeout=SECONDS) as watching,
    ):
        idle.sendall(b"GET /health HTTP/1.1\r\n" + host)
        assert b" 200 " in idle.recv(4096)
        half.sendall(b"POST /2010-04-01/Accounts.json HTTP/1.1\r\nContent-Length: 9\r\n" + host)
        watching.sendall(b"GET /console/events HTTP/1.1\r\n" + host)
        assert b" 200 " in watching.recv(4096)
        assert server.process.end(number) == 0
    assert server.process.stderr == ""


def test_it_does_not_wait_for_a_webhook(server: Server) -> None:
    """A receiver that never answers does not hold up the end."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent, server.client() as client:
        silent.settimeout(SECONDS)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        client.messages.create(to=PHONE, from_=server.number, body="x", status_callback=url)
        asking, _ = silent.accept()
        with asking:
            assert server.process.end() == 0
    assert "Traceback" not in server.process.stderr


def test_the_printed_program_sends_a_message(server: Server) -> None:
    """What is printed at the first start runs as it stands."""
    printed = server.process.stdout
    program = printed[printed.index("from twilio") : printed.index("\nThe credentials again")]
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert re.fullmatch(r"SM[0-9a-f]{32} queued\n", ran.stdout)
    wait_until(lambda: server.bodies() == ["Hello from Trunkline"])


def test_it_says_where_it_is_and_nothing_secret_the_second_time(server: Server) -> None:
    """The address is printed at every start, the token only at the first."""
    first = server.process.stdout
    assert server.base_url in first
    assert server.auth_token in first
    assert server.process.end() == 0
    server.start()
    second = server.process.stdout
    assert server.base_url in second
    assert f"{server.base_url}/console" in second
    assert server.auth_token not in second
    assert server.account_sid in second


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """Whoever reads it learns which port, and what to do."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        code, text = complaint(up(tmp_path / "data", port=port), tmp_path)
    assert code == 1
    assert f"Port {port} " in text
    assert "--port" in text


@pytest.mark.parametrize("host", ["nobody.invalid", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_named(tmp_path: Path, host: str) -> None:
    """A name that nobody knows, or an address of another machine."""
    code, text = complaint(up(tmp_path / "data", host=host), tmp_path)
    assert (code, host in text) == (1, True)


def file_in_the_way(directory: Path) -> Path:
    (directory / "file").write_text("x")
    return directory / "file" / "data"


def file_itself(directory: Path) -> Path:
    (directory / "file").write_text("x")
    return directory / "file"


def nowhere(_: Path) -> Path:
    return Path("/proc/trunkline")


def too_long(directory: Path) -> Path:
    return directory / ("x" * 300)


@pytest.mark.parametrize("place", [file_in_the_way, file_itself, nowhere, too_long])
def test_a_directory_that_cannot_be_written_is_named(
    tmp_path: Path, place: Callable[[Path], Path]
) -> None:
    """A file in the way, a place where nothing can be made, a name that is too long."""
    data_dir = place(tmp_path)
    code, text = complaint(up(data_dir), tmp_path)
    assert (code > 0, str(data_dir) in text) == (True, True)


def newer_database(data_dir: Path) -> None:
    with DATABASES.connected(data_dir) as db:
        db.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        db.execute(text("UPDATE compatibility SET oldest = '9999'"))


def foreign_database(data_dir: Path) -> None:
    for path in data_dir.glob("trunkline.db*"):
        path.unlink()
    (data_dir / "trunkline.db").write_bytes(b"this is no database" * 1000)


def database_is_a_directory(data_dir: Path) -> None:
    for path in data_dir.glob("trunkline.db*"):
        path.unlink()
    (data_dir / "trunkline.db").mkdir()


def key_is_lost(data_dir: Path) -> None:
    (data_dir / "secret.key").unlink()


def key_is_damaged(data_dir: Path) -> None:
    (data_dir / "secret.key").write_bytes(b"short")


def key_is_anothers(data_dir: Path) -> None:
    (data_dir / "secret.key").write_bytes(b"k" * 32)


def credentials_are_a_directory(data_dir: Path) -> None:
    (data_dir / "credentials.json").unlink()
    (data_dir / "credentials.json").mkdir()


def settings_are_garbage(data_dir: Path) -> None:
    (data_dir / "trunkline.toml").write_text("port = = 7")


@pytest.mark.parametrize(
    ("spoil", "code", "word"),
    [
        (newer_database, 1, "newer"),
        pytest.param(foreign_database, 1, "database", marks=pytest.mark.sqlite),
        pytest.param(database_is_a_directory, 1, "database", marks=pytest.mark.sqlite),
        (key_is_lost, 1, "secret.key"),
        (key_is_damaged, 1, "secret.key"),
        (key_is_anothers, 1, "secret.key"),
        (credentials_are_a_directory, 1, "credentials.json"),
        (settings_are_garbage, 2, "trunkline.toml"),
    ],
)
def test_a_spoilt_data_directory_is_explained(
    tmp_path: Path, used: Path, spoil: Callable[[Path], None], code: int, word: str
) -> None:
    """What is wrong is said in one sentence, and nothing of what is there is overwritten."""
    data_dir = DATABASES.copy(used, tmp_path / "data")
    spoil(data_dir)
    before = {p.name: p.read_bytes() for p in data_dir.iterdir() if p.is_file()}
    before.pop("node", None)  # Who was here last; each start leaves its own name.
    found, text = complaint(up(data_dir), tmp_path)
    assert (found, word in text) == (code, True), text
    after = {name: (data_dir / name).read_bytes() for name in before}
    assert after == before


def test_a_second_process_on_the_same_directory_is_refused(server: Server) -> None:
    """The first one goes on undisturbed."""
    code, text = complaint(up(server.data_dir), server.data_dir.parent)
    assert (code, str(server.data_dir) in text) == (1, True)
    with server.client() as client:
        assert client.api.v2010.account.fetch().sid == server.account_sid


@pytest.mark.sqlite  # Elsewhere what people write is not in files of ours.
def test_what_people_write_is_for_the_owner_alone(tmp_path: Path) -> None:
    """No other user of the machine reads the database, in a directory that he may enter, too."""
    (tmp_path / "data").mkdir(mode=0o755)
    with running(tmp_path) as server, server.client() as client:
        client.messages.create(to=PHONE, from_=server.number, body="a secret")
        files = [path for path in server.data_dir.rglob("*") if path.is_file()]
        assert "trunkline.db-wal" in {path.name for path in files}
        assert [path.name for path in files if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize(
    ("setting", "value"), [("port", "seventy"), ("odds", "deliver=2"), ("base_url", "ftp://x")]
)
def test_a_setting_that_makes_no_sense_is_named(tmp_path: Path, setting: str, value: str) -> None:
    """The sentence names the setting and its option, and nothing is made."""
    code, text = complaint(up(tmp_path / "data", **{setting: value}), tmp_path)
    assert (code, f"{setting} is " in text) == (2, True), text
    assert f"--{setting.replace('_', '-')}" in text
    assert not (tmp_path / "data").exists()


def test_a_variable_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    """The sentence names the variable of the environment."""
    env = {"TRUNKLINE_FIRST_NUMBER": "12"}
    code, text = complaint(up(tmp_path / "data"), tmp_path, env)
    assert (code, "TRUNKLINE_FIRST_NUMBER" in text) == (2, True), text


def test_a_failed_statement_is_logged_without_what_it_held(server: Server) -> None:
    """A database that breaks under way gives a traceback in the log, but no texts and numbers."""
    with DATABASES.connected(server.data_dir) as db:
        db.execute(text("ALTER TABLE messages RENAME TO elsewhere"))
    with receiving() as receiver, server.client() as client:
        with pytest.raises(Exception, match="internal server error"):
            client.messages.create(
                to=PHONE, from_=server.number, body="a secret", status_callback=receiver.url()
            )
        assert receiver.seen == []
    log = server.process.stderr
    assert "Traceback" in log
    assert [word for word in ("a secret", PHONE, server.number) if word in log] == []
