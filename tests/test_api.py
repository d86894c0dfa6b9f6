"""Training one's own network on one's own data, and what the model can do."""

import json
import logging
import os
import signal
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import sagd
import sagd.plugins
from sagd.cli.program import main
from sagd.data.formats import Coordinates
from sagd.data.meaning import Meaning
from sagd.data.signals import Signals
from sagd.errors import CheckpointError, DataMismatchError, DivergenceError, InputError
from sagd.interrupt import Interrupted
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.store.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from sagd.store.files import read_manifest
from sagd.training.batches import Shuffled
from sagd.training.fit import Callback, Snapshot
from sagd.training.objective import DenoisingLoss
from sagd.training.times import MatchedTime


class Net(nn.Module):
    """A small network of nobody here; it knows its time and, if told, a class or an image."""

    def __init__(self, channels=1, width=8, classes=0, shown=0, rank=2, dropout=0.0):
        super().__init__()
        conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[rank]
        self.first = conv(channels + shown, width, 3, padding=1)
        self.time = nn.Linear(2, width)
        self.told = nn.Embedding(classes + 1, width) if classes else None
        self.drop = nn.Dropout(dropout)
        self.last = conv(width, channels, 3, padding=1)

    def forward(self, x, t, labels=None, image=None):
        h = self.first(x if image is None else torch.cat([x, image], 1))
        angle = t[:, None] / 100
        own = self.time(torch.cat([angle.sin(), angle.cos()], 1))
        own = own if labels is None else own + self.told(labels)
        return self.last(self.drop(torch.relu(h + own.reshape(*own.shape, *(1,) * (x.ndim - 2)))))


def fields(count=48, shape=(1, 8, 8)):
    return SpectralCovariance("power_law(alpha=-1)", shape).sample(count, torch.Generator().manual_seed(0)) / 2


class Pairs(torch.utils.data.Dataset):
    """Fields with classes, a map-style data set."""

    def __init__(self, count=48):
        self.x, self.read = fields(count), []

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        self.read.append(i)
        return self.x[i], i % 3


def net(**options):
    torch.manual_seed(0)
    return Net(**options)


QUICK = {"steps": 6, "batch_size": 8, "warmup_steps": 2, "lr_decay": "none", "log_every": 2, "device": "cpu"}


def result(out):
    last = list_checkpoints(out)[-1]
    sums = read_manifest(last)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    kept = [(line["step"], line["loss"], line["lr"], line["grad_norm"]) for line in lines]
    return (
        last.name,
        {name: sums[f"{name}.safetensors"] for name in ("weights", "ema", "optimizer", "data")},
        read_manifest(out / "model")["model.safetensors"],
        kept,
    )


@pytest.mark.parametrize("shape", [(1, 32), (2, 8, 6), (1, 4, 4, 6)])
def test_any_network_on_fields_of_any_rank(shape, tmp_path):
    x = fields(shape=shape)
    model = sagd.fit(net(channels=shape[0], rank=len(shape) - 1), x, "power_law(alpha=-0.3)", **QUICK)
    drawn = model.sample(5, steps=3, seed=1)
    assert drawn.shape == (5, *shape)
    assert torch.isfinite(drawn).all()
    assert torch.equal(model.sample(2, steps=3, seed=1, batch_size=2), model.sample(2, steps=3, seed=1, batch_size=2))
    torch.testing.assert_close(model.sample(9, steps=3, seed=1, batch_size=4)[:5], drawn)
    again = sagd.load(model.save(tmp_path / "model"), network=net(channels=shape[0], rank=len(shape) - 1))
    assert torch.equal(again.sample(5, steps=3, seed=1), drawn)
    assert again.process == model.process


def test_samples_are_drawn_as_the_model_says():
    """The grid is matched to the data unless asked otherwise, in Python as on the command line."""
    model = sagd.fit(net(), fields(), **QUICK)
    own = sagd.Heun().sample(
        model.denoiser,
        2,
        steps=18,
        grid="found",
        generator=sagd.random.sample_generators(0, 2),
        statistics=model.statistics,
    )
    torch.testing.assert_close(model.sample(2), own)


