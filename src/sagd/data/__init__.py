"""Images from built-in, local and hub data sets, as uint8 in memory or decoded on demand, and as float32 in [-1, 1]."""

from sagd.data.dataset import ImageData, load
from sagd.data.images import image_grid, save_images, to_uint8, to_unit_range

__all__ = ["ImageData", "image_grid", "load", "save_images", "to_uint8", "to_unit_range"]
