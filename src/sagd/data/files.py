"""Files that somebody names, as one batch, and fields written as files: in the type and format that came in."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from sagd.counting import counted
from sagd.data.config import DataConfig, Order, Reading
from sagd.data.corruption import Corruption, corrupt
from sagd.data.fields import Part, check_means, in_units_of
from sagd.data.formats import Contents, Format
from sagd.data.formats.find import ending_of, format_of, is_one, walk
from sagd.data.formats.frames import films
from sagd.data.formats.values import Loss, of_full_scale, to_full_scale, to_type
from sagd.data.kinds import Kind
from sagd.data.kinds.video import Video
from sagd.data.layout import Layout, suggested
from sagd.data.masks import half_of, own_mask
from sagd.data.meaning import Meaning, measured
from sagd.data.resize import with_channels
from sagd.data.signals import Signals
from sagd.data.sources.base import refuse_special
from sagd.data.sources.beside import BESIDE, beneath, write_beside
from sagd.data.sources.choose import OtherKindError, of_one_kind, part_of, told_kind
from sagd.data.sources.metadata import METADATA, read_masks
from sagd.data.sources.observed import items_among, masks_of
from sagd.data.whole import ending_beside, exact
from sagd.errors import InputError, argument, failures, one_line
from sagd.paths import name_fault
from sagd.random import generator_for, rand

logger = logging.getLogger(__name__)

_FEW = 3
"""Files that are named where any number may be meant."""

T = TypeVar("T")

_BATCH = 256
_MUTE = ("npy", "npz")
"""Formats that do not say which axis is which."""
_STEPLESS = ("hdf5", "zarr")
"""Formats that do not say how far apart samples are."""
_LONGEST = 120
"""Bytes of a folder's name: file systems take 255."""
RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])( *\..*)?", re.IGNORECASE | re.DOTALL)
"""Names that are devices on Windows, whatever their ending."""


