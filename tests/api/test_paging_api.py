"""Lists in pages over HTTP, and as the official client walks through them."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from tests.harness import Trunkline

COUNT = 5


class InProcess(AsyncHttpClient):  # type: ignore[misc]  # The SDK ships no types.
    """Carries the official client's requests into the program without a socket."""

    def __init__(self, trunkline: Trunkline) -> None:
        self.is_async = True
        self._trunkline = trunkline

    async def request(self, method: str, url: str, **sent: Any) -> Response:
        parts = urlsplit(url)
        query = urlencode(sent.get("params") or {}, doseq=True) or parts.query
        path = f"{parts.path}?{query}" if query else parts.path
        answer = await self._trunkline.request(
            method, path, sent["data"], auth=sent["auth"], headers=sent["headers"]
        )
        return Response(answer.status, answer.body.decode(), answer.headers)


@pytest.fixture
async def sids(trunkline: Trunkline) -> list[str]:
    """The messages of the account, newest first."""
    made = [(await trunkline.send(body=f"{n}")).json["sid"] for n in range(COUNT)]
    return made[::-1]


@pytest.fixture
def client(trunkline: Trunkline) -> Client:
    return Client(trunkline.account_sid, trunkline.auth_token, http_client=InProcess(trunkline))


async def page(trunkline: Trunkline, uri: str) -> dict[str, Any]:
    answer = await trunkline.request("GET", uri)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def sids_of(found: dict[str, Any]) -> list[str]:
    return [message["sid"] for message in found["messages"]]


async def test_pages_lead_forwards_and_back(trunkline: Trunkline, sids: list[str]) -> None:
    """Every page has the keys of Twilio's envelope and one list."""
    first = await page(trunkline, f"{trunkline.base}/Messages.json?PageSize=2")
    assert set(first) == {
        *("messages", "end", "first_page_uri", "next_page_uri", "page", "page_size"),
        *("previous_page_uri", "start", "uri"),
    }
    assert sids_of(first) == sids[:2]
    assert (first["page"], first["start"], first["end"], first["page_size"]) == (0, 0, 1, 2)
    assert first["previous_page_uri"] is None
    second = await page(trunkline, first["next_page_uri"])
    assert sids_of(second) == sids[2:4]
    assert (second["page"], second["start"], second["end"]) == (1, 2, 3)
    third = await page(trunkline, second["next_page_uri"])
    assert (sids_of(third), third["next_page_uri"]) == (sids[4:], None)
    assert sids_of(await page(trunkline, third["previous_page_uri"])) == sids[2:4]
    assert sids_of(await page(trunkline, second["uri"])) == sids[2:4]
    assert sids_of(await page(trunkline, third["first_page_uri"])) == sids[:2]


async def test_new_messages_do_not_move_the_pages(trunkline: Trunkline, sids: list[str]) -> None:
    """A page is a place in the list, not a number."""
    first = await page(trunkline, f"{trunkline.base}/Messages.json?PageSize=2")
    await trunkline.send()
    assert sids_of(await page(trunkline, first["next_page_uri"])) == sids[2:4]


async def test_filters_stay_on_every_page(trunkline: Trunkline, sids: list[str]) -> None:
    """A filter is kept under its exact name; what is no filter is not."""
    await trunkline.send(to="+15005550009")
    filters = urlencode({"TO": "+15558675310", "PageSize": 2, "Unknown": "x"})
    first = await page(trunkline, f"{trunkline.base}/Messages.json?{filters}")
    assert sids_of(first) == sids[:2]
    asked = parse_qs(urlsplit(first["next_page_uri"]).query)
    token = asked.pop("PageToken")
    assert asked == {"To": ["+15558675310"], "PageSize": ["2"], "Page": ["1"]}
    assert token == [f"PA{sids[1]}"]


async def test_an_empty_list_is_a_page(trunkline: Trunkline) -> None:
    """With nothing on either side."""
    empty = await page(trunkline, f"{trunkline.base}/Messages.json")
    assert (empty["messages"], empty["start"], empty["end"]) == ([], 0, 0)
    assert empty["next_page_uri"] is empty["previous_page_uri"] is None


