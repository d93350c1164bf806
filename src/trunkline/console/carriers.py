"""The carriers: how each is doing, its connections, its traffic, and what can be tried with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.responses import Response

from trunkline.carriers.port import BindPhase, BindState, Carrier, PduSeen, Probe
from trunkline.console.holdings import first_numbers
from trunkline.console.pages import page
from trunkline.console.routes import conditions_of
from trunkline.console.visit import Visit
from trunkline.domain.carrier import CarrierAccount, CarrierState, Route
from trunkline.domain.errors import Refusal
from trunkline.flows import carriers, routes
from trunkline.flows.carriers import ShownSetting
from trunkline.store.waiting import WAITING_COUNTED_MAX, count_waiting

PDUS_LISTED_MAX = 200  # Drawn anew up to twice a second; a person reads the last few.
ROUTES_LISTED_MAX = 10  # Beside a carrier; the routes have a page of their own.
STATUS_REFUSED = 300  # The first status of HTTP that is no success.

# What the kinds of carriers are called, and what one is for.
KINDS = {
    "smpp": ("SMPP", "An SMSC that you have an account with, over SMPP 3.4."),
    "twilio": ("Twilio", "A Twilio account upstream, over its HTTP API."),
    "simulated": ("Simulated", "The phones of this console; nothing leaves this machine."),
}
# What a state means, and the name of the button that leads to it.
STATES = {
    CarrierState.ENABLED: ("Enable", "Sends and receives."),
    CarrierState.DRAINING: (
        "Drain",
        "Sends what waits for it and receives, and is given nothing new.",
    ),
    CarrierState.DISABLED: ("Disable", "Not connected; what waited for it takes other routes."),
}
_OK = "ESME_ROK"
_QUIET = ("enquire_link", "enquire_link_resp")
_PHASES = {
    BindPhase.BOUND: "is-good",
    BindPhase.CONNECTING: "is-moving",
    BindPhase.WAITING: "is-warn",
    BindPhase.CLOSED: "is-bad",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether a carrier can be used, in a word or two, and since when that is so."""

    tone: str
    words: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One carrier as the pages show it."""

    account: CarrierAccount
    kind: str
    health: Health
    binds: Sequence[BindState]
    waiting: Mapping[str, int]
    counts: Mapping[str, int]
    last_error: str
    last_receipt_at: datetime | None

    @property
    def waiting_words(self) -> str:
        """How many messages wait in all of its lanes."""
        return waiting_words(sum(self.waiting.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One PDU as the page shows it; what only keeps the connection open can be hidden."""

    key: str
    pdu: PduSeen
    status: str
    is_quiet: bool
    is_fine: bool


async def show_carriers(visit: Visit) -> Response:
    """Show every carrier."""
    visit.require_main_account()
    found = await carriers.listed(visit.platform)
    standings = [await _standing(visit, account) for account in found]
    is_alone = all(standing.account.type == "simulated" for standing in standings)
    return page(visit, "carriers.html", carriers=standings, is_alone=is_alone)


async def show_carrier(visit: Visit) -> Response:
    """Show one carrier."""
    return await _page(visit)


async def show_now(visit: Visit) -> Response:
    """Show the part of a carrier's page that changes by itself, for a page that is open."""
    standing = await _standing(visit, await chosen_carrier(visit))
    passages = draw_traffic(await carriers.pdus(visit.platform, standing.account.name))
    return page(visit, "carrier_now.html", carrier=standing, traffic=passages, phases=_PHASES)


async def change_state(visit: Visit) -> Response:
    """Enable, drain or disable a carrier."""
    account = await chosen_carrier(visit)
    state = (await visit.form()).get("state", "")
    try:
        await carriers.change(visit.platform, account.name, state=state)
    except Refusal as refusal:
        shown = await _page(visit, mistakes={"": refusal.message})
        return visit.declined(refusal.message, page=shown)
    return visit.done(f"/carriers/{account.name}")


async def try_connection(visit: Visit) -> Response:
    """Try the connection, and show the page with what came of it."""
    account = await chosen_carrier(visit)
    return await _page(visit, probe=await carriers.probe(visit.platform, account.name))


async def send_test_message(visit: Visit) -> Response:
    """Send a message through a carrier, whatever the routes say, and show its trace."""
    account = await chosen_carrier(visit)
    form = await visit.form()
    try:
        message = await carriers.send_test(
            visit.platform,
            account.name,
            sender=form.get("from", "").strip(),
            recipient=form.get("to", "").strip(),
            body=form.get("body", ""),
        )
    except Refusal as refusal:
        shown = await _page(visit, mistakes={"test": refusal.message}, typed=form)
        return visit.declined(refusal.message, page=shown)
    return visit.done(f"/messages/{message.sid}")


async def chosen_carrier(visit: Visit) -> CarrierAccount:
    """Return the carrier that the path names, or answer 404."""
    visit.require_main_account()
    account = await carriers.find(visit.platform, visit.request.path_params["name"])
    if account is None:
        raise HTTPException(404, "There is no such carrier.")
    return account


