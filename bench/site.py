"""Trunklines to measure: where their data lie, the servers on them, and what they are asked."""

import base64
import contextlib
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

from bench.programs import running_program, wait_until
from trunkline.config import Config

READY = "Press Ctrl-C to stop."
CARRIER = "bench"
# A sender keeps to one lane, so that several lanes need several senders.
SENDERS = 16
# Numbers to choose from; some are others' already.
OFFERS = 50
# 60 characters of the GSM alphabet.
TEXT = "Your code is {:07}. It is good for the next fifty minutes."
_BOUND = re.compile(rf'^trunkline_lane_bound\{{carrier="{CARRIER}"[^}}]*\}} (\S+)$', re.MULTILINE)
_COMMITS = re.compile(r"^trunkline_commit_works_(sum|count)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One installation, whose data outlive its servers. Without a URL they lie on SQLite."""

    directory: Path
    database: str = ""
    workers: int = 1
    options: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """An account that sends, with its numbers."""

    account_sid: str
    auth_token: str
    senders: Sequence[str] = ()

    @property
    def path(self) -> str:
        """Where the account's resources are."""
        return f"/2010-04-01/Accounts/{self.account_sid}"

    @property
    def authorization(self) -> str:
        """The header that proves who asks."""
        pair = f"{self.account_sid}:{self.auth_token}"
        return "Basic " + base64.b64encode(pair.encode()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A Trunkline at work; its main account is the customer."""

    pid: int
    port: int
    main: Customer
    started_at: float

    def ask(
        self,
        path: str,
        form: Mapping[str, object] | None = None,
        *,
        customer: Customer | None = None,
    ) -> dict[str, object]:
        """Return the answer to a GET, or with a form to a POST; raise when it is an error."""
        headers = {
            "Authorization": (customer or self.main).authorization,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        method = "GET" if form is None else "POST"
        body = urlencode(form or {}, doseq=True)
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read()
            if response.status >= 300:
                raise RuntimeError(f"{method} {path}: {response.status} {text.decode()}")
        found: dict[str, object] = json.loads(text)
        return found

    def groups(self) -> tuple[float, float]:
        """Return how many works and how many commits there were so far, in all processes."""
        found = {"sum": 0.0, "count": 0.0}
        for kind, value in _COMMITS.findall(self.metrics()):
            found[kind] += float(value)
        return found["sum"], found["count"]

    def metrics(self) -> str:
        """Return the page of metrics."""
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port)) as connection:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()

    def request(self, customer: Customer, number: int, *, callback: str = "") -> bytes:
        """Return the request that sends message *number*, reported to a URL if there is one."""
        form = {
            "To": recipient(number),
            "From": customer.senders[number % len(customer.senders)],
            "Body": TEXT.format(number),
        }
        body = urlencode(form | ({"StatusCallback": callback} if callback else {}))
        return (
            f"POST {customer.path}/Messages.json HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self.port}\r\nAuthorization: {customer.authorization}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


def recipient(number: int) -> str:
    """Return one of ten thousand handsets."""
    return f"+1202555{number % 10_000:04}"


def can(setting: str) -> bool:
    """Tell whether this version of Trunkline has a setting."""
    return setting in Config.model_fields


@contextlib.contextmanager
def running_trunkline(site: Site) -> Iterator[Server]:
    """Yield a Trunkline on a site's data."""
    settings: dict[str, object] = {"data-dir": site.directory, "port": 0, "log-level": "warning"}
    if site.database:
        settings["database"] = site.database
    if site.workers > 1:
        settings["workers"] = site.workers
    options = [f"--{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "trunkline", "up", *options, *site.options]
    started_at = time.monotonic()
    with running_program(command) as process:
        assert process.stdout is not None
        if not any(READY in line for line in process.stdout):
            raise RuntimeError("trunkline did not start; what it said stands above")
        left = json.loads((site.directory / "credentials.json").read_text())
        yield Server(
            pid=process.pid,
            port=int(left["base_url"].rpartition(":")[2]),
            main=Customer(account_sid=left["account_sid"], auth_token=left["auth_token"]),
            started_at=started_at,
        )


def buy_senders(server: Server, customer: Customer, *, count: int = SENDERS) -> Customer:
    """Return the customer with so many numbers of its own."""
    path = f"{customer.path}/AvailablePhoneNumbers/US/Local.json?PageSize={OFFERS}"
    found = server.ask(path, customer=customer)["available_phone_numbers"]
    assert isinstance(found, list)
    numbers = [str(number["phone_number"]) for number in found[:count]]
    assert len(numbers) == count
    for number in numbers:
        form = {"PhoneNumber": number}
        server.ask(f"{customer.path}/IncomingPhoneNumbers.json", form, customer=customer)
    return Customer(
        account_sid=customer.account_sid, auth_token=customer.auth_token, senders=numbers
    )


def new_customer(server: Server, *, senders: int = SENDERS) -> Customer:
    """Return a subaccount with numbers."""
    made = server.ask("/2010-04-01/Accounts.json", {"FriendlyName": "bench"})
    account = Customer(account_sid=str(made["sid"]), auth_token=str(made["auth_token"]))
    return buy_senders(server, account, count=senders)


def add_carrier(server: Server, port: int, **settings: object) -> None:
    """Send everything to the SMSC at a port; nothing need listen there."""
    known = {"host": "127.0.0.1", "port": port, "system_id": "bench", **settings}
    pairs = [f"{name}={value}" for name, value in known.items()]
    server.ask("/trunkline/v1/carriers", {"Name": CARRIER, "Type": "smpp", "Set": pairs})
    server.ask("/trunkline/v1/routes", {"Carrier": CARRIER, "Order": 1})


def wait_for_binds(server: Server, lanes: int) -> None:
    """Return once every lane of the carrier is bound, whichever worker has it."""
    wait_until(
        lambda: sum(map(float, _BOUND.findall(server.metrics()))) == lanes, "lanes are bound"
    )
