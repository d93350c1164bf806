"""Settings: where they come from, which one wins, and what is said about a bad one."""

from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from trunkline.config import Behaviour, Config, load_config
from trunkline.network.behaviours import BEHAVIOURS


def settings_file(directory: Path, text: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "trunkline.toml"
    path.write_text(text)
    return path


def complaint(
    directory: Path,
    given: dict[str, str] | None = None,
    *,
    environment: dict[str, str] | None = None,
) -> str:
    with pytest.raises(ValueError, match=r"setting|TOML|read") as caught:
        load_config(given or {}, environment or {}, directory=directory)
    return str(caught.value)


def test_defaults_are_for_one_machine(tmp_path: Path) -> None:
    """Nothing needs to be set, and then nobody else can reach the server."""
    config = load_config({}, {}, directory=tmp_path)
    assert (config.host, config.port, config.data_dir) == (
        "127.0.0.1",
        8800,
        Path("trunkline-data"),
    )
    assert config.is_loopback
    assert config.public_url == "http://127.0.0.1:8800"
    assert config.starting_balance == Decimal(1000)
    assert config.webhook_retry_seconds == (5, 30, 120, 600, 3600)


def test_the_nearer_source_wins(tmp_path: Path) -> None:
    """An option beats a variable, a variable the file, the file the default."""
    settings_file(tmp_path, 'port = 1\nlog_level = "debug"\nseed = 1\nlog_format = "json"')
    config = load_config(
        {"port": "3"},
        {"TRUNKLINE_PORT": "2", "TRUNKLINE_LOG_LEVEL": "error", "PORT": "9"},
        directory=tmp_path,
    )
    assert (config.port, config.log_level, config.seed) == (3, "error", 1)
    assert config.log_format == "json"


def test_the_file_in_the_data_directory_is_the_second_choice(tmp_path: Path) -> None:
    """The data directory's file counts only where the current directory has none."""
    data_dir = tmp_path / "data"
    settings_file(data_dir, "port = 1")
    given = {"data_dir": str(data_dir)}
    assert load_config(given, {}, directory=tmp_path).port == 1
    settings_file(tmp_path, "seed = 7")
    config = load_config(given, {}, directory=tmp_path)
    assert (config.port, config.seed) == (8800, 7)


def test_the_file_may_name_the_data_directory(tmp_path: Path) -> None:
    """A file beside the program says where its data is; one in the data cannot."""
    settings_file(tmp_path, 'data_dir = "elsewhere"')
    assert load_config({}, {}, directory=tmp_path).data_dir == Path("elsewhere")
    data_dir = tmp_path / "data"
    inside = settings_file(data_dir, 'data_dir = "elsewhere"')
    said = complaint(tmp_path / "empty", {"data_dir": str(data_dir)})
    assert said == f"The setting data_dir is in {inside}, which is found only by way of it."


def test_lists_and_tables_can_be_written_in_one_line(tmp_path: Path) -> None:
    """Variables write `a,b` and `a=1,b=2`, or JSON; the file writes TOML."""
    short = {
        "TRUNKLINE_WEBHOOK_RETRY_SECONDS": "5, 0.5",
        "TRUNKLINE_ODDS": "off=0.25, slow=0.5",
        "TRUNKLINE_WEBHOOK_ALLOW": "10.0.0.0/8,app",
    }
    as_json = {
        "TRUNKLINE_WEBHOOK_RETRY_SECONDS": "[5, 0.5]",
        "TRUNKLINE_ODDS": '{"off": 0.25, "slow": 0.5}',
        "TRUNKLINE_WEBHOOK_ALLOW": '["10.0.0.0/8", "app"]',
    }
    settings_file(
        tmp_path,
        'webhook_retry_seconds = [5, 0.5]\nwebhook_allow = ["10.0.0.0/8", "app"]\n'
        "[odds]\noff = 0.25\nslow = 0.5",
    )
    empty = tmp_path / "empty"
    configs = [load_config({}, variables, directory=empty) for variables in (short, as_json)]
    assert configs == [load_config({}, {}, directory=tmp_path)] * 2
    assert configs[0].webhook_retry_seconds == (5, 0.5)
    assert configs[0].odds == {"off": 0.25, "slow": 0.5}
    assert configs[0].webhook_allow == ("10.0.0.0/8", "app")


def test_odds_name_the_behaviours_there_are() -> None:
    """Every behaviour of the simulated network can be given odds, and nothing else."""
    assert set(get_args(Behaviour)) == set(BEHAVIOURS)


def test_prices_are_exact(tmp_path: Path) -> None:
    """Money never passes through binary fractions."""
    settings_file(tmp_path, "[prices]\nUS = 0.0079\nDE = '0.1'")
    config = load_config({}, {}, directory=tmp_path)
    assert config.prices == {"US": Decimal("0.0079"), "DE": Decimal("0.1")}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "abc"),
        ("port", "65536"),
        ("port", "-1"),
        ("host", "not a host"),
        ("base_url", "ftp://example.com"),
        ("base_url", "http://"),
        ("base_url", "http://user:pw@example.com"),
        ("base_url", "http://example.com/?a=b"),
        ("base_url", "http://example.com:99999"),
        ("log_level", "loud"),
        ("log_format", "xml"),
        ("seed", "1.5"),
        ("clock", "sundial"),
        ("delivery_delay_seconds", "nan"),
        ("delivery_delay_seconds", "-1"),
        ("odds", "deliver=0.6,off=0.6"),
        ("odds", "explode=0.1"),
        ("odds", "off"),
        ("odds", "{off: 1}"),
        ("starting_balance", "NaN"),
        ("starting_balance", "-1"),
        ("prices", "usa=0.1"),
        ("prices", "US=free"),
        ("first_number", "4155550100"),
        ("first_number", "+1415555010x"),
        ("webhook_allow", "http://app"),
        ("webhook_allow", "10.0.0.0/99"),
        ("webhook_retry_seconds", "0"),
        ("webhook_retry_seconds", ",".join(["1"] * 21)),
        ("webhook_concurrency", "0"),
        ("drain_seconds", "-1"),
        ("disk_free_min_mb", "half"),
        ("metrics_open", "perhaps"),
    ],
)
def test_a_bad_value_is_named_with_its_place(tmp_path: Path, name: str, value: str) -> None:
    """The sentence names the setting, the value and where it was found, and says what to write."""
    variable = f"TRUNKLINE_{name.upper()}"
    said = complaint(tmp_path, environment={variable: value})
    assert said.startswith(f"The setting {name} is ")
    assert f" in the environment variable {variable}: it must be " in said
    assert "\n" not in said
    option = "--" + name.replace("_", "-")
    assert f" from {option}: it must be" in complaint(tmp_path, {name: value})


