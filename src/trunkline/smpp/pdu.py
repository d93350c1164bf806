"""Every PDU of SMPP 3.4 as a frozen dataclass; the order of its fields is their order on the wire.

Rules: an empty or zero field is what the specification calls NULL, and is the default; numbers
are plain integers and keep what a peer sent; what a person wrote or dialled shows up in no repr.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar, TypeVar, dataclass_transform, get_type_hints

from trunkline.smpp.fields import (
    CString,
    Destination,
    Destinations,
    Octet,
    ShortMessage,
    UnsuccessSme,
    UnsuccessSmes,
)
from trunkline.smpp.layout import Layout
from trunkline.smpp.status import CommandStatus
from trunkline.smpp.tlv import Tlv

# Bit 31 of a command_id tells a response from a request (SMPP 3.4 §5.1.2.1).
RESPONSE_BIT = 0x8000_0000

U8 = Annotated[int, Octet()]
# Sizes are those of SMPP 3.4 §5.2 and include the NUL.
SystemId = Annotated[str, CString(16, CommandStatus.ESME_RINVSYSID)]
# Carriers hand out longer passwords than the 8 octets of §5.2.2, and want all of them.
Password = Annotated[str, CString(65, CommandStatus.ESME_RINVPASWD, private=True)]
SystemType = Annotated[str, CString(13, CommandStatus.ESME_RINVSYSTYP)]
AddressRange = Annotated[str, CString(41)]
ServiceType = Annotated[str, CString(6, CommandStatus.ESME_RINVSERTYP)]
SourceAddr = Annotated[str, CString(21, CommandStatus.ESME_RINVSRCADR, private=True)]
DestinationAddr = Annotated[str, CString(21, CommandStatus.ESME_RINVDSTADR, private=True)]
# data_sm and alert_notification leave room for addresses that are no telephone numbers.
WideSourceAddr = Annotated[str, CString(65, CommandStatus.ESME_RINVSRCADR, private=True)]
WideDestinationAddr = Annotated[str, CString(65, CommandStatus.ESME_RINVDSTADR, private=True)]
ScheduleTime = Annotated[str, CString(17, CommandStatus.ESME_RINVSCHED)]
ValidityTime = Annotated[str, CString(17, CommandStatus.ESME_RINVEXPIRY)]
FinalDate = Annotated[str, CString(17)]
MessageId = Annotated[str, CString(65, CommandStatus.ESME_RINVMSGID)]
MessageOctets = Annotated[bytes, ShortMessage()]

REGISTRY: dict[int, type["Pdu"]] = {}


@dataclass(frozen=True, kw_only=True, repr=False)
class Pdu:
    """What all PDUs have: a command_id by their class, and optional parameters."""

    command_id: ClassVar[int]
    layout: ClassVar[Layout]
    tlvs: tuple[Tlv, ...] = ()

    def __repr__(self) -> str:
        """Show the fields; of addresses, passwords, texts and TLVs only how long they are."""
        shown = [f"{name}={self._shown(name)}" for name in self.layout.names]
        shown += [f"0x{tag:04X}=<{len(value)}>" for tag, value in self.tlvs]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _shown(self, name: str) -> str:
        value = getattr(self, name)
        return f"<{len(value)}>" if name in self.layout.private else repr(value)


P = TypeVar("P", bound=Pdu)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def pdu(command_id: int) -> Callable[[type[P]], type[P]]:
    """Make a class the PDU of *command_id*: its annotated fields are the mandatory parameters."""

    def declare(declared: type[P]) -> type[P]:
        made = dataclass(frozen=True, kw_only=True, repr=False)(declared)
        hints = get_type_hints(made, include_extras=True)
        own = [field.name for field in fields(made) if field.name != "tlvs"]
        made.command_id = command_id
        made.layout = Layout([(name, hints[name].__metadata__[0]) for name in own])
        REGISTRY[command_id] = made
        return made

    return declare


@dataclass(frozen=True, kw_only=True, repr=False)
class Unknown(Pdu):
    """A PDU that SMPP 3.4 does not define, or a vendor's own; it is received, never sent."""

    # The specification has no command 0; which one it was is received_command_id.
    command_id: ClassVar[int] = 0
    layout: ClassVar[Layout] = Layout([])
    received_command_id: int
    body: bytes

    def __repr__(self) -> str:
        """Show which command it was."""
        return f"Unknown(0x{self.received_command_id:08X}, <{len(self.body)}>)"


