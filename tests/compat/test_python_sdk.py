"""The official Python client, as its users have it, against a running Trunkline."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

import trunkline
from tests.processes import PHONE, Server, ask, close, receiving, running, wait_until

NOBODY = "SM" + "0" * 32
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("sdk")) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    with server.client() as client:
        yield client


@pytest.fixture
def sub(client: Any, server: Server) -> Iterator[Any]:
    """Yield a client of a new, empty subaccount."""
    account = client.api.accounts.create(friendly_name="Branch")
    branch = Client(account.sid, account.auth_token)
    branch.api.base_url = server.base_url
    yield branch
    close(branch)


def refusal(call: Any, *args: object, **options: object) -> TwilioRestException:
    with pytest.raises(TwilioRestException) as caught:
        call(*args, **options)
    return caught.value


def list_refusal(call: Any) -> tuple[int, int]:
    """Return status and code of a refused list, which the client reports in its own way."""
    with pytest.raises(TwilioException) as caught:
        call()
    response = caught.value.args[1]
    return response.status_code, json.loads(response.text)["code"]


def sent(client: Any, server: Server, **changes: object) -> Any:
    return client.messages.create(**{"to": PHONE, "from_": server.number, "body": "Hi"} | changes)


def ended(message: Any) -> Any:
    """Return a message once nothing more will happen to it."""
    final = {"delivered", "undelivered", "failed", "received"}
    return wait_until(lambda: fetched if (fetched := message.fetch()).status in final else None)


def test_a_message_has_the_types_that_the_client_promises(client: Any, server: Server) -> None:
    """Texts, times and numbers are parsed into what the client's documentation says."""
    before = datetime.now(UTC) - timedelta(seconds=2)
    message = sent(client, server, body="Hello “you” 👋")
    assert (message.status, message.direction, message.num_segments) == (
        "queued",
        "outbound-api",
        "1",
    )
    assert (message.date_sent, message.price, message.error_code) == (None, None, None)
    done = ended(message)
    assert (done.sid, done.status, done.body) == (message.sid, "delivered", "Hello “you” 👋")
    assert done.date_created.tzinfo is not None
    assert before <= done.date_created <= done.date_sent <= done.date_updated
    assert Decimal(done.price) < 0
    assert (done.price_unit, done.num_media, done.api_version) == ("USD", "0", "2010-04-01")
    assert (done.from_, done.to) == (server.number, PHONE)
    assert done.account_sid == server.account_sid
    assert done.subresource_uris["media"].endswith(f"/Messages/{done.sid}/Media.json")


def test_an_error_code_is_a_number(client: Any, server: Server) -> None:
    """A phone that is off leaves an undelivered message with its code and its text."""
    message = ended(sent(client, server, to="+15555530003"))
    assert (message.status, message.error_code) == ("undelivered", 30003)
    assert message.error_message


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"to": None}, 400, 21604),
        ({"to": "+1555"}, 400, 21211),
        ({"from_": None}, 400, 21603),
        ({"from_": "+14155550199"}, 400, 21659),
        ({"body": None}, 400, 21619),
        ({"body": "x" * 1601}, 400, 21617),
        ({"status_callback": "nonsense"}, 400, 21609),
    ],
)
def test_a_refusal_is_the_clients_own_exception(
    client: Any, server: Server, changes: dict[str, object], status: int, code: int
) -> None:
    """Status, code, text and address are where handlers of Twilio's errors look."""
    error = refusal(sent, client, server, **changes)
    assert (error.status, error.code, error.method) == (status, code, "POST")
    assert error.msg.startswith("Unable to create record: ")
    assert len(error.msg) > len("Unable to create record: ")
    assert error.uri == f"/Accounts/{server.account_sid}/Messages.json"


def test_what_is_not_there_is_20404(client: Any, server: Server) -> None:
    """The message names the path, as handlers may expect."""
    error = refusal(client.messages(NOBODY).fetch)
    path = f"/2010-04-01/Accounts/{server.account_sid}/Messages/{NOBODY}.json"
    assert (error.status, error.code) == (404, 20404)
    assert error.msg == f"Unable to fetch record: The requested resource {path} was not found"


def test_wrong_credentials_are_20003(server: Server) -> None:
    """A wrong token is refused as Twilio refuses it."""
    client = Client(server.account_sid, "0" * 32)
    client.api.base_url = server.base_url
    listed, made = list_refusal(client.messages.list), refusal(sent, client, server)
    close(client)
    assert listed == (made.status, made.code) == (401, 20003)


