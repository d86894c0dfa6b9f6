"""Where the masks are that say which frequencies of each item were observed, see `sagd.data.masks`.

They are files of their own, told by a table or by their names; or arrays beside the data in files that hold several; or
a column of a table.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from sagd.data.config import DataConfig
from sagd.data.fields import AnyMask, BadMask, Mask
from sagd.data.formats.find import ending_of, format_of
from sagd.errors import InputError, argument, one_line

logger = logging.getLogger(__name__)

ENDING = ".npy"
"""Ending of files that are masks."""
USUAL = "mask"
"""What `data.observed` is in examples: files of that name are taken for masks even where nobody asks for them."""


class UnreadableError(InputError):
    """A mask is there, and cannot be read."""


def mask_in(path: Path) -> Mask:
    """The mask that is a file.

    Raises:
        InputError: Naming the file, if it cannot be read, or is of another format.
    """
    if path.suffix.lower() != ENDING:
        raise InputError(f"a mask is an array in a file {ENDING}, as numpy.save writes it; got {str(path)!r}")
    found = format_of(path)
    try:
        return Mask(found, found.scan(path)[0])
    except InputError as error:
        raise UnreadableError(f"cannot read {str(path)!r}: {error}") from None
    except OSError as error:
        raise UnreadableError(f"cannot read {str(path)!r}: {error.strerror}") from None


def masks_of(paths: Sequence[Path], config: DataConfig, told: Mapping[Path, Path] | None = None) -> tuple[AnyMask, ...]:
    """The masks of files, each told by a table, a file beside it, or an array in it; none if they are not asked for.

    Args:
        paths: Files of data.
        config: Settings.
        told: Their masks by a table.

    Raises:
        InputError: Naming a file that has none, or whose mask cannot be read and is not to be left out.
    """
    name = config.observed
    if name is None:
        return ()
    return tuple(sifted(partial(_mask_of, path, name, told or {}), config) for path in paths)


def sifted(look: Callable[[], Mask], config: DataConfig) -> AnyMask:
    """The mask that is found, or why it cannot be read where such items are left out.

    Raises:
        InputError: If they are not, or there is none.
    """
    try:
        return look()
    except UnreadableError as error:
        if config.skip_bad:
            return BadMask(error)
        raise InputError(f"{error}; leave such items out with {argument('data.skip_bad=True')}") from None


def items_among(paths: Sequence[Path], config: DataConfig, told: Mapping[Path, Path] | None = None) -> list[Path]:
    """Files that are no masks: neither told by a table, nor called so.

    Where nobody asks for masks, files that are called as they usually are, beside others of their stem, are left out
    with a line.

    Args:
        paths: Files.
        config: Settings.
        told: As for `masks_of`.
    """
    name, named = config.observed or USUAL, {*(told or {}).values()}
    called = [path for path in paths if path.name.lower().endswith(f".{name}{ENDING}".lower())]
    if config.observed is None:
        stems = {(path.parent, _stem(path)) for path in paths}
        called = [path for path in called if (path.parent, path.name[: -len(f".{name}{ENDING}")]) in stems]
        if called:
            logger.info(
                "left out %d file(s) that are called as masks of observed frequencies, e.g. %s: %s takes them",
                *(len(called), called[0].name, argument(f"data.observed={USUAL}")),
            )
    out = {*called, *named}
    return [path for path in paths if path not in out]


def _mask_of(path: Path, name: str, told: Mapping[Path, Path]) -> Mask:
    if path in told:
        return mask_in(told[path])
    beside = path.parent / f"{_stem(path)}.{name}{ENDING}"
    if beside.is_file():
        return mask_in(beside)
    found = format_of(path)
    try:
        arrays = found.scan(path)
    except (OSError, InputError) as error:
        raise UnreadableError(f"cannot read {str(path)!r}: {one_line(error)}") from None
    inside = next((array for array in arrays if array.name == name), None)
    if inside is None:
        raise InputError(
            f"{str(path)!r} has no mask: there is no file {beside.name!r} beside it, no array {name!r} in it, and no"
            f" column {name!r} of a metadata.csv names one; write it, or leave {argument('data.observed')} out"
        )
    return Mask(found, inside)


def _stem(path: Path) -> str:
    return path.name.removesuffix(ending_of(path.name))
