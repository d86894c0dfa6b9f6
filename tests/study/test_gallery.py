"""What a gallery shows, against numpy and against draws."""

import numpy as np
import pytest
import torch

from sagd.build.catalogue import catalogue
from sagd.build.objects import build_process
from sagd.data.signals import Signals
from sagd.errors import InputError
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.base import Covariance
from sagd.study import illustration
from sagd.study.gallery import BANDS, LEVELS, TIMES, exhibits
from sagd.study.measuring import process_statistics


def images(shape, labelled=True):
    """Smooth random images in two classes, which go on from their other end."""
    white = torch.randn(30, *shape, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(white, (1, 1, 1, 1), mode="circular"), 3, stride=1)
    pixels = (smooth / smooth.std() * 60 + 127).clamp(0, 255).to(torch.uint8)
    return Signals("smooth", pixels, torch.arange(30) % 2 if labelled else None, ("a", "b") if labelled else None)


@pytest.fixture(scope="module")
def grey():
    return images((1, 8, 8))


def one(data, name, **options):
    (exhibit,) = exhibits(data, names=[name], **options)
    return exhibit


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 7, 10)], ids=str)
def test_every_process_is_shown(shape):
    data = images(shape)
    shown = list(exhibits(data))
    assert [e.entry for e in shown] == catalogue(shape, data.classes)
    _, height, width = shape
    for e in shown:
        assert 1 <= len(e.noise) <= 2
        assert e.noise.keys() == e.power.keys()
        assert all(field.shape == shape for field in e.noise.values())
        assert all(power.shape == (height, width // 2 + 1) for power in e.power.values())
        assert e.images.shape == (LEVELS, *shape)
        assert e.times.shape == (LEVELS,)
        assert e.curve_times.shape == (TIMES,)
        assert e.snr.shape == (BANDS, TIMES)
        for values in (*e.noise.values(), *e.power.values(), e.images, e.times, e.curve_times):
            assert torch.isfinite(values).all(), e.entry.name
        # An empty band is one of the basis, and infinite SNR the absence of noise: both at all times alike.
        assert (e.snr.isnan().all(1) | ~e.snr.isnan().any(1)).all()
        assert (e.snr.isinf().all(1) | ~e.snr.isinf().any(1)).all()
        assert e.snr.isfinite().any()


def bands_of(shape):
    """Radial band of each frequency of numpy's full grid."""
    r = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")) / np.sqrt(0.5)
    return np.minimum((r * BANDS + 1e-9).astype(int), BANDS - 1)


def test_snr_of_white_noise_is_that_of_the_measured_spectrum(grey):
    x = grey.tensor().double().numpy()[:, 0]
    power = (np.abs(np.fft.fft2(x - x.mean(0), norm="ortho")) ** 2).sum(0) / (len(x) - 1)
    e = one(grey, "white")
    schedule = build_process(e.entry.process, grey.shape).schedule
    for i in (0, 40, TIMES - 1):
        t = e.curve_times[i]
        ratio = float(schedule.alpha(t) / schedule.sigma(t)) ** 2
        expected = [ratio * power[bands_of((8, 8)) == k].mean() for k in range(BANDS)]
        assert e.snr[:, i].tolist() == pytest.approx(expected, rel=1e-6)


def test_snr_of_each_frequency_s_own_schedule(grey):
    """The band's signal over the band's noise, of draws: noise at t = 0.5 on no image, and images without noise."""
    e = one(grey, "coarse_to_fine")
    process, i = build_process(e.entry.process, grey.shape), TIMES // 2
    t = float(e.curve_times[i])
    x = grey.tensor()
    clean = process.perturb(x - x.mean(0), t, torch.zeros_like(x)).numpy()[:, 0]
    noise = process.perturb(torch.zeros(4000, 1, 8, 8), t, generator=torch.Generator().manual_seed(0)).numpy()[:, 0]
    signal = (np.abs(np.fft.fft2(clean)) ** 2).sum(0) / (len(x) - 1)
    background = (np.abs(np.fft.fft2(noise)) ** 2).mean(0)
    expected = [signal[bands_of((8, 8)) == k].mean() / background[bands_of((8, 8)) == k].mean() for k in range(BANDS)]
    # A band holds 5 frequencies or more, each with a relative deviation of 1/sqrt(4000): 1 % in all, 4 % allowed.
    assert e.snr[:, i].tolist() == pytest.approx(expected, rel=0.04)


def test_a_band_without_noise_has_infinite_snr():
    snr = one(images((1, 32, 32)), "omission").snr
    assert snr[3].isinf().all()
    assert snr[[0, 1, 2, 4]].isfinite().all()


@pytest.mark.parametrize("name", ["white", "low_tilt", "notch", "region", "cosine", "wavelet", "blurring", "equal_snr"])
def test_power_is_that_of_draws(grey, name):
    """On full grids, against numpy's periodogram."""
    e = one(grey, name)
    process = build_process(e.entry.process, grey.shape, process_statistics(grey, e.entry.process))
    noise = process.reference.sample(4000, torch.Generator().manual_seed(0)).numpy()[:, 0]
    periodogram = (np.abs(np.fft.fft2(noise, norm="ortho")) ** 2).mean(0)
    # Of 4000 squares of normal numbers, a relative deviation of sqrt(2 / 4000) = 2.2 % at most: five of it allowed.
    np.testing.assert_allclose(e.power[""].numpy(), periodogram[:, :5], rtol=0.11)


@pytest.mark.parametrize("name", ["cosine", "wavelet", "blurring"])
def test_power_of_large_images_is_estimated(grey, name, monkeypatch):
    exact = one(grey, name).power[""]
    monkeypatch.setattr(Covariance, "has_closed_power", lambda *_: False)
    monkeypatch.setattr(illustration, "_MOST_EXACT", 0)
    monkeypatch.setattr(illustration, "_BATCHES", 250)
    # As above.
    torch.testing.assert_close(one(grey, name).power[""], exact, rtol=0.11, atol=0)


def test_noise_of_one_class_and_of_another(grey):
    first, second = (one(grey, "by_class", item=i) for i in (0, 1))
    assert list(first.noise) == ["class a", "class b"]
    assert list(second.noise) == ["class b", "class a"]
    assert first.power["class a"][0, 0] > 2 > 0.5 > first.power["class b"][0, 0]
    torch.testing.assert_close(first.power["class b"], second.power["class b"])
    # Of the image's own class: low frequencies drown early under the low tilt, and late under the high one.
    assert (first.snr[0] < second.snr[0]).all()
    assert (first.snr[-1] > second.snr[-1]).all()


def test_noise_that_changes_in_time_is_shown_at_two_of_the_images(grey):
    e = one(grey, "coarse_to_fine")
    assert list(e.noise) == [f"t = {e.times[i]:.2f}" for i in (1, -2)]
    early, late = e.power.values()
    assert early[4, 4] > 100 * early[0, 0]
    assert late[4, 4] < 10 * late[0, 0]
    assert all(
        float((power * FourierBasis((8, 8)).multiplicity()).sum()) == pytest.approx(64) for power in (early, late)
    )
    assert list(one(grey, "blurring").noise) == [""]


def test_images_go_from_clean_to_noise(grey):
    x = grey.batch([3])[0]
    for e in exhibits(grey, item=3, seed=1, names=["white", "blurring", "coarse_to_fine"]):
        assert (e.times.diff() > 0).all()
        likeness = [float(torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1]) for y in e.images]
        assert likeness[0] > 0.99
        assert abs(likeness[-1]) < 0.75
        assert likeness[0] > likeness[2] > likeness[4]


def test_seeds_decide_all_noise(grey):
    a, b, c = (one(grey, "low_tilt", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(a.noise[""], b.noise[""])
    assert torch.equal(a.images, b.images)
    assert (a.noise[""] - c.noise[""]).abs().max() > 0.5
    assert (a.images - c.images).abs().max() > 0.5
    # The noise that is shown is the one in the images.
    x = grey.batch([0])[0]
    level = (a.images[-1] - a.images[0]).flatten()
    assert float(torch.corrcoef(torch.stack([level, (a.noise[""] - x[0]).flatten()]))[0, 1]) > 0.9


def test_data_without_labels(grey):
    data = images((1, 8, 8), labelled=False)
    assert [e.entry.name for e in exhibits(data)] == [e.name for e in catalogue((1, 8, 8))]
    torch.testing.assert_close(one(data, "white").snr, one(grey, "white").snr)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"item": 30}, r"item must be one of 0\.\.29, got 30"),
        ({"item": -1}, r"item must be one of 0\.\.29, got -1"),
        ({"names": ["wihte"]}, r"unknown process 'wihte'; did you mean 'white'\?"),
        ({"names": ["by_colour"]}, "process 'by_colour' needs images in colour"),
    ],
)
def test_errors_come_at_once(grey, options, message):
    with pytest.raises(InputError, match=message):
        exhibits(grey, **options)
