"""The console's pages about carriers, routes and strays: what they show and what their forms do."""

import re
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from markupsafe import escape

from tests.api.test_console import (
    ADA,
    STRANGE,
    Browser,
    Markup,
    Stream,
    basic,
    local_console,
    public_console,
    subaccount,
)
from tests.harness import NOON, Trunkline
from tests.scripted import SECRET, ScriptedCarrier, ScriptedConnector
from trunkline.carriers.port import BindPhase, PduSeen, Probe
from trunkline.carriers.smpp.rows import SETTINGS as SMPP_SETTINGS
from trunkline.carriers.twilio.settings import SETTINGS as TWILIO_SETTINGS
from trunkline.console import live
from trunkline.console.carrier_settings import ESSENTIALS, GROUPS, MULTILINE
from trunkline.console.carriers import PDUS_LISTED_MAX, waiting_words
from trunkline.console.strays import ROWS_MAX
from trunkline.domain.carrier import COMMON_SETTINGS, CarrierAccount, CarrierState, Setting
from trunkline.flows import carriers, routes
from trunkline.flows.routes import Wish
from trunkline.runtime import News
from trunkline.store.strays import RECEIPT, TEXT, Stray, insert_strays
from trunkline.store.waiting import WAITING_COUNTED_MAX, count_waiting

HOST = "127.0.0.1:8800"
NORTH = {"name": "north", "type": "smpp", "set.host": "smsc.example", "set.password": SECRET}
# Every page of these, once there is a carrier called north.
PAGES = (
    *("/carriers", "/carriers/north", "/carriers/north/now", "/carriers/north/settings"),
    *("/new-carrier", "/new-carrier?type=smpp", "/routes", "/strays"),
    f"/routes?from=%2B14155550100&to={ADA}",
)


@pytest.fixture
def browser(trunkline: Trunkline) -> Browser:
    """Return a browser on the machine of the console."""
    return Browser(local_console(trunkline))


@pytest.fixture
def connector(trunkline: Trunkline) -> ScriptedConnector:
    """Return what opens carriers of the type smpp."""
    made = ScriptedConnector()
    switchboard = trunkline.app.platform.switchboard
    switchboard.connectors = {"simulated": switchboard.connectors["simulated"], "smpp": made}
    return made


@pytest.fixture
async def north(
    trunkline: Trunkline, browser: Browser, connector: ScriptedConnector
) -> ScriptedCarrier:
    """Return a carrier that was added by the form, and is at work."""
    assert (await browser.submit("/carriers", NORTH)).status == 303
    await trunkline.app.settle()
    return connector.opened["north"]


async def account_of(trunkline: Trunkline, name: str = "north") -> CarrierAccount:
    found = await carriers.find(trunkline.app.platform, name)
    assert found is not None
    return found


def seen(name: str, number: int = 1, **more: Any) -> PduSeen:
    shown = {"at": NOON, "lane": 0, "is_outgoing": True}
    return PduSeen(name=name, sequence_number=number, **{**shown, **more})


