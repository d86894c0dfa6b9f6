"""Euler's method on the probability flow."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sagd.process.base import Time
from sagd.sampling.base import Churning, Run, moved


@dataclass(frozen=True)
class Euler(Churning, kind="euler"):
    """Euler's method on `dy/dn = eps`; without churn it equals DDIM with `eta = 0`."""

    @property
    def is_deterministic(self) -> bool:
        """Without churn."""
        return self.churn == 0

    def integrate(self, run: Run, x_t: Tensor, t: Time, s: Time) -> Tensor:
        """`x_s = alpha_s x_0 + sigma_s eps`."""
        return moved(run.process, x_t, run.denoise(x_t, t), t, s)
