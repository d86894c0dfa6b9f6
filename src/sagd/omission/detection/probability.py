"""How likely it is that what sticks out is damage, and neither chance nor content.

Chance has a closed form: see `chance` of the candidates. Content has not. `WEIGHTS` are those of logistic regressions
on candidates in clean and damaged sets of many kinds, by `python -m benchmarks.clean detection --fit`; the page of that
study says what they reach on pictures, texts and speakers that they were not fitted on. The signs are those that the
features mean, so that damage which grows, and changes nothing else, is never less likely. The prior is even: what
sticks out is taken to be as likely damage as content before it is looked at; the constants are then set such that no
clean set of pictures that were left out of a fit comes near to being certain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from sagd.omission.detection.evidence import Candidate

LEAST_OVER_REFERENCE = 0.23
"""Excess in nats, 1 dB, below which a reference may itself be off by as much."""

WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "band": {
        "one": 3.47,
        "both": 1.42,
        "unexplained": 0.26,
        "plain": 0.88,
        "bound": -10.44,
        "steep": -0.14,
        "own": -4.50,
        "unrelated": 0.55,
        "slope": -2.58,
        "share": 0.13,
        "often": 1.56,
        "tails": -2.66,
        "spiky": -0.98,
        "many": 3.96,
    },
    "ring": {
        "one": -0.76,
        "excess": 0.18,
        "both": 1.69,
        "unexplained": 0.78,
        "sure": 0.23,
        "bound": -8.80,
        "steep": -0.02,
        "own": -1.99,
        "unrelated": 3.86,
        "slope": -0.64,
        "share": 1.00,
        "often": 1.01,
        "spiky": -3.69,
        "many": 2.15,
    },
    "spots": {
        "one": -7.90,
        "sure": 1.14,
        "locked": -0.59,
        "bound": -9.18,
        "steep": -4.33,
        "own": -0.49,
        "slope": -1.61,
        "often": 0.80,
        "octave": 2.10,
        "lattice": -5.66,
        "tails": -0.29,
        "spiky": -9.95,
        "many": 0.63,
        "bend": -1.07,
    },
    "stripes": {
        "one": -20.39,
        "excess": 1.62,
        "unexplained": 0.05,
        "least": 0.89,
        "standing": 2.00,
        "plain": 0.74,
        "apart": 4.00,
        "locked": -8.68,
        "unrelated": 2.47,
        "slope": -1.18,
        "octave": 2.20,
        "spiky": -2.80,
        "many": 7.88,
        "bend": -1.50,
    },
    "waves": {
        "one": -4.11,
        "standing": 3.00,
        "sure": 0.08,
        "bound": -12.65,
        "own": -2.25,
        "slope": -6.61,
        "octave": 1.72,
        "tails": -1.95,
        "many": 2.94,
        "bend": -0.47,
    },
    "wedge": {
        "one": -1.16,
        "excess": 0.36,
        "both": 2.92,
        "least": 0.91,
        "sure": 4.15,
        "bound": -10.00,
        "steep": -3.18,
        "own": -0.61,
        "unrelated": 2.53,
        "many": 3.42,
        "bend": -0.03,
    },
}
"""By kind of candidate, the logarithm of the odds for each unit of a feature; `one` is the constant."""


OF_ONE = 0.98
"""Most that is believed of what looks like content: a moon lit from one side has a wedge as well, what a microscope
resolves, or was enlarged, ends in a ring, and cloth has the peaks of a lattice."""
MESH = 3
"""Pairs of peaks with the same sum from which on they are those of a lattice, as that of cloth, tiles or prints: a
screen, clipped, has peaks of two."""
OPPOSED = -0.1
"""Agreement of stripes below which they are lines of a lattice: from row to row of a chessboard they change sign."""
TORN, PARTLY = 0.7, 0.65
"""One less the same of their strong waves from which on, and the part of a line below which, it is one of a lattice:
those of boards take up 0.54 at most. Curtains that end or drift agree as little, but take up 0.75 and more."""
BARE = 0.1
"""Share of the frequencies without even noise, from which on a single picture was drawn: its peaks and edges are its
own, whatever they look like, and only stripes all along are no part of it."""
EDGED = 1.5
"""Nats, over the fit and over its neighbours, from which on a ring in a single array is believed: those of enlarged
photographs have at most 1.1."""


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
    if as_content(kind_of(candidate), candidate.measures):
        fitted = min(fitted, OF_ONE)
    return by_chance * fitted


def as_content(kind: str, measures: Mapping[str, float]) -> bool:
    """Whether what looks like it is content of many arrays: lattices, and broad shapes of single ones."""
    low = min(measures["excess"], measures["coarse"]) < EDGED
    if not measures["many"] and kind in ("spots", "ring", "wedge"):
        return kind == "wedge" or (kind == "ring" and low) or measures["bare"] > BARE or on_mesh(kind, measures)
    return on_mesh(kind, measures)


def on_mesh(kind: str, measures: Mapping[str, float]) -> bool:
    """Whether spots, or a line or ring of them, are of a lattice."""
    if kind == "stripes":
        torn = measures["torn"] > TORN and measures["narrow"] < PARTLY
        return not measures["many"] and (measures["halves"] < OPPOSED or torn)
    return kind in ("spots", "ring") and measures["mesh"] >= MESH


def kind_of(candidate: Candidate) -> str:
    """The regression that a candidate is judged by."""
    kind = candidate.kind
    return {"ring": "band", "spots": "waves"}.get(kind, kind) if candidate.measures["record"] else kind


def features(measures: Mapping[str, float]) -> dict[str, float]:
    """What the regressions see, each of which more of the same damage changes in one direction only."""

    def within(name: str, low: float, high: float) -> float:
        return max(low, min(high, measures[name]))

    locked, own, least = within("locked", 0, 1), within("own", 0, 3), within("least", 0, 6)
    steady = max(0.0, 1 - own / 1.5)
    return {
        "one": 1.0,
        "excess": within("excess", 0, 8),
        "both": max(-2.0, min(within("excess", 0, 8), measures["coarse"])),
        "unexplained": within("unexplained", -2, 8),
        "least": within("least", -3, 3),
        # What content hardly ever is all at once: high, there in all windows, alike, and out of step with the rest.
        "standing": max(0.0, within("excess", 0, 10) - 2) * max(0.0, 1 - own) * max(0.0, 1 - locked / 0.35),
        "plain": least * steady * max(0.0, 1 - locked / 0.4),
        # Alike in all windows where its neighbours are not, which the ridges of no picture are.
        "apart": max(0.0, within("other", 0, 3) - own - 0.3)
        * max(0.0, 1 - locked / 0.35)
        * max(0.0, min(4.0, measures["excess"], measures["coarse"])),
        "sure": max(0.0, least - 2) * steady * max(0.0, 1 - locked / 0.35),
        "locked": locked,
        "bound": locked**2,
        "steep": max(-2.0, min(4.0, measures["coarse"] - measures["excess"])),
        "own": own,
        "unrelated": math.log((0.3 + within("other", 0, 3)) / (0.3 + own)),
        "slope": within("slope", 0, 1.3),
        "share": within("share", 0, 1),
        "often": math.log(0.02 + within("share", 0, 1)),
        "octave": within("octave", 0, 7),
        "lattice": measures["lattice"],
        "tails": within("tails", -1, 3),
        "spiky": max(0.0, within("tails", -1, 4) - 1.5),
        "many": measures["many"],
        "bend": within("bend", 0, 4),
    }
