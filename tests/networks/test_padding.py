"""Padding to sides that can be halved, and convolutions that close upon themselves."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sagd.errors import InputError
from sagd.networks.padding import Padded, make_periodic

GENERATOR = torch.Generator().manual_seed(0)
T = torch.zeros(2)
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def roll(x, axis, by=1):
    return x.roll(by, axis + 2)


class Recorder(nn.Module):
    def forward(self, x, t, **condition):
        self.seen, self.told = x, condition
        return x


def test_what_the_network_sees_is_the_mirror_image_or_the_other_end():
    network = Recorder()
    x = torch.arange(5.0).expand(2, 1, 5)
    assert torch.equal(Padded(network, (5,), 4)(x, T), x)
    assert network.seen[0, 0].tolist() == [1, 0, 1, 2, 3, 4, 3, 2]
    assert torch.equal(Padded(network, (5,), 4, periodic=[0])(x, T, labels=T), x)
    assert network.seen[0, 0].tolist() == [4, 0, 1, 2, 3, 4, 0, 1]
    assert network.told["labels"] is T


@pytest.mark.parametrize("spatial", [(9,), (4, 7), (5, 6, 11), (8, 7, 4)])
def test_every_axis_is_padded_in_its_own_way_and_cropped_back(spatial):
    network, periodic = Recorder(), [len(spatial) - 1]
    x = torch.randn(2, 3, *spatial, generator=GENERATOR)
    assert torch.equal(Padded(network, spatial, 4, periodic)(x, T), x)
    expected = x
    for axis, side in enumerate(spatial):
        before = (-side % 4) // 2
        rows = [row - before for row in range(side + -side % 4)]
        folded = [row % side if axis in periodic else side - 1 - abs(abs(row) - (side - 1)) for row in rows]
        expected = expected.index_select(axis + 2, torch.tensor(folded))
    assert torch.equal(network.seen, expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_periodic_axes_are_those_of_a_longer_signal_and_others_end_in_zeros(axes, stride):
    """The same as a convolution without padding of data that was continued by hand."""
    plain = CONVOLUTIONS[axes](2, 3, 5, stride, padding=2, dilation=1)
    network = copy.deepcopy(plain)
    make_periodic(network, [axes - 1])
    x = torch.randn(2, 2, *(8, 6, 10)[:axes], generator=GENERATOR)
    longer = torch.cat([x[..., -2:], x, x[..., :2]], dim=-1)
    plain.padding = (2,) * (axes - 1) + (0,)
    assert torch.equal(network(x), plain(longer))
    assert network.state_dict().keys() == plain.state_dict().keys()
    moved = network(roll(x, axes - 1, stride))
    torch.testing.assert_close(moved, roll(network(x), axes - 1))
    for axis in range(axes - 1):
        assert (network(roll(x, axis, stride)) - roll(network(x), axis)).abs().max() > 0.1


def test_all_axes_at_once_are_the_circular_padding_of_torch():
    network = nn.Conv2d(1, 1, 3, padding=1)
    own = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
    own.load_state_dict(network.state_dict())
    make_periodic(network, [0, 1])
    x = torch.randn(2, 1, 6, 8, generator=GENERATOR)
    assert torch.equal(network(x), own(x))


def test_a_copy_is_periodic_too_and_kernels_of_one_point_are_left_alone():
    network = nn.Sequential(nn.Conv1d(1, 1, 3, padding=1), nn.Conv1d(1, 1, 1))
    make_periodic(network, [0])
    x = torch.randn(2, 1, 8, generator=GENERATOR)
    assert torch.equal(copy.deepcopy(network)(x), network(x))
    expected = network[1](F.conv1d(F.pad(x, (1, 1), "circular"), network[0].weight, network[0].bias))
    assert torch.equal(network(x), expected)
    assert not network[1]._forward_pre_hooks


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.ConvTranspose2d(1, 1, 4, 2, 1), "with ConvTranspose2d cannot be periodic; use interpolation"),
        (nn.Conv1d(1, 1, 3, padding="same"), "pads by 'same' with zeros cannot be periodic; give a number of zeros"),
        (nn.Conv1d(1, 1, 3, padding=1, padding_mode="reflect"), r"pads by \(1,\) with reflect cannot be periodic"),
    ],
)
def test_layers_that_cannot_be_periodic_are_refused(layer, message):
    with pytest.raises(InputError, match=message):
        make_periodic(nn.Sequential(layer), [0])
