"""Training a denoiser: a plain loop over steps, each a function of the weights and of (seed, step, rank) alone.

Because nothing random is carried along, a run killed at any step and resumed from a checkpoint gives the same weights,
averages, optimiser state and metrics bit for bit (on devices whose kernels are deterministic), in one process or
several.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import logging
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from sagd.build.draw import draw
from sagd.build.objects import build_loss, build_process, process_basis
from sagd.build.schema import OmissionConfig, ProcessConfig, RunConfig, TrainingConfig
from sagd.build.text import to_dict
from sagd.data.dataset import ImageData, load
from sagd.data.images import image_grid
from sagd.design.ends import check_ends
from sagd.errors import DivergenceError, InputError, one_line
from sagd.integrations.accelerate import accelerate, on_main
from sagd.interrupt import SIGNALS, Interrupted, Interrupts
from sagd.networks.build import build_network
from sagd.networks.weights import check_layout, check_numbers
from sagd.noise.bands import is_own_mirror, mask
from sagd.noise.basis.base import Basis
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.by_class import ClassConditional
from sagd.noise.statistics import DataStatistics, channel_covariance, measure
from sagd.omission.calibrate import calibrate
from sagd.omission.detect import detect, excess_spectrum
from sagd.process.description import alike
from sagd.random import generator_for
from sagd.resampling.bands import BandModel, image_channels
from sagd.sampling.base import Sampler, check_clip
from sagd.sampling.grids import TimeGrid
from sagd.store.checkpoint import (
    STATE,
    Checkpoint,
    checkpoint_path,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from sagd.store.files import reading, writing
from sagd.store.folder import claim
from sagd.store.model import build_denoiser, load_model, network_denoiser, save_model
from sagd.store.run import ADVICE, Metrics, describe, require_run
from sagd.store.state import RunState, check_moments, check_scaler, read_state
from sagd.study.compilation import compiled
from sagd.study.streams import Batches, Stream

if TYPE_CHECKING:
    from accelerate import Accelerator

logger = logging.getLogger(__name__)

SAMPLES = 64
"""Images in a sample grid."""

# What a run computes: a resumed run must not change it. The other settings of the optimiser may be changed, which is
# what one does after a divergence.
_FIXED = ("data.", "process.", "network.", "denoiser.", "training.seed", "training.batch_size", "training.precision")

# Training images that an unseen band is calibrated on, at most.
_CALIBRATED = 2048

# Share of a GPU's free memory that the data may take.
_NEAR = 0.1

# Data values that statistics are measured on, at most: 512 MiB as float32.
_MEASURED_VALUES = 2**27


def train(config: RunConfig, out: str | Path, resume: bool = False, data: ImageData | None = None) -> Path:
    """Train a model and write it, with checkpoints, metrics and sample grids, into the directory `out`.

    Under `torchrun` each process takes its share of every batch, and the first one writes.

    Args:
        config: What to train, on what, for how long.
        out: Run directory: new or empty, or that of the run to resume.
        resume: Continue from the newest undamaged checkpoint in `out`.
        data: Training images; default: those that `config.data` names.

    Returns:
        The model directory, `out/model`.

    Raises:
        InputError: If something cannot work; before the first step, and one line that says what would.
        CheckpointError: If there is nothing to resume, or the disk is full.
        DivergenceError: On a non-finite loss or gradient, before it has touched weights or averages.
        Interrupted: After SIGINT or SIGTERM, once a checkpoint, or the model that was being written, is there.
    """
    out = Path(out)
    check_training(config.training)
    with contextlib.ExitStack() as stack:
        accelerator = stack.enter_context(runtime(config.training))
        if resume:
            on_main(accelerator, lambda: require_run(out))
        on_main(accelerator, lambda: stack.enter_context(claim(out, empty=not resume, advice=ADVICE)))
        before = _last_checkpoint(accelerator, out) if resume else None
        trainer = Trainer(config, out, accelerator, load(config.data) if data is None else data, before)
        trainer.run(stack.enter_context(Interrupts()))
    return out / "model"


def runtime(budget: TrainingConfig) -> AbstractContextManager[Accelerator]:
    """Device, precision and processes of a run; errors as those of `accelerate`."""
    return accelerate(budget.device, budget.precision, budget.batch_size)


class Trainer:
    """One process's part of a training run; `train` sets it up.

    Args:
        config: The run's configuration.
        out: Run directory, claimed by the first process.
        accelerator: Device, precision and communication.
        data: Training images.
        before: Where to go on.

    Raises:
        InputError: If configuration and data do not fit each other, or change what `before` must not see changed.
        CheckpointError: If `before` is of another version, or cannot be restored.
    """

    def __init__(
        self,
        config: RunConfig,
        out: Path,
        accelerator: Accelerator,
        data: ImageData,
        before: Checkpoint | None = None,
    ) -> None:
        from diffusers.training_utils import EMAModel

        budget = config.training
        _check_data(config, data)
        state = None if before is None else _state(before, out)
        found = None if state is None else state.config.process.omission
        config = dataclasses.replace(config, process=resolve_omission(config.process, data, found))
        self.config, self.out, self.accelerator, self.data = config, out, accelerator, data
        self.classes = data.classes if config.network.conditional else None
        classes = None if self.classes is None else len(self.classes)
        self.statistics = process_statistics(data, config.process)
        _check_flips(config, self.statistics.basis)
        self.process = build_process(config.process, data.shape, self.statistics, self.classes)

        seed = generator_for(budget.seed, Stream.WEIGHTS).initial_seed()
        beside = 0 if config.denoiser.bands == "none" else image_channels(data.shape[0])
        self.network = build_network(config.network, data.shape[0], data.shape[1:], classes, seed, beside)
        if budget.init is not None and before is None:
            _start_from(self.network, budget.init, config, data.shape)
        self.network.to(accelerator.device).train()
        self.network.to(memory_format=_layout(budget, accelerator.device))  # type: ignore[call-overload]
        self.parameters = list(self.network.parameters())
        # The averages are the parameters of a network of their own, which can sample and be saved as it is.
        self.averaged = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.ema = EMAModel([], decay=budget.ema_decay, use_ema_warmup=True, power=3 / 4, foreach=True)
        self.ema.shadow_params = list(self.averaged.parameters())
        self._adam = torch.optim.AdamW(self.parameters, lr=budget.lr, weight_decay=budget.weight_decay, fused=True)
        # Compiled or not, the weights are those of the plain network, so a run may be resumed the other way.
        called: torch.nn.Module = self.network
        if budget.compile:
            images = budget.batch_size // accelerator.num_processes
            called = compiled(self.network, images, data.shape, classes, beside)
        wrapped, self.optimizer = accelerator.prepare(called, self._adam)

        self.loss = build_loss(config.denoiser, self.process, self.statistics)
        self.denoiser = network_denoiser(config, wrapped, self.process, self.statistics, classes)
        guidance = config.sampling.guidance
        self.sampling = build_denoiser(config, self.averaged, self.process, self.statistics, classes, guidance)
        self._check_descriptions()

        rank, processes = accelerator.process_index, accelerator.num_processes
        self.batches = Batches(
            _near(data, accelerator.device), budget.batch_size, budget.seed, config.data.flip, rank, processes
        )
        self._generator = torch.Generator(accelerator.device)
        self.step = self._saved = 0
        # Of the steps since the last line of metrics.
        self._losses: list[float] = []
        self._clock = time.perf_counter()
        if before is not None and state is not None:
            self.restore(before, state)

    def run(self, interrupts: Interrupts) -> None:
        """Train from the present step to the last and write the model; raises as `train`."""
        budget, main = self.config.training, self.accelerator
        metrics = on_main(main, self._open)
        devices = [main.device] if main.device.type == "cuda" else []
        with self._bar() as bar, torch.random.fork_rng(devices):
            while self.step < budget.steps:
                loss, norm, stop = self.advance(interrupts)
                _show(bar, loss, budget.batch_size)
                last = self.step == budget.steps
                if last or self._due(budget.log_every):
                    line = self._line(norm)
                    if metrics is not None:
                        metrics.write(line)
                if self._due(budget.sample_every):
                    on_main(main, self._draw)
                if last or stop or self._due(budget.checkpoint_every):
                    self.save()
                if stop:
                    raise Interrupted(stop, resumable=True)
        on_main(main, self._write_model)
        self._heed(interrupts)

    def advance(self, interrupts: Interrupts) -> tuple[float, float, int]:
        """Take one optimiser step.

        Returns:
            Loss and gradient norm over all processes, and a signal that one of them received, or 0.

        Raises:
            DivergenceError: Before weights and averages are touched.
        """
        step, budget, rank = self.step + 1, self.config.training, self.accelerator.process_index
        x, labels = self.batches(step)
        x = x.to(self.accelerator.device, non_blocking=True)
        labels = labels.to(x.device, non_blocking=True) if labels is not None and self.classes is not None else None
        if self.config.network.dropout > 0:
            torch.manual_seed(generator_for(budget.seed, Stream.DROPOUT, step, rank).initial_seed())
        seed = generator_for(budget.seed, Stream.NOISE, step, rank).initial_seed()
        loss = self.loss(self.denoiser, x, labels, self._generator.manual_seed(seed))
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.parameters, budget.clip_norm)
        loss_value, norm_value, stop = self._agree(loss.detach(), norm, interrupts)
        self._refuse_divergence(step, loss_value, norm_value)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(budget, step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if not self.optimizer.step_was_skipped:
            self.ema.step(self.parameters)
        self.step = step
        self._losses.append(loss_value)
        return loss_value, norm_value, stop

    def save(self) -> None:
        """Write a checkpoint of the present step, once."""
        if self._saved == self.step:
            return
        keep = self.config.training.keep_checkpoints
        on_main(self.accelerator, lambda: save_checkpoint(self.out, self.snapshot(), keep))
        self._saved = self.step

    def snapshot(self) -> Checkpoint:
        """All that the run needs to go on from the present step."""
        names = [name for name, _ in self.network.named_parameters()]
        moments = self._adam.state_dict()["state"]
        scaler = self.accelerator.scaler
        tensors = {
            "weights": self.network.state_dict(),
            "ema": self.averaged.state_dict(),
            "optimizer": {f"{names[i]}:{key}": value for i, own in moments.items() for key, value in own.items()},
        }
        state = {
            "ema_updates": self.ema.optimization_step,
            "losses": self._losses,
            "seconds": time.perf_counter() - self._clock,
            "scaler": None if scaler is None else scaler.state_dict(),
            "processes": self.accelerator.num_processes,
            "data": _identity(self.data),
            "process": self.process.to_dict(),
            "config": to_dict(self.config),
        }
        return Checkpoint(self.step, tensors, state)

    def restore(self, checkpoint: Checkpoint, state: RunState) -> None:
        """Go back to a checkpoint; nothing is touched unless all of it fits.

        Raises:
            InputError: If the configuration or data changes what must not change.
            CheckpointError: If what it holds does not fit the run.
        """
        self._check_same_run(checkpoint.step, state)
        self._check_fit(checkpoint, state)
        self.network.load_state_dict(checkpoint.tensors["weights"])
        self.averaged.load_state_dict(checkpoint.tensors["ema"])
        self.ema.optimization_step = state.ema_updates
        moments: dict[int, dict[str, Tensor]] = {}
        index = {name: i for i, (name, _) in enumerate(self.network.named_parameters())}
        for key, value in checkpoint.tensors.get("optimizer", {}).items():
            name, _, moment = key.rpartition(":")
            parameter = self.parameters[index[name]]
            # Files hold no layout, and the fused optimiser wants that of the weights.
            as_kept = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
            moments.setdefault(index[name], {})[moment] = as_kept
        self._adam.load_state_dict(self._adam.state_dict() | {"state": moments})
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state.scaler)
        self._losses, self._clock = list(state.losses), time.perf_counter() - state.seconds
        self.step = self._saved = checkpoint.step

    def _check_fit(self, checkpoint: Checkpoint, state: RunState) -> None:
        """Refuse a checkpoint that holds something else than this run would have saved."""
        folder = checkpoint_path(self.out, checkpoint.step)
        for group, network in (("weights", self.network), ("ema", self.averaged)):
            with reading(folder / f"{group}.safetensors", "does not fit the run"):
                check_layout(checkpoint.tensors.get(group, {}), network.state_dict())
                check_numbers(checkpoint.tensors[group])
        with reading(folder / "optimizer.safetensors", "does not fit the run"):
            moments = checkpoint.tensors.get("optimizer", {})
            check_moments(moments, dict(self.network.named_parameters()), state.ema_updates)
        if self.accelerator.scaler is not None:
            with reading(folder / STATE, "does not fit the run"):
                check_scaler(state.scaler, self.accelerator.scaler.state_dict())

    def _check_same_run(self, step: int, state: RunState) -> None:
        run, budget = repr(str(self.out)), self.config.training
        before = _flatten(to_dict(state.config))
        after = _flatten(to_dict(self.config)) | {"data": _identity(self.data)}
        for key, value in after.items():
            old = before.get(key, state.data)
            if key.startswith((*_FIXED, "data")) and old != value:
                raise InputError(
                    f"{key} is {value!r}, but the run in {run} was started with {one_line(repr(old))}; give that to"
                    " resume"
                )
        if not alike(state.process, self.process.to_dict()):
            raise InputError(
                f"the data gives another noise ({self.process.label}) than the run in {run} was started with;"
                " give the data of then to resume"
            )
        if step > budget.steps:
            raise InputError(f"training.steps is {budget.steps}, but the run in {run} has done {step}; give more")
        if state.processes != self.accelerator.num_processes:
            warnings.warn(
                f"resuming a run of {state.processes} processes with {self.accelerator.num_processes}:"
                " it goes on with other random draws",
                stacklevel=4,
            )

    def _check_descriptions(self) -> None:
        """Fail before the first step on descriptions that are first used later."""
        sampling = self.config.sampling
        Sampler.parse(sampling.sampler)
        check_clip(sampling.clip)
        times = TimeGrid.parse(sampling.grid).times(sampling.steps, self.process, self.statistics).tolist()
        self.ends = check_ends(self.statistics, self.process, end=times[-2])
        self.ends.refuse()
        check_ends(self.statistics, self.process, start=times[0]).refuse()
        self.loss.weighting.weight(torch.full((1,), 0.5, dtype=torch.float64), self.denoiser)

    def _agree(self, loss: Tensor, norm: Tensor, interrupts: Interrupts) -> tuple[float, float, int]:
        """Mean loss, gradient norm, and the signal of any process, alike on all; one transfer from the device."""
        measured = torch.stack([loss.float(), norm.float()])
        processes = self.accelerator.num_processes
        if processes == 1:
            loss_value, norm_value = measured.tolist()
            return loss_value, norm_value, interrupts.received
        raised = torch.tensor([float(interrupts.received == number) for number in SIGNALS], device=loss.device)
        loss_sum, norm_sum, *counts = self.accelerator.reduce(torch.cat([measured, raised]), "sum").tolist()
        stop = next((int(number) for number, count in zip(SIGNALS, counts, strict=True) if count), 0)
        return loss_sum / processes, norm_sum / processes, stop

    def _heed(self, interrupts: Interrupts) -> None:
        """Stop, on all processes, if one of them received a signal since the last step."""
        nothing = torch.zeros((), device=self.accelerator.device)
        *_, stop = self._agree(nothing, nothing, interrupts)
        if stop:
            raise Interrupted(stop, resumable=True)

    def _refuse_divergence(self, step: int, loss: float, norm: float) -> None:
        if not math.isfinite(loss):
            raise DivergenceError(step, loss)
        # With a gradient scaler, overflows are expected: it skips the step and lowers its scale.
        if not math.isfinite(norm) and self.accelerator.scaler is None:
            raise DivergenceError(step, norm, "gradient norm")

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _line(self, norm: float) -> dict[str, Any]:
        """A line of metrics on the steps since the last one."""
        budget, losses, now = self.config.training, self._losses, time.perf_counter()
        seconds, self._clock, self._losses = now - self._clock, now, []
        return {
            "step": self.step,
            "loss": math.fsum(losses) / len(losses),
            "lr": learning_rate(budget, self.step),
            "grad_norm": norm if math.isfinite(norm) else None,
            "images_per_second": len(losses) * budget.batch_size / seconds,
            "seconds": seconds,
        }

    def _open(self) -> Metrics:
        describe(self.out, self.config)
        for line in self.ends.lines():
            logger.info(line)
        return Metrics(self.out, self.step)

    def _draw(self) -> None:
        self._copy_buffers()
        labels = None if self.classes is None else torch.arange(SAMPLES) % len(self.classes)
        seed = self.config.training.seed
        denoiser = self.sampling
        if isinstance(denoiser, BandModel):
            some = self.data.some(SAMPLES)
            given, own = some.batch(torch.arange(SAMPLES) % len(some))
            labels = labels if labels is None else own
            bands = denoiser.law.sample(SAMPLES, generator_for(seed, Stream.BANDS))
            denoiser = denoiser.given_images(given.to(denoiser.device), bands)
        x = draw(denoiser, SAMPLES, self.config.sampling, seed=seed, condition=labels, statistics=self.statistics)
        path = self.out / "samples" / f"step-{self.step:06d}.png"
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            image_grid(x).save(path)

    def _write_model(self) -> None:
        self._copy_buffers()
        parts = (self.averaged, self.config, self.process, self.statistics, self.classes)
        save_model(self.out / "model", *parts, self._calibration())

    def _calibration(self) -> Tensor | None:
        """That of the unseen band, from some training images."""
        if not self.process.unseen:
            return None
        some = self.data.at_most(_CALIBRATED)
        device = self.sampling.device
        classes = None if self.classes is None else len(self.classes)
        plain = network_denoiser(self.config, self.averaged, self.process, self.statistics, classes)

        def batches() -> Iterator[tuple[Tensor, Tensor | None]]:
            for numbers in tqdm(torch.arange(len(some)).split(SAMPLES), desc="calibrating", disable=None, leave=False):
                x, labels = some.batch(numbers)
                yield x.to(device), None if labels is None or self.classes is None else labels.to(device)

        return calibrate(plain, batches(), self.statistics)

    def _copy_buffers(self) -> None:
        """diffusers' average covers parameters only."""
        for averaged, buffer in zip(self.averaged.buffers(), self.network.buffers(), strict=True):
            averaged.copy_(buffer)

    def _bar(self) -> tqdm:
        # None: no bar where the output is not a terminal.
        hidden = None if self.accelerator.is_main_process else True
        return tqdm(total=self.config.training.steps, initial=self.step, desc="training", unit="step", disable=hidden)