def words_of(page: str) -> str:
    """Return the text of a page without its tags, in single spaces."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def fields_of(page: str, action: str) -> dict[str, str]:
    """Return what the form with this action would send as it stands."""
    form = page.partition(f'action="/console{action}"')[2].partition("</form>")[0]
    fields: dict[str, str] = {}
    for tag, attributes in Markup(form).tags:
        if tag == "input" and attributes.get("type") != "checkbox":
            fields[attributes["name"] or ""] = attributes.get("value") or ""
    for name, options in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', form, re.S):
        fields[name] = re.findall(r"<option selected>([^<]*)", options)[0]
    return fields | dict(re.findall(r'<textarea[^>]*name="([^"]+)"[^>]*>([^<]*)<', form))


# Who may see them, and what they are made of.


async def test_they_are_the_main_accounts_alone(
    trunkline: Trunkline, north: ScriptedCarrier
) -> None:
    """A subaccount finds none of the pages and none of the forms, and no way to them."""
    browser = Browser(public_console(trunkline))
    login = {"authorization": basic(*await subaccount(trunkline))}
    assert "Carriers" not in await browser.read("/messages", **login)
    for path in PAGES:
        answer = await browser.request("GET", path, **login)
        assert (answer.status, b"smsc.example" in answer.body) == (404, False), path
    for path, form in (
        ("/carriers", NORTH | {"name": "mine"}),
        ("/carriers/north/state", {"state": "disabled"}),
        ("/carriers/north/probe", {}),
        ("/carriers/north/test", {"from": trunkline.number, "to": ADA}),
        ("/carriers/north/settings", {"set.host": "evil.example"}),
        ("/carriers/north/remove", {"routes": "too"}),
        ("/routes", {"carrier": "north"}),
        ("/routes/RX0/remove", {}),
    ):
        assert (await browser.submit(path, form, **login)).status == 404, path
    account = await account_of(trunkline)
    assert (account.state, account.settings) == (CarrierState.ENABLED, {"host": "smsc.example"})
    assert [a.name for a in await carriers.listed(trunkline.app.platform)] == ["simulated", "north"]


@pytest.mark.parametrize(
    "path", ["/carriers/none", "/carriers/none/now", "/carriers/none/settings"]
)
async def test_a_carrier_that_is_not_there_is_404(browser: Browser, path: str) -> None:
    """Also for a form."""
    assert (await browser.request("GET", path)).status == 404
    assert (await browser.submit("/carriers/none/state", {"state": "enabled"})).status == 404


@pytest.mark.parametrize("text", STRANGE)
async def test_what_carriers_say_never_becomes_markup(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier, text: str
) -> None:
    """An error, a peer, a status, a PDU's fields and its very name, a stray text, a probe."""
    north.bind(NOON, peer=text, last_error=text)
    north.passed = [seen(text, status=text, fields={text: text})]
    north.probed = Probe(False, text)
    doc = {"from": text, "to": text, "body": text}
    await keep(trunkline, [stray(trunkline, TEXT, ref=text, doc=doc)])
    found = {path: await browser.read(path) for path in PAGES}
    found["probe"] = (await browser.submit("/carriers/north/probe")).body.decode()
    for path in ("/carriers", "/carriers/north", "/carriers/north/now", "/strays", "probe"):
        assert str(escape(text)) in found[path], path
    for path, page in found.items():
        assert "<" not in text or text not in page, path
        for tag, attributes in Markup(page).tags:
            assert tag != "style", path
            assert "style" not in attributes, path
            assert tag != "script" or attributes["src"] == "/console/static/console.js", path
            assert not [name for name in attributes if name.startswith("on")], path


# The list.


async def test_the_list_says_how_each_carrier_does(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier
) -> None:
    """How many connections are up, the sums of their counts, the last error and receipt."""
    north.bind(NOON, submitted=1200, taken=1190, refused=7, receipts=1100, last_receipt_at=NOON)
    north.bind(NOON, phase=BindPhase.WAITING, submitted=34, errors=3, last_error="no answer")
    words = words_of(await browser.read("/carriers"))
    assert "north SMPP 1 of 2 connections up since 12:00 enabled" in words
    assert "Waiting 0 Submitted 1,234 Taken 1,190 Refused 7 Throttled 0" in words
    assert "Receipts 1,100 Texts 0 Errors 3 no answer Last receipt 12:00" in words
    assert "simulated Simulated Up since" in words


async def test_a_carrier_without_connections_is_down(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier
) -> None:
    """Since when it is; one that is disabled is not called down."""
    north.bind(NOON, phase=BindPhase.CONNECTING)
    north.down_since = NOON - timedelta(minutes=5)
    assert "Down since 11:55" in words_of(await browser.read("/carriers"))
    await browser.submit("/carriers/north/state", {"state": "disabled"})
    await trunkline.app.settle()
    words = words_of(await browser.read("/carriers"))
    assert "Not connected since 12:00 disabled" in words
    assert "Down" not in words


async def test_at_first_it_says_how_to_reach_real_phones(browser: Browser) -> None:
    """With the commands, until there is a carrier."""
    assert "trunkline carriers add my-carrier" in await browser.read("/carriers")


async def test_once_there_is_a_carrier_it_no_longer_does(
    browser: Browser, north: ScriptedCarrier
) -> None:
    """The hint is for newcomers."""
    assert "trunkline carriers add" not in await browser.read("/carriers")


