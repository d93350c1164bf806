"""Receipts and texts for customers: kept while they are away, and until they take them."""

import asyncio
from datetime import timedelta

import pytest

from tests.esme import PHONE, Esme, serving, text
from tests.harness import NOON, Trunkline
from trunkline.domain.ids import AT_ONCE
from trunkline.flows import customers
from trunkline.flows.customers import Wishes
from trunkline.flows.deliveries import KEPT_FOR, SUSPECT_SECONDS, sweep
from trunkline.smpp.concatenation import Reassembly, segment_of
from trunkline.smpp.pdu import BindReceiver, BindTransmitter, DeliverSm
from trunkline.smpp.receipt import parse_receipt
from trunkline.smpp.status import CommandStatus
from trunkline.smsc import connection, courier
from trunkline.smsc.binds import Binds
from trunkline.smsc.courier import Courier
from trunkline.smsc.server import SmscServer
from trunkline.store.deliveries import (
    DeliveryRow,
    count_deliveries,
    insert_deliveries,
    load_deliveries,
    sweep_deliveries,
)

C = CommandStatus


@pytest.fixture
async def acme(trunkline: Trunkline) -> str:
    """Yield the system_id of a customer who may use the main account's number."""
    await customers.add(
        trunkline.app.platform,
        trunkline.account_sid,
        system_id="acme",
        wishes=Wishes(password="secret", addresses=(trunkline.number, "ACME")),
    )
    return "acme"


async def waiting(trunkline: Trunkline, system_id: str = "acme") -> int:
    """Return how much waits for a customer."""
    return await trunkline.app.store.read(
        lambda db: count_deliveries(db, trunkline.account_sid, system_id)
    )


async def nothing_waits(trunkline: Trunkline, system_id: str = "acme") -> None:
    """Return once everything was taken."""

    async def look() -> None:
        while await waiting(trunkline, system_id):
            pass

    await asyncio.wait_for(look(), 10)


async def nothing_is_due(trunkline: Trunkline) -> None:
    """Return once all that waits for acme has a time that is not here yet."""
    now = trunkline.clock.now()

    async def look() -> None:
        while await trunkline.app.store.read(
            lambda db: load_deliveries(db, trunkline.account_sid, "acme", now=now, limit=1)
        ):
            pass

    await asyncio.wait_for(look(), 10)


async def reply(trunkline: Trunkline, to: str, body: str = "Hi there") -> None:
    """Let a phone send a text, and let it arrive."""
    await trunkline.app.network.send_from("+" + PHONE, to, body=body)
    await trunkline.run_for(2)


async def test_a_customers_text_is_a_message_like_any_other(
    trunkline: Trunkline, smsc: SmscServer, acme: str
) -> None:
    """From the addresses that are his; routed, logged and priced; its receipt comes back."""
    own = text(source_addr=trunkline.number[1:])
    async with await Esme.connect(smsc.port) as esme:
        await esme.bind(acme, "secret")
        ((status, sid), (not_his, _)) = await esme.submit(own, text())
        assert (status, not_his) == (C.ESME_ROK, C.ESME_RINVSRCADR)
        ((_, unnamed),) = await esme.submit(text(source_addr="", source_addr_ton=0))
        await trunkline.run_for(5)
        for expected in (sid, unnamed):
            receipt = parse_receipt(await esme.next_delivery())
            assert receipt is not None
            assert receipt.message_ids == (expected,)
        message = await trunkline.message(sid)
        assert (message["from"], message["status"]) == (trunkline.number, "delivered")
        assert message["price"].startswith("-0.0")
        assert (await trunkline.message(unnamed))["from"] == trunkline.number
    await nothing_waits(trunkline)


async def test_what_the_account_may_not_send_is_refused(
    trunkline: Trunkline, smsc: SmscServer
) -> None:
    """A listed number that is not the account's, and a name where names are not delivered."""
    await customers.add(
        trunkline.app.platform,
        trunkline.account_sid,
        system_id="other",
        wishes=Wishes(password="secret", addresses=("+14155550199", "ACME")),
    )
    async with await Esme.connect(smsc.port) as esme:
        await esme.bind("other", "secret")
        answers = await esme.submit(
            text(source_addr="14155550199"), text(source_addr="ACME", source_addr_ton=5)
        )
        assert [status for status, _ in answers] == [C.ESME_RINVSRCADR, C.ESME_RINVDSTADR]


