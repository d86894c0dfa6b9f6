"""Films."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from torch import Tensor

from sagd.data.formats import Contents
from sagd.data.kinds.base import Kind, Numbers
from sagd.data.kinds.image import picture_numbers
from sagd.data.meaning import Meaning
from sagd.data.previews import USUAL, Look, films
from sagd.data.resize import Mixing

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Video(Kind, kind="video"):
    """Films: time and two axes of space."""

    spatial: ClassVar[str] = "TYX"
    formats: ClassVar[tuple[str, ...]] = ("gif", "mp4", "frames")
    ending: ClassVar[str] = ".gif"
    coloured: ClassVar[bool] = True
    mixing: ClassVar[Mixing] = "luma"
    item: ClassVar[tuple[str, str]] = ("clip", "clips")
    plays: ClassVar[Literal["", "sound", "film"]] = "film"

    def numbers(self, values: Sequence[np.ndarray], contents: Contents) -> Numbers:
        """As for pictures."""
        return picture_numbers(values, contents)

    def picture(self, x: Tensor, meaning: Meaning, look: Look = USUAL) -> Image.Image:
        """Strips of frames."""
        values, look = meaning.to_values(x), look.of(meaning.to_values)
        if look.by_value or not self.seen(x.shape[1]):
            return films(values, None, meaning.units, meaning.channels, meaning.rate, look)
        (offset,), (scale,) = meaning.offset, meaning.scale
        return films(values, (offset - scale, offset + scale), rate=meaning.rate, look=look)
