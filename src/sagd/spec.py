"""Small frozen descriptions that read the same in Python, in a YAML file and on the command line.

A family (spectra, bases, schedules, samplers) is a base class; each member is a frozen dataclass with a `kind`.
One member has three equal forms: the object `PowerLaw(alpha=-0.1)`, the mapping `{"kind": "power_law", "alpha": -0.1}`
and the text `power_law(alpha=-0.1)`. Reading text or mappings executes nothing that they name; a kind that is unknown
is looked for in the plug-ins of installed packages (`sagd.plugins`).
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import keyword
import math
import numbers
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self, TypeVar

from sagd import plugins
from sagd.errors import InputError, one_line

Result = TypeVar("Result")


class Description:
    """Base of families; `class Family(Description, family="spectrum")`, `class Member(Family, kind="flat")`.

    The `example` of a family is the kind that messages show; the first one unless it is named. Two members of one kind
    are refused, unless the second is the first, whose module was imported again.
    """

    family: ClassVar[str] = "description"
    kind: ClassVar[str] = ""
    example: ClassVar[str | None] = None
    _members: ClassVar[dict[str, type[Any]]] = {}
    _families: ClassVar[dict[str, type[Description]]] = {}

    def __init_subclass__(
        cls, family: str | None = None, kind: str | None = None, example: str | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if family is not None:
            cls.family, cls._members = family, {}
            Description._families[family] = cls
        if example is not None:
            cls.example = example
        if kind is not None:
            cls._register(kind)

    @classmethod
    def _register(cls, kind: str) -> None:
        if not kind.isidentifier() or keyword.iskeyword(kind):
            raise InputError(f"{_path(cls)} cannot be the {cls.family} {kind!r}: a kind is letters, digits and '_'")
        other = cls._members.get(kind)
        if other is not None and _path(other) != _path(cls):
            raise InputError(f"{_path(cls)} cannot be the {cls.family} {kind!r}, which {_path(other)} is; rename one")
        cls.kind = kind
        cls._members[kind] = cls

    @staticmethod
    def families() -> dict[str, type[Description]]:
        """The families that have been imported, by name."""
        return dict(Description._families)

    @classmethod
    def members(cls, installed: bool = True) -> dict[str, type[Self]]:
        """All members of the family by kind, in order of definition, unless asked otherwise with installed plug-ins."""
        if installed:
            plugins.load_installed()
        return dict(cls._members)

    @classmethod
    def kinds(cls) -> list[str]:
        """Names of all members of the family, in the order of `members`."""
        return list(cls.members())

    @classmethod
    def member(cls, kind: object) -> type[Any]:
        """The class of a kind.

        Raises:
            InputError: If no member is of that kind, neither here nor in an installed plug-in.
        """
        if isinstance(kind, str):
            if kind not in cls._members:
                plugins.load_installed()
            if (found := cls._members.get(kind)) is not None:
                if not dataclasses.is_dataclass(found):
                    raise InputError(f"{_path(found)} is no dataclass; decorate it with @dataclass(frozen=True)")
                return found
        faults = "".join(f"; {fault}" for fault in plugins.load_installed())
        raise InputError(f"unknown {cls.family} {kind!r}{suggest(str(kind), cls.kinds())}{faults}")

    @classmethod
    def from_dict(cls, mapping: dict[str, Any]) -> Self:
        """Build a member from `{"kind": ..., **fields}`.

        Raises:
            InputError: On an unknown kind or field, a missing field, values the member refuses, or values of another
                type than the field's annotation says.
        """
        fields = dict(mapping)
        kind = fields.pop("kind", None)
        member = cls.member(kind)
        known = [f.name for f in dataclasses.fields(member)]
        for name in fields:
            if name not in known:
                raise InputError(f"{cls.family} {kind!r} has no parameter {name!r}{suggest(str(name), known)}")
        try:
            built = member(**fields)
        except InputError:
            raise
        except Exception as error:
            # What fails on a value of another type says less about it than the annotation.
            if all(f.name in fields or f.default is not f.default_factory for f in dataclasses.fields(member)):
                member._check_types(fields)
            if not isinstance(error, (TypeError, OverflowError)):
                raise
            raise InputError(f"{cls.family} {kind!r}: {str(error).split('() ')[-1]}") from None
        # A member may turn what it is given into what it announces.
        member._check_types({name: getattr(built, name) for name in fields})
        return built

    @classmethod
    def _check_types(cls, values: Mapping[str, Any]) -> None:
        """Refuse values of fields that are of other types than the annotations say, where these are simple."""
        for f in dataclasses.fields(cls):  # type: ignore[arg-type]
            hint = _resolved(f.type, cls)
            if f.name in values and not _fits(values[f.name], hint):
                told = f.default is not None and f.default is not dataclasses.MISSING
                example = f"; e.g. {f.name}={_nested(f.default)!r}" if told else ""
                raise InputError(
                    f"{cls.family} {cls.kind!r}: {f.name} must be {_words(hint)},"
                    f" got {one_line(repr(values[f.name]))}{example}"
                )

    def to_dict(self) -> dict[str, Any]:
        """The mapping form, with every field spelt out; equal members have equal JSON."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return {"kind": self.kind} | {f.name: _plain(getattr(self, f.name), str(f.type)) for f in fields}

    @classmethod
    def parse(cls, text: str | dict[str, Any] | Self) -> Self:
        """Read the text form `kind` or `kind(name=value, ...)`; mappings and members pass through.

        Raises:
            InputError: If the text is not of that form or names something unknown.
        """
        if isinstance(text, cls):
            return text
        if isinstance(text, dict):
            return cls.from_dict(text)
        return cls._interpret(text, cls._from_node)

    @classmethod
    def from_section(cls, text: str, where: str, options: dict[str, Any], usual: dict[str, Any]) -> Self:
        """The member that a section of a configuration describes: by a text, and by options beside it.

        An option stands for the parameter of the same name and default, so that a member of another default is never
        given one that nobody chose.

        Args:
            text: A kind with parameters, or without.
            where: The section, as errors name it.
            options: Value by name.
            usual: Default by name.

        Raises:
            InputError: As `parse`, or if an option is given that the member does not take, or has been given already.
        """
        told = cls.read(text)
        member = cls.member(told.get("kind"))
        takes = {f.name for f in dataclasses.fields(member) if f.name in usual and f.default == usual[f.name]}
        for name in (name for name, value in options.items() if value != usual[name]):
            if name not in takes:
                raise InputError(
                    f"{where}.{name} is no option of {cls.family} {member.kind!r}; leave it out, and give what it takes"
                    f" with its name: {', '.join(f.name for f in dataclasses.fields(member)) or 'nothing'}"
                )
            if name in told:
                raise InputError(f"{where} gives {name} twice, in {text!r} and as {where}.{name}; leave one out")
        return cls.from_dict({name: options[name] for name in takes} | told)

    @classmethod
    def read(cls, text: str | dict[str, Any] | Self) -> dict[str, Any]:
        """The mapping form of a text, without building the member: fields may be missing, names unknown.

        Raises:
            InputError: If the text is not of the form `kind` or `kind(name=value, ...)`.
        """
        if isinstance(text, cls):
            return text.to_dict()
        if isinstance(text, dict):
            return dict(text)
        return cls._interpret(text, cls._mapping)

    @classmethod
    def _interpret(cls, text: object, use: Callable[[ast.expr], Result]) -> Result:
        """Hand the parsed expression to `use`; what is no expression, or is refused there, is an input error."""
        try:
            # Kinds may be written with hyphens, as command-line options are; quoted text stays as it is.
            hyphens = r"'[^']*'|\"[^\"]*\"|(?<=[a-z])-(?=[a-z])"
            joined = re.sub(hyphens, lambda found: "_" if found[0] == "-" else found[0], str(text).strip())
            return use(ast.parse(joined, mode="eval").body)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"cannot read {cls.family} {text!r}: write {(cls.example or cls.kinds()[0])!r} or 'kind(name=value)'"
            ) from None

    @classmethod
    def _from_node(cls, node: ast.expr) -> Self:
        """Build a member from a parsed expression; families with operators extend this."""
        return cls.from_dict(cls._fields(node))

    @classmethod
    def _mapping(cls, node: ast.expr) -> dict[str, Any]:
        """The mapping form of a parsed expression; an operator is known to `_from_node` alone."""
        return cls._from_node(node).to_dict() if isinstance(node, ast.BinOp) else cls._fields(node)

    @staticmethod
    def _fields(node: ast.expr) -> dict[str, Any]:
        """Kind and fields of `kind` or `kind(name=value, ...)`."""
        if isinstance(node, ast.Name):
            return {"kind": node.id}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            names = [str(k.arg) for k in node.keywords]
            if "kind" in names or len(set(names)) < len(names):
                raise ValueError(f"repeated parameter in {names}")
            for k in node.keywords:
                if isinstance(k.value, ast.Name) and k.value.id.lower() == "nan":
                    raise InputError(f"{node.func.id} {k.arg} cannot be {k.value.id}, which is no number; give one")
            values = [_literal(k.value) for k in node.keywords]
            return {"kind": node.func.id, **dict(zip(names, values, strict=True))}
        raise ValueError(ast.dump(node))

    def __str__(self) -> str:
        changed = [
            f"{f.name}={_nested(getattr(self, f.name))!r}"
            for f in dataclasses.fields(self)  # type: ignore[arg-type]
            if getattr(self, f.name) != f.default
        ]
        return f"{self.kind}({', '.join(changed)})" if changed else self.kind


