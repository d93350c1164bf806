"""Phone numbers over HTTP: for sale, bought, configured, moved, given back."""

from typing import Any

import pytest

from tests.harness import Response, Trunkline

NUMBER = "+12125550123"


async def buy(trunkline: Trunkline, kind: str = "", **form: str) -> Response:
    return await trunkline.request(
        "POST", f"{trunkline.base}/IncomingPhoneNumbers{kind}.json", form
    )


async def listed(trunkline: Trunkline, kind: str = "", **filters: str) -> list[str]:
    path = f"{trunkline.base}/IncomingPhoneNumbers{kind}.json"
    answer = await trunkline.request("GET", path, filters)
    return [number["phone_number"] for number in answer.json["incoming_phone_numbers"]]


async def for_sale(trunkline: Trunkline, place: str, **filters: str) -> list[dict[str, Any]]:
    path = f"{trunkline.base}/AvailablePhoneNumbers/{place}.json"
    answer = await trunkline.request("GET", path, filters)
    assert answer.status == 200
    assert set(answer.json) == {"available_phone_numbers", "uri"}
    found: list[dict[str, Any]] = answer.json["available_phone_numbers"]
    return found


async def test_countries_say_what_they_have(trunkline: Trunkline) -> None:
    """All at once, and each by itself."""
    base = f"{trunkline.base}/AvailablePhoneNumbers"
    answer = (await trunkline.request("GET", f"{base}.json")).json
    assert set(answer) == {"countries", "uri"}
    (germany,) = [c for c in answer["countries"] if c["country_code"] == "DE"]
    assert (germany["country"], germany["beta"]) == ("Germany", False)
    assert germany["subresource_uris"]["mobile"] == f"{base}/DE/Mobile.json"
    canada = (await trunkline.request("GET", f"{base}/ca.json")).json
    assert set(canada["subresource_uris"]) == {"local", "toll_free"}
    assert (await trunkline.request("GET", f"{base}/XX.json")).json["code"] == 20404


async def test_a_number_that_is_found_can_be_bought_once(trunkline: Trunkline) -> None:
    """Then it is no longer for sale."""
    found = await for_sale(trunkline, "US/Local", AreaCode="212", PageSize="2")
    assert len(found) == 2
    assert found[0]["phone_number"].startswith("+1212")
    assert found[0]["iso_country"] == "US"
    able = {"voice": True, "sms": True, "mms": True, "fax": False}
    # As documents spell them, and as Twilio does in this list alone.
    assert found[0]["capabilities"] == {**able, "SMS": True, "MMS": True}
    wanted = found[0]["phone_number"]
    assert (await buy(trunkline, PhoneNumber=wanted)).status == 201
    taken = await buy(trunkline, PhoneNumber=wanted)
    assert (taken.status, taken.json["code"]) == (400, 21422)
    left = await for_sale(trunkline, "US/Local", AreaCode="212", PageSize="2")
    assert wanted not in [number["phone_number"] for number in left]
    assert len(left) == 2


@pytest.mark.parametrize(
    ("place", "filters", "code"),
    [
        ("US/Mobile", {}, 20404),
        ("XX/Local", {}, 20404),
        ("DE/MachineToMachine", {}, 20404),
        ("US/Local", {"NearLatLong": "1,2"}, 20422),
        ("US/Local", {"AreaCode": "12"}, 21451),
        ("US/Local", {"AreaCode": "x"}, 20422),
        ("US/Local", {"Contains": "?"}, 21421),
        ("US/Local", {"PageSize": "0"}, 20007),
    ],
)
async def test_what_cannot_be_searched_is_refused(
    trunkline: Trunkline, place: str, filters: dict[str, str], code: int
) -> None:
    """A kind that a country has not is no resource of it."""
    path = f"{trunkline.base}/AvailablePhoneNumbers/{place}.json"
    assert (await trunkline.request("GET", path, filters)).json["code"] == code


async def test_a_bought_number_has_every_field(trunkline: Trunkline) -> None:
    """Named after itself as people of its country write it, and ready for texts."""
    bought = (await buy(trunkline, PhoneNumber="(212) 555-0123", SmsUrl="https://a.example/")).json
    assert bought["phone_number"] == NUMBER
    assert bought["friendly_name"] == "(212) 555-0123"
    assert (bought["sms_url"], bought["sms_method"]) == ("https://a.example/", "POST")
    assert (bought["type"], bought["status"], bought["origin"]) == ("local", "in-use", "twilio")
    assert bought["uri"] == f"{trunkline.base}/IncomingPhoneNumbers/{bought['sid']}.json"
    assert (await trunkline.request("GET", bought["uri"])).json == bought


