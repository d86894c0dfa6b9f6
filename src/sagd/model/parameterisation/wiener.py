"""The preconditioning of `edm` frequency by frequency, by the data's spectrum or a power of it.

    S_g = s^2 (S / s^2)^g

stands for the data's variance: `S` is the measured spectrum, about the mean of the data, and `s^2` its mean over all
frequencies and channels; the noise has its own standard deviation `s_t(f)`. With `g = 1` this is the Wiener filter,
exact on stationary Gaussian data with `F = 0`. With `g = 0` it is `edm` about the mean, frequency by frequency where
the noise is coloured. In between the network's input and target on Gaussian data have the variances

    (a^2 S + s_t^2) / (a^2 S_g + s_t^2),        (a^2 S_g + s_t^2 S / S_g) / (a^2 S_g + s_t^2),

which go from `S / S_g` to 1 and from 1 to `S / S_g` as noise grows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.model.parameterisation.preconditioned import Preconditioned, Scales
from sagd.noise.operator import Diagonal
from sagd.noise.spectra.checks import require_finite
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process, Time, wide
from sagd.tensors import Holding

LEAST_POWER = 1e-6
"""Share of the largest power below which `wiener` takes no frequency's data to be: a thousandth of its amplitude."""


@dataclass(frozen=True)
class Wiener(Holding, Preconditioned, kind="wiener"):
    """The same frequency by frequency, with the measured spectrum and mean of the data.

    Args:
        statistics: Those; power is floored at `LEAST_POWER` of the largest.
        exponent: `g` in [0, 1]: the network's input and output are scaled by `s^2 (S/s^2)^g`, `S` the spectrum and
            `s^2` its mean; 1 is the Wiener filter, 0 `edm` about the mean.
    """

    statistics: DataStatistics | None = field(default=None, repr=False)
    exponent: float = 1.0

    def __post_init__(self) -> None:
        require_finite("wiener exponent", self.exponent)
        if not 0 <= self.exponent <= 1:
            raise InputError(
                f"wiener exponent must lie in [0, 1] (0: one variance, 1: the data's spectrum), got {self.exponent}"
            )
        if not isinstance(self.statistics, DataStatistics | None):
            raise InputError(f"wiener statistics must be measured, got {self.statistics!r}; leave them out of texts")

    def to_dict(self) -> dict[str, Any]:
        """Kind and exponent: statistics are kept beside the weights."""
        return {"kind": self.kind, "exponent": float(self.exponent)}

    def __str__(self) -> str:
        return self.kind if self.exponent == 1 else f"{self.kind}(exponent={self.exponent!r})"

    @property
    def identity(self) -> str:
        """With the exponent."""
        return str(self)

    def resolve(self, data_std: float, statistics: DataStatistics | None) -> Wiener:
        """With the data's mean and spectrum."""
        known = self.statistics or statistics
        if known is None:
            raise InputError("wiener prediction needs the data's spectrum; pass statistics=measure(data, basis)")
        if not known.spectrum.max() > 0:
            raise InputError("wiener prediction needs data that varies; its measured spectrum is zero")
        return Wiener(known, self.exponent)

    def check(self, process: Process) -> None:
        """Refuse noise that is not diagonal in the basis of the statistics."""
        statistics = self._known
        if tuple(statistics.mean.shape) != process.shape:
            raise InputError(f"statistics are of data {tuple(statistics.mean.shape)}, the process of {process.shape}")
        try:
            process.diagonal(1.0, torch.zeros(1, *process.shape), statistics.basis)
        except InputError:
            raise InputError(
                f"wiener prediction needs noise that is diagonal in {statistics.basis}, the basis of the"
                f" statistics, and {process.label} is not; measure(data, basis) in its basis, or use edm"
            ) from None

    @property
    def _known(self) -> DataStatistics:
        if self.statistics is None:
            raise InputError("wiener prediction needs the statistics of the data; call resolve first")
        return self.statistics

    def scales(self, process: Process, t: Time, x: Tensor) -> Scales:
        """Those of each frequency."""
        basis = self._known.basis
        return Scales(*process.diagonal(t, x, basis), Diagonal(self.held("_std", wide(x), x.device), basis))

    def mean(self, x: Tensor) -> Tensor:
        """The measured mean."""
        return self.held("_data_mean", x.dtype, x.device).expand_as(x)

    def unit(self, process: Process, eps: Tensor) -> Tensor:
        """White noise: its spectrum is in `s`."""
        return process.covariance.whiten(eps, pseudo=True)

    def _std(self) -> Tensor:
        """`sqrt(S_g)`; with `g = 1` the standard deviation of the data by frequency."""
        power = self._known.spectrum
        floored = torch.maximum(power, LEAST_POWER * power.max())
        return (self._known.variance ** (1 - self.exponent) * floored**self.exponent).sqrt()

    def _data_mean(self) -> Tensor:
        return self._known.mean
