"""Smooth fits to spectra."""

import torch

from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.detection.smooth import robust_fit, smooth_fit


def test_the_fit_does_not_see_what_lies_above():
    x = torch.stack([torch.ones(200), torch.linspace(-1, 1, 200)], 1).double()
    y = x @ torch.tensor([1.0, 2.0]).double() + 0.02 * torch.randn(200, generator=torch.Generator().manual_seed(0))
    y[60:140] += 3
    torch.testing.assert_close(
        robust_fit(x, y, torch.ones(200).double()), torch.tensor([1.0, 2.0]).double(), atol=0.03, rtol=0
    )


def test_power_laws_are_fitted_exactly():
    basis = FourierBasis((32, 24))
    radius = basis.radius().double().clamp(min=1 / 32)
    levels = 1.5 - 2.2 * radius.log()
    free = basis.radius() > 0
    assert (smooth_fit(levels, basis, free) - levels)[free].abs().max() < 1e-3


def test_a_band_above_the_smooth_spectrum_stays_above_the_fit():
    basis = FourierBasis((48, 48))
    radius = basis.radius().double().clamp(min=1 / 48)
    noise = 0.05 * torch.randn(radius.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    levels, band = -2 * radius.log() + noise, (radius > 0.2) & (radius < 0.25)
    rest = levels + 2.0 * band - smooth_fit(levels + 2.0 * band, basis, basis.radius() > 0)
    assert rest[band].mean() > 1.8
    assert rest[~band & (basis.radius() > 0.05)].abs().mean() < 0.15
