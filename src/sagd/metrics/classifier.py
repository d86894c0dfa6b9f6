"""Features from a small classifier trained on the data set's own images and labels.

It needs no download and fits any channels and any size from 8 x 8.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from sagd.counting import counted
from sagd.errors import InputError
from sagd.metrics.cache import ClassifierCache, default_cache
from sagd.metrics.checks import check_finite
from sagd.metrics.features import extract
from sagd.random import Generator, generator_for, randn, randperm

_LEAST_SIDE = 8
_LEAST_IMAGES = 10  # a tenth is held out
_LARGEST_RMS = 2.0
_STANDARDISED = 10_000  # images that fix the scale of the features


@dataclass(frozen=True)
class ClassifierRecipe:
    """How the built-in classifier is made; every field is part of the cache key.

    Attributes:
        version: Raised whenever the code of network or training changes.
        dimension: Feature dimension `D`.
        epochs: Passes over the training images, unless `steps` comes first.
        steps: Most optimiser steps.
        batch_size: Images per step.
        lr: Peak learning rate of AdamW; linear warm-up over a tenth of the steps, cosine decay to zero.
        weight_decay: AdamW weight decay.
    """

    version: int = 1
    dimension: int = 64
    epochs: int = 40
    steps: int = 1200
    batch_size: int = 64
    lr: float = 2e-3
    weight_decay: float = 0.02


class ClassifierFeatures:
    """Penultimate layer of a small convolutional classifier, `D = 64`.

    There is no normalisation layer: evaluation is deterministic, images do not affect each other, and the
    features keep the contrast of an image. They are shifted, and scaled by one number, so that over the images it
    was trained on they have mean zero and mean variance one: a Fréchet distance of `D` is as far as the data is wide,
    and the kernel distance's cubic kernel is at a sensible scale. Build it with `train_or_load`.

    Attributes:
        shape: Image shape `(C, H, W)` it was trained on, and takes.
        accuracy: Share of right answers on the tenth of the images that was held out of training.
        held_out: Number of those images.
        identifier: sha256 of the weights file.
    """

    name = "classifier"

    def __init__(
        self, body: nn.Module, shape: tuple[int, ...], accuracy: float, held_out: int, identifier: str
    ) -> None:
        self._body = body.eval().requires_grad_(False)
        self.shape, self.accuracy, self.held_out, self.identifier = shape, accuracy, held_out, identifier

    @classmethod
    def train_or_load(
        cls,
        images: Tensor,
        labels: Tensor | None,
        num_classes: int,
        cache_dir: str | Path | None = None,
        seed: int = 0,
        progress: bool = True,
        recipe: ClassifierRecipe | None = None,
    ) -> ClassifierFeatures:
        """The classifier of these images and labels: from the cache, else trained on the CPU and cached.

        Training is deterministic for a given machine and thread count, and neither reads nor moves the global
        random state.

        Args:
            images: `(N, C, H, W)`, floating point in [-1, 1], sides of at least 8.
            labels: `(N,)`, whole numbers in `[0, num_classes)`.
            num_classes: Number of classes, at least 2.
            cache_dir: Folder of trained classifiers; default `$SAGD_CACHE`, else `$XDG_CACHE_HOME/sagd`, else
                `~/.cache/sagd`.
            seed: Seed of the held-out split, initial weights and batches.
            progress: Show a progress bar while training.
            recipe: Network and training settings.

        Raises:
            InputError: If images or labels cannot be used, or the cache folder cannot be written.

        Warns:
            UserWarning: If the cached classifier is damaged and is trained again.
        """
        recipe = recipe or ClassifierRecipe()
        labels = _check_training_set(images, labels, num_classes)
        images = images.detach().cpu().float()
        shape = tuple(images.shape[1:])
        folder = Path(cache_dir) if cache_dir is not None else default_cache()
        cache = ClassifierCache(folder, _key(images, labels, num_classes, seed, recipe))
        body, _ = _classifier(shape, num_classes, recipe.dimension)
        stored = cache.read(body)
        if stored is None:
            cache.check_writable()
            body, accuracy, held_out = _train(images, labels, num_classes, seed, recipe, progress)
            details = {"accuracy": accuracy, "held_out": held_out, "shape": list(shape), "seed": seed}
            stored = cache.write(safetensors.torch.save(body.state_dict()), details)
        return cls(body, shape, stored.accuracy, stored.held_out, f"sha256:{stored.sha256}")

    @staticmethod
    def suits(shape: tuple[int, ...], count: int) -> bool:
        """Whether it can be trained on so many items of `shape`."""
        return len(shape) == 3 and min(shape[1:]) >= _LEAST_SIDE and count >= _LEAST_IMAGES

    def __call__(self, images: Tensor, batch_size: int = 256) -> Tensor:
        """Features `(N, 64)`, float32 on the CPU, of images `(N, C, H, W)` in [-1, 1].

        Raises:
            InputError: If the images have another shape than those trained on, or values are not finite.
        """
        if tuple(images.shape[1:]) != self.shape:
            raise InputError(
                f"this classifier takes images (N, {', '.join(map(str, self.shape))}), got {tuple(images.shape)}"
            )
        return extract(lambda batch: self._body(batch.cpu().float()), images, batch_size)


def _check_training_set(images: Tensor, labels: Tensor | None, num_classes: int) -> Tensor:
    """Labels as int64 on the CPU, or an error."""
    if labels is None:
        raise InputError(
            "the built-in classifier needs labels and the data has none; use LabellessFeatures or a TorchScript file"
        )
    if images.ndim != 4 or not images.is_floating_point() or min(images.shape[2:]) < _LEAST_SIDE:
        raise InputError(
            "the built-in classifier needs floating-point images (N, C, H, W) with sides of at least"
            f" {_LEAST_SIDE}, got {tuple(images.shape)} {images.dtype}"
        )
    check_finite(images, "images")
    if len(images) < _LEAST_IMAGES:
        raise InputError(
            f"the built-in classifier needs at least {_LEAST_IMAGES} images to hold a tenth out, got {len(images)}"
        )
    # Single values beyond are those of bright pixels, for which all else would have little room.
    if images.square().mean().sqrt() > _LARGEST_RMS:
        raise InputError(
            f"images must be scaled to about [-1, 1], got {images.min():.3g} to {images.max():.3g}; rescale them"
        )
    if labels.shape != images.shape[:1] or labels.is_floating_point() or labels.is_complex():
        raise InputError(
            f"labels must be whole numbers of shape ({len(images)},), got {tuple(labels.shape)} {labels.dtype}"
        )
    if num_classes < 2 or labels.min() < 0 or labels.max() >= num_classes:
        raise InputError(
            f"need num_classes >= 2 and labels in [0, num_classes), got num_classes={num_classes} and labels"
            f" {int(labels.min())} to {int(labels.max())}"
        )
    return labels.detach().cpu().long()


def _classifier(shape: tuple[int, ...], num_classes: int, dimension: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Body to `dimension` features, and head to logits."""
    with torch.random.fork_rng(devices=[]):  # constructors draw initial weights from the global state
        head = nn.Sequential(nn.SiLU(), nn.Linear(dimension, num_classes))
        return _body(shape, dimension).float(), head.float()


