"""The connector to an upstream Twilio account, against a server that answers as a script says."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from tests.twilio_api import AC, MESSAGES, SECONDS, Answer, Api, served
from trunkline.carriers.port import (
    BindPhase,
    Deferred,
    Happening,
    Incoming,
    InDoubt,
    Receipt,
    Refused,
    Submission,
    Taken,
)
from trunkline.carriers.twilio.connector import TwilioCarrier, TwilioConnector
from trunkline.domain.errors import Refusal
from trunkline.domain.text import split
from trunkline.runtime import Chance, SystemClock
from trunkline.webhooks.signature import sign

MG = "MG" + "c3" * 16
NUMBER, PHONE, OTHER = "+15550006001", "+15558675310", "+15558675311"


class Ledger:
    """What the flows would remember."""

    def __init__(self) -> None:
        self.refs: set[str] = set()
        self.oldest: datetime | None = None

    async def known(self, carrier: str, refs: Collection[str]) -> set[str]:
        """Return those of *refs* that were taken."""
        return self.refs & set(refs)

    async def oldest_open(self, carrier: str, *, since: datetime) -> datetime | None:
        """Return what the test says."""
        return self.oldest


class Flow:
    """Takes what the carrier brings; raises `trouble` first, when there is some."""

    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self.trouble: Exception | None = None
        self.rings = 0
        self._news = asyncio.Condition()

    async def handle(self, happenings: Sequence[Happening]) -> None:
        """Keep them."""
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble
        async with self._news:
            self.happenings.extend(happenings)
            self._news.notify_all()

    async def told(self, condition: Callable[[], bool]) -> None:
        """Return once *condition* holds of what was brought."""
        async with self._news, asyncio.timeout(SECONDS):
            await self._news.wait_for(condition)

    def receipts(self) -> list[tuple[str, bool | None, int | None]]:
        """Return what receipts said."""
        kinds = (h for h in self.happenings if isinstance(h, Receipt))
        return [(r.carrier_ref, r.delivered, r.error_code) for r in kinds]


@dataclass
class World:
    """A carrier at work between a scripted API and a flow."""

    api: Api
    ledger: Ledger
    flow: Flow
    carrier: TwilioCarrier
    rang: asyncio.Event

    async def submit(self, *submissions: Submission) -> list[object]:
        """Submit, and let the ledger know what was taken, as the flows would."""
        async with asyncio.timeout(SECONDS):
            results = await self.carrier.submit(0, submissions)
        self.ledger.refs |= {r.carrier_ref for r in results if isinstance(r, Taken)}
        return list(results)

    async def rings(self, condition: Callable[[], bool]) -> None:
        """Return once *condition* holds when the carrier says that something changed."""
        async with asyncio.timeout(SECONDS):
            while not condition():
                await self.rang.wait()
                self.rang.clear()


def opened(api: Api, ledger: Ledger, changed: Callable[[], None], **settings: str) -> TwilioCarrier:
    connector = TwilioConnector(
        clock=SystemClock(),
        chance=Chance(1),
        callback_url="http://127.0.0.1:9/trunkline/v1/carriers",
        ledger=ledger,
    )
    given = {
        "account_sid": AC,
        "auth_token": "secret",
        "base_url": f"http://127.0.0.1:{api.port}",
        "request_seconds": "2",
        "doubt_seconds": "0",
        "poll_seconds": "3600",
        **settings,
    }
    connector.check(given)
    return connector.open("up", given, lanes=[0], changed=changed, may_send=lambda _: True)


@asynccontextmanager
async def at_work(api: Api | None = None, **settings: str) -> AsyncIterator[World]:
    """Yield a carrier that runs."""
    api, ledger, flow, rang = api or Api(), Ledger(), Flow(), asyncio.Event()
    async with served(api):
        carrier = opened(api, ledger, rang.set, **settings)
        world = World(api, ledger, flow, carrier, rang)
        running = asyncio.create_task(carrier.run(flow.handle))
        await world.rings(lambda: carrier.room(0) > 0)
        try:
            yield world
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def message(text: str = "hello", **changes: object) -> list[Submission]:
    """Return a message as the flows hand it over: a submission for each segment."""
    parts = split(text)
    made_at = datetime.now(UTC)
    sid = Chance().sid("SM", made_at)
    common: dict[str, object] = {
        "account_sid": AC,
        "message_sid": sid,
        "segment_count": len(parts.segments),
        "sender": NUMBER,
        "recipient": PHONE,
        "encoding": parts.encoding.value,
    }
    return [
        Submission(**{**common, "segment_index": index, "text": segment, **changes})  # type: ignore[arg-type]
        for index, segment in enumerate(parts.segments)
    ]


def again(submissions: Sequence[Submission]) -> list[Submission]:
    """Return submissions as they come after a crash or when nothing was answered."""
    fields = Submission.__dataclass_fields__
    return [
        Submission(**({n: getattr(s, n) for n in fields} | {"is_repeat": True}))
        for s in submissions
    ]


async def test_a_text_is_taken_and_its_callback_is_a_receipt() -> None:
    """One request with Basic auth; a signed callback that says delivered."""
    async with at_work() as world:
        (taken,) = await world.submit(*message("hello"))
        (asked,) = world.api.created
        assert isinstance(taken, Taken)
        assert asked.path == MESSAGES
        assert asked.headers["authorization"].startswith("Basic ")
        fields = asked.fields
        assert (fields["To"], fields["From"], fields["Body"]) == (PHONE, NUMBER, "hello")
        url = fields["StatusCallback"]
        form = {"MessageSid": taken.carrier_ref}
        for status in ("sent", "delivered"):
            form["MessageStatus"] = status
            signature = sign("secret", url, form.items())
            assert await world.carrier.told(form, signature=signature, url=url)
        assert world.flow.receipts() == [
            (taken.carrier_ref, None, None),
            (taken.carrier_ref, True, None),
        ]
        assert not await world.carrier.told(form, signature="", url=url)
        assert world.carrier.binds()[0].last_receipt_at is not None


async def test_a_long_text_goes_in_one_request_and_each_segment_has_its_receipt() -> None:
    """The references follow from the SID; their number comes back with the callback."""
    text = "long " * 70
    async with at_work() as world:
        results = await world.submit(*message(text))
        (asked,) = world.api.created
        sid = world.api.messages[0]["sid"]
        assert asked.fields["Body"] == text
        assert results == [Taken(f"{sid}"), Taken(f"{sid}#2"), Taken(f"{sid}#3")]
        url = asked.fields["StatusCallback"]
        form = {"MessageSid": f"{sid}", "MessageStatus": "undelivered", "ErrorCode": "30003"}
        assert await world.carrier.told(form, signature=sign("secret", url, form.items()), url=url)
        assert world.flow.receipts() == [
            (ref, False, 30003) for ref in (f"{sid}", f"{sid}#2", f"{sid}#3")
        ]


async def test_what_waits_is_asked_for_where_no_callback_comes() -> None:
    """The poll brings the end of every message of ours, of each segment, and of nobody else's."""
    async with at_work(callbacks="off", poll_seconds="0.05") as world:
        world.api.add({"To": PHONE, "From": NUMBER, "Body": "not ours"}, status="delivered")
        results = await world.submit(*message("a " * 100), *message("b", recipient=OTHER))
        assert "StatusCallback" not in world.api.created[0].fields
        for made in world.api.messages:
            is_long = made["body"] == "a " * 100
            made |= {"status": "failed", "error_code": 30005} if is_long else {"status": "read"}
        await world.flow.told(lambda: len(world.flow.happenings) >= len(results))
        first, second, other = (r.carrier_ref for r in results if isinstance(r, Taken))
        assert sorted(world.flow.receipts()) == sorted(
            [(first, False, 30005), (second, False, 30005), (other, True, None)]
        )


