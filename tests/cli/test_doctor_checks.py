"""The single checks of `trunkline doctor`, on what cannot be made to happen here."""

import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from trunkline.ops.doctor import certificates, database, directory, machine, reach, traffic
from trunkline.ops.doctor.finding import Finding, Verdict
from trunkline.ops.doctor.web import Reply, ask
from trunkline.store.condition import open_file, quick_check
from trunkline.store.depths import Queue
from trunkline.store.schema import upgrade
from trunkline.store.server import DeadRows, ServerFacts, Standby
from trunkline.store.store import SqliteStore

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OK, WARNING, WRONG = Verdict.OK, Verdict.WARNING, Verdict.WRONG

SERVER = ServerFacts(
    version="16.4",
    version_number=160_004,
    synchronous_commit="on",
    syncs=True,
    writes_full_pages=True,
    waits_for_standby=False,
    connections_max=97,
    connections=12,
    is_standby=False,
    encoding="UTF8",
    collation="C.UTF-8",
    oldest_transaction_seconds=0.1,
)


@pytest.mark.parametrize(
    ("change", "check", "verdict"),
    [
        ({}, database.server, OK),
        ({"version_number": 130_000}, database.server, WRONG),
        ({"encoding": "SQL_ASCII"}, database.server, WRONG),
        ({"is_standby": True}, database.server, WRONG),
        ({}, database.durability, OK),
        ({"syncs": False}, database.durability, WRONG),
        ({"writes_full_pages": False}, database.durability, WRONG),
        ({"synchronous_commit": "off"}, database.durability, WARNING),
        ({}, database.connections, OK),
        ({"connections": 90}, database.connections, WARNING),
        ({}, database.transactions, OK),
        ({"oldest_transaction_seconds": 4000.0}, database.transactions, WARNING),
    ],
)
def test_facts_of_a_server_are_judged(change, check, verdict):
    """Each fact that matters has a value that is not good."""
    assert check(replace(SERVER, **change)).verdict is verdict


STANDBY = Standby(
    name="b", state="streaming", is_synchronous=True, behind_bytes=0, behind_seconds=0.0
)


@pytest.mark.parametrize(
    ("standbys", "verdict"),
    [
        ([STANDBY], OK),
        ([STANDBY, replace(STANDBY, name="c", behind_bytes=10**9)], WARNING),
        ([replace(STANDBY, behind_seconds=60.0)], WARNING),
        ([replace(STANDBY, behind_bytes=None, behind_seconds=None)], OK),
    ],
)
def test_standbys_are_judged_by_how_far_behind_they_are(standbys, verdict):
    """One that is far behind, or none that a commit waits for, would lose what was promised."""
    assert database.replication(standbys, is_waited_for=True).verdict is verdict


@pytest.mark.parametrize("standbys", [[], [replace(STANDBY, is_synchronous=False)]])
@pytest.mark.parametrize("is_waited_for", [True, False])
def test_commits_that_wait_for_nobody_are_wrong(standbys, is_waited_for):
    """Each of them hangs, and what the server waits for is named; not waiting is a choice."""
    found = database.replication(standbys, is_waited_for=is_waited_for)
    without = WARNING if standbys else OK
    assert found.verdict is (WRONG if is_waited_for else without)
    assert ("commits wait for what synchronous_standby_names" in found.found) == is_waited_for


HIDDEN = Standby(name="b", state="", is_synchronous=None, behind_bytes=None, behind_seconds=None)


@pytest.mark.parametrize(("is_waited_for", "verdict"), [(True, OK), (False, WARNING)])
def test_a_hidden_standby_is_judged_by_what_commits_wait_for(is_waited_for, verdict):
    """An ordinary user sees its name and no more; that it is asynchronous is not claimed."""
    found = database.replication([HIDDEN], is_waited_for=is_waited_for)
    assert found.verdict is verdict
    assert "b (hidden)" in found.found
    assert "asynchronous" not in found.found


