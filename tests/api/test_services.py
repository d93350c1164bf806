"""Messaging Services over HTTP: made, changed, deleted; senders that come and go; inbound texts."""

import asyncio
from typing import Any

import pytest

from tests.harness import PORT, Response, Trunkline
from trunkline.domain.service import POOL_MAX
from trunkline.flows import services
from trunkline.flows.services import Changes
from trunkline.store import pools
from trunkline.store.sticky import find_sticky, keep_sticky

BASE = f"http://127.0.0.1:{PORT}/messaging"
SERVICES = "/messaging/v1/Services"
NUMBER_APP = "https://app.example.com/number"
SERVICE_APP = "https://app.example.com/service"
PHONE = "+15558675310"
NOBODY = "MG" + "0" * 32
Pair = tuple[str, str]


async def post(trunkline: Trunkline, path: str, auth: Pair | str = "", **form: str) -> Response:
    return await trunkline.request("POST", f"{SERVICES}{path}", form, auth=auth)


async def got(trunkline: Trunkline, path: str, **query: object) -> Any:
    return (await trunkline.request("GET", f"{SERVICES}{path}", query)).json


async def made(trunkline: Trunkline, **form: str) -> str:
    """Make a service and return its path."""
    answer = await post(trunkline, "", FriendlyName="Reminders", **form)
    assert answer.status == 201, answer.body
    return f"/{answer.json['sid']}"


async def sid_of(trunkline: Trunkline, number: str) -> str:
    """Return the SID of a number of ours."""
    path = f"{trunkline.base}/IncomingPhoneNumbers.json"
    found = (await trunkline.request("GET", path, {"PhoneNumber": number})).json
    (one,) = found["incoming_phone_numbers"]
    return str(one["sid"])


async def bought(trunkline: Trunkline, area: str = "212") -> Any:
    path = f"{trunkline.base}/IncomingPhoneNumbers.json"
    return (await trunkline.request("POST", path, {"AreaCode": area})).json


async def short_code(trunkline: Trunkline, code: str = "72345", **form: str) -> Any:
    """Give us a short code, as an operator does; return it as the API shows it."""
    given = {"PhoneNumber": code, **form}
    added = await trunkline.request("POST", "/trunkline/v1/numbers", given)
    assert added.status == 201, added.body
    path = f"{trunkline.base}/SMS/ShortCodes/{added.json['sid']}.json"
    return (await trunkline.request("GET", path)).json


def refused(answer: Response) -> tuple[int, int]:
    return answer.status, answer.json["code"]


async def known(trunkline: Trunkline, sid: str, *recipients: str) -> dict[str, str]:
    """Return which senders of a service some recipients know."""
    return await trunkline.app.store.read(
        lambda db: find_sticky(db, trunkline.account_sid, sid, recipients)
    )


async def acquaint(trunkline: Trunkline, sid: str, senders: dict[str, str]) -> None:
    """Let recipients know senders of a service, as sending to them would."""
    now = trunkline.clock.now()
    await trunkline.app.store.write(
        lambda db: keep_sticky(db, trunkline.account_sid, sid, senders, now=now)
    )


async def test_a_service_is_made_with_the_defaults_of_twilio(trunkline: Trunkline) -> None:
    """Only a name is needed; its addresses are those under which it was asked for."""
    answer = await post(trunkline, "", FriendlyName="Reminders")
    assert answer.status == 201
    service = answer.json
    sid = service["sid"]
    expected = {
        "account_sid": trunkline.account_sid,
        "friendly_name": "Reminders",
        "date_created": "2026-11-20T12:00:00Z",
        "inbound_request_url": None,
        "inbound_method": "POST",
        "fallback_url": None,
        "fallback_method": "POST",
        "status_callback": None,
        "sticky_sender": True,
        "mms_converter": True,
        "smart_encoding": True,
        "scan_message_content": "inherit",
        "fallback_to_long_code": True,
        "area_code_geomatch": True,
        "validity_period": 36000,
        "synchronous_validation": False,
        "usecase": "undeclared",
        "us_app_to_person_registered": False,
        "use_inbound_webhook_on_number": False,
        "url": f"{BASE}/v1/Services/{sid}",
    }
    assert expected.items() <= service.items()
    assert service["links"]["phone_numbers"] == f"{BASE}/v1/Services/{sid}/PhoneNumbers"
    assert len(service["links"]) == 8
    assert await got(trunkline, f"/{sid}") == service
    by_host = await trunkline.request(
        "GET", f"/v1/Services/{sid}", host="messaging.trunkline.example"
    )
    assert by_host.json["url"] == f"http://messaging.trunkline.example/v1/Services/{sid}"


