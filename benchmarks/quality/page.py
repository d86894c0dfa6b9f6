"""What a study found, as a page of Markdown with plots: everything from the lines of its results."""

from __future__ import annotations

import base64
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmarks.quality.scales import SCALES, Budget, is_small, shape_of
from benchmarks.quality.studies import COMMON, EVALUATIONS, NOISES, OWN, PREDICTIONS, STUDIES, TIMES, Arm
from sagd.data.drawing import style, tidy_axes
from sagd.study.summary import Interval, interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = Mapping[str, Any]
Runs = Mapping[str, Mapping[int, Line]]
"""Arm -> seed -> line."""

FEATURES = "classifier"


def write(study: str, scale: str, lines: Sequence[Line], out: Path, about: str) -> Path:
    """Write `out/STUDY-SCALE.md` and its pictures; returns the page."""
    name, sections = f"{study}-{scale}", []
    for data in dict.fromkeys(line["data"] for line in lines):
        runs = by_arm([line for line in lines if line["data"] == data], [a.name for a in _arms(study, scale, data)])
        shape = " x ".join(map(str, shape_of(scale, data)))
        sections += [f"## {data}", "", f"{shape} images. {_budget(SCALES[scale][data], runs)}", ""]
        if missing := missing_runs(study, scale, data, runs):
            sections += [f"**Not complete:** {missing} runs are missing; the same command goes on.", ""]
        for title, figure in plots(study, runs).items():
            path = out / f"{name}-{data}-{title}.png"
            figure.savefig(path, dpi=150)
            sections += [f"![{title} on {data}]({path.name})", ""]
        sections += [*tables(study, runs), ""]
        strips = out / f"{name}-{data}-samples.png"
        samples_figure(runs).savefig(strips, dpi=150, bbox_inches="tight")
        sections += [f"Samples of every arm, of its first seed:\n\n![samples]({strips.name})", ""]
    told = STUDIES[study]
    page = out / f"{name}.md"
    text = "\n".join([f"# {told.title}", "", told.question, "", about, "", READING, "", *sections])
    page.write_text(text.rstrip() + "\n", encoding="utf-8")
    return page


READING = (
    "All arms of a data set share network, optimiser, images seen, seeds (initial weights, order of the data, white"
    " draws) and sampler; averaged weights of the last step are measured, never the best ones. Fréchet and kernel"
    " distance, precision and recall are of the features of a classifier of the data set; *spectrum* is the root mean"
    " square over bands of the error of the power spectrum, in dB. Differences are taken seed by seed, over the seeds"
    " that both arms have; their intervals are of 95 % (Student t). An interval that includes 0 is no effect; of 20"
    " intervals of arms that change nothing, one excludes it. *Floor* is what real images score against other real"
    " images."
)


def by_arm(lines: Sequence[Line], order: Sequence[str]) -> dict[str, dict[int, Line]]:
    """Runs of one data set, arms in the order of the study and seeds in theirs."""
    runs: dict[str, dict[int, Line]] = {arm: {} for arm in order}
    for line in sorted(lines, key=lambda line: line["seed"]):
        runs[line["arm"]][line["seed"]] = line
    return {arm: of for arm, of in runs.items() if of}


def _arms(study: str, scale: str, data: str) -> list[Arm]:
    return STUDIES[study].arms(shape_of(scale, data), is_small(scale))


def missing_runs(study: str, scale: str, data: str, runs: Runs) -> int:
    """Runs that the scale asks for and that are not there; further seeds of other arms do not make up for them."""
    seeds = SCALES[scale][data].seeds
    return sum(seed not in runs.get(arm.name, {}) for arm in _arms(study, scale, data) for seed in seeds)


def labels(runs: Runs) -> list[str]:
    """Ways in which the arms were sampled."""
    return list(next(iter(next(iter(runs.values())).values()))["evaluations"])


def figures(line: Line, label: str | None, features: str = FEATURES) -> dict[str, float | None]:
    """The scalars of one evaluation; of real images without a label."""
    found = line["floor"] if label is None else line["evaluations"][label]
    return {**found[features], "spectrum": found["spectral"]["rms_db"]}


