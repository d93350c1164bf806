"""Geographic permissions: to which countries an account may send."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Response, Trunkline

ADMIN = "/trunkline/v1/accounts"
GEO = "/v1/Messaging/GeoPermissions"
AMERICAN, CANADIAN, BRITISH = "+15558675310", "+14165550123", "+447400123456"


async def permit(trunkline: Trunkline, *countries: str) -> Any:
    form = [("Country", country) for country in countries]
    answer = await trunkline.request("POST", f"{ADMIN}/{trunkline.account_sid}", form)
    assert answer.status == 200, answer.body
    return answer.json["countries"]


def is_closed(answer: Response) -> bool:
    return answer.status == 400 and answer.json["code"] == 21408


async def closed(trunkline: Trunkline) -> list[str]:
    """Return which of three numbers cannot be texted."""
    phones = (AMERICAN, CANADIAN, BRITISH)
    return [phone for phone in phones if is_closed(await trunkline.send(phone))]


async def test_an_account_sends_where_it_is_let(trunkline: Trunkline) -> None:
    """Everywhere at first, then where the operator says; numbers with one code are told apart."""
    assert await closed(trunkline) == []
    assert await permit(trunkline, "us", "GB") == ["GB", "US"]
    assert await closed(trunkline) == [CANADIAN]
    refused = (await trunkline.send(CANADIAN)).json
    assert refused["message"] == (
        "Permission to send an SMS has not been enabled for the region indicated by the 'To' "
        f"number: {CANADIAN}"
    )
    assert await permit(trunkline, "") is None
    assert await closed(trunkline) == []


async def test_a_number_of_no_country_is_open_to_whom_everything_is(trunkline: Trunkline) -> None:
    """A satellite phone, say."""
    satellite = "+881612345678"
    assert (await trunkline.send(satellite)).status == 201
    await permit(trunkline, "US")
    assert is_closed(await trunkline.send(satellite))


async def change(trunkline: Trunkline, *permissions: object) -> Response:
    form = [("Permissions", json.dumps(permission)) for permission in permissions]
    return await trunkline.request("PATCH", GEO, form)


def one(country: str, enabled: bool, **more: object) -> dict[str, object]:
    return {"country_code": country, "type": "country", "enabled": enabled, **more}


async def seen(trunkline: Trunkline, country: str) -> list[dict[str, object]]:
    answer = await trunkline.request("GET", GEO, {"CountryCode": country})
    found: list[dict[str, object]] = answer.json["permissions"]
    return found


async def test_an_account_closes_and_opens_countries_itself(trunkline: Trunkline) -> None:
    """One by one, with the answer that Twilio gives to each."""
    fine = {"error_code": 0, "error_messages": []}
    everything = (await trunkline.request("GET", GEO)).json["permissions"]
    assert len(everything) > 200
    assert all(each["enabled"] for each in everything)
    changed = await change(trunkline, one("CA", False), one("GB", False))
    assert changed.status == 200
    assert changed.json["permissions"] == [one("CA", False, **fine), one("GB", False, **fine)]
    assert await closed(trunkline) == [CANADIAN, BRITISH]
    assert await seen(trunkline, "CA") == [one("CA", False, **fine)]
    await change(trunkline, one("CA", True))
    assert await closed(trunkline) == [BRITISH]


async def test_an_account_opens_nothing_that_the_operator_closed_to_it(
    trunkline: Trunkline,
) -> None:
    """Within what is left it closes and opens."""
    await permit(trunkline, "US", "GB")
    answer = await change(trunkline, one("CA", True), one("GB", False))
    assert [each["error_code"] for each in answer.json["permissions"]] == [30649, 0]
    assert await closed(trunkline) == [CANADIAN, BRITISH]
    assert [each["enabled"] for each in await seen(trunkline, "CA")] == [False]
    assert await permit(trunkline, "") is None
    assert await closed(trunkline) == []


@pytest.mark.parametrize(
    "permission",
    [
        one("XX", True),
        one("US", True) | {"type": "region"},
        {"country_code": "US", "type": "country"},
        {"country_code": 1, "type": "country", "enabled": True},
        one("US", False) | {"enabled": "no"},
    ],
)
async def test_a_bad_permission_says_what_is_wrong(trunkline: Trunkline, permission: Any) -> None:
    """The good ones beside it are done."""
    answer = await change(trunkline, permission, one("CA", False))
    bad, good = answer.json["permissions"]
    assert bad["error_code"] == 30649
    assert bad["error_messages"]
    assert (good["country_code"], good["error_code"]) == ("CA", 0)
    assert await closed(trunkline) == [CANADIAN]


async def test_nobody_sends_where_the_operator_lets_nobody(tmp_path: Path) -> None:
    """An account cannot open what the setting leaves out."""
    trunkline = Trunkline(tmp_path / "data", countries=["US", "CA"])
    assert await closed(trunkline) == [BRITISH]
    answer = await change(trunkline, one("GB", True), one("CA", False))
    assert [each["error_code"] for each in answer.json["permissions"]] == [30649, 0]
    assert await closed(trunkline) == [CANADIAN, BRITISH]
    assert [each["enabled"] for each in await seen(trunkline, "GB")] == [False]
    await trunkline.close()
