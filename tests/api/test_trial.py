"""Trial accounts: they say so in each text, and text only those who agreed."""

from typing import Any

import pytest

from tests.harness import Response, Trunkline
from trunkline.domain.trial import MESSAGES_A_DAY_MAX, TRIAL_PREFIX

PHONE = "+15558675310"
FRIEND = "+15558675311"
ADMIN = "/trunkline/v1/accounts"


class Trial:
    """A trial account with a number of its own."""

    def __init__(self, program: Trunkline, made: Any) -> None:
        self.program = program
        self.sid: str = made["sid"]
        self.auth = made["sid"], made["auth_token"]
        self.base = f"/2010-04-01/Accounts/{self.sid}"
        self.number = ""

    async def post(self, path: str, form: dict[str, object]) -> Response:
        """Ask the API as this account."""
        return await self.program.request("POST", f"{self.base}{path}", form, auth=self.auth)

    async def fetch(self, path: str) -> Any:
        """Look at something as this account."""
        return (await self.program.request("GET", f"{self.base}{path}", auth=self.auth)).json

    async def send(self, recipient: str = PHONE, **changes: object) -> Response:
        """Send a text from its number."""
        form = {"To": recipient, "From": self.number, "Body": "Hello"}
        return await self.post("/Messages.json", form | changes)

    async def verify(self, phone: str = PHONE) -> None:
        """Ask for a code and text it back, as the holder of the phone would."""
        asked = await self.post("/OutgoingCallerIds.json", {"PhoneNumber": phone})
        await self.program.run_for(5)
        await answer(self.program, phone, self.number, asked.json["validation_code"])


async def answer(program: Trunkline, phone: str, number: str, body: str) -> None:
    path = f"/trunkline/v1/phones/{phone}/texts"
    assert (await program.request("POST", path, {"To": number, "Body": body})).status == 201
    await program.run_for(5)


@pytest.fixture
async def trial(trunkline: Trunkline) -> Trial:
    made = await trunkline.request("POST", ADMIN, {"FriendlyName": "Shop", "Type": "Trial"})
    assert (made.status, made.json["type"]) == (201, "Trial")
    trial = Trial(trunkline, made.json)
    bought = await trial.post("/IncomingPhoneNumbers.json", {"PhoneNumber": "+12125551000"})
    trial.number = bought.json["phone_number"]
    return trial


def refusal(response: Response) -> tuple[int, int]:
    return response.status, response.json["code"]


async def test_a_number_is_verified_by_who_holds_it(trial: Trial) -> None:
    """The code is texted there; once it is texted back, the number can be texted and is listed."""
    assert refusal(await trial.send()) == (400, 21608)
    asked = await trial.post("/OutgoingCallerIds.json", {"PhoneNumber": PHONE})
    assert asked.status == 200
    assert asked.json["phone_number"] == PHONE
    await trial.program.run_for(5)
    (text,) = await trial.program.app.network.inbox(PHONE)
    code = asked.json["validation_code"]
    assert len(code) == 6
    assert code in text.body
    assert (await trial.fetch("/OutgoingCallerIds.json"))["outgoing_caller_ids"] == []
    await answer(trial.program, FRIEND, trial.number, code)  # Somebody else's word.
    assert refusal(await trial.send()) == (400, 21608)
    await answer(trial.program, PHONE, trial.number, f" {code} ")
    (known,) = (await trial.fetch("/OutgoingCallerIds.json"))["outgoing_caller_ids"]
    assert (known["phone_number"], known["friendly_name"]) == (PHONE, "(555) 867-5310")
    assert (await trial.send()).status == 201
    again = await trial.post("/OutgoingCallerIds.json", {"PhoneNumber": PHONE})
    assert refusal(again) == (400, 21450)
    path = f"{trial.base}/OutgoingCallerIds/{known['sid']}.json"
    renamed = await trial.program.request("POST", path, {"FriendlyName": "Me"}, auth=trial.auth)
    assert renamed.json["friendly_name"] == "Me"
    assert (await trial.program.request("DELETE", path, auth=trial.auth)).status == 204
    assert refusal(await trial.send()) == (400, 21608)


