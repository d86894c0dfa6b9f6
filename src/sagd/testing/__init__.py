"""Contract suites: subclass that of a family, supply a constructor, inherit its tests. No test framework needed."""

from sagd.testing.bases import BasisContract
from sagd.testing.checks import raises
from sagd.testing.covariances import CovarianceContract
from sagd.testing.oracles import (
    FunctionDenoiser,
    fourier_matrix,
    output_spectrum,
    signed_frequencies,
    stationary_matrix,
)
from sagd.testing.processes import ProcessContract
from sagd.testing.samplers import SamplerContract
from sagd.testing.schedules import ScheduleContract
from sagd.testing.spectra import SpectrumContract

__all__ = [
    "BasisContract",
    "CovarianceContract",
    "FunctionDenoiser",
    "ProcessContract",
    "SamplerContract",
    "ScheduleContract",
    "SpectrumContract",
    "fourier_matrix",
    "output_spectrum",
    "raises",
    "signed_frequencies",
    "stationary_matrix",
]
