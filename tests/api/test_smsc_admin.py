"""Credentials of SMPP clients over the admin API: made, shown without secrets, changed, removed."""

from collections.abc import Sequence

import pytest

from tests.harness import Response, Trunkline
from trunkline.flows.customers import BindTrouble, sign_in

PATH = "/trunkline/v1/smpp-credentials"
Form = Sequence[tuple[str, str]]


async def add(trunkline: Trunkline, *more: tuple[str, str]) -> Response:
    """Add a customer with one address."""
    form = [("SystemId", "acme"), ("Address", "(415) 555-0100"), *more]
    return await trunkline.request("POST", PATH, form)


async def may_bind(trunkline: Trunkline, password: str) -> bool:
    """Tell whether the customer may bind from this machine."""
    found = await sign_in(trunkline.app.platform, "acme", password, host="127.0.0.1")
    return not isinstance(found, BindTrouble)


async def test_a_credential_is_made_and_its_password_told_once(trunkline: Trunkline) -> None:
    """Its addresses are written as messages have them; the password is made up."""
    made = await add(trunkline, ("Address", "ACME"), ("PerSecondMax", "30"))
    assert made.status == 201, made.body
    password = made.json["password"]
    assert len(password) == 8
    assert made.json["addresses"] == ["+14155550100", "ACME"]
    assert (made.json["binds_max"], made.json["per_second_max"]) == (4, 30)
    assert made.json["account_sid"] == trunkline.account_sid
    assert await may_bind(trunkline, password)
    shown = await trunkline.request("GET", f"{PATH}/acme")
    listed = await trunkline.request("GET", PATH)
    (only,) = listed.json["smpp_credentials"]
    assert only == {**shown.json, "waiting": 0}
    assert "password" not in shown.json
    assert password.encode() not in listed.body


async def test_a_credential_is_changed_and_removed(trunkline: Trunkline) -> None:
    """What is not given stays; an empty list empties it."""
    await add(trunkline, ("Password", "first"), ("AllowedHost", "192.0.2.1"))
    assert not await may_bind(trunkline, "first")
    form = {"Password": "second", "AllowedHost": "", "BindsMax": "2"}
    changed = await trunkline.request("POST", f"{PATH}/acme", form)
    assert (changed.status, changed.json["allowed_hosts"]) == (200, [])
    assert (changed.json["binds_max"], changed.json["addresses"]) == (2, ["+14155550100"])
    assert await may_bind(trunkline, "second")
    await trunkline.request("POST", f"{PATH}/acme", {"Enabled": "false"})
    assert not await may_bind(trunkline, "second")
    assert (await trunkline.request("DELETE", f"{PATH}/acme")).status == 204
    gone = await trunkline.request("GET", f"{PATH}/acme")
    assert (gone.status, gone.json["code"]) == (404, 20404)


WRONG: dict[str, tuple[Form, int]] = {
    "a system_id that is too long": ([("SystemId", "x" * 16), ("Simulator", "true")], 20422),
    "a system_id with a space": ([("SystemId", "a b"), ("Simulator", "true")], 20422),
    "no system_id": ([("Simulator", "true")], 20422),
    "no address": ([("SystemId", "a")], 20422),
    "a password with a space": ([("SystemId", "a"), ("Password", " "), ("Simulator", "1")], 20422),
    "an address that is none": ([("SystemId", "a"), ("Address", "!")], 20422),
    "an address of a channel": ([("SystemId", "a"), ("Address", "whatsapp:+14155550100")], 20422),
    "a host that is none": (
        [("SystemId", "a"), ("Simulator", "true"), ("AllowedHost", "example")],
        20422,
    ),
    "no binds": ([("SystemId", "a"), ("Simulator", "true"), ("BindsMax", "0")], 20422),
    "a speed that is none": (
        [("SystemId", "a"), ("Simulator", "true"), ("PerSecondMax", "fast")],
        20422,
    ),
    "an unknown account": (
        [("SystemId", "a"), ("Simulator", "true"), ("Account", "AC" + "0" * 32)],
        20404,
    ),
    "a system_id in use": ([("SystemId", "acme"), ("Simulator", "true")], 20409),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_cannot_be_is_refused(trunkline: Trunkline, name: str) -> None:
    """With the parameter's name, and nothing is made."""
    await add(trunkline)
    form, code = WRONG[name]
    answer = await trunkline.request("POST", PATH, form)
    assert answer.json["code"] == code, answer.body
    listed = await trunkline.request("GET", PATH)
    assert len(listed.json["smpp_credentials"]) == 1


async def test_only_the_main_account_may_ask(trunkline: Trunkline) -> None:
    """Whoever may bind is the operator's business."""
    for method, path in (("GET", PATH), ("POST", PATH), ("DELETE", f"{PATH}/acme")):
        answer = await trunkline.request(method, path, auth=("AC" + "0" * 32, "wrong"))
        assert answer.status == 401
