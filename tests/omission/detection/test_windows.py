"""Windows of arrays and their spectra."""

import math

import pytest
import torch

from sagd.errors import InputError
from sagd.omission.detection.windows import cut, hann, whole, window_side, windows_of


@pytest.mark.parametrize(
    ("count", "spatial", "side"),
    [
        (400, (32, 32), (32, 32)),
        (1, (512, 512), (128, 128)),
        (1, (192, 192), (64, 64)),
        (1, (181, 640), (64, 64)),
        (2, (650_000,), (4096,)),
        (1, (20_000,), (1024,)),
        (1, (100, 100, 100), (32, 32, 32)),
        (1, (16, 16), (16, 16)),
    ],
)
def test_side(count, spatial, side):
    """Small arrays of which there are many are windows themselves; of a large one there are at least 24 windows."""
    assert window_side(count, spatial) == side
    assert count * windows_of(spatial, side) >= (24 if spatial != (16, 16) else 1)


@pytest.mark.parametrize("shape", [(3, 2, 300), (1, 1, 90, 70), (2, 1, 40, 40, 40)])
def test_white_noise_has_power_one_everywhere(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    side = tuple(32 for _ in shape[2:])
    windows = cut(x, side)
    assert len(windows.coefficients) == shape[0] * shape[1] * windows_of(shape[2:], side)
    assert windows.power[..., 3:-1].mean() == pytest.approx(1, abs=0.1)
    assert windows.channel.unique().tolist() == list(range(shape[1]))


def test_mean_logarithm_of_noise_scatters_as_it_should():
    """`ln` of an exponential has the mean `-gamma` and the standard deviation `pi / sqrt(6)`."""
    x = torch.randn(200, 1, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    windows = cut(x, (64,), mean=True)
    inner = windows.levels[3:-3]
    assert inner.mean() == pytest.approx(-0.5772, abs=0.05)
    assert inner.std() == pytest.approx(windows.error, rel=0.35)
    assert windows.error == pytest.approx(math.pi / math.sqrt(6 * 200))


def test_what_all_arrays_share_is_subtracted_unless_asked():
    g = torch.Generator().manual_seed(0)
    shared = 5 * torch.cos(2 * math.pi * 8 * torch.arange(32) / 32)
    x = torch.randn(100, 1, 32, generator=g) + shared
    assert cut(x, (32,)).power[8] < 3
    assert cut(x, (32,), mean=True).power[8] > 50


def test_a_wave_between_two_frequencies_does_not_leak_far():
    wave = torch.cos(2 * math.pi * 20.5 * torch.arange(128.0, dtype=torch.float64) / 128)
    power = cut(wave[None, None] + 1e-9 * torch.arange(128.0), (128,)).coefficients[0].abs().square()
    assert power[30] < 1e-5 * power[20]


def test_taper():
    assert hann((8, 6)).shape == (8, 6)
    torch.testing.assert_close(hann((8,)), torch.hann_window(16, periodic=True, dtype=torch.float64)[1::2])


def test_whole_arrays_up_to_a_size():
    assert whole(torch.randn(1, 1, 200, 700)).side == (200, 512)


@pytest.mark.parametrize(
    ("x", "message"), [(torch.zeros(20, 1, 16), "do not vary"), (torch.full((20, 1, 16), torch.nan), "non-finite")]
)
def test_what_has_no_spectrum(x, message):
    with pytest.raises(InputError, match=message):
        cut(x, (16,))


@pytest.mark.parametrize(("offset", "scale"), [(0, 1e-30), (1e6, 1e-3), (1e9, 1e-2)])
def test_faint_arrays_vary(offset, scale):
    x = torch.randn(20, 1, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = cut(offset + scale * x, (64,)).coefficients / scale
    torch.testing.assert_close(found, cut(x, (64,)).coefficients, rtol=0, atol=1e-4)


def test_equal_arrays_do_not_vary_but_for_rounding():
    x = torch.rand(1, 1, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 3
    with pytest.raises(InputError, match="do not vary"):
        cut(x.expand(2000, 1, 16), (16,))
