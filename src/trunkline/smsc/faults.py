"""What the phones of the simulated network make an SMSC answer at once."""

from collections.abc import Collection, Mapping

from trunkline.network.behaviours import Behaviour, find_behaviour, magic_behaviour
from trunkline.smpp.status import CommandStatus
from trunkline.store.faults import behaviours_of
from trunkline.store.store import Store

# Recipients that are being put off; past it all of them begin anew.
PUT_OFF_MAX = 10_000


class Faults:
    """Refuses what a phone's behaviour refuses, and says “later” as often as it says so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._put_off: dict[tuple[str, str], int] = {}

    async def behaviours(self, recipients: Collection[str]) -> Mapping[str, Behaviour]:
        """Return how recipients behave who do not simply take what comes."""
        found = await self._store.read(lambda db: behaviours_of(db, recipients))
        chosen = {n: find_behaviour(found.get(n, "")) or magic_behaviour(n) for n in recipients}
        return {number: behaviour for number, behaviour in chosen.items() if behaviour}

    def status(self, system_id: str, recipient: str, *, behaviour: Behaviour) -> CommandStatus:
        """Return what a submission is answered with; ESME_ROK for one that is taken."""
        if behaviour.is_refusal:
            return CommandStatus.ESME_RSUBMITFAIL
        if not behaviour.deferrals:
            return CommandStatus.ESME_ROK
        if len(self._put_off) >= PUT_OFF_MAX:
            self._put_off.clear()
        times = self._put_off.get((system_id, recipient), 0)
        if times >= behaviour.deferrals:
            del self._put_off[system_id, recipient]
            return CommandStatus.ESME_ROK
        self._put_off[system_id, recipient] = times + 1
        return CommandStatus.ESME_RMSGQFUL
