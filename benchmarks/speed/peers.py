"""Training and sampling beside diffusers and denoising-diffusion-pytorch, with U-Nets of equal multiply-adds.

diffusers has no trainer: its loop is that of its unconditional example, see `training`. denoising-diffusion-pytorch
has one, whose step is repeated here line by line; both are spared their data loaders. Its package asks for torchvision,
of which neither its network nor its step uses anything: a stand-in serves while it is imported.

Source: `Trainer` and `GaussianDiffusion` of denoising-diffusion-pytorch (github.com/lucidrains).
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.speed.result import Result, Table, interval, milliseconds
from benchmarks.speed.timing import Demand, Summary, Times, alternate, ratio, settle_memory
from benchmarks.speed.training import LEARNING_RATE, accelerated, plain_step, sagd_step
from sagd.build.objects import build_process
from sagd.build.schema import DenoiserConfig, ProcessConfig, RunConfig, TrainingConfig
from sagd.data.signals import Signals
from sagd.model.denoiser import NetworkDenoiser
from sagd.networks.build import build_network
from sagd.networks.config import NetworkConfig
from sagd.sampling.base import Sampler

if TYPE_CHECKING:
    from accelerate import Accelerator

SPECTRUM = "power_law(alpha=-0.2)"
PEER = "denoising_diffusion_pytorch"
NAMES = {"sagd": "sagd", "diffusers": "diffusers", PEER: "ddp"}
LIMITS = {"diffusers": 1.0, PEER: 1 / 1.2}
"""Time of a step of sagd over theirs: at least as many images a second as diffusers, 1.2 times those of the other."""

NOTE = """\
One optimiser step on images in memory (float32), and one step of deterministic DDIM. sagd and diffusers have the same
network; that of denoising-diffusion-pytorch (ddp) has as many multiply-adds to a hundredth. sagd draws shaped noise,
the others white. ddp averages its weights every tenth step, which the median does not see. "At most" is 1 over the
images a second that are demanded: as many as diffusers, 1.2 times those of ddp.
"""
COLUMNS = (
    *("case", "step", "sagd, ms", "diffusers, ms", "ddp, ms", "sagd / diffusers", "sagd / ddp"),
    "images/s over ddp",
)


@dataclass(frozen=True)
class Case:
    """Images, two networks of equal work, and a batch."""

    name: str
    shape: tuple[int, int, int]
    network: NetworkConfig
    dim: int
    mults: tuple[int, ...]
    batch_size: int
    rounds: int
    steps: int = 8

    def config(self) -> RunConfig:
        """A run of sagd."""
        return RunConfig(
            process=ProcessConfig(spectrum=SPECTRUM),
            network=self.network,
            denoiser=DenoiserConfig(prediction="eps", time="uniform"),
            training=TrainingConfig(
                batch_size=self.batch_size, lr=LEARNING_RATE, lr_decay="none", device="cpu", precision="no"
            ),
        )

    def images(self) -> Signals:
        """Random pixels."""
        size = (8 * self.batch_size, *self.shape)
        return Signals(
            "random", torch.randint(0, 256, size, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        )

    def network_of_ddp(self) -> Any:
        """The other U-Net."""
        return ddp().Unet(self.dim, dim_mults=self.mults, channels=self.shape[0])

    def __str__(self) -> str:
        return f"{self.name}: {'x'.join(map(str, self.shape))}, batch {self.batch_size}"


CASES = (
    Case("CIFAR", (3, 32, 32), NetworkConfig(widths=(32, 80, 120), attention=True), 32, (1, 2, 4), 16, 40),
    Case("MNIST", (1, 28, 28), NetworkConfig(widths=(24, 40, 64), attention=True), 16, (1, 2, 4), 32, 40),
)
QUICK = (Case("quick", (1, 8, 8), NetworkConfig(widths=(4, 8)), 8, (1, 2), 4, 2, steps=2),)


def study(quick: bool = False) -> Result:
    """Times of all three in every case."""
    require_ddp()
    cases = QUICK if quick else CASES
    figures: dict[str, dict[str, Summary]] = {}
    demands, rows, settings = [], [], {"spectrum": SPECTRUM}
    settle_memory()
    for case in cases:
        ours, theirs = (
            work(build_network(case.network, case.shape[0], case.shape[1:]), case),
            work(case.network_of_ddp(), case),
        )
        settings[f"multiply-adds of {case.name}"] = f"{ours / 1e6:.1f} million, ddp {theirs / 1e6:.1f} million"
        for what, times in (("training", training(case)), ("sampling", sampling(case))):
            over = {name: ratio(times, "sagd", name) for name in LIMITS}
            seconds = {name: Summary.of(own) for name, own in times.items()}
            faster = Summary.of(times[PEER] / times["sagd"])
            if what == "training":
                demands += [Demand(f"{case.name} step: sagd / {NAMES[n]}", over[n], LIMITS[n]) for n in LIMITS]
            figures[f"{case}, {what}"] = seconds | {f"sagd / {name}": s for name, s in over.items()}
            cells = (*map(milliseconds, seconds.values()), *map(interval, over.values()), interval(faster, 2))
            rows.append((str(case), what, *cells))
    settings["rounds"] = ", ".join(f"{case.rounds} ({case.name})" for case in cases)
    return Result(settings, figures, demands, Table("Beside other libraries", NOTE, COLUMNS, rows))


def training(case: Case) -> Times:
    """Times of one optimiser step of each."""
    accelerator = accelerated()
    actions = {name: step(case, name, accelerator) for name in NAMES}
    return alternate(actions, case.rounds, warmup=3, title=f"training, {case.name}")


def step(case: Case, name: str, accelerator: Accelerator) -> Callable[[], object]:
    """A training step of one of the three."""
    data, config = case.images(), case.config()
    if name == "sagd":
        return sagd_step(config, data)
    if name == "diffusers":
        return plain_step(config, data, accelerator)
    return _step_of_ddp(case, data, accelerator)


def _step_of_ddp(case: Case, data: Signals, accelerator: Accelerator) -> Callable[[], object]:
    from ema_pytorch import EMA

    images = (data.tensor() + 1) / 2
    diffusion = ddp().GaussianDiffusion(case.network_of_ddp(), image_size=case.shape[1])
    opt = torch.optim.Adam(diffusion.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99))
    ema = EMA(diffusion, beta=0.995, update_every=10).to(accelerator.device)
    model, opt = accelerator.prepare(diffusion, opt)
    starts = itertools.cycle(range(0, len(images), case.batch_size))

    def advance() -> float:
        model.train()
        start = next(starts)
        batch = images[start : start + case.batch_size].to(accelerator.device)
        with accelerator.autocast():
            loss = model(batch)
            value = loss.item()
        accelerator.backward(loss)
        accelerator.wait_for_everyone()
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad()
        accelerator.wait_for_everyone()
        ema.update()
        return value

    return advance


def sampling(case: Case) -> Times:
    """Times of one DDIM step of each, without gradients."""
    from diffusers import DDIMScheduler

    process = build_process(ProcessConfig(spectrum=SPECTRUM), case.shape)
    network = build_network(case.network, case.shape[0], case.shape[1:]).eval()
    denoiser, sampler = NetworkDenoiser(network, process), Sampler.parse("ddim")
    scheduler = DDIMScheduler(num_train_timesteps=1000, clip_sample=False)
    diffusion = (
        ddp().GaussianDiffusion(case.network_of_ddp(), image_size=case.shape[1], sampling_timesteps=case.steps).eval()
    )
    size = (case.batch_size, *case.shape)

    def ours() -> object:
        with torch.no_grad():
            return sampler.sample(denoiser, case.batch_size, steps=case.steps, grid="uniform")

    def of_diffusers() -> object:
        with torch.no_grad():
            x = torch.randn(size)
            scheduler.set_timesteps(case.steps)
            for t in scheduler.timesteps:
                x = scheduler.step(network.network(x, t).sample, t, x).prev_sample
            return x

    def of_ddp() -> object:
        with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
            return diffusion.ddim_sample(size)

    actions = {"sagd": ours, "diffusers": of_diffusers, PEER: of_ddp}
    times = alternate(actions, max(2, case.rounds // 3), warmup=1, title=f"sampling, {case.name}")
    return {name: own / case.steps for name, own in times.items()}


def work(network: Any, case: Case) -> float:
    """Multiply-adds of one image."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.randn(1, *case.shape), torch.zeros(1, dtype=torch.long))
    return counter.get_total_flops() / 2


def require_ddp() -> None:
    """Say how to install the other library if it is not there."""
    if importlib.util.find_spec(PEER) is None:
        raise SystemExit("this study needs: pip install --no-deps denoising-diffusion-pytorch ema-pytorch einops")


def ddp() -> Any:
    """denoising-diffusion-pytorch."""
    with _stand_ins():
        return importlib.import_module(PEER)


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """Empty modules in place of torchvision, unless it is there."""
    names = ("torchvision", "torchvision.transforms", "torchvision.utils")
    if importlib.util.find_spec(names[0]) is not None:
        yield
        return
    modules = {name: types.ModuleType(name) for name in names}
    modules[names[0]].transforms, modules[names[0]].utils = modules[names[1]], modules[names[2]]  # type: ignore[attr-defined]
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
