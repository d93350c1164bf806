"""Carriers and one's own numbers over the admin API: what is kept, shown and refused."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from docs.generate import CARRIER_TYPES
from tests.databases import DATABASES
from tests.harness import NOON, Response, Trunkline
from trunkline.carriers.port import (
    Answered,
    BindPhase,
    BindState,
    Deferred,
    Handler,
    MaySend,
    PduSeen,
    Probe,
    Sharing,
    Submission,
    SubmitResult,
)
from trunkline.domain.carrier import Setting
from trunkline.domain.errors import Refusal
from trunkline.flows import carriers
from trunkline.flows.carriers import MASK
from trunkline.store.strays import Stray, insert_strays
from trunkline.store.tables import records

ADA = "+15558675310"
SECRET = "open sesame"


class Scripted:
    """A connector and its carrier in one: takes nothing, and is as well as a test says."""

    name = "acme"
    lanes: Sequence[int] = (0,)
    sharing = Sharing.LANES
    is_called = False
    takes_media = True
    settings = (
        Setting(
            name="host", meaning="Where.", must="a name", default="", is_good=lambda t: " " not in t
        ),
        Setting(
            name="password",
            meaning="The word.",
            must="short",
            default="",
            is_good=lambda t: len(t) < 20,
            is_secret=True,
        ),
    )

    def __init__(self) -> None:
        self.down_since: datetime | None = None
        self.opened_with: Mapping[str, str] = {}
        self.answer = asyncio.Event()
        self.answer.set()
        self.found = Probe(is_good=True, detail="bound", milliseconds=3.5)

    def check(self, settings: Mapping[str, str]) -> None:
        """Refuse a password without a host."""
        if settings["password"] and not settings["host"]:
            raise Refusal(20422, name="`host`", reason="is needed")

    def open(
        self,
        name: str,
        settings: Mapping[str, str],
        *,
        lanes: Sequence[int],
        changed: Callable[[], None],
        may_send: MaySend,
    ) -> "Scripted":
        """Remember what it was opened with."""
        self.opened_with = settings
        return self

    async def run(self, handle: Handler) -> None:
        """Stay until cancelled."""
        await asyncio.Event().wait()

    def take_lane(self, lane: int) -> None:
        """Work on one more lane."""
        self.lanes = (*self.lanes, lane)

    async def leave_lane(self, lane: int) -> None:
        """Work on a lane no more."""
        self.lanes = tuple(each for each in self.lanes if each != lane)

    def room(self, lane: int) -> int:
        """Have none."""
        return 0

    def capacity(self, lane: int) -> int:
        """Have none."""
        return 0

    async def submit(
        self, lane: int, batch: Sequence[Submission], *, answered: Answered | None = None
    ) -> Sequence[SubmitResult]:
        """Take nothing."""
        return [Deferred(60) for _ in batch]

    def binds(self) -> Sequence[BindState]:
        """Return one that is bound and one that waits."""
        return [
            BindState(lane=n, kind="transceiver", phase=phase, since=NOON, window_max=10)
            for n, phase in enumerate((BindPhase.BOUND, BindPhase.WAITING))
        ]

    def pdus(self) -> Sequence[PduSeen]:
        """Return one."""
        seen = PduSeen(
            at=NOON, lane=0, is_outgoing=True, name="bind_transceiver", fields={"system_id": "me"}
        )
        return [seen]

    async def probe(self) -> Probe:
        """Answer when the test lets it."""
        await self.answer.wait()
        return self.found


@pytest.fixture
def scripted(trunkline: Trunkline) -> Scripted:
    """Give the program a type of carrier that has a secret."""
    connector = Scripted()
    switchboard = trunkline.app.platform.switchboard
    switchboard.connectors = {**switchboard.connectors, "scripted": connector}
    return connector


async def call(trunkline: Trunkline, method: str, path: str, form: Any = None) -> Response:
    """Make a request to the admin API."""
    return await trunkline.request(method, f"/trunkline/v1{path}", form)


async def add_acme(trunkline: Trunkline, *settings: str, **more: str) -> Response:
    """Make the carrier acme of the scripted type."""
    form = [("Name", "acme"), ("Type", "scripted"), *(("Set", pair) for pair in settings)]
    return await call(trunkline, "POST", "/carriers", form + list(more.items()))


def settings_of(answer: Response) -> dict[str, Any]:
    """Return the settings in an answer by their names."""
    return {setting["name"]: setting for setting in answer.json["settings"]}


def refusal_of(answer: Response) -> tuple[int, str]:
    """Return the code and the text of an error."""
    return answer.json["code"], answer.json["message"]


async def test_a_first_start_has_the_simulated_carrier(trunkline: Trunkline) -> None:
    """It is there, enabled and connected, before anybody set anything."""
    await trunkline.run_for(0)
    (carrier,) = (await call(trunkline, "GET", "/carriers")).json["carriers"]
    assert carrier["name"] == carrier["type"] == "simulated"
    assert (carrier["state"], carrier["down_since"]) == ("enabled", None)
    assert (carrier["connections"], carrier["bound"]) == (1, 1)


async def test_a_carrier_keeps_what_is_set(trunkline: Trunkline, scripted: Scripted) -> None:
    """Settings of its type and those that all have; what is not set has its default."""
    made = await add_acme(trunkline, "host=smsc.example", "lanes=3", "sender_rates=long_code=1")
    assert made.status == 201
    assert made.json["sid"].startswith("CX")
    for answer in (made, await call(trunkline, "GET", "/carriers/acme")):
        settings = settings_of(answer)
        assert set(settings) >= {"host", "password", "lanes", "in_doubt", "failover_seconds"}
        assert (settings["host"]["value"], settings["host"]["is_set"]) == ("smsc.example", True)
        assert settings["lanes"]["value"] == "3"
        # Only the first = parts the name from the value.
        assert settings["sender_rates"]["value"] == "long_code=1"
        assert (settings["in_doubt"]["value"], settings["in_doubt"]["is_set"]) == (
            "resubmit",
            False,
        )
    assert trunkline.app.platform.switchboard.policy("acme").lanes == 3


async def test_a_secret_is_sealed_and_masked(trunkline: Trunkline, scripted: Scripted) -> None:
    """It is in no answer and not in the database; the connector gets it in clear."""
    made = await add_acme(trunkline, "host=smsc.example", f"password={SECRET}")
    fetched = await call(trunkline, "GET", "/carriers/acme")
    for answer in (made, fetched):
        assert settings_of(answer)["password"]["value"] == MASK
        assert SECRET.encode() not in answer.body
    await trunkline.run_for(0)
    assert scripted.opened_with["password"] == SECRET
    with DATABASES.connected(trunkline.config.data_dir) as db:
        docs = db.execute(select(records.c.doc).where(records.c.kind == "carrier")).all()
    assert len(docs) == 2
    assert not any(SECRET in str(doc) for doc in docs)
    gone = await call(trunkline, "POST", "/carriers/acme", {"Set": "password="})
    assert settings_of(gone)["password"]["value"] == ""


async def test_an_empty_value_is_the_default(trunkline: Trunkline, scripted: Scripted) -> None:
    """A change touches what it names and nothing else."""
    await add_acme(trunkline, "host=smsc.example", "lanes=3")
    changed = await call(trunkline, "POST", "/carriers/acme", {"Set": "lanes="})
    settings = settings_of(changed)
    assert (settings["lanes"]["value"], settings["lanes"]["is_set"]) == ("1", False)
    assert settings["host"]["value"] == "smsc.example"


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ([("Name", ""), ("Type", "scripted")], "`Name`"),
        ([("Name", "a/0"), ("Type", "scripted")], "`Name`"),
        ([("Name", "x" * 41), ("Type", "scripted")], "`Name`"),
        ([("Name", "b"), ("Type", "pigeon")], "`Type`"),
        ([("Name", "b"), ("Type", "scripted"), ("State", "asleep")], "`State`"),
        ([("Name", "b"), ("Type", "scripted"), ("Set", "host")], "`Set`"),
        ([("Name", "b"), ("Type", "scripted"), ("Set", "colour=red")], "`colour`"),
        ([("Name", "b"), ("Type", "scripted"), ("Set", "colour=")], "`colour`"),
        ([("Name", "b"), ("Type", "scripted"), ("Set", "host=two words")], "`host`"),
        ([("Name", "b"), ("Type", "scripted"), ("Set", "lanes=0")], "`lanes`"),
        ([("Name", "b"), ("Type", "scripted"), ("Set", "password=x")], "`host`"),
    ],
)
async def test_what_a_carrier_cannot_be_is_refused(
    trunkline: Trunkline, scripted: Scripted, form: list[tuple[str, str]], named: str
) -> None:
    """The answer names what is wrong, and nothing is kept."""
    answer = await call(trunkline, "POST", "/carriers", form)
    code, text = refusal_of(answer)
    assert code == 20422
    assert named in text
    assert len((await call(trunkline, "GET", "/carriers")).json["carriers"]) == 1


async def test_settings_are_checked_together_when_they_change(
    trunkline: Trunkline, scripted: Scripted
) -> None:
    """What the rest needs cannot be taken away, and a refused change changes nothing."""
    await add_acme(trunkline, "host=smsc.example", f"password={SECRET}")
    form = [("Set", "host="), ("Set", "lanes=2")]
    assert "`host`" in refusal_of(await call(trunkline, "POST", "/carriers/acme", form))[1]
    assert settings_of(await call(trunkline, "GET", "/carriers/acme"))["lanes"]["value"] == "1"


async def test_a_name_is_taken_once(trunkline: Trunkline, scripted: Scripted) -> None:
    """A second carrier of the name is a conflict."""
    assert (await add_acme(trunkline)).status == 201
    answer = await add_acme(trunkline)
    assert (answer.status, refusal_of(answer)[0]) == (409, 20409)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/carriers/nobody"),
        ("POST", "/carriers/nobody"),
        ("DELETE", "/carriers/nobody"),
        ("POST", "/carriers/nobody/test"),
        ("GET", "/carriers/nobody/binds"),
        ("GET", "/carriers/nobody/pdus"),
    ],
)
async def test_a_stranger_is_not_found(trunkline: Trunkline, method: str, path: str) -> None:
    """The answer names the path."""
    answer = await call(trunkline, method, path, {})
    assert (answer.status, refusal_of(answer)[0]) == (404, 20404)
    assert path in refusal_of(answer)[1]


async def test_states_open_and_close_a_carrier(trunkline: Trunkline, scripted: Scripted) -> None:
    """A disabled one has no connections, and one that drains keeps them."""
    await add_acme(trunkline, State="disabled")
    for state, connections in (("disabled", 0), ("enabled", 2), ("draining", 2), ("disabled", 0)):
        answer = await call(trunkline, "POST", "/carriers/acme", {"State": state})
        assert answer.json["state"] == state
        await trunkline.run_for(0)
        shown = (await call(trunkline, "GET", "/carriers/acme")).json
        assert (shown["connections"], len(shown["binds"])) == (connections, connections)


async def test_connections_and_pdus_are_shown(trunkline: Trunkline, scripted: Scripted) -> None:
    """Times are ISO 8601, directions are words."""
    await add_acme(trunkline)
    await trunkline.run_for(0)
    shown = (await call(trunkline, "GET", "/carriers/acme")).json
    assert (shown["connections"], shown["bound"]) == (2, 1)
    binds = (await call(trunkline, "GET", "/carriers/acme/binds")).json["binds"]
    assert binds == shown["binds"]
    assert [bind["phase"] for bind in binds] == ["bound", "waiting"]
    assert (binds[0]["since"], binds[0]["last_receipt_at"]) == ("2026-11-20T12:00:00Z", None)
    (pdu,) = (await call(trunkline, "GET", "/carriers/acme/pdus")).json["pdus"]
    assert (pdu["direction"], pdu["name"]) == ("out", "bind_transceiver")
    assert pdu["fields"] == {"system_id": "me"}


async def test_a_carrier_is_tried(
    trunkline: Trunkline, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its connector says, or why nobody says anything."""
    await add_acme(trunkline, State="disabled")
    off = (await call(trunkline, "POST", "/carriers/acme/test")).json
    assert (off["is_good"], off["detail"]) == (False, "the carrier is disabled")
    await call(trunkline, "POST", "/carriers/acme", {"State": "enabled"})
    await trunkline.run_for(0)
    good = (await call(trunkline, "POST", "/carriers/acme/test")).json
    assert good == {"is_good": True, "detail": "bound", "milliseconds": 3.5}
    scripted.answer.clear()
    monkeypatch.setattr(carriers, "PROBE_SECONDS_MAX", 0.01)
    late = (await call(trunkline, "POST", "/carriers/acme/test")).json
    assert (late["is_good"], late["detail"]) == (False, "no answer within 0.01 seconds")


