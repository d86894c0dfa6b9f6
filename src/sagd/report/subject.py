"""What a page is about: signals of one kind, what they are called, and how some of them are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sagd.build.text import from_dict
from sagd.data.drawing import scale_of
from sagd.data.images import CHANNELS
from sagd.data.kinds import Kind
from sagd.data.meaning import Meaning, usual
from sagd.data.previews import Look
from sagd.noise.grid import RingScale
from sagd.report.pictures import Picture, picture
from sagd.report.players import MOST_PLAYERS, Players, audio_players, film

PLAYED = 2**21
"""Bytes of all sound in one section of a page."""
FILMED = 3 * 2**22
"""Bytes of the frames of all its films, which are stored as PNG."""
_MOST_HEARD = 2
"""Channels of sound."""
_ROUNDING = 1e-6
"""Error of a rate that is known as the inverse of a step."""


@dataclass(frozen=True)
class Shown:
    """Some signals on a page.

    Attributes:
        picture: Their picture.
        players: To hear them, where they are sound.
        film: To see them move, and a sentence on that.
        wide: Whether the picture takes the width of the page.
    """

    picture: Picture
    players: Players | None = None
    film: tuple[Picture, str] | None = None
    wide: bool = True


@dataclass(frozen=True)
class Subject:
    """The signals of a page.

    Args:
        meaning: What their values mean.
        channels: Number of channels.
    """

    meaning: Meaning
    channels: int

    @cached_property
    def kind(self) -> Kind:
        """Their kind."""
        return Kind.member(self.meaning.kind)()

    @property
    def called(self) -> tuple[str, str]:
        """What one is called, and many."""
        return self.kind.item

    @property
    def tiled(self) -> bool:
        """Whether they are small pictures that stand side by side without axes."""
        return self.kind.tiled(self.channels)

    @property
    def seen(self) -> bool:
        """Whether values are brightness, grey or of three colours."""
        return self.kind.seen(self.channels)

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.meaning.axes)

    @property
    def colours(self) -> str:
        """The colour map that values in the range of the data have."""
        ends = torch.tensor([-1.0, 1.0]).reshape(2, *(1,) * (self.rank + 1))
        return scale_of(self.meaning.to_values(ends).numpy()).colours

    def colours_of(self, x: Tensor) -> Tensor | None:
        """One signal `(C, *spatial)` as what sets the scales of others; None for lines, which must not leave theirs."""
        return x[None] if self.rank > 1 else None

    @property
    def scale(self) -> RingScale:
        """In what unit radii of frequencies are told."""
        return RingScale.of(self.meaning.rings())

    @property
    def even(self) -> bool:
        """Whether rings of the world are those of the samples."""
        rings = self.meaning.rings()
        return rings is None or rings.square

    @property
    def frequency(self) -> str:
        """What power is drawn over: the end of a sentence that begins with "by"."""
        radial = "frequency" if self.rank == 1 else "radial frequency"
        if self.scale.unit:
            return f"{radial} in {self.scale.unit}" + ("" if self.rank == 1 else ", whatever the direction")
        if self.tiled:
            return "radial frequency \u03c1, from 0, an even image, to 1, the finest pattern that the pixels can hold"
        if self.rank == 1:
            return "frequency \u03c1, from 0, a constant, to 1, half a cycle per sample"
        return "radial frequency \u03c1, from 0, an even field, to 1, the finest pattern that the grid can hold"

    @property
    def shapes(self) -> dict[str, str]:
        """What low and high frequencies look like, in words for templates."""
        if self.rank == 1:
            return {"low": "slow changes", "high": "fast ones", "smooth": "slow swings", "fine": "fine hair"}
        return {"low": "coarse shapes", "high": "fine detail", "smooth": "smooth patches", "fine": "fine grain"}

    def signals(
        self, x: Tensor, alt: str, captions: Sequence[str] = (), like: Tensor | None = None, parts: int = 1
    ) -> Shown:
        """Signals `(N, C, *spatial)` as models see them: pictures with axes and scales, and what plays them.

        Args:
            x: The signals; NaN where a value is missing.
            alt: What they are.
            captions: What each is called; by default its number.
            like: Signals that set the scales, so that pictures compare.
            parts: How many such lists share the sound and the films that a page can hold.
        """
        drawn = self.kind.picture(x, self.meaning, Look(captions, like))
        return Shown(picture(drawn, alt), self.players(x, captions, parts), self.film(x, captions, parts))

    def differences(self, x: Tensor, alt: str, captions: Sequence[str] = ()) -> Shown:
        """Differences of signals, in their unit, with 0 in the middle of each scale."""
        return Shown(picture(self.kind.difference_picture(x, self.meaning, captions), alt))

    def noise(self, x: Tensor, alt: str, like: Tensor | None = None, parts: int = 1) -> Shown:
        """Noise as models see it, likewise."""
        drawn = self.kind.difference_picture(x, self.meaning.bare(), [f"draw {k + 1}" for k in range(len(x))], like)
        return Shown(picture(drawn, alt), self.players(x, (), parts))

    def spread(self, x: Tensor, alt: str) -> Shown:
        """Standard deviations of signals, in their unit."""
        return Shown(picture(self.kind.spread_picture(x, self.meaning, ("",) * len(x)), alt))

    def drowned(self, x: Tensor, alt: str, captions: Sequence[str], parts: int = 1) -> Shown:
        """A signal at several noise levels, each in [-1, 1] but for few values: without a unit."""
        drawn = self.kind.picture(x, self.meaning.bare(), Look(captions, signed=True, colours=self.colours))
        return Shown(picture(drawn, alt), self.players(x, captions, parts))

    def players(self, x: Tensor, captions: Sequence[str], parts: int) -> Players | None:
        """Players of records; None where signals are no sound, or their rate is not known."""
        rate = self.meaning.rate
        if self.kind.plays != "sound" or rate is None or self.channels > _MOST_HEARD:
            return None
        if abs(rate - round(rate)) > _ROUNDING * rate or not 1 <= round(rate) < 2**32:
            return None
        heard = torch.nan_to_num(x[:MOST_PLAYERS])
        return audio_players(heard, round(rate), captions=captions[: len(heard)], budget=PLAYED // parts)

    def film(self, x: Tensor, captions: Sequence[str], parts: int) -> tuple[Picture, str] | None:
        """The same of clips."""
        if self.kind.plays != "film" or self.channels not in CHANNELS:
            return None
        drawn, note = film(torch.nan_to_num(x), self.meaning.rate, (-1.0, 1.0), FILMED // parts)
        return drawn, f"{note} Row by row: {', '.join(captions)}." if captions else note


def subject_of(results: Mapping[str, Any], channels: int = 1) -> Subject:
    """What a comparison is about, from its records; pictures where they say nothing of it."""
    data = results.get("data") or {}
    shape = data.get("shape") or [channels, 1, 1]
    told = data.get("meaning")
    return Subject(usual(shape) if told is None else from_dict(Meaning, told), shape[0])
