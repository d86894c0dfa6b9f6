"""Removal beside the usual tools: measured case by case, kept line by line, and written up."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.clean.cases import Case, all_cases
from benchmarks.clean.measures import dark_mirror, decibel, outside, similarity
from benchmarks.clean.tools import TOOLS, Tool, band_of, mask_of, tools_for

Line = dict[str, Any]


def measure(data: Path, path: Path, again: tuple[str, ...] = ()) -> None:
    """Run every tool that is missing in `path` on every case, and add a line each.

    Args:
        data: Folder of recorded data.
        path: Lines of JSON.
        again: Tools to measure anew: their lines are dropped.
    """
    if again:
        kept = [line for line in records.read(path) if line["tool"] not in again]
        path.unlink(missing_ok=True)
        for line in kept:
            records.append(path, line)
    for name, tool in TOOLS.items():
        if why := tool.missing():
            print(f"left out {name}: {why}")
    known = {(line["data"], line["damage"], line["strength"], line["tool"]) for line in records.read(path)}
    for case in all_cases(data):
        wanted = [(name, tool) for name, tool in tools_for(case) if (*case.key, name) not in known]
        if not wanted:
            continue
        clean, damaged = case.make()
        b = mask_of(case, band_of(case))
        if (*case.key, "damaged") not in known:
            records.append(path, _line(case, "damaged", {}, clean, damaged, damaged, b, 0.0))
        for name, tool in wanted:
            records.append(path, best(case, name, tool, clean, damaged, b))


def best(case: Case, name: str, tool: Tool, clean: Any, damaged: Any, b: Any) -> Line:
    """The line of a tool at its best setting; its time is that of this setting alone."""
    found: tuple[float, Any, Any, float] | None = None
    for setting in tool.settings:
        start = time.perf_counter()
        x = tool.run(damaged, case=case, **setting)
        seconds = time.perf_counter() - start
        value = decibel(clean, x, case.peak)
        if found is None or value > found[0]:
            found = value, setting, x, seconds
    assert found is not None
    return _line(case, name, found[1], clean, damaged, found[2], b, found[3])


def _line(case: Case, name: str, setting: Any, clean: Any, damaged: Any, x: Any, b: Any, seconds: float) -> Line:
    image = clean.ndim == 2
    line = {
        "data": case.data,
        "group": case.group,
        "damage": case.damage,
        "strength": case.strength,
        "tool": name,
        "setting": {key: list(v) if isinstance(v, tuple) else v for key, v in setting.items()},
        "decibel": decibel(clean, x, case.peak),
        "ssim": similarity(clean, x, case.peak or 1.0) if image else None,
        "outside": None if name == "damaged" else outside(clean, damaged, x, b),
        "mirror": dark_mirror(clean, x, case.angle) if image and case.angle is not None else None,
        "seconds": seconds,
    }
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in line.items()}
