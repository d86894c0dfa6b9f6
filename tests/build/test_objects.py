"""Configurations and descriptions become the processes that are written out by hand."""

import json

import pytest
import torch
from torch import Tensor

from sagd.build.catalogue import catalogue
from sagd.build.objects import build_loss, build_process, omission_mode, process_basis
from sagd.build.schema import DenoiserConfig, OmissionConfig, ProcessConfig
from sagd.errors import InputError
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.basis.mixed import MixedBasis
from sagd.noise.basis.wavelet import WaveletBasis
from sagd.noise.covariance.by_class import ClassCovariance
from sagd.noise.covariance.dense import DenseCovariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.modulated import ModulatedCovariance
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.regions import Ball
from sagd.noise.spectra.bands import BandPass
from sagd.noise.spectra.base import Flat
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.spectra.whitening import Whitening
from sagd.noise.statistics import DataStatistics, channel_covariance, measure
from sagd.process.base import Process
from sagd.process.description import process_from_dict
from sagd.process.evolution import Interpolated, Sequential
from sagd.process.scalar import ForwardProcess
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, VPSchedule
from sagd.process.spectral import SpectralProcess
from sagd.resampling.objective import BandLoss
from sagd.training.objective import DenoisingLoss

SHAPE = (3, 4, 6)