async def test_a_test_message_passes_the_routes_by(trunkline: Trunkline) -> None:
    """It leaves by the carrier that is tried, from the first number or any other sender."""
    await call(trunkline, "POST", "/carriers", {"Name": "b", "Type": "simulated"})
    sent = await call(trunkline, "POST", "/carriers/b/test", {"To": ADA})
    assert sent.status == 201
    assert (sent.json["from"], sent.json["carrier"]) == (trunkline.number, "b")
    stranger = {"To": ADA, "From": "+4915112345678", "Body": "tried"}
    assert (await call(trunkline, "POST", "/carriers/b/test", stranger)).status == 201
    await trunkline.run_for(2)
    inbox = (await call(trunkline, "GET", f"/phones/{ADA}/inbox")).json["inbox"]
    assert {each["from"]: each["body"] for each in inbox} == {
        trunkline.number: "A test of the carrier b by Trunkline.",
        "+4915112345678": "tried",
    }
    wrong = await call(trunkline, "POST", "/carriers/b/test", {"To": "nobody"})
    assert refusal_of(wrong)[0] == 21211
    await call(trunkline, "POST", "/carriers/b", {"State": "draining"})
    assert refusal_of(await call(trunkline, "POST", "/carriers/b/test", {"To": ADA}))[0] == 20409


