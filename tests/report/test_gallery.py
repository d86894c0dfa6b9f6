"""Figures of the gallery, its page, and the copy of both in the documentation."""

import io
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from matplotlib.text import Text
from PIL import Image

from sagd.build.catalogue import Entry, catalogue
from sagd.build.schema import CompareConfig, ProcessConfig
from sagd.build.text import from_dict
from sagd.data.signals import Signals
from sagd.report.gallery import DPI, PARTS, arm, figure_png, gallery_figure, render_gallery
from sagd.study.gallery import exhibits

DOCS = Path(__file__).parents[2] / "docs"
NAMES = ["white", "omission", "white_to_blue", "by_class", "by_colour"]


@pytest.fixture(scope="module")
def shown():
    """Name -> exhibit, of random colour images in two classes."""
    pixels = torch.randint(0, 256, (20, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = Signals("random", pixels, torch.arange(20) % 2, ("cat", "a dog whose name is long"))
    return {e.entry.name: e for e in exhibits(data, names=NAMES)}


@pytest.fixture
def figure(shown):
    return lambda name, **changes: gallery_figure(replace(shown[name], **changes))


def texts(figure):
    """What can be read in a figure, from top to bottom."""
    found = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    return [text.get_text() for text in found]


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_readable(figure, name):
    """Every part is there; letters are of 9.5 points or more, inside of the figure, and none lies on another."""
    drawn = figure(name)
    assert {name, "Noise", "Spectrum of the noise (dB)", "SNR (dB)"} <= set(texts(drawn))
    assert sum(text.startswith("t = ") for text in texts(drawn)) >= 6
    drawn.draw_without_rendering()
    sheet, boxes = drawn.bbox, []
    for text in drawn.findobj(Text):
        if text.get_text() and text.get_visible():
            box = text.get_window_extent()
            assert text.get_fontsize() >= 9.5
            assert sheet.x0 <= box.x0 <= box.x1 <= sheet.x1, text
            assert sheet.y0 <= box.y0 <= box.y1 <= sheet.y1, text
            assert not any(box.overlaps(other) for other in boxes), text
            boxes.append(box)


def test_noise_by_class_or_time_is_shown_twice(figure):
    # Noise and spectrum, two of each; their scale, SNR, its key, six images.
    assert [len(figure(name).axes) for name in ("white", "white_to_blue", "by_class")] == [11, 13, 13]
    labels = [axes.get_xlabel() for axes in figure("by_class").axes]
    assert labels[:4] == ["class cat", "class a dog whose n…"] * 2
    assert "time t (class cat)" in labels
    assert labels[:4] != [axes.get_xlabel() for axes in figure("white").axes][:4]


def test_spectra_of_one_figure_share_their_scale(figure):
    first, second = (axes.get_images()[0].get_clim() for axes in figure("by_class").axes[2:4])
    assert first == second
    assert first[1] - first[0] > 6


def test_what_looks_empty_is_explained(figure):
    assert "equal power\nat all frequencies" in texts(figure("white"))
    omission = texts(figure("omission"))
    assert "equal power\nwhere not white" in omission
    assert "no noise" in omission
    assert not {"no noise", "equal power\nat all frequencies"} & set(texts(figure("by_colour")))
    spectrum = figure("omission").axes[1].get_images()[0].get_array()
    assert 0 < np.ma.getmaskarray(np.ma.masked_invalid(spectrum)).mean() < 1


def test_snr_is_in_decibels_and_leaves_out_empty_bands(figure, shown):
    snr = torch.full_like(shown["white"].snr, 10.0)
    # No frequency, no noise, no data.
    snr[1], snr[2], snr[3] = torch.nan, torch.inf, 0.0
    axes = next(a for a in figure("white", snr=snr).axes if a.get_xlabel() == "time t")
    assert axes.get_ylim() == (-60, 60)
    zero, *curves = axes.get_lines()
    assert set(zero.get_ydata()) == {0}
    heights = [set(np.round(curve.get_ydata(), 6)) for curve in curves]
    assert heights == [{10.0}, {60.0}, {10.0}]
    assert len({curve.get_color() for curve in curves}) == 3


def test_grey_noise_is_drawn_around_grey():
    pixels = torch.randint(0, 256, (9, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    (e,) = exhibits(Signals("grey", pixels), names=["white"])
    noise, image = (gallery_figure(e).axes[i].get_images()[0].get_array() for i in (0, 5))
    assert noise.shape == (8, 8, 3)
    assert (noise[..., 2] > noise[..., 0]).tolist() == (e.noise[""][0] < 0).tolist()
    assert image.shape == (8, 8)


def test_the_png_is_small_and_keeps_plain_colours(figure):
    drawn = figure("white")
    with Image.open(io.BytesIO(figure_png(drawn))) as picture:
        assert picture.mode == "P"
        assert picture.size == tuple((DPI * drawn.get_size_inches()).round().astype(int))
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    whole = io.BytesIO()
    drawn.savefig(whole, format="png")
    with Image.open(whole) as picture:
        expected = np.asarray(picture.convert("RGB")).astype(int)
    assert (pixels[0] == 255).all()
    assert np.abs(pixels - expected).mean() < 5
    assert (pixels == expected).all(-1).mean() > 0.5
    assert figure_png(drawn) == figure_png(drawn)


class Page(HTMLParser):
    """Tags, ids, links, images and texts of a page."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.ids, self.links, self.images, self.texts, self.code = set(), [], [], [], [], []
        self.open = ""
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.open = tag
        self.tags.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if tag == "a" else []
        self.images += [given] if tag == "img" else []

    def handle_data(self, data):
        (self.code if self.open == "pre" else self.texts).append(data)

    def handle_endtag(self, tag):
        self.open = ""


@pytest.fixture(scope="module")
def page(shown, tmp_path_factory):
    out = tmp_path_factory.mktemp("gallery")
    assert render_gallery(shown.values(), out, "Noise & images", "<random>") == out / "gallery.html"
    return out


def test_the_page_is_self_contained(page):
    source = (page / "gallery.html").read_text(encoding="utf-8")
    read = Page(source)
    assert not read.tags & {"script", "link", "iframe", "object", "embed", "base"}
    assert all(text not in source for text in ("http://", "https://", "url(", "@import"))
    assert "default-src 'none'" in source
    assert "prefers-color-scheme: dark" in source
    assert all(image["src"].startswith("data:image/png;base64,") for image in read.images)


def test_the_page_shows_every_process(page, shown):
    source = (page / "gallery.html").read_text(encoding="utf-8")
    read = Page(source)
    assert read.ids == ["how-to-read", *NAMES]
    assert read.links == [f"#{name}" for name in NAMES]
    assert [image["alt"].split(":")[0] for image in read.images] == NAMES
    text = " ".join(" ".join(read.texts).split())
    assert all(part in text for pair in PARTS.items() for part in pair)
    assert all(e.entry.summary in text and e.entry.source in text for e in shown.values())
    assert "Noise &amp; images" in source
    assert "&lt;random&gt;" in source
    arms = yaml.safe_load("".join(read.code))
    assert from_dict(CompareConfig, {"arms": arms}).arms == {name: e.entry.process for name, e in shown.items()}


def test_figures_lie_beside_the_page(page):
    assert sorted(path.stem for path in (page / "figures").iterdir()) == sorted(NAMES)
    for path in (page / "figures").iterdir():
        with Image.open(path) as picture:
            assert picture.width == 8 * DPI


def test_configurations_are_what_differs_from_white_noise():
    assert arm(Entry("white", ProcessConfig(), "")) == "white: {}\n"
    process = ProcessConfig(spectrum="by_class(spectra={'a': 'flat'}, default='flat')", calibration="none")
    assert yaml.safe_load(arm(Entry("x", process, ""))) == {"x": {"spectrum": process.spectrum, "calibration": "none"}}


def test_the_documentation_shows_the_catalogue_as_it_is():
    """Rebuild it with `make gallery` after changes."""
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    entries = catalogue((3, 64, 64), ("china", "flower"))
    figures = sorted((DOCS / "images" / "gallery").iterdir())
    assert [path.stem for path in figures] == sorted(entry.name for entry in entries)
    assert sum(path.stat().st_size for path in figures) < 2_000_000
    sections = text.split("\n## ")[2:]
    for entry, section in zip(entries, sections, strict=True):
        assert section.startswith(f"{entry.name}\n\n{entry.summary}\n\n![")
        assert f"(images/gallery/{entry.name}.png)" in section
        assert f"```yaml\n{arm(entry)}```" in section
        assert entry.source in section
