"""Damage against its definition: reproducible by image, of the level and spectrum it states, in the band it states."""

import math
import time

import pytest
import torch

from sagd.data.config import DataConfig
from sagd.data.corruption import Corruption, corrupt, generators
from sagd.data.load import load
from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.modes import Mode

TEXTS = [
    "band_noise(low=0.2, high=0.4, level=0.5)",
    "scan_lines(level=0.5)",
    "scan_lines(axis=1, level=0.5)",
    "shading(level=0.5, cutoff=2)",
    "moire(level=0.5)",
    "hum(level=0.5, frequency=0.13)",
    "rain(level=0.5)",
    "fixed_pattern(level=0.5)",
]
SHAPES = [(1, 24, 24), (3, 16, 20)]
ANY_RANK = ["band_noise(low=0.2, high=0.4, level=0.5)", "shading(level=0.5)", "moire(level=0.5)", "hum(level=0.5)"]


def damage(text, shape, count=600, seed=3):
    return corrupt(torch.zeros(count, *shape), text, seed)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("text", TEXTS)
def test_level_and_spectrum(text, shape):
    """Root mean square and power spectrum of 600 images.

    A power of exponential or chi-square law is known to 4 % from 600 draws; 25 % is beyond 5 sigma.
    """
    corruption, basis = Corruption.parse(text), FourierBasis(shape[1:])
    n = damage(text, shape)
    assert float(n.square().mean().sqrt()) == pytest.approx(0.5, rel=0.06)
    power, expected = basis.forward(n.double()).abs().square().mean(0), corruption.spectrum(shape, 3)
    assert expected.shape == (shape[0], *basis.coefficients)
    strong = expected > 0.02 * expected.max()
    torch.testing.assert_close(power[strong], expected[strong], rtol=0.3, atol=0)
    assert float(power[~strong].sum()) < 0.25 * float(power.sum())


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_band_and_mean_are_as_stated(text, shape):
    corruption, basis = Corruption.parse(text), FourierBasis(shape[1:])
    n = damage(text, shape).double()
    b, power = mask(corruption.band(shape[1:], 3), basis), basis.forward(n).abs().square().mean(0)
    weight = basis.multiplicity()
    inside = float((b * power * weight).sum() / (power * weight).sum())
    if corruption.assumptions.banded:
        assert inside > 1 - 1e-9
    else:
        assert 0.3 < inside < 1
    # The mean of 600 images, in standard errors: 4.5 of the largest of some thousand values is 1 in 100.
    z = n.mean(0) / (n.std(0) / math.sqrt(len(n)) + 1e-9)
    assert (float(z.abs().max()) < 5) == corruption.assumptions.zero_mean


