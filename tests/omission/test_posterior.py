"""What draws are worth, without a clean image: against the closed form."""

import pytest
import torch

from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.statistics import DataStatistics
from sagd.omission.laps import Lap, gains
from sagd.omission.posterior import GaussianPrior, Judged, judged


def test_the_error_of_the_mean_is_without_bias_whatever_draws_scatter():
    """Of draws from `N(m, V)` and `y ~ N(0, S)` the error is `(S + m^2) / S`, not `(S + m^2 + V) / S`; V = 4."""
    basis, g = FourierBasis((4, 4)), torch.Generator().manual_seed(0)
    y, one, two = torch.randn(3, 4000, 1, 4, 4, generator=g, dtype=torch.float64)
    hidden = torch.zeros(1, 1, 4, 3, dtype=torch.float64)
    hidden[..., 1:, :] = 1
    noise = torch.where(hidden > 0, torch.inf, 0.0)
    mean = torch.zeros(1, 4, 4, dtype=torch.float64)
    found = judged((2 * one, 2 * two), y, hidden, noise, mean, basis)
    assert found.error == pytest.approx(1, abs=0.06)
    exact = judged((y + one, y + two), y, hidden, noise, mean, basis)
    assert exact.error == pytest.approx(0, abs=0.03)


def test_the_power_of_draws_is_held_against_that_of_images_that_show_it():
    basis, g = FourierBasis((8, 8)), torch.Generator().manual_seed(0)
    spectrum = (1 / (0.1 + basis.radius()))[None]
    y = basis.inverse(spectrum.sqrt() * basis.forward(torch.randn(2000, 1, 8, 8, generator=g, dtype=torch.float64)))
    turned = (torch.arange(2000) % 2)[:, None, None, None] == (basis.radius() > 0.3)
    noise = torch.where(turned, torch.inf, 0.0).double()
    prior = GaussianPrior.of(DataStatistics(torch.zeros(1, 8, 8, dtype=torch.float64), spectrum, 1000, basis))
    draws = prior.draw(y, noise, draw=0), prior.draw(y, noise, draw=1)
    found = judged(draws, y, turned.double(), noise, torch.zeros(1, 8, 8), basis)
    assert found.power == pytest.approx(1, abs=0.03)
    assert found.error == pytest.approx(1, abs=0.03)


def test_a_lap_gains_by_more_than_chance_and_is_refused_by_the_alarm():
    g = torch.Generator().manual_seed(0)
    errors = 1 + 0.1 * torch.randn(100, generator=g)
    before = Lap(1, Judged(errors, 1.0))
    assert gains(Lap(2, Judged(errors - 0.1, 1.0)), before, True)
    assert not gains(Lap(2, Judged(errors - 0.1, 1.5)), before, True)
    assert gains(Lap(2, Judged(errors - 0.1, 1.5)), before, False)
    assert not gains(Lap(2, Judged(errors + 0.001 * torch.randn(100, generator=g) + 0.01, 1.0)), before, True)
    assert "gained on lap 1" in Lap(2, Judged(errors - 0.1, 1.0)).line(before)
