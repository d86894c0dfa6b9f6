"""DDIM, from deterministic to ancestral."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sagd.errors import InputError
from sagd.process.base import Time
from sagd.sampling.base import Run, Sampler, is_end, moved, noise_of


@dataclass(frozen=True)
class DDIM(Sampler, kind="ddim"):
    """`x_s = alpha_s x_0 + sigma_s sqrt(1 - eta^2 tau) eps + sigma_s eta sqrt(tau) xi_w`.

    `tau = 1 - (alpha_t sigma_s / (alpha_s sigma_t))^2`: `eta = 0` is deterministic, `eta = 1` is DDPM.

    Source: "Denoising Diffusion Implicit Models" (Song et al., 2021), equations 12 and 16.
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise InputError(f"ddim eta must lie in [0, 1], got {self.eta}; 0 is deterministic, 1 is DDPM")

    @property
    def is_deterministic(self) -> bool:
        """With `eta = 0`."""
        return self.eta == 0

    def step(self, run: Run, x_t: Tensor, t: Time, s: Time) -> Tensor:
        """One DDIM step."""
        x_0, p = run.denoise(x_t, t), run.process
        if self.eta == 0 or is_end(s):
            return moved(p, x_t, x_0, t, s)
        eps, alpha_s, sigma_s = noise_of(p, x_t, x_0, t), p.alpha(s, x_t), p.sigma(s, x_t)
        tau = (1 - (p.alpha(t, x_t) * sigma_s / (alpha_s * p.sigma(t, x_t))) ** 2).clamp(0, 1)
        fresh = self.eta**2 * tau
        return alpha_s * x_0 + sigma_s * ((1 - fresh).sqrt() * eps + fresh.sqrt() * run.noise(x_t))
