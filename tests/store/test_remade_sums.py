"""Files whose checksums were made anew over other content: nothing in them is believed without proof.

A checksum tells accidents apart from content, not other content: whatever a model or checkpoint directory holds, it is
read, or refused in one line that names the file, and never ends in a traceback.
"""

import copy
import dataclasses
import hashlib
import json
import random
import shutil

import pytest
import safetensors
import safetensors.torch
import torch

import sagd
from sagd.build.schema import OmissionConfig, ProcessConfig
from sagd.cli.program import main
from sagd.errors import CheckpointError, InputError
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.statistics import DataStatistics, measure
from sagd.store.model import save_model
from sagd.study.train import prepare, train

FAR = "q" * 10_000
DEEP = "[" * 50_000 + "]" * 50_000
OTHERS = (None, True, 0, -1, 1.5, 1e308, float("nan"), float("inf"), 10**30, "", "abc", FAR, "../../x", [], [1], [[]])
OTHERS += ({}, {"kind": "flat"}, {"kind": 3}, [-1, -1, -1], [1, 8, 8], ["a", "b", "c"], [FAR], {FAR: FAR}, "two\nlines")


@pytest.fixture(scope="module")
def settings(data):
    """A run of two steps that fills a band, so that there is a calibration."""
    sections = {
        "process": ProcessConfig("cosine", "power_law(alpha=-0.25)", omission=OmissionConfig("fill", "ring(low=0.7)")),
        "network": sagd.networks.config.NetworkConfig(widths=(4, 8), conditional=True),
        "denoiser": sagd.build.schema.DenoiserConfig(prediction="v"),
        "training": sagd.build.schema.TrainingConfig(
            steps=2, batch_size=4, sample_every=0, device="cpu", precision="no"
        ),
        "sampling": sagd.build.schema.SamplingConfig(steps=2),
    }
    return sagd.build.schema.RunConfig(**sections)


@pytest.fixture(scope="module")
def finished(settings, data, tmp_path_factory):
    """The directory of that run, whose model can be sampled."""
    out = tmp_path_factory.mktemp("run") / "run"
    train(settings, out, data=data)
    assert main(["sample", str(out), "--count", "1", "--out", str(out.parent / "samples")]) == 0
    return out


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the run, to damage."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def model(run):
    return run / "model"


@pytest.fixture
def checkpoint(run):
    return run / "checkpoints" / "step-00000002"


def remake(folder):
    """The manifest that fits what is there."""
    files = [path for path in folder.iterdir() if path.name != "manifest.json"]
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "sha256": sums}))


def about_run(message, run):
    """Whether an error is one short line on a run directory, or something in it."""
    assert "\n" not in message
    assert len(message) < 450 + len(str(run))
    assert str(run) in message


def one_line(message, path):
    """Whether an error is one short line that names the file."""
    about_run(message, path.parent)
    assert path.name in message


def assert_refused(model, name, capfd):
    """Whether neither the library nor the command line reads a model, and both say that it is because of a file."""
    remake(model)
    with pytest.raises(InputError) as error:
        sagd.load(model)
    one_line(str(error.value), model / name)
    capfd.readouterr()
    assert main(["sample", str(model), "--count", "1", "--out", str(model.parent / "samples")]) == 2
    out, err = capfd.readouterr()
    assert (out, err) == ("", f"sagd: {error.value}\n")


DTYPES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.complex64: "C64",
}


