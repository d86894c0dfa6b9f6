"""What of files is looked at for damage: a sample of each, all of a set, and clean ones; and the least value."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sagd.data.config import DataConfig
from sagd.data.files import list_files
from sagd.data.whole import Whole
from sagd.errors import InputError, argument
from sagd.omission.detection.base import AUTO, LIKELIEST, Detection, rounded_down
from sagd.omission.preparation import Scale
from sagd.omission.search import search
from sagd.study.findings import lines_of, told

logger = logging.getLogger(__name__)

_LOOKED_AT = 2**24
"""Values in which damage is looked for, at most."""


def sample(file: Whole) -> Tensor:
    """As much as is looked at, `(N, C, *spatial)`: items, or blocks of large ones."""
    size = math.prod(s.stop - s.start for s in file.blocks[0]) * file.shape[0]
    every = list(itertools.product(range(file.part.count), file.blocks))
    count = min(len(every), max(1, _LOOKED_AT // size))
    chosen = [every[k * len(every) // count] for k in range(count)]
    return torch.stack([_held(file, file.read(item, block)) for item, block in chosen])


def _held(file: Whole, x: Tensor) -> Tensor:
    """Values of a file in no more digits than its types have."""
    return x.float() if file.narrow else x


def is_sample(file: Whole) -> bool:
    """Whether `sample` is less than all of a file."""
    return file.values > _LOOKED_AT


def logarithm(files: Iterable[Whole], log: bool | None) -> bool | None:
    """Whether damage may multiply values, given that nobody knows (None), that it does, or that it does not.

    All values are read, block by block: of those that are looked at none may be below 0 where others are.

    Returns:
        As given, but False in place of None where some values have no logarithm.

    Raises:
        InputError: If it does, and some have none.
    """
    if log is False:
        return False
    for file in files:
        if all(np.dtype(array.dtype).kind in "ub" for array in file.part.arrays):
            continue
        for item, block in itertools.product(range(file.part.count), file.blocks):
            if below := int((file.read(item, block) < 0).sum()):
                if log:
                    raise InputError(
                        f"{argument('log=True')} needs values of 0 and more, {below} of those in {file.part.described}"
                        " are below; add the dark offset"
                    )
                return False
    return log


def reference_of(path: Path, data: DataConfig) -> Tensor:
    """Clean arrays `(N, C, *spatial)` of a file or folder."""
    files = [path for _, path in list_files([path], DataConfig(kind=data.kind))]
    return of_one_size([Whole.of(path, data) for path in files])


def shared(
    sources: Sequence[Whole], log: bool | None, reference: Tensor | None, band: str = AUTO
) -> tuple[Detection, Scale]:
    """What is found in all files together, and the scale on which its damage adds."""
    found, scale = search(of_one_size(sources), reference, logarithm(sources, log))
    found = found.counting(band)
    logger.info("\n".join(lines_of(found, sources[0].grid, sources[0].kind.kind == "image")))
    if found.band is None:
        logger.info(_nothing(found, sources[0]))
    return found, scale


def alike(files: Sequence[tuple[str, Path]], data: DataConfig) -> dict[str, Whole]:
    """Files that may have one band, by name; those that cannot be read are left out.

    Raises:
        InputError: If they are of several kinds or rates, or none can be read.
    """
    sources: dict[str, Whole] = {}
    errors: list[InputError] = []
    for name, path in files:
        try:
            source = Whole.of(path, data)
        except InputError as error:
            errors.append(error)
            continue
        sources[name] = source
        first_name, first = next(iter(sources.items()))
        for what, own in _facts(source).items():
            if own != (other := _facts(first)[what]):
                raise InputError(
                    f"one band is for files of one {what}; {first_name!r} has {other}, {name!r} {own}; clean them apart"
                )
    if not sources:
        raise InputError(f"none of {len(files)} files can be read; the first: {errors[0]}")
    return sources


def _facts(source: Whole) -> dict[str, Any]:
    """What files of one band have in common."""
    own = source.part.arrays[0]
    return {
        "kind": source.kind.kind,
        "number of channels": source.shape[0],
        "type of values": own.dtype,
        "grid": source.grid,
    }


def _nothing(found: Detection, source: Whole) -> str:
    if found.unsure:
        return (
            f"no damage is certain in all files together; {told(found.unsure[0].band, source.grid)} is with probability"
            f" {rounded_down(found.unsure[0].probability)}: if it is damage, name it with {argument('band')}, or say"
            f" {argument('band')} {LIKELIEST}"
        )
    return f"no damaged band was found in all files together; name it with {argument('band')}, or look at each file"


def of_one_size(sources: Sequence[Whole]) -> Tensor:
    """Parts of all sources that can be looked at, of the size of the smallest, `(N, C, *spatial)`."""
    rank = len(sources[0].shape)
    sides = [min(source.blocks[0][axis].stop for source in sources) for axis in range(rank - 1)]
    most = max(1, _LOOKED_AT // (math.prod(sides) * sources[0].shape[0]))
    chosen = [sources[k * len(sources) // min(most, len(sources))] for k in range(min(most, len(sources)))]
    parts = []
    for source in chosen:
        window = tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(source.shape[1:], sides, strict=True))
        with suppress(InputError, OSError):  # told when it is the file's turn
            part = _held(source, source.read(0, window))
            if not part.isinf().any() and not part.isnan().flatten(1).all(1).any():
                parts.append(part)
    if not parts:
        raise InputError(f"none of {len(chosen)} files can be looked at: they cannot be read, or are not finite")
    if len({len(part) for part in parts}) > 1:
        raise InputError(f"files differ in their number of channels ({sorted({len(p) for p in parts})}); give one kind")
    return torch.stack(parts)
