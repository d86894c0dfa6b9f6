"""Where images come from, as a configuration says it; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataConfig:
    """Where images come from and the shape they are given."""

    source: str = "digits"
    """'digits' (built in), a folder of images, a .parquet file with an image column, or a hub data set 'name' or
    'name:subset'. Write './digits' for a folder of that name."""
    split: str = "train"
    """Split to read; digits has 'train', 'test' and 'all', a folder or parquet file has only 'train'."""
    channels: int | None = None
    """1 (grey) or 3 (RGB; transparency is laid over white); default: as the files are, which must agree."""
    size: int | None = None
    """Side length; images are scaled on the shorter side (Lanczos) and centre-cropped. Default: as the files are."""
    flip: bool = False
    """Flip images left-right at random while training; a damaged band must then be its own mirror image."""
    image_column: str | None = None
    """Column with images; default: the only image column."""
    label_column: str | None = None
    """Column with integer or text labels, or 'none'; default: 'label', or a folder per class, where present."""
    limit: int | None = None
    """Use only so many images, at least 2, drawn at random, always the same ones. Bad ones count: skip_bad leaves
    fewer."""
    skip_bad: bool = False
    """Leave out unreadable images (their number is printed) instead of stopping."""
    corruption: str = "none"
    """Damage to try omission on, added to the images as they are read: 'band_noise(low=0.1, high=0.2, level=1)', rain,
    moire, scan_lines, fixed_pattern, hum or shading; fixed=False draws it anew at each reading."""
    corruption_seed: int = 0
    """Seed of the damage: the same image always gets the same."""
