"""Whatever a stranger answers, TwiML is read or refused, and soon."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.twiml.messaging_response import MessagingResponse

from trunkline.twiml import Document, FetchNext, Reply, TwimlError, interpret, read_answer
from trunkline.webhooks.challenge import parse_challenges
from trunkline.webhooks.overrides import RETRIABLE, parse_overrides
from trunkline.webhooks.request import is_webhook_url, parse_target

CODES = {11100, 11750, 12100, 12102, 12300, 14101, 14102, 14103, 14104, 14109}
# Generous for a slow machine; what is meant to be caught takes minutes or all memory.
SECONDS_MAX = 2.0

WORDS = [
    *("<Response>", "</Response>", "<Message>", "</Message>", "<Message/>", "<Sms>", "</Sms>"),
    *("<Body>", "</Body>", "<Media>", "</Media>", "<Redirect>", "</Redirect>", "<Say>", "</Say>"),
    *('<Message to="1" action="/a">', '<Redirect method="PUT">', "<![CDATA[", "]]>", "<!--", "-->"),
    *("<!DOCTYPE a [", "<!ENTITY b 'c'>", "]>", "&b;", "&amp;", "&#0;", "&#xD800;", "<?xml ?>"),
    *('<?xml version="1.0" encoding="utf-7"?>', "\ufeff", "Hi", " ", "\0", "é", "x" * 1700),
]
MARKUP = st.lists(st.sampled_from(WORDS), max_size=30).map("".join)
CONTENT_TYPES = (
    st.none()
    | st.text(max_size=40)
    | st.builds(
        "{}; charset{}{}".format,
        st.sampled_from(["text/xml", "text/plain", "text/html", "a/b+xml"]),
        st.sampled_from(["=", "*=", "*0*=", '="']),
        st.text(max_size=12)
        | st.sampled_from(["utf-16", "idna", "rot13", "utf-8''x", "undefined"]),
    )
)


def outcome(read: Callable[[], Document]) -> Document | int:
    """Return what *read* returns, or the code of its refusal; fail if it takes too long."""
    began = time.perf_counter()
    try:
        found: Document | int = read()
    except TwimlError as refused:
        found = refused.code if refused.reason else 0
    assert time.perf_counter() - began < SECONDS_MAX
    assert isinstance(found, Document) or found in CODES
    return found


@given(st.binary(max_size=300) | st.text(max_size=300) | MARKUP | MARKUP.map(str.encode))
def test_any_document_is_read_or_refused(document: bytes | str) -> None:
    found = outcome(lambda: interpret(document))
    if isinstance(found, Document):
        assert len(found.actions) <= 11
        assert len(found.warnings) <= 20
        assert all(len(a.body) <= 1600 for a in found.actions if isinstance(a, Reply))


@given(MARKUP)
def test_text_and_its_bytes_say_the_same(markup: str) -> None:
    """A declaration may name another encoding for the bytes, so both are told it is UTF-8."""
    as_text = outcome(lambda: interpret(markup))
    assert outcome(lambda: interpret(markup.encode(), charset="utf-8")) == as_text


@given(CONTENT_TYPES, st.binary(max_size=100) | MARKUP.map(str.encode))
def test_any_answer_is_read_or_refused(content_type: str | None, body: bytes) -> None:
    outcome(lambda: read_answer(content_type, body))


PRINTABLE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), max_size=40)


@given(st.lists(PRINTABLE.filter(str.strip), max_size=10), st.none() | PRINTABLE.filter(str.strip))
def test_what_the_sdk_writes_is_read_back(bodies: list[str], url: str | None) -> None:
    response = MessagingResponse()
    for body in bodies:
        response.message(body)
    expected: list[Reply | FetchNext] = [Reply(body=body.strip()) for body in bodies]
    if url is not None:
        response.redirect(url, method="GET")
        expected.append(FetchNext(url.strip(), "GET"))
    assert interpret(str(response)) == Document(tuple(expected))


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 30))


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"<Response>" + b"<Message>x</Message>" * 500_000 + b"</Response>", 11750),
        ("<Response>" + "<Message>x</Message>" * 500_000 + "</Response>", 11750),
        (b" " * 10_000_000 + b"<Response/>", 11750),
        (f'<!DOCTYPE x [<!ENTITY l0 "lol">{LAUGHS}]><Response>&l29;</Response>', 12100),
        ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Response>&a;</Response>', 12100),
        ('<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><Response/>', 12100),
        ("<a>" * 9_000, 12100),
        ("<a " + " ".join(f'b{n}="c"' for n in range(6_000)) + "/>", 12102),
        ("<Response " + "x" * 65_000, 12100),
        ("<Response><!--" + "-" * 65_000, 12100),
        ("<?xml " + "encoding=" * 7_000, 12100),
        ("<Response><Message>" + "&#x41;" * 10_000 + "</Message></Response>", 14103),
    ],
    ids=range(12),
)
def test_attacks_are_refused_at_once(document: bytes | str, code: int) -> None:
    assert outcome(lambda: interpret(document)) == code


def test_the_widest_documents_are_read_soon() -> None:
    document = "<Response>" + "<a/>" * 16_000 + "</Response>"
    found = outcome(lambda: interpret(document))
    assert isinstance(found, Document)
    assert (found.actions, len(found.warnings)) == ((), 20)


@given(st.text(max_size=200))
def test_any_text_is_a_webhook_url_or_not(text: str) -> None:
    if is_webhook_url(text):
        assert is_webhook_url(parse_target(text).url)


@given(
    st.builds(
        "http://{}@{}:{}/{}#{}".format,
        *(st.text(max_size=10), st.text(max_size=10), st.text(max_size=6)),
        *(st.text(max_size=10), st.text(max_size=10)),
    )
)
def test_a_parsed_url_is_clean_and_stays_as_it_is(text: str) -> None:
    if is_webhook_url(text):
        url = parse_target(text).url
        assert url.isascii()
        assert "@" not in url.split("/")[2]
        assert "#" not in url
        assert parse_target(url).url == url


@given(st.text(max_size=100) | st.text("rcpteni=&,;%0123456789xy", max_size=100))
def test_any_fragment_gives_overrides(fragment: str) -> None:
    overrides, warnings = parse_overrides(fragment)
    assert 0 <= overrides.retries <= 5
    assert 100 <= overrides.connect_ms <= 10000
    assert 100 <= overrides.total_ms <= 15000
    assert set(warnings) <= {11240, 11241, 11242, 11243}
    assert overrides.retry_on <= RETRIABLE


@pytest.mark.parametrize(
    "header",
    [
        "Digest " + "a=" * 2_000,
        "Digest " + 'a="' + "\\" * 4_000,
        "Basic" + " ," * 2_000,
        "Basic " + "a" * 4_000,
        ", Basic" * 580,
        "Digest " + "a=b, " * 800 + "!",
    ],
)
def test_hostile_challenges_are_read_at_once(header: str) -> None:
    began = time.perf_counter()
    parse_challenges(header)
    assert time.perf_counter() - began < SECONDS_MAX
