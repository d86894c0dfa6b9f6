import dataclasses
import itertools
import pickle
import subprocess
import sys

import pytest
import yaml

from sagd.build import schema
from sagd.build.schema import CompareConfig, ProcessConfig, RunConfig
from sagd.build.text import dump_yaml, from_dict, load_yaml, to_dict
from sagd.data.config import DataConfig
from sagd.errors import InputError
from sagd.noise.spectra.base import Spectrum
from sagd.noise.spectra.power_law import PowerLaw

CLASSES = [c for c in vars(schema).values() if isinstance(c, type) and dataclasses.is_dataclass(c)]


def write(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refuse(tmp_path, text, cls=RunConfig):
    with pytest.raises(InputError) as caught:
        load_yaml(cls, write(tmp_path, text))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_dump_and_load_round_trip(cls, tmp_path):
    default = cls()
    dump_yaml(default, tmp_path / "config.yaml")
    assert load_yaml(cls, tmp_path / "config.yaml") == default
    # Every default is spelt out, in order.
    assert list(yaml.safe_load((tmp_path / "config.yaml").read_text())) == [f.name for f in dataclasses.fields(cls)]


def test_round_trip_away_from_the_defaults(tmp_path):
    run = RunConfig(
        data=DataConfig(source="photos: all/", channels=3, size=64, flip=True, label_column="no"),
        process=ProcessConfig("cosine(log_snr_min=-12)", "power_law(alpha=-0.1)", "none"),
        network=schema.NetworkConfig(widths=(8, 16), conditional=True, dropout=1e-7),
        training=schema.TrainingConfig(lr=3e-5, precision="bf16", seed=2**40),
        sampling=schema.SamplingConfig(clip=1.0, sampler="ddim(eta=0.5)"),
    )
    compare = CompareConfig(arms={"white": ProcessConfig(), "1": run.process}, seeds=(0, 1), data=run.data)
    for value in (run, compare):
        dump_yaml(value, tmp_path / "config.yaml")
        assert load_yaml(type(value), tmp_path / "config.yaml") == value
        assert from_dict(type(value), to_dict(value)) == value
    assert list(compare.arms) == ["white", "1"]  # the order names the reference


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "null\n", "---\n"])
@pytest.mark.parametrize("cls", [RunConfig, CompareConfig])
def test_files_with_nothing_in_them_are_refused(text, cls, tmp_path):
    told = refuse(tmp_path, text, cls)
    assert told.endswith("config.yaml' is empty; write at least one section, e.g. 'data: {source: digits}'")


def test_partial_mappings_take_defaults(tmp_path):
    assert load_yaml(RunConfig, write(tmp_path, "{}")) == RunConfig()
    run = load_yaml(RunConfig, write(tmp_path, "training:\n  steps: 5\n"))
    assert run == RunConfig(training=schema.TrainingConfig(steps=5))


def test_yaml_traps_are_read_as_meant(tmp_path):
    text = """
    data: {size: null}
    process: {spectrum: {kind: power_law, alpha: -0.1}}
    network: {widths: [8, 16]}
    training: {lr: 1e-3, clip_norm: 2, precision: no}
    """
    run = load_yaml(RunConfig, write(tmp_path, text))
    assert run.training.lr == 0.001  # YAML 1.1 reads 1e-3 as text
    assert (run.training.clip_norm, type(run.training.clip_norm)) == (2.0, float)
    assert run.training.precision == "no"  # YAML 1.1 reads a bare no as false
    assert run.data.size is None
    assert run.network.widths == (8, 16)
    assert Spectrum.parse(run.process.spectrum) == PowerLaw(-0.1)


