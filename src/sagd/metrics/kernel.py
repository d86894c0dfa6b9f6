"""Kernel distance: the squared maximum mean discrepancy under a cubic polynomial kernel, with its standard error.

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),     k(x, y) = (x . y / D + 1)^3

The estimate is the U-statistic over all pairs, which is unbiased at every sample size (and so may be negative).
Its variance is also estimated without bias: the kernels' Hoeffding decompositions into row effects and doubly
centred remainders `g`, `e`, `h` give

    Var = 4 F_x / N + 4 F_y / M + 2 E g^2 / (N (N-1)) + 2 E e^2 / (M (M-1)) + 4 E h^2 / (N M)

with `F` the variance of the row effects of `k(x, x') - k(x, y)`. The first-order part vanishes as the
distributions meet, which is where the usual first-order and jackknife formulas go wrong and where the figure is
read against its floor.

Sources: Bińkowski et al., "Demystifying MMD GANs", arXiv:1801.01401, section 4 (the kernel); Sutherland and Deka,
"Unbiased estimators for the variance of MMD estimators", arXiv:1906.02104; Székely and Rizzo, "Partial distance
correlation with methods for dissimilarities", Annals of Statistics 42 (2014) (U-centring).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sagd.metrics.checks import feature_pair

_CHUNK = 2**22  # kernel entries held at a time: 32 MiB


@dataclass(frozen=True)
class Estimate:
    """A figure and the standard error of its sampling distribution."""

    value: float
    standard_error: float


def kernel_distance(a: Tensor, b: Tensor) -> Estimate:
    """Unbiased kernel distance (KID) of features `(N, D)` and `(M, D)`, in float64; memory does not grow with `N M`.

    The standard error is the root of an unbiased variance estimate whose first-order part is floored at zero:
    right where the distance is well above zero, and up to a quarter too large where the two distributions are the
    same. Both sets count as random, the feature extractor as fixed.

    Raises:
        InputError: On shapes that do not fit, fewer than four rows, or non-finite features.

    >>> a = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    >>> same, moved = kernel_distance(a[:100], a[100:]), kernel_distance(a[:100], a[100:] + 1)
    >>> abs(same.value) < 3 * same.standard_error, moved.value > 3 * moved.standard_error
    (True, True)
    """
    a, b = feature_pair(a, b, least=4)
    n, m = len(a), len(b)
    # MMD^2 does not depend on a constant added to the kernel; this one avoids cancellation.
    offset = _kernel(a.mean(0, keepdim=True), b.mean(0, keepdim=True)).item()
    xx, yy, xy = _sums(a, a, offset), _sums(b, b, offset), _sums(a, b, offset)
    value = xx.total / (n * (n - 1)) + yy.total / (m * (m - 1)) - 2 * xy.total / (n * m)
    g, e, h = _u_centred_power(xx), _u_centred_power(yy), _centred_power(xy)
    first_a = (xx.rows / (n - 2) - xy.rows / m).var() - g / (n - 2) - h / m
    first_b = (yy.rows / (m - 2) - xy.columns / n).var() - e / (m - 2) - h / n
    first = 4 * first_a / n + 4 * first_b / m
    second = 2 * g / (n * (n - 1)) + 2 * e / (m * (m - 1)) + 4 * h / (n * m)
    variance = first.clamp(min=0) + second.clamp(min=0)
    return Estimate(float(value), float(variance.sqrt()))


class _Sums(NamedTuple):
    """Sums of a kernel matrix `(N, M)` over columns `(N,)`, over rows `(M,)`, and of its squares."""

    rows: Tensor
    columns: Tensor
    squares: Tensor

    @property
    def total(self) -> Tensor:
        return self.rows.sum()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _sums(x: Tensor, y: Tensor, offset: float) -> _Sums:
    """Sums of `k - offset`, without the diagonal if `x is y`."""
    chunk = max(1, _CHUNK // len(y))
    rows, columns, squares = [], torch.zeros(len(y), dtype=x.dtype), torch.zeros((), dtype=x.dtype)
    for start in range(0, len(x), chunk):
        k = _kernel(x[start : start + chunk], y) - offset
        if x is y:
            k.diagonal(start).zero_()
        rows.append(k.sum(1))
        columns += k.sum(0)
        squares += k.square().sum()
    return _Sums(torch.cat(rows), columns, squares)


def _u_centred_power(k: _Sums) -> Tensor:
    """Unbiased `E g^2` from a symmetric kernel matrix without its diagonal."""
    n = len(k.rows)
    centred = k.squares - 2 * k.rows.square().sum() / (n - 2) + k.total.square() / ((n - 1) * (n - 2))
    return centred / (n * (n - 3))


def _centred_power(k: _Sums) -> Tensor:
    """Unbiased `E h^2` from a cross-kernel matrix."""
    n, m = len(k.rows), len(k.columns)
    centred = k.squares - k.rows.square().sum() / m - k.columns.square().sum() / n + k.total.square() / (n * m)
    return centred / ((n - 1) * (m - 1))
