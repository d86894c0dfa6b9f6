"""`sagd kinds`: the members of every family, with their parameters."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from typing import Any

import tyro

from sagd.cli.options import Command
from sagd.errors import InputError
from sagd.plugins import load_installed
from sagd.spec import Description, suggest
from sagd.terminal import say


@dataclass(frozen=True)
class Kinds(Command):
    """List the kinds of spectra, samplers, networks, ... that options and configuration files can name.

    Example: sagd kinds spectrum
    """

    folder = "own"

    family: tyro.conf.Positional[str | None] = None
    """One family, e.g. spectrum or time-grid; default: all."""


def run_kinds(command: Kinds) -> None:
    """Do what the options ask for; errors of input are for the caller to print."""
    # Importing these defines all families.
    from sagd.build import draw, objects  # noqa: F401
    from sagd.data import load  # noqa: F401
    from sagd.networks import build  # noqa: F401

    families = {name.replace(" ", "-"): family for name, family in sorted(Description.families().items())}
    if command.family is not None and command.family not in families:
        raise InputError(f"unknown family {command.family!r}{suggest(command.family, list(families))}")
    chosen = families if command.family is None else {command.family: families[command.family]}
    say("\n\n".join(_family_text(name, family) for name, family in chosen.items()))
    if faults := load_installed():
        raise InputError("; ".join(faults))


def _family_text(name: str, family: type[Description]) -> str:
    lines = [name]
    for kind, member in family.members().items():
        summary = inspect.cleandoc(vars(member).get("__doc__") or "").splitlines()[:1]
        lines += [
            f"  {kind}{_parameters(member)}",
            *(f"      {line}" for line in summary if not _is_generated(line, member)),
        ]
    return "\n".join(lines)


def _parameters(member: type[Any]) -> str:
    """The fields as in a call: those without a default by name alone."""
    texts = [
        f.name if f.default is f.default_factory is dataclasses.MISSING else f"{f.name}={_default(f)!r}"
        for f in dataclasses.fields(member)
        if f.init
    ]
    return f"({', '.join(texts)})" if texts else ""


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _is_generated(line: str, member: type) -> bool:
    """Whether it is what dataclasses write where a class says nothing of itself."""
    return line.startswith(f"{member.__name__}(")
