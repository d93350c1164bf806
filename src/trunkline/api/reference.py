"""The reference pages of the API and the support matrix, written from the declarations.

`python -m trunkline.api.reference DIRECTORY` writes them to DIRECTORY.
"""

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from trunkline.api.fields import Field
from trunkline.api.resource import Resource, Route, Verb
from trunkline.api.resources import RESOURCES
from trunkline.api.wire import Level

_MATRIX = "support-matrix.md"
_NOTE = "<!-- Written by `python -m trunkline.api.reference`; change the declarations instead. -->"
_LEVELS = """\
- **full**: does what Twilio does;
- **accepted**: checked and kept or echoed, without effect;
- **refused**: answered with an error that names the parameter.

A parameter that Twilio does not know is ignored, as Twilio ignores it.
"""
_OPERATIONS = """\
These are all operations, each with the number of its parameters. One with three zeros has no
parameters, and is supported as it is.
"""


def pages(resources: Iterable[Resource] = RESOURCES) -> dict[str, str]:
    """Return every page by its path."""
    declared = list(resources)
    written = {f"api/{_slug(resource)}.md": _page(resource) for resource in declared}
    return {**written, "api/index.md": _index(declared), _MATRIX: _matrix(declared)}


def _slug(resource: Resource) -> str:
    letters = "".join(c if c.isalnum() else " " for c in resource.name)
    return "-".join(letters.lower().split())


def _title(resource: Resource) -> str:
    return resource.name[0].upper() + resource.name[1:]


def _full_path(route: Route) -> str:
    suffix = "" if route.verb is Verb.DOWNLOAD else route.resource.dialect.suffix
    return route.path + suffix


def _page(resource: Resource) -> str:
    parts = [_NOTE, f"# {_title(resource)}\n"]
    parts += [_operation(route) for route in resource.routes()]
    return "\n".join(parts)


def _operation(route: Route) -> str:
    lines = [
        f"## {route.verb.capitalize()}\n",
        f"{route.summary}\n",
        f"```\n{route.method} {_full_path(route)}\n```\n",
        f"Answers **{route.status}**" + (" without a body.\n" if route.status == 204 else ".\n"),
    ]
    if route.inputs:
        lines += ["| Parameter | Kind | Support |", "|---|---|---|"]
        lines += [_parameter(field) for field in route.inputs.fields]
        lines.append("")
    if route.verb not in (Verb.DELETE, Verb.DOWNLOAD):
        lines += ["| Field | Kind |", "|---|---|"]
        lines += [f"| `{f.wire}` | {_kind(f)} |" for f in route.outputs.fields]
        lines.append("")
    return "\n".join(lines)


def _parameter(field: Field) -> str:
    required = ", required" if field.required else ""
    repeated = ", may repeat" if field.many else ""
    return f"| `{field.wire}` | {field.kind.name}{required}{repeated} | {_support(field)} |"


def _support(field: Field) -> str:
    support = field.support
    return f"{support.level}: {support.reason}" if support.reason else support.level.value


def _kind(field: Field) -> str:
    return f"{field.kind.name} or null" if field.nullable else field.kind.name


def _index(resources: list[Resource]) -> str:
    rows = [
        f"| [{_title(resource)}]({_slug(resource)}.md) | `{resource.routes()[0].path}` | "
        f"{', '.join(verb.value for verb in resource.ops())} |"
        for resource in resources
    ]
    head = [_NOTE, "# The API\n", "| Resource | Path | Operations |", "|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _matrix(resources: list[Resource]) -> str:
    routes = [route for resource in resources for route in resource.routes()]
    head = [
        _NOTE,
        "# What is supported\n",
        "Every parameter of every operation is one of these:\n",
        _LEVELS,
        _OPERATIONS,
        "| Operation | Full | Accepted | Refused |",
        "|---|---|---|---|",
    ]
    rows = [_counts(route) for route in routes]
    details = [line for route in routes for line in _exceptions(route)]
    tail = ["", "## Accepted or refused, and why\n", "| Operation | Parameter | Support |"]
    return "\n".join([*head, *rows, *tail, "|---|---|---|", *details, ""])


def _fields(route: Route) -> tuple[Field, ...]:
    return route.inputs.fields if route.inputs else ()


def _counts(route: Route) -> str:
    count = Counter(field.support.level for field in _fields(route))
    cells = " | ".join(str(count[level]) for level in Level)
    return f"| `{route.method} {_full_path(route)}` | {cells} |"


def _exceptions(route: Route) -> list[str]:
    return [
        f"| {route.resource.name}, {route.verb} | `{field.wire}` | {_support(field)} |"
        for field in _fields(route)
        if field.support.level is not Level.FULL
    ]


def write(directory: Path) -> None:
    """Write every page, and remove those of resources that are no more."""
    written = pages()
    for stale in (directory / "api").glob("*.md"):
        if f"api/{stale.name}" not in written:
            stale.unlink()
    for name, text in written.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
