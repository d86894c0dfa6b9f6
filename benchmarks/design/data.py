"""The data of the study as files `train.npy` and `held-out.npy`, float32; always the same ones, nothing is downloaded.

The two parts share no file, no run of a simulation and no neighbour in time. Each function says in a sentence what it
makes of what.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from examples.turbulence import fields, simulate
from numpy.typing import NDArray

from benchmarks.signals.data import crops_of

Array = NDArray[np.float32]
Maker = Callable[[Path, int | None], Mapping[str, Array]]
PHOTOGRAPHS = {
    "train": ("astronaut", "chelsea", "camera", "rocket", "grass", "gravel", "china"),
    "held-out": ("coffee", "flower", "moon", "brick"),
}
_RUNS, _TIMES = {"train": 320, "held-out": 128}, 8
_WINDOW, _TAKES = 1024, 10
_BEATS, _RATE = 512, 360
_SIDE, _POOLED = 32, 2
_SPLIT, _GAP = 320, 16
_IMAGES = {"train": 20_000, "held-out": 2_000}


@dataclass(frozen=True)
class Set:
    """A set of data.

    Attributes:
        make: Gives the arrays of both parts from the folder of raw data, and how many to make of each, at most.
        about: What it is.
        axes: A letter for each axis, as `data.axes` takes them.
        widths: U-Net channels per level.
    """

    make: Maker
    about: str
    axes: str = "NYX"
    widths: tuple[int, ...] = (16, 32, 48)

    @property
    def kind(self) -> str:
        """Kind of its signals, as `data.kind` takes it."""
        return "series" if self.axes == "NT" else "field"


def prepare(name: str, source: Path, folder: Path, count: int | None = None) -> None:
    """Write both parts of a set, unless they are there.

    Args:
        name: Name of the set.
        source: Folder of the raw data.
        folder: Where the parts go.
        count: Items of either part, at most.
    """
    if (folder / "held-out.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for part, values in SETS[name].make(source, count).items():
        np.save(folder / f"{part}.npy", values.astype(np.float32)[:count])


def turbulence(field: str) -> Maker:
    """A field of decaying turbulence, at 8 times of 320 runs to train on and of 128 others held out."""

    def make(source: Path, count: int | None) -> Mapping[str, Array]:
        parts = {}
        for seed, (part, runs) in enumerate(_RUNS.items()):
            if count is None:
                flow = simulate(runs, _TIMES, seed=seed)
            else:
                flow = simulate(-(-count // _TIMES), _TIMES, every=1, spin_up=4, seed=seed)
            parts[part] = fields(flow, _SIDE)[field].numpy()
        return parts

    return make


def weather(source: Path, count: int | None) -> Mapping[str, Array]:
    """Eastward wind of ERA-Interim in crops of 24 degrees: to train on from 180 W to 60 E, held out from 72 to 168 E.

    The file has the means of two months on three levels, so that crops overlap.
    """
    import netCDF4

    with netCDF4.Dataset(source / "weather" / "eraint_uvz.nc") as file:
        file.set_auto_mask(False)  # nothing is missing, and its fill value is no number of its type
        wind = np.asarray(file["u"][:], np.float32)
    wind = wind.reshape(1, -1, *wind.shape[-2:])
    east = wind.shape[-1] - _GAP
    parts = {"train": wind[..., :_SPLIT], "held-out": wind[..., _SPLIT + _GAP : east]}
    return {part: crops_of(values, 8, count)[0] for part, values in parts.items()}


def speech(source: Path, count: int | None) -> Mapping[str, Array]:
    """Windows of 1,024 samples of spoken digits: of each speaker takes 10 to 49 to train on, and 0 to 9 held out."""
    import soundfile

    parts: dict[str, list[Array]] = {"train": [], "held-out": []}
    for path in sorted((source / "speech").glob("*.wav")):
        sound, _ = soundfile.read(path, dtype="float32")
        whole = sound[: len(sound) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
        parts["held-out" if int(path.stem.split("_")[2]) < _TAKES else "train"].extend(whole)
    return {part: np.stack(windows) for part, windows in parts.items()}


def ecg(source: Path, count: int | None) -> Mapping[str, Array]:
    """A lead of one heart in pieces of 1.4 s: of its half hour 17 minutes to train on, the last 12.6 held out.

    Pieces overlap by three quarters.
    """
    record = np.load(source / "ecg" / f"mitdb-100-{_RATE}Hz.npy")[:, 0]
    end = int(17 / 30 * len(record))
    parts = {"train": record[:end], "held-out": record[end + 20 * _BEATS :]}
    return {
        part: np.lib.stride_tricks.sliding_window_view(values, _BEATS)[:: _BEATS // 4] for part, values in parts.items()
    }


def photographs(source: Path, count: int | None) -> Mapping[str, Array]:
    """Grey photographs of scikit-image and scikit-learn in squares of 32, each value the mean of four of 8 bits."""
    return {
        part: np.concatenate([_squares(_photograph(name)) for name in names]) for part, names in PHOTOGRAPHS.items()
    }


def mnist(source: Path, count: int | None) -> Mapping[str, Array]:
    """Digits of 28 x 28 pixels."""
    return {part: _images(source, "mnist", part, count) for part in _IMAGES}


def cifar10(source: Path, count: int | None) -> Mapping[str, Array]:
    """CIFAR-10 in colour, pooled to 16 x 16: each value is the mean of four of 8 bits."""
    return {part: _pooled(_images(source, "cifar10", part, count)).transpose(0, 3, 1, 2) for part in _IMAGES}


def _images(source: Path, name: str, part: str, count: int | None) -> Array:
    """Images of 8 bits, as floats."""
    import pyarrow.parquet
    from PIL import Image

    table = pyarrow.parquet.read_table(source / f"{name}-{'train' if part == 'train' else 'test'}.parquet")
    column = next(c for c in table.column_names if c in ("image", "img"))

    def read() -> Iterator[Array]:
        for row in table[column].slice(0, count or _IMAGES[part]).to_pylist():
            yield np.asarray(Image.open(io.BytesIO(row["bytes"])), np.float32)

    return np.stack([*read()])


def _photograph(name: str) -> Array:
    """A photograph in grey, 0 to 255."""
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        values = load_sample_image(f"{name}.jpg")
    else:
        import skimage.data

        values = getattr(skimage.data, name)()
    return np.asarray(values, np.float32).mean(-1) if values.ndim == 3 else np.asarray(values, np.float32)


def _squares(image: Array) -> Array:
    """Squares of 32 of a pooled image `(H, W)`, half over each other."""
    views = np.lib.stride_tricks.sliding_window_view(_pooled(image[None])[0], (_SIDE, _SIDE))
    return views[:: _SIDE // 2, :: _SIDE // 2].reshape(-1, _SIDE, _SIDE)


def _pooled(x: Array) -> Array:
    """Means of two by two pixels of images `(N, H, W, ...)`."""
    height, width = (length // _POOLED * _POOLED for length in x.shape[1:3])
    x = x[:, :height, :width]
    return sum(x[:, i::_POOLED, j::_POOLED] for i in range(_POOLED) for j in range(_POOLED)) / _POOLED**2


_LINE = (16, 32, 64, 64)
SETS: Mapping[str, Set] = {
    "velocity": Set(turbulence("velocity"), "turbulence, one component of the velocity"),
    "vorticity": Set(turbulence("vorticity"), "turbulence, vorticity"),
    "stream": Set(turbulence("stream"), "turbulence, stream function"),
    "weather": Set(weather, "wind of ERA-Interim"),
    "photographs": Set(photographs, "photographs in floats"),
    "speech": Set(speech, "windows of speech", "NT", _LINE),
    "ecg": Set(ecg, "pieces of an electrocardiogram", "NT", _LINE),
    "mnist": Set(mnist, "digits of 8 bits"),
    "cifar10": Set(cifar10, "CIFAR-10, pooled to 16 x 16", "NCYX"),
}