def learning_rate(budget: TrainingConfig, step: int) -> float:
    """Linear warm-up to `lr`, then constant; a function of the step alone.

    >>> [learning_rate(TrainingConfig(lr=1.0, warmup_steps=4), step) for step in (1, 2, 4, 100)]
    [0.25, 0.5, 1.0, 1.0]
    """
    return budget.lr * min(1.0, step / max(1, budget.warmup_steps))


def _near(data: ImageData, device: torch.device) -> ImageData:
    """The data on a GPU, where a small part of its memory holds it: each batch would have to go there otherwise."""
    if device.type != "cuda" or not isinstance(data.pixels, Tensor):
        return data
    free, _ = torch.cuda.mem_get_info(device)
    return data.on(device) if data.pixels.numel() * data.pixels.element_size() < _NEAR * free else data


def _layout(budget: TrainingConfig, device: torch.device) -> torch.memory_format:
    last = budget.layout == "channels_last" or (budget.layout == "auto" and device.type == "cuda")
    return torch.channels_last if last else torch.contiguous_format


def check_training(budget: TrainingConfig) -> None:
    """Refuse settings that cannot train.

    Raises:
        InputError: Naming the setting.
    """
    for name in ("steps", "batch_size", "checkpoint_every", "keep_checkpoints", "log_every"):
        _require(getattr(budget, name) >= 1, name, "at least 1", budget)
    for name in ("warmup_steps", "sample_every", "seed", "weight_decay"):
        _require(getattr(budget, name) >= 0, name, "at least 0", budget)
    for name in ("lr", "clip_norm"):
        _require(0 < getattr(budget, name) < math.inf, name, "positive", budget)
    _require(0 <= budget.ema_decay < 1, "ema_decay", "in [0, 1)", budget)


