"""Routes over the admin API: making and changing them, and why a message takes the one it takes."""

from trunkline.admin.ask import Ask
from trunkline.admin.views import View, iso
from trunkline.api.answers import Answer, json_answer
from trunkline.domain import routing
from trunkline.domain.address import parse_recipient, parse_sender
from trunkline.domain.carrier import Route
from trunkline.domain.errors import Refusal
from trunkline.domain.routing import Considered
from trunkline.flows import routes
from trunkline.flows.routes import Wish


async def list_routes(ask: Ask) -> Answer:
    """Answer with all routes, by their order."""
    found = await routes.listed(ask.platform)
    return json_answer({"routes": [_route_view(route) for route in found]})


async def add_route(ask: Ask) -> Answer:
    """Make a route to Carrier with any conditions."""
    return json_answer(_route_view(await routes.add(ask.platform, _wish(ask))), status=201)


async def show_route(ask: Ask) -> Answer:
    """Answer with a route."""
    route = await routes.find(ask.platform, ask.path("sid"))
    if route is None:
        raise Refusal(20404)
    return json_answer(_route_view(route))


async def change_route(ask: Ask) -> Answer:
    """Change what is given of a route; an empty condition holds for all."""
    route = await routes.change(ask.platform, ask.path("sid"), _wish(ask))
    return json_answer(_route_view(route))


async def remove_route(ask: Ask) -> Answer:
    """Forget a route."""
    await routes.remove(ask.platform, ask.path("sid"))
    return Answer(204)


async def explain_routes(ask: Ask) -> Answer:
    """Answer with every route and what it would make of a message from From to To."""
    query = ask.request.query_params
    recipient, sender = parse_recipient(query.get("To", "")), parse_sender(query.get("From", ""))
    if recipient is None:
        raise Refusal(21211, number=query.get("To", ""))
    if sender is None:
        raise Refusal(21212, number=query.get("From", ""))
    wanted = routing.Ask(
        account_sid=await ask.account_sid(query.get("Account")),
        sender=sender.text,
        recipient=recipient.text,
        channel=routes.channel(query.get("Channel", "")),
    )
    found = routes.explain(ask.platform, wanted)
    chosen = next((each.route for each in found if each.rank == 1), None)
    return json_answer(
        {
            "from": sender.text,
            "to": recipient.text,
            "carrier": None if chosen is None else chosen.carrier,
            "routes": [_considered_view(each) for each in found],
        }
    )


def _wish(ask: Ask) -> Wish:
    return Wish(
        carrier=ask.value("Carrier"),
        prefix=ask.value("Prefix"),
        country=ask.value("Country"),
        sender=ask.value("Sender"),
        sender_type=ask.value("SenderType"),
        channel=ask.value("Channel"),
        for_account=ask.value("Account"),
        order=ask.value("Order"),
        weight=ask.value("Weight"),
        price=ask.value("Price"),
        priority=ask.value("Priority"),
    )


def _route_view(route: Route) -> View:
    return {
        "sid": route.sid,
        "carrier": route.carrier,
        "prefix": route.prefix,
        "country": route.country,
        "sender": route.sender,
        "sender_type": route.sender_type,
        "channel": route.channel,
        "account": route.for_account,
        "order": route.order,
        "weight": route.weight,
        "price": None if route.price is None else f"{route.price:f}",
        "priority": route.priority,
        "created_at": iso(route.created_at),
        "updated_at": iso(route.updated_at),
    }


def _considered_view(considered: Considered) -> View:
    return {
        "route": _route_view(considered.route),
        "is_match": considered.is_match,
        "rank": considered.rank,
        "why": considered.why,
    }
