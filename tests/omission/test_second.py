"""A second, known damage: its law, and that it tells what a predictor has learnt of the first, by closed forms."""

import math

import pytest
import torch

from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.basis.wavelet import WaveletBasis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Guarded
from sagd.omission.second import SecondDamage

N = 48
BASIS = FourierBasis((N,))
BAND = Spectrum.parse("spots(at=[[0.26]], radius=0.035)")
LINE = Spectrum.parse("spots(at=[[0.2604]], radius=0.002)")
"""A wave between two frequencies of the windows, whose leak reaches far beyond the band."""


def toeplitz(of):
    return of((torch.arange(N)[:, None] - torch.arange(N)).double())


def projection():
    unit = torch.eye(N, dtype=torch.float64)[:, None]
    return BASIS.inverse((mask(BAND, BASIS) > 0) * BASIS.forward(unit))[:, 0].T


def drawn_back(predict, images, damage, generator):
    """`E[n* m]`, as calibration tells it."""
    total, count = 0.0, 0
    for y in images:
        d = damage.draw(len(y), generator).to(y)
        change = BASIS.forward(predict(y + d) - predict(y))
        total, count = total + (BASIS.forward(d).conj() * change).real.sum(0), count + len(y)
    return total / count


def learnt(covariance):
    """The matrix of `E[y_b | rest]`, which is what training against data of that covariance comes to."""
    hidden = projection()
    rest = torch.eye(N, dtype=torch.float64) - hidden
    return hidden @ covariance @ rest @ torch.linalg.pinv(rest @ covariance @ rest, hermitian=True, rtol=1e-9)


SIGNAL = toeplitz(lambda k: 0.9 ** k.abs())
WAVE = 2 * toeplitz(lambda k: torch.cos(2 * math.pi * 0.2604 * k))


@pytest.mark.parametrize(("trained_on", "least", "most"), [("damaged", 0.5, 1.0), ("clean", -0.2, 0.2)])
def test_what_was_learnt_of_the_damage_is_told_without_a_clean_image(trained_on, least, most):
    m = learnt(SIGNAL + WAVE if trained_on == "damaged" else SIGNAL)
    inside = mask(BAND, BASIS) > 0
    truth = float((m @ WAVE).trace() / (projection() @ WAVE).trace())
    assert least < truth < most

    g = torch.Generator().manual_seed(0)
    x = (torch.linalg.cholesky(SIGNAL) @ torch.randn(N, 400, generator=g, dtype=torch.float64)).T
    phase = 2 * math.pi * torch.rand(400, 1, generator=g, dtype=torch.float64)
    y = (x + 2 * torch.cos(2 * math.pi * 0.2604 * torch.arange(N) + phase))[:, None]
    wave = BASIS.forward(torch.linalg.cholesky(WAVE + 1e-9 * torch.eye(N)).T[:, None]).abs().square().sum(0)
    damage = SecondDamage(BAND, wave, BASIS, LINE)
    told = drawn_back(lambda v: (v[:, 0].double() @ m.T)[:, None], y.split(100), damage, g)
    weight = BASIS.multiplicity() * inside
    found = float((weight * told).sum() / (weight * wave).sum())
    # 400 draws of a wave whose power is exponential: a standard error of 5 %.
    assert found == pytest.approx(truth, abs=0.15)


@pytest.mark.parametrize(
    ("basis", "band"),
    [
        (FourierBasis((32, 40)), "spots(at=[[0.26, 0.11]], radius=0.03)"),
        (FourierBasis((32, 40)), "strip(axis=1, low=0.02, width=0.03)"),
        (CosineBasis((32, 40)), "ring(low=0.3, high=0.4)"),
        (FourierBasis((12, 12, 16)), "ring(low=0.3, high=0.4)"),
    ],
)
def test_as_strong_as_was_measured_and_not_periodic(basis, band):
    power = 3.0 + torch.zeros(2, *basis.coefficients, dtype=torch.float64)
    power[1] *= 4
    damage = SecondDamage(Spectrum.parse(band), power, basis)
    d = damage.draw(400, torch.Generator().manual_seed(1))
    assert d.shape == (400, 2, *basis.spatial)
    own = basis.forward(d.double()).abs().square().mean(0)
    weight = basis.multiplicity() * (mask(band, basis) > 0)
    measured = (weight * own).flatten(1).sum(1) / weight.sum()
    assert measured.tolist() == pytest.approx([3.0, 12.0], rel=0.15)
    torch.testing.assert_close(d[:, 1], 2 * d[:, 0])
    outside = float((own[0] * basis.multiplicity() * (weight == 0)).sum() / (own[0] * basis.multiplicity()).sum())
    assert 0.01 < outside < 0.6


@pytest.mark.parametrize(
    ("basis", "line", "by"),
    [
        (WaveletBasis((16, 16), levels=2), "strip(axis=0, low=0.15, high=0.25, width=0.2)", 0.0),
        (CosineBasis((16, 16)), "ring(low=0, high=0.1)", 0.1),
    ],
)
def test_damage_whose_nearest_frequencies_have_no_power_is_drawn(basis, line, by):
    """Of a subband its first wavelet, or all of a line, whose guard has power alone."""
    line = Spectrum.parse(line)
    band = Guarded(line, by) if by else line
    inside = mask(band, basis) > 0
    power = 3.0 * inside.double()
    power[tuple(inside.nonzero()[0])] = 0
    if by:
        power[mask(line, basis) > 0] = 0
    d = SecondDamage(band, power[None], basis, line).draw(400, torch.Generator().manual_seed(1))
    own = basis.forward(d.double()).abs().square().mean((0, 1))
    assert float(own[inside].sum()) == pytest.approx(float(power.sum()), rel=0.2)


def test_what_cannot_be_drawn_is_refused():
    nothing = torch.zeros(1, *BASIS.coefficients, dtype=torch.float64)
    with pytest.raises(InputError, match="no power over its smooth fit"):
        SecondDamage(BAND, nothing, BASIS)
