"""Files without their damage: a band found or given, taken out of each whole array, written as it came.

    OUT/NAME          each file under its own name, in its type, format and metadata
    OUT/cleaning.json what was found and taken out of each

A file in which nothing is found, or nothing that is certain, is copied as it is. What does not fit memory is read,
measured and cleaned in overlapping blocks.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sagd.data.config import DataConfig
from sagd.data.files import list_files
from sagd.data.formats.find import ending_of, format_of
from sagd.data.kinds import Kind
from sagd.data.meaning import Meaning
from sagd.data.sources.choose import of_one_kind
from sagd.data.whole import Block, Whole, ending_beside
from sagd.errors import InputError, argument, called, calling, one_line
from sagd.noise.bands import mask
from sagd.noise.grid import Grid
from sagd.noise.spectra.base import Spectrum, Sum
from sagd.noise.spectra.damage import Spots
from sagd.noise.spectra.physical import Physical
from sagd.omission.clean import AUTO
from sagd.omission.detection.base import Detection
from sagd.omission.preparation import Scale, finished, lines_of, prepared
from sagd.omission.removal import Removal, measure
from sagd.omission.removal.extend import crop, extend
from sagd.omission.search import search
from sagd.plugins import load_plugin
from sagd.study.beside import Result, beside

logger = logging.getLogger(__name__)

_LOOKED_AT = 2**24
"""Values in which damage is looked for, at most."""
_SMALL = 2**14
"""Places of an item below which all items of a file are measured together."""
_SHOWN = {1: 2**12, 2: 640, 3: 64}
"""Samples along an axis of what a page shows, by number of axes."""
_RINGS = 256
"""Points of a spectrum that a page shows."""
_SIDE = 256
"""Cells along an axis of a map of all frequencies, at most."""
_EXAMPLES = 6
"""Files of which what a page shows is kept, at least; twice as many at most, whatever their number."""


@dataclass(frozen=True)
class CleaningConfig:
    """How files are cleaned.

    Attributes:
        band: Where the damage is, 'auto' to look for it.
        reference: File or folder of clean data of the same kind.
        shared: Whether one band, found in all files together, is taken out of all.
        log: Whether damage multiplies the values; None: found with the band, and not so if that is given.
        mask: File of the size of all files, not 0 where the damage is.
        kind: Kind of signal, or 'auto'.
        axes: Letters for the axes of arrays, where files do not say.
        rate: Samples per second, where files do not say.
        keep: Write floating point, so that nothing is rounded or clipped.
        beside: Whether what the usual tools make of a file is shown, too.
    """

    band: str = AUTO
    reference: Path | None = None
    shared: bool = False
    log: bool | None = None
    mask: Path | None = None
    kind: str = "auto"
    axes: str | None = None
    rate: float | None = None
    keep: bool = False
    beside: bool = False

    @property
    def data(self) -> DataConfig:
        """How files are read."""
        return DataConfig(kind=self.kind, axes=self.axes, rate=self.rate)


@dataclass(frozen=True)
class Shown:
    """What a page shows of a file.

    Attributes:
        meaning: What values mean.
        whole: Whether all of the first item is shown.
        before: `(C, *spatial)`, a part of the first item, float32, without gaps.
        removed: What was taken out of it, likewise.
        held: What it has in the band, content and damage, likewise.
        frequency: Of the points of spectra, in cycles per sample, `(K,)`.
        spectra: "before", "after" and "smooth": power, `(K,)`.
        taken: Of two axes, how much of each frequency was taken out, 0 to 1, as a map with 0 in its middle, each cell
            the largest of its frequencies; empty otherwise.
        power: Likewise, the logarithm to base 10 of the power.
        beside: What the usual tools make of it, the same part of each.
    """

    meaning: Meaning
    whole: bool
    before: np.ndarray
    removed: np.ndarray
    held: np.ndarray
    frequency: np.ndarray
    spectra: dict[str, np.ndarray]
    taken: np.ndarray
    power: np.ndarray
    beside: tuple[Result, ...] = ()


@dataclass(frozen=True)
class FileCleaned:
    """What became of one file.

    Attributes:
        name: Its name, relative to what was given.
        status: "cleaned", "clean" (nothing was found), "unsure" (something was, with less than 0.99), or "failed".
        path: Where it was written; None if it was not.
        band: What was taken out, or would be; "" if nothing.
        grid: Distance of neighbours by axis, as a text; "" if unknown.
        found: Lines of the detection.
        unsure: Bands that may be damage, the likeliest first.
        multiplies: Whether damage multiplies the values.
        excess: Power of what was removed over that of what is left, in dB; None if nothing was.
        clipped: Values beyond what the type holds.
        values: All values.
        notes: What else there is to say.
        error: Why it failed.
        seconds: How long it took.
        shown: For a page.
    """

    name: str
    status: str
    path: Path | None = None
    band: str = ""
    grid: str = ""
    found: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    multiplies: bool = False
    excess: float | None = None
    clipped: int = 0
    values: int = 0
    notes: tuple[str, ...] = ()
    error: str = ""
    seconds: float = 0.0
    shown: Shown | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without what a page shows."""
        told = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "shown"}
        return told | {"path": None if self.path is None else str(self.path)}

    def line(self) -> str:
        """For people."""
        if self.status == "failed":
            return f"{self.name}: failed: {self.error}"
        if self.status == "clean":
            return f"{self.name}: nothing found; {'left' if self.path is None else 'copied'} as it is"
        if self.status == "unsure":
            asked = f"{argument('band')} '{self.unsure[0]}'" + (f" {argument('log=True')}" if self.multiplies else "")
            return (
                f"{self.name}: not sure, {'left' if self.path is None else 'copied'} as it is; if it is damage: {asked}"
            )
        said = f"{self.name}: {'found' if self.path is None else 'took out'} {self.band}"
        said += "" if self.excess is None else f", {100 / (1 + 10 ** (-self.excess / 10)):.2g} % of all power"
        if self.clipped:
            share = f"{100 * self.clipped / self.values:.2g} %"
            said += (
                f"; {self.clipped} of {self.values} values ({share}) were clipped, {argument('keep=True')} keeps them"
            )
        return "; ".join([said, *self.notes])


