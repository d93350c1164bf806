"""The SMPP server over real sockets: what is submitted becomes messages, and receipts come back."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from tests.esme import PHONE, Esme, serving, text
from tests.harness import NOON, Trunkline
from trunkline.flows.messages import find
from trunkline.smpp.concatenation import Carriage, carry
from trunkline.smpp.fields import DistributionList, SmeAddress
from trunkline.smpp.pdu import (
    BindTransceiver,
    CancelSm,
    DataSm,
    Pdu,
    QuerySm,
    QuerySmResp,
    ReplaceSm,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
)
from trunkline.smpp.receipt import MessageState, ReceiptFacts, parse_receipt
from trunkline.smpp.status import CommandStatus
from trunkline.smpp.tlv import (
    DESTINATION_PORT,
    DLT_ENTITY_ID,
    MESSAGE_PAYLOAD,
    QOS_TIME_TO_LIVE,
    USER_MESSAGE_REFERENCE,
    Tlv,
)
from trunkline.smpp.udh import Ports, ports_element, render_udh
from trunkline.smsc import assembly, server
from trunkline.smsc.reading import wishes_of
from trunkline.smsc.server import SmscServer

C = CommandStatus
LONG = "Long texts travel in segments. " * 12


async def receipts(esme: Esme, count: int = 1) -> dict[str, ReceiptFacts]:
    """Return the next receipts by the id that each of them tells."""
    found = {}
    for deliver in await esme.deliveries(count):
        receipt = parse_receipt(deliver)
        assert receipt is not None
        assert len(receipt.message_ids) == 1  # The one of the TLV and that of the text are one.
        found[receipt.message_ids[0]] = receipt
    return found


def segments(body: str, by: Carriage, *, reference: int = 7) -> list[SubmitSm]:
    """Return a long text as the submit_sms of its segments, 100 characters each."""
    pieces = [body[at : at + 100].encode() for at in range(0, len(body), 100)]
    return [
        text(carried.short_message, esm_class=carried.esm_class, tlvs=carried.tlvs)
        for carried in carry(pieces, by=by, reference=reference)
    ]


async def bodies(trunkline: Trunkline) -> list[str]:
    """Return what the phone shows."""
    return [shown.body for shown in await trunkline.app.network.inbox("+" + PHONE)]


async def test_a_text_reaches_its_phone_and_its_receipt_comes_back(
    trunkline: Trunkline, esme: Esme
) -> None:
    """The message_id is the message's SID; the receipt has the addresses the other way round."""
    ((status, sid),) = await esme.submit(text(tlvs=(USER_MESSAGE_REFERENCE.make(77),)))
    assert status == C.ESME_ROK
    await trunkline.run_for(5)
    (shown,) = await trunkline.app.network.inbox("+" + PHONE)
    assert (shown.body, shown.peer) == ("Hello", "+442071838750")
    deliver = await esme.next_delivery()
    assert (deliver.source_addr, deliver.destination_addr) == (PHONE, "442071838750")
    assert USER_MESSAGE_REFERENCE.of(deliver.tlvs) == 77
    receipt = parse_receipt(deliver)
    assert receipt is not None
    assert (receipt.message_ids, receipt.stat, receipt.err) == ((sid,), "DELIVRD", "000")
    assert (receipt.message_state, receipt.text) == (MessageState.DELIVERED, "Hello")
    message = await trunkline.message(sid)
    assert (message["status"], message["direction"]) == ("delivered", "outbound-api")
    assert "smpp" not in str(message)


async def test_who_binds_with_an_older_version_gets_no_tlvs(
    trunkline: Trunkline, smsc: SmscServer
) -> None:
    """Neither with answers nor with receipts, whose text says the same."""
    old = BindTransceiver(system_id="simulator", password="password", interface_version=0x33)
    async with await Esme.connect(smsc.port) as esme:
        answers = [await esme.request(pdu) for pdu in (old, text())]
        assert [(status, pdu.tlvs) for status, pdu in answers] == [(C.ESME_ROK, ())] * 2
        await trunkline.run_for(5)
        deliver = await esme.next_delivery()
        receipt = parse_receipt(deliver)
        assert receipt is not None
        assert receipt.message_ids == (getattr(answers[1][1], "message_id", ""),)
        assert deliver.tlvs == ()


