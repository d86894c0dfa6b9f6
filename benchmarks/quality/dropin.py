"""The training loop of diffusers' unconditional example, where noise comes from `sagd` instead of `torch.randn`.

Nothing else is changed: `DDPMScheduler`, `AdamW`, clipping, `EMAModel`, and `DDIMScheduler` to sample, which starts
from the same noise. Source: `examples/unconditional_image_generation/train_unconditional.py` of diffusers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sagd.build.objects import build_process
from sagd.build.schema import RunConfig
from sagd.data.signals import SignalReader, Signals
from sagd.networks.build import build_network
from sagd.noise.covariance.base import Covariance
from sagd.random import generator_for, randint, seed_for
from sagd.study.measuring import process_statistics
from sagd.study.train import budget_of
from sagd.training.batches import Shuffled
from sagd.training.fit import learning_rate
from sagd.training.runtime import as_device

_TIMES = 1000
_BATCH = 250


@dataclass(frozen=True)
class Trained:
    """What the loop leaves: a network with averaged weights, and its noise."""

    network: Any
    noise: Covariance
    device: torch.device


def train(config: RunConfig, data: Signals) -> Trained:
    """Train; the seed gives the same initial weights, batches and white draws as in sagd's own loop."""
    from diffusers import DDPMScheduler
    from diffusers.training_utils import EMAModel

    budget = config.training
    device = as_device("auto")
    statistics = process_statistics(data, config.process)
    noise = build_process(config.process, data.shape, statistics).covariance
    seed = seed_for(budget.seed, "weights")
    # What diffusers itself would train: without our adapter around it.
    model = build_network(config.network, data.shape[0], data.shape[1:], seed=seed).network.to(device).train()
    scheduler = DDPMScheduler(num_train_timesteps=_TIMES)
    optimizer = torch.optim.AdamW(model.parameters(), lr=budget.lr, weight_decay=budget.weight_decay)
    ema = EMAModel(model.parameters(), decay=budget.ema_decay, use_ema_warmup=True, power=3 / 4)
    batches = Shuffled(SignalReader(data, budget.seed, config.data.flip), budget.batch_size, budget.seed)
    for step in range(1, budget.steps + 1):
        generator = generator_for(budget.seed, "noise", step, 0)
        clean = batches(step)[0].to(device)
        eps = noise.sample(len(clean), generator).to(device)
        timesteps = randint(_TIMES, (len(clean),), generator, device)
        noisy = scheduler.add_noise(clean, eps, timesteps)
        F.mse_loss(model(noisy, timesteps).sample, eps).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), budget.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(budget_of(budget), step)
        optimizer.step()
        optimizer.zero_grad()
        ema.step(model.parameters())
    ema.copy_to(model.parameters())
    return Trained(model.eval().requires_grad_(False), noise, device)


@torch.no_grad()
def draw(trained: Trained, count: int, steps: int, seed: int) -> Tensor:
    """Samples `(count, C, H, W)`: noise of the model's covariance, taken back by `DDIMScheduler`."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(num_train_timesteps=_TIMES, clip_sample=False)
    scheduler.set_timesteps(steps)
    generator, parts = generator_for(seed), []
    for first in range(0, count, _BATCH):
        x = trained.noise.sample(min(_BATCH, count - first), generator).to(trained.device)
        for t in scheduler.timesteps:
            x = scheduler.step(trained.network(x, t).sample, t, x).prev_sample
        parts.append(x.cpu())
    return torch.cat(parts)
