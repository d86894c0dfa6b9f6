"""The floors of docs/architecture.md: a file imports what stands lower, and the core needs torch, numpy, tqdm alone."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import sagd
from sagd.model.denoiser import Denoiser
from sagd.optional import EXTRAS

SOURCE = Path(sagd.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# Lowest first. A file may import files of lower floors, and on its own floor rooms that stand before its own.
FLOORS = [
    [
        "errors",
        "optional",
        "interrupt",
        "terminal",
        "counting",
        "paths",
        "signatures",
        "plugins",
        "spec",
        "tensors",
        "random",
    ],
    ["noise"],
    ["process"],
    ["model"],
    ["sampling", "training"],
    ["networks", "metrics", "data", "designs", "omission", "resampling", "integrations"],
    ["build", "store", "study", "report"],
    ["api", "cli"],
]
CORE = {room for floor in FLOORS[:5] for room in floor}
# Files of packages in whose order the packages import themselves: lowest first, those not named in any order above.
INSIDE = {
    "noise": [
        "basis",
        "units",
        "grid",
        "places",
        "scales",
        "statistics",
        "spectra",
        "bands",
        "regions",
        "operator",
        "covariance",
    ],
    "noise.basis": ["base", "real", "fourier", "cosine", "mixed", "wavelet", "channels"],
    "noise.spectra": ["checks", "base", "geometry"],
    "noise.covariance": ["base", "isotropic", "spectral", "dense", "by_class", "modulated", "build"],
    "process": ["schedule", "unseen", "evolution", "base", "scalar", "spectral", "restricted", "description"],
    "model": ["condition", "parameterisation", "denoiser", "exact", "wrappers"],
    "model.parameterisation": ["base", "preconditioned"],
    "sampling": ["grids", "steps", "base"],
    "training": [
        *["levels", "times", "weighting", "objective"],
        *["runtime", "average", "batches", "fit", "progress"],
    ],
    "networks": ["config", "base"],
    "data": [
        *["config", "images", "drawing", "sheets", "previews", "formats", "layout", "meaning", "resize", "kinds"],
        *["fields", "sources", "whole", "corruption", "masks", "windows", "signals", "load", "files"],
    ],
    "data.corruption": ["base", "canvas", "filtered", "waves"],
    "data.formats": ["checks", "base", "dimensions", "tiff_pages"],
    "data.kinds": ["base", "image"],
    "data.sources": ["base", "choose", "metadata", "observed", "rows", "table"],
    "build": ["strict_yaml", "schema", "text", "arms", "catalogue", "objects", "draw"],
    "store": ["folder", "files", "checkpoint", "state", "model", "run"],
    "cli": ["options"],
}
# Read the command line and configurations, and must not even need torch, so that `sagd --help` is quick.
LIGHT = {
    "errors",
    "optional",
    "interrupt",
    "terminal",
    "paths",
    "signatures",
    "plugins",
    "spec",
    "build.strict_yaml",
    "build.schema",
    "build.text",
    "build.arms",
}
LIGHT |= {"data.config", "networks.config", "store.folder", "cli", "__init__", "__main__"}
# Not everybody has it: only inside the function that needs it, after `need`. The command line has tyro.
LAZY = EXTRAS.keys()


def module(path):
    """Dotted name below `sagd`; a package's `__init__` is the package."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


NAMES = {module(path) for path in FILES}


def floor(name):
    room = name.split(".")[0]
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


def imported(nodes):
    """Absolute names of all modules that the nodes import, `from a import b` counted as `a` and `a.b`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def run_on_import(body):
    """Statements executed when a module is imported: not function bodies, nor blocks for the type checker."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from run_on_import(node.orelse)
            continue
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from run_on_import(getattr(node, name, []))