def rewrite(path, change):
    """Apply `change(tensors, metadata)` to a safetensors file; it returns both, or changes them in place."""
    with safetensors.safe_open(path, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    changed = change(tensors, metadata)
    tensors, metadata = changed if changed is not None else (tensors, metadata)
    path.write_bytes(serialized(tensors, metadata))


def serialized(tensors, metadata):
    """A safetensors file, written by hand: versions below 0.7 write no complex numbers."""
    header, data = {} if metadata is None else {"__metadata__": metadata}, b""
    for name, tensor in tensors.items():
        part = tensor.flatten().view(torch.uint8).numpy().tobytes()
        offsets = [len(data), len(data) + len(part)]
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        data += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def first(change):
    """`change` of the first tensor that is a matrix or larger, as a change of all."""

    def changed(tensors, _):
        name = next(name for name, tensor in sorted(tensors.items()) if tensor.ndim >= 2)
        tensors[name] = change(tensors[name].clone())

    return changed


def spoilt(value):
    def change(tensor):
        tensor.view(-1)[-1] = value
        return tensor

    return first(change)


def drop(tensors, _):
    del tensors[min(tensors)]


def rename(tensors, _):
    tensors["x" * 5000] = tensors.pop(min(tensors))


BYTES = {
    "empty": b"",
    "random": random.Random(0).randbytes(3000),
    "pickle": b"\x80\x04\x95\x00",
    "header beyond the file": b"\xff" * 7 + b"\x7f" + b"{}" * 50,
    "header not JSON": (20).to_bytes(8, "little") + b"x" * 20,
    "header of another kind": (2).to_bytes(8, "little") + b"[]",
    "type unknown": (63).to_bytes(8, "little")
    + b'{"x":{"dtype":"Q9","shape":[2],"data_offsets":[0,2]}}          '
    + b"00",
    "nothing in it": safetensors.torch.save({}),
    "other names": safetensors.torch.save({"x": torch.zeros(3)}),
}
TENSORS = {
    "one missing": drop,
    "one renamed": rename,
    "one more": lambda tensors, _: tensors.update(more=torch.zeros(2)),
    "other shape": first(lambda tensor: tensor[..., :-1]),
    "same size, other shape": first(lambda tensor: tensor.flatten()),
    "int64": first(torch.Tensor.long),
    "float16": first(torch.Tensor.half),
    "bool": first(torch.Tensor.bool),
    "complex": first(lambda tensor: tensor.to(torch.complex64)),
    "NaN": spoilt(torch.nan),
    "infinity": spoilt(-torch.inf),
}
WEIGHTS = TENSORS | {
    "float64": first(torch.Tensor.double),
    "no metadata": lambda tensors, _: (tensors, None),
    "empty metadata": lambda tensors, _: (tensors, {}),
    "metadata not JSON": lambda tensors, metadata: (tensors, dict.fromkeys(metadata, "[" * 50_000)),
    "metadata of another kind": lambda tensors, metadata: (tensors, dict.fromkeys(metadata, "[1]")),
    "metadata empty within": lambda tensors, metadata: (tensors, dict.fromkeys(metadata, "{}")),
    "metadata of version 0.1": lambda tensors, _: (tensors, {"process": "0" * 64}),
}
STATISTICS = TENSORS | {
    "float32": first(torch.Tensor.float),
    "scaled": first(lambda tensor: 1.5 * tensor),
    "negative": lambda tensors, metadata: (tensors | {"spectrum": -tensors["spectrum"]}, metadata),
    "no metadata": lambda tensors, _: (tensors, None),
    "other metadata": lambda tensors, metadata: (tensors, dict.fromkeys(metadata, "[1]")),
    "metadata of version 0.1": lambda tensors, _: (tensors, {"count": "40", "basis": '{"kind": "fourier"}'}),
}


@pytest.mark.parametrize("content", BYTES.values(), ids=BYTES.keys())
@pytest.mark.parametrize("name", ["model.safetensors", "moments.safetensors", "model.json"])
def test_other_bytes_are_refused(model, name, content, capfd):
    (model / name).write_bytes(content)
    assert_refused(model, name, capfd)


@pytest.mark.parametrize("change", WEIGHTS.values(), ids=WEIGHTS.keys())
def test_other_weights_are_refused(model, change, capfd):
    rewrite(model / "model.safetensors", change)
    assert_refused(model, "model.safetensors", capfd)


@pytest.mark.parametrize("change", STATISTICS.values(), ids=STATISTICS.keys())
def test_other_statistics_are_refused(model, change, capfd):
    rewrite(model / "moments.safetensors", change)
    assert_refused(model, "moments.safetensors", capfd)


def test_weights_of_another_model_are_refused(model, settings, data, tmp_path, capfd):
    other = dataclasses.replace(settings, denoiser=dataclasses.replace(settings.denoiser, prediction="x0"))
    shutil.copy(train(other, tmp_path / "other", data=data) / "model.safetensors", model)
    assert_refused(model, "model.json", capfd)


def test_equal_runs_write_equal_models(settings, data, tmp_path):
    """Nothing in a file is in an order that differs from run to run."""
    one, two = (train(settings, tmp_path / name, data=data) for name in ("one", "two"))
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"', "{}", "NaN", DEEP, "9" * 5000, '{"config": {}}', "[" * 200])
def test_a_configuration_of_another_form_is_refused(model, text, capfd):
    (model / "model.json").write_text(text)
    assert_refused(model, "model.json", capfd)


@pytest.mark.parametrize(
    "text", ["[]", "3", "{}", DEEP, '{"format": 1, "sha256": []}', '{"format": 1, "sha256": {"a\\u0000b": "x"}}']
)
def test_a_manifest_of_another_form_is_refused(run, text):
    for folder in (run / "model", run / "checkpoints" / "step-00000002"):
        (folder / "manifest.json").write_text(text)
    with pytest.raises(InputError) as error:
        sagd.load(run / "model")
    one_line(str(error.value), run / "model" / "manifest.json")


def edit(path, keys, value):
    """Set one entry of a JSON file."""
    described = json.loads(path.read_text())
    target = described
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    path.write_text(json.dumps(described, indent=2))


DECIDES = {
    "prediction.kind": "x0",
    "bands": "random",
    "names": ["labels", "image"],
    "network.built.dropout": 0.5,
    "network.built.blocks": 2,
    "sampling.sampler": "euler",
    "sampling.steps": 3,
    "sampling.grid": "uniform",
    "sampling.clip": 0.1,
    "sampling.guidance": 3.0,
    "omission.mode": "project",
    "omission.band": "ring(low=0.6)",
    "omission.floor": 2.0,
    "process.schedule.beta_max": 3.0,
    "process.unseen": {"kind": "flat"},
    "data.classes": ["c", "b", "a"],
    "data.meaning": None,
    "data.meaning.scale": [2.0],
    "data.meaning.kind": "field",
    "data.shape": [1, 16, 16],
}
"""What decides the samples, and another value that could be one."""


@pytest.mark.parametrize("where", DECIDES)
def test_what_decides_the_samples_cannot_be_edited(model, where, capfd):
    edit(model / "model.json", where.split("."), DECIDES[where])
    assert_refused(model, "model.json", capfd)


@pytest.mark.parametrize("where", DECIDES)
def test_the_part_that_was_edited_is_named(model, where):
    edit(model / "model.json", where.split("."), DECIDES[where])
    remake(model)
    with pytest.raises(InputError, match=where.partition(".")[0]):
        sagd.load(model)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("scale", [0.0], "scale must be positive, one for each offset, got"),
        ("scale", [1.0, 2.0], "scale must be positive, one for each offset, got"),
        ("axes", "Q", "axes must be one to three of T, Z, Y, X, got 'Q'"),
        ("axes", "T", "data.meaning is of axes T, data.shape of"),
        ("dtype", "object", "dtype must be one of numbers, got 'object'"),
        ("steps", {"X": {"size": "wide", "unit": "mm"}}, "size must be a number, got 'wide'"),
    ],
)
def test_what_values_mean_is_checked(model, part, value, message):
    edit(model / "model.json", ["data", "meaning", part], value)
    remake(model)
    with pytest.raises(CheckpointError, match=message):
        sagd.load(model)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("configuration.data.source", "elsewhere/digits"),
        ("configuration.training.steps", 7),
        ("configuration.training.init", "another/run"),
        ("versions.python", "3.99"),
    ],
)
def test_where_the_model_came_from_may_be_edited(model, finished, where, value):
    edit(model / "model.json", where.split("."), value)
    remake(model)
    edited, before = sagd.load(model), sagd.load(finished)
    assert (edited.process, edited.classes) == (before.process, before.classes)
    assert edited.trained.plain.parameterisation == before.trained.plain.parameterisation


