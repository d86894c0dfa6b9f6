"""Which sampler, in how many steps, posterior draws had better be made by.

Models of clean MNIST digits and photographs are told the true power of the damage of `life`, as it is in life, or which
frequencies are missing, and draw held-out images eight times, by Heun's method and by DPM-Solver++(2M) in several
numbers of steps. Of each are said

    seconds     of all draws
    psnr        of the mean of the draws, against the clean images
    spread      variance of the draws about their mean over the error that this leaves, 1 of draws that say truly how
                sure they are
    power       of single draws over that of the clean images, where something was damaged
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import records
from benchmarks.omission import restoring
from benchmarks.omission.laps import DAMAGE as MASKS
from benchmarks.omission.life import HELD_OUT, Key, damage_of
from benchmarks.omission.mnist import SCALES, psnr
from sagd.build.schema import RunConfig
from sagd.build.text import from_dict
from sagd.data.config import DataConfig
from sagd.data.corruption import Corruption
from sagd.data.load import load
from sagd.data.signals import Signals
from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.posterior import filled
from sagd.store.model import Trained, load_model
from sagd.study.train import train

DIGITS, MASKS_EACH = "mnist", "masks"
SETS = (DIGITS, "photographs")
DAMAGES = ("moire", "stripes", "rain", MASKS_EACH)
WAYS = (("heun", 18), *(("dpm_solver", steps) for steps in (4, 6, 9, 12, 18)))
STEPS = {"quick": 4, "cpu": 1200, "paper": 100_000}
IMAGES = {"quick": 4, "cpu": 64, "paper": 1024}
DRAWS = 8


def study(data: Path, out: Path, work: Path, name: str, sets: Sequence[str], damages: Sequence[str]) -> Path:
    """Run what is missing of the study and write `out/solvers-NAME.jsonl`; returns it.

    Args:
        data: Folder with the raw data.
        out: Where results go.
        work: Where models are kept.
        name: Name of the scale.
        sets: Sets of images; default: all.
        damages: Damage of `life`, or masks; default: all.
    """
    path = out / f"solvers-{name}.jsonl"
    for of in sets or SETS:
        done = {(x["damage"], x["sampler"], x["steps"]) for x in records.read(path) if x["data"] == of}
        missing = [(d, *way) for d in damages or DAMAGES for way in WAYS if (d, *way) not in done]
        if missing:
            known, clean = _images(data, of)
            model = _trained(work / of, of, known, STEPS[name])
            for line in _lines(model, clean[: IMAGES[name]], missing):
                records.append(path, {"data": of, **line})
    return path


def _images(data: Path, of: str) -> tuple[Tensor, Tensor]:
    """Those that are trained on, and others."""
    if of != DIGITS:
        return restoring.images(data, of)
    return tuple(load(DataConfig(source=str(data / f"mnist-{part}.parquet"))).some(20_000).tensor()
                 for part in ("train", "test"))  # type: ignore[return-value] # fmt: skip


def _trained(folder: Path, of: str, known: Tensor, steps: int) -> Trained:
    if not (folder / "model").exists():
        train(_configuration(steps), folder, resume=folder.exists(), data=Signals(of, known))
    return load_model(folder)


def _configuration(steps: int) -> RunConfig:
    cpu = SCALES["cpu"]
    training = {"steps": steps, "batch_size": cpu.batch_size, "lr": cpu.lr, "warmup_steps": min(50, steps),
                "ema_decay": cpu.ema, "precision": "no", "sample_every": 0}  # fmt: skip
    return from_dict(RunConfig, {"network": {"widths": list(cpu.widths)}, "training": training})


def _lines(model: Trained, clean: Tensor, ways: Sequence[tuple[str, str, int]]) -> Iterator[dict[str, Any]]:
    basis = FourierBasis(tuple(clean.shape[2:]))
    statistics = model.statistics.on(basis)
    for damage, sampler, steps in ways:
        y, noise = damaged(damage, clean, basis)
        start = time.perf_counter()
        found = filled(
            model.denoiser, y, noise, statistics, draws=DRAWS, keep=True, batch_size=64, sampler=sampler, steps=steps,
            grid=str(model.settled_grid),
        )  # fmt: skip
        seconds, draws = time.perf_counter() - start, found.samples
        assert draws is not None
        error = (found.images - clean).double().square().mean()
        # The error of the mean of n draws of the true law is 1 + 1/n of their variance.
        spread = draws.double().var(0).mean() * (1 + 1 / DRAWS) / error
        where = (noise > 0) * basis.multiplicity()
        power = _power(draws.flatten(0, 1), model, where.repeat(DRAWS if len(noise) > 1 else 1, 1, 1, 1), basis)
        yield {
            "damage": damage,
            "sampler": sampler,
            "steps": steps,
            "seconds": round(seconds, 2),
            "damaged": psnr(y.clamp(-1, 1), clean),
            "psnr": psnr(found.images.clamp(-1, 1), clean),
            "spread": float(spread),
            "power": power / _power(clean, model, where, basis),
        }


def damaged(damage: str, clean: Tensor, basis: FourierBasis) -> tuple[Tensor, Tensor]:
    """Damaged images, and the power of what is wrong with them, by frequency and, of masks, by image."""
    if damage == MASKS_EACH:
        data = Signals("held-out", clean, corruption=Corruption.parse(MASKS))
        numbers = torch.arange(len(clean))
        missing = data.unobserved(numbers)
        assert missing is not None
        return data.batch(numbers)[0], torch.where(missing, torch.inf, 0.0)[:, None].double()
    y = damage_of(Key("", damage, 0), clean, HELD_OUT)
    return y, basis.forward((y - clean).double()).abs().square().mean(0, keepdim=True)


def _power(x: Tensor, model: Trained, where: Tensor, basis: FourierBasis) -> float:
    """About the mean of the data, by image."""
    c = basis.forward((x - model.statistics.mean).double())
    return float((where * c.abs().square()).sum() / len(x))


def page(lines: Sequence[dict[str, Any]], name: str, about: str) -> str:
    """Figures by set, damage and way."""
    head = "| images | damage | sampler | steps | seconds | damaged | mean of draws | spread | power of draws |"
    rows = [head, "| --- " * 9 + "|"]
    order = {way: k for k, way in enumerate((of, d, *way) for of in SETS for d in DAMAGES for way in WAYS)}
    for x in sorted(lines, key=lambda x: order[x["data"], x["damage"], x["sampler"], x["steps"]]):
        told = (f"{x['seconds']:.1f}", f"{x['damaged']:.1f} dB", f"{x['psnr']:.2f} dB", f"{x['spread']:.2f}")
        cells = (x["data"], x["damage"], x["sampler"], str(x["steps"]), *told, f"{x['power']:.2f}")
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(
        [
            "# Posterior draws: by which sampler, in how many steps",
            "",
            about,
            "",
            f"Models of clean images after {STEPS[name]:,} steps, told the true power of the damage; {DRAWS} draws of"
            f" {IMAGES[name]} held-out images. `spread` is the variance of the draws, times 1 + 1/{DRAWS}, over the"
            " error of their mean: 1 of draws that say truly how sure they are. `power` is that of single draws over"
            " that of clean images, in all frequencies that are damaged.",
            "",
            *rows,
            "",
        ]
    )
