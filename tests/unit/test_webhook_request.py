"""Webhook requests before they are sent: URLs, overrides, forms, redirects, challenges, cookies."""

from datetime import UTC, datetime
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from trunkline.webhooks.challenge import Credentials, answer_challenges, parse_challenges
from trunkline.webhooks.cookies import merge_cookies, render_cookies
from trunkline.webhooks.overrides import Overrides, parse_overrides
from trunkline.webhooks.request import (
    Rendered,
    is_same_place,
    is_webhook_url,
    parse_target,
    redirected,
    render_request,
)

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
CREDENTIALS = Credentials("Mufasa", "Circle of Life")


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example",
        "https://a.example/path?x=1#rc=2",
        "HTTPS://A.Example:8443/",
        "http://user:p%40ss@a.example/",
        "http://localhost:5000/sms",
        "http://127.0.0.1/",
        "http://[::1]:8080/",
        "https://exämple.com/ü",
        "https://a.example?x=1",
        "https://a.example./",
    ],
)
def test_webhook_urls(url):
    assert is_webhook_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example/path",
        "/path",
        "ftp://a.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://my_host.example/",
        "http://-a.example/",
        "http://a..example/",
        "http://a.example:0/",
        "http://a.example:65536/",
        "http://a.example:x/",
        "http://[::g]/",
        "http://[::1/",
        "http://a.example/a b",
        "http://a.example/\r\nX: y",
        "http://a.example/\x00",
        "http://good.example\\@evil.example/",
        "http://[@a.example/",
        "http://me:[secret@a.example/",
        "http://\u2100@a.example/",
        "http://a.example/" + "x" * 4096,
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 127 + "example/",
        "http://ä" + "b" * 70 + ".example/",
    ],
)
def test_what_is_no_webhook_url(url):
    assert not is_webhook_url(url)
    with pytest.raises(ValueError, match="not a webhook URL"):
        parse_target(url)


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://a.example/x?b=%2f&a=+&c='#rc=3", "https://a.example/x?b=%2f&a=+&c='"),
        ("https://me:secret@a.example:443/x", "https://a.example:443/x"),
        ("https://a@b@a.example/x", "https://a.example/x"),
        ("HTTP://A.example", "http://A.example/"),
        ("https://a.example?x=1", "https://a.example/?x=1"),
        ("https://a.example/x?", "https://a.example/x"),
        ("https://a.example/x??", "https://a.example/x??"),
        ("https://exämple.com/ü?ß=1", "https://xn--exmple-cua.com/%C3%BC?%C3%9F=1"),
        ("https://a.example/%41//b/../c", "https://a.example/%41//b/../c"),
    ],
)
def test_the_sent_url_is_the_configured_one_without_fragment_and_user_info(url, sent):
    assert parse_target(url).url == sent


def test_user_info_is_decoded_and_kept_out_of_sight():
    target = parse_target("https://me%40x:p%3Aw:d@a.example/")
    assert (target.username, target.password) == ("me@x", "p:w:d")
    assert "p:w:d" not in repr(target)
    assert parse_target("https://a.example/").username is None


def test_overrides_come_from_the_fragment():
    target = parse_target("https://a.example/#rc=3&rp=4xx,5xx,ct,rt&ct=100&rt=15000&tt=9000&sni=n")
    assert target.overrides == Overrides(
        connect_ms=100,
        read_ms=15000,
        total_ms=9000,
        retries=3,
        retry_on=frozenset({"4xx", "5xx", "ct", "rt"}),
        sni=False,
    )
    assert target.warnings == ()


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("", Overrides()),
        ("section-2", Overrides()),
        ("colour=red", Overrides()),
        ("rp=all", Overrides(retry_on=frozenset({"4xx", "5xx", "ct", "rt"}))),
        ("rp=4xx%2C5xx", Overrides(retry_on=frozenset({"4xx", "5xx"}))),
        ("rc=0", Overrides(retries=0)),
        ("e=ashburn,sao-paulo", Overrides(edges=("ashburn", "sao-paulo"))),
    ],
)
def test_fragments_that_are_fine(fragment, expected):
    assert parse_overrides(fragment) == (expected, ())


