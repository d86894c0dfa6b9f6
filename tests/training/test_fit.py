"""The loop, its averages, runtimes and what it tells, on networks small enough to follow by hand."""

import contextlib
import dataclasses
import logging
import re
import time

import pytest
import torch
from torch import nn

from sagd.errors import DivergenceError, InputError
from sagd.model.condition import Condition
from sagd.model.denoiser import NetworkDenoiser
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule
from sagd.terminal import duration
from sagd.training.average import Average
from sagd.training.batches import Batches, Shuffled, batches_of
from sagd.training.fit import Budget, Callback, Fit, learning_rate
from sagd.training.objective import DenoisingLoss
from sagd.training.progress import Progress
from sagd.training.runtime import Autocast, OneProcess, Timing, in_precision, timed

SHAPE = (1, 8, 8)


class Net(nn.Module):
    """Convolutions with a normalisation, which has buffers, and a weight that does not move."""

    def __init__(self):
        super().__init__()
        # No bias before the normalisation: its gradient is rounding alone, of which Adam makes steps of full size.
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 1, 3, padding=1)
        self.fixed = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, x, t):
        return self.fixed * self.last(self.norm(self.first(x)).relu())


def fit(steps=5, callbacks=(), runtime=None, loss=None, stop=lambda: 0, **budget):
    torch.manual_seed(0)
    noise = SpectralCovariance("power_law(alpha=-0.3)", SHAPE)
    denoiser = NetworkDenoiser(Net(), ForwardProcess(CosineSchedule(), noise), "v")
    data = SpectralCovariance("power_law(alpha=-1)", SHAPE).sample(20, torch.Generator().manual_seed(1))
    batches = batches_of(data, 4, seed=0)
    return Fit(denoiser, loss or DenoisingLoss(), batches, Budget(steps=steps, **budget), runtime, callbacks, stop)


def test_a_step_is_adam_on_the_loss_of_a_batch():
    """By hand: the same batch, the same draws, torch's own optimiser."""
    own, other = fit(lr=1e-2, warmup_steps=2, clip_norm=0.1), fit()
    network, optimizer = other.network, torch.optim.AdamW(other.parameters().values(), lr=1e-2, weight_decay=0.0)
    for number in (1, 2, 3):
        done = own.advance()
        x, told = other.batches(number)
        from sagd.random import generator_for

        loss = other.loss(other.averaged.around(network), x, told, generator_for(0, "noise", number, 0))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimizer.param_groups[0]["lr"] = min(1.0, number / 2) * 1e-2
        optimizer.step()
        optimizer.zero_grad()
        assert (done.number, done.items) == (number, 4)
        assert done.loss == pytest.approx(float(loss.detach()), rel=1e-5)
        assert done.grad_norm == pytest.approx(float(norm), rel=1e-4)
    for a, b in zip(own.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_training_is_the_same_in_whatever_mode_the_caller_is(mode):
    """An interrupt at the wrong moment leaves gradients switched off in a notebook."""
    expected, one = fit(), fit()
    expected.run()
    with mode():
        one.run()
    expected = expected.network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in one.network.state_dict().items())


