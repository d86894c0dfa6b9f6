"""Sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from torch import Tensor

from sagd.data.formats import Contents
from sagd.data.kinds.base import Kind, Numbers
from sagd.data.meaning import Meaning, peak
from sagd.data.previews import USUAL, Look, series, waveforms
from sagd.data.resize import Mixing

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Audio(Kind, kind="audio"):
    """Records of sound, of one or more channels; silence is 0."""

    spatial: ClassVar[str] = "T"
    formats: ClassVar[tuple[str, ...]] = ("wav", "flac")
    ending: ClassVar[str] = ".wav"
    exact: ClassVar[str] = ".wav"
    mixing: ClassVar[Mixing] = "mean"
    item: ClassVar[tuple[str, str]] = ("record", "records")
    plays: ClassVar[Literal["", "sound", "film"]] = "sound"

    def numbers(self, values: Sequence[np.ndarray], contents: Contents) -> Numbers:
        """The loudest value becomes 1."""
        return peak(values)

    def picture(self, x: Tensor, meaning: Meaning, look: Look = USUAL) -> Image.Image:
        """Waveforms above spectrograms, which deviations do not have."""
        values, look = meaning.to_values(x), look.of(meaning.to_values)
        if look.by_value and not look.signed:
            return series(values, meaning.rate, meaning.units, meaning.channels, look=look)
        return waveforms(values, meaning.rate, meaning.quantity, look)
