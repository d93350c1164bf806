"""`trunkline doctor` on installations that are broken in one way each."""

import errno
import json
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection

from tests.postgres import ADMIN, Cluster, programs
from tests.processes import wait_until
from trunkline.cli import commands
from trunkline.datadir import Credentials, write_credentials
from trunkline.domain.account import Account
from trunkline.domain.ids import micros, render_sid
from trunkline.domain.message import Direction, Message, Status
from trunkline.ops.doctor.examine import examine
from trunkline.ops.doctor.finding import Finding, Installation, Verdict
from trunkline.store.callbacks import AttemptRow, CallbackRow, insert_attempts, insert_callbacks
from trunkline.store.messages import insert_messages
from trunkline.store.nodes import NodeRow, put_node
from trunkline.store.outbox import OutboxRow, insert_outbox
from trunkline.store.postgres_engine import open_engine, parse_address
from trunkline.store.records import ACCOUNTS, insert_record
from trunkline.store.schema import upgrade
from trunkline.store.server import open_server, server_facts, standbys
from trunkline.store.store import SqliteStore
from trunkline.store.vault import Vault, load_key
from trunkline.webhooks.answer import BLOCKED

NOW = datetime.now(UTC)
ACCOUNT = "AC" + "0" * 32


def sid(prefix: str, at: datetime, number: int = 0) -> str:
    return render_sid(prefix, micros(at), digits=f"{number:018x}")


def account(key: Path) -> Account:
    return Account(
        sid=ACCOUNT,
        account_sid=ACCOUNT,
        owner_sid=ACCOUNT,
        friendly_name="Main account",
        sealed_token=Vault(load_key(key)).seal("1" * 32),
        created_at=NOW,
        updated_at=NOW,
    )


def callback(number: int, *, due_at: datetime | None, created_at: datetime = NOW) -> CallbackRow:
    return CallbackRow(
        sid=sid("WH", created_at, number),
        account_sid=ACCOUNT,
        message_sid=sid("SM", created_at, number),
        kind="status",
        url="https://app.example.com/status",
        parameters={"MessageStatus": "sent"},
        token="t",
        due_at=due_at,
        created_at=created_at,
    )


def attempt(number: int, *, reason: str, host: str = "app.example.com") -> AttemptRow:
    return AttemptRow(
        sid=sid("WA", NOW - timedelta(minutes=1), number),
        callback_sid=sid("WH", NOW, number),
        account_sid=ACCOUNT,
        message_sid=sid("SM", NOW, number),
        kind="status",
        url=f"https://{host}/status",
        method="POST",
        label="sent",
        at=NOW - timedelta(minutes=1),
        duration_ms=3,
        http_status=500 if reason else 200,
        error_code=11200 if reason else None,
        reason=reason,
        head="",
    )


def message(at: datetime) -> Message:
    return Message(
        account_sid=ACCOUNT,
        sid=sid("SM", at),
        direction=Direction.OUTBOUND_API,
        status=Status.QUEUED,
        sender="+14155550100",
        recipient="+15558675310",
        body="hello",
        encoding="gsm7",
        num_segments=1,
        carrier="simulated",
        created_at=at,
        updated_at=at,
    )


