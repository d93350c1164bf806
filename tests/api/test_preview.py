"""What would come of texts is told without sending any."""

import json
from typing import Any

from tests.harness import Response, Trunkline

ADA = "+15558675310"


async def check(trunkline: Trunkline, *texts: tuple[str, str], **form: str) -> Response:
    """Ask what would come of texts."""
    items = [json.dumps({"To": to, "Body": body}) for to, body in texts]
    given = {"From": trunkline.number, **form, "Items": items}
    return await trunkline.request("POST", "/trunkline/v1/messages/check", given)


async def checked(trunkline: Trunkline, *texts: tuple[str, str], **form: str) -> list[Any]:
    """Return what would come of each text."""
    answer = await check(trunkline, *texts, **form)
    assert answer.status == 200, answer.body
    items: list[Any] = answer.json["items"]
    return items


async def test_segments_prices_and_errors_are_foreseen(trunkline: Trunkline) -> None:
    """As they are when the same is sent, and nothing is sent or kept."""
    short, long, nobody = await checked(trunkline, (ADA, "Hi"), (ADA, "x" * 400), ("1", "Hi"))
    assert (short["num_segments"], long["num_segments"]) == (1, 3)
    assert nobody["error_code"] == 21211
    listed = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    assert listed.json["messages"] == []
    sid = (await trunkline.send(body="x" * 400)).json["sid"]
    await trunkline.run_for(5)
    message = await trunkline.message(sid)
    assert message["num_segments"] == str(long["num_segments"])
    assert message["price"] == f"-{long['price']}"


async def test_who_opted_out_is_foreseen(trunkline: Trunkline) -> None:
    """Of the sender, and of the service it is in."""
    await trunkline.app.network.send_from(ADA, trunkline.number, body="STOP")
    await trunkline.run_for(5)
    out, other = await checked(trunkline, (ADA, "Hi"), ("+15558675311", "Hi"))
    assert (out["error_code"], other["error_code"]) == (21610, None)


async def test_what_a_service_would_do_is_foreseen(trunkline: Trunkline) -> None:
    """One that is not there, one without senders, one with, and who opted out of it."""
    missing = "MG" + "0" * 32
    (gone,) = await checked(trunkline, (ADA, "Hi"), From="", MessagingServiceSid=missing)
    assert gone["error_code"] == 21701
    made = await trunkline.request("POST", "/v1/Services", {"FriendlyName": "News"})
    assert made.status == 201, made.body
    service = made.json["sid"]
    (empty,) = await checked(trunkline, (ADA, "Hi"), From="", MessagingServiceSid=service)
    assert empty["error_code"] == 21704
    numbers = await trunkline.request("GET", f"{trunkline.base}/IncomingPhoneNumbers.json")
    sid = numbers.json["incoming_phone_numbers"][0]["sid"]
    path = f"/v1/Services/{service}/PhoneNumbers"
    added = await trunkline.request("POST", path, {"PhoneNumberSid": sid})
    assert added.status == 201, added.body
    (good,) = await checked(trunkline, (ADA, "x" * 200), From="", MessagingServiceSid=service)
    assert (good["num_segments"], good["error_code"]) == (2, None)
    await trunkline.app.network.send_from(ADA, trunkline.number, body="STOP")
    await trunkline.run_for(5)
    (out,) = await checked(trunkline, (ADA, "Hi"), From="", MessagingServiceSid=service)
    assert out["error_code"] == 21610


async def test_what_makes_no_sense_is_refused(trunkline: Trunkline) -> None:
    """No items, too many, and what is no object."""
    assert (await check(trunkline)).json["code"] == 20422
    assert (await check(trunkline, *[(ADA, "x")] * 151)).json["code"] == 20422
    given = {"From": trunkline.number, "Items": "Hello"}
    wrong = await trunkline.request("POST", "/trunkline/v1/messages/check", given)
    assert (wrong.status, wrong.json["code"]) == (400, 20422)
