"""Measured curves and images as matplotlib figures; nothing here computes a result.

Every function takes plain arrays (NumPy or CPU tensors) and returns a `matplotlib.figure.Figure` of its own, without
pyplot's global state, ready for `figure.savefig(path)`. Curves differ in colour, dash and marker; the colours are those
of "Color Universal Design" (Okabe & Ito, 2008), which people with colour vision deficiency can tell apart.

Spectra are drawn over `rho`, frequency as a fraction of the corner radius of the grid. A band that holds no frequency
has the value NaN and is skipped; a band of zero power has no place on a logarithmic axis and leaves a gap.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sagd.errors import InputError
from sagd.noise.basis.base import corner_radius
from sagd.optional import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Array = NDArray[np.float64]

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_DASHES: tuple[tuple[float, ...], ...] = ((), (5.0, 1.8), (1.2, 1.5), (7.0, 1.8, 1.2, 1.8))
_MARKERS = "osD^vP"
_INK, _MUTED, _GRID = "#1a1a1a", "#6b6b6b", "#dddddd"
_WIDTH = 4.0
"""Inches; the width of a phone at a readable font size."""
_FONT = 10.0
_LONG_NAME = 16
"""Characters beyond which a name crowds a figure."""
_RHO_LABEL = r"frequency $\rho$ (1: corner of the grid)"


@dataclass(frozen=True)
class Style:
    """How one curve is told from the others.

    Attributes:
        colour: Hexadecimal colour.
        dash: Lengths of dashes and gaps in line widths; empty for a solid line.
        marker: Matplotlib marker.
    """

    colour: str
    dash: tuple[float, ...]
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments of `Axes.plot`."""
        return {"color": self.colour, "linestyle": (0, self.dash) if self.dash else "-", "marker": self.marker}


_DATA, _FLOOR = Style(_INK, (), ""), Style(_INK, (4.0, 2.0), "")


