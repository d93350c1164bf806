"""Conversations between a phone and a FastAPI application, each in a process of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.processes import Server, application, ask, receiving, running, wait_until

APP = Path(__file__).parent / "apps" / "fastapi_app.py"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("fastapi")) as server:
        yield server


@pytest.fixture(scope="module")
def app(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    env = {"TWILIO_ACCOUNT_SID": server.account_sid, "TWILIO_AUTH_TOKEN": server.auth_token}
    with application(APP, tmp_path_factory.mktemp("app"), env=env) as url:
        yield url


def seen(app: str, phone: str) -> list[dict[str, Any]]:
    """Return a phone's requests whose signature the application found right."""
    noted: list[dict[str, Any]] = ask("GET", f"{app}/seen").json
    return [s for s in noted if phone in {s["From"], s["To"]}]


def answers(server: Server, phone: str, count: int) -> list[dict[str, Any]]:
    """Return a phone's inbox once it holds *count* texts."""
    return wait_until(lambda: inbox if len(inbox := server.inbox(phone)) >= count else None) or []


@pytest.mark.parametrize(("method", "phone"), [("POST", "+15558680001"), ("GET", "+15558680002")])
def test_a_text_is_answered(server: Server, app: str, method: str, phone: str) -> None:
    """The signature holds for forms and for queries, with letters of all kinds."""
    server.configure(SmsUrl=f"{app}/sms?shop=%C3%A9t%C3%A9", SmsMethod=method)
    text = 'Ça va? 100% + "you" & <me> 日本 👩‍👩‍👧'
    server.say(text, phone=phone)
    assert [a["body"] for a in answers(server, phone, 1)] == [f"You said: {text}"]
    (noted,) = seen(app, phone)
    assert (noted["method"], noted["shop"], noted["Body"]) == (method, "été", text)
    assert (noted["AccountSid"], noted["SmsStatus"]) == (server.account_sid, "received")


def test_a_forged_request_is_refused(server: Server, app: str) -> None:
    """A wrong signature is answered with 403."""
    form = {"From": "+15558680009", "To": server.number, "Body": "forged", "NumMedia": "0"}
    for headers in ({}, {"X-Twilio-Signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}):
        assert ask("POST", f"{app}/sms", form, headers=headers).status == 403
    assert seen(app, "+15558680009") == []


def test_a_redirect_leads_to_another_document(server: Server, app: str) -> None:
    """What stands before <Redirect> is sent; its relative URL is asked with the same text."""
    phone = "+15558680003"
    server.configure(SmsUrl=f"{app}/menu/start", SmsMethod="POST")
    server.say("menu", phone=phone)
    bodies = [a["body"] for a in answers(server, phone, 2)]
    assert sorted(bodies) == ["Hello", "You said: menu"]
    assert [(s["path"], s.get("from")) for s in seen(app, phone)] == [
        ("/menu/start", None),
        ("/sms", "menu"),
    ]


def test_pictures_go_both_ways(server: Server, app: str) -> None:
    """The application downloads the phone's picture with its credentials; the phone gets one."""
    phone = "+15558680004"
    server.configure(SmsUrl=f"{app}/sms", SmsMethod="POST")
    with receiving(lambda seen: (200, "image/png", PIXEL)) as pictures:
        server.say("look", phone=phone, media=[pictures.url("/mine.png")])
        (answer,) = answers(server, phone, 1)
    assert answer["body"] == f"{len(PIXEL)} bytes of image/png"
    (noted,) = seen(app, phone)
    assert (noted["NumMedia"], noted["MessageSid"][:2]) == ("1", "MM")
    (url,) = answer["media"]
    way = ask("GET", url, auth=server.auth)
    assert way.status == 307
    picture = ask("GET", urljoin(url, way.headers["location"]))
    assert (picture.status, picture.headers["content-type"]) == (200, "image/png")
    assert picture.body == PIXEL


def test_the_statuses_of_an_answer_are_called_back(server: Server, app: str) -> None:
    """<Message statusCallback>, relative to the document, hears of sent and delivered."""
    phone = "+15558680005"
    server.configure(SmsUrl=f"{app}/tracked", SmsMethod="POST")
    server.say("track", phone=phone)

    def statuses() -> list[str]:
        return [s["MessageStatus"] for s in seen(app, phone) if s["path"] == "/status"]

    wait_until(lambda: "delivered" in statuses())
    assert statuses() == ["sent", "delivered"]
    assert {s["of"] for s in seen(app, phone) if s["path"] == "/status"} == {"reply"}
