"""Texts of a Messaging Service: accepted, then sent from a sender of its pool, at once or later."""

from asyncio import gather
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.api.test_console import Browser, local_console
from tests.api.test_services import short_code
from tests.harness import NOON, Trunkline
from trunkline.domain.address import country_of
from trunkline.domain.quiet import QuietHours, QuietRule
from trunkline.domain.service import MessagingService, SenderKind, ServiceSender
from trunkline.flows import routes, scheduling
from trunkline.store.records import (
    NUMBERS,
    SERVICE_SENDERS,
    SERVICES,
    delete_record,
    find_unique,
    insert_record,
)

CALLBACK = "https://app.example.com/status"
MINE = "https://app.example.com/mine"
TO, OTHER = "+15558675310", "+15558675311"
NEXT_HOUR = "2026-11-20T13:00:00Z"


async def service(trunkline: Trunkline, *numbers: str, **fields: Any) -> str:
    """Make a service with numbers of ours in its pool; return its SID."""
    now = trunkline.clock.now()
    sid = trunkline.app.platform.chance.sid("MG", now)
    made = MessagingService(
        sid=sid,
        account_sid=trunkline.account_sid,
        friendly_name="Reminders",
        created_at=now,
        updated_at=now,
        **fields,
    )

    def work(db: Any) -> None:
        insert_record(db, SERVICES, made)
        for address in numbers:
            number = find_unique(db, NUMBERS, address)
            assert number is not None
            member = ServiceSender(
                sid=number.sid,
                account_sid=made.account_sid,
                service_sid=sid,
                sender=address,
                kind=SenderKind.NUMBER if address.startswith("+") else SenderKind.SHORT_CODE,
                country=country_of(address) or "",
                capabilities=number.capabilities,
                created_at=now,
                updated_at=now,
            )
            insert_record(db, SERVICE_SENDERS, member)

    await trunkline.app.store.write(work)
    trunkline.app.platform.directory.forget()
    return sid


async def buy(trunkline: Trunkline, *numbers: str) -> list[str]:
    """Buy numbers."""
    for number in numbers:
        path = f"{trunkline.base}/IncomingPhoneNumbers.json"
        answer = await trunkline.request("POST", path, {"PhoneNumber": number})
        assert answer.status == 201, answer.body
    return list(numbers)


async def send(trunkline: Trunkline, sid: str, to: str = TO, **form: Any) -> Any:
    """Send a text with a service; return the accepted message."""
    answer = await trunkline.send(to, **{"From": None, "MessagingServiceSid": sid, **form})
    assert answer.status == 201, answer.body
    return answer.json


async def test_a_text_is_accepted_and_then_has_a_sender(trunkline: Trunkline) -> None:
    """The answer shows none yet; queued, sent and delivered are told with the service."""
    sid = await service(trunkline, trunkline.number, status_callback=CALLBACK)
    message = await send(trunkline, sid)
    assert (message["status"], message["from"], message["num_segments"]) == ("accepted", None, "0")
    assert message["messaging_service_sid"] == sid
    await trunkline.run_for(5)
    after = await trunkline.message(message["sid"])
    assert (after["status"], after["from"]) == ("delivered", trunkline.number)
    assert (after["num_segments"], after["messaging_service_sid"]) == ("1", sid)
    assert trunkline.receiver.statuses(message["sid"]) == ["queued", "sent", "delivered"]
    assert {seen.form["MessagingServiceSid"] for seen in trunkline.receiver.seen} == {sid}
    first = (await trunkline.events(message["sid"]))[0]
    assert first["kind"] == "sender_chosen"
    assert first["detail"]["sender"] == trunkline.number
    (text,) = await trunkline.app.network.inbox(TO)
    assert text.body == "Hello"


async def test_a_service_may_stand_where_a_sender_does(trunkline: Trunkline) -> None:
    """Some applications give its SID as From; a callback of the message's own comes first."""
    sid = await service(trunkline, trunkline.number, status_callback=CALLBACK)
    answer = await trunkline.send(From=sid, StatusCallback=MINE)
    assert (answer.status, answer.json["messaging_service_sid"]) == (201, sid)
    await trunkline.run_for(5)
    assert {seen.url for seen in trunkline.receiver.seen} == {MINE}


