"""Who may do what: credentials, subaccounts, keys."""

import base64
from typing import Any

import pytest

from tests.harness import Response, Trunkline
from trunkline.api.auth import authenticate, parse_basic

STRANGER = "AC" + "0" * 32


def basic(text: str | bytes) -> str:
    octets = text if isinstance(text, bytes) else text.encode()
    return "Basic " + base64.b64encode(octets).decode()


def is_turned_away(answer: Response) -> bool:
    assert answer.headers["www-authenticate"] == 'Basic realm="Twilio API"'
    assert answer.json == {
        "code": 20003,
        "message": "Authenticate",
        "more_info": "https://www.twilio.com/docs/errors/20003",
        "status": 401,
    }
    return answer.status == 401


async def subaccount(trunkline: Trunkline) -> dict[str, Any]:
    created = await trunkline.request("POST", "/2010-04-01/Accounts.json", {})
    account: dict[str, Any] = created.json
    return account


async def key(trunkline: Trunkline, auth: tuple[str, str] | str = "") -> tuple[str, str]:
    sid = auth[0] if auth else trunkline.account_sid
    path = f"/2010-04-01/Accounts/{sid}/Keys.json"
    created = (await trunkline.request("POST", path, {}, auth=auth)).json
    return created["sid"], created["secret"]


@pytest.mark.parametrize(
    "header",
    [
        *("", "Basic", "Basic ", "Bearer x", "Basic !!!", "Basic QQ", "Digest username=x"),
        *(basic("AC"), basic(b"\xff:\xff"), basic(":"), basic("a:b"), basic("AC:1" * 400)),
        *(basic(STRANGER + ":" + "0" * 32), basic("SK" + "0" * 32 + ":secret")),
        *(basic("ÄC:x"), basic("AC\0:x"), "Basic ünicode"),
    ],
)
async def test_what_proves_nothing_is_turned_away(trunkline: Trunkline, header: str) -> None:
    """Whatever way it fails to."""
    answer = await trunkline.request(
        "GET", f"{trunkline.base}.json", auth=None, headers={"authorization": header}
    )
    assert is_turned_away(answer)


async def test_no_credentials_are_turned_away(trunkline: Trunkline) -> None:
    """Also before a body is read."""
    path = f"{trunkline.base}/Messages.json"
    assert is_turned_away(await trunkline.request("GET", path, auth=None))
    assert is_turned_away(await trunkline.request("POST", path, {"To": "x"}, auth=None))


async def test_a_wrong_token_is_turned_away(trunkline: Trunkline) -> None:
    """A part of the right one, or one letter in another case, is wrong."""
    token = trunkline.auth_token
    for wrong in ("", token[:-1], token + "0", token.upper(), f"{token}:"):
        auth = (trunkline.account_sid, wrong)
        assert is_turned_away(await trunkline.request("GET", f"{trunkline.base}.json", auth=auth))


async def test_the_scheme_is_known_in_any_case(trunkline: Trunkline) -> None:
    """As HTTP says."""
    header = basic(f"{trunkline.account_sid}:{trunkline.auth_token}").replace("Basic", "bASIC")
    assert parse_basic(header) == (trunkline.account_sid, trunkline.auth_token)


async def test_an_owner_acts_for_its_subaccounts_and_not_the_other_way(
    trunkline: Trunkline,
) -> None:
    """With its token and with its keys; subaccounts cannot reach each other either."""
    shop, bar = await subaccount(trunkline), await subaccount(trunkline)
    path = f"/2010-04-01/Accounts/{shop['sid']}/Messages.json"
    assert (await trunkline.request("GET", path)).status == 200
    assert (await trunkline.request("GET", path, auth=await key(trunkline))).status == 200
    for account in (bar, {"sid": shop["sid"], "auth_token": bar["auth_token"]}):
        auth = (account["sid"], account["auth_token"])
        assert is_turned_away(await trunkline.request("GET", path, auth=auth))
    own = f"{trunkline.base}/Messages.json"
    auth = (shop["sid"], shop["auth_token"])
    assert is_turned_away(await trunkline.request("GET", own, auth=auth))
    assert is_turned_away(await trunkline.request("GET", own, auth=await key(trunkline, auth)))


@pytest.mark.parametrize("sid", [STRANGER, "AC1", "nonsense", "", "SM" + "0" * 32])
async def test_nobody_learns_which_accounts_there_are(trunkline: Trunkline, sid: str) -> None:
    """One that is not there is like one that is not his."""
    for rest in ("", "/Messages", "/Keys"):
        path = f"/2010-04-01/Accounts/{sid}{rest}.json"
        assert is_turned_away(await trunkline.request("GET", path))


async def test_keys_do_everything_but_accounts_and_keys(trunkline: Trunkline) -> None:
    """Whoever holds one cannot make himself another."""
    auth = await key(trunkline)
    for rest in ("", "/Keys", f"/Keys/{auth[0]}", "/SigningKeys"):
        assert is_turned_away(await trunkline.request("GET", f"{trunkline.base}{rest}", auth=auth))
    assert is_turned_away(await trunkline.request("GET", "/2010-04-01/Accounts", auth=auth))
    for rest in ("/Messages", "/IncomingPhoneNumbers", "/Balance", "/AvailablePhoneNumbers"):
        answer = await trunkline.request("GET", f"{trunkline.base}{rest}", auth=auth)
        assert answer.status == 200


async def test_others_can_ask_who_is_calling(trunkline: Trunkline) -> None:
    """The console and the admin API use the same credentials."""
    platform = trunkline.app.platform
    sid, secret = await key(trunkline)
    by_token = await authenticate(
        platform, basic(f"{trunkline.account_sid}:{trunkline.auth_token}")
    )
    by_key = await authenticate(platform, basic(f"{sid}:{secret}"))
    assert by_token is not None
    assert by_key is not None
    assert by_token.account == by_key.account
    assert (by_token.key, by_key.key and by_key.key.sid) == (None, sid)
    assert await authenticate(platform, None) is None
