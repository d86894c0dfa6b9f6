"""Several processes: two in one directory, and one of several that train together, which is killed."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from tests.faults.campaign import COMMANDS, LONG, RESUMABLE, TRAINING, Events, contents, drawn, pairs, quietly, refusal
from tests.faults.test_kills import ROOT, assert_goes_on, assert_whole

BEFORE = 3
"""File events until a command holds its directory: it and the lock are made."""


@pytest.mark.parametrize(("command", "kind"), drawn("company", pairs(), 3))
def test_a_second_command_in_the_directory_is_refused_and_changes_nothing(command, kind, bench, tmp_path, campaign):
    whole = bench.undisturbed(command, kind)
    args = [command, *COMMANDS[command](bench, kind), "--out"]
    points = random.Random(f"company {command} {kind}").sample(range(BEFORE, whole.events), 3 if LONG else 1)
    with campaign("company") as faults:
        for at in points:
            with faults(f"{command} of {kind}, event {at} of {whole.events}"):
                out, seconds = tmp_path / str(at), []
                flags = ["--resume"] if command in RESUMABLE else []
                with Events(out, at, lambda: seconds.append(quietly(*args, out, *flags))):  # noqa: B023 - called here
                    first = quietly(*args, out)
                assert first.code == 0, first.err
                assert re.search(r"another run \(process \d+\) is writing in", refusal(seconds[0]))
                assert contents(out) == whole.files
                shutil.rmtree(out)


MODULE = [sys.executable, "-m", "sagd"]


def started(args, **options):
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([*map(str, args)], cwd=ROOT, text=True, **pipes, **options)


@pytest.mark.skipif(not LONG, reason="takes a minute: `make faults`")
@pytest.mark.parametrize("command", ["train", "corrupt", "sample", "compare"])
def test_processes_that_start_together(command, bench, tmp_path, campaign):
    """One gets the directory, whichever is first, and the others are refused; what it holds is that one's."""
    args = [*MODULE, command, *COMMANDS[command](bench, "image"), "--out", tmp_path / "out"]
    whole = bench.undisturbed(command, "image")
    with campaign("company") as faults, faults(f"three of {command}"):
        processes = [started(args) for _ in range(3)]
        errors = [process.communicate(timeout=300)[1] for process in processes]
        codes = [process.returncode for process in processes]
        assert sorted(codes) == [0, 2, 2], errors
        told = [error.splitlines()[-1] for code, error in zip(codes, errors, strict=True) if code]
        assert all("another run (process" in line or "is not empty" in line for line in told), told
        assert contents(tmp_path / "out") == whole.files


@pytest.mark.skipif(not LONG, reason="takes a minute: `make faults`")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_is_killed(rank, bench, tmp_path, campaign):
    """The others end, the checkpoints are whole, and all together go on to the model of the undisturbed run."""
    many = TRAINING | {"steps": 40, "checkpoint_every": 4, "keep_checkpoints": 2}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "sagd"]
    args = [*torchrun, "train", bench.config("image", training=many), "--out"]
    with campaign("company") as faults, faults(f"rank {rank}"):
        assert_done(started([*args, tmp_path / "whole"]))
        out = tmp_path / "out"
        process = started([*args, out])
        deadline = time.monotonic() + 120
        while not list(out.glob("checkpoints/step-????????")):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(child(process.pid, rank), signal.SIGKILL)
        process.communicate(timeout=120)
        assert process.returncode != 0
        expected = contents(tmp_path / "whole")
        assert_whole(out, expected)
        assert_done(started([*args, out, "--resume"]))
        model = [name for name in expected if name.startswith("model/")]
        assert contents(out, model) == {name: expected[name] for name in model}


def assert_done(process):
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error


def child(parent, rank):
    """The process of a rank under torchrun."""
    for path in (entry for entry in os.listdir("/proc") if entry.isdigit()):  # noqa: PTH208 - names, not paths
        try:
            with open(f"/proc/{path}/stat") as stat, open(f"/proc/{path}/environ") as environ:  # noqa: PTH123
                above, told = int(stat.read().rpartition(")")[2].split()[1]), environ.read().split("\0")
        except OSError:
            continue
        if above == parent and f"RANK={rank}" in told:
            return int(path)
    raise AssertionError(f"no process of rank {rank}")


def test_a_command_that_was_killed_is_taken_over(bench, tmp_path, campaign):
    """Its lock ends with it, although the file stays."""
    whole = bench.undisturbed("corrupt", "image")
    args = ["corrupt", *COMMANDS["corrupt"](bench, "image"), "--out"]
    out = tmp_path / "out"
    out.mkdir()
    (out / ".lock").write_text("4711\n")
    with campaign("company") as faults, faults("a lock that was left"):
        assert_goes_on("corrupt", args, out, whole.files)
        assert not (out / ".lock").exists()