def test_anchors_and_merges_work(tmp_path):
    text = "arms:\n  a: &a {spectrum: flat, schedule: vp}\n  b: {<<: *a, spectrum: power_law}\n"
    arms = load_yaml(CompareConfig, write(tmp_path, text)).arms
    assert (arms["a"].spectrum, arms["b"].spectrum, arms["b"].schedule) == ("flat", "power_law", "vp")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainig: {}", "unknown key 'trainig'; did you mean 'training'?"),
        ("training: {step: 5}", "unknown key 'training.step'; did you mean 'steps'?"),
        ("training: {12: 5}", "unknown key 'training.12'; known: steps, batch_size,"),
        ("training: 5", "training must be a mapping of keys, got 5"),
        ("- 1", "configuration must be a mapping of keys, got [1]"),
        ("training: {steps: many}", "training.steps must be a whole number, got 'many'"),
        ("training: {steps: 1.5}", "training.steps must be a whole number, got 1.5"),
        ("training: {steps: '5'}", "training.steps must be a whole number, got '5'"),
        ("training: {steps: true}", "training.steps must be a whole number, got True"),
        ("training: {steps: }", "training.steps must be a whole number, got None"),
        ("training: {lr: fast}", "training.lr must be a number, got 'fast'"),
        ("training: {lr: yes}", "training.lr must be a number, got True"),
        ("training: {lr: [1]}", "training.lr must be a number, got [1]"),
        ("training: {lr: .nan}", "training.lr must be a finite number, got nan"),
        ("training: {lr: 1e999}", "training.lr must be a finite number, got inf"),
        ("training: {precision: yes}", "training.precision must be one of auto, no, bf16, fp16; got True"),
        ("training: {precision: fp8}", "training.precision must be one of auto, no, bf16, fp16; got 'fp8'"),
        ("training: {precision: [no]}", "training.precision must be one of auto, no, bf16, fp16; got [False]"),
        ("data: {flip: 1}", "data.flip must be true or false, got 1"),
        ("data: {flip: 'true'}", "data.flip must be true or false, got 'true'"),
        ("data: {source: no}", "data.source must be text, got False"),
        ("data: {source: 5}", "data.source must be text, got 5; write it in quotes"),
        ("data: {source: 2020-01-02}", "data.source must be text, got the date 2020-01-02; write it in quotes"),
        ("training: {steps: 2020-01-02}", "training.steps must be a whole number, got the date 2020-01-02"),
        ("data: {size: 32.0}", "data.size must be a whole number, got 32.0"),
        ("process: {spectrum: {alpha: 1}}", "process.spectrum must be text, got {'alpha': 1}"),
        ("process: {spectrum: {kind: [flat]}}", "process.spectrum must be text, got {'kind': ['flat']}"),
        ("network: {widths: 32}", "network.widths must be a list, got 32; e.g. [1, 2]"),
        ("network: {widths: [32, x]}", "network.widths[1] must be a whole number, got 'x'"),
    ],
)
def test_what_does_not_fit_is_refused(text, message, tmp_path):
    assert refuse(tmp_path, text).startswith(message)


def test_nested_mappings_of_arms_are_checked(tmp_path):
    assert refuse(tmp_path, "arms: {a: {spectum: flat}}", CompareConfig) == (
        "unknown key 'arms.a.spectum'; did you mean 'spectrum'?"
    )
    assert refuse(tmp_path, "arms: [a]", CompareConfig) == "arms must be a mapping, got ['a']"
    assert refuse(tmp_path, "seeds: [0, a]", CompareConfig) == "seeds[1] must be a whole number, got 'a'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {steps: 1", "is not YAML"),
        ("a: b: c", "is not YAML"),
        ("training: {}\n---\ndata: {}", "is not YAML"),
        ("data: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("data: {limit: 2024-13-45}", "month must be in 1..12"),
        ("training:\n  steps: 5\n  steps: 6\n", "key 'steps' is repeated"),
        ("training: {steps: 5}\ntraining: {lr: 1}\n", "key 'training' is repeated"),
        ("[" * 5000, "nested deeper than 50 levels"),
        ("{a: " * 5000, "nested deeper than 50 levels"),
        ("data: &a {source: [*a]}", "an alias stands for what contains it"),
        ("data: {flip: !!bool x}", "a value does not fit its type"),
        ("data: {limit: !!int ''}", "a value does not fit its type"),
        ("data: {limit: !!timestamp x}", "a value does not fit its type"),
        ("data: !!map [a, b]", "expected a mapping node"),
        ("data:\n\tsource: digits\n", "is not YAML: line 2 has a tab; write spaces"),
        ("data:\n  limit: 3\n\tsize: 8\n", "is not YAML: line 3 has a tab; write spaces"),
        ("data: a\x01", "is not YAML: it holds the character U+0001, which no text has"),
        ("network: {widths: 0x" + 6000 * "f" + "}", "a number has more than 400 characters"),
        ("network: {widths: 0x" + 20 * "f" + "}", "a whole number needs over 64 bits"),
        ("data: {size: " + ":".join(["59"] * 120) + "}", "a whole number needs over 64 bits"),
        ("training: {lr: 1:" + ":".join(["59"] * 20000) + ".0}", "a number has more than 400 characters"),
        ("data: {limit: " + 6000 * "9" + "}", "a number has more than 400 characters"),
    ],
)
def test_files_that_are_not_plain_yaml_are_refused(text, message, tmp_path):
    assert message in refuse(tmp_path, text)


