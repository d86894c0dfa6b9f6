"""Comparisons as files describe them, in which configurations of trainings may stand for arms."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from sagd.build.schema import AUTO_SPECTRUM, ArmConfig, CompareConfig, RunConfig
from sagd.build.text import from_dict, load_yaml, read_mapping, to_dict
from sagd.errors import InputError

WHITE = "white"
_FLAT = "flat"
_ENDINGS = (".yaml", ".yml")


def read_comparison(path: str | Path) -> CompareConfig:
    """Read what is to be compared: a file with arms, or one of a training, which is compared with white noise.

    An arm may be the name of the file of a training, such as a design: it then has its process, denoiser and sampling,
    and the data of the first such file is that of all if the comparison names none.

    Raises:
        InputError: If a file cannot be read or does not fit, or there is no noise to compare.
    """
    mapping = read_mapping(path)
    if isinstance(mapping, dict) and "arms" not in mapping and mapping.keys() & {"process", "design"}:
        return against_white(from_dict(RunConfig, mapping), Path(path).stem)
    arms = mapping.get("arms") if isinstance(mapping, dict) else None
    if not isinstance(arms, dict):
        return from_dict(CompareConfig, mapping)
    arms = {str(name): arm for name, arm in arms.items()}
    files = {name: text for name, text in arms.items() if isinstance(text, str) and text.endswith(_ENDINGS)}
    runs = {name: load_yaml(RunConfig, text) for name, text in files.items()}
    config = from_dict(CompareConfig, mapping | {"arms": arms | {name: to_dict(r.process) for name, r in runs.items()}})
    for name in runs.keys() & config.own.keys():
        raise InputError(
            f"own.{name} is given, but the arm is the file {arms[name]!r}, which says how it is taught and drawn:"
            " change it there"
        )
    own = {name: ArmConfig(run.denoiser, run.sampling, run.design) for name, run in runs.items()}
    plugins = dict.fromkeys((*config.plugins, *(plugin for run in runs.values() for plugin in run.plugins)))
    data = next((run.data for run in runs.values()), config.data) if "data" not in mapping else config.data
    return dataclasses.replace(config, own=own | config.own, plugins=tuple(plugins), data=data)


def against_white(run: RunConfig, name: str = "design") -> CompareConfig:
    """The comparison of a training with white noise: as that does best, if the configuration is a design, else alike.

    Raises:
        InputError: If the noise is white, or still to be chosen.
    """
    if run.process.spectrum == AUTO_SPECTRUM:
        raise InputError(
            "process.spectrum is 'auto', which sagd train chooses; to compare it, make a design by sagd design, and"
            " compare that"
        )
    white = dataclasses.replace(run.process, spectrum=_FLAT)
    if white == run.process:
        raise InputError(
            f"the noise of {name!r} is white, and there is nothing to compare it with; name arms, e.g. 'arms: {{white:"
            " {}, low: {spectrum: power_law(alpha=-0.2)}}'"
        )
    arm = re.sub(r"[^\w-]", "_", name) or "design"
    arm = "shaped" if arm == WHITE else arm
    best = ArmConfig() if run.design is None else ArmConfig(run.design.white_denoiser, run.design.white_sampling)
    return CompareConfig(
        arms={WHITE: white, arm: run.process},
        own={WHITE: dataclasses.replace(best, design=run.design), arm: ArmConfig(design=run.design)},
        seeds=(run.training.seed,),
        data=run.data,
        network=run.network,
        denoiser=run.denoiser,
        training=run.training,
        sampling=run.sampling,
        plugins=run.plugins,
    )
