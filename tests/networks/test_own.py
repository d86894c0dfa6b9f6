"""A network class of a module that the caller names."""

import sys

import pytest
import torch

from sagd import plugins
from sagd.errors import InputError
from sagd.networks.build import build_network, network_of
from sagd.networks.config import NetworkConfig
from sagd.networks.own import OwnNetwork

MODULE = """
import os
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, outputs, spatial, num_classes, width=4, rates=()):
        super().__init__()
        self.told = inputs, outputs, spatial, num_classes, width, rates
        self.body = nn.Conv1d(inputs, outputs, 3, padding=1)
    def forward(self, x, t, class_labels=None):
        return self.body(x)

class Plain:
    pass

class Narrow(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The path of a file with networks; forgotten when the test ends."""
    path = tmp_path / "own_nets.py"
    path.write_text(MODULE)
    monkeypatch.setattr(plugins, "_named", set())
    yield path
    sys.modules.pop("own_nets", None)


def built(name, **options):
    return build_network(NetworkConfig(name=name, **options), 2, (16,), 3 if options.get("conditional") else None)


def test_a_class_is_made_with_what_the_data_has_and_what_its_name_says(module):
    plugins.load_plugin(str(module))
    network = built("own_nets:Net(width=64, rates=[1, 2])", conditional=True)
    assert network.network.told == (2, 2, (16,), 3, 64, [1, 2])
    assert network(torch.zeros(2, 2, 16), torch.zeros(2), labels=torch.zeros(2)).shape == (2, 2, 16)
    assert built("own_nets:Net").network.told == (2, 2, (16,), None, 4, ())


def test_weights_depend_on_the_seed(module):
    plugins.load_plugin(str(module))
    first, again = (built("own_nets:Net").state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_nothing_is_imported_that_the_caller_has_not_named(module, monkeypatch):
    monkeypatch.syspath_prepend(module.parent)
    refusal = r"is of module 'own_nets', whose code would be run; allow that with --plugin own_nets \(in Python, sagd"
    with pytest.raises(InputError, match=refusal):
        built("own_nets:Net")
    assert "own_nets" not in sys.modules
    import own_nets  # noqa: F401

    with pytest.raises(InputError, match=refusal):  # no file may choose among what happens to be there
        built("own_nets:Net")
    plugins.load_plugin("own_nets")
    assert built("own_nets:Net").network.told


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("own_nets:Nte", {}, "own_nets has no class 'Nte' of torch.nn.Module"),
        ("own_nets:Plain", {}, "own_nets has no class 'Plain' of torch.nn.Module"),
        ("own_nets:os", {}, "own_nets has no class 'os' of torch.nn.Module"),
        (
            "own_nets:Narrow(width=2)",
            {},
            r"cannot be made: .*unexpected keyword argument 'width'; it is made by Narrow\(inputs, outputs, spatial,"
            r" num_classes, width=2\)$",
        ),
        ("own_nets:Net(width=2", {}, r"cannot read network 'own_nets:Net\(width=2': write 'module:Class' or"),
        ("own_nets:Net(2)", {}, r"cannot read network 'own_nets:Net\(2\)': write 'module:Class' or"),
        ("own nets:Net", {}, "cannot read network 'own nets:Net': write"),
        (":Net", {}, "cannot read network ':Net': write"),
        (
            "./own_nets.py:Net(width=2)",
            {},
            r"names a file; import it with --plugin ./own_nets.py and write 'own_nets:Net\(width=2\)'",
        ),
        (
            "own_nets:Net",
            {"blocks": 2},
            r"network.blocks is no option of 'own_nets:Net'; give what it takes as",
        ),
    ],
)
def test_misfits_are_refused_in_a_line(module, name, options, message):
    plugins.load_plugin(str(module))
    with pytest.raises(InputError, match=message) as error:
        built(name, **options)
    assert "\n" not in str(error.value)


def test_kinds_are_read_as_before():
    assert OwnNetwork.from_text("dit(depth=2)") is None
    assert network_of(NetworkConfig(name="unet(widths=[8])")).widths == (8,)