def images(channels: int = 3) -> Tensor:
    """Thirty smooth images whose colours are correlated."""
    x = torch.randn(30, channels, *SHAPE[1:], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x + x.roll(1, -1) + 0.7 * x.mean(1, keepdim=True)


VP = VPSchedule()

# Configuration, and the process by hand.
FIXED: list[tuple[ProcessConfig, Process]] = [
    (ProcessConfig(), ForwardProcess(VP, IsotropicCovariance(SHAPE))),
    (ProcessConfig(basis="cosine"), ForwardProcess(VP, IsotropicCovariance(SHAPE))),
    (
        ProcessConfig("cosine(log_snr_min=-9)", "power_law(alpha=-0.1)"),
        ForwardProcess(CosineSchedule(-9.0), SpectralCovariance(PowerLaw(-0.1), SHAPE)),
    ),
    (
        ProcessConfig("rectified", "band_pass(low=0.2, high=0.7)", calibration="none", basis="cosine"),
        ForwardProcess(
            RectifiedSchedule(), SpectralCovariance(BandPass(0.2, 0.7), SHAPE, CosineBasis(SHAPE[1:]), "none")
        ),
    ),
    (
        ProcessConfig(spectrum="power_law(alpha=0.5)", calibration="snr", basis="wavelet(name='haar', levels=1)"),
        ForwardProcess(VP, SpectralCovariance(PowerLaw(0.5), SHAPE, WaveletBasis(SHAPE[1:], "haar", 1), "snr")),
    ),
    (
        ProcessConfig(spectrum="power_law(alpha=0.5)", region="ball(radius=0.3, outside=0.2)"),
        ForwardProcess(VP, ModulatedCovariance(Ball(0.3, outside=0.2), SpectralCovariance(PowerLaw(0.5), SHAPE))),
    ),
    (
        ProcessConfig("cosine(log_snr_min=-10)", basis="cosine", evolution="blurring"),
        SpectralProcess.blurring(SHAPE),
    ),
    (
        ProcessConfig(evolution="blurring(blur_max=3)"),
        SpectralProcess.blurring(SHAPE, VP, FourierBasis(SHAPE[1:]), 3.0),
    ),
    (
        ProcessConfig("cosine", "power_law(alpha=0.5)", evolution="interpolated"),
        SpectralProcess.white_to_blue(SHAPE),
    ),
    (
        ProcessConfig("cosine", evolution="sequential(first='low', width=0.3)"),
        SpectralProcess.sequential(SHAPE, "low", width=0.3),
    ),
    (
        ProcessConfig(spectrum="flat", calibration="none", evolution="interpolated(far='power_law(alpha=1)', power=2)"),
        SpectralProcess(VP, SpectralCovariance(Flat(), SHAPE, calibration="none"), Interpolated(PowerLaw(1.0), 2.0)),
    ),
]


@pytest.mark.parametrize(("config", "expected"), FIXED)
def test_configurations(config: ProcessConfig, expected: Process) -> None:
    process = build_process(config, SHAPE)
    assert (type(process), process) == (type(expected), expected)
    # Statistics that nothing is made from change nothing.
    assert build_process(config, SHAPE, measure(images(), process_basis(config, SHAPE))) == expected


def test_configurations_differ() -> None:
    processes = [process for _, process in FIXED[1:]]
    assert all(a != b for i, a in enumerate(processes) for b in processes[:i])


def test_far_weights_are_calibrated_like_the_near_ones() -> None:
    """Raw flat weights are 1, raw `r^1` at the Nyquist frequency of the short side is 1/2."""
    process = build_process(FIXED[-1][0], SHAPE)
    x = torch.zeros(1, *SHAPE, dtype=torch.float64)
    s = process.diagonal(1.0, x, FourierBasis(SHAPE[1:]))[1] / float(VP.sigma(torch.ones(())))
    assert float(s.values[0, 0, 2, 0]) == pytest.approx(0.5, rel=1e-6)


def test_noise_by_class() -> None:
    config = ProcessConfig(spectrum="by_class(spectra={'cat': 'flat'}, default='power_law(alpha=0.5)')")
    blue = SpectralCovariance(PowerLaw(0.5), SHAPE)
    expected = ForwardProcess(VP, ClassCovariance([blue, IsotropicCovariance(SHAPE), blue]))
    assert build_process(config, SHAPE, classes=["dog", "cat", "cow"]) == expected
    with pytest.raises(InputError, match="depends on the class: give the names of the classes"):
        build_process(config, SHAPE)


def test_spectra_made_from_data() -> None:
    """Whitening of the measured spectrum, next to the data and at `t = 1`."""
    statistics = measure(images())
    noise = SpectralCovariance(Whitening(0.5).resolve(statistics), SHAPE)
    config = ProcessConfig(spectrum="whitening(exponent=0.5)")
    assert build_process(config, SHAPE, statistics) == ForwardProcess(VP, noise)
    config = ProcessConfig(spectrum="whitening(exponent=0.5)", evolution="sequential")
    assert build_process(config, SHAPE, statistics) == SpectralProcess(VP, noise, Sequential())
    config = ProcessConfig(evolution="interpolated(far='whitening(exponent=0.5)')")
    far = Interpolated(Whitening(0.5).resolve(statistics))
    assert build_process(config, SHAPE, statistics) == SpectralProcess(VP, SpectralCovariance(Flat(), SHAPE), far)
    for evolution in ("common", "interpolated(far='whitening')"):
        spectrum = "whitening" if evolution == "common" else "flat"
        with pytest.raises(InputError, match="resolve"):
            build_process(ProcessConfig(spectrum=spectrum, evolution=evolution), SHAPE)


def test_equal_snr_is_whitening() -> None:
    """Uncalibrated: the level of the noise is that of the data."""
    statistics = measure(images())
    built = build_process(ProcessConfig(spectrum="whitening", calibration="none"), SHAPE, statistics)
    exact = SpectralProcess.equal_snr(statistics)
    assert built.covariance == exact.reference


def test_decorrelated_channels() -> None:
    """Noise in the principal colours of the data, found from them or in the basis of the statistics."""
    x = images()
    colours = "per_channel(spectra=['flat', 'power_law(alpha=0.5)', 'flat'])"
    config = ProcessConfig(spectrum=colours, basis="cosine", channels="decorrelated")
    basis = process_basis(config, SHAPE, channel_covariance(x))
    assert basis == ChannelBasis.decorrelating(channel_covariance(x), CosineBasis(SHAPE[1:]))
    process = build_process(config, SHAPE, measure(x, basis))
    assert process.covariance.power_spectrum(basis).shape == (3, *SHAPE[1:])
    with pytest.raises(InputError, match="'decorrelated' is made from the data's channels; give statistics"):
        build_process(config, SHAPE)
    with pytest.raises(InputError, match="needs at least two channels; leave it out for grey images"):
        process_basis(config, (1, 4, 6), torch.ones(1, 1))


def test_basis_as_given() -> None:
    """Without a look at the data."""
    assert process_basis(ProcessConfig(), SHAPE) == FourierBasis(SHAPE[1:])
    assert process_basis(ProcessConfig(basis="cosine"), SHAPE, channel_covariance(images())) == CosineBasis(SHAPE[1:])


@pytest.mark.parametrize("measured", ["fourier", "colours"])
def test_statistics_in_another_basis_are_refused(measured: str) -> None:
    inner = FourierBasis(SHAPE[1:])
    basis = inner if measured == "fourier" else ChannelBasis.decorrelating(channel_covariance(images()), inner)
    with pytest.raises(InputError, match=r"measured in .*measure them with basis=process_basis\(config, shape\)"):
        build_process(ProcessConfig(basis="cosine"), SHAPE, measure(images(), basis))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schedule": "linear"}, "unknown schedule 'linear'"),
        ({"spectrum": "pink"}, "unknown spectrum 'pink'"),
        ({"evolution": "sequental"}, "did you mean 'sequential'"),
        ({"basis": "fuorier"}, "did you mean 'fourier'"),
        ({"region": "bal"}, "did you mean 'ball'"),
        (
            {"region": "ball", "evolution": "blurring"},
            "one spectrum everywhere: leave out regions",
        ),
        ({"spectrum": "by_class(spectra={'a': 'flat'})", "evolution": "sequential"}, "or use evolution 'common'"),
        (
            {"evolution": "interpolated(far='band_pass(low=0.1, high=0.4)')"},
            "coefficients that are zero or no numbers; use a milder one",
        ),
    ],
)
def test_refusals(values: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_process(ProcessConfig(**values), SHAPE)  # type: ignore[arg-type]


def every_process() -> list[Process]:
    """The catalogue, and those above."""
    shape, classes = (3, 8, 8), ["a", "b", "c"]
    x = torch.randn(20, *shape, generator=torch.Generator().manual_seed(0))
    processes = [process for _, process in FIXED]
    for entry in catalogue(shape, classes):
        basis = process_basis(entry.process, shape, channel_covariance(x))
        processes.append(build_process(entry.process, shape, measure(x, basis), classes))
    return processes


def test_descriptions_read_back() -> None:
    """Through JSON, with the same states from the same draws."""
    for process in every_process():
        rebuilt = process_from_dict(json.loads(json.dumps(process.to_dict())))
        assert (type(rebuilt), rebuilt) == (type(process), process)
        x_0, labels = torch.randn(3, *process.shape), torch.tensor([0, 2, 1])
        one, other = (
            p.given(labels).perturb(x_0, 0.4, generator=torch.Generator().manual_seed(1)) for p in (process, rebuilt)
        )
        assert torch.equal(one, other)


def test_descriptions_of_earlier_versions_read_as_they_were() -> None:
    """Schedule and covariance alone are a forward process."""
    described = {
        "schedule": {"kind": "vp", "beta_start": 1e-4, "beta_end": 0.02, "steps": 1000},
        "covariance": {"kind": "isotropic", "shape": [1, 4], "variance": 1.0},
    }
    assert process_from_dict(described) == ForwardProcess(VPSchedule(), IsotropicCovariance((1, 4)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"covariance": {"kind": "isotropic", "shape": [1, 4], "variance": 1.0}}, "needs a spectral covariance"),
        ({"evolution": {"kind": "blurring", "blur": 3}}, "no parameter 'blur'"),
        ({"schedule": {"kind": "vq"}}, "unknown schedule 'vq'"),
        ({"covariance": {"kind": "spectral"}}, "lacks 'spectrum'"),
        ({"evolutoin": {"kind": "blurring"}}, "schedule, covariance and perhaps evolution and unseen, got .*evolutoin"),
    ],
)
def test_descriptions_that_cannot_be_read_are_refused(change: dict[str, object], message: str) -> None:
    described = SpectralProcess.sequential((1, 4, 4)).to_dict()
    with pytest.raises(InputError, match=message):
        process_from_dict(described | change)


