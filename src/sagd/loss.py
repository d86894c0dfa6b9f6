"""Denoising losses: mean squared error in prediction space, with a law of training times and a weighting.

    loss = E_{x_0, t, eps}  weight(t) || F(x_t, t) - target(x_0, eps, t) ||^2 / dimension

For `edm` the flat weight in prediction space is the weight `1/c_out^2` on images of Karras et al. (2022).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.config import DenoiserConfig
from sagd.denoiser import NetworkDenoiser
from sagd.description import Description
from sagd.design import training_levels
from sagd.diagonal import mean_over_frequencies
from sagd.errors import InputError
from sagd.process import Process
from sagd.randomness import randn
from sagd.statistics import DataStatistics


class TimeLaw(Description, family="training time"):
    """Law of the training times `t` in (0, 1]."""

    @abstractmethod
    def sample(self, count: int, process: Process, generator: torch.Generator | None = None) -> Tensor:
        """`count` times, float64, on the generator's device."""

    def resolve(self, process: Process, statistics: DataStatistics) -> TimeLaw:
        """The law for noise and data; this one, unless it depends on them."""
        return self


@dataclass(frozen=True)
class UniformTime(TimeLaw, kind="uniform"):
    """Uniform on (0, 1], stratified: one draw in each of `count` equal cells, which lowers the variance of the loss."""

    def sample(self, count: int, process: Process, generator: torch.Generator | None = None) -> Tensor:
        """Stratified uniform times in random order."""
        device = generator.device if generator is not None else None
        offsets = torch.rand(count, generator=generator, dtype=torch.float64, device=device)
        cells = torch.randperm(count, generator=generator, device=device)
        return 1 - (cells + offsets) / count


@dataclass(frozen=True)
class LogNormalTime(TimeLaw, kind="log_normal"):
    """`log(sigma/alpha) ~ N(mean, std^2)`, as in Karras et al. (2022); clamped to the process's range."""

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise InputError(f"log_normal std must be positive, got {self.std}")

    def sample(self, count: int, process: Process, generator: torch.Generator | None = None) -> Tensor:
        """Times at log-normal noise levels."""
        normal = randn((count,), generator, torch.float64)
        return process.time_at(torch.exp(self.mean + self.std * normal))


@dataclass(frozen=True)
class LogitNormalTime(TimeLaw, kind="logit_normal"):
    """`logit(t) ~ N(mean, std^2)`, usual for rectified flow (Esser et al., 2024)."""

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise InputError(f"logit_normal std must be positive, got {self.std}")

    def sample(self, count: int, process: Process, generator: torch.Generator | None = None) -> Tensor:
        """Logit-normal times."""
        return torch.sigmoid(self.mean + self.std * randn((count,), generator, torch.float64))


@dataclass(frozen=True)
class MatchedTime(TimeLaw, kind="matched"):
    """Log-normal over the noise levels at which the frequencies of the data drown; `sagd.design.training_levels`."""

    def resolve(self, process: Process, statistics: DataStatistics) -> LogNormalTime:
        """The log-normal law of this noise and data."""
        return LogNormalTime(*training_levels(statistics, process))

    def sample(self, count: int, process: Process, generator: torch.Generator | None = None) -> Tensor:
        """Refused: the data is not known here."""
        raise InputError("training time 'matched' needs the data's statistics; call resolve(process, statistics) first")


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


@dataclass(frozen=True)
class DenoisingLoss:
    """The loss of a network denoiser.

    Args:
        time: Law of the training times.
        weighting: Weight in prediction space.
        label_dropout: Share of labels replaced by the "no label" class in conditional models.
    """

    time: TimeLaw = UniformTime()
    weighting: Weighting = FlatWeighting()
    label_dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.label_dropout < 1:
            raise InputError(f"label_dropout must lie in [0, 1), got {self.label_dropout}")

    @classmethod
    def from_config(cls, config: DenoiserConfig, process: Process, statistics: DataStatistics) -> DenoisingLoss:
        """The loss that a configuration describes, for noise and data."""
        time = TimeLaw.parse(config.time).resolve(process, statistics)
        return cls(time, Weighting.parse(config.weighting), config.label_dropout)

    def __call__(
        self,
        denoiser: NetworkDenoiser,
        x_0: Tensor,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Mean loss of a batch.

        Args:
            denoiser: Denoiser whose network is trained.
            x_0: Clean images `(B, C, *spatial)`, float32.
            labels: Classes `(B,)` of conditional models.
            generator: Source of times, noise and label dropout. Noise is drawn as white `xi` first, so the same seed
                gives the same `xi` under every spectrum.

        Returns:
            Scalar.

        Raises:
            InputError: If labels are given to an unconditional model.
        """
        if labels is not None and denoiser.null_label is None:
            raise InputError("labels were given to an unconditional model; leave them out")
        denoiser = denoiser.for_training(x_0, generator)
        process = denoiser.process.given(labels)
        eps = process.noise(x_0, generator)
        t = self.time.sample(len(x_0), process, generator).to(x_0.device)
        if labels is not None and self.label_dropout > 0:
            device = generator.device if generator is not None else None
            hidden = torch.rand(len(x_0), generator=generator, device=device) < self.label_dropout
            labels = labels.masked_fill(hidden.to(labels.device), denoiser.null_label or 0)
        output = denoiser.output(process.perturb(x_0, t, eps), t, labels)
        error = denoiser.error(output, denoiser.target(x_0, eps, t)).square()
        weight = self.weighting.weight(t, denoiser)
        if weight is None:
            return error.mean()
        return (weight.to(error.dtype) * error.flatten(1).mean(1)).mean()
