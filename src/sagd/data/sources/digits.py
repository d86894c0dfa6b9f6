"""scikit-learn's digits, which need no download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch

from sagd.data.config import DataConfig
from sagd.data.sources.base import ArrayRecords, Records, Source
from sagd.optional import need


@dataclass(frozen=True)
class Digits(Source, kind="digits"):
    """The 1797 test digits of NIST as 8x8 counts 0..16; a fifth, of each class alike, is the test split."""

    splits: ClassVar[tuple[str, ...] | None] = ("train", "test", "all")

    @classmethod
    def recognise(cls, text: str) -> Self | None:
        """The name alone; a folder of that name is './digits'."""
        return cls() if text == cls.kind else None

    def open(self, config: DataConfig) -> Records:
        """The digits of a split."""
        need("sklearn")
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        rows = np.arange(len(digits.target))
        if config.split != "all":
            train, test = train_test_split(rows, test_size=0.2, random_state=0, stratify=digits.target)
            rows = train if config.split == "train" else test
        # round(255 v / 16), halves up, in whole numbers.
        pixels = (digits.images[rows].astype(np.int64) * 255 + 8) // 16
        labels = torch.from_numpy(digits.target[rows].astype(np.int64))
        classes = tuple(map(str, digits.target_names))
        return ArrayRecords("digits", labels, classes, pixels.astype(np.uint8))
