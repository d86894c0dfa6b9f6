"""SIGINT and SIGTERM at moments drawn with fixed seeds: exit code and line, and what a second run makes of it."""

import random
import shutil
import signal

import pytest
from tests.faults.campaign import COMMANDS, LONG, RESUMABLE, Events, drawn, pairs, quietly
from tests.faults.test_kills import assert_goes_on, assert_whole

NUMBERS = (signal.SIGINT, signal.SIGTERM)


def assert_stopped(ended, number):
    """It stopped; at the very end it may have been done already."""
    if ended.code:
        assert ended.code == 128 + number, ended.err
        assert ended.err.splitlines()[-1].startswith(f"sagd: stopped by {number.name}"), ended.err
        assert "Traceback" not in ended.err


@pytest.fixture(autouse=True)
def _handlers():
    """A signal that nobody takes is a failure of the test, not the end of the suite; handlers must come back."""

    def fail(number, _):
        raise AssertionError(f"nobody took {signal.Signals(number).name}")

    before = {number: signal.signal(number, fail) for number in NUMBERS}
    yield
    kept = all(signal.getsignal(number) is fail for number in before)
    for number, handler in before.items():
        signal.signal(number, handler)
    assert kept, "handlers of signals did not come back"


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(("command", "kind"), drawn("signals", pairs(), 2))
def test_a_signal_at_a_file_event(command, kind, number, bench, tmp_path, campaign):
    whole = bench.undisturbed(command, kind)
    args = [command, *COMMANDS[command](bench, kind), "--out"]
    most = 3 if LONG else 1
    points = random.Random(f"signal {command} {kind} {number}").sample(range(1, whole.events + 1), most)
    with campaign("signals") as faults:
        for at in points:
            with faults(f"{number.name} to {command} of {kind}, event {at} of {whole.events}"):
                out = tmp_path / str(at)
                with Events(out, at, lambda: signal.raise_signal(number)):
                    ended = quietly(*args, out)
                assert_left(command, args, out, ended, number, whole)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(("command", "kind"), drawn("moments", pairs(), 2))
def test_a_signal_at_a_moment(command, kind, number, bench, tmp_path, campaign):
    """At a share of the time that the command takes, by the clock."""
    whole = bench.undisturbed(command, kind)
    args = [command, *COMMANDS[command](bench, kind), "--out"]
    generator = random.Random(f"moment {command} {kind} {number}")
    with campaign("signals") as faults:
        for i in range(3 if LONG else 1):
            share = generator.random()
            with faults(f"{number.name} to {command} of {kind} after {share:.2f} of its time"):
                out = tmp_path / str(i)
                with after(share * whole.seconds, number):
                    ended = quietly(*args, out)
                assert_left(command, args, out, ended, number, whole)


def assert_left(command, args, out, ended, number, whole):
    assert_stopped(ended, number)
    if out.exists():
        assert_whole(out, whole.files)
        assert not [path for path in out.rglob("*") if path.name.endswith((".tmp", ".lock"))]
    if ended.code and (command in RESUMABLE or not out.exists()):
        assert_goes_on(command, args, out, whole.files)
    if out.exists():
        shutil.rmtree(out)


class after:  # noqa: N801 - reads as a clause
    """Context in which a signal comes after so many seconds, unless it ends before."""

    def __init__(self, seconds, number):
        self.seconds, self.number = max(seconds, 1e-3), number

    def __enter__(self):
        self.before = signal.signal(signal.SIGALRM, lambda *_: self.send())
        self.inside = True
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def send(self):
        if callable(signal.getsignal(self.number)) and "sagd" in getattr(
            signal.getsignal(self.number), "__module__", ""
        ):
            signal.raise_signal(self.number)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)
