"""How much is computed: budgets by scale and data set, the same for all arms of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sagd.data.config import DataConfig


@dataclass(frozen=True)
class Budget:
    """What every arm of a data set gets.

    Attributes:
        steps: Optimiser steps.
        batch_size: Images per step.
        widths: U-Net channels per level.
        attention: Self-attention at the coarsest level.
        lr: Peak learning rate.
        ema: Decay of the averaged weights.
        samples: Images drawn and measured.
        seeds: Seeds of the runs.
        precision: Of the network in training.
        limit: Training images; None for all.
        size: Side of the images; None for that of the files.
    """

    steps: int
    batch_size: int
    widths: tuple[int, ...]
    lr: float
    ema: float
    samples: int
    seeds: tuple[int, ...]
    attention: bool = False
    precision: str = "no"
    limit: int | None = None
    size: int | None = None


_MNIST = Budget(600, 32, (16, 32), 2e-3, 0.99, 500, (0,), limit=20_000, size=14)
_PAPER = Budget(200_000, 128, (32, 64, 128, 256), 2e-4, 0.9999, 5_000, (0, 1, 2), precision="bf16", size=32)
_GPU = replace(_PAPER, steps=2_000, lr=5e-4, ema=0.999, seeds=(0,))

SCALES: Mapping[str, Mapping[str, Budget]] = {
    "quick": {"digits": Budget(12, 16, (4, 8), 2e-3, 0.9, 80, (0, 1), limit=200)},
    "cpu": {
        "digits": Budget(600, 64, (16, 32), 2e-3, 0.99, 898, (0, 1, 2)),
        "mnist": _MNIST,
        "cifar10": Budget(800, 32, (16, 32, 32), 2e-3, 0.995, 500, (0,)),
    },
    "long": {"mnist": replace(_MNIST, steps=2_400)},
    "gpu": {"mnist": _GPU, "cifar10": _GPU},
    "paper": {"mnist": _PAPER, "cifar10": _PAPER},
}
"""Scale -> data set -> budget. The paper states its network, 32 x 32 images and seeds; not its steps, batch or rate."""

_SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
PARQUET = ("mnist", "cifar10")


def shape_of(scale: str, data: str) -> tuple[int, int, int]:
    """`(C, H, W)` of the images of a data set at a scale."""
    channels, height, width = _SHAPES[data]
    size = SCALES[scale][data].size
    return (channels, height, width) if size is None else (channels, size, size)


def is_small(scale: str) -> bool:
    """Whether few arms must do."""
    return scale != "paper"


def training_data(name: str, folder: Path | None, budget: Budget) -> DataConfig:
    """Training images of a data set."""
    if name in PARQUET:
        return DataConfig(source=str(_folder(folder) / f"{name}-train.parquet"), limit=budget.limit, size=budget.size)
    return DataConfig(source=name, split="all", limit=budget.limit)


def reference_data(name: str, folder: Path | None, budget: Budget) -> DataConfig:
    """Real images that samples are compared with: held out, but for the digits, of which there are too few."""
    if name in PARQUET:
        return DataConfig(source=str(_folder(folder) / f"{name}-test.parquet"), size=budget.size)
    return training_data(name, folder, budget)


def _folder(folder: Path | None) -> Path:
    if folder is None:
        raise SystemExit("name the folder with mnist-train.parquet and so on: --data DIR")
    return folder
