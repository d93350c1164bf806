"""`trunkline webhooks` and `trunkline retention` against a running platform."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.processes import Server, ask, wait_until
from trunkline.cli import commands

Call = Callable[..., Result]

# Nobody listens on this port of this machine.
HOST = "127.0.0.1:9"
SECONDS = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a platform that gives webhooks up soon, which all tests of this file share."""
    directory = tmp_path_factory.mktemp("platform")
    server = Server(directory / "data", delivery_delay_seconds=0.01, webhook_retry_seconds="0.01")
    yield server
    server.process.close()


@pytest.fixture
def call(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call the command line where nothing but --data-dir tells it where to look."""
    monkeypatch.chdir(tmp_path)
    before = ["--data-dir", str(server.data_dir)]
    return lambda *args, **given: CliRunner().invoke(commands, [*before, *args], **given)


def said(result: Result) -> str:
    """Return what a command that went well has printed."""
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


@pytest.fixture
def given_up(server: Server, call: Call) -> str:
    """Have two webhooks given up, and no others; return the SID of their message."""
    wait_until(lambda: not waiting(call), SECONDS, what="what is still tried to be given up too")
    call("webhooks", "discard", "--all", "--yes")
    form = {
        "To": "+15558675310",
        "From": server.number,
        "Body": "told to nobody",
        "StatusCallback": f"http://{HOST}/status",
    }
    sent = ask("POST", f"{server.account_url}/Messages.json", form, auth=server.auth)
    assert sent.status == 201, sent.body
    wait_until(lambda: len(parked(call)) == 2, SECONDS, what="two webhooks that were given up")
    return str(sent.json["sid"])


def parked(call: Call) -> list[dict[str, Any]]:
    """Return what was given up."""
    found: list[dict[str, Any]] = json.loads(said(call("webhooks", "list", "--json")))
    return found


def waiting(call: Call) -> list[dict[str, Any]]:
    """Return what is still tried."""
    found: list[dict[str, Any]] = json.loads(said(call("webhooks", "list", "--waiting", "--json")))
    return found


def test_what_was_given_up_is_listed(call: Call, given_up: str) -> None:
    """For people in a table, and by host."""
    rows = [line.split() for line in said(call("webhooks", "list")).splitlines()[2:]]
    assert [(row[3], row[4], row[5]) for row in rows] == [
        (given_up, "delivered", HOST),
        (given_up, "sent", HOST),
    ]
    (host,) = [line.split() for line in said(call("webhooks", "hosts")).splitlines()[2:]]
    assert host[:4] == [HOST, "0", "2", "11205"]
    none = said(call("webhooks", "list", "--kind", "inbound"))
    assert none == "No such webhooks were given up.\n"
    assert said(call("webhooks", "list", "--waiting")) == "No webhooks wait.\n"


def test_it_asks_before_it_replays_many(call: Call, given_up: str) -> None:
    """And says how many there are; who declines has changed nothing."""
    declined = call("webhooks", "replay", "--host", HOST, input="n\n")
    assert declined.exit_code == 1
    assert "Replay 2 webhooks? [y/N]" in declined.output
    assert len(parked(call)) == 2
    agreed = call("webhooks", "replay", "--host", HOST, "--since", "1h", input="y\n")
    assert said(agreed).endswith("2 webhooks replayed.\n")
    wait_until(lambda: len(parked(call)) == 2, SECONDS, what="the same to be given up again")
    assert {webhook["message_sid"] for webhook in parked(call)} == {given_up}


def test_some_are_replayed_or_thrown_away_by_name(call: Call, given_up: str) -> None:
    """Replaying one takes its message's with it."""
    first, second = [webhook["sid"] for webhook in parked(call)]
    assert said(call("webhooks", "discard", first)) == "1 webhook thrown away.\n"
    assert said(call("webhooks", "replay", second)) == "1 webhook replayed.\n"
    gone = call("webhooks", "discard", first)
    missing = f"There is no webhook that was given up {first}; see `trunkline webhooks list`"
    assert (gone.exit_code, gone.stderr) == (1, f"Error: {missing} (error 20404)\n")
    assert given_up


def test_nothing_to_do_needs_no_answer(call: Call, given_up: str) -> None:
    """Where a filter chooses nothing, nothing is asked."""
    none = said(call("webhooks", "replay", "--message", "SM" + "0" * 32))
    assert none == "No such webhooks were given up.\n"
    assert len(parked(call)) == 2
    assert given_up


@pytest.mark.parametrize("verb", ["list", "replay", "discard"])
def test_a_host_for_which_there_is_nothing_is_an_error(
    call: Call, given_up: str, verb: str
) -> None:
    """Its port is part of its name; the hosts that there are are named."""
    left_out = call("webhooks", verb, "--host", HOST.partition(":")[0])
    said_so = f"No webhooks for 127.0.0.1 were given up; there are some for {HOST}."
    assert (left_out.exit_code, left_out.stderr) == (1, f"Error: {said_so}\n")
    filtered = call("webhooks", verb, "--host", HOST, "--kind", "inbound")
    none = f"Error: No such webhooks for {HOST} were given up.\n"
    assert (filtered.exit_code, filtered.stderr) == (1, none)
    assert {webhook["message_sid"] for webhook in parked(call)} == {given_up}


def test_a_host_for_which_nothing_waits_is_an_error(call: Call, given_up: str) -> None:
    """Also for a program, which reads an empty list; what was given up waits no more."""
    result = call("webhooks", "list", "--host", HOST, "--waiting", "--json")
    none = f"Error: No webhooks for {HOST} wait; there are none for any host.\n"
    assert (result.exit_code, json.loads(result.stdout), result.stderr) == (1, [], none)
    assert given_up


@pytest.mark.parametrize("verb", ["replay", "discard"])
@pytest.mark.parametrize(
    "args",
    [[], ["--yes"], ["CB1", "--all"], ["--all", "--host", HOST], ["--host", HOST, "CB1"]],
)
def test_it_must_be_said_what_is_meant(call: Call, verb: str, args: list[str]) -> None:
    """Nothing is not everything, and two ways at once contradict each other."""
    result = call("webhooks", verb, *args)
    assert result.exit_code == 2
    assert "Name webhooks, or choose them with options, or say --all." in result.stderr


@pytest.mark.parametrize("text", ["yesterday", "5", "3 days", ""])
def test_a_time_must_be_one(call: Call, text: str) -> None:
    """A span has a unit, and a moment a date."""
    result = call("webhooks", "list", "--since", text)
    assert result.exit_code == 2
    assert "90m, 2h, 3d" in result.stderr


def test_periods_are_shown_and_set(server: Server, call: Call) -> None:
    """For everybody as the settings say, for one account as it wants."""
    shown = [line.split() for line in said(call("retention", "show")).splitlines()[2:]]
    assert ["messages", "for", "ever", "retention_messages_days"] in shown
    assert ["parked", "30", "days", "retention_parked_days"] in shown
    account = server.account_sid
    made = said(call("retention", "set", account, "--messages-days", "90", "--parked-days", "0"))
    assert "90 days *" in made
    assert "for ever *" in made
    (own,) = json.loads(said(call("retention", "show", "--json")))["accounts"]
    assert (own["account_sid"], own["own"]) == (account, ["messages", "parked"])
    assert account in said(call("retention", "show"))
    assert "90 days" not in said(call("retention", "set", account, "--messages-days", ""))
    assert "everybody" in said(call("retention", "reset", account))
    assert json.loads(said(call("retention", "show", "--json")))["accounts"] == []


def test_periods_that_cannot_be_are_refused(server: Server, call: Call) -> None:
    """With the range; and so is a command that sets nothing."""
    refused = call("retention", "set", server.account_sid, "--trace-days", "-1")
    assert refused.exit_code == 1
    assert "from 0 to 36500" in refused.stderr
    assert call("retention", "set", server.account_sid).exit_code == 2
    assert call("retention", "set", "AC0", "--trace-days", "1").exit_code == 1
