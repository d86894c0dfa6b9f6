"""Forward processes: `x_t` given `x_0`, schedules, and conversions between predictions."""

from sagd.process.base import Gaussian, Process
from sagd.process.description import process_from_dict
from sagd.process.evolution import Blurring, Common, Deconvolved, Evolution, Interpolated, Sequential
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule
from sagd.process.spectral import SpectralProcess

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
    "Schedule",
    "Sequential",
    "SpectralProcess",
    "VESchedule",
    "VPSchedule",
    "process_from_dict",
]