async def test_what_waits_is_counted_by_lane(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier
) -> None:
    """Only a carrier's own lanes count, whatever another one is called."""
    north.bind(NOON)
    north.rooms = 0
    platform = trunkline.app.platform
    await carriers.add(
        platform, name="north-2", carrier_type="smpp", settings={"host": "x"}, state="enabled"
    )
    for name, count in (("north", 3), ("north-2", 1)):
        for _ in range(count):
            await carriers.send_test(platform, name, sender=trunkline.number, recipient=ADA)
    assert await platform.store.read(lambda db: count_waiting(db, "north")) == {"north/0": 3}
    assert "Waiting 3 Submitted 0" in words_of(await browser.read("/carriers"))
    assert "Rate no limit Waiting 3 Submitted" in words_of(await browser.read("/carriers/north"))


def test_a_count_that_was_cut_short_says_so() -> None:
    """Ten thousand is as far as it is counted."""
    assert waiting_words(9_999) == "9,999"
    assert waiting_words(WAITING_COUNTED_MAX) == "10,000+"


# Adding one, and its settings.


async def test_types_are_offered(browser: Browser, connector: ScriptedConnector) -> None:
    """A link for each; a type that there is not leads back to the choice."""
    for path in ("/new-carrier", "/new-carrier?type=pigeon"):
        page = await browser.read(path)
        assert "/console/new-carrier?type=smpp" in page
        assert "/console/new-carrier?type=simulated" in page
    assert (await browser.submit("/carriers", {"name": "x", "type": "pigeon"})).status == 400


async def test_a_carrier_is_added_by_the_form(
    trunkline: Trunkline, browser: Browser, connector: ScriptedConnector
) -> None:
    """As the form stands: defaults are not written down, the secret is sealed and never shown."""
    form = fields_of(await browser.read("/new-carrier?type=smpp"), "/carriers")
    assert form["set.port"] == "2775"
    assert {"set.bind_type", "set.tls_ca", "set.lanes", "set.moon_phase"} <= form.keys()
    answer = await browser.submit("/carriers", form | NORTH)
    assert answer.headers["location"] == "/console/carriers/north"
    await trunkline.app.settle()
    account = await account_of(trunkline)
    assert account.settings == {"host": "smsc.example"}
    assert connector.seen["north"]["password"] == SECRET
    for path in PAGES:
        assert SECRET not in await browser.read(path), path
    assert (
        "no message takes this carrier" in words_of(await browser.read("/carriers/north")).lower()
    )


@pytest.mark.usefixtures("connector")
@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"name": "a b"}, "name", "A name must be 1 to 40 letters"),
        ({"name": "simulated"}, "name", "is the name of a carrier of the type simulated"),
        ({"set.host": ""}, "host", "host must say where the SMSC listens"),
        ({"set.port": "0"}, "port", "port must be a whole number from 1 to 65535"),
        ({"set.enquire_seconds": "soon"}, "enquire_seconds", "must be a number of seconds"),
        ({"set.lanes": "65"}, "lanes", "lanes must be a whole number from 1 to 64"),
    ],
)
async def test_what_is_wrong_is_said_beside_its_field(
    trunkline: Trunkline, browser: Browser, wrong: dict[str, str], field: str, words: str
) -> None:
    """What was typed stays, but for the secret; a folded group with the mistake is open."""
    answer = await browser.submit("/carriers", NORTH | wrong)
    page = answer.body.decode()
    assert answer.status == 400
    assert words in words_of(page)
    assert page.count('role="alert"') == 1
    assert SECRET not in page
    if field:
        described = page.split(f'aria-describedby="m-{field}"')[1]
        assert described.index('role="alert"') < described.index('class="meaning"')
    assert page.count('<details class="group" open>') == (field in ("enquire_seconds", "lanes"))
    assert fields_of(page, "/carriers")["set.host"] == (NORTH | wrong)["set.host"]
    assert len(await carriers.listed(trunkline.app.platform)) == 1


