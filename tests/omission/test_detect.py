"""Detection on fields of known spectra: what is put in is found, and nothing where nothing is."""

import math

import pytest
import torch
from sklearn.datasets import load_sample_images

from sagd.data.config import DataConfig
from sagd.data.corruption import Corruption, corrupt
from sagd.data.load import load
from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.statistics import measure
from sagd.omission.detect import detect, periodic_component


@pytest.mark.parametrize("decibel", [6, 12, 20])
@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("band_noise(low=0.1, high=0.2, level=1)", (1, 32, 32)),
        ("band_noise(low=0.4, high=0.5, level=1)", (3, 32, 32)),
        ("band_noise(low=0.8, high=0.9, level=1)", (1, 32, 32)),
        ("band_noise(low=0.3, high=0.4, level=1)", (1, 256)),
        ("band_noise(low=0.3, high=0.4, level=1)", (1, 14, 14, 14)),
        ("scan_lines(level=1)", (1, 32, 32)),
        ("scan_lines(axis=1, level=1)", (1, 32, 32)),
        ("moire(level=1)", (1, 32, 32)),
        ("hum(level=1, frequency=0.06)", (1, 256)),
    ],
)
def test_damage_is_found_where_it_is(fields, damaged, text, shape, decibel):
    y, true = damaged(fields(shape), text, decibel)
    found = detect(y)
    assert found.band is not None
    got, basis = mask(found.band, found.basis), found.basis
    power = basis.multiplicity() * measure(y).spectrum.mean(0) * true
    assert float((power * got).sum() / power.sum()) > (0.5 if decibel == 6 else 0.8)
    spoilt = (basis.multiplicity() * got * (true == 0)).sum() / (basis.multiplicity() * (true == 0)).sum()
    assert float(spoilt) < 0.1
    assert all(f.confidence >= 0.95 and f.excess > 0 and 0 < f.share < 0.5 for f in found.findings)


def test_streaks_are_a_wedge(fields, damaged):
    found = detect(damaged(fields(), "rain(angle=0, level=1)", 10)[0])
    first = found.findings[0].band
    assert first.kind == "wedge"
    assert min(first.angle, 180 - first.angle) <= 20


@pytest.mark.parametrize("alpha", [0.0, -0.5, -1.0, -1.5])
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 20, 28), (1, 256), (1, 10, 10, 10)], ids=str)
def test_clean_fields_give_nothing(fields, alpha, shape):
    """Four seeds each: an alarm rate of 1 in 20 would pass all 64 with 4 % probability."""
    for seed in range(4):
        found = detect(fields(shape, alpha, 200, seed))
        assert found.band is None
        assert found.nearest < 1


def test_clean_digits_give_nothing_and_damaged_ones_do():
    x = load(DataConfig()).tensor()
    assert detect(x).band is None
    assert detect(corrupt(x, "scan_lines(level=0.5)")).findings[0].band.kind == "strip"


@pytest.mark.parametrize("count", [50, 160, 300])
def test_few_small_clean_images_give_nothing(count):
    """On 8 x 8 pixels the fit has nearly as many parameters as there are radii, and dips at the corner."""
    assert detect(load(DataConfig(limit=count)).tensor()).band is None


@pytest.mark.parametrize("size", [16, 24, 28, 32, 48])
def test_what_a_part_of_a_photograph_repeats_is_no_damage(size):
    """The roof of a temple: rows of tiles, 5 to 10 dB over the spectrum of all pieces of two photographs."""
    pieces = []
    for photograph in load_sample_images().images:
        rows, columns = (n // size * size for n in photograph.shape[:2])
        grey = torch.from_numpy(photograph[:rows, :columns].mean(-1) / 127.5 - 1).float()
        pieces.append(grey.unfold(0, size, size).unfold(1, size, size).reshape(-1, 1, size, size))
    assert detect(torch.cat(pieces)).band is None


@pytest.mark.parametrize(("share", "found"), [(0.1, False), (0.6, True)])
def test_damage_is_in_most_images(fields, damaged, share, found):
    clean = fields()
    y = torch.where(torch.arange(len(clean))[:, None, None, None] < share * len(clean),
                    damaged(clean, "moire(waves=1, level=1)", 25)[0], clean)  # fmt: skip
    assert (detect(y).band is not None) == found


@pytest.mark.parametrize("share", [0.6, 1.0])
@pytest.mark.parametrize("shape", [(1, 64, 64), (2, 48, 80)], ids=str)
def test_a_wave_whose_frequency_differs_from_image_to_image_is_found(fields, shape, share):
    """By 1.3 steps of the grid: at each frequency it is in a few images alone."""
    clean, g = fields(shape, count=160), torch.Generator().manual_seed(0)
    f = 0.2 + 1.3 / shape[-1] * torch.randn(160, len(shape) - 1, generator=g)
    places = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in shape[1:]), indexing="ij"))
    phase = torch.tensordot(f, places, 1) + torch.rand(160, *(1,) * (len(shape) - 1), generator=g)
    waves = torch.cos(2 * math.pi * phase)[:, None] * (torch.arange(160) < share * 160).reshape(-1, *(1,) * len(shape))
    assert detect(clean).band is None
    assert {finding.band.kind for finding in detect(clean + clean.std() * waves).findings} == {"spots"}


def test_what_some_images_have_is_told_from_all_whatever_their_order(fields, damaged):
    clean = fields(count=1200)
    own = damaged(clean, "moire(waves=1, level=1)", 12)[0]
    for first in (0, 1):
        y = clean.clone()
        y[first::2] = own[first::2]
        assert detect(y).band is not None


