"""The composition root: the only module that knows every part, and what joins them."""

import asyncio
import gc
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from platform import python_version

import structlog
import uvloop
from cryptography.exceptions import InvalidTag
from sqlalchemy import Connection as Database
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from trunkline import __version__
from trunkline.admin.app import PREFIX, admin_app
from trunkline.api.links import links_app
from trunkline.api.resources import RESOURCES
from trunkline.api.server import ApiServer
from trunkline.carriers.port import Connector
from trunkline.carriers.simulated import SimulatedConnector
from trunkline.carriers.smpp.connector import SmppConnector
from trunkline.carriers.twilio.connector import TwilioConnector
from trunkline.config import Config
from trunkline.connecting import reachable
from trunkline.console.app import console_app
from trunkline.console.gate import loopback_hosts
from trunkline.crew.doors import Arrival
from trunkline.crew.member import Duties, Member, join
from trunkline.datadir import StartedFacts, replace_node
from trunkline.dispatch.carriers import Carriers
from trunkline.dispatch.media import FETCHES_MAX, Media
from trunkline.dispatch.ownership import Leased, Ownership
from trunkline.dispatch.pool import Pool
from trunkline.dispatch.retention import Retention
from trunkline.dispatch.scheduled import Schedule
from trunkline.dispatch.sweeper import Sweeper
from trunkline.dispatch.webhooks import Webhooks
from trunkline.dispatch.worker import Worker, run
from trunkline.domain.account import Account, Capabilities, Number
from trunkline.domain.address import country_of, national_format
from trunkline.domain.carrier import CarrierAccount, Route
from trunkline.domain.errors import Refusal
from trunkline.domain.ids import sid_micros
from trunkline.domain.pricing import PriceList, price_list
from trunkline.flows.directory import Directory
from trunkline.flows.links import SHORT_PREFIX, SIGNED_PREFIX
from trunkline.flows.platform import Bells, Platform, Rules
from trunkline.flows.switchboard import Switchboard, read_configuration
from trunkline.flows.tenure import MEDIA, RETENTION, SCHEDULE, SWEEPER, Tenure
from trunkline.flows.upstream import References, adopt
from trunkline.leaving import Departure
from trunkline.network.behaviours import NetworkSettings
from trunkline.network.network import Network
from trunkline.ops.keeping import Keeper
from trunkline.ops.logs import configure_log
from trunkline.ops.metrics import Metrics
from trunkline.ops.pages import Readers
from trunkline.ops.requests import measured
from trunkline.ops.watch import Watch
from trunkline.reloading import compare
from trunkline.runtime import Chance, Clock, Feed, ManualClock, SystemClock
from trunkline.serving import Server, server_for
from trunkline.smsc.server import Listen, SmscServer
from trunkline.starting import (
    StartupError,
    credentials_of,
    leave_credentials,
    listening,
    owned,
    smpp_trouble,
)
from trunkline.store import opening
from trunkline.store.handsets import HandsetMemory
from trunkline.store.media import MediaFiles
from trunkline.store.media_bucket import open_media
from trunkline.store.messages import newest_sids
from trunkline.store.nodes import NodeRow
from trunkline.store.records import (
    ACCOUNTS,
    CARRIERS,
    MAIN,
    NUMBERS,
    ROUTES,
    child_records,
    find_unique,
    insert_record,
)
from trunkline.store.schema import take_turns
from trunkline.store.segments import StoredSegments
from trunkline.store.store import Database as Store
from trunkline.store.vault import Vault, load_key, read_key
from trunkline.upstream import offered
from trunkline.webhooks.client import WebhookClient
from trunkline.webhooks.guard import parse_guard
from trunkline.webhooks.requester import Requester

__all__ = ["App", "StartupError", "open_store", "open_vault", "owned", "serve"]

log = structlog.get_logger()