def clean_files(
    paths: Sequence[Path],
    out: Path | None,
    config: CleaningConfig,
    jobs: int = 1,
    progress: bool = False,
    plugins: Sequence[str] = (),
) -> list[FileCleaned]:
    """Clean files, and all of one kind below folders; a file that cannot be cleaned does not stop the others.

    Args:
        paths: Files and folders.
        out: Where to write; None only looks.
        config: How.
        jobs: Processes.
        progress: Show a bar.
        plugins: Modules that other processes load first.

    Raises:
        InputError: Before any work, if nothing can be done: no files, a band that cannot be read, an output that would
            overwrite an input.
    """
    if jobs < 1:
        raise InputError(f"{argument('jobs')} must be at least 1, got {jobs}")
    if config.band != AUTO:
        Spectrum.parse(config.band)
    if config.kind != "auto":
        Kind.member(config.kind)
    if config.rate is not None and not (math.isfinite(config.rate) and config.rate > 0):
        raise InputError(f"rate must be positive, samples per second, got {config.rate:g}")
    for what, path in (("mask", config.mask), ("reference", config.reference)):
        if path is not None and not path.exists():
            raise InputError(f"no {what} {str(path)!r}")
    files = list_files(paths, DataConfig(kind=config.kind))
    _check_places(files, out, config)
    reference = None if config.reference is None else _reference(config)
    if config.shared and config.band == AUTO:
        band, scale = _shared(files, config, reference)
        config = dataclasses.replace(config, band=str(band), log=scale.multiplies)
    tasks = [(name, path, out, config, reference) for name, path in files]
    bar = tqdm(total=len(tasks), desc="cleaning", unit="file", delay=2, disable=None if progress else True, leave=False)
    done: dict[int, FileCleaned] = {}
    with bar:
        for number, result in _results(tasks, jobs, plugins, progress):
            done[number] = result
            _thin_out(done)
            bar.update()
            logger.info(result.line())
    return [done[number] for number in range(len(tasks))]


