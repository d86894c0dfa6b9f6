"""Every process of the library on one image: a figure each, and a self-contained HTML page; draws, never computes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from sagd.build.catalogue import Entry
from sagd.build.schema import ProcessConfig
from sagd.build.text import to_dict
from sagd.data.drawing import COLOURS, MUTED, Array, Scale, label_axes, tidy_axes
from sagd.data.images import to_uint8
from sagd.data.previews import draw_record
from sagd.noise.grid import RingScale
from sagd.optional import need
from sagd.report.figures import centred
from sagd.report.pictures import Picture, noise_colours, png, reach
from sagd.report.subject import Subject, subject_of
from sagd.report.template import fill
from sagd.store.files import write_file
from sagd.study.gallery import BANDS, Exhibit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Colour = tuple[float, ...]

PARTS = {
    "Noise": "A draw of the noise. Smooth patches are low frequencies, fine grain is high ones. Where the noise depends"
    " on the class or changes in time, there are two.",
    "Spectrum of the noise": "Its power by frequency and direction. The middle stands for an even image, left and right"
    " of it for upright stripes, above and below for level ones, the finer the farther out. In decibels: white noise is"
    " at 0 everywhere. Frequencies without noise are white.",
    "SNR": "Signal to noise, the power of the data over that of the noise, in five bands from low frequencies (dark) to"
    " high ones (light). Above 0 dB a band can be seen, below it is drowned: the order in which the curves cross the"
    " dashed line is the order in which the process destroys, and a sampler, going back, creates in the reverse order.",
    "The image": "One image at six times, from nearly clean to nearly noise. Contrast is fitted to each.",
}
"""What the parts of a figure of images mean: heading -> explanation."""

DPI = 120
_WIDTH = 8.0
_FONT = 10.0
_LONG_CAPTION = 20
_MOST_DB = 60
_FLAT = 3.0
"""Decibels either side of 0 that a spectrum's axis spans at least: equal powers are not to show their rounding."""
_LINE, _BEYOND = 150, 1.3
"""Parts of a line in a panel, about one a pixel, and how far it reaches, when all but few values are in [-1, 1]."""
_LEAST_SPAN, _RHO = 1e-6, "\u03c1"


@dataclass(frozen=True)
class Piece:
    """One process of the page.

    Attributes:
        entry: Name, configuration, summary, source.
        arm: Its configuration as YAML.
        picture: Its figure.
    """

    entry: Entry
    arm: str
    picture: Picture


def parts_of(subject: Subject) -> dict[str, str]:
    """What the parts of a figure mean: heading -> explanation."""
    if subject.tiled:
        return PARTS
    item = subject.called[0]
    smooth, fine = subject.shapes["smooth"], subject.shapes["fine"]
    unit = subject.scale.unit or "fractions \u03c1 of the corner of the grid"
    shown = {1: "", 2: " Colours go from blue (below zero) over grey to red.", 3: " Shown is the middle slice."}
    of_many = " Of several channels, the first is shown." if subject.rank > 1 and subject.channels > 1 else ""
    parts = {
        "Noise": f"A draw of the noise. {smooth.capitalize()} are low frequencies, {fine} is high ones. Where the noise"
        f" depends on the class or changes in time, there are two.{shown[subject.rank]}{of_many}",
        "Spectrum of the noise": f"Its power by frequency, in {unit}. In decibels: white noise is at 0 everywhere."
        " Where the line is broken, there is no noise.",
        "SNR": PARTS["SNR"],
        f"The {item}": f"One {item} at six times, from nearly clean to nearly noise. Contrast is fitted to each.",
    }
    if subject.rank == 2:
        parts["Spectrum of the noise"] = PARTS["Spectrum of the noise"].replace("an even image", "an even field")
    return parts


def render_gallery(exhibits: Iterable[Exhibit], out: Path, title: str, subtitle: str) -> Path:
    """Draw `out/figures/NAME.png` of every exhibit and `out/gallery.html`, which needs no other file; returns its path.

    Args:
        exhibits: What to show.
        out: An existing directory.
        title: Heading of the page.
        subtitle: What data was drawn.

    Raises:
        CheckpointError: If a file cannot be written.
    """
    folder, page = out / "figures", out / "gallery.html"
    folder.mkdir(exist_ok=True)
    pieces, subject = [], subject_of({})
    for exhibit in exhibits:
        subject = Subject(exhibit.meaning, exhibit.images.shape[1])
        content = figure_png(gallery_figure(exhibit))
        write_file(folder / f"{exhibit.entry.name}.png", content)
        picture = png(content, alt_text(exhibit.entry, subject.called[0]))
        pieces.append(Piece(exhibit.entry, arm(exhibit.entry), picture))
    values = {
        "title": title,
        "subtitle": subtitle,
        "parts": parts_of(subject),
        "pieces": pieces,
        "items": subject.called[1],
        "shapes": subject.shapes,
    }
    write_file(page, fill("gallery.html", values).encode())
    return page


