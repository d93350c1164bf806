"""Trunkline's own API: phones, traces and the clock."""

from typing import Any

import pytest

from tests.harness import Response, Trunkline
from trunkline.admin.phones import LIMIT_MAX
from trunkline.runtime import SystemClock

ADA = "+15558675310"
INBOX = {"from", "to", "body", "media", "segments", "encoding", "received_at"}


class Admin:
    """Calls the admin API of a program."""

    def __init__(self, trunkline: Trunkline) -> None:
        self.trunkline = trunkline

    async def fetch(self, path: str, **more: Any) -> Response:
        """GET something."""
        return await self.trunkline.request("GET", f"/trunkline/v1{path}", **more)

    async def post(self, path: str, form: Any = (), **more: Any) -> Response:
        """POST a form."""
        return await self.trunkline.request("POST", f"/trunkline/v1{path}", form, **more)


def error_of(answer: Response) -> tuple[int, int]:
    """Return status and code of an error, which must be in Twilio's shape."""
    error = answer.json
    assert error.keys() == {"code", "message", "more_info", "status"}
    assert error["status"] == answer.status
    assert error["more_info"].endswith(f"/{error['code']}")
    return answer.status, error["code"]


async def test_only_the_main_account_gets_in(trunkline: Trunkline) -> None:
    """Its token and its keys do; nothing, a wrong token and a subaccount do not."""
    made = await trunkline.request("POST", "/2010-04-01/Accounts.json", {"FriendlyName": "Sub"})
    key = (await trunkline.request("POST", f"{trunkline.base}/Keys.json", {})).json
    admin = Admin(trunkline)
    assert (await admin.fetch("/phones")).status == 200
    assert (await admin.fetch("/phones", auth=(key["sid"], key["secret"]))).status == 200
    sub = (made.json["sid"], made.json["auth_token"])
    for auth in (None, (trunkline.account_sid, "wrong"), sub):
        answer = await admin.fetch("/phones", auth=auth)
        assert error_of(answer) == (401, 20003)
        assert answer.headers["www-authenticate"].startswith("Basic")
    assert error_of(await admin.post("/clock", {"Seconds": "1"}, auth=None)) == (401, 20003)


async def test_an_inbox_tells_what_a_phone_received(trunkline: Trunkline) -> None:
    """Newest last, with exactly the promised fields; a phone nobody texted has an empty one."""
    await trunkline.send(body="first")
    await trunkline.run_for(2)
    await trunkline.send(body="ü🌿" * 40)
    await trunkline.run_for(2)
    admin = Admin(trunkline)
    texts = (await admin.fetch(f"/phones/{ADA}/inbox")).json["inbox"]
    assert [set(text) for text in texts] == [INBOX, INBOX]
    assert [text["body"] for text in texts] == ["first", "ü🌿" * 40]
    assert (texts[1]["from"], texts[1]["to"]) == (trunkline.number, ADA)
    assert (texts[1]["segments"], texts[1]["encoding"], texts[1]["media"]) == (2, "UCS-2", [])
    assert texts[0]["received_at"].startswith("2026-11-20T12:00:0")
    assert texts[0]["received_at"].endswith("Z")
    newest = (await admin.fetch(f"/phones/{ADA}/inbox", form={"limit": "1"})).json["inbox"]
    assert [text["body"] for text in newest] == ["ü🌿" * 40]
    assert (await admin.fetch("/phones/+15550001111/inbox")).json == {"inbox": []}


@pytest.mark.parametrize("limit", ["0", "-1", "x", "", "1.5", "٣", str(LIMIT_MAX + 1), "9" * 99])
async def test_a_limit_that_is_none_is_refused(trunkline: Trunkline, limit: str) -> None:
    """The message names the parameter."""
    admin = Admin(trunkline)
    for path in ("/phones", f"/phones/{ADA}/inbox"):
        answer = await admin.fetch(path, form={"limit": limit})
        assert error_of(answer)[1] == 20422
        assert "limit" in answer.json["message"]


async def test_a_phone_speaks(trunkline: Trunkline) -> None:
    """A new number becomes a phone, and its text an inbound message."""
    form = [("To", trunkline.number), ("Body", "hello"), ("Color", "ignored")]
    answer = await Admin(trunkline).post(f"/phones/{ADA}/texts", form)
    assert answer.status == 201
    sent = answer.json
    assert sent["sid"].startswith("HT")
    assert {k: v for k, v in sent.items() if k not in ("sid", "sent_at")} == {
        "from": ADA,
        "to": trunkline.number,
        "body": "hello",
        "media": [],
        "segments": 1,
        "encoding": "GSM-7",
    }
    await trunkline.run_for(1)
    (message,) = (await trunkline.request("GET", f"{trunkline.base}/Messages.json")).json[
        "messages"
    ]
    assert (message["direction"], message["from"], message["body"]) == ("inbound", ADA, "hello")


async def test_a_phone_sends_pictures(trunkline: Trunkline) -> None:
    """A repeated MediaUrl is a list."""
    urls = ["https://p.example/1.png", "https://p.example/2.png"]
    form = [("To", trunkline.number), *(("MediaUrl", url) for url in urls)]
    assert (await Admin(trunkline).post(f"/phones/{ADA}/texts", form)).json["media"] == urls


