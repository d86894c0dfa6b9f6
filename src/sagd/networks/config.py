"""The network, as a configuration says it; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class NetworkConfig:
    """The denoising network, built from diffusers."""

    name: Literal["unet", "dit"] = "unet"
    """unet (UNet2DModel) or dit (DiTTransformer2DModel)."""
    widths: tuple[int, ...] = (32, 64, 64)
    """U-Net channels per level; each level after the first halves the image."""
    blocks: int = 1
    """Residual blocks per U-Net level."""
    attention: bool = False
    """Self-attention at the coarsest U-Net level."""
    depth: int = 4
    """Transformer blocks of the DiT."""
    width: int = 128
    """Hidden width of the DiT."""
    patch: int = 4
    """Patch side of the DiT."""
    dropout: float = 0.0
    """Dropout probability in the U-Net."""
    conditional: bool = False
    """Condition on class labels (needs data with labels)."""
