"""The program `sagd`; also `python -m sagd`, and so `torchrun -m sagd train ...`."""

import signal
import sys

from sagd.errors import InputError
from sagd.interrupt import SIGNALS, Interrupted, Watch
from sagd.optional import need
from sagd.terminal import legible, tell


def main() -> int:
    """Entry point of the process: as `sagd.cli.program.main`, but signals are answered from the first line on."""
    try:
        with Watch():
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


if __name__ == "__main__":
    sys.exit(main())