async def test_a_page_is_no_larger_than_it_may_be(trunkline: Trunkline) -> None:
    """SDKs ask for a page as large as the list that a program wants."""
    path = f"{trunkline.base}/Messages.json"
    answer = await trunkline.request("GET", path, {"PageSize": "10000"})
    assert (answer.status, answer.json["page_size"]) == (200, 1000)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        *(("PageSize=0", 20007), ("PageSize=-5", 20007)),
        *(("PageSize=NaN", 20007), ("Page=x", 20422), ("PageToken=x", 21481)),
        *(("Page=1", 21481), ("PageToken=PA%00", 21481), ("DateSent=soon", 20422)),
    ],
)
async def test_nonsense_is_refused(trunkline: Trunkline, query: str, code: int) -> None:
    """Naming what is wrong."""
    answer = await trunkline.request("GET", f"{trunkline.base}/Messages.json?{query}")
    assert (400 <= answer.status < 500, answer.json["code"]) == (True, code)


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("DateSent=2026-11-20", True),
        ("DateSent=2026-11-20T00:00:00Z", True),
        ("DateSent=2026-11-19", False),
        ("DateSent=2026-11-20T12:00:00Z", True),
        ("DateSent=2026-11-20T23:59:59Z", True),
        ("DateSent=2026-11-21T00:00:00Z", False),
        ("DateSent%3E=2026-11-20&DateSent%3C=2026-11-20", True),
        ("DateSent>=2026-11-20T12:00:00Z", True),
        ("DateSent%3E=2026-11-20T12:00:01Z", False),
        ("DateSent%3C=2026-11-20T11:59:59Z", False),
        ("DateSent%3C=2026-11-19", False),
        ("From=%2B14155550100&To=+15558675310", True),
        ("From=%2B15558675310", False),
        ("To=nobody at all", False),
    ],
)
async def test_filters_of_messages(trunkline: Trunkline, query: str, is_found: bool) -> None:
    """The operators include the time they name; a plus that was not encoded is forgiven."""
    sid = (await trunkline.send()).json["sid"]
    await trunkline.run_for(0)
    found = await page(trunkline, f"{trunkline.base}/Messages.json?{query.replace(' ', '%20')}")
    assert sids_of(found) == ([sid] if is_found else [])


async def test_the_official_client_walks_all_pages(client: Client, sids: list[str]) -> None:
    """Listing, streaming and turning pages."""
    listed = await client.messages.list_async(page_size=2)
    assert [message.sid for message in listed] == sids
    assert [m.sid for m in await client.messages.list_async(limit=3)] == sids[:3]
    stream = await client.messages.stream_async(page_size=2, limit=4)
    assert [message.sid async for message in stream] == sids[:4]
    first = await client.messages.page_async(page_size=2)
    second = await first.next_page_async()
    assert second is not None
    assert [message.sid for message in second] == sids[2:4]
    back = await second.previous_page_async()
    assert back is not None
    assert [message.sid for message in back] == sids[:2]
    assert await back.previous_page_async() is None


async def test_the_official_client_finds_every_list(client: Client, trunkline: Trunkline) -> None:
    """Each list key is where its class looks for it."""
    account = client.api.v2010.account
    assert [a.sid for a in await client.api.v2010.accounts.list_async()] == [trunkline.account_sid]
    assert len(await account.incoming_phone_numbers.list_async()) == 1
    assert await account.keys.list_async() == []
    countries = await client.available_phone_numbers.list_async()
    assert "US" in [country.country_code for country in countries]
    found = await client.available_phone_numbers("US").local.list_async(area_code=212, limit=3)
    assert len(found) == 3
    sid = (await trunkline.send()).json["sid"]
    assert await client.messages(sid).media.list_async() == []


@pytest.mark.parametrize(
    ("host", "scheme"),
    [
        ("sms.example.com", "https"),
        ("SMS.example.com", "https"),
        ("messaging.twilio.com", "https"),
        ("10.0.0.5:8800", "http"),
    ],
)
async def test_links_stay_behind_tls(tmp_path: Path, host: str, scheme: str) -> None:
    """What ends TLS before us need not say so: the base URL tells which hosts are asked so."""
    trunkline = Trunkline(tmp_path / "data", base_url="https://sms.example.com")
    for name in ("one", "two"):
        await trunkline.request("POST", "/v1/Services", {"FriendlyName": name})
    answer = await trunkline.request("GET", "/v1/Services?PageSize=1", host=host)
    found = answer.json
    assert found["meta"]["next_page_url"].startswith(f"{scheme}://{host}/")
    assert found["services"][0]["url"].startswith(f"{scheme}://{host}/")
    console = await trunkline.request("GET", "/console", host=host)
    assert (console.status, console.headers["location"]) == (302, "/console/")
    await trunkline.close()
