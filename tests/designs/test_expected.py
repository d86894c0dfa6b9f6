"""The closed form of few-step sampling, against the output spectrum of samplers on Gaussian data."""

import math

import pytest
import torch

from sagd.build.objects import build_process
from sagd.build.schema import ProcessConfig
from sagd.designs.ends import check_ends
from sagd.designs.expected import Expected
from sagd.errors import InputError
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.statistics import DataStatistics
from sagd.sampling.base import Sampler
from sagd.sampling.grids import TimeGrid
from sagd.testing.oracles import output_spectrum


def steep(spatial, slope=-3.0, channels=1):
    basis = FourierBasis(spatial)
    spectrum = basis.radius().clamp(min=1 / max(spatial)) ** slope
    spectrum = spectrum * basis.size / (basis.multiplicity() * spectrum).sum()
    spectrum = spectrum.expand(channels, *basis.coefficients).clone()
    return DataStatistics(torch.zeros(channels, *spatial, dtype=torch.float64), spectrum, 1000, basis)


def expected(statistics, spectrum="flat", **process):
    config = ProcessConfig(spectrum=spectrum, basis="fourier", **process)
    return Expected(build_process(config, tuple(statistics.mean.shape), statistics), statistics)


@pytest.mark.parametrize("sampler", ["heun", "dpm_solver", "euler"])
@pytest.mark.parametrize("noise", ["flat", "whitening(exponent=0.5)", "power_law(alpha=-0.3)"])
def test_error_is_that_of_samplers_on_gaussian_data(sampler, noise):
    """A record of 96 samples has 48 frequencies but DC, which are those that stand for all."""
    statistics = steep((96,))
    statistics.spectrum[:, 0] = 0
    known = expected(statistics, noise)
    times = TimeGrid.parse("matched").times(5, known.process, statistics).tolist()
    power = output_spectrum(Sampler.parse(sampler), known.process, statistics.spectrum, times)
    a, s = (c.values[0, 0] for c in known.process.diagonal(times[0], torch.zeros(1, 1, 96).double(), statistics.basis))
    power = power * (a**2 * statistics.spectrum[0] + s**2) / s**2  # samplers start from the law of data and noise
    off = 10 * torch.log10(power / statistics.spectrum[0])[1:]
    weight = statistics.basis.multiplicity()[1:]
    rms = math.sqrt(float((weight * off.square()).sum() / weight.sum()))
    # The last frequency counts once, the others twice: which of them stand for all may be one beside.
    assert known.error(sampler, 5, "matched") == pytest.approx(rms, rel=0.02)


def test_full_whitening_makes_all_frequencies_alike():
    known = expected(steep((16, 16)), "whitening(exponent=1)")
    assert known.ratios.max() == pytest.approx(float(known.ratios.min()), rel=1e-6)


@pytest.mark.parametrize("spatial", [(64,), (16, 12), (8, 6, 10)])
@pytest.mark.parametrize("steps", [3, 6])
def test_a_grid_that_was_found_is_better_than_the_usual_one(spatial, steps):
    known = expected(steep(spatial, channels=2))
    grid = known.found("heun", steps)
    assert known.error("heun", steps, grid) < 0.7 * known.error("heun", steps, "matched")
    assert grid == known.found("heun", steps)


@pytest.mark.parametrize("noise", ["flat", "whitening(exponent=0.5)", "whitening(exponent=1)"])
@pytest.mark.parametrize("steps", [2, 3, 5])
def test_a_grid_that_was_found_starts_where_training_lets_it(noise, steps):
    """Else `sagd train` refuses what `sagd design` wrote."""
    statistics = steep((16, 12), slope=-5.0)
    known = expected(statistics, noise)
    start = float(known.found("heun", steps).times(steps, known.process, statistics)[0])
    check_ends(statistics, known.process, start=start).refuse()


def test_frequencies_with_schedules_of_their_own_are_refused():
    with pytest.raises(InputError, match="one schedule"):
        expected(steep((16, 16)), evolution="sequential")
