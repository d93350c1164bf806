"""Two nodes on one database, in one process: what one is told holds on the other, too."""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.databases import DATABASES
from tests.harness import NOON, PORT, Receiver, Trunkline
from tests.nodes import KEY
from trunkline.app import App
from trunkline.config import Config
from trunkline.dispatch.sweeper import AGAIN_SECONDS
from trunkline.runtime import Chance, ManualClock
from trunkline.store.callbacks import SHARDS
from trunkline.store.strays import RECEIPT, Stray, insert_strays, page_strays
from trunkline.store.tables import carrier_refs

pytestmark = pytest.mark.postgresql

SECONDS = 10.0
NO_RECEIPT = "+15555500002"  # A phone of which the network never tells anything.
SOON = 1.0  # What people are told of changes that one node makes.


class Node(Trunkline):
    """A program with a database that it shares; SIDs of two nodes are never the same."""

    def __init__(self, directory: Path, database: str, *, seed: int) -> None:
        directory.mkdir(parents=True)
        given = {"data_dir": directory, "database": database, "secret_key": KEY}
        self.config = Config.model_validate({**given, "lease_seconds": 2})
        self.clock = ManualClock(NOON)
        self.receiver = Receiver(self.clock)
        self.app = App(self.config, clock=self.clock, chance=Chance(seed), port=PORT + seed)
        self.app.use_sender(self.receiver)
        facts = self.app.facts
        self.account_sid, self.auth_token = facts.account_sid, facts.auth_token
        self.number = facts.phone_number
        self.base = f"/2010-04-01/Accounts/{self.account_sid}"


Nodes = tuple[Node, Node]


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    """Yield two nodes; the first has come first, and has everything that cannot be shared."""
    database = DATABASES.settings(tmp_path)["database"]
    first = Node(tmp_path / "first", database, seed=1)
    await first.app.settle()
    second = Node(tmp_path / "second", database, seed=2)
    both = (first, second)
    await until(both, lambda: has_shards(second))
    yield both
    for node in both:
        await node.close()


async def has_shards(node: Node) -> bool:
    """Tell whether a node has its share of the webhooks."""
    return len(node.app.platform.tenure.owned("webhooks:")) == 8


