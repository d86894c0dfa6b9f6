"""How far fields are from Gaussian, scale by scale: the flatness of what a ring of frequencies holds of them.

A field is split into rings of radial frequency; the flatness `<u^4> / <u^2>^2` of what a ring holds is 3 if the field
is Gaussian, whatever its spectrum, and larger where the ring is strong in few places, as at fronts and edges. A model
that has learnt second moments alone has the data's spectrum and 3 everywhere.

Fields whose ends do not meet are continued as their own mirror image, lest the jump there be in all rings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.metrics.fields import Fields, FieldSet, everywhere, field_sets
from sagd.metrics.increments import Moments, chance_of, decibel_summary
from sagd.metrics.spectral import basis_for, field_means, finite
from sagd.noise.basis.base import EDGE, Basis

_EMPTY = 1e-24
"""Share of the power in a ring below which it holds rounding alone."""


@dataclass(frozen=True)
class Rings:
    """Flatness by ring of radial frequency.

    Attributes:
        edges: Edges of the rings as fractions of the corner radius, `K + 1` of them.
        flatness: Of the samples, `C` rows of `K`; NaN where a ring is empty.
        reference_flatness: Of the reference, likewise.
        flatness_rms_db: Root mean square of `10 log10(flatness / reference_flatness)` of rings that neither lacks.
        flatness_rms_db_interval: 95 % interval of what it would be with infinitely many fields; None if not finite.
    """

    edges: tuple[float, ...]
    flatness: tuple[tuple[float, ...], ...]
    reference_flatness: tuple[tuple[float, ...], ...]
    flatness_rms_db: float
    flatness_rms_db_interval: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; null stands for NaN and infinity."""
        rows = {
            name: [[finite(value) for value in row] for row in getattr(self, name)]
            for name in ("flatness", "reference_flatness")
        }
        interval = self.flatness_rms_db_interval
        return {
            "edges": list(self.edges),
            **rows,
            "flatness_rms_db": finite(self.flatness_rms_db),
            "flatness_rms_db_interval": None if interval is None else list(interval),
        }


def ring_flatness(
    samples: FieldSet,
    reference: FieldSet,
    bands: int = 10,
    samples_mask: Tensor | None = None,
    reference_mask: Tensor | None = None,
) -> Rings:
    """Flatness by ring of fields `(N, C, *spatial)` against those of `(M, C, *spatial)`.

    Each set is taken about its own mean field; masked places hold the mean.

    Args:
        samples: Generated fields.
        reference: Real ones.
        bands: Rings of equal width.
        samples_mask: Their valid places, `(N, 1 | C, *spatial)`; None: all.
        reference_mask: The same of the reference.

    Raises:
        InputError: If shapes differ, there are fewer than two of either, or values are not finite.

    >>> x = torch.randn(64, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> round(ring_flatness(2 * x, x, bands=4).flatness_rms_db, 6)
    0.0
    """
    pair = field_sets(samples, reference, samples_mask, reference_mask)
    basis = basis_for(pair[1])
    edges, masks = _rings_of(basis, bands)
    ours, theirs = (_moments(fields, basis, masks) for fields in pair)
    decibels = 10 * (ours.flatness() / theirs.flatness()).log10()
    total, interval = decibel_summary(decibels, lambda known: chance_of(ours, theirs, Moments.flatness_chance, known))
    return Rings(tuple(edges.tolist()), _by_channel(ours), _by_channel(theirs), total, interval)


def flatness_by_ring(fields: Tensor, bands: int = 10) -> tuple[tuple[float, ...], ...]:
    """Flatness of what rings hold of fields `(N, C, *spatial)`, `C` rows of `bands`; NaN where a ring is empty.

    >>> x = torch.randn(64, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> flatness_by_ring(x, bands=4) == ring_flatness(x, x, bands=4).reference_flatness
    True

    Raises:
        InputError: If there are fewer than two fields, or values are not finite.
    """
    own, _ = field_sets(fields, fields)
    basis = basis_for(own)
    return _by_channel(_moments(own, basis, _rings_of(basis, bands)[1]))


def _rings_of(basis: Basis, bands: int) -> tuple[Tensor, list[Tensor]]:
    """Edges of rings of equal width, and the masks of these."""
    edges = torch.linspace(0, 1, bands + 1, dtype=torch.float64)
    pairs = edges.unfold(0, 2, 1).tolist()
    return edges, [_between(basis, low, high, k == bands - 1) for k, (low, high) in enumerate(pairs)]


def _by_channel(moments: Moments) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in moments.flatness().T.tolist())


def _between(basis: Basis, low: float, high: float, last: bool) -> Tensor:
    """1 in a ring, `(*coefficients)`; the last one holds the corner."""
    rho = basis.relative_radius() + EDGE
    return ((rho >= low) & (rho < (torch.inf if last else high))).double()


def _moments(fields: Fields, basis: Basis, masks: list[Tensor]) -> Moments:
    """Of what each ring holds of each field, `(N, rings, C)`; zero in rings that hold rounding alone."""
    mean, _ = field_means(fields)
    parts = []
    for x, mask in fields.batches():
        centred = torch.where(everywhere(x, mask), x - mean, 0.0)
        c = basis.forward(centred)
        squares = torch.stack([basis.inverse(ring * c).square().flatten(2) for ring in masks], 1)
        parts.append(torch.stack([torch.ones_like(squares).sum(-1), squares.sum(-1), squares.square().sum(-1)]))
    count, second, fourth = torch.cat(parts, 1)
    held = second.sum((0, 2)) > _EMPTY * second.sum()
    return Moments(count, *(torch.where(held[:, None], power, 0.0) for power in (second, fourth)))
