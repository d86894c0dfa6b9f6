"""Photographs and samples under each other, and the error of the spectrum beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from sagd.data.images import image_grid, to_uint8

COLUMNS, ROWS = 14, 2


def draw(rows: Mapping[str, Tensor], path: Path) -> Path:
    """Label -> images `(N, C, H, W)`, two rows of each."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    for ax, (label, x) in zip(figure.subplots(len(rows), 1), rows.items(), strict=True):
        ax.imshow(image_grid(to_uint8(x[: COLUMNS * ROWS]), COLUMNS), interpolation="nearest")
        ax.set_title(label, loc="left", fontsize=11)
        ax.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def table(results: Mapping[str, Any]) -> str:
    """Figures of all arms as a Markdown table: mean colour of the worst channel, spectrum of the worst ring."""
    head = "| photographs | settings | processor minutes | mean colour | spectrum, 10 rings | 16 rings |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *(_row(n, r) for n, r in results.items())])


def _row(name: str, result: Mapping[str, Any]) -> str:
    colour = max(abs(c) for c in result["mean_colour"])
    worst = [max(abs(v) for v in result["rings"][k]["all"] if v is not None) for k in ("10", "16")]
    minutes = result["training"]["cpu_seconds"] / 60
    photographs, settings = name.split("/")
    return f"| {photographs} | {settings} | {minutes:.1f} | {colour:.3f} | {worst[0]:.1f} dB | {worst[1]:.1f} dB |"
