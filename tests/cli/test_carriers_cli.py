"""`trunkline carriers`, `routes` and `numbers` against a running platform."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.processes import PHONE, Server, wait_until
from trunkline.cli import commands

Call = Callable[..., Result]
LONDON = "+447400123456"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a platform that all tests of this file share; each uses names of its own."""
    server = Server(tmp_path_factory.mktemp("platform") / "data")
    yield server
    server.process.close()


@pytest.fixture
def call(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call the command line where nothing but --data-dir tells it where to look."""
    monkeypatch.chdir(tmp_path)
    before = ["--data-dir", str(server.data_dir)]
    return lambda *args, **more: CliRunner().invoke(commands, [*before, *args], **more)


def said(result: Result) -> str:
    """Return what a command that went well has printed."""
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def document(result: Result) -> Any:
    """Return the JSON document that a command has printed."""
    return json.loads(said(result))


def value_of(call: Call, carrier: str, setting: str) -> str:
    """Return what a setting of a carrier holds."""
    shown = document(call("carriers", "show", carrier, "--json"))
    (value,) = [each["value"] for each in shown["settings"] if each["name"] == setting]
    return str(value)


def add(call: Call, name: str, *more: str) -> str:
    """Make another carrier to the simulated phones and return what is said."""
    return said(call("carriers", "add", name, "--type", "simulated", *more))


def test_a_carrier_is_added_shown_and_removed(call: Call) -> None:
    """What to do next is said; lists are tables for people and JSON for programs."""
    text = add(call, "alpha", "--set", "lanes=2", "--set", "in_doubt=fail")
    assert text.startswith("The carrier alpha is enabled.\n")
    assert "trunkline carriers test alpha" in text
    assert "trunkline routes add --carrier alpha --prefix +1" in text
    listed = said(call("carriers", "list"))
    assert listed.splitlines()[0].split()[:3] == ["Name", "Type", "State"]
    assert any(line.startswith("alpha") for line in listed.splitlines())
    assert "alpha" in {each["name"] for each in document(call("carriers", "list", "--json"))}
    shown = said(call("carriers", "show", "alpha"))
    rows = [line.split() for line in shown.splitlines()]
    assert ["lanes", "2"] in rows
    assert ["in_doubt", "fail"] in rows
    assert ["failover_seconds", "30", "default"] in rows
    assert said(call("carriers", "remove", "alpha")) == "The carrier alpha is gone.\n"
    assert call("carriers", "show", "alpha").exit_code == 1


def test_connections_are_shown(call: Call) -> None:
    """As soon as they are made."""
    add(call, "beta")
    wait_until(lambda: "Connections\n" in call("carriers", "show", "beta").stdout)
    shown = said(call("carriers", "show", "beta"))
    assert "simulated" in shown.partition("Connections\n")[2]
    assert "bound" in shown.partition("Connections\n")[2]
    assert "Submitted" in shown.partition("Traffic\n")[2]


def test_settings_come_from_the_line_a_file_or_a_prompt(call: Call, tmp_path: Path) -> None:
    """With --set or without; an empty one is the default again."""
    (tmp_path / "rates").write_text("long_code=2\n")
    add(call, "gamma", "--set", "sender_rates=@rates")
    assert value_of(call, "gamma", "sender_rates") == "long_code=2"
    asked = call("carriers", "set", "gamma", "sender_rates", input="toll_free=3\n")
    assert "toll_free" not in asked.output
    assert value_of(call, "gamma", "sender_rates") == "toll_free=3"
    text = said(call("carriers", "set", "gamma", "lanes=4", "--set", "in_doubt=fail"))
    assert text == "gamma has new settings: lanes, in_doubt.\n"
    assert value_of(call, "gamma", "lanes") == "4"
    said(call("carriers", "set", "gamma", "lanes="))
    assert value_of(call, "gamma", "lanes") == "1"


@pytest.mark.parametrize(
    ("args", "text", "status"),
    [
        (("add", "x", "--type", "pigeon"), "`Type`", 1),
        (("add", "x/y", "--type", "simulated"), "`Name`", 1),
        (("add", "x", "--type", "simulated", "--set", "colour=red"), "no setting colour", 1),
        (("add", "x", "--type", "simulated", "--set", "lane=2"), "is it lanes?", 1),
        (("add", "x", "--type", "simulated", "--set", "lanes"), "write lanes=VALUE", 2),
        (("set", "simulated", "in_daubt=fail"), "is it in_doubt?", 1),
        (("add", "x", "--type", "simulated", "--set", "lanes=x"), "`lanes`", 1),
        (("add", "x", "--type", "simulated", "--set", "lanes=@nowhere"), "cannot be read", 2),
        (("add", "x", "--type", "simulated", "--set", "=1"), "NAME=VALUE", 2),
        (("add", "simulated", "--type", "simulated"), "already", 1),
        (("remove", "simulated"), "or remove them too with --force", 1),
        (("show", "nobody"), "There is no carrier nobody", 1),
        (("test", "nobody"), "There is no carrier nobody", 1),
        (("set", "nobody", "lanes=2"), "There is no carrier nobody", 1),
        (("set", "simulated"), "Nothing is to be set", 2),
        (("types", "pigeon"), "There is no type pigeon", 1),
    ],
)
def test_what_is_refused_is_one_sentence(
    call: Call, args: tuple[str, ...], text: str, status: int
) -> None:
    """No traceback; exit status 1 for what the platform refuses, 2 for what is not understood."""
    result = call("carriers", *args)
    assert (result.exit_code, result.stdout) == (status, "")
    error = result.stderr.splitlines()[-1]
    assert error.startswith("Error: ")
    assert text in error


def test_a_connection_and_a_message_are_tried(call: Call, server: Server) -> None:
    """A carrier that cannot be used ends the command with status 1."""
    add(call, "delta", "--disabled")
    off = call("carriers", "test", "delta")
    assert (off.exit_code, off.stderr) == (
        1,
        "Error: delta cannot be used: the carrier is disabled.\n",
    )
    assert said(call("carriers", "enable", "delta")) == "The carrier delta is enabled.\n"
    wait_until(lambda: call("carriers", "test", "delta").exit_code == 0)
    assert said(call("carriers", "test", "delta")).startswith("delta works: ")
    sent = said(call("carriers", "test", "delta", "--to", LONDON))
    assert "trunkline trace SM" in sent
    wait_until(lambda: server.bodies(LONDON))
    assert server.bodies(LONDON) == ["A test of the carrier delta by Trunkline."]
    tried = document(call("carriers", "test", "delta", "--to", LONDON, "--from", "ACME", "--json"))
    assert (tried["carrier"], tried["from"], tried["to"]) == ("delta", "ACME", LONDON)


@pytest.mark.parametrize(
    ("command", "state"), [("drain", "draining"), ("disable", "disabled"), ("enable", "enabled")]
)
def test_states_have_commands(call: Call, command: str, state: str) -> None:
    """What is asked for is what holds."""
    add(call, f"state-{state}")
    expected = f"The carrier state-{state} is {state}.\n"
    assert said(call("carriers", command, f"state-{state}")) == expected
    assert document(call("carriers", "show", f"state-{state}", "--json"))["state"] == state


def test_types_tell_what_can_be_set(call: Call) -> None:
    """Every type, or one."""
    text = said(call("carriers", "types", "simulated"))
    assert "lanes" in text
    assert "It must be a whole number from 1 to 64." in text
    (kind,) = document(call("carriers", "types", "simulated", "--json"))
    assert kind["type"] == "simulated"
    assert "simulated" in said(call("carriers", "types"))


def test_a_route_is_added_explained_changed_and_removed(call: Call, server: Server) -> None:
    """`route` means the same as `routes`."""
    add(call, "epsilon")
    added = said(call("routes", "add", "--carrier", "epsilon", "--prefix", "+44", "--weight", "2"))
    sid = added.split()[0]
    assert added == f"{sid} leads to epsilon: prefix +44.\n"
    listed = {each["sid"]: each for each in document(call("route", "list", "--json"))}
    assert (listed[sid]["prefix"], listed[sid]["weight"]) == ("+44", 2)
    assert "prefix +44" in said(call("routes", "list"))
    question = ("explain", "--to", LONDON, "--from", server.number)
    explained = said(call("route", *question))
    assert explained.startswith(f"A message from {server.number} to {LONDON} leaves by epsilon.\n")
    assert sid in explained
    assert document(call("routes", *question, "--json"))["carrier"] == "epsilon"
    changed = said(call("routes", "set", sid, "--prefix", "", "--country", "fr"))
    assert changed == f"{sid} leads to epsilon: country FR.\n"
    assert document(call("routes", *question, "--json"))["carrier"] == "simulated"
    assert f"Routes lead to epsilon: {sid}." in call("carriers", "remove", "epsilon").stderr
    said(call("carriers", "remove", "epsilon", "--force"))
    assert call("routes", "remove", sid).exit_code == 1


def test_a_route_is_removed(call: Call) -> None:
    """Once."""
    route = document(call("routes", "add", "--carrier", "simulated", "--order", "7", "--json"))
    assert said(call("routes", "remove", route["sid"])) == f"{route['sid']} is gone.\n"
    assert "There is no route" in call("routes", "remove", route["sid"]).stderr


def test_a_route_like_another_says_so(call: Call) -> None:
    """To the same carrier it is for nothing; to another it shares."""
    add(call, "zeta")
    route = ("routes", "add", "--prefix", "+4930", "--carrier")
    first = said(call(*route, "simulated")).split()[0]
    again = said(call(*route, "simulated")).splitlines()[1]
    assert again.startswith(f"{first} does so already; ")
    shared = said(call(*route, "zeta")).splitlines()[1:]
    assert f"It shares these messages, by weight, with {first}, which leads to simulated." in shared
    assert len(said(call(*route, "zeta", "--order", "7")).splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("add", "--carrier", "nobody"), "`Carrier`"),
        (("add", "--carrier", "simulated", "--prefix", "x"), "`Prefix`"),
        (("add", "--carrier", "simulated", "--sender-type", "x"), "`SenderType`"),
        (("explain", "--to", "nobody", "--from", "ACME"), "Invalid 'To'"),
        (("explain", "--to", LONDON, "--from", "ACME", "--channel", "fax"), "`Channel`"),
    ],
)
def test_what_no_route_can_be_is_refused(call: Call, args: tuple[str, ...], text: str) -> None:
    """One sentence names what is wrong."""
    result = call("routes", *args)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert text in result.stderr


def test_a_number_of_ones_own_comes_and_goes(call: Call, server: Server) -> None:
    """A short code is sent from like any other number."""
    text = said(call("numbers", "add", "12345", "--name", "ours"))
    assert text == f"12345 is a number of {server.account_sid}.\n"
    listed = {each["phone_number"]: each for each in document(call("numbers", "list", "--json"))}
    assert (listed["12345"]["kind"], listed["12345"]["friendly_name"]) == ("ShortCode", "ours")
    assert "ShortCode" in said(call("numbers", "list"))
    said(call("send", PHONE, "from a short code", "--from", "12345"))
    wait_until(lambda: "from a short code" in server.bodies())
    assert "21422" in call("numbers", "add", "12345").stderr
    assert said(call("numbers", "remove", "12345")) == "12345 is nobody's number now.\n"
    assert "There is no number 12345" in call("numbers", "remove", "12345").stderr
