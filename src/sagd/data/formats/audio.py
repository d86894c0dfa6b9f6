"""Sound: WAV and FLAC, by soundfile."""

from __future__ import annotations

import io
import os
from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

import numpy as np

from sagd.data.formats.base import Contents, Format, Region, Step
from sagd.data.formats.checks import arranged, first_of, holds_bytes, typed
from sagd.data.formats.handles import opened
from sagd.errors import InputError
from sagd.optional import need

if TYPE_CHECKING:
    import soundfile

_SUBTYPES: dict[str, tuple[str, str, int, int, tuple[float, float] | None]] = {
    "PCM_U8": ("uint8", "int16", 8, 128, (0, 255)),
    "PCM_S8": ("int8", "int16", 8, 0, (-128, 127)),
    "PCM_16": ("int16", "int16", 0, 0, (-32768, 32767)),
    "PCM_24": ("int32", "int32", 8, 0, (-8388608, 8388607)),
    "PCM_32": ("int32", "int32", 0, 0, (-2147483648, 2147483647)),
    "FLOAT": ("float32", "float32", 0, 0, None),
    "DOUBLE": ("float64", "float64", 0, 0, None),
    "ULAW": ("int16", "int16", 0, 0, (-32768, 32767)),
    "ALAW": ("int16", "int16", 0, 0, (-32768, 32767)),
}
"""Subtype -> type of the values, type in which soundfile hands them over, bits by which it shifts them up, the value of
silence, and limits."""
_LOSSY = ("ULAW", "ALAW")
_LARGE = 2**32 - 2**20


class _Output(io.FileIO):
    """A file to write that says itself why it could not be: of a full disk the library knows a "system error"."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._fault: OSError | None = None

    def write(self, data: Any) -> int:
        """As any file, but of what cannot be written nothing is, and `__exit__` raises the error."""
        try:
            return super().write(data)
        except OSError as error:
            self._fault = error
            return 0

    def __exit__(self, *_: object) -> None:
        self.close()
        if self._fault is not None:
            raise self._fault from None


class Sound(Format, ABC):
    """Samples in time, of one or more channels."""

    streams: ClassVar[bool] = True
    full_scale: ClassVar[bool] = True
    containers: ClassVar[tuple[str, ...]]
    subtypes: ClassVar[tuple[str, ...]]

    def look(self, path: Path) -> Sequence[Contents]:  # noqa: D102
        with path.open("rb") as file:
            return [self.header(os.fsencode(path), file, path)]

    def header(self, source: bytes | BinaryIO, file: BinaryIO, path: Path) -> Contents:
        """The array of a sound.

        Args:
            source: What soundfile opens: a path, or an open file.
            file: The same, open.
            path: The file that it is in.
        """
        need("soundfile")
        import soundfile

        info = soundfile.info(source)
        if info.format not in self.containers:
            raise InputError(f"is {info.format}, whatever its ending says; give it that of {info.format}")
        self.check(file)
        if info.subtype not in _SUBTYPES:
            raise InputError(f"its coding {info.subtype} is not supported; save it as {', '.join(self.subtypes)}")
        dtype, _, _, _, limits = _SUBTYPES[info.subtype]
        mono = info.channels == 1
        return Contents(
            path,
            "",
            (info.frames,) if mono else (info.frames, info.channels),
            "T" if mono else "TC",
            dtype,
            limits,
            {"T": Step(1 / info.samplerate, "s")},
            notes=(f"{info.subtype} holds values near those given, not these",) if info.subtype in _LOSSY else (),
            kept={"sound": _kept(source, info)},
        )

    def check(self, file: BinaryIO) -> None:
        """Refuse a file that is shorter than its header says; soundfile does not."""

    def load(self, contents: Contents, region: Region) -> np.ndarray:  # noqa: D102
        need("soundfile")
        import soundfile

        with opened(contents.path, lambda: soundfile.SoundFile(os.fsencode(contents.path))) as file:
            return samples(file, contents, region)

    def save(self, path: Path, values: np.ndarray, like: Contents) -> None:  # noqa: D102
        need("soundfile")
        import soundfile

        values, _ = arranged(values, like.axes, "T", "TC")
        subtype = self._subtype(values, like)
        _, carrier, shift, silence, limits = _SUBTYPES[subtype]
        if limits is not None and (values.min() < limits[0] or values.max() > limits[1]):
            raise InputError(f"values from {values.min()} to {values.max()} cannot be written as {subtype}: {limits}")
        kept = like.kept.get("sound", {})
        channels = 1 if values.ndim == 1 else values.shape[1]
        container = kept.get("container") if kept.get("container") in self.containers else self.containers[0]
        if container != "FLAC" and values.nbytes > _LARGE:
            container = "RF64"
        with (
            _Output(path) as output,
            soundfile.SoundFile(
                output, "w", _rate(like), channels, subtype, kept.get("endian", "FILE"), container
            ) as file,
        ):
            for name, text in kept.get("texts", {}).items():
                setattr(file, name, text)
            file.write(((values.astype(carrier) - silence) << shift) if shift or silence else values)

    def _subtype(self, values: np.ndarray, like: Contents) -> str:
        """How values are coded: as they were if their type allows it, else the smallest that has room."""
        fits = [name for name in self.subtypes if _SUBTYPES[name][0] == values.dtype.name]
        typed(values, *dict.fromkeys(_SUBTYPES[name][0] for name in self.subtypes))
        kept = like.kept.get("sound", {}).get("subtype")
        if kept in fits:
            return kept
        exact = [name for name in fits if name not in _LOSSY and _SUBTYPES[name][4] == like.limits]
        return (exact or [name for name in fits if name not in _LOSSY][::-1])[0]


@dataclass(frozen=True)
class Wav(Sound, kind="wav"):
    """WAV: whole numbers of 8 to 32 bits, floating point, and the codings of telephones (u-law, A-law)."""

    endings: ClassVar[tuple[str, ...]] = (".wav", ".wave")
    containers: ClassVar[tuple[str, ...]] = ("WAV", "WAVEX", "RF64")
    subtypes: ClassVar[tuple[str, ...]] = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")

    def check(self, file: BinaryIO) -> None:
        """Compare the length that the header says with the file's own."""
        size, large, at = file.seek(0, os.SEEK_END), 0, 12
        file.seek(0)
        order: Literal["big", "little"] = "big" if file.read(4) == b"RIFX" else "little"
        while at + 8 <= size:
            file.seek(at)
            head = file.read(24)
            length = int.from_bytes(head[4:8], order)
            if head[:4] == b"ds64":
                large = int.from_bytes(head[16:24], "little")
            if head[:4] == b"data":
                holds_bytes(size - at - 8, large if length == 2**32 - 1 and large else length)
                return
            at += 8 + length + length % 2


