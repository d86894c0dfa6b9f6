"""The numbers of a comparison as text: its outcome, a table for every figure of merit, and one for single runs.

An evaluation holds `figure` (samples against real images) and `floor` (real images in the samples' place), alike in
form: plain numbers, `{"value", "standard_error"}`, and `spectral` with errors of the power spectrum. A `NAME_interval`
beside `NAME`, and a standard error, cover the chance in drawing images only; intervals over seeds cover training too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagd.data.drawing import Style
from sagd.metrics import SCALARS
from sagd.report import figures, wording
from sagd.report.figures import Estimate
from sagd.report.pictures import Picture, plot
from sagd.report.subject import subject_of
from sagd.report.wording import Interval, Metric, number

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One arm in the table of a figure of merit, as text; empty where there is nothing to say."""

    arm: str
    value: str
    span: str
    difference: str
    difference_span: str
    verdict: str


@dataclass(frozen=True)
class Table:
    """One figure of merit of all arms beside its floor."""

    metric: Metric
    rows: tuple[Row, ...]
    floor: str
    floor_span: str
    picture: Picture


@dataclass(frozen=True)
class Runs:
    """Figures and training record of every run, as text; rows are (arm, seed, values)."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[str, ...]], ...]


def seeds(results: Results) -> int:
    """Runs of every arm."""
    return min(len(entry["runs"]) for entry in results["arms"].values())


def outcome(results: Results) -> tuple[str, str]:
    """The answer by the first figure of merit in one sentence, and the values behind it."""
    names, arms, reference = _metric_names(results), results["arms"], results["reference_arm"]
    if not names:
        return "No difference shown: no figure of merit was measured.", ""
    called = subject_of(results).called
    metric = wording.metric(names[0], called)
    differences = {arm: _difference(entry, names[0]) for arm, entry in arms.items() if arm != reference}
    means = {arm: entry["summary"][names[0]]["mean"] for arm, entry in arms.items()}
    floor = results.get("floors", {}).get(names[0])
    sentence = wording.answer(metric, reference, seeds(results), differences)
    return sentence, wording.values(metric, means, differences, floor, called[1])


def tables(results: Results, looks: Mapping[str, Style]) -> tuple[Table, ...]:
    """One table per figure of merit."""
    return tuple(_table(results, looks, name) for name in _metric_names(results))


def doubts(results: Results) -> dict[str, str]:
    """Arm -> why its precision means nothing; arms of which there is nothing to say are left out."""
    floors, (_, items) = results.get("floors", {}), subject_of(results).called
    notes = {
        arm: wording.precision_note({name: s["mean"] for name, s in entry.get("summary", {}).items()}, floors, items)
        for arm, entry in results["arms"].items()
    }
    return {arm: note for arm, note in notes.items() if note}


def runs(results: Results) -> Runs:
    """Every run on its own."""
    names, called = _metric_names(results), subject_of(results).called
    records = tuple(results["arms"][results["reference_arm"]]["runs"][0].get("training", {}))
    rows = []
    for arm, entry in results["arms"].items():
        for run in entry["runs"]:
            texts = (_measured_text(run, "figure", name) for name in names)
            measured = (f"{value} ({chance})" if chance else value for value, chance in texts)
            training = (number(run.get("training", {}).get(record)) for record in records)
            rows.append((arm, run["seed"], (*measured, *training)))
    labels = (wording.metric(name, called).label for name in names)
    return Runs((*labels, *(r.replace("_", " ") for r in records)), tuple(rows))


def _table(results: Results, looks: Mapping[str, Style], name: str) -> Table:
    metric = wording.metric(name, subject_of(results).called)
    arms, floor = results["arms"], results.get("floors", {}).get(name)
    estimates = {arm: _estimate(entry, name) for arm, entry in arms.items()}
    values = "; ".join(f"{arm} {number(entry['summary'][name]['mean'])}" for arm, entry in arms.items())
    picture = plot(
        figures.intervals_figure(estimates, looks, "", floor),
        f"{metric.label} by process: {values}; floor {number(floor)}.",
    )
    decimals = max(Interval.read(entry["summary"][name]).places(3) for entry in arms.values())
    rows = tuple(_row(arm, entry, name, decimals) for arm, entry in arms.items())
    first = arms[results["reference_arm"]]["runs"][0]
    value, chance = _measured_text(first, "floor", name)
    return Table(metric, rows, value if chance else number(floor), chance, picture)


def _row(arm: str, entry: Results, name: str, decimals: int) -> Row:
    summary, difference = Interval.read(entry["summary"][name]), _difference(entry, name)
    span = summary.span(decimals) or _measured_text(entry["runs"][0], "figure", name, decimals)[1]
    value = number(summary.mean, decimals)
    if difference is None:
        return Row(arm, value, span, "", "", "")
    verdict = wording.verdict(difference, wording.metric(name).better)
    few = max(difference.places(1), min(difference.places(2), decimals))
    return Row(arm, value, span, number(difference.mean, few, sign=True), difference.span(few, sign=True), verdict)


def _metric_names(results: Results) -> list[str]:
    """Figures of merit, those with a known meaning first and in its order."""
    found = results["arms"][results["reference_arm"]].get("summary", {})
    return [n for n in wording.METRICS if n in found] + [n for n in found if n not in wording.METRICS]


def _difference(entry: Results, name: str) -> Interval | None:
    differences, adjusted = entry.get("difference"), entry.get("adjusted")
    if not differences:
        return None
    if adjusted is None:  # results without tests
        return Interval.read(differences[name])
    return Interval.read(differences[name], name in adjusted, adjusted.get(name))


def _estimate(entry: Results, name: str) -> Estimate:
    summary = entry["summary"][name]
    measured = (_measured(run, "figure", name) for run in entry["runs"])
    points = (m["value"] if isinstance(m, Mapping) else m for m in measured)
    mean = math.nan if summary["mean"] is None else summary["mean"]
    return Estimate(mean, summary["low"], summary["high"], tuple(p for p in points if p is not None))


def _measured(run: Results, part: str, name: str) -> Any:
    """A figure of one run, or its floor, as recorded: a number, value and standard error, or None."""
    return _recorded(run, part, SCALARS.get(name, (name,)))


def _recorded(run: Results, part: str, path: Sequence[str]) -> Any:
    found = run.get("evaluation", {}).get(part)
    for key in path:
        found = (found or {}).get(key)
    return found


def _measured_text(run: Results, part: str, name: str, decimals: int | None = None) -> tuple[str, str]:
    """The same as text, and the chance in drawing images beside it (empty if not recorded)."""
    *above, last = SCALARS.get(name, (name,))
    value, interval = _measured(run, part, name), _recorded(run, part, (*above, f"{last}_interval"))
    if isinstance(value, Mapping):
        decimals = wording.places(value["standard_error"], digits=2)
        return number(value["value"], decimals), f"± {number(value['standard_error'], decimals)}"
    around = Interval(value, *(interval or (None, None)))
    decimals = around.places(3) if decimals is None else decimals
    return number(value, decimals), around.span(decimals)
