"""Everybody needs five packages; whoever uses what needs another one reads in one line what to install."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

import sagd
from sagd.cli import main
from sagd.data.config import DataConfig
from sagd.data.load import load
from sagd.errors import InputError
from sagd.networks.config import NetworkConfig
from sagd.optional import EXTRAS, has, need

PROJECT = Path(sagd.__file__).parents[2] / "pyproject.toml"
REQUIRED = {"numpy": "numpy", "pyyaml": "yaml", "safetensors": "safetensors", "torch": "torch", "tqdm": "tqdm"}


def names(requirements):
    return [re.match(r"[\w-]+", requirement)[0] for requirement in requirements]


@pytest.fixture(scope="module")
def project():
    return tomllib.loads(PROJECT.read_text())["project"]


def test_five_packages_are_required(project):
    assert names(project["dependencies"]) == list(REQUIRED)


def test_the_table_is_that_of_the_package(project):
    extras = project["optional-dependencies"]
    listed = {(package, extra) for extra in extras if extra not in ("all", "dev") for package in names(extras[extra])}
    assert listed == {(package, extra) for package, _, extra in EXTRAS.values()}


def test_all_is_every_extra(project):
    extras = project["optional-dependencies"]
    assert extras["all"] == [f"sagd[{','.join(extra for extra in extras if extra not in ('all', 'dev'))}]"]
    assert "sagd[all]" in extras["dev"]


def test_every_package_has_its_lower_bound(project):
    extras = project["optional-dependencies"]
    every = project["dependencies"] + [
        entry for extra in extras if extra not in ("all", "dev") for entry in extras[extra]
    ]
    assert all(re.fullmatch(r"[\w-]+>=[\d.]+", entry) for entry in every)


def load_parquet(folder):
    (folder / "a.parquet").write_bytes(b"")
    load(DataConfig(source=str(folder / "a.parquet")))


def read_archive(folder):
    from sagd.data.sources.rows import _read_path

    (folder / "a.zip").write_bytes(b"")
    _read_path(f"zip://a.png::{folder / 'a.zip'}", None)


def map_parquet(folder):
    from sagd.data.sources.parquet import _map_parquet

    _map_parquet(folder / "a.parquet", ["image"])


def start(folder):
    from sagd.integrations.accelerate import runtime

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        with runtime("cpu", "no", 4):
            pytest.fail("started")


def build(name, spatial=(8, 8)):
    from sagd.networks.build import build_network

    return build_network(NetworkConfig(name=name), 1, spatial)


def board(folder):
    from sagd.integrations.tensorboard import TensorBoard
    from sagd.training.runtime import OneProcess

    class Fit:
        runtime, step = OneProcess("cpu"), 0

    TensorBoard(folder).start(Fit())


def draw_images(folder):
    from sagd.data.images import image_grid

    image_grid(torch.zeros(2, 1, 8, 8))


def interval(folder):
    from sagd.study.summary import interval

    interval([1.0, 2.0])


def scan(name, folder):
    from sagd.data.formats.find import format_of

    (folder / name).mkdir() if name.endswith(".zarr") else (folder / name).write_bytes(b"x")
    format_of(folder / name).scan(folder / name)


def fill(folder):
    from sagd.report.template import fill

    fill("page.html", {})


def plot(folder):
    sagd.plot_spectrum(sagd.PowerLaw(-0.5))


USES = {
    "PIL": draw_images,
    "pyarrow": load_parquet,
    "fsspec": read_archive,
    "datasets": map_parquet,
    "huggingface_hub": lambda _: load(DataConfig(source="somebody/something")),
    "sklearn": lambda _: load(DataConfig(source="digits")),
    "diffusers": lambda _: (build("unet"), build("dit")),
    "monai": lambda _: build("unet", (8, 8, 8)),
    "accelerate": start,
    "tensorboard": board,
    "matplotlib": plot,
    "jinja2": fill,
    "scipy": interval,
    "pywt": lambda _: sagd.WaveletBasis((8,)),
    "tifffile": lambda folder: scan("a.tif", folder),
    "soundfile": lambda folder: scan("a.wav", folder),
    "h5py": lambda folder: scan("a.h5", folder),
    "zarr": lambda folder: scan("a.zarr", folder),
    "xarray": lambda folder: scan("a.nc", folder),
    "netCDF4": lambda folder: scan("a.nc", folder),
    "nibabel": lambda folder: scan("a.nii", folder),
    "pydicom": lambda folder: scan("a.dcm", folder),
    "av": lambda folder: scan("a.mp4", folder),
}


def test_every_package_is_tried():
    assert USES.keys() | {"tyro"} == EXTRAS.keys()


@pytest.mark.parametrize("name", USES)
def test_what_is_missing_is_told_in_one_line(name, monkeypatch, tmp_path):
    package, purpose, extra = EXTRAS[name]
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError) as caught:
        USES[name](tmp_path)
    assert str(caught.value) == f"{package} is needed for {purpose}; pip install 'sagd[{extra}]'"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("sklearn", "inspect digits"),
        ("PIL", "sample run --out new"),
        ("matplotlib", "compare arms.yaml --out new"),
        ("jinja2", "gallery digits --out new"),
        ("matplotlib", "restore run images --out new"),
        ("jinja2", "resample run images --out new"),
        ("diffusers", "train --data.source digits --out new"),
    ],
)
def test_the_command_line_prints_it_before_any_work(name, command, monkeypatch, tmp_path, capsys):
    package, purpose, extra = EXTRAS[name]
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2
    assert capsys.readouterr().err == f"sagd: {package} is needed for {purpose}; pip install 'sagd[{extra}]'\n"
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_there_and_broken_says_so(monkeypatch):
    def fail(name):
        raise ImportError(f"lib{name}.so: cannot open\nshared object")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(
        InputError, match=r"^scipy is needed for .*, and cannot be imported here \(libscipy\.so: cannot"
    ):
        need("scipy")


def test_a_package_that_is_there_and_lacks_another_says_so(monkeypatch):
    def fail(name):
        raise ModuleNotFoundError("No module named 'joblib'", name="joblib")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(InputError, match=r"cannot be imported here \(No module named 'joblib'\); pip install"):
        need("sklearn")


def test_has_imports_nothing(monkeypatch):
    assert has("scipy")
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert not has("scipy")


BLOCK = """
import importlib.metadata, re, sys

