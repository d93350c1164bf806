"""Fixtures for tests of the whole program in one process."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness import Trunkline


@pytest.fixture
async def trunkline(tmp_path: Path) -> AsyncIterator[Trunkline]:
    """Yield a fresh program."""
    program = Trunkline(tmp_path / "data")
    yield program
    await program.close()