def _require(condition: bool, name: str, what: str, budget: TrainingConfig) -> None:
    if not condition:
        raise InputError(f"training.{name} must be {what}, got {getattr(budget, name)}")


def _check_data(config: RunConfig, data: ImageData) -> None:
    batch_size = config.training.batch_size
    if len(data) < batch_size:
        raise InputError(f"training.batch_size is {batch_size} but the data has {len(data)} images; use at most that")
    if config.network.conditional and data.classes is None:
        raise InputError("network.conditional needs labels, and the data has none; name them with data.label_column")
    if not config.network.conditional and isinstance(Spectrum.parse(config.process.spectrum), ClassConditional):
        raise InputError("process.spectrum 'by_class' needs a model that knows the class; set network.conditional")


def _check_flips(config: RunConfig, basis: Basis) -> None:
    """Refuse to flip images whose damage would then lie outside its band, where the network learns it.

    Raises:
        InputError: If the band, or the spectrum of the damage, is not its own mirror image.
    """
    omission = config.process.omission
    if not config.data.flip or omission.mode == "none":
        return
    told = {"band": mask(omission.band, basis)}
    if omission.mode == "deconvolve" and omission.corruption is not None:
        told["corruption"] = Spectrum.parse(omission.corruption).weights(basis.frequencies()).double()
    for name, values in told.items():
        if not is_own_mirror(values, basis):
            what = f"process.omission.{name} {getattr(omission, name)!r}"
            why = "is not its own mirror image; leave data.flip out, or give one that is"
            if "wavelet" in config.process.basis:
                why = "flipped wavelets do not hold; leave data.flip out, or use basis fourier or cosine"
            raise InputError(f"data.flip turns the damage out of {what}, which {why}")


