"""The way of a message out: from the request to the phone, and back to the application."""

from datetime import timedelta

import pytest

from tests.harness import Trunkline

CALLBACK = "https://app.example.com/status"


async def test_a_text_goes_out_and_its_statuses_are_called_back(trunkline: Trunkline) -> None:
    """201 with `queued`, then sent and delivered, in order, with Twilio's parameters."""
    answer = await trunkline.send(StatusCallback=CALLBACK)
    assert answer.status == 201
    message = answer.json
    assert (message["status"], message["num_segments"], message["price"]) == ("queued", "1", None)
    assert (message["error_code"], message["error_message"]) == (None, None)
    await trunkline.run_for(5)
    assert trunkline.receiver.statuses(message["sid"]) == ["sent", "delivered"]
    delivered = trunkline.receiver.seen[-1]
    assert delivered.method == "POST"
    assert delivered.form["From"] == trunkline.number
    assert delivered.form["SmsSid"] == delivered.form["MessageSid"] == message["sid"]
    assert delivered.form["SmsStatus"] == "delivered"
    assert len(delivered.form["RawDlrDoneDate"]) == 10
    after = await trunkline.message(message["sid"])
    assert after["status"] == "delivered"
    assert after["price"].startswith("-0.0")
    assert after["date_sent"] is not None
    (text,) = await trunkline.app.network.inbox("+15558675310")
    assert text.body == "Hello"


@pytest.mark.parametrize(
    ("recipient", "status", "code"),
    [
        ("+15555530003", "undelivered", 30003),
        ("+15555530004", "undelivered", 30004),
        ("+15555530005", "undelivered", 30005),
        ("+15555530006", "undelivered", 30006),
        ("+15555530007", "undelivered", 30007),
        ("+15555500004", "failed", 30008),
        ("+15555500005", "failed", 30007),
    ],
)
async def test_magic_recipients_fail_as_their_digits_say(
    trunkline: Trunkline, recipient: str, status: str, code: int
) -> None:
    """The status, error code and text arrive in the message and in the callback."""
    sid = (await trunkline.send(recipient, StatusCallback=CALLBACK)).json["sid"]
    await trunkline.run_for(5)
    message = await trunkline.message(sid)
    assert (message["status"], message["error_code"]) == (status, code)
    assert message["error_message"]
    last = trunkline.receiver.seen[-1].form
    assert (last["MessageStatus"], last["ErrorCode"]) == (status, str(code))


async def test_a_text_without_receipt_stays_sent(trunkline: Trunkline) -> None:
    """Many routes give no receipts; then `sent` is the last word."""
    sid = (await trunkline.send("+15555500002", StatusCallback=CALLBACK)).json["sid"]
    await trunkline.run_for(120)
    assert (await trunkline.message(sid))["status"] == "sent"
    assert trunkline.receiver.statuses(sid) == ["sent"]


async def test_a_deferred_text_is_handed_over_again(trunkline: Trunkline) -> None:
    """A congested carrier is asked again until it takes the text; the trace shows each time."""
    sid = (await trunkline.send("+15555500003", StatusCallback=CALLBACK)).json["sid"]
    await trunkline.run_for(30)
    assert (await trunkline.message(sid))["status"] == "delivered"
    events = await trunkline.events(sid)
    results = [e["detail"]["segments"][0]["result"] for e in events if e["kind"] == "handed_over"]
    assert results == ["deferred", "deferred", "deferred", "taken"]


async def test_a_message_expires_in_the_queue(trunkline: Trunkline) -> None:
    """ValidityPeriod counts until the carrier takes the message; then it fails with 30036."""
    answer = await trunkline.send("+15555500003", ValidityPeriod=3, StatusCallback=CALLBACK)
    await trunkline.run_for(30)
    message = await trunkline.message(answer.json["sid"])
    assert (message["status"], message["error_code"]) == ("failed", 30036)
    assert trunkline.receiver.statuses(message["sid"]) == ["failed"]


async def test_a_long_text_is_delivered_when_every_segment_is(trunkline: Trunkline) -> None:
    """Three segments, three receipts, one `delivered`; the price counts segments."""
    body = "😀" * 70
    sid = (await trunkline.send(body=body, StatusCallback=CALLBACK)).json["sid"]
    await trunkline.run_for(5)
    message = await trunkline.message(sid)
    assert (message["num_segments"], message["status"]) == ("3", "delivered")
    events = await trunkline.events(sid)
    assert sum(e["kind"] == "receipt" for e in events) == 3
    assert trunkline.receiver.statuses(sid) == ["sent", "delivered"]
    (text,) = await trunkline.app.network.inbox("+15558675310")
    assert [len(segment or "") for segment in text.segments] == [33, 33, 4]
    assert text.body == body