def _thin_out(done: dict[int, FileCleaned]) -> None:
    """Leave what a page shows of every other file, once it is kept of many."""
    shown = [number for number, result in done.items() if result.shown is not None]
    if len(shown) > 2 * _EXAMPLES:
        done.update({number: dataclasses.replace(done[number], shown=None) for number in shown[1::2]})


Task = tuple[str, Path, Path | None, CleaningConfig, Tensor | None]


def _results(
    tasks: Sequence[Task], jobs: int, plugins: Sequence[str], progress: bool
) -> Iterator[tuple[int, FileCleaned]]:
    """Number of a file, and what became of it, as they are done."""
    if jobs == 1 or len(tasks) == 1:
        yield from ((number, clean_file(*task, progress=progress)) for number, task in enumerate(tasks))
        return
    with ProcessPoolExecutor(min(jobs, len(tasks)), get_context("spawn"), _begin, (tuple(plugins),)) as pool:
        futures = {pool.submit(_elsewhere, called(), task): number for number, task in enumerate(tasks)}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _begin(plugins: Sequence[str]) -> None:
    """What a process does before its first file."""
    torch.set_num_threads(1)
    for name in plugins:
        load_plugin(name)


def _elsewhere(names: Mapping[str, str], task: Task) -> FileCleaned:
    """`clean_file` in another process, whose errors name arguments as they do here."""
    with calling(names):
        return clean_file(*task)


def clean_file(
    name: str,
    path: Path,
    out: Path | None,
    config: CleaningConfig,
    reference: Tensor | None = None,
    progress: bool = False,
) -> FileCleaned:
    """Clean one file; errors are part of the result."""
    start = time.perf_counter()
    try:
        result = _cleaned(name, path, out, config, reference, progress)
    except (InputError, OSError, MemoryError) as error:
        said = "it does not fit memory" if isinstance(error, MemoryError) else one_line(error)
        result = FileCleaned(name, "failed", error=said)
    return dataclasses.replace(result, seconds=round(time.perf_counter() - start, 3))


def _cleaned(
    name: str, path: Path, out: Path | None, config: CleaningConfig, reference: Tensor | None, progress: bool
) -> FileCleaned:
    source = Whole.of(path, config.data)
    found, band, scale = None, None, Scale()
    place = None if config.mask is None else _place(config.mask, source)
    if config.band == AUTO:
        found, scale = search(_sample(source), reference, config.log)
        band = found.band
    else:
        band = Spectrum.parse(config.band).on(source.grid)
        scale = Scale.logarithm(_sample(source)) if config.log else scale
    grid = "" if source.grid is None else str(source.grid)
    lines = () if found is None else tuple(found.lines(source.kind.kind == "image"))
    what: dict[str, Any] = {"name": name, "grid": grid, "found": lines, "values": source.values}
    if band is None:
        assert found is not None
        kept = None if out is None else _copy(path, out / name)
        if not found.unsure:
            return FileCleaned(status="clean", path=kept, **what)
        what |= {"unsure": tuple(told(finding.band, source.grid) for finding in found.unsure)}
        shown = Work(source, found.unsure[0].band, scale, place, config.beside).shown()
        return FileCleaned(status="unsure", path=kept, multiplies=scale.multiplies, shown=shown, **what)
    if out is not None and not config.keep and "b" in {np.dtype(a.dtype).kind for a in source.part.arrays}:
        raise InputError(
            f"its values are black or white alone, and nothing can be taken out of them; {argument('keep=True')} writes"
            " what is between"
        )
    work = Work(source, band, scale, place, config.beside)
    what |= {"status": "cleaned", "band": told(band, source.grid), "multiplies": scale.multiplies}
    if out is None:
        return FileCleaned(shown=work.shown(), notes=work.notes, **what)
    with tqdm(
        total=work.steps, desc=name, unit="part", delay=2, disable=None if progress else True, leave=False
    ) as bar:
        work.tell = bar.update
        written, clipped = source.write(out / name, work.parts(), config.keep)
    notes = work.notes
    if written.name != path.name and len(source.part.arrays) == 1:
        notes += (f"written as {written.name}, which loses nothing",)
    return FileCleaned(path=written, excess=work.excess, clipped=clipped, notes=notes, shown=work.shown(), **what)


