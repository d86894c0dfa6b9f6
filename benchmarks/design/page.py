"""The page of a scale, drawn from its lines."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from benchmarks.design.arms import WHITE
from benchmarks.design.data import SETS
from benchmarks.design.run import RINGS, SCALES, Setting
from sagd.designs.search import FEW, HEUN
from sagd.report.wording import number

Line = Mapping[str, Any]
FIGURES = {
    "spectral_rms_db": f"Error of the spectrum over {RINGS} rings, dB",
    "flatness": "Flatness of increments of one place",
    "ring_flatness_rms_db": "Error of the flatness by ring, dB",
    "frechet": "Fréchet distance of label-free features",
    "told_apart": "Share told apart by the highest 5 % of the frequencies",
}
"""What the page shows, in this order."""
_COMPARED = ("spectral_rms_db", "frechet", "ring_flatness_rms_db")
"""Figures of which less is better, and differences are shown."""


def write(setting: Setting, lines: Sequence[Line]) -> Path:
    """Write it; returns its path."""
    scale = SCALES[setting.scale]
    parts = [
        f"# Which noise for which data, {setting.scale}",
        f"{scale.steps:,} steps of {scale.batch} fields, a U-Net as large for all arms of a set, {scale.draws} samples"
        " against as many held-out fields; means over seeds. The floor compares held-out fields with others of them,"
        " and `training data` has training fields in the place of samples. Heun's method takes an odd number of"
        " evaluations, one less than the column says where that is even. Every arm is drawn from in several ways"
        " (sampler, grid), and every figure is that of the way with the least error of the spectrum at so many"
        f" evaluations, on the mean of the seeds; up to {FEW} evaluations Heun's method, which `sagd design` does not"
        f" advise there, counts only where there is no other. *{WHITE}, best* is so chosen among all recipes of white"
        " noise.",
    ]
    for name in SETS:
        of = [line for line in lines if line["data"] == name]
        if of:
            parts += _set(name, of)
    path = setting.out / f"{setting.scale}.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


Chosen = tuple[str, str, dict[int, Mapping[str, Any]]]
"""Arm, way, and figures by seed."""


def _set(name: str, lines: Sequence[Line]) -> list[str]:
    arms = _by(lines, lambda line: line["arm"])
    columns = sorted({int(n) for line in lines for way in line["drawn"].values() for n in way})
    first = lines[0]
    chosen = {(arm, n): best(runs, n) for arm, runs in arms.items() for n in columns}
    white = {n: best([line for line in lines if line["group"] == WHITE], n) for n in columns}
    seconds = [line["seconds"]["training"] for line in lines]
    parts = [
        f"## {name}",
        f"{SETS[name].about.capitalize()}; {first['parameters']:,} parameters, {len({line['seed'] for line in lines})}"
        f" seed(s); flatness of the data {number(first['floor']['reference_flatness'])}. Trainings took"
        f" {min(seconds):.0f} to {max(seconds):.0f} s on shared cores.",
    ]
    for figure, label in FIGURES.items():
        rows = [[arm, *(_mean(chosen[arm, n], figure) for n in columns)] for arm in arms]
        if any(white.values()):
            rows.insert(0, [f"*{WHITE}, best*", *(_mean(white[n], figure) for n in columns)])
        for beside in ("floor", "training_data"):
            rows.append([beside.replace("_", " "), *([number(first[beside].get(figure))] * len(columns))])
        parts += [f"### {label}", _table(["arm", *map(str, columns)], rows)]
    parts += _differences(arms, chosen, white, columns)
    parts += ["### Ways that were best", _table(["arm", *map(str, columns)], _ways(arms, chosen, columns))]
    return parts


def _differences(
    arms: Mapping[str, Sequence[Line]],
    chosen: Mapping[tuple[str, int], Chosen | None],
    white: Mapping[int, Chosen | None],
    columns: Sequence[int],
) -> list[str]:
    """Ratios to white noise at its best, seed by seed; with intervals where there are two seeds or more."""
    parts = []
    for figure in _COMPARED:
        rows = []
        for arm, runs in arms.items():
            if runs[0]["group"] == WHITE:
                continue
            cells = [_ratio(chosen[arm, n], white[n], figure) for n in columns]
            if any(cells):
                rows.append([arm, *(cell or "–" for cell in cells)])
        if rows:
            parts += [
                f"### {FIGURES[figure]}, over that of white noise at its best",
                _table(["arm", *map(str, columns)], rows),
            ]
    return parts


def best(runs: Iterable[Line], evaluations: int, figure: str = "spectral_rms_db") -> Chosen | None:
    """Arm, way and figures by seed of what has the least mean of a figure over seeds; None if nothing is finite."""
    found: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = {}
    for line in runs:
        for way, drawn in line["drawn"].items():
            if str(evaluations) in drawn:
                found.setdefault((line["arm"], way), {})[line["seed"]] = drawn[str(evaluations)]
    whole = {
        key: of for key, of in found.items() if all(f["finite"] and f.get(figure) is not None for f in of.values())
    }
    advised = {key: of for key, of in whole.items() if evaluations > FEW or not key[1].startswith(HEUN)}
    whole = advised or whole
    if not whole:
        return None
    most = max(map(len, whole.values()))
    of_all = {key: of for key, of in whole.items() if len(of) == most}
    key = min(of_all, key=lambda key: statistics.mean(f[figure] for f in of_all[key].values()))
    return (*key, of_all[key])


def _mean(chosen: Chosen | None, figure: str) -> str:
    values = [] if chosen is None else [f.get(figure) for f in chosen[2].values()]
    known = [value for value in values if value is not None]
    return number(statistics.mean(known)) if known else "–"


def _ratio(ours: Chosen | None, theirs: Chosen | None, figure: str) -> str | None:
    """Geometric mean of the ratio over the seeds of both, and its 95 % interval by Student's t."""
    if ours is None or theirs is None:
        return None
    seeds = sorted(ours[2].keys() & theirs[2].keys())
    pairs = [(ours[2][seed].get(figure), theirs[2][seed].get(figure)) for seed in seeds]
    logs = [math.log(a / b) for a, b in pairs if a and b and a > 0 and b > 0]
    if len(logs) < 2:
        return f"{math.exp(logs[0]):.2f}" if logs else None
    half = student.ppf(0.975, len(logs) - 1) * statistics.stdev(logs) / len(logs) ** 0.5
    middle = statistics.mean(logs)
    return f"{math.exp(middle):.2f} ({math.exp(middle - half):.2f} to {math.exp(middle + half):.2f})"


def _ways(
    arms: Mapping[str, Any], chosen: Mapping[tuple[str, int], Chosen | None], columns: Sequence[int]
) -> list[list[str]]:
    def named(found: Chosen | None) -> str:
        return "–" if found is None else found[1]

    return [[arm, *(named(chosen[arm, n]) for n in columns)] for arm in arms]


def _by(lines: Iterable[Line], key: Callable[[Line], str]) -> dict[str, list[Line]]:
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(key(line), []).append(line)
    return groups


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
