"""What trains a resampling model: the loss in a band of each image, given the rest."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import NetworkDenoiser
from sagd.random import Generator
from sagd.resampling.bands import BandLaw
from sagd.training.objective import DenoisingLoss, filled
from sagd.training.weighting import Weighting


@dataclass(frozen=True)
class BandLoss:
    """The denoising loss of bands that are drawn for each image.

    Args:
        loss: Times, weighting and condition dropout.
        law: Law of the bands.
    """

    loss: DenoisingLoss
    law: BandLaw

    @property
    def weighting(self) -> Weighting:
        """That of the loss."""
        return self.loss.weighting

    def __call__(
        self,
        denoiser: NetworkDenoiser,
        x_0: Tensor,
        condition: Conditional = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Mean loss of a batch; bands are drawn first. Arguments and errors as for `DenoisingLoss`."""
        told = Condition.of(condition)
        x_0 = filled(x_0, self.loss.weights(x_0, told))
        band, _, image = self.law.split(x_0, self.law.sample(len(x_0), generator))
        return self.loss(denoiser, x_0, told | {"image": image}, generator, band)