async def test_any_number_of_an_area_code_will_do(trunkline: Trunkline) -> None:
    """Two of them differ; Canada's area codes count, too."""
    first = (await buy(trunkline, AreaCode="212")).json["phone_number"]
    second = (await buy(trunkline, AreaCode="212")).json["phone_number"]
    assert first != second
    assert first[:5] == second[:5] == "+1212"
    assert (await buy(trunkline, AreaCode="416")).json["phone_number"].startswith("+1416")


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({}, 21421),
        ({"PhoneNumber": "nonsense"}, 21421),
        ({"PhoneNumber": "12345"}, 21421),
        ({"PhoneNumber": "whatsapp:+12125550123"}, 21421),
        ({"AreaCode": "999"}, 21452),
        ({"AreaCode": "4155"}, 21451),
        ({"PhoneNumber": NUMBER, "SmsUrl": "ftp://a.example"}, 21402),
        ({"PhoneNumber": NUMBER, "SmsUrl": "https://a.example/{id}"}, 21402),
        ({"PhoneNumber": NUMBER, "SmsUrl": "https://a.example/?q=a|b"}, 21402),
        ({"PhoneNumber": NUMBER, "SmsUrl": "https://a.example/[x]"}, 21402),
        ({"PhoneNumber": NUMBER, "VoiceUrl": "nowhere"}, 21402),
        ({"PhoneNumber": NUMBER, "StatusCallback": "x y"}, 21402),
        ({"PhoneNumber": NUMBER, "SmsMethod": "PUT"}, 21403),
        ({"PhoneNumber": NUMBER, "SmsApplicationSid": "AP" + "0" * 32}, 21420),
        ({"PhoneNumber": NUMBER, "AddressSid": "AD1"}, 20422),
        ({"PhoneNumber": NUMBER, "FriendlyName": "x" * 65}, 20002),
    ],
)
async def test_what_cannot_be_bought_is_refused(
    trunkline: Trunkline, form: dict[str, str], code: int
) -> None:
    """With the code for it, and nothing is bought."""
    before = await listed(trunkline)
    assert (await buy(trunkline, **form)).json["code"] == code
    assert await listed(trunkline) == before


async def test_the_lists_of_a_kind_hold_that_kind(trunkline: Trunkline) -> None:
    """And sell no other."""
    wrong = await buy(trunkline, "/TollFree", PhoneNumber=NUMBER)
    assert wrong.json["code"] == 21422
    missing = await buy(trunkline, "/TollFree")
    assert missing.json["code"] == 21421
    bought = await buy(trunkline, "/TollFree", PhoneNumber="+18005550199")
    assert bought.status == 201
    assert "type" not in bought.json
    assert await listed(trunkline, "/TollFree") == ["+18005550199"]
    assert await listed(trunkline, "/Mobile") == []
    assert await listed(trunkline, "/Local") == [trunkline.number]


async def test_numbers_are_found_by_part_and_by_name(trunkline: Trunkline) -> None:
    """A star stands for any one digit."""
    await buy(trunkline, PhoneNumber=NUMBER, FriendlyName="Front desk")
    assert await listed(trunkline, PhoneNumber="+1212555") == [NUMBER]
    assert await listed(trunkline, PhoneNumber="212*550*23") == [NUMBER]
    assert await listed(trunkline, PhoneNumber="0123*") == []
    assert await listed(trunkline, PhoneNumber="[0-9]") == []
    assert await listed(trunkline, FriendlyName="Front desk") == [NUMBER]
    assert await listed(trunkline, Beta="true") == []
    assert await listed(trunkline, Origin="hosted") == []
    assert await listed(trunkline, Origin="twilio", Beta="false") == [NUMBER, trunkline.number]


async def test_what_is_set_is_given_back_and_the_rest_stays(trunkline: Trunkline) -> None:
    """Also what has no effect here; an empty value clears."""
    number = (await buy(trunkline, PhoneNumber=NUMBER, SmsUrl="https://a.example/")).json
    address = "AD" + "0" * 32
    form = {
        "VoiceUrl": "https://v.example/",
        "VoiceMethod": "get",
        "VoiceCallerIdLookup": "true",
        "AddressSid": address,
        "SmsFallbackUrl": "https://f.example/",
    }
    changed = (await trunkline.request("POST", number["uri"], form)).json
    expected = {
        "voice_url": "https://v.example/",
        "voice_method": "GET",
        "voice_caller_id_lookup": True,
        "address_sid": address,
        "sms_fallback_url": "https://f.example/",
        "date_updated": changed["date_updated"],
    }
    assert changed == {**number, **expected}
    cleared = await trunkline.request("POST", number["uri"], {"SmsUrl": "", "AddressSid": ""})
    assert (cleared.json["sms_url"], cleared.json["address_sid"]) == ("", None)
    assert cleared.json["voice_url"] == "https://v.example/"


async def test_a_number_moves_between_an_owner_and_its_subaccounts(trunkline: Trunkline) -> None:
    """By the owner's hand only."""
    form = {"FriendlyName": "Shop"}
    shop = (await trunkline.request("POST", "/2010-04-01/Accounts.json", form)).json
    number = (await buy(trunkline, PhoneNumber=NUMBER)).json
    stranger = await trunkline.request("POST", number["uri"], {"AccountSid": "AC" + "0" * 32})
    assert stranger.json["code"] == 21470
    moved = await trunkline.request("POST", number["uri"], {"AccountSid": shop["sid"]})
    assert moved.json["account_sid"] == shop["sid"]
    assert (await trunkline.request("GET", number["uri"])).status == 404
    there = number["uri"].replace(trunkline.account_sid, shop["sid"])
    assert (await trunkline.request("GET", there)).status == 200
    back = {"AccountSid": trunkline.account_sid}
    auth = (shop["sid"], shop["auth_token"])
    assert (await trunkline.request("POST", there, back, auth=auth)).json["code"] == 21470
    assert (await trunkline.request("POST", there, back)).status == 200
    assert NUMBER in await listed(trunkline)


async def test_a_number_that_is_given_back_can_be_bought_again(trunkline: Trunkline) -> None:
    """And can no longer send."""
    uri = (await buy(trunkline, PhoneNumber=NUMBER)).json["uri"]
    assert (await trunkline.send(From=NUMBER)).status == 201
    assert (await trunkline.request("DELETE", uri)).status == 204
    assert (await trunkline.request("DELETE", uri)).status == 404
    assert (await trunkline.send(From=NUMBER)).json["code"] == 21659
    assert (await buy(trunkline, PhoneNumber=NUMBER)).status == 201