async def test_a_carrier_with_routes_is_removed_only_by_force(
    trunkline: Trunkline, scripted: Scripted
) -> None:
    """The refusal names the routes; by force they go as well, and no other."""
    await add_acme(trunkline)
    route = (await call(trunkline, "POST", "/routes", {"Carrier": "acme"})).json["sid"]
    refused = await call(trunkline, "DELETE", "/carriers/acme")
    assert (refused.status, route in refusal_of(refused)[1]) == (409, True)
    forced = await call(trunkline, "DELETE", "/carriers/acme?Force=true")
    assert (forced.status, forced.body) == (204, b"")
    names = [each["name"] for each in (await call(trunkline, "GET", "/carriers")).json["carriers"]]
    routes = (await call(trunkline, "GET", "/routes")).json["routes"]
    assert (names, [each["carrier"] for each in routes]) == (["simulated"], ["simulated"])


async def test_every_path_names_all_its_methods(trunkline: Trunkline) -> None:
    """A wrong method is answered with those that are right."""
    answer = await call(trunkline, "PUT", "/carriers/acme")
    assert answer.status == 405
    allowed = {name.strip() for name in answer.headers["allow"].split(",")}
    assert allowed >= {"GET", "POST", "DELETE"}
    assert (await call(trunkline, "HEAD", "/carriers")).status == 200


