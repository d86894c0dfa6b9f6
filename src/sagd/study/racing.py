"""Which design networks do best with: short trainings by successive halving, judged on items that none was trained on.

The closed form of a design knows second moments alone, and whitened noise has these for nothing. Here candidates are
trained for a quarter of the budget, the better half of them up to half of it, and the better half of those to its end.
After each stage samples are judged by three errors together, each over what real items have in their place:

    the power spectrum, the flatness of what rings hold, the Frechet distance of label-free features.

The mean of their logarithms ranks candidates. Before the end half the logarithm of the error that the closed form
expects counts as well, since early samples say little. One that is clearly worse than white noise in flatness or
features is out, however good its spectrum: it has learnt a Gaussian. The best of white noise always stays in the race.

    OUT/race/CANDIDATE/             the training of a candidate
    OUT/race/CANDIDATE/judged-STEPS.json
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from sagd.build.schema import EvaluationConfig, RunConfig, SamplingConfig
from sagd.build.text import to_dict
from sagd.data.kinds import Kind
from sagd.data.signals import Signals
from sagd.designs.search import EXPONENTS, Candidate, is_worse, noise_of
from sagd.errors import DivergenceError, InputError, argument, one_line
from sagd.metrics.frechet import frechet_distance
from sagd.metrics.labelless import LabellessFeatures
from sagd.metrics.rings import ring_flatness
from sagd.metrics.spectral import spectral_error
from sagd.random import generator_for, subset
from sagd.store.files import read_json, reading, to_json, write_file
from sagd.store.model import load_model
from sagd.study.designing import Decision, Design, drawn_by, whitened
from sagd.study.evaluation import draw_samples
from sagd.study.guarding import set_apart
from sagd.study.train import flattened, train

logger = logging.getLogger(__name__)

PREDICTIONS = ("wiener", "wiener(exponent=0.5)")
MEASURES = ("spectrum_db", "flatness_db", "features")
_MAY_VETO = MEASURES[1:]
STAGES = (4, 2, 1)
"""Of what share of the budget candidates are trained before each judgement."""
_EXPECTED = 0.5
"""Power of the expected error that counts beside a score before the end. Of 24 candidates on four sets scores after a
quarter of the steps rank the samples of the end by 0.58, and so by 0.80 (benchmarks/design/results/racing.md)."""
_LEAST_ITEMS = 160
_HELD_OUT, _MOST_HELD_OUT = 80, 512
_BANDS = 10
_ALIKE = 1.1
"""Times the best score up to which a milder noise is taken instead: a race has one seed."""


@dataclass(frozen=True)
class Runner:
    """A candidate.

    Attributes:
        candidate: Noise, and how samples are drawn.
        prediction: How it is taught.
    """

    candidate: Candidate
    prediction: str

    @property
    def exponent(self) -> float:
        """Of the whitening of the noise."""
        return self.candidate.exponent

    @property
    def told(self) -> str:
        """For people."""
        return f"{noise_of(self.exponent)}, predict {self.prediction}"

    @property
    def name(self) -> str:
        """Of its folder."""
        part = self.prediction.partition("=")[2].rstrip(")")
        return f"whitened-{self.exponent:g}-wiener{'-' if part else ''}{part}"


@dataclass(frozen=True)
class Judged:
    """What samples of a candidate were worth.

    Attributes:
        runner: The candidate.
        steps: Optimiser steps that it was trained for.
        errors: By name of `MEASURES`.
        score: Geometric mean of the errors over those of real items; at least 1.
        vetoed: What it is clearly worse than white noise in; empty if nothing.
    """

    runner: Runner
    steps: int
    errors: dict[str, float]
    score: float
    vetoed: tuple[str, ...] = ()

    @property
    def early(self) -> float:
        """What ranks it before the end, where what was expected counts as well."""
        return self.score * self.runner.candidate.error**_EXPECTED

    def line(self) -> str:
        """For people."""
        errors = ", ".join(f"{name.removesuffix('_db')} {value:.3g}" for name, value in self.errors.items())
        veto = f"; out, worse than white noise in {' and '.join(self.vetoed)}" if self.vetoed else ""
        return f"{self.runner.told}, {self.steps} steps: score {self.score:.3g} (1 is best; errors: {errors}){veto}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        own = {"exponent": self.runner.exponent, "prediction": self.runner.prediction, "steps": self.steps}
        drawn = {"sampler": self.runner.candidate.sampler, "sampler_steps": self.runner.candidate.steps}
        return own | drawn | {"errors": self.errors, "score": self.score, "vetoed": list(self.vetoed)}


def race(design: Design, data: Signals, config: RunConfig, budget: int, out: Path) -> Decision:
    """What short trainings speak for.

    Args:
        design: That of the closed form.
        data: Training data.
        config: Network and training of all candidates; its steps are left to the budget.
        budget: Optimiser steps of those that come to the end.
        out: Where the race is kept, and gone on with.

    Raises:
        InputError: If there are too few items or steps, or `out` holds another race.
    """
    if type(budget) is not int or budget < max(STAGES):
        raise InputError(f"{argument('budget')} must be at least {max(STAGES)} steps, got {budget!r}")
    course = Course.of(design, data, config, out / "race")
    course.claim(budget)
    first, rises = budget // STAGES[0], config.training.warmup_steps
    if first <= rises:
        logger.warning(
            "race: candidates are first judged after %d steps, while the learning rate still rises (%d steps of"
            " warm-up), which says nothing; give %s %d or more",
            first, rises, argument("budget"), 2 * STAGES[0] * rises,
        )  # fmt: skip
    field = field_of(design)
    table: list[Judged] = []
    for share in STAGES:
        steps = budget // share
        judged = vetoed([course.judged(runner, steps) for runner in field])
        for one in judged:
            logger.info(one.line())
        table += judged
        field = better_half(judged)
    last = [one for one in table if one.steps == budget]
    return decided(last, table)


def field_of(design: Design) -> list[Runner]:
    """Who runs: each noise as it is expected to be drawn best."""
    best = [min((c for c in design.search.eligible if c.exponent == g), key=lambda c: c.error) for g in EXPONENTS]
    return [Runner(candidate, prediction) for candidate in best for prediction in PREDICTIONS]


def _parts(data: Signals) -> tuple[Signals, Signals]:
    """Items to train on, and others to judge by."""
    kept, apart = set_apart(data)
    if apart is None:
        if len(data) < _LEAST_ITEMS:
            items = Kind.member(data.meaning.kind).item[1]
            raise InputError(f"{data.name!r} has {len(data)} {items}; a race needs at least {_LEAST_ITEMS}")
        count = min(_MOST_HELD_OUT, max(_HELD_OUT, len(data) // 5))
        order = subset(len(data), len(data), generator_for("race", 0))
        kept, apart = data.subset(order[count:].sort().values), data.subset(order[:count].sort().values)
    return kept, apart.at_most(_MOST_HELD_OUT, "race")


@dataclass(frozen=True)
class Course:
    """What all candidates share.

    Attributes:
        design: That of the closed form.
        config: Network and training.
        kept: Items to train on.
        apart: Others to judge by.
        out: Where the race is kept.
    """

    design: Design
    config: RunConfig
    kept: Signals
    apart: Signals
    out: Path

    @classmethod
    def of(cls, design: Design, data: Signals, config: RunConfig, out: Path) -> Course:
        """On data of which a part is set apart.

        Raises:
            InputError: If there are too few items.
        """
        return cls(design, config, *_parts(data), out)

    def folder(self, runner: Runner) -> Path:
        """Where a candidate is trained."""
        return self.out / runner.name

    def claim(self, budget: int) -> None:
        """Note which race this is.

        Raises:
            InputError: If another one is there.
        """
        settings = {
            "process": to_dict(whitened(self.design.config.process, 0)),
            "evaluations": self.design.search.evaluations,
            "power": list(self.design.config.design.power) if self.design.config.design else [],
            "network": to_dict(self.config.network),
            "training": to_dict(self.config.training),
            "budget": budget,
            "items": [len(self.kept), len(self.apart)],
        }
        path = self.out / "race.json"
        if path.exists():
            with reading(path):
                now, then = flattened(json.loads(json.dumps(settings))), flattened(read_json(path))
            if changed := [key for key in {**now, **then} if now.get(key) != then.get(key)]:
                said = dict.fromkeys(_told_change(key, now.get(key), then.get(key)) for key in changed)
                raise InputError(
                    f"{str(self.out)!r} holds another race: {'; '.join(said)}; give those, choose another"
                    f" {argument('out')}, or remove it"
                )
        self.out.mkdir(parents=True, exist_ok=True)
        write_file(path, to_json(settings))

    def judged(self, runner: Runner, steps: int) -> Judged:
        """What a candidate is worth after so many steps; read if it is known."""
        path = self.folder(runner) / f"judged-{steps}.json"
        if not path.exists():
            logger.info("race: %s, %d steps", runner.told, steps)
            told = {"errors": _finite(self._errors(runner, steps)), "floors": _finite(self.floors)}
            write_file(path, to_json(told))
        found = read_json(path)
        with reading(path, "holds no result; remove its folder to run that candidate again"):
            errors, floors = ({name: _known(found[key][name]) for name in MEASURES} for key in ("errors", "floors"))
        return Judged(runner, steps, errors, scored(errors, floors))

    @cached_property
    def floors(self) -> dict[str, float]:
        """Errors of real items in the place of samples."""
        real = self.kept.some(len(self.apart), "race")
        return compared(real.tensor(), real.known(), self.apart)

    def _errors(self, runner: Runner, steps: int) -> dict[str, float]:
        training = dataclasses.replace(
            self.config.training,
            steps=steps,
            lr_decay="none",
            sample_every=0,
            checkpoint_every=steps,
            keep_checkpoints=1,
        )
        config = RunConfig(
            data=self.config.data,
            process=whitened(self.design.config.process, runner.exponent),
            network=self.config.network,
            denoiser=dataclasses.replace(self.design.config.denoiser, prediction=runner.prediction),
            training=training,
            plugins=self.config.plugins,
        )
        folder = self.folder(runner)
        try:
            train(config, folder, resume=folder.exists(), data=self.kept)
        except DivergenceError as error:
            logger.warning("race: %s is out: %s", runner.told, error)
            return dict.fromkeys(MEASURES, math.inf)
        sampling, count = drawn_by(SamplingConfig(), runner.candidate), EvaluationConfig(samples=len(self.apart))
        samples = draw_samples(load_model(folder), self.apart, sampling, count, training.seed)
        return compared(samples, None, self.apart)


def compared(x: Tensor, mask: Tensor | None, real: Signals) -> dict[str, float]:
    """Errors of samples against real items, by name of `MEASURES`.

    Args:
        x: Samples `(N, C, *spatial)`.
        mask: What of them is known; None: all.
        real: The items.
    """
    reference, known = real.tensor(), real.known()
    features = LabellessFeatures.fitted(reference, known)
    spectrum = spectral_error(x, reference, _BANDS, mask, known).rms_db
    flatness = ring_flatness(x, reference, _BANDS, mask, known).flatness_rms_db
    distance = frechet_distance(features(x), features(reference))
    return dict(zip(MEASURES, (spectrum, flatness, distance), strict=True))


def scored(errors: Mapping[str, float], floors: Mapping[str, float]) -> float:
    """Geometric mean of errors over those of real items, each at least 1."""
    ratios = [math.log(max(1.0, errors[name] / floors[name])) for name in MEASURES]
    return math.exp(sum(ratios) / len(ratios))


def _told_change(key: str, now: object, then: object) -> str:
    """What two races differ in."""
    if key in ("power", "items"):
        return "it was of other data"
    return f"{argument(key)} is {one_line(repr(now))}, and was {one_line(repr(then))}"


def _finite(errors: Mapping[str, float]) -> dict[str, float | None]:
    """For JSON, which has no infinity; what is no number is as bad."""
    return {name: error if math.isfinite(error) else None for name, error in errors.items()}


def _known(error: float | None) -> float:
    return math.inf if error is None else float(error)


def vetoed(judged: Sequence[Judged]) -> list[Judged]:
    """With what each is clearly worse than white noise in."""
    white = _white(judged)

    def faults(one: Judged) -> tuple[str, ...]:
        if not one.runner.exponent:
            return ()
        return tuple(name.removesuffix("_db") for name in _MAY_VETO if is_worse(one.errors[name], white.errors[name]))

    return [dataclasses.replace(one, vetoed=faults(one)) for one in judged]


def _white(judged: Sequence[Judged]) -> Judged:
    """The best of white noise."""
    return min((one for one in judged if not one.runner.exponent), key=lambda one: one.score)


def better_half(judged: Sequence[Judged]) -> list[Runner]:
    """The better half, by scores and what was expected, and the best of white noise."""
    ranked = sorted(judged, key=lambda one: (bool(one.vetoed), one.early))
    kept = ranked[: -(-len(ranked) // 2)]
    white = _white(judged)
    return [one.runner for one in (kept if white in kept else [*kept[:-1], white])]


def decided(last: Sequence[Judged], table: Sequence[Judged]) -> Decision:
    """The mildest noise of those that did best, and the best of white noise to hold it against."""
    able = [one for one in last if not one.vetoed]
    best = min(one.score for one in able)
    chosen = min((one for one in able if one.score <= _ALIKE * best), key=lambda one: (one.runner.exponent, one.score))
    white = _white(last)
    said = f"in a race of {len({one.runner for one in table})}, {chosen.line()}; white noise {white.score:.3g}"
    return Decision(
        chosen=chosen.runner.candidate,
        white=white.runner.candidate,
        prediction=chosen.runner.prediction,
        white_prediction=white.runner.prediction,
        race=tuple(one.to_dict() for one in table),
        said=said,
    )
