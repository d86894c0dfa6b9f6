"""Fields of known spectra, and damage on them at a known level."""

import math

import pytest
import torch

from sagd.data.corruption import Corruption, corrupt
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import measure


@pytest.fixture(scope="session")
def fields():
    """Gaussian fields whose power falls as `r^(2 alpha)`."""

    def make(shape=(1, 32, 32), alpha=-1.0, count=400, seed=0):
        return SpectralCovariance(PowerLaw(alpha), shape).sample(count, torch.Generator().manual_seed(seed)) / 3

    return make


@pytest.fixture(scope="session")
def damaged():
    """Damage whose power in its band exceeds that of the data by so many decibels, and that band."""

    def make(x, text, decibel, seed=1):
        unit, basis = Corruption.parse(text), FourierBasis(tuple(x.shape[2:]))
        b = mask(unit.band(basis.spatial, seed), basis) * basis.multiplicity()
        noise = (b * unit.spectrum(tuple(x.shape[1:]), seed).mean(0)).sum()
        level = math.sqrt((10 ** (decibel / 10) - 1) * float((b * measure(x).spectrum.mean(0)).sum() / noise))
        n = corrupt(torch.zeros_like(x), unit, seed)
        return x + level * n, mask(unit.band(basis.spatial, seed), basis)

    return make
