"""A training step with shaped noise against one with white noise, and against a plain diffusers training loop.

The plain loop is that of diffusers' unconditional example (`examples/unconditional_image_generation`): `DDPMScheduler`,
`AdamW`, gradient clipping, `EMAModel`, a learning-rate schedule, accelerate. A second one has the faster forms of the
same optimiser and average that sagd uses, so that what is left between them is sagd's own part.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from benchmarks.speed.result import Result, Table, interval, milliseconds
from benchmarks.speed.timing import Demand, Summary, Times, alternate, ratio
from sagd.build.schema import DenoiserConfig, ProcessConfig, RunConfig, TrainingConfig
from sagd.data.signals import Signals
from sagd.networks.build import build_network
from sagd.networks.config import NetworkConfig
from sagd.study.train import prepare
from sagd.training.fit import Fit
from sagd.training.runtime import OneProcess

if TYPE_CHECKING:
    from accelerate import Accelerator

SPECTRUM = "power_law(alpha=-0.2)"
LEARNING_RATE = 1e-4
LIMITS = {"white": 1.03, "plain": 1.0}

NOTE = """\
One optimiser step in float32 on images in memory: batch, noise, forward, backward, clipping, AdamW, average. White and
shaped are sagd's trainer; plain is the loop of diffusers' unconditional example; tuned is that loop with the fused
AdamW and the foreach average that sagd uses.
"""
COLUMNS = (
    *("case", "white, ms", "shaped, ms", "plain, ms", "tuned, ms"),
    *("shaped / white", "shaped / plain", "shaped / tuned"),
)


@dataclass(frozen=True)
class Case:
    """Images, network and batch of a step."""

    name: str
    shape: tuple[int, int, int]
    widths: tuple[int, ...]
    batch_size: int
    rounds: int

    def config(self, spectrum: str) -> RunConfig:
        """A run of such steps."""
        return RunConfig(
            process=ProcessConfig(spectrum=spectrum),
            network=NetworkConfig(widths=self.widths),
            denoiser=DenoiserConfig(prediction="eps", time="uniform"),
            training=TrainingConfig(
                batch_size=self.batch_size, lr=LEARNING_RATE, lr_decay="none", device="cpu", precision="no"
            ),
        )

    def images(self) -> Signals:
        """Random pixels: what they show takes no time."""
        generator = torch.Generator().manual_seed(0)
        size = (8 * self.batch_size, *self.shape)
        return Signals("random", torch.randint(0, 256, size, generator=generator, dtype=torch.uint8))

    def __str__(self) -> str:
        size, widths = "x".join(map(str, self.shape)), ", ".join(map(str, self.widths))
        return f"{self.name}: {size}, U-Net ({widths}), batch {self.batch_size}"


# A small network on 8x8 images, where fixed costs would show; the default network at the example's batch.
CASES = (
    Case("digits", (1, 8, 8), (32, 64), batch_size=128, rounds=150),
    Case("CIFAR", (3, 32, 32), (32, 64, 64), batch_size=16, rounds=150),
)
QUICK = (Case("quick", (1, 8, 8), (4, 8), batch_size=4, rounds=2),)


def study(quick: bool = False) -> Result:
    """Times of all loops in every case."""
    cases = QUICK if quick else CASES
    figures: dict[str, dict[str, Summary]] = {}
    demands, rows = [], []
    for case in cases:
        times = measure(case)
        over = {name: ratio(times, "shaped", name) for name in ("white", "plain", "tuned")}
        seconds = {name: Summary.of(own) for name, own in times.items()}
        demands += [Demand(f"{case.name} step: shaped / {name}", over[name], limit) for name, limit in LIMITS.items()]
        figures[str(case)] = seconds | {f"shaped / {name}": summary for name, summary in over.items()}
        rows.append((str(case), *map(milliseconds, seconds.values()), *map(interval, over.values())))
    settings = {"spectrum": SPECTRUM, "rounds": ", ".join(f"{case.rounds} ({case.name})" for case in cases)}
    return Result(settings, figures, demands, Table("Training step", NOTE, COLUMNS, rows))


def measure(case: Case) -> Times:
    """Times of one step of every loop."""
    data, white, shaped = case.images(), case.config("flat"), case.config(SPECTRUM)
    accelerator = accelerated()
    actions = {
        "white": sagd_step(white, data),
        "shaped": sagd_step(shaped, data),
        "plain": plain_step(white, data, accelerator),
        "tuned": plain_step(white, data, accelerator, tuned=True),
    }
    return alternate(actions, case.rounds, warmup=3, title=f"training, {case.name}")


def accelerated() -> Accelerator:
    """What the loops of others run in."""
    from accelerate import Accelerator

    return Accelerator(cpu=True)


def sagd_step(config: RunConfig, data: Signals) -> Callable[[], object]:
    """A step of sagd's training, which writes nothing."""
    plan, machine = prepare(config, data), OneProcess("cpu")
    recipe = plan.recipe
    return Fit(recipe.model.plain, recipe.loss, plan.batches(machine), recipe.budget, machine).advance


def plain_step(config: RunConfig, data: Signals, accelerator: Accelerator, tuned: bool = False) -> Callable[[], object]:
    """A step of the plain loop; its batches are slices of a float tensor, which no data loader is quicker than."""
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    size, images = config.training.batch_size, data.tensor()
    model = build_network(config.network, data.shape[0], data.shape[1:]).network
    noise_scheduler = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8, fused=tuned or None
    )
    lr_scheduler = get_scheduler("cosine", optimizer, num_warmup_steps=500, num_training_steps=100_000)
    model, optimizer, lr_scheduler = accelerator.prepare(model, optimizer, lr_scheduler)
    ema = EMAModel(model.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=3 / 4, foreach=tuned)
    model.train()
    starts = itertools.cycle(range(0, len(images), size))

    def step() -> float:
        start = next(starts)
        clean_images = images[start : start + size]
        noise = torch.randn(clean_images.shape)
        timesteps = torch.randint(0, noise_scheduler.config.num_train_timesteps, (size,))
        noisy_images = noise_scheduler.add_noise(clean_images, noise, timesteps)
        with accelerator.accumulate(model):
            loss = F.mse_loss(model(noisy_images, timesteps).sample, noise)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            lr_scheduler.step()
            optimizer.zero_grad()
        if accelerator.sync_gradients:
            ema.step(model.parameters())
        return loss.detach().item()

    return step
