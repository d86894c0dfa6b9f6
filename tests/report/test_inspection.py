import math

import numpy as np
import pytest
import torch

from sagd.data.formats import Step
from sagd.data.meaning import Meaning
from sagd.errors import InputError
from sagd.report.figures import to_svg
from sagd.report.inspection import inspect_figure

CENTRES = [0.125, 0.375, 0.625, 0.875]


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_inspection_draws_the_fitted_line_and_every_channel():
    values = np.ones((3, 4))
    images = torch.zeros(8, 3, 16, 8)
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
    figure = inspect_figure(CENTRES, np.ones((1, 4)), -1.0, 0.0, torch.from_numpy(image[None]), half)
    axes = next(a for a in figure.axes if a.get_title() == "Power by direction")
    full = np.fft.fftshift(np.abs(np.fft.fft2(image[0])) ** 2)
    np.testing.assert_allclose(axes.get_images()[0].get_array(), np.log10(full), atol=1e-6)


def test_inspection_refuses_shapes_that_do_not_fit():
    ones, images = np.ones((1, 4)), torch.zeros(2, 1, 8, 8)
    with pytest.raises(InputError, match=r"values must be \(C, 3\) to fit rho, got shape \(1, 4\)"):
        inspect_figure(CENTRES[:3], ones, -1.0, 0.0, images, np.ones((1, 8, 5)))
    with pytest.raises(InputError, match=r"spectrum2d must be \(C, H, 5\) for images 8 wide, got shape \(1, 8, 8\)"):
        inspect_figure(CENTRES, ones, -1.0, 0.0, images, np.ones((1, 8, 8)))


def meant(kind, axes, **facts):
    """What values mean that models see as they are."""
    return Meaning(kind, axes, (0.0,), (1.0,), dtype="float32", limits=None, ending=".npy", **facts)


def titled(figure, title):
    return next(axes for axes in figure.axes if axes.get_title() == title)


def test_inspection_of_records_shows_lines_and_every_frequency():
    x = np.random.default_rng(0).normal(size=(5, 2, 30))
    power = np.arange(32.0).reshape(2, 16)
    meaning = Meaning(
        "series",
        "T",
        (1.0, 0.0),
        (2.0, 1.0),
        steps={"T": Step(1 / 60, "s")},
        quantity="mV",
        channels=("lead I", "lead II"),
        dtype="float32",
        limits=None,
    )
    figure = inspect_figure(CENTRES, np.ones((2, 4)), -1.0, 0.0, torch.from_numpy(x), power, meaning)
    examples = [axes for axes in figure.axes if not axes.get_title()]
    assert len(examples) == 3
    for axes, record in zip(examples, x, strict=False):
        np.testing.assert_allclose([line.get_ydata() for line in axes.get_lines()[::2]], record, atol=1e-12)
        assert (axes.get_xlabel(), axes.get_xlim()) == ("time (s)", (0, 0.5))
    assert examples[0].get_ylabel() == "as models see it"
    drawn = lines(titled(figure, "Power of each frequency"))
    assert drawn["lead I"].get_xdata() == pytest.approx(np.arange(1, 16) * 2)
    assert drawn["lead II"].get_ydata() == pytest.approx(power[1, 1:])
    bands = titled(figure, "Power by radial band")
    # Power is of values as models see them, whatever the unit of the data.
    assert (bands.get_xlabel(), bands.get_ylabel()) == ("frequency (Hz)", "power $S$ (as models see it)")
    assert lines(bands)["lead I"].get_xdata() == pytest.approx(np.array(CENTRES) * 30)
    # The corner of the only axis is half a cycle per sample: S = 1 / r.
    assert lines(bands)["fit: slope −1.00"].get_xdata()[1] == pytest.approx(30)
    assert lines(bands)["fit: slope −1.00"].get_ydata()[1] == pytest.approx(2)
    assert b"<svg" in to_svg(figure)


def test_one_channel_is_shown_in_its_unit():
    x = torch.randn(2, 1, 30)
    meaning = Meaning("series", "T", (1.0,), (2.0,), quantity="mV", dtype="float32", limits=None)
    figure = inspect_figure(CENTRES, np.ones((1, 4)), -1.0, 0.0, x, np.ones((1, 16)), meaning)
    axes = next(axes for axes in figure.axes if not axes.get_title())
    assert axes.get_ylabel() == "mV"
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), 1 + 2 * x[0, 0].double())


