import csv
import dataclasses

import numpy as np
import pytest

from sagd.data.formats import Format, Step
from sagd.errors import InputError

FORM = Format.parse("csv")


def table(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "values", "step"),
    [
        ("a,b\n1,2.5\n-3,4e2\n", [[1, 2.5], [-3, 400]], None),
        ("1,2.5\n-3,4e2\n", [[1, 2.5], [-3, 400]], None),
        ("a;b\n1,5;2\n,25;4\n", [[1.5, 2], [0.25, 4]], None),
        ("a;b\n1.5;2\n3;4\n", [[1.5, 2], [3, 4]], None),
        ("a\tb\n1\t2\n3\t4\n", [[1, 2], [3, 4]], None),
        ("a\n1\n2\n3\n", [[1], [2], [3]], None),
        ("time,a\n0,1\n0.5,2\n1,3\n", [[1], [2], [3]], Step(0.5, "")),
        ("a,Time [ms]\n1,0\n2,2\n3,4\n", [[1], [2], [3]], Step(2.0, "ms")),
        ("t (s),a\n0,1\n0.003,2\n0.006,3\n0.008,4\n", [[1], [2], [3], [4]], Step(0.008 / 3, "s")),
        ("n,a\n5,1\n6,2\n7,3\n", [[1], [2], [3]], Step(1.0, "")),
        ("Zeit [s],a\n5,1\n6,2\n7,3\n", [[1], [2], [3]], Step(1.0, "s")),
        ("n,a\n5,1\n6,2\n", [[5, 1], [6, 2]], None),
        ("n,a\n7,1\n6,2\n5,3\n", [[7, 1], [6, 2], [5, 3]], None),
        ("date,a\n2020-02-28,1\n2020-02-29,2\n2020-03-01,3\n", [[1], [2], [3]], Step(86400.0, "s")),
        ("2020-01-01 00:00:00,1\n2020-01-01 00:00:30,2\n2020-01-01 00:01:00,3\n", [[1], [2], [3]], Step(30.0, "s")),
        ("time,a\n0,1\n1,2\n5,3\n", [[1], [2], [3]], None),
        ("time,a\nearly,1\nlate,2\n", [[1], [2]], None),
        ("# made by hand\n# twice\na,b\n1,2\n3,3\n", [[1, 2], [3, 3]], None),
        ('"a, b","c"\n"1","2"\n3,4\n\n', [[1, 2], [3, 4]], None),
        ("a,b\n1,inf\n2,-inf\n", [[1, np.inf], [2, -np.inf]], None),
        ("A1,1,2\nA2,3,4\n", [[1, 2], [3, 4]], None),
        ("A1,0,2\nA2,1,4\nA3,2,3\n", [[0, 2], [1, 4], [2, 3]], None),
        ("who,a\nA1,2\nA2,4\n", [[2], [4]], None),
        ("a,b\n1,\n,4\n", [[1, np.nan], [np.nan, 4]], None),
        ("a,b\nNA,NA\n1,4\n", [[np.nan, np.nan], [1, 4]], None),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tables(text, values, step, newline, tmp_path, again):
    path = table(tmp_path / "a.csv", text.replace("\n", newline))
    (found,) = again(path)
    np.testing.assert_allclose(found.values, values, rtol=1e-15)
    assert found.contents.steps == ({} if step is None else {"T": step})
    assert found.contents.axes == "TC"
    assert found.written.kept == found.contents.kept
    with path.open(newline="") as one, found.written.path.open(newline="") as other:
        assert one.read().count(newline) - text.count("\n\n") == other.read().count(newline)


def test_what_is_written_is_what_was_there(tmp_path, again):
    text = "# who\ntime (s);a;b\n0,0;1,5;NA\n0,5;-2;3\n1,0;1e-07;0,1\n"
    (found,) = again(table(tmp_path / "a.csv", text))
    assert found.written.path.read_text() == text
    assert found.contents.notes == ("column 'time (s)' is taken for times",)


def test_pythons_reader_agrees(tmp_path, draw, like, seconds):
    values = draw("float64", 50, 3)
    FORM.write(tmp_path / "a.csv", values, like(values, "TC", steps=seconds))
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["time [s]", "channel 1", "channel 2", "channel 3"]
    assert [[float(cell) for cell in row] for row in rows[1:]] == np.c_[np.arange(50) / 8, values].tolist()
    assert FORM.scan(tmp_path / "a.csv")[0].steps == seconds


def test_single_precision_is_written_in_full(tmp_path, draw, like):
    values = draw("float32", 50)
    FORM.write(tmp_path / "a.tsv", values, like(values, "T"))
    read = FORM.read(FORM.scan(tmp_path / "a.tsv")[0])
    np.testing.assert_array_equal(read.astype(np.float32)[:, 0], values)
    assert "\t" not in (tmp_path / "a.tsv").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,x\n", r"^line 3, column 'b': 'x' is no number$"),
        ("1,2\n3,x\n", r"^line 2, column 2: 'x' is no number$"),
        ("# c\na,b\n1,2\n\n3,x\n", r"^line 5, column 'b': 'x' is no number$"),
        ("time,b\n1,2\n3,1_000\n", r"^line 3, column 'b': '1_000' is no number$"),
        ("a;b\n1,5;2\n1.5;3\n", r"^line 3, column 'a': '1\.5' is no number$"),
        ("a,b\n1,2\n3\n", r"^line 3 has 1 cells, line 1 has 2; the file probably ends in the middle of it$"),
        ("a,b\n1\n3,4\n", r"^line 2 has 1 cells, line 1 has 2$"),
        ("a,b\n1,2,3\n", r"^line 2 has 3 cells, line 1 has 2$"),
        ("a,b\n", "^holds no lines of values below its names$"),
        ("# c\n", "^holds no lines of values$"),
        ("\n\n", "^holds no lines of values$"),
        ("a,b\n1,٣\n", "^line 2, column 'b': '٣' is no number$"),
    ],
)
def test_cells_that_are_no_numbers_are_named(text, message, tmp_path):
    with pytest.raises(InputError, match=message):
        FORM.scan(table(tmp_path / "a.csv", text))


