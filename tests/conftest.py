"""What a run of the tests is told: which database, which tests, and how they are spread."""

import os
from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.compiled import share_compiled
from tests.databases import DATABASES, KINDS, POSTGRESQL, SQLITE
from tests.processes import TRUNKLINES

TESTS = Path(__file__).parent
VARIABLE = "TRUNKLINE_TEST_DATABASE"
# These keep nothing in a database, so that one run has shown all that they can show.
WITHOUT_DATABASE = (
    *("unit", "test_shape.py", "api/test_webhook_client", "compat/test_keystone.py"),
    "cli/test_crew.py",
    *("fuzz/test_fuzz_smpp.py", "fuzz/test_fuzz_twiml.py", "fuzz/test_fuzz_webhooks.py"),
    *("conformance/test_smpp_carrier", "conformance/test_twilio_carrier.py"),
)
REFUSAL = "WITHOUT_DATABASE in tests/conftest.py says that this test uses none"
# The slow ones first, so that nobody waits for a last one alone.
ORDER = ("scenario", "interop", "cli", "compat", "conformance", "fuzz", "api")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the run choose its database."""
    # It is gone from the environment then: what we start knows all its variables.
    default = os.environ.pop(VARIABLE, SQLITE)
    parser.addoption("--database", choices=KINDS, default=default, help=f"or {VARIABLE}")


def pytest_configure(config: pytest.Config) -> None:
    """Tell those who start Trunklines."""
    DATABASES.kind = config.getoption("--database")
    share_compiled()


def pytest_unconfigure() -> None:
    """Stop the servers, whatever happened."""
    TRUNKLINES.close()
    DATABASES.close()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes `-n auto` is: tests wait about a third of their time."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what belongs to the other database; begin with what takes long."""
    left_out = [item for item in items if not belongs(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    items[:] = sorted((item for item in items if belongs(item)), key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Return who says which process runs what."""
    return Modules(config, log)


class Modules(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a process whole modules where tests share what is set up once, single tests elsewhere.

    By the module's text: pytest 9.2 gives no heed to what xdist's own groups write into names.
    """

    def _split_scope(self, nodeid: str) -> str:
        path, _, _ = nodeid.partition("::")
        return path if is_whole(path.removeprefix(f"{TESTS.name}/")) else nodeid


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hold the tests to what is said of them here."""
    DATABASES.refusal = "" if uses_database(item) else REFUSAL
    DATABASES.prepare()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Drop the databases that the test alone had."""
    own = getattr(item, "funcargs", {}).get("tmp_path")
    if own:
        DATABASES.release(own)


def belongs(item: pytest.Item) -> bool:
    """Say whether a test is part of this run."""
    if DATABASES.kind == POSTGRESQL:
        return uses_database(item) and not item.get_closest_marker(SQLITE)
    return not item.get_closest_marker(POSTGRESQL)


def uses_database(item: pytest.Item) -> bool:
    """Say whether a test keeps anything in a database."""
    return not place(item).startswith(WITHOUT_DATABASE)


def place(item: pytest.Item) -> str:
    """Return where a test stands, seen from here."""
    return item.path.relative_to(TESTS).as_posix()


def rank(item: pytest.Item) -> int:
    """Return when a test's turn is."""
    folder = place(item).split("/")[0]
    return ORDER.index(folder) if folder in ORDER else len(ORDER)


@cache
def is_whole(place: str) -> bool:
    """Say whether the tests of a module are run one after the other."""
    text = (TESTS / place).read_text(encoding="utf-8")
    return place.startswith(WITHOUT_DATABASE) or 'scope="module"' in text
