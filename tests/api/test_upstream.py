"""The carrier that the environment offers, and what an upstream account asks of our memory."""

from datetime import timedelta

from tests.harness import Trunkline
from trunkline.cli.banner import banner
from trunkline.datadir import StartedFacts
from trunkline.domain.carrier import CarrierAccount, CarrierState
from trunkline.domain.routing import Ask
from trunkline.flows import carriers
from trunkline.flows.upstream import References, adopt

AC = "AC" + "a1" * 16
SK = "SK" + "b2" * 16
BY_TOKEN = {"account_sid": AC, "auth_token": "token", "from_number": "+15550006001"}
BY_KEY = {"account_sid": AC, "api_key_sid": SK, "api_key_secret": "key"}


async def account_of(trunkline: Trunkline) -> CarrierAccount:
    account = await carriers.find(trunkline.app.platform, "twilio")
    assert account is not None
    return account


async def test_an_offer_becomes_a_carrier_without_a_route(trunkline: Trunkline) -> None:
    """Its secrets are sealed."""
    platform = trunkline.app.platform
    assert await adopt(platform, "twilio", "twilio", settings=BY_TOKEN)
    account = await account_of(trunkline)
    assert account.settings == {"account_sid": AC, "from_number": "+15550006001"}
    assert platform.vault.open(account.sealed["auth_token"]) == "token"
    ask = Ask(account_sid=AC, sender="+15550006001", recipient="+15558675310")
    found = [route.carrier for route in platform.switchboard.table.candidates(ask)]
    assert found == ["simulated"]


async def test_a_changed_offer_changes_the_carrier_and_keeps_what_the_operator_did(
    trunkline: Trunkline,
) -> None:
    """Who signs in with a key no longer does so with the token; window and state stay."""
    platform = trunkline.app.platform
    await adopt(platform, "twilio", "twilio", settings=BY_TOKEN)
    await carriers.change(platform, "twilio", settings={"window": "3"}, state="disabled")
    assert await adopt(platform, "twilio", "twilio", settings=BY_KEY)
    account = await account_of(trunkline)
    assert account.state is CarrierState.DISABLED
    assert account.settings == {
        "account_sid": AC,
        "api_key_sid": SK,
        "from_number": "+15550006001",
        "window": "3",
    }
    assert set(account.sealed) == {"api_key_secret"}
    again = await account_of(trunkline)
    await adopt(platform, "twilio", "twilio", settings=BY_KEY)
    assert await account_of(trunkline) == again


async def test_a_service_takes_the_place_of_a_number(trunkline: Trunkline) -> None:
    """The two exclude each other."""
    platform = trunkline.app.platform
    await adopt(platform, "twilio", "twilio", settings=BY_TOKEN)
    service = {"account_sid": AC, "auth_token": "token", "messaging_service_sid": "MG" + "c3" * 16}
    await adopt(platform, "twilio", "twilio", settings=service)
    assert "from_number" not in (await account_of(trunkline)).settings


async def test_our_own_account_and_other_carriers_are_left_alone(trunkline: Trunkline) -> None:
    """An application under test has our credentials in the same variables."""
    platform = trunkline.app.platform
    own = BY_TOKEN | {"account_sid": platform.rules.main_account_sid}
    assert not await adopt(platform, "twilio", "twilio", settings=own)
    assert await carriers.find(platform, "twilio") is None
    await carriers.add(platform, name="twilio", carrier_type="simulated", settings={})
    assert not await adopt(platform, "twilio", "twilio", settings=BY_TOKEN)
    assert (await account_of(trunkline)).type == "simulated"


async def test_the_memory_knows_what_was_taken_and_what_is_open(trunkline: Trunkline) -> None:
    """The oldest open message counts from when it was made, until its receipt."""
    references, began = References(trunkline.app.store), trunkline.clock.now()
    assert await references.oldest_open("simulated", since=began) is None
    trunkline.clock.advance(60)
    sent = await trunkline.send()
    await trunkline.app.settle()
    oldest = await references.oldest_open("simulated", since=began)
    assert oldest is not None
    assert abs(oldest - trunkline.clock.now()) < timedelta(seconds=1)
    assert await references.oldest_open("simulated", since=oldest + timedelta(seconds=1)) is None
    assert await references.oldest_open("other", since=began) is None
    events = await trunkline.events(sent.json["sid"])
    (ref,) = (e["detail"]["segments"][0]["ref"] for e in events if e["kind"] == "handed_over")
    many = [f"unknown {number}" for number in range(6000)]
    assert await references.known("simulated", [*many, ref]) == {ref}
    assert await references.known("other", [ref]) == set()
    await trunkline.run_for(60)
    assert await references.oldest_open("simulated", since=began) is None


def test_the_banner_says_how_to_route_to_it() -> None:
    """On the first start and on every other."""
    for is_first_start in (True, False):
        facts = StartedFacts(
            base_url="http://127.0.0.1:8800",
            console_url="http://127.0.0.1:8800/console",
            account_sid=AC,
            auth_token="t",
            phone_number="+15550006001",
            is_first_start=is_first_start,
            upstream="twilio",
        )
        assert "trunkline routes add --carrier twilio --prefix +1\n" in banner(facts).plain
