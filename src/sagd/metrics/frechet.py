"""Fréchet distance between Gaussians fitted to two sets of features.

    d^2 = ||mu_a - mu_b||^2 + tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2

the squared 2-Wasserstein distance of `N(mu_a, A)` and `N(mu_b, B)`. With any factors `A = R_a^T R_a`,
`B = R_b^T R_b`, the last trace is the nuclear norm of `R_a R_b^T`; taking `R` from a QR decomposition of the centred
features never forms a covariance or the square root of its rounding error, and stands singular covariances.

Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium",
arXiv:1706.08500, eq. 6.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from sagd.counting import counted
from sagd.errors import InputError
from sagd.metrics.checks import feature_pair
from sagd.random import Generator, generator_for, randint


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Fréchet distance `d^2` of features `(N, D)` and `(M, D)`, in squared feature units.

    Covariances are the unbiased ones; arithmetic is float64. The estimate is biased upwards by an amount that falls as
    1/N: compare only figures taken at equal `N` and `M`.

    Raises:
        InputError: On shapes that do not fit, fewer than two rows, or non-finite features.

    Warns:
        UserWarning: If `min(N, M) <= D`, where a covariance is singular and the bias dominates.

    >>> a = torch.tensor([[-1.0], [1.0]], dtype=torch.float64).repeat(2, 1)
    >>> frechet_distance(a, 2 * a + 3)  # 3^2 + (2 - 1)^2 * 4/3
    10.33
    """
    a, b = feature_pair(a, b)
    rows, dimension = min(len(a), len(b)), a.shape[1]
    if rows <= dimension:
        warnings.warn(
            f"Fréchet distance from {rows} images in {dimension} feature dimensions: the covariance is singular;"
            " use more images, or the kernel distance",
            stacklevel=2,
        )
    return _distance(a, b)


def frechet_interval(
    a: Tensor, b: Tensor, resamples: int = 100, level: float = 0.95, seed: int = 0, progress: bool = False
) -> tuple[float, float]:
    """Bootstrap interval for the expected Fréchet distance at these sample sizes.

    Rows of both sets are resampled with replacement. A resample repeats rows, so its distance is biased upwards
    once more, on top of the bias of the distance itself; only the deviations from their mean are used,
    `[d + q_low, d + q_high]` about the estimate `d`. The interval therefore covers the mean of `frechet_distance`
    over repetitions with the same `N` and `M` (the real-against-real floor has those sizes too), not the limit
    of infinitely many images. It holds its level where the distance is well above its floor; at the floor it is
    conservative, 1.7 to 2 times too wide, since the bootstrap triples the variance of a degenerate statistic.

    Args:
        a: Features `(N, D)`.
        b: Features `(M, D)`.
        resamples: Number of resamples, each the price of one distance.
        level: Nominal coverage.
        seed: Seed of the resampling.
        progress: Say how far it is, if it takes long.

    Raises:
        InputError: As `frechet_distance`, or if `resamples < 20` or `level` is outside (0, 1).
    """
    if resamples < 20 or not 0 < level < 1:
        raise InputError(f"need resamples >= 20 and 0 < level < 1, got {resamples} and {level}; e.g. 100 and 0.95")
    a, b = feature_pair(a, b)
    generator = generator_for(seed, "bootstrap")
    rounds = counted(range(resamples), "resampling the Fréchet distance", "resamples", progress)
    draws = torch.tensor([_distance(_resample(a, generator), _resample(b, generator)) for _ in rounds])
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=draws.dtype)
    low, high = torch.quantile(draws - draws.mean(), tails).tolist()
    distance = _distance(a, b)
    return max(distance + low, 0.0), distance + high


def _distance(a: Tensor, b: Tensor) -> float:
    mean_a, mean_b = a.mean(0), b.mean(0)
    root_a, root_b = _covariance_root(a - mean_a), _covariance_root(b - mean_b)
    cross = torch.linalg.svdvals(root_a @ root_b.T).sum()
    squared = (mean_a - mean_b).square().sum() + root_a.square().sum() + root_b.square().sum() - 2 * cross
    return max(float(squared), 0.0)  # rounding can leave -1e-15 for equal sets


def _covariance_root(centred: Tensor) -> Tensor:
    """`R` of shape `(min(N, D), D)` with `R^T R` the unbiased covariance."""
    return torch.linalg.qr(centred / (len(centred) - 1) ** 0.5, mode="r").R


def _resample(x: Tensor, generator: Generator) -> Tensor:
    return x[randint(len(x), (len(x),), generator)]
