import numpy as np
import pytest
from PIL import Image

from sagd.data.formats import Format
from sagd.data.formats.frames import films
from sagd.errors import InputError

FORM = Format.parse("frames")


@pytest.fixture
def film(tmp_path, draw):
    """A folder of 12 grey pictures and their values."""
    folder = tmp_path / "film"
    folder.mkdir()
    values = draw("uint8", 12, 5, 7)
    for i, frame in enumerate(values):
        Image.fromarray(frame).save(folder / f"frame {i}.png")
    (folder / ".hidden.png").write_bytes(b"x")
    return folder, values


def test_a_folder_is_a_film_in_natural_order(film, again):
    folder, values = film
    (found,) = again(folder)
    np.testing.assert_array_equal(found.values, values)
    assert (found.contents.axes, found.contents.limits, found.contents.notes) == ("TYX", (0, 255), ())
    assert sorted(file.name for file in found.written.path.iterdir()) == sorted(f"frame {i}.png" for i in range(12))


def test_only_the_frames_of_a_part_are_read(film):
    folder, values = film
    (contents,) = FORM.scan(folder)
    for i in (0, 1, 2, 5):
        (folder / f"frame {i}.png").unlink()
    np.testing.assert_array_equal(FORM.read(contents, (slice(3, 5), slice(None), slice(2, 4))), values[3:5, :, 2:4])


def test_other_files_are_left_out_and_said(film):
    folder, _ = film
    (folder / "notes.txt").touch()
    (folder / "more").mkdir()
    (contents,) = FORM.scan(folder)
    assert contents.notes == ("2 other file(s) are left out, e.g. 'more'",)


def test_frames_are_alike(film, draw):
    folder, _ = film
    Image.fromarray(draw("uint8", 5, 8)).save(folder / "frame 3.png")
    with pytest.raises(
        InputError, match=r"^'frame 3\.png' is uint8 of shape \(5, 8\), 'frame 0\.png' is uint8 of shape"
    ):
        FORM.scan(folder)
    (folder / "frame 3.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"^'frame 3\.png' cannot be read as a picture: cannot identify the file$"):
        FORM.scan(folder)


def test_folders_without_pictures_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"^holds no pictures; found: nothing$"):
        FORM.scan(tmp_path)
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match=r"^holds no pictures; found: a\.txt$"):
        FORM.scan(tmp_path)


@pytest.mark.parametrize(("dtype", "ending"), [("uint8", "png"), ("uint16", "png"), ("float32", "tif")])
def test_new_films_have_numbered_pictures(dtype, ending, tmp_path, draw, like):
    values = draw(dtype, 3, 5, 7)
    FORM.write(tmp_path / "new", values, like(values, "TYX"))
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == [f"00000{i}.{ending}" for i in range(3)]
    np.testing.assert_array_equal(FORM.read(FORM.scan(tmp_path / "new")[0]), values)


def test_a_part_is_written_with_the_ending_of_the_film(film, tmp_path, draw):
    folder, values = film
    (contents,) = FORM.scan(folder)
    FORM.write(tmp_path / "part", values[:4], contents)
    assert sorted(file.name for file in (tmp_path / "part").iterdir()) == [f"00000{i}.png" for i in range(4)]


def test_nothing_is_left_of_what_cannot_be_written(film, tmp_path, draw):
    folder, _ = film
    (contents,) = FORM.scan(folder)
    with pytest.raises(InputError):
        FORM.write(tmp_path / "new", draw("float32", 12, 5, 7), contents)
    assert [file.name for file in tmp_path.iterdir()] == ["film"]


def test_clips_are_not_lost_to_a_picture_beside_them(film, caplog):
    caplog.set_level("INFO", "sagd")
    folder, values = film
    pictures = sorted(folder.glob("frame*"))
    clips = [folder / "a.npy", folder / "b.npy"]
    for clip in clips:
        np.save(clip, values)
    assert films([*clips, pictures[0]]) == [*clips, pictures[0]]
    assert films([]) == []
    assert caplog.text == ""
    assert films([*clips, *pictures]) == [folder]
    assert "left out 2 file(s) beside the pictures of films, e.g. a.npy" in caplog.text
