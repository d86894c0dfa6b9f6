"""The data of the studies as files: a part to train on, and one that is held out; always the same files.

Each function writes `FOLDER/train` and `FOLDER/held-out`, with an ending where they are files, and says in a sentence
what was made of what.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SIDE = 16
"""Pixels of a film, and voxels of a cube, along an axis."""
FRAMES = 8

_HELD_OUT_TAKES = 10
_CROP = 32
_SPLIT, _GAP = 320, 16
_BEATS, _RECORD = 512, 360
_DIGIT = 11
_BOX = 48


def speech(data: Path, folder: Path, count: int | None = None) -> None:
    """Words: of each speaker and digit takes 10 to 49 to train on, and 0 to 9 held out.

    Args:
        data: Folder with `speech/DIGIT_SPEAKER_TAKE.wav`.
        folder: Where the parts go.
        count: Words of either part, at most.
    """
    parts: dict[str, list[Path]] = {"train": [], "held-out": []}
    for path in sorted((data / "speech").glob("*.wav")):
        take = int(path.stem.split("_")[2])
        parts["held-out" if take < _HELD_OUT_TAKES else "train"].append(path)
    for part, paths in parts.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        for path in paths[:: max(1, len(paths) // count) if count else 1]:
            shutil.copyfile(path, folder / part / path.name)


def weather(data: Path, folder: Path, count: int | None = None) -> None:
    """Wind in crops of 24 degrees: to train on from 180 W to 60 E, held out from 72 E to 168 E.

    The file has the means of two months on three levels, which are six fields of the whole globe, so that crops overlap
    (by three quarters to train on, by half where they are held out) and are of the same months.
    """
    import netCDF4

    with netCDF4.Dataset(data / "weather" / "eraint_uvz.nc") as file:
        file.set_auto_mask(False)  # nothing is missing, and its fill value is no number of its type
        wind = np.stack([np.asarray(file[name][:], np.float32) for name in "uv"])
    wind = wind.reshape(2, -1, *wind.shape[-2:])
    east = wind.shape[-1] - _GAP
    parts = {
        "train": crops_of(wind[..., :_SPLIT], 8, count),
        "held-out": crops_of(wind[..., _SPLIT + _GAP : east], 16, count),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for part, crops in parts.items():
        with netCDF4.Dataset(folder / f"{part}.nc", "w") as file:
            for name, length in zip(("crop", "y", "x"), crops.shape[1:], strict=True):
                file.createDimension(name, length)
            for name, values in zip("uv", crops, strict=True):
                file.createVariable(name, "f4", ("crop", "y", "x"))[:] = values
                file[name].units = "m/s"


def ecg(data: Path, folder: Path, count: int | None = None) -> None:
    """Two leads of one heart in pieces of 1.4 s: of its half hour 17 minutes to train on, the last 12.6 held out.

    Pieces to train on overlap by three quarters, those held out do not.
    """
    record = np.load(data / "ecg" / f"mitdb-100-{_RECORD}Hz.npy")
    end = int(17 / 30 * len(record))
    start = end + 20 * _BEATS
    _save(folder, "train", _pieces(record[:end], _BEATS // 4)[:count])
    _save(folder, "held-out", _pieces(record[start:], _BEATS)[:count])


def digits_film(data: Path, folder: Path, count: int | None = None) -> None:
    """A digit of MNIST, 11 pixels wide, that drifts over 16 x 16 for 8 frames and turns back at the border.

    It moves by up to one pixel a frame along each axis, in parts of pixels.
    """
    for part, split, films in (("train", "train", 4000), ("held-out", "test", 600)):
        digits = _digits(data / f"mnist-{split}.parquet", count or films)
        rng = np.random.default_rng(len(split))
        _save(folder, part, np.stack([_film(digit, rng) for digit in digits]))


def cubes(data: Path, folder: Path, count: int | None = None) -> None:
    """Two liquids that have come apart (Cahn and Hilliard, 1958), in cubes of 16 from periodic boxes of 48.

    Held-out cubes are of other boxes.
    """
    for part, boxes, seed in (("train", 60, 0), ("held-out", 20, 1)):
        rng = np.random.default_rng(seed)
        side = _BOX if count is None else 2 * SIDE
        _save(folder, part, np.concatenate([_cut(separated(rng, side)) for _ in range(boxes if count is None else 2)]))


def separated(rng: np.random.Generator, side: int, steps: int = 120, dt: float = 0.5) -> np.ndarray:
    """The concentration `(side, side, side)` of a mixture of equal parts after a while, between about -1 and 1.

    `dc/dt = Laplace (c^3 - c - Laplace c)` from weak white noise; the stiff part is taken at the new time (Eyre, 1998:
    `c^3 - 3 c` at the old one, `2 c` at the new).
    """
    axes = np.meshgrid(*[2 * np.pi * np.fft.fftfreq(side)] * 2, 2 * np.pi * np.fft.rfftfreq(side), indexing="ij")
    k2 = sum(axis**2 for axis in axes)
    c = 0.1 * rng.standard_normal((side,) * 3)
    c -= c.mean()
    for _ in range(steps):
        changed = np.fft.rfftn(c) - dt * k2 * np.fft.rfftn(c**3 - 3 * c)
        c = np.fft.irfftn(changed / (1 + dt * k2 * (2 + k2)), s=c.shape, axes=(0, 1, 2))
    return c


def _save(folder: Path, part: str, values: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{part}.npy", values if values.dtype == np.uint8 else values.astype(np.float32))


def crops_of(wind: np.ndarray, stride: int, count: int | None) -> np.ndarray:
    """Squares `(2, N, 32, 32)` of fields `(2, F, latitudes, longitudes)`."""
    views = np.lib.stride_tricks.sliding_window_view(wind, (_CROP, _CROP), axis=(2, 3))[:, :, ::stride, ::stride]
    return views.reshape(2, -1, _CROP, _CROP)[:, :count]


def _pieces(record: np.ndarray, stride: int) -> np.ndarray:
    """Pieces `(N, time, lead)` of a record `(time, lead)`."""
    return np.lib.stride_tricks.sliding_window_view(record, _BEATS, axis=0)[::stride].swapaxes(1, 2)


def _digits(path: Path, count: int) -> Iterator[np.ndarray]:
    """Digits `(11, 11)` from 0 to 255."""
    import pyarrow.parquet
    from PIL import Image

    for row in pyarrow.parquet.read_table(path, columns=["image"]).slice(0, count)["image"].to_pylist():
        image = Image.open(io.BytesIO(row["bytes"])).convert("L")
        yield np.asarray(image.resize((_DIGIT, _DIGIT), Image.Resampling.BOX), np.float64)


def _film(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Frames `(8, 16, 16)`, uint8, of a digit that drifts; between pixels it is interpolated linearly."""
    room = SIDE - _DIGIT
    start, speed = rng.uniform(0, room, 2), rng.uniform(-1, 1, 2)
    frames = np.zeros((FRAMES, SIDE, SIDE))
    for t in range(FRAMES):
        place = room - np.abs(room - (start + speed * t) % (2 * room))  # there and back
        (top, left), (down, right) = np.divmod(place, 1)
        for y, vertical in ((0, 1 - down), (1, down)):
            for x, horizontal in ((0, 1 - right), (1, right)):
                if vertical * horizontal > 0:
                    frames[t, int(top) + y :, int(left) + x :][:_DIGIT, :_DIGIT] += vertical * horizontal * digit
    return np.rint(frames).astype(np.uint8)


def _cut(box: np.ndarray) -> np.ndarray:
    """Cubes `(N, 16, 16, 16)` of a box, side by side."""
    n = box.shape[0] // SIDE
    return box.reshape(n, SIDE, n, SIDE, n, SIDE).transpose(0, 2, 4, 1, 3, 5).reshape(-1, SIDE, SIDE, SIDE)
