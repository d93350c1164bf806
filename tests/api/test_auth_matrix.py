"""Everybody at every operation of every account: who is let in, who is turned away, and how."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness import Response, Trunkline
from trunkline.api.resource import Route
from trunkline.api.resources import RESOURCES

ROUTES = [route for resource in RESOURCES for route in resource.routes()]
STRANGER = "AC" + "0" * 32
ACCOUNTS = ("main", "shop", "bar", "suspended", "closed", "stranger")
# Of the main account, which owns the others: it reaches all that there are.
REACH = {"main": {*ACCOUNTS} - {"stranger"}, "shop": {"shop"}, "suspended": {"suspended"}}


@dataclass(frozen=True)
class Caller:
    """Somebody with credentials: whose, by a key or by the token, and whether they prove it."""

    account: str
    by_key: bool = False
    proves: bool = True
    spoil: str = ""


CALLERS = [
    Caller("main"),
    Caller("main", by_key=True),
    Caller("shop"),
    Caller("shop", by_key=True),
    Caller("suspended"),
    Caller("suspended", by_key=True),
    Caller("closed", proves=False),
    Caller("closed", by_key=True, proves=False),
    Caller("main", proves=False, spoil="secret"),
    Caller("main", by_key=True, proves=False, spoil="secret"),
    Caller("main", proves=False, spoil="other's secret"),
    Caller("main", by_key=True, proves=False, spoil="other's secret"),
    Caller("shop", by_key=True, proves=False, spoil="deleted"),
    Caller("shop", by_key=True, proves=False, spoil="account's name"),
]


@dataclass
class World:
    """Accounts in every state, by name: their SIDs, tokens and keys."""

    program: Trunkline
    sids: dict[str, str]
    tokens: dict[str, str]
    keys: dict[str, tuple[str, str]]

    async def credentials(self, caller: Caller) -> tuple[str, str]:
        """Return what a caller says, spoilt where he proves nothing by it."""
        whose = caller.account
        token = self.sids[whose], self.tokens[whose]
        pair = self.keys[whose] if caller.by_key else token
        other = self.keys["bar"][1] if caller.by_key else self.tokens["bar"]
        match caller.spoil:
            case "secret":
                return pair[0], pair[1][::-1]
            case "other's secret":
                return pair[0], other
            case "account's name":
                return self.sids[whose], pair[1]
            case "deleted":
                path = f"/2010-04-01/Accounts/{self.sids[whose]}/Keys/{pair[0]}.json"
                deleted = await self.program.request("DELETE", path, auth=token)
                assert deleted.status == 204
        return pair

    async def ask(self, route: Route, account: str, *, auth: tuple[str, str]) -> Response:
        """Call an operation of an account."""
        named = dict.fromkeys(route.names, "US") | {route.resource.account: self.sids[account]}
        return await self.program.request(
            route.method, route.path.format_map(named) + ".json", auth=auth
        )


async def made(program: Trunkline) -> World:
    """Make an account for every name, each with a key; then suspend and close two of them."""
    world = World(program, {"stranger": STRANGER}, {}, {})
    world.sids["main"], world.tokens["main"] = program.account_sid, program.auth_token
    for name in ("shop", "bar", "suspended", "closed"):
        account = (await program.request("POST", "/2010-04-01/Accounts.json", {})).json
        world.sids[name], world.tokens[name] = account["sid"], account["auth_token"]
    for name in world.tokens:
        path = f"/2010-04-01/Accounts/{world.sids[name]}"
        key = (await program.request("POST", f"{path}/Keys.json", {})).json
        world.keys[name] = key["sid"], key["secret"]
        if name in ("suspended", "closed"):
            assert (await program.request("POST", f"{path}.json", {"Status": name})).status == 200
    return world


def expected(caller: Caller, route: Route, account: str) -> tuple[int, int] | None:
    """Return the status and the code of what turns a caller away, or None."""
    reached = account in REACH.get(caller.account, ())
    if not caller.proves or (caller.by_key and not route.resource.open_to_keys) or not reached:
        return 401, 20003
    # Its owner can wake a suspended account; a closed one is closed for ever.
    can_wake = route.resource.open_when_inactive and account != "closed"
    is_locked = account in ("suspended", "closed") and route.method != "GET" and not can_wake
    if caller.account == "suspended" or is_locked:
        return 403, 20005
    return None


@pytest.mark.parametrize("caller", CALLERS, ids=str)
async def test_who_may_do_what(trunkline: Trunkline, caller: Caller) -> None:
    """At every operation of every account; what turns somebody away is always the same."""
    world = await made(trunkline)
    auth = await world.credentials(caller)
    for route in ROUTES:
        for account in ACCOUNTS:
            own = route.resource.account not in route.names
            name = f"{route.method} {route.path} of {account}"
            answer = await world.ask(route, account, auth=auth)
            wanted = expected(caller, route, caller.account if own else account)
            if wanted is None:
                assert answer.status < 400 or answer.json["code"] not in (20003, 20005), name
            else:
                assert (answer.status, answer.json["code"]) == wanted, name


async def test_an_answer_to_the_unproven_tells_nothing(trunkline: Trunkline) -> None:
    """It is the same whether the account, the key or the resource is there or not."""
    world = await made(trunkline)
    bodies = set()
    for caller in (c for c in CALLERS if not c.proves):
        auth = await world.credentials(caller)
        for route in ROUTES:
            for account in ACCOUNTS:
                bodies.add((await world.ask(route, account, auth=auth)).body)
    assert len(bodies) == 1


def test_the_callers_stand_for_every_state() -> None:
    """Nobody was forgotten."""
    named: set[Any] = {(c.account, c.by_key) for c in CALLERS}
    assert {(a, k) for a in ("main", "shop", "suspended", "closed") for k in (False, True)} == named