async def test_settings_are_changed_by_the_form(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier, connector: ScriptedConnector
) -> None:
    """An empty secret stays, a typed one replaces it; what is emptied is the default again."""
    path = "/carriers/north/settings"
    certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
    form = fields_of(await browser.read(path), path)
    form |= {"set.port": "2776", "set.bind_type": "pair", "set.tls_ca": certificate}
    assert (await browser.submit(path, form)).status == 303
    await trunkline.app.settle()
    assert connector.seen["north"]["password"] == SECRET
    account = await account_of(trunkline)
    told = {"host": "smsc.example", "port": "2776", "bind_type": "pair", "tls_ca": certificate}
    assert account.settings == told
    words = words_of(await browser.read("/carriers/north"))
    assert "host smsc.example port 2776 password set bind_type pair" in words
    form = fields_of(await browser.read(path), path)
    form |= {"set.port": "", "set.bind_type": "transceiver", "set.password": "another"}
    assert (await browser.submit(path, form)).status == 303
    await trunkline.app.settle()
    assert connector.seen["north"]["password"] == "another"
    assert (await account_of(trunkline)).settings == {"host": "smsc.example", "tls_ca": certificate}
    forgotten = await browser.submit(path, {"set.password": "", "clear.password": "yes"})
    assert forgotten.status == 303
    assert (await account_of(trunkline)).sealed == {}
    assert "password · not set" in words_of(await browser.read(path))


async def test_settings_that_cannot_be_change_nothing(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier
) -> None:
    """The reason stands beside the field, with what was typed."""
    path = "/carriers/north/settings"
    answer = await browser.submit(path, {"set.port": "x", "set.password": "another"})
    assert answer.status == 400
    assert "port must be a whole number" in words_of(answer.body.decode())
    assert 'value="x"' in answer.body.decode()
    account = await account_of(trunkline)
    assert account.settings == {"host": "smsc.example"}
    assert trunkline.app.platform.vault.open(account.sealed["password"]) == SECRET


async def test_three_certificates_fit_the_form_and_more_do_not(
    browser: Browser, north: ScriptedCarrier
) -> None:
    """The limit of a settings form is wider than that of the others, and still one."""
    path = "/carriers/north/settings"
    longest = "-----BEGIN" + "+" * 30_000
    assert (await browser.submit(path, {"set.tls_ca": longest})).status == 303
    assert (await browser.submit(path, {"set.tls_ca": longest * 2})).status == 413


def test_every_setting_has_its_place() -> None:
    """Each stands in one group or is asked at once, and no group names what there is not."""
    grouped = [name for names in GROUPS.values() for name in names]
    assert len(grouped) == len(set(grouped))
    for kind, own in (("smpp", SMPP_SETTINGS), ("twilio", TWILIO_SETTINGS)):
        names = names_of((*own, *COMMON_SETTINGS))
        assert names - set(grouped) == set(ESSENTIALS[kind]), kind
    everything = names_of((*SMPP_SETTINGS, *TWILIO_SETTINGS, *COMMON_SETTINGS))
    assert set(grouped) <= everything
    assert set(MULTILINE) <= everything


def names_of(settings: Iterable[Setting]) -> set[str]:
    return {setting.name for setting in settings}


async def test_a_carrier_is_removed_with_its_routes_only_when_that_is_said(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier
) -> None:
    """Otherwise the routes are named, and it stays."""
    route = await routes.add(trunkline.app.platform, Wish(carrier="north"))
    refused = await browser.submit("/carriers/north/remove")
    assert refused.status == 400
    assert route.sid in refused.body.decode()
    assert (await browser.submit("/carriers/north/remove", {"routes": "too"})).status == 303
    assert await carriers.find(trunkline.app.platform, "north") is None
    assert await routes.find(trunkline.app.platform, route.sid) is None


# One carrier.


async def test_every_connection_is_shown(browser: Browser, north: ScriptedCarrier) -> None:
    """Its phase, peer, window, rate, counts and error."""
    north.bind(NOON, peer="203.0.113.7:2775", window_used=7, window_max=10, per_second=20.0)
    north.bind(NOON, phase=BindPhase.WAITING, taken=5, last_error="connection refused")
    for path in ("/carriers/north", "/carriers/north/now"):
        page = await browser.read(path)
        words = words_of(page)
        assert "Lane 0 transceiver bound since 12:00 203.0.113.7:2775 Window 7 of 10" in words
        assert "Rate 20 a second" in words
        assert "Lane 1 transceiver waiting" in words
        assert "Taken 5" in words
        assert "connection refused" in words
        assert '<progress value="7" max="10">' in page