@pytest.mark.parametrize(
    ("fragment", "code"),
    [
        ("rc=6", 11243),
        ("rc=-1", 11243),
        ("rc=" + "9" * 5000, 11243),
        ("rc=", 11243),
        ("rc=\u0663", 11243),
        ("rp=3xx", 11243),
        ("rp=all,9xx", 11243),
        ("rp=", 11243),
        ("ct=99", 11243),
        ("ct=10001", 11243),
        ("rt=15001", 11243),
        ("tt=15001", 11243),
        ("sni=maybe", 11243),
        ("&".join(["rc=1"] * 50), 11243),
        ("e=", 11240),
        ("e=Ash burn", 11240),
        ("e=" + ",".join(["tokyo"] * 9), 11240),
        ("e=atlantis", 11241),
        ("e=ashburn-ix", 11242),
    ],
)
def test_a_bad_override_leaves_its_default_and_a_warning(fragment, code):
    assert parse_overrides(fragment) == (Overrides(), (code,))


def test_a_bad_override_does_not_undo_a_good_one():
    assert parse_overrides("rc=2&ct=1") == (Overrides(retries=2), (11243,))


def test_a_post_is_a_signed_form():
    parameters = {"Body": "café & 😀", "From": "+15550001", "FromCity": ""}
    target = parse_target("https://u:p@a.example/x?y=1#rc=1")
    request = render_request(
        target, "POST", parameters=parameters, auth_token="secret", token="token-1"
    )
    assert request.method == "POST"
    assert request.url == "https://a.example/x?y=1"
    assert request.body == b"Body=caf%C3%A9+%26+%F0%9F%98%80&From=%2B15550001&FromCity="
    signature = request.headers["X-Twilio-Signature"]
    assert RequestValidator("secret").validate(request.url, parameters, signature)
    assert {name: request.headers[name] for name in request.headers if "Sign" not in name} == {
        "I-Twilio-Idempotency-Token": "token-1",
        "User-Agent": "TwilioProxy/1.1",
        "Accept": "*/*",
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
    }


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://a.example/x", "https://a.example/x?Body=a+b"),
        ("https://a.example/x?y=%2f", "https://a.example/x?y=%2f&Body=a+b"),
        ("https://a.example/x?", "https://a.example/x?Body=a+b"),
        ("https://a.example/x?y&", "https://a.example/x?y&Body=a+b"),
    ],
)
def test_a_get_carries_its_parameters_in_the_signed_url(url, sent):
    request = render_request(
        parse_target(url), "GET", parameters={"Body": "a b"}, auth_token="secret", token="t"
    )
    assert (request.url, request.body) == (sent, b"")
    assert "Content-Type" not in request.headers
    assert RequestValidator("secret").validate(sent, {}, request.headers["X-Twilio-Signature"])


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), max_size=6))
def test_a_receiver_reads_back_what_was_signed(parameters):
    target = parse_target("https://a.example/x")
    for method in ("GET", "POST"):
        request = render_request(
            target, method, parameters=parameters, auth_token="secret", token="t"
        )
        sent = request.body.decode() if method == "POST" else urlsplit(request.url).query
        assert dict(parse_qsl(sent, keep_blank_values=True)) == parameters


def test_rendered_requests_keep_bodies_and_signatures_out_of_sight():
    request = Rendered("POST", "https://a.example/", {"X-Twilio-Signature": "sig"}, b"Body=secret")
    assert "sig" not in repr(request)
    assert "secret" not in repr(request)


FORM = Rendered("POST", "https://a.example/x/y?z=1", {"Content-Type": "t", "A": "b"}, b"Body=1")


@pytest.mark.parametrize("status", [301, 302, 303])
def test_most_redirects_become_a_get_without_a_body(status):
    assert redirected(FORM, status, location="../b?c=1#d") == Rendered(
        "GET", "https://a.example/b?c=1", {"A": "b"}, b""
    )


@pytest.mark.parametrize("status", [307, 308])
def test_strict_redirects_keep_method_and_body(status):
    assert redirected(FORM, status, location="http://b.example") == Rendered(
        "POST", "http://b.example/", FORM.headers, b"Body=1"
    )


@pytest.mark.parametrize("status", [302, 307])
def test_credentials_do_not_leave_their_origin(status):
    asked = Rendered("GET", "https://a.example/x", {"Authorization": "Basic eA==", "A": "b"}, b"")
    stays = redirected(asked, status, location="/y")
    leaves = redirected(asked, status, location="https://b.example/y")
    assert stays is not None
    assert stays.headers == asked.headers
    assert leaves is not None
    assert leaves.headers == {"A": "b"}


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://[", "http://my_host/", "//", "x\ny:z"]
)
def test_a_redirect_to_nowhere_is_not_followed(location):
    found = redirected(FORM, 302, location=location)
    assert found is None or found.url.startswith("https://a.example/")
    assert found is None or "\n" not in found.url


