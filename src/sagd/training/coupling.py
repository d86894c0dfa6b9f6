"""Which noise goes with which image of a batch: at random, or by optimal transport.

Flow matching may pair data and noise in any way that leaves the law of either as it is. Pairs of a batch that lie near
each other, in the distance of the noise,

    |x_0 - eps|^2 = (x_0 - eps)^T Sigma^-1 (x_0 - eps)

have straighter paths, since fewer of them cross. What then holds: the ends do, so that the probability flow still leads
from noise to data, and its deterministic samplers are right. What lies between is another law than that of the
process, whose score the model no longer knows: stochastic samplers and restored images are not.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.model.condition import Condition, Conditional
from sagd.model.denoiser import NetworkDenoiser
from sagd.optional import need
from sagd.process.base import Process
from sagd.random import Generator, Stream
from sagd.training.objective import DenoisingLoss, filled
from sagd.training.weighting import Weighting

_MATTERLESS = ("labels", "mask")
"""Parts of a condition that pairs are made in spite of: pairs stay in a class, and what is missing counts as 0."""


@dataclass(frozen=True)
class CoupledLoss:
    """The denoising loss of batches whose images are paired with its noise by optimal transport.

    Images change places, not the noise, so that a seed means the same noise as without coupling. Those of a class stay
    among themselves: noise must say nothing of the class, which is chosen independently of it when samples are drawn.

    Args:
        loss: The loss of the pairs, which draws its noise before all else.

    Source: Tong et al., "Improving and generalizing flow-based generative models with minibatch optimal transport"
    (arXiv:2302.00482), with the distance of the noise in place of Euclid's.
    """

    loss: DenoisingLoss

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
        """Mean loss of a batch. Arguments and errors as for `DenoisingLoss`.

        Raises:
            InputError: If the noise depends on the class, or the model is told more of images than that.
        """
        told = Condition.of(condition)
        if others := [name for name in told.names if name not in _MATTERLESS]:
            raise InputError(
                f"coupling pairs images with noise of a batch, but noise must not depend on condition {others[0]!r};"
                " train without it"
            )
        process = denoiser.process
        if process.covariance.depends_on_class:
            raise InputError("coupling needs noise of one law, and that of this model depends on the class")
        x = filled(x_0, self.loss.weights(x_0, told))
        rows = partners(process, x, process.noise(x, _copied(generator)), told.labels)
        return self.loss(denoiser, x_0[rows.to(x_0.device)], told[rows.to(x_0.device)], generator)


def partners(process: Process, x_0: Tensor, eps: Tensor, labels: Tensor | None = None) -> Tensor:
    """The row of the image that goes with each row of the noise, so that all pairs together are nearest, `(B,)`.

    Args:
        process: Whose noise measures distances.
        x_0: Images `(B, C, *spatial)`.
        eps: Noise, likewise.
        labels: Class numbers `(B,)`, among which images stay; None: one class.
    """
    need("scipy")
    from scipy.optimize import linear_sum_assignment

    with torch.no_grad():
        ours, theirs = (process.covariance.whiten(x, pseudo=True).flatten(1).double() for x in (eps, x_0))
        near = (ours @ theirs.T).cpu()
    rows = torch.arange(len(x_0))
    groups = torch.zeros(len(x_0)) if labels is None else labels.cpu()
    for group in groups.unique():
        members = rows[groups == group]
        # Squares of rows alone are in every sum of pairs: the product is all that differs.
        _, chosen = linear_sum_assignment(near[members][:, members].numpy(), maximize=True)
        rows[members] = members[torch.from_numpy(chosen)]
    return rows


def _copied(generator: Generator | None) -> Generator:
    """A generator in the state of another, which stays as it is."""
    if isinstance(generator, Stream):
        return copy.deepcopy(generator)
    if generator is None:
        raise InputError("coupling needs a generator; give the loss a torch.Generator or a Stream")
    return generator.clone_state()
