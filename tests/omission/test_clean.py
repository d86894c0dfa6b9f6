"""Cleaning one array, with the band found and given."""

import math

import numpy as np
import pytest
import torch

import sagd
from sagd.errors import InputError
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.power_law import PowerLaw
from sagd.omission.clean import clean


def smooth(*spatial, seed=0):
    return SpectralCovariance(PowerLaw(-1.0), (1, *spatial)).sample(1, torch.Generator().manual_seed(seed))[0]


def stripes(height=200, width=240):
    """Columns of strengths of their own, of mean 0."""
    columns = torch.randn(1, 1, width, generator=torch.Generator().manual_seed(1))
    return 0.8 * (columns - columns.mean()).expand(1, height, width)


def db(error, damage):
    return 10 * math.log10(float(damage.square().mean() / error.square().mean()))


def test_stripes_are_found_and_taken_out():
    x, damage = smooth(200, 240), stripes()
    cleaned = clean(x + damage)
    assert cleaned.band is not None
    assert db(cleaned.x - x, damage) > 9
    torch.testing.assert_close(cleaned.x + cleaned.removed, x + damage, atol=1e-4, rtol=1e-4)


def test_clean_arrays_stay_as_they_are():
    x = smooth(160, 160)
    cleaned = clean(x)
    assert (cleaned.band, cleaned.removal) == (None, None)
    assert cleaned.x is x
    assert not cleaned.removed.any()


def test_gaps_are_gaps_again_and_change_little_beside_them():
    x, damage = smooth(200, 240), stripes()
    broken = (x + damage).clone()
    broken[:, 50:60, 70:90] = torch.nan
    cleaned = clean(broken)
    assert cleaned.missing == 200
    assert torch.equal(cleaned.x.isnan(), broken.isnan())
    assert not cleaned.removed.isnan().any()
    known = ~broken.isnan()
    assert db((cleaned.x - x)[known], damage) > 8


def test_dead_columns_are_said_and_interpolated():
    x = smooth(200, 240) + stripes()
    x[:, :, 100] = 9.0
    cleaned = clean(x)
    assert cleaned.dead == ((1, 100),)
    assert cleaned.x[:, :, 100].abs().max() < 5


def test_multiplied_damage_goes_with_logarithms():
    x, gain = smooth(200, 240).exp(), stripes().exp()
    cleaned = clean(x * gain, log=True)
    assert db((cleaned.x / x).log(), gain.log()) > 8


def test_logarithms_of_half_precision_are_taken_in_single():
    x = (0.5 * smooth(200, 240)).exp() * (0.3 * stripes()).exp()
    half = (x / x.max()).half()
    one, other = (clean(v, "strip(axis=1, low=0.004, width=0.01)", log=True) for v in (half, half.double()))
    # Rounded once, at the end: half a unit in the last place.
    assert (one.x.double() - other.x).abs().div(other.x).max() < 2**-10.9


@pytest.mark.parametrize("log", [False, True])
def test_beside_the_place_of_damage_every_bit_stays(log):
    x = (0.5 * smooth(200, 240) + 0.3 * stripes()).exp()
    x[:, 9, 150] = torch.nan
    x[:, :, 200] = 3.7
    place = torch.zeros(200, 240)
    place[:, :100] = 1
    cleaned = clean(x, "strip(axis=1, low=0.004, width=0.01)", log=log, place=place)
    torch.testing.assert_close(cleaned.x[:, :, 100:], x[:, :, 100:], rtol=0, atol=0, equal_nan=True)
    assert not cleaned.removed[:, :, 100:].any()
    assert (cleaned.x != x)[:, :, :100].any()


def test_python_takes_arrays_tensors_channels_and_units():
    t = torch.arange(4000) / 400
    record = torch.stack([smooth(4000, seed=s)[0] for s in (0, 1)], 1)
    hum = torch.sin(2 * math.pi * 50 * t)[:, None]
    band = "spots(at=[['50 Hz']], radius='2 Hz')"
    cleaned = sagd.clean((record + hum).numpy(), band, rate=400, channel_axis=1)
    assert cleaned.x.shape == (4000, 2)
    assert db(torch.from_numpy(cleaned.x) - record, hum) > 12
    ints = sagd.clean((100 * (record + hum)).round().to(torch.int16), band, rate=400, channel_axis=1)
    assert ints.x.dtype == torch.float32
    assert db(ints.x / 100 - record, hum) > 12


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.full((8, 8), torch.inf), {}, "64 of 64 values are not finite"),
        (torch.full((8, 8), torch.nan), {}, "all of it is NaN"),
        (torch.zeros(3, 4, 5, 6, 7), {}, "1 to 3 axes"),
        (torch.randn(64, 64), {"log": True}, "needs values of 0 and more"),
        (torch.randn(64, 64), {"band": "ring(low=0, high=1)"}, "holds every frequency"),
        (torch.randn(64), {"band": "spots(at=[['50 Hz']], radius='2 Hz')"}, "rate|grid"),
    ],
)
def test_what_cannot_be_cleaned_is_refused(x, options, message):
    with pytest.raises(InputError, match=message):
        sagd.clean(x, **options)


def test_complex_arrays_are_refused():
    with pytest.raises(InputError, match="real numbers"):
        sagd.clean(torch.zeros(9, dtype=torch.complex64).numpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("power", [62, 100, -62, -100])
@pytest.mark.parametrize("band", ["auto", "strip(axis=1, low=0.01)"])
def test_values_of_any_size_are_cleaned_alike(band, power, dtype):
    x = (smooth(200, 240) + stripes())[0].numpy().astype(np.float64)
    expected = sagd.clean(x.astype(dtype), band).x
    scaled = sagd.clean((x * 2.0**power).astype(dtype), band).x
    np.testing.assert_allclose(scaled.astype(np.float64) * 2.0**-power, expected, atol=1e-3)
    assert np.abs(expected - x).max() > 0.1


def test_whole_numbers_keep_all_digits():
    g = np.random.default_rng(0)
    x = (100 * g.standard_normal((128, 128)).cumsum(0) + 2000 * g.standard_normal(128)).astype(np.int64)
    band = "strip(axis=1, low=0.01)"
    for numbers in (x + 10**12, torch.from_numpy(x + 10**12)):
        near = sagd.clean(numbers, band).x - 1e12
        np.testing.assert_allclose(near, sagd.clean(x, band).x, atol=0.1)