async def test_an_end_that_is_seen_before_the_answer_is_on_disk_is_not_forgotten() -> None:
    """The next round brings it."""
    async with at_work(callbacks="off", poll_seconds="0.05") as world:
        (taken,) = await world.carrier.submit(0, message())
        world.api.messages[0]["status"] = "delivered"
        count = len(world.api.asked)
        # The third look begins when the second is done.
        await world.api.seen(lambda: len(world.api.asked) >= count + 3)
        assert world.flow.happenings == []
        assert isinstance(taken, Taken)
        world.ledger.refs = {taken.carrier_ref}
        await world.flow.told(lambda: bool(world.flow.happenings))
        assert world.flow.receipts() == [(taken.carrier_ref, True, None)]


async def test_nothing_is_asked_while_nothing_is_open() -> None:
    """Not at the start, not while polling would be due, and not once everything has ended."""
    async with at_work(poll_seconds="0.05", callbacks="off") as world:
        assert world.api.asked == []
        (taken,) = await world.submit(*message())
        world.api.messages[0]["status"] = "delivered"
        await world.flow.told(lambda: bool(world.flow.happenings))
        count = len(world.api.asked)
        # The next message is the first thing that is asked for again.
        await world.submit(*message("second"))
        assert world.api.asked[count].method == "POST"
        assert isinstance(taken, Taken)


