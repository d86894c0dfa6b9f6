"""Guards against the closed form of the leak: the Dirichlet kernel, and windows that are cut by hand."""

import math

import numpy as np
import pytest
import torch

from sagd.errors import InputError
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.grid import Grid
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Guarded, Spots, Strip
from sagd.omission.guard import UNDER, guard_of, measured_excess, next_bins, through_window, unguarded
from sagd.omission.removal.geometry import parts_of


def dirichlet(f, n):
    """Power of a window of `n` samples, unitary, at bins `k / n` of a wave of unit amplitude and frequency `f`."""
    d = math.pi * (f - np.arange(n) / n)
    top, bottom = np.sin(n * d), np.sin(d)
    at = np.abs(bottom) < 1e-12
    return np.where(at, n, top / np.where(at, 1, bottom)) ** 2 / n


def cosine(f, n):
    """Mean power of `cos(2 pi f x + phase)` over phases, on the half spectrum."""
    return (dirichlet(f, n) + dirichlet(-f, n))[: n // 2 + 1] / 4


def line(basis, *f):
    """Spectrum of a periodic field that is `cos(2 pi f x + phase)`, which has mean square 1/2."""
    at = torch.zeros(basis.coefficients, dtype=torch.float64)
    index = [round(own * side) % side for own, side in zip(f, basis.spatial, strict=True)]
    at[tuple(index)] = basis.size / 4
    if index[-1] in (0, basis.spatial[-1] / 2):
        at[tuple(-i % side for i, side in zip(index, basis.spatial, strict=True))] = basis.size / 4
    return at


@pytest.mark.parametrize(("k", "n"), [(37, 16), (45, 15), (100, 40), (3, 32)])
def test_waves_leak_as_the_dirichlet_kernel(k, n):
    basis = FourierBasis((480,))
    shown = through_window(line(basis, k / 480), basis, (n,))
    np.testing.assert_allclose(shown.numpy(), cosine(k / 480, n), atol=1e-12)


def test_windows_by_hand():
    """All windows of one periodic field, in two dimensions, of any spectrum."""
    basis, n, m = FourierBasis((12, 10)), 5, 4
    x = torch.randn(12, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shown = through_window(basis.forward(x).abs().square(), basis, (n, m))
    own, total = FourierBasis((n, m)), 0.0
    for row in range(12):
        for column in range(10):
            window = x.roll((-row, -column), (0, 1))[:n, :m]
            total = total + own.forward(window).abs().square()
    torch.testing.assert_close(shown, total / 120)
    torch.testing.assert_close(through_window(shown, own, (n, m)), shown)
    with pytest.raises(InputError, match="do not fit"):
        through_window(shown, own, (6, 4))


def test_the_power_outside_of_band_and_guard_is_that_of_the_kernel():
    """A wave half-way between bins, 100 times the clean power where it is strongest."""
    n, f, band = 64, 10.5 / 64, Spots(((10.5 / 64,),), 0.001)
    damage = torch.from_numpy(cosine(f, n))
    smooth = damage.max() / 100 * torch.ones_like(damage)
    guard = guard_of(band, damage, smooth, FourierBasis((n,)))
    bins = np.arange(n // 2 + 1)
    away = np.abs(bins - 10.5)
    ring = np.ceil(away - 0.5)  # bins 10 and 11 are next to it
    loud = [damage.numpy()[ring == k].sum() > UNDER * smooth.numpy()[ring == k].sum() for k in range(20)]
    reach = loud.index(False) - 1
    assert guard.bins == pytest.approx(reach + 0.75, abs=1e-3)
    # Far away the kernel is 1 / (pi d)^2, against 4 / pi^2 at half a bin.
    assert reach == pytest.approx(math.sqrt(100 / 4 / UNDER) - 0.5, abs=1)
    weight = np.where((bins == 0) | (bins == n // 2), 1, 2) * (bins > 0)
    power = weight * damage.numpy()
    assert guard.outside == pytest.approx(power[away > reach + 0.75].sum() / power.sum(), rel=1e-9)
    assert isinstance(guard.band, Guarded)
    assert f"{100 * guard.outside:.2g} %" in guard.line()
    assert unguarded(guard.band) == band


def test_waves_between_the_bins_of_images_are_measured():
    n, f = 32, (5.5 / 32, 9.3 / 32)
    g = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(*2 * [torch.arange(n, dtype=torch.float64)], indexing="ij")
    phase = 2 * math.pi * torch.rand(200, 1, 1, generator=g, dtype=torch.float64)
    x = torch.randn(200, n, n, generator=g, dtype=torch.float64)
    x = x + 0.8 * torch.cos(2 * math.pi * (f[0] * rows + f[1] * columns) + phase)
    basis = FourierBasis((n, n))
    power = basis.forward(x - x.mean((1, 2), keepdim=True)).abs().square().mean(0)
    band = Spots((f,), 0.002)
    guard = guard_of(band, *measured_excess(power, band, basis), basis)
    shown = sum(np.outer(dirichlet(s * f[0], n), dirichlet(s * f[1], n))[:, : n // 2 + 1] * 0.8**2 / 4 for s in (1, -1))
    inside = (guard.band.weights(basis.frequencies()) > 0).numpy()
    weight = basis.multiplicity().numpy()
    left = (weight * shown)[~inside].sum() / (weight * shown).sum()
    assert 1 < guard.bins < 6
    assert guard.outside == pytest.approx(left, abs=0.05)


def test_damage_on_the_grid_needs_no_guard():
    n = 32
    g = torch.Generator().manual_seed(1)
    x = torch.randn(100, n, n, generator=g, dtype=torch.float64)
    x = x + 3 * torch.randn(100, n, 1, generator=g, dtype=torch.float64)
    basis = FourierBasis((n, n))
    band = Strip(axis=0, low=0.03)
    power = basis.forward(x).abs().square().mean(0)
    guard = guard_of(band, *measured_excess(power, band, basis), basis)
    assert (guard.band, guard.by) == (band, 0)
    assert guard.outside < 0.02
    assert guard.line().startswith("guard: none")


def test_a_leak_over_everything_is_refused():
    basis, band = FourierBasis((16,)), Spots(((0.22,),), 0.01)
    with pytest.raises(InputError, match=r"leaks over all frequencies of 16 samples; .*crop"):
        guard_of(band, torch.ones(9), 0.1 * torch.ones(9), basis)


@pytest.mark.parametrize(
    ("band", "near", "far"),
    [
        ("ring(low=0.2, high=0.4)", 0.4 + 0.05, 0.4 + 0.15),
        ("spots(at=[[0.0, 0.2]], radius=0.02)", 0.25, 0.3),
        ("strip(axis=1, low=0.1, high=0.2)", 0.25, 0.3),
        ("stripes(angle=0, low=0.1, high=0.2)", 0.25, 0.3),
        ("wedge(angle=0, width=40, low=0.2, high=0.4)", 0.4 + 0.05, 0.4 + 0.15),
        ("strip(axis=1, low=0.4) + spots(at=[[0.0, 0.2]], radius=0.02)", 0.25, 0.3),
    ],
)
def test_guards_reach_so_far_and_leave_the_mean(band, near, far):
    """Along the columns' axis; radii of rings and wedges are fractions of the corner radius."""
    scale = math.sqrt(0.5) if "corner" in str(Spectrum.parse(band).measures.values()) else 1.0
    f = torch.tensor([[0.0, 0.0, 0.0], [0.0, near * scale, far * scale]], dtype=torch.float64)
    guarded = Guarded(band, 0.06)
    assert guarded.weights(f).tolist() == [0, 1, 0]
    assert Spectrum.parse(str(guarded)) == Spectrum.from_dict(guarded.to_dict()) == guarded
    soft = Guarded(band, 0.06, soft=0.1).weights(f)
    assert 0 < soft[2] < 1 == soft[1]
    assert soft[0] == 0


def test_guards_need_edges():
    with pytest.raises(InputError, match="has no edges to measure from"):
        Guarded("band_pass(low=0.1, high=0.2)", 0.1).weights(FourierBasis((8,)).frequencies())
    with pytest.raises(InputError, match="must not be negative, got -1"):
        Guarded("ring(low=0.1)", -1)
    assert Guarded("ring(low=0.0, high=0.1)", 0.05).weights(torch.zeros(2, 1)) == 1


def test_windows_hold_some_bin_of_any_band():
    for at in ((0.11, 0.237), (0.26, 0.04), (0.485, 0.331)):
        band = next_bins(Spots((at,), 1e-4), (16, 20))
        assert (band.weights(FourierBasis((16, 20)).frequencies()) > 0).any()


def test_bins_beside_a_narrow_band_that_the_damage_leaks_to_are_guarded():
    # A wave between bins under a band that holds the nearest bin alone: most of its power is there, not all.
    side, f = 32, (0.1406 + 0.3 / 32, 0.25)
    i, j = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    phase = 2 * math.pi * torch.rand(200, 1, 1, generator=torch.Generator().manual_seed(0))
    wave = torch.cos(2 * math.pi * (f[0] * i + f[1] * j) + phase)
    x = wave + 0.1 * torch.randn(200, side, side, generator=torch.Generator().manual_seed(1))
    basis = FourierBasis((side, side))
    power = basis.forward((x - x.mean((1, 2), keepdim=True)).double()).abs().square().mean(0)
    band = Spots((f,), 0.012)
    damage, smooth = measured_excess(power, band, basis)
    guard = guard_of(band, damage, smooth, basis)
    assert guard.by > 0
    inside = guard.band.weights(basis.frequencies()) > 0
    weight = basis.multiplicity()
    truth = (weight * (power - 0.01)).clamp(min=0)
    assert guard.outside == pytest.approx(float(truth[~inside].sum() / truth.sum()), abs=0.03)


def test_guards_of_bands_in_units():
    """60 Hz at 400 samples per second, 1 Hz to each side, and a guard of 2 Hz in cycles per sample."""
    grid = Grid.parse("400 Hz")
    band = Guarded(Spectrum.parse("spots(at=[['60 Hz']], radius='1 Hz')"), 2 / 400).on(grid)
    f = torch.tensor([[56.9, 57.1, 60, 62.9, 63.1]], dtype=torch.float64) / 400
    assert band.weights(f).tolist() == [0, 1, 1, 1, 0]
    (part,) = parts_of(band, f)
    assert part.inside.tolist() == [False, True, True, True, False]
    torch.testing.assert_close(part.across * 400, (f[0] * 400 - 60).abs(), atol=1e-4, rtol=0)


def test_each_shape_of_a_band_keeps_its_own_guard():
    f = torch.linspace(0, 0.5, 101, dtype=torch.float64)[None]
    parts = parts_of(Guarded("spots(at=[[0.1], [0.3]], radius=0.01) + ring(low=0.8, high=0.9)", 0.021), f)
    assert [(float(f[0][p.inside].min()), float(f[0][p.inside].max())) for p in parts] == [
        (pytest.approx(0.07), pytest.approx(0.13)),
        (pytest.approx(0.27), pytest.approx(0.33)),
        (pytest.approx(0.38), pytest.approx(0.47)),
    ]
