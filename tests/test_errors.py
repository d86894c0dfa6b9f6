"""What errors of the system say in a line, and bounds of whole numbers."""

import errno
import math
import re

import pytest

from sagd.errors import InputError, beyond, calling, check_squares, check_whole


def unicode_error():
    try:
        "\udcff".encode()
    except UnicodeEncodeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENAMETOOLONG, "File name too long", "a"), "cannot use 'a': File name too long"),
        (OSError(errno.EXDEV, "Cross-device link", "a", None, "b"), "cannot use 'a', 'b': Cross-device link"),
        (OSError("nobody knows"), "the system refused: nobody knows"),
        (unicode_error(), r"text '\udcff' cannot be used: 'utf-8' codec.*; write it in UTF-8"),
        (MemoryError(), "the memory is too small: MemoryError; lower sizes of batches, data or network"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes"), "the memory is too small: Default.*"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply: maximum recursion.*"),
        (OverflowError("int too large to convert to float"), "a number is too large: int too large.*"),
    ],
)
def test_errors_of_the_system_are_a_line(error, line):
    assert re.fullmatch(line.replace("\\", "\\\\"), beyond(error))


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), KeyError("a"), ValueError("b")])
def test_errors_of_the_program_stay(error):
    assert beyond(error) is None


def test_whole_numbers_have_bounds():
    check_whole("steps", 3, 1, 5)
    for value, message in ((0, "at least 1, got 0"), (6, "at most 5, got 6"), (2.0, "at least 1 and whole, got 2.0")):
        with pytest.raises(InputError, match=f"^--steps must be {message}$"), calling({"steps": "--steps"}):
            check_whole("steps", value, 1, 5)
    with pytest.raises(InputError, match="and whole, got True"):
        check_whole("steps", True)


@pytest.mark.parametrize("largest", [1e300, math.inf, 1e-300, 5e-324])
def test_what_has_no_square_is_refused(largest):
    with pytest.raises(InputError, match=r"values vary by .*, whose square double precision does not hold"):
        check_squares("values", largest)
    for usual in (0.0, 1e-100, 1.0, 1e100):
        check_squares("values", usual)
