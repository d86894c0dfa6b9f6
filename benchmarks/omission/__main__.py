"""`python -m benchmarks.omission STUDY --data DIR [--scale NAME] [--out DIR]`."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from benchmarks import records
from benchmarks.omission import (
    cifar,
    cleaned_laps,
    detection,
    laps,
    life,
    mnist,
    oracle,
    page,
    real,
    restoring,
    solvers,
)
from sagd.study.machine import describe_machine

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("sagd", "torch", "diffusers", "numpy", "scikit-image")


def main(args: Sequence[str] | None = None) -> None:
    """Run a study from where it was, and write its page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.omission", description="What leaving a band out gives.")
    parser.add_argument("study", choices=[*_STUDIES])
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist-train.parquet and so on")
    parser.add_argument("--scale", choices=[*mnist.SCALES], default="cpu", help="how much is computed; default: cpu")
    parser.add_argument("--bands", type=float, nargs="*", help="mnist: lower edges of the bands to run; default: all")
    parser.add_argument("--seeds", type=int, nargs="*", help="mnist, life: seeds to run; default: those of the scale")
    parser.add_argument(
        "--damages", nargs="*", choices=[*life.DAMAGE, solvers.MASKS_EACH],
        help="cleaned-laps, oracle, restoring, solvers: damage; default: all",
    )  # fmt: skip
    parser.add_argument(
        "--sets", nargs="*", choices=sorted({*cleaned_laps.SETS, *restoring.SETS, *solvers.SETS, *real.SETS}),
        help="cleaned-laps (default: mnist), oracle, restoring, real, solvers (default: all): data",
    )  # fmt: skip
    parser.add_argument("--precision", help="mnist: no or bf16; default: that of the scale")
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory of the results; what is there is kept")
    parser.add_argument("--work", type=Path, default=Path("runs/omission"), help="directory of runs and features")
    given = parser.parse_args(args)
    own = {"cleaned-laps": cleaned_laps.SETS, "solvers": solvers.SETS, "real": tuple(real.SETS)}
    known = own.get(given.study, restoring.SETS)
    if unknown := {*(given.sets or ())} - {*known}:
        parser.error(f"{given.study} is not of {', '.join(sorted(unknown))}; give {', '.join(known)}")
    known = solvers.DAMAGES if given.study == "solvers" else tuple(life.DAMAGE)
    if unknown := {*(given.damages or ())} - {*known}:
        parser.error(f"{given.study} is not of {', '.join(sorted(unknown))}; give {', '.join(known)}")
    given.out.mkdir(parents=True, exist_ok=True)
    print(f"wrote {_STUDIES[given.study](given)}")


def _mnist(given: argparse.Namespace) -> Path:
    scale = mnist.SCALES[given.scale]
    run = replace(scale, seeds=tuple(given.seeds or scale.seeds), precision=given.precision or scale.precision)
    bands = tuple(band for band in mnist.BANDS if not given.bands or band[0] in given.bands)
    path = mnist.study(given.data, given.out, given.work / "mnist", run, given.scale, bands)
    return page.write(path.with_suffix(".md"), page.mnist_page(records.read(path), scale, about()))


def _life(given: argparse.Namespace) -> Path:
    scale = mnist.SCALES[given.scale]
    path = life.study(
        given.data, given.out, given.work / "life", replace(scale, seeds=tuple(given.seeds or scale.seeds)), given.scale
    )
    return page.write(path.with_suffix(".md"), page.life_page(records.read(path), scale, about()))


def _laps(given: argparse.Namespace) -> Path:
    scale = mnist.SCALES[given.scale]
    path = laps.study(given.data, given.out, given.work / "laps", scale, given.scale)
    return page.write(path.with_suffix(".md"), laps.page(list(records.read(path)), scale, given.scale, about()))


def _cleaned_laps(given: argparse.Namespace) -> Path:
    scale = mnist.SCALES[given.scale]
    path = cleaned_laps.study(
        given.data, given.out, given.work / "cleaned-laps", scale, given.scale, given.damages or (),
        given.seeds or (0,), given.sets or cleaned_laps.SETS[:1],
    )  # fmt: skip
    return page.write(path.with_suffix(".md"), cleaned_laps.page(records.read(path), scale, given.scale, about()))


def _restoring(given: argparse.Namespace) -> Path:
    path = restoring.study(
        given.data, given.out, given.work / "restoring", given.scale, given.sets or (), given.damages or (),
        given.seeds or (0,),
    )  # fmt: skip
    return page.write(path.with_suffix(".md"), restoring.page(records.read(path), given.scale, about()))


def _oracle(given: argparse.Namespace) -> Path:
    path = oracle.study(
        given.data, given.out, given.work / "oracle", given.scale, given.sets or (), given.damages or ()
    )
    return page.write(path.with_suffix(".md"), oracle.page(records.read(path), given.scale, about()))


def _real(given: argparse.Namespace) -> Path:
    path = real.study(given.data, given.out, given.work / "real", given.scale, given.sets or (), given.seeds or (0,))
    return page.write(path.with_suffix(".md"), real.page(records.read(path), given.scale, about()))


def _solvers(given: argparse.Namespace) -> Path:
    path = solvers.study(
        given.data, given.out, given.work / "solvers", given.scale, given.sets or (), given.damages or ()
    )
    return page.write(path.with_suffix(".md"), solvers.page(records.read(path), given.scale, about()))


def _cifar(given: argparse.Namespace) -> Path:
    path = cifar.study(given.data, given.out, given.work / "cifar", given.scale)
    return page.write(path.with_suffix(".md"), page.cifar_page(records.read(path), cifar.SCALES[given.scale], about()))


def _detection(given: argparse.Namespace) -> Path:
    path = detection.study(given.data, given.out, sets=12 if given.scale == "quick" else 100)
    found = json.loads(path.read_text(encoding="utf-8"))
    return page.write(path.with_suffix(".md"), page.detection_page(found, about()))


_STUDIES = {
    "mnist": _mnist,
    "life": _life,
    "laps": _laps,
    "cleaned-laps": _cleaned_laps,
    "restoring": _restoring,
    "oracle": _oracle,
    "solvers": _solvers,
    "real": _real,
    "cifar": _cifar,
    "detection": _detection,
}


def about() -> str:
    """Who measured: command, versions and machine."""
    versions = {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}
    stated = [f"{key}: {value}" for key, value in (versions | describe_machine()).items()]
    return f"Written by `python -m benchmarks.omission`. {', '.join(stated)}."


if __name__ == "__main__":
    main()
