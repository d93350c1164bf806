"""The nodes that share the database: which live, and which of them has what."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from trunkline.console.pages import page
from trunkline.console.visit import Visit
from trunkline.flows import nodes
from trunkline.flows.nodes import SILENT, Node
from trunkline.flows.tenure import DELIVERIES, LANES, WEBHOOKS

# What a lease is for, by how its name begins; all else is one of a kind.
KINDS = {LANES: "Lanes", WEBHOOKS: "Webhook shards", DELIVERIES: "SMPP customers"}
OTHERS = "Tasks"
DIGITS_MAX = 10  # Of a number in a lease's name: shards and lanes have two.
_DIGITS = re.compile(r"(\d+)")
_TONES = {"up": "is-good", "leaving": "is-moving", SILENT: "is-bad"}


@dataclass(frozen=True, slots=True)
class Shown:
    """One node as the page shows it, with the names of what it has by what they are for."""

    node: Node
    tone: str
    holds: Sequence[tuple[str, Sequence[str]]]


async def show_nodes(visit: Visit) -> Response:
    """Show every node."""
    visit.require_main_account()
    found = await nodes.listed(visit.platform)
    shown = [Shown(node, _TONES[node.state], _holds(node)) for node in found.nodes]
    return page(visit, "nodes.html", is_alone=found.is_alone, nodes=shown, waiting=found.waiting)


def _holds(node: Node) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {title: [] for title in (*KINDS.values(), OTHERS)}
    for lease in node.leases:
        prefix = next((p for p in KINDS if lease.name.startswith(p)), "")
        found[KINDS.get(prefix, OTHERS)].append(lease.name.removeprefix(prefix))
    return [(title, sorted(names, key=_in_order)) for title, names in found.items() if names]


def _in_order(name: str) -> list[str]:
    """Return what puts the tenth behind the second."""
    return [part.zfill(DIGITS_MAX) if part.isdecimal() else part for part in _DIGITS.split(name)]
