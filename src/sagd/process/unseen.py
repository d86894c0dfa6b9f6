"""A band of which nothing is seen: `x_t` shows neither its signal nor its noise.

Coefficients of a process say nothing of the band. What is seen of a field is `x - Q x`, `Q` the projector onto the
band; estimates and predictions are made of what is seen, and completed by what is known of the band from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.bands import mask
from sagd.noise.basis.base import Basis
from sagd.noise.operator import Coefficient, Diagonal
from sagd.noise.spectra.base import Spectrum
from sagd.tensors import Holding


@dataclass(frozen=True)
class Unseen(Holding):
    """An unseen band, all frequencies at which `band` is above 0; false, and nothing happens, where there is none.

    Args:
        band: The band.
        basis: Its basis.
    """

    band: Spectrum | None = None
    basis: Basis | None = None

    def __post_init__(self) -> None:
        _ = self.projector  # which is known from now on

    @cached_property
    def projector(self) -> Diagonal | None:
        """`Q`."""
        if self.band is None or self.basis is None:
            return None
        return Diagonal((mask(self.band, self.basis) > 0).double(), self.basis)

    def _on(self, like: Tensor) -> Diagonal:
        """The projector, to multiply fields or values like those."""
        assert self.basis is not None
        dtype = torch.promote_types(like.dtype, torch.float32)
        return Diagonal(self.held("_values", dtype, like.device), self.basis)

    @property
    def _values(self) -> Tensor:
        assert self.projector is not None
        return self.projector.values

    def __bool__(self) -> bool:
        return self.band is not None

    def left_out(self, x: Tensor) -> Tensor:
        """`x - Q x`, what is seen of a field."""
        return x if self.projector is None else ((1 - self._on(x)) * x).to(x.dtype)

    def completed(self, x: Tensor, own: Tensor) -> Tensor:
        """`x + Q (own - x)`, a field with the band of another."""
        if self.projector is None or own is x:
            return x
        return x + (self._on(x) * (own - x)).to(x.dtype)

    def left_out_of(self, c: Diagonal) -> Diagonal:
        """A coefficient with 0 in the band.

        Raises:
            InputError: If it is diagonal in another basis.
        """
        if self.projector is None:
            return c
        if c.basis != self.basis:
            raise InputError(f"the process is diagonal in {self.basis}, not in {c.basis}")
        return c * (1 - self._on(c.values))

    def completed_coefficient(self, c: Coefficient, own: Coefficient) -> Coefficient:
        """A coefficient with that of `own` in the band."""
        if self.projector is None:
            return c
        q = self._on(c.values if isinstance(c, Diagonal) else c)
        inner, outer = (d.values if isinstance(d, Diagonal) else d for d in (own, c))
        return Diagonal(q.values * inner + (1 - q.values) * outer, q.basis)

    def covers(self, frequencies: Tensor) -> bool:
        """Whether all of these frequencies, true in `(C, *coefficients)`, lie in the band."""
        return self.projector is not None and not bool((frequencies & (self.projector.values == 0)).any())

    def meets(self, frequencies: Tensor) -> bool:
        """Whether some of these frequencies, true in `(C, *coefficients)`, lie in the band."""
        return self.projector is not None and bool((frequencies & (self.projector.values > 0)).any())


NOTHING = Unseen()
