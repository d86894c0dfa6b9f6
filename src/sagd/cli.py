"""The command line: parse, call, print. Errors of input are one line and exit code 2."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from sagd.config import (
    CompareConfig,
    DataConfig,
    EvaluationConfig,
    ProcessConfig,
    RunConfig,
    load_yaml,
    to_dict,
)
from sagd.description import suggest
from sagd.errors import DivergenceError, InputError
from sagd.folder import claim
from sagd.interrupt import Interrupted, Watch
from sagd.terminal import PrintError, flush, give_up, legible, printing, say, tell

if TYPE_CHECKING:
    from torch import Tensor

    from sagd.data import ImageData
    from sagd.design import Inspection
    from sagd.detection import Detection
    from sagd.statistics import DataStatistics
    from sagd.training import Model

Flag = tyro.conf.FlagCreatePairsOff[bool]
Config = TypeVar("Config")


@dataclass(frozen=True)
class Drawing:
    """How to draw images; what is left out is as the run was configured."""

    sampler: str | None = None
    """ddpm, 'ddim(eta=0)', euler, heun or dpm_solver; default: as the run was configured."""
    steps: int | None = None
    """Time steps; default: as the run was configured."""
    grid: str | None = None
    """uniform, karras, log_snr or matched; default: as the run was configured."""
    clip: float | None = None
    """Clamp the predicted clean image to [-clip, clip]; default: as the run was configured."""
    guidance: float | None = None
    """Classifier-free guidance scale of conditional models; default: as the run was configured."""


@dataclass(frozen=True)
class Inspect:
    """Measure the power spectrum of a data set: its slope, the noise range it asks for, and whether a band is damaged.

    Example: sagd inspect photos/ --data.size 64 --out runs/inspect
    """

    source: tyro.conf.Positional[str | None] = None
    """'digits' (built in), a folder of images, a .parquet file, or a hub data set name; default: --data.source."""
    out: Path | None = None
    """Directory for inspection.json, spectrum.png, band.png and, if a damaged band is found, band.yaml for training;
    default: only print."""
    reference: str | None = None
    """Clean images of the same kind (a folder, file or data set): far fainter damage is found against them."""
    bands: int = 10
    """Radial bands, equal parts of [0, 1] in fractions of the corner frequency."""
    data: DataConfig = field(default_factory=lambda: DataConfig(limit=10_000))
    process: ProcessConfig = field(default_factory=ProcessConfig)


@dataclass(frozen=True)
class Gallery:
    """Draw every process of the library on one of your images: noise, its spectrum, SNR over time, and noisy images.

    Example: sagd gallery photos/ --data.size 64 --out runs/gallery
    """

    out: Path
    """Directory for gallery.html and images/; must be empty or missing."""
    source: tyro.conf.Positional[str | None] = None
    """'digits' (built in), a folder of images, a .parquet file, or a hub data set name; default: --data.source."""
    image: int = 0
    """Number of the image that is drawn, from 0, of those that --data.limit leaves, in the order of the data."""
    seed: int = 0
    """Seed of the noise."""
    names: tuple[str, ...] = ()
    """Processes to draw, e.g. white low_tilt; default: all that fit the images."""
    data: DataConfig = field(default_factory=lambda: DataConfig(limit=2_000))


@dataclass(frozen=True)
class Train:
    """Train one model, from a YAML configuration, options, or both (options win).

    Example: sagd train --data.source digits --process.spectrum "power_law(alpha=-0.1)" --out runs/low
    """

    out: Path
    """Directory of the run; must be empty or missing unless --resume."""
    config: tyro.conf.Positional[Path | None] = None
    """YAML file with any of the sections data, process, network, denoiser, training, sampling."""
    resume: Flag = False
    """Continue from the newest checkpoint in --out."""
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)


@dataclass(frozen=True)
class Sample:
    """Draw images from a trained model: a grid and one PNG file each.

    Example: sagd sample runs/low --count 100 --seed 3 --out samples
    """

    model: tyro.conf.Positional[Path]
    """Run directory or model directory."""
    out: Path
    """Directory for grid.png and images/; must be empty or missing."""
    count: int = 64
    """Number of images."""
    seed: int = 0
    """Image i depends, but for rounding, on the seed and i only, not on count or batch size."""
    labels: tuple[str, ...] = ()
    """Conditional models: class names, repeated in turn; default: no label, which noise by class cannot do without."""
    batch_size: int = 64
    """Images per network call."""
    spectrum: str | None = None
    """The noise spectrum you believe the model has: refused if it was trained with another."""
    drawing: Annotated[Drawing, tyro.conf.arg(name="")] = field(default_factory=Drawing)


@dataclass(frozen=True)
class Corrupt:
    """Damage images in a band of frequencies and write them as PNG files, to try omission on.

    Example: sagd corrupt digits "scan_lines(level=0.3)" --out trial
    """

    source: tyro.conf.Positional[str]
    """'digits' (built in), a folder of images, a .parquet file, or a hub data set name."""
    corruption: tyro.conf.Positional[str]
    """band_noise, rain, moire, scan_lines, fixed_pattern, hum or shading, with parameters as in 'rain(level=0.3)'."""
    out: Path
    """Directory for damaged/ and clean/, with a folder per class where there are classes; must be empty or missing."""
    contrast: float = 0.5
    """Contrast of the images, in (0, 1], which leaves room for damage: what is clipped to black or white spreads."""
    seed: int = 0
    """Seed of the damage: the same image always gets the same."""
    data: DataConfig = field(default_factory=DataConfig)


@dataclass(frozen=True)
class Restore:
    """Restore damaged images with a model that was trained to leave their band out; all other frequencies stay.

    Example: sagd restore runs/fill striped/ --out restored
    """

    model: tyro.conf.Positional[Path]
    """Run directory or model directory, trained with --process.omission.mode fill, project or deconvolve."""
    images: tyro.conf.Positional[tuple[Path, ...]]
    """Image files and folders; of the size that the model was trained on."""
    out: Path
    """Directory for images/ (PNG), restored.safetensors (unrounded) and report.html; must be empty or missing."""
    samples: int = 0
    """Posterior samples per image, with their standard deviation; only models of mode deconvolve know a posterior."""
    clean: Path | None = None
    """Folder with the clean images under the same names, if you have them: the report then shows errors."""
    label: str | None = None
    """Conditional models: class of the images."""
    seed: int = 0
    """Seed of samples, and of the noise that deconvolve works under."""
    batch_size: int = 64
    """Images per network call."""


_SHOWN = 8
"""Images in the picture of `inspect`."""
_CLIPPED = 0.01
"""Share of clipped values that is worth a warning."""


@dataclass(frozen=True)
class Resample:
    """Draw a band of images anew, given all else, which stays: decide what is altered and what is not.

    Example: sagd resample runs/bands photo.png --band 0.4 1 --count 5 --out variants
    """

    model: tyro.conf.Positional[Path]
    """Run directory or model directory, trained with --denoiser.bands."""
    images: tyro.conf.Positional[tuple[Path, ...]]
    """Image files and folders; of the size that the model was trained on."""
    out: Path
    """Directory for images/ (PNG), resampled.safetensors (unrounded) and report.html; must be empty or missing."""
    band: tuple[float, float] | None = None
    """LOW HIGH: what changes, in fractions of the corner frequency; '0.4 1' is fine detail, '0 0.1' the layout.
    Default, of models of one band: that band."""
    mask: str | None = None
    """The band in words instead, e.g. 'strip(axis=0, low=0.1)' or 'ring(low=0.2, high=0.4, soft=0.05)'."""
    count: int = 4
    """Draws per image."""
    seed: int = 0
    """Draw k of image i depends on the seed, i and k only."""
    label: str | None = None
    """Conditional models: class of the images."""
    batch_size: int = 64
    """Draws per network call."""
    drawing: Annotated[Drawing, tyro.conf.arg(name="")] = field(default_factory=Drawing)


# An empty source stands for the training data of the model that is evaluated.
_AS_TRAINED = DataConfig(source="")


@dataclass(frozen=True)
class Evaluate:
    """Measure a model, or a folder of images, against a data set; a real-against-real floor beside every figure.

    Example: sagd evaluate runs/low --data.split test --out runs/low-evaluation
    """

    target: tyro.conf.Positional[Path]
    """Run directory, model directory, or folder of images (which needs --data.source)."""
    out: Path | None = None
    """Directory for evaluation.json; default: only print."""
    data: DataConfig = _AS_TRAINED
    """Reference images; for a model, what is left out is as for its training data."""
    sampling: Drawing = field(default_factory=Drawing)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


@dataclass(frozen=True)
class Compare:
    """Train, sample and evaluate several forward processes alike; writes results.json and report.html.

    Example: sagd compare examples/demo.yaml --out runs/demo
    """

    config: tyro.conf.Positional[Path]
    """YAML file with arms (name -> process), seeds, and the shared sections."""
    out: Path
    """Directory of the comparison; must be empty or missing unless --resume."""
    resume: Flag = False
    """Keep finished runs and continue the others."""


COMMANDS: dict[str, type] = {
    c.__name__.lower(): c for c in (Inspect, Gallery, Train, Sample, Corrupt, Restore, Resample, Evaluate, Compare)
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code.

    0: done; 1: done, but the result could not be printed; 2: bad input; 3: a diverged training; 128 + n: signal n.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    with legible():
        logging.basicConfig(format="%(message)s")
        logging.getLogger("sagd").setLevel(logging.INFO)
        _hide_bars()
        try:
            with warnings.catch_warnings(), Watch():
                warnings.showwarning = _show_warning
                return _dispatch(args)
        except InputError as error:
            return _fail(error, 2)
        except DivergenceError as error:
            return _fail(error, 3)
        except KeyboardInterrupt as error:
            # Interrupted, a KeyboardInterrupt, knows its signal.
            return _fail(error, 128 + getattr(error, "signal", 2))
        except BrokenPipeError:
            give_up()
            return 141
        except PrintError as error:
            give_up()
            return _fail(f"cannot print the result: {error}; what belongs in --out is there", 1)


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        say(_overview())
    elif args[0] == "--version":
        from sagd import __version__

        say(__version__)
    elif args[0] not in COMMANDS:
        raise InputError(f"unknown command {args[0]!r}{suggest(args[0], list(COMMANDS))}")
    else:
        command = _parse(args[0], args[1:])
        if not isinstance(command, Train) and "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1":
            raise InputError(f"'sagd {args[0]}' runs in one process; leave out torchrun, which 'sagd train' can use")
        with _claimed(command):
            _RUNNERS[args[0]](command)
    flush()
    return 0 if args else 2


def _claimed(command: Any) -> contextlib.AbstractContextManager[None]:
    """Its folder held for a command; training and comparing, which Python may call too, hold theirs themselves."""
    if command.out is None or isinstance(command, (Train, Compare)):
        return contextlib.nullcontext()
    return claim(command.out, empty=not isinstance(command, (Inspect, Evaluate)))


def _overview() -> str:
    summaries = {name: (command.__doc__ or "").splitlines()[0] for name, command in COMMANDS.items()}
    return "\n".join(
        [
            "usage: sagd COMMAND ...",
            "",
            "Spectrally anisotropic Gaussian diffusion: choose which frequencies noise destroys.",
            "",
            *(f"  {name:<9} {summary}" for name, summary in summaries.items()),
            "",
            "sagd COMMAND --help explains a command and all its options. Start with: sagd inspect digits",
        ]
    )


def _fail(error: BaseException | str, code: int) -> int:
    tell(f"sagd: {str(error) or 'interrupted'}")
    return code


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    tell(f"sagd: warning: {message}")


def _hide_bars() -> None:
    """Keep the bars of `datasets` and `huggingface_hub` off what is no terminal, as ours are."""
    if not sys.stderr.isatty():
        for library in ("HF_DATASETS", "HF_HUB"):
            os.environ.setdefault(f"{library}_DISABLE_PROGRESS_BARS", "1")


def _parse(name: str, args: list[str]) -> Any:
    """The command with its options, and for `train` those of its configuration file beneath them."""
    command = _read_options(name, args)
    if isinstance(command, Train) and command.config is not None:
        default = Train(out=tyro.MISSING, run=load_yaml(RunConfig, command.config))
        command = _read_options(name, args, default=default)
    return command


def _read_options(name: str, args: list[str], **default: Any) -> Any:
    """Read options; what tyro says in a box of many lines becomes one line."""
    boxed = io.StringIO()
    try:
        with contextlib.redirect_stderr(boxed), printing():
            return tyro.cli(COMMANDS[name], prog=f"sagd {name}", args=args, **default)
    except SystemExit as stop:
        if not stop.code:
            flush()
            raise
        raise InputError(f"{_unboxed(boxed.getvalue())}; see 'sagd {name} --help'") from None


def _unboxed(box: str) -> str:
    """The statement of an error box, drawn in Unicode or ASCII, and its first suggestion.

    >>> _unboxed("╭─ Missing ─────────────╮\\n│ Missing value for '-a'. │\\n╰─────────────────────────╯")
    "missing value for '-a'"
    """
    # A title, then parts between horizontal rules, all two characters in from the left.
    body = "\n".join(line[2:].rstrip(" │╮╯") for line in box.splitlines()[1:])
    parts = [part for part in re.split(r"^[─-]{4,}$", body, flags=re.MULTILINE) if part.strip()]
    message, *others = [" ".join(part.split()) for part in parts] or ["bad options"]
    if message.startswith("Missing from"):
        # Options stand indented by four, their explanations by eight.
        return "missing " + " and ".join(re.findall(r"^ {4}(\S.*)$", parts[0], flags=re.MULTILINE))
    if wrong := re.match(r"Error parsing (\S+): .*?('[^']*'|\[.*?\])", message):
        takes = re.search(r"Argument helptext: \S+ (?:\{None\}\|)?(?:\{(.*?)\}|(\[.*?\]\]|\S+))", " ".join(others))
        return f"{wrong[1]} cannot be {wrong[2]}" + (f"; it takes {takes[1] or takes[2]}" if takes else "")
    similar = re.search(r"(?:meant|similar to \S+): (--\S+)", " ".join(others))
    return message[0].lower() + message[1:].rstrip(".") + (f"; did you mean {similar[1]}?" if similar else "")


def _inspect(command: Inspect) -> None:
    from sagd import design
    from sagd.build import build_process
    from sagd.data import load
    from sagd.training.trainer import process_statistics, resolve_omission

    config = _inspected(command)
    data = load(config)
    x = data.tensor()
    statistics = process_statistics(data, command.process)
    process = build_process(resolve_omission(command.process, data), data.shape, statistics, data.classes)
    inspection = design.inspect(statistics, process, command.bands)
    ends = design.check_ends(statistics, process, command.bands)
    found, detection = _detection(command, x)
    lines = [_inspection_text(data.name, tuple(x.shape), inspection), *ends.lines(), *detection]
    if command.out is not None:
        lines += _write_inspection(command.out, config, data, statistics, inspection, found)
    elif found is not None and found.band is not None:
        lines.append("with --out, 'sagd inspect' writes a configuration that trains around it")
    say("\n".join(lines))


def _write_inspection(
    out: Path,
    config: DataConfig,
    data: ImageData,
    statistics: DataStatistics,
    inspection: Inspection,
    found: Detection | None,
) -> list[str]:
    """Write what was measured; returns lines that say so."""
    from sagd.report.figures import inspect_figure
    from sagd.statistics import measure
    from sagd.training.storage import to_json, write_file, writing

    x, record, picture = data.tensor(), out / "inspection.json", out / "spectrum.png"
    told = {} if found is None else {"detection": found.to_dict()}
    write_file(record, to_json(inspection.to_dict() | told))
    profile, fit = inspection.profile, inspection.fit
    figure = inspect_figure(
        profile.centres.numpy(),
        profile.values.numpy(),
        slope=fit.slope,
        intercept=fit.intercept,
        images=data.some(_SHOWN).tensor().numpy(),
        spectrum2d=measure(x).spectrum.numpy(),
        channels=None if statistics.basis.channels is None else [f"colour {c}" for c in range(x.shape[1])],
    )
    with writing(picture):
        figure.savefig(picture, dpi=150)
        if found is not None:
            _draw_band(found, out / "band.png")
    advice = [] if found is None or found.band is None else [_write_band(out / "band.yaml", config, found)]
    return [*advice, f"wrote {picture} and {record}"]


def _detection(command: Inspect, x: Tensor) -> tuple[Detection | None, list[str]]:
    """What detection finds in the images, and lines that tell; None where they are too few or too small."""
    from sagd.data import load
    from sagd.detection import detect

    reference = None
    if command.reference is not None:
        reference = load(replace(command.data, source=command.reference, corruption="none")).tensor()
    try:
        found = detect(x, reference)
    except InputError as error:
        if reference is not None:
            raise
        return None, [f"no look for a damaged band: {error}"]
    return found, ["", *found.lines()]


def _write_band(path: Path, config: DataConfig, found: Detection) -> str:
    """Write the configuration that trains around a band; returns a line that says how."""
    import yaml

    from sagd.training.storage import write_file

    usual = to_dict(DataConfig(limit=Inspect().data.limit))
    data = {key: value for key, value in to_dict(config).items() if key == "source" or value != usual[key]}
    omission = {"data": data, "process": {"omission": {"mode": "fill", "band": str(found.band)}}}
    write_file(path, yaml.safe_dump(omission, sort_keys=False, width=1000).encode())
    return f"train around it: sagd train {shlex.quote(str(path))} --out runs/fill"


def _draw_band(found: Detection, path: Path) -> None:
    from sagd.band import mask
    from sagd.report.figures import band_figure

    radius, basis = found.basis.relative_radius(), found.basis
    inside = radius > 0
    b = 0 * radius if found.band is None else mask(found.band, basis)
    image = basis.rank == 2
    figure = band_figure(
        (radius if image else radius[inside]).flatten().numpy(),
        (found.power if image else found.power[inside]).flatten().numpy(),
        (found.smooth if image else found.smooth[inside]).flatten().numpy(),
        (b if image else b[inside]).flatten().numpy(),
        found.excess.numpy() if image else None,
        basis.spatial[-1],
    )
    figure.savefig(path, dpi=150)


def _inspected(command: Inspect | Gallery) -> DataConfig:
    named = command.data.source
    if command.source is None or command.source == named:
        return command.data
    if named != DataConfig().source:
        raise InputError(f"two data sets, {command.source!r} and --data.source {named!r}; name one")
    return replace(command.data, source=command.source)


def _inspection_text(name: str, shape: tuple[int, ...], inspection: Inspection) -> str:
    profile, fit = inspection.profile, inspection.fit
    channels = shape[1]
    lines = [
        f"{name}: {shape[0]} images, {channels} x {' x '.join(map(str, shape[2:]))}, values in [-1, 1]",
        "",
        "power by radial band (white noise of unit variance: 1)",
        f"{'band of rho':>14}" + "".join(f"{f'channel {c}':>12}" for c in range(channels)) + f"{'freedoms':>10}",
    ]
    bands = zip(profile.edges.tolist(), profile.edges.tolist()[1:], profile.degrees_of_freedom.tolist(), strict=False)
    for k, (start, end, freedoms) in enumerate(bands):
        cells = (f"{profile.values[c, k]:12.4g}" if freedoms else f"{'-':>12}" for c in range(channels))
        lines.append(f"{start:7.2f}-{end:<6.2f}{''.join(cells)}{int(freedoms):10d}")
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


def _gallery(command: Gallery) -> None:
    import torch

    from sagd.catalogue import unfit
    from sagd.data import load
    from sagd.experiment.gallery import exhibits
    from sagd.report.gallery import render_gallery
    from sagd.training.storage import writing

    config = _inspected(command)
    data = load(config)
    shown = exhibits(data, command.image, command.seed, command.names, progress=True)
    size = " x ".join(map(str, data.shape))
    place = int(data.places_of(torch.tensor([command.image])))
    where = "" if place == command.image else f" (number {place:,} of the source)"
    subtitle = f"{data.name}: image {command.image} of {len(data):,}{where}, {size}; noise of seed {command.seed}"
    with writing(command.out):
        page = render_gallery(shown, command.out, f"Forward processes on {data.name}", subtitle)
    left_out = {} if command.names else unfit(data.shape, data.classes)
    for name, lacking in left_out.items():
        say(f"left out: {name}, which needs {lacking}")
    say(f"wrote {page} and its figures in {command.out / 'images'}")


def _train(command: Train) -> None:
    from sagd.training import load, train

    path = train(command.run, command.out, resume=command.resume)
    out = command.out
    if command.run.denoiser.bands not in ("none", "random"):
        say(f"model: {path}\nuse it with: sagd resample {out} IMAGES --out {out}-resampled")
        return
    labels = ""
    if "by_class" in command.run.process.spectrum:
        labels = " --labels " + " ".join(map(shlex.quote, load(path).classes or ()))
    say(f"model: {path}\nsample it with: sagd sample {out}{labels} --out {out}-samples")
    if command.run.process.omission.mode in ("project", "fill", "deconvolve"):
        say(f"restore images with: sagd restore {out} IMAGES --out {out}-restored")


def _sample(command: Sample) -> None:
    from sagd.data import image_grid, save_images
    from sagd.experiment import guided
    from sagd.sampler import draw
    from sagd.training import load
    from sagd.training.storage import writing

    if command.count < 1 or command.batch_size < 1:
        raise InputError(f"--count and --batch-size must be at least 1, got {command.count} and {command.batch_size}")
    model = load(command.model)
    if command.spectrum is not None:
        _require_spectrum(command.spectrum, command.model, model)
    sampling = _override(model.config.sampling, command.drawing, Drawing())
    labels = _labels(command.labels, command.count, model)
    denoiser = guided(model, sampling.guidance)
    images = draw(
        denoiser,
        command.count,
        sampling,
        seed=command.seed,
        labels=labels,
        statistics=model.statistics,
        batch_size=command.batch_size,
        progress=True,
    )
    save_images(images, command.out / "images")
    grid = command.out / "grid.png"
    with writing(grid):
        image_grid(images[:256]).save(grid)
    say(f"wrote {grid} and {command.count} images in {command.out / 'images'}")


def _require_spectrum(spectrum: str, path: Path, model: Model) -> None:
    """Refuse another noise spectrum than the model was trained with."""
    from sagd.build import build_process
    from sagd.training import load

    config = replace(model.config.process, spectrum=spectrum)
    load(path, process=build_process(config, model.process.shape, model.statistics, model.classes))


def _labels(names: tuple[str, ...], count: int, model: Model, option: str = "--labels") -> Tensor | None:
    import torch

    from sagd.covariance import ClassCovariance

    if not names:
        if isinstance(model.process.covariance, ClassCovariance):
            raise InputError(f"the noise depends on the class; give {option}, from: {', '.join(model.classes or ())}")
        return None
    if model.classes is None:
        raise InputError(f"{option} {' '.join(names)}: the model is unconditional; leave {option} out")
    for name in names:
        if name not in model.classes:
            raise InputError(f"{option}: the model has no class {name!r}{suggest(name, list(model.classes))}")
    numbers = [model.classes.index(name) for name in names]
    return torch.tensor([numbers[i % len(numbers)] for i in range(count)])


def _label(name: str | None, model: Model) -> int | None:
    """The number of one class."""
    labels = _labels(() if name is None else (name,), 1, model, "--label")
    return None if labels is None else int(labels[0])


def _corrupt(command: Corrupt) -> None:
    from sagd.data import Corruption, load, save_damaged

    if not 0 < command.contrast <= 1:
        raise InputError(f"--contrast must lie in (0, 1], got {command.contrast}; 0.5 leaves room for damage")
    config = replace(command.data, source=command.source, corruption="none")
    corruption = Corruption.parse(command.corruption)
    clean = load(config)
    band = corruption.band(clean.shape[1:], command.seed)
    clipped = save_damaged(clean, corruption, command.out, command.contrast, command.seed)
    say(f"wrote {len(clean)} images in {command.out / 'damaged'} and {command.out / 'clean'}")
    say(f"the damage is in the band '{band}'")
    modes = corruption.assumptions.modes
    needs = f"{', '.join(modes)} need{'s' * (len(modes) == 1)}" if modes else "no mode needs in full"
    say(f"{corruption.kind} meets what {needs}: see 'sagd train --help', process.omission.mode")
    if clipped > _CLIPPED:
        warnings.warn(
            f"{100 * clipped:.1f} % of the values were clipped to black or white, which spreads the damage beyond its"
            " band; lower its level or --contrast",
            stacklevel=2,
        )


def _restore(command: Restore) -> None:
    from sagd.data import save_named
    from sagd.experiment.restoration import restore_files
    from sagd.report.restoration import render_restoration
    from sagd.report.wording import counted
    from sagd.training import load
    from sagd.training.storage import to_json, to_safetensors, write_file, writing

    if command.batch_size < 1:
        raise InputError(f"--batch-size must be at least 1, got {command.batch_size}")
    model = load(command.model)
    label = _label(command.label, model)
    result = restore_files(
        model,
        command.images,
        samples=command.samples,
        seed=command.seed,
        clean=command.clean,
        label=label,
        batch_size=command.batch_size,
        progress=True,
    )
    restoration = result.restoration
    save_named(restoration.images, result.names, command.out / "images")
    tensors = {"restored": restoration.images}
    if restoration.std is not None and restoration.samples is not None:
        tensors |= {"std": restoration.std, "samples": restoration.samples}
        for k, sample in enumerate(restoration.samples):
            save_named(sample, result.names, command.out / "samples" / f"{k:02d}")
    write_file(command.out / "restored.safetensors", to_safetensors(tensors))
    write_file(command.out / "restoration.json", to_json(result.to_dict()))
    with writing(command.out):
        page = render_restoration(result, command.out)
    for name, value in result.psnr.items():
        say(f"PSNR of {name} images: {value:.2f} dB")
    say(f"wrote {counted(len(result.names), 'image')} in {command.out / 'images'} and {page}")


def _resample(command: Resample) -> None:
    from sagd.data import save_named
    from sagd.experiment import guided
    from sagd.experiment.resampling import resample_files
    from sagd.report.resampling import render_resampling
    from sagd.training import load
    from sagd.training.storage import to_json, to_safetensors, write_file, writing

    if command.count < 1 or command.batch_size < 1:
        raise InputError(f"--count and --batch-size must be at least 1, got {command.count} and {command.batch_size}")
    if command.band is not None and command.mask is not None:
        raise InputError("--band and --mask are two ways to name what changes; give one")
    band = command.mask if command.band is None else "ring(low={!r}, high={!r})".format(*command.band)
    model = load(command.model)
    sampling = _override(model.config.sampling, command.drawing, Drawing())
    label = _label(command.label, model)
    model = replace(model, denoiser=guided(model, sampling.guidance))
    result = resample_files(
        model,
        command.images,
        band,
        sampling,
        command.count,
        command.seed,
        label,
        command.batch_size,
        progress=True,
    )
    for k, draw in enumerate(result.samples):
        names = [f"{Path(name).with_suffix('')}-{k:02d}.png" for name in result.names]
        save_named(draw, names, command.out / "images")
    write_file(command.out / "resampled.safetensors", to_safetensors({"resampled": result.samples}))
    write_file(command.out / "resampling.json", to_json(result.to_dict()))
    with writing(command.out):
        page = render_resampling(result, command.out)
    say(f"wrote {len(result.names)} x {command.count} images in {command.out / 'images'} and {page}")


def _evaluate(command: Evaluate) -> None:
    from sagd.experiment import evaluate_folder, evaluate_model, figures, is_model
    from sagd.report.text import evaluation_text
    from sagd.training import load
    from sagd.training.storage import to_json, write_file

    target = command.target
    if is_model(target):
        model = load(target)
        data = _override(model.config.data, command.data, _AS_TRAINED)
        sampling = _override(model.config.sampling, command.sampling, Drawing())
        result = evaluate_model(model, command.evaluation, data, sampling)
    elif not command.data.source:
        raise InputError(f"{str(target)!r} is a folder of images: name the reference with --data.source")
    elif command.sampling != Drawing():
        raise InputError(f"{str(target)!r} is a folder of images, from which nothing is drawn: leave out --sampling")
    else:
        result = evaluate_folder(target, command.evaluation, command.data)
    lines = [evaluation_text(result, figures(result), figures(result, "floor"))]
    if command.out is not None:
        record = command.out / "evaluation.json"
        write_file(record, to_json(result))
        lines.append(f"wrote {record}")
    say("\n".join(lines))


def _compare(command: Compare) -> None:
    from sagd.experiment import compare
    from sagd.report.directory import render_directory
    from sagd.report.text import comparison_text

    pages: list[Path] = []
    try:
        results = compare(
            load_yaml(CompareConfig, command.config),
            command.out,
            resume=command.resume,
            then=lambda out: pages.append(render_directory(out)),
        )
    except Interrupted as stop:
        raise Interrupted(stop.signal, resumable=True) from None
    say(f"{comparison_text(results)}\nreport: {pages[0]}")


def _override(config: Config, given: Any, neutral: Any) -> Config:
    """`config` with the values of `given` that are not those of `neutral`."""
    values = {f.name: getattr(given, f.name) for f in fields(given)}
    changes = {name: value for name, value in values.items() if value != getattr(neutral, name)}
    return replace(config, **changes)  # type: ignore[type-var]


_RUNNERS: dict[str, Callable[[Any], None]] = {
    "inspect": _inspect,
    "gallery": _gallery,
    "train": _train,
    "sample": _sample,
    "corrupt": _corrupt,
    "restore": _restore,
    "resample": _resample,
    "evaluate": _evaluate,
    "compare": _compare,
}

if __name__ == "__main__":
    sys.exit(main())
