"""A disk without space: raised at an event of the disk, and a real one that is too small."""

import random
import shutil
import subprocess

import pytest
from tests.faults.campaign import COMMANDS, LONG, RESUMABLE, Events, drawn, full_disk, pairs, quietly, refusal
from tests.faults.test_kills import LONG_POINTS, OTHERS, assert_goes_on, assert_whole

SIZES = (64, 128, 192, 256, 384, 512, 768)
"""Of real disks, in kilobytes; most commands need more than the least."""


@pytest.mark.parametrize(("command", "kind"), drawn("full disks", pairs(), 6))
def test_a_disk_that_is_full_from_a_file_event_on(command, kind, bench, tmp_path, campaign):
    """One line says so, what was there is whole, and once there is space again the work is done."""
    whole = bench.undisturbed(command, kind)
    args = [command, *COMMANDS[command](bench, kind), "--out"]
    every = min(LONG_POINTS.get(command, 20), 20) if kind == "image" else OTHERS // 2
    most = every if LONG else {"train": 3}.get(command, 1)
    points = random.Random(f"disk {command} {kind}").sample(range(1, whole.events), min(most, whole.events - 1))
    with campaign("full disks") as faults:
        for at in sorted(points):
            with faults(f"{command} of {kind}, event {at} of {whole.events}"):
                out = tmp_path / str(at)
                with Events(out, at, full_disk()) as events:
                    ended = quietly(*args, out)
                if ended.code:  # no space may have been needed any more
                    assert "No space left on device" in refusal(ended)
                assert events.dead
                assert_whole(out, whole.files)
                left = [path.name for path in out.rglob("*")] if out.exists() else []
                assert not [name for name in left if name.endswith((".tmp", ".old", ".lock"))], left
                if ended.code:
                    assert_goes_on(command, args, out, whole.files)
                shutil.rmtree(out)


@pytest.fixture
def disk(tmp_path):
    """`disk(size)`: an empty disk of so many kilobytes."""
    mounted = []

    def mount(size):
        path = tmp_path / f"disk-{size}"
        path.mkdir()
        call = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(path)]
        done = subprocess.run(call, capture_output=True, text=True, check=False) if shutil.which("mount") else None
        if done is None or done.returncode:
            pytest.skip(f"no disk can be mounted here: {'no mount' if done is None else done.stderr.strip()}")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


REAL = [(command, kind) for command, kind in pairs() if command != "design"]


@pytest.mark.parametrize(("command", "kind"), drawn("disks", REAL, 2))
def test_a_small_disk(command, kind, bench, disk, tmp_path, campaign):
    """Also of what libraries write in C, where no event is seen."""
    whole = bench.undisturbed(command, kind)
    args = [command, *COMMANDS[command](bench, kind), "--out"]
    with campaign("full disks") as faults:
        for size in drawn(f"size {command} {kind}", SIZES, 1):
            with faults(f"{command} of {kind} on {size} KB"):
                out = disk(size) / "out"
                ended = quietly(*args, out)
                assert_whole(out, whole.files)
                if ended.code:
                    assert "No space left on device" in refusal(ended)
                    larger = tmp_path / f"larger-{size}"
                    if out.exists():
                        shutil.copytree(out, larger)
                    if command in RESUMABLE or not larger.exists():
                        assert_goes_on(command, args, larger, whole.files)
                assert not [path for path in out.rglob("*.tmp") if path.exists()]
