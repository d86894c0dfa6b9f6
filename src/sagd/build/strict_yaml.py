"""YAML's safe subset, read strictly and within bounds: a small file can neither hang nor fill the memory.

A repeated key is an error instead of the last one winning. Aliases may repeat what they name, but not multiply it
without end, and nothing refers to itself.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import yaml

MOST_LEVELS = 50
"""Levels of nesting."""
MOST_REPEATED = 100_000
"""Characters that aliases may add to what is written."""


def read_yaml(text: str) -> Any:
    """Plain Python values of one YAML document.

    Raises:
        ValueError: If it is no YAML, repeats a key, is nested too deeply, or its aliases repeat too much.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.reader.ReaderError as error:
        raise ValueError(f"it holds the character U+{error.character:04X}, which no text has") from None
    except yaml.scanner.ScannerError as error:
        if error.problem is not None and "'\\t'" in error.problem and error.problem_mark is not None:
            raise ValueError(f"line {error.problem_mark.line + 1} has a tab; write spaces") from None
        raise ValueError(_said(error)) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: numbers and dates that do not exist
        raise ValueError(_said(error)) from None
    except (LookupError, AttributeError, TypeError, OverflowError):
        # PyYAML's own constructors, on a tag such as !!bool before something else.
        raise ValueError("a value does not fit its type, as in '!!bool maybe'") from None


def _said(error: Exception) -> str:
    return " ".join(str(error).replace('in "<unicode string>", ', "in ").split())


MOST_DIGITS = 400
"""Characters of a number."""
MOST_WHOLE = 2**63 - 1
"""The largest whole number."""


class _StrictLoader(yaml.SafeLoader):
    _level = 0

    def compose_document(self) -> yaml.Node | None:
        document = super().compose_document()
        repeated = 0 if document is None else _Extent().of(document)[0] - self.index
        if repeated > MOST_REPEATED:
            raise yaml.composer.ComposerError(
                None, None, f"aliases repeat more than {MOST_REPEATED} characters; write out what they stand for"
            )
        return document

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        # Also here, before Python's own stack runs out.
        self._level += 1
        _check_levels(self._level, self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        # A sequence under the tag !!map gets here too, and is refused by PyYAML.
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        keys = [key for key, _ in pairs if isinstance(key, yaml.ScalarNode)]
        counts = Counter(key.value for key in keys)
        for key in keys:
            if counts[key.value] > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is repeated", key.start_mark)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """A number that a machine holds, from no more text than one needs: reading digits takes the square of them."""
        if len(node.value) > MOST_DIGITS:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number has more than {MOST_DIGITS} characters", node.start_mark
            )
        whole = node.tag == _WHOLE
        value = self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)
        if whole and abs(value) > MOST_WHOLE:
            raise yaml.constructor.ConstructorError(None, None, "a whole number needs over 64 bits", node.start_mark)
        return value


_WHOLE, _REAL = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_StrictLoader.add_constructor(_WHOLE, _StrictLoader.construct_number)
_StrictLoader.add_constructor(_REAL, _StrictLoader.construct_number)


class _Extent:
    """Characters and levels of a document with every alias written out; each node is looked at once."""

    def __init__(self) -> None:
        self._known: dict[yaml.Node, tuple[int, int] | None] = {}

    def of(self, node: yaml.Node) -> tuple[int, int]:
        """Those of one node; raises where it contains itself, or reaches too deep."""
        if node in self._known:
            if (known := self._known[node]) is None:
                raise yaml.composer.ComposerError(None, None, "an alias stands for what contains it", node.start_mark)
            return known
        self._known[node] = None
        parts = [self.of(part) for part in _parts(node)]
        own = len(node.value) if isinstance(node, yaml.ScalarNode) else 0
        size, levels = 1 + own + sum(part[0] for part in parts), 1 + max((part[1] for part in parts), default=0)
        _check_levels(levels, node.start_mark)
        self._known[node] = size, levels
        return size, levels


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _check_levels(levels: int, mark: yaml.Mark) -> None:
    if levels > MOST_LEVELS:
        raise yaml.composer.ComposerError(None, None, f"nested deeper than {MOST_LEVELS} levels", mark)
