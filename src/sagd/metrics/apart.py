"""Whether real fields and drawn ones can be told apart by their finest scales alone.

All frequencies but the highest are taken away, and a classifier learns on some of the fields which are drawn; its
accuracy on the others is one half if nothing tells them apart. Spectra that agree do not fool it: it sees how what is
left is spread over a field, how uneven it is, which way it goes.

The classifier is logistic regression on label-free features, which are fitted to both sets together, and of which the
labels know nothing; so under equal laws each answer is right with probability one half. It is deterministic given a
seed, and takes a second.

Sources: Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", arXiv:1610.06545; Falck et al., "A Fourier space
perspective on diffusion models", arXiv:2505.11278, whose test sees the highest 5 % of the frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.metrics.fields import Fields, FieldSet, channel_scale, field_sets
from sagd.metrics.labelless import LabellessFeatures
from sagd.metrics.spectral import basis_for
from sagd.noise.basis.base import EDGE, Basis
from sagd.random import generator_for, randperm

LEAST = 10
"""Fields of either set with the default number of folds."""
_RIDGE = 1e-2
"""Penalty on the squared weights, for each field and feature of unit spread."""
_NEWTON = 20
_NORMAL = 1.959964
"""The standard normal's 97.5 % quantile."""


@dataclass(frozen=True)
class Apart:
    """How well drawn fields are told from real ones.

    Attributes:
        accuracy: Share of fields, in turn left out of learning, that are told rightly; 0.5 is a perfect model's.
        interval: Its 95 % interval by Wilson, as if answers were independent.
        low: Edge of what is seen, as a fraction of the corner radius.
        count: Fields that were told, both sets together.
    """

    accuracy: float
    interval: tuple[float, float]
    low: float
    count: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"interval": list(self.interval)}


def told_apart(
    samples: FieldSet,
    reference: FieldSet,
    top: float = 0.05,
    folds: int = LEAST // 2,
    seed: int = 0,
    samples_mask: Tensor | None = None,
    reference_mask: Tensor | None = None,
) -> Apart:
    """Tell fields `(N, C, *spatial)` from those of `(N, C, *spatial)` by their highest frequencies.

    Args:
        samples: Generated fields.
        reference: As many real ones.
        top: Share of all frequencies that is seen, from the corner inwards.
        folds: Parts that are left out of learning in turn.
        seed: Seed of the parts.
        samples_mask: Their valid places, `(N, 1 | C, *spatial)`; others hold the mean. None: all.
        reference_mask: The same of the reference.

    Raises:
        InputError: If shapes or numbers differ, there are fewer than `2 * folds` of either, values are not finite, or
            `top` or `folds` is out of range.
    """
    if not 0 < top <= 1:
        raise InputError(f"top must lie in (0, 1], a share of the frequencies, got {top}; e.g. 0.05")
    if folds < 2:
        raise InputError(f"folds must be at least 2, got {folds}")
    ours, theirs = field_sets(samples, reference, samples_mask, reference_mask, least=2 * folds)
    if len(ours) != len(theirs):
        raise InputError(f"both sets must be of one size, or guessing would pay; got {len(ours)} and {len(theirs)}")
    basis = basis_for(theirs)
    low = highest(basis, top)
    fill = channel_scale(theirs).mean
    x = torch.cat([part for fields in (ours, theirs) for part in _high_passed(fields, basis, low, fill)])
    features = LabellessFeatures.fitted(x)(x)
    answers = torch.cat([torch.ones(len(ours)), torch.zeros(len(theirs))]).double()
    right = _cross_validated(features, answers, folds, seed)
    return Apart(right / len(x), wilson(right, len(x)), low, len(x))


def highest(basis: Basis, top: float) -> float:
    """The fraction of the corner radius beyond which a share `top` of the frequencies lies, at least one radius.

    >>> from sagd.noise.basis.fourier import FourierBasis
    >>> highest(FourierBasis((8,)), 0.25)  # one of eight lies at the corner, two at 0.75
    0.75
    """
    rho, m = basis.relative_radius().flatten(), basis.multiplicity().flatten()
    order = rho.argsort(descending=True)
    beyond = m[order].cumsum(0) / m.sum()
    radii = rho[order]
    # Whole radii alone: frequencies of one radius are seen together.
    index = min(int((beyond < top - EDGE).sum()), len(radii) - 1)
    return float(radii[index])


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a probability, from the number of times that something came out.

    >>> [round(end, 3) for end in wilson(50, 100)]
    [0.404, 0.596]
    """
    share, z2 = right / count, _NORMAL**2 / count
    middle = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / 4)) / (1 + z2)
    return middle - half, middle + half


def _high_passed(fields: Fields, basis: Basis, low: float, fill: Tensor) -> Iterator[Tensor]:
    """Batches `(B, C, *spatial)`, float64, without what lies below a radius."""
    kept = (basis.relative_radius() >= low - EDGE).double()
    for x in fields.rows(fill):
        yield basis.inverse(kept * basis.forward(x.cpu().double()))


def _cross_validated(features: Tensor, answers: Tensor, folds: int, seed: int) -> int:
    """How many answers are right, each by a classifier that has not seen it; parts hold both sets alike."""
    n = len(answers) // 2
    part = torch.empty(2 * n, dtype=torch.long)
    generator = generator_for(seed, "told apart")
    for start in (0, n):
        part[start + randperm(n, generator)] = torch.arange(n) % folds
    right = 0
    for fold in range(folds):
        known, asked = part != fold, part == fold
        mean, std = features[known].mean(0), features[known].std(0).clamp(min=1e-12)
        z = torch.cat([(features - mean) / std, features.new_ones(2 * n, 1)], 1)
        said = z[asked] @ _logistic(z[known], answers[known]) > 0
        right += int((said == (answers[asked] > 0)).sum())
    return right


def _logistic(z: Tensor, y: Tensor) -> Tensor:
    """Weights of a logistic regression with a ridge, by Newton's method; the last feature, a constant, has none."""
    ridge = torch.full((z.shape[1],), _RIDGE * len(z), dtype=z.dtype)
    ridge[-1] = 0
    weights = torch.zeros(z.shape[1], dtype=z.dtype)
    for _ in range(_NEWTON):
        p = torch.sigmoid(z @ weights)
        slope = z.T @ (p - y) + ridge * weights
        bend = z.T @ ((p * (1 - p))[:, None] * z) + torch.diag(ridge)
        bend[-1, -1] += 1e-9
        weights = weights - torch.linalg.solve(bend, slope)
    return weights