class Batched:
    """Batches of several sizes, as mappings, over and over again."""

    def __init__(self, x, labels):
        self.parts = zip(x.split([8, 12, 28]), labels.split([8, 12, 28]), strict=True)
        self.parts = [{"pixel_values": a, "class_labels": k} for a, k in self.parts]

    def __iter__(self):
        return iter(self.parts)


def forms(x, labels):
    """One set of data in every form that is understood, and the conditions that they give."""
    yield x, ()
    yield [(a,) for a in x], ()
    yield [{"image": a, "label": int(k)} for a, k in zip(x, labels, strict=True)], ("labels",)
    yield [{"x": a, "image": a[:, ::1], "y": k} for a, k in zip(x, labels, strict=True)], ("image", "labels")
    yield torch.utils.data.TensorDataset(x, labels), ("labels",)
    yield torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, labels), 8), ("labels",)
    yield Batched(x, labels), ("labels",)


@pytest.mark.parametrize("which", range(7))
def test_data_in_every_form(which):
    x, labels = fields(), torch.arange(48) % 3
    data, names = list(forms(x, labels))[which]
    network = net(classes=3 if "labels" in names else 0, shown=1 if "image" in names else 0)
    model = sagd.fit(network, data, **QUICK)
    assert sorted(model.denoiser.names) == sorted(names)
    condition = {"labels": labels[:3], "image": x[:3]}
    told = {name: condition[name] for name in names}
    assert model.sample(3, steps=2, condition=told).shape == (3, 1, 8, 8)


def test_what_a_network_and_its_data_have_to_say_of_conditions():
    labels = torch.arange(48) % 3
    data = torch.utils.data.TensorDataset(fields(), labels)
    model = sagd.fit(net(classes=3), data, null={"labels": 3}, classes=("a", "b", "c"), **QUICK)
    by_name = model.sample(2, steps=2, condition=["b", "c"])
    assert torch.equal(by_name, model.sample(2, steps=2, condition=torch.tensor([1, 2])))
    assert not torch.equal(by_name, model.sample(2, steps=2))
    assert not torch.equal(by_name, model.sample(2, steps=2, condition=["b", "c"], guidance=3.0))
    with pytest.raises(InputError, match=r"the model has no class 'd'; known: a, b, c"):
        model.sample(1, condition=["d"])
    plain = sagd.fit(net(classes=3), data, **QUICK)
    with pytest.raises(InputError, match="the model needs the condition 'labels'"):
        plain.sample(2, steps=2)


def test_super_resolution_by_an_image_condition():
    """What is shown decides what is drawn: a model told the coarse half of its data draws samples near it."""
    x = fields(256)
    coarse = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(x, 2), scale_factor=2.0, mode="bilinear")
    data = [{"x": a, "image": b} for a, b in zip(x, coarse, strict=True)]
    model = sagd.fit(net(shown=1, width=32), data, steps=300, batch_size=32, lr=5e-3, device="cpu", ema_decay=0.98)
    drawn = model.sample(64, steps=8, condition={"image": coarse[:64]})

    def near(a, b):
        return float((a - b).square().mean() / b.var())

    assert near(drawn, x[:64]) < 0.6 * near(drawn.roll(1, 0), x[:64])


