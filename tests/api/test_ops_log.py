"""The log: what it tells of the way of a message, and what it never tells."""

import errno
import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from tests.harness import Seen, Trunkline
from trunkline.ops.logs import HIDDEN, clean, configure_log

PHONE = "+15558675310"
SECRET = "the launch code is swordfish"
REPLY = b"<Response><Message>the answer is marmalade</Message></Response>"
CALLBACK = "http://user:letmein@app.example/status?token=opensesame"

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """Yield where the log goes, and leave logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("trunkline").setLevel(logging.NOTSET)


def lines(output: io.StringIO, event: str | None = None) -> list[dict[str, Any]]:
    """Return the lines that were written, those of one event where it is given."""
    found = [json.loads(line) for line in output.getvalue().splitlines()]
    return [line for line in found if event in (None, line["event"])]


def answer(seen: Seen) -> tuple[int, str, bytes]:
    """Reply to texts; refuse every status."""
    if seen.form.get("SmsStatus") == "received":
        return 200, "text/xml", REPLY
    return 500, "text/plain", b"the database of the receiver is on fire"


async def be_busy(trunkline: Trunkline) -> str:
    """Send and receive, with everything that can be said wrong; return the first message's SID."""
    trunkline.receiver.script = answer
    await trunkline.configure_number(SmsUrl="http://app.example/sms")
    sent = await trunkline.send(to=PHONE, body=SECRET, StatusCallback=CALLBACK)
    sid: str = sent.json["sid"]
    await trunkline.send(to="+15005550001x", body=SECRET)
    await trunkline.send(to="+15555530005", body=SECRET)
    await trunkline.request("GET", f"{trunkline.base}/Messages.json", {"To": PHONE})
    await trunkline.request("GET", f"/2010-04-01/Accounts/{PHONE}.json?Body={SECRET}")
    await trunkline.request("POST", "/nowhere", auth=("AC1", "wrong password"))
    said = {"To": trunkline.number, "Body": SECRET}
    await trunkline.request("POST", f"/trunkline/v1/phones/{PHONE}/texts", said)
    await trunkline.run_for(60)
    return sid


async def test_one_id_leads_from_the_request_to_the_callbacks(
    trunkline: Trunkline, output: io.StringIO
) -> None:
    """The id of the answer's header is on the request's line, the message's lines and its trace."""
    configure_log("debug", is_json=True, stream=output)
    sent = await trunkline.send(StatusCallback="http://app.example/status")
    await trunkline.run_for(5)
    sid, asked = sent.json["sid"], sent.headers["twilio-request-id"]
    told = [line["event"] for line in lines(output) if line.get("message_sid") == sid]
    assert told == ["accepted", "handed over", "webhook", "receipt", "webhook"]
    for event in ("request", "accepted", "handed over", "receipt", "webhook"):
        assert asked in {line.get("request_id") for line in lines(output, event)}, event
    trace = await trunkline.request("GET", f"/trunkline/v1/messages/{sid}/trace")
    assert trace.json["message"]["request_id"] == asked
    (request,) = (line for line in lines(output, "request") if line["request_id"] == asked)
    assert (request["method"], request["status"]) == ("POST", 201)
    assert request["route"] == "/2010-04-01/Accounts/{AccountSid}/Messages"


async def test_requests_have_ids_of_their_own(trunkline: Trunkline) -> None:
    """No request inherits the id of the one before, nor does what a receiver replies."""
    trunkline.receiver.script = answer
    await trunkline.configure_number(SmsUrl="http://app.example/sms")
    sids = [(await trunkline.send()).json["sid"] for _ in range(2)]
    said = {"To": trunkline.number, "Body": "Hi"}
    await trunkline.request("POST", f"/trunkline/v1/phones/{PHONE}/texts", said)
    await trunkline.run_for(5)
    listed = (await trunkline.request("GET", f"{trunkline.base}/Messages.json")).json["messages"]
    ids = {}
    for message in listed:
        trace = await trunkline.request("GET", f"/trunkline/v1/messages/{message['sid']}/trace")
        ids[message["sid"]] = trace.json["message"]["request_id"]
    asked = [ids.pop(sid) for sid in sids]
    assert len(set(asked)) == 2
    assert all(each.startswith("RQ") for each in asked)
    assert set(ids.values()) == {None}