def test_line_breaks_within_cells_are_named(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"1\t2\n3\r4\t5\n")
    with pytest.raises(InputError, match=r"^cannot be read as csv: line 2 breaks off within a cell$"):
        FORM.scan(tmp_path / "a.tsv")


def test_cells_of_other_bytes_are_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,\x00\n")
    with pytest.raises(InputError):
        FORM.scan(tmp_path / "a.csv")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig"])
def test_names_of_other_alphabets(encoding, tmp_path, again):
    path = table(tmp_path / "a.csv", "größe,b\n1,2\n3,3\n", encoding)
    (found,) = again(path)
    assert found.written.path.read_bytes() == path.read_bytes()
    assert bool(found.contents.notes) == (encoding == "latin-1")


def test_a_part_has_times_of_its_own(tmp_path):
    (contents,) = FORM.scan(table(tmp_path / "a.csv", "time,a\n2,1\n2.5,2\n3,3\n"))
    FORM.write(tmp_path / "b.csv", np.array([[7.0], [8.0]]), contents)
    assert (tmp_path / "b.csv").read_text() == "time,a\n2,7\n2.5,8\n"
    (contents,) = FORM.scan(table(tmp_path / "a.csv", "date,a\n2020-02-28,1\n2020-02-29,2\n2020-03-01,3\n"))
    FORM.write(tmp_path / "b.csv", np.array([[7.0], [8.0]]), contents)
    assert FORM.scan(tmp_path / "b.csv")[0].steps == contents.steps
    (contents,) = FORM.scan(table(tmp_path / "a.csv", "time,a\n0,1\n1,2\n5,3\n"))
    with pytest.raises(InputError, match=r"^2 lines cannot be written with the file's 3 uneven times$"):
        FORM.write(tmp_path / "c.csv", np.array([[7.0], [8.0]]), contents)
    assert not (tmp_path / "c.csv").exists()


def test_other_numbers_of_channels_have_no_names(tmp_path):
    (contents,) = FORM.scan(table(tmp_path / "a.csv", "a,b\n1,2\n3,3\n"))
    with pytest.raises(InputError, match=r"^3 channels cannot be written under the 2 names there are$"):
        FORM.write(tmp_path / "b.csv", np.zeros((2, 3)), contents)


def test_changed_values_have_the_decimals_of_their_column_and_others_their_cells(tmp_path):
    text = "time,a,b,c\n0.000,1.50,1e-3,7\n0.004,-2.25,+2.0,8\n0.008,NA,3,9\n"
    (contents,) = FORM.scan(table(tmp_path / "a.csv", text))
    values = FORM.read(contents)
    values[0] = [1.23456789, 0.00123456789, 6.6]
    values[1, 0] = -0.0000001
    FORM.write(tmp_path / "b.csv", values, contents)
    said = "time,a,b,c\n0.000,1.23,0.00123,6.6\n0.004,0.00,+2.0,8\n0.008,NA,3,9\n"
    assert (tmp_path / "b.csv").read_text() == said
    FORM.write(tmp_path / "c.csv", values, dataclasses.replace(contents, exact=True))
    assert (tmp_path / "c.csv").read_text().splitlines()[1] == "0.000,1.23456789,0.00123456789,6.6"


def test_small_changes_of_coarse_columns_are_seen(tmp_path):
    text = "a,b\n1,5.e-03\n3,7.e-03\n5,3.e-03\n8,4.e-03\n"
    (contents,) = FORM.scan(table(tmp_path / "a.csv", text))
    values = FORM.read(contents)
    changed = values + np.array([0.3, 0.0012])
    FORM.write(tmp_path / "b.csv", changed, contents)
    read = np.loadtxt(tmp_path / "b.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(read, changed, atol=1e-9)