def mean_of(runs: Runs, arm: str, label: str, metric: str, features: str = FEATURES) -> Interval:
    """Over seeds."""
    return interval([figures(line, label, features)[metric] for line in runs[arm].values()])


def difference(runs: Runs, arm: str, label: str, metric: str, features: str = FEATURES) -> Interval | None:
    """To the arm's reference; None for the reference itself, or where no seed is shared."""
    return paired(runs, arm, _reference(runs, arm), label, metric, features)


def paired(runs: Runs, arm: str, other: str, label: str, metric: str, features: str = FEATURES) -> Interval | None:
    """Difference of two arms, seed by seed; None for one and the same, or where no seed is shared."""
    both = _pairs(runs, arm, other)
    return interval([_less(*(figures(x, label, features)[metric] for x in pair)) for pair in both]) if both else None


def _pairs(runs: Runs, arm: str, other: str) -> list[tuple[Line, Line]]:
    """Lines of two arms with one seed; none for one and the same."""
    one, two = runs.get(arm, {}), runs.get(other, {})
    return [] if arm == other else [(one[seed], two[seed]) for seed in sorted(one.keys() & two.keys())]


def _reference(runs: Runs, arm: str) -> str:
    return next(iter(runs[arm].values()))["reference"]


def verdict(found: Interval | None) -> str:
    """What a difference of a distance says."""
    if found is None:
        return ""
    if found["low"] is None or found["high"] is None:
        return "one seed"
    return "better" if found["high"] < 0 else "worse" if found["low"] > 0 else "no effect"


# Tables

EXCLUDES = "**Bold**: the interval excludes 0."
APART = f"In brackets: difference to white noise. {EXCLUDES}"
_LOOKED_AT = 18
"""Evaluations at which all figures are shown."""


def tables(study: str, runs: Runs) -> list[str]:
    """The tables of a study."""
    if study == "steps":
        return _steps_tables(runs)
    out = []
    for label in labels(runs):
        out += [f"### {label}", "", _arms_table(runs, label), ""]
    if study == "parameterisation":
        out += ["### Between arms: difference in Fréchet distance", "", _between_table(runs), ""]
    if study == "curves":
        out += ["### Error of the power spectrum by band, in dB", "", APART, "", _curves_table(runs), ""]
    return out


def _arms_table(runs: Runs, label: str) -> str:
    others = _other_features(runs)
    head = ["arm", "seeds", "Fréchet", "difference", "", "kernel", "precision", "recall", "spectrum, dB"]
    head += [title for name in others for title in (f"Fréchet, {name}", "difference", "")]
    rows = []
    for arm, lines in runs.items():
        change = difference(runs, arm, label, "frechet")
        rest = [_text(mean_of(runs, arm, label, m), d) for m, d in zip(_OTHERS, (4, 3, 3, 2), strict=True)]
        rows.append([arm, str(len(lines)), _text(mean_of(runs, arm, label, "frechet"), 2), _text(change, 2, True)])
        rows[-1] += [verdict(change), *rest]
        for name in others:
            apart = difference(runs, arm, label, "frechet", name)
            rows[-1] += [_text(mean_of(runs, arm, label, "frechet", name), 2), _text(apart, 2, True), verdict(apart)]
    line = next(iter(next(iter(runs.values())).values()))
    floor = figures(line, None)
    cells = [_number(floor[m], d) for m, d in zip(("frechet", *_OTHERS), (2, 4, 3, 3, 2), strict=True)]
    rows.append(["*floor*", "", cells[0], "", "", *cells[1:]])
    for name in others:
        rows[-1] += [_number(figures(line, None, name)["frechet"], 2), "", ""]
    return _table(head, rows)


_OTHERS = ("kernel", "precision", "recall", "spectrum")


def _other_features(runs: Runs) -> list[str]:
    """Names of the extractors beside the classifier, of which all runs have figures."""
    found = [set(line["floor"]) for lines in runs.values() for line in lines.values()]
    return sorted(set.intersection(*found) - {FEATURES, "spectral"})


