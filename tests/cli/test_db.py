"""`trunkline db`: what it finds, what it saves, and that a move loses nothing, however it goes."""

import asyncio
import base64
import importlib
import json
import os
import pkgutil
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection, Engine, create_engine, event, text

from tests.databases import DATABASES
from tests.harness import Seen, Trunkline
from tests.processes import wait_until
from trunkline import store
from trunkline.app import StartupError, open_store, owned
from trunkline.cli import commands
from trunkline.domain.ids import micros, render_sid
from trunkline.ops import storage
from trunkline.runtime import SystemClock
from trunkline.store import copying, opening
from trunkline.store.consistency import KINDS
from trunkline.store.opening import FILE
from trunkline.store.records import Kind
from trunkline.store.schema import known_versions

PICTURE = b"picture" * 1000
URL = "https://pictures.example.com/cat.png"


def call(*arguments: str | Path) -> Result:
    """Call `trunkline db`."""
    return CliRunner().invoke(commands, ["db", *map(str, arguments)])


def where(data_dir: Path) -> list[str]:
    """Return the options that name the database of a data directory."""
    given = {"data_dir": str(data_dir), **DATABASES.settings(data_dir)}
    return [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]


def answer(seen: Seen) -> tuple[int, str, bytes]:
    """Serve a picture to whoever asks for it."""
    return (200, "image/png", PICTURE) if seen.method == "GET" else (204, "", b"")


async def fill(trunkline: Trunkline) -> None:
    """Let messages be in every state: on the way, delivered, with a picture, told of and not."""
    trunkline.receiver.script = answer
    for body in ("plain", "ünï 𝄞 '\"\\ %s", "x" * 400):
        await trunkline.send(body=body, StatusCallback="https://app.example.com/status")
    await trunkline.send(MediaUrl=URL)
    await trunkline.app.network.send_from("+15558675311", trunkline.number, body="STOP")
    await trunkline.run_for(30)
    trunkline.receiver.script = lambda seen: (500, "", b"")
    await trunkline.send(body="told late", StatusCallback="https://app.example.com/late")
    await trunkline.run_for(1)
    await trunkline.send(body="queued")


@pytest.fixture
async def filled(tmp_path: Path) -> Path:
    """Return a data directory whose database has something of everything."""
    trunkline = Trunkline(tmp_path)
    await fill(trunkline)
    await trunkline.close()
    return tmp_path


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """Return a data directory that has its database in a file, in a run on PostgreSQL, too."""
    data_dir = tmp_path / "file"
    trunkline = Trunkline(data_dir, database=None)
    await fill(trunkline)
    await trunkline.close()
    return data_dir


@pytest.fixture
def target(tmp_path: Path) -> str:
    """Return an empty database to move to."""
    return DATABASES.settings(tmp_path / "target", has_schema=False)["database"]


async def change(data_dir: Path, *statements: str) -> None:
    """Break something."""
    store = open_store(data_dir, **DATABASES.settings(data_dir))

    def work(db: Connection) -> None:
        for statement in statements:
            db.execute(text(statement))

    await store.write(work)
    await store.close()


async def shown(trunkline: Trunkline) -> dict[str, Any]:
    """Return everything of an installation that its users see."""
    messages = (await trunkline.request("GET", f"{trunkline.base}/Messages.json")).json["messages"]
    found: dict[str, Any] = {"messages": messages, "token": trunkline.auth_token}
    for message in messages:
        sid = message["sid"]
        found[sid] = await trunkline.events(sid)
        media = message["subresource_uris"]["media"]
        for medium in (await trunkline.request("GET", media)).json["media_list"]:
            path = medium["uri"].removesuffix(".json")
            found[path] = (await trunkline.request("GET", path)).body
    return found