def test_statistics_of_other_data_are_refused(model, settings, data, tmp_path):
    """They start sampling, and set the preconditioning: the weights know their own."""
    own = sagd.load(model).trained
    save_model(tmp_path / "other", dataclasses.replace(own, statistics=measure(0.5 * data.tensor())))
    shutil.copy(tmp_path / "other" / "moments.safetensors", model)
    remake(model)
    with pytest.raises(CheckpointError, match=r"moments.safetensors' .*trained with"):
        sagd.load(model)


def moments(data, **changes):
    """Statistics of the data with other parts, unchecked."""
    own = measure(data.tensor())
    return DataStatistics(**{name: changes.get(name, getattr(own, name)) for name in vars(own)})


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": torch.full((1, 8, 8), torch.nan, dtype=torch.float64)},
        {"mean": torch.zeros(1, 8, 4, dtype=torch.float64)},
        {"mean": torch.zeros(1, 8, 8, dtype=torch.int64)},
        {"spectrum": torch.full((1, 8, 5), -1.0, dtype=torch.float64)},
        {"spectrum": torch.full((1, 8, 5), torch.inf, dtype=torch.float64)},
        {"spectrum": torch.ones(1, 8, 8, dtype=torch.float64)},
        {"spectrum": torch.ones(5, dtype=torch.float64)},
        {"count": -3},
        {"count": "many"},
        {"basis": CosineBasis((8, 8))},
        {"basis": sagd.FourierBasis((8, 4))},
    ],
    ids=repr,
)
def test_statistics_that_are_none_are_not_saved_or_not_read(tmp_path, settings, data, changes):
    path, model = tmp_path / "model", prepare(settings, data).model
    with pytest.raises(InputError) as error:
        sagd.load(save_model(path, dataclasses.replace(model, statistics=moments(data, **changes))))
    one_line(str(error.value), path / "moments.safetensors")