async def test_a_service_is_changed_listed_and_deleted(trunkline: Trunkline) -> None:
    """What is not named stays; an empty URL is none; what is deleted is gone."""
    first = await made(trunkline, FallbackUrl=NUMBER_APP, Usecase="Marketing")
    second = await made(trunkline)
    trunkline.clock.advance(60)
    wishes = {
        "StickySender": "false",
        "ValidityPeriod": "600",
        "FallbackUrl": "",
        "InboundMethod": "GET",
        "ScanMessageContent": "disable",
        "UseInboundWebhookOnNumber": "true",
    }
    changed = (await trunkline.request("POST", SERVICES + first, wishes)).json
    assert (changed["friendly_name"], changed["usecase"]) == ("Reminders", "marketing")
    assert (changed["sticky_sender"], changed["validity_period"]) == (False, 600)
    assert (changed["fallback_url"], changed["inbound_method"]) == (None, "GET")
    assert changed["date_updated"] == "2026-11-20T12:01:00Z"
    page = await got(trunkline, "", PageSize=1)
    assert [f"/{each['sid']}" for each in page["services"]] == [second]
    assert page["meta"]["key"] == "services"
    following = page["meta"]["next_page_url"]
    assert following.startswith(f"{BASE}/v1/Services?")
    rest = await trunkline.request("GET", following.removeprefix(f"http://127.0.0.1:{PORT}"))
    assert rest.json["services"] == [changed]
    assert (await trunkline.request("DELETE", SERVICES + first)).status == 204
    assert refused(await trunkline.request("GET", SERVICES + first)) == (404, 20404)
    assert refused(await trunkline.request("DELETE", SERVICES + first)) == (404, 20404)
    assert refused(await post(trunkline, first, FriendlyName="x")) == (404, 20404)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"FriendlyName": ""}, 20422),
        ({"FriendlyName": "x" * 65}, 20002),
        ({"Usecase": "fun"}, 21713),
        ({"ValidityPeriod": "0"}, 21624),
        ({"ValidityPeriod": "36001"}, 21624),
        ({"ValidityPeriod": "soon"}, 21624),
        ({"InboundRequestUrl": "ftp://a.example"}, 20422),
        ({"FallbackUrl": "nowhere"}, 20422),
        ({"StatusCallback": "nowhere"}, 21609),
        ({"InboundMethod": "PUT"}, 20422),
        ({"ScanMessageContent": "maybe"}, 20422),
        ({"StickySender": "maybe"}, 20422),
    ],
)
async def test_what_a_service_cannot_be_is_refused(
    trunkline: Trunkline, form: dict[str, str], code: int
) -> None:
    """Nothing is made then."""
    given = {"FriendlyName": "Reminders", **form}
    answer = await trunkline.request("POST", SERVICES, given)
    assert refused(answer) == (400, code)
    assert (await got(trunkline, ""))["services"] == []


