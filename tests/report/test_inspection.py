import math

import numpy as np
import pytest

from sagd.errors import InputError
from sagd.report.inspection import inspect_figure

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
    with pytest.raises(InputError, match=r"1 or 3 channels, got shape \(2, 2, 8, 8\)"):
        inspect_figure(CENTRES, ones, -1.0, 0.0, images.repeat(2, 1), np.ones((1, 8, 5)))
