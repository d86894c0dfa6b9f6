"""A data set at a glance: examples beside their power spectrum, of signals with one, two or three spatial axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
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
    plain,
    positive,
    scale_of,
    style,
    styles,
    tidy_axes,
)
from sagd.data.previews import draw_record, mid_slices, to_bytes
from sagd.data.sheets import Clock
from sagd.errors import InputError
from sagd.noise.basis.base import corner_radius
from sagd.noise.grid import Grid
from sagd.noise.statistics import DataStatistics, radial_profile
from sagd.optional import need
from sagd.report.figures import RHO_LABEL, WIDTH, draw_power_image, plot_bands, single_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_MANY = 4000
"""Points beyond which a curve is drawn as pixels, which keeps the file small."""


def power_figure(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    looks: Mapping[str, Style] | None = None,
    unit: str = "cycles/sample",
    quantity: str = "",
) -> Figure:
    """Power against physical frequency, both logarithmic; `physical_power` makes the curves.

    Args:
        curves: Name -> (frequencies `(K,)`, power `(K,)`); frequency 0 has no place and is left out.
        looks: Name -> style.
        unit: Unit of the frequencies, e.g. "Hz", "cycles/mm".
        quantity: Unit of the values, e.g. "mV", of which power has the square.

    Raises:
        InputError: If the two of a curve are not of one length, or nothing is positive.
    """
    axes = single_axes(3.2)
    tidy_axes(axes)
    looks = styles(curves) if looks is None else looks
    for name, (x, y) in curves.items():
        _plot_power(axes, array(x), array(y), looks[name], name)
    label_axes(axes, f"frequency ({plain(unit)})", _power_label(quantity))
    log_axes(axes, least_span=4)
    if len(curves) > 1:
        add_legend(axes)
    figure = axes.figure.figure
    assert figure is not None
    return figure


def physical_power(
    statistics: DataStatistics, steps: Sequence[float] | None = None, rings: int | None = None
) -> tuple[Array, Array]:
    """Frequencies `(K,)` in cycles per unit of distance, and power by channel `(C, K)`.

    With one spatial axis these are all measured frequencies but 0, so that narrow lines stay; with more, rings.

    Args:
        statistics: What was measured.
        steps: Distance of neighbours along each axis, e.g. `(1 / rate,)`; by default 1.
        rings: How many; by default as many as the axis with the fewest frequencies allows.

    Raises:
        InputError: If the steps do not fit.
    """
    basis = statistics.basis
    sizes = (1.0,) * basis.rank if steps is None else tuple(float(step) for step in steps)
    if len(sizes) != basis.rank or not all(0 < size < math.inf for size in sizes):
        raise InputError(f"steps must be {basis.rank} positive distances, got {sizes}")
    if basis.rank == 1:
        radius = basis.radius().flatten()
        inside = radius > 0
        return (radius[inside] / sizes[0]).numpy(), statistics.spectrum.flatten(1)[:, inside].numpy()
    grid = Grid(tuple((size, "px") for size in sizes))
    corner = math.hypot(*(0.5 / size for size in sizes))
    # No narrower than neighbouring frequencies of any axis are apart, or rings would miss those of some in turn.
    apart = max(
        1 / (side * size) for side, size in zip(basis.spatial, sizes, strict=True) if side > 1 or basis.size == 1
    )
    profile = radial_profile(statistics.spectrum, basis, rings or max(1, int(corner / apart)), grid)
    held = profile.degrees_of_freedom > 0
    return (profile.centres[held] * corner).numpy(), profile.values[:, held].numpy()


def inspect_figure(
    rho: ArrayLike,
    values: ArrayLike,
    slope: float,
    intercept: float,
    examples: ArrayLike,
    spectrum: ArrayLike,
    channels: Sequence[str] | None = None,
    limits: tuple[float, float] | None = (-1.0, 1.0),
    rate: float | None = None,
    quantity: str = "",
) -> Figure:
    """A data set at a glance: examples, power by radial band and channel, power by direction.

    With one spatial axis, examples are lines, and the last panel has the power of every frequency; with three, examples
    are their middle slices, and the last panel has the power along each axis.

    Args:
        rho: Band centres as fractions of the corner radius, `(K,)`.
        values: Power spectrum by channel and band, `(C, K)`; NaN where a band holds no frequency.
        slope: Slope of the fitted line `log S = intercept + slope log r`.
        intercept: Natural logarithm of the fitted power at `r` = 1 cycle per sample.
        examples: `(N, C, *spatial)`, of which the first few are shown.
        spectrum: Power spectrum as half spectrum of the real FFT, `(C, *coefficients)`.
        channels: Names of the channels of `values`; by default the colours of images, or numbers.
        limits: Black and white of images and slices with 1 or 3 channels; None: the first channel in colours by value.
        rate: Samples per second of records, for their axes.
        quantity: Unit of the values.

    Raises:
        InputError: If shapes do not fit each other, or no power is positive.
    """
    need("matplotlib")
    from matplotlib.figure import Figure

    centres, power, shown, half = array(rho), array(values), array(examples), array(spectrum)
    if power.ndim != 2 or power.shape[1] != len(centres):
        raise InputError(f"values must be (C, {len(centres)}) to fit rho, got shape {power.shape}")
    if shown.ndim not in (3, 4, 5):
        raise InputError(f"examples must be (N, C, *spatial) with 1 to 3 spatial axes, got shape {shown.shape}")
    rank = shown.ndim - 2
    figure = Figure(figsize=(2 * WIDTH, 4.9), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 3))[:, 0]
    left, right = below.subplots(1, 2, width_ratios=(1.15, 1))
    colours = channels is None and rank == 2 and len(power) == 3
    names = list(channels or (["red", "green", "blue"] if colours else _channel_names(len(power))))
    looks = _CHANNEL_STYLES if colours else [style(i) for i in range(len(names))]
    _draw_bands(left, centres, power, dict(zip(names, looks, strict=True)), _power_label(quantity))
    # Bands are wider than frequencies are apart: no line far beyond the lowest.
    _draw_fit(left, slope, intercept, max(1 / max(shown.shape[2:]), centres.min() / 2 * corner_radius(rank)), rank)
    log_axes(left)
    add_legend(left)
    if rank == 1:
        _draw_records(above, shown, looks, rate)
        _draw_frequencies(right, half, shown.shape[2], dict(zip(names, looks, strict=True)), rate)
    elif rank == 2:
        _draw_images(above, list(shown[:8]), limits)
        draw_power_image(right, half, shown.shape[-1], "Power by direction", "S")
    else:
        _draw_images(above, [s for volume in shown[:3] for s in _slices(volume, limits)], limits)
        _draw_axes(right, half, shown.shape[2:])
    return figure


_CHANNEL_STYLES = (
    Style(COLOURS[1], (), "o"),
    Style(COLOURS[2], (5.0, 1.8), "s"),
    Style(COLOURS[0], (1.2, 1.5), "^"),
)
"""Red, green, blue; where they coincide, those below show through the gaps."""


def _channel_names(count: int) -> list[str]:
    return ["data"] if count == 1 else [f"channel {i}" for i in range(count)]


def _power_label(quantity: str) -> str:
    """Power has the square of the unit of the values."""
    if not quantity:
        return "power $S$"
    simple = all(letter.isalpha() for letter in quantity)
    return f"power $S$ ({plain(quantity)}²)" if simple else f"power $S$ (({plain(quantity)})²)"


def _plot_power(axes: Axes, x: Array, y: Array, look: Style, name: str) -> None:
    if x.shape != y.shape or x.ndim != 1:
        raise InputError(f"frequencies and power of {name!r} must be (K,) both, got shapes {x.shape} and {y.shape}")
    held = np.isfinite(y) & (x > 0)
    few = held.sum() <= 40
    full: dict[str, Any] = {"linewidth": 1.8 if few else 0.9, "markersize": 4.5} | look.line
    axes.plot(
        x[held],
        positive(y[held]),
        label=plain(name),
        rasterized=bool(held.sum() > _MANY),
        **(full if few else full | {"marker": "", "linestyle": "-"}),
    )


def _draw_bands(axes: Axes, centres: Array, power: Array, looks: Mapping[str, Style], label: str) -> None:
    tidy_axes(axes)
    for (name, look), values in zip(looks.items(), power, strict=True):
        plot_bands(axes, centres, values, look, name)
    axes.set_title("Power by radial band", fontsize=FONT + 1)
    label_axes(axes, RHO_LABEL, label)


def _draw_records(figure: SubFigure, records: Array, looks: Sequence[Style], rate: float | None) -> None:
    """Up to three records, their channels in the colours of the spectra."""
    clock = Clock(rate, "s", records.shape[2])
    panels = figure.subplots(1, min(3, len(records)), sharey=True, squeeze=False)[0]
    for axes, record in zip(panels, records, strict=False):
        draw_record(axes, record, clock.ends)
        axes.locator_params(nbins=4)
        axes.set_xlim(clock.ends)
        label_axes(axes, clock.label, "")


def _draw_frequencies(axes: Axes, half: Array, count: int, looks: Mapping[str, Style], rate: float | None) -> None:
    if half.shape != (len(looks), count // 2 + 1):
        raise InputError(f"spectrum must be (C, {count // 2 + 1}) for records of {count}, got shape {half.shape}")
    tidy_axes(axes)
    frequencies = np.arange(count // 2 + 1) * (1 if rate is None else rate) / count
    for (name, look), values in zip(looks.items(), half, strict=True):
        _plot_power(axes, frequencies, values, look, name)
    axes.set_title("Power of each frequency", fontsize=FONT + 1)
    label_axes(axes, f"frequency ({'cycles/sample' if rate is None else 'Hz'})", "")
    log_axes(axes, least_span=4)


def _slices(volume: Array, limits: tuple[float, float] | None) -> list[Array]:
    """Middle slices `(C, H, W)` of a volume `(C, Z, Y, X)`."""
    channels = [mid_slices(torch.from_numpy(channel)) for channel in (volume if limits is not None else volume[:1])]
    return [np.stack(slices) for slices in zip(*channels, strict=True)]


def _draw_images(figure: SubFigure, images: Sequence[Array], limits: tuple[float, float] | None) -> None:
    """The first eight images, or nine slices, `(C, H, W)`, in a row."""
    if limits is not None and images[0].shape[0] not in (1, 3):
        raise InputError(f"examples must have 1 or 3 channels to be black and white, got {images[0].shape[0]}")
    panels = figure.subplots(1, max(8, min(9, len(images))), squeeze=False)[0]
    scale = scale_of(np.concatenate([image[0].ravel() for image in images[:9]]))
    for axes in panels:
        axes.set_axis_off()
    for axes, image in zip(panels, images, strict=False):
        axes.imshow(scale.bytes(image[0]) if limits is None else to_bytes(image, limits))


def _draw_axes(axes: Axes, half: Array, spatial: tuple[int, ...]) -> None:
    """Power by the frequency along each axis, averaged over channels and over the frequencies along the others."""
    expected = (*spatial[:-1], spatial[-1] // 2 + 1)
    if half.shape[1:] != expected:
        raise InputError(f"spectrum must be (C, {', '.join(map(str, expected))}), got shape {half.shape}")
    tidy_axes(axes)
    # Columns that stand for their mirror images too count twice, and have those at the opposite frequency.
    weights = np.where((np.arange(expected[-1]) * 2) % spatial[-1] == 0, 1.0, 2.0)
    power = half.mean(0)
    for i, (name, side) in enumerate(zip("zyx", spatial, strict=True)):
        k = np.arange(1, side // 2 + 1)
        if i == 2:
            along = power.mean((0, 1))[k]
        else:
            mean = np.average(power.mean(1 - i), axis=-1, weights=weights)
            along = (mean[k] + mean[-k]) / 2
        if len(k):
            _plot_power(axes, k / side, along, style(i), f"along {name}")
    axes.set_title("Power along each axis", fontsize=FONT + 1)
    label_axes(axes, "frequency (cycles/sample)", "")
    log_axes(axes, least_span=4)
    add_legend(axes)


def _draw_fit(axes: Axes, slope: float, intercept: float, lowest: float, rank: int) -> None:
    """The fitted line, from the lowest non-zero frequency (cycles per sample) to the corner: DC has no part in it."""
    r = np.array([lowest, corner_radius(rank)])
    text = f"fit: slope {slope:.2f}".replace("-", "\N{MINUS SIGN}")
    power = np.exp(intercept + slope * np.log(r))
    axes.plot(r / corner_radius(rank), power, label=text, color=INK, linewidth=1.4, linestyle=(0, (2, 2)))
