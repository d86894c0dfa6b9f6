"""Images from built-in, local and hub data sets, as uint8 in memory or decoded on demand, and as float32 in [-1, 1]."""

from sagd.data.corruption import Corruption, corrupt
from sagd.data.dataset import ImageData, load
from sagd.data.files import NamedImages, read_images, read_partners, save_damaged, save_named
from sagd.data.images import image_grid, save_images, to_uint8, to_unit_range

__all__ = [
    "Corruption",
    "ImageData",
    "NamedImages",
    "corrupt",
    "image_grid",
    "load",
    "read_images",
    "read_partners",
    "save_damaged",
    "save_images",
    "save_named",
    "to_uint8",
    "to_unit_range",
]
