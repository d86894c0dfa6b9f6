"""Pictures of batches of signals of every kind: sound, series, fields, volumes, films.

Every function takes a tensor `(N, C, *spatial)` in the unit of the data, on any device, and returns a Pillow image of
`WIDTH` pixels or little else, of at most `MOST_PIXELS`. What does not fit is not drawn, and the heading says so. Places
without a value (NaN, infinity) are grey. `sagd.data.images` has the same for images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sagd.data.drawing import NO_VALUE, Array, Scale, balanced, plain, scale_of, style, tidy_axes, widened
from sagd.data.sheets import INCHES, TALLEST, Clock, Grid, Sheet, number_values, reduced
from sagd.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL import Image

DYNAMIC_RANGE = 80.0
"""Decibels from the loudest to the darkest of a spectrogram."""

_DECIBELS = Scale(-DYNAMIC_RANGE, 0.0, "magma")
_MOST_RECORDS, _MOST_TILES, _MOST_CLIPS, _MOST_FRAMES = 12, 16, 8, 10
_MOST_CHANNELS = 12
_BINS = 400
"""Pairs of least and greatest value in a line, and columns of a spectrogram: about one a pixel."""
_SIDE = 640
"""Pixels that a slice keeps along an axis; larger ones are averaged."""
_LETTER, _MOST_LETTERS = 0.078, 16
"""Inches of a letter beside an axis, and letters of a name there at most."""


@dataclass(frozen=True, eq=False)
class Look:
    """How the items of a picture are named and scaled.

    Attributes:
        captions: What each is called; by default its number.
        like: Values `(M, C, *spatial)` whose scales are used, so that pictures compare; by default those drawn.
        signed: Whether 0 lies in the middle of each scale, as befits noise and differences.
        by_value: Whether what is seen as brightness elsewhere has colours by value too.
        colours: Name of the colour map; by default as signs ask for it.
    """

    captions: Sequence[str] = ()
    like: Tensor | None = None
    signed: bool = False
    by_value: bool = False
    colours: str = ""

    @property
    def names(self) -> list[str]:
        """The captions as matplotlib is to write them."""
        return [plain(caption) for caption in self.captions]

    def caption(self, i: int) -> str:
        """What item number `i` is called; "" where its number is to do."""
        return self.names[i] if self.captions else ""

    def of(self, convert: Callable[[Tensor], Tensor]) -> Look:
        """With the values that set the scales converted, e.g. to the unit of the data."""
        return self if self.like is None else replace(self, like=convert(self.like))

    def head(self, shown: int, total: int, thing: str) -> str:
        """How many items there are, where they have no names."""
        return "" if self.captions else _count(shown, total, thing)

    def scale(self, channel: int, own: Sequence[Sequence[Array]], limits: tuple[float, float] | None = None) -> Scale:
        """Colours of a channel, of which `own` is drawn."""
        drawn = np.concatenate([panel.ravel() for item in own for panel in item])
        values = drawn if self.like is None else _numpy(self.like[:, channel]).ravel()
        scale = balanced(values) if self.signed else scale_of(values, limits)
        return replace(scale.over(drawn), colours=self.colours or scale.colours)

    def ends(self, own: Sequence[Array], channel: int | None = None) -> tuple[float, float]:
        """Ends of an axis of values, of one channel or of all."""
        records = own if self.like is None else [_numpy(record) for record in self.like]
        low, high = _limits([record if channel is None else record[channel : channel + 1] for record in records])
        reach = max(abs(low), abs(high))
        return (-reach, reach) if self.signed else (low, high)


USUAL = Look()


# Sound and series ------------------------------------------------------------------------------------------------


def waveforms(x: Tensor, rate: float | None = None, unit: str = "", look: Look = USUAL) -> Image.Image:
    """Records `(N, C, T)` as waveform above spectrogram, all on one scale; numbered as in the batch, from 1.

    Spectrograms show the power of all channels together (Hann windows), in decibels below the loudest of the picture.
    Of long records each column of the waveform spans least and greatest value, and each column of the spectrogram is
    the loudest of its times, so that clicks stay.

    Args:
        x: Records in the unit of the data; up to 12 are drawn.
        rate: Samples per second; None: axes count samples.
        unit: Unit of the values, e.g. "Pa".
        look: Names and scales.

    Raises:
        InputError: On another shape, no record, or a rate that is not positive.
    """
    records = _shown(x, 1, "records (N, C, T)", _MOST_RECORDS)
    clock = Clock(rate, "s", x.shape[-1])
    columns = min(3, len(records))
    grid = Grid(len(records), columns, 2.2 if len(records) > 2 else 3.6, left=0.8, right=0.85)
    grid.head(look.head(len(records), len(x), "record"), _overlaid(x.shape[1]))
    limits = look.ends(records)
    spectrograms = [spectrogram(record) for record in records]
    heard = spectrograms if look.like is None else [spectrogram(_numpy(record)) for record in look.like]
    loudest = max((float(s[np.isfinite(s)].max()) for s in heard if np.isfinite(s).any()), default=0.0)
    for i, (record, power) in enumerate(zip(records, spectrograms, strict=True)):
        panels = above, below = grid.panels(i, (0.42, 0.58), 0.06)
        draw_record(above, record, clock.ends, grid.pixels)
        above.set(ylim=limits, xlim=clock.ends)
        number_values(above, *limits, 4)
        _draw_spectrogram(below, power - loudest, clock)
        grid.finish(i, panels, clock.label, (_quantity("value", unit), clock.frequency_label), look.caption(i))
    grid.bar(_DECIBELS, "power (dB, 0: loudest)")
    return grid.drawn()


def series(
    x: Tensor,
    rate: float | None = None,
    unit: str | Sequence[str] = "",
    names: Sequence[str] = (),
    time: str = "s",
    look: Look = USUAL,
) -> Image.Image:
    """Series `(N, C, T)`: a panel per channel, with a scale of its own that all series of the picture share.

    Of long series each column of a line spans least and greatest value, so that peaks stay.

    Args:
        x: Series in the unit of the data; up to 12 of them are drawn, and up to 12 channels.
        rate: Samples per unit of time; None: the axis counts samples.
        unit: Unit of the values, of all channels or of each.
        names: Names of the channels; by default their numbers.
        time: Unit of time, e.g. "s", "h", "day".
        look: Names and scales.

    Raises:
        InputError: On another shape, no series, names or units that are not as many as channels, or a rate that is not
            positive.
    """
    total = _check(x, 1, "series (N, C, T)").shape[1]
    names, units = _facts(names, unit, total)
    shown = min(total, _MOST_CHANNELS)
    # A line for the name and one for the unit, as several channels stand close.
    labels = [_quantity(plain(_short(name)), unit, "\n") for name, unit in zip(names[:shown], units, strict=False)]
    longest = max(len(line) for label in labels for line in label.splitlines() or [""])
    each = max(0.62, 2.0 / shown, _LETTER * longest) * shown
    columns = min(len(x), 2)
    rows = max(1, int(TALLEST / (each + Grid.between[0])))
    records = _shown(x[:, :shown], 1, "series", min(_MOST_RECORDS, columns * rows))
    clock = Clock(rate, time, x.shape[-1])
    grid = Grid(len(records), columns, each, left=0.95, right=0.12)
    grid.head(look.head(len(records), len(x), "series"), _part(shown, total, "channel"))
    scales = [look.ends(records, c) for c in range(shown)]
    for i, record in enumerate(records):
        panels = grid.panels(i, (1 / shown,) * shown, 0.05)
        for c, axes in enumerate(panels):
            draw_record(axes, record[c : c + 1], clock.ends, grid.pixels, first=c)
            axes.set(ylim=scales[c], xlim=clock.ends)
            number_values(axes, *scales[c], 3 if shown > 2 else 5)
        grid.finish(i, panels, clock.label, labels, look.caption(i))
    return grid.drawn()


def draw_record(axes: Axes, record: Array, times: tuple[float, float], bins: int = _BINS, first: int = 0) -> None:
    """Draw one record `(C, T)` as lines, its channels in the colours from number `first` on.

    Args:
        axes: Where to draw.
        record: Values; those that are not finite leave a gap on grey.
        times: Time of the first sample, and of the end of the last.
        bins: Parts of a long record of which least and greatest value are kept; as many as pixels.
        first: Number of the first channel's colour.
    """
    tidy_axes(axes)
    start, end = times
    for c, values in enumerate(record):
        look: dict[str, Any] = {"color": style(first + c).colour}
        t, y = decimated(np.where(np.isfinite(values), values, np.nan), bins)
        axes.plot(start + (end - start) * t, y, linewidth=0.9, **look)
        if len(values) == len(y):  # a value between two gaps is no line
            held = np.pad(np.isfinite(y), 1)
            alone = held[1:-1] & ~held[:-2] & ~held[2:]
            axes.plot(start + (end - start) * t[alone], y[alone], ".", markersize=3, **look)
    gaps = np.asarray(~np.isfinite(record).all(0))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], gaps, [False]]).astype(int)))
    step = (end - start) / len(gaps)
    spans = [(start + step * a, step * (b - a)) for a, b in edges.reshape(-1, 2)]
    axes.broken_barh(spans, (0, 1), transform=axes.get_xaxis_transform(), color=NO_VALUE, linewidth=0)


def decimated(values: Array, bins: int) -> tuple[Array, Array]:
    """A record `(T,)` as a line of at most `2 * bins` points that keeps every peak.

    Returns:
        Places in [0, 1), as fractions of `T`, and values: those of the record where it is short, else least and
        greatest of each of `bins` parts. NaN where a part holds no number.
    """
    count = len(values)
    if count <= 2 * bins:
        return (np.arange(count) / max(count, 1)), values
    edges = np.arange(bins) * count // bins
    low, high = np.fmin.reduceat(values, edges), np.fmax.reduceat(values, edges)
    places = (edges[:, None] + np.diff(edges, append=count)[:, None] * np.array([0.25, 0.75])) / count
    return places.ravel(), np.stack([low, high], 1).ravel()


def spectrogram(record: Array) -> Array:
    """Power `(frequencies, times)` of a record `(C, T)` in decibels, channels added, times centred on their windows.

    Frequencies go from 0 to half a cycle per sample. A window is about as many samples long as makes time and frequency
    equally fine; it has unit energy, so that white noise of variance 1 lies at 0 dB. Times that touch a value that is
    not finite are NaN; silence is minus infinity.
    """
    total = record.shape[-1]
    width = min(2 ** round(math.log2(3 * math.sqrt(total))), max(total, 2))
    hop = max(1, width // 4)
    window = np.hanning(width + 2)[1:-1]
    window /= np.linalg.norm(window)
    # Zeros beyond the ends would begin with a jump, which holds all frequencies.
    padded = np.pad(record, ((0, 0), (width // 2, width - width // 2)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, width, axis=-1)[:, ::hop][:, : -(-total // hop)]
    pooled = -(-frames.shape[1] // _BINS)
    columns = []
    for start in range(0, frames.shape[1], pooled):
        part = frames[:, start : start + pooled]
        power = (np.abs(np.fft.rfft(np.where(np.isfinite(part), part, 0) * window)) ** 2).sum(0)
        power[~np.isfinite(part).all((0, 2))] = np.nan
        columns.append(np.fmax.reduce(power, axis=0))
    stacked = np.stack(columns, axis=1)
    decibels = np.full_like(stacked, -np.inf)
    np.log10(stacked, out=decibels, where=stacked > 0)
    return np.where(np.isnan(stacked), np.nan, 10 * decibels)


def _draw_spectrogram(axes: Axes, power: Array, clock: Clock) -> None:
    """Decibels below the loudest; silence has no number, and the darkest colour."""
    tidy_axes(axes)
    axes.grid(visible=False)
    axes.imshow(
        np.maximum(power, -2 * DYNAMIC_RANGE),
        **_DECIBELS.look,
        origin="lower",
        aspect="auto",
        extent=(*clock.ends, 0, clock.highest),
    )
    axes.locator_params(axis="y", nbins=4)


# Fields, volumes, films --------------------------------------------------------------------------------------------


def fields(
    x: Tensor,
    unit: str | Sequence[str] = "",
    names: Sequence[str] = (),
    steps: Sequence[float] | None = None,
    limits: tuple[float, float] | None = None,
    look: Look = USUAL,
) -> Image.Image:
    """Fields `(N, C, H, W)` in colours: a block of rows per channel, each with one scale and a colour bar.

    Args:
        x: Fields in the unit of the data; up to 16 are drawn, and up to 12 channels.
        unit: Unit of the values, of all channels or of each.
        names: Names of the channels; by default their numbers.
        steps: Distance of neighbours along the two axes, which gives the aspect; default: square pixels.
        limits: Values of the first and last colour; default: as `scale_of` finds for each channel.
        look: Names and scales.

    Raises:
        InputError: On another shape, no field, or facts that do not fit.
    """
    total = _check(x, 2, "fields (N, C, H, W)").shape[1]
    labels, units = _facts(names, unit, total)
    down, across = _steps(steps, 2)
    shown = min(total, _MOST_CHANNELS)
    items = [[[reduced(channel, _SIDE, _SIDE)] for channel in _numpy(item[:shown])] for item in x[:_MOST_TILES]]
    size = (x.shape[3] * across, x.shape[2] * down)
    sheet = Sheet([size], len(items), shown, least=1.3, captions=look.names)
    sheet.head(look.head(sheet.shown, len(x), "field"), _part(shown, total, "channel"))
    for c in range(shown):
        panels = [item[c] for item in items[: sheet.shown]]
        sheet.block(panels, look.scale(c, panels, limits), labels[c], units[c])
    return sheet.drawn()


def volumes(
    x: Tensor,
    unit: str | Sequence[str] = "",
    names: Sequence[str] = (),
    steps: Sequence[float] | None = None,
    length: str = "",
    limits: tuple[float, float] | None = None,
    look: Look = USUAL,
) -> Image.Image:
    """The three slices through the middle of volumes `(N, C, Z, Y, X)`, side by side and on one scale per channel.

    Args:
        x: Volumes in the unit of the data; up to 16 are drawn, and up to 12 channels.
        unit: Unit of the values, of all channels or of each.
        names: Names of the channels; by default their numbers.
        steps: Distance of neighbours along the three axes, which gives the aspect; default: cubes.
        length: Unit of the steps, e.g. "mm".
        limits: Values of the first and last colour; default: as `scale_of` finds for each channel.
        look: Names and scales.

    Raises:
        InputError: On another shape, no volume, or facts that do not fit.
    """
    total = _check(x, 3, "volumes (N, C, Z, Y, X)").shape[1]
    labels, units = _facts(names, unit, total)
    sizes = _steps(steps, 3)
    depth, height, width = (side * step for side, step in zip(x.shape[2:], sizes, strict=True))
    shown = min(total, _MOST_CHANNELS)
    items = [[mid_slices(channel) for channel in item[:shown]] for item in x[:_MOST_TILES]]
    sizes_of_panels = [(width, height), (width, depth), (height, depth)]
    sheet = Sheet(sizes_of_panels, len(items), shown, least=3.6, captions=look.names, headed=True)
    sheet.head(look.head(sheet.shown, len(x), "volume"), _part(shown, total, "channel"))
    places = [f"{side // 2 * step:.4g} {length}".strip() for side, step in zip(x.shape[2:], sizes, strict=True)]
    heads = [f"{axis} = {place}" for axis, place in zip("zyx", places, strict=True)]
    for c in range(shown):
        panels = [item[c] for item in items[: sheet.shown]]
        sheet.block(panels, look.scale(c, panels, limits), labels[c], units[c], heads)
    return sheet.drawn()


def mid_slices(volume: Tensor) -> list[Array]:
    """The slices through the middle of a volume `(Z, Y, X)`: `(Y, X)`, `(Z, X)` and `(Z, Y)`, large ones averaged."""
    return [reduced(_numpy(volume.select(axis, side // 2)), _SIDE, _SIDE) for axis, side in enumerate(volume.shape)]


def films(
    x: Tensor,
    limits: tuple[float, float] | None = None,
    unit: str | Sequence[str] = "",
    names: Sequence[str] = (),
    rate: float | None = None,
    look: Look = USUAL,
) -> Image.Image:
    """Film strips: clips `(N, C, T, H, W)`, a row each, of evenly spaced frames from the first to the last.

    Args:
        x: Clips in the unit of the data; up to 8 are drawn, and up to 10 frames of each.
        limits: Black and white: clips of 1 or 3 channels are drawn in grey or RGB. Default: colours by value with a
            colour bar, each channel on a scale of its own.
        unit: Unit of the values, for the colour bar: of all channels or of each.
        names: Names of the channels.
        rate: Frames per second; given, frames are named by their time, else by their number from 1.
        look: Names and scales.

    Raises:
        InputError: On another shape, no clip, or facts that do not fit.
    """
    total = _check(x, 3, "clips (N, C, T, H, W)").shape[1]
    labels, units = _facts(names, unit, total)
    clock = Clock(rate, "s", x.shape[2])
    frames = spread(x.shape[2], _MOST_FRAMES)
    chosen = x[:_MOST_CLIPS, :, frames].transpose(1, 2)
    whole = limits is not None and total in (1, 3)
    blocks = 1 if whole else min(total, _MOST_CHANNELS)
    size = (x.shape[4], x.shape[3])
    sheet = Sheet([size] * len(frames), len(chosen), blocks, INCHES, "left", look.names, headed=True)
    channels = "" if whole else _part(blocks, total, "channel")
    sheet.head(look.head(sheet.shown, len(x), "clip"), _part(len(frames), x.shape[2], "frame"), channels)
    heads = [str(k + 1) if rate is None else f"{k * clock.step:.3g} {clock.unit}" for k in frames]
    clips = [[_numpy(frame) for frame in clip] for clip in chosen[: sheet.shown]]
    if limits is not None and whole:
        sheet.block([[to_bytes(frame, limits) for frame in clip] for clip in clips], None, "", "", heads)
        return sheet.drawn()
    for c in range(blocks):
        panels = [[reduced(frame[c], _SIDE, _SIDE) for frame in clip] for clip in clips]
        sheet.block(panels, look.scale(c, panels, limits), labels[c], units[c], heads)
    return sheet.drawn()


def to_bytes(image: Array, limits: tuple[float, float]) -> np.ndarray:
    """An image `(1 or 3, H, W)` as bytes `(H, W, 3)`, from black at the first limit to white at the second.

    Places where a channel holds no number have the grey of no value.
    """
    low, high = limits
    held = np.asarray(np.isfinite(image).all(0))
    scaled = np.clip((np.where(held, image, low) - low) / (high - low), 0, 1)
    pixels = np.broadcast_to(np.rint(255 * scaled).astype(np.uint8), (3, *held.shape)).transpose(1, 2, 0)
    return np.where(held[..., None], pixels, np.uint8(int(NO_VALUE[1:3], 16)))


def spread(count: int, most: int) -> list[int]:
    """At most `most` of `count` numbers from the first to the last, at equal distances if half as many can be.

    >>> spread(9, 3), spread(16, 10), spread(6, 4), spread(2, 5), spread(5, 1)
    ([0, 4, 8], [0, 3, 6, 9, 12, 15], [0, 2, 3, 5], [0, 1], [0])
    """
    if count <= most or most < 2:
        return list(range(min(count, most)))
    even = (shown for shown in range(most, most // 2, -1) if shown > 2 and (count - 1) % (shown - 1) == 0)
    shown = next(even, most)
    return [round(i * (count - 1) / (shown - 1)) for i in range(shown)]


# Checks and words --------------------------------------------------------------------------------------------------


def _check(x: Tensor, rank: int, what: str) -> Tensor:
    if x.ndim != rank + 2 or 0 in x.shape or x.is_complex():
        kind = "complex values of " if x.is_complex() else ""
        raise InputError(f"need {what}, none of them 0, got {kind}shape {tuple(x.shape)}")
    return x.detach()


def _numpy(x: Tensor) -> Array:
    return x.detach().cpu().to(torch.float64).numpy()


def _shown(x: Tensor, rank: int, what: str, most: int) -> list[Array]:
    return [_numpy(item) for item in _check(x, rank, what)[:most]]


def _facts(names: Sequence[str], unit: str | Sequence[str], total: int) -> tuple[list[str], list[str]]:
    """A name and a unit for each channel; a single channel needs no name."""
    units = [unit] * total if isinstance(unit, str) else list(unit)
    if len(units) != total or len(names) not in (0, total):
        raise InputError(
            f"need a name and a unit for each of {total} channels, got {len(names)} names and {len(units)} units"
        )
    return list(names) or ([f"channel {c + 1}" for c in range(total)] if total > 1 else [""]), units


def _steps(steps: Sequence[float] | None, rank: int) -> tuple[float, ...]:
    sizes = (1.0,) * rank if steps is None else tuple(abs(float(step)) for step in steps)
    if len(sizes) != rank or not all(0 < size < math.inf for size in sizes):
        raise InputError(f"steps must be {rank} distances other than 0, got {steps}")
    return sizes


def _limits(records: Sequence[Array]) -> tuple[float, float]:
    """Ends of an axis for all records, with a margin."""
    held = [record[np.isfinite(record)] for record in records]
    ends = [(part.min(), part.max()) for part in held if part.size]
    if not ends:
        return -1.0, 1.0
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    low, high = widened(float(low), float(high))
    return low - 0.04 * (high - low), high + 0.04 * (high - low)


def _count(shown: int, total: int, thing: str) -> str:
    """How many things are drawn.

    >>> _count(12, 64, "record"), _count(1, 1, "series"), _count(3, 3, "field")
    ('the first 12 of 64 records', '1 series', '3 fields')
    """
    things = thing if thing == "series" or total == 1 else f"{thing}s"
    return f"{shown} {things}" if shown == total else f"the first {shown} of {total} {things}"


def _overlaid(channels: int) -> str:
    return "" if channels == 1 else f"{channels} channels in {channels} colours, their power added"


def _part(shown: int, total: int, thing: str) -> str:
    """The same of parts, nothing where all are there."""
    return "" if shown == total else f"{shown} of {total} {thing}s"


def _short(name: str) -> str:
    """A name that fits beside an axis.

    >>> _short("temperature"), _short("temperature of the oil")
    ('temperature', 'temperature of …')
    """
    return name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"


def _quantity(name: str, unit: str, between: str = " ") -> str:
    return f"{name}{between}({plain(unit)})" if unit else name
