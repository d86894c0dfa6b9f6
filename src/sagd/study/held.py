"""What files hold of results that were computed: rounded and clipped to their type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.data.files import Written
from sagd.data.formats.values import Loss
from sagd.errors import argument
from sagd.noise.basis.base import Basis


@dataclass(frozen=True)
class Held:
    """What files hold of fields that were computed.

    Attributes:
        dtype: Type of the files.
        lost: What it has left of the values.
        outside: Root mean square of what rounding and clipping change outside of the band, over that of what was there,
            means left out; None where that was not measured.
    """

    dtype: str
    lost: Loss
    outside: float | None = None

    def told(self) -> str:
        """What the files lack; "" if they hold all."""
        said = self.lost.told(self.dtype)
        if not said:
            return ""
        if self.outside is None:
            return f"{said}, which changes them by {_percent(self.lost.share)} of their spread"
        return f"{said}, which changes what lies outside of the band by {_percent(self.outside)}"

    def line(self) -> str | None:
        """The same with the cure; None if they hold all."""
        said = self.told()
        return f"in the files, {said}; {argument('keep=True')} keeps all" if said else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        counts = {"values": self.lost.values, "clipped": self.lost.clipped, "rounded": self.lost.rounded}
        return {"dtype": self.dtype, **counts, "change": self.lost.share, "change_outside": self.outside}


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def held_by(
    written: Sequence[Written], computed: Sequence[Tensor], known: Tensor | None, b: Tensor, basis: Basis
) -> Held:
    """What files hold of fields `(N, C, *spatial)` that were computed, set by set; `b` is the band in `basis`."""
    outside = (b == 0) * basis.multiplicity()
    changed = power = 0.0
    for files, x in zip(written, computed, strict=True):
        assert files.held is not None
        whole = x if known is None else torch.where(known, x, 0.0)
        for held, own in zip(files.held.split(256), whole.split(256), strict=True):
            centred = own.double() - own.double().mean(tuple(range(2, own.ndim)), keepdim=True)
            changed += float((outside * basis.forward((held - own).double()).abs().square()).sum())
            power += float((outside * basis.forward(centred).abs().square()).sum())
    lost = sum((files.lost for files in written), Loss())
    return Held(written[0].dtype, lost, math.sqrt(changed / power) if power > 0 else None)
