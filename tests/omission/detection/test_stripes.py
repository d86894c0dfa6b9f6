"""Lines through DC: stripes at any angle."""

import math

import pytest
import torch

from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.damage import Spots, Strip
from sagd.noise.spectra.power_law import PowerLaw
from sagd.omission.detection.evidence import Examination
from sagd.omission.detection.stripes import Line, agreement, beside_line, find_lines, on_line
from sagd.omission.detection.windows import cut


def striped(angle, shape=(160, 200), height=0.4, seed=0):
    """White noise with random stripes whose waves run at an angle."""
    g = torch.Generator().manual_seed(seed)
    i, j = (torch.arange(float(n), dtype=torch.float64) for n in shape)
    u = i[:, None] * math.sin(math.radians(angle)) + j * math.cos(math.radians(angle))
    waves = torch.stack(
        [torch.cos(2 * math.pi * (f * u + torch.rand(1, generator=g))) for f in torch.linspace(0.03, 0.45, 60)]
    )
    x = torch.randn(1, 1, *shape, generator=g, dtype=torch.float64)
    return x + height * waves.sum(0) / math.sqrt(30)


@pytest.mark.parametrize("angle", [0.0, 90.0, 17.2, 45.0, 128.0])
def test_stripes_at_any_angle(angle):
    x = striped(angle)
    fine = cut(x, x.shape[2:])
    line = find_lines(fine, fine.levels)[0]
    got = math.degrees(math.atan2(*line.direction))
    assert abs((got - angle + 90) % 180 - 90) < 0.5
    assert line.chance < 1e-6
    assert line.low < 0.1
    assert line.high > 0.4
    inside, beside = on_line(fine, line), beside_line(fine, line)
    assert len(inside) > 50
    assert len(beside) > len(inside)
    assert not torch.isin(inside, beside).any()


@pytest.mark.parametrize(("angle", "kind"), [(0.0, "strip(axis=1"), (90.0, "strip("), (30.0, "stripes(angle=30")])
def test_the_band_of_stripes_holds_them(angle, kind):
    x = striped(angle, height=0.8)
    windows = cut(x, (64, 64))
    found = Examination(windows, cut(x, x.shape[2:])).candidates()
    best = max((c for c in found if c.kind == "stripes"), key=lambda c: c.measures["excess"])
    assert str(best.band).startswith(kind)
    basis = FourierBasis(x.shape[2:])
    b = mask(best.band, basis)
    assert float((b * basis.multiplicity()).sum() / basis.multiplicity().sum()) < 0.05
    noise = striped(angle, height=0.0)
    power = cut(x - noise, x.shape[2:]).coefficients[0].abs().square()
    assert float((power * b).sum() / power.sum()) > 0.6


def test_a_line_is_followed_to_where_it_ends():
    """Stripes on a scene, whose low part stands out less: one line, not two."""
    x = SpectralCovariance(PowerLaw(-1.0), (1, 200, 240)).sample(1, torch.Generator().manual_seed(0))
    fine = cut(x + 0.8 * torch.randn(240, generator=torch.Generator().manual_seed(1)), x.shape[2:])
    first, *others = find_lines(fine, fine.levels)
    assert first.low > 0.05
    assert first.extent[0] < 0.03
    assert first.extent[1] > 0.45
    assert all(abs(line.direction[1]) < 0.9 for line in others)


@pytest.mark.parametrize("drift", [0.0, 3.0])
def test_the_width_of_a_line_is_measured(drift):
    """Columns that change on their way down, by waves of up to so many steps of the grid."""
    g = torch.Generator().manual_seed(0)
    down = torch.arange(256.0, dtype=torch.float64)[:, None] / 256
    k = torch.arange(-drift, drift + 1, 0.5, dtype=torch.float64)
    phase = 2 * math.pi * torch.rand(len(k), 1, 256, generator=g, dtype=torch.float64)
    columns = torch.randn(len(k), 1, 256, generator=g, dtype=torch.float64)
    x = (columns * torch.cos(2 * math.pi * k[:, None, None] * down + phase)).sum(0) / math.sqrt(len(k))
    fine = cut((x + 0.1 * torch.randn(256, 256, generator=g, dtype=torch.float64))[None, None], (256, 256))
    line = find_lines(fine, fine.levels)[0]
    assert drift <= line.width / 2 * 256 <= drift + 3


