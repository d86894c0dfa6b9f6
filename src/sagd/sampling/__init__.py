"""Samplers, a method a file, their time grids, and likelihoods. Importing any makes all known to texts."""

from sagd.plugins import import_all
from sagd.sampling.base import Sampler
from sagd.sampling.ddim import DDIM
from sagd.sampling.ddpm import DDPM
from sagd.sampling.dpm_solver import DPMSolver
from sagd.sampling.euler import Euler
from sagd.sampling.found_grid import FoundGrid
from sagd.sampling.grids import KarrasGrid, LogSNRGrid, MatchedGrid, TimeGrid, UniformGrid, matched_range
from sagd.sampling.heun import Heun
from sagd.sampling.likelihood import Likelihood, dequantise, log_likelihood

__all__ = [
    "DDIM",
    "DDPM",
    "DPMSolver",
    "Euler",
    "FoundGrid",
    "Heun",
    "KarrasGrid",
    "Likelihood",
    "LogSNRGrid",
    "MatchedGrid",
    "Sampler",
    "TimeGrid",
    "UniformGrid",
    "dequantise",
    "log_likelihood",
    "matched_range",
]

import_all(__name__, __path__)