CARRIER = "simulated"
LAST_ORDER = 1000
MEGABYTE = 1_000_000
# For the webhooks under way when the server stops; most receivers answer within a second.
FINISH_SECONDS = 2.0
# How many new objects the garbage collector lets come before it looks. Hardly anything here forms
# circles, and looking through thousands of messages that wait took 9 % of the time.
GC_THRESHOLDS = (20_000, 20, 50)
MANUAL_START = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Holdings:
    """The main account with its number, and whether this start made them."""

    account: Account
    number: Number | None
    is_first_start: bool


class App:
    """A Trunkline on one data directory, from its database to its ASGI callable."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        chance: Chance,
        port: int,
        member: Member | None = None,
    ) -> None:
        self.config = config
        self.member = member
        # Before anything is open that would have to be closed again.
        self.tls = None if config.smpp_tls_port is None else _tls_context(config)
        self.store = open_store(config.data_dir, config.database)
        self.vault = open_vault(config, self.store)
        self.clock = clock
        self.chance = chance
        self.holdings = self._first_holdings()
        at_port = config.model_copy(update={"port": port})
        base_url, self._local_url = map(reachable, (at_port.public_url, at_port.local_url))
        self.bells, self.feed = Bells(), Feed()
        self.network = self._network()
        self.metrics = self.store.meter = Metrics()
        self.platform = self._platform(base_url)
        self.carriers = Carriers(self.platform)
        name = f"{socket.gethostname()}:{port}" + (f"/{member.number}" if member else "")
        self.ownership = self._ownership(name)
        self.smsc = smpp_server(self.platform, config, tls=self.tls, member=member)
        self.client = WebhookClient(
            parse_guard(config.webhook_allow, allow_private=config.is_loopback), clock.now
        )
        self.use_sender(self.client)
        self._tasks: list[asyncio.Task[None]] = []
        self.console = console_app(
            self.platform,
            self.network,
            is_loopback=config.is_private,
            allowed_hosts=loopback_hosts(port) if config.is_private else frozenset(),
        )
        api = ApiServer(self.platform, RESOURCES)
        self.watch = self._watch(api, name=name)
        admin = admin_app(self.platform, self.network)
        links = links_app(self.platform)
        self.asgi = front_door(
            api,
            {
                "/console": measured(self.console, self.platform, route="/console"),
                PREFIX: measured(admin, self.platform, route=PREFIX),
                **{
                    prefix: measured(links, self.platform, route=prefix)
                    for prefix in (SIGNED_PREFIX, SHORT_PREFIX)
                },
                **self.watch.pages(),
            },
            base_url=self.platform.rules.base_url,
        )

    @property
    def facts(self) -> StartedFacts:
        """What the person who started it is told."""
        account, number = self.holdings.account, self.holdings.number
        base_url = self.platform.rules.base_url
        return StartedFacts(
            base_url=base_url,
            console_url=f"{base_url}/console",
            account_sid=account.sid,
            auth_token=self.vault.open(account.sealed_token),
            phone_number=number.phone_number if number else "",
            is_first_start=self.holdings.is_first_start,
            local_url=self._local_url,
        )

    def use_sender(self, sender: Requester) -> None:
        """Make webhook requests through *sender* instead of the network."""
        bells = self.platform.bells
        webhooks = Pool(
            Webhooks(self.platform, sender),
            self.clock,
            bell=self.platform.webhooks.bell,
            inbox=self.platform.webhooks,
            concurrency=self.config.webhook_concurrency,
        )
        media = Pool(
            Media(self.platform, sender), self.clock, bell=bells.media, concurrency=FETCHES_MAX
        )
        self._settle = (self.carriers.settle, webhooks.settle, media.settle)
        self._webhooks = webhooks
        self._abandon = (webhooks.stop, media.stop)
        retention = Retention(self.platform, trusts_clock=self.config.clock == "manual")
        tenure = self.platform.tenure
        webhooks.listen(tenure.bell)
        self._workers: list[Worker] = [
            self.carriers,
            Leased(Sweeper(self.platform), tenure, lease=SWEEPER),
            Leased(media, tenure, lease=MEDIA),
            webhooks,
            Leased(retention, tenure, lease=RETENTION),
            Leased(Schedule(self.platform), tenure, lease=SCHEDULE),
        ]
        if self.member is None or self.member.number == 0:
            # Of workers, which have one data directory, the first.
            left = credentials_of(self.facts)
            self._workers.append(Keeper(self.platform, self.config.data_dir, left))

    def adopt(self, config: Config) -> None:
        """Take over the settings that may change under way."""
        self.config = config
        configure_log(config.log_level, is_json=config.log_format == "json")
        self.platform.prices = _prices(config)
        self.platform.rules = replace(
            self.platform.rules,
            starting_balance=config.starting_balance,
            account_concurrency=config.account_concurrency,
            countries=frozenset(config.countries) or None,
            webhook_retry_seconds=config.webhook_retry_seconds,
            retention=config.retention,
        )
        self._webhooks.concurrency = config.webhook_concurrency
        self.client.admit(parse_guard(config.webhook_allow, allow_private=config.is_loopback))
        self.watch.readers = Readers(config.metrics_token, config.metrics_open)
        self.watch.health.disk_free_min = config.disk_free_min_mb * MEGABYTE

    @property
    def workers(self) -> list[Worker]:
        """What is to be driven where nothing works by itself."""
        leases = [] if self.ownership is None else [self.ownership]
        return [*leases, *self.carriers.workers, *self._workers]

    async def start(self) -> None:
        """Start the parts that work by themselves."""
        await start_listening(self.smsc)
        await self.client.start()
        if self.ownership is not None:
            await self.ownership.step()
            self.ownership.start()
        await self.carriers.start()
        self.watch.start()
        self._tasks = [asyncio.create_task(run(worker, self.clock)) for worker in self._workers]

    async def stop(self) -> None:
        """Stop them; what is not done is on disk and goes on at the next start."""
        if self.ownership is not None:
            self.ownership.leave()
        await self.smsc.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(self.carriers.stop(), self._finish_requests())
        if self.ownership is not None:
            await self.ownership.stop()
        await self.watch.stop()
        await self.client.close()
        await self.store.close()

    async def _finish_requests(self) -> None:
        """Wait a moment for webhooks under way; what has no answer by then is made again."""
        settling = asyncio.create_task(self._settle_requests())
        await asyncio.wait([settling], timeout=FINISH_SECONDS)
        for abandon in self._abandon:
            await abandon()
        settling.cancel()

    async def _settle_requests(self) -> None:
        for settle in self._settle[1:]:
            await settle()

    async def settle(self, first: Collection[Worker] | None = None) -> None:
        """Do everything that is due now; for programs that drive the workers themselves.

        All workers have a turn, or the *first* ones; and so has, as often as that is so, whoever
        did something, whose bell was rung and who is new.
        """
        known = set[Worker]() if first is None else {*self.workers}.difference(first)
        moved: list[Worker] = []
        while turns := [w for w in self.workers if w.bell.take() or w in moved or w not in known]:
            known.update(turns)
            moved = [worker for worker in turns if await worker.step()]
            for settle in self._settle:
                await settle()

    def _first_holdings(self) -> Holdings:
        now = self.clock.now()
        with self.store.engine.connect() as db, db.begin():
            take_turns(db)  # Of nodes that start at once on an empty database, one makes these.
            for sid in newest_sids(db):
                self.chance.resume(sid_micros(sid))
            account = find_unique(db, ACCOUNTS, MAIN)
            if account is not None:
                self._require_key(account)
                numbers = child_records(db, NUMBERS, account.sid, limit=1)
                return Holdings(account, numbers[0] if numbers else None, is_first_start=False)
            sid = self.chance.sid("AC", now)
            account = Account(
                sid=sid,
                account_sid=sid,
                owner_sid=sid,
                friendly_name="Main account",
                sealed_token=self.vault.seal(self.chance.token_hex(16)),
                created_at=now,
                updated_at=now,
            )
            insert_record(db, ACCOUNTS, account)
            return Holdings(account, self._first_number(db, account, now), is_first_start=True)

    def _require_key(self, account: Account) -> None:
        """Raise StartupError if another node made the account meanwhile, with a key of its own."""
        try:
            self.vault.open(account.sealed_token)
        except InvalidTag as error:
            raise _wrong_key(self.config) from error

    def _first_number(self, db: Database, account: Account, now: datetime) -> Number:
        phone_number = self.config.first_number
        number = Number(
            sid=self.chance.sid("PN", now),
            account_sid=account.sid,
            phone_number=phone_number,
            friendly_name=national_format(phone_number),
            country=country_of(phone_number) or "US",
            kind="Local",
            capabilities=Capabilities(),
            created_at=now,
            updated_at=now,
        )
        insert_record(db, NUMBERS, number)
        return number

    def _platform(self, base_url: str) -> Platform:
        config = self.config
        switchboard = Switchboard(
            self.store,
            self._connectors(base_url),
            bell=self.bells.carriers,
            tenure=Tenure(is_alone=self.store.engine.name == "sqlite"),
        )
        switchboard.show(*self._first_configuration())
        return Platform(
            store=self.store,
            directory=Directory(self.store, self.vault),
            switchboard=switchboard,
            vault=self.vault,
            clock=self.clock,
            chance=self.chance,
            prices=_prices(config),
            media_files=self._media_files(),
            rules=Rules(
                main_account_sid=self.holdings.account.sid,
                base_url=base_url,
                carrier=CARRIER,
                starting_balance=config.starting_balance,
                account_concurrency=config.account_concurrency,
                countries=frozenset(config.countries) or None,
                webhook_retry_seconds=config.webhook_retry_seconds,
                retention=config.retention,
            ),
            feed=self.feed,
            bells=self.bells,
            meter=self.metrics,
        )

    def _ownership(self, name: str) -> Ownership | None:
        """Return what keeps this node's leases; None for who is alone with its database."""
        if self.platform.tenure.is_alone:
            return None
        now = self.clock.now()
        node = NodeRow(
            # Not of self.chance: a seed makes the same SIDs on every node.
            sid=Chance().sid("ND", now),
            name=name,
            version=__version__,
            started_at=now,
            seen_at=now,
            lease_seconds=self.config.lease_seconds,
        )
        worker = self.member.number if self.member else 0
        predecessor = replace_node(self.config.data_dir, node.sid, worker=worker)
        return Ownership(self.platform, node, predecessor=predecessor)

    def _watch(self, api: ApiServer, *, name: str) -> Watch:
        """Return what tells how everything is doing."""
        config = self.config
        return Watch(
            self.platform,
            self.metrics,
            data_dir=config.data_dir,
            disk_free_min=config.disk_free_min_mb * MEGABYTE,
            readers=Readers(config.metrics_token, config.metrics_open),
            sources={
                "http_requests_running": lambda: api.running,
                "smpp_customer_binds": lambda: self.smsc.bound,
            },
            facts={
                "build_info": {"version": __version__, "python": python_version()},
                "node_info": {"node": name, "database": self.store.engine.name},
            },
            colleagues=self.member,
        )

    def _media_files(self) -> MediaFiles:
        directory = self.config.data_dir / "media"
        engine = None if self.config.database is None else self.store.engine
        bucket, clock = self.config.media_bucket, self.clock
        try:
            return open_media(
                directory, engine=engine, bucket=bucket, now=lambda: clock.now().timestamp()
            )
        except ConnectionError as error:
            self.store.engine.dispose()
            raise StartupError(f"The setting media_bucket: {error}.") from error

    def _network(self) -> Network:
        config = self.config
        settings = NetworkSettings(
            seed=config.seed or 0,
            delay_seconds=config.delivery_delay_seconds,
            odds={str(name): odds for name, odds in config.odds.items()},
        )
        return Network(
            HandsetMemory(self.store),
            clock=self.clock,
            chance=self.chance,
            settings=settings,
            feed=self.feed,
            bell=self.bells.network,
        )

    def _connectors(self, base_url: str) -> dict[str, Connector]:
        return {
            "simulated": SimulatedConnector(
                self.network, clock=self.clock, bell=self.bells.network
            ),
            "smpp": SmppConnector(
                clock=self.clock,
                chance=self.chance,
                journal=StoredSegments(self.store, chance=self.chance, clock=self.clock),
            ),
            "twilio": TwilioConnector(
                clock=self.clock,
                chance=self.chance,
                callback_url=f"{base_url}{PREFIX}/carriers",
                ledger=References(self.store),
            ),
        }

    def _first_configuration(self) -> tuple[list[CarrierAccount], list[Route]]:
        """Return carriers and routes; the first time the simulated network and a way to it."""
        now, account_sid = self.clock.now(), self.holdings.account.sid
        with self.store.engine.connect() as db, db.begin():
            take_turns(db)
            carriers, routes = read_configuration(db)
            if carriers:
                return carriers, routes
            carrier = CarrierAccount(
                sid=self.chance.sid("CX", now),
                account_sid=account_sid,
                name=CARRIER,
                type="simulated",
                created_at=now,
                updated_at=now,
            )
            # Last of all, so that every other route comes before it.
            route = Route(
                sid=self.chance.sid("RX", now),
                account_sid=account_sid,
                carrier=CARRIER,
                order=LAST_ORDER,
                created_at=now,
                updated_at=now,
            )
            insert_record(db, CARRIERS, carrier)
            insert_record(db, ROUTES, route)
            return [carrier], [route]


