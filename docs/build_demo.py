"""Build docs/images/demo.png and docs/results/demo.json from the finished demo.

make demo
python docs/build_demo.py runs/demo/tilts
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from safetensors.torch import load_file

from sagd.data.drawing import FONT, INK, Style, add_legend, label_axes, log_axes, styles, tidy_axes
from sagd.data.images import image_grid
from sagd.report.figures import RHO_LABEL, plot_bands
from sagd.report.pictures import noise_colours, reach

FOLDER = Path(__file__).parent
SAMPLES = 6
"""Rows and columns of a grid of samples."""


def main(run: Path) -> None:
    """Write the figure and the results of the comparison in `run`."""
    arms = list(json.loads((run / "results.json").read_text())["arms"])
    shutil.copy(run / "results.json", FOLDER / "results" / "demo.json")
    arrays, looks = load_file(run / "arrays.safetensors"), styles(arms)
    figure = Figure(figsize=(9, 8.2), layout="constrained")
    above, middle, below = figure.subfigures(3, 1, height_ratios=(1, 1, 1.25))
    above.suptitle("Samples beside real images (first seed, not selected)", fontsize=FONT + 2)
    drawn = {"real images": arrays["data/images"]} | {arm: arrays[f"{arm}/samples"] for arm in arms}
    for axes, (name, images) in zip(above.subplots(1, len(drawn)), drawn.items(), strict=True):
        show(axes, image_grid(images[: SAMPLES**2].clamp(-1, 1), SAMPLES), name)
    middle.suptitle("Noise, from blue (below zero) over grey to red", fontsize=FONT + 2)
    limit = max(reach(arrays[f"{arm}/noise"]) for arm in arms)
    for axes, arm in zip(middle.subplots(1, len(arms)), arms, strict=True):
        show(axes, image_grid(noise_colours(arrays[f"{arm}/noise"], limit), 2), arm)
    left, right = below.subplots(1, 2)
    for axes, title, label in ((left, "Power of the noise", "$w^2$"), (right, "Power of images", "$S$")):
        tidy_axes(axes)
        axes.set_title(title, fontsize=FONT + 2)
        label_axes(axes, RHO_LABEL, label)
    edges = arrays["profile/edges"]
    real = Style(INK, (), "")
    plot_bands(right, edges, arrays["data/profile"].mean(0).numpy(), real, "real images", linewidth=3)
    for arm in arms:
        plot_bands(left, edges, arrays[f"{arm}/noise_profile"].numpy(), looks[arm], arm)
        plot_bands(right, edges, arrays[f"{arm}/sample_profile"].mean(0).numpy(), looks[arm], arm)
    for axes in (left, right):
        log_axes(axes, least_span=4)
        add_legend(axes)
    figure.savefig(FOLDER / "images" / "demo.png", dpi=110)


def show(axes: Axes, picture: object, title: str) -> None:
    """A picture without ticks under its name."""
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=FONT)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
