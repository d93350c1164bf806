"""From which sender of a Messaging Service a recipient had a message last."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from trunkline.store.sending_tables import sticky_senders
from trunkline.store.upserts import upsert

_FIND = select(sticky_senders.c.recipient, sticky_senders.c.sender).where(
    sticky_senders.c.account_sid == bindparam("b_account_sid"),
    sticky_senders.c.service_sid == bindparam("b_service_sid"),
    sticky_senders.c.recipient.in_(bindparam("recipients", expanding=True)),
)


def find_sticky(
    db: Connection, account_sid: str, service_sid: str, recipients: Sequence[str]
) -> dict[str, str]:
    """Return the senders that some recipients know of a service, by recipient."""
    values = {"b_account_sid": account_sid, "b_service_sid": service_sid}
    found = db.execute(_FIND, values | {"recipients": list(recipients)})
    return {row.recipient: row.sender for row in found}


def keep_sticky(
    db: Connection, account_sid: str, service_sid: str, senders: dict[str, str], *, now: datetime
) -> None:
    """Remember from which senders recipients had messages."""
    if not senders:
        return
    names = ("account_sid", "service_sid", "recipient")
    # In one order everywhere, so that two nodes do not wait for each other.
    rows = [
        {"account_sid": account_sid, "service_sid": service_sid, "recipient": recipient}
        | {"sender": senders[recipient], "used_at": now}
        for recipient in sorted(senders)
    ]
    statement = upsert(sticky_senders)
    change = {name: statement.excluded[name] for name in ("sender", "used_at")}
    db.execute(statement.on_conflict_do_update(index_elements=names, set_=change), rows)
