"""Detection on fields of known spectra: what is put in is found, and nothing where nothing is."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skimage import data

from sagd.data.config import DataConfig
from sagd.data.corruption import corrupt
from sagd.data.load import load
from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.damage import Spots
from sagd.noise.statistics import measure
from sagd.omission.detection.find import _belongs, examine, find
from sagd.omission.detection.peaks import Peak
from sagd.omission.detection.probability import damage_probability


@pytest.mark.parametrize("decibel", [15, 20])
@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("band_noise(low=0.3, high=0.4, level=1)", (1, 32, 32)),
        ("band_noise(low=0.3, high=0.4, level=1)", (1, 512)),
        ("scan_lines(level=1)", (1, 32, 32)),
        ("scan_lines(axis=1, level=1)", (3, 32, 32)),
        ("moire(waves=1, level=1)", (1, 32, 32)),
        ("hum(level=1, frequency=0.06)", (1, 256)),
    ],
)
def test_damage_is_found_where_it_is(fields, damaged, text, shape, decibel):
    y, true = damaged(fields(shape), text, decibel)
    found = find(y)
    assert found.band is not None, found.lines()
    got, basis = mask(found.band, FourierBasis(shape[1:])), FourierBasis(shape[1:])
    power = basis.multiplicity() * measure(y).spectrum.mean(0) * true
    assert float((power * got).sum() / power.sum()) > 0.5
    spoilt = (basis.multiplicity() * got * (true == 0)).sum() / (basis.multiplicity() * (true == 0)).sum()
    assert float(spoilt) < 0.12
    assert all(f.probability >= 0.99 and f.excess > 0 and 0 < f.share < 0.5 for f in found.findings)


@pytest.mark.parametrize("alpha", [0.0, -1.0, -1.5])
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 20, 28), (1, 256), (1, 12, 12, 12)], ids=str)
def test_clean_fields_give_nothing(fields, alpha, shape):
    """Four seeds each: an alarm rate of 1 in 50 would pass all 48 with 38 % probability, of 1 in 10 with 0.6 %."""
    for seed in range(4):
        found = find(fields(shape, alpha, 100, seed))
        assert found.band is None, found.lines()
        assert found.nearest < 0.99


@pytest.mark.parametrize("shape", [(1, 200, 160), (1, 20_000)], ids=str)
def test_one_large_clean_array_gives_nothing(fields, shape):
    for seed in range(4):
        assert find(fields(shape, -1.0, 1, seed)).band is None


def test_a_hum_and_its_harmonics_are_one_finding_in_one_record(fields):
    n, f = 60_000, 60.02 / 360
    t = torch.arange(float(n), dtype=torch.float64)
    phase = 2 * math.pi * f * t + 3 * torch.sin(2 * math.pi * t / 20_000)
    noise = fields((1, n), -0.5, 1).double()
    hum = torch.cos(phase) + 0.5 * torch.cos(2 * phase + 1) + 0.3 * torch.cos(3 * phase + 2)
    found = find(noise + noise.std() * hum)
    first = found.findings[0].band
    assert isinstance(first, Spots)
    at = sorted(abs(g[0]) for g in first.at)
    folded = sorted(abs(m * f - round(m * f)) for m in (1, 2, 3))
    assert len(at) == 3
    assert all(abs(a - b) < 1e-3 for a, b in zip(at, folded, strict=True))
    assert first.radius < 2e-3


def bursts(n=40_000, seed=0):
    """A record as of speech at 8 kHz: sounds of some length and pitch, low ones louder, and pauses."""
    g = np.random.default_rng(seed)
    x, at = 0.003 * g.normal(size=n), 0
    while at < n - 4000:
        length, pitch = int(g.integers(800, 3000)), g.uniform(0.012, 0.03)
        t = np.arange(length)
        tones = sum(np.cos(2 * np.pi * k * pitch * t * (1 + 2e-5 * t) + g.uniform(0, 6)) / k**1.5 for k in range(1, 20))
        x[at : at + length] += g.uniform(0.2, 1) * np.hanning(length) * (tones + 0.2 * g.normal(size=length))
        at += length + int(g.integers(200, 2500))
    return torch.from_numpy(x)[None, None]


def likeliest(x, kind):
    return max((damage_probability(c) for c in examine(x).candidates() if c.kind == kind), default=0.0)


def test_a_narrow_line_of_50_db_in_speech_is_found():
    x = bursts()
    assert find(x).band is None
    t = torch.arange(x.shape[-1], dtype=torch.float64)
    for height in (0.1, 0.4):
        hum = height * torch.cos(2 * math.pi * 0.0075 * t) + 0.1 * height * torch.cos(2 * math.pi * 0.015 * t + 1)
        first = find(x + hum).findings[0].band
        assert any(abs(abs(f[0]) - 0.0075) < 1e-4 for f in first.at), height


@pytest.mark.parametrize("angle", [0.0, 25.0])
def test_stronger_stripes_are_never_less_likely(fields, angle):
    """Up to where they reach down to DC, and are all that is seen."""
    x = fields((1, 240, 260), -1.1, 1, 3).double()
    stripes = corrupt(torch.zeros_like(x), f"curtains(angle={angle}, width=2, ends=0, vary=0.1, level=1)", 5)
    told = [likeliest(x + x.std() * 10 ** (level / 20) * stripes, "stripes") for level in range(-20, 25, 5)]
    assert max(told) >= 0.99
    for before, after in itertools.pairwise(told):
        assert after >= min(0.99, before - 0.01), told


def test_hum_of_files_of_unequal_strength_is_as_certain_as_of_each():
    x = torch.cat([scale * bursts(seed=seed) for seed, scale in enumerate((1.0, 0.1, 8.0))])
    t = torch.arange(x.shape[-1], dtype=torch.float64)
    hum = torch.stack([torch.cos(2 * math.pi * 0.0075 * t + phase) for phase in (0, 1, 2)])[:, None]
    y = x + 0.4 * x.std(-1, keepdim=True) * hum
    assert all(likeliest(y[k : k + 1], "spots") > 0.99 for k in range(3))
    assert likeliest(y, "spots") > 0.99
    assert likeliest(y.transpose(0, 1), "spots") > 0.99  # as channels of one record


def test_stronger_hum_is_never_less_likely():
    x = bursts(seed=1)
    t = torch.arange(x.shape[-1], dtype=torch.float64)
    hum = torch.cos(2 * math.pi * 0.0213 * t + 0.5 * torch.sin(2 * math.pi * t / 9000))
    told = [likeliest(x + x.std() * 10 ** (level / 20) * hum, "spots") for level in range(-30, 15, 5)]
    assert max(told) >= 0.99
    for before, after in itertools.pairwise(told):
        assert after >= min(0.99, before - 0.01), told


def test_what_belongs_by_its_place_makes_nothing_else_belong():
    """A hum at 0.1 and what may be its third harmonic; 0.15 is a half of that, and nothing of the hum."""

    def peak(f):
        return SimpleNamespace(peak=Peak((f,), (0,), 1.0, 0.0, 1e-4))

    windows = SimpleNamespace(side=(1250,))
    family = [(1.0, peak(0.1)), (0.6, peak(0.3))]
    assert _belongs((0.45, peak(0.3)), family[:1], windows) > 0.5
    assert _belongs((0.45, peak(0.15)), [(1.0, peak(0.3))], windows) > 0.5
    assert _belongs((0.45, peak(0.15)), family, windows) == 0


def test_both_diagonals_of_a_screen_are_one_finding(fields):
    """A 45-degree screen between the frequencies of the grid, in sets and in one large image."""
    k = 0.1406
    for shape, count in (((64, 64), 100), ((256, 300), 1)):
        x = fields((1, *shape), -1.2, count)
        i, j = (torch.arange(float(n)) for n in shape)
        phase = 2 * math.pi * torch.rand(2, count, 1, 1, 1, generator=torch.Generator().manual_seed(1))
        waves = [
            torch.cos(2 * math.pi * k * (i[:, None] + sign * j) + p) for sign, p in zip((1, -1), phase, strict=True)
        ]
        found = find(x + 0.5 * x.std() * (waves[0] + waves[1]))
        at = found.findings[0].band.at
        assert len(at) == 2
        assert {math.copysign(1, a * b) for a, b in at} == {1.0, -1.0}
        assert all(abs(abs(f) - k) < 0.002 for pair in at for f in pair)


@pytest.mark.parametrize("count", [50, 160, 300])
def test_few_small_clean_images_give_nothing(count):
    """8 x 8 pixels."""
    assert find(load(DataConfig(limit=count)).tensor()).band is None


def test_text_is_bound_to_its_lines():
    """A page of lines of random strokes: its rows are as regular as any scan line."""
    g = np.random.default_rng(0)
    page = np.full((400, 360), 250.0)
    for top in range(10, 390, 16):
        for left in range(10, 345, 8):
            if g.random() < 0.85:
                page[top : top + 9, left : left + 6][g.random((9, 6)) < 0.5] = 20
    x = torch.from_numpy(page)[None, None]
    clean = find(x)
    assert clean.band is None, clean.lines()
    wave = 60 * torch.cos(2 * math.pi * (0.213 * torch.arange(400.0)[:, None] + 0.307 * torch.arange(360.0)))
    assert find(x + wave).findings[0].band.kind == "spots"


@pytest.mark.parametrize("axis", [1, 2])
def test_a_strong_wave_that_is_cut_off_by_black_bars_is_certain(axis):
    """Half of it is lost there with all that it lies upon, which kept step with it."""
    bars, picture = [0, 0, 0, 0], torch.tensor(data.camera()[:320, :320]).double()
    bars[2 * (2 - axis)] = bars[2 * (2 - axis) + 1] = 40
    x = torch.nn.functional.pad(picture[None], bars)
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in x.shape[1:])
    wave = 45 * torch.cos(2 * math.pi * (0.1264 * rows[:, None] + 0.2569 * columns))
    found = find((x + wave).round().clamp(0, 255)[None])
    assert isinstance(found.findings[0].band, Spots)
    assert found.findings[0].band.at[0] == pytest.approx((0.1264, 0.2569), abs=0.002)


def test_scale_and_offset_do_not_matter(fields, damaged):
    y = damaged(fields(), "moire(level=1)", 15)[0]
    one, other = find(y), find(7 * y + 3)
    assert str(one.band) == str(other.band)
    torch.testing.assert_close(one.excess, other.excess, atol=1e-3, rtol=0)


def test_a_reference_shows_what_is_too_faint_otherwise(fields, damaged):
    x, reference = fields(count=2000), fields(count=2000, seed=9)
    y, true = damaged(x, "band_noise(low=0.3, high=0.4, level=1)", 1.7)
    assert find(y).band is None
    got = mask(find(y, reference).band, FourierBasis((32, 32)))
    assert float((got * true).sum() / true.sum()) > 0.8
    assert find(x, reference).band is None


def test_a_pattern_that_all_images_share_shows_against_a_reference(fields):
    x = fields()
    y = corrupt(x, "fixed_pattern(level=0.5)")
    assert find(y).band is None
    assert any(f.band.kind == "strip" for f in find(y, fields(seed=9)).findings)


def test_what_is_said(fields, damaged):
    clean, found = find(fields()), find(damaged(fields(), "scan_lines(level=1)", 20)[0])
    assert "none found" in clean.lines()[0]
    assert clean.to_dict()["band"] is None
    assert "strip" in found.lines()[1]
    assert "dB" in found.lines()[1]
    assert "damage with probability 0.99" in found.lines()[1]
    assert found.to_dict()["findings"][0]["probability"] >= 0.99


def test_enlarged_images_are_cautioned_against(fields):
    x = load(DataConfig(size=32)).tensor()
    found = find(x)
    assert found.band is None
    assert "look enlarged or smoothed" in "\n".join(found.lines())
    assert find(fields()).empty < 0.05


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(20, 1, 16, 16), "do not vary"),
        (torch.randn(8, 1, 16, 16), "at least 16 arrays .* got 8 of 16 x 16; name the band"),
        (torch.randn(20, 1, 6, 16), "at least 8 samples a side"),
        (torch.zeros(20, 1, 16, 16, dtype=torch.uint8), "must be floating point"),
        (torch.full((20, 1, 16, 16), torch.nan), "non-finite"),
    ],
)
def test_what_cannot_be_examined(x, message):
    with pytest.raises(InputError, match=message):
        find(x)


def test_a_reference_of_another_shape(fields):
    with pytest.raises(InputError, match=r"images are \(1, 32, 32\), those of the reference \(1, 16, 16\)"):
        find(fields(), fields((1, 16, 16)))


@pytest.mark.parametrize(("size", "square"), [(256, 8), (256, 20), (256, 32), (400, 16), (400, 20), (512, 25)])
def test_a_chessboard_is_left_alone(size, square):
    """Nothing in it is the sum of two of its peaks, and most of its spectrum is empty."""
    i, j = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    found = find(255.0 * ((i // square + j // square) % 2)[None, None].double())
    assert found.band is None
    assert found.enlarged == ""
    assert found.likeliest is not None or found.unsure
