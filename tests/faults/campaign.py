"""What every family of faults shares: small data of each kind of signal, every command on it, and what watches files.

A fault is a family, a command, a kind of signal and a point, such as the file event at which the work ends. The short
form tries a fixed draw of each family, the long one (`make faults`) all of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import io
import json
import logging
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sagd.cli.program import main

LONG = os.environ.get("SAGD_FAULTS") == "long"
"""Whether all faults are tried, not a draw of them."""

KINDS = ("image", "audio", "series", "video", "volume", "field")
BAND = "ring(low=0.5, high=0.8)"
_STEPS = 4
TRAINING = {
    "steps": _STEPS,
    "batch_size": 4,
    "warmup_steps": 1,
    "checkpoint_every": 2,
    "keep_checkpoints": 1,
    "sample_every": 0,
    "log_every": 1,
    "device": "cpu",
    "precision": "no",
}
TINY = {"network": {"widths": [4]}, "training": TRAINING, "sampling": {"sampler": "euler", "steps": 2}}


def drawn(family: str, points: Sequence[Any], most: int) -> list[Any]:
    """In the long form all points, else `most` of them, always the same ones."""
    if LONG or len(points) <= most:
        return list(points)
    chosen = sorted(random.Random(family).sample(range(len(points)), most))
    return [points[i] for i in chosen]


_USUAL = {"design": "field", "clean": "audio", "gallery": "series", "train": "series", "sample": "audio"}
_USUAL |= {"corrupt": "image", "restore": "field", "resample": "video", "evaluate": "volume"}


def pairs() -> list[tuple[str, str]]:
    """Commands and kinds of signal: in the long form all pairs, else a kind for each command."""
    return [(c, k) for c in COMMANDS for k in (KINDS if LONG else (_USUAL.get(c, "image"),))]


# --- data of every kind, and what the commands make of it ---


def write_data(folder: Path, kind: str, count: int = 16) -> Path:
    """A folder of that many small files of a kind, smooth random ones and the same at each call."""
    folder.mkdir(parents=True)
    random_ = np.random.default_rng(KINDS.index(kind))
    for i in range(count):
        _WRITERS[kind](folder / f"item-{i:02d}", random_)
    return folder


def _smooth(random_: np.random.Generator, *shape: int) -> np.ndarray:
    """Values from 0 to 1 in which neighbours are alike."""
    x = random_.standard_normal(shape)
    for axis in range(len(shape)):
        x = x + np.roll(x, 1, axis)
    return (x - x.min()) / (x.max() - x.min())


def _image(path: Path, random_: np.random.Generator) -> None:
    from PIL import Image

    Image.fromarray((255 * _smooth(random_, 8, 8)).astype(np.uint8)).save(path.with_suffix(".png"))


def _audio(path: Path, random_: np.random.Generator) -> None:
    import wave

    with wave.open(str(path.with_suffix(".wav")), "wb") as file:
        file.setparams((1, 2, 8000, 64, "NONE", ""))
        file.writeframes((20000 * (_smooth(random_, 64) - 0.5)).astype("<i2").tobytes())


def _series(path: Path, random_: np.random.Generator) -> None:
    rows = "".join(f"{i},{value:.6f}\n" for i, value in enumerate(_smooth(random_, 64)))
    path.with_suffix(".csv").write_text(f"time,height\n{rows}")


def _video(path: Path, random_: np.random.Generator) -> None:
    from PIL import Image

    frames = [Image.fromarray(frame) for frame in (255 * _smooth(random_, 8, 8, 8)).astype(np.uint8)]
    frames[0].save(path.with_suffix(".gif"), save_all=True, append_images=frames[1:], duration=40)


def _volume(path: Path, random_: np.random.Generator) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(_smooth(random_, 8, 8, 8).astype(np.float32), np.eye(4)), f"{path}.nii")


def _field(path: Path, random_: np.random.Generator) -> None:
    np.save(path.with_suffix(".npy"), _smooth(random_, 8, 8).astype(np.float32))


_WRITERS = {"image": _image, "audio": _audio, "series": _series, "video": _video, "volume": _volume, "field": _field}


class Bench:
    """Data and models of every kind, made when they are first asked for, in one folder that no command may change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._undisturbed: dict[tuple[str, str], Undisturbed] = {}

    def data(self, kind: str) -> Path:
        """A folder of files."""
        path = self.folder / "data" / kind
        return path if path.exists() else write_data(path, kind)

    def files(self, kind: str) -> list[Path]:
        """Two of them."""
        return sorted(self.data(kind).iterdir())[:2]

    def config(self, kind: str, **sections: Any) -> Path:
        """A configuration of a training of a moment."""
        mapping = {"data": {"source": str(self.data(kind))}} | TINY | sections
        text = yaml.safe_dump(mapping, sort_keys=False)
        path = self.folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.yaml"
        if not path.exists():
            path.write_text(text)
        return path

    def model(self, kind: str, name: str = "fill") -> Path:
        """A run that has ended: `fill` leaves a band out, `bands` resamples any."""
        path = self.folder / "models" / f"{kind}-{name}"
        if not path.exists():
            extra = {
                "fill": {"process": {"omission": {"mode": "fill", "band": BAND}}},
                "bands": {"denoiser": {"bands": "random"}},
            }[name]
            assert quietly("train", self.config(kind, **extra), "--out", path).code == 0
        return path

    def undisturbed(self, command: str, kind: str) -> Undisturbed:
        """What a command makes where nothing goes wrong; done once."""
        if (command, kind) not in self._undisturbed:
            out = self.folder / "undisturbed" / f"{command}-{kind}"
            args = COMMANDS[command](self, kind)
            out.parent.mkdir(exist_ok=True)  # else one more event, when it is found missing
            start = time.perf_counter()
            with Events(out) as events, Connections() as attempted:
                ended = quietly(command, *args, "--out", out)
            assert ended.code == 0, ended.err
            found = Undisturbed(events.count, time.perf_counter() - start, contents(out), tuple(attempted))
            self._undisturbed[command, kind] = found
        return self._undisturbed[command, kind]


