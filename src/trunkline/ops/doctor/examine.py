"""All checks of an installation, in the order in which their trouble explains one another."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from trunkline import __version__
from trunkline.domain.account import Account
from trunkline.domain.carrier import CarrierAccount, CarrierState
from trunkline.ops.doctor import (
    certificates,
    database,
    directory,
    machine,
    reach,
    traffic,
)
from trunkline.ops.doctor.finding import Finding, Installation, Verdict, doubtful, fine, wrong
from trunkline.ops.doctor.web import ask
from trunkline.store.condition import (
    host_records,
    open_file,
    parked,
)
from trunkline.store.depths import measure_depths
from trunkline.store.nodes import all_nodes
from trunkline.store.records import ACCOUNTS, CARRIERS, MAIN, all_records, find_unique
from trunkline.store.schema import current_version
from trunkline.store.server import open_server, round_trips

ACCOUNTS_MAX = 200  # Whose webhooks are looked at; the oldest accounts.
CARRIERS_MAX = 1000
RECENTLY = timedelta(hours=1)
_CARRIERS_PATH = "/trunkline/v1/carriers"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contents:
    """What the database holds that other checks go by."""

    account: Account | None = None
    carriers: tuple[CarrierAccount, ...] = ()


def examine(it: Installation) -> Iterator[Finding]:
    """Yield what each check finds; slow ones take a few seconds each."""
    clock_steady = machine.clock_steady(it.now)
    process = machine.owner_of_lock(it.data_dir / "lock", proc=it.proc)
    yield machine.python_version()
    yield machine.packages()
    yield machine.open_files(process, proc=it.proc)
    yield machine.clock_synchronised()
    yield from _directory(it)
    contents = _Contents()
    for found in _database(it):
        if isinstance(found, _Contents):
            contents = found
        else:
            yield found
    reply = ask(it.local_url + reach.READY_PATH)
    yield reach.judge_server(reply, it.local_url, process=process)
    if reach.is_ours(reply):
        if it.base_url:
            yield reach.base_url_reached(it.base_url)
        yield from _carriers(it)
    yield from _certificates(it, contents)
    yield clock_steady()


def _directory(it: Installation) -> Iterator[Finding]:
    found = directory.directory(it.data_dir)
    yield found
    if found.verdict is Verdict.WRONG:
        return
    yield directory.owners(it.data_dir)
    yield directory.file_system(it.data_dir, holds_sqlite=not it.database, proc=it.proc)
    yield directory.free_space(it.data_dir, reserve=it.disk_reserve)
    yield directory.disk_sync(it.data_dir)


def _database(it: Installation) -> Iterator[Finding | _Contents]:
    """Yield findings, and at the end what is needed of the contents."""
    try:
        if not it.database and not it.database_file.exists():
            yield fine("database", f"{it.database_file} is not there yet; the first start makes it")
            return
        with _opened_engine(it) as engine, engine.connect() as db, db.begin():
            yield from _opened(it, db)
    except (SQLAlchemyError, OSError, ValueError) as error:
        yield wrong(
            "database",
            f"it cannot be used: {_reason(error)}",
            advice="Run this as the server's user."
            if isinstance(error, PermissionError)
            else "Is the server reachable, the password right, the file whole?",
        )


@contextmanager
def _opened_engine(it: Installation) -> Iterator[Engine]:
    engine = open_server(it.database) if it.database else open_file(it.database_file)
    try:
        yield engine
    finally:
        engine.dispose()


def _opened(it: Installation, db: Connection) -> Iterator[Finding | _Contents]:
    if it.database:
        trips = round_trips(db, it.now)
        yield from database.postgres(db)
        yield database.latency(trips.seconds)
        yield machine.clock_against("the database", trips.clock_seconds)
    else:
        yield from database.sqlite_file(db, it.database_file)
        yield database.sqlite_whole(db)
    yield database.schema(db)
    if current_version(db) is None:
        return
    yield database.newest_row(db, it.now())
    contents = _Contents(
        account=find_unique(db, ACCOUNTS, MAIN),
        carriers=tuple(all_records(db, CARRIERS, limit=CARRIERS_MAX)),
    )
    sealed = None if contents.account is None else contents.account.sealed_token
    if it.secret_key:
        yield directory.secret_key_set(it.secret_key, sealed)
    else:
        yield directory.secret_key(it.data_dir / "secret.key", sealed)
    yield from _waiting(it, db, carriers=contents.carriers)
    yield contents


def _waiting(
    it: Installation, db: Connection, *, carriers: Iterable[CarrierAccount]
) -> Iterator[Finding]:
    now = it.now()
    opened = {c.name for c in carriers if c.state is not CarrierState.DISABLED}
    yield from (traffic.node(row, now, version=__version__) for row in all_nodes(db))
    depths = measure_depths(db, now)
    for name, waits in depths.queues.items():
        yield traffic.queue(name, waits, now=now, is_open=name in opened)
    if not depths.queues:
        yield fine("queues", "nothing waits")
    yield traffic.overdue_webhooks(depths.webhook_due_at, now)
    yield traffic.parked_webhooks(parked(db))
    accounts = [account.sid for account in all_records(db, ACCOUNTS, limit=ACCOUNTS_MAX)]
    yield from traffic.failing_hosts(host_records(db, accounts, since=now - RECENTLY))


def _certificates(it: Installation, contents: _Contents) -> Iterator[Finding]:
    now = it.now()
    for name, (cert, key) in it.certificates.items():
        yield certificates.certificate_file(name, cert, key=key, now=now)
    if it.base_url.startswith("https:"):
        yield certificates.certificate_of_url(it.base_url, now=now)
    settings = {carrier.name: carrier.settings for carrier in contents.carriers}
    yield from certificates.carrier_certificates(settings, now=now)


def _carriers(it: Installation) -> Iterator[Finding]:
    """Ask the running server, which alone knows how its connections do."""
    user = {"user": it.account_sid, "password": it.auth_token}
    listed = ask(it.local_url + _CARRIERS_PATH, **user)
    if listed.status != 200:
        yield doubtful(
            "carriers",
            f"the server does not tell of them: {listed.trouble or f'status {listed.status}'}",
            advice="Run this where credentials.json of the running server is.",
        )
        return
    for report in traffic.parse_carriers(listed):
        whole = traffic.parse_carrier(ask(f"{it.local_url}{_CARRIERS_PATH}/{report.name}", **user))
        yield traffic.carrier(whole or report, it.now())


def _reason(error: Exception) -> str:
    """Return the first line of what went wrong; a URL with its password is in none of them."""
    original = getattr(error, "orig", None) or error
    return str(original).strip().partition("\n")[0]
