"""The work ends at a file event, as by SIGKILL or a power cut: what is left, and what a second run makes of it."""

import json
import random
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from tests.faults.campaign import (
    COMMANDS,
    LONG,
    RESUMABLE,
    TRAINING,
    Events,
    Killed,
    contents,
    drawn,
    is_cache,
    is_final,
    pairs,
    quietly,
    refusal,
)

from sagd.store.checkpoint import latest_checkpoint
from sagd.store.files import verify_directory

ROOT = Path(__file__).parents[2]
POINTS = {"train": 5, "corrupt": 4, "sample": 4, "compare": 1}
LONG_POINTS = {"compare": 12, "corrupt": 40}
OTHERS = 8
"""Events that the long form tries on every kind of signal but images, on which it tries them all."""


def points(command, kind, events):
    every = LONG_POINTS.get(command, events) if kind == "image" else OTHERS
    most = every if LONG else POINTS.get(command, 2)
    return sorted(random.Random(f"{command} {kind}").sample(range(1, events + 1), min(most, events)))


@pytest.mark.parametrize(("command", "kind"), pairs())
def test_a_kill_at_a_file_event(command, kind, bench, tmp_path, campaign):
    whole = bench.undisturbed(command, kind)
    args = [command, *COMMANDS[command](bench, kind), "--out"]
    with campaign("kills") as faults:
        for at in points(command, kind, whole.events):
            with faults(f"{command} of {kind}, event {at} of {whole.events}"):
                out = tmp_path / str(at)
                with Events(out, at) as events, pytest.raises(Killed):
                    quietly(*args, out)
                assert_whole(out, whole.files)
                if command == "train":
                    assert_little_lost(out)
                assert_goes_on(command, args, out, whole.files)
                assert not [path for path in events.elsewhere if Path(path).exists() and not is_cache(path)]
                shutil.rmtree(out)


def assert_whole(out, expected):
    """Whatever bears its final name is whole."""
    for folder in out.glob("**/checkpoints/step-*"):
        if is_final(folder.name):
            verify_directory(folder, ["state.json"])
    for name in (str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()):
        if is_final(name) and not name.endswith("metrics.jsonl") and "checkpoints/step" not in name:
            assert contents(out, [name])[name] == expected[name], f"{name} is not whole"


def assert_little_lost(out):
    """At most the steps since the last checkpoint."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        newest = latest_checkpoint(out)
    path = out / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    steps = [json.loads(line)["step"] for line in lines if line.endswith("\n")]
    assert max(steps, default=0) - (0 if newest is None else int(newest.name[5:])) <= TRAINING["checkpoint_every"]


def assert_goes_on(command, args, out, expected):
    """The same command, resumed where it can be, ends as if nothing had been; or it is refused and touches nothing."""
    left = contents(out) if out.exists() else {}
    begun = out.exists() and any(path.name != ".lock" for path in out.iterdir())
    resumed = ["--resume"] if command in RESUMABLE and out.exists() else []
    ended = quietly(*args, out, *resumed)
    if ended.code and begun and not resumed:
        assert "is not empty; choose another --out" in refusal(ended)
        assert {name: text for name, text in contents(out).items() if name != ".lock"} == {
            name: text for name, text in left.items() if name != ".lock"
        }
        return
    assert ended.code == 0, ended.err
    found = contents(out)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


SCRIPT = """
import os, signal, sys
from pathlib import Path
from tests.faults.campaign import Events, quietly
out, at, *args = sys.argv[1:]
with Events(Path(out), int(at), lambda: os.kill(os.getpid(), signal.SIGKILL)):
    quietly(*args, "--out", out)
"""


@pytest.mark.parametrize("command", drawn("killed processes", ["train", "corrupt", "sample", "evaluate"], 1))
def test_a_kill_of_a_process(command, bench, tmp_path, campaign):
    """A real one, of which nothing is left that could tidy up."""
    whole = bench.undisturbed(command, "image")
    args = [command, *map(str, COMMANDS[command](bench, "image")), "--out"]
    with campaign("kills") as faults:
        for at in random.Random(command).sample(range(1, whole.events + 1), 4 if LONG else 1):
            with faults(f"process of {command}, event {at} of {whole.events}"):
                out = tmp_path / str(at)
                call = [sys.executable, "-c", SCRIPT, str(out), str(at), *args[:-1]]
                done = subprocess.run(call, cwd=ROOT, capture_output=True, timeout=300, check=False)
                assert done.returncode == -signal.SIGKILL, done.stderr
                assert_whole(out, whole.files)
                assert_goes_on(command, args, out, whole.files)
                shutil.rmtree(out)
