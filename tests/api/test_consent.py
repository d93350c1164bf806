"""Opt-out and consent: keywords, what they stop, what answers them, and the evidence of it all."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.api.test_service_sending import buy, service
from tests.esme import Esme, text
from tests.harness import Trunkline
from trunkline.carriers.port import Incoming
from trunkline.flows.inbound import receive
from trunkline.smpp.concatenation import Carriage, carry
from trunkline.smpp.status import CommandStatus
from trunkline.smsc.server import SmscServer

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


async def test_what_waits_at_another_number_of_the_service_stays_as_well(
    trunkline: Trunkline,
) -> None:
    """Queued from one number, or scheduled for none yet: STOP to another of them holds for all."""
    (other,) = await buy(trunkline, "+14155552671")
    sid = await service(trunkline, trunkline.number, other)
    queued = (await trunkline.send(SLOW, From=other)).json["sid"]
    later = (trunkline.clock.now() + timedelta(minutes=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    form: dict[str, Any] = {"From": None, "MessagingServiceSid": sid}
    timing = {"ScheduleType": "fixed", "SendAt": later}
    scheduled = (await trunkline.send(SLOW, **form, **timing)).json["sid"]
    await trunkline.run_for(0)
    await trunkline.app.network.send_from(SLOW, trunkline.number, body="STOP")
    await trunkline.run_for(60)
    assert (await trunkline.message(queued))["error_code"] == 21610
    assert (await trunkline.message(scheduled))["status"] == "scheduled"
    await trunkline.run_for(1200)
    message = await trunkline.message(scheduled)
    assert (message["status"], message["error_code"]) == ("failed", 21610)


async def test_one_opt_out_is_from_the_whole_service(trunkline: Trunkline) -> None:
    """Texts of the service fail after they were accepted; MMS do as well; another service's go."""
    sid = await service(trunkline, trunkline.number)
    await say(trunkline, "unsubscribe")
    for media in ((), ("https://app.example.com/cat.png",)):
        form: dict[str, Any] = {
            "From": None,
            "MessagingServiceSid": sid,
            "StatusCallback": CALLBACK,
        }
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


async def ask(trunkline: Trunkline, method: str, path: str, form: Any = None) -> Any:
    """Ask the admin API."""
    answer = await trunkline.request(method, f"/trunkline/v1{path}", form)
    assert answer.status < 300, answer.body
    return answer.json if answer.body else None


async def test_consents_in_bulk_are_kept_and_count(trunkline: Trunkline) -> None:
    """Twilio's own example: each item is answered by its correlation id; errors are named."""
    sid = await service(trunkline, trunkline.number)
    items = [
        {
            "contact_id": ANNA,
            "correlation_id": "ad388b5a46b33b874b0d41f7226db2ef",
            "sender_id": sid,
            "date_of_consent": "2026-02-28T10:05:27Z",
            "status": "opt-out",
            "source": "website",
        },
        {
            "contact_id": "+19",
            "correlation_id": "02520cfa6c432f0e3ec3a38c122d428d",
            "sender_id": "123456",
            "date_of_consent": "2027-03-25",
            "status": "opt-in",
            "source": "opt-in-message",
        },
        {"contact_id": BEN, "correlation_id": "short", "sender_id": trunkline.number},
        {
            "contact_id": BEN,
            "correlation_id": "1" * 32,
            "sender_id": "MG" + "0" * 32,
            "status": "opt-out",
            "source": "others",
        },
    ]
    form = [("Items", json.dumps(item)) for item in items]
    answer = await trunkline.request("POST", "/v1/Consents/Bulk", form, host="accounts.twilio.com")
    assert answer.status == 201, answer.body
    assert [item["error_code"] for item in answer.json["items"]] == [0, 30647, 30647, 30647]
    assert [item["error_messages"] for item in answer.json["items"]] == [
        [],
        ["INVALID_CONTACT_ID", "INVALID_DATE_OF_CONSENT"],
        ["INVALID_CORRELATION_ID"],
        ["INVALID_SENDER_ID"],
    ]
    assert (await trunkline.send(ANNA)).json["code"] == 21610
    (entry,) = (await ask(trunkline, "GET", "/consents/history"))["history"]
    assert entry["evidence"] == {
        "correlation_id": items[0]["correlation_id"],
        "recorded_by": trunkline.account_sid,
    }
    assert entry["consented_at"] == "2026-02-28T10:05:27Z"


