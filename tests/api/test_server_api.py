"""What every request meets: methods, headers, bodies of all sorts, errors in Twilio's shape."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.harness import Response, Trunkline
from trunkline.api.forms import BODY_BYTES_MAX, FIELDS_MAX
from trunkline.api.resource import Call, Op
from trunkline.api.resources.accounts import ACCOUNTS
from trunkline.api.server import ApiServer
from trunkline.domain.account import Account

FORM = "application/x-www-form-urlencoded"


async def post(trunkline: Trunkline, body: bytes, content_type: str | None = FORM) -> Response:
    headers = {} if content_type is None else {"content-type": content_type}
    return await trunkline.request(
        "POST", f"{trunkline.base}/Messages.json", body=body, headers=headers
    )


def whole(trunkline: Trunkline) -> bytes:
    return f"To=%2B15558675310&From=%2B{trunkline.number[1:]}&Body=Hi".encode()


def server_with(trunkline: Trunkline, run: Callable[[Call], Awaitable[object]]) -> ApiServer:
    """Return a server whose accounts are fetched by *run*."""
    resource = replace(ACCOUNTS, fetch=Op(run=run))
    return ApiServer(trunkline.app.platform, [resource])


async def test_every_answer_names_its_request(trunkline: Trunkline) -> None:
    """With an id of its own, how long it took, and how many there are."""
    answers = [await trunkline.request("GET", f"{trunkline.base}.json") for _ in range(2)]
    answers.append(await trunkline.request("GET", "/nowhere"))
    ids = {answer.headers["twilio-request-id"] for answer in answers}
    assert len(ids) == 3
    for answer in answers:
        assert re.fullmatch("RQ[0-9a-f]{32}", answer.headers["twilio-request-id"])
        assert re.fullmatch(r"[0-9]+\.[0-9]{3}", answer.headers["twilio-request-duration"])
        assert answer.headers["twilio-concurrent-requests"] == "1"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["content-type"] == "application/json;charset=utf-8"
        assert answer.headers["content-length"] == str(len(answer.body))


async def test_an_unknown_path_is_named(trunkline: Trunkline) -> None:
    """Without its query, as it was written."""
    path = f"{trunkline.base}/Nothing/%2B1.json"
    answer = await trunkline.request("GET", f"{path}?a=b")
    assert answer.status == 404
    assert answer.json == {
        "code": 20404,
        "message": f"The requested resource {path} was not found",
        "more_info": "https://www.twilio.com/docs/errors/20404",
        "status": 404,
    }


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_message_that_is_not_there_is_named(trunkline: Trunkline, method: str) -> None:
    """Whatever was to be done with it."""
    path = f"{trunkline.base}/Messages/SM{'0' * 32}.json"
    form = {"Body": ""} if method == "POST" else None
    answer = await trunkline.request(method, path, form)
    assert answer.status == 404
    assert answer.json["message"] == f"The requested resource {path} was not found"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "BREW"])
async def test_a_wrong_method_is_told_the_right_ones(trunkline: Trunkline, method: str) -> None:
    """405, and what is allowed."""
    answer = await trunkline.request(method, f"{trunkline.base}/Messages.json", {})
    assert (answer.status, answer.json["code"]) == (405, 20004)
    assert answer.headers["allow"] == "GET, POST, OPTIONS"


async def test_head_is_get_without_its_body(trunkline: Trunkline) -> None:
    """The length is that of the body which is not there."""
    got = await trunkline.request("GET", f"{trunkline.base}.json")
    head = await trunkline.request("HEAD", f"{trunkline.base}.json")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(got.body))


async def test_a_browser_may_ask_beforehand(trunkline: Trunkline) -> None:
    """A preflight carries no credentials."""
    answer = await trunkline.request("OPTIONS", f"{trunkline.base}/Messages.json", auth=None)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-methods"] == "GET, POST, DELETE, OPTIONS"
    assert "Authorization" in answer.headers["access-control-allow-headers"]


async def test_the_description_is_open_to_all(trunkline: Trunkline) -> None:
    """It holds no secret."""
    answer = await trunkline.request("GET", "/openapi.json", auth=None)
    assert (answer.status, answer.json["openapi"]) == (200, "3.1.0")


@pytest.mark.parametrize("content_type", [FORM, FORM.upper() + "; charset=latin1", None])
async def test_a_form_is_read(trunkline: Trunkline, content_type: str | None) -> None:
    """Whatever it says of itself."""
    answer = await post(trunkline, whole(trunkline), content_type)
    assert (answer.status, answer.json["body"]) == (201, "Hi")


async def test_a_form_in_parts_is_read(trunkline: Trunkline) -> None:
    """Files in it are passed over, its charset is not believed."""
    fields = {"To": "+15558675310", "From": trunkline.number, "Body": "Grüße"}
    parts = [f'name="{name}"\r\n\r\n{text}' for name, text in fields.items()]
    parts.append('name="MediaUrl"; filename="a.png"\r\n\r\nbytes')
    lines = [f"--b\r\nContent-Disposition: form-data; {part}\r\n" for part in parts]
    body = ("".join(lines) + "--b--\r\n").encode()
    answer = await post(trunkline, body, "multipart/form-data; boundary=b; charset=punycode")
    assert (answer.status, answer.json["body"]) == (201, "Grüße")
    assert answer.json["num_media"] == "0"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"To": "+15558675310", "Body": "Hi"}'),
        ("text/plain", b"To=%2B15558675310&Body=Hi"),
        ("multipart/form-data", b"--b--"),
        ("multipart/form-data; boundary=b", b"nonsense"),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense\r\n\r\n--b--\r\n"),
        ("multipart/form-data; boundary=" + "b" * 10_000, b"--b--"),
        (FORM, b""),
        (FORM, b"%%%=%ZZ&=&&&"),
        (FORM, b"\xff\xfe%ff=%00"),
    ],
)
async def test_a_body_that_says_nothing_is_an_empty_form(
    trunkline: Trunkline, content_type: str, body: bytes
) -> None:
    """The operation says what it misses: a sender, first of all."""
    answer = await post(trunkline, body, content_type)
    assert (answer.status, answer.json["code"]) == (400, 21603)


async def test_a_body_may_not_be_endless(trunkline: Trunkline) -> None:
    """Whether its length is announced or not."""
    body = b"Body=" + b"x" * BODY_BYTES_MAX
    answer = await post(trunkline, body)
    assert (answer.status, answer.json["status"]) == (413, 413)
    for length in (str(len(body)), "9" * 5000):
        headers = {"content-length": length}
        path = f"{trunkline.base}/Messages.json"
        refused = await trunkline.request("POST", path, {}, headers=headers)
        assert refused.status == 413


async def test_a_body_that_is_packed_is_told_so(trunkline: Trunkline) -> None:
    """It would seem to lack every parameter that is in it."""
    path = f"{trunkline.base}/Messages.json"
    form = {"To": "+15558675310", "From": trunkline.number, "Body": "x"}
    packed = await trunkline.request("POST", path, form, headers={"content-encoding": "gzip"})
    assert (packed.status, packed.json["code"]) == (400, 20001)
    assert "Content-Encoding" in packed.json["message"]
    plain = await trunkline.request("POST", path, form, headers={"content-encoding": "identity"})
    assert plain.status == 201


async def test_parameters_may_not_be_countless(trunkline: Trunkline) -> None:
    """In a body, in a query."""
    many = b"&".join(b"a=b" for _ in range(FIELDS_MAX + 1))
    answer = await post(trunkline, many)
    assert (answer.status, answer.json["code"]) == (400, 20001)
    path = f"{trunkline.base}/Messages.json?{many.decode()}"
    assert (await trunkline.request("GET", path)).status == 400


async def test_a_refused_body_text_is_not_echoed_with_a_nul(trunkline: Trunkline) -> None:
    """A NUL has no place in a text; the parameter is named."""
    answer = await post(trunkline, whole(trunkline) + b"%00")
    assert answer.json["code"] == 20422
    assert "`Body`" in answer.json["message"]


async def test_a_bug_is_answered_and_logged(
    trunkline: Trunkline, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its traceback; without the path, which may hold a number."""

    async def broken(call: Call) -> None:
        raise KeyError(1)

    monkeypatch.setattr(trunkline.app, "asgi", server_with(trunkline, broken))
    with caplog.at_level(logging.ERROR):
        answer = await trunkline.request("GET", f"{trunkline.base}.json")
    assert (answer.status, answer.json["code"]) == (500, 20500)
    assert answer.headers["twilio-request-id"].startswith("RQ")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert trunkline.account_sid not in record.getMessage()


