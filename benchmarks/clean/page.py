"""The page of removal: who is nearest to the clean signal, at what price."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.clean.cases import all_cases
from benchmarks.clean.tools import TOOLS

Line = dict[str, Any]
OURS, TOLD = "sagd", "sagd, likeliest"
BY_HAND = "band deleted"
NEAR, FAR = 0.2, 1.0
"""What counts as best, and what must not be lost anywhere, in dB."""
_UNCHANGED = 0.01
SHOWN = ("FIB-SEM 00", "real curtaining", "as it is")


_WHY = """\
* **Weak damage at the defaults.** Whoever takes a filter of upright stripes has seen upright stripes. `sagd` has to be
  certain of them, and leaves files alone in which it is not: weak stripes and curtaining, hum in one voice and one lead
  at 20 dB, much of what lies on gravel and grass. `--band likeliest` says that there is damage, and the second count is
  that of it.
* **Brick.** The joints of the wall are lines along the stripes, as strong as the middle ones of these, and at the same
  frequencies: where they are found they are taken out as well. Told that there is damage, `sagd` makes weak stripes of
  a brick wall worse by 12 dB; look at what was taken out.
* **Grass and gravel, told that there is damage.** Blades and stones make ridges that stand out more than weak curtains,
  and are then likeliest. The page of `sagd clean` shows what was taken out; name the band instead.
* **Steady hum in speech.** The best of 27 notches takes 2 to 4 dB more of strong and middle hum of one voice, where it
  is steady for seconds; its width is chosen with the clean record at hand. In another voice a harmonic stays: strong
  hum at 120 Hz is hidden by the voice even where that is quiet.
