"""File formats, a kind a file. Importing any makes all known."""

from sagd.data.formats.base import Contents, Coordinates, Format, Reader, Region, Step
from sagd.plugins import import_all

__all__ = ["Contents", "Coordinates", "Format", "Reader", "Region", "Step"]

import_all(__name__, __path__)
