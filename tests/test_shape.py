"""The architecture as a test: who may import whom, how big things may get, what they may be called.

A rule is a function that yields what is wrong with one module. Each stands in RULES beside a piece
of code that breaks it, so that a rule which catches nothing fails too.
"""

import ast
import builtins
import importlib
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
SOURCE = TOP / "src" / "trunkline"
ANYTHING = "*"
WORKS_ON_THREADS = {"flows", "store"}

# A row names what a package may import of ours; "carriers.port" opens that one module only.
# The package's own front ("") takes least of all: importing any part of Trunkline runs it.
MAY_IMPORT: dict[str, set[str]] = {
    "": {"connecting"},
    "__main__": {"cli"},
    "connecting": {"datadir"},
    "datadir": set(),
    "upstream": set(),
    "domain": set(),
    "smpp": set(),
    "twiml": {"domain"},
    "runtime": {"domain.ids"},
    "config": {"domain", "datadir"},
    "store": {"domain", "runtime"},
    "webhooks": {"domain", "runtime"},
    "network": {"domain", "runtime", "carriers.port"},
    "carriers": {"domain", "smpp", "network", "runtime", "webhooks.signature"},
    "flows": {"domain", "twiml", "webhooks", "store", "carriers.port", "runtime"},
    "dispatch": {"flows", "carriers.port", "store", "webhooks", "domain", "runtime"},
    "smsc": {"flows", "domain", "smpp", "runtime", "store", "network.behaviours"},
    "api": {"flows", "domain", "store", "runtime"},
    "admin": {"flows", "domain", "store", "runtime", "network", "api"},
    "console": {
        *("flows", "domain", "store", "runtime", "network"),
        *("api.auth", "api.content", "carriers.port"),
    },
    "ops": {
        *("flows", "domain", "store", "runtime", "carriers.port", "webhooks.answer"),
        *("config", "connecting", "datadir"),
    },
    "crew": {
        *("config", "datadir", "leaving", "reloading", "serving", "starting"),
        *("ops.gathering", "ops.logs"),
    },
    "serving": set(),
    "starting": {"config", "datadir", "serving"},
    "leaving": set(),
    "reloading": {"config"},
    "app": {ANYTHING},
    "cli": {
        *("app", "crew", "starting", "config", "connecting", "datadir", "domain", "ops", "runtime"),
    },
}
# What the API's resources are is known to the API and to whoever puts the program together.
RESOURCES_OPEN_TO = {"api", "app"}

PURE = ("domain", "smpp", "twiml", "webhooks.signature", "webhooks.request", "webhooks.guard")
PURE_MAY_USE = {  # Beside the standard library: tables of the world that nobody writes anew.
    "domain.address": {"phonenumbers"},
    "domain.inventory": {"phonenumbers"},
    "domain.message": {"msgspec"},  # A message is copied thrice on its way: 0.5 µs, not 7.
    "domain.media": {"msgspec"},
    "domain.text": {"regex"},
}
IMPURE_MODULES = {
    *("asyncio", "threading", "concurrent", "multiprocessing", "subprocess", "selectors"),
    *("socket", "ssl", "http", "urllib.request", "sqlite3", "os", "pathlib", "shutil", "tempfile"),
    *("time", "random", "secrets", "uuid", "logging", "warnings"),
}
IMPURE_CALLS = {"open", "input", "print"}
WALL_CLOCK = {"now", "utcnow", "today", "time", "time_ns"}
CLOCK_OWNERS = {"runtime", "cli"}

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800
NESTING_MAX = 3
POSITIONAL_MAX = 2
# What a function works in, not on: these come first and do not count.
CONTEXT = {"platform", "db", "account_sid", "call", "visit"}
EXCEPTION_CLASSES_MAX = 10
# Unexpected trouble is logged in two places: the HTTP server and the loop of the workers.
CATCH_ALL_MAX = {"api": 1, "dispatch": 1}
EVERYTHING = {"Exception", "BaseException"}
# Values of requests and of database rows have every type there is.
ANY_ALLOWED = ("api", "admin", "store", "flows.directory")

