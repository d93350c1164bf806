"""One line to the upstream account: asks for things and keeps the carrier's health."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TypeVar

from trunkline.carriers.twilio.client import Pairs, Reply, Request, Silence, TwilioClient
from trunkline.carriers.twilio.health import Health
from trunkline.carriers.twilio.wire import (
    Problem,
    UpstreamMedia,
    UpstreamMessage,
    UpstreamPage,
    read,
)
from trunkline.runtime import Clock

PAGE_SIZE = 200
# A restricted key that was not given the right: https://www.twilio.com/docs/api/errors/70051
NOT_PERMITTED = 70051

Kind = TypeVar("Kind", UpstreamMessage, UpstreamPage, UpstreamMedia)


class Line:
    """Requests for one account; skew is how far the clock there is ahead of ours."""

    def __init__(self, client: TwilioClient, health: Health, *, clock: Clock) -> None:
        self.client = client
        self.health = health
        self._clock = clock
        self.skew = timedelta(0)

    async def create(self, form: Pairs) -> Reply | Silence:
        """Ask for a new message; what the answer means is for the caller to judge."""
        path = f"{self.client.account_path}/Messages.json"
        return self._timed(await self.client.ask(Request(method="POST", path=path, form=form)))

    async def look(self, path: str, kind: type[Kind], *, form: Pairs = ()) -> Kind | None:
        """Return what is at a path, or None when it cannot be seen; the health is told why."""
        request = Request(method="GET", path=path, form=form)
        outcome = self._timed(await self.client.ask(request))
        if isinstance(outcome, Silence):
            note = self.health.faltered if outcome.has_left else self.health.fell
            note(outcome.reason)
            return None
        if 200 <= outcome.status < 300:
            self.health.answered()
            return read(outcome.body, kind)
        self._blame(outcome)
        return None

    async def pages(self, form: Pairs, *, pages_max: int) -> AsyncIterator[UpstreamPage | None]:
        """Yield the pages of a list of messages, newest first; None where a page is missing."""
        path = f"{self.client.account_path}/Messages.json"
        form = (*form, ("PageSize", str(PAGE_SIZE)))
        for _ in range(pages_max):
            page = await self.look(path, UpstreamPage, form=form)
            yield page
            path = (page.next_page_uri or "") if page else ""
            if not path or self.client.absolute(path) is None:
                return
            form = ()  # The address of the next page holds everything.

    async def knock(self) -> tuple[bool, str]:
        """Try the line and return whether that went well, and how it went in words.

        It asks for a message, not for the account: standard API keys may not see the account
        (https://www.twilio.com/docs/iam/api-keys).
        """
        path = f"{self.client.account_path}/Messages.json"
        request = Request(method="GET", path=path, form=(("PageSize", "1"),))
        outcome = self._timed(await self.client.ask(request))
        if isinstance(outcome, Silence):
            self.health.fell(outcome.reason)
            return False, outcome.reason
        words, code = _judged(outcome)
        if outcome.status == 200:
            self.health.answered()
            return True, "the account takes our credentials"
        if code == NOT_PERMITTED:
            self.health.rise()
            return True, "the key may send, but it may not look at messages"
        self.health.fell(words)
        return False, words

    def _blame(self, reply: Reply) -> None:
        words, code = _judged(reply)
        if reply.status == 429:
            self.health.throttled(words, retry_after=reply.retry_after)
        elif reply.status >= 500:
            self.health.faltered(words)
        elif reply.status == 404 or code == NOT_PERMITTED:
            self.health.blamed(words)
        else:
            self.health.fell(words)

    def _timed(self, outcome: Reply | Silence) -> Reply | Silence:
        if isinstance(outcome, Reply) and outcome.date is not None:
            self.skew = outcome.date - self._clock.now()
        return outcome


def _judged(reply: Reply) -> tuple[str, int]:
    problem = read(reply.body, Problem) or Problem()
    code = problem.code or 0
    return f"HTTP {reply.status}" + (f", error {code}" if code else ""), code
