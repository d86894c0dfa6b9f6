"""How much of a network is asked: over how many dB its input and its target range from ring to ring of frequencies.

A network whose input has all frequencies alike sees fine detail as soon as coarse shapes; one whose target has them
alike learns both at the same pace, since the loss counts squares. Of data with spectrum `S` and noise `w^2` input and
target of any prediction have a power at each frequency in closed form, as both are affine in the image and the noise:

    range = 10 log10(largest / smallest power of a ring),   averaged over training times.

This is about pace alone. What has to be learnt beside the spectrum, it does not know.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.designs.ends import ROUNDING
from sagd.model.parameterisation import Parameterisation
from sagd.noise.statistics import DataStatistics, radial_profile
from sagd.process.base import Process
from sagd.random import generator_for
from sagd.training.times import MatchedTime, TimeLaw

PREDICTIONS = ("eps", "v", "edm", "wiener(exponent=0.5)", "wiener")
"""Those that are compared."""
_TIMES, _RINGS = 12, 16


@dataclass(frozen=True)
class Learning:
    """What is asked of a network.

    Attributes:
        exponent: Of the whitening of the noise.
        prediction: Prediction.
        input_db: Range of what the network sees, mean over training times, in dB.
        target_db: Range of what it is to give, likewise.
    """

    exponent: float
    prediction: str
    input_db: float
    target_db: float


def learning(
    prediction: str, process: Process, statistics: DataStatistics, exponent: float = 0.0, law: TimeLaw | None = None
) -> Learning:
    """What a prediction asks of a network.

    Args:
        prediction: Prediction.
        process: Forward process, diagonal in the basis of the statistics.
        statistics: Mean and spectrum of the data.
        exponent: Of the whitening of its noise, for the record.
        law: Law of the training times; default: matched.
    """
    basis, S = statistics.basis, statistics.spectrum.double()
    parameterisation = Parameterisation.parse(prediction).resolve(statistics.std, statistics)
    mean = statistics.mean.double()[None]
    # Fields with the power of data and noise at each frequency: as maps are affine and diagonal, one of each will do.
    data = basis.inverse(S.sqrt())[None]
    noise = basis.inverse(process.covariance.power_range(basis)[1].expand_as(S).double().sqrt())[None]
    nothing = torch.zeros_like(mean)

    def power(part: Tensor, whole: Tensor) -> Tensor:
        return basis.forward(part - whole)[0].abs().square()

    def target(x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        return parameterisation.target(process, x_0, eps, t)

    def seen(x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        return parameterisation.scaled(process, process.perturb(x_0, t, eps), t)

    times = (law or MatchedTime()).resolve(process, statistics).sample(_TIMES, process, generator_for(0, "learning"))
    ranges: dict[str, list[float]] = {"input": [], "target": []}
    for t in times.split(1):
        for name, of in (("input", seen), ("target", target)):
            at_mean = of(mean, nothing, t)
            powers = power(of(mean + data, nothing, t), at_mean) + power(of(mean, noise, t), at_mean)
            ranges[name].append(range_db(powers, statistics))
    return Learning(exponent, prediction, *(sum(values) / len(values) for values in ranges.values()))


def range_db(powers: Tensor, statistics: DataStatistics) -> float:
    """Of the rings that hold data."""
    held = radial_profile(statistics.spectrum, statistics.basis, _RINGS).values.mean(0).nan_to_num()
    rings = radial_profile(powers, statistics.basis, _RINGS).values.mean(0)[held > ROUNDING * held.max()]
    return 10 * math.log10(float(rings.max() / rings.min().clamp(min=ROUNDING * float(rings.max()))))


def learnings(processes: Mapping[float, Process], statistics: DataStatistics) -> list[Learning]:
    """Of all predictions with noise by the exponent of its whitening."""
    pairs = itertools.product(processes.items(), PREDICTIONS)
    return [learning(prediction, process, statistics, g) for (g, process), prediction in pairs]
