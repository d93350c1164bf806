"""Accounts, keys and the balance over HTTP."""

import re
from typing import Any

from tests.harness import Response, Trunkline

ACCOUNTS = "/2010-04-01/Accounts.json"


def path_of(account: dict[str, Any], rest: str = "") -> str:
    return f"/2010-04-01/Accounts/{account['sid']}{rest}.json"


def credentials(account: dict[str, Any]) -> tuple[str, str]:
    return account["sid"], account["auth_token"]


async def subaccount(trunkline: Trunkline, name: str = "Shop") -> dict[str, Any]:
    created = await trunkline.request("POST", ACCOUNTS, {"FriendlyName": name})
    assert created.status == 201
    account: dict[str, Any] = created.json
    return account


async def change(trunkline: Trunkline, account: dict[str, Any], **form: str) -> Response:
    return await trunkline.request("POST", path_of(account), form)


async def test_the_main_account_shows_itself(trunkline: Trunkline) -> None:
    """The request with which applications check their credentials."""
    account = (await trunkline.request("GET", f"{trunkline.base}.json")).json
    assert account["sid"] == account["owner_account_sid"] == trunkline.account_sid
    assert account["auth_token"] == trunkline.auth_token
    assert (account["status"], account["type"]) == ("active", "Full")
    assert account["uri"] == f"{trunkline.base}.json"
    assert account["subresource_uris"]["messages"] == f"{trunkline.base}/Messages.json"
    assert account["date_created"].endswith(" +0000")


async def test_a_subaccount_has_a_token_of_its_own(trunkline: Trunkline) -> None:
    """It can act for itself, and its owner for it."""
    account = await subaccount(trunkline)
    assert account["owner_account_sid"] == trunkline.account_sid
    assert re.fullmatch("[0-9a-f]{32}", account["auth_token"])
    for auth in (credentials(account), (trunkline.account_sid, trunkline.auth_token)):
        answer = await trunkline.request("GET", path_of(account), auth=auth)
        assert answer.json == account


async def test_a_subaccount_without_a_name_is_given_one(trunkline: Trunkline) -> None:
    """A name longer than 64 characters is refused."""
    created = await trunkline.request("POST", ACCOUNTS, {})
    assert created.json["friendly_name"] == "SubAccount Created at 2026-11-20 12:00"
    refused = await trunkline.request("POST", ACCOUNTS, {"FriendlyName": "x" * 65})
    assert refused.json["code"] == 20002


async def test_subaccounts_have_no_subaccounts(trunkline: Trunkline) -> None:
    """There are two generations."""
    account = await subaccount(trunkline)
    refused = await trunkline.request("POST", ACCOUNTS, {}, auth=credentials(account))
    assert (refused.status, refused.json["code"]) == (403, 20010)


async def test_the_list_holds_the_owner_and_its_subaccounts(trunkline: Trunkline) -> None:
    """Newest first; by name, by status; a subaccount sees itself alone."""
    shop, bar = await subaccount(trunkline, "Shop"), await subaccount(trunkline, "Bar")

    async def listed(auth: tuple[str, str] | str = "", **filters: str) -> list[str]:
        answer = await trunkline.request("GET", ACCOUNTS, filters, auth=auth)
        return [account["sid"] for account in answer.json["accounts"]]

    assert await listed() == [bar["sid"], shop["sid"], trunkline.account_sid]
    assert await listed(FriendlyName="Shop") == [shop["sid"]]
    assert await listed(Status="closed") == []
    assert await listed(credentials(shop)) == [shop["sid"]]


async def test_a_suspended_account_can_do_nothing_until_it_is_woken(trunkline: Trunkline) -> None:
    """Its owner can still look at it, but not act for it."""
    account = await subaccount(trunkline)
    assert (await change(trunkline, account, Status="suspended")).json["status"] == "suspended"
    keys = path_of(account, "/Keys")
    for method, auth in (("GET", credentials(account)), ("POST", "")):
        refused = await trunkline.request(method, keys, {}, auth=auth)
        assert (refused.status, refused.json["code"]) == (403, 20005)
    assert (await trunkline.request("GET", keys)).status == 200
    assert (await change(trunkline, account, Status="active")).json["status"] == "active"
    assert (await trunkline.request("GET", keys, auth=credentials(account))).status == 200


