import math

import numpy as np
import pytest
import torch

from sagd.errors import InputError
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.statistics import DataStatistics, measure
from sagd.report.figures import to_svg
from sagd.report.inspection import inspect_figure, physical_power, power_figure

CENTRES = [0.125, 0.375, 0.625, 0.875]


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_inspection_draws_the_fitted_line_and_every_channel():
    values = np.ones((3, 4))
    images = np.zeros((8, 3, 16, 8))
    figure = inspect_figure(CENTRES, values, -2.0, math.log(3), images, np.ones((3, 16, 5)))
    axes = next(a for a in figure.axes if a.get_title() == "Power by radial band")
    drawn = lines(axes)
    assert list(drawn) == ["red", "green", "blue", "fit: slope −2.00"]
    # S = 3 r^-2: 6 at the corner, r = sqrt(1/2), and 768 at the lowest frequency of 16 pixels, r = 1/16.
    assert drawn["fit: slope −2.00"].get_ydata() == pytest.approx([768, 6])
    assert drawn["fit: slope −2.00"].get_xdata()[1] == pytest.approx(1)


@pytest.mark.parametrize("shape", [(6, 8), (5, 7), (8, 5)])
def test_inspection_shows_the_full_spectrum(shape):
    image = np.random.default_rng(0).normal(size=(1, *shape))
    half = np.abs(np.fft.rfft2(image)) ** 2
    figure = inspect_figure(CENTRES, np.ones((1, 4)), -1.0, 0.0, image[None], half)
    axes = next(a for a in figure.axes if a.get_title() == "Power by direction")
    full = np.fft.fftshift(np.abs(np.fft.fft2(image[0])) ** 2)
    np.testing.assert_allclose(axes.get_images()[0].get_array(), np.log10(full), atol=1e-6)


def test_inspection_refuses_shapes_that_do_not_fit():
    ones, images = np.ones((1, 4)), np.zeros((2, 1, 8, 8))
    with pytest.raises(InputError, match=r"values must be \(C, 3\) to fit rho, got shape \(1, 4\)"):
        inspect_figure(CENTRES[:3], ones, -1.0, 0.0, images, np.ones((1, 8, 5)))
    with pytest.raises(InputError, match=r"spectrum2d must be \(C, H, 5\) for images 8 wide, got shape \(1, 8, 8\)"):
        inspect_figure(CENTRES, ones, -1.0, 0.0, images, np.ones((1, 8, 8)))
    with pytest.raises(InputError, match="1 or 3 channels to be black and white, got 2"):
        inspect_figure(CENTRES, ones, -1.0, 0.0, images.repeat(2, 1), np.ones((1, 8, 5)))


def titled(figure, title):
    return next(axes for axes in figure.axes if axes.get_title() == title)


def test_inspection_of_records_shows_lines_and_every_frequency():
    x = np.random.default_rng(0).normal(size=(5, 2, 30))
    power = np.arange(32.0).reshape(2, 16)
    names = ["lead I", "lead II"]
    figure = inspect_figure(CENTRES, np.ones((2, 4)), -1.0, 0.0, x, power, names, None, rate=60, quantity="mV")
    examples = [axes for axes in figure.axes if not axes.get_title()]
    assert len(examples) == 3
    for axes, record in zip(examples, x, strict=False):
        np.testing.assert_allclose([line.get_ydata() for line in axes.get_lines()[::2]], record)
        assert (axes.get_xlabel(), axes.get_xlim()) == ("time (s)", (0, 0.5))
    drawn = lines(titled(figure, "Power of each frequency"))
    assert drawn["lead I"].get_xdata() == pytest.approx(np.arange(1, 16) * 2)
    assert drawn["lead II"].get_ydata() == pytest.approx(power[1, 1:])
    bands = titled(figure, "Power by radial band")
    assert bands.get_ylabel() == "power $S$ (mV²)"
    # The corner of the only axis is half a cycle per sample: S = 1 / r.
    assert lines(bands)["fit: slope −1.00"].get_ydata()[1] == pytest.approx(2)
    assert b"<svg" in to_svg(figure)