async def test_a_recipient_keeps_its_sender(trunkline: Trunkline) -> None:
    """New recipients go round; who had a text has the next from the same number."""
    numbers = await buy(trunkline, "+16172000001", "+16172000002", "+16172000003")
    sid = await service(trunkline, *numbers)
    recipients = [f"+1617555010{n}" for n in range(6)]
    seen: dict[str, set[str]] = {to: set() for to in recipients}
    for to in [*recipients, *reversed(recipients)]:
        message = await send(trunkline, sid, to)
        seen[to].add((await trunkline.message(message["sid"]))["from"])
    assert all(len(senders) == 1 for senders in seen.values())
    counts = [sum(s == {number} for s in seen.values()) for number in numbers]
    assert counts == [2, 2, 2]


async def test_without_sticking_all_senders_take_turns(trunkline: Trunkline) -> None:
    """A pool of three spreads one recipient's texts evenly."""
    numbers = await buy(trunkline, "+16172000001", "+16172000002", "+16172000003")
    sid = await service(trunkline, *numbers, sticky_sender=False)
    sent = [(await send(trunkline, sid))["sid"] for _ in range(6)]
    senders = [(await trunkline.message(one))["from"] for one in sent]
    assert senders == numbers * 2
    at_once = await gather(*(send(trunkline, sid) for _ in range(6)))
    senders = [(await trunkline.message(one["sid"]))["from"] for one in at_once]
    assert sorted(senders) == sorted(numbers * 2)


async def test_what_a_service_says_of_its_texts(trunkline: Trunkline) -> None:
    """Smart encoding and validity are the service's, where the message has none of its own."""
    body = "“Fine”, she said… " + "x" * 100
    plain = await service(trunkline, trunkline.number, smart_encoding=False, validity_period=3)
    smart = await service(trunkline)
    assert (await send(trunkline, plain, Body=body))["body"] == body
    assert (await send(trunkline, smart, Body=body))["body"].startswith('"Fine", she said... ')
    assert (await send(trunkline, smart, Body=body, SmartEncoded="false"))["body"] == body
    assert (await send(trunkline, plain, Body=body, SmartEncoded="true"))["body"] != body
    congested = await send(trunkline, plain, "+15555500003")
    longer = await send(trunkline, plain, "+15555500003", ValidityPeriod=3600)
    await trunkline.run_for(60)
    after = await trunkline.message(congested["sid"])
    assert (after["status"], after["error_code"]) == ("failed", 30036)
    assert (await trunkline.message(longer["sid"]))["status"] == "delivered"


async def test_what_cannot_be_sent_fails_afterwards(trunkline: Trunkline) -> None:
    """An empty pool is 21704; one without a sender for the destination 21703; both are told."""
    empty = await service(trunkline, status_callback=CALLBACK)
    message = await send(trunkline, empty)
    await trunkline.run_for(1)
    after = await trunkline.message(message["sid"])
    assert (after["status"], after["error_code"]) == ("failed", 21704)
    assert trunkline.receiver.statuses(message["sid"]) == ["failed"]
    assert trunkline.receiver.seen[-1].form["ErrorCode"] == "21704"
    own = await service(trunkline, trunkline.number)
    to_itself = await send(trunkline, own, trunkline.number)
    after = await trunkline.message(to_itself["sid"])
    assert (after["status"], after["error_code"]) == ("failed", 21703)


async def test_a_named_sender_is_used_if_it_is_in_the_pool(trunkline: Trunkline) -> None:
    """Then nothing is chosen; a sender of elsewhere is refused."""
    (other,) = await buy(trunkline, "+16172000001")
    sid = await service(trunkline, trunkline.number)
    answer = await trunkline.send(MessagingServiceSid=sid)
    assert (answer.json["status"], answer.json["from"]) == ("accepted", trunkline.number)
    answer = await trunkline.send(From=other, MessagingServiceSid=sid)
    assert answer.json["code"] == 21711


