"""Configurations from mappings and YAML, strictly, and back."""

from __future__ import annotations

import dataclasses
import datetime
import math
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from sagd.build.strict_yaml import read_yaml
from sagd.errors import InputError, one_line
from sagd.paths import read_text
from sagd.signatures import content_of
from sagd.spec import suggest

T = TypeVar("T")
_NAME = 100
"""Characters of a key that are compared with known ones, or named."""


def from_dict(cls: type[T], mapping: Any, where: str = "") -> T:
    """Build a configuration dataclass from nested mappings; unknown and missing keys and wrong types are errors.

    Raises:
        InputError: Naming the key, the value and what would work.
    """
    if not isinstance(mapping, dict):
        raise InputError(f"{where or 'configuration'} must be a mapping of keys, got {_quoted(mapping)}")
    hints = typing.get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in mapping:
        if key not in known:
            raise InputError(f"unknown key {_quoted(_join(where, key))}{suggest(str(key)[:_NAME], known)}")
    for f in dataclasses.fields(cls):  # type: ignore[arg-type]
        if f.name not in mapping and f.default is f.default_factory is dataclasses.MISSING:
            raise InputError(f"key {_join(where, f.name)!r} is missing")
    return cls(**{key: _convert(hints[key], value, _join(where, key)) for key, value in mapping.items()})


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain mappings of a configuration, ready for YAML or JSON."""
    return _plain(config)


def changed(config: Any, usual: Any) -> dict[str, Any]:
    """Nested plain mappings of what a configuration has otherwise than another of its class.

    >>> from sagd.build.schema import RunConfig, SamplingConfig
    >>> changed(RunConfig(sampling=SamplingConfig(steps=9)), RunConfig())
    {'sampling': {'steps': 9}}
    """
    found: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        own, other = getattr(config, f.name), getattr(usual, f.name)
        if own != other:
            found[f.name] = changed(own, other) if dataclasses.is_dataclass(other) else _plain(own)
    return found


def load_yaml(cls: type[T], path: str | Path) -> T:
    """Read a configuration file strictly.

    Raises:
        InputError: If the file is missing or empty, is not YAML, repeats a key, or does not fit `cls`.
    """
    return from_dict(cls, read_mapping(path))


def read_mapping(path: str | Path) -> Any:
    """What a YAML file holds.

    Raises:
        InputError: If the file is missing or empty, is not YAML, or repeats a key.
    """
    try:
        mapping = read_yaml(read_text(path))
    except OSError as error:
        raise InputError(f"cannot read configuration {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        kind = content_of(path)
        why = f"its content is that of a {kind} file, no text" if kind else "it is no UTF-8 text; save it as that"
        raise InputError(f"{str(path)!r} is not YAML: {why}") from None
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not YAML: {error}") from None
    if mapping is None:
        raise InputError(f"{str(path)!r} is empty; write at least one section, e.g. 'data: {{source: digits}}'")
    return mapping


def to_yaml(config: Any) -> bytes:
    """A resolved configuration, every default spelt out, or settings that are plain mappings already, as YAML."""
    settings = to_dict(config) if dataclasses.is_dataclass(config) else _plain(dict(config))
    return bytes(yaml.safe_dump(settings, sort_keys=False), "utf-8")


def dump_yaml(config: Any, path: str | Path) -> None:
    """Write a configuration as `to_yaml` has it."""
    Path(path).write_bytes(to_yaml(config))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def _quoted(value: Any) -> str:
    """A value in a message: a line of it."""
    if isinstance(value, datetime.date):
        return f"the date {value}"
    return one_line(repr(value))


def _join(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotated type `hint`, or an error; no coercion but int -> float and list -> tuple."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        meant = hint.of_text(value) if isinstance(value, str) and hasattr(hint, "of_text") else None
        return from_dict(typing.cast(type, hint), value, where) if meant is None else meant
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        others = [a for a in args if a is not type(None)]
        listed = [a for a in others if (typing.get_origin(a) is tuple) == isinstance(value, (list, tuple))]
        return _convert((listed or others)[0], value, where)
    if origin is Literal:
        # YAML reads a bare `no` as False.
        value = "no" if value is False and "no" in args else value
        if value not in args:
            raise InputError(f"{where} must be one of {', '.join(map(str, args))}; got {_quoted(value)}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{where} must be a list, got {_quoted(value)}; e.g. [1, 2]")
        return tuple(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise InputError(f"{where} must be a mapping, got {_quoted(value)}")
        return {str(k): _convert(args[1], v, _join(where, str(k)[:_NAME])) for k, v in value.items()}
    if hint is str and isinstance(value, dict) and isinstance(value.get("kind"), str):
        return call_text(value)
    if hint is float:
        value = _number(value)
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{where} must be a finite number, got {_quoted(value)}")
    accepted = isinstance(value, hint) and not (isinstance(value, bool) and hint is not bool)
    if not accepted:
        cure = "; write it in quotes" if hint is str and isinstance(value, (int, float, datetime.date)) else ""
        raise InputError(f"{where} must be {_TYPE_NAMES.get(hint, hint)}, got {_quoted(value)}{cure}")
    return value


_TYPE_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _number(value: Any) -> Any:
    """Whole numbers are numbers, and so is '1e-3', which YAML 1.1 reads as text."""
    if isinstance(value, bool):
        return value
    try:
        return float(value) if isinstance(value, (int, str)) else value
    except (ValueError, OverflowError):
        return value


def call_text(mapping: dict[str, Any]) -> str:
    """A description's mapping as text: `{"kind": "power_law", "alpha": 1}` as `power_law(alpha=1)`."""
    fields = ", ".join(f"{k}={v!r}" for k, v in mapping.items() if k != "kind")
    return f"{mapping['kind']}({fields})" if fields else str(mapping["kind"])