async def test_what_was_open_before_a_restart_is_asked_for() -> None:
    """The ledger knows; pages are read until one reaches back far enough."""
    api = Api(page_size=2)
    api.date = timedelta(minutes=-40)
    old = api.add({"To": PHONE}, status="undelivered", error_code=30006)
    api.date = timedelta(0)
    for _ in range(5):
        api.add({"To": PHONE}, status="delivered")
    async with served(api):
        ledger, flow = Ledger(), Flow()
        ledger.refs, ledger.oldest = {f"{old['sid']}"}, datetime.now(UTC) - timedelta(minutes=41)
        carrier = opened(api, ledger, lambda: None)
        running = asyncio.create_task(carrier.run(flow.handle))
        await flow.told(lambda: bool(flow.happenings))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert flow.receipts() == [(old["sid"], False, 30006)]
    assert len(api.asked) == 3


@pytest.mark.parametrize(
    ("status", "code", "error_code", "may_fail_over"),
    [(400, 21610, 21610, False), (400, 21606, 21606, True), (400, 99999, 30008, False)],
)
async def test_a_refusal_keeps_its_code(
    status: int, code: int, error_code: int, may_fail_over: bool
) -> None:
    """A message that cannot be sent fails as it would there."""
    api = Api(scripted=[Answer(status, {"code": code})])
    async with at_work(api) as world:
        (result,) = await world.submit(*message())
        assert isinstance(result, Refused)
        assert (result.error_code, result.may_fail_over) == (error_code, may_fail_over)
        assert world.carrier.down_since is None


async def test_too_many_requests_pause_the_carrier() -> None:
    """For as long as Retry-After says; then there is room again, and the message goes."""
    api = Api(scripted=[Answer(429, {"code": 20429}, {"Retry-After": "1"})])
    async with at_work(api) as world:
        (result,) = await world.submit(*message())
        assert result == Deferred(1.0, "HTTP 429, error 20429")
        assert world.carrier.room(0) == 0
        assert world.carrier.binds()[0].phase is BindPhase.WAITING
        (meanwhile,) = await world.submit(*message("meanwhile"))
        assert isinstance(meanwhile, Deferred)
        assert len(api.created) == 1
        await world.rings(lambda: world.carrier.room(0) > 0)
        assert world.carrier.down_since is None
        assert isinstance((await world.submit(*message()))[0], Taken)


async def test_a_full_queue_of_one_sender_pauses_nobody_else() -> None:
    """21611 speaks of the sender."""
    api = Api(scripted=[Answer(400, {"code": 21611})])
    async with at_work(api) as world:
        (result,) = await world.submit(*message())
        assert isinstance(result, Deferred)
        assert world.carrier.room(0) > 0


async def test_an_internal_error_is_looked_into_before_the_message_goes_again() -> None:
    """It may have been taken all the same: then it is found and not sent twice."""
    api = Api(scripted=[Answer(500, {"code": 20500})])
    async with at_work(api) as world:
        text = message()
        (result,) = await world.submit(*text)
        assert isinstance(result, Deferred)
        made = api.add({"To": PHONE, "From": NUMBER, "Body": "hello"})
        assert await world.submit(*text) == [Taken(f"{made['sid']}")]
        assert len(api.created) == 1


async def test_trouble_that_lasts_takes_the_carrier_down_until_it_is_over() -> None:
    """Three internal errors in a row are no accident."""
    api = Api(scripted=[Answer(502)] * 3)
    async with at_work(api) as world:
        for number in range(3):
            await world.submit(*message(f"{number}", recipient=f"+1555867531{number}"))
        assert world.carrier.down_since is not None
        assert world.carrier.room(0) == 0
        await world.rings(lambda: world.carrier.down_since is None)
        assert isinstance((await world.submit(*message("later")))[0], Taken)


