"""Means over seeds and paired differences between arms, with Student-t intervals, and which of many differences hold.

Runs of two arms with one seed share initial weights, data order and white draws, so their difference is taken seed by
seed before averaging.

Each interval has its level by itself. That an arm is better or worse is said of a few headline figures alone, by paired
t-tests whose p-values are adjusted together, over all arms and these figures, by Holm's method: whatever is true, the
chance of even one wrong word is at most 5 %, however the tests depend on each other.

Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sagd.optional import need

Interval = dict[str, float | None]
"""`mean`, `low`, `high`: a mean over seeds and its confidence interval; None for what cannot be said."""
Figures = Mapping[str, float | None]
HEADLINE = ("frechet", "recall", "spectral_rms_db", "sliced")
"""Figures of merit that are tested: features, variety, spectrum and local structure. Others are described."""
LEVEL = 0.05
"""Chance of even one wrong verdict in a comparison, at most."""


def interval(values: Sequence[float | None], level: float = 0.95) -> Interval:
    """Mean and Student-t interval of independent values; a single value has no interval, a missing one spoils both.

    >>> interval([1.0, 2.0, 3.0])["mean"]
    2.0
    >>> interval([1.0])
    {'mean': 1.0, 'low': None, 'high': None}
    """
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return {"mean": None, "low": None, "high": None}
    mean = float(np.mean(known))
    if len(known) < 2:
        return {"mean": mean, "low": None, "high": None}
    need("scipy")
    from scipy import stats

    reach = float(stats.t.ppf((1 + level) / 2, len(known) - 1) * stats.sem(known))
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def summarise(values: Mapping[str, Mapping[int, Figures]], reference: str) -> dict[str, dict]:
    """Summary and paired difference of every arm.

    Args:
        values: Arm -> seed -> metric -> value.
        reference: Arm that differences are taken to.

    Returns:
        Arm -> `{"summary": {metric: interval}, "difference": {metric: interval} or None for the reference}`.
    """
    base = values[reference]
    out: dict[str, dict] = {}
    for arm, runs in values.items():
        metrics = list(next(iter(runs.values())))
        summary = {m: interval([run[m] for run in runs.values()]) for m in metrics}
        paired = {m: interval([_difference(run[m], base[seed][m]) for seed, run in runs.items()]) for m in metrics}
        out[arm] = {"summary": summary, "difference": None if arm == reference else paired}
    return out


@dataclass(frozen=True)
class Family:
    """Tests of the differences of all arms to the reference, by their headline figures.

    Attributes:
        figures: Headline figures that were measured.
        count: Tests made; those of what was not finite, or of one seed, are none.
        adjusted: Arm -> figure -> Holm's adjusted p-value, to be held against `LEVEL`; None where there is no test.
    """

    figures: tuple[str, ...]
    count: int
    adjusted: dict[str, dict[str, float | None]]


def family(values: Mapping[str, Mapping[int, Figures]], reference: str) -> Family:
    """The tests of a comparison, adjusted together.

    Args:
        values: Arm -> seed -> metric -> value.
        reference: Arm that differences are taken to.
    """
    base = values[reference]
    measured = next(iter(base.values()))
    names = tuple(name for name in HEADLINE if name in measured)
    pairs = {
        (arm, name): p_value([_difference(run[name], base[seed][name]) for seed, run in runs.items()])
        for arm, runs in values.items()
        for name in names
        if arm != reference
    }
    tested = {pair: p for pair, p in pairs.items() if p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    by_arm = {arm: {name: adjusted.get((arm, name)) for name in names if arm != reference} for arm in values}
    return Family(names, len(tested), by_arm)


def p_value(values: Sequence[float | None]) -> float | None:
    """Two-sided p-value of Student's t-test that independent values have mean zero; None if one is missing, or of one.

    >>> round(p_value([1.0, 2.0, 3.0]), 4)
    0.0742
    """
    known = [v for v in values if v is not None]
    if len(known) < len(values) or len(known) < 2:
        return None
    need("scipy")
    from scipy import stats

    mean, error = float(np.mean(known)), float(stats.sem(known))
    if error == 0:
        return 0.0 if mean else 1.0
    return float(2 * stats.t.sf(math.fabs(mean) / error, len(known) - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: the smallest times their number, the next times one less, and none below one before.

    >>> holm([0.03, 0.01, 0.5])
    [0.06, 0.03, 0.5]
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = least
    return adjusted


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