def _path(cls: type) -> str:
    """Where a class is defined."""
    return f"{cls.__module__}.{cls.__qualname__}"


def suggest(name: str, known: list[str]) -> str:
    """The end of an error about an unknown name: the closest known one, or all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known) or 'none'}"


_NAMES = {"inf": math.inf, "true": True, "false": False}
_NUMBERS: dict[Any, type] = {int: numbers.Integral, float: numbers.Real}
_WORDS: dict[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("text", "texts"),
    bool: ("True or False", "True or False"),
    types.NoneType: ("None", "None"),
}
"""What a type is called, and several values of it."""


def _resolved(annotation: Any, member: type) -> Any:
    """The type that an annotation names; Any where that is not known, as of one that a function defines."""
    if not isinstance(annotation, str):
        return annotation
    for owner in member.__mro__:
        named = types.SimpleNamespace(__annotations__={"field": annotation})
        with contextlib.suppress(Exception):  # whatever an annotation raises that is not there when the program runs
            return typing.get_type_hints(named, vars(sys.modules[owner.__module__]))["field"]
    return Any


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a simple type; any value is of another one."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, each) for each in args)
    if origin is Literal:
        return value in args
    if origin is tuple:
        each = args[:1] * len(value) if args[1:] == (...,) and isinstance(value, (list, tuple)) else args
        return isinstance(value, (list, tuple)) and len(value) == len(each) and all(map(_fits, value, each))
    if hint in _NUMBERS:
        return isinstance(value, _NUMBERS[hint]) and not isinstance(value, bool)
    if isinstance(hint, type) and issubclass(hint, Description):
        return isinstance(value, (str, dict, hint))  # which reads itself
    return not isinstance(hint, type) or hint not in _WORDS or isinstance(value, hint)


def _words(hint: Any, several: bool = False) -> str:
    """What a type is called."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_words(each, several) for each in args)
    if origin is Literal:
        return f"one of {', '.join(map(repr, args))}"
    if origin is tuple:
        parts = _words(args[0], True) if args[1:] == (...,) else f"{len(args)} values: {', '.join(map(_words, args))}"
        return f"{'lists' if several else 'a list'} of {parts}"
    if isinstance(hint, type) and issubclass(hint, Description):
        return f"{hint.family} descriptions" if several else f"the description of a {hint.family}"
    return _WORDS[hint][several] if hint in _WORDS else getattr(hint, "__name__", str(hint))


def _literal(node: ast.expr) -> Any:
    """A literal value; so are `inf`, as Python writes infinity, and `true` and `false`, as YAML and our errors do."""
    return _NAMES[node.id] if isinstance(node, ast.Name) and node.id in _NAMES else ast.literal_eval(node)


def _nested(value: Any) -> Any:
    """A description within another is written as its mapping."""
    return value.to_dict() if isinstance(value, Description) else value


def _plain(value: Any, annotation: str) -> Any:
    """JSON-ready; 1, 1.0 and -0.0, 0.0 are the same number in a field that holds a float."""
    if "float" in annotation and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) + 0.0
    return [_plain(v, "") for v in value] if isinstance(value, tuple) else _nested(value)
