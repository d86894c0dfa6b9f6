import json
import os
import platform

import torch

from sagd.study.machine import describe_machine


def test_machine_is_described_in_plain_values():
    machine = json.loads(json.dumps(describe_machine(), allow_nan=False))
    assert machine["cores"] == os.cpu_count()
    assert machine["threads"] == torch.get_num_threads()
    assert machine["memory_gib"] > 0
    assert machine["processor"]
    assert platform.machine() in machine["system"]


def test_a_system_that_does_not_tell_its_memory(monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    assert describe_machine()["memory_gib"] is None


def test_the_host_is_not_named():
    assert platform.node() not in json.dumps(describe_machine()).split('"')
