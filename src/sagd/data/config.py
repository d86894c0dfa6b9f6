"""Where data comes from, as a configuration says it; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

Order = Literal["fft", "centred"]
"""Order of the frequencies of masks."""


@dataclass(frozen=True)
class DataConfig:
    """Where data comes from and the shape it is given."""

    source: str = "digits"
    """'digits' (built in), a folder or file of images, sound, tables, films, volumes or fields, a .parquet file with a
    column of images, sound or arrays, or a hub data set 'name' or 'name:subset'. Write './digits' for a folder of that
    name."""
    kind: str = "auto"
    """What the data is: image, audio, series, video, volume or field; 'auto' goes by the files. 'sagd kinds' has what
    each means."""
    split: str = "train"
    """Split to read; digits has 'train', 'test' and 'all', a folder or parquet file has only 'train'."""
    channels: int | None = None
    """Images: 1 (grey) or 3 (RGB; transparency is laid over white); sound: 1 (the mean of all) or, of files with one,
    any number; default: as the files are, which must agree."""
    size: int | tuple[int, ...] | None = None
    """Side length, or one for each axis. Images are scaled on the shorter side (Lanczos) and centre-cropped; of all
    else windows of that size are cut, end to end, and what is shorter is padded, the padding left out of the loss.
    Default: as the files are."""
    fit: Literal["auto", "scale", "tile", "crop"] = "auto"
    """What size does: scale (images), or tile: cut windows (all else), as 'auto' has it; crop: cut them at random
    places, anew at each reading of a training, from few large files: one is enough. Elsewhere they then lie half a
    window apart."""
    axes: str | None = None
    """A letter for each axis of the arrays, where files do not say or one knows better: N items, C channels, T time,
    Z Y X space; e.g. NCYX. Default: what files and shapes say, which is printed."""
    arrays: tuple[str, ...] = ()
    """Names of the arrays (variables, data sets, columns of tables) of each file to read, a channel or more each.
    Default: all of the shape that the largest has."""
    rate: float | None = None
    """Samples per second of files that do not say it."""
    spacing: tuple[str, ...] = ()
    """Distance of neighbours along each axis of an item, e.g. '2 mm' '0.5 mm' '0.5 mm', for frequencies in units; goes
    before what files say. Default: as they say."""
    resample: float | None = None
    """Samples per second to bring all to."""
    missing: Literal["refuse", "mask"] = "refuse"
    """NaN in files: refuse, or mask: left out of loss and measures, filled by the model."""
    area_weights: bool = False
    """Count the places of maps by the areas of their cells, by the latitudes that files give: in the loss, the mean
    error and the marginals."""
    flip: bool = False
    """Flip along the last axis at random while training: images left-right, sound and series in time; a damaged band
    must then be its own mirror image."""
    image_column: str | None = None
    """Column with images, sound or arrays; default: the only one of images or sound, else of arrays."""
    label_column: str | None = None
    """Column with integer or text labels, or 'none'; default: 'label', metadata.csv, or a folder per class, where
    present."""
    limit: int | None = None
    """Use only so many items, at least 2, drawn at random, always the same ones. Bad ones count: skip_bad leaves
    fewer."""
    skip_bad: bool = False
    """Leave out unreadable files (their number is printed) instead of stopping."""
    observed: str | None = None
    """Data of which each item lacks frequencies of its own, as subsampled scans and tilted specimens do: the name of
    its masks, e.g. mask. That is a column of tables (arrays, or paths of .npy files), an array of .npz or HDF5 files,
    or what stands before the ending of .npy files beside the items (scan-01.mask.npy beside scan-01.npy). A mask holds
    1 for each frequency that was observed, else 0, in the order of numpy.fft.fftn or its half numpy.fft.rfftn. Train on
    it with --laps 3."""
    observed_order: Order = "fft"
    """Order of these masks: fft, with frequency 0 first, or centred, with frequency 0 in the middle, as
    numpy.fft.fftshift puts it."""
    corruption: str = "none"
    """Damage to try omission on, added to the data as it is read: 'band_noise(low=0.1, high=0.2, level=1)', rain,
    moire, scan_lines, fixed_pattern, hum or shading, which are on the grid; fringes, curtains, streaks, mains, sensor
    or gain as real damage is; fixed=False draws it anew at each reading."""
    corruption_seed: int = 0
    """Seed of the damage: the same item always gets the same."""


@dataclass(frozen=True)
class Reading:
    """How files are read that do not say it themselves: the settings of `DataConfig` of these names.

    Attributes:
        axes: A letter for each axis of the arrays; None: as files and shapes say.
        arrays: Names of the arrays that are read; (): all that fit.
        rate: Samples per second of files that do not say it.
        spacing: Distance of neighbours along each axis, whatever files say.
    """

    axes: str | None = None
    arrays: tuple[str, ...] = ()
    rate: float | None = None
    spacing: tuple[str, ...] = ()

    def beneath(self, config: DataConfig) -> DataConfig:
        """A configuration with these settings where it has none of its own."""
        own = {f.name: getattr(config, f.name) for f in fields(self)}
        return replace(config, **{name: getattr(self, name) for name, value in own.items() if value in (None, ())})