def unasked(tree):
    """Function and optional package where the one imports the other without `need` before it.

    Who is handed an object of that package has it.
    """
    owner = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            owner |= {alias.name: node.module.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Import):
            owner |= {alias.asname or alias.name: alias.name.split(".")[0] for alias in node.names}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        annotations = [a.annotation for a in function.args.args if a.annotation is not None]
        known = {owner.get(n.id) for a in annotations for n in ast.walk(a) if isinstance(n, ast.Name)}
        for node in sorted((n for n in ast.walk(function) if hasattr(n, "lineno")), key=lambda n: n.lineno):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "need":
                known |= {argument.value for argument in node.args}
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                packages = {name.split(".")[0] for name in imported([node])}
                yield from ((function.name, package) for package in sorted((packages & LAZY) - known))


def own_modules(tree):
    """Modules of ours that a program imports; of `from a import b` the module `b`, if it is one, and not `a`."""
    used = {name.removeprefix("sagd.") for name in imported(ast.walk(tree))} & NAMES
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sagd."):
            package = node.module.removeprefix("sagd.")
            if all(f"{package}.{alias.name}" in NAMES for alias in node.names):
                used.discard(package)
    return used


def is_lower(used, own):
    """Whether `own` may import `used`."""
    if own == "testing" or own.startswith("testing."):
        return used.startswith("testing.") or floor(used) <= 5
    if used.startswith("testing") or used in ("__init__", "__main__"):
        return False
    if floor(used) != floor(own):
        return floor(used) < floor(own)
    ours, theirs = own.split("."), used.split(".")
    if ours[0] != theirs[0]:
        rooms = FLOORS[floor(own)]
        return rooms.index(theirs[0]) < rooms.index(ours[0])
    return _is_lower_inside(theirs, ours)


def _is_lower_inside(theirs, ours):
    """The same of two files of one room, by the first step in which their paths part."""
    for depth in range(1, max(len(theirs), len(ours))):
        if len(ours) == depth:  # a package gathers what is in it
            return True
        if len(theirs) == depth:
            return False
        order = INSIDE.get(".".join(ours[:depth]), [])
        one, other = (order.index(p[depth]) if p[depth] in order else len(order) for p in (theirs, ours))
        if theirs[depth] != ours[depth]:  # files that no order names may use each other, but not in a circle
            return one < other or one == other == len(order)
    return True


