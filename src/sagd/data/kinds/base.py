"""What a kind of signal is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np
from torch import Tensor

from sagd.data.formats import Contents
from sagd.data.images import CHANNELS
from sagd.data.layout import Layout, layout_of
from sagd.data.meaning import Meaning
from sagd.data.previews import USUAL, Look
from sagd.data.resize import Mixing
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
        mixing: How one channel is made of many: by luma, as of colours, or the mean, as of loudspeakers; None: never.
        item: What one is called, and many.
        plays: What a page can do beside showing them: play their "sound", or run them as a "film".
        kept: How many examples a comparison keeps for its report.
    """

    spatial: ClassVar[str]
    formats: ClassVar[tuple[str, ...]] = ()
    ending: ClassVar[str] = ".npy"
    exact: ClassVar[str] = ".npy"
    scales: ClassVar[bool] = False
    coloured: ClassVar[bool] = False
    mixing: ClassVar[Mixing] = None
    item: ClassVar[tuple[str, str]] = ("field", "fields")
    plays: ClassVar[Literal["", "sound", "film"]] = ""
    kept: ClassVar[int] = 12

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
    def picture(self, x: Tensor, meaning: Meaning, look: Look = USUAL) -> Image.Image:
        """A picture of fields `(N, C, *spatial)` as models see them, with axes and scales in their units.

        `look.like` are fields as models see them, too.
        """

    @final
    def difference_picture(
        self, x: Tensor, meaning: Meaning, captions: Sequence[str] = (), like: Tensor | None = None
    ) -> Image.Image:
        """The same of noise or differences: each scale has 0 in the middle."""
        return self.picture(x, _about_zero(meaning), Look(captions, like, signed=True, by_value=True))

    @final
    def spread_picture(self, x: Tensor, meaning: Meaning, captions: Sequence[str] = ()) -> Image.Image:
        """The same of standard deviations."""
        return self.picture(x, _about_zero(meaning), Look(captions, by_value=True))

    @final
    @classmethod
    def counted(cls, count: int) -> str:
        """So many of them in words.

        >>> from sagd.data.kinds.field import Field
        >>> Field.counted(1), Field.counted(2)
        ('1 field', '2 fields')
        """
        return f"{count} {cls.item[count != 1]}"

    @final
    def seen(self, channels: int) -> bool:
        """Whether values are brightness, grey or of three colours, which needs no scale."""
        return self.coloured and channels in CHANNELS

    @final
    def tiled(self, channels: int) -> bool:
        """Whether items are small pictures as they are, many of which stand side by side without axes."""
        return self.seen(channels) and len(self.spatial) == 2


def _about_zero(meaning: Meaning) -> Meaning:
    return replace(meaning, offset=(0.0,) * len(meaning.offset))
