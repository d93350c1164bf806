"""What flows need of whoever makes HTTP requests for them."""

from collections.abc import Mapping
from typing import Protocol

from trunkline.webhooks.answer import ANSWER_SIZE_MAX, Answer
from trunkline.webhooks.request import Rendered, Target

NO_COOKIES: Mapping[str, str] = {}


class Requester(Protocol):
    """Makes requests and never raises for what the other end does."""

    async def send(
        self,
        request: Rendered,
        target: Target,
        *,
        cookies: Mapping[str, str] = NO_COOKIES,
        size_max: int = ANSWER_SIZE_MAX,
    ) -> Answer:
        """Return what came of *request*, with at most *size_max* bytes of its body."""
