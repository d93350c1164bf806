"""Who may bind to the SMPP server, how often and how fast, and when he has to leave."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from tests.esme import Esme, serving, text
from tests.harness import Trunkline
from trunkline.app import StartupError
from trunkline.flows import customers
from trunkline.flows.customers import BindTrouble, Wishes, sign_in
from trunkline.smpp.events import Answered
from trunkline.smpp.pdu import (
    Bind,
    BindReceiver,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    EnquireLink,
)
from trunkline.smpp.status import CommandStatus
from trunkline.smpp.tlv import SC_INTERFACE_VERSION
from trunkline.smsc import binds, connection, server
from trunkline.smsc.binds import Binds, Bucket
from trunkline.smsc.server import SmscServer

C = CommandStatus


async def add(trunkline: Trunkline, system_id: str = "acme", **wishes: object) -> None:
    """Add a customer of the main account who may use its number."""
    given: dict[str, object] = {
        "password": "secret",
        "addresses": (trunkline.number,),
        **wishes,
    }
    await customers.add(
        trunkline.app.platform,
        trunkline.account_sid,
        system_id=system_id,
        wishes=Wishes(**given),  # type: ignore[arg-type]
    )


async def status_of(port: int, system_id: str, password: str) -> int:
    """Return what a bind is answered with; one that is refused ends the connection."""
    async with await Esme.connect(port) as esme:
        status = await esme.bind(system_id, password)
        if status != C.ESME_ROK:
            await esme.until(esme.closed)
        return status


@pytest.mark.parametrize("kind", [BindReceiver, BindTransmitter, BindTransceiver])
async def test_all_binds_are_granted(smsc: SmscServer, kind: type[Bind]) -> None:
    """The answer names us and the version we speak, to those who know versions."""
    async with await Esme.connect(smsc.port) as esme:
        status, answer = await esme.request(kind(system_id="simulator", password="password"))
        assert status == C.ESME_ROK
        assert SC_INTERFACE_VERSION.of(answer.tlvs) == 0x34
        if kind is not BindReceiver:
            assert (await esme.submit(text()))[0][0] == C.ESME_ROK
    async with await Esme.connect(smsc.port) as esme:
        old = kind(system_id="simulator", password="password", interface_version=0x33)
        _, answer = await esme.request(old)
        assert answer.tlvs == ()


async def test_a_bind_that_may_not_be_is_refused(trunkline: Trunkline, smsc: SmscServer) -> None:
    """Each reason has its status; being disabled or elsewhere is no one's business."""
    await add(trunkline)
    await add(trunkline, "away", allowed_hosts=("192.0.2.0/24",))
    await add(trunkline, "off", is_enabled=False)
    assert await status_of(smsc.port, "nobody", "secret") == C.ESME_RINVSYSID
    assert await status_of(smsc.port, "acme", "wrong") == C.ESME_RINVPASWD
    assert await status_of(smsc.port, "acme", "") == C.ESME_RINVPASWD
    assert await status_of(smsc.port, "away", "secret") == C.ESME_RBINDFAIL
    assert await status_of(smsc.port, "off", "secret") == C.ESME_RBINDFAIL
    assert await status_of(smsc.port, "acme", "secret") == C.ESME_ROK


async def test_a_second_bind_and_one_too_many(trunkline: Trunkline, smsc: SmscServer) -> None:
    """One bind a connection, and as many connections as were granted; who leaves makes room."""
    await add(trunkline, binds_max=1)
    async with await Esme.connect(smsc.port) as esme:
        assert await esme.bind("acme", "secret") == C.ESME_ROK
        octets = BindTransceiver(system_id="acme", password="secret")
        assert await again(esme, octets) == C.ESME_RALYBND
        assert await status_of(smsc.port, "acme", "secret") == C.ESME_RBINDFAIL
        esme.session.unbind(esme.loop.time())
        esme.flush()
        await esme.until(esme.closed)
    assert await status_of(smsc.port, "acme", "secret") == C.ESME_ROK


async def again(esme: Esme, pdu: Bind) -> int:
    """Send a second bind, which the client's own session would not."""
    answer: asyncio.Future[int] = esme.loop.create_future()
    observe = esme.observe

    def listen(event: object) -> None:
        match event:
            case Answered(_, status, BindTransceiverResp()):
                answer.set_result(status)
            case _:
                observe(event)  # type: ignore[arg-type]

    esme.observe = listen  # type: ignore[method-assign]
    esme.session._ask(pdu)
    esme.flush()
    return await asyncio.wait_for(answer, 5)


