"""Posterior draws of any sampler: against the closed form of Gaussian data, and of a mixture beside it."""

import math

import pytest
import torch

from sagd.errors import InputError
from sagd.model.exact import GaussianDenoiser, GaussianMixtureDenoiser
from sagd.model.observed import Observed
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.operator import Diagonal
from sagd.noise.statistics import DataStatistics
from sagd.omission.posterior import posterior
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule
from sagd.testing.oracles import FunctionDenoiser

SHAPES = [(1, 12), (2, 6, 8), (1, 4, 4, 6)]


def gaussian(shape):
    """A stationary Gaussian law of falling spectrum, its denoiser, statistics and basis."""
    basis = FourierBasis(shape[1:])
    spectrum = (1 / (0.1 + basis.radius())).expand(shape[0], *basis.coefficients)
    mean = torch.linspace(-0.5, 0.5, math.prod(shape), dtype=torch.float64).reshape(shape)
    process = ForwardProcess(CosineSchedule(), IsotropicCovariance(shape))
    return GaussianDenoiser(process, mean, spectrum), DataStatistics(mean, spectrum, 1000, basis), basis


def damage(basis, kind, count, generator):
    """`N(f)` of each image."""
    radius = basis.relative_radius()
    if kind == "hard":
        return torch.where((radius > 0.3) & (radius < 0.8), torch.inf, 0.0)[None, None]
    if kind == "soft":
        return (3 * torch.exp(-(((radius - 0.5) / 0.2) ** 2)))[None, None]
    low, level = torch.rand(2, count, 1, *[1] * basis.rank, generator=generator, dtype=torch.float64)
    hidden = (radius > low) & (radius < low + 0.3)
    return torch.where(hidden, torch.inf, 4 * level * (radius > 0.2))


@pytest.mark.parametrize(
    ("shape", "kind", "rounds"),
    [(SHAPES[1], kind, rounds) for kind in ("hard", "soft", "own") for rounds in (0, 2)]
    # Of other ranks every kind, and each way to go.
    + [(SHAPES[0], "hard", 2), (SHAPES[0], "own", 0), (SHAPES[2], "soft", 2), (SHAPES[2], "own", 0)],
    ids=str,
)
def test_draws_have_mean_and_variance_of_the_closed_form(shape, kind, rounds):
    """Standardised by the closed form, some hundred draws of 4 images are N(0, 1) at each frequency: 5 sigma."""
    denoiser, statistics, basis = gaussian(shape)
    g = torch.Generator().manual_seed(1)
    images, draws = 4, 400 if not rounds else 150
    noise = damage(basis, kind, images, g)
    noise = noise.expand(images, *noise.shape[1:])
    white = torch.randn(images, *shape, generator=g, dtype=torch.float64)
    x = basis.inverse(statistics.spectrum.sqrt() * basis.forward(white)) + statistics.mean
    known = torch.where(noise.isinf(), 100.0, noise)  # what is not known may be anything
    y = x + basis.inverse(known.sqrt() * basis.forward(torch.randn(images, *shape, generator=g, dtype=torch.float64)))

    s, m = statistics.spectrum, basis.forward(statistics.mean)
    gain = torch.where(noise == 0, 1.0, s / (s + noise))
    mean = m + gain * (basis.forward(y) - m)
    variance = torch.where(noise.isinf(), s, gain * torch.where(noise.isinf(), 0.0, noise))

    many = posterior(
        denoiser, y.repeat(draws, 1, *[1] * (len(shape) - 1)), noise.repeat(draws, 1, *[1] * basis.rank), statistics,
        steps=60, rounds=rounds, batch_size=4000,
    )  # fmt: skip
    c = basis.forward(many).reshape(draws, images, *mean.shape[1:])
    # What is left open below the resolution of the time grid is not drawn, and hardly anything.
    free = (variance > 0.05).expand_as(mean.real)
    torch.testing.assert_close(c.mean(0)[~free], mean[~free], atol=0.1, rtol=0)
    same = (noise == 0).expand_as(mean.real)
    torch.testing.assert_close(c.mean(0)[same], mean[same], atol=1e-6, rtol=0)
    z = (c - mean) / variance.clamp(min=1e-9).sqrt()
    off = (z.mean(0) * math.sqrt(draws)).abs()[free]
    assert float(off.max()) < 5
    power = z.abs().square().mean((0, 1))[free.all(0)]
    assert float((power - 1).abs().max()) < 5 * math.sqrt(2 / (draws * images)) + 0.02
    assert float(power.mean()) == pytest.approx(1, abs=0.05)


