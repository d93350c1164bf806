"""One request to the console: whose account it shows, its form, and how it is answered."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from trunkline.api.auth import Actor
from trunkline.domain.account import Account
from trunkline.flows.platform import Platform
from trunkline.network.network import Network

FORM_BYTES_MAX = 65_536  # The longest body, every character escaped, takes a quarter of it.
FORM_FIELDS_MAX = 50  # No form of ours has fifteen, but for the settings of a carrier.
# A carrier has some fifty settings; the longest, a certificate, its key and the issuers', have
# 32,768 characters, of which escaping makes a fifth more.
SETTINGS_BYTES_MAX = 131_072
SETTINGS_FIELDS_MAX = 150

PREFIX = "/console"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request that passed the gate."""

    platform: Platform
    network: Network
    actor: Actor
    request: Request

    @property
    def account(self) -> Account:
        """The account that is shown."""
        return self.actor.account

    @property
    def sees_tokens(self) -> bool:
        """Whether auth tokens may be shown: to whoever has one, and to no API key."""
        return self.actor.key is None

    @property
    def sees_phones(self) -> bool:
        """Whether the simulated phones are shown: they belong to the main account."""
        return self.account.sid == self.platform.rules.main_account_sid

    @property
    def is_scripted(self) -> bool:
        """Whether our script asks, which wants a status and not a page to go to."""
        return "x-console" in self.request.headers

    def require_main_account(self) -> None:
        """Answer 404 unless the main account looks: carriers and routes belong to it alone."""
        if not self.sees_phones:
            raise HTTPException(404, "Carriers and routes belong to the main account.")

    async def form(
        self, *, bytes_max: int = FORM_BYTES_MAX, fields_max: int = FORM_FIELDS_MAX
    ) -> Mapping[str, str]:
        """Return the fields of the form; of a repeated name the last one counts."""
        body = await self.body(bytes_max=bytes_max)
        try:
            fields = parse_qsl(
                body.decode(errors="replace"),
                keep_blank_values=True,
                max_num_fields=fields_max,
            )
        except ValueError as error:
            raise HTTPException(400, "That form has too many fields.") from error
        return {name: _clean(value) for name, value in fields}

    async def body(self, *, bytes_max: int) -> bytes:
        """Return what was sent, if it is not too much."""
        body = bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > bytes_max:
                raise HTTPException(413, f"That is more than {bytes_max:,} bytes.")
        return bytes(body)

    def done(self, path: str) -> Response:
        """Answer a form that was carried out: the browser goes to a page, a script stays."""
        if self.is_scripted:
            return Response(status_code=204)
        return RedirectResponse(PREFIX + path, status_code=303)

    def declined(self, reason: str, *, page: Response) -> Response:
        """Answer a form that was not carried out: *page* says why, a script is told in words."""
        if self.is_scripted:
            return PlainTextResponse(reason, status_code=422)
        return page


Handler = Callable[[Visit], Awaitable[Response]]


def endpoint(
    handler: Handler, platform: Platform, *, network: Network
) -> Callable[[Request], Awaitable[Response]]:
    """Return *handler* as Starlette calls it."""

    async def answer(request: Request) -> Response:
        actor: Actor = request.scope["actor"]
        return await handler(
            Visit(platform=platform, network=network, actor=actor, request=request)
        )

    return answer


def _clean(value: str) -> str:
    # Browsers send line ends as CR LF, phones as LF; a NUL is no text in any database.
    return value.replace("\r\n", "\n").replace("\x00", "")
