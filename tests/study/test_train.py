import contextlib
import dataclasses
import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest
import torch

from sagd.build.draw import draw
from sagd.build.objects import build_process
from sagd.build.schema import OmissionConfig, ProcessConfig, RunConfig, SamplingConfig
from sagd.build.text import load_yaml, to_yaml
from sagd.data.corruption import Corruption, corrupt
from sagd.data.signals import Signals
from sagd.errors import CheckpointError, DataMismatchError, DivergenceError, InputError
from sagd.interrupt import Interrupted, Interrupts
from sagd.metrics.fields import Fields
from sagd.metrics.spectral import basis_for
from sagd.noise.bands import mask
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance import base
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.spectra.base import Spectrum
from sagd.omission.calibrate import Calibration
from sagd.omission.modes import Fill
from sagd.store.checkpoint import latest_checkpoint, list_checkpoints, load_checkpoint, save_checkpoint
from sagd.store.files import read_manifest
from sagd.store.folder import claim
from sagd.store.model import load_model
from sagd.study.guarding import second_damage
from sagd.study.measuring import process_statistics, resolve_basis
from sagd.study.run import of_another
from sagd.study.train import prepare, resolve_omission, train
from sagd.training.batches import Shuffled
from sagd.training.fit import Fit, Snapshot
from sagd.training.objective import DenoisingLoss
from sagd.training.runtime import OneProcess, Timing

pytestmark = pytest.mark.usefixtures("undrawn")

TIMINGS = ("seconds", "items_per_second", "waited")


def metrics(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMINGS} for line in lines]


def result(out):
    """Everything that a run computed: checksums of weights, averages and optimiser state, and its metrics."""
    last = list_checkpoints(out)[-1]
    sums = read_manifest(last)
    tensors = {name: sums[f"{name}.safetensors"] for name in ("weights", "ema", "optimizer")}
    return last.name, tensors, read_manifest(out / "model")["model.safetensors"], metrics(out)


def at_step(monkeypatch, step, action):
    """Do something when the batch of a step is asked for."""
    batch = Shuffled.__call__

    def acting(self, number):
        if number == step:
            action()
        return batch(self, number)

    monkeypatch.setattr(Shuffled, "__call__", acting)


class Killed(BaseException):
    """Stands for SIGKILL."""


def kill():
    raise Killed


@pytest.fixture
def make_trainer():
    """Trainings without a run directory."""

    def make(config, data):
        plan, machine = prepare(config, data), OneProcess("cpu")
        return Fit(plan.model.plain, plan.recipe.loss, plan.batches(machine), plan.recipe.budget, machine)

    return make


@pytest.fixture(scope="module")
def whole(tmp_path_factory, config, data):
    """The uninterrupted run."""
    out = tmp_path_factory.mktemp("whole")
    train(config, out, data=data)
    return result(out)


@pytest.fixture(scope="module")
def started(tmp_path_factory, config, data):
    """The folder of a run of two steps, in which nothing may change."""
    out = tmp_path_factory.mktemp("started")
    train(dataclasses.replace(config, training=dataclasses.replace(config.training, steps=2)), out, data=data)
    return out


def test_interrupted_at_an_odd_step_and_resumed_equals_uninterrupted(tmp_path, config, data, whole, monkeypatch):
    out = tmp_path / "parts"
    with monkeypatch.context() as patch:
        at_step(patch, 7, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted, match="stopped by SIGTERM; continue with resume=True") as stopped:
            train(config, out, data=data)
    assert stopped.value.signal == signal.SIGTERM
    assert [p.name for p in list_checkpoints(out)] == ["step-00000007"]
    assert not (out / "model").exists()
    train(config, out, resume=True, data=data)
    assert result(out) == whole


class OnDemand:
    """Fields of a tensor that take some milliseconds to be read."""

    threads = 2

    def __init__(self, stored):
        self.stored, self.shape = stored, stored.shape

    def __len__(self):
        return len(self.stored)

    def __getitem__(self, indices):
        time.sleep(0.005)
        return self.stored[indices]


def test_data_that_is_read_ahead_trains_the_same_and_leaves_no_thread(tmp_path, config, data, whole, monkeypatch):
    """Stopped and resumed on the way."""
    out, lazy = tmp_path / "parts", dataclasses.replace(data, stored=OnDemand(data.stored))
    with monkeypatch.context() as patch:
        at_step(patch, 7, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted):
            train(config, out, data=lazy)
    assert [p.name for p in list_checkpoints(out)] == ["step-00000007"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sagd-ahead")]
    train(config, out, resume=True, data=lazy)
    assert result(out) == whole
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sagd-ahead")]


def test_killed_and_resumed_from_an_older_checkpoint_equals_uninterrupted(
    tmp_path, config, change, data, whole, monkeypatch
):
    out = tmp_path / "parts"
    config = change(config, "training", checkpoint_every=3)
    with monkeypatch.context() as patch:
        at_step(patch, 9, kill)
        with pytest.raises(Killed):
            train(config, out, data=data)
    # The line of step 8 and half a line more lie beyond the checkpoint of step 6.
    assert [line["step"] for line in metrics(out)] == [4, 8]
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "lo')
    train(config, out, resume=True, data=data)
    assert result(out) == whole


def test_more_steps_continue_the_run(tmp_path, config, change, data, whole):
    out = tmp_path / "parts"
    train(change(config, "training", steps=8), out, data=data)
    assert load_model(out).config.training.steps == 8
    train(config, out, resume=True, data=data)
    assert result(out) == whole
    assert load_model(out).config.training.steps == 11
    train(config, out, resume=True, data=data)
    assert result(out) == whole


def test_a_full_disk_stops_the_run_which_can_be_resumed(tmp_path, config, change, data, whole, monkeypatch):
    out = tmp_path / "parts"
    config = change(config, "training", checkpoint_every=3)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        at_step(patch, 6, lambda: patch.setattr(os, "fsync", full))
        with pytest.raises(
            CheckpointError, match=r"step-00000006': No space left on device; what was saved before is i"
        ):
            train(config, out, data=data)
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["step-00000003"]
    train(config, out, resume=True, data=data)
    assert result(out) == whole


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path, config, change, data, whole, monkeypatch):
    out = tmp_path / "parts"
    config = change(config, "training", checkpoint_every=3)
    with monkeypatch.context() as patch:
        at_step(patch, 8, kill)
        with pytest.raises(Killed):
            train(config, out, data=data)
    (out / "checkpoints" / "step-00000006" / "ema.safetensors").unlink()
    with pytest.warns(UserWarning, match="step-00000006 is passed over"):
        train(config, out, resume=True, data=data)
    assert result(out) == whole


