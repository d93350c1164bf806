"""The settings: one frozen Config from the command line, the environment, a file and defaults.

Rules: a setting is one field; its text here serves its documentation, its option
and errors about it.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from trunkline.datadir import DATA_DIR, SETTINGS_FILE, find_data_dir, read_settings
from trunkline.domain.countries import COUNTRY_NAMES
from trunkline.domain.retention import DAYS_MAX, KINDS, Periods

PREFIX = "TRUNKLINE_"
# A day is longer than any carrier takes and any simulation waits.
DELAY_SECONDS_MAX = 86_400
# Twenty retries a week apart outlive every log.
RETRIES_MAX = 20
RETRY_SECONDS_MAX = 604_800
# Each holds a socket and up to 64 kB; one process has 1,024 file descriptors by default.
WEBHOOK_CONCURRENCY_MAX = 500
ACCOUNT_CONCURRENCY_MAX = 1000  # As many as the server answers of all accounts together.
# Below it a slow disk would cost a node its leases; nobody waits five minutes for another node.
LEASE_SECONDS_MIN, LEASE_SECONDS_MAX = 2, 300
# Each is a node with connections to the database of its own, of which PostgreSQL grants 100 where
# nobody asked for more, and a machine with more cores than that is better shared by installations.
WORKERS_MAX = 32
# An hour is longer than any load balancer waits.
DRAIN_SECONDS_MAX = 3600
# An error shows enough of a value to find it again.
SHOWN_MAX = 80
# The values of settings with such names are shown nowhere.
SECRET_ENDINGS = ("_password", "_token", "_key")

# fmt: off
Behaviour = Literal[
    "deliver", "off", "unknown", "landline", "filtered", "blocked", "violation", "slow",
    "no_receipt", "refuse", "congested",
]
# fmt: on
# Variables under our prefix that are not settings: what trunkline.connect() reads, and what
# Kubernetes puts into every container next to a Service of the name `trunkline`.
FOREIGN_VARIABLES = re.compile(
    PREFIX + r"(URL|ACCOUNT_SID|AUTH_TOKEN|API_KEY(_SID)?|API_SECRET|API_KEY_SECRET"
    r"|SERVICE_\w+|PORT_\w+)"
)
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_-]+)*\.?")

T = TypeVar("T")


def _setting(default: T, meaning: str, *, must: str, is_secret: bool = False) -> T:
    """Declare a setting: its default, what it means, what its value must be, and who may see it."""
    extra: dict[str, JsonValue] = {"must": must, "is_secret": is_secret}
    field: T = Field(default, description=meaning, json_schema_extra=extra, repr=not is_secret)
    return field


def _check(is_good: Callable[[T], bool]) -> AfterValidator:
    """Refuse a value for which *is_good* does not hold."""

    def checked(value: T) -> T:
        if not is_good(value):
            raise ValueError("out of range")
        return value

    return AfterValidator(checked)


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    if _is_address(host):
        return ip_address(host).is_loopback
    return host.rstrip(".").lower() == "localhost"


def _is_place(text: str) -> bool:
    """Tell whether *text* names a host, an address or a network."""
    try:
        return bool(ip_network(text, strict=False))
    except ValueError:
        return _HOST.fullmatch(text) is not None


def _is_origin(text: str | None) -> bool:
    """Tell whether *text* is an http or https URL without query, fragment or user."""
    if text is None:
        return True
    parts = urlsplit(text)
    has_host = bool(parts.hostname) and _is_place(str(parts.hostname))
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return parts.scheme in {"http", "https"} and has_host and plain and parts.port != 0


def _is_database(text: str | None) -> bool:
    return text is None or text.startswith(("postgresql://", "postgres://"))


_BUCKET = re.compile(
    r"https?://([^/@\s]+:[^/@\s]+@)?[^/@:?#\s]+(:\d+)?/[^/?#\s]+[^?#\s]*(\?region=[\w-]+)?"
)


def _is_key(text: str | None) -> bool:
    return text is None or bool(text.strip())


def _is_bucket(text: str | None) -> bool:
    """Tell whether a text names a bucket by its URL; a key may be in it."""
    return text is None or _BUCKET.fullmatch(text) is not None


Odds = Annotated[
    Mapping[Behaviour, Annotated[float, Field(ge=0, le=1)]],
    _check(lambda odds: sum(odds.values()) <= 1 + 1e-9),
]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Price = Annotated[Decimal, Field(ge=0, le=1000)]
RetrySeconds = Annotated[float, Field(gt=0, le=RETRY_SECONDS_MAX)]
Days = Annotated[int, Field(ge=0, le=DAYS_MAX)]
_DAYS = f"a whole number from 0 to {DAYS_MAX}"


class Config(BaseModel):
    """Everything that can be set; parts of the program receive values of it, never the whole."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    host: Annotated[str, _check(_is_place)] = _setting(
        "127.0.0.1",
        "The address to listen on; 0.0.0.0 listens on all of them.",
        must="a host name or an IP address",
    )
    port: Annotated[int, Field(ge=0, le=65535)] = _setting(
        8800,
        "The TCP port to listen on; 0 takes a free one.",
        must="a whole number from 0 to 65535",
    )
    data_dir: Path = _setting(
        Path(DATA_DIR),
        "The directory that holds the database, media and credentials; one server at a time.",
        must="the path of a directory",
    )
    database: Annotated[str | None, _check(_is_database)] = _setting(
        None,
        "The PostgreSQL database that several nodes share; without it the data directory holds the"
        " database. A password is better kept in the environment or in a file that the URL names.",
        must="a URL like postgresql://user@host/name",
        is_secret=True,
    )
    secret_key: Annotated[str | None, _check(_is_key)] = _setting(
        None,
        "The key that seals secrets in the database, the same for every node on it; without it the"
        " data directory's file secret.key holds the key, and is made at the first start.",
        must="32 bytes in base64, or the path of a file that holds them",
        is_secret=True,
    )
    media_bucket: Annotated[str | None, _check(_is_bucket)] = _setting(
        None,
        "The bucket of an S3-compatible object store that keeps the content of media, the same for"
        " every node; without it the data directory or `database` keeps it. What is there already"
        " is still found. Without a key the machine's own role is used.",
        must="a URL like https://KEY:SECRET@s3.example.com/bucket/prefix?region=eu-central-1",
        is_secret=True,
    )
    workers: Annotated[int, Field(ge=1, le=WORKERS_MAX)] = _setting(
        1,
        "How many processes serve behind one address on this machine; a process uses one core. More"
        " than one need `database`, the system's clock, and no seed. What is said of a limit holds"
        " for each of them.",
        must=f"a whole number from 1 to {WORKERS_MAX}",
    )
    lease_seconds: Annotated[int, Field(ge=LEASE_SECONDS_MIN, le=LEASE_SECONDS_MAX)] = _setting(
        10,
        "How long other nodes on the database wait before they take over what a node had that is"
        " not heard of any more.",
        must=f"a whole number of seconds from {LEASE_SECONDS_MIN} to {LEASE_SECONDS_MAX}",
    )
    base_url: Annotated[
        str | None, _check(_is_origin), AfterValidator(lambda url: url and url.rstrip("/"))
    ] = _setting(
        None,
        "The URL under which others reach this server, for the links it hands out;"
        " made of host and port when not set.",
        must="an http:// or https:// URL without query, fragment or user name",
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info",
        "The least important log lines to write.",
        must="debug, info, warning or error",
    )
    log_format: Literal["console", "json"] = _setting(
        "console",
        "How log lines look: for people or for machines.",
        must="console or json",
    )
    seed: int | None = _setting(
        None,
        "Makes everything left to chance the same at every run; not for production.",
        must="a whole number",
    )
    clock: Literal["system", "manual"] = _setting(
        "system",
        "Whose time it is: the machine's, or one that moves only when it is told to.",
        must="system or manual",
    )
    delivery_delay_seconds: Annotated[float, Field(ge=0, le=DELAY_SECONDS_MAX)] = _setting(
        1.0,
        "How long the simulated network takes to deliver a text.",
        must=f"a number of seconds from 0 to {DELAY_SECONDS_MAX}",
    )
    odds: Odds = _setting(
        {},
        "How often simulated phones misbehave when nothing else is said of them:"
        " behaviour and probability, the rest delivers.",
        must="a table of behaviours and probabilities from 0 to 1 that add up to 1 at most",
    )
    starting_balance: Annotated[Decimal, Field(ge=0, le=1_000_000_000)] = _setting(
        Decimal(1000),
        "The balance of a new account in US dollars.",
        must="an amount from 0 to 1000000000",
    )
    prices: Mapping[Country, Price] = _setting(
        {},
        "The price of an outbound segment in US dollars, by country, where it differs from the"
        " built-in list.",
        must="a table of two-letter countries (US) and prices from 0 to 1000",
    )
    account_concurrency: Annotated[int, Field(ge=1, le=ACCOUNT_CONCURRENCY_MAX)] = _setting(
        ACCOUNT_CONCURRENCY_MAX,
        "How many requests of one account are answered at once; more of them are put off with 429"
        " and error 20429.",
        must=f"a whole number from 1 to {ACCOUNT_CONCURRENCY_MAX}",
    )
    countries: tuple[Annotated[Country, _check(COUNTRY_NAMES.__contains__)], ...] = _setting(
        (),
        "The countries that texts may be sent to, by whatever account; all when none is named.",
        must="a list of two-letter countries (US)",
    )
    first_number: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")] = _setting(
        "+14155550100",
        "The phone number that the main account holds from the first start on.",
        must="a phone number like +14155550100",
    )
    webhook_allow: tuple[Annotated[str, _check(_is_place)], ...] = _setting(
        (),
        "Private hosts, addresses and networks that webhooks may reach although the server"
        " listens beyond this machine.",
        must="a list of host names, addresses and networks (10.0.0.0/8)",
    )
    webhook_retry_seconds: Annotated[tuple[RetrySeconds, ...], Field(max_length=RETRIES_MAX)] = (
        _setting(
            (5.0, 30.0, 120.0, 600.0, 3600.0),
            "How long to wait before each further attempt at a webhook that failed.",
            must=f"a list of at most {RETRIES_MAX} numbers of seconds, each above 0 and at most"
            f" {RETRY_SECONDS_MAX}",
        )
    )
    webhook_concurrency: Annotated[int, Field(ge=1, le=WEBHOOK_CONCURRENCY_MAX)] = _setting(
        50,
        "How many webhooks may be under way at once.",
        must=f"a whole number from 1 to {WEBHOOK_CONCURRENCY_MAX}",
    )
    retention_messages_days: Days = _setting(
        0,
        "For how many days messages are kept with all that is known of them; 0 is for ever.",
        must=_DAYS,
    )
    retention_trace_days: Days = _setting(
        0,
        "For how many days it is kept what happened to a message; 0 is as long as the message.",
        must=_DAYS,
    )
    retention_media_days: Days = _setting(
        0,
        "For how many days the media of messages are kept; 0 is as long as their messages.",
        must=_DAYS,
    )
    retention_attempts_days: Days = _setting(
        30,
        "For how many days after its message an attempt at a webhook is kept; 0 is as long as it.",
        must=_DAYS,
    )
    retention_parked_days: Days = _setting(
        30,
        "For how many days webhooks that were given up can be replayed; 0 is for ever.",
        must=_DAYS,
    )
    retention_alerts_days: Days = _setting(
        30,
        "For how many days alerts tell what went wrong; 0 is for ever.",
        must=_DAYS,
    )
    retention_strays_days: Days = _setting(
        30,
        "For how many days it is kept what carriers brought that belongs to nothing here; 0 is for"
        " ever.",
        must=_DAYS,
    )
    retention_phones_days: Days = _setting(
        30,
        "For how many days simulated phones show a text; 0 is for ever.",
        must=_DAYS,
    )
    drain_seconds: Annotated[float, Field(ge=0, le=DRAIN_SECONDS_MAX)] = _setting(
        0.0,
        "How long a server that is told to stop goes on as before while /health/ready says that it"
        " leaves, so that a load balancer sends new requests elsewhere first.",
        must=f"a number of seconds from 0 to {DRAIN_SECONDS_MAX}",
    )
    disk_free_min_mb: Annotated[int, Field(ge=0, le=1_000_000)] = _setting(
        100,
        "The reserve of the data directory's disk in megabytes: with less than that free, new"
        " messages are refused (20503) and what was accepted goes on.",
        must="a whole number from 0 to 1000000",
    )
    metrics_open: bool = _setting(
        False,
        "Whether everybody who reaches the server may read /metrics; otherwise this machine may,"
        " and whoever knows metrics_token.",
        must="true or false",
    )
    metrics_token: Annotated[str, Field(pattern=r"^[!-~]{16,200}$")] | None = _setting(
        None,
        "The Bearer token with which /metrics may be read from anywhere.",
        must="16 to 200 printable ASCII characters without spaces",
    )
    smpp_port: Annotated[int, Field(ge=0, le=65535)] | None = _setting(
        None,
        "The TCP port at which SMPP clients can bind; 0 takes a free one, and without it there is"
        " no SMPP server.",
        must="a whole number from 0 to 65535",
    )
    smpp_tls_port: Annotated[int, Field(ge=0, le=65535)] | None = _setting(
        None,
        "The TCP port at which SMPP clients can bind over TLS; it needs smpp_tls_cert and"
        " smpp_tls_key.",
        must="a whole number from 0 to 65535",
    )
    smpp_tls_cert: Path | None = _setting(
        None,
        "The certificate of the SMPP server, with those that lead to its root behind it.",
        must="the path of a PEM file",
    )
    smpp_tls_key: Path | None = _setting(
        None,
        "The private key of that certificate.",
        must="the path of a PEM file",
    )
    smpp_simulator_password: Annotated[str, Field(pattern=r"^[!-~]{1,64}$")] = _setting(
        "password",
        "The password of the SMPP client `simulator`, which reaches the simulated network alone and"
        " may bind from this machine while the server listens to it only. SMPP has room for 8"
        " characters, and most clients send no more.",
        must="1 to 64 printable ASCII characters without spaces",
    )

    @property
    def retention(self) -> Periods:
        """For how long each kind of thing is kept."""
        return Periods(**{kind: getattr(self, f"retention_{kind}_days") for kind in KINDS})

    @property
    def is_loopback(self) -> bool:
        """Whether the server listens to this machine only."""
        return _is_loopback(self.host)

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach the server, also by way of a proxy before it."""
        return self.is_loopback and _is_loopback(urlsplit(self.public_url).hostname or "")

    @property
    def public_url(self) -> str:
        """The base URL as set, else the local one."""
        return self.base_url or self.local_url

    @property
    def local_url(self) -> str:
        """The URL that host and port make: there it answers without anything before it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def load_config(
    given: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    directory: Path = Path(),
) -> Config:
    """Return the settings: those *given* by options, of the environment, the file and the defaults.

    The file is trunkline.toml in *directory*, else in the data directory. Raises ValueError with
    one sentence that names the setting, its value and where it comes from.
    """
    options = given or {}
    variables = os.environ if environment is None else environment
    data_dir = find_data_dir(options.get("data_dir"), variables, beside=directory)
    merged = {
        **_of_file(_settings_file(directory, data_dir), data_dir),
        **_of_environment(variables),
        **{name: _Given(_parse_text(name, text), _option(name)) for name, text in options.items()},
    }
    merged["data_dir"] = _Given(data_dir, "as found")
    try:
        config = Config.model_validate({name: entry.value for name, entry in merged.items()})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise ValueError(_complaint(name, merged[name])) from error
    if config.workers > 1 and (obstacle := _obstacle_to_workers(config)):
        origin = merged["workers"].origin
        raise ValueError(f"The setting workers is {config.workers} {origin}, but {obstacle}.")
    return config


