"""The pages that tell how the program is doing: /health, /health/live, /health/ready, /metrics."""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from trunkline.ops.gathering import Colleagues, Gathered, Page, told
from trunkline.ops.gauges import Gauges
from trunkline.ops.health import OK, Health
from trunkline.ops.metrics import Metrics, Showing

NO_STORE = {"Cache-Control": "no-store"}
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_PORT = re.compile(r":[0-9]+\Z")
_FORBIDDEN = (
    "Metrics are shown to this machine alone. Set metrics_token and send it as a Bearer token,"
    " or set metrics_open = true where no stranger reaches this port.\n"
)


@dataclass(frozen=True, slots=True)
class Readers:
    """Who may read the metrics beside this machine: whoever knows the token, or everybody."""

    token: str | None = None
    is_open: bool = False


def health_pages(health: Health) -> ASGIApp:
    """Return what answers under /health: GET and HEAD, for anybody."""

    async def live(_: Request) -> Response:
        return JSONResponse({"status": OK}, headers=NO_STORE)

    async def ready(_: Request) -> Response:
        report = await health.report()
        content = {
            "status": OK if report.is_ready else "unready",
            "checks": [
                {"name": check.name, "state": check.state, "ms": check.ms}
                for check in report.checks
            ],
            "degraded": list(report.degraded),
        }
        return JSONResponse(content, 200 if report.is_ready else 503, headers=NO_STORE)

    return Starlette(
        routes=[
            Route("/health", ready),
            Route("/health/ready", ready),
            Route("/health/live", live),
        ]
    )


class Counted:
    """What this process counts, and what all workers count where it is one of several."""

    def __init__(
        self, metrics: Metrics, gauges: Gauges, *, colleagues: Colleagues | None = None
    ) -> None:
        self._metrics = metrics
        self._gauges = gauges
        self._colleagues = colleagues
        self._process = ProcessCollector(registry=None)

    async def page(self) -> Page:
        """Return what this process counts, for another one to show."""
        return told(await self._own())

    async def registry(self) -> CollectorRegistry:
        """Return everything that is to be shown."""
        registry = CollectorRegistry()
        if self._colleagues is None:
            for collector in await self._own():
                registry.register(collector)
            return registry
        pages = await self._colleagues.pages()
        pages = {**pages, self._colleagues.number: await self.page()}
        registry.register(Gathered(pages, self._colleagues.numbers))
        return registry

    async def _own(self) -> list[Collector]:
        return [Showing(self._metrics, await self._gauges.read()), self._process]


def metrics_page(counted: Counted, *, readers: Callable[[], Readers]) -> ASGIApp:
    """Return what answers under /metrics, in Prometheus' text or as OpenMetrics."""

    async def show(request: Request) -> Response:
        if not may_read(request, readers()):
            return PlainTextResponse(_FORBIDDEN, 403, headers=NO_STORE)
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        body: bytes = encode(await counted.registry())
        return Response(body, headers=NO_STORE | {"Content-Type": content_type})

    return Starlette(routes=[Route("/metrics", show)])


def may_read(request: Request, readers: Readers) -> bool:
    """Tell whether metrics are shown to whoever asks."""
    if readers.is_open:
        return True
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if readers.token and kind.lower() == "bearer":
        return hmac.compare_digest(token.strip().encode(), readers.token.encode())
    return _is_from_here(request.client.host if request.client else "", request.headers)


def _is_from_here(host: str, headers: Headers) -> bool:
    """Tell whether a program on this machine asks, under a name that means this machine.

    A proxy on this machine would pass on what strangers ask; it shows by its headers, or by the
    name that it was called by.
    """
    if any(name in headers for name in _PROXY_HEADERS):
        return False
    name = _PORT.sub("", headers.get("host", "")).lower().strip("[]")
    return _is_loopback(host) and (name == "localhost" or _is_loopback(name))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
