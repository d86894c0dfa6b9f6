"""Foreign networks under the library's signature: what reaches them, and what comes back."""

from types import SimpleNamespace

import pytest
import torch

from sagd.errors import InputError
from sagd.networks.adapter import Adapter

X, T = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([250.0, 1000.0])


class Recorder(torch.nn.Module):
    def forward(self, *arguments, **named):
        self.arguments, self.named = arguments, named
        return arguments[0]


def called(condition=None, **options):
    """Arguments by position and by name of a call."""
    network = Recorder()
    Adapter(network, **options)(X, T, **condition or {})
    return network.arguments, network.named


def test_names_of_diffusers_by_default():
    condition = {"labels": torch.tensor([0, 1]), "embedding": torch.zeros(2, 3, 4), "mask": torch.ones(2)}
    (x, t), named = called(condition)
    assert x is X
    assert torch.equal(t, T)
    assert named["class_labels"] is condition["labels"]
    assert named["encoder_hidden_states"] is condition["embedding"]
    assert named["mask"] is condition["mask"]
    assert len(named) == 3


def test_other_names_time_and_constants():
    arguments, named = called(
        {"labels": T.long()}, names={"labels": "y"}, time_scale=0.001, time="sigma", constants={"k": 3}
    )
    assert len(arguments) == 1
    assert named["sigma"].tolist() == [0.25, 1.0]
    assert (named["k"], named["y"].tolist()) == (3, [250, 1000])
    assert called(time=None) == ((X,), {})


def test_images_are_shown_beside():
    image, mask = torch.ones(2, 3, 8, 8, dtype=torch.float64), torch.zeros(2, 1, 8, 8)
    (x, _), named = called({"image": image, "mask": mask}, beside=("image", "mask"))
    assert x.shape == (2, 5, 8, 8)
    assert x.dtype == X.dtype
    assert torch.equal(x[:, :1], X)
    assert (x[:, 1:4] == 1).all()
    assert not named
    (x, _), named = called({"image": image}, beside=())
    assert x is X
    assert named == {"image": image}
    with pytest.raises(
        InputError, match=r"condition 'image' must lie on the grid of the data, \(B, C, 8, 8\), got shape"
    ):
        called({"image": image[..., :4]})


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x, None), lambda x: SimpleNamespace(sample=x)])
def test_forms_of_output(wrap):
    network = Recorder()
    network.forward = lambda x, t: wrap(x)
    assert Adapter(network)(X, T) is X


def test_a_plain_module():
    network = Adapter(torch.nn.Conv2d(3, 1, 3, padding=1), time=None)
    assert network(X, T, image=torch.zeros(2, 2, 8, 8)).shape == X.shape
    assert set(network.state_dict()) == {"network.weight", "network.bias"}


def test_networks_of_diffusers():
    """Each takes its condition, and another condition gives another output."""
    from diffusers import DiTTransformer2DModel, UNet2DConditionModel, UNet2DModel

    torch.manual_seed(0)
    sizes = {"sample_size": 8, "in_channels": 1, "out_channels": 1}
    groups = {"block_out_channels": (8, 8), "norm_num_groups": 4}
    unet = UNet2DModel(
        **{**sizes, **groups, "in_channels": 3},
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        num_class_embeds=5,
    )
    crossed = UNet2DConditionModel(
        **sizes,
        **groups,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=6,
        attention_head_dim=4,
    )
    dit = DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=4, num_layers=1, patch_size=2, num_embeds_ada_norm=5, **sizes
    ).eval()
    torch.nn.init.normal_(dit.proj_out_2.weight)
    one, other = torch.tensor([0, 0]), torch.tensor([1, 1])
    image, tokens = torch.zeros(2, 2, 8, 8), torch.randn(2, 2, 3, 6)
    pairs = [
        (unet, {"labels": one, "image": image}, {"labels": other, "image": image}),
        (unet, {"labels": one, "image": image}, {"labels": one, "image": image + 1}),
        (crossed, {"embedding": tokens[0]}, {"embedding": tokens[1]}),
        (dit, {"labels": one}, {"labels": other}),
    ]
    for network, first, second in pairs:
        adapted = Adapter(network)
        with torch.no_grad():
            a, b, again = (adapted(X, T, **told) for told in (first, second, first))
        assert a.shape == X.shape
        assert torch.equal(a, again)
        assert (a - b).abs().max() > 1e-4
