import dataclasses

import pytest
import torch

from sagd.errors import InputError
from sagd.networks.base import Network
from sagd.networks.build import build_network, network_of
from sagd.networks.config import NetworkConfig
from sagd.networks.dit import DiT
from sagd.networks.unet import UNet

UNET = NetworkConfig(widths=(8, 16))
DIT = NetworkConfig(name="dit", depth=2, width=16, patch=2)


def labelled(config):
    return NetworkConfig(**{**vars(config), "conditional": True})


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("config", [UNET, NetworkConfig(widths=(8, 16), attention=True, blocks=2), DIT])
def test_output_has_the_input_shape_and_every_weight_is_trained(config, channels):
    network = build_network(config, channels, (8, 8))
    x = torch.randn(3, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    out = network(x, torch.tensor([0.5, 500.0, 999.0]))
    assert out.shape == x.shape
    out.square().sum().backward()
    # DistributedDataParallel waits for the gradient of every parameter.
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("config", [labelled(UNET), labelled(DIT)])
def test_labels_and_no_label_differ_and_are_not_dropped_by_the_network(config):
    network = build_network(config, 1, (8, 8), num_classes=3).train()
    if config.name == "unet":  # its output begins at 0
        torch.nn.init.ones_(network.network.conv_out.weight)
    x = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)).expand(4, -1, -1, -1)
    t, labels = torch.full((4,), 300.0), torch.arange(4)
    state = torch.get_rng_state()
    first, second = (network(x, t, labels=labels) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, second)
    assert torch.pdist(first.flatten(1)).min() > 1e-4


@pytest.mark.parametrize("config", [UNET, DIT])
def test_non_square_images(config):
    if config is DIT:
        with pytest.raises(InputError, match="needs square images, got 8x16"):
            build_network(config, 1, (8, 16))
    else:
        assert build_network(config, 1, (8, 16))(torch.zeros(1, 1, 8, 16), torch.ones(1)).shape == (1, 1, 8, 16)


@pytest.mark.parametrize("config", [UNET, DIT])
def test_weights_depend_on_the_seed_alone(config):
    state = torch.get_rng_state()
    first = build_network(config, 1, (8, 8), seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    again = build_network(config, 1, (8, 8), seed=1).state_dict()
    other = build_network(config, 1, (8, 8), seed=2).state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)


@pytest.mark.parametrize(
    ("config", "spatial", "message"),
    [
        (NetworkConfig(widths=(8,) * 6), (28, 28), "sides of at least 32, got 28x28; use at most 5 levels$"),
        (NetworkConfig(widths=(8, 8)), (1, 7), "sides of at least 2, got 1x7; use at most 1 level$"),
        (NetworkConfig(widths=()), (8, 8), r"network.widths must be positive, one per level, got \[\]"),
        (NetworkConfig(blocks=0), (8, 8), "network.blocks must be at least 1, got 0"),
        (NetworkConfig(dropout=1.0), (8, 8), r"network.dropout must lie in \[0, 1\), got 1.0"),
        (NetworkConfig(name="dit"), (8,), r"is for images, got spatial shape \(8,\)"),
        (
            NetworkConfig(name="dit", patch=3),
            (8, 8),
            "network.patch must divide the side 8, got 3; use one of 1, 2, 4, 8",
        ),
        (NetworkConfig(name="dit", width=100), (8, 8), "network.width must be a multiple of 8 .*, got 100; e.g. 96"),
        (NetworkConfig(name="dit(depth=2.5)"), (8, 8), "network.depth must be at least 1 and whole, got 2.5"),
        (
            NetworkConfig(name="unet(widths=['a'])"),
            (8, 8),
            r"network.widths must be positive, one per level, got \['a'\]",
        ),
        (NetworkConfig(name="unet(widths=8)"), (8, 8), "network 'unet': widths must be a list of whole numbers, got 8"),
        (NetworkConfig(name="dit", depth=0), (8, 8), "network.depth must be at least 1, got 0"),
    ],
)
def test_misfits_are_refused_with_what_would_fit(config, spatial, message):
    with pytest.raises(InputError, match=message):
        build_network(config, 1, spatial)


