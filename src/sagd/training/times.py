"""Laws of training times."""

from __future__ import annotations

import math
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

_ROUNDING = 1e-6
"""In a log noise level that was turned into a time and back."""

_FARTHEST = 30
"""Logarithm of a noise level, or of the odds of a time, next to which 32 bits hold nothing else."""
_SPREAD = 3
"""Standard deviations of a normal law within which nearly all of it lies."""


class TimeLaw(Description, family="training time"):
    """Law of the training times `t` in (0, 1]."""

    @abstractmethod
    def sample(self, count: int, process: Process, generator: Generator | None = None) -> Tensor:
        """`count` times, float64, on the generator's device."""

    def density(self, t: Tensor, process: Process) -> Tensor:
        """Density of the law at times `(B,)`, infinite at a time that has a share of its own; float64.

        Raises:
            InputError: If the law does not know it.
        """
        raise InputError(
            f"training time {self.kind!r} does not know its density, which the loss weighting needs; take uniform,"
            " log_uniform, log_normal or logit_normal"
        )

    def resolve(self, process: Process, statistics: DataStatistics) -> TimeLaw:
        """The law for noise and data; this one, unless it depends on them."""
        return self


@dataclass(frozen=True)
class UniformTime(TimeLaw, kind="uniform"):
    """Uniform on (0, 1], stratified: one draw in each of `count` equal cells, which lowers the variance of the loss."""

    def sample(self, count: int, process: Process, generator: Generator | None = None) -> Tensor:
        """Stratified uniform times in random order."""
        return 1 - _stratified(count, generator)

    def density(self, t: Tensor, process: Process) -> Tensor:
        """1."""
        return torch.ones_like(t, dtype=torch.float64)


@dataclass(frozen=True)
class LogUniformTime(TimeLaw, kind="log_uniform"):
    """`log(sigma/alpha)` uniform between two noise levels, the larger at most that of the process; stratified.

    The times for the weighting `likelihood`, under which a noise level at which the data shows counts as much as
    another.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise InputError(
                f"log_uniform needs 0 < sigma_min < sigma_max, got sigma_min={self.sigma_min},"
                f" sigma_max={self.sigma_max}"
            )

    def sample(self, count: int, process: Process, generator: Generator | None = None) -> Tensor:
        """Times at log-uniform noise levels."""
        low, high = self._range(process)
        return process.time_at(torch.exp(high - (high - low) * _stratified(count, generator)))

    def density(self, t: Tensor, process: Process) -> Tensor:
        """`d log(sigma/alpha)/dt` over the range; 0 outside."""
        low, high = self._range(process)
        level, rate = _log_level(t, process)
        # Times are those of levels but for rounding.
        inside = (level > low - _ROUNDING) & (level < high + _ROUNDING)
        return torch.where(inside, rate / (high - low), 0.0)

    def _range(self, process: Process) -> tuple[float, float]:
        low, high = math.log(self.sigma_min), math.log(min(self.sigma_max, process.level_at(1.0)))
        if not low < high:
            raise InputError(f"log_uniform sigma_min={self.sigma_min} is beyond the noise of {process.schedule}")
        return low, high


@dataclass(frozen=True)
class LogNormalTime(TimeLaw, kind="log_normal"):
    """`log(sigma/alpha) ~ N(mean, std^2)`, as in Karras et al. (2022); clamped to the process's range."""

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        _check_normal(self.kind, self.mean, self.std)

    def resolve(self, process: Process, statistics: DataStatistics) -> LogNormalTime:
        """This law, unless the process has hardly any of its noise levels."""
        least, largest = self.mean - _SPREAD * self.std, process.level_at(1.0)
        if least > math.log(largest):
            raise InputError(
                f"{self} has no noise levels that {process.schedule} reaches, log(sigma/alpha) up to"
                f" {math.log(largest):.3g}; lower its mean"
            )
        return self

    def sample(self, count: int, process: Process, generator: Generator | None = None) -> Tensor:
        """Times at log-normal noise levels."""
        normal = randn((count,), generator, torch.float64)
        return process.time_at(torch.exp(self.mean + self.std * normal))

    def density(self, t: Tensor, process: Process) -> Tensor:
        """That of the level times `d log(sigma/alpha)/dt`; infinite at the end, where larger levels are clamped to."""
        level, rate = _log_level(t, process)
        return torch.where(t >= 1, math.inf, _normal((level - self.mean) / self.std) / self.std * rate)


@dataclass(frozen=True)
class LogitNormalTime(TimeLaw, kind="logit_normal"):
    """`logit(t) ~ N(mean, std^2)`, usual for rectified flow (Esser et al., 2024)."""

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        _check_normal(self.kind, self.mean, self.std)

    def sample(self, count: int, process: Process, generator: Generator | None = None) -> Tensor:
        """Logit-normal times."""
        return torch.sigmoid(self.mean + self.std * randn((count,), generator, torch.float64))

    def density(self, t: Tensor, process: Process) -> Tensor:
        """That of the normal law over `t (1 - t)`."""
        t = t.double()
        return _normal((torch.logit(t) - self.mean) / self.std) / (self.std * t * (1 - t))


@dataclass(frozen=True)
class MatchedTime(TimeLaw, kind="matched"):
    """Log-normal over the noise levels at which the frequencies of the data drown; see `training_levels`."""

    def resolve(self, process: Process, statistics: DataStatistics) -> LogNormalTime:
        """The log-normal law of this noise and data."""
        return LogNormalTime(*training_levels(statistics, process))

    def sample(self, count: int, process: Process, generator: Generator | None = None) -> Tensor:
        """Refused: the data is not known here."""
        raise InputError("training time 'matched' needs the data's statistics; call resolve(process, statistics) first")


def _stratified(count: int, generator: Generator | None) -> Tensor:
    """Uniform on [0, 1), one draw in each of `count` equal cells, in random order."""
    offsets = rand((count,), generator, torch.float64)
    return (randperm(count, generator) + offsets) / count


def _check_normal(kind: str, mean: float, std: float) -> None:
    """Refuse a law whose draws are all at one end of the noise, whatever the process."""
    if not 0 < std <= _FARTHEST:
        raise InputError(f"{kind} std must be positive and at most {_FARTHEST}, got {std}; e.g. 1.2")
    if not abs(mean) <= _FARTHEST:
        raise InputError(f"{kind} mean must lie in [-{_FARTHEST}, {_FARTHEST}], got {mean}; e.g. -1.2")


def _normal(z: Tensor) -> Tensor:
    """The standard normal density."""
    return torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _log_level(t: Tensor, process: Process) -> tuple[Tensor, Tensor]:
    """`log(sigma/alpha)` by the clock of the process, and its derivative, at times `(B,)`."""
    with torch.inference_mode(False), torch.enable_grad():
        time = t.detach().double().clone().requires_grad_()
        level = process.noise_level(time).log()
        (rate,) = torch.autograd.grad(level.sum(), time)
    return level.detach(), rate
