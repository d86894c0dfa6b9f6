"""What `test_distributed.py` runs under torchrun: `two_processes.py DIRECTORY` with `config.yaml` and `data` in it."""

import json
import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed

import sagd
from sagd.api import fit
from sagd.build.schema import RunConfig
from sagd.build.text import load_yaml
from sagd.data.signals import Signals
from sagd.errors import DivergenceError, InputError
from sagd.interrupt import Interrupted
from sagd.study.train import train
from sagd.training.batches import Shuffled


class Rigged(Signals):
    """Data that does something when it is asked for the `at`-th batch."""

    at, asked, then = 0, 0, None

    def shown(self, x, indices, flips=None, draw=0):
        x, labels, known = super().shown(x, indices, flips, draw)
        object.__setattr__(self, "asked", self.asked + 1)
        return (*(self.then(x, labels) if self.asked == self.at else (x, labels)), known)


def rigged(data, at, then):
    copy = Rigged(data.name, data.stored, data.labels, data.classes)
    # The first batch is the one that statistics are measured on.
    for name, value in (("at", at + 1), ("then", then)):
        object.__setattr__(copy, name, value)
    return copy


def terminate(x, labels):
    os.kill(os.getpid(), signal.SIGTERM)
    return x, labels


def terminating(rename):
    sent = []

    def acting(path, target):
        if Path(target).name == "model" and not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
        return rename(path, target)

    return acting


def caught(kind, action):
    try:
        action()
    except kind as error:
        return str(error)
    return None


class Own(torch.nn.Conv2d):
    """A network of one's own."""

    def forward(self, x, t):
        return super().forward(x)


def own(folder, x, rank, world):
    """Sums of the averaged weights that a data set and a loader of one's own give, and of the samples."""
    options = {"steps": 4, "batch_size": 6, "device": "cpu"}
    sums = []
    # Each process has a loader of its own, here of every second item.
    for name, data in (("set", x), ("loader", torch.utils.data.DataLoader(x[rank::world], 3))):
        torch.manual_seed(0)
        model = sagd.fit(Own(1, 1, 3, padding=1), data, out=folder / name, statistics=sagd.measure(x), **options)
        sums += [float(p.sum()) for p in model.network.parameters()] + [float(model.sample(2, steps=2).sum())]
    return sums


class Stream:
    """A loader of each process's own fields, in another number for each, that knows where it is."""

    def __init__(self, rank):
        self.x = torch.randn(40 + 12 * rank, 1, 8, 8, generator=torch.Generator().manual_seed(rank)) * (1 + rank)
        self.at = 0

    def __iter__(self):
        while self.at < len(self.x):
            self.at += 4
            yield self.x[self.at - 4 : self.at]
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


STREAMED = [(16, "stream", False), (7, "stream-parts", False), (16, "stream-parts", True)]


def streams(folder, rank, steps, out, resume):
    """Sum of the power spectrum that the model was matched to."""
    torch.manual_seed(0)
    network = Timeless(torch.nn.Conv2d(1, 1, 3, padding=1))
    options = {"steps": steps, "batch_size": 8, "device": "cpu", "lr_decay": "none"}
    return float(fit(network, Stream(rank), out=folder / out, resume=resume, **options).statistics.spectrum.sum())


class Timeless(torch.nn.Module):
    """A network that is not told the time."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, t):
        return self.inner(x)


def main(folder):
    config = load_yaml(RunConfig, folder / "config.yaml")
    pixels, labels = torch.load(folder / "data")
    data = Signals("smooth", pixels, labels, ("a", "b", "c"))
    rank = int(os.environ["RANK"])

    train(config, folder / "whole", data=data)
    world = torch.distributed.get_world_size()
    # Only the second process gets the signal, and only its loss becomes NaN: both must stop.
    interrupted = caught(
        Interrupted, lambda: train(config, folder / "parts", data=rigged(data, 5, terminate) if rank else data)
    )
    train(config, folder / "parts", resume=True, data=data)
    # Both must stop as well if the first one gets it while it writes the model and the second one waits.
    if rank == 0:
        Path.rename = terminating(Path.rename)
    late = caught(Interrupted, lambda: train(config, folder / "late", data=data))
    train(config, folder / "late", resume=True, data=data)
    poison = rigged(data, 3, lambda x, labels: (x * torch.nan, labels))
    diverged = caught(DivergenceError, lambda: train(config, folder / "nan", data=poison if rank else data))
    refused = caught(InputError, lambda: train(config, folder / "whole", data=data))
    streamed = [streams(folder, rank, steps, out, resume) for steps, out, resume in STREAMED]
    seen = [Shuffled(data, config.training.batch_size, 0, rank, world).indices(1).tolist()]
    report = {
        "own": own(folder / "own", data.tensor(), rank, world),
        "world": world,
        "interrupted": interrupted,
        "late": late,
        "diverged": diverged,
        "refused": refused,
        "seen": seen,
        "streamed": streamed,
    }
    (folder / f"rank-{rank}.json").write_text(json.dumps(report))
    # Both are done. Torch's own threads now and then abort a process that tidies up after them.
    torch.distributed.barrier()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
