"""Real damage: microscope images under real curtaining and electrocardiograms under real hum, from files to files.

The data are those of `benchmarks.clean.cases`: six pairs of microscope images (192 x 192), and pieces of two leads of
an electrocardiogram under the hum of another one. All that is known are the damaged files: the band is looked for, a
model is trained on windows of them, by mode `fill` or in laps from mode `cleaned`, and they are restored, and written
again. Clean files are used to measure by, after it was decided without them what is taken. `excess` is how far the band
is over its surroundings, in dB, which tells whether damage is drawn back.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from benchmarks.clean.cases import SNR, all_cases
from sagd.build.schema import RunConfig
from sagd.build.text import from_dict
from sagd.store.model import load_model
from sagd.study.filling import Hidden
from sagd.study.laps import train_in_laps
from sagd.study.train import train
from sagd.study.wholes import restore_wholes

ARMS = ("fill", "laps")
WAYS = ("damaged", "network", "clean", "removal")
STEPS = {"quick": 4, "cpu": 400, "paper": 20_000}
LAPS = 2
PIECES = 4
"""Of each lead."""


@dataclass(frozen=True)
class Set:
    """Pairs of files, and windows that models are of.

    Attributes:
        write: Writes the clean and the damaged files into two folders.
        data: How they are read.
        size: Side of windows, by arm.
    """

    write: Callable[[Path, Path, Path], None]
    data: dict[str, Any]
    size: dict[str, int]


def study(data: Path, out: Path, work: Path, name: str, sets: Sequence[str], seeds: Sequence[int]) -> Path:
    """Run what is missing of the study and write `out/real-NAME.jsonl`; returns it.

    Args:
        data: Folder with `damaged/fib_semi` and `ecg`.
        out: Where results go.
        work: Where files and runs are kept.
        name: Name of the scale.
        sets: Sets of files; default: all.
        seeds: Seeds of the runs.
    """
    path = out / f"real-{name}.jsonl"
    for seed in seeds:
        for of in sets or SETS:
            for arm in ARMS:
                if not any((x["data"], x["arm"], x["seed"]) == (of, arm, seed) for x in records.read(path)):
                    folder = work / f"{of}-{arm}-{seed}"
                    records.append(path, _run(data, folder, of, arm, seed, STEPS[name]))
                    shutil.rmtree(folder)
    return path


def _run(data: Path, folder: Path, of: str, arm: str, seed: int, steps: int) -> dict[str, Any]:
    start, clean, damaged = time.perf_counter(), folder / "clean", folder / "damaged"
    for each in (clean, damaged):
        each.mkdir(parents=True, exist_ok=True)
    SETS[of].write(data, clean, damaged)
    run = folder / "run"
    trains = train if arm == "fill" else train_in_laps
    model = load_model(trains(_configuration(SETS[of], damaged, arm, seed, steps), run, resume=run.exists()))
    trained, hidden = time.perf_counter(), Hidden.of(model)
    band = None if hidden is None else hidden.band
    found = restore_wholes(model, [damaged], folder / "told", clean=clean, band=band, seed=seed, progress=True)
    restored = time.perf_counter()
    blind = restore_wholes(model, [damaged], folder / "blind", band=band, seed=seed, progress=True).sides
    return {
        "data": of,
        "arm": arm,
        "seed": seed,
        "band": str(model.omission.band),
        "laps": max(0, sum(1 for lap in run.glob("lap-*/judged")) - 1),
        "psnr": {way: found.sides.psnr(way) for way in WAYS},
        "excess": {way: found.sides.mean_excess(way) for way in WAYS},
        "taken": blind.taken,
        "why": blind.line(),
        "seconds": {"training": round(trained - start, 1), "restoring": round(restored - trained, 1)},
    }


def _configuration(of: Set, folder: Path, arm: str, seed: int, steps: int) -> RunConfig:
    omission = {"mode": "fill"} if arm == "fill" else {"mode": "cleaned", "laps": LAPS}
    training = {"steps": steps if arm == "laps" else (LAPS + 1) * steps, "batch_size": 16, "lr": 2e-3,
                "warmup_steps": min(50, steps), "ema_decay": 0.98, "precision": "no", "sample_every": 0,
                "seed": seed}  # fmt: skip
    config = {
        "data": {"source": str(folder), "fit": "crop", "size": of.size[arm], **of.data},
        "process": {"omission": omission},
        "network": {"widths": [16, 32, 32]},
        "training": training,
    }
    return from_dict(RunConfig, config)


def _images(data: Path, clean: Path, damaged: Path) -> None:
    for folder, kind in ((clean, "clean"), (damaged, "damaged")):
        for path in sorted((data / "damaged" / "fib_semi").glob(f"*_{kind}.png")):
            shutil.copy(path, folder / f"{path.name[:2]}.png")


def _hearts(data: Path, clean: Path, damaged: Path) -> None:
    for case in all_cases(data):
        if case.group == "ECG" and case.strength == "middle":
            for folder, x in zip((clean, damaged), case.make(), strict=True):
                for k, piece in enumerate(np.split(x, PIECES)):
                    np.save(folder / f"{case.data.replace(' ', '-')}-{k}.npy", piece.astype(np.float32))


SETS = {
    "microscope": Set(_images, {}, {"fill": 64, "laps": 32}),
    "heart": Set(_hearts, {"kind": "series", "axes": "T", "rate": 250.0}, dict.fromkeys(ARMS, 256)),
}


def page(lines: Sequence[dict[str, Any]], name: str, about: str) -> str:
    """Errors and excess by set and arm."""
    heads = ("files", "model", "seed", "damaged", "network", "cleaned", "band deleted", "taken without clean files")
    rows = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for x in lines:
        own = (f"{x['psnr'][way]:.1f} dB ({x['excess'][way]:+.1f})" for way in WAYS)
        arm = x["arm"] if x["arm"] == "fill" else f"laps, {x['laps']} tried"
        rows.append("| " + " | ".join((x["data"], arm, str(x["seed"]), *own, x["taken"])) + " |")
    return "\n".join(
        [
            "# Real damage, from files to files",
            "",
            about,
            "",
            f"`microscope`: six images of 192 x 192 under real curtaining; `heart`: {2 * PIECES} pieces of 10 s of two"
            f" leads under the real hum of another record, at {SNR['middle']} dB. All that is known are these files:"
            " the band is looked for in them, models are trained on windows of them and restore them. PSNR against the"
            " clean files, in what models see (2 is the whole range); in parentheses how far the band is over its"
            " surroundings, in dB: over 1 the damage shows. What is taken is decided without the clean files."
            f" U-Net (16, 32, 32), {(LAPS + 1) * STEPS[name]:,} steps of 16 windows in all.",
            "",
            *rows,
            "",
        ]
    )
