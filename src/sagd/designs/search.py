"""The noise, the sampler and the grid for data, by what they are expected to make of its spectrum.

Candidates are white noise, noise that is whitened in part and in full, two samplers and two grids. Of each the closed
form (`sampling.expected`) says how wrong the power spectrum of samples will be in a number of evaluations. Noise of the
data's spectrum is taken unless white noise is seen to be expected nearer: where both are expected alike, trained
networks had their samples nearer by features with it, or as near. Of data whose spectrum is all but flat the two are
one, and it is called white. Noise that is whitened in part is shown, not chosen: networks learnt it no better than
either end, whatever was expected of it. Nor is Heun's method in few evaluations, which the spectrum may favour: in 100
of 102 cases its samples were further off by features, most of them far less various.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sagd.designs.learning import range_db
from sagd.errors import InputError
from sagd.noise.statistics import DataStatistics
from sagd.process.base import Process
from sagd.sampling.base import Sampler
from sagd.sampling.expected import Expected
from sagd.sampling.found_grid import find_grid
from sagd.sampling.grids import MOST_STEPS

EXPONENTS = (0.0, 0.5, 1.0)
"""Of the whitening of the noise: 0 is white, 1 has the spectrum of the data."""
HEUN = "heun"
EVALUATIONS = (4, 6, 10, 18, 35, 50)
"""Numbers of evaluations of the network at which the expected gain is told."""
_SEEN_DB, _SEEN_TIMES = 0.2, 1.5
"""Error beyond another, and in units of it, from which on the difference will be seen."""
FLAT_DB = 10.0
"""Range of the power of rings up to which data is called flat; that of the sets of benchmarks/design is 25 and more."""
ADDED_DB = (0.2, 2.3)
"""Errors of the power spectrum that networks had at their best with noise of the data's spectrum, after 500 steps: the
least and the most of the sets of benchmarks/design/results/expected.md."""
FEW = 10
"""Evaluations up to which Heun's method is not chosen: those of benchmarks/design/results/trial.jsonl are 6 and 10."""
LEAST = 2
"""Evaluations that are designed for, at least."""


def noise_of(exponent: float) -> str:
    """Noise of an exponent in words.

    >>> noise_of(0), noise_of(0.5), noise_of(1)
    ('white noise', "noise of the data's spectrum to the power 0.5", "noise of the data's spectrum")
    """
    power = "" if exponent == 1 else f" to the power {exponent:g}"
    return f"noise of the data's spectrum{power}" if exponent else "white noise"


@dataclass(frozen=True)
class Candidate:
    """A way to draw samples.

    Attributes:
        exponent: Of the whitening of the noise.
        sampler: Sampler.
        steps: Its steps.
        grid: Time grid.
        error: Expected error of the power spectrum, rms over radii, in dB.
    """

    exponent: float
    sampler: str
    steps: int
    grid: str
    error: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Search:
    """What was expected of all candidates.

    Attributes:
        evaluations: Evaluations of the network that are designed for.
        candidates: All of these.
        usual: Evaluations -> exponent -> the best on a matched grid, of samplers that may be advised.
        range_db: Power of the strongest ring of the data over that of the weakest, in dB.
    """

    evaluations: int
    candidates: tuple[Candidate, ...]
    usual: dict[int, dict[float, Candidate]]
    range_db: float

    @property
    def white(self) -> Candidate:
        """The best with white noise."""
        return self._best_of(0.0)

    @property
    def whitened(self) -> Candidate:
        """The best with noise of the data's spectrum."""
        return self._best_of(1.0)

    def _best_of(self, exponent: float) -> Candidate:
        return min((c for c in self.eligible if c.exponent == exponent), key=_error)

    @property
    def eligible(self) -> list[Candidate]:
        """Candidates whose sampler may be advised."""
        return [c for c in self.candidates if _may(c, self.evaluations)]

    @property
    def chosen(self) -> Candidate:
        """Noise of the data's spectrum, unless that is flat or white noise is seen to be expected nearer."""
        white = self.range_db < FLAT_DB or is_worse(self.whitened.error, self.white.error)
        return self.white if white else self.whitened

    @property
    def white_will_do(self) -> bool:
        """Whether it was chosen."""
        return not self.chosen.exponent

    def gains(self) -> dict[int, float]:
        """By evaluations, the error of white noise over that of noise of the data's spectrum, each at its best on a
        matched grid."""
        return {n: of[0.0].error / of[1.0].error for n, of in self.usual.items()}