async def test_types_tell_everything_that_can_be_set(trunkline: Trunkline) -> None:
    """The reference page has the types and settings of the program, and so has the API."""
    connectors = trunkline.app.platform.switchboard.connectors
    assert set(connectors) <= set(CARRIER_TYPES)
    for name, connector in connectors.items():
        assert tuple(connector.settings) == CARRIER_TYPES[name][1]
    types = (await call(trunkline, "GET", "/carrier-types")).json["carrier_types"]
    assert [each["type"] for each in types] == list(connectors)
    for each in types:
        names = [setting["name"] for setting in each["settings"]]
        assert {"lanes", "in_doubt", "failover_seconds", "sender_rates"} <= set(names)
        assert len(set(names)) == len(names)


async def test_strays_are_paged(trunkline: Trunkline) -> None:
    """Newest first, of one kind or of both, page after page."""
    found = [
        Stray(
            sid=f"SY{n:032x}",
            carrier="acme",
            kind="receipt" if n % 2 else "text",
            refs=(f"{n}", f"0x{n}"),
            at=NOON + timedelta(seconds=n),
            doc={"delivered": True},
        )
        for n in range(4)
    ]
    await trunkline.app.store.write(lambda db: insert_strays(db, found))
    everything = (await call(trunkline, "GET", "/strays")).json["strays"]
    assert [each["sid"] for each in everything] == [stray.sid for stray in reversed(found)]
    assert everything[0]["detail"] == {"delivered": True}
    assert everything[0]["at"] == "2026-11-20T12:00:03Z"
    texts = (await call(trunkline, "GET", "/strays", {"kind": "text"})).json["strays"]
    assert [each["sid"] for each in texts] == [found[2].sid, found[0].sid]
    page = await call(trunkline, "GET", "/strays", {"limit": "1", "before": found[3].sid})
    assert [each["sid"] for each in page.json["strays"]] == [found[2].sid]
    for wrong in ({"kind": "ghost"}, {"limit": "0"}):
        assert refusal_of(await call(trunkline, "GET", "/strays", wrong))[0] == 20422


