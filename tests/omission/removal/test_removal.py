"""Removal of damage against closed forms of stationary Gaussian fields, and on real damage."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sagd.data.corruption import Corruption, corrupt
from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.grid import Grid
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Spots, Strip, Stripes, Wedge
from sagd.omission.clean import clean as remove
from sagd.omission.removal import measure
from sagd.omission.removal.extend import crop, extend, extended_size, interpolated, passed
from sagd.omission.removal.local import strength, window_of
from sagd.omission.removal.measurement import windowed

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
STRIPES = Strip(axis=1, width=0.02, soft=0.01)


def drawn(spatial, law, seed):
    """A Gaussian field of spectrum `law(radius, frequencies)`, unit mean power before it."""
    basis = FourierBasis(spatial)
    f = basis.frequencies()
    white = torch.randn(1, *spatial, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return basis.inverse(basis.forward(white) * law(f.square().sum(0).sqrt(), f).sqrt())


def smooth(r, f):
    return 1 / (r**2 + 0.02**2)


def psnr(clean, x):
    return 10 * math.log10(255**2 / float((clean - x).square().mean()))


CASES = {
    "1-D line": ((20000,), Spots(((0.2,),), 0.004, 0.002), lambda r, f: 2000 * torch.exp(-(((r - 0.2) / 0.001) ** 2))),
    "stripes": ((200, 240), STRIPES, lambda r, f: 30 * 200 * (f[0].abs() < 1e-9)),
    "slanted": (
        (256, 256),
        Wedge(45.0, 2.0, 0.1, 1.0),
        lambda r, f: 2e4 * torch.exp(-(((f[0] - f[1]) / 0.002) ** 2)) * (r > 0.1),
    ),
    "stripes at an angle": (
        (256, 256),
        Stripes(30.0, low=0.01, width=0.03),
        lambda r, f: 2e4 * torch.exp(-(((f[0] * math.cos(math.pi / 6) - f[1] / 2) / 0.002) ** 2)),
    ),
    "moire": ((256, 200), Spots(((0.14, -0.1406),), 0.02, 0.01), None),
    "volume": ((40, 48, 36), Strip(axis=2, width=0.04, soft=0.02), lambda r, f: 5e4 * (f[:2].abs().amax(0) < 1e-9)),
}


def damage_of(name, spatial, law):
    if law is not None:
        return drawn(spatial, law, 1)
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in spatial), indexing="ij")
    return 8 * torch.cos(2 * math.pi * (0.14 * rows - 0.1406 * columns) + 0.3)[None]


@pytest.mark.parametrize("name", CASES)
def test_as_good_as_the_wiener_filter_of_the_true_spectra(name):
    """The bound knows both spectra, and the damage is on its grid; what is measured loses little against it."""
    spatial, band, law = CASES[name]
    clean, damage = drawn(spatial, smooth, 0), damage_of(name, spatial, law)
    basis = FourierBasis(spatial)
    f = basis.frequencies()
    r = f.square().sum(0).sqrt()
    n = basis.forward(damage).abs().square()[0] if law is None else law(r, f)
    gain = smooth(r, f) / (smooth(r, f) + n)
    bound = (basis.inverse(gain * basis.forward(clean + damage)) - clean).square().mean()
    error = (remove(clean + damage, band).x - clean).square().mean()
    assert error < damage.square().mean() / 3
    # 1 dB, and what borders add.
    assert error < 1.26 * bound + 0.025 * damage.square().mean()


@pytest.mark.parametrize("name", CASES)
def test_nothing_outside_the_band_changes(name):
    spatial, band, law = CASES[name]
    removal = measure(drawn(spatial, smooth, 0) + damage_of(name, spatial, law), band)
    outside = band.weights(removal.basis.frequencies()) == 0
    assert (removal.gain[0][outside] == 1).all()
    assert (removal.gain >= 0).all()
    assert removal.gain.flatten()[0] == 1  # the mean


@pytest.mark.parametrize("name", CASES)
def test_little_is_taken_out_where_there_is_no_damage(name):
    spatial, band, _ = CASES[name]
    clean = drawn(spatial, smooth, 3)
    inside = band.weights(FourierBasis(spatial).frequencies())
    held = (smooth(FourierBasis(spatial).frequencies().square().sum(0).sqrt(), None) * inside).mean()
    assert remove(clean, band).removed.square().mean() < 0.1 * held


def test_amount_of_damage_is_measured():
    """The Whittle fit gives the power of white stripes within its error, at all but the lowest frequencies."""
    clean, damage = drawn((200, 240), smooth, 0), damage_of("stripes", (200, 240), CASES["stripes"][2])
    removal = measure(clean + damage, STRIPES)
    # 250 rows of the extended array see 200 rows of damage, all of them alike.
    truth = 30 * 200 * removal.basis.spatial[0] / 200
    assert removal.damage[0, 0, 20:].mean() == pytest.approx(truth, rel=0.2)


def test_equivariance():
    """Scaling and shifting the values, mirroring and turning the array commute with removal."""
    x = drawn((96, 120), smooth, 0) + damage_of("stripes", (96, 120), CASES["stripes"][2])
    cleaned = remove(x, STRIPES).x
    torch.testing.assert_close(remove(1e-3 * x + 7, STRIPES).x, 1e-3 * cleaned + 7)
    turned = remove(x.transpose(1, 2), Strip(axis=0, width=0.02, soft=0.01)).x
    torch.testing.assert_close(turned.transpose(1, 2), cleaned)


def test_channels_are_cleaned_each_by_itself():
    clean = drawn((96, 120), smooth, 0)
    damaged = clean + damage_of("stripes", (96, 120), CASES["stripes"][2])
    both = remove(torch.cat([clean, damaged]), STRIPES)
    torch.testing.assert_close(both.x[1:], remove(damaged, STRIPES).x)
    torch.testing.assert_close(both.x[:1], remove(clean, STRIPES).x)


def colours():
    """Three channels that have most in common, as those of photographs have."""
    own = torch.cat([drawn((200, 240), smooth, seed) for seed in (1, 2, 3)])
    return drawn((200, 240), smooth, 0) + 0.15 * own


def test_stripes_of_many_colours_are_told_from_content_by_their_colours():
    clean = colours()
    law = CASES["stripes"][2]
    x = clean + torch.cat([drawn((200, 240), law, seed) for seed in (4, 5, 6)])
    removal = measure(x, STRIPES)
    torch.testing.assert_close(removal.turn @ removal.turn.T, torch.eye(3, dtype=torch.float64))
    each = torch.cat([channel[None] - measure(channel[None], STRIPES).apply(channel[None]) for channel in x])
    assert psnr(clean, x - removal.apply(x)) > psnr(clean, each) + 1


def test_damage_of_one_colour_stays_one_of_its_own():
    x = colours()
    x[:1] += drawn((200, 240), CASES["stripes"][2], 4)
    removal = measure(x, STRIPES)
    torch.testing.assert_close(removal.turn, torch.eye(3, dtype=torch.float64))
    red = x[:1]
    torch.testing.assert_close(removal.apply(x)[:1], measure(red, STRIPES).apply(red))


def test_stripes_along_an_axis_are_a_strip():
    x = drawn((96, 120), smooth, 0) + damage_of("stripes", (96, 120), CASES["stripes"][2])
    one = remove(x, Strip(axis=1, low=0.01, width=0.04, soft=0.01)).x
    torch.testing.assert_close(remove(x, Stripes(low=0.01, width=0.04, soft=0.01)).x, one)


def test_single_precision_is_enough():
    x = drawn((96, 120), smooth, 0) + damage_of("stripes", (96, 120), CASES["stripes"][2])
    cleaned = remove(x.float(), STRIPES).x
    assert cleaned.dtype == torch.float32
    torch.testing.assert_close(cleaned.double(), remove(x, STRIPES).x, rtol=1e-3, atol=1e-3)


def test_blocks_measured_together_give_one_gain():
    """The average over blocks comes nearer to the bound than one block does, and applies to each."""
    law = CASES["stripes"][2]
    clean = [drawn((100, 120), smooth, seed) for seed in range(8)]
    damaged = [x + drawn((100, 120), lambda r, f: law(r, f) / 2, 50 + seed) for seed, x in enumerate(clean)]
    removal = measure(iter(damaged), STRIPES)
    together = sum(float((y - removal.apply(y) - x).square().mean()) for x, y in zip(clean, damaged, strict=True))
    alone = sum(float((remove(y, STRIPES).x - x).square().mean()) for x, y in zip(clean, damaged, strict=True))
    assert together < 1.05 * alone


def strong_and_faint(spatial, wave, count=7):
    """Content under a wave of any strength, none too, so that some settle before others."""
    clean = torch.stack([drawn(spatial, smooth, 20 + seed) for seed in range(count)])
    return clean + 6 * torch.linspace(0, 1, count, dtype=torch.float64).reshape(-1, *[1] * clean[0].ndim) * wave


def blocks():
    """Arrays of one size and a band, of each kind."""
    rows, columns, time = torch.arange(29.0)[:, None], torch.arange(33.0), torch.arange(9000.0)
    wave, hum = torch.cos(2 * math.pi * (0.2 * rows + 0.11 * columns)), torch.cos(2 * math.pi * 0.2003 * time)
    late = (torch.arange(7)[:, None, None] % 2 == 1) | (time >= 5000)
    stripes = [colours() + torch.cat([drawn((200, 240), CASES["stripes"][2], k + c) for c in range(3)]) for k in (4, 7)]
    return {
        "images": (strong_and_faint((29, 33), wave), "spots(at=[[0.2, 0.11]], radius=0.04, soft=0.02)"),
        "colours": (torch.stack(stripes), STRIPES),
        "records": (strong_and_faint((9000,), hum * late), "spots(at=[[0.2]], radius=0.004, soft=0.002)"),
        "volumes": (strong_and_faint((12, 29, 33), wave), "spots(at=[[0.0, 0.2, 0.11]], radius=0.06)"),
    }


@pytest.mark.parametrize("name", ["images", "colours", "records", "volumes"])
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_arrays_are_cleaned_together_as_each_alone(name, dtype, rounding):
    """But for rounding: what is computed for many at a time may be rounded otherwise than for one."""
    x, band = blocks()[name]
    x = x.to(dtype)
    removal = measure(iter(x), band)
    assert name != "colours" or not torch.equal(removal.turn, torch.eye(3, dtype=torch.float64))
    each = torch.stack([removal.apply(own) for own in x])
    together, mixed = removal.apply(x), removal.apply(torch.stack([x.flip(0), 1000 * x]))
    least = rounding * float(each.abs().max())
    torch.testing.assert_close(together, each, rtol=0, atol=least)
    torch.testing.assert_close(mixed[0].flip(0), each, rtol=0, atol=least)


def test_some_records_of_a_block_are_changed_only_where_their_damage_is():
    x, band = blocks()["records"]
    removal = measure(iter(x), band)
    parts = (removal.apply(x)[:, 0, 2500:3500] == 0).double().mean(1)
    assert parts[[4, 6]].min() > 0.5
    assert parts[[3, 5]].max() == 0


@pytest.mark.parametrize("sides", [(40,), (24, 31)])
def test_what_passes_of_an_array_does_not_depend_on_how_soon_others_settle(sides):
    basis = FourierBasis(extended_size(sides))
    gain = ((basis.radius() > 0.1) & (basis.radius() < 0.2)).double()
    noise, wave = drawn(sides, smooth, 1)[0], torch.cos(2 * math.pi * 0.13 * torch.arange(sides[-1]))
    block = torch.stack([noise, 5 * wave.expand(sides), torch.zeros(sides), noise + wave]).double()
    for own, *together in zip(block, *passed(block, gain, basis), strict=True):
        for part, alone in zip(together, passed(own, gain, basis), strict=True):
            torch.testing.assert_close(part, alone, rtol=0, atol=1e-12)


def test_damage_that_multiplies():
    clean = torch.exp(0.2 * drawn((128, 160), smooth, 0) / 10) * 100
    stripes = torch.exp(0.3 * torch.randn(160, generator=torch.Generator().manual_seed(5), dtype=torch.float64))
    cleaned = remove(clean * stripes, STRIPES, log=True)
    assert (cleaned.x - clean).square().mean() < 0.05 * (clean * stripes - clean).square().mean()
    assert (cleaned.x > 0).all()
    dark = clean.clone()
    dark[0, :40, :40] = 0
    cleaned = remove(dark * stripes, STRIPES, log=True)
    # What is dark says nothing of the gain of its columns.
    assert (cleaned.x - dark).square().mean() < 0.2 * (dark * stripes - dark).square().mean()
    assert cleaned.x[0, :40, :40].abs().max() < 1e-6
    dark[0, 0, 0] = -1
    with pytest.raises(InputError, match=r"log=True needs values of 0 and more, 1 of 20480 are below"):
        remove(dark, STRIPES, log=True)


def test_missing_values_stay_missing_and_spoil_nothing():
    clean, damage = drawn((128, 160), smooth, 0), damage_of("stripes", (128, 160), CASES["stripes"][2])
    damaged = clean + damage
    hole = damaged.clone()
    hole[:, 40:50, 60:75] = math.nan
    cleaned = remove(hole, STRIPES)
    assert cleaned.missing == 150
    assert torch.isnan(cleaned.x).sum() == 150
    known = ~torch.isnan(hole)
    error = (cleaned.x - clean)[known].square().mean()
    assert error < 1.3 * (remove(damaged, STRIPES).x - clean)[known].square().mean()


def test_damage_in_a_part_of_the_image():
    clean, damage = drawn((128, 160), smooth, 0), damage_of("stripes", (128, 160), CASES["stripes"][2])
    place = torch.zeros(128, 160)
    place[:, 80:] = 1
    cleaned = remove(clean + damage * place, STRIPES, place=place)
    assert (cleaned.removed[..., :80] == 0).all()


@pytest.mark.parametrize(
    ("x", "band", "options", "message"),
    [
        (torch.ones(1, 32, 32), "ring(low=0, high=1)", {}, "holds every frequency"),
        (torch.ones(1, 32, 32), "spots(at=[[0.21, 0.0]], radius=0)", {}, "holds none of the frequencies"),
        (torch.ones(1, 32, 32), "strip(axis=1, high=0.001)", {}, "nothing but the mean"),
        (torch.ones(1, 32, 32), "ring(low=0.01, high=1)", {}, "every frequency but the mean"),
        (torch.ones(1, 32, 32).long(), STRIPES, {}, "must be floating point"),
        (torch.ones(1, 4, 32), STRIPES, {}, "at least 8 samples a side"),
        (torch.full((1, 32, 32), math.inf), STRIPES, {}, "not finite"),
        (torch.full((1, 32, 32), math.nan), STRIPES, {}, "all of it is NaN"),
        (torch.ones(1, 32, 32), STRIPES, {"place": torch.ones(3)}, "mask of places"),
        (torch.ones(1, 32, 32), STRIPES, {"place": torch.full((32, 32), 2.0)}, r"in \[0, 1\]"),
        (torch.zeros(1, 32, 32), STRIPES, {"log": True}, "all are 0"),
    ],
)
def test_refused_in_one_line(x, band, options, message):
    with pytest.raises(InputError, match=message):
        remove(x, band, **options)


def test_blocks_must_be_alike():
    with pytest.raises(InputError, match="of one size"):
        measure([torch.randn(1, 32, 32), torch.randn(1, 32, 40)], STRIPES)
    with pytest.raises(InputError, match="no array"):
        measure([], STRIPES)
    with pytest.raises(InputError, match="measured on arrays of 1 x 32 x 32"):
        measure(torch.randn(1, 32, 32), STRIPES).apply(torch.randn(1, 32, 40))


def test_constant_arrays_stay():
    assert (remove(torch.full((1, 32, 32), 3.0), STRIPES).x == 3).all()


def test_extension_meets_itself():
    """No step is larger than the largest inside, and what is constant along an axis stays so."""
    x = torch.linspace(0, 1, 50, dtype=torch.float64)[None]
    whole = extend(x, extended_size((50,)))
    around = torch.cat([whole, whole[:, :1]], 1).diff().abs()
    assert around.max() < 0.2
    torch.testing.assert_close(crop(whole, (50,)), x)
    rows = torch.randn(1, 1, 30, dtype=torch.float64).expand(1, 20, 30)
    whole = extend(rows, extended_size((20, 30)))
    torch.testing.assert_close(whole, whole[:, :1].expand_as(whole))


def test_interpolation_of_a_plane():
    x = torch.arange(9.0).expand(1, 9, 9)
    missing = torch.zeros(1, 9, 9, dtype=torch.bool)
    missing[0, 4, 4] = True
    torch.testing.assert_close(interpolated(torch.where(missing, math.nan, x), missing), x)


def shared(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not in ../shared/data")
    return path


def picture(path):
    from PIL import Image

    x = torch.from_numpy(np.asarray(Image.open(path)).astype(np.float64))
    return x.mean(-1)[None] if x.ndim == 3 else x[None]


def test_real_curtaining():
    """Real stripes on nearly clean tissue: at least 34.5 dB, however exactly the band is known."""
    folder = shared("damaged/fib_semi")
    for width in (0.03, 0.05):
        band, score = Strip(axis=1, width=width, soft=0.01), []
        for number in range(6):
            clean, damaged = (picture(folder / f"{number:02d}_{which}.png") for which in ("clean", "damaged"))
            score.append(psnr(clean, remove(damaged, band).x.clamp(0, 255)))
        assert np.mean(score) > 34.5


def test_hum_of_one_record_on_another():
    """Mains hum of a real record on another that has none: heartbeats do not mislead it, as they do a notch filter."""
    signal = pytest.importorskip("scipy.signal")
    noisy, clean = np.load(shared("ecg/mitdb-100-360Hz.npy")), np.load(shared("ecg/alarm-v102s-250Hz.npy"))
    x = noisy[:, 0].astype(np.float64)
    f, c = np.fft.rfftfreq(len(x), 1 / 360), np.fft.rfft(x)
    kept = np.zeros(len(f))
    for line in (60, 120):
        near, beside = np.abs(f - line) < 1, (np.abs(f - line) > 2) & (np.abs(f - line) < 6)
        power = np.convolve(np.abs(c) ** 2, np.ones(9) / 9, "same")
        kept[near] = np.clip(1 - np.mean(np.abs(c[beside]) ** 2) / power[near], 0, 1)
    hum = signal.resample_poly(np.fft.irfft(kept * c, len(x)), 25, 36)[: len(clean)]
    truth = torch.from_numpy(clean[:, 0].astype(np.float64))[None]
    hum *= float(truth.std()) / hum.std() * 10 ** (-11.4 / 20)
    damaged = truth + torch.from_numpy(hum)

    def snr(y):
        return 10 * math.log10(float(truth.var() / (y - truth).square().mean()))

    def notched(quality):
        y = damaged.numpy()
        for line in (60, 120):
            y = signal.filtfilt(*signal.iirnotch(line, quality, 250), y)
        return torch.from_numpy(y.copy())

    best = max(snr(notched(q)) for q in (5, 10, 20, 30, 60, 120, 200, 400))
    assert snr(remove(damaged, Spots(((60 / 250,), (120 / 250,)), 1 / 250, 0.5 / 250)).x) > best + 1


def test_a_line_that_starts_in_the_middle_of_a_record():
    """Nothing changes where it is missing, and more is taken out where it is, than by one gain for all."""
    clean, band = drawn((20000,), smooth, 0), Spots(((0.2,),), 0.004, 0.002)
    line = 8 * torch.cos(2 * math.pi * 0.2003 * torch.arange(20000, dtype=torch.float64))[None]
    late = line * (torch.arange(20000) >= 10000)
    x = clean + late
    cleaned = remove(x, band)
    removal = cleaned.removal
    alone = removal.basis.inverse(
        (1 - removal.gain) * removal.basis.forward(extend(x - x.mean(), removal.basis.spatial))
    )
    error, before = ((taken - late).square() for taken in (cleaned.removed, crop(alone, (20000,))))
    assert error.mean() < before.mean()
    assert error[:, :10000].mean() < before[:, :10000].mean() / 2
    length = window_of(cleaned.removal.width, 20000)
    assert (cleaned.removed[:, 3 * length : 10000 - 2 * length].abs() < 1e-9).float().mean() > 0.7


@pytest.mark.parametrize("band", ["spots(at=[[0.12575]], radius=0.00005)", "spots(at=[[0.12575]], radius=0.0002)"])
def test_a_line_wider_than_its_band_is_taken_out_all_the_same(band):
    """What leaks out of the band looks like structure; the line is where moving averages leave next to nothing."""
    white = torch.randn(20020, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = white.unfold(0, 8, 1).mean(1)[None, :20000]
    y = x + torch.sin(2 * math.pi * 0.12575 * torch.arange(20000))
    left = float((y - measure(y, band).apply(y) - x).square().mean())
    assert left < 0.05 * float((y - x).square().mean())


def test_strength_by_time():
    """A tenth of white noise is in the band, and damage of 9 times that from the middle on: `a` is 0, then 2."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(20000, dtype=torch.float64, generator=g) * 0.1**0.5
    late = torch.where(torch.arange(20000) < 10000, x, x * 10**0.5)
    found, by_time = strength(torch.stack([x * 10**0.5, late]), 0.1, 1000)
    assert by_time.tolist() == [False, True]
    found = found[1].square()
    assert found[:9000].mean() < 0.02
    torch.testing.assert_close(found[11000:].mean().item(), 2.0, rtol=0.05, atol=0)
    assert window_of(0.012, 10000) == 1000
    assert window_of(0.001, 10000) is None