@dataclasses.dataclass(frozen=True)
class Undisturbed:
    """What a command makes where nothing goes wrong.

    Attributes:
        events: How often it changes the disk.
        seconds: How long it takes.
        files: What it leaves, by name; see `contents`.
        attempted: Connections that it tried.
    """

    events: int
    seconds: float
    files: dict[str, str]
    attempted: tuple[str, ...]


Builder = Callable[[Bench, str], list[Any]]
COMMANDS: dict[str, Builder] = {
    "inspect": lambda bench, kind: [bench.data(kind)],
    "design": lambda bench, kind: [bench.data(kind), "--evaluations", 4],
    "clean": lambda bench, kind: [*bench.files(kind), "--band", BAND],
    "gallery": lambda bench, kind: [bench.data(kind), "--names", "white"],
    "train": lambda bench, kind: [bench.config(kind)],
    "sample": lambda bench, kind: [bench.model(kind), "--count", 2],
    "corrupt": lambda bench, kind: [bench.data(kind), "band_noise(low=0.5, high=0.8, level=0.1)"],
    "restore": lambda bench, kind: [bench.model(kind), *bench.files(kind)],
    "resample": lambda bench, kind: [bench.model(kind, "bands"), *bench.files(kind), "--band", 0.5, 0.8, "--count", 1],
    "evaluate": lambda bench, kind: [bench.model(kind), "--evaluation.samples", 8],
    "compare": lambda bench, kind: [
        bench.config(kind, arms={"white": {}, "low": {"spectrum": "power_law(alpha=-0.2)"}}, evaluation={"samples": 8})
    ],
}
"""Every command that writes, and its arguments but for `--out`."""
RESUMABLE = ("train", "compare")


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def quietly(*args: Any) -> Ended:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings(), _noted(err):
        warnings.simplefilter("default")
        code = main([str(arg) for arg in args])
    return Ended(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _noted(stream: io.StringIO) -> Iterator[None]:
    """Context in which notes go to a stream alone, as those of a program do."""
    logger, handler = logging.getLogger("sagd"), logging.StreamHandler(stream)
    logger.addHandler(handler)
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def refusal(ended: Ended, some: bool = False) -> str:
    """The one line that a command said before it refused; notes and warnings may stand before it.

    Args:
        ended: How it ended.
        some: Whether it may have done a part of its work, and said so.
    """
    *_, last = ended.err.splitlines() or [""]
    assert ended.code == 2, f"exit code {ended.code}: {ended.err or ended.out}"
    assert some or ended.out == "", ended.out
    assert last.startswith("sagd: "), ended.err
    assert "Traceback" not in ended.err, ended.err
    return last.removeprefix("sagd: ")


_TIMED = ("*metrics.jsonl", "*step-*/state.json", "*step-*/manifest.json", "cleaning.json", "results.json")
_TIMED_BY_COMPARE = ("*evaluation/evaluation.json", "*evaluation/manifest.json")
_ROUNDED = ("inspection.json",)
_TIMES = ("created", "evaluation.json", "items_per_second", "path", "seconds", "state.json", "waited")


def contents(out: Path, names: Sequence[str] | None = None) -> dict[str, str]:
    """What is promised to be equal between equal runs, by the names of files: their bytes but for times and paths.

    Args:
        out: Folder.
        names: Files in it; default: all.

    Raises:
        ValueError: If one of JSON holds none.
    """
    if names is None:
        names = [str(path.relative_to(out)) for path in sorted(out.rglob("*")) if path.is_file()]
    return {name: _content(out / name, out) for name in names}


def _content(path: Path, out: Path) -> str:
    name = str(path.relative_to(out))
    data = path.read_bytes()
    timed = any(fnmatch(name, pattern) for pattern in (*_TIMED, *_TIMED_BY_COMPARE, *_ROUNDED))
    if timed and is_final(name):  # what is not may be cut short
        parts = data.decode().splitlines() if name.endswith("jsonl") else [data]
        return json.dumps([_timeless(json.loads(part)) for part in parts])
    if name == "report.html" and (out / "results.json").exists():  # its tables hold times
        assert data.rstrip().endswith(b"</html>"), f"{name} is cut short"
        return "page"
    return hashlib.sha256(data).hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(part) for key, part in value.items() if key not in _TIMES}
    if isinstance(value, list):
        return [_timeless(part) for part in value]
    return f"{value:.9g}" if isinstance(value, float) else value