async def test_an_account_has_so_many_services(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is refused, and an account's own are not another's."""
    monkeypatch.setattr(services, "SERVICES_MAX", 2)
    await made(trunkline)
    mine = await made(trunkline)
    assert refused(await post(trunkline, "", FriendlyName="x")) == (403, 20403)
    sub = (await trunkline.request("POST", "/2010-04-01/Accounts.json", {})).json
    auth = (sub["sid"], sub["auth_token"])
    assert (await post(trunkline, "", auth=auth, FriendlyName="x")).status == 201
    assert refused(await post(trunkline, mine, auth=auth, FriendlyName="x")) == (404, 20404)
    theirs = await post(trunkline, f"{mine}/AlphaSenders", auth=auth, AlphaSender="ACME")
    assert refused(theirs) == (404, 21701)


async def test_what_services_may_be_for_is_told(trunkline: Trunkline) -> None:
    """Each can be given to a service."""
    found = (await got(trunkline, "/Usecases"))["usecases"]
    assert len(found) == 6
    assert all(each["purpose"] and each["description"] for each in found)
    for each in found:
        await made(trunkline, Usecase=each["usecase"])


async def test_a_number_is_in_one_service_at_most(trunkline: Trunkline) -> None:
    """It is added, shown, refused a second time here and elsewhere, and taken out again."""
    path, other = await made(trunkline), await made(trunkline)
    sid = await sid_of(trunkline, trunkline.number)
    added = await post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=sid)
    assert added.status == 201
    number = added.json
    assert (number["sid"], number["service_sid"]) == (sid, path[1:])
    assert (number["phone_number"], number["country_code"]) == (trunkline.number, "US")
    assert number["capabilities"] == ["MMS", "SMS", "Voice"]
    assert number["url"] == f"{BASE}/v1/Services{path}/PhoneNumbers/{sid}"
    assert await got(trunkline, f"{path}/PhoneNumbers/{sid}") == number
    assert (await got(trunkline, f"{path}/PhoneNumbers"))["phone_numbers"] == [number]
    assert (await got(trunkline, f"{path}/ShortCodes"))["short_codes"] == []
    again = await post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=sid)
    assert refused(again) == (409, 21710)
    elsewhere = await post(trunkline, f"{other}/PhoneNumbers", PhoneNumberSid=sid)
    assert refused(elsewhere) == (409, 21712)
    for wrong in (f"{other}/PhoneNumbers/{sid}", f"{path}/AlphaSenders/{sid}"):
        assert refused(await trunkline.request("GET", SERVICES + wrong)) == (404, 21711)
        assert refused(await trunkline.request("DELETE", SERVICES + wrong)) == (404, 21711)
    gone = await trunkline.request("DELETE", f"{SERVICES}{path}/PhoneNumbers/{sid}")
    assert gone.status == 204
    assert (await post(trunkline, f"{other}/PhoneNumbers", PhoneNumberSid=sid)).status == 201
    assert await sid_of(trunkline, trunkline.number) == sid


async def test_services_that_want_a_number_at_once_do_not_share_it(trunkline: Trunkline) -> None:
    """One of them has it, the others are told where it is; so also while it is given back."""
    paths = [await made(trunkline) for _ in range(4)]
    number = await bought(trunkline)
    asked = [
        post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=number["sid"]) for path in paths
    ]
    answers = await asyncio.gather(*asked, trunkline.request("DELETE", number["uri"]))
    assert answers[-1].status == 204
    added = [answer for answer in answers[:-1] if answer.status == 201]
    assert len(added) <= 1
    codes = {answer.json["code"] for answer in answers[:-1] if answer.status != 201}
    assert codes <= {21712, 21421}
    for path in paths:
        assert (await got(trunkline, f"{path}/PhoneNumbers"))["phone_numbers"] == []


async def test_what_is_missing_of_a_sender_is_named(trunkline: Trunkline) -> None:
    """By the parameter that has to be given."""
    path = await made(trunkline)
    for kind in ("PhoneNumber", "ShortCode"):
        answer = await post(trunkline, f"{path}/{kind}s")
        assert refused(answer) == (400, 21421)
        assert f"`{kind}Sid`" in answer.json["message"]


async def test_what_is_no_number_of_the_account_is_not_added(trunkline: Trunkline) -> None:
    """Nor is one that carries no texts, nor anything to a service that is not there."""
    path = await made(trunkline)
    code = await short_code(trunkline)
    nobodys = "PN" + "0" * 32
    for sid in ("", "PN1", nobodys, code["sid"]):
        answer = await post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=sid)
        assert refused(answer) == (400, 21421), sid
    answer = await post(trunkline, f"{path}/ShortCodes", ShortCodeSid="SC" + "0" * 32)
    assert refused(answer) == (400, 21421)
    none = {"SmsEnabled": "false", "MmsEnabled": "false"}
    search = f"{trunkline.base}/AvailablePhoneNumbers/DE/Local.json"
    found = (await trunkline.request("GET", search, none)).json["available_phone_numbers"]
    wanted = {"PhoneNumber": found[0]["phone_number"]}
    landline = await trunkline.request(
        "POST", f"{trunkline.base}/IncomingPhoneNumbers.json", wanted
    )
    silent = await post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=landline.json["sid"])
    assert refused(silent) == (400, 21715)
    sid = await sid_of(trunkline, trunkline.number)
    for service, error in ((f"/{NOBODY}", (404, 21701)), ("/MG1", (400, 21705))):
        there = f"{service}/PhoneNumbers"
        assert refused(await post(trunkline, there, PhoneNumberSid=sid)) == error
        assert refused(await trunkline.request("GET", SERVICES + there)) == error
        assert refused(await trunkline.request("GET", f"{SERVICES}{there}/{sid}")) == error


async def test_alphanumeric_senders_are_for_one_country_or_for_all_others(
    trunkline: Trunkline,
) -> None:
    """The same name may be in many services; each place has one of it."""
    path, other = await made(trunkline), await made(trunkline)
    everywhere = await post(trunkline, f"{path}/AlphaSenders", AlphaSender="ACME")
    assert (everywhere.status, everywhere.json["capabilities"]) == (201, ["SMS"])
    sid = everywhere.json["sid"]
    assert sid.startswith("AI")
    assert everywhere.json["url"] == f"{BASE}/v1/Services{path}/AlphaSenders/{sid}"
    assert (await post(trunkline, f"{other}/AlphaSenders", AlphaSender="ACME")).status == 201
    again = await post(trunkline, f"{path}/AlphaSenders", AlphaSender="ACME")
    assert refused(again) == (409, 21710)
    there = f"{path}/DestinationAlphaSenders"
    german = await post(trunkline, there, AlphaSender="ACME", IsoCountryCode="de")
    assert (german.status, german.json["iso_country_code"]) == (201, "DE")
    listed = (await got(trunkline, there))["alpha_senders"]
    assert [each["iso_country_code"] for each in listed] == ["DE", None]
    assert (await got(trunkline, there, IsoCountryCode="DE"))["alpha_senders"] == [german.json]
    found = (await got(trunkline, f"{path}/AlphaSenders"))["alpha_senders"]
    assert found == [everywhere.json]
    gone = await trunkline.request("DELETE", f"{SERVICES}{there}/{german.json['sid']}")
    assert gone.status == 204
    assert [each["sid"] for each in (await got(trunkline, there))["alpha_senders"]] == [sid]


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, 21708),
        ({"AlphaSender": "ACME Limited"}, 21709),
        ({"AlphaSender": "12345"}, 21709),
        ({"AlphaSender": "ACME", "IsoCountryCode": "US"}, 21709),
        ({"AlphaSender": "ACME", "IsoCountryCode": "XX"}, 20422),
    ],
)
async def test_what_is_no_alphanumeric_sender_is_refused(
    trunkline: Trunkline, form: dict[str, str], code: int
) -> None:
    """Twelve characters are too many, digits are a number, and some countries take none."""
    path = await made(trunkline)
    answer = await trunkline.request("POST", f"{SERVICES}{path}/DestinationAlphaSenders", form)
    assert refused(answer) == (400, code)


async def test_a_pool_has_room_for_so_many(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as Twilio allows; of all kinds together."""
    assert POOL_MAX == 400
    monkeypatch.setattr(services, "POOL_MAX", 2)
    path = await made(trunkline)
    await post(trunkline, f"{path}/AlphaSenders", AlphaSender="ACME")
    sid = await sid_of(trunkline, trunkline.number)
    assert (await post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=sid)).status == 201
    answer = await post(trunkline, f"{path}/AlphaSenders", AlphaSender="More")
    assert refused(answer) == (412, 21714)


