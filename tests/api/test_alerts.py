"""What goes wrong is told by alerts, as in Twilio's debugger."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from sqlalchemy import insert

from tests.api.test_console import Browser, Markup, local_console, subaccount
from tests.api.test_redaction import SECRET, delete, places, receive, redact, rows_of
from tests.api.test_retention import passes
from tests.api.test_test_credentials import told_to
from tests.harness import NOON, Response, Seen, Trunkline
from trunkline.console.alerts import ROWS_MAX
from trunkline.flows.allowance import ALERTS_MAX
from trunkline.flows.erasure import AGAIN_SECONDS
from trunkline.store.sending_tables import alerts

CALLBACK = "https://app.example.com/status"
INBOUND = "https://app.example.com/sms"


async def listed(trunkline: Trunkline, **query: str) -> list[dict[str, Any]]:
    """Return the alerts of the main account, newest first."""
    answer = await trunkline.request("GET", "/v1/Alerts", query)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["alerts"]
    return found


async def fetched(trunkline: Trunkline, sid: str) -> dict[str, Any]:
    """Return one alert with everything that is known of it."""
    answer = await trunkline.request("GET", f"/v1/Alerts/{sid}")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def said(alert: dict[str, Any]) -> dict[str, str]:
    """Return the pairs of an alert's text."""
    return {name: values[0] for name, values in parse_qs(alert["alert_text"]).items()}


async def test_a_webhook_that_fails_is_told(trunkline: Trunkline) -> None:
    """With what was asked and what was answered, but without texts and whole numbers."""
    trunkline.receiver.script = lambda seen: (404, "text/plain", b"no such page")
    sid = (await trunkline.send(body=SECRET, StatusCallback=CALLBACK)).json["sid"]
    await trunkline.run_for(5)
    (delivered, sent) = await listed(trunkline)
    assert (sent["error_code"], sent["log_level"], sent["resource_sid"]) == ("11200", "error", sid)
    assert (sent["request_method"], sent["request_url"]) == ("POST", CALLBACK)
    assert (sent["response_body"], sent["request_variables"]) == (None, None)
    assert said(sent) == {
        "ErrorCode": "11200",
        "LogLevel": "ERROR",
        "Msg": "HTTP 404",
        "httpResponse": "404",
        "url": CALLBACK,
    }
    whole = await fetched(trunkline, delivered["sid"])
    assert whole["response_body"] == "no such page"
    variables = parse_qs(whole["request_variables"], keep_blank_values=True)
    assert variables["MessageSid"] == [sid]
    assert variables["MessageStatus"] == ["delivered"]
    assert variables["To"] == ["+1555867XXXX"]
    assert SECRET not in repr(whole)
    assert "5558675310" not in repr(whole)


async def test_a_message_that_ends_badly_is_told(trunkline: Trunkline) -> None:
    """Undelivered, failed at the carrier's, and too late; what is delivered is no matter."""
    ends = ("+15555530003", "+15555500004", "+15555500003", "+15558675310")
    sids = [(await trunkline.send(to, ValidityPeriod=3)).json["sid"] for to in ends]
    await trunkline.run_for(30)
    found = {alert["resource_sid"]: alert["error_code"] for alert in await listed(trunkline)}
    assert found == {sids[0]: "30003", sids[1]: "30008", sids[2]: "30036"}


async def test_trouble_with_twiml_is_told(trunkline: Trunkline) -> None:
    """A document that cannot be read is an error; a verb that is left out is a warning."""
    await trunkline.configure_number(SmsUrl=INBOUND)
    documents = iter((b"<Response><Message>", b"<Response><Dial/></Response>"))
    trunkline.receiver.script = lambda seen: (200, "text/xml", next(documents))
    first, second = await receive(trunkline, "one"), await receive(trunkline, "two")
    warning, error = await listed(trunkline)
    assert (error["error_code"], error["log_level"]) == ("12100", "error")
    assert (warning["error_code"], warning["log_level"]) == ("14110", "warning")
    assert [error["resource_sid"], warning["resource_sid"]] == [first, second]
    assert (await fetched(trunkline, error["sid"]))["response_body"] == "<Response><Message>"


