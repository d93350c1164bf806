"""What is old goes by itself: what its account and its kind say, and nothing else."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Table, func, insert, select, update
from structlog.testing import capture_logs

from tests.api.test_console import subaccount
from tests.api.test_redaction import make_old, rows_of
from tests.harness import NOON, Trunkline
from trunkline.carriers.port import Incoming, Receipt
from trunkline.dispatch.retention import EVERY_SECONDS, Retention
from trunkline.domain.message import Status
from trunkline.domain.retention import OF_ACCOUNTS, Periods
from trunkline.flows import inbound, receipts, retention
from trunkline.flows.erasure import erase_again
from trunkline.flows.retention import BATCH_MAX, believes, tidy
from trunkline.runtime import ManualClock
from trunkline.store.callbacks import save_cookies
from trunkline.store.media import MediaFiles
from trunkline.store.records import MEDIA
from trunkline.store.tables import (
    callback_attempts,
    callbacks,
    carrier_refs,
    cookies,
    deliveries,
    erasures,
    events,
    handset_texts,
    messages,
    records,
    strays,
)

DAY = 86_400.0
CALLBACK = "https://app.example/status"
ADMIN = "/trunkline/v1"


async def passes(trunkline: Trunkline, days: float) -> int:
    """Let days go by at once, then do one whole pass; return how many steps it took."""
    trunkline.clock.advance(days * DAY)
    return len([count async for count in tidy(trunkline.app.platform)])


def keeping(trunkline: Trunkline, **days: int) -> None:
    """Set the platform's periods."""
    platform = trunkline.app.platform
    platform.rules = replace(platform.rules, retention=Periods(**days))


async def texts(trunkline: Trunkline, count: int = 1, **form: str) -> list[str]:
    """Send messages and let them arrive; return their SIDs."""
    sent = await asyncio.gather(*(trunkline.send(body=f"text {n}", **form) for n in range(count)))
    assert {answer.status for answer in sent} == {201}
    await trunkline.run_for(5)
    return [answer.json["sid"] for answer in sent]


async def test_by_default_messages_are_kept_and_attempts_are_not(trunkline: Trunkline) -> None:
    """Thirty days of attempts are enough to find a fault; a message is its owner's to delete."""
    (sid,) = await texts(trunkline, StatusCallback=CALLBACK)
    await passes(trunkline, 29)
    assert await rows_of(trunkline, callback_attempts) == 2
    assert await rows_of(trunkline, handset_texts) == 1
    await passes(trunkline, 2)
    assert await rows_of(trunkline, callback_attempts, handset_texts) == 0
    assert (await trunkline.message(sid))["body"] == "text 0"
    assert len(await trunkline.events(sid)) == 2


async def test_an_old_message_goes_with_everything_that_hangs_on_it(trunkline: Trunkline) -> None:
    """Its trace, its references, its attempts, its media, and the bytes of these."""
    keeping(trunkline, messages=7)
    trunkline.receiver.script = lambda seen: (200, "image/gif", b"GIF89a")
    await texts(trunkline, StatusCallback=CALLBACK, MediaUrl="https://app.example/a.gif")
    files = trunkline.app.platform.media_files
    assert shelved(files) == 1
    await passes(trunkline, 6)
    assert await rows_of(trunkline, messages) == 1
    await passes(trunkline, 1.1)
    everything = (messages, events, carrier_refs, callbacks, callback_attempts)
    assert await rows_of(trunkline, *everything) == 0
    assert await records_of(trunkline, MEDIA.name) == 0
    await make_old(trunkline)
    await trunkline.run_for(EVERY_SECONDS)
    assert shelved(files) == 0


async def test_more_than_one_step_takes_goes_in_several(trunkline: Trunkline) -> None:
    """Each is one commit of a bounded size."""
    keeping(trunkline, messages=7)
    await texts(trunkline, BATCH_MAX + 10)
    (young,) = await texts_after(trunkline, 5)
    trunkline.clock.advance(3 * DAY)
    counts = [count async for count in tidy(trunkline.app.platform) if count]
    assert counts[:2] == [BATCH_MAX, 10]
    assert await rows_of(trunkline, messages) == 1
    assert (await trunkline.message(young))["status"] == "delivered"