async def test_in_a_channel_the_numbers_of_the_pool_are_known_by_their_addresses_there(
    trunkline: Trunkline,
) -> None:
    """Where a route leads; what the recipient knows in one channel it need not know elsewhere."""
    ours, (other,) = trunkline.number, await buy(trunkline, "+16172000001")
    sid = await service(trunkline, ours, other)
    channel = f"whatsapp:{TO}"
    refused = await send(trunkline, sid, channel)
    assert (await trunkline.message(refused["sid"]))["error_code"] == 21703
    platform = trunkline.app.platform
    await routes.add(platform, routes.Wish(carrier="simulated", channel="whatsapp"))
    named = await send(trunkline, sid, channel, From=f"whatsapp:{other}")
    chosen = [await send(trunkline, sid, channel) for _ in range(3)]
    await trunkline.run_for(5)
    found = [await trunkline.message(message["sid"]) for message in [named, *chosen]]
    assert {(m["from"], m["status"]) for m in found} == {(f"whatsapp:{other}", "delivered")}
    new = [await send(trunkline, sid, f"whatsapp:+1555867531{n}") for n in range(2)]
    senders = {(await trunkline.message(message["sid"]))["from"] for message in new}
    assert senders == {f"whatsapp:{ours}", f"whatsapp:{other}"}
    elsewhere = await trunkline.send(channel, From="whatsapp:+16172000002", MessagingServiceSid=sid)
    assert elsewhere.json["code"] == 21711


async def test_a_short_code_stays_in_its_country(trunkline: Trunkline) -> None:
    """By itself and in a service (21659)."""
    code = await short_code(trunkline)
    sid = await service(trunkline, trunkline.number, code["short_code"])
    for also in ({}, {"MessagingServiceSid": sid}):
        answer = await trunkline.send(TO, From="72345", **also)
        assert answer.status == 201, answer.body
        answer = await trunkline.send("+14165550199", From="72345", **also)
        assert (answer.status, answer.json["code"]) == (400, 21659)


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"MessagingServiceSid": "MG" + 32 * "f"}, 404, 21701),
        ({"MessagingServiceSid": "nonsense"}, 400, 21705),
        ({"To": "nonsense"}, 400, 21211),
        ({"Body": ""}, 400, 21619),
        ({"ScheduleType": "fixed"}, 400, 35111),
        ({"SendAt": "2026-11-20T13:00:00Z"}, 400, 35119),
        ({"SendAt": "2026-11-20T12:14:59Z", "ScheduleType": "fixed"}, 400, 35114),
        ({"SendAt": "2026-12-25T12:00:01Z", "ScheduleType": "fixed"}, 400, 35114),
        ({"SendAt": "2026-11-20T13:00:00Z", "ScheduleType": "other"}, 400, 35119),
        ({"SendAt": NEXT_HOUR, "ScheduleType": "fixed", "To": "messenger:1234"}, 400, 35126),
    ],
)
async def test_what_is_refused(
    trunkline: Trunkline, given: dict[str, str], status: int, code: int
) -> None:
    """At once, with Twilio's codes."""
    sid = await service(trunkline, trunkline.number)
    form = {"To": TO, "Body": "Hello", "MessagingServiceSid": sid, **given}
    answer = await trunkline.request("POST", f"{trunkline.base}/Messages.json", form)
    assert (answer.status, answer.json["code"]) == (status, code)


async def test_only_a_service_schedules(trunkline: Trunkline) -> None:
    """A sender of one's own cannot (35118)."""
    answer = await trunkline.send(SendAt="2026-11-20T13:00:00Z", ScheduleType="fixed")
    assert answer.json["code"] == 35118


