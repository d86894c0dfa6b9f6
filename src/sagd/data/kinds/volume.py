"""Volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from torch import Tensor

from sagd.data.formats import Contents
from sagd.data.kinds.base import Kind, Numbers
from sagd.data.meaning import Meaning, spread
from sagd.data.previews import USUAL, Look, volumes

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Volume(Kind, kind="volume"):
    """Three axes of space: tomograms, stacks of slices, voxels of simulations."""

    spatial: ClassVar[str] = "ZYX"
    formats: ClassVar[tuple[str, ...]] = ("nifti", "dicom")
    ending: ClassVar[str] = ".tif"
    exact: ClassVar[str] = ".tif"
    item: ClassVar[tuple[str, str]] = ("volume", "volumes")

    def numbers(self, values: Sequence[np.ndarray], contents: Contents) -> Numbers:
        """The range that is used, of each channel its own."""
        each = [spread([value[c : c + 1] for value in values]) for c in range(len(values[0]))]
        return tuple(offset for (offset,), _ in each), tuple(scale for _, (scale,) in each)

    def picture(self, x: Tensor, meaning: Meaning, look: Look = USUAL) -> Image.Image:
        """Three slices through the middle."""
        values, look = meaning.to_values(x), look.of(meaning.to_values)
        return volumes(values, meaning.units, meaning.channels, meaning.sides(), meaning.length, look=look)