def style(index: int) -> Style:
    """Style of curve number `index`; twelve in a row are all different."""
    turn, place = divmod(index, len(_COLOURS))
    return Style(_COLOURS[place], _DASHES[(index + turn) % len(_DASHES)], _MARKERS[place])


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each name, in order."""
    return {name: style(i) for i, name in enumerate(names)}


def noise_spectra_figure(edges: ArrayLike, profiles: Mapping[str, ArrayLike], looks: Mapping[str, Style]) -> Figure:
    """Power spectra `w^2` of noise by radial band.

    Args:
        edges: Band edges as fractions of the corner radius, `(K + 1,)`.
        profiles: Name -> power by band, `(K,)`.
        looks: Name -> style.

    Raises:
        InputError: If a profile does not have one value per band, or none is positive.
    """
    figure, (axes,) = _panels(2.9)
    for name, values in profiles.items():
        _plot_bands(axes, edges, _by_band(values, edges, name), looks[name], name)
    label_axes(axes, _RHO_LABEL, "noise power $w^2$")
    _log_axes(axes, least_span=4)
    _legend(axes)
    return figure


def spectra_figure(
    edges: ArrayLike,
    data: ArrayLike,
    samples: Mapping[str, ArrayLike],
    looks: Mapping[str, Style],
    floor: ArrayLike | None = None,
) -> Figure:
    """Power spectra of data and samples by radial band, channels averaged, and below them samples over data.

    Args:
        edges: Band edges as fractions of the corner radius, `(K + 1,)`.
        data: Power of the data by channel and band, `(C, K)`.
        samples: Name -> power of its samples, `(C, K)`.
        looks: Name -> style.
        floor: Power of real images over that of other real images, `(K,)`: what chance alone makes of the ratio.

    Raises:
        InputError: If a profile does not have one value per band, or the data has no power.
    """
    figure, (above, below) = _panels(4.6, heights=(3, 2))
    truth = _by_band(data, edges, "data")
    _plot_bands(above, edges, truth, _DATA, "real data", linewidth=3)
    below.axhline(1, color=_INK, linewidth=1.5)
    if floor is not None:
        _plot_bands(below, edges, _by_band(floor, edges, "floor"), _FLOOR, "real / real", linewidth=1.3)
        below.legend(*below.get_legend_handles_labels(), fontsize=_FONT - 1, framealpha=0.8, edgecolor="none")
    for name, values in samples.items():
        power = _by_band(values, edges, name)
        ratio = np.divide(power, truth, out=np.full_like(truth, np.nan), where=truth > 0)
        _plot_bands(above, edges, power, looks[name], name)
        _plot_bands(below, edges, ratio, looks[name], name)
    label_axes(above, "", "power $S$")
    label_axes(below, _RHO_LABEL, "samples / data")
    _log_axes(above)
    _log_axes(below, least_span=1.5)
    above.tick_params(labelbottom=False)
    _legend(above)
    return figure


def loss_figure(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], looks: Mapping[str, Style]) -> Figure:
    """Training loss over optimiser steps.

    Args:
        curves: Name -> (steps `(M,)`, losses `(M,)`).
        looks: Name -> style.

    Raises:
        InputError: If no loss is positive.
    """
    figure, (axes,) = _panels(2.9)
    for name, (steps, loss) in curves.items():
        x, y = _array(steps), _positive(_array(loss))
        every = max(1, len(x) // 8)
        axes.plot(x, y, label=_text(name), linewidth=1.5, markersize=4.5, markevery=every, **looks[name].line)
    label_axes(axes, "optimiser step", "training loss")
    _log_axis(axes, "y", least_span=2)
    _legend(axes)
    return figure


@dataclass(frozen=True)
class Estimate:
    """A mean over runs.

    Attributes:
        mean: The mean.
        low: Lower end of its interval; None with one run.
        high: Upper end.
        points: The value of each run.
    """

    mean: float
    low: float | None
    high: float | None
    points: tuple[float, ...] = ()


def intervals_figure(
    estimates: Mapping[str, Estimate], looks: Mapping[str, Style], label: str, floor: float | None = None
) -> Figure:
    """One line per name: mean as a marker, interval as a bar, single runs as ticks.

    Args:
        estimates: Name -> estimate.
        looks: Name -> style.
        label: What the axis shows; may be empty.
        floor: What real data scores against real data; a dashed line.
    """
    figure, (axes,) = _panels(0.5 + 0.25 * len(estimates))
    for row, (name, estimate) in enumerate(estimates.items()):
        colour, marker = looks[name].colour, looks[name].marker
        if estimate.low is not None and estimate.high is not None:
            axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=2.5)
        axes.plot(estimate.points, [row] * len(estimate.points), "|", color=colour, markersize=10)
        axes.plot([estimate.mean], [row], marker, color=colour, markersize=6)
    if floor is not None:
        axes.axvline(floor, color=_INK, linestyle=(0, _FLOOR.dash), linewidth=1.3)
    short = [name if len(name) <= _LONG_NAME else f"{name[: _LONG_NAME - 1]}…" for name in estimates]
    axes.set_yticks(range(len(estimates)), [_text(name) for name in short])
    axes.set_ylim(len(estimates) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.locator_params(axis="x", nbins=5)
    axes.margins(x=0.06)
    label_axes(axes, label, "")
    return figure


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

    centres, power, examples = _array(rho), _array(values), _array(images)
    if power.ndim != 2 or power.shape[1] != len(centres):
        raise InputError(f"values must be (C, {len(centres)}) to fit rho, got shape {power.shape}")
    figure = Figure(figsize=(2 * _WIDTH, 4.9), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 3))[:, 0]
    _draw_examples(above, examples)
    left, right = below.subplots(1, 2, width_ratios=(1.15, 1))
    tidy_axes(left)
    for channel, name in enumerate(channels or _channel_names(len(power))):
        look = _CHANNEL_STYLES[channel] if len(power) == 3 and channels is None else style(channel)
        _plot_bands(left, centres, power[channel], look, name)
    _draw_fit(left, slope, intercept, 1 / max(examples.shape[2:]))
    left.set_title("Power by radial band", fontsize=_FONT + 1)
    label_axes(left, _RHO_LABEL, "power $S$")
    _log_axes(left)
    _legend(left)
    draw_power_image(right, _array(spectrum2d), examples.shape[-1], "Power by direction", "S")
    return figure


def band_figure(
    rho: ArrayLike, power: ArrayLike, smooth: ArrayLike, band: ArrayLike, excess2d: ArrayLike | None, width: int = 0
) -> Figure:
    """What sticks out of a spectrum: every frequency against the smooth fit, those of the band marked; and the map.

    Args:
        rho: Frequencies as fractions of the corner radius, `(n,)`.
        power: Measured power, `(n,)`.
        smooth: Its smooth fit, `(n,)`.
        band: Band at each frequency, in [0, 1], `(n,)`.
        excess2d: Of images, the excess in dB as half spectrum `(H, W // 2 + 1)`; else None.
        width: Width `W` of the images.
    """
    need("matplotlib")
    from matplotlib.figure import Figure

    x, y, fit, b = _array(rho), _array(power), _array(smooth), _array(band) > 0
    figure = Figure(figsize=(2 * _WIDTH if excess2d is not None else 1.3 * _WIDTH, 3.6), layout="constrained")
    panels = figure.subplots(
        1, 1 + (excess2d is not None), squeeze=False, width_ratios=(1.2, 1)[: 1 + (excess2d is not None)]
    )[0]
    axes, order = panels[0], np.argsort(x)
    tidy_axes(axes)
    axes.plot(x[~b], y[~b], ".", color=_COLOURS[0], markersize=3, label="measured", rasterized=True)
    if b.any():
        axes.plot(x[b], y[b], ".", color=_COLOURS[1], markersize=4, label="damaged band", rasterized=True)
    axes.plot(x[order], fit[order], ".", color=_INK, markersize=1.5, label="smooth fit", rasterized=True)
    axes.set_title("Power of each frequency", fontsize=_FONT + 1)
    label_axes(axes, _RHO_LABEL, "power $S$")
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=_FONT - 1, markerscale=2)
    if excess2d is not None:
        _draw_excess(panels[1], _array(excess2d), np.reshape(b, np.shape(excess2d)), width)
    return figure


def restoration_figure(
    edges: ArrayLike,
    spectra: Mapping[str, ArrayLike],
    errors: Mapping[str, ArrayLike],
    share: ArrayLike,
    looks: Mapping[str, Style],
) -> Figure:
    """Power by radial band before and after, the replaced band shaded; below, errors by band if there are any.

    Args:
        edges: Band edges as fractions of the corner radius, `(K + 1,)`.
        spectra: Name -> power by band, `(K,)`.
        errors: Name -> mean squared error by band, `(K,)`; may be empty.
        share: Share of the frequencies of each radial band that were replaced, `(K,)`.
        looks: Name -> style.

    Raises:
        InputError: If a profile does not have one value per band, or none is positive.
    """
    figure, panels = _panels(4.6 if errors else 2.9, heights=(3, 2) if errors else (1,))
    for axes, curves, label in zip(panels, (spectra, errors), ("power $S$", "error"), strict=False):
        for name, values in curves.items():
            _plot_bands(axes, edges, _by_band(values, edges, name), looks[name], name)
        for low, high, part in zip(_array(edges)[:-1], _array(edges)[1:], _array(share), strict=True):
            if part > 0:
                axes.axvspan(low, high, color=_MUTED, alpha=0.35 * part, linewidth=0)
        label_axes(axes, _RHO_LABEL if axes is panels[-1] else "", label)
        _log_axis(axes, "y", least_span=4)
        axes.set_xlim(0, 1)
    if errors:
        panels[0].tick_params(labelbottom=False)
    _legend(panels[0])
    return figure


def mask_figure(b: ArrayLike, width: int) -> Figure:
    """A band among all frequencies of images: white 0, dark 1, DC in the middle.

    Args:
        b: Band as half spectrum of the real FFT, `(H, W // 2 + 1)`, in [0, 1].
        width: `W`.
    """
    figure, (axes,) = _panels(0.8 * _WIDTH)
    image, extent = centred(_array(b), width)
    axes.grid(visible=False)
    axes.imshow(image, extent=extent, cmap="Blues", vmin=0, vmax=1.2, interpolation="nearest")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([-0.25, 0, 0.25], ["\N{MINUS SIGN}¼", "0", "¼"])
    axes.tick_params(labelsize=_FONT - 0.5)
    label_axes(axes, "horizontal (cycles/pixel)", "vertical (cycles/pixel)")
    return figure


def _draw_excess(axes: Axes, half: Array, band: Array, width: int) -> None:
    """Excess by direction, the band outlined along the borders of its frequencies."""
    image, extent = centred(half, width)
    inside, _ = centred(band.astype(np.float64), width)
    reach = max(6.0, float(np.abs(image).max()))
    drawn = axes.imshow(image, extent=extent, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    axes.set_aspect("equal")
    padded = np.pad(inside > 0, 1)
    height, columns = image.shape
    xs = np.linspace(extent[0], extent[1], columns + 1)
    ys = np.linspace(extent[3], extent[2], height + 1)
    rows, across = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    axes.hlines(ys[rows], xs[across], xs[across + 1], color=_INK, linewidth=0.9)
    down, sides = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    axes.vlines(xs[sides], ys[down], ys[down + 1], color=_INK, linewidth=0.9)
    axes.set_title("Excess over the fit, by direction", fontsize=_FONT + 1)
    label_axes(axes, "columns (cycles per pixel)", "rows (cycles per pixel)")
    bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.85)
    bar.set_label("dB", fontsize=_FONT)


def to_svg(figure: Figure) -> bytes:
    """The figure as a standalone SVG document on a transparent ground; equal figures give equal bytes."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "sagd", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