def test_structure_casts_smaller_mirrors_than_by_the_gain_alone():
    """Bright squares across the stripes are smeared along the columns above and below them."""
    clean, damage = drawn((160, 200), smooth, 0), damage_of("stripes", (160, 200), CASES["stripes"][2])
    for column in (30, 90, 150):
        clean[:, 60:100, column : column + 20] += 60
    cleaned = remove(clean + damage, STRIPES)
    removal, x = cleaned.removal, clean + damage
    spectrum = removal.basis.forward(extend(x - x.mean(), removal.basis.spatial))
    alone = x - crop(removal.basis.inverse((1 - removal.gain) * spectrum), (160, 200))
    ours, theirs = ((y - clean)[:, :50].square().mean() for y in (cleaned.x, alone))
    # Of these proportions the gain alone misses no level of the line, and leaves little to gain.
    assert ours < 0.95 * theirs


def test_a_band_may_be_in_hertz():
    grid = Grid.parse("250 Hz")
    x = drawn((5000,), smooth, 0) + 5 * torch.cos(2 * math.pi * 60 / 250 * torch.arange(5000, dtype=torch.float64))
    plain = remove(x, Spots(((60 / 250,),), 1 / 250)).x
    told = remove(x, Spectrum.parse("spots(at=['60 Hz'], radius='1 Hz')").on(grid)).x
    torch.testing.assert_close(told, plain)