def _prices(config: Config) -> PriceList:
    return price_list({c: {"outbound_sms": str(price)} for c, price in config.prices.items()})


def open_store(data_dir: Path, database: str | None = None) -> Store:
    """Return the store, its schema brought up to date, or raise StartupError."""
    try:
        return opening.open_store(data_dir, database)
    except ValueError as error:
        raise StartupError(str(error)) from error


def open_vault(config: Config, store: Store) -> Vault:
    """Return the vault; only a new database gets a new key."""
    path = config.data_dir / "secret.key"
    with store.engine.connect() as db, db.begin():
        account = find_unique(db, ACCOUNTS, MAIN)
    try:
        if config.secret_key is not None:
            vault = Vault(read_key(config.secret_key))
        else:
            vault = Vault(load_key(path) if account is None else path.read_bytes())
        if account is not None:
            vault.open(account.sealed_token)
    except (OSError, ValueError, InvalidTag) as error:
        store.engine.dispose()
        raise _wrong_key(config) from error
    return vault


def _wrong_key(config: Config) -> StartupError:
    path = config.data_dir / "secret.key"
    where = f"in {path}" if config.secret_key is None else "that the setting secret_key names"
    return StartupError(
        f"The key {where} is not the one that the database's secrets are sealed with;"
        " put the right one there, from a backup or from another node."
    )


