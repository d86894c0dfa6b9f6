"""The page of restored images: what it shows, and that it needs nothing else."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest
import torch

from sagd.data.drawing import styles
from sagd.data.files import Named
from sagd.data.meaning import Meaning
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.omission.modes import Mode, Restoration
from sagd.report import figures
from sagd.report.restoration import MOST_IMAGES, render_restoration
from sagd.study.restoration import measured
from sagd.study.sides import Sides


def result(count=3, channels=1, clean=True, samples=False, mode="fill", band="ring(low=0.2, high=0.4)", basis=None):
    g = torch.Generator().manual_seed(0)
    shape = (count, channels, 12, 10)
    damaged, restored, true = (torch.rand(*shape, generator=g) * 2 - 1 for _ in range(3))
    spread = (torch.rand(*shape, generator=g), torch.rand(4, *shape, generator=g)) if samples else (None, None)
    named = Named(tuple(f"folder/<{i}>.png" for i in range(count)), damaged, Meaning())
    basis = basis or FourierBasis((12, 10))
    known = true if clean else None
    return measured(named, Restoration(restored, *spread), known, Mode.from_dict({"kind": mode, "band": band}), basis)


class Reader(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.sources, self.alts, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.sources.append(dict(attrs)["src"])
            self.alts.append(dict(attrs)["alt"])

    def handle_data(self, data):
        self.text += data


def page(tmp_path, **options):
    path = render_restoration(result(**options), tmp_path)
    assert path == tmp_path / "report.html"
    return Reader(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("channels", [1, 3])
def test_all_is_shown_and_nothing_is_fetched(tmp_path, channels):
    read = page(tmp_path, channels=channels, samples=True)
    assert len(read.sources) == 4  # images, samples, spectra, map
    assert all(source.startswith("data:image/") for source in read.sources)
    assert all(read.alts)
    for heading in ("damaged", "restored", "clean", "change", "error left", "uncertainty", "Posterior samples"):
        assert heading in read.text
    assert "folder/<0>.png, folder/<1>.png" in read.text
    assert re.search(r"PSNR (rose|fell) from [\d.]+ to [\d.]+ dB", read.text)


def test_without_clean_images_no_error_is_claimed(tmp_path):
    read = page(tmp_path, clean=False)
    assert len(read.sources) == 3
    for word in ("PSNR", "error left", "uncertainty", "Posterior samples"):
        assert word not in read.text
    assert "--clean" in read.text


@pytest.mark.parametrize("mode", Mode.kinds())
def test_every_mode_is_explained(tmp_path, mode):
    assert re.sub(r"</?b>", "", Mode.member(mode).said)[:40] in page(tmp_path, mode=mode).text


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        ("network", "restored by fill"),
        ("clean", "the measured damage taken out"),
        ("removal", "the band deleted"),
    ],
)
def test_the_page_says_what_it_shows(tmp_path, taken, said):
    figures = dict.fromkeys(("damaged", "network", "clean", "removal"), (0.0,))
    found = dataclasses.replace(result(), sides=Sides(("a",), {}, figures, taken))
    assert said in Reader(render_restoration(found, tmp_path).read_text(encoding="utf-8")).text


def test_few_of_many_are_shown_evenly(tmp_path):
    read = page(tmp_path, count=4 * MOST_IMAGES)
    assert f"{MOST_IMAGES} of {4 * MOST_IMAGES} images" in read.text
    assert "folder/<4>.png" in read.text
    assert "folder/<1>.png" not in read.text


@pytest.mark.parametrize(
    "band", ["strip(axis=0)", "per_channel(spectra=['ring(high=0.3)', 'ring(low=0.6)', 'ring(low=0.8)'])"]
)
def test_other_bands(tmp_path, band):
    page(tmp_path, channels=3, band=band)


def test_the_band_is_shaded_by_its_share():
    edges = [0, 0.25, 0.5, 0.75, 1]
    looks = styles(["damaged", "restored"])
    spectra = {"damaged": [3, 2, 1, 0.5], "restored": [3, 1, 1, 0.5]}
    figure = figures.restoration_figure(edges, spectra, {}, [0, 1, 0.5, 0], looks)
    (axes,) = figure.axes
    shades = {patch.get_x(): patch.get_alpha() for patch in axes.patches}
    assert shades == {0.25: pytest.approx(0.35), 0.5: pytest.approx(0.175)}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["damaged", "restored"]
    both = figures.restoration_figure(edges, spectra, spectra, [0, 1, 0.5, 0], looks)
    assert len(both.axes) == 2


def test_the_map_has_dc_in_the_middle():
    b = torch.zeros(6, 5)
    b[1, 2] = 1
    (axes,) = figures.mask_figure(b.numpy(), 8).axes
    drawn = axes.get_images()[0].get_array()
    assert drawn.shape == (6, 8)
    assert {tuple(map(int, place)) for place in zip(*drawn.nonzero(), strict=True)} == {(4, 6), (2, 2)}


def test_a_map_is_drawn_of_fourier_frequencies_only(tmp_path):
    mixed = ChannelBasis((12, 10), FourierBasis((12, 10)), torch.eye(3)[[1, 2, 0]])
    assert len(page(tmp_path, channels=3, basis=mixed).sources) == 3
    assert len(page(tmp_path, basis=CosineBasis((12, 10))).sources) == 2
