"""A data set at a glance: examples beside their power spectrum, of signals with one, two or three spatial axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

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
    plain,
    scale_of,
    style,
    tidy_axes,
)
from sagd.data.kinds import Kind
from sagd.data.meaning import Meaning, usual
from sagd.data.previews import draw_record, mid_slices, to_bytes
from sagd.data.sheets import Clock
from sagd.errors import InputError
from sagd.noise.basis.base import corner_radius
from sagd.noise.grid import RingScale
from sagd.optional import need
from sagd.report.figures import WIDTH, AxisScale, draw_power_image, frequency_label, pixel_scales, plot_bands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


def inspect_figure(
    rho: ArrayLike,
    values: ArrayLike,
    slope: float,
    intercept: float,
    examples: Tensor,
    spectrum: ArrayLike,
    meaning: Meaning | None = None,
    channels: Sequence[str] | None = None,
) -> Figure:
    """A data set at a glance: examples, power by radial band and channel, power by direction.

    With one spatial axis, examples are lines, and the last panel has the power of every frequency; with three, examples
    are their middle slices, and the last panel has the power along each axis. Frequencies are in units where steps of
    the grid are known; power is that of values as models see them.

    Args:
        rho: Band centres as fractions of the corner radius, `(K,)`.
        values: Power spectrum by channel and band, `(C, K)`; NaN where a band holds no frequency.
        slope: Slope of the fitted line `log S = intercept + slope log r`.
        intercept: Natural logarithm of the fitted power at `r` = 1 cycle per sample.
        examples: As models see them, `(N, C, *spatial)`, of which the first few are shown, in the unit of the data but
            for records of several channels; NaN where values are missing.
        spectrum: Power spectrum as half spectrum of the real FFT, `(C, *coefficients)`.
        meaning: What values and axes mean; by default what is taken for granted of such a shape.
        channels: Names of the channels of `values`; by default those of the data, the colours of images, or numbers.

    Raises:
        InputError: If shapes do not fit each other, or no power is positive.
    """
    need("matplotlib")
    from matplotlib.figure import Figure

    centres, power, half = array(rho), array(values), array(spectrum)
    if power.ndim != 2 or power.shape[1] != len(centres):
        raise InputError(f"values must be (C, {len(centres)}) to fit rho, got shape {power.shape}")
    if examples.ndim not in (3, 4, 5):
        raise InputError(
            f"examples must be (N, C, *spatial) with 1 to 3 spatial axes, got shape {tuple(examples.shape)}"
        )
    meaning = usual(examples.shape[1:]) if meaning is None else meaning
    rank, seen = examples.ndim - 2, Kind.member(meaning.kind)().seen(examples.shape[1])
    # Several lines share an axis, whatever their units.
    alone = rank > 1 or len(examples[0]) == 1
    shown = array(meaning.to_values(examples) if alone and not seen else examples)
    figure = Figure(figsize=(2 * WIDTH, 4.9), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 3))[:, 0]
    left, right = below.subplots(1, 2, width_ratios=(1.15, 1))
    colours = channels is None and seen and rank == 2 and len(power) == 3
    names = list(channels or meaning.channels or (["red", "green", "blue"] if colours else _channel_names(len(power))))
    looks = dict(zip(names, _CHANNEL_STYLES if colours else map(style, range(len(names))), strict=False))
    scale, grid = RingScale.of(meaning.rings()), meaning.grid()
    _draw_bands(left, centres, power, looks, scale)
    # Bands are wider than frequencies are apart: no line far beyond the lowest.
    lowest = max(1 / max(shown.shape[2:]), centres.min() / 2 * corner_radius(rank))
    _draw_fit(left, slope, intercept, lowest, rank, scale)
    log_axes(left)
    add_legend(left)
    if rank == 1:
        _draw_records(above, shown, meaning, meaning.quantity if alone else "as models see it")
        _draw_frequencies(right, half, shown.shape[2], looks, AxisScale.of(grid, 0))
    elif rank == 2:
        _draw_images(above, list(shown[:8]), seen)
        draw_power_image(right, half, shown.shape[-1], "Power by direction", "S", pixel_scales(grid))
    else:
        _draw_images(above, [s for volume in shown[:3] for s in _slices(volume, seen)], seen)
        _draw_axes(right, half, shown.shape[2:], meaning)
    return figure


_CHANNEL_STYLES = (
    Style(COLOURS[1], (), "o"),
    Style(COLOURS[2], (5.0, 1.8), "s"),
    Style(COLOURS[0], (1.2, 1.5), "^"),
)
"""Red, green, blue; where they coincide, those below show through the gaps."""


def _channel_names(count: int) -> list[str]:
    return ["data"] if count == 1 else [f"channel {i}" for i in range(count)]


def _draw_bands(axes: Axes, centres: Array, power: Array, looks: Mapping[str, Style], scale: RingScale) -> None:
    tidy_axes(axes)
    for (name, look), values in zip(looks.items(), power, strict=True):
        plot_bands(axes, scale.corner * centres, values, look, name)
    axes.set_title("Power by radial band", fontsize=FONT + 1)
    label_axes(axes, frequency_label(scale), "power $S$ (as models see it)")


def _draw_records(figure: SubFigure, records: Array, meaning: Meaning, label: str) -> None:
    """Up to three records, their channels in the colours of the spectra."""
    step = meaning.steps.get("T")
    clock = Clock(None if step is None else 1 / step.size, "" if step is None else step.unit, records.shape[2])
    panels = figure.subplots(1, min(3, len(records)), sharey=True, squeeze=False)[0]
    for axes, record in zip(panels, records, strict=False):
        draw_record(axes, record, clock.ends)
        axes.locator_params(nbins=4)
        axes.set_xlim(clock.ends)
        label_axes(axes, clock.label, plain(label) if axes is panels[0] else "")


def _draw_frequencies(axes: Axes, half: Array, count: int, looks: Mapping[str, Style], scale: AxisScale) -> None:
    if half.shape != (len(looks), count // 2 + 1):
        raise InputError(f"spectrum must be (C, {count // 2 + 1}) for records of {count}, got shape {half.shape}")
    tidy_axes(axes)
    frequencies = scale.values(np.arange(count // 2 + 1) / count)
    for (name, look), values in zip(looks.items(), half, strict=True):
        plot_bands(axes, frequencies[1:], values[1:], look, name)  # 0 has no place on a logarithmic axis
    axes.set_title("Power of each frequency", fontsize=FONT + 1)
    label_axes(axes, f"frequency ({plain(scale.unit)})", "")
    log_axes(axes, least_span=4)


def _slices(volume: Array, seen: bool) -> list[Array]:
    """Middle slices `(C, H, W)` of a volume `(C, Z, Y, X)`."""
    channels = [mid_slices(torch.from_numpy(channel)) for channel in (volume if seen else volume[:1])]
    return [np.stack(slices) for slices in zip(*channels, strict=True)]


def _draw_images(figure: SubFigure, images: Sequence[Array], seen: bool) -> None:
    """The first eight images, or nine slices, `(C, H, W)`, in a row: as they are seen, or colours by value."""
    panels = figure.subplots(1, max(8, min(9, len(images))), squeeze=False)[0]
    scale = scale_of(np.concatenate([image[0].ravel() for image in images[:9]]))
    for axes in panels:
        axes.set_axis_off()
    for axes, image in zip(panels, images, strict=False):
        axes.imshow(to_bytes(image, (-1.0, 1.0)) if seen else scale.bytes(image[0]))


def _draw_axes(axes: Axes, half: Array, spatial: tuple[int, ...], meaning: Meaning) -> None:
    """Power by the frequency along each axis, averaged over channels and over the frequencies along the others."""
    expected = (*spatial[:-1], spatial[-1] // 2 + 1)
    if half.shape[1:] != expected:
        raise InputError(f"spectrum must be (C, {', '.join(map(str, expected))}), got shape {half.shape}")
    tidy_axes(axes)
    # Columns that stand for their mirror images too count twice, and have those at the opposite frequency.
    weights = np.where((np.arange(expected[-1]) * 2) % spatial[-1] == 0, 1.0, 2.0)
    power, grid = half.mean(0), meaning.grid()
    scales = [AxisScale.of(grid, i, "sample" if grid is None else "pixel") for i in range(3)]
    alike = len({scale.unit for scale in scales}) == 1
    for i, (letter, side, scale) in enumerate(zip(meaning.axes.lower(), spatial, scales, strict=True)):
        k = np.arange(1, side // 2 + 1)
        if i == 2:
            along = power.mean((0, 1))[k]
        else:
            mean = np.average(power.mean(1 - i), axis=-1, weights=weights)
            along = (mean[k] + mean[-k]) / 2
        if len(k):
            name = f"along {letter}" if alike else f"{letter} ({scale.unit})"
            plot_bands(axes, scale.values(k / side), along, style(i), name)
    axes.set_title("Power along each axis", fontsize=FONT + 1)
    label_axes(axes, f"frequency ({plain(scales[0].unit)})" if alike else "frequency", "")
    log_axes(axes, least_span=4)
    add_legend(axes)


def _draw_fit(axes: Axes, slope: float, intercept: float, lowest: float, rank: int, scale: RingScale) -> None:
    """The fitted line, from the lowest non-zero frequency (cycles per sample) to the corner: DC has no part in it."""
    r = np.array([lowest, corner_radius(rank)])
    text = f"fit: slope {slope:.2f}".replace("-", "\N{MINUS SIGN}")
    power = np.exp(intercept + slope * np.log(r))
    axes.plot(
        scale.corner * r / corner_radius(rank), power, label=text, color=INK, linewidth=1.4, linestyle=(0, (2, 2))
    )