def _obstacle_to_workers(config: Config) -> str:
    """Return why these settings are for one process alone, and what to do; "" if they are not."""
    if config.database is None:
        return (
            "without the setting database everything is in a file of SQLite, which is one"
            " process's: set database to a PostgreSQL URL, or workers to 1"
        )
    if config.clock != "system":
        return (
            "a clock that is moved by hand is one process's: set clock to system, or workers to 1"
        )
    if config.seed is not None:
        return (
            "which of them answers is chance that no seed repeats: leave seed out, or set"
            " workers to 1"
        )
    return ""


def option_name(name: str) -> str:
    """Return the option that sets a setting."""
    return "--" + name.replace("_", "-")


def requirement(name: str) -> str:
    """Return what the value of a setting must be."""
    extra = Config.model_fields[name].json_schema_extra
    return str(extra["must"]) if isinstance(extra, dict) else ""


def is_secret(name: str) -> bool:
    """Tell whether the value of a setting is for nobody to see."""
    extra = Config.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra["is_secret"])


@dataclass(frozen=True, slots=True)
class _Given:
    """A value somebody set, and where."""

    value: object
    origin: str


def _settings_file(directory: Path, data_dir: Path) -> Path:
    beside = directory / SETTINGS_FILE
    return beside if beside.exists() else data_dir / SETTINGS_FILE


