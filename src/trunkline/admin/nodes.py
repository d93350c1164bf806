"""The nodes over the admin API: which live, who has what, and what nobody has at the moment."""

from trunkline.admin.ask import Ask
from trunkline.admin.views import View, iso
from trunkline.api.answers import Answer, json_answer
from trunkline.domain.ids import instant
from trunkline.flows import nodes
from trunkline.flows.nodes import Node


async def list_nodes(ask: Ask) -> Answer:
    """Answer with all nodes on the database; none where only one can be."""
    found = await nodes.listed(ask.platform)
    return json_answer(
        {
            "is_alone": found.is_alone,
            "at": iso(found.at),
            "nodes": [_node_view(node) for node in found.nodes],
            "waiting": list(found.waiting),
        }
    )


def _node_view(node: Node) -> View:
    row = node.row
    return {
        "sid": row.sid,
        "name": row.name,
        "version": row.version,
        "state": node.state,
        "is_this": node.is_this,
        "started_at": iso(row.started_at),
        "seen_at": iso(row.seen_at),
        "lease_seconds": row.lease_seconds,
        "carriers_down": {
            name: iso(instant(since)) for name, since in row.carriers.items() if since is not None
        },
        "leases": [
            {"name": lease.name, "fence": lease.fence, "expires_at": iso(lease.expires_at)}
            for lease in node.leases
        ],
    }
