"""Increments against closed forms: white noise, Brownian motion, Laplace steps, masks."""

import json
import math

import pytest
import torch

from sagd.metrics import fields as module
from sagd.metrics import increments


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def laplace(*shape, seed=0):
    u = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5
    return -u.sign() * (1 - 2 * u.abs()).log()


@pytest.mark.parametrize("spatial", [(16,), (8, 16), (4, 8, 6)])
def test_lags_double_along_every_axis(spatial):
    got = increments(normal(6, 2, *spatial), normal(6, 2, *spatial, seed=1))
    lags = {16: [1, 2, 4, 8], 8: [1, 2, 4], 6: [1, 2], 4: [1, 2]}
    assert [(e.axis, e.lag) for e in got.entries] == [(a, lag) for a, side in enumerate(spatial) for lag in lags[side]]
    assert all(len(e.flatness) == 2 for e in got.entries)


def test_structure_function_of_white_noise_is_twice_its_variance():
    """Against Brownian motion, whose is the lag: ratio 2 sigma^2 / lag."""
    white, brownian = 0.5 * normal(4000, 1, 32), normal(4000, 1, 32, seed=1).cumsum(-1)
    for e in increments(white, brownian).entries:
        assert e.ratio_db[0] == pytest.approx(10 * math.log10(2 * 0.25 / e.lag), abs=0.2)
        assert e.flatness[0] == pytest.approx(3, rel=0.05)
        assert e.reference_flatness[0] == pytest.approx(3, rel=0.08)


def test_flatness_of_sums_of_laplace_steps():
    """One Laplace step has flatness 6, the sum of `l` of them 3 + 3 / l; fields of the same spectrum have 3."""
    steps, gaussian = laplace(4000, 1, 32).cumsum(-1), math.sqrt(2) * normal(4000, 1, 32).cumsum(-1)
    got = increments(steps, gaussian)
    for e in got.entries:
        assert e.flatness[0] == pytest.approx(3 + 3 / e.lag, rel=0.06)
        assert e.ratio_db[0] == pytest.approx(0, abs=0.15)
    expected = (sum((10 * math.log10(1 + 1 / e.lag)) ** 2 for e in got.entries) / len(got.entries)) ** 0.5
    assert got.flatness_rms_db == pytest.approx(expected, rel=0.1)
    assert got.flatness_rms_db_interval[0] > 1
    assert got.structure_rms_db < 0.1


def test_axes_are_told_apart():
    """Brownian along the rows: rows are far from each other at once, columns by and by."""
    x = normal(50, 1, 8, 8).cumsum(3)
    got = increments(x.transpose(2, 3), x)
    assert [e.ratio_db[0] > 0 for e in got.entries] == [False] * 3 + [True] * 3


def test_identical_sets_have_no_error():
    x = normal(30, 2, 8, 8)
    got = increments(x, x)
    assert got.structure_rms_db == got.flatness_rms_db == 0
    assert got.structure_rms_db_interval[0] == 0


@pytest.mark.parametrize("size", [1.0, 1.1])
def test_intervals_hold_their_level(size):
    """The true error is 20 log10(size) at every lag, and none of flatness; 150 repetitions of 60 fields."""
    truth, covered = 20 * math.log10(size), [0, 0]
    for seed in range(150):
        x, y = (normal(60, 1, 32, seed=2 * seed + k).cumsum(-1) for k in (0, 1))
        got = increments(size * x, y)
        for which, (value, (low, high)) in enumerate(
            ((truth, got.structure_rms_db_interval), (0.0, got.flatness_rms_db_interval))
        ):
            covered[which] += low <= value + 1e-9 and value <= high
    assert min(covered) >= 132  # binomial with 0.95: 4e-4


def test_masked_increments_are_those_of_what_is_valid(monkeypatch):
    """Padded signals say what the signals said, whatever the padding holds."""
    monkeypatch.setattr(module, "_VALUES", 500)
    x, lengths = normal(40, 1, 64).cumsum(-1), torch.randint(20, 65, (40,), generator=torch.Generator().manual_seed(2))
    mask = (torch.arange(64) < lengths[:, None])[:, None]
    reference = normal(50, 1, 64, seed=1).cumsum(-1)
    got = increments(torch.where(mask, x, 777.0), reference, mask)
    for e in got.entries:
        valid = [signal[0, :n] for signal, n in zip(x, lengths, strict=True)]
        d = torch.cat([signal[e.lag :] - signal[: -e.lag] for signal in valid])
        r = reference[..., e.lag :] - reference[..., : -e.lag]
        assert e.ratio_db[0] == pytest.approx(float(10 * (d.square().mean() / r.square().mean()).log10()), abs=1e-9)
        assert e.flatness[0] == pytest.approx(float(d.pow(4).mean() / d.square().mean() ** 2), rel=1e-9)


def test_fields_of_one_place_have_no_increments():
    got = increments(normal(9, 3, 1), normal(9, 3, 1, seed=1))
    assert got.entries == ()
    assert json.loads(json.dumps(got.to_dict(), allow_nan=False))["structure_rms_db"] is None


def test_constant_fields_are_infinitely_wrong():
    plain = increments(torch.zeros(9, 1, 8), normal(9, 1, 8)).to_dict()
    assert plain["structure_rms_db"] is plain["structure_rms_db_interval"] is None
    json.dumps(plain, allow_nan=False)
