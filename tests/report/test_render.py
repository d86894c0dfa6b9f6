import base64
import io
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from sagd.errors import InputError
from sagd.report.render import render

SECTIONS = ["answer", "figures", "samples", "noise", "forward", "spectra", "loss", "details"]


class Page(HTMLParser):
    """What a browser would see: text, ids, links, images, table rows."""

    def __init__(self, source):
        super().__init__()
        self.source = source
        self.tags, self.ids, self.references, self.images, self.texts, self.rows = set(), [], [], [], [], []
        self._silent = self._in_cell = False
        self.feed(source)
        self.text = " ".join(" ".join(self.texts).replace("\u00a0", " ").split())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.references += [v for k, v in attributes if k in ("src", "href", "xlink:href", "data", "action", "srcset")]
        self.images += [given] if tag == "img" else []
        self._silent = tag == "style"
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        self._silent = False
        self._in_cell &= tag not in ("td", "th")

    def handle_data(self, data):
        if not self._silent:
            self.texts.append(data)
            if self._in_cell:
                self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture
def draw(folder):
    def draw(results, arrays):
        render(results, arrays, folder / "report.html")
        return Page((folder / "report.html").read_text(encoding="utf-8"))

    return draw


def decode(image):
    kind, content = image["src"].split(";base64,")
    return kind.removeprefix("data:"), base64.b64decode(content)


def row(page, *start):
    """The first table row that begins with `start`."""
    return next(r for r in page.rows if tuple(r[: len(start)]) == start)


def test_full_page(draw, results, arrays):
    means = {"white": 26.62, "tilt": 19.81, "band": 26.12}
    made = results(means, {"tilt": (-6.81, 0.59), "band": (-0.5, 1.3)})
    page = draw(made, arrays(means))

    # Nothing is fetched from anywhere.
    assert page.references
    assert all(r.startswith(("data:", "#")) for r in page.references)
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "base"}
    assert "http://" not in page.source
    assert "https://" not in page.source
    assert "url(" not in page.source
    assert "@import" not in page.source

    # Every section is there and can be reached.
    assert page.ids == SECTIONS
    assert {r for r in page.references if r.startswith("#")} <= {f"#{i}" for i in page.ids}
    assert all(page.text.count(arm) > 5 for arm in means)
    assert "floor" in page.text
    assert "ρ" in page.text
    assert "power_law(alpha=-0.1)" in page.text
    assert "steps: 2000" in page.text
    assert "sagd: 0.1.0" in page.text
    assert "cores: 2" in page.text

    # Numbers and what they show.
    assert row(page, "white", "26.6 25.6 to 27.6")[2] == ""
    assert row(page, "tilt", "19.8 18.8 to 20.8")[2] == "−6.8 −7.4 to −6.2 better"
    assert row(page, "band", "26.1 25.1 to 27.1")[2] == "−0.5 −1.8 to +0.8 no difference shown"
    assert row(page, "floor")[1] == "2.13 1.98 to 2.30"
    assert "tilt is better than white and no difference between white and band is shown." in page.text
    assert row(page, "band", "2")[2:] == ["26.3 (25.3 to 27.8)", "61.3", "2,103", "0.0612", "412,345"]

    # Every picture opens and says what it shows: 1 metric, 4 grids, 3 noise, 1 spectrum, 3 strips, 2 plots.
    assert len(page.images) == 14
    for image in page.images:
        kind, content = decode(image)
        assert len(image["alt"]) > 10
        if kind == "image/svg+xml":
            assert ElementTree.fromstring(content).tag.endswith("svg")
        else:
            assert Image.open(io.BytesIO(content)).width >= 900
    assert len(page.source) < 1_000_000


def test_one_seed_shows_no_difference(draw, results):
    page = draw(results({"white": 26.62, "tilt": 5.0}, {"tilt": (-21.6, 0)}, seeds=(7,)), {})
    assert "No difference shown: with one seed per process" in page.text
    assert "better" not in page.text.replace("lower is better", "")
    # The range is for the chance in drawing images; figure and range are those of the run.
    assert row(page, "white", "26.62 25.62 to 28.12")[2] == ""
    assert row(page, "tilt")[1:] == ["5.00 4.00 to 6.50", "−22 no difference shown"]


