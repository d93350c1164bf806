"""Wireshark's dissector, an independent reader of SMPP, on what we send."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.interop.smpp.serving import (
    LONG_GSM,
    LONG_UCS2,
    add_carrier,
    add_route,
    add_simulator,
    say,
    send,
    serving_smpp,
)
from tests.interop.smpp.wiretap import Chunk, Dissected, Relay, dissect, relaying, write_pcap
from tests.processes import receiving, running, wait_until
from trunkline.domain.text import Encoding, encode_segment, split
from trunkline.smpp.fields import DistributionList, SmeAddress, UnsuccessSme
from trunkline.smpp.pdu import REGISTRY, DeliverSm, Pdu, SubmitMulti, SubmitMultiResp
from trunkline.smpp.tlv import PARAMETERS, Tlv
from trunkline.smpp.wire import encode

SUBMIT_SM, DELIVER_SM, RESPONSE = 0x00000004, 0x00000005, 0x80000000
BINDS = {0x00000001, 0x00000002, 0x00000009}
UNBIND = 0x00000006
RECEIPT = 1
DELIVERED = "2"

# Carriers by the way in which they carry long texts; each has numbers of its own.
SEGMENTATIONS = ("udh8", "udh16", "sar", "message_payload")
PREFIXES = {name: f"+1555886{number}" for number, name in enumerate(SEGMENTATIONS)}
SHORT = "Grüße @ {€}"
BODIES = (SHORT, LONG_GSM, LONG_UCS2)
SAID = "नमस्ते 👋"


def command(pdu: Dissected) -> int:
    return int(pdu.one("smpp.command_id"), 16)


def shown(pdu: Dissected) -> list[tuple[str, int]]:
    """Return the names and tags of a PDU's optional parameters, as Wireshark knows them."""
    said = pdu.fields.get("smpp.opt_param", [])
    read = [re.match(r"Optional parameter: (\S+) \(0x([0-9a-f]{4})\)", each) for each in said]
    return [(match[1], int(match[2], 16)) for match in read if match]


@pytest.fixture(scope="module")
def every_pdu(tmp_path_factory: pytest.TempPathFactory) -> list[Dissected]:
    """Return a PDU of each kind and one with every parameter, as Wireshark reads them."""
    address = SmeAddress(1, 1, "15558675310")
    given: dict[type[Pdu], Pdu] = {
        SubmitMulti: SubmitMulti(dest_address=(address, DistributionList("friends"))),
        SubmitMultiResp: SubmitMultiResp(unsuccess_sme=(UnsuccessSme(address, 0x0B),)),
    }
    pdus = [given.get(made) or made() for made in REGISTRY.values()]
    octets = [encode(pdu, number) for number, pdu in enumerate((*pdus, with_every_parameter()), 1)]
    path = tmp_path_factory.mktemp("kinds") / "kinds.pcap"
    write_pcap(path, [Chunk(0, True, each) for each in octets])
    return dissect(path)


def with_every_parameter() -> Pdu:
    least = {tag: int(parameter.size.partition("–")[0]) for tag, parameter in PARAMETERS.items()}
    return DeliverSm(tlvs=tuple(Tlv(tag, bytes(size)) for tag, size in least.items()))


def test_every_kind_of_pdu_is_well_formed(every_pdu: Sequence[Dissected]) -> None:
    """Wireshark knows each by its command_id and has nothing to say against it."""
    assert [command(pdu) for pdu in every_pdu[:-1]] == list(REGISTRY)
    assert [pdu.complaints for pdu in every_pdu] == [[] for _ in every_pdu]


def test_parameters_have_the_names_that_wireshark_knows(every_pdu: Sequence[Dissected]) -> None:
    """Every tag is the one that the specification gives to this name."""
    known = {tag: name for name, tag in shown(every_pdu[-1])}
    assert list(known) == list(PARAMETERS)
    ours = {tag: parameter.name for tag, parameter in PARAMETERS.items()}
    differing = {name: known[tag] for tag, name in ours.items() if known[tag] != name}
    # Wireshark shortens one name of the specification and has none for what vendors define.
    vendors = {"dlt_entity_id": "0x1400", "dlt_template_id": "0x1401"}
    assert differing == {"destination_port": "dest_port", **vendors}


