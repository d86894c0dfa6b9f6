"""A network class of a module of one's own, named as `module:Class(width=64)`."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from torch import nn

from sagd import plugins
from sagd.errors import InputError, one_line
from sagd.networks.base import Network

_FORM = "write 'module:Class' or 'module:Class(name=value)'"


@dataclass(frozen=True)
class OwnNetwork(Network):
    """Any class of networks, made by `Class(inputs, outputs, spatial, num_classes, **arguments)`; see `Network.build`.

    It has no kind: where it is found names it. Its code is not run unless the caller has named the module as a plug-in,
    so that no file of a model or a run chooses what is run.

    Args:
        module: Name of the module.
        name: Name of the class.
        arguments: Keyword arguments that are its own.
    """

    module: str
    name: str
    arguments: Mapping[str, Any]

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """The network that a text names; None for texts that name kinds.

        >>> OwnNetwork.from_text("my_nets:Net(width=64)")
        OwnNetwork(module='my_nets', name='Net', arguments={'width': 64})
        >>> OwnNetwork.from_text("unet(widths=[8])")

        Raises:
            InputError: If it names a class and cannot be read.
        """
        if ":" not in text.partition("(")[0]:
            return None
        module, _, call = (part.strip() for part in text.partition(":"))
        if module.endswith(".py"):
            stem = Path(module).stem
            raise InputError(
                f"network {text!r} names a file; import it with --plugin {module} and write '{stem}:{call}'"
            )
        try:
            arguments = cls._interpret(call, cls._fields)
        except InputError:
            raise InputError(f"cannot read network {text!r}: {_FORM}") from None
        if not re.fullmatch(r"\w+(\.\w+)*", module):
            raise InputError(f"cannot read network {text!r}: {_FORM}")
        return cls(module, arguments.pop("kind"), arguments)

    def build(self, inputs: int, outputs: int, spatial: Sequence[int], num_classes: int | None = None) -> nn.Module:
        """The module; see `Network.build`.

        Raises:
            InputError: If the caller has not named the module, or it has no such class, or that cannot be made.
        """
        if not plugins.is_named(self.module):
            raise InputError(
                f"network '{self}' is of module {self.module!r}, whose code would be run; allow that with --plugin"
                f" {self.module} (in Python, sagd.plugins.load_plugin({self.module!r}))"
            )
        made = getattr(importlib.import_module(self.module), self.name, None)
        if not isinstance(made, type) or not issubclass(made, nn.Module):
            raise InputError(f"network '{self}': {self.module} has no class {self.name!r} of torch.nn.Module")
        try:
            return made(inputs, outputs, tuple(spatial), num_classes, **self.arguments)
        except Exception as error:
            own = "".join(f", {name}={value!r}" for name, value in self.arguments.items())
            raise InputError(
                f"network '{self}' cannot be made: {one_line(error)}; it is made by"
                f" {self.name}(inputs, outputs, spatial, num_classes{own})"
            ) from error

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"
