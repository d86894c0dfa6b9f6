"""Rings and wedges over a smooth fit."""

import pytest
import torch

from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.detection.broad import find_rings, find_wedges


def levels(shape, seed=0):
    basis = FourierBasis(shape)
    noise = torch.randn(basis.coefficients, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return basis, 0.1 * noise, basis.radius() > 0


@pytest.mark.parametrize(("low", "high"), [(0.4, 0.5), (0.8, 0.9), (0.7, 1.0)])
@pytest.mark.parametrize("shape", [(48, 48), (2048,), (32, 32, 32)], ids=str)
def test_a_ring(shape, low, high):
    basis, e, free = levels(shape)
    rho = basis.relative_radius()
    found = find_rings(e + ((rho >= low) & (rho < high)) * 1.5, basis, free, 0.1)[0]
    assert abs(found.shape.low - low) < 0.06
    assert abs(found.shape.high - high) < 0.06
    assert found.excess == pytest.approx(1.5, abs=0.5)
    assert found.edge > 0.8


def test_a_bump_has_no_edges():
    basis, e, free = levels((96, 96))
    bump = 1.5 * torch.exp(-((basis.relative_radius() - 0.4) ** 2) / 2 / 0.15**2)
    assert all(found.edge < 0.6 for found in find_rings(e + bump, basis, free, 0.1))


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 175.0])
def test_a_wedge(angle):
    basis, e, free = levels((64, 64))
    f = basis.frequencies().double()
    turn = ((torch.rad2deg(torch.atan2(f[0], f[1])) - angle + 90) % 180 - 90).abs()
    found = find_wedges(e + 1.5 * (turn <= 15), basis, free, 0.1)[0]
    assert abs((found.shape.angle - angle + 90) % 180 - 90) <= 5
    assert 20 <= found.shape.width <= 45
    assert find_wedges(e, basis, free, 0.1) == []
    assert find_rings(e, basis, free, 0.1) == []


def test_records_have_no_wedges():
    basis, e, free = levels((256,))
    assert find_wedges(e, basis, free, 0.1) == []


def test_two_rings_are_two():
    basis, e, free = levels((2048,))
    rho = basis.relative_radius()
    e = e + 1.5 * ((rho >= 0.2) & (rho < 0.3)) + ((rho >= 0.6) & (rho < 0.7))
    lows = sorted(found.shape.low for found in find_rings(e, basis, free, 0.1))
    assert any(abs(low - 0.2) < 0.04 for low in lows)
    assert any(abs(low - 0.6) < 0.04 for low in lows)
