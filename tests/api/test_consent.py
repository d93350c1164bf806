"""Opt-out and consent: keywords, what they stop, what answers them, and the evidence of it all."""

from typing import Any

import pytest

from tests.api.test_service_sending import service
from tests.harness import Trunkline
from trunkline.carriers.port import Incoming
from trunkline.flows.inbound import receive

ANNA, BEN = "+15558675310", "+15558675311"
SLOW = "+15555500003"  # Its carrier says "later" three times.
CALLBACK = "https://app.example.com/status"
APP = "https://app.example.com/sms"


async def say(trunkline: Trunkline, body: str, *, phone: str = ANNA, to: str = "") -> None:
    """Let a phone text one of our numbers, and let everything happen."""
    await trunkline.app.network.send_from(phone, to or trunkline.number, body=body)
    await trunkline.run_for(5)


async def shown(trunkline: Trunkline, phone: str = ANNA) -> list[str]:
    """Return what a phone was sent, oldest first."""
    return sorted(text.body for text in await trunkline.app.network.inbox(phone))


async def inbound(trunkline: Trunkline) -> Any:
    """Return the newest text that came in."""
    answer = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    return next(m for m in answer.json["messages"] if m["direction"] == "inbound")


async def test_stop_holds_until_start(trunkline: Trunkline) -> None:
    """STOP is confirmed, then texts are refused at once; START lets them through again."""
    await trunkline.configure_number(SmsUrl=APP)
    await say(trunkline, " Stop. ")
    (confirmation,) = await shown(trunkline)
    assert confirmation.startswith("You will get no more messages")
    assert [seen.form["Body"] for seen in trunkline.receiver.seen] == [" Stop. "]
    assert "OptOutType" not in trunkline.receiver.seen[0].form
    refused = await trunkline.send(ANNA)
    assert (refused.status, refused.json["code"]) == (400, 21610)
    assert refused.json["message"] == "Attempt to send to unsubscribed recipient"
    assert (await trunkline.send(BEN)).status == 201
    await say(trunkline, "stop")
    assert len(await shown(trunkline)) == 1  # Once for each change.
    await say(trunkline, "HELP")
    assert len(await shown(trunkline)) == 1
    await say(trunkline, "start")
    assert len(await shown(trunkline)) == 2
    sid = (await trunkline.send(ANNA)).json["sid"]
    await trunkline.run_for(5)
    assert (await trunkline.message(sid))["status"] == "delivered"
    await say(trunkline, "help")
    assert len(await shown(trunkline)) == 4
    text = await inbound(trunkline)
    (heard,) = [e["detail"] for e in await trunkline.events(text["sid"]) if e["kind"] == "consent"]
    assert (heard["action"], heard["scopes"]) == ("HELP", [])


async def test_what_waits_does_not_leave_after_stop(trunkline: Trunkline) -> None:
    """A queued text fails with 21610 when its turn comes; its callback says so."""
    sid = (await trunkline.send(SLOW, StatusCallback=CALLBACK)).json["sid"]
    await trunkline.run_for(0)
    assert (await trunkline.message(sid))["status"] in ("queued", "sending")
    await trunkline.app.network.send_from(SLOW, trunkline.number, body="STOP")
    await trunkline.run_for(60)
    message = await trunkline.message(sid)
    assert (message["status"], message["error_code"]) == ("failed", 21610)
    assert trunkline.receiver.statuses(sid) == ["failed"]
    assert trunkline.receiver.seen[-1].form["ErrorCode"] == "21610"


async def test_one_opt_out_is_from_the_whole_service(trunkline: Trunkline) -> None:
    """Texts of the service fail after they were accepted; MMS do as well; another service's go."""
    sid = await service(trunkline, trunkline.number)
    await say(trunkline, "unsubscribe")
    for media in ((), ("https://app.example.com/cat.png",)):
        form = {"From": None, "MessagingServiceSid": sid, "StatusCallback": CALLBACK}
        answer = await trunkline.send(ANNA, MediaUrl=list(media) or None, **form)
        assert answer.status == 201
        await trunkline.run_for(5)
        message = await trunkline.message(answer.json["sid"])
        assert (message["status"], message["error_code"]) == ("failed", 21610)
        assert trunkline.receiver.statuses(message["sid"]) == ["failed"]
    assert (await trunkline.send(ANNA)).json["code"] == 21610
    await say(trunkline, "YES")
    form = {"From": None, "MessagingServiceSid": sid}
    again = (await trunkline.send(ANNA, **form)).json["sid"]
    await trunkline.run_for(5)
    assert (await trunkline.message(again))["status"] == "delivered"


async def test_a_reply_to_somebody_who_is_out_fails(trunkline: Trunkline) -> None:
    """An application that answers STOP itself is not heard; its reply fails with 21610."""
    await trunkline.configure_number(SmsUrl=APP)
    answer = b"<Response><Message>But why?</Message></Response>"
    trunkline.receiver.script = lambda seen: (200, "text/xml", answer)
    await say(trunkline, "STOP")
    page = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    replies = {m["body"]: m for m in page.json["messages"] if m["direction"] == "outbound-reply"}
    assert (replies["But why?"]["status"], replies["But why?"]["error_code"]) == ("failed", 21610)
    assert len(await shown(trunkline)) == 1
    (confirmation,) = [m for body, m in replies.items() if body != "But why?"]
    assert (confirmation["status"], float(confirmation["price"])) == ("delivered", 0)


async def test_yes_to_a_question_changes_nothing(trunkline: Trunkline) -> None:
    """Who never stopped anything is not told that texts begin again."""
    await say(trunkline, "Yes")
    assert await shown(trunkline) == []


async def test_a_text_that_is_brought_twice_is_heard_once(trunkline: Trunkline) -> None:
    """A carrier repeats what it thinks was lost: one change, one confirmation, one entry."""
    text = Incoming(
        ref="r1",
        sender=ANNA,
        recipient=trunkline.number,
        body="STOP",
        encoding="GSM-7",
        num_segments=1,
        media=(),
        at=trunkline.clock.now(),
    )
    await receive(trunkline.app.platform, "simulated", [text, text])
    await receive(trunkline.app.platform, "simulated", [text])
    await trunkline.run_for(5)
    assert len(await shown(trunkline)) == 1


@pytest.mark.parametrize("body", ["please stop", "stop it", "YES"])
async def test_only_the_word_alone_stops(trunkline: Trunkline, body: str) -> None:
    """More words are a conversation."""
    await say(trunkline, body)
    assert (await trunkline.send(ANNA)).status == 201
