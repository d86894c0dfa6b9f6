"""Drawing in other bases, and their transforms, against the Fourier basis."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed.result import Result, Table, interval, milliseconds
from benchmarks.speed.timing import Demand, Summary, alternate, ratio, settle_memory
from sagd import SpectralCovariance, Spectrum
from sagd.noise.basis.base import Basis, build_basis

SPECTRUM = "power_law(alpha=-0.5)"
CHANNELS, SIDES = 3, (32, 64, 128, 256)
VALUES = 64 * CHANNELS * 32**2
"""Values of a batch, whatever the size of one field."""
FOURIER, COSINE = "fourier", "cosine"
WAVELETS = ("wavelet(name='haar')", "wavelet(name='db4')")
LIMIT = 1.0

NOTE = """\
Batches of as many values each; "transform" is to coefficients and back. Up to sides of 128 the cosine and wavelet
transforms are products with small matrices, above they go through an FFT. The demands are on the cosine basis at
32x32, where most images of experiments are; all else is for information.
"""
COLUMNS = ("shape", "basis", "draw, ms", "draw / fourier", "transform, ms", "transform / fourier")

Key = tuple[str, str]
"""Basis, and what is done."""


def study(quick: bool = False) -> Result:
    """Times in all bases at all sizes."""
    rounds, repeats, sides, values = (2, 1, (8,), 2**10) if quick else (200, 2, SIDES, VALUES)
    names = [FOURIER, COSINE, *(WAVELETS if importlib.util.find_spec("pywt") else ())]
    shapes = {side: (max(1, values // (CHANNELS * side**2)), CHANNELS, side, side) for side in sides}
    settle_memory()
    times = {_text(shape): measure(shape, names, rounds, repeats) for shape in shapes.values()}
    first = _text(shapes[sides[0]])
    demands = [
        Demand(f"{what} of {first}: cosine / fourier", ratio(times[first], (COSINE, what), (FOURIER, what)), LIMIT)
        for what in ("draw", "transform")
    ]
    figures = {shape: _figures(own) for shape, own in times.items()}
    rows = [_row(shape, name, own) for shape, own in figures.items() for name in names]
    settings = {"spectrum": SPECTRUM, "rounds": rounds}
    return Result(settings, figures, demands, Table("Bases", NOTE, COLUMNS, rows))


def measure(shape: tuple[int, ...], names: Iterable[str], rounds: int, repeats: int) -> dict[Key, np.ndarray]:
    """Times of draws and transforms of one batch, all in turn."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    actions: dict[Key, Callable[[], Tensor]] = {}
    for name in names:
        basis = build_basis(name, shape[2:])
        covariance = SpectralCovariance(Spectrum.parse(SPECTRUM), shape[1:], basis)
        actions[name, "draw"] = partial(covariance.sample, shape[0])
        actions[name, "transform"] = partial(_there_and_back, basis, x)
    return alternate(actions, rounds, warmup=3, repeats=repeats, title=f"bases, {shape[-1]}")


def _there_and_back(basis: Basis, x: Tensor) -> Tensor:
    return basis.inverse(basis.forward(x))


def _figures(times: Mapping[Key, np.ndarray]) -> dict[str, Summary]:
    seconds = {f"{name}, {what}": Summary.of(own) for (name, what), own in times.items()}
    over = {f"{name}, {what} / fourier": ratio(times, (name, what), (FOURIER, what)) for name, what in times}
    return seconds | over


def _row(shape: str, name: str, figures: Mapping[str, Summary]) -> tuple[str, ...]:
    cells = (
        (milliseconds(figures[f"{name}, {what}"]), interval(figures[f"{name}, {what} / fourier"], digits=2))
        for what in ("draw", "transform")
    )
    return (shape, name, *(cell for pair in cells for cell in pair))


def _text(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))
