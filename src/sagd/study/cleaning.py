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
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sagd.counting import Count, counted
from sagd.data.config import DataConfig
from sagd.data.files import list_files
from sagd.data.formats.find import ending_of, format_of
from sagd.data.kinds import Kind
from sagd.data.sources.choose import of_one_kind
from sagd.data.whole import Whole, ending_beside, exact, require_room
from sagd.errors import InputError, argument, beyond, called, calling, one_line
from sagd.noise.spectra.base import Spectrum
from sagd.omission.detection.base import AUTO, SOUGHT, Detection, Finding, rounded_down
from sagd.omission.detection.windows import are_few
from sagd.omission.preparation import Scale, prepared
from sagd.omission.quick import quick_for
from sagd.omission.search import around, search
from sagd.plugins import load_plugin
from sagd.study.findings import brief, lines_of, told
from sagd.study.gain import Gain, varies
from sagd.study.held import Held
from sagd.study.looking import alike, is_sample, logarithm, of_one_size, reference_of, sample, shared
from sagd.study.shown import Shown, looked_at
from sagd.study.work import Work, is_small, values_of

logger = logging.getLogger(__name__)

_EXAMPLES = 6
"""Files of which what a page shows is kept, at least; twice as many at most, whatever their number."""
_LINES = 20
"""Files of which a line is printed, beside those that failed; more would hide what matters."""
_VOLUME, _SLICES, _TABLE = "volume", "image", "csv"
_WORTH_A_WORD = 0.1
"""Probability from which on a line tells what is likeliest in a file in which nothing is found; pages always do."""


