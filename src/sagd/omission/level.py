"""The noise level at which a model is asked for a damaged image, and its answer there."""

from __future__ import annotations

import torch
from torch import Tensor

from sagd.model.condition import Condition
from sagd.model.denoiser import Denoiser
from sagd.process.base import Process

LEAST_LEVEL = 0.01
"""Noise-to-signal ratio outside the band at which images are restored: below what images of 8 bits resolve."""


def least_time(process: Process) -> float:
    """The time at which images are restored."""
    return float(process.time_at(torch.tensor(LEAST_LEVEL, dtype=torch.float64)))


def final(denoiser: Denoiser, x: Tensor, t: float, condition: Condition) -> Tensor:
    """What the model makes of `x`, in the network's precision, like `x`."""
    return denoiser.final(x.to(denoiser.dtype or x.dtype), t, condition).to(x.dtype)
