"""Improved precision and recall: shares of one feature set within the k-nearest-neighbour balls of the other.

A set's manifold is the union of balls about its points, each reaching to the point's k-th nearest neighbour in
the set. Precision (fidelity) is the share of samples in the manifold of the reference, recall (diversity) the
share of the reference in the manifold of the samples.

Source: Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models",
arXiv:1904.06991, eqs. 1 and 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.metrics.checks import feature_pair

_CHUNK = 2**22  # distances held at a time: 32 MiB


@dataclass(frozen=True)
class PrecisionRecall:
    """Shares in [0, 1]; both depend on the sizes of the two sets."""

    precision: float
    recall: float


def precision_recall(samples: Tensor, reference: Tensor, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall of features `(N, D)` and `(M, D)`.

    Args:
        samples: Features of generated images.
        reference: Features of real images.
        k: Neighbour that sets the radius of a ball; 3 in the source.

    Raises:
        InputError: On shapes that do not fit, non-finite features, or a set of `k` points or fewer.

    >>> x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    >>> precision_recall(x, x + 100)
    PrecisionRecall(precision=0.0, recall=0.0)
    """
    if k < 1:
        raise InputError(f"k must be at least 1, got {k}; 3 is usual")
    samples, reference = feature_pair(samples, reference, least=k + 1)
    centre = reference.mean(0)  # distances by matrix product lose accuracy far from the origin
    samples, reference = samples - centre, reference - centre
    return PrecisionRecall(
        precision=_share_inside(samples, reference, _radii(reference, k)),
        recall=_share_inside(reference, samples, _radii(samples, k)),
    )


def _radii(x: Tensor, k: int) -> Tensor:
    """Distance of every point to its k-th nearest neighbour, itself not counted: `(N,)`."""
    chunk = max(1, _CHUNK // len(x))
    radii = []
    for start in range(0, len(x), chunk):
        distance = torch.cdist(x[start : start + chunk], x)
        distance.diagonal(start).fill_(torch.inf)
        radii.append(distance.kthvalue(k, dim=1).values)
    return torch.cat(radii)


def _share_inside(points: Tensor, centres: Tensor, radii: Tensor) -> float:
    """Share of `points` within at least one ball."""
    inside = [(torch.cdist(p, centres) <= radii).any(1) for p in points.split(max(1, _CHUNK // len(centres)))]
    return float(torch.cat(inside).double().mean())