Filled = tuple[Tensor, Tensor, Tensor, tuple[tuple[int, int], ...]]
"""Values of a block, and without gaps, where these were, and dead lines."""


class Work:
    """The removal of a band from a file.

    Args:
        file: The file.
        band: In cycles per sample.
        scale: On which the damage adds.
        place: Where the damage is, `(*spatial)`, 0 or 1; None: everywhere.
        beside: Whether a page shows what other tools make of it.
    """

    def __init__(
        self, file: Whole, band: Spectrum, scale: Scale, place: Tensor | None = None, beside: bool = False
    ) -> None:
        self.file, self.band, self.scale, self.place, self.beside = file, band, scale, place, beside
        self.missing, self.dead = 0, ""
        self.tell: Callable[[], object] = lambda: None
        # Values of few digits need no more than single precision; logarithms take some of it.
        narrow = not scale.multiplies and all(_is_narrow(array.dtype) for array in file.part.arrays)
        self._type = torch.float32 if narrow else torch.float64
        self._held: tuple[int, Block, Filled] | None = None
        self._removed = self._left = 0.0
        self._sum = torch.zeros(file.part.count, file.shape[0], dtype=torch.float64)
        together = file.part.count > 1 and math.prod(file.shape[1:]) < _SMALL
        self._common = measure(self._prepared(range(file.part.count)), band) if together else None
        self._of: tuple[int, Removal] | None = None
        self._shown: Shown | None = None

    def _prepared(self, items: Iterable[int]) -> Iterator[Tensor]:
        for item, block in itertools.product(items, self.file.blocks):
            yield self.filled(item, block)[1]
            self.tell()

    def filled(self, item: int, block: Block) -> Filled:
        """Values of a block, and what `prepared` makes of them; those asked for last are held, as they are measured
        before they are changed."""
        if self._held is None or self._held[:2] != (item, block):
            before = self.file.read(item, block)
            self._held = (item, block, (before, *prepared(before.to(self._type), self.scale)))
        return self._held[2]

    def removal(self, item: int) -> Removal:
        """The gain for an item: its own, or that of all items where these are small."""
        if self._common is not None:
            return self._common
        if self._of is None or self._of[0] != item:
            self._of = (item, measure(self._prepared([item]), self.band))
        return self._of[1]

    def change(self, item: int, block: Block) -> tuple[Tensor, Tensor]:
        """Values of a block before and after, `(C, *spatial)`."""
        before, filled, missing, dead = self.filled(item, block)
        if dead and not self.dead:
            self.dead = lines_of(dead, self.file.part.layout.spatial)
        damage = self.removal(item).apply(filled)
        damage = damage if self.place is None else damage * self.place[block].to(damage)
        self.tell()
        return before, finished(filled, damage, missing, self.scale).double()

    @property
    def steps(self) -> int:
        """Times that `tell` is called: when a part is measured, and when it is changed."""
        return 2 * self.file.part.count * len(self.file.blocks)

    def parts(self) -> Iterator[tuple[int, Block, Tensor]]:
        """Item, place and values of all parts, cleaned; what was removed and what is left is summed up on the way."""
        for item, block, before, after in self.file.changed(self.change):
            self._shown = self._shown or self._example(before, after)
            rest = after.nan_to_num()
            self.missing += int(before.isnan().sum())
            self._removed += float((before - after).nan_to_num().square().sum())
            self._left += float(rest.square().sum())
            self._sum[item] += rest.flatten(1).sum(1)
            yield item, block, after

    @property
    def excess(self) -> float | None:
        """Power of what was removed over that of what is left, about its mean, in dB; None if nothing was."""
        places = math.prod(self.file.shape[1:])
        left = self._left - float((self._sum.square() / places).sum())
        return 10 * math.log10(self._removed / left) if self._removed > 0 and left > 0 else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What else there is to say."""
        blocks, gaps = len(self.file.blocks), self.missing
        said = {
            "damage multiplies the values, and was taken out of their logarithm": self.scale.multiplies,
            self.dead: self.dead,
            f"{gaps} missing values (NaN) were filled in before, and are missing again": gaps,
            f"cleaned in {blocks} overlapping blocks": blocks > 1,
            "nothing in the band stood out, and nothing was taken out": self._removed == 0 < self._left,
        }
        of_files = dict.fromkeys(note for array in self.file.part.arrays for note in array.notes)
        return (*of_files, *(note for note, holds in said.items() if holds))

    def shown(self) -> Shown:
        """A part of the first item before, and what was taken out, with its spectra."""
        return self._shown or self._example(*self.change(0, self.file.blocks[0]))

    def _example(self, before: Tensor, after: Tensor) -> Shown:
        removal, rank = self.removal(0), before.ndim - 1
        _, filled, missing, _ = self.filled(0, self.file.blocks[0])
        most = _SHOWN.get(rank, 64)
        middle = [slice((n - min(n, most)) // 2, (n - min(n, most)) // 2 + min(n, most)) for n in before.shape[1:]]
        part = (slice(None), *middle)
        nowhere = torch.zeros_like(missing)
        values = finished(filled, 0.0, nowhere, self.scale).double()
        held = values - finished(filled, _held(filled, removal), nowhere, self.scale).double()
        others = beside(filled, removal, self.scale) if self.beside else []
        frequency, spectra = profiles(removal)
        flat, width = rank == 2, removal.basis.spatial[-1]
        return Shown(
            self.file.meaning_of(before),
            before[part].shape == self.file.shape,
            torch.where(before[part].isnan(), values[part], before[part]).float().numpy(),
            (before - after)[part].nan_to_num().float().numpy(),
            held[part].float().numpy(),
            frequency,
            spectra,
            whole_map(1 - removal.gain.min(0).values, width) if flat else np.empty(0),
            whole_map(removal.power.mean(0).clamp(min=1e-30).log10(), width) if flat else np.empty(0),
            tuple(dataclasses.replace(o, x=None if o.x is None else o.x[part].float()) for o in others),
        )


def _held(x: Tensor, removal: Removal) -> Tensor:
    """What an array `(C, *spatial)` has in the band, content and damage."""
    x = x - x.mean(dim=tuple(range(1, x.ndim)), keepdim=True)
    inside = mask(removal.band, removal.basis).to(x)
    whole = removal.basis.inverse(inside * removal.basis.forward(extend(x, removal.basis.spatial)))
    return crop(whole, removal.spatial)


def whole_map(half: Tensor, width: int) -> np.ndarray:
    """All frequencies of half of them, DC in the middle, at most `_SIDE` a side: the largest of each cell.

    Args:
        half: `(*coefficients)` of two axes.
        width: Columns of all of them.
    """
    columns = half.shape[1] - 1 + width % 2  # the last stands for itself alone where the width is even
    mirrored = half.flip(0)[:, 1:columns].flip(1).roll(1, 0)
    full = torch.fft.fftshift(torch.cat([half, mirrored], 1)).float()
    steps = [max(1, -(-n // _SIDE)) for n in full.shape]
    cells = torch.nn.functional.max_pool2d(full[None], steps, steps) if max(steps) > 1 else full[None]
    return cells[0].numpy()


def _is_narrow(dtype: str) -> bool:
    """Whether single precision holds all values of a type."""
    return bool(np.can_cast(np.dtype(dtype), np.float32))


def _sample(file: Whole) -> Tensor:
    """As much as is looked at, `(N, C, *spatial)`: items, or blocks of large ones."""
    size = math.prod(s.stop - s.start for s in file.blocks[0]) * file.shape[0]
    every = list(itertools.product(range(file.part.count), file.blocks))
    count = min(len(every), max(1, _LOOKED_AT // size))
    chosen = [every[k * len(every) // count] for k in range(count)]
    return torch.stack([file.read(item, block).float() for item, block in chosen])


def told(band: Spectrum, grid: Grid | None) -> str:
    """A band as a text that reads back: in Hz for records whose rate is known.

    >>> told(Spots(((0.15,), (0.3,)), 0.001), Grid.parse("400 Hz"))
    "spots(at=[['60 Hz'], ['120 Hz']], radius='0.4 Hz')"
    """
    known = grid is not None and len(grid.steps) == 1 and grid.bases == ("s",)
    rate = 1 / grid.lengths[0] if grid is not None else 1.0

    def hertz(f: float) -> str:
        return f"'{f * rate:.6g} Hz'"

    def one(part: Spectrum) -> str:
        if isinstance(part, Physical):
            return part.spectrum
        if not (known and isinstance(part, Spots)):
            return str(part)
        at = ", ".join(f"[{hertz(f)}]" for (f,) in part.at)
        soft = f", soft={hertz(part.soft)}" if part.soft else ""
        return f"spots(at=[{at}], radius={hertz(part.radius)}{soft})"

    return " + ".join(one(part) for part in (band.parts if isinstance(band, Sum) else (band,)))


def profiles(removal: Removal) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Power by radial frequency before, after, and of the smooth spectrum, of the frequencies that the gain touches
    where there are several axes; of all in one."""
    frequency = removal.basis.radius().flatten()
    weight = removal.basis.multiplicity().flatten()
    power, smooth = removal.power.mean(0).flatten(), removal.smooth.mean(0).flatten()
    after = (removal.power * removal.gain.square()).mean(0).flatten()
    if len(removal.spatial) > 1:
        touched = (removal.gain.min(0).values < 1).flatten()
        frequency, weight, power, smooth, after = (v[touched] for v in (frequency, weight, power, smooth, after))
    if not len(frequency):
        return np.empty(0), {name: np.empty(0) for name in ("before", "after", "smooth")}
    points = min(_RINGS if len(removal.spatial) > 1 else 8 * _RINGS, len(frequency))
    high = float(frequency.max()) * (1 + 1e-9)
    index = (frequency / high * points).long().clamp(max=points - 1)
    total = torch.zeros(points, dtype=torch.float64).index_add_(0, index, weight)
    known = total > 0

    def mean(v: Tensor) -> np.ndarray:
        return (torch.zeros(points, dtype=torch.float64).index_add_(0, index, weight * v)[known] / total[known]).numpy()

    return mean(frequency), {"before": mean(power), "after": mean(after), "smooth": mean(smooth)}


