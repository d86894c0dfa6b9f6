"""Forward processes: `x_t` given `x_0`, schedules, and a band unseen."""

from sagd.process.base import Gaussian, Process
from sagd.process.description import process_from_dict
from sagd.process.evolution import Blurring, Common, Deconvolved, Evolution, Interpolated, Sequential
from sagd.process.restricted import Restricted
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.process.spectral import SpectralProcess
from sagd.process.unseen import Unseen

__all__ = [
    "Blurring",
    "Common",
    "CosineSchedule",
    "Deconvolved",
    "Evolution",
    "ForwardProcess",
    "Gaussian",
    "Interpolated",
    "Process",
    "RectifiedSchedule",
    "Restricted",
    "Schedule",
    "Sequential",
    "SpectralProcess",
    "Unseen",
    "VESchedule",
    "VPSchedule",
    "process_from_dict",
]
