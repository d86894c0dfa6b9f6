"""Options that several commands share, and what they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import tyro

from sagd.data.config import DataConfig
from sagd.errors import InputError
from sagd.plugins import load_plugin
from sagd.spec import suggest

if TYPE_CHECKING:
    from torch import Tensor

    from sagd.store.model import Trained


Flag = tyro.conf.FlagCreatePairsOff[bool]
Config = TypeVar("Config")

_PLUGIN = "--plugin"


@dataclass(frozen=True)
class Command:
    """What all commands have in common."""

    folder: ClassVar[Literal["empty", "any", "own"]] = "empty"
    """What `--out` must be: empty or missing, in use by nobody else, or what the work itself asks for."""
    many: ClassVar[bool] = False
    """Whether it runs in several processes, started by torchrun."""

    plugin: tyro.conf.UseAppendAction[tuple[str, ...]] = field(default=(), kw_only=True)
    """Module with kinds of your own (spectra, samplers, networks, ...): its name, or a file as in ./my_noise.py."""


def plugins_first(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """The values of `--plugin`, wherever it stands, and all else: plug-ins add what the other options may name.

    >>> plugins_first(["--plugin", "a", "train", "--plugin=b.py", "--out", "x"])
    (['a', 'b.py'], ['train', '--out', 'x'])

    Raises:
        InputError: If a name is missing.
    """
    names: list[str] = []
    others: list[str] = []
    left = iter(args)
    for arg in left:
        if arg == _PLUGIN or arg.startswith(f"{_PLUGIN}="):
            name = next(left, "") if arg == _PLUGIN else arg.partition("=")[2]
            if not name or name.startswith("-"):
                raise InputError(f"{_PLUGIN} needs the name of a module or a file, e.g. {_PLUGIN} ./my_noise.py")
            names.append(name)
        else:
            others.append(arg)
    return names, others


def with_plugins(config: Config, command: Command) -> Config:
    """A configuration with the plug-ins of the command line noted, those that its file names imported."""
    for name in config.plugins:  # type: ignore[attr-defined]
        load_plugin(name)
    return replace(config, plugins=tuple(dict.fromkeys((*config.plugins, *command.plugin))))  # type: ignore


@dataclass(frozen=True)
class Drawing:
    """How to draw; what is left out is as the run was configured."""

    sampler: str | None = None
    """ddpm, 'ddim(eta=0)', euler, heun or dpm_solver; default: as the run was configured."""
    steps: int | None = None
    """Time steps; default: as the run was configured."""
    grid: str | None = None
    """uniform, karras, log_snr or matched; default: as the run was configured."""
    clip: float | None = None
    """Clamp the predicted clean values to [-clip, clip]; default: as the run was configured."""
    guidance: float | None = None
    """Classifier-free guidance scale of conditional models; default: as the run was configured."""


def chosen_data(source: str | None, config: DataConfig) -> DataConfig:
    """The data that a command names, by its argument or by `--data.source`.

    Raises:
        InputError: If both name one, and not the same.
    """
    if source is None or source == config.source:
        return config
    if config.source != DataConfig().source:
        raise InputError(f"two data sets, {source!r} and --data.source {config.source!r}; name one")
    return replace(config, source=source)


def labels_of(names: tuple[str, ...], count: int, model: Trained, option: str = "--labels") -> Tensor | None:
    """Numbers of the classes that an option names, repeated in turn for `count` draws; None if it names none.

    Raises:
        InputError: If the model knows no such class, or none at all, or cannot do without.
    """
    import torch

    if not names:
        if model.process.covariance.depends_on_class:
            raise InputError(f"the noise depends on the class; give {option}, from: {', '.join(model.classes or ())}")
        return None
    if model.classes is None:
        raise InputError(f"{option} {' '.join(names)}: the model is unconditional; leave {option} out")
    for name in names:
        if name not in model.classes:
            raise InputError(f"{option}: the model has no class {name!r}{suggest(name, list(model.classes))}")
    numbers = [model.classes.index(name) for name in names]
    return torch.tensor([numbers[i % len(numbers)] for i in range(count)])


def label_of(name: str | None, model: Trained) -> int | None:
    """The number of one class."""
    labels = labels_of(() if name is None else (name,), 1, model, "--label")
    return None if labels is None else int(labels[0])


def override(config: Config, given: Any, neutral: Any) -> Config:
    """`config` with the values of `given` that are not those of `neutral`."""
    values = {f.name: getattr(given, f.name) for f in fields(given)}
    changes = {name: value for name, value in values.items() if value != getattr(neutral, name)}
    return replace(config, **changes)  # type: ignore[type-var]