@dataclass(frozen=True)
class CleaningConfig:
    """How files are cleaned.

    Attributes:
        band: Where the damage is; 'auto' to look for it, 'likeliest' to take what is likeliest to be it.
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
class FileCleaned:
    """What became of one file.

    Attributes:
        name: Its name, relative to what was given.
        status: "cleaned", "clean" (nothing was found), "unsure" (something was, with less than 0.99), or "failed".
        path: Where it was written; None if it was not.
        band: What was taken out, or would be; "" if nothing.
        brief: The same for people: of many shapes the first.
        probability: That it is damage, the least of what was found; None if the band was given.
        grid: Distance of neighbours by axis, as a text; "" if unknown.
        found: What was found, for people.
        detection: The same in full; None if the band was given.
        unsure: Bands that may be damage, beside what was taken out, the likeliest first.
        asked: What names them: options, ready to be pasted; "" where nothing sticks out.
        nearest: Probability of the likeliest of them, or of what is likeliest of all that was not found.
        few: Its size, where nothing was found and that is too little to be sure; "" if not.
        multiplies: Whether damage multiplies the values.
        excess: Power of what was removed over that of what is left, in dB; None if nothing was.
        left: Power that is left in the band over its surroundings, in dB; None if nothing was taken out.
        mixed: Share of what was taken out that lies where content is strong; None if nothing was.
        clipped: Values beyond what the type holds.
        values: All values.
        lost: What the type of the file took from how many of them, for people; "" if it holds all.
        notes: What else there is to say.
        error: Why it failed.
        seconds: How long it took.
        small: Whether it holds so little that several like it are better measured together.
        shown: For a page.
    """

    name: str
    status: str
    path: Path | None = None
    band: str = ""
    brief: str = ""
    probability: float | None = None
    grid: str = ""
    found: tuple[str, ...] = ()
    detection: dict[str, Any] | None = field(default=None, repr=False, compare=False)
    unsure: tuple[str, ...] = ()
    asked: str = ""
    nearest: float = 0.0
    few: str = ""
    multiplies: bool = False
    excess: float | None = None
    left: float | None = None
    mixed: float | None = None
    clipped: int = 0
    values: int = 0
    lost: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""
    seconds: float = 0.0
    small: bool = False
    shown: Shown | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without what a page shows."""
        left_out = ("shown", "brief", "found", "small")
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in left_out}
        return own | {"path": None if self.path is None else str(self.path)}

    def line(self) -> str:
        """For people."""
        if self.status == "failed":
            return f"{self.name}: failed: {self.error}"
        left = f"{'left' if self.path is None else 'copied'} as it is"
        if self.status == "clean" and self.brief:
            return f"{self.name}: looked at {self.brief}; nothing there stands out, and nothing was taken out"
        if self.status == "clean" and self.detection is None:
            return "; ".join([f"{self.name}: {left}", *self.notes])
        if self.status == "clean":
            told = self.asked and (self.nearest >= _WORTH_A_WORD or self.few)
            near = f"; likeliest with {self._near}: {self.asked}" if told else ""
            cure = "" if told else f" with {argument('band')}"
            few = f"; {self.few} are too few to be sure: if it is damaged, name the band{cure}" if self.few else ""
            return "; ".join([f"{self.name}: nothing found; {left}{near}{few}", *self.notes])
        sure = "" if self.probability is None else f"damage with probability {rounded_down(self.probability)}"
        if self.status == "unsure":
            said = f"{self.name}: not sure ({sure}), {left}; if it is damage: {self.asked}"
            return "; ".join([said, *self.notes])
        verb = "found" if self.path is None else "took out"
        said = f"{self.name}: {verb} {self.brief}" + (f" ({sure})" if sure else "")
        said += "" if self.excess is None else f", {100 / (1 + 10 ** (-self.excess / 10)):.2g} % of all power"
        if self.clipped:
            share = f"{100 * self.clipped / self.values:.2g} %"
            said += (
                f"; {self.clipped} of {self.values} values ({share}) were clipped, {argument('keep=True')} keeps them"
            )
        more = (f"not sure of more ({self._near}), if it is damage, too: {self.asked}",) if self.unsure else ()
        return "; ".join([said, *more, *self.notes])

    @property
    def _near(self) -> str:
        return f"probability {rounded_down(self.nearest)}"


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
    if config.band not in SOUGHT:
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
    _say_among(paths, out)
    reference = None if config.reference is None else reference_of(config.reference, config.data)
    gains: Gains = {}
    nothing: Looked | None = None
    if config.shared:
        config, gains, nothing = _together(files, config, reference, progress)
    tasks = [(name, path, out, config, reference, gains.get(name), nothing) for name, path in files]
    done: dict[int, FileCleaned] = {}
    with Count(len(tasks), "cleaning", "files", progress) as count:
        for number, result in _results(tasks, jobs, plugins, progress):
            done[number] = result
            _thin_out(done)
            count.done()
            if len(done) == _LINES + 1:
                logger.info(f"... what comes of the other {len(tasks) - _LINES:,} is told in cleaning.json")
            if len(done) <= _LINES or result.status == "failed":
                logger.info(result.line())
    return [done[number] for number in range(len(tasks))]


def _thin_out(done: dict[int, FileCleaned]) -> None:
    """Leave what a page shows of every other file, once it is kept of many."""
    shown = [number for number, result in done.items() if result.shown is not None]
    if len(shown) > 2 * _EXAMPLES:
        # Those in which nothing was found go first.
        clean = [number for number in shown if done[number].status == "clean"]
        gone = clean[1:] or shown[1::2]
        done.update({number: dataclasses.replace(done[number], shown=None) for number in gone})


def _together(
    files: Sequence[tuple[str, Path]], config: CleaningConfig, reference: Tensor | None, progress: bool
) -> tuple[CleaningConfig, Gains, Looked | None]:
    """How all files are cleaned, with the band that they share; the gains of those that are small; and what was looked
    at if nothing is certain.

    What cannot be read or measured is left out, and told when it is its turn.

    Raises:
        InputError: If they cannot have one band.
    """
    sources = {name: _timed(source)[0] for name, source in alike(files, config.data).items()}
    every = list(sources.values())
    if config.band in SOUGHT:
        found, scale = shared(every, config.log, reference, config.band)
        if found.band is None:
            return config, {}, (found, scale)
        band = found.band
        config = dataclasses.replace(config, band=str(band), log=scale.multiplies)
    else:
        band, scale = _given(every[0], config.band), Scale()
        if config.log:
            x = of_one_size(every)
            scale = Scale.logarithm(x.where(x >= 0, torch.nan))
    by_size: dict[tuple[int, ...], list[str]] = {}
    for name, source in sources.items():
        if is_small(source):
            by_size.setdefault(source.shape, []).append(name)
    gains: dict[str, Gain] = {}
    for names in by_size.values():
        if sum(sources[name].part.count for name in names) > 1:
            gain = _common([sources[name] for name in names], band, scale, progress)
            gains |= dict.fromkeys(names, gain)
    return config, gains, None


