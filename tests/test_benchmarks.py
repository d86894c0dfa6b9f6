"""The benchmarks run to their end and write what they say; how fast they are is no test's business."""

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def timing(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.speed import timing

    return timing


@pytest.fixture
def speed(timing):
    from benchmarks.speed.__main__ import main

    return main


def test_speed_runs_and_states_every_demand(speed, tmp_path, capsys):
    speed(["all", "--quick", "--out", str(tmp_path)])
    results = json.loads((tmp_path / "all.json").read_text())
    page = (tmp_path / "all.md").read_text()
    assert {"machine", "versions", "noise", "training", "startup"} == set(results)
    assert {"torch", "diffusers", "sagd"} <= set(results["versions"])
    demands = [demand for study in ("noise", "training", "startup") for demand in results[study]["demands"]]
    assert [demand["limit"] for demand in demands] == [2.5, 1, 1, 1, 1.03, 1, 1]
    assert all(f"| {demand['text']} |" in page and demand["measured"]["median"] > 0 for demand in demands)
    assert demands[0]["text"] in capsys.readouterr().out


def test_one_study_alone(speed, tmp_path):
    speed(["noise", "--quick", "--out", str(tmp_path / "new")])
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"noise.json", "noise.md"}


def test_every_action_is_timed_once_a_round(timing):
    calls = []
    actions = {name: lambda name=name: calls.append(name) for name in "abc"}
    times = timing.alternate(actions, rounds=4, warmup=2)
    assert [sorted(calls[i : i + 3]) for i in range(0, 18, 3)] == [["a", "b", "c"]] * 6
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 4, "b": 4, "c": 4}


def test_ratio_is_taken_within_rounds(timing):
    """A drift of the whole machine, which the quotient of the medians would not survive, leaves it exact."""
    drift = np.array([1.0, 50.0, 2.0, 9.0, 1.0, 4.0, 30.0])
    summary = timing.ratio({"a": 3 * drift, "b": drift}, "a", "b")
    assert (summary.median, summary.low, summary.high) == pytest.approx((3, 3, 3))


def test_interval_of_the_median(timing):
    """Of ten values the sign test's 95 % interval is from the second to the ninth: 1 - 2 * 11/1024 = 97.9 %."""
    summary = timing.Summary.of(range(1, 11))
    assert (summary.median, summary.low, summary.high) == (5.5, 2, 9)
    assert timing.Summary.of([1.0, 2.0]).low is None


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.8, 1.0, "met"), (1.01, 1.2, "not met"), (0.9, 1.1, "undecided"), (None, None, "undecided")],
)
def test_verdict_needs_the_whole_interval(timing, low, high, verdict):
    measured = timing.Summary(0.95, low, high, 0.9, 1.0, rounds=10)
    assert timing.Demand("some cost", measured, limit=1.0).verdict == verdict
