"""A plug-in with a member of every family, named on the command line and in configuration files."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import sagd
from sagd import plugins
from sagd.cli.program import main
from sagd.errors import CheckpointError
from sagd.spec import Description

pytestmark = pytest.mark.usefixtures("undrawn")

PLUGIN = '''
from dataclasses import dataclass
import torch
from torch import nn
import sagd
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.bands import leave_out
from sagd.omission.modes import Mode, Restoration
from sagd.random import randn
from sagd.sampling.base import moved

@dataclass(frozen=True)
class Halo(sagd.Spectrum, kind="corona"):
    """A halo around one radius."""
    radius: float = 0.25
    def weights(self, frequencies):
        r = torch.linalg.vector_norm(frequencies, dim=0)
        return 0.1 + torch.exp(-(((r - self.radius) / 0.1) ** 2))

@dataclass(frozen=True)
class Ramp(sagd.Region, kind="ramp"):
    def field(self, positions):
        return 0.5 + positions[0]

@dataclass(frozen=True)
class OwnBasis(CosineBasis, kind="own_basis"):
    """The cosines under another name."""

@dataclass(frozen=True)
class Half(sagd.Evolution, kind="half"):
    def coefficients(self, t, schedule, frequencies):
        return schedule.alpha(t) + 0 * frequencies.near, schedule.sigma(t) * frequencies.near.sqrt()

@dataclass(frozen=True)
class OwnSchedule(sagd.CosineSchedule, kind="own_schedule"):
    """The cosine under another name."""

@dataclass(frozen=True)
class Squares(sagd.TimeGrid, kind="squares"):
    def points(self, steps, process, statistics):
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1] ** 2

@dataclass(frozen=True)
class OwnSampler(sagd.Sampler, kind="own_sampler"):
    def step(self, run, x_t, t, s):
        return moved(run.process, x_t, run.denoise(x_t, t), t, s)

@dataclass(frozen=True)
class OwnTimes(sagd.TimeLaw, kind="own_times"):
    def sample(self, count, process, generator=None):
        return torch.full((count,), 0.5, dtype=torch.float64)

@dataclass(frozen=True)
class Twice(sagd.Weighting, kind="twice"):
    def weight(self, t, denoiser):
        return torch.full_like(t, 2.0)

@dataclass(frozen=True)
class Flicker(sagd.Corruption, kind="flicker"):
    fixed: bool = True
    def noise(self, shape, generators, seed=0):
        return 0.1 * randn((len(generators), *shape), generators)
    def band(self, spatial, seed=0):
        return sagd.Spectrum.parse("flat")

@dataclass(frozen=True)
class Stripes(sagd.Source, kind="stripes"):
    """Striped images, as many as asked for."""
    count: int = 32
    def open(self, config):
        import numpy as np
        rows = np.arange(8)[None, :, None] * np.ones((self.count, 1, 8))
        phases = np.arange(self.count)[:, None, None]
        return sagd.ArrayRecords("stripes", None, None, (20 * ((rows + phases) % 8)).astype(np.uint8))

@dataclass(frozen=True)
class Halved(Mode, kind="halved"):
    """No noise in the band, of which restored images keep half."""
    said = "Half of the band was <b>taken out</b>."
    @classmethod
    def suits(cls, damage):
        return damage.banded
    def noise(self, spectrum, evolution, basis):
        return leave_out(spectrum, self.place, hard=False), evolution
    def restore(self, task, y, condition, generators):
        return Restoration((y + task.blend(y, task.statistics.mean.to(y))) / 2)

class Module(nn.Module):
    def __init__(self, inputs, outputs, width):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, outputs, 1))
    def forward(self, x, timestep, class_labels=None):
        return self.body(x)

@dataclass(frozen=True)
class Small(sagd.Network, kind="small"):
    width: int = 4
    def build(self, inputs, outputs, spatial, num_classes=None):
        return Module(inputs, outputs, self.width)
'''

PREDICTION = """
@dataclass(frozen=True)
class Doubled(sagd.Parameterisation, kind="doubled"):
    def scaled(self, process, x_t, t):
        return x_t
    def target(self, process, x_0, eps, t):
        return 2 * x_0
    def to_x0(self, process, output, x_t, t):
        return output / 2
    def gain(self, process, x_t, t):
        return torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
