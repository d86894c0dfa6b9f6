"""A spectrum for each channel."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.spectra.base import Spectrum, joined, refuse_inside
from sagd.noise.statistics import DataStatistics


@dataclass(frozen=True)
class PerChannel(Spectrum, kind="per_channel"):
    """One spectrum per channel, in order: weights `(C, *coefficients)`. Channels stay independent of each other.

    Args:
        spectra: Spectra, their texts or mappings; none of them may itself differ between channels.
    """

    scalable = False
    spectra: tuple[Spectrum, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.spectra, (tuple, list)) or not self.spectra:
            raise InputError(
                f"per_channel needs one spectrum for each channel, e.g. spectra=['flat', 'flat'], got {self.spectra!r}"
            )
        spectra = tuple(Spectrum.parse(spectrum) for spectrum in self.spectra)
        refuse_inside(self, spectra, self.kind, "give each channel one spectrum for all that is to shape it")
        refuse_inside(self, spectra, "by_class", "put per_channel spectra into its classes instead")
        object.__setattr__(self, "spectra", spectra)

    @property
    def parts(self) -> tuple[Spectrum, ...]:
        """The channels' spectra."""
        return self.spectra

    def weights(self, frequencies: Tensor) -> Tensor:
        """The channels' weights, one after the other."""
        weights = [spectrum.weights(frequencies) for spectrum in self.spectra]
        for spectrum, w in zip(self.spectra, weights, strict=True):
            if w.shape != frequencies.shape[1:]:
                raise InputError(
                    f"weights of {spectrum.label} in per_channel have shape {tuple(w.shape)}, one channel needs"
                    f" {tuple(frequencies.shape[1:])}"
                )
        return torch.stack(weights)

    def with_parts(self, parts: tuple[Spectrum, ...]) -> PerChannel:
        """Other spectra for the channels."""
        return PerChannel(parts)

    def resolve(self, statistics: DataStatistics) -> PerChannel:
        """Each channel's spectrum resolved on the statistics of that channel."""
        if not self.needs_data:
            return self
        if len(statistics.spectrum) != len(self.spectra):
            raise InputError(
                f"per_channel has {len(self.spectra)} spectra, the measured data {len(statistics.spectrum)} channels;"
                " give one spectrum for each channel"
            )
        return PerChannel(tuple(s.resolve(_channel(statistics, i)) for i, s in enumerate(self.spectra)))

    def to_dict(self) -> dict[str, Any]:
        """Kind and the channels' mappings."""
        return {"kind": self.kind, "spectra": [spectrum.to_dict() for spectrum in self.spectra]}

    def __str__(self) -> str:
        return f"{self.kind}(spectra={tuple(map(str, self.spectra))!r})"

    def _brief(self) -> str:
        return joined(self, ", ", f"{self.kind}(spectra=({{}}))") or super()._brief()


def _channel(statistics: DataStatistics, index: int) -> DataStatistics:
    one = slice(index, index + 1)
    return dataclasses.replace(statistics, mean=statistics.mean[one], spectrum=statistics.spectrum[one])