@dataclass(frozen=True)
class Flac(Sound, kind="flac"):
    """FLAC: whole numbers of 8, 16 or 24 bits."""

    endings: ClassVar[tuple[str, ...]] = (".flac",)
    floats: ClassVar[bool] = False
    containers: ClassVar[tuple[str, ...]] = ("FLAC",)
    subtypes: ClassVar[tuple[str, ...]] = ("PCM_S8", "PCM_16", "PCM_24")

    def check(self, file: BinaryIO) -> None:
        """Compare the number of samples with what the file could hold: a block of 65,535 takes 10 bytes at least."""
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(26)
        promised = int.from_bytes(head[18:26], "big") & (2**36 - 1)
        if head[:4] == b"fLaC" and (promised == 0 or promised > size // 10 * 65535):
            raise InputError(f"its header promises {promised} samples, which {size} bytes do not hold")


def samples(file: soundfile.SoundFile, contents: Contents, region: Region) -> np.ndarray:
    """Values of a part of a sound that is open.

    Raises:
        InputError: If it ends before.
    """
    frames, rest = first_of(region)
    _, carrier, shift, silence, _ = _SUBTYPES[contents.kept["sound"]["subtype"]]
    file.seek(frames.start)
    values = file.read(frames.stop - frames.start, carrier, always_2d=len(contents.shape) > 1)
    if len(values) < frames.stop - frames.start:
        raise InputError(f"its header promises {contents.shape[0]} samples, {frames.start + len(values)} are there")
    values = values[rest]
    return ((values >> shift) + silence if shift or silence else values).astype(contents.dtype)


def _kept(source: bytes | BinaryIO, info: Any) -> dict[str, Any]:
    need("soundfile")
    import soundfile

    if not isinstance(source, bytes):
        source.seek(0)
    with soundfile.SoundFile(source) as file:
        texts = file.copy_metadata()
    return {
        "rate": info.samplerate,
        "subtype": info.subtype,
        "endian": info.endian,
        "container": info.format,
        "texts": {name: text for name, text in texts.items() if name != "software"},
    }


def _rate(like: Contents) -> int:
    """Samples a second, a whole number."""
    step = like.steps.get("T")
    if step is None:
        raise InputError("nothing says how many samples a second has; give a step of T in s")
    seconds = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}.get(step.unit)
    rate = 0.0 if seconds is None else 1 / (step.size * seconds)
    if not 0.5 <= rate < 2**31 or abs(rate - round(rate)) > 1e-6 * rate:
        raise InputError(
            f"a step of {step.size:g} {step.unit!r} is no whole number of samples a second, which it takes"
        )
    return round(rate)
