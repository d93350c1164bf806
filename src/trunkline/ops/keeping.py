"""Keeps true what clients find in the data directory: a token may be rotated under way."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from trunkline.datadir import Credentials, write_credentials
from trunkline.flows.platform import Platform
from trunkline.runtime import Bell

log = structlog.get_logger()


class Keeper:
    """Writes the main account's credentials anew when its token is another one."""

    name = "credentials"

    def __init__(self, platform: Platform, data_dir: Path, left: Credentials) -> None:
        self._platform = platform
        self._data_dir = data_dir
        self._left = left

    @property
    def bell(self) -> Bell:
        """Rung when an account may have changed."""
        return self._platform.directory.changed

    async def step(self) -> int:
        """Write what is no longer true; return whether there was something."""
        directory = self._platform.directory
        account = await directory.account(self._left.account_sid)
        if account is None or directory.auth_token(account) == self._left.auth_token:
            return 0
        self._left = replace(self._left, auth_token=directory.auth_token(account))
        try:
            write_credentials(self._data_dir, self._left)
        except OSError as error:
            log.error("the credentials in the data directory are old", reason=error.strerror)
        return 1

    async def next_due(self) -> datetime | None:
        """Return None: it looks when the bell rings."""
        return None