async def test_a_statement_is_of_all_that_a_text_would_be_of(trunkline: Trunkline) -> None:
    """Of a service or of a number in it, after STOP or before: the service is stopped or starts."""
    (other,) = await buy(trunkline, "+14155552671")
    sid = await service(trunkline, trunkline.number, other)
    ways: list[dict[str, Any]] = [
        {"From": None, "MessagingServiceSid": sid},
        {"From": trunkline.number},
        {"From": other},
    ]

    async def record(status: str, scope: str) -> None:
        item = {
            "contact_id": ANNA,
            "correlation_id": "0" * 32,
            "sender_id": scope,
            "status": status,
            "source": "website",
        }
        answer = await trunkline.request("POST", "/v1/Consents/Bulk", {"Items": json.dumps(item)})
        assert answer.json["items"][0]["error_code"] == 0

    async def codes() -> list[int | None]:
        found: list[int | None] = []
        for way in ways:
            answer = await trunkline.send(ANNA, **way)
            await trunkline.run_for(5)
            is_refused = answer.status == 400
            sent = answer.json if is_refused else await trunkline.message(answer.json["sid"])
            found.append(sent["code"] if is_refused else sent["error_code"])
        return found

    for scope in (sid, trunkline.number, other):
        await say(trunkline, "STOP")
        assert await codes() == [21610] * 3
        await record("opt-in", scope)
        assert await codes() == [None] * 3, scope
    for scope in (sid, trunkline.number):
        await record("opt-out", scope)
        assert await codes() == [21610] * 3, scope
        await say(trunkline, "START", to=other)
        assert await codes() == [None] * 3


async def test_an_account_that_is_not_there_is_nobodys_consent(trunkline: Trunkline) -> None:
    """Who mistypes an account hears so, before he believes that its people consented."""
    nobody = "AC" + "9" * 32
    item = {"contact_id": ANNA, "status": "opt-in", "source": "website"}
    item |= {"sender_id": trunkline.number, "correlation_id": "0" * 32}
    form = {"Account": nobody, "Items": json.dumps(item)}
    routes = "To=%2B15558675310&From=%2B14155550100"
    for method, path, given in (
        ("POST", "/consents", form),
        ("GET", f"/consents?account={nobody}", None),
        ("GET", f"/consents/history?account={nobody}", None),
        ("GET", f"/services?account={nobody}", None),
        ("GET", f"/routes/explain?{routes}&Account={nobody}", None),
    ):
        answer = await trunkline.request(method, f"/trunkline/v1{path}", given)
        assert (answer.status, answer.json["code"]) == (400, 20422), path
        assert f"there is no account `{nobody}`" in answer.json["message"]


async def test_contacts_and_the_safe_list_are_refused_by_name(trunkline: Trunkline) -> None:
    """Nothing here would heed them, and whoever relies on them is told."""
    for path, name, value in (
        ("/v1/Contacts/Bulk", "Items", json.dumps({"contact_id": ANNA, "zip_code": "94105"})),
        ("/v1/SafeList/Numbers", "PhoneNumber", ANNA),
    ):
        answer = await trunkline.request("POST", path, {name: value})
        assert (answer.status, answer.json["code"]) == (400, 20422)
        assert f"`{name}`: not supported here" in answer.json["message"]
    for method in ("GET", "DELETE"):
        answer = await trunkline.request(method, f"/v1/SafeList/Numbers?PhoneNumber=%2B1{ANNA[2:]}")
        assert (answer.status, answer.json["code"]) == (404, 20404)


async def test_a_service_may_require_consent(trunkline: Trunkline) -> None:
    """Who never opted in gets nothing but answers; START opts in, and is answered."""
    sid = await service(trunkline, trunkline.number, inbound_request_url=APP)
    await ask(trunkline, "POST", f"/services/{sid}", {"RequiresConsent": "true"})
    form: dict[str, Any] = {"From": None, "MessagingServiceSid": sid}
    refused = (await trunkline.send(ANNA, **form)).json["sid"]
    assert (await trunkline.message(refused))["error_code"] == 21610
    assert (await trunkline.send(ANNA)).json["code"] == 21610
    answer = f"<Response><Message>Hi</Message><Message to='{ANNA}'>Hey</Message></Response>"
    trunkline.receiver.script = lambda seen: (200, "text/xml", answer.encode())
    await say(trunkline, "Hello?", phone=BEN)
    assert (await shown(trunkline, BEN), await shown(trunkline)) == (["Hi"], [])
    trunkline.receiver.script = lambda seen: (204, "", b"")
    await say(trunkline, "START")
    (welcome,) = await shown(trunkline)
    assert welcome.startswith("You will get messages")
    taken = (await trunkline.send(ANNA, **form)).json["sid"]
    await trunkline.run_for(5)
    assert (await trunkline.message(taken))["status"] == "delivered"
    (listed,) = (await ask(trunkline, "GET", "/services"))["services"]
    assert listed["requires_consent"] is True


