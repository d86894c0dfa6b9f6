"""Restored images as one self-contained HTML page: before, after and beside clean ones; draws, never computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sagd.data.drawing import style
from sagd.optional import need
from sagd.report import figures
from sagd.report.pictures import Picture, noise_colours, pixels, plot, reach
from sagd.report.subject import Shown, Subject
from sagd.report.template import fill
from sagd.report.wording import counted, joined, number_of
from sagd.store.files import write_file
from sagd.study.resampling import ResamplingResult
from sagd.study.restoration import RestorationResult
from sagd.study.sides import WAYS

MOST_IMAGES = 8
"""Rows of images on the page."""
MOST_FILES, MOST_DRAWS = 3, 4
"""Signals with axes on the page, and posterior samples of each."""
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
        CheckpointError: If the page cannot be written.
    """
    page = out / "report.html"
    write_file(page, fill("restoration.html", _page(result)).encode())
    return page


@dataclass(frozen=True)
class File:
    """What the page shows of one signal with axes.

    Attributes:
        name: Its name.
        lists: Heading, empty for the first, and signals under it.
    """

    name: str
    lists: tuple[tuple[str, Shown], ...]


def _page(result: RestorationResult) -> dict[str, Any]:
    subject = Subject(result.named.meaning, result.damaged.shape[1])
    rows = spread(len(result.names), MOST_IMAGES if subject.tiled else MOST_FILES)
    columns = _columns(result, rows) if subject.tiled else {}
    return {
        "item": subject.called[0],
        "items": subject.called[1],
        "frequency": subject.frequency,
        "title": f"Restored {subject.called[1]}",
        "subtitle": f"{number_of(len(result.names), subject.called)} · {_how(result)} ·"
        f" {100 * result.replaced:.1f} % of the frequencies replaced",
        "mode": result.method.told if result.sides is None or result.sides.taken == WAYS[0] else "",
        "sides": [] if result.sides is None else result.sides.lines(),
        "band": result.method.band,
        "answer": _answer(result),
        "outside": None if result.change_outside is None else f"{result.change_outside:.1g}",
        "leaks": result.method.leaks and (result.sides is None or result.sides.taken == WAYS[0]),
        "held": "" if result.files is None else result.files.told(),
        "columns": [COLUMNS[name] for name in columns],
        "names": [result.names[i] for i in rows],
        "total": len(result.names),
        "images": _grid(columns, len(rows)) if subject.tiled else None,
        "files": [] if subject.tiled else [_file(result, subject, i, _lists(result) * len(rows)) for i in rows],
        "shows": set(columns or _stages(result) | _changes(result) | _deviation(result)),
        "spectra": _spectra(result, subject),
        "map": band_map(result, "Map of all frequencies, what was replaced in dark."),
        "draws": _draws(result, rows) if subject.tiled else None,
    }


def _how(result: RestorationResult) -> str:
    """How the fields that are shown were restored."""
    taken = None if result.sides is None else result.sides.taken
    if taken in (None, WAYS[0]):
        return f"restored by {result.method.kind}"
    return "the measured damage taken out" if taken == WAYS[1] else "the band deleted"


def _stages(result: RestorationResult) -> dict[str, Tensor]:
    """Kind -> fields, NaN where values are missing."""
    stages = {"damaged": result.damaged, "restored": result.restoration.images}
    stages |= {} if result.clean is None else {"clean": result.clean}
    known = result.named.known
    return stages if known is None else {name: x.where(known, torch.nan) for name, x in stages.items()}


def _changes(result: RestorationResult) -> dict[str, Tensor]:
    stages = _stages(result)
    changes = {"change": stages["restored"] - stages["damaged"]}
    return changes if result.clean is None else changes | {"left": stages["restored"] - stages["clean"]}


def _deviation(result: RestorationResult) -> dict[str, Tensor]:
    return {} if result.restoration.std is None else {"std": result.restoration.std}


def _file(result: RestorationResult, subject: Subject, i: int, parts: int) -> File:
    """One file before and after, what has changed, and what is not known; different answers, if there are."""
    name = result.names[i]

    def captioned(fields: Mapping[str, Tensor]) -> tuple[Tensor, str, list[str]]:
        captions = [COLUMNS[key] for key in fields]
        return torch.stack([x[i] for x in fields.values()]), f"{name}: {', '.join(captions)}.", captions

    # What is nearest to the truth sets the colours.
    best = (result.restoration.images if result.clean is None else result.clean)[i]
    lists = [
        ("", subject.signals(*captioned(_stages(result)), subject.colours_of(best), parts)),
        (_list(_changes(result)), subject.differences(*captioned(_changes(result)))),
    ]
    if result.restoration.std is not None:
        lists.append((COLUMNS["std"], subject.spread(result.restoration.std[i][None], f"{name}: uncertainty.")))
    if result.restoration.samples is not None:
        draws = result.restoration.samples[:MOST_DRAWS, i]
        captions = [f"sample {k + 1}" for k in range(len(draws))]
        lists.append(("posterior samples", subject.signals(draws, f"{name}: samples.", captions, parts=parts)))
    return File(name, tuple(lists))


def _lists(result: RestorationResult) -> int:
    """Lists of a file that share what a page can play: the stages, and posterior samples if there are any."""
    return 1 if result.restoration.samples is None else 2


def _list(fields: Mapping[str, Tensor]) -> str:
    return joined([COLUMNS[key] for key in fields])


def spread(count: int, most: int = MOST_IMAGES) -> list[int]:
    """Numbers of the signals to show: evenly spaced, since those of one folder are often alike."""
    shown = min(count, most)
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
    shown["change"] = difference_colours(change, limit)
    if result.clean is not None:
        shown["left"] = difference_colours(restored - result.clean[rows], limit)
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


def _spectra(result: RestorationResult, subject: Subject) -> Picture:
    share = torch.nan_to_num(result.share)
    figure = figures.restoration_figure(result.edges, result.spectra, result.errors, share, _STYLES, subject.scale)
    what = f"{' and '.join(result.spectra)} {subject.called[1]}"
    alt = f"Line plot of power against frequency for {what}, what was replaced shaded."
    return plot(figure, alt + (" Below, the error by frequency." if result.errors else ""))


def band_map(result: RestorationResult | ResamplingResult, alt: str) -> Picture | None:
    """The band among all frequencies of images; None where coefficients have no place in such a map."""
    basis = result.basis
    if not basis.is_fourier or basis.rank != 2:
        return None
    scales = figures.pixel_scales(result.named.meaning.grid())
    return plot(figures.mask_figure(result.b.numpy(), basis.spatial[-1], scales), alt)


def as_pixels(x: Tensor) -> Tensor:
    """Values in [-1, 1] as uint8."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()


def difference_colours(difference: Tensor, limit: float) -> Tensor:
    """Differences `(N, C, H, W)` as colours, uint8: grey ones from blue (`-limit`) to red."""
    coloured = noise_colours(difference.cpu(), limit)
    return coloured if coloured.dtype == torch.uint8 else as_pixels(coloured)


def heat(x: Tensor, limit: float) -> Tensor:
    """Non-negative maps `(N, 1, H, W)` as colours, dark at 0, light at `limit` and beyond."""
    need("matplotlib")
    from matplotlib import colormaps

    colours = colormaps["cividis"]((x[:, 0] / limit).clamp(0, 1).cpu().numpy(), bytes=True)[..., :3]
    return torch.from_numpy(np.moveaxis(colours, -1, 1).copy())