@pytest.mark.bits
def test_sampling_while_training_changes_nothing(tmp_path, config, change, data):
    out = tmp_path / "sampling"
    config = change(config, "sampling", steps=2, guidance=1.5)
    train(config, tmp_path / "not", data=data)
    train(change(config, "training", sample_every=5), out, data=data)
    assert [p.name for p in sorted((out / "samples").iterdir())] == ["step-000005.png", "step-000010.png"]
    assert result(out) == result(tmp_path / "not")


def test_the_global_generator_is_left_alone_and_does_not_matter(tmp_path, config, data, whole):
    torch.manual_seed(12345)
    state = torch.get_rng_state()
    train(config, tmp_path / "again", data=data)
    assert torch.equal(torch.get_rng_state(), state)
    assert result(tmp_path / "again") == whole


def test_seeds_differ(tmp_path, config, change, data, whole):
    train(change(config, "training", seed=1), tmp_path / "other", data=data)
    assert result(tmp_path / "other")[1]["weights"] != whole[1]["weights"]


def test_the_white_draws_are_the_same_for_every_spectrum(config, change, data, make_trainer, monkeypatch):
    draws = []

    def recording(*args):
        draws[-1].append(randn(*args))
        return draws[-1][-1]

    randn = base.randn
    monkeypatch.setattr(base, "randn", recording)
    for spectrum in ("flat", "power_law(alpha=-0.3)", "band_pass(low=0.2, high=0.7)"):
        draws.append([])
        trainer = make_trainer(change(config, "process", spectrum=spectrum), data)
        for _ in range(3):
            trainer.advance()
    assert [len(d) for d in draws] == [3, 3, 3]
    for white, *others in zip(*draws, strict=True):
        assert all(torch.equal(white, other) for other in others)


def test_it_learns(tmp_path, config, change, data):
    config = change(change(config, "network", dropout=0.0), "training", steps=150, batch_size=20, lr=3e-3, log_every=5)
    train(config, tmp_path / "run", data=data)
    losses = [line["loss"] for line in metrics(tmp_path / "run")]
    # An untrained network predicts little of unit noise: its loss is about 1.
    assert losses[0] > 0.7
    assert losses[-1] < 0.5


def test_the_layout_changes_nothing_but_rounding_and_resumes_bit_by_bit(tmp_path, config, change, data):
    """Weights of convolutions in another order; files hold none, and another one may go on."""
    config = change(config, "network", dropout=0.0)  # dropout depends on the order of the values
    other = change(config, "training", layout="channels_last")
    for name, run in (("plain", config), ("other", other)):
        train(run, tmp_path / name, data=data)
    plain, last = (metrics(tmp_path / name)[0] for name in ("plain", "other"))
    assert last["loss"] == pytest.approx(plain["loss"], rel=1e-4)
    assert last["grad_norm"] == pytest.approx(plain["grad_norm"], rel=1e-2)
    train(change(other, "training", steps=5), tmp_path / "resumed", data=data)
    train(other, tmp_path / "resumed", resume=True, data=data)
    assert result(tmp_path / "resumed")[1:3] == result(tmp_path / "other")[1:3]
    train(change(config, "training", steps=12), tmp_path / "resumed", resume=True, data=data)


def test_a_compiled_network_is_called_and_its_weights_are_plain(tmp_path, config, change, data, monkeypatch):
    called = []

    def compile_(network):
        called.append(network)

        class Compiled(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = network

            def forward(self, *args, **named):
                called.append(len(args[0]))
                return self.inner(*args, **named)

        return Compiled()

    monkeypatch.setattr(torch, "compile", compile_)
    train(change(config, "training", compile=True, steps=3), tmp_path / "compiled", data=data)
    assert called[1:] == [6, 6, 6, 6]  # held against the plain one, then three steps
    train(change(config, "training", steps=3), tmp_path / "plain", data=data)
    assert result(tmp_path / "compiled") == result(tmp_path / "plain")


def test_starting_from_the_weights_of_another_model(tmp_path, config, change, data, started):
    """Without a step that moves them, the weights are those of the other model, whose noise may be another."""
    init = str(started)
    other = change(
        change(config, "process", spectrum="power_law(alpha=-0.1)"), "training", init=init, lr=1e-12, steps=1
    )
    train(other, tmp_path / "next", data=data)
    first, second = (load_model(path).plain.module.state_dict() for path in (started, tmp_path / "next"))
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)
    for section, values, message in (
        ("network", {"widths": (8, 8)}, r"has network.widths \[4, 8\], this run has \[8, 8\]"),
        ("denoiser", {"prediction": "v"}, "has prediction eps, this run has v"),
        ("training", {"init": str(tmp_path / "nothing")}, "is not a directory"),
    ):
        with pytest.raises(InputError, match=message):
            train(change(change(config, "training", init=init), section, **values), tmp_path / section, data=data)


def test_a_run_of_before_a_setting_is_gone_on_with_as_by_its_default(tmp_path, config, change, data, whole):
    """Older versions did not know some settings, and did what their defaults do."""
    out = tmp_path / "old"
    train(change(config, "training", steps=5), out, data=data)
    last = latest_checkpoint(out)
    snapshot = load_checkpoint(last)
    unknown = ("data.channels", "data.area_weights")
    fixed = {key: value for key, value in snapshot.state["fixed"].items() if key not in unknown}
    shutil.rmtree(last)
    save_checkpoint(out, Snapshot(snapshot.step, snapshot.tensors, {**snapshot.state, "fixed": fixed}), 9)
    with pytest.raises(InputError, match=r"data.channels is 3, but the run in .* was started with None; give that"):
        train(change(config, "data", channels=3), out, resume=True, data=data)
    train(config, out, resume=True, data=data)
    assert result(out)[1:3] == whole[1:3]


