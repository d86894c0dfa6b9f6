"""Residuals of a Wiener filter, scaled to unit variance."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sagd.model.parameterisation.base import Parameterisation
from sagd.noise.operator import Coefficient, pseudo_inverse
from sagd.process.base import Process, Time


@dataclass(frozen=True)
class Scales:
    """Data `N(mu, S)` and noise of standard deviation `s` as operators that commute: the Wiener filter and its scales.

        x_0 - mu = c_skip (x_t - a mu) + c_out F,   c_skip = a S c_in^2,   c_out = s sqrt(S) c_in,
        c_in = 1 / sqrt(a^2 S + s^2)

    `F = 0` is the exact posterior mean if the data is Gaussian and `S` its spectrum, and `F` then has unit variance at
    every frequency.
    """

    a: Coefficient
    s: Coefficient
    std: Any
    """`sqrt(S)`, a number or an operator."""

    @property
    def c_in(self) -> Coefficient:
        """Of what the network sees; 0 where neither signal nor noise is: what is not there says nothing."""
        return pseudo_inverse(((self.a * self.std) ** 2 + self.s**2).sqrt())

    @property
    def c_skip(self) -> Coefficient:
        """The gain of the filter."""
        return self.a * self.std**2 * self.c_in**2

    @property
    def c_out(self) -> Coefficient:
        """The posterior's standard deviation."""
        return self.s * self.std * self.c_in

    def target(self, residual: Tensor, noise: Tensor) -> Tensor:
        """`F` for a known `x_0 - mu` and unit noise, without the cancellation of `x_0 - mu - c_skip (x_t - a mu)`."""
        return self.c_in * (self.s / self.std * residual - self.a * self.std * noise)


class Preconditioned(Parameterisation):
    """The residual of a Wiener filter, scaled to unit variance."""

    @abstractmethod
    def scales(self, process: Process, t: Time, x: Tensor) -> Scales:
        """Scales of data and noise."""

    def mean(self, x: Tensor) -> Tensor | None:
        """Mean of the data like `x`, if it counts."""
        return None

    def unit(self, process: Process, eps: Tensor) -> Tensor:
        """The noise with the standard deviation that `s` leaves out."""
        return eps

    def scaled(self, process: Process, x_t: Tensor, t: Time) -> Tensor:
        """`c_in (x_t - a mu)`."""
        return self.scales(process, t, x_t).c_in * self._centred(process, x_t, t)

    def target(self, process: Process, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """`F` of the pair; in an unseen band the image about its mean, in units of its spread."""
        scales, mean = self.scales(process, t, x_0), self.mean(x_0)
        residual = x_0 if mean is None else x_0 - mean
        own = residual if not process.unseen else 1 / scales.std * residual
        return process.unseen.completed(scales.target(residual, self.unit(process, eps)), own)

    def to_x0(self, process: Process, output: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """`mu + c_skip (x_t - a mu) + c_out F`."""
        scales, mean = self.scales(process, t, x_t), self.mean(x_t)
        mean = x_t.new_zeros(()) if mean is None else mean
        x_0 = mean + scales.c_skip * self._centred(process, x_t, t) + scales.c_out * output
        return x_0 if not process.unseen else process.unseen.completed(x_0, mean + scales.std * output)

    def gain(self, process: Process, x_t: Tensor, t: Time) -> Coefficient:
        """`c_out`; in an unseen band the data's spread."""
        scales = self.scales(process, t, x_t)
        return process.unseen.completed_coefficient(scales.c_out, scales.std)

    def _centred(self, process: Process, x_t: Tensor, t: Time) -> Tensor:
        mean = self.mean(x_t)
        return x_t if mean is None else x_t - process.alpha(t, x_t) * mean
