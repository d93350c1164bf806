"""The page on SMPP says what the code does."""

import inspect
from collections.abc import Callable
from typing import cast

import pytest

from docs.generate import DOCS, table, with_part
from trunkline.smpp.concatenation import (
    SEGMENTS_HELD_MAX,
    SEGMENTS_MAX,
    TEXTS_MAX,
    WHOLE_TEXTS_MAX,
)
from trunkline.smpp.events import Answered, Requested
from trunkline.smpp.fields import CSTRING_RECEIVED_MAX, DESTINATIONS_MAX, SHORT_MESSAGE_MAX
from trunkline.smpp.message_id import MessageIdStyle, message_id_forms, message_id_key
from trunkline.smpp.pdu import (
    REGISTRY,
    RESPONSE_BIT,
    DeliverSm,
    GenericNack,
    SubmitSmResp,
    empty_answer,
)
from trunkline.smpp.receipt import RECEIPT_OCTETS_MAX
from trunkline.smpp.session import PEER_WINDOW_MAX, Session
from trunkline.smpp.states import REQUESTS, Role
from trunkline.smpp.tlv import PARAMETERS, TLVS_MAX
from trunkline.smpp.window import LATE_MAX
from trunkline.smpp.wire import PDU_SIZE_MAX

PAGE = DOCS / "concepts" / "smpp.md"

TIMERS = {
    "response_seconds": ("a response to each of our requests", "`TimedOut`"),
    "enquire_seconds": ("silence, before we ask", "an `enquire_link`, then `PeerSilent`"),
    "inactivity_seconds": ("a PDU that is no sign of life only", "`TimerExpired`"),
    "session_init_seconds": ("the bind", "`TimerExpired`"),
}
LIMITS = {
    "octets of a PDU": PDU_SIZE_MAX,
    "octets of a `short_message`": SHORT_MESSAGE_MAX,
    "octets of a received string, with its NUL": CSTRING_RECEIVED_MAX,
    "TLVs of a PDU": TLVS_MAX,
    "destinations of a `submit_multi`": DESTINATIONS_MAX,
    "requests of the peer that wait for our answers": PEER_WINDOW_MAX,
    "overdue requests whose late answers are known": LATE_MAX,
    "segments of a text": SEGMENTS_MAX,
    "texts that wait for segments": TEXTS_MAX,
    "segments of all of them": SEGMENTS_HELD_MAX,
    "whole texts whose repeats are known": WHOLE_TEXTS_MAX,
    "octets of a receipt that are read": RECEIPT_OCTETS_MAX,
}


def wire_name(python_name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in python_name).lstrip("_")


def who_asks(command_id: int) -> str:
    pdu_type = REGISTRY[command_id]
    roles = [r for r in Role if any(pdu_type in states for states in REQUESTS[r].values())]
    return " or ".join(roles)


def render_commands() -> str:
    rows = []
    for command_id in sorted(i for i in REGISTRY if not i & RESPONSE_BIT):
        response = REGISTRY.get(command_id | RESPONSE_BIT)
        answer = f"`{wire_name(response.__name__)}`" if response else "none"
        name = wire_name(REGISTRY[command_id].__name__)
        rows.append((f"`{name}`", f"0x{command_id:08X}", who_asks(command_id), answer))
    nack = GenericNack.command_id
    rows.append((f"`{wire_name(GenericNack.__name__)}`", f"0x{nack:08X}", "either", "is one"))
    return table(("Command", "Id", "Asked by", "Response"), rows)


def render_timers() -> str:
    rows = [(f"`{name}`", waits, told) for name, (waits, told) in TIMERS.items()]
    return table(("Setting", "Waits for", "Tells"), rows)


def render_limits() -> str:
    return table(("Of", "At most"), [(what, f"{most:,}") for what, most in LIMITS.items()])


def render_tlvs() -> str:
    rows = [(f"0x{t:04X}", f"`{p.name}`", p.size) for t, p in sorted(PARAMETERS.items())]
    return table(("Tag", "Name", "Octets"), rows)


PARTS: dict[str, Callable[[], str]] = {
    "smpp-commands": render_commands,
    "smpp-timers": render_timers,
    "smpp-limits": render_limits,
    "smpp-tlvs": render_tlvs,
}


@pytest.mark.parametrize("part", PARTS)
def test_the_tables_are_those_of_the_code(part):
    text = PAGE.read_text()
    assert text == with_part(text, part, text=PARTS[part]())


def test_every_timer_is_on_the_page():
    settings = {n for n in inspect.signature(Session).parameters if n.endswith("_seconds")}
    assert settings == TIMERS.keys()


def test_the_example_works(capsys):
    """The program on the page binds, sends a text and answers one."""
    code = PAGE.read_text().partition("```python\n")[2].partition("```")[0]
    names: dict[str, Session] = {}
    exec(code, names)
    esme = names["session"]
    smsc = Session(Role.SMSC, now=0, window_max=1, response_seconds=5, enquire_seconds=None)
    (bind,) = smsc.receive(esme.data_to_send(), 0)
    assert isinstance(bind, Requested)
    smsc.respond(bind.sequence_number, empty_answer(bind.pdu))
    smsc.request(DeliverSm(short_message=b"Yo"), 0)
    on_octets = cast(Callable[[bytes, float], bytes], names["on_octets"])
    submitted, answered = smsc.receive(on_octets(smsc.data_to_send(), 0), 0)
    assert isinstance(submitted, Requested)
    assert isinstance(answered, Answered)
    smsc.respond(submitted.sequence_number, SubmitSmResp(message_id="7"))
    on_octets(smsc.data_to_send(), 0)
    assert capsys.readouterr().out == "2 0 SubmitSmResp(message_id='7')\n"


def test_the_ids_on_the_page_are_found():
    for style in MessageIdStyle:
        row = next(r for r in PAGE.read_text().splitlines() if r.startswith(f"| `{style}` |"))
        response, receipt = (cell.strip(" `") for cell in row.split("|")[2:4])
        if style is MessageIdStyle.ANY:
            response, receipt = "2591", "0A1F"
        assert message_id_key(response, style) in message_id_forms(receipt, style)