async def test_a_request_that_is_refused_is_told(trunkline: Trunkline) -> None:
    """Of what was posted only what is no text and no whole number."""
    refused = await trunkline.send("+15558675310", SECRET, From="+14155550199", ValidityPeriod=9)
    assert refused.status == 400
    (alert,) = await listed(trunkline)
    whole = await fetched(trunkline, alert["sid"])
    assert whole["error_code"] == str(refused.json["code"])
    assert whole["request_url"].endswith(f"{trunkline.base}/Messages.json")
    assert (whole["resource_sid"], said(whole)["httpResponse"]) == (None, "400")
    assert parse_qs(whole["request_variables"], keep_blank_values=True) == {
        "To": ["+1555867XXXX"],
        "From": ["+1415555XXXX"],
        "Body": [""],
        "ValidityPeriod": [""],
    }
    assert await places(trunkline) == []
    await trunkline.request("POST", "/accounts/v1/AuthTokens/Promote")
    promoted, _ = await listed(trunkline)
    assert promoted["request_url"].partition("/accounts")[2] == "/v1/AuthTokens/Promote"


async def test_test_credentials_leave_no_alerts(trunkline: Trunkline) -> None:
    """For them nothing is done; their account has no list in which anybody would see one."""
    told = await told_to(trunkline, trunkline.account_sid)
    assert (await refused_of(trunkline, (told["account_sid"], told["auth_token"]))).status == 400
    assert await rows_of(trunkline, alerts) == 0


async def test_nothing_of_a_body_that_is_no_form_is_kept(trunkline: Trunkline) -> None:
    """JSON that was declared to be a form reads as one long name."""
    answer = await trunkline.request(
        "POST",
        f"{trunkline.base}/Messages.json",
        {},
        body=b'{"To": "+15558675310", "Body": "opensesame"}',
    )
    assert answer.status == 400
    (alert,) = await listed(trunkline)
    assert (await fetched(trunkline, alert["sid"]))["request_variables"] is None


async def test_a_broken_program_does_not_fill_the_disk(trunkline: Trunkline) -> None:
    """An account has its share of each minute; others have theirs."""
    other = await subaccount(trunkline)
    answers = await asyncio.gather(*(trunkline.send("nobody") for _ in range(ALERTS_MAX + 20)))
    assert {answer.status for answer in answers} == {400}
    assert await rows_of(trunkline, alerts) == ALERTS_MAX
    await refused_of(trunkline, other)
    assert await rows_of(trunkline, alerts) == ALERTS_MAX + 1
    trunkline.clock.advance(60)
    await trunkline.send("nobody")
    assert await rows_of(trunkline, alerts) == ALERTS_MAX + 2


async def refused_of(trunkline: Trunkline, auth: tuple[str, str]) -> Response:
    """Let another account ask for what cannot be."""
    path = f"/2010-04-01/Accounts/{auth[0]}/Messages.json"
    return await trunkline.request("POST", path, {"To": "nobody"}, auth=auth)


async def test_each_account_sees_its_own(trunkline: Trunkline) -> None:
    """Another's are not listed and not found."""
    other = await subaccount(trunkline)
    await refused_of(trunkline, other)
    assert await listed(trunkline) == []
    seen = await trunkline.request("GET", "/v1/Alerts", auth=other)
    (alert,) = seen.json["alerts"]
    assert alert["account_sid"] == other[0]
    assert (await trunkline.request("GET", f"/v1/Alerts/{alert['sid']}")).status == 404


async def test_alerts_are_listed_by_level_and_time(trunkline: Trunkline) -> None:
    """In pages, newest first; both ends of the time belong to it."""
    await trunkline.configure_number(SmsUrl=INBOUND)
    trunkline.receiver.script = lambda seen: (200, "text/xml", b"<Response><Dial/></Response>")
    await trunkline.send("nobody")
    await receive(trunkline)
    trunkline.clock.advance(timedelta(days=2).total_seconds())
    await trunkline.send("nobody")
    assert [a["log_level"] for a in await listed(trunkline)] == ["error", "warning", "error"]
    assert [a["error_code"] for a in await listed(trunkline, LogLevel="warning")] == ["14110"]
    day, later = NOON.date().isoformat(), (NOON + timedelta(days=2)).date().isoformat()
    assert len(await listed(trunkline, StartDate=day, EndDate=day)) == 2
    assert len(await listed(trunkline, StartDate=later)) == 1
    assert len(await listed(trunkline, StartDate=f"{later}T12:00:00Z", LogLevel="error")) == 1
    first = await trunkline.request("GET", "/v1/Alerts", {"PageSize": "2", "LogLevel": "error"})
    assert (len(first.json["alerts"]), first.json["meta"]["next_page_url"]) == (2, None)
    wrong = await trunkline.request("GET", "/v1/Alerts", {"LogLevel": "loud"})
    assert (wrong.status, wrong.json["code"]) == (400, 20422)


def quoting(seen: Seen) -> tuple[int, str, bytes]:
    """Answer with TwiML that is wrong in a way whose description quotes the text."""
    return 200, "text/xml", f"<Response><X{seen.form['Body'][-10:]}/></Response>".encode()


