"""Calibration of what leaks: what a model has learnt of the damage itself is not believed, by closed forms.

A record's window shows a wave between two of its frequencies, whose leak tells a model that never sees the band what to
draw there. "Networks" are the best linear predictors of the damaged band, which is what training against damaged data
comes to.
"""

import math

import pytest
import torch

from sagd.build.objects import build_process
from sagd.build.schema import OmissionConfig, ProcessConfig
from sagd.model.denoiser import Denoiser
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.statistics import DataStatistics
from sagd.omission.calibrate import calibrate
from sagd.omission.second import SecondDamage

N, F = 48, 0.2604
BASIS = FourierBasis((N,))
BAND = "spots(at=[[0.26]], radius=0.035)"
LINE = Spectrum.parse(f"spots(at=[[{F}]], radius=0.002)")
INSIDE = mask(BAND, BASIS) > 0
LAG = (torch.arange(N)[:, None] - torch.arange(N)).double()
SIGNAL = 0.97 ** LAG.abs() * (1 + torch.cos(2 * math.pi * 0.26 * LAG))
"""Of which the band is predictable: a broad line goes on beside it."""
UNIT = torch.eye(N, dtype=torch.float64)[:, None]
HIDE = BASIS.inverse(INSIDE * BASIS.forward(UNIT))[:, 0].T
KEEP = torch.eye(N, dtype=torch.float64) - HIDE


def wave(level):
    """Covariance of a wave of random phase."""
    return level**2 / 2 * torch.cos(2 * math.pi * F * LAG)


def powers(covariance):
    """By frequency."""
    root = torch.linalg.cholesky(covariance + 1e-9 * torch.eye(N)).T[:, None]
    return BASIS.forward(root).abs().square().sum(0)


class Linear(Denoiser):
    """The best linear prediction of the damaged band from the rest."""

    def __init__(self, covariance):
        super().__init__()
        config = ProcessConfig(omission=OmissionConfig(mode="fill", band=BAND), basis="fourier")
        self.process = build_process(config, (1, N), statistics())
        self.matrix = HIDE @ covariance @ KEEP @ torch.linalg.pinv(KEEP @ covariance @ KEEP, hermitian=True, rtol=1e-9)

    def estimate(self, x_t, t, condition=None):
        raise NotImplementedError

    def final(self, x_t, t, condition=None, clip=None):
        return (x_t[:, 0].double() @ (KEEP + self.matrix).T)[:, None]


def statistics():
    return DataStatistics(torch.zeros(1, N), powers(SIGNAL), 1000, BASIS)


def drawn(count, level, seed=0):
    g = torch.Generator().manual_seed(seed)
    root = torch.linalg.cholesky(SIGNAL + 1e-9 * torch.eye(N))
    x = (root @ torch.randn(N, count, generator=g, dtype=torch.float64)).T
    phase = 2 * math.pi * torch.rand(count, 1, generator=g, dtype=torch.float64)
    return (x + level * torch.cos(2 * math.pi * F * torch.arange(N) + phase))[:, None]


def asked(level, second=True, clean=None):
    model = Linear(SIGNAL + wave(level))
    law = SecondDamage(Spectrum.parse(BAND), powers(wave(level)), BASIS, LINE, clean) if second else None
    batches = ((y, None) for y in drawn(3000, level).split(500))
    return model, calibrate(model, batches, statistics(), powers(wave(level)), law)


def shares(model, level):
    """The best multiple for the clean band, and for the damaged one, over the band."""
    m = model.matrix
    own = float((m @ (SIGNAL + wave(level)) @ m.T).trace())
    return tuple(float((m @ covariance).trace()) / own for covariance in (SIGNAL, SIGNAL + wave(level)))


def believed(found):
    weight = BASIS.multiplicity() * INSIDE
    return float((weight * found.share).sum() / weight.sum())


def test_what_leaks_is_believed_without_a_second_damage_and_not_with_one():
    model, found = asked(1.5)
    clean, damaged = shares(model, 1.5)
    assert damaged == pytest.approx(1, abs=1e-3)
    assert clean < 0.6
    assert believed(asked(1.5, second=False)[1]) == pytest.approx(1, abs=0.05)
    assert believed(found) == pytest.approx(clean, abs=0.1)
    assert found.drawn_back > 0.3


def test_without_damage_nothing_is_taken_off():
    model, found = asked(1e-3)
    assert shares(model, 1e-3)[0] == pytest.approx(1, abs=1e-3)
    assert believed(found) == pytest.approx(1, abs=0.05)


def test_a_prediction_of_more_power_than_clean_data_is_not_believed_at_all():
    quiet, loud = (asked(level, clean=powers(SIGNAL))[1] for level in (0.1, 4.0))
    assert not quiet.vetoed
    assert believed(quiet) > 0.8
    assert "believed" in quiet.lines()[0]
    assert loud.vetoed
    assert not loud.share[INSIDE].any()
    assert "nothing of it is believed" in loud.lines()[0]


def test_a_channel_that_does_not_vary_tells_nothing_of_the_others():
    model = Linear(SIGNAL)
    model.process = build_process(
        ProcessConfig(omission=OmissionConfig(mode="fill", band=BAND), basis="fourier"), (2, N)
    )
    error = 1e-3 * torch.randn(400, 2, N, generator=torch.Generator().manual_seed(1))
    model.final = lambda x_t, t, condition=None: x_t / model.process.alpha(t, x_t) + error
    y = torch.cat([drawn(400, 0.1), torch.full((400, 1, N), 0.3)], dim=1).double()
    mean = torch.tensor([[0.0], [0.3]]).expand(2, N).double()
    found = calibrate(model, [(y, None)], DataStatistics(mean, powers(SIGNAL).expand(2, -1), 400, BASIS))
    assert believed(found) == pytest.approx(1, abs=0.02)
    assert found.believed == pytest.approx(1, abs=0.02)
