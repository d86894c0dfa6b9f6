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
    "ring": {
        "one": -5.08,
        "steep": -0.85,
        "locked": -21.95,
        "own": -8.81,
        "other": 3.03,
        "unrelated": 3.83,
        "slope": -2.37,
        "share": 10.26,
        "record": -3.04,
        "octave": 1.95,
        "tails": -2.08,
        "many": 7.39,
    },
    "spots": {
        "one": -0.77,
        "unexplained": 0.25,
        "steep": -2.89,
        "locked": -10.31,
        "own": -3.20,
        "other": 1.78,
        "slope": -1.39,
        "often": 0.70,
        "thin": 2.00,
        "record": -3.00,
        "octave": 0.57,
        "lattice": -10.70,
        "tails": -1.35,
        "many": 1.27,
    },
    "stripes": {
        "one": -2.27,
        "excess": 1.54,
        "locked": -23.20,
        "own": -3.30,
        "other": 0.20,
        "share": 2.45,
        "thin": 1.69,
        "octave": 0.51,
        "many": -0.76,
    },
    "wedge": {
        "one": 5.57,
        "excess": 1.42,
        "coarse": 0.00,
        "unexplained": 0.00,
        "steep": -3.68,
        "locked": -16.72,
        "own": -0.73,
        "other": 1.42,
        "unrelated": 2.60,
        "share": 0.14,
        "often": 3.38,
        "tails": -5.19,
        "many": 1.86,
    },
}
"""By kind of candidate, the logarithm of the odds for each unit of a feature; `one` is the constant."""


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
    return by_chance / (1 + math.exp(min(700.0, -odds)))


def kind_of(candidate: Candidate) -> str:
    """The regression that a candidate is judged by."""
    return candidate.kind


def features(measures: Mapping[str, float]) -> dict[str, float]:
    """What the regressions see: measures within the range in which they tell something."""

    def within(name: str, low: float, high: float) -> float:
        return max(low, min(high, measures[name]))

    return {
        "one": 1.0,
        "excess": within("excess", 0, 4),
        "coarse": within("coarse", -1, 4),
        "unexplained": within("unexplained", -2, 4),
        "steep": max(-2.0, min(4.0, measures["coarse"] - measures["excess"])),
        "locked": within("locked", 0, 1) ** 2,
        "own": within("own", 0, 3),
        "other": within("other", 0, 2),
        "unrelated": math.log((0.1 + within("other", 0, 3)) / (0.1 + within("own", 0, 3))),
        "slope": within("slope", -0.5, 1.3),
        "share": measures["share"],
        "often": math.log(0.02 + measures["share"]),
        "thin": (1 - measures["many"]) * (1 - within("narrow", 0, 1)),
        "record": measures["record"],
        "octave": within("octave", 0, 10),
        "lattice": measures["lattice"],
        "tails": within("tails", -1, 3),
        "many": measures["many"],
    }