def test_buffers_of_the_average_are_those_of_the_network_and_fixed_weights_stay():
    run = fit()
    run.run()
    averaged, own = run.average.network.state_dict(), run.network.state_dict()
    for name in ("norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "fixed"):
        assert torch.equal(averaged[name], own[name])
    assert int(own["norm.num_batches_tracked"]) == 5
    assert not torch.equal(averaged["first.weight"], own["first.weight"])
    assert "fixed" not in run.parameters()
    assert not run.average.network.training


@pytest.mark.parametrize("decay", [0.0, 0.6, 0.99])
def test_the_average_by_its_recurrence(decay):
    network = nn.Linear(3, 2)
    average, expected = Average(network, decay), None
    generator = torch.Generator().manual_seed(0)
    for n in range(12):
        with torch.no_grad():
            network.weight.copy_(torch.randn(2, 3, generator=generator))
        average.update(network)
        keep = 0.0 if n == 0 else min(decay, 1 - (1 + n) ** -0.75)
        own = network.weight.detach().clone()
        expected = own if expected is None else keep * expected + (1 - keep) * own
        torch.testing.assert_close(average.network.weight, expected, rtol=1e-5, atol=1e-6)


def test_an_average_goes_on_where_it_was():
    """The warm-up depends on the number of updates, which a restored run knows."""
    whole, parts = fit(steps=6), fit(steps=6)
    whole.run()
    for _ in range(3):
        parts.advance()
    resumed = fit(steps=6)
    resumed.restore(parts.snapshot())
    resumed.run()
    for a, b in zip(whole.average.network.parameters(), resumed.average.network.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_nothing_moves_when_training_diverges(what):
    def poisoned(denoiser, x_0, condition, generator):
        out = denoiser.output(x_0, 0.5, condition).mean()
        return out * torch.nan if what == "loss" else (out * 1e-30).sqrt() * 0 + (0 * out).sqrt()

    run = fit(loss=poisoned)
    before = {name: p.detach().clone() for name, p in run.network.named_parameters()}
    with pytest.raises(DivergenceError, match=r"(loss|gradient norm) became (nan|inf) at step 1"):
        run.advance()
    assert all(torch.equal(before[name], p) for name, p in run.network.named_parameters())
    assert (run.step, run.average.updates) == (0, 0)


def test_callbacks_end_whatever_happens():
    class Ends(Callback):
        ended = 0

        def after(self, fit, step):
            if step.number == 2:
                raise RuntimeError("enough")

        def end(self):
            self.ended += 1

    ends = Ends()
    with pytest.raises(RuntimeError, match="enough"):
        fit(callbacks=[ends]).run()
    assert ends.ended == 1


class Count(Callback):
    """Counts steps from a number on."""

    def __init__(self, kept=0):
        self.kept = kept

    def after(self, fit, step):
        self.kept += 1

    def snapshot(self):
        return {"kept": self.kept}

    def restore(self, state):
        self.kept = state["kept"]


def test_each_callback_gets_its_own_state_back_and_a_new_one_none():
    run = fit(callbacks=[Count(), Count(100)])
    run.run()
    again = [Count(), Count(), Count(7)]
    resumed = fit(callbacks=again)
    resumed.restore(run.snapshot())
    assert [callback.kept for callback in again] == [5, 105, 7]


def test_a_state_that_no_checkpoint_can_keep_is_one_line():
    run = fit(callbacks=[Count(torch.zeros(2))])
    with pytest.raises(InputError, match="the state of Count holds more than numbers, texts, and lists and mappings"):
        run.snapshot()


def test_what_data_draws_by_itself_depends_on_the_step_alone():
    """Augmentation by torch's generator, in a run and in one that goes on from its middle."""

    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return 12

        def __getitem__(self, i):
            return torch.full(SHAPE, float(i)) + torch.randn(SHAPE)

    def noisy():
        run = fit(steps=6)
        run.batches = batches_of(Noisy(), 4, seed=0)
        return run

    whole, parts, resumed = noisy(), noisy(), noisy()
    whole.run()
    for _ in range(3):
        parts.advance()
    torch.rand(5)
    resumed.restore(parts.snapshot())
    resumed.run()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name])


def test_the_learning_rate_warms_up():
    assert [learning_rate(Budget(lr=2.0, warmup_steps=0), k) for k in (1, 9)] == [2.0, 2.0]


