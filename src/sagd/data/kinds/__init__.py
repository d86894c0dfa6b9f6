"""Kinds of signal, a file each: what is space, how values are scaled, and how fields are shown and written."""

from sagd.data.kinds.base import Kind
from sagd.plugins import import_all

__all__ = ["Kind"]

import_all(__name__, __path__)
