"""Configurations, descriptions of models and command lines, altered: refused in a line, or as good as they say."""

import hashlib
import json
import shutil
import struct

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.faults.campaign import COMMANDS, LONG, TINY, contents, quietly, refusal, unharmed

from sagd.build.schema import CompareConfig, RunConfig
from sagd.build.text import to_dict
from sagd.training.fit import Fit

SECONDS = 60


def examples(short, long):
    """How many are tried; always the same ones, and none is shrunk, as each takes its time."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=long if LONG else short,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=checks,
    )


class Begun(BaseException):
    """All was accepted, and training would begin."""


@pytest.fixture
def before_training(bench, monkeypatch):
    """Training ends where its first step would be, but for that of the models that commands need."""
    for arguments in COMMANDS.values():
        arguments(bench, "image")

    def stop(*_):
        raise Begun

    monkeypatch.setattr(Fit, "advance", stop)


def leaves(mapping, prefix=()):
    """Paths of all settings of nested mappings and lists."""
    items = mapping.items() if isinstance(mapping, dict) else enumerate(mapping)
    for key, value in items:
        yield (*prefix, key)
        if isinstance(value, (dict, list)) and value:
            yield from leaves(value, (*prefix, key))


RUN = to_dict(RunConfig())
NUMBERS = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([10**5, 2**31, 2**63, 10**30, -(10**30)]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 1e-308, 1e308, 0.5, 1.0]),
)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "auto", "none", "flat", "../x", "/etc/passwd", "~", "a\0b", "1e999", "power_law(alpha=nan)"]),
    st.sampled_from(["power_law(alpha=" * 50, "flat * flat", "ring(low=1, high=0)", "vp(beta_end=-1)", "ddim(eta=9)"]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def altered(mapping, path, value):
    """A copy with another value at a path; None removes it."""
    copy = json.loads(json.dumps(mapping))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


def assert_refused_or_begun(args, out):
    """The command says one line, or would go on; nothing outside of `--out` changes."""
    with unharmed(out, SECONDS):
        try:
            ended = quietly(*args)
        except Begun:
            return
    if ended.code:
        refusal(ended)


def test_configurations(before_training, bench, tmp_path, campaign):
    base = {"data": {"source": str(bench.data("image"))}} | TINY
    with campaign("mutations") as faults:

        @examples(15, 1500)
        @given(st.lists(st.tuples(st.sampled_from(sorted(leaves(RUN), key=repr)), VALUES), min_size=1, max_size=2))
        def attempt(changes):
            sections = {name: values for name, values in RUN.items() if isinstance(values, dict)}
            config = {name: {**values, **base.get(name, {})} for name, values in sections.items()}
            for path, value in changes:
                if path[0] in config and (len(path) == 1 or isinstance(config[path[0]], dict)):
                    config = altered(config, path[:2], value)
            file, out = tmp_path / "config.yaml", tmp_path / "out"
            text = yaml.safe_dump(config)
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
            with faults(f"configuration with {changes!r}"):
                assert_refused_or_begun(["train", file, "--out", out], out)
            shutil.rmtree(out, ignore_errors=True)

        attempt()


OPTIONS = sorted(".".join(path) for path in leaves(RUN) if len(path) == 2)


def test_command_lines(before_training, bench, tmp_path, campaign):
    """Of all commands, with values that no one would give."""
    texts = st.one_of(TEXTS, NUMBERS.map(str)).filter(lambda text: "\0" not in text)
    others = ["count", "seed", "resume", "band", "kind", "axes", "jobs", "batch-size", "steps"]
    names = st.sampled_from([*OPTIONS, *others])
    with campaign("mutations") as faults:

        @examples(15, 600)
        @given(
            st.sampled_from([command for command in COMMANDS if command not in ("design", "compare")]),
            st.lists(st.tuples(names, st.lists(texts, max_size=2)), min_size=1, max_size=3),
        )
        def attempt(command, options):
            out = tmp_path / "out"
            args = [command, *COMMANDS[command](bench, "image"), "--out", out]
            for name, values in options:
                args += [f"--{name.replace('_', '-')}", *values]
            if any("help" in str(arg) or arg == "-h" for arg in args):
                return
            with faults(f"sagd {' '.join(map(repr, args))}"):
                assert_refused_or_begun(args, out)
            shutil.rmtree(out, ignore_errors=True)

        attempt()


def test_descriptions_of_models(bench, tmp_path, campaign):
    """`model.json` altered, with a manifest to match: the samples are those of before, or it is refused."""
    model = bench.model("audio") / "model"
    described = json.loads((model / "model.json").read_text())
    whole = bench.undisturbed("sample", "audio").files
    with campaign("mutations") as faults:

        @examples(8, 600)
        @given(st.sampled_from(sorted(leaves(described), key=repr)), VALUES)
        def attempt(path, value):
            copy, out = tmp_path / "copy", tmp_path / "out"
            shutil.copytree(model, copy)
            text = json.dumps(altered(described, path, value)).encode()
            (copy / "model.json").write_bytes(text)
            resign(copy, "model.json")
            with faults(f"model.json with {value!r} at {path}"):
                with unharmed(out, SECONDS):
                    ended = quietly("sample", copy, "--count", 2, "--out", out)
                if ended.code:
                    refusal(ended)
                else:
                    assert contents(out) == whole
            for folder in (copy, out):
                shutil.rmtree(folder, ignore_errors=True)

        attempt()


def resign(folder, name):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_tensors_of_models(bench, tmp_path, campaign):
    """The headers of their files, with a manifest to match: other names, shapes, types and offsets are refused."""
    model = bench.model("audio") / "model"
    with campaign("mutations") as faults:

        @examples(6, 400)
        @given(st.sampled_from(["model.safetensors", "moments.safetensors"]), st.integers(0, 2**30), VALUES)
        def attempt(name, number, value):
            copy, out = tmp_path / "copy", tmp_path / "out"
            shutil.copytree(model, copy)
            content = (copy / name).read_bytes()
            size = struct.unpack("<Q", content[:8])[0]
            header = json.loads(content[8 : 8 + size])
            paths = list(leaves(header))
            path = paths[number % len(paths)]
            text = json.dumps(altered(header, path, value)).encode()
            (copy / name).write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
            resign(copy, name)
            with faults(f"{name} with {value!r} at {path}"):
                with unharmed(out, SECONDS):
                    refusal(quietly("sample", copy, "--count", 2, "--out", out))
                assert not out.exists()
            shutil.rmtree(copy)

        attempt()


def test_comparisons(bench, tmp_path, campaign, monkeypatch):
    """Their arms and measures."""

    def stop(*_, **__):
        raise Begun

    monkeypatch.setattr("sagd.study.compare.train", stop)
    base = {"data": {"source": str(bench.data("image"))}} | TINY
    defaults = to_dict(CompareConfig())
    keys = sorted(leaves({"evaluation": defaults["evaluation"]}), key=repr)
    with campaign("mutations") as faults:

        @examples(3, 200)
        @given(st.dictionaries(TEXTS, VALUES, max_size=2), st.sampled_from(keys), VALUES, st.booleans())
        def attempt(arms, path, value, keep):
            settled = altered({"evaluation": defaults["evaluation"]}, path, value)
            config = base | ({"arms": {"white": {}}} if keep else {"arms": arms}) | settled
            file, out = tmp_path / "config.yaml", tmp_path / "out"
            file.write_bytes(yaml.safe_dump(config).encode("utf-8", "surrogatepass"))
            with faults(f"comparison with {arms!r} and {value!r} at {path}"):
                assert_refused_or_begun(["compare", file, "--out", out], out)
            shutil.rmtree(out, ignore_errors=True)

        attempt()
