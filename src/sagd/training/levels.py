"""The noise levels at which the frequencies of data drown."""

from __future__ import annotations

import math

from sagd.noise.statistics import DataStatistics, by_radius
from sagd.process.base import Process
from sagd.sampling.grids import matched_range

TRANSITION_STD = 1.2
"""Standard deviation in `log(sigma/alpha)` over which one frequency goes from visible to drowned."""


def training_levels(statistics: DataStatistics, process: Process) -> tuple[float, float]:
    """Mean and standard deviation of `log(sigma/alpha)` while training, so that every scale is learnt.

    They cover the levels at which frequencies go from visible to drowned. The mean is that of the log noise level at
    which each frequency drowns, `log(sqrt(S)/w)` for a fixed covariance, with all radii `r` alike: a frequency in `n`
    dimensions counts `1/r^(n-1)`, because the many high ones would outvote the few that carry colour and layout. The
    variance is their spread plus that of one frequency's transition, for which 1.2 squared is taken, the width of the
    training law of Karras et al. (2022).

    Raises:
        InputError: If the data does not vary at any frequency that carries noise.
    """
    least, _ = matched_range(process, statistics)
    drowned = process.drowned_at(statistics.spectrum, statistics.basis)
    seen, weight = drowned > 0, by_radius(statistics.basis).expand_as(drowned)
    # Below the least level that samplers visit nothing is drowned: frequencies that are all but empty count there.
    level, share = drowned[seen].log().clamp(min=math.log(least)), weight[seen] / weight[seen].sum()
    mean = float((share * level).sum())
    return mean, math.sqrt(float((share * (level - mean) ** 2).sum()) + TRANSITION_STD**2)