def _steps_tables(runs: Runs) -> list[str]:
    head = ["process", "seeds", *(f"{n} evaluations" for n in EVALUATIONS)]
    out = []
    for grid, title in ((OWN, "Each with its own time grid"), (COMMON, "All with the common time grid")):
        every = [f"{n} evaluations, {grid}" for n in EVALUATIONS]
        rows = [[arm, str(len(lines)), *(_apart(runs, arm, label) for label in every)] for arm, lines in runs.items()]
        out += [f"### {title}: Fréchet distance", "", APART, "", _table(head, rows), ""]
    rows = [[arm, str(len(lines)), *(_grid_gain(lines, n) for n in EVALUATIONS)] for arm, lines in runs.items()]
    out += ["### What the grid alone gives: own less common, same model", "", EXCLUDES, "", _table(head, rows), ""]
    label = f"{_LOOKED_AT} evaluations, {OWN}"
    return [*out, f"### All figures: {label}", "", _arms_table(runs, label), ""]


def _apart(runs: Runs, arm: str, label: str) -> str:
    """Distance, and how far it is from that of the reference."""
    mean, change = mean_of(runs, arm, label, "frechet")["mean"], difference(runs, arm, label, "frechet")
    return f"{_number(mean, 2)} ({_bold(change, 2)})" if change else _number(mean, 2)


def _bold(found: Interval | None, digits: int) -> str:
    """A signed interval, bold if it is an effect."""
    text = _text(found, digits, True)
    return f"**{text}**" if verdict(found) in ("better", "worse") else text


def _grid_gain(lines: Mapping[int, Line], n: int) -> str:
    own, common = (f"{n} evaluations, {grid}" for grid in (OWN, COMMON))
    gains = [_less(figures(line, own)["frechet"], figures(line, common)["frechet"]) for line in lines.values()]
    return _bold(interval(gains), 2)


def _between_table(runs: Runs) -> str:
    """What matched training times give to each prediction, and what each prediction gives over `eps`."""
    label = labels(runs)[0]
    head, rows = (
        ["prediction", "noise", "matched less fixed times", "", "less eps, fixed", "", "less eps, matched", ""],
        [],
    )
    for prediction in PREDICTIONS:
        for noise in NOISES:
            arms = {times: f"{prediction}, {noise}, {times}" for times in TIMES}
            pairs = [(arms["matched"], arms["fixed"]), *((arms[t], f"eps, {noise}, {t}") for t in TIMES)]
            found = [paired(runs, one, other, label, "frechet") for one, other in pairs]
            rows.append([prediction, noise, *(text for f in found for text in (_text(f, 2, True), verdict(f)))])
    return _table(head, rows)


def _curves_table(runs: Runs) -> str:
    bands = len(_errors(next(iter(next(iter(runs.values())).values())), labels(runs)[0]))
    head = ["arm", "images", *(f"{k / bands:.1f} to {(k + 1) / bands:.1f}" for k in range(bands))]
    rows = []
    for label in labels(runs):
        images = label.rpartition(", ")[2].removesuffix(" images")
        for arm in runs:
            errors, changes = band_errors(runs, arm, label), band_differences(runs, arm, label)
            cells = [
                _number(e["mean"], 2) + (f" ({_bold(c, 2)})" if c and c["mean"] is not None else "")
                for e, c in zip(errors, changes, strict=True)
            ]
            rows.append([arm, images, *cells])
    return _table(head, rows)


def band_errors(runs: Runs, arm: str, label: str) -> list[Interval]:
    """`|10 log10(S_samples / S_reference)|` by band, over seeds."""
    return [interval(values) for values in zip(*(_errors(line, label) for line in runs[arm].values()), strict=True)]


def band_differences(runs: Runs, arm: str, label: str) -> list[Interval | None]:
    """The same less that of the arm's reference, seed by seed; None for the reference itself."""
    both = _pairs(runs, arm, _reference(runs, arm))
    if not both:
        return [None] * len(band_errors(runs, arm, label))
    by_seed = [map(_less, _errors(x, label), _errors(y, label)) for x, y in both]
    return [interval(values) for values in zip(*by_seed, strict=True)]


