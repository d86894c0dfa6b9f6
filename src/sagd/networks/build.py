"""Denoising networks by name, built from diffusers.

A conditional network has one embedding more than the data has classes: label `num_classes` means "no label", which
training shows in place of labels it drops, and classifier-free guidance asks for ("Classifier-Free Diffusion Guidance",
Ho & Salimans, 2022). All randomness of training is drawn by the trainer: diffusers' own label dropout is switched off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sagd.errors import InputError
from sagd.networks.adapter import Adapter
from sagd.networks.config import NetworkConfig


def build_network(
    config: NetworkConfig,
    channels: int,
    spatial: Sequence[int],
    num_classes: int | None = None,
    seed: int = 0,
    beside: int = 0,
) -> Adapter:
    """A network `F(x, timestep, labels=None, image=None)` for images `(B, channels, *spatial)`, an `Adapter`.

    Args:
        config: Architecture.
        channels: Channels of input and output.
        spatial: `(height, width)`.
        num_classes: Classes of a conditional network, whose labels are `0..num_classes` with `num_classes` for "no
            label"; None for an unconditional one.
        seed: Decides the initial weights; torch's global generator is left as it was.
        beside: Channels of the condition `image`, which is shown beside the input; 0 for networks without one.

    Raises:
        InputError: If the architecture does not fit the images.
    """
    if config.conditional != (num_classes is not None):
        have, need = (
            ("no labels", "network.conditional=false") if config.conditional else ("labels", "num_classes=None")
        )
        raise InputError(f"network.conditional is {config.conditional} but the data has {have}; use {need}")
    if len(spatial) != 2:
        raise InputError(
            f"network {config.name!r} is for images, got spatial shape {tuple(spatial)}; give (height, width)"
        )
    if not 0 <= config.dropout < 1:
        raise InputError(f"network.dropout must lie in [0, 1), got {config.dropout}")
    build = {"unet": _unet, "dit": _dit}[config.name]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Adapter(build(config, (channels + beside, channels), tuple(spatial), num_classes))


def _unet(
    config: NetworkConfig, channels: tuple[int, int], spatial: tuple[int, ...], num_classes: int | None
) -> nn.Module:
    _check_unet(config, spatial)
    from diffusers import UNet2DModel

    levels = len(config.widths)
    attention = ["Attn" if config.attention and level == levels - 1 else "" for level in range(levels)]
    return UNet2DModel(
        sample_size=spatial,
        in_channels=channels[0],
        out_channels=channels[1],
        block_out_channels=config.widths,
        down_block_types=tuple(f"{kind}DownBlock2D" for kind in attention),
        up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(attention)),
        layers_per_block=config.blocks,
        dropout=config.dropout,
        norm_num_groups=_groups(config.widths),
        attention_head_dim=math.gcd(config.widths[-1], 32),
        add_attention=config.attention,
        num_class_embeds=None if num_classes is None else num_classes + 1,
    )


def _check_unet(config: NetworkConfig, spatial: tuple[int, ...]) -> None:
    if not config.widths or any(width < 1 for width in config.widths):
        raise InputError(
            f"network.widths must be positive, one per level, got {list(config.widths)}; e.g. [32, 64, 64]"
        )
    if config.blocks < 1:
        raise InputError(f"network.blocks must be at least 1, got {config.blocks}")
    factor = 2 ** (len(config.widths) - 1)
    if any(side % factor for side in spatial):
        size, fits = "x".join(map(str, spatial)), _levels(math.gcd(*spatial))
        below = max(spatial) // factor * factor
        sizes = f"{below} or {below + factor}" if below else f"{factor}"
        raise InputError(
            f"network.widths has {len(config.widths)} levels, which need sides divisible by {factor}, got {size};"
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


def _dit(
    config: NetworkConfig, channels: tuple[int, int], spatial: tuple[int, ...], num_classes: int | None
) -> nn.Module:
    _check_dit(config, spatial)
    from diffusers import DiTTransformer2DModel

    head_dim = math.gcd(config.width, 32)
    network = DiTTransformer2DModel(
        num_attention_heads=config.width // head_dim,
        attention_head_dim=head_dim,
        in_channels=channels[0],
        out_channels=channels[1],
        num_layers=config.depth,
        dropout=config.dropout,
        sample_size=spatial[0],
        patch_size=config.patch,
        num_embeds_ada_norm=num_classes or 1,  # diffusers adds the embedding of "no label" itself
    )
    for block in network.transformer_blocks:
        if num_classes is None:
            block.norm1.emb.class_embedder = _NoLabel()
        else:
            block.norm1.emb.class_embedder.dropout_prob = 0.0
    return network


def _check_dit(config: NetworkConfig, spatial: tuple[int, ...]) -> None:
    height, width = spatial
    if height != width:
        raise InputError(
            f"network 'dit' needs square images, got {height}x{width}; set data.size or use network.name=unet"
        )
    if config.patch < 1 or height % config.patch:
        valid = ", ".join(str(p) for p in range(1, height + 1) if height % p == 0)
        raise InputError(f"network.patch must divide the side {height}, got {config.patch}; use one of {valid}")
    if config.depth < 1:
        raise InputError(f"network.depth must be at least 1, got {config.depth}")
    if config.width < 8 or config.width % 8:
        near = max(8, round(config.width / 8) * 8)
        raise InputError(f"network.width must be a multiple of 8 (attention heads), got {config.width}; e.g. {near}")


class _NoLabel(nn.Module):
    """Stands where a DiT embeds its label and adds nothing, so that an unconditional DiT needs no label."""

    def forward(self, labels: Tensor | None) -> float:
        return 0.0
