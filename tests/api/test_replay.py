"""Webhooks that were given up: found, made again in their order, thrown away, in bounded steps."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.api.test_console import subaccount
from tests.api.test_redaction import rows_of
from tests.harness import Response, Seen, Trunkline
from trunkline.flows import replay
from trunkline.store import parked
from trunkline.store.parked import ATTEMPTS_KEPT_MAX
from trunkline.store.tables import callback_attempts, callbacks, retention_marks

GOOD, BAD = "https://good.example/status", "https://bad.example:8443/status"
PATH = "/trunkline/v1/webhooks"
TRIES = 2
GIVEN_UP = 30.0  # Longer than all attempts at two webhooks take, one behind the other.


@pytest.fixture
async def trunkline(tmp_path: Path) -> AsyncIterator[Trunkline]:
    """Yield a program that gives webhooks up soon."""
    program = Trunkline(tmp_path / "data", webhook_retry_seconds=(5,))
    yield program
    await program.close()


def refuse_bad(seen: Seen) -> tuple[int, str, bytes]:
    """Answer as a receiver that is being repaired does, if it is the bad one."""
    return (503, "text/plain", b"soon") if "bad.example" in seen.url else (204, "", b"")


def accept(_: Seen) -> tuple[int, str, bytes]:
    """Answer as a receiver that works does."""
    return 204, "", b""


async def give_up(trunkline: Trunkline, count: int = 1, url: str = BAD) -> list[str]:
    """Send messages whose two callbacks nobody takes; return their SIDs."""
    trunkline.receiver.script = refuse_bad
    sids = [(await trunkline.send(StatusCallback=url)).json["sid"] for _ in range(count)]
    await trunkline.run_for(GIVEN_UP)
    trunkline.receiver.seen.clear()
    trunkline.receiver.script = accept
    return sids


async def listed(trunkline: Trunkline, **query: object) -> list[dict[str, Any]]:
    """Return what the API lists."""
    answer = await trunkline.request("GET", PATH, query)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["webhooks"]
    return found


async def post(trunkline: Trunkline, path: str, form: Mapping[str, str] | None = None) -> Response:
    """Ask for something to be done."""
    return await trunkline.request("POST", f"{PATH}/{path}", form or {})


async def test_what_was_given_up_is_listed(trunkline: Trunkline) -> None:
    """With the last error, newest first; nothing of what it would tell."""
    (sid,) = await give_up(trunkline)
    newest, oldest = await listed(trunkline)
    assert [newest["label"], oldest["label"]] == ["delivered", "sent"]
    assert {**newest, "created_at": "", "last_attempt": None} == {
        "sid": newest["sid"],
        "status": "parked",
        "account_sid": trunkline.account_sid,
        "message_sid": sid,
        "kind": "status",
        "label": "delivered",
        "host": "bad.example:8443",
        "url": BAD,
        "attempts": TRIES,
        "due_at": None,
        "created_at": "",
        "last_attempt": None,
    }
    last = newest["last_attempt"]
    assert (last["http_status"], last["error_code"]) == (503, 11200)


async def test_it_is_made_again_in_the_order_of_its_message(trunkline: Trunkline) -> None:
    """Whichever of them is asked for, with the same token, and as often as at first."""
    (sid,) = await give_up(trunkline)
    newest, _ = await listed(trunkline)
    trunkline.receiver.script = refuse_bad
    answer = await post(trunkline, f"{newest['sid']}/replay")
    assert (answer.status, answer.json) == (200, {"replayed": 2})
    await trunkline.run_for(1)
    assert trunkline.receiver.statuses(sid) == ["sent"]
    (token,) = {seen.headers["I-Twilio-Idempotency-Token"] for seen in trunkline.receiver.seen}
    trunkline.receiver.script = accept
    await trunkline.run_for(GIVEN_UP)
    assert trunkline.receiver.statuses(sid) == ["sent", "sent", "delivered"]
    assert trunkline.receiver.seen[1].headers["I-Twilio-Idempotency-Token"] == token
    assert await rows_of(trunkline, callbacks) == 0


async def test_it_is_given_up_again_after_as_many_attempts(trunkline: Trunkline) -> None:
    """And the attempts that are kept of it are bounded, however often it is replayed."""
    await give_up(trunkline)
    trunkline.receiver.script = refuse_bad
    for _ in range(ATTEMPTS_KEPT_MAX // TRIES + 2):
        done = await post(trunkline, "replay", {"All": "true"})
        assert done.json == {"replayed": 2, "has_more": False}
        await trunkline.run_for(GIVEN_UP)
    query = select(func.count(callback_attempts.c.sid)).group_by(callback_attempts.c.callback_sid)
    counts = await trunkline.app.store.read(lambda db: db.execute(query).scalars().all())
    assert list(counts) == [ATTEMPTS_KEPT_MAX + TRIES] * 2


@pytest.mark.parametrize(
    ("form", "hosts"),
    [
        ({"Host": "bad.example:8443"}, {"bad.example:8443"}),
        ({"Host": "BAD.example:8443", "Kind": "status"}, {"bad.example:8443"}),
        ({"Host": "worse.bad.example"}, {"worse.bad.example"}),
        ({"All": "true"}, {"bad.example:8443", "worse.bad.example"}),
        ({"Kind": "inbound"}, set()),
        ({"Account": "AC" + "0" * 32}, set()),
        ({"Since": "2026-11-20T12:00:00Z"}, {"bad.example:8443", "worse.bad.example"}),
        ({"Since": "2026-11-20T12:00:20"}, {"worse.bad.example"}),
        ({"Since": "2026-11-20T23:00:00+01:00"}, set()),
    ],
)
async def test_a_filter_chooses_what_is_made_again(
    trunkline: Trunkline, form: dict[str, str], hosts: set[str]
) -> None:
    """The list, the count and the replay mean the same by it."""
    await give_up(trunkline)
    await give_up(trunkline, url="https://worse.bad.example/status")
    query = {name.lower(): value for name, value in form.items() if name != "All"}
    assert {webhook["host"] for webhook in await listed(trunkline, **query)} == hosts
    counted = await trunkline.request("GET", f"{PATH}/count", query)
    assert counted.json == {"count": 2 * len(hosts), "has_more": False}
    done = await post(trunkline, "replay", form)
    assert done.json == {"replayed": 2 * len(hosts), "has_more": False}
    await trunkline.run_for(60)
    assert {seen.url.split("/")[2] for seen in trunkline.receiver.seen} == hosts


@pytest.mark.parametrize("verb", ["replay", "discard"])
@pytest.mark.parametrize("form", [{}, {"Hosts": "bad.example"}, {"All": "yes"}, {"Host": ""}])
async def test_a_form_that_chooses_nothing_is_refused(
    trunkline: Trunkline, verb: str, form: dict[str, str]
) -> None:
    """A misspelt filter does not mean everything."""
    await give_up(trunkline)
    answer = await post(trunkline, verb, form)
    assert (answer.status, answer.json["code"]) == (400, 20422)
    assert len(await listed(trunkline)) == 2


@pytest.mark.parametrize(
    "query",
    [
        {"status": "sent"},
        {"kind": "voice"},
        {"since": "yesterday"},
        {"limit": "1001"},
        {"limit": "0"},
    ],
)
async def test_nonsense_is_refused(trunkline: Trunkline, query: dict[str, str]) -> None:
    """With what was expected instead."""
    answer = await trunkline.request("GET", PATH, query)
    assert (answer.status, answer.json["code"]) == (400, 20422)


async def test_pages_are_bounded(trunkline: Trunkline) -> None:
    """The next one begins behind the last webhook of the one before."""
    await give_up(trunkline, 3)
    seen: list[str] = []
    page = await listed(trunkline, limit=4)
    while page:
        seen += [webhook["sid"] for webhook in page]
        page = await listed(trunkline, limit=4, before=seen[-1])
    assert len(seen) == 6
    assert seen == sorted(seen, reverse=True)


async def test_what_is_more_than_one_request_does_is_said(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has more asks again; each commit is bounded."""
    await give_up(trunkline, 4)
    monkeypatch.setattr(replay, "BATCH_MAX", 3)
    monkeypatch.setattr(replay, "AT_ONCE_MAX", 5)
    first = await post(trunkline, "replay", {"All": "true"})
    assert first.json == {"replayed": 6, "has_more": True}
    second = await post(trunkline, "replay", {"All": "true"})
    assert second.json == {"replayed": 2, "has_more": False}