@pytest.mark.bits
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    options = {**QUICK, "steps": 9, "checkpoint_every": 4}
    sagd.fit(net(classes=3, dropout=0.2), Pairs(), out=tmp_path / "whole", **options)
    batch = Shuffled.__call__

    def acting(self, step):
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Shuffled, "__call__", acting)
        with pytest.raises(Interrupted, match=r"^stopped by SIGTERM; continue with resume=True$"):
            sagd.fit(net(classes=3, dropout=0.2), Pairs(), out=tmp_path / "parts", **options)
    with pytest.warns(UserWarning, match="is not finished: this is its model of step-00000005"):
        early = sagd.load(tmp_path / "parts", network=net(classes=3, dropout=0.2))
    assert early.sample(2, steps=2, condition=torch.tensor([0, 1])).shape == (2, 1, 8, 8)
    # Weights come from the checkpoint, whatever the network starts with.
    other = Net(classes=3, dropout=0.2)
    sagd.fit(other, Pairs(), out=tmp_path / "parts", resume=True, **options)
    assert result(tmp_path / "parts") == result(tmp_path / "whole")
    sagd.fit(Net(classes=3, dropout=0.2), Pairs(), out=tmp_path / "parts", resume=True, **{**options, "steps": 11})
    assert load_checkpoint(list_checkpoints(tmp_path / "parts")[-1]).step == 11


def test_other_data_is_noticed_on_resuming(tmp_path):
    sagd.fit(net(classes=3), Pairs(), out=tmp_path, **QUICK)
    other = Pairs()
    other.x = other.x + 0.1
    longer = {**QUICK, "steps": 8, "out": tmp_path, "resume": True}
    with pytest.raises(DataMismatchError, match=r"item \d+ of the data is not what the run was started with"):
        sagd.fit(net(classes=3), other, **longer)
    with pytest.raises(InputError, match=r"items is 40, but the run in .* was started with 48"):
        sagd.fit(net(classes=3), Pairs(40), **longer)
    with pytest.raises(InputError, match=r"prediction is 'v', but the run in .* was started with 'edm'"):
        sagd.fit(net(classes=3), Pairs(), prediction="v", **longer)
    with pytest.raises(CheckpointError, match=r"weights.safetensors' does not fit the run: tensor 'first.weight' is"):
        sagd.fit(net(classes=3, width=9), Pairs(), **longer)


class Stateful:
    """A loader that can say where it is."""

    def __init__(self, x):
        self.x, self.at = x, 0

    def __iter__(self):
        while self.at + 8 <= len(self.x):
            self.at += 8
            yield self.x[self.at - 8 : self.at]
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


def test_a_loader_with_a_state_is_resumed_where_it_was(tmp_path):
    x = fields(56)
    options = {**QUICK, "steps": 10}
    sagd.fit(net(), Stateful(x), out=tmp_path / "whole", **options)
    sagd.fit(net(), Stateful(x), out=tmp_path / "parts", **{**options, "steps": 4})
    sagd.fit(net(), Stateful(x), out=tmp_path / "parts", resume=True, **options)
    assert result(tmp_path / "parts")[1] == result(tmp_path / "whole")[1]
    with pytest.raises(
        InputError, match=r"items is 48, batch_size is 8, but .* was started with 'those of a loader', None; give"
    ):
        sagd.fit(net(), fields(), out=tmp_path / "parts", resume=True, **options)


def test_other_loaders_train_and_say_that_they_begin_anew(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "sagd"):
        sagd.fit(net(), torch.utils.data.DataLoader(fields(), 8), out=tmp_path, **QUICK)
    assert "the loader has no state_dict: if this run is resumed, its data begins anew" in caplog.text
    with pytest.raises(InputError, match="generator gives no more batches; give one that can be iterated over again"):
        sagd.fit(net(), (x for x in fields(16).split(8)), **QUICK)


def test_networks_that_come_back_by_import_path(tmp_path):
    options = {"width": 6}
    model = sagd.fit(net(**options), fields(), arguments=options, out=tmp_path, **QUICK)
    where = Net.__module__
    with pytest.raises(InputError, match=rf"has a network of its own, '{where}:Net', whose code would be run; allow"):
        sagd.load(tmp_path)
    assert torch.equal(sagd.load(tmp_path, allow=[where]).sample(2, steps=2), model.sample(2, steps=2))
    with pytest.raises(InputError, match=r"tensor 'first.weight' is"):
        sagd.fit(net(width=7), fields(), arguments=options, **QUICK)