async def schedule(trunkline: Trunkline, sid: str, minutes: int, **form: Any) -> Any:
    """Schedule a text so many minutes ahead."""
    at = (trunkline.clock.now() + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return await send(trunkline, sid, SendAt=at, ScheduleType="fixed", **form)


async def skip(trunkline: Trunkline, seconds: int) -> None:
    """Let time pass in one leap, but for the last moments of it."""
    trunkline.clock.advance(seconds - 5)
    await trunkline.run_for(5)


async def test_a_quarter_of_an_hour_ahead_is_late_enough(trunkline: Trunkline) -> None:
    """SDKs leave the fraction of the second away."""
    sid = await service(trunkline, trunkline.number)
    trunkline.clock.advance(0.9)
    assert (await schedule(trunkline, sid, 15))["status"] == "scheduled"


async def test_a_scheduled_text_leaves_at_its_time(trunkline: Trunkline) -> None:
    """Nothing is told before; its validity counts from then."""
    sid = await service(trunkline, trunkline.number, status_callback=CALLBACK, validity_period=60)
    message = await schedule(trunkline, sid, 60)
    assert (message["status"], message["from"], message["num_segments"]) == ("scheduled", None, "0")
    await skip(trunkline, 3599)
    assert trunkline.receiver.seen == []
    assert (await trunkline.message(message["sid"]))["status"] == "scheduled"
    await trunkline.run_for(6)
    assert (await trunkline.message(message["sid"]))["status"] == "delivered"
    assert trunkline.receiver.statuses(message["sid"]) == ["queued", "sent", "delivered"]
    assert trunkline.receiver.seen[0].at < NOON + timedelta(hours=1, seconds=1)


async def test_a_scheduled_text_survives_a_restart(trunkline: Trunkline) -> None:
    """Also one whose time passed while nobody was there."""
    sid = await service(trunkline, trunkline.number)
    message = await schedule(trunkline, sid, 15)
    await trunkline.close()
    again = Trunkline(trunkline.config.data_dir)
    again.clock.advance(3600)
    await again.run_for(5)
    assert (await again.message(message["sid"]))["status"] == "delivered"
    await again.close()


async def test_an_account_schedules_no_more_than_it_may(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is 35125, until one has left."""
    monkeypatch.setattr("trunkline.flows.queues.SCHEDULED_MAX", 2)
    sid = await service(trunkline, trunkline.number)
    for _ in range(2):
        await schedule(trunkline, sid, 60)
    at = {"SendAt": "2026-11-20T14:00:00Z", "ScheduleType": "fixed"}
    refused = await trunkline.send(From=None, MessagingServiceSid=sid, **at)
    assert (refused.status, refused.json["code"]) == (400, 35125)
    await skip(trunkline, 3605)
    await schedule(trunkline, sid, 60)


async def cancel(trunkline: Trunkline, sid: str, **also: str) -> Any:
    """Cancel a message."""
    path = f"{trunkline.base}/Messages/{sid}.json"
    return await trunkline.request("POST", path, {"Status": "canceled", **also})


async def test_a_canceled_text_never_leaves(trunkline: Trunkline) -> None:
    """Its callback says so; once it is under way it is too late (30409)."""
    sid = await service(trunkline, trunkline.number, status_callback=CALLBACK)
    message, other = await schedule(trunkline, sid, 60), await schedule(trunkline, sid, 60)
    answer = await cancel(trunkline, message["sid"])
    assert (answer.status, answer.json["status"]) == (200, "canceled")
    await skip(trunkline, 3605)
    assert trunkline.receiver.statuses(message["sid"]) == ["canceled"]
    assert (await trunkline.message(other["sid"]))["status"] == "delivered"
    assert len(await trunkline.app.network.inbox(TO)) == 1
    late = await cancel(trunkline, other["sid"])
    assert (late.status, late.json["code"]) == (409, 30409)


async def test_a_text_is_canceled_and_redacted_by_one_request(trunkline: Trunkline) -> None:
    """As it may be by two; by itself it is not redacted while it waits."""
    sid = await service(trunkline, trunkline.number)
    message = await schedule(trunkline, sid, 60)
    path = f"{trunkline.base}/Messages/{message['sid']}.json"
    early = await trunkline.request("POST", path, {"Body": ""})
    assert (early.status, early.json["code"]) == (409, 20009)
    answer = await cancel(trunkline, message["sid"], Body="")
    assert (answer.status, answer.json["status"], answer.json["body"]) == (200, "canceled", "")


async def test_texts_leave_in_the_order_of_their_times(trunkline: Trunkline) -> None:
    """Whenever they were asked for, each within a second of its time."""
    sid = await service(trunkline, trunkline.number, status_callback=CALLBACK)
    asked = {minutes: await schedule(trunkline, sid, minutes) for minutes in (30, 20, 25)}
    for _ in range(7):
        await skip(trunkline, 300)
    queued = [s for s in trunkline.receiver.seen if s.form["MessageStatus"] == "queued"]
    assert [s.form["MessageSid"] for s in queued] == [asked[m]["sid"] for m in (20, 25, 30)]
    for minutes, seen in zip((20, 25, 30), queued, strict=True):
        assert timedelta() <= seen.at - NOON - timedelta(minutes=minutes) < timedelta(seconds=1)


async def test_a_scheduled_text_that_meets_a_bug_keeps_no_other_waiting(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is put off, and leaves once the bug is gone."""
    sid = await service(trunkline, trunkline.number)
    bad, good = await schedule(trunkline, sid, 60), await schedule(trunkline, sid, 60)
    right = scheduling._due

    def wrong(platform: Any, message: Any, row: Any, *, pools: Any) -> Any:
        if message.sid == bad["sid"]:
            raise ZeroDivisionError
        return right(platform, message, row, pools=pools)

    trunkline.clock.advance(3600)
    with monkeypatch.context() as patch:
        patch.setattr(scheduling, "_due", wrong)
        with pytest.raises(ExceptionGroup):
            await scheduling.release(trunkline.app.platform)
    await trunkline.run_for(5)
    assert (await trunkline.message(good["sid"]))["status"] == "delivered"
    assert (await trunkline.message(bad["sid"]))["status"] == "scheduled"
    await trunkline.run_for(65)
    assert (await trunkline.message(bad["sid"]))["status"] == "delivered"


async def test_a_scheduled_picture_is_fetched_when_it_is_due(trunkline: Trunkline) -> None:
    """Not before."""
    trunkline.receiver.script = lambda seen: (200, "image/png", b"picture")
    sid = await service(trunkline, trunkline.number)
    message = await schedule(trunkline, sid, 60, MediaUrl="https://app.example.com/cat.png")
    assert message["sid"].startswith("MM")
    await skip(trunkline, 3599)
    assert trunkline.receiver.seen == []
    await trunkline.run_for(10)
    assert (await trunkline.message(message["sid"]))["status"] == "delivered"
    assert [seen.method for seen in trunkline.receiver.seen] == ["GET"]


async def test_a_service_that_is_gone_sends_nothing_more(trunkline: Trunkline) -> None:
    """What it had scheduled fails with 21702."""
    sid = await service(trunkline, trunkline.number)
    message = await schedule(trunkline, sid, 60)

    def work(db: Any) -> None:
        delete_record(db, SERVICES, sid)

    await trunkline.app.store.write(work)
    trunkline.app.platform.directory.forget()
    await skip(trunkline, 3605)
    after = await trunkline.message(message["sid"])
    assert (after["status"], after["error_code"]) == ("failed", 21702)


NIGHT = QuietHours(start="06:00", end="09:00")  # In Boston it is seven o'clock.
SLEEPS, WAKES = "+16175550100", "+493055500100"


async def test_who_sleeps_is_left_alone_until_the_morning(trunkline: Trunkline) -> None:
    """The message stays accepted, over a restart; others have theirs at once."""
    sid = await service(
        trunkline, trunkline.number, status_callback=CALLBACK, quiet_hours=NIGHT, validity_period=60
    )
    held, sent = await send(trunkline, sid, SLEEPS), await send(trunkline, sid, WAKES)
    await trunkline.run_for(5)
    assert (await trunkline.message(sent["sid"]))["status"] == "delivered"
    assert (await trunkline.message(held["sid"]))["status"] == "accepted"
    (event,) = await trunkline.events(held["sid"])
    assert (event["kind"], event["detail"]) == (
        "held",
        {"quiet_until": "2026-11-20T14:00:00+00:00"},
    )
    await skip(trunkline, 7190)
    assert trunkline.receiver.statuses(held["sid"]) == []
    await trunkline.run_for(15)
    assert trunkline.receiver.statuses(held["sid"]) == ["queued", "sent", "delivered"]


async def test_who_opts_out_at_night_gets_nothing_in_the_morning(trunkline: Trunkline) -> None:
    """What is held is checked again."""
    sid = await service(trunkline, trunkline.number, quiet_hours=NIGHT)
    held = await send(trunkline, sid, SLEEPS)
    await trunkline.app.network.send_from(SLEEPS, trunkline.number, body="STOP")
    await trunkline.run_for(5)
    await skip(trunkline, 7210)
    after = await trunkline.message(held["sid"])
    assert (after["status"], after["error_code"]) == ("failed", 21610)


async def test_what_is_held_may_be_canceled(trunkline: Trunkline) -> None:
    """As what is scheduled; its callback says it, and in the morning nothing comes."""
    sid = await service(trunkline, trunkline.number, status_callback=CALLBACK, quiet_hours=NIGHT)
    held = await send(trunkline, sid, SLEEPS)
    path = f"{trunkline.base}/Messages/{held['sid']}.json"
    answer = await trunkline.request("POST", path, {"Status": "canceled"})
    assert (answer.status, answer.json["status"]) == (200, "canceled")
    assert (await trunkline.request("POST", path, {"Status": "canceled"})).json["code"] == 30409
    await trunkline.run_for(5)
    await skip(trunkline, 7210)
    assert trunkline.receiver.statuses(held["sid"]) == ["canceled"]
    assert await trunkline.app.network.inbox(SLEEPS) == []


async def test_a_scheduled_text_is_held_or_refused_as_any_other(trunkline: Trunkline) -> None:
    """When its time comes in the night of its recipient."""
    refuses = replace(NIGHT, rule=QuietRule.REFUSE)
    sid = await service(trunkline, trunkline.number, quiet_hours=NIGHT)
    strict = await service(trunkline, quiet_hours=refuses, status_callback=CALLBACK)
    message = await schedule(trunkline, sid, 60, to=SLEEPS)
    refused = await schedule(trunkline, strict, 60, to=SLEEPS)
    await skip(trunkline, 3605)
    assert (await trunkline.message(message["sid"]))["status"] == "accepted"
    after = await trunkline.message(refused["sid"])
    assert (after["status"], after["error_code"]) == ("failed", 30610)
    assert trunkline.receiver.statuses(refused["sid"]) == ["failed"]
    await skip(trunkline, 3605)
    assert (await trunkline.message(message["sid"]))["status"] == "delivered"


async def test_an_operator_gives_a_service_quiet_hours(trunkline: Trunkline) -> None:
    """And takes them away; what are none is refused."""
    sid = await service(trunkline, trunkline.number)
    path = f"/trunkline/v1/services/{sid}"
    answer = await trunkline.request("POST", path, {"QuietHours": "06:00-09:00"})
    assert (answer.json["quiet_hours"], answer.json["quiet_rule"]) == ("06:00-09:00", "hold")
    page = await Browser(local_console(trunkline)).read("/services")
    assert "06:00 to 09:00 where the recipient is" in page
    message = await send(trunkline, sid, SLEEPS)
    assert (await trunkline.message(message["sid"]))["status"] == "accepted"
    for form in ({"QuietHours": "night"}, {"QuietHours": "06:00-09:00", "QuietRule": "x"}, {}):
        answer = await trunkline.request("POST", path, form)
        assert (answer.status, answer.json["code"]) == (400, 20422)
    answer = await trunkline.request("POST", path, {"QuietHours": "off"})
    assert answer.json["quiet_hours"] is None
    message = await send(trunkline, sid, SLEEPS)
    assert (await trunkline.message(message["sid"]))["status"] == "queued"
