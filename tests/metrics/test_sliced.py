"""Sliced Wasserstein distances against closed forms and scipy."""

import json
import math

import pytest
import torch
from scipy import stats

from sagd.metrics import fields as fields_module
from sagd.metrics import sliced as module
from sagd.metrics import sliced_wasserstein
from sagd.metrics.sliced import wasserstein


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(50, 50), (50, 33), (7, 90)])
def test_one_dimension_equals_scipy(size):
    a, b = normal(size[0], 3).double(), normal(size[1], 3, seed=1).double() + 0.4
    expected = [stats.wasserstein_distance(a[:, k], b[:, k]) for k in range(3)]
    assert wasserstein(a, b).tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", [(40, 1, 64), (40, 3, 16, 16), (40, 1, 8, 8, 8), (40, 2, 3, 20), (40, 1, 2)])
def test_identical_sets_are_not_apart(shape):
    x = normal(*shape)
    got = sliced_wasserstein(x, x)
    assert got.distance == got.fields == 0
    assert all(p.distance == 0 for p in got.patches)


def test_a_shift_of_white_fields():
    """Along a unit vector a shift `v` is `<theta, v>`, of mean size `|v| sqrt(2 / (pi d))` for many values `d`."""
    x, v = normal(2000, 1, 64), normal(1, 1, 64, seed=1)
    got = sliced_wasserstein(x + v, x).fields
    # 64 directions: a standard error of 0.6 / 8 of the mean.
    assert got == pytest.approx(float(v.norm()) * math.sqrt(2 / math.pi / 64), rel=0.25)


def test_a_wider_law_of_white_fields():
    """Along every direction N(0, s) against N(0, 1): (s - 1) sqrt(2 / pi); the same for patches at every scale."""
    got = sliced_wasserstein(1.5 * normal(3000, 1, 32, 32), normal(3000, 1, 32, 32, seed=1))
    expected = 0.5 * math.sqrt(2 / math.pi)
    assert got.fields == pytest.approx(expected, rel=0.1)
    assert [p.factor for p in got.patches] == [1, 2, 4]
    assert [p.distance for p in got.patches] == pytest.approx([expected] * 3, rel=0.1)


def test_scales_say_where_the_fault_is():
    """What lies in the finest details only is of the finest scale only."""
    x, y = normal(400, 1, 32, 32), normal(400, 1, 32, 32, seed=1)
    detail = normal(400, 1, 32, 32, seed=2)
    detail -= torch.nn.functional.avg_pool2d(detail, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    fine, middle, coarse = (p.distance for p in sliced_wasserstein(x + detail, y).patches)
    assert fine > 5 * max(middle, coarse)


def test_phases_are_told_in_patches():
    """Spikes against Gaussian noise: one spectrum, other patches."""
    spikes = normal(300, 1, 64) * (normal(300, 1, 64, seed=1) > 1.5) * 15**0.5
    got, floor = (sliced_wasserstein(x, normal(300, 1, 64, seed=2)) for x in (spikes, normal(300, 1, 64, seed=3)))
    assert got.distance > 1.5 * floor.distance


def test_units_and_channels_do_not_matter():
    x, y = normal(100, 2, 32), normal(100, 2, 32, seed=1)
    scale, shift = torch.tensor([[3.0], [200.0]]), torch.tensor([[-5.0], [1.0]])
    one, other = sliced_wasserstein(x, y), sliced_wasserstein(scale * x + shift, scale * y + shift)
    assert other.fields == pytest.approx(one.fields, rel=1e-4)
    assert other.distance == pytest.approx(one.distance, rel=1e-4)


def test_batches_and_chunks_change_nothing(monkeypatch):
    x, y = normal(60, 1, 48), normal(50, 1, 48, seed=1) + 0.2
    whole = sliced_wasserstein(x, y)
    monkeypatch.setattr(fields_module, "_VALUES", 500)
    assert sliced_wasserstein(x, y).distance == pytest.approx(whole.distance, rel=1e-6)
    monkeypatch.setattr(module, "_CHUNK", 20)
    assert sliced_wasserstein(x, y).fields == pytest.approx(whole.fields, rel=0.2)  # other directions
    assert sliced_wasserstein(x, x).fields == 0


def test_the_seed_decides():
    x, y = normal(60, 1, 48), normal(50, 1, 48, seed=1)
    assert sliced_wasserstein(x, y) == sliced_wasserstein(x, y)
    assert sliced_wasserstein(x, y) != sliced_wasserstein(x, y, seed=1)


def test_what_lies_under_the_mask_does_not_matter():
    x, y, mask = normal(60, 1, 48), normal(50, 1, 48, seed=1), normal(60, 1, 48, seed=2) > 0
    one, other = (sliced_wasserstein(torch.where(mask, x, v), y, mask) for v in (9.0, torch.nan))
    assert one == other


def test_constant_data_is_null():
    plain = sliced_wasserstein(normal(9, 1, 8), torch.zeros(9, 1, 8)).to_dict()
    json.dumps(plain, allow_nan=False)
    assert plain["distance"] is None
