"""`make test-wheel` runs this with the Python of a fresh environment, outside the source tree.

First with what a plain `pip install sagd` brings (`required`), then with `sagd[all]` (`all`).
"""

import importlib.metadata
import importlib.resources
import subprocess
import sys
import tempfile
from pathlib import Path

FILES = ["py.typed", *(f"report/{name}.html" for name in ("gallery", "head", "page", "resampling", "restoration"))]
TINY = "--network.widths 4 8 --training.steps 4 --training.batch-size 4 --training.warmup-steps 1 --data.limit 200"


def check_required() -> None:
    """Noise, process, loss and sampler work, and what is missing says what to install."""
    import torch

    import sagd

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    noise = sagd.SpectralCovariance(sagd.PowerLaw(-0.5), (1, 8, 8))
    process = sagd.ForwardProcess(sagd.VPSchedule(), noise)
    denoiser = sagd.NetworkDenoiser(Network(), process)
    loss = sagd.DenoisingLoss()(denoiser, torch.zeros(4, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    loss.backward()
    assert loss.isfinite()
    assert sagd.DDIM().sample(denoiser, 2, steps=3).shape == (2, 1, 8, 8)
    said = ""
    try:
        sagd.plot_spectrum(sagd.Flat())
    except sagd.InputError as error:
        said = str(error)
    assert said == "matplotlib is needed for pictures; pip install 'sagd[report]'"
    package = importlib.resources.files("sagd")
    assert Path(sagd.__file__).is_relative_to(sys.prefix), "the source tree was imported, not the wheel"
    assert all((package / name).is_file() for name in FILES)
    assert sagd.__version__ == importlib.metadata.version("sagd")


def check_all() -> None:
    """The program trains and samples, draws a report's page, and knows its version."""
    with tempfile.TemporaryDirectory() as folder:
        assert sagd("--version", folder).strip() == importlib.metadata.version("sagd")
        sagd(f"train --data.source digits {TINY} --training.device cpu --out run", folder)
        sagd("sample run --count 2 --steps 2 --out samples", folder)
        sagd("gallery digits --data.limit 50 --names white wavelet --out gallery", folder)
        made = ("run/model/model.safetensors", "samples/grid.png", "samples/images/000001.png", "gallery/gallery.html")
        assert all((Path(folder) / name).is_file() for name in made)


def sagd(command: str, folder: str) -> str:
    """What the program prints."""
    program = Path(sys.executable).with_name("sagd")
    return subprocess.run([program, *command.split()], cwd=folder, check=True, text=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    {"required": check_required, "all": check_all}[sys.argv[1]]()
