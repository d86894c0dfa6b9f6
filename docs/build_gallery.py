"""Build docs/gallery.md and its figures from the two photographs that come with scikit-learn: needs no network.

python docs/build_gallery.py
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sagd.data.signals import Signals
from sagd.report.gallery import PARTS, alt_text, arm, figure_png, gallery_figure
from sagd.study.gallery import Exhibit, exhibits

FOLDER = Path(__file__).parent
PHOTOGRAPHS = ("china", "flower")
SIDE, CROPS, LEAST = 64, 64, 128
"""Side of the images; crops of each photograph, and the least side of one before it is scaled."""

HEAD = f"""# Gallery

What every forward process of the library does to one picture of {SIDE} x {SIDE} pixels. To see it on an image of yours:

    sagd gallery photos/ --data.size 64 --out runs/gallery

## How to read the figures
"""

TAIL = f"""
Each section gives the configuration as YAML: put it under `arms:` in a file for `sagd compare`, or give its lines to
`sagd train`, as `--process.spectrum` and so on. The SNR, and processes that use the spectrum, colours or classes of the
data, take them from {2 * CROPS} crops of two photographs, `china` and `flower`.
"""

CREDITS = """
---

Built by `make gallery`. The photographs come with scikit-learn: china.jpg by
[danielbuechele](https://www.flickr.com/photos/danielbuechele/6061409035/) and flower.jpg by
[vultilion](https://www.flickr.com/photos/vultilion/6056698931/), both under
[CC BY 2.0](https://creativecommons.org/licenses/by/2.0/), cropped and scaled.
"""


def photographs() -> Signals:
    """Square crops of both photographs, each a class; the first of each is the largest, from its middle."""
    from sklearn.datasets import load_sample_image

    random = np.random.default_rng(0)
    crops = []
    for name in PHOTOGRAPHS:
        whole = Image.fromarray(load_sample_image(f"{name}.jpg"))
        crops.append(_crop(whole, whole.height, (whole.width - whole.height) // 2, 0))
        for side in random.integers(LEAST, whole.height + 1, CROPS - 1).tolist():
            x, y = (int(random.integers(0, length - side + 1)) for length in whole.size)
            crops.append(_crop(whole, side, x, y))
    pixels = torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2).copy())
    return Signals("photographs", pixels, torch.arange(2).repeat_interleave(CROPS), PHOTOGRAPHS)


def _crop(whole: Image.Image, side: int, x: int, y: int) -> np.ndarray:
    box = (x, y, x + side, y + side)
    return np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box))


def section(exhibit: Exhibit) -> str:
    """One process in Markdown."""
    entry = exhibit.entry
    source = f"Source: {entry.source}.\n\n" if entry.source else ""
    figure = f"![{alt_text(entry)}](images/gallery/{entry.name}.png)"
    return f"\n## {entry.name}\n\n{entry.summary}\n\n{figure}\n\n```yaml\n{arm(entry)}```\n\n{source}".rstrip() + "\n"


def main() -> None:
    """Write the page and its figures."""
    images = FOLDER / "images" / "gallery"
    images.mkdir(parents=True, exist_ok=True)
    for old in images.glob("*.png"):
        old.unlink()
    sections = []
    for exhibit in exhibits(photographs(), progress=True):
        (images / f"{exhibit.entry.name}.png").write_bytes(figure_png(gallery_figure(exhibit)))
        sections.append(section(exhibit))
    parts = "".join(f"\n{textwrap.fill(f'**{heading}.** {text}', 120)}\n" for heading, text in PARTS.items())
    (FOLDER / "gallery.md").write_text(f"{HEAD}{parts}{TAIL}{''.join(sections)}{CREDITS}", encoding="utf-8")


if __name__ == "__main__":
    main()