@dataclass(frozen=True)
class Session:
    """All that passed between our carriers and our SMPP server, and the SIDs of what was sent."""

    pdus: Sequence[Dissected]
    sids: Sequence[str]

    def requests(self, *wanted: int) -> list[Dissected]:
        """Return the PDUs with one of some command_ids."""
        return [pdu for pdu in self.pdus if command(pdu) in wanted]

    def segments(self, segmentation: str, body: str) -> list[Dissected]:
        """Return what was submitted for a body, in the order of sending."""
        numbers = number_for(segmentation, body)[1:]
        found = self.requests(SUBMIT_SM)
        return [pdu for pdu in found if pdu.one("smpp.destination_addr") == numbers]


def number_for(segmentation: str, body: str) -> str:
    return f"{PREFIXES[segmentation]}00{BODIES.index(body)}"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    path = tmp_path_factory.mktemp("wire") / "session.pcap"
    with (
        serving_smpp(tmp_path_factory.mktemp("smsc")) as smsc,
        relaying(smsc.port) as relay,
        receiving() as receiver,
        running(tmp_path_factory.mktemp("esme")) as server,
    ):
        for name in SEGMENTATIONS:
            add_simulator(smsc.server, name)
            add_carrier(
                server,
                name,
                port=relay.port,
                system_id=name,
                segmentation=name,
                tlvs="0x1400=text:1101",
                validity_period=3600,
            )
            add_route(server, name, prefix=PREFIXES[name])
        callback = receiver.url("/status")
        wanted = [(number_for(name, body), body) for name in SEGMENTATIONS for body in BODIES]
        sids = [send(server, number, body, callback=callback) for number, body in wanted]
        wait_until(lambda: all("delivered" in receiver.statuses(sid) for sid in sids))
        for number, body in wanted:
            assert smsc.server.bodies(number) == [body]
        say(smsc.server, SAID, phone=number_for(SEGMENTATIONS[0], SHORT), to=server.number)
        wait_until(lambda: has_passed(relay, SAID.encode("utf-16-be")))
        server.process.end()
        write_pcap(path, relay.chunks)
    return Session(dissect(path), sids)


def has_passed(relay: Relay, octets: bytes) -> bool:
    return any(octets in chunk.octets for chunk in list(relay.chunks))


def test_nothing_in_a_session_is_malformed(session: Session) -> None:
    """Neither end sends what Wireshark would remark on, and all is answered, to the unbind."""
    assert [pdu.complaints for pdu in session.pdus] == [[] for _ in session.pdus]
    for wanted in (*BINDS & set(map(command, session.pdus)), SUBMIT_SM, DELIVER_SM, UNBIND):
        answers = session.requests(wanted | RESPONSE)
        assert len(session.requests(wanted)) == len(answers) > 0
        assert {answer.one("smpp.command_status") for answer in answers} == {"0x00000000"}


def test_a_bind_says_who_we_are(session: Session) -> None:
    """The version is 3.4 on both ends."""
    binds = session.requests(*BINDS)
    assert sorted(bind.one("smpp.system_id") for bind in binds) == sorted(SEGMENTATIONS)
    for bind in binds:
        assert int(bind.one("smpp.interface_version"), 0) == 0x34
    for answer in session.requests(*(bind | RESPONSE for bind in BINDS)):
        assert int(answer.one("smpp.SC_interface_version"), 0) == 0x34


@pytest.mark.parametrize("segmentation", SEGMENTATIONS)
def test_a_short_text_is_one_plain_pdu(session: Session, segmentation: str) -> None:
    """Numbers are international, a receipt is asked for, and the text is in the default charset."""
    [pdu] = session.segments(segmentation, SHORT)
    assert pdu.one("smpp.message_text") == SHORT
    for name in ("source_addr", "dest_addr"):
        assert int(pdu.one(f"smpp.{name}_ton"), 0) == int(pdu.one(f"smpp.{name}_npi"), 0) == 1
    assert int(pdu.one("smpp.regdel.receipt"), 0) == 1
    assert int(pdu.one("smpp.data_coding"), 0) == 0
    assert pdu.one("smpp.validity_period_r").startswith("3600.")
    assert pdu.one("smpp.vendor_op") == "31:31:30:31"