async def test_senders_of_channels_are_refused_by_name(trunkline: Trunkline) -> None:
    """There are none yet, and the list says so."""
    path = f"{await made(trunkline)}/ChannelSenders"
    page = await got(trunkline, path)
    assert (page["senders"], page["meta"]["key"]) == ([], "senders")
    answer = await post(trunkline, path, Sid="XE" + "0" * 32)
    assert refused(answer) == (400, 20422)
    assert "`Sid`" in answer.json["message"]
    assert "WhatsApp" in answer.json["message"]


async def test_short_codes_are_the_operators_to_give(trunkline: Trunkline) -> None:
    """They have a resource of their own, a country, and texts like numbers."""
    code = await short_code(trunkline, SmsUrl=NUMBER_APP)
    assert code["sid"].startswith("SC")
    assert (code["short_code"], code["friendly_name"]) == ("72345", "72345")
    assert code["sms_fallback_url"] is None
    canadian = await short_code(trunkline, "612345", Country="ca", FriendlyName="North")
    listing = f"{trunkline.base}/SMS/ShortCodes.json"
    found = (await trunkline.request("GET", listing)).json["short_codes"]
    assert found == [canadian, code]
    for query in ({"ShortCode": "6*23"}, {"FriendlyName": "North"}):
        assert (await trunkline.request("GET", listing, query)).json["short_codes"] == [canadian]
    changed = await trunkline.request("POST", code["uri"], {"SmsUrl": "", "FriendlyName": "Votes"})
    assert (changed.json["friendly_name"], changed.json["sms_url"]) == ("Votes", None)
    wrong = await trunkline.request("POST", code["uri"], {"SmsUrl": "nowhere"})
    assert refused(wrong) == (400, 21402)
    assert refused(await trunkline.request("DELETE", code["uri"])) == (405, 20004)
    sid = await sid_of(trunkline, trunkline.number)
    as_code = f"{trunkline.base}/SMS/ShortCodes/{sid}.json"
    assert refused(await trunkline.request("GET", as_code)) == (404, 20404)
    path = await made(trunkline)
    added = await post(trunkline, f"{path}/ShortCodes", ShortCodeSid=canadian["sid"])
    assert added.status == 201
    assert (added.json["short_code"], added.json["country_code"]) == ("612345", "CA")
    assert (await got(trunkline, f"{path}/ShortCodes"))["short_codes"] == [added.json]


