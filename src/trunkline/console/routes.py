"""The routes: in what order they are tried, and why a message takes the one it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from trunkline.console.holdings import first_numbers
from trunkline.console.mistakes import mistakes_of
from trunkline.console.pages import page
from trunkline.console.visit import Visit
from trunkline.domain.address import parse_recipient, parse_sender
from trunkline.domain.carrier import Route, SenderType
from trunkline.domain.errors import Refusal
from trunkline.domain.routing import Ask, Considered
from trunkline.flows import carriers, routes
from trunkline.flows.routes import CHANNELS, Wish

ROUTES_SHOWN_MAX = 500  # Some 300 kB of page; the command line lists them all.
CONSIDERED_SHOWN_MAX = 50  # Those that match come first.

# The parts of a wish, as the form names them.
FIELDS = (
    *("carrier", "prefix", "country", "sender", "sender_type", "channel", "for_account"),
    *("order", "weight", "price", "priority"),
)
# What a refusal calls them that spells them otherwise.
_PARAMETERS = {"SenderType": "sender_type", "Account": "for_account"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Which way a message would take; mistakes say which part of the question is none."""

    typed: Mapping[str, str]
    considered: Sequence[Considered] = ()
    mistakes: Mapping[str, str]

    @property
    def is_asked(self) -> bool:
        """Whether there was a question."""
        return bool(self.typed["from"] or self.typed["to"])

    @property
    def chosen(self) -> Route | None:
        """The route that the message would take."""
        return next((each.route for each in self.considered if each.rank == 1), None)


async def show_routes(visit: Visit) -> Response:
    """Show the routes, and explain one message when the query names one."""
    return await _page(visit)


async def add_route(visit: Visit) -> Response:
    """Make a route."""
    visit.require_main_account()
    form = await visit.form()
    try:
        await routes.add(visit.platform, Wish(**{name: form.get(name, "") for name in FIELDS}))
    except Refusal as refusal:
        mistakes = {_field_of(name): text for name, text in mistakes_of(refusal).items()}
        shown = await _page(visit, typed=form, mistakes=mistakes)
        return visit.declined(refusal.message, page=shown)
    return visit.done("/routes")


async def remove_route(visit: Visit) -> Response:
    """Forget a route; one that is gone already is gone."""
    visit.require_main_account()
    try:
        await routes.remove(visit.platform, visit.request.path_params["sid"])
    except Refusal as refusal:
        shown = await _page(visit, mistakes={"": "There is no such route any more."})
        return visit.declined(refusal.message, page=shown)
    return visit.done("/routes")


def conditions_of(route: Route) -> list[tuple[str, str]]:
    """Return the conditions of a route as words and values; none holds for everything."""
    parts = (
        ("to", route.prefix and f"{route.prefix}…"),
        ("country", route.country),
        ("from", route.sender.replace("*", "…")),
        ("sender type", route.sender_type.replace("_", " ")),
        ("channel", route.channel),
        ("account", route.for_account),
    )
    return [(words, value) for words, value in parts if value]


def in_order(found: Sequence[Route]) -> list[Route]:
    """Return routes as they are tried for a message that all of them take, oldest first of equals.

    How far a country reaches depends on the message; it stands behind prefixes of two digits.
    """
    return sorted(found, key=lambda route: (route.order, -_reach(route), -_narrowness(route)))


def explain(visit: Visit) -> Explanation:
    """Return what the query asks about a message, with the answer where it can be given."""
    query = visit.request.query_params
    typed = {name: query.get(name, "").strip() for name in ("from", "to", "account", "media")}
    if not (typed["from"] or typed["to"]):
        return Explanation(typed=typed, mistakes={})
    # An address bar shows `+1555…` unescaped, and its plus then reads as a space.
    sender, recipient = parse_sender(typed["from"]), parse_recipient(typed["to"])
    if sender is None or recipient is None:
        wrong = {"from": sender is None, "to": recipient is None}
        mistakes = {name: _MEANT[name] for name, is_wrong in wrong.items() if is_wrong}
        return Explanation(typed=typed, mistakes=mistakes)
    ask = Ask(
        account_sid=typed["account"] or visit.account.sid,
        sender=sender.text,
        recipient=recipient.text,
        channel="mms" if typed["media"] else "",
    )
    return Explanation(typed=typed, considered=routes.explain(visit.platform, ask), mistakes={})


async def _page(
    visit: Visit,
    *,
    typed: Mapping[str, str] | None = None,
    mistakes: Mapping[str, str] | None = None,
) -> Response:
    visit.require_main_account()
    found = in_order(await routes.listed(visit.platform))
    explanation = explain(visit)
    return page(
        visit,
        "routes.html",
        status_code=400 if mistakes else 200,
        routes=found[:ROUTES_SHOWN_MAX],
        hidden=max(0, len(found) - ROUTES_SHOWN_MAX),
        conditions=conditions_of,
        carriers={account.name: account for account in await carriers.listed(visit.platform)},
        sender_types=list(SenderType),
        channels=CHANNELS,
        numbers=await first_numbers(visit),
        explanation=explanation,
        considered=explanation.considered[:CONSIDERED_SHOWN_MAX],
        typed=typed or {"carrier": visit.request.query_params.get("carrier", "")},
        mistakes=mistakes or {},
    )


def _field_of(parameter: str) -> str:
    return _PARAMETERS.get(parameter, parameter.lower())


def _reach(route: Route) -> float:
    return max(len(route.prefix) - 1, 2.5 if route.country else 0)


def _narrowness(route: Route) -> int:
    return len(conditions_of(route))


_MEANT = {
    "from": "must be a number, a short code or a name",
    "to": "must be a number like +15558675310",
}
