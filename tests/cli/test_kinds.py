"""What `sagd kinds` lists."""

import subprocess
import sys

from sagd.cli.program import main


def listed(capsys, *args):
    assert main(["kinds", *args]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_one_family(capsys):
    text = listed(capsys, "time-grid")
    assert text.startswith("time-grid\n  uniform\n      Equal steps in `t` from 1 to 0.\n  karras(sigma_min=0.002, ")
    assert "notch" not in text


def test_all_families_of_a_new_process():
    """Nothing that another command has imported is needed."""
    done = subprocess.run([sys.executable, "-m", "sagd", "kinds"], capture_output=True, text=True, check=True)
    families = [line for line in done.stdout.splitlines() if line and not line.startswith(" ")]
    assert families == [
        *(
            "basis",
            "corruption",
            "data-source",
            "evolution",
            "file-format",
            "loss-weighting",
            "network",
            "omission-mode",
        ),
        *("prediction", "region", "sampler", "schedule", "spectrum", "time-grid", "training-time"),
    ]
    for member in ("box(low, high, inside=1.0", "dit(depth=4", "hub(name, subset=None)", "heun(churn=0.0", "wiener("):
        assert f"\n  {member}" in done.stdout


def test_a_plugin_is_listed_with_what_it_says_of_itself(capsys, tmp_path, request):
    from sagd import Weighting

    path = tmp_path / "plug_kinds.py"
    path.write_text(
        "from dataclasses import dataclass\nimport sagd\n@dataclass(frozen=True)\n"
        "class Plain(sagd.Weighting, kind='plug_kinds'):\n    size: int = 3\n"
    )
    request.addfinalizer(lambda: Weighting._members.pop("plug_kinds", None))
    request.addfinalizer(lambda: sys.modules.pop("plug_kinds", None))
    assert listed(capsys, "loss-weighting", "--plugin", str(path)).endswith("\n  plug_kinds(size=3)\n")


def test_an_unknown_family_is_refused(capsys):
    assert main(["kinds", "spectra"]) == 2
    assert capsys.readouterr().err == "sagd: unknown family 'spectra'; did you mean 'spectrum'?\n"
