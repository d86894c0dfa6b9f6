"""Folders of photographs of 32 x 32, as somebody who tries the library for the first time would have one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet
from PIL import Image

COUNT = 2000
"""Photographs in a folder."""
PARTS = ("tuning", "report")
"""Disjoint parts of CIFAR-10's training images: defaults are chosen on the first, and reported on the second."""
SIDE = 32


def cifar(data: Path, folder: Path, part: str, count: int = COUNT) -> Path:
    """A part of `data/cifar10-train.parquet` as PNG files, always the same ones."""
    images = pyarrow.parquet.read_table(data / "cifar10-train.parquet", columns=["image"])["image"].to_pylist()
    order = np.random.default_rng(0).permutation(len(images))
    first = PARTS.index(part) * count
    folder.mkdir(parents=True, exist_ok=True)
    for k in order[first : first + count].tolist():
        Image.open(io.BytesIO(images[k]["bytes"])).save(folder / f"{k:05d}.png")
    return folder


def crops(folder: Path, count: int = COUNT, shrink: int = 2) -> Path:
    """Random crops of scikit-image's photographs, scaled down by `shrink`: another kind, textures for the most part."""
    from skimage import data

    pictures = [Image.fromarray(getattr(data, name)()) for name in ("astronaut", "chelsea", "coffee", "rocket")]
    g, side = np.random.default_rng(1), SIDE * shrink
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        picture = pictures[k % len(pictures)]
        left, top = (int(g.integers(0, length - side + 1)) for length in picture.size)
        crop = picture.crop((left, top, left + side, top + side))
        crop.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(folder / f"{k:05d}.png")
    return folder
