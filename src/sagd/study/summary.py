"""Means over seeds and paired differences between arms, with Student-t intervals.

Runs of two arms with one seed share initial weights, data order and white draws, so their difference is taken seed by
seed before averaging.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sagd.optional import need

Interval = dict[str, float | None]
"""`mean`, `low`, `high`: a mean over seeds and its confidence interval; None for what cannot be said."""
Figures = Mapping[str, float | None]


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


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