@pytest.fixture(scope="module")
def striped():
    """60 smooth 16 x 16 images under scan lines."""
    smooth = SpectralCovariance("power_law(alpha=-1.2)", (1, 16, 16)).sample(60, torch.Generator().manual_seed(0))
    return Signals("striped", corrupt(smooth / 6, Corruption.parse("scan_lines(level=0.3)"), 0))


def test_a_resumed_run_does_not_need_the_weights_it_started_from(tmp_path, config, change, data, started):
    shutil.copytree(started, tmp_path / "other")
    run = change(config, "training", init=str(tmp_path / "other"), steps=1)
    train(run, tmp_path / "next", data=data)
    shutil.move(tmp_path / "other", tmp_path / "gone")
    train(change(run, "training", steps=2), tmp_path / "next", resume=True, data=data)


@pytest.mark.parametrize(
    ("variable", "value", "cure"),
    [
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4", "unset it, and set training.batch_size instead"),
        ("ACCELERATE_MIXED_PRECISION", "bf16", "unset it, and set training.precision instead"),
        ("ACCELERATE_DYNAMO_BACKEND", "EAGER", "unset it, and set training.compile instead"),
        ("ACCELERATE_GRADIENT_CLIPPING", "0.1", "unset it, and set training.clip_norm instead"),
        ("ACCELERATE_USE_FSDP", "true", "unset it"),
        ("ACCELERATE_OF_A_LATER_VERSION", "on", "unset it"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "0", "unset it, and set training.batch_size instead"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "no", "unset it, and set training.batch_size instead"),
        ("ACCELERATE_DYNAMO_BACKEND", "", "unset it, and set training.compile instead"),
        ("ACCELERATE_USE_CPU", "none", "unset it, and set training.device instead"),
        ("ACCELERATE_LOG_LEVEL", "silly", "unset it"),
        ("ACCELERATE_DEBUG_MODE", "2", "unset it"),
    ],
)
def test_the_environment_does_not_change_the_training(tmp_path, config, data, monkeypatch, variable, value, cure):
    """accelerate takes gradient accumulation and more from there, over its arguments."""
    monkeypatch.setenv(variable, value)
    message = f"the environment sets {variable}='{value}', which changes the training behind its configuration; {cure}"
    with pytest.raises(InputError) as refused:
        train(config, tmp_path / "run", data=data)
    assert str(refused.value) == message


@pytest.mark.bits
def test_what_accelerate_launch_sets_by_itself_passes(tmp_path, config, change, data, whole, monkeypatch):
    for name, value in (
        *(("MIXED_PRECISION", "no"), ("GRADIENT_ACCUMULATION_STEPS", "1"), ("USE_CPU", "True"), ("LOG_LEVEL", "INFO")),
        *(("DYNAMO_BACKEND", "no"), ("DYNAMO_MODE", "default"), ("DYNAMO_USE_FULLGRAPH", "False")),
    ):
        monkeypatch.setenv(f"ACCELERATE_{name}", value)
    train(config, tmp_path / "run", data=data)
    assert result(tmp_path / "run")[1:3] == whole[1:3]


def test_samples_of_resampling_models_are_of_the_classes_of_the_given_images(
    tmp_path, config, change, data, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        "sagd.study.train.draw",
        lambda denoiser, count, *_, condition=None, **__: seen.append(condition) or torch.zeros(count, *data.shape),
    )
    run = change(change(config, "denoiser", bands="random"), "training", steps=1, sample_every=1)
    train(run, tmp_path, data=data)
    assert torch.equal(seen[0], data.some(64).labels[torch.arange(64) % 40])


def test_a_detected_band_is_kept_with_the_run(tmp_path, config, change, striped):
    config = change(config, "network", conditional=False)
    auto = dataclasses.replace(config, process=ProcessConfig(omission=OmissionConfig("fill", "auto")))
    train(change(auto, "training", steps=2), tmp_path, data=striped)
    model = load_model(tmp_path)
    assert model.config.process.omission == OmissionConfig("fill", "strip(low=0.0312)")
    assert load_yaml(RunConfig, tmp_path / "config.yaml").process.omission == model.config.process.omission
    train(change(auto, "training", steps=3), tmp_path, resume=True, data=striped)
    assert load_model(tmp_path).config.process.omission == model.config.process.omission


def test_what_was_detected_is_not_detected_again(tmp_path, config, change, striped, monkeypatch):
    """Another number of threads adds up in another order, and gives a spectrum that differs in the last digit."""
    config = change(config, "network", conditional=False)
    omission = OmissionConfig("deconvolve", "auto", "excess")
    run = dataclasses.replace(config, process=ProcessConfig(omission=omission))
    train(change(run, "training", steps=2), tmp_path, data=striped)
    monkeypatch.setattr("sagd.study.train.detect", lambda x: pytest.fail("detected again"))
    train(change(run, "training", steps=3), tmp_path, resume=True, data=striped)
    found = load_model(tmp_path).config.process.omission
    given = dataclasses.replace(run, process=ProcessConfig(omission=found))
    train(change(given, "training", steps=4), tmp_path, resume=True, data=striped)
    other = dataclasses.replace(found, band="strip(low=0.1)")
    given = dataclasses.replace(run, process=ProcessConfig(omission=other))
    with pytest.raises(InputError, match=r"process.omission.band is 'strip\(low=0.1\)', but .* started with"):
        train(change(given, "training", steps=5), tmp_path, resume=True, data=striped)


