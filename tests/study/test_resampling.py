"""What is measured on resampled images, against numpy."""

import json

import numpy as np
import pytest
import torch

from sagd.data.files import Named
from sagd.data.meaning import Meaning
from sagd.noise.bands import mask
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.study.resampling import measured
from sagd.study.restoration import BANDS


def test_measures_by_numpy():
    g = torch.Generator().manual_seed(0)
    given, samples = torch.randn(2, 3, 8, 10, generator=g), torch.randn(4, 2, 3, 8, 10, generator=g)
    result = measured(
        Named(("a", "b"), given, Meaning()), samples, Spectrum.parse("ring(low=0.5)"), FourierBasis((8, 10))
    )
    f = [np.fft.fftfreq(n) for n in (8, 10)]
    rho = np.hypot(f[0][:, None], f[1]) / np.sqrt(0.5)
    kept = np.fft.ifft2(np.fft.fft2(given.double().numpy()) * (rho < 0.5 - 1e-9)).real
    assert np.allclose(result.kept, kept, atol=1e-6)
    assert result.replaced == pytest.approx((rho >= 0.5 - 1e-9).mean())
    index = np.minimum((rho + 1e-9) * BANDS // 1, BANDS - 1)
    power = (np.abs(np.fft.fft2(samples.double().numpy())) ** 2 / 80).mean((0, 1, 2))
    expected = [power[index == k].mean() if (index == k).any() else np.nan for k in range(BANDS)]
    assert np.allclose(result.spectra["resampled"], expected, equal_nan=True)
    assert result.change_outside > 0.1
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["draws"] == 4


def test_a_draw_that_keeps_the_rest_changes_nothing_outside():
    given = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    result = measured(
        Named(("a", "b"), given, Meaning()), given[None], Spectrum.parse("ring(low=0.5)"), FourierBasis((8, 8))
    )
    assert result.change_outside == 0


def test_the_band_is_one_of_the_models_basis():
    basis = CosineBasis((8, 6))
    given = torch.randn(2, 1, 8, 6, generator=torch.Generator().manual_seed(0))
    inside = (mask("ring(low=0.5)", basis) > 0).double()
    c = torch.randn(3, 2, 1, *basis.coefficients, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    draws = given + basis.inverse(inside * c).float()
    result = measured(Named(("a", "b"), given, Meaning()), draws, Spectrum.parse("ring(low=0.5)"), basis)
    assert result.change_outside < 1e-6
    assert result.replaced == pytest.approx(float(inside.mean()))
    assert torch.allclose(basis.forward(result.kept.double()) * inside, torch.zeros(()).double(), atol=1e-6)
