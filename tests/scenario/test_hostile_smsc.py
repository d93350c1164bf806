"""An SMSC that breaks every rule, one at a time: nothing is lost by it, and the next text goes."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.live import END, Handsets, Live, eventually, host_of, living
from tests.smsc import Peer, grant, receipt
from trunkline.smpp.pdu import (
    AlertNotification,
    Bind,
    BindReceiverResp,
    BindTransceiverResp,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    GenericNack,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    empty_answer,
)
from trunkline.smpp.status import CommandStatus as Status
from trunkline.smpp.wire import encode

Fault = Callable[[Handsets, Peer, int, SubmitSm], None]
BindFault = Callable[[Peer, int, Bind], None]

SUBMIT_SM_RESP = 0x8000_0004
HTTP_ANSWER = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
TLS_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
DELIVERED, SENT = ("delivered", None), ("sent", None)


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with living(tmp_path) as program:
        yield program


@pytest.fixture
async def smsc() -> AsyncIterator[Handsets]:
    async with Handsets() as listening:
        yield listening


def header(length: int, command_id: int, status: int = 0, number: int = 0) -> bytes:
    """Return a header that may say anything."""
    return struct.pack(">LLLL", length, command_id, status, number)


def answer(number: int, body: bytes, *, status: int = 0) -> bytes:
    """Return a submit_sm_resp with any body."""
    return header(16 + len(body), SUBMIT_SM_RESP, status, number) + body


class Trickle(asyncio.Transport):
    """What writes to another transport octet by octet, each in a turn of the loop."""

    def __init__(self, inner: asyncio.Transport) -> None:
        super().__init__()
        self._inner = inner
        self._waiting = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._write_one)
        self._waiting += data

    def abort(self) -> None:
        self._inner.abort()

    def close(self) -> None:
        self._inner.close()

    def _write_one(self) -> None:
        self._inner.write(self._waiting[:1])
        del self._waiting[:1]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._write_one)


def reset(peer: Peer) -> None:
    """End a connection by RST."""
    assert peer.transport
    linger = struct.pack("ii", 1, 0)
    sock: socket.socket = peer.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    peer.drop()


def octet_by_octet(smsc: Handsets, peer: Peer, number: int, pdu: SubmitSm) -> None:
    assert peer.transport
    peer.transport = Trickle(peer.transport)
    smsc.take(peer, number, pdu)


def half_then_silence(smsc: Handsets, peer: Peer, number: int, pdu: SubmitSm) -> None:
    smsc.is_deaf = True
    peer.send_raw(answer(number, b"half\0")[:18])


def half_then_close(smsc: Handsets, peer: Peer, number: int, pdu: SubmitSm) -> None:
    peer.send_raw(answer(number, b"half\0")[:18])
    assert peer.transport
    peer.transport.close()


def raw(octets: bytes) -> Fault:
    """Return a fault that is some octets instead of an answer."""
    return lambda smsc, peer, number, pdu: peer.send_raw(octets)


def first(*pieces: bytes) -> Fault:
    """Return a fault that is some octets before a good answer."""

    def play(smsc: Handsets, peer: Peer, number: int, pdu: SubmitSm) -> None:
        peer.send_raw(b"".join(pieces))
        smsc.take(peer, number, pdu)

    return play


def says(response: Pdu, *, status: int = 0, shift: int = 0) -> Fault:
    """Return a fault that answers with a PDU of any kind, for a number beside the right one."""
    return lambda smsc, peer, number, pdu: peer.send_raw(
        encode(response, number + shift, command_status=status)
    )


def body(octets: Callable[[int], bytes], name: str = "") -> Fault:
    """Return a fault that answers with any octets, and delivers what it calls *name*."""

    def play(smsc: Handsets, peer: Peer, number: int, pdu: SubmitSm) -> None:
        peer.send_raw(octets(number))
        if name:
            peer.send_raw(encode(receipt(name), 4_000_000))

    return play


def twice(smsc: Handsets, peer: Peer, number: int, pdu: SubmitSm) -> None:
    message_id = smsc.take(peer, number, pdu)
    peer.send_raw(answer(number, message_id.encode() + b"\0") * 2)
    peer.send_raw(answer(number, b"other\0"))
    peer.send_raw(answer(number, b"", status=Status.ESME_RSYSERR))


def unbinds(smsc: Handsets, peer: Peer, number: int, pdu: SubmitSm) -> None:
    peer.send_raw(encode(Unbind(), 4_000_001))


def closes(smsc: Handsets, peer: Peer, number: int, pdu: SubmitSm) -> None:
    assert peer.transport
    peer.transport.close()


def resets(smsc: Handsets, peer: Peer, number: int, pdu: SubmitSm) -> None:
    reset(peer)


def falls_silent(smsc: Handsets, peer: Peer, number: int, pdu: SubmitSm) -> None:
    smsc.is_deaf = True


LONGEST, ODD = "9" * 65, "n\xe9e-1"

# What the SMSC does to one submission, what becomes of it, and how often it is submitted.
FAULTS: dict[str, tuple[Fault, tuple[str, int | None], int]] = {
    "octet by octet": (octet_by_octet, DELIVERED, 1),
    "half a PDU, then silence": (half_then_silence, DELIVERED, 2),
    "half a PDU, then the end": (half_then_close, DELIVERED, 2),
    "command_length 0": (raw(header(0, SUBMIT_SM_RESP)), DELIVERED, 2),
    "command_length 15": (raw(header(15, SUBMIT_SM_RESP)), DELIVERED, 2),
    "command_length 2^31": (raw(header(2**31, SUBMIT_SM_RESP)), DELIVERED, 2),
    "too short for its fields": (body(lambda n: answer(n, b"cut"), "cut"), DELIVERED, 1),
    "an HTTP answer": (raw(HTTP_ANSWER), DELIVERED, 2),
    "a TLS alert": (raw(TLS_ALERT), DELIVERED, 2),
    "an unknown request before": (first(header(16, 0x0001_0010, 0, 7)), DELIVERED, 1),
    "an unknown answer before": (first(header(16, 0x8001_0010, 0, 1)), DELIVERED, 1),
    "an alert before": (
        first(encode(AlertNotification(source_addr="1", esme_addr="2"), 8)),
        DELIVERED,
        1,
    ),
    "unknown TLVs": (
        body(lambda n: answer(n, b"tlv\0\x14\xff\0\x02ab\x99\x99\0\0"), "tlv"),
        DELIVERED,
        1,
    ),
    "broken TLVs": (body(lambda n: answer(n, b"bro\0\x14\xff\xff\xff"), "bro"), DELIVERED, 1),
    "another number": (says(SubmitSmResp(message_id="x"), shift=5000), DELIVERED, 2),
    "number 0": (raw(answer(0, b"x\0")), DELIVERED, 2),
    "answered again and again": (twice, DELIVERED, 1),
    "a deliver_sm_resp": (says(DeliverSmResp()), DELIVERED, 2),
    "a data_sm_resp": (says(DataSmResp(message_id="x")), DELIVERED, 2),
    "a bind answer": (says(BindTransceiverResp()), DELIVERED, 2),
    "a refusal without a body": (says(SubmitSmResp(), status=0x0B), ("failed", 30005), 1),
    "a refusal with a body": (
        body(lambda n: answer(n, b"\0", status=0x0B)),
        ("failed", 30005),
        1,
    ),
    "an unknown status": (says(SubmitSmResp(), status=0x0451), DELIVERED, 2),
    "an endless status": (says(SubmitSmResp(), status=0xFFFF_FFFF), DELIVERED, 2),
    "no id": (says(SubmitSmResp()), SENT, 1),
    "no body": (body(lambda n: answer(n, b"")), SENT, 1),
    "an id of 65 octets": (
        body(lambda n: answer(n, LONGEST.encode() + b"\0"), LONGEST),
        DELIVERED,
        1,
    ),
    "an id with NUL": (body(lambda n: answer(n, b"nu\0ll\0"), "nu"), DELIVERED, 1),
    "an id beyond ASCII": (
        body(lambda n: answer(n, ODD.encode("latin-1") + b"\0")),
        SENT,
        1,
    ),
    "a generic_nack": (says(GenericNack(), status=Status.ESME_RSYSERR), DELIVERED, 2),
    "a generic_nack without a reason": (says(GenericNack()), DELIVERED, 2),
    "throttled": (says(SubmitSmResp(), status=Status.ESME_RTHROTTLED), DELIVERED, 2),
    "queue full": (says(SubmitSmResp(), status=Status.ESME_RMSGQFUL), DELIVERED, 2),
    "unbind": (unbinds, DELIVERED, 2),
    "the end": (closes, DELIVERED, 2),
    "RST": (resets, DELIVERED, 2),
    "silence": (falls_silent, DELIVERED, 2),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_broken_answer_loses_nothing(name, live, smsc):
    """The text it was for ends as it must, submitted once, or once more when in doubt; and the
    next ones go."""
    fault, outcome, submissions = FAULTS[name]
    smsc.faults = [fault]
    await live.connect(hosts=host_of(smsc))
    victim = await live.text("victim")
    await smsc.until(lambda: smsc.seen_texts["victim"] == 1)
    if smsc.is_deaf:
        await smsc.until(lambda: smsc.peers[0].is_gone)
        smsc.is_deaf = False
    good = await live.text("good", to="+14155550124")
    assert await live.becomes(good, "delivered") == DELIVERED
    assert await live.becomes(victim, outcome[0]) == outcome
    await live.balanced(ends={*END, "sent"})
    assert smsc.seen_texts["victim"] == submissions
    assert smsc.seen_texts["good"] <= submissions


@pytest.mark.parametrize("fault", [unbinds, closes, resets], ids=["unbind", "close", "RST"])
async def test_the_end_in_the_midst_of_a_full_window(fault, live, smsc):
    """What was answered is not submitted again; what was not is, and all of it arrives."""
    bodies = [f"text {n}" for n in range(60)]
    held: list[tuple[Peer, int, SubmitSm]] = []

    def hold(smsc: Handsets, peer: Peer, number: int, pdu: SubmitSm) -> None:
        held.append((peer, number, pdu))
        if len(held) == 20:
            for one in held[::2]:
                smsc.take(*one)
            fault(smsc, *held[-1])

    smsc.faults = [hold] * 20
    await live.connect(hosts=host_of(smsc), window="20", response_seconds="2")
    await live.texts(bodies)
    await live.balanced()
    assert set(smsc.taken) == set(bodies)
    answered = {n for n, (_, _, _) in enumerate(held[::2])}
    assert len(answered) == 10
    again = {text for text, count in smsc.seen_texts.items() if count > 1}
    assert len(again) <= 20
    assert max(smsc.seen_texts.values()) <= 2


async def test_throttled_for_long_and_then_not(live, smsc):
    """The connection stays, we slow down, and when mercy comes everything arrives once."""
    bodies = [f"text {n}" for n in range(2)]
    say = says(SubmitSmResp(), status=Status.ESME_RTHROTTLED)
    smsc.faults = [say] * 4
    await live.connect(hosts=host_of(smsc))
    await live.texts(bodies)
    await live.balanced(seconds=25)
    assert len(smsc.peers) == 1
    assert smsc.taken == dict.fromkeys(bodies, 1)


def refused(status: int) -> BindFault:
    return lambda peer, number, pdu: peer.answer(number, empty_answer(pdu), command_status=status)


def bind_says(octets: Callable[[int], bytes]) -> BindFault:
    return lambda peer, number, pdu: peer.send_raw(octets(number))


def late(peer: Peer, number: int, pdu: Bind) -> None:
    asyncio.get_running_loop().call_later(0.5, peer.answer, number, empty_answer(pdu))


def closed(peer: Peer, number: int, pdu: Bind) -> None:
    assert peer.transport
    peer.transport.close()


BIND_FAULTS: dict[str, BindFault] = {
    "wrong password": refused(Status.ESME_RINVPASWD),
    "already bound": refused(Status.ESME_RALYBND),
    "throttled": refused(Status.ESME_RTHROTTLED),
    "unknown status": refused(0x0777),
    "after the time-out": late,
    "silence": lambda peer, number, pdu: None,
    "the end": closed,
    "RST": lambda peer, number, pdu: reset(peer),
    "HTTP": bind_says(lambda number: HTTP_ANSWER),
    "a TLS alert": bind_says(lambda number: TLS_ALERT),
    "half an answer": bind_says(lambda number: encode(BindTransceiverResp(), number)[:15]),
    "another answer": bind_says(lambda number: encode(BindReceiverResp(), number)),
    "another number": bind_says(lambda number: encode(BindTransceiverResp(), number + 1)),
    "a generic_nack": bind_says(lambda number: encode(GenericNack(), number, command_status=3)),
    "a request": bind_says(lambda number: encode(DeliverSm(short_message=b"too soon"), number)),
}


@pytest.mark.parametrize("name", BIND_FAULTS)
async def test_a_broken_bind_is_tried_again(name, live, smsc):
    """A text waits while nobody lets us in, and goes once, when somebody does."""
    smsc.script.bind = BIND_FAULTS[name]
    await live.connect(hosts=host_of(smsc))
    sid = await live.text("patient")
    await smsc.until(lambda: len(smsc.peers) >= 2)
    assert (await live.statuses())[sid][0] == "queued"
    smsc.script.bind = grant
    await live.balanced()
    assert smsc.seen_texts == {"patient": 1}


async def test_an_unanswered_enquire_link_ends_the_connection(live, smsc):
    """A peer that is there and says nothing is left, and another connection made."""
    await live.connect(hosts=host_of(smsc))
    await smsc.until(lambda: smsc.bound)
    smsc.is_deaf = True
    await smsc.until(lambda: smsc.peers[0].is_gone)
    smsc.is_deaf = False
    await live.text()
    await live.balanced()
    assert len(smsc.peers) >= 2


@pytest.fixture
def black_hole():
    """Yield the port of a listener that takes no connection: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
        for filler in fillers:
            filler.close()


