"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagd.data.kinds import Kind
from sagd.errors import argument
from sagd.metrics.evaluate import FAR
from sagd.report.subject import subject_of
from sagd.report.tables import doubts
from sagd.report.wording import LEVEL, Interval, counted, family_note, metric, number, precision_note

Results = Mapping[str, Any]
Figures = Mapping[str, float | None]

_MOST_OF_IT = 0.5
"""Share of a distance from which on the training data's own is called the reason."""
_ABREAST = 5
"""Figures side by side in one table."""


def evaluation_text(evaluation: Results, figures: Figures, floors: Figures) -> str:
    """Figures of one evaluation beside their floors."""
    called = Kind.member(evaluation.get("kind", "image")).item
    items = called[1]
    rows = [["figure", "value", "floor", "better"]]
    for name, value in figures.items():
        rows.append([metric(name, called).label, number(value), number(floors[name]), metric(name).better or ""])
    interval = evaluation["figure"]["frechet_interval"]
    spectral = [evaluation.get(part, {}).get("spectral", {}).get("rms_db_interval") for part in ("figure", "floor")]
    notes = [
        f"{evaluation['n']} {items} each of samples and of two disjoint real sets; features:"
        f" {features_text(evaluation['features'])}",
        f"floor: the same figure for real {items} in place of samples",
    ]
    if interval:
        notes.insert(0, f"Fréchet distance, 95 % interval at this sample size: {interval[0]:.3g} to {interval[1]:.3g}")
    if all(spectral):
        ours, real = (f"{low:.2g} to {high:.2g} dB" for low, high in spectral)
        notes.insert(
            -2, f"spectral error with infinitely many {items}, 95 % interval: {ours}; of real {items} in place: {real}"
        )
    if "likelihood" in evaluation:
        bits = evaluation["likelihood"]
        error = bits["standard_error"]
        spread = f"{bits['bits_per_dim']:.3f}" + (f" ± {error:.3f} (standard error)" if error is not None else "")
        notes.insert(0, f"bits per dimension of {bits['n']} dequantised reference {items}: {spread}")
    doubt = precision_note(figures, floors, items)
    return "\n".join([table(rows), "", *notes, *([doubt] if doubt else []), *_far(evaluation, figures, floors)])


def _far(evaluation: Results, figures: Figures, floors: Figures) -> list[str]:
    """A word where the samples are easily told from real images, and what may help: that of the training data, which a
    model comes no nearer than, says whether it is training."""
    figure, floor = figures.get("frechet"), floors.get("frechet")
    if figure is None or floor is None or not figure > FAR * floor > 0:
        return []
    far, trained = f"The Fréchet distance is {figure / floor:.0f} times its floor", evaluation.get("trained")
    beside = "" if trained is None else f", that of the training data itself {trained['frechet'] / floor:.0f} times"
    if trained is not None and trained["frechet"] > _MOST_OF_IT * figure:
        items = Kind.member(evaluation.get("kind", "image")).item[1]
        return [
            f"{far}{beside}: the reference differs from what was trained on, and more training hardly helps; train on"
            f" more {items}, or such as the reference has."
        ]
    return [
        f"{far}{beside}: far from the data. More training (training.steps, with {argument('resume=True')}) or a larger"
        " network (network.widths) is what usually helps."
    ]


def features_text(name: str) -> str:
    """What features are called, and what that means where it is not plain."""
    return f"{name} (fixed filters; no labels needed)" if name == "labelless" else name


def comparison_text(results: Results) -> str:
    """Means over seeds of every arm, beside the floors, with paired differences to the reference arm."""
    reference = results["reference_arm"]
    names, called = list(results["floors"]), subject_of(results).called
    seeds = len(results["arms"][reference]["runs"])
    blocks = [_means(results, names[i : i + _ABREAST], seeds) for i in range(0, len(names), _ABREAST)]
    note = (
        f"n = {results['metrics']['n']} {called[1]} a side, features: {features_text(results['metrics']['features'])},"
        f" {counted(seeds, 'seed')}"
    )
    if seeds == 1:
        note += ": one seed cannot tell arms apart; add seeds for intervals"
    else:
        note += "; differences are paired by seed, with 95 % intervals"
    tested = family_note(results.get("tests"), called).replace("\u00a0", " ")
    notes = [note, *([f"*: shown to differ. {tested}"] if tested else [])]
    return "\n".join(["\n\n".join(blocks), *notes, *(f"{arm}: {doubt}" for arm, doubt in doubts(results).items())])


def _means(results: Results, names: Sequence[str], seeds: int) -> str:
    """Means of some figures, a row an arm, with the differences to the reference and the floors."""
    reference = results["reference_arm"]
    called = subject_of(results).called
    rows = [["arm", *(metric(name, called).label for name in names)]]
    for arm, entry in results["arms"].items():
        rows.append([arm, *(number(entry["summary"][name]["mean"]) for name in names)])
        if seeds > 1 and entry["difference"] is not None:
            rows.append([f"  minus {reference}", *(_span(entry, name) for name in names)])
    rows.append([f"real {called[1]} (floor)", *(number(results["floors"][name]) for name in names)])
    return table(rows)


def _span(entry: Results, name: str) -> str:
    """Interval of a difference, with a star where it holds among all tests."""
    difference, adjusted = Interval.read(entry["difference"][name]), entry.get("adjusted", {}).get(name)
    star = "*" if adjusted is not None and adjusted < LEVEL else ""
    return (difference.span(difference.places(2), sign=True) or "–") + star


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns: the first left-aligned, the others right.

    >>> print(table([["arm", "x"], ["white", "1.25"]]))
    arm       x
    white  1.25
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
