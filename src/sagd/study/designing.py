"""A design for data: noise, prediction, times, sampler and grid, and what of the data speaks for them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.build.objects import build_process
from sagd.build.schema import (
    AUTO_SPECTRUM,
    DenoiserConfig,
    DesignConfig,
    ProcessConfig,
    RunConfig,
    SamplingConfig,
)
from sagd.counting import Count
from sagd.data.config import DataConfig
from sagd.data.kinds import Kind
from sagd.data.load import load
from sagd.data.signals import Signals
from sagd.designs.ends import ROUNDING
from sagd.designs.learning import Learning, learnings
from sagd.designs.levels import fit_power_law
from sagd.designs.likeness import MOST_APART_DB, distance_db, ring_powers
from sagd.designs.search import (
    EXPONENTS,
    LEARNT,
    LEAST,
    Candidate,
    Search,
    check_evaluations,
    gain_of,
    is_worse,
    noise_of,
    search,
    steps_of,
)
from sagd.errors import InputError, argument, check_whole
from sagd.metrics.rings import flatness_by_ring
from sagd.model.parameterisation.wiener import LEAST_POWER
from sagd.noise.basis.base import Basis
from sagd.noise.basis.fourier import FourierBasis, whole
from sagd.noise.statistics import DataStatistics, by_radius, radial_profile
from sagd.process.base import Process
from sagd.random import generator_for, subset
from sagd.sampling.expected import Expected
from sagd.sampling.grids import MOST_STEPS
from sagd.study.measuring import measured_part, process_statistics, resolve_basis

_LEAST_ITEMS = 16
"""Fields from which on a spectrum is known well enough to choose noise by."""
_RINGS = 16
"""Exponents of the whitening at which it is told what a network is asked."""
_MOST_ITEMS = 8192
"""Fields that are measured, at most."""
_MOST_FLAT = 512
"""Fields whose flatness is measured, at most."""
_STEPPED = 4096
"""Values among which a smallest step is looked for."""
_CLOSE_DB = 1.0
"""Distance of two kinds of noise, rms over radii, up to which one is named for the other.

