"""What is in deploy/ can be read, fits together, and names what the program has."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from sqlalchemy import Table

from trunkline.config import FOREIGN_VARIABLES, PREFIX, Config
from trunkline.ops.metrics import METRICS, PROCESS_METRICS, WORKER, Kind
from trunkline.store import erasure
from trunkline.store.tables import metadata

TOP = Path(__file__).parents[2]
DEPLOY = TOP / "deploy"
RETENTION = (TOP / "docs" / "how-to" / "retention.md").read_text()
OPERATE = (TOP / "docs" / "how-to" / "operate.md").read_text()
DASHBOARD = json.loads((DEPLOY / "grafana" / "trunkline.json").read_text())
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
COMPOSE_TEXT = (DEPLOY / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
UNIT = (DEPLOY / "trunkline.service").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
CITUS = (DEPLOY / "citus.sql").read_text()

NAME = re.compile(r"\b(?:trunkline|process)_[a-z_]+")
# A person reads it in no graph: how much address space is mapped says nothing.
UNSHOWN = {"process_virtual_memory_bytes"}


def known_metrics() -> set[str]:
    """Return every name under which something can be asked for."""
    names = set(PROCESS_METRICS)
    for metric in METRICS.values():
        parts = ("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",)
        names |= {metric.full_name + part for part in parts}
    return names


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DASHBOARD["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def shown() -> Iterator[str]:
    for panel in panels():
        yield from (target["expr"] for target in panel["targets"])
    yield from (each["definition"] for each in DASHBOARD["templating"]["list"][1:])


def alerts() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def used(expression: str) -> set[str]:
    # Labels and their values, and what is written by() or on(), are no metrics.
    return set(NAME.findall(re.sub(r'"[^"]*"', "", expression)))


@pytest.mark.parametrize("expression", [*shown(), *(rule["expr"] for rule in alerts())])
def test_every_metric_that_is_asked_for_exists(expression: str) -> None:
    """A graph or an alert about a metric that was renamed would be empty for ever."""
    assert used(expression) <= known_metrics(), expression
    # Prometheus itself knows whether a node answers.
    assert used(expression) or expression.startswith("up{"), expression


def test_every_metric_is_shown() -> None:
    """What is measured is worth a look; the dashboard is where one looks."""
    asked = set().union(*map(used, shown()))
    bare = {
        name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in asked
    }
    all_of_them = {metric.full_name for metric in METRICS.values()} | set(PROCESS_METRICS)
    assert all_of_them - bare - asked == UNSHOWN


def test_labels_that_are_asked_for_exist() -> None:
    """by (…) names labels that some metric of the expression has, or Prometheus itself adds."""
    # Every metric of a server with several workers says whose it is.
    added = {"instance", "job", "le", WORKER}
    for expression in [*shown(), *(rule["expr"] for rule in alerts())]:
        names = {
            label
            for metric in METRICS.values()
            if metric.full_name in expression
            for label in metric.labels
        }
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
            asked = {label.strip() for label in group.split(",")}
            assert asked <= names | added, expression


def test_the_panels_do_not_overlap_and_say_what_they_show() -> None:
    """Every panel has a title, a description and a place of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert place["x"] + place["w"] <= 24
    assert all(panel["title"] and panel["description"] for panel in panels())
    identities = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identities)) == len(identities)


def test_every_alert_is_explained() -> None:
    """Whoever is woken by it finds it in the how-to, under its name."""
    names = [rule["alert"] for rule in alerts()]
    explained = re.findall(r"^\| `(Trunkline\w+)` \|", OPERATE, re.MULTILINE)
    assert sorted(explained) == sorted(names)
    for rule in alerts():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]


def test_the_journal_gets_the_log_and_not_the_token() -> None:
    """What the first start prints is for people; standard error would follow it by default."""
    assert "\nStandardOutput=null\nStandardError=journal\n" in UNIT


def test_the_tables_that_hold_erased_texts_are_written_anew() -> None:
    """What a redaction empties is named where the bytes are told to leave PostgreSQL's files."""
    (named,) = re.findall(r"VACUUM \(FULL\) ([a-z_, ]+)", RETENTION)
    touched = {value.name for value in vars(erasure).values() if isinstance(value, Table)}
    # References, feedback and notes of what is to be erased hold no text.
    assert set(named.split(", ")) == touched - {"carrier_refs", "records", "erasures"}


def settings_in(text: str) -> set[str]:
    names = set(re.findall(rf"\b{PREFIX}[A-Z_]+", text))
    return {n.removeprefix(PREFIX).lower() for n in names if not FOREIGN_VARIABLES.fullmatch(n)}