def test_an_evaluation_without_labels_or_features():
    x = fields(400)
    model = sagd.fit(net(), x, **QUICK)
    told = model.evaluate(x, count=64, bands=4)
    assert told["n"] == 64
    assert told["features"] == "labelless"
    assert told["figure"]["frechet"] > told["floor"]["frechet"] > 0
    assert told["figure"]["sliced"]["distance"] > told["floor"]["sliced"]["distance"]
    assert len(told["figure"]["spectral"]["error"]) == 4
    # Real data against real data: 64 fields of 64 values, a few tenths of a decibel off.
    assert told["floor"]["spectral"]["rms_db"] < 1.5
    assert json.dumps(told)
    with_features = model.evaluate(x, count=64, features=lambda images: images.flatten(1)[:, :8])
    assert with_features["figure"]["frechet"] > with_features["floor"]["frechet"]
    assert with_features["figure"]["labelless"]["value"] == pytest.approx(told["figure"]["kernel"]["value"], rel=1e-5)


def test_an_evaluation_against_a_loader_reads_it_once():
    """64 fields in batches with labels, which the model is not told: two halves of 32, no field in both."""
    x = fields(64)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, torch.zeros(64, dtype=torch.int64)), 8)
    model = sagd.fit(net(), x, **QUICK)
    told = model.evaluate(loader, count=1000, bands=4)
    assert told["n"] == 32
    assert told["floor"]["spectral"]["rms_db"] > 0.1
    with pytest.raises(InputError, match=r"the model draws fields \(1, 8, 8\), the data holds \(1, 4, 4\)"):
        model.evaluate(fields(shape=(1, 4, 4)))
    with pytest.raises(InputError, match="need at least 4 samples and 8 reference images"):
        model.evaluate(fields(6))


