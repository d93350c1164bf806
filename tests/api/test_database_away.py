"""What callers see of a database server that goes away for longer than anybody waits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Trunkline
from tests.postgres import Cluster
from trunkline.store import postgres

pytestmark = pytest.mark.postgresql


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Yield a server of the test's own."""
    cluster = Cluster()
    cluster.create("away")
    yield cluster
    cluster.close()


async def test_callers_are_told_to_come_again(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is accepted meanwhile, and everything that was goes on afterwards."""
    monkeypatch.setattr(postgres, "PATIENCE_SECONDS", 0.1)
    trunkline = Trunkline(tmp_path, database=cluster.url("away"))
    before = await trunkline.send()
    cluster.stop()
    listing = f"{trunkline.base}/Messages.json"
    answers = [await trunkline.send(), await trunkline.request("GET", listing)]
    answers.append(await trunkline.request("GET", "/trunkline/v1/nodes"))
    assert [(answer.status, answer.json["code"]) for answer in answers] == [(503, 20503)] * 3
    console = await trunkline.request("GET", "/console/messages", auth=None)
    assert (console.status, b"cannot be reached" in console.body) == (503, True)
    cluster.start()
    after = await trunkline.send()
    await trunkline.run_for(60)
    for answer in (before, after):
        assert (await trunkline.message(answer.json["sid"]))["status"] == "delivered"
    messages = await trunkline.request("GET", listing)
    assert len(messages.json["messages"]) == 2
    await trunkline.close()