def arm(entry: Entry) -> str:
    """The configuration as YAML to be put under the `arms` of a comparison: what differs from white noise.

    >>> print(arm(Entry("coarse", ProcessConfig(spectrum="power_law(alpha=-0.5)"), "")), end="")
    coarse:
      spectrum: power_law(alpha=-0.5)
    """
    neutral = to_dict(ProcessConfig())
    changed = {key: value for key, value in to_dict(entry.process).items() if value != neutral[key]}
    return yaml.safe_dump({entry.name: changed}, sort_keys=False, allow_unicode=True, width=1000)


def alt_text(entry: Entry, item: str = "image") -> str:
    """What a figure shows, for those who cannot see it."""
    one = f"an {item}" if item[0] in "aeiou" else f"a {item}"
    return f"{entry.name}: its noise, the spectrum of the noise, SNR over time by band, and {one} at six times."


def gallery_figure(exhibit: Exhibit) -> Figure:
    """One process: noise, its spectrum, SNR over time by band, and the image at six times below.

    All places are fixed, so that figures of different processes can be laid on each other.
    """
    sheet, subject = _Sheet(len(exhibit.noise)), Subject(exhibit.meaning, exhibit.images.shape[1])
    sheet.write(0.1, sheet.height - 0.28, exhibit.entry.name, fontsize=_FONT + 2, fontweight="bold")
    _draw_noise(sheet, exhibit.noise, subject)
    if subject.rank == 2:
        _draw_power(sheet, exhibit.power, exhibit.images.shape[-1])
    else:
        _draw_power_curves(sheet, exhibit.power, subject.scale)
    _draw_snr(sheet, exhibit)
    _draw_images(sheet, exhibit.images, exhibit.times, subject)
    return sheet.figure


class _Sheet:
    """The places of a figure, in inches from the lower left corner; `rows` noises stand one above the other."""

    foot, image, side_by_side = 0.3, 1.18, 1.31
    top_foot = 1.98

    def __init__(self, rows: int) -> None:
        need("matplotlib")
        from matplotlib.figure import Figure

        self.rows, self.panel, self.gap = rows, (1.95 if rows == 1 else 1.4), 0.3
        self.top = self.top_foot + rows * self.panel + (rows - 1) * self.gap
        self.height = self.top + 0.62
        self.figure = Figure(figsize=(_WIDTH, self.height), dpi=DPI)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """New axes at a place."""
        return self.figure.add_axes((x / _WIDTH, y / self.height, width / _WIDTH, height / self.height))

    def write(self, x: float, y: float, text: str, **look: Any) -> None:
        """Text that begins at a place."""
        self.figure.text(x / _WIDTH, y / self.height, text, **({"fontsize": _FONT} | look))

    def column(self, x: float, title: str) -> list[Axes]:
        """The panels of one column from top to bottom, under a title, without ticks."""
        return [_frame(axes) for axes in self.panels(x, title)]

    def panels(self, x: float, title: str) -> list[Axes]:
        """The same with ticks."""
        self.write(x, self.top + 0.09, title)
        heights = [self.top - (row + 1) * self.panel - row * self.gap for row in range(self.rows)]
        return [self.axes(x, y, self.panel, self.panel) for y in heights]


def figure_png(figure: Figure) -> bytes:
    """The figure as a PNG file of 256 colours, a third of the size of one in full colour."""
    need("PIL")
    from PIL import Image

    buffer, content = io.BytesIO(), io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    with Image.open(buffer) as image:
        pixels = image.convert("RGB")
    # Colours of curves, colour bars and letters as they are, the rest for what the images hold.
    own = _own_colours()
    found = pixels.quantize(256 - len(own), method=Image.Quantize.FASTOCTREE).getpalette() or []
    palette = np.concatenate([own, np.asarray(found, dtype=np.uint8).reshape(-1, 3)])
    reduced = Image.fromarray(_nearest(np.asarray(pixels), palette))
    reduced.putpalette(palette.flatten().tolist())
    reduced.save(content, "PNG", optimize=True)
    return content.getvalue()


