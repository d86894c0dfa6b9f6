"""Fields of physics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from torch import Tensor

from sagd.data.formats import Contents
from sagd.data.kinds.base import Kind, Numbers
from sagd.data.layout import Layout, layout_of
from sagd.data.meaning import Meaning, standardised
from sagd.data.previews import USUAL, Look, fields, series, volumes
from sagd.errors import InputError, argument

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Field(Kind, kind="field"):
    """Fields of one to three axes of space, a channel for each quantity; steps of time are items of their own."""

    spatial: ClassVar[str] = "YX"
    formats: ClassVar[tuple[str, ...]] = ("netcdf", "hdf5", "zarr", "npy", "npz")
    item: ClassVar[tuple[str, str]] = ("field", "fields")

    def layout(self, contents: Contents, axes: str | None = None) -> Layout:
        """Whichever of `Z`, `Y`, `X` the file or the caller names are space; `Y`, `X` where nobody names any.

        Raises:
            InputError: If the letters do not fit the array.
        """
        told = contents.axes if axes is None else axes
        named = "".join(letter for letter in "ZYX" if letter in told)
        if not named and "?" not in told and "T" not in told:
            raise InputError(
                f"axes {told!r} name no axis of space: Z, Y or X; say which they are with {argument('data.axes')}"
            )
        return layout_of(contents, named or ("X" if len(contents.shape) == 1 else self.spatial), axes)

    def numbers(self, values: Sequence[np.ndarray], contents: Contents) -> Numbers:
        """Each channel by its own mean and deviation."""
        return standardised(values)

    def picture(self, x: Tensor, meaning: Meaning, look: Look = USUAL) -> Image.Image:
        """Colours by value, on a scale for each channel."""
        values, look = meaning.to_values(x), look.of(meaning.to_values)
        if len(meaning.axes) == 1:
            return series(values, None, meaning.units, meaning.channels, look=look)
        if len(meaning.axes) == 3:
            return volumes(values, meaning.units, meaning.channels, meaning.sides(), meaning.length, look=look)
        return fields(values, meaning.units, meaning.channels, meaning.sides(), look=look)
