"""Test credentials: every answer is as Twilio documents it, and nothing happens."""

import re
from typing import Any

import pytest

from tests.harness import Response, Trunkline

PHONE = "+15558675310"
SENDER = "+15005550006"
MAGIC = "+1500555000"


class Rehearsal:
    """Somebody who has the test credentials of the main account."""

    def __init__(self, program: Trunkline, told: Any) -> None:
        self.program = program
        self.sid: str = told["account_sid"]
        self.auth = told["account_sid"], told["auth_token"]
        self.base = f"/2010-04-01/Accounts/{self.sid}"

    async def ask(self, method: str, path: str, form: dict[str, Any] | None = None) -> Response:
        """Ask for something below the test account."""
        return await self.program.request(method, self.base + path, form, auth=self.auth)

    async def send(self, **changes: object) -> Response:
        """Send a text; None leaves a parameter out."""
        form = {"To": PHONE, "From": SENDER, "Body": "Hello"} | changes
        given = {name: value for name, value in form.items() if value is not None}
        return await self.ask("POST", "/Messages.json", given)


async def told_to(program: Trunkline, sid: str) -> Any:
    path = f"/trunkline/v1/accounts/{sid}/test-credentials"
    return (await program.request("GET", path)).json


@pytest.fixture
async def rehearsal(trunkline: Trunkline) -> Rehearsal:
    return Rehearsal(trunkline, await told_to(trunkline, trunkline.account_sid))


async def test_a_message_is_answered_as_if_it_were_sent(rehearsal: Rehearsal) -> None:
    """The usual body, and no message, text or callback anywhere."""
    answer = await rehearsal.send(StatusCallback="https://app.example.com/status", Body="ä" * 161)
    assert answer.status == 201
    message = answer.json
    assert re.fullmatch(r"SM[0-9a-f]{32}", message["sid"])
    assert (message["status"], message["price"], message["error_code"]) == ("queued", None, None)
    assert (message["account_sid"], message["from"], message["to"]) == (
        rehearsal.sid,
        SENDER,
        PHONE,
    )
    assert message["num_segments"] == "2"
    real = await rehearsal.program.send()
    assert set(message) == set(real.json)
    await rehearsal.program.run_for(5)
    assert [text.body for text in await rehearsal.program.app.network.inbox(PHONE)] == ["Hello"]
    assert rehearsal.program.receiver.seen == []
    listed = await rehearsal.program.request("GET", f"{rehearsal.program.base}/Messages.json")
    assert [each["sid"] for each in listed.json["messages"]] == [real.json["sid"]]
    path = f"{rehearsal.program.base}/Messages/{message['sid']}.json"
    assert (await rehearsal.program.request("GET", path)).status == 404


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"From": MAGIC + "1"}, 21212),
        ({"From": MAGIC + "7"}, 21606),
        ({"From": MAGIC + "8"}, 21611),
        ({"From": "+14155550100"}, 21606),
        ({"From": "?"}, 21212),
        ({"To": MAGIC + "1"}, 21211),
        ({"To": MAGIC + "2"}, 21612),
        ({"To": MAGIC + "3"}, 21408),
        ({"To": MAGIC + "4"}, 21610),
        ({"To": MAGIC + "9"}, 21614),
        ({"To": "nobody"}, 21211),
        ({"From": MAGIC + "7", "To": MAGIC + "1"}, 21606),
        ({"From": None}, 21603),
        ({"To": None}, 21604),
        ({"Body": None}, 21602),
        ({"Body": "x" * 1601}, 21617),
        ({"StatusCallback": "nowhere"}, 21609),
    ],
)
async def test_magic_numbers_fail_as_they_are_known_to(
    rehearsal: Rehearsal, given: dict[str, str | None], code: int
) -> None:
    """Each with the code that Twilio documents for it, as HTTP status 400."""
    answer = await rehearsal.send(**given)
    assert (answer.status, answer.json["code"]) == (400, code)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"PhoneNumber": MAGIC + "0"}, 21422),
        ({"PhoneNumber": MAGIC + "1"}, 21421),
        ({"PhoneNumber": "+14155550111"}, 21422),
        ({"PhoneNumber": "nonsense"}, 21421),
        ({"AreaCode": "533"}, 21452),
        ({"AreaCode": "212"}, 21452),
        ({}, 21421),
        ({"PhoneNumber": SENDER, "SmsUrl": "nowhere"}, 21402),
    ],
)
async def test_numbers_are_refused_as_they_are_known_to_be(
    rehearsal: Rehearsal, form: dict[str, str], code: int
) -> None:
    """Buying one has magic numbers, too."""
    answer = await rehearsal.ask("POST", "/IncomingPhoneNumbers.json", form)
    assert (answer.status, answer.json["code"]) == (400, code)


