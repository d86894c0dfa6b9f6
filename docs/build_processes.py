"""Build docs/processes.md, its figure and its results file from a finished comparison.

sagd compare examples/processes.yaml --out runs/processes
python docs/build_processes.py runs/processes
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from safetensors.torch import load_file

from sagd.data.images import image_grid, to_uint8
from sagd.report.text import comparison_text

FOLDER = Path(__file__).parent
ROWS, COLUMNS = 4, 6
"""Panels of the figure."""

PAGE = """# Every process on the same digits

Each process of [the gallery](gallery.md) that fits grey images, trained on scikit-learn's 8x8 digits: same network
(told the class) ({parameters:,} parameters), {steps} steps of {batch} images, same seed, same sampler (Heun,
{sampling} steps, time grid matched to each process). The configuration is
[examples/processes.yaml](../examples/processes.yaml), all figures are in
[results/processes.json](results/processes.json).

![Sixteen generated digits of every process beside real ones](images/processes.png)

```text
{table}
```

With one seed the table shows that every process trains and samples sensibly, and not which is better: the spread
between seeds is unknown here. `omission` stands apart for a reason that needs no statistics. No noise reaches its
band, so samples hold the mean image there, which the spectral error shows. Blurring and the two sequential
processes come out last of the others at this budget; whether that is the training or the 18 steps is not told
apart here.

{machine}
"""


def main(run: Path) -> None:
    """Write the page, the figure and the results of the comparison in `run`."""
    results = json.loads((run / "results.json").read_text())
    shutil.copy(run / "results.json", FOLDER / "results" / "processes.json")
    arrays = load_file(run / "arrays.safetensors")
    panels = {"real images": arrays["data/images"]} | {arm: arrays[f"{arm}/samples"] for arm in results["arms"]}
    figure = Figure(figsize=(8, 6.1), layout="constrained")
    axes = figure.subplots(ROWS, COLUMNS)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (name, images) in zip(axes.flat, panels.items(), strict=False):
        ax.imshow(image_grid(to_uint8(images[:16]), 4), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        ax.set_title(name, fontsize=9.5)
    figure.savefig(FOLDER / "images" / "processes.png", dpi=110)
    (FOLDER / "processes.md").write_text(page(results), encoding="utf-8")


def page(results: dict[str, Any]) -> str:
    """The page of a comparison."""
    config, first = results["config"], next(iter(results["arms"].values()))["runs"][0]
    return PAGE.format(
        parameters=first["training"]["parameters"],
        steps=config["training"]["steps"],
        batch=config["training"]["batch_size"],
        sampling=config["sampling"]["steps"],
        table=comparison_text(results),
        machine=f"{results['machine']['cores']} CPU cores, torch {results['versions']['torch']}, diffusers"
        f" {results['versions']['diffusers']}.",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