@dataclass(frozen=True, kw_only=True, repr=False)
class Bind(Pdu):
    """What the three bind requests have in common: everything."""

    system_id: SystemId = ""
    password: Password = ""
    system_type: SystemType = ""
    interface_version: U8 = 0x34
    addr_ton: U8 = 0
    addr_npi: U8 = 0
    address_range: AddressRange = ""


@dataclass(frozen=True, kw_only=True, repr=False)
class BindResp(Pdu):
    """What the three bind responses have in common: everything."""

    system_id: SystemId = ""


@pdu(0x00000001)
class BindReceiver(Bind):
    """Ask to receive (SMPP 3.4 §4.1.3)."""


@pdu(0x80000001)
class BindReceiverResp(BindResp):
    """Answer a bind_receiver (SMPP 3.4 §4.1.4)."""


@pdu(0x00000002)
class BindTransmitter(Bind):
    """Ask to transmit (SMPP 3.4 §4.1.1)."""


@pdu(0x80000002)
class BindTransmitterResp(BindResp):
    """Answer a bind_transmitter (SMPP 3.4 §4.1.2)."""


@pdu(0x00000009)
class BindTransceiver(Bind):
    """Ask to transmit and to receive (SMPP 3.4 §4.1.5)."""


@pdu(0x80000009)
class BindTransceiverResp(BindResp):
    """Answer a bind_transceiver (SMPP 3.4 §4.1.6)."""


@pdu(0x0000000B)
class Outbind(Pdu):
    """Ask an ESME to bind; it has no response (SMPP 3.4 §4.1.7)."""

    system_id: SystemId = ""
    password: Password = ""


@pdu(0x00000006)
class Unbind(Pdu):
    """Ask to end the session (SMPP 3.4 §4.2.1)."""


@pdu(0x80000006)
class UnbindResp(Pdu):
    """Answer an unbind (SMPP 3.4 §4.2.2)."""


@pdu(0x80000000)
class GenericNack(Pdu):
    """Refuse a PDU that has no response of its own (SMPP 3.4 §4.3.1)."""


@pdu(0x00000004)
class SubmitSm(Pdu):
    """Hand the SMSC a short message (SMPP 3.4 §4.4.1)."""

    service_type: ServiceType = ""
    source_addr_ton: U8 = 0
    source_addr_npi: U8 = 0
    source_addr: SourceAddr = ""
    dest_addr_ton: U8 = 0
    dest_addr_npi: U8 = 0
    destination_addr: DestinationAddr = ""
    esm_class: U8 = 0
    protocol_id: U8 = 0
    priority_flag: U8 = 0
    schedule_delivery_time: ScheduleTime = ""
    validity_period: ValidityTime = ""
    registered_delivery: U8 = 0
    replace_if_present_flag: U8 = 0
    data_coding: U8 = 0
    sm_default_msg_id: U8 = 0
    short_message: MessageOctets = b""


@pdu(0x80000004)
class SubmitSmResp(Pdu):
    """Answer a submit_sm (SMPP 3.4 §4.4.2)."""

    message_id: MessageId = ""


@pdu(0x00000021)
class SubmitMulti(Pdu):
    """Hand the SMSC a short message for many (SMPP 3.4 §4.5.1); number_of_dests is counted."""

    service_type: ServiceType = ""
    source_addr_ton: U8 = 0
    source_addr_npi: U8 = 0
    source_addr: SourceAddr = ""
    dest_address: Annotated[tuple[Destination, ...], Destinations()]
    esm_class: U8 = 0
    protocol_id: U8 = 0
    priority_flag: U8 = 0
    schedule_delivery_time: ScheduleTime = ""
    validity_period: ValidityTime = ""
    registered_delivery: U8 = 0
    replace_if_present_flag: U8 = 0
    data_coding: U8 = 0
    sm_default_msg_id: U8 = 0
    short_message: MessageOctets = b""


@pdu(0x80000021)
class SubmitMultiResp(Pdu):
    """Answer a submit_multi (SMPP 3.4 §4.5.2); no_unsuccess is counted."""

    message_id: MessageId = ""
    unsuccess_sme: Annotated[tuple[UnsuccessSme, ...], UnsuccessSmes()] = ()


