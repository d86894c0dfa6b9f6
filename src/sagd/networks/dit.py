"""A transformer on patches: diffusers' DiTTransformer2DModel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from sagd.errors import InputError, check_whole
from sagd.networks.base import Network, check_dropout, check_image, check_size
from sagd.optional import need


@dataclass(frozen=True)
class DiT(Network, kind="dit"):
    """A transformer on the patches of square images.

    Args:
        depth: Transformer blocks.
        width: Hidden width.
        patch: Patch side.
        dropout: Dropout probability.
    """

    depth: int = 4
    width: int = 128
    patch: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("depth", "patch", "width"):
            check_whole(f"network.{name}", getattr(self, name), 1)
        if self.width < 8 or self.width % 8:
            near = max(8, round(self.width / 8) * 8)
            raise InputError(f"network.width must be a multiple of 8 (attention heads), got {self.width}; e.g. {near}")
        check_dropout(self.dropout)

    def extent(self) -> tuple[int, int]:
        """About how many layers and weights it has: of a block attention, two linear maps, and what time does to it."""
        return 10 * self.depth, (4 + 8 + 7) * self.width**2 * self.depth

    def build(self, inputs: int, outputs: int, spatial: Sequence[int], num_classes: int | None = None) -> nn.Module:
        """The module; see `Network.build`."""
        self._check(*check_image(self.kind, spatial))
        check_size(*self.extent(), "network.depth or network.width")
        need("diffusers")
        from diffusers import DiTTransformer2DModel

        head_dim = math.gcd(self.width, 32)
        network = DiTTransformer2DModel(
            num_attention_heads=self.width // head_dim,
            attention_head_dim=head_dim,
            in_channels=inputs,
            out_channels=outputs,
            num_layers=self.depth,
            dropout=self.dropout,
            sample_size=spatial[0],
            patch_size=self.patch,
            num_embeds_ada_norm=num_classes or 1,  # diffusers adds the embedding of "no label" itself
        )
        for block in network.transformer_blocks:
            if num_classes is None:
                block.norm1.emb.class_embedder = _NoLabel()
            else:
                block.norm1.emb.class_embedder.dropout_prob = 0.0
        return network

    def _check(self, height: int, width: int) -> None:
        if height != width:
            raise InputError(
                f"network 'dit' needs square images, got {height}x{width}; set data.size or use network.name=unet"
            )
        if height % self.patch:
            valid = ", ".join(str(p) for p in range(1, height + 1) if height % p == 0)
            raise InputError(f"network.patch must divide the side {height}, got {self.patch}; use one of {valid}")


class _NoLabel(nn.Module):
    """Stands where a DiT embeds its label and adds nothing, so that an unconditional DiT needs no label."""

    def forward(self, labels: Tensor | None) -> float:
        return 0.0