def _errors(line: Line, label: str) -> list[float | None]:
    """In dB, by band; None where a band is empty, or nothing is in it."""
    found = line["evaluations"][label]["spectral"]["error"]
    return [None if v is None or v <= -1 else abs(10 * math.log10(1 + v)) for v in found]


def _text(found: Interval | None, digits: int, signed: bool = False) -> str:
    if found is None or found["mean"] is None:
        return ""
    sign = "+" if signed else ""
    text = f"{found['mean']:{sign}.{digits}f}".replace("-", "\N{MINUS SIGN}")
    if found["high"] is None:
        return text
    return f"{text} ± {found['high'] - found['mean']:.{digits}f}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _less(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _budget(budget: Budget, runs: Runs) -> str:
    seconds = [line["seconds"]["training"] for lines in runs.values() for line in lines.values()]
    seeds = sorted({seed for lines in runs.values() for seed in lines})
    return (
        f"{budget.steps:,} steps of {budget.batch_size} images ({budget.steps * budget.batch_size:,} seen), U-Net"
        f" {budget.widths}, learning rate {budget.lr:g}, average {budget.ema:g}, precision"
        f" {'float32' if budget.precision == 'no' else budget.precision}; {budget.samples:,} samples; seeds"
        f" {', '.join(map(str, seeds))}. Training took {statistics.median(seconds):.0f} s a run (median)."
    )


# Pictures


def plots(study: str, runs: Runs) -> dict[str, Figure]:
    """Title -> figure."""
    if study == "steps":
        return {"evaluations": _steps_figure(runs)}
    if study == "curves":
        return {"bands": _curves_figure(runs)}
    valued = any(line["value"] is not None for lines in runs.values() for line in lines.values())
    return {"differences": _valued_figure(runs) if valued else _dots_figure(runs)}


def _figure(height: float, columns: int = 1, width: float = 6.4) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _valued_figure(runs: Runs) -> Figure:
    """Difference to white noise against the value of an arm, a panel for each group."""
    label = labels(runs)[0]
    groups = list(dict.fromkeys(line["group"] for lines in runs.values() for line in lines.values() if line["group"]))
    figure, panels = _figure(2.9, len(groups), width=max(4.0, 2.6 * len(groups)))
    for i, (axes, group) in enumerate(zip(panels, groups, strict=True)):
        points = []
        for arm, lines in runs.items():
            line = next(iter(lines.values()))
            found = difference(runs, arm, label, "frechet")
            if line["group"] == group and found is not None and found["mean"] is not None:
                points.append((line["value"], found))
        _errorbars(axes, [x for x, _ in points], [found for _, found in points], style(i).colour)
        axes.axhline(0, color="#1a1a1a", linewidth=1)
        axes.set_title(group, fontsize=10)
        axes.set_xlabel({"two bands": "gamma of the low band"}.get(group, "alpha"))
        tidy_axes(axes)
        if i:
            axes.sharey(panels[0])
            axes.tick_params(labelleft=False)
    panels[0].set_ylabel("difference in Fréchet distance")
    panels[0].autoscale(axis="y")
    return figure


def _errorbars(axes: Axes, xs: Sequence[float], found: Sequence[Interval], colour: str) -> None:
    means = [f["mean"] or 0.0 for f in found]
    reach = [0.0 if f["high"] is None else f["high"] - (f["mean"] or 0.0) for f in found]
    axes.errorbar(xs, means, yerr=reach, fmt="o", color=colour, markersize=4, capsize=3, linewidth=1.2)


def _dots_figure(runs: Runs) -> Figure:
    """Difference to the reference, an arm a row."""
    label = labels(runs)[0]
    found = {arm: difference(runs, arm, label, "frechet") for arm in runs}
    shown = {arm: f for arm, f in found.items() if f is not None and f["mean"] is not None}
    figure, (axes,) = _figure(0.9 + 0.27 * max(1, len(shown)))
    for i, (arm, f) in enumerate(shown.items()):
        reach = 0.0 if f["high"] is None else f["high"] - (f["mean"] or 0.0)
        axes.errorbar([f["mean"] or 0.0], [i], xerr=[reach], fmt="o", color=style(0).colour, markersize=4, capsize=3)
        del arm
    axes.axvline(0, color="#1a1a1a", linewidth=1)
    axes.set_yticks(range(len(shown)), list(shown))
    axes.invert_yaxis()
    axes.set_xlabel("difference in Fréchet distance to the reference")
    tidy_axes(axes)
    return figure


