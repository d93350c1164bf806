"""The users: programs on the API, a customer who binds, and handsets that send texts."""

import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from itertools import count
from random import Random

from tests.esme import Esme, text
from tests.processes import Answer, ask
from tests.scenario.soak.carrier import Smsc
from tests.scenario.soak.ledger import AGAIN, API, ONCE, SIMULATED, SMPP, Ledger, Sent
from tests.scenario.soak.receiver import PATHS, PICTURE
from tests.scenario.soak.site import Node, Site
from tests.scenario.soak.surroundings import pause
from tests.scenario.soak.texts import read, token_of, written
from trunkline.smpp.pdu import DeliverSm
from trunkline.smpp.receipt import ESM_CLASS_RECEIPT
from trunkline.smpp.status import CommandStatus

# Where the routes of the carriers begin, and the weight of each in the traffic.
PREFIXES = {AGAIN: "+1202555", ONCE: "+1303555", SIMULATED: "+1555867"}
WEIGHTS = {AGAIN: 6, ONCE: 3, SIMULATED: 1}
RETRYING_SECONDS = 0.2
PAUSE_SECONDS_MAX = 0.2
BURST_MAX = 30
# Of several segments each: far more than the rate of a sender lets go.
CAMPAIGN, CAMPAIGN_WORDS = 25, 40
SYSTEM_ID, PASSWORD = "customer", "soaksoak"
UNTAKEN = 0.06  # What a customer refuses, or does not answer.
OVERLOADED, OPTED_OUT = 429, 21610
# How many texts a Messaging Service sends, how many of those later, and how many have a picture.
CHOSEN, LATER, PICTURES = 0.3, 0.4, 0.3
# Clocks are ahead by 90 s or behind at times, and a time that is past is refused.
LATER_SECONDS = (95, 140)
CANCELS, OPT_OUTS = 0.03, 0.01
# So many recipients of each carrier may opt out, and get a good part of what services send.
FICKLE, TO_FICKLE = 40, 0.3
SENT = {"sent", "delivered", "undelivered"}


@dataclass(frozen=True)
class User:
    """An account with its credentials and its numbers."""

    account_sid: str
    auth_token: str
    numbers: tuple[str, ...]
    service_sid: str


@dataclass
class Traffic:
    """What everybody shares: the site, the ledger, the numbers of texts; and whether it goes on.

    While more waits than can leave soon, nobody sends.
    """

    site: Site
    ledger: Ledger
    origin: str
    users: list[User]
    smsc: Smsc
    is_over: threading.Event = field(default_factory=threading.Event)
    is_full: bool = False
    _tokens: "count[int]" = field(default_factory=lambda: count(1))

    def token(self) -> int:
        """Return the number of a new text."""
        return next(self._tokens)

    def ask(
        self,
        chance: Random,
        method: str,
        user: User,
        path: str,
        *,
        form: Mapping[str, object] | None = None,
    ) -> Answer | None:
        """Return the answer of a node that is up, as far as is known; None where there was none."""
        while (node := self.site.any_up(chance)) is None:
            self.is_over.wait(RETRYING_SECONDS)
        auth = (user.account_sid, user.auth_token)
        try:
            return ask(method, node.base_url + path, form, auth=auth)
        except (OSError, HTTPException):
            self.is_over.wait(RETRYING_SECONDS)
            return None


def recipient_of(carrier: str, chance: Random) -> str:
    """Return a handset that a carrier's route leads to."""
    return f"{PREFIXES[carrier]}{chance.randrange(10_000):04}"