def test_verdicts_are_those_that_hold_together(draw, results):
    given = results({"white": 26.62, "tilt": 5.0, "band": 20.0}, {"tilt": (-21.6, 2.0), "band": (-6.6, 6.0)})
    given["tests"] = {"method": "Holm", "level": 0.05, "figures": ["frechet"], "count": 2}
    given["arms"]["tilt"]["adjusted"], given["arms"]["band"]["adjusted"] = {"frechet": 0.01}, {"frechet": 0.06}
    for arm in given["arms"].values():
        arm["summary"]["sliced"] = {"mean": 0.1, "low": 0.05, "high": 0.15}
        if arm["difference"]:
            arm["difference"]["sliced"] = {"mean": 0.1, "low": 0.05, "high": 0.15}
    page = draw(given, {})
    assert row(page, "tilt")[2].endswith("better")
    assert row(page, "band")[2].endswith("no difference shown")
    assert page.rows[-3][2].endswith("not tested") or any(r[-1].endswith("not tested") for r in page.rows if r)
    assert "tilt is better than white and no difference between white and band is shown." in page.text
    assert "2 tests in all, adjusted together by Holm's method" in page.text
    assert "one in twenty" not in page.text


def test_a_precision_that_means_nothing_is_called_so(draw, results):
    given = results({"white": 0.9, "tilt": 1.0}, {"tilt": (0.1, 0.01)}, metric="precision")
    given["floors"] = {"precision": 0.85, "recall": 0.8}
    for arm in given["arms"].values():
        arm["summary"]["recall"] = {"mean": 0.1, "low": 0.05, "high": 0.15}
        if arm["difference"]:
            arm["difference"]["recall"] = {"mean": 0.1, "low": 0.05, "high": 0.15}
    assert "tilt : Precision means nothing here (1.00, real images 0.85)" in draw(given, {}).text


def test_label_free_features_are_called_so(draw, results):
    given = results({"white": 26.62})
    given["metrics"]["features"] = "labelless"
    assert "features of labelless (fixed filters; no labels needed)" in draw(given, {}).text


def test_interval_that_includes_zero_shows_no_difference(draw, results):
    page = draw(results({"white": 26.62, "tilt": 5.0}, {"tilt": (-21.6, 21.7)}), {})
    assert "no difference between white and tilt is shown" in page.text
    assert "better" not in page.text.replace("lower is better", "")


def test_higher_is_better_where_it_is(draw, results):
    page = draw(results({"white": 0.7, "tilt": 0.6}, {"tilt": (-0.1, 0.02)}, metric="recall", reach=0.01), {})
    assert "By Recall over 3 seeds, tilt is worse than white." in page.text


def test_one_arm(draw, results, arrays):
    page = draw(results({"white": 26.62}), arrays(["white"]))
    assert "Only white was run, so there is nothing to compare it with." in page.text
    assert "difference to" not in page.text
    assert "processes below share" not in page.text
    assert page.ids == SECTIONS


def test_names_are_escaped(draw, results, arrays):
    arm = '<b>"&$x$</b>'
    made = results({"white": 26.62, arm: 19.81}, {arm: (-6.81, 0.59)}) | {"title": "<script>alert(1)</script>"}
    page = draw(made, arrays(["white", arm]))
    assert "script" not in page.tags
    assert "<b>&#34;" not in page.source
    assert '<b>"' not in page.source
    assert f"{arm} is better than white" in page.text
    assert any(arm in image["alt"] for image in page.images)


def test_colour_images(draw, results, arrays):
    page = draw(results({"white": 26.62}), arrays(["white"], channels=3))
    modes = [Image.open(io.BytesIO(c)).mode for kind, c in map(decode, page.images) if kind == "image/png"]
    assert modes == ["RGB"] * 4
    assert "from blue" not in page.text


