"""The requests that passed lately, for people to look at; without secrets."""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime

from trunkline.carriers.port import PDUS_SHOWN_MAX, PduSeen
from trunkline.carriers.twilio.client import Reply, Request, Silence
from trunkline.carriers.twilio.wire import Problem, UpstreamMessage, read

# A body has 1,600 characters at most; 500 of them would be the most memory of all.
SHOWN_LENGTH_MAX = 200


class Traffic:
    """A ring of requests and answers; *hide* takes secrets out of texts."""

    def __init__(self, hide: Callable[[str], str], *, now: Callable[[], datetime]) -> None:
        self._hide = hide
        self._now = now
        self._seen: deque[PduSeen] = deque(maxlen=PDUS_SHOWN_MAX)

    def watch(self, request: Request, outcome: Reply | Silence | None) -> None:
        """Note a request (no outcome yet), or what came of it."""
        name = f"{request.method} {request.path.partition('?')[0]}"
        if outcome is None:
            shown = {key: self._shown(value) for key, value in request.form}
            self._note(name, request.number, fields=shown)
        elif isinstance(outcome, Silence):
            self._note(name, request.number, status=outcome.reason)
        else:
            fields = _told(request, outcome)
            self._note(name, request.number, status=str(outcome.status), fields=fields)

    def note_call(self, form: dict[str, str]) -> None:
        """Note a request that came from there."""
        fields = {key: self._shown(value) for key, value in form.items()}
        self._seen.append(
            PduSeen(at=self._now(), lane=0, is_outgoing=False, name="callback", fields=fields)
        )

    def shown(self) -> Sequence[PduSeen]:
        """Return what passed, oldest first."""
        return tuple(self._seen)

    def _note(
        self,
        name: str,
        number: int,
        *,
        status: str | None = None,
        fields: dict[str, str] | None = None,
    ) -> None:
        self._seen.append(
            PduSeen(
                at=self._now(),
                lane=0,
                is_outgoing=status is None,
                name=name,
                sequence_number=number,
                status=status or "",
                fields=fields or {},
            )
        )

    def _shown(self, text: str) -> str:
        text = self._hide(text)
        return text if len(text) <= SHOWN_LENGTH_MAX else text[:SHOWN_LENGTH_MAX] + "…"


def _told(request: Request, reply: Reply) -> dict[str, str]:
    """Return what an answer says of one message, or why there is none."""
    if reply.status >= 300:
        problem = read(reply.body, Problem) or Problem()
        return {"code": str(problem.code)} if problem.code else {}
    message = read(reply.body, UpstreamMessage) if request.method == "POST" else None
    return {"sid": message.sid, "status": message.status} if message else {}
