"""The benchmarks run to their end and write what they say; how fast they are is no test's business."""

import json
from pathlib import Path

import numpy as np
import pytest

from sagd.catalogue import catalogue
from sagd.spectrum import Spectrum

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


LIMITS = {
    "noise": [2.5, 1, 1, 1],
    "spectra": [1.05],
    "bases": [1, 1],
    "dense": [],
    "sampling": [1.15],
    "training": [1.03, 1],
    "startup": [1],
}


def test_all_studies_run_and_state_every_demand(speed, tmp_path, capsys):
    speed(["--quick", "--out", str(tmp_path)])
    assert {path.stem for path in tmp_path.iterdir()} == set(LIMITS)
    printed = capsys.readouterr().out
    for study, limits in LIMITS.items():
        results = json.loads((tmp_path / f"{study}.json").read_text())
        page = (tmp_path / f"{study}.md").read_text()
        assert {"machine", "versions", study} == set(results)
        assert {"torch", "diffusers", "sagd"} <= set(results["versions"])
        demands = results[study]["demands"]
        assert [demand["limit"] for demand in demands] == limits
        for demand in demands:
            assert f"| {demand['text']} |" in page
            assert f"| {demand['text']} |" in printed
            assert demand["measured"]["median"] > 0


def test_named_studies_alone(speed, tmp_path):
    speed(["dense", "startup", "--quick", "--out", str(tmp_path / "new")])
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {"dense.json", "dense.md", "startup.json", "startup.md"}


def test_every_kind_of_spectrum_is_drawn(timing):
    """A kind that joins the library joins the study."""
    from benchmarks.speed.spectra import CLASSES, MORE

    def kinds(spectrum):
        return {spectrum.kind}.union(*(kinds(part) for part in spectrum.parts))

    entries = [entry for entry in (*catalogue((3, 8, 8), CLASSES), *MORE) if entry.process.basis == "fourier"]
    drawn = set().union(*(kinds(Spectrum.parse(entry.process.spectrum)) for entry in entries))
    ours = {name for name in Spectrum.kinds() if Spectrum._members[name].__module__ == "sagd.spectrum"}
    assert drawn | {"tabulated"} == ours  # whitening becomes a table once it is resolved


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


def test_slowest_is_found_and_measured_in_different_rounds(timing):
    """One chance outlier makes `b` the slowest where it is looked for, and is left out where it is measured."""
    times = {"a": np.array([2.0, 2.0, 2.0, 2.0]), "b": np.array([9.0, 1.0, 9.0, 1.0]), "c": np.ones(4)}
    name, over = timing.slowest(times, ["a", "b"], "c")
    assert (name, over.median, over.rounds) == ("b", 1, 2)


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