async def texts_after(trunkline: Trunkline, days: float) -> list[str]:
    """Send a message some days later."""
    trunkline.clock.advance(days * DAY)
    return await texts(trunkline)


async def test_what_is_on_its_way_stays(trunkline: Trunkline) -> None:
    """However old it is, a message is not taken from under those who still work on it."""
    keeping(trunkline, messages=1)
    (sid, other) = await texts(trunkline, 2)
    queued = update(messages).where(messages.c.sid == sid).values(status=Status.QUEUED.value)
    await trunkline.app.store.write(lambda db: db.execute(queued).rowcount)
    await passes(trunkline, 400)
    assert (await trunkline.message(sid))["status"] == "queued"
    assert (await trunkline.request("GET", f"{trunkline.base}/Messages/{other}.json")).status == 404


async def test_the_trace_may_go_before_its_message(trunkline: Trunkline) -> None:
    """And what is dealt with once is not looked at again."""
    keeping(trunkline, trace=7, attempts=0)
    (sid,) = await texts(trunkline, StatusCallback=CALLBACK)
    await passes(trunkline, 8)
    assert await trunkline.events(sid) == []
    assert await rows_of(trunkline, callback_attempts) == 2
    later = await texts(trunkline)
    steps = [count async for count in tidy(trunkline.app.platform) if count]
    assert steps == []
    assert len(await trunkline.events(later[0])) == 2


async def test_what_comes_after_the_trace_has_gone_goes_too(trunkline: Trunkline) -> None:
    """A receipt of the third day leaves an event and an attempt where retention has been."""
    keeping(trunkline, trace=1, attempts=1)
    sid = (await trunkline.send("+15555500002", StatusCallback=CALLBACK)).json["sid"]
    await trunkline.run_for(5)
    await passes(trunkline, 1.5)
    assert await rows_of(trunkline, events, callback_attempts) == 0
    platform = trunkline.app.platform
    (ref,) = await trunkline.app.store.read(
        lambda db: list(db.execute(select(carrier_refs.c.ref)).scalars())
    )
    late = Receipt(carrier_ref=ref, delivered=True, error_code=None, at=trunkline.clock.now())
    await receipts.record(platform, "simulated", [late])
    await trunkline.run_for(5)
    assert await rows_of(trunkline, events, callback_attempts) == 2
    await passes(trunkline, 1.6)
    await erase_again(platform)
    assert await rows_of(trunkline, events, callback_attempts) == 0
    assert (await trunkline.message(sid))["status"] == "delivered"
    assert await rows_of(trunkline, erasures) == 0


async def test_a_message_that_never_ends_is_not_looked_at_for_ever(trunkline: Trunkline) -> None:
    """Each look is when it is twice as old as at the last one, until nothing can come any more."""
    keeping(trunkline, trace=1)
    await trunkline.send("+15555500002")
    await trunkline.run_for(5)
    looks = []
    for day in range(2, 70):
        await passes(trunkline, 1)
        if await erase_again(trunkline.app.platform):
            looks.append(day)
    assert len(looks) <= 7
    assert await rows_of(trunkline, erasures) == 0


async def test_media_may_go_before_their_message(trunkline: Trunkline) -> None:
    """The message still says how many it had."""
    keeping(trunkline, media=7)
    trunkline.receiver.script = lambda seen: (200, "image/gif", b"GIF89a")
    (sid,) = await texts(trunkline, MediaUrl="https://app.example/a.gif")
    await passes(trunkline, 8)
    media = await trunkline.request("GET", f"{trunkline.base}/Messages/{sid}/Media.json")
    assert media.json["media_list"] == []
    assert (await trunkline.message(sid))["num_media"] == "1"


