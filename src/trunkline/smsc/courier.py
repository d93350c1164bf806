"""Delivers receipts and texts to customers who are bound; what they acknowledge is forgotten.

Rule: of several nodes that a customer is bound to one delivers, the one that has his lease.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from trunkline.flows.deliveries import due, settle
from trunkline.flows.platform import Platform
from trunkline.flows.tenure import DELIVERIES
from trunkline.runtime import SystemClock
from trunkline.smpp.status import CommandStatus
from trunkline.smsc.binds import Binds, Customer
from trunkline.smsc.rendering import deliver_sms
from trunkline.store.deliveries import DeliveryRow

# Retries fall due on a clock that may stand still or jump, so it is looked at once a second.
POLL_SECONDS = 1.0
# Of one customer, in memory; several windows, so that none runs dry while more is read.
LOADED_MAX = 500
# Connections are lost by themselves; what was under way first at more of them in a row may be why.
LOSSES_FREE = 3
# That many are counted at once; past it the count of the oldest begins anew.
LOSSES_MAX = 10_000
# They say that the same again will not be taken either (SMPP 3.4 §5.1.3).
_FOR_EVER = {CommandStatus.ESME_RX_P_APPN, CommandStatus.ESME_RX_R_APPN}

log = structlog.get_logger()


@dataclass(slots=True)
class _Queue:
    """What was read for one customer: waiting here, or on its way."""

    waiting: deque[DeliveryRow] = field(default_factory=deque)
    known: set[str] = field(default_factory=set)


class Courier:
    """Brings what is owed to whoever is bound; one for the whole server."""

    def __init__(self, platform: Platform, binds: Binds) -> None:
        platform.tenure.bell.also(platform.bells.deliveries)
        self._platform = platform
        self._binds = binds
        self._queues: dict[Customer, _Queue] = {}
        self._taken: list[DeliveryRow] = []
        self._missed: list[DeliveryRow] = []
        self._suspects: list[DeliveryRow] = []
        self._losses: dict[str, int] = {}

    def delivered(self, row: DeliveryRow, command_status: int | None) -> None:
        """Take notice of how a delivery went; None: nobody knows."""
        is_over = command_status == CommandStatus.ESME_ROK or command_status in _FOR_EVER
        (self._taken if is_over else self._missed).append(row)
        self._losses.pop(row.sid, None)
        self.wake()

    def lost(self, rows: Sequence[DeliveryRow], *, first: DeliveryRow | None) -> None:
        """Take notice that a connection of one customer ended before *rows* were answered.

        They are due as they were, before all that was to follow them. *first* was sent before the
        others; a peer that dies of it gets the others first, in the end.
        """
        queue = self._queue((rows[0].account_sid, rows[0].system_id))
        queue.known.difference_update(row.sid for row in (*rows, *queue.waiting))
        queue.waiting.clear()
        if first is not None and self._is_suspect(first):
            queue.known.add(first.sid)
            self._suspects.append(first)
        self.wake()

    def _is_suspect(self, row: DeliveryRow) -> bool:
        """Count a loss; tell whether there were too many in a row."""
        self._losses[row.sid] = self._losses.pop(row.sid, 0) + 1
        if len(self._losses) > LOSSES_MAX:
            del self._losses[next(iter(self._losses))]
        return self._losses[row.sid] > LOSSES_FREE

    def wake(self) -> None:
        """Look again: somebody bound, or has room."""
        self._platform.bells.deliveries.ring()

    async def run(self) -> None:
        """Work until cancelled."""
        clock = SystemClock()
        while True:
            await self._platform.bells.deliveries.wait(clock, POLL_SECONDS)
            (trouble,) = await asyncio.gather(self.step(), return_exceptions=True)
            if isinstance(trouble, Exception):
                log.error("deliveries cannot be made", exc_info=trouble)

    async def step(self) -> None:
        """Forget what was taken and send what there is room for."""
        await self._settle()
        tenure, bound = self._platform.tenure, self._binds.receiving
        tenure.wish(DELIVERIES, map(_lease_name, bound))
        ours = [each for each in bound if tenure.lease(_lease_name(each)) is not None]
        for customer in self._queues.keys() - ours:
            self._put_back(customer)
        for customer in ours:
            if self._binds.receiver(customer) is not None:
                await self._serve(customer)

    async def _settle(self) -> None:
        # Copies: more comes in while these are written.
        taken, missed, suspects = list(self._taken), list(self._missed), list(self._suspects)
        rows = [*taken, *missed, *suspects]
        if not rows:
            return
        sids = [row.sid for row in suspects]
        await settle(self._platform, [row.sid for row in taken], missed, suspects=sids)
        # Only now: what could not be written is written the next time.
        self._taken, self._missed = self._taken[len(taken) :], self._missed[len(missed) :]
        self._suspects = self._suspects[len(suspects) :]
        for row in rows:
            self._queue((row.account_sid, row.system_id)).known.discard(row.sid)

    async def _serve(self, customer: Customer) -> None:
        queue = self._queue(customer)
        if not queue.waiting:
            await self._load(customer, queue)
        while queue.waiting:
            peer = self._binds.receiver(customer)
            if peer is None:
                return
            row = queue.waiting.popleft()
            peer.deliver(row, deliver_sms(row))

    def _put_back(self, customer: Customer) -> None:
        """Forget what was read for somebody who is gone; it is on disk."""
        queue = self._queues[customer]
        queue.known.difference_update(row.sid for row in queue.waiting)
        queue.waiting.clear()
        if not queue.known:
            del self._queues[customer]

    async def _load(self, customer: Customer, queue: _Queue) -> None:
        rows = await due(self._platform, *customer, limit=len(queue.known) + LOADED_MAX)
        for row in rows:
            if row.sid not in queue.known:
                queue.known.add(row.sid)
                queue.waiting.append(row)

    def _queue(self, customer: Customer) -> _Queue:
        return self._queues.setdefault(customer, _Queue())


def _lease_name(customer: Customer) -> str:
    _, system_id = customer
    return f"{DELIVERIES}{system_id}"
