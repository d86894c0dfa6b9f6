import ast
import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import sagd


@pytest.mark.parametrize("name", sagd.__all__)
def test_public_names_resolve_to_their_own_module(name):
    value = getattr(sagd, name)
    if name != "__version__":
        assert getattr(importlib.import_module(sagd._HOME[name]), name) is value


def test_type_checkers_see_the_same_names():
    """The block for type checkers and the table for users list the same names from the same modules."""
    tree = ast.parse(Path(sagd.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {(node.module, alias.asname) for node in block.body for alias in node.names if alias.asname == alias.name}
    assert seen == {(module, name) for name, module in sagd._HOME.items()}


def test_public_names_are_listed():
    assert dir(sagd) == sorted(sagd.__all__)
    assert len(set(sagd.__all__)) == len(sagd.__all__)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="module 'sagd' has no attribute 'Spectrums'"):
        sagd.Spectrums  # noqa: B018


def test_submodules_are_reachable():
    import sagd.testing

    assert sagd.testing.__name__ == "sagd.testing"


def test_version_is_the_packages():
    assert sagd.__version__ == importlib.metadata.version("sagd")


def test_import_is_light_and_names_come_when_used():
    code = "import sys, sagd; assert 'torch' not in sys.modules; sagd.Flat; assert 'torch' in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