async def test_closing_is_for_ever_and_frees_the_numbers(trunkline: Trunkline) -> None:
    """A closed account's credentials are none any more."""
    account = await subaccount(trunkline)
    form = {"PhoneNumber": "+12125550123"}
    bought = await trunkline.request("POST", path_of(account, "/IncomingPhoneNumbers"), form)
    assert bought.status == 201
    assert (await change(trunkline, account, Status="closed")).json["status"] == "closed"
    gone = await trunkline.request("GET", path_of(account), auth=credentials(account))
    assert (gone.status, gone.json["code"]) == (401, 20003)
    assert (await change(trunkline, account, Status="active")).json["code"] == 20005
    again = await trunkline.request("POST", f"{trunkline.base}/IncomingPhoneNumbers.json", form)
    assert again.status == 201


async def test_the_status_of_the_main_account_stays(trunkline: Trunkline) -> None:
    """It may be renamed; its status is nobody's to change, nor a subaccount's its own."""
    main = {"sid": trunkline.account_sid}
    assert (await change(trunkline, main, Status="closed")).json["code"] == 21477
    assert (await change(trunkline, main, FriendlyName="Me")).json["friendly_name"] == "Me"
    account = await subaccount(trunkline)
    form = {"Status": "closed"}
    refused = await trunkline.request("POST", path_of(account), form, auth=credentials(account))
    assert refused.json["code"] == 20003


async def test_the_secret_of_a_key_is_told_once(trunkline: Trunkline) -> None:
    """With it, one may act for the account."""
    keys = f"{trunkline.base}/Keys"
    created = await trunkline.request("POST", f"{keys}.json", {"FriendlyName": "CI"})
    assert created.status == 201
    key = created.json
    secret = key.pop("secret")
    assert re.fullmatch("SK[0-9a-f]{32}", key["sid"])
    assert re.fullmatch("[0-9a-f]{64}", secret)
    assert (await trunkline.request("GET", f"{keys}/{key['sid']}.json")).json == key
    assert (await trunkline.request("GET", f"{keys}.json")).json["keys"] == [key]
    messages = f"{trunkline.base}/Messages.json"
    assert (await trunkline.request("GET", messages, auth=(key["sid"], secret))).status == 200


async def test_a_key_is_renamed_and_revoked(trunkline: Trunkline) -> None:
    """Under its older name of signing key, too."""
    for kind in ("Keys", "SigningKeys"):
        created = (await trunkline.request("POST", f"{trunkline.base}/{kind}.json", {})).json
        path = f"{trunkline.base}/{kind}/{created['sid']}.json"
        renamed = await trunkline.request("POST", path, {"FriendlyName": "New"})
        assert renamed.json["friendly_name"] == "New"
        deleted = await trunkline.request("DELETE", path)
        assert (deleted.status, deleted.body) == (204, b"")
        auth = (created["sid"], created["secret"])
        messages = f"{trunkline.base}/Messages.json"
        assert (await trunkline.request("GET", messages, auth=auth)).status == 401
        for method in ("GET", "POST", "DELETE"):
            missing = await trunkline.request(method, path)
            assert (missing.status, missing.json["code"]) == (404, 20404)


async def test_the_keys_of_another_account_are_not_to_be_seen(trunkline: Trunkline) -> None:
    """Not even under the path of one's own account."""
    account = await subaccount(trunkline)
    key = (await trunkline.request("POST", f"{trunkline.base}/Keys.json", {})).json
    other = path_of(account, f"/Keys/{key['sid']}")
    for method in ("GET", "DELETE"):
        assert (await trunkline.request(method, other)).status == 404
    assert (
        await trunkline.request("GET", f"{trunkline.base}/Keys/{key['sid']}.json")
    ).status == 200


async def test_the_balance_is_what_messages_leave(trunkline: Trunkline) -> None:
    """In dollars, as text."""
    path = f"{trunkline.base}/Balance.json"
    before = (await trunkline.request("GET", path)).json
    assert before == {
        "account_sid": trunkline.account_sid,
        "balance": before["balance"],
        "currency": "USD",
    }
    sid = (await trunkline.send()).json["sid"]
    await trunkline.run_for(5)
    price = (await trunkline.message(sid))["price"]
    after = (await trunkline.request("GET", path)).json
    assert float(price) < 0
    assert float(after["balance"]) == float(before["balance"]) + float(price)
