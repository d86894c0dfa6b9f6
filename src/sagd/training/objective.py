"""Denoising losses: mean squared error in prediction space, with a law of training times and a weighting.

    loss = E_{x_0, t, eps}  weight(t) || F(x_t, t) - target(x_0, eps, t) ||^2 / dimension

For `edm` the flat weight in prediction space is the weight `1/c_out^2` on images of Karras et al. (2022).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.model.denoiser import NetworkDenoiser
from sagd.training.times import TimeLaw, UniformTime
from sagd.training.weighting import FlatWeighting, Weighting


@dataclass(frozen=True)
class DenoisingLoss:
    """The loss of a network denoiser.

    Args:
        time: Law of the training times.
        weighting: Weight in prediction space.
        label_dropout: Share of labels replaced by the "no label" class in conditional models.
    """

    time: TimeLaw = field(default_factory=UniformTime)
    weighting: Weighting = field(default_factory=FlatWeighting)
    label_dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.label_dropout < 1:
            raise InputError(f"label_dropout must lie in [0, 1), got {self.label_dropout}")

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
