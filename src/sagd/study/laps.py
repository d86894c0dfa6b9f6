"""Training in laps: what the damage hides is drawn, a model trained on the draws, again and again.

See `sagd.omission.laps`. A band that a mode leaves out is hidden in all items; of items that have masks, or damage that
hides frequencies of their own, those are; and from mode `cleaned` on nothing is hidden, but all is shown under noise of
the damage's power, which is measured without a network first, and by the draws of each lap anew. Of larger files that
windows are cut from, lap 0 learns windows at other places at each step, and laps the fixed ones of `sagd.study.cuts`.
In the directory of the run there are

    OUT/lap-0           the run of the mode of omission; none where every item has frequencies of its own
    OUT/start           what laps start from where nothing is hidden: damaged items or cleaned ones
    OUT/lap-K/draws     what lap K is trained on
    OUT/lap-K/run       its run
    OUT/lap-K/judged    what it is worth
    OUT/model           the model of the best lap
    OUT/laps.yaml       the settings

Each appears by rename, so that a run that was killed goes on from the last of them, or from its last checkpoint.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor

from sagd.build.objects import omission_mode
from sagd.build.schema import AUTO_SPECTRUM, NO_OMISSION, OmissionConfig, ProcessConfig, RunConfig
from sagd.build.text import to_dict, to_yaml
from sagd.counting import SHORT, Count, stage
from sagd.data.kinds import Kind
from sagd.data.load import load
from sagd.data.signals import Signals
from sagd.errors import InputError, argument
from sagd.noise.bands import mask
from sagd.noise.basis.base import Basis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Spectrum
from sagd.omission.checks import within_reach
from sagd.omission.guard import has_edges, has_surroundings, next_bins
from sagd.omission.laps import HeldOut, Lap, gains
from sagd.omission.modes import Mode
from sagd.omission.modes.cleaned import Cleaned
from sagd.omission.posterior import ROUNDS, GaussianPrior, Judged, posterior
from sagd.omission.removal import Removal, measure
from sagd.omission.restore import restore
from sagd.omission.trial import MOST, Left
from sagd.random import generator_for, subset
from sagd.store.files import read_tensors, to_safetensors, verify_directory, write_directory, write_file
from sagd.store.folder import claim
from sagd.store.model import LAPS, Trained, load_model, save_model
from sagd.store.run import CONFIG
from sagd.study.cleared import check_damage
from sagd.study.cuts import CleanedFiles, Cuts
from sagd.study.filling import Damage, cleaned, continued, fill, say_start, start_of
from sagd.study.gain import in_all
from sagd.study.measuring import FOURIER, check_masks, shown_prior
from sagd.study.run import changed, of_another
from sagd.study.train import train
from sagd.terminal import duration

logger = logging.getLogger(__name__)

_JUDGED, _FEWEST = 256, 8
"""Items that laps are judged on, at most and at least."""
_TOGETHER = 256
_MEASURED = 4096
"""Items whose damage is measured together, to be taken out."""
_DRAWS, _TENSOR, _GAIN = "draws.safetensors", "x", "gain"
_OF_WHITE = ProcessConfig()
"""A process of white noise."""
_FREE = (
    "process.omission.laps",
    "plugins",
    "training.precision",
    "training.checkpoint_every",
    "training.sample_every",
    "training.keep_checkpoints",
    "training.log_every",
)
"""Settings that may be others when a training goes on."""


def train_in_laps(config: RunConfig, out: str | Path, resume: bool = False, data: Signals | None = None) -> Path:
    """Train as `sagd.study.train.train`, and then in laps; arguments, errors and result are those of that.

    Raises:
        InputError: If the damage is neither left out by a mode nor of its own in every item.
    """
    out = Path(out)
    if type(laps := config.process.omission.laps) is not int or laps < 1:
        raise InputError(f"process.omission.laps must be at least 1 to train in laps, got {laps!r}")
    images = load(config.data) if data is None else data
    course = Course(config, images, out)
    course.check()
    if resume and (out / CONFIG).exists():
        raise InputError(f"{str(out)!r} holds a single training, without laps; choose another {argument('out')}")
    with claim(out, empty=not resume):
        new = course.begin()
        try:
            best = course.run(laps)
        except InputError:
            if new:
                course.forget()
            raise
        model = best if best is not None else course.first
        assert model is not None
        save_model(out / "model", dataclasses.replace(model, configuration=to_dict(course.known)))
    return out / "model"


@dataclass
class Pace:
    """Seconds that parts of laps took, as far as they were done here from start to end.

    Attributes:
        training: A training; None: none was.
        draw: An item drawn by a model; likewise.
    """

    training: float | None = None
    draw: float | None = None

    def seconds(self, draws: int) -> float:
        """What a lap takes of so many draws, as far as it is known."""
        return (self.training or 0) + (self.draw or 0) * draws


@dataclass(frozen=True)
class Course:
    """What all laps of a training share.

    Attributes:
        config: Configuration.
        data: Damaged data.
        out: Directory.
    """

    config: RunConfig
    data: Signals
    out: Path

    def check(self) -> None:
        """Refuse data of which laps learn nothing, before work starts.

        Raises:
            InputError: If so.
        """
        omission, corruption = self.config.process.omission, self.data.corruption
        if self.config.process.spectrum == AUTO_SPECTRUM:
            raise InputError("process.omission.laps and process.spectrum 'auto' do not go together; name a spectrum")
        if self.config.denoiser.bands != "none":
            raise InputError("process.omission.laps draw whole items; leave denoiser.bands out")
        if self.data.gaps:
            raise InputError("process.omission.laps need items without missing values (NaN); fill these in before")
        check_masks(self.data, omission)
        mode = omission_mode(omission, self.data.meaning.grid())
        if self.data.cut is not None and not self.cleans:
            raise InputError(
                f"process.omission.laps of windows cut from larger files ({argument('data.fit')}) need"
                f" {argument('process.omission.mode=cleaned')}, got {omission.mode!r}; take that, or give files of one"
                " size that are not cut"
            )
        if self.cleans:
            check_damage(self.data)
        if isinstance(mode, Cleaned) and mode.log == "yes":
            raise InputError(
                "process.omission.laps draw items without what was added to them, and this damage multiplies them"
                " (process.omission.log yes); leave laps out"
            )
        if mode is None:
            if self.data.unobserved(torch.zeros(1, dtype=torch.int64)) is None:
                raise InputError(
                    "process.omission.laps need a mode of omission, e.g. fill, masks of what was observed"
                    " (data.observed), or data.corruption that hides other frequencies of every item: subsampled,"
                    " wedges or notches"
                )
            if corruption is not None and not corruption.fixed:
                raise InputError("process.omission.laps need damage that stays: set fixed=True in data.corruption")
        if self.cuts is not None:
            self.cuts.check(self.parts[1], _FEWEST)
        elif len(self.data) < 2 * _FEWEST:
            raise InputError(f"process.omission.laps need at least {2 * _FEWEST} items, got {len(self.data)}")
        if (size := self.config.training.batch_size) > (rest := min(len(self.parts[0]), len(self.learnt))):
            of = f"of {len(self.data)} items, judged on the others" if self.cuts is None else "windows"
            raise InputError(f"training.batch_size is {size}, and laps train on {rest} {of}; give at most {rest}")
        if self.cleans:
            self._check_lines()
        if self.cuts is not None:
            logger.info(self.cuts.line(*self.parts))
        if mode is None:
            self._check_coverage()

    def begin(self) -> bool:
        """Keep the settings; refuse to go on with others.

        Returns:
            Whether nothing was begun here before.

        Raises:
            InputError: Naming what differs from a training that was started here.
        """
        path, settings = self.out / LAPS, to_dict(self.config)
        if not path.exists():
            write_file(path, to_yaml(settings))
            return True
        if changes := {key: both for key, both in changed(path, settings).items() if key not in _FREE}:
            raise InputError(of_another(changes, f"the training in laps in {str(self.out)!r}"))
        return False

    def forget(self) -> None:
        """Leave nothing of a training that was refused before it made anything."""
        if not any(self.out.glob("lap-*")):
            (self.out / LAPS).unlink(missing_ok=True)

    def _check_lines(self) -> None:
        """Refuse dead lines: cleaning interpolates them, but laps start from items as they are.

        Raises:
            InputError: If a file has some, or all items have them in common.
        """
        if self.cuts is not None:
            said = "files have dead lines" if self.cuts.dead else ""
        else:
            said = "items have dead lines in common" if in_all(self._some) else ""
        if said:
            raise InputError(
                f"process.omission.laps take dead lines for content, and {said}; interpolate them before, or leave"
                " laps out: mode cleaned interpolates them by itself"
            )

    def _check_coverage(self) -> None:
        """Refuse items that show all frequencies, or some frequency too seldom."""
        coverage = self.parts[0].coverage()
        assert coverage is not None
        if coverage.all_shown:
            raise InputError(
                "process.omission.laps learn what items do not show, and nothing is hidden in these: they show all of"
                " their frequencies; train without laps"
            )
        if (unknown := coverage.unknown()) is not None:
            raise InputError(f"process.omission.laps: {unknown}")
        logger.info(coverage.line())

    def run(self, laps: int) -> Trained | None:
        """All laps; the model of the best, or None if that is lap 0's."""
        if self.cleans and (why := self._in_vain()):
            logger.warning("no laps: %s; the model is that of lap 0", why)
            return self.first
        model = kept = self.first if self.cleans else None
        best = Lap(0, self.judged(0, model)) if self.first is None or self.cleans else None
        if best is not None:
            logger.info(best.line(None))
        for number in range(1, laps + 1):
            self._say_left(number)
            draws = self.draws(number, model)
            model = self.trained(number, draws, model)
            lap = Lap(number, self.judged(number, model))
            logger.info(lap.line(best))
            if best is not None and not gains(lap, best, self.first is not None):
                if kept is None:
                    logger.info("lap %d gains nothing for certain; its model is kept, as there is no other", number)
                    return model
                better = gains(lap, best, banded=False)  # but for the damage that it draws back
                why = "more of the damage is drawn back" if better else "nothing is gained any more"
                logger.info("%s: the model is that of lap %d", why, best.number)
                return kept
            best, kept = lap, model
        return kept

    def _say_left(self, number: int) -> None:
        """A line on how long the laps from one on take, once a training was timed."""
        laps, pace = self.config.process.omission.laps, self.pace
        seconds = (laps + 1 - number) * pace.seconds(len(self.parts[0]) + 2 * len(self.parts[1]))
        if pace.training is None or seconds <= SHORT:
            return
        told = f"about {duration(seconds)}"
        beside = ", drawing left out" if pace.draw is None else ""
        if number == laps:
            logger.info("%s takes %s%s", self.named(number), told, beside)
        else:
            why = "they end when nothing is gained"
            logger.info("laps %d to %d take %s at most%s: %s", number, laps, told, beside, why)

    def named(self, number: int) -> str:
        """A lap as lines name it."""
        return f"lap {number} of {self.config.process.omission.laps}"

    @cached_property
    def pace(self) -> Pace:
        """What was timed of the laps so far."""
        return Pace()

    def _in_vain(self) -> str:
        """Why laps from cleaned items would learn what is not so; "" if they would not."""
        if isinstance(self.mode, Cleaned) and self.mode.log == "yes":
            return "the damage multiplies the values, and laps draw items without what was added to them"
        if self.cuts is not None and not has_surroundings(self.place, self.basis):
            return f"windows of {self.cuts.size} leave too little beside {self.place.label} to judge laps by"
        return "" if self.measured.any() else "nothing of the damage stands out of the data"

    @cached_property
    def cuts(self) -> Cuts | None:
        """Windows of larger files; None of whole items."""
        return None if self.data.cut is None else Cuts(self.data)

    @cached_property
    def files(self) -> CleanedFiles | None:
        """Those files without their damage."""
        if self.cuts is None:
            return None
        assert self.first is not None
        return CleanedFiles(self.cuts, self.first.omission, self.mode.place)

    @cached_property
    def parts(self) -> tuple[Signals, Signals]:
        """Items that are trained on, and those that laps are judged on."""
        if self.cuts is not None:
            return self.cuts.parts(_JUDGED)
        count = max(_FEWEST, min(_JUDGED, len(self.data) // 10))
        order = subset(len(self.data), len(self.data), generator_for("laps", 0))
        return self.data.subset(order[count:].sort().values), self.data.subset(order[:count].sort().values)

    @property
    def learnt(self) -> Signals:
        """What lap 0 is trained on."""
        return self.parts[0] if self.cuts is None else self.cuts.roaming

    @cached_property
    def first(self) -> Trained | None:
        """The model of the mode of omission; None if there is none."""
        if self.config.process.omission.mode == NO_OMISSION:
            return None
        process = dataclasses.replace(
            self.config.process, omission=dataclasses.replace(self.config.process.omission, laps=0)
        )
        config = dataclasses.replace(self.config, process=self._whole(process) if self.cleans else process)
        return self._train(config, 0, self.out / "lap-0", self.learnt)

    def _whole(self, process: ProcessConfig, before: Trained | None = None) -> ProcessConfig:
        """Of a model of whole items, in the basis of the one before: what is drawn is known by Fourier coefficients, in
        which the noise has to be diagonal, as white noise is whatever basis the items' own spectrum is measured in."""
        if (process.spectrum, process.evolution) != (_OF_WHITE.spectrum, _OF_WHITE.evolution):
            return dataclasses.replace(process, basis=FOURIER)
        if before is None:
            return process
        return dataclasses.replace(process, basis=before.config.process.basis)

    @cached_property
    def cleans(self) -> bool:
        """Whether the mode hides nothing, so that all of an item is shown, under the damage."""
        mode = omission_mode(self.config.process.omission, self.data.meaning.grid())
        return mode is not None and mode.cleans

    @cached_property
    def basis(self) -> Basis:
        """That of the damage; that which hides nothing is measured in channels as they are."""
        if self.first is None or self.cleans:
            return FourierBasis(self.data.shape[1:])
        return self.first.statistics.basis

    @cached_property
    def left(self) -> Left | None:
        """What cleaning leaves of items, if laps start from cleaned ones; else None.

        It is found in a trial once, and kept.
        """
        path = self.out / "start"
        if not path.exists():
            if (self.out / "lap-1" / "draws").exists():
                return None  # of a version that knew no other start
            start, none = self._start(), torch.zeros(0, dtype=torch.float64)
            told = {_TENSOR: none} if start is None else {_TENSOR: start.noise, _GAIN: start.gain}
            write_directory(path, [(_DRAWS, to_safetensors(told))])
        verify_directory(path, [_DRAWS])
        kept = read_tensors(path / _DRAWS)[0]
        noise = kept[_TENSOR]
        return Left(kept.get(_GAIN, torch.ones_like(noise)), noise) if noise.numel() else None

    def _start(self) -> Left | None:
        """The same, found in a trial."""
        assert self.first is not None
        assert isinstance(self.basis, FourierBasis)
        model, basis, seed, kept = self.first, self.basis, self.config.training.seed, self.parts[0]
        numbers = torch.arange(min(len(kept), MOST))
        y, labels = kept.batch(numbers)
        told = None if model.classes is None else labels
        with stage("trying what laps had better start from"):
            if self.files is None:
                where = (mask(self.place, basis) > 0).double().reshape(1, -1, *basis.coefficients)
                damage = Damage(self.measured, basis, where, self.removal)
                trial = start_of(model, y, damage, seed, told, progress=True).trial
                return trial.left if trial is not None and trial.from_cleaned else None

            def network(z: Tensor, noise: Tensor) -> Tensor:
                damage = Damage(noise, basis, torch.ones_like(noise))
                return fill(model, within_reach(z, model.statistics), damage, 0, seed, told, progress=True).images

            trial = self.files.tried(kept, self.measured, numbers, network)
        say_start(trial, len(numbers))
        if not trial.from_cleaned:
            return None
        return trial.left

    def shown(self, data: Signals, numbers: Tensor) -> Tensor:
        """Items `(B,)` as laps start from them."""
        y = self._continued(data.batch(numbers)[0])
        if not self.cleans or self.left is None:
            return y
        assert self.first is not None
        if self.files is not None:
            z = within_reach(self.files.windows(data, numbers), self.first.statistics)
        else:
            z = cleaned(y, self.removal, self.first)
        return within_reach(self.left.shown(z), self.first.statistics)

    def _continued(self, y: Tensor) -> Tensor:
        """Items as they were before their damage was clipped, as models see them."""
        if not self.cleans or self.files is not None:
            return y
        assert self.first is not None
        return continued(y, self.removal, self.first)

    @cached_property
    def measured(self) -> Tensor:
        """`N(f)` of damage that hides nothing, as it is measured without a network, `(1, C, *coefficients)`."""
        if self.files is not None:
            return self.files.noise(self.parts[0])
        return self.removal.noise_of(self.removal.continued(self._some))[None]

    def expected(self, number: int) -> Tensor:
        """Power of what is wrong with what a lap starts from, as its own draws say it: what that holds more than they.

        Of lap 0, which has none, it is measured, or found in the trial.
        """
        known = self.measured if self.left is None else self.left.noise
        if number == 0:
            return known
        kept, x = self.parts[0], self.drawn_in(number)
        total = torch.zeros_like(self.measured)
        for some in torch.arange(len(kept)).split(_TOGETHER):
            rest = self.shown(kept, some) - x.batch(some)[0]
            total += self.basis.forward(rest.double()).abs().square().sum(0)
        return torch.where(known.isinf(), torch.inf, total / len(kept))

    @property
    def known(self) -> RunConfig:
        """The configuration, with the band that was found."""
        if self.first is None:
            return self.config
        omission = dataclasses.replace(self.first.omission, laps=self.config.process.omission.laps)
        return dataclasses.replace(self.config, process=dataclasses.replace(self.config.process, omission=omission))

    @property
    def mode(self) -> Mode:
        """The mode of omission, its band known."""
        assert self.first is not None
        mode = omission_mode(self.first.omission, self.first.meaning.grid())
        assert mode is not None
        return mode

    @property
    def place(self) -> Spectrum:
        """Its band on the grid of items: in windows of larger files, with the bins beside what lies between them."""
        place = self.mode.place
        cut = self.cuts is not None and has_edges(place, len(self.data.shape) - 1)
        return next_bins(place, self.data.shape[1:]) if cut else place

    @cached_property
    def prior(self) -> GaussianPrior:
        """What is known without a network of data whose items each have damage of their own."""
        return shown_prior(self.parts[0].at_most(_MEASURED))

    def noise(self, data: Signals, numbers: Tensor, lap: int) -> Tensor:
        """`N(f)` of items, `(B|1, C|1, *coefficients)`, as it is known after a lap."""
        if self.cleans:
            return self.expected(lap)
        if self.first is None:
            missing = data.unobserved(numbers)
            assert missing is not None
            return torch.where(missing, torch.inf, 0.0)[:, None]
        inside, known = mask(self.mode.place, self.basis) > 0, self.mode.damage(self.basis)
        hidden = torch.where(inside, torch.inf if known is None else known, 0.0)
        return hidden.reshape(1, -1, *self.basis.coefficients)

    def draws(self, number: int, model: Trained | None) -> Signals:
        """What a lap is trained on: draws by the model of the lap before."""
        path, kept = self.out / f"lap-{number}" / "draws", self.parts[0]
        if not path.exists():
            every = torch.arange(len(kept)).split(_TOGETHER)
            known = self.noise(kept, every[0], number - 1) if self.cleans else None
            parts, start = [], monotonic()
            with Count(len(kept), f"{self.named(number)}: drawing", "items") as count:
                for some in every:
                    parts.append(self.drawn(kept, some, model, number, known))
                    count.done(len(some))
            if model is not None:
                self.pace.draw = (monotonic() - start) / len(kept)
            write_directory(path, [(_DRAWS, to_safetensors({_TENSOR: torch.cat(parts)}))])
        return self.drawn_in(number)

    def drawn_in(self, number: int) -> Signals:
        """The draws of a lap, from its files."""
        path, kept = self.out / f"lap-{number}" / "draws", self.parts[0]
        verify_directory(path, [_DRAWS])
        x = read_tensors(path / _DRAWS)[0][_TENSOR]
        as_read = dataclasses.replace(kept, corruption=None, observed=None, read=None)
        return dataclasses.replace(as_read, stored=x, rows=None, places=None, origin=None)

    def drawn(self, data: Signals, some: Tensor, model: Trained | None, lap: int, noise: Tensor | None) -> Tensor:
        """Draws of items by a model of whole ones, or by what there is before there is one; `noise` if all share it."""
        labels = None if data.labels is None else data.labels[some]
        own = self.noise(data, some, lap - 1) if noise is None else noise
        return self._posterior(self.shown(data, some), own, labels, model, lap, int(some[0]))

    def _posterior(
        self, y: Tensor, noise: Tensor, labels: Tensor | None, model: Trained | None, draw: int, first: int
    ) -> Tensor:
        seed = self.config.training.seed
        if model is not None:
            told = None if model.classes is None else labels
            return posterior(
                model.denoiser, y, noise, model.statistics.on(self.basis), rounds=ROUNDS, seed=seed, draw=draw,
                first=first, condition=told, batch_size=_TOGETHER,
            ).cpu()  # fmt: skip
        if self.first is None:
            return self.prior.draw(y, noise, seed, draw, first)
        if self.vetoed:
            return y - self.removal.apply(y)
        told = None if self.first.classes is None else labels
        samples = int(self.mode.knows_posterior(self.first.denoiser, self.first.statistics))
        found = restore(
            self.first.denoiser, y, self.mode, self.first.statistics,
            samples=samples, seed=first + seed, condition=told, batch_size=_TOGETHER,
        )  # fmt: skip
        return found.images if found.samples is None else found.samples[0]

    @cached_property
    def vetoed(self) -> bool:
        """Whether nothing that the model of lap 0 says of its band is believed."""
        assert self.first is not None
        share = self.first.calibration
        inside = mask(self.mode.place, self.basis) > 0
        nothing = share is not None and not (share.expand_as(inside)[inside] > 0).any()
        if nothing:
            logger.info("the first draws have the damage taken out without a network, of which nothing is believed")
        return nothing

    @cached_property
    def removal(self) -> Removal:
        """What takes the damage out without a network."""
        return measure(list(self._some), self.mode.place, clipped=True)

    @cached_property
    def _some(self) -> Tensor:
        """Items that damage is measured on."""
        return self.parts[0].at_most(_MEASURED).tensor()

    def trained(self, number: int, draws: Signals, before: Trained | None) -> Trained:
        """The model of a lap, from the weights of the one before."""
        start = self.out / f"lap-{number - 1}"
        weights = None if number == 1 and self.first is None else start if number == 1 else start / "run"
        process = dataclasses.replace(self.config.process, omission=OmissionConfig())
        process = self._whole(process, before or self.first)
        training = dataclasses.replace(self.config.training, init=None if weights is None else str(weights))
        config = dataclasses.replace(self.config, process=process, training=training, design=None)
        return self._train(config, number, self.out / f"lap-{number}" / "run", draws)

    def _train(self, config: RunConfig, number: int, out: Path, data: Signals) -> Trained:
        if not (out / "model").exists():
            logger.info("%s: training on %s", self.named(number), Kind.member(data.meaning.kind).counted(len(data)))
            resume, start = out.exists(), monotonic()
            train(_as_begun(config, out), out, resume=resume, data=data, name=self.named(number))
            if not resume:
                self.pace.training = monotonic() - start
        return load_model(out)

    def judged(self, number: int, model: Trained | None) -> Judged:
        """What the draws of a lap are worth."""
        path = self.out / f"lap-{number}" / "judged"
        if not path.exists():
            apart = self.parts[1]
            every = torch.arange(len(apart))
            y, labels = apart.batch(every)
            y = self._continued(y)
            statistics = self.prior.statistics if model is None else model.statistics
            band = None if self.first is None else self.place
            noise = self.noise(apart, every, number)
            held_out = HeldOut(y, noise, statistics.mean, self.basis, band, not self.cleans, self.shown(apart, every))
            start = monotonic()
            with stage(f"{self.named(number)}: judging it by two draws of {len(apart)} held-out items"):
                found = held_out.judge(lambda x, n, draw: self._posterior(x, n, labels, model, draw, 0))
            if model is not None and self.pace.draw is None:
                self.pace.draw = (monotonic() - start) / (2 * len(apart))
            content = {"errors": found.errors, "power": torch.tensor([found.power])}
            write_directory(path, [(_DRAWS, to_safetensors(content))])
        verify_directory(path, [_DRAWS])
        known = read_tensors(path / _DRAWS)[0]
        return Judged(known["errors"], float(known["power"]))


def _as_begun(config: RunConfig, out: Path) -> RunConfig:
    """A configuration in the basis of the run that it goes on with: former versions took Fourier whatever was named."""
    try:
        changes = changed(out / CONFIG, to_dict(config)) if (out / CONFIG).exists() else {}
    except InputError:
        return config  # settings that cannot be read are written anew
    if "process.basis" not in changes:
        return config
    _, basis = changes["process.basis"]
    return dataclasses.replace(config, process=dataclasses.replace(config.process, basis=str(basis)))