def is_final(name: str) -> bool:
    """Whether a file below an output directory bears the name that it is to keep."""
    return not any(part.startswith(".") or part.endswith((".tmp", ".old")) for part in Path(name).parts)


# --- what watches files, and ends the work at one of their events ---


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the product catches it, and after it nothing reaches the disk."""


def full_disk() -> OSError:
    """What a full disk answers."""
    return OSError(errno.ENOSPC, "No space left on device")


_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "open": 1,
    "os.mkdir": 1,
    "os.rename": 2,
    "os.remove": 1,
    "os.rmdir": 1,
    "os.link": 2,
    "os.symlink": 2,
    "os.truncate": 1,
    "os.chmod": 1,
}
"""Audit events that change a disk, and how many paths each names."""
_NEEDS_SPACE = ("open", "os.mkdir", "os.link", "os.symlink", "fsync")


class Events:
    """Context that counts what changes the disk below `root`, and notes what changes it elsewhere.

    Opened for writing, made, renamed, removed and flushed are events. From the `at`-th on, with `fault` Killed, each
    raises that, so that not even clean-up happens, as after SIGKILL; the file that was being opened is there, and
    empty, and of the one that was being flushed there is half, as after a power cut. With an OSError, those raise it
    that need space. Any other `fault` is called once.

    Args:
        root: Folder.
        at: Number of the event, from 1; 0: none.
        fault: What happens at it.
    """

    def __init__(self, root: Path, at: int = 0, fault: type[Killed] | OSError | Callable[[], object] = Killed) -> None:
        self.root, self.at, self.fault = str(root.absolute()), at, fault
        self.count = 0
        self.elsewhere: set[str] = set()

    def __enter__(self) -> Events:
        _watch()
        _watching.append(self)
        self._fsync, os.fsync = os.fsync, self._flush
        return self

    def __exit__(self, *_: object) -> None:
        _watching.remove(self)
        os.fsync = self._fsync
        if self.dead and self.fault is Killed:
            _close_below(self.root)

    @property
    def dead(self) -> bool:
        """Whether the event has come."""
        return 0 < self.at <= self.count

    def heed(self, event: str, paths: Sequence[str], flags: int = 0) -> None:
        """Count an event, and do what is to happen at it."""
        inside = [path == self.root or path.startswith(self.root + os.sep) for path in paths]
        self.elsewhere.update(path for path, is_in in zip(paths, inside, strict=True) if not is_in)
        if not any(inside):
            return
        first = not self.dead
        self.count += 1
        if not self.dead:
            return
        if self.fault is Killed:
            if first and event == "open":
                with contextlib.suppress(OSError):
                    os.close(os.open(paths[0], flags & ~os.O_EXCL | os.O_CREAT, 0o666))
            raise Killed(f"{event} {paths[0]}")
        if isinstance(self.fault, OSError):
            if event in _NEEDS_SPACE:
                raise self.fault
        elif first:
            self.fault()

    def _flush(self, descriptor: int) -> None:
        first = not self.dead
        try:
            self.heed("fsync", [_target(descriptor)])
        except Killed:
            size = os.fstat(descriptor).st_size
            with contextlib.suppress(OSError):  # a directory
                if first:
                    os.ftruncate(descriptor, size // 2)
            raise
        self._fsync(descriptor)


_watching: list[Events] = []
_busy = False


def _audit(event: str, args: tuple[Any, ...]) -> None:
    global _busy
    if _listening:
        _listen(event, args)
    if not _watching or _busy or event not in _CHANGES:
        return
    flags = args[2] if event == "open" else 0
    if event == "open" and not (isinstance(flags, int) and flags & _WRITES):
        return
    names = args[: _CHANGES[event]]
    if any(isinstance(name, int) for name in names):
        return
    folder = {"os.remove": 1, "os.rmdir": 1, "os.mkdir": 2}.get(event)
    descriptor = -1 if folder is None else args[folder]
    at = str(Path.cwd()) if descriptor == -1 else _target(descriptor)
    _busy = True
    try:
        for events in tuple(_watching):
            events.heed(event, [os.path.normpath(Path(at, os.fsdecode(name))) for name in names], flags)
    finally:
        _busy = False


def _watch(hooked: list[bool] = []) -> None:  # noqa: B006 - once a process: no hook can be taken away
    if not hooked:
        hooked.append(True)
        sys.addaudithook(_audit)


def _close_below(root: str) -> None:
    """Close what a killed command had open, as the end of its process would: its locks, above all."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError):
            path = _target(int(entry.name)).removesuffix(" (deleted)")
            # Files that are objects of Python's are closed with their blocks.
            if (path == root or path.startswith(root + os.sep)) and (path.endswith(".lock") or Path(path).is_dir()):
                os.close(int(entry.name))


