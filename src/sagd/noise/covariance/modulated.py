"""Noise of another amplitude by place: `diag(m) Sigma diag(m)`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from sagd.errors import InputError, SingularCovarianceError
from sagd.noise.basis.base import Basis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.spectral import MAX_SPAN, STEEP_SPAN, power_of, span_of
from sagd.noise.regions import Region
from sagd.tensors import moved, widened

NO_AMPLITUDE = 1 / MAX_SPAN
"""Amplitudes of a region this small, next to its largest, are no noise: it would drown in rounding as well."""


class ModulatedCovariance(Covariance, kind="modulated"):
    """`diag(m) Sigma diag(m)`: noise of covariance `Sigma` whose amplitude varies over the field.

    Where `m = 0` there is no noise; amplitudes below `NO_AMPLITUDE` of the largest count as 0. The factor of `sqrt` is
    `L = diag(m) L_Sigma`, which is not symmetric.

    With zeros in `m`, inverses and the log-determinant need the inverse of a block of `Sigma`; they are exact for white
    inner noise and refused for any other, `pseudo` or not. All else is exact.

    Args:
        region: Amplitude `m(x) >= 0`, `(*spatial)` or `(C, *spatial)`.
        inner: `Sigma`, of full rank: the projection onto the range is then the restriction to `m > 0`.

    Raises:
        InputError: If the region does not fit the shape, or if `inner` is singular or depends on the class.
    """

    def __init__(self, region: Region, inner: Covariance) -> None:
        super().__init__(inner.shape)
        if inner.depends_on_class:
            raise InputError("a region cannot modulate noise that depends on the class; modulate that of each class")
        if inner.is_singular:
            raise InputError(
                f"a region needs inner noise of full rank, got rank {inner.rank} of {inner.size}: no exact projection"
                " exists for others; use a spectrum with positive weights, e.g. outside > 0"
            )
        self.region = Region.parse(region)
        self.inner = inner
        amplitude = self.region.amplitude(self.shape[1:])
        if tuple(amplitude.shape) not in (self.shape[1:], self.shape):
            raise InputError(f"the region has {len(amplitude)} channels, the data has {self.shape[0]}; give one each")
        self.amplitude = amplitude * (amplitude > NO_AMPLITUDE * amplitude.max())
        self._rank = int((self.amplitude > 0).expand(self.shape).sum())
        self._steep = span_of(self.amplitude) > STEEP_SPAN

    @property
    def rank(self) -> int:
        """Number of values with `m > 0`."""
        return self._rank

    @property
    def trace(self) -> float:
        """`sum_x m(x)^2 Sigma_xx`; `O(size^2)` unless the inner covariance is stationary."""
        return float((self.amplitude.square() * self.inner._variances()).sum())

    def sqrt(self, x: Tensor) -> Tensor:
        """`m L_Sigma x`: a factor, not the symmetric root."""
        return self._widely(x, lambda m, y: m(1) * self.inner.sqrt(y))

    def apply(self, x: Tensor) -> Tensor:
        """`m Sigma (m x)`."""
        return self._widely(x, lambda m, y: m(1) * self.inner.apply(m(1) * y))

    def whiten(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`L_Sigma^-1 (x / m)`; 0 for `x / m` where `m = 0`."""
        self._require_invertible(pseudo, "whitening")
        return self._widely(x, lambda m, y: self.inner.whiten(m(-1) * y))

    def solve(self, x: Tensor, pseudo: bool = False) -> Tensor:
        """`Sigma^-1 (x / m) / m`; 0 for `1 / m` where `m = 0`."""
        self._require_invertible(pseudo, "solving")
        return self._widely(x, lambda m, y: m(-1) * self.inner.solve(m(-1) * y))

    def project(self, x: Tensor) -> Tensor:
        """`x` where `m > 0`, else 0."""
        self._check(x)
        return x * self.held("_power", x.dtype, x.device, 0) if self.is_singular else x

    def logdet(self, pseudo: bool = False) -> float:
        """`2 sum_x log m(x) + log det Sigma`, over the values with `m > 0`."""
        self._require_invertible(pseudo, "log-determinant")
        logs = torch.where(self.amplitude > 0, self.amplitude, 1.0).log().expand(self.shape)
        # With zeros the inner noise is white: each value that is left has its share.
        return 2 * float(logs.sum()) + float(self.inner.logdet()) * self.rank / self.size

    def power_range(self, basis: Basis) -> tuple[Tensor, Tensor]:
        """That of the inner noise, times the least and the largest `m^2` of places with noise."""
        least, most = self.inner.power_range(basis)
        m = self.amplitude[self.amplitude > 0].square()
        return float(m.min()) * least, float(m.max()) * most

    @property
    def label(self) -> str:
        """The inner noise and the region."""
        return f"{self.inner.label} in {self.region.kind}"

    def to_dict(self) -> dict[str, Any]:
        """Kind, region and inner covariance."""
        return {"kind": self.kind, "region": self.region.to_dict(), "inner": self.inner.to_dict()}

    @classmethod
    def _read(cls, fields: dict[str, Any]) -> Self:
        parts = {"region": Region.from_dict(fields["region"]), "inner": Covariance.from_dict(fields["inner"])}
        return cls(**fields | parts)

    def _mean_autocovariance(self) -> Tensor | None:
        """The inner one times the correlations `mean_y m_c(y) m_d(y + x)`; their transforms are convolved."""
        inner = self.inner._mean_autocovariance() if self.inner.is_stationary else None
        if inner is None:
            return None
        basis = FourierBasis(self.shape[1:])
        c = basis.forward(self.amplitude.expand(self.shape))
        return inner * basis.inverse(c[:, None].conj() * c) / math.sqrt(basis.size)

    def _require_invertible(self, pseudo: bool, operation: str) -> None:
        self._refuse_singular(pseudo, operation)
        if self.is_singular and not self.inner.is_white:
            raise SingularCovarianceError(
                f"{operation} where {self.size - self.rank} of {self.size} values carry no noise needs white noise"
                " inside the region; use a flat spectrum, or a positive amplitude outside"
            )

    def _widely(self, x: Tensor, operate: Callable[[Callable[[int], Tensor], Tensor], Tensor]) -> Tensor:
        """`operate(m, x)` in float32 or wider, `m` being the powers of the amplitude."""
        self._check(x)
        y = widened(x, self._steep)
        return moved(operate(lambda power: self.held("_power", y.dtype, y.device, power), y), x.dtype, x.device)

    def _power(self, power: int) -> Tensor:
        return power_of(self.amplitude, power)