async def test_a_text_to_a_customers_number_reaches_him_and_the_webhook(
    trunkline: Trunkline, smsc: SmscServer, acme: str
) -> None:
    """Both are told; what is in GSM's alphabet is coded so, the rest as UCS-2."""
    await trunkline.configure_number(SmsUrl="https://app.example.com/sms")
    async with await Esme.connect(smsc.port) as esme:
        await esme.bind(acme, "secret", BindReceiver)
        await reply(trunkline, trunkline.number, "Grüße {}")
        await reply(trunkline, trunkline.number, "日本")
        first, second = await esme.deliveries(2)
    assert (first.source_addr, first.source_addr_ton) == (PHONE, 1)
    assert first.destination_addr == trunkline.number[1:]
    assert (first.data_coding, first.short_message) == (0, b"Gr~\x1ee \x1b(\x1b)")
    assert (second.data_coding, second.short_message) == (8, "日本".encode("utf-16-be"))
    assert (first.esm_class, parse_receipt(first)) == (0, None)
    bodies = [seen.form["Body"] for seen in trunkline.receiver.seen]
    assert bodies == ["Grüße {}", "日本"]
    await nothing_waits(trunkline)


async def test_a_long_text_comes_in_segments(
    trunkline: Trunkline, smsc: SmscServer, acme: str
) -> None:
    """Each fits a short message, and they are put together again by their header."""
    body = "A long reply in several segments. " * 20
    async with await Esme.connect(smsc.port) as esme:
        await esme.bind(acme, "secret")
        await reply(trunkline, trunkline.number, body)
        delivered = await esme.deliveries(5)
    assert all(len(each.short_message) <= 160 for each in delivered)
    reassembly = Reassembly(60)
    whole = [t for each in delivered for t in reassembly.add(segment_of(each), now=0)]
    assert [t.octets.decode() for t in whole] == [body]
    await nothing_waits(trunkline)


async def test_what_comes_while_nobody_is_bound_is_kept(trunkline: Trunkline, acme: str) -> None:
    """Over a restart, in order, for a receiver and not for a transmitter."""
    async with serving(trunkline.app) as smsc, await Esme.connect(smsc.port) as esme:
        await esme.bind(acme, "secret", BindTransmitter)
        await esme.submit(text(source_addr=trunkline.number[1:]))
        await reply(trunkline, trunkline.number, "one")
        await reply(trunkline, trunkline.number, "two")
        await trunkline.run_for(5)
        assert esme.delivered.empty()
    assert await waiting(trunkline) == 3
    async with serving(trunkline.app) as smsc, await Esme.connect(smsc.port) as esme:
        await esme.bind(acme, "secret", BindReceiver)
        delivered = await esme.deliveries(3)
        texts = [each.short_message for each in delivered if parse_receipt(each) is None]
        assert texts == [b"one", b"two"]
        await nothing_waits(trunkline)


async def test_what_is_put_off_comes_again(
    trunkline: Trunkline, smsc: SmscServer, acme: str
) -> None:
    """After a while that grows; a text that is refused for ever does not."""
    verdicts = iter([C.ESME_RX_T_APPN, C.ESME_RMSGQFUL, C.ESME_ROK, C.ESME_RX_P_APPN])
    async with await Esme.connect(smsc.port) as esme:
        esme.verdict = lambda pdu: next(verdicts)
        await esme.bind(acme, "secret")
        await reply(trunkline, trunkline.number, "one")
        await esme.next_delivery()
        for attempts in (1, 2):
            await was_tried(trunkline, attempts)
            assert esme.delivered.empty()
            trunkline.clock.advance(60)
            assert (await esme.next_delivery()).short_message == b"one"
        await nothing_waits(trunkline)
        await reply(trunkline, trunkline.number, "two")
        assert (await esme.next_delivery()).short_message == b"two"
        await nothing_waits(trunkline)


async def was_tried(trunkline: Trunkline, attempts: int) -> None:
    """Return once the only row was tried so often, and waits for its time."""
    later = NOON + timedelta(days=30)

    async def look() -> None:
        rows: list[DeliveryRow] = []
        while [row.attempts for row in rows] != [attempts]:
            rows = await trunkline.app.store.read(
                lambda db: load_deliveries(db, trunkline.account_sid, "acme", now=later, limit=9)
            )

    await asyncio.wait_for(look(), 10)


