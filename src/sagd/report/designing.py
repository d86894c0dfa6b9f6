"""A design as one self-contained HTML page: the answer, the data, what was expected; draws, never computes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sagd.data.drawing import COLOURS, FONT, INK, MUTED, add_legend, label_axes, log_axis, style, tidy_axes
from sagd.designs.search import ADDED_DB, FEW, FLAT_DB
from sagd.optional import need
from sagd.report.figures import RHO_LABEL, WIDTH
from sagd.report.pictures import Picture, plot
from sagd.report.template import fill
from sagd.report.wording import number
from sagd.store.files import to_json, write_file
from sagd.study.designing import Design

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REPORT = "report.html"
_GAUSSIAN = "a Gaussian of that spectrum is to be learnt: in closed form"
_UNEQUAL = "a Gaussian of that spectrum is to be learnt, louder or softer by item: by the exact denoiser of that law"
_NAMES = {0.0: "white", 0.5: "half whitened", 1.0: "whitened"}


def render_design(design: Design) -> str:
    """The page."""
    return fill("designing.html", _page(design))


def write_design(design: Design, folder: Path) -> None:
    """Write what a design found: design.json, noise.npy with the weights at all frequencies, and report.html."""
    array = io.BytesIO()
    np.save(array, design.weights.numpy(), allow_pickle=False)
    write_file(folder / "design.json", to_json(design.to_dict()))
    write_file(folder / "noise.npy", array.getvalue())
    write_file(folder / REPORT, render_design(design).encode())


def _page(design: Design) -> dict[str, Any]:
    search = design.search
    rows = [
        {
            "noise": _name(c.exponent),
            "sampler": c.sampler,
            "steps": c.steps,
            "grid": c.grid,
            "error": number(c.error),
            "chosen": c == design.chosen,
        }
        for c in sorted(search.candidates, key=lambda c: c.error)
    ]
    return {
        "title": "Which noise for this data?",
        "subtitle": f"{design.name}, {' x '.join(map(str, design.shape))}",
        "answer": design.lines(),
        "spectrum": _spectrum(design),
        "flatness": _flatness(design) if any(r.flatness is not None for r in design.rings) else None,
        "gain": _gain(design),
        "gains": [
            {"evaluations": n, "gain": number(gain)}
            | {name: number(search.usual[n][exponent].error) for name, exponent in (("white", 0.0), ("whitened", 1.0))}
            for n, gain in search.gains().items()
        ],
        "few": search.evaluations <= FEW,
        "flat": f"{FLAT_DB:g}",
        "added": " to ".join(f"{error:g}" for error in ADDED_DB),
        "learnt": _UNEQUAL if design.unequal else _GAUSSIAN,
        "rows": rows,
        "race": [
            {"noise": _name(one["exponent"]), "prediction": one["prediction"], "steps": one["steps"]}
            | {"errors": [number(value) for value in one["errors"].values()], "score": number(one["score"])}
            | {"vetoed": ", ".join(one["vetoed"])}
            for one in design.decision.race
        ],
        "learning": [
            {"noise": _name(one.exponent), "prediction": one.prediction}
            | {"input": f"{one.input_db:.0f}", "target": f"{one.target_db:.0f}"}
            for one in design.learning
        ],
        "evaluations": search.evaluations,
    }


def _name(exponent: float) -> str:
    return _NAMES.get(exponent, f"whitened by {exponent:g}")


def _figure() -> Figure:
    need("matplotlib")
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, 2.9), layout="constrained")


def _spectrum(design: Design) -> Picture:
    figure = _figure()
    axes = figure.subplots()
    centres = [(ring.low + ring.high) / 2 for ring in design.rings]
    axes.plot(centres, [ring.power for ring in design.rings], color=INK, label="data")
    axes.plot(centres, [ring.noise for ring in design.rings], color=COLOURS[0], ls="--", label="noise")
    _finish(axes, RHO_LABEL, "power (white noise: 1)")
    return plot(figure, "Power of the data and of the noise by frequency")


def _flatness(design: Design) -> Picture:
    figure = _figure()
    axes = figure.subplots()
    known = [(ring.low + ring.high, ring.flatness) for ring in design.rings if ring.flatness is not None]
    axes.plot([c / 2 for c, _ in known], [f for _, f in known], color=INK, label="data")
    axes.axhline(3, color=MUTED, ls="--", lw=1, label="a Gaussian")
    _finish(axes, RHO_LABEL, "flatness")
    return plot(figure, "Flatness of the data by frequency")


def _finish(axes: Axes, x: str, y: str) -> None:
    """What the curves have in common."""
    log_axis(axes, "y")
    label_axes(axes, x, y)
    add_legend(axes)
    tidy_axes(axes)


def _gain(design: Design) -> Picture:
    figure = _figure()
    axes = figure.subplots()
    usual = design.search.usual
    for k, exponent in enumerate(sorted(next(iter(usual.values())))):
        errors = [of[exponent].error for of in usual.values()]
        axes.plot(list(usual), errors, ms=4, **style(k).line, label=_name(exponent))
    chosen = design.chosen
    axes.plot([design.search.evaluations], [chosen.error], color=INK, marker="*", ms=11, ls="", label="the design")
    axes.set_xscale("log")
    axes.set_xticks(list(usual), [str(n) for n in usual], fontsize=FONT)
    axes.minorticks_off()
    _finish(axes, "evaluations of the network for a sample", "expected error (dB)")
    return plot(figure, "Expected error of the power spectrum by number of evaluations, for several kinds of noise")