async def test_an_account_may_keep_its_things_longer_or_shorter(trunkline: Trunkline) -> None:
    """What differs holds for it alone, and an empty value takes it back."""
    keeping(trunkline, messages=7)
    sid, token = await subaccount(trunkline)
    base = f"/2010-04-01/Accounts/{sid}"
    number = {"PhoneNumber": "+14155550142"}
    bought = await trunkline.request(
        "POST", f"{base}/IncomingPhoneNumbers.json", number, auth=(sid, token)
    )
    assert bought.status == 201, bought.body
    form = {"To": "+15558675310", "From": number["PhoneNumber"], "Body": "kept"}
    await trunkline.request("POST", f"{base}/Messages.json", form, auth=(sid, token))
    await texts(trunkline)
    path = f"{ADMIN}/accounts/{sid}/retention"
    made = await trunkline.request("POST", path, {"MessagesDays": "30", "ParkedDays": "0"})
    assert made.json == {
        "account_sid": sid,
        "messages_days": 30,
        "trace_days": 0,
        "media_days": 0,
        "attempts_days": 30,
        "parked_days": 0,
        "alerts_days": 30,
        "own": ["messages", "parked"],
    }
    await passes(trunkline, 8)
    assert await accounts_with_messages(trunkline) == {sid}
    shown = (await trunkline.request("GET", f"{ADMIN}/retention")).json
    assert shown["retention"]["messages_days"] == 7
    assert [each["account_sid"] for each in shown["accounts"]] == [sid]
    await trunkline.request("POST", path, {"MessagesDays": ""})
    assert (await trunkline.request("GET", path)).json["own"] == ["parked"]
    await passes(trunkline, 0)
    assert await accounts_with_messages(trunkline) == set()
    assert (await trunkline.request("DELETE", path)).status == 204
    assert (await trunkline.request("GET", path)).json["own"] == []
    assert await records_of(trunkline, "retention") == 0


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({}, "MessagesDays, TraceDays"),
        ({"MessagesDays": "-1"}, "from 0 to 36500"),
        ({"TraceDays": "36501"}, "from 0 to 36500"),
        ({"MediaDays": "1.5"}, "from 0 to 36500"),
        ({"AttemptsDays": "9" * 400}, "from 0 to 36500"),
        ({"ParkedDays": "٣"}, "from 0 to 36500"),
    ],
)
async def test_periods_that_cannot_be_are_refused(
    trunkline: Trunkline, form: Mapping[str, str], said: str
) -> None:
    """The error names what must be."""
    path = f"{ADMIN}/accounts/{trunkline.account_sid}/retention"
    answer = await trunkline.request("POST", path, form)
    assert (answer.status, answer.json["code"]) == (400, 20422)
    assert said in answer.json["message"]


async def test_an_account_that_is_not_there_has_no_periods(trunkline: Trunkline) -> None:
    """Neither to read nor to set."""
    path = f"{ADMIN}/accounts/AC{'0' * 32}/retention"
    for method, form in (("GET", None), ("POST", {"TraceDays": "1"}), ("DELETE", None)):
        answer = await trunkline.request(method, path, form)
        assert (answer.status, answer.json["code"]) == (404, 20404)


async def test_parked_webhooks_go_and_waiting_ones_do_not(trunkline: Trunkline) -> None:
    """Of each account after its own time."""
    trunkline.receiver.script = lambda seen: (503, "", b"")
    await texts(trunkline, StatusCallback=CALLBACK)
    await trunkline.run_for(3 * 3600)
    assert await rows_of(trunkline, callbacks) == 2
    await texts(trunkline, StatusCallback=CALLBACK)
    path = f"{ADMIN}/accounts/{trunkline.account_sid}/retention"
    await trunkline.request("POST", path, {"ParkedDays": "60"})
    await passes(trunkline, 31)
    assert await rows_of(trunkline, callbacks) == 4
    await passes(trunkline, 30)
    parked = select(func.count()).where(callbacks.c.due_at.is_(None))
    assert await trunkline.app.store.read(lambda db: db.execute(parked).scalar_one()) == 0
    assert await rows_of(trunkline, callbacks) == 2


