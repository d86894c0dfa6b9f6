"""Which way of restoring is nearest to the truth, tried where the truth is known: on draws of the model.

Two fields tell what the damage of an item is like, with its leaks, ends and drifts: what cleaning takes out of it,
which cleaning can take out again, and what it holds more than a draw of the model, which the model can tell again. Run
backwards along all axes they have the same spectrum, and know nothing of the item any more. Laid over a draw, each
makes a damaged item of which the clean one is known; half of the trials are of either kind, so that what favours one
way favours the other as often. What the network is better given is another question: a draw differs from the item in
what nobody knows as well, which is laid over others as if it were damage, and of which cleaning takes out nothing. Each
kind counts by its share of the damage there: the former by what cleaning takes, the latter by what is left. Tried are
cleaning, and the network given the item under noise of the damage's power, or given what cleaning leaves, under noise
of the power that is wrong with that. The former uses all that is shown; the latter leaves to cleaning what that does
better, such as a wave between the frequencies of the grid.

Cleaning shrinks: what it leaves is `z = g (x + n)` by frequency, and holds less than `x` does. As if it were `x` under
noise it would be shrunk once more, and draws given it would lack power; `z / g` is `x` under noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.noise.basis.fourier import FourierBasis

CLEAN, DAMAGED, CLEANED = "clean", "network on damaged", "network on cleaned"
"""The ways."""
LEAST, MOST = 2, 16
"""Items of a trial, each tried under two kinds of damage; of fewer under several draws."""


_LEAST = 0.1
"""Gain of cleaning below which next to nothing is left to tell of an item."""


@dataclass(frozen=True)
class Left:
    """What cleaning leaves of items, by frequency: `z = g (x + n)`.

    Attributes:
        gain: `g`, `(1, C, *coefficients)` of the Fourier basis, float64; 1 where nothing is replaced or left.
        noise: `N(f)` of `n`, likewise: 0 where nothing is replaced, infinite where nothing is left.
    """

    gain: Tensor
    noise: Tensor

    @staticmethod
    def of(items: Iterable[tuple[Tensor, Tensor]], where: Tensor) -> Left:
        """As it is found where the truth is known.

        Args:
            items: Some in truth and cleaned, `(B, C, *spatial)`, several times.
            where: What is replaced, above 0, `(1, C|1, *coefficients)`.
        """
        count, cross, truth, power = 0, *(torch.zeros((), dtype=torch.float64) for _ in range(3))
        for x, z in items:
            a, b = (FourierBasis(tuple(v.shape[2:])).forward(v.double()) for v in (x, z))
            cross = cross + (a.conj() * b).real.sum(0, keepdim=True)
            truth, power = truth + a.abs().square().sum(0, keepdim=True), power + b.abs().square().sum(0, keepdim=True)
            count += len(x)
        # As if one item more had not been shrunk: of few, what is wrong with them alone looks like a gain.
        known = truth * (1 + 1 / count)
        gain = torch.where(known > 0, (cross + truth / count) / known, 1.0).clamp(0, 1)
        kept = (gain >= _LEAST) & (where > 0)
        noise = (power - 2 * gain * cross + gain.square() * truth).clamp(min=0) / (count * gain.square())
        noise = torch.where(kept, noise, torch.where(where > 0, torch.inf, 0.0))
        return Left(torch.where(kept, gain, 1.0), noise)

    def shown(self, z: Tensor) -> Tensor:
        """`z / g` of cleaned items `(B, C, *spatial)`."""
        basis = FourierBasis(tuple(z.shape[2:]))
        more = basis.inverse((1 / self.gain - 1) * basis.forward(z.double()))
        return z + more.to(z)


@dataclass(frozen=True)
class Trial:
    """What came of the ways.

    Attributes:
        errors: Mean squared error by way and item, `(B,)`, float64.
        left: What cleaning leaves.
        weight: How much each item counts where the ways of the network are compared, `(B,)`; None: all alike.
    """

    errors: dict[str, Tensor]
    left: Left
    weight: Tensor | None = None

    @property
    def from_cleaned(self) -> bool:
        """Whether the network is nearer if it is given what was cleaned."""
        return self.mean(CLEANED) < self.mean(DAMAGED)

    def mean(self, way: str) -> float:
        """Error of a way."""
        errors = self.errors[way]
        return float(errors.mean() if self.weight is None else (self.weight * errors).sum() / self.weight.sum())


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


def weights_of(taken: Tensor, noise: Tensor, basis: FourierBasis, count: int) -> Tensor:
    """How much trials count, so many under what cleaning takes out and as many under the rest, `(2 count,)`.

    Args:
        taken: What cleaning takes out of items, `(B, C, *spatial)`.
        noise: Power of the damage in items, or in windows of them, `(1, C, *coefficients)`.
        basis: Of the latter.
        count: Trials of each kind.
    """
    total = (noise * basis.multiplicity()).sum() / (noise.shape[1] * basis.size)
    share = float((taken.double().square().mean() / total).clamp(max=1)) if total > 0 else 1.0
    return torch.tensor([share] * count + [1 - share] * count, dtype=torch.float64)


def tried(
    x: Tensor,
    damaged: Tensor,
    cleaned: Tensor,
    noise: Tensor,
    where: Tensor,
    network: Callable[[Tensor, Tensor], Tensor],
    share: Tensor | None = None,
    left: Left | None = None,
    weight: Tensor | None = None,
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
        left: What cleaning leaves, if more than these items tell it.
        weight: How much each item counts where the ways of the network are compared, `(B,)`; None: all alike.
    """
    places = torch.ones(x.shape[2:]) if share is None else share
    places = places.double() / places.double().mean()
    left = Left.of([(x, cleaned)], where) if left is None else left
    found = {CLEAN: cleaned, DAMAGED: network(damaged, noise), CLEANED: network(left.shown(cleaned), left.noise)}
    errors = {way: (places * (z.double() - x).square()).flatten(1).mean(1) for way, z in found.items()}
    return Trial(errors, left, weight)