@pytest.mark.parametrize(
    ("home", "url", "is_same"),
    [
        ("https://a.example/", "https://A.example:443/x", True),
        ("http://a.example/", "https://a.example/x", True),
        ("https://a.example/", "http://a.example/x", False),
        ("https://a.example/", "https://b.example/", False),
        ("http://a.example/", "http://a.example:8080/", False),
        ("http://a.example:8080/", "https://a.example/", False),
    ],
)
def test_where_cookies_and_passwords_belong(home, url, is_same):
    assert is_same_place(home, url) is is_same


def answer(*headers: str) -> str | None:
    return answer_challenges(
        headers, CREDENTIALS, method="GET", uri="/dir/index.html", cnonce=RFC_CNONCE
    )


RFC_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
RFC_DIGEST = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={},'
    ' nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",'
    ' opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
RFC_MD5 = 'response="8ca523f5e9506fed4657c9700eebdbec"'
RFC_SHA256 = 'response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"'


def test_digest_answers_are_those_of_rfc_7616():
    """RFC 7616 §3.9.1 gives both responses for the same request."""
    assert RFC_MD5 in (answer(RFC_DIGEST.format("MD5")) or "")
    assert RFC_SHA256 in (answer(RFC_DIGEST.format("SHA-256")) or "")


def test_the_strongest_challenge_is_answered():
    basic = 'Basic realm="x"'
    assert RFC_SHA256 in (
        answer(basic, RFC_DIGEST.format("MD5"), RFC_DIGEST.format("SHA-256")) or ""
    )
    assert RFC_MD5 in (answer(basic + ", " + RFC_DIGEST.format("MD5")) or "")
    assert answer(basic) == "Basic TXVmYXNhOkNpcmNsZSBvZiBMaWZl"


def test_digest_without_qop_is_answered_as_rfc_2069_says():
    authorization = answer('Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f6"')
    assert authorization is not None
    assert "qop" not in authorization
    assert "cnonce" not in authorization


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer x",
        "Negotiate",
        'Digest realm="a", nonce="b", algorithm=SHA-512',
        'Digest realm="a", nonce="b", qop="auth-int"',
        'Digest realm="a\\"b", nonce="b"',
        "Basic " + "x" * 5000,
    ],
)
def test_what_cannot_be_answered(header):
    assert answer(header) is None


def test_several_challenges_in_one_header_are_told_apart():
    header = 'Digest realm="a, Basic b", nonce=n , Basic realm="c"'
    assert parse_challenges(header) == [
        ("digest", {"realm": "a, Basic b", "nonce": "n"}),
        ("basic", {"realm": "c"}),
    ]


def merged(cookies: dict[str, str], *headers: str) -> dict[str, str]:
    received = [morsel for header in headers for morsel in SimpleCookie(header).values()]
    return merge_cookies(cookies, received, now=NOW)


def test_cookies_are_added_replaced_and_removed():
    assert merged({"a": "1"}, "b=2; Path=/; HttpOnly") == {"a": "1", "b": "2"}
    assert merged({"a": "1"}, "a=2") == {"a": "2"}
    assert merged({"a": "1", "b": "2"}, "a=; Max-Age=0") == {"b": "2"}
    assert merged({"a": "1"}, "a=x; Max-Age=-1") == {}
    assert merged({"a": "1"}, 'a=x; expires="Thu, 01 Jan 1970 00:00:00 GMT"') == {}
    assert merged({"a": "1"}, 'a=x; expires="Fri, 01 May 2026 12:00:01 GMT"') == {"a": "x"}
    assert merged({}, 'a=x; Max-Age=5; expires="Thu, 01 Jan 1970 00:00:00 GMT"') == {"a": "x"}
    assert merged({}, "a=x; expires=nonsense") == {"a": "x"}


def test_cookies_are_bounded_in_number_and_size():
    many = merged({}, *(f"c{number}=x" for number in range(80)))
    assert len(many) == 50
    assert "c79" in many
    assert merged({}, "a=" + "x" * 5000) == {}
    assert len(render_cookies(merged({}, *(f"c{n}={'x' * 500}" for n in range(20))))) <= 4096


def test_cookies_cannot_break_out_of_their_header():
    assert render_cookies({"a": "1", "b": "x\r\nEvil: 1", "c;d": "1", "e": "x; f=1"}) == "a=1"
    assert merged({"a": "\r\n"}, "b=2") == {"b": "2"}
