"""Why a connection or a bind did not come about, in words for whoever set up the carrier."""

import errno
import socket
import ssl
from collections.abc import Mapping
from typing import Final

from trunkline.carriers.smpp.notation import Host
from trunkline.smpp.status import CommandStatus, status_name

UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH})
# A host with several addresses fails with one error for all of them, which has no number.
REFUSED = f"[Errno {errno.ECONNREFUSED}]"
NOT_SMPP = "the connection ended before the bind was answered; look at port and tls"

_S = CommandStatus
REFUSALS: Final[Mapping[int, str]] = {
    _S.ESME_RINVSYSID: "the SMSC does not know this system_id",
    _S.ESME_RINVPASWD: "the password is wrong",
    _S.ESME_RBINDFAIL: "look at system_id and password, from where you may bind and how often",
    _S.ESME_RALYBND: "this system_id is bound already",
    _S.ESME_RINVSYSTYP: "the SMSC wants another system_type",
    _S.ESME_RINVBNDSTS: "the SMSC wants another bind_type",
}


def no_connection(host: Host, error: OSError | UnicodeError) -> str:
    """Say why *host* could not be connected to."""
    if isinstance(error, UnicodeError | socket.gaierror):
        return f"the host {host.name} is not known to the DNS"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {host} is not to be trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        # OpenSSL ends its sentence with a line of its own source.
        reason = str(error.strerror or error).partition(" (_ssl.c")[0]
        return f"{host} does not speak TLS as we do: {reason}"
    if isinstance(error, ConnectionRefusedError) or REFUSED in str(error):
        return f"{host} refuses the connection"
    if error.errno in UNREACHABLE:
        return f"there is no way to {host}"
    return f"{host}: {error.strerror or error}"


def no_bind(command_status: int) -> str:
    """Say why the SMSC refused to be bound to."""
    words = REFUSALS.get(command_status)
    return f"the bind was refused: {status_name(command_status)}" + (f", {words}" if words else "")
