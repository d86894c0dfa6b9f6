"""MNIST of which every image lacks frequencies of its own: what laps make of it.

Of the frequencies beyond a tenth of the corner radius a random half is missing, others in every image. Arms:

    clean       white diffusion on the clean images
    filled      white diffusion on the images with 0 for what is missing
    lap 1..3    `process.omission.laps`: draws of what is missing, by a Gaussian prior in the first lap and by the model
                of the lap before in the others, and as many steps of training each

All arms see the same images; laps train longer, so `filled` and `clean` have the steps of all laps together.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks import records
from benchmarks.omission.mnist import Bench, Scale
from sagd.build.schema import OmissionConfig, RunConfig
from sagd.data.corruption import Corruption
from sagd.data.signals import Signals
from sagd.noise.basis.fourier import FourierBasis
from sagd.store.files import read_tensors
from sagd.store.model import load_model
from sagd.study.laps import train_in_laps
from sagd.study.train import train

DAMAGE = "subsampled(keep=0.5, centre=0.1)"
LAPS = 3
IMAGES = {"quick": 200, "cpu": 2048, "paper": 60_000}
STEPS = {"quick": 4, "cpu": 400, "paper": 50_000}
"""Steps of a lap."""


def study(data: Path, out: Path, work: Path, scale: Scale, name: str, seed: int = 0) -> Path:
    """Run what is missing of the study and write `out/laps-NAME.jsonl`; returns it.

    Args:
        data: Folder with `mnist-train.parquet` and `mnist-test.parquet`.
        out: Where results go.
        work: Where runs and features are kept.
        scale: How much is computed.
        name: Its name.
        seed: Seed of the runs.
    """
    path = out / f"laps-{name}.jsonl"
    done = {x["arm"] for x in records.read(path)}
    arms = [arm for arm in ("clean", "filled") if arm not in done]
    if not arms and any(arm.startswith("lap") for arm in done):
        return path
    bench = Bench(data, work, scale)
    clean = bench.train.tensor()[: IMAGES[name]]
    signals = Signals("mnist", clean, corruption=Corruption.parse(DAMAGE), corruption_seed=seed)
    for arm in arms:
        start, folder = time.perf_counter(), work / f"{arm}-{seed}"
        shutil.rmtree(folder, ignore_errors=True)
        config = bench.config(seed, steps=LAPS * STEPS[name])
        model = train(config, folder, data=signals.clean if arm == "clean" else signals)
        records.append(path, _line(bench, arm, model, config, seed, start))
    if not any(arm.startswith("lap") for arm in done):
        start, folder = time.perf_counter(), work / f"laps-{seed}"
        config = bench.config(seed, OmissionConfig(laps=LAPS), steps=STEPS[name])
        train_in_laps(config, folder, resume=folder.exists(), data=signals)
        for number in range(1, LAPS + 1):
            lap = folder / f"lap-{number}"
            if not lap.exists():
                break
            line = _line(bench, f"lap {number}", lap / "run", config, seed, start)
            judged = read_tensors(lap / "judged" / "draws.safetensors")[0]
            draws = read_tensors(lap / "draws" / "draws.safetensors")[0]["x"]
            told = {"unpredicted": float(judged["errors"].mean()), "power": float(judged["power"])}
            records.append(path, line | told | {"draws": bench.distance(draws)} | _restored(clean, draws))
    return path


def _restored(clean: Tensor, draws: Tensor) -> dict[str, float]:
    """Power of the draws by that of the clean images, where some of them lack something."""
    basis = FourierBasis((28, 28))
    outside = (basis.relative_radius() > 0.1) * basis.multiplicity()

    def power(x: Tensor) -> float:
        return float((outside * basis.forward((x - x.mean(0)).double()).abs().square()).sum() / len(x))

    return {"power_over_clean": power(draws) / power(clean[: len(draws)])}


def _line(bench: Bench, arm: str, model: Path, config: RunConfig, seed: int, start: float) -> dict[str, Any]:
    trained = load_model(model)
    samples = bench.drawn(trained, config, seed)
    return {
        "arm": arm,
        "seed": seed,
        **bench.figures(samples),
        "seconds": round(time.perf_counter() - start, 1),
    }


def page(lines: list[dict[str, Any]], scale: Scale, name: str, about: str) -> str:
    """Distances by arm."""
    by = {x["arm"]: x for x in lines}
    gap = by["filled"]["frechet"] - by["clean"]["frechet"]
    rows = [
        "| arm | Fréchet distance | gap closed | not predicted of hidden | power of draws over clean |",
        "| --- | --- | --- | --- | --- |",
    ]
    for arm, x in by.items():
        share = 100 * (by["filled"]["frechet"] - x["frechet"]) / gap
        own = f"{100 * x['unpredicted']:.1f} % | {x['power_over_clean']:.2f}" if "unpredicted" in x else "- | -"
        rows.append(f"| {arm} | {x['frechet']:.2f} ± {x['standard_error']:.2f} | {share:.0f} % | {own} |")
    return "\n".join(
        [
            "# Laps: MNIST of which every image lacks frequencies of its own",
            "",
            about,
            "",
            f"{IMAGES[name]:,} images under `{DAMAGE}`, {STEPS[name]} steps of {scale.batch_size} images a lap, U-Net"
            f" {scale.widths}; `clean` and `filled` (0 for what is missing) have the steps of {LAPS} laps."
            f" {scale.samples:,} samples against {scale.reference:,} clean test images, which score"
            f" {lines[0]['floor']:.2f} against each other; one seed, ± the standard error of the samples. The first"
            " lap's draws are of a Gaussian prior, those of the others of the model of the lap before.",
            "",
            *rows,
            "",
        ]
    )