@pytest.mark.parametrize(
    ("recipient", "stat", "err", "network_error"),
    [
        ("15555530003", "UNDELIV", "027", 27),
        ("15555530005", "UNDELIV", "001", 1),
        ("15555530036", "EXPIRED", "027", 27),
        ("15555530007", "UNDELIV", "021", 21),
    ],
)
async def test_a_text_that_fails_has_a_receipt_that_says_why(
    trunkline: Trunkline, esme: Esme, *, recipient: str, stat: str, err: str, network_error: int
) -> None:
    """Twilio's error codes are told as what a GSM network calls them."""
    ((_, sid),) = await esme.submit(text(destination_addr=recipient))
    await trunkline.run_for(5)
    receipt = (await receipts(esme))[sid]
    assert (receipt.stat, receipt.err) == (stat, err)
    assert receipt.network_error_code == (3, network_error)


async def test_only_wanted_receipts_come(trunkline: Trunkline, esme: Esme) -> None:
    """registered_delivery: 0 none, 1 every end, 2 failures, 3 successes; other bits say nothing."""
    good = [text(registered_delivery=value) for value in (0, 1, 2, 3, 0x11)]
    bad = [
        text(registered_delivery=value, destination_addr="15555530005") for value in (0, 1, 2, 3)
    ]
    answers = [sid for _, sid in await esme.submit(*good, *bad)]
    await trunkline.run_for(5)
    wanted = {answers[1], answers[3], answers[4], answers[6], answers[7]}
    assert set(await receipts(esme, len(wanted))) == wanted
    assert esme.delivered.empty()


@pytest.mark.parametrize(
    ("octets", "data_coding", "body"),
    [
        (b"\x00 costs 5 \x1be", 0, "@ costs 5 €"),
        (b"plain {}", 1, "plain {}"),
        ("café".encode("latin-1"), 3, "café"),
        ("Привет".encode("iso8859-5"), 6, "Привет"),
        ("日本 😀".encode("utf-16-be"), 8, "日本 😀"),
        *((b"\x00 flash", data_coding, "@ flash") for data_coding in (0x10, 0x11, 0xF0, 0xF1)),
        *(("日本".encode("utf-16-be"), data_coding, "日本") for data_coding in (0x18, 0x19)),
    ],
)
async def test_texts_are_read_by_their_data_coding(
    trunkline: Trunkline, esme: Esme, *, octets: bytes, data_coding: int, body: str
) -> None:
    """The phone shows what was meant."""
    await esme.submit(text(octets, data_coding=data_coding))
    await trunkline.run_for(5)
    assert await bodies(trunkline) == [body]