async def test_smart_encoding_saves_segments(trunkline: Trunkline) -> None:
    """Typographic quotes become GSM characters when asked for."""
    body = "“Fine”, she said… " + "x" * 100
    plain = (await trunkline.send(body=body)).json
    smart = (await trunkline.send(body=body, SmartEncoded="true")).json
    assert (plain["num_segments"], smart["num_segments"]) == ("2", "1")
    assert smart["body"].startswith('"Fine", she said... ')


async def test_order_is_kept_per_sender(trunkline: Trunkline) -> None:
    """What was accepted first is handed over first."""
    bodies = [f"text {n}" for n in range(30)]
    for body in bodies:
        await trunkline.send(body=body)
    await trunkline.run_for(5)
    page = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    assert [m["body"] for m in page.json["messages"]] == bodies[::-1]


async def test_redaction_and_deletion(trunkline: Trunkline) -> None:
    """A message on its way is neither redacted nor deleted; a finished one is both."""
    sid = (await trunkline.send()).json["sid"]
    path = f"{trunkline.base}/Messages/{sid}.json"
    assert (await trunkline.request("DELETE", path)).json["code"] == 20009
    await trunkline.run_for(5)
    redacted = await trunkline.request("POST", path, {"Body": ""})
    assert (redacted.status, redacted.json["body"]) == (200, "")
    too_late = await trunkline.request("POST", path, {"Status": "canceled"})
    assert too_late.json["code"] == 30409
    assert (await trunkline.request("DELETE", path)).status == 204
    gone = await trunkline.request("GET", path)
    assert (gone.status, gone.json["code"]) == (404, 20404)
    assert gone.json["message"] == f"The requested resource {path} was not found"


async def test_everything_waiting_goes_on_after_a_restart(trunkline: Trunkline) -> None:
    """A program that is started again on the same data ends what it accepted before."""
    sid = (await trunkline.send(StatusCallback=CALLBACK)).json["sid"]
    await trunkline.close()
    again = Trunkline(trunkline.config.data_dir)
    try:
        assert not again.app.facts.is_first_start
        assert again.account_sid == trunkline.account_sid
        assert again.auth_token == trunkline.auth_token
        await again.run_for(5)
        assert (await again.message(sid))["status"] == "delivered"
        assert again.receiver.statuses(sid) == ["sent", "delivered"]
    finally:
        await again.close()


async def test_a_suspended_account_sends_nothing_more(trunkline: Trunkline) -> None:
    """What waited when the account was suspended fails with 30002."""
    sub = (await trunkline.request("POST", "/2010-04-01/Accounts.json", {})).json
    base = f"/2010-04-01/Accounts/{sub['sid']}"
    bought = await trunkline.request(
        "POST", f"{base}/IncomingPhoneNumbers.json", {"AreaCode": "415"}
    )
    assert bought.status == 201, bought.body
    form = {"To": "+15558675310", "From": bought.json["phone_number"], "Body": "x"}
    sid = (await trunkline.request("POST", f"{base}/Messages.json", form)).json["sid"]
    await trunkline.request("POST", f"{base}.json", {"Status": "suspended"})
    await trunkline.run_for(5)
    message = await trunkline.request("GET", f"{base}/Messages/{sid}.json")
    assert (message.json["status"], message.json["error_code"]) == ("failed", 30002)


async def test_a_clock_that_is_set_back_holds_nothing_up(trunkline: Trunkline) -> None:
    """What was accepted before is handed over, in the order of acceptance, and called back."""
    sids = [(await trunkline.send(body=str(n), StatusCallback=CALLBACK)).json["sid"] for n in "12"]
    trunkline.clock.advance(-7200)
    sids.append((await trunkline.send(body="3", StatusCallback=CALLBACK)).json["sid"])
    assert sids == sorted(sids)
    await trunkline.run_for(5)
    assert [(await trunkline.message(sid))["status"] for sid in sids] == ["delivered"] * 3
    assert all(trunkline.receiver.statuses(sid) == ["sent", "delivered"] for sid in sids)


async def test_deleting_a_message_keeps_its_webhooks(trunkline: Trunkline) -> None:
    """A callback that is due is made although the message is gone."""
    trunkline.receiver.script = lambda seen: (503, "", b"")
    sid = (await trunkline.send(StatusCallback=CALLBACK)).json["sid"]
    await trunkline.run_for(2)
    trunkline.receiver.script = lambda seen: (204, "", b"")
    deleted = await trunkline.request("DELETE", f"{trunkline.base}/Messages/{sid}.json")
    assert deleted.status == 204
    await trunkline.run_for(60)
    assert trunkline.receiver.statuses(sid)[-2:] == ["sent", "delivered"]


async def test_a_program_at_rest_has_nothing_to_do_for_half_an_hour(trunkline: Trunkline) -> None:
    """Nor has one that may have other nodes: the time may be moved on without steps between."""
    await trunkline.send()
    await trunkline.run_for(120)
    dues = [await worker.next_due() for worker in trunkline.app.workers]
    soon = trunkline.clock.now() + timedelta(minutes=30)
    assert [due for due in dues if due is not None and due < soon] == []