async def test_a_rotated_key_fails_no_message() -> None:
    """The carrier is down, what comes waits, and when the key is right again it goes on."""
    async with at_work() as world:
        world.api.is_locked = True
        (result,) = await world.submit(*message())
        assert isinstance(result, Deferred)
        assert "20003" in result.reason
        assert world.carrier.down_since is not None
        assert not (await world.carrier.probe()).is_good
        world.api.is_locked = False
        await world.rings(lambda: world.carrier.down_since is None)
        assert isinstance((await world.submit(*message()))[0], Taken)


async def test_a_server_that_is_not_there_defers() -> None:
    """Nothing left; once it is there again, the carrier comes up by itself."""
    api = Api()
    async with at_work(api) as world:
        pass
    carrier = opened(api, world.ledger, world.rang.set)
    running = asyncio.create_task(carrier.run(world.flow.handle))
    world.carrier = carrier
    await world.rings(lambda: carrier.room(0) > 0)
    (result,) = await world.submit(*message())
    assert isinstance(result, Deferred)
    assert carrier.down_since is not None
    async with served(api):
        await world.rings(lambda: carrier.down_since is None)
        assert isinstance((await world.submit(*message()))[0], Taken)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_no_answer_leaves_a_doubt_that_is_resolved() -> None:
    """Whether the request was taken, cut off or never processed, the message is there once."""
    async with at_work(request_seconds="1") as world:
        world.api.is_open.clear()
        text = message()
        (result,) = await world.submit(*text)
        assert isinstance(result, InDoubt)
        world.api.is_open.set()
        (taken,) = await world.submit(*again(text))
        assert isinstance(taken, Taken)
        assert [m["body"] for m in world.api.messages] == ["hello"]


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_lost_connection_leaves_a_doubt_that_is_resolved(arrived: bool) -> None:
    """What arrived is adopted, with a reference for each segment; what did not is sent."""
    api = Api(scripted=[Answer(cut=True)])
    async with at_work(api) as world:
        text = message("x" * 161)
        assert {type(r) for r in await world.submit(*text)} == {InDoubt}
        if arrived:
            api.add({"To": PHONE, "From": NUMBER, "Body": "x" * 161})
        results = await world.submit(*again(text))
        sid = api.messages[0]["sid"]
        assert results == [Taken(f"{sid}"), Taken(f"{sid}#2")]
        assert len(api.messages) == 1
        assert len(api.created) == (1 if arrived else 2)
        assert world.carrier.binds()[0].in_doubt == 1


async def test_only_a_twin_that_is_nobody_elses_is_adopted() -> None:
    """Neither an older one, nor one that is known, another body, direction or number."""
    api = Api()
    same = {"To": PHONE, "From": NUMBER, "Body": "hello"}
    api.date = timedelta(minutes=-1)
    api.add(same)
    api.date = timedelta(0)
    known = api.add(same)
    api.add(same, body="hello!")
    api.add(same, direction="inbound")
    api.add(same, num_media="1")
    async with at_work(api) as world:
        world.ledger.refs = {f"{known['sid']}"}
        text = again(message())
        (result,) = await world.submit(*text)
        assert result == Taken(f"{api.messages[0]['sid']}")
        assert len(api.created) == 1


async def test_two_doubts_about_the_same_text_find_two_messages() -> None:
    """Neither takes the other's, also when they come at once."""
    api = Api(scripted=[Answer(cut=True), Answer(cut=True)])
    async with at_work(api) as world:
        first, second = message(), message()
        await world.submit(*first, *second)
        api.add({"To": PHONE, "From": NUMBER, "Body": "hello"})
        results = await world.submit(*again(first), *again(second))
        assert len({r.carrier_ref for r in results if isinstance(r, Taken)}) == 2
        assert len(api.messages) == 2
        assert len(api.created) == 3


async def test_another_clock_there_misleads_nobody() -> None:
    """Times there are compared by the clock there."""
    api = Api(scripted=[Answer(cut=True)], date=timedelta(hours=-5))
    async with at_work(api) as world:
        text = message()
        await world.submit(*text)
        made = api.add({"To": PHONE, "From": NUMBER, "Body": "hello"})
        assert await world.submit(*again(text)) == [Taken(f"{made['sid']}")]


async def test_a_doubt_that_cannot_be_resolved_stays_one() -> None:
    """Deferred would say that nothing was taken."""
    api = Api(scripted=[Answer(cut=True)])
    async with at_work(api) as world:
        text = message()
        await world.submit(*text)
        api.is_locked = True
        assert isinstance((await world.submit(*again(text)))[0], InDoubt)
        assert isinstance((await world.submit(*again(text)))[0], InDoubt)
        assert len(api.created) == 1


