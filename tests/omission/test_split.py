"""Arrays in two parts, windows blended into one, and the alarm."""

import math

import pytest
import torch

from sagd.errors import InputError
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.damage import Guarded, Spots, Strip
from sagd.noise.spectra.power_law import PowerLaw
from sagd.omission.alarm import LEAST, excess
from sagd.omission.blending import blended, blended_draw, count_of, require_size
from sagd.omission.removal import measure
from sagd.omission.split import band_part, split


def smooth(*spatial, seed=0):
    x = SpectralCovariance(PowerLaw(-1.0), (1, *spatial)).sample(1, torch.Generator().manual_seed(seed))[0]
    return x.double()


def wave(spatial, f):
    phase = sum(
        2 * math.pi * own * torch.arange(side, dtype=torch.float64).reshape(-1, *(1,) * (len(spatial) - axis - 1))
        for axis, (own, side) in enumerate(zip(f, spatial, strict=True))
    )
    return torch.cos(phase + 0.3)[None].expand(1, *spatial).clone()


@pytest.mark.parametrize(
    ("spatial", "f"), [((600,), (0.1237,)), ((120, 150), (0.1237, 0.2011)), ((40, 36, 44), (0.11, 0.23, 0.17))]
)
def test_waves_between_bins_are_split_off(spatial, f):
    """Of an oblique wave between bins little is left, borders included, and far less than a window would leave."""
    damage, x = wave(spatial, f), 2 + 0 * wave(spatial, f)
    band = Guarded(Spots((f,), 0.002), 4 / min(spatial), soft=2 / min(spatial))
    seen, hidden = split(x + damage, band)
    torch.testing.assert_close(seen + hidden, x + damage)
    assert float((seen - x).square().mean() / damage.square().mean()) < 0.02
    assert float(seen.mean()) == pytest.approx(2, abs=0.02)


def test_what_is_left_of_windows_is_the_clean_rest():
    """A window of the rest does not know the strength of the damage: windows of the damaged image do."""
    band, spatial = Strip(axis=1, low=0.02, width=0.004), (128, 160)
    columns = torch.randn(160, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    damage = (columns - columns.mean()).expand(1, *spatial)
    own = band_part(damage.clone(), Guarded(band, 0.02))
    assert float((own - damage).square().mean() / damage.square().mean()) < 0.05
    clean = smooth(*spatial)
    with_damage = split(clean + 5 * own, Guarded(band, 0.02))[0]
    without = split(clean, Guarded(band, 0.02))[0]
    assert float((with_damage - without).square().mean()) < 1e-3 * float((5 * own).square().mean())


@pytest.mark.parametrize(("spatial", "size"), [((70,), (16,)), ((40, 53), (16, 12)), ((20, 17, 30), (8, 8, 10))])
def test_blended_windows_are_a_partition_of_unity(spatial, size):
    x = smooth(*spatial)
    seen = []

    def estimate(windows):
        seen.append(len(windows))
        return windows

    done = []
    torch.testing.assert_close(blended(x, size, estimate, 7, done.append), x)
    assert sum(seen) == sum(done) == count_of(spatial, size)
    assert max(seen) == 7
    torch.testing.assert_close(blended(x, size, lambda w: torch.full_like(w, 3.0)), torch.full_like(x, 3.0))


def test_windows_show_what_lies_beyond_the_borders_mirrored():
    """An estimate by neighbours, such as a mean, is that of the reflected array at every place."""
    x = torch.arange(24.0)[None]

    def mean(windows):
        return torch.nn.functional.avg_pool1d(windows, 3, 1, 1, count_include_pad=False)

    inner = blended(x, (8,), lambda w: torch.where(torch.arange(8) % 7 == 0, w, mean(w)))
    assert inner[0, 0] == pytest.approx(0 + 1 / 3, abs=0.15)  # its mirror image beside it is itself
    torch.testing.assert_close(inner[0, 4:-4], x[0, 4:-4])


def test_arrays_smaller_than_a_window_are_refused():
    with pytest.raises(InputError, match="the array is 7, smaller than the model's windows of 8"):
        blended(torch.zeros(1, 7), (8,), lambda w: w)
    with pytest.raises(InputError, match=r"'a\.png' is 9 x 9, smaller than the model's windows of 8 x 8 x 8"):
        require_size((9, 9), (8, 8, 8), "'a.png'")


def test_the_alarm_tells_damage_from_clean_and_empty_bands():
    spatial, band = (160, 180), Strip(axis=1, low=0.02, width=0.02, soft=0.005)
    clean = smooth(*spatial, seed=3)
    columns = torch.randn(180, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    damaged = clean + 2 * (columns - columns.mean())
    removal = measure(damaged, band)
    loud, quiet, half = (excess(x, band, removal) for x in (damaged, clean, clean + 0.2 * (damaged - clean)))
    assert loud > 15
    assert abs(quiet) < 1.5
    assert half == pytest.approx(10 * math.log10(10 ** (quiet / 10) + 0.04 * 10 ** (loud / 10)), abs=0.7)
    assert excess(split(damaged, Guarded(band, 0.01))[0], band, removal) < -10
    assert abs(excess(clean, band)) < 1.5
    assert excess(iter([damaged, damaged]), band) > 5
    assert excess(torch.ones(1, 32, 32), band) == LEAST


@pytest.mark.parametrize("spatial", [(40,), (12, 15)])
def test_blended_draws_vary_as_one_does(spatial):
    """In each place, inside and at borders; blending alone takes up to 3/8 of the variance per axis."""
    generator = torch.Generator().manual_seed(0)
    size, count = (8,) * len(spatial), 3000
    mean = torch.linspace(-2, 2, spatial[-1]).expand(1, *spatial)

    def draw(windows, first, k):
        return windows + torch.randn(windows.shape, generator=generator)

    drawn = torch.stack([blended_draw(mean, size, draw) for _ in range(count)])
    variance = drawn.var(0)
    # Each is a sum of squares of 3000 normals: five standard deviations.
    assert float((variance - 1).abs().max()) < 5 * (2 / count) ** 0.5
    assert float((drawn.mean(0) - mean).abs().max()) < 5 / count**0.5
    plain = torch.stack([blended(mean, size, lambda x: draw(x, 0, 0)) for _ in range(count // 4)]).var(0)
    assert float(plain.mean()) < 0.85 ** len(spatial)