Photographs, whose noise is 2.5 dB from a power law, are expected to be 1.63 dB off with that in place of 1.45; of wind,
12 dB away, it is 1.98.
"""
_ALIKE = 1e-4
"""Share of the power of items that varies from one to the next, up to which they are told to be all but the same."""
_ORDERS = {
    "fourier": "the Fourier basis, in the order of numpy.fft.fftn(x, norm='ortho')",
    "cosine": "the cosine basis, in the order of scipy.fft.dctn(x, norm='ortho')",
}
"""Where weights are, for people who multiply by them elsewhere."""
_LOUD = 0.1
"""Power of rounding, over that of the weakest ring, from which on it is told."""


@dataclass(frozen=True)
class Ring:
    """A ring of frequencies.

    Attributes:
        low: Its inner radius, as a fraction of the corner.
        high: Its outer one.
        power: Mean power of the data, as a model sees it, all channels.
        noise: That of the noise of the design, of which white noise of unit variance has 1.
        flatness: Of what it holds of the data, 3 if that is Gaussian; None where nothing is, or data has gaps.
        seen: Range of the network's input over all noise levels with prediction `edm`, in dB below 1.
        empty: Whether it holds nothing but rounding.
    """

    low: float
    high: float
    power: float
    noise: float
    flatness: float | None
    seen: float
    empty: bool


@dataclass(frozen=True)
class Named:
    """A noise of few parameters that is all but that of a design.

    Attributes:
        spectrum: As `process.spectrum` takes it.
        apart_db: How far apart they are, rms over radii.
        error: Expected error of the power spectrum with it, drawn alike, in dB.
    """

    spectrum: str
    apart_db: float
    error: float


@dataclass(frozen=True)
class Decision:
    """What was chosen, and what it is to be held against.

    Attributes:
        chosen: Noise, and how samples are drawn.
        white: How samples of white noise are drawn best.
        prediction: What the network predicts.
        white_prediction: What it predicts best with white noise.
        race: What trainings of candidates were worth, JSON-ready, if there were any.
        said: What speaks for the choice, if that was a race.
    """

    chosen: Candidate
    white: Candidate
    prediction: str = "wiener"
    white_prediction: str = "wiener"
    race: tuple[dict[str, Any], ...] = ()
    said: str = ""


@dataclass(frozen=True)
class Design:
    """What is advised.

    Attributes:
        name: The data.
        items: How many fields of it were measured, of how many.
        shape: `(C, *spatial)`.
        search: What was expected of all candidates.
        decision: Which of them was chosen.
        named: Noise of a power law that is close to it; None if none is, or it is white.
        rings: What was measured.
        learning: What noise and prediction ask of a network.
        range_db: Power of the strongest ring over that of the weakest.
        slope: Of the power law that fits best, and the share of the variance of the log power that it explains.
        quantisation: Power of rounding to the steps of the data's values, over that of the weakest ring; None if they
            have no steps.
        varying: Share of the power of items that varies from one to the next: the rest is their mean.
        still: Items that do not vary.
        unequal: Whether the powers of items are so unequal that errors are expected of the law of these.
        config: What `train` takes.
        weights: `w(f)` of the noise, calibrated: `(C, *spatial)`; in the Fourier basis in the order of `numpy.fft`, in
            others in theirs. Of decorrelated channels those of the colours.
    """

    name: str
    items: tuple[int, int]
    shape: tuple[int, ...]
    search: Search
    decision: Decision
    named: Named | None
    rings: tuple[Ring, ...]
    learning: tuple[Learning, ...]
    range_db: float
    slope: tuple[float, float]
    quantisation: float | None
    varying: float
    still: int
    unequal: bool
    config: RunConfig
    weights: Tensor

    @property
    def chosen(self) -> Candidate:
        """How samples are to be drawn."""
        return self.decision.chosen

    @property
    def white_will_do(self) -> bool:
        """Whether white noise was chosen."""
        return not self.chosen.exponent

    @property
    def order(self) -> str:
        """Of which coefficients the weights are."""
        basis = self.config.process.basis
        return _ORDERS.get(basis, f"the basis {basis!r}, in its order")

    def lines(self) -> list[str]:
        """For people: the answer first."""
        found, white, n = self.chosen, self.decision.white, self.search.evaluations
        if self.varying < _ALIKE:
            answer = (
                f"the items are all but the same: {100 * self.varying:.2g} % of their power varies from one to the"
                " next, of which no noise learns much; look whether they are copies of one"
            )
        elif self.decision.said:
            noise = "white noise will do" if self.white_will_do else f"take {noise_of(found.exponent)}"
            answer = f"{noise}, and predict {self.decision.prediction}: {self.decision.said}"
        elif self.white_will_do:
            answer = (
                f"white noise will do: at {n} evaluations its samples are expected to miss the power spectrum by"
                f" {white.error:.2g} dB, those of noise of the data's spectrum by {self.search.whitened.error:.2g} dB"
            )
        elif not is_worse(white.error, found.error):
            answer = (
                f"take {noise_of(found.exponent)}: at {n} evaluations samples are expected to miss the power spectrum"
                f" by {found.error:.2g} dB, those of white noise by {white.error:.2g} dB, which is no gain that shows;"
                f" {LEARNT}"
            )
        else:
            answer = (
                f"take {noise_of(found.exponent)}: at {n} evaluations samples are expected to miss the power"
                f" spectrum by {found.error:.2g} dB, those of white noise by {white.error:.2g} dB:"
                f" {gain_of(white.error / found.error)}"
            )
        lines = [
            answer,
            f"draw with {found.sampler}, {found.steps} steps, grid {found.grid} (on the matched grid white noise would"
            f" miss it by {self.search.usual[self.search.evaluations][0.0].error:.2g} dB)",
            f"{self.items[0]} of {self.items[1]} items of {self.name} were measured: {self.range_db:.0f} dB between the"
            f" strongest ring and the weakest, slope {self.slope[0]:.2f} (R^2 {self.slope[1]:.2f})",
        ]
        if self.unequal:
            lines.append(
                "some items are far stronger than others, as speech is loud or silent, which no Gaussian is: the errors"
                " told are those of sampling such items, and some of them stays in any number of evaluations"
            )
        if not self.white_will_do:
            lines.append(f"its weights, noise.npy of the command, are of {self.order}")
        if self.still:
            lines.append(f"{self.still} of them do not vary, which lowers all powers; leave them out if they are gaps")
        if self.named is not None:
            lines.append(
                f"that noise is within {self.named.apart_db:.1f} dB of {self.named.spectrum}, with which"
                f" {self.named.error:.2g} dB are expected"
            )
        if empty := [ring for ring in self.rings if ring.empty]:
            where = ", ".join(f"{low:.2g} to {high:.2g}" for low, high in _joined(empty))
            lines.append(f"the data holds nothing at {where} of the corner radius, of which the design says nothing")
        if self.quantisation is not None and self.quantisation > _LOUD:
            lines.append(
                f"rounding of the values has {10 * math.log10(self.quantisation):+.0f} dB of the weakest ring's power:"
                " what is there is partly rounding"
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "data": self.name,
            "measured": list(self.items),
            "shape": list(self.shape),
            "evaluations": self.search.evaluations,
            "chosen": self.chosen.to_dict(),
            "white": self.decision.white.to_dict(),
            "white_will_do": self.white_will_do,
            "named": None if self.named is None else dataclasses.asdict(self.named),
            "prediction": self.decision.prediction,
            "white_prediction": self.decision.white_prediction,
            "race": list(self.decision.race),
            "candidates": [c.to_dict() for c in self.search.candidates],
            "gains": {str(n): gain for n, gain in self.search.gains().items()},
            "usual": {str(n): [c.to_dict() for c in of.values()] for n, of in self.search.usual.items()},
            "rings": [dataclasses.asdict(ring) for ring in self.rings],
            "learning": [dataclasses.asdict(one) for one in self.learning],
            "range_db": self.range_db,
            "slope": list(self.slope),
            "quantisation": self.quantisation,
            "varying": self.varying,
            "still": self.still,
            "order": self.order,
            "unequal": self.unequal,
        }


def design(
    data: DataConfig | Signals,
    evaluations: int,
    process: ProcessConfig | None = None,
    progress: bool = False,
    decide: Callable[[Design, Signals], Decision] | None = None,
) -> Design:
    """Choose the noise, how it is learnt, and how samples are drawn, from the data alone.

    Args:
        data: Training data, or where it is.
        evaluations: Evaluations of the network for a sample.
        process: What of the process is settled: schedule, basis, channels.
        progress: Show how far it is.
        decide: Chooses by the closed form's design and the data; default: as that has it.

    Raises:
        InputError: If the data cannot be read, is too little or does not vary, the process leaves nothing to choose, or
            the evaluations are too few.
    """
    process = _to_choose(process or ProcessConfig())
    check_evaluations(evaluations)
    config, own = (data, load(data)) if isinstance(data, DataConfig) else (DataConfig(), data)
    if own.unobserved(torch.zeros(1, dtype=torch.int64)) is not None:
        raise InputError(
            f"a design measures whole items, and these lack frequencies, as {argument('data.observed')} or"
            " data.corruption says: design for the draws of a training in laps, or name process.spectrum"
        )
    if len(own) < _LEAST_ITEMS:
        items = Kind.member(own.meaning.kind).item[1]
        raise InputError(f"{own.name!r} has {len(own)} {items}; a design needs at least {_LEAST_ITEMS}")
    some = measured_part(own.at_most(_MOST_ITEMS, "design")).held
    process = resolve_basis(process, some)
    statistics = process_statistics(some, process)
    _check_differs(some, statistics)
    task = _Task(config, own, some, process, statistics, evaluations)
    with Count(len(EXPONENTS), "comparing noise", "spectra", progress) as count:
        found = search(task.process, statistics, evaluations, EXPONENTS, count.done)
    closed = task.design(found, Decision(found.chosen, found.white))
    return closed if decide is None else task.design(found, decide(closed, own))


@dataclass(frozen=True)
class _Task:
    """What a design is for.

    Attributes:
        config: Where the data is.
        data: The data.
        some: The part of it that was measured.
        settled: What of the process is no choice.
        statistics: Of that part.
        evaluations: Evaluations of the network for a sample.
    """

    config: DataConfig
    data: Signals
    some: Signals
    settled: ProcessConfig
    statistics: DataStatistics
    evaluations: int

    def process(self, exponent: float) -> Process:
        """The forward process whose noise has the spectrum of the data to a power."""
        return self._built(whitened(self.settled, exponent))

    def _built(self, process: ProcessConfig) -> Process:
        own = self.data
        return build_process(process, own.shape, self.statistics, own.classes, own.meaning.grid())

    @functools.cached_property
    def _learning(self) -> tuple[Learning, ...]:
        return tuple(learnings({g: self.process(g) for g in EXPONENTS}, self.statistics))

    @functools.cached_property
    def _ring_powers(self) -> tuple[float, ...]:
        return ring_powers(self.data)

    def design(self, found: Search, decision: Decision) -> Design:
        """What is advised once it was decided."""
        chosen, statistics, own = decision.chosen, self.statistics, self.data
        noise = self.process(chosen.exponent).covariance.power_range(statistics.basis)[1]
        noise = noise.expand_as(statistics.spectrum)
        varying = statistics.variance / (statistics.variance + float(statistics.mean.square().mean()))
        rings, fit = _rings(self.some, statistics, noise), fit_power_law(statistics)
        held = [ring.power for ring in rings if not ring.empty]
        return Design(
            name=own.name,
            items=(len(self.some), len(own)),
            shape=tuple(own.shape),
            search=found,
            decision=decision,
            named=self._named(chosen, noise) if chosen.exponent else None,
            rings=rings,
            learning=self._learning,
            range_db=10 * math.log10(max(held) / min(held)),
            slope=(fit.slope, fit.r_squared),
            quantisation=_quantisation(self.some.tensor(), min(held)),
            varying=varying,
            still=int((self.some.tensor().nan_to_num().flatten(2).diff(dim=2) == 0).flatten(1).all(1).sum()),
            unequal=statistics.scales is not None,
            config=self._run(decision),
            weights=_table(noise.sqrt(), statistics.basis),
        )

    def _run(self, decision: Decision) -> RunConfig:
        """What `train` takes."""
        chosen, shape = decision.chosen, tuple(self.data.shape)
        other = None if decision.white_prediction == decision.prediction else _taught(decision.white_prediction)
        white = drawn_by(SamplingConfig(), decision.white)
        return RunConfig(
            data=self.config,
            process=whitened(self.settled, chosen.exponent),
            denoiser=_taught(decision.prediction),
            sampling=drawn_by(SamplingConfig(), chosen),
            design=DesignConfig(shape, self._ring_powers, self.evaluations, other, white),
        )

    def _named(self, chosen: Candidate, noise: Tensor) -> Named | None:
        """The power law that is all but that noise, if there is one."""
        spectrum = f"power_law(alpha={_tilt(noise, self.statistics.basis):.2g})"
        try:
            like = self._built(dataclasses.replace(self.settled, spectrum=spectrum))
        except InputError:  # of a steeper law than any noise can have: none to name
            return None
        apart = _apart_db(noise, like.covariance.power_range(self.statistics.basis)[1], self.statistics.basis)
        if apart > _CLOSE_DB:
            return None
        return Named(spectrum, apart, Expected(like, self.statistics).error(chosen.sampler, chosen.steps, chosen.grid))


def _taught(prediction: str) -> DenoiserConfig:
    return DenoiserConfig(prediction=prediction, time="matched")


def automatic(config: RunConfig, data: Signals, progress: bool = False) -> Design:
    """What `auto` stands for in a configuration of a training: the design for as many evaluations as its steps take.

    Args:
        config: Configuration; what it says of the network and how that is taught is kept.
        data: Training data.
        progress: Show how far it is.

    Raises:
        InputError: As `design`, or if sampler or grid are given, which a design chooses.
    """
    check_free(config.sampling)
    process = resolve_basis(_to_choose(config.process), data, config.denoiser)
    found = design(data, evaluations_of(config.sampling), process, progress)
    sampling = drawn_by(config.sampling, found.chosen)
    chosen = dataclasses.replace(config, process=found.config.process, sampling=sampling, design=found.config.design)
    return dataclasses.replace(found, config=chosen)


def check_free(sampling: SamplingConfig) -> None:
    """Refuse settings of sampling that a design chooses.

    Raises:
        InputError: If sampler or grid are given, or there are too few steps.
    """
    for name in ("sampler", "grid"):
        if (given := getattr(sampling, name)) != getattr(SamplingConfig(), name):
            raise InputError(
                f"sampling.{name} is {given!r}, which process.spectrum 'auto' chooses itself, for 2 n - 1 evaluations"
                " in sampling.steps n; leave it out, or make a design for any number: sagd design ... --evaluations 6"
            )
    check_whole("sampling.steps", sampling.steps, 1, MOST_STEPS // 2)
    if evaluations_of(sampling) < LEAST:
        raise InputError(f"sampling.steps is {sampling.steps}, process.spectrum 'auto' needs at least 2")


def evaluations_of(sampling: SamplingConfig) -> int:
    """Evaluations of the network that the steps of the usual sampler take: two each, but one the last."""
    return 2 * sampling.steps - 1


def check_likeness(designed: DesignConfig, data: Signals) -> None:
    """Refuse data that is clearly not that of a design.

    Args:
        designed: What the configuration was made for.
        data: Training data.

    Raises:
        InputError: If it has another shape or spectrum.
    """
    cure = f"make one for it: sagd design ... --evaluations {designed.evaluations}"
    if designed.shape != tuple(data.shape):
        one, other = (" x ".join(map(str, shape)) for shape in (designed.shape, data.shape))
        raise InputError(f"the design is for items of {one} (C, then space), {data.name!r} has {other}; {cure}")
    apart = distance_db(designed.power, ring_powers(data))
    if apart > MOST_APART_DB:
        raise InputError(
            f"the design is for other data than {data.name!r}: their spectra are {apart:.1f} dB apart, at most"
            f" {MOST_APART_DB:g} is of one kind; {cure}"
        )


def steps_note(designed: DesignConfig, sampling: SamplingConfig) -> list[str]:
    """A sentence where steps are other than those that the grid of a design is for."""
    most = steps_of(designed.evaluations).get(sampling.sampler, sampling.steps)
    if sampling.steps == most or sampling.grid == SamplingConfig().grid:
        return []
    return [
        f"note: sampling.steps is {sampling.steps}, and the grid of the design is for {most}; make one for as many"
        f" evaluations, or say {argument('sampling.grid=found')}"
    ]


def drawn_by(sampling: SamplingConfig, chosen: Candidate) -> SamplingConfig:
    """The same drawn as a candidate."""
    return dataclasses.replace(sampling, sampler=chosen.sampler, steps=chosen.steps, grid=chosen.grid)


def _to_choose(process: ProcessConfig) -> ProcessConfig:
    """The process without what a design chooses.

    Raises:
        InputError: If it leaves nothing to choose.
    """
    usual = ProcessConfig()
    if process.spectrum == AUTO_SPECTRUM:
        process = dataclasses.replace(process, spectrum=usual.spectrum)
    for name in ("spectrum", "region", "evolution", "omission"):
        if getattr(process, name) != getattr(usual, name):
            given = process.omission.mode if name == "omission" else getattr(process, name)
            raise InputError(
                f"process.{name} is {str(given)!r}, which a design chooses itself or cannot judge; leave it out"
            )
    return process


def whitened(process: ProcessConfig, exponent: float) -> ProcessConfig:
    """The process with noise of a power of the data's spectrum."""
    spectrum = f"whitening(exponent={exponent:g})" if exponent else "flat"
    return dataclasses.replace(process, spectrum=spectrum)


