"""Spectral weights `w(f) >= 0` of the forward noise, as small serialisable descriptions.

A spectrum is evaluated on the frequencies of a basis, `(n, *coefficients)` in cycles per sample, and returns raw
weights `(*coefficients)`, or `(C, *coefficients)` where channels differ. The noise `T_w xi = U* diag(w) U xi` then has
power spectrum `w^2`. How the level is set (calibration) is the covariance's business, not the spectrum's: shape and
level are separate knobs.

Most spectra are functions of frequency alone. Three are more: tables hold one weight per coefficient of one basis; a
data-bound spectrum (`needs_data`) is known once `resolve` has replaced it by a table made from measured statistics; a
class-conditional one is a spectrum per class, which `for_classes` hands out.

A kind is a file; importing any of them makes all known to texts and descriptions.
"""

# Kinds are shown to people in this order.
# isort: off
from sagd.noise.spectra.base import Flat, Product, Spectrum, Sum
from sagd.noise.spectra.power_law import AxisPowerLaw, ExponentialDecay, PowerLaw
from sagd.noise.spectra.flicker import Flicker
from sagd.noise.spectra.bands import BandPass, BandStop, TwoBand
from sagd.noise.spectra.oriented import Oriented
from sagd.noise.spectra.notch import Notch
from sagd.noise.spectra.tables import RadialTable, Tabulated
from sagd.noise.spectra.whitening import Whitening
from sagd.noise.spectra.by_channel import PerChannel
from sagd.noise.spectra.by_class import ClassConditional
from sagd.noise.spectra.physical import Physical
from sagd.noise.spectra.damage import Ring, Spots, Strip, Stripes, Wedge
from sagd.plugins import import_all

__all__ = [
    "AxisPowerLaw",
    "BandPass",
    "BandStop",
    "ClassConditional",
    "ExponentialDecay",
    "Flat",
    "Flicker",
    "Notch",
    "Oriented",
    "PerChannel",
    "Physical",
    "PowerLaw",
    "Product",
    "RadialTable",
    "Ring",
    "Spectrum",
    "Spots",
    "Strip",
    "Stripes",
    "Sum",
    "Tabulated",
    "TwoBand",
    "Wedge",
    "Whitening",
]

import_all(__name__, __path__)
