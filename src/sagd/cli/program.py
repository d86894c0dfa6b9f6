"""The program: finds the command, reads its options, runs it. Errors of input are one line and exit code 2."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import tyro

from sagd.build.schema import AUTO_SPECTRUM
from sagd.build.text import load_yaml
from sagd.cli.clean import Clean, run_clean
from sagd.cli.compare import Compare, run_compare
from sagd.cli.corrupt import Corrupt, run_corrupt
from sagd.cli.design import Design, run_design
from sagd.cli.evaluate import Evaluate, run_evaluate
from sagd.cli.gallery import Gallery, run_gallery
from sagd.cli.inspect import Inspect, run_inspect
from sagd.cli.kinds import Kinds, run_kinds
from sagd.cli.options import plugins_first
from sagd.cli.resample import Resample, run_resample
from sagd.cli.restore import Restore, run_restore
from sagd.cli.sample import Sample, run_sample
from sagd.cli.train import Train, run_train
from sagd.data.config import DataConfig
from sagd.errors import DivergenceError, InputError, beyond, calling
from sagd.interrupt import Watch
from sagd.plugins import load_plugin
from sagd.spec import suggest
from sagd.store.folder import claim
from sagd.terminal import PrintError, flush, give_up, legible, printing, say, tell

COMMANDS: dict[str, type] = {
    c.__name__.lower(): c
    for c in (Inspect, Design, Clean, Gallery, Train, Sample, Corrupt, Restore, Resample, Evaluate, Compare, Kinds)
}

_FLAGS = {
    "out": "--out",
    "resume=True": "--resume",
    "keep=True": "--float",
    **{name: f"--{name}" for name in ("band", "budget", "jobs", "reference", "take")},
    "log=True": "--log yes",
    "shared=True": "--together",
    "band='ring(low=0.3, high=1)'": "--band 0.3 1",
    "Model.resample": "sagd resample",
    **{key: f"--{key}" for key in ("denoiser.bands", "process.omission.mode")},
    **{f"data.{setting.name}": f"--data.{setting.name.replace('_', '-')}" for setting in fields(DataConfig)},
    **{f"data.{key}={value}": f"--data.{key} {value}" for key, value in (("fit", "tile"), ("fit", "crop"))},
    "data.size=": "--data.size ",
    "data.missing=mask": "--data.missing mask",
    "process.omission.laps=3": "--laps 3",
    "data.observed=mask": "--data.observed mask",
    **{f"data.observed_order={order}": f"--data.observed-order {order}" for order in ("fft", "centred")},
    **{f"observed_order={order}": f"--observed-order {order}" for order in ("fft", "centred")},
    **{"observed": "--observed", "observed_order": "--observed-order"},
    "data.skip_bad=True": "--data.skip-bad",
    "data.area_weights=True": "--data.area-weights",
}
"""What the commands call what Python calls otherwise."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code.

    0: done; 1: done, but the result could not be printed; 2: bad input; 3: a diverged training; 128 + n: signal n.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    with legible():
        logging.basicConfig(format="%(message)s")
        logging.getLogger("sagd").setLevel(logging.INFO)
        _hide_bars()
        try:
            with warnings.catch_warnings(), Watch(), calling(_FLAGS):
                warnings.showwarning = _show_warning
                return _dispatch(args)
        except InputError as error:
            return _fail(error, 2)
        except DivergenceError as error:
            return _fail(error, 3)
        except KeyboardInterrupt as error:
            # Interrupted, a KeyboardInterrupt, knows its signal.
            return _fail(error, 128 + getattr(error, "signal", 2))
        except BrokenPipeError:
            give_up()
            return 141
        except PrintError as error:
            give_up()
            return _fail(f"cannot print the result: {error}; what belongs in --out is there", 1)
        except (OSError, UnicodeError, RecursionError, OverflowError, MemoryError, RuntimeError) as error:
            if (said := beyond(error)) is None:
                raise
            return _fail(said, 2)


def _dispatch(args: list[str]) -> int:
    plugins, args = plugins_first(args)
    if not args or args[0] in ("-h", "--help"):
        say(_overview())
    elif args[0] == "--version":
        from sagd import __version__

        say(__version__)
    elif args[0] not in COMMANDS:
        raise InputError(f"unknown command {args[0]!r}{suggest(args[0], list(COMMANDS))}")
    else:
        if "--out=" in args or ("--out", "") in itertools.pairwise(args):
            raise InputError("--out is empty; name a folder, or '.' for this one")
        for plugin in plugins:
            load_plugin(plugin)
        command = _parse(args[0], [*args[1:], *(f"--plugin={plugin}" for plugin in plugins)])
        if not command.many and "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1":
            raise InputError(f"'sagd {args[0]}' runs in one process; leave out torchrun, which 'sagd train' can use")
        with _claimed(command):
            _RUNNERS[args[0]](command)
    flush()
    return 0 if args else 2