@pytest.mark.parametrize("mode", ["project", "fill", "deconvolve"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_flips_that_would_turn_the_damage_out_of_its_band_are_refused(tmp_path, config, change, data, mode, symmetric):
    """Trained all the same, such a model drew 12 dB of the damage back."""
    at = [[0.25, 0.125], [0.25, -0.125]][: 1 + symmetric]
    band = f"spots(at={at}, radius=0.05)"
    damage = f"{band} * radial_table(rho=[0, 1], w=[0.1, 0.1])" if mode == "deconvolve" else None
    run = dataclasses.replace(
        config,
        process=ProcessConfig(omission=OmissionConfig(mode, band, damage)),
        training=dataclasses.replace(config.training, steps=1),
    )
    if symmetric:
        train(run, tmp_path / "run", data=data)
        return
    with pytest.raises(InputError, match=r"data.flip turns the damage out of process.omission.band 'spots.*leave"):
        train(run, tmp_path / "run", data=data)
    train(change(run, "data", flip=False), tmp_path / "run", data=data)


def test_flips_must_keep_the_spectrum_of_the_damage(tmp_path, config, data):
    """Also where the band that is shown to be restored is its own mirror image."""
    omission = OmissionConfig("deconvolve", "ring(low=0.2, high=0.5)", "oriented(angle=30)")
    run = dataclasses.replace(config, process=ProcessConfig(omission=omission))
    with pytest.raises(InputError, match=r"data.flip turns the damage out of process.omission.corruption"):
        train(run, tmp_path / "run", data=data)


def test_a_band_is_calibrated_on_images_that_were_set_apart(tmp_path, config, change, striped, monkeypatch, caplog):
    """On those and no others, of which no batch holds any."""
    config = change(change(config, "network", conditional=False), "training", steps=2)
    omission = OmissionConfig("fill", "strip(low=0.0312)", "strip(low=0.0312) * radial_table(rho=[0, 1], w=[0.1, 0.1])")
    config = dataclasses.replace(config, process=ProcessConfig(omission=omission))
    seen, batch = [], Shuffled.__call__
    monkeypatch.setattr(Shuffled, "__call__", lambda self, step: seen.append(batch(self, step)) or seen[-1])
    with caplog.at_level("INFO"):
        train(config, tmp_path / "run", data=striped)
    assert "12 of 60 images are set apart: what the model says of the damaged band is calibrated on them" in caplog.text
    kept = prepare(config, striped).data
    held_out = striped.tensor()[[i for i in range(60) if i not in kept.rows.tolist()]]
    assert not any((x == y).all() for fields, _ in seen for x in fields for y in held_out)
    model = load_model(tmp_path / "run")
    plain = dataclasses.replace(model, calibration=None).guided(1.0)
    mode = Fill(omission.band, omission.corruption)
    second = second_damage(mode, striped, model.statistics)
    expected = mode.calibrate(plain, [(held_out, None)], model.statistics, second)
    assert torch.allclose(model.calibration, expected.share, atol=1e-4)
    assert torch.allclose(model.unexplained, expected.unexplained, rtol=1e-4)
    assert torch.equal(model.denoiser.unexplained.values, model.unexplained)
    assert float(model.unexplained.max()) > 0


@pytest.mark.parametrize(
    ("found", "doubt"),
    [
        (Calibration(torch.ones(16, 9), alarm=3.0, believed=0.9), "it is damage that leaks there"),
        (Calibration(torch.ones(16, 9), drawn_back=0.4, believed=0.9), "it draws 40 % back"),
        (Calibration(torch.ones(16, 9), believed=0.03), "3 % of what the model says of the band is believed"),
        (Calibration(torch.ones(16, 9), drawn_back=0.02, believed=0.9), ""),
        (Calibration(torch.ones(16, 9)), ""),
    ],
)
def test_what_speaks_against_a_model_stays_with_it(tmp_path, config, change, striped, monkeypatch, found, doubt):
    found = dataclasses.replace(found, share=torch.ones(FourierBasis(striped.shape[1:]).coefficients).double())
    monkeypatch.setattr(Fill, "calibrate", lambda *_: found)
    config = change(change(config, "network", conditional=False), "training", steps=2)
    config = dataclasses.replace(config, process=ProcessConfig(omission=OmissionConfig("fill", "strip(low=0.0312)")))
    train(config, tmp_path / "run", data=striped)
    model = load_model(tmp_path / "run")
    assert doubt in model.doubt
    assert bool(model.doubt) == bool(doubt)


def test_project_believes_nothing_from_its_first_step_on(tmp_path, config, change, striped):
    config = change(change(config, "network", conditional=False), "training", steps=2)
    config = dataclasses.replace(config, process=ProcessConfig(omission=OmissionConfig("project", "strip(low=0.0312)")))
    plan = prepare(config, striped)
    assert len(plan.data) == 60
    train(config, tmp_path, data=striped)
    for model in (plan.model, load_model(tmp_path), load_model(latest_checkpoint(tmp_path))):
        assert not model.calibration.any()
        x = draw(model.denoiser, 3, SamplingConfig("ddim", 3), statistics=model.statistics)
        basis, b = model.statistics.basis, mask("strip(low=0.0312)", model.statistics.basis)
        assert (b * basis.forward(x - model.statistics.mean)).abs().max() < 1e-5


def test_too_few_images_to_set_some_apart(tmp_path, config, change, striped):
    omission = ProcessConfig(omission=OmissionConfig("fill", "strip(low=0.0312)"))
    few = dataclasses.replace(change(config, "training", batch_size=50), process=omission)
    few = change(few, "network", conditional=False)
    with pytest.raises(InputError, match=r"48 images are left to train on, with 12 set apart .*; use at most 48") as no:
        train(few, tmp_path, data=striped)
    assert "\n" not in str(no.value)


@pytest.mark.parametrize("mode", ["project", "fill", "deconvolve"])
def test_damage_of_more_power_than_the_data_is_refused(tmp_path, config, change, striped, mode):
    omission = ProcessConfig(omission=OmissionConfig(mode, "strip(low=0.0312)", "band_pass(inside=9)"))
    config = change(dataclasses.replace(config, process=omission), "network", conditional=False)
    with pytest.raises(InputError, match=r"process.omission.corruption gives the damage .* times the power"):
        train(config, tmp_path, data=striped)


def test_the_excess_is_the_spectrum_of_the_damage(striped):
    omission = OmissionConfig("deconvolve", "strip(low=0.0312)", "excess")
    found = Spectrum.parse(resolve_omission(ProcessConfig(omission=omission), striped).omission.corruption)
    basis = FourierBasis((16, 16))
    measured = found.weights(basis.frequencies()) ** 2
    true = Corruption.parse("scan_lines(level=0.3)").spectrum((1, 16, 16), 0)[0]
    inside = true > 0
    assert (measured[~inside] == 0).all()
    # A radius is that of a single frequency here, whose power 60 images tell to sqrt(2 / 60) = 18 %: four of it.
    assert torch.allclose(measured[inside].float(), true[inside].float(), rtol=0.73)


def test_no_band_is_no_run(tmp_path, config, change):
    clean = SpectralCovariance("power_law(alpha=-1.2)", (1, 16, 16)).sample(60, torch.Generator().manual_seed(0)) / 6
    config = change(config, "network", conditional=False)
    config = dataclasses.replace(config, process=ProcessConfig(omission=OmissionConfig("fill", "auto")))
    with pytest.raises(InputError, match=r"'auto': no damaged band found .* name the band"):
        train(config, tmp_path / "run", data=Signals("clean", clean))
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_what_a_run_writes(tmp_path, config, data):
    out = tmp_path / "run"
    assert train(config, out, data=data) == out / "model"
    assert load_yaml(RunConfig, out / "config.yaml") == config
    assert json.loads((out / "versions.json").read_text()).keys() >= {"sagd", "torch", "diffusers", "accelerate"}
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 11]
    assert [line["lr"] for line in lines] == pytest.approx([0.8e-3, 1e-3, 1e-3])
    assert all(
        line["items_per_second"] * line["seconds"] == pytest.approx(n * 6)
        for line, n in zip(lines, (4, 4, 3), strict=True)
    )
    assert all(0 < line["waited"] < 1 for line in lines)
    checkpoint = load_checkpoint(out / "checkpoints" / "step-00000011")
    model = load_model(out)
    averaged = model.plain.module.state_dict()
    assert all(torch.equal(averaged[name], value) for name, value in checkpoint.tensors["ema"].items())
    assert model.process == build_process(config.process, (1, 8, 8))
    assert model.classes == data.classes


@pytest.mark.parametrize("decay", [0.0, 0.6])
def test_the_average_of_weights(config, change, data, make_trainer, decay):
    trainer = make_trainer(change(config, "training", ema_decay=decay), data)
    trajectory = []
    for _ in range(8):
        trainer.advance()
        trajectory.append(torch.cat([p.detach().flatten().clone() for p in trainer.parameters().values()]))
    # The warm-up (inverse power 3/4) passes 0.6 before the fourth update; the first copies.
    decays = [0.0, *(min(decay, 1 - (1 + k) ** -0.75) for k in range(1, 8))]
    expected = torch.zeros_like(trajectory[0])
    for weights, d in zip(trajectory, decays, strict=True):
        expected = d * expected + (1 - d) * weights
    averaged = torch.cat([p.flatten() for p in trainer.average.network.parameters()])
    torch.testing.assert_close(averaged, expected, rtol=1e-5, atol=1e-6)


def state_of(trainer):
    snapshot = trainer.snapshot()
    # The hashes of the items of a batch are taken before it is used.
    return {(g, n): t.clone() for g, named in snapshot.tensors.items() for n, t in named.items() if g != "data"}


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_divergence_is_noticed_before_weights_and_averages_are_touched(config, data, make_trainer, monkeypatch, what):
    trainer = make_trainer(config, data)
    for _ in range(3):
        trainer.advance()
    before = state_of(trainer)
    if what == "loss":
        monkeypatch.setattr(
            DenoisingLoss,
            "__call__",
            lambda self, denoiser, x, *_: denoiser.output(x * torch.nan, 0.5, torch.zeros(len(x), dtype=int)).mean(),
        )
        message = "loss became nan at step 4; lower lr or raise warmup_steps"
    else:
        next(iter(trainer.parameters().values())).register_hook(lambda gradient: gradient * torch.inf)
        message = "gradient norm became (nan|inf) at step 4; lower lr"
    with pytest.raises(DivergenceError, match=message) as diverged:
        trainer.advance()
    assert diverged.value.step == 4
    after = state_of(trainer)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_divergence_keeps_the_last_good_checkpoint(tmp_path, config, change, data, whole, monkeypatch):
    out = tmp_path / "run"
    config = change(config, "training", checkpoint_every=2)
    with monkeypatch.context() as patch:
        at_step(
            patch,
            6,
            lambda: patch.setattr(
                Signals,
                "shown",
                lambda *_, **__: (torch.full((6, 1, 8, 8), torch.nan), torch.zeros(6, dtype=int), None),
            ),
        )
        with pytest.raises(DivergenceError, match="loss became nan at step 6"):
            train(config, out, data=data)
    assert [p.name for p in list_checkpoints(out)] == ["step-00000002", "step-00000004"]
    train(change(config, "training", lr=1e-3), out, resume=True, data=data)
    assert result(out) == whole


def test_bf16_trains_and_fp16_is_refused_on_the_cpu(tmp_path, config, change, data):
    train(change(config, "training", precision="bf16", steps=2), tmp_path / "bf16", data=data)
    assert metrics(tmp_path / "bf16")[0]["loss"] < 2
    with pytest.raises(InputError, match=r"training.precision 'fp16' needs a GPU; use 'bf16' or 'no' on the CPU"):
        train(change(config, "training", precision="fp16"), tmp_path / "fp16", data=data)
    # The refusal leaves no trace in accelerate's global state.
    train(change(config, "training", precision="no", steps=1), tmp_path / "no", data=data)


def test_the_record_names_the_precision_that_auto_was_settled_as(tmp_path, config, change, data, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("sagd.study.run.timed", lambda *_: time.sleep(0.2) or Timing(4, 2))
    monkeypatch.setattr("sagd.counting.SHORT", 0.05)
    train(change(config, "training", precision="auto", steps=1), tmp_path, data=data)
    said = [line for line in caplog.messages if "float32" in line]  # what takes long is told before it is done
    assert said == ["timing steps in float32 and in bf16 ...", Timing(4, 2).line()]
    assert load_yaml(RunConfig, tmp_path / "config.yaml").training.precision == "bf16"
    assert load_model(tmp_path).config.training.precision == "bf16"


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("training", {"steps": 0}, "training.steps must be at least 1, got 0"),
        ("training", {"keep_checkpoints": 0}, "training.keep_checkpoints must be at least 1, got 0"),
        ("training", {"lr": float("nan")}, "training.lr must be positive, got nan"),
        ("training", {"ema_decay": 1.0}, r"training.ema_decay must be in \[0, 1\), got 1.0"),
        ("training", {"seed": -1}, "training.seed must be at least 0, got -1"),
        ("training", {"batch_size": 41}, "training.batch_size is 41 but the data has 40 images; use at most that"),
        ("network", {"widths": (4, 4, 4, 4, 4)}, "of at least 16, got 8x8; use at most 4 levels"),
        ("process", {"spectrum": "pink"}, "unknown spectrum 'pink'"),
        ("process", {"schedule": "linear"}, "unknown schedule 'linear'"),
        ("denoiser", {"time": "sometimes"}, "unknown training time 'sometimes'"),
        ("sampling", {"clip": -1.0}, "clip must be positive, got -1.0"),
        ("denoiser", {"condition_dropout": 1.5}, "condition_dropout must lie in"),
        ("sampling", {"sampler": "hein"}, "unknown sampler 'hein'; did you mean 'heun'"),
        ("sampling", {"grid": "none"}, "unknown time grid 'none'"),
        ("sampling", {"steps": 0}, "steps must be at least 1, got 0"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    tmp_path, config, change, data, section, values, message
):
    out = tmp_path / "run"
    with pytest.raises(InputError, match=message):
        train(change(config, section, **values), out, data=data)
    assert not out.exists()


def test_conditioning_without_labels(tmp_path, config, data):
    with pytest.raises(InputError, match=r"network.conditional needs labels, and the data has none"):
        train(config, tmp_path, data=dataclasses.replace(data, labels=None))


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("training", {"seed": 1}, "training.seed is 1, but the run in '.*' was started with 0"),
        ("training", {"batch_size": 8}, "training.batch_size is 8, but the run in '.*' was started with 6"),
        ("training", {"precision": "bf16"}, "training.precision is 'bf16', but the run in '.*' was started with 'no'"),
        ("training", {"steps": 1}, "training.steps is 1, but the run in '.*' has done 2; give more"),
        (
            "process",
            {"spectrum": "power_law(alpha=1)"},
            "process.spectrum is 'power_law.*', but .* was started with 'flat'",
        ),
        ("network", {"widths": (8, 8)}, r"network.widths is \[8, 8\], but the run in '.*' was started with \[4, 8\]"),
        ("denoiser", {"prediction": "v"}, "denoiser.prediction is 'v', but the run in '.*' was started with 'eps'"),
        ("data", {"flip": False}, "data.flip is False, but the run in '.*' was started with True; give that to resume"),
        (
            "training",
            {"seed": 1, "batch_size": 8, "precision": "bf16"},
            "training.seed is 1, training.batch_size is 8, training.precision is 'bf16', but the run in '.*' was"
            " started with 0, 6, 'no'; give those to resume",
        ),
    ],
)
def test_a_resumed_run_must_be_the_same_run(started, config, change, data, section, values, message):
    with pytest.raises(InputError, match=message):
        train(change(config, section, **values), started, resume=True, data=data)


