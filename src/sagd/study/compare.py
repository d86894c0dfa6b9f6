"""Train, sample and evaluate several forward processes alike, and gather what a report needs.

    OUT/config.yaml                resolved configuration
    OUT/ARM/seed-S/                a training run and its model
    OUT/ARM/seed-S/evaluation/     figures, samples, and what the report draws of the run, with their checksums
    OUT/results.json               figures of every run, means over seeds, paired differences to the first arm
    OUT/arrays.safetensors         images and curves that the report draws

Finished runs are kept, so an interrupted comparison goes on where it was.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sagd.build.schema import AUTO_BASIS, ArmConfig, CompareConfig, ProcessConfig, RunConfig
from sagd.build.text import changed, load_yaml, to_dict, to_yaml
from sagd.data.files import RESERVED
from sagd.data.kinds import Kind
from sagd.data.load import load
from sagd.data.signals import Signals
from sagd.errors import InputError, argument
from sagd.metrics import FeatureExtractor
from sagd.noise.statistics import DataStatistics, measure, radial_profile
from sagd.optional import need
from sagd.paths import read_text
from sagd.process.base import Process
from sagd.random import generator_for
from sagd.sampling.grids import matched_range
from sagd.store.files import (
    PARTIAL,
    entries,
    read_json,
    read_tensors,
    reading,
    to_json,
    to_safetensors,
    verify_directory,
    write_directory,
    write_file,
)
from sagd.store.folder import LOCK, claim
from sagd.store.model import load_model, versions
from sagd.store.run import CONFIG, advice
from sagd.study.evaluation import (
    check_evaluation,
    check_likelihood,
    draw_samples,
    evaluate_samples,
    feature_extractor,
    figures,
    measure_likelihood,
    tell_masks,
)
from sagd.study.illustration import forward_images, shown_power
from sagd.study.machine import describe_machine
from sagd.study.measuring import basis_for, measured_part
from sagd.study.run import of_another
from sagd.study.summary import LEVEL, family, summarise
from sagd.study.train import check_training, prepare, settled, train

logger = logging.getLogger(__name__)

FINISHED, RESULT, DRAWN = "evaluation", "evaluation.json", "samples.safetensors"
"""Folder of a run that has been evaluated: figures, and samples and curves that the report draws."""
FIELDS = 4
"""Noise fields of each arm that the report shows."""
LEVELS = 6
"""Noise levels at which the report shows the forward process."""


def compare(
    config: CompareConfig,
    out: Path,
    resume: bool = False,
    progress: bool = True,
    then: Callable[[Path], object] | None = None,
) -> dict[str, Any]:
    """Run a comparison and write its results.

    Args:
        config: Arms, seeds, and what they share.
        out: Directory; must be empty or missing unless `resume`.
        resume: Keep finished runs and continue unfinished ones.
        progress: Show progress bars.
        then: Called with `out` when all is written and no other command may write there yet, e.g. to draw the report.

    Returns:
        The content of `results.json`.

    Raises:
        InputError: Before any training, if an arm or a setting cannot work, or `out` holds another comparison.
    """
    need("scipy")
    _check(config)
    data = load(config.data)
    items = Kind.member(data.meaning.kind).item[1]
    check_evaluation(config.evaluation, len(data), items)
    with claim(out, empty=not resume, advice=advice()):
        _refuse_other(config, out)
        config = _in_one_basis(config, out, data)
        processes = _check_arms(config, data)
        config = _settled(config, out, data)
        # Whatever the arms are trained on, they are measured against clean images.
        clean = data.clean
        tell_masks(clean)
        extractor = feature_extractor(config.evaluation, clean, progress)
        # Only now, so that what was refused can be corrected and started again in the same place.
        write_file(out / CONFIG, to_yaml(config))
        runs: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in config.arms}
        for seed in config.seeds:
            for name in config.arms:
                runs[name][seed] = _run(config, name, seed, out, data, extractor, progress)
        some = measured_part(clean)
        statistics = measure(some.tensor(), mask=some.known())
        write_file(out / "arrays.safetensors", to_safetensors(_arrays(config, out, clean, processes, statistics)))
        results = _results(config, data, runs)
        write_file(out / "results.json", to_json(results))
        if then is not None:
            then(out)
    return results


def _check(config: CompareConfig) -> None:
    if not config.arms:
        raise InputError("arms is empty; name at least one forward process, e.g. 'arms: {white: {}}'")
    if not config.seeds or len(set(config.seeds)) < len(config.seeds) or min(config.seeds) < 0:
        raise InputError(f"seeds must be whole numbers from 0, all different, got {list(config.seeds)}; e.g. [0, 1]")
    for name in config.arms:
        if not re.fullmatch(r"\w[\w-]*", name):
            raise InputError(f"arm name {name!r} names a directory: use letters, digits, '-' and '_'")
        if RESERVED.fullmatch(name):
            raise InputError(f"arm name {name!r} names a directory, which Windows cannot have; try '{name}_arm'")
    if strangers := config.own.keys() - config.arms.keys():
        raise InputError(f"own.{min(strangers)} is of no arm; the arms are {', '.join(config.arms)}")
    for denoiser in (config.denoiser, *(own.denoiser for own in config.own.values() if own.denoiser)):
        if denoiser.bands not in ("none", "random"):
            raise InputError(
                f"denoiser.bands {denoiser.bands!r} makes models that draw no whole images to compare; use 'random'"
            )


def _refuse_other(config: CompareConfig, out: Path) -> None:
    """Refuse to go on in the directory of something else; arms and seeds may be added, as what is finished stays valid.

    Raises:
        InputError: Naming what differs.
    """
    path = out / CONFIG
    if not path.exists():
        if {entry.name for entry in entries(out)} - {LOCK, f"{CONFIG}{PARTIAL}"}:
            raise InputError(f"{str(out)!r} holds no comparison to resume; choose another {argument('out')}")
        return
    try:
        before = load_yaml(CompareConfig, path)
    except InputError as error:
        raise InputError(
            f"{str(out)!r} holds no comparison to resume ({error}); choose another {argument('out')}"
        ) from None
    changes: dict[str, tuple[Any, Any]] = {}
    for section in ("data", "network", "denoiser", "training", "sampling", "evaluation"):
        changes |= _changes(section, getattr(before, section), getattr(config, section))
    for name in (name for name in config.arms if name in before.arms):
        changes |= _changes(f"arms.{name}", before.arms[name], config.arms[name])
        changes |= _changes(f"own.{name}", *(c.own.get(name, ArmConfig()) for c in (before, config)))
    if changes:
        raise InputError(
            f"{of_another(changes, f'the comparison in {str(out)!r}')}, or choose another {argument('out')}"
        )


def _changes(section: str, before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    """Settings that differ, by name: now and then; 'auto' is whatever it was settled as."""
    then, now = to_dict(before), to_dict(after)
    return {
        f"{section}.{key}": (value, then[key])
        for key, value in now.items()
        if then[key] != value and not (key in ("precision", "basis") and value == "auto")
    }


def _settled(config: CompareConfig, out: Path, data: Signals) -> CompareConfig:
    """The configuration with one precision for all arms, that of then in a directory with a comparison."""
    if config.training.precision != "auto":
        return config
    if (out / CONFIG).exists():
        precision = load_yaml(CompareConfig, out / CONFIG).training.precision
    else:
        first = next(iter(config.arms))
        precision = settled(_run_config(config, first, config.seeds[0]), data).training.precision
    return dataclasses.replace(config, training=dataclasses.replace(config.training, precision=precision))


def _in_one_basis(config: CompareConfig, out: Path, data: Signals) -> CompareConfig:
    """The configuration with one basis for all arms that leave it to the data: arms in several bases would differ by
    more than their noise. In a directory with a comparison, its arms keep theirs, and others have that of the first."""
    left = {name: arm for name, arm in config.arms.items() if arm.basis == AUTO_BASIS}
    if not left:
        return config
    before = load_yaml(CompareConfig, out / CONFIG).arms if (out / CONFIG).exists() else {}
    known = {name: before[name].basis for name in left if name in before}
    common = next(iter(known.values())) if known else basis_for([*left.values()], data, config.denoiser)
    settled = {name: dataclasses.replace(arm, basis=known.get(name, common)) for name, arm in left.items()}
    return dataclasses.replace(config, arms=config.arms | settled)


def _check_arms(config: CompareConfig, data: Signals) -> dict[str, tuple[Process, float]]:
    """The process of every arm and the noise level that drowns the data, after setting up its training.

    So what cannot work fails before any is trained.
    """
    processes = {}
    for name in config.arms:
        run = _run_config(config, name, config.seeds[0])
        try:
            check_training(run.training)
            model = prepare(run, data).model
            check_likelihood(config.evaluation, model.process, len(data), Kind.member(data.meaning.kind).item[1])
        except InputError as error:
            raise InputError(f"arm {name!r}: {error}") from None
        processes[name] = model.process, matched_range(model.process, model.statistics)[1]
    return processes


def _run(
    config: CompareConfig,
    name: str,
    seed: int,
    out: Path,
    data: Signals,
    extractor: FeatureExtractor | None,
    progress: bool,
) -> dict[str, Any]:
    """One arm and seed, trained and evaluated; read from disk if it was already."""
    folder = out / name / f"seed-{seed}"
    finished = folder / FINISHED
    if finished.exists():
        return _read_result(finished)
    logger.info("%s, seed %d: %s", name, seed, _stated(config.arms[name]))
    run = _run_config(config, name, seed)
    train(run, folder, resume=folder.exists(), data=data)
    model = load_model(folder)
    clean = data.clean
    samples = draw_samples(model, clean, run.sampling, config.evaluation, seed, progress)
    evaluation = evaluate_samples(samples, clean, extractor, config.evaluation, progress)
    if config.evaluation.likelihood:
        evaluation |= {"likelihood": measure_likelihood(model, clean, config.evaluation, progress)}
    spectrum = measure(samples)
    profile = radial_profile(spectrum.spectrum, spectrum.basis, config.evaluation.bands, data.meaning.rings()).values
    kept = samples[: Kind.member(data.meaning.kind).kept]
    log = _log(folder)
    drawn = {"samples": data.meaning.packed(kept), "profile": profile}
    drawn |= {key: torch.tensor([line[key] for line in log]) for key in ("step", "loss")}
    if spectrum.basis.rank == 1:
        drawn["spectrum"] = spectrum.spectrum
    result = {"seed": seed, "training": _training_record(log, model.plain.module), "evaluation": evaluation}
    write_directory(finished, [(RESULT, to_json(result)), (DRAWN, to_safetensors(drawn))])
    return result


def _read_result(finished: Path) -> dict[str, Any]:
    """What `_run` wrote.

    Raises:
        CheckpointError: If it is damaged, or something else.
    """
    cure = f"remove {str(finished)!r} to measure that arm again"
    verify_directory(finished, [RESULT, DRAWN], cure)
    result = read_json(finished / RESULT)
    with reading(finished / RESULT, f"holds no result; {cure}"):
        evaluation, training = result["evaluation"], result["training"]
        values = [figures(evaluation, which) for which in ("figure", "floor")]
        numbers = [evaluation["n"], result["seed"], training["seconds"], *values[0].values(), *values[1].values()]
        numbers += [error for which in ("figure", "floor") for error in evaluation[which]["spectral"]["error"]]
        if not all(number is None or type(number) in (int, float) for number in numbers):
            raise InputError("a figure is no number")
    return result


def _stated(process: ProcessConfig) -> str:
    """The spectrum of a process, and whatever else is not as usual."""
    usual, own = dataclasses.asdict(ProcessConfig()), dataclasses.asdict(process)
    others = [f"{key} {value}" for key, value in own.items() if key != "spectrum" and value != usual[key]]
    return ", ".join([process.spectrum, *others])


def _run_config(config: CompareConfig, name: str, seed: int) -> RunConfig:
    """The training of an arm: what all share, but for what it has of its own."""
    own = config.own.get(name, ArmConfig())
    return RunConfig(
        data=config.data,
        process=config.arms[name],
        network=config.network,
        denoiser=own.denoiser or config.denoiser,
        training=dataclasses.replace(config.training, seed=seed),
        sampling=own.sampling or config.sampling,
        plugins=config.plugins,
        design=own.design,
    )


def _otherwise(config: CompareConfig, name: str) -> dict[str, str]:
    """What an arm does otherwise than the sections that all share, as text by section."""
    own = config.own.get(name, ArmConfig())
    shared = {"denoiser": config.denoiser, "sampling": config.sampling}
    values = {section: changed(getattr(own, section) or usual, usual) for section, usual in shared.items()}
    return {section: ", ".join(f"{k} {v}" for k, v in found.items()) for section, found in values.items() if found}


def _training_record(lines: list[dict[str, float]], network: torch.nn.Module) -> dict[str, Any]:
    return {
        "seconds": sum(line["seconds"] for line in lines),
        "items_per_second": sum(line["items_per_second"] for line in lines) / len(lines),
        "final_loss": lines[-1]["loss"],
        "parameters": sum(p.numel() for p in network.parameters()),
    }


def _log(folder: Path) -> list[dict[str, float]]:
    """Lines of the metrics of a finished run."""
    path = folder / "metrics.jsonl"
    with reading(path, "holds no metrics; remove the run to train it again"):
        lines = [json.loads(line) for line in read_text(path).splitlines()]
        kept = [{key: float(line[key]) for key in ("step", "loss", "seconds", "items_per_second")} for line in lines]
        if not kept:
            raise InputError("it is empty")
    return kept


def _results(
    config: CompareConfig,
    data: Signals,
    runs: dict[str, dict[int, dict[str, Any]]],
) -> dict[str, Any]:
    reference = next(iter(config.arms))
    values = {arm: {seed: figures(run["evaluation"]) for seed, run in by_seed.items()} for arm, by_seed in runs.items()}
    summary, tests = summarise(values, reference), family(values, reference)
    first = next(iter(runs[reference].values()))["evaluation"]
    return {
        "title": f"{', '.join(config.arms)} on {data.name}",
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "config": to_dict(config),
        "versions": versions(),
        "machine": describe_machine(),
        "data": {
            "name": data.name,
            "shape": list(data.shape),
            "count": len(data),
            "classes": data.classes,
            "meaning": to_dict(data.meaning),
        },
        "metrics": {"features": first["features"], "n": first["n"]},
        "reference_arm": reference,
        "floors": figures(first, "floor"),
        "tests": {"method": "Holm", "level": LEVEL, "figures": tests.figures, "count": tests.count},
        "arms": {
            arm: {
                "process": to_dict(config.arms[arm]) | _otherwise(config, arm),
                "runs": list(by_seed.values()),
                **summary[arm],
                "adjusted": tests.adjusted[arm],
            }
            for arm, by_seed in runs.items()
        },
    }


def _arrays(
    config: CompareConfig,
    out: Path,
    data: Signals,
    processes: dict[str, tuple[Process, float]],
    statistics: DataStatistics,
) -> dict[str, Tensor]:
    """What the report draws, float32; see `sagd.report`."""
    bands, rings = config.evaluation.bands, data.meaning.rings()
    profile = radial_profile(statistics.spectrum, statistics.basis, bands, rings)
    kind = Kind.member(data.meaning.kind)()
    some = data.some(kind.kept)
    shown, known = some.tensor(), some.known()
    # One range of noise levels for all arms, so that the pictures compare.
    highest = max(level for _, level in processes.values())
    arrays = {
        "data/images": shown if known is None or kind.tiled(shown.shape[1]) else shown.where(known, torch.nan),
        "data/profile": profile.values,
        "profile/edges": profile.edges,
        "forward/levels": torch.logspace(-1.5, torch.tensor(highest).log10().item(), LEVELS),
    }
    lined = statistics.basis.rank == 1
    if lined:
        arrays |= {"spectrum/rho": statistics.basis.relative_radius()[1:], "data/spectrum": statistics.spectrum[:, 1:]}
    labels = None if some.labels is None else some.labels[:FIELDS]
    for name, (process, _) in processes.items():
        power = shown_power(process.reference)
        drawn, _ = read_tensors(out / name / f"seed-{config.seeds[0]}" / FINISHED / DRAWN)
        arrays |= {
            f"{name}/noise": process.reference.given(labels).sample(min(FIELDS, len(data)), generator_for(0, "noise")),
            f"{name}/noise_profile": radial_profile(power, statistics.basis, bands, rings).values,
            f"{name}/forward": forward_images(process, shown[:1], arrays["forward/levels"], labels),
            f"{name}/samples": data.meaning.unpacked(drawn["samples"]),
            f"{name}/sample_profile": drawn["profile"],
            f"{name}/loss_steps": drawn["step"],
            f"{name}/loss": drawn["loss"],
        }
        if lined:
            arrays[f"{name}/noise_spectrum"] = power[1:]
        if "spectrum" in drawn:
            arrays[f"{name}/sample_spectrum"] = drawn["spectrum"][:, 1:]
    return {key: value.float().contiguous() for key, value in arrays.items()}
