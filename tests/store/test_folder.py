import contextlib
import errno
import multiprocessing
import os
import sys
from pathlib import Path

import pytest

from sagd.errors import InputError
from sagd.store import folder
from sagd.store.folder import claim


def compete(out, counts):
    """Claim and release many times; the file `held` shows another holder."""
    held, taken = Path(out) / "held", 0
    for _ in range(300):
        with contextlib.suppress(InputError), claim(Path(out), empty=False):
            held.touch(exist_ok=False)
            held.unlink()
            taken += 1
    counts.put(taken)


def test_one_process_at_a_time_holds_a_folder(tmp_path):
    """Although the lock file is removed by each."""
    spawn = multiprocessing.get_context("spawn")
    counts = spawn.Queue()
    processes = [spawn.Process(target=compete, args=(str(tmp_path), counts)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    assert sum(counts.get(timeout=5) for _ in processes) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_free_again_whatever_happened(tmp_path):
    out = tmp_path / "a" / "b"
    with pytest.raises(KeyError), claim(out):
        raise KeyError
    with claim(out):
        assert (out / ".lock").read_text() == f"{os.getpid()}\n"
    assert list(out.iterdir()) == []


def test_a_signal_while_the_lock_is_removed_leaves_none(tmp_path, monkeypatch):
    unlink, calls = Path.unlink, []

    def interrupted(path, **options):
        calls.append(path)
        if len(calls) == 1:
            raise KeyboardInterrupt
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", interrupted)
    with pytest.raises(KeyboardInterrupt), claim(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_inside_leaves_what_was_there(tmp_path):
    with pytest.raises(InputError, match="inside"), claim(tmp_path / "new"):
        raise InputError("inside")
    assert not (tmp_path / "new").exists()
    with pytest.raises(InputError, match="inside"), claim(tmp_path):
        raise InputError("inside")
    assert tmp_path.exists()
    with contextlib.suppress(InputError), claim(tmp_path / "kept"):
        (tmp_path / "kept" / "result").touch()
        raise InputError("inside")
    assert (tmp_path / "kept" / "result").exists()


def test_a_folder_that_cannot_be_listed_is_refused_in_a_line(tmp_path, monkeypatch):
    def refused(_folder="."):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refused)
    with (
        pytest.raises(InputError, match=r"cannot write in '.*': Permission denied; choose another out"),
        claim(tmp_path),
    ):
        pass


def test_a_lock_left_by_a_killed_process_does_not_count(tmp_path):
    (tmp_path / ".lock").write_text("1\n")
    with claim(tmp_path):
        pass
    (tmp_path / "result").touch()
    with pytest.raises(InputError, match=r"is not empty; wash it$"), claim(tmp_path, advice="wash it"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize(
    "stop", [InputError("no"), KeyboardInterrupt(), RuntimeError()], ids=lambda error: type(error).__name__
)
def test_what_is_stopped_before_it_wrote_leaves_nothing_behind(tmp_path, stop):
    """Neither the folder nor those above it that were made for it; whatever was written stays."""
    with pytest.raises(type(stop)), claim(tmp_path / "a" / "b" / "out"):
        raise stop
    assert list(tmp_path.iterdir()) == []
    out = tmp_path / "a" / "b" / "out"

    def work():
        with claim(out):
            (out / "result").touch()
            raise stop

    with pytest.raises(type(stop)):
        work()
    assert [entry.name for entry in out.iterdir()] == ["result"]


def test_files_that_only_bear_the_name_of_a_lock_are_left_alone(tmp_path):
    """A link to something precious, or a file of somebody else."""
    (tmp_path / "precious").write_text("12")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / ".lock").symlink_to(tmp_path / "precious")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".lock").write_text("keep me")
    for name, message in (("linked", "cannot write in"), ("other", "is no lock of sagd; move it away")):
        with pytest.raises(InputError, match=message), claim(tmp_path / name, empty=False):
            pytest.fail("claimed")
    assert (tmp_path / "precious").read_text() == "12"
    assert (tmp_path / "linked" / ".lock").is_symlink()
    assert (tmp_path / "other" / ".lock").read_text() == "keep me"


def test_the_lock_of_a_command_that_was_killed_is_taken_over(tmp_path):
    (tmp_path / ".lock").write_text("4711\n")
    with claim(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def windows(monkeypatch):
    """What Windows lacks: `flock`, `O_NOFOLLOW`, `os.pread`, and the removal of a file that is open."""
    unlink, close, opened = Path.unlink, os.close, set()

    def opening(path, flags, mode=0o777, *, dir_fd=None, original=os.open):
        number = original(path, flags, mode, dir_fd=dir_fd)
        opened.add((number, str(path)))
        return number

    def closing(number):
        opened.difference_update({entry for entry in opened if entry[0] == number})
        close(number)

    def unlinking(self, missing_ok=False):
        if any(path == str(self) for _, path in opened):
            raise PermissionError(13, "Permission denied", str(self))
        unlink(self, missing_ok)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(folder, "_NOFOLLOW", 0)
    monkeypatch.delattr(os, "pread")
    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(os, "close", closing)
    monkeypatch.setattr(Path, "unlink", unlinking)


def test_without_locks_a_folder_is_claimed_with_a_warning(windows, tmp_path):
    with (
        pytest.warns(UserWarning, match=r"cannot be locked \(this system has no flock\); let no other command write"),
        claim(tmp_path / "out"),
    ):
        assert (tmp_path / "out" / ".lock").read_text() == f"{os.getpid()}\n"
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.filterwarnings("ignore:.*cannot be locked")
def test_without_locks_the_other_refusals_stay(windows, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "result").touch()
    with pytest.raises(InputError, match="is not empty"), claim(tmp_path / "full"):
        pytest.fail("claimed")
    with pytest.raises(InputError, match="no"), claim(tmp_path / "new"):
        raise InputError("no")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".lock").write_text("keep me")
    with pytest.raises(InputError, match="is no lock of sagd"), claim(tmp_path / "other", empty=False):
        pytest.fail("claimed")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "full",
        "full/result",
        "other",
        "other/.lock",
    ]


def test_a_pipe_in_place_of_the_lock_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(InputError, match="is no lock of sagd; move it away"), claim(tmp_path, empty=False):
        pass
    assert (tmp_path / ".lock").is_fifo()


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS])
def test_where_the_file_system_has_no_locks_a_warning_says_so(number, monkeypatch, tmp_path):
    import fcntl

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.warns(
            UserWarning, match=rf"cannot be locked \({os.strerror(number)}\); let no other command write there"
        ),
        claim(tmp_path / "out"),
    ):
        assert (tmp_path / "out" / ".lock").exists()
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for out, why in (
        (tmp_path / "file", "it is no folder"),
        (tmp_path / "file" / "below", "a part of this path is no folder"),
        (Path("/dev/null"), "it is no folder"),
    ):
        with pytest.raises(InputError, match=f"^cannot write in '{out}': {why}; choose another out$"), claim(out):
            pytest.fail("claimed")