def bomb(kind: str) -> str:
    """A few hundred bytes that stand for ten thousand million values, or for a chain of aliases without end."""
    if kind == "chain":
        return "data: {source: [&a0 [x]" + "".join(f", &a{i} [*a{i - 1}]" for i in range(1, 5000)) + "]}"
    anchors = "abcdefghi"
    parts = ["&a [x, x, x, x, x, x, x, x, x, x]"] if kind == "lists" else ["&a {k: x}"]
    for one, other in itertools.pairwise(anchors):
        repeated = ", ".join([f"*{one}"] * 10)
        parts.append(f"&{other} [{repeated}]" if kind == "lists" else f"&{other} {{<<: [{repeated}], k{other}: x}}")
    return "data: {source: [" + ", ".join(parts) + "]}"


@pytest.mark.parametrize(
    ("kind", "message"),
    [("lists", "aliases repeat more than"), ("merges", "aliases repeat more than"), ("chain", "nested deeper than")],
)
def test_a_small_file_cannot_hang(kind, message, tmp_path):
    """It used to take all memory, in the file or in the message; here the process has a minute and 4 GiB."""
    path = tmp_path / "bomb.yaml"
    path.write_text(bomb(kind), encoding="utf-8")
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30,) * 2)"
    code = f"{limited}; from sagd.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "train", str(path), "--out", str(tmp_path / "run")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert message in run.stderr
    assert run.stderr.count("\n") == 1


def test_aliases_may_repeat_what_people_write(tmp_path):
    arms = ", ".join(f"a{i}: *p" for i in range(500))
    text = f"arms: {{a: &p {{spectrum: power_law(alpha=-0.1), schedule: vp}}, {arms}}}"
    assert len(load_yaml(CompareConfig, write(tmp_path, text)).arms) == 501


def test_messages_quote_long_values_in_part(tmp_path):
    """In one line, with the start of what was wrong and the cure at its end."""
    message = refuse(tmp_path, f"network: {{widths: {'wide' * 100_000}}}")
    assert message.startswith("network.widths must be a list, got 'widewide")
    assert message.endswith("wid...; e.g. [1, 2]")
    assert len(message) < 250
    message = refuse(tmp_path, f"? {'wide' * 100}\n: 1")
    assert message.startswith("unknown key 'widewide")
    assert len(message) < 300


def test_a_message_is_cut_once():
    """Copies say the same, and so does an error about an error."""
    error = InputError("x" * 2000)
    assert str(error) == f"{'x' * 400} ... (1450 characters left out) ... {'x' * 150}"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(InputError("short\nlines")) == "short lines"


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read configuration '.*none\.yaml': No such file or directory"):
        load_yaml(RunConfig, tmp_path / "none.yaml")
    with pytest.raises(InputError, match="Is a directory"):
        load_yaml(RunConfig, tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for content, why in (
        (b"\xff\xfe\x00", "it is no UTF-8 text; save it as that"),
        (b"RIFF\x24\x00\x00\xf0WAVEfmt ", "its content is that of a WAV file, no text"),
    ):
        (tmp_path / "binary.yaml").write_bytes(content)
        with pytest.raises(InputError, match=rf"binary\.yaml' is not YAML: {why}$"):
            load_yaml(RunConfig, tmp_path / "binary.yaml")


def test_defaults_are_readable_descriptions():
    """Text defaults parse in their families; checked here because config itself may not import them."""
    from sagd.process.schedule import Schedule
    from sagd.sampling.base import Sampler
    from sagd.sampling.grids import TimeGrid
    from sagd.training.times import TimeLaw

    run = RunConfig()
    for family, text in (
        (Schedule, run.process.schedule),
        (Spectrum, run.process.spectrum),
        (TimeLaw, run.denoiser.time),
        (Sampler, run.sampling.sampler),
        (TimeGrid, run.sampling.grid),
    ):
        assert family.parse(text).kind == text


@pytest.mark.parametrize("module", ["sagd", "sagd.build.schema", "sagd.build.text", "sagd.cli"])
def test_the_command_line_starts_without_torch(module):
    heavy = {"torch", "numpy", "diffusers", "datasets", "accelerate", "matplotlib", "sklearn", "scipy"}
    code = f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
