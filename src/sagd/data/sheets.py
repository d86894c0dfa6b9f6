"""Sheets that previews are drawn on: curves in cells, images in blocks, all with one look; and the axis of time.

Places are in inches from the upper left corner, so that nothing depends on what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sagd.data.drawing import FONT, INK, MUTED, Array, Scale, colour_map
from sagd.errors import InputError
from sagd.optional import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

DPI = 120
WIDTH = 1200
"""Pixels across a picture: letters stay readable on a page, which is about as wide."""
MOST_PIXELS = 4_000_000
INCHES = WIDTH / DPI
TALLEST = 13.0
"""Inches that several items together may take; one item alone may take more."""
_PLAIN = (1e-4, 1e6)
"""Largest values that are numbered as they are."""
_MARGIN, _EDGE = 0.6, 10
"""Inches around all for letters that need more room than there is; what is left of them is cut but for some pixels."""
_COMFORTABLE = 8.0
"""Inches up to which items stand in fewer columns and are larger."""


class Page:
    """A figure whose parts have places in inches from the upper left corner.

    Attributes:
        left: Where the heading begins.
        tiles: What is to be laid on the figure, in pixels of its own: place, size, and bytes `(H, W, 3)`.
    """

    left: float

    def __init__(self, width: float, height: float) -> None:
        need("matplotlib")
        from matplotlib.figure import Figure

        self.width, self.height = width + 2 * _MARGIN, height + 2 * _MARGIN
        self.dpi = min(DPI, math.sqrt(MOST_PIXELS / (self.width * self.height)))
        self.figure = Figure(figsize=(self.width, self.height), dpi=self.dpi)
        self.tiles: list[tuple[tuple[int, int], tuple[int, int], np.ndarray]] = []

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """New axes; `x`, `y` are the place of their upper left corner."""
        left, foot = (x + _MARGIN) / self.width, 1 - (y + _MARGIN + height) / self.height
        return self.figure.add_axes((left, foot, width / self.width, height / self.height))

    def write(self, x: float, y: float, text: str, **look: Any) -> None:
        """Text at a place."""
        full: dict[str, Any] = {"fontsize": FONT, "color": INK} | look
        self.figure.text((x + _MARGIN) / self.width, 1 - (y + _MARGIN) / self.height, text, **full)

    def lay(self, x: float, y: float, size: tuple[float, float], tile: np.ndarray) -> None:
        """Bytes `(H, W, 3)` at a place."""
        place = round((x + _MARGIN) * self.dpi), round((y + _MARGIN) * self.dpi)
        self.tiles.append((place, self.pixels_of(size), tile))

    def pixels_of(self, size: tuple[float, float]) -> tuple[int, int]:
        """Width and height in pixels."""
        return max(1, round(size[0] * self.dpi)), max(1, round(size[1] * self.dpi))

    def head(self, *parts: str) -> None:
        """The line above all."""
        self.write(self.left, 0.05, " · ".join(part for part in parts if part), va="top")

    def colour_bar(self, scale: Scale, place: tuple[float, float, float, float], label: str) -> None:
        """A colour bar at a place, with ticks for its height."""
        need("matplotlib")
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        axes = self.axes(*place)
        colours = ScalarMappable(Normalize(scale.low, scale.high), colour_map(scale.colours))
        bar = self.figure.colorbar(colours, cax=axes, extend=scale.extend)
        bar.set_label(label, fontsize=FONT)
        axes.tick_params(labelsize=FONT - 0.5, color=MUTED)
        axes.locator_params(axis="y", nbins=max(2, min(6, int(place[3] / 0.3))))
        bar.outline.set_visible(False)

    def drawn(self) -> Image.Image:
        """The figure as an image, its tiles enlarged by repetition, cut to what there is on it."""
        need("PIL", "matplotlib")
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image, ImageChops

        self.figure.align_ylabels()
        canvas = FigureCanvasAgg(self.figure)
        canvas.draw()
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
        boxes = [ImageChops.invert(image).getbbox() or (0, 0, 1, 1)]
        for (x, y), (width, height), tile in self.tiles:
            image.paste(Image.fromarray(tile).resize((width, height), Image.Resampling.NEAREST), (x, y))
            boxes.append((x, y, x + width, y + height))
        left, top, right, foot = (pick(box[k] for box in boxes) for k, pick in enumerate((min, min, max, max)))
        return image.crop((left - _EDGE, top - _EDGE, right + _EDGE, foot + _EDGE))


class Grid(Page):
    """Curves in cells of `each` inches in height, axes labelled at the margins alone."""

    top, foot = 0.45, 0.5
    between = (0.3, 0.3)

    def __init__(self, count: int, columns: int, each: float, left: float, right: float) -> None:
        self.count, self.columns, self.each, self.left, self.right = count, columns, each, left, right
        rows = -(-count // columns)
        super().__init__(INCHES, self.top + rows * each + (rows - 1) * self.between[0] + self.foot)
        self.cell = (INCHES - left - right - (columns - 1) * self.between[1]) / columns

    @property
    def pixels(self) -> int:
        """Pixels across a cell."""
        return round(self.cell * DPI)

    def panels(self, i: int, shares: Sequence[float], gap: float) -> list[Axes]:
        """The panels of cell number `i` from top to bottom, of relative heights."""
        row, column = divmod(i, self.columns)
        x = self.left + column * (self.cell + self.between[1])
        y = self.top + row * (self.each + self.between[0])
        free, made = self.each - gap * (len(shares) - 1), []
        for share in shares:
            made.append(self.axes(x, y, self.cell, share * free))
            y += share * free + gap
        return made

    def finish(self, i: int, panels: Sequence[Axes], time: str, labels: Sequence[str], caption: str = "") -> None:
        """Name or number a cell, and label those of its axes that are at the margins."""
        leftmost, lowest = i % self.columns == 0, i + self.columns >= self.count
        if caption:
            panels[0].set_title(caption, fontsize=FONT, loc="left", pad=3, color=INK)
        elif self.count > 1:
            panels[0].set_title(str(i + 1), fontsize=FONT - 1, loc="right", pad=2, color=MUTED)
        for axes, text in zip(panels, labels, strict=True):
            axes.tick_params(labelleft=leftmost, labelbottom=lowest and axes is panels[-1])
            if leftmost:
                axes.set_ylabel(text, fontsize=FONT - 0.5)
            else:
                axes.yaxis.offsetText.set_visible(False)
        if lowest:
            panels[-1].set_xlabel(time, fontsize=FONT)

    def bar(self, scale: Scale, label: str) -> None:
        """A colour bar at the right."""
        height = min(self.height - self.top - self.foot, 3.0)
        self.colour_bar(scale, (INCHES - self.right + 0.12, self.top, 0.13, height), label)


class Sheet(Page):
    """Images side by side in blocks one above the other: a block per channel, a place per item, some panels in each.

    Args:
        panels: Width and height of each panel of an item, in any unit.
        count: Number of items there are.
        blocks: Number of blocks.
        least: Least width of an item in inches.
        numbered: Where the number of an item stands: "above" or "left".
        captions: Names of the items, in the place of their numbers.
        headed: Whether something stands above each panel.
    """

    right, gap, inner, between = 1.0, 0.12, 0.05, 0.22
    letter, line = 0.075, 0.17

    def __init__(
        self,
        panels: Sequence[tuple[float, float]],
        count: int,
        blocks: int,
        least: float,
        numbered: str = "above",
        captions: Sequence[str] = (),
        headed: bool = False,
    ) -> None:
        self.numbered, self.captions, self.left, self.top = numbered, captions, 0.45, 0.45
        self.space = self.gap if numbered == "left" else self.between
        if numbered == "left":
            self.left += self.letter * max(map(len, captions), default=0)
        self.raised = self.line if captions and headed and numbered == "above" else 0.0
        self.space, self.top = self.space + self.raised, self.top + self.raised
        most = min(count, max(1, int((INCHES - self.left - self.right + self.gap) / (least + self.gap))))
        for self.columns in range(1, most + 1):
            self.panels = self._fitted(panels, blocks)
            self.item = sum(w + self.inner for w, _ in self.panels) - self.inner, max(h for _, h in self.panels)
            self.step = self.item[1] + self.space
            left_over = -count % self.columns
            if blocks * self.step * -(-count // self.columns) <= _COMFORTABLE and 2 * left_over <= self.columns:
                break
        self.rows = min(-(-count // self.columns), max(1, int(TALLEST / (blocks * self.step))))
        self.shown = min(count, self.rows * self.columns)
        width = self.left + self.columns * (self.item[0] + self.gap) + self.right
        super().__init__(width, self.top + blocks * (self.rows * self.step + 0.15))

    def _fitted(self, panels: Sequence[tuple[float, float]], blocks: int) -> list[tuple[float, float]]:
        """Width and height of the panels in inches, if items stand in so many columns."""
        free = (INCHES - self.left - self.right - (self.columns - 1) * self.gap) / self.columns
        free -= self.inner * (len(panels) - 1)
        tallest = min(TALLEST / 3, 1.2 * TALLEST / blocks)
        scale = min(free / sum(w for w, _ in panels), tallest / max(h for _, h in panels))
        # Very long and thin panels are stretched, or nothing could be seen.
        return [(max(scale * w, 0.15), max(scale * h, 0.15)) for w, h in panels]

    def block(
        self,
        items: Sequence[Sequence[np.ndarray]],
        scale: Scale | None,
        name: str,
        unit: str,
        heads: Sequence[str] = (),
    ) -> None:
        """Draw the next block.

        Args:
            items: Panels of each item: values `(H, W)`, or bytes `(H, W, 3)`.
            scale: Colours of values; None for bytes.
            name: Name of the block.
            unit: Label of the colour bar.
            heads: What stands above the panels of the first row.
        """
        height = self.rows * self.step - self.space
        for i, panels in enumerate(items):
            row, column = divmod(i, self.columns)
            x, y = self.left + column * (self.item[0] + self.gap), self.top + row * self.step
            if len(items) > 1 or self.captions:
                self._number(i, x, y, self.raised if row == 0 else 0.0)
            for k, (values, size) in enumerate(zip(panels, self.panels, strict=True)):
                if row == 0 and heads:
                    self.write(x + size[0] / 2, y - 0.04, heads[k], fontsize=FONT - 1, ha="center")
                self.lay(x, y, size, values if scale is None else scale.bytes(reduced(values, *self.pixels_of(size))))
                x += size[0] + self.inner
        if name:
            look = {"rotation": 90, "ha": "right", "va": "center"}
            self.write(self.left - 0.12 if self.numbered == "above" else 0.17, self.top + height / 2, name, **look)
        if scale is not None:
            x = self.left + self.columns * (self.item[0] + self.gap) + 0.02
            self.colour_bar(scale, (x, self.top, 0.13, min(height, 3.0)), unit)
        self.top += self.rows * self.step + 0.15

    def _number(self, i: int, x: float, y: float, raised: float) -> None:
        look: dict[str, Any] = {"fontsize": FONT - 1.5, "color": MUTED}
        text = str(i + 1)
        if self.captions:
            text, look = self.captions[i], {"fontsize": FONT - 0.5}
        if self.numbered == "above":
            self.write(x, y - 0.04 - raised, text, **look)
        else:
            self.write(x - 0.06, y + self.item[1] / 2, text, ha="right", va="center", **look)


def reduced(values: Array, width: int, height: int) -> Array:
    """An image `(H, W)` of at most so many pixels: means of what holds a number; NaN elsewhere."""
    held = np.isfinite(values)
    total, count = np.where(held, values, 0), held.astype(np.float64)
    for axis, (side, most) in enumerate(zip(values.shape, (height, width), strict=True)):
        if side > most:
            edges = np.arange(most) * side // most
            total, count = np.add.reduceat(total, edges, axis), np.add.reduceat(count, edges, axis)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


@dataclass(frozen=True)
class Clock:
    """Time and frequency along the last axis of records: in samples, or in units of time.

    Args:
        rate: Samples per unit of time; None where it is not known.
        time: The unit.
        count: Number of samples.
    """

    rate: float | None
    time: str
    count: int

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise InputError(f"rate must be positive, the number of samples per {self.time}; got {self.rate}")

    @property
    def _prefix(self) -> tuple[float, str]:
        """Seconds are counted in thousandths or millionths where a record is that short."""
        duration = self.count / self.rate if self.rate else 0
        if self.time != "s" or duration >= 0.2 or not duration:
            return 1.0, self.time
        return (1e3, "ms") if duration >= 2e-4 else (1e6, "µs")

    @property
    def step(self) -> float:
        """Distance of neighbours, in `unit`."""
        return 1.0 if self.rate is None else self._prefix[0] / self.rate

    @property
    def unit(self) -> str:
        """The unit of time."""
        return "" if self.rate is None else self._prefix[1]

    @property
    def ends(self) -> tuple[float, float]:
        """Start and end of a record."""
        return 0.0, self.count * self.step

    @property
    def label(self) -> str:
        """What the axis of time shows."""
        return "sample" if self.rate is None else f"time ({self.unit})"

    @property
    def _thousands(self) -> bool:
        return self.rate is not None and self.time == "s" and self.rate >= 4000

    @property
    def highest(self) -> float:
        """Half the rate, in the unit of `frequency_label`."""
        return 0.5 if self.rate is None else self.rate / (2000 if self._thousands else 2)

    @property
    def frequency_label(self) -> str:
        """What an axis of frequency shows."""
        if self.rate is None:
            return "cycles/sample"
        unit = ("kHz" if self._thousands else "Hz") if self.time == "s" else f"cycles/{self.time}"
        return f"frequency ({unit})"


def number_values(axes: Axes, low: float, high: float, most: int) -> None:
    """Number the values of a panel by `inner_ticks`; what would have a power of ten above the panel, where captions
    are, has its prefix at each number, as in "1 M"."""
    need("matplotlib")
    from matplotlib.ticker import EngFormatter

    axes.set_yticks(inner_ticks(low, high, most))
    if not _PLAIN[0] <= max(abs(low), abs(high)) < _PLAIN[1]:
        axes.yaxis.set_major_formatter(EngFormatter())


def inner_ticks(low: float, high: float, most: int) -> list[float]:
    """About `most` round numbers, at least two, none so near to an end that its label reaches into the next panel."""
    need("matplotlib")
    from matplotlib.ticker import MaxNLocator

    margin = 0.1 * (high - low)
    for count in range(most, most + 6):
        ticks = [float(tick) for tick in MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
        ticks = [tick for tick in ticks if low + margin <= tick <= high - margin]
        if len(ticks) > 1:
            break
    return ticks
