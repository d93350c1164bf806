"""From a request's host and path to the route that answers it: dictionaries, no scan.

Twilio has one host for each product, and paths of several products are alike (/v1/Services), so
the product is read from the host (messaging.example.com) or from a leading part of the path
(/messaging/v1/Services). Where neither names one, the path alone decides.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import unquote

from trunkline.api.resource import JSON_SUFFIX, Resource, Route, Verb

# Hosts of https://www.twilio.com/docs/usage/api: the first label of each.
PRODUCTS = frozenset(
    "accounts api bulkexports chat content conversations events iam insights intelligence lookups "
    "messaging monitor numbers oauth pricing proxy serverless studio sync taskrouter trusthub "
    "verify video voice".split()
)
# No other product has such a path, so a host of any name may serve it.
_VERSION_2010 = "2010-04-01"
_METHOD_OF = {"HEAD": "GET"}


@dataclass(slots=True)
class _Node:
    """What may follow one part of a path; `rest` is where a value of the caller's stands."""

    parts: "dict[str, _Node]" = field(default_factory=dict)
    rest: "_Node | None" = None
    routes: dict[str, Route] = field(default_factory=dict)
    bare_routes: dict[str, Route] = field(default_factory=dict)


@dataclass(slots=True)
class Match:
    """What stands at a path: the route and the values in the path, or only the methods it has."""

    route: Route | None
    path: dict[str, str]
    methods: tuple[str, ...]
    prefix: str


class Router:
    """Finds routes."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._trees: dict[str, _Node] = {}
        for resource in resources:
            tree = self._trees.setdefault(resource.dialect.product, _Node())
            for route in resource.routes():
                _add(tree, route)

    def find(self, method: str, path: str, *, host: str) -> Match | None:
        """Return what stands at a raw path, or None when nothing does.

        A path may end in .json; without it, an operation that sends bytes comes first.
        """
        parts = path.split("/")[1:]
        prefix = parts.pop(0) if len(parts) > 1 and parts[0] in PRODUCTS else ""
        if not parts:
            return None
        suffixed = parts[-1].endswith(JSON_SUFFIX)
        parts[-1] = parts[-1].removesuffix(JSON_SUFFIX)
        for tree in self._candidates(prefix or _product_of(host), parts[0]):
            values: list[str] = []
            if node := _walk(tree, parts, values=values):
                method = _METHOD_OF.get(method, method)
                bare = None if suffixed else node.bare_routes.get(method)
                route = bare or node.routes.get(method)
                named = dict(zip(route.names, values, strict=True)) if route else {}
                return Match(route, named, tuple(sorted(node.routes)), prefix and f"/{prefix}")
        return None

    def _candidates(self, product: str, version: str) -> list[_Node]:
        if product and version != _VERSION_2010:
            tree = self._trees.get(product)
            return [tree] if tree else []
        return list(self._trees.values())


@cache
def router_of(resources: tuple[Resource, ...]) -> Router:
    """Return who finds the routes of resources; all programs of a process share its tables."""
    return Router(resources)


def _product_of(host: str) -> str:
    """Return the product that a host name begins with; a single label is just a machine's name."""
    first, dot, _ = host.lower().partition(".")
    return first if dot and first in PRODUCTS else ""


def _add(tree: _Node, route: Route) -> None:
    node = tree
    for part in route.path.split("/")[1:]:
        if part.startswith("{"):
            node.rest = node.rest or _Node()
            node = node.rest
        else:
            node = node.parts.setdefault(part, _Node())
    table = node.bare_routes if route.verb is Verb.DOWNLOAD else node.routes
    assert route.method not in table, f"{route.method} {route.path} is declared twice"
    table[route.method] = route


def _walk(tree: _Node, parts: list[str], *, values: list[str]) -> _Node | None:
    """Follow the parts and gather the caller's values; a name of ours comes before a value."""
    node = tree
    for part in parts:
        if known := node.parts.get(part):
            node = known
            continue
        value = unquote(part)
        # No database keeps a NUL in a text, so nothing can have such a name.
        if node.rest is None or "\0" in value:
            return None
        node = node.rest
        values.append(value)
    return node if node.routes else None
