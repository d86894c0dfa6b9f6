"""A U-Net: diffusers' UNet2DModel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from sagd.errors import InputError
from sagd.networks.base import Network, check_dropout, check_image, check_whole
from sagd.optional import need


@dataclass(frozen=True)
class UNet(Network, kind="unet"):
    """Convolutions on halved and halved again images, with short cuts between equal sizes.

    Args:
        widths: Channels per level; each level after the first halves the image.
        blocks: Residual blocks per level.
        attention: Self-attention at the coarsest level.
        dropout: Dropout probability.
    """

    widths: tuple[int, ...] = (16, 32, 64)
    blocks: int = 1
    attention: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if not self.widths or any(type(width) is not int or width < 1 for width in self.widths):
            raise InputError(
                f"network.widths must be positive, one per level, got {list(self.widths)}; e.g. [16, 32, 64]"
            )
        check_whole("blocks", self.blocks)
        check_dropout(self.dropout)

    def build(self, inputs: int, outputs: int, spatial: Sequence[int], num_classes: int | None = None) -> nn.Module:
        """The module; see `Network.build`."""
        self._check(check_image(self.kind, spatial))
        need("diffusers")
        from diffusers import UNet2DModel

        levels = len(self.widths)
        attention = ["Attn" if self.attention and level == levels - 1 else "" for level in range(levels)]
        return UNet2DModel(
            sample_size=tuple(spatial),
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
            num_class_embeds=None if num_classes is None else num_classes + 1,
        )

    def _check(self, spatial: tuple[int, int]) -> None:
        factor = 2 ** (len(self.widths) - 1)
        if any(side % factor for side in spatial):
            size, fits = "x".join(map(str, spatial)), _levels(math.gcd(*spatial))
            below = max(spatial) // factor * factor
            sizes = f"{below} or {below + factor}" if below else f"{factor}"
            raise InputError(
                f"network.widths has {len(self.widths)} levels, which need sides divisible by {factor}, got {size};"
                f" use data.size {sizes}, or at most {fits} level{'s' * (fits > 1)}"
            )


def _levels(side: int) -> int:
    """Levels of a U-Net that `side` can be halved for."""
    return (side & -side).bit_length()


def _groups(widths: Sequence[int]) -> int:
    """Group-norm groups: the most that divide every width, at most 32, and of at least 4 channels where widths allow.

    One channel per group would erase the mean of every feature map.
    """
    common, most = math.gcd(*widths), max(1, min(32, min(widths) // 4))
    return max(groups for groups in range(1, most + 1) if common % groups == 0)
