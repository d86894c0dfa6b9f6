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


def damaged_draws(y: Tensor, draws: Tensor, taken: Tensor) -> Tensor:
    """Draws under damage of both kinds, the first of all before the second, `(2 B, C, *spatial)`.

    Args:
        y: Damaged items `(B, C, *spatial)`.
        draws: A draw of the model given each.
        taken: What cleaning took out of each.
    """
    laid = torch.cat([taken, y - draws]).flip(tuple(range(2, y.ndim)))
    return torch.cat([draws, draws]) + laid


def tried(
    x: Tensor,
    damaged: Tensor,
    cleaned: Tensor,
    noise: Tensor,
    where: Tensor,
    network: Callable[[Tensor, Tensor], Tensor],
    share: Tensor | None = None,
    left: Tensor | None = None,
) -> Trial:
    """Try all ways.

    Args:
        x: Items as they are in truth, `(B, C, *spatial)`.
        damaged: The same under damage.
        cleaned: What cleaning makes of that.
        noise: Power of the damage, `(1, C, *coefficients)` of the Fourier basis.
        where: What is to be replaced, in [0, 1], likewise.
        network: How items are restored by the network given the power of their noise.
        share: How much each place counts, `(*spatial)`; None: all alike.
        left: Power of what cleaning is wrong by, likewise, if more than these items tell it.
    """
    basis = FourierBasis(tuple(x.shape[2:]))
    weight = torch.ones(basis.spatial) if share is None else share
    weight = weight.double() / weight.double().mean()
    if left is None:
        left = basis.forward((cleaned - x).double()).abs().square().mean(0, keepdim=True)
    left = where * left
    found = {CLEAN: cleaned, DAMAGED: network(damaged, noise), CLEANED: network(cleaned, left)}
    return Trial({way: (weight * (z.double() - x).square()).flatten(1).mean(1) for way, z in found.items()}, left)