"""

KINDS = {
    "data": {"source": "stripes(count=24)", "corruption": "flicker"},
    "process": {"spectrum": "corona(radius=0.3)", "schedule": "own_schedule", "basis": "own_basis", "region": "ramp"},
    "network": {"name": "small(width=3)"},
    "denoiser": {"prediction": "doubled", "time": "own_times", "weighting": "twice"},
    "sampling": {"sampler": "own_sampler", "grid": "squares", "steps": 2},
    "training": {"steps": 2, "batch_size": 8, "sample_every": 2, "device": "cpu", "precision": "no"},
}


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """The plug-in as a file of the current folder; what a test has imported of it goes when the test ends."""
    (tmp_path / "plug_all.py").write_text(PLUGIN + PREDICTION)
    monkeypatch.chdir(tmp_path)
    from sagd import Corruption, Network, Parameterisation, Sampler, Source, TimeLaw, Weighting  # noqa: F401 (families)
    from sagd.omission.modes import Mode  # noqa: F401

    known = {family: dict(family._members) for family in Description.families().values()}
    yield "./plug_all.py"
    for name in ("plug_all", "plug_net"):
        sys.modules.pop(name, None)
    for family, members in known.items():
        family._members.clear()
        family._members.update(members)


def flat(sections):
    return [item for s, values in sections.items() for k, v in values.items() for item in (f"--{s}.{k}", str(v))]


def out_of(capsys, *args):
    code = main([str(arg) for arg in args])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_members_of_every_family_are_used_from_the_command_line(plugin, tmp_path, capsys):
    code, out, err = out_of(capsys, "train", "--plugin", plugin, *flat(KINDS), "--out", "run")
    assert (code, err) == (0, "")
    assert "sample it with: sagd sample run --plugin ./plug_all.py --out run-samples\n" in out
    for written in ("run/config.yaml", "run/model/model.json"):
        text = (tmp_path / written).read_text()
        config = yaml.safe_load(text) if written.endswith("yaml") else json.loads(text)["configuration"]
        assert config["plugins"] == [plugin]
        assert config["network"]["name"] == "small(width=3)"
    code, out, err = out_of(capsys, f"--plugin={plugin}", "sample", "run", "--count", 2, "--out", "samples")
    assert (code, err) == (0, "")
    code, out, err = out_of(capsys, "inspect", "stripes", "--plugin", plugin, "--process.spectrum", "corona")
    assert (code, err) == (0, "")
    assert "32 images of stripes, 1 x 8 x 8" in out
    changed = KINDS | {"process": {"spectrum": "corona", "evolution": "half"}}
    code, out, err = out_of(capsys, "train", *flat(changed), "--plugin", plugin, "--out", "other")
    assert (code, err) == (0, "")


def test_a_mode_of_omission_trains_and_restores(plugin, tmp_path, capsys):
    omission = {"process.omission": {"mode": "halved", "band": "strip(axis=0, low=0.2)"}}
    changed = KINDS | {"process": {"spectrum": "corona"}} | omission
    code, out, err = out_of(capsys, "train", *flat(changed), "--plugin", plugin, "--out", "run")
    assert (code, err) == (0, "")
    assert "restore damaged files with: sagd restore run FILES --plugin ./plug_all.py" in out
    rows = np.arange(8)[:, None] * np.ones((1, 8))
    Image.fromarray((20 * rows).astype(np.uint8)).save(tmp_path / "image.png")
    code, _, err = out_of(capsys, "restore", "run", "image.png", "--plugin", plugin, "--out", "restored")
    assert (code, err) == (0, "")
    assert "Half of the band was <b>taken out</b>." in (tmp_path / "restored" / "report.html").read_text()
    code, out, _ = out_of(capsys, "corrupt", "digits", "moire(level=0.1)", "--plugin", plugin, "--out", "damaged")
    assert code == 0
    assert re.search(r"moire meets what (?=.*project)(?=.*fill)(?=.*halved)[\w, ]+ need: see 'sagd kinds om", out)


def test_a_configuration_file_names_its_plugins(plugin, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(KINDS | {"plugins": [plugin]}))
    assert out_of(capsys, "train", "run.yaml", "--out", "run")[0] == 0
    arms = {"arms": {"halo": KINDS["process"]}, **{k: v for k, v in KINDS.items() if k != "process"}}
    arms |= {"evaluation": {"samples": 8, "bands": 3, "features": "spectral"}, "plugins": [plugin]}
    (tmp_path / "compare.yaml").write_text(yaml.safe_dump(arms))
    code, _, err = out_of(capsys, "compare", "compare.yaml", "--out", "comparison")
    assert code == 2
    assert "features" in err  # all else of the file was read


def separately(*args):
    """A command in a process of its own, to which the plug-in is new."""
    env = os.environ | {"PYTHONPATH": str(Path(sagd.__file__).parents[1])}
    return subprocess.run([sys.executable, "-m", "sagd", *args], capture_output=True, text=True, check=False, env=env)


def test_a_model_says_which_plugin_it_needs_and_imports_none(plugin, tmp_path, capsys):
    assert out_of(capsys, "train", "--plugin", plugin, *flat(KINDS), "--out", "run")[0] == 0
    done = separately("sample", "run", "--count", "2", "--out", "samples")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "sagd: 'run/model/model.json' needs kinds of a plug-in that has not been imported; if you trust it, give"
        " --plugin ./plug_all.py (in Python, import it first)\n"
    )
    done = separately("sample", "run", "--count", "2", "--out", "samples", "--plugin", plugin)
    assert (done.returncode, done.stderr) == (0, "")
    del sys.modules["plug_all"]
    with pytest.raises(CheckpointError, match=r"give --plugin \./plug_all\.py"):
        sagd.load("run")


NETWORK = """
from torch import nn
class Net(nn.Module):
    def __init__(self, inputs, outputs, spatial, num_classes, width=4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, outputs, 1))
    def forward(self, x, t):
        return self.body(x)
