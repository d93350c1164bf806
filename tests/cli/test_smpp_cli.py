"""`trunkline smpp` against a running platform, and the SMPP server that it starts with."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.esme import Esme, text
from tests.processes import Server
from trunkline.cli import commands
from trunkline.smpp.receipt import parse_receipt

Call = Callable[..., Result]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a platform with an SMPP server, which all tests of this file share."""
    directory = tmp_path_factory.mktemp("platform")
    server = Server(directory / "data", smpp_port=0, delivery_delay_seconds=0.1)
    yield server
    server.process.close()


@pytest.fixture
def call(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call the command line where nothing but --data-dir tells it where to look."""
    monkeypatch.chdir(tmp_path)
    before = ["--data-dir", str(server.data_dir), "smpp"]
    return lambda *args: CliRunner().invoke(commands, [*before, *args])


def said(result: Result) -> str:
    """Return what a command that went well has printed."""
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def port_of(server: Server) -> int:
    """Return the port that the start announced."""
    found = re.search(r"^  SMPP +127\.0\.0\.1:(\d+)  ", server.process.stdout, re.MULTILINE)
    assert found, server.process.stdout
    return int(found[1])


def test_somebody_is_let_in_and_out(server: Server, call: Call) -> None:
    """The made-up password binds; who is removed does not bind any more."""
    told = said(call("add", "acme", "--address", server.number, "--per-second-max", "20"))
    match = re.fullmatch(r"acme may bind with the password (\w{8}), .+\n", told)
    assert match
    assert asyncio.run(bind(server, "acme", match[1])) == 0
    rows = [line.split() for line in said(call("list")).splitlines()]
    assert ["acme", "customer", server.account_sid, server.number] in [row[:4] for row in rows]
    assert said(call("set", "acme", "--disable")) == "acme is changed.\n"
    (acme,) = [c for c in json.loads(said(call("list", "--json"))) if c["system_id"] == "acme"]
    assert (acme["is_enabled"], acme["per_second_max"]) == (False, 20)
    assert said(call("remove", "acme")) == "acme may bind no more.\n"
    assert asyncio.run(bind(server, "acme", match[1])) != 0


async def bind(server: Server, system_id: str, password: str) -> int:
    """Return what a bind is answered with."""
    async with await Esme.connect(port_of(server)) as esme:
        return await esme.bind(system_id, password)


def test_mistakes_are_told_in_a_sentence(call: Call) -> None:
    """What the platform refuses, the command says."""
    for args in (("add", "nobody"), ("remove", "nobody"), ("set", "nobody", "--enable")):
        result = call(*args)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "text"),
    [(("set", "acme"), "Nothing is to be changed"), (("add", "x", "--password", ""), "at least")],
)
def test_what_says_nothing_is_not_understood(call: Call, args: tuple[str, ...], text: str) -> None:
    """Rather than done as if it had been said."""
    result = call(*args)
    assert result.exit_code == 2
    assert text in result.stderr


def test_the_simulator_is_ready_to_be_used(server: Server) -> None:
    """A text, its receipt, and the phone's answer, without any preparation."""

    async def converse() -> None:
        async with await Esme.connect(port_of(server)) as esme:
            assert await esme.bind("simulator", "password") == 0
            ((status, sid),) = await esme.submit(text())
            receipt = parse_receipt(await esme.next_delivery())
            assert (status, receipt and receipt.message_ids) == (0, (sid,))

    asyncio.run(converse())
    assert server.bodies("+15558675310") == ["Hello"]