# Signatures that somebody else's protocol dictates.
DICTATED_PARAMETERS = {
    ("auth_token", "url", "parameters"),  # The order in which signatures are documented.
    ("scope", "receive", "send"),
    ("host", "port", "family"),
    ("logger", "method_name", "event_dict"),
    ("name", "system_id", "public_id", "has_internal_subset"),
}
DICTATED_FUNCTIONS = {
    "settings_customise_sources",
    *("process_bind_param", "process_result_value", "process_literal_param"),
}
BAD_PREFIXES = ("get_", "do_", "handle_", "process_")
BAD_WORDS = ("util", "helper", "manager")
BLOCKS = (
    *(ast.For, ast.AsyncFor, ast.While, ast.If, ast.Try, ast.TryStar),
    *(ast.With, ast.AsyncWith, ast.Match),
)

# Put together from pieces, so that this file does not hold what it looks for.
UNFINISHED = tuple(a + b for a, b in (("TO", "DO"), ("FIX", "ME")))
PLACES = tuple(
    a + b
    for a, b in (
        *(("/wo", "rk/main"), ("/wo", "rk/shared"), ("/wo", "rk/steering"), ("/wo", "rk/.library")),
        *(("/ro", "ot/"), ("/fa", "rm/"), ("/opt/py", "pi"), ("/opt/wh", "eels")),
        *(("py", "pi.org"), ("python", "hosted"), ("npm", "js."), ("deb.", "debian")),
    )
)
SKIPS = tuple(
    a + b
    for a, b in (
        *(("mark.sk", "ip"), ("mark.xf", "ail"), ("pytest.sk", "ip"), ("pytest.xf", "ail")),
        *(("import", "orskip"), ("@unittest.sk", "ip"), ("it.sk", "ip("), ("test.sk", "ip(")),
    )
)
PASSED_OVER = {"node_modules", "site", "trunkline-data", "dist", "build", "__pycache__", "vendor"}
# Migrations run inside Alembic's context, __main__ starts the program.
NOT_IMPORTED = ("migrations.env", "__main__")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of ours: its dotted name within trunkline, its text and what the text means."""

    name: str
    text: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """The first part of the name; empty for trunkline itself."""
        return self.name.split(".")[0]

    def functions(self) -> Iterator[Function]:
        """Yield every function, however deep."""
        return (n for n in ast.walk(self.tree) if isinstance(n, Function))


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_module(name: str, text: str) -> Module:
    return Module(name, text, ast.parse(text))


MODULES = [read_module(module_name(p), p.read_text()) for p in sorted(SOURCE.rglob("*.py"))]
NAMES = {module.name for module in MODULES}


def is_within(name: str, places: Collection[str]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def imported(module: Module) -> Iterator[str]:
    """Yield the full name of every module imported, also where only a name of it is."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            for alias in node.names:
                deeper = f"{base}.{alias.name}"
                yield deeper if deeper.removeprefix("trunkline.") in NAMES else base


def ours(module: Module) -> set[str]:
    """Return the imported modules of ours, named within trunkline."""
    full = {name for name in imported(module) if is_within(name, ("trunkline",))}
    return {name.removeprefix("trunkline").removeprefix(".") for name in full}


def imports_beyond_its_row(module: Module) -> Iterator[str]:
    row = MAY_IMPORT.get(module.package)
    if row is None:
        yield "its package has no row in MAY_IMPORT"
        return
    for target in ours(module):
        outside = target != "" and not is_within(target, (module.package,))
        if outside and ANYTHING not in row and not is_within(target, row):
            yield f"may not import {target}"


def imports_another_adapter(module: Module) -> Iterator[str]:
    if module.package != "carriers":
        return
    own = ".".join(module.name.split(".")[:2])
    for target in ours(module):
        if is_within(target, ("carriers",)) and not is_within(target, (own, "carriers.port")):
            yield f"an adapter may not import {target}"
        if own == "carriers" and target.startswith("carriers.") and target != "carriers.port":
            yield f"the package's front may not import {target}"