@pytest.fixture(params=FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def path(request):
    return request.param


def test_every_file_has_its_floor():
    rooms = {name.split(".")[0] for name in NAMES} - {"__init__", "__main__", "testing"}
    assert rooms == {room for rooms in FLOORS for room in rooms}, "give the new room a floor in FLOORS"


def test_files_import_only_what_stands_lower(path):
    own = module(path)
    if own in ("__init__", "__main__"):  # the first re-exports, lazily
        return
    wrong = sorted(used for used in own_modules(ast.parse(path.read_text())) - {own} if not is_lower(used, own))
    assert not wrong, f"{own} may not import {wrong}"


def test_no_file_needs_itself():
    """Imports form no circle; those inside functions count too."""
    needs = {module(path): own_modules(ast.parse(path.read_text())) for path in FILES}
    packages = {name for name in NAMES if any(other.startswith(f"{name}.") for other in NAMES)}
    needs = {name: used - packages - {name} for name, used in needs.items() if name not in packages}
    while free := {name for name, used in needs.items() if not used & needs.keys()}:
        needs = {name: used for name, used in needs.items() if name not in free}
    assert not needs, f"these files need each other: {sorted(needs)}"


def test_heavy_libraries_are_imported_where_needed(path):
    own = module(path)
    top = {name.split(".")[0] for name in imported(run_on_import(ast.parse(path.read_text()).body))}
    light = own in LIGHT or own.startswith("cli.")
    forbidden = LAZY - ({"tyro"} if own.startswith("cli.") else set()) | ({"torch", "numpy"} if light else set())
    assert not top & forbidden, f"import {sorted(top & forbidden)} inside the function that needs it"


def test_what_not_everybody_has_is_asked_for(path):
    if module(path).startswith("cli."):
        return
    assert not list(unasked(ast.parse(path.read_text()))), "call need() before the import"


def test_the_core_needs_torch_numpy_and_tqdm_alone():
    """With the import of everything else blocked; PyWavelets is asked for by wavelet bases only."""
    code = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError(f"{name} is blocked")

import numpy, torch, tqdm
import importlib.metadata
brought = {name.split(".")[0] for name in sys.modules}
allowed = brought | {"sagd", "numpy", "torch", "tqdm"} | set(sys.stdlib_module_names)
blocked = {name for name in importlib.metadata.packages_distributions()} - allowed
sys.meta_path.insert(0, Blocked())
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
from sagd.noise import PowerLaw, SpectralCovariance
from sagd.process import ForwardProcess, VPSchedule
from sagd.model import GaussianDenoiser
from sagd.sampling import Heun
noise = SpectralCovariance(PowerLaw(-0.5), (1, 8, 8))
process = ForwardProcess(VPSchedule(), noise)
x = Heun().sample(GaussianDenoiser(process, torch.zeros(1, 8, 8), torch.ones(8, 5)), 2, steps=3)
assert x.shape == (2, 1, 8, 8)
print(*sorted(blocked & {"yaml", "safetensors", "PIL", "accelerate", "tyro"}))
"""
    names = [f"sagd.{name}" for name in sorted(NAMES) if name.split(".")[0] in CORE]
    run = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["PIL", "accelerate", "safetensors", "tyro", "yaml"]  # the check has blocked something


def test_product_does_not_know_where_test_data_lies(path):
    assert "../shared" not in path.read_text()


def _subclasses(cls):
    for child in cls.__subclasses__():
        yield from (child, *_subclasses(child))


def test_denoisers_are_abstract_or_final():
    """Behaviour is added to a denoiser by wrapping it; what can be built is not subclassed."""
    for name in sorted(NAMES - {"__main__"}):
        importlib.import_module(f"sagd.{name}" if name != "__init__" else "sagd")
    own = [cls for cls in _subclasses(Denoiser) if cls.__module__.startswith("sagd.")]
    assert {"NetworkDenoiser", "Guided", "BandModel"} <= {cls.__name__ for cls in own}
    for cls in own:
        children = [child.__name__ for child in _subclasses(cls) if child in own]
        assert inspect.isabstract(cls) or not children, f"{cls.__name__} can be built, and {children} subclass it"


def test_the_rules_see_what_they_should():
    """The checks above on small programs, so that they cannot pass by looking nowhere."""
    program = """
def f():
    from sagd import designs
    import sagd.sampling.grids as g
from sagd.errors import InputError
"""
    assert own_modules(ast.parse(program)) == {"designs", "sampling.grids", "errors"}
    assert is_lower("noise.bands", "process.base")
    assert not is_lower("process.base", "noise.bands")
    assert is_lower("noise.basis.base", "noise.spectra.base")
    assert not is_lower("noise.covariance.spectral", "noise.basis.base")
    assert not is_lower("noise.basis.wavelet", "noise.basis.fourier")
    assert is_lower("metrics.frechet", "data.files")
    assert not is_lower("report.render", "study.compare")
    assert is_lower("omission.restore", "testing.samplers")
    assert not is_lower("build.objects", "testing.samplers")
    program = """
import a.b
if TYPE_CHECKING:
    import hidden
else:
    import c
try:
    import d
except ImportError:
    import e
class K:
    import f
    def g(self):
        import hidden
with x:
    from h import i
"""
    found = {name.split(".")[0] for name in imported(run_on_import(ast.parse(program).body))}
    assert found == {*"abcdefh"} - {"b"}
    program = """
if TYPE_CHECKING:
    from PIL import Image
def f():
    import scipy.stats
    need("scipy")
def g():
    need("PIL")
    from PIL import Image
def h(image: Image.Image):
    from PIL import ImageOps
    from matplotlib.figure import Figure
"""
    assert list(unasked(ast.parse(program))) == [("f", "scipy"), ("h", "matplotlib")]