async def test_what_was_not_acknowledged_comes_again(
    trunkline: Trunkline, smsc: SmscServer, acme: str
) -> None:
    """A connection that is lost takes nothing along."""
    async with await Esme.connect(smsc.port) as esme:
        esme.verdict = lambda pdu: None
        await esme.bind(acme, "secret")
        await reply(trunkline, trunkline.number, "again")
        await esme.next_delivery()
    async with await Esme.connect(smsc.port) as esme:
        await esme.bind(acme, "secret")
        assert (await esme.next_delivery()).short_message == b"again"
        await nothing_waits(trunkline)


async def test_what_was_not_acknowledged_comes_again_in_order(
    trunkline: Trunkline, smsc: SmscServer, acme: str
) -> None:
    """At once, before all that was to follow it, as often as connections may be lost."""
    count = connection.WINDOW_MAX + 20
    async with await Esme.connect(smsc.port) as esme:
        await esme.bind(acme, "secret", BindTransmitter)
        await esme.submit(*[text(source_addr=trunkline.number[1:]) for _ in range(count)])
    await trunkline.run_for(5)
    orders = []
    for many in (*[connection.WINDOW_MAX] * courier.LOSSES_FREE, count):
        async with await Esme.connect(smsc.port) as esme:
            if many < count:
                esme.verdict = lambda pdu: None
            await esme.bind(acme, "secret")
            orders.append([each.short_message for each in await esme.deliveries(many)])
    assert len(set(orders[-1])) == count
    assert orders[:-1] == [orders[-1][: connection.WINDOW_MAX]] * courier.LOSSES_FREE
    await nothing_waits(trunkline)


async def test_what_connections_are_lost_over_lets_others_by(
    trunkline: Trunkline, smsc: SmscServer, acme: str
) -> None:
    """It waits for a while, and for as long again each time it is the death of one."""
    for body in ("one", "poison", "two", "three"):
        await reply(trunkline, trunkline.number, body)
    heard: list[bytes] = []

    async def connect() -> None:
        """Take what comes, and die of poison."""
        is_dead = False

        def verdict(pdu: DeliverSm) -> int | None:
            nonlocal is_dead
            is_dead = is_dead or pdu.short_message == b"poison"
            return None if is_dead else C.ESME_ROK

        async with await Esme.connect(smsc.port) as esme:
            esme.verdict = verdict
            await esme.bind(acme, "secret")
            while not heard or heard[-1] not in (b"poison", b"three"):
                heard.append((await esme.next_delivery()).short_message)
        heard.append(b"")

    for _ in range(courier.LOSSES_FREE + 1):
        await connect()
    assert [body for body in heard if body] == [b"one", *[b"poison"] * (courier.LOSSES_FREE + 1)]
    await connect()
    assert heard[-3:] == [b"two", b"three", b""]
    for _ in range(2):
        heard.clear()
        await nothing_is_due(trunkline)
        trunkline.clock.advance(SUSPECT_SECONDS + 1)
        await connect()
        assert heard == [b"poison", b""]


async def test_no_more_is_on_its_way_than_the_window_holds(
    trunkline: Trunkline, smsc: SmscServer, acme: str
) -> None:
    """A customer who is slow to acknowledge gets the rest as he does; a second bind gets it now."""
    count = connection.WINDOW_MAX + 20
    async with await Esme.connect(smsc.port) as slow, await Esme.connect(smsc.port) as other:
        slow.verdict = lambda pdu: None
        await slow.bind(acme, "secret")
        pdus = [text(source_addr=trunkline.number[1:]) for _ in range(count)]
        await slow.submit(*pdus)
        await trunkline.run_for(5)
        first = await slow.deliveries(connection.WINDOW_MAX)
        assert (await slow.submit(text(source_addr=trunkline.number[1:])))[0][0] == C.ESME_ROK
        assert slow.delivered.empty()
        await other.bind(acme, "secret", BindReceiver)
        rest = await other.deliveries(20)
        assert len({each.short_message for each in (*first, *rest)}) == count