def mixture():
    """Two clusters whose frequencies hang together: what is shown tells the cluster, and so what is hidden."""
    shape = (1, 8)
    basis = FourierBasis((8,))
    wave = torch.cos(2 * math.pi * torch.arange(8, dtype=torch.float64) / 8)
    other = torch.cos(2 * math.pi * 3 * torch.arange(8, dtype=torch.float64) / 8)
    means = torch.stack([wave + other, -wave - other])[:, None]
    process = ForwardProcess(CosineSchedule(), IsotropicCovariance(shape))
    spectra = torch.full((2, 1, 5), 0.05, dtype=torch.float64)
    power = 0.05 + basis.forward(means[0]).abs().square()
    statistics = DataStatistics(torch.zeros(shape, dtype=torch.float64), power, 1000, basis)
    return GaussianMixtureDenoiser(process, means, spectra), statistics, basis, means


def test_derivatives_carry_what_is_shown_over_to_what_is_hidden():
    """What is shown names the cluster, of which the hidden wave is `N(4 / sqrt(8), 0.05 / 2)`, real and imaginary part.

    With a diagonal covariance a fifth of the draws are of the other cluster: hidden frequencies hear of the shown ones
    through `x_t` alone. One derivative puts that right.
    """
    denoiser, statistics, basis, means = mixture()
    noise = torch.zeros(1, 1, 5, dtype=torch.float64)
    noise[..., 3] = torch.inf
    wave = []
    for rounds in (0, 1):
        x = posterior(denoiser, means[:1].repeat(400, 1, 1), noise, statistics, steps=30, rounds=rounds, batch_size=400)
        wave.append(basis.forward(x)[:, 0, 3].real)
    assert 0.1 < float((wave[0] < 0).double().mean()) < 0.4
    assert not (wave[1] < 0).any()
    assert float(wave[1].mean()) == pytest.approx(4 / math.sqrt(8), abs=0.05)
    assert float(wave[1].var()) == pytest.approx(0.025, rel=0.25)


@pytest.mark.parametrize("kind", ["hard", "soft", "own"])
def test_what_a_derivative_claims_is_bounded(kind):
    """One that knows nothing of variances moves what is hidden, or shown under noise, no further than twice what is
    shown is off by."""
    shape = (1, 12)
    denoiser, statistics, basis = gaussian(shape)
    generator = torch.Generator().manual_seed(0)
    noise = damage(basis, kind, 64, generator)
    seen = Diagonal(noise.isfinite().double(), basis)
    known = torch.where(noise.isfinite(), noise, 0.0)
    wild = 50 * torch.randn(12, 12, generator=generator, dtype=torch.float64)
    network = FunctionDenoiser(denoiser.process, lambda x_t, t: x_t @ wild.T)
    x_t, y = torch.randn(2, 64, *shape, generator=generator, dtype=torch.float64)
    moved = Observed(network, y, Diagonal(noise, basis), statistics, 1).estimate(x_t, 0.9) - x_t @ wild.T
    a, s = denoiser.process.diagonal(0.9, x_t, basis)
    spectrum = Diagonal(statistics.spectrum, basis)
    open_ = s * s * spectrum / (a * a * spectrum + s * s)

    def mean_square(x, where, variance):
        degrees = (basis.multiplicity() * where.values).expand(64, *noise.shape[1:]).flatten(1).sum(1)
        return (x * (x / variance)).flatten(1).sum(1) / degrees.clamp(min=1)

    free = Diagonal((noise > 0).double(), basis)
    off = mean_square(seen * (y - x_t @ wild.T), seen, open_ + Diagonal(known, basis))
    assert (mean_square(free * moved, free, open_) <= 4.001 * off).all()


def test_what_cannot_be_used_is_refused():
    denoiser, statistics, basis = gaussian((1, 12))
    y = torch.zeros(2, 1, 12, dtype=torch.float64)
    with pytest.raises(InputError, match="from 0"):
        Observed(denoiser, y, Diagonal(-torch.ones(1, 1, 7), basis), statistics)
    with pytest.raises(InputError, match="one basis"):
        Observed(denoiser, y, Diagonal(torch.ones(1, 1, 6), FourierBasis((10,))), statistics)
    with pytest.raises(InputError, match=r"got \(2, 1, 5\)"):
        posterior(denoiser, y, torch.ones(2, 1, 5), statistics)
    with pytest.raises(InputError, match="images"):
        posterior(denoiser, y[:, :, :6], torch.ones(2, 1, 7), statistics)
