"""Many raw features of any scale, brought to the few that distances compare."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.metrics.checks import check_finite

_MOST = 64
"""Dimensions, the number that the built-in classifier has."""
_LEAST, _FIELDS = 4, 12
"""Fewest dimensions, and fields of the reference for each further one."""
_LEAST_SPREAD = 1e-3
"""Of a raw feature, which is a logarithm or of order one: what spreads less counts no more than that."""


@dataclass(frozen=True)
class Embedding:
    """Raw features `(N, F)` to `(N, D)`, as a reference set has them.

    Raw features are standardised, bent by `asinh`, which leaves what is usual and keeps an odd feature from outweighing
    all others, and turned into the first principal components. These are divided by the root of their spread, halfway
    to equal spreads: what varies most does not hide the rest, and what hardly varies is not blown up. Their variances
    have the mean 1, the scale that the kernel distance's cubic kernel is made for.

    Nothing is trained and no label is used, but the reference decides scale and directions. It then lies a little
    nearer to itself than to other sets like it, by which the kernel distance is too small, for samples and floor
    alike.

    Attributes:
        centre: Mean of the raw features, `(F,)`.
        spread: Their standard deviation, `(F,)`.
        middle: Mean of the bent features, `(F,)`.
        directions: `(F, D)`.
    """

    centre: Tensor
    spread: Tensor
    middle: Tensor
    directions: Tensor

    @classmethod
    def fitted(cls, raw: Tensor) -> Embedding:
        """That of the raw features `(N, F)` of a reference: a dimension for twelve fields, at least 4, at most 64.

        With more, directions would be those of the reference alone, along which other sets like it spread less.

        Raises:
            InputError: If a feature is not finite.
        """
        check_finite(raw, "features")
        raw = raw.double()
        centre, spread = raw.mean(0), raw.std(0).clamp(min=_LEAST_SPREAD)
        bent = ((raw - centre) / spread).asinh()
        middle = bent.mean(0)
        _, values, directions = torch.linalg.svd(bent - middle, full_matrices=False)
        count = max(1, min(_MOST, max(_LEAST, len(raw) // _FIELDS), int((values > 1e-6 * values[0]).sum())))
        spreads = (values[:count] / (len(raw) - 1) ** 0.5).clamp(min=1e-6)
        return cls(centre, spread, middle, directions[:count].T / (spreads * spreads.mean()).sqrt())

    def __call__(self, raw: Tensor) -> Tensor:
        """`(N, D)`, float64."""
        return (((raw.double() - self.centre) / self.spread).asinh() - self.middle) @ self.directions

    @property
    def digest(self) -> str:
        """sha256 of its numbers, rounded to six digits."""
        parts = (self.centre, self.spread, self.middle)
        numbers = ",".join(f"{value:.6g}" for part in parts for value in part.tolist())
        return hashlib.sha256(numbers.encode()).hexdigest()