@pytest.mark.parametrize("state", list(CarrierState))
async def test_a_carrier_is_enabled_drained_and_disabled(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier, state: CarrierState
) -> None:
    """The buttons do it, and the page says what it means."""
    answer = await browser.submit("/carriers/north/state", {"state": state.value})
    assert (answer.status, answer.headers["location"]) == (303, "/console/carriers/north")
    assert (await account_of(trunkline)).state is state
    page = await browser.read("/carriers/north")
    assert f'value="{state.value}" aria-pressed="true" disabled' in page


async def test_another_state_there_is_not(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier
) -> None:
    """A form that was made up changes nothing."""
    answer = await browser.submit("/carriers/north/state", {"state": "tired"})
    assert answer.status == 400
    assert "must be one of enabled, draining, disabled" in answer.body.decode()
    assert (await account_of(trunkline)).state is CarrierState.ENABLED


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (Probe(True, "bound as tester", 12.4), "The connection works (12 ms): bound as tester"),
        (Probe(True, "bound as tester", 0.84), "The connection works (0.8 ms): bound as tester"),
        (Probe(True, "part of this process"), "The connection works: part of this process"),
        (Probe(False, "ESME_RINVPASWD"), "The connection does not work: ESME_RINVPASWD"),
    ],
)
async def test_the_connection_is_tried(
    browser: Browser, north: ScriptedCarrier, probe: Probe, words: str
) -> None:
    """With what came of it, and how long it took."""
    north.probed = probe
    answer = await browser.submit("/carriers/north/probe")
    assert answer.status == 200
    assert words in words_of(answer.body.decode())


async def test_a_test_message_goes_by_this_carrier(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier
) -> None:
    """No route leads there, and it leaves by it; the browser goes to its trace."""
    form = {"from": trunkline.number, "to": ADA, "body": "Can you read this?"}
    answer = await browser.submit("/carriers/north/test", form)
    assert answer.status == 303
    await trunkline.app.settle()
    assert [(s.recipient, s.text) for s in north.taken] == [(ADA, "Can you read this?")]
    trace = await browser.read(answer.headers["location"].removeprefix("/console"))
    assert "To the carrier “north”" in trace


async def test_a_test_message_that_cannot_be_sent_says_why(
    browser: Browser, north: ScriptedCarrier
) -> None:
    """Beside the form, with what was typed."""
    form = {"from": "ACME", "to": "nobody", "body": "kept"}
    answer = await browser.submit("/carriers/north/test", form)
    page = answer.body.decode()
    assert answer.status == 400
    assert page.count('role="alert"') == 1
    assert "Invalid 'To' Phone Number" in words_of(page)
    assert ">kept</textarea>" in page
    assert 'value="ACME"' in page


async def test_what_passed_is_shown_newest_last(browser: Browser, north: ScriptedCarrier) -> None:
    """Which way, its name, number and status; what keeps the connection open can be left out."""
    ok = "ESME_ROK"
    north.passed = [
        seen("submit_sm", 7, status=ok, fields={"destination_addr": "15558675310"}),
        seen("submit_sm_resp", 7, is_outgoing=False, status="ESME_RTHROTTLED"),
        seen("enquire_link", 8, status=ok),
        seen("enquire_link_resp", 8, is_outgoing=False, status=ok),
    ]
    page = await browser.read("/carriers/north/now")
    rows = re.findall(r'<li class="passage([^"]*)"[^>]*>(.*?)</li>', page, re.S)
    assert [kind.split() for kind, _ in rows] == [
        ["is-out"],
        ["is-in"],
        ["is-quiet", "is-out"],
        ["is-quiet", "is-in"],
    ]
    assert "to the carrier submit_sm #7 destination_addr 15558675310" in words_of(rows[0][1])
    assert "from the carrier submit_sm_resp #7 ESME_RTHROTTLED" in words_of(rows[1][1])
    assert 'class="pdu-status bad"' in rows[1][1]
    assert "enquire_link_resp #8 ESME_ROK" in words_of(rows[3][1])
    assert 'class="pdu-status bad"' not in rows[3][1]