@pytest.mark.parametrize(
    "calibration", [torch.full((8, 5), torch.nan), torch.ones(3), torch.ones(8, 5).long(), torch.full((8, 5), -1e9)]
)
def test_a_calibration_that_is_none_is_not_saved_or_not_read(tmp_path, settings, data, calibration):
    model = dataclasses.replace(prepare(settings, data).model, calibration=calibration)
    with pytest.raises(InputError) as error:
        sagd.load(save_model(tmp_path / "model", model))
    one_line(str(error.value), tmp_path / "model" / "moments.safetensors")


@pytest.mark.parametrize(
    "unexplained", [torch.full((1, 8, 5), -1.0), torch.ones(8, 5), torch.full((1, 8, 5), torch.inf)]
)
def test_a_variance_that_is_none_is_not_saved_or_not_read(tmp_path, settings, data, unexplained):
    share = torch.ones(8, 5, dtype=torch.float64)
    model = dataclasses.replace(prepare(settings, data).model, calibration=share, unexplained=unexplained.double())
    with pytest.raises(InputError) as error:
        sagd.load(save_model(tmp_path / "model", model))
    one_line(str(error.value), tmp_path / "model" / "moments.safetensors")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_not_read(tmp_path, settings, data, value):
    model = prepare(settings, data).model
    torch.nn.init.constant_(model.plain.module.network.conv_out.bias, value)
    with pytest.raises(CheckpointError, match=r"model.safetensors'.*'network.conv_out.bias'"):
        sagd.load(save_model(tmp_path / "model", model))