def test_a_queue_full_of_dead_rows_is_a_warning():
    """Few dead rows are nothing, whatever their share."""
    rows = DeadRows(table="outbox", live=10, dead=50_000, bytes=10**7)
    assert database.sweeping(rows).verdict is OK
    assert database.sweeping(replace(rows, dead=5_000_000)).verdict is WARNING


def test_a_check_that_takes_too_long_is_given_up(tmp_path):
    """A large file is read as far as there is time; that it is whole is not claimed then."""
    path = tmp_path / "trunkline.db"
    store = SqliteStore(path)
    upgrade(store.engine)
    with store.engine.begin() as db:
        db.exec_driver_sql("CREATE TABLE large (number INTEGER PRIMARY KEY, text TEXT)")
        db.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
            " INSERT INTO large SELECT i, hex(randomblob(20)) FROM n"
        )
    with open_file(path).connect() as db:
        assert quick_check(db, seconds=-1) is None
        assert quick_check(db) == []
        found = database.sqlite_whole(db, seconds=-1)
    assert found.verdict is OK
    assert "could be read" in found.found


def test_a_journal_that_is_long_or_of_another_kind_is_told(tmp_path, monkeypatch):
    """Somebody reads without an end, or the file comes from a backup."""
    path = tmp_path / "trunkline.db"
    upgrade(SqliteStore(path).engine)
    monkeypatch.setattr(database, "LOG_BYTES_MOST", -1)
    with open_file(path).connect() as db:
        assert _journal(db, path).verdict is WARNING
    plain = tmp_path / "plain.db"
    with open_file(_plain_file(plain)).connect() as db:
        assert "mode is delete" in _journal(db, plain).found


def _plain_file(path: Path) -> Path:
    path.touch()
    return path


def _journal(db, path: Path) -> Finding:
    return next(each for each in database.sqlite_file(db, path) if each.check == "journal")


def test_an_old_python_is_wrong():
    """What is too old is named."""
    assert machine.python_version((3, 10, 9)).verdict is WRONG
    assert machine.python_version().verdict is OK


def test_packages_that_are_missing_or_old_are_named(monkeypatch):
    """Every one of them, not the first."""
    needed = ["rich>=999", "no-such-package-of-ours>=1", 'pytest>=999; extra == "dev"']
    monkeypatch.setattr(metadata, "requires", lambda _: needed)
    found = machine.packages()
    assert found.verdict is WRONG
    assert "no-such-package-of-ours is missing" in found.found
    assert "is older than 999" in found.found
    assert "pytest" not in found.found


def test_a_program_that_is_not_installed_cannot_be_judged():
    """Running from a bare folder is no fault."""
    assert machine.packages("no-such-package-of-ours").verdict is WARNING


@pytest.mark.parametrize(("state", "verdict"), [(0, OK), (5, WARNING), (-1, OK)])
def test_the_kernel_says_whether_the_clock_is_kept(state, verdict):
    """Where it may not be asked, nothing is claimed."""
    assert machine.clock_synchronised(lambda: state).verdict is verdict


@pytest.mark.parametrize("step", [-3600, 2])
def test_a_clock_that_is_set_meanwhile_is_found(step):
    """Forward or back; the monotonic clock tells."""
    times = iter((NOW, NOW + timedelta(seconds=5 + step)))
    monotonic = iter((100.0, 105.0))
    check = machine.clock_steady(lambda: next(times), lambda: next(monotonic))
    found = check()
    assert found.verdict is WRONG
    assert f"{step:+.1f}" in found.found


def test_a_clock_that_runs_is_fine():
    """Five seconds of one are five seconds of the other."""
    times, monotonic = iter((NOW, NOW + timedelta(seconds=5))), iter((100.0, 105.0))
    assert machine.clock_steady(lambda: next(times), lambda: next(monotonic))().verdict is OK


def test_clocks_that_differ_are_wrong():
    """A second is more than a network needs."""
    assert machine.clock_against("the database", 0.02).verdict is OK
    assert machine.clock_against("the database", -4).verdict is WRONG


MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:40 / /srv rw - nfs4 server:/srv rw
24 23 8:2 / /srv/with\\040blank rw - xfs /dev/sdb rw
25 22 0:41 / /tmpfs rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "holds_sqlite", "verdict"),
    [
        ("/var/lib/x", True, OK),
        ("/srv/x", True, WRONG),
        ("/srv/x", False, OK),
        ("/srv/with blank/x", True, OK),
        ("/srvx", True, OK),
        ("/tmpfs/x", True, WARNING),
    ],
)
def test_file_systems_are_judged_by_where_the_directory_is(tmp_path, path, holds_sqlite, verdict):
    """The innermost mount counts; SQLite must not be on a network."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "mountinfo").write_text(MOUNTS)
    found = directory.file_system(Path(path), holds_sqlite=holds_sqlite, proc=tmp_path)
    assert found.verdict is verdict, found


def test_less_room_than_the_reserve_is_wrong(tmp_path):
    """New messages are refused then."""
    assert directory.free_space(tmp_path, reserve=10**18).verdict is WRONG


@pytest.mark.parametrize(("seconds", "verdict"), [(1e-6, WARNING), (1e-3, OK), (0.05, WARNING)])
def test_a_disk_is_judged_by_how_long_it_takes(tmp_path, seconds, verdict):
    """Too quick is no disk, too slow is no pleasure."""
    ticks = iter(range(10**6))
    found = directory.disk_sync(tmp_path, flush=lambda _: None, clock=lambda: next(ticks) * seconds)
    assert found.verdict is verdict


def test_a_disk_that_fails_is_wrong(tmp_path):
    """What fsync raises is said."""

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    found = directory.disk_sync(tmp_path, flush=fail)
    assert found.verdict is WRONG
    assert "Input/output error" in found.found
    assert list(tmp_path.iterdir()) == []


def certificate(path: Path, *, ends: datetime, begins: datetime | None = None) -> tuple[Path, Path]:
    """Write a certificate and its key, and return where."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(begins or NOW - timedelta(days=400))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = path / "cert.pem", path / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


@pytest.mark.parametrize(
    ("days", "verdict"), [(-1, WRONG), (20, WARNING), (22, OK)], ids=["ended", "soon", "good"]
)
def test_certificates_are_judged_by_their_end(tmp_path, days, verdict):
    """Three weeks before it the warnings begin."""
    cert, key = certificate(tmp_path, ends=NOW + timedelta(days=days))
    assert certificates.certificate_file("c", cert, key=key, now=NOW).verdict is verdict
    settings = {"acme": {"tls_cert": cert.read_text()}}
    (found,) = certificates.carrier_certificates(settings, now=NOW)
    assert found.verdict is verdict
    assert found.check == "tls_cert of acme"


def test_a_certificate_of_the_future_is_wrong(tmp_path):
    """A clock that is behind looks like that, too."""
    ends, begins = NOW + timedelta(days=300), NOW + timedelta(days=1)
    cert, _ = certificate(tmp_path, ends=ends, begins=begins)
    assert certificates.certificate_file("c", cert, key=None, now=NOW).verdict is WRONG