def _rings(data: Signals, statistics: DataStatistics, noise: Tensor) -> tuple[Ring, ...]:
    basis, S = statistics.basis, statistics.spectrum
    profile = radial_profile(S, basis, _RINGS)
    drawn = radial_profile(noise, basis, _RINGS)
    some = data.subset(subset(len(data), min(len(data), _MOST_FLAT), generator_for(0, "flatness")))
    x, gaps = some.tensor(), some.known() is not None
    flat = () if gaps else flatness_by_ring(x, _RINGS)
    rings = []
    edges, strongest = profile.edges.tolist(), float(profile.values.mean(0).nan_to_num().max())
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        power = float(profile.values[:, k].mean())
        if not math.isfinite(power):
            continue
        values = [row[k] for row in flat if math.isfinite(row[k])]
        below = max(power, LEAST_POWER * float(S.max())) / statistics.variance
        rings.append(
            Ring(
                low,
                high,
                power,
                float(drawn.values[:, k].mean()),
                sum(values) / len(values) if values else None,
                -10 * math.log10(min(1.0, below)),
                power <= ROUNDING * strongest,
            )
        )
    return tuple(rings)


def _check_differs(data: Signals, statistics: DataStatistics) -> None:
    """Refuse items that are all the same.

    Raises:
        InputError: If they are, but for rounding.
    """
    if float(statistics.spectrum.max()) <= ROUNDING * float(statistics.mean.square().max()):
        items = Kind.member(data.meaning.kind).item[1]
        raise InputError(f"all {len(data)} {items} of {data.name!r} are the same, of which there is nothing to learn")


