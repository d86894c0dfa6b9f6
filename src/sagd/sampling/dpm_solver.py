"""DPM-Solver++(2M)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sagd.noise.operator import Coefficient, Diagonal
from sagd.process.base import Process, Time
from sagd.sampling.base import Run, Sampler, decay_between, is_end

_LARGEST_CORRECTION = 1.0
"""Bound on the extrapolation of the multistep method at a single frequency: a step is then at most twice the last."""


@dataclass(frozen=True)
class DPMSolver(Sampler, kind="dpm_solver"):
    """DPM-Solver++(2M): second-order multistep on the data prediction, one evaluation per step.

    The first and last steps are first-order. With a schedule per frequency, one that has hardly moved may leap in the
    next step; the extrapolation is bounded there (`_LARGEST_CORRECTION`), which leaves the order as it is.

    Source: "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models" (Lu et al., 2022),
    algorithm 2.
    """

    @property
    def is_deterministic(self) -> bool:
        """Always."""
        return True

    def step(self, run: Run, x_t: Tensor, t: Time, s: Time) -> Tensor:
        """`x_s = (sigma_s/sigma_t) x_t + alpha_s (1 - exp(-h)) D` with `h` the step in `log(alpha/sigma)`."""
        p = run.process
        x_0 = run.denoise(x_t, t)
        if is_end(s):
            return x_0
        decay = decay_between(p, x_t, t, s)
        estimate = x_0
        if run.previous is not None:
            u, x_0_before = run.previous
            h_before = _log_ratio(p, t, x_t) - _log_ratio(p, u, x_t)
            correction = -decay.log() / (2 * h_before)
            if isinstance(correction, Diagonal):
                correction = correction.map(lambda c: c.nan_to_num(0.0).clamp(0, _LARGEST_CORRECTION))
            estimate = x_0 + correction * (x_0 - x_0_before)
        run.previous = (t, x_0)
        return p.sigma(s, x_t) / p.sigma(t, x_t) * x_t + p.alpha(s, x_t) * (1 - decay) * estimate


def _log_ratio(process: Process, t: Time, x: Tensor) -> Coefficient:
    """`log(alpha/sigma)`, half the log-SNR."""
    return process.alpha(t, x).log() - process.sigma(t, x).log()