def gain_of(gain: float) -> str:
    """What is gained, in words.

    >>> gain_of(4.0)
    '4 times nearer, but for the errors that networks add, 0.2 to 2.3 dB in trials'
    """
    least, most = ADDED_DB
    return f"{gain:.2g} times nearer, but for the errors that networks add, {least:g} to {most:g} dB in trials"


LEARNT = (
    "in trials with little training networks came nearer by features with it all the same, or as near as with white"
    " noise"
)
"""What speaks for noise of the data's spectrum where that says nothing (benchmarks/design/results/trial.jsonl)."""


def is_worse(error: float, best: float) -> bool:
    """Whether an error is larger than another by so much that it will be seen."""
    return error > best + _SEEN_DB and error > _SEEN_TIMES * best


def check_evaluations(evaluations: int) -> None:
    """Refuse what is no number of evaluations.

    Raises:
        InputError: If it is too small or too large, or none.
    """
    if type(evaluations) is not int or evaluations < LEAST:
        raise InputError(f"evaluations must be a whole number, at least {LEAST}, got {evaluations!r}")
    if evaluations > MOST_STEPS:
        raise InputError(f"evaluations must be at most {MOST_STEPS:,}, got {evaluations}")


def search(
    process_of: Callable[[float], Process],
    statistics: DataStatistics,
    evaluations: int,
    exponents: Sequence[float] = EXPONENTS,
    done: Callable[[], object] = lambda: None,
) -> Search:
    """Look at all candidates.

    Args:
        process_of: The forward process by the exponent of its whitening.
        statistics: Spectrum of the data.
        evaluations: Evaluations of the network for a sample.
        exponents: Those looked at.
        done: Called after each candidate.

    Raises:
        InputError: If there are too few evaluations for a sampler.
    """
    check_evaluations(evaluations)
    numbers = sorted({*EVALUATIONS, evaluations})
    usual: dict[int, dict[float, Candidate]] = {n: {} for n in numbers}
    candidates: list[Candidate] = []
    for g in exponents:
        expected = Expected(process_of(g), statistics)
        matched = {n: [_on(expected, g, *way, "matched") for way in steps_of(n).items()] for n in numbers}
        for n, own in matched.items():
            usual[n][g] = min((c for c in own if _may(c, n)), key=_error)
        candidates += matched[evaluations]
        for sampler, steps in steps_of(evaluations).items():
            grid = find_grid(expected, Sampler.parse(sampler), steps)
            candidates.append(_on(expected, g, sampler, steps, str(grid)))
        done()
    return Search(evaluations, tuple(candidates), usual, range_db(statistics.spectrum, statistics))


def _may(candidate: Candidate, evaluations: int) -> bool:
    """Whether a sampler may be advised."""
    return evaluations > FEW or candidate.sampler != HEUN


def _error(candidate: Candidate) -> float:
    return candidate.error


def steps_of(evaluations: int) -> dict[str, int]:
    """Samplers and the most steps of them that take at most so many evaluations; Heun's last step takes one."""
    return {HEUN: (evaluations + 1) // 2, "dpm_solver": evaluations}


def _on(expected: Expected, exponent: float, sampler: str, steps: int, grid: str) -> Candidate:
    return Candidate(exponent, sampler, steps, grid, expected.error(sampler, steps, grid))