def imports_api_resources(module: Module) -> Iterator[str]:
    if module.package not in RESOURCES_OPEN_TO:
        yield from (f"may not import {t}" for t in ours(module) if is_within(t, ("api.resources",)))


def imports_below_the_top(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in module.tree.body:
            yield f"line {node.lineno}: imports stand at the top"
        if isinstance(node, ast.Name | ast.Attribute) and "TYPE_CHECKING" in ast.unparse(node):
            yield f"line {node.lineno}: no TYPE_CHECKING"
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"line {node.lineno}: no relative import"


def is_impure(module: Module) -> Iterator[str]:
    if not is_within(module.name, PURE):
        return
    allowed = {"trunkline", *sys.stdlib_module_names, *PURE_MAY_USE.get(module.name, ())}
    for name in imported(module):
        if is_within(name, IMPURE_MODULES) or name.split(".")[0] not in allowed:
            yield f"pure code imports {name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield f"line {node.lineno}: pure code awaits nothing"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in IMPURE_CALLS:
            yield f"line {node.lineno}: pure code does no {ast.unparse(node.func)}()"


def reads_the_clock(module: Module) -> Iterator[str]:
    if module.package in CLOCK_OWNERS:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value).split(".")[-1]
            if owner in {"datetime", "date", "time"} and node.func.attr in WALL_CLOCK:
                yield f"line {node.lineno}: time is handed in"


def is_too_long(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    if lines > FILE_LINES_MAX:
        yield f"{lines} lines"
    for function in module.functions():
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield f"{function.name} has {lines} lines"


def depth(node: ast.AST, *, under: int = 0) -> int:
    """Return how deep blocks are nested in *node*; an elif is no deeper than its if."""
    if isinstance(node, Function | ast.Lambda | ast.ClassDef) and under:
        return under  # It is measured by itself.
    deepest = under
    for child in ast.iter_child_nodes(node):
        is_elif = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        inside = under + (isinstance(child, BLOCKS) and not is_elif)
        deepest = max(deepest, depth(child, under=inside))
    return deepest


def is_too_deep(module: Module) -> Iterator[str]:
    for function in module.functions():
        if depth(function) > NESTING_MAX:
            yield f"{function.name} nests {depth(function)} deep"


def takes_too_many_positions(module: Module) -> Iterator[str]:
    for function in module.functions():
        names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
        own = tuple(name for name in names if name not in {"self", "cls", *CONTEXT})
        dictated = own in DICTATED_PARAMETERS or function.name in DICTATED_FUNCTIONS
        if len(own) > POSITIONAL_MAX and not dictated and not is_dunder(function.name):
            yield f"{function.name} takes {', '.join(own)} by position"


def is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__") and name != "__init__"


def is_badly_named(module: Module) -> Iterator[str]:
    for function in module.functions():
        name = function.name
        ours_to_name = not is_dunder(name) and name not in DICTATED_FUNCTIONS
        if ours_to_name and name.lstrip("_").startswith(BAD_PREFIXES):
            yield f"{name}: say what it does"
    classes = (n.name for n in ast.walk(module.tree) if isinstance(n, ast.ClassDef))
    for name in (*classes, *module.name.split(".")):
        if any(word in name.lower() for word in BAD_WORDS):
            yield f"{name}: say what it is"


def uses_any(module: Module) -> Iterator[str]:
    if is_within(module.name, ANY_ALLOWED):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.expr) and ast.unparse(node) in {"Any", "typing.Any"}:
            yield f"line {node.lineno}: Any"