def _common(sources: Sequence[Whole], band: Spectrum, scale: Scale, progress: bool) -> Gain:
    """The gain of small files of one size."""
    size, count = " x ".join(map(str, sources[0].shape[1:])), sum(source.part.count for source in sources)
    times = itertools.count()  # which may be many, where values are at limits; the first two are shown
    with quick_for(math.prod(sources[0].shape)):
        gain = Gain.of(lambda: _values(sources, scale, progress and next(times) < 2), band, scale)
    logger.info(f"one gain, measured on {count:,} arrays of {size} samples, is used for all of them")
    return gain


def _values(sources: Sequence[Whole], scale: Scale, progress: bool) -> Iterator[Tensor]:
    """Those that can be measured."""
    for source in counted(sources, "measuring", "files", progress):
        with suppress(InputError, OSError):
            for x in values_of(source, scale):
                prepared(x, scale, ())
                yield x


Gains = Mapping[str, Gain]
"""Gains of small files, by name."""
Looked = tuple[Detection, Scale]
"""What was found, and the scale."""
Task = tuple[str, Path, Path | None, CleaningConfig, Tensor | None, Gain | None, Looked | None]


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
    gain: Gain | None = None,
    nothing: Looked | None = None,
    progress: bool = False,
) -> FileCleaned:
    """Clean one file; errors are part of the result. With what was found in all of several, if that is nothing certain,
    it is not looked at by itself."""
    start = time.perf_counter()
    try:
        source, timed = _timed(Whole.of(path, config.data))
        with quick_for(math.prod(source.shape)):
            result = _cleaned(name, path, source, out, config, reference, gain, nothing, progress)
        result = dataclasses.replace(result, notes=(*result.notes, *timed), small=is_small(source))
    except (InputError, OSError, MemoryError) as error:
        said = "it does not fit memory" if isinstance(error, MemoryError) else beyond(error) or one_line(error)
        result = FileCleaned(name, "failed", error=said)
    return dataclasses.replace(result, seconds=round(time.perf_counter() - start, 3))


def _timed(source: Whole) -> tuple[Whole, tuple[str, ...]]:
    """A table whose times have no unit with times in seconds, and a note that says so; a step of 1 is a mere number."""
    step = source.steps.get("T")
    if source.part.format.kind != _TABLE or step is None or step.unit or step.size == 1:
        return source, ()
    rate = 1 / step.size
    return dataclasses.replace(source, rate=rate), (f"its times are taken for seconds: {rate:.6g} samples per second",)