PORTS = render_udh([ports_element(Ports(2948, 9200))]) + b"x"
REFUSED: dict[str, tuple[SubmitSm, CommandStatus]] = {
    "no recipient": (text(destination_addr=""), C.ESME_RINVDSTADR),
    "no number": (text(destination_addr="abc", dest_addr_ton=0), C.ESME_RINVDSTADR),
    "no sender": (text(source_addr=""), C.ESME_RINVSRCADR),
    "to itself": (text(source_addr=PHONE), C.ESME_RINVDSTADR),
    "nothing": (text(b""), C.ESME_RINVMSGLEN),
    "binary": (text(data_coding=4), C.ESME_RINVDCS),
    "a vendor's coding": (text(data_coding=0x85), C.ESME_RINVDCS),
    "binary of class 1": (text(data_coding=0xF5), C.ESME_RINVDCS),
    "for the SIM": (text(data_coding=0xF2), C.ESME_RINVDCS),
    "compressed": (text(data_coding=0x30), C.ESME_RINVDCS),
    "no priority": (text(priority_flag=4), C.ESME_RINVPRTFLG),
    "ports in the header": (text(PORTS, esm_class=0x40), C.ESME_RINVESMCLASS),
    "ports in a TLV": (text(tlvs=(DESTINATION_PORT.make(9),)), C.ESME_ROPTPARNOTALLWD),
    "a receipt": (text(esm_class=0x04), C.ESME_RINVESMCLASS),
    "a schedule": (text(schedule_delivery_time="000000010000000R"), C.ESME_RINVSCHED),
    "a replacement": (text(replace_if_present_flag=1), C.ESME_RINVREPFLAG),
    "a canned text": (text(sm_default_msg_id=3), C.ESME_RINVDFTMSGID),
    "no time left": (text(validity_period="000000000000000R"), C.ESME_RINVEXPIRY),
    "a time gone by": (text(validity_period="200101000000000+"), C.ESME_RINVEXPIRY),
    "no such zone": (text(validity_period="270101000000049+"), C.ESME_RINVEXPIRY),
    "no time at all": (text(validity_period="tomorrow"), C.ESME_RINVEXPIRY),
    "a vendor's novel": (text(tlvs=(Tlv(0x1500, b"x" * 1025),)), C.ESME_RINVOPTPARAMVAL),
    "too much": (
        text(b"", tlvs=(MESSAGE_PAYLOAD.make(b"x" * 1601),)),
        C.ESME_RINVMSGLEN,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_done_is_refused(
    trunkline: Trunkline, esme: Esme, *, name: str
) -> None:
    """Each refusal has its command_status, and nothing is sent."""
    pdu, status = REFUSED[name]
    assert await esme.submit(pdu, text()) == [(status, ""), (0, (await last_sid(trunkline)))]


def test_a_submission_has_one_text() -> None:
    """Of two different ones none is left out; who sends one text twice means it."""
    for payload, expected in ((b"other", C.ESME_ROPTPARNOTALLWD), (b"Hello", None), (b"", None)):
        (wish,) = wishes_of(text(tlvs=(MESSAGE_PAYLOAD.make(payload),)), NOON)
        assert (wish if isinstance(wish, C) else None) is expected


async def last_sid(trunkline: Trunkline) -> str:
    """Return the SID of the only message there is."""
    page = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    (message,) = page.json["messages"]
    return str(message["sid"])


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"validity_period": "000000000130000R"}, 90),
        ({"validity_period": "261120120200000+"}, 120),
        ({"validity_period": "991231235959000+"}, 36_000),
        ({"validity_period": "261121000200048+"}, 120),
        ({"validity_period": "000003000000000R"}, 36_000),
        ({"tlvs": (QOS_TIME_TO_LIVE.make(60),)}, 60),
    ],
)
async def test_validity_is_kept(
    trunkline: Trunkline, esme: Esme, *, fields: dict[str, Any], seconds: int
) -> None:
    """Relative and absolute times count; as long as we keep trying is the most there is."""
    ((status, sid),) = await esme.submit(text(**fields))
    message = await find(trunkline.app.platform, trunkline.account_sid, sid)
    assert (status, message and message.validity_seconds) == (0, seconds)


async def test_a_vendors_parameters_go_along(trunkline: Trunkline, esme: Esme) -> None:
    """What is between 0x1400 and 0x3FFF is kept for the carrier, and so are fields that matter."""
    tlvs = (DLT_ENTITY_ID.make("1101"), Tlv(0x3FFF, b"\0\xff"), Tlv(0x5000, b"x"))
    ((_, sid),) = await esme.submit(text(tlvs=tlvs, priority_flag=2, protocol_id=1))
    message = await find(trunkline.app.platform, trunkline.account_sid, sid)
    assert message is not None
    kept = {name: value for name, value in message.options.items() if name != "smpp"}
    assert kept == {
        "tlv_1400": "31313031",
        "tlv_3fff": "00ff",
        "priority_flag": "2",
        "protocol_id": "1",
        "via": "simulated",
    }


