"""Files that stay open: opened once, few at a time, closed in the end, and never those of another time or process."""

import copy
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from sagd.data.formats import Format
from sagd.data.formats.find import format_of
from sagd.data.formats.handles import Handles, opened


class Files:
    """Opens files, and counts those that are open."""

    def __init__(self):
        self.opened, self.open, self.most = 0, 0, 0

    def reading(self, path):
        @contextmanager
        def opening():
            self.opened += 1
            self.open += 1
            self.most = max(self.most, self.open)
            yield path.read_text()
            self.open -= 1

        with opened(path, opening) as text:
            return text


@pytest.fixture
def paths(tmp_path):
    for k in range(5):
        (tmp_path / f"{k}.txt").write_text(f"file {k}")
    return sorted(tmp_path.iterdir())


def test_files_close_at_once_unless_they_are_kept(paths):
    files = Files()
    assert [files.reading(paths[0]) for _ in range(3)] == ["file 0"] * 3
    assert (files.opened, files.open) == (3, 0)


def test_those_read_last_stay_open(paths):
    files, handles = Files(), Handles(most=2)
    with handles.kept():
        for k in (0, 1, 0, 1, 2, 1, 0):
            assert files.reading(paths[k]) == f"file {k}"
    assert files.opened == 4  # 0, 1, 2, and 0 again
    assert files.open == len(handles) == 2
    del handles
    assert files.open == 0


def test_a_file_that_was_written_anew_is_opened_anew(paths):
    files, handles = Files(), Handles()
    with handles.kept():
        files.reading(paths[0])
        paths[0].write_text("another one")
        assert files.reading(paths[0]) == "another one"
    paths[0].unlink()
    with pytest.raises(FileNotFoundError), handles.kept():
        files.reading(paths[0])


def test_a_file_that_could_not_be_read_is_closed(paths):
    files, handles = Files(), Handles()

    @contextmanager
    def opening():
        with open(paths[0]) as file:  # noqa: PTH123
            yield file

    with handles.kept(), pytest.raises(ValueError, match="odd"), opened(paths[0], opening) as file:
        raise ValueError("odd")
    assert file.closed
    assert (len(handles), files.open) == (0, 0)


def test_threads_do_not_share_an_open_file(paths):
    handles, together = Handles(), threading.Barrier(3, timeout=10)
    lent = []

    def read(_):
        with handles.kept(), opened(paths[0], lambda: open(paths[0])) as file:  # noqa: PTH123
            lent.append(file)
            together.wait()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(read, range(3)))
    assert len(set(map(id, lent))) == 3
    assert len(handles) == 3


def test_copies_and_other_processes_begin_anew(paths):
    handles = Handles(most=3)
    with handles.kept(), opened(paths[0], lambda: open(paths[0])) as file:  # noqa: PTH123
        pass
    for other in (pickle.loads(pickle.dumps(handles)), copy.deepcopy(handles)):
        assert (len(other), other._most) == (0, 3)
    child = os.fork() if hasattr(os, "fork") else None
    if child == 0:
        with handles.kept(), opened(paths[0], lambda: open(paths[0])) as own:  # noqa: PTH123
            os._exit(0 if own is not file and own.read() == "file 0" else 1)
    if child is not None:
        assert os.waitpid(child, 0)[1] == 0


def values(shape):
    return np.random.default_rng(0).integers(0, 60000, shape).astype(np.uint16)


@pytest.mark.parametrize(
    ("ending", "kind"), [(".npy", "npy"), (".h5", "hdf5"), (".zarr", "zarr"), (".tif", "tiff"), (".nc", "netcdf")]
)
def test_formats_read_the_same_from_open_files(tmp_path, ending, kind):
    """From several threads; each opens it once at most."""
    path, whole = tmp_path / f"a{ending}", values((20, 8, 9))
    np.save(tmp_path / "like.npy", whole)
    member = Format.parse(kind)
    like = format_of(tmp_path / "like.npy").scan(tmp_path / "like.npy")[0]
    axes = "NYX" if ending == ".tif" else "???"
    member.write(path, whole, replace(like, axes=axes))
    contents, handles = member.scan(path)[0], Handles()

    def read(k):
        with handles.kept():
            return member.read(contents, (slice(k, k + 1), slice(2, 5), slice(None)))

    with ThreadPoolExecutor(3) as pool:
        parts = list(pool.map(read, range(20)))
    assert all(np.array_equal(part[0], whole[k, 2:5]) for k, part in enumerate(parts))
    assert 1 <= len(handles) <= 3


def test_files_of_netcdf_are_opened_and_closed_by_one_thread_at_a_time(tmp_path):
    """Its libraries know no threads: one that opened a file while another read it broke both, once in some dozens."""
    path, whole = tmp_path / "a.nc", values((20, 8, 9))
    np.save(tmp_path / "like.npy", whole)
    member = Format.parse("netcdf")
    member.write(path, whole, replace(format_of(tmp_path / "like.npy").scan(tmp_path / "like.npy")[0], axes="???"))
    contents = member.scan(path)[0]
    for _ in range(60):
        handles = Handles()

        def read(k, handles=handles):
            with handles.kept():
                return member.read(contents, (slice(k, k + 1), slice(2, 5), slice(None)))

        with ThreadPoolExecutor(3) as pool:
            parts = list(pool.map(read, range(20)))
        assert all(np.array_equal(part[0], whole[k, 2:5]) for k, part in enumerate(parts))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_another_process_reads_netcdf_whatever_a_thread_did_when_it_began(tmp_path):
    """A lock that a thread holds at a fork is nobody's in the child, who would wait for it for good."""
    from sagd.data.formats import netcdf

    held, go_on = threading.Event(), threading.Event()

    def hold():
        with netcdf._ONE:
            held.set()
            go_on.wait(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(0 if netcdf._ONE.acquire(timeout=2) else 1)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("ending", [".wav", ".flac"])
def test_sounds_are_read_at_any_place_of_an_open_file(tmp_path, ending):
    import soundfile

    path = tmp_path / f"a{ending}"
    whole = np.random.default_rng(0).integers(-20000, 20000, 5000).astype(np.int16)
    soundfile.write(path, whole, 8000, subtype="PCM_16")
    member, handles = format_of(path), Handles()
    contents = member.scan(path)[0]
    with handles.kept():
        for start in (4000, 0, 17, 4999 - 100):
            assert np.array_equal(member.read(contents, (slice(start, start + 100),)), whole[start : start + 100])
    assert len(handles) == 1