def _start_from(network: torch.nn.Module, path: str, config: RunConfig, shape: tuple[int, ...]) -> None:
    """Load the weights of another model.

    Raises:
        InputError: If that has another network, prediction or image shape.
        CheckpointError: If it cannot be read.
    """
    model = load_model(path)
    own, other = (
        _flatten(
            {"network": to_dict(c.network), "denoiser": {k: getattr(c.denoiser, k) for k in ("prediction", "bands")}}
        )
        | {"shape of images": size}
        for c, size in ((config, tuple(shape)), (model.config, model.process.shape))
    )
    for name, value in own.items():
        if value != other[name]:
            raise InputError(
                f"training.init {path!r} has {name} {other[name]}, this run has {value}; give both the same"
            )
    try:
        network.load_state_dict(model.network.state_dict())
    except RuntimeError:
        raise InputError(f"training.init {path!r} has weights of other shapes; give both the same classes") from None


def _last_checkpoint(accelerator: Accelerator, out: Path) -> Checkpoint | None:
    """The newest undamaged checkpoint of a run; None, with a warning, if there is none yet."""
    path = on_main(accelerator, lambda: latest_checkpoint(out), share=True)
    if path is None:
        warnings.warn(f"no checkpoint in {str(out)!r} yet; starting at step 0", stacklevel=3)
        return None
    return load_checkpoint(path)