@pytest.mark.parametrize("side", [6, 7])
def test_inspection_of_volumes_shows_slices_and_axes(side):
    x = np.random.default_rng(0).normal(size=(2, 1, 4, 6, side))
    spectrum = np.abs(np.fft.rfftn(x[0])) ** 2
    figure = inspect_figure(CENTRES, np.ones((1, 4)), -1.0, 0.0, x, spectrum, limits=None)
    shown = [axes.get_images()[0].get_array().shape for axes in figure.axes if axes.get_images()]
    assert shown == [(6, side, 3), (4, side, 3), (4, 6, 3)] * 2
    full = np.abs(np.fft.fftn(x[0, 0])) ** 2
    drawn = lines(titled(figure, "Power along each axis"))
    for name, others, n in (("z", (1, 2), 4), ("y", (0, 2), 6), ("x", (0, 1), side)):
        k = np.arange(1, n // 2 + 1)
        assert drawn[f"along {name}"].get_xdata() == pytest.approx(k / n)
        assert drawn[f"along {name}"].get_ydata() == pytest.approx(full.mean(others)[k])


def test_fields_of_any_number_of_channels_are_drawn_by_value():
    x = np.random.default_rng(0).normal(size=(3, 2, 6, 8))
    figure = inspect_figure(CENTRES, np.ones((2, 4)), -1.0, 0.0, x, np.ones((2, 6, 5)), limits=None)
    assert list(lines(titled(figure, "Power by radial band")))[:2] == ["channel 0", "channel 1"]


def test_other_spectra_and_ranks_are_refused():
    ones = np.ones((1, 4))
    with pytest.raises(InputError, match=r"spectrum must be \(C, 5\) for records of 8, got shape \(1, 8\)"):
        inspect_figure(CENTRES, ones, -1.0, 0.0, np.zeros((1, 1, 8)), np.ones((1, 8)))
    with pytest.raises(InputError, match=r"spectrum must be \(C, 4, 4, 3\), got shape \(1, 4, 4, 4\)"):
        inspect_figure(CENTRES, ones, -1.0, 0.0, np.zeros((1, 1, 4, 4, 4)), np.ones((1, 4, 4, 4)))
    with pytest.raises(InputError, match=r"with 1 to 3 spatial axes, got shape \(1, 1\)"):
        inspect_figure(CENTRES, ones, -1.0, 0.0, np.zeros((1, 1)), np.ones((1, 1)))


# Physical frequencies ---------------------------------------------------------------------------------------------


def test_a_tone_lies_at_its_hertz():
    t = torch.arange(500) / 250
    phases = torch.rand(20, 1, 1, generator=torch.Generator().manual_seed(0)) * 2 * math.pi
    x = torch.sin(2 * math.pi * 60 * t + phases)
    frequencies, power = physical_power(measure(x), (1 / 250,))
    assert frequencies[0] == pytest.approx(0.5)
    assert frequencies[-1] == pytest.approx(125)
    assert frequencies[power[0].argmax()] == pytest.approx(60)


def test_rings_are_round_in_physical_frequency():
    """A field whose power depends on physical frequency alone has it in every ring, whatever the steps."""
    basis, steps = FourierBasis((60, 40)), (0.5, 2.0)
    f = basis.frequencies() / torch.tensor(steps, dtype=torch.float64)[:, None, None]
    spectrum = torch.linalg.vector_norm(f, dim=0)[None]
    frequencies, power = physical_power(DataStatistics(torch.zeros(1, 60, 40), spectrum, 9, basis), steps)
    corner = math.hypot(1.0, 0.25)
    assert len(frequencies) == pytest.approx(corner * 30, abs=1)
    assert power[0] == pytest.approx(frequencies, abs=1 / 60)
    few, _ = physical_power(DataStatistics(torch.zeros(1, 60, 40), spectrum, 9, basis), steps, rings=4)
    assert few == pytest.approx(np.array([1, 3, 5, 7]) * corner / 8)


def test_steps_must_fit():
    for shape, steps in (((9,), (1, 1)), ((9,), (0,)), ((4, 4), (1,)), ((4, 4), (1, -1))):
        with pytest.raises(InputError, match=f"steps must be {len(shape)} positive distances, got"):
            physical_power(measure(torch.randn(3, 1, *shape)), steps)


def test_power_is_drawn_over_its_unit():
    figure = power_figure({"a": ([0, 1, 2], [9, 4, 1]), "b": ([1, 2], [3.0, math.nan])}, unit="Hz", quantity="m/s")
    (axes,) = figure.axes
    drawn = lines(axes)
    assert drawn["a"].get_xdata().tolist() == [1, 2]  # 0 has no place
    assert drawn["b"].get_ydata().tolist() == [3]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("frequency (Hz)", "power $S$ ((m/s)²)")
    assert axes.get_xscale() == axes.get_yscale() == "log"
    with pytest.raises(InputError, match=r"frequencies and power of 'a' must be \(K,\) both"):
        power_figure({"a": ([1, 2], [1])})
    with pytest.raises(InputError, match="no value is positive"):
        power_figure({"a": ([1, 2], [0, 0])})