def _target(descriptor: int) -> str:
    """What a descriptor was opened for."""
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


# --- what no fault may do ---

MEMORY = 4 << 30
"""Bytes that a command may take beside what the process has."""


class Hung(BaseException):
    """A command went on for too long."""


@contextlib.contextmanager
def unharmed(out: Path, seconds: float = 120, memory: int = MEMORY) -> Iterator[None]:
    """Context of a command that may neither hang, nor take all memory, nor change a file outside of `out`."""

    def ring(*_: object) -> None:
        raise Hung(f"took more than {seconds} s")

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    resource.setrlimit(resource.RLIMIT_AS, (size + memory, hard))
    try:
        with Events(out) as events:
            yield
    except Hung as error:
        raise AssertionError(str(error)) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    left = [path for path in events.elsewhere if os.path.lexists(path) and not is_cache(path)]
    assert left == [], f"changed outside of {out}: {left}"


def is_cache(path: str) -> bool:
    """Whether a file may change that is not below `--out`."""
    torch_ = str(Path(tempfile.gettempdir(), "torchinductor_"))  # an empty folder, made when torch is imported
    return "__pycache__" in path or path.startswith((os.environ["SAGD_CACHE"], torch_, "/dev/", "/proc/"))


class Connections:
    """Context in which every attempt to reach a network is noted, in the list that it gives, and fails."""

    def __enter__(self) -> list[str]:
        _watch()
        self.attempts: list[str] = []
        _listening.append(self.attempts)
        return self.attempts

    def __exit__(self, *_: object) -> None:
        _listening.remove(self.attempts)


_listening: list[list[str]] = []
_CALLS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


def _listen(event: str, args: tuple[Any, ...]) -> None:
    if event in _CALLS and not any(isinstance(arg, str) and arg.startswith("/") for arg in args):
        for attempts in _listening:
            attempts.append(f"{event} {args[1:] if event != 'socket.getaddrinfo' else args}")
        if _listening:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
