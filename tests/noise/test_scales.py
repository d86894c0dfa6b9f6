"""Powers of items: recovered where data is drawn from their law, and none of data whose items are alike."""

import pytest
import torch

from sagd.noise.basis.base import build_basis
from sagd.noise.scales import OCTAVES, Scales, measure_scales, octaves
from sagd.noise.statistics import DataStatistics, measure, measure_with_scales

POWERS = torch.tensor([0.01, 0.1, 4.0], dtype=torch.float64)
WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)


def drawn(spatial, basis, count=1500, channels=1, unequal=True, rough=False):
    """Items of a steep spectrum, of three powers in all octaves alike."""
    g = torch.Generator().manual_seed(0)
    basis = build_basis(basis, spatial)
    white = torch.randn(count, channels, *spatial, generator=g, dtype=torch.float64)
    shape = basis.radius().clamp(min=1 / max(spatial)) ** -1.0
    if rough:  # half of the values of each item have nothing, as between the lines of a voice
        values = basis.forward(white)
        white = basis.inverse(values * (torch.rand(values.shape, generator=g) < 0.5))
    x = basis.inverse(shape * basis.forward(white))
    power = POWERS[torch.multinomial(WEIGHTS, count, replacement=True, generator=g)]
    return x * power.sqrt().reshape(-1, *(1,) * (x.ndim - 1)) if unequal else x, basis


def scales_of(x, basis):
    return measure_with_scales(x, basis).scales


@pytest.mark.parametrize(
    ("spatial", "basis", "channels"), [((256,), "cosine", 1), ((256,), "fourier", 2), ((24, 20), "fourier", 1)]
)
def test_powers_are_recovered(spatial, basis, channels):
    found = scales_of(*drawn(spatial, basis, channels=channels))
    mean = float(WEIGHTS @ POWERS)
    for weights, powers in zip(found.weights[-2:], found.powers[-2:], strict=True):
        assert float(weights.sum()) == pytest.approx(1)
        assert float(weights @ powers) == pytest.approx(1)
        for weight, power in zip(WEIGHTS, POWERS / mean, strict=True):
            near = (powers / power).log().abs() < 0.5
            assert float(weights[near].sum()) == pytest.approx(float(weight), abs=0.04)
    assert float(found.evidence[-2:].min()) > 0.9


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("spatial", "basis"), [((64,), "fourier"), ((256,), "cosine"), ((16, 12), "fourier")])
def test_gaussian_data_has_none(spatial, basis, channels):
    x, basis = drawn(spatial, basis, 400, channels, unequal=False)
    assert scales_of(x, basis) is None
    assert torch.equal(measure_with_scales(x, basis).spectrum, measure(x, basis).spectrum)


def test_a_few_loud_items_do_not_make_data_unequal():
    x, basis = drawn((64,), "cosine", 500, unequal=False)
    x[:3] *= 40
    assert scales_of(x, basis) is None


def test_values_that_scatter_more_say_less():
    """Of a value that is there in one of two cases, the square has twice the mean, and its square six times that of a
    Gaussian's: a variance of 5 in place of 2."""
    found = scales_of(*drawn((256,), "cosine", rough=True))
    assert float(found.evidence[-1]) == pytest.approx(2 / 5, abs=0.04)


def test_units_and_order_do_not_matter():
    x, basis = drawn((128,), "cosine", 600)
    one, other = scales_of(x, basis), scales_of(7 + 3 * x.flip(0), basis)
    for name in Scales.shapes():
        assert torch.allclose(getattr(one, name), getattr(other, name), rtol=1e-6)


def test_shapes_are_those_that_files_have():
    found = scales_of(*drawn((64,), "cosine"))
    assert {name: tuple(value.shape) for name, value in vars(found).items()} == Scales.shapes()


def test_octaves_rise_with_the_radius():
    basis = build_basis("cosine", (256,))
    which = octaves(basis)
    assert (which.diff() >= 0).all()
    assert which.unique().tolist() == list(range(OCTAVES))


def test_they_are_not_measured_where_values_are_missing():
    x, basis = drawn((64,), "cosine")
    assert measure_with_scales(x, basis, torch.ones(1, 64)).scales is None


def test_they_go_along_to_another_basis():
    x, basis = drawn((64,), "cosine")
    known = measure_with_scales(x, basis)
    assert known.on(build_basis("fourier", (64,))).scales is known.scales


def test_silent_items_and_empty_frequencies_do_no_harm():
    x, basis = drawn((64,), "cosine", 300)
    x[:100] = 0
    values = basis.forward(x)
    values[..., 40:] = 0
    x = basis.inverse(values)
    known = DataStatistics(torch.zeros(1, 64, dtype=torch.float64), values.square().mean(0), len(x), basis)
    found = measure_scales(x, known.mean, known.spectrum, basis)
    for name in Scales.shapes():
        assert getattr(found, name).isfinite().all()
        assert getattr(found, name).min() > 0
