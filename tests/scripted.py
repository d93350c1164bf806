"""A carrier whose every answer and appearance a test decides."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from trunkline.carriers.port import (
    Answered,
    BindPhase,
    BindState,
    Handler,
    MaySend,
    PduSeen,
    Probe,
    Sharing,
    Submission,
    SubmitResult,
    Taken,
)
from trunkline.domain.carrier import Setting, number, one_of, whole_number
from trunkline.domain.errors import Refusal

SECRET = "correct horse battery"


@dataclass
class ScriptedCarrier:
    """A connector at work that takes everything there is room for."""

    name: str
    lanes: Sequence[int] = (0,)
    down_since: datetime | None = None
    rooms: int = 100
    bound: list[BindState] = field(default_factory=list)
    passed: list[PduSeen] = field(default_factory=list)
    probed: Probe = field(default_factory=lambda: Probe(True, "bound as tester", 12.4))
    taken: list[Submission] = field(default_factory=list)
    changed: Callable[[], None] = lambda: None

    async def run(self, handle: Handler) -> None:
        """Stay until cancelled."""
        await asyncio.Event().wait()

    def take_lane(self, lane: int) -> None:
        """Work on one more lane."""
        self.lanes = (*self.lanes, lane)

    async def leave_lane(self, lane: int) -> None:
        """Work on a lane no more."""
        self.lanes = tuple(each for each in self.lanes if each != lane)

    def room(self, lane: int) -> int:
        """Say what the test says."""
        return self.rooms

    def capacity(self, lane: int) -> int:
        """Say the same."""
        return self.rooms

    async def submit(
        self, lane: int, batch: Sequence[Submission], *, answered: Answered | None = None
    ) -> Sequence[SubmitResult]:
        """Take everything."""
        self.taken.extend(batch)
        return [Taken(f"{s.message_sid}-{s.segment_index}") for s in batch]

    def binds(self) -> Sequence[BindState]:
        """Return what the test says."""
        return self.bound

    def pdus(self) -> Sequence[PduSeen]:
        """Return what the test says."""
        return self.passed

    async def probe(self) -> Probe:
        """Return what the test says."""
        return self.probed

    def bind(self, at: datetime, **state: object) -> None:
        """Show one connection that is up."""
        shown = {"lane": len(self.bound), "kind": "transceiver", "phase": BindPhase.BOUND}
        self.bound.append(BindState(since=at, **{**shown, **state}))  # type: ignore[arg-type]


class ScriptedConnector:
    """Opens scripted carriers, with a few settings like those of SMPP."""

    sharing = Sharing.LANES
    is_called = False
    takes_media = True
    settings: Sequence[Setting] = (
        Setting(
            name="host",
            meaning="Where the SMSC listens.",
            must="a host name",
            default="",
            is_good=lambda text: " " not in text,
        ),
        Setting(
            name="port",
            meaning="Its port.",
            must="a whole number from 1 to 65535",
            default="2775",
            is_good=whole_number(1, 65_535),
        ),
        Setting(
            name="password",
            meaning="What the SMSC knows us by.",
            must="a text",
            default="",
            is_good=lambda text: len(text) < 65,
            is_secret=True,
        ),
        Setting(
            name="bind_type",
            meaning="One connection or two.",
            must="one of transceiver, pair",
            default="transceiver",
            is_good=one_of("transceiver", "pair"),
            choices=("transceiver", "pair"),
        ),
        Setting(
            name="enquire_seconds",
            meaning="After how much silence we ask.",
            must="a number of seconds from 0 to 3600",
            default="30",
            is_good=number(0, 3600),
        ),
        Setting(
            name="tls_ca",
            meaning="Whom we trust.",
            must="certificates in PEM",
            default="",
            is_good=lambda text: not text or text.startswith("-----BEGIN"),
        ),
        Setting(
            name="moon_phase",
            meaning="A setting that no group knows.",
            must="a text",
            default="",
            is_good=lambda text: True,
        ),
    )

    def __init__(self) -> None:
        self.opened: dict[str, ScriptedCarrier] = {}
        self.seen: dict[str, dict[str, str]] = {}

    def check(self, settings: Mapping[str, str]) -> None:
        """Ask for a host."""
        if not settings["host"]:
            raise Refusal(20422, name="`host`", reason="must say where the SMSC listens")

    def open(
        self,
        name: str,
        settings: Mapping[str, str],
        *,
        lanes: Sequence[int],
        changed: Callable[[], None],
        may_send: MaySend,
    ) -> ScriptedCarrier:
        """Return a carrier, which the test then finds in `opened`."""
        self.seen[name] = dict(settings)
        self.opened[name] = ScriptedCarrier(name, lanes, changed=changed)
        return self.opened[name]