@pdu(0x00000005)
class DeliverSm(Pdu):
    """Hand the ESME a short message or a receipt (SMPP 3.4 §4.6.1)."""

    service_type: ServiceType = ""
    source_addr_ton: U8 = 0
    source_addr_npi: U8 = 0
    source_addr: SourceAddr = ""
    dest_addr_ton: U8 = 0
    dest_addr_npi: U8 = 0
    destination_addr: DestinationAddr = ""
    esm_class: U8 = 0
    protocol_id: U8 = 0
    priority_flag: U8 = 0
    schedule_delivery_time: ScheduleTime = ""
    validity_period: ValidityTime = ""
    registered_delivery: U8 = 0
    replace_if_present_flag: U8 = 0
    data_coding: U8 = 0
    sm_default_msg_id: U8 = 0
    short_message: MessageOctets = b""


@pdu(0x80000005)
class DeliverSmResp(Pdu):
    """Answer a deliver_sm (SMPP 3.4 §4.6.2); its message_id is unused."""

    message_id: MessageId = ""


@pdu(0x00000103)
class DataSm(Pdu):
    """Transfer data either way; the text is the message_payload (SMPP 3.4 §4.7.1)."""

    service_type: ServiceType = ""
    source_addr_ton: U8 = 0
    source_addr_npi: U8 = 0
    source_addr: WideSourceAddr = ""
    dest_addr_ton: U8 = 0
    dest_addr_npi: U8 = 0
    destination_addr: WideDestinationAddr = ""
    esm_class: U8 = 0
    registered_delivery: U8 = 0
    data_coding: U8 = 0


@pdu(0x80000103)
class DataSmResp(Pdu):
    """Answer a data_sm (SMPP 3.4 §4.7.2)."""

    message_id: MessageId = ""


@pdu(0x00000003)
class QuerySm(Pdu):
    """Ask what became of a message (SMPP 3.4 §4.8.1)."""

    message_id: MessageId = ""
    source_addr_ton: U8 = 0
    source_addr_npi: U8 = 0
    source_addr: SourceAddr = ""


@pdu(0x80000003)
class QuerySmResp(Pdu):
    """Answer a query_sm (SMPP 3.4 §4.8.2)."""

    message_id: MessageId = ""
    final_date: FinalDate = ""
    message_state: U8 = 0
    error_code: U8 = 0


@pdu(0x00000008)
class CancelSm(Pdu):
    """Cancel one message or several (SMPP 3.4 §4.9.1)."""

    service_type: ServiceType = ""
    message_id: MessageId = ""
    source_addr_ton: U8 = 0
    source_addr_npi: U8 = 0
    source_addr: SourceAddr = ""
    dest_addr_ton: U8 = 0
    dest_addr_npi: U8 = 0
    destination_addr: DestinationAddr = ""


@pdu(0x80000008)
class CancelSmResp(Pdu):
    """Answer a cancel_sm (SMPP 3.4 §4.9.2)."""


@pdu(0x00000007)
class ReplaceSm(Pdu):
    """Replace a message that is still with the SMSC (SMPP 3.4 §4.10.1)."""

    message_id: MessageId = ""
    source_addr_ton: U8 = 0
    source_addr_npi: U8 = 0
    source_addr: SourceAddr = ""
    schedule_delivery_time: ScheduleTime = ""
    validity_period: ValidityTime = ""
    registered_delivery: U8 = 0
    sm_default_msg_id: U8 = 0
    short_message: MessageOctets = b""


@pdu(0x80000007)
class ReplaceSmResp(Pdu):
    """Answer a replace_sm (SMPP 3.4 §4.10.2)."""


@pdu(0x00000015)
class EnquireLink(Pdu):
    """Ask whether the peer is there (SMPP 3.4 §4.11.1)."""


@pdu(0x80000015)
class EnquireLinkResp(Pdu):
    """Answer an enquire_link (SMPP 3.4 §4.11.2)."""


@pdu(0x00000102)
class AlertNotification(Pdu):
    """Tell an ESME that a handset can be reached; it has no response (SMPP 3.4 §4.12.1)."""

    source_addr_ton: U8 = 0
    source_addr_npi: U8 = 0
    source_addr: WideSourceAddr = ""
    esme_addr_ton: U8 = 0
    esme_addr_npi: U8 = 0
    esme_addr: WideDestinationAddr = ""


UNANSWERED: frozenset[type[Pdu]] = frozenset({Outbind, AlertNotification})


def empty_answer(request: Pdu) -> Pdu:
    """Return the response to a request with all its fields NULL; generic_nack where it has none."""
    return REGISTRY.get(request.command_id | RESPONSE_BIT, GenericNack)()
