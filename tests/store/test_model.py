import dataclasses
import hashlib
import json
import stat

import pytest
import torch

from sagd.build.objects import build_process
from sagd.build.schema import DenoiserConfig, ProcessConfig, RunConfig
from sagd.errors import CheckpointError, ProcessMismatchError
from sagd.networks.build import build_network
from sagd.noise.statistics import measure
from sagd.store.model import build_denoiser, load_model, save_model

SHAPE = (1, 8, 8)


@pytest.fixture
def saved(tmp_path, config, change, data):
    """A run directory with a model of conditional, tilted noise, and the network that is in it."""
    config = change(config, "process", spectrum="power_law(alpha=-0.25)", schedule="cosine")
    network = build_network(config.network, 1, (8, 8), num_classes=3, seed=3)
    process = build_process(config.process, SHAPE)
    path = save_model(tmp_path / "run" / "model", network, config, process, measure(data.tensor()), data.classes)
    return path, network


def edit(path, change_it, refresh_manifest=False):
    """Change config.json as an editor would, or as somebody would who knows of the manifest."""
    described = json.loads(path.joinpath("config.json").read_text())
    change_it(described)
    path.joinpath("config.json").write_text(json.dumps(described, indent=2))
    if refresh_manifest:
        manifest = json.loads(path.joinpath("manifest.json").read_text())
        manifest["sha256"]["config.json"] = hashlib.sha256(path.joinpath("config.json").read_bytes()).hexdigest()
        path.joinpath("manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("levels", [0, 1])
def test_round_trip_from_the_model_or_the_run_directory(saved, data, config, levels):
    path, network = saved
    model = load_model(path.parent if levels else path)
    assert model.process == build_process(ProcessConfig("cosine", "power_law(alpha=-0.25)"), SHAPE)
    assert model.denoiser.process is model.process
    assert (model.config.training, model.config.network) == (config.training, config.network)
    assert model.classes == ("a", "b", "c")
    x = data.tensor()
    assert model.statistics.count == len(data)
    assert torch.equal(model.statistics.mean, measure(x).mean)
    assert torch.equal(model.statistics.spectrum, measure(x).spectrum)
    # The spread about the mean image is estimated with N - 1 = 39 in place of 40: at most a factor sqrt(40/39).
    edm = dataclasses.replace(config, denoiser=DenoiserConfig("edm"))
    denoiser = build_denoiser(edm, network, model.process, model.statistics, 3)
    assert 1 <= denoiser.parameterisation.data_std / float(x.double().std(correction=0)) <= (40 / 39) ** 0.5
    assert not model.network.training
    t, labels = torch.full((4,), 0.3), torch.tensor([0, 1, 2, 3])
    with torch.no_grad():
        expected = network.eval()(x[:4], model.process.schedule.timestep(t), labels=labels)
        assert torch.equal(model.network(x[:4], model.process.schedule.timestep(t), labels=labels), expected)


def test_it_holds_configuration_versions_and_no_pickle(saved):
    path, _ = saved
    assert {p.name for p in path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "statistics.safetensors",
        "manifest.json",
    }
    described = json.loads((path / "config.json").read_text())
    assert described["process"]["covariance"]["spectrum"] == {"kind": "power_law", "alpha": -0.25, "epsilon": None}
    assert described["data"] == {"shape": [1, 8, 8], "range": [-1, 1], "classes": ["a", "b", "c"]}
    assert described["versions"].keys() >= {"sagd", "torch", "diffusers", "python"}
    assert all(p.stat().st_mode & stat.S_IROTH for p in path.iterdir())


def test_unconditional_models_have_no_classes(tmp_path, data, change, config):
    config = change(config, "network", conditional=False)
    network, process = build_network(config.network, 1, (8, 8)), build_process(config.process, SHAPE)
    path = save_model(tmp_path / "model", network, config, process, measure(data.tensor()), None)
    assert load_model(path).classes is None
    with pytest.raises(ValueError, match=r"guidance 2\.0 needs a conditional model"):
        load_model(path, guidance=2.0)


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
    described["config"]["process"]["spectrum"] = "power_law(alpha=0.5)"


def recolour_all(described):
    recolour(described)
    described["process"]["covariance"]["spectrum"]["alpha"] = 0.5


def reschedule(described):
    described["config"]["process"]["schedule"] = "vp"


def recalibrate(described):
    described["config"]["process"]["calibration"] = "none"


def reshape(described):
    described["data"]["shape"] = [1, 16, 16]


@pytest.mark.parametrize("refresh_manifest", [False, True])
@pytest.mark.parametrize("edited", [recolour, recolour_all, reschedule, recalibrate, reshape])
def test_a_configuration_edited_to_another_process_is_refused(saved, edited, refresh_manifest):
    path, _ = saved
    edit(path, edited, refresh_manifest)
    with pytest.raises(
        ProcessMismatchError, match=r"config.json' was changed to .*not what its weights were trained with"
    ):
        load_model(path)


def test_any_other_edit_is_damage(saved):
    path, _ = saved
    edit(path, lambda described: described["config"]["denoiser"].update(prediction="v"))
    with pytest.raises(CheckpointError, match=r"config.json' is damaged"):
        load_model(path)


def test_a_configuration_that_describes_nothing_is_refused(saved):
    path, _ = saved
    edit(path, lambda described: described["config"]["network"].update(wdths=[4]), refresh_manifest=True)
    with pytest.raises(CheckpointError, match=r"does not describe a model: unknown key 'config.network.wdths'"):
        load_model(path)


@pytest.mark.parametrize("name", ["model.safetensors", "statistics.safetensors"])
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
    with pytest.raises(CheckpointError, match="has not finished, it has no model yet; continue it with --resume"):
        load_model(tmp_path)


def test_a_model_whose_replacement_was_cut_short_is_still_read(saved):
    path, _ = saved
    path.rename(path.with_name("model.old"))
    with pytest.warns(UserWarning, match="was cut short"):
        assert isinstance(load_model(path.parent).config, RunConfig)


def test_weights_of_another_network_are_refused(saved, config, change, data):
    path, _ = saved
    other = build_network(change(config, "network", widths=(8, 8)).network, 1, (8, 8), num_classes=3)
    save_model(path, other, config, build_process(config.process, SHAPE), measure(data.tensor()), data.classes)
    with pytest.raises(
        CheckpointError, match=r"do not fit the network that diffusers .* builds; they were written with"
    ):
        load_model(path)


def test_saving_again_replaces(saved, config, data):
    path, network = saved
    process = build_process(config.process, SHAPE)
    save_model(path, network, config, process, measure(data.tensor()), data.classes)
    assert load_model(path).process == process
    assert [p.name for p in path.parent.iterdir()] == ["model"]