_CHANNEL_STYLES = (
    Style(_COLOURS[1], (), "o"),
    Style(_COLOURS[2], (5.0, 1.8), "s"),
    Style(_COLOURS[0], (1.2, 1.5), "^"),
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
    axes.plot(r / corner_radius(2), power, label=text, color=_INK, linewidth=1.4, linestyle=(0, (2, 2)))


def draw_power_image(axes: Axes, half: Array, width: int, title: str, symbol: str) -> None:
    """Draw a stored half spectrum as log10 of the power: all frequencies, DC in the middle, channels averaged.

    Args:
        axes: Where to draw.
        half: Power as half spectrum of the real FFT, `(C, H, W // 2 + 1)`; what is not positive is left white.
        width: `W`.
        title: Title of the axes.
        symbol: The power's symbol, for the colour bar.

    Raises:
        InputError: If the half spectrum is not that of fields of this width.
    """
    if half.ndim != 3 or half.shape[2] != width // 2 + 1:
        raise InputError(f"spectrum2d must be (C, H, {width // 2 + 1}) for images {width} wide, got shape {half.shape}")
    whole, extent = centred(half.mean(0), width)
    power = np.log10(_positive(whole))
    image = axes.imshow(power, cmap="cividis", extent=extent, interpolation="nearest", **_colour_range(power))
    axes.set_facecolor("white")
    axes.set_title(_text(title), fontsize=_FONT + 1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([-0.25, 0, 0.25], ["\N{MINUS SIGN}¼", "0", "¼"])
    axes.tick_params(labelsize=_FONT - 0.5)
    label_axes(axes, "horizontal (cycles/pixel)", "vertical (cycles/pixel)")
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.85)
    empty = " (white: none)" if np.isnan(power).any() else ""
    bar.set_label(rf"$\log_{{10}} {symbol}$" + empty, fontsize=_FONT)
    bar.ax.tick_params(labelsize=_FONT - 0.5)


def centred(half: Array, width: int) -> tuple[Array, tuple[float, float, float, float]]:
    """All frequencies of a half spectrum `(H, W // 2 + 1)` as an image `(H, W)` with DC in the middle, and its extent.

    The extent is in cycles per pixel: left, right, bottom, top.
    """
    height, stored = half.shape
    # S(-f) = S(f): the columns that a real FFT leaves out.
    missing = half[(-np.arange(height)) % height][:, [width - k for k in range(stored, width)]]
    rows, columns = (np.fft.fftshift(np.fft.fftfreq(side)) for side in (height, width))
    extent = (columns[0] - 0.5 / width, columns[-1] + 0.5 / width, rows[-1] + 0.5 / height, rows[0] - 0.5 / height)
    return np.fft.fftshift(np.concatenate([half, missing], axis=1)), extent


def _colour_range(values: Array) -> dict[str, Any]:
    """Limits around the values, half a decade apart or more: equal powers are not to show their rounding."""
    held = values[np.isfinite(values)]
    return {"vmin": min(held.min(), held.max() - 0.5), "vmax": held.max()} if held.size else {}


def draw_power_lines(axes: Axes, x: ArrayLike, power: ArrayLike, title: str, x_label: str, y_label: str) -> None:
    """Draw power over frequency on a logarithmic axis, one line per channel; power that is not positive leaves a gap.

    Args:
        axes: Where to draw.
        x: Frequencies, `(K,)`.
        power: `(C, K)`; NaN where there is no frequency, which is skipped.
        title: Title of the axes.
        x_label: What `x` is.
        y_label: What the power is.
    """
    tidy_axes(axes)
    frequencies, rows = _array(x), _array(power)
    for channel, row in enumerate(rows):
        held = np.isfinite(row)
        look: dict[str, Any] = {"linewidth": 1.8, "markersize": 4.5 if held.sum() <= 20 else 2.5} | style(channel).line
        axes.plot(frequencies[held], _positive(row[held]), label=f"channel {channel}", **look)
    label_axes(axes, x_label, y_label)
    _log_axis(axes, "y", least_span=4)
    axes.set_title(_text(title), fontsize=_FONT + 1)
    if len(rows) > 1:
        axes.legend(fontsize=_FONT - 1, framealpha=0.8, edgecolor="none", handlelength=3.4)


def single_axes(height: float) -> Axes:
    """Axes of a new figure `height` inches high."""
    need("matplotlib")
    from matplotlib.figure import Figure

    return Figure(figsize=(1.2 * _WIDTH, height), layout="constrained").subplots()


def _panels(height: float, heights: Sequence[float] = (1,)) -> tuple[Figure, list[Axes]]:
    """A figure `height` inches high with panels of relative `heights` that share their horizontal axis."""
    need("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes in panels:
        tidy_axes(axes)
    return figure, list(panels)


def tidy_axes(axes: Axes) -> None:
    """The look of all curves' axes: open above and at the right, with a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_MUTED)
    axes.tick_params(labelsize=_FONT - 0.5, color=_MUTED, labelcolor=_INK)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Label both axes."""
    axes.set_xlabel(x, fontsize=_FONT)
    axes.set_ylabel(y, fontsize=_FONT)


def _legend(axes: Axes) -> None:
    """A legend of all curves: where it hides least, or above the panels if it is large."""
    handles, names = axes.get_legend_handles_labels()
    longest = max(len(name) for name in names)
    look: dict[str, Any] = {"fontsize": _FONT - 1, "framealpha": 0.8, "edgecolor": "none", "handlelength": 3.4}
    if len(names) <= 4 and longest <= _LONG_NAME:
        axes.legend(handles, names, **look)
        return
    columns = 2 if longest <= _LONG_NAME else 1
    figure = axes.figure.figure
    if figure is not None:
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + 0.2 * math.ceil(len(names) / columns))
        figure.legend(handles, names, loc="outside upper center", ncols=columns, **look)


def _text(name: str) -> str:
    """A name as it is: matplotlib reads dollar signs as mathematics and hides labels that begin with an underscore."""
    return ("\u200a" if name.startswith("_") else "") + name.replace("$", r"\$")


def _array(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=np.float64)


def _positive(values: Array) -> Array:
    """Values with a place on a logarithmic axis; NaN elsewhere."""
    return np.where(values > 0, values, np.nan)


def _by_band(values: ArrayLike, edges: ArrayLike, name: str) -> Array:
    """Power by band `(K,)`, the mean over any leading axis."""
    power, bands = _array(values), len(_array(edges)) - 1
    if power.shape[-1:] != (bands,):
        raise InputError(f"spectrum of {name!r} must have {bands} bands as the edges say, got shape {power.shape}")
    return power.reshape(-1, bands).mean(0)


def _plot_bands(axes: Axes, edges: ArrayLike, power: Array, look: Style, name: str, linewidth: float = 1.8) -> None:
    """A curve over bands given by their edges `(K + 1,)` or centres `(K,)`."""
    rho = _array(edges)
    rho = rho if len(rho) == len(power) else (rho[1:] + rho[:-1]) / 2
    held = np.isfinite(power)
    axes.plot(rho[held], _positive(power[held]), label=_text(name), linewidth=linewidth, markersize=4.5, **look.line)


def _log_axes(axes: Axes, least_span: float = 1.0) -> None:
    _log_axis(axes, "x")
    _log_axis(axes, "y", least_span)


def _log_axis(axes: Axes, which: Literal["x", "y"], least_span: float = 1.0) -> None:
    """A logarithmic axis around what is drawn, `least_span` times or wider, with few and plain tick labels."""
    low, high = (float(end) for end in (axes.dataLim.intervalx if which == "x" else axes.dataLim.intervaly))
    if not 0 < low <= high < math.inf:
        raise InputError("nothing to draw: no value is positive and finite")
    margin = max(1.12, math.sqrt(least_span * low / high), (high / low) ** 0.05)
    limits = (low / margin, high * margin)
    ticks = _log_ticks(*limits)
    axes.set(**{f"{which}scale": "log", f"{which}lim": limits})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(ticks, [_tick_label(tick) for tick in ticks])
    axis.set_ticks([], minor=True)


def _log_ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers in [low, high]."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        ticks = [m * 10.0**k for k in decades for m in mantissas if low <= m * 10.0**k <= high]
        if len(ticks) >= 3:
            return ticks[:: math.ceil(len(ticks) / 7)]
    need("matplotlib")
    from matplotlib.ticker import MaxNLocator

    return [float(t) for t in MaxNLocator(5).tick_values(low, high) if low <= t <= high]


def _tick_label(value: float) -> str:
    exponent = math.log10(value)
    if 1e-3 <= value < 1e4 or exponent != round(exponent):
        return f"{value:g}"
    return f"$10^{{{round(exponent)}}}$"
