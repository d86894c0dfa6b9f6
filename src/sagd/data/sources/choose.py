"""Which kind of signal files hold, which of them are read, and which arrays of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from sagd.counting import counted
from sagd.data.config import DataConfig
from sagd.data.fields import AnyMask, FieldRecords, Part
from sagd.data.formats import Contents, Format
from sagd.data.formats.find import endings, format_of
from sagd.data.kinds import Kind
from sagd.data.layout import MissingAxisError
from sagd.errors import InputError, argument, one_line

logger = logging.getLogger(__name__)

_LISTED = 5
"""Endings, or names of arrays, that a line lists."""
_LONG = 16
"""A table is that many times longer than wide where nobody says so."""


def of_one_kind(paths: Sequence[Path], config: DataConfig, where: str) -> tuple[type[Kind], list[Path]]:
    """The kind of signal that files hold, and those of them that do; the rest is named in the log.

    Args:
        paths: Files.
        config: Names the kind, or 'auto': that of most of the files.
        where: Where they are, for messages.

    Raises:
        InputError: If none can be read.
    """
    formats = {path: found for path in paths if (found := _known(path)) is not None}
    if not formats:
        known = " ".join(endings())
        others = f"{len(paths)} other file(s), e.g. {paths[0].name!r}" if paths else "no files"
        raise InputError(f"no data in {where}: found {others}; known endings: {known}")
    if config.kind == "auto":
        kinds = {path: _kind_of(path, found) for path, found in formats.items()}
        told = [member.kind for member in kinds.values() if member] or [
            _usual(found).kind for found in formats.values()
        ]
        kind = Kind.member(Counter(told).most_common(1)[0][0])
        alike = {formats[path].kind for path, member in kinds.items() if member is kind} or set(kind.formats)
        # Those that cannot be read are refused, or left out with a word, as all others are that are read later.
        taken = [path for path, own in kinds.items() if own is kind or (own is None and formats[path].kind in alike)]
    else:
        kind = Kind.member(config.kind)
        own = [path for path, found in formats.items() if found.kind in kind.formats]
        most = Counter(found.kind for found in formats.values()).most_common(1)[0][0]
        taken = own or [path for path, found in formats.items() if found.kind == most]
    kept = set(taken)
    _say_left_out([path for path in paths if path not in kept], where)
    return kind, taken


def field_records(
    name: str,
    kind: type[Kind],
    paths: Sequence[Path],
    config: DataConfig,
    labels: Tensor | None = None,
    classes: tuple[str, ...] | None = None,
    masks: Sequence[AnyMask] = (),
) -> FieldRecords:
    """The arrays of files, by their headers.

    Args:
        name: Short name of the data set.
        kind: Kind of signal.
        paths: Files.
        config: Settings.
        labels: Class number of each file, int64, or None.
        classes: Names of the classes.
        masks: Which frequencies of the items of each file were observed; () if nobody asked.

    Raises:
        InputError: Naming the file that cannot be read, or holds nothing of the kind.
    """
    member = kind()
    parts, kept = looked(
        len(paths), lambda i: part_of(paths[i], member, config), lambda i: repr(str(paths[i])), config.skip_bad
    )
    own = None if labels is None else labels[torch.tensor(kept)]
    return FieldRecords(name, member, tuple(parts), own, classes, tuple(masks[i] for i in kept if masks))


def looked(
    count: int, look: Callable[[int], Part], describe: Callable[[int], str], skip_bad: bool, unit: str = "file"
) -> tuple[list[Part], list[int]]:
    """Parts by number, and the numbers of those that could be read.

    Args:
        count: How many there are.
        look: Reads the header of one.
        describe: How errors name it.
        skip_bad: Leave out those that cannot be read, with a line.
        unit: What one is called.

    Raises:
        InputError: Naming one that cannot be read, or if none can.
    """
    parts, kept, problems = [], [], []
    for number in counted(range(count), "checking", f"{unit}s"):
        try:
            parts.append(look(number))
            kept.append(number)
        except InputError as error:
            if not skip_bad:
                hint = f"; leave such {unit}s out with {argument('data.skip_bad=True')}" if count > 1 else ""
                raise InputError(f"cannot read {describe(number)}: {error}{hint}") from None
            problems.append((describe(number), error))
    if problems:
        logger.warning("left out %d of %d %ss; the first: %s: %s", len(problems), count, unit, *problems[0])
    if not parts:
        raise InputError(f"none of {count} {unit}s can be read; the first: {problems[0][1]}")
    return parts, kept


class OtherKindError(InputError):
    """A file holds another kind of signal than is needed.

    Args:
        held: The kind that it holds.
        needed: The one that it should.
    """

    def __init__(self, held: type[Kind], needed: type[Kind]) -> None:
        super().__init__(
            f"it holds {held.item[1]}, and {needed.item[1]} are needed; say which axis is which with"
            f" {argument('data.axes')}, or name another {argument('data.kind')}"
        )
        self.held = held


def part_of(path: Path, kind: Kind, config: DataConfig) -> Part:
    """The arrays of a file that are read.

    Raises:
        InputError: In one line, without the path.
    """
    found = format_of(path)
    try:
        arrays, columns = _columns([array for array in found.scan(path) if array.name != config.observed], config)
        arrays = _chosen(arrays, config if columns is None else replace(config, arrays=()), kind)
        layout = kind.layout(arrays[0], config.axes)
    except MissingAxisError:
        own = _kind_of(path, found)
        if own is None or own.kind in ("field", kind.kind):
            raise
        raise OtherKindError(own, type(kind)) from None
    except (OSError, ValueError, LookupError, TypeError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(one_line(error)) from None
    return Part(found, arrays, layout, columns)


def _columns(arrays: Sequence[Contents], config: DataConfig) -> tuple[Sequence[Contents], tuple[int, ...] | None]:
    """The array whose channels have the names that were chosen, with their numbers; else all, and None."""
    for array in arrays:
        if config.arrays and {*config.arrays} <= {*array.channels} and not {*config.arrays} & {a.name for a in arrays}:
            return [array], tuple(array.channels.index(name) for name in config.arrays)
    return arrays, None


def _chosen(arrays: Sequence[Contents], config: DataConfig, kind: Kind) -> tuple[Contents, ...]:
    """Those that were named, or all of the shape that the largest has."""
    if config.arrays:
        by_name = {array.name: array for array in arrays}
        for name in config.arrays:
            if name not in by_name:
                raise InputError(f"it has no array {name!r}; it has {_names(arrays)}")
        chosen = [by_name[name] for name in config.arrays]
        other = next(
            (array for array in chosen if (array.shape, array.axes) != (chosen[0].shape, chosen[0].axes)), None
        )
        if other is not None:
            raise InputError(
                f"arrays {chosen[0].name!r} {chosen[0].shape} and {other.name!r} {other.shape} cannot be channels of"
                f" one field; name those of one shape with {argument('data.arrays')}"
            )
        return tuple(chosen)
    fitting = [array for array in arrays if len(array.shape) >= len(kind.spatial) or kind.kind == "field"]
    if not fitting:
        raise MissingAxisError(
            f"it holds no array with axes {', '.join(kind.spatial)}; it has {_names(arrays) or 'none'}"
        )
    largest = max(fitting, key=lambda array: (_size(array.shape), len(array.shape)))
    return tuple(array for array in fitting if (array.shape, array.axes) == (largest.shape, largest.axes))


def _size(shape: Sequence[int]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _names(arrays: Sequence[Contents]) -> str:
    columns = [name for array in arrays for name in array.channels]
    beside = f", with {', '.join(columns)}" if columns else ""
    return ", ".join(f"{array.name or 'one of shape'} {array.shape}" for array in arrays) + beside


def _known(path: Path) -> Format | None:
    try:
        return format_of(path)
    except InputError:
        return None


def _kind_of(path: Path, found: Format) -> type[Kind] | None:
    """The kind of signal that a file holds unless somebody says otherwise; None if its header cannot be read."""
    if found.kind not in ("gif", "npy"):
        return _usual(found)
    try:
        array = found.scan(path)[0]
    except InputError:
        return None
    if found.kind == "gif" and "T" not in array.axes:
        return Kind.member("image")
    shape = array.shape
    if found.kind == "npy" and (len(shape) == 1 or (len(shape) == 2 and shape[0] >= _LONG * shape[1])):
        return Kind.member("series")
    return _usual(found)


def told_kind(path: Path) -> type[Kind] | None:
    """The kind of signal that the format of a file says that it holds; None of formats that hold arrays of any."""
    found = format_of(path)
    return None if found.kind in Kind.member("field").formats else _kind_of(path, found)


def _usual(found: Format) -> type[Kind]:
    """The kind of signal that files of a format hold, if nothing is known of them."""
    return next((kind for kind in Kind.members().values() if found.kind in kind.formats), Kind.member("field"))


def _say_left_out(paths: Sequence[Path], where: str) -> None:
    if paths:
        endings = Counter(path.suffix.lower() or "no ending" for path in paths).most_common(_LISTED)
        listed = ", ".join(f"{count} {ending}" for ending, count in endings)
        logger.info("left out %d file(s) in %s that are of another kind: %s", len(paths), where, listed)
