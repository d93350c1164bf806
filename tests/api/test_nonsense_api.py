"""Nonsense over HTTP: whatever is sent, the answer is a success or an error in Twilio's shape."""

from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import Response, Trunkline, call_asgi
from trunkline.api.resource import Route
from trunkline.api.resources import RESOURCES

ROUTES = [route for resource in RESOURCES for route in resource.routes()]
METHODS = ("GET", "POST", "DELETE", "PUT", "HEAD")
CONTENT_TYPES = (
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-16",
    "multipart/form-data; boundary=b",
    "multipart/form-data; boundary=\x00",
    "multipart/form-data; boundary=b; charset=idna",
    "application/json",
    ";;;=",
    "",
)
# Values that have broken servers: bounds, other digits, half characters, foreign quotes.
ODD = (
    *("", " ", "\0", "\ufeff", "\U0010ffff", "٣", "1e999", "NaN", "-1", "0", "9" * 50, "null"),
    *("%", "%zz", "../..", "{}", "[]", '{"a":{}}', "'--", "<a>", "\r\nX: y", "a" * 5000, "+1*"),
    *("SM" + "0" * 32, "PA" + "SM" + "0" * 32, "2026-02-30", "9999-12-31T23:59:59-14:00"),
    *("0001-01-01", "+15558675310", "whatsapp:+15558675310", "http://[::1", "https://a_b/"),
)
# One program serves all examples: what they leave behind is part of the nonsense.
nonsense = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

values = st.one_of(st.sampled_from(ODD), st.text(max_size=40))


def is_in_shape(answer: Response) -> bool:
    """Tell whether an answer is a success or an error as Twilio writes one."""
    if answer.status < 400:
        return True
    error: dict[str, Any] = answer.json
    return (
        answer.status < 500
        and set(error) == {"code", "message", "more_info", "status"}
        and error["status"] == answer.status
        and error["more_info"].endswith(str(error["code"]))
        and bool(error["message"])
    )


def parameters_of(route: Route) -> st.SearchStrategy[list[tuple[str, str]]]:
    declared = [field.wire for field in route.inputs.fields] if route.inputs else []
    paging = ["PageSize", "Page", "PageToken"] if route.method == "GET" else []
    names = st.one_of(st.sampled_from([*declared, *paging, "Unknown"]), st.text(max_size=10))
    return st.lists(st.tuples(names, values), max_size=8)


calls = st.sampled_from(ROUTES).flatmap(
    lambda route: st.tuples(st.just(route), parameters_of(route), st.lists(values, max_size=3))
)


@nonsense
@given(calls)
async def test_nonsense_in_parameters_and_paths(
    trunkline: Trunkline, call: tuple[Route, list[tuple[str, str]], list[str]]
) -> None:
    """Every operation, with odd values in its parameters and in its path."""
    route, pairs, parts = call
    odd = [quote(part, safe="") or "x" for part in parts]
    named = dict.fromkeys(route.names, "x") | dict(zip(route.names[::-1], odd, strict=False))
    if len(odd) < len(route.names):
        named[route.names[0]] = trunkline.account_sid
    path = route.path.format_map(named) + ".json"
    assert is_in_shape(await trunkline.request(route.method, path, pairs))


@nonsense
@given(st.lists(st.tuples(st.sampled_from(["To", "From", "Body", "MediaUrl"]), values)))
async def test_nonsense_in_messages(trunkline: Trunkline, pairs: list[tuple[str, str]]) -> None:
    """Around what would be a message."""
    whole = [("To", "+15558675310"), ("From", trunkline.number), ("Body", "Hi"), *pairs]
    assert is_in_shape(await trunkline.request("POST", f"{trunkline.base}/Messages.json", whole))


@nonsense
@given(st.sampled_from(CONTENT_TYPES), st.binary(max_size=200))
async def test_nonsense_in_bodies(trunkline: Trunkline, content_type: str, body: bytes) -> None:
    """Any bytes under any name."""
    for wrapped in (body, b"Body=" + body, b"--b\r\nContent-Disposition: form-data; " + body):
        answer = await trunkline.request(
            "POST",
            f"{trunkline.base}/Messages.json",
            body=wrapped,
            headers={"content-type": content_type},
        )
        assert is_in_shape(answer)
        assert answer.status >= 400


@nonsense
@given(st.sampled_from(METHODS), st.text(max_size=60), st.text(max_size=40))
async def test_nonsense_in_addresses(
    trunkline: Trunkline, method: str, path: str, query: str
) -> None:
    """Any path and any query, encoded or half so."""
    for raw in (path, quote(path), f"{trunkline.base}/{path}", f"{trunkline.base}/%{path}"):
        target = f"/{raw}?{query}&{urlencode({'To': query})}"
        answer = await trunkline.request(method, target)
        assert method == "HEAD" or is_in_shape(answer)


headers = st.dictionaries(
    st.sampled_from(["authorization", "host", "content-type", "content-length", "accept", "range"]),
    st.text(st.characters(max_codepoint=255), max_size=60),
)


@nonsense
@given(st.sampled_from(METHODS), headers, st.binary(max_size=40))
async def test_nonsense_in_headers(
    trunkline: Trunkline, method: str, headers: dict[str, str], body: bytes
) -> None:
    """Any latin-1 text in headers that somebody reads; nobody is let in by them."""
    path = f"{trunkline.base}/Messages.json"
    answer = await call_asgi(trunkline.app.asgi, method, path, headers=headers, body=body)
    assert method == "HEAD" or is_in_shape(answer)
    assert answer.status in {401, 405}


@nonsense
@given(values, values)
async def test_nonsense_in_credentials(trunkline: Trunkline, name: str, secret: str) -> None:
    """Odd names and secrets open nothing."""
    path = f"{trunkline.base}.json"
    for auth in ((name, secret), (trunkline.account_sid, secret), (name, trunkline.auth_token)):
        answer = await trunkline.request("GET", path, auth=auth)
        assert is_in_shape(answer)
        assert answer.status == 401
