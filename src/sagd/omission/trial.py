"""Which way of restoring is nearer to the truth, tried where the truth is known: on draws of the model.

What cleaning takes out of an item is damage as it is in life, with its leaks, ends and drifts. Run backwards along all
axes it has the same spectrum, and knows nothing of the item any more. Laid over a draw of the model it makes a damaged
item of which the clean one is known; both ways are tried on that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

Way = Callable[[Tensor], Tensor]
"""How damaged items `(B, C, *spatial)` are restored."""


def tried(draws: Tensor, damage: Tensor, ways: Mapping[str, Way]) -> dict[str, Tensor]:
    """Mean squared error of each way, by item `(B,)`, float64.

    Args:
        draws: Items `(B, C, *spatial)` as they may be without their damage.
        damage: What was taken out of each, likewise.
        ways: The ways that are tried.
    """
    y = draws + damage.flip(tuple(range(2, damage.ndim)))
    return {name: (way(y).double() - draws).square().flatten(1).mean(1) for name, way in ways.items()}