async def test_counts_end_somewhere(trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million rows are not counted for a page."""
    await give_up(trunkline, 2)
    monkeypatch.setattr(parked, "COUNTED_MAX", 3)
    monkeypatch.setattr("trunkline.admin.webhooks.COUNTED_MAX", 3)
    counted = await trunkline.request("GET", f"{PATH}/count", {})
    assert counted.json == {"count": 3, "has_more": True}


async def test_what_is_thrown_away_is_told_to_nobody(trunkline: Trunkline) -> None:
    """One, or all that a filter chooses; what waits is not touched."""
    await give_up(trunkline, 2)
    newest, *_ = await listed(trunkline)
    gone = await trunkline.request("DELETE", f"{PATH}/{newest['sid']}")
    again = await trunkline.request("DELETE", f"{PATH}/{newest['sid']}")
    assert (gone.status, again.status) == (204, 404)
    trunkline.receiver.script = refuse_bad
    await trunkline.send(StatusCallback=BAD)
    await trunkline.run_for(2)
    done = await post(trunkline, "discard", {"All": "true"})
    assert done.json == {"discarded": 3, "has_more": False}
    waiting = await listed(trunkline, status="waiting")
    assert [webhook["label"] for webhook in waiting] == ["delivered", "sent"]
    assert await listed(trunkline) == []
    for verb in ("replay", "discard"):
        assert (await post(trunkline, verb, {"All": "true"})).json["has_more"] is False
    assert len(await listed(trunkline, status="waiting")) == 2


@pytest.mark.parametrize("sid", ["CB" + "0" * 32, "nonsense"])
async def test_what_is_not_there_cannot_be_replayed(trunkline: Trunkline, sid: str) -> None:
    """Neither what never was, nor what waits by itself."""
    trunkline.receiver.script = refuse_bad
    await trunkline.send(StatusCallback=BAD)
    await trunkline.run_for(2)
    (waiting, *_) = await listed(trunkline, status="waiting")
    for each in (sid, waiting["sid"]):
        answer = await post(trunkline, f"{each}/replay")
        assert (answer.status, answer.json["code"]) == (404, 20404)


async def test_what_was_parked_holds_nothing_up(trunkline: Trunkline) -> None:
    """The later ones of its message are made; replayed, it comes after them, and comes."""
    trunkline.receiver.script = lambda seen: (
        (503, "", b"") if seen.form.get("MessageStatus") == "sent" else (204, "", b"")
    )
    sent = await trunkline.send(StatusCallback=GOOD)
    await trunkline.run_for(GIVEN_UP)
    sid = sent.json["sid"]
    assert trunkline.receiver.statuses(sid) == ["sent"] * TRIES + ["delivered"]
    trunkline.receiver.script = accept
    await post(trunkline, "replay", {"Message": sid})
    await trunkline.run_for(1)
    assert trunkline.receiver.statuses(sid)[TRIES:] == ["delivered", "sent"]


async def test_an_inbound_webhook_is_replayed_with_its_answer(trunkline: Trunkline) -> None:
    """What it answers is sent then, and the message is blamed no more."""
    await trunkline.configure_number(SmsUrl=BAD)
    trunkline.receiver.script = refuse_bad
    await trunkline.app.network.send_from("+15558675310", trunkline.number, body="hello?")
    await trunkline.run_for(GIVEN_UP)
    (parked_one,) = await listed(trunkline, kind="inbound")
    assert (await trunkline.message(parked_one["message_sid"]))["error_code"] == 11200
    trunkline.receiver.script = lambda seen: (200, "text/plain", b"here we are")
    assert (await post(trunkline, f"{parked_one['sid']}/replay")).json == {"replayed": 1}
    await trunkline.run_for(5)
    assert (await trunkline.message(parked_one["message_sid"]))["error_code"] is None
    replies = await trunkline.request(
        "GET", f"{trunkline.base}/Messages.json", {"From": trunkline.number}
    )
    assert [reply["body"] for reply in replies.json["messages"]] == ["here we are"]


async def test_hosts_are_listed_with_what_they_lack(trunkline: Trunkline) -> None:
    """Those with the most given up first."""
    await give_up(trunkline, 2)
    await give_up(trunkline, url="https://worse.bad.example/status")
    trunkline.receiver.script = refuse_bad
    await trunkline.send(StatusCallback="https://slow.bad.example/status")
    await trunkline.run_for(2)
    answer = await trunkline.request("GET", f"{PATH}/hosts")
    assert [(h["host"], h["waiting"], h["parked"]) for h in answer.json["hosts"]] == [
        ("bad.example:8443", 0, 4),
        ("worse.bad.example", 0, 2),
        ("slow.bad.example", 2, 0),
    ]
    assert answer.json["hosts"][0]["last_attempt"]["http_status"] == 503
    assert answer.json["hosts"][2]["last_attempt"]["http_status"] == 503


async def test_a_subaccount_has_no_say(trunkline: Trunkline) -> None:
    """The admin API is the main account's, for all accounts."""
    auth = await subaccount(trunkline)
    for method, path in (("GET", PATH), ("POST", f"{PATH}/replay"), ("GET", f"{PATH}/hosts")):
        answer = await trunkline.request(method, path, {"All": "true"}, auth=auth)
        assert answer.status == 401


async def test_attempts_of_old_messages_do_not_stay_for_ever(trunkline: Trunkline) -> None:
    """What a replay adds behind the mark of retention is found by it again."""
    (sid,) = await give_up(trunkline)
    path = f"/trunkline/v1/accounts/{trunkline.account_sid}/retention"
    await trunkline.request("POST", path, {"ParkedDays": "0", "AttemptsDays": "1"})
    trunkline.app.config = trunkline.app.config.model_copy(update={"clock": "manual"})
    trunkline.app.use_sender(trunkline.receiver)
    await trunkline.run_for(2 * 86_400)
    assert await rows_of(trunkline, callback_attempts) == 0
    assert await rows_of(trunkline, retention_marks) > 0
    await post(trunkline, "replay", {"Message": sid})
    await trunkline.run_for(1)
    assert await rows_of(trunkline, callback_attempts) == 2
    await trunkline.run_for(3700)
    assert await rows_of(trunkline, callback_attempts) == 0