async def test_a_sound_database_has_no_faults(filled: Path) -> None:
    """Whatever its messages are doing."""
    result = call("check", *where(filled))
    assert (result.exit_code, result.output) == (0, "Nothing is wrong.\n")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM messages WHERE body = 'queued'", "outbox: the message is not there: 1"),
        ("UPDATE consents SET status = 'opt-in'", "consents: no entry of the history says so: 1"),
        ("DELETE FROM outbox", "messages: nothing is there that would ever move it on: 1"),
        ("UPDATE records SET doc = '{}' WHERE kind = 'number'", "no number can be read from it: 1"),
        ("UPDATE records SET kind = 'x' WHERE kind = 'route'", "the kind is not known: 1"),
        (
            """UPDATE records SET doc = replace(doc, '"digest":"', '"digest":"0')""",
            "media: the bytes are not there: 1",
        ),
    ],
)
async def test_what_cannot_be_is_found(filled: Path, statement: str, said: str) -> None:
    """It is told with an example, and by the exit code."""
    await change(filled, statement)
    result = call("check", *where(filled))
    assert (result.exit_code, said in result.output) == (1, True), result.output
    faults = json.loads(call("check", "--json", *where(filled)).output)["faults"]
    assert [fault["count"] for fault in faults] == [1]
    assert re.fullmatch(r"[A-Z]{2}[0-9a-f]{32}", faults[0]["example"])


def test_check_knows_every_kind_of_record() -> None:
    """One that is missing in the list would be a fault of every database that has such a record."""
    names = [module.name for module in pkgutil.iter_modules(store.__path__, f"{store.__name__}.")]
    found = [value for name in names for value in vars(importlib.import_module(name)).values()]
    declared = {value.name for value in found if isinstance(value, Kind)}
    assert declared == {kind.name for kind in KINDS}


async def test_a_sid_of_a_time_to_come_is_found(filled: Path) -> None:
    """All that is made from now on would come before it."""
    future = render_sid("SM", micros(SystemClock().now().replace(year=2090)), digits="0" * 18)
    await change(
        filled,
        f"UPDATE messages SET sid = '{future}', position = '{future[2:]}' WHERE body = 'plain'",
    )
    assert "look at the clock: 1" in call("check", *where(filled)).output


def no_database(file: Path) -> None:
    """Overwrite all of it."""
    file.write_bytes(b"not a database" * 1000)


def malformed(file: Path) -> None:
    """Overwrite what the first page says of the tables."""
    octets = file.read_bytes()
    file.write_bytes(octets[:100] + b"\xff" * 900 + octets[1000:])


