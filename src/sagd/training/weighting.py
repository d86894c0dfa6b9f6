"""Weights of the loss by noise level."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.model.denoiser import NetworkDenoiser
from sagd.noise.operator import mean_over_frequencies
from sagd.spec import Description


class Weighting(Description, family="loss weighting"):
    """Weight of the loss in prediction space."""

    @abstractmethod
    def weight(self, t: Tensor, denoiser: NetworkDenoiser) -> Tensor | None:
        """Weights `(B,)`, or None for 1."""


@dataclass(frozen=True)
class FlatWeighting(Weighting, kind="flat"):
    """Weight 1."""

    def weight(self, t: Tensor, denoiser: NetworkDenoiser) -> None:
        """None."""


@dataclass(frozen=True)
class MinSNRWeighting(Weighting, kind="min_snr"):
    """`min(snr, gamma)` on the image's error, expressed in prediction space; `snr` by the clock of the process.

    Source: "Efficient Diffusion Training via Min-SNR Weighting Strategy" (Hang et al., 2023).
    """

    gamma: float = 5.0

    def __post_init__(self) -> None:
        if not self.gamma > 0:
            raise InputError(f"min_snr gamma must be positive, got {self.gamma}")

    def weight(self, t: Tensor, denoiser: NetworkDenoiser) -> Tensor:
        """`min(snr, gamma) (d x_0 / d output)^2`, the square averaged over frequencies, for any prediction."""
        like = torch.zeros(1, dtype=torch.float64, device=t.device).expand(len(t), *denoiser.process.shape)
        slope = mean_over_frequencies(denoiser.gain(like, t) ** 2)
        return (denoiser.process.noise_level(t) ** -2).clamp(max=self.gamma) * slope
