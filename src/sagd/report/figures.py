"""Measured curves and images as matplotlib figures; nothing here computes a result.

Every function takes plain arrays (NumPy or CPU tensors) and returns a `matplotlib.figure.Figure` of its own, without
pyplot's global state, ready for `figure.savefig(path)`. `sagd.data.drawing` says how curves are told apart.

Spectra are drawn over `rho`, frequency as a fraction of the corner radius of the grid. A band that holds no frequency
has the value NaN and is skipped; a band of zero power has no place on a logarithmic axis and leaves a gap.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sagd.data.drawing import (
    COLOURS,
    FONT,
    INK,
    LONG_NAME,
    MUTED,
    Array,
    Style,
    add_legend,
    array,
    label_axes,
    log_axes,
    log_axis,
    plain,
    positive,
    style,
    tidy_axes,
)
from sagd.errors import InputError
from sagd.noise.grid import Grid, RingScale
from sagd.optional import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.0
"""Inches; the width of a phone at a readable font size."""
RHO_LABEL = r"frequency $\rho$ (1: corner of the grid)"


_FEW, _MANY = 40, 4000
"""Points beyond which a curve has no markers, and beyond which it is drawn as pixels, which keeps the file small."""

RHO = RingScale()
"""Radii in fractions of the corner."""

_DATA, _FLOOR = Style(INK, (), ""), Style(INK, (4.0, 2.0), "")


def frequency_label(scale: RingScale) -> str:
    """What an axis of radii shows."""
    return plain(scale.label) if scale.unit else RHO_LABEL


@dataclass(frozen=True)
class AxisScale:
    """In what unit frequencies along one axis are told.

    Attributes:
        factor: One cycle per sample in the unit.
        unit: The unit.
    """

    factor: float = 1.0
    unit: str = "cycles/pixel"

    def values(self, frequencies: Array) -> Array:
        """Frequencies in cycles per sample, in the unit."""
        return self.factor * frequencies

    @classmethod
    def of(cls, grid: Grid | None, axis: int, sample: str = "sample") -> AxisScale:
        """The scale along one axis of a grid; cycles per `sample` where its steps are not known.

        >>> AxisScale.of(Grid.parse(["20 s", "0.5 mm"]), 1)
        AxisScale(factor=2.0, unit='cycles/mm')
        """
        ring = RingScale.of(None if grid is None else Grid((grid.steps[axis],)))
        # The corner of a single axis is half a cycle per sample.
        return cls(2 * ring.corner, ring.unit) if ring.unit else cls(1.0, f"cycles/{sample}")


PIXELS = (AxisScale(), AxisScale())
"""Rows and columns of pixels that are no distance apart."""


def pixel_scales(grid: Grid | None) -> tuple[AxisScale, AxisScale]:
    """The scales of rows and columns of an image."""
    return AxisScale.of(grid, 0, "pixel"), AxisScale.of(grid, 1, "pixel")


def noise_spectra_figure(
    edges: ArrayLike, profiles: Mapping[str, ArrayLike], looks: Mapping[str, Style], scale: RingScale = RHO
) -> Figure:
    """Power spectra `w^2` of noise by radial band, or at every frequency.

    Args:
        edges: Band edges as fractions of the corner radius, `(K + 1,)`; or frequencies, `(K,)`.
        profiles: Name -> power by band, `(K,)`.
        looks: Name -> style.
        scale: In what unit frequencies are told.

    Raises:
        InputError: If a profile does not have one value per band, or none is positive.
    """
    figure, (axes,) = _panels(2.9)
    rho = scale.corner * array(edges)
    for name, values in profiles.items():
        plot_bands(axes, rho, _by_band(values, edges, name), looks[name], name)
    label_axes(axes, frequency_label(scale), "noise power $w^2$")
    log_axes(axes, least_span=4)
    add_legend(axes)
    return figure


@dataclass(frozen=True)
class FineSpectra:
    """Power at every frequency, so that narrow lines stay.

    Attributes:
        rho: Frequencies as fractions of the corner, `(K,)`.
        data: Power of the data by channel, `(C, K)`.
        samples: Name -> power of its samples, `(C, K)`.
    """

    rho: ArrayLike
    data: ArrayLike
    samples: Mapping[str, ArrayLike]


def spectra_figure(
    edges: ArrayLike,
    data: ArrayLike,
    samples: Mapping[str, ArrayLike],
    looks: Mapping[str, Style],
    floor: ArrayLike | None = None,
    scale: RingScale = RHO,
    fine: FineSpectra | None = None,
) -> Figure:
    """Power spectra of data and samples by radial band, channels averaged, and below them samples over data.

    Args:
        edges: Band edges as fractions of the corner radius, `(K + 1,)`.
        data: Power of the data by channel and band, `(C, K)`.
        samples: Name -> power of its samples, `(C, K)`.
        looks: Name -> style.
        floor: Power of real data over that of other real data, `(K,)`: what chance alone makes of the ratio.
        scale: In what unit frequencies are told.
        fine: The spectra at every frequency, which are then drawn above in place of those by band.

    Raises:
        InputError: If a profile does not have one value per band, or the data has no power.
    """
    figure, (above, below) = _panels(4.6, heights=(3, 2))
    truth, rho = _by_band(data, edges, "data"), scale.corner * array(edges)
    below.axhline(1, color=INK, linewidth=1.5)
    if floor is not None:
        plot_bands(below, rho, _by_band(floor, edges, "floor"), _FLOOR, "real / real", linewidth=1.3)
        below.legend(*below.get_legend_handles_labels(), fontsize=FONT - 1, framealpha=0.8, edgecolor="none")
    for name, values in samples.items():
        power = _by_band(values, edges, name)
        ratio = np.divide(power, truth, out=np.full_like(truth, np.nan), where=truth > 0)
        plot_bands(below, rho, ratio, looks[name], name)
    shown = FineSpectra(edges, data, samples) if fine is None else fine
    places = scale.corner * array(shown.rho)
    plot_bands(above, places, _by_band(shown.data, shown.rho, "data"), _DATA, "real data", linewidth=3)
    for name, values in shown.samples.items():
        plot_bands(above, places, _by_band(values, shown.rho, name), looks[name], name)
    label_axes(above, "", "power $S$")
    label_axes(below, frequency_label(scale), "samples / data")
    log_axes(above)
    log_axes(below, least_span=1.5)
    above.tick_params(labelbottom=False)
    add_legend(above)
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
        x, y = array(steps), positive(array(loss))
        every = max(1, len(x) // 8)
        axes.plot(x, y, label=plain(name), linewidth=1.5, markersize=4.5, markevery=every, **looks[name].line)
    label_axes(axes, "optimiser step", "training loss")
    log_axis(axes, "y", least_span=2)
    add_legend(axes)
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
        axes.axvline(floor, color=INK, linestyle=(0, _FLOOR.dash), linewidth=1.3)
    short = [name if len(name) <= LONG_NAME else f"{name[: LONG_NAME - 1]}…" for name in estimates]
    axes.set_yticks(range(len(estimates)), [plain(name) for name in short])
    axes.set_ylim(len(estimates) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.locator_params(axis="x", nbins=5)
    axes.margins(x=0.06)
    label_axes(axes, label, "")
    return figure


def band_figure(
    rho: ArrayLike,
    power: ArrayLike,
    smooth: ArrayLike,
    band: ArrayLike,
    excess2d: ArrayLike | None,
    width: int = 0,
    scale: RingScale = RHO,
    pixel: tuple[AxisScale, AxisScale] = PIXELS,
) -> Figure:
    """What sticks out of a spectrum: every frequency against the smooth fit, those of the band marked; and the map.

    Args:
        rho: Frequencies as fractions of the corner radius, `(n,)`.
        power: Measured power, `(n,)`.
        smooth: Its smooth fit, `(n,)`.
        band: Band at each frequency, in [0, 1], `(n,)`.
        excess2d: Of images, the excess in dB as half spectrum `(H, W // 2 + 1)`; else None.
        width: Width `W` of the images.
        scale: In what unit radii are told.
        pixel: In what units frequencies along rows and columns are.
    """
    need("matplotlib")
    from matplotlib.figure import Figure

    x, y, fit, b = scale.corner * array(rho), array(power), array(smooth), array(band) > 0
    figure = Figure(figsize=(2 * WIDTH if excess2d is not None else 1.3 * WIDTH, 3.6), layout="constrained")
    panels = figure.subplots(
        1, 1 + (excess2d is not None), squeeze=False, width_ratios=(1.2, 1)[: 1 + (excess2d is not None)]
    )[0]
    axes, order = panels[0], np.argsort(x)
    tidy_axes(axes)
    axes.plot(x[~b], y[~b], ".", color=COLOURS[0], markersize=3, label="measured", rasterized=True)
    if b.any():
        axes.plot(x[b], y[b], ".", color=COLOURS[1], markersize=4, label="damaged band", rasterized=True)
    axes.plot(x[order], fit[order], ".", color=INK, markersize=1.5, label="smooth fit", rasterized=True)
    axes.set_title("Power of each frequency", fontsize=FONT + 1)
    label_axes(axes, frequency_label(scale), "power $S$")
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=FONT - 1, markerscale=2)
    if excess2d is not None:
        _draw_excess(panels[1], array(excess2d), np.reshape(b, np.shape(excess2d)), width, pixel)
    return figure


def restoration_figure(
    edges: ArrayLike,
    spectra: Mapping[str, ArrayLike],
    errors: Mapping[str, ArrayLike],
    share: ArrayLike,
    looks: Mapping[str, Style],
    scale: RingScale = RHO,
) -> Figure:
    """Power by radial band before and after, the replaced band shaded; below, errors by band if there are any.

    Args:
        edges: Band edges as fractions of the corner radius, `(K + 1,)`.
        spectra: Name -> power by band, `(K,)`.
        errors: Name -> mean squared error by band, `(K,)`; may be empty.
        share: Share of the frequencies of each radial band that were replaced, `(K,)`.
        looks: Name -> style.
        scale: In what unit frequencies are told.

    Raises:
        InputError: If a profile does not have one value per band, or none is positive.
    """
    figure, panels = _panels(4.6 if errors else 2.9, heights=(3, 2) if errors else (1,))
    rho = scale.corner * array(edges)
    for axes, curves, label in zip(panels, (spectra, errors), ("power $S$", "error"), strict=False):
        for name, values in curves.items():
            plot_bands(axes, rho, _by_band(values, edges, name), looks[name], name)
        for low, high, part in zip(rho[:-1], rho[1:], array(share), strict=True):
            if part > 0:
                axes.axvspan(low, high, color=MUTED, alpha=0.35 * part, linewidth=0)
        label_axes(axes, frequency_label(scale) if axes is panels[-1] else "", label)
        log_axis(axes, "y", least_span=4)
        axes.set_xlim(0, scale.corner)
    if errors:
        panels[0].tick_params(labelbottom=False)
    add_legend(panels[0])
    return figure


def mask_figure(b: ArrayLike, width: int, pixel: tuple[AxisScale, AxisScale] = PIXELS) -> Figure:
    """A band among all frequencies of images: white 0, dark 1, DC in the middle.

    Args:
        b: Band as half spectrum of the real FFT, `(H, W // 2 + 1)`, in [0, 1].
        width: `W`.
        pixel: In what units frequencies along rows and columns are.
    """
    figure, (axes,) = _panels(0.8 * WIDTH)
    image, extent = centred(array(b), width)
    axes.grid(visible=False)
    axes.imshow(image, extent=extent, cmap="Blues", vmin=0, vmax=1.2, interpolation="nearest")
    _tell_directions(axes, pixel)
    return figure


def _tell_directions(axes: Axes, pixel: tuple[AxisScale, AxisScale]) -> None:
    """Ticks and labels of a map of frequencies, which is drawn in cycles per pixel."""
    for axis, scale in zip((axes.yaxis, axes.xaxis), pixel, strict=True):
        quarter = "¼" if scale == AxisScale() else f"{scale.factor / 4:.3g}"
        axis.set_ticks([-0.25, 0, 0.25], [f"\N{MINUS SIGN}{quarter}", "0", quarter])
    axes.tick_params(labelsize=FONT - 0.5)
    label_axes(axes, f"horizontal ({plain(pixel[1].unit)})", f"vertical ({plain(pixel[0].unit)})")


def _draw_excess(axes: Axes, half: Array, band: Array, width: int, pixel: tuple[AxisScale, AxisScale]) -> None:
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
    axes.hlines(ys[rows], xs[across], xs[across + 1], color=INK, linewidth=0.9)
    down, sides = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    axes.vlines(xs[sides], ys[down], ys[down + 1], color=INK, linewidth=0.9)
    axes.set_title("Excess over the fit, by direction", fontsize=FONT + 1)
    _tell_directions(axes, pixel)
    bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.85)
    bar.set_label("dB", fontsize=FONT)


def to_svg(figure: Figure) -> bytes:
    """The figure as a standalone SVG document on a transparent ground; equal figures give equal bytes."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "sagd", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def draw_power_image(
    axes: Axes, half: Array, width: int, title: str, symbol: str, pixel: tuple[AxisScale, AxisScale] = PIXELS
) -> None:
    """Draw a stored half spectrum as log10 of the power: all frequencies, DC in the middle, channels averaged.

    Args:
        axes: Where to draw.
        half: Power as half spectrum of the real FFT, `(C, H, W // 2 + 1)`; what is not positive is left white.
        width: `W`.
        title: Title of the axes.
        symbol: The power's symbol, for the colour bar.
        pixel: In what units frequencies along rows and columns are.

    Raises:
        InputError: If the half spectrum is not that of fields of this width.
    """
    if half.ndim != 3 or half.shape[2] != width // 2 + 1:
        raise InputError(f"spectrum2d must be (C, H, {width // 2 + 1}) for images {width} wide, got shape {half.shape}")
    whole, extent = centred(half.mean(0), width)
    power = np.log10(positive(whole))
    image = axes.imshow(power, cmap="cividis", extent=extent, interpolation="nearest", **_colour_range(power))
    axes.set_facecolor("white")
    axes.set_title(plain(title), fontsize=FONT + 1)
    _tell_directions(axes, pixel)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.85)
    empty = " (white: none)" if np.isnan(power).any() else ""
    bar.set_label(rf"$\log_{{10}} {symbol}$" + empty, fontsize=FONT)
    bar.ax.tick_params(labelsize=FONT - 0.5)


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
    frequencies, rows = array(x), array(power)
    for channel, row in enumerate(rows):
        held = np.isfinite(row)
        look: dict[str, Any] = {"linewidth": 1.8, "markersize": 4.5 if held.sum() <= 20 else 2.5} | style(channel).line
        axes.plot(frequencies[held], positive(row[held]), label=f"channel {channel}", **look)
    label_axes(axes, x_label, y_label)
    log_axis(axes, "y", least_span=4)
    axes.set_title(plain(title), fontsize=FONT + 1)
    if len(rows) > 1:
        axes.legend(fontsize=FONT - 1, framealpha=0.8, edgecolor="none", handlelength=3.4)


