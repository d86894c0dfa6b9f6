import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from sagd.data import previews
from sagd.errors import InputError
from sagd.report.pictures import pixels, preview


def draws(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def opened(picture):
    kind, content = picture.source.split(";base64,")
    assert kind == "data:image/png"
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize(
    ("kind", "shape", "facts", "draw"),
    [
        ("audio", (1, 400), {"rate": 8000, "unit": "Pa"}, previews.waveforms),
        ("series", (2, 90), {"unit": ["mV", "K"], "names": ["a", "b"]}, previews.series),
        ("video", (3, 5, 8, 9), {"limits": (0, 1)}, previews.films),
        ("volume", (1, 6, 8, 9), {"steps": (2, 1, 1), "length": "mm"}, previews.volumes),
        ("field", (2, 8, 9), {}, previews.fields),
    ],
)
def test_a_preview_is_the_picture_of_its_kind(kind, shape, facts, draw):
    x = draws(3, *shape)
    picture = preview(x, kind, **facts)
    assert np.array_equal(np.asarray(opened(picture)), np.asarray(draw(x, **facts)))
    assert picture.kind == "pixels"
    assert picture.alt == f"Signals of kind {kind}, from a batch of 3."


def test_the_preview_of_images_is_their_grid():
    x = draws(70, 3, 8, 8)
    assert preview(x, "image").source == pixels(x[:64], 8, "").source


def test_unknown_kinds_and_facts_are_refused():
    with pytest.raises(InputError, match="no picture is known of 'smell'; kinds are image, audio, series"):
        preview(draws(1, 1, 9), "smell")
    with pytest.raises(InputError, match="pictures of kind 'audio' have no names, steps; they take rate, unit"):
        preview(draws(1, 1, 9), "audio", rate=8, names=["a"], steps=(1,))
    with pytest.raises(InputError, match="have no rate; they take none"):
        preview(draws(1, 1, 9, 9), "image", rate=8)
    with pytest.raises(InputError, match=r"need images \(N, C, H, W\)"):
        preview(draws(1, 1, 9), "image")
