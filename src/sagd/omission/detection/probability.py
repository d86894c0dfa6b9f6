"""How likely it is that what sticks out is damage, and neither chance nor content.

Chance has a closed form: see `chance` of the candidates. Content has not. `WEIGHTS` are those of logistic regressions
on candidates in clean and damaged sets of many kinds, by `python -m benchmarks.clean detection --fit`; the page of that
study says what they reach on pictures, texts and speakers that they were not fitted on. The prior is even: what sticks
out is taken to be as likely damage as content before it is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from sagd.omission.detection.evidence import Candidate

LEAST_OVER_REFERENCE = 0.23
"""Excess in nats, 1 dB, below which a reference may itself be off by as much."""

WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "band": {
        "one": -5.86,
        "excess": 0.91,
        "steep": -2.42,
        "locked": -10.91,
        "own": -1.46,
        "other": -0.83,
        "unrelated": 2.50,
        "slope": -6.06,
        "share": 7.34,
        "often": 1.15,
        "octave": 0.89,
        "tails": -1.41,
        "many": 1.89,
    },
    "ring": {
        "one": -6.75,
        "coarse": 0.56,
        "locked": -3.83,
        "own": -2.96,
        "other": -0.75,
        "unrelated": 2.00,
        "slope": -1.95,
        "share": 1.87,
        "octave": 4.60,
        "tails": -0.32,
        "many": 6.08,
    },
    "spots": {
        "one": -4.29,
        "steep": -3.15,
        "locked": -13.02,
        "own": -2.90,
        "other": 2.30,
        "slope": -2.79,
        "often": 2.79,
        "thin": 0.39,
        "record": -2.92,
        "octave": 1.51,
        "lattice": -11.07,
        "tails": -2.50,
        "many": 5.02,
        "bend": -0.44,
    },
    "stripes": {
        "one": -14.05,
        "excess": 0.65,
        "unexplained": 0.21,
        "steep": -1.29,
        "locked": -23.30,
        "other": -2.19,
        "unrelated": 3.69,
        "share": 6.27,
        "often": 3.79,
        "long": 6.53,
        "octave": 2.22,
        "many": 7.44,
        "bend": -1.48,
    },
    "wedge": {
        "one": -0.00,
        "excess": 3.31,
        "steep": -2.95,
        "locked": -29.81,
        "own": -1.14,
        "other": -1.57,
        "unrelated": 5.15,
        "slope": -1.98,
        "share": 4.11,
        "often": 1.11,
        "octave": 3.31,
        "tails": -3.88,
        "many": 5.80,
        "bend": -2.58,
    },
}
"""By kind of candidate, the logarithm of the odds for each unit of a feature; `one` is the constant."""


PLAIN = {"unexplained": (4.0, math.inf), "share": (0.95, math.inf), "locked": (-math.inf, 0.2)}
PLAINLY = 0.992
"""Lines of 17 dB that nothing else explains, in nearly all windows, that do not keep step with content, are damage with
that probability, whatever else they are like: none of 312 lines in clean sets, of either half of the study, is so,
which leaves one in a hundred at a level of 95 %. A fit to few sets gives such lines less where damage is uneven."""
BROAD = ("wedge", "ring")
OF_ONE = 0.98
"""Most that is believed of a broad shape in a single array: a moon lit from one side has a wedge as well, and what a
microscope resolves ends in a ring."""


def damage_probability(candidate: Candidate, against_reference: bool = False) -> float:
    """Probability that a candidate is damage.

    Args:
        candidate: What sticks out.
        against_reference: Whether it does so of clean data of the same kind, so that it is no content.
    """
    by_chance = 1 - candidate.chance
    if against_reference:
        return by_chance if candidate.measures["excess"] >= LEAST_OVER_REFERENCE else 0.0
    weights, values = WEIGHTS[kind_of(candidate)], features(candidate.measures)
    odds = sum(weights[name] * values[name] for name in weights)
    fitted = 1 / (1 + math.exp(min(700.0, -odds)))
    if candidate.kind == "stripes" and all(low <= candidate.measures[m] <= high for m, (low, high) in PLAIN.items()):
        fitted = max(fitted, PLAINLY)
    if kind_of(candidate) in BROAD and not candidate.measures["many"]:
        fitted = min(fitted, OF_ONE)
    return by_chance * fitted


def kind_of(candidate: Candidate) -> str:
    """The regression that a candidate is judged by."""
    return "band" if candidate.kind == "ring" and candidate.measures["record"] else candidate.kind


def features(measures: Mapping[str, float]) -> dict[str, float]:
    """What the regressions see: measures within the range in which they tell something."""

    def within(name: str, low: float, high: float) -> float:
        return max(low, min(high, measures[name]))

    return {
        "one": 1.0,
        "excess": within("excess", 0, 6),
        "coarse": within("coarse", -1, 6),
        "unexplained": within("unexplained", -2, 6),
        "steep": max(-2.0, min(4.0, measures["coarse"] - measures["excess"])),
        "locked": within("locked", 0, 1) ** 2,
        "own": within("own", 0, 3),
        "other": within("other", 0, 2),
        "unrelated": math.log((0.1 + within("other", 0, 3)) / (0.1 + within("own", 0, 3))),
        "slope": within("slope", -0.5, 1.3),
        "share": measures["share"],
        "often": math.log(0.02 + measures["share"]),
        "thin": (1 - measures["many"]) * (1 - within("narrow", 0, 1)),
        "long": (1 - measures["many"]) * within("narrow", 0, 1),
        "record": measures["record"],
        "octave": within("octave", 0, 10),
        "lattice": measures["lattice"],
        "tails": within("tails", -1, 3),
        "many": measures["many"],
        "bend": within("bend", 0, 4),
        "above": within("above", 0, 4),
    }