def _joined(rings: Sequence[Ring]) -> list[tuple[float, float]]:
    """Radii of rings, neighbours as one."""
    found: list[tuple[float, float]] = []
    for ring in rings:
        start = found.pop()[0] if found and math.isclose(found[-1][1], ring.low) else ring.low
        found.append((start, ring.high))
    return found


def _tilt(power: Tensor, basis: Basis) -> float:
    """The exponent of `w ~ r^alpha` of noise of a power, by least squares with all radii alike."""
    inside = basis.radius() > 0
    m, x = by_radius(basis)[inside], basis.radius()[inside].log()
    y = power.log().mean(0)[inside] / 2
    m = m / m.sum()
    dx = x - (m * x).sum()
    return float((m * dx * y).sum() / (m * dx**2).sum())


def _apart_db(one: Tensor, other: Tensor, basis: Basis) -> float:
    """How far apart the powers of two kinds of noise are, rms over radii but for the mean of fields, in dB."""
    m = (by_radius(basis) * (basis.radius() > 0)).expand_as(one)
    return float(((m * (10 * (one / other).log10()).square()).sum() / m.sum()).sqrt())


def _quantisation(x: Tensor, weakest: float) -> float | None:
    """Power of rounding over that of the weakest ring: `q^2 / 12` of values that are multiples of `q` apart."""
    values = x[: max(1, 2**20 // x[0].numel())].flatten().double()
    levels = values[values.isfinite()].unique()
    if not 2 < len(levels) <= _STEPPED:
        return None
    steps = levels.diff()
    q = float(steps.min())
    multiples = steps / q
    if (multiples - multiples.round()).abs().max() > 0.05:
        return None
    return q**2 / 12 / weakest


def _table(weights: Tensor, basis: Basis) -> Tensor:
    """Weights at all frequencies of the basis; of Fourier's in both halves."""
    return whole(weights, basis.spatial[-1]) if basis.spatial_part == FourierBasis(basis.spatial) else weights
