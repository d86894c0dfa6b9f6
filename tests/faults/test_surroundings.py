"""What is around a command: streams, locale, home, user and network."""

import contextlib
import io
import os
import random
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.campaign import COMMANDS, LONG, Connections, contents, drawn, pairs, write_data
from tests.faults.test_kills import ROOT

from sagd.cli.program import main


@pytest.mark.parametrize(("command", "kind"), pairs())
def test_no_connection_is_attempted(command, kind, bench, campaign):
    """For local data, none at all, not even one that would fail."""
    with campaign("surroundings") as faults, faults(f"network and {command} of {kind}"):
        assert bench.undisturbed(command, kind).attempted == ()


def test_attempts_to_connect_are_noticed():
    with Connections() as attempted:
        with pytest.raises(OSError, match="unreachable"):
            socket.create_connection(("127.0.0.1", 9))
        with pytest.raises(OSError, match="unreachable"):
            socket.getaddrinfo("example.org", 80)
    assert len(attempted) == 2


@pytest.mark.parametrize(("command", "kind"), pairs() if LONG else drawn("streams", pairs(), 1))
@pytest.mark.parametrize("stream", ["full", "closed", "ascii"])
def test_standard_output(command, kind, stream, bench, tmp_path, campaign):
    """What belongs in `--out` is there, and the exit code says if the rest could not be told."""
    whole = bench.undisturbed(command, kind)
    args = [command, *COMMANDS[command](bench, kind), "--out", tmp_path / "out"]
    told = io.StringIO()
    with campaign("surroundings") as faults, faults(f"{stream} standard output and {command} of {kind}"):
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stderr(told))
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(_stream(stream))))
            code = main([str(arg) for arg in args])
        assert code == (0 if stream == "ascii" else 1), told.getvalue()
        assert "Traceback" not in told.getvalue()
        assert contents(tmp_path / "out") == whole.files


@contextlib.contextmanager
def _stream(kind):
    if kind == "ascii":
        yield io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
        return
    if kind == "full":
        with open("/dev/full", "w", buffering=1) as stream:  # noqa: PTH123
            yield stream
            with contextlib.suppress(OSError):
                stream.close()
        return
    read, write = os.pipe()
    os.close(write)
    with os.fdopen(read, "r") as stream:  # not open for writing: each write fails
        yield io.TextIOWrapper(_Unwritable(), write_through=True)
        del stream


class _Unwritable(io.RawIOBase):
    def writable(self):
        return True

    def write(self, _):
        raise OSError(9, "Bad file descriptor")


NAMES = ("é☃", "a b", "-rf", "<script>alert(1)</script>".replace("/", "_"), "$(touch x)", "%s{0}", "x" * 240)


@pytest.mark.parametrize("command", ["corrupt", "clean", "restore", "inspect"])
def test_names_of_every_script(command, bench, tmp_path, campaign):
    """In the data and the output, on streams that know ASCII alone; none is run, escapes a page, or leads elsewhere."""
    with campaign("surroundings") as faults:
        for name in drawn(f"names {command}", NAMES, 1):
            with faults(f"{command} of a file named {name[:20]}"):
                data = write_data(tmp_path / "data", "image", 8 if command == "inspect" else 3)
                first = sorted(data.iterdir())[0]
                first.rename(data / f"{name}.png")
                out = tmp_path / f"out {name[:60]}"
                args = {
                    "corrupt": [data, "band_noise(low=0.5, high=0.8, level=0.1)"],
                    "clean": [data, "--band", "ring(low=0.5, high=0.8)"],
                    "restore": [bench.model("image"), data],
                    "inspect": [data],
                }[command]
                with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="ascii")):
                    code = main([command, *map(str, args), f"--out={out}"])
                assert code == 0
                if command in ("clean", "restore", "corrupt"):
                    assert [path.name for path in out.rglob(f"{_escaped(name)}.png")], list(out.rglob("*"))
                for page in out.glob("*.html"):
                    assert "<script>alert" not in page.read_text()
            for path in (tmp_path / "data", tmp_path / f"out {name[:60]}"):
                shutil.rmtree(path, ignore_errors=True)


def _escaped(name):
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


BARE = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PATH": "/nowhere"}


def test_no_home_no_user_and_no_locale(bench, tmp_path, campaign):
    """One process, as a container may start it: an account that no file knows, without a home."""
    script = "import sys; from sagd.__main__ import main; sys.exit(main())"
    user = {"user": 54321} if os.geteuid() == 0 and _readable_by_all() else {}
    folder = Path(_shared(tmp_path))
    call = [sys.executable, "-c", script, "corrupt", "digits", "rain(level=0.01)", "--data.limit", "20"]
    env = BARE | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        with campaign("surroundings") as faults, faults("no home, no user, LC_ALL=C"):
            options = {"cwd": folder, "env": env, "capture_output": True, "timeout": 300, "check": False}
            done = subprocess.run([*call, "--out", "out-\udcff"], **options, **user)
            assert done.returncode == 0, done.stderr
            assert b"Traceback" not in done.stderr
            assert sorted(os.listdir(os.fsencode(folder))) == [b"out-\xff"]  # noqa: PTH208 - no text
    finally:
        shutil.rmtree(folder)


def _readable_by_all():
    """Whether another account may run this Python, and read what is installed and tested."""
    paths = [Path(sys.executable).resolve(), Path(sys.prefix), ROOT / "src" / "sagd"]
    return all(above.stat().st_mode & 0o005 == 0o005 for path in paths for above in (path, *path.parents))


def _shared(tmp_path):
    import tempfile

    folder = tempfile.mkdtemp(dir=tempfile.gettempdir(), prefix=f"sagd-{random.Random(str(tmp_path)).random()}")
    Path(folder).chmod(0o777)
    return folder
