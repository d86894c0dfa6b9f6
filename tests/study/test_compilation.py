"""Compiled networks against stand-ins for a compiler that is right, and for one that is not."""

import pytest
import torch

from sagd.errors import InputError
from sagd.networks.build import build_network
from sagd.networks.config import NetworkConfig
from sagd.study.compilation import compiled


class Wrapped(torch.nn.Module):
    def __init__(self, inner, change):
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, *args, **named):
        return (self.change(self.inner(*args, **named)),)


@pytest.fixture
def compiler(monkeypatch):
    """`compiler(change)`: torch.compile becomes a wrapper that applies `change` to what the network gives."""

    def set_to(change):
        monkeypatch.setattr(torch, "compile", lambda network: Wrapped(network, change))

    return set_to


@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_network_that_is_right_is_given_back_as_it_was(compiler, classes, dropout):
    compiler(lambda x: x * (1 + 1e-6))
    config = NetworkConfig(widths=(4, 8), conditional=classes is not None, dropout=dropout)
    network = build_network(config, 1, (8, 8), classes).train()
    fast = compiled(network, 5, (1, 8, 8), classes)
    assert isinstance(fast, Wrapped)
    assert network.training
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(
    "change", [lambda x: 0 * x, lambda x: 1.1 * x, lambda x: x.detach() + 0.5 * x, lambda x: x / 0]
)
def test_a_network_that_is_wrong_is_refused(compiler, change):
    compiler(change)
    network = build_network(NetworkConfig(widths=(4, 8)), 1, (8, 8))
    with pytest.raises(
        InputError, match=r"training.compile: torch .* gradients are off by .* on cpu; leave it out"
    ) as no:
        compiled(network, 5, (1, 8, 8))
    assert "\n" not in str(no.value)
