"""API keys over the newer API are those of the 2010 API."""

from tests.api.test_console import subaccount
from tests.harness import Trunkline

KEYS = "/iam/v1/Keys"


async def test_a_key_of_one_api_is_a_key_of_the_other(trunkline: Trunkline) -> None:
    """Its secret is told once; times are written as in 2010, unlike elsewhere in newer APIs."""
    form = {"AccountSid": trunkline.account_sid, "FriendlyName": "Deployment"}
    made = await trunkline.request("POST", KEYS, form)
    assert (made.status, made.json["friendly_name"]) == (201, "Deployment")
    assert made.json["date_created"].endswith(" +0000")
    sid, secret = made.json["sid"], made.json["secret"]
    messages = f"{trunkline.base}/Messages.json"
    assert (await trunkline.request("GET", messages, auth=(sid, secret))).status == 200
    listed = await trunkline.request("GET", KEYS, {"AccountSid": trunkline.account_sid})
    assert [(key["sid"], key["flags"]) for key in listed.json["keys"]] == [(sid, [])]
    renamed = await trunkline.request("POST", f"{KEYS}/{sid}", {"FriendlyName": "Other"})
    fetched = await trunkline.request("GET", f"{KEYS}/{sid}")
    assert renamed.json == fetched.json
    assert (fetched.json["friendly_name"], fetched.json["policy"]) == ("Other", None)
    assert "secret" not in fetched.json
    old = await trunkline.request("GET", f"{trunkline.base}/Keys/{sid}.json")
    assert old.json["friendly_name"] == "Other"
    assert (await trunkline.request("DELETE", f"{KEYS}/{sid}")).status == 204
    assert (await trunkline.request("GET", messages, auth=(sid, secret))).status == 401
    assert (await trunkline.request("GET", f"{KEYS}/{sid}")).status == 404


async def test_keys_are_their_account_s_and_its_owner_s(trunkline: Trunkline) -> None:
    """Nobody else learns that there is one, and a key cannot manage keys."""
    one, other = await subaccount(trunkline), await subaccount(trunkline)
    made = await trunkline.request("POST", KEYS, {"AccountSid": one[0]})
    path = f"{KEYS}/{made.json['sid']}"
    assert (await trunkline.request("GET", path, auth=one)).status == 200
    assert (await trunkline.request("GET", path)).status == 200
    for method in ("GET", "POST", "DELETE"):
        assert (await trunkline.request(method, path, auth=other)).status == 404
    listed = await trunkline.request("GET", KEYS, {"AccountSid": one[0]}, auth=other)
    assert (listed.status, listed.json["code"]) == (401, 20003)
    by_key = await trunkline.request("GET", path, auth=(made.json["sid"], made.json["secret"]))
    assert (by_key.status, by_key.json["code"]) == (401, 20003)
    suspended = {"Status": "suspended"}
    await trunkline.request("POST", f"/2010-04-01/Accounts/{one[0]}.json", suspended)
    refused = await trunkline.request("POST", KEYS, {"AccountSid": one[0]})
    assert (refused.status, refused.json["code"]) == (403, 20005)


async def test_a_key_that_is_to_be_restricted_is_refused(trunkline: Trunkline) -> None:
    """Nobody is to believe that a policy holds; and each key has an account."""
    form = {"AccountSid": trunkline.account_sid}
    for more in ({"KeyType": "restricted"}, {"Policy": '{"allow":[]}'}):
        refused = await trunkline.request("POST", KEYS, form | more)
        assert (refused.status, refused.json["code"]) == (400, 20422)
        assert next(iter(more)) in refused.json["message"]
    assert (await trunkline.request("POST", KEYS)).json["code"] == 20422
    listed = await trunkline.request("GET", KEYS, form)
    assert listed.json["keys"] == []