def test_pages_lead_forward_and_back(sub: Any, server: Server) -> None:
    """list, stream and page agree; next_page and previous_page go along the same list."""
    number = sub.incoming_phone_numbers.create(area_code="415").phone_number
    sids = [sub.messages.create(to=PHONE, from_=number, body=str(n)).sid for n in range(7)][::-1]
    assert [m.sid for m in sub.messages.list()] == sids
    assert [m.sid for m in sub.messages.list(limit=5, page_size=2)] == sids[:5]
    assert [m.sid for m in sub.messages.stream(page_size=3)] == sids
    first = sub.messages.page(page_size=3)
    second = first.next_page()
    third = second.next_page()
    assert [[m.sid for m in page] for page in (second, third)] == [sids[3:6], sids[6:]]
    assert third.next_page() is None
    back = third.previous_page()
    assert [m.sid for m in back] == sids[3:6]
    front = back.previous_page()
    assert [m.sid for m in front] == sids[:3]
    assert front.previous_page() is None
    again = sub.messages.get_page(first.next_page_url)
    assert [m.sid for m in again] == sids[3:6]


def test_lists_are_filtered(client: Any, server: Server) -> None:
    """By recipient, by sender and by the time of sending, before and after."""
    phone = "+15558675333"
    message = ended(sent(client, server, to=phone))
    moment = message.date_sent
    earlier, later = moment - timedelta(minutes=1), moment + timedelta(minutes=1)

    def found(**filters: object) -> list[str]:
        return [m.sid for m in client.messages.list(to=phone, **filters)]

    assert found() == found(from_=server.number) == [message.sid]
    assert found(from_="+14155550199") == []
    assert found(date_sent_after=earlier) == found(date_sent_before=later) == [message.sid]
    assert found(date_sent_after=later) == found(date_sent_before=earlier) == []
    assert found(date_sent_after=earlier, date_sent_before=later) == [message.sid]
    assert found(date_sent=moment.date()) == [message.sid]
    assert found(date_sent=moment.date() - timedelta(days=1)) == []


def test_messages_are_redacted_and_deleted(client: Any, server: Server) -> None:
    """update(body="") takes the text away, delete() the message."""
    message = ended(sent(client, server))
    assert message.update(body="").body == ""
    assert client.messages(message.sid).fetch().body == ""
    assert message.delete() is True
    assert refusal(message.fetch).code == 20404


def test_an_update_to_nothing_valid_is_refused(client: Any, server: Server) -> None:
    """A message cannot be rewritten, and what was delivered cannot be canceled."""
    message = ended(sent(client, server))
    assert refusal(message.update, body="something else").code == 20422
    assert refusal(message.update, status="canceled").code == 30409


def test_media_go_out_and_are_listed(client: Any, server: Server) -> None:
    """The picture is fetched, kept, listed, shown on the phone and deleted."""
    with receiving(lambda seen: (200, "image/png", PIXEL)) as pictures:
        url = pictures.url("/pixel.png?size=1")
        message = ended(sent(client, server, body="Look", media_url=[url]))
    assert (message.status, message.num_media, message.sid[:2]) == ("delivered", "1", "MM")
    (medium,) = message.media.list()
    assert (medium.content_type, medium.parent_sid) == ("image/png", message.sid)
    assert medium.date_created.tzinfo is not None
    assert client.messages(message.sid).media(medium.sid).fetch().sid == medium.sid
    assert server.inbox()[-1]["media"]
    assert medium.delete() is True
    assert message.media.list() == []


def test_feedback_is_taken(client: Any, server: Server) -> None:
    """The client's feedback resource works."""
    message = sent(client, server)
    feedback = client.messages(message.sid).feedback.create(outcome="confirmed")
    assert (feedback.outcome, feedback.message_sid) == ("confirmed", message.sid)


def test_numbers_are_found_bought_configured_and_released(client: Any) -> None:
    """The whole life of a number, of three kinds and two countries."""
    local = client.available_phone_numbers("US").local.list(area_code=415, limit=3)
    assert len(local) == 3
    assert all(n.phone_number.startswith("+1415") and n.iso_country == "US" for n in local)
    assert all(n.capabilities["sms"] is True for n in local)
    free = client.available_phone_numbers("US").toll_free.list(limit=2)
    assert len(free) == 2
    assert all(n.phone_number.startswith("+18") for n in free)
    mobile = client.available_phone_numbers("GB").mobile.list(limit=2)
    assert len(mobile) == 2
    assert all(n.phone_number.startswith("+447") for n in mobile)
    for offer in (local[0], free[0], mobile[0]):
        number = client.incoming_phone_numbers.create(phone_number=offer.phone_number)
        assert (number.phone_number, number.sid[:2]) == (offer.phone_number, "PN")
        changed = number.update(sms_url="https://app.example.com/sms", sms_method="GET")
        assert (changed.sms_url, changed.sms_method) == ("https://app.example.com/sms", "GET")
        assert changed.date_created.tzinfo is not None
        found = client.incoming_phone_numbers.list(phone_number=offer.phone_number)
        assert [n.sid for n in found] == [number.sid]
        again = refusal(client.incoming_phone_numbers.create, phone_number=offer.phone_number)
        assert (again.status, again.code) == (400, 21422)
        assert number.delete() is True
        assert refusal(number.fetch).code == 20404


