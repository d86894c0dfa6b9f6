import errno
import hashlib
import json
import os
import shutil
import stat
import warnings
from pathlib import Path

import pytest
import torch
from tests.faults.campaign import Events, Killed, full_disk

from sagd.errors import CheckpointError
from sagd.store.checkpoint import latest_checkpoint, list_checkpoints, load_checkpoint, save_checkpoint
from sagd.store.files import REPLACED, read_json, verify_directory, write_directory, write_file
from sagd.store.run import require_run
from sagd.training.fit import Snapshot


def checkpoint(step):
    g = torch.Generator().manual_seed(step)
    tensors = {
        "weights": {"conv.weight": torch.randn(3, 2, generator=g), "conv.bias": torch.randn(3, generator=g)},
        "optimizer": {"conv.bias:exp_avg": torch.randn(3, generator=g), "conv.bias:step": torch.tensor(float(step))},
    }
    return Snapshot(step, tensors, {"losses": [0.1 * step, 1 / 3], "scaler": None})


def assert_is(path, step):
    found, expected = load_checkpoint(path), checkpoint(step)
    assert (found.step, found.state) == (step, expected.state)
    assert found.tensors.keys() == expected.tensors.keys()
    for group, tensors in expected.tensors.items():
        assert found.tensors[group].keys() == tensors.keys()
        assert all(torch.equal(found.tensors[group][name], tensors[name]) for name in tensors)


def test_round_trip(tmp_path):
    path = save_checkpoint(tmp_path, checkpoint(500), keep=2)
    assert path == tmp_path / "checkpoints" / "step-00000500"
    assert_is(path, 500)
    assert latest_checkpoint(tmp_path) == path


def test_only_the_newest_are_kept(tmp_path):
    for step in (7, 11, 99_999_999, 100_000_000):
        save_checkpoint(tmp_path, checkpoint(step), keep=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-99999999", "step-100000000"]
    assert_is(latest_checkpoint(tmp_path), 100_000_000)


def test_files_have_the_modes_of_the_umask_and_none_is_a_pickle(tmp_path):
    before = os.umask(0o022)
    try:
        path = save_checkpoint(tmp_path, checkpoint(1), keep=1)
    finally:
        os.umask(before)
    files = list(path.iterdir())
    assert {stat.S_IMODE(p.stat().st_mode) for p in files} == {0o644}
    assert {p.suffix for p in files} == {".safetensors", ".json"}


def operations(folder, action):
    """How many operations on the disk an undisturbed `action` takes."""
    with Events(folder) as events:
        action()
    return events.count


def test_a_kill_at_any_moment_of_a_save_leaves_a_good_checkpoint(tmp_path):
    def prepare(run):
        shutil.rmtree(run, ignore_errors=True)
        save_checkpoint(run, checkpoint(1), keep=1)
        (run / "checkpoints" / "step-00000009.tmp").mkdir()

    run = tmp_path / "run"
    prepare(run)
    total = operations(run, lambda: save_checkpoint(run, checkpoint(2), keep=1))
    # 2 tensor files, state and manifest: a write and a flush each; 2 directory flushes, mkdir, rename, removals.
    assert total >= 4 * 2 + 4 + 2
    for at in range(1, total + 1):
        prepare(run)
        with Events(run, at), pytest.raises(Killed):
            save_checkpoint(run, checkpoint(2), keep=1)
        found = latest_checkpoint(run)
        assert_is(found, int(found.name[5:]))
        save_checkpoint(run, checkpoint(3), keep=1)
        assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-00000003"], at


def test_a_kill_at_any_moment_of_a_replacement_leaves_the_old_or_the_new(tmp_path):
    path, old = tmp_path / "model", tmp_path / f"model{REPLACED}"

    def prepare():
        shutil.rmtree(tmp_path)
        write_directory(path, [("a", b"old"), ("b", b"old")])

    prepare()
    total = operations(tmp_path, lambda: write_directory(path, [("a", b"new!"), ("b", b"new!")]))
    for at in range(1, total + 1):
        prepare()
        with Events(tmp_path, at), pytest.raises(Killed):
            write_directory(path, [("a", b"new!"), ("b", b"new!")])
        found = path if path.exists() else old
        verify_directory(found, ["a", "b"])
        assert (found / "a").read_bytes() == (found / "b").read_bytes()
        write_directory(path, [("a", b"newer"), ("b", b"newer")])
        assert [p.name for p in tmp_path.iterdir()] == ["model"], at


def test_a_system_that_opens_no_directory_writes_them_all_the_same(tmp_path, monkeypatch):
    """As Windows, which has no `O_DIRECTORY` and refuses to open one."""

    def opening(path, flags, *rest, original=os.open, **named):
        if Path(path).is_dir() and "dir_fd" not in named:  # which is how POSIX removes a directory
            raise PermissionError(13, "Permission denied")
        return original(path, flags, *rest, **named)

    monkeypatch.delattr(os, "O_DIRECTORY")
    monkeypatch.setattr(os, "open", opening)
    for content in (b"old", b"new"):
        write_directory(tmp_path / "model", [("a", content)])
        write_file(tmp_path / "result", content)
        verify_directory(tmp_path / "model", ["a"])
    assert (tmp_path / "model" / "a").read_bytes() == (tmp_path / "result").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "result"]


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path):
    path = tmp_path / "results.json"
    write_file(path, b"old result")
    total = operations(tmp_path, lambda: write_file(path, b"old result"))
    for at in range(1, total + 1):
        with Events(tmp_path, at), pytest.raises(Killed):
            write_file(path, b"a new result")
        assert path.read_bytes() in (b"old result", b"a new result")
        write_file(path, b"old result")
        assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize("at", range(2, 12))