def leaves(value, path=()):
    """Paths of all entries of nested JSON, those of containers included."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from leaves(inner, (*path, key))


def mutations(described, count, seed):
    """Seeded changes of one entry: another value, or none at all; each as path and changed whole."""
    rng = random.Random(seed)
    paths = [path for path in leaves(described) if path]
    for _ in range(count):
        path, value = rng.choice(paths), rng.choice([*OTHERS, "delete"])
        changed = copy.deepcopy(described)
        target = changed
        for key in path[:-1]:
            target = target[key]
        if value == "delete":
            del target[path[-1]]
        else:
            target[path[-1]] = value
        yield path, changed


def provenance(path):
    """Whether an entry of model.json only tells where a model came from, or what was thought of it."""
    return path[0] in ("versions", "configuration", "doubt")


def test_any_entry_of_a_configuration_is_as_it_was_or_refused(model):
    config = model / "model.json"
    described = json.loads(config.read_text())
    before = sagd.load(model)
    for path, changed in mutations(described, 500, seed=1):
        config.write_text(json.dumps(changed))
        remake(model)
        try:
            loaded = sagd.load(model)
        except InputError as error:
            one_line(str(error), config)
        else:
            assert provenance(path) or json.dumps(changed, sort_keys=True) == json.dumps(described, sort_keys=True), (
                path
            )
            assert loaded.process == before.process


STATE = {
    "no step": ("step", "delete"),
    "step of another kind": ("step", "2"),
    "step true": ("step", True),
    "step below none": ("step", -2),
    "step of another checkpoint": ("step", 1),
    "no updates": ("updates", "delete"),
    "updates of another kind": ("updates", "x"),
    "updates below none": ("updates", -5),
    "updates fewer than the steps": ("updates", 0),
    "updates beyond the steps": ("updates", 10**30),
    "no callbacks": ("callbacks", "delete"),
    "callbacks of another kind": ("callbacks", [FAR]),
    "losses null": ("callbacks", {"Metrics": {"losses": None}}),
    "losses of another kind": ("callbacks", {"Metrics": {"losses": ["x", FAR]}}),
    "losses nested": ("callbacks", {"Metrics": {"losses": [[0.5]]}}),
    "losses NaN": ("callbacks", {"Metrics": {"losses": [float("nan")]}}),
    "losses too large": ("callbacks", {"Metrics": {"losses": [1e308, 1e308, 1e308]}}),
    "seconds of another kind": ("callbacks", {"Metrics": {"seconds": {}}}),
    "seconds infinite": ("callbacks", {"Metrics": {"seconds": float("inf")}}),
    "waiting of another kind": ("callbacks", {"Metrics": {"waited": "long"}}),
    "processes of another kind": ("processes", "two"),
    "no scaler": ("scaler", "delete"),
    "scaler of another kind": ("scaler", 3),
    "nothing fixed": ("fixed", "delete"),
    "other things fixed": ("fixed", {"data": [FAR]}),
    "fixed of another kind": ("fixed", [FAR]),
    "no model": ("model", "delete"),
    "model of another kind": ("model", 3),
    "model empty": ("model", {"described": {}, "measured": {}}),
    "model of another process": ("model", {"described": {"process": {"kind": FAR}}, "measured": {}}),
}


def longer(settings, steps):
    return dataclasses.replace(settings, training=dataclasses.replace(settings.training, steps=steps))


@pytest.fixture
def resumed(run, settings, data, capfd):
    """`resumed(name)`: whether the run is not resumed, because of a file of its checkpoint, and stays as it is."""
    config = longer(settings, 4)

    def content():
        return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}

    def refuse(name):
        folder = run / "checkpoints" / "step-00000002"
        if name is not None:
            remake(folder)
        before = content()
        with pytest.raises(InputError) as error:
            train(config, run, resume=True, data=data)
        about_run(str(error.value), run)
        assert content() == before
        return str(error.value)

    return refuse


@pytest.mark.parametrize("content", BYTES.values(), ids=BYTES.keys())
@pytest.mark.parametrize("name", ["weights", "ema", "optimizer"])
def test_checkpoints_of_other_bytes_are_refused(checkpoint, resumed, name, content):
    (checkpoint / f"{name}.safetensors").write_bytes(content)
    assert f"{name}.safetensors" in resumed(name)


@pytest.mark.parametrize("change", [*TENSORS.values(), first(torch.Tensor.double)], ids=[*TENSORS, "float64"])
@pytest.mark.parametrize("name", ["weights", "ema", "optimizer"])
def test_checkpoints_of_other_tensors_are_refused(checkpoint, resumed, name, change):
    rewrite(checkpoint / f"{name}.safetensors", change)
    assert f"{name}.safetensors" in resumed(name)


def negative(moment):
    def change(tensors, _):
        for name, tensor in tensors.items():
            if name.endswith(moment):
                tensors[name] = -tensor - 1

    return change


@pytest.mark.parametrize("moment", ["exp_avg_sq", "step"])
def test_moments_below_zero_are_refused(checkpoint, resumed, moment):
    rewrite(checkpoint / "optimizer.safetensors", negative(moment))
    assert "optimizer.safetensors" in resumed("optimizer")


@pytest.mark.parametrize("name", ["weights.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"])
def test_checkpoints_that_lack_a_file_are_refused(checkpoint, resumed, name):
    (checkpoint / name).unlink()
    if name == "state.json":
        with pytest.warns(UserWarning, match="passed over"):
            resumed(name)
    else:
        assert name in resumed(name)


@pytest.mark.parametrize(("key", "value"), STATE.values(), ids=STATE.keys())
def test_states_with_other_values_are_refused(checkpoint, resumed, key, value):
    state = json.loads((checkpoint / "state.json").read_text())
    if value == "delete":
        del state[key]
    else:
        state[key] = value
    (checkpoint / "state.json").write_text(json.dumps(state))
    resumed("state.json")


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "{}", DEEP, "\udcff", '{"step": 2}'])
def test_states_of_another_form_are_refused(checkpoint, resumed, text):
    (checkpoint / "state.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    resumed("state.json")


@pytest.mark.parametrize("text", ["[]", DEEP, '{"format": 1, "sha256": {"a\\u0000b": "x"}}', '{"sha256": {}}'])
def test_manifests_of_another_form_are_passed_over(checkpoint, resumed, text):
    (checkpoint / "manifest.json").write_text(text)
    with pytest.warns(UserWarning, match="step-00000002 is passed over"):
        resumed(None)


def test_files_that_are_no_tensors_are_refused_in_a_checkpoint(checkpoint, resumed):
    (checkpoint / "notes.txt").write_text("x")
    resumed("notes.txt")


@pytest.mark.parametrize("line", [b"[1]", b"3", b'{"step": "x"}', b'{"step": null}', b"\xff\xfe", b"[" * 50_000, b"{}"])
def test_lines_that_are_no_metrics_are_cut_off(run, settings, data, line):
    log = run / "metrics.jsonl"
    with log.open("ab") as file:
        file.write(line + b"\n")
    train(longer(settings, 4), run, resume=True, data=data)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [2, 4]


def test_any_entry_of_a_state_is_refused_or_goes_on(finished, settings, data, tmp_path):
    config = longer(settings, 3)
    state = json.loads((finished / "checkpoints" / "step-00000002" / "state.json").read_text())
    for number, (_, changed) in enumerate(mutations(state, 30, seed=2)):
        run = shutil.copytree(finished, tmp_path / str(number))
        folder = run / "checkpoints" / "step-00000002"
        (folder / "state.json").write_text(json.dumps(changed))
        remake(folder)
        try:
            train(config, run, resume=True, data=data)
        except InputError as error:
            about_run(str(error), run)
