"""Whatever a carrier sends, it is read or refused, and the connection goes on; whatever we send can
be read by its receiver."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.test_fuzz_smpp import mutated
from tests.live import INBOUND, Handsets, eventually, host_of, living
from tests.smsc import receipt
from tests.unit.test_smpp_pdu import pdus
from trunkline.carriers.port import Submission
from trunkline.carriers.smpp.incoming import Reader
from trunkline.carriers.smpp.outgoing import Packer, Parcel
from trunkline.carriers.smpp.rows import DefaultCharset
from trunkline.carriers.smpp.settings import parse
from trunkline.domain.text import BODY_MAX, split
from trunkline.smpp.concatenation import Carriage
from trunkline.smpp.message_id import MessageIdStyle
from trunkline.smpp.pdu import DataSm, DeliverSm
from trunkline.smpp.wire import encode

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MUTATIONS = 400

READERS = [
    Reader(parse({"default_charset": charset, "id_style": style, "trusts_text": trust}))
    for charset in DefaultCharset
    for style, trust in ((MessageIdStyle.EXACT, "no"), (MessageIdStyle.ANY, "yes"))
]


@given(pdus(DeliverSm) | pdus(DataSm), st.sampled_from(READERS))
@settings(max_examples=250, deadline=None)
def test_anything_that_is_delivered_is_read(pdu, reader):
    """Nothing raises, and what comes out can be stored: text without NUL and lone surrogates."""
    found = reader.receipt_of(pdu, at=NOON)
    words = (found.carrier_ref, *found.aliases, *found.detail.values()) if found else ()
    assert len(words) <= 11
    segment = reader.segment_of(pdu)
    incoming = reader.incoming_of([segment], ref="1", at=NOON)
    texts = [incoming.body, incoming.sender, incoming.recipient, *words]
    assert "\0" not in "".join(texts)
    assert all(text.encode().decode() == text for text in texts)
    assert incoming.num_segments >= 1


PACKERS = {
    (charset, segmentation): parse({"default_charset": charset, "segmentation": segmentation})
    for charset in DefaultCharset
    for segmentation in Carriage
}


@given(
    st.text(min_size=1, max_size=500) | st.text("aé€[]@\r\n ", min_size=140, max_size=BODY_MAX),
    st.sampled_from(list(PACKERS)),
)
@settings(max_examples=300, deadline=None)
def test_any_text_that_leaves_can_be_read(body, which):
    """In every charset and by every way of carrying it; its PDUs fit the wire."""
    chosen = PACKERS[which]
    whole = split(body)
    parcels = Packer(chosen).pack(submissions(whole.segments, encoding=whole.encoding.value))
    for parcel in parcels:
        assert encode(parcel.pdu, 1)
    reader = Reader(chosen)
    read = "".join(reader.body_of([reader.segment_of(arriving(parcel)) for parcel in parcels]).text)
    expected = "".join(whole.segments).replace("\0", "").replace("\ufffd", "?")
    if which[0] is DefaultCharset.GSM_PACKED:
        # At the end of an octet both may be padding (3GPP TS 23.038 §6.1.2.3.1).
        for padding in "@\r":
            read, expected = read.replace(padding, ""), expected.replace(padding, "")
    assert read == expected


def submissions(texts: Sequence[str], *, encoding: str) -> list[Submission]:
    """Return the segments of a message."""
    return [
        Submission(
            account_sid="AC1",
            message_sid="SM1",
            segment_index=index,
            segment_count=len(texts),
            sender="+12025550100",
            recipient="+14155550123",
            text=text,
            encoding=encoding,
        )
        for index, text in enumerate(texts)
    ]


def arriving(parcel: Parcel) -> DeliverSm:
    """Return what the handset gets."""
    pdu = parcel.pdu
    return DeliverSm(
        esm_class=pdu.esm_class,
        data_coding=pdu.data_coding,
        short_message=pdu.short_message,
        tlvs=pdu.tlvs,
    )


@pytest.mark.parametrize("run", range(2))
async def test_damaged_pdus_in_the_midst_of_work(run, tmp_path):
    """Texts go both ways before, between and after some hundred damaged PDUs; nothing raises."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with Handsets() as smsc, living(tmp_path) as live:
        await live.connect(hosts=host_of(smsc))
        await live.configure_number(SmsUrl=INBOUND)
        for at in range(MUTATIONS):
            peer = (await smsc.until(lambda: smsc.bound))[-1]
            peer.send_raw(mutated(chance))
            if at % 50 == 0:
                await live.text(f"text {at}", to=f"+1415556{at:04}")
        await live.text("last", to="+14155559999")
        await live.balanced(ends={"delivered", "failed", "sent"}, seconds=20)
        assert smsc.taken["last"] >= 1

        async def arrives() -> bool:
            for one in smsc.bound:
                one.deliver(
                    DeliverSm(
                        source_addr_ton=1,
                        source_addr="14155550123",
                        dest_addr_ton=1,
                        destination_addr=live.number.removeprefix("+"),
                        short_message=b"still there",
                    )
                )
                one.deliver(receipt("nobody's"))
            return (await live.bodies())["still there"] > 0

        await eventually(arrives, what="a text comes in")