def _nearest(pixels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Numbers `(H, W)` of the colours nearest to pixels `(H, W, 3)`; Pillow's own search is not exact."""
    need("scipy")
    from scipy.spatial import KDTree

    # One number per colour, since most occur many times.
    number = pixels.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    _, first, place = np.unique(number, return_index=True, return_inverse=True)
    index = KDTree(palette).query(pixels.reshape(-1, 3)[first])[1].astype(np.uint8)
    return index[place].reshape(number.shape)


def _own_colours() -> NDArray[np.uint8]:
    """Colours of colour bars, greys, and the curves with the shades of their edges, `(n, 3)`."""
    need("matplotlib")
    from matplotlib import colormaps

    curves = np.array(_band_colours(BANDS))[:, :3]
    shades = [1 - share * (1 - curves) for share in (1.0, 0.66, 0.33)]
    scale, greys = colormaps["cividis"](np.linspace(0, 1, 64))[:, :3], np.linspace(0, 1, 17)[:, None].repeat(3, 1)
    return (255 * np.concatenate([scale, greys, *shades])).round().astype(np.uint8)


def _draw_noise(sheet: _Sheet, fields: dict[str, Tensor], subject: Subject) -> None:
    limit = max(reach(field) for field in fields.values())
    for axes, (caption, field) in zip(sheet.column(0.1, "Noise"), fields.items(), strict=True):
        _show(axes, field.float() / limit, subject, signed=True)
        axes.set_xlabel(_short(caption), fontsize=_FONT, labelpad=3)


def _draw_power(sheet: _Sheet, powers: dict[str, Tensor], width: int) -> None:
    """All spectra of a figure on one scale."""
    left = sheet.panel + 0.35
    drawn = {caption: centred(power.numpy(), width) for caption, power in powers.items()}
    decibels = {caption: _decibels(power) for caption, (power, _) in drawn.items()}
    held = np.concatenate([values[np.isfinite(values)] for values in decibels.values()])
    scale = {"vmin": min(held.min(), -_FLAT), "vmax": max(held.max(), _FLAT)}
    panels = sheet.column(left, "Spectrum of the noise (dB)")
    for axes, (caption, values) in zip(panels, decibels.items(), strict=True):
        image = axes.imshow(values, cmap="cividis", extent=drawn[caption][1], interpolation="nearest", **scale)
        axes.set_xlabel(_short(caption), fontsize=_FONT, labelpad=3)
        _note_flatness(axes, values)
    height = sheet.top - sheet.top_foot
    bar = sheet.figure.colorbar(
        image, cax=sheet.axes(left + sheet.panel + 0.08, sheet.top_foot + 0.1 * height, 0.1, 0.8 * height)
    )
    bar.ax.tick_params(labelsize=_FONT - 0.5)
    bar.ax.locator_params(nbins=6)


def _draw_power_curves(sheet: _Sheet, powers: dict[str, Tensor], scale: RingScale) -> None:
    """All spectra of a figure on one scale; gaps where there is no noise."""
    left = sheet.panel + 0.85
    decibels = {caption: _decibels(curve[1].numpy()) for caption, curve in powers.items()}
    held = np.concatenate([values[np.isfinite(values)] for values in decibels.values()])
    low, high = min(held.min(), -_FLAT), max(held.max(), _FLAT)
    panels = sheet.panels(left, f"Noise (dB) by {scale.unit or _RHO}")
    for axes, (caption, curve) in zip(panels, powers.items(), strict=True):
        tidy_axes(axes)
        axes.plot(scale.corner * curve[0].numpy(), decibels[caption], color=COLOURS[0], linewidth=1.5)
        axes.set(xlim=(0, scale.corner), ylim=(low - 0.05 * (high - low), high + 0.05 * (high - low)))
        axes.locator_params(nbins=4)
        axes.tick_params(labelbottom=axes is panels[-1])
        axes.set_xlabel(_short(caption), fontsize=_FONT, labelpad=1)


def _note_flatness(axes: Axes, decibels: Array) -> None:
    """Say that a spectrum of one colour is meant to be one."""
    if np.ptp(decibels[np.isfinite(decibels)]) < 0.5:
        where = "where not white" if np.isnan(decibels).any() else "at all frequencies"
        plate = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "boxstyle": "round,pad=0.2"}
        axes.text(0, 0, f"equal power\n{where}", ha="center", va="center", fontsize=_FONT, bbox=plate)


