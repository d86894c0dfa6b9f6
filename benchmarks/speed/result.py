"""What a study gives, as a JSON file and as a page of Markdown."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.speed.timing import Demand, Summary
from sagd.study.machine import describe_machine

PACKAGES = ("sagd", "torch", "diffusers", "accelerate", "numpy")

HEADER = """\
# Speed of sagd

Written by `python -m benchmarks.speed`; its README says how it measures. Ratios are medians over rounds with a 95 %
confidence interval, times are medians with quartiles. A demand is met, or not met, where the whole interval says so.
"""


@dataclass(frozen=True)
class Table:
    """Cells of text under a title, and what they are."""

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Result:
    """One study: its settings, all its summaries by what was measured, its limits, and what a reader sees."""

    settings: Mapping[str, Any]
    figures: Mapping[str, Mapping[str, Summary | float]]
    demands: Sequence[Demand]
    table: Table


def write(name: str, result: Result, load: float, out: Path) -> Path:
    """Write `name.json` and `name.md` into the directory `out`; returns the page.

    Args:
        name: Of the study, and what the two files are called.
        result: What it gave.
        load: Processes that were running before the measurements began.
        out: Directory; made if missing.
    """
    machine = describe_machine() | {"load before": round(load, 2)}
    versions = {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}
    document = {"machine": machine, "versions": versions, name: _plain(result)}
    page = [HEADER, f"{_facts(machine)}.\n", f"{_facts(versions)}.\n", demands_table(result.demands), _section(result)]
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    (out / f"{name}.md").write_text("\n".join(part for part in page if part), encoding="utf-8")
    return out / f"{name}.md"


def demands_table(demands: Sequence[Demand]) -> str:
    """Limits and verdicts; empty if there are none."""
    rows = [(d.text, f"{interval(d.measured)}{d.unit}", f"{d.limit:g}{d.unit}", d.verdict) for d in demands]
    return _table(("demand", "measured", "at most", "verdict"), rows) if rows else ""


def interval(summary: Summary, digits: int = 3) -> str:
    """Median and confidence interval."""
    if summary.low is None or summary.high is None:
        return f"{summary.median:.{digits}f}"
    return f"{summary.median:.{digits}f} [{summary.low:.{digits}f}, {summary.high:.{digits}f}]"


def milliseconds(seconds: Summary) -> str:
    """Median and quartiles."""
    values = [1e3 * s for s in (seconds.median, seconds.lower_quartile, seconds.upper_quartile)]
    median, lower, upper = (f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in values)
    return f"{median} ({lower} to {upper})"


def _plain(result: Result) -> dict[str, Any]:
    return {
        "settings": dict(result.settings),
        "demands": [asdict(demand) | {"verdict": demand.verdict} for demand in result.demands],
        "figures": {
            key: {name: asdict(s) if isinstance(s, Summary) else s for name, s in own.items()}
            for key, own in result.figures.items()
        },
    }


def _facts(facts: Mapping[str, Any]) -> str:
    text = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.items() if value is not None)
    return text[0].upper() + text[1:]


def _section(result: Result) -> str:
    table = result.table
    return f"## {table.title}\n\n{table.note}\n{_facts(result.settings)}.\n\n{_table(table.columns, table.rows)}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (columns, ["---"] * len(columns), *rows))
