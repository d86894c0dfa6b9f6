"""Figures without their drawing, which takes most of the time of commands that are tried on next to nothing."""

import pytest


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Let figures reach files as bytes: each is a point, and pages of pictures are blank."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    def savefig(self, file, format=None, **_):
        if format == "svg":
            file.write(b"<svg xmlns='http://www.w3.org/2000/svg' width='1pt' height='1pt' viewBox='0 0 1 1'></svg>")
        else:
            Image.new("RGB", (1, 1)).save(file, format)

    patch.setattr(Figure, "savefig", savefig)
    patch.setattr(FigureCanvasAgg, "draw", lambda self: self.get_renderer())
