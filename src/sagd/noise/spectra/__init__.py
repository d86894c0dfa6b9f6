"""Spectral weights `w(f)`, a family a file. Importing any of them makes all known to texts."""

# Kinds are shown to people in this order.
# isort: off
from sagd.noise.spectra.base import Flat, Product, Spectrum, Sum
from sagd.noise.spectra.power_law import AxisPowerLaw, ExponentialDecay, PowerLaw
from sagd.noise.spectra.bands import BandPass, BandStop, TwoBand
from sagd.noise.spectra.oriented import Oriented
from sagd.noise.spectra.notch import Notch
from sagd.noise.spectra.tables import RadialTable, Tabulated
from sagd.noise.spectra.whitening import Whitening
from sagd.noise.spectra.by_channel import PerChannel
from sagd.noise.spectra.by_class import ClassConditional
from sagd.noise.spectra.damage import Ring, Spots, Strip, Wedge

__all__ = [
    "AxisPowerLaw",
    "BandPass",
    "BandStop",
    "ClassConditional",
    "ExponentialDecay",
    "Flat",
    "Notch",
    "Oriented",
    "PerChannel",
    "PowerLaw",
    "Product",
    "RadialTable",
    "Ring",
    "Spectrum",
    "Spots",
    "Strip",
    "Sum",
    "Tabulated",
    "TwoBand",
    "Wedge",
    "Whitening",
]
