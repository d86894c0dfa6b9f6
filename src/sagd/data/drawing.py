"""How pictures and figures look, on paper and on pages: colours, fonts, axes.

Curves differ in colour, dash and marker; the colours are those of "Color Universal Design" (Okabe & Ito, 2008), which
people with colour vision deficiency can tell apart. Lines and letters are dark, with nothing behind them, so that a
dark page can turn their lightness around.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sagd.errors import InputError
from sagd.optional import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
DASHES: tuple[tuple[float, ...], ...] = ((), (5.0, 1.8), (1.2, 1.5), (7.0, 1.8, 1.2, 1.8))
MARKERS = "osD^vP"
INK, MUTED, GRID = "#1a1a1a", "#6b6b6b", "#dddddd"
NO_VALUE = "#b3b3b3"
"""Grey, of places that hold no value."""
FONT = 10.0
"""Points."""
LONG_NAME = 16
"""Characters beyond which a name crowds a figure."""


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


def style(index: int) -> Style:
    """Style of curve number `index`; twelve in a row are all different."""
    turn, place = divmod(index, len(COLOURS))
    return Style(COLOURS[place], DASHES[(index + turn) % len(DASHES)], MARKERS[place])


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each name, in order."""
    return {name: style(i) for i, name in enumerate(names)}


def tidy_axes(axes: Axes) -> None:
    """The look of all curves' axes: open above and at the right, with a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(labelsize=FONT - 0.5, color=MUTED, labelcolor=INK)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Label both axes."""
    axes.set_xlabel(x, fontsize=FONT)
    axes.set_ylabel(y, fontsize=FONT)


def add_legend(axes: Axes) -> None:
    """A legend of all curves: where it hides least, or above the panels if it is large."""
    handles, names = axes.get_legend_handles_labels()
    longest = max(len(name) for name in names)
    look: dict[str, Any] = {"fontsize": FONT - 1, "framealpha": 0.8, "edgecolor": "none", "handlelength": 3.4}
    if len(names) <= 4 and longest <= LONG_NAME:
        axes.legend(handles, names, **look)
        return
    columns = 2 if longest <= LONG_NAME else 1
    figure = axes.figure.figure
    if figure is not None:
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + 0.2 * math.ceil(len(names) / columns))
        figure.legend(handles, names, loc="outside upper center", ncols=columns, **look)


def plain(name: str) -> str:
    """A name as it is: matplotlib reads dollar signs as mathematics and hides labels that begin with an underscore."""
    return ("\u200a" if name.startswith("_") else "") + name.replace("$", r"\$")


def positive(values: Array) -> Array:
    """Values with a place on a logarithmic axis; NaN elsewhere."""
    return np.where(values > 0, values, np.nan)


def log_axes(axes: Axes, least_span: float = 1.0) -> None:
    """Both axes logarithmic, as `log_axis` does; `least_span` is for the vertical one."""
    log_axis(axes, "x")
    log_axis(axes, "y", least_span)


def log_axis(axes: Axes, which: Literal["x", "y"], least_span: float = 1.0) -> None:
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


def array(values: ArrayLike) -> Array:
    """Anything like an array as float64."""
    return np.asarray(values, dtype=np.float64)


@dataclass(frozen=True)
class Scale:
    """Which colours values have.

    Attributes:
        low: Value of the first colour; lower ones have it too.
        high: Value of the last.
        colours: Name of the colour map.
        extend: "neither", "min", "max" or "both": on which sides values lie beyond.
    """

    low: float
    high: float
    colours: str
    extend: str = "neither"

    def over(self, values: Array) -> Scale:
        """The same, saying on which sides the values of a picture lie beyond."""
        held = values[np.isfinite(values)]
        beyond = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
        below, above = bool((held < self.low).any()), bool((held > self.high).any())
        return replace(self, extend=beyond[below, above])

    @property
    def look(self) -> dict[str, Any]:
        """Keyword arguments of `Axes.imshow`."""
        return {"cmap": colour_map(self.colours), "vmin": self.low, "vmax": self.high}

    def bytes(self, values: Array) -> NDArray[np.uint8]:
        """The colours `(H, W, 3)` of values `(H, W)`; grey where they are no numbers."""
        place = np.clip((values - self.low) / (self.high - self.low), 0, 1)
        return colour_map(self.colours)(np.ma.masked_invalid(place), bytes=True)[..., :3].copy()


def scale_of(values: Array, limits: tuple[float, float] | None = None) -> Scale:
    """The colour scale of values: diverging with 0 in the middle where both signs matter, else from least to greatest.

    Both signs matter where the smaller side reaches an eighth of the larger. Without limits, up to two in a thousand
    values at either end lie beyond the scale, but only if they are far from the others and would make them all alike.

    >>> scale_of(np.array([-1.0, 0.0, 4.0]))
    Scale(low=-4.0, high=4.0, colours='RdBu_r', extend='neither')
    >>> scale_of(np.array([2.0, 3.0]), limits=(0, 1))
    Scale(low=0.0, high=1.0, colours='viridis', extend='max')
    """
    if limits is not None and not -math.inf < limits[0] < limits[1] < math.inf:
        raise InputError(f"limits must be two finite numbers, the lower one first, got {limits}")
    held = values[np.isfinite(values)]
    if not held.size:
        low, high = limits or (0.0, 1.0)
        return Scale(float(low), float(high), "viridis")
    low, high = _ends(held) if limits is None else (float(limits[0]), float(limits[1]))
    signed = low < 0 < high and min(-low, high) >= max(-low, high) / 8
    if limits is None:
        low, high = (-max(-low, high), max(-low, high)) if signed else widened(low, high)
    return Scale(low, high, "RdBu_r" if signed else "viridis").over(held)


def balanced(values: Array) -> Scale:
    """The colour scale of noise and differences: 0 in the middle, whatever the signs of the values.

    >>> balanced(np.array([1.0, 4.0]))
    Scale(low=-4.0, high=4.0, colours='RdBu_r', extend='neither')
    """
    return scale_of(np.concatenate([values.ravel(), -values.ravel()]))


def _ends(values: Array) -> tuple[float, float]:
    least, greatest = float(values.min()), float(values.max())
    low, high = (float(end) for end in np.quantile(values, (0.002, 0.998)))
    far = 0.25 * (high - low)
    low, high = (least if least >= low - far else low), (greatest if greatest <= high + far else high)
    return (low, high) if high > low else (least, greatest)


def widened(low: float, high: float) -> tuple[float, float]:
    """An interval around values that are all alike."""
    least = 1e-6 * max(abs(low), abs(high))
    if high - low > least:
        return low, high
    reach = 0.5 * max(abs(low), abs(high)) or 1.0
    return low - reach, high + reach


def colour_map(name: str) -> Any:
    """A colour map of matplotlib, in which what is no number is grey."""
    need("matplotlib")
    from matplotlib import colormaps

    return colormaps[name].with_extremes(bad=NO_VALUE)
