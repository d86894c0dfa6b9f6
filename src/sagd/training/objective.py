"""Denoising losses: mean squared error in prediction space, with a law of training times and a weighting.

    loss = E_{x_0, t, eps}  weight(t) || F(x_t, t) - target(x_0, eps, t) ||^2 / dimension

For `edm` the flat weight in prediction space is the weight `1/c_out^2` on images of Karras et al. (2022).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from sagd.errors import InputError
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import NetworkDenoiser
from sagd.model.wrappers import in_band
from sagd.noise.operator import Diagonal
from sagd.random import Generator, rand
from sagd.tensors import exact_device, moved
from sagd.training.times import TimeLaw, UniformTime
from sagd.training.weighting import FlatWeighting, Weighting


@dataclass(frozen=True)
class DenoisingLoss:
    """The loss of a network denoiser.

    Args:
        time: Law of the training times.
        weighting: Weight in prediction space.
        condition_dropout: Share of samples whose condition is replaced by the denoiser's `null`, for guidance.
    """

    time: TimeLaw = field(default_factory=UniformTime)
    weighting: Weighting = field(default_factory=FlatWeighting)
    condition_dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.condition_dropout < 1:
            raise InputError(f"condition_dropout must lie in [0, 1), got {self.condition_dropout}")

    def __call__(
        self,
        denoiser: NetworkDenoiser,
        x_0: Tensor,
        condition: Conditional = None,
        generator: Generator | None = None,
        band: Diagonal | None = None,
    ) -> Tensor:
        """Mean loss of a batch.

        Args:
            denoiser: Denoiser whose network is trained.
            x_0: Clean images `(B, C, *spatial)`, float32.
            condition: What conditional models are told: class numbers `(B,)`, or a mapping, see `sagd.model.condition`.
            generator: Source of times, noise and condition dropout. Noise is drawn as white `xi` first, so the same
                seed gives the same `xi` under every spectrum.
            band: Projector `P` of each sample, if the model is of a band alone: the network is then shown `P x_t`, and
                errors outside the band do not count.

        Returns:
            Scalar.

        Raises:
            InputError: If images or condition are not the model's.
        """
        _check_images(x_0, denoiser)
        told = denoiser.check(condition, len(x_0))
        process = denoiser.process.given(told.labels)
        eps = process.noise(x_0, generator)
        t = self.time.sample(len(x_0), process, generator).to(exact_device(x_0.device))
        told = self._with_dropout(told, denoiser, generator)
        x_t = process.perturb(x_0, t, eps)
        output = denoiser.output(x_t if band is None else in_band(band, x_t), t, told)
        error = output - denoiser.target(x_0, eps, t)
        if band is not None:
            error = _per_degree(band, error)
        weight = self.weighting.weight(t, denoiser)
        if weight is None:
            return error.square().mean()
        return (moved(weight, error.dtype, error.device) * error.square().flatten(1).mean(1)).mean()

    def _with_dropout(self, told: Condition, denoiser: NetworkDenoiser, generator: Generator | None) -> Condition:
        """The condition, that of some samples replaced by nothing; the process keeps what it was given."""
        if self.condition_dropout == 0 or not told.keys() & denoiser.null.keys():
            return told
        where = rand((len(told),), generator) < self.condition_dropout
        return told.dropped(where, denoiser.null)


def _per_degree(band: Diagonal, error: Tensor) -> Tensor:
    """The error in the band, scaled so that its mean square is that per degree of freedom of the band."""
    p = band.on(error)
    m = p.basis.held("multiplicity", p.values.dtype, p.values.device)
    share = (p.values * m).flatten(1).sum(1) / m.sum()
    return share.rsqrt().reshape(-1, *(1,) * (error.ndim - 1)).to(error.dtype) * in_band(band, error)


def _check_images(x_0: Tensor, denoiser: NetworkDenoiser) -> None:
    shape = denoiser.process.shape
    if not isinstance(x_0, Tensor):
        raise InputError(f"a batch must be a tensor (B, {', '.join(map(str, shape))}), got {type(x_0).__name__}")
    if x_0.ndim != len(shape) + 1 or tuple(x_0.shape[1:]) != shape:
        raise InputError(f"the model is of images {shape}, got a batch of shape {tuple(x_0.shape)}")
    if not len(x_0):
        raise InputError("the batch is empty")
    if not x_0.is_floating_point():
        raise InputError(f"images must be floating point, got {x_0.dtype}; scale 8-bit images to [-1, 1]")
