"""What was redacted or deleted is gone: from every table, from the log of SQLite, from the disk."""

import os

import pytest
from sqlalchemy import Connection, Table, func, select, update

from tests.databases import DATABASES, SQLITE
from tests.esme import Esme
from tests.harness import Seen, Trunkline
from trunkline.domain.ids import EPOCH
from trunkline.flows.erasure import AGAIN_SECONDS, BYTES_SECONDS
from trunkline.store.tables import (
    callback_attempts,
    callbacks,
    deliveries,
    erasures,
    media_bytes,
    metadata,
    records,
)
from trunkline.webhooks.answer import Answer
from trunkline.webhooks.request import Rendered, Target

SECRET = "the password is opensesame"
CALLBACK = "https://app.example/status"


async def places(trunkline: Trunkline, secret: str = "opensesame") -> list[str]:
    """Return where *secret* is still: files of the data directory, as bytes; tables of a server."""
    needles = (secret.encode(), secret.encode("utf-16-be"), secret.encode().hex().encode())
    files = [
        path.name
        for path in sorted(trunkline.config.data_dir.rglob("*"))
        if path.is_file() and any(needle in path.read_bytes() for needle in needles)
    ]
    if DATABASES.kind == SQLITE:
        return files
    return files + await trunkline.app.store.read(lambda db: tables_with(db, secret.encode()))


def tables_with(db: Connection, secret: bytes) -> list[str]:
    """Return the tables that hold *secret*."""
    return [
        table.name
        for table in metadata.sorted_tables
        if any(secret in as_bytes(value) for row in db.execute(select(table)) for value in row)
    ]


def as_bytes(value: object) -> bytes:
    """Return a value as one can look for something in it."""
    return value if isinstance(value, bytes) else repr(value).encode()


async def redact(trunkline: Trunkline, sid: str) -> None:
    """Empty the text of a message through the API."""
    answer = await trunkline.request("POST", f"{trunkline.base}/Messages/{sid}.json", {"Body": ""})
    assert (answer.status, answer.json["body"]) == (200, ""), answer.body


async def delete(trunkline: Trunkline, sid: str) -> None:
    """Delete a message through the API."""
    answer = await trunkline.request("DELETE", f"{trunkline.base}/Messages/{sid}.json")
    assert answer.status == 204, answer.body


async def receive(trunkline: Trunkline, body: str = SECRET) -> str:
    """Let a phone send a text to our number; return the SID of the message."""
    await trunkline.app.network.send_from("+15558675310", trunkline.number, body=body)
    await trunkline.run_for(0)
    listed = await trunkline.request(
        "GET", f"{trunkline.base}/Messages.json", {"To": trunkline.number}
    )
    return str(listed.json["messages"][0]["sid"])


def echo(seen: Seen) -> tuple[int, str, bytes]:
    """Answer with what was asked, in a document that leads on to an address that holds it."""
    if "hop" in seen.url:
        return 200, "text/xml", b"<Response/>"
    body = seen.form.get("Body", "")
    answer = f"<Response><!-- {body} --><Redirect>/hop?text={body}</Redirect></Response>"
    return 200, "text/xml", answer.replace(" ", "+").encode()


async def test_a_redacted_text_is_nowhere_on_the_disk(trunkline: Trunkline) -> None:
    """Neither in the database nor in its log, once what was under way has ended."""
    sent = await trunkline.send(body=SECRET, StatusCallback=CALLBACK)
    await trunkline.run_for(5)
    sid = sent.json["sid"]
    assert await places(trunkline)
    await redact(trunkline, sid)
    await trunkline.run_for(AGAIN_SECONDS + 1)
    assert await places(trunkline) == []
    assert (await trunkline.message(sid))["status"] == "delivered"


async def test_a_redacted_inbound_text_is_nowhere_on_the_disk(trunkline: Trunkline) -> None:
    """Not where the phone keeps it, nor in what its webhook answered, nor where that led."""
    await trunkline.configure_number(SmsUrl="https://app.example/sms")
    trunkline.receiver.script = echo
    sid = await receive(trunkline)
    assert [seen.form["Body"] for seen in trunkline.receiver.seen] == [SECRET, SECRET]
    await redact(trunkline, sid)
    await trunkline.run_for(AGAIN_SECONDS + 1)
    assert await places(trunkline) == []


async def test_a_deleted_message_is_nowhere_on_the_disk(trunkline: Trunkline) -> None:
    """So is what hung on it, and its feedback."""
    sent = await trunkline.send(body=SECRET, StatusCallback=CALLBACK)
    await trunkline.run_for(5)
    sid = sent.json["sid"]
    said = await trunkline.request(
        "POST", f"{trunkline.base}/Messages/{sid}/Feedback.json", {"Outcome": "confirmed"}
    )
    assert said.status == 200
    await delete(trunkline, sid)
    await trunkline.run_for(AGAIN_SECONDS + 1)
    assert await places(trunkline) == []
    feedback = select(func.count()).where(records.c.kind == "feedback")
    assert await trunkline.app.store.read(lambda db: db.execute(feedback).scalar_one()) == 0


async def test_a_long_text_is_nowhere_on_the_disk(trunkline: Trunkline) -> None:
    """Rows that need pages of their own leave nothing in them."""
    long = (SECRET + " ") * 55
    sent = await trunkline.send(body=long[:1500])
    received = await receive(trunkline, long[:1500])
    await trunkline.run_for(5)
    await redact(trunkline, sent.json["sid"])
    await delete(trunkline, received)
    await trunkline.run_for(AGAIN_SECONDS + 1)
    assert await places(trunkline) == []


