"""Numbers and sentences of the report. Sentences claim no more than the intervals show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sagd.metrics.evaluate import FAR

IMAGES = ("image", "images")
NO_DIFFERENCE = "no difference shown"
NOT_TESTED = "not tested"
LEVEL = 0.05
"""Adjusted p-value below which a difference is shown."""


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
        "How far apart generated and real {items} lie in feature space, each set taken as a Gaussian cloud.",
    ),
    "kernel": Metric(
        "Kernel distance",
        "lower",
        "The same question without assuming the shape of the clouds; it is unbiased, so it can fall below zero.",
    ),
    "precision": Metric("Precision", "higher", "Share of generated {items} that lie among real ones: realism."),
    "recall": Metric("Recall", "higher", "Share of real {items} that lie among generated ones: variety."),
    "spectral_rms_db": Metric(
        "Spectral error (dB)",
        "lower",
        "How far the power of generated {items} is from that of real ones over all bands; 3 dB is a factor of 2. The"
        " range of a single run is for infinitely many {items}: where it starts at zero, chance alone explains it.",
    ),
    "sliced": Metric(
        "Sliced Wasserstein distance",
        "lower",
        "How far small patches of generated and real {items} are apart along random directions, averaged over scales,"
        " in standard deviations.",
    ),
    "spectral_mean_error": Metric(
        "Error of the mean {item}",
        "lower",
        "Difference between the average generated and the average real {item}, in standard deviations of the data.",
    ),
    "marginal_wasserstein": Metric(
        "Distance of single values",
        "lower",
        "How far single values are off, whatever their place, as by brightness, contrast or clipping; in standard"
        " deviations of the data.",
    ),
    "structure_rms_db": Metric(
        "Structure functions (dB)",
        "lower",
        "How far the size of the differences between values at distances of 1, 2, 4 ... is off; 6 dB is a factor of 2.",
    ),
    "flatness_rms_db": Metric(
        "Flatness of increments (dB)",
        "lower",
        "How far these differences are from being as uneven as in real {items}, many small and few large, as at edges;"
        " no spectrum tells that.",
    ),
    "labelless_kernel": Metric(
        "Kernel distance, label-free",
        "lower",
        "Kernel distance of the features of fixed filters, which no label and no training has shaped.",
    ),
    "spectrogram_kernel": Metric(
        "Kernel distance, spectrograms",
        "lower",
        "Kernel distance of log-spectrograms: which tones there are, how they change, and how steadily.",
    ),
    "ring_flatness_rms_db": Metric(
        "Flatness by scale (dB)",
        "lower",
        "How far what a ring of frequencies holds is from being as uneven as in real {items}; a model that has learnt"
        " the spectrum alone draws Gaussian fields, which are even at every scale.",
    ),
    "told_apart": Metric(
        "Told apart by fine detail",
        "lower",
        "Share of {items}, drawn and real, that a classifier tells rightly by the highest 5 % of the frequencies; 0.5"
        " is guessing.",
    ),
}
"""Figures of merit in the order of the page; the first one measured decides the answer. `metric` names the signals."""


def metric(name: str, called: tuple[str, str] = IMAGES) -> Metric:
    """What is known about the figure called `name`; a bare label for one that is not known.

    Args:
        name: The figure.
        called: What one of the signals is called, and many.

    >>> metric("spectral_mean_error", ("record", "records")).label
    'Error of the mean record'
    """
    known = METRICS.get(name)
    if known is None:
        return Metric(name, None, "")
    item, items = called
    label, meaning = (text.format(item=item, items=items) for text in (known.label, known.meaning))
    return Metric(label, known.better, meaning)


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
    """A mean over seeds and its 95 % interval, which one seed does not have.

    Attributes:
        mean: The mean.
        low: Lower end.
        high: Upper end.
        tested: Of a difference: whether its figure is one of those that are tested.
        adjusted: p-value of that test, adjusted for all tests of the comparison; None if the interval stands alone.
    """

    mean: float | None
    low: float | None
    high: float | None
    tested: bool = True
    adjusted: float | None = None

    @classmethod
    def read(cls, mapping: Mapping[str, Any], tested: bool = True, adjusted: float | None = None) -> Interval:
        """From `{"mean", "low", "high"}`."""
        return cls(mapping["mean"], mapping["low"], mapping["high"], tested, adjusted)

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
    """'better' or 'worse' ('lower' or 'higher' if it is not known which is better), or that no difference is shown.

    A difference that was tested among others must hold after their adjustment too.
    """
    if not difference.tested:
        return NOT_TESTED if difference.low is not None else NO_DIFFERENCE
    by_chance = difference.adjusted is not None and difference.adjusted >= LEVEL
    if not difference.excludes_zero or difference.mean is None or by_chance:
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
    items: str = "images",
) -> str:
    """The values behind an answer."""
    # More than a few intervals make a list, which is the table's business.
    asides = {arm: _aside(difference) for arm, difference in differences.items() if len(means) <= 4}
    parts = [f"{arm} {number(mean)}{asides.get(arm, '')}" for arm, mean in means.items()]
    direction = f" ({metric.better} is better)" if metric.better else ""
    beside = "" if floor is None else f" Real {items} against other real {items}: {number(floor)}."
    return f"{metric.label}{direction}: {joined(parts)}.{beside}"


def _aside(difference: Interval | None) -> str:
    if difference is None or difference.low is None:
        return ""
    decimals = difference.places(2)
    mean, span = number(difference.mean, decimals, sign=True), difference.span(decimals, sign=True)
    return f" (difference {mean}, 95\u00a0% interval {span})"


def precision_note(
    figures: Mapping[str, float | None], floors: Mapping[str, float | None], items: str = "images"
) -> str:
    """Why a precision means nothing, in one sentence; empty where it means something.

    Samples count as precise within balls about real images. Where these lie wide apart, samples that are alike and like
    no image, as noise is, fall within the balls of a few outliers: then precision is as high as that of real images,
    and recall, or the distance, says that the two sets have little in common.
    """
    precision, recall, distance = (_beside(name, figures, floors) for name in ("precision", "recall", "frechet"))
    if precision is None or precision[0] < precision[1]:
        return ""
    reasons = []
    if recall is not None and recall[0] < recall[1] / 2:
        reasons.append(f"recall is {number(recall[0], 2)} where real {items} have {number(recall[1], 2)}")
    if distance is not None and distance[0] > FAR * distance[1] > 0:
        reasons.append(f"the Fréchet distance is {distance[0] / distance[1]:.0f} times its floor")
    if not reasons:
        return ""
    return (
        f"Precision means nothing here ({number(precision[0], 2)}, real {items} {number(precision[1], 2)}), because"
        f" {joined(reasons)}: samples that are all alike lie within reach of a few real {items}."
    )


def _beside(
    name: str, figures: Mapping[str, float | None], floors: Mapping[str, float | None]
) -> tuple[float, float] | None:
    """A figure and its floor, if both are known."""
    figure, floor = figures.get(name), floors.get(name)
    return None if figure is None or floor is None else (figure, floor)


def family_note(tests: Mapping[str, Any] | None, called: tuple[str, str] = IMAGES) -> str:
    """What verdicts are about, and how often they are wrong; empty without tests."""
    if not tests or not tests["count"]:
        return ""
    names = joined([metric(name, called).label for name in tests["figures"]])
    return (
        f"Verdicts are on {names} alone, {counted(tests['count'], 'test')} in all, adjusted together by"
        f" {tests['method']}'s method: the chance of even one wrong verdict is at most"
        f" {100 * tests['level']:.0f}\u00a0%."
        " Intervals hold one by one: one may exclude zero where no difference is shown."
    )


def joined(parts: Sequence[str], word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def counted(count: int, noun: str, ending: str = "s") -> str:
    """`1 seed`, `3 seeds`."""
    return f"{count:,} {noun}{ending if count != 1 else ''}"


def number_of(count: int, called: tuple[str, str]) -> str:
    """`1 series`, `3 records`."""
    return f"{count:,} {called[count != 1]}"
