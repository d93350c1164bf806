"""The documentation holds together: links lead somewhere, code can be read, tables are new."""

import ast
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from docs.generate import DOCS, PAGES, PARTS, with_part
from trunkline.admin import app as admin
from trunkline.cli.reference import PAGES as CLI_PAGES
from trunkline.network.behaviours import magic_behaviour
from trunkline.webhooks.overrides import DEFAULT_OVERRIDES

TOP = DOCS.parent
FRONT = tuple(TOP / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))
PAGES_BESIDE = (TOP / "bench" / "README.md", TOP / "examples" / "README.md")
PAGES_OF_OURS = (*FRONT, *PAGES_BESIDE, *sorted(DOCS.rglob("*.md")))

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

READERS: dict[str, Callable[[str], object]] = {
    "python": ast.parse,
    "json": json.loads,
    "toml": tomllib.loads,
}
# Nothing reads these here; a name that stands nowhere is a misspelling.
UNREAD = {"sh", "text", "javascript", "ini", "nginx", ""}


def name_of(path: Path) -> str:
    return str(path.relative_to(TOP))


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", text))


def blocks() -> Iterator[tuple[str, str, str]]:
    for path in PAGES_OF_OURS:
        for number, (indent, language, code) in enumerate(FENCE.findall(path.read_text()), 1):
            lines = [line.removeprefix(indent) for line in code.splitlines()]
            yield f"{name_of(path)}, block {number}", language, "\n".join(lines)


def anchors(path: Path) -> set[str]:
    headings = HEADING.findall(FENCE.sub("", path.read_text()))
    # As the site names them: letters, digits and underscores stay, whatever parts words is a dash.
    bare = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"[-\s]+", "-", heading) for heading in bare}


@pytest.mark.parametrize("path", PAGES_OF_OURS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    """Every link to a file of ours names one that is there, and a heading that is in it."""
    lost = []
    for target in LINK.findall(without_code(path.read_text())):
        file, _, anchor = target.partition("#")
        if target.startswith(("https://", "http://")):
            continue
        found = (path.parent / file).resolve() if file else path
        if not found.is_file() or (anchor and anchor not in anchors(found)):
            lost.append(target)
    assert lost == []


def test_links_of_the_site_stay_within_it() -> None:
    """A page of the site names no file that is not part of the site."""
    outside = [
        f"{name_of(path)}: {target}"
        for path in DOCS.rglob("*.md")
        for target in LINK.findall(without_code(path.read_text()))
        if "://" not in target
        and not (path.parent / target.partition("#")[0]).resolve().is_relative_to(DOCS)
    ]
    assert outside == []


@pytest.mark.parametrize(("where", "language", "code"), list(blocks()))
def test_code_can_be_read(where: str, language: str, code: str) -> None:
    """Every piece of code is valid in the language that it is said to be."""
    assert language in READERS or language in UNREAD, where
    if language in READERS:
        READERS[language](code)


def test_every_page_has_a_place_in_the_navigation() -> None:
    """What is written is found: each page is in mkdocs.yml, or in the index of its folder."""
    listed = (TOP / "mkdocs.yml").read_text()
    for folder in ("decisions", "reference/api"):
        index = (DOCS / folder / "index.md").read_text()
        listed += "".join(f"{folder}/{name}" for name in LINK.findall(index))
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert sorted(page for page in pages if page not in listed) == []


@pytest.mark.parametrize("page", sorted(PAGES))
def test_generated_pages_are_up_to_date(page: str) -> None:
    """If this fails: `python docs/generate.py`, and look at the change."""
    assert (DOCS / page).read_text() == PAGES[page]()


@pytest.mark.parametrize("page", sorted(CLI_PAGES))
def test_pages_of_the_command_line_are_up_to_date(page: str) -> None:
    """If this fails: `python docs/generate.py`, and look at the change."""
    assert (DOCS / "reference" / page).read_text() == CLI_PAGES[page]()


@pytest.mark.parametrize(("page", "part"), sorted(PARTS))
def test_generated_parts_are_up_to_date(page: str, part: str) -> None:
    """If this fails: `python docs/generate.py`, and look at the change."""
    text = (DOCS / page).read_text()
    assert text == with_part(text, part, text=PARTS[page, part]())


def test_a_page_without_the_part_is_refused() -> None:
    """A marker that was misspelt does not go unnoticed."""
    with pytest.raises(ValueError, match="no part segments"):
        with_part("<!-- begin segments -->\nbut no end", "segments", text="x")


def test_the_readme_knows_its_magic_recipients() -> None:
    """What the README says of a recipient is what the network makes of it."""
    rows = re.findall(r"^\| `(\+155555\d+)` \| (.+) \|$", (TOP / "README.md").read_text(), re.M)
    assert len(rows) == 5
    for number, said in rows:
        behaviour = magic_behaviour(number)
        assert behaviour is not None, number
        begins = "arrives" if behaviour.final_status == "sent" else behaviour.final_status
        assert said.startswith(begins), number


def test_the_table_of_overrides_has_the_defaults_of_the_code() -> None:
    """The page on webhooks names the defaults that hold."""
    text = (DOCS / "concepts" / "webhooks.md").read_text()
    said = dict(re.findall(r"^\| `(\w+)` \|.*\| `?(\w+)`? \|$", text, re.M))
    defaults = DEFAULT_OVERRIDES
    assert said == {
        "ct": str(defaults.connect_ms),
        "rt": str(defaults.read_ms),
        "tt": str(defaults.total_ms),
        "rc": str(defaults.retries),
        "rp": ",".join(defaults.retry_on),
    }


def test_the_page_of_the_admin_api_has_every_operation() -> None:
    """What the admin API answers stands on its page, and nothing else."""
    text = (DOCS / "how-to" / "admin-api.md").read_text()
    said = re.findall(r"^\| `([A-Z]+) (/\S+)` \|", text, re.M)
    known = {
        (method, path.replace("{account}", "{sid}"))
        for path, handlers in admin._table().items()
        for method in handlers
    }
    assert len(said) == len(known)
    assert set(said) == known