def test_a_bad_value_in_the_file_is_named_with_the_file(tmp_path: Path) -> None:
    """A value of the wrong kind is shown as it was written."""
    path = settings_file(tmp_path, 'port = "all"')
    assert complaint(tmp_path) == (
        f"The setting port is 'all' in {path}: it must be a whole number from 0 to 65535."
    )


def test_a_long_value_is_shown_in_part(tmp_path: Path) -> None:
    """Nobody needs a page of a value to find it again."""
    assert len(complaint(tmp_path, {"first_number": "1" * 10_000})) < 300


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    """A typing error never passes in silence."""
    said = complaint(tmp_path, environment={"TRUNKLINE_PROT": "1"})
    assert said == (
        "There is no setting 'prot', which the environment variable TRUNKLINE_PROT sets;"
        " did you mean 'port'?"
    )
    path = settings_file(tmp_path, "wheels = 1")
    assert complaint(tmp_path) == f"There is no setting 'wheels', which {path} sets."


@pytest.mark.parametrize(
    "variable",
    ["TRUNKLINE_URL", "TRUNKLINE_API_KEY_SID", "TRUNKLINE_SERVICE_HOST", "TRUNKLINE_PORT_8800_TCP"],
)
def test_variables_of_others_are_left_alone(tmp_path: Path, variable: str) -> None:
    """What clients read and what Kubernetes sets shares our prefix but is no setting."""
    variables = {variable: "x", "TRUNKLINE_PORT": "tcp://10.0.0.1:8800", "TRUNKLINE_HOST": ""}
    assert load_config({}, variables, directory=tmp_path) == Config()


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", b"#" * 1_000_001])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    """A damaged, wrongly encoded or huge file is a sentence, not a traceback."""
    (tmp_path / "trunkline.toml").write_bytes(content)
    assert complaint(tmp_path).startswith(f"{tmp_path / 'trunkline.toml'} is not a valid TOML file")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A directory in the file's place is said to be one."""
    (tmp_path / "trunkline.toml").mkdir()
    assert complaint(tmp_path) == f"{tmp_path / 'trunkline.toml'} cannot be read: Is a directory."


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("trunkline.example", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, *, is_loopback: bool) -> None:
    """What listens on every address is reached by everybody."""
    assert Config(host=host).is_loopback is is_loopback


def test_the_public_url_is_made_of_host_and_port() -> None:
    """A URL that is set wins; an IPv6 address is put in brackets."""
    assert Config(host="::1", port=9).public_url == "http://[::1]:9"
    assert Config(base_url="https://sms.example/x/").public_url == "https://sms.example/x"


def test_settings_do_not_change() -> None:
    """Once loaded, a setting stays what it is."""
    config = Config()
    with pytest.raises(ValidationError):
        config.port = 1  # type: ignore[misc]


def test_a_public_base_url_is_not_private() -> None:
    """Behind a proxy the console asks for a login, although the server listens on loopback."""
    for url, is_private in (
        (None, True),
        ("http://localhost:9000", True),
        ("https://sms.example.com", False),
    ):
        config = Config.model_validate({"base_url": url})
        assert (config.is_loopback, config.is_private) == (True, is_private)


@pytest.mark.parametrize(
    ("name", "value"), [("database", "mysql://me:hunter2@host/x"), ("secret_key", " ")]
)
def test_a_secret_is_not_repeated(tmp_path: Path, name: str, value: str) -> None:
    """An error about it says what it must be, and a Config that is printed leaves it out."""
    said = complaint(tmp_path, {name: value})
    assert said.startswith(f"The setting {name} from --{name.replace('_', '-')} is wrong")
    assert "hunter2" not in said
    config = load_config({"database": "postgres://me:hunter2@host/x"}, {}, directory=tmp_path)
    assert config.database == "postgres://me:hunter2@host/x"
    assert "hunter2" not in repr(config)