@pytest.mark.parametrize("body", [LONG_GSM, LONG_UCS2], ids=["gsm", "ucs2"])
@pytest.mark.parametrize("segmentation", ["udh8", "udh16", "sar"])
def test_segments_say_their_place(session: Session, segmentation: str, body: str) -> None:
    """They have one reference, the total and a number each; together they are the text."""
    pdus = session.segments(segmentation, body)
    whole = split(body)
    assert tuple(pdu.one("smpp.message_text") for pdu in pdus) == whole.segments
    coding = {Encoding.GSM7: 0, Encoding.UCS2: 8}[whole.encoding]
    assert {int(pdu.one("smpp.data_coding"), 0) for pdu in pdus} == {coding}
    total = len(whole.segments)
    places = [place(pdu, segmentation) for pdu in pdus]
    assert len({reference for reference, _, _ in places}) == 1
    assert [rest for _, *rest in places] == [[total, number] for number in range(1, total + 1)]
    has_header = segmentation != "sar"
    assert {int(pdu.one("smpp.esm.submit.features"), 0) for pdu in pdus} == {int(has_header)}


def place(pdu: Dissected, segmentation: str) -> tuple[int, int, int]:
    """Return the reference, the total and the number of a segment."""
    header = ("gsm_sms.udh.mm.msg_id", "gsm_sms.udh.mm.msg_parts", "gsm_sms.udh.mm.msg_part")
    sar = ("smpp.sar_msg_ref_num", "smpp.sar_total_segments", "smpp.sar_segment_seqnum")
    names = sar if segmentation == "sar" else header
    if segmentation != "sar":
        element = {"udh8": 0x00, "udh16": 0x08}[segmentation]
        assert int(pdu.one("gsm_sms.ie_identifier"), 0) == element
    reference, total, number = (int(pdu.one(name)) for name in names)
    return reference, total, number


@pytest.mark.parametrize("body", [LONG_GSM, LONG_UCS2], ids=["gsm", "ucs2"])
def test_a_message_payload_has_the_whole_text(session: Session, body: str) -> None:
    """The short_message is empty then."""
    [pdu] = session.segments("message_payload", body)
    whole = split(body)
    octets = b"".join(encode_segment(segment, whole.encoding) for segment in whole.segments)
    assert pdu.one("smpp.sm_length") == "0"
    assert pdu.one("smpp.message_payload") == octets.hex(":")


def test_receipts_name_what_was_taken(session: Session) -> None:
    """Each id of a response is in one receipt, in its text and in its TLV."""
    taken = [pdu.one("smpp.message_id") for pdu in session.requests(SUBMIT_SM | RESPONSE)]
    receipts = [pdu for pdu in session.requests(DELIVER_SM) if is_receipt(pdu)]
    named = [pdu.one("smpp.receipted_message_id") for pdu in receipts]
    assert sorted(named) == sorted(taken)
    for message_id, receipt in zip(named, receipts, strict=True):
        assert receipt.one("smpp.message_state") == DELIVERED
        assert receipt.one("smpp.message_text").startswith(f"id:{message_id} sub:001 dlvrd:001 ")


def test_a_text_from_a_phone_is_readable(session: Session) -> None:
    """What our SMPP server delivers is UCS-2 where the text needs it."""
    [text] = [pdu for pdu in session.requests(DELIVER_SM) if not is_receipt(pdu)]
    assert text.one("smpp.message_text") == SAID
    assert int(text.one("smpp.data_coding"), 0) == 8


def is_receipt(pdu: Dissected) -> bool:
    return int(pdu.one("smpp.esm.submit.msg_type"), 0) == RECEIPT
