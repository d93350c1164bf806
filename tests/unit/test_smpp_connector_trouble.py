"""Why a connection to an SMSC did not come about is said in words."""

import errno
import socket
import ssl

import pytest

from trunkline.carriers.smpp.notation import Host
from trunkline.carriers.smpp.trouble import no_bind, no_connection
from trunkline.smpp.status import CommandStatus

HOST = Host("smsc.example", 2775)
BOTH = "Multiple exceptions: [Errno 111] Connect call failed ('::1', 2775), [Errno 111] \u2026"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), "smsc.example:2775 refuses the"),
        (OSError(BOTH.replace("111", str(errno.ECONNREFUSED))), "smsc.example:2775 refuses the"),
        (socket.gaierror(-2, "Name or service not known"), "the host smsc.example is not known"),
        (UnicodeError("label too long"), "the host smsc.example is not known"),
        (
            ssl.SSLError(1, "[SSL] x (_ssl.c:9)"),
            "smsc.example:2775 does not speak TLS as we do: [SSL] x",
        ),
        (OSError(errno.EHOSTUNREACH, "No route"), "there is no way to smsc.example:2775"),
        (OSError(errno.EMFILE, "Too many open files"), "smsc.example:2775: Too many open files"),
    ],
)
def test_a_failed_connection_names_the_host_and_the_reason(
    error: OSError | UnicodeError, words: str
) -> None:
    assert no_connection(HOST, error).startswith(words)


def test_a_certificate_that_is_not_trusted_says_why() -> None:
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_message = "self-signed certificate"
    assert no_connection(HOST, error) == (
        "the certificate of smsc.example:2775 is not to be trusted: self-signed certificate"
    )


@pytest.mark.parametrize(
    ("command_status", "words"),
    [
        (CommandStatus.ESME_RINVPASWD, "ESME_RINVPASWD, the password is wrong"),
        (CommandStatus.ESME_RSYSERR, "ESME_RSYSERR"),
        (0x0400, "0x00000400"),
    ],
)
def test_a_refused_bind_has_its_status_and_what_that_means(command_status: int, words: str) -> None:
    assert no_bind(command_status) == f"the bind was refused: {words}"
