"""MNIST and CIFAR-10 under damage as it is in life: what laps from mode `cleaned` make of it.

The damage is that of `life`, in files of 8 bits. Arms, of the same 2,048 images of a set and the same steps in all:

    clean       white diffusion on clean images
    corrupted   white diffusion on damaged images
    cleaned     mode `cleaned`: on images of which the damage was taken out without a network
    lap 1, 2    that for a lap's steps, and then laps: every image drawn given what it shows under noise of the measured
                power, which the draws of each lap say anew, and as many steps of training on the draws
    oracle      on draws of every image by the model of `clean`, given what it shows under noise of the true power: what
                laps could come to at best

Held-out damaged images are restored besides: by `cleaned`, by the Wiener filter of the true spectra, which knows both
from clean images, and by the mean of draws of the last lap's model.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks import records
from benchmarks.omission.life import DAMAGE, HELD_OUT, Key, band_of, cleaned, damage_of, power_of
from benchmarks.omission.mnist import Bench, Scale, psnr
from benchmarks.omission.restoring import wiener
from sagd.build.schema import OmissionConfig, RunConfig
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.posterior import ROUNDS, posterior
from sagd.store.files import read_tensors
from sagd.store.model import Trained, load_model
from sagd.study.filling import DRAWS, Damage, fill, start_of
from sagd.study.laps import Course, train_in_laps
from sagd.study.train import train

SETS = ("mnist", "cifar10")
LAPS = 2
IMAGES = {"quick": 200, "cpu": 2048, "paper": 60_000}
STEPS = {"quick": 4, "cpu": 400, "paper": 50_000}
"""Steps of a lap, lap 0 included."""
RESTORED = {"quick": 16, "cpu": 256, "paper": 5000}
ARMS = ("clean", "corrupted", "cleaned", "oracle")


def study(
    data: Path,
    out: Path,
    work: Path,
    scale: Scale,
    name: str,
    damages: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    sets: Sequence[str] = SETS[:1],
) -> Path:
    """Run what is missing of the study and write `out/cleaned-laps-NAME.jsonl`; returns it.

    Args:
        data: Folder with `mnist-train.parquet`, `mnist-test.parquet` and so on.
        out: Where results go.
        work: Where runs and features are kept.
        scale: How much is computed.
        name: Its name.
        damages: Damage of `life`; default: all.
        seeds: Seeds of the runs and the damage.
        sets: Sets of images.
    """
    path = out / f"cleaned-laps-{name}.jsonl"
    for of in sets:
        bench: Bench | None = None
        for key in _missing(path, of, damages, seeds):
            bench = bench or Bench(data, work if of == SETS[0] else work / of, scale, of)
            for line in _run(bench, key, name):
                records.append(path, {"data": of} | line)
    return path


def _missing(path: Path, of: str, damages: Sequence[str], seeds: Sequence[int]) -> Iterator[Key]:
    for seed in seeds:
        for damage in (None, *(damages or DAMAGE)):
            done = {x["arm"] for x in records.read(path) if _which(x) == (of, damage, seed)}
            for arm in ARMS[:1] if damage is None else (*ARMS[1:], "laps"):
                if arm not in done and not (arm == "laps" and "lap 1" in done):
                    yield Key(arm, damage, seed)


def _which(line: Mapping[str, Any]) -> tuple[str, str | None, int]:
    """Set, damage and seed; lines of before there were sets are of the first."""
    return line.get("data", SETS[0]), line["damage"], line["seed"]


def _run(bench: Bench, key: Key, name: str) -> list[dict[str, Any]]:
    """Train, sample and measure an arm; a line of it, or one of each lap."""
    start, folder = time.perf_counter(), _folder(bench, key)
    clean = bench.train.tensor()[: IMAGES[name]]
    y = clean if key.damage is None else damage_of(key, clean)
    if key.arm == "laps":
        return _laps(bench, key, name, y, folder)
    if key.arm == "oracle":
        y = _told(_clean_model(bench, key.seed, name), y, clean, key.seed)
    omission = OmissionConfig("cleaned", str(_band(bench, key))) if key.arm == "cleaned" else None
    config = bench.config(key.seed, omission, steps=(LAPS + 1) * STEPS[name])
    shutil.rmtree(folder, ignore_errors=True)
    model = train(config, folder, data=bench.data(y))
    line = _line(bench, key, model, config) | {"seconds": round(time.perf_counter() - start, 1)}
    if key.damage is not None:  # that of clean images is asked again
        shutil.rmtree(folder)
    return [line]


def _folder(bench: Bench, key: Key) -> Path:
    return bench.work / f"{key.arm}-{key.damage}-{key.seed}"


def _sides(bench: Bench) -> tuple[int, ...]:
    return tuple(bench.held_out.shape[2:])


def _band(bench: Bench, key: Key) -> Spectrum:
    return band_of(key, _sides(bench))


def _clean_model(bench: Bench, seed: int, name: str) -> Trained:
    """That of arm `clean`."""
    key = Key("clean", None, seed)
    if not (_folder(bench, key) / "model").exists():
        _run(bench, key, name)
    return load_model(_folder(bench, key))


def _told(model: Trained, y: Tensor, clean: Tensor, seed: int) -> Tensor:
    """Draws of damaged images by a model that is told the true power of what is wrong with them."""
    basis = FourierBasis(tuple(y.shape[2:]))
    noise = basis.forward((y - clean).double()).abs().square().mean(0, keepdim=True)
    return posterior(
        model.denoiser, y, noise, model.statistics.on(basis), rounds=ROUNDS, seed=seed, batch_size=256, progress=True
    )


def _line(bench: Bench, key: Key, path: Path, config: RunConfig) -> dict[str, Any]:
    model = load_model(path)
    samples = bench.drawn(model, config, key.seed)
    line = {
        "arm": key.arm,
        "damage": key.damage,
        "seed": key.seed,
        **bench.figures(samples),
    }
    if key.damage is None:
        powers = {damage: _power_of(bench, samples, Key(key.arm, damage, key.seed)) for damage in DAMAGE}
        return line | {"powers": powers}
    return line | {"power": _power_of(bench, samples, key)}


def _power_of(bench: Bench, samples: Tensor, key: Key) -> float:
    """Power of the damaged band over that of clean images."""
    band, basis = _band(bench, key), FourierBasis(_sides(bench))
    return power_of(samples, band, basis) / power_of(bench.held_out, band, basis)


def _laps(bench: Bench, key: Key, name: str, y: Tensor, folder: Path) -> list[dict[str, Any]]:
    """Lines of all laps; of the best one what it restores."""
    start, data = time.perf_counter(), bench.data(y)
    config = bench.config(key.seed, OmissionConfig("cleaned", str(_band(bench, key)), laps=LAPS), steps=STEPS[name])
    train_in_laps(config, folder, resume=folder.exists(), data=data)
    course, lines = Course(config, data, folder), []
    for number in range(1, LAPS + 1):
        lap = folder / f"lap-{number}"
        if not (lap / "judged").exists():
            break
        own = Key(f"lap {number}", key.damage, key.seed)
        judged = read_tensors(lap / "judged" / "draws.safetensors")[0]
        x = course.drawn_in(number).tensor()
        told = {
            "unpredicted": float(judged["errors"].mean()),
            "draws": bench.distance(x),
            "restored": _restored(bench, key, name, lap / "run"),
            "seconds": round(time.perf_counter() - start, 1),
        }
        lines.append(_line(bench, own, lap / "run", config) | told)
    shutil.rmtree(folder)
    return lines


def _restored(bench: Bench, key: Key, name: str, path: Path) -> dict[str, float]:
    """Error of held-out images, in dB; the power of the damage is measured on them, as `sagd restore` does."""
    model, clean = load_model(path), bench.held_out[: RESTORED[name]]
    y = damage_of(key, bench.held_out, HELD_OUT)
    every = cleaned(y, _band(bench, key))[: len(clean)]
    images = {"damaged": y[: len(clean)], "cleaned": every, "wiener": wiener(y, bench.held_out)[: len(clean)]}
    start = start_of(model, y, Damage.of_band(model, str(_band(bench, key)), y), key.seed, batch_size=256)
    shown = start.y[: len(clean)]
    found = fill(model, shown, start.damage, seed=key.seed, batch_size=256)
    images["network"] = found.images
    return {way: psnr(x.clamp(-1, 1), clean) for way, x in images.items()}


def page(lines: Sequence[dict[str, Any]], scale: Scale, name: str, about: str) -> str:
    """Distances and errors by damage."""
    clean = {_which(x)[::2]: x for x in lines if x["damage"] is None}
    errors = [x["standard_error"] for x in lines]
    arms = [*ARMS[1:3], *(f"lap {k}" for k in range(1, LAPS + 1)), ARMS[3]]
    rows = [
        "| images | damage | seed | clean | " + " | ".join(arms) + " | band power: clean | " + " | ".join(arms) + " |",
        "| --- " * (5 + 2 * len(arms)) + "|",
    ]
    heads = ("images", "damage", "seed", "lap", "damaged", "cleaned", "Wiener, true spectra", "network")
    restored = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for damage, (of, seed) in itertools.product(DAMAGE, clean):
        by = {x["arm"]: x for x in lines if _which(x) == (of, damage, seed)}
        if "corrupted" not in by:
            continue
        best, worst = clean[of, seed]["frechet"], by["corrupted"]["frechet"]
        cells = [f"{x['frechet']:.2f} ({100 * (worst - x['frechet']) / (worst - best):.0f} %)" if x else "-"
                 for x in map(by.get, arms)]  # fmt: skip
        powers = [f"{x['power']:.2f}" if x else "-" for x in map(by.get, arms)]
        own = f"{clean[of, seed]['powers'][damage]:.2f}" if "powers" in clean[of, seed] else "-"
        rows.append(f"| {of} | {damage} | {seed} | {best:.2f} | " + " | ".join((*cells, own, *powers)) + " |")
        for arm, x in by.items():
            if "restored" in x:
                told = (f"{x['restored'][way]:.1f} dB" for way in ("damaged", "cleaned", "wiener", "network"))
                restored.append(f"| {of} | {damage} | {seed} | {arm[4:]} | " + " | ".join(told) + " |")
    floor = " and ".join(f"{x:.2f} ({of})" for of, x in {_which(x)[0]: x["floor"] for x in lines}.items())
    return "\n".join(
        [
            "# Laps from cleaned images: MNIST and CIFAR-10 under damage as it is in life",
            "",
            about,
            "",
            f"{IMAGES[name]:,} images, U-Net {scale.widths}, {STEPS[name]} steps of {scale.batch_size} images a lap;"
            f" `clean`, `corrupted` and `cleaned` have the {(LAPS + 1) * STEPS[name]:,} of all laps up to the last."
            f" {scale.samples:,} samples against {scale.reference:,} clean test images, which score"
            f" {floor} against each other; standard errors {min(errors):.2f} to {max(errors):.2f}. In"
            " parentheses the share of the gap, `(corrupted - arm) / (corrupted - clean)`. `oracle` is trained on draws"
            " by the model of `clean`, which is told the true power of the damage: what laps could come to at best.",
            "",
            "## Fréchet distance of samples, and power of their band over that of clean images",
            "",
            *rows,
            "",
            f"## {RESTORED[name]} held-out images restored, PSNR",
            "",
            f"`network` is the mean of {DRAWS} draws by the model of the lap, given the images under noise of the"
            " measured power, or cleaned ones under that of what is wrong with them, by trials on its own draws.",
            "",
            *restored,
            "",
        ]
    )
