"""Routes over the admin API: which message leaves by which carrier, and why."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.harness import NOON, Response, Trunkline
from trunkline.carriers.simulated import SimulatedCarrier
from trunkline.store.tables import messages

ADA = "+15558675310"
LONDON = "+447400123456"


async def call(trunkline: Trunkline, method: str, path: str, form: Any = None) -> Response:
    """Make a request to the admin API."""
    return await trunkline.request(method, f"/trunkline/v1{path}", form)


async def add_carrier(trunkline: Trunkline, name: str, *settings: str) -> None:
    """Make another way to the simulated phones, and wait until it works."""
    form = [("Name", name), ("Type", "simulated"), *(("Set", pair) for pair in settings)]
    assert (await call(trunkline, "POST", "/carriers", form)).status == 201
    await trunkline.run_for(0)


async def add_route(trunkline: Trunkline, **form: str) -> Any:
    """Make a route and return it."""
    answer = await call(trunkline, "POST", "/routes", form)
    assert answer.status == 201, answer.body
    return answer.json


async def explain(trunkline: Trunkline, **query: str) -> Any:
    """Ask what becomes of a message."""
    wanted = {"To": ADA, "From": trunkline.number, **query}
    answer = await call(trunkline, "GET", "/routes/explain", wanted)
    assert answer.status == 200, answer.body
    return answer.json


async def carrier_of(trunkline: Trunkline, to: str = ADA) -> str:
    """Send a message and return the carrier that takes it."""
    sid = (await trunkline.send(to)).json["sid"]
    row = await trunkline.app.store.read(
        lambda db: db.execute(select(messages.c.carrier).where(messages.c.sid == sid)).one()
    )
    return str(row.carrier)


def refusal_of(answer: Response) -> tuple[int, str]:
    """Return the code and the text of an error."""
    return answer.json["code"], answer.json["message"]


async def test_a_first_start_routes_everything_to_the_phones(trunkline: Trunkline) -> None:
    """One route without conditions stands behind all that will be made."""
    (route,) = (await call(trunkline, "GET", "/routes")).json["routes"]
    assert (route["carrier"], route["order"], route["prefix"]) == ("simulated", 1000, "")
    assert (await call(trunkline, "GET", f"/routes/{route['sid']}")).json == route
    assert (await explain(trunkline))["carrier"] == "simulated"


@pytest.mark.parametrize("prefix", ["+1415", "1415", "+1 415", "1 (415)", " 1-415 "])
async def test_a_prefix_may_be_written_as_people_do(trunkline: Trunkline, prefix: str) -> None:
    """It is kept as a plus and digits."""
    assert (await add_route(trunkline, Carrier="simulated", Prefix=prefix))["prefix"] == "+1415"


async def test_a_route_keeps_its_conditions(trunkline: Trunkline) -> None:
    """Each is brought into the form in which it is compared; what is not said has its default."""
    route = await add_route(
        trunkline,
        Carrier="simulated",
        Country="gb",
        Sender="+1 415 555 0100",
        SenderType="long-code",
        Channel="SMS",
        Account=trunkline.account_sid,
        Order="5",
        Weight="0",
        Price="0.00750",
        Priority="3",
    )
    assert route["sid"].startswith("RX")
    assert {name: route[name] for name in route if name not in ("sid", "created_at")} == {
        "carrier": "simulated",
        "prefix": "",
        "country": "GB",
        "sender": "+14155550100",
        "sender_type": "long_code",
        "channel": "sms",
        "account": trunkline.account_sid,
        "order": 5,
        "weight": 0,
        "price": "0.00750",
        "priority": 3,
        "updated_at": "2026-11-20T12:00:00Z",
    }
    plain = await add_route(trunkline, Carrier="simulated", Sender="ACME*")
    assert plain["sender"] == "ACME*"
    assert (plain["order"], plain["weight"], plain["price"], plain["priority"]) == (100, 1, None, 0)
    listed = (await call(trunkline, "GET", "/routes")).json["routes"]
    assert [each["order"] for each in listed] == [5, 100, 1000]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Carrier", "nobody"),
        ("Carrier", ""),
        ("Prefix", "+0"),
        ("Prefix", "+1415x"),
        ("Prefix", "1" * 16),
        ("Country", "USA"),
        ("Country", "ZZ"),
        ("Sender", "a name that is too long"),
        ("Sender", "**"),
        ("SenderType", "pigeon"),
        ("Channel", "fax"),
        ("Account", "AC" + "0" * 32),
        ("Order", "-1"),
        ("Order", "1000001"),
        ("Order", "٣"),
        ("Weight", "1.5"),
        ("Weight", "1001"),
        ("Price", "NaN"),
        ("Price", "-1"),
        ("Priority", "4"),
    ],
)
async def test_what_a_route_cannot_be_is_refused(
    trunkline: Trunkline, name: str, value: str
) -> None:
    """The answer names the parameter, for a new route and for an old one, and nothing changes."""
    (before,) = (await call(trunkline, "GET", "/routes")).json["routes"]
    form = {"Carrier": "simulated", name: value}
    for path in ("/routes", f"/routes/{before['sid']}"):
        code, text = refusal_of(await call(trunkline, "POST", path, form))
        assert (code, f"`{name}`" in text) == (20422, True)
    assert (await call(trunkline, "GET", "/routes")).json["routes"] == [before]


async def test_messages_take_the_route_that_fits(trunkline: Trunkline) -> None:
    """From the moment that it is made, changed or removed."""
    await add_carrier(trunkline, "b")
    assert await carrier_of(trunkline) == "simulated"
    route = await add_route(trunkline, Carrier="b", Prefix="+1555")
    assert await carrier_of(trunkline) == "b"
    assert await carrier_of(trunkline, to=LONDON) == "simulated"
    changed = await call(trunkline, "POST", f"/routes/{route['sid']}", {"Prefix": "+44"})
    assert (changed.json["prefix"], changed.json["carrier"]) == ("+44", "b")
    assert await carrier_of(trunkline) == "simulated"
    assert await carrier_of(trunkline, to=LONDON) == "b"
    await call(trunkline, "POST", f"/routes/{route['sid']}", {"Prefix": "", "Order": ""})
    assert await carrier_of(trunkline) == "b"
    assert (await call(trunkline, "DELETE", f"/routes/{route['sid']}")).status == 204
    assert await carrier_of(trunkline) == "simulated"


async def test_without_a_route_a_message_is_refused(trunkline: Trunkline) -> None:
    """The refusal is Twilio's for what cannot be reached; explaining says as much."""
    (route,) = (await call(trunkline, "GET", "/routes")).json["routes"]
    await call(trunkline, "DELETE", f"/routes/{route['sid']}")
    assert refusal_of(await trunkline.send())[0] == 21612
    assert await explain(trunkline) == {
        "from": trunkline.number,
        "to": ADA,
        "carrier": None,
        "routes": [],
    }


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_stranger_is_not_found(trunkline: Trunkline, method: str) -> None:
    """No route is made or lost by a wrong SID."""
    answer = await call(trunkline, method, "/routes/RX" + "0" * 32, {})
    assert (answer.status, refusal_of(answer)[0]) == (404, 20404)