async def test_only_the_last_of_what_passed_is_drawn(
    browser: Browser, north: ScriptedCarrier
) -> None:
    """Each has a key that it keeps, so that an open page moves nothing that was there."""
    north.passed = [seen("submit_sm", n) for n in range(PDUS_LISTED_MAX + 50)]
    north.passed.append(north.passed[-1])
    before = keys_of(await browser.read("/carriers/north/now"))
    assert len(before) == len(set(before)) == PDUS_LISTED_MAX
    north.passed.append(seen("unbind", 1))
    after = keys_of(await browser.read("/carriers/north/now"))
    assert after[:-1] == before[1:]


def keys_of(page: str) -> list[str]:
    return re.findall(r'<li class="passage[^>]* data-key="([^"]+)"', page)


@pytest.mark.parametrize(("status", "is_fine"), [("201", True), ("429", False), ("ESME_ROK", True)])
async def test_statuses_of_http_are_judged_as_well(
    browser: Browser, north: ScriptedCarrier, status: str, is_fine: bool
) -> None:
    """What is no success stands out."""
    north.passed = [seen("POST /Messages.json", is_outgoing=False, status=status)]
    assert ("pdu-status bad" in await browser.read("/carriers/north/now")) is not is_fine


async def test_without_connections_it_says_what_to_do(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier
) -> None:
    """Where nothing passed and nothing is connected, the command stands there."""
    page = await browser.read("/carriers/north")
    assert "trunkline carriers test north --to NUMBER" in page
    assert "trunkline routes add --carrier north" in page
    await browser.submit("/carriers/north/state", {"state": "disabled"})
    await trunkline.app.settle()
    assert "trunkline carriers enable north" in await browser.read("/carriers/north")


# Routes.


async def test_routes_stand_in_the_order_in_which_they_are_tried(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier
) -> None:
    """By order, then the longest prefix, then the most conditions; with what they take."""
    platform = trunkline.app.platform
    for wish in (
        Wish(carrier="north", prefix="+1"),
        Wish(carrier="north", prefix="+1415", price="0.0062"),
        Wish(carrier="north", prefix="+1415", channel="mms", sender="+1415*"),
        Wish(carrier="north", order="5", country="DE", sender_type="short_code"),
    ):
        await routes.add(platform, wish)
    await browser.submit("/carriers/north/state", {"state": "draining"})
    rows = re.findall(r"<tr>(.*?)</tr>", (await browser.read("/routes")).split("<tbody>")[1], re.S)
    assert [words_of(row) for row in rows] == [
        "5 country DE sender type short code north draining 1 list 0 Remove",
        "100 to +1415… from +1415… channel mms north draining 1 list 0 Remove",
        "100 to +1415… north draining 1 $0.0062 0 Remove",
        "100 to +1… north draining 1 list 0 Remove",
        "1000 everything simulated 1 list 0 Remove",
    ]
    leading = words_of((await browser.read("/carriers/north")).split("Routes that lead here")[1])
    assert leading.startswith("5 country DE sender type short code 100 to +1… ")


async def test_a_route_is_added_and_removed_by_forms(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier
) -> None:
    """And changes at once which way a message takes."""
    assert "selected>north<" in await browser.read("/routes?carrier=north")
    made = await browser.submit("/routes", {"carrier": "north", "prefix": "1555", "order": "7"})
    assert made.status == 303
    await trunkline.send()
    await trunkline.app.settle()
    assert len(north.taken) == 1
    page = await browser.read("/routes")
    paths = re.findall(r'action="/console(/routes/RX\w{32}/remove)"', page)
    assert (await browser.submit(paths[0])).status == 303
    await trunkline.send()
    await trunkline.app.settle()
    assert len(north.taken) == 1
    again = await browser.submit(paths[0])
    assert again.status == 400
    assert "no such route any more" in again.body.decode()


