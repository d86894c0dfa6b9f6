"""Damage, a kind a file.

Some kinds are on the grid: of whole cycles per side of the window that they damage, so that they lie in their band and
nowhere else. Real damage does not close at the borders of a photograph. The others are drawn in continuous coordinates
on a canvas without borders, of which an image is a crop: `fringes`, `curtains`, `streaks`, `mains`, `sensor`, and
`gain`, which multiplies.
"""

# Kinds are shown to people in this order.
# isort: off
from sagd.data.corruption.base import Assumptions, Corruption, corrupt, generators
from sagd.data.corruption.band_noise import BandNoise
from sagd.data.corruption.scan_lines import ScanLines
from sagd.data.corruption.shading import Shading
from sagd.data.corruption.moire import Moire
from sagd.data.corruption.hum import Hum
from sagd.data.corruption.rain import Rain
from sagd.data.corruption.fixed_pattern import FixedPattern
from sagd.data.corruption.fringes import Fringes
from sagd.data.corruption.curtains import Curtains
from sagd.data.corruption.streaks import Streaks
from sagd.data.corruption.mains import Mains
from sagd.data.corruption.sensor import Sensor
from sagd.data.corruption.gain import Gain
from sagd.plugins import import_all

__all__ = [
    "Assumptions",
    "BandNoise",
    "Corruption",
    "Curtains",
    "FixedPattern",
    "Fringes",
    "Gain",
    "Hum",
    "Mains",
    "Moire",
    "Rain",
    "ScanLines",
    "Sensor",
    "Shading",
    "Streaks",
    "corrupt",
    "generators",
]

import_all(__name__, __path__)