async def test_a_host_that_swallows_everything_is_passed_over(live, smsc, black_hole):
    """The next of the list is asked after connect_seconds."""
    hosts = f"127.0.0.1:{black_hole},{host_of(smsc)}"
    await live.connect(hosts=hosts, connect_seconds="0.2")
    await live.text()
    await live.balanced()
    assert smsc.bound


async def test_hosts_that_do_not_let_us_in_are_passed_over(live, smsc):
    """A silent one, one that refuses, a name that nobody knows: the last of the list is asked."""
    async with Handsets() as silent, Handsets() as strict:
        silent.is_deaf = True
        strict.script.bind = refused(Status.ESME_RINVPASWD)
        hosts = ",".join((host_of(silent), "smsc.invalid:2775", host_of(strict), host_of(smsc)))
        await live.connect(hosts=hosts)
        await live.text()
        await live.balanced()
        assert strict.peers


async def test_a_name_that_does_not_resolve_is_said(live, smsc):
    """The text waits; given another host, the carrier sends it."""
    await live.connect(hosts="smsc.invalid:2775")
    await live.text()
    await eventually(_noted(live, "smsc.invalid"), what="the name is blamed")
    await live.change(hosts=host_of(smsc))
    await live.balanced()
    assert smsc.seen_texts == {"Hello": 1}


