"""Whether what `sagd design` expects comes true: the closed form against trained networks, draw by draw.

    python -m benchmarks.design.expected --sets velocity cifar10

Networks are trained under white, half whitened and whitened noise, all else alike, and drawn from with two samplers on
the usual grid and on that which was found, in 4 to 18 steps. A line of the results has the error of the power spectrum
that the closed form expects and that of the samples against what it knows, the training data; the page has both and
their rank correlation.

Of data whose items are unequal (`sagd.noise.scales`), `expected` is that of a Gaussian all the same; beside it
`mixture` is what the law of the powers lets expect, and besides the grid of least error for a Gaussian, `found`, there
is that for the law, `by_items`. `--expect` computes `mixture` for lines that lack it, without training.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr
from torch import Tensor

from benchmarks import records
from benchmarks.design.__main__ import DATA
from benchmarks.design.arms import Arm
from benchmarks.design.data import SETS, prepare
from benchmarks.design.run import Job, Setting, configuration, reading
from sagd.build.draw import draw
from sagd.build.objects import build_process
from sagd.build.schema import DenoiserConfig, ProcessConfig, SamplingConfig
from sagd.data.load import load
from sagd.metrics.spectral import spectral_error
from sagd.noise.basis.base import Basis
from sagd.noise.statistics import measure, radial_profile
from sagd.sampling.base import Sampler
from sagd.sampling.expected import Expected
from sagd.sampling.found_grid import find_grid
from sagd.store.model import Trained, load_model, versions
from sagd.study.machine import describe_machine
from sagd.study.measuring import process_statistics
from sagd.study.train import train

RESULTS = Path(__file__).parent / "results"
EXPONENTS = (0.0, 0.5, 1.0)
STEPS = {"heun": (3, 5, 9), "dpm_solver": (4, 6, 10, 18)}
_BOTH = ("expected", "mixture")
_RINGS = 16
_KNOWN = 2048
"""Fields of the training data that samples are held against."""


def main(args: Sequence[str] | None = None) -> None:
    """Run what is missing, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.design.expected", description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=[*SETS], default=["velocity"], help="default: velocity")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the raw data")
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory of the results")
    parser.add_argument("--work", type=Path, default=Path("runs/design"), help="directory of data and runs")
    parser.add_argument(
        "--expect", action="store_true", help="train nothing; add what is expected by the law of powers"
    )
    given = parser.parse_args(args)
    setting = Setting("trial", given.data, given.out, given.work)
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "expected.jsonl"
    if given.expect:
        lines = [_with_mixture(setting, line) for line in records.read(path)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    for name in () if given.expect else given.sets:
        prepare(name, given.data, setting.part(name, "train").parent, setting.of.count)
        for exponent in EXPONENTS:
            if not any((x["data"], x["exponent"]) == (name, exponent) for x in records.read(path)):
                records.append(path, _run(setting, name, exponent))
    (given.out / "expected.md").write_text(page(records.read(path)), encoding="utf-8")


def _run(setting: Setting, name: str, exponent: float) -> dict[str, Any]:
    arm = Arm(ProcessConfig(spectrum=_noise(exponent)), DenoiserConfig())
    config = configuration(setting, Job(name, "expected", 0), arm)
    folder = setting.work / "expected" / f"{name}-{exponent:g}"
    shutil.rmtree(folder, ignore_errors=True)
    line = measured(setting, name, exponent, load_model(train(config, folder)))
    shutil.rmtree(folder, ignore_errors=True)
    return line


def measured(setting: Setting, name: str, exponent: float, model: Trained) -> dict[str, Any]:
    """The line of a trained model."""
    # Of sets whose held-out part is another place, that says how far the samples are from what was to be learnt.
    known = load(reading(setting, name, "train")).some(_KNOWN).tensor()
    process, statistics = model.denoiser.process, model.statistics
    items, gaussian = (Expected(process, s) for s in (statistics, dataclasses.replace(statistics, scales=None)))
    drawn = []
    for sampler, numbers in STEPS.items():
        for steps in numbers:
            grids = {"matched": "matched", "found": str(find_grid(gaussian, Sampler.parse(sampler), steps))}
            if statistics.scales is not None:
                grids["by_items"] = str(find_grid(items, Sampler.parse(sampler), steps))
            for kind, grid in grids.items():
                sampling = SamplingConfig(sampler=sampler, steps=steps, grid=grid)
                x = draw(model.denoiser, setting.of.draws, sampling, statistics=statistics, batch_size=64)
                error = ring_error(x, known, statistics.basis)
                drawn.append(
                    {
                        "sampler": sampler,
                        "steps": steps,
                        "grid": grid,
                        "kind": kind,
                        "expected": round(gaussian.error(sampler, steps, grid), 3),
                        "mixture": round(items.error(sampler, steps, grid), 3),
                        "network": round(error, 3),
                        "evaluated": round(spectral_error(x, known, _RINGS).rms_db, 3),
                    }
                )
    return {
        "data": name,
        "exponent": exponent,
        "training_steps": model.config.training.steps,
        "against": "training data",
        "basis": model.statistics.basis.kind,
        "drawn": drawn,
        "versions": versions(),
        "machine": describe_machine(),
    }


def _noise(exponent: float) -> str:
    return f"whitening(exponent={exponent:g})" if exponent else "flat"


def _with_mixture(setting: Setting, line: dict[str, Any]) -> dict[str, Any]:
    """A line with `mixture` where it lacks that."""
    if all("mixture" in way for way in line["drawn"]):
        return line
    data = load(reading(setting, line["data"], "train"))
    config = ProcessConfig(spectrum=_noise(line["exponent"]), basis=line["basis"])
    statistics = process_statistics(data, config)
    process = build_process(config, data.shape, statistics, data.classes, data.meaning.grid())
    expected = Expected(process, statistics)
    drawn = [
        way | {"mixture": round(expected.error(way["sampler"], way["steps"], way["grid"]), 3)} for way in line["drawn"]
    ]
    return line | {"drawn": drawn}


def ring_error(x: Tensor, known: Tensor, basis: Basis) -> float:
    """Error of the power by ring, rms in dB, in a basis: that of the process, where windows have no ends that leak.

    Args:
        x: Samples `(N, C, *spatial)`.
        known: Data.
        basis: In which powers are measured.
    """
    ours, theirs = (radial_profile(measure(z, basis).spectrum, basis, _RINGS).values.mean(0) for z in (x, known))
    off = 10 * (ours / theirs).log10()
    return float(off[off.isfinite()].square().mean().sqrt())


def page(lines: Sequence[dict[str, Any]]) -> str:
    """The page of the results."""
    text = [
        "# What a design expects, and what networks do",
        "",
        "Written by `python -m benchmarks.design.expected`. Error of the power spectrum, rms over 16 rings, in dB: as"
        " the closed form expects it / of 256 samples of a network against fields of the data; one seed. Heun's `n`"
        " steps take `2 n - 1` evaluations. Of data whose items are unequal: as the closed form expects it of a"
        " Gaussian / as the law of their powers lets expect / of the network; `found` is then the grid for a Gaussian,"
        " and `found by items` that for the law.",
        "",
        "Rank correlation of what is expected with what networks do on the grids `matched` and `found`:",
        "",
        "| data | sampler | pairs | of a Gaussian | by the law of powers | the better grid is told, of a Gaussian"
        " | by the law |",
        "| --- " * 7 + "|",
    ]
    names = list(dict.fromkeys(line["data"] for line in lines))
    for name in ("all", *names):
        own = [line for line in lines if name in ("all", line["data"])]
        for sampler in ("both", *STEPS):
            text.append(_correlated(name, sampler, own))
    best = ", ".join(f"{error:.2f} dB ({name})" for name, error in added(lines).items())
    text += ["", f"Errors of networks at their best with noise of the data's spectrum: {best}."]
    for name in names:
        own = [line for line in lines if line["data"] == name]
        steps, basis, against = (own[0][key] for key in ("training_steps", "basis", "against"))
        text += ["", f"## {name}, {steps} steps of training, {basis} basis, against {against}", ""]
        heads = [f"{'white' if not x['exponent'] else 'whitened by ' + format(x['exponent'], 'g')}" for x in own]
        text += ["| sampler | steps | grid | " + " | ".join(heads) + " |", "| --- " * (3 + len(heads)) + "|"]
        by_way = [{(way["sampler"], way["steps"], _kind(way)): way for way in line["drawn"]} for line in own]
        for sampler, steps, kind in max(by_way, key=len):
            cells = " | ".join(_cell(ways.get((sampler, steps, kind))) for ways in by_way)
            text.append(f"| {sampler} | {steps} | {kind.replace('_', ' ')} | {cells} |")
    return "\n".join(text) + "\n"


def _kind(way: dict[str, Any]) -> str:
    """`matched`, `found` or `found_by_items`."""
    if way["grid"] == "matched":
        return "matched"
    return "found_by_items" if way.get("kind") == "by_items" else "found"


def _cell(way: dict[str, Any] | None) -> str:
    if way is None:
        return ""
    known = [way["expected"], way["network"]]
    if abs(way["mixture"] - way["expected"]) > 0.01:
        known.insert(1, way["mixture"])
    return " / ".join(f"{error:.2f}" for error in known)


def _correlated(name: str, sampler: str, lines: Sequence[dict[str, Any]]) -> str:
    """A line of the table of rank correlations."""
    usual = [
        way
        for line in lines
        for way in line["drawn"]
        if _kind(way) != "found_by_items" and sampler in ("both", way["sampler"])
    ]
    pairs = list(zip(usual[::2], usual[1::2], strict=True))
    cells = [name, sampler, str(len(usual))]
    network = [way["network"] for way in usual]
    cells += [f"{spearmanr([way[key] for way in usual], network).statistic:.2f}" for key in _BOTH]
    for key in _BOTH:
        told = sum((a[key] < b[key]) == (a["network"] < b["network"]) for a, b in pairs)
        cells.append(f"{told} of {len(pairs)}")
    return "| " + " | ".join(cells) + " |"


def added(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The least error of networks with noise of the data's spectrum over all ways to draw, in dB, by data.

    Next to none is expected of these, so that it is what networks add.
    """
    return {line["data"]: min(way["network"] for way in line["drawn"]) for line in lines if line["exponent"] == 1}


if __name__ == "__main__":
    main()
