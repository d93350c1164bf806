"""What the benchmarks say of their figures: goals met and missed, and what was not measured."""

import json
from pathlib import Path

import pytest

from bench.report import GOALS, LAST, SECTIONS, Goal, render

MORE = Goal(text="speed", path="a/b", limit=2.0, more_is_better=True)
LESS = Goal(text="wait", path="a/b", limit=10.0)


@pytest.mark.parametrize(
    ("goal", "value", "said"),
    [
        (MORE, 2.0, "met"),
        (MORE, 1.0, "missed: 50% of it"),
        (LESS, 10.0, "met"),
        (LESS, 25.0, "missed: 2.5 times it"),
    ],
)
def test_a_goal_says_by_how_much_it_is_missed(goal: Goal, value: float, said: str) -> None:
    """Some goals are to be exceeded and others not."""
    assert goal.judge(value) == said


def test_a_goal_finds_its_figure_or_none() -> None:
    """What was not measured is no zero."""
    assert LESS.found({"a": {"b": 3}}) == 3.0
    assert LESS.found({"a": {}}) is None
    assert LESS.found({"a": 1}) is None


def test_every_goal_is_of_a_scenario_that_has_a_section() -> None:
    """A goal whose path is misspelt would never be measured."""
    assert {goal.path.split("/")[0] for goal in GOALS} <= set(SECTIONS)


def test_goals_of_the_last_run_have_their_figures() -> None:
    """Only contenders that were not there leave goals without a figure."""
    results = json.loads(LAST.read_text())
    absent = results["end_to_end"]["results"]["missing"]
    unknown = [goal.path for goal in GOALS if goal.found(results) is None]
    assert [path for path in unknown if not any(name in path for name in absent)] == []


def test_a_run_of_one_scenario_makes_a_page(tmp_path: Path) -> None:
    """The page has what was measured, and says of the goals what was not."""
    last = json.loads(LAST.read_text())
    path = tmp_path / "last.json"
    path.write_text(json.dumps({"accept": last["accept"]}))
    page = render(path)
    assert "## Accepting alone" in page
    assert "## The store alone" not in page
    assert "not measured" in page
