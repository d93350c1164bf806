"""Webhook requests as bytes, and answers read from bytes."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_webhook_request import NOW
from trunkline.webhooks.cookies import merge_cookies, parse_set_cookies
from trunkline.webhooks.request import (
    Rendered,
    authority,
    origin,
    parse_target,
    path_and_query,
    render_request,
)
from trunkline.webhooks.signature import sign, sign_form
from trunkline.webhooks.wire import Reader, Reply, encode_request

SIZE_MAX = 100


def read(*pieces: bytes) -> Reply:
    reader = Reader()
    reader.expect(SIZE_MAX)
    if not any(reader.feed(piece) for piece in pieces):
        reader.end()
    return reader.reply


def test_a_request_is_one_run_of_bytes():
    request = Rendered("POST", "https://a.example/x?y=1", {"User-Agent": "A", "X": "ü"}, b"Body=Hi")
    assert encode_request(request, {"Cookie": "a=1"}) == (
        b"POST /x?y=1 HTTP/1.1\r\nHost: a.example\r\nUser-Agent: A\r\nX: \xc3\xbc\r\n"
        b"Cookie: a=1\r\nContent-Length: 7\r\n\r\nBody=Hi"
    )


def test_a_request_without_a_body_says_so_where_one_may_be():
    get = encode_request(Rendered("GET", "http://a.example/", {"User-Agent": "A"}, b""), {})
    post = encode_request(Rendered("POST", "http://a.example/", {}, b""), {})
    assert get == b"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: A\r\n\r\n"
    assert post.endswith(b"\r\nUser-Agent: TwilioProxy/1.1\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\nEvil: 1", "a\r", "a\0"])
def test_a_header_that_would_break_out_is_our_own_mistake(value):
    request = Rendered("GET", "http://a.example/", {"X": value}, b"")
    with pytest.raises(AssertionError):
        encode_request(request, {})


@pytest.mark.parametrize(
    ("url", "where", "host"),
    [
        ("http://A.Example/x", ("http", "a.example", 80), "A.Example"),
        ("https://a.example:443/", ("https", "a.example", 443), "a.example"),
        ("https://a.example:80/", ("https", "a.example", 80), "a.example:80"),
        ("http://a.example.:8080/?b", ("http", "a.example.", 8080), "a.example:8080"),
        ("http://[::1]:8080/", ("http", "[::1]", 8080), "[::1]:8080"),
    ],
)
def test_where_a_request_goes(url, where, host):
    assert origin(url) == where
    assert authority(url) == host


def test_the_request_line_keeps_a_query_whole():
    assert path_and_query("http://a.example/x?a=1?b=2") == "/x?a=1?b=2"
    assert path_and_query("http://a.example/x") == "/x"


TEXTS = st.text(max_size=12) | st.text("+abc019 ._~-&=%", max_size=12)


@given(st.dictionaries(TEXTS, TEXTS, max_size=6))
def test_forms_are_encoded_and_signed_as_ever(parameters):
    target = parse_target("https://a.example/x")
    request = render_request(target, "POST", parameters=parameters, auth_token="s", token="t")
    assert request.body == urlencode(parameters).encode()
    signature = sign_form("s", target.url, form=parameters)
    assert signature == sign("s", target.url, parameters.items())
    assert request.headers["X-Twilio-Signature"] == signature


def test_the_first_of_several_headers_counts():
    reply = read(
        b"HTTP/1.1 302 Found\r\nLocation:  /a \r\nlocation: /b\r\nContent-Type: a/b \r\n"
        b"Content-Type: c/d\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        b"WWW-Authenticate: Basic\r\nWWW-Authenticate: Digest\r\n\r\n"
    )
    assert (reply.location, reply.content_type) == ("/a", "a/b")
    assert reply.set_cookies == ("a=1", "b=2")
    assert reply.challenges == ("Basic", "Digest")


def test_headers_that_are_no_text_do_no_harm():
    reply = read(b"HTTP/1.1 401 No\r\nContent-Type: \xff\r\nWWW-Authenticate: \xfe\r\n\r\n")
    assert (reply.content_type, reply.challenges) == ("\ufffd", ("\ufffd",))


def test_trailers_are_no_headers():
    body = b"1\r\nx\r\n0\r\nSet-Cookie: a=1\r\nContent-Type: evil/x\r\n\r\n"
    reply = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert (reply.body, reply.content_type, reply.set_cookies) == (b"x", None, ())


def test_only_what_is_wanted_of_a_body_is_kept():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n"
    assert read(head, b"x" * 50, b"y" * 51).is_cut
    assert read(head, b"x" * 101).body == b"x" * SIZE_MAX
    whole = read(head.replace(b"101", b"100"), b"x" * 100)
    assert (len(whole.body), whole.is_cut, whole.failure) == (100, False, None)


def test_replies_keep_bodies_out_of_sight():
    assert "secret" not in repr(read(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"))


@pytest.mark.parametrize(
    ("header", "cookies"),
    [
        ("a=1", {"a": "1"}),
        (" a = 1 ; Path=/; HttpOnly", {"a": "1"}),
        ('a="x y"; Secure', {"a": '"x y"'}),
        ('a={"b":1,"c":2}; Path=/', {"a": '{"b":1,"c":2}'}),
        ("a=b=c==", {"a": "b=c=="}),
        ("a=", {"a": ""}),
        ("a=1; MAX-AGE=0", {}),
        ("a=1; expires=Thu, 01 Jan 1970 00:00:00 GMT", {}),
        ("a=1; expires=Fri, 01 May 2026 12:00:01 GMT; Path=/", {"a": "1"}),
        ("a", {}),
        ("", {}),
        ("=1", {}),
        ("path=1", {}),
        ("a;b=1", {}),
        ("[x]=1", {}),
        ("a=\x7f", {}),
    ],
)
def test_cookies_are_read_as_browsers_read_them(header, cookies):
    assert merge_cookies({}, parse_set_cookies([header]), now=NOW) == cookies
