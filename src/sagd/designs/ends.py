"""Whether a process meets the data at both ends of time."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import EDGE, Basis
from sagd.noise.statistics import DataStatistics, radial_profile
from sagd.process.base import Process
from sagd.process.schedule import VESchedule
from sagd.sampling.grids import SIGNAL_LIMIT, require_shape

ROUNDING = 1e-12
"""Power relative to the largest below which a frequency holds nothing but the rounding of float32 data."""


@dataclass(frozen=True)
class EndCheck:
    """How a process meets the data at both ends of time, by radial band.

    Attributes:
        edges: Band edges as fractions of the corner radius, `(K + 1,)`.
        start: Time at which sampling starts from noise.
        signal: SNR at `start`, the largest of any frequency and channel in the band, `(K,)`, where noise by class or
            place is weakest: what is left of the data. 0 where no noise is or no data.
        detail: Noise over data at the last time above 0, the mean power of the band's noise over that of its data,
            `(K,)`, where it is strongest: above 1 the band's detail is guessed in the last step. 0 where no noise is.
        advice: How to mend a `signal` above `SIGNAL_LIMIT`; empty if there is none.
    """

    edges: Tensor
    start: float
    signal: Tensor
    detail: Tensor
    advice: str

    def lines(self) -> list[str]:
        """What a person should know: the worst band of either end."""
        k, j = int(self.signal.argmax()), int(self.detail.argmax())
        return [
            f"left of the data at t = {self.start:.3g}: at most {float(self.signal[k]):.2g} of the noise's power"
            f" (band {self._band(k)})",
            f"noise when sampling ends: at most {float(self.detail[j]):.2g} of the data's power (band {self._band(j)})"
            + ("; finer detail is guessed in one step" if float(self.detail[j]) > 1 else ""),
        ]

    def refuse(self) -> None:
        """Raise where a band starts from a prior it never reaches.

        Raises:
            InputError: Naming the band, its SNR and the schedule that would drown it.
        """
        k = int(self.signal.argmax())
        if float(self.signal[k]) > SIGNAL_LIMIT:
            raise InputError(
                f"at t = {self.start:.3g} the data in band {self._band(k)} still has {float(self.signal[k]):.3g} times"
                f" the power of the noise (at most {SIGNAL_LIMIT} is sampled faithfully): samples would start from a"
                f" prior that the data never reaches; {self.advice}"
            )

    def _band(self, k: int) -> str:
        return f"{float(self.edges[k]):.2g}-{float(self.edges[k + 1]):.2g}"


def check_ends(
    statistics: DataStatistics,
    process: Process,
    bands: int = 10,
    sigma_min: float = 0.002,
    start: float = 1.0,
    end: float | None = None,
) -> EndCheck:
    """SNR where sampling starts and noise where it ends, by radial band, from the data's spectrum.

    Args:
        statistics: Mean and spectrum of the data, in the basis of the noise.
        process: Forward process.
        bands: Radial bands.
        sigma_min: Least noise level that samplers visit, which gives `end`.
        start: First time of sampling.
        end: Last time of sampling before 0.

    Raises:
        InputError: If the statistics are of another shape, or in another basis than a process by frequency.
    """
    require_shape(statistics, process)
    basis, power = statistics.basis, statistics.spectrum
    if end is None:
        end = float(process.time_at(torch.tensor(sigma_min, dtype=torch.float64)))
    (first, _), (_, last) = (process.noise_to_signal(t, basis) for t in (start, end))
    noisy, filled = first > 0, power > ROUNDING * power.max()
    snr = torch.where(noisy & filled, power / torch.where(noisy, first, 1.0), 0.0)
    edges = torch.linspace(0, 1, bands + 1, dtype=torch.float64)
    index = ((basis.relative_radius() + EDGE) * bands).long().clamp(max=bands - 1)
    signal = torch.zeros(bands, dtype=torch.float64).scatter_reduce(
        0, index.expand_as(snr).flatten(), snr.flatten(), "amax"
    )
    data = radial_profile(torch.where(noisy & filled, power, 0.0), basis, bands).values.mean(0)
    noise = radial_profile(last.expand_as(power), basis, bands).values.mean(0)
    detail = torch.nan_to_num(torch.where(data > 0, noise / data, 0.0))
    return EndCheck(edges, start, signal, detail, _advice(process, basis, float(signal.max()), start))


def _advice(process: Process, basis: Basis, signal: float, start: float) -> str:
    """A time grid or a schedule that drowns what is left, for the schedules that can."""
    if signal <= SIGNAL_LIMIT:
        return ""
    if start < 1:
        return "use sampling.grid 'matched', or a larger sigma_max"
    weak = "give that band more noise"
    if not torch.equal(*process.covariance.power_range(basis)):
        weak = "give the class or place with the weakest noise more"
    factor, schedule = signal / SIGNAL_LIMIT, process.schedule
    if isinstance(schedule, VESchedule):
        better = dataclasses.replace(schedule, sigma_max=float(f"{1.1 * schedule.sigma_max * math.sqrt(factor):.2g}"))
        return f"use schedule '{better}'"
    log_snr = float(schedule.log_snr(torch.ones((), dtype=torch.float64))) - math.log(factor)
    least = math.floor(log_snr) - 1
    if least >= -40:
        return f"use schedule 'cosine(log_snr_min={least})', or {weak}"
    return weak
