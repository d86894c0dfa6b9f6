"""The U-Net of 1, 2 and 3 axes."""

import pytest
import torch
from torch import nn

from sagd.errors import InputError
from sagd.networks.build import build_network
from sagd.networks.config import NetworkConfig

SIDES = {1: (32,), 2: (16, 24), 3: (8, 12, 16)}
ODD = {1: (37,), 2: (13, 18), 3: (5, 9, 8)}
T = torch.tensor([0.5, 500.0, 1000.0])


def config(**options):
    return NetworkConfig(**{"widths": (8, 8, 16)} | options)


def data(spatial, channels=1, samples=3):
    return torch.randn(samples, channels, *spatial, generator=torch.Generator().manual_seed(0))


def shaken(network):
    """All weights drawn anew: those that start as zero would hide what they multiply."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) / max(1, weight[0].numel()) ** 0.5)
    return network.eval()


@pytest.mark.parametrize("sides", [SIDES, ODD], ids=["even", "odd"])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"attention": True, "blocks": 2}, {"dropout": 0.2, "conditional": True}])
def test_shapes_and_gradients(axes, sides, options):
    classes = 2 if options.get("conditional") else None
    network = shaken(build_network(config(**options), 2, sides[axes], classes, beside=1)).train()
    x, image = data(sides[axes], 2), data(sides[axes], 1)
    labels = {} if classes is None else {"labels": torch.tensor([0, 1, 2])}
    out = network(x, T, image=image, **labels)
    assert out.shape == x.shape
    out.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert all(p.grad.abs().max() > 0 for name, p in network.named_parameters() if not name.endswith("to_k.bias"))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_output_depends_on_time_label_and_each_sample_alone(axes):
    network = shaken(build_network(config(conditional=True), 1, SIDES[axes], num_classes=2))
    x = data(SIDES[axes])[:1].expand(3, *[-1] * (axes + 1))
    with torch.no_grad():
        by_label = network(x, torch.full((3,), 300.0), labels=torch.arange(3))
        by_time = network(x, T, labels=torch.zeros(3, dtype=torch.long))
        alone = network(x[:1], T[1:2], labels=torch.zeros(1, dtype=torch.long))
    assert torch.pdist(by_label.flatten(1)).min() > 1e-3
    assert torch.pdist(by_time.flatten(1)).min() > 1e-3
    torch.testing.assert_close(alone, by_time[1:2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_weights_depend_on_the_seed_alone_and_not_on_sides_or_periodicity(axes):
    first, again, other = (build_network(config(), 1, SIDES[axes], seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    odd = build_network(config(), 1, ODD[axes], seed=1).state_dict()
    periodic = build_network(config(periodic=(0,)), 1, SIDES[axes], seed=1).state_dict()
    assert periodic.keys() == first.keys()
    assert len(odd) == len(first)
    for name, value in odd.items():
        assert torch.equal(value, first[name.replace("network.", "", 1)])
        assert torch.equal(periodic[name.replace("network.", "", 1)], first[name.replace("network.", "", 1)])


def test_images_have_the_network_of_diffusers():
    from diffusers import UNet2DModel

    network = build_network(config(), 1, (8, 12), seed=3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        own = UNet2DModel(
            sample_size=(8, 12),
            in_channels=1,
            out_channels=1,
            block_out_channels=(8, 8, 16),
            down_block_types=("DownBlock2D",) * 3,
            up_block_types=("UpBlock2D",) * 3,
            layers_per_block=1,
            norm_num_groups=2,
            attention_head_dim=16,
            add_attention=False,
        )
    assert type(network.network) is UNet2DModel
    x = data((8, 12))
    for module in (network.network, own):
        torch.nn.init.ones_(module.conv_out.weight)
        torch.nn.init.zeros_(module.conv_out.bias)
    assert torch.equal(network(x, T), own(x, T).sample)


@pytest.mark.parametrize("spatial", [(16,), (8, 12), (8, 8, 8)])
def test_outputs_begin_at_zero(spatial):
    """So that a prediction that corrects a guess begins as the guess."""
    network = build_network(config(), 2, spatial)
    assert not network(torch.randn(3, 2, *spatial, generator=torch.Generator().manual_seed(0)), T[:3]).any()


def test_a_signal_is_an_image_of_height_one():
    """With kernels of images whose outer rows would see the zeros beyond the only row."""
    signal = build_network(config(attention=True), 1, (32,))
    image = build_network(config(attention=True), 1, (8, 32)).network
    kernels = dict(image.named_parameters())
    names = {name.removeprefix("network.network."): value for name, value in signal.named_parameters()}
    assert names.keys() == kernels.keys()
    for name, value in names.items():
        whole = kernels[name]
        expected = (*whole.shape[:2], 1, whole.shape[3]) if whole.ndim == 4 else whole.shape
        assert value.shape == expected


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("attention", [False, True])
def test_periodic_axes_are_equivariant_and_others_are_not(axes, attention):
    """A roll by 2^(levels - 1) of the input is one of the output, to rounding; in float64 that is 1e-12."""
    network = shaken(build_network(config(periodic=(axes - 1,), attention=attention), 1, SIDES[axes])).double()
    x = data(SIDES[axes]).double()
    with torch.no_grad():
        out = network(x, T.double())
        for axis in range(axes):
            rolled = network(x.roll(4, axis + 2), T.double())
            error = (rolled - out.roll(4, axis + 2)).abs().max() / out.abs().max()
            assert error < 1e-10 if axis == axes - 1 else error > 1e-3
        assert (network(x.roll(1, -1), T.double()) - out.roll(1, -1)).abs().max() > 1e-3 * out.abs().max()


def test_a_periodic_axis_is_exact_beside_one_that_is_padded():
    """As longitude is beside latitude in a field of 73 by 144."""
    network = shaken(build_network(config(periodic=(1,)), 1, (13, 16))).double()
    x = data((13, 16)).double()
    with torch.no_grad():
        torch.testing.assert_close(network(x.roll(4, 3), T.double()), network(x, T.double()).roll(4, 3))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_without_periodic_axes_none_is_equivariant(axes):
    network = shaken(build_network(config(), 1, SIDES[axes]))
    x = data(SIDES[axes])
    with torch.no_grad():
        for axis in range(axes):
            assert (network(x.roll(4, axis + 2), T) - network(x, T).roll(4, axis + 2)).abs().max() > 1e-2


def test_all_axes_can_be_periodic():
    network = shaken(build_network(config(periodic=(1, 0)), 1, (16, 24))).double()
    x = data((16, 24)).double()
    with torch.no_grad():
        rolled = network(x.roll((8, 4), (2, 3)), T.double())
        torch.testing.assert_close(rolled, network(x, T.double()).roll((8, 4), (2, 3)))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_dropout_is_of_training_alone_and_drops_none_by_default(axes):
    x = data(SIDES[axes])
    for dropout in (0.0, 0.5):
        network = shaken(build_network(config(dropout=dropout), 1, SIDES[axes])).train()
        torch.manual_seed(0)
        first, second = network(x, T), network(x, T)
        assert torch.equal(first, second) == (dropout == 0)
        network.eval()
        assert torch.equal(network(x, T), network(x, T))


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("attention", [False, True])
def test_attention_is_at_the_coarsest_level_or_nowhere(axes, attention):
    """One point reaches the far end of long data only by attention."""
    # The means of group norms reach everything, and are taken out.
    network = shaken(build_network(config(widths=(8, 8), attention=attention), 1, (*[4] * (axes - 1), 160))).double()
    for layer in network.modules():
        if isinstance(layer, nn.GroupNorm):
            layer.forward = lambda x: x / 4
    x = data((*[4] * (axes - 1), 160), samples=1).double().requires_grad_()
    network(x, T[:1].double())[..., 0].sum().backward()
    assert (x.grad[..., -1].abs().max() > 0) == attention


@pytest.mark.parametrize(
    ("options", "spatial", "message"),
    [
        ({}, (3,), "has 3 levels, which need sides of at least 4, got 3; use at most 2 levels$"),
        ({}, (16, 2, 16), "need sides of at least 4, got 16x2x16; use at most 2 levels$"),
        ({"widths": (8, 8)}, (1, 16), "need sides of at least 2, got 1x16; use at most 1 level$"),
        ({}, (4, 4, 4, 4), r"'unet' is for data of 1, 2 or 3 axes, got spatial shape \(4, 4, 4, 4\)"),
        ({"periodic": (1,)}, (8,), r"network.periodic must name axes from \[0\], once each, got \[1\]"),
        ({"periodic": (-1,)}, (8, 8), r"network.periodic must name axes from \[0, 1\], once each, got \[-1\]"),
        ({"periodic": (0, 0)}, (8, 8), r"network.periodic must name axes from \[0, 1\], once each, got \[0, 0\]"),
        ({"name": "dit", "widths": (16, 32, 64), "periodic": (1,)}, (8, 8), "network.periodic is no option of network"),
    ],
)
def test_misfits_are_refused_with_what_would_fit(options, spatial, message):
    with pytest.raises(InputError, match=message):
        build_network(config(**options), 1, spatial)


@pytest.mark.parametrize("widths", [(5,), (6, 9), (1, 3)])
@pytest.mark.parametrize("axes", [1, 3])
def test_odd_widths(widths, axes):
    network = build_network(NetworkConfig(widths=widths, attention=True), 1, (4,) * axes)
    assert torch.isfinite(network(data((4,) * axes), T)).all()
