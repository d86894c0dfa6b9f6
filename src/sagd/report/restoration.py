"""Restored images as one self-contained HTML page: before, after and beside clean ones; draws, never computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sagd.data.drawing import style
from sagd.noise.basis.base import Basis
from sagd.optional import need
from sagd.report import figures
from sagd.report.pictures import Picture, noise_colours, pixels, plot, reach
from sagd.report.template import fill
from sagd.report.wording import counted
from sagd.study.restoration import RestorationResult

MOST_IMAGES = 8
"""Rows of images on the page."""
COLUMNS = {
    "damaged": "damaged",
    "restored": "restored",
    "clean": "clean",
    "change": "change",
    "left": "error left",
    "std": "uncertainty",
}
_STYLES = {"damaged": style(1), "restored": style(0), "clean": style(2)}


def render_restoration(result: RestorationResult, out: Path) -> Path:
    """Draw `out/report.html`, which needs no other file; returns its path.

    Args:
        result: What to show.
        out: An existing directory.

    Raises:
        OSError: If the page cannot be written.
    """
    page = out / "report.html"
    page.write_text(fill("restoration.html", _page(result)), encoding="utf-8")
    return page


def _page(result: RestorationResult) -> dict[str, Any]:
    rows = spread(len(result.names))
    columns = _columns(result, rows)
    return {
        "title": "Restored images",
        "subtitle": f"{counted(len(result.names), 'image')} · mode {result.mode.kind} · {100 * result.replaced:.1f} %"
        " of the frequencies replaced",
        "mode": result.mode.said,
        "band": str(result.mode.band),
        "answer": _answer(result),
        "outside": f"{result.change_outside:.1g}",
        "columns": [COLUMNS[name] for name in columns],
        "names": [result.names[i] for i in rows],
        "total": len(result.names),
        "images": _grid(columns, len(rows)),
        "shows": set(columns),
        "spectra": _spectra(result),
        "map": band_map(result.b, result.basis, "Map of all frequencies with the band that was replaced in dark."),
        "draws": _draws(result, rows),
    }


def spread(count: int) -> list[int]:
    """Numbers of the images to show: evenly spaced, since those of one folder are often alike."""
    shown = min(count, MOST_IMAGES)
    return [i * count // shown for i in range(shown)]


def _answer(result: RestorationResult) -> str:
    if not result.psnr:
        return ""
    before, after = result.psnr["damaged"], result.psnr["restored"]
    return f"PSNR {'rose' if after > before else 'fell'} from {before:.1f} to {after:.1f} dB."


def _columns(result: RestorationResult, rows: Sequence[int]) -> dict[str, Tensor]:
    """Kind -> images `(N, C, H, W)` as uint8."""
    damaged, restored = result.damaged[rows], result.restoration.images[rows]
    shown = {"damaged": as_pixels(damaged), "restored": as_pixels(restored)}
    change = restored - damaged
    limit = max(reach(change), 1e-6)
    if result.clean is not None:
        shown["clean"] = as_pixels(result.clean[rows])
    shown["change"] = _colours(change, limit)
    if result.clean is not None:
        shown["left"] = _colours(restored - result.clean[rows], limit)
    if result.restoration.std is not None:
        std = result.restoration.std[rows].mean(1, keepdim=True)
        shown["std"] = heat(std, max(reach(std), 1e-6))
    return shown


def _grid(columns: Mapping[str, Tensor], count: int) -> Picture:
    """A row per image, a column per kind."""
    coloured = [x.expand(-1, 3, -1, -1) for x in columns.values()]
    images = torch.stack(coloured, dim=1).flatten(0, 1)
    kinds = ", ".join(COLUMNS[name] for name in columns)
    return pixels(images, len(columns), f"{counted(count, 'image')}, one per row; columns: {kinds}.")


def _draws(result: RestorationResult, rows: Sequence[int]) -> Picture | None:
    """Posterior samples, a row per image."""
    samples = result.restoration.samples
    if samples is None:
        return None
    shown = samples[:MOST_IMAGES, rows].transpose(0, 1)
    alt = f"{shown.shape[1]} posterior samples of each of {counted(len(shown), 'image')}, one image per row."
    return pixels(as_pixels(shown.flatten(0, 1)), shown.shape[1], alt)


def _spectra(result: RestorationResult) -> Picture:
    share = torch.nan_to_num(result.share)
    figure = figures.restoration_figure(result.edges, result.spectra, result.errors, share, _STYLES)
    alt = f"Line plot of power against frequency for {' and '.join(result.spectra)} images, the band shaded."
    return plot(figure, alt + (" Below, the error by frequency." if result.errors else ""))


def band_map(b: Tensor, basis: Basis, alt: str) -> Picture | None:
    """A band among all frequencies; None in bases whose coefficients have no place in such a map."""
    return plot(figures.mask_figure(b.numpy(), basis.spatial[-1]), alt) if basis.is_fourier else None


def as_pixels(x: Tensor) -> Tensor:
    """Values in [-1, 1] as uint8."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()


def _colours(difference: Tensor, limit: float) -> Tensor:
    coloured = noise_colours(difference.cpu(), limit)
    return coloured if coloured.dtype == torch.uint8 else as_pixels(coloured)


def heat(x: Tensor, limit: float) -> Tensor:
    """Non-negative maps `(N, 1, H, W)` as colours, dark at 0, light at `limit` and beyond."""
    need("matplotlib")
    from matplotlib import colormaps

    colours = colormaps["cividis"]((x[:, 0] / limit).clamp(0, 1).cpu().numpy(), bytes=True)[..., :3]
    return torch.from_numpy(np.moveaxis(colours, -1, 1).copy())