def test_stripes_that_vary_along_themselves_go_from_images_of_any_proportions():
    """Across the line, frequencies are further apart than along it where an image is wider than high."""
    strengths = torch.randn(3, 400, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    errors = []
    for height in (400, 150):
        stripes = torch.nn.functional.interpolate(strengths[None, None], (height, 400), mode="bilinear")[0]
        clean = drawn((height, 400), smooth, 0)
        stripes = stripes * 0.5 * clean.std()
        cleaned = remove(clean + stripes, Strip(axis=1, low=0.003, width=0.2)).x
        errors.append(float((cleaned - clean).square().mean() / stripes.square().mean()))
    # Fewer rows tell a stripe from the scene less well; with levels missed it was 4.5 times the error.
    assert errors[0] < 0.2
    assert errors[1] < 2 * errors[0]


@pytest.mark.parametrize(("sides", "window"), [((11,), (7,)), ((6, 9), (5, 6)), ((4, 6, 5), (3, 4, 4))], ids=str)
def test_the_power_in_windows_by_the_whole_covariance(sides, window):
    """`diag(F C F*)` of the covariance of a window, made of that of the whole, for each of two spectra."""
    whole, own = FourierBasis(sides), FourierBasis(window)
    power = torch.rand(2, *whole.coefficients, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    units = torch.eye(math.prod(window), dtype=torch.float64).reshape(-1, *window)
    for side, wanted, axis in zip(sides, window, range(1, len(sides) + 1), strict=True):
        padding = torch.zeros(*units.shape[:axis], side - wanted, *units.shape[axis + 1 :], dtype=torch.float64)
        units = torch.cat([units, padding], axis)
    transformed = torch.fft.fftn(torch.eye(math.prod(window), dtype=torch.float64).reshape(-1, *window), norm="ortho",
                                 dim=tuple(range(1, len(window) + 1))).flatten(1)  # fmt: skip
    for spectrum, found in zip(power, windowed(power, whole, window), strict=True):
        moved = whole.inverse(spectrum * whole.forward(units))
        covariance = crop(moved, window).flatten(1).to(transformed.dtype)
        exact = torch.einsum("nf,nm,mf->f", transformed.conj(), covariance, transformed).real
        half = exact.reshape(window)[..., : own.coefficients[-1]]
        # A real field with the power of one of two mirrored coefficients has that of both.
        torch.testing.assert_close(found, half, atol=1e-12, rtol=1e-9)


def test_the_power_of_damage_in_the_arrays_themselves():
    """Of curtains whose spectrum is known by draws, in windows that they run beyond: the whole, and frequency by
    frequency.

    Next to 0, where nothing is taken out, it is too small, and at the highest, where it falls fast, too large: there by
    less than 4 dB, else by less than 3.
    """
    x = torch.randn(300, 1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = 0.3 * torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    damage = Corruption.parse("curtains(width=1.5, length=60, level=0.3, drift=0)")
    y = corrupt(x.float(), damage, 0).double()
    removal = measure(list(y), damage.band((32, 32)))
    true = FourierBasis((32, 32)).forward(y - x).abs().square().mean(0)
    f = FourierBasis((32, 32)).frequencies()
    strong, noise = (true > 0.05 * true.max()) & (f[1] > 0.02) & (f[1] < 0.42), removal.noise_of(y)
    off = 10 * (noise / true).log10()[0][strong[0]]
    assert len(off) >= 12
    assert float(off.abs()[:-1].max()) < 3
    assert float(off.abs()[-1]) < 4
    assert power_in(noise, damage.band((32, 32))) == pytest.approx(power_in(true, damage.band((32, 32))), rel=0.05)


def power_in(power, band):
    """Sum over a band of `(C, *coefficients)` of windows of 32 x 32."""
    basis = FourierBasis((32, 32))
    return float((basis.multiplicity() * (mask(band, basis) > 0) * power).sum())


def test_the_share_of_damage_in_a_band():
    """That of the truth; of noise alone, of which single levels stand out by chance, far less than these have."""
    damage = Corruption.parse("fringes(waves=1, low=0.2, high=0.3, spread=0.002, bend=0, vary=0, level=0.5)")
    band, x = damage.band((32, 32)), torch.cat([drawn((32, 32), smooth, k)[None] for k in range(200)])
    y = corrupt(x.float(), damage, 0).double()
    powers = (FourierBasis((32, 32)).forward(z).abs().square().mean(0) for z in (y - x, y))
    true, every = (power_in(power, band) for power in powers)
    assert measure(iter(y), band).share_of(y) == pytest.approx(true / every, abs=0.05)
    noise = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(26), dtype=torch.float64)
    nothing, inside = measure(iter(noise), "strip(low=0.03)"), mask("strip(low=0.03)", FourierBasis((16, 16))) > 0
    assert float((inside * nothing.noise_of(noise)).sum() / (inside * nothing.power_in(noise)).sum()) > 0.7
    assert nothing.share_of(noise) < 0.05


def test_bands_of_all_that_small_items_hold():
    """Beside them the extended arrays have frequencies, the items none."""
    x = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    removal = measure(iter(x), "ring(low=0.1, high=1)")
    assert removal.noise_of(x).isfinite().all()


def test_a_constant_channel_does_not_count():
    damage = Corruption.parse("fringes(waves=1, low=0.2, high=0.3, spread=0.002, bend=0, vary=0, level=0.5)")
    x = torch.cat([drawn((32, 32), smooth, k)[None] for k in range(20)])
    y = corrupt(x.float(), damage, 0).double()
    two = torch.cat([y, torch.full_like(y, 3.0)], 1)
    alone, beside = (measure(iter(z), damage.band((32, 32))) for z in (y, two))
    assert beside.level_of(two) == pytest.approx(alone.level_of(y))
    torch.testing.assert_close(beside.noise_of(two)[:1], alone.noise_of(y))
    assert not beside.noise_of(two)[1].any()


@pytest.mark.parametrize("together", [1, 300])
@pytest.mark.parametrize("blank", [0, 6])
def test_the_power_of_damage_where_borders_are_blank(blank, together):
    """Waves between bins over items that fill their window, and over some that do not: in extended arrays, which repeat
    the borders, content is weaker then than in the arrays. Measured on all items, or on each of 30, whose figures have
    a standard deviation of 10 %: 7 % is 4 standard errors of their mean.
    """
    damage = Corruption.parse("fringes(waves=1, low=0.2, high=0.3, spread=0.002, bend=0, vary=0, level=0.5)")
    count, side, band = max(30, together), 32 - 2 * blank, damage.band((32, 32))
    x = torch.zeros(count, 1, 32, 32, dtype=torch.float64)
    x[..., blank : 32 - blank, blank : 32 - blank] = torch.cat(
        [drawn((side, side), smooth, k)[None] for k in range(count)]
    )
    y = x + 5 * corrupt(torch.zeros_like(x).float(), damage, 0).double()
    power = FourierBasis((32, 32)).forward(y - x).abs().square()
    shares = [
        power_in(measure(iter(some), band).noise_of(some), band) / power_in(true.mean(0), band)
        for some, true in zip(y.split(together), power.split(together), strict=True)
    ]
    assert sum(shares) / len(shares) == pytest.approx(1, rel=0.07)


def faces(count, common):
    """Gaussian fields about something that all have in common, `(count, 1, 32, 32)`; what stripes that end add, which
    fall by 20 dB along their line and by 5 beside it; and the powers of both."""
    basis = FourierBasis((32, 32))
    f = basis.frequencies()
    along, across = f[1].abs(), f[0].abs() * 32
    content = 0.3 * smooth(f.square().sum(0).sqrt(), f) * (f.square().sum(0) > 0)
    damage = 900 * torch.exp(-9.2 * along) * torch.exp(-1.2 * across) * (across < 2.5) * (along > 0.02)
    x, n = (
        torch.cat([drawn((32, 32), lambda r, f: power, seed + k)[None] for k in range(count)])  # noqa: B023
        for power, seed in ((content, 0), (damage, 10_000))
    )
    return x + common, n, content, damage


def test_damage_of_many_is_known_place_by_place():
    """Along the line and beside it, to 1 dB of 400 fields, where it is twice the content, but for the lowest."""
    x, n, content, damage = faces(400, 0.0)
    removal = measure(iter(x + n), Strip(axis=1, low=0.02, width=0.3))
    off = 10 * (removal.noise_of(x + n)[0] / damage).log10()
    strong = (damage > 2 * content) & (FourierBasis((32, 32)).frequencies()[1] > 0.08)
    assert int(strong[1].sum()) > 10  # the first line beside
    assert float(off[strong].abs().mean()) < 0.5
    assert float(off[strong].abs().max()) < 1


def test_what_many_have_in_common_is_content():
    """Fields are cleaned as well about it as without it, to 2 %."""
    place = torch.arange(32.0, dtype=torch.float64) - 16
    common = 40 * torch.exp(-(place[:, None].square() + 4 * place.square()) / 60)
    errors = []
    for mean in (0.0, common):
        x, n, _, _ = faces(400, mean)
        y = x + n
        removal = measure(iter(y), Strip(axis=1, low=0.02, width=0.3))
        errors.append(float((y - removal.apply(y) - x).square().mean()))
    assert float((removal.common[0] - common + common.mean()).square().mean().sqrt()) < 0.05 * float(common.std())
    assert errors[1] == pytest.approx(errors[0], rel=0.02)


def test_the_same_array_many_times():
    """Nothing is left beside what they have in common but rounding."""
    x = torch.cat([drawn((32, 32), smooth, 0)[None]] * 20).float()
    removal = measure(iter(x), Strip(axis=1, low=0.02, width=0.1))
    assert removal.apply(x).isfinite().all()
    assert not removal.common.any()


def test_blocks_of_large_arrays_have_nothing_in_common():
    """They may be parts of one array, which is cleaned as if it had been read at once."""
    bright = 50 * torch.exp(-(torch.linspace(-3, 3, 128, dtype=torch.float64) ** 2))[:, None]
    x = torch.cat([drawn((128, 128), smooth, k) + bright for k in range(16)])[:, None]
    small, large = (measure(iter(z), Strip(axis=1, low=0.02, width=0.1)) for z in (x[..., :127, :127], x))
    assert small.common.any()
    assert not large.common.any()


def test_weak_rows_over_steep_content_are_not_made_worse():
    """Offsets of rows, at low frequencies far below the content: 256 fields."""
    x = torch.cat([drawn((32, 32), lambda r, f: 1 / (r + 1 / 32) ** 2, k)[None] for k in range(256)])
    rows = torch.randn(256, 1, 32, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = x + 0.5 * rows.expand_as(x)
    removal = measure(iter(y), Strip(axis=0, low=0.03))
    assert float((y - removal.apply(y) - x).square().mean()) < 0.85 * float((y - x).square().mean())


def test_a_pattern_of_all_is_no_content():
    """That of a sensor: columns in the band, the same in all."""
    x, n, _, _ = faces(100, 0.0)
    columns = 5 * torch.randn(32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = x + n + (columns - columns.mean())
    removal = measure(iter(y), Strip(axis=1, low=0.02, width=0.3))
    left = float((y - removal.apply(y) - x).square().mean())
    assert left < 0.1 * float((y - x).square().mean())