"""


def test_a_network_class_of_a_plugin_is_trained_and_loaded_where_that_is_named(plugin, tmp_path, capsys, monkeypatch):
    (tmp_path / "plug_net.py").write_text(NETWORK)
    sections = {"data": {"source": "stripes"}, "network": {"name": "plug_net:Net(width=3)"}}
    asked = ["train", *flat(sections | {"training": KINDS["training"]}), "--plugin", plugin, "--out", "run"]
    code, _, err = out_of(capsys, *asked)
    assert code == 2
    assert err.startswith("sagd: network 'plug_net:Net' is of module 'plug_net', whose code would be run; allow that")
    code, _, err = out_of(capsys, *asked, "--plugin", "./plug_net.py")
    assert (code, err) == (0, "")
    done = separately("sample", "run", "--count", "2", "--out", "samples", "--plugin", plugin)
    assert done.stderr.endswith("if you trust it, give --plugin ./plug_net.py (in Python, import it first)\n")
    again = [f"--plugin={plugin}", "--plugin=./plug_net.py"]
    done = separately("sample", "run", "--count", "2", "--out", "samples", *again)
    assert (done.returncode, done.stderr) == (0, "")
    monkeypatch.setattr(plugins, "_named", set())
    with pytest.raises(CheckpointError, match="'plug_net:Net' is of module 'plug_net', whose code would be run"):
        sagd.load("run")  # that somebody imported the module allows nothing
    del sys.modules["plug_net"]
    assert sagd.load("run", allow=["./plug_net.py"]).network.network.body[0].out_channels == 3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--plugin"], "--plugin needs the name of a module or a file, e.g. --plugin ./my_noise.py"),
        (["train", "--plugin", "--out", "x"], "--plugin needs the name of a module"),
        (
            ["train", "--plugin", "plug_nowhere", "--out", "x"],
            "cannot import plug-in 'plug_nowhere': no module of that",
        ),
        (["train", "--out", "x", "--process.spectrum", "corona"], "unknown spectrum 'corona'; known: "),
        (["train", "--out", "x", "--network.name", "small"], "unknown network 'small'; known: dit, unet"),
    ],
)
def test_what_is_missing_is_told_in_a_line(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, err = out_of(capsys, *args)
    assert (code, out) == (2, "")
    assert err.startswith(f"sagd: {message}")
    assert err.count("\n") == 1


def test_a_plugin_may_not_take_the_kind_of_another(plugin, tmp_path, capsys):
    (tmp_path / "plug_again.py").write_text(textwrap.dedent(PLUGIN))
    code, _, err = out_of(capsys, "inspect", "--plugin", plugin, "--plugin", "plug_again.py", "digits")
    assert code == 2
    assert "plug_again.Halo cannot be the spectrum 'corona', which plug_all.Halo is; rename one" in err