def test_pixels_are_enlarged_to_crisp_blocks(draw, results):
    images = torch.where(torch.arange(64).reshape(1, 1, 8, 8) % 3 == 0, 1.0, -1.0).repeat(64, 1, 1, 1)
    page = draw(results({"white": 26.62}), {"data/images": images})
    (content,) = [content for kind, content in map(decode, page.images) if kind == "image/png"]
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    assert set(np.unique(pixels)) == {0, 255}
    assert pixels.shape[0] == pixels.shape[1]


def test_noise_is_coloured_by_its_sign_on_one_scale(draw, results):
    arrays = {"white/noise": torch.full((4, 1, 8, 8), 2.0), "tilt/noise": torch.full((4, 1, 8, 8), -1.0)}
    page = draw(results({"white": 26.62, "tilt": 5.0}, {"tilt": (-21.6, 1.0)}), arrays)
    contents = [content for kind, content in map(decode, page.images) if kind == "image/png"]
    colours = [Image.open(io.BytesIO(content)).getpixel((100, 100)) for content in contents]
    (red, _, blue), (weak_red, _, weak_blue) = colours
    assert red > blue
    assert weak_blue > weak_red
    # Half the strength: halfway between grey and the end of the scale.
    assert blue < 60
    assert weak_red > 100


def test_large_images_are_fewer(draw, results):
    page = draw(results({"white": 26.62}), {"data/images": torch.zeros(64, 3, 128, 128)})
    (image,) = [image for image in page.images if image["class"] == "pixels"]
    assert image["alt"] == "4 real images in a grid."


def test_what_is_absent_is_left_out(draw, results, arrays):
    made = results({"white": 26.62, "tilt": 5.0}, {"tilt": (-21.6, 1.0)})
    for key in ("config", "versions", "machine", "data", "metrics", "created"):
        del made[key]
    made["floors"] = {}
    for arm in made["arms"].values():
        for run in arm["runs"]:
            del run["training"], run["evaluation"]
    page = draw(made, {})
    assert page.ids == ["answer", "figures", "details"]
    assert row(page, "floor")[1] == "–"

    partial = {
        k: v for k, v in arrays(["white", "tilt"]).items() if not k.startswith("tilt/") and k != "forward/levels"
    }
    page = draw(made, partial)
    assert page.ids == SECTIONS

    for arm in made["arms"].values():
        arm["summary"], arm["difference"] = {}, None
    page = draw(made, {})
    assert page.ids == ["answer", "details"]
    assert "No difference shown: no figure of merit was measured." in page.text


def test_numpy_arrays_give_the_same_page(draw, results, arrays):
    tensors = arrays(["white"])
    page = draw(results({"white": 26.62}), tensors)
    assert page.source == draw(results({"white": 26.62}), {k: v.numpy() for k, v in tensors.items()}).source


def test_figure_that_is_not_finite_is_said_to_be_missing(draw, results):
    made = results({"white": 26.62}, seeds=(0,))
    made["arms"]["white"]["summary"]["spectral_rms_db"] = dict.fromkeys(("mean", "low", "high"))
    page = draw(made, {})
    assert "Spectral error (dB)" in page.text
    assert row(page, "white", "–")


def test_no_arms_is_refused(results, folder):
    with pytest.raises(InputError, match="results hold no arms"):
        render(results({"white": 1.0}) | {"arms": {}}, {}, folder / "no.html")


def test_unknown_reference_is_refused(results, folder):
    with pytest.raises(InputError, match="reference_arm 'grey' is not one of the arms: white"):
        render(results({"white": 1.0}) | {"reference_arm": "grey"}, {}, folder / "no.html")


@pytest.mark.parametrize("name", ["data/images", "white/samples", "white/noise", "white/forward"])
def test_images_that_are_not_finite_are_refused(results, arrays, folder, name):
    broken = arrays(["white"])
    broken[name][0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="finite"):
        render(results({"white": 1.0}), {name: broken[name]}, folder / "no.html")
    assert not (folder / "no.html").exists()


def test_spectrum_that_does_not_fit_the_bands_is_refused(results, arrays, folder):
    made = arrays(["white"]) | {"white/noise_profile": torch.ones(3)}
    with pytest.raises(InputError, match=r"spectrum of 'white' must have 4 bands as the edges say, got shape \(3,\)"):
        render(results({"white": 1.0}), made, folder / "no.html")