@dataclass(frozen=True)
class Named:
    """Fields of files that somebody named, and where they are from.

    Attributes:
        names: Paths of the files as text, relative to the folder that was named, or file names; one for each field,
            with its number where a file holds several.
        x: float32 `(N, C, *spatial)` as the model sees it, 0 where values are missing.
        meaning: What values mean.
        known: Where they are not, bool likewise; None if nowhere.
        parts: The file of each field.
        items: Number of each in its file.
        files: Name of each file as it is to be written.
        unread: Name of each file that could not be read, and why.
    """

    names: tuple[str, ...]
    x: Tensor
    meaning: Meaning
    known: Tensor | None = None
    parts: tuple[Part, ...] = ()
    items: tuple[int, ...] = ()
    files: tuple[str, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()

    def some(self, rows: Sequence[int]) -> Named:
        """Those of these numbers."""
        chosen = list(rows)

        def of(values: tuple[T, ...]) -> tuple[T, ...]:
            return tuple(values[i] for i in chosen)

        known = None if self.known is None else self.known[chosen]
        return Named(
            of(self.names), self.x[chosen], self.meaning, known, of(self.parts), of(self.items), of(self.files)
        )


@dataclass(frozen=True)
class Written:
    """Files that were written.

    Attributes:
        paths: The files.
        lost: What their type has left of the values.
        dtype: The type.
        held: Fields as the files hold them and the model sees them, `(N, C, *spatial)`, 0 where values are missing;
            None of fields that were files of their own.
    """

    paths: tuple[Path, ...]
    lost: Loss
    dtype: str
    held: Tensor | None = None

    @property
    def clipped(self) -> int:
        """Values beyond what the type of the files can hold."""
        return self.lost.clipped

    @property
    def values(self) -> int:
        """All values."""
        return self.lost.values

    def line(self) -> str | None:
        """A sentence about values that were clipped; None if none were."""
        if not self.clipped:
            return None
        share = f"{100 * self.clipped / self.values:.2g} %"
        return (
            f"{self.clipped} of {self.values} values ({share}) lay beyond what {self.dtype} files hold, and were"
            f" clipped; {argument('keep=True')} keeps all"
        )


def read_named(
    paths: Sequence[Path],
    shape: tuple[int, ...],
    meaning: Meaning,
    observed: str | None = None,
    unread: dict[str, str] | None = None,
) -> Named:
    """Read files, and all of one kind that lie below folders, in natural order, as they are: none is scaled.

    Args:
        paths: Files or folders.
        shape: `(C, *spatial)` that all must have; colour is turned into grey or grey into colour where `C` asks for it,
            which is said.
        meaning: Of the model: what kind of signal it is, and how it sees values.
        observed: Name of masks beside or in the files, which are no data; see `masks_named`.
        unread: Where files that cannot be read are noted, with the reason; None: they are refused.

    Raises:
        InputError: Naming the file that is missing, of another kind, size, encoding or rate, or named as another one;
            or if none can be read.
    """
    names, fields, parts, items, files = [], [], [], [], []
    for name, part in named_parts(paths, meaning, observed, unread):
        with _noted(unread, name):
            fields += [_field(part, item, shape, meaning) for item in range(part.count)]
            names += [name if part.count == 1 else f"{name}[{item}]" for item in range(part.count)]
            files += [name] * part.count
            parts += [part] * part.count
            items += [*range(part.count)]
    _require_some(fields, unread)
    _tell_channels(dict(zip(files, parts, strict=True)), shape[0])
    x = torch.stack(fields)
    known = None if not x.isnan().any() else ~x.isnan()
    x = x if known is None else torch.where(known, x, 0.0)
    return Named(
        tuple(names), x, meaning, known, tuple(parts), tuple(items), tuple(files), tuple((unread or {}).items())
    )


class _UnreadableError(InputError):
    """What is wrong with a file by itself, whatever is asked of it."""


@contextlib.contextmanager
def _noted(unread: dict[str, str] | None, name: str) -> Iterator[None]:
    """Context in which it is noted that a file cannot be read, if there is where."""
    try:
        yield
    except _UnreadableError as error:
        if unread is None:
            raise
        unread[name] = one_line(error)


def _require_some(read: Sequence[object], unread: Mapping[str, str] | None) -> None:
    if unread and not read:
        raise InputError(failures(unread.items(), len(unread), "read"))


def named_parts(
    paths: Sequence[Path], meaning: Meaning, observed: str | None = None, unread: dict[str, str] | None = None
) -> list[tuple[str, Part]]:
    """Names and arrays of files, and all of one kind that lie below folders, in natural order, of any size; arguments
    and errors as of `read_named`."""
    told: dict[Path, DataConfig] = {}
    found = find_files(paths, DataConfig(kind=meaning.kind, observed=observed)).values()
    beside = ((name, path, replace(_beside(name, path, meaning, told), observed=observed)) for name, path in found)
    parts = []
    for name, path, reading in beside:
        with _noted(unread, name):
            parts.append((name, _part(path, meaning, reading)))
    _require_some(parts, unread)
    return parts


def masks_named(paths: Sequence[Path], named: Named, observed: str, order: Order = "fft") -> Tensor:
    """Which frequencies of each field were observed, bool `(N, *coefficients)`, as `data.observed` reads it.

    Args:
        paths: The files and folders that the fields were read from.
        named: These.
        observed: Name of the masks.
        order: "fft" or "centred".

    Raises:
        InputError: Naming a file that has no mask, or one that does not fit.
    """
    # What cannot be read stops here all the same, when it is read: an item without its mask is not to be restored.
    config = DataConfig(observed=observed, observed_order=order, skip_bad=True)
    spatial = tuple(named.x.shape[2:])
    told = {file: mask for path in paths if path.is_dir() for file, mask in read_masks(path, config).items()}
    files = list(dict.fromkeys(part.path for part in named.parts))
    masks = dict(zip(files, masks_of(files, config, told), strict=True))
    held = {file: mask.read() for file, mask in masks.items()}
    rows = []
    for part, item in zip(named.parts, named.items, strict=True):
        try:
            own = own_mask(held[part.path], item, part.count, part.layout, len(spatial))
            rows.append(half_of(own, spatial, order))
        except InputError as error:
            raise InputError(f"{masks[part.path].described}: {error}") from None
    return torch.stack(rows)


def partner_parts(files: Sequence[str], folder: Path, meaning: Meaning) -> list[Part]:
    """The arrays of the files of a folder that are named as others are, but for the ending; no other file is read.

    One file is that of one other, whatever their names.

    Raises:
        InputError: As `named_parts`, or naming the one that is missing.
    """
    kind, told, parts = Kind.member(meaning.kind), dict[Path, DataConfig](), []
    found = find_files([folder], DataConfig(kind=kind.kind))
    paired = len(files) == 1 and folder.is_file()
    for file in files:
        name = next(iter(found)) if paired else _without_ending(file)
        if name not in found:
            what = kind.item[0]
            raise InputError(f"no clean {what} {name!r} in {str(folder)!r}; names must be those of the damaged {what}s")
        parts.append(_part(found[name][1], meaning, _beside(*found[name], meaning, told)))
    return parts


def read_partners(named: Named, folder: Path) -> Tensor:
    """The fields of a folder whose files are named as others are, but for the ending, `(N, C, *spatial)`; no other
    file is read.

    Raises:
        InputError: As `read_named`, or naming the one that is missing.
    """
    kind, fields = Kind.member(named.meaning.kind), []
    every = dict.fromkeys(named.files)
    parts = dict(zip(every, partner_parts(list(every), folder, named.meaning), strict=True))
    for file, item in zip(named.files, named.items, strict=True):
        part = parts[file]
        if item >= part.count:
            raise InputError(f"{str(part.path)!r} holds {kind.counted(part.count)}, and none is number {item}")
        fields.append(_field(part, item, tuple(named.x.shape[1:]), named.meaning))
    return torch.stack(fields)


def find_files(paths: Sequence[Path], config: DataConfig) -> dict[str, tuple[str, Path]]:
    """Files and all of a kind below folders, in natural order: name without ending -> name and file.

    Raises:
        InputError: If there is none, a path is missing, or two have the same name but for the ending.
    """
    named: dict[str, tuple[str, Path]] = {}
    for name, file in list_files(paths, config):
        _, other = named.setdefault(_without_ending(name), (name, file))
        if other != file:
            raise InputError(
                f"two files are named {_without_ending(name)!r}: {str(other)!r} and {str(file)!r}; rename one"
            )
    return named


def list_files(paths: Sequence[Path], config: DataConfig) -> list[tuple[str, Path]]:
    """Names and files, and all of a kind below folders, in natural order; none twice.

    Raises:
        InputError: If there is none, or a path is missing.
    """
    if not paths:
        raise InputError("no files were named; give files or folders of them")
    found = list(dict.fromkeys(found for path in paths for found in _files(path, config)))
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: these are masks ({config.observed}), and no data")
    return found


def save_like(x: Tensor, named: Named, folder: Path, suffix: str = "", keep: bool = False) -> Written:
    """Write fields as the files that they were read from: in their format, type, axes and metadata.

    Files of formats that lose something are written in one that does not. Values that were missing still are.

    Args:
        x: `(N, C, *spatial)`, as the model sees them.
        named: Where they are from.
        folder: Where to write; made if missing.
        suffix: What is added to the names of files.
        keep: Write floating point, so that nothing is rounded or clipped.

    Raises:
        InputError: On values that are no numbers, a name that leads out of the folder, or one that cannot be written.
    """
    kind, written, held = Kind.member(named.meaning.kind), [], torch.zeros_like(x)
    numbers = range(len(named.names))
    for _, group in groupby(numbers, key=lambda i: (named.files[i], named.parts[i].path)):
        own = list(group)
        part, name = named.parts[own[0]], named.files[own[0]]
        original = format_of(part.path)
        restored = named.meaning.to_values(x[own])
        if named.known is not None:
            restored = restored.where(named.known[own], torch.nan)
        values, left = restored.numpy(), np.zeros(restored.shape)
        each = values.shape[1] // len(part.arrays) if values.shape[1] == part.shape[0] else values.shape[1]
        for k, array in enumerate(part.arrays if each < values.shape[1] or len(part.arrays) == 1 else part.arrays[:1]):
            taken = values[:, k * each : (k + 1) * each] if part.columns is None else _among_others(values, part)
            ending = ending_beside(Path(name), original, kind, keep)
            stem = f"{_without_ending(name)}{suffix}" + (f"-{array.name}" if len(part.arrays) > 1 else "")
            path = _inside(folder, stem + ending)
            found = original if ending == ending_of(name) else format_of(path)
            typed = _Typed.of(taken, exact(array) if keep else array, named.meaning, found)
            own_channels = slice(k * each, (k + 1) * each)
            left[:, own_channels] = typed.held if part.columns is None else typed.held[:, list(part.columns)]
            arranged, like = _whole(typed.values, part.layout, array)
            written.append(_write(path, replace(typed, values=arranged), exact(like) if keep else like, found))
            axes = part.layout.axes if len(part.layout.axes) == len(like.axes) else like.axes
        held[own] = named.meaning.to_model(torch.from_numpy(left)).nan_to_num().to(held)
    _tell(folder, named.meaning, found, axes)
    return _all(written, held)


def save_fields(
    x: Tensor, names: Sequence[str], folder: Path, meaning: Meaning, keep: bool = False, known: Tensor | None = None
) -> Written:
    """Write fields `(N, C, *spatial)` as files of their own, as what their model was trained on is written.

    Args:
        x: As the model sees them.
        names: Names of the files without ending, sub-folders included.
        folder: Where to write; made if missing.
        meaning: What values mean, and in which type and format files hold them.
        keep: Write floating point, so that nothing is rounded or clipped.
        known: Where values are not missing, bool likewise; elsewhere NaN is written, or what models see as 0, and said,
            where the type holds none. Default: everywhere.

    Raises:
        InputError: On values that are no numbers, a name that leads out of the folder, or one that cannot be written.
    """
    kind = Kind.member(meaning.kind)
    restored = meaning.to_values(x)
    if known is not None and not known.all():
        whole = not keep and np.dtype(meaning.dtype).kind != "f"
        if whole:
            logger.info(
                "%d values, missing or beyond the end, are written as what models see as 0: %s files hold no NaN",
                int((~known).sum()),
                meaning.dtype,
            )
        restored = restored.where(known, meaning.to_values(torch.zeros_like(x)) if whole else torch.nan)
    values = np.moveaxis(restored.numpy(), 1, -1)
    values = values[..., 0] if x.shape[1] == 1 else values
    written = []
    for name, field in zip(names, values, strict=True):
        like = meaning.contents(folder / f"{name}{meaning.ending}", x.shape[1:])
        if keep:
            like = exact(like)
        path = _inside(folder, name + ending_beside(like.path, format_of(like.path), kind, keep))
        if format_of(path).kind in _MUTE:
            field, like = _lettered(field, like, meaning)
        found = format_of(path)
        written.append(_write(path, _Typed.of(field, like, meaning, found), like, found))
    _tell(folder, meaning, format_of(written[0].paths[0]), like.axes)
    return _all(written)


def _lettered(field: np.ndarray, like: Contents, meaning: Meaning) -> tuple[np.ndarray, Contents]:
    """A field of channels last with the axes that arrays of the data have, of one item."""
    item = np.moveaxis(field, -1, 0) if "C" in like.axes else field[None]
    # A last axis of channels would be taken for space: so many axes are items, channels and space.
    axes = meaning.reading.axes or ("NC" if len(item) > 1 else "") + meaning.axes
    if len(item) > 1 and "C" not in axes:
        axes = axes[0] + "C" + axes[1:] if axes[0] == "N" else "C" + axes
    layout = Layout(axes, meaning.axes)
    sides = dict(zip(meaning.axes, item.shape[1:], strict=True)) | {"C": len(item)}
    shape = tuple(sides.get(letter, 1) if letter in layout.inner else 1 for letter in axes)
    return layout.restored(item, shape), replace(like, axes=axes, shape=shape)


def _tell(folder: Path, meaning: Meaning, written: Format, axes: str | None) -> None:
    """Say beside files how they are read, if they do not say it themselves."""
    kind, found = Kind.member(meaning.kind), written.kind
    if found in kind.formats and found not in (*_MUTE, *_STEPLESS):
        return
    reading = Reading()
    if found in _STEPLESS:
        axes = None
    if found in (*_MUTE, *_STEPLESS):
        steps = [meaning.steps.get(letter) for letter in meaning.axes]
        told = [None if step is None else measured(step) for step in steps]
        spacing = tuple(f"{size!r} {unit}" for size, unit in filter(None, told))
        reading = Reading(axes, rate=meaning.rate) if len(spacing) < len(told) else Reading(axes, spacing=spacing)
    if found not in kind.formats or reading != Reading():
        write_beside(folder, kind.kind, reading)


def require_writable(shape: Sequence[int], meaning: Meaning, keep: bool = False) -> None:
    """Refuse, before anything is drawn, fields `(C, *spatial)` that `save_fields` could not write.

    Raises:
        InputError: Saying what would work.
    """
    trial = rand((1, *shape), generator_for(0, "trial")) * 2 - 1
    _require(lambda folder, exact: save_fields(trial, ["trial"], folder, meaning, exact), meaning, keep)


def require_like(named: Named, keep: bool = False) -> None:
    """The same of `save_like`: the first of the files of each format, type and number of axes.

    Raises:
        InputError: Likewise.
    """
    for name in named.files:
        if (fault := name_fault(name)) is not None:
            raise InputError(f"no file can be written as {one_line(repr(name))}: {fault}; name the original otherwise")
    kinds: dict[object, int] = {}
    for i, part in enumerate(named.parts):
        kinds.setdefault((part.format, part.arrays[0].dtype, part.layout, part.shape[0]), i)
    for i in kinds.values():
        trial = [k for k, part in enumerate(named.parts) if part is named.parts[i]]
        some = named.some(trial)
        _require(partial(_try_like, some), named.meaning, keep)


def _try_like(named: Named, folder: Path, keep: bool) -> Written:
    return save_like(named.x, named, folder, keep=keep)


def _require(write: Callable[[Path, bool], Written], meaning: Meaning, keep: bool) -> None:
    """Try to write in a folder that is removed again."""
    items, told = Kind.member(meaning.kind).item[1], []
    for floating in (True,) if keep else (False, True):
        with tempfile.TemporaryDirectory() as folder:
            try:
                ending = ending_of(write(Path(folder), floating).paths[0].name)
            except InputError as error:
                told.append(error)
                continue
        if not told:
            return
        cure = f"give {argument('keep=True')}, which writes {ending}"
        raise InputError(f"{items} could not be written: {told[0]}; {cure}")
    raise InputError(f"{items} could not be written: {told[0]}; train on a format that holds them, such as .npy")


def _whole(values: np.ndarray, layout: Layout, array: Contents) -> tuple[np.ndarray, Contents]:
    """The array of a file of which all items `(N, C, *spatial)` are given, and what it is like."""
    shape = list(array.shape)
    channels = values.shape[1]
    if layout.inner[0] == "C":
        shape[layout.axes.index("C")] = channels
        like = array
    elif channels > 1:  # grey that has become colour
        layout = Layout(layout.axes + "C", layout.spatial)
        shape.append(channels)
        like = replace(array, axes=array.axes + "C", shape=tuple(shape))
    else:
        like = array
    out = np.empty(shape, values.dtype)
    for item, field in enumerate(values):
        region = layout.region(shape, item)
        out[region] = layout.restored(field, out[region].shape)
    if channels == 1 and layout.inner[0] == "C":  # colour that has become grey
        axis = layout.axes.index("C")
        out, axes = out.squeeze(axis), layout.axes.replace("C", "")
        like = replace(array, axes=axes, shape=out.shape) if array.shape[axis] != 1 else like
        out = out if like is not array else np.expand_dims(out, axis)
    return out, like


def _among_others(values: np.ndarray, part: Part) -> np.ndarray:
    """All channels of the items of a file, of which some are given."""
    every = replace(part, columns=None)
    whole = np.stack([every.read(item) for item in range(part.count)]).astype(values.dtype)
    whole[:, list(part.columns or ())] = values
    return whole


@dataclass(frozen=True)
class _Typed:
    """Values in the type of a file.

    Attributes:
        values: As the file has them.
        held: The same in the units of the model, float64.
        lost: What the type has left of those that were computed.
    """

    values: np.ndarray
    held: np.ndarray
    lost: Loss

    @classmethod
    def of(cls, values: np.ndarray, like: Contents, meaning: Meaning, found: Format) -> _Typed:
        """That of values in the units of a model."""
        whole, back = np.dtype(like.dtype).kind in "iu", None
        if found.full_scale and not whole and meaning.limits is not None:
            values, back = of_full_scale(values, meaning.limits), partial(to_full_scale, limits=meaning.limits)
        elif found.full_scale and whole and meaning.limits is None and like.limits is not None:
            values, back = to_full_scale(values, like.limits), partial(of_full_scale, limits=like.limits)
        typed, clipped = to_type(values, like.dtype, like.limits)
        held = typed.astype(np.float64)
        return cls(typed, held if back is None else back(held), Loss.of(values, typed, clipped))


def _write(path: Path, typed: _Typed, like: Contents, found: Format) -> Written:
    """Write values that have their type."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        found.write(path, typed.values, replace(like, shape=typed.values.shape))
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r}: {error.strerror or error}") from None
    return Written((path,), typed.lost, like.dtype)


def _all(written: Sequence[Written], held: Tensor | None = None) -> Written:
    lost = sum((one.lost for one in written), Loss())
    return Written(tuple(path for one in written for path in one.paths), lost, written[0].dtype, held)


def _inside(folder: Path, name: str) -> Path:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"file name {name!r} leads out of {str(folder)!r}; name it relative to that, without '..'")
    return folder / name


def _beside(name: str, path: Path, meaning: Meaning, told: dict[Path, DataConfig]) -> DataConfig:
    """What the file beside the data says of how a file is read, which is asked once for each folder that was named."""
    folder = path.parents[len(Path(name).parts) - 1]
    if folder not in told:
        told[folder] = beneath(DataConfig(kind=meaning.kind), folder)
    return told[folder]


def _part(path: Path, meaning: Meaning, told: DataConfig) -> Part:
    """The arrays of a file that a model takes: those of the names it knows, if the file has all of them.

    Args:
        path: The file.
        meaning: Of the model, which has a say where `told` has none; of the distances of neighbours files have it.
        told: What somebody says of how it is read.
    """
    kind, reading = Kind.member(meaning.kind)(), meaning.reading
    try:
        arrays = {array.name for array in format_of(path).scan(path)}
        if not reading.arrays and meaning.channels and arrays >= set(meaning.channels):
            reading = replace(reading, arrays=meaning.channels)
        config = replace(reading, spacing=()).beneath(told)
        _require_kind(path, type(kind), meaning)
        part = part_of(path, kind, config)
        if config.axes is None and "?" in part.arrays[0].axes:
            axes = suggested(part.arrays[0].shape, meaning.axes, kind.coloured)
            part = part_of(path, kind, replace(config, axes=axes))
    except OtherKindError as error:
        held, own = error.held.item[1], kind.item[1]
        cure = f"give it such, or train one of {held}"
        raise _UnreadableError(
            f"cannot read {str(path)!r}: it holds {held}, and the model is of {own}; {cure}"
        ) from None
    except InputError as error:
        raise _UnreadableError(f"cannot read {str(path)!r}: {error}") from None
    check_means(part, meaning, config)
    return part


def _require_kind(path: Path, kind: type[Kind], meaning: Meaning) -> None:
    """Refuse a file whose format says that it holds a kind of signal of none of a model's axes.

    Fields have any axes, and what a model was trained on was read as its kind by whoever trained it.
    """
    held, same = told_kind(path), meaning.ending in format_of(path).endings
    if held is None or same or kind.kind == "field" or {*held.spatial} & {*meaning.axes}:
        return
    raise OtherKindError(held, kind)


def _field(part: Part, item: int, shape: tuple[int, ...], meaning: Meaning) -> Tensor:
    """One field `(C, *spatial)` as a model sees it."""
    if part.shape[1:] != tuple(shape[1:]):
        own, needed = (" x ".join(map(str, sides)) for sides in (part.shape[1:], shape[1:]))
        raise InputError(
            f"{str(part.path)!r} is {own}, the model is for {needed} ({', '.join(part.layout.spatial)}); crop or scale"
            " it, or train a model of that size"
        )
    try:
        read = part.read(item)
    except InputError as error:
        raise _UnreadableError(str(error)) from None
    values = in_units_of(meaning, read, part)
    try:
        values = with_channels(values, shape[0], Kind.member(meaning.kind).mixing)
    except InputError as error:
        raise InputError(f"{str(part.path)!r}: {error}") from None
    x = meaning.to_model(torch.from_numpy(values.astype(np.float64)))
    if x.isinf().any():
        raise InputError(f"{str(part.path)!r} holds infinite values; mend the file")
    return x


def _tell_channels(files: Mapping[str, Part], channels: int) -> None:
    """Say which files have other channels than a model and are turned into these: they come back so."""
    if other := [name for name, part in files.items() if part.shape[0] != channels]:
        logger.info(
            f"{len(other)} of {len(files)} file(s) have other channels than the model, are turned into {channels}, and"
            f" come back so: {', '.join(other[:_FEW])}{', ...' if len(other) > _FEW else ''}"
        )


def folder_name(label: str) -> str:
    r"""A class name as the name of one folder; different names give different folders.

    Letters of any language, digits, spaces and harmless signs stay. What a file system could take for something else is
    written as in URLs, devices of Windows among it, and the rest of a long name as its checksum. A file system that
    ignores case may yet take two names for one.

    >>> folder_name("fire engine"), folder_name("../../etc"), folder_name("a/b%"), folder_name("")
    ('fire engine', '%2E.%2F..%2Fetc', 'a%2Fb%25', '%')
    """

    def escaped(found: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))

    name = re.sub(r"^[. ]|[. ]$|[^\w .,()+=@-]", escaped, label) or "%"
    if RESERVED.fullmatch(name):
        name = re.sub("^.", escaped, name)
    if sys.getfilesystemencoding() != "utf-8":
        name = re.sub(r"[^ -~]", escaped, name)
    if len(name.encode()) <= _LONGEST:
        return name
    start = name.encode()[: _LONGEST - 20].decode(errors="ignore")
    # No escape begins with '%-'.
    return f"{start}%-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def save_damaged(
    data: Signals, corruption: Corruption, out: Path, contrast: float = 1.0, seed: int = 0, keep: bool = False
) -> Written:
    """Write every item of a data set as `out/clean/NAME` and, damaged, as `out/damaged/NAME`, in its own type.

    Files of which all items are there keep their names, and what else `save_like` keeps. Windows, scaled pictures and
    rows of tables are files of their own, named by their place in the source. Neither name nor damage depends on a
    limit.

    Args:
        data: Clean items; those of classes go to a folder per class, named by `folder_name` where there is none yet.
        corruption: The damage.
        out: An existing directory.
        contrast: Factor of the clean values, which leaves room for damage.
        seed: Seed of the damage.
        keep: Write floating point, so that nothing is rounded or clipped.

    Returns:
        The damaged files.
    """
    folders = {name: folder_name(name) for name in data.classes or ()}
    if escaped := [name for name, folder in folders.items() if folder != name]:
        logger.info(
            "%d class name(s) cannot be names of folders as they are; e.g. %.60r is written %.60r",
            len(escaped),
            escaped[0],
            folders[escaped[0]],
        )
    written, files = [], _whole_files(data, folders)
    every = torch.arange(len(data))
    batches = every.split(_BATCH) if files is None else [torch.tensor(numbers) for _, _, numbers in files]
    for i, numbers in enumerate(counted(batches, "writing", "parts")):
        x, labels, known = data.shown(data.values(numbers), numbers)
        places = data.places_of(numbers)
        if files is None:
            own = [""] * len(x) if labels is None else [f"{folders[(data.classes or ())[k]]}/" for k in labels.tolist()]
            names = [f"{folder}{place:06d}" for folder, place in zip(own, places.tolist(), strict=True)]
            save: Callable[..., Written] = partial(
                save_fields, names=names, meaning=data.meaning, keep=keep, known=known
            )
        else:
            name, part, _ = files[i]
            several = tuple(range(part.count))
            named = Named((name,) * len(x), x, data.meaning, known, (part,) * len(x), several, (name,) * len(x))
            save = partial(save_like, named=named, keep=keep)
        save(contrast * x, folder=out / "clean")
        written.append(save(corrupt(contrast * x, corruption, seed, places), folder=out / "damaged"))
    return _all(written)


def _whole_files(data: Signals, folders: Mapping[str, str]) -> list[tuple[str, Part, list[int]]] | None:
    """Name, header and fields of each file, if the data are whole files, which are then written as such."""
    if data.origin is None:
        return None
    origin, root = data.origin, data.origin.root
    places = data.places_of(torch.arange(len(data))).numpy()
    order = np.lexsort((origin.item[places], origin.part[places]))
    told = data.meaning.reading.beneath(DataConfig(kind=data.meaning.kind))
    found, stems = [], set()
    for number, group in groupby(order.tolist(), key=lambda i: int(origin.part[places[i]])):
        own, path = list(group), origin.paths[number]
        part = _part(path, data.meaning, told)
        name = str(path.relative_to(root)) if path != root else path.name
        if data.labels is not None and data.classes is not None:
            folder = folders[data.classes[int(data.labels[own[0]])]]
            name = name if Path(name).parts[0] == folder else f"{folder}/{name}"
        stem = _without_ending(name)
        if [int(origin.item[places[i]]) for i in own] != list(range(part.count)) or stem in stems:
            return None
        stems.add(stem)
        found.append((name, part, own))
    return found


def _without_ending(name: str) -> str:
    return name.removesuffix(ending_of(name))


def _files(path: Path, config: DataConfig) -> list[tuple[str, Path]]:
    """Names and files at a path."""
    if not path.exists():
        raise InputError(f"no file or folder {str(path)!r}")
    refuse_special(path, str(path))
    if not path.is_dir() or is_one(path):
        mask = config.observed is not None and not items_among([path], config)
        return [] if mask else [(path.name, path)]
    files = [file for file in walk(path) if file.name not in (*METADATA, BESIDE)]
    files = films(files) if config.kind == Video.kind else items_among(files, config, read_masks(path, config))
    if files == [path]:
        return [(path.name, path)]
    return [(str(file.relative_to(path)), file) for file in of_one_kind(files, config, repr(str(path)))[1]]
