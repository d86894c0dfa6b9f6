import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sagd.build.text import dump_yaml
from sagd.data.signals import SignalReader
from sagd.random import generator_for
from sagd.store.checkpoint import list_checkpoints, load_checkpoint
from sagd.store.files import read_manifest
from sagd.study.train import budget_of, prepare
from sagd.training.batches import Shuffled
from sagd.training.fit import learning_rate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("torchrun")


@pytest.fixture
def run(folder, config, change, data):
    """The runs of `two_processes.py`, once for all tests."""
    config = change(change(config, "training", steps=8), "network", dropout=0.0)
    if not (folder / "data").exists():
        dump_yaml(config, folder / "config.yaml")
        torch.save((data.stored, data.labels), folder / "data")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        script = Path(__file__).with_name("two_processes.py")
        done = subprocess.run([*command, script, folder], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    return config, [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


def test_there_really_are_two_processes(run):
    _, reports = run
    assert [report["world"] for report in reports] == [2, 2]
    first, second = (set(report["seen"][0]) for report in reports)
    assert len(first | second) == 6


def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(folder, run):
    def result(out):
        sums = read_manifest(list_checkpoints(out)[-1])
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        numbers = [(line["step"], line["loss"], line["lr"], line["grad_norm"]) for line in lines]
        tensors = [sums[f"{name}.safetensors"] for name in ("weights", "ema", "optimizer")]
        return tensors, numbers, read_manifest(out / "model")["model.safetensors"]

    assert result(folder / "parts") == result(folder / "late") == result(folder / "whole")


def test_a_signal_to_one_process_stops_both(folder, run):
    _, reports = run
    assert [report["interrupted"] for report in reports] == ["stopped by SIGTERM; continue with resume=True"] * 2
    assert list_checkpoints(folder / "parts")[0].name == "step-00000005"
    assert [report["late"] for report in reports] == ["stopped by SIGTERM; continue with resume=True"] * 2


def test_a_nan_in_one_process_stops_both(run):
    _, reports = run
    message = "loss became nan at step 3; lower training.lr or raise training.warmup_steps"
    assert [report["diverged"] for report in reports] == [message] * 2


def test_each_process_goes_on_with_its_own_loader_and_the_statistics_of_the_first(folder, run):
    """Their loaders hold other fields and other numbers of them."""
    _, reports = run
    found = [value for report in reports for value in report["streamed"]]
    assert found == [found[0]] * len(found)
    whole, parts = (read_manifest(list_checkpoints(folder / out)[-1]) for out in ("stream", "stream-parts"))
    for name in ("weights", "ema", "optimizer"):
        assert whole[f"{name}.safetensors"] == parts[f"{name}.safetensors"]
    states = [load_checkpoint(path).state for path in list_checkpoints(folder / "stream-parts")]
    # Step 7 is in the first pass of both, step 16 in the second one of each.
    assert [state["positions"] for state in states] == [[{"at": 28}, {"at": 28}], [{"at": 24}, {"at": 12}]]


def test_a_refusal_by_the_first_process_reaches_both(run):
    _, reports = run
    assert all("is not empty; continue that run with resume=True" in report["refused"] for report in reports)


def test_ones_own_network_and_data_are_trained_by_both(folder, run):
    _, reports = run
    assert reports[0]["own"] == reports[1]["own"]
    for name in ("set", "loader"):
        last = load_checkpoint(list_checkpoints(folder / "own" / name)[-1])
        assert last.state["processes"] == 2
        assert not torch.equal(last.tensors["weights"]["weight"], torch.zeros_like(last.tensors["weights"]["weight"]))


def test_gradients_are_averaged_over_the_draws_of_both(folder, run, data):
    config, _ = run
    budget, recipe = budget_of(config.training), prepare(config, data).recipe
    network = recipe.model.plain.module.train()
    readers = [SignalReader(data, 0, config.data.flip, rank) for rank in (0, 1)]
    shares = [Shuffled(reader, config.training.batch_size, 0, rank, 2) for rank, reader in enumerate(readers)]
    optimizer = torch.optim.AdamW(network.parameters(), lr=budget.lr, weight_decay=budget.weight_decay)
    for step in range(1, budget.steps + 1):
        for rank, share in enumerate(shares):
            x, told = share(step)
            (recipe.loss(recipe.model.plain, x, told, generator_for(0, "noise", step, rank)) / 2).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), budget.clip_norm)
        optimizer.param_groups[0]["lr"] = learning_rate(budget, step)
        optimizer.step()
        optimizer.zero_grad()
    weights = load_checkpoint(folder / "whole" / "checkpoints" / "step-00000008").tensors["weights"]
    for name, value in network.state_dict().items():
        # Rounding; another draw or a sum in place of a mean would show at the size of a step, 1e-3.
        torch.testing.assert_close(weights[name], value, rtol=0, atol=1e-6)