@pytest.mark.parametrize("by", [Carriage.UDH8, Carriage.UDH16, Carriage.SAR])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
async def test_segments_become_one_message(
    trunkline: Trunkline, esme: Esme, *, by: Carriage, order: Sequence[int]
) -> None:
    """In any order, each with an id and a receipt of its own."""
    pdus = segments(LONG, by)
    answers = [await esme.submit(pdus[index]) for index in order]
    ids = [sid for ((status, sid),) in answers if status == C.ESME_ROK]
    assert len(set(ids)) == 4
    await trunkline.run_for(5)
    assert await bodies(trunkline) == [LONG]
    assert set(await receipts(esme, 4)) == set(ids)
    (status, answer) = await esme.request(QuerySm(message_id=ids[-1]))
    assert isinstance(answer, QuerySmResp)
    assert (status, answer.message_state) == (0, MessageState.DELIVERED)
    assert await last_sid(trunkline) == ids[0].partition("-")[0]


async def test_segments_that_come_together_are_one_message_too(
    trunkline: Trunkline, esme: Esme
) -> None:
    """Two long texts with the same reference to different phones, and a repeated segment."""
    here = segments(LONG, Carriage.UDH8)
    there = [
        text(pdu.short_message, esm_class=0x40, destination_addr="15558675311") for pdu in here
    ]
    mixed = [pdu for pair in zip(here, there, strict=True) for pdu in pair]
    answers = await esme.submit(here[0], *mixed)
    assert {status for status, _ in answers} == {C.ESME_ROK}
    assert answers[0] == answers[1]
    await trunkline.run_for(5)
    assert await bodies(trunkline) == [LONG]
    assert [t.body for t in await trunkline.app.network.inbox("+15558675311")] == [LONG]


async def test_a_reference_that_is_used_again_is_another_text(
    trunkline: Trunkline, esme: Esme
) -> None:
    """What is left of the first text ends with a receipt; the second one is whole."""
    first, second = segments("a" * 200, Carriage.UDH8), segments("b" * 200, Carriage.UDH8)
    ((_, lost),) = await esme.submit(first[0])
    answers = await esme.submit(*second)
    assert len({lost, *(sid for _, sid in answers)}) == 3
    assert (await receipts(esme))[lost].message_state is MessageState.EXPIRED
    await trunkline.run_for(5)
    assert await bodies(trunkline) == ["b" * 200]


async def test_segments_outlive_a_restart(trunkline: Trunkline) -> None:
    """What was answered before the server stopped is put together with what comes after."""
    pdus = segments(LONG, Carriage.SAR)
    ids: list[str] = []
    for some in (pdus[:2], pdus[2:]):
        async with serving(trunkline.app) as smsc, await Esme.connect(smsc.port) as esme:
            await esme.bind("simulator", "password")
            ids += [sid for _, sid in await esme.submit(*some)]
    await trunkline.run_for(5)
    assert await bodies(trunkline) == [LONG]
    assert len({sid.partition("-")[0] for sid in ids}) == 1