def has_no_docstring(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield "a module opens with one sentence that says what it is"


def catches_everything(module: Module) -> Iterator[str]:
    """Yield every place that catches Exception; two packages have one such place each."""
    lines = list(catch_alls(module))
    if len(lines) > CATCH_ALL_MAX.get(module.package, 0):
        yield f"lines {lines}: catch what you expect"


def catch_alls(module: Module) -> Iterator[int]:
    """Yield the lines on which an except or a suppress() catches every exception."""
    for node in ast.walk(module.tree):
        caught: list[ast.expr] = []
        if isinstance(node, ast.ExceptHandler):
            caught = [node.type or ast.Name("BaseException")]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            caught = node.args
        if EVERYTHING & {ast.unparse(part) for kind in caught for part in ast.walk(kind)}:
            yield getattr(node, "lineno", 0)


def reads_a_type_late(module: Module) -> Iterator[str]:
    """Yield typed decoding without a decoder; two that are first at once end the process."""
    if module.package not in WORKS_ON_THREADS:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("msgspec."):
            is_typed = any(keyword.arg == "type" for keyword in node.keywords)
            if is_typed and node.func.attr == "decode":  # type: ignore[attr-defined]
                yield f"line {node.lineno}: make a Decoder when the module is imported"


NESTED = "def f(a):\n for b in a:\n  if b:\n   while b:\n    with b:\n     pass"
RULES: dict[Callable[[Module], Iterator[str]], list[tuple[str, str]]] = {
    imports_beyond_its_row: [
        ("domain.x", "from trunkline.store import tables"),
        ("flows.x", "import trunkline.carriers.simulated"),
        ("newcomer", "pass"),
    ],
    imports_another_adapter: [
        ("carriers.a", "from trunkline.carriers.b import B"),
        ("carriers", "from trunkline.carriers.b import B"),
    ],
    imports_api_resources: [("admin.x", "from trunkline.api.resources.messages import MESSAGES")],
    imports_below_the_top: [
        ("flows.x", "def f():\n import json"),
        ("flows.x", "try:\n import a\nexcept ImportError:\n pass"),
        ("flows.x", "import typing\nif typing.TYPE_CHECKING:\n pass"),
        ("flows.x", "from . import y"),
    ],
    is_impure: [
        ("domain.x", "import asyncio"),
        ("smpp.x", "from os import path"),
        ("twiml", "async def f(): pass"),
        ("webhooks.guard", "import aiohttp"),
        ("domain.x", "print('x')"),
    ],
    reads_the_clock: [
        ("flows.x", "datetime.now(UTC)"),
        ("store.x", "time.time()"),
        ("api.x", "datetime.datetime.utcnow()"),
    ],
    is_too_long: [
        ("flows.x", "def f():\n" + " pass\n" * FUNCTION_LINES_MAX),
        ("flows.x", "pass\n" * (FILE_LINES_MAX + 1)),
    ],
    is_too_deep: [("flows.x", NESTED)],
    takes_too_many_positions: [
        ("flows.x", "def f(a, b, c): pass"),
        ("flows.x", "class A:\n def __init__(self, a, b, c): pass"),
    ],
    is_badly_named: [
        ("flows.x", "def _get_x(): pass"),
        ("flows.helpers", "pass"),
        ("flows.x", "class LaneManager: pass"),
    ],
    uses_any: [("flows.x", "a: dict[str, Any]"), ("flows.x", "a: typing.Any")],
    has_no_docstring: [("flows.x", "pass")],
    reads_a_type_late: [("store.x", "msgspec.json.decode(doc, type=Kind)")],
    catches_everything: [
        ("flows.x", "try:\n pass\nexcept (OSError, Exception):\n pass"),
        ("flows.x", "try:\n pass\nexcept:\n pass"),
        ("flows.x", "with contextlib.suppress(Exception): pass"),
    ],
}


@pytest.mark.parametrize("rule", RULES)
def test_every_module_keeps_the_rule(rule: Callable[[Module], Iterator[str]]) -> None:
    """No module of ours breaks a rule."""
    assert [f"{module.name}: {wrong}" for module in MODULES for wrong in rule(module)] == []


@pytest.mark.parametrize(("rule", "name", "text"), [(r, n, t) for r in RULES for n, t in RULES[r]])
def test_the_rule_catches_who_breaks_it(
    rule: Callable[[Module], Iterator[str]], name: str, text: str
) -> None:
    """Each rule finds fault with code that breaks it."""
    assert list(rule(read_module(name, text)))


def test_imports_make_no_cycle() -> None:
    """Modules can be put in an order in which each imports only what stands before it."""
    graph = {module.name: ours(module) - {module.name} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_everything_is_caught_in_two_places_at_most() -> None:
    """Besides the HTTP server and the workers' loop, nobody catches what he does not expect."""
    found = [module.package for module in MODULES for _ in catch_alls(module)]
    assert all(found.count(package) <= CATCH_ALL_MAX.get(package, 0) for package in found), found


def test_there_are_few_exception_classes() -> None:
    """Expected trouble is a value or a Refusal, so few classes of exceptions are needed."""
    bases = {
        node.name: {ast.unparse(base).split(".")[-1] for base in node.bases}
        for module in MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    }
    known = {
        name
        for name, value in vars(builtins).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    found: set[str] = set()
    while more := {n for n in bases if bases[n] & (known | found)} - found:
        found |= more
    assert len(found) <= EXCEPTION_CLASSES_MAX, sorted(found)


def importable() -> list[str]:
    full = (f"trunkline.{name}".rstrip(".") for name in sorted(NAMES))
    return [name for name in full if not name.endswith(NOT_IMPORTED)]


@pytest.mark.parametrize("name", importable())
def test_every_module_can_be_imported(name: str) -> None:
    """A module that nobody imports yet is whole, too."""
    assert importlib.import_module(name).__name__ == name


def texts() -> Iterator[tuple[Path, str]]:
    """Yield every text file of the project; what is installed, built or vendored is passed over."""
    for folder, folders, files in os.walk(TOP):
        folders[:] = [f for f in folders if f not in PASSED_OVER and is_kept(f)]
        for path in (Path(folder, file) for file in files):
            if path.suffix not in {".png", ".woff2", ".ico", ".gif", ".jpg", ".bin", ".db"}:
                yield path.relative_to(TOP), path.read_text(errors="replace")


def is_kept(folder: str) -> bool:
    """Say whether a folder belongs to the project; of the hidden ones only .ci does."""
    return not folder.startswith(".") or folder == ".ci"


TEXTS = [(path, text) for path, text in texts() if not path.name.endswith(".min.js")]


def lines_with(needles: tuple[str, ...], *, under: tuple[str, ...] = ("",)) -> list[str]:
    return [
        f"{path}:{number}: {needle}"
        for path, text in TEXTS
        if str(path).startswith(under)
        for number, line in enumerate(text.splitlines(), 1)
        for needle in needles
        if needle in line
    ]


def test_no_file_names_a_machine_or_a_registry() -> None:
    """The project builds anywhere: no path of one machine, no address of one package index."""
    assert lines_with(PLACES) == []


def test_nothing_is_left_unfinished() -> None:
    """What is to be done stands in the tracker, never in the tree."""
    assert lines_with(UNFINISHED, under=("src", "tests", "bench", "docs", "examples")) == []


def test_no_test_is_skipped() -> None:
    """A test that cannot run fails; it is never left out."""
    assert lines_with(SKIPS, under=("tests",)) == []


def test_no_test_sleeps() -> None:
    """Time moves when the test says so; sleep(0) only gives way."""
    asleep = re.compile(r"\b(asyncio|time)\.sleep\((?!0\))")
    assert [str(p) for p, text in TEXTS if str(p).startswith("tests") and asleep.search(text)] == []


def test_pages_and_tests_are_not_too_long() -> None:
    """What holds for modules holds for templates, scripts, style sheets and tests."""
    kinds = {".py", ".html", ".jinja", ".xml", ".js", ".mjs", ".css"}
    long = [
        f"{path}: {len(text.splitlines())} lines"
        for path, text in TEXTS
        if path.suffix in kinds and len(text.splitlines()) > FILE_LINES_MAX
    ]
    assert long == []
