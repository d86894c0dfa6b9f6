"""Denoising losses: mean squared error in prediction space, with a law of training times and a weighting.

    loss = E_{x_0, t, eps}  weight(t) || F(x_t, t) - target(x_0, eps, t) ||^2 / dimension

Where weights differ by frequency they multiply the power of the error at each, and `weight(t)` is the operator of them;
errors of places that count less are made smaller before.
For `edm` the flat weight in prediction space is the weight `1/c_out^2` on images of Karras et al. (2022).

Where data is missing, or places count differently, the squared error of each place is weighted by `W`, the product of
the loss's `weight_field` and the batch's `mask`, over the mean of `W`: the expected loss of errors that are alike
everywhere does not depend on how many places are valid. Where `W = 0` the image is taken to be 0 before it is noised,
whatever it holds, not-a-number included; 0 is the middle of scaled data. A prediction that is scaled by frequency
(`wiener`, or any under a schedule per frequency) spreads that fill over the valid places near by, as it spreads all
else; `eps`, `x0`, `v`, `velocity` and `edm` of one schedule are the errors of their places alone.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import NetworkDenoiser
from sagd.model.wrappers import in_band
from sagd.noise.operator import Coefficient, Diagonal
from sagd.noise.places import checked_weights, require_places
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process
from sagd.random import Generator, rand
from sagd.tensors import Holding, exact, exact_device, holds, moved
from sagd.training.times import TimeLaw, UniformTime
from sagd.training.weighting import FlatWeighting, Weighting


@dataclass(frozen=True)
class DenoisingLoss(Holding):
    """The loss of a network denoiser.

    Args:
        time: Law of the training times.
        weighting: Weight in prediction space.
        condition_dropout: Share of samples whose condition is replaced by the denoiser's `null`, for guidance.
        weight_field: How much each place counts, `(1|C, *spatial)`, not negative: areas of the cells of a map
            (`sagd.noise.places.area_weights`), 0 where no sample has data; up to a factor. None counts all alike.
    """

    time: TimeLaw = field(default_factory=UniformTime)
    weighting: Weighting = field(default_factory=FlatWeighting)
    condition_dropout: float = 0.0
    weight_field: Tensor | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.weight_field is not None:
            object.__setattr__(self, "weight_field", checked_weights(self.weight_field))
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
                Its `mask` `(B, 1|C, *spatial)` says where the images are valid (1 or true; 0 elsewhere, or a share);
                networks are shown it only if they take it.
            generator: Source of times, noise and condition dropout. Noise is drawn as white `xi` first, so the same
                seed gives the same `xi` under every spectrum.
            band: Projector `P` of each sample, if the model is of a band alone: the network is then shown `P x_t`, and
                errors outside the band do not count.

        Returns:
            Scalar.

        Raises:
            InputError: If images or condition are not the model's, or no place counts.
        """
        _check_images(x_0, denoiser)
        given = Condition.of(condition)
        W = self.weights(x_0, given)
        x_0 = filled(x_0, W)
        told = denoiser.check(given if "mask" in (denoiser.names or ()) else given.without(["mask"]), len(x_0))
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
        if weight is not None and self.weighting.per_time:
            weight = _divided(weight, self.time.density(t, process))
        if isinstance(weight, Diagonal):
            counted = error if W is None else error * _relative(W).sqrt().to(error)
            return (weight.sqrt().on(error) * counted).square().mean()
        square = error.square() if W is None else error.square() * _relative(W).to(error)
        if weight is None:
            return square.mean()
        return (moved(weight, error.dtype, error.device) * square.flatten(1).mean(1)).mean()

    def resolve(self, process: Process, statistics: DataStatistics) -> DenoisingLoss:
        """The loss for noise and data: with times and weights that depend on them.

        Args:
            process: Forward process.
            statistics: Mean and spectrum of the data, in a basis of the noise.

        Raises:
            InputError: If they do not determine these, or the weighting needs a density that the times do not have.
        """
        time, weighting = self.time.resolve(process, statistics), self.weighting.resolve(process, statistics)
        if weighting.per_time and not process.covariance.depends_on_class:
            time.density(torch.full((1,), 0.5, dtype=torch.float64), process)
        return dataclasses.replace(self, time=time, weighting=weighting)

    def weights(self, x_0: Tensor, condition: Condition) -> Tensor | None:
        """How much each place of a batch counts, `(1|B, 1|C, *spatial)` of the images' type; None if all do alike.

        Raises:
            InputError: If the mask or the field of weights does not fit the images.
        """
        W = None
        if self.weight_field is not None:
            W = self.held("weight_field", x_0.dtype, x_0.device)[None]
            require_places("weight_field", W, x_0.shape[1:])
        if condition.mask is not None:
            mask = _checked_mask(condition.mask, x_0)
            W = mask if W is None else W * mask
        return W

    def _with_dropout(self, told: Condition, denoiser: NetworkDenoiser, generator: Generator | None) -> Condition:
        """The condition, that of some samples replaced by nothing; the process keeps what it was given."""
        if self.condition_dropout == 0 or not told.keys() & denoiser.null.keys():
            return told
        where = rand((len(told),), generator) < self.condition_dropout
        return told.dropped(where, denoiser.null)


def filled(x_0: Tensor, weights: Tensor | None) -> Tensor:
    """Images with 0 in place of what does not count."""
    return x_0 if weights is None else torch.where(weights > 0, x_0, 0.0)


def _divided(weight: Coefficient, density: Tensor) -> Coefficient:
    """Weights over the density of the times of the samples."""
    if isinstance(weight, Diagonal):
        return weight.map(lambda values: values / density.reshape(-1, *(1,) * (values.ndim - 1)))
    return weight / density


def _relative(weights: Tensor) -> Tensor:
    """Weights over their mean, which is taken in float64 so that ones stay ones."""
    mean = exact(weights).mean()
    if not holds(mean > 0):
        raise InputError("no place of the batch counts: its masks are 0 everywhere; True or 1 is where data is valid")
    return weights / mean.to(weights)


def _checked_mask(mask: Tensor, x_0: Tensor) -> Tensor:
    """The mask in the images' type and on their device."""
    if len(mask) != len(x_0):
        raise InputError(f"got {len(mask)} masks for {len(x_0)} images; give one per image")
    require_places("condition 'mask'", mask, x_0.shape[1:])
    if not holds((mask == 0) | (mask == 1)):
        raise InputError("a mask holds 1 (or True) where data is valid and 0 where it is not; give others another name")
    return mask.to(x_0.device, x_0.dtype)


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