def test_a_key_of_another_certificate_is_wrong(tmp_path):
    """They must belong together; a file must be there and hold one."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    cert, _ = certificate(one, ends=NOW + timedelta(days=300))
    _, key = certificate(other, ends=NOW + timedelta(days=300))
    assert certificates.certificate_file("c", cert, key=key, now=NOW).verdict is WRONG
    assert certificates.certificate_file("c", one / "none", key=None, now=NOW).verdict is WRONG
    assert certificates.certificate_file("c", key, key=None, now=NOW).verdict is WRONG


ANSWERS: dict[str, tuple[int, object]] = {
    "/health/live": (200, {"status": "ok"}),
    "/health/ready": (503, {"checks": [{"name": "disk", "state": "low", "ms": 0.1}]}),
}


class Answering(BaseHTTPRequestHandler):
    """Answers from the table."""

    def do_GET(self) -> None:
        status, document = ANSWERS.get(self.path, (404, {}))
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_server_that_is_not_ready_says_why(server):
    """The names of its own checks are told."""
    url = f"http://127.0.0.1:{server.server_port}"
    found = reach.judge_server(ask(url + reach.READY_PATH), url, process=4711)
    assert found.verdict is WRONG
    assert "disk (low)" in found.found
    assert reach.base_url_reached(url).verdict is OK
    assert reach.base_url_reached(url + "/elsewhere").verdict is WARNING


def test_a_certificate_that_nobody_trusts_is_told(server, tmp_path):
    """An https base_url is judged as strangers see it."""
    cert, key = certificate(tmp_path, ends=NOW + timedelta(days=300))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://127.0.0.1:{server.server_port}"
    assert "not trusted" in ask(url).trouble
    assert certificates.certificate_of_url(url, now=NOW).verdict is WARNING


@pytest.mark.parametrize(
    ("reply", "process", "verdict"),
    [
        (Reply(trouble="nothing listens there", is_refused=True), None, OK),
        (Reply(trouble="nothing listens there", is_refused=True), 7, WRONG),
        (Reply(trouble="no answer within 5 seconds"), 7, WRONG),
        (Reply(status=404, body=b"<html>"), None, WRONG),
        (Reply(status=200, body=b"It works!"), None, WRONG),
        (Reply(status=200, body=b'{"status": "ok", "checks": []}'), 7, OK),
    ],
)
def test_who_answers_at_the_port_is_told_apart(reply, process, verdict):
    """Nobody, ourselves, or somebody else."""
    assert reach.judge_server(reply, "http://x", process=process).verdict is verdict


REPORT = traffic.CarrierReport(name="acme", type="smpp", state="enabled", connections=2, bound=2)


@pytest.mark.parametrize(
    ("report", "verdict"),
    [
        (REPORT, OK),
        (traffic.CarrierReport("acme", "smpp", "disabled", 0, 0), OK),
        (traffic.CarrierReport("acme", "smpp", "enabled", 2, 1), WARNING),
        (traffic.CarrierReport("acme", "smpp", "enabled", 2, 0, NOW), WRONG),
    ],
)
def test_carriers_are_judged_by_their_connections(report, verdict):
    """Down is wrong, in part is a warning, disabled is as somebody wants it."""
    assert traffic.carrier(report, NOW).verdict is verdict


def test_a_carrier_that_is_down_says_since_when_and_why():
    """The last error of its connections stands beside it."""
    binds = [{"last_error": None}, {"last_error": "the SMSC refused the password"}]
    document = {"name": "acme", "type": "smpp", "state": "enabled", "connections": 2, "bound": 0}
    document |= {"down_since": "2026-11-20T11:00:00Z", "binds": binds, "created_at": "x"}
    report = traffic.parse_carrier(Reply(status=200, body=json.dumps(document).encode()))
    assert report is not None
    found = traffic.carrier(report, NOW)
    assert "down since 2026-11-20 11:00:00 UTC (60 minutes)" in found.found
    assert "refused the password" in found.found
    body = json.dumps({"carriers": [document]}).encode()
    assert traffic.parse_carriers(Reply(body=body)) == [report]
    assert traffic.parse_carriers(Reply(body=b"{}")) == []
    assert traffic.parse_carrier(Reply(body=b"[]")) is None


def test_a_queue_is_judged_by_its_oldest_message():
    """A long queue that moves is fine."""
    young = Queue(1_000_000, NOW - timedelta(seconds=30))
    old = Queue(1, NOW - timedelta(hours=5))
    assert traffic.queue("acme", young, now=NOW).verdict is OK
    found = traffic.queue("acme", old, now=NOW)
    assert found.verdict is WARNING
    assert "5 hours" in found.found
    found = traffic.queue("acme", young, now=NOW, is_open=False)
    assert found.verdict is WARNING
    assert "no other route" in found.found
