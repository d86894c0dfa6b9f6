"""What every metric on features requires of its two inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from sagd.errors import InputError


def feature_pair(a: Tensor, b: Tensor, least: int = 2) -> tuple[Tensor, Tensor]:
    """Two sets of features `(N, D)`, `(M, D)` in float64 on the CPU.

    Raises:
        InputError: If one is not 2-D, holds fewer than `least` rows or non-finite values, or if `D` differs.
    """
    for x in (a, b):
        if x.ndim != 2 or x.shape[1] < 1:
            raise InputError(f"features must have shape (N, D), got {tuple(x.shape)}")
        if len(x) < least:
            raise InputError(f"need at least {least} rows of features in each set, got {len(a)} and {len(b)}")
        check_finite(x, "features")
    if a.shape[1] != b.shape[1]:
        raise InputError(f"features must have equal dimension, got shapes {tuple(a.shape)} and {tuple(b.shape)}")
    return a.detach().cpu().double(), b.detach().cpu().double()


def check_finite(x: Tensor, what: str) -> None:
    """Raise `InputError` if `x` `(N, ...)` holds NaN or infinity, naming the first row that does."""
    finite = torch.isfinite(x).flatten(1).all(1)
    if not finite.all():
        row = int((~finite).nonzero()[0, 0])
        raise InputError(f"{what} hold non-finite values (NaN or infinity), first in row {row}")