@pytest.mark.parametrize("is_json", [True, False])
async def test_a_busy_session_tells_nobodys_secrets(
    trunkline: Trunkline, output: io.StringIO, is_json: bool
) -> None:
    """With every line there is, nothing of what people wrote, to whom, and with which password."""
    configure_log("debug", is_json=is_json, stream=output)
    await be_busy(trunkline)
    structlog.get_logger().error("a mistake", body=SECRET, reason=f"no way to {PHONE}")
    logging.getLogger("uvicorn.error").warning("a call to %s and %s", CALLBACK, PHONE)
    try:
        raise ValueError(f"{PHONE} cannot be reached")
    except ValueError:
        logging.getLogger("trunkline.x").exception("it failed", extra={"recipient": PHONE})
    said = output.getvalue()
    assert len(said.splitlines()) > 20
    secrets: tuple[str, ...] = (
        PHONE,
        PHONE[1:],
        trunkline.number,
        SECRET,
        "marmalade",
        "on fire",
        "swordfish",
    )
    secrets += (
        "letmein",
        "opensesame",
        "wrong password",
        trunkline.auth_token,
        "15005550001",
        "5555530005",
    )
    assert [secret for secret in secrets if secret in said] == []


async def test_at_info_only_what_failed_is_told(trunkline: Trunkline, output: io.StringIO) -> None:
    """A receiver that answers 500 and a phone that is off; nothing of what went well."""
    configure_log("info", is_json=True, stream=output)
    sid = await be_busy(trunkline)
    trace = await trunkline.request("GET", f"/trunkline/v1/messages/{sid}/trace")
    asked = trace.json["message"]["request_id"]
    assert {line["level"] for line in lines(output)} == {"info"}
    assert {line["event"] for line in lines(output)} == {"webhook", "receipt"}
    refused = lines(output, "webhook")
    assert {
        (w["message_sid"], w["request_id"], w["outcome"], w["http_status"]) for w in refused
    } == {(sid, asked, "http_5xx", 500)}
    assert [w["attempt"] for w in refused[:2]] == [1, 2]
    (missed,) = lines(output, "receipt")
    assert missed["status"] == "undelivered"
    assert missed["error_code"] > 30000


async def test_at_warning_nothing_is_told(trunkline: Trunkline, output: io.StringIO) -> None:
    """A level that is off costs no line."""
    configure_log("warning", is_json=True, stream=output)
    await be_busy(trunkline)
    assert output.getvalue() == ""


async def test_a_bug_is_told_with_the_request_that_met_it(
    trunkline: Trunkline, output: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id that the caller was given finds the traceback."""
    configure_log("error", is_json=True, stream=output)
    monkeypatch.setattr(trunkline.app.platform, "accepting", None)
    failed = await trunkline.send(to=PHONE, body=SECRET)
    assert failed.status == 500
    (line,) = lines(output)
    assert line["request_id"] == failed.headers["twilio-request-id"]
    assert "AttributeError" in line["exception"]
    assert SECRET not in output.getvalue()


def test_what_is_several_stays_several(output: io.StringIO) -> None:
    """Machines get a list, and nobody gets a number that is in it."""
    configure_log("info", is_json=True, stream=output)
    structlog.get_logger().info("settings reloaded", changed=["port", PHONE])
    assert [line["changed"] for line in lines(output)] == [["port", HIDDEN]]


def test_a_full_disk_is_no_trouble_of_who_tells_something(output: io.StringIO) -> None:
    """The line is lost, and the work goes on; so it is where nobody reads any more."""
    output.write = full  # type: ignore[method-assign]
    configure_log("info", is_json=True, stream=output)
    structlog.get_logger().error("trouble")
    logging.getLogger("trunkline").error("trouble")
    assert output.getvalue() == ""


def full(text: str) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_level_may_change_at_any_time(output: io.StringIO) -> None:
    """Loggers that were made before follow, ours and the library's."""
    ours, standard = structlog.get_logger(), logging.getLogger("trunkline.early")
    for level, count in (("error", 0), ("debug", 2), ("warning", 2)):
        configure_log(level, is_json=True, stream=output)
        ours.debug("one")
        standard.debug("two")
        assert len(lines(output)) == count


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("to +15558675310 now", f"to {HIDDEN} now"),
        ("to 15558675310", f"to {HIDDEN}"),
        ("/phones/%2B15558675310/inbox", f"/phones/{HIDDEN}/inbox"),
        ("+1 (555) 867-5310", HIDDEN),
        ("whatsapp:+15558675310", f"whatsapp:{HIDDEN}"),
        ("https://u:p@a.example/x?From=5&To=6", f"https://{HIDDEN}@a.example/x?{HIDDEN}"),
        ("SM00063f1234567890123456789012345678", "SM00063f1234567890123456789012345678"),
        ("2026-11-20T12:00:00.123456Z", "2026-11-20T12:00:00.123456Z"),
        ("127.0.0.1:8800 took 123456 ms", "127.0.0.1:8800 took 123456 ms"),
        ("is it so? yes", "is it so? yes"),
    ],
)
def test_numbers_logins_and_queries_are_hidden(text: str, cleaned: str) -> None:
    """Wherever they stand; SIDs, times and addresses stay."""
    assert clean(text) == cleaned
