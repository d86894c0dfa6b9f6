"""Series in time of anything measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from torch import Tensor

from sagd.data.formats import Contents
from sagd.data.kinds.base import Kind, Numbers
from sagd.data.meaning import Meaning, standardised
from sagd.data.previews import USUAL, Look, series

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Series(Kind, kind="series"):
    """Series in time, a channel for each thing that is measured: tables, electrocardiograms, sensors."""

    spatial: ClassVar[str] = "T"
    formats: ClassVar[tuple[str, ...]] = ("csv",)
    ending: ClassVar[str] = ".csv"
    exact: ClassVar[str] = ".csv"
    item: ClassVar[tuple[str, str]] = ("series", "series")

    def numbers(self, values: Sequence[np.ndarray], contents: Contents) -> Numbers:
        """Each channel by its own mean and deviation."""
        return standardised(values)

    def picture(self, x: Tensor, meaning: Meaning, look: Look = USUAL) -> Image.Image:
        """Lines, a panel for each channel."""
        values, look = meaning.to_values(x), look.of(meaning.to_values)
        return series(values, meaning.rate, meaning.units, meaning.channels, look=look)