async def test_an_account_has_so_many_requests_answered_at_once(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them are put off and not carried out; another account has room of its own."""
    shop = (await trunkline.request("POST", "/2010-04-01/Accounts.json", {})).json
    inside: asyncio.Queue[None] = asyncio.Queue()
    gate = asyncio.Event()

    async def slow(call: Call) -> Account:
        inside.put_nowait(None)
        await gate.wait()
        return call.account

    platform = trunkline.app.platform
    monkeypatch.setattr(platform, "rules", replace(platform.rules, account_concurrency=2))
    monkeypatch.setattr(trunkline.app, "asgi", server_with(trunkline, slow))

    async def ask(sid: str = trunkline.account_sid) -> Response:
        return await trunkline.request("GET", f"/2010-04-01/Accounts/{sid}.json")

    held = [asyncio.create_task(ask()) for _ in range(2)]
    held += [asyncio.create_task(ask(shop["sid"]))]
    for _ in held:
        await inside.get()
    refused = await ask()
    assert (refused.status, refused.json["code"], inside.qsize()) == (429, 20429, 0)
    assert refused.headers["twilio-concurrent-requests"] == "2"
    assert int(refused.headers["retry-after"]) >= 1
    gate.set()
    assert [answer.status for answer in await asyncio.gather(*held)] == [200] * 3
    later = await ask()
    assert (later.status, later.headers["twilio-concurrent-requests"]) == (200, "1")


async def test_too_many_requests_at_once_are_put_off(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not processed, so that trying again is safe; afterwards there is room again."""
    inside: asyncio.Queue[None] = asyncio.Queue()
    gate = asyncio.Event()

    async def slow(call: Call) -> Account:
        inside.put_nowait(None)
        await gate.wait()
        return call.account

    monkeypatch.setattr("trunkline.api.server.CONCURRENT_REQUESTS_MAX", 2)
    monkeypatch.setattr(trunkline.app, "asgi", server_with(trunkline, slow))

    async def ask() -> Response:
        return await trunkline.request("GET", f"{trunkline.base}.json")

    held = [asyncio.create_task(ask()) for _ in range(2)]
    for _ in held:
        await inside.get()
    refused = await ask()
    assert (refused.status, refused.json["code"]) == (429, 20429)
    assert refused.json["message"] == "Too Many Requests"
    assert int(refused.headers["retry-after"]) >= 1
    gate.set()
    assert [(await answer).status for answer in [*held, asyncio.create_task(ask())]] == [200] * 3
