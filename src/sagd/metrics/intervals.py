"""Intervals of a root mean square of estimates, whose own chance makes it too large."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sagd.random import generator_for, randn

_DRAWS = 4096
_HALVINGS = 40


def rms_interval(estimates: Tensor, covariance: Tensor, level: float = 0.95) -> tuple[float, float]:
    """Interval of the root mean square `theta` of `K` true values, of which `estimates` are normal with `covariance`.

    The root mean square of estimates is larger than that of the truth, most of all where the truth is zero: a sum of
    squares cannot tell chance from error. The interval holds the `theta` under which what was found lies between the
    quantiles of its distribution, so that it starts at zero where chance alone gives as much, and may then lie below
    the estimate. The truth is taken to lie in the direction in which chance is largest, where the interval is widest:
    it has its level where chance is alike in all directions, and a higher one elsewhere. The distribution is that of
    fixed draws, which moves its ends by a hundredth of the spread.

    Args:
        estimates: `(K,)`.
        covariance: `(K, K)`.
        level: Coverage, at least.

    >>> low, high = rms_interval(torch.tensor([0.1, -0.2]), 0.04 * torch.eye(2))
    >>> low, 0.3 < high < 0.6
    (0.0, True)
    """
    estimates, covariance = estimates.double(), covariance.double()
    found = float(estimates.square().sum())
    values, vectors = torch.linalg.eigh(covariance)
    white = randn((_DRAWS, len(estimates)), generator_for(0, "rms interval"), dtype=torch.float64)
    noise = (white * values.clamp(min=0).sqrt()) @ vectors.T
    along, square = 2 * noise @ vectors[:, -1], noise.square().sum(1)  # eigenvalues rise

    def share_below(length: float) -> float:
        return float((length**2 + length * along + square < found).double().mean())

    tail, most = (1 - level) / 2, found**0.5 + 10 * float(values.max().clamp(min=0).sqrt())
    scale = len(estimates) ** -0.5
    return _crossing(share_below, 1 - tail, most) * scale, _crossing(share_below, tail, most) * scale


def _crossing(share_below: Callable[[float], float], target: float, most: float) -> float:
    """The length at which a falling share reaches `target`; zero if it lies below from the start."""
    if share_below(0.0) <= target:
        return 0.0
    low, high = 0.0, most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if share_below(middle) > target else (low, middle)
    return (low + high) / 2


def log_covariance(parts: Tensor, total: Tensor | None = None) -> Tensor:
    """Covariance of the logarithms of `K` means over `N` independent fields, `(K, K)`, from their parts `(N, K)`.

    Args:
        parts: What each field adds to the means.
        total: What each field adds to the means by which those are divided, `(N, K)`; None: nothing.
    """
    effect = parts / parts.mean(0)
    if total is not None:
        effect = effect - total / total.mean(0)
    effect = effect - effect.mean(0)
    n = len(parts)
    return effect.T @ effect / (n * (n - 1))