def closure(name, seen):
    "What a package brings along, extras apart."
    name = re.sub("[-_.]+", "-", name).lower()
    if name not in seen:
        seen.add(name)
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # of another platform
            return seen
        for entry in required:
            if "extra ==" not in entry:
                closure(re.match(r"[\\w.-]+", entry)[0], seen)
    return seen

allowed = set()
for name in ALLOWED:
    closure(name, allowed)
there = importlib.metadata.packages_distributions()
owner = {top: {re.sub("[-_.]+", "-", name).lower() for name in names} for top, names in there.items()}
blocked = {top for top, names in owner.items() if not names & allowed and top != "sagd"}

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocked())
"""


def run(allowed, code):
    """Run a program in which only some packages, and what they bring along, can be imported."""
    program = f"ALLOWED = {sorted(allowed)!r}\n{BLOCK}\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_everything_but_commands_is_imported_with_the_required_packages_alone():
    files = Path(sagd.__file__).parent.rglob("*.py")
    modules = {
        ".".join(("sagd", *file.relative_to(Path(sagd.__file__).parent).with_suffix("").parts)) for file in files
    }
    modules = sorted(name.removesuffix(".__init__") for name in modules if not name.startswith(("sagd.cli", "sagd.__")))
    done = run(
        REQUIRED,
        f"""
import importlib
assert blocked & {{"PIL", "scipy", "diffusers", "accelerate", "tyro"}}
for name in {modules!r}:
    importlib.import_module(name)
import sagd
for name in sagd.__all__:
    getattr(sagd, name)
""",
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_without_tyro_the_program_says_one_line():
    code = "sys.argv = ['sagd', {!r}]; from sagd.__main__ import main; sys.exit(main())"
    line = "sagd: tyro is needed for the command line; pip install 'sagd[cli]'\n"
    for option in ("--help", "train"):
        done = run(REQUIRED, code.format(option))
        assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_with_tyro_alone_the_program_says_what_it_can_do():
    code = "sys.argv = ['sagd', {!r}, *{!r}]; from sagd.__main__ import main; sys.exit(main())"
    for command, said in (("--version", sagd.__version__), ("--help", "usage: sagd COMMAND")):
        done = run([*REQUIRED, "tyro"], code.format(command, []))
        assert (done.returncode, done.stderr) == (0, "")
        assert said in done.stdout
    done = run([*REQUIRED, "tyro"], code.format("train", ["--help"]))
    assert (done.returncode, done.stderr) == (0, "")
    assert "--data.source" in done.stdout
    done = run([*REQUIRED, "tyro"], code.format("inspect", ["digits"]))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "sagd: scikit-learn is needed for the built-in digits; pip install 'sagd[images]'\n"