async def test_a_request_that_may_still_arrive_is_waited_for() -> None:
    """It arrives between the first look and the second."""
    api = Api(scripted=[Answer(cut=True)])
    async with at_work(api, doubt_seconds="1") as world:
        text = message()
        await world.submit(*text)
        submitting = asyncio.create_task(world.submit(*again(text)))
        await api.seen(lambda: len(api.asked) == 2)
        made = api.add({"To": PHONE, "From": NUMBER, "Body": "hello"})
        assert await submitting == [Taken(f"{made['sid']}")]


async def test_the_window_is_never_exceeded_and_one_recipient_gets_one_at_a_time() -> None:
    """Three at once to different numbers; those to the same one in their order."""
    async with at_work(window="3") as world:
        texts = [message(f"{n}", recipient=f"+155586753{n % 4:02}")[0] for n in range(20)]
        world.api.is_open.clear()
        submitting = asyncio.create_task(world.submit(*texts))
        await world.api.seen(lambda: len(world.api.asked) == 3)
        assert world.carrier.room(0) == 0
        assert world.carrier.binds()[0].window_used == 3
        world.api.is_open.set()
        assert all(isinstance(result, Taken) for result in await submitting)
        assert world.api.at_once_max == 3
        to_one = [a.fields["Body"] for a in world.api.created if a.fields["To"].endswith("00")]
        assert to_one == ["0", "4", "8", "12", "16"]
        assert world.carrier.room(0) == 3


async def test_the_rate_is_kept() -> None:
    """Twenty a second: after a first few at once, the rest takes its time."""
    async with at_work(messages_per_second="20") as world:
        assert world.carrier.room(0) <= 5
        began = asyncio.get_running_loop().time()
        texts = [message(f"{n}", recipient=f"+155586753{n:02}")[0] for n in range(12)]
        await world.submit(*texts)
        assert asyncio.get_running_loop().time() - began >= 0.3
        await world.rings(lambda: world.carrier.room(0) > 0)


async def test_a_service_or_another_number_can_be_the_sender() -> None:
    """A channel's address stays what it is."""
    whatsapp = message(sender=f"whatsapp:{NUMBER}", recipient=f"whatsapp:{PHONE}")
    async with at_work(messaging_service_sid=MG) as world:
        await world.submit(*message())
        await world.submit(*whatsapp)
        plain, channel = (asked.fields for asked in world.api.created)
        assert (plain["MessagingServiceSid"], plain.get("From")) == (MG, None)
        assert (channel.get("MessagingServiceSid"), channel["From"]) == (None, f"whatsapp:{NUMBER}")
    async with at_work(from_number=OTHER) as world:
        await world.submit(*message())
        await world.submit(*whatsapp)
        assert [a.fields["From"] for a in world.api.created] == [OTHER, f"whatsapp:{NUMBER}"]


async def test_media_go_by_the_addresses_they_came_from() -> None:
    """Our own addresses ask for credentials, so without others nothing can be sent."""
    sources = ("https://example.com/a.png", "https://example.com/b.png")
    own = ("http://127.0.0.1:9/a", "http://127.0.0.1:9/b")
    async with at_work() as world:
        await world.submit(*message("", media=own, media_sources=sources))
        (asked,) = world.api.created
        assert [value for name, value in asked.form if name == "MediaUrl"] == list(sources)
        assert "Body" not in asked.fields
        (result,) = await world.submit(*message("", media=own))
        assert isinstance(result, Refused)


async def test_texts_come_in_by_polling() -> None:
    """With their media, whose addresses ask for credentials that are for this host alone."""
    async with at_work(inbound="poll", poll_seconds="0.05") as world:
        picture = world.api.add(
            {"To": NUMBER, "From": PHONE, "Body": "look"},
            direction="inbound",
            status="received",
            num_media="1",
        )
        uri = f"/2010-04-01/Accounts/{AC}/Messages/{picture['sid']}/Media/ME1"
        world.api.media[f"{picture['sid']}"] = [uri + ".json"]
        world.api.add({"To": NUMBER, "From": PHONE}, direction="inbound", status="receiving")
        await world.flow.told(lambda: bool(world.flow.happenings))
        (text,) = world.flow.happenings
        assert isinstance(text, Incoming)
        assert (text.ref, text.sender, text.recipient) == (picture["sid"], PHONE, NUMBER)
        assert (text.body, text.encoding, text.num_segments) == ("look", "GSM-7", 1)
        (url,) = text.media
        assert url == f"http://127.0.0.1:{world.api.port}{uri}"
        assert (world.carrier.authorization_for(url) or "").startswith("Basic ")
        for elsewhere in ("http://127.0.0.1:1/x", "https://evil.example/x", "nonsense", "http://["):
            assert world.carrier.authorization_for(elsewhere) is None