async def test_a_short_code_sends_and_receives(trunkline: Trunkline) -> None:
    """Until the operator takes it away again."""
    code = await short_code(trunkline, SmsUrl=NUMBER_APP)
    number = code["short_code"]
    assert (await trunkline.send(PHONE, From=number)).status == 201
    await trunkline.app.network.send_from(PHONE, number, body="Hi")
    await trunkline.run_for(5)
    (text,) = await trunkline.app.network.inbox(PHONE)
    assert text.peer == number
    assert [seen.form["To"] for seen in trunkline.receiver.seen] == [number]
    taken = await trunkline.request("POST", "/trunkline/v1/numbers", {"PhoneNumber": number})
    assert refused(taken) == (400, 21422)
    gone = await trunkline.request("DELETE", f"/trunkline/v1/numbers/{number}")
    assert gone.status == 204
    assert refused(await trunkline.send(PHONE, From=number)) == (400, 21659)


async def test_short_codes_are_no_incoming_phone_numbers(trunkline: Trunkline) -> None:
    """Neither in the list nor one by one; a number tells its country itself."""
    code = await short_code(trunkline)
    listing = f"{trunkline.base}/IncomingPhoneNumbers"
    found = (await trunkline.request("GET", f"{listing}.json")).json["incoming_phone_numbers"]
    assert [number["phone_number"] for number in found] == [trunkline.number]
    one = f"{listing}/{code['sid']}.json"
    for method in ("GET", "POST", "DELETE"):
        assert refused(await trunkline.request(method, one)) == (404, 20404)
    for form in (
        {"PhoneNumber": "55555", "Country": "XX"},
        {"PhoneNumber": PHONE, "Country": "DE"},
    ):
        answer = await trunkline.request("POST", "/trunkline/v1/numbers", form)
        assert refused(answer) == (400, 20422)


async def test_a_deleted_service_leaves_its_numbers(trunkline: Trunkline) -> None:
    """They may be in another one then; nobody remembers who wrote to whom."""
    path, other = await made(trunkline), await made(trunkline)
    sid = await sid_of(trunkline, trunkline.number)
    await post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=sid)
    await post(trunkline, f"{path}/AlphaSenders", AlphaSender="ACME")
    for service in (path, other):
        await acquaint(trunkline, service[1:], {PHONE: trunkline.number})
    assert (await trunkline.request("DELETE", SERVICES + path)).status == 204
    assert (await post(trunkline, f"{other}/PhoneNumbers", PhoneNumberSid=sid)).status == 201
    assert await known(trunkline, path[1:], PHONE) == {}
    assert await known(trunkline, other[1:], PHONE) == {PHONE: trunkline.number}