def test_countries_with_numbers_are_listed(client: Any) -> None:
    """The United States and Great Britain are among them."""
    codes = {country.country_code for country in client.available_phone_numbers.list()}
    assert {"US", "GB"} <= codes


def test_accounts_are_made_renamed_suspended_and_closed(client: Any, server: Server) -> None:
    """The parent sees its subaccounts; a suspended one is refused."""
    account = client.api.accounts.create(friendly_name="Shop")
    assert (account.status, account.owner_account_sid) == ("active", server.account_sid)
    assert account.update(friendly_name="Store").friendly_name == "Store"
    assert account.sid in {a.sid for a in client.api.accounts.list(friendly_name="Store")}
    assert client.api.v2010.accounts(account.sid).fetch().friendly_name == "Store"
    assert client.api.v2010.account.fetch().sid == server.account_sid
    with server.client(account_sid=account.sid) as parent:
        assert parent.messages.list() == []
        number = parent.incoming_phone_numbers.create(area_code="415").phone_number
        assert parent.messages.create(to=PHONE, from_=number, body="x").account_sid == account.sid
        account.update(status="suspended")
        error = refusal(parent.messages.create, to=PHONE, from_=number, body="x")
        assert (error.status, error.code) == (403, 20005)
    assert account.update(status="closed").status == "closed"


def test_a_subaccount_cannot_reach_its_parent(sub: Any, server: Server) -> None:
    """A branch's own credentials open the branch alone."""
    other = Client(*sub.auth, server.account_sid)
    other.api.base_url = server.base_url
    assert list_refusal(other.messages.list) == (401, 20003)
    close(other)


def test_keys_sign_in(client: Any, server: Server) -> None:
    """A key's secret is told once; the key works until it is deleted."""
    new = client.new_keys.create(friendly_name="ci")
    assert (new.sid[:2], bool(new.secret)) == ("SK", True)
    keyed = Client(new.sid, new.secret, server.account_sid)
    keyed.api.base_url = server.base_url
    assert sent(keyed, server).account_sid == server.account_sid
    assert list_refusal(keyed.keys.list) == (401, 20003)
    assert new.sid in {key.sid for key in client.keys.list()}
    assert client.keys(new.sid).update(friendly_name="cd").friendly_name == "cd"
    assert client.keys(new.sid).delete() is True
    assert refusal(sent, keyed, server).status == 401
    close(keyed)


def test_the_balance_goes_down(client: Any, server: Server) -> None:
    """What a message costs is taken from the balance."""
    before = client.balance.fetch()
    message = ended(sent(client, server))
    after = client.balance.fetch()
    assert (after.currency, after.account_sid) == ("USD", server.account_sid)
    assert Decimal(after.balance) <= Decimal(before.balance) + Decimal(message.price)


def test_connect_finds_the_server_by_itself(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """trunkline.connect() reads the data directory, or the environment."""
    for name in ("TWILIO_REGION", "TWILIO_EDGE"):
        monkeypatch.setenv(name, "ie1")
    found = trunkline.connect(data_dir=str(server.data_dir))
    assert sent(found, server).status == "queued"
    close(found)
    monkeypatch.setenv("TRUNKLINE_BASE_URL", server.base_url)
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", server.account_sid)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", server.auth_token)
    named = trunkline.connect()
    assert named.api.v2010.account.fetch().sid == server.account_sid
    close(named)


