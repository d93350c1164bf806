"""Messages, their media and feedback as resources over HTTP."""

from typing import Any

import pytest

from tests.harness import Seen, Trunkline

PICTURE = "https://app.example.com/cat.png"
BYTES = b"\x89PNG\r\n\x1a\n" + bytes(64)


def served(seen: Seen) -> tuple[int, str, bytes]:
    return 200, "image/png", BYTES


async def mms(trunkline: Trunkline) -> dict[str, Any]:
    """Send a message with a picture and wait until it has been fetched."""
    trunkline.receiver.script = served
    message: dict[str, Any] = (await trunkline.send(MediaUrl=PICTURE)).json
    await trunkline.run_for(5)
    return message


async def test_a_message_is_shown_with_every_field(trunkline: Trunkline) -> None:
    """As strings where Twilio writes strings; error_code is null, on which clients depend."""
    created = await trunkline.send(Channel="sms", ContentSID="")
    assert created.status == 201
    message = created.json
    sid, date = message["sid"], "Fri, 20 Nov 2026 12:00:00 +0000"
    own = f"{trunkline.base}/Messages/{sid}"
    assert message == {
        "account_sid": trunkline.account_sid,
        "api_version": "2010-04-01",
        "body": "Hello",
        "date_created": date,
        "date_sent": None,
        "date_updated": date,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": trunkline.number,
        "messaging_service_sid": None,
        "num_media": "0",
        "num_segments": "1",
        "price": None,
        "price_unit": "USD",
        "sid": sid,
        "status": "queued",
        "subresource_uris": {"media": f"{own}/Media.json"},
        "to": "+15558675310",
        "uri": f"{own}.json",
    }
    fetched = await trunkline.message(sid)
    links = {"media": f"{own}/Media.json", "feedback": f"{own}/Feedback.json"}
    assert fetched == {**message, "subresource_uris": links}


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"From": None, "To": None, "Body": None}, 21603),
        ({"To": None, "Body": None}, 21604),
        ({"Body": None}, 21619),
        ({"Body": ""}, 21619),
        ({"ValidityPeriod": "soon"}, 21624),
        ({"ValidityPeriod": "36001"}, 21624),
        ({"SendAt": "soon"}, 35114),
        ({"ScheduleType": "weekly"}, 35119),
        ({"SendAsMms": "true"}, 20422),
        ({"ShortenUrls": "true"}, 20422),
        ({"Attempt": "x"}, 20422),
        ({"ContentRetention": "burn"}, 30029),
        ({"MessagingServiceSid": "MG" + "0" * 32}, 21701),
        ({"ContentSid": "HX" + "0" * 32}, 21655),
    ],
)
async def test_what_cannot_be_sent_is_refused(
    trunkline: Trunkline, form: dict[str, Any], code: int
) -> None:
    """With the code for it, and no message is made."""
    refused = await trunkline.send(**{"to": "+15558675310", "body": "Hi", **form})
    assert refused.json["code"] == code
    listed = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    assert listed.json["messages"] == []


async def test_parameters_without_effect_are_taken(trunkline: Trunkline) -> None:
    """They are checked and kept."""
    created = await trunkline.send(
        MaxPrice="0.05",
        ProvideFeedback="true",
        Attempt="2",
        ContentRetention="retain",
        AddressRetention="obfuscate",
        PersistentAction="geo:1,2",
        MessageIntent="otp",
        RiskCheck="disable",
        SendAsMms="false",
    )
    assert created.status == 201


async def test_an_empty_media_url_is_no_media(trunkline: Trunkline) -> None:
    """Forms send the field all the same; beside another one it changes nothing either."""
    text = await trunkline.send(MediaUrl="")
    assert (text.status, text.json["num_media"], text.json["sid"][:2]) == (201, "0", "SM")
    picture = await trunkline.send(MediaUrl=["", PICTURE])
    assert picture.json["num_media"] == "1"
    nothing = await trunkline.send(body="", MediaUrl="")
    assert nothing.json["code"] == 21619