def _cleaned(
    name: str,
    path: Path,
    source: Whole,
    out: Path | None,
    config: CleaningConfig,
    reference: Tensor | None,
    gain: Gain | None,
    nothing: Looked | None,
    progress: bool,
) -> FileCleaned:
    if out is not None:
        require_room(source.part, out)
    place = None if config.mask is None else _place(config.mask, source)
    seen = sample(source) if config.band in SOUGHT else None
    if seen is not None and not varies(seen):
        kept = None if out is None else _copy(path, out / name)
        return FileCleaned(name, "clean", kept, values=source.values, notes=("it does not vary",))
    if nothing is None:
        found, band, scale = _searched(source, seen, config, reference, place)
    else:
        (found, scale), band = nothing, None
    scale = scale if gain is None else gain.scale
    few = "" if seen is None or nothing is not None or not are_few(len(seen), tuple(seen.shape[2:])) else _sized(source)
    del seen  # as large as the file, or nearly
    notes: tuple[str, ...] = ()
    if found is not None:
        if nothing is None and band is None and not found.unsure and place is None and reference is None:
            source, found, scale, notes = _by_slices(path, source, found, scale, config)
        found = found.counting(config.band)
        band = found.band
    what = _facts(name, source, found, scale) | {"notes": notes}
    if nothing is not None and what["asked"]:
        what["asked"] += f" {argument('shared=True')}"
    if band is not None:
        work = Work(source, band, scale, place, config.beside, gain)
        what |= {"band": told(band, source.grid), "brief": brief(band, source.grid)}
        return _taken_out(name, path, out, config, work, what, progress)
    assert found is not None
    kept = None if out is None else _copy(path, out / name)
    if not found.unsure:
        return FileCleaned(status="clean", path=kept, shown=looked_at(source, found), few=few, **what | {"notes": ()})
    work = Work(source, found.unsure[0].band, scale, place, config.beside)
    return FileCleaned(status="unsure", path=kept, shown=work.shown(), **what)


def _sized(source: Whole) -> str:
    """How large an item of a file is, for people."""
    return f"{' x '.join(f'{side:,}' for side in source.shape[1:])} samples"


def _taken_out(
    name: str, path: Path, out: Path | None, config: CleaningConfig, work: Work, what: dict[str, Any], progress: bool
) -> FileCleaned:
    """A file without its damage, written if there is somewhere to; `what` is what there is to say of it."""
    source = work.file
    if out is not None and not config.keep and "b" in {np.dtype(a.dtype).kind for a in source.part.arrays}:
        raise InputError(
            f"its values are black or white alone, and nothing can be taken out of them; {argument('keep=True')} writes"
            " what is between"
        )
    if out is None:
        of_work: dict[str, Any] = {"shown": work.shown(), "left": work.left, "mixed": work.mixed}
        return FileCleaned(status="cleaned", **what | of_work | {"notes": (*what["notes"], *work.notes)})
    with Count(work.steps, name, "parts", progress) as count:
        work.tell = count.done
        written, loss = source.write(out / name, work.parts(), config.keep)
    notes = (*what["notes"], *work.notes)
    if written.name != path.name and len(source.part.arrays) == 1:
        notes += (f"written as {written.name}, which loses nothing",)
    of_work = {"excess": work.excess, "left": work.left, "mixed": work.mixed, "clipped": loss.clipped, "notes": notes}
    array = source.part.arrays[0]
    of_work["lost"] = Held((exact(array) if config.keep else array).dtype, loss).told()
    of_work["shown"] = work.shown()
    return FileCleaned(status="clean" if work.excess is None else "cleaned", path=written, **what | of_work)


def _searched(
    source: Whole,
    seen: Tensor | None,
    config: CleaningConfig,
    reference: Tensor | None,
    place: Tensor | None = None,
) -> tuple[Detection | None, Spectrum | None, Scale]:
    """What was found in a sample, if there is one, which is looked at; the band that is certain or given; and the scale
    on which damage adds."""
    log = logarithm([source], config.log) if is_sample(source) and (seen is not None or config.log) else config.log
    if seen is not None:
        found, scale = search(seen if reference is not None else around(place, seen), reference, log)
        return found, found.band, scale
    return None, _given(source, config.band), Scale.logarithm(sample(source)) if log else Scale()


def _given(source: Whole, band: str) -> Spectrum:
    """A band that is named, in the units of a file.

    Raises:
        InputError: If it is in Hz, and the file has no rate.
    """
    if "Hz" in band and "T" not in source.part.layout.spatial:
        raise InputError(f"{band} is in Hz, and this has no axis of time; name the band in cycles per sample")
    if "Hz" in band and source.part.is_uneven("T"):
        raise InputError(
            f"{band} is in Hz, and the file's times are not evenly spaced, so that it has no rate; resample it,"
            " or name the band in cycles per sample"
        )
    return Spectrum.parse(band).on(source.grid)


