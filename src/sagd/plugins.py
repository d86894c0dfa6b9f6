"""Modules of third parties that add members to families: named by the caller, or announced by an installed package.

A package announces a module in its `pyproject.toml`:

    [project.entry-points."sagd.plugins"]
    halo = "my_package.halo"

Such modules are imported once, when a kind is looked up that nobody knows yet. Everything else is imported only where
the caller names it: no file of a model or a run does.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from sagd.errors import InputError, one_line

GROUP = "sagd.plugins"
"""The group of entry points."""

_named: set[str] = set()
"""Modules that `load_plugin` was asked for."""

_faults: list[str] | None = None
"""What went wrong with announced modules; None until they have been imported."""


def load_plugin(name: str) -> None:
    """Import a module by its dotted name, or by the path of its file, as in `./my_noise.py`; once.

    The file's name is the module's: `./my_noise.py` is `my_noise` from then on.

    Raises:
        InputError: If there is no such module, importing it fails, or a file has the name of another module.
    """
    if not is_loaded(name) or _is_path(name):
        with _importing(name):
            if _is_path(name):
                _import_file(Path(name).expanduser())
            else:
                importlib.import_module(name)
    _named.add(_module(name))


def at_home(name: str) -> str:
    """The same module wherever one stands: the path of a file from the root, the name of a module as it is."""
    return str(Path(name).expanduser().absolute()) if _is_path(name) else name


def is_loaded(name: str) -> bool:
    """Whether the module that `load_plugin` would import, whoever imported it, is there."""
    return _module(name) in sys.modules


def is_named(module: str) -> bool:
    """Whether `load_plugin` has imported the module: the caller, and not a file, chose to run its code."""
    return module in _named and is_loaded(module)


def import_all(package: str, path: Iterable[str]) -> None:
    """Import every file of a package, so that a new member is a new file and nothing else.

    Args:
        package: Its name.
        path: Its `__path__`.
    """
    for found in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{found.name}")


def missing(names: Iterable[str]) -> list[str]:
    """Those of the names whose module has not been imported."""
    return [name for name in names if not is_loaded(name)]


def load_installed() -> list[str]:
    """Import what installed packages announce, once.

    Returns:
        A line for every one that could not be imported.
    """
    global _faults
    import importlib.metadata  # not at the top: it takes a while, and most programs know all their kinds

    if _faults is None:
        _faults = []  # before the first, which may itself look up a kind
        for entry in importlib.metadata.entry_points(group=GROUP):
            package = "an unknown package" if entry.dist is None else entry.dist.name
            try:
                with _importing(entry.value, f" of package {package!r}"):
                    entry.load()
            except InputError as error:
                _faults.append(str(error))
    return _faults


def _module(name: str) -> str:
    return Path(name).stem if _is_path(name) else name


def _is_path(name: str) -> bool:
    return name.endswith(".py")


@contextlib.contextmanager
def _importing(name: str, origin: str = "") -> Iterator[None]:
    """What a module raises while it is imported, as one line."""
    try:
        yield
    except (Exception, SystemExit) as error:
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {one_line(error)}"
        if isinstance(error, ModuleNotFoundError) and error.name == name.partition(".")[0]:
            reason = f"no module of that name is installed; the path of a file works too, as in './{error.name}.py'"
        raise InputError(f"cannot import plug-in {name!r}{origin}: {reason}") from error


def _import_file(path: Path) -> None:
    name = path.stem
    if not path.is_file():
        raise InputError("there is no such file")
    if not name.isidentifier():
        raise InputError("the name of the file must be that of a module: letters, digits and '_'")
    known = sys.modules.get(name)
    spec = importlib.util.find_spec(name) if known is None else known.__spec__
    origin = getattr(known, "__file__", None) or (spec.origin if spec is not None else None)
    if (known is not None or spec is not None) and not _same(origin, path):
        raise InputError(f"there is another module {name!r} ({origin or 'built in'}); rename the file")
    if known is not None:
        return
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(sys.modules[name])
    except BaseException:
        del sys.modules[name]
        raise


def _same(origin: str | None, path: Path) -> bool:
    return origin is not None and Path(origin).exists() and path.samefile(origin)