def _steps_figure(runs: Runs) -> Figure:
    """Distance over that of white noise with the common grid, by evaluations: a panel for each process."""
    arms, columns = list(runs), 4
    rows = math.ceil(len(arms) / columns)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 1.75 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    white = [_mean(runs, arms[0], n, COMMON) for n in EVALUATIONS]
    for axes, arm in zip(panels, arms, strict=False):
        axes.plot(EVALUATIONS, white, color="#9a9a9a", linewidth=3, label="white, common grid")
        for i, grid in enumerate((OWN, COMMON)):
            axes.plot(EVALUATIONS, [_mean(runs, arm, n, grid) for n in EVALUATIONS], **style(i).line, markersize=3.5)
            axes.lines[-1].set_label(grid)
        axes.set_title(arm, fontsize=9)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(EVALUATIONS, map(str, EVALUATIONS))
        axes.minorticks_off()
        tidy_axes(axes)
    low, high = panels[0].get_ylim()
    ticks = [t for t in (0.5, 1, 2, 5, 10, 20, 50, 100) if low < t < high]
    panels[0].set_yticks(ticks, map(str, ticks))
    for axes in panels[len(arms) :]:
        axes.set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    figure.supxlabel("network evaluations", fontsize=10)
    figure.supylabel("Fréchet distance", fontsize=10)
    return figure


def _mean(runs: Runs, arm: str, n: int, grid: str) -> float:
    return _or_nan(mean_of(runs, arm, f"{n} evaluations, {grid}", "frechet")["mean"])


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _curves_figure(runs: Runs) -> Figure:
    """Error by band against images seen: a panel for each arm, a line for each third of the bands."""
    arms, every = list(runs), labels(runs)
    images = [int(label.rpartition(", ")[2].removesuffix(" images").replace(",", "")) for label in every]
    figure, panels = _figure(3.0, len(arms), width=2.7 * len(arms))
    for axes, arm in zip(panels, arms, strict=True):
        errors = np.array([[_or_nan(found["mean"]) for found in band_errors(runs, arm, label)] for label in every])
        thirds = np.array_split(np.arange(errors.shape[1]), 3)
        for i, (name, part) in enumerate(zip(("low bands", "middle", "high"), thirds, strict=True)):
            axes.plot(images, np.nanmean(errors[:, part], axis=1), **style(i).line, markersize=4, label=name)
        axes.set_title(arm, fontsize=10)
        axes.set_xscale("log")
        axes.set_xticks(images, [f"{count / 1000:.3g}k" for count in images])
        axes.minorticks_off()
        axes.set_xlabel("images seen")
        axes.sharey(panels[0])
        tidy_axes(axes)
    panels[0].autoscale(axis="y")
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("error of the spectrum, dB")
    panels[-1].legend(fontsize=9, framealpha=0.8, edgecolor="none")
    return figure


def samples_figure(runs: Runs) -> Figure:
    """A row of samples for each arm."""
    from matplotlib.figure import Figure

    strips = [_strip(lines[min(lines)]) for lines in runs.values()]
    height, width = strips[0].shape[:2]
    gap = np.full((max(1, height // 8), *strips[0].shape[1:]), 255, strips[0].dtype)
    rows = np.concatenate([part for strip in strips for part in (strip, gap)][:-1])
    label = 0.2 + 0.075 * max(map(len, runs))
    figure = Figure(figsize=(4.2 + label, 4.2 * len(rows) / width + 0.1), layout="constrained")
    axes = figure.subplots()
    axes.imshow(rows, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_yticks([(height + len(gap)) * k + height / 2 for k in range(len(strips))], list(runs))
    axes.set_xticks([])
    axes.tick_params(length=0, labelsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _strip(line: Line) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(line["samples"]))) as image:
        return np.asarray(image)
