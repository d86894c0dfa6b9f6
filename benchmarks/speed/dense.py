"""Correlated noise by a dense Cholesky factor, as it is drawn where no basis is known, against the spectral draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed.result import Result, Table, interval, milliseconds
from benchmarks.speed.timing import Summary, alternate, settle_memory
from sagd import SpectralCovariance, Spectrum

SPECTRUM = "power_law(alpha=-0.5)"
SIDES = (16, 24, 32, 48, 64)
BATCH = 64

NOTE = """\
The same noise twice: `x = L xi` with the Cholesky factor `L` of the dense `Sigma`, and the spectral draw. Draws are in
float32; `L` is computed in float64 (small eigenvalues are lost in less) and kept in float32, as are the weights. Set-up
is the factorisation of a `Sigma` that is there already, and the spectral covariance from its description to its weights
(its first draw included). The last row is the exponent `p` of the time in `n^p`, `n` the values of one field, fitted
to all sizes; for `n log n` over these sizes it is 1.15. Nothing is demanded.
"""
COLUMNS = (
    *("shape", "spectral draw, ms", "dense draw, ms", "dense / spectral"),
    *("spectral set-up, ms", "dense set-up, ms", "weights, KiB", "L, KiB"),
)
DRAWS, SETUPS = ("spectral draw", "dense draw"), ("spectral set-up", "dense set-up")

Key = tuple["Fields", str]
"""Fields, and what is done."""


@dataclass(frozen=True)
class Fields:
    """A batch of grey fields."""

    side: int

    @property
    def size(self) -> int:
        """Values of one field."""
        return self.side**2

    def covariance(self) -> SpectralCovariance:
        """Of one field."""
        return SpectralCovariance(Spectrum.parse(SPECTRUM), (1, self.side, self.side))

    def memory(self) -> tuple[int, int]:
        """Bytes of the weights and of `L`, in float32."""
        return 4 * self.covariance().weights.numel(), 4 * self.size**2

    def draws(self) -> dict[str, Callable[[], Tensor]]:
        """A batch either way."""
        covariance = self.covariance()
        factor, shape = _factor(covariance.to_dense()), (BATCH, *covariance.shape)

        def dense() -> Tensor:
            return (torch.randn(BATCH, self.size) @ factor.T).reshape(shape)

        return {DRAWS[0]: lambda: covariance.sample(BATCH), DRAWS[1]: dense}

    def setups(self) -> dict[str, Callable[[], Tensor]]:
        """What comes before the first batch, either way."""
        sigma = self.covariance().to_dense()
        return {SETUPS[0]: lambda: self.covariance().sample(1), SETUPS[1]: lambda: _factor(sigma)}

    def __str__(self) -> str:
        return f"{BATCH}x1x{self.side}x{self.side}"


def study(quick: bool = False) -> Result:
    """Times, memory and growth either way."""
    rounds, setups, repeats, sides = (2, 2, 1, (4, 6)) if quick else (100, 12, 1, SIDES)
    shapes = [Fields(side) for side in sides]
    settle_memory()
    times = _measure({fields: fields.draws() for fields in shapes}, rounds, repeats)
    times |= _measure({fields: fields.setups() for fields in shapes}, setups, 1)
    figures = {str(fields): _figures(fields, times) for fields in shapes}
    growth = {f"{name}: p in n^p": exponent(shapes, times, name) for name in (*DRAWS, *SETUPS)}
    rows = [_row(fields, figures[str(fields)]) for fields in shapes] + [_last_row(list(growth.values()))]
    settings = {"spectrum": SPECTRUM, "rounds": f"{rounds} (draws), {setups} (set-up)"}
    return Result(settings, figures | {"growth": growth}, [], Table("Dense and spectral", NOTE, COLUMNS, rows))


def exponent(shapes: Sequence[Fields], times: Mapping[Key, np.ndarray], name: str) -> Summary:
    """Exponent `p` of a time in `n^p`, fitted round by round."""
    sizes = np.log([fields.size for fields in shapes])
    return Summary.of(np.polyfit(sizes, np.log([times[fields, name] for fields in shapes]), 1)[0])


def _measure(actions: Mapping[Fields, Mapping[str, Callable[[], Tensor]]], rounds: int, repeats: int) -> dict:
    flat = {(fields, name): act for fields, own in actions.items() for name, act in own.items()}
    return alternate(flat, rounds, warmup=1, repeats=repeats, title="dense")


def _factor(sigma: Tensor) -> Tensor:
    return torch.linalg.cholesky(sigma).float()


def _figures(fields: Fields, times: Mapping[Key, np.ndarray]) -> dict[str, Summary]:
    seconds = {name: Summary.of(times[fields, name]) for name in (*DRAWS, *SETUPS)}
    spectral, dense = (times[fields, name] for name in DRAWS)
    return seconds | {"dense / spectral": Summary.of(dense / spectral)}


def _row(fields: Fields, figures: Mapping[str, Summary]) -> tuple[str, ...]:
    return (
        str(fields),
        *_times(figures, DRAWS),
        interval(figures["dense / spectral"], digits=2),
        *_times(figures, SETUPS),
        *(f"{bytes_ / 1024:.3g}" if bytes_ < 2**20 else f"{bytes_ / 1024:.0f}" for bytes_ in fields.memory()),
    )


def _times(figures: Mapping[str, Summary], names: Iterable[str]) -> list[str]:
    return [milliseconds(figures[name]) for name in names]


def _last_row(growth: Sequence[Summary]) -> tuple[str, ...]:
    draws, setups = ([interval(own, digits=2) for own in part] for part in (growth[:2], growth[2:]))
    return ("p in n^p", *draws, "", *setups, "", "")
