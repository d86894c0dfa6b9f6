"""Whether what `sagd design` expects comes true: the closed form against trained networks, draw by draw.

    python -m benchmarks.design.expected --sets velocity cifar10

Networks are trained under white, half whitened and whitened noise, all else alike, and drawn from with two samplers on
the usual grid and on that which was found, in 4 to 18 steps. A line of the results has the error of the power spectrum
that the closed form expects and that of the samples against what it knows, the training data; the page has both and
their rank correlation.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
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
from sagd.build.schema import DenoiserConfig, ProcessConfig, SamplingConfig
from sagd.data.load import load
from sagd.metrics.spectral import spectral_error
from sagd.noise.basis.base import Basis
from sagd.noise.statistics import measure, radial_profile
from sagd.sampling.base import Sampler
from sagd.sampling.expected import Expected
from sagd.sampling.found_grid import find_grid
from sagd.store.model import load_model, versions
from sagd.study.machine import describe_machine
from sagd.study.train import train

RESULTS = Path(__file__).parent / "results"
EXPONENTS = (0.0, 0.5, 1.0)
STEPS = {"heun": (3, 5, 9), "dpm_solver": (4, 6, 10, 18)}
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
    given = parser.parse_args(args)
    setting = Setting("trial", given.data, given.out, given.work)
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "expected.jsonl"
    for name in given.sets:
        prepare(name, given.data, setting.part(name, "train").parent, setting.of.count)
        for exponent in EXPONENTS:
            if not any((x["data"], x["exponent"]) == (name, exponent) for x in records.read(path)):
                records.append(path, _run(setting, name, exponent))
    (given.out / "expected.md").write_text(page(records.read(path)), encoding="utf-8")


def _run(setting: Setting, name: str, exponent: float) -> dict[str, Any]:
    spectrum = f"whitening(exponent={exponent:g})" if exponent else "flat"
    arm = Arm(ProcessConfig(spectrum=spectrum), DenoiserConfig())
    config = configuration(setting, Job(name, "expected", 0), arm)
    folder = setting.work / "expected" / f"{name}-{exponent:g}"
    shutil.rmtree(folder, ignore_errors=True)
    model = load_model(train(config, folder))
    # Of sets whose held-out part is another place, that says how far the samples are from what was to be learnt.
    known = load(reading(setting, name, "train")).some(_KNOWN).tensor()
    expected = Expected(model.denoiser.process, model.statistics)
    drawn = []
    for sampler, numbers in STEPS.items():
        for steps in numbers:
            for grid in ("matched", str(find_grid(expected, Sampler.parse(sampler), steps))):
                sampling = SamplingConfig(sampler=sampler, steps=steps, grid=grid)
                x = draw(model.denoiser, setting.of.draws, sampling, statistics=model.statistics, batch_size=64)
                error = ring_error(x, known, model.statistics.basis)
                drawn.append(
                    {
                        "sampler": sampler,
                        "steps": steps,
                        "grid": grid,
                        "expected": round(expected.error(sampler, steps, grid), 3),
                        "network": round(error, 3),
                        "evaluated": round(spectral_error(x, known, _RINGS).rms_db, 3),
                    }
                )
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "data": name,
        "exponent": exponent,
        "training_steps": config.training.steps,
        "against": "training data",
        "basis": model.statistics.basis.kind,
        "drawn": drawn,
        "versions": versions(),
        "machine": describe_machine(),
    }


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
        " steps take `2 n - 1` evaluations.",
        "",
    ]
    for sampler in STEPS:
        found, network = zip(*_pairs(lines, sampler), strict=True)
        rank = float(spearmanr(found, network).statistic)
        text.append(f"* `{sampler}`: rank correlation {rank:.2f} over {len(found)} pairs.")
    best = ", ".join(f"{error:.2f} dB ({name})" for name, error in added(lines).items())
    text.append(f"* Errors of networks at their best with noise of the data's spectrum: {best}.")
    for name in dict.fromkeys(line["data"] for line in lines):
        own = [line for line in lines if line["data"] == name]
        steps, basis, against = (own[0][key] for key in ("training_steps", "basis", "against"))
        text += ["", f"## {name}, {steps} steps of training, {basis} basis, against {against}", ""]
        heads = [f"{'white' if not x['exponent'] else 'whitened by ' + format(x['exponent'], 'g')}" for x in own]
        text += ["| sampler | steps | grid | " + " | ".join(heads) + " |", "| --- " * (3 + len(heads)) + "|"]
        for k, first in enumerate(own[0]["drawn"]):
            cells = (f"{x['drawn'][k]['expected']:.2f} / {x['drawn'][k]['network']:.2f}" for x in own)
            grid = "matched" if first["grid"] == "matched" else "found"
            text.append(f"| {first['sampler']} | {first['steps']} | {grid} | " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


def added(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The least error of networks with noise of the data's spectrum over all ways to draw, in dB, by data.

    Next to none is expected of these, so that it is what networks add.
    """
    return {line["data"]: min(way["network"] for way in line["drawn"]) for line in lines if line["exponent"] == 1}


def _pairs(lines: Sequence[dict[str, Any]], sampler: str) -> Iterator[tuple[float, float]]:
    for line in lines:
        yield from ((x["expected"], x["network"]) for x in line["drawn"] if x["sampler"] == sampler)


if __name__ == "__main__":
    main()