def smpp_server(
    platform: Platform, config: Config, *, tls: ssl.SSLContext | None, member: Member | None = None
) -> SmscServer:
    """Return the SMPP server that the settings ask for; a worker is handed its connections."""
    wanted = ((config.smpp_port, None), (config.smpp_tls_port, tls))
    listens = [Listen(port, context) for port, context in wanted if port is not None]
    if member is not None:
        # Where they asked for any free port, it is known by now.
        pairs = zip(listens, member.ports[1:], strict=True)
        listens = [replace(listen, port=port) for listen, port in pairs]
    return SmscServer(
        platform,
        host=config.host,
        listens=listens,
        simulator_password=config.smpp_simulator_password if config.is_private else None,
        is_handed=member is not None,
    )


def _tls_context(config: Config) -> ssl.SSLContext:
    cert, key = config.smpp_tls_cert, config.smpp_tls_key
    if cert is None or key is None:
        raise StartupError("The setting smpp_tls_port needs smpp_tls_cert and smpp_tls_key.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_certificate(context, config)
    return context


def _load_certificate(context: ssl.SSLContext, config: Config) -> None:
    """Let handshakes from now on show the certificate, or raise StartupError."""
    cert, key = config.smpp_tls_cert, config.smpp_tls_key
    assert cert is not None, "who has a context has a certificate"
    try:
        # A key with a passphrase is refused; OpenSSL would ask for it on the terminal, and wait.
        context.load_cert_chain(cert, key, password="")
    except OSError as error:  # ssl.SSLError is one.
        raise StartupError(
            f"The certificate {cert} and the key {key} cannot be used: {error.strerror}."
        ) from error


async def start_listening(server: SmscServer) -> None:
    """Start the SMPP server, or raise StartupError."""
    try:
        await server.start()
    except OSError as error:
        raise smpp_trouble(error) from error


def front_door(api: ASGIApp, places: dict[str, ASGIApp], *, base_url: str = "") -> ASGIApp:
    """Return the ASGI callable that sends each request to the part that serves its path.

    Where *base_url* begins with https, something before us ends TLS: what is asked of its host, or
    of one of Twilio's, was asked over TLS, whether or not we are told so.
    """
    home = RedirectResponse("/console/", status_code=302)
    scheme, _, rest = base_url.lower().partition("://")
    public_host = rest.partition("/")[0].encode() if scheme == "https" else b""

    def is_secure(scope: Scope) -> bool:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").lower()
        return host == public_host or host.endswith(b".twilio.com")

    async def enter(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if public_host and is_secure(scope):
            scope["scheme"] = "https"
        path: str = scope["path"]
        if path in ("/", "/console") and "/console" in places:
            await home(scope, receive, send)
            return
        for prefix, part in places.items():
            if path == prefix or path.startswith(prefix + "/"):
                await part(scope, receive, send)
                return
        await api(scope, receive, send)

    return enter


def serve(
    config: Config,
    announce: Callable[[StartedFacts], None],
    *,
    reread: Callable[[], Config] | None = None,
) -> None:
    """Run the platform until it is told to stop; raise StartupError when it cannot start.

    *reread* returns the settings as they are now, or raises ValueError; SIGHUP asks for it.
    """
    configure_log(config.log_level, is_json=config.log_format == "json")
    os.umask(0o077)  # The database holds what people write to each other.
    with (
        owned(config.data_dir),
        listening(config) as sockets,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(config, sockets, announce=announce, reread=reread))


def work(number: int, *, door: int, line: int) -> int:
    """Run one of several workers until it is told to stop; return the exit code."""
    os.umask(0o077)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_work(number, door=door, line=line))


async def _work(number: int, *, door: int, line: int) -> int:
    member = await join(number, door=door, line=line)
    config = member.config
    configure_log(config.log_level, is_json=config.log_format == "json")
    structlog.contextvars.bind_contextvars(worker=number)
    try:
        app = App(config, clock=SystemClock(), chance=Chance(), port=member.ports[0], member=member)
        facts = await _start(app)
    except StartupError as error:
        await member.fail(str(error))
        return 1
    server = server_for(app.asgi)

    def leave() -> None:
        member.leave()
        app.console.close()
        server.leave()

    # What the settings are now the supervisor says.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    departure = Departure(announce=lambda: None, close=leave)
    server.on_started = lambda: member.begin(facts, _duties(app, server, leave=departure.at_once))
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(
            each, lambda: departure.begin_once(app.config.drain_seconds)
        )
    await _until_left(app, server, sockets=[])
    return 0


def _duties(app: App, server: Server, *, leave: Callable[[], None]) -> Duties:
    """Return what a worker does when its supervisor says so."""
    loop = asyncio.get_running_loop()
    arriving: set[asyncio.Task[None]] = set()

    def drain() -> None:
        app.watch.health.is_draining = True

    def take(arrival: Arrival) -> None:
        # The first way in is HTTP, the others are SMPP's.
        taking = (
            app.smsc.take(arrival.connection, arrival.on_lost, listen=arrival.way - 1)
            if arrival.way
            else server.take(arrival.connection, arrival.on_lost)
        )
        task = loop.create_task(taking)
        arriving.add(task)
        task.add_done_callback(arriving.discard)

    return Duties(
        drain=drain,
        leave=leave,
        reload=lambda config: reload(app, lambda: config),
        take=take,
        page=app.watch.counted.page,
    )


async def _start(app: App) -> StartedFacts:
    """Start everything but the HTTP server; return what whoever started it is told."""
    upstream = await _adopt_upstream(app)
    await app.start()
    return replace(app.facts, upstream=upstream, smpp=app.smsc.addresses)


async def _until_left(app: App, server: Server, *, sockets: list[socket.socket]) -> None:
    """Serve until somebody lets the server leave."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        await server.serve(sockets=sockets)
    finally:
        await app.stop()


async def _serve(
    config: Config,
    sockets: list[socket.socket],
    *,
    announce: Callable[[StartedFacts], None],
    reread: Callable[[], Config] | None,
) -> None:
    clock: Clock = SystemClock() if config.clock == "system" else ManualClock(MANUAL_START)
    port = int(sockets[0].getsockname()[1])
    app = App(config, clock=clock, chance=Chance(config.seed), port=port)
    leave_credentials(config.data_dir, app.facts)
    facts = await _start(app)
    server = server_for(app.asgi)
    loop = asyncio.get_running_loop()

    def drain() -> None:
        app.watch.health.is_draining = True

    def close() -> None:
        # Pages that listen would hold the server up.
        app.console.close()
        server.leave()

    departure = Departure(announce=drain, close=close)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: departure.begin(app.config.drain_seconds))
    # The end of a terminal is the end of what was started in it.
    if reread is not None and not sys.stdin.isatty():
        loop.add_signal_handler(signal.SIGHUP, reload, app, reread)
    server.on_started = lambda: announce(facts)
    await _until_left(app, server, sockets=sockets)


def reload(app: App, reread: Callable[[], Config]) -> None:
    """Take over what can be of the settings as they are now; an error changes nothing."""
    try:
        wanted = reread()
        has_tls = app.tls is not None and wanted.smpp_tls_port is not None
        tls = _tls_context(wanted) if has_tls else None
    except (ValueError, StartupError) as error:
        log.error("settings are not reloaded", reason=str(error))
        return
    changes = compare(app.config, wanted)
    app.adopt(changes.config)
    if tls is not None and app.tls is not None:
        _load_certificate(app.tls, wanted)
    log.info("settings reloaded", changed=list(changes.taken_over), certificate=tls is not None)
    if changes.after_restart:
        log.warning("settings that need a restart", names=list(changes.after_restart))


async def _adopt_upstream(app: App) -> str:
    """Make a carrier of the account that the environment offers; return its name, "" without one.

    What cannot be used is said in the log: all else works without it.
    """
    offer = offered(os.environ)
    if offer is None:
        return ""
    settings = offer.settings | offer.secrets
    try:
        is_ours = await adopt(app.platform, offer.name, offer.type, settings=settings)
    except Refusal as refusal:
        log.warning("the account in the environment is not used", reason=refusal.message)
        return ""
    return offer.name if is_ours else ""
