"""What the Store on PostgreSQL promises beyond every Store's: connections come and go under it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.databases import DATABASES
from tests.pooler import Pooler
from tests.postgres import ADMIN, Cluster
from tests.severing import Cut, Way
from trunkline.store import marks, postgres
from trunkline.store.migrations.versions.v0010_statistics import TEXTS
from trunkline.store.migrations.versions.v0010_statistics import upgrade as upgrade_statistics
from trunkline.store.opening import FILE, open_store
from trunkline.store.postgres import PostgresStore
from trunkline.store.postgres_engine import open_engine, parse_address
from trunkline.store.store import Database

pytestmark = pytest.mark.postgresql

WRITERS = 10
ENDING = b"; COMMIT"  # READ COMMITTED is how a transaction begins.


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return where a database of the test's own is, with its schema and a table to play with."""
    where = DATABASES.settings(tmp_path)["database"]
    with psycopg.connect(where) as db:
        db.execute("CREATE TABLE t (n INTEGER, note TEXT)")
    return where


@pytest.fixture
def way() -> Iterator[Way]:
    """Yield a way to the server that can be cut."""
    way = Way(DATABASES.cluster.port)
    yield way
    way.end()


@pytest.fixture
async def store(url: str, way: Way) -> AsyncIterator[Database]:
    """Yield a started store that reaches its database by that way."""
    store = open_store(Path(), through(url, way.port))
    yield store
    await store.close()


def through(url: str, port: int) -> str:
    """Return the same database at another port."""
    return url.replace(f":{conninfo_to_dict(url)['port']}/", f":{port}/")


def put(n: int) -> Callable[[Connection], int]:
    """Return a work that stores *n*."""

    def work(db: Connection) -> int:
        db.execute(text("INSERT INTO t VALUES (:n)"), {"n": n})
        return n

    return work


def numbers(db: Connection) -> list[int]:
    """Return what is stored."""
    return list(db.execute(text("SELECT n FROM t ORDER BY n")).scalars())


def show(name: str) -> Callable[[Connection], str]:
    """Return a work that tells a setting of the server."""
    return lambda db: str(db.exec_driver_sql(f"SHOW {name}").scalar_one())


class Load:
    """Writers that never rest, and what they were told is kept."""

    def __init__(self, store: Database) -> None:
        self.kept: list[int] = []
        self._store = store
        self._next = iter(range(1_000_000))
        self._resting = False
        self._tasks = [asyncio.create_task(self._write()) for _ in range(WRITERS)]

    async def until(self, count: int) -> None:
        """Return when so many more are kept."""
        wanted = len(self.kept) + count
        while len(self.kept) < wanted:
            done, _ = await asyncio.wait(self._tasks, timeout=0.01)
            assert not done, [task.exception() for task in done]

    async def end(self) -> list[int]:
        """Let the writers rest; return what was kept."""
        self._resting = True
        await asyncio.gather(*self._tasks)
        return sorted(self.kept)

    async def _write(self) -> None:
        while not self._resting:
            self.kept.append(await self._store.write(put(next(self._next))))


async def test_connections_that_are_ended_lose_nothing_and_repeat_nothing(
    url: str, store: Database
) -> None:
    """Whatever a work was doing when its connection went away."""
    load = Load(store)
    with psycopg.connect(url, autocommit=True) as admin:
        for _ in range(15):
            await load.until(20)
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    assert await load.end() == await store.read(numbers)


@pytest.mark.parametrize("cut", [Cut.BEFORE_IT_ARRIVES, Cut.BEFORE_IT_IS_ANSWERED])
async def test_a_commit_without_an_answer_is_done_once(store: Database, way: Way, cut: Cut) -> None:
    """Whether the server has it or not: each work is kept once, and its caller is told so."""
    cuts = [cut, cut]
    way.judge = lambda said: cuts.pop() if ENDING in said and cuts else Cut.NOT_AT_ALL
    first = await asyncio.gather(*(store.write(put(n)) for n in range(5)))
    second = await asyncio.gather(*(store.write(put(n)) for n in range(5, 10)))
    assert first + second == list(range(10))
    assert await store.read(numbers) == list(range(10))
    assert cuts == []


