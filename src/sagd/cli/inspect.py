"""`sagd inspect`: the spectrum of a data set, and a damaged band if it has one."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from sagd.build.schema import AUTO_BASIS, ProcessConfig, RunConfig
from sagd.build.text import to_dict
from sagd.cli.options import Command, chosen_data
from sagd.data.config import DataConfig
from sagd.errors import InputError, TooFewError, argument
from sagd.terminal import say

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from sagd.data.masks import Coverage
    from sagd.data.meaning import Meaning
    from sagd.data.signals import Signals
    from sagd.designs.levels import Inspection
    from sagd.noise.spectra.base import Spectrum
    from sagd.noise.statistics import DataStatistics
    from sagd.omission.detect import Detection as OfMany
    from sagd.omission.detection.base import Detection as OfFew
    from sagd.study.cleared import Leaking

    Detection = OfMany | OfFew


@dataclass(frozen=True)
class Inspect(Command):
    """Measure the power spectrum of a data set: its slope, the noise range it asks for, and whether a band is damaged.

    Example: sagd inspect photos/ --data.size 64 --out runs/inspect
    """

    folder = "any"

    source: tyro.conf.Positional[str | None] = None
    """'digits' (built in), a folder or file of any kind of signal, or a hub data set; default: --data.source."""
    out: Path | None = None
    """Directory for inspection.json, spectrum.png, band.png and, if images have a damaged band, band.yaml for training;
    default: only print."""
    reference: str | None = None
    """Clean data of the same kind (a folder, file or data set): far fainter damage is found against them."""
    bands: int = 10
    """Radial bands, equal parts of [0, 1] in fractions of the corner frequency."""
    data: DataConfig = field(default_factory=lambda: DataConfig(limit=10_000))
    process: ProcessConfig = field(default_factory=ProcessConfig)


@dataclass(frozen=True)
class _Looked:
    """What was found.

    Attributes:
        found: The damaged band, or what sticks out; None if nothing was looked at.
        lines: For people.
        omission: Settings that train on images with a damaged band.
    """

    found: Detection | None = None
    lines: list[str] = field(default_factory=list)
    omission: dict[str, str] = field(default_factory=dict)


_SHOWN = 8
"""Items in the picture of `inspect`."""


def run_inspect(command: Inspect) -> None:
    """Do what the options ask for; errors of input are for the caller to print."""
    from sagd import designs
    from sagd.build.objects import build_process
    from sagd.data.load import load
    from sagd.study.measuring import FOURIER, check_masks, measured_part, process_statistics, shown_prior
    from sagd.study.train import resolve_omission

    config = chosen_data(command.source, command.data)
    try:
        data = load(config)
    except TooFewError as error:
        cure = f"to look for damage in one: sagd clean {shlex.quote(config.source)} --dry-run --out look"
        raise InputError(f"{error}; {cure}") from None
    check_masks(data, command.process.omission)
    some = measured_part(data).held
    coverage, settings = some.coverage(), command.process
    by_shown = coverage is not None and coverage.unknown() is None and _suits_shown(settings)
    settings = replace(settings, basis=FOURIER) if by_shown else settings
    statistics = shown_prior(some).statistics if by_shown else process_statistics(some, settings)
    resolved, grid = resolve_omission(settings, some), data.meaning.grid()
    process = build_process(resolved, data.shape, statistics, data.classes, grid)
    inspection = designs.inspect(statistics, process, command.bands)
    ends = designs.check_ends(statistics, process, command.bands)
    looked = _detection(command, config, some) if coverage is None else _Looked()
    detection = looked.lines if coverage is None else _shown_lines(coverage, by_shown, config)
    lines = [_inspection_text(data, some, inspection), *ends.lines(), *detection]
    if command.out is not None:
        written = RunConfig(data=config, plugins=command.plugin)
        lines += _write_inspection(command.out, written, data, statistics, inspection, looked)
    elif looked.omission:
        lines.append(f"with --out, 'sagd inspect' writes a configuration that trains {_how(looked.omission)}")
    say("\n".join(lines))


def _suits_shown(process: ProcessConfig) -> bool:
    """Whether whole items are measured in the basis that a process asks for, by what each shows of them."""
    from sagd.study.measuring import FOURIER

    return process.basis in (AUTO_BASIS, FOURIER) and process.channels == "as_given"


def _shown_lines(coverage: Coverage, measured: bool, config: DataConfig) -> list[str]:
    """What is said of items that lack frequencies of their own."""
    given = "" if config.observed is None else f"masks are given ({argument('data.observed')} {config.observed}): "
    lines = ["", given + coverage.line(), "no look for a damaged band, which all items would have in common"]
    if (unknown := coverage.unknown()) is not None:
        lines.append(f"note: {unknown}")
    elif not coverage.all_shown:
        lines.append("learn whole items of them: sagd train ... --laps 3")
    how = "that of whole items, by what each shows" if measured else "taken with 0 for what items do not show"
    return [*lines, f"all power above is {how}"]


def _write_inspection(
    out: Path,
    config: RunConfig,
    data: Signals,
    statistics: DataStatistics,
    inspection: Inspection,
    looked: _Looked,
) -> list[str]:
    """Write what was measured, and what trains on damaged data if that is advised; returns lines that say so."""
    from sagd.random import generator_for, subset
    from sagd.report.inspection import inspect_figure
    from sagd.store.files import to_json, write_file

    record, picture = out / "inspection.json", out / "spectrum.png"
    found = looked.found
    told = {} if found is None else {"detection": found.to_dict()}
    write_file(record, to_json(inspection.to_dict() | told))
    profile, fit, meaning = inspection.profile, inspection.fit, data.meaning
    some = data.subset(subset(len(data), _SHOWN, generator_for(0, "shown")))
    x, known = some.tensor(), some.known()
    figure = inspect_figure(
        profile.centres.numpy(),
        profile.values.numpy(),
        slope=fit.slope,
        intercept=fit.intercept,
        examples=x if known is None else x.where(known, float("nan")),
        spectrum=_spectrum(data, statistics).numpy(),
        meaning=meaning,
        channels=None if statistics.basis.channels is None else [f"colour {c}" for c in range(x.shape[1])],
    )
    _save(figure, picture)
    if found is not None:
        _draw_band(found, looked.omission.get("band", found.band), out / "band.png", meaning)
    advice = [_write_band(out / "band.yaml", config, looked.omission)] if looked.omission else []
    drawn = [str(out / "band.png")] if found is not None else []
    return [*advice, f"wrote {', '.join([str(picture), *drawn])} and {record}"]


def _spectrum(data: Signals, statistics: DataStatistics) -> Tensor:
    """The power spectrum of the data in the Fourier basis."""
    from sagd.noise.basis.fourier import FourierBasis
    from sagd.noise.statistics import measure
    from sagd.study.measuring import measured_part

    if isinstance(statistics.basis, FourierBasis):
        return statistics.spectrum
    some = measured_part(data)
    return measure(some.tensor(), mask=some.known()).spectrum


def _detection(command: Inspect, config: DataConfig, data: Signals) -> _Looked:
    """What detection finds in the data; nothing where that is too little."""
    from sagd.data.load import load
    from sagd.omission.detect import detect
    from sagd.omission.modes import Fill
    from sagd.study.cleared import leaking
    from sagd.study.measuring import measured_part

    reference = None
    if command.reference is not None:
        clean = load(replace(command.data, source=command.reference, corruption="none", observed=None), data.meaning)
        reference = measured_part(clean)
    try:
        if _are_few(data):
            return _look_at_few(config, data, reference)
        found = detect(data.tensor(), None if reference is None else reference.tensor())
        other = leaking(found, data) if reference is None else None
    except InputError as error:
        if reference is not None:
            raise
        return _Looked(lines=[f"no look for a damaged band: {error}"])
    if data.meaning.kind != "image":  # in sound, series and films much that is no damage sticks out as far
        return _Looked(found, ["", *(_hints(found, other) if found.findings or other else found.lines(False))])
    if other is not None:
        shown = other.found or found
        return _Looked(shown, ["", *shown.lines(), *_leak(found, other)], other.settings)
    omission = {} if found.band is None else {"mode": Fill.kind, "band": str(found.band)}
    return _Looked(found, ["", *found.lines()], omission)


def _are_few(data: Signals) -> bool:
    """Whether items are too few to be looked at, and trained on, as a set."""
    from sagd.omission.detect import LEAST_IMAGES

    return len(data) < LEAST_IMAGES


def _look_at_few(config: DataConfig, data: Signals, reference: Signals | None) -> _Looked:
    """Likewise, as `sagd clean` does, which takes few items if they are large."""
    from sagd.omission.search import search

    def values(part: Signals) -> Tensor:
        x, known = part.tensor(), part.known()
        return part.meaning.to_values(x if known is None else x.where(known, float("nan")))

    found, scale = search(values(data), None if reference is None else values(reference))
    lines = ["", *found.lines(data.meaning.kind == "image")]
    if found.band is not None:
        lines += ["  it multiplies the values"] if scale.multiplies else []
        lines.append(f"take it out: sagd clean {shlex.quote(config.source)} --together --out cleaned")
    return _Looked(found, lines)


def _leak(usual: OfMany, other: Leaking) -> list[str]:
    """That damage leaks beside the band in which it sticks out most, or so far that all of that sticks out."""
    lines = ["  it multiplies the values"] if other.settings["log"] == "yes" else []
    if usual.band is None:
        return lines
    if other.spills:
        leak = f"it leaks as far as {usual.band}: a model that leaves out what sticks out would lose all of that"
    else:
        leak = (
            f"it leaks: {100 * other.beside:.0f} % of its power lies beside {usual.band}, where it sticks out most, and"
            " a model that leaves that out would learn it from there"
        )
    if other.found is None:
        leak += f"; the whole of it: {other.settings['band']}"
    return [*lines, f"  {leak}"]


def _hints(found: OfMany, other: Leaking | None) -> list[str]:
    """What sticks out, and how to train around the most of it, or without it where it leaks, if it is damage."""
    from sagd.omission.modes import Fill

    settings = {"mode": Fill.kind, "band": str(found.band)} if other is None else other.settings
    shown = found.findings or (other.found.findings if other and other.found else ())
    options = " ".join(f"--process.omission.{key} {shlex.quote(value)}" for key, value in settings.items())
    return [
        "sticks out of the spectrum:",
        *(f"  {finding}" for finding in shown),
        *(_leak(found, other) if other is not None else []),
        "  it may be the data's own (tones, formants, what stands still): look before it is left out; if it is damage,"
        f" train {_how(settings)}:",
        f"  sagd train ... {options}",
    ]


def _write_band(path: Path, config: RunConfig, omission: dict[str, str]) -> str:
    """Write the configuration that trains on damaged data; returns a line that says how."""
    import yaml

    from sagd.store.files import write_file

    usual = to_dict(DataConfig(limit=Inspect().data.limit))
    data = {key: value for key, value in to_dict(config.data).items() if key == "source" or value != usual[key]}
    plugins = {"plugins": list(config.plugins)} if config.plugins else {}
    settings = plugins | {"data": data, "process": {"omission": omission}}
    write_file(path, yaml.safe_dump(settings, sort_keys=False, width=1000).encode())
    return f"train {_how(omission)}: sagd train {shlex.quote(str(path))} --out runs/{omission['mode']}"


def _how(omission: dict[str, str]) -> str:
    """How a training deals with damage, in words."""
    from sagd.omission.modes import Fill

    return "around it" if omission["mode"] == Fill.kind else f"on what is left without it (mode {omission['mode']})"


def _draw_band(found: Detection, band: Spectrum | str | None, path: Path, meaning: Meaning) -> None:
    from sagd.noise.bands import mask
    from sagd.noise.grid import RingScale
    from sagd.report.figures import PIXELS, band_figure, pixel_scales

    radius, basis, rings = found.basis.relative_radius(), found.basis, meaning.rings()
    inside = radius > 0
    b = 0 * radius if band is None else mask(band, basis)
    image = basis.rank == 2
    figure = band_figure(
        (radius if image else radius[inside]).flatten().numpy(),
        (found.power if image else found.power[inside]).flatten().numpy(),
        (found.smooth if image else found.smooth[inside]).flatten().numpy(),
        (b if image else b[inside]).flatten().numpy(),
        found.excess.numpy() if image else None,
        basis.spatial[-1],
        # Radii here are those of samples, which on uneven grids have no unit.
        RingScale.of(rings if rings is not None and rings.square else None),
        pixel_scales(meaning.grid()) if image else PIXELS,
    )
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    import io

    from sagd.store.files import write_file

    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    write_file(path, content.getvalue())


def _inspection_text(data: Signals, measured: Signals, inspection: Inspection) -> str:
    from sagd.data.kinds import Kind
    from sagd.noise.grid import RingScale

    profile, fit, meaning = inspection.profile, inspection.fit, data.meaning
    channels, scale = data.shape[0], RingScale.of(meaning.grid())
    names = list(meaning.channels) or [f"channel {c}" for c in range(channels)]
    widths = [max(12, len(name) + 2) for name in names]
    count = f"{len(measured)}" if len(measured) == len(data) else f"{len(measured)} of {len(data)}"
    lines = [
        f"power by radial band of {count} {Kind.member(meaning.kind).item[1]} of {data.name},"
        f" {' x '.join(map(str, data.shape))}, as models see them (white noise of unit variance: 1)",
        f"{'band of rho':>14}"
        + (f"{scale.unit:>18}" if scale.unit else "")
        + "".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True))
        + f"{'freedoms':>10}",
    ]
    bands = zip(profile.edges.tolist(), profile.edges.tolist()[1:], profile.degrees_of_freedom.tolist(), strict=False)
    for k, (start, end, freedoms) in enumerate(bands):
        values = (f"{value:.4g}" if freedoms else "-" for value in profile.values[:, k].tolist())
        cells = (f"{value:>{width}}" for value, width in zip(values, widths, strict=True))
        own = f"{start * scale.corner:9.4g}-{end * scale.corner:<8.4g}" if scale.unit else ""
        lines.append(f"{start:7.2f}-{end:<6.2f}{own}{''.join(cells)}{int(freedoms):10d}")
    low, high = inspection.sigma_range
    lines += [
        "",
        f"slope of log power against log frequency: {fit.slope:.2f} (R^2 {fit.r_squared:.2f})",
        f"  noise of the same shape: power_law(alpha={fit.slope / 2:.2f}); mild tilts to try: -0.1 .. 0.1",
        f"noise range the data needs: sigma/alpha from {low:.3g} to {high:.3g}"
        f"  (time grid 'karras(sigma_min={low:.3g}, sigma_max={high:.3g})', or 'matched')",
        f"training times where bands drown: log_normal(mean={inspection.log_sigma_mean:.2f},"
        f" std={inspection.log_sigma_std:.2f}), or 'matched'",
    ]
    return "\n".join(lines)
