"""Flatness by ring against closed forms: Gaussian fields have 3, mixtures what their variances say."""

import json

import pytest
import torch

from sagd import InputError
from sagd.metrics import ring_flatness
from sagd.metrics.fields import Fields
from sagd.metrics.rings import basis_for
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis


def noise(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 64), (2, 16, 16), (1, 8, 8, 8)])
def test_gaussian_fields_of_any_spectrum_have_three(shape):
    basis = FourierBasis(shape[1:])
    steep = basis.inverse((basis.radius() + 0.05) ** -2 * basis.forward(noise(0, 400, *shape).double()))
    found = ring_flatness(steep, noise(1, 400, *shape), bands=4)
    for rows in (found.flatness, found.reference_flatness):
        assert torch.tensor(rows).flatten().tolist() == pytest.approx([3] * 4 * shape[0], abs=0.35)
    low, high = found.flatness_rms_db_interval
    assert low < 0.1  # of three intervals, one may just miss the truth
    assert found.flatness_rms_db < 0.35
    assert high < 0.6


def test_fields_of_two_strengths_have_the_flatness_of_the_mixture():
    """`3 <s^4> / <s^2>^2` where a field is `s` times a Gaussian one."""
    strength = torch.tensor([1.0, 3.0]).repeat(400)[:, None, None, None]
    found = ring_flatness(strength * noise(2, 800, 1, 16, 16), noise(3, 800, 1, 16, 16), bands=4)
    assert torch.tensor(found.flatness[0]).tolist() == pytest.approx([3 * 41 / 25] * 4, rel=0.12)
    assert found.flatness_rms_db == pytest.approx(10 * torch.tensor(41 / 25).log10().item(), abs=0.3)
    assert found.flatness_rms_db_interval[0] > 1


def test_one_ring_alone_is_uneven():
    basis = FourierBasis((16, 16))
    low = (basis.relative_radius() < 0.5).double()
    strength = torch.tensor([1.0, 3.0]).repeat(400)[:, None, None, None].double()
    parts = (noise(seed, 800, 1, 16, 16).double() for seed in (4, 5))
    x, y = (basis.inverse(mask * basis.forward(part)) for mask, part in zip((low, 1 - low), parts, strict=True))
    found = ring_flatness(strength * x + y, x + y, bands=2)
    assert found.flatness[0] == pytest.approx((3 * 41 / 25, 3), rel=0.1)


def test_rings_without_power_are_left_out():
    basis = FourierBasis((16, 16))
    x = basis.inverse((basis.relative_radius() < 0.5).double() * basis.forward(noise(6, 60, 1, 16, 16).double()))
    found = ring_flatness(x, x, bands=4)
    assert torch.tensor(found.flatness[0]).isnan().tolist() == [False, False, True, True]
    assert found.flatness_rms_db == 0
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["flatness"][0][3] is None


def test_masked_places_do_not_enter():
    x, y = noise(7, 200, 1, 8, 8), noise(8, 200, 1, 8, 8)
    mask = torch.ones(200, 1, 8, 8, dtype=torch.bool)
    mask[:, :, 3, 4] = False
    spoilt = torch.where(mask, x, torch.nan)
    spikes = torch.where(mask, x, 100.0)
    found = ring_flatness(spoilt, y, 4, samples_mask=mask)
    assert found == ring_flatness(spikes, y, 4, samples_mask=mask)
    assert found.flatness_rms_db < 0.5


def test_fields_whose_ends_do_not_meet_are_mirrored():
    walk = noise(9, 50, 1, 64).cumsum(-1)
    assert isinstance(basis_for(Fields(walk)), CosineBasis)
    assert isinstance(basis_for(Fields(noise(10, 50, 1, 64))), FourierBasis)


def test_sets_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="with equal channels and sides"):
        ring_flatness(noise(0, 4, 1, 8), noise(1, 4, 1, 9))
