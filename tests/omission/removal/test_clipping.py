"""Values at the limits of what files hold, against a bounded least-squares solver and on photographs."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear
from skimage import data

from sagd.data.corruption import Corruption, corrupt
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.clean import clean
from sagd.omission.removal import measure
from sagd.omission.removal.clipping import Limits, continued
from sagd.omission.removal.extend import crop

WAVE = "fringes(waves=1, low=0.2, high=0.3, bend=0, vary=0, level=0.25)"
WAVES = "fringes(waves=3, level=0.3)"
CURTAINS = "curtains(width=3, angle=20, length=200, level=0.4)"


def eight_bits(x):
    return ((x + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1


def photograph(name, rows=190, columns=256):
    return torch.tensor(getattr(data, name)()[:rows, :columns]).double()[None] / 127.5 - 1


def psnr(x, y):
    return 10 * math.log10(4 / float((x.clamp(-1, 1) - y).square().mean()))


def test_what_was_cut_off_is_the_least_squares_of_the_prior_within_its_bounds():
    """`z` minimises `sum |F z|^2 / S`, is what was measured where that is known, and beyond the limits elsewhere; what
    lies beyond the borders is free."""
    size, own = 60, 48
    basis = FourierBasis((size,))
    f = basis.frequencies()[0]
    power = 1 / (f.square() + 0.05**2) + 3000 * torch.exp(-(((f - 0.21) / 0.01) ** 2))
    white = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    z = crop(basis.inverse(basis.forward(white) * power.sqrt()), (own,))
    low, high = float(z.quantile(0.2)), float(z.quantile(0.75))
    y = z.clamp(low, high)
    below, above = y == low, y == high
    found = continued(
        y[None, None], below[None, None], above[None, None], power[None], basis, torch.eye(1), beyond=True, rounds=3
    )[0, 0]

    weight = power.rsqrt().clone()
    weight[0] = 0  # the mean is free
    root = np.array([basis.inverse(weight * basis.forward(row)).numpy() for row in torch.eye(size).double()]).T
    free = torch.ones(size, dtype=torch.bool)
    free[:own] = below | above
    least, most = np.full(size, -np.inf), np.full(size, np.inf)
    most[:own][below.numpy()], least[:own][above.numpy()] = low, high
    known = np.zeros(size)
    known[:own] = np.where((below | above).numpy(), 0, y.numpy())
    best = lsq_linear(root[:, free], -root @ known, (least[free], most[free]), tol=1e-14)
    expected = known.copy()
    expected[free] = best.x
    assert np.abs(found.numpy() - expected[:own]).max() < 0.05 * float(z.std())
    assert bool((found[below] <= low).all() and (found[above] >= high).all())
    assert bool((found[~below & ~above] == y[~below & ~above]).all())


@pytest.mark.parametrize(
    ("name", "damage", "gain"),
    [
        ("camera", WAVE, 2),
        ("camera", WAVES, 6),
        ("page", WAVE, 0.8),
        ("coins", CURTAINS, 0.7),
        ("brick", CURTAINS, 0.8),
    ],
)
def test_photographs_whose_damage_was_clipped(name, damage, gain):
    """They are nearer than by a gain that takes what is left of the damage for all of it."""
    x = photograph(name)
    kind = Corruption.parse(damage)
    y = eight_bits(corrupt(x[None].float(), kind, 0, torch.tensor([0]))[0].double())
    band = kind.band(tuple(x.shape[1:]), 0)
    plain = measure(y, band)
    cleaned = clean(y, band).x
    assert psnr(cleaned, x) > psnr(y - plain.apply(y), x) + gain
    assert float(cleaned[(y == 1) | (y == -1)].abs().max()) <= 1


def test_white_paper_shows_no_ghost_of_the_half_that_was_cut_off():
    x = torch.ones(1, 128, 160, dtype=torch.float64)
    x[:, 40:90, 30:120] = -0.6
    columns = torch.arange(160, dtype=torch.float64)
    y = eight_bits(x + 0.3 * torch.cos(2 * math.pi * 0.2137 * columns))
    band = Spectrum.parse("spots(at=[[0, 0.2137]], radius=0.02)")
    now, plain = (
        float((z[0, 5:35, 5:-5] - 1).square().mean().sqrt())
        for z in (clean(y, band).x, (y - measure(y, band).apply(y)).clamp(max=1))
    )
    assert plain > 0.07
    assert now < plain / 3


def test_limits_are_where_values_pile_up():
    x = torch.randn(2, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert not Limits.of([x])
    found = Limits.of([x.clamp(-1, 9)])
    assert found.low.flatten().tolist() == [-1, -1]
    assert found.high.isnan().all()
    of_one = Limits.of([torch.stack([x[0], x[1].clamp(max=0.5)])])
    assert of_one.low.isnan().all()
    assert of_one.high.isnan().flatten().tolist() == [True, False]
    assert of_one.high[1] == 0.5
    # Codes that all are as frequent as their neighbours are none, nor are two values, or one.
    codes = torch.randint(0, 200, (1, 64, 64), generator=torch.Generator().manual_seed(0)).double()
    assert not Limits.of([codes])
    assert not Limits.of([torch.zeros(1, 64, 64)])


def test_limits_are_those_of_all_arrays():
    """Of several arrays in one of which little was cut off, and in one that lies within."""
    x = torch.randn(3, 1, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[1] = x[1].clamp(-2.5, 2.5) / 3
    y = x.clamp(-1.5, 1.5)
    found = Limits.of(list(y))
    assert found.low == -1.5
    assert found.high == 1.5


def discs_under_a_wave():
    """Discs on black, and them under a wave of each one's own phase."""
    generator = torch.Generator().manual_seed(1)
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    centre = 9 + 10 * torch.rand(64, 2, 1, 1, generator=generator)
    radius = 4 + 4 * torch.rand(64, 1, 1, generator=generator)
    far = ((rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2).sqrt()
    x = (2 * torch.sigmoid(2 * (radius - far)) - 1)[:, None]
    phase = 2 * math.pi * torch.rand(64, 1, 1, 1, generator=generator)
    return x, x + 0.7 * torch.cos(2 * math.pi * (0.13 * rows + 0.21 * columns) + phase)


def test_many_small_items_of_which_half_was_cut_off():
    """The half of the wave that lay below black is gone; removal puts it in its place, and takes both halves out."""
    x, whole = discs_under_a_wave()
    y = eight_bits(whole)
    band = "spots(at=[[0.13, 0.21]], radius=0.05)"
    one, plain = measure(list(y), band, clipped=True), measure(list(y), band)
    assert one.limits
    assert psnr(y - one.apply(y), x) > psnr(y - plain.apply(y), x) + 4
    z = one.continued(y)
    assert float((z - whole).square().mean()) < float((y - whole).square().mean()) / 4
    inside = one.limits.where(y)[0] | one.limits.where(y)[1]
    assert torch.equal(one.held(z, y), torch.where(inside, z.clamp(-1, 1), z))
    # What models are told of the damage: the clipped wave has a quarter of its power.
    told, seen, truth = (
        float(removal.noise_of(items).sum())
        for removal, items in ((one, z), (plain, y), (measure(list(whole), band), whole))
    )
    assert seen < 0.5 * truth
    assert told == pytest.approx(truth, rel=0.25)


def test_a_large_array_is_continued_once(monkeypatch):
    """By itself it is known when it is measured; a copy of it is continued again, to nearly the same."""
    x = photograph("camera", 256, 256)
    kind = Corruption.parse(WAVE)
    y = eight_bits(corrupt(x[None].float(), kind, 0, torch.tensor([0]))[0])
    removal = measure(y, kind.band((256, 256), 0), clipped=True)
    again = removal.apply(y.clone())
    monkeypatch.setattr("sagd.omission.removal.measurement.continued", lambda *_: pytest.fail("continued again"))
    assert psnr(y - removal.apply(y), x) == pytest.approx(psnr(y - again, x), abs=0.2)


def test_values_of_any_size_and_channels_of_any_units():
    """What one channel is in does not touch another, nor does how large numbers are."""
    x = photograph("camera", 128, 128)
    kind = Corruption.parse(WAVE)
    y = eight_bits(corrupt(x[None].float(), kind, 0, torch.tensor([0]))[0])
    band = kind.band((128, 128), 0)
    expected = psnr(clean(y, band).x, x)
    for size in (1e-12, 1e12):
        assert psnr(clean(y * size, band).x / size, x) == pytest.approx(expected, abs=0.1)
    both = clean(torch.cat([y, 1e-8 * y]), band).x
    assert psnr(both[:1], x) == pytest.approx(expected, abs=0.1)
    assert psnr(1e8 * both[1:], x) == pytest.approx(expected, abs=0.1)


def test_zeros_that_a_gain_leaves_are_not_cut_off():
    """Their logarithms are the least there are, and tell nothing of the gain."""
    rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(160.0), indexing="ij")
    x = 40 + 30 * torch.sin(rows / 9) * torch.cos(columns / 13)
    x = torch.where((rows - 64) ** 2 + (columns - 80) ** 2 < 55**2, x, 0.0)[None].double()
    gain = torch.exp(0.06 * torch.randn(160, generator=torch.Generator().manual_seed(0))).double()
    found = clean(x * gain, "strip(axis=1, low=0.01, width=0.02)", log=True)
    assert found.removal.limits is None


def test_what_hardly_matters_counts_as_it_is():
    x = (1.1 * photograph("camera")).clamp(-1, 1)
    kind = Corruption.parse("fringes(waves=1, level=0.02)")
    y = eight_bits(corrupt(x[None].float(), kind, 0, torch.tensor([0]))[0])
    assert Limits.of([y])
    assert measure(y, kind.band(tuple(y.shape[1:]), 0), clipped=True).limits is None


def test_arrays_that_can_be_asked_for_but_once_are_refused():
    with pytest.raises(TypeError, match="asked for several times"):
        measure(iter([torch.zeros(1, 16, 16)]), "ring(low=0.1, high=0.2)", clipped=True)
