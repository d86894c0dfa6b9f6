"""Training data of which the damage was taken out: mode 'cleaned', which trains on it as if it were clean.

The damage is taken out as `sagd clean` does: of larger files that windows are cut from before these are cut, of each by
the gain that is measured on it; of items of few values by one gain, that of all.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sagd.build.objects import omission_mode
from sagd.build.schema import OmissionConfig
from sagd.build.text import call_text
from sagd.counting import counted
from sagd.data.kinds import Kind
from sagd.data.meaning import Meaning
from sagd.data.signals import Signals
from sagd.data.sources import base
from sagd.errors import InputError, calling
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.damage import Wedge
from sagd.omission.detect import Detection as Usual
from sagd.omission.detect import detect
from sagd.omission.detection.base import AUTO, Detection, rounded_down
from sagd.omission.detection.windows import cut
from sagd.omission.modes import Mode
from sagd.omission.modes.cleaned import Cleaned
from sagd.omission.preparation import Scale, finished, prepared
from sagd.omission.quick import quick_for
from sagd.omission.removal import SMALL
from sagd.omission.search import search
from sagd.study.findings import brief, told
from sagd.study.gain import Gain, Lines
from sagd.study.guarding import LOOKED_AT, cut_of, in_range, middles, refuse_idle
from sagd.study.measuring import measured_part
from sagd.study.work import CLIPPED, PART, TOGETHER, of_clipped, of_mixed

_ITEMS = 4096
"""Items in which damage is looked for, and whose gain is measured together, at most."""
_TRIED = 8
"""Arrays that are tried, at most, to see whether anything would be taken out."""
_LEAKS = 0.1
"""Share of the damage's power beside a band from which on it leaks: up to 0.04 were measured
of waves on the grid, and 0.3 and more of those that lie between two bins."""
_SPILLS = 1.5
"""Power of items, over that under a taper, from which on frequencies hold leak: twice to fifteen times as much was
measured of strong waves between bins, and as much of noise in a ring beside a wave on the grid."""
_TASK = "taking the damage out"
_LOG = {"auto": None, "yes": True, "no": False}

_CALLED = {"log=True": "process.omission.log yes"}


@dataclass(frozen=True)
class Cleared:
    """Data without its damage.

    Attributes:
        data: What to train on.
        omission: The configuration, with what was found.
        lines: What was taken out, for people.
    """

    data: Signals
    omission: OmissionConfig
    lines: list[str]


@calling(_CALLED)
def cleared(omission: OmissionConfig, data: Signals, found: OmissionConfig | None = None) -> Cleared:
    """Take the damage out of training data.

    Args:
        omission: Configuration of a mode that does so.
        data: Damaged data.
        found: What was found in it when the run was started.

    Raises:
        InputError: If nothing is found that is certain, the data is damaged anew at each reading, or a setting has no
            part in this.
    """
    grid = data.meaning.grid()
    mode = _mode(omission, data)
    refuse_idle(omission, mode, data)
    check_damage(data)
    sure = ""
    if mode.unmeasured:
        same = found is not None and isinstance(omission_mode(found, grid), Cleaned)
        known, sure = ({n: getattr(found, n) for n in mode.unmeasured}, "") if same else _sought(mode, data)
        text = {name: value for name, value in Mode.read(omission.mode).items() if name not in known}
        omission = dataclasses.replace(omission, mode=call_text(text), **known)
        mode = _mode(omission, data)
    elif mode.log == "auto":  # what a given band does unless it is said to multiply
        omission = dataclasses.replace(omission, log="no")
        mode = _mode(omission, data)
    taken = _Taken()
    after = _of_items(mode, data, taken) if data.cut is None else _of_files(mode, data, taken)
    return Cleared(after, omission, taken.lines(brief(mode.place, grid), sure, mode.log == "yes"))


def _mode(omission: OmissionConfig, data: Signals) -> Cleaned:
    mode = omission_mode(omission, data.meaning.grid())
    assert isinstance(mode, Cleaned)
    return mode


def check_damage(data: Signals) -> None:
    """Refuse damage that is not that of the data for good.

    Raises:
        InputError: If it is added to windows of files, or anew at each reading.
    """
    if data.corruption is None:
        return
    if data.cut is not None:
        raise InputError(
            "process.omission.mode 'cleaned' takes damage out of whole files, data.corruption damages each window by"
            " itself; damage the files with sagd corrupt"
        )
    if not data.corruption.fixed:
        raise InputError(
            "process.omission.mode 'cleaned' takes damage out of the data once: set fixed=True in data.corruption"
        )


@dataclass
class _Taken:
    """What was taken out of arrays, summed up."""

    removed: float = 0.0
    left: float = 0.0
    dead: int = 0
    mixed: float = 0.0
    count: int = 0
    clipped: float = 0.0

    def add(self, filled: Tensor, damage: Tensor, after: Tensor, gain: Gain) -> None:
        """Of arrays more, `(B, C, *spatial)`, whose dead lines were filled before."""
        removed = gain.scale.without(filled, 0.0) - gain.scale.without(filled, damage)
        self.removed += float(removed.double().square().sum())
        centre = after.nanmean(dim=tuple(range(2, after.ndim)), keepdim=True)
        self.left += float((after - centre).nan_to_num().double().square().sum())
        self.dead += len(filled) * len(gain.dead)
        self.mixed += len(filled) * gain.removal.mixed
        if gain.removal.limits:
            self.clipped += gain.removal.limits.count(filled) / filled[0].numel()
        self.count += len(filled)

    def lines(self, band: str, sure: str, multiplies: bool) -> list[str]:
        """For people."""
        dead = [f"{self.dead} dead line(s) were interpolated"] if self.dead else []
        if not self.removed:
            return [f"nothing in {band} stands out of the data, and nothing was taken out of it", *dead]
        share = f"{100 * self.removed / (self.removed + self.left):.2g} % of all power"
        how = "; it multiplies the values, and was taken out of their logarithm" if multiplies else ""
        said = [f"taken out of the training data: damage in {band}{sure and f' {sure}'}, {share}{how}", *dead]
        mixed, clipped = self.mixed / self.count, self.clipped / self.count
        said += [of_clipped(clipped)] * (clipped >= CLIPPED)
        return [*said, of_mixed(mixed)] if mixed >= PART else said


@dataclass(frozen=True)
class _Removing:
    """The removal of a band from arrays as models see them, NaN where values are missing.

    Attributes:
        band: In cycles per sample.
        log: Whether the damage multiplies the values.
        meaning: What values are.
        common: The gain of all; None: each array has its own.
    """

    band: Spectrum
    log: bool
    meaning: Meaning
    common: Gain | None = None

    @property
    def together(self) -> int:
        """Arrays that are worth cleaning at a time."""
        return 1 if self.common is None else TOGETHER

    def alike(self, arrays: Sequence[Tensor]) -> _Removing:
        """With one gain, that of these arrays `(C, *spatial)` of one size, if they are several of few values."""
        if len(arrays) < 2 or math.prod(arrays[0].shape[1:]) >= SMALL:
            return self
        return dataclasses.replace(self, common=self._gain(arrays))

    def stands_out(self, arrays: Sequence[Tensor]) -> bool:
        """Whether anything is taken out of some of these arrays of one size."""
        common = self.alike(arrays).common
        gains = (self._gain([x]) for x in arrays[:_TRIED]) if common is None else [common]
        return any(gain.removal.share > 0 for gain in gains)

    def of(self, x: Tensor, taken: _Taken | None = None) -> Tensor:
        """Arrays `(B, C, *spatial)` without the damage."""
        if self.common is None:
            each = ((dataclasses.replace(self, common=self._gain([own])), own[None]) for own in x)
            return torch.cat([removing.of(own, taken) for removing, own in each])
        gain = self.common
        with quick_for(x[0].numel()):
            several = [self._prepared(own, gain.scale, gain.dead) for own in x]
            filled, missing = (torch.stack(parts) for parts in zip(*several, strict=True))
            damage = gain.removal.apply(filled)
            after = finished(filled, damage, missing, gain.scale)
        if taken is not None:
            taken.add(filled, damage, after, gain)
        return self.meaning.to_model(after) if self.log else after.to(x.dtype)

    # Items that are read while others are trained on may be the first that have no logarithm.
    @calling(_CALLED)
    def _gain(self, arrays: Sequence[Tensor]) -> Gain:
        """That of arrays `(C, *spatial)` of one size together."""
        scale = Scale.logarithm(self.meaning.to_values(torch.stack([*arrays]))) if self.log else Scale()
        with quick_for(arrays[0].numel()):
            return Gain.of(lambda: map(self._values, arrays), self.band, scale)

    @calling(_CALLED)
    def _prepared(self, x: Tensor, scale: Scale, dead: Lines) -> tuple[Tensor, Tensor]:
        filled, missing, _ = prepared(self._values(x), scale, dead)
        return filled, missing

    def _values(self, x: Tensor) -> Tensor:
        """Values that the damage adds to, or multiplies."""
        return self.meaning.to_values(x) if self.log else x


def _sought(mode: Cleaned, data: Signals) -> tuple[dict[str, str], str]:
    """The damaged band, and whether the damage multiplies, as settings; and how sure that is.

    It is looked for as `sagd clean` does, in files of whatever size together, and in items then as for the other modes.

    Raises:
        InputError: If nothing is certain.
    """
    arrays = [in_range(x) for x in middles(cut_of(data).arrays)] if data.cut is not None else list(_some(data))
    found, settings = _searched(arrays, data.meaning, mode.log)
    if settings:
        least = min(f.probability for f in found.findings)
        return settings, f"with probability {rounded_down(least)}"
    if data.cut is None and mode.log != "yes":
        usual = detect(measured_part(data).tensor())
        band = _whole(found, usual) or usual.band
        if band is not None and _Removing(band, False, data.meaning).stands_out(arrays):
            least = min(f.confidence for f in usual.findings)
            return {"band": str(band), "log": "no"}, f"with confidence {rounded_down(least)}"
    raise InputError(_nothing(found, data))


def _whole(found: Detection, usual: Usual) -> Spectrum | None:
    """What is not certain by itself, but holds all that is certain by its single bins: the shape that these are of."""
    if usual.band is None:
        return None
    frequencies = usual.basis.frequencies()
    known = usual.band.weights(frequencies) > 0
    near = [f for f in (*found.unsure, found.likeliest) if f is not None]
    near = [f for f in near if (known & (f.band.weights(frequencies) > 0)).any()]
    band = dataclasses.replace(found, findings=tuple(near)).band
    return None if band is None or (known & ~(band.weights(frequencies) > 0)).any() else band


def _searched(arrays: list[Tensor], meaning: Meaning, log: str) -> tuple[Detection, dict[str, str]]:
    """What `sagd clean` finds in arrays of one size, as models see them; and the settings that take it out, if any."""
    found, scale = search(meaning.to_values(torch.stack(arrays)).float(), None, _LOG[log])
    if found.band is None or not _Removing(found.band, scale.multiplies, meaning).stands_out(arrays):
        return found, {}
    return found, {"band": str(found.band), "log": "yes" if scale.multiplies else "no"}


@dataclass(frozen=True)
class Leaking:
    """Damage that lies beside the band in which it sticks out most, as far as mode 'cleaned' takes it out.

    Attributes:
        found: What that mode finds with certainty; None if it knows the shape of what is certain otherwise alone.
        settings: Of `process.omission`.
        beside: Share of its power that lies beside.
        spills: Whether that band has more frequencies that this damage only leaks to than those that it has.
    """

    found: Detection | None
    settings: dict[str, str]
    beside: float
    spills: bool


def leaking(usual: Usual, data: Signals) -> Leaking | None:
    """What mode 'cleaned' finds in data, if much of it lies beside the band that modes take which leave one out.

    Of waves between two bins, or that differ from item to item, that band has the single bins that stick out most; of
    strong ones it has half of all, since without a taper their leak sticks out as well, far from them.

    Args:
        usual: In which that band was found, or none.
        data: Damaged items.
    """
    if data.cut is not None:
        return None  # the band is left out of whole files
    arrays = list(_some(data))
    found, settings = _searched(arrays, data.meaning, "auto")
    certain, band = (found, found.band) if settings else (None, _whole(found, usual))
    if band is None or not (settings or _Removing(band, False, data.meaning).stands_out(arrays)):
        return None
    frequencies, known = usual.basis.frequencies(), torch.zeros_like(usual.power, dtype=torch.bool)
    if usual.band is not None:
        known = usual.band.weights(frequencies) > 0
    whole = band.weights(frequencies) > 0
    excess = usual.basis.multiplicity() * (usual.power - usual.smooth).clamp(min=0)
    beside = float(excess[whole & ~known].sum() / excess[whole].sum())
    spills = int((known & ~whole).sum()) > int(whole.sum()) and _is_leak(usual, whole, torch.stack(arrays))
    if not spills and ((known & ~whole).any() or not beside > _LEAKS):
        return None
    settings = {"mode": Cleaned.kind, "band": str(band), "log": settings.get("log", "no")}
    return Leaking(certain, settings, beside, spills)


def _is_leak(usual: Usual, whole: Tensor, x: Tensor) -> bool:
    """Whether all shapes that stick out of items without a taper are what a damage leaks to: wedges that it lies in, or
    what holds less under a taper, or is no larger than it.

    Args:
        usual: The shapes.
        whole: Frequencies of the damage, `(*coefficients)`, bool.
        x: Items `(N, C, *spatial)`, NaN where values are missing.
    """
    tapered, weight = cut(x.nan_to_num(), tuple(x.shape[2:])).power, usual.basis.multiplicity()
    for finding in usual.findings:
        inside = finding.band.weights(usual.basis.frequencies()) > 0
        beyond = inside & ~whole
        around = isinstance(finding.band, Wedge) and 2 * (inside & whole).sum() > whole.sum()
        if around or beyond.sum() <= whole.sum():
            continue
        held, under = (float((weight * power)[beyond].sum()) for power in (usual.power, tapered))
        if held < _SPILLS * under:
            return False
    return True


def _nothing(found: Detection, data: Signals) -> str:
    near, name = f"no damaged band found ({found.missed})", "name the band, e.g. 'ring(low=0.1, high=0.2)'"
    if found.unsure:
        first = found.unsure[0]
        near = f"no damage is certain, the likeliest with probability {rounded_down(first.probability)}"
        # In double quotes, since bands in units hold single ones.
        name = f'if it is damage, name it: "{told(first.band, data.meaning.grid())}"'
    return f"process.omission.band {AUTO!r}: {near}; {name}, or leave process.omission out"


def _of_files(mode: Cleaned, data: Signals, taken: _Taken) -> Signals:
    """Windows of files without the damage."""
    windows = cut_of(data)
    plain = _Removing(mode.place, mode.log == "yes", data.meaning)

    def of_size(size: torch.Size) -> _Removing:
        small = math.prod(size[1:]) < SMALL  # larger ones have a gain each, and copies of all would fill the memory
        return plain.alike([in_range(array) for array in windows.arrays if array.shape == size]) if small else plain

    by_size = {size: of_size(size) for size in {array.shape for array in windows.arrays}}
    numbers = counted(windows.arrays, _TASK, Kind.member(data.meaning.kind).item[1])
    after = tuple(by_size[array.shape].of(in_range(array)[None], taken)[0] for array in numbers)
    stored = dataclasses.replace(windows, arrays=after)
    return dataclasses.replace(data, stored=stored, cut=lambda: stored, read=data.unchosen)


@dataclass(frozen=True, eq=False)
class _Fields:
    """Items without the damage, each cleaned whenever it is asked for; see `sagd.data.signals.OnDemand`."""

    data: Signals
    removing: _Removing

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, C, *spatial)`."""
        return (len(self.data), *self.data.shape)

    @property
    def threads(self) -> int:
        """One."""
        return 1

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Those of indices `(B,)`."""
        return self.removing.of(_damaged(self.data, indices))


def _damaged(data: Signals, indices: Tensor) -> Tensor:
    """Items as they are damaged, NaN where values are missing."""
    x, _, known = data.shown(data.values(indices), indices)
    return x if known is None else torch.where(known, x, torch.nan)


def _some(data: Signals) -> Tensor:
    """As many items as are looked at, likewise."""
    some = data.at_most(max(1, min(_ITEMS, LOOKED_AT // math.prod(data.shape))))
    return _damaged(some, torch.arange(len(some)))


def _of_items(mode: Cleaned, data: Signals, taken: _Taken) -> Signals:
    """Items without the damage, in memory if they fit there; else what is taken out of some of them is summed up."""
    some = _some(data)
    fields = _Fields(data, _Removing(mode.place, mode.log == "yes", data.meaning).alike([*some]))
    every = torch.arange(len(data))
    stored: Tensor | _Fields = fields
    if 4 * math.prod(fields.shape) <= base.MEMORY_LIMIT:
        stored = torch.empty(fields.shape)
        numbers = counted(range(len(data)), _TASK, Kind.member(data.meaning.kind).item[1])
        while block := [*itertools.islice(numbers, fields.removing.together)]:
            stored[block] = fields.removing.of(_damaged(data, torch.tensor(block)), taken)
    else:
        for x in some.split(fields.removing.together):
            fields.removing.of(x, taken)
    made = dataclasses.replace(data, stored=stored, rows=None, places=data.places_of(every))
    return dataclasses.replace(made, corruption=None, read=data)