@pytest.mark.parametrize("text", TEXTS)
def test_the_damage_of_an_image_is_its_own(text):
    """Whatever the batch, the order and the other images, to rounding; another seed gives another."""
    x = torch.randn(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    whole = corrupt(x, text, 5)
    picked = torch.tensor([4, 1])
    torch.testing.assert_close(corrupt(x[picked], text, 5, picked), whole[picked], rtol=0, atol=1e-5)
    assert not torch.equal(corrupt(x, text, 6), whole)
    assert torch.equal(corrupt(x, text, 5, draw=9), whole)


@pytest.mark.parametrize("text", ["band_noise(fixed=False)", "moire(fixed=False)", "rain(fixed=False)"])
def test_what_is_not_fixed_is_drawn_at_each_reading(text):
    x = torch.zeros(3, 1, 16, 16)
    one, other = (corrupt(x, text, 5, draw=draw) for draw in (0, 1))
    assert not torch.equal(one, other)
    assert torch.equal(corrupt(x, text, 5, draw=1), other)


@pytest.mark.parametrize("text", ANY_RANK)
@pytest.mark.parametrize("shape", [(1, 128), (2, 8, 10, 12)], ids=str)
def test_one_and_three_dimensions(text, shape):
    corruption, basis = Corruption.parse(text), FourierBasis(shape[1:])
    n = damage(text, shape, 40).double()
    assert n.shape == (40, *shape)
    b = mask(corruption.band(shape[1:], 3), basis)
    assert ((1 - b) * basis.forward(n).abs()).max() < 1e-4
    assert float(n.square().mean().sqrt()) == pytest.approx(0.5, rel=0.2)


def test_rain_only_brightens_and_falls_in_its_direction():
    """The autocorrelation is longest along the streaks."""
    n = damage("rain(angle=0, length=12, level=0.4)", (1, 32, 32), 200).double()
    assert n.min() >= 0
    centred = n - n.mean()
    along, across = ((centred * centred.roll(4, axis)).mean() / centred.square().mean() for axis in (2, 3))
    assert along > 0.5 > 0.1 > across


def test_moire_is_a_sum_of_whole_waves():
    corruption = Corruption.parse("moire(waves=2, level=0.5)")
    n = damage("moire(waves=2, level=0.5)", (1, 32, 32), 5).double()
    power = FourierBasis((32, 32)).forward(n).abs().square()
    assert ((power > 1e-6).sum((1, 2, 3)) <= 4).all()
    assert len(corruption.band((32, 32), 3).at) == 2


def test_hum_has_falling_harmonics_below_nyquist():
    n = damage("hum(frequency=0.15, harmonics=6, level=1)", (1, 100), 5).double()
    power = FourierBasis((100,)).forward(n).abs().square()[:, 0]
    found = (power[0] > 1e-6).nonzero().flatten().tolist()
    assert found == [15, 30, 45]
    torch.testing.assert_close(
        power[:, 30] / power[:, 15], torch.full((5,), 0.25, dtype=torch.float64), rtol=1e-4, atol=0
    )


def test_the_modes_a_damage_allows():
    def modes(text):
        damage = Corruption.parse(text).assumptions
        return {kind for kind, mode in Mode.members().items() if mode.suits(damage)}

    assert modes("band_noise") == {"cleaned", "project", "fill", "deconvolve"}
    assert modes("moire") == {"cleaned", "project", "fill"}
    assert modes("fixed_pattern") == {"cleaned", "project"}
    assert modes("rain") == set()


def test_data_sets_are_damaged_as_they_are_read():
    config = DataConfig(limit=20, corruption="scan_lines(level=0.3)", corruption_seed=4)
    data, clean = load(config), load(DataConfig(limit=20))
    expected = corrupt(clean.tensor(), "scan_lines(level=0.3)", 4, clean.places)
    torch.testing.assert_close(data.tensor(), expected)
    some = data.subset([7, 3])
    assert torch.equal(some.tensor(), data.tensor()[[7, 3]])
    flipped = data.batch([7], torch.tensor([True]))[0]
    assert torch.equal(flipped, data.tensor()[[7]].flip(-1))
    assert torch.equal(data.clean.tensor(), clean.tensor())


def test_a_batch_is_damaged_quickly():
    """No assertion on time; the figure is printed with -s."""
    x = torch.zeros(64, 1, 28, 28)
    corrupt(x, "band_noise", 0)
    start = time.perf_counter()
    for k in range(10):
        corrupt(x, "band_noise", 0, torch.arange(64) + k)
    print(f"{100 * (time.perf_counter() - start):.2f} ms per batch of 64")


def test_readings_have_streams_of_their_own():
    first = [own[0].normal((2,)).tolist() for own in (generators(0, [1], draw) for draw in (None, 0, 1))]
    assert first[0] != first[1] != first[2] != first[0]


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("snow", (1, 8, 8), "unknown corruption 'snow'"),
        ("band_noise(level=0)", (1, 8, 8), "level must be positive, got 0"),
        ("band_noise(low=0.3, high=0.2)", (1, 8, 8), "0 <= low < high <= 1"),
        ("band_noise(fixed=3)", (1, 8, 8), "fixed must be true or false, got 3"),
        ("scan_lines", (1, 8), "need images"),
        ("scan_lines(axis=2)", (1, 8, 8), "axis 2 need images with that axis"),
        ("rain", (1, 8), "2 spatial axes"),
        ("rain(density=2)", (1, 8, 8), "density in"),
        ("moire(low=0.4, high=0.3)", (1, 8, 8), "0 < low < high <= 0.5"),
        ("moire(waves=0)", (1, 8, 8), "waves must be at least 1, got 0"),
        ("moire(waves=1000000000)", (1, 8, 8), "waves must be at most 4,096, got 1000000000"),
        ("hum(frequency=0.6)", (1, 8), r"must lie in \(0, 0.5\)"),
        ("hum(frequency=0.45)", (1, 4), "beyond Nyquist"),
        ("shading(cutoff=0.5)", (1, 8, 8), "at least 1 cycle"),
        ("fixed_pattern(columns=2)", (1, 8, 8), "columns must lie in"),
    ],
)
def test_damage_that_cannot_be(text, shape, message):
    with pytest.raises(InputError, match=message) as refused:
        corrupt(torch.zeros(2, *shape), text)
    assert "\n" not in str(refused.value)


def test_images_are_floating_point():
    with pytest.raises(InputError, match="must be floating point"):
        corrupt(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), "band_noise")