class Program(threading.Thread):
    """A user's program: sends, asks what became of it, and now and then erases something."""

    def __init__(self, traffic: Traffic, chance: Random) -> None:
        super().__init__(daemon=True)
        self.trouble: AssertionError | None = None
        self._traffic, self._chance = traffic, chance
        self._ledger = traffic.ledger
        self._mine: list[tuple[str, User]] = []
        self._later: list[tuple[str, User]] = []

    def run(self) -> None:
        """Go on until the traffic is over."""
        try:
            while not self._traffic.is_over.wait(PAUSE_SECONDS_MAX * self._chance.random()):
                self._act()
        except AssertionError as trouble:
            self.trouble = trouble

    def _act(self) -> None:
        drawn = self._chance.random()
        if self._traffic.is_full and drawn < 0.6:
            return
        if drawn < 0.55 or not self._mine:
            self._send()
        elif drawn < 0.59:
            self._send_many()
        elif drawn < 0.6:
            self._campaign()
        elif drawn < 0.6 + OPT_OUTS:
            self._opt_out()
        elif drawn < 0.94 - CANCELS:
            self._look(*self._chance.choice(self._mine[-200:]))
        elif drawn < 0.94:
            self._cancel(*self._chance.choice(self._later or self._mine))
        else:
            self._erase(*self._chance.choice(self._mine))

    def _send_many(self) -> None:
        user = self._chance.choice(self._traffic.users)
        number = self._chance.choice(user.numbers)
        for _ in range(self._chance.randrange(5, BURST_MAX)):
            self._send(user, number=number)

    def _campaign(self) -> None:
        """Send more from one number than may leave at once."""
        user = self._chance.choice(self._traffic.users)
        number = self._chance.choice(user.numbers)
        for _ in range(CAMPAIGN):
            self._send(user, number=number, carrier=ONCE, words=CAMPAIGN_WORDS)

    def _send(
        self, user: User | None = None, *, number: str = "", carrier: str = "", words: int = 0
    ) -> None:
        chance, token = self._chance, self._traffic.token()
        user = user or chance.choice(self._traffic.users)
        carrier = carrier or chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        words = words or chance.choice((1, 1, 1, 1, 25, 40))
        form = {
            "To": recipient_of(carrier, chance),
            "From": number or chance.choice(user.numbers),
            "Body": written(token, words=words, is_wide=chance.random() < 0.1),
        }
        is_chosen = not number and chance.random() < CHOSEN
        if is_chosen:
            form |= {"From": "", "MessagingServiceSid": user.service_sid}
            if chance.random() < TO_FICKLE:
                form["To"] = f"{PREFIXES[carrier]}{chance.randrange(FICKLE):04}"
        is_later = is_chosen and chance.random() < LATER
        if is_later:
            at = datetime.now(UTC) + timedelta(seconds=chance.randrange(*LATER_SECONDS))
            form |= {"ScheduleType": "fixed", "SendAt": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
        has_media = carrier == SIMULATED and chance.random() < PICTURES
        if has_media:
            form["MediaUrl"] = self._traffic.origin + PICTURE
        is_called_back = chance.random() < 0.8
        if is_called_back:
            form["StatusCallback"] = self._traffic.origin + chance.choice(PATHS)
        answer = self._ask("POST", user, "/Messages.json", form=form)
        if answer is None or answer.status >= 500:
            self._ledger.unanswered.add(token)
        elif answer.status == OVERLOADED:
            self._ledger.refused["API"] += 1
        elif answer.status == 400 and answer.json["code"] == OPTED_OUT:
            assert (user.account_sid, form["To"]) in self._ledger.opted_out, answer.body
            self._ledger.refused["opted out"] += 1
        else:
            assert answer.status == 201, answer.body
            sid = answer.json["sid"]
            self._ledger.accepted[sid] = Sent(
                token, API, user.account_sid, is_called_back, carrier, is_chosen, has_media
            )
            self._mine.append((sid, user))
            if is_later:
                self._later = [*self._later[-20:], (sid, user)]

    def _look(self, sid: str, user: User) -> None:
        """Note the status of a message as the API shows it."""
        answer = self._ask("GET", user, f"/Messages/{sid}.json")
        if answer is not None and answer.status == 200:
            self._ledger.polled[sid].append(answer.json["status"])

    def _opt_out(self) -> None:
        """Say for somebody that he wants nothing more of a service."""
        user, smsc = self._chance.choice(self._traffic.users), self._traffic.smsc
        recipient = (
            f"{PREFIXES[self._chance.choice((AGAIN, ONCE))]}{self._chance.randrange(FICKLE):04}"
        )
        key, asked_at = (user.account_sid, recipient), smsc.now
        item = {
            "contact_id": recipient,
            "correlation_id": f"{self._traffic.token():032x}",
            "sender_id": user.service_sid,
            "status": "opt-out",
            "source": "website",
        }
        self._ledger.opted_out.setdefault(key, (asked_at, math.inf))
        form = {"Items": json.dumps(item)}
        answer = self._traffic.ask(
            self._chance, "POST", user, "/accounts/v1/Consents/Bulk", form=form
        )
        if answer is not None and answer.status < 300:
            began, ended = self._ledger.opted_out[key]
            self._ledger.opted_out[key] = (began, min(ended, smsc.now))

    def _cancel(self, sid: str, user: User) -> None:
        """Cancel a message; that is refused once it is on its way."""
        answer = self._ask("POST", user, f"/Messages/{sid}.json", form={"Status": "canceled"})
        if answer is None or answer.status >= 500:
            self._ledger.canceled.setdefault(sid, False)
        elif answer.status == 200:
            self._ledger.canceled[sid] = True

    def _erase(self, sid: str, user: User) -> None:
        """Delete or redact a message; that is refused while it is on its way."""
        # Only what is known to have been sent is deleted: it counts as use, there or not.
        if SENT.intersection(self._ledger.polled.get(sid, ())) and self._chance.random() < 0.5:
            answer = self._ask("DELETE", user, f"/Messages/{sid}.json")
            into = self._ledger.removed
        else:
            answer = self._ask("POST", user, f"/Messages/{sid}.json", form={"Body": ""})
            into = self._ledger.redacted
        if answer is None or answer.status >= 500:
            into.setdefault(sid, False)
        elif answer.status in (200, 204):
            into[sid] = True

    def _ask(
        self, method: str, user: User, path: str, *, form: Mapping[str, object] | None = None
    ) -> Answer | None:
        path = f"/2010-04-01/Accounts/{user.account_sid}{path}"
        return self._traffic.ask(self._chance, method, user, path, form=form)


class Customer:
    """A program that speaks SMPP: binds to one node after another, submits, and takes receipts."""

    def __init__(self, traffic: Traffic, chance: Random, *, number: str) -> None:
        self._traffic, self._chance, self._number = traffic, chance, number

    async def work(self) -> None:
        """Bind again whenever a bind ended."""
        while True:
            node = self._traffic.site.any_up(self._chance)
            if node is not None:
                await self._visit(node)
            await pause(RETRYING_SECONDS)

    async def _visit(self, node: Node) -> None:
        try:
            esme = await Esme.connect(node.smpp_port)
        except OSError:
            return
        esme.verdict = self._take
        async with esme:
            try:
                if await esme.bind(SYSTEM_ID, PASSWORD) == 0:
                    await self._stay(esme, node)
            except (OSError, TimeoutError):
                pass  # The node went away, or stands still; another one may be there.

    async def _stay(self, esme: Esme, node: Node) -> None:
        while node.is_up and not esme.closed.done():
            if self._traffic.is_over.is_set() or self._traffic.is_full:
                await pause(RETRYING_SECONDS)
                continue
            await self._submit(esme)
            await pause(2 * RETRYING_SECONDS * self._chance.random())

    async def _submit(self, esme: Esme) -> None:
        token = self._traffic.token()
        pdu = text(
            written(token).encode(),
            source_addr=self._number.lstrip("+"),
            destination_addr=recipient_of(AGAIN, self._chance).lstrip("+"),
        )
        ledger = self._traffic.ledger
        ledger.unanswered.add(token)
        [(status, sid)] = await esme.submit(pdu)
        if status == 0:
            ledger.accepted[sid] = Sent(token, SMPP, "", False, AGAIN)
            ledger.unanswered.discard(token)
        else:
            ledger.refused["SMPP"] += 1

    def _take(self, pdu: DeliverSm) -> int | None:
        """Take what is brought; or refuse it for now, or say nothing at all to it."""
        drawn = self._chance.random()
        if drawn < UNTAKEN:
            return CommandStatus.ESME_RX_T_APPN if drawn < UNTAKEN / 2 else None
        if is_receipt(pdu):
            said = pdu.short_message.decode("latin-1")
            words = dict(word.split(":", 1) for word in said.split() if ":" in word)
            self._traffic.ledger.reported[words["id"]].append(words["stat"])
        else:
            self._traffic.ledger.brought[token_of(read(pdu))] += 1
        return CommandStatus.ESME_ROK


def is_receipt(pdu: DeliverSm) -> bool:
    """Say whether what a customer is brought tells of a text of his own."""
    return bool(pdu.esm_class & ESM_CLASS_RECEIPT)


class Handsets:
    """People who write to our numbers; some of them want to hear no more, some want an answer."""

    def __init__(
        self, traffic: Traffic, chance: Random, *, smsc: Smsc, number: str, customers: str
    ) -> None:
        self._traffic, self._chance = traffic, chance
        self._smsc, self._number, self._customers = smsc, number, customers

    async def work(self) -> None:
        """Send texts until the traffic is over."""
        while not self._traffic.is_over.is_set():
            await pause(self._chance.random())
            if self._traffic.is_full:
                continue
            carrier = self._chance.choice((AGAIN, ONCE))
            is_customers = self._chance.random() < 0.3
            self._smsc.text(
                self._traffic.token(),
                carrier,
                phone=recipient_of(carrier, self._chance),
                number=self._customers if is_customers else self._number,
                wants_reply=self._chance.random() < 0.5,
                is_customers=is_customers,
            )