@pytest.mark.parametrize("steps", [1, 7, 100])
@pytest.mark.parametrize("warmup", [0, 1, 10])
@pytest.mark.parametrize("decay", ["none", "linear"])
def test_the_learning_rate_rises_and_falls_along_lines(steps, warmup, decay):
    budget = Budget(steps=steps, lr=3e-3, warmup_steps=warmup, lr_decay=decay)
    rates = [learning_rate(budget, step) for step in range(1, steps + 1)]
    rise = [1.0 if step >= warmup else step / warmup for step in range(1, steps + 1)]
    fall = [1 - k / steps if decay == "linear" else 1.0 for k in range(steps)]
    assert rates == pytest.approx([3e-3 * a * b for a, b in zip(rise, fall, strict=True)])
    assert decay == "none" or learning_rate(budget, steps + 1) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"lr": 0.0}, r"lr must be positive, got 0\.0"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \[0, 1\), got 1\.0"),
        ({"clip_norm": float("inf")}, "clip_norm must be positive, got inf"),
        ({"lr_decay": "cosine"}, "lr_decay must be none or linear, got cosine"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_budgets_that_cannot_train(settings, message):
    with pytest.raises(InputError, match=message):
        Budget(**settings)


def test_a_batch_of_another_size_is_one_line():
    class Wrong(Batches):
        def __call__(self, step):
            return torch.zeros(4, 1, 4, 4), Condition()

        peek = some = identity = snapshot = restore = None

    run = fit()
    run.batches = Wrong()
    with pytest.raises(InputError, match=r"the model is of images \(1, 8, 8\), got a batch of shape \(4, 1, 4, 4\)"):
        run.advance()


def test_bf16_is_that_of_the_network_alone():
    run = fit(runtime=OneProcess("cpu", "bf16"))
    seen = []
    run.network.last.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    run.advance()
    assert seen == [torch.bfloat16]
    assert {p.dtype for p in run.network.parameters()} == {torch.float32}


@pytest.mark.parametrize("mode", [contextlib.nullcontext, torch.no_grad, torch.inference_mode])
def test_the_faster_precision_is_measured_on_a_copy(monkeypatch, mode):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    clock = iter([0, 9, 9, 18, *(t for k in range(3) for t in (100 * k, 100 * k + 4, 100 * k + 10, 100 * k + 12))])
    monkeypatch.setattr("sagd.training.runtime.time.perf_counter", lambda: next(clock))
    called = []

    def loss(one):
        called.append(isinstance(one, Autocast))
        return one(torch.ones(2, 1, 8, 8)).float().square().mean()

    with mode():
        assert timed(network, loss) == Timing(4, 2)
    assert called == [False, True] * 4
    assert int(network[1].num_batches_tracked) == 0
    assert network[0].weight.grad is None


def test_a_precision_that_is_far_slower_is_tried_once(monkeypatch):
    clock = iter([0, 1, 1, 60])
    monkeypatch.setattr("sagd.training.runtime.time.perf_counter", lambda: next(clock))
    timing = timed(nn.Conv2d(1, 4, 3), lambda one: one(torch.ones(2, 1, 8, 8)).float().square().mean())
    assert (timing, timing.precision) == (Timing(1, 59), "no")


@pytest.mark.parametrize(
    ("timing", "chosen", "said"),
    [
        (Timing(4, 2), "bf16", "precision: bf16; a step took 4 s in float32, 2 s in bf16"),
        (Timing(0.25, 0.5), "no", "precision: float32; a step took 0.25 s in float32, 0.5 s in bf16"),
        (
            Timing(1.2, 1),
            "no",
            "precision: float32; a step took 1.2 s in float32, 1 s in bf16, too little less to be worth its rounding",
        ),
    ],
)
def test_a_precision_is_told_with_what_steps_took(timing, chosen, said):
    """The slower one is not called faster."""
    assert (timing.precision, timing.line()) == (chosen, said)


def test_what_a_device_cannot_do():
    with pytest.raises(InputError, match=r"precision 'fp16' needs a GPU; use 'bf16' or 'no' on the CPU"):
        OneProcess("cpu", "fp16")
    with pytest.raises(InputError, match="device 'warp' is not on this machine; use auto or cpu"):
        OneProcess("warp")
    assert in_precision(nn.Identity(), "no").__class__ is nn.Identity


def test_progress_tells_the_time_left_at_growing_intervals(monkeypatch, caplog):
    """A clock of 2 seconds a step: an estimate after the first steps, then lines at growing distances."""
    now = iter(range(0, 10**6, 2))
    monkeypatch.setattr("sagd.training.progress.time.monotonic", lambda: float(next(now)))
    with caplog.at_level(logging.INFO, "sagd"):
        fit(steps=150, callbacks=[Progress("fields")]).run()
    first, *lines = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(r"146 steps of 4 fields to go: about 4 min 52 s on .*, memory so far [\d.]+ GiB", first)
    steps = [int(re.match(r"step (\d+) of 150: loss [\d.]+, 2 fields/s, about .* left", line)[1]) for line in lines]
    gaps = [b - a for a, b in zip([4, *steps], steps, strict=False)]
    assert gaps == sorted(gaps)
    assert gaps[0] == 8
    assert 3 <= len(lines) <= 8


def test_progress_of_one_of_several_trainings_says_of_which(monkeypatch, caplog):
    now = iter(range(0, 10**6, 2))
    monkeypatch.setattr("sagd.training.progress.time.monotonic", lambda: float(next(now)))
    with caplog.at_level(logging.INFO, "sagd"):
        fit(steps=30, callbacks=[Progress("fields", "lap 1 of 2")]).run()
    first, *lines = [record.getMessage() for record in caplog.records]
    assert first.startswith("lap 1 of 2: 26 steps of 4 fields to go")
    assert lines
    assert all(re.match(r"lap 1 of 2: step \d+ of 30: ", line) for line in lines)


class Waited(Callback):
    """Says of every step that it waited so many seconds."""

    def __init__(self, seconds):
        self.progress, self.seconds = Progress(), seconds

    def start(self, fit):
        self.progress.start(fit)

    def after(self, fit, step):
        self.progress.after(fit, dataclasses.replace(step, waited=self.seconds))

    def end(self):
        self.progress.end()


@pytest.mark.parametrize(("seconds", "told"), [(0.38, []), (0.42, ["21 %"])])
def test_waiting_for_data_is_told_once(monkeypatch, caplog, seconds, told):
    """A clock of 2 seconds a step, of which one fifth may be spent so."""
    now = iter(range(0, 10**6, 2))
    monkeypatch.setattr("sagd.training.progress.time.monotonic", lambda: float(next(now)))
    with caplog.at_level(logging.WARNING, "sagd"):
        fit(steps=100, callbacks=[Waited(seconds)]).run()
    said = [re.search(r"waits for its data (.*) of the time", record.getMessage())[1] for record in caplog.records]
    assert said == told


def test_a_step_knows_how_long_it_waited(monkeypatch):
    run = fit(steps=2)
    read = run.batches.reader.read

    def slow(indices, step):
        time.sleep(0.2)
        return read(indices, step)

    monkeypatch.setattr(run.batches.reader, "read", slow)
    assert 0.2 <= run.advance().waited < 10


class Expecting(Batches):
    """Knows what it was asked for."""

    def __init__(self, batches):
        self.batches, self.asked = batches, []

    def __call__(self, step):
        self.asked.append(step)
        return self.batches(step)

    def expect(self, step):
        self.asked.append(f"expect {step}")

    def close(self):
        self.asked.append("close")

    def peek(self):
        return self.batches.peek()

    def some(self, count, seed):
        return self.batches.some(count, seed)

    def identity(self):
        return self.batches.identity()

    def snapshot(self):
        return self.batches.snapshot()

    def restore(self, tensors, state):
        self.batches.restore(tensors, state)


def test_the_next_batch_is_expected_and_none_after_the_last():
    run = fit(steps=2)
    run.batches = Expecting(run.batches)
    run.run()
    assert run.batches.asked == [1, "expect 2", 2, "close"]


def test_what_was_expected_is_given_up_when_a_step_fails():
    run = fit(steps=2, loss=lambda denoiser, x, *_: denoiser(x, torch.full((len(x),), 0.5)).sum() * torch.inf)
    run.batches = Expecting(run.batches)
    with pytest.raises(DivergenceError):
        run.run()
    assert run.batches.asked == [1, "expect 2", "close"]


def test_short_work_is_done_without_a_word(caplog):
    with caplog.at_level(logging.INFO, "sagd"):
        fit(steps=6, callbacks=[Progress()]).run()
    assert not caplog.records


def test_durations():
    assert [duration(s) for s in (0.2, 59.2, 3600, 3661, 86400)] == ["1 s", "1 min", "1 h", "1 h 1 min", "1 d"]


def test_what_is_given_as_batches_stays():
    batches = batches_of(torch.zeros(8, 1, 4), 2, 0)
    assert isinstance(batches, Shuffled)
    assert batches_of(batches, 3, 1) is batches
