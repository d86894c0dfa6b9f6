"""Pictures: two axes of space, any number of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from torch import Tensor

from sagd.data.formats import Contents
from sagd.data.images import image_grid
from sagd.data.kinds.base import Kind, Numbers
from sagd.data.meaning import BYTE, Meaning, spread
from sagd.data.previews import USUAL, Look, fields
from sagd.data.resize import Mixing

if TYPE_CHECKING:
    import PIL.Image


def picture_numbers(values: Sequence[np.ndarray], contents: Contents) -> Numbers:
    """8-bit values from black to white; of others the range that they use: 12 bits in a 16-bit file are 12 bits."""
    if contents.dtype == "uint8" and contents.limits == (0, 255):
        return (BYTE,), (BYTE,)
    return spread(values)


@dataclass(frozen=True)
class Image(Kind, kind="image"):
    """Pictures of 8 or 16 bits or in floating point; pages of a stack are pictures of their own."""

    spatial: ClassVar[str] = "YX"
    formats: ClassVar[tuple[str, ...]] = ("pillow", "netpbm", "tiff")
    ending: ClassVar[str] = ".png"
    scales: ClassVar[bool] = True
    kept: ClassVar[int] = 64
    exact: ClassVar[str] = ".tif"
    coloured: ClassVar[bool] = True
    mixing: ClassVar[Mixing] = "luma"
    item: ClassVar[tuple[str, str]] = ("image", "images")

    def numbers(self, values: Sequence[np.ndarray], contents: Contents) -> Numbers:
        """Black and white, or the range that is used."""
        return picture_numbers(values, contents)

    def picture(self, x: Tensor, meaning: Meaning, look: Look = USUAL) -> PIL.Image.Image:
        """Grey or colours as they are; of other numbers of channels, each by its values."""
        if self.seen(x.shape[1]) and not look.by_value and not look.captions:
            return image_grid(x.clamp(-1, 1))
        look = look.of(meaning.to_values)
        return fields(meaning.to_values(x), meaning.units, meaning.channels, meaning.sides(), look=look)