async def test_a_commit_that_nobody_can_ask_about_is_not_repeated(
    store: Database, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its callers are told that nobody knows; when the database is back, nothing happens twice."""
    monkeypatch.setattr(postgres, "OUTCOME_SECONDS", 0.2)

    def judge(said: bytes) -> Cut:
        if ENDING not in said:
            return Cut.NOT_AT_ALL
        way.shut()
        return Cut.BEFORE_IT_IS_ANSWERED

    way.judge = judge
    outcomes = asyncio.gather(*(store.write(put(n)) for n in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in await outcomes] == [TimeoutError] * 5
    way.judge = lambda said: Cut.NOT_AT_ALL
    way.reopen()
    assert await store.write(put(5)) == 5
    assert await store.read(numbers) == list(range(6))


async def test_a_database_that_stays_away_is_said_to_be(
    store: Database, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while callers are told, at once from then on; and when it is back all goes on."""
    monkeypatch.setattr(postgres, "PATIENCE_SECONDS", 0.2)
    way.close()
    for _ in range(2):
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionError, match="cannot be reached"):
                await store.write(put(1))
            with pytest.raises(ConnectionError, match="cannot be reached"):
                await store.read(numbers)
    way.reopen()
    assert await store.write(put(2)) == 2
    assert await store.read(numbers) == [2]


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_server_that_restarts_under_load_loses_nothing(how: str) -> None:
    """Neither an orderly end nor a crash; callers do not even notice."""
    cluster = Cluster(durable=True)
    try:
        cluster.create("restarted")
        store = open_store(Path(), cluster.url("restarted"))
        await store.write(lambda db: db.execute(text("CREATE TABLE t (n INTEGER)")))
        load = Load(store)
        for _ in range(2):
            await load.until(50)
            getattr(cluster, how)()
            cluster.start()
        await load.until(50)
        assert await load.end() == await store.read(numbers)
        await store.close()
    finally:
        cluster.close()


async def test_works_that_lock_each_other_out_are_all_done(url: str, store: Database) -> None:
    """The one that the server undoes is run again, as often as they meet again."""
    other = open_store(Path(), url)
    await store.write(lambda db: db.execute(text("INSERT INTO t VALUES (0, ''), (1, '')")))
    met = threading.Barrier(2)
    runs: list[int] = []

    def both(first: int) -> Callable[[Connection], None]:
        def work(db: Connection) -> None:
            runs.append(first)
            for n in (first, 1 - first):
                db.execute(text("UPDATE t SET note = note || 'x' WHERE n = :n"), {"n": n})
                if n == first and len(runs) <= 2:
                    met.wait(10)

        return work

    await asyncio.gather(store.write(both(0)), other.write(both(1)))
    assert len(runs) >= 3
    notes = await store.read(lambda db: list(db.execute(text("SELECT note FROM t")).scalars()))
    assert notes == ["xx", "xx"]
    await other.close()


async def test_a_pooler_may_give_every_transaction_another_connection(url: str) -> None:
    """PgBouncer in transaction mode, with its server restarting behind it."""
    cluster = Cluster()
    pooler = Pooler(cluster.port)
    try:
        cluster.create("pooled")
        stores = [open_store(Path(), pooler.url("pooled")) for _ in range(3)]
        await stores[0].write(lambda db: db.execute(text("CREATE TABLE t (n INTEGER)")))
        loads = [Load(store) for store in stores]
        await asyncio.gather(*(load.until(100) for load in loads))
        cluster.stop()
        cluster.start()
        await asyncio.gather(*(load.until(100) for load in loads))
        kept = [n for load in loads for n in await load.end()]
        assert await stores[0].read(numbers) == sorted(kept)
        for store in stores:
            await store.close()
    finally:
        pooler.close()
        cluster.close()


