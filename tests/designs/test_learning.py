"""Ranges of a network's input and target against formulas written out for one frequency at a time."""

import numpy as np
import pytest
import torch
from tests.sampling.test_expected import steep

from sagd.build.objects import build_process
from sagd.build.schema import ProcessConfig
from sagd.designs.learning import learning
from sagd.noise.statistics import radial_profile
from sagd.random import generator_for
from sagd.training.times import UniformTime

STATISTICS = steep((16, 16), -4.0)


def process_of(g):
    spectrum = f"whitening(exponent={g})" if g else "flat"
    return build_process(ProcessConfig(spectrum=spectrum, basis="fourier"), (1, 16, 16), STATISTICS)


def by_hand(process, of):
    """Mean over times of the range over rings of `of(a, s, S, w^2)`."""
    S = STATISTICS.spectrum
    w2 = process.covariance.power_range(STATISTICS.basis)[1].expand_as(S)
    times = UniformTime().sample(12, process, generator_for(0, "learning"))
    ranges = []
    for t in times:
        a, s = float(process.schedule.alpha(t)), float(process.schedule.sigma(t))
        rings = radial_profile(of(a, s, S, w2), STATISTICS.basis, 16).values[0]
        rings = rings[rings.isfinite()]
        ranges.append(10 * np.log10(float(rings.max() / rings.min())))
    return np.mean(ranges)


FORMULAS = {
    "eps": (lambda a, s, S, w2: a**2 * S + s**2 * w2, lambda a, s, S, w2: w2),
    "v": (lambda a, s, S, w2: a**2 * S + s**2 * w2, lambda a, s, S, w2: a**2 * w2 + s**2 * S),
    "wiener": (lambda a, s, S, w2: torch.ones_like(S), lambda a, s, S, w2: torch.ones_like(S)),
}


@pytest.mark.parametrize("g", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("prediction", FORMULAS)
def test_ranges_are_those_of_the_formulas(prediction, g):
    process = process_of(g)
    found = learning(prediction, process, STATISTICS, g, UniformTime())
    seen, target = (by_hand(process, of) for of in FORMULAS[prediction])
    # `wiener` takes no power to be less than a millionth of the largest; this data has none that is.
    assert found.input_db == pytest.approx(seen, abs=1e-3)
    assert found.target_db == pytest.approx(target, abs=1e-3)


def test_the_scaling_of_wiener_leaves_no_range_and_half_of_it_some():
    whole, half, none = (
        learning(prediction, process_of(0.0), STATISTICS) for prediction in ("wiener", "wiener(exponent=0.5)", "edm")
    )
    assert (whole.input_db, whole.target_db) == pytest.approx((0, 0), abs=1e-3)
    assert none.input_db > half.input_db > 1