def test_descriptions_that_lack_a_part_are_refused() -> None:
    with pytest.raises(InputError, match="a process is described by its schedule, covariance"):
        process_from_dict({"schedule": VPSchedule().to_dict()})
    dense = ForwardProcess(VPSchedule(), DenseCovariance(torch.eye(4), (1, 4)))
    with pytest.raises(InputError, match="dense covariance cannot be rebuilt"):
        process_from_dict(dense.to_dict())
    statistics = DataStatistics(torch.zeros(1, 4), torch.ones(1, 3), 9, FourierBasis((4,)))
    with pytest.raises(InputError, match="basis"):
        build_process(ProcessConfig(), (1, 5), statistics)


# Frequencies in the units of the data.

SPEECH = "band_pass(low='300 Hz', high='3400 Hz')"


def test_a_process_in_hertz_is_built_for_any_rate():
    """Its description survives a file, keeps its units, and means the same noise on a grid of twice the rate."""
    config = ProcessConfig(spectrum=SPEECH)
    slow, fast = build_process(config, (1, 64), grid="8 kHz"), build_process(config, (1, 128), grid=["1/16000 s"])
    plain = SpectralCovariance(BandPass(0.075, 0.85), (1, 64))
    torch.testing.assert_close(slow.covariance.eigenvalues, plain.eigenvalues, rtol=1e-12, atol=0)
    torch.testing.assert_close(fast.covariance.to_dense()[::2, ::2], plain.to_dense(), rtol=0, atol=1e-12)
    again = process_from_dict(json.loads(json.dumps(slow.to_dict())))
    assert again.to_dict() == slow.to_dict()
    assert again.covariance == slow.covariance
    assert "'300 Hz'" in str(slow.to_dict())


