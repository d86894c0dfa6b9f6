"""Large files through `sagd clean`: how long it takes, and the memory that it needs at most."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
RATE = 1000
"""Samples of the record per second."""


def measure(known: Sequence[str] = (), folder: Path | None = None) -> Iterator[dict[str, Any]]:
    """A line for each file: what it is, what was found, seconds of a processor, and the largest resident memory.

    Args:
        known: Files that have one.
        folder: For the files.
    """
    for what, (name, make, *options) in FILES.items():
        if what in known:
            continue
        with tempfile.TemporaryDirectory(dir=folder) as work:
            path = Path(work) / name
            make(path)
            size = path.stat().st_size
            yield {"file": what, "MB": round(size / 1e6)} | run(path, Path(work) / "cleaned", *options)


def run(path: Path, out: Path, *options: str) -> dict[str, Any]:
    """Clean one file in a process of its own.

    Raises:
        RuntimeError: If that fails.
    """
    process = subprocess.Popen([sys.executable, "-m", "sagd", "clean", str(path), "--out", str(out), *options])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"sagd clean ended with {process.returncode}")
    (told,) = json.loads((out / "cleaning.json").read_text(encoding="utf-8"))
    unit = 1024**2 if platform.system() == "Linux" else 1024**3
    return {
        "status": told["status"],
        "band": told["band"],
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "memory_gib": round(used.ru_maxrss / unit, 2),
    }


def noise(shape: tuple[int, ...], slope: float = 1.5, seed: int = 0) -> Array:
    """A periodic field whose amplitudes fall as a power of frequency, float32, of mean 0 and variance 1."""
    g = np.random.default_rng(seed)
    axes = [np.fft.fftfreq(n).astype(np.float32) for n in shape[:-1]] + [np.fft.rfftfreq(shape[-1]).astype(np.float32)]
    square = sum(f.reshape(-1, *(1,) * (len(shape) - k - 1)) ** 2 for k, f in enumerate(axes))
    waves = np.fft.rfftn(g.standard_normal(shape, np.float32))
    waves *= np.maximum(square, 4e-6) ** (-slope / 2)
    x = np.fft.irfftn(waves, shape)
    return ((x - x.mean()) / x.std()).astype(np.float32)


def volume(path: Path) -> None:
    """Sheets that are the same in all rows of all slices."""
    import tifffile

    sheets = np.random.default_rng(1).standard_normal(256, np.float32)
    tifffile.imwrite(path, noise((256, 256, 256)) + 0.3 * sheets, photometric="minisblack", metadata={"axes": "ZYX"})


def record(path: Path) -> None:
    """Coloured noise under hum of 50 Hz with harmonics, 16 bits."""
    import soundfile

    t = np.arange(10_000_000) / RATE
    hum = sum(np.sin(2 * math.pi * 50.02 * k * t + k) / k for k in range(1, 6))
    soundfile.write(path, (0.1 * noise((len(t),), 1.0) + 0.03 * hum).astype(np.float32), RATE, subtype="PCM_16")


def scan(path: Path) -> None:
    """One large picture under upright stripes, 16 bits."""
    import tifffile

    tile = noise((2500, 2500))
    x = np.block([[tile, tile[:, ::-1]], [tile[::-1], tile[::-1, ::-1]]])
    x = np.block([[x, x], [x, x]])
    x += 0.2 * np.random.default_rng(1).standard_normal(10_000, np.float32)
    x *= 3000
    x += 20_000
    tifffile.imwrite(path, np.clip(x, 0, 65535).astype(np.uint16))


def stack(path: Path) -> None:
    """300 pages of 1024 x 1024, each under stripes of its own, 16 bits."""
    import tifffile

    g, base = np.random.default_rng(1), noise((1024, 1024))
    with tifffile.TiffWriter(path) as file:
        for k in range(300):
            x = np.roll(base, (37 * k, 53 * k), (0, 1)) + 0.2 * g.standard_normal(1024, np.float32)
            file.write(np.clip(20_000 + 3000 * x, 0, 65535).astype(np.uint16), contiguous=True)


FILES: dict[str, tuple[Any, ...]] = {
    "record of 10,000,000 samples (WAV, 16 bits)": ("record.wav", record),
    "volume of 256 x 256 x 256 (TIFF, float32)": ("volume.tif", volume, "--kind", "volume"),
    "one image of 10,000 x 10,000 (TIFF, 16 bits)": ("scan.tif", scan),
    "300 pages of 1024 x 1024 (TIFF, 16 bits)": ("stack.tif", stack),
}
"""What a file is -> its name, what makes it, and options of the command."""
