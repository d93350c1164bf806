"""Measures the SMPP package alone, on one core; prints one JSON document.

`python -m bench.smpp` takes a quarter of a minute. Figures are the best of several rounds: whatever
else the machine does can only make them worse.
"""

import json
import platform
import time
from collections.abc import Callable

from trunkline.smpp.events import Requested
from trunkline.smpp.pdu import (
    BindTransceiver,
    BindTransceiverResp,
    DeliverSm,
    SubmitSm,
    SubmitSmResp,
)
from trunkline.smpp.receipt import ReceiptFacts, parse_receipt
from trunkline.smpp.session import Session
from trunkline.smpp.states import Role
from trunkline.smpp.tlv import MESSAGE_STATE, RECEIPTED_MESSAGE_ID
from trunkline.smpp.wire import decode, encode

ROUNDS = 5
CALLS = 20_000
WINDOWS = (1, 50, 200)

SUBMIT = SubmitSm(
    source_addr_ton=1,
    source_addr_npi=1,
    source_addr="14155550100",
    dest_addr_ton=1,
    dest_addr_npi=1,
    destination_addr="14155550123",
    registered_delivery=1,
    short_message=b"x" * 100,
)
RECEIPT = DeliverSm(
    source_addr="14155550123",
    destination_addr="14155550100",
    esm_class=0x04,
    short_message=b"id:0123456789 sub:001 dlvrd:001 submit date:2401151229 "
    b"done date:2401151230 stat:DELIVRD err:000 text:xxxxxxxxxxxxxxxxxxxx",
    tlvs=(RECEIPTED_MESSAGE_ID.make("0123456789"), MESSAGE_STATE.make(2)),
)


def per_second(work: Callable[[], object], *, calls: int) -> int:
    """Return how often a second *work* does what it does *calls* times."""
    best = min(_seconds(work) for _ in range(ROUNDS))
    return round(calls / best)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def repeated(call: Callable[[], object]) -> Callable[[], None]:
    """Return what does *call* CALLS times."""

    def work() -> None:
        for _ in range(CALLS):
            call()

    return work


def bound_pair(window_max: int) -> tuple[Session, Session]:
    """Return an ESME and an SMSC, bound to each other."""
    esme, smsc = (
        Session(role, now=0, window_max=window_max, response_seconds=5, enquire_seconds=30)
        for role in (Role.ESME, Role.SMSC)
    )
    number = esme.request(BindTransceiver(), 0)
    smsc.receive(esme.data_to_send(), 0)
    smsc.respond(number, BindTransceiverResp())
    esme.receive(smsc.data_to_send(), 0)
    return esme, smsc


def round_trips(window_max: int) -> Callable[[], None]:
    """Return what submits CALLS texts, a whole window at a time, and has them answered."""

    def work() -> None:
        esme, smsc = bound_pair(window_max)
        answered = 0
        while answered < CALLS:
            for _ in range(window_max):
                esme.request(SUBMIT, 0)
            for event in smsc.receive(esme.data_to_send(), 0):
                if isinstance(event, Requested):
                    smsc.respond(event.sequence_number, SubmitSmResp(message_id="0123456789"))
            answered += len(esme.receive(smsc.data_to_send(), 0))

    return work


def decoded_and_parsed(octets: bytes) -> ReceiptFacts | None:
    """Return the facts of a receipt as it comes from the wire."""
    _, pdu = decode(octets)
    assert isinstance(pdu, DeliverSm)
    return parse_receipt(pdu)


def main() -> None:
    """Measure and print."""
    submit, receipt = encode(SUBMIT, 1), encode(RECEIPT, 1)
    found = {
        "python": platform.python_version(),
        "submit_sm_octets": len(submit),
        "submit_sm_encoded_per_second": per_second(
            repeated(lambda: encode(SUBMIT, 1)), calls=CALLS
        ),
        "submit_sm_decoded_per_second": per_second(repeated(lambda: decode(submit)), calls=CALLS),
        "receipts_parsed_per_second": per_second(
            repeated(lambda: parse_receipt(RECEIPT)), calls=CALLS
        ),
        "receipts_decoded_and_parsed_per_second": per_second(
            repeated(lambda: decoded_and_parsed(receipt)), calls=CALLS
        ),
        "round_trips_per_second": {
            str(window): per_second(round_trips(window), calls=CALLS) for window in WINDOWS
        },
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
