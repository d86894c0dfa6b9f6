"""Damage in continuous coordinates against closed forms of its spectrum, and as crops of a canvas without borders."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from sagd.data.corruption import Corruption, corrupt, generators
from sagd.data.corruption.canvas import SLOPE, pieces, smooth, turned
from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.grid import Grid

IMAGE, RECORD, VOLUME = (1, 48, 64), (1, 2048), (2, 12, 16, 20)
DRAWN = [
    ("fringes(level=0.5)", IMAGE),
    ("fringes(level=0.5, bend=0, vary=0)", IMAGE),
    ("fringes(level=0.5, length=20)", (1, 256)),
    ("fringes(level=0.5)", VOLUME),
    ("fringes(level=0.5, spread=0.01)", IMAGE),
    ("fringes(level=0.5, alike=False)", IMAGE),
    ("curtains(level=0.5, length=40)", IMAGE),
    ("curtains(level=0.5, ends=0, vary=0, drift=0)", IMAGE),
    ("curtains(level=0.5, angle=30, width=1.5)", IMAGE),
    ("curtains(level=0.5, length=40)", VOLUME),
    ("streaks(level=0.5)", (3, 48, 64)),
    ("mains(level=0.5)", RECORD),
    ("mains(level=0.5, spread=0.01)", (1, 16, 512)),
    ("sensor(level=0.5)", IMAGE),
    ("gain(damage='curtains(level=0.5, drift=0)')", IMAGE),
]


def drawn(text, shape, count, seed=3):
    return Corruption.parse(text).noise(shape, generators(seed, range(count)), seed)


def power_of(n):
    return FourierBasis(n.shape[2:]).forward(n.double()).abs().square().mean((0, 1))


def periodogram(covariance, n):
    """Expected power of a stationary record of this covariance by lag, seen through a window of n samples."""
    lags = np.arange(1 - n, n)
    weighted = (1 - np.abs(lags) / n) * covariance(lags)
    frequencies = np.arange(n // 2 + 1) / n
    return torch.from_numpy((weighted * np.cos(2 * math.pi * np.outer(frequencies, lags))).sum(1))


def spline(lags):
    """Autocorrelation of white values between which cubic B-splines go: a B-spline of degree 7."""
    b = BSpline.basis_element(np.arange(-4.0, 5.0), extrapolate=False)
    return np.nan_to_num(b(np.asarray(lags, float))) / b(0.0)


def leak(frequency, n):
    """Line shape of a window of n samples: power of a complex wave, by frequency, up to its amplitude squared."""
    away = np.fft.fftfreq(n)
    with np.errstate(invalid="ignore"):
        d = (np.sin(math.pi * n * (away - frequency)) / np.sin(math.pi * (away - frequency))) ** 2 / n
    return np.nan_to_num(d, nan=float(n))


@pytest.mark.parametrize(("text", "shape"), DRAWN)
def test_level_and_band(text, shape):
    """Root mean square as stated, and of the power at least five sixths in the band with its guard."""
    count = 50 if shape == VOLUME else 150
    corruption, n = Corruption.parse(text), drawn(text, shape, count)
    assert n.shape == (count, *shape)
    assert n.dtype == torch.float32
    assert float(n.square().mean().sqrt()) == pytest.approx(0.5, rel=0.08)
    basis = FourierBasis(shape[1:])
    weight, power = basis.multiplicity(), power_of(n)
    b = mask(corruption.band(shape[1:], 3), basis)
    least = 0.6 if corruption.kind == "streaks" else 5 / 6
    assert float((b * power * weight).sum() / (power * weight).sum()) > least
    assert not corruption.assumptions.banded


@pytest.mark.parametrize(("text", "shape"), DRAWN)
def test_a_window_is_a_crop_of_a_larger_one(text, shape):
    larger = (shape[0], *(n + 7 for n in shape[1:]))
    crop = (slice(None), slice(None), *(slice(n) for n in shape[1:]))
    torch.testing.assert_close(drawn(text, larger, 3)[crop], drawn(text, shape, 3), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("text", "shape"), DRAWN)
def test_the_damage_of_an_image_is_its_own(text, shape):
    """Equal whatever the batch; another with another seed, and at another reading where it is not fixed."""
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    whole, picked = corrupt(x, text, 5), torch.tensor([4, 1])
    assert torch.equal(corrupt(x[picked], text, 5, picked), whole[picked])
    assert not torch.equal(whole[0] - x[0], whole[1] - x[1])
    assert not torch.equal(corrupt(x, text, 6), whole)
    assert torch.equal(corrupt(x, text, 5, draw=9), whole)
    anew = f"{text[:-1]}, fixed=False)"
    assert not torch.equal(corrupt(x, anew, 5, draw=1), corrupt(x, anew, 5, draw=2))


@pytest.mark.parametrize("rank", [1, 2])
def test_smooth_fields_have_the_covariance_of_splines(rank):
    """200 fields of 30 correlation lengths: a covariance is known to some 2 %."""
    at = torch.stack(torch.meshgrid(*[torch.arange(60, dtype=torch.float64) / 4] * rank, indexing="ij"))
    fields = torch.stack([smooth(key, at) for key in range(500 if rank == 1 else 60)])
    for lag in (0, 2, 4, 8, 12):
        found = (fields[:, lag:] * fields[:, : 60 - lag]).mean()
        assert float(found) == pytest.approx(float(spline(lag / 4)), abs=0.05)
    slope = (fields[:, 1:] - fields[:, :-1]) * 4
    assert float(slope.square().mean().sqrt()) == pytest.approx(SLOPE, rel=0.05)


def test_pieces_join():
    at = torch.tensor([-0.5, 0.0, 0.7, 0.9, 0.999, 1.0], dtype=torch.float64)
    number, share = pieces(at, 0.2)
    assert number.tolist() == [-1, 0, 0, 0, 0, 1]
    torch.testing.assert_close(share, torch.tensor([0, 0, 0, 0.5, 0.995, 0], dtype=torch.float64))


def test_turned_coordinates():
    across, along = turned((5, 7), 90)
    torch.testing.assert_close(across[:, 3], torch.arange(5, dtype=torch.float64))
    torch.testing.assert_close(along[0, 2], -torch.arange(7, dtype=torch.float64))


def test_waves_between_bins_leak_by_the_line_shape_of_the_window():
    """Random phase: the power is that of the wave and of its mirror, each with the kernel of Dirichlet along axes."""
    at, shape = (0.1413, -0.0871), (1, 32, 40)
    n = drawn(f"fringes(at=[{list(at)}], bend=0, vary=0, level=0.5)", shape, 1500)
    power = torch.fft.fft2(n[:, 0].double(), norm="ortho").abs().square().mean(0)
    lines = [np.outer(leak(s * at[0], 32), leak(s * at[1], 40)) for s in (1, -1)]
    expected = torch.from_numpy(0.5**2 / 2 * (lines[0] + lines[1]))
    strong = expected > 1e-4 * expected.max()
    assert strong.sum() > 200
    torch.testing.assert_close(power[strong], expected[strong], rtol=0.2, atol=1e-4)


def test_bent_and_uneven_waves_have_the_spectrum_of_their_covariance():
    f, bend, vary, length, n = 0.1871, 0.15, 0.4, 40.0, 256
    text = f"fringes(at=[[{f}]], bend={bend}, vary={vary}, length={length}, level=0.5)"

    def covariance(lags):
        rho = spline(lags / length)
        bent = np.exp(-((2 * math.pi * bend) ** 2) * (1 - rho))
        return 0.25 * np.cos(2 * math.pi * f * lags) * bent * (1 + vary**2 * rho) / (1 + vary**2)

    power, expected = power_of(drawn(text, (1, n), 3000)), periodogram(covariance, n)
    strong = expected > 0.02 * expected.max()
    torch.testing.assert_close(power[strong], expected[strong], rtol=0.15, atol=0)
    assert float(power[strong].sum() / expected[strong].sum()) == pytest.approx(1, abs=0.03)


def test_frequencies_that_differ_from_image_to_image():
    """The power spreads over the allowed width, each record has one line, and the assumptions say so."""
    text = "fringes(at=[[0.2]], spread=0.05, bend=0, vary=0)"
    n = drawn(text, (1, 400), 300)
    peaks = FourierBasis((400,)).forward(n.double())[:, 0].abs().argmax(1) / 400
    assert float(peaks.min()) == pytest.approx(0.15, abs=0.006)
    assert float(peaks.max()) == pytest.approx(0.25, abs=0.006)
    assert not Corruption.parse(text).assumptions.alike
    assert not Corruption.parse("fringes(alike=False)").assumptions.alike
    assert Corruption.parse("fringes").assumptions.alike


@pytest.mark.parametrize("width", [1.0, 2.5])
def test_straight_stripes_have_the_spectrum_of_boxes(width):
    """Boxes of white strengths with a random origin, seen through the aperture of a sample."""
    n = 96
    fine = np.arange(-400, 401) / 100
    box = np.clip((width / 2 + 0.5 - np.abs(fine)), 0, 1)
    auto = np.correlate(box, box, "full") / np.correlate(box, box, "full").max()
    at = np.arange(-800, 801) / 100

    def covariance(lags):
        return 0.25 * np.interp(lags, at, auto, left=0, right=0)

    stripes = drawn(f"curtains(width={width}, ends=0, vary=0, drift=0, level=0.5)", (1, 16, n), 3000)
    assert float((stripes - stripes[:, :, :1]).abs().max()) == 0
    power, expected = power_of(stripes[:, :, 0]), periodogram(covariance, n)
    torch.testing.assert_close(power, expected, rtol=0.15, atol=0.001)


def test_stripes_end_over_their_length():
    """Along a stripe a part of the power persists, the rest falls off within a length."""
    ends, vary = 0.4, 0.5
    n = drawn(f"curtains(width=3, ends={ends}, vary={vary}, drift=0, length=50, level=0.5)", (1, 160, 64), 300).double()
    kept = (1 - ends) ** 2
    varied = (1 - ends) * (1 + vary**2) - kept
    fine = np.arange(-2000, 2001) / 1000
    piece = np.clip((0.5 + 0.1 - np.abs(fine)) / 0.2, 0, 1)
    auto = np.correlate(piece, piece, "full")
    auto = auto / auto.max() * (1 - 0.2 / 3)
    total = kept + varied * (1 - 0.2 / 3)
    for lag in (0, 10, 25, 49, 70, 120):
        found = float((n[:, :, lag:] * n[:, :, : 160 - lag]).mean()) / 0.25
        share = np.interp(lag / 50, np.arange(-4000, 4001) / 1000, auto)
        assert found == pytest.approx((kept + varied * share) / total, abs=0.05)


def test_stripes_drift_together():
    """Far along, a stripe is where it was, give or take its drift: the best shift of a row says so."""
    n = drawn("curtains(width=2, ends=0, vary=0, drift=3, length=60, level=1)", (1, 400, 256), 20).double()[:, 0]
    first = torch.fft.rfft(n[:, :1])
    shifts = torch.fft.irfft(first.conj() * torch.fft.rfft(n), 256).argmax(-1)
    shifts = (shifts + 128) % 256 - 128
    # The difference of two draws of 3 samples, root mean square.
    assert float(shifts[:, 150:].double().square().mean().sqrt()) == pytest.approx(3 * math.sqrt(2), rel=0.25)
    assert int((shifts[:, 1:] - shifts[:, :-1]).abs().max()) <= 2


def test_stripes_run_at_their_angle():
    n = drawn("curtains(angle=30, width=3, ends=0, vary=0, drift=0)", (1, 65, 65), 100).double()
    turn = math.radians(30)
    # Along the stripes nothing changes: 12 samples of it are 6 columns back and 10.4 rows on.
    rows, columns = round(12 * math.cos(turn)), round(-12 * math.sin(turn))
    here, there = n[:, :, : 65 - rows, -columns:], n[:, :, rows:, :columns]
    assert float((here * there).mean() / n.square().mean()) > 0.85
    assert float((n[:, :, :-10] * n[:, :, 10:]).mean() / n.square().mean()) < 0.3


def test_streaks_are_segments_of_their_length_and_direction():
    """Power of shot noise: of a segment, averaged over its lengths, twice the density (E a^2 = 2)."""
    length, width, density, n = 16.0, 1.0, 0.004, 64
    text = f"streaks(angle=0, jitter=0, length={length}, width={width}, density={density}, level=1)"
    drops = drawn(text, (1, n, n), 600)
    assert float(drops.min()) >= 0
    mean = density * length * width * math.sqrt(2 * math.pi)
    square = 2 * density * (length - 1 / 3) * width * math.sqrt(math.pi) + mean**2
    assert float(drops.mean()) == pytest.approx(mean / math.sqrt(square), rel=0.03)
    power = torch.fft.fft2(drops[:, 0].double(), norm="ortho").abs().square().mean(0).numpy()
    rows, columns = np.meshgrid(np.fft.fftfreq(4 * n), np.fft.fftfreq(4 * n), indexing="ij")
    lengths = length * (0.5 + (np.arange(200) + 0.5) / 200)[:, None, None]
    segment = ((lengths * np.sinc(lengths * rows) * np.sinc(rows)) ** 2).mean(0)
    across = 2 * math.pi * width**2 * np.exp(-4 * (math.pi * width * columns) ** 2)
    covariance = np.fft.ifft2(2 * density * segment * across / square).real
    # Seen through a window of n samples, and without the mean.
    seen = np.clip(1 - np.abs(np.fft.fftfreq(4 * n, 1 / (4 * n))) / n, 0, None)
    expected = np.fft.fft2(covariance * np.outer(seen, seen)).real[::4, ::4]
    expected[0, 0] = 0
    strong = expected > 0.03 * expected.max()
    assert power[strong].sum() == pytest.approx(expected[strong].sum(), rel=0.05)
    np.testing.assert_allclose(power[strong], expected[strong], rtol=0.4)


def test_streaks_of_several_directions():
    narrow, wide = (drawn(f"streaks(angle=0, jitter={j})", (1, 96, 96), 60).double() for j in (0, 15))
    lags = [float(((n - n.mean())[:, :, 8:] * (n - n.mean())[:, :, :-8]).mean() / n.var()) for n in (narrow, wide)]
    assert lags[0] > 0.4 > 0.3 > lags[1]


@pytest.mark.parametrize("rate", [400, 1000])
def test_hum_is_where_its_units_say(rate):
    """Steady hum of 50 Hz: lines at 50, 100 and 150 Hz whatever the rate, of falling power, as wide as the window."""
    n = 1003
    told = Corruption.parse("mains(frequency='50 Hz', harmonics=3, wander=0, vary=0, level=1)").on(
        Grid.parse(f"{rate} Hz")
    )
    assert told.frequency == pytest.approx(50 / rate)
    power = torch.fft.fft(told.noise((1, n), generators(0, range(300)), 0)[:, 0].double(), norm="ortho")
    found = power.abs().square().mean(0)
    shares = np.array([k**-2 for k in (1, 2, 3)]) / sum(k**-2 for k in (1, 2, 3))
    expected = sum(
        share / 2 * (leak(k * 50 / rate, n) + leak(-k * 50 / rate, n))
        for k, share in zip((1, 2, 3), shares, strict=True)
    )
    strong = torch.from_numpy(expected > 1e-3 * expected.max())
    torch.testing.assert_close(found[strong], torch.from_numpy(expected)[strong], rtol=0.2, atol=0.01)


def test_hum_wanders_by_as_much_as_it_says():
    """Slow wandering: the line is the law of the frequency, a Gaussian; that of a harmonic is as many times as wide."""
    f, wander, n = 0.05, 0.02, 16384
    power = power_of(drawn(f"mains(frequency={f}, harmonics=2, wander={wander}, vary=0.3, time=3000)", (1, n), 150))
    at = torch.arange(n // 2 + 1) / n
    for k in (1, 2):
        near = (at - k * f).abs() < 0.02
        for deviations, share in ((1, 0.683), (2, 0.954)):
            inside = (at - k * f).abs() < deviations * k * f * wander
            assert float(power[inside].sum() / power[near].sum()) == pytest.approx(share, abs=0.06)


def test_harmonics_beyond_nyquist_are_left_out():
    assert len(Corruption.parse("mains(frequency=0.2, harmonics=5)").band((1000,)).parts) == 2
    assert Corruption.parse("mains(frequency=0.3, harmonics=5)").band((1000,)).kind == "strip"


def test_columns_of_a_sensor_stay_and_its_rows_change():
    n = drawn("sensor(rows=0.3, level=1)", (1, 200, 300), 50).double()[:, 0]
    columns = n.mean((0, 1))
    rows = (n - columns).mean(2)
    torch.testing.assert_close(
        n - n.mean(2, keepdim=True) - n.mean(1, keepdim=True) + n.mean((1, 2), keepdim=True), 0 * n, atol=1e-6, rtol=0
    )
    assert float(columns.var()) == pytest.approx(0.7, rel=0.3)
    assert float(rows.var()) == pytest.approx(0.3, rel=0.1)
    assert abs(float(np.corrcoef(rows[0], rows[1])[0, 1])) < 0.3
    assert not Corruption.parse("sensor").assumptions.zero_mean


def test_gain_is_added_in_the_logarithm():
    x = torch.rand(3, 1, 24, 32, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
    damage = "curtains(level=0.2)"
    y = corrupt(x, f"gain(damage={damage!r})", 4)
    torch.testing.assert_close((y + 1).log() - (x + 1).log(), corrupt(0 * x, damage, 4), rtol=0, atol=1e-5)
    dark = corrupt(torch.zeros(1, 1, 24, 32), f"gain(damage={damage!r}, black=0)", 4)
    assert float(dark.abs().max()) == 0
    assert not Corruption.parse(f"gain(damage={damage!r})").assumptions.independent


def test_units_become_samples():
    image = Grid.parse(["0.5 mm", "0.5 mm"])
    told = Corruption.parse("curtains(width='2 mm', length='100 mm')").on(image)
    assert (told.width, told.length) == (4.0, 200.0)
    fringes = Corruption.parse("fringes(low='0.2 cycles/mm', high='0.5 cycles/mm', length='40 px')").on(image)
    assert (fringes.low, fringes.high, fringes.length) == (0.1, 0.25, 40.0)
    hum = Corruption.parse("hum(frequency='60 Hz')").on(Grid.parse("360 Hz"))
    assert hum.frequency == pytest.approx(1 / 6)
    inner = Corruption.parse("gain(damage=\"mains(frequency='50 Hz')\", black=0)").on(Grid.parse("1 kHz"))
    assert inner.damage.frequency == pytest.approx(0.05)
    assert Corruption.parse(str(inner)) == inner
    assert Corruption.from_dict(inner.to_dict()) == inner


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("curtains", (1, 64), "curtains are for images and volumes"),
        ("curtains(width=0.5)", IMAGE, "width must be at least 1 sample, got 0.5"),
        ("curtains(ends=1)", IMAGE, "ends must be less than 1"),
        ("curtains(length=0)", IMAGE, "length must be positive, got 0"),
        ("curtains(width='2 mm')", IMAGE, "width is in mm, and the data has no spacing"),
        ("curtains(width='2 Hz')", IMAGE, "width must be a time or length, e.g. '2 s', got one in 'Hz'"),
        ("curtains(width='wide')", IMAGE, "width is a number of samples or has a unit, got 'wide'"),
        ("fringes(low=0.4, high=0.3)", IMAGE, "0 < low < high <= 0.5"),
        ("fringes(waves=0)", IMAGE, "waves must be at least 1, got 0"),
        ("fringes(waves=1000000000)", IMAGE, "waves must be at most 4,096, got 1000000000"),
        ("fringes(bend=-1)", IMAGE, "bend must not be negative, got -1"),
        ("fringes(at=[[0.2]])", IMAGE, "a number for each of the 2 spatial axes"),
        ("fringes(at=[[0.2, 0.7]])", IMAGE, "at most 0.5, got 0.7"),
        ("streaks", RECORD, "2 spatial axes"),
        ("streaks(density=2)", IMAGE, "density in"),
        ("streaks(width=0.1)", IMAGE, "width must be at least 0.5"),
        ("mains(frequency=0.7)", RECORD, r"must lie in \(0, 0.5\)"),
        ("mains(frequency='50 Hz')", RECORD, "frequency is in Hz, and the data has no rate; give data.rate"),
        ("mains(frequency='50 s')", RECORD, "frequency must be a frequency, e.g. '50 Hz', got one in 's'"),
        ("mains(harmonics=0)", RECORD, "harmonics must be at least 1, got 0"),
        ("mains(harmonics=1000000000)", RECORD, "harmonics must be at most 4,096, got 1000000000"),
        ("sensor", RECORD, "2 spatial axes"),
        ("sensor(rows=2)", IMAGE, "rows must lie in"),
        ("gain(damage='snow')", IMAGE, "unknown corruption 'snow'"),
        ("gain(damage=\"gain(damage='sensor')\")", IMAGE, "not of a gain"),
    ],
)
def test_damage_that_cannot_be(text, shape, message):
    with pytest.raises(InputError, match=message) as refused:
        corrupt(torch.zeros(2, *shape), text)
    assert "\n" not in str(refused.value)


def test_a_frequency_beyond_nyquist_at_the_rate_is_refused():
    with pytest.raises(InputError, match=r"must lie in \(0, 0.5\) cycles per sample, got 0.625"):
        Corruption.parse("mains(frequency='50 Hz')").on(Grid.parse("80 Hz"))
    with pytest.raises(InputError, match=r"axes of .* differ; give it in samples"):
        Corruption.parse("curtains(width='2 mm')").on(Grid.parse(["0.5 mm", "1 mm"]))