async def test_a_sender_that_leaves_is_known_no_more(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who know another one of the pool go on knowing it, however many they are."""
    monkeypatch.setattr(pools, "STICKY_AT_ONCE", 2)
    path, number = await made(trunkline), await bought(trunkline)
    ours = await sid_of(trunkline, trunkline.number)
    for sid in (ours, number["sid"]):
        await post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=sid)
    people = [f"+1555867531{digit}" for digit in range(7)]
    senders = [trunkline.number, number["phone_number"]]
    knows = {person: senders[index % 2] for index, person in enumerate(people)}
    await acquaint(trunkline, path[1:], knows)
    gone = await trunkline.request("DELETE", f"{SERVICES}{path}/PhoneNumbers/{number['sid']}")
    assert gone.status == 204
    left = {person: sender for person, sender in knows.items() if sender == trunkline.number}
    assert await known(trunkline, path[1:], *people) == left
    assert len(left) == 4


async def release(trunkline: Trunkline, number: Any) -> None:
    await trunkline.request("DELETE", number["uri"])


async def move(trunkline: Trunkline, number: Any) -> None:
    sub = (await trunkline.request("POST", "/2010-04-01/Accounts.json", {})).json
    await trunkline.request("POST", number["uri"], {"AccountSid": sub["sid"]})


async def disown(trunkline: Trunkline, number: Any) -> None:
    await trunkline.request("DELETE", f"/trunkline/v1/numbers/{number['phone_number']}")


@pytest.mark.parametrize("part_with", [release, move, disown])
async def test_a_number_that_leaves_the_account_leaves_its_service(
    trunkline: Trunkline, part_with: Any
) -> None:
    """Given back, moved or taken away by the operator: whoever has it next can use it."""
    path, number = await made(trunkline), await bought(trunkline)
    await post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=number["sid"])
    await acquaint(trunkline, path[1:], {PHONE: number["phone_number"]})
    await part_with(trunkline, number)
    assert (await got(trunkline, f"{path}/PhoneNumbers"))["phone_numbers"] == []
    assert await known(trunkline, path[1:], PHONE) == {}
    directory = trunkline.app.platform.directory
    assert await directory.service_of(number["phone_number"]) is None


async def test_the_numbers_of_a_closed_account_are_in_no_service(trunkline: Trunkline) -> None:
    """Another account buys one and puts it into a service of its own."""
    sub = (await trunkline.request("POST", "/2010-04-01/Accounts.json", {})).json
    auth = (sub["sid"], sub["auth_token"])
    base = f"/2010-04-01/Accounts/{sub['sid']}"
    number = await trunkline.request(
        "POST", f"{base}/IncomingPhoneNumbers.json", {"AreaCode": "212"}
    )
    theirs = (await post(trunkline, "", auth=auth, FriendlyName="Theirs")).json["sid"]
    await post(trunkline, f"/{theirs}/PhoneNumbers", auth=auth, PhoneNumberSid=number.json["sid"])
    now, number_of = trunkline.clock.now(), number.json["phone_number"]
    await trunkline.app.store.write(
        lambda db: keep_sticky(db, sub["sid"], theirs, {PHONE: number_of}, now=now)
    )
    closed = await trunkline.request("POST", f"{base}.json", {"Status": "closed"})
    assert closed.status == 200
    remembered = await trunkline.app.store.read(
        lambda db: find_sticky(db, sub["sid"], theirs, [PHONE])
    )
    assert remembered == {}
    wanted = {"PhoneNumber": number.json["phone_number"]}
    path = f"{trunkline.base}/IncomingPhoneNumbers.json"
    again = await trunkline.request("POST", path, wanted)
    added = await post(
        trunkline, f"{await made(trunkline)}/PhoneNumbers", PhoneNumberSid=again.json["sid"]
    )
    assert added.status == 201, added.body


async def heard(trunkline: Trunkline, media: tuple[str, ...] = ()) -> Any:
    """Let the phone text our number; return the message as the API shows it."""
    await trunkline.app.network.send_from(PHONE, trunkline.number, body="Hi", media=media)
    await trunkline.run_for(10)
    listing = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    return listing.json["messages"][0]


async def test_texts_to_a_number_in_a_service_are_the_services(trunkline: Trunkline) -> None:
    """Its webhook is called, not the number's, and what goes wrong there goes to its fallback."""
    await trunkline.configure_number(SmsUrl=NUMBER_APP, SmsFallbackUrl=f"{NUMBER_APP}/fallback")
    form = {"InboundRequestUrl": SERVICE_APP, "InboundMethod": "GET"}
    path = await made(trunkline, **form, FallbackUrl=f"{SERVICE_APP}/fallback")
    sid = await sid_of(trunkline, trunkline.number)
    assert (await heard(trunkline))["messaging_service_sid"] is None
    await post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=sid)
    trunkline.receiver.script = lambda seen: (
        (204, "", b"") if seen.url.endswith("/fallback") else (500, "", b"")
    )
    message = await heard(trunkline)
    assert message["messaging_service_sid"] == path[1:]
    outside, first, fallback = trunkline.receiver.seen
    assert (outside.url, "MessagingServiceSid" in outside.form) == (NUMBER_APP, False)
    assert (first.method, first.url.partition("?")[0]) == ("GET", SERVICE_APP)
    assert first.form["MessagingServiceSid"] == path[1:]
    assert (fallback.method, fallback.url) == ("POST", f"{SERVICE_APP}/fallback")
    assert (fallback.form["ErrorCode"], fallback.form["MessagingServiceSid"]) == ("11200", path[1:])


