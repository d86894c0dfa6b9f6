"""What the studies found, as pages of Markdown and plots."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import t as student

from benchmarks.omission import cifar, life, mnist

Line = Mapping[str, Any]

_MODES = ("project", "fill", "refilled", "deconvolve")
_RESTORED = {"damaged": "fill", "cleaned": "fill", "project": "project", "fill": "fill"}
"""What is restored by what arm."""


def mnist_page(lines: Sequence[Line], scale: mnist.Scale, about: str) -> str:
    """Distances and shares of the gap by band, of samples and of restored images."""
    groups = sorted({(tuple(x["band"]), x["precision"]) for x in lines if x["band"] is not None})
    samples, restored = [], []
    for band, precision in groups:
        of = {arm: _of(lines, arm, band, precision) for arm in mnist.ARMS}
        seeds = sorted(set.intersection(*(set(runs) for runs in of.values())))
        if not seeds:  # a band that has only begun
            continue
        name = f"{band[0]:g} to {band[1]:g}{'' if precision == 'bf16' else ' *'}"
        row = [name, str(len(seeds)), _mean(of["clean"], seeds), _mean(of["corrupted"], seeds)]
        for arm in _MODES:
            row.append(_mean(of[arm], seeds))
        best = max((_gap(of, arm, seeds) for arm in _MODES), key=lambda g: g[0])
        row += [_share(_gap(of, arm, seeds)) for arm in ("fill", "refilled")]
        samples.append([*row, _share(best)])
        restored.append(_restored_row(name, of, seeds))
    floor = statistics.mean(x["floor"] for x in lines)
    return "\n".join(
        [
            "# Leaving a band out: MNIST, eight bands",
            "",
            about,
            "",
            f"{scale.steps:,} steps of {scale.batch_size} images, U-Net {scale.widths}, `edm`, {scale.sampler} of"
            f" {scale.sampling_steps} steps, {scale.samples:,} samples against {scale.reference:,} clean test images;"
            f" every arm alike. Clean images score {floor:.2f} against each other. Means over seeds; a share of the gap"
            " is `(corrupted - mode) / (corrupted - clean)`, seed by seed, with its 95 % interval (Student t) where"
            " there are three seeds. Rows marked * were trained in float32 and with the calibration of what `fill`"
            " predicts, the others in bfloat16, on another machine and before there was one.",
            "",
            "## Fréchet distance of samples",
            "",
            _table(
                ["band", "seeds", "clean", "corrupted", *_MODES, "gap: fill", "gap: refilled", "gap: best"], samples
            ),
            "",
            "`refilled` spends half of the steps on `fill` and half on plain training on the images that it restored.",
            "",
            "## Held-out images, restored",
            "",
            "Distance to clean images of the damaged images, of those with the band set to its mean, and of those that"
            " the models restored; the share of the gap from damaged to clean that `fill` closes; PSNR; the error of"
            " the prediction over the power of the band (1: nothing is known of it; above 1: the network adds error).",
            "",
            _table(
                [
                    "band",
                    "damaged",
                    "band removed",
                    "fill",
                    "deconvolve",
                    "gap: fill",
                    "PSNR damaged",
                    "removed",
                    "fill",
                    "error / power",
                    "damage / power",
                ],
                restored,
            ),
            "",
        ]
    )


def _restored_row(name: str, of: Mapping[str, Mapping[int, Line]], seeds: Sequence[int]) -> list[str]:
    fill = [of["fill"][s]["restored"] for s in seeds]
    deconvolve = [of["deconvolve"][s]["restored"] for s in seeds]

    def mean(key: str, of: Sequence[Line] = fill) -> float:
        return statistics.mean(x[key] for x in of)

    floor = statistics.mean(of["fill"][s]["floor"] for s in seeds)
    shares = [(x["frechet_damaged"] - x["frechet"]) / (x["frechet_damaged"] - floor) for x in fill]
    return [
        name,
        f"{mean('frechet_damaged'):.1f}",
        f"{mean('frechet_removed'):.2f}",
        f"{mean('frechet'):.2f}",
        f"{mean('frechet', deconvolve):.2f}",
        _share((statistics.mean(shares), _half_width(shares))),
        f"{mean('psnr_damaged'):.1f}",
        f"{mean('psnr_removed'):.1f}",
        f"{mean('psnr'):.1f}",
        f"{mean('unexplained'):.3g}",
        f"{mean('damage_over_signal'):.3g}",
    ]


def _of(lines: Sequence[Line], arm: str, band: Sequence[float], precision: str) -> dict[int, Line]:
    """Seed -> the line of an arm."""
    wanted = None if arm == "clean" else list(band)
    return {x["seed"]: x for x in lines if (x["arm"], x["band"], x["precision"]) == (arm, wanted, precision)}


def _mean(of: Mapping[int, Line], seeds: Sequence[int]) -> str:
    return f"{statistics.mean(of[s]['frechet'] for s in seeds):.2f}"


def _gap(of: Mapping[str, Mapping[int, Line]], arm: str, seeds: Sequence[int]) -> tuple[float, float]:
    """Mean share of the gap, and half the width of its interval."""
    shares = [
        (of["corrupted"][s]["frechet"] - of[arm][s]["frechet"])
        / (of["corrupted"][s]["frechet"] - of["clean"][s]["frechet"])
        for s in seeds
    ]
    return statistics.mean(shares), _half_width(shares)


def _half_width(values: Sequence[float]) -> float:
    n = len(values)
    return float(student.ppf(0.975, n - 1)) * statistics.stdev(values) / math.sqrt(n) if n > 2 else math.nan


def _share(share: tuple[float, float]) -> str:
    mean, half = share
    spread = "" if math.isnan(half) else f" ± {100 * half:.1f}"
    return f"{100 * mean:.1f}{spread} %"


def life_page(lines: Sequence[Line], scale: mnist.Scale, about: str) -> str:
    """Distances, shares of the gap and power of the band, of samples and of restored images."""
    samples, restored = [], []
    arms = life.ARMS[2:]
    for damage in life.DAMAGE:
        of = {
            arm: {x["seed"]: x for x in lines if (x["arm"], x["damage"]) == (arm, None if arm == "clean" else damage)}
            for arm in life.ARMS
        }
        seeds = sorted(set.intersection(*(set(runs) for runs in of.values())))
        if not seeds:
            continue
        row = [damage, str(len(seeds)), _mean(of["clean"], seeds), _mean(of["corrupted"], seeds)]
        row += [f"{_mean(of[arm], seeds)} ({_share(_gap(of, arm, seeds))})" for arm in arms]
        row += [f"{statistics.mean(of[arm][s]['power'] for s in seeds):.2f}" for arm in ("corrupted", *arms)]
        samples.append(row)
        shown = {name: [of[arm][s]["restored"][name] for s in seeds] for name, arm in _RESTORED.items()}
        restored.append(
            [
                damage,
                *(
                    f"{statistics.mean(x['frechet'] for x in v):.2f}, {statistics.mean(x['psnr'] for x in v):.1f} dB"
                    for v in shown.values()
                ),
            ]
        )
    floor = statistics.mean(x["floor"] for x in lines)
    kinds = [[name, f"`{text}`", f"{contrast:g}"] for name, (text, contrast) in life.DAMAGE.items()]
    return "\n".join(
        [
            "# Leaving a band out: MNIST under damage as it is in life",
            "",
            about,
            "",
            f"{scale.steps:,} steps of {scale.batch_size} images, U-Net {scale.widths}, `edm`, {scale.sampler} of"
            f" {scale.sampling_steps} steps, {scale.samples:,} samples against {scale.reference:,} clean test images;"
            f" every arm alike. Clean images score {floor:.2f} against each other. Damaged images are files of 8 bits,"
            " of full contrast or of half, where next to nothing is clipped; frequencies and stripes differ from image"
            " to image, and close at no border. The band is that of the damage with its guard. In parentheses the share"
            " of the gap, `(corrupted - arm) / (corrupted - clean)`, with its 95 % interval (Student t) where there are"
            " three seeds. Power: of the band in samples, over that in clean images.",
            "",
            _table(["damage", "drawn as", "contrast of the images"], kinds),
            "",
            "## Fréchet distance of samples, and power of their band",
            "",
            _table(
                ["damage", "seeds", "clean", "corrupted", *arms, *(f"power: {arm}" for arm in ("corrupted", *arms))],
                samples,
            ),
            "",
            "`cleaned` is plain training on images of which the damage was taken out without a network; `refilled`"
            " spends half of the steps on `fill` and half on plain training on the images that it restored.",
            "",
            "## Held-out images, restored: Fréchet distance and PSNR",
            "",
            _table(["damage", *_RESTORED], restored),
            "",
        ]
    )


def cifar_page(lines: Sequence[Line], scale: cifar.Scale, about: str) -> str:
    """PSNR and SSIM of every method by corruption."""
    methods = ["damaged", "notch", "wiener", "nl_means", "fill"]
    names = {"notch": "band removed", "wiener": "Wiener filter", "nl_means": "non-local means"}
    tables = []
    for measure, form in (("psnr", "{:.2f} ± {:.2f}"), ("ssim", "{:.3f} ± {:.3f}")):
        rows = []
        for x in lines:
            values = [
                form.format(x["methods"][m][measure], 1.96 * x["methods"][m][f"{measure}_error"]) for m in methods
            ]
            rows.append([f"`{x['text']}`", *values])
        heading = "PSNR in dB" if measure == "psnr" else "SSIM"
        tables += [f"## {heading}", "", _table(["damage", *(names.get(m, m) for m in methods)], rows), ""]
    bands = [[f"`{x['text']}`", f"`{x['band']}`", f"{x['nl_means_strength']:g}"] for x in lines]
    return "\n".join(
        [
            "# Restoring CIFAR-10 under rain, moire and scan lines",
            "",
            about,
            "",
            f"`fill` was trained on damaged images alone: {scale.steps:,} steps of {scale.batch_size} images, U-Net"
            f" {scale.widths}, one seed. {scale.test} held-out images; ± is the 95 % interval over images. The Wiener"
            " filter knows the true spectrum of the damage; the strength of non-local means was chosen with clean"
            " images at hand. Neither is so for `fill`, which knows the band only.",
            "",
            *tables,
            "## Bands, and the chosen strength of non-local means",
            "",
            _table(["damage", "band", "strength"], bands),
            "",
        ]
    )


def detection_page(found: Mapping[str, Any], about: str) -> str:
    """Rates of detection."""
    s = found["summary"]

    def rows(rates: Mapping[str, Any]) -> list[list[str]]:
        return [[name, *_rate(rate)] for name, rate in rates.items()]

    head = ["", "", "95 % interval"]
    return "\n".join(
        [
            "# Finding the damaged band",
            "",
            about,
            "",
            f"{s['recall']['of']} random sets of 300 to 2000 images (MNIST, CIFAR-10, one class of it, 8 x 8 digits,"
            " Gaussian fields, 1-D records, and images enlarged by up to 2, which detection cautions against), each"
            " examined damaged, at 3 to 25 dB over the clean power in its band, and clean."
            " A hit is a found band that meets the true one. Thresholds were chosen on other sets.",
            "",
            _table(head, rows({"false alarms on clean sets": s["false_alarms"], "found": s["recall"]})),
            "",
            "## Found, by strength of the damage",
            "",
            _table(["power over the clean one", *head[1:]], rows(s["recall_by_excess"])),
            "",
            "## Found, by kind, from 6 dB on",
            "",
            _table(["damage", *head[1:]], rows(s["recall_by_kind_from_6_db"])),
            "",
            "## False alarms, by data",
            "",
            _table(["data", *head[1:]], rows(s["false_alarms_by_source"])),
            "",
            f"Of what was found, the band covers {100 * s['median_covered']:.0f} % of the damage's power and"
            f" {100 * s['median_spoilt']:.1f} % of the frequencies that are clean (medians).",
            "",
            "## Pieces of photographs",
            "",
            f"{found['pieces']['recall']['of']} sets of all pieces of four photographs each, of 16 to 64 pixels a side:"
            " what a part of one photograph repeats is to be told from damage, which is in all pieces.",
            "",
            _table(
                head,
                rows(
                    {
                        name: found["pieces"][key]
                        for name, key in (("false alarms on clean sets", "false_alarms"), ("found", "recall"))
                    }
                ),
            ),
            "",
        ]
    )


def _rate(rate: Mapping[str, Any]) -> list[str]:
    low, high = rate["interval"]
    return [f"{rate['count']} of {rate['of']}", f"{100 * low:.0f} to {100 * high:.0f} %"]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(path: Path, text: str) -> Path:
    """Write a page; returns its path."""
    path.write_text(text, encoding="utf-8")
    return path
