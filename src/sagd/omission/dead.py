"""Dead lines: columns of a sensor that say nothing. A matter of place, not of frequency: a gain would smear them."""

from __future__ import annotations

import torch
from torch import Tensor

_LIVE = 0.5
"""Share of the lines along an axis that must vary, for others to be called dead."""
_MOST = 0.05
"""Share of the lines beyond which constant ones are content: bars, margins, padding."""


def dead_lines(x: Tensor) -> tuple[tuple[int, int], ...]:
    """Lines, or planes, of an array that hold one value all along, between others that do not.

    A margin is no dead line: constant lines at the border, and next to each other in more than two, are left alone.

    Args:
        x: `(C, *spatial)`; NaN where values are missing.

    Returns:
        Axis and number of each; () in one dimension, where a line is a sample.
    """
    if x.ndim < 3:
        return ()
    found = []
    for axis in range(x.ndim - 1):
        lines = x.movedim(axis + 1, 0).flatten(2)
        still = ~(lines != lines[..., :1]).flatten(1).any(1)
        count = int(still.sum())
        if count and count <= max(1, _MOST * len(still)) and int((~still).sum()) > _LIVE * len(still):
            found += [(axis, number) for number in _alone(still)]
    return tuple(found)


def _alone(still: Tensor) -> list[int]:
    """Numbers of constant lines that have lines that vary on both sides, at most two together."""
    numbers = torch.nonzero(still).flatten().tolist()
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    inner = [run for run in runs if run[0] > 0 and run[-1] < len(still) - 1 and len(run) < 3]
    return [number for run in inner for number in run]
