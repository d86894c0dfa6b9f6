"""Ancestral sampling from the posterior."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sagd.process.base import Time
from sagd.sampling.base import Run, Sampler, is_end


@dataclass(frozen=True)
class DDPM(Sampler, kind="ddpm"):
    """Ancestral sampling from the posterior `q(x_s | x_t, x_0 = D)`, any stride.

    Source: "Denoising Diffusion Probabilistic Models" (Ho et al., 2020); arXiv:2510.09660, equations 31-33.
    """

    def step(self, run: Run, x_t: Tensor, t: Time, s: Time) -> Tensor:
        """One draw from the posterior; its mean at `s = 0`."""
        posterior = run.process.posterior(x_t, run.denoise(x_t, t), t, s)
        return posterior.mean if is_end(s) else posterior.mean + posterior.std * run.noise(x_t)