def test_a_full_disk_leaves_what_was_saved_and_no_debris(tmp_path, at):
    save_checkpoint(tmp_path, checkpoint(1), keep=1)
    message = r"cannot write '.*step-00000002': No space left .*intact"
    with Events(tmp_path, at, full_disk()), pytest.raises(CheckpointError, match=message):
        save_checkpoint(tmp_path, checkpoint(2), keep=1)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    assert_is(latest_checkpoint(tmp_path), 1)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
def test_a_damaged_checkpoint_is_named_and_passed_over_for_the_one_before(tmp_path, name, damage):
    for step in (1, 2):
        save_checkpoint(tmp_path, checkpoint(step), keep=2)
    newest = tmp_path / "checkpoints" / "step-00000002"
    damage(newest / name)
    with pytest.raises(CheckpointError, match=r"is damaged|cannot be read"):
        load_checkpoint(newest)
    with pytest.warns(UserWarning, match="step-00000002 is passed over"):
        found = latest_checkpoint(tmp_path)
    assert_is(found, 1)


def test_damage_everywhere_is_an_error_and_nothing_at_all_is_none(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    for step in (1, 2):
        flip(save_checkpoint(tmp_path, checkpoint(step), keep=2) / "weights.safetensors")
    with (
        pytest.raises(CheckpointError, match=r"all 2 checkpoints in .* are damaged"),
        pytest.warns(UserWarning, match="passed over"),
    ):
        latest_checkpoint(tmp_path)


@pytest.mark.parametrize("fault", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_checkpoints_that_cannot_be_listed_are_not_none(tmp_path, monkeypatch, fault):
    """Taken for none they would be trained anew."""
    save_checkpoint(tmp_path, checkpoint(1), keep=2)
    listed = os.listdir

    def refused(folder="."):
        if Path(folder).name == "checkpoints":
            raise OSError(fault, os.strerror(fault), str(folder))
        return listed(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", refused)
        patch.setattr(os, "scandir", refused)
        for use in (
            list_checkpoints,
            latest_checkpoint,
            require_run,
            lambda run: save_checkpoint(run, checkpoint(2), 2),
        ):
            with pytest.raises(CheckpointError, match=rf"cannot list '.*checkpoints': {os.strerror(fault)}; check"):
                use(tmp_path)
    assert_is(latest_checkpoint(tmp_path), 1)


def test_checkpoints_that_are_no_folder_are_named(tmp_path):
    (tmp_path / "checkpoints").touch()
    with pytest.raises(CheckpointError, match=r"cannot list '.*checkpoints': Not a directory; remove it$"):
        latest_checkpoint(tmp_path)


def test_a_run_is_known_by_its_checkpoints_too(tmp_path):
    with pytest.raises(CheckpointError, match="nothing to resume"):
        require_run(tmp_path / "missing")
    (tmp_path / "config.yaml.tmp").touch()  # killed while its settings were written
    require_run(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CheckpointError, match=r"nothing to resume .*; choose another out$"):
        require_run(tmp_path)
    save_checkpoint(tmp_path, checkpoint(1), keep=1)
    require_run(tmp_path)


def test_a_damaged_later_checkpoint_does_not_crowd_out_good_ones(tmp_path):
    for step in (1, 5):
        save_checkpoint(tmp_path, checkpoint(step), keep=2)
    truncate(tmp_path / "checkpoints" / "step-00000005" / "state.json")
    save_checkpoint(tmp_path, checkpoint(3), keep=1)
    with pytest.warns(UserWarning, match="step-00000005 is passed over"):
        assert_is(latest_checkpoint(tmp_path), 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_checkpoint(tmp_path, checkpoint(5), keep=1)
        assert_is(latest_checkpoint(tmp_path), 5)


def test_the_manifest_is_sha256(tmp_path):
    path = save_checkpoint(tmp_path, checkpoint(1), keep=1)
    sums = read_json(path / "manifest.json")["sha256"]
    assert sums.keys() == {"weights.safetensors", "optimizer.safetensors", "state.json"}
    assert json.loads((path / "state.json").read_text())["step"] == 1
    for name, expected in sums.items():
        assert hashlib.sha256((path / name).read_bytes()).hexdigest() == expected