def _claimed(command: Any) -> contextlib.AbstractContextManager[None]:
    """Its folder held for a command that writes; training and comparing, which Python may call too, hold theirs."""
    if command.folder == "own" or command.out is None:
        return contextlib.nullcontext()
    return claim(command.out, empty=command.folder == "empty")


def _overview() -> str:
    summaries = {name: (command.__doc__ or "").splitlines()[0] for name, command in COMMANDS.items()}
    return "\n".join(
        [
            "usage: sagd COMMAND ...",
            "",
            "Spectrally anisotropic Gaussian diffusion: choose which frequencies noise destroys.",
            "",
            *(f"  {name:<9} {summary}" for name, summary in summaries.items()),
            "",
            "sagd COMMAND --help explains a command and all its options; sagd kinds lists what these can name.",
            "Start with: sagd inspect digits",
        ]
    )


def _fail(error: BaseException | str, code: int) -> int:
    tell(f"sagd: {str(error) or 'interrupted'}")
    return code


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    tell(f"sagd: warning: {message}")


def _hide_bars() -> None:
    """Keep the bars of `datasets` and `huggingface_hub` off what is no terminal, as ours are."""
    if not sys.stderr.isatty():
        for library in ("HF_DATASETS", "HF_HUB"):
            os.environ.setdefault(f"{library}_DISABLE_PROGRESS_BARS", "1")


def _parse(name: str, args: list[str]) -> Any:
    """The command with its options, and for `train` those of its configuration file beneath them."""
    command = _read_options(name, args)
    if isinstance(command, Train) and (path := command.config or _kept(command)) is not None:
        default = Train(out=tyro.MISSING, run=load_yaml(type(command.run), path))
        command = _read_options(name, args, default=default)
    return command


def _kept(command: Train) -> Path | None:
    """The settings that a run to go on with keeps; None if a command says all again, data or that noise is chosen.

    Raises:
        InputError: If there are none at all.
    """
    from sagd.store.checkpoint import list_checkpoints
    from sagd.store.run import settings_of

    again = command.run.data != DataConfig() or command.run.process.spectrum == AUTO_SPECTRUM
    if not command.resume or again:
        return None
    path = settings_of(command.out)
    if path is None and command.laps is None and command.run == type(command.run)():
        cure = "give them with --resume" if list_checkpoints(command.out) else "start it with these, without --resume"
        raise InputError(f"nothing to resume in {str(command.out)!r}: no settings of a run are there; {cure}")
    return path


def _read_options(name: str, args: list[str], **default: Any) -> Any:
    """Read options; what tyro says in a box of many lines becomes one line."""
    boxed = io.StringIO()
    try:
        with contextlib.redirect_stderr(boxed), printing():
            return tyro.cli(COMMANDS[name], prog=f"sagd {name}", args=args, **default)
    except SystemExit as stop:
        if not stop.code:
            flush()
            raise
        raise InputError(f"{_unboxed(boxed.getvalue())}; see 'sagd {name} --help'") from None


def _unboxed(box: str) -> str:
    """The statement of an error box, drawn in Unicode or ASCII, and its first suggestion.

    >>> _unboxed("╭─ Missing ─────────────╮\\n│ Missing value for '-a'. │\\n╰─────────────────────────╯")
    "missing value for '-a'"
    """
    # A title, then parts between horizontal rules, all two characters in from the left.
    body = "\n".join(line[2:].rstrip(" │╮╯") for line in box.splitlines()[1:])
    parts = [part for part in re.split(r"^[─-]{4,}$", body, flags=re.MULTILINE) if part.strip()]
    message, *others = [" ".join(part.split()) for part in parts] or ["bad options"]
    if message.startswith("Missing from"):
        # Options stand indented by four, their explanations by eight.
        return "missing " + " and ".join(re.findall(r"^ {4}(\S.*)$", parts[0], flags=re.MULTILINE))
    if wrong := re.match(r"Error parsing (\S+): (?:.*instantiated from |.*?)('[^']*'|\[.*?\])", message):
        takes = re.search(r"Argument helptext: \S+ (?:\{None\}\|)?(?:\{(.*?)\}|(\[.*?\]\]|[^\s|]+))", " ".join(others))
        return f"{wrong[1]} cannot be {wrong[2]}" + (f"; it takes {takes[1] or takes[2]}" if takes else "")
    similar = re.search(r"(?:meant|similar to \S+): (--\S+)", " ".join(others))
    return message[0].lower() + message[1:].rstrip(".") + (f"; did you mean {similar[1]}?" if similar else "")


_RUNNERS: dict[str, Callable[[Any], None]] = {
    "inspect": run_inspect,
    "design": run_design,
    "clean": run_clean,
    "gallery": run_gallery,
    "train": run_train,
    "sample": run_sample,
    "corrupt": run_corrupt,
    "restore": run_restore,
    "resample": run_resample,
    "evaluate": run_evaluate,
    "compare": run_compare,
    "kinds": run_kinds,
}
