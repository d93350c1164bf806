"""The end of a server: in good order at the first signal, at once at the second."""

import asyncio
import os
from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Departure:
    """What a signal to end sets going.

    *announce* tells that nothing new is wanted; *close*, some seconds later, takes nothing new.
    """

    def __init__(self, *, announce: Callable[[], None], close: Callable[[], None]) -> None:
        self._announce = announce
        self._close = close
        self._has_begun = False
        self._has_closed = False

    def begin(self, seconds: float) -> None:
        """Leave after *seconds*; the second time end the process as a kill would.

        What was promised is on disk, so the second signal loses nothing but time at the next start.
        """
        if self._has_begun:
            log.warning("stopped at once")
            os._exit(1)
        self._has_begun = True
        self._announce()
        log.debug("leaving", after_seconds=seconds)
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self.at_once)
        else:
            self.at_once()

    def begin_once(self, seconds: float) -> None:
        """Leave after *seconds*; a signal that comes again changes nothing."""
        if not self._has_begun:
            self.begin(seconds)

    def at_once(self) -> None:
        """Take nothing new from now on; said again it changes nothing."""
        if not self._has_closed:
            self._has_closed = self._has_begun = True
            self._close()
