"""How answers of the upstream API are read and judged, and how its callbacks are told apart."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from trunkline.carriers.twilio.callbacks import SEGMENTS_MAX, Address, media_of, segment_refs
from trunkline.carriers.twilio.settings import parse
from trunkline.carriers.twilio.verdicts import Meaning, judge
from trunkline.carriers.twilio.watching import segments_at_most
from trunkline.carriers.twilio.wire import (
    Problem,
    UpstreamMessage,
    UpstreamPage,
    failure_code,
    parse_date,
    read,
)

AC = "AC" + "a1" * 16
SK = "SK" + "b2" * 16
SM = "SM" + "c3" * 16
HERE = "https://here.example.com/trunkline/v1/carriers"
BY_TOKEN = parse({"account_sid": AC, "auth_token": "secret"})
BY_KEY = parse({"account_sid": AC, "api_key_sid": SK, "api_key_secret": "s"})


@pytest.mark.parametrize(
    ("status", "code", "meaning"),
    [
        (201, None, Meaning.TAKEN),
        (400, 21610, Meaning.REFUSED),
        (400, 21211, Meaning.REFUSED),
        (404, 21606, Meaning.REFUSED),
        (400, 30034, Meaning.REFUSED),
        (400, 63016, Meaning.REFUSED),
        (400, 99999, Meaning.REFUSED),
        (400, 21611, Meaning.HELD_UP),
        (429, 20429, Meaning.THROTTLED),
        (429, 63038, Meaning.THROTTLED),
        (429, None, Meaning.THROTTLED),
        (503, None, Meaning.THROTTLED),
        (500, 20500, Meaning.FALTERED),
        (502, None, Meaning.FALTERED),
        (504, None, Meaning.FALTERED),
        (408, None, Meaning.FALTERED),
        (401, 20003, Meaning.LOCKED_OUT),
        (401, 70051, Meaning.LOCKED_OUT),
        (403, 20005, Meaning.LOCKED_OUT),
        (404, 20404, Meaning.LOCKED_OUT),
        (404, None, Meaning.LOCKED_OUT),
        (302, None, Meaning.LOCKED_OUT),
        (400, None, Meaning.LOCKED_OUT),
    ],
)
def test_an_answer_is_somebodys_trouble(status: int, code: int | None, meaning: Meaning) -> None:
    """Only what is the message's own fault fails it."""
    assert judge(status, Problem(code=code)).meaning is meaning


def test_a_refusal_keeps_the_code_that_a_message_can_show() -> None:
    """Unknown codes show as an unknown error; others may have the sender that is missing here."""
    assert judge(400, Problem(code=21610)).error_code == 21610
    assert judge(400, Problem(code=99999)).error_code == 30008
    assert not judge(400, Problem(code=21610)).may_fail_over
    assert judge(400, Problem(code=21606)).may_fail_over


@given(st.integers(100, 599), st.integers(0, 99_999))
def test_every_answer_has_a_meaning(status: int, code: int) -> None:
    """A refused message always has an error that can be shown."""
    verdict = judge(status, Problem(code=code))
    assert (verdict.meaning is Meaning.REFUSED) == bool(verdict.error_code)


@given(st.binary(max_size=60))
def test_nonsense_is_no_message(body: bytes) -> None:
    """What is not the API's JSON is read as nothing."""
    assert read(body, UpstreamPage) is None


def test_a_message_is_read_with_what_else_there_is() -> None:
    """Fields that are not known are passed over, numbers may be texts."""
    body = (
        b'{"sid":"SM1","from":"+1","to":"+2","body":"x","num_segments":"2","num_media":"0",'
        b'"status":"delivered","direction":"outbound-api","error_code":null,"new":[1],'
        b'"date_created":"Fri, 20 Nov 2026 10:00:00 +0000"}'
    )
    message = read(body, UpstreamMessage)
    assert message is not None
    assert (message.sender, message.segments, message.media, message.delivered) == (
        "+1",
        2,
        0,
        True,
    )
    assert message.created_at == datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "Fri, 20 Foo 2026 10:00:00 +0000", "1"])
def test_no_date_is_none(text: str) -> None:
    """Nothing is raised for it."""
    assert parse_date(text) is None