def test_callbacks_see_every_step_and_keep_a_state(tmp_path):
    class Count(Callback):
        def __init__(self):
            self.seen, self.kept = [], 0

        def after(self, fit, step):
            self.seen.append((step.number, step.items, step.last))
            self.kept += 1

        def snapshot(self):
            return {"kept": self.kept}

        def restore(self, state):
            self.kept = state["kept"]

    first = Count()
    sagd.fit(net(), fields(), callbacks=[first], out=tmp_path, **QUICK)
    assert first.seen == [(k, 8, k == 6) for k in range(1, 7)]
    second = Count()
    sagd.fit(net(), fields(), callbacks=[second], out=tmp_path, resume=True, **{**QUICK, "steps": 8})
    assert (second.seen[0][0], second.kept) == (7, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": lambda x, t: x}, "network must be a torch.nn.Module, got function"),
        ({"network": nn.Identity()}, "the network Identity has no weights to train"),
        ({"data": 3}, "data must be a data set with __len__ and __getitem__, a loader or a tensor .*; got int"),
        ({"data": "photos"}, "data must be a data set .*; got str"),
        ({"data": torch.zeros(40, 1, 8, 8, dtype=torch.uint8)}, r"must hold floating-point fields .*; got torch.uint8"),
        ({"data": torch.zeros(40, 8)}, r"must hold fields \(C, \*spatial\), got shape \(8,\)"),
        ({"data": [{"picture": torch.zeros(1, 8, 8)}] * 9}, r"holds \['picture'\], and no fields; name them x, image"),
        ({"data": [(fields()[0], "cat")] * 9}, "condition 'labels' must be a tensor"),
        ({"data": [fields()[0], fields(1, (1, 8, 4))[0]] * 5}, "items of the data do not make a batch"),
        ({"data": fields(5)}, "batch_size is 8 but the data has 5 items; use at most that"),
        ({"process": 3}, "process must be a Process, a Covariance or a spectrum .*, got int"),
        ({"process": SpectralCovariance("flat", (1, 4, 4))}, r"the process is of fields \(1, 4, 4\), the data holds"),
        ({"prediction": "sharpness"}, "unknown prediction 'sharpness'"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"log_every": 0}, "log_every must be at least 1, got 0"),
        ({"resume": True}, "resume=True goes on with the run in a directory; name it as out="),
        ({"precision": "half"}, "precision must be one of auto, no, bf16, fp16; got 'half'"),
        ({"device": "quantum"}, "device 'quantum' is not on this machine"),
        ({"arguments": {"width": torch.nn}}, "arguments of Net must be numbers, texts"),
    ],
)
def test_what_cannot_work_gets_one_line(changes, message):
    given = {"network": net(), "data": fields(), **QUICK, **changes}
    with pytest.raises(InputError, match=message) as error:
        sagd.fit(**given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sagd.train({"steps": 3}, "out"), "config must be a RunConfig, got dict; read a file with"),
        (
            lambda: sagd.train(sagd.build.schema.RunConfig(), "out", data=torch.zeros(9, 1, 8, 8)),
            "data must be Signals, got Tensor; give sagd.fit any other data",
        ),
    ],
)
def test_wrong_types_of_train_get_one_line(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_nothing_is_left_behind_without_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sagd.fit(net(), fields(), **QUICK)
    assert not list(tmp_path.iterdir())


def test_auto_precision_takes_the_faster_one(tmp_path, monkeypatch, caplog):
    with caplog.at_level(logging.INFO, "sagd"):
        sagd.fit(net(), fields(), precision="auto", out=tmp_path, **QUICK)
    chosen = load_checkpoint(list_checkpoints(tmp_path)[-1]).state["fixed"]["precision"]
    assert chosen in ("no", "bf16")
    assert "precision: " in caplog.text
    # The run goes on with what it was started with, whatever is faster now.
    monkeypatch.setattr("sagd.study.run.measured_precision", lambda *_: pytest.fail("measured again"))
    sagd.fit(net(), fields(), precision="auto", out=tmp_path, resume=True, **{**QUICK, "steps": 8})
    state = load_checkpoint(list_checkpoints(tmp_path)[-1])
    fixed = {**state.state["fixed"], "precision": "fp16"}
    save_checkpoint(tmp_path, Snapshot(9, state.tensors, {**state.state, "fixed": fixed, "updates": 9}), 9)
    with pytest.raises(InputError, match=r"precision 'auto' chooses among no, bf16, but the run in .* with 'fp16'"):
        sagd.fit(net(), fields(), precision="auto", out=tmp_path, resume=True, **{**QUICK, "steps": 10})


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self):
        super().__init__()
        self.first, self.last = (nn.Conv2d(1, 1, 3, padding=1) for _ in range(2))
        self.last.weight = self.first.weight

    def forward(self, x, t):
        return self.last(self.first(x).relu())


def test_tied_weights_are_trained_saved_and_read(tmp_path):
    torch.manual_seed(0)
    model = sagd.fit(Tied(), fields(), out=tmp_path, **QUICK)
    again = sagd.load(tmp_path, network=Tied())
    assert torch.equal(again.network.first.weight, again.network.last.weight)
    assert torch.equal(again.sample(2, steps=2), model.sample(2, steps=2))
    sagd.fit(Tied(), fields(), out=tmp_path, resume=True, **{**QUICK, "steps": 8})


class Augmented(Pairs):
    """Fields that are turned and shifted by whatever generator, as augmentations do."""

    def __getitem__(self, i):
        import random

        x = self.x[i].roll(int(torch.randint(8, ())), -1).roll(int(np.random.randint(8)), -2)
        return (x if random.random() < 0.5 else x.flip(-1)), i % 3


def test_messages_speak_python(tmp_path, monkeypatch):
    """No flag of the command line: arguments as `sagd.fit` takes them."""
    with pytest.raises(DivergenceError, match=r"^loss became (nan|inf) at step [0-9]; lower lr or raise warmup_steps$"):
        sagd.fit(net(), fields(), **{**QUICK, "lr": 1e30, "warmup_steps": 0})
    with pytest.raises(CheckpointError, match=r"^nothing to resume in '.*'; start a run there without resume=True$"):
        sagd.fit(net(), fields(), out=tmp_path / "none", resume=True, **QUICK)
    sagd.fit(net(), fields(), out=tmp_path / "run", **QUICK)
    with pytest.raises(InputError, match=r"is not empty; continue that run with resume=True, or choose another out$"):
        sagd.fit(net(), fields(), out=tmp_path / "run", **QUICK)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write in '.*file': .*; choose another out$"):
        sagd.fit(net(), fields(), out=tmp_path / "file", **QUICK)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(InputError, match=r"unset it, and set precision instead$"):
        sagd.fit(net(), fields(), **QUICK)


