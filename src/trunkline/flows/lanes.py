"""Which carrier a message goes to, and the lane in which it waits for it."""

from msgspec.structs import replace

from trunkline.domain.carrier import Route
from trunkline.domain.ids import AT_ONCE
from trunkline.domain.media import goes_as_mms
from trunkline.domain.message import ROUTE_PRICE, ROUTE_PRIORITY, Message
from trunkline.domain.routing import Ask
from trunkline.flows.platform import Platform
from trunkline.flows.switchboard import MMS, flow_of
from trunkline.store.outbox import OutboxRow


def outbox_row(platform: Platform, message: Message) -> OutboxRow:
    """Return the row that makes a lane hand *message* over."""
    return OutboxRow(
        lane=platform.switchboard.lane(message.carrier, message.sender),
        message_sid=message.sid,
        account_sid=message.account_sid,
        flow=flow_for(message),
        sender=message.sender or "",
        recipient=message.recipient,
        segments=message.num_segments,
        due_at=AT_ONCE,
        expires_at=message.expires_at,
    )


def flow_for(message: Message) -> str:
    """Return what of its lane a message waits in."""
    priority = int(message.options.get(ROUTE_PRIORITY, "0"))
    return flow_of(message.account_sid, message.sender, priority=priority)


def ask_of(message: Message) -> Ask:
    """Return what the routing table is asked for a message."""
    return Ask(
        account_sid=message.account_sid,
        sender=message.sender or "",
        recipient=message.recipient,
        channel=MMS if goes_as_mms(message) else "",
    )


def routed(message: Message, route: Route) -> Message:
    """Return the message as it is when it takes *route*."""
    kept = {k: v for k, v in message.options.items() if k not in (ROUTE_PRICE, ROUTE_PRIORITY)}
    if route.price is not None:
        kept[ROUTE_PRICE] = str(route.price)
    if route.priority:
        kept[ROUTE_PRIORITY] = str(route.priority)
    return replace(message, carrier=route.carrier, options=kept)
