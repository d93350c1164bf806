"""Ports for programs that cannot choose one themselves, or that must come back to theirs."""

import contextlib
import socket


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def free_port() -> int:
    """Return a port that nobody listens on."""
    return free_ports(1)[0]
