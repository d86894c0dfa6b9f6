"""The preconditioning of Karras et al., with one variance for all frequencies.

    x_0 = c_skip x_t + c_out F(c_in x_t),   c_skip = alpha S / (alpha^2 S + sigma^2),
    c_out = sigma sqrt(S) / sqrt(alpha^2 S + sigma^2),   c_in = 1 / sqrt(alpha^2 S + sigma^2),   S = data_std^2

Source: "Elucidating the Design Space of Diffusion-Based Generative Models" (Karras et al., 2022, table 1), written for
any `alpha`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sagd.errors import InputError
from sagd.model.parameterisation.base import require_std
from sagd.model.parameterisation.preconditioned import Preconditioned, Scales
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process, Time


@dataclass(frozen=True)
class Edm(Preconditioned, kind="edm"):
    """The residual of Karras et al. (2022), with one variance for all frequencies.

    Args:
        data_std: Standard deviation of the data; default: that of the data it is resolved with.
    """

    data_std: float | None = None

    def __post_init__(self) -> None:
        if self.data_std is not None:
            object.__setattr__(self, "data_std", require_std(self.data_std))

    def resolve(self, data_std: float, statistics: DataStatistics | None) -> Edm:
        """With the data's standard deviation."""
        return Edm(data_std) if self.data_std is None else self

    def scales(self, process: Process, t: Time, x: Tensor) -> Scales:
        """Those of all data values together.

        Raises:
            InputError: If the standard deviation is not known.
        """
        if self.data_std is None:
            raise InputError("edm prediction needs the standard deviation of the data; call resolve first")
        return Scales(process.alpha(t, x), process.sigma(t, x), self.data_std)