async def test_a_transaction_brings_its_limits_and_leaves_none(store: Database, url: str) -> None:
    """A database that is set to be careless is not; behind a pooler nothing is left to others."""
    with psycopg.connect(url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    careful = open_store(Path(), url)
    wanted = {
        "synchronous_commit": "on",
        "statement_timeout": "10s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "5s",
    }
    for name, value in wanted.items():
        assert await careful.write(show(name)) == value
    assert await careful.read(show("transaction_read_only")) == "on"
    assert await careful.read(show("statement_timeout")) == "30s"
    await careful.close()
    assert isinstance(store, PostgresStore)
    with store.engine.connect() as db:
        for name in wanted.keys() - {"synchronous_commit"}:
            assert db.exec_driver_sql(f"SHOW {name}").scalar_one() == "0"


async def test_marks_are_removed(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one writer a few stay, of those that are gone none."""
    monkeypatch.setattr(marks, "KEPT_MAX", 5)
    await store.write(lambda db: db.execute(text("INSERT INTO commits VALUES ('gone', 1, 0)")))
    for n in range(23):
        await store.write(put(n))

    def left(db: Connection) -> list[tuple[bool, int]]:
        query = text("SELECT writer = 'gone', count(*) FROM commits GROUP BY 1 ORDER BY 1")
        return [(row[0], row[1]) for row in db.execute(query)]

    assert await store.read(left) == [(False, 5), (True, 1)]
    assert isinstance(store, PostgresStore)
    store.start()
    assert await store.read(left) == [(False, 5)]


async def test_an_error_quotes_no_row(store: Database) -> None:
    """The server adds the values of the row that it refused."""
    secret = "+15558675310 says hello"

    def work(db: Connection) -> None:
        db.execute(text("CREATE UNIQUE INDEX once ON t (note)"))
        db.execute(text("INSERT INTO t VALUES (1, :s), (2, :s)"), {"s": secret})

    with pytest.raises(IntegrityError, match="duplicate key") as caught:
        await store.write(work)
    told = "".join(map(str, (caught.value, caught.value.orig, caught.value.args)))
    assert secret not in told


async def test_a_text_with_nul_is_kept(store: Database) -> None:
    """PostgreSQL has no place for the character; a text that came with it must not be refused."""
    await store.write(lambda db: db.execute(text("INSERT INTO t VALUES (1, :s)"), {"s": "a\0b"}))
    kept = await store.read(lambda db: db.execute(text("SELECT note FROM t")).scalar_one())
    assert kept == "a\ufffdb"


async def test_statistics_hold_no_texts(url: str) -> None:
    """Redaction cannot reach them there; what was noted before is forgotten as well."""
    noted = """SELECT count(*) FROM pg_stats WHERE schemaname = current_schema()
        AND tablename || '.' || attname = ANY(%s)"""
    names = [f"{table}.{column}" for table, columns in TEXTS.items() for column in columns]
    tables = ", ".join(TEXTS)
    with psycopg.connect(url, autocommit=True) as db:
        for sql in (
            "ALTER TABLE messages ALTER COLUMN body SET STATISTICS -1",
            """INSERT INTO messages (account_sid, position, sid, direction, status, recipient, body,
                encoding, num_segments, num_media, carrier, validity_seconds, created_at,
                updated_at, options)
                SELECT 'AC1', n::text, 'SM' || n, 'inbound', 'received', '+1', 'secret ' || n,
                'GSM-7', 1, 0, 'c', 1, n, n, '{}' FROM generate_series(1, 100) AS n""",
            f"ANALYZE {tables}",
        ):
            db.execute(sql)
        assert db.execute(noted, [names]).fetchone() == (1,)
    engine = open_engine(parse_address(url))
    with engine.connect() as connection, connection.begin():
        context = MigrationContext.configure(connection)
        with Operations.context(context):
            upgrade_statistics()
    engine.dispose()
    with psycopg.connect(url, autocommit=True) as db:
        assert db.execute(noted, [names]).fetchone() == (0,)
        db.execute(f"ANALYZE {tables}")
        assert db.execute(noted, [names]).fetchone() == (0,)


async def test_texts_are_ordered_by_their_bytes(tmp_path: Path) -> None:
    """In a database that would sort them as people of some country do."""
    cluster = DATABASES.cluster
    with psycopg.connect(cluster.url("postgres"), user=ADMIN, autocommit=True) as admin:
        admin.execute(
            "CREATE DATABASE sorted TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'"
            f" OWNER {conninfo_to_dict(cluster.url(''))['user']}"
        )
    store = open_store(tmp_path, cluster.url("sorted"))
    query = text(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type IN ('text', 'character varying')"
        " AND collation_name IS DISTINCT FROM 'C' AND table_name <> 'alembic_version'"
    )
    assert await store.read(lambda db: db.execute(query).all()) == []
    await store.close()
    cluster.drop("sorted")


async def test_many_nodes_may_start_at_once(tmp_path: Path) -> None:
    """One makes the schema, the others wait for it."""
    where = DATABASES.settings(tmp_path, has_schema=False)["database"]
    opening = (asyncio.to_thread(open_store, tmp_path, where) for _ in range(5))
    stores = await asyncio.gather(*opening)
    assert [await store.write(lambda db: 1) for store in stores] == [1] * 5
    for store in stores:
        await store.close()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("postgresql://u:hunter2@127.0.0.1:1/x", "start the server"),
        ("postgresql://u:hunter2@127.0.0.1:{port}/absent", "createuser"),
        ("postgresql://trunkline:hunter2@127.0.0.1:{port}/absent", "createdb"),
        ("postgresql://u:hunter2@[::1/x", "no address"),
        ("postgresql://u:hunter2@127.0.0.1/x?sslmode=hunter2", "sslmode"),
        ("postgresql://u:hunter2@127.0.0.1/x?nonsense=1", "no address"),
        ("postgresql://u:hunter2@127.0.0.1/x?prepare=0", "prepare"),
    ],
)
def test_what_cannot_be_opened_is_explained_in_a_line(
    tmp_path: Path, wrong: str, said: str
) -> None:
    """What is wrong and what to do, without the password."""
    with pytest.raises(ValueError, match=said) as caught:
        open_store(tmp_path, wrong.format(port=DATABASES.cluster.port))
    told = str(caught.value)
    assert "\n" not in told
    assert "u:hunter2" not in told


@pytest.mark.parametrize("options", ["?prepare=1", "?prepare=5", "?application_name=node-1"])
async def test_options_of_the_address_are_heard(url: str, options: str) -> None:
    """Ours as well as libpq's."""
    store = open_store(Path(), url + options)
    for n in range(10):
        await store.write(put(n))
    prepared = text("SELECT count(*) FROM pg_prepared_statements")
    count = await store.write(lambda db: db.execute(prepared).scalar_one())
    assert (count > 0) == ("prepare" in options)
    name = await store.read(show("application_name"))
    assert name == ("node-1" if "name" in options else "trunkline")
    await store.close()


async def test_nobody_begins_anew_beside_an_installation_in_a_file(tmp_path: Path) -> None:
    """Unless the database has one already: then that is meant."""
    cluster = DATABASES.cluster
    cluster.create("anew")
    url = cluster.url("anew")
    (tmp_path / FILE).touch()
    with pytest.raises(ValueError, match=r"is empty, and .*trunkline\.db is not moved"):
        open_store(tmp_path, url)
    (tmp_path / FILE).unlink()
    await open_store(tmp_path, url).close()
    (tmp_path / FILE).touch()
    await open_store(tmp_path, url).close()
    cluster.drop("anew")


async def test_a_database_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """It could not keep every text."""
    cluster = DATABASES.cluster
    with psycopg.connect(cluster.url("postgres"), user=ADMIN, autocommit=True) as admin:
        admin.execute("CREATE DATABASE narrow TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(ValueError, match="encoding is LATIN1; create it anew"):
        open_store(tmp_path, cluster.url("narrow"))
    cluster.drop("narrow")


async def test_a_read_is_tried_again(store: Database, way: Way) -> None:
    """A connection that went away while nobody used it is no trouble of whoever asks next."""
    assert await store.read(numbers) == []
    way.close()
    way.reopen()
    assert await store.read(numbers) == []
    with pytest.raises(DBAPIError, match="division"):
        await store.read(lambda db: db.execute(text("SELECT 1 / 0")).scalar())
