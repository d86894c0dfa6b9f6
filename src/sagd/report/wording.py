"""Numbers and sentences of the report. Sentences claim no more than the intervals show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

NO_DIFFERENCE = "no difference shown"


@dataclass(frozen=True)
class Metric:
    """What is said about a figure of merit.

    Attributes:
        label: Its name.
        better: Which values are better; None if that is not known.
        meaning: One sentence for a newcomer.
    """

    label: str
    better: Literal["lower", "higher"] | None
    meaning: str


METRICS = {
    "frechet": Metric(
        "Fréchet distance",
        "lower",
        "How far apart generated and real images lie in feature space, each set taken as a Gaussian cloud.",
    ),
    "kernel": Metric(
        "Kernel distance",
        "lower",
        "The same question without assuming the shape of the clouds; it is unbiased, so it can fall below zero.",
    ),
    "precision": Metric("Precision", "higher", "Share of generated images that lie among real ones: realism."),
    "recall": Metric("Recall", "higher", "Share of real images that lie among generated ones: variety."),
    "spectral_rms_db": Metric(
        "Spectral error (dB)",
        "lower",
        "How far the power of generated images is from that of real ones over all bands; 3 dB is a factor of 2.",
    ),
    "spectral_mean_error": Metric(
        "Error of the mean image",
        "lower",
        "Difference between the average generated and the average real image, in standard deviations of the data.",
    ),
}
"""Figures of merit in the order of the page; the first one measured decides the answer."""


def metric(name: str) -> Metric:
    """What is known about the figure called `name`; a bare label for one that is not known."""
    return METRICS.get(name, Metric(name, None, ""))


def places(*values: float | None, digits: int = 3) -> int:
    """Decimals that give the largest of `values` so many significant digits.

    >>> places(24.93, 0.5), places(0.0213), places(None, 1234.0)
    (1, 4, 0)
    """
    largest = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=0)
    return max(0, digits - 1 - math.floor(math.log10(largest))) if largest > 0 else 0


def number(value: float | None, decimals: int | None = None, sign: bool = False) -> str:
    """A number as text, to three significant digits or so many `decimals`.

    >>> number(1234.5), number(0.04321), number(0.5, 1), number(-1.25), number(12), number(2.1e-7), number(None)
    ('1,234', '0.0432', '0.5', '−1.25', '12', '2.1e−07', '–')
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "not finite"
    if isinstance(value, int):
        return f"{value:,}"
    decimals = places(value) if decimals is None else decimals
    form = ".2g" if decimals > 7 else f"z,.{decimals}f"
    return f"{value:{'+' if sign else ''}{form}}".replace("-", "−")


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95 % interval, which one seed does not have."""

    mean: float | None
    low: float | None
    high: float | None

    @classmethod
    def read(cls, mapping: Mapping[str, Any]) -> Interval:
        """From `{"mean", "low", "high"}`."""
        return cls(mapping["mean"], mapping["low"], mapping["high"])

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and zero lies outside it."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def places(self, digits: int) -> int:
        """Decimals that give the largest of the three so many significant digits and keep both ends off zero."""
        nearest = min(abs(self.low or 0), abs(self.high or 0)) if self.excludes_zero else None
        return max(places(self.mean, self.low, self.high, digits=digits), places(nearest, digits=1))

    def span(self, decimals: int, sign: bool = False) -> str:
        """`low to high`; empty without an interval."""
        if self.low is None or self.high is None:
            return ""
        return f"{number(self.low, decimals, sign)} to {number(self.high, decimals, sign)}"


def verdict(difference: Interval, better: str | None) -> str:
    """'better' or 'worse' ('lower' or 'higher' if it is not known which is better), or that no difference is shown."""
    if not difference.excludes_zero or difference.mean is None:
        return NO_DIFFERENCE
    direction = "lower" if difference.mean < 0 else "higher"
    if better is None:
        return direction
    return "better" if direction == better else "worse"


def answer(metric: Metric, reference: str, seeds: int, differences: Mapping[str, Interval | None]) -> str:
    """The outcome of a comparison in one sentence.

    Args:
        metric: The figure of merit that decides.
        reference: Arm that differences are taken to.
        seeds: Runs of every arm.
        differences: Arm -> paired difference to the reference, for every other arm.
    """
    if not differences:
        return f"Only {reference} was run, so there is nothing to compare it with."
    if seeds < 2:
        return "No difference shown: with one seed per process, any difference between them may be chance."
    arms: dict[str, list[str]] = {}
    for arm, difference in differences.items():
        arms.setdefault(verdict(difference, metric.better) if difference else NO_DIFFERENCE, []).append(arm)
    unclear = arms.pop(NO_DIFFERENCE, [])
    clauses = [f"{joined(a)} {'is' if len(a) == 1 else 'are'} {word} than {reference}" for word, a in arms.items()]
    if unclear:
        clauses.append(f"no difference between {reference} and {joined(unclear, 'or')} is shown")
    return f"By {metric.label} over {seeds} seeds, {joined(clauses)}."


def values(
    metric: Metric,
    means: Mapping[str, float | None],
    differences: Mapping[str, Interval | None],
    floor: float | None,
) -> str:
    """The values behind an answer."""
    # More than a few intervals make a list, which is the table's business.
    asides = {arm: _aside(difference) for arm, difference in differences.items() if len(means) <= 4}
    parts = [f"{arm} {number(mean)}{asides.get(arm, '')}" for arm, mean in means.items()]
    direction = f" ({metric.better} is better)" if metric.better else ""
    beside = "" if floor is None else f" Real images against other real images: {number(floor)}."
    return f"{metric.label}{direction}: {joined(parts)}.{beside}"


def _aside(difference: Interval | None) -> str:
    if difference is None or difference.low is None:
        return ""
    decimals = difference.places(2)
    mean, span = number(difference.mean, decimals, sign=True), difference.span(decimals, sign=True)
    return f" (difference {mean}, 95\u00a0% interval {span})"


def joined(parts: Sequence[str], word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def counted(count: int, noun: str, ending: str = "s") -> str:
    """`1 seed`, `3 seeds`."""
    return f"{count:,} {noun}{ending if count != 1 else ''}"
