import base64
import io
import math
import re
import wave

import numpy as np
import pytest
import torch
from PIL import Image

from sagd.errors import InputError
from sagd.report.players import audio_players, film, wav


def decoded(content):
    """Samples `(C, T)` and rate of a WAV file, by its definition."""
    with wave.open(io.BytesIO(content)) as file:
        assert file.getsampwidth() == 2
        values = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels()).T
        return values, file.getframerate()


def content(uri, kind):
    head, text = uri.split(";base64,")
    assert head == f"data:{kind}"
    return base64.b64decode(text)


def tones(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5


def test_sound_of_sixteen_bits_comes_back_exactly():
    pcm = torch.tensor([[-32768, -1, 0, 1, 12345, 32767], [0, 5, -5, 7, -7, 0]])
    values, rate = decoded(wav(pcm / 32768, 8000))
    assert values.tolist() == pcm.tolist()
    assert rate == 8000


def test_full_scale_does_not_wrap_around():
    values, _ = decoded(wav(torch.tensor([[1.0, -1.0, 0.99999]]), 44100))
    assert values.tolist() == [[32767, -32768, 32767]]


def test_quiet_records_are_not_made_louder():
    x = 0.01 * tones(3, 2, 100)
    players = audio_players(x, 8000)
    for player, record in zip(players.items, x, strict=True):
        values, _ = decoded(content(player.source, "audio/wav"))
        np.testing.assert_allclose(values, record * 32768, atol=0.5)
    assert players.note == "All 3 records, 0.0125 s each."
    assert [player.caption for player in players.items] == ["1", "2", "3"]


def test_what_is_too_loud_is_said_and_all_records_keep_their_ratio():
    x = torch.stack([torch.full((1, 50), 4.0), torch.full((1, 50), 1.0)])
    players = audio_players(x, 100, full_scale=2.0, captions=["loud", "soft"])
    loud, soft = (decoded(content(player.source, "audio/wav"))[0][0, 0] for player in players.items)
    assert (loud, soft) == (32767, 8192)
    assert players.note == "All 2 records, 0.5 s each. Played 6.0 dB softer, so that the loudest value fits."
    assert [player.caption for player in players.items] == ["loud", "soft"]


def test_the_page_stays_light():
    x = tones(20, 1, 1000)
    players = audio_players(x, 1000, budget=10_000)
    assert players.note == "The first 3 of 20 records, 1 s each."
    assert sum(len(player.source) for player in players.items) <= 10_000
    one = audio_players(x, 1000, budget=1000)
    assert len(one.items[0].source) <= 1000
    assert one.note == "The first 1 of 20 records, 1 s each. Only the first 0.337 s are in this page."
    assert len(audio_players(x, 1000).items) == 12


@pytest.mark.parametrize(
    ("x", "rate", "message"),
    [
        (torch.zeros(2, 3, 9), 8000, r"1 or 2 channels to be played, got shape \(2, 3, 9\)"),
        (torch.zeros(1, 1, 0), 8000, "got shape"),
        (torch.full((1, 1, 9), math.nan), 8000, "non-finite values"),
        (torch.zeros(1, 1, 9), 8000.5, "a whole number of samples per second, got a rate of 8000.5"),
        (torch.zeros(1, 1, 9), 0, "got a rate of 0"),
    ],
)
def test_what_cannot_be_played_is_refused(x, rate, message):
    with pytest.raises(InputError, match=message):
        audio_players(x, rate)


def test_arguments_are_checked():
    with pytest.raises(InputError, match="full_scale must be positive, got 0"):
        audio_players(torch.zeros(1, 1, 9), 8, full_scale=0)
    with pytest.raises(InputError, match="a caption for each of 1 records, got 2"):
        audio_players(torch.zeros(1, 1, 9), 8, captions=["a", "b"])


def test_pages_allow_and_hold_the_players():
    from jinja2 import Environment, PackageLoader

    players = audio_players(tones(2, 1, 20), 8000, captions=["<one>", "two"])
    environment = Environment(loader=PackageLoader("sagd", "report"), autoescape=True)
    text = environment.from_string("{% from 'players.html' import heard %}{{ heard(players) }}").render(players=players)
    assert re.findall(r'<audio controls[^>]* src="([^"]+)"', text) == [player.source for player in players.items]
    assert "&lt;one&gt;" in text
    head = environment.get_template("head.html").render()
    assert "media-src data:" in head


# Films --------------------------------------------------------------------------------------------------------------


def frames(picture):
    image = Image.open(io.BytesIO(content(picture.source, "image/png")))
    shown = []
    for k in range(image.n_frames):
        image.seek(k)
        shown.append((np.asarray(image.convert("RGB")), image.info["duration"]))
    return shown


def test_films_hold_every_frame_enlarged_by_a_whole_factor():
    x = torch.arange(5.0)[None, None, :, None, None].expand(2, 1, 5, 40, 30) / 4
    picture, note = film(x, rate=10, limits=(0, 1))
    shown = frames(picture)
    assert [frame[0, 0].tolist() for frame, _ in shown] == [[v] * 3 for v in (0, 64, 128, 191, 255)]
    assert {duration for _, duration in shown} == {100}
    assert shown[0][0].shape == (160, 2 * 120 + 4, 3)
    assert note == "All 2 clips of 5 frames, at 10 frames per second."
    assert picture.alt == f"Film. {note}"


def test_colours_and_values_of_films():
    x = torch.tensor([0.0, 0.5, 1.0])[None, :, None, None, None].repeat(1, 1, 2, 8, 8)
    x[:, :, 1] = 1
    assert frames(film(x, limits=(0, 1))[0])[0][0][0, 0].tolist() == [0, 128, 255]
    blue_to_red = frames(film(torch.tensor([-1.0, 1.0])[None, None, :, None, None].expand(1, 1, 2, 8, 8))[0])
    assert blue_to_red[0][0][0, 0].tolist() == [5, 48, 97]
    assert blue_to_red[1][0][0, 0].tolist() == [103, 0, 31]


def test_films_too_fast_or_too_many_are_said():
    x = tones(40, 1, 16, 100, 100)
    picture, note = film(x, rate=100)
    assert note == "The first 6 of 40 clips of 16 frames, at 25 frames per second instead of 100."
    assert len(picture.source) < 8e6
    assert film(x[:1, :, :2])[1] == "One clip of 2 frames, at 8 frames per second."


def test_of_a_film_that_is_too_long_the_beginning_is_shown():
    x = tones(2, 1, 40, 100, 100)
    picture, note = film(x, budget=3 * 10 * 200 * 200)
    assert (
        note
        == "The first 1 of 2 clips of 40 frames, at 8 frames per second. Only the first 10 frames are in this page."
    )
    assert len(frames(picture)) == 10


def test_films_of_other_shapes_are_refused():
    with pytest.raises(
        InputError, match=r"of 1 channel, or of 3 with limits, got shape \(1, 3, 2, 4, 4\), limits None"
    ):
        film(torch.zeros(1, 3, 2, 4, 4))
    with pytest.raises(InputError, match="rate must be positive"):
        film(torch.zeros(1, 1, 2, 4, 4), rate=-1)