async def test_what_belongs_to_nobody_goes_as_well(trunkline: Trunkline) -> None:
    """Strays, cookies past their life, and what no customer took."""
    platform, now = trunkline.app.platform, trunkline.clock.now()
    stray = Incoming(
        ref="1",
        sender="+15558675310",
        recipient="+14155550999",
        body="to nobody",
        encoding="GSM-7",
        num_segments=1,
        media=(),
        at=now,
    )
    await inbound.receive(platform, "simulated", [stray])
    key = (trunkline.account_sid, "+15558675310", trunkline.number, "app.example")
    owed = {
        "sid": platform.chance.sid("DL", now),
        "account_sid": trunkline.account_sid,
        "message_sid": platform.chance.sid("SM", now),
        "system_id": "acme",
        "kind": "text",
        "doc": {},
        "due_at": now,
        "attempts": 0,
        "created_at": now,
    }

    def work(db: Connection) -> None:
        save_cookies(db, key, {"session": "1"}, now=now)
        db.execute(insert(deliveries), [owed])

    await platform.store.write(work)
    await passes(trunkline, 0.1)
    assert await each_of(trunkline, strays, deliveries, cookies) == [1, 1, 1]
    await passes(trunkline, 0.1)
    assert await each_of(trunkline, strays, deliveries, cookies) == [1, 1, 0]
    await passes(trunkline, 7)
    assert await each_of(trunkline, strays, deliveries, cookies) == [1, 0, 0]
    await passes(trunkline, 30)
    assert await each_of(trunkline, strays, deliveries, cookies) == [0, 0, 0]


async def test_bytes_that_no_medium_names_are_found(trunkline: Trunkline) -> None:
    """Once a day; what is named stays, also where an older version named it in its own way."""
    trunkline.receiver.script = lambda seen: (200, "image/gif", b"GIF89a")
    await texts(trunkline, MediaUrl="https://app.example/a.gif")
    files = trunkline.app.platform.media_files
    await asyncio.to_thread(files.put, b"left by a crash")
    nameless = update(records).where(records.c.kind == MEDIA.name).values(unique_key=None)
    await trunkline.app.store.write(lambda db: db.execute(nameless).rowcount)
    await passes(trunkline, 1)
    assert shelved(files) == 2
    await make_old(trunkline)
    await passes(trunkline, 0.5)
    assert shelved(files) == 2
    await passes(trunkline, 0.6)
    assert shelved(files) == 1


def test_half_written_files_are_removed(tmp_path: Path) -> None:
    """But not those that somebody is writing now, nor what was put there once more."""
    files = MediaFiles(tmp_path)
    assert files.discard_leftovers() == 0
    digest = files.put(b"wanted")
    for name in ("old.part", f"{digest[:2]}/{digest}.gone"):
        (tmp_path / name).write_bytes(b"half")
    assert (files.discard_leftovers(), files.discard([digest])) == (0, set())
    make_files_old(tmp_path)
    assert files.put(b"wanted") == digest
    assert (files.discard_leftovers(), files.discard([digest])) == (2, set())
    make_files_old(tmp_path)
    assert files.discard([digest, "0" * 64]) == {digest, "0" * 64}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def make_files_old(directory: Path) -> None:
    """Make files look as if they had been there for long."""
    for path in directory.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))


# The clock.


async def test_a_clock_that_leapt_is_believed_after_a_day(trunkline: Trunkline) -> None:
    """Until then nothing is deleted; a clock that is put right is believed at once."""
    platform, clock = trunkline.app.platform, trunkline.clock
    await texts(trunkline)
    assert await believes(platform)
    clock.advance(400 * DAY)
    assert not await believes(platform)
    clock.advance(0.5 * DAY)
    assert not await believes(platform)
    clock.advance(0.4 * DAY)
    assert not await believes(platform)
    clock.advance(0.2 * DAY)
    assert await believes(platform)
    assert await believes(platform)


async def test_a_clock_that_leaps_on_is_not_believed(trunkline: Trunkline) -> None:
    """The day begins anew with each leap."""
    platform, clock = trunkline.app.platform, trunkline.clock
    assert await believes(platform)
    for _ in range(3):
        clock.advance(2 * DAY)
        assert not await believes(platform)
    clock.advance(0.9 * DAY)
    assert not await believes(platform)


async def test_a_clock_that_is_put_right_is_believed(trunkline: Trunkline) -> None:
    """Whoever set it wrong by mistake has lost nothing."""
    platform = trunkline.app.platform
    assert await believes(platform)
    right = platform.clock
    platform.clock = ManualClock(NOON + timedelta(days=3650))
    assert not await believes(platform)
    platform.clock = right
    assert await believes(platform)


