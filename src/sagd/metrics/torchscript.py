"""Features from a TorchScript file of the user's, such as an Inception network."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.metrics.features import extract
from sagd.paths import read_bytes


class TorchScriptFeatures:
    """Features from a TorchScript file.

    A TorchScript archive holds pickled code: loading it can run anything. The file's sha256 is therefore
    required, and the very bytes that were checked are those that are loaded.

    The module receives `(N, channels, H, W)`: images in [-1, 1] rescaled to `input_range`. With `(0, 255)` they
    are clamped, rounded and passed as uint8, as Inception files in the manner of StyleGAN, clean-fid and
    torchmetrics take them; any other range is passed as float32, not clamped. Grey images are repeated to
    `channels`. Resizing is the module's business. Where its `forward` has an argument `return_features`
    (StyleGAN's Inception file), it is set. The module must return features `(N, D)`.

    Args:
        path: The file.
        sha256: Its checksum, 64 hexadecimal digits.
        input_range: Values that -1 and 1 become.
        channels: Channels the module takes; None passes images as they are.
        device: Where the module runs.

    Raises:
        InputError: If the file is missing, has another checksum, or is not TorchScript.
    """

    def __init__(
        self,
        path: str | Path,
        sha256: str,
        input_range: tuple[float, float] = (-1.0, 1.0),
        channels: int | None = 3,
        device: torch.device | str = "cpu",
    ) -> None:
        low, high = input_range
        if not low < high:
            raise InputError(f"input_range must rise, got {input_range}; e.g. (0, 255)")
        self._module = _load_torchscript(Path(path), sha256, device)
        self._range, self._channels, self._device = (float(low), float(high)), channels, torch.device(device)
        self.name = Path(path).name
        self.identifier = f"sha256:{sha256.lower()} input_range:{low:g},{high:g} channels:{channels or 'any'}"

    def __call__(self, images: Tensor, batch_size: int = 64) -> Tensor:
        """Features `(N, D)`, on the CPU, of images `(N, C, H, W)` in [-1, 1].

        Raises:
            InputError: If the channels do not fit, the module fails, or its output is not `(N, D)` and finite.
        """
        return extract(self._features, images, batch_size)

    def _features(self, batch: Tensor) -> Tensor:
        batch = _to_range(self._to_channels(batch.to(self._device).float()), self._range)
        try:
            return self._module(batch)
        except (RuntimeError, torch.jit.Error) as error:  # the latter: what the module itself raises
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"{self.name!r} fails on input {tuple(batch.shape)} {batch.dtype}: {reason}") from error

    def _to_channels(self, batch: Tensor) -> Tensor:
        if self._channels in (None, batch.shape[1]):
            return batch
        if batch.shape[1] != 1:
            raise InputError(f"{self.name!r} takes {self._channels} channels, got images with {batch.shape[1]}")
        return batch.expand(-1, self._channels, -1, -1)


def _load_torchscript(path: Path, sha256: str, device: torch.device | str) -> Callable[[Tensor], Any]:
    if not isinstance(sha256, str) or len(sha256) != 64:
        raise InputError(f"feature file {str(path)!r} needs its sha256, 64 hexadecimal digits; got {sha256!r}")
    try:
        content = read_bytes(path)
    except OSError as error:
        raise InputError(f"cannot read feature file {str(path)!r}: {error.strerror}") from None
    if (found := hashlib.sha256(content).hexdigest()) != sha256.lower():
        raise InputError(f"{str(path)!r} has sha256 {found}, not {sha256}: not loaded; get the file you meant")
    with warnings.catch_warnings():
        # Files of this format are what is published; torch deprecates making new ones.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
        try:
            module = torch.jit.load(io.BytesIO(content), map_location=device).eval()
            arguments = [argument.name for argument in module.forward.schema.arguments]
        except (RuntimeError, ValueError, AttributeError):
            raise InputError(f"{str(path)!r} is not a TorchScript module; make one with torch.jit.save") from None
    if "return_features" in arguments:
        return lambda batch: module(batch, return_features=True)
    return module


def _to_range(batch: Tensor, bounds: tuple[float, float]) -> Tensor:
    low, high = bounds
    batch = low + (batch + 1) * ((high - low) / 2)
    return batch.round().clamp(0, 255).to(torch.uint8) if bounds == (0.0, 255.0) else batch