@pytest.mark.sqlite
@pytest.mark.parametrize("damage", [no_database, malformed])
def test_a_damaged_file_is_to_be_restored(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Whoever starts on it, and whoever looks at it or saves it, is told what is wrong."""
    call("migrate", *where(tmp_path))
    damage(tmp_path / FILE)
    with pytest.raises(StartupError, match=r"; keep a copy of .* restore the last backup"):
        open_store(tmp_path)
    copy = tmp_path / "copies" / "x.db"
    copy.parent.mkdir()
    for result in (call("check", *where(tmp_path)), call("backup", copy, *where(tmp_path))):
        assert (result.exit_code, "restore the last backup" in result.output) == (1, True)
        assert ".part" not in result.output
    assert os.listdir(copy.parent) == []


@pytest.mark.sqlite
def test_a_disk_that_is_full_at_the_start_needs_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is to be created that is there already."""

    def full(engine: Engine) -> None:
        with engine.connect() as db, db.begin():
            db.exec_driver_sql("CREATE TABLE some (octets BLOB)")
            db.exec_driver_sql("PRAGMA max_page_count = 1")
            db.exec_driver_sql("INSERT INTO some VALUES (zeroblob(100000))")

    monkeypatch.setattr(opening, "upgrade", full)
    with pytest.raises(StartupError, match="database or disk is full; make room on its disk"):
        open_store(tmp_path)


@pytest.mark.sqlite
def test_a_backup_that_has_no_room_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the copy that cannot be written, and what SQLite left of it is removed."""
    call("migrate", *where(tmp_path))
    copy = tmp_path / "copies" / "x.db"
    copy.parent.mkdir()

    def small(path: Path) -> Engine:
        """Let there be room for a page, and then a journal beside it."""
        engine = create_engine(f"sqlite:///{path}")

        @event.listens_for(engine, "before_cursor_execute", retval=True)
        def limit(*given: Any) -> tuple[str, Any]:
            statement, parameters = given[2:4]
            if not statement.startswith("VACUUM"):
                return statement, parameters
            copy.with_name("x.db.part-journal").touch()
            given[1].execute("CREATE TEMP TABLE some (octets BLOB)")
            given[1].execute("PRAGMA temp.max_page_count = 1")
            return "INSERT INTO some VALUES (zeroblob(100000))", ()

        return engine

    monkeypatch.setattr(storage, "open_file", small)
    result = call("backup", copy, *where(tmp_path))
    assert result.exit_code == 1
    assert f"{copy} cannot be written: No space left on device." in result.output
    assert os.listdir(copy.parent) == []


def test_a_backup_needs_a_place(tmp_path: Path) -> None:
    """Which is named where there is none."""
    call("migrate", *where(tmp_path))
    copy = tmp_path / "none" / "x.db"
    result = call("backup", copy, *where(tmp_path))
    assert (result.exit_code, str(copy.parent) in result.output) == (1, True)


@pytest.mark.sqlite
async def test_damage_to_the_file_is_found(filled: Path) -> None:
    """SQLite looks at every page."""
    with sqlite3.connect(filled / FILE) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET rootpage = 3 WHERE name = 'messages_from'")
    result = call("check", *where(filled))
    assert result.exit_code == 1
    assert "damaged" in result.output


def test_there_must_be_a_database_to_be_checked(tmp_path: Path) -> None:
    """None is made by looking."""
    result = call("check", "--data-dir", tmp_path / "none")
    assert (result.exit_code, "There is no database in" in result.output) == (1, True)
    assert not (tmp_path / "none").exists()


def test_the_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    """And it is told from where to where."""
    options = ["--data-dir", str(tmp_path)]
    options += [
        f"--database={url}"
        for url in DATABASES.settings(tmp_path, has_schema=False).values()
        if DATABASES.kind != "sqlite"
    ]
    (tmp_path / FILE).unlink(missing_ok=True)
    newest = known_versions()[0]
    said = [call("migrate", *options).output for _ in range(2)]
    assert said == [
        f"The schema had none: now {newest}.\n",
        f"The schema has version {newest} already.\n",
    ]


@pytest.mark.parametrize("oldest", [known_versions()[0], "9998"])
async def test_what_a_newer_version_made_is_left_to_it(filled: Path, oldest: str) -> None:
    """Whether or not this one could work with it, nothing is claimed, and no advice is circular."""
    await change(
        filled,
        f"UPDATE compatibility SET oldest = '{oldest}'",
        "UPDATE alembic_version SET version_num = '9999'",
    )
    checked = call("check", *where(filled))
    assert (checked.exit_code, "newer version of Trunkline made" in checked.output) == (1, True)
    assert "db migrate" not in checked.output
    migrated = call("migrate", *where(filled))
    is_usable = oldest in known_versions()
    told = "The schema has version 9999 already.\n" if is_usable else "does not know"
    assert (migrated.exit_code, told in migrated.output) == (0 if is_usable else 1, True)


@pytest.mark.sqlite
def test_a_schema_that_is_older_is_brought_up_to_date_first(tmp_path: Path) -> None:
    """Also one that is not there."""
    sqlite3.connect(tmp_path / FILE).close()
    result = call("check", *where(tmp_path))
    assert (result.exit_code, "run `trunkline db migrate` first" in result.output) == (1, True)


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    """What changes a database waits for nobody."""
    with owned(tmp_path):
        result = call("migrate", *where(tmp_path))
    assert (result.exit_code, "Another Trunkline uses" in result.output) == (1, True)


@pytest.mark.sqlite
async def test_a_backup_is_a_whole_database(tmp_path: Path) -> None:
    """Taken while the platform runs, it can be put in the place of the old one."""
    trunkline = Trunkline(tmp_path / "old")
    await fill(trunkline)
    copy = tmp_path / "copy.db"
    result = call("backup", copy, *where(tmp_path / "old"))
    assert (result.exit_code, "secret.key" in result.output) == (0, True), result.output
    before = await shown(trunkline)
    await trunkline.close()
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    copy.replace(tmp_path / "new" / FILE)
    again = Trunkline(tmp_path / "new")
    assert await shown(again) == before
    await again.close()
    refused = call("backup", tmp_path / "new" / FILE, *where(tmp_path / "old"))
    assert (refused.exit_code, "is there already" in refused.output) == (1, True)
    assert set(os.listdir(tmp_path)) == {"old", "new"}


@pytest.mark.parametrize("has_setting", [False, True])
async def test_a_backup_says_where_the_key_is(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_setting: bool
) -> None:
    """Without the key no secret in it can be read."""
    if has_setting:
        monkeypatch.setenv("TRUNKLINE_SECRET_KEY", base64.b64encode(bytes(32)).decode())
    said = call("backup", tmp_path / "copy", *where(filled)).output
    assert ("the key of the setting secret_key" in said) == has_setting
    assert (f"the key in {filled / 'secret.key'}" in said) != has_setting


@pytest.mark.postgresql
async def test_a_backup_from_elsewhere_says_where_to_look_for_the_key(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no server was ever started there is no file to be kept."""
    monkeypatch.chdir(tmp_path)
    url = DATABASES.settings(filled)["database"]
    result = call("backup", tmp_path / "copy", "--data-dir", "none", "--database", url)
    assert result.exit_code == 0, result.output
    assert "the key in" not in result.output
    assert "the servers' key, which is not in none (it is what their setting" in result.output


def contents(dump: Path) -> str:
    """Return what pg_dump put into a file."""
    command = ["pg_restore", "--list", str(dump)]
    return subprocess.check_output(command, text=True)


@pytest.mark.postgresql
async def test_a_backup_is_pg_dump_s(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is shown; where there is no such program, it is all that can be done."""
    copy = tmp_path / "copy.dump"
    monkeypatch.setenv("TRUNKLINE_DATABASE", DATABASES.settings(filled)["database"])
    result = call("backup", copy, "--data-dir", filled)
    assert (result.exit_code, "--format=custom" in result.output) == (0, True), result.output
    assert "TABLE DATA public messages" in contents(copy)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = call("backup", tmp_path / "other", "--data-dir", filled)
    assert (refused.exit_code, "pg_dump is not on this machine" in refused.output) == (1, True)


@pytest.mark.postgresql
async def test_everything_is_moved(file: Path, target: str) -> None:
    """Afterwards the same installation runs on PostgreSQL, and goes on with what it was at."""
    old = Trunkline(file, database=None)
    before = await shown(old)
    await old.close()
    result = call("move", "--data-dir", file, "--database", target)
    assert result.exit_code == 0, result.output
    assert f"messages: {len(before['messages'])} rows, the same on both sides" in result.output
    assert "consent_history: 1 rows, the same on both sides" in result.output
    assert not (file / FILE).exists()
    new = Trunkline(file, database=target)
    assert await shown(new) == before
    assert (await new.send("+15558675311")).json["code"] == 21610
    await new.run_for(3600)
    assert {m["status"] for m in (await shown(new))["messages"]} == {"delivered", "received"}
    assert [s.form["MessageStatus"] for s in new.receiver.seen] == ["sent", "delivered"]
    await new.close()


def add_events(file: Path, count: int) -> None:
    """Make a table long."""
    with sqlite3.connect(file / FILE) as db:
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO events (account_sid, message_sid, sid, at, kind, detail)"
            " SELECT m.account_sid, m.sid, printf('EV%032x', n.i), n.i, 'test', '{\"n\": 1}'"
            " FROM n, (SELECT * FROM messages LIMIT 1) m",
            (count,),
        )


@pytest.mark.postgresql
def test_a_move_that_is_killed_goes_on(file: Path, target: str) -> None:
    """No server starts on what is there so far; at the end there is everything, once."""
    count = 40_000
    add_events(file, count)
    command = [sys.executable, "-m", "trunkline", "db", "move"]
    options = ["--data-dir", str(file), "--database", target]
    copied = 0
    with psycopg.connect(target, autocommit=True) as db:
        for wanted in (1, count // 2):
            process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)

            def has_some(least: int = wanted) -> bool:
                found = db.execute("SELECT to_regclass('trunkline_move')").fetchone()
                if found in (None, (None,)):
                    return False
                row = db.execute("SELECT count(*) FROM events").fetchone()
                return row is not None and row[0] >= least

            wait_until(has_some, seconds=60)
            process.kill()
            process.wait()
            row = db.execute("SELECT count(*) FROM events").fetchone()
            assert row is not None
            assert copied < row[0] <= count + 100
            copied = row[0]
    with pytest.raises(StartupError, match="is being moved into"):
        open_store(file, target)
    result = call("move", *options)
    assert result.exit_code == 0, result.output
    assert re.search(r"events: 40,0\d\d rows, the same on both sides", result.output)
    asyncio.run(open_store(file, target).close())


@pytest.mark.postgresql
def test_a_move_that_was_interrupted_is_not_taken_for_damage(
    file: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at what is there so far says that more is to come."""
    monkeypatch.setattr("trunkline.ops.storage.copy_media", _interrupted)
    options = ["--data-dir", str(file), "--database", target]
    assert call("move", *options).exit_code == 1
    result = call("check", *options)
    assert (result.exit_code, "is being moved into" in result.output) == (1, True), result.output
    assert "bytes" not in result.output
    assert call("check", "--data-dir", file).output == "Nothing is wrong.\n"


@pytest.mark.postgresql
async def test_a_move_that_ends_before_its_last_word_is_done(file: Path, target: str) -> None:
    """All is there and the file is put away; only the note is left."""
    options = ["--data-dir", str(file), "--database", target]
    assert call("move", *options).exit_code == 0
    with psycopg.connect(target) as db:
        db.execute(f"CREATE TABLE {copying.NOTES} (name TEXT)")
    result = call("move", *options)
    assert (result.exit_code, "Everything is moved" in result.output) == (0, True)
    await open_store(file, target).close()
    refused = call("move", *options)
    assert (refused.exit_code, "no database in" in refused.output) == (1, True)


@pytest.mark.postgresql
async def test_a_database_with_an_installation_is_not_moved_into(
    file: Path, tmp_path: Path
) -> None:
    """Two of them cannot be one."""
    other = Trunkline(tmp_path / "other")
    await other.close()
    url = DATABASES.settings(tmp_path / "other")["database"]
    result = call("move", "--data-dir", file, "--database", url)
    assert (result.exit_code, "has an installation in it" in result.output) == (1, True)
    assert (file / FILE).exists()


@pytest.mark.postgresql
async def test_a_file_that_was_used_meanwhile_is_noticed(
    file: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was copied before is not what is there now."""
    copy_media: Callable[..., int] = copying.copy_media
    monkeypatch.setattr("trunkline.ops.storage.copy_media", _interrupted)
    options = ["--data-dir", str(file), "--database", target]
    assert call("move", *options).exit_code == 1
    monkeypatch.setattr("trunkline.ops.storage.copy_media", copy_media)
    with sqlite3.connect(file / FILE) as db:
        db.execute("UPDATE messages SET status = 'failed' WHERE body = 'queued'")
    result = call("move", *options)
    assert (result.exit_code, "used meanwhile" in result.output) == (1, True), result.output


def _interrupted(*arguments: object, **options: object) -> int:
    raise KeyboardInterrupt


@pytest.mark.postgresql
def test_a_move_needs_a_place(tmp_path: Path) -> None:
    """It is said where it can be named."""
    result = call("move", "--data-dir", tmp_path)
    assert (result.exit_code, "Name the database to move to" in result.output) == (1, True)
