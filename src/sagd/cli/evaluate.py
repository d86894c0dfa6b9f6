"""`sagd evaluate`: figures of a model or a folder, beside those of real data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import tyro

from sagd.build.schema import EvaluationConfig
from sagd.cli.options import Command, Drawing, override
from sagd.data.config import DataConfig
from sagd.errors import InputError
from sagd.terminal import say

# An empty source stands for the training data of the model that is evaluated.
_AS_TRAINED = DataConfig(source="")


@dataclass(frozen=True)
class Evaluate(Command):
    """Measure a model, or a folder of files, against a data set; a real-against-real floor beside every figure.

    Example: sagd evaluate runs/low --data.split test --out runs/low-evaluation
    """

    folder = "any"

    target: tyro.conf.Positional[Path]
    """Run directory, model directory, or folder of files (which needs --data.source)."""
    out: Path | None = None
    """Directory for evaluation.json; default: only print."""
    data: DataConfig = _AS_TRAINED
    """Reference data; for a model, what is left out is as for its training data."""
    sampling: Drawing = field(default_factory=Drawing)
    evaluation: EvaluationConfig = field(default_factory=lambda: EvaluationConfig(samples=0))


def run_evaluate(command: Evaluate) -> None:
    """Do what the options ask for; errors of input are for the caller to print."""
    from sagd.counting import stage
    from sagd.report.text import evaluation_text
    from sagd.store.files import to_json, write_file
    from sagd.store.model import load_model
    from sagd.study.evaluation import evaluate_folder, evaluate_model, figures, is_model

    target = command.target
    if is_model(target):
        with stage("reading the model"):
            model = load_model(target)
        data = override(model.config.data, command.data, _AS_TRAINED)
        if command.data.source:  # masks are of the files beside which they are
            data = replace(data, observed=command.data.observed, observed_order=command.data.observed_order)
        sampling = override(model.sampling, command.sampling, Drawing())
        result = evaluate_model(model, command.evaluation, data, sampling)
    elif not command.data.source:
        raise InputError(f"{str(target)!r} is a folder of files: name the reference with --data.source")
    elif command.sampling != Drawing():
        raise InputError(f"{str(target)!r} is a folder of files, from which nothing is drawn: leave out --sampling")
    else:
        result = evaluate_folder(target, command.evaluation, command.data)
    lines = [evaluation_text(result, figures(result), figures(result, "floor"))]
    if command.out is not None:
        record = command.out / "evaluation.json"
        write_file(record, to_json(result))
        lines.append(f"wrote {record}")
    say("\n".join(lines))
