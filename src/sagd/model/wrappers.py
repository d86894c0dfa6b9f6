"""What is added to any denoiser from outside: guidance, calibration, and the restriction to a band of given images."""

from __future__ import annotations

import math
from abc import ABC

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import Denoiser
from sagd.noise.operator import Diagonal
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Time


class Wrapper(Denoiser, ABC):
    """Base of the wrappers, which are where the denoiser inside is and take the conditions that it takes.

    Args:
        denoiser: Any denoiser.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.process, self.names, self.null = denoiser.process, denoiser.names, denoiser.null
        self.unexplained = denoiser.unexplained

    @property
    def device(self) -> torch.device:
        """That of the denoiser inside."""
        return self.denoiser.device

    @property
    def dtype(self) -> torch.dtype | None:
        """That of the denoiser inside."""
        return self.denoiser.dtype


class Guided(Wrapper):
    """Classifier-free guidance: `D + g (D_c - D)`, `D_c` told the condition and `D` told nothing.

    Only what has a `null` is left out of `D`; samples without any such condition are estimated as they are.
    Source: "Classifier-Free Diffusion Guidance" (Ho & Salimans, 2022), with `w = g - 1`.

    Args:
        denoiser: Denoiser with a `null`.
        scale: `g`; 1 is no guidance, 0 leaves the condition out.

    Raises:
        InputError: If the scale is not finite, or not 1 and the denoiser has no `null`.
    """

    def __init__(self, denoiser: Denoiser, scale: float) -> None:
        super().__init__(denoiser)
        if not math.isfinite(scale):
            raise InputError(f"guidance must be a finite number, got {scale}; 1 is none")
        if scale != 1 and not denoiser.null:
            raise InputError(
                f"guidance {scale} needs a conditional model; train with network.conditional, give the denoiser a null,"
                " or use 1"
            )
        self.scale = scale

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """The guided estimate."""
        given = Condition.of(condition)
        x_0 = self.denoiser.estimate(x_t, t, given)
        if self.scale == 1 or not given.keys() & self.null.keys():
            return x_0
        base = self.denoiser.estimate(x_t, t, given.without(self.null))
        return base + self.scale * (x_0 - base)


class Calibrated(Wrapper):
    """What is said of the unseen band, shrunk towards the mean of the data: `mu + c (D - mu)` there.

    Args:
        denoiser: Denoiser of a process with an unseen band, or of one that always covers it with noise.
        calibration: `c`, `(*coefficients)`; see `sagd.omission.calibrate`.
        statistics: Mean of the data, and the basis of `c`.
        unexplained: The variance by frequency that is left open, `(C, *coefficients)`, of which samples hold a draw.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        calibration: Tensor,
        statistics: DataStatistics,
        unexplained: Tensor | None = None,
    ) -> None:
        super().__init__(denoiser)
        self.calibration, self.statistics = calibration, statistics
        self.unexplained = None if unexplained is None else Diagonal(unexplained, statistics.basis)

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """The estimate, its unseen band calibrated."""
        x_0 = self.denoiser.estimate(x_t, t, condition)
        if not self.process.unseen:
            return x_0
        shrink = Diagonal(self.calibration - 1, self.statistics.basis).on(x_0)
        mean = self.statistics.mean.to(x_0).expand_as(x_0)
        return self.process.unseen.completed(x_0, x_0 + (shrink * (x_0 - mean)).to(x_0.dtype))


class GivenBand(Wrapper):
    """A band of given images is unknown, and the rest is given: `(1 - P) x + P D(P x_t)`.

    Args:
        denoiser: Denoiser that is shown an `image` of what is given.
        band: `P`, one projector per image.
        rest: `(1 - P) x`, `(B, C, *spatial)`.
        image: What the denoiser is shown of the rest, `(B, C', *spatial)`.
    """

    def __init__(self, denoiser: Denoiser, band: Diagonal, rest: Tensor, image: Tensor) -> None:
        super().__init__(denoiser)
        self.names = None if self.names is None else tuple(name for name in self.names if name != "image")
        self.band, self.rest, self.image = band, rest, image

    def estimate(self, x_t: Tensor, t: Time, condition: Conditional = None) -> Tensor:
        """The clean rest, and the estimate of the band."""
        told = Condition.of(condition) | {"image": self.image.to(x_t)}
        own = self.denoiser.estimate(in_band(self.band, x_t), t, told)
        return self.rest.to(x_t) + in_band(self.band, own)


def in_band(band: Diagonal, x: Tensor) -> Tensor:
    """`P x`, in the type of `x`."""
    return (band.on(x) * x).to(x.dtype)
