"""Whether short trainings tell what longer ones come to: the races of `sagd design --race`, in which none drops out.

    python -m benchmarks.design.racing --sets velocity weather ecg cifar10

All six candidates of a race (white, half whitened and whitened noise, each with both predictions) are trained to the
end of the budget. A line of the results has how the race judged one after a quarter, a half and all of it, on items set
apart of the training data; what the closed form expected of it; what it asks of a network (`sagd.designs.learning`);
and what its samples are worth against the held-out part, which no choice has seen. The page has the rank correlations
with that, and what halving would have chosen.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks import records
from benchmarks.design.__main__ import DATA
from benchmarks.design.arms import ARMS
from benchmarks.design.data import SETS, prepare
from benchmarks.design.run import Job, Setting, configuration, reading
from sagd.build.schema import EvaluationConfig, SamplingConfig
from sagd.data.load import load
from sagd.data.signals import Signals
from sagd.designs.search import Candidate
from sagd.store.model import load_model, versions
from sagd.study.designing import design, drawn_by
from sagd.study.evaluation import draw_samples
from sagd.study.machine import describe_machine
from sagd.study.racing import (
    MEASURES,
    STAGES,
    Course,
    Judged,
    Runner,
    better_half,
    compared,
    decided,
    field_of,
    scored,
    vetoed,
)

RESULTS = Path(__file__).parent / "results"
EVALUATIONS = 6


def main(args: Sequence[str] | None = None) -> None:
    """Run what is missing, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.design.racing", description=__doc__)
    parser.add_argument("--sets", nargs="*", choices=[*SETS], default=["velocity"], help="default: velocity")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the raw data")
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory of the results")
    parser.add_argument("--work", type=Path, default=Path("runs/design"), help="directory of data and runs")
    given = parser.parse_args(args)
    setting = Setting("trial", given.data, given.out, given.work)
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "racing.jsonl"
    for name in given.sets:
        prepare(name, given.data, setting.part(name, "train").parent, setting.of.count)
        for line in _raced(setting, name, {_key(line) for line in records.read(path)}):
            records.append(path, line)
    (given.out / "racing.md").write_text(page(records.read(path)), encoding="utf-8")


def _key(line: Mapping[str, Any]) -> tuple[str, float, str]:
    return line["data"], line["exponent"], line["prediction"]


