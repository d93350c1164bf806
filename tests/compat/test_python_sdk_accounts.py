"""The official Python client rotates tokens, verifies numbers, closes countries, and rehearses."""

from collections.abc import Iterator
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

import trunkline
from tests.processes import PHONE, Server, ask, close, running, wait_until
from trunkline.datadir import read_credentials
from trunkline.domain.trial import TRIAL_PREFIX


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("sdk")) as server:
        yield server


@pytest.fixture
def sub(server: Server) -> Iterator[Any]:
    """Yield a client of a new subaccount that has a number."""
    with server.client() as client:
        account = client.api.accounts.create(friendly_name="Shop")
    branch = connected(server, account.sid, account.auth_token)
    branch.incoming_phone_numbers.create(area_code="212")
    yield branch
    close(branch)


def connected(server: Server, sid: str, token: str) -> Client:
    return trunkline.connect(account_sid=sid, auth_token=token, base_url=server.base_url)


def admin(server: Server, method: str, path: str, form: dict[str, str] | None = None) -> Any:
    answer = ask(method, f"{server.base_url}/trunkline/v1{path}", form, auth=server.auth)
    assert answer.status < 300, answer.body
    return answer.json


def code_of(call: Any, **options: object) -> int:
    with pytest.raises(TwilioRestException) as caught:
        call(**options)
    code: int = caught.value.code
    return code


def test_a_token_is_rotated_with_the_client(server: Server, sub: Any) -> None:
    """The old one works until the new one is promoted."""
    token = sub.accounts.v1.secondary_auth_token().create().secondary_auth_token
    new = connected(server, sub.username, token)
    promoted = new.accounts.v1.auth_token_promotion().update()
    assert promoted.auth_token == token
    assert new.api.v2010.accounts(sub.username).fetch().status == "active"
    with pytest.raises(TwilioRestException) as caught:
        sub.balance.fetch()
    assert caught.value.code == 20003
    assert new.accounts.v1.secondary_auth_token().create().date_created is not None
    assert new.accounts.v1.secondary_auth_token().delete()
    close(new)


def test_the_main_accounts_token_is_left_for_the_command_line(server: Server) -> None:
    """A server that runs writes the promoted one into its data directory."""
    directory = server.data_dir
    with server.client() as client:
        client.accounts.base_url = f"{server.base_url}/accounts"
        token = client.accounts.v1.secondary_auth_token().create().secondary_auth_token
        client.accounts.v1.auth_token_promotion().update()
    assert wait_until(lambda: read_credentials(directory).auth_token == token)
    server.auth_token = token
    with server.client() as client:
        assert client.api.v2010.accounts(server.account_sid).fetch().auth_token == token


def test_a_trial_verifies_a_number_and_texts_it(server: Server, sub: Any) -> None:
    """Whoever holds the phone texts the code back."""
    admin(server, "POST", f"/accounts/{sub.username}", {"Type": "trial"})
    number = sub.incoming_phone_numbers.list()[0].phone_number
    message = {"to": PHONE, "from_": number, "body": "Hi"}
    assert code_of(sub.messages.create, **message) == 21608
    asked = sub.validation_requests.create(phone_number=PHONE)
    server.say(asked.validation_code, to=number)
    known = wait_until(lambda: sub.outgoing_caller_ids.list(phone_number=PHONE))
    assert sub.messages.create(**message).body == f"{TRIAL_PREFIX}Hi"
    assert known[0].update(friendly_name="Me").friendly_name == "Me"
    assert known[0].delete()
    assert code_of(sub.messages.create, **message) == 21608


def test_countries_are_closed_with_the_client(sub: Any) -> None:
    """And opened again."""
    number = sub.incoming_phone_numbers.list()[0].phone_number
    message = {"to": "+447400123456", "from_": number, "body": "Hi"}
    permissions = sub.accounts.v1.messaging_geopermissions
    for is_enabled in (False, True):
        wish = {"country_code": "GB", "type": "country", "enabled": is_enabled}
        (done,) = permissions.update(permissions=[wish]).permissions
        assert (done["enabled"], done["error_code"]) == (is_enabled, 0)
        assert permissions.fetch(country_code="GB").permissions == [done]
        if is_enabled:
            assert sub.messages.create(**message).status == "queued"
        else:
            assert code_of(sub.messages.create, **message) == 21408


def test_the_magic_numbers_work_with_the_client(server: Server, sub: Any) -> None:
    """As in Twilio's own examples of test credentials."""
    told = admin(server, "GET", f"/accounts/{sub.username}/test-credentials")
    client = connected(server, told["account_sid"], told["auth_token"])
    sent = client.messages.create(to=PHONE, from_="+15005550006", body="All in the game, yo")
    assert (sent.status, sent.account_sid) == ("queued", told["account_sid"])
    assert code_of(client.messages.create, to=PHONE, from_="+15005550001", body="x") == 21212
    bought = client.incoming_phone_numbers.create(phone_number="+15005550006")
    assert bought.phone_number == "+15005550006"
    assert code_of(sent.fetch) == 20008
    close(client)
