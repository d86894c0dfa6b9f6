"""GIF, of one picture or of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sagd.data.formats.base import Contents, Format, Region, Step
from sagd.data.formats.checks import arranged, typed
from sagd.data.images import open_image, to_mode
from sagd.errors import InputError
from sagd.optional import need

if TYPE_CHECKING:
    from PIL import Image

_COLOURS = 256


@dataclass(frozen=True)
class Gif(Format, kind="gif"):
    """GIF pictures and animations, grey or colour.

    Transparency is laid over white. A written picture has at most 256 colours; where there are more, those near them
    are chosen. Times are rounded to hundredths of a second.
    """

    endings: ClassVar[tuple[str, ...]] = (".gif",)
    floats: ClassVar[bool] = False
    lossy: ClassVar[tuple[str, ...]] = (".gif",)

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        found = _Blocks(path.read_bytes())
        frames = len(found.durations)
        if frames == 0:
            raise InputError("holds no picture")
        step, notes = _step(found.durations)
        grey, moving = not found.coloured, frames > 1
        if found.transparent:
            notes.append("transparency is laid over white")
        if not grey:
            notes.append("GIF has 256 colours a picture: what is written may differ from what is given")
        return [
            Contents(
                path,
                "",
                (frames,) * moving + (found.height, found.width) + (3,) * (not grey),
                "T" * moving + "YX" + "C" * (not grey),
                "uint8",
                (0, 255),
                {"T": step} if moving and step is not None else {},
                notes=tuple(notes),
                kept={self.kind: {"durations": tuple(found.durations), "loop": found.loop}},
            )
        ]

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        mode = "RGB" if contents.axes.endswith("C") else "L"
        moving = contents.axes.startswith("T")
        with open_image(contents.path) as image:
            if image.format != "GIF":
                raise InputError(f"is {image.format}, whatever its ending says")
            wanted = range(region[0].start, region[0].stop, region[0].step) if moving else range(1)
            frames = [_frame(image, index, mode) for index in wanted]
        return np.stack(frames)[:, *region[1:]] if moving else frames[0][region]

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        need("PIL")
        from PIL import GifImagePlugin

        typed(values, "uint8")
        values, order = arranged(values, like.axes, "TYX", "TYXC", "YX", "YXC")
        if order.endswith("C") and values.shape[-1] != 3:
            raise InputError(f"{values.shape[-1]} channels cannot be written so; GIF is grey or has 3")
        if max(values.shape[order.index("Y")], values.shape[order.index("X")]) > 65535:
            raise InputError(f"pictures of shape {values.shape} cannot be written so; GIF has sides of at most 65535")
        frames = [_paletted(frame) for frame in (values if order.startswith("T") else values[None])]
        durations, loop = _durations(len(frames), like)
        # Written frame by frame: pillow's own loop would leave out one that is like that before it.
        info = {"loop": loop, "duration": durations[0]} if len(frames) > 1 else {}
        with path.open("wb") as file:
            file.writelines(GifImagePlugin.getheader(frames[0].copy(), info=info)[0])
            for frame, duration in zip(frames, durations, strict=True):
                options: dict[str, Any] = {"duration": duration} if len(frames) > 1 else {}
                file.writelines(GifImagePlugin.getdata(frame, include_color_table=frame.mode == "P", **options))
            file.write(b";")


def _frame(image: Image.Image, index: int, mode: str) -> np.ndarray:
    image.seek(index)
    return np.asarray(to_mode(image, mode))


def _paletted(frame: np.ndarray) -> Image.Image:
    """A picture of grey values, or of a palette that has its very colours if they are few."""
    need("PIL")
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(frame))
    if frame.ndim == 2:
        return image
    if image.getcolors(_COLOURS) is None:  # they are more
        return image.quantize(_COLOURS, dither=Image.Dither.NONE)
    colours, numbers = np.unique(frame.reshape(-1, 3), axis=0, return_inverse=True)
    exact = Image.frombytes("P", image.size, numbers.astype(np.uint8).tobytes())
    exact.putpalette(colours.astype(np.uint8).tobytes())
    return exact


def _step(durations: list[int]) -> tuple[Step | None, list[str]]:
    """Milliseconds of each picture as one step of time, if they are alike."""
    if len(set(durations)) > 1:
        return None, ["its pictures last for different times, which are kept"]
    return (Step(durations[0] / 1000, "s") if durations[0] else None), []


def _durations(frames: int, like: Contents) -> tuple[list[int], int]:
    """Milliseconds of each picture, and how often all are shown; 0 is for ever."""
    kept = like.kept.get(Gif.kind, {"durations": (), "loop": 0})
    if len(kept["durations"]) == frames:
        return list(kept["durations"]), kept["loop"]
    step = like.steps.get("T")
    seconds = 0.1 if step is None else step.size
    milliseconds = round(seconds * 100) * 10  # GIF counts hundredths of a second
    if not 0 < milliseconds <= 655350:
        raise InputError(f"a picture cannot last {seconds:g} s in GIF, which takes 0.01 to 655.35")
    return [milliseconds] * frames, kept["loop"]


class _Blocks:
    """What the blocks of a GIF say; pictures are passed over, not decoded."""

    def __init__(self, data: bytes) -> None:
        if data[:6] not in (b"GIF87a", b"GIF89a"):
            raise InputError("does not begin as GIF does")
        self.data, self.at = data, 13
        self.width, self.height = (int.from_bytes(data[i : i + 2], "little") for i in (6, 8))
        self.durations: list[int] = []
        self.loop, self.coloured, self.transparent = 1, False, False
        if len(data) < 13:
            raise InputError("its header is cut short")
        self._palette(data[10])
        delay = 0
        while (kind := self._take(1)) != b";":
            if kind == b"!":
                delay = self._extension(delay)
            elif kind == b",":
                self._palette(self._take(9)[8])
                self._take(1)
                for _ in self._parts():
                    pass
                self.durations.append(10 * delay)
                delay = 0
            else:
                raise InputError(f"has an unknown block {kind!r} after {len(self.durations)} picture(s); it is damaged")

    def _take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        if len(taken) < count:
            raise InputError(f"is cut short after {len(self.durations)} picture(s)")
        self.at += count
        return taken

    def _parts(self) -> Iterator[bytes]:
        while count := self._take(1)[0]:
            yield self._take(count)

    def _palette(self, flags: int) -> None:
        if flags & 128:
            table = np.frombuffer(self._take(3 * 2 ** ((flags & 7) + 1)), np.uint8).reshape(-1, 3)
            self.coloured |= bool((table != table[:, :1]).any())

    def _extension(self, delay: int) -> int:
        label = self._take(1)
        parts = list(self._parts())
        if label == b"\xf9" and parts and len(parts[0]) >= 4:
            # In later pictures it may mean that the one before shows through.
            self.transparent |= not self.durations and bool(parts[0][0] & 1)
            return int.from_bytes(parts[0][1:3], "little")
        if label == b"\xff" and len(parts) == 2 and parts[0] == b"NETSCAPE2.0":
            self.loop = int.from_bytes(parts[1][1:3], "little")
        return delay