def _of_file(path: Path, data_dir: Path) -> dict[str, _Given]:
    values = read_settings(path)
    for name in values:
        _require_known(name, origin=str(path))
    if "data_dir" in values and path.parent == data_dir:
        raise ValueError(f"The setting data_dir is in {path}, which is found only by way of it.")
    return {name: _Given(value, f"in {path}") for name, value in values.items()}


def _of_environment(variables: Mapping[str, str]) -> dict[str, _Given]:
    found = {}
    for variable, text in variables.items():
        is_ours = variable.startswith(PREFIX) and not FOREIGN_VARIABLES.fullmatch(variable)
        # Kubernetes again: TRUNKLINE_PORT=tcp://10.0.0.1:8800.
        if is_ours and text and not text.startswith("tcp://"):
            name = variable.removeprefix(PREFIX).lower()
            _require_known(name, origin=f"the environment variable {variable}")
            found[name] = _Given(_parse_text(name, text), f"in the environment variable {variable}")
    return found


def _option(name: str) -> str:
    return f"from {option_name(name)}"


def _require_known(name: str, *, origin: str) -> None:
    if name not in Config.model_fields:
        close = get_close_matches(name, Config.model_fields, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise ValueError(f"There is no setting {name!r}, which {origin} sets{hint}")


def _complaint(name: str, given: _Given) -> str:
    # Where a server reads its settings again, this goes to the log.
    shown = "not right" if name.endswith(SECRET_ENDINGS) else repr(given.value)
    if len(shown) > SHOWN_MAX:
        shown = shown[:SHOWN_MAX] + "…"
    if is_secret(name):
        return f"The setting {name} {given.origin} is wrong: it must be {requirement(name)}."
    return f"The setting {name} is {shown} {given.origin}: it must be {requirement(name)}."


def _parse_text(name: str, text: str) -> object:
    """Return a value of the environment or the command line as its setting wants it.

    Lists are `a,b` and tables `a=1,b=2`; both may also be JSON.
    """
    kind = get_origin(Config.model_fields[name].annotation)
    if kind not in {tuple, Mapping}:
        return text
    if text.lstrip().startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            return text
    items = [item.strip() for item in text.split(",") if item.strip()]
    if kind is tuple:
        return items
    pairs = [item.partition("=") for item in items]
    return {key.strip(): value.strip() for key, _, value in pairs}