def test_noise_has_lines_as_often_as_their_chance_says():
    """100 seeds: a rate of 5 % gives at most 12 with a probability of 99.8 %."""
    found = 0
    for seed in range(100):
        x = torch.randn(8, 1, 32, 32, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        windows = cut(x, (32, 32))
        found += any(line.chance < 0.05 for line in find_lines(windows, windows.levels))
    assert found <= 12


def test_records_have_none():
    windows = cut(torch.randn(20, 1, 64), (64,))
    assert find_lines(windows, windows.levels) == []


def sinogram(angles=200, places=256):
    """Projections of a large and two small ellipses, in closed form, and noise."""
    theta = torch.linspace(0, math.pi, angles + 1, dtype=torch.float64)[:-1, None]
    s = torch.linspace(-1, 1, places, dtype=torch.float64)[None]
    total = torch.zeros(angles, places, dtype=torch.float64)
    for x, y, a, b, height in ((0.0, 0.02, 0.66, 0.6, 1.0), (0.2, 0.1, 0.1, 0.25, 2.0), (-0.3, -0.2, 0.05, 0.05, 3.0)):
        r2 = (a * theta.cos()) ** 2 + (b * theta.sin()) ** 2
        off = s - x * theta.cos() - y * theta.sin()
        total += height * 2 * a * b / r2 * (r2 - off**2).clamp(min=0).sqrt()
    return 100 * total + torch.randn(angles, places, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_what_is_the_same_at_all_angles_is_not_of_the_stripes():
    """The profile of a sinogram is a hundred times as strong as its stripes near DC; hardly any is in their band."""
    x = sinogram()
    stripes = 3 * torch.randn(256, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    windows = cut((x + stripes)[None, None], (64, 128))
    found = Examination(windows, cut((x + stripes)[None, None], x.shape)).candidates()
    best = max((c for c in found if c.kind == "stripes"), key=lambda c: c.measures["excess"])
    b = mask(best.band, FourierBasis(x.shape))
    content, damage = (
        cut(part[None, None], x.shape).coefficients[0].abs().square()[0] for part in (x, stripes.expand(x.shape))
    )
    assert content[1:4].mean() > 100 * damage[1:4].mean()
    assert (b[0] * content).sum() < 0.01 * content.sum()
    assert (b[0] * damage).sum() > 0.8 * damage.sum()


def test_stripes_alone_go_on_to_dc():
    x = striped(0.0, height=0.8)
    fine = cut(x, x.shape[2:])
    assert find_lines(fine, fine.levels)[0].content == 0


def test_against_a_reference_a_line_begins_where_it_exceeds_it():
    x = sinogram()
    columns = torch.randn(256, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fine, clean = (cut(a[None, None], x.shape) for a in (x + columns, x))
    line = find_lines(fine, fine.levels - clean.levels, against_reference=True)[0]
    below = torch.arange(1, round(line.content * 256) - 1)
    assert line.content > 0.01
    assert (fine.levels - clean.levels)[0, below].median() < 1


def line_at(angle):
    turn = math.radians(angle)
    return Line((math.sin(turn), math.cos(turn)), 0.03, 0.45, 1.0, 1.0, 0.0, 0.01, (0.03, 0.45))


@pytest.mark.parametrize("angle", [0.0, 90.0, 17.2, 128.0])
def test_stripes_agree_from_one_half_to_the_other_as_nothing_else_does(angle):
    told = [agreement(cut(x, x.shape[2:]), line_at(angle)) for x in (striped(angle), striped(angle, height=0.0))]
    assert told[0] > 0.6
    assert told[1] < 0.3


def test_columns_that_change_half_way_down_do_not_agree():
    g = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 1, 200, generator=g, dtype=torch.float64)
    for below, least, most in ((one, 0.9, 1.0), (other, -0.3, 0.3), (-one, -1.1, -0.5)):
        x = torch.cat([one.expand(80, 200), below.expand(80, 200)])[None, None]
        assert least < agreement(cut(x, (160, 200)), line_at(0.0)) <= most


def test_a_line_of_a_chessboard_is_no_stripe():
    """Its waves change sign from square to square."""
    i, j = torch.meshgrid(torch.arange(200), torch.arange(200), indexing="ij")
    turn = math.radians(8.0)
    u, v = i * math.cos(turn) + j * math.sin(turn), j * math.cos(turn) - i * math.sin(turn)
    board = (((u // 25) + (v // 25)) % 2).double()
    assert agreement(cut(board[None, None], (200, 200)), line_at(8.0)) < 0.3


def small_images(angle, waves, seed=0):
    """Windows of 24 x 24 of a steep field, under waves of one phase each at some frequencies, at an angle."""
    g = torch.Generator().manual_seed(seed)
    content = SpectralCovariance(PowerLaw(-3.0), (1, 48, 48)).sqrt(torch.randn(200, 1, 48, 48, generator=g))
    i, j = (torch.arange(24.0) for _ in "ij")
    u = i[:, None] * math.sin(math.radians(angle)) + j * math.cos(math.radians(angle))
    phases = torch.rand(len(waves), 200, 1, 1, 1, generator=g)
    damage = sum(torch.cos(2 * math.pi * (f * u + phase)) for f, phase in zip(waves, phases, strict=True))
    return content[..., :24, :24].double() + damage


def test_a_strong_wave_on_a_line_is_no_content():
    """Of small images under an upright wave between bins, all but its weak leaks would be taken for a profile."""
    x = small_images(0.0, [0.2304])
    fine = cut(x, (24, 24))
    line = find_lines(fine, fine.levels)[0]
    assert abs(line.direction[1]) > 0.99
    assert line.content < 0.2304 - 1 / 24


@pytest.mark.parametrize("angle", [0.0, 26.0, 90.0])
@pytest.mark.parametrize("frequency", [0.2304, 0.27, 0.3])
def test_a_wave_that_small_images_show_as_a_line_is_named_as_one(angle, frequency):
    """Its band is all of it, and no more than its lobe."""
    windows = cut(small_images(angle, [frequency]), (24, 24))
    lines = [c.band for c in Examination(windows, windows).candidates() if c.kind == "stripes"]
    assert isinstance(lines[0], Spots)
    (at,) = lines[0].at
    wave = (frequency * math.sin(math.radians(angle)), frequency * math.cos(math.radians(angle)))
    off = min(math.dist(at, wave), math.dist([-f for f in at], wave))
    assert off < 0.25 / 24


@pytest.mark.parametrize(("side", "slope", "amplitude"), [(48, -6.0, 0.5), (24, -4.0, 2.0), (32, -5.0, 1.0)])
def test_a_steep_profile_under_stripes_is_no_wave(side, slope, amplitude):
    """Its power is at the lowest radii, all within the lobe of one: content, of which a wave's band would take most."""
    g = torch.Generator().manual_seed(0)
    content = SpectralCovariance(PowerLaw(-2.0), (1, 2 * side, 2 * side)).sample(200, g)[..., :side, :side].double()
    f = torch.fft.rfftfreq(2 * side)
    shape = torch.where(f > 0, (f.clamp(min=1 / (2 * side)) * side / 4) ** (slope / 2), 0.0)
    white = torch.randn(200, 1, 1, 2 * side, generator=g)
    profile = torch.fft.irfft(torch.fft.rfft(white) * shape, n=2 * side)[..., :side].double()
    stripes = 0.5 * torch.randn(200, 1, 1, side, generator=g, dtype=torch.float64)
    windows = cut(content + amplitude * profile + stripes, (side, side))
    assert all(isinstance(c.band, Strip) for c in Examination(windows, windows).candidates() if c.kind == "stripes")


def test_stripes_of_many_waves_are_no_wave():
    windows = cut(small_images(0.0, [0.15, 0.2, 0.25, 0.3, 0.35, 0.4]), (24, 24))
    lines = [c.band for c in Examination(windows, windows).candidates() if c.kind == "stripes"]
    assert isinstance(lines[0], Strip)


def test_a_line_that_is_content_from_end_to_end_is_none():
    """A steep profile that is the same in all rows: no line is left of which nothing but content would be in a band."""
    profile = 300 * torch.exp(-((torch.arange(256.0, dtype=torch.float64) - 128) ** 2) / 2 / 6**2)
    x = profile + torch.randn(200, 256, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fine = cut(x[None, None], x.shape)
    assert all(line.content < line.extent[1] for line in find_lines(fine, fine.levels))
