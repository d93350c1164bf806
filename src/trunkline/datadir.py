"""The data directory: where it is, and what the server leaves there for those who speak to it."""

import errno
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

DATA_DIR = "trunkline-data"
DATA_DIR_VARIABLE = "TRUNKLINE_DATA_DIR"
SETTINGS_FILE = "trunkline.toml"
CREDENTIALS_FILE = "credentials.json"
NODE_FILE = "node"
# Nobody writes a longer one by hand; a larger file is some other file.
FILE_SIZE_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a client needs: where the server is, as whom to sign in, and a number to send from."""

    account_sid: str
    auth_token: str
    base_url: str
    phone_number: str
    local_url: str = ""  # Where it answers on this machine, whatever stands before it.


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedFacts:
    """What the person who started the server is told once it answers.

    local_url is where it answers on this machine; upstream is the carrier that the environment
    offered.
    """

    base_url: str
    console_url: str
    account_sid: str
    auth_token: str
    phone_number: str
    is_first_start: bool
    local_url: str = ""
    smpp: tuple[str, ...] = ()
    upstream: str = ""


def find_data_dir(
    given: str | None = None, environment: Mapping[str, str] | None = None, *, beside: Path = Path()
) -> Path:
    """Return the data directory: as given, else of the environment, else of *beside*'s settings.

    Raises ValueError, with a sentence for people, when the settings cannot be read.
    """
    variables = os.environ if environment is None else environment
    named = given or variables.get(DATA_DIR_VARIABLE)
    if not named:
        settings = read_settings(beside / SETTINGS_FILE)
        named = str(settings.get("data_dir") or DATA_DIR)
    return Path(named).expanduser()


def read_settings(path: Path) -> dict[str, object]:
    """Return what a settings file says; nothing where there is no file.

    Raises ValueError, with a sentence for people, when the file cannot be read.
    """
    try:
        return tomllib.loads(_read(path).decode())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return {}
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{path} is not a valid TOML file: {error}.") from error


def read_credentials(data_dir: Path) -> Credentials:
    """Return what the server wrote when it first started.

    Raises ValueError, with a sentence for people, when there is nothing or nothing of use.
    """
    path = data_dir / CREDENTIALS_FILE
    try:
        values = {"local_url": "", **json.loads(_read(path))}  # An older server did not say it.
        return Credentials(**{field.name: str(values[field.name]) for field in fields(Credentials)})
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"There are no credentials in {data_dir}: start the server once with `trunkline up`,"
            " or name its directory with --data-dir or TRUNKLINE_DATA_DIR."
        ) from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged: start the server with `trunkline up`, which writes it anew."
        ) from error


def write_credentials(data_dir: Path, credentials: Credentials) -> None:
    """Leave *credentials* for the owner of the directory alone; a crash leaves the old or the new.

    Raises OSError.
    """
    path = data_dir / CREDENTIALS_FILE
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    # Created private: a file that is made readable first could be read in between.
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(json.dumps(asdict(credentials), indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def replace_node(data_dir: Path, sid: str, *, worker: int = 0) -> str:
    """Note which node has a directory to itself; return the one before, "" where none is known.

    That one is dead: it had the directory to itself as well. Of several workers each has a place
    to itself, the first one that of a server without workers. Raises OSError.
    """
    path = data_dir / (f"{NODE_FILE}.{worker}" if worker else NODE_FILE)
    try:
        before = _read(path).decode("ascii", "replace").strip()
    except FileNotFoundError:
        before = ""
    path.write_text(f"{sid}\n")
    return before


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(FILE_SIZE_MAX + 1)
    if len(content) > FILE_SIZE_MAX:
        raise ValueError(f"it is larger than {FILE_SIZE_MAX:,} bytes")
    return content