def kind_label(carrier_type: str) -> str:
    """Return what people call a type of carrier."""
    return KINDS.get(carrier_type, (carrier_type, ""))[0]


def waiting_words(count: int) -> str:
    """Return how many wait, as far as they were counted."""
    return f"{count:,}" + ("+" if count >= WAITING_COUNTED_MAX else "")


def health_of(account: CarrierAccount, live: Carrier | None) -> Health:
    """Say how a carrier does; one that is not at work may still be opening, or cannot be."""
    if account.state is CarrierState.DISABLED:
        return Health(tone="", words="Not connected", since=account.updated_at)
    if live is None:
        return Health(tone="is-warn", words="Not at work")
    binds = live.binds()
    bound = [bind.since for bind in binds if bind.phase is BindPhase.BOUND]
    if not bound:
        return Health(tone="is-bad", words="Down", since=live.down_since)
    words = f"{len(bound)} of {len(binds)} connections up" if len(binds) > 1 else "Up"
    tone = "is-good" if len(bound) == len(binds) and live.down_since is None else "is-warn"
    return Health(tone=tone, words=words, since=max(bound))


def draw_traffic(pdus: Sequence[PduSeen]) -> list[Passage]:
    """Return the last PDUs, oldest first, each with a key that it keeps."""
    keys: dict[str, int] = {}
    passages: list[Passage] = []
    for pdu in pdus[-PDUS_LISTED_MAX:]:
        way = "out" if pdu.is_outgoing else "in"
        key = f"{pdu.at.isoformat()}-{pdu.lane}-{way}-{pdu.sequence_number}-{pdu.name}"
        keys[key] = keys.get(key, 0) + 1
        passages.append(
            Passage(
                key=f"{key}-{keys[key]}",
                pdu=pdu,
                status=_status(pdu),
                is_quiet=pdu.name in _QUIET,
                is_fine=_is_fine(pdu.status),
            )
        )
    return passages


def _status(pdu: PduSeen) -> str:
    """Return the status of an answer; that of a request is always the same and tells nothing."""
    return "" if pdu.status == _OK and not pdu.name.endswith("_resp") else pdu.status


def _is_fine(status: str) -> bool:
    """Tell whether a status, of HTTP or of SMPP, is a success; requests have none."""
    if status.isdigit():
        return int(status) < STATUS_REFUSED
    return status in ("", _OK)


async def _standing(visit: Visit, account: CarrierAccount) -> Standing:
    live = visit.platform.switchboard.live.get(account.name)
    binds = () if live is None else live.binds()
    receipts = [bind.last_receipt_at for bind in binds if bind.last_receipt_at is not None]
    errors = [bind.last_error for bind in binds if bind.last_error]
    return Standing(
        account=account,
        kind=kind_label(account.type),
        health=health_of(account, live),
        binds=binds,
        waiting=await visit.platform.store.read(lambda db: count_waiting(db, account.name)),
        counts=_counts(binds),
        last_error=errors[0] if errors else "",
        last_receipt_at=max(receipts, default=None),
    )


def _counts(binds: Sequence[BindState]) -> dict[str, int]:
    return {
        "Submitted": sum(bind.submitted for bind in binds),
        "Taken": sum(bind.taken for bind in binds),
        "Refused": sum(bind.refused for bind in binds),
        "Throttled": sum(bind.throttled for bind in binds),
        "In doubt": sum(bind.in_doubt for bind in binds),
        "Receipts": sum(bind.receipts for bind in binds),
        "Texts": sum(bind.texts for bind in binds),
        "Errors": sum(bind.errors for bind in binds),
    }


async def _page(
    visit: Visit,
    *,
    mistakes: Mapping[str, str] | None = None,
    typed: Mapping[str, str] | None = None,
    probe: Probe | None = None,
) -> Response:
    account = await chosen_carrier(visit)
    standing = await _standing(visit, account)
    leading = _leading_here(await routes.listed(visit.platform), account.name)
    return page(
        visit,
        "carrier.html",
        status_code=400 if mistakes else 200,
        carrier=standing,
        traffic=draw_traffic(await carriers.pdus(visit.platform, account.name)),
        phases=_PHASES,
        states=STATES,
        told=_told(carriers.shown_settings(visit.platform, account)),
        routes=leading[:ROUTES_LISTED_MAX],
        more_routes=len(leading) - ROUTES_LISTED_MAX,
        conditions=conditions_of,
        numbers=await first_numbers(visit),
        mistakes=mistakes or {},
        typed=typed or {},
        probe=probe,
    )


def _leading_here(found: Sequence[Route], name: str) -> list[Route]:
    return [route for route in found if route.carrier == name]


def _told(shown: Sequence[ShownSetting]) -> list[ShownSetting]:
    """Return the settings that somebody made; the rest are defaults."""
    return [each for each in shown if each.is_set]