def _by_slices(
    path: Path, source: Whole, found: Detection, scale: Scale, config: CleaningConfig
) -> tuple[Whole, Detection, Scale, tuple[str, ...]]:
    """A volume as its slices where these show what it does not: damage of each slice, which all together smear."""
    as_it_was = source, found, scale, ()
    if source.kind.kind != _VOLUME:
        return as_it_was
    try:
        slices = Whole.of(path, dataclasses.replace(config.data, kind=_SLICES))
        own, _, its_scale = _searched(slices, sample(slices), config, None)
    except InputError:  # those of some formats, and of few samples, cannot be looked at
        return as_it_was
    shows = own is not None and (own.findings or own.unsure or own.nearest > found.nearest)
    if own is None or not shows or not (own.unsure or own.counting(config.band).findings):
        return as_it_was
    done = "cleaned one by one" if own.counting(config.band).findings else "looked at one by one"
    return slices, own, its_scale, (f"in the volume nothing was found; its slices were {done}",)


def _facts(name: str, source: Whole, found: Detection | None, scale: Scale) -> dict[str, Any]:
    """What there is to say of a file and what was found in it."""
    facts = {"name": name, "values": source.values, "multiplies": scale.multiplies}
    facts["grid"] = "" if source.grid is None else str(source.grid)
    if found is None:
        return facts
    certain = found.findings or found.unsure[:1]
    near = next(iter(found.unsure), found.likeliest)
    return facts | {
        "asked": "" if near is None else _asked(near, found, source, scale),
        "nearest": 0.0 if near is None else near.probability,
        "found": tuple(lines_of(found, source.grid, source.kind.kind == "image")),
        "detection": found.to_dict(),
        "unsure": tuple(told(f.band, source.grid) for f in found.unsure),
        "probability": min((f.probability for f in certain), default=None),
    }


def _asked(near: Finding, found: Detection, source: Whole, scale: Scale) -> str:
    """Options that take out what is not certain, beside what is."""
    band = near.band if found.band is None else found.band + near.band
    return f'{argument("band")} "{told(band, source.grid)}"' + (f" {argument('log=True')}" if scale.multiplies else "")


def _place(path: Path, file: Whole) -> Tensor:
    """Where a mask says the damage is, 0 or 1 with edges that are soft over three samples.

    Raises:
        InputError: If it is of another size, or 0 everywhere.
    """
    own = Whole.of(path, DataConfig(kind=file.kind.kind))
    if own.shape[1:] != file.shape[1:]:
        size, other = (" x ".join(map(str, shape[1:])) for shape in (own.shape, file.shape))
        raise InputError(f"the mask {str(path)!r} is {size}, the file {other}; give one of its size")
    inside = (own.read(0) != 0).any(0)
    if not inside.any():
        raise InputError(f"the mask {str(path)!r} is 0 everywhere; give one that is not 0 where the damage is")
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


def _say_among(paths: Sequence[Path], out: Path | None) -> None:
    """Say whether what is written lies among what is read."""
    for folder in paths:
        if out is not None and folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            where = f"{str(out)!r} lies in {str(folder)!r}"
            logger.warning("%s: whoever reads that next reads the cleaned files, too", where)


def _check_places(files: Sequence[tuple[str, Path]], out: Path | None, config: CleaningConfig) -> None:
    """Refuse to write over what is read, and two files as one."""
    if out is None:
        return
    taken: dict[Path, Path] = {}
    for name, path in files:
        # Unlike `resolve`, it takes links that lead to themselves, which are told later.
        to = Path(os.path.realpath(out / name))
        if to == Path(os.path.realpath(path)):
            raise InputError(f"{str(path)!r} would be overwritten; choose another {argument('out')}")
        with suppress(InputError):  # what cannot be read is told later, and stops no other
            kind, _ = of_one_kind([path], config.data, repr(str(path)))
            ending = ending_beside(to, format_of(path), kind, config.keep)
            to = to.with_name(to.name.removesuffix(ending_of(to.name)) + ending)
        if taken.setdefault(to, path) != path:
            raise InputError(
                f"{str(taken[to])!r} and {str(path)!r} would both be written as {to.name!r}; clean them apart"
            )