async def test_changes_reach_who_is_bound(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New limits hold at once; who may bind no more is unbound in good order."""
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.02)
    await add(trunkline)
    platform = trunkline.app.platform
    async with serving(trunkline.app) as smsc, await Esme.connect(smsc.port) as esme:
        await esme.bind("acme", "secret")
        pdu = text(source_addr="14155550199")
        assert (await esme.submit(pdu))[0][0] == C.ESME_RINVSRCADR
        await customers.change(platform, "acme", Wishes(is_enabled=False))
        await esme.until(esme.unbound)
        await esme.until(esme.closed)
        assert await status_of(smsc.port, "acme", "secret") == C.ESME_RBINDFAIL
        await customers.change(platform, "acme", Wishes(is_enabled=True))
        assert await status_of(smsc.port, "acme", "secret") == C.ESME_ROK


async def test_a_suspended_account_is_unbound(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot submit from the moment of its suspension, nor bind."""
    made = await trunkline.request("POST", "/2010-04-01/Accounts.json", {})
    sid = made.json["sid"]
    await customers.add(
        trunkline.app.platform,
        sid,
        system_id="sub",
        wishes=Wishes(password="secret", addresses=("ACME",)),
    )
    suspended = {"Status": "suspended"}
    async with serving(trunkline.app) as smsc, await Esme.connect(smsc.port) as esme:
        await esme.bind("sub", "secret")
        # Before the server looks, which it does at its start and then a second later.
        await trunkline.request("POST", f"/2010-04-01/Accounts/{sid}.json", suspended)
        pdu = text(source_addr="ACME", source_addr_ton=5, destination_addr="442071838751")
        assert (await esme.submit(pdu))[0][0] == C.ESME_RINVBNDSTS
        await esme.until(esme.unbound)
        assert await status_of(smsc.port, "sub", "secret") == C.ESME_RBINDFAIL


async def test_who_submits_too_fast_is_throttled(trunkline: Trunkline, smsc: SmscServer) -> None:
    """As many as are granted a second are taken, the rest is put off; links are kept alive."""
    await add(trunkline, per_second_max=5)
    async with await Esme.connect(smsc.port) as esme:
        await esme.bind("acme", "secret")
        pdu = text(source_addr=trunkline.number[1:])
        statuses = [status for status, _ in await esme.submit(*[pdu] * 9)]
        assert statuses.count(C.ESME_ROK) == 5
        assert statuses.count(C.ESME_RTHROTTLED) == 4
        assert (await esme.request(EnquireLink()))[0] == C.ESME_ROK


def test_a_bucket_fills_with_time() -> None:
    """A second of silence is as many at once as are granted a second, and never more."""
    bucket = Bucket(10, 100.0)
    assert bucket.take(10, now=100.0)
    assert not bucket.take(1, now=100.0)
    assert not bucket.take(6, now=100.5)
    assert bucket.take(5, now=100.5)
    assert bucket.take(10, now=200.0)
    assert not bucket.take(1, now=200.0)


def test_who_guesses_waits_longer_each_time() -> None:
    """The first mistakes are free; a good bind, or a while of peace, makes up for all."""
    guarded = Binds()

    def guess(host: str = "192.0.2.1", *, now: float = 0.0, is_good: bool = False) -> float | None:
        wait = guarded.turn(host, is_good=is_good, now=now)
        guarded.waited(host)
        return wait

    waits = [guess(now=float(at)) for at in range(14)]
    assert waits[:6] == [0.0] * 6
    assert waits[6:9] == [1.0, 2.0, 4.0]
    assert waits[-1] == binds.WAIT_SECONDS_MAX < connection.SESSION_INIT_SECONDS
    assert guess("192.0.2.2") == 0.0
    assert guess(now=20.0, is_good=True) == binds.WAIT_SECONDS_MAX
    guarded.succeeded("192.0.2.1")
    assert guess(now=21.0) == 0.0
    for number in range(binds.HOSTS_MAX + 1):
        guess(str(number))
    assert len(guarded._failures) == binds.HOSTS_MAX


async def test_hosts_are_compared_as_addresses(trunkline: Trunkline) -> None:
    """An IPv4 peer may look like IPv6."""
    await add(trunkline, allowed_hosts=("192.0.2.7", "2001:db8::/32"))
    platform = trunkline.app.platform
    for host in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"):
        found = await sign_in(platform, "acme", "secret", host=host)
        assert not isinstance(found, BindTrouble)
    for host in ("192.0.2.8", "2001:db9::1"):
        found = await sign_in(platform, "acme", "secret", host=host)
        assert found is BindTrouble.NOT_ALLOWED


async def test_who_does_not_bind_is_let_go(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection without a bind costs a place for some seconds only."""
    monkeypatch.setattr(connection, "SESSION_INIT_SECONDS", 0.02)
    async with serving(trunkline.app) as smsc, await Esme.connect(smsc.port) as esme:
        await esme.until(esme.closed)


async def test_who_is_silent_is_asked_and_then_let_go(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """enquire_link goes both ways; a peer that answers stays."""
    monkeypatch.setattr(connection, "ENQUIRE_SECONDS", 0.02)
    monkeypatch.setattr(connection, "RESPONSE_SECONDS", 0.1)
    async with (
        serving(trunkline.app) as smsc,
        await Esme.connect(smsc.port) as alive,
        await Esme.connect(smsc.port) as dead,
    ):
        await alive.bind("simulator", "password")
        await dead.bind("simulator", "password")
        dead.flush = lambda: None  # type: ignore[method-assign]
        await dead.until(dead.closed)
        assert not alive.closed.done()
        assert (await alive.submit(text()))[0][0] == C.ESME_ROK


async def test_there_are_only_so_many_connections(trunkline: Trunkline) -> None:
    """One too many is closed at once; the others do not notice."""
    async with (
        serving(trunkline.app, connections_max=1) as smsc,
        await Esme.connect(smsc.port) as first,
    ):
        assert await first.bind("simulator", "password") == C.ESME_ROK
        async with await Esme.connect(smsc.port) as second:
            await second.until(second.closed)
        assert (await first.submit(text()))[0][0] == C.ESME_ROK


async def test_a_server_that_stops_takes_leave(
    trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked is answered, then comes the unbind."""
    write, asked, go_on = trunkline.app.store.write, asyncio.Event(), asyncio.Event()

    async def slow(work: Callable[[Connection], object]) -> object:
        asked.set()
        await go_on.wait()
        return await write(work)

    async with serving(trunkline.app) as smsc:
        esme = await Esme.connect(smsc.port)
        await esme.bind("simulator", "password")
        with monkeypatch.context() as busy:
            busy.setattr(trunkline.app.store, "write", slow)
            answer = esme.ask(text())
            await asyncio.wait_for(asked.wait(), 5)
            stopping = asyncio.ensure_future(smsc.stop())
            # Links are kept alive although the store is slow.
            assert (await esme.request(EnquireLink()))[0] == C.ESME_ROK
            go_on.set()
        await stopping
    assert (await answer)[0] == C.ESME_ROK
    await esme.until(esme.unbound)
    await esme.until(esme.closed)


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Write a certificate for localhost that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = directory / "cert.pem", directory / "key.pem"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_path, key_path


async def test_tls(tmp_path: Path) -> None:
    """By settings: a port of its own, with a certificate that the client checks."""
    cert, key = make_certificate(tmp_path)
    settings = {"smpp_tls_port": 0, "smpp_tls_cert": cert, "smpp_tls_key": key}
    program = Trunkline(tmp_path / "data", **settings)
    await program.app.smsc.start()
    assert program.app.smsc.addresses == (f"127.0.0.1:{program.app.smsc.port} (TLS)",)
    context = ssl.create_default_context(cafile=cert)
    async with await Esme.connect(program.app.smsc.port, tls=context) as esme:
        assert await esme.bind("simulator", "password") == C.ESME_ROK
        assert (await esme.submit(text()))[0][0] == C.ESME_ROK
    with pytest.raises(ssl.SSLCertVerificationError):
        await Esme.connect(program.app.smsc.port, tls=ssl.create_default_context())
    await program.close()


def test_tls_needs_a_certificate(tmp_path: Path) -> None:
    """The start fails with a sentence that names the setting."""
    with pytest.raises(StartupError, match="smpp_tls_cert"):
        Trunkline(tmp_path / "a", smpp_tls_port=0)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    with pytest.raises(StartupError, match="cannot be used"):
        Trunkline(tmp_path / "b", smpp_tls_port=0, smpp_tls_cert=cert, smpp_tls_key=key)


async def test_a_port_in_use_is_told(trunkline: Trunkline, smsc: SmscServer) -> None:
    """Two servers cannot have one port."""
    other = Trunkline(trunkline.config.data_dir.parent / "other", smpp_port=smsc.port)
    with pytest.raises(StartupError, match="--smpp-port"):
        await other.app.start()
    await other.close()


async def test_the_simulator_is_there_on_a_machine_of_ones_own_only(tmp_path: Path) -> None:
    """With the password of the setting; opened to others it is the operator's to keep."""
    directory = tmp_path / "data"

    async def found_at_start(**settings: object) -> dict[str, bool]:
        program = Trunkline(directory, smpp_port=0, **settings)
        await program.app.smsc.start()
        found = {
            password: not isinstance(
                await sign_in(program.app.platform, "simulator", password, host="127.0.0.1"),
                BindTrouble,
            )
            for password in ("password", "other")
        }
        await program.close()
        return found

    assert await found_at_start() == {"password": True, "other": False}
    assert await found_at_start(smpp_simulator_password="other") == {
        "password": False,
        "other": True,
    }
    assert await found_at_start(host="0.0.0.0") == {"password": False, "other": False}
    assert await found_at_start() == {"password": True, "other": False}
    program = Trunkline(directory)
    await customers.change(program.app.platform, "simulator", Wishes(allowed_hosts=()))
    await program.close()
    assert await found_at_start(host="0.0.0.0") == {"password": True, "other": False}
