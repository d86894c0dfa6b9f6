"""The solver of examples/turbulence.py against flows that are known exactly, and against what is conserved."""

from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
SIDE = 32


@pytest.fixture
def turbulence(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from examples import turbulence

    return turbulence


def places():
    x = 2 * torch.pi * torch.arange(SIDE, dtype=torch.float64) / SIDE
    return x[:, None], x[None]


def random_flow(turbulence, seed=0, runs=2):
    """Eddies of wave numbers 1 to 6, of vorticity 1, float64."""
    like = torch.zeros(runs, SIDE, SIDE // 2 + 1, dtype=torch.complex128)
    w = turbulence.in_ring(turbulence.noise(like, torch.Generator().manual_seed(seed)), 1, 6)
    return w / turbulence.mean_square(w).mean().sqrt()


def inner(w, v):
    """Mean product of the fields of coefficients."""
    return (torch.fft.irfft2(w) * torch.fft.irfft2(v)).mean((-2, -1))


def test_vortices_of_taylor_and_green_decay_exactly(turbulence):
    """`cos(2x) cos(3y)` does not move itself: `exp(-(nu (4 + 9) + mu) t)` is all that happens."""
    x, y = places()
    w = torch.fft.rfft2(torch.cos(2 * x) * torch.cos(3 * y))[None]
    flow = turbulence.Flow(viscosity=0.03, drag=0.2)
    for _ in range(10):
        after = w = flow.step(w, 0.1)
    expected = torch.exp(torch.tensor(-(0.03 * 13 + 0.2))) * torch.cos(2 * x) * torch.cos(3 * y)
    torch.testing.assert_close(torch.fft.irfft2(after)[0], expected.double(), rtol=0, atol=1e-7)


def test_advection_is_its_closed_form(turbulence):
    """`-u . grad w` of two waves against its closed form."""
    x, y = places()
    w = torch.fft.rfft2(torch.cos(x) + torch.cos(2 * y))[None]
    # psi = cos x + cos(2y) / 4: u = (d psi/dy, -d psi/dx) = (-sin(2y) / 2, sin x).
    exact = -((-torch.sin(2 * y) / 2) * (-torch.sin(x)) + torch.sin(x) * (-2 * torch.sin(2 * y)))
    torch.testing.assert_close(torch.fft.irfft2(turbulence.advection(w))[0], exact, rtol=0, atol=1e-12)


def test_energy_and_enstrophy_are_conserved_without_friction(turbulence):
    w = random_flow(turbulence)
    before = inner(w, turbulence.stream(w)), inner(w, w)
    moved = w
    for _ in range(40):
        moved = turbulence.Flow(viscosity=0.0).step(moved, 0.02)
    after = inner(moved, turbulence.stream(moved)), inner(moved, moved)
    assert (torch.fft.irfft2(moved - w)).abs().max() > 0.1
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old, rtol=1e-6, atol=0)


def test_steps_are_of_fourth_order(turbulence):
    w, flow = random_flow(turbulence), turbulence.Flow(viscosity=0.01)

    def after(steps):
        x = w
        for _ in range(steps):
            x = flow.step(x, 1.0 / steps)
        return torch.fft.irfft2(x)

    exact = after(160)
    coarse, fine = ((after(steps) - exact).abs().max() for steps in (10, 20))
    assert 12 < coarse / fine < 20


def test_velocity_has_the_power_of_vorticity_over_the_square_of_wave_numbers(turbulence):
    w = random_flow(turbulence)
    x, y = turbulence.waves(w)
    u, v = turbulence.velocity(w)
    square = (x**2 + y**2).clamp(min=1)
    torch.testing.assert_close(u.abs() ** 2 + v.abs() ** 2, w.abs() ** 2 / square)
    torch.testing.assert_close(turbulence.stream(w).abs() ** 2, w.abs() ** 2 / square**2)
    torch.testing.assert_close(1j * x * u + 1j * y * v, torch.zeros_like(w), rtol=0, atol=1e-9)  # incompressible


def test_stirring_puts_in_the_enstrophy_that_it_says(turbulence):
    """From rest, `<w^2> / 2 = stirring t` on average."""
    flow, g = turbulence.Flow(stirring=3.0), torch.Generator().manual_seed(0)
    w = torch.zeros(50, SIDE, SIDE // 2 + 1, dtype=torch.complex128)
    for _ in range(20):
        w = flow.stirred(w, 0.05, g)
    assert float(turbulence.mean_square(w).mean()) / 2 == pytest.approx(3.0, rel=0.05)
    outside = turbulence.in_ring(w, *flow.ring) - w
    assert outside.abs().max() == 0


def test_a_coarser_grid_holds_the_same_waves(turbulence):
    x, y = places()
    w = torch.fft.rfft2(0.5 + torch.cos(3 * x + 2 * y) + torch.sin(5 * x - 7 * y) + torch.cos(12 * x))
    coarse = turbulence.on_grid(w, 16)
    x, y = x[::2], y[:, ::2]
    torch.testing.assert_close(coarse, 0.5 + torch.cos(3 * x + 2 * y) + torch.sin(5 * x - 7 * y))


@pytest.mark.parametrize("field", ["vorticity", "velocity", "stream"])
def test_fields_are_written_run_by_run(turbulence, field, tmp_path):
    path = tmp_path / "fields.npy"
    turbulence.main([str(path), "--field", field, "--runs", "2", "--times", "1", "--side", "8"])
    found = np.load(path)
    assert (found.shape, found.dtype) == ((2, 8, 8), np.float32)
    assert np.isfinite(found).all()
    assert found.std() > 0
    turbulence.main([str(tmp_path / "again.npy"), "--field", field, "--runs", "2", "--times", "1", "--side", "8"])
    assert (np.load(tmp_path / "again.npy") == found).all()
