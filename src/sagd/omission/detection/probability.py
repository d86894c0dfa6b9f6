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
        "one": -8.51,
        "excess": 1.20,
        "unexplained": 0.05,
        "steep": -2.99,
        "locked": -15.60,
        "own": -1.44,
        "other": -0.64,
        "unrelated": 3.73,
        "slope": -8.05,
        "share": 9.31,
        "often": 1.30,
        "octave": 1.24,
        "tails": -1.48,
        "many": 2.36,
    },
    "ring": {
        "one": -9.48,
        "coarse": 0.71,
        "locked": -4.39,
        "own": -6.17,
        "other": -0.87,
        "unrelated": 2.16,
        "slope": -0.72,
        "share": 1.14,
        "octave": 6.86,
        "many": 8.37,
    },
    "spots": {
        "one": -5.44,
        "steep": -3.58,
        "locked": -14.32,
        "own": -3.04,
        "other": 2.35,
        "slope": -2.89,
        "often": 2.90,
        "thin": 0.10,
        "record": -2.92,
        "octave": 1.78,
        "lattice": -12.79,
        "tails": -2.89,
        "many": 5.80,
        "bend": -0.63,
    },
    "stripes": {
        "one": -3.10,
        "unexplained": 0.92,
        "steep": -0.91,
        "locked": -31.60,
        "other": -0.72,
        "unrelated": 1.68,
        "share": 5.08,
        "often": 3.85,
        "long": 1.08,
        "tails": -1.09,
        "many": 1.19,
        "bend": -0.28,
    },
    "wedge": {
        "one": -0.11,
        "excess": 2.82,
        "steep": -4.66,
        "locked": -33.06,
        "own": -0.18,
        "other": -0.43,
        "unrelated": 9.12,
        "slope": -4.06,
        "share": 8.45,
        "often": 1.30,
        "octave": 2.82,
        "tails": -7.56,
        "many": 6.53,
        "bend": -3.17,
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
