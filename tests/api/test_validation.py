"""What a message request is refused for, and in which order."""

import pytest

from tests.harness import Trunkline

OURS = "+14155550100"
TO = "+15558675310"

CASES: list[tuple[dict[str, object], int]] = [
    ({}, 21603),
    ({"From": OURS}, 21604),
    ({"From": OURS, "To": ""}, 21604),
    ({"From": "", "To": TO, "Body": "x"}, 21603),
    ({"From": OURS, "To": TO}, 21619),
    ({"From": OURS, "To": TO, "Body": ""}, 21619),
    ({"From": OURS, "To": TO, "Body": "x" * 1601}, 21617),
    ({"From": OURS, "To": TO, "MediaUrl": ["https://a.example/1"] * 11}, 21623),
    ({"From": OURS, "To": TO, "MediaUrl": ["nonsense"]}, 21620),
    ({"From": OURS, "To": TO, "Body": "x", "StatusCallback": "http://under_score.example"}, 21609),
    ({"From": OURS, "To": TO, "Body": "x", "ValidityPeriod": "0"}, 21624),
    ({"From": OURS, "To": TO, "Body": "x", "ValidityPeriod": "36001"}, 21624),
    ({"From": OURS, "To": TO, "Body": "x", "ScheduleType": "fixed"}, 35111),
    ({"From": OURS, "To": TO, "Body": "x", "SendAt": "2026-12-01T10:00:00Z"}, 35119),
    (
        {
            "From": OURS,
            "To": TO,
            "Body": "x",
            "ScheduleType": "fixed",
            "SendAt": "2026-12-01T10:00:00Z",
        },
        35118,
    ),
    ({"MessagingServiceSid": "MG" + "0" * 32, "To": TO, "Body": "x"}, 21701),
    ({"From": "MG" + "0" * 32, "To": TO, "Body": "x"}, 21701),
    ({"From": OURS, "To": TO, "ContentSid": "HX" + "0" * 32}, 21655),
    ({"From": OURS, "To": TO, "Body": "x", "ContentVariables": "[1]"}, 21656),
    ({"From": OURS, "To": "nonsense", "Body": "x"}, 21211),
    ({"From": OURS, "To": "+1555", "Body": "x"}, 21211),
    ({"From": OURS, "To": "12345", "Body": "x"}, 21265),
    ({"From": "?!", "To": TO, "Body": "x"}, 21212),
    ({"From": OURS, "To": OURS, "Body": "x"}, 21266),
    ({"From": "whatsapp:+14155550100", "To": TO, "Body": "x"}, 21910),
    ({"From": "whatsapp:+14155550100", "To": f"whatsapp:{TO}", "Body": "x"}, 63007),
    ({"From": "Acme", "To": TO, "Body": "x"}, 21612),
    ({"From": "+14155550199", "To": TO, "Body": "x"}, 21659),
    ({"From": "55555", "To": TO, "Body": "x"}, 21659),
]


@pytest.mark.parametrize(("form", "code"), CASES)
async def test_a_request_is_refused_with_its_code(
    trunkline: Trunkline, form: dict[str, object], code: int
) -> None:
    """The answer has Twilio's shape, and nothing is stored."""
    answer = await trunkline.request("POST", f"{trunkline.base}/Messages.json", form)
    assert answer.json["code"] == code, answer.json
    assert answer.json["status"] == answer.status
    assert 400 <= answer.status < 500
    assert answer.json["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    listed = await trunkline.request("GET", f"{trunkline.base}/Messages.json")
    assert listed.json["messages"] == []


async def test_texts_that_clients_match_on(trunkline: Trunkline) -> None:
    """These are on the wire letter by letter."""
    answer = await trunkline.send(to="+1555")
    assert answer.json["message"] == "Invalid 'To' Phone Number: +XXXX"
    answer = await trunkline.send(From=None)
    assert "'From'" in answer.json["message"]


@pytest.mark.parametrize(
    "written", ["+15558675310", " 15558675310", "(555) 867-5310", "555.867.5310", "15558675310"]
)
async def test_recipients_are_normalised(trunkline: Trunkline, written: str) -> None:
    """The usual ways to write a number all mean the same phone."""
    answer = await trunkline.send(to=written)
    assert (answer.status, answer.json["to"]) == (201, "+15558675310")


async def test_alphanumeric_senders_reach_countries_that_allow_them(trunkline: Trunkline) -> None:
    """Germany does; the sender keeps its case."""
    answer = await trunkline.send("+4915112345678", From="Acme Ltd")
    assert (answer.status, answer.json["from"]) == (201, "Acme Ltd")


async def test_a_number_of_another_account_is_refused(trunkline: Trunkline) -> None:
    """A subaccount may not send from its parent's number."""
    sub = (await trunkline.request("POST", "/2010-04-01/Accounts.json", {})).json
    form = {"To": TO, "From": OURS, "Body": "x"}
    path = f"/2010-04-01/Accounts/{sub['sid']}/Messages.json"
    answer = await trunkline.request("POST", path, form)
    assert answer.json["code"] == 21660


async def test_sixteen_hundred_characters_are_allowed(trunkline: Trunkline) -> None:
    """Eleven segments at most."""
    answer = await trunkline.send(body="x" * 1600)
    assert (answer.status, answer.json["num_segments"]) == (201, "11")