async def test_segments_that_are_never_whole_expire(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After their time each that wants a receipt gets one, and nothing is left on disk."""
    monkeypatch.setattr(assembly, "EXPIRY_SECONDS", 0.05)
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.02)
    async with serving(trunkline.app) as smsc, await Esme.connect(smsc.port) as esme:
        await esme.bind("simulator", "password")
        some = segments(LONG, Carriage.UDH16)[1:]
        ids = [sid for _, sid in await esme.submit(*some)]
        found = await receipts(esme, len(ids))
        assert set(found) == set(ids)
        assert {r.message_state for r in found.values()} == {MessageState.EXPIRED}
    async with serving(trunkline.app) as smsc, await Esme.connect(smsc.port) as esme:
        await esme.bind("simulator", "password")
        # Were anything left of it, this would make it whole.
        await esme.submit(segments(LONG, Carriage.UDH16)[0])
    await trunkline.run_for(5)
    assert await bodies(trunkline) == []


async def test_message_payload_and_data_sm(trunkline: Trunkline, esme: Esme) -> None:
    """A text of any length in one PDU, by either command."""
    payload = MESSAGE_PAYLOAD.make(LONG.encode())
    await esme.submit(text(b"", tlvs=(payload,)))
    status, answer = await esme.request(
        DataSm(
            source_addr="ACME",
            source_addr_ton=5,
            destination_addr="+" + PHONE,
            registered_delivery=1,
            tlvs=(MESSAGE_PAYLOAD.make(b"data"),),
        )
    )
    assert status == C.ESME_ROK
    await trunkline.run_for(5)
    assert sorted(await bodies(trunkline)) == [LONG, "data"]
    assert len(await receipts(esme, 2)) == 2
    assert getattr(answer, "message_id", "").startswith("SM")


async def test_submit_multi_is_a_message_for_each(trunkline: Trunkline, esme: Esme) -> None:
    """Who gets none is named with the reason; the receipts of the others tell the one id."""
    phones = ("15558675310", "15558675311")
    good = tuple(SmeAddress(1, 1, phone) for phone in phones)
    multi = SubmitMulti(
        source_addr="ACME",
        source_addr_ton=5,
        dest_address=(*good, SmeAddress(0, 0, "nobody")),
        registered_delivery=1,
        short_message=b"all",
    )
    status, answer = await esme.request(multi)
    assert isinstance(answer, SubmitMultiResp)
    assert status == C.ESME_ROK
    assert [
        (u.destination.destination_addr, u.error_status_code) for u in answer.unsuccess_sme
    ] == [("nobody", C.ESME_RINVDSTADR)]
    await trunkline.run_for(5)
    delivered = await esme.deliveries(2)
    assert {deliver.source_addr for deliver in delivered} == set(phones)
    facts = [parse_receipt(deliver) for deliver in delivered]
    assert {fact and fact.message_ids for fact in facts} == {(answer.message_id,)}
    status, _ = await esme.request(SubmitMulti(dest_address=(SmeAddress(1, 1, "1"),)))
    assert status == C.ESME_RINVMSGLEN


async def test_submit_multi_of_segments_is_a_long_text_for_each(
    trunkline: Trunkline, esme: Esme
) -> None:
    """The receipts of all tell the ids that the segments were answered with, and no others."""
    phones = (PHONE, "15558675311", "15558675312")
    told = []
    for segment in segments("e" * 200, Carriage.UDH8):
        multi = SubmitMulti(
            source_addr="ACME",
            source_addr_ton=5,
            dest_address=tuple(SmeAddress(1, 1, phone) for phone in phones),
            registered_delivery=1,
            esm_class=segment.esm_class,
            short_message=segment.short_message,
        )
        status, answer = await esme.request(multi)
        assert (status, isinstance(answer, SubmitMultiResp)) == (C.ESME_ROK, True)
        told.append(getattr(answer, "message_id", ""))
    await trunkline.run_for(5)
    for phone in phones:
        shown = await trunkline.app.network.inbox("+" + phone)
        assert [each.body for each in shown] == ["e" * 200]
    facts = [(d.source_addr, parse_receipt(d)) for d in await esme.deliveries(6)]
    found = [(phone, receipt.message_ids) for phone, receipt in facts if receipt]
    assert sorted(found) == sorted((phone, (sid,)) for phone in phones for sid in told)


async def test_a_list_is_refused_with_all_beside_it(trunkline: Trunkline, esme: Esme) -> None:
    """Nobody gets a text of which the answer could not say who else got none."""
    friends, phone = DistributionList("friends"), SmeAddress(1, 1, PHONE)
    for destinations in ((friends,), (phone, friends), (friends, phone)):
        multi = SubmitMulti(
            source_addr="ACME", source_addr_ton=5, dest_address=destinations, short_message=b"all"
        )
        assert (await esme.request(multi))[0] == C.ESME_RINVDLNAME
    await trunkline.run_for(5)
    assert await bodies(trunkline) == []


async def test_submit_multi_to_nobody_is_answered(esme: Esme) -> None:
    """Alone in its turn, and the session goes on and ends as any."""
    phone = b"\x01\x01\x01\x01" + PHONE.encode() + b"\0"
    multi = SubmitMulti(dest_address=(SmeAddress(1, 1, PHONE),), short_message=b"Hello")
    assert (await rewritten(esme, multi, phone, b"\0"))[0] == C.ESME_RINVNUMDESTS
    esme.session.unbind(esme.loop.time())
    esme.flush()
    await esme.until(esme.unbound)


async def stretched(esme: Esme, pdu: Pdu, *, mark: bytes) -> tuple[int, Pdu]:
    """Send a PDU with 50 times the mark in it; return its answer."""
    return await rewritten(esme, pdu, mark, mark * 50)


async def rewritten(esme: Esme, pdu: Pdu, old: bytes, new: bytes) -> tuple[int, Pdu]:
    """Send a PDU with what none of ours may have in it; return its answer."""
    answer = esme.ask(pdu)
    octets = esme.session.data_to_send().replace(old, new)
    assert esme.transport
    esme.transport.write(len(octets).to_bytes(4, "big") + octets[4:])
    return await asyncio.wait_for(answer, 10)


async def test_what_is_too_long_to_be_told_is_cut(esme: Esme) -> None:
    """Peers send longer strings than an answer has room for."""
    multi = SubmitMulti(
        source_addr="ACME",
        source_addr_ton=5,
        dest_address=(SmeAddress(1, 1, PHONE), SmeAddress(1, 1, "77")),
        short_message=b"x",
    )
    status, answer = await stretched(esme, multi, mark=b"77")
    assert isinstance(answer, SubmitMultiResp)
    (unsuccess,) = answer.unsuccess_sme
    assert (status, unsuccess.destination.destination_addr) == (0, "7" * 20)
    ((_, sid),) = await esme.submit(text())
    status, found = await stretched(esme, QuerySm(message_id=f"{sid}-xy"), mark=b"xy")
    assert isinstance(found, QuerySmResp)
    assert (status, len(found.message_id)) == (0, 64)
    status, _ = await stretched(esme, text(source_addr="22"), mark=b"22")
    assert status == C.ESME_RINVSRCADR
    status, _ = await stretched(esme, text(destination_addr="22"), mark=b"22")
    assert status == C.ESME_RINVDSTADR


async def test_messages_can_be_asked_after(trunkline: Trunkline, esme: Esme) -> None:
    """On its way, then delivered with a date; what is no message of this customer is unknown."""
    ((_, sid),) = await esme.submit(text())
    _, before = await esme.request(QuerySm(message_id=sid))
    await trunkline.run_for(5)
    _, after = await esme.request(QuerySm(message_id=sid))
    assert isinstance(before, QuerySmResp)
    assert isinstance(after, QuerySmResp)
    assert (before.message_state, before.final_date) == (MessageState.ENROUTE, "")
    assert after.message_state == MessageState.DELIVERED
    assert after.final_date.startswith("2611201200")
    other = (await trunkline.send()).json["sid"]
    for unknown in (other, "SM1", ""):
        status, _ = await esme.request(QuerySm(message_id=unknown))
        assert status == C.ESME_RINVMSGID


async def test_what_was_submitted_stays_submitted(trunkline: Trunkline, esme: Esme) -> None:
    """Nothing that is not scheduled is cancelled, and nothing is replaced."""
    ((_, sid),) = await esme.submit(text())
    assert (await esme.request(CancelSm(message_id=sid)))[0] == C.ESME_RCANCELFAIL
    assert (await esme.request(CancelSm(message_id="SM1")))[0] == C.ESME_RCANCELFAIL
    replace = ReplaceSm(message_id=sid, short_message=b"other")
    assert (await esme.request(replace))[0] == C.ESME_RREPLACEFAIL


async def test_phones_refuse_and_put_off_at_once(trunkline: Trunkline, esme: Esme) -> None:
    """A phone's behaviour shows in the answer: by its setting, or by a magic number."""
    await trunkline.app.network.set_behaviour("+" + PHONE, "violation")
    refused = await esme.submit(text(), text(destination_addr="15555500004"))
    assert refused == [(C.ESME_RSUBMITFAIL, "")] * 2
    congested = [await esme.submit(text(destination_addr="15555500003")) for _ in range(5)]
    statuses = [status for ((status, _),) in congested]
    assert statuses == [C.ESME_RMSGQFUL] * 3 + [C.ESME_ROK, C.ESME_RMSGQFUL]
    await trunkline.run_for(60)
    assert len(await receipts(esme)) == 1


async def test_a_simulator_reaches_the_simulated_network_alone(
    trunkline: Trunkline, esme: Esme
) -> None:
    """Whatever the routes say."""
    carriers = await trunkline.request(
        "POST", "/trunkline/v1/carriers", {"Name": "real", "Type": "simulated"}
    )
    assert carriers.status == 201, carriers.body
    route = {"Carrier": "real", "Order": "1"}
    assert (await trunkline.request("POST", "/trunkline/v1/routes", route)).status == 201
    ((_, sid),) = await esme.submit(text())
    message = await find(trunkline.app.platform, trunkline.account_sid, sid)
    assert message is not None
    assert message.carrier == "simulated"


async def test_when_the_store_fails_nothing_was_taken(
    trunkline: Trunkline, esme: Esme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ESME_RSYSERR, also for a segment; the session goes on and so does the text."""
    pdus = segments("c" * 200, Carriage.UDH8)
    assert (await esme.submit(pdus[0]))[0][0] == C.ESME_ROK
    with monkeypatch.context() as broken:
        broken.setattr(trunkline.app.store, "write", no_disk)
        answers = [await esme.submit(pdu) for pdu in (text(), pdus[1])]
        assert [status for ((status, _),) in answers] == [C.ESME_RSYSERR] * 2
    assert (await esme.submit(pdus[1]))[0][0] == C.ESME_ROK
    await trunkline.run_for(5)
    assert await bodies(trunkline) == ["c" * 200]


async def test_a_text_that_was_whole_but_not_stored_waits_on(
    trunkline: Trunkline, esme: Esme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last segment, sent again, makes it whole again; there is one message."""
    pdus = segments("d" * 300, Carriage.UDH8)
    await esme.submit(*pdus[:2])
    write, calls = trunkline.app.store.write, iter([True, False])

    async def fail_second(work: Callable[[Connection], object]) -> object:
        return await (write(work) if next(calls, False) else no_disk(work))

    with monkeypatch.context() as broken:
        broken.setattr(trunkline.app.store, "write", fail_second)
        assert (await esme.submit(pdus[2]))[0][0] == C.ESME_RSYSERR
    assert (await esme.submit(pdus[2]))[0][0] == C.ESME_ROK
    await trunkline.run_for(5)
    assert await bodies(trunkline) == ["d" * 300]


async def no_disk(work: object) -> None:
    """Fail as a full disk does."""
    raise OperationalError("INSERT", {}, OSError("disk full"))


async def test_many_at_once_are_answered_each(trunkline: Trunkline, esme: Esme) -> None:
    """A window of any size; all are accepted, in their order."""
    pdus = [text(f"text {number}".encode()) for number in range(1500)]
    answers = await esme.submit(*pdus)
    sids = [sid for _, sid in answers]
    assert {status for status, _ in answers} == {C.ESME_ROK}
    assert sids == sorted(sids)


async def test_octets_may_come_one_by_one(trunkline: Trunkline, smsc: SmscServer) -> None:
    """TCP cuts where it likes."""
    async with await Esme.connect(smsc.port) as esme:
        await esme.bind("simulator", "password")
        answer = esme.ask(text())
        octets = esme.session.data_to_send()
        assert esme.transport
        for at in range(len(octets)):
            esme.transport.write(octets[at : at + 1])
            await asyncio.sleep(0)
        status, _ = await asyncio.wait_for(answer, 5)
        assert status == C.ESME_ROK


async def test_what_is_no_smpp_ends_the_connection(smsc: SmscServer, esme: Esme) -> None:
    """One who speaks something else is let go of; the others stay."""
    async with await Esme.connect(smsc.port) as other:
        assert other.transport
        other.transport.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await other.until(other.closed)
    assert (await esme.submit(text()))[0][0] == C.ESME_ROK