def _draw_snr(sheet: _Sheet, exhibit: Exhibit) -> None:
    left = 2 * sheet.panel + 1.45
    axes = sheet.axes(left, sheet.top_foot + 0.12, _WIDTH - left - 0.15, sheet.top - sheet.top_foot - 0.12)
    tidy_axes(axes)
    axes.axhline(0, color=MUTED, linewidth=1, linestyle=(0, (4, 2)))
    colours = _band_colours(len(exhibit.snr))
    for colour, band in zip(colours, exhibit.snr.numpy(), strict=True):
        _draw_band(axes, exhibit.curve_times.numpy(), band, colour)
    axes.set(xlim=(0, 1), ylim=(-_MOST_DB, _MOST_DB))
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks(range(-_MOST_DB, _MOST_DB + 1, 20))
    caption = next(iter(exhibit.noise))
    label_axes(axes, f"time t ({_short(caption)})" if caption.startswith("class") else "time t", "")
    axes.xaxis.labelpad = 1
    sheet.write(left, sheet.top + 0.09, "SNR (dB)")
    _draw_key(sheet, colours)


def _draw_band(axes: Axes, t: Array, snr: Array, colour: Colour) -> None:
    """One curve; nothing of a band that holds no frequency, or no data."""
    if np.isinf(snr).all():
        axes.plot(t, np.full_like(t, _MOST_DB), color=colour, linewidth=3, clip_on=False)
        axes.text(1, _MOST_DB - 3, "no noise", color=colour, ha="right", va="top", fontsize=_FONT)
    elif (snr > 0).any():
        axes.plot(t, np.clip(_decibels(snr), -2 * _MOST_DB, 2 * _MOST_DB), color=colour, linewidth=2)


def _draw_key(sheet: _Sheet, colours: Sequence[Colour]) -> None:
    """Colours of the bands, at the right above their curves."""
    y, right = sheet.top + 0.09, _WIDTH - 0.15
    key = sheet.axes(right - 0.85, y, 0.45, 0.1)
    key.imshow([colours], aspect="auto")
    key.set_axis_off()
    sheet.write(right - 0.93, y, "bands: low", ha="right")
    sheet.write(right, y, "high", ha="right")


def _draw_images(sheet: _Sheet, images: Tensor, times: Tensor, subject: Subject) -> None:
    least = 1.0 if subject.seen else _LEAST_SPAN
    for i, (image, t) in enumerate(zip(images, times.tolist(), strict=True)):
        axes = _frame(sheet.axes(0.1 + i * sheet.side_by_side, sheet.foot, sheet.image, sheet.image))
        _show(axes, image.float() / max(least, reach(image)), subject)
        axes.set_xlabel(f"t = {t:.2f}", fontsize=_FONT, labelpad=3)


def _short(caption: str) -> str:
    """A caption that fits under its panel."""
    return caption if len(caption) <= _LONG_CAPTION else f"{caption[: _LONG_CAPTION - 1]}…"


def _frame(axes: Axes) -> Axes:
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set(color=MUTED, linewidth=0.6)
    return axes


def _show(axes: Axes, x: Tensor, subject: Subject, signed: bool = False) -> None:
    """A field `(C, *spatial)`, of values in [-1, 1] but for few: lines, an image, or the middle slice of more.

    Args:
        axes: A frame.
        x: The field.
        subject: What it is; brightness is grey or RGB, all else has colours by value, of the first channel.
        signed: Whether one channel has colours by value in any case.
    """
    if subject.rank == 1:
        draw_record(axes, x.numpy(), (0.0, 1.0), _LINE)
        axes.set(xlim=(0, 1), ylim=(-_BEYOND, _BEYOND))
        axes.grid(visible=False)
        _frame(axes)
        return
    image = x if subject.rank == 2 else x[:, x.shape[1] // 2]
    if signed and (len(image) == 1 or not subject.seen):
        image = noise_colours(image[None, :1], 1.0)[0]
    elif not subject.seen:
        axes.imshow(Scale(-1, 1, subject.colours).bytes(image[0].double().numpy()), interpolation="nearest")
        return
    pixels = image if image.dtype == torch.uint8 else to_uint8(image.clamp(-1, 1))
    axes.imshow(pixels.numpy().transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def _decibels(power: Array) -> Array:
    """10 log10; NaN where power is not positive."""
    return 10 * np.log10(np.where(power > 0, power, np.nan))


def _band_colours(count: int) -> list[Colour]:
    """From dark to light, and dark enough on white."""
    need("matplotlib")
    from matplotlib import colormaps

    return [tuple(colormaps["viridis"](x)) for x in np.linspace(0, 0.85, count)]