def test_noise_from_the_data_must_be_that_of_then(tmp_path, config, change, data):
    """Other images of the same number, shape and classes give other noise, with which a run must not go on."""
    config = change(change(config, "process", spectrum="whitening"), "training", steps=2)
    train(config, tmp_path, data=data)
    darker = Signals(data.name, data.stored // 2, data.labels, data.classes)
    with pytest.raises(InputError, match=r"gives another noise .* give the data of then to resume"):
        train(change(config, "training", steps=3), tmp_path, resume=True, data=darker)


@pytest.mark.parametrize("whitening", [False, True])
def test_other_images_of_the_same_number_shape_and_spectrum_are_refused(tmp_path, config, change, data, whitening):
    config = change(config, "process", spectrum="whitening") if whitening else config
    train(change(config, "training", steps=2), tmp_path, data=data)
    turned = Signals(data.name, data.stored.flip(2, 3), data.labels, data.classes)
    with pytest.raises(DataMismatchError, match=r"item \d+ of the data is not what the run was started with; give the"):
        train(config, tmp_path, resume=True, data=turned)
    relabelled = Signals(data.name, data.stored, (data.labels + 1) % 3, data.classes)
    with pytest.raises(DataMismatchError, match=r"item \d+ of the data is not what the run was started with"):
        train(config, tmp_path, resume=True, data=relabelled)


def test_the_same_images_elsewhere_are_the_same_data(tmp_path, config, change, data, whole):
    """What the data is called, and where it lies, decides nothing."""
    train(change(config, "training", steps=5), tmp_path / "run", data=data)
    elsewhere = change(config, "data", source="somewhere/else")
    train(elsewhere, tmp_path / "run", resume=True, data=dataclasses.replace(data, name="moved"))
    assert result(tmp_path / "run")[1] == whole[1]


def test_another_item_is_noticed_when_its_turn_comes(tmp_path, started, config, data):
    """An image that the run has not seen may change; one that it has seen may not, and is found at the latest then."""
    shutil.copytree(started, tmp_path, dirs_exist_ok=True)
    checkpoint = load_checkpoint(list_checkpoints(tmp_path)[-1])
    known = checkpoint.tensors["data"]["digests"]
    assert (known != 0).sum() == 12
    unseen = int((known == 0).nonzero()[0])
    pixels = data.stored.clone()
    pixels[unseen] = 0
    train(config, tmp_path, resume=True, data=Signals(data.name, pixels, data.labels, data.classes))


def test_a_resumed_run_must_have_the_same_data(started, config, data):
    with pytest.raises(
        InputError, match=r"data is \{'items': 20, .*, but the run in '.*' was started with \{'items': 40"
    ):
        train(config, started, resume=True, data=data.subset(torch.arange(20)))


def test_directories_with_something_in_them(tmp_path, config, data):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty; continue that run with resume=True, or choose another out"):
        train(config, tmp_path, data=data)
    with pytest.raises(CheckpointError, match=r"nothing to resume in .*; choose another out$"):
        train(config, tmp_path, resume=True, data=data)
    with pytest.raises(CheckpointError, match=r"nothing to resume in .*nowhere"):
        train(config, tmp_path / "nowhere", resume=True, data=data)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_run_killed_before_its_first_checkpoint_starts_over_with_a_warning(
    tmp_path, config, data, whole, monkeypatch
):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        at_step(patch, 9, kill)
        with pytest.raises(Killed):
            train(config, out, data=data)
    with pytest.warns(UserWarning, match=r"no checkpoint in .* yet; starting at step 0"):
        train(config, out, resume=True, data=data)
    assert result(out) == whole


def test_other_settings_before_the_first_checkpoint_are_named(tmp_path, config, change, data):
    """Nothing of the run is left but its settings, so others may be given, but not by mistake."""
    (tmp_path / "config.yaml").write_bytes(to_yaml(config))
    now = change(config, "training", steps=2, lr=0.5)
    named = (
        rf"training\.{key} {getattr(now.training, key)} \(was {getattr(config.training, key)}\)"
        for key in ("steps", "lr")
    )
    line = f"^it starts with other settings: {', '.join(named)}$"
    with pytest.warns(UserWarning, match="starting at step 0"), pytest.warns(UserWarning, match=line):
        train(now, tmp_path, resume=True, data=data)


def test_settings_that_cannot_be_read_are_said_and_written_anew(tmp_path, config, change, data):
    (tmp_path / "config.yaml").write_text("{")
    config = change(config, "training", steps=2)
    with pytest.warns(UserWarning, match="starting at step 0"), pytest.warns(UserWarning, match="it is written anew"):
        train(config, tmp_path, resume=True, data=data)
    assert load_yaml(RunConfig, tmp_path / "config.yaml").training.steps == 2


def test_settings_that_are_missing_are_written_anew(tmp_path, config, change, data, whole, monkeypatch):
    """Checkpoints hold them too."""
    out, config = tmp_path / "run", change(config, "training", checkpoint_every=5)
    with monkeypatch.context() as patch:
        at_step(patch, 9, kill)
        with pytest.raises(Killed):
            train(config, out, data=data)
    settings = load_yaml(RunConfig, out / "config.yaml")
    (out / "config.yaml").unlink()
    (out / "versions.json").unlink()
    train(config, out, resume=True, data=data)
    assert result(out) == whole
    assert load_yaml(RunConfig, out / "config.yaml") == settings
    assert (out / "versions.json").exists()


KILLED = """
import os, sys, torch
from sagd.build.schema import RunConfig
from sagd.build.text import load_yaml
from sagd.data.signals import Signals
from sagd.study.train import train
pixels, labels = torch.load(sys.argv[1])
config, data = load_yaml(RunConfig, sys.argv[2]), Signals("smooth", pixels, labels, ("a", "b", "c"))
torch.set_num_threads(1)
EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir", "os.truncate")
def run(out, at):
    count = 0
    def hook(event, args):
        nonlocal count
        if event in EVENTS and out in str(args[0]):
            count += 1
            if count == at:
                os._exit(9)
    sys.addaudithook(hook)
    train(config, out, data=data)
    os._exit(0)
train(config, sys.argv[3] + "-whole", data=data)  # loads what is loaded when first used
for at in range(1, 1000):
    out = os.path.join(sys.argv[3], "killed-%d" % at, "run")
    child = os.fork()
    if not child:
        run(out, at)
    os.waitpid(child, 0)
    if os.path.exists(os.path.join(out, "checkpoints")):
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_killed_at_any_of_its_first_file_events_is_gone_on_with(tmp_path, config, change, data):
    """From the first directory that it makes to its first checkpoint."""
    from sagd.build.text import dump_yaml

    config = change(config, "training", steps=1)
    dump_yaml(config, tmp_path / "config.yaml")
    torch.save((data.stored, data.labels), tmp_path / "data")
    arguments = [str(tmp_path / name) for name in ("data", "config.yaml", "runs")]
    subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, *arguments], check=True, timeout=240)
    left = sorted((tmp_path / "runs").rglob("run"))
    states = {}
    for out in left:
        states.setdefault(tuple(sorted(str(path.relative_to(out)) for path in out.rglob("*"))), out)
    assert () in states  # killed after the first mkdir
    assert len(states) >= 5
    train(config, tmp_path / "whole", data=data)
    expected = result(tmp_path / "whole")
    for out in states.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of those without a checkpoint
            train(config, out, resume=True, data=data)
        assert result(out) == expected
        assert not list(out.rglob("*.tmp")), out
    for number in range(1, len(left)):
        fresh = tmp_path / "runs" / f"killed-{number}" / "run"
        if not fresh.exists():
            train(config, fresh, data=data)
            assert result(fresh) == expected


def test_a_second_run_in_the_directory_is_refused_and_a_stale_lock_is_not(tmp_path, config, change, data):
    config = change(config, "training", steps=1)
    with (
        claim(tmp_path),
        pytest.raises(InputError, match=rf"another run \(process {os.getpid()}\) is writ"),
    ):
        train(config, tmp_path, data=data)
    (tmp_path / ".lock").write_text("1\n")
    train(config, tmp_path, data=data)


def test_directories_that_cannot_be_written(tmp_path, config, data, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write in '.*file': it is no folder; choose another out"):
        train(config, tmp_path / "file", data=data)

    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.mkdir", read_only)
    with pytest.raises(InputError, match=r"cannot write in '.*run': Read-only file system; choose another out"):
        train(config, tmp_path / "run", data=data)


def test_processes_that_do_not_see_each_other_are_refused(tmp_path, config, data, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("sagd.integrations.accelerate._start", lambda *_: type("One", (), {"num_processes": 1}))
    with pytest.raises(InputError, match="WORLD_SIZE is 2 but 1 process joined; use torchrun --nproc-per-node"):
        train(config, tmp_path, data=data)


def test_the_first_signal_is_noted_the_second_kills_and_handlers_come_back():
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with contextlib.suppress(Interrupted), Interrupts() as interrupts:
        assert interrupts.received == 0
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.received == signal.SIGINT
        assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == [signal.SIG_DFL] * 2
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_other_threads_leave_signals_alone(tmp_path, config, change, data):
    before, failures = signal.getsignal(signal.SIGTERM), []

    def run():
        try:
            with Interrupts():
                assert signal.getsignal(signal.SIGTERM) is before
            train(change(config, "training", steps=1), tmp_path, data=data)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not failures
    assert (tmp_path / "model").is_dir()


SCRIPT = """
import sys, time, torch
from sagd.build.schema import RunConfig
from sagd.build.text import load_yaml
from sagd.data.signals import Signals
from sagd.interrupt import Interrupted
from sagd.study.train import train
class Slow(Signals):
    # What is done until the signal comes is done again below.
    def batch(self, *args, **options):
        time.sleep(0.05)
        return super().batch(*args, **options)
pixels, labels = torch.load(sys.argv[1])
try:
    train(load_yaml(RunConfig, sys.argv[2]), sys.argv[3], data=Slow("smooth", pixels, labels, ("a", "b", "c")))
except Interrupted as stopped:
    sys.exit(128 + stopped.signal)
"""


def test_sigterm_of_a_real_process_leaves_a_resumable_run(tmp_path, config, change, data):
    from sagd.build.text import dump_yaml

    out = tmp_path / "run"
    endless = change(config, "training", steps=10**6, log_every=1)
    dump_yaml(endless, tmp_path / "config.yaml")
    torch.save((data.stored, data.labels), tmp_path / "data")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "data"), str(tmp_path / "config.yaml"), str(out)]
    with subprocess.Popen(command) as process, contextlib.ExitStack() as stack:
        stack.callback(process.kill)  # it would not end by itself
        deadline = time.monotonic() + 120
        while not (out / "metrics.jsonl").exists() or not (out / "metrics.jsonl").read_text():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(InputError, match=rf"another run \(process {process.pid}\) is writing"):
            train(endless, out, resume=True, data=data)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    step = load_checkpoint(list_checkpoints(out)[-1]).step
    finish = change(endless, "training", steps=step + 2)
    train(finish, out, resume=True, data=data)
    train(finish, tmp_path / "whole", data=data)
    assert result(out) == result(tmp_path / "whole")


def test_data_that_does_not_vary_is_refused(tmp_path, config):
    constant = Signals("flat", torch.full((40, 1, 8, 8), 7, dtype=torch.uint8))
    plain = dataclasses.replace(config, network=dataclasses.replace(config.network, conditional=False))
    with pytest.raises(InputError, match="'flat' does not vary: all its values are 7, of which nothing can be learnt"):
        train(plain, tmp_path, data=constant)


def _windows(cut=(0,), side=16):
    """Smooth periodic noise of `side` samples an axis, cut from twice as many along some axes."""
    shape = (1, *(side * 2 if axis in cut else side for axis in range(2)))
    x = SpectralCovariance(Spectrum.parse("power_law(alpha=-2)"), shape).sample(64, torch.Generator().manual_seed(0))
    return Signals("windows", x[:, :, :side, :side].contiguous())


def test_trainings_and_measures_agree_on_whether_ends_meet(monkeypatch):
    data = _windows((0, 1))
    for far, basis in ((2.0, "cosine"), (float("inf"), "fourier")):
        monkeypatch.setattr("sagd.noise.statistics._FAR", far)
        assert (resolve_basis(ProcessConfig(), data).basis, basis_for(Fields(data.tensor())).kind) == (basis, basis)


def test_basis_follows_the_ends_of_the_data():
    assert resolve_basis(ProcessConfig(), _windows((0, 1))).basis == "cosine"
    assert resolve_basis(ProcessConfig(), _windows()).basis == "mixed(periodic=[1])"
    assert resolve_basis(ProcessConfig(), _windows(())).basis == "fourier"


def test_basis_that_is_named_is_kept():
    assert resolve_basis(ProcessConfig(basis="fourier"), _windows()).basis == "fourier"
    assert resolve_basis(ProcessConfig(), _windows(), found="fourier").basis == "fourier"


def test_basis_of_noise_that_cosines_cannot_have_is_fourier(caplog):
    data = _windows()
    for process in (
        ProcessConfig(spectrum="oriented(angle=30, width=20)"),
        ProcessConfig(omission=OmissionConfig(mode="project", band="strip(axis=0, low=0.1)")),
    ):
        assert resolve_basis(process, data).basis == "fourier"
    assert resolve_basis(ProcessConfig(spectrum="whitening(exponent=0.5)"), data).basis == "mixed(periodic=[1])"


def test_chosen_basis_is_said_and_written(caplog, tmp_path, config, change):
    caplog.set_level(logging.INFO)
    data = _windows(side=8)
    config = change(change(config, "network", conditional=False), "training", steps=2, batch_size=4)
    config = change(config, "process", basis="auto")
    model = load_model(train(config, tmp_path / "run", data=data))
    assert model.statistics.basis == process_statistics(data, ProcessConfig()).basis
    assert str(model.configuration["process"]["basis"]) == "mixed(periodic=[1])"
    assert "the data does not go on from its other end" in caplog.text
    more = change(config, "training", steps=3)
    assert load_model(train(more, tmp_path / "run", resume=True, data=data)).statistics.basis == model.statistics.basis


def test_a_line_names_five_settings_and_counts_the_others():
    line = of_another({f"s{i}": (i, 9) for i in range(8)}, "it")
    assert line == (
        "s0 is 0, s1 is 1, s2 is 2, s3 is 3, s4 is 4, but it was started with 9, 9, 9, 9, 9 (3 others differ, too);"
        " give those to resume"
    )
