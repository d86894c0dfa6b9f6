"""The dependency direction of docs: a room imports only rooms above it in the list, and nothing heavy up front."""

import ast
from pathlib import Path

import pytest

import sagd

SOURCE = Path(sagd.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# Lowest first: each may import itself and those before it.
ROOMS = [
    *("errors", "interrupt", "strict_yaml", "terminal", "folder", "description", "config"),
    *("basis", "statistics", "randomness", "diagonal", "spectrum", "band"),
    *("region", "schedule", "evolution", "covariance"),
    *("process", "spectral_process", "build", "catalogue"),
    *("denoiser", "grid", "design", "loss", "sampler", "likelihood", "detection", "omission", "resampling"),
    *("data", "nn", "metrics", "training", "experiment", "report"),
    *("cli", "__main__"),
]

# Takes seconds to import, or serves one feature: only inside the function that needs it.
LAZY = {"datasets", "diffusers", "sklearn", "matplotlib", "torchmetrics", "pywt"}
# Must not even need torch, so that `sagd --help` is quick.
LIGHT = {"errors", "interrupt", "strict_yaml", "terminal", "folder", "description", "config"}
LIGHT |= {"cli", "__init__", "__main__"}


def room(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


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


def rooms_used(tree):
    names = {name.split(".")[1] for name in imported(ast.walk(tree)) if name.startswith("sagd.")}
    return names & {*ROOMS, "testing", *(room(path) for path in FILES)}


@pytest.fixture(params=FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def path(request):
    return request.param


def test_every_room_has_its_place():
    assert {room(path) for path in FILES} - {"__init__", "testing"} <= set(ROOMS), "give the new room a place in ROOMS"


def test_rooms_import_only_rooms_above(path):
    own, used = room(path), rooms_used(ast.parse(path.read_text()))
    if own == "__init__":  # re-exports, lazily
        return
    allowed = set(ROOMS) - {"cli", "__main__"} if own == "testing" else set(ROOMS[: ROOMS.index(own) + 1])
    assert used <= allowed | {own}, f"{own} may not import {sorted(used - allowed)}"


def test_heavy_libraries_are_imported_where_needed(path):
    top = {name.split(".")[0] for name in imported(run_on_import(ast.parse(path.read_text()).body))}
    forbidden = LAZY | ({"torch", "numpy", "scipy", "accelerate", "PIL"} if room(path) in LIGHT else set())
    assert not top & forbidden, f"import {sorted(top & forbidden)} inside the function that needs it"


def test_product_does_not_know_where_test_data_lies(path):
    assert "../shared" not in path.read_text()


def test_the_rules_see_what_they_should():
    """The checks above on small programs, so that they cannot pass by looking nowhere."""
    program = "def f():\n    from sagd import design\n    import sagd.grid as g\nfrom sagd.errors import InputError"
    assert rooms_used(ast.parse(program)) == {"design", "grid", "errors"}
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
    top = {name.split(".")[0] for name in imported(run_on_import(ast.parse(program).body))}
    assert top == {"a", "c", "d", "e", "f", "h"}