def _place(path: Path, file: Whole) -> Tensor:
    """Where a mask says the damage is, 0 or 1 with edges that are soft over three samples.

    Raises:
        InputError: If it is of another size.
    """
    own = Whole.of(path, DataConfig(kind=file.kind.kind))
    if own.shape[1:] != file.shape[1:]:
        size, other = (" x ".join(map(str, shape[1:])) for shape in (own.shape, file.shape))
        raise InputError(f"the mask {str(path)!r} is {size}, the file {other}; give one of its size")
    inside = (own.read(0) != 0).any(0)
    pool = (torch.nn.functional.avg_pool1d, torch.nn.functional.avg_pool2d, torch.nn.functional.avg_pool3d)
    soft = pool[inside.ndim - 1](inside[None, None].double(), 3, 1, 1, count_include_pad=False)
    return soft[0, 0]


def _copy(path: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, to)
    else:
        shutil.copyfile(path, to)
    return to


def _check_places(files: Sequence[tuple[str, Path]], out: Path | None, config: CleaningConfig) -> None:
    """Refuse to write over what is read, and two files as one."""
    if out is None:
        return
    taken: dict[Path, Path] = {}
    for name, path in files:
        to = (out / name).resolve()
        if to == path.resolve():
            raise InputError(f"{str(path)!r} would be overwritten; choose another {argument('out')}")
        with suppress(InputError):  # what cannot be read is told later, and stops no other
            kind, _ = of_one_kind([path], config.data, repr(str(path)))
            ending = ending_beside(to, format_of(path), kind, config.keep)
            to = to.with_name(to.name.removesuffix(ending_of(to.name)) + ending)
        if taken.setdefault(to, path) != path:
            raise InputError(
                f"{str(taken[to])!r} and {str(path)!r} would both be written as {to.name!r}; clean them apart"
            )


