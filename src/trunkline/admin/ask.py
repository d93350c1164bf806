"""One request to the admin API, and its answers in Twilio's shapes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from trunkline.api.answers import Answer, error_answer
from trunkline.api.auth import Actor, authenticate
from trunkline.api.forms import BODY_BYTES_MAX, parse_form, read_body
from trunkline.domain.account import Account
from trunkline.domain.errors import Refusal
from trunkline.flows.platform import Platform
from trunkline.network.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request of somebody who holds credentials of the main account."""

    platform: Platform
    network: Network
    actor: Actor
    request: Request
    form: dict[str, tuple[str, ...]]

    @property
    def account(self) -> Account:
        """The main account."""
        return self.actor.account

    def require_token(self) -> None:
        """Refuse (20003) an API key: accounts and their tokens are managed with a token."""
        if self.actor.key is not None:
            raise Refusal(20003)

    def path(self, name: str) -> str:
        """Return a part of the path."""
        value: str = self.request.path_params[name]
        return value

    def value(self, name: str) -> str | None:
        """Return a parameter of the form, the last where it is repeated."""
        return self.form[name][-1] if name in self.form else None

    async def account_sid(self, named: str | None) -> str:
        """Return the account that is meant, by default the main one; refuse (20422) nobody's."""
        if not named:
            return self.account.sid
        if await self.platform.directory.account(named) is None:
            raise Refusal(20422, name="`Account`", reason=f"there is no account `{named}`")
        return named

    def limit(self, default: int, *, most: int) -> int:
        """Return how many the query asks for, or refuse (20422) what is no number up to *most*."""
        text = self.request.query_params.get("limit", str(default))
        is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
        if not (is_number and 1 <= int(text) <= most):
            raise Refusal(20422, name="`limit`", reason=f"a number from 1 to {most}")
        return int(text)


Handler = Callable[[Ask], Awaitable[Answer]]


def endpoint(
    handler: Handler, platform: Platform, *, network: Network
) -> Callable[[Request], Awaitable[Response]]:
    """Return *handler* as Starlette calls it, behind the check of who asks."""

    async def answer(request: Request) -> Response:
        try:
            actor = await _main_account(platform, request)
            ask = Ask(
                platform=platform,
                network=network,
                actor=actor,
                request=request,
                form=await _form(request),
            )
            return render(await handler(ask))
        except Refusal as refusal:
            return render(error_answer(refusal, path=request.url.path))
        except ClientDisconnect:
            return Response(status_code=400)
        except ConnectionError:  # The store's, and nothing was done.
            return render(error_answer(Refusal(20503), path=request.url.path))

    return answer


def by_method(handlers: Mapping[str, Handler]) -> Handler:
    """Return one handler for the methods of a path; HEAD is answered as GET is."""

    async def choose(ask: Ask) -> Answer:
        method = ask.request.method
        return await handlers["GET" if method == "HEAD" else method](ask)

    return choose


def render(answer: Answer) -> Response:
    """Return an answer as Starlette sends it."""
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, status_code=answer.status, headers=headers)


async def _main_account(platform: Platform, request: Request) -> Actor:
    """Return who asks for the main account: the phones and the clock are that one's alone."""
    actor = await authenticate(platform, request.headers.get("authorization"))
    if actor is None or actor.account.sid != platform.rules.main_account_sid:
        raise Refusal(20003)
    return actor


async def _form(request: Request) -> dict[str, tuple[str, ...]]:
    body = await read_body(request.receive, headers=dict(request.scope["headers"]))
    if body is None:
        raise Refusal(20001, message=f"The request body is larger than {BODY_BYTES_MAX} bytes")
    found: dict[str, tuple[str, ...]] = {}
    content_type = request.headers.get("content-type", "").encode("latin-1")
    for name, value in await parse_form(body, content_type):
        if "\x00" in value:
            raise Refusal(20422, name=f"`{name}`", reason="no text holds NUL characters")
        found[name] = (*found.get(name, ()), value)
    return found