def single_axes(height: float) -> Axes:
    """Axes of a new figure `height` inches high."""
    need("matplotlib")
    from matplotlib.figure import Figure

    return Figure(figsize=(1.2 * WIDTH, height), layout="constrained").subplots()


def _panels(height: float, heights: Sequence[float] = (1,)) -> tuple[Figure, list[Axes]]:
    """A figure `height` inches high with panels of relative `heights` that share their horizontal axis."""
    need("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes in panels:
        tidy_axes(axes)
    return figure, list(panels)


def _by_band(values: ArrayLike, edges: ArrayLike, name: str) -> Array:
    """Power by band, or at frequencies, `(K,)`: the mean over any leading axis."""
    power, ends = array(values), len(array(edges))
    if power.shape[-1:] not in ((ends - 1,), (ends,)):
        raise InputError(f"spectrum of {name!r} must have {ends - 1} bands as the edges say, got shape {power.shape}")
    return power.reshape(-1, power.shape[-1]).mean(0)


def plot_bands(axes: Axes, edges: ArrayLike, power: Array, look: Style, name: str, linewidth: float = 1.8) -> None:
    """A curve over bands given by their edges `(K + 1,)` or centres `(K,)`; a thin line where there are many."""
    rho = array(edges)
    rho = rho if len(rho) == len(power) else (rho[1:] + rho[:-1]) / 2
    held = np.isfinite(power)
    full: dict[str, Any] = {"linewidth": linewidth, "markersize": 4.5} | look.line
    if (count := held.sum()) > _FEW:
        full |= {"linewidth": linewidth / 2, "marker": "", "linestyle": "-", "rasterized": bool(count > _MANY)}
    axes.plot(rho[held], positive(power[held]), label=plain(name), **full)
