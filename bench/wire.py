"""HTTP messages cut from a stream by their Content-Length: enough for both ends of a benchmark."""

import re

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class Splitter:
    """Takes what a connection brings and gives whole messages back."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Return head and body of each message that is whole now."""
        rest = self._rest + data
        whole = []
        while (end := rest.find(_END)) >= 0:
            head = rest[:end]
            length = _LENGTH.search(head)
            body_at = end + len(_END)
            size = body_at + (int(length[1]) if length else 0)
            if len(rest) < size:
                break
            whole.append((head, rest[body_at:size]))
            rest = rest[size:]
        self._rest = rest
        return whole