@pytest.mark.parametrize(
    ("given", "number", "kind"),
    [
        ("+44 7400 123456", "+447400123456", "Mobile"),
        ("+1 888 555 0100", "+18885550100", "TollFree"),
    ],
)
async def test_a_number_of_ones_own_sends_and_receives(
    trunkline: Trunkline, given: str, number: str, kind: str
) -> None:
    """It is an IncomingPhoneNumber that nobody sold; then it is taken away again."""
    form = {"PhoneNumber": given, "FriendlyName": "ours", "SmsUrl": "https://app.example/in"}
    made = await call(trunkline, "POST", "/numbers", form)
    assert (made.status, made.json["phone_number"], made.json["kind"]) == (201, number, kind)
    path = f"{trunkline.base}/IncomingPhoneNumbers/{made.json['sid']}.json"
    view = (await trunkline.request("GET", path)).json
    assert (view["phone_number"], view["friendly_name"]) == (number, "ours")
    assert view["capabilities"] == {"voice": False, "sms": True, "mms": True, "fax": False}
    assert (await trunkline.send(From=number)).status == 201
    await call(trunkline, "POST", f"/phones/{ADA}/texts", {"To": number, "Body": "hi"})
    await trunkline.run_for(2)
    assert [seen.form["To"] for seen in trunkline.receiver.seen] == [number]
    assert refusal_of(await call(trunkline, "POST", "/numbers", form))[0] == 21422
    assert (await call(trunkline, "DELETE", f"/numbers/{number}")).status == 204
    assert (await call(trunkline, "DELETE", f"/numbers/{number}")).status == 404
    assert refusal_of(await trunkline.send(From=number))[0] == 21659


async def test_a_number_can_be_a_subaccounts(trunkline: Trunkline) -> None:
    """The list shows the numbers of all accounts."""
    made = await trunkline.request("POST", "/2010-04-01/Accounts.json", {"FriendlyName": "Sub"})
    form = {"PhoneNumber": "54321", "Account": made.json["sid"]}
    assert (await call(trunkline, "POST", "/numbers", form)).json["account_sid"] == made.json["sid"]
    held = (await call(trunkline, "GET", "/numbers")).json["numbers"]
    assert [each["phone_number"] for each in held] == [trunkline.number, "54321"]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, 21421),
        ({"PhoneNumber": "ACME"}, 21421),
        ({"PhoneNumber": "whatsapp:+14155550123"}, 21421),
        ({"PhoneNumber": "12345", "SmsUrl": "nowhere"}, 21402),
        ({"PhoneNumber": "12345", "SmsMethod": "PUT"}, 21403),
        ({"PhoneNumber": "12345", "Account": "AC" + "0" * 32}, 20422),
    ],
)
async def test_what_is_no_number_is_refused(
    trunkline: Trunkline, form: dict[str, str], code: int
) -> None:
    """Neither what cannot be one nor an account that is none."""
    assert refusal_of(await call(trunkline, "POST", "/numbers", form))[0] == code
