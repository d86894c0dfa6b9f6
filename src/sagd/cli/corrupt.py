"""`sagd corrupt`: data damaged in a band, to try omission on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from sagd.cli.options import Command, Flag, chosen_data
from sagd.data.config import DataConfig
from sagd.errors import InputError
from sagd.terminal import say


@dataclass(frozen=True)
class Corrupt(Command):
    """Damage data in a band of frequencies and write it as files of its own type, to try omission on.

    Example: sagd corrupt digits "scan_lines(level=0.3)" --out trial
    """

    source: tyro.conf.Positional[str]
    """'digits' (built in), a folder or file of data, a .parquet file, or a hub data set name."""
    corruption: tyro.conf.Positional[str]
    """fringes, curtains, streaks, mains, sensor or gain as real damage is; on the grid of the data band_noise, rain,
    moire, scan_lines, fixed_pattern, hum or shading. Their parameters: 'sagd kinds corruption'."""
    out: Path
    """Directory for damaged/ and clean/, with a folder per class where there are classes; must be empty or missing."""
    contrast: float = 0.5
    """Contrast of the clean data, in (0, 1], which leaves room for damage: what is clipped spreads."""
    seed: int = 0
    """Seed of the damage: the same item always gets the same."""
    unrounded: Annotated[Flag, tyro.conf.arg(name="float")] = False
    """Write floating point, so that nothing is rounded or clipped."""
    data: DataConfig = field(default_factory=DataConfig)


_CLIPPED = 0.01
"""Share of clipped values that is worth a warning."""


def run_corrupt(command: Corrupt) -> None:
    """Do what the options ask for; errors of input are for the caller to print."""
    from sagd.data.corruption import Corruption
    from sagd.data.files import save_damaged
    from sagd.data.kinds import Kind
    from sagd.data.load import load
    from sagd.omission.modes import Mode

    if not 0 < command.contrast <= 1:
        raise InputError(f"--contrast must lie in (0, 1], got {command.contrast}; 0.5 leaves room for damage")
    config = chosen_data(command.source, command.data)
    if config.corruption != "none":
        raise InputError(f"two damages, {command.corruption!r} and --data.corruption {config.corruption}; name one")
    corruption = Corruption.parse(command.corruption)
    clean = load(config)
    corruption = corruption.on(clean.meaning.grid())
    band = corruption.band(clean.shape[1:], command.seed)
    written = save_damaged(clean, corruption, command.out, command.contrast, command.seed, command.unrounded)
    clipped = written.clipped / written.values
    items = Kind.member(clean.meaning.kind).counted(len(clean))
    say(f"wrote {items} in {command.out / 'damaged'} and {command.out / 'clean'}")
    say(f"the damage is in the band '{band}'")
    modes = [kind for kind, mode in Mode.members().items() if mode.suits(corruption.assumptions)]
    needs = f"{', '.join(modes)} need{'s' * (len(modes) == 1)}" if modes else "no mode needs in full"
    say(f"{corruption.kind} meets what {needs}: see 'sagd kinds omission-mode'")
    if clipped > _CLIPPED:
        warnings.warn(
            f"{100 * clipped:.1f} % of the values were clipped to what files hold, which spreads the damage beyond its"
            " band; lower its level or --contrast, or give --float",
            stacklevel=2,
        )