async def test_nobody_listens_and_then_somebody_does(live):
    """A text waits for the SMSC; its port is that of before."""
    smsc = Handsets()
    async with smsc:
        pass
    await live.connect(hosts=host_of(smsc))
    await live.text()
    await eventually(_noted(live, str(smsc.port)), what="the host is blamed")
    async with smsc:
        await live.balanced()


def _noted(live: Live, word: str) -> Callable[[], Awaitable[bool]]:
    async def noted() -> bool:
        return word in live.bind_error()

    return noted


class Identity:
    """A certificate that is its own authority, for one name and some days around today."""

    def __init__(self, name: str, *, days: int = 1) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.name = name
        self.cert = (
            x509.CertificateBuilder(own, own, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=10))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
            .decode()
        )
        self.key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def listening(self, path: Path, *, clients: str = "") -> ssl.SSLContext:
        """Return the TLS of an SMSC with this name, which asks for a certificate of *clients*."""
        path.write_text(self.cert + self.key)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=clients or None)
        context.load_cert_chain(path)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def trusted(self) -> dict[str, str]:
        """Return the settings that believe this identity."""
        return {"tls": "yes", "tls_ca": self.cert, "tls_server_name": self.name}


SMSC, STRANGER, US = Identity("smsc.example"), Identity("smsc.example"), Identity("us.example")
EXPIRED = Identity("smsc.example", days=-1)

