"""A tooth's own sinograms, of which no clean ones exist: steps that are left, and what was taken out.

A detector's stripe is a column that is off by the same at all angles; so its step is the median over angles of what the
column has over its neighbours. What a tool takes out that is not the same at all angles is the tooth. Tools are at the
defaults that their documentation names, since nothing says which setting is best.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from benchmarks.clean.cases import Case
from benchmarks.clean.tools import TOOLS

Array = np.ndarray

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "sagd": {},
    "pystripe": {"sigma": (128.0, 128.0), "wavelet": "db3", "level": 0, "pedestal": 1.0},
    "algotom wavelet": {"level": 5, "size": 1},
    "algotom sorting": {"size": 21},
    "algotom all": {"snr": 3.0, "la_size": 51, "sm_size": 21},
}


def measure(data: Path, path: Path) -> None:
    """Write a line for every sinogram and tool that is there, anew; nothing where the data is not."""
    source = data / "tomography" / "tooth.h5"
    if not source.exists():
        return
    path.unlink(missing_ok=True)
    for row, x in enumerate(sinograms(source)):
        case = Case(f"tooth {row}", "tooth", "its own stripes", "as it is", lambda x=x: (x, x), angle=0.0)  # type: ignore[misc]
        before = steps(x)
        for name, setting in SETTINGS.items():
            if TOOLS[name].missing():
                continue
            start = time.perf_counter()
            # As whole numbers of 8 bits are, which is what wrappers of other tools take.
            low, high = x.min(), x.max()
            cleaned = TOOLS[name].run((x - low) / (high - low) * 255, case=case, **setting) / 255 * (high - low) + low
            seconds = time.perf_counter() - start
            removed = x - cleaned
            column = removed.mean(0)
            line = {
                "data": case.data,
                "tool": name,
                "steps_db": 20 * float(np.log10(steps(cleaned).std() / before.std())),
                "same": float(column.var() / max(removed.var(), 1e-30)),
                "tooth_db": 20 * float(np.log10(max((removed - column).std(), 1e-30) / fine(x).std())),
                "seconds": seconds,
            }
            records.append(path, line)


def sinograms(path: Path) -> list[Array]:
    """`(angles, places)`, attenuation, one for each row of the detector."""
    import h5py

    with h5py.File(path) as file:
        data, white, dark = (file[f"exchange/{name}"][:].astype(float) for name in ("data", "data_white", "data_dark"))
    white, dark = white.mean(0), dark.mean(0)
    flat = np.clip((data - dark) / (white - dark), 1e-3, None)
    return [-np.log(flat[:, row]) for row in range(flat.shape[1])]


def steps(x: Array) -> Array:
    """What every column has over its neighbours at most angles, `(places,)`."""
    return np.median(fine(x), 0)


def fine(x: Array) -> Array:
    """What is narrower than 15 columns."""
    from scipy.ndimage import median_filter

    return x - median_filter(x, (1, 15))