async def test_a_phone_answers_whoever_wrote_to_it(
    trunkline: Trunkline, smsc: SmscServer, esme: Esme
) -> None:
    """The number is nobody's: the simulator that wrote last gets the answer, and it is logged."""
    await customers.add(
        trunkline.app.platform,
        trunkline.account_sid,
        system_id="second",
        wishes=Wishes(password="secret", is_simulator=True),
    )
    async with await Esme.connect(smsc.port) as second:
        await second.bind("second", "secret")
        await reply(trunkline, "+442071838750", "who is there?")
        for each in (esme, second):
            assert (await each.next_delivery()).short_message == b"who is there?"
        await second.submit(text(registered_delivery=0))
        await trunkline.run_for(5)
        await reply(trunkline, "+442071838750", "you")
        deliver = await second.next_delivery()
        assert (deliver.source_addr, deliver.short_message) == (PHONE, b"you")
        assert deliver.destination_addr == "442071838750"
        assert esme.delivered.empty()
    page = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    assert [m["body"] for m in page.json["messages"]] == ["you", "Hello", "who is there?"]


async def test_a_simulator_hears_from_a_number_of_its_account_if_it_wrote_from_it(
    trunkline: Trunkline, esme: Esme
) -> None:
    """What the API wrote, the API's webhook is told of alone."""
    await trunkline.send()
    await trunkline.run_for(5)
    await reply(trunkline, trunkline.number, "to the application")
    await esme.submit(text(source_addr=trunkline.number[1:], registered_delivery=0))
    await trunkline.run_for(5)
    await reply(trunkline, trunkline.number, "to the client")
    assert (await esme.next_delivery()).short_message == b"to the client"


async def test_a_text_to_nobody_stays_a_stray(trunkline: Trunkline) -> None:
    """Without a simulator there is nobody to give it to."""
    await reply(trunkline, "+442071838750")
    page = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    assert page.json["messages"] == []


def rows_of(system_id: str, count: int) -> list[DeliveryRow]:
    """Return rows that came one second after the other."""
    return [
        DeliveryRow(
            sid=f"DL{number:032x}",
            account_sid="AC",
            message_sid="SM",
            system_id=system_id,
            kind="text",
            doc={},
            due_at=AT_ONCE,
            created_at=NOON,
        )
        for number in range(count)
    ]


async def test_what_is_too_old_or_too_much_is_given_up(trunkline: Trunkline, acme: str) -> None:
    """The oldest go first, of each customer by himself."""
    store = trunkline.app.store
    await reply(trunkline, trunkline.number, "kept")
    assert await sweep(trunkline.app.platform) == 0
    await store.write(lambda db: insert_deliveries(db, rows_of("many", 10)))
    assert await store.write(lambda db: sweep_deliveries(db, AT_ONCE, limit=4)) == 6
    left = await store.read(lambda db: load_deliveries(db, "AC", "many", now=NOON, limit=10))
    assert [int(row.sid[2:], 16) for row in left] == [6, 7, 8, 9]
    trunkline.clock.advance(KEPT_FOR.total_seconds() + 60)
    assert await sweep(trunkline.app.platform) == 5
    assert await waiting(trunkline) == 0


async def test_what_is_taken_while_others_are_forgotten_is_forgotten_next(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An acknowledgement that comes in the middle of a write is in the one after it."""
    courier = Courier(trunkline.app.platform, Binds())
    first, second = rows_of("many", 2)
    written: list[list[str]] = []

    async def settle(
        platform: object, taken: list[str], missed: object, *, suspects: object
    ) -> None:
        if not written:
            courier.delivered(second, C.ESME_ROK)
        written.append(taken)

    monkeypatch.setattr("trunkline.smsc.courier.settle", settle)
    courier.delivered(first, C.ESME_ROK)
    for _ in range(3):
        await courier.step()
    assert written == [[first.sid], [second.sid]]


async def test_many_receipts_come_once_each(
    trunkline: Trunkline, smsc: SmscServer, acme: str
) -> None:
    """Three windows of them, acknowledged at once."""
    count = 3 * connection.WINDOW_MAX
    async with await Esme.connect(smsc.port) as esme:
        await esme.bind(acme, "secret")
        await esme.submit(*[text(source_addr=trunkline.number[1:]) for _ in range(count)])
        await trunkline.run_for(5)
        delivered = await esme.deliveries(count)
        await nothing_waits(trunkline)
        assert len({each.short_message for each in delivered}) == count
        assert esme.delivered.empty()


async def test_a_customer_who_is_removed_is_owed_nothing(trunkline: Trunkline, acme: str) -> None:
    """What waits for him goes with his credential."""
    await reply(trunkline, trunkline.number)
    assert await waiting(trunkline) == 1
    await customers.remove(trunkline.app.platform, acme)
    assert await waiting(trunkline) == 0
    await reply(trunkline, trunkline.number)
    assert await waiting(trunkline) == 0
