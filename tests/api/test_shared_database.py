"""Several programs on one database: the key that seals secrets, and the bytes of media."""

import asyncio
import base64
import os
from pathlib import Path
from typing import Any

import pytest

from tests.databases import DATABASES
from tests.harness import Trunkline
from trunkline.app import StartupError

pytestmark = pytest.mark.postgresql

PICTURE = os.urandom(2_500_000)  # Three pieces.
URL = "https://pictures.example.com/cat.png"


def settings(tmp_path: Path) -> dict[str, Any]:
    """Return the settings of a node on the test's database."""
    return dict(DATABASES.settings(tmp_path / "one"))


def large_files(directory: Path) -> list[Path]:
    """Return what on the disk may hold a picture."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return [path for path in files if path.stat().st_size > 10_000]


async def test_nodes_share_the_key(tmp_path: Path) -> None:
    """As a file or as text; then they have one account and open each other's secrets."""
    key = os.urandom(32)
    (tmp_path / "key").write_bytes(key)
    where = settings(tmp_path)
    one = Trunkline(tmp_path / "one", **where, secret_key=str(tmp_path / "key"))
    two = Trunkline(tmp_path / "two", **where, secret_key=base64.b64encode(key).decode())
    assert (one.account_sid, one.auth_token) == (two.account_sid, two.auth_token)
    sid = (await one.send()).json["sid"]
    assert (await two.message(sid))["sid"] == sid
    assert not (tmp_path / "one" / "secret.key").exists()
    for node in (one, two):
        await node.close()


@pytest.mark.parametrize("given", [None, base64.b64encode(bytes(32)).decode(), "/dev/null"])
async def test_a_node_with_another_key_does_not_start(tmp_path: Path, given: str | None) -> None:
    """It is told which key is meant."""
    where = settings(tmp_path)
    one = Trunkline(tmp_path / "one", **where)
    with pytest.raises(StartupError, match="not the one that the database's secrets") as caught:
        Trunkline(tmp_path / "two", **where, secret_key=given)
    assert ("secret_key" in str(caught.value)) == (given is not None)
    assert str(given) not in str(caught.value)
    await one.close()


async def test_every_node_serves_the_media_of_all(tmp_path: Path) -> None:
    """Nothing of them is left on the disk of the one that fetched them."""
    where = settings(tmp_path)
    one = Trunkline(tmp_path / "one", **where)
    one.receiver.script = lambda seen: (200, "image/png", PICTURE)
    sid = (await one.send(MediaUrl=URL)).json["sid"]
    await one.run_for(5)
    key = str(tmp_path / "one" / "secret.key")
    two = Trunkline(tmp_path / "two", **where, secret_key=key, seed=8)
    listed = await two.request("GET", f"{two.base}/Messages/{sid}/Media.json")
    path = listed.json["media_list"][0]["uri"].removesuffix(".json")
    answer = await two.download(path)
    assert (answer.status, answer.body) == (200, PICTURE)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("inline")
    assert large_files(tmp_path) == []
    files = two.app.platform.media_files
    digest = files.put(PICTURE)
    assert files.discard([digest]) == set()
    for node in (one, two):
        await node.close()


async def test_two_changes_of_one_thing_are_both_made(tmp_path: Path) -> None:
    """Whoever decides on what was read keeps others from changing it meanwhile."""
    where = settings(tmp_path)
    one = Trunkline(tmp_path / "one", **where)
    key = str(tmp_path / "one" / "secret.key")
    two = Trunkline(tmp_path / "two", **where, secret_key=key, seed=8)
    for n in range(20):
        url = f"https://app.example.com/{n}"
        await asyncio.gather(
            one.configure_number(SmsUrl=url), two.configure_number(FriendlyName=f"name {n}")
        )
        listed = await one.request("GET", f"{one.base}/IncomingPhoneNumbers.json")
        number = listed.json["incoming_phone_numbers"][0]
        assert (number["sms_url"], number["friendly_name"]) == (url, f"name {n}")
    for node in (one, two):
        await node.close()


async def test_one_of_two_gets_what_there_is_once(tmp_path: Path) -> None:
    """The other is told so, as if it had come later."""
    where = settings(tmp_path)
    one = Trunkline(tmp_path / "one", **where)
    key = str(tmp_path / "one" / "secret.key")
    two = Trunkline(tmp_path / "two", **where, secret_key=key, seed=8)
    for n in range(10):
        form = {"PhoneNumber": f"+1415555013{n}"}
        path = f"{one.base}/IncomingPhoneNumbers.json"
        answers = await asyncio.gather(*(node.request("POST", path, form) for node in (one, two)))
        assert sorted(answer.status for answer in answers) == [201, 400]
    for node in (one, two):
        await node.close()
