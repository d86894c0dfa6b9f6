"""What a file beside others says of how they are read: `signals.json`, which is written beside those that cannot."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sagd.data.config import DataConfig, Reading
from sagd.data.formats.checks import replacing
from sagd.data.formats.find import is_one
from sagd.errors import InputError, argument, one_line

logger = logging.getLogger(__name__)

BESIDE = "signals.json"
"""The name of the file."""
_TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "axes": (str,),
    "arrays": (list,),
    "rate": (int, float),
    "spacing": (list,),
}
"""Settings that it may have, and their types."""


def beneath(config: DataConfig, path: Path) -> DataConfig:
    """A configuration with the settings that the file beside the data has, where it has none of its own.

    Args:
        config: Settings.
        path: A folder, or a file of data.

    Raises:
        InputError: If that file cannot be read, or has other settings.
    """
    table = (path.parent if is_one(path) else path) / BESIDE
    if not table.is_file():
        return config
    told = _settings(table)
    kind = told.pop("kind", "auto")
    settled = Reading(**told).beneath(replace(config, kind=kind if config.kind == "auto" else config.kind))
    if settled != config:
        listed = {name: value for name, value in asdict(settled).items() if value != getattr(config, name)}
        logger.info("read as %s says: %s", table, ", ".join(f"{name} {_spelt(v)}" for name, v in listed.items()))
    return settled


def write_beside(folder: Path, kind: str, reading: Reading) -> None:
    """Say in a folder how its files are read.

    Raises:
        InputError: If the disk refuses.
    """
    told = {"kind": kind} | {name: value for name, value in asdict(reading).items() if value}
    try:
        with replacing(folder / BESIDE) as new:
            new.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {str(folder / BESIDE)!r}: {error.strerror}") from None


def _settings(table: Path) -> dict[str, Any]:
    try:
        told = json.loads(table.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read {str(table)!r}: {one_line(error)}") from None
    known = ", ".join(_TYPES)
    if not isinstance(told, dict) or not told.keys() <= _TYPES.keys():
        raise InputError(f"{str(table)!r} must hold an object with some of {known}; it holds {one_line(told)}")
    for name, value in told.items():
        texts = not isinstance(value, list) or all(isinstance(text, str) for text in value)
        if not isinstance(value, _TYPES[name]) or isinstance(value, bool) or not texts:
            raise InputError(
                f"{name!r} of {str(table)!r} cannot be {one_line(repr(value))}; see {argument(f'data.{name}')}"
            )
    return {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}


def _spelt(value: Any) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)
