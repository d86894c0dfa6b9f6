"""All results on one page: every demand with its verdict, and the figures that people ask for first as pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.speed.result import demands_table
from benchmarks.speed.timing import Demand, Summary
from sagd.data.drawing import style, tidy_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE, PICTURE = "README.md", "overview.png"
HEADER = """\
# What shaped noise costs, in short

Written by `python -m benchmarks.speed` from the results beside it; [how it measures](../README.md).
"""
CAPTION = """\
Left: time of a draw by the number of values of one field. Middle: the same noise by a dense Cholesky factor, without
its set-up. Right: U-Nets of equal multiply-adds, images a second in training (shapes of CIFAR and MNIST), medians; the
ratios below are taken within rounds and are the surer figures.
"""
_TRAINING = ", training"
_PEERS = {"sagd": "sagd", "diffusers": "diffusers", "denoising_diffusion_pytorch": "denoising-\ndiffusion-pytorch"}

Results = Mapping[str, Mapping[str, Any]]
"""Study -> its settings, demands and figures."""


def write(out: Path) -> Path:
    """Write `README.md` and its picture into a directory of results; returns the page."""
    paths = sorted(out.glob("*.json"))
    studies = {path.stem: json.loads(path.read_text(encoding="utf-8"))[path.stem] for path in paths}
    sections = [HEADER]
    if {"noise", "dense", "peers"} <= studies.keys():
        picture(studies).savefig(out / PICTURE, dpi=150)
        sections += [f"![Draws by size, dense and spectral, training beside other libraries]({PICTURE})\n", CAPTION]
    for name, study in studies.items():
        demands = [_demand(d) for d in study["demands"]]
        facts = f"[{name}]({name}.md)" + (":" if demands else ": no demand, only figures.")
        sections += [facts + "\n", demands_table(demands)]
    page = out / PAGE
    page.write_text("\n".join(part for part in sections if part), encoding="utf-8")
    return page


def _demand(found: Mapping[str, Any]) -> Demand:
    return Demand(found["text"], Summary(**found["measured"]), found["limit"], found["unit"])


def picture(studies: Results) -> Figure:
    """Draws by size, dense against spectral draws, and training beside other libraries."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    sizes, dense, peers = panels = figure.subplots(1, 3)
    for axes in panels:
        tidy_axes(axes)
    _draw_sizes(sizes, studies["noise"]["figures"])
    _draw_dense(dense, studies["dense"]["figures"])
    _draw_peers(peers, studies["peers"]["figures"])
    return figure


def _shape(name: str) -> tuple[int, ...]:
    """`16x1x256x256` as numbers."""
    return tuple(map(int, name.split("x")))


def _draw_sizes(axes: Axes, figures: Mapping[str, Any]) -> None:
    """Nanoseconds per value by size of a field, a line for each rank."""
    for rank in (1, 2, 3):
        own = {_shape(name): f for name, f in figures.items() if len(_shape(name)) == rank + 2 and _shape(name)[1] == 1}
        n = [math.prod(shape[2:]) for shape in own]
        per_value = [1e9 * f["shaped"]["median"] / math.prod(shape) for shape, f in own.items()]
        axes.plot(n, per_value, **style(rank - 1).line, markersize=4, label=f"shaped, {rank}-D")
        if rank == 2:
            white = [1e9 * f["white"]["median"] / math.prod(shape) for shape, f in own.items()]
            axes.plot(n, white, color="#6b6b6b", linewidth=2, label="torch.randn, 2-D")
    axes.set(xscale="log", ylim=(0, None), xlabel="values of a field", ylabel="ns per value", title="Drawing noise")
    axes.legend(fontsize=8, frameon=False)


def _draw_dense(axes: Axes, figures: Mapping[str, Any]) -> None:
    """Milliseconds of a draw by size of a field."""
    own = {_shape(name): f for name, f in figures.items() if name != "growth"}
    n = [math.prod(shape[1:]) for shape in own]
    for i, (kind, label) in enumerate((("spectral draw", "spectral"), ("dense draw", "dense Cholesky factor"))):
        axes.plot(n, [1e3 * f[kind]["median"] for f in own.values()], **style(i).line, markersize=4, label=label)
    axes.set(xscale="log", yscale="log", xlabel="size of a field", title="Against a dense factor")
    axes.set_xticks(n, ["x".join(map(str, shape[2:])) for shape in own], fontsize=9)
    axes.minorticks_off()
    axes.set_ylabel(f"ms for {next(iter(own))[0]} fields")
    axes.legend(fontsize=8, frameon=False)


def _draw_peers(axes: Axes, figures: Mapping[str, Any]) -> None:
    """Images a second in training, a group of bars for each case."""
    cases = [name for name in figures if name.endswith(_TRAINING)]
    width = 0.8 / len(_PEERS)
    for i, (peer, label) in enumerate(_PEERS.items()):
        rates = [_batch(case) / figures[case][peer]["median"] for case in cases]
        places = [k + (i - 1) * width for k in range(len(cases))]
        bars = axes.bar(places, rates, 0.9 * width, color=style(i).colour, label=label)
        axes.bar_label(bars, fmt="%.1f", fontsize=8)
    axes.set_xticks(range(len(cases)), [case.removesuffix(_TRAINING).replace(", batch", ",\nbatch") for case in cases])
    axes.set(ylabel="images a second", title="A training step")
    axes.legend(fontsize=8, frameon=False, loc="upper left")


def _batch(case: str) -> int:
    return int(case.removesuffix(_TRAINING).rpartition(" ")[2])
