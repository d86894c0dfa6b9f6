"""What more training could bring to restoring: models of clean images, told the true power of the damage.

No model that learns from damaged images can be expected to restore better than one of the same size and budget that
learnt from the clean ones. Photographs and CIFAR-10 are those of `restoring`, as are the damage, the network and the
held-out images; training goes on from one number of steps to the next. PSNR is of the mean of eight draws, clipped to
[-1, 1], against the clean images.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks import records
from benchmarks.omission import restoring
from benchmarks.omission.life import DAMAGE
from benchmarks.omission.mnist import SCALES, psnr
from benchmarks.omission.solvers import DRAWS, damaged
from sagd.build.schema import RunConfig
from sagd.build.text import from_dict
from sagd.data.corruption import Corruption
from sagd.data.signals import Signals
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.posterior import filled
from sagd.store.model import Trained, load_model
from sagd.study.train import train

STEPS = {"quick": (4, 6), "cpu": (1200, 4800), "paper": (25_000, 100_000)}
IMAGES = {"quick": 4, "cpu": 128, "paper": 1024}
SOLVER_STEPS = 9


def study(data: Path, out: Path, work: Path, name: str, sets: Sequence[str], damages: Sequence[str]) -> Path:
    """Run what is missing of the study and write `out/oracle-NAME.jsonl`; returns it.

    Args:
        data: Folder with the raw data.
        out: Where results go.
        work: Where models are kept.
        name: Name of the scale.
        sets: Sets of images; default: all.
        damages: Damage of `life`; default: all.
    """
    path = out / f"oracle-{name}.jsonl"
    for of in sets or restoring.SETS:
        for steps in STEPS[name]:
            done = {x["damage"] for x in records.read(path) if (x["data"], x["steps"]) == (of, steps)}
            missing = [damage for damage in damages or tuple(DAMAGE) if damage not in done]
            if not missing:
                continue
            known, clean = restoring.images(data, of)
            model = _trained(work / of, of, known[: restoring.IMAGES[name]], steps)
            for damage in missing:
                told = {"data": of, "damage": damage, "steps": steps}
                records.append(path, told | _restored(model, damage, clean[: IMAGES[name]]))
    return path


def _trained(folder: Path, of: str, known: Tensor, steps: int) -> Trained:
    """A model of clean images after so many steps, trained on from the one of the most steps below."""
    own = folder / str(steps)
    fewer = [path for path in folder.glob("*") if int(path.name) < steps]
    if fewer and not own.exists():
        shutil.copytree(max(fewer, key=lambda path: int(path.name)), own)
    train(_configuration(steps), own, resume=own.exists(), data=Signals(of, known))
    return load_model(own)


def _configuration(steps: int) -> RunConfig:
    cpu = SCALES["cpu"]
    training = {"steps": steps, "batch_size": cpu.batch_size, "lr": cpu.lr, "warmup_steps": 2, "lr_decay": "none",
                "ema_decay": cpu.ema, "precision": "no", "sample_every": 0, "checkpoint_every": 400}  # fmt: skip
    return from_dict(RunConfig, {"network": {"widths": list(cpu.widths)}, "training": training})


def _restored(model: Trained, damage: str, clean: Tensor) -> dict[str, Any]:
    """PSNR of held-out images as they are, by the Wiener filter, and by the model; each knows the true power."""
    basis = FourierBasis(tuple(clean.shape[2:]))
    y, noise = damaged(damage, clean, basis)
    found = filled(
        model.denoiser, y, noise, model.statistics.on(basis), draws=DRAWS, batch_size=64, sampler="dpm_solver",
        steps=SOLVER_STEPS, grid=str(model.settled_grid),
    )  # fmt: skip
    band = Corruption.parse(DAMAGE[damage][0]).band(tuple(clean.shape[2:]), 0)
    power = basis.multiplicity() * noise
    shares = {"band": (power * (mask(band, basis) > 0)).sum(), "mean": power[..., 0, 0].sum()}
    images = {"damaged": y, "wiener": restoring.wiener(y, clean), "network": found.images}
    held = {name: float(share / power.sum()) for name, share in shares.items()}
    return {"images": len(clean), "held": held, "psnr": {way: psnr(x.clamp(-1, 1), clean) for way, x in images.items()}}


def page(lines: Sequence[dict[str, Any]], name: str, about: str) -> str:
    """Errors by set, damage and steps."""
    steps = STEPS[name]
    heads = (
        "images",
        "damage",
        "in its band",
        "in means of images",
        "damaged",
        "Wiener, true spectra",
        *(f"{n:,} steps" for n in steps),
    )
    rows = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    found = {(x["data"], x["damage"], x["steps"]): x for x in lines}
    for of, damage in dict.fromkeys((x["data"], x["damage"]) for x in lines):
        own = [found.get((of, damage, n)) for n in steps]
        first = next(x for x in own if x is not None)
        cells = [of, damage, *(f"{100 * first['held'][part]:.0f} %" for part in ("band", "mean"))]
        cells += [*(f"{first['psnr'][way]:.1f} dB" for way in ("damaged", "wiener"))]
        cells += ["-" if x is None else f"{x['psnr']['network']:.1f} dB" for x in own]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(
        [
            "# What a model of clean images restores, told the true power of the damage",
            "",
            about,
            "",
            f"Images, network and batches of [restoring](restoring-{name}.md); PSNR of {IMAGES[name]} held-out images,"
            f" of the mean of {DRAWS} draws. Beside each kind of damage, the share of its power that lies in the band"
            " which is named for it, and in the means of images, of which damaged ones tell nothing.",
            "",
            *rows,
            "",
        ]
    )
