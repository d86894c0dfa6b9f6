import dataclasses
import hashlib
import json
import stat

import pytest
import torch

from sagd.build.objects import build_process
from sagd.build.schema import ProcessConfig, RunConfig
from sagd.errors import CheckpointError, InputError, ProcessMismatchError
from sagd.model.denoiser import NetworkDenoiser
from sagd.noise.scales import OCTAVES, POWERS, Scales
from sagd.noise.statistics import measure, measure_with_scales
from sagd.store.model import load_model, reference_of, save_model
from sagd.study.train import prepare

SHAPE = (1, 8, 8)


@pytest.fixture
def saved(tmp_path, config, change, data):
    """A run directory with a model of conditional, tilted noise, and the network that is in it."""
    config = change(config, "process", spectrum="power_law(alpha=-0.25)", schedule="cosine")
    model = prepare(change(config, "training", seed=3), data).model
    return save_model(tmp_path / "run" / "model", model), model.plain.module


def edit(path, change_it, refresh_manifest=False):
    """Change model.json as an editor would, or as somebody would who knows of the manifest."""
    described = json.loads(path.joinpath("model.json").read_text())
    change_it(described)
    path.joinpath("model.json").write_text(json.dumps(described, indent=2))
    if refresh_manifest:
        manifest = json.loads(path.joinpath("manifest.json").read_text())
        manifest["sha256"]["model.json"] = hashlib.sha256(path.joinpath("model.json").read_bytes()).hexdigest()
        path.joinpath("manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("levels", [0, 1])
def test_round_trip_from_the_model_or_the_run_directory(saved, data, config, levels):
    path, network = saved
    model = load_model(path.parent if levels else path)
    assert model.process == build_process(ProcessConfig("cosine", "power_law(alpha=-0.25)"), SHAPE)
    assert model.denoiser.process is model.process
    assert model.network == model.config.network == config.network
    assert model.config.training == dataclasses.replace(config.training, seed=3)
    assert model.classes == ("a", "b", "c")
    x = data.tensor()
    assert model.statistics.count == len(data)
    assert torch.equal(model.statistics.mean, measure(x).mean)
    assert torch.equal(model.statistics.spectrum, measure(x).spectrum)
    # The spread about the mean image is estimated with N - 1 = 39 in place of 40: at most a factor sqrt(40/39).
    assert 1 <= model.statistics.std / float(x.double().std(correction=0)) <= (40 / 39) ** 0.5
    restored = model.plain.module
    assert not restored.training
    t, labels = torch.full((4,), 0.3), torch.tensor([0, 1, 2, 3])
    with torch.no_grad():
        expected = network.eval()(x[:4], model.process.schedule.timestep(t), labels=labels)
        assert torch.equal(restored(x[:4], model.process.schedule.timestep(t), labels=labels), expected)


def test_the_law_of_unequal_items_comes_back(saved, data, tmp_path):
    """Models of before have none."""
    model = load_model(saved[0])
    assert model.statistics.scales is None
    loud = data.tensor() * torch.logspace(-3, 1, len(data))[:, None, None, None]
    scales = measure_with_scales(loud).scales
    known = dataclasses.replace(model, statistics=dataclasses.replace(model.statistics, scales=scales))
    found = load_model(save_model(tmp_path / "unequal", known)).statistics.scales
    for name, value in vars(scales).items():
        assert torch.equal(getattr(found, name), value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"evidence": torch.ones(3, dtype=torch.float64)},
        {"powers": -torch.ones(OCTAVES, POWERS, dtype=torch.float64)},
        {"weights": torch.full((OCTAVES, POWERS), torch.nan, dtype=torch.float64)},
    ],
)
def test_a_law_of_items_that_is_none_is_refused(saved, tmp_path, wrong):
    law = {name: torch.ones(size, dtype=torch.float64) for name, size in Scales.shapes().items()}
    scales = Scales(**{**law, **wrong})
    model = load_model(saved[0])
    known = dataclasses.replace(model, statistics=dataclasses.replace(model.statistics, scales=scales))
    with pytest.raises(InputError, match=r"moments.safetensors"):
        load_model(save_model(tmp_path / "wrong", known))


def test_it_holds_configuration_versions_and_no_pickle(saved):
    path, _ = saved
    assert {p.name for p in path.iterdir()} == {
        "model.json",
        "model.safetensors",
        "moments.safetensors",
        "manifest.json",
    }
    described = json.loads((path / "model.json").read_text())
    assert described["process"]["covariance"]["spectrum"] == {"kind": "power_law", "alpha": -0.25, "epsilon": None}
    assert described["data"].keys() == {"shape", "meaning", "classes"}
    assert (described["data"]["shape"], described["data"]["classes"]) == ([1, 8, 8], ["a", "b", "c"])
    assert described["data"]["meaning"]["kind"] == "image"
    assert described["versions"].keys() >= {"sagd", "torch", "diffusers", "python"}
    assert all(p.stat().st_mode & stat.S_IROTH for p in path.iterdir())


def test_unconditional_models_have_no_classes(tmp_path, data, change, config):
    config = change(config, "network", conditional=False)
    model = load_model(save_model(tmp_path / "model", prepare(config, data).model))
    assert model.classes is None
    with pytest.raises(ValueError, match=r"guidance 2\.0 needs a conditional model"):
        model.guided(2.0)


def test_another_process_than_the_trained_one_is_refused(saved):
    path, _ = saved
    load_model(path, process=build_process(ProcessConfig("cosine", "power_law(alpha=-0.25)"), SHAPE))
    for schedule, spectrum in [
        ("vp", "power_law(alpha=-0.25)"),
        ("cosine", "power_law(alpha=0.25)"),
        ("cosine", "flat"),
    ]:
        with pytest.raises(
            ProcessMismatchError, match=r"trained with schedule cosine and power_law\(alpha=-0.25\) noise"
        ):
            load_model(path, process=build_process(ProcessConfig(schedule, spectrum), SHAPE))