async def test_every_route_is_explained(trunkline: Trunkline) -> None:
    """The chosen one first, then why the others are behind it or do not match."""
    await add_carrier(trunkline, "b")
    narrow = await add_route(trunkline, Carrier="b", Prefix="+1555")
    wide = await add_route(trunkline, Carrier="simulated", Prefix="+1")
    abroad = await add_route(trunkline, Carrier="b", Country="GB")
    answer = await explain(trunkline)
    assert answer["carrier"] == "b"
    found = {each["route"]["sid"]: each for each in answer["routes"]}
    assert next(iter(found)) == narrow["sid"]
    assert [each["rank"] for each in answer["routes"]] == [1, 2, 3, None]
    assert "shorter than +1555" in found[wide["sid"]]["why"]
    assert not found[abroad["sid"]]["is_match"]
    assert "country is US, not GB" in found[abroad["sid"]]["why"]


async def test_the_channel_and_the_account_are_part_of_the_question(trunkline: Trunkline) -> None:
    """A route for one of them takes only what is of it."""
    await add_carrier(trunkline, "b")
    await add_carrier(trunkline, "c")
    await add_route(trunkline, Carrier="b", Channel="mms")
    await add_route(trunkline, Carrier="c", Channel="whatsapp")
    assert (await explain(trunkline))["carrier"] == "simulated"
    assert (await explain(trunkline, Channel="mms"))["carrier"] == "b"
    parties = {"To": f"whatsapp:{ADA}", "From": f"whatsapp:{trunkline.number}"}
    assert (await explain(trunkline, **parties))["carrier"] == "c"
    made = await trunkline.request("POST", "/2010-04-01/Accounts.json", {"FriendlyName": "Sub"})
    await add_route(trunkline, Carrier="c", Account=made.json["sid"])
    assert (await explain(trunkline))["carrier"] == "simulated"
    assert (await explain(trunkline, Account=made.json["sid"]))["carrier"] == "c"


async def test_a_carrier_that_is_down_is_explained(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is passed by once it has been down for too long, unless it is all there is."""
    await add_carrier(trunkline, "b", "failover_seconds=60")
    route = await add_route(trunkline, Carrier="b")
    live = trunkline.app.platform.switchboard.live["b"]
    assert isinstance(live, SimulatedCarrier)
    monkeypatch.setattr(live, "down_since", NOON - timedelta(seconds=59))
    assert (await explain(trunkline))["carrier"] == "b"
    monkeypatch.setattr(live, "down_since", NOON - timedelta(seconds=60))
    answer = await explain(trunkline)
    assert answer["carrier"] == "simulated"
    (down,) = [each for each in answer["routes"] if each["route"]["sid"] == route["sid"]]
    assert (down["is_match"], down["rank"]) == (True, None)
    assert "down for too long" in down["why"]
    await call(trunkline, "POST", "/carriers/simulated", {"State": "disabled"})
    assert (await explain(trunkline))["carrier"] == "b"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"To": ""}, 21211),
        ({"To": "nobody"}, 21211),
        ({"From": ""}, 21212),
        ({"Channel": "fax"}, 20422),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    trunkline: Trunkline, query: dict[str, str], code: int
) -> None:
    """Both addresses are needed, and a channel that there is."""
    wanted = {"To": ADA, "From": trunkline.number, **query}
    assert refusal_of(await call(trunkline, "GET", "/routes/explain", wanted))[0] == code
