"""How strong the damage of a record is at each time: hum that starts late, ends early or comes in bursts.

Filtered to the band and divided by the clean spectrum, a record of power `N` times `a(t)` has the local power

    P(t) = E_S + a(t) E_N,    E_S = sum_f b / n,    E_N = sum_f b N / S / n,

so that `a = max(0, P - E_S)` up to a factor, and 0 where `P` is within chance of `E_S`. The damage is then estimated
under the prior of variance `a(t) N`, and where `a = 0` nothing changes.
"""

from __future__ import annotations

import torch
from torch import Tensor

_INDEPENDENT = 12.0
"""Values that a window has of what is filtered to the band: its length times the band's width."""
_WINDOWS = 6
"""Windows that a record has at least, for its parts to be told apart."""
_WEAK = 0.2
"""Share of the mean strength below which damage counts as missing."""
_CHANCE = 1.75
"""Power of a window, in that of the clean spectrum, which chance reaches: by three standard errors."""
_PART = 0.25
"""Share of a record from which on missing damage is believed; less happens by chance."""


def window_of(width: float, samples: int) -> int | None:
    """Samples of a window for a band of some width in cycles per sample; None where a record is too short for it."""
    length = int(_INDEPENDENT / width) if width > 0 else samples
    return length if length * _WINDOWS <= samples else None


def strength(filtered: Tensor, share: float, length: int) -> tuple[Tensor, Tensor]:
    """Root of `a(t)`, of mean square 1 or a little less, `(*, samples)`, and which records it holds of, bool `(*)`: the
    damage of others may be as strong everywhere.

    Args:
        filtered: Records in the band, whitened, `(*, samples)`.
        share: `E_S`, that of the band in the power of white noise.
        length: Of a window.
    """
    power = local_mean(local_mean(filtered.square(), length), length)
    excess = (power - share).clamp(min=0)
    excess = excess / excess.mean(-1, keepdim=True).clamp(min=1e-30)
    missing = (excess < _WEAK).to(excess).mean(-1)
    # Once parts are known to be free of it, what chance adds to them is no damage.
    return torch.where(power < _CHANCE * share, 0.0, excess).sqrt(), (missing >= _PART) & (missing < 1)


def local_mean(x: Tensor, length: int) -> Tensor:
    """Means of windows around each sample, shorter at the ends."""
    total = torch.nn.functional.pad(x.double().cumsum(-1), (1, 0))
    samples = x.shape[-1]
    place = torch.arange(samples)
    end, start = (place + length // 2 + 1).clamp(max=samples), (place - length // 2).clamp(min=0)
    return ((total[..., end] - total[..., start]) / (end - start)).to(x)
