"""Packages that not everybody needs: what each is for, and which extra of `sagd` installs it.

Every import of one stands inside the function that needs it, after a call of `need`.
"""

from __future__ import annotations

import importlib
import importlib.util

from sagd.errors import InputError, one_line

EXTRAS = {
    "tyro": ("tyro", "the command line", "cli"),
    "PIL": ("pillow", "images", "images"),
    "pyarrow": ("pyarrow", "parquet files", "images"),
    "fsspec": ("fsspec", "images in archives", "images"),
    "datasets": ("datasets", "data sets of the hub and large parquet files", "images"),
    "huggingface_hub": ("huggingface_hub", "data sets of the hub", "images"),
    "sklearn": ("scikit-learn", "the built-in digits", "images"),
    "diffusers": ("diffusers", "the networks that come with sagd", "networks"),
    "monai": ("monai", "the networks of volumes", "volumes"),
    "accelerate": ("accelerate", "devices, mixed precision and several processes", "accelerate"),
    "matplotlib": ("matplotlib", "pictures", "report"),
    "jinja2": ("jinja2", "reports", "report"),
    "scipy": ("scipy", "confidence intervals, resampling, coupling and pictures of few colours", "report"),
    "tensorboard": ("tensorboard", "TensorBoard's pages", "tensorboard"),
    "pywt": ("PyWavelets", "wavelet bases", "wavelets"),
    "tifffile": ("tifffile", "TIFF files", "signals"),
    "soundfile": ("soundfile", "WAV and FLAC files", "signals"),
    "h5py": ("h5py", "HDF5 files", "science"),
    "zarr": ("zarr", "Zarr folders", "science"),
    "xarray": ("xarray", "NetCDF files", "science"),
    "netCDF4": ("netCDF4", "NetCDF files", "science"),
    "nibabel": ("nibabel", "NIfTI files", "medical"),
    "pydicom": ("pydicom", "DICOM files", "medical"),
    "av": ("av", "films", "video"),
}
"""Name of the import: name of the package, what it is for, and the extra that has it."""


def need(*names: str) -> None:
    """Import packages, so that the imports after this line find them; also before long work that ends with one.

    Args:
        names: Names of imports, of `EXTRAS`.

    Raises:
        InputError: If one is not installed, with the extra that installs it; or if it is and cannot be imported.
    """
    for name in names:
        package, purpose, extra = EXTRAS[name]
        try:
            importlib.import_module(name)
        except ImportError as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name == name
            reason = "" if missing else f", and cannot be imported here ({one_line(error)})"
            raise InputError(f"{package} is needed for {purpose}{reason}; pip install 'sagd[{extra}]'") from error


def has(name: str) -> bool:
    """Whether a package is installed; it is not imported."""
    return importlib.util.find_spec(name) is not None
