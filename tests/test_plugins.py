"""Modules of third parties: by name, by path, and announced by installed packages."""

import subprocess
import sys
import textwrap

import pytest

from sagd import plugins
from sagd.errors import InputError
from sagd.noise.spectra.base import Spectrum
from sagd.plugins import is_loaded, load_installed, load_plugin, missing

SPECTRUM = """
    from dataclasses import dataclass
    import torch
    from sagd import Spectrum

    @dataclass(frozen=True)
    class Halo(Spectrum, kind="{kind}"):
        def weights(self, frequencies):
            return torch.ones(frequencies.shape[1:])
"""


@pytest.fixture(autouse=True)
def forget():
    """Modules and kinds of a test go when it ends."""
    modules, kinds = set(sys.modules), dict(Spectrum._members)
    yield
    for name in set(sys.modules) - modules:
        if name.startswith("plug_"):
            del sys.modules[name]
    for kind in set(Spectrum._members) - set(kinds):
        del Spectrum._members[kind]


@pytest.fixture
def write(tmp_path):
    def write(name, text, **values):
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(text).format(**values))
        return path

    return write


def test_a_file_is_imported_once_under_its_name(write, monkeypatch):
    path = write("plug_file", SPECTRUM, kind="halo_file")
    monkeypatch.chdir(path.parent)
    assert missing(["./plug_file.py", "json"]) == ["./plug_file.py"]
    load_plugin("./plug_file.py")
    first = type(Spectrum.parse("halo_file"))
    load_plugin(str(path))
    assert type(Spectrum.parse("halo_file")) is first
    assert is_loaded("plug_file")
    assert not missing(["./plug_file.py", "plug_file"])


def test_a_module_is_imported_by_name(write, monkeypatch):
    monkeypatch.syspath_prepend(write("plug_name", SPECTRUM, kind="halo_name").parent)
    load_plugin("plug_name")
    assert Spectrum.parse("halo_name").kind == "halo_name"


def refusal(name):
    with pytest.raises(InputError) as caught:
        load_plugin(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_imported_is_told_in_a_line(write, tmp_path):
    told = refusal("plug_nowhere")
    assert told == (
        "cannot import plug-in 'plug_nowhere': no module of that name is installed; the path of a file works too, as in"
        " './plug_nowhere.py'"
    )
    assert refusal("plug_gone.py") == "cannot import plug-in 'plug_gone.py': there is no such file"
    broken = write("plug_broken", "x = 1 /\\\n 0")
    assert refusal(str(broken)).endswith("': ZeroDivisionError: division by zero")
    assert not is_loaded("plug_broken")
    assert refusal(str(write("plug_exit", "raise SystemExit(3)"))).endswith("': SystemExit: 3")
    assert "ModuleNotFoundError: No module named 'plug_other'" in refusal(str(write("plug_needs", "import plug_other")))
    assert "letters, digits and '_'" in refusal(str(write("plug-in", "")))
    for taken in ("json", "this"):  # one imported already, one not yet
        assert f"there is another module {taken!r}" in refusal(str(write(taken, "")))
    twice = write("plug_twice", SPECTRUM, kind="flat")
    assert "plug_twice.Halo cannot be the spectrum 'flat', which sagd.noise.spectra.base.Flat is" in refusal(str(twice))


def test_a_fault_can_be_mended_and_the_file_imported_again(write):
    path = write("plug_mended", SPECTRUM + "\n    1 / 0\n", kind="halo_mended")
    refusal(str(path))
    load_plugin(str(write("plug_mended", SPECTRUM, kind="halo_mended")))
    assert Spectrum.parse("halo_mended").kind == "halo_mended"


def install(folder, name, module):
    """What an installer writes of a package that announces a module."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[sagd.plugins]\nany = {module}\n")


@pytest.fixture
def installed(write, monkeypatch, tmp_path):
    """A sound package and a broken one."""
    write("plug_sound", SPECTRUM, kind="halo_sound")
    write("plug_unsound", "import plug_absent")
    install(tmp_path, "sound", "plug_sound")
    install(tmp_path, "unsound", "plug_unsound")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_faults", None)


@pytest.mark.usefixtures("installed")
def test_announced_modules_are_imported_when_a_kind_is_unknown():
    assert Spectrum.parse("flat").kind == "flat"
    assert not is_loaded("plug_sound")
    assert Spectrum.parse("halo_sound").kind == "halo_sound"
    assert "halo_sound" in Spectrum.kinds()


@pytest.mark.usefixtures("installed")
def test_a_broken_package_is_named_where_a_kind_is_missing_and_breaks_nothing_else():
    fault = (
        "cannot import plug-in 'plug_unsound' of package 'unsound': ModuleNotFoundError: No module named 'plug_absent'"
    )
    with pytest.raises(InputError) as caught:
        Spectrum.parse("halo_unsound")
    assert str(caught.value).endswith(f"did you mean 'halo_sound'?; {fault}")
    assert load_installed() == [fault]


@pytest.mark.usefixtures("installed")
def test_kinds_are_listed_with_those_of_packages():
    assert "halo_sound" in Spectrum.kinds()


def test_importing_the_library_looks_for_no_package():
    code = "import sys, sagd.noise, sagd.plugins as p; assert p._faults is None and sagd.noise.Spectrum.parse('flat')"
    subprocess.run([sys.executable, "-c", f"{code}; assert p._faults is None"], check=True)
