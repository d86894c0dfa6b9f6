"""A U-Net of signals, images and volumes: diffusers' UNet2DModel, and MONAI's DiffusionModelUNet for the last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from sagd.errors import InputError, check_whole
from sagd.model.denoiser import as_tensor
from sagd.networks.base import Network, check_dropout, check_size
from sagd.networks.padding import Padded, make_periodic
from sagd.optional import need


@dataclass(frozen=True)
class UNet(Network, kind="unet"):
    """Convolutions on halved and halved again data of 1, 2 or 3 axes, with short cuts between equal sizes.

    Sides that cannot be halved so often are padded inside the network; see `Padded`.

    Args:
        widths: Channels per level; each level after the first halves the sides.
        blocks: Residual blocks per level.
        attention: Self-attention at the coarsest level.
        dropout: Dropout probability.
        periodic: Spatial axes, from 0, that go on from their other end, as longitude does; the others end in zeros.
    """

    widths: tuple[int, ...] = (16, 32, 64)
    blocks: int = 1
    attention: bool = False
    dropout: float = 0.0
    periodic: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("widths", "periodic"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.widths or any(type(width) is not int or width < 1 for width in self.widths):
            raise InputError(
                f"network.widths must be positive, one per level, got {list(self.widths)}; e.g. [16, 32, 64]"
            )
        check_whole("network.blocks", self.blocks, 1)
        check_dropout(self.dropout)

    def extent(self, axes: int) -> tuple[int, int]:
        """About how many layers and weights it has, of data of so many axes."""
        blocks = 2 * self.blocks + 1  # of a level: on the way down and, one more, on the way up
        # Of a block: two convolutions, the map of the time, and often a short cut.
        return 4 * blocks * len(self.widths), 2 * blocks * 3**axes * sum(width**2 for width in self.widths)

    def build(self, inputs: int, outputs: int, spatial: Sequence[int], num_classes: int | None = None) -> nn.Module:
        """The module; see `Network.build`."""
        self._check(spatial)
        check_size(*self.extent(len(spatial)), "network.blocks or network.widths")
        labels = None if num_classes is None else num_classes + 1
        factor = 2 ** (len(self.widths) - 1)
        sides = [side + -side % factor for side in spatial]
        make = {1: self._signal, 2: self._image, 3: self._volume}[len(spatial)]
        network = make(inputs, outputs, sides, labels)
        return network if sides == list(spatial) else Padded(network, spatial, factor, self.periodic)

    def _image(self, inputs: int, outputs: int, sides: Sequence[int], labels: int | None) -> nn.Module:
        network = _silent(self._plane(inputs, outputs, sides, labels))
        make_periodic(network, self.periodic)
        return network

    def _signal(self, inputs: int, outputs: int, sides: Sequence[int], labels: int | None) -> nn.Module:
        """The network of images of height 1, with kernels of that height."""
        network = _silent(_flattened(self._plane(inputs, outputs, (1, *sides), labels)))
        make_periodic(network, [axis + 1 for axis in self.periodic])
        return _AsImage(network)

    def _plane(self, inputs: int, outputs: int, sides: Sequence[int], labels: int | None) -> nn.Module:
        need("diffusers")
        from diffusers import UNet2DModel

        attention = ["Attn" if here else "" for here in self._attention()]
        return UNet2DModel(
            sample_size=tuple(sides),
            in_channels=inputs,
            out_channels=outputs,
            block_out_channels=self.widths,
            down_block_types=tuple(f"{kind}DownBlock2D" for kind in attention),
            up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(attention)),
            layers_per_block=self.blocks,
            dropout=self.dropout,
            norm_num_groups=_groups(self.widths),
            attention_head_dim=math.gcd(self.widths[-1], 32),
            add_attention=self.attention,
            num_class_embeds=labels,
        )

    def _volume(self, inputs: int, outputs: int, sides: Sequence[int], labels: int | None) -> nn.Module:
        need("monai")
        from monai.networks.nets import DiffusionModelUNet
        from monai.networks.nets.diffusion_model_unet import DiffusionUNetResnetBlock

        network = DiffusionModelUNet(
            spatial_dims=3,
            in_channels=inputs,
            out_channels=outputs,
            channels=self.widths,
            num_res_blocks=self.blocks,
            attention_levels=self._attention(),
            norm_num_groups=_groups(self.widths),
            num_head_channels=math.gcd(self.widths[-1], 32),
            num_class_embeds=labels,
            use_flash_attention=True,
        )
        if not self.attention:
            network.middle_block.attention = nn.Identity()  # MONAI has it there at all events
        for block in network.modules():
            if self.dropout and isinstance(block, DiffusionUNetResnetBlock):
                block.conv2 = nn.Sequential(nn.Dropout(self.dropout), block.conv2)  # where that of images has it
        make_periodic(network, self.periodic)
        return network

    def _attention(self) -> list[bool]:
        """Whether each level has it."""
        return [self.attention and level == len(self.widths) - 1 for level in range(len(self.widths))]

    def _check(self, spatial: Sequence[int]) -> None:
        axes, levels = len(spatial), len(self.widths)
        if axes not in (1, 2, 3):
            raise InputError(f"network 'unet' is for data of 1, 2 or 3 axes, got spatial shape {tuple(spatial)}")
        known = {*range(axes)}
        if {*self.periodic} - known or len({*self.periodic}) < len(self.periodic):
            raise InputError(f"network.periodic must name axes from {sorted(known)}, once each, got {[*self.periodic]}")
        if min(spatial) < 2 ** (levels - 1):
            fits = min(spatial).bit_length()
            raise InputError(
                f"network.widths has {levels} levels, which need sides of at least {2 ** (levels - 1)}, got"
                f" {'x'.join(map(str, spatial))}; use at most {fits} level{'s' * (fits > 1)}"
            )


class _AsImage(nn.Module):
    """A network of images of height 1, for signals `(B, C, length)`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, **condition: Tensor) -> Tensor:
        return as_tensor(self.network(x.unsqueeze(-2), t, **condition)).squeeze(-2)


class _Lengthened(nn.Module):
    """Images of height 1, twice as wide; what the network of signals has where that of images has twice the image."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, *_: object) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=(1.0, 2.0)))


def _silent(network: nn.Module) -> nn.Module:
    """A network of diffusers whose output begins at 0, as MONAI's does: `edm` and `wiener` then begin at their guess,
    with the mean and the spectrum of the data, which a short training would otherwise have to find again.
    """
    last = network.get_submodule("conv_out")
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return network


def _flattened(network: nn.Module) -> nn.Module:
    """A network of images, changed to one of images of height 1: kernels lose their outer rows, which would see zeros.

    Weights are drawn anew, on the scale of what is left.
    """
    need("diffusers")
    from diffusers.models.upsampling import Upsample2D

    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d):
                setattr(parent, name, _flat(child))
            elif isinstance(child, Upsample2D):
                setattr(parent, name, _Lengthened(_flat(child.conv)))
    return network


def _flat(conv: nn.Conv2d) -> nn.Conv2d:
    assert not isinstance(conv.padding, str)
    kernel, stride, padding = conv.kernel_size[1], conv.stride[1], conv.padding[1]
    return nn.Conv2d(conv.in_channels, conv.out_channels, (1, kernel), (1, stride), (0, padding))


def _groups(widths: Sequence[int]) -> int:
    """Group-norm groups: the most that divide every width, at most 32, and of at least 4 channels where widths allow.

    One channel per group would erase the mean of every feature map.
    """
    common, most = math.gcd(*widths), max(1, min(32, min(widths) // 4))
    return max(groups for groups in range(1, most + 1) if common % groups == 0)
