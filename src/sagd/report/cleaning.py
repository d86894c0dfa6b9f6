"""Cleaned files as one self-contained HTML page: before, after, what was taken out, spectra; draws, never computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sagd.data.drawing import COLOURS, FONT, INK, MUTED, label_axes, tidy_axes
from sagd.errors import argument
from sagd.noise.grid import RingScale
from sagd.omission.detection.base import CERTAIN, LIKELIEST
from sagd.optional import need
from sagd.report.pictures import Picture, pixels, plot, reach
from sagd.report.restoration import as_pixels, difference_colours, spread
from sagd.report.subject import Shown, Subject
from sagd.report.template import fill
from sagd.report.wording import counted
from sagd.store.files import write_file
from sagd.study.cleaning import FileCleaned
from sagd.study.shown import Shown as Example

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_FILES = 6
"""Files that are shown with pictures."""
_GAP = 5.0
"""Usual distances of points beyond which a curve is broken off."""
_PART = "The middle of the file is shown."
_BELOW = "After lies below the fit where little could be told of what is clean."
MOST_ROWS = 200
"""Files in the table."""
_STATUS = {
    "cleaned": "cleaned",
    "clean": "nothing found; as it was",
    "unsure": "not sure; as it was",
    "failed": "failed",
}


@dataclass(frozen=True)
class _Row:
    name: str
    status: str
    bands: tuple[str, ...]
    excess: str


@dataclass(frozen=True)
class _File:
    name: str
    lines: tuple[str, ...]
    part: str
    pixels: Picture | None
    reach: str
    columns: tuple[str, ...]
    asked: str
    signals: Shown | None
    removed: Shown | None
    caption: str
    spectra: Picture
    map: Picture | None
    tools: tuple[_Tool, ...]
    tool_pixels: Picture | None
    tool_signals: Shown | None


@dataclass(frozen=True)
class _Tool:
    name: str
    setting: str
    left: str
    outside: str
    seconds: str


def render_cleaning(results: Sequence[FileCleaned], out: Path) -> Path:
    """Draw `out/report.html`, which needs no other file; returns its path.

    Args:
        results: What became of each file.
        out: An existing directory.

    Raises:
        CheckpointError: If the page cannot be written.
    """
    page = out / "report.html"
    write_file(page, fill("cleaning.html", _page(results)).encode())
    return page


def _page(results: Sequence[FileCleaned]) -> dict[str, Any]:
    banded = [result for result in results if result.band or result.unsure]
    rows = [_row(result) for result in results[:MOST_ROWS]]
    shown = _shown([result for result in banded if result.shown is not None], MOST_FILES)
    others = [result for result in results if result.status == "clean" and result.shown is not None]
    looked_at = _shown(others, MOST_FILES - len(shown))
    more = []
    if len(results) > MOST_ROWS:
        more.append(f"{len(results) - MOST_ROWS} more files are in cleaning.json.")
    if len(banded) > len(shown):
        more.append(f"{counted(len(shown), 'file')} of {len(banded)} with a band are shown below.")
    return {
        "title": "Cleaned files",
        "subtitle": counted(len(results), "file"),
        "answer": _answer(results),
        "rows": rows,
        "more": " ".join(more),
        "files": [_file(result, len(shown) + len(looked_at)) for result in (*shown, *looked_at)],
    }


def _shown(results: Sequence[FileCleaned], most: int) -> list[FileCleaned]:
    return [results[k] for k in spread(len(results), most)] if most > 0 else []


def _answer(results: Sequence[FileCleaned]) -> list[str]:
    of = {status: [r for r in results if r.status == status] for status in _STATUS}
    sure = sum(r.probability is None or r.probability >= CERTAIN for r in of["cleaned"])
    lines = [f"{sure} of {counted(len(results), 'file')} had a damaged band."]
    if of["cleaned"] and all(r.path is None for r in results):
        lines.append("This was a look only: nothing was taken out, and what is said of that would be.")
    if guessed := len(of["cleaned"]) - sure:
        lines.append(
            f"Of {counted(guessed, 'more file')} what is likeliest to be damage was taken out, as asked for; look at"
            " it."
        )
    if of["clean"]:
        lines.append(
            f"In {len(of['clean'])} nothing was found; they are as they were. If you see damage in one, say"
            f" {argument('band')} {LIKELIEST} for what is shown below, or name another band; or give a clean file like"
            f" it with {argument('reference')}, look at all files of a device with {argument('shared=True')}, or say"
            f" {argument('log=True')} if it multiplies the values."
        )
    if of["unsure"]:
        lines.append(
            f"In {len(of['unsure'])} something sticks out that may be content. They are as they were; if it is damage,"
            f" name the band of the table with {argument('band')}, or say {argument('band')} {LIKELIEST}."
        )
    if of["failed"]:
        lines.append(f"{len(of['failed'])} could not be cleaned.")
    return lines


def _row(result: FileCleaned) -> _Row:
    status = _STATUS[result.status] + (f": {result.error}" if result.error else "")
    if result.status == "cleaned" and result.path is None:
        status = "would be cleaned"
    bands = (*((result.brief,) if result.brief else ()), *(f"{band} ?" for band in result.unsure))
    excess = "" if result.excess is None else f"{result.excess:.1f} dB"
    return _Row(result.name, status, bands, excess)


def _looked_at(result: FileCleaned, parts: int) -> _File:
    """A file in which nothing was found: as it is, and its spectrum, with what is likeliest."""
    shown = result.shown
    assert shown is not None
    subject = Subject(shown.meaning, len(shown.before))
    x = shown.meaning.to_model(torch.from_numpy(shown.before)[None].double())
    alt = f"{result.name} as it is."
    strip = pixels(as_pixels(x), 1, alt) if subject.tiled else None
    where = "of what is likeliest, by radial frequency. " if subject.rank > 1 else "by frequency. "
    return _File(
        result.name,
        (*result.found, *result.notes),
        "" if shown.whole else _PART,
        strip,
        "",
        ("as it is",),
        result.asked,
        None if subject.tiled else subject.signals(x, alt, ["as it is"], subject.colours_of(x[0]), parts),
        None,
        f"Power {where}Fit: what would be usual there.",
        plot(spectra_figure(shown, subject.scale), f"Power spectrum of {result.name}, and the fit."),
        _map(shown, result.name),
        (),
        None,
        None,
    )


def _file(result: FileCleaned, parts: int) -> _File:
    shown = result.shown
    assert shown is not None
    if not shown.removed.size:
        return _looked_at(result, parts)
    subject = Subject(shown.meaning, len(shown.before))
    before, removed = (torch.from_numpy(v) for v in (shown.before, shown.removed))
    x = shown.meaning.to_model(torch.stack([before, before - removed]).double())
    change = removed / torch.tensor(shown.meaning.scale).reshape(-1, *(1,) * (before.ndim - 1))
    lost = (f"In the file, {result.lost}.",) if result.lost else ()
    limit = max(reach(change), 1e-6)
    done = result.path is not None and result.status == "cleaned"
    names = ("before", "after") if done else ("as it is", "without it")
    columns = (*names, "in the band", "taken out" if done else "would be taken out")
    held = torch.from_numpy(shown.held) / torch.tensor(shown.meaning.scale).reshape(-1, *(1,) * (before.ndim - 1))
    signals = gone = strip = None
    if subject.tiled:
        cells = [as_pixels(x), difference_colours(torch.stack([held, change]), limit)]
        coloured = torch.cat([v.expand(-1, 3, -1, -1) for v in cells])
        strip = pixels(coloured, 4, f"{result.name} {', '.join(columns)}.")
    else:
        signals = subject.signals(
            x, f"{result.name} {' and '.join(names)}.", list(names), subject.colours_of(x[1]), parts
        )
        both = torch.stack([held, change])
        gone = subject.differences(both, f"{result.name}: {columns[2]}, and {columns[3]}.", list(columns[2:]))
    unit = f" {shown.meaning.quantity}" if shown.meaning.quantity else ""
    return _File(
        result.name,
        (*result.found, *result.notes, *lost),
        "" if shown.whole else _PART,
        strip,
        f"{float(limit * max(shown.meaning.scale)):.3g}{unit}, {'blue to red' if len(before) == 1 else 'grey is 0'}",
        columns,
        result.asked if result.unsure else "",
        signals,
        gone,
        ("Power where it was lowered, by radial frequency. " if subject.rank > 1 else "Power by frequency. ") + _BELOW,
        plot(spectra_figure(shown, subject.scale), f"Power spectrum of {result.name} before and after, and the fit."),
        _map(shown, result.name),
        *_beside(shown, subject, limit, result.name, parts),
    )


def _beside(
    shown: Example, subject: Subject, limit: float, name: str, parts: int
) -> tuple[tuple[_Tool, ...], Picture | None, Shown | None]:
    """Rows of the usual tools, and what they left and took out: pictures in pairs, or records."""
    rows = tuple(
        _Tool(tool.tool, tool.failed or tool.setting, _decibel(tool.left), _percent(tool.outside), _took(tool.seconds))
        for tool in shown.beside
    )
    told = [tool for tool in shown.beside[1:] if tool.x is not None]
    if not told:
        return rows, None, None
    made = torch.stack([tool.x for tool in told if tool.x is not None])
    names = [tool.tool for tool in told]
    alt = f"What {', '.join(names)} made of {name}"
    x = shown.meaning.to_model(made.double())
    if not subject.tiled:
        return rows, None, subject.signals(x, f"{alt}.", names, subject.colours_of(x[0]), parts)
    change = (torch.from_numpy(shown.before) - made) / torch.tensor(shown.meaning.scale).reshape(-1, 1, 1)
    cells = torch.cat([as_pixels(x).expand(-1, 3, -1, -1), difference_colours(change, limit).expand(-1, 3, -1, -1)])
    return rows, pixels(cells, len(told), f"{alt}, and below what each took out."), None


def _decibel(value: float) -> str:
    return "" if math.isnan(value) else f"{value:+.1f} dB"


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2g} %"


def _took(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds > 0 else ""


def spectra_figure(shown: Example, scale: RingScale) -> Figure:
    """Power over frequency before, after, and the smooth spectrum that the gain aims at."""
    need("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    rank = len(shown.meaning.axes)
    unit = scale.corner / (np.sqrt(rank) / 2) if scale.unit else 1.0
    looks = {"before": (COLOURS[1], 1.0, 2), "after": (COLOURS[0], 1.0, 3), "smooth": (INK, 1.5, 4)}
    for name, (colour, width, order) in looks.items():
        if name not in shown.spectra:
            continue
        label = {"smooth": "smooth fit", "before": "before" if "after" in shown.spectra else "as it is"}.get(name, name)
        axes.plot(
            *_parted(shown.frequency * unit, shown.spectra[name]),
            color=colour,
            linewidth=width,
            zorder=order,
            label=label,
        )
    axes.set_yscale("log")
    told = f"frequency ({scale.unit})" if scale.unit else "frequency (cycles per sample)"
    label_axes(axes, told, "power")
    tidy_axes(axes)
    axes.legend(fontsize=FONT - 1, framealpha=0.8, edgecolor="none")
    return figure


def _parted(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve that is not drawn across the gaps between the shapes of a band."""
    steps = np.diff(x)
    gaps = np.flatnonzero(steps > _GAP * np.median(steps)) + 1 if len(steps) else np.empty(0, int)
    return np.insert(x, gaps, np.nan), np.insert(y, gaps, np.nan)


def _map(shown: Example, name: str) -> Picture | None:
    if not shown.power.size:
        return None
    return plot(map_figure(shown), f"Map of the power of {name} at all frequencies, with the band outlined.")


def map_figure(shown: Example) -> Figure:
    """Power of all frequencies of an image, and an outline of what was lowered."""
    need("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6, 3.6), layout="constrained")
    axes = figure.subplots()
    power, taken = shown.power, shown.taken
    low, high = np.quantile(power, [0.02, 0.999])
    box = (-0.5, 0.5, 0.5, -0.5)
    axes.imshow(power, cmap="gray", vmin=low, vmax=high, extent=box, interpolation="nearest", rasterized=True)
    if (taken > 0.05).any():
        y, x = (np.linspace(-0.5, 0.5, n) for n in taken.shape)
        axes.contour(x, y, taken, levels=[0.05], colors=[COLOURS[1]], linewidths=0.8)
    axes.set_xticks([-0.5, 0, 0.5])
    axes.set_yticks([-0.5, 0, 0.5])
    axes.tick_params(labelsize=FONT - 1, colors=MUTED)
    label_axes(axes, "across (cycles per sample)", "along (cycles per sample)")
    return figure
