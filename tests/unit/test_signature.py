"""Signatures: the published vectors, and the official SDK's validator as the judge."""

from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from trunkline.webhooks.request import parse_target
from trunkline.webhooks.signature import sign, sign_body

TOKEN = "12345"
CALL = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675310",
    "Digits": "1234",
    "From": "+14158675310",
    "To": "+18005551212",
}
TEXTS = st.text(max_size=20)
NAMES = st.text(min_size=1, max_size=10)
HOSTS = st.sampled_from(["example.com", "a.example", "127.0.0.1", "[::1]"])
PORTS = st.sampled_from(["", ":80", ":443", ":8080"])
USERS = st.sampled_from(["", "user@", "user:pass@", "u%40:p%3A@"])
RESTS = st.from_regex(
    r"(/[A-Za-z0-9%._~'+-]{0,8}){1,3}(\?[A-Za-z0-9=&%+'-]{0,12})?", fullmatch=True
)
URLS = st.builds(
    "{}://{}{}{}{}{}".format,
    st.sampled_from(["http", "https"]),
    USERS,
    HOSTS,
    PORTS,
    RESTS,
    st.sampled_from(["", "#rc=3", "#x"]),
)


def test_documented_vectors():
    """Check against https://www.twilio.com/docs/usage/security and its older edition."""
    here = "https://example.com/myapp.php?foo=1&bar=2"
    older = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert sign(TOKEN, here, CALL.items()) == "L/OH5YylLD5NRKLltdqwSvS0BnU="
    assert sign(TOKEN, older, CALL.items()) == "GvWf1cFY/Q7PnoempGyD5oXAezc="


def test_a_body_that_is_no_form_is_signed_by_its_hash():
    body = b'{"property": "value", "boolean": true}'
    url = sign_body("https://example.com/myapp.php?foo=1&bar=2", body)
    assert url == (
        "https://example.com/myapp.php?foo=1&bar=2"
        "&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    )
    assert sign(TOKEN, url) == "m9bxEECYY1ydgNmUJAKll14L7Qs="
    assert RequestValidator(TOKEN).validate(url, body.decode(), sign(TOKEN, url))


def test_a_body_hash_begins_the_query_where_there_is_none():
    assert sign_body("https://a.example/x", b"").startswith("https://a.example/x?bodySHA256=e3b0")


def test_repeated_pairs_count_once_and_values_are_sorted():
    pairs = [("b", "2"), ("a", "1"), ("b", "1"), ("b", "2")]
    assert sign(TOKEN, "https://a.example/", pairs) == sign(
        TOKEN, "https://a.example/", [("a", "1"), ("b", "1"), ("b", "2")]
    )
    assert sign(TOKEN, "https://a.example/", pairs) != sign(
        TOKEN, "https://a.example/", [("a", "1"), ("b", "1")]
    )


@given(token=NAMES, url=URLS, parameters=st.dictionaries(NAMES, TEXTS, max_size=8))
def test_the_sdk_accepts_every_signed_form(token, url, parameters):
    signed = parse_target(url).url
    signature = sign(token, signed, parameters.items())
    assert RequestValidator(token).validate(signed, parameters, signature)


@given(token=NAMES, url=URLS)
def test_the_sdk_accepts_every_signed_query(token, url):
    signed = parse_target(url).url
    assert RequestValidator(token).validate(signed, {}, sign(token, signed))


@given(url=URLS, body=st.text(max_size=50))
def test_the_sdk_accepts_every_signed_body(url, body):
    """The SDK compares the hash only when the query parses; a lone % or a blank does no harm."""
    signed = sign_body(parse_target(url).url, body.encode())
    assert RequestValidator(TOKEN).validate(signed, body, sign(TOKEN, signed))


@given(url=URLS, parameters=st.dictionaries(NAMES, TEXTS, min_size=1, max_size=4))
def test_the_sdk_refuses_a_changed_parameter(url, parameters):
    signed = parse_target(url).url
    signature = sign(TOKEN, signed, parameters.items())
    changed = parameters | {"zzzzzzzzzzzz": "x"}
    assert not RequestValidator(TOKEN).validate(signed, changed, signature)
