"""Fixtures for tests of the whole program in one process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from tests.esme import Esme, serving
from tests.harness import Trunkline
from trunkline.smpp.status import CommandStatus
from trunkline.smsc.server import SmscServer

Loops = dict[str, Callable[[], asyncio.AbstractEventLoop]]


def pytest_asyncio_loop_factories(item: pytest.Item) -> Loops:
    """Choose event loops: uvloop's transports and timers are others than those of the library."""
    loops: Loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return (
        loops if item.path.name.startswith("test_webhook_client") else {"asyncio": loops["asyncio"]}
    )


@pytest.fixture
async def trunkline(tmp_path: Path) -> AsyncIterator[Trunkline]:
    """Yield a fresh program."""
    program = Trunkline(tmp_path / "data")
    yield program
    await program.close()


@pytest.fixture
async def smsc(trunkline: Trunkline) -> AsyncIterator[SmscServer]:
    """Yield the program's SMPP server on a free port, with its simulator."""
    async with serving(trunkline.app) as server:
        yield server


@pytest.fixture
async def esme(smsc: SmscServer) -> AsyncIterator[Esme]:
    """Yield somebody who is bound as the simulator."""
    async with await Esme.connect(smsc.port) as esme:
        assert await esme.bind("simulator", "password") == CommandStatus.ESME_ROK
        yield esme