@pytest.mark.parametrize("forget", [redact, delete])
async def test_alerts_of_an_erased_text_keep_nothing_of_it(
    trunkline: Trunkline, forget: Any
) -> None:
    """Neither the reason nor the address may quote it; those of a deleted message are gone."""
    await trunkline.configure_number(SmsUrl=f"{INBOUND}?text=opensesame")
    trunkline.receiver.script = quoting
    sid = await receive(trunkline)
    (alert,) = await listed(trunkline)
    assert "opensesame" in said(alert)["Msg"]
    await trunkline.configure_number(SmsUrl=INBOUND)
    await forget(trunkline, sid)
    await trunkline.run_for(AGAIN_SECONDS + 1)
    assert await places(trunkline) == []
    left = await listed(trunkline)
    assert [a["request_url"] for a in left] == ([INBOUND] if forget is redact else [])


async def test_alerts_go_after_thirty_days(trunkline: Trunkline) -> None:
    """Many at once, and an account may have periods of its own."""
    await trunkline.send("nobody")
    (alert,) = await listed(trunkline)
    rows = [
        {
            "account_sid": trunkline.account_sid,
            "sid": f"{alert['sid'][:-5]}{n:05x}",
            "log_level": "error",
            "error_code": 11200,
            "resource_sid": "",
            "service_sid": "",
            "at": NOON,
            "doc": {},
        }
        for n in range(2500)
    ]
    await trunkline.app.store.write(lambda db: db.execute(insert(alerts), rows).rowcount)
    await passes(trunkline, 29)
    assert await rows_of(trunkline, alerts) == 2501
    await passes(trunkline, 2)
    assert await rows_of(trunkline, alerts) == 0


async def test_alerts_are_there_after_a_restart(tmp_path: Path) -> None:
    """They are on disk with what they tell of."""
    trunkline = Trunkline(tmp_path / "data")
    sid = (await trunkline.send("+15555530003")).json["sid"]
    await trunkline.run_for(5)
    await trunkline.close()
    again = Trunkline(tmp_path / "data")
    try:
        (alert,) = await listed(again)
        assert (alert["resource_sid"], alert["error_code"]) == (sid, "30003")
    finally:
        await again.close()


async def test_the_console_shows_alerts(trunkline: Trunkline) -> None:
    """By level, with what is known of a refused request, and the way to the message."""
    browser = Browser(local_console(trunkline))
    assert "Nothing went wrong" in await browser.read("/alerts")
    sid = (await trunkline.send("+15555530003")).json["sid"]
    await trunkline.run_for(5)
    await trunkline.configure_number(SmsUrl=INBOUND)
    trunkline.receiver.script = lambda seen: (
        200,
        "text/xml",
        b"<Response><Dial><b>x</b></Dial></Response>",
    )
    await receive(trunkline)
    await trunkline.send("+15558675310", From="+14155550199")
    page = await browser.read("/alerts")
    assert f'href="/console/messages/{sid}"' in page
    assert 'href="/console/alerts" aria-current="page"' in page
    for words in ("30003", "14110", "To +1555867XXXX, From +1415555XXXX"):
        assert words in page
    assert "5558675310" not in page
    errors = await browser.read("/alerts?level=error")
    assert "30003" in errors
    assert "14110" not in errors
    warnings = await browser.read("/alerts?level=warning")
    assert "30003" not in warnings
    assert "14110" in warnings


async def test_the_console_turns_pages_of_alerts(trunkline: Trunkline) -> None:
    """Of fifty, older and newer ones; a level stays chosen."""
    browser = Browser(local_console(trunkline))
    for _ in range(ROWS_MAX + 2):
        await trunkline.send("nobody")
    first = await browser.read("/alerts?level=error")
    older = next(str(a["href"]) for _, a in Markup(first).tags if a.get("rel") == "next")
    second = await browser.read(older.removeprefix("/console").replace("&amp;", "&"))
    assert (first.count('data-key="NO'), second.count('data-key="NO')) == (ROWS_MAX, 2)
    assert 'rel="prev"' in second
    assert "level=error" in older


async def test_a_refusal_stays_one_where_it_cannot_be_noted(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full does not make a mistake of the caller ours."""

    def full(db: Any, batch: Any) -> None:
        raise OSError

    monkeypatch.setattr("trunkline.flows.alerts.insert_alerts", full)
    answer = await trunkline.send("nonsense")
    assert (answer.status, answer.json["code"]) == (400, 21211)
    assert await listed(trunkline) == []
