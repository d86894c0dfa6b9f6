"""Whether damage is fixed or multiplies, told from damaged images."""

import pytest
import torch

from sagd.noise.bands import mask
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.power_law import PowerLaw
from sagd.omission.premise import Premise, _beside, premise

BASIS = FourierBasis((32, 32))
COSINE = CosineBasis((32, 32))
BAND = "strip(axis=1, low=0.05, width=0.03)"


def images(count=300, seed=0):
    """Of many brightnesses."""
    g = torch.Generator().manual_seed(seed)
    x = SpectralCovariance(PowerLaw(-1.0), (1, 32, 32)).sample(count, g)
    light = torch.rand(count, 1, 1, 1, generator=g) * 1.5 + 0.2
    return light * (1 + 0.15 * x).clamp(min=0) - 1


def columns(count, seed=1):
    return torch.randn(count, 1, 1, 32, generator=torch.Generator().manual_seed(seed)).expand(count, 1, 32, 32)


def of(x):
    return premise(x.split(64), BAND, BASIS, dark=-1.0)


def test_damage_that_adds_and_changes_is_as_it_should_be():
    x = images()
    found = of(x + 0.3 * columns(len(x)))
    assert not found.is_fixed
    assert not found.is_multiplied
    assert found.lines() == []
    assert found.fixed == pytest.approx(0, abs=0.05)
    assert abs(found.multiplies) < 4 * found.error


@pytest.mark.parametrize("share", [0.7, 1.0])
def test_the_share_that_is_fixed(share):
    x = images()
    damage = share**0.5 * columns(1).expand(len(x), -1, -1, -1) + (1 - share) ** 0.5 * columns(len(x), 2)
    # One pattern of random columns has 15 % more or less power than their mean.
    expected = share * float(columns(1).var()) / (share * float(columns(1).var()) + 1 - share)
    found = of(x + 0.3 * damage)
    assert found.fixed == pytest.approx(expected, abs=0.08)
    assert found.is_fixed
    assert "same in all images" in found.lines()[0]


def test_a_gain_has_slope_one():
    x = images()
    found = of((x + 1) * (1 + 0.3 * columns(len(x))) - 1)
    assert found.multiplies == pytest.approx(1, abs=0.15)
    assert found.is_multiplied
    assert not found.is_fixed
    assert "brighter" in found.lines()[0]


def test_nothing_is_told_where_nothing_stands_out_or_few_images_are():
    assert of(images()) == Premise()
    assert of((images() + 0.3 * columns(300))[:20]) == Premise()
    flat = of(0.0 * images() + 0.3 * columns(300) + 0.0)
    assert flat.fixed is not None


def test_frequencies_beside_a_band_do_not_go_on_beyond_the_half_spectrum():
    """Rows' patterns lie on its first column, of which the last ones are as far away as can be."""
    inside = mask("strip(axis=0, low=0.1, width=0.05)", BASIS) > 0
    beside = _beside(inside, BASIS)
    assert beside.any(0).nonzero().flatten().tolist() == [0, 1, 2, 3]
    assert not (beside & inside).any()
    high = mask("strip(axis=1, low=0.4, high=0.45)", BASIS) > 0
    assert _beside(high, BASIS).any(0).nonzero().flatten().tolist() == [10, 11, 12, 13, 14, 15, 16]
    rows = mask("strip(axis=0, low=0.45)", BASIS) > 0
    assert _beside(rows, BASIS)[:, 0].nonzero().flatten().tolist() == [12, 13, 14, 18, 19, 20]
    assert _beside(mask("strip(axis=0, low=0.45)", COSINE) > 0, COSINE)[:, 0].nonzero().flatten().tolist() == [
        26,
        27,
        28,
    ]
