"""Detection on fields of known spectra: what is put in is found, and nothing where nothing is."""

import math

import numpy as np
import pytest
import torch

from sagd.data.config import DataConfig
from sagd.data.corruption import Corruption, corrupt
from sagd.data.load import load
from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.damage import Spots
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import measure
from sagd.omission.detect import detect, excess_spectrum


def fields(shape=(1, 32, 32), alpha=-1.0, count=300, seed=0):
    """Gaussian fields whose power falls as `r^(2 alpha)`."""
    return SpectralCovariance(PowerLaw(alpha), shape).sample(count, torch.Generator().manual_seed(seed)) / 3


def damaged(x, text, decibel, seed=1):
    """Damage whose power in its band exceeds that of the data by so many decibels."""
    unit, basis = Corruption.parse(text), FourierBasis(tuple(x.shape[2:]))
    b = mask(unit.band(basis.spatial, seed), basis) * basis.multiplicity()
    noise = (b * unit.spectrum(tuple(x.shape[1:]), seed).mean(0)).sum()
    level = math.sqrt((10 ** (decibel / 10) - 1) * float((b * measure(x).spectrum.mean(0)).sum() / noise))
    n = corrupt(torch.zeros_like(x), unit, seed)
    return x + level * n, mask(unit.band(basis.spatial, seed), basis)


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
def test_damage_is_found_where_it_is(text, shape, decibel):
    y, true = damaged(fields(shape), text, decibel)
    found = detect(y)
    assert found.band is not None, found.lines()
    got, basis = mask(found.band, FourierBasis(shape[1:])), FourierBasis(shape[1:])
    power = basis.multiplicity() * measure(y).spectrum.mean(0) * true
    assert float((power * got).sum() / power.sum()) > 0.5
    spoilt = (basis.multiplicity() * got * (true == 0)).sum() / (basis.multiplicity() * (true == 0)).sum()
    assert float(spoilt) < 0.1
    assert all(f.probability >= 0.99 and f.excess > 0 and 0 < f.share < 0.5 for f in found.findings)


@pytest.mark.parametrize("alpha", [0.0, -1.0, -1.5])
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 20, 28), (1, 256), (1, 12, 12, 12)], ids=str)
def test_clean_fields_give_nothing(alpha, shape):
    """Four seeds each: an alarm rate of 1 in 50 would pass all 48 with 38 % probability, of 1 in 10 with 0.6 %."""
    for seed in range(4):
        found = detect(fields(shape, alpha, 100, seed))
        assert found.band is None, found.lines()
        assert found.nearest < 0.99


@pytest.mark.parametrize("shape", [(1, 200, 160), (1, 20_000)], ids=str)
def test_one_large_clean_array_gives_nothing(shape):
    for seed in range(4):
        assert detect(fields(shape, -1.0, 1, seed)).band is None


def test_a_hum_and_its_harmonics_are_one_finding_in_one_record():
    n, f = 60_000, 60.02 / 360
    t = torch.arange(float(n), dtype=torch.float64)
    phase = 2 * math.pi * f * t + 3 * torch.sin(2 * math.pi * t / 20_000)
    noise = fields((1, n), -0.5, 1).double()
    hum = torch.cos(phase) + 0.5 * torch.cos(2 * phase + 1) + 0.3 * torch.cos(3 * phase + 2)
    found = detect(noise + noise.std() * hum)
    first = found.findings[0].band
    assert isinstance(first, Spots)
    at = sorted(abs(g[0]) for g in first.at)
    folded = sorted(abs(m * f - round(m * f)) for m in (1, 2, 3))
    assert len(at) == 3
    assert all(abs(a - b) < 1e-3 for a, b in zip(at, folded, strict=True))
    assert first.radius < 2e-3


def test_both_diagonals_of_a_screen_are_one_finding():
    """A 45-degree screen between the frequencies of the grid, in sets and in one large image."""
    k = 0.1406
    for shape, count in (((64, 64), 100), ((256, 300), 1)):
        x = fields((1, *shape), -1.2, count)
        i, j = (torch.arange(float(n)) for n in shape)
        phase = 2 * math.pi * torch.rand(2, count, 1, 1, 1, generator=torch.Generator().manual_seed(1))
        waves = [
            torch.cos(2 * math.pi * k * (i[:, None] + sign * j) + p) for sign, p in zip((1, -1), phase, strict=True)
        ]
        found = detect(x + 0.5 * x.std() * (waves[0] + waves[1]))
        at = found.findings[0].band.at
        assert len(at) == 2
        assert {math.copysign(1, a * b) for a, b in at} == {1.0, -1.0}
        assert all(abs(abs(f) - k) < 0.002 for pair in at for f in pair)