async def test_texts_come_in_by_webhook_where_that_is_set() -> None:
    """The address is shown by a test of the carrier; otherwise it takes no texts."""
    form = {"MessageSid": "SM1", "SmsStatus": "received", "From": PHONE, "To": NUMBER, "Body": "hi"}
    for inbound, count in (("webhook", 1), ("off", 0)):
        async with at_work(inbound=inbound) as world:
            detail = (await world.carrier.probe()).detail
            await world.submit(*message())
            url = world.api.created[0].fields["StatusCallback"]
            assert (url in detail) == (inbound == "webhook")
            signature = sign("secret", url, form.items())
            assert await world.carrier.told(form, signature=signature, url=url)
            assert [h.body for h in world.flow.happenings if isinstance(h, Incoming)] == (
                ["hi"] * count
            )


async def test_what_could_not_be_stored_is_told_again() -> None:
    """The error reaches whoever runs the carrier; run again, it asks again."""
    api = Api()
    api.add({"To": NUMBER, "From": PHONE, "Body": "hi"}, direction="inbound", status="received")
    async with served(api):
        flow = Flow()
        carrier = opened(api, Ledger(), lambda: None, inbound="poll")
        flow.trouble = OSError("disk full")
        with pytest.raises(OSError, match="disk full"):
            await carrier.run(flow.handle)
        running = asyncio.create_task(carrier.run(flow.handle))
        await flow.told(lambda: bool(flow.happenings))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_callback_is_not_taken_while_the_carrier_is_closed() -> None:
    """It says so, and the poll after the next start finds out."""
    async with at_work() as world:
        await world.submit(*message())
        url = world.api.created[0].fields["StatusCallback"]
    form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    with pytest.raises(Refusal) as caught:
        await world.carrier.told(form, signature=sign("secret", url, form.items()), url=url)
    assert caught.value.code == 20503
    assert world.carrier.room(0) == 0


async def test_answers_under_way_are_waited_for_at_the_end() -> None:
    """A carrier that is closed in the middle of a request still learns what came of it."""
    async with at_work() as world:
        world.api.is_open.clear()
        submitting = asyncio.create_task(world.submit(*message()))
        await world.api.seen(lambda: len(world.api.asked) == 1)
        world.api.is_open.set()
    assert isinstance((await submitting)[0], Taken)


async def test_what_passed_is_shown_without_secrets() -> None:
    """Neither the token nor the address that only they know."""
    async with at_work() as world:
        await world.submit(*message("y" * 500))
        url = world.api.created[0].fields["StatusCallback"]
        token = url.partition("?")[0].rpartition("/")[2]
        out, back = world.carrier.pdus()
        assert (out.name, out.is_outgoing, back.status) == (f"POST {MESSAGES}", True, "201")
        assert out.sequence_number == back.sequence_number
        assert out.fields["To"] == PHONE
        assert back.fields["sid"] == world.api.messages[0]["sid"]
        shown = str(world.carrier.pdus())
        assert token not in shown
        assert "secret" not in shown
        assert "y" * 201 not in shown


async def test_a_probe_says_how_long_it_took() -> None:
    """And nothing else is asked for."""
    async with at_work() as world:
        probe = await world.carrier.probe()
        assert probe.is_good
        assert probe.milliseconds > 0
        assert [(a.method, urlsplit(a.path).path) for a in world.api.asked] == [("GET", MESSAGES)]


async def test_a_redirect_takes_no_credentials_anywhere() -> None:
    """An address that redirects is a wrong address."""
    api = Api(scripted=[Answer(302, {}, {"Location": "/elsewhere"})])
    async with at_work(api) as world:
        assert isinstance((await world.submit(*message()))[0], Deferred)
        assert len(api.created) == 1
        assert all(asked.path != "/elsewhere" for asked in api.asked)