async def test_a_service_has_words_of_its_own(trunkline: Trunkline) -> None:
    """Its language answers; the webhook learns what was meant; STOP cannot be taken away."""
    sid = await service(trunkline, trunkline.number, inbound_request_url=APP)
    words = {"language": "es", "stop": ["Alto", "no más"], "stop_text": "Ya no le escribimos."}
    wordings = json.dumps([{"language": "en", "stop": ["halt"]}, words])
    made = await ask(trunkline, "POST", f"/services/{sid}/keywords", {"Wordings": wordings})
    assert made["wordings"][1]["stop"] == ["stop", "alto", "no más"]
    await say(trunkline, "¡No  más!")
    assert await shown(trunkline) == ["Ya no le escribimos."]
    assert trunkline.receiver.seen[-1].form["OptOutType"] == "STOP"
    assert trunkline.receiver.seen[-1].form["MessagingServiceSid"] == sid
    await say(trunkline, "cancel", phone=BEN)
    assert "OptOutType" not in trunkline.receiver.seen[-1].form
    assert (await trunkline.send(BEN)).status == 201
    await say(trunkline, "STOP", phone=BEN)
    assert (await trunkline.send(BEN)).json["code"] == 21610
    both = json.dumps([{"language": "en", "help": ["stop"]}])
    refused = await trunkline.request(
        "POST", f"/trunkline/v1/services/{sid}/keywords", {"Wordings": both}
    )
    assert refused.json["code"] == 20422


async def test_the_admin_api_records_and_shows_consent(trunkline: Trunkline) -> None:
    """What was said of a number stands in its history, with its evidence, the newest first."""
    item = {"contact_id": ANNA, "sender_id": trunkline.number, "source": "offline"}
    evidence = {"form": "fair", "note": "paper 7"}
    said: dict[str, Any] = {}
    for status, at in (("opt-in", "2026-01-05"), ("opt-out", "2026-11-20")):
        said = {**item, "status": status, "date_of_consent": at, "evidence": evidence}
        done = await ask(trunkline, "POST", "/consents", {"Items": json.dumps(said)})
        assert done["items"] == [{"effect": "changed", "errors": []}]
    again = await ask(trunkline, "POST", "/consents", {"Items": json.dumps(said)})
    assert again["items"][0]["effect"] == "known"
    history = (await ask(trunkline, "GET", f"/consents/history?recipient=%2B{ANNA[1:]}"))["history"]
    assert [entry["status"] for entry in history] == ["opt-out", "opt-in"]
    assert evidence.items() <= history[0]["evidence"].items()
    # Of a day on which somebody opted out, all that is past counts.
    assert history[0]["consented_at"] == "2026-11-20T12:00:00Z"
    (state,) = (await ask(trunkline, "GET", "/consents?status=opt-out"))["consents"]
    assert (state["recipient"], state["scope"]) == (ANNA, trunkline.number)


async def test_a_customer_over_smpp_is_refused(trunkline: Trunkline, smsc: SmscServer) -> None:
    """One short message, or the last of several, is answered with an error; nothing is stored."""
    form = {"SystemId": "shop", "Password": "secret", "Address": trunkline.number}
    await ask(trunkline, "POST", "/smpp-credentials", form)
    await say(trunkline, "STOP", phone="+15558675312")
    fields = {"source_addr": trunkline.number[1:]}
    to = {"destination_addr": "15558675312"}
    pieces = [b"A" * 100, b"B" * 100]
    async with await Esme.connect(smsc.port) as esme:
        assert await esme.bind("shop", "secret") == CommandStatus.ESME_ROK
        long = [
            text(carried.short_message, esm_class=carried.esm_class, **fields, **to)
            for carried in carry(pieces, by=Carriage.UDH8, reference=7)
        ]
        answers = await esme.submit(text(b"Hello", **fields, **to), *long)
        assert [status for status, _ in answers] == [
            CommandStatus.ESME_RSUBMITFAIL,
            CommandStatus.ESME_ROK,
            CommandStatus.ESME_RSUBMITFAIL,
        ]
        ((taken, _),) = await esme.submit(text(b"Hello", **fields))
        assert taken == CommandStatus.ESME_ROK
    page = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    directions = [m["direction"] for m in page.json["messages"]]
    assert sorted(directions) == ["inbound", "outbound-api", "outbound-reply"]