def _body(shape: tuple[int, ...], dimension: int) -> nn.Sequential:
    """Convolutions that halve the image until its shorter side is 4 to 7, and a linear layer to the features."""
    channels, height, width = shape
    # Above 32 the first convolution strides further, so that the cost does not grow with the image.
    stride = max(1, min(height, width) // 32)
    layers: list[nn.Module] = [nn.Conv2d(channels, 32, 2 * stride + 1, stride, padding=stride), nn.SiLU()]
    height, width, wide = -(-height // stride), -(-width // stride), 32
    while min(height, width) >= 8:
        layers += [nn.Conv2d(wide, 64, 3, stride=2, padding=1), nn.SiLU()]
        height, width, wide = -(-height // 2), -(-width // 2), 64
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(wide * height * width, dimension))


def _initialise(network: nn.Module, generator: Generator) -> None:
    """Draw all weights from `generator`."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            _he_normal(module.weight, generator)
            nn.init.zeros_(cast(Tensor, module.bias))


@torch.no_grad()
def _he_normal(weight: Tensor, generator: Generator) -> None:
    """Normal with variance `2 / fan_in`, that of `nn.init.kaiming_normal_`."""
    weight.copy_(math.sqrt(2 / weight[0].numel()) * randn(weight.shape, generator))


def _train(
    images: Tensor, labels: Tensor, num_classes: int, seed: int, recipe: ClassifierRecipe, progress: bool
) -> tuple[nn.Sequential, float, int]:
    """The body of a trained classifier, its accuracy on a held-out tenth, and the size of that tenth."""
    generator = generator_for(seed, "classifier")
    order = randperm(len(images), generator)
    held_out, train = order[: len(images) // 10], order[len(images) // 10 :]
    with torch.inference_mode(False), torch.enable_grad():  # whatever mode the caller is in
        body, head = _classifier(tuple(images.shape[1:]), num_classes, recipe.dimension)
        network = nn.Sequential(body, head)
        _initialise(network, generator)
        batches = -(-len(train) // recipe.batch_size)
        steps = min(recipe.steps, recipe.epochs * batches)
        optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
        rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
        for step in counted(range(steps), "training the feature classifier", "steps", progress):
            if step % batches == 0:
                epoch = train[randperm(len(train), generator)].split(recipe.batch_size)
            rows = epoch[step % batches]
            loss = functional.cross_entropy(network(images[rows]), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
    with torch.no_grad():
        right = sum(int((network(images[r]).argmax(1) == labels[r]).sum()) for r in held_out.split(256))
        _standardise(body, images[train[:_STANDARDISED]])
    return body, right / len(held_out), len(held_out)


def _standardise(body: nn.Sequential, images: Tensor) -> None:
    """Fold a shift and one scale into the last layer, so that features have mean zero and mean variance one."""
    features = torch.cat([body(batch) for batch in images.split(256)])
    mean, scale = features.mean(0), features.var(0).mean().sqrt()
    last = cast(nn.Linear, body[-1])
    last.weight.div_(scale)
    last.bias.sub_(mean).div_(scale)


def _rate(step: int, steps: int) -> float:
    """Learning rate as a fraction of its peak: warm-up over a tenth, then a cosine to zero."""
    return min((step + 1) / (0.1 * steps), 1.0) * (1 + math.cos(math.pi * step / steps)) / 2


def _key(images: Tensor, labels: Tensor, num_classes: int, seed: int, recipe: ClassifierRecipe) -> str:
    """sha256 of all that determines the classifier."""
    settings = {"shape": list(images.shape), "num_classes": num_classes, "seed": seed, "recipe": vars(recipe)}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for tensor in (images, labels):
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