async def until(
    nodes: Nodes, condition: Callable[[], Awaitable[bool]], seconds: float = SECONDS
) -> float:
    """Let both work until something is so; return how long that took."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() - began < seconds, f"still not so after {seconds} s"
        for node in nodes:
            await node.app.settle()
    return time.monotonic() - began


async def test_a_revoked_key_stops_working_on_all_nodes(nodes: Nodes) -> None:
    """Also on the one that remembers it."""
    first, second = nodes
    key = (await first.request("POST", f"{first.base}/Keys.json", {})).json
    pair = (key["sid"], key["secret"])

    async def is_refused() -> bool:
        answer = await second.request("GET", f"{second.base}/Messages.json", auth=pair)
        return answer.status == 401

    assert not await is_refused()
    gone = await first.request("DELETE", f"{first.base}/Keys/{key['sid']}.json")
    assert gone.status == 204
    assert await until(nodes, is_refused) < SOON


async def test_a_suspended_account_sends_nothing_from_any_node(nodes: Nodes) -> None:
    """Its credentials are known, and what it asks for is refused."""
    first, second = nodes
    made = await first.request("POST", "/2010-04-01/Accounts.json", {"FriendlyName": "sub"})
    account = made.json
    auth = (account["sid"], account["auth_token"])
    path = f"/2010-04-01/Accounts/{account['sid']}"

    async def is_suspended() -> bool:
        form = {"To": "+15558675310", "From": second.number, "Body": "x"}
        answer = await second.request("POST", f"{path}/Messages.json", form, auth=auth)
        return bool(answer.json["code"] == 20005)

    assert not await is_suspended()
    await first.request("POST", f"{path}.json", {"Status": "suspended"})
    assert await until(nodes, is_suspended) < SOON


async def test_carriers_and_routes_are_known_everywhere(nodes: Nodes) -> None:
    """Whichever node they were made on."""
    first, second = nodes
    form = {"Name": "mine", "Type": "simulated"}
    made = await second.request("POST", "/trunkline/v1/carriers", form)
    assert made.status == 201

    async def is_known() -> bool:
        return "mine" in first.app.platform.switchboard.accounts

    assert await until(nodes, is_known) < SOON


async def test_a_message_goes_on_at_the_node_that_has_its_lane(nodes: Nodes) -> None:
    """It was accepted on the other one, which rings across."""
    first, second = nodes
    owner = first if first.app.platform.switchboard.lease("simulated/0") else second
    other = second if owner is first else first
    sid = (await other.send(StatusCallback="http://app.example/status")).json["sid"]
    assert not other.app.platform.switchboard.live

    async def is_sent() -> bool:
        return bool((await other.message(sid))["status"] == "sent")

    assert await until(nodes, is_sent) < SOON
    owner.clock.advance(5)
    other.clock.advance(5)

    async def is_told() -> bool:
        return "delivered" in first.receiver.statuses(sid) + second.receiver.statuses(sid)

    await until(nodes, is_told)
    assert (await other.message(sid))["status"] == "delivered"


async def test_a_receipt_and_its_segment_meet_although_a_node_died(nodes: Nodes) -> None:
    """Two nodes committed them at one moment, and neither lived to look for the other's."""
    sid = (await nodes[0].send(NO_RECEIPT)).json["sid"]

    async def has_become(status: str) -> bool:
        return bool((await nodes[0].message(sid))["status"] == status)

    await until(nodes, lambda: has_become("sent"))
    store = nodes[0].app.store
    ref = await store.read(lambda db: db.execute(select(carrier_refs.c.ref)).scalar_one())
    stray = Stray(
        sid=nodes[0].app.platform.chance.sid("SY", NOON),
        carrier="simulated",
        kind=RECEIPT,
        refs=(ref,),
        at=NOON,
        doc={"delivered": True, "error_code": None, "detail": {}},
    )
    await store.write(lambda db: insert_strays(db, [stray]))
    for node in nodes:
        node.clock.advance(AGAIN_SECONDS)
    await until(nodes, lambda: has_become("delivered"))
    assert await store.read(lambda db: page_strays(db, limit=10)) == []


async def test_nodes_are_shown_with_what_they_have(nodes: Nodes) -> None:
    """On either node, in the admin API and in the console."""
    first, second = nodes
    shown = (await second.request("GET", "/trunkline/v1/nodes")).json
    assert sorted(node["is_this"] for node in shown["nodes"]) == [False, True]
    assert {node["state"] for node in shown["nodes"]} == {"up"}
    held = [lease["name"] for node in shown["nodes"] for lease in node["leases"]]
    assert len(held) == len(set(held))
    assert {"network", "media", "sweeper", "retention", "webhooks:15"} <= set(held)
    assert shown["waiting"] == []
    host = f"127.0.0.1:{PORT + 1}"
    page = (await first.request("GET", "/console/nodes", host=host)).body.decode()
    assert "this one" in page
    assert page.count("Webhook shards") == 2


async def test_what_a_node_has_is_shown_in_its_order(nodes: Nodes) -> None:
    """The tenth is behind the second."""
    host = f"127.0.0.1:{PORT + 1}"
    page = (await nodes[0].request("GET", "/console/nodes", host=host)).body.decode()
    found = re.findall(r"<dt>Webhook shards</dt><dd>([0-9, ]+)</dd>", page)
    shards = [[int(number) for number in some.split(", ")] for some in found]
    assert sorted(number for some in shards for number in some) == list(range(SHARDS))
    assert shards == [sorted(some) for some in shards]


async def test_what_a_node_had_is_taken_when_it_is_stopped(nodes: Nodes) -> None:
    """At once, without waiting for its leases to run out."""
    first, second = nodes
    await first.app.stop()

    async def has_all() -> bool:
        tenure = second.app.platform.tenure
        return tenure.wanted <= tenure.held

    try:
        assert await until((second, second), has_all) < SOON
        sid = (await second.send()).json["sid"]
        await second.run_for(5)
        assert (await second.message(sid))["status"] == "delivered"
    finally:
        # What is closed twice is no trouble.
        await first.app.store.close()
