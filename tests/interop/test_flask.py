"""Conversations between a phone and a Flask application, each in a process of its own."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from twilio.request_validator import RequestValidator

from tests.processes import PHONE, Server, application, ask, running, wait_until

APP = Path(__file__).parent / "apps" / "flask_app.py"
SIGNATURE = "X-Twilio-Signature"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("flask")) as server:
        yield server


@pytest.fixture(scope="module")
def app(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("app")
    with application(APP, directory, env={"TWILIO_AUTH_TOKEN": server.auth_token}) as url:
        yield url


def seen(app: str) -> list[dict[str, Any]]:
    """Return the requests whose signature the application found right."""
    noted: list[dict[str, Any]] = ask("GET", f"{app}/seen").json
    return noted


def conversation(server: Server, phone: str, *texts: str) -> list[str]:
    """Let a phone say one thing after another, each after the answer to the one before."""
    for text in texts:
        before = server.bodies(phone)
        server.say(text, phone=phone)
        wait_until(partial(has_news, server, phone, before=before))
    return server.bodies(phone)


def has_news(server: Server, phone: str, *, before: list[str]) -> bool:
    return server.bodies(phone) != before


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_text_is_answered_and_cookies_count_the_conversation(
    server: Server, app: str, method: str
) -> None:
    """The signature holds with a port, a query and letters of all kinds; each phone has its jar."""
    phones = {"POST": ("+15558670001", "+15558670002"), "GET": ("+15558670003", "+15558670004")}
    one, other = phones[method]
    server.configure(SmsUrl=f"{app}/sms?shop=1&name=J%C3%B6rg+%26+Co", SmsMethod=method)
    assert conversation(server, one, "Grüße & <Küsse> 👋", "a+b=c 100%", "मस्ते") == [
        "1: Grüße & <Küsse> 👋",
        "2: a+b=c 100%",
        "3: मस्ते",
    ]
    assert conversation(server, other, "first") == ["1: first"]
    noted = [s for s in seen(app) if s["From"] == one]
    assert [(s["method"], s["shop"], s["name"]) for s in noted] == [(method, "1", "Jörg & Co")] * 3
    assert {(s["To"], s["NumMedia"], s["NumSegments"]) for s in noted} == {
        (server.number, "0", "1")
    }


def test_a_forged_request_is_refused(server: Server, app: str) -> None:
    """Without a signature, with a wrong one, and with a right one on other content: 403."""
    form = {"From": PHONE, "To": server.number, "Body": "genuine"}
    signature = RequestValidator(server.auth_token).compute_signature(f"{app}/plain", form)

    def status(form: dict[str, str], **headers: str) -> int:
        return ask("POST", f"{app}/plain", form, headers=headers).status

    assert status(form, **{SIGNATURE: signature}) == 200
    assert status(form) == 403
    assert status(form, **{SIGNATURE: signature[::-1]}) == 403
    assert status(form | {"Body": "forged"}, **{SIGNATURE: signature}) == 403
    assert [s["Body"] for s in seen(app) if s.get("From") == PHONE] == ["genuine"]


def test_plain_text_and_silence_are_answers(server: Server, app: str) -> None:
    """text/plain is sent as it stands; an empty response sends nothing."""
    phone = "+15558670005"
    server.configure(SmsUrl=f"{app}/silent", SmsMethod="POST")
    server.say("are you there?", phone=phone)
    wait_until(lambda: [s for s in seen(app) if s["path"].startswith("/silent")])
    server.configure(SmsUrl=f"{app}/plain", SmsMethod="POST")
    assert conversation(server, phone, "speak") == ["Plain & simple, 5 < 6"]


def test_the_fallback_url_is_asked_when_the_application_breaks(server: Server, app: str) -> None:
    """A 500 leads to the fallback, which learns the error and its URL, and whose answer counts."""
    broken = f"{app}/broken?why=test"
    server.configure(
        SmsUrl=broken,
        SmsMethod="POST",
        SmsFallbackUrl=f"{app}/fallback",
        SmsFallbackMethod="POST",
    )
    answers = conversation(server, "+15558670006", "can you help?")
    server.configure(SmsFallbackUrl="")
    assert answers == [f"Sorry: 11200 {broken}"]


def test_statuses_are_called_back_in_order(server: Server, app: str) -> None:
    """The application validates and notes sent and delivered, once each."""
    with server.client() as client:
        message = client.messages.create(
            to=PHONE, from_=server.number, body="x", status_callback=f"{app}/status?order=7%2F8"
        )

    def statuses() -> list[str]:
        mine = [s for s in seen(app) if s.get("MessageSid") == message.sid]
        assert {s["order"] for s in mine} <= {"7/8"}
        return [s["MessageStatus"] for s in mine]

    wait_until(lambda: "delivered" in statuses())
    assert statuses() == ["sent", "delivered"]
