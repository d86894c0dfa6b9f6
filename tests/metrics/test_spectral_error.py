"""Spectral error on images whose spectrum is changed by a known factor, and against a full FFT in numpy."""

import json
import math

import numpy as np
import pytest
import torch

from sagd.errors import InputError
from sagd.metrics import fields, spectral_error
from sagd.noise.basis.cosine import CosineBasis


def images(seed, n=50, c=1, size=(16, 16)):
    return torch.randn(n, c, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def relative_radius(size):
    f = np.meshgrid(*(np.fft.fftfreq(s) for s in size), indexing="ij")
    return np.hypot(*f) / math.sqrt(0.5)


def scaled_in_band(x, low, high, factor):
    rho = relative_radius(x.shape[2:])
    gain = torch.tensor(np.where((rho >= low) & (rho < high), factor, 1.0))
    return torch.fft.ifft2(torch.fft.fft2(x) * gain).real


def test_a_scaled_band_shows_its_factor_and_no_other():
    reference = images(0)
    got = spectral_error(scaled_in_band(reference, 0.25, 0.5, 2.0), reference, bands=4)
    assert got.edges == (0, 0.25, 0.5, 0.75, 1)
    assert got.error == pytest.approx((0, 3, 0, 0), abs=1e-9)
    assert got.rms_db == pytest.approx(10 * math.log10(4) / 2)


def test_a_shifted_mean_is_reported_apart():
    reference = images(1)
    reference = reference / reference.std(0)  # unit variance at every pixel
    got = spectral_error(reference + 0.5, reference, bands=4)
    assert got.error == pytest.approx((0, 0, 0, 0), abs=1e-9)
    assert got.mean_error == pytest.approx(0.5)


def test_channels_are_averaged_by_power():
    reference = images(2, c=2) * torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
    got = spectral_error(reference * torch.tensor([2.0, 1.0]).view(1, 2, 1, 1), reference, bands=3)
    assert np.array(got.channel_error) == pytest.approx(np.array([[3, 3, 3], [0, 0, 0]]), abs=1e-9)
    assert all(0.1 < e < 1 for e in got.error)  # (4 + 9) / (1 + 9) - 1 = 0.3 in expectation


@pytest.mark.parametrize("size", [(8, 8), (9, 12), (7, 5)])
def test_equals_a_full_transform_in_numpy(size):
    samples, reference = 1.3 * images(3, c=3, size=size) + 0.2, images(4, n=40, c=3, size=size)
    rho, bands = relative_radius(size), 6

    def profile(x):
        power = np.abs(np.fft.fft2(x - x.mean(0), norm="ortho")) ** 2
        power = power.sum(0).mean(0) / (len(x) - 1)
        band = np.minimum((rho * bands).astype(int), bands - 1)
        return np.array([power[band == b].mean() if (band == b).any() else np.nan for b in range(bands)])

    truth = profile(samples.numpy()) / profile(reference.numpy()) - 1
    assert np.array(spectral_error(samples, reference, bands).error) == pytest.approx(truth, rel=1e-9, nan_ok=True)


def test_bands_without_frequencies_are_null_and_left_out_of_the_summary():
    reference = images(5, size=(8, 8))
    got = spectral_error(2 * reference, reference, bands=20)
    assert any(math.isnan(e) for e in got.error)
    assert got.rms_db == pytest.approx(10 * math.log10(4))
    plain = got.to_dict()
    assert None in plain["error"]
    json.dumps(plain, allow_nan=False)


def test_a_band_only_one_set_has_is_infinitely_wrong():
    reference = images(6)
    flat = reference.mean((2, 3), keepdim=True).expand_as(reference)
    got = spectral_error(flat - flat.mean(), reference, bands=2)
    assert got.error[1] == pytest.approx(-1)
    assert got.rms_db > 100  # an exact zero is infinite, rounding leaves hundreds of dB
    json.dumps(got.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("samples", "reference"), [((9, 1, 8, 8), (9, 3, 8, 8)), ((9, 1, 8, 8), (9, 1, 8, 9)), ((9, 8), (9, 8))]
)
def test_unequal_shapes_are_refused_naming_both(samples, reference):
    with pytest.raises(InputError, match=r"samples \(9, .*\) and reference \(9, .*\) must both be \(N, C, \*spatial\)"):
        spectral_error(torch.zeros(samples), torch.zeros(reference))


def test_non_finite_images_are_refused():
    with pytest.raises(InputError, match="non-finite"):
        spectral_error(torch.full((4, 1, 8, 8), torch.nan), torch.zeros(4, 1, 8, 8))


@pytest.mark.parametrize("decibels", [0.0, 0.5, 3.0])
def test_the_interval_covers_the_truth(decibels):
    """Gaussian images whose power is off by as much in half of the bands: 120 pairs of 40 images, of two channels."""
    covered, found = 0, []
    truth = decibels * math.sqrt(0.5)
    for seed in range(120):
        x, y = (images(1000 * seed + k, n=40, c=2, size=(8, 8)) for k in (0, 1))
        got = spectral_error(scaled_in_band(x, 0.5, 1.1, 10 ** (decibels / 20)), y, bands=4)
        low, high = got.rms_db_interval
        covered += low <= truth + 1e-9 and truth <= high
        found.append(got.rms_db)
    # Binomial with 0.95: at least 105 of 120 with probability 0.9996.
    assert covered >= 105
    # What the interval is for: the figure itself is too large where there is little to find.
    assert (np.mean(found) > truth + 0.05) == (decibels < 1)


def test_few_real_images_are_not_shown_to_differ():
    """Images of one law with a contrast of their own, which moves all bands together: 50 against 50, 100 times."""

    def draw(seed):
        contrast = torch.rand(50, 1, 1, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3
        return contrast * images(seed, size=(8, 8))

    got = [spectral_error(draw(2 * s), draw(2 * s + 1)) for s in range(100)]
    assert np.mean([g.rms_db for g in got]) > 0.3
    assert sum(g.rms_db_interval[0] > 0 for g in got) <= 8  # 2.5 %, at level 1e-3


def test_batches_change_nothing(monkeypatch):
    x, y = images(7, c=2), images(8, n=33, c=2) + 1
    whole = spectral_error(x, y).to_dict()
    monkeypatch.setattr(fields, "_VALUES", 2000)
    parts = spectral_error(x, y).to_dict()
    for key in ("error", "rms_db", "mean_error", "rms_db_interval"):
        assert parts[key] == pytest.approx(whole[key], rel=1e-9)


def test_masked_places_do_not_count():
    """Padded noise is as white, and as strong, as it was; places that nobody has do not count in the mean."""
    x, y = images(9, n=2000, size=(64,)) + 0.5, images(10, n=2000, size=(64,))
    length = torch.randint(20, 61, (2000, 1), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(64) < length)[:, None]
    got = spectral_error(torch.where(mask, 2 * x, torch.nan), y, 6, mask)
    assert got.error == pytest.approx([3] * 6, abs=0.25)
    assert got.mean_error == pytest.approx(1, abs=0.1)  # 2 * 0.5
    assert spectral_error(torch.where(mask, x, 7), torch.where(mask, x, -7), 6, mask, mask).rms_db == 0


def test_what_steep_fields_hold_at_high_frequencies_is_seen_though_their_ends_do_not_meet():
    """In the Fourier basis the jump at the ends is at all frequencies: 6 dB too much were 0.1 dB there."""
    basis = CosineBasis((32, 32))
    rho = basis.relative_radius()
    S = 10 ** (-6 * rho)
    x = basis.inverse(S.sqrt() * torch.randn(200, 1, 32, 32, generator=torch.Generator().manual_seed(0)).double())
    loud = basis.inverse(torch.where(rho >= 0.5 - 1e-9, 2.0, 1.0) * basis.forward(x))
    got = spectral_error(loud, x, bands=4)
    assert got.basis == "cosine"
    assert got.error == pytest.approx((0, 0, 3, 3), abs=1e-6)
