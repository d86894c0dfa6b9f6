"""Ctrl-C and SIGTERM stop what is running, and none of them is lost.

`Watch` raises `Interrupted` wherever the program is. Within it, `Interrupts` notes a signal instead, for a loop that
stops by itself once a step is done.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from sagd.errors import argument

SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Seconds after which a signal is tried again that could not be raised.
_AGAIN = 0.05

_IMPORT = "<frozen importlib._bootstrap>"


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM stopped the work; the exit code is `128 + signal`.

    Args:
        signum: Number of the signal.
        resumable: Whether to say that what was stopped can be resumed.
    """

    def __init__(self, signum: int, resumable: bool = False) -> None:
        advice = f"; continue with {argument('resume=True')}" if resumable else ""
        super().__init__(f"stopped by {signal.Signals(signum).name}{advice}")
        self.signal = signum


class _Handlers:
    """Context in which `_receive` handles SIGINT and SIGTERM; the handlers of before come back at its end.

    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.received = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # What is ignored stays so: a shell ignores Ctrl-C for its background jobs, and `nohup` likewise.
            heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._previous = {number: signal.signal(number, self._receive) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        raise NotImplementedError


class Interrupts(_Handlers):
    """Context in which the first SIGINT or SIGTERM is noted in `received`, and a second one kills at once.

    Whoever works in it raises `Interrupted` when it suits; the end of the context does for a signal that came too late.
    If the work fails with an error, that is what is told: it would fail again.
    """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # First the handlers: a signal after this line is theirs, one before it is seen below.
        super().__exit__(kind, error, trace)
        if self.received and error is None:
            raise Interrupted(self.received, resumable=True)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        for other in SIGNALS:
            signal.signal(other, signal.SIG_DFL)


class Watch(_Handlers):
    """Context in which SIGINT and SIGTERM raise `Interrupted`, at its end at the latest.

    Python drops what is raised in a destructor or a callback: then it is raised again a moment later. An import is
    finished first, unless a second signal comes: an exception aborts the process in the C++ of some, and leaves half a
    module of others. What a library catches, or turns into an error of another kind, is raised at the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self._trying = False
        self._outside: FrameType | None = None

    def __enter__(self) -> Self:
        super().__enter__()
        if self._previous:
            self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
            self._outside = sys._getframe(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._previous:
            self._previous, sys.unraisablehook = {}, self._hook
            self._outside = None
        if self.received and not isinstance(error, KeyboardInterrupt):
            raise Interrupted(self.received) from error

    def _receive(self, number: int, frame: FrameType | None) -> None:
        patient = self._trying or not self.received
        self.received, self._trying = number, False
        if not (patient and self._importing(frame)):
            raise Interrupted(number)
        self._try_again(number)

    def _importing(self, frame: FrameType | None) -> bool:
        while frame is not None and frame is not self._outside:
            if frame.f_code.co_filename == _IMPORT:
                return True
            frame = frame.f_back
        return False

    def _unraisable(self, dropped: sys.UnraisableHookArgs) -> None:
        if isinstance(dropped.exc_value, Interrupted):
            self._try_again(dropped.exc_value.signal)
        else:
            self._hook(dropped)

    def _try_again(self, number: int) -> None:
        def wait() -> None:
            time.sleep(_AGAIN)
            if self._previous:
                self._trying = True
                _thread.interrupt_main(signal.Signals(number))

        # `threading` has locks, one of which may be held where a destructor was called.
        _thread.start_new_thread(wait, ())