def test_scale_and_offset_do_not_matter(fields, damaged):
    y = damaged(fields(), "moire(level=1)", 12)[0].double()  # in float32 an offset costs digits
    one, others = detect(y), [detect(7 * y + 3), detect(y + 40)]
    for other in others:
        assert one.band == other.band
        torch.testing.assert_close(one.excess, other.excess, atol=1e-6, rtol=0)
        for f, g in zip(one.findings, other.findings, strict=True):
            assert f.confidence == pytest.approx(g.confidence, abs=1e-4)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_blank_images_have_no_part(fields, damaged, value):
    y = damaged(fields(), "moire(waves=1, level=1)", 12)[0]
    blank = torch.full_like(y, value)
    alone, beside = detect(y), detect(torch.cat([y, blank]))
    assert beside.findings[0].confidence == pytest.approx(alone.findings[0].confidence, abs=1e-2)


def test_images_that_do_not_vary_are_refused():
    with pytest.raises(InputError, match="do not vary"):
        detect(torch.full((20, 1, 16, 16), 0.1, dtype=torch.float64))


def test_a_reference_shows_what_is_too_faint_otherwise(fields, damaged):
    x, reference = fields(count=2000), fields(count=2000, seed=9)
    y, true = damaged(x, "band_noise(low=0.3, high=0.4, level=1)", 1.7)
    assert detect(y).band is None
    got = mask(detect(y, reference).band, FourierBasis((32, 32)))
    assert float((got * true).sum() / true.sum()) > 0.8
    assert detect(x, reference).band is None


def test_a_pattern_that_all_images_share_shows_against_a_reference(fields):
    x = fields()
    y = corrupt(x, "fixed_pattern(level=0.5)")
    assert detect(y).band is None
    assert detect(y, fields(seed=9)).findings[0].band.kind == "strip"


def test_periodic_component():
    """What is periodic stays; a ramp, whose borders jump, loses its cross."""
    basis = FourierBasis((16, 16))
    wave = torch.cos(2 * math.pi * 3 * torch.arange(16.0) / 16).double().expand(1, 1, 16, 16)
    jump = (wave[..., -1] - wave[..., 0]).abs().max()
    assert (periodic_component(wave) - wave).abs().max() < jump
    ramp = torch.linspace(-1, 1, 16, dtype=torch.float64).expand(1, 1, 16, 16)
    before, after = (basis.forward(x - x.mean()).abs().square().sum() for x in (ramp, periodic_component(ramp)))
    assert after < 0.05 * before
    constant = torch.full((2, 3, 8, 9), 2.0)
    torch.testing.assert_close(periodic_component(constant), constant.double())


def test_what_is_said(fields, damaged):
    clean, found = detect(fields()), detect(damaged(fields(), "scan_lines(level=1)", 15)[0])
    assert "none found" in clean.lines()[0]
    assert clean.to_dict()["band"] is None
    assert "strip" in found.lines()[1]
    assert "dB" in found.lines()[1]
    assert found.to_dict()["findings"][0]["confidence"] > 0.99


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(20, 1, 16, 16), "do not vary"),
        (torch.randn(8, 1, 16, 16), "at least 16 images .* got 8 of 16 x 16; name the band"),
        (torch.randn(20, 1, 6, 16), "at least 8 samples a side"),
        (torch.zeros(20, 1, 16, 16, dtype=torch.uint8), "must be floating point"),
        (torch.full((20, 1, 16, 16), torch.nan), "non-finite"),
    ],
)
def test_what_cannot_be_examined(x, message):
    with pytest.raises(InputError, match=message):
        detect(x)


def test_a_reference_of_another_shape(fields):
    with pytest.raises(InputError, match=r"images are \(1, 32, 32\), those of the reference \(1, 16, 16\)"):
        detect(fields(), fields((1, 16, 16)))


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("band_noise(low=0.3, high=0.4, level=0.5)", (0.3, 0.4)),
        ("band_noise(low=0.5, high=0.6, level=0.1)", (0.5, 0.6)),
    ],
)
def test_the_band_of_enlarged_images_is_not_grown_over_what_is_clean(size, text, band):
    """Their power falls by tens of decibels within a few frequencies, where no smooth fit holds."""
    x = load(DataConfig(size=size)).tensor()
    found = detect(corrupt(x, Corruption.parse(text), 0))
    first = found.findings[0].band
    assert first.kind == "ring"
    assert abs(first.low - band[0]) < 0.05
    assert abs(first.high - band[1]) < 0.05


def test_enlarged_images_are_cautioned_against(fields):
    x = load(DataConfig(size=32)).tensor()
    assert "look enlarged or smoothed" in "\n".join(detect(x).lines())
    assert detect(x).empty > 0.5
    natural = detect(load(DataConfig()).tensor())
    assert natural.empty == 0
    assert "enlarged" not in "\n".join(natural.lines())
    assert detect(fields()).empty < 0.05


def test_no_spots_are_sought_where_none_can_be(fields, damaged, monkeypatch):
    """A grid that is all halo has no peaks to look at."""
    x = fields((1, 8, 8))
    monkeypatch.setattr("sagd.omission.detect._Search._grown", lambda self, inside: torch.ones_like(inside))
    assert all(f.band.kind != "spots" for f in detect(damaged(x, "scan_lines(level=1)", 25)[0]).findings[1:])
