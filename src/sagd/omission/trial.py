"""Which way of restoring is nearest to the truth, tried where the truth is known: on draws of the model.

Two fields tell what the damage of an item is like, with its leaks, ends and drifts: what cleaning takes out of it,
which cleaning can take out again, and what it holds more than a draw of the model, which the model can tell again. Run
backwards along all axes they have the same spectrum, and know nothing of the item any more. Laid over a draw, each
makes a damaged item of which the clean one is known; half of the trials are of either kind, so that what favours one
way favours the other as often. Tried are cleaning, and the network given the item under noise of the damage's power, or
given the cleaned item under noise of the power that cleaning is wrong by. The former uses all that is shown; the latter
leaves to cleaning what that does better, such as a wave of which each item has its own, where a power that all items
share says little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.noise.basis.fourier import FourierBasis

CLEAN, DAMAGED, CLEANED = "clean", "network on damaged", "network on cleaned"
"""The ways."""
LEAST, MOST = 2, 16
"""Items of a trial, each tried under two kinds of damage; of fewer under several draws."""


@dataclass(frozen=True)
class Trial:
    """What came of the ways.

    Attributes:
        errors: Mean squared error by way and item, `(B,)`, float64.
        left: Power of what cleaning was wrong by, `(1, C, *coefficients)`, float64; 0 where nothing is replaced.
    """

    errors: dict[str, Tensor]
    left: Tensor

    @property
    def from_cleaned(self) -> bool:
        """Whether the network is nearer if it is given what was cleaned."""
        return self.mean(CLEANED) < self.mean(DAMAGED)

    def mean(self, way: str) -> float:
        """Error of a way."""
        return float(self.errors[way].mean())


def some_of(count: int) -> Tensor:
    """Numbers of the items of a trial, of so many."""
    return torch.arange(max(LEAST, min(count, MOST))) % count


def tried(
    y: Tensor,
    draws: Tensor,
    taken: Tensor,
    noise: Tensor,
    where: Tensor,
    clean: Callable[[Tensor], Tensor],
    network: Callable[[Tensor, Tensor], Tensor],
) -> Trial:
    """Try all ways, on twice as many items as there are.

    Args:
        y: Damaged items `(B, C, *spatial)`.
        draws: A draw of the model given each.
        taken: What cleaning took out of each.
        noise: Power of the damage, `(1, C, *coefficients)` of the Fourier basis.
        where: What is to be replaced, in [0, 1], likewise.
        clean: How items are cleaned.
        network: How they are restored by the network given the power of their noise.
    """
    basis, axes = FourierBasis(tuple(y.shape[2:])), tuple(range(2, y.ndim))
    x = torch.cat([draws, draws])
    damaged = x + torch.cat([taken, y - draws]).flip(axes)
    cleaned = clean(damaged)
    left = where * basis.forward((cleaned - x).double()).abs().square().mean(0, keepdim=True)
    found = {CLEAN: cleaned, DAMAGED: network(damaged, noise), CLEANED: network(cleaned, left)}
    return Trial({way: (z.double() - x).square().flatten(1).mean(1) for way, z in found.items()}, left)
