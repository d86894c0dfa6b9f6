"""Heun's method, exponential where frequencies have schedules of their own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.noise.operator import Diagonal
from sagd.process.base import Time
from sagd.sampling.base import Churning, Run, decay_between, is_end, moved, noise_of


@dataclass(frozen=True)
class Heun(Churning, kind="heun"):
    """Heun's second-order method on `dy/dn = eps`; the last step, and one from `alpha_t = 0`, are Euler's.

    With a schedule per frequency, one step may change `n` of some frequency by orders of magnitude, and averaging the
    slopes in `n` would be unstable there. Those processes are integrated in each frequency's own log-SNR instead: with
    the image linear in it, Euler's `x_s` is corrected by `alpha_s psi(h) (D_s - D_t)`, `h` the step in
    `log(alpha/sigma)` and `psi = 1 - (1 - exp(-h))/h`.

    Source: Karras et al. (2022), algorithms 1 and 2; for schedules per frequency the exponential second-order
    Runge-Kutta method ("Exponential Time Differencing for Stiff Systems", Cox & Matthews, 2002, equation 22).
    """

    @property
    def is_deterministic(self) -> bool:
        """Without churn."""
        return self.churn == 0

    def integrate(self, run: Run, x_t: Tensor, t: Time, s: Time) -> Tensor:
        """Euler's prediction, then the trapezoidal rule."""
        p = run.process
        alpha_t, sigma_t = p.alpha(t, x_t), p.sigma(t, x_t)
        alpha_s, sigma_s = p.alpha(s, x_t), p.sigma(s, x_t)
        x_0 = run.denoise(x_t, t)
        x_s = moved(p, x_t, x_0, t, s)
        if is_end(s) or not p.has_signal(t):
            return x_s
        x_0_next = run.denoise(x_s, s)
        if isinstance(alpha_t, Diagonal):
            psi = decay_between(p, x_t, t, s).map(_second_order_share)
            return x_s + alpha_s * psi * (x_0_next - x_0)
        eps, eps_s = noise_of(p, x_t, x_0, t), noise_of(p, x_s, x_0_next, s)
        ratio = alpha_s / alpha_t
        return ratio * x_t + (sigma_s - ratio * sigma_t) * (eps + eps_s) / 2


def _second_order_share(decay: Tensor) -> Tensor:
    """`psi(h) = 1 - (1 - exp(-h)) / h` of `decay = exp(-h)`: 0 where a frequency stays, by its series next to there."""
    h = -decay.clamp(max=1).log()
    return torch.where(h < 1e-3, h / 2 - h**2 / 6 + h**3 / 24, 1 + torch.expm1(-h) / h.clamp(min=1e-3))
