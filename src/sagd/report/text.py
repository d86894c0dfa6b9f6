"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagd.errors import argument
from sagd.report.wording import Interval, counted, metric, number

Results = Mapping[str, Any]
Figures = Mapping[str, float | None]

_FAR = 5.0
"""Times its floor from which a distance is called far."""


def evaluation_text(evaluation: Results, figures: Figures, floors: Figures) -> str:
    """Figures of one evaluation beside their floors."""
    rows = [["figure", "value", "floor", "better"]]
    for name, value in figures.items():
        rows.append([metric(name).label, number(value), number(floors[name]), metric(name).better or ""])
    interval = evaluation["figure"]["frechet_interval"]
    notes = [
        f"{evaluation['n']} images each of samples and of two disjoint real sets; features: {evaluation['features']}",
        "floor: the same figure for real images in place of samples",
    ]
    if interval:
        notes.insert(0, f"Fréchet distance, 95 % interval at this sample size: {interval[0]:.3g} to {interval[1]:.3g}")
    if "likelihood" in evaluation:
        bits = evaluation["likelihood"]
        error = bits["standard_error"]
        spread = f"{bits['bits_per_dim']:.3f}" + (f" ± {error:.3f} (standard error)" if error is not None else "")
        notes.insert(0, f"bits per dimension of {bits['n']} dequantised reference images: {spread}")
    return "\n".join([table(rows), "", *notes, *_far(figures, floors)])


def _far(figures: Figures, floors: Figures) -> list[str]:
    """A word where the samples are easily told from real images."""
    figure, floor = figures.get("frechet"), floors.get("frechet")
    if figure is None or floor is None or not figure > _FAR * floor > 0:
        return []
    return [
        f"The Fréchet distance is {figure / floor:.0f} times its floor: far from the data. More training"
        f" (training.steps, with {argument('resume=True')}) or a larger network (network.widths) is what usually helps."
    ]


def comparison_text(results: Results) -> str:
    """Means over seeds of every arm, beside the floors, with paired differences to the reference arm."""
    reference = results["reference_arm"]
    names = list(results["floors"])
    seeds = len(results["arms"][reference]["runs"])
    rows = [["arm", *(metric(name).label for name in names)]]
    for arm, entry in results["arms"].items():
        rows.append([arm, *(number(entry["summary"][name]["mean"]) for name in names)])
        if seeds > 1 and entry["difference"] is not None:
            differences = [Interval.read(entry["difference"][name]) for name in names]
            rows.append([f"  minus {reference}", *(d.span(d.places(2), sign=True) or "–" for d in differences)])
    rows.append(["real images (floor)", *(number(results["floors"][name]) for name in names)])
    note = f"n = {results['metrics']['n']} images a side, {counted(seeds, 'seed')}"
    if seeds == 1:
        note += ": one seed cannot tell arms apart; add seeds for intervals"
    else:
        note += "; differences are paired by seed, with 95 % intervals"
    return f"{table(rows)}\n{note}"


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