@pytest.mark.parametrize("side", [6, 7])
def test_inspection_of_volumes_shows_slices_and_axes(side):
    x = np.random.default_rng(0).normal(size=(2, 1, 4, 6, side))
    spectrum = np.abs(np.fft.rfftn(x[0])) ** 2
    figure = inspect_figure(CENTRES, np.ones((1, 4)), -1.0, 0.0, torch.from_numpy(x), spectrum)
    shown = [axes.get_images()[0].get_array().shape for axes in figure.axes if axes.get_images()]
    assert shown == [(6, side, 3), (4, side, 3), (4, 6, 3)] * 2
    full = np.abs(np.fft.fftn(x[0, 0])) ** 2
    drawn = lines(titled(figure, "Power along each axis"))
    for name, others, n in (("z", (1, 2), 4), ("y", (0, 2), 6), ("x", (0, 1), side)):
        k = np.arange(1, n // 2 + 1)
        assert drawn[f"along {name}"].get_xdata() == pytest.approx(k / n)
        assert drawn[f"along {name}"].get_ydata() == pytest.approx(full.mean(others)[k])


def test_axes_of_volumes_have_their_units():
    x = torch.zeros(2, 1, 4, 6, 8)
    x[..., 0] = 1
    power = np.ones((1, 4, 6, 5))
    steps = {"Z": Step(2.0, "mm"), "Y": Step(0.5, "mm"), "X": Step(0.5, "mm")}
    figure = inspect_figure(CENTRES, np.ones((1, 4)), -1.0, 0.0, x, power, meant("volume", "ZYX", steps=steps))
    along = titled(figure, "Power along each axis")
    assert along.get_xlabel() == "frequency (cycles/mm)"
    assert lines(along)["along z"].get_xdata() == pytest.approx([0.125, 0.25])
    assert lines(along)["along x"].get_xdata() == pytest.approx([0.25, 0.5, 0.75, 1])
    film = Meaning("video", "TYX", steps={"T": Step(0.05, "s")})
    along = titled(inspect_figure(CENTRES, np.ones((1, 4)), -1.0, 0.0, x, power, film), "Power along each axis")
    assert list(lines(along)) == ["t (Hz)", "y (cycles/pixel)", "x (cycles/pixel)"]
    assert lines(along)["t (Hz)"].get_xdata() == pytest.approx([5, 10])


def test_directions_of_fields_have_their_units():
    x, power = torch.randn(2, 1, 6, 8), np.ones((1, 6, 5))
    steps = {"Y": Step(2.5, "km"), "X": Step(5.0, "km")}
    axes = titled(
        inspect_figure(CENTRES, np.ones((1, 4)), -1.0, 0.0, x, power, meant("field", "YX", steps=steps)),
        "Power by direction",
    )
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("horizontal (cycles/km)", "vertical (cycles/km)")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["−0.05", "0", "0.05"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["−0.1", "0", "0.1"]


def test_fields_of_any_number_of_channels_are_drawn_by_value():
    figure = inspect_figure(CENTRES, np.ones((2, 4)), -1.0, 0.0, torch.randn(3, 2, 6, 8), np.ones((2, 6, 5)))
    assert list(lines(titled(figure, "Power by radial band")))[:2] == ["channel 0", "channel 1"]


def test_other_spectra_and_ranks_are_refused():
    ones = np.ones((1, 4))
    with pytest.raises(InputError, match=r"spectrum must be \(C, 5\) for records of 8, got shape \(1, 8\)"):
        inspect_figure(CENTRES, ones, -1.0, 0.0, torch.zeros(1, 1, 8), np.ones((1, 8)))
    with pytest.raises(InputError, match=r"spectrum must be \(C, 4, 4, 3\), got shape \(1, 4, 4, 4\)"):
        inspect_figure(CENTRES, ones, -1.0, 0.0, torch.zeros(1, 1, 4, 4, 4), np.ones((1, 4, 4, 4)))
    with pytest.raises(InputError, match=r"with 1 to 3 spatial axes, got shape \(1, 1\)"):
        inspect_figure(CENTRES, ones, -1.0, 0.0, torch.zeros(1, 1), np.ones((1, 1)))
