"""A server reads its settings again: what can change under way does, the rest is named."""

import shutil
import ssl
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGHUP

import pytest

from tests.interop.smpp.certificate import Certified, certify
from tests.processes import PHONE, Server, ask, running, wait_until
from trunkline.config import Config
from trunkline.reloading import LIVE, compare
from trunkline.webhooks.answer import BLOCKED
from trunkline.webhooks.client import WebhookClient
from trunkline.webhooks.guard import parse_guard
from trunkline.webhooks.request import parse_target, render_request

TOKEN = "a-token-of-some-length"


def reload(server: Server, text: str, *, told: str) -> str:
    """Write the settings file, send the signal, and return what was said."""
    before = len(server.process.stderr)
    (server.data_dir / "trunkline.toml").write_text(text)
    server.process.popen.send_signal(SIGHUP)
    wait_until(lambda: told in server.process.stderr[before:], what=told)
    return server.process.stderr[before:]


def test_what_can_change_does_and_the_rest_is_named(tmp_path: Path) -> None:
    """Prices, metrics and the log's level follow at once; a port is for the next start."""
    with running(tmp_path) as server, server.client() as client:
        metrics = f"{server.base_url}/metrics"
        there = {"X-Forwarded-For": "198.51.100.7"}
        assert ask("GET", metrics, headers=there).status == 403
        text = f'metrics_token = "{TOKEN}"\nseed = 7\n[prices]\nUS = 0.5\n'
        said = reload(server, text, told="need a restart")
        assert "seed" in said
        assert TOKEN not in said
        bearer = there | {"Authorization": f"Bearer {TOKEN}"}
        assert ask("GET", metrics, headers=bearer).status == 200
        sid = client.messages.create(to=PHONE, from_=server.number, body="x").sid
        wait_until(lambda: client.messages(sid).fetch().price == "-0.50000")
        reload(server, 'log_level = "debug"', told="settings reloaded")
        client.messages.create(to=PHONE, from_=server.number, body="x")
        wait_until(lambda: "accepted" in server.process.stderr)
        assert ask("GET", metrics, headers=bearer).status == 403


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("port = = 7", "trunkline.toml"),
        ('log_level = "loud"', "log_level is 'loud'"),
        (f'metrics_token = "{TOKEN} with spaces"', "metrics_token is not right"),
        ("no_such_setting = 1", "no_such_setting"),
    ],
)
def test_a_mistake_changes_nothing(tmp_path: Path, text: str, reason: str) -> None:
    """The log says what is wrong, without what is secret, and the server goes on."""
    with running(tmp_path) as server:
        said = reload(server, "metrics_open = true\n" + text, told="not reloaded")
        assert reason in said
        assert TOKEN not in said
        there = {"X-Forwarded-For": "198.51.100.7"}
        assert ask("GET", f"{server.base_url}/metrics", headers=there).status == 403


def test_the_certificate_of_the_smpp_server_is_read_again(tmp_path: Path) -> None:
    """Who connects from now on sees the new one; a broken one leaves the old."""
    first, second = (certify(folder) for folder in folders(tmp_path))
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    place(first, cert=cert, key=key)
    settings = {"smpp_tls_port": 0, "smpp_tls_cert": cert, "smpp_tls_key": key}
    with running(tmp_path, **settings) as server:
        port = int(server.process.stdout.partition(" (TLS)")[0].rpartition(":")[2])
        assert ssl.get_server_certificate(("127.0.0.1", port)) == first.certificate.read_text()
        place(second, cert=cert, key=key)
        reload(server, "", told="settings reloaded")
        assert ssl.get_server_certificate(("127.0.0.1", port)) == second.certificate.read_text()
        key.write_text("this is no key")
        reload(server, "", told="not reloaded")
        assert ssl.get_server_certificate(("127.0.0.1", port)) == second.certificate.read_text()


def folders(directory: Path) -> list[Path]:
    made = [directory / "first", directory / "second"]
    for each in made:
        each.mkdir()
    return made


def place(pair: Certified, *, cert: Path, key: Path) -> None:
    shutil.copy(pair.certificate, cert)
    shutil.copy(pair.key, key)


def test_every_live_setting_exists() -> None:
    """A name that nobody declares would be taken over by nobody."""
    assert set(Config.model_fields) >= LIVE


def test_a_setting_that_is_not_live_keeps_its_value() -> None:
    """It is named every time until the restart; what is live is named once."""
    before = Config()
    wanted = Config(port=1, webhook_concurrency=7)
    changes = compare(before, wanted)
    assert (changes.taken_over, changes.after_restart) == (("webhook_concurrency",), ("port",))
    assert (changes.config.port, changes.config.webhook_concurrency) == (before.port, 7)
    again = compare(changes.config, wanted)
    assert (again.taken_over, again.after_restart) == ((), ("port",))


async def test_webhooks_follow_the_guard_of_now() -> None:
    """What an address may be is asked at every connection."""
    client = WebhookClient(parse_guard(()), lambda: datetime(2026, 1, 1, tzinfo=UTC))
    await client.start()
    target = parse_target("http://127.0.0.1:1/")
    request = render_request(target, "POST", parameters={}, auth_token="x", token="y")
    try:
        reasons = []
        for allowed in ((), ("127.0.0.1",), ()):
            client.admit(parse_guard(allowed))
            reasons.append((await client.send(request, target)).attempts[-1].reason)
    finally:
        await client.close()
    assert [reason == BLOCKED.reason for reason in reasons] == [True, False, True]
