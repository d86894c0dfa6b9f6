"""Laws of training times."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process
from sagd.random import Generator, rand, randn, randperm
from sagd.spec import Description
from sagd.training.levels import training_levels


class TimeLaw(Description, family="training time"):
    """Law of the training times `t` in (0, 1]."""

    @abstractmethod
    def sample(self, count: int, process: Process, generator: Generator | None = None) -> Tensor:
        """`count` times, float64, on the generator's device."""

    def resolve(self, process: Process, statistics: DataStatistics) -> TimeLaw:
        """The law for noise and data; this one, unless it depends on them."""
        return self


@dataclass(frozen=True)
class UniformTime(TimeLaw, kind="uniform"):
    """Uniform on (0, 1], stratified: one draw in each of `count` equal cells, which lowers the variance of the loss."""

    def sample(self, count: int, process: Process, generator: Generator | None = None) -> Tensor:
        """Stratified uniform times in random order."""
        offsets = rand((count,), generator, torch.float64)
        return 1 - (randperm(count, generator) + offsets) / count


@dataclass(frozen=True)
class LogNormalTime(TimeLaw, kind="log_normal"):
    """`log(sigma/alpha) ~ N(mean, std^2)`, as in Karras et al. (2022); clamped to the process's range."""

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise InputError(f"log_normal std must be positive, got {self.std}")

    def sample(self, count: int, process: Process, generator: Generator | None = None) -> Tensor:
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

    def sample(self, count: int, process: Process, generator: Generator | None = None) -> Tensor:
        """Logit-normal times."""
        return torch.sigmoid(self.mean + self.std * randn((count,), generator, torch.float64))


@dataclass(frozen=True)
class MatchedTime(TimeLaw, kind="matched"):
    """Log-normal over the noise levels at which the frequencies of the data drown; see `training_levels`."""

    def resolve(self, process: Process, statistics: DataStatistics) -> LogNormalTime:
        """The log-normal law of this noise and data."""
        return LogNormalTime(*training_levels(statistics, process))

    def sample(self, count: int, process: Process, generator: Generator | None = None) -> Tensor:
        """Refused: the data is not known here."""
        raise InputError("training time 'matched' needs the data's statistics; call resolve(process, statistics) first")