def test_labels_and_conditioning_must_agree():
    with pytest.raises(InputError, match="conditional is True but the data has no labels"):
        build_network(labelled(UNET), 1, (8, 8))
    with pytest.raises(InputError, match="conditional is False but the data has labels"):
        build_network(UNET, 1, (8, 8), num_classes=3)


@pytest.mark.parametrize("widths", [(5,), (6, 9), (12, 20), (32, 64, 64), (1, 3)])
def test_odd_widths_find_group_norms_that_divide_them(widths):
    size = 2 ** len(widths)
    out = build_network(NetworkConfig(widths=widths, attention=True), 1, (size, size))(
        torch.zeros(2, 1, size, size), torch.ones(2)
    )
    assert torch.isfinite(out).all()


def test_a_network_is_described_by_its_name_or_the_options_of_the_section():
    assert network_of(NetworkConfig()) == UNet()
    assert network_of(UNET) == network_of(NetworkConfig(name="unet(widths=[8, 16])")) == UNet((8, 16))
    assert network_of(NetworkConfig(name="unet(widths=[8])", dropout=0.5)) == UNet((8,), dropout=0.5)
    assert network_of(DIT) == DiT(2, 16, 2) == Network.parse(str(DiT(2, 16, 2)))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (NetworkConfig(name="vgg"), "unknown network 'vgg'; known: dit, unet"),
        (NetworkConfig(name="dit(widht=8)"), "network 'dit' has no parameter 'widht'; did you mean 'width'"),
        (
            NetworkConfig(name="dit", widths=(8,)),
            "widths is no option of network 'dit'; .*: depth, width, patch, dropout$",
        ),
        (
            NetworkConfig(name="unet(blocks=2)", blocks=3),
            "network gives blocks twice, in 'unet(blocks=2)' and as network.blocks",
        ),
    ],
)
def test_options_that_a_network_does_not_take_are_refused(config, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(").replace(")", r"\)")):
        network_of(config)


@pytest.mark.parametrize("member", [UNet, DiT])
def test_options_of_the_section_have_the_defaults_of_the_network(member):
    """So that each of them is an option of it."""
    for field in dataclasses.fields(member):
        assert getattr(NetworkConfig(), field.name) == field.default


@pytest.mark.parametrize(
    ("network", "axes"),
    [
        (UNet(widths=(16, 32), blocks=3), 1),
        (UNet(widths=(16, 32, 64), blocks=4), 2),
        (UNet(widths=(16, 32), blocks=3), 3),
        (DiT(depth=6, width=64, patch=2), 2),
    ],
)
def test_sizes_are_told_before_anything_is_built(network, axes):
    """Within a factor of two of the real ones."""
    built = network.build(1, 1, (8,) * axes)
    layers = sum(
        isinstance(m, (torch.nn.Linear, *(getattr(torch.nn, f"Conv{d}d") for d in (1, 2, 3)))) for m in built.modules()
    )
    weights = sum(p.numel() for p in built.parameters())
    told = network.extent(axes) if isinstance(network, UNet) else network.extent()
    assert 0.5 < told[0] / layers < 2
    # Convolutions of signals are counted as of images of height 1: kernels of 3.
    assert 0.4 < told[1] / weights < 2


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (NetworkConfig(blocks=1000), r"about 24,012 layers and 194 million weights; at most 4,000 layers are built"),
        (
            NetworkConfig(widths=(10**9,)),
            r"million weights, which take [\d,]+ GiB.*lower network.blocks or network.widths",
        ),
        (NetworkConfig(name="dit", depth=10**9, patch=2), r"about 10,000,000,000 layers"),
        (
            NetworkConfig(name="dit", width=10**6, patch=2),
            r"which take 283,122 GiB.*lower network.depth or network.width",
        ),
    ],
)
def test_networks_that_would_never_be_there_are_refused_at_once(config, message, monkeypatch):
    monkeypatch.setattr(torch.nn, "Conv2d", lambda *_: pytest.fail("it is being built"))
    with pytest.raises(InputError, match=message):
        build_network(config, 1, (8, 8))
