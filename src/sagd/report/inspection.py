"""A data set at a glance: examples beside their power spectrum; nothing here computes a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from sagd.data.drawing import (
    COLOURS,
    FONT,
    INK,
    Array,
    Style,
    add_legend,
    array,
    label_axes,
    log_axes,
    style,
    tidy_axes,
)
from sagd.errors import InputError
from sagd.noise.basis.base import corner_radius
from sagd.optional import need
from sagd.report.figures import RHO_LABEL, WIDTH, draw_power_image, plot_bands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


def inspect_figure(
    rho: ArrayLike,
    values: ArrayLike,
    slope: float,
    intercept: float,
    images: ArrayLike,
    spectrum2d: ArrayLike,
    channels: Sequence[str] | None = None,
) -> Figure:
    """A data set at a glance: example images, power by radial band and channel, power by direction.

    Args:
        rho: Band centres as fractions of the corner radius, `(K,)`.
        values: Power spectrum by channel and band, `(C, K)`; NaN where a band holds no frequency.
        slope: Slope of the fitted line `log S = intercept + slope log r`.
        intercept: Natural logarithm of the fitted power at `r` = 1 cycle per pixel.
        images: Examples in [-1, 1], `(N, C, H, W)` with 1 or 3 channels; the first eight are shown.
        spectrum2d: Power spectrum as half spectrum of the real FFT, `(C, H, W // 2 + 1)`.
        channels: Names of the channels of `values`; by default the colours of images.

    Raises:
        InputError: If shapes do not fit each other, or no power is positive.
    """
    need("matplotlib")
    from matplotlib.figure import Figure

    centres, power, examples = array(rho), array(values), array(images)
    if power.ndim != 2 or power.shape[1] != len(centres):
        raise InputError(f"values must be (C, {len(centres)}) to fit rho, got shape {power.shape}")
    figure = Figure(figsize=(2 * WIDTH, 4.9), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 3))[:, 0]
    _draw_examples(above, examples)
    left, right = below.subplots(1, 2, width_ratios=(1.15, 1))
    tidy_axes(left)
    for channel, name in enumerate(channels or _channel_names(len(power))):
        look = _CHANNEL_STYLES[channel] if len(power) == 3 and channels is None else style(channel)
        plot_bands(left, centres, power[channel], look, name)
    _draw_fit(left, slope, intercept, 1 / max(examples.shape[2:]))
    left.set_title("Power by radial band", fontsize=FONT + 1)
    label_axes(left, RHO_LABEL, "power $S$")
    log_axes(left)
    add_legend(left)
    draw_power_image(right, array(spectrum2d), examples.shape[-1], "Power by direction", "S")
    return figure


_CHANNEL_STYLES = (
    Style(COLOURS[1], (), "o"),
    Style(COLOURS[2], (5.0, 1.8), "s"),
    Style(COLOURS[0], (1.2, 1.5), "^"),
)
"""Red, green, blue; where they coincide, those below show through the gaps."""


def _channel_names(count: int) -> list[str]:
    known = {1: ["data"], 3: ["red", "green", "blue"]}
    return known.get(count, [f"channel {i}" for i in range(count)])


def _draw_examples(figure: SubFigure, images: Array) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise InputError(f"images must be (N, C, H, W) with 1 or 3 channels, got shape {images.shape}")
    panels = figure.subplots(1, 8, squeeze=False)[0]
    for axes in panels:
        axes.set_axis_off()
    for axes, image in zip(panels, images[:8], strict=False):
        pixels = np.clip((image + 1) / 2, 0, 1).transpose(1, 2, 0)
        axes.imshow(pixels.squeeze(-1) if len(image) == 1 else pixels, cmap="gray", vmin=0, vmax=1)


def _draw_fit(axes: Axes, slope: float, intercept: float, lowest: float) -> None:
    """The fitted line, from the lowest non-zero frequency (in cycles per pixel) to the corner: DC has no part in it."""
    r = np.array([lowest, corner_radius(2)])
    text = f"fit: slope {slope:.2f}".replace("-", "\N{MINUS SIGN}")
    power = np.exp(intercept + slope * np.log(r))
    axes.plot(r / corner_radius(2), power, label=text, color=INK, linewidth=1.4, linestyle=(0, (2, 2)))
