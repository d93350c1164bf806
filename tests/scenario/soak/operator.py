"""The operator: makes, renames and removes what there is besides messages, while nodes die."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from tests.scenario.soak.ledger import SIMULATED, Made
from tests.scenario.soak.traffic import OVERLOADED, Traffic, User

PAUSE_SECONDS = 0.6  # Between two changes, at most.
KEPT_MAX = 20  # What is made beyond is removed first.
RENAMED = 0.4


@dataclass(frozen=True)
class Kind:
    """One kind of thing: where it is made with what, and where it is renamed and removed."""

    collection: str
    form: Mapping[str, str]
    place: str = ""
    renamed_at: str = ""


API, ADMIN = "/2010-04-01/Accounts/{account}", "/trunkline/v1"
NAME = {"FriendlyName": "{name}"}
KINDS = (
    Kind(API + "/Keys.json", NAME, *[API + "/Keys/{sid}.json"] * 2),
    Kind(
        ADMIN + "/numbers",
        NAME | {"PhoneNumber": "+1212556{number}"},
        ADMIN + "/numbers/{phone_number}",
        API + "/IncomingPhoneNumbers/{sid}.json",
    ),
    # Prefixes that nobody sends to.
    Kind(
        ADMIN + "/routes",
        {"Carrier": SIMULATED, "Prefix": "+1900{number}", "Order": "99"},
        ADMIN + "/routes/{sid}",
    ),
    Kind(
        ADMIN + "/smpp-credentials",
        {"SystemId": "c{number}", "Simulator": "true"},
        ADMIN + "/smpp-credentials/{system_id}",
    ),
    Kind("/2010-04-01/Accounts.json", NAME),
)


@dataclass(frozen=True)
class Thing:
    """Something that was made: what it is, what is known of it, and what was answered."""

    kind: Kind
    made: Made
    facts: Mapping[str, object]


class Operator(threading.Thread):
    """Somebody who changes what is configured, all the time."""

    def __init__(self, traffic: Traffic, chance: Random) -> None:
        super().__init__(daemon=True)
        self.trouble: AssertionError | None = None
        self._traffic, self._chance = traffic, chance
        self._user: User = traffic.users[0]
        self._count = 0
        self._things: list[Thing] = []

    def run(self) -> None:
        """Go on until the traffic is over."""
        try:
            while not self._traffic.is_over.wait(PAUSE_SECONDS * self._chance.random()):
                self._act()
        except AssertionError as trouble:
            self.trouble = trouble

    def _act(self) -> None:
        drawn = self._chance.random()
        renamable = [thing for thing in self._things if thing.kind.renamed_at]
        if len(self._things) > KEPT_MAX:
            self._remove(self._things.pop(self._chance.randrange(len(self._things))))
        elif drawn < RENAMED and renamable:
            self._rename(self._chance.choice(renamable))
        else:
            self._make(self._chance.choice(KINDS))

    def _make(self, kind: Kind) -> None:
        facts = self._facts()
        form = {field: text.format(**facts) for field, text in kind.form.items()}
        answer = self._traffic.ask(
            self._chance, "POST", self._user, kind.collection.format(**facts), form=form
        )
        if answer is None or answer.status >= 500 or answer.status == OVERLOADED:
            return
        assert answer.status == 201, answer.body
        made = Made(True, {facts["name"]} if "FriendlyName" in form else set())
        self._traffic.ledger.made[answer.json["sid"]] = made
        if kind.place:
            self._things.append(Thing(kind, made, {**facts, **answer.json}))

    def _rename(self, thing: Thing) -> None:
        name = self._facts()["name"]
        path = thing.kind.renamed_at.format(**thing.facts)
        answer = self._traffic.ask(
            self._chance, "POST", self._user, path, form={"FriendlyName": name}
        )
        if answer is None or answer.status >= 500:
            thing.made.names.add(name)
        elif answer.status != OVERLOADED:
            assert answer.status == 200, answer.body
            thing.made.names = {name}

    def _remove(self, thing: Thing) -> None:
        path = thing.kind.place.format(**thing.facts)
        answer = self._traffic.ask(self._chance, "DELETE", self._user, path)
        if answer is None or answer.status >= 500:
            thing.made.is_there = None
        elif answer.status != OVERLOADED:
            assert answer.status == 204, answer.body
            thing.made.is_there = False

    def _facts(self) -> dict[str, str]:
        """Return what a new thing, or a new name, is made of."""
        self._count += 1
        number = f"{self._count:04}"
        return {"account": self._user.account_sid, "name": f"name {number}.", "number": number}