def test_every_part_of_a_process_is_told_the_grid():
    """The noise at `t = 1`, an omitted band, the damage in it, and the band of a resampling model."""
    grid = "8 kHz"
    evolution = f'interpolated(far="{SPEECH} + flat")'
    process = build_process(ProcessConfig(evolution=evolution), (1, 64), grid=grid)
    plain = build_process(
        ProcessConfig(evolution="interpolated(far='band_pass(low=0.075, high=0.85) + flat')"), (1, 64)
    )
    x = torch.zeros(1, 1, 64, dtype=torch.float64)
    for c, d in zip(
        process.diagonal(0.7, x, FourierBasis((64,))), plain.diagonal(0.7, x, FourierBasis((64,))), strict=True
    ):
        torch.testing.assert_close(c.values, d.values)
    for mode, damage in (("fill", None), ("project", None), ("deconvolve", SPEECH)):
        omitted = build_process(ProcessConfig(omission=OmissionConfig(mode, SPEECH, damage)), (1, 64), grid=grid)
        told = None if damage is None else "band_pass(low=0.075, high=0.85)"
        band = "band_pass(low=0.075, high=0.85)"
        expected = build_process(ProcessConfig(omission=OmissionConfig(mode, band, told)), (1, 64))
        values = torch.randn(3, 1, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        torch.testing.assert_close(omitted.perturb(values, 0.5, values), expected.perturb(values, 0.5, values))
        with pytest.raises(InputError, match=r"the data has no rate; give data\.rate"):
            build_process(ProcessConfig(omission=OmissionConfig(mode, SPEECH, damage)), (1, 64))
    data = measure(torch.randn(4, 1, 64))
    loss = build_loss(DenoiserConfig(time="uniform", bands=SPEECH), plain, data, grid)
    assert isinstance(loss, BandLoss)
    assert loss.law.only is not None
    assert loss.law.only.nonzero().flatten().tolist() == list(range(3, 28))


def test_a_loss_is_given_weights_of_places():
    data, field = measure(torch.randn(4, *SHAPE)), torch.ones(SHAPE)
    loss = build_loss(DenoiserConfig(time="uniform"), build_process(ProcessConfig(), SHAPE), data, weight_field=field)
    assert isinstance(loss, DenoisingLoss)
    assert loss.weight_field is not None


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (None, r"is in Hz, and the data has no rate; give data\.rate"),
        ("8 kHz, 8 kHz", "has 2 axes, the data 1; give a step for each axis"),
        ("8", "cannot read '8'"),
        ("1 mm", "is in Hz, and the steps of the grid are 1.0 mm"),
    ],
)
def test_grids_that_do_not_fit(grid, message):
    with pytest.raises(InputError, match=message):
        build_process(ProcessConfig(spectrum=SPEECH), (1, 64), grid=grid)


def test_a_grid_changes_no_number():
    """Processes without units are the same, and described alike, with it and without."""
    for config, process in FIXED:
        assert build_process(config, SHAPE, grid="0.5 mm, 2 mm").to_dict() == process.to_dict()


def test_a_process_on_a_map():
    process = build_process(ProcessConfig(spectrum="power_law(alpha=-0.2)", basis="mixed(periodic=[1])"), SHAPE)
    again = process_from_dict(json.loads(json.dumps(process.to_dict())))
    assert again.to_dict() == process.to_dict()
    assert process.covariance.basis == MixedBasis(SHAPE[1:], (1,))


def test_what_only_a_training_chooses_is_refused_elsewhere():
    with pytest.raises(InputError, match=r"^process.spectrum is 'auto', which only a training chooses.* sagd design"):
        build_process(ProcessConfig(spectrum="auto"), (1, 8, 8))


@pytest.mark.parametrize(
    ("name", "value"), [("band", "ring(low=0.1, high=0.2)"), ("corruption", "excess"), ("log", "yes")]
)
def test_settings_of_omission_without_a_mode_are_refused(name, value):
    """Ignored, the damage would be learnt."""
    with pytest.raises(InputError, match=f"process.omission.{name} is .* and process.omission.mode is 'none'"):
        omission_mode(OmissionConfig(**{name: value}))
