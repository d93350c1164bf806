"""A request that is made again under its Idempotency-Key has its effect once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.databases import DATABASES
from tests.harness import Response, Trunkline
from trunkline.store.sending_tables import idempotency_keys

CALLBACK = "https://app.example.com/status"
HOUR = 3600.0


async def send(
    trunkline: Trunkline, key: str, to: str = "+15558675310", **form: object
) -> Response:
    """POST a message under a key."""
    given = {"To": to, "From": trunkline.number, "Body": "Hello", **form}
    path = f"{trunkline.base}/Messages.json"
    return await trunkline.request("POST", path, given, headers={"Idempotency-Key": key})


async def inbox(trunkline: Trunkline) -> list[str | None]:
    """Return the texts that a phone received."""
    return [text.body for text in await trunkline.app.network.inbox("+15558675310")]


async def test_the_same_request_again_is_answered_with_its_message(trunkline: Trunkline) -> None:
    """With its SID and 201, as it is by now; the phone and the application hear of it once."""
    first = await send(trunkline, "order-7", StatusCallback=CALLBACK)
    await trunkline.run_for(5)
    again = await send(trunkline, "order-7", StatusCallback=CALLBACK)
    await trunkline.run_for(5)
    assert (first.status, again.status) == (201, 201)
    assert (again.json["sid"], again.json["status"]) == (first.json["sid"], "delivered")
    assert await inbox(trunkline) == ["Hello"]
    assert trunkline.receiver.statuses(first.json["sid"]) == ["sent", "delivered"]
    other = await send(trunkline, "order-8", StatusCallback=CALLBACK)
    assert other.json["sid"] != first.json["sid"]


async def test_requests_at_the_same_moment_make_one_message(trunkline: Trunkline) -> None:
    """Whichever was first, all are answered with it; requests without a key are not held up."""
    answers = await asyncio.gather(
        *(send(trunkline, "one") for _ in range(20)), *(trunkline.send(body="x") for _ in range(3))
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["sid"] for answer in answers[:20]}) == 1
    assert len({answer.json["sid"] for answer in answers}) == 4
    await trunkline.run_for(5)
    assert sorted(map(str, await inbox(trunkline))) == ["Hello", "x", "x", "x"]


@pytest.mark.parametrize(
    "other",
    [{"Body": "Bye"}, {"to": "+15558675311"}, {"StatusCallback": CALLBACK}, {"Attempt": 2}],
)
async def test_another_request_under_the_key_is_refused(
    trunkline: Trunkline, other: dict[str, Any]
) -> None:
    """422 says that trying again is no use; nothing is sent, and the key is still the first's."""
    first = await send(trunkline, "order-7")
    answer = await send(trunkline, "order-7", **other)
    assert (answer.status, answer.json["code"]) == (422, 20424)
    assert "Idempotency-Key" in answer.json["message"]
    assert (await send(trunkline, "order-7")).json["sid"] == first.json["sid"]
    await trunkline.run_for(5)
    assert await inbox(trunkline) == ["Hello"]


async def test_a_refused_request_does_not_use_its_key(trunkline: Trunkline) -> None:
    """Whoever puts right what was wrong asks under the same key."""
    refused = await send(trunkline, "order-7", to="nobody")
    assert (refused.status, refused.json["code"]) == (400, 21211)
    assert (await send(trunkline, "order-7")).status == 201


