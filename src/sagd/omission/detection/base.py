"""What detection says: findings, each with its band and probability, and what they were found in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Self

import torch
from torch import Tensor

from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.detection.windows import mean_power

AUTO, LIKELIEST = "auto", "likeliest"
SOUGHT = (AUTO, LIKELIEST)
"""Bands that are looked for: what is damage for certain; or what is likeliest to be, in data known to be damaged."""
CERTAIN = 0.99
"""Probability from which on a band is taken for damaged without being asked."""
UNSURE = 0.5
"""Probability from which on it is shown."""
EMPTY = 1e-3
"""Power, as a part of the mean power, below which a frequency holds next to nothing."""
ENLARGED = 0.2
"""Share of such frequencies beyond which images look enlarged: those of natural size have a few in a hundred."""
_FEW = 0.03
"""Share of those that hold something which may lie beyond: what rounding and compression leave."""


@dataclass(frozen=True)
class Finding:
    """One band that sticks out.

    Attributes:
        band: Where, in cycles per sample.
        excess: Over its neighbours, in dB: of the mean logarithm of the power, as it is in all windows.
        peak: Largest excess of the mean power over its smooth fit, in dB.
        share: Share of all frequencies.
        probability: That it is damage, not content or chance; see `sagd.omission.detection.probability`.
        chance: Probability that a smooth spectrum has something like it somewhere.
        locked: How far it keeps step with the local power of the rest of the data, 0 to 1: content does.
    """

    band: Spectrum
    excess: float
    peak: float
    share: float
    probability: float
    chance: float
    locked: float

    def __str__(self) -> str:
        return (
            f"{self.band}: {self.excess:.1f} dB over its neighbours (at most {self.peak:.1f} dB over the fit),"
            f" {100 * self.share:.1f} % of the frequencies, damage with probability {rounded_down(self.probability)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "band": str(self.band),
            "excess_db": self.excess,
            "peak_db": self.peak,
            "share": self.share,
            "probability": self.probability,
            "chance": self.chance,
            "locked": self.locked,
        }


@dataclass(frozen=True)
class Detection:
    """What was found, and what it was found in.

    Attributes:
        findings: Bands that are damaged with a probability of 0.99 or more, the most conspicuous first; or what is
            `counting` as such.
        unsure: Those of less, down to 0.5.
        power: Power spectrum of the windows that were examined, channels averaged, `(*coefficients)`, float64.
        smooth: Its smooth fit, or the reference's scaled to it, likewise.
        basis: Their basis: that of the windows, which may be smaller than the data.
        nearest: Largest probability of what is no finding.
        likeliest: What is likeliest to be damage of what is less likely than that; None if nothing sticks out.
    """

    findings: tuple[Finding, ...]
    unsure: tuple[Finding, ...]
    power: Tensor
    smooth: Tensor
    basis: FourierBasis
    nearest: float
    likeliest: Finding | None = None

    @property
    def band(self) -> Spectrum | None:
        """The union of the findings; None if there are none."""
        bands = [finding.band for finding in self.findings]
        return reduce(lambda one, other: one + other, bands) if bands else None

    def counting(self, band: str) -> Self:
        """With what counts as found where a band is looked for.

        Args:
            band: 'auto'; or 'likeliest', for data that is known to be damaged, so that how likely damage is in general
                says nothing: all that is unsure, and where nothing is even that, what is likeliest.
        """
        if band != LIKELIEST:
            return self
        taken = self.findings + self.unsure
        if taken or self.likeliest is None:
            return replace(self, findings=taken, unsure=())
        return replace(self, findings=(self.likeliest,), likeliest=None)

    @property
    def excess(self) -> Tensor:
        """`e(f)` in dB, 0 at DC."""
        return excess_of(self.power, self.smooth, self.basis)

    @property
    def empty(self) -> float:
        """Share of the frequencies that hold less than `EMPTY` of the mean power."""
        return empty_share(self.power, self.basis)

    def lines(self, images: bool = True) -> list[str]:
        """For people; of images also whether they look enlarged."""
        if self.findings:
            said = ["damaged band:", *(f"  {finding}" for finding in self.findings)]
        else:
            said = [f"damaged band: none found ({self.missed})"]
        if self.unsure:
            said += ["unsure, name the band if it is damaged:", *(f"  {finding}" for finding in self.unsure)]
        if images and self.enlarged:
            said.append(f"  {self.enlarged}")
        return said

    @property
    def missed(self) -> str:
        """How near the nearest is that was not found."""
        return f"nothing is damage with more than {max(self.nearest, 0.01):.2f} probability"

    @property
    def enlarged(self) -> str:
        """That images look enlarged, a sentence; empty if they do not."""
        beyond = share_beyond(self.power, self.basis)
        if beyond <= ENLARGED:
            return ""
        return (
            f"the images look enlarged or smoothed: the finest {100 * beyond:.0f} % of their frequencies hold next to"
            " nothing; look at them in their original size"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "band": None if self.band is None else str(self.band),
            "nearest": self.nearest,
            "empty": self.empty,
            "findings": [f.to_dict() for f in self.findings],
            "unsure": [f.to_dict() for f in self.unsure],
        }


def rounded_down(probability: float) -> str:
    """With as many digits as tell it from 1: what is printed is never more than what is meant, and never certain.

    >>> rounded_down(0.9996), rounded_down(0.999999), rounded_down(0.0003)
    ('0.9996', '0.9999', 'less than 0.01')
    """
    if probability < 0.01:
        return "less than 0.01"
    digits = next((d for d in (2, 3, 4) if probability < 1 - 10**-d), 4)
    return f"{int(min(probability, 1 - 1e-4) * 10**digits) / 10**digits:.{digits}f}"


def excess_of(power: Tensor, smooth: Tensor, basis: FourierBasis) -> Tensor:
    """`e(f)`, how far a power spectrum is over its fit, in dB; 0 at DC."""
    return torch.where(basis.radius() > 0, 10 * (power / smooth).log10(), 0.0)


def empty_share(power: Tensor, basis: FourierBasis) -> float:
    """Share of the frequencies that hold less than `EMPTY` of the mean power."""
    weight = basis.multiplicity()
    return float((weight * (power < EMPTY * mean_power(power, basis))).sum() / weight.sum())


def share_beyond(power: Tensor, basis: FourierBasis) -> float:
    """Share of the frequencies that are finer, along some axis, than all that hold anything but a few.

    Enlarging and smoothing empty them along every axis. A chessboard and a sinogram have as many empty frequencies, but
    not all of them so fine.
    """
    finest = basis.frequencies().abs().amax(0).flatten()
    weight = basis.multiplicity().flatten()
    order = finest.argsort()
    holds = (weight * (power.flatten() >= EMPTY * mean_power(power, basis)))[order].cumsum(0)
    within = int((holds < (1 - _FEW) * holds[-1]).sum())
    last = finest[order[min(within, len(order) - 1)]]
    return float(weight[finest > last].sum() / weight.sum())
