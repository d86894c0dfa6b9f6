"""The program `sagd`; also `python -m sagd`, and so `torchrun -m sagd train ...`."""

import os
import signal
import sys

from sagd.errors import InputError
from sagd.interrupt import SIGNALS, Interrupted, Watch
from sagd.optional import need
from sagd.terminal import legible, tell

_TURNS = "GOMP_SPINCOUNT"


def main() -> int:
    """Entry point of the process: as `sagd.cli.program.main`, but signals are answered from the first line on."""
    try:
        with Watch():
            let_threads_sleep()
            with Watch():
                need("tyro")
                from sagd.cli.program import main as run
            return run()
    except InputError as error:
        with legible():
            tell(f"sagd: {error}")
        return 2
    except Interrupted as stop:
        with legible():
            tell(f"sagd: {stop}")
        return 128 + stop.signal
    finally:
        # Nothing is left to stop, and Python would answer with a traceback while it tidies up.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def let_threads_sleep() -> None:
    """Have threads that wait for each other sleep sooner than OpenMP of GNU does, unless the user says how they wait.

    On cores that other programs use as well, waiting threads keep those from running that they wait for, and trainings
    take many times as long. It is read when torch is loaded.
    """
    if not {"OMP_WAIT_POLICY", _TURNS} & os.environ.keys():
        os.environ[_TURNS] = "10000"


if __name__ == "__main__":
    sys.exit(main())