async def test_a_code_is_good_for_ten_minutes_and_five_tries(trial: Trial) -> None:
    """Whoever guesses gets nowhere, and neither does an old code."""
    asked = await trial.post("/OutgoingCallerIds.json", {"PhoneNumber": PHONE})
    code = asked.json["validation_code"]
    wrong = "000000" if code != "000000" else "111111"
    for _ in range(5):
        await answer(trial.program, PHONE, trial.number, wrong)
    await answer(trial.program, PHONE, trial.number, code)
    assert refusal(await trial.send()) == (400, 21608)
    asked = await trial.post("/OutgoingCallerIds.json", {"PhoneNumber": PHONE})
    await trial.program.run_for(601)
    await answer(trial.program, PHONE, trial.number, asked.json["validation_code"])
    assert refusal(await trial.send()) == (400, 21608)
    await trial.verify()
    assert (await trial.send()).status == 201


async def test_an_account_asks_for_fifty_codes_a_day(trial: Trial) -> None:
    """Each is a text to somebody who did not ask for one."""
    for number in range(50):
        form: dict[str, object] = {"PhoneNumber": f"+155586753{number:02}"}
        assert (await trial.post("/OutgoingCallerIds.json", form)).status == 200
    form = {"PhoneNumber": "+15558675399"}
    assert refusal(await trial.post("/OutgoingCallerIds.json", form)) == (429, 20429)
    await trial.program.run_for(86_401)
    assert (await trial.post("/OutgoingCallerIds.json", form)).status == 200


async def test_who_opted_out_is_sent_no_code(trial: Trial) -> None:
    """Not from the number, and not from one that is in a service that was stopped."""
    await answer(trial.program, PHONE, trial.number, "STOP")
    before = len(await trial.program.app.network.inbox(PHONE))
    asked = await trial.post("/OutgoingCallerIds.json", {"PhoneNumber": PHONE})
    assert refusal(asked) == (400, 21610)
    await trial.program.run_for(5)
    assert len(await trial.program.app.network.inbox(PHONE)) == before
    await answer(trial.program, PHONE, trial.number, "START")
    await trial.verify()
    assert (await trial.send()).status == 201


async def test_what_is_no_number_cannot_be_verified(trial: Trial) -> None:
    """Nor can one that is called: nobody calls from here."""
    path = "/OutgoingCallerIds.json"
    for number in ("", "nonsense", "12345", "whatsapp:+15558675310"):
        assert refusal(await trial.post(path, {"PhoneNumber": number})) == (400, 21401), number
    form: dict[str, object] = {"PhoneNumber": PHONE, "Extension": "12"}
    assert refusal(await trial.post(path, form)) == (400, 20422)


async def test_a_trial_says_so_in_each_text(trial: Trial) -> None:
    """What it says counts among the segments; once upgraded, it says and asks nothing more."""
    await trial.verify()
    sent = (await trial.send(Body="x" * 130)).json
    assert (sent["body"], sent["num_segments"]) == (TRIAL_PREFIX + "x" * 130, "2")
    await trial.program.run_for(5)
    assert (await trial.program.app.network.inbox(PHONE))[-1].body == sent["body"]
    assert (await trial.fetch(".json"))["type"] == "Trial"
    upgraded = await trial.program.request("POST", f"{ADMIN}/{trial.sid}", {"Type": "Full"})
    assert upgraded.json["type"] == "Full"
    assert (await trial.fetch(".json"))["type"] == "Full"
    sent = (await trial.send(FRIEND)).json
    assert (sent["body"], sent["status"]) == ("Hello", "queued")


