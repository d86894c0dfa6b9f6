"""Films: MP4, MOV, AVI and Matroska, by PyAV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sagd.data.formats.base import Contents, Format, Region, Step
from sagd.data.formats.checks import arranged, typed
from sagd.errors import InputError
from sagd.optional import need

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".avi": "avi", ".mkv": "matroska"}
_LOSSY = (".mp4", ".m4v", ".mov")
_EIGHT_BITS = 8
_USUAL_RATE = Fraction(25)


@dataclass(frozen=True)
class Film(Format, kind="mp4"):
    """MP4, MOV, AVI and Matroska of 8 bits a channel, in colour or grey; sound is left out.

    MP4 and MOV are written as H.264, whose values are near those given; AVI and Matroska as FFV1, which keeps them.
    """

    called: ClassVar[str] = "a film"
    endings: ClassVar[tuple[str, ...]] = tuple(_CONTAINERS)
    floats: ClassVar[bool] = False
    streams: ClassVar[bool] = True
    lossy: ClassVar[tuple[str, ...]] = _LOSSY

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        with _opened(path) as (container, stream):
            bits = max(component.bits for component in stream.format.components)
            if bits > _EIGHT_BITS:
                raise InputError(f"has {bits} bits a channel; 8 are supported")
            times = _times(container, stream)
            container.seek(0)
            frame = next(container.decode(stream))
            turned, grey = round(frame.rotation), _is_grey(stream)
            rate = stream.average_rate or stream.guessed_rate
            notes = tuple(_notes(path, container, stream, times))
            kept = {"times": times, "rate": rate, "turned": turned, "codec": stream.codec_context.name}
        size = (frame.height, frame.width) if turned % 180 == 0 else (frame.width, frame.height)
        return [
            Contents(
                path,
                "",
                (len(times), *size) if grey else (len(times), *size, 3),
                "TYX" if grey else "TYXC",
                "uint8",
                (0, 255),
                {"T": Step(float(1 / rate), "s")} if rate else {},
                notes=notes,
                kept={self.kind: kept},
            )
        ]

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        kept, grey = contents.kept[self.kind], contents.axes == "TYX"
        wanted = kept["times"][region[0]]
        missing = set(wanted)
        frames = {}
        with _opened(contents.path) as (container, stream):
            # To the picture before the first one from which decoding can begin.
            container.seek(wanted[0], stream=stream)
            for frame in container.decode(stream):
                if frame.pts in missing:
                    values = frame.to_ndarray(format="gray" if grey else "rgb24")
                    frames[frame.pts] = np.rot90(values, kept["turned"] // 90)[region[1:]].copy()
                    missing.remove(frame.pts)
                if not missing:
                    break
        if missing:
            raise InputError(f"{len(missing)} of {len(wanted)} pictures cannot be decoded; it is damaged or cut short")
        return np.stack([frames[time] for time in wanted])

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        need("av")
        import av

        typed(values, "uint8")
        values, order = arranged(values, like.axes, "TYXC", "TYX")
        if order == "TYXC" and values.shape[-1] != 3:
            raise InputError(f"{values.shape[-1]} channels cannot be written so; a film has 3 or is grey")
        shape, ending = values.shape[1:3], path.suffix.lower()
        codec, pixels, options = _coding(ending, order == "TYX", shape)
        with av.open(str(path), "w", format=_CONTAINERS[ending]) as container:
            stream: Any = container.add_stream(codec, rate=_rate(like), options=options)
            stream.height, stream.width, stream.pix_fmt = *shape, pixels
            for value in values:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(value), "gray" if order == "TYX" else "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A film and its first stream of pictures. It is opened here, as PyAV takes names in UTF-8 only."""
    need("av")
    import av

    with path.open("rb") as file, av.open(file, "r") as container:
        if not container.streams.video:
            raise InputError("holds no pictures")
        yield container, container.streams.video[0]


def _times(container: InputContainer, stream: VideoStream) -> list[int]:
    """When each picture is shown, in the stream's units, in that order.

    Raises:
        InputError: If there are fewer than the header says, or times are missing.
    """
    times = [packet.pts for packet in container.demux(stream) if packet.size]
    if not times or None in times or len(set(times)) < len(times):
        raise InputError(f"the times of its {len(times)} picture(s) are not all there; write it anew with ffmpeg")
    if stream.frames > len(times):
        raise InputError(f"its header promises {stream.frames} pictures, {len(times)} are there; it is cut short")
    shown = sorted(time for time in times if time is not None)
    _check_length(container, stream, shown)
    return shown


def _check_length(container: InputContainer, stream: VideoStream, times: list[int]) -> None:
    """Compare the time of the last picture with the length in the header, where other streams are not longer.

    Raises:
        InputError: If more than one picture is missing.
    """
    rate = stream.average_rate or stream.guessed_rate
    if container.duration is None or not rate or stream.time_base is None or len(container.streams) > 1:
        return
    length = Fraction(container.duration, 1_000_000)
    seen = (times[-1] - min(0, times[0])) * stream.time_base + 1 / rate
    if length - seen > Fraction(3, 2) / rate:
        raise InputError(f"its header promises {float(length):g} s, {float(seen):g} are there; it is cut short")


def _is_grey(stream: VideoStream) -> bool:
    return stream.format.name.startswith(("gray", "mono"))


def _notes(path: Path, container: InputContainer, stream: VideoStream, times: list[int]) -> Iterator[str]:
    if len(container.streams) > 1:
        others = ", ".join(other.type for other in container.streams if other is not stream)
        yield f"its other streams are left out: {others}"
    gaps = np.diff(times)
    spread = int(gaps.max() - gaps.min()) if len(gaps) else 0
    if spread > 1 and stream.time_base is not None and stream.time_base * spread > Fraction(1, 500):  # beyond rounding
        yield "its pictures are not evenly spaced; the step is their average"
    if path.suffix.lower() in _LOSSY:
        yield "MP4 and MOV do not keep values as they are: what is written differs a little; AVI and Matroska keep them"


def _coding(ending: str, grey: bool, shape: tuple[int, ...]) -> tuple[str, str, dict[str, str]]:
    """Codec, format of pixels and options."""
    if ending not in _LOSSY:
        return "ffv1", "gray" if grey else "bgr0", {}
    if grey:
        return "libx264", "gray", {"crf": "10"}
    even = shape[0] % 2 == 0 and shape[1] % 2 == 0
    return "libx264", "yuv420p" if even else "yuv444p", {"crf": "10"}


def _rate(like: Contents) -> Fraction:
    """Pictures a second: of the file, by the step of time, or 25."""
    kept = like.kept.get(Film.kind, {}).get("rate")
    step = like.steps.get("T")
    if step is None:
        return kept or _USUAL_RATE
    if step.unit not in ("s", ""):
        raise InputError(f"a step of {step.size:g} {step.unit!r} is no time between pictures; give it in s")
    if kept is not None and abs(step.size * kept - 1) < 1e-6:
        return kept
    return Fraction(1 / step.size).limit_denominator(1_001_000)
