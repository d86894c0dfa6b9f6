"""Taking damage of a known band out of an array: measure the excess over the smooth spectrum, apply its Wiener gain."""

from __future__ import annotations

from sagd.omission.removal.measurement import Removal, measure
from sagd.omission.removal.spectra import SMALL

__all__ = ["SMALL", "Removal", "measure"]