def test_clean_digits_give_nothing_and_damaged_ones_do():
    x = load(DataConfig(size=16)).tensor()
    assert detect(x).band is None
    assert detect(corrupt(x, "scan_lines(level=0.5)")).findings[0].band.kind in ("strip", "wedge")


@pytest.mark.parametrize("count", [50, 160, 300])
def test_few_small_clean_images_give_nothing(count):
    """8 x 8 pixels."""
    assert detect(load(DataConfig(limit=count)).tensor()).band is None


def test_text_is_bound_to_its_lines():
    """A page of lines of random strokes: its rows are as regular as any scan line."""
    g = np.random.default_rng(0)
    page = np.full((400, 360), 250.0)
    for top in range(10, 390, 16):
        for left in range(10, 345, 8):
            if g.random() < 0.85:
                page[top : top + 9, left : left + 6][g.random((9, 6)) < 0.5] = 20
    x = torch.from_numpy(page)[None, None]
    clean = detect(x)
    assert clean.band is None, clean.lines()
    wave = 60 * torch.cos(2 * math.pi * (0.213 * torch.arange(400.0)[:, None] + 0.307 * torch.arange(360.0)))
    assert detect(x + wave).findings[0].band.kind == "spots"


def test_scale_and_offset_do_not_matter():
    y = damaged(fields(), "moire(level=1)", 15)[0]
    one, other = detect(y), detect(7 * y + 3)
    assert str(one.band) == str(other.band)
    torch.testing.assert_close(one.excess, other.excess, atol=1e-3, rtol=0)


def test_a_reference_shows_what_is_too_faint_otherwise():
    x, reference = fields(count=2000), fields(count=2000, seed=9)
    y, true = damaged(x, "band_noise(low=0.3, high=0.4, level=1)", 1.7)
    assert detect(y).band is None
    got = mask(detect(y, reference).band, FourierBasis((32, 32)))
    assert float((got * true).sum() / true.sum()) > 0.8
    assert detect(x, reference).band is None


def test_a_pattern_that_all_images_share_shows_against_a_reference():
    x = fields()
    y = corrupt(x, "fixed_pattern(level=0.5)")
    assert detect(y).band is None
    assert any(f.band.kind == "strip" for f in detect(y, fields(seed=9)).findings)


def test_the_spectrum_of_the_excess():
    y, true = damaged(fields(), "band_noise(low=0.3, high=0.4, level=1)", 15)
    found = detect(y)
    c = excess_spectrum(found, "ring(low=0.3, high=0.4)")
    basis = found.basis
    w = c.weights(basis.frequencies()).double()
    clean = measure(fields()).spectrum.mean(0)
    damage = measure(y).spectrum.mean(0) - clean
    inside = true > 0
    assert float((w[inside] ** 2).mean()) == pytest.approx(float(damage[inside].mean()), rel=0.35)


def test_what_is_said():
    clean, found = detect(fields()), detect(damaged(fields(), "scan_lines(level=1)", 20)[0])
    assert "none found" in clean.lines()[0]
    assert clean.to_dict()["band"] is None
    assert "strip" in found.lines()[1]
    assert "dB" in found.lines()[1]
    assert "damage with probability 0.99" in found.lines()[1]
    assert found.to_dict()["findings"][0]["probability"] >= 0.99


def test_enlarged_images_are_cautioned_against():
    x = load(DataConfig(size=32)).tensor()
    found = detect(x)
    assert found.band is None
    assert "look enlarged or smoothed" in "\n".join(found.lines())
    assert "images" not in "\n".join(found.lines(images=False))
    assert detect(fields()).empty < 0.05


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
        detect(x)


def test_a_reference_of_another_shape():
    with pytest.raises(InputError, match=r"images are \(1, 32, 32\), those of the reference \(1, 16, 16\)"):
        detect(fields(), fields((1, 16, 16)))