def test_services_have_the_types_that_the_client_promises(server: Server) -> None:
    """Made, changed, listed and deleted, with senders of every kind; a text leaves from one."""
    client = trunkline.connect(data_dir=str(server.data_dir))
    services = client.messaging.v1.services
    service = services.create(friendly_name="Reminders", validity_period=600, usecase="poll")
    assert (service.sid[:2], service.validity_period, service.sticky_sender) == ("MG", 600, True)
    assert (service.inbound_request_url, service.use_inbound_webhook_on_number) == (None, False)
    assert service.date_created.tzinfo is not None
    assert service.url == f"{server.base_url}/messaging/v1/Services/{service.sid}"
    changed = service.update(smart_encoding=False, inbound_request_url="https://a.example/in")
    assert (changed.smart_encoding, changed.friendly_name) == (False, "Reminders")
    for name in ("One", "Two"):
        services.create(friendly_name=name)
    found = services.list(page_size=1)
    assert [each.friendly_name for each in found] == ["Two", "One", "Reminders"]
    assert {each["usecase"] for each in client.messaging.v1.usecases.fetch().usecases} > {"poll"}
    number = client.incoming_phone_numbers.list(phone_number=server.number)[0]
    member = service.phone_numbers.create(phone_number_sid=number.sid)
    assert (member.phone_number, member.capabilities) == (server.number, ["MMS", "SMS", "Voice"])
    assert [each.sid for each in service.phone_numbers.list()] == [number.sid]
    error = refusal(found[0].phone_numbers.create, phone_number_sid=number.sid)
    assert (error.status, error.code) == (409, 21712)
    alpha = service.alpha_senders.create(alpha_sender="ACME")
    german = service.destination_alpha_senders.create(alpha_sender="ACME", iso_country_code="DE")
    listed = service.destination_alpha_senders.list(iso_country_code="DE")
    assert [each.iso_country_code for each in listed] == ["DE"]
    assert (service.channel_senders.list(), service.short_codes.list()) == ([], [])
    message = client.messages.create(to=PHONE, messaging_service_sid=service.sid, body="Hi")
    done = ended(message)
    assert (done.from_, done.messaging_service_sid) == (server.number, service.sid)
    assert alpha.delete()
    assert german.delete()
    assert member.delete()
    assert service.delete()
    assert refusal(service.fetch).code == 20404
    close(client)


def test_short_codes_are_found_and_configured(server: Server) -> None:
    """What the operator gave to the account, in its own words."""
    client = trunkline.connect(data_dir=str(server.data_dir))
    given = {"PhoneNumber": "72345"}
    added = ask("POST", f"{server.base_url}/trunkline/v1/numbers", given, auth=server.auth)
    assert added.status == 201, added.body
    (code,) = client.short_codes.list(short_code="723*5")
    assert (code.sid[:2], code.short_code, code.sms_url) == ("SC", "72345", None)
    code.update(sms_url="https://a.example/in")
    assert client.short_codes(code.sid).fetch().sms_url == "https://a.example/in"
    assert code.sid not in {number.sid for number in client.incoming_phone_numbers.list()}
    close(client)


class Detour:
    """Brings requests for Twilio's own hosts here, as a changed name server does."""

    def __init__(self, server: Server) -> None:
        self.inner = TwilioHttpClient()
        self.session = self.inner.session
        self.there = urlsplit(server.base_url).netloc
        self.hosts: list[str] = []

    def request(self, method: str, uri: str, **options: Any) -> Any:
        """Send the request here under its own host name."""
        parts = urlsplit(uri)
        self.hosts.append(parts.netloc)
        options["headers"] = {**options["headers"], "Host": parts.netloc}
        here = urlunsplit(parts._replace(scheme="http", netloc=self.there))
        return self.inner.request(method, here, **options)


def test_the_client_works_without_any_change_behind_a_changed_name_server(server: Server) -> None:
    """With the product's own host name the same resources answer, pages included."""
    detour = Detour(server)
    client = Client(*server.auth, http_client=detour)
    assert ended(sent(client, server)).status == "delivered"
    sent(client, server)
    page = client.messages.page(page_size=1).next_page()
    assert len(list(page)) == 1
    assert set(detour.hosts) == {"api.twilio.com"}
    close(client)


# The client uses what the next major version of aiohttp will no longer have.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_the_asynchronous_client_works(server: Server) -> None:
    """create, fetch, list, update and errors, awaited."""
    http = AsyncTwilioHttpClient()
    try:
        client = Client(*server.auth, http_client=http)
        client.api.base_url = server.base_url
        message = await client.messages.create_async(to=PHONE, from_=server.number, body="async")
        assert (await message.fetch_async()).body == "async"
        listed = await client.messages.list_async(limit=3, page_size=2)
        assert message.sid in {m.sid for m in listed}
        assert [m.sid async for m in await client.messages.stream_async(limit=1)]
        with pytest.raises(TwilioRestException) as caught:
            await client.messages.create_async(to="+1", from_=server.number, body="x")
        assert (caught.value.status, caught.value.code) == (400, 21211)
    finally:
        await http.close()
