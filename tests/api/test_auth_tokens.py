"""Rotation of auth tokens: a second one works beside the first, then takes its place."""

from tests.harness import PORT, Response, Trunkline
from trunkline.datadir import read_credentials
from trunkline.webhooks.signature import sign

CALLBACK = "https://app.example.com/status"
SECONDARY = "/v1/AuthTokens/Secondary"
PROMOTE = "/v1/AuthTokens/Promote"


async def secondary(trunkline: Trunkline) -> str:
    created = await trunkline.request("POST", SECONDARY, {})
    assert created.status == 201
    token: str = created.json["secondary_auth_token"]
    return token


async def looks(trunkline: Trunkline, token: str) -> int:
    auth = (trunkline.account_sid, token)
    return (await trunkline.request("GET", f"{trunkline.base}.json", auth=auth)).status


async def signed_by(trunkline: Trunkline, *tokens: str) -> list[str]:
    """Send a text and return which of the tokens its callbacks are signed with."""
    trunkline.receiver.seen.clear()
    auth = (trunkline.account_sid, tokens[-1])
    form = {"To": "+15558675310", "From": trunkline.number, "Body": "x"}
    form |= {"StatusCallback": CALLBACK}
    path = f"{trunkline.base}/Messages.json"
    assert (await trunkline.request("POST", path, form, auth=auth)).status == 201
    await trunkline.run_for(5)
    return [
        next(t for t in tokens if sign(t, s.url, s.form.items()) == s.headers["X-Twilio-Signature"])
        for s in trunkline.receiver.seen
    ]


def is_refused(answer: Response, status: int, code: int) -> bool:
    return (answer.status, answer.json["code"]) == (status, code)


async def test_a_second_token_works_and_signs_only_once_it_is_promoted(
    trunkline: Trunkline,
) -> None:
    """Until then webhooks are signed with the first; afterwards the first is void."""
    old, new = trunkline.auth_token, await secondary(trunkline)
    assert old != new
    assert [await looks(trunkline, token) for token in (old, new)] == [200, 200]
    assert await signed_by(trunkline, old, new) == [old, old]
    promoted = await trunkline.request("POST", PROMOTE, {}, auth=(trunkline.account_sid, old))
    assert (promoted.status, promoted.json["auth_token"]) == (200, new)
    assert promoted.json["url"] == f"http://127.0.0.1:{PORT}{PROMOTE}"
    assert [await looks(trunkline, token) for token in (old, new)] == [401, 200]
    assert await signed_by(trunkline, old, new) == [new, new]


async def test_the_data_directory_learns_of_a_promoted_token(trunkline: Trunkline) -> None:
    """The command line reads it there; what else it says stays."""
    new = await secondary(trunkline)
    await trunkline.run_for(1)
    assert not list(trunkline.config.data_dir.glob("credentials*"))
    await trunkline.request("POST", PROMOTE, {})
    await trunkline.run_for(1)
    left = read_credentials(trunkline.config.data_dir)
    assert (left.account_sid, left.auth_token) == (trunkline.account_sid, new)
    assert left.phone_number == trunkline.number


async def test_a_rotation_can_be_given_up(trunkline: Trunkline) -> None:
    """There is one second token at most, and none to promote or delete where none was made."""
    for method, path in (("POST", PROMOTE), ("DELETE", SECONDARY)):
        assert is_refused(await trunkline.request(method, path), 404, 20404)
    new = await secondary(trunkline)
    assert is_refused(await trunkline.request("POST", SECONDARY, {}), 409, 20409)
    assert await looks(trunkline, new) == 200
    assert (await trunkline.request("DELETE", SECONDARY)).status == 204
    assert [await looks(trunkline, t) for t in (trunkline.auth_token, new)] == [200, 401]
    assert await secondary(trunkline) != new


async def test_a_key_cannot_rotate_tokens(trunkline: Trunkline) -> None:
    """Whoever holds one could lock everybody else out."""
    key = (await trunkline.request("POST", f"{trunkline.base}/Keys.json", {})).json
    auth = (key["sid"], key["secret"])
    for method, path in (("POST", SECONDARY), ("POST", PROMOTE), ("DELETE", SECONDARY)):
        assert is_refused(await trunkline.request(method, path, auth=auth), 401, 20003)
    own = f"/trunkline/v1/accounts/{trunkline.account_sid}"
    for method, path in (
        *(("POST", "/trunkline/v1/accounts"), ("POST", own)),
        *(("POST", f"{own}/auth-token/secondary"), ("DELETE", f"{own}/auth-token/secondary")),
        *(("POST", f"{own}/auth-token/promote"), ("GET", f"{own}/test-credentials")),
    ):
        assert is_refused(await trunkline.request(method, path, auth=auth), 401, 20003), path
    assert (await trunkline.request("GET", own, auth=auth)).status == 200