@pytest.mark.parametrize(
    ("path", "form", "code"),
    [
        (f"/phones/{ADA}/texts", {"To": "+14155550100"}, 21619),
        (f"/phones/{ADA}/texts", {"To": "nobody", "Body": "x"}, 21211),
        (f"/phones/{ADA}/texts", {"Body": "x"}, 21211),
        ("/phones/nobody/texts", {"To": "+14155550100", "Body": "x"}, 21212),
        (f"/phones/{ADA}/texts", {"To": "+14155550100", "Body": "x" * 1601}, 21617),
        (f"/phones/{ADA}/texts", {"To": "+14155550100", "Body": "a\x00b"}, 20422),
        (f"/phones/{ADA}/texts", {"To": "+14155550100", "Body": "x" * 70_000}, 20001),
        (f"/phones/{ADA}", {"Behaviour": "dancing"}, 20422),
        (f"/phones/{ADA}", {"Name": "x" * 65}, 20002),
        ("/phones/nobody", {"Behaviour": "off"}, 21211),
        ("/clock", {}, 20422),
        ("/clock", {"Seconds": "-1"}, 20422),
        ("/clock", {"Seconds": "nan"}, 20422),
        ("/clock", {"Seconds": "inf"}, 20422),
    ],
)
async def test_nonsense_is_refused_with_its_code(
    trunkline: Trunkline, path: str, form: dict[str, str], code: int
) -> None:
    """In Twilio's shape; nothing happened."""
    before = trunkline.clock.now()
    status, found = error_of(await Admin(trunkline).post(path, form))
    assert found == code
    assert 400 <= status < 500
    assert trunkline.clock.now() == before
    assert await trunkline.app.network.texts(ADA) == []


async def test_a_phone_is_named_and_behaves(trunkline: Trunkline) -> None:
    """Each parameter alone or both; what is not given stays."""
    admin = Admin(trunkline)
    phone = (await admin.post(f"/phones/{ADA}", {"Behaviour": "off"})).json
    assert (phone["number"], phone["behaviour"], phone["texts"]) == (ADA, "off", 0)
    named = (await admin.post(f"/phones/{ADA}", {"Name": "Ada"})).json
    assert (named["name"], named["behaviour"]) == ("Ada", "off")
    assert (await admin.post(f"/phones/{ADA}", {})).json["name"] == "Ada"
    listed = (await admin.fetch("/phones")).json["phones"]
    assert listed == [named | {"updated_at": listed[0]["updated_at"]}]
    assert listed[0].keys() == {"number", "name", "behaviour", "texts", "updated_at"}


async def test_a_trace_holds_everything(trunkline: Trunkline) -> None:
    """The message, its events, the webhook attempts and what is still due."""
    trunkline.receiver.script = lambda seen: (503, "text/plain", b"later")
    sid = (await trunkline.send(StatusCallback="https://app.example.com/status")).json["sid"]
    await trunkline.run_for(2)
    admin = Admin(trunkline)
    trace = (await admin.fetch(f"/messages/{sid}/trace")).json
    message = trace["message"]
    assert (message["sid"], message["status"], message["direction"]) == (
        sid,
        "delivered",
        "outbound-api",
    )
    assert {event["kind"] for event in trace["events"]} >= {"handed_over", "receipt"}
    assert trace["attempts"][0]["http_status"] == 503
    assert trace["attempts"][0]["head"] == "later"
    assert [row["label"] for row in trace["waiting"]] == ["sent", "delivered"]
    assert trace["waiting"][0]["due_at"].endswith("Z")
    missing = await admin.fetch(f"/messages/SM{'0' * 32}/trace")
    assert error_of(missing) == (404, 20404)


async def test_the_manual_clock_moves(trunkline: Trunkline) -> None:
    """By the seconds asked for, and says where it stands."""
    answer = await Admin(trunkline).post("/clock", {"Seconds": "90.5"})
    assert answer.json == {"now": "2026-11-20T12:01:30.500000Z"}


async def test_the_clock_of_the_machine_does_not_move(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how to get one that does."""
    monkeypatch.setattr("trunkline.admin.app.ManualClock", SystemClock)
    answer = await Admin(trunkline).post("/clock", {"Seconds": "1"})
    assert error_of(answer) == (404, 20404)
    assert "--clock manual" in answer.json["message"]


async def test_what_is_not_there_answers_in_shape(trunkline: Trunkline) -> None:
    """An unknown path, and a known one with the wrong method."""
    admin = Admin(trunkline)
    assert error_of(await admin.fetch("/none")) == (404, 20404)
    wrong = await admin.fetch(f"/phones/{ADA}/texts")
    assert error_of(wrong) == (405, 20004)
    assert wrong.headers["allow"] == "POST"


async def test_a_fault_of_ours_answers_in_shape(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 and 20500, without a word about what went wrong; the server logs the rest."""

    async def break_down(limit: int) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(trunkline.app.network, "handsets", break_down)
    program = trunkline.app.asgi

    async def as_a_server(scope: Any, receive: Any, send: Any) -> None:
        # The error goes on to the HTTP server after the answer, for its log.
        with pytest.raises(RuntimeError):
            await program(scope, receive, send)

    trunkline.app.asgi = as_a_server
    answer = await Admin(trunkline).fetch("/phones")
    assert error_of(answer) == (500, 20500)
    assert b"secret" not in answer.body
