"""What is answered is what /openapi.json says, field by field."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.harness import Seen, Trunkline
from trunkline.api.openapi import describe
from trunkline.api.resource import Route, Verb
from trunkline.api.resources import RESOURCES
from trunkline.domain.inventory import NumberKind

DOCUMENT = json.loads(json.dumps(describe(RESOURCES)))
TYPES = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}
FORMATS = {
    "date-time-rfc-2822": r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} "
    r"\d\d:\d\d:\d\d \+0000",
    "phone-number": r"\+\d+",
    "int64": r"-?\d+",
}
# Where each kind of number is sold; numbers between machines are sold nowhere.
COUNTRY = {
    **dict.fromkeys((NumberKind.LOCAL, NumberKind.TOLL_FREE), "US"),
    **dict.fromkeys((NumberKind.MOBILE, NumberKind.NATIONAL, NumberKind.VOIP), "GB"),
    NumberKind.SHARED_COST: "DE",
}
FORMS = {
    "create message": {"To": "+15558675310", "From": "+14155550100", "Body": "Hello"},
    "create incoming phone number": {"AreaCode": "212"},
    "create incoming phone number (Local)": {"PhoneNumber": "+12125551000"},
    "create incoming phone number (Mobile)": {"PhoneNumber": "+447400123456"},
    "create incoming phone number (TollFree)": {"PhoneNumber": "+18005551000"},
    "create outgoing caller id": {"PhoneNumber": "+15558675312"},
    "update messaging geo permissions": {
        "Permissions": '{"country_code": "US", "type": "country", "enabled": true}'
    },
    "create consents in bulk": {
        "Items": json.dumps(
            {
                "contact_id": "+15558675313",
                "correlation_id": 32 * "0",
                "sender_id": "+14155550100",
                "status": "opt-in",
                "source": "website",
            }
        )
    },
    "create messaging service": {"FriendlyName": "Reminders"},
    "create messaging service alpha sender": {"AlphaSender": "Second"},
    "create messaging service destination alpha sender": {
        "AlphaSender": "Second",
        "IsoCountryCode": "DE",
    },
}
PROMOTION = "auth token promotion"
# There are none; what may be asked of them is refused.
CHANNEL_SENDER = "messaging service channel sender"
NONE_OF_THEM = {CHANNEL_SENDER, "contacts in bulk", "safe list number"}
ROUTES = [
    route
    for resource in RESOURCES
    for route in resource.routes()
    if route.verb is not Verb.DOWNLOAD and "MachineToMachine" not in route.path
    if resource.name not in NONE_OF_THEM or route.verb is Verb.PAGE
]


def faults(value: Any, schema: Mapping[str, Any], *, at: str = "") -> Iterator[str]:
    """Yield what of a value is not as the schema says."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if type(value) not in [TYPES[name] for name in names]:
        yield f"{at} is {value!r}, not {names}"
    elif isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        yield from (f"{at}.{name} is missing" for name in {*schema["required"]} - {*value})
        yield from (f"{at}.{name} is not described" for name in {*value} - {*known})
        for name in {*value} & {*known}:
            yield from faults(value[name], known[name], at=f"{at}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from faults(item, schema["items"], at=f"{at}[]")
    elif value is not None:
        pattern = schema.get("pattern") or FORMATS.get(schema.get("format", ""), ".*")
        if not re.fullmatch(pattern, str(value)) or value not in schema.get("enum", [value]):
            yield f"{at} is {value!r}, not {schema}"


def test_the_comparison_sees_differences() -> None:
    """Of every sort."""
    view = {"$ref": "#/components/schemas/KeyView"}
    date = "Fri, 20 Nov 2026 12:00:00 +0000"
    good = {
        "sid": "SK" + "0" * 32,
        "friendly_name": "",
        "date_created": date,
        "date_updated": date,
    }
    assert list(faults(good, view)) == []
    for wrong in (
        {**good, "sid": "SK" + "A" * 32},
        {**good, "friendly_name": None},
        {**good, "date_created": "2026-11-20T12:00:00Z"},
        {**good, "secret": ""},
        {"sid": good["sid"]},
    ):
        assert list(faults(wrong, view))


async def sids_of(trunkline: Trunkline) -> dict[str, dict[str, str]]:
    """Make one thing of every kind; return the values of the paths that lead to them."""
    trunkline.receiver.script = picture
    message = (await trunkline.send(MediaUrl="https://app.example.com/cat.png")).json
    await trunkline.run_for(5)
    media = (await trunkline.request("GET", message["subresource_uris"]["media"])).json
    numbers = await trunkline.request("GET", f"{trunkline.base}/IncomingPhoneNumbers.json")
    key = await trunkline.request("POST", f"{trunkline.base}/Keys.json", {})
    common = {"AccountSid": trunkline.account_sid, "MessageSid": message["sid"]}
    sids = {
        "account": trunkline.account_sid,
        "message": message["sid"],
        "media": media["media_list"][0]["sid"],
        "outgoing caller id": await caller_id(trunkline, "+15558675311"),
        "incoming phone number": numbers.json["incoming_phone_numbers"][0]["sid"],
        "key": key.json["sid"],
        "signing key": key.json["sid"],
        "API key": key.json["sid"],
        "alert": await alert(trunkline),
    }
    paths = {name: {**common, "Sid": sid} for name, sid in sids.items()}
    for kind, country in COUNTRY.items():
        paths[f"available phone number ({kind.value})"] = {**common, "CountryCode": country}
    return paths | await in_a_service(trunkline) | {"": {**common, "CountryCode": "US"}}


async def alert(trunkline: Trunkline) -> str:
    """Let a request be refused; return the alert that says so."""
    refused = await trunkline.send("nonsense")
    assert refused.status == 400, refused.body
    await trunkline.run_for(1)
    found = await trunkline.request("GET", "/monitor/v1/Alerts")
    return str(found.json["alerts"][0]["sid"])


async def in_a_service(trunkline: Trunkline) -> dict[str, dict[str, str]]:
    """Make a service with a sender of every kind, and another one; return what leads to them."""
    services = "/messaging/v1/Services"

    async def made(path: str, **form: str) -> str:
        answer = await trunkline.request("POST", path, form)
        assert answer.status == 201, answer.body
        sid: str = answer.json["sid"]
        return sid

    code = await made("/trunkline/v1/numbers", PhoneNumber="72345")
    number = await made(f"{trunkline.base}/IncomingPhoneNumbers.json", AreaCode="415")
    name = "messaging service"
    service = await made(services, FriendlyName="Reminders")
    pool = f"{services}/{service}"
    sids = {
        "phone number": await made(f"{pool}/PhoneNumbers", PhoneNumberSid=number),
        "short code": await made(f"{pool}/ShortCodes", ShortCodeSid=code),
        "alpha sender": await made(f"{pool}/AlphaSenders", AlphaSender="First"),
        "destination alpha sender": await made(
            f"{pool}/DestinationAlphaSenders", AlphaSender="First", IsoCountryCode="DE"
        ),
    }
    paths = {f"{name} {k}": {"ServiceSid": service, "Sid": sid} for k, sid in sids.items()}
    return paths | {
        name: {"Sid": await made(services, FriendlyName="Other")},
        "short code": {"AccountSid": trunkline.account_sid, "Sid": code},
        CHANNEL_SENDER: {"ServiceSid": service},
    }


async def senders_to_add(trunkline: Trunkline) -> dict[str, dict[str, str]]:
    """Return the forms that put numbers into a service which are in none."""
    bought = await trunkline.request(
        "POST", f"{trunkline.base}/IncomingPhoneNumbers.json", {"AreaCode": "415"}
    )
    code = await trunkline.request("POST", "/trunkline/v1/numbers", {"PhoneNumber": "72346"})
    return {
        "create messaging service phone number": {"PhoneNumberSid": bought.json["sid"]},
        "create messaging service short code": {"ShortCodeSid": code.json["sid"]},
    }


async def caller_id(trunkline: Trunkline, phone: str) -> str:
    """Let the holder of a phone verify it; return the SID."""
    path = f"{trunkline.base}/OutgoingCallerIds.json"
    code = (await trunkline.request("POST", path, {"PhoneNumber": phone})).json["validation_code"]
    text = {"To": trunkline.number, "Body": code}
    await trunkline.request("POST", f"/trunkline/v1/phones/{phone}/texts", text)
    await trunkline.run_for(5)
    known = (await trunkline.request("GET", path)).json["outgoing_caller_ids"]
    sid: str = known[0]["sid"]
    return sid


def picture(seen: Seen) -> tuple[int, str, bytes]:
    return 200, "image/png", b"\x89PNG\r\n\x1a\n" + bytes(64)


def turn(route: Route) -> tuple[bool, bool, bool]:
    """Return what decides when a route is called; with another token nobody gets in any more."""
    is_last = route.resource.name == PROMOTION
    return is_last, route.verb is Verb.DELETE, "/Media" not in route.path


async def test_every_operation_answers_as_it_is_described(trunkline: Trunkline) -> None:
    """With the status, every field, and values of their kinds; deletions come last."""
    paths = await sids_of(trunkline)
    whose = {"AccountSid": trunkline.account_sid}
    keys = {"create API key": whose, "page API key": whose}
    forms = FORMS | keys | await senders_to_add(trunkline)
    for route in sorted(ROUTES, key=turn):
        name = route.resource.name
        if name == PROMOTION:
            await trunkline.request("POST", "/v1/AuthTokens/Secondary", {})
        if route.verb is Verb.DELETE and name in {"signing key", "API key"}:
            continue  # The same key, which is gone.
        form = forms.get(f"{route.verb} {name}")
        path = f"{route.path}.json".format_map(paths.get(name, paths[""]))
        answer = await trunkline.request(route.method, path, form)
        assert answer.status == route.status, (path, answer.body)
        described = responses(route)[str(route.status)]
        if route.verb is Verb.DELETE:
            assert (answer.body, "content" in described) == (b"", False)
        else:
            schema = described["content"]["application/json"]["schema"]
            assert list(faults(answer.json, schema)) == []


async def test_errors_are_answered_as_they_are_described(trunkline: Trunkline) -> None:
    """Whatever the operation."""
    for route in ROUTES:
        answer = await trunkline.request(
            route.method, route.path.replace("{", "").replace("}", ""), auth=None
        )
        schema = responses(route)["default"]["content"]["application/json"]["schema"]
        assert answer.status == 401
        assert list(faults(answer.json, schema)) == []


def responses(route: Route) -> dict[str, Any]:
    path = route.path + route.resource.dialect.suffix
    found: dict[str, Any] = DOCUMENT["paths"][path][route.method.lower()]
    return dict(found["responses"])
