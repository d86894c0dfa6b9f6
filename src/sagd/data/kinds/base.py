"""What a kind of signal is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from torch import Tensor

from sagd.data.formats import Contents
from sagd.data.layout import Layout, layout_of
from sagd.data.meaning import Meaning
from sagd.spec import Description

if TYPE_CHECKING:
    from PIL import Image

Numbers = tuple[tuple[float, ...], tuple[float, ...]]
"""Offset and scale, of all channels or of each."""


class Kind(Description, ABC, family="kind of signal", example="image"):
    """A kind of signal; members are frozen dataclasses with a `kind` and no parameters.

    Attributes:
        spatial: Letters of the axes of space, in order.
        formats: File formats that are taken for this kind unless somebody says otherwise.
        ending: Ending of files of fields that come from no file, or from one that loses something.
        exact: Ending of files that hold floating point.
        scales: Whether `data.size` scales fields, as it does with pictures, or cuts windows out of them.
        coloured: Whether a last axis of 1, 3 or 4, of which nobody said more, is colour.
        mixes: Whether the mean of channels is a channel, and one stands for many, as with loudspeakers.
        item: What one is called, and many.
    """

    spatial: ClassVar[str]
    formats: ClassVar[tuple[str, ...]] = ()
    ending: ClassVar[str] = ".npy"
    exact: ClassVar[str] = ".npy"
    scales: ClassVar[bool] = False
    coloured: ClassVar[bool] = False
    mixes: ClassVar[bool] = False
    item: ClassVar[tuple[str, str]] = ("field", "fields")

    def layout(self, contents: Contents, axes: str | None = None) -> Layout:
        """How the axes of an array make items of this kind; `axes` are letters that somebody chose for them.

        Raises:
            InputError: If they cannot.
        """
        return layout_of(contents, self.spatial, axes, self.coloured)

    @abstractmethod
    def numbers(self, values: Sequence[np.ndarray], contents: Contents) -> Numbers:
        """Offset and scale by which models see values, from some items `(C, *spatial)` in their own type."""

    @abstractmethod
    def picture(self, x: Tensor, meaning: Meaning) -> Image.Image:
        """A picture of fields `(N, C, *spatial)` as models see them, with axes and scales in their units."""