@pytest.mark.parametrize(
    "name",
    [
        *("compose.yaml", "compose.env.example", "Dockerfile", "trunkline.service"),
        *("../docs/how-to/deploy.md", "../docs/how-to/scale-out.md"),
        *("../docs/how-to/operate.md", "../docs/how-to/back-up.md"),
    ],
)
def test_every_setting_that_is_named_exists(name: str) -> None:
    """A variable that is no setting would stop the start."""
    assert settings_in((DEPLOY / name).read_text()) <= set(Config.model_fields)


def test_the_nodes_of_compose_differ_in_their_name_alone() -> None:
    """Symmetrical nodes share one description; each has its own directory."""
    nodes = {name: COMPOSE["services"][name] for name in ("node1", "node2", "node3")}
    assert {node["hostname"] for node in nodes.values()} == set(nodes)
    assert len({str(node["volumes"]) for node in nodes.values()}) == 3
    bare = [
        {k: v for k, v in n.items() if k not in {"hostname", "volumes"}} for n in nodes.values()
    ]
    assert bare[0] == bare[1] == bare[2]
    caddy = (DEPLOY / "caddy" / "Caddyfile").read_text()
    asked = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    targets = asked["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == [f"{name}:8800" for name in nodes]
    assert " ".join(targets) in caddy


def test_compose_mounts_files_that_are_there() -> None:
    """Docker would make a directory of a name that leads nowhere."""
    for service in COMPOSE["services"].values():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), source
            else:
                assert source in COMPOSE["volumes"], source


def test_compose_asks_for_every_secret_that_its_example_names() -> None:
    """No secret has a default, and none is missing from the example."""
    asked = set(re.findall(r"\$\{(\w+):\?\}", COMPOSE_TEXT))
    assert re.findall(r"\$\{\w+\}", COMPOSE_TEXT) == []
    example = (DEPLOY / "compose.env.example").read_text()
    assert set(re.findall(r"^(\w+)=", example, re.MULTILINE)) == asked


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    """What is provisioned is where the dashboard and the mounts say."""
    provisioning = DEPLOY / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "trunkline.yaml").read_text())
    boards = yaml.safe_load((provisioning / "dashboards" / "trunkline.yaml").read_text())
    mounts = " ".join(COMPOSE["services"]["grafana"]["volumes"])
    assert boards["providers"][0]["options"]["path"] in mounts
    assert sources["datasources"][0]["type"] == DASHBOARD["templating"]["list"][0]["query"]


def lines(text: str, name: str) -> Mapping[str, str]:
    return dict(re.findall(rf"^({name})=(.*)$", text, re.MULTILINE))


def test_the_unit_gives_the_drain_its_time() -> None:
    """Neither systemd nor Docker kills a server that still drains."""
    seconds = int(lines(UNIT, "TimeoutStopSec")["TimeoutStopSec"])
    longest = next(
        part.le
        for part in Config.model_fields["drain_seconds"].metadata
        if getattr(part, "le", None) is not None
    )
    given = re.findall(r"TRUNKLINE_DRAIN_SECONDS[=:] ?(\d+)", UNIT + COMPOSE_TEXT)
    assert all(int(each) + 30 <= seconds for each in given)
    assert longest >= max(map(int, given))
    assert COMPOSE["services"]["node1"]["stop_grace_period"] == f"{seconds}s"


def test_the_image_is_made_of_what_is_there() -> None:
    """What is copied exists, nothing runs as root, and health is asked for where it is."""
    for names in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((TOP / name).exists() for name in names.split()), names
    assert re.search(r"^USER \d+$", DOCKERFILE, re.MULTILINE)
    assert "/health/live" in DOCKERFILE
    assert DOCKERFILE.count("--require-hashes") == 2


def test_citus_places_every_table() -> None:
    """A table that is neither distributed nor replicated would stay on one machine, and joins to it
    would be refused."""
    placed = re.findall(r"(?:distributed|reference)_table\(\s*'(\w+)'", CITUS)
    local = re.findall(r"^-- local: (\w+)", CITUS, re.MULTILINE)
    assert sorted([*placed, *local]) == sorted(metadata.tables)


def test_citus_distributes_by_a_column_of_the_primary_key() -> None:
    """Citus refuses a table whose key does not hold the column it is distributed by."""
    rows = re.findall(r"distributed_table\(\s*'(\w+)',\s*'(\w+)'", CITUS)
    assert rows
    for table, column in rows:
        keys = [key.name for key in metadata.tables[table].primary_key]
        assert column in keys, table
