"""How likely candidates are damage: what more of the same damage does to that, and where it is capped."""

import dataclasses
import math

import pytest
import torch

from sagd.noise.spectra.damage import Ring
from sagd.omission.detection.evidence import MEASURES, Candidate
from sagd.omission.detection.probability import LEAST_OVER_REFERENCE, OF_ONE, WEIGHTS, damage_probability, features

MORE = {"excess": 1, "coarse": 1, "unexplained": 1, "least": 1, "share": 0.2, "edge": 1}
LESS = {"locked": 0.2, "slope": 0.3, "own": 0.4, "tails": 0.5}
BETWEEN = {"excess": 1.5, "coarse": 1.0, "unexplained": 1.4, "least": 0.5, "share": 0.7, "edge": 0.8, "octave": 5.0} | {
    "locked": 0.3,
    "slope": 0.5,
    "own": 0.8,
    "other": 0.8,
    "tails": 0.5,
    "narrow": 0.7,
}


def candidate(kind, record=0.0, many=1.0, chance=1e-9, **measures):
    told = dict.fromkeys(MEASURES, 0.0) | BETWEEN | {"record": record, "many": many} | measures
    return Candidate(kind, Ring(), torch.zeros(0, dtype=torch.long), chance, told)


KINDS = [("spots", 0.0), ("spots", 1.0), ("stripes", 0.0), ("ring", 0.0), ("ring", 1.0), ("wedge", 0.0)]


@pytest.mark.parametrize(("kind", "record"), KINDS)
def test_more_of_the_same_damage_is_never_less_likely(kind, record):
    """Stronger, in more windows, less tied to content: step by step, and each from any other place."""
    start = candidate(kind, record)
    for steps in range(6):
        now = {m: start.measures[m] + steps * d for m, d in MORE.items()}
        now |= {m: start.measures[m] - 0.1 * steps * d for m, d in LESS.items()}
        now["share"] = min(1.0, now["share"])
        before = damage_probability(candidate(kind, record, **now))
        for name, d in (MORE | {m: -v for m, v in LESS.items()}).items():
            if name in ("excess", "coarse"):  # both rise together
                more = now | {m: now[m] + 1 for m in ("excess", "coarse", "unexplained")}
            else:
                more = now | {name: min(1.0, now[name] + d) if name == "share" else now[name] + d}
            assert damage_probability(candidate(kind, record, **more)) >= before, (name, steps)


def test_what_is_strong_always_there_and_tied_to_nothing_is_certain():
    plain = {"excess": 8.0, "coarse": 8.0, "unexplained": 8.0, "least": 5.0, "share": 1.0, "locked": 0.0, "slope": 0.0}
    for kind, record in KINDS[:3]:
        told = candidate(kind, record, 0.0, own=0.3, tails=-0.5, narrow=0.2 if kind == "spots" else 1.0, **plain)
        assert damage_probability(told) >= 0.99, kind
    tied = candidate("stripes", many=0.0, **plain | {"locked": 0.9})
    assert damage_probability(tied) < 0.5


def test_a_broad_shape_of_one_image_is_certain_only_if_it_is_a_high_ring():
    told = {"unexplained": 6.0, "least": 4.0, "share": 1.0, "locked": 0.0, "edge": 5.0, "slope": 0.0, "own": 0.1}
    assert damage_probability(candidate("wedge", many=0.0, excess=6.0, coarse=6.0, **told)) <= OF_ONE < 0.99
    assert damage_probability(candidate("ring", many=0.0, excess=6.0, coarse=1.0, **told)) <= OF_ONE
    assert damage_probability(candidate("ring", many=0.0, excess=6.0, coarse=6.0, **told)) >= 0.99


def test_what_is_of_a_lattice_is_shown_and_not_certain():
    told = {"unexplained": 8.0, "least": 5.0, "share": 1.0, "locked": 0.0, "slope": 0.0, "own": 0.1, "excess": 8.0}
    told |= {"coarse": 8.0, "tails": -0.5}
    for kind, clear, of_lattice in (
        ("spots", {"mesh": 2.0, "narrow": 0.2}, {"mesh": 3.0, "narrow": 0.2}),
        ("spots", {"bare": 0.0, "narrow": 0.2}, {"bare": 0.2, "narrow": 0.2}),
        ("ring", {}, {"mesh": 3.0}),
        ("stripes", {"halves": 0.0}, {"halves": -0.2}),
        ("stripes", {"torn": 0.6, "narrow": 0.5, "bare": 0.2}, {"torn": 0.8, "narrow": 0.5}),
        ("stripes", {"torn": 0.8, "narrow": 0.7}, {"torn": 0.8, "narrow": 0.6}),
    ):
        assert damage_probability(candidate(kind, many=0.0, **told | clear)) >= 0.99, kind
        assert damage_probability(candidate(kind, many=0.0, **told | of_lattice)) == pytest.approx(OF_ONE, abs=1e-3)


def test_chance_lowers_it():
    sure = candidate("stripes", least=5.0, share=1.0, locked=0.0, excess=6.0, coarse=6.0, unexplained=6.0, slope=0.0)
    p = damage_probability(sure)
    assert damage_probability(dataclasses.replace(sure, chance=0.3)) == pytest.approx(0.7 * p, rel=1e-6)


def test_against_a_reference_only_chance_counts():
    told = candidate("spots", locked=1.0, excess=LEAST_OVER_REFERENCE)
    assert damage_probability(told, against_reference=True) == pytest.approx(1)
    assert damage_probability(candidate("spots", excess=0.5 * LEAST_OVER_REFERENCE), against_reference=True) == 0


def test_features_are_finite_and_named():
    names = set(features(dict.fromkeys(MEASURES, 0.0)))
    assert all(set(weights) <= names for weights in WEIGHTS.values())
    extreme = features(dict.fromkeys(MEASURES, -1e9)) | features(dict.fromkeys(MEASURES, 1e9))
    assert all(math.isfinite(v) for v in extreme.values() if abs(v) < 1e8)