def recolour(described):
    described["process"]["covariance"]["spectrum"]["alpha"] = 0.5


def reschedule(described):
    described["process"]["schedule"] = {"kind": "vp"}


def recalibrate(described):
    described["process"]["covariance"]["calibration"] = "none"


def reshape(described):
    described["data"]["shape"] = [1, 16, 16]


@pytest.mark.parametrize("refresh_manifest", [False, True])
@pytest.mark.parametrize("edited", [recolour, reschedule, recalibrate, reshape])
def test_a_configuration_edited_to_another_process_is_refused(saved, edited, refresh_manifest):
    path, _ = saved
    edit(path, edited, refresh_manifest)
    with pytest.raises(
        ProcessMismatchError, match=r"model.json' was changed in .*not what its weights were trained with"
    ):
        load_model(path)


def test_any_other_edit_is_damage(saved):
    path, _ = saved
    edit(path, lambda described: described["prediction"].update(kind="v"))
    with pytest.raises(CheckpointError, match=r"model.json' is damaged"):
        load_model(path)


def test_a_configuration_that_describes_nothing_is_refused(saved):
    path, _ = saved
    edit(path, lambda described: described["omission"].update(mde="fill"), refresh_manifest=True)
    with pytest.raises(CheckpointError, match=r"does not describe a model: unknown key 'omission.mde'"):
        load_model(path)


@pytest.mark.parametrize("name", ["model.safetensors", "moments.safetensors"])
def test_damaged_or_missing_tensors_are_named(saved, name):
    path, _ = saved
    content = bytearray((path / name).read_bytes())
    content[-1] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name}' is damaged"):
        load_model(path)
    (path / name).unlink()
    with pytest.raises(CheckpointError, match=rf"{name}' cannot be read: No such file"):
        load_model(path)


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin", "last.ckpt", "weights.pkl"])
def test_pickles_are_refused_unread(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04")
    with pytest.raises(
        CheckpointError, match="is a pickle file, which could run code when read; give a model directory"
    ):
        load_model(tmp_path / name)


def test_paths_that_hold_no_model(tmp_path):
    with pytest.raises(CheckpointError, match="is not a directory; give a run directory or a model directory"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="holds no model"):
        load_model(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match="has no checkpoint yet; continue it with resume=True"):
        load_model(tmp_path)


def test_a_model_whose_replacement_was_cut_short_is_still_read(saved):
    path, _ = saved
    path.rename(path.with_name("model.old"))
    with pytest.warns(UserWarning, match="was cut short"):
        assert isinstance(load_model(path.parent).config, RunConfig)


def test_weights_of_another_network_are_refused(saved, config, change, data):
    path, _ = saved
    own, other = (prepare(change(config, "network", widths=widths), data).model for widths in ((4, 8), (8, 8)))
    save_model(path, dataclasses.replace(other, network=own.network))
    with pytest.raises(CheckpointError, match=r"model.safetensors' do not fit the network: tensor .* is .*, not"):
        load_model(path)


def test_saving_again_replaces(saved, config, data):
    path, _ = saved
    model = prepare(config, data).model
    save_model(path, model)
    assert load_model(path).process == model.process
    assert [p.name for p in path.parent.iterdir()] == ["model"]


class Own(torch.nn.Module):
    """A network that nobody here has built."""

    def __init__(self, width):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(1, width, 3, padding=1), torch.nn.Conv2d(width, 1, 1))

    def forward(self, x, t, labels=None):
        return self.layers(x)


@pytest.fixture
def own(config, data):
    """A model with a network of one's own, and that network."""
    model, network = prepare(config, data).model, Own(4)
    return dataclasses.replace(model, plain=model.plain.around(network), network=reference_of(network)), network


def test_networks_of_ones_own_are_given(own, tmp_path):
    model, network = own
    path = save_model(tmp_path / "model", model)
    with pytest.raises(
        InputError, match=r"has a network of its own, '.*test_model:Own', .*; in Python, give one like it as"
    ):
        load_model(path)
    loaded = load_model(path, network=Own(4))
    assert isinstance(loaded.plain, NetworkDenoiser)
    for name, value in loaded.plain.module.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])
    with pytest.raises(CheckpointError, match=r"weights in .* do not fit the network: tensor 'layers.0.weight' is"):
        load_model(path, network=Own(5))


def test_networks_are_imported_from_modules_that_the_caller_allows(tmp_path, own, monkeypatch):
    module = tmp_path / "my_nets.py"
    module.write_text(
        "import torch\nprint('run')\nclass Net(torch.nn.Conv2d):\n"
        "    def forward(self, x, t, labels=None):\n        return super().forward(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import my_nets

    arguments = {"in_channels": 1, "out_channels": 1, "kernel_size": 3, "padding": 1}
    network = my_nets.Net(**arguments)
    model = dataclasses.replace(own[0], plain=own[0].plain.around(network), network=reference_of(network, arguments))
    path = save_model(tmp_path / "model", model)
    with pytest.raises(InputError, match=r"'my_nets:Net', whose code would be run; allow .* allow=\['my_nets'\]"):
        load_model(path, allow=["others"])
    assert torch.equal(load_model(path, allow=["my_nets"]).plain.module.weight, network.weight)
    with pytest.raises(InputError, match=r"tensor 'weight' is"):
        reference_of(network, arguments | {"kernel_size": 1})