@pytest.mark.bits
def test_augmented_data_is_resumed_exactly(tmp_path):
    options = {**QUICK, "steps": 9}
    sagd.fit(net(classes=3), Augmented(), out=tmp_path / "whole", **options)
    sagd.fit(net(classes=3), Augmented(), out=tmp_path / "parts", **{**options, "steps": 4})
    torch.manual_seed(9)
    np.random.seed(9)
    sagd.fit(Net(classes=3), Augmented(), out=tmp_path / "parts", resume=True, **options)
    whole, parts = (result(tmp_path / name)[1] for name in ("whole", "parts"))
    assert {name: whole[name] for name in ("weights", "ema")} == {name: parts[name] for name in ("weights", "ema")}


def test_a_number_stands_for_nothing_of_any_shape():
    data = [{"x": x, "image": x} for x in fields()]
    model = sagd.fit(net(shown=1), data, null={"image": 0.0}, **QUICK)
    assert model.sample(2, steps=2, guidance=2.0, condition={"image": fields(2)}).shape == (2, 1, 8, 8)
    assert model.sample(2, steps=2).shape == (2, 1, 8, 8)
    for null, message in (
        ({"image": torch.zeros(3)}, r"null\['image'\] must be a number or of shape \(1, 8, 8\)"),
        ({"picture": 0.0}, "null names 'picture', and the data holds image"),
    ):
        with pytest.raises(InputError, match=message):
            sagd.fit(net(shown=1), data, null=null, **QUICK)


def test_conditions_are_lists_and_arrays_too():
    data = torch.utils.data.TensorDataset(fields(), torch.arange(48) % 3)
    model = sagd.fit(net(classes=3), data, classes=("a", "b", "c"), **QUICK)
    expected = model.sample(3, steps=2, condition=torch.tensor([0, 1, 2]))
    for told in ([0, 1, 2], ["a", "b", 2], {"labels": [0, 1, 2]}, np.array([0, 1, 2]), {"labels": ["a", "b", "c"]}):
        assert torch.equal(model.sample(3, steps=2, condition=told), expected)
    with pytest.raises(InputError, match="the data holds label 2, and classes names 2, from 0 on"):
        sagd.fit(net(classes=3), data, classes=("a", "b"), **QUICK)


def test_a_network_of_another_type_is_sampled_in_that_and_not_trained():
    model = sagd.fit(net(), fields(), **QUICK)
    model.network.double()
    assert model.sample(2, steps=2).dtype == torch.float32
    with pytest.raises(InputError, match=r"weight 'first.weight' of the network is .*; train it in float32"):
        sagd.fit(net().double(), fields(), **QUICK)