class Patient:
    """An installation that was started once and is stopped now."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(mode=0o700)
        self.data_dir = data_dir
        self.store = SqliteStore(data_dir / "trunkline.db")
        upgrade(self.store.engine)
        with self.write() as db:
            insert_record(db, ACCOUNTS, account(data_dir / "secret.key"))

    def write(self):
        return self.store.engine.begin()

    def examined(self, **facts: Any) -> dict[str, Finding]:
        """Return what is found, by the name of the check."""
        it = Installation(data_dir=self.data_dir, now=lambda: NOW, local_url="http://127.0.0.1:1")
        return {each.check: each for each in examine(replace(it, **facts))}


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path / "data")


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(commands, ["doctor", *arguments], env=environment)


def test_an_installation_that_is_well_has_nothing_wrong(patient):
    """Nothing is wrong, and what is looked at is named."""
    found = patient.examined()
    assert [each for each in found.values() if each.verdict is Verdict.WRONG] == []
    names = {"database", "integrity", "schema", "secret key", "disk sync", "server", "queues"}
    assert names <= found.keys()
    assert "not running" in found["server"].found


def test_lines_name_verdict_check_and_advice_and_the_exit_code_says_it(patient, monkeypatch):
    """In a pipe each finding is a line; something wrong ends with 1, nothing wrong with 0."""
    monkeypatch.chdir(patient.data_dir.parent)
    monkeypatch.setenv("TRUNKLINE_PORT", "1")
    good = invoke("--data-dir", str(patient.data_dir))
    assert good.exit_code == 0, good.output
    assert "ok: integrity: no damage\n" in good.output
    (patient.data_dir / "secret.key").chmod(0o644)
    bad = invoke("--data-dir", str(patient.data_dir))
    assert bad.exit_code == 1
    line = next(line for line in bad.output.splitlines() if line.startswith("wrong: secret key"))
    assert "0644" in line
    assert "→ chmod 0600" in line


def test_json_is_one_document_of_findings(patient, monkeypatch):
    """A program reads the verdicts."""
    monkeypatch.chdir(patient.data_dir.parent)
    document = json.loads(invoke("--data-dir", str(patient.data_dir), "--json").stdout)
    assert {"check", "verdict", "found", "advice"} == set(document["findings"][0])


def test_without_a_data_directory_little_can_be_looked_at(tmp_path, monkeypatch):
    """A name that leads nowhere is wrong, and the rest is examined all the same."""
    monkeypatch.chdir(tmp_path)
    said = invoke("--data-dir", str(tmp_path / "none"))
    assert said.exit_code == 1
    assert "wrong: data directory" in said.output
    assert "ok: Python" in said.output


def test_every_unknown_setting_is_named_at_once(patient, monkeypatch):
    """Misspelt names in the file and in the environment, with what was meant."""
    monkeypatch.chdir(patient.data_dir.parent)
    Path("trunkline.toml").write_text('prot = 9000\nhosst = "::1"\n')
    said = invoke("--data-dir", str(patient.data_dir), TRUNKLINE_BASE_UL="http://x")
    assert said.exit_code == 1
    assert "hosst, prot" in said.output
    assert "Did you mean port instead of prot?" in said.output
    assert "Did you mean TRUNKLINE_BASE_URL instead of TRUNKLINE_BASE_UL?" in said.output
    assert said.output.count("wrong: settings") == 1


def test_a_file_of_settings_that_cannot_be_read_is_told_once(patient, monkeypatch):
    """A broken TOML file is one finding, and no traceback."""
    monkeypatch.chdir(patient.data_dir.parent)
    Path("trunkline.toml").write_text("port = \n")
    said = invoke("--data-dir", str(patient.data_dir))
    assert said.exit_code == 1
    assert said.output.count("is not a valid TOML file") == 1


def test_the_password_of_the_database_is_never_shown(patient, monkeypatch):
    """Not when it cannot be reached, and not when the URL makes no sense."""
    monkeypatch.chdir(patient.data_dir.parent)
    for url in ("postgresql://u:hunter2@127.0.0.1:1/x", "postgresql://u:hunter2@[::/x"):
        said = invoke("--data-dir", str(patient.data_dir), TRUNKLINE_DATABASE=url)
        assert said.exit_code == 1
        assert "wrong: database" in said.output
        assert "hunter2" not in said.output


def test_a_file_that_is_no_database_is_wrong(patient):
    """What was overwritten does not open."""
    patient.store.engine.dispose()
    (patient.data_dir / "trunkline.db").write_bytes(b"not a database" * 1000)
    found = patient.examined()["database"]
    assert found.verdict is Verdict.WRONG
    assert "not a database" in found.found


def test_damage_is_found(patient):
    """A page that was overwritten shows in the check of integrity."""
    patient.store.engine.dispose()
    path = patient.data_dir / "trunkline.db"
    with sqlite3.connect(path) as db:
        page, size = db.execute(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size)"
            " FROM sqlite_schema WHERE name = 'messages_in_status'"
        ).fetchone()
    db.close()
    octets = bytearray(path.read_bytes())
    octets[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(octets)
    assert patient.examined()["integrity"].verdict is Verdict.WRONG


def test_a_newer_schema_is_wrong_and_an_older_one_a_warning(patient):
    """Which is which follows from the versions that the program knows."""
    with patient.write() as db:
        db.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    assert patient.examined()["schema"].verdict is Verdict.WARNING
    with patient.write() as db:
        db.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert patient.examined()["schema"].verdict is Verdict.WRONG


def test_what_waits_for_a_carrier_that_is_gone_is_told(patient):
    """However short it has waited: nobody will ever send it."""
    with patient.write() as db:
        waiting = OutboxRow(
            account_sid=ACCOUNT,
            message_sid=sid("SM", NOW),
            lane="acme/0",
            flow="3aaaaaaaa",
            sender="+14155550100",
            recipient="+15558675310",
            segments=1,
            due_at=NOW,
            expires_at=NOW + timedelta(hours=1),
        )
        insert_outbox(db, [waiting])
    found = patient.examined()["queue of acme"]
    assert found.verdict is Verdict.WARNING
    assert "disabled or gone" in found.found


def test_a_key_of_another_database_is_wrong(patient):
    """Thirty-two other bytes open nothing; a missing file neither."""
    key = patient.data_dir / "secret.key"
    fitting = key.read_bytes()
    key.write_bytes(b"x" * 32)
    assert "is not the key" in patient.examined()["secret key"].found
    key.unlink()
    assert "is missing" in patient.examined()["secret key"].found
    other = patient.data_dir.parent / "elsewhere"
    other.write_bytes(fitting)
    found = patient.examined(secret_key=str(other))["secret key"]
    assert found.verdict is Verdict.OK
    assert patient.examined(secret_key="nothing")["secret key"].verdict is Verdict.WRONG


def test_a_clock_that_was_set_back_is_found(patient):
    """Messages from the future show that the clock was another then."""
    with patient.write() as db:
        insert_messages(db, [message(NOW + timedelta(hours=2))])
    found = patient.examined()["clock and history"]
    assert found.verdict is Verdict.WRONG
    assert "2:00:00" in found.found


def test_parked_and_overdue_webhooks_are_warnings(patient):
    """Both say how many or how long, and for whom."""
    with patient.write() as db:
        long_ago = NOW - timedelta(hours=3)
        rows = [callback(n, due_at=None) for n in range(3)]
        insert_callbacks(db, [*rows, callback(9, due_at=long_ago, created_at=long_ago)])
    found = patient.examined()
    assert "3, for app.example.com (3)" in found["parked webhooks"].found
    assert found["parked webhooks"].verdict is Verdict.WARNING
    assert "3 hours" in found["due webhooks"].found
    assert found["due webhooks"].verdict is Verdict.WARNING


def test_hosts_that_fail_or_are_blocked_are_named(patient):
    """A host with many failures is failing; one that the guard refused is blocked."""
    with patient.write() as db:
        insert_attempts(db, [attempt(n, reason="the answer's status is 500") for n in range(6)])
        insert_attempts(
            db,
            [attempt(n, reason="", host="good.example.com") for n in range(10, 30)]
            + [attempt(40, reason=BLOCKED.reason, host="10.0.0.1")],
        )
    found = patient.examined()
    assert "app.example.com (6)" in found["failing webhooks"].found
    assert "status is 500" in found["failing webhooks"].found
    assert "good.example.com" not in found["failing webhooks"].found
    assert "10.0.0.1" in found["blocked webhooks"].found


def test_nodes_that_are_silent_or_of_another_version_are_warnings(patient):
    """A node that was not heard of within its lease died, or is cut off."""
    with patient.write() as db:
        for number, (name, ago) in enumerate((("alive:8800", 1), ("dead:8800", 60))):
            node = NodeRow(
                sid=sid("ND", NOW, number),
                name=name,
                version="0.0.1",
                started_at=NOW - timedelta(days=1),
                seen_at=NOW - timedelta(seconds=ago),
                lease_seconds=10,
                carriers={"acme": micros(NOW)} if number == 1 else {},
            )
            put_node(db, node)
    found = patient.examined()
    assert "this program is version" in found["node alive:8800"].found
    assert "not heard of for 60 seconds" in found["node dead:8800"].found


def test_things_of_another_user_are_found(patient, monkeypatch):
    """What root left behind in the directory keeps the server from its own files."""
    real = Path.lstat

    def owned_by_another(path: Path) -> os.stat_result:
        facts = real(path)
        if path.name != "secret.key":
            return facts
        return os.stat_result([*facts[:4], facts.st_uid + 1, *facts[5:10]])

    monkeypatch.setattr(Path, "lstat", owned_by_another)
    found = patient.examined()["owners"]
    assert found.verdict is Verdict.WRONG
    assert "secret.key" in found.found


def test_a_directory_that_may_not_be_looked_into_is_found(patient, monkeypatch):
    """Of another user, or of mode 0: it is told, with what else can be seen from outside."""
    monkeypatch.chdir(patient.data_dir.parent)
    patient.store.engine.dispose()

    def forbidden(name: str) -> None:
        real = getattr(Path, name)

        def attempt(path: Path, *arguments: Any, **options: Any) -> Any:
            if patient.data_dir in path.parents:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return real(path, *arguments, **options)

        monkeypatch.setattr(Path, name, attempt)

    forbidden("stat")
    forbidden("open")
    monkeypatch.setattr(os, "access", lambda path, mode: path != patient.data_dir)
    said = invoke("--data-dir", str(patient.data_dir))
    assert said.exit_code == 1
    assert isinstance(said.exception, SystemExit), said.exception
    assert "wrong: data directory" in said.output
    assert "wrong: settings" in said.output
    assert "wrong: database: it cannot be used: [Errno 13] Permission denied" in said.output
    assert "→ Run this as the server's user." in said.output
    assert "ok: Python" in said.output


def test_a_directory_that_others_may_read_is_a_warning(patient):
    """Texts and numbers are in it."""
    patient.data_dir.chmod(0o755)
    assert patient.examined()["data directory"].verdict is Verdict.WARNING


def test_a_running_server_that_does_not_answer_is_wrong(patient):
    """The lock is held, and nobody is there to answer."""
    proc = patient.data_dir.parent / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "4711").mkdir()
    lock = patient.data_dir / "lock"
    lock.touch()
    (proc / "locks").write_text(
        f"1: FLOCK  ADVISORY  WRITE 4711 fe:00:{lock.stat().st_ino} 0 EOF\n"
    )
    (proc / "4711" / "limits").write_text("Max open files            1024       4096       files\n")
    found = patient.examined(proc=proc)
    assert "process 4711" in found["server"].found
    assert found["server"].verdict is Verdict.WRONG
    assert "the running server may open 1,024" in found["open files"].found
    assert found["open files"].verdict is Verdict.WARNING


def test_credentials_tell_where_the_server_is(patient, monkeypatch):
    """A port that was given as an option is known from what the server left."""
    monkeypatch.chdir(patient.data_dir.parent)
    left = Credentials(
        account_sid=ACCOUNT, auth_token="1" * 32, base_url="http://127.0.0.1:1", phone_number="+1"
    )
    write_credentials(patient.data_dir, left)
    assert "http://127.0.0.1:1 is free" in invoke("--data-dir", str(patient.data_dir)).output


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.close()


def test_postgresql_is_examined_as_an_ordinary_user(patient, cluster):
    """A server without fsync is wrong; version, latency, clocks and what waits are told."""
    cluster.create("doctor")
    url = cluster.url("doctor")
    found = patient.examined(database=url, now=lambda: datetime.now(UTC))
    assert found["database"].found.startswith("PostgreSQL ")
    assert found["durability"].verdict is Verdict.WRONG
    assert "fsync and full_page_writes" in found["durability"].found
    assert found["schema"].verdict is Verdict.WARNING
    assert found["clock and database"].verdict is Verdict.OK
    assert {"connections", "latency", "replication", "transactions"} <= found.keys()
    engine = open_engine(parse_address(url))
    upgrade(engine)
    with engine.connect() as db, db.begin():
        insert_record(db, ACCOUNTS, account(patient.data_dir / "secret.key"))
        insert_callbacks(db, [callback(1, due_at=None)])
        insert_attempts(db, [attempt(n, reason="the answer's status is 500") for n in range(6)])
    engine.dispose()
    found = patient.examined(database=url)
    assert found["schema"].verdict is Verdict.OK
    assert found["secret key"].verdict is Verdict.OK
    assert "1, for app.example.com" in found["parked webhooks"].found
    assert "app.example.com (6)" in found["failing webhooks"].found
    assert found["table outbox"].verdict is Verdict.OK


def told(cluster: Cluster, ask: Callable[[Connection], Any]) -> Any:
    """Return what a server tells an ordinary user now; a transaction sees one moment only."""
    engine = open_server(cluster.url("postgres"))
    with engine.connect() as db:
        found = ask(db)
    engine.dispose()
    return found


def test_connections_of_other_users_are_counted(cluster):
    """They take from the same limit; what kind they are is hidden from ordinary users."""
    before = told(cluster, server_facts).connections
    assert before >= 2  # Ours, and the one that the cluster is ruled by.
    place = {"host": str(cluster.directory), "port": cluster.port, "user": ADMIN}
    with psycopg.connect(**place), psycopg.connect(**place):
        assert told(cluster, server_facts).connections >= before + 2


def test_a_standby_is_seen_by_an_ordinary_user(tmp_path):
    """Its name alone: whether commits wait for it is hidden, and so it is not claimed."""
    cluster = Cluster(durable=True)
    command = [str(programs() / "pg_receivewal"), f"--host={cluster.directory}", "--no-loop"]
    options = [f"--port={cluster.port}", f"--username={ADMIN}", f"--directory={tmp_path}"]
    follower = subprocess.Popen([*command, *options])
    (found,) = wait_until(lambda: told(cluster, standbys))
    assert (found.name, found.state, found.is_synchronous) == ("pg_receivewal", "", None)
    follower.terminate()
    follower.wait()
    cluster.close()


def test_a_postgresql_that_is_away_is_wrong(patient):
    """One finding with the reason, and all the other checks."""
    found = patient.examined(database="postgresql://trunkline@127.0.0.1:1/x")
    assert found["database"].verdict is Verdict.WRONG
    assert "refused" in found["database"].found
    assert "clock steps" in found