async def test_a_service_may_leave_texts_to_its_numbers(trunkline: Trunkline) -> None:
    """Then the number's webhook is called; a service that has none is told of nothing."""
    await trunkline.configure_number(SmsUrl=NUMBER_APP)
    path = await made(trunkline)
    sid = await sid_of(trunkline, trunkline.number)
    await post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=sid)
    assert (await heard(trunkline))["messaging_service_sid"] == path[1:]
    assert trunkline.receiver.seen == []
    form = {"InboundRequestUrl": SERVICE_APP, "UseInboundWebhookOnNumber": "true"}
    await post(trunkline, path, **form)
    await heard(trunkline)
    (seen,) = trunkline.receiver.seen
    assert (seen.url, seen.form["MessagingServiceSid"]) == (NUMBER_APP, path[1:])


async def test_pictures_come_to_the_service_as_well(trunkline: Trunkline) -> None:
    """The webhook waits for the media and then goes where a text would go."""
    await trunkline.configure_number(SmsUrl=NUMBER_APP)
    path = await made(trunkline, InboundRequestUrl=SERVICE_APP)
    sid = await sid_of(trunkline, trunkline.number)
    await post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=sid)
    picture = b"\x89PNG\r\n\x1a\n" + bytes(16)
    trunkline.receiver.script = lambda seen: (
        (200, "image/png", picture) if seen.url.endswith(".png") else (204, "", b"")
    )
    await heard(trunkline, media=("https://pics.example.com/cat.png",))
    seen = trunkline.receiver.seen[-1]
    assert seen.url == SERVICE_APP
    assert (seen.form["NumMedia"], seen.form["MessagingServiceSid"]) == ("1", path[1:])


async def test_a_changed_service_counts_at_once(trunkline: Trunkline) -> None:
    """What the program remembers of pools is what the API says."""
    directory = trunkline.app.platform.directory
    path = await made(trunkline)
    sid = await sid_of(trunkline, trunkline.number)
    pool = await directory.pool(path[1:])
    assert pool is not None
    assert pool.senders == ()
    await post(trunkline, f"{path}/PhoneNumbers", PhoneNumberSid=sid)
    await post(trunkline, path, StickySender="false")
    pool = await directory.pool(path[1:])
    assert pool is not None
    assert [sender.sender for sender in pool.senders] == [trunkline.number]
    assert not pool.service.sticky_sender
    consents = Changes(requires_consent=True)
    platform, account_sid = trunkline.app.platform, trunkline.account_sid
    assert await services.update(platform, account_sid, sid=path[1:], changes=consents)
    pool = await directory.pool(path[1:])
    assert pool is not None
    assert pool.service.requires_consent