async def test_at_first_the_newest_message_says_what_time_it_is(trunkline: Trunkline) -> None:
    """A wrong clock at the first start with retention deletes nothing either."""
    await texts(trunkline)
    trunkline.clock.advance(3650 * DAY)
    assert not await believes(trunkline.app.platform)


async def test_the_worker_waits_and_says_why(trunkline: Trunkline) -> None:
    """With the system's clock; one that is moved on purpose may leap."""
    keeping(trunkline, messages=1)
    await texts(trunkline)
    trunkline.clock.advance(10 * DAY)
    careful = Retention(trunkline.app.platform, trusts_clock=False)
    with capture_logs() as logs:
        await drive(trunkline, careful)
    assert [entry["event"] for entry in logs] == [
        "nothing is deleted by age: the clock leapt forward by more than a day"
    ]
    assert await rows_of(trunkline, messages) == 1
    await drive(trunkline, Retention(trunkline.app.platform, trusts_clock=True))
    assert await rows_of(trunkline, messages) == 0


async def drive(trunkline: Trunkline, worker: Retention) -> None:
    """Let a worker do one pass."""
    trunkline.clock.advance(61)
    while await worker.step():
        trunkline.clock.advance(1)


async def test_the_worker_rests_between_its_steps(trunkline: Trunkline) -> None:
    """So that everybody else gets the most of the writer."""
    keeping(trunkline, messages=1)
    await texts(trunkline, BATCH_MAX + 1)
    worker = Retention(trunkline.app.platform, trusts_clock=True)
    trunkline.clock.advance(3 * DAY)
    assert await worker.step() == BATCH_MAX
    assert await worker.step() == 0
    due = await worker.next_due()
    assert due is not None
    assert due > trunkline.clock.now()
    trunkline.clock.advance((due - trunkline.clock.now()).total_seconds())
    assert await worker.step() == 1


async def test_a_pass_that_fails_begins_anew(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did stays done."""
    keeping(trunkline, messages=1)
    await texts(trunkline)
    worker = Retention(trunkline.app.platform, trusts_clock=True)
    trunkline.clock.advance(30 * DAY)
    with monkeypatch.context() as patch:
        patch.setattr(retention, "forget_all", broken)
        with pytest.raises(RuntimeError, match="full"):
            await worker.step()
    trunkline.clock.advance(EVERY_SECONDS + 1)
    assert await worker.step() == 1
    assert await rows_of(trunkline, messages) == 0


def broken(*_: object, **__: object) -> None:
    """Stand for a database that cannot be written."""
    raise RuntimeError("the disk is full")


async def test_it_goes_by_itself(trunkline: Trunkline) -> None:
    """Nobody has to start it."""
    keeping(trunkline, messages=1)
    trunkline.app.use_sender(trunkline.receiver)
    await texts(trunkline)
    trunkline.app.config = trunkline.app.config.model_copy(update={"clock": "manual"})
    trunkline.app.use_sender(trunkline.receiver)
    await trunkline.run_for(1.2 * DAY)
    assert await rows_of(trunkline, messages) == 0


def test_settings_and_periods_have_the_same_defaults(trunkline: Trunkline) -> None:
    """The settings name every kind."""
    assert trunkline.config.retention == Periods()
    assert set(OF_ACCOUNTS) < set(trunkline.config.retention.__slots__)


# What the tests look at.


def shelved(files: MediaFiles) -> int:
    """Return how many contents are kept."""
    return sum(len(files.shelf(number)) for number in range(256))


async def each_of(trunkline: Trunkline, *tables: Table) -> list[int]:
    """Return how many rows each table has."""
    return [await rows_of(trunkline, table) for table in tables]


async def records_of(trunkline: Trunkline, kind: str) -> int:
    """Return how many records of a kind there are."""
    query = select(func.count()).where(records.c.kind == kind)
    return await trunkline.app.store.read(lambda db: db.execute(query).scalar_one())


async def accounts_with_messages(trunkline: Trunkline) -> set[Any]:
    """Return the accounts that have any."""
    query = select(messages.c.account_sid)
    return await trunkline.app.store.read(lambda db: set(db.execute(query).scalars()))
