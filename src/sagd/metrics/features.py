"""Feature extractors: images in [-1, 1] to the vectors that Fréchet and kernel distance compare.

Distances are comparable only between figures taken with the same extractor: `identifier` says which one it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.metrics.checks import check_finite


@runtime_checkable
class FeatureExtractor(Protocol):
    """Maps images `(N, C, H, W)` in [-1, 1] to finite features `(N, D)`.

    Attributes:
        name: What people call it, for tables.
        identifier: Exactly which one it is: equal identifiers give equal features.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def identifier(self) -> str: ...  # noqa: D102

    def __call__(self, images: Tensor) -> Tensor:
        """Features of images in [-1, 1]; batched inside."""
        ...


def extract(function: Callable[[Tensor], Any], images: Tensor, batch_size: int) -> Tensor:
    """`function` over batches, its output checked to be finite and `(N, D)`."""
    if images.ndim < 3 or len(images) < 1:
        raise InputError(f"images must have shape (N, C, *spatial) with N >= 1, got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise InputError(f"images must be floating point in [-1, 1], got {images.dtype}; rescale them")
    check_finite(images, "images")
    parts = []
    with torch.no_grad():
        for batch in images.detach().split(batch_size):
            part = function(batch)
            if not isinstance(part, Tensor) or part.ndim != 2 or len(part) != len(batch):
                shape = tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__
                raise InputError(f"the feature extractor must return (N, D) features, got {shape} for N={len(batch)}")
            parts.append(part.cpu())
    features = torch.cat(parts)
    check_finite(features, "features")
    return features


@final
class FunctionFeatures:
    """Features from a function of one's own.

    Args:
        function: Maps fields `(N, C, *spatial)` to `(N, D)`.
        batch_size: Fields per call.
    """

    def __init__(self, function: Callable[[Tensor], Any], batch_size: int = 64) -> None:
        self.function, self.batch_size = function, batch_size
        self.name = getattr(function, "__name__", type(function).__name__)
        self.identifier = f"{getattr(function, '__module__', '?')}:{self.name}"

    def __call__(self, images: Tensor) -> Tensor:
        """Features `(N, D)`."""
        return extract(self.function, images, self.batch_size)