async def test_a_reply_of_a_trial_is_like_its_texts(trial: Trial) -> None:
    """Whoever writes is answered if he is verified, and the answer says what it is."""
    await trial.verify()
    numbers = await trial.fetch("/IncomingPhoneNumbers.json")
    sid = numbers["incoming_phone_numbers"][0]["sid"]
    form: dict[str, object] = {"SmsUrl": "https://app.example.com/sms"}
    await trial.post(f"/IncomingPhoneNumbers/{sid}.json", form)
    trial.program.receiver.script = lambda seen: (200, "text/plain", b"Welcome")
    for phone in (FRIEND, PHONE):
        await answer(trial.program, phone, trial.number, "Hi")
    assert [text.body for text in await trial.program.app.network.inbox(FRIEND)] == []
    assert (await trial.program.app.network.inbox(PHONE))[-1].body == TRIAL_PREFIX + "Welcome"


async def test_a_trial_has_one_number_and_no_name(trial: Trial) -> None:
    """It buys no second number, and sends from no alphanumeric sender."""
    await trial.verify("+447400123456")
    assert refusal(await trial.send("+447400123456", From="Shop")) == (400, 21267)
    form: dict[str, object] = {"PhoneNumber": "+12125551001"}
    assert refusal(await trial.post("/IncomingPhoneNumbers.json", form)) == (400, 21404)
    form = {"AreaCode": "212"}
    assert refusal(await trial.post("/IncomingPhoneNumbers.json", form)) == (400, 21404)
    program = trial.program
    numbers = f"/2010-04-01/Accounts/{program.account_sid}/IncomingPhoneNumbers.json"
    bought = await program.request("POST", numbers, {"PhoneNumber": "+12125551002"})
    moved = await program.request("POST", bought.json["uri"], {"AccountSid": trial.sid})
    assert refusal(moved) == (400, 21404)
    assert (await program.request("GET", bought.json["uri"])).status == 200


async def test_a_trial_sends_fifty_messages_a_day(trial: Trial) -> None:
    """Tomorrow it may send again."""
    await trial.verify()
    # The code was the first.
    for _ in range(MESSAGES_A_DAY_MAX - 1):
        assert (await trial.send()).status == 201
    refused = await trial.send()
    assert refusal(refused) == (429, 63038)
    assert "retry-after" not in refused.headers
    await trial.program.run_for(12 * 3600)
    assert (await trial.send()).status == 201


async def test_a_service_of_a_trial_is_no_way_around(trial: Trial) -> None:
    """What it may not send from its number or from a name, it may not send from a service."""
    program, services = trial.program, "/messaging/v1/Services"
    made = await program.request("POST", services, {"FriendlyName": "All"}, auth=trial.auth)
    sid = made.json["sid"]
    named = await program.request(
        "POST", f"{services}/{sid}/AlphaSenders", {"AlphaSender": "Shop"}, auth=trial.auth
    )
    assert named.status == 201
    british = "+447400123456"
    assert refusal(await trial.send(british, MessagingServiceSid=sid, From="")) == (400, 21608)
    await trial.verify(british)
    sent = await trial.send(british, MessagingServiceSid=sid, From="")
    await program.run_for(5)
    assert (await trial.fetch(f"/Messages/{sent.json['sid']}.json"))["error_code"] == 21703
    await program.request("POST", f"{ADMIN}/{trial.sid}", {"Type": "Full"})
    sent = await trial.send(british, MessagingServiceSid=sid, From="")
    await program.run_for(5)
    assert (await program.app.network.inbox(british))[-1].peer == "Shop"


@pytest.mark.parametrize("form", [{}, {"Type": "Half"}, {"Country": "XX"}, {"Country": "USA"}])
async def test_only_the_operator_changes_what_an_account_is(
    trial: Trial, form: dict[str, str]
) -> None:
    """And says it right."""
    path = f"{ADMIN}/{trial.sid}"
    assert refusal(await trial.program.request("POST", path, form)) == (400, 20422)
    given = await trial.program.request("POST", path, {"Type": "Full"}, auth=trial.auth)
    assert refusal(given) == (401, 20003)
    missing = await trial.program.request("POST", f"{ADMIN}/AC{'0' * 32}", {"Type": "Full"})
    assert refusal(missing) == (404, 20404)