async def test_a_waiting_webhook_tells_of_a_redacted_text_without_it(trunkline: Trunkline) -> None:
    """The application learns that a text came; what it said is gone."""
    await trunkline.configure_number(SmsUrl="https://app.example/sms")
    trunkline.receiver.script = lambda seen: (503, "", b"later")
    sid = await receive(trunkline)
    await redact(trunkline, sid)
    trunkline.receiver.script = lambda seen: (204, "", b"")
    await trunkline.run_for(120)
    first, *_, last = trunkline.receiver.seen
    assert (first.form["Body"], last.form["Body"]) == (SECRET, "")
    assert {**first.form, "Body": ""} == last.form
    assert await places(trunkline) == []


async def test_a_waiting_webhook_tells_of_a_deleted_text_without_it(trunkline: Trunkline) -> None:
    """It leaves no trace of a message that is gone, however often it is tried."""
    await trunkline.configure_number(SmsUrl="https://app.example/sms")
    trunkline.receiver.script = lambda seen: (503, "text/plain", seen.form["Body"].encode())
    sid = await receive(trunkline)
    await delete(trunkline, sid)
    await trunkline.run_for(3 * 3600)
    told = [seen.form["Body"] for seen in trunkline.receiver.seen]
    assert len(told) == 6
    assert set(told[1:]) == {""}
    assert await rows_of(trunkline, callbacks, callback_attempts, erasures) == 0


async def rows_of(trunkline: Trunkline, *tables: Table) -> int:
    """Return how many rows tables have together."""

    def count(db: Connection) -> int:
        queries = [select(func.count()).select_from(table) for table in tables]
        return sum(db.execute(query).scalar_one() for query in queries)

    return await trunkline.app.store.read(count)


async def test_what_was_under_way_brings_nothing_back(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook that was just being made ends after the redaction, with the text in its answer."""
    await trunkline.configure_number(SmsUrl="https://app.example/sms")
    trunkline.receiver.script = echo
    send = trunkline.receiver.send

    async def slow(request: Rendered, target: Target, **given: object) -> Answer:
        answer = await send(request, target)
        if len(trunkline.receiver.seen) == 1:
            listed = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
            await redact(trunkline, listed.json["messages"][0]["sid"])
        return answer

    monkeypatch.setattr(trunkline.receiver, "send", slow)
    await receive(trunkline)
    assert trunkline.receiver.seen[0].form["Body"] == SECRET
    await trunkline.run_for(AGAIN_SECONDS + 1)
    assert await places(trunkline) == []


async def test_customers_are_owed_a_redacted_text_without_it(
    trunkline: Trunkline, esme: Esme
) -> None:
    """Receipts quote the beginning of a text, and texts wait for customers who are away."""
    await esme.close()
    await trunkline.app.network.send_from("+15558675310", "+15550001111", body=SECRET)
    await trunkline.run_for(0)
    assert await owed(trunkline) == [SECRET]
    listed = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    await redact(trunkline, listed.json["messages"][0]["sid"])
    assert await owed(trunkline) == [""]
    await trunkline.run_for(AGAIN_SECONDS + 1)
    assert await places(trunkline) == []


async def owed(trunkline: Trunkline) -> list[str]:
    """Return the texts that wait for customers."""
    docs = select(deliveries.c.doc)
    found = await trunkline.app.store.read(lambda db: db.execute(docs).scalars().all())
    return [doc["body"] for doc in found]


async def test_others_keep_their_texts(trunkline: Trunkline) -> None:
    """Only what was meant goes."""
    first = await trunkline.send(body=SECRET)
    second = await trunkline.send(body="this one stays")
    await trunkline.run_for(5)
    await redact(trunkline, first.json["sid"])
    await delete(trunkline, first.json["sid"])
    await trunkline.run_for(AGAIN_SECONDS + 1)
    assert (await trunkline.message(second.json["sid"]))["body"] == "this one stays"
    assert await places(trunkline, "this one stays") != []


async def test_the_bytes_of_deleted_media_go(trunkline: Trunkline) -> None:
    """A little later, and only when no other medium needs them."""
    picture = b"GIF89a opensesame"
    trunkline.receiver.script = lambda seen: (200, "image/gif", picture)
    urls = ["https://app.example/a.gif", "https://app.example/b.gif"]
    sent = await trunkline.send(MediaUrl=urls)
    await trunkline.run_for(5)
    base = f"{trunkline.base}/Messages/{sent.json['sid']}/Media"
    media = (await trunkline.request("GET", f"{base}.json")).json["media_list"]
    first, second = [medium["sid"] for medium in media]
    await make_old(trunkline)
    await remove(trunkline, f"{base}/{first}.json")
    assert await places(trunkline) != []
    await make_old(trunkline)
    await remove(trunkline, f"{base}/{second}.json")
    assert await places(trunkline) == []


async def remove(trunkline: Trunkline, path: str) -> None:
    """Delete a medium, and let the time pass that its bytes have."""
    assert (await trunkline.request("DELETE", path)).status == 204
    await trunkline.run_for(BYTES_SECONDS + 1)


async def make_old(trunkline: Trunkline) -> None:
    """Make bytes look as if nobody had put them there lately."""
    for path in (trunkline.config.data_dir / "media").rglob("*"):
        os.utime(path, (0, 0))
    old = update(media_bytes).values(kept_at=EPOCH)
    await trunkline.app.store.write(lambda db: db.execute(old).rowcount)