async def test_a_body_can_be_emptied_and_a_message_deleted(trunkline: Trunkline) -> None:
    """Once it is on its way no more."""
    sid = (await trunkline.send()).json["sid"]
    path = f"{trunkline.base}/Messages/{sid}.json"
    assert (await trunkline.request("DELETE", path)).json["code"] == 20009
    await trunkline.run_for(5)
    assert (await trunkline.request("POST", path, {"Body": "other"})).status >= 400
    assert (await trunkline.request("POST", path, {"Status": "sent"})).json["code"] == 20422
    assert (await trunkline.request("POST", path, {"Status": "canceled"})).json["code"] == 30409
    redacted = await trunkline.request("POST", path, {"Body": ""})
    assert (redacted.status, redacted.json["body"]) == (200, "")
    assert (await trunkline.request("POST", path, {})).json["body"] == ""
    deleted = await trunkline.request("DELETE", path)
    assert (deleted.status, deleted.body) == (204, b"")
    assert (await trunkline.request("GET", path)).status == 404


async def test_feedback_is_given_on_a_message(trunkline: Trunkline) -> None:
    """Confirmed, unless it says otherwise; the second word counts."""
    sid = (await trunkline.send()).json["sid"]
    path = f"{trunkline.base}/Messages/{sid}/Feedback.json"
    first = await trunkline.request("POST", path, {})
    assert (first.status, first.json["outcome"], first.json["uri"]) == (200, "confirmed", path)
    second = await trunkline.request("POST", path, {"Outcome": "unconfirmed"})
    assert (second.json["message_sid"], second.json["outcome"]) == (sid, "unconfirmed")
    assert (await trunkline.request("POST", path, {"Outcome": "maybe"})).json["code"] == 20422
    missing = path.replace(sid, "SM" + "0" * 32)
    assert (await trunkline.request("POST", missing, {})).status == 404
    assert (await trunkline.request("GET", path)).status == 405


async def test_media_are_listed_described_and_sent(trunkline: Trunkline) -> None:
    """The way to the bytes is under the same path without .json."""
    message = await mms(trunkline)
    assert message["sid"].startswith("MM")
    path = f"{trunkline.base}/Messages/{message['sid']}/Media"
    (medium,) = (await trunkline.request("GET", f"{path}.json")).json["media_list"]
    assert medium["parent_sid"] == message["sid"]
    assert medium["content_type"] == "image/png"
    assert medium["uri"] == f"{path}/{medium['sid']}.json"
    assert (await trunkline.request("GET", medium["uri"])).json == medium
    answer = await trunkline.request("GET", f"{path}/{medium['sid']}")
    assert (answer.status, answer.body) == (307, b"")
    assert answer.headers["twilio-request-id"].startswith("RQ")
    assert (await trunkline.download(f"{path}/{medium['sid']}")).body == BYTES
    open_to_all = await trunkline.request("GET", f"{path}/{medium['sid']}", auth=None)
    assert open_to_all.status == 401


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"DateCreated": "2026-11-20"}, 1),
        ({"DateCreated": "2026-11-21"}, 0),
        ({"DateCreated<": "2026-11-19"}, 0),
        ({"DateCreated>": "2026-11-20", "DateCreated<": "2026-11-20"}, 1),
        ({"DateCreated>": "2026-11-20T13:00:00Z"}, 0),
    ],
)
async def test_media_are_found_by_date(
    trunkline: Trunkline, filters: dict[str, str], count: int
) -> None:
    """The operators include the day they name."""
    message = await mms(trunkline)
    path = f"{trunkline.base}/Messages/{message['sid']}/Media.json"
    assert len((await trunkline.request("GET", path, filters)).json["media_list"]) == count


async def test_media_outlive_their_message(trunkline: Trunkline) -> None:
    """Until they are deleted themselves."""
    message = await mms(trunkline)
    path = f"{trunkline.base}/Messages/{message['sid']}/Media"
    (medium,) = (await trunkline.request("GET", f"{path}.json")).json["media_list"]
    assert (await trunkline.request("DELETE", message["uri"])).status == 204
    assert (await trunkline.download(f"{path}/{medium['sid']}")).body == BYTES
    assert (await trunkline.request("DELETE", f"{path}/{medium['sid']}.json")).status == 204
    for suffix in ("", ".json"):
        gone = await trunkline.request("GET", f"{path}/{medium['sid']}{suffix}")
        assert (gone.status, gone.json["code"]) == (404, 20404)
    assert (await trunkline.request("DELETE", f"{path}/{medium['sid']}.json")).status == 404
    assert (await trunkline.request("GET", f"{path}.json")).status == 404