@pytest.mark.parametrize(
    ("form", "words", "is_folded"),
    [
        ({"prefix": "+0"}, "must be the first digits of a number", False),
        ({"order": "first"}, "must be a whole number from 0", False),
        ({"carrier": "south"}, "there is no carrier `south`", False),
        ({"sender_type": "pigeon"}, "must be one of long_code", True),
        ({"for_account": "AC1"}, "there is no account `AC1`", True),
        ({"price": "cheap"}, "must be US dollars a segment", True),
    ],
)
async def test_a_route_that_cannot_be_says_why_beside_the_field(
    trunkline: Trunkline, browser: Browser, form: dict[str, str], words: str, is_folded: bool
) -> None:
    """What was typed stays; the folded fields are shown when the mistake is there."""
    answer = await browser.submit("/routes", {"carrier": "simulated", **form})
    page = answer.body.decode()
    assert answer.status == 400
    ((name, value),) = form.items()
    label = page.split(f'name="{name}"')[1].split("</label>")[0]
    assert words in words_of(label)
    assert ("<details open>" in page) is is_folded
    assert name in ("carrier", "sender_type") or f'value="{value}"' in page
    assert len(await routes.listed(trunkline.app.platform)) == 1


async def test_a_way_is_explained(
    trunkline: Trunkline, browser: Browser, north: ScriptedCarrier
) -> None:
    """The chosen route is marked and comes first; every other one has its reason."""
    platform = trunkline.app.platform
    await routes.add(platform, Wish(carrier="north", prefix="+1555", channel="mms"))
    await routes.add(platform, Wish(carrier="north", prefix="+49", order="1"))
    question = {"from": trunkline.number, "to": "(555) 867-5310"}
    page = await browser.read(f"/routes?{urlencode(question)}")
    words = words_of(page)
    assert "This message leaves by simulated ." in words
    assert "chosen simulated everything It alone matches." in words
    assert "– north to +49… The number does not start with +49." in words
    assert page.count("is-chosen") == 1
    with_media = await browser.read(f"/routes?{urlencode(question | {'media': 'yes'})}")
    assert "This message leaves by north ." in words_of(with_media)


async def test_a_way_that_there_is_not_is_explained(trunkline: Trunkline, browser: Browser) -> None:
    """A message that would be refused, and what is no number."""
    (route,) = await routes.listed(trunkline.app.platform)
    await browser.submit(f"/routes/{route.sid}/remove")
    question = {"from": trunkline.number, "to": ADA}
    page = await browser.read(f"/routes?{urlencode(question)}")
    assert "refused with 21612" in page
    assert "trunkline routes add --carrier simulated" in page
    words = words_of(await browser.read("/routes?from=%3F%3F&to=x"))
    assert "must be a number, a short code or a name" in words
    assert "must be a number like +15558675310" in words
    assert "This message" not in words


# Strays.


def stray(trunkline: Trunkline, kind: str, *, ref: str = "8f3a", doc: dict[str, Any]) -> Stray:
    sid = trunkline.app.platform.chance.sid("SY", NOON)
    return Stray(sid=sid, carrier="north", kind=kind, refs=(ref,), at=NOON, doc=doc)


async def keep(trunkline: Trunkline, batch: list[Stray]) -> None:
    await trunkline.app.platform.store.write(lambda db: insert_strays(db, batch))


async def test_strays_are_told_in_words(trunkline: Trunkline, browser: Browser) -> None:
    """A receipt with its outcome and reasons, a text with what to do when the number is ours."""
    detail = {"stat": "UNDELIV"}
    receipt = {"delivered": False, "error_code": 30003, "detail": detail}
    text = {"from": ADA, "to": "+14155550199", "body": "Still you?"}
    batch = [stray(trunkline, RECEIPT, doc=receipt), stray(trunkline, TEXT, ref="in:9", doc=text)]
    await keep(trunkline, batch)
    words = words_of(await browser.read("/strays"))
    assert "Reference 8f3a Outcome Not delivered Error 30003 Unreachable" in words
    assert "stat UNDELIV" in words
    assert f"From {ADA} To +14155550199" in words
    assert "Still you? If this number is yours: trunkline numbers add +14155550199" in words
    assert "Still you?" not in await browser.read("/strays?kind=receipt")
    assert "UNDELIV" not in await browser.read("/strays?kind=text")


