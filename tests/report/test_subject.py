"""What pages show of signals of each kind."""

import base64
import io
import json
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image

from sagd.build.catalogue import Entry
from sagd.build.schema import ProcessConfig
from sagd.build.text import to_dict
from sagd.data.files import Named
from sagd.data.formats import Step
from sagd.data.meaning import Meaning
from sagd.data.signals import Signals
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.modes import Mode, Restoration
from sagd.report.gallery import render_gallery
from sagd.report.render import render
from sagd.report.resampling import render_resampling
from sagd.report.restoration import render_restoration
from sagd.report.subject import Subject, subject_of
from sagd.study import resampling, restoration
from sagd.study.gallery import exhibit

LENGTH = {letter: Step(0.5, "mm") for letter in "ZYX"}
KINDS = {
    "audio": (Meaning("audio", "T", (0.0,), (9000.0,), {"T": Step(1 / 8000, "s")}, dtype="int16"), (1, 64), "kHz"),
    "series": (Meaning("series", "T", (20.0,), (4.0,), {"T": Step(0.02, "s")}, "mV"), (2, 64), "Hz"),
    "video": (Meaning("video", "TYX", steps={"T": Step(0.1, "s")}), (1, 4, 8, 8), ""),
    "volume": (Meaning("volume", "ZYX", (500.0,), (500.0,), LENGTH), (1, 8, 8, 8), "cycles/mm"),
    "field": (Meaning("field", "YX", (7.0, 0.0), (20.0, 5.0), LENGTH, channels=("u", "v")), (2, 8, 8), "cycles/mm"),
}


@pytest.fixture(params=KINDS)
def told(request):
    """Meaning, shape and unit of frequencies of a kind."""
    return KINDS[request.param]


def draw(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def read(path):
    """The page, and that it needs nothing else and stays light."""
    text = path.read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert text.count('src="data:') == text.count("<img") + text.count("<audio")
    assert len(text) < 8e6
    return text


def words(text):
    """What can be read."""
    return re.sub(r"<[^>]*>", " ", text)


def assert_plays(text, meaning):
    assert ("<audio" in text) == (meaning.kind == "audio")


def test_a_comparison_shows_signals_of_its_kind(told, results, arrays, tmp_path):
    meaning, shape, unit = told
    arms = ["white", "low"]
    made = arrays(arms, shape[0])
    made["data/images"] = draw(12, *shape)
    made["data/images"][0, 0, ..., 0] = torch.nan
    for arm in arms:
        made |= {f"{arm}/samples": draw(12, *shape), f"{arm}/noise": draw(4, *shape), f"{arm}/forward": draw(3, *shape)}
    given = results({"white": 26.62, "low": 20.0}, {"low": (-6.6, 1.0)})
    given["data"] = {"name": "some", "shape": list(shape), "count": 40, "classes": None, "meaning": to_dict(meaning)}
    # As it comes back from a file.
    render(json.loads(json.dumps(given)), made, tmp_path / "report.html")
    text = read(tmp_path / "report.html")
    items = Subject(meaning, shape[0]).called[1]
    assert f"real {items}" in text
    assert f"some: 40 {items} of" in text
    assert "image" not in words(text).replace("images per second", "")
    assert f"in {unit}" in text if unit else "\u03c1" in text
    assert_plays(text, meaning)
    assert ("Film" in text) == (meaning.kind == "video")


def test_restored_signals(told, tmp_path):
    meaning, shape, unit = told
    x = draw(4, *shape)
    named = Named(tuple(f"<{i}>" for i in range(4)), x, meaning, known=x > -0.99)
    found = Restoration(draw(4, *shape, seed=1), draw(4, *shape).abs(), draw(2, 4, *shape))
    mode = Mode.from_dict({"kind": "fill", "band": "ring(low=0.2, high=0.7)"})
    result = restoration.measured(named, found, draw(4, *shape, seed=2), mode, FourierBasis(shape[1:]))
    text = read(render_restoration(result, tmp_path))
    for word in (
        "&lt;0&gt;",
        "Change and error left",
        "Uncertainty",
        "Posterior samples",
        f"in {unit}" if unit else "\u03c1",
    ):
        assert word in text
    assert "image" not in words(text)
    assert_plays(text, meaning)
    assert result.to_dict()["meaning"] == to_dict(meaning)


def test_resampled_signals(told, tmp_path):
    meaning, shape, _ = told
    named = Named(("<a>", "<b>"), draw(2, *shape), meaning)
    band = Spectrum.parse("ring(low=0.5)")
    result = resampling.measured(named, draw(3, 2, *shape, seed=1), band, FourierBasis(shape[1:]))
    text = read(render_resampling(result, tmp_path))
    assert "&lt;a&gt;" in text
    assert "Spread" in text
    assert_plays(text, meaning)
    assert result.to_dict()["meaning"] == to_dict(meaning)


@pytest.mark.parametrize("evolution", ["usual", "interpolated(far='flat')"])
def test_a_gallery(told, evolution, tmp_path):
    meaning, shape, _ = told
    data = Signals("some", draw(12, *shape), meaning=meaning)
    process = ProcessConfig(schedule="cosine", spectrum="power_law(alpha=0.3)")
    process = process if evolution == "usual" else replace(process, evolution=evolution)
    shown = exhibit(Entry("x", process, "A summary."), data)
    assert all(power.shape[0] == 2 or len(shape) == 3 for power in shown.power.values())
    text = read(render_gallery([shown], tmp_path, "title", "subtitle"))
    assert f"drowns {Subject(meaning, shape[0]).called[1]} in noise" in text


def test_samples_run_as_a_film():
    meaning, shape, _ = KINDS["video"]
    shown = Subject(meaning, 1).signals(draw(3, *shape), "clips")
    with Image.open(io.BytesIO(base64.b64decode(shown.film[0].source.split(",")[1]))) as film:
        assert film.n_frames == shape[1]


def test_sound_without_a_rate_is_seen_only():
    meaning, shape, _ = KINDS["audio"]
    assert Subject(meaning, 1).signals(draw(3, *shape), "").players is not None
    assert Subject(replace(meaning, steps={}), 1).signals(draw(3, *shape), "").players is None


def test_results_that_say_nothing_are_of_pictures():
    subject = subject_of({})
    assert (subject.called, subject.tiled, subject.scale.unit) == (("image", "images"), True, "")
