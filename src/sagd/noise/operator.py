"""Operators `U* diag(c) U` that combine like numbers: the coefficients of processes with a schedule per frequency.

A process whose signal and noise evolve alike at every frequency has scalar coefficients `alpha_t`, `sigma_t`, tensors
that broadcast against fields. Where each frequency has its own, the coefficients are operators that are diagonal in one
basis; since they commute, every formula of the scalar process holds for them as it is written:

    c * x        filters the field x `(B, C, *spatial)`, in float32 or wider
    c * d, 1 - c, c ** 2, c.sqrt(), ...    act on the diagonals
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor

from sagd.noise.basis.base import Basis
from sagd.tensors import exact, moved

Number = float | int


@dataclass(frozen=True, eq=False)
class Diagonal:
    """`U* diag(values) U`.

    Attributes:
        values: Real diagonal, broadcastable to `(B, C, *coefficients)`; at least float32.
        basis: `U`.
    """

    values: Tensor
    basis: Basis

    @overload
    def __mul__(self, other: Tensor) -> Tensor: ...
    @overload
    def __mul__(self, other: Diagonal | Number) -> Diagonal: ...
    def __mul__(self, other: Tensor | Diagonal | Number) -> Tensor | Diagonal:
        if not isinstance(other, Tensor):
            return self._with(other, torch.mul)
        wide = torch.promote_types(other.dtype, self.values.dtype)
        return self.basis.inverse(self.values * self.basis.forward(other.to(wide)))

    @overload
    def __rmul__(self, other: Tensor) -> Tensor: ...
    @overload
    def __rmul__(self, other: Number) -> Diagonal: ...
    def __rmul__(self, other: Tensor | Number) -> Tensor | Diagonal:
        return self * other

    def __truediv__(self, other: Diagonal | Number) -> Diagonal:
        return self._with(other, torch.div)

    @overload
    def __rtruediv__(self, other: Tensor) -> Tensor: ...
    @overload
    def __rtruediv__(self, other: Number) -> Diagonal: ...
    def __rtruediv__(self, other: Tensor | Number) -> Tensor | Diagonal:
        return self.map(torch.reciprocal) * other

    def __add__(self, other: Diagonal | Number) -> Diagonal:
        return self._with(other, torch.add)

    def __radd__(self, other: Number) -> Diagonal:
        return self + other

    def __sub__(self, other: Diagonal | Number) -> Diagonal:
        return self._with(other, torch.sub)

    def __rsub__(self, other: Number) -> Diagonal:
        return self.map(torch.neg) + other

    def __neg__(self) -> Diagonal:
        return self.map(torch.neg)

    def __pow__(self, power: Number) -> Diagonal:
        return self.map(lambda c: c**power)

    def __gt__(self, bound: Number) -> Tensor:
        return self.values > bound

    def sqrt(self) -> Diagonal:
        """Root of the diagonal."""
        return self.map(torch.sqrt)

    def rsqrt(self) -> Diagonal:
        """Inverse root of the diagonal."""
        return self.map(torch.rsqrt)

    def log(self) -> Diagonal:
        """Logarithm of the diagonal."""
        return self.map(torch.log)

    def clamp(self, min: Number | None = None, max: Number | None = None) -> Diagonal:
        """The diagonal, clamped."""
        return self.map(lambda c: c.clamp(min, max))

    def on(self, like: Tensor) -> Diagonal:
        """On the device of `like`, in its type or float32, whichever is wider."""
        return Diagonal(moved(self.values, torch.promote_types(like.dtype, torch.float32), like.device), self.basis)

    def map(self, function: Callable[[Tensor], Tensor]) -> Diagonal:
        """The same function of every value of the diagonal."""
        return Diagonal(function(self.values), self.basis)

    def _with(self, other: Diagonal | Number, operation: Callable[[Tensor, Tensor | Number], Tensor]) -> Diagonal:
        return Diagonal(operation(self.values, other.values if isinstance(other, Diagonal) else other), self.basis)


Coefficient = Any
"""`Tensor | Diagonal`: a scalar per sample, `(B|1, 1, ..., 1)`, or an operator. Type checkers do not see that two
coefficients of one process are of one kind, so none is asked to check their arithmetic."""


def pseudo_inverse(c: Coefficient) -> Coefficient:
    """`1 / c`, and 0 where `c = 0`."""
    if isinstance(c, Diagonal):
        return c.map(pseudo_inverse)
    return torch.where(c == 0, 0.0, 1 / torch.where(c == 0, 1.0, c))


def mean_over_frequencies(c: Coefficient) -> Tensor:
    """Mean of a coefficient over all frequencies (and channels), `(B|1)`."""
    if isinstance(c, Tensor):
        return c.flatten(1).mean(1)
    weight = c.basis.held("multiplicity", c.values.dtype, c.values.device)
    return (c.values * weight / weight.mean()).flatten(1).mean(1)


def log_determinant(c: Coefficient, shape: tuple[int, ...]) -> Tensor:
    """`log det` of a positive coefficient as an operator on fields `(C, *spatial)`, `(B|1)`, float64."""
    size = torch.Size(shape).numel()
    logs = exact(c).log() if isinstance(c, Tensor) else c.map(lambda values: exact(values).log())
    return size * mean_over_frequencies(logs)