@pytest.mark.parametrize(
    ("delivered", "words"), [(True, "Delivered"), (False, "Not delivered"), (None, "Not final")]
)
async def test_a_stray_receipt_says_its_outcome(
    trunkline: Trunkline, browser: Browser, delivered: bool | None, words: str
) -> None:
    """Also one that decides nothing."""
    doc: dict[str, Any] = {"delivered": delivered, "error_code": None, "detail": {}}
    await keep(trunkline, [stray(trunkline, RECEIPT, doc=doc)])
    assert f"Outcome {words}" in words_of(await browser.read("/strays"))


async def test_strays_page_by_key(trunkline: Trunkline, browser: Browser) -> None:
    """Older ones of the same kind are a click away, and so are the newest."""
    doc: dict[str, Any] = {"delivered": True, "error_code": None, "detail": {}}
    batch = [stray(trunkline, RECEIPT, ref=f"r{n:02}", doc=doc) for n in range(ROWS_MAX + 2)]
    await keep(trunkline, batch)
    first = await browser.read("/strays?kind=receipt")
    assert re.findall(r"r\d\d", first)[-1] == "r02"
    (older,) = re.findall(r'href="/console(/strays[^"]+)" rel="next"', first)
    second = await browser.read(older.replace("&amp;", "&"))
    assert re.findall(r"\br\d\d\b", second) == ["r01", "r00"]
    assert 'href="/console/strays?kind=receipt">Newest' in second


async def test_without_strays_it_says_so(browser: Browser) -> None:
    """Nothing to do is worth saying."""
    for path in ("/strays", "/strays?kind=text", "/strays?kind=nonsense&before=zzz"):
        assert "trunkline carriers list" in await browser.read(path)


# What is live.


@pytest.fixture
async def stream(
    trunkline: Trunkline, north: ScriptedCarrier, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stream]:
    """Yield the stream of a page that shows the carrier north."""
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.01)
    made = Stream(asking(local_console(trunkline), b"carriers=north"), {"host": HOST})
    assert await made.status == 200
    await made.parts.get()
    yield made
    await made.leave()


def asking(console: Any, query: bytes) -> Any:
    """Return a console whose every request has this query."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        await console({**scope, "query_string": query}, receive, send)

    return call


async def test_what_passes_is_told_to_the_page(stream: Stream, north: ScriptedCarrier) -> None:
    """Though a carrier rings no bell for it."""
    north.passed = [seen("submit_sm")]
    assert await stream.hears("carrier", "north")
    north.bind(NOON)
    assert await stream.hears("carrier", "north")


async def test_a_change_of_its_state_is_told_to_the_page(
    trunkline: Trunkline, stream: Stream
) -> None:
    """Somebody may drain a carrier from the command line."""
    await carriers.change(trunkline.app.platform, "north", state="draining")
    assert await stream.hears("carrier", "north")


async def test_a_page_sees_the_carriers_that_it_asks_about(
    trunkline: Trunkline, north: ScriptedCarrier
) -> None:
    """One, all, or one that is gone."""
    visit = Browser(local_console(trunkline))
    platform = trunkline.app.platform
    assert set(live.look(platform.switchboard, "north")) == {"north"}
    assert set(live.look(platform.switchboard, live.ALL_CARRIERS)) == {"simulated", "north"}
    assert live.look(platform.switchboard, "gone") == {"gone": (None, (), ())}
    assert "data-watch" in await visit.read("/carriers")


async def test_a_subaccount_hears_nothing_of_carriers(
    trunkline: Trunkline, north: ScriptedCarrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its page asks about."""
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.01)
    sid, token = await subaccount(trunkline)
    headers = {"host": HOST, "authorization": basic(sid, token)}
    listening = Stream(asking(public_console(trunkline), b"carriers=*"), headers)
    assert await listening.status == 200
    await listening.parts.get()
    north.passed = [seen("submit_sm")]
    feed = trunkline.app.platform.feed
    feed.publish(News("carrier", "", "north"))
    feed.publish(News("message", sid, "SM2"))
    assert await listening.next("news") == [["message", "SM2"]]
    await listening.leave()
