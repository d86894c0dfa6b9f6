"""The report of what a comparison left on disk."""

import json

import pytest
from safetensors.torch import save_file

from sagd.errors import InputError
from sagd.report.directory import render_directory


@pytest.fixture
def finished(results, arrays, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(results({"white": 3.0, "low": 2.9})))
    save_file(arrays(["white", "low"]), tmp_path / "arrays.safetensors")
    return tmp_path


def test_the_page_is_drawn_beside_its_data(finished):
    page = render_directory(finished)
    assert page == finished / "report.html"
    text = page.read_text(encoding="utf-8")
    assert "Noise spectra on digits" in text
    assert "<script" not in text


@pytest.mark.parametrize("name", ["results.json", "arrays.safetensors"])
def test_missing_files_are_named(finished, name):
    (finished / name).unlink()
    with pytest.raises(InputError, match=rf"holds no finished comparison \(.*{name}.*\); run sagd compare"):
        render_directory(finished)
    assert not (finished / "report.html").exists()


@pytest.mark.parametrize("name", ["results.json", "arrays.safetensors"])
def test_damaged_files_are_refused(finished, name):
    path = finished / name
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="holds no finished comparison") as error:
        render_directory(finished)
    assert "\n" not in str(error.value)


def test_a_page_that_cannot_be_written_is_named(finished):
    (finished / "report.html").mkdir()
    with pytest.raises(InputError, match=r"cannot write '.*report\.html': Is a directory"):
        render_directory(finished)
