"""How unequal the items of a data set are: speech is loud or silent, wind fair or stormy, which no Gaussian is.

An item is described as Gaussian noise of the data's spectrum, made louder or softer in each octave `b` of frequencies
by a scale of its own,

    |U (x - mu)|^2 (f) ~ v_b S(f) chi^2,    v_b one of a few powers, each with its probability.

Items are not such noise: within an octave the power of a frequency scatters more than a chi-square, as the lines of a
voice do, and says so much less of `v_b`. Evidence is weighed by what that scatter leaves of it, as quasi-likelihoods
have it (Wedderburn, "Quasi-likelihood functions, generalized linear models, and the Gauss-Newton method", 1974).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.noise.basis.base import Basis

OCTAVES = 6
"""Octaves that are told apart, down from the highest radius; the last holds all that is below."""
_TOP = 0.35
"""Where the highest begins, as a fraction of the corner radius: half of what most axes reach."""
POWERS = 8
"""Powers that are told apart in each."""
_UNEQUAL = 1.0
"""Variance of the power of items over its squared mean from which on they are unequal, beyond that of Gaussian items.
The law tells more of trained networks than a Gaussian at 1.2, of the wind, and 2.4, of speech
(benchmarks/design/results/expected.md); at 0.25, of small photographs, it told the better of two grids less often."""
_OUTLIERS = 0.01
"""Share of items, the loudest, that do not count there."""
_MEASURED = 2048
"""Items that are looked at, at most."""
_ROUNDS = 200
_EMPTY = 1e-10
"""Power over the largest below which a frequency says nothing."""
_FEWEST = 4
"""Values in an octave from which on their scatter is measured."""


@dataclass(frozen=True, eq=False)
class Scales:
    """The law of the powers of items, by octave.

    Attributes:
        weights: Probabilities of the powers, `(OCTAVES, POWERS)`, float64; rows sum to 1.
        powers: Powers in units of the spectrum, `(OCTAVES, POWERS)`, float64; their mean is 1 in each row.
        evidence: What an item's values say of its powers, over what Gaussian values would, in (0, 1]: `(OCTAVES,)`.
    """

    weights: Tensor
    powers: Tensor
    evidence: Tensor

    @staticmethod
    def shapes() -> dict[str, tuple[int, ...]]:
        """Of its parts, by name."""
        return {"weights": (OCTAVES, POWERS), "powers": (OCTAVES, POWERS), "evidence": (OCTAVES,)}


def octaves(basis: Basis) -> Tensor:
    """The octave of each frequency, 0 the lowest: whole numbers `(1|C, *coefficients)`."""
    edges = _TOP / 2.0 ** torch.arange(OCTAVES - 2, -1, -1, dtype=torch.float64)
    return torch.bucketize(basis.relative_radius().double().contiguous(), edges)


def measure_scales(x: Tensor, mean: Tensor, spectrum: Tensor, basis: Basis, batch_size: int = 512) -> Scales | None:
    """The law of the powers of data, if its items are unequal; else None.

    Args:
        x: Data `(N, C, *spatial)`, of which some items are looked at.
        mean: Its mean, `(C, *spatial)`.
        spectrum: `S(f)`, `(C, *coefficients)`.
        basis: The basis of `spectrum`.
        batch_size: Items transformed at a time.
    """
    kept = (spectrum > _EMPTY * spectrum.max()).flatten()
    count = (basis.multiplicity().expand_as(spectrum).flatten() * kept)[:, None]
    which = octaves(basis).expand_as(spectrum).flatten()
    share = count * torch.nn.functional.one_hot(which, OCTAVES)
    inverse = torch.where(kept, 1 / spectrum.flatten().clamp(min=_EMPTY * float(spectrum.max())), 0.0)
    sums, squares = [], []
    for batch in x[:: -(-len(x) // _MEASURED)].split(batch_size):
        power = basis.forward(batch.double() - mean).abs().square().flatten(1) * inverse
        sums.append(power @ share)
        squares.append(power.square() @ share)
    size = share.sum(0)
    power = torch.cat(sums) / size.clamp(min=1)
    # Real values of a Gaussian have a kurtosis of 3, complex ones 2; by the mean of `n` values a little less.
    gaussian = (2.0 if basis.forward(mean).is_complex() else 3.0) / (1 + 2 / size.clamp(min=1)) - 1
    scatter = _scatter(torch.cat(squares) / size.clamp(min=1), power) - 1
    evidence = torch.where(size < _FEWEST, 1.0, gaussian / torch.maximum(scatter, gaussian))
    if not _is_unequal(power, size, evidence):
        return None
    laws = [_law(power[:, b], float(size[b] * evidence[b])) for b in range(OCTAVES)]
    return Scales(torch.stack([w for w, _ in laws]), torch.stack([v for _, v in laws]), evidence)


def _scatter(square: Tensor, power: Tensor) -> Tensor:
    """Mean square of the power of frequencies within an item over its squared mean, mean over items, `(OCTAVES,)`."""
    heard = power > 0
    return torch.where(heard, square / power.square(), 0.0).sum(0) / heard.sum(0).clamp(min=1)


def _is_unequal(power: Tensor, size: Tensor, evidence: Tensor) -> bool:
    """Whether the powers of whole items spread by more than Gaussian items do, and widely."""
    whole = (power @ size / size.sum()).sort().values
    whole = whole[: len(whole) - math.ceil(_OUTLIERS * len(whole))]  # a few freaks are not the data
    gaussian = 2 * float((size / evidence).sum() / size.sum() ** 2)
    return len(whole) > 1 and float(whole.var() / whole.mean() ** 2) > _UNEQUAL + gaussian


def _law(power: Tensor, size: float) -> tuple[Tensor, Tensor]:
    """Weights and powers of a mixture of chi-squares of a size that powers `(N,)` were drawn from, by EM."""
    weights = torch.full((POWERS,), 1 / POWERS, dtype=torch.float64)
    if not size or not power.mean() > 0:
        return weights, torch.ones_like(weights)
    power = (power / power.mean()).clamp(min=_EMPTY)
    powers = power.quantile((torch.arange(POWERS, dtype=torch.float64) + 0.5) / POWERS)
    for _ in range(_ROUNDS):
        likely = weights.log() - size / 2 * (powers.log() + power[:, None] / powers)
        own = likely.softmax(1)
        total = own.sum(0).clamp(min=_EMPTY)
        weights, powers = total / total.sum(), ((power @ own) / total).clamp(min=_EMPTY)
    return weights, powers / (weights @ powers)
