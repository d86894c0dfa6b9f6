"""What people come for: two photographs under stripes and moire as in life, cleaned in seconds, beside the usual tools.

OUT/damaged, OUT/clean   the photographs, 427 x 640, as PNG
OUT/cleaned              what `sagd clean` makes of the damaged ones, with its report
OUT/demo.json            PSNR and seconds of all tools; OUT/demo.png: before, after, what was taken out, the truth
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.clean.cases import Case
from benchmarks.clean.measures import decibel
from benchmarks.clean.tools import TOOLS
from sagd.data.corruption import Corruption, corrupt

PHOTOGRAPHS = {
    "flower": ("curtaining", "curtains(level=0.12)"),
    "china": ("moire", "fringes(level=0.12)"),
}
"""Photograph -> its damage, and how it is drawn."""
SEED = 0
_SHOWN = ("pystripe", "algotom wavelet", "algotom sorting", "algotom all", "band deleted", "bound")
_NOTES = {
    "band deleted": "band deleted by hand, known",
    "bound": "Wiener filter, true spectra known",
}
_GAIN = 2
"""By how much what was taken out is brightened, about mid-grey."""


def run(out: Path) -> None:
    """Make the photographs, clean them as a user would, and print how near each tool comes."""
    cases = {name: case_of(name, *told) for name, told in PHOTOGRAPHS.items()}
    for name, case in cases.items():
        for folder, x in zip(("clean", "damaged"), case.make(), strict=True):
            _save(out / folder / f"{name}.png", x)
    start = time.perf_counter()
    command = [sys.executable, "-m", "sagd", "clean", str(out / "damaged"), "--out", str(out / "cleaned")]
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - start
    table = {name: _measured(name, case, out) for name, case in cases.items()}
    (out / "demo.json").write_text(json.dumps({"seconds": round(seconds, 2), "tools": table}, indent=1) + "\n")
    _draw(cases, out)
    print(_text(table, seconds))
    if missing := [name for name in _SHOWN if TOOLS[name].missing()]:
        print(f"not installed, and left out: {', '.join(missing)}; see benchmarks/clean/requirements.txt")
    print(f"wrote {out / 'cleaned' / 'report.html'} and {out / 'demo.png'}")


def case_of(name: str, damage: str, text: str) -> Case:
    from sklearn.datasets import load_sample_image

    photo = load_sample_image(f"{name}.jpg").astype(np.float64)
    x = torch.from_numpy(photo / 127.5 - 1).movedim(-1, 0)[None]
    damaged = corrupt(x, Corruption.parse(text), SEED)[0].movedim(0, -1).numpy()
    pair = photo, np.clip(np.round((damaged + 1) * 127.5), 0, 255)
    return Case(name, "photographs", damage, "middle", lambda: pair, text=text, angle=0.0)


def _measured(name: str, case: Case, out: Path) -> dict[str, dict[str, Any]]:
    """Tool -> PSNR at its best setting, and the seconds of this."""
    clean, damaged = case.make()
    rows = {"damaged": {"psnr": decibel(clean, damaged, 255.0)}}
    rows["sagd clean"] = {"psnr": decibel(clean, _read(out / "cleaned" / f"{name}.png"), 255.0)}
    for tool in _SHOWN:
        member = TOOLS[tool]
        if member.missing() or not (member.suits(case) or tool in _NOTES):
            continue
        best: dict[str, Any] = {"psnr": -np.inf}
        for setting in member.settings:
            start = time.perf_counter()
            x = np.stack([member.run(damaged[..., c], case=_channel(case, c), **setting) for c in range(3)], -1)
            taken = time.perf_counter() - start
            value = decibel(clean, np.clip(np.round(x), 0, 255), 255.0)
            if value > best["psnr"]:
                best = {"psnr": value, "seconds": taken, "setting": dict(setting)}
        rows[tool] = best
    return rows


def _channel(case: Case, c: int) -> Case:
    import dataclasses

    clean, damaged = case.make()
    return dataclasses.replace(case, make=lambda: (clean[..., c], damaged[..., c]))


def _text(table: dict[str, dict[str, dict[str, Any]]], seconds: float) -> str:
    names = [*dict.fromkeys(tool for rows in table.values() for tool in rows)]
    head = ["PSNR (dB)", *(f"{name}, {PHOTOGRAPHS[name][0]}" for name in table)]
    lines = [head]
    for tool in names:
        values = [f"{rows[tool]['psnr']:.1f}" if tool in rows else "" for rows in table.values()]
        lines.append([_NOTES.get(tool, tool), *values])
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    rows = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
    rows.append(
        f"sagd found and took out both bands by itself in {seconds:.0f} s, start and report included; every other"
    )
    rows.append("tool is at the best of its settings, chosen with the clean photograph at hand.")
    return "\n".join(rows)


def _draw(cases: dict[str, Case], out: Path) -> None:
    """Two rows of pictures: damaged, cleaned, what was taken out (brightened), the truth."""
    from PIL import Image, ImageDraw, ImageFont

    font, head, gap = ImageFont.load_default(22), 34, 6
    columns = ("damaged", "sagd clean", f"taken out (x {_GAIN})", "as it was")
    rows = []
    for name, case in cases.items():
        clean, damaged = case.make()
        cleaned = _read(out / "cleaned" / f"{name}.png")
        rows.append((damaged, cleaned, 127.5 + _GAIN * (damaged - cleaned), clean))
    height, width = rows[0][0].shape[:2]
    sheet = Image.new("RGB", (len(columns) * (width + gap) - gap, head + len(rows) * (height + gap) - gap), "white")
    pen = ImageDraw.Draw(sheet)
    for k, title in enumerate(columns):
        pen.text((k * (width + gap) + 4, 4), title, "black", font)
        for r, row in enumerate(rows):
            picture = Image.fromarray(np.clip(np.round(row[k]), 0, 255).astype(np.uint8))
            sheet.paste(picture, (k * (width + gap), head + r * (height + gap)))
    sheet.resize((sheet.width // 2, sheet.height // 2), Image.Resampling.LANCZOS).save(out / "demo.png", optimize=True)


def _save(path: Path, x: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(x.astype(np.uint8)).save(path)


def _read(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path), np.float64)
