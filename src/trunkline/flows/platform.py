"""What every flow works with, joined once by the composition root."""

from dataclasses import dataclass, field
from decimal import Decimal

from trunkline.domain.account import Media
from trunkline.domain.pricing import PriceList
from trunkline.domain.retention import Periods
from trunkline.domain.sending import Draft
from trunkline.flows.allowance import Allowance
from trunkline.flows.directory import Directory
from trunkline.flows.loads import SenderLoads
from trunkline.flows.pressure import Pressure
from trunkline.flows.queues import QueueBudgets, ScheduleBudgets
from trunkline.flows.recent import Recent
from trunkline.flows.switchboard import Switchboard
from trunkline.flows.tenure import Tenure
from trunkline.runtime import Batcher, Bell, Chance, Clock, Feed, Inbox, Meter, NullMeter
from trunkline.store.callbacks import CallbackRow
from trunkline.store.media import MediaFiles
from trunkline.store.store import Store
from trunkline.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Bells:
    """Wake the workers; one bell each."""

    carriers: Bell = field(default_factory=Bell)
    deliveries: Bell = field(default_factory=Bell)
    media: Bell = field(default_factory=Bell)
    network: Bell = field(default_factory=Bell)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Settings that decide what happens, as plain values."""

    main_account_sid: str
    base_url: str
    carrier: str = "simulated"  # The carrier account in front of the simulated network.
    starting_balance: Decimal = Decimal(1000)
    account_concurrency: int = 1000  # Requests of one account that are answered at once.
    countries: frozenset[str] | None = None  # Where anybody may send to; None: everywhere.
    webhook_retry_seconds: tuple[float, ...] = (5, 30, 120, 600, 3600)
    retention: Periods = field(default_factory=Periods)


@dataclass(slots=True, kw_only=True)
class Platform:
    """The parts of a running Trunkline that flows use; a reload replaces prices and rules."""

    store: Store
    directory: Directory
    switchboard: Switchboard
    vault: Vault
    clock: Clock
    chance: Chance
    prices: PriceList
    media_files: MediaFiles
    rules: Rules
    feed: Feed = field(default_factory=Feed)
    bells: Bells = field(default_factory=Bells)
    webhooks: Inbox[CallbackRow] = field(default_factory=lambda: Inbox(Bell()))
    recent: Recent = field(default_factory=Recent)
    accepting: Batcher[Draft] = field(default_factory=Batcher)
    queues: QueueBudgets = field(default_factory=QueueBudgets)
    schedules: ScheduleBudgets = field(default_factory=ScheduleBudgets)
    loads: SenderLoads = field(default_factory=SenderLoads)
    meter: Meter = field(default_factory=NullMeter)
    pressure: Pressure = field(default_factory=Pressure)
    allowance: Allowance = field(default_factory=Allowance)

    @property
    def tenure(self) -> Tenure:
        """What this node has to itself."""
        return self.switchboard.tenure

    def media_url(self, media: Media) -> str:
        """Return the address at which our own API serves the bytes of a medium."""
        message = f"/2010-04-01/Accounts/{media.account_sid}/Messages/{media.message_sid}"
        return f"{self.rules.base_url}{message}/Media/{media.sid}"