def test_a_checkpoint_is_read_as_it_is(tmp_path):
    sagd.fit(net(), fields(), out=tmp_path, **{**QUICK, "checkpoint_every": 3, "keep_checkpoints": 5})
    first, last = list_checkpoints(tmp_path)
    early = sagd.load(first, network=net())
    assert not torch.equal(early.sample(1, steps=2), sagd.load(last, network=net()).sample(1, steps=2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "mse"}, "loss must be a DenoisingLoss, got str"),
        ({"statistics": 3}, "statistics must be a DataStatistics, got int"),
        ({"sampling": "heun"}, "sampling must be a SamplingConfig, got str"),
        ({"callbacks": Callback()}, "callbacks must be a list of sagd.Callback objects"),
        ({"callbacks": [Callback]}, "callbacks must be a list of sagd.Callback objects"),
        ({"lr": "1e-3"}, "lr must be a number, got '1e-3'"),
        ({"steps": 2.5}, r"steps must be a whole number, got 2\.5"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"checkpoint_every": 0, "out": "nowhere"}, "checkpoint_every must be at least 1, got 0"),
        ({"data": fields()[:0]}, "the data holds no items"),
        (
            {"data": [{"x": x} | ({"y": 1} if k > 8 else {}) for k, x in enumerate(fields())]},
            "items of the data do not make a batch",
        ),
    ],
)
def test_wrong_kinds_get_one_line(changes, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"network": net(), "data": fields(), **QUICK, **changes}
    with pytest.raises(InputError, match=message) as error:
        sagd.fit(**given)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda noise: noise.sample(0), "a batch has whole numbers of at least 1, got 0"),
        (lambda noise: noise.sample(1.5), r"a batch has whole numbers of at least 1, got 1\.5"),
        (lambda noise: noise.sample_like(np.zeros((1, 1, 8, 8))), r"a field must be a torch\.Tensor, got ndarray"),
        (lambda noise: noise.sample(2, generator=3), r"generator must be a torch\.Generator or a Stream, got int"),
        (
            lambda noise: SpectralCovariance("flat", 32),
            r"shape must be \(channels, \*spatial\) with positive sides, got 32",
        ),
        (lambda noise: sagd.ForwardProcess("vp", "flat"), "a process needs the Covariance of its noise, got 'flat'"),
        (lambda noise: sagd.NetworkDenoiser(net(), noise), "process must be a Process, got SpectralCovariance"),
    ],
)
def test_wrong_kinds_in_ones_own_loop_get_one_line(call, message):
    with pytest.raises(InputError, match=message):
        call(SpectralCovariance("flat", (1, 8, 8)))


@pytest.mark.parametrize("takes", [True, False])
def test_missing_values_are_neither_measured_nor_learnt(takes):
    """Whatever they hold; a network is told where they are if it has an argument for that."""
    shown = []

    class Masked(Net):
        def forward(self, x, t, mask):
            shown.append(mask)
            return super().forward(x, t)

    x, valid = fields(), torch.rand(48, 1, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.7
    x = torch.where(valid, x, torch.nan)
    items = [(one, {"mask": mask}) for one, mask in zip(x, valid, strict=True)]
    torch.manual_seed(0)
    model = sagd.fit(Masked() if takes else Net(), items, steps=3, batch_size=8)
    expected = sagd.measure(x, mask=valid)
    torch.testing.assert_close(model.statistics.spectrum, expected.spectrum)
    assert bool(shown) == takes
    told = {"mask": torch.ones(2, 1, 8, 8)} if takes else None
    assert torch.isfinite(model.sample(2, condition=told, steps=2)).all()


def test_data_of_files_and_values_in_their_unit(tmp_path):
    """Records of two lengths, the shorter padded: what models see, and what comes back."""
    for i in range(12):
        wave = 300 * np.sin(np.arange(64 - 16 * (i % 2)) / (3 + i % 5)) + 5
        np.save(tmp_path / f"{i}.npy", wave)
    data = sagd.read(tmp_path, kind="series", size=64, rate=100.0)
    assert (len(data), data.shape, data.gaps) == (12, (1, 64), True)
    model = sagd.fit(net(rank=1), data, "band_pass(low='5 Hz', high='40 Hz', outside=0.3)", **QUICK)
    assert model.meaning == data.meaning
    assert "Hz" in json.dumps(model.process.to_dict())
    x = model.sample(3)
    assert torch.allclose(
        model.meaning.to_values(x).float(), x * data.meaning.scale[0] + data.meaning.offset[0], atol=1e-2
    )
    assert model.evaluate(data, count=6)["n"] == 6
    model.save(tmp_path / "model")
    assert sagd.load(tmp_path / "model", network=net(rank=1)).meaning == data.meaning
    with pytest.raises(InputError, match=r"unknown key 'sizes'; did you mean 'size'"):
        sagd.read(tmp_path, sizes=64)


def test_labels_of_files_reach_networks_that_take_them(tmp_path):
    for i in range(12):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        np.save(tmp_path / "ab"[i % 2] / f"{i}.npy", np.random.default_rng(i).normal(size=32))
    data = sagd.read(tmp_path)
    assert data.classes == ("a", "b")
    model = sagd.fit(net(rank=1, classes=2), data, **QUICK)
    assert model.classes == ("a", "b")
    assert model.sample(2, condition=["a", "b"]).shape == (2, 1, 32)


def test_a_network_for_other_data_gets_one_line():
    with pytest.raises(InputError, match=r"the network fails on items of shape \(1, 8, 8\): .*; give one of 1 channel"):
        sagd.fit(Net(channels=3), fields(), steps=1, batch_size=4, device="cpu")


class Normed(nn.Module):
    """Batch statistics of one item alone cannot be taken."""

    def __init__(self):
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(1), nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x, t):
        return self.last(x) * self.norm(x.mean((2, 3)))[..., None, None]