# Who the SMSC is, what our settings say, and what mends it; None listens without TLS.
TLS_FAULTS: dict[str, tuple[Identity | None, dict[str, str], dict[str, str]]] = {
    "an authority we do not trust": (SMSC, STRANGER.trusted(), SMSC.trusted()),
    "expired": (EXPIRED, EXPIRED.trusted(), {**EXPIRED.trusted(), "tls_verify": "no"}),
    "another name": (SMSC, {**SMSC.trusted(), "tls_server_name": "x.example"}, SMSC.trusted()),
    "TLS to a plain port": (None, SMSC.trusted(), {"tls": "", "tls_ca": "", "tls_server_name": ""}),
    "plain to a port with TLS": (SMSC, {}, SMSC.trusted()),
    "no certificate of ours": (
        SMSC,
        SMSC.trusted(),
        {**SMSC.trusted(), "tls_cert": US.cert, "tls_key": US.key},
    ),
}


@pytest.mark.parametrize("name", TLS_FAULTS)
async def test_tls_that_fails(name, live, tmp_path):
    """Nothing is said to who is not trusted; the text waits, and goes once settings are right."""
    identity, wrong, right = TLS_FAULTS[name]
    clients = US.cert if name == "no certificate of ours" else ""
    context = identity.listening(tmp_path / "smsc.pem", clients=clients) if identity else None
    async with Handsets(context=context) as smsc:
        await live.connect(hosts=host_of(smsc), **wrong)
        sid = await live.text()

        async def fails() -> bool:
            return bool(live.bind_error())

        await eventually(fails, what="what is wrong is said")
        assert (await live.statuses())[sid][0] == "queued"
        assert smsc.seen == []
        await live.change(**right)
        await live.balanced()
        assert smsc.seen_texts == {"Hello": 1}


async def test_tls_that_nobody_answers(live, smsc):
    """A handshake has no more time than a connection; the next host is asked."""
    async with Handsets() as silent:
        silent.is_deaf = True
        hosts = f"{host_of(silent)},{host_of(smsc)}"
        await live.connect(hosts=hosts, **SMSC.trusted(), connect_seconds="0.2")
        await silent.until(lambda: len(silent.peers) >= 2)
        await live.change(hosts=host_of(smsc), tls="", tls_ca="", tls_server_name="")
        await live.text()
        await live.balanced()