async def test_each_account_has_keys_of_its_own(trunkline: Trunkline) -> None:
    """The same key of two accounts stands for two messages."""
    sub = (await trunkline.request("POST", "/2010-04-01/Accounts.json", {})).json
    base = f"/2010-04-01/Accounts/{sub['sid']}"
    form = {"AreaCode": "415"}
    bought = await trunkline.request("POST", f"{base}/IncomingPhoneNumbers.json", form)
    own = await send(trunkline, "order-7")
    form = {"To": "+15558675310", "From": bought.json["phone_number"], "Body": "Hello"}
    other = await trunkline.request(
        "POST", f"{base}/Messages.json", form, headers={"Idempotency-Key": "order-7"}
    )
    assert (other.status, other.json["account_sid"]) == (201, sub["sid"])
    assert other.json["sid"] != own.json["sid"]


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256])
async def test_what_is_no_key_is_refused(trunkline: Trunkline, key: str) -> None:
    """An error names the header; nothing is sent without the protection that was asked for."""
    answer = await send(trunkline, key)
    assert (answer.status, answer.json["code"]) == (400, 20422)
    assert "`Idempotency-Key`" in answer.json["message"]
    listed = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    assert listed.json["messages"] == []


async def test_a_key_is_kept_for_a_day(trunkline: Trunkline) -> None:
    """Then it stands for what is asked next, whether or not it was cleaned away yet."""
    first = await send(trunkline, "x" * 255)
    trunkline.clock.advance(24 * HOUR)
    assert (await send(trunkline, "x" * 255)).json["sid"] == first.json["sid"]
    trunkline.clock.advance(1)
    second = await send(trunkline, "x" * 255, Body="New")
    assert (second.status, second.json["body"]) == (201, "New")
    assert (await send(trunkline, "x" * 255, Body="New")).json["sid"] == second.json["sid"]


async def test_old_keys_are_cleaned_away(trunkline: Trunkline) -> None:
    """A day after they were used nothing of them is left; newer ones stay."""

    async def count() -> int:
        query = select(func.count()).select_from(idempotency_keys)
        found = await trunkline.app.platform.store.read(lambda db: db.execute(query).scalar_one())
        return int(found)

    await send(trunkline, "old")
    await trunkline.run_for(20 * HOUR)
    await send(trunkline, "new")
    assert await count() == 2
    await trunkline.run_for(6 * HOUR)
    assert await count() == 1


async def test_a_key_of_a_deleted_message_sends_nothing(trunkline: Trunkline) -> None:
    """The repeat is told that the message is gone: it had been sent."""
    sid = (await send(trunkline, "order-7")).json["sid"]
    await trunkline.run_for(5)
    await trunkline.request("DELETE", f"{trunkline.base}/Messages/{sid}.json")
    answer = await send(trunkline, "order-7")
    assert (answer.status, answer.json["code"]) == (410, 20410)
    assert sid in answer.json["message"]


async def test_an_answer_that_was_lost_is_given_again_after_a_restart(trunkline: Trunkline) -> None:
    """The key is on disk with the message, before it is on its way and before anybody is told."""
    sid = (await send(trunkline, "order-7")).json["sid"]
    await trunkline.close()
    again = Trunkline(trunkline.config.data_dir)
    try:
        assert (await send(again, "order-7")).json["sid"] == sid
        await again.run_for(5)
        assert await inbox(again) == ["Hello"]
    finally:
        await again.close()


@pytest.mark.postgresql
async def test_two_nodes_make_one_message_of_the_same_request(tmp_path: Path) -> None:
    """Asked at the same moment, time and again; several keys at once do not lock each other."""
    where = dict(DATABASES.settings(tmp_path / "one"))
    one = Trunkline(tmp_path / "one", **where)
    key = str(tmp_path / "one" / "secret.key")
    two = Trunkline(tmp_path / "two", **where, secret_key=key, seed=8)
    for n in range(10):
        keys = [f"{n}-{k}" for k in range(4)]
        asked = [*((one, k) for k in keys), *((two, k) for k in reversed(keys))]
        answers = await asyncio.gather(*(send(node, key) for node, key in asked))
        assert {answer.status for answer in answers} == {201}
        sids = {
            k: {a.json["sid"] for (_, b), a in zip(asked, answers, strict=True) if b == k}
            for k in keys
        }
        assert all(len(found) == 1 for found in sids.values())
    listed = await one.request("GET", f"{one.base}/Messages.json", {"PageSize": 100})
    assert len(listed.json["messages"]) == 40
    for node in (one, two):
        await node.close()
