"""The network, as a configuration says it; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class NetworkConfig:
    """The denoising network; without those of other packages, built from diffusers."""

    origin: ClassVar[str] = "built"

    name: str = "unet"
    """unet (of 1, 2 or 3 axes), dit (of square images), one of a plug-in with its parameters, as in 'mynet(width=64)';
    'sagd kinds network' lists them. Or a class of a plug-in, as in 'my_module:Net(width=64)', made by
    Net(inputs, outputs, spatial, num_classes, width=64)."""
    widths: tuple[int, ...] = (16, 32, 64)
    """U-Net channels per level; each level after the first halves the sides."""
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
    """Dropout probability of U-Net and DiT."""
    periodic: tuple[int, ...] = ()
    """Spatial axes, from 0, that the U-Net lets go on from their other end, as longitude does."""
    conditional: bool = False
    """Condition on class labels (needs data with labels)."""
