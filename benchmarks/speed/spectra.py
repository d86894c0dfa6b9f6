"""Drawing every kind of noise against drawing that of a power law."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed.result import Result, Table, interval, milliseconds
from benchmarks.speed.timing import Demand, Summary, alternate, ratio, settle_memory, slowest
from sagd import SpectralCovariance, Spectrum
from sagd.build.catalogue import Entry, catalogue
from sagd.build.objects import build_process, process_basis
from sagd.build.schema import AUTO_BASIS, ProcessConfig
from sagd.noise.covariance.base import Covariance
from sagd.noise.statistics import channel_covariance, measure
from sagd.process.evolution import Common, Evolution

REFERENCE = "low_tilt"
"""The catalogue's power law."""
BATCH, CHANNELS, SIDES, CLASSES = 64, 3, (32, 64), tuple("0123456789")
LIMIT = 1.05

NOTE = """\
Kinds by their names in the catalogue, and some that it lacks. The first rows are spectra with weights in the Fourier
basis, common to all channels or one set for each: the demand is on the slowest of them, found in every other round and
measured in the rest. The rows in brackets are for information: what has no transform, a second operation or several
operators, or computes in float64.
"""

MORE = (
    Entry("sum", ProcessConfig(spectrum="power_law(alpha=-0.5) + band_pass(low=0.6)"), ""),
    Entry("by_channel", ProcessConfig(spectrum="per_channel(spectra=['flat', 'power_law(alpha=0.5)', 'flat'])"), ""),
    Entry("steep", ProcessConfig(spectrum="power_law(alpha=-2.5)"), ""),
)
REMARKS = {
    "white": "no transform",
    "steep": "a factor of 10^3 or more between weights, in float64",
    "region": "white noise in a box, no transform",
    "by_class": f"{len(CLASSES)} classes, an operator for each",
    "by_colour": "two mixes of channels more",
}
"""What is for information, and why."""


@dataclass(frozen=True)
class Kind:
    """One kind of noise at one shape."""

    name: str
    covariance: Covariance

    def draw(self) -> Tensor:
        """A batch; the samples are of all classes in turn, where that matters."""
        return self.covariance.given(torch.arange(BATCH) % len(CLASSES)).sample(BATCH)


def study(quick: bool = False) -> Result:
    """Times of all kinds at all sizes."""
    rounds, repeats, sides = (2, 1, (8,)) if quick else (200, 2, SIDES)
    settle_memory()
    times = {side: measure_draws(side, rounds, repeats) for side in sides}
    figures = {_shape(side): _figures(own) for side, own in times.items()}
    settings = {"reference": f"{REFERENCE}, {kinds(sides[0])[REFERENCE].covariance.spectrum}", "rounds": rounds}
    demands = [_demand(side, own) for side, own in times.items()]
    columns = ("noise", *(f"{_shape(side)}, {what}" for side in sides for what in ("ms", "over the power law")))
    names = sorted(times[sides[0]], key=lambda name: name in REMARKS)  # keeps the order within either part
    rows = [_row(name, figures.values()) for name in names]
    return Result(settings, figures, demands, Table("Drawing every kind of noise", NOTE, columns, rows))


def measure_draws(side: int, rounds: int, repeats: int) -> dict[str, np.ndarray]:
    """Times of a draw of every kind, all in turn."""
    actions: dict[str, Callable[[], Tensor]] = {name: kind.draw for name, kind in kinds(side).items()}
    return alternate(actions, rounds, warmup=3, repeats=repeats, title=f"spectra, {side}")


def kinds(side: int) -> dict[str, Kind]:
    """Every kind whose noise is fixed in time, in the Fourier basis; what needs data gets smooth random images."""
    shape = (CHANNELS, side, side)
    generator = torch.Generator().manual_seed(0)
    images = SpectralCovariance(Spectrum.parse("power_law(alpha=-1)"), shape).sample(256, generator)
    entries = [entry for entry in (*catalogue(shape, CLASSES), *MORE) if _is_fixed(entry.process)]
    return {entry.name: Kind(entry.name, _covariance(entry.process, images)) for entry in entries}


def _is_fixed(config: ProcessConfig) -> bool:
    return isinstance(Evolution.parse(config.evolution), Common) and config.basis in (AUTO_BASIS, "fourier")


def _covariance(config: ProcessConfig, images: Tensor) -> Covariance:
    shape = images.shape[1:]
    statistics = measure(images, process_basis(config, shape, channel_covariance(images)))
    return build_process(config, shape, statistics, CLASSES).covariance


def _demand(side: int, times: Mapping[str, np.ndarray]) -> Demand:
    name, over = slowest(times, (name for name in times if name not in (REFERENCE, *REMARKS)), REFERENCE)
    return Demand(f"drawing {_shape(side)}: slowest spectrum ({name}) / power law", over, LIMIT)


def _figures(times: Mapping[str, np.ndarray]) -> dict[str, Summary]:
    seconds = {name: Summary.of(own) for name, own in times.items()}
    return seconds | {f"{name} / power law": ratio(times, name, REFERENCE) for name in times}


def _row(name: str, figures: Sequence[Mapping[str, Summary]]) -> tuple[str, ...]:
    pairs = ((milliseconds(own[name]), interval(own[f"{name} / power law"], digits=2)) for own in figures)
    return (f"({name}: {REMARKS[name]})" if name in REMARKS else name, *(cell for pair in pairs for cell in pair))


def _shape(side: int) -> str:
    return f"{BATCH}x{CHANNELS}x{side}x{side}"
