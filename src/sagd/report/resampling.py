"""Resampled images as one self-contained HTML page: given, kept, and the draws beside them; draws, never computes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sagd.data.drawing import style
from sagd.report import figures
from sagd.report.pictures import Picture, pixels, plot, reach
from sagd.report.restoration import MOST_FILES, MOST_IMAGES, File, as_pixels, band_map, heat, spread
from sagd.report.subject import Subject
from sagd.report.template import fill
from sagd.report.wording import counted, number_of
from sagd.store.files import write_file
from sagd.study.resampling import ResamplingResult

MOST_DRAWS = 5
"""Draws of an image on the page."""
_STYLES = {"given": style(2), "resampled": style(0)}


def render_resampling(result: ResamplingResult, out: Path) -> Path:
    """Draw `out/report.html`, which needs no other file; returns its path.

    Args:
        result: What to show.
        out: An existing directory.

    Raises:
        CheckpointError: If the page cannot be written.
    """
    page = out / "report.html"
    write_file(page, fill("resampling.html", _page(result)).encode())
    return page


def _page(result: ResamplingResult) -> dict[str, Any]:
    subject, draws = Subject(result.named.meaning, result.given.shape[1]), len(result.samples)
    item, items = subject.called
    rows = spread(len(result.names), MOST_IMAGES if subject.tiled else MOST_FILES)
    share = torch.nan_to_num(result.share)
    spectra = figures.restoration_figure(result.edges, result.spectra, {}, share, _STYLES, subject.scale)
    return {
        "item": item,
        "items": items,
        "frequency": subject.frequency,
        "title": f"Resampled {items}",
        "subtitle": f"{number_of(len(result.names), subject.called)} · {counted(draws, 'draw')} each ·"
        f" {100 * result.replaced:.1f} % of the frequencies drawn anew",
        "band": str(result.band),
        "outside": f"{result.change_outside:.1g}",
        "held": "" if result.files is None else result.files.told(),
        "columns": _columns(draws),
        "names": [result.names[i] for i in rows],
        "images": _grid(result, rows) if subject.tiled else None,
        "files": [] if subject.tiled else [_file(result, subject, i, len(rows)) for i in rows],
        "several": draws > 1,
        "spectra": plot(
            spectra, f"Line plot of power against frequency of given and resampled {items}, the band shaded."
        ),
        "map": band_map(result, "Map of all frequencies with the band that was drawn anew in dark."),
    }


def _file(result: ResamplingResult, subject: Subject, i: int, parts: int) -> File:
    """One file as it was, without the band, and with draws of it; and how far these differ."""
    name, draws = result.names[i], result.samples[:, i]
    fields = torch.cat([result.given[i][None], result.kept[i][None], draws[:MOST_DRAWS]])
    if result.named.known is not None:
        fields = fields.where(result.named.known[i], torch.nan)
    like = subject.colours_of(result.given[i])
    captions = _columns(len(draws))[: len(fields)]
    lists = [("", subject.signals(fields, f"{name}: {', '.join(captions)}.", captions, like, parts))]
    if len(draws) > 1:
        lists.append(("spread", subject.spread(draws.std(0)[None], f"{name}: spread of the draws.")))
    return File(name, tuple(lists))


def _columns(draws: int) -> list[str]:
    shown = [f"draw {k + 1}" for k in range(min(draws, MOST_DRAWS))]
    return ["given", "kept", *shown, *(["spread"] if draws > 1 else [])]


def _grid(result: ResamplingResult, rows: Sequence[int]) -> Picture:
    columns = [as_pixels(result.given[rows]), as_pixels(result.kept[rows])]
    columns += [as_pixels(draw[rows]) for draw in result.samples[:MOST_DRAWS]]
    if len(result.samples) > 1:
        std = result.samples[:, rows].std(0).mean(1, keepdim=True)
        columns.append(heat(std, max(reach(std), 1e-6)))
    images = torch.stack([x.expand(-1, 3, -1, -1) for x in columns], dim=1).flatten(0, 1)
    return pixels(images, len(columns), f"{counted(len(rows), 'image')}, one per row: given, kept, and draws.")