def _state(checkpoint: Checkpoint, out: Path) -> RunState:
    """What a checkpoint says of its run."""
    with reading(checkpoint_path(out, checkpoint.step) / STATE, "is damaged or of another version of sagd"):
        return read_state(checkpoint)


def resolve_omission(process: ProcessConfig, data: ImageData, found: OmissionConfig | None = None) -> ProcessConfig:
    """The configuration with band and corruption spectrum detected in the data, where it asks for that.

    Args:
        process: Configuration.
        data: Damaged images.
        found: What was detected when the run was started; taken as it is, since sums of another machine may round
            otherwise.

    Raises:
        InputError: If nothing is found.
    """
    omission = process.omission
    auto = omission.mode in ("project", "fill", "deconvolve") and omission.band == "auto"
    excess = omission.mode == "deconvolve" and omission.corruption == "excess"
    if not (auto or excess):
        return process
    if found is not None:
        band = found.band if auto else omission.band
        corruption = found.corruption if excess else omission.corruption
        return dataclasses.replace(process, omission=dataclasses.replace(omission, band=band, corruption=corruption))
    detected = detect(_measured_images(data))
    if auto:
        if detected.band is None:
            raise InputError(
                f"process.omission.band 'auto': no damaged band found (the nearest reaches"
                f" {100 * detected.nearest:.0f} % of what would count); name the band,"
                " e.g. 'ring(low=0.1, high=0.2)', or leave process.omission out"
            )
        logger.info("\n".join(detected.lines()))
        omission = dataclasses.replace(omission, band=str(detected.band))
    if excess:
        omission = dataclasses.replace(omission, corruption=str(excess_spectrum(detected, omission.band)))
    return dataclasses.replace(process, omission=omission)


def _measured_images(data: ImageData) -> Tensor:
    """As many images as memory allows."""
    return data.at_most(max(2, _MEASURED_VALUES // math.prod(data.shape))).tensor()


def process_statistics(data: ImageData, process: ProcessConfig) -> DataStatistics:
    """Statistics of the data in the basis of the noise, or of as many images as memory allows."""
    x = _measured_images(data)
    colours = channel_covariance(x) if process.channels == "decorrelated" else None
    return measure(x, process_basis(process, data.shape, colours))


def _identity(data: ImageData) -> dict[str, Any]:
    """What must not change about the data between a run and its resumption."""
    return {"images": len(data), "shape": list(data.shape), "classes": list(data.classes or ())}


def _flatten(mapping: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _show(bar: tqdm, loss: float, batch_size: int) -> None:
    if bar.update():
        rate = (bar.format_dict["rate"] or 0) * batch_size
        bar.set_postfix_str(f"loss {loss:.4f}, {rate:.0f} images/s", refresh=False)