@pytest.mark.parametrize("form", [{"PhoneNumber": SENDER}, {"AreaCode": "500"}])
async def test_a_number_is_answered_as_if_it_were_bought(
    rehearsal: Rehearsal, form: dict[str, str]
) -> None:
    """Any number of times: nobody has it."""
    for _ in range(2):
        given = {**form, "FriendlyName": "Mine", "SmsUrl": "https://app.example.com/sms"}
        bought = await rehearsal.ask("POST", "/IncomingPhoneNumbers.json", given)
        assert bought.status == 201
        assert (bought.json["phone_number"], bought.json["friendly_name"]) == (SENDER, "Mine")
        assert bought.json["account_sid"] == rehearsal.sid
    assert await rehearsal.program.app.platform.directory.number(SENDER) is None


async def test_nothing_else_opens_to_them(rehearsal: Rehearsal) -> None:
    """Neither the rest of the API, nor an account, nor what is the operator's."""
    for method, path in (
        ("GET", ".json"),
        ("GET", "/Messages.json"),
        ("POST", f"/Messages/SM{'0' * 32}.json"),
        ("GET", "/IncomingPhoneNumbers.json"),
        ("POST", "/IncomingPhoneNumbers/Local.json"),
        ("GET", "/Balance.json"),
        ("POST", "/Keys.json"),
    ):
        answer = await rehearsal.ask(method, path)
        assert (answer.status, answer.json["code"]) == (403, 20008), path
    answer = await rehearsal.send(From=None, MessagingServiceSid="MG" + "0" * 32)
    assert (answer.status, answer.json["code"]) == (403, 20008)
    program, auth = rehearsal.program, rehearsal.auth
    form = {"To": PHONE, "From": SENDER, "Body": "Hello"}
    for path in (f"{program.base}/Messages.json", "/trunkline/v1/carriers"):
        answer = await program.request("POST", path, form, auth=auth)
        assert (answer.status, answer.json["code"]) == (401, 20003), path
    remote = {"x-forwarded-for": "192.0.2.1"}
    console = await program.request("GET", "/console/", auth=auth, headers=remote)
    assert console.status == 401


async def test_each_account_has_its_own(rehearsal: Rehearsal) -> None:
    """They stay the same, have a secret of their own, and end with their account."""
    program = rehearsal.program
    assert await told_to(program, program.account_sid) == await told_to(
        program, program.account_sid
    )
    shop = (await program.request("POST", "/2010-04-01/Accounts.json", {})).json
    theirs = Rehearsal(program, await told_to(program, shop["sid"]))
    assert theirs.sid != rehearsal.sid
    assert (await theirs.send()).status == 201
    for secret in (shop["auth_token"], rehearsal.auth[1], ""):
        other = Rehearsal(program, {"account_sid": theirs.sid, "auth_token": secret})
        assert (await other.send()).status == 401
    path = f"/2010-04-01/Accounts/{shop['sid']}.json"
    assert (await program.request("POST", path, {"Status": "suspended"})).status == 200
    assert (await theirs.send()).json["code"] == 20005
    assert (await program.request("POST", path, {"Status": "closed"})).status == 200
    assert (await theirs.send()).status == 401
    stranger = f"/trunkline/v1/accounts/AC{'0' * 32}/test-credentials"
    assert (await program.request("GET", stranger)).status == 404