* **Rain** is believed in no single picture."""


def write(data: Path, path: Path, out: Path, about: str) -> Path:
    """Write `removal.md`, and the picture where the data is there."""
    lines = records.read(path)
    tools = [name for name in TOOLS if any(line["tool"] == name for line in lines)]
    rivals = [name for name in tools if not name.startswith(OURS) and name != "bound"]
    cases = {case.key for case in all_cases(data)}
    parts = [
        "# Removing damage, beside the usual tools",
        f"{about} {len(cases & by_case(lines).keys())} of {len(cases)} cases have been measured.",
        "Every tool is at its best setting of those in `benchmarks/clean/tools.py`, chosen *with the clean signal at"
        " hand*, which nobody has; `sagd` is at its defaults. The bound is a Wiener filter that knows the"
        " power of image and damage at every single frequency; it is no competitor. `sagd, likeliest` is told that"
        " there is damage, as other tools are (`--band likeliest`); they are told its direction or frequency, too."
        " PSNR of pictures"
        " and sinograms, SNR of records, in dB.",
        *_verdict(lines, rivals),
        "## What is lost where, and why",
        _WHY,
        "## By kind of signal and damage",
        _table(lines, ["damaged", *tools], "decibel", ("group", "damage", "strength"), "{:.1f}"),
        "## What it costs",
        "Structural similarity (SSIM), change outside of the band (dB of the clean power there), dark mirrors (how much"
        " darker it got beside bright structure along the stripes, in percent of its contrast) and seconds: means over"
        " all cases that a tool is made for.",
        _costs(lines, ["damaged", *tools]),
        *_tooth(out / "tooth.jsonl"),
        "## Every case",
        _table(lines, ["damaged", *tools], "decibel", ("data", "damage", "strength"), "{:.2f}"),
    ]
    if picture(data, lines, rivals, out / "removal.png"):
        parts.insert(4, "![before, after and what was removed](removal.png)")
    page = out / "removal.md"
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return page


def by_case(lines: Iterable[Line]) -> dict[tuple[str, str, str], dict[str, Line]]:
    """Case -> tool -> its line."""
    found: dict[tuple[str, str, str], dict[str, Line]] = {}
    for line in lines:
        found.setdefault((line["data"], line["damage"], line["strength"]), {})[line["tool"]] = line
    return found


def _verdict(lines: Sequence[Line], rivals: Sequence[str]) -> list[str]:
    """How often ours is best, and where it is behind: the tools, and deleting a band whose edges are known."""
    tools = [name for name in rivals if name != BY_HAND]
    beside = {
        "the best tool that is made for it,": tools,
        "the band deleted by hand, its true edges known and its width the best of three,": [BY_HAND],
    }
    told = [sentence for what, names in beside.items() for sentence in _behind(lines, what, names)]
    known = "those tools, and told that there is damage,"
    return [*told, *_behind(lines, known, tools, TOLD)] or ["`sagd` has not been measured yet."]


def _behind(lines: Sequence[Line], what: str, rivals: Sequence[str], ours: str = OURS) -> list[str]:
    behind = {}
    for case, own in by_case(lines).items():
        others = [own[name]["decibel"] for name in rivals if name in own]
        if ours in own and others:
            behind[case] = max(others) - own[ours]["decibel"]
    if not behind:
        return []
    good = sum(value <= NEAR for value in behind.values())
    lost = sorted(((value, case) for case, value in behind.items() if value > FAR), reverse=True)
    told = "; ".join(f"{', '.join(case)}: {value:.1f} dB" for value, case in lost) or "nowhere"
    whole = by_case(lines)
    left = sum(whole[c][ours]["decibel"] - whole[c]["damaged"]["decibel"] < _UNCHANGED for _, c in lost)
    return [
        f"Beside {what} `sagd` is best or within {NEAR} dB in {good} of {len(behind)} cases"
        f" ({100 * good / len(behind):.0f} %), further than {FAR:g} dB behind in {len(lost)}, of which {left} were"
        f" left as they were or came out worse: {told}."
    ]


def _table(lines: Sequence[Line], tools: Sequence[str], key: str, by: Sequence[str], form: str) -> str:
    """Means of a figure by what lines have in common, the best tool in bold."""
    rows: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for line in lines:
        if line[key] is not None and line["tool"] in tools:
            rows.setdefault(tuple(line[name] for name in by), {}).setdefault(line["tool"], []).append(line[key])
    text = [_row([*by, *tools]), _row(["---"] * (len(by) + len(tools)))]
    for common, own in rows.items():
        means = {name: statistics.fmean(values) for name, values in own.items()}
        top = max((value for name, value in means.items() if name != "bound"), default=0.0)
        cells = [form.format(means[name]) if name in means else "" for name in tools]
        text.append(
            _row([*common, *(f"**{c}**" if c and means[n] == top else c for n, c in zip(tools, cells, strict=True))])
        )
    return "\n".join(text)


def _costs(lines: Sequence[Line], tools: Sequence[str]) -> str:
    forms = {"ssim": "{:.3f}", "outside": "{:.1f}", "mirror": "{:.2f}", "seconds": "{:.3f}"}
    text = [_row(["tool", "cases", *forms]), _row(["---"] * (2 + len(forms)))]
    for name in tools:
        own = [line for line in lines if line["tool"] == name]
        cells = []
        for key, form in forms.items():
            values = [line[key] for line in own if line[key] is not None]
            cells.append(form.format(statistics.fmean(values)) if values else "")
        text.append(_row([name, str(len(own)), *cells]))
    return "\n".join(text)


def _tooth(path: Path) -> list[str]:
    """Steps that are left in sinograms of which no clean ones exist."""
    lines = records.read(path)
    if not lines:
        return []
    text = [_row(["sinogram", "tool", "steps left, dB", "same at all angles", "tooth lost, dB", "seconds"])]
    text.append(_row(["---"] * 6))
    for x in lines:
        share = f"{100 * x['same']:.0f} %"
        text.append(
            _row([x["data"], x["tool"], f"{x['steps_db']:.1f}", share, f"{x['tooth_db']:.1f}", f"{x['seconds']:.2f}"])
        )
    return [
        "## Sinograms of a real tooth",
        "Nothing clean is known of these. A stripe is a column that is off by the same at all angles: `steps left` is"
        " what columns still have over their neighbours, over what they had. Of what was taken out, that share is the"
        " same at all angles, as stripes are; the rest of it, over all that is narrower than 15 columns, is `tooth"
        " lost`. Tools are at the defaults that their documentation names.",
        "\n".join(text),
    ]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def picture(data: Path, lines: Sequence[Line], rivals: Sequence[str], path: Path) -> bool:
    """Before, after, and what was removed, by the best other tool and by ours where it has been measured."""
    from matplotlib.figure import Figure

    own = by_case(lines).get(SHOWN, {})
    case = next((case for case in all_cases(data) if case.key == SHOWN), None)
    best = max((name for name in rivals if name in own), key=lambda name: own[name]["decibel"], default=None)
    if case is None or best is None:
        return False
    clean, damaged = case.make()
    shown = [name for name in (best, OURS) if name in own and not TOOLS[name].missing()]
    after = {
        name: TOOLS[name].run(
            damaged, case=case, **{k: tuple(v) if isinstance(v, list) else v for k, v in own[name]["setting"].items()}
        )
        for name in shown
    }
    figure = Figure(figsize=(3 * (len(after) + 1), 6.2), layout="constrained")
    axes = figure.subplots(2, len(after) + 1)
    span = float(abs(damaged - clean).max())
    columns = [("damaged", damaged, damaged - clean), *((name, x, damaged - x) for name, x in after.items())]
    for (above, below), (name, x, removed) in zip(axes.T, columns, strict=True):
        value = own[name]["decibel"] if name in own else own["damaged"]["decibel"]
        above.imshow(x, cmap="gray", vmin=clean.min(), vmax=clean.max())
        above.set_title(f"{name}, {value:.1f} dB", fontsize=9)
        below.imshow(removed, cmap="RdBu_r", vmin=-span / 2, vmax=span / 2)
        below.set_title("the damage" if name == "damaged" else "what was removed", fontsize=9)
    for ax in axes.flat:
        ax.set_axis_off()
    figure.savefig(path, dpi=90)
    return True