def test_a_failure_has_a_code_that_is_known() -> None:
    """As text or number; anything else is an unknown error."""
    assert [failure_code(c) for c in (30003, "30005", "x", None, 1)] == [
        *(30003, 30005, 30008, 30008, 30008)
    ]


def test_the_address_is_the_same_after_a_restart_and_another_for_another_carrier() -> None:
    """It depends on the name and the credentials alone."""
    urls = {
        Address(name, settings, callback_url=HERE).url
        for name in ("a", "b")
        for settings in (BY_TOKEN, BY_KEY, BY_TOKEN)
    }
    assert len(urls) == 4
    assert Address("a", BY_KEY, callback_url=HERE).url.startswith(f"{HERE}/a/told/")


@pytest.mark.parametrize(
    ("base_url", "callback_url", "is_used"),
    [
        ("https://api.twilio.com", HERE, True),
        ("https://api.twilio.com", "http://127.0.0.1:8800", False),
        ("https://api.twilio.com", "http://localhost:8800", False),
        ("https://api.twilio.com", "https://10.0.0.1", False),
        ("https://api.twilio.com", "https://trunkline.internal", False),
        ("https://api.twilio.com", "", False),
        ("http://127.0.0.1:8801", "http://127.0.0.1:8800", True),
    ],
)
def test_callbacks_are_asked_for_where_they_can_arrive(
    base_url: str, callback_url: str, is_used: bool
) -> None:
    """From the internet to a public address, or within one machine."""
    settings = parse({"account_sid": AC, "auth_token": "s", "base_url": base_url})
    assert Address("a", settings, callback_url=callback_url).is_used is is_used


def test_a_signature_as_the_official_validator_computes_it_is_genuine() -> None:
    """Over our own address: a proxy in front may have changed scheme, host and port."""
    address = Address("a", BY_TOKEN, callback_url=HERE)
    form = {"MessageSid": SM, "MessageStatus": "delivered"}
    url = address.status_url(3)
    signature = RequestValidator("secret").compute_signature(url, form)
    seen = url.replace("https://here.example.com", "http://10.0.0.7:8800")
    assert address.is_genuine(seen, signature, form=form)
    assert address.segments(seen) == 3
    assert not address.is_genuine(seen, "", form=form)
    assert not address.is_genuine(seen, signature, form=form | {"MessageStatus": "failed"})
    assert not address.is_genuine(seen.replace("segments=3", "segments=1"), signature, form=form)
    assert not address.is_genuine(f"{HERE}/a/told/{'0' * 32}", signature, form=form)


def test_without_an_auth_token_the_secret_address_decides() -> None:
    """An API key's secret signs nothing."""
    address = Address("a", BY_KEY, callback_url=HERE)
    assert address.is_genuine(address.url, "", form={})
    assert not address.is_genuine(address.url + "0", "", form={})
    assert not address.is_genuine(f"{HERE}/a/told/ä", "", form={})


@pytest.mark.parametrize(("query", "count"), [("", 1), ("?segments=x", 1), ("?segments=99", 24)])
def test_segments_of_a_callback_are_bounded(query: str, count: int) -> None:
    """Whatever the query says."""
    address = Address("a", BY_KEY, callback_url=HERE)
    assert address.segments(address.url + query) == count


def test_each_segment_has_a_reference_that_follows_from_the_sid() -> None:
    """The first is the SID itself."""
    assert segment_refs(SM, 1) == (SM,)
    assert segment_refs(SM, 3) == (SM, f"{SM}#2", f"{SM}#3")


@given(st.text(min_size=1, max_size=1600))
def test_no_segment_is_overlooked(text: str) -> None:
    """However a body is counted there, all our segments are among those that are asked for."""
    message = UpstreamMessage(sid=SM, body=text, num_segments="1")
    assert 1 <= segments_at_most(message) <= SEGMENTS_MAX
    assert segments_at_most(UpstreamMessage(sid=SM, body="")) == SEGMENTS_MAX


def test_media_of_a_webhook_are_in_their_order() -> None:
    """As many as there are."""
    assert media_of({"MediaUrl1": "b", "MediaUrl0": "a", "MediaContentType0": "x"}) == ("a", "b")
    assert media_of({}) == ()