def _reference(config: CleaningConfig) -> Tensor:
    """Clean arrays `(N, C, *spatial)`."""
    assert config.reference is not None
    files = [path for _, path in list_files([config.reference], DataConfig(kind=config.kind))]
    return _of_one_size([Whole.of(path, config.data) for path in files])


def _shared(
    files: Sequence[tuple[str, Path]], config: CleaningConfig, reference: Tensor | None
) -> tuple[Spectrum, Scale]:
    """The band of all files together, and the scale on which its damage adds.

    Raises:
        InputError: If they are of several kinds or rates, or nothing is found that is certain.
    """
    sources = [Whole.of(path, config.data) for _, path in files]
    for source, (_, path) in zip(sources, files, strict=True):
        for what, own in _facts(source).items():
            first = _facts(sources[0])[what]
            if own != first:
                raise InputError(
                    f"one band is for files of one {what}; {str(files[0][1])!r} has {first}, {str(path)!r} {own};"
                    " clean them apart"
                )
    found, scale = search(_of_one_size(sources), reference, config.log)
    logger.info("\n".join(found.lines(sources[0].kind.kind == "image")))
    if found.band is None:
        raise InputError(_nothing(found))
    return found.band, scale


def _facts(source: Whole) -> dict[str, Any]:
    """What files of one band have in common."""
    own = source.part.arrays[0]
    return {
        "kind": source.kind.kind,
        "number of channels": source.shape[0],
        "type of values": own.dtype,
        "grid": source.grid,
    }


def _nothing(found: Detection) -> str:
    if found.unsure:
        return (
            f"no damage is certain in all files together; {found.unsure[0].band} is with probability"
            f" {found.unsure[0].probability:.2f}: name it with {argument('band')} if it is damage"
        )
    return f"no damaged band was found in all files together; name it with {argument('band')}, or look at each file"


def _of_one_size(sources: Sequence[Whole]) -> Tensor:
    """Parts of all sources of the size of the smallest, `(N, C, *spatial)`."""
    rank = len(sources[0].shape)
    sides = [min(source.blocks[0][axis].stop for source in sources) for axis in range(rank - 1)]
    most = max(1, _LOOKED_AT // (math.prod(sides) * sources[0].shape[0]))
    chosen = [sources[k * len(sources) // min(most, len(sources))] for k in range(min(most, len(sources)))]
    parts = []
    for source in chosen:
        window = tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(source.shape[1:], sides, strict=True))
        parts.append(source.read(0, window).float())
    if len({len(part) for part in parts}) > 1:
        raise InputError(f"files differ in their number of channels ({sorted({len(p) for p in parts})}); give one kind")
    return torch.stack(parts)