def _raced(setting: Setting, name: str, done: set[tuple[str, float, str]]) -> Iterator[dict[str, Any]]:
    """The lines of a set that are missing."""
    budget, training = setting.of.steps, load(reading(setting, name, "train"))
    held_out = load(reading(setting, name, "held-out"), training.meaning)
    found = design(training, EVALUATIONS)
    config = configuration(setting, Job(name, "race", 0), ARMS["white, wiener"])
    folder = setting.work / "racing" / name
    course = Course.of(found, training, config, folder)
    course.claim(budget)
    for runner in field_of(found):
        if (name, runner.exponent, runner.prediction) in done:
            continue
        judged = [course.judged(runner, max(1, budget // share)) for share in STAGES]
        asked = next(x for x in found.learning if (x.exponent, x.prediction) == (runner.exponent, runner.prediction))
        yield {
            "data": name,
            "exponent": runner.exponent,
            "prediction": runner.prediction,
            "sampling": dataclasses.asdict(drawn_by(SamplingConfig(), runner.candidate)),
            "expected": round(runner.candidate.error, 4),
            "asked": {"input_db": round(asked.input_db, 2), "target_db": round(asked.target_db, 2)},
            "judged": [{"steps": one.steps, "errors": one.errors, "score": one.score} for one in judged],
            "held_out": _held_out(course, runner, training, held_out),
            "budget": budget,
            "versions": versions(),
            "machine": describe_machine(),
        }
    shutil.rmtree(folder, ignore_errors=True)


def _held_out(course: Course, runner: Runner, training: Signals, held_out: Signals) -> dict[str, Any]:
    """Errors of samples and of training items against the held-out part, and the score."""
    sampling = drawn_by(SamplingConfig(), runner.candidate)
    reference = held_out.at_most(512, "race")
    count = EvaluationConfig(samples=len(reference))
    errors = compared(draw_samples(load_model(course.folder(runner)), reference, sampling, count, 1), None, reference)
    floors = compared(training.some(len(reference), "race").tensor(), None, reference)
    return {"errors": errors, "floors": floors, "score": scored(errors, floors)}


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """The page of the results."""
    sets: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        sets.setdefault(line["data"], []).append(line)
    heads = [_stage(share) for share in STAGES]
    heads += [f"{_stage(share)}, and what is expected" for share in STAGES[:-1]]
    text = [
        "# What short trainings tell of longer ones",
        "",
        "Written by `python -m benchmarks.design.racing`. All six candidates of a race, trained to the end of the"
        f" budget, one seed, samples of {EVALUATIONS} evaluations. *Score*: geometric mean of the errors of spectrum,"
        " flatness by ring and label-free features, each over that of real items in their place; 1 is best. After a"
        " part of the budget it is against items set apart of the training data, over real ones, and *held out* against"
        " others, which nothing was chosen by, over training items.",
        "",
        "## Rank correlation with the held-out score",
        "",
        "of what the closed form expects; of what is asked of a network (range of its input and target over rings, in"
        " dB, both together); and of the race's scores, before the end also times the root of the expected error, by"
        " which candidates are kept: a weight that was found on these sets. *all*: of all candidates, each over the"
        " geometric mean of its set.",
        "",
        "| data | candidates | expected error | asked | " + " | ".join(heads) + " |",
        "| --- " * (4 + len(heads)) + "|",
    ]
    for name, own in ([("all", list(lines))] if len(sets) > 1 else []) + list(sets.items()):
        text.append(_correlated(name, own))
    text += [
        "",
        "## What halving chooses",
        "",
        "| data | chosen | its held-out score | white noise at its best | best of all |",
        "| --- " * 5 + "|",
    ]
    text += [_halved(name, own) for name, own in sets.items() if len(own) > 1]
    text += [
        "",
        "## Steps for equal quality",
        "",
        "White noise after all steps, of each error the smaller one of its two predictions, and noise of the data's"
        " spectrum after a part of them: spectrum in dB / flatness in dB / features, against the items set apart; in"
        " bold where none of the three is larger than that of white noise.",
        "",
        "| data | steps | white noise | against | " + " | ".join(_part(share) for share in STAGES) + " |",
        "| --- " * (4 + len(STAGES)) + "|",
    ]
    text += [_sooner(name, own) for name, own in sets.items() if len(own) > 1]
    for name, own in sets.items():
        text += ["", f"## {name}, {own[0]['budget']} steps", "", *_table(own)]
    return "\n".join(text) + "\n"


def _stage(share: int) -> str:
    return "race, all steps" if share == 1 else f"race, 1/{share} of the steps"


def _correlated(name: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """A line of the table of rank correlations."""
    columns = [
        [line["expected"] for line in lines],
        [sum(line["asked"].values()) for line in lines],
        *([line["judged"][k]["score"] for line in lines] for k in range(len(STAGES))),
        *([_judged(_runner(line), line["judged"][k]).early for line in lines] for k in range(len(STAGES) - 1)),
    ]
    truth = _relative(lines, [line["held_out"]["score"] for line in lines])
    cells = [_rank(_relative(lines, column), truth) for column in columns]
    return f"| {name} | {len(lines)} | " + " | ".join(cells) + " |"


def _relative(lines: Sequence[Mapping[str, Any]], values: Sequence[float]) -> list[float]:
    """Logarithms, less the mean of the set."""
    logs = np.log(np.maximum(values, 1e-3))
    names = np.array([line["data"] for line in lines])
    return [float(log - logs[names == name].mean()) for name, log in zip(names, logs, strict=True)]


def _rank(one: Sequence[float], other: Sequence[float]) -> str:
    if len(one) < 3 or not all(map(math.isfinite, (*one, *other))):
        return "-"
    return f"{spearmanr(one, other).statistic:.2f}"


def _halved(name: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """What a race would have chosen, by the lines."""
    runners = {_runner(line): line for line in lines}
    field, table = list(runners), list[Judged]()
    for k in range(len(STAGES)):
        judged = vetoed([_judged(runner, runners[runner]["judged"][k]) for runner in field])
        table += judged
        field = better_half(judged)
    chosen = decided(judged, table)
    one = next(r for r in runners if (r.exponent, r.prediction) == (chosen.chosen.exponent, chosen.prediction))
    score = {runner: line["held_out"]["score"] for runner, line in runners.items()}
    white = min(value for runner, value in score.items() if not runner.exponent)
    best = min(score, key=lambda runner: score[runner])
    return f"| {name} | {one.told} | {score[one]:.3g} | {white:.3g} | {score[best]:.3g} ({best.told}) |"


def _part(share: int) -> str:
    return "all of them" if share == 1 else f"1/{share} of them"


def _sooner(name: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """What white noise comes to after all steps, and noise of the data's spectrum after a part of them."""
    whites = [x["judged"][-1]["errors"] for x in lines if not x["exponent"]]
    white = {of: min(errors[of] for errors in whites) for of in MEASURES}
    design = next(x for x in lines if x["exponent"] == 1)
    cells = [_figures(white), _runner(design).told]
    for one in design["judged"]:
        no_worse = all(one["errors"][of] <= white[of] for of in MEASURES)
        cells.append(f"**{_figures(one['errors'])}**" if no_worse else _figures(one["errors"]))
    return f"| {name} | {lines[0]['budget']} | " + " | ".join(cells) + " |"


def _figures(errors: Mapping[str, float]) -> str:
    return " / ".join(f"{errors[of]:.3g}" for of in MEASURES)


def _runner(line: Mapping[str, Any]) -> Runner:
    drawn = line["sampling"]
    candidate = Candidate(line["exponent"], drawn["sampler"], drawn["steps"], drawn["grid"], line["expected"])
    return Runner(candidate, line["prediction"])


def _judged(runner: Runner, line: Mapping[str, Any]) -> Judged:
    return Judged(runner, line["steps"], {name: line["errors"][name] for name in MEASURES}, line["score"])


def _table(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """All of a set."""
    steps = [f"{one['steps']} steps" for one in lines[0]["judged"]]
    heads = ["candidate", "expected, dB", "input, dB", "target, dB", *steps, "held out", "spectrum, dB", "flatness, dB"]
    heads.append("features")
    yield "| " + " | ".join(heads) + " |"
    yield "| --- " * len(heads) + "|"
    for line in lines:
        held = line["held_out"]
        figures = [
            line["expected"],
            *line["asked"].values(),
            *(one["score"] for one in line["judged"]),
            held["score"],
            *(held["errors"][name] for name in MEASURES),
        ]
        yield f"| {_runner(line).told} | " + " | ".join(f"{value:.3g}" for value in figures) + " |"
    floors = lines[0]["held_out"]["floors"]
    blank = " | ".join([""] * (len(heads) - 4))
    yield f"| *training items* | {blank} | " + " | ".join(f"{floors[name]:.3g}" for name in MEASURES) + " |"


if __name__ == "__main__":
    main()