@pytest.mark.parametrize("error", [RuntimeError("mine"), TypeError("mine")])
def test_errors_of_callbacks_are_as_they_are(error):
    class Fails(Callback):
        def after(self, fit, step):
            raise error

    with pytest.raises(type(error), match=r"^mine$"):
        sagd.fit(Normed(), fields(), callbacks=[Fails()], **QUICK)
    with pytest.raises(type(error), match=r"^mine$"):
        sagd.fit(net(), fields(), callbacks=[Fails()], **QUICK)


def test_errors_of_networks_that_fit_are_as_they_are():
    with pytest.raises(RuntimeError, match=r"^late$"):
        sagd.fit(Late(), fields(), **QUICK)


class Late(Normed):
    """Fails while it is trained alone."""

    def forward(self, x, t):
        if self.training:
            raise RuntimeError("late")
        return super().forward(x, t)


def test_models_with_a_network_of_a_plug_in_are_loaded_and_sampled(tmp_path, monkeypatch):
    (tmp_path / "plug_nets.py").write_text(
        "import torch\n\nclass Mine(torch.nn.Conv2d):\n"
        "    def forward(self, x, t):\n        return super().forward(x)\n"
    )
    sagd.plugins.load_plugin(str(tmp_path / "plug_nets.py"))
    made = {"in_channels": 1, "out_channels": 1, "kernel_size": 1}
    import plug_nets

    sagd.fit(
        plug_nets.Mine(**made), fields(), out=tmp_path / "run", steps=1, batch_size=4, device="cpu", arguments=made
    )
    monkeypatch.setattr("sagd.plugins._named", set())
    with pytest.raises(InputError, match=r"allow that with --plugin plug_nets \(in Python, allow=\['plug_nets'\]\)"):
        sagd.load(tmp_path / "run")
    options = ["--steps", "2", "--count", "2", "--plugin", str(tmp_path / "plug_nets.py")]
    assert main(["sample", str(tmp_path / "run"), "--out", str(tmp_path / "drawn"), *options]) == 0


def test_maps_are_learnt_by_the_areas_of_their_cells():
    latitudes = Coordinates((75.0, 30.0, -10.0, -80.0), "degrees_north")
    meaning = Meaning("field", "YX", (0.0,), (1.0,), dtype="float32", limits=None, coordinates={"Y": latitudes})
    stored = torch.randn(12, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    plain, areas = (Signals("maps", stored, meaning=replace(meaning, by_area=told)) for told in (False, True))

    def trained(data, **options):
        return sagd.fit(net(), data, **{**QUICK, **options})

    def weights(model):
        return torch.cat([p.flatten() for p in model.trained.plain.module.parameters()])

    model = trained(areas)
    W = areas.meaning.weight_field((1, 4, 8))
    given = DenoisingLoss(MatchedTime().resolve(model.process, model.statistics), weight_field=W)
    assert torch.equal(weights(model), weights(trained(plain, loss=given)))
    assert not torch.equal(weights(model), weights(trained(plain)))
