"""What a network may predict, and what it sees: the common interface, and quantities that are seen in units of `x_t`.

An image and its noise determine a `Quantity`, and the quantity determines the image again, given `x_t`:

    eps      = (x_t - alpha x_0) / sigma                                      the noise, coloured if Sigma_w is
    v        = alpha eps - sigma x_0
    velocity = alpha' x_0 + sigma' eps                                        dx_t/dt for fixed x_0 and eps
    score    = Sigma_w^-1 (alpha x_0 - x_t) / sigma^2                         (arXiv:2510.09660, equations 26 and 29)

A `Parameterisation` is a quantity that a network can be trained on: it is affine in the output, `gain` is the
derivative of the image by it, and `scaled` is what the network sees. In an unseen band it sees nothing and its output
is `x_0` itself, for `edm` and `wiener` in units of the data's spread.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from torch import Tensor

from sagd.errors import InputError
from sagd.noise.operator import Coefficient
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process, Time
from sagd.spec import Description
from sagd.tensors import holds


class Quantity(ABC):
    """What an image and its noise determine, and what determines the image given `x_t`."""

    @abstractmethod
    def target(self, process: Process, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """The quantity of a known image and noise `eps_w`, `(B, C, *spatial)`."""

    @abstractmethod
    def to_x0(self, process: Process, output: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The clean image that it stands for.

        Raises:
            InputError: For `eps` or `score` where `alpha_t = 0`, since they then say nothing of the image.
        """

    def from_x0(self, process: Process, x_0: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The quantity that a clean image stands for; undefined at `t = 0`, where `sigma_t = 0`, except for `x0`.

        With a singular covariance, `eps` and `score` are those of the frequencies that carry noise.
        """
        return self.target(process, x_0, process.eps_of(x_0, x_t, t), t)


class Parameterisation(Quantity, Description, family="prediction", example="eps"):
    """Base of the parameterisations; a subclass supplies `scaled`, `target`, `to_x0` and `gain`."""

    def resolve(self, data_std: float, statistics: DataStatistics | None) -> Parameterisation:
        """The same with what it needs to know of the data; itself if that is nothing.

        Args:
            data_std: Standard deviation of all values of the data.
            statistics: Mean and spectrum of the data in the basis of the noise.

        Raises:
            InputError: If it needs what is not known.
        """
        return self

    @property
    def identity(self) -> str:
        """What decides how an output is read, but for what is measured of the data: two networks of other identities
        cannot start from each other's weights."""
        return self.kind

    def check(self, process: Process) -> None:
        """Refuse a process under which the output does not determine the image everywhere.

        Raises:
            InputError: Saying what to use instead.
        """

    @abstractmethod
    def scaled(self, process: Process, x_t: Tensor, t: Time) -> Tensor:
        """What the network sees of `x_t`, `(B, C, *spatial)`."""

    @abstractmethod
    def gain(self, process: Process, x_t: Tensor, t: Time) -> Coefficient:
        """Derivative of the clean image by the output."""


class Direct(Parameterisation):
    """Base of the quantities of a pair themselves, of which a subclass writes three formulas.

    The network sees `x_t / rms(x_t)` of data with unit variance, which is `x_t` under variance-preserving schedules. In
    an unseen band the quantity is the image.
    """

    @abstractmethod
    def of_pair(self, process: Process, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """The quantity of an image and its noise."""

    @abstractmethod
    def image(self, process: Process, value: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The clean image, from the quantity and `x_t`."""

    @abstractmethod
    def slope(self, process: Process, x_t: Tensor, t: Time) -> Coefficient:
        """Derivative of `image` by the quantity."""

    def scaled(self, process: Process, x_t: Tensor, t: Time) -> Tensor:
        """`x_t / rms(x_t)`."""
        return x_t / process.rms(t, x_t)

    def target(self, process: Process, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """The quantity of the pair; where a band is unseen, the image."""
        return process.unseen.completed(self.of_pair(process, x_0, eps, t), x_0)

    def to_x0(self, process: Process, output: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """The image; where a band is unseen, the output."""
        return process.unseen.completed(self.image(process, output, x_t, t), output)

    def gain(self, process: Process, x_t: Tensor, t: Time) -> Coefficient:
        """The slope; where a band is unseen, 1."""
        return process.unseen.completed_coefficient(self.slope(process, x_t, t), 1.0)


def require_signal(kind: str, process: Process, alpha: Coefficient, t: Time) -> None:
    """Refuse times at which noise alone says nothing of the image.

    Raises:
        InputError: If `alpha_t` is 0 somewhere.
    """
    if not (process.has_signal(t) and holds(alpha > 0)):
        raise InputError(
            f"a {kind} prediction at alpha_t = 0 (t = {t}) does not determine x_0; predict x0, v or velocity,"
            " or use a schedule that keeps some signal at t = 1"
        )


def require_std(data_std: float) -> float:
    """The standard deviation of data as a number.

    Raises:
        InputError: If it is none.
    """
    if isinstance(data_std, bool) or not isinstance(data_std, (int, float)) or not 0 < data_std < math.inf:
        raise InputError(f"data_std must be positive and finite, got {data_std}")
    return float(data_std)
