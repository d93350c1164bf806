"""Fixtures for tests of the whole program in one process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.esme import Esme, serving
from tests.harness import Trunkline
from trunkline.smpp.status import CommandStatus
from trunkline.smsc.server import SmscServer


@pytest.fixture
async def trunkline(tmp_path: Path) -> AsyncIterator[Trunkline]:
    """Yield a fresh program."""
    program = Trunkline(tmp_path / "data")
    yield program
    await program.close()


@pytest.fixture
async def smsc(trunkline: Trunkline) -> AsyncIterator[SmscServer]:
    """Yield the program's SMPP server on a free port, with its simulator."""
    async with serving(trunkline.app.platform) as server:
        yield server


@pytest.fixture
async def esme(smsc: SmscServer) -> AsyncIterator[Esme]:
    """Yield somebody who is bound as the simulator."""
    async with await Esme.connect(smsc.port) as esme:
        assert await esme.bind("simulator", "password") == CommandStatus.ESME_ROK
        yield esme
