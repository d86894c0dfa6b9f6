import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, reduce
from itertools import product

import numpy as np
import pytest
import torch

from sagd.errors import InputError, SingularCovarianceError
from sagd.noise.basis.base import Basis
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.basis.mixed import MixedBasis
from sagd.noise.basis.wavelet import WaveletBasis
from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.build import build_covariance
from sagd.noise.covariance.by_class import ClassCovariance, LabelledCovariance
from sagd.noise.covariance.dense import DenseCovariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.noise.covariance.modulated import ModulatedCovariance
from sagd.noise.covariance.spectral import SpectralCovariance, check_weights
from sagd.noise.regions import Ball, Box, Table, Uniform
from sagd.noise.spectra.bands import BandPass, TwoBand
from sagd.noise.spectra.base import Flat, Spectrum
from sagd.noise.spectra.by_channel import PerChannel
from sagd.noise.spectra.by_class import ClassConditional
from sagd.noise.spectra.notch import Notch
from sagd.noise.spectra.oriented import Oriented
from sagd.noise.spectra.power_law import AxisPowerLaw, PowerLaw
from sagd.noise.spectra.tables import Tabulated
from sagd.noise.spectra.whitening import Whitening
from sagd.random import sample_generators
from sagd.testing.covariances import CovarianceContract
from sagd.testing.oracles import fourier_matrix, signed_frequencies, stationary_matrix

SHAPES = [(1, 1), (2, 7), (1, 8), (1, 1, 6), (1, 6, 1), (2, 4, 5), (1, 5, 4), (1, 3, 3, 4), (1, 4, 1, 3)]

# Each spectrum with its weights at squared radii r^2 and rho^2, exact rationals, and the least positive r^2.
ORACLES = {
    "flat": (Flat(), lambda r2, rho2, least: 1.0),
    "red": (PowerLaw(-0.5), lambda r2, rho2, least: math.sqrt(max(r2, least)) ** -0.5),
    "blue": (PowerLaw(0.7), lambda r2, rho2, least: math.sqrt(max(r2, least)) ** 0.7),
    "raw": (PowerLaw(-0.3, epsilon=0.01), lambda r2, rho2, least: (math.sqrt(r2) + 0.01) ** -0.3),
    "low_pass": (BandPass(0, 0.5), lambda r2, rho2, least: float(rho2 < Fraction(1, 4))),
    "high_pass": (BandPass(0.5, 1), lambda r2, rho2, least: float(rho2 >= Fraction(1, 4))),
    "lifted_band": (
        BandPass(0.2, 0.6, inside=2, outside=0.5),
        lambda r2, rho2, least: 2.0 if Fraction(1, 25) <= rho2 < Fraction(9, 25) else 0.5,
    ),
    "two_band": (TwoBand(0.8, 0, 0.4, 0.3, 0.4, 1), lambda r2, rho2, least: 0.8 if rho2 < Fraction(4, 25) else 0.3),
    "overlap": (
        TwoBand(0.6, 0, 0.6, 0.8, 0.4, 1),
        lambda r2, rho2, least: math.hypot(0.6 * (rho2 < Fraction(9, 25)), 0.8 * (rho2 >= Fraction(4, 25))),
    ),
}

MIX = ((0.6, 0.8), (-0.8, 0.6))


def axis_kinds(kind: str, rank: int) -> list[str]:
    """The kind of each axis; "zonal" is periodic along the last one and mirrored along the others."""
    return ["cosine"] * (rank - 1) + ["fourier"] if kind == "zonal" else [kind] * rank


def axis_frequencies(kind: str, side: int) -> list[Fraction]:
    """Exact frequencies along one axis, by basis; "haar2" is the Haar wavelet with two levels."""
    if kind == "fourier":
        return [Fraction(k if 2 * k <= side else k - side, side) for k in range(side)]
    if kind == "cosine":
        return [Fraction(k, 2 * side) for k in range(side)]
    if side == 1:
        return [Fraction(0)]
    if kind == "haar":
        return [Fraction(1 if 2 * k < side else 3, 8) for k in range(side)]
    return [Fraction(1 if 4 * k < side else 3, 16) if 2 * k < side else Fraction(3, 8) for k in range(side)]


def axis_transform(kind: str, side: int) -> torch.Tensor:
    """The transform along one axis from its definition, `(side, side)`."""
    k, x = torch.arange(side, dtype=torch.float64)[:, None], torch.arange(side, dtype=torch.float64)
    if kind == "fourier":
        return fourier_matrix((side,))
    if kind == "cosine":
        return torch.cos(math.pi * k * (x + 0.5) / side) * torch.sqrt((2.0 - (k == 0).double()) / side)
    if side == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / math.sqrt(2)
    halves = [torch.kron(torch.eye(side // 2, dtype=torch.float64), row[None]) for row in pair]
    if kind == "haar2":
        halves[0] = axis_transform("haar", side // 2) @ halves[0]
    return torch.cat(halves)


def transform(kind: str, spatial: tuple[int, ...]) -> torch.Tensor:
    """The transform on flattened fields, `(d, d)`."""
    kinds = zip(axis_kinds(kind, len(spatial)), spatial, strict=True)
    factors = [axis_transform(*each) for each in kinds]
    return reduce(torch.kron, [factor.to(torch.complex128) for factor in factors] if kind == "zonal" else factors)


def make_basis(kind: str, spatial: tuple[int, ...]) -> Basis:
    if kind == "fourier":
        return FourierBasis(spatial)
    if kind == "zonal":
        return MixedBasis(spatial, (len(spatial) - 1,))
    return CosineBasis(spatial) if kind == "cosine" else WaveletBasis(spatial, "haar", 2 if kind == "haar2" else 1)


@cache
def raw_weights(name: str, kind: str, spatial: tuple[int, ...]) -> torch.Tensor:
    """Weights on the full grid from exact rational frequencies, `(*spatial)`."""
    axes = [axis_frequencies(*each) for each in zip(axis_kinds(kind, len(spatial)), spatial, strict=True)]
    squares = {p: sum(f[i] ** 2 for f, i in zip(axes, p, strict=True)) for p in np.ndindex(*spatial)}
    least = min((r2 for r2 in squares.values() if r2 > 0), default=Fraction(1))
    weights = torch.zeros(spatial, dtype=torch.float64)
    for place, r2 in squares.items():
        weights[place] = ORACLES[name][1](r2, 4 * r2 / len(spatial), least)
    return weights


@dataclass(frozen=True)
class Case:
    """A spectral covariance and its dense matrix; several names are a spectrum for each channel."""

    names: tuple[str, ...]
    shape: tuple[int, ...]
    calibration: str = "variance"
    kind: str = "fourier"
    mixed: bool = False

    def __str__(self):
        parts = ["+".join(self.names), "x".join(map(str, self.shape)), self.calibration, self.kind]
        return "-".join(parts + ["mixed"] * self.mixed)

    @property
    def basis(self):
        basis = make_basis(self.kind, self.shape[1:])
        return ChannelBasis(self.shape[1:], basis, MIX) if self.mixed else basis

    def covariance(self):
        spectra = [ORACLES[name][0] for name in self.names]
        spectrum = spectra[0] if len(spectra) == 1 else PerChannel(tuple(spectra))
        return SpectralCovariance(spectrum, self.shape, self.basis, self.calibration)

    def matrix(self):
        weights = [raw_weights(name, self.kind, self.shape[1:]) for name in self.names]
        power = torch.stack(weights).square().expand(self.shape)
        if self.calibration == "variance":
            power = power / power.mean()
        if self.calibration == "snr":
            power = power / power[power > 0].log().mean().exp()
        if self.kind == "fourier":
            dense = torch.block_diag(*[stationary_matrix(p, (1, *self.shape[1:])) for p in power])
        else:
            U = transform(self.kind, self.shape[1:])
            dense = torch.block_diag(*[((U.mH * p.flatten()) @ U).real for p in power])
        if not self.mixed:
            return dense
        mix = torch.kron(torch.tensor(MIX, dtype=torch.float64), torch.eye(math.prod(self.shape[1:])).double())
        return mix.T @ dense @ mix


dense = cache(Case.matrix)

# All spectra on all shapes in the Fourier basis; what else there is, on a choice that covers each kind of grid.
CASES = [
    *(Case((name,), shape) for name, shape in product(ORACLES, SHAPES)),
    *(Case((name,), shape, "none") for name, shape in product(("red", "low_pass", "overlap"), SHAPES[5:8])),
    *(Case((name,), shape, "snr") for name, shape in product(("blue", "high_pass"), SHAPES[1:8:2])),
    *(Case(("red",), shape, "variance", "cosine") for shape in SHAPES[:8]),
    *(Case((name,), (2, 4, 5), "snr", "cosine") for name in ("low_pass", "overlap")),
    *(Case(("blue",), shape, "variance", "haar") for shape in ((2, 6), (1, 4, 6), (1, 2, 1, 4))),
    *(Case((name,), (1, 8), "snr", "haar2") for name in ("red", "low_pass")),
    *(
        Case(("red", "low_pass"), shape, calibration)
        for shape, calibration in (((2, 7), "snr"), ((2, 4, 5), "variance"), ((2, 2, 3, 2), "none"))
    ),
    *(Case(("red",), shape, "variance", "zonal") for shape in ((2, 4, 5), (1, 5, 4), (1, 3, 2, 4))),
    *(Case(("high_pass", "red"), (2, 3, 4), "snr", "zonal", mixed=mixed) for mixed in (False, True)),
    Case(("blue", "raw"), (2, 8), "snr"),
    Case(("red", "high_pass"), (2, 4, 3), "variance", "cosine"),
    Case(("flat", "blue"), (2, 4, 2), "none", "haar"),
    Case(("red", "low_pass"), (2, 4, 5), "variance", "fourier", mixed=True),
    Case(("red", "blue"), (2, 6), "snr", "cosine", mixed=True),
    Case(("low_pass",), (2, 3, 4), "variance", "fourier", mixed=True),
]
CASES = [c for c in CASES if max(raw_weights(name, c.kind, c.shape[1:]).max() for name in c.names) > 0]


@dataclass(frozen=True)
class Custom(Spectrum):
    """Weights from any function; of no registered kind."""

    function: Callable[[torch.Tensor], torch.Tensor]

    def weights(self, frequencies):
        return self.function(frequencies)

    def __str__(self):
        return "custom"


class TestSpectralCovariance(CovarianceContract):
    @pytest.fixture(params=CASES, ids=str, autouse=True)
    def case(self, request):
        self.case = request.param

    def covariance(self):
        return self.case.covariance()

    def matrix(self):
        return dense(self.case)


class TestIsotropicCovariance(CovarianceContract):
    @pytest.fixture(params=product([(1, 5), (2, 3, 4)], [1.0, 2.5]), ids=str, autouse=True)
    def case(self, request):
        self.shape, self.variance = request.param

    def covariance(self):
        return IsotropicCovariance(self.shape, self.variance)

    def matrix(self):
        return self.variance * torch.eye(math.prod(self.shape), dtype=torch.float64)


FACTOR = torch.randn(6, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
WELL_CONDITIONED = FACTOR @ FACTOR.T + torch.eye(6, dtype=torch.float64)


class TestDenseCovariance(CovarianceContract):
    """Neither stationary nor, with 3 of 6 dimensions, of full rank."""

    rebuilds = False

    @pytest.fixture(params=[6, 3], ids=["full", "singular"], autouse=True)
    def case(self, request):
        self.dense = FACTOR[:, : request.param] @ FACTOR[:, : request.param].T

    def covariance(self):
        return DenseCovariance(self.dense, (1, 2, 3))

    def matrix(self):
        return self.dense


def amplitudes(shape: tuple[int, ...], zeros: int = 0) -> torch.Tensor:
    """Values in [0.2, 2.2] without any pattern, every third of them zero if asked for."""
    index = torch.arange(math.prod(shape), dtype=torch.float64)
    m = 0.2 + (7 * index % 11) / 5
    if zeros:
        m[::zeros] = 0
    return m.reshape(shape)


RED = Case(("red",), (2, 3, 4))
HALF = torch.tensor([0.5, 2.0, 2.0, 0.5], dtype=torch.float64)

# Region, inner covariance, amplitude by hand, inner matrix.
MODULATED = {
    "box": (Box((0.25,), (0.75,), 2.0, 0.5), Case(("blue",), (1, 4)), HALF),
    "stationary": (Table(amplitudes((3, 4))), RED, amplitudes((3, 4))),
    "per-channel": (Table(amplitudes((2, 5))), Case(("red", "blue"), (2, 5)), amplitudes((2, 5))),
    "mixed": (Table(amplitudes((2, 3, 2))), Case(("red", "raw"), (2, 3, 2), mixed=True), amplitudes((2, 3, 2))),
    "cosine": (Table(amplitudes((2, 3))), Case(("red",), (1, 2, 3), "snr", "cosine"), amplitudes((2, 3))),
    "volume": (Table(amplitudes((2, 2, 3))), Case(("overlap",), (1, 2, 2, 3), "none"), amplitudes((2, 2, 3))),
    "white": (Table(amplitudes((2, 4))), 2.5, amplitudes((2, 4))),
    "white with zeros": (Table(amplitudes((2, 2, 3), 3)), 2.5, amplitudes((2, 2, 3), 3)),
    "flat with zeros": (Table(amplitudes((2, 4), 3)), Case(("flat",), (1, 2, 4)), amplitudes((2, 4), 3)),
    "white in a box": (Box((0.25,), (0.75,)), 1.0, torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64)),
}


class TestModulatedCovariance(CovarianceContract):
    symmetric_root = False

    @pytest.fixture(params=MODULATED, autouse=True)
    def case(self, request):
        self.region, inner, m = MODULATED[request.param]
        if isinstance(inner, Case):
            self.inner, self.inner_matrix = inner.covariance(), dense(inner)
        else:
            shape = m.shape if m.ndim == 3 else (1, *m.shape)
            self.inner = IsotropicCovariance(shape, inner)
            self.inner_matrix = inner * torch.eye(m.numel(), dtype=torch.float64)
        self.m = m.expand(self.inner.shape).flatten()

    def covariance(self):
        return ModulatedCovariance(self.region, self.inner)

    def matrix(self):
        return self.m[:, None] * self.inner_matrix * self.m


class TestCovarianceModulatedTwice(CovarianceContract):
    """A factor of the inner covariance need not be symmetric either."""

    symmetric_root = False

    def covariance(self):
        return ModulatedCovariance(Uniform(0.5), ModulatedCovariance(Table(amplitudes((3, 4))), RED.covariance()))

    def matrix(self):
        m = amplitudes((3, 4)).expand(2, 3, 4).flatten() / 2
        return m[:, None] * dense(RED) * m


class TestModulatedDenseCovariance(CovarianceContract):
    """Neither stationary nor described in full."""

    symmetric_root = False
    rebuilds = False

    def covariance(self):
        return ModulatedCovariance(Table(amplitudes((2, 3))), DenseCovariance(WELL_CONDITIONED, (1, 2, 3)))

    def matrix(self):
        m = amplitudes((6,))
        return m[:, None] * (WELL_CONDITIONED) * m


class TestColouredNoiseInARegion(CovarianceContract):
    """No noise at all outside: inverses would need those of a block of the inner covariance."""

    symmetric_root = False
    refused = ("whiten", "solve", "mahalanobis", "logdet")

    @pytest.fixture(params=[Case(("red",), (2, 3, 4)), Case(("red",), (1, 2, 3), kind="cosine")], ids=str, autouse=True)
    def case(self, request):
        self.case = request.param
        self.m = amplitudes(self.case.shape[1:], 3)

    def covariance(self):
        return ModulatedCovariance(Table(self.m), self.case.covariance())

    def matrix(self):
        m = self.m.expand(self.case.shape).flatten()
        return m[:, None] * dense(self.case) * m


def test_a_region_says_what_would_make_its_noise_invertible():
    covariance, x = ModulatedCovariance(Ball(0.25), RED.covariance()), torch.zeros(2, 3, 4)
    reason = r"carry no noise needs white noise inside the region; use a flat spectrum, or a positive amplitude outside"
    for operation in (covariance.whiten, covariance.solve, covariance.mahalanobis):
        with pytest.raises(SingularCovarianceError, match=reason):
            operation(x, pseudo=True)
    with pytest.raises(SingularCovarianceError, match="log-determinant where .* of 24 values " + reason):
        covariance.logdet(pseudo=True)


# Class labels


MEMBERS = (
    (IsotropicCovariance((2, 3, 4), 2.0), 2.0 * torch.eye(24, dtype=torch.float64)),
    (RED.covariance(), RED.matrix()),
    (Case(("low_pass",), (2, 3, 4)).covariance(), Case(("low_pass",), (2, 3, 4)).matrix()),
    (
        ModulatedCovariance(Table(amplitudes((3, 4))), RED.covariance()),
        torch.outer(*[amplitudes((3, 4)).expand(2, 3, 4).flatten()] * 2) * RED.matrix(),
    ),
)
LABELS = torch.tensor([3, 0, 2, 0, 1, 3])
OPERATIONS = ("sqrt", "apply", "whiten", "solve", "project")


def by_class() -> ClassCovariance:
    return ClassCovariance([member for member, _ in MEMBERS])


def operate(covariance: Covariance, name: str, x: torch.Tensor) -> torch.Tensor:
    operation = getattr(covariance, name)
    return operation(x, pseudo=True) if name in ("whiten", "solve") else operation(x)


def fields(*batch: int) -> torch.Tensor:
    return torch.randn(*batch, 2, 3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("labels", [LABELS, LABELS[:1], torch.tensor([1, 1, 1]), LABELS.to(torch.uint8)], ids=str)
def test_each_sample_has_the_covariance_of_its_class(name, labels):
    """Members pass the contract; with one sample to a call there is no way to confuse them."""
    covariance = by_class().given(labels)
    for batch in ((), (3,), (2, 3)):
        x = fields(len(labels), *batch)
        before = x.clone()
        alone = [operate(MEMBERS[int(label)][0], name, x[i : i + 1]) for i, label in enumerate(labels)]
        torch.testing.assert_close(operate(covariance, name, x), torch.cat(alone), rtol=0, atol=1e-12)
        assert torch.equal(x, before)
    x = fields(len(labels))
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        alone = [operate(MEMBERS[int(label)][0], name, x[i : i + 1].to(dtype)) for i, label in enumerate(labels)]
        torch.testing.assert_close(operate(covariance, name, x.to(dtype)), torch.cat(alone), rtol=0, atol=2e-6)
    assert operate(covariance, name, x.to("meta")).device.type == "meta"
    torch.autograd.gradcheck(lambda y: operate(covariance, name, y), x.requires_grad_(), fast_mode=True)


def test_labelled_samples_match_their_matrices():
    covariance = by_class().given(LABELS)
    dense = torch.stack([MEMBERS[label][1] for label in LABELS.tolist()])
    torch.testing.assert_close(covariance.to_dense(), dense, rtol=0, atol=1e-11)
    x = fields(6)
    expected = torch.einsum("bij,bj->bi", dense, x.flatten(1)).reshape(x.shape)
    torch.testing.assert_close(covariance.apply(x), expected, rtol=0, atol=1e-10)
    inverse = torch.linalg.pinv(dense, rtol=1e-10, hermitian=True)
    norms = torch.einsum("bi,bij,bj->b", x.flatten(1), inverse, x.flatten(1))
    torch.testing.assert_close(covariance.mahalanobis(x, pseudo=True), norms, rtol=1e-9, atol=0)
    values = torch.linalg.eigvalsh(dense)
    inside = values > 1e-10
    logs = torch.where(inside, values, 1.0).log().sum(1)
    torch.testing.assert_close(covariance.logdet(pseudo=True), logs, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(covariance.trace, values.sum(1), rtol=1e-9, atol=0)
    assert torch.equal(covariance.rank, inside.sum(1))
    assert covariance.is_singular
    assert not by_class().given(torch.tensor([0, 1, 3])).is_singular
    with pytest.raises(SingularCovarianceError, match="pseudo=True"):
        covariance.logdet()
    with pytest.raises(SingularCovarianceError, match="pseudo=True"):
        covariance.whiten(x)


def test_labelled_samples_are_drawn_with_the_root_of_their_class():
    """Hence Gaussian with its covariance, as the contract shows for each; white draws do not depend on the labels."""
    covariance = by_class().given(LABELS)
    white = torch.randn(6, 2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    eps = covariance.sample(6, torch.Generator().manual_seed(0), torch.float64)
    torch.testing.assert_close(eps, covariance.sqrt(white), rtol=0, atol=0)
    torch.testing.assert_close(covariance.project(eps), eps, rtol=0, atol=1e-12)
    whole = covariance.sample(6, sample_generators(1, 6))
    for part in (slice(0, 2), slice(2, 6)):
        split = by_class().given(LABELS[part]).sample(part.stop - part.start, sample_generators(1, 6)[part])
        torch.testing.assert_close(split, whole[part], rtol=0, atol=1e-6)
    assert covariance.sample((6, 2), dtype=torch.bfloat16).dtype == torch.bfloat16


def test_power_of_labelled_samples():
    basis = FourierBasis((3, 4))
    covariance = by_class()
    each = torch.stack([member.mean_power(basis) for member, _ in MEMBERS])
    torch.testing.assert_close(covariance.mean_power(basis), each.mean(0))
    assert torch.equal(covariance.given(LABELS).mean_power(basis), each[LABELS])
    assert torch.equal(covariance.given(torch.tensor([2, 0])).power_spectrum(basis), each[[2, 0]])
    with pytest.raises(InputError, match="not known to be diagonal"):
        covariance.given(LABELS).power_spectrum(basis)


def test_noise_by_class_acts_on_nothing_without_labels():
    covariance, x = by_class(), fields(2)
    refused = [
        *(lambda name=name: operate(covariance, name, x) for name in OPERATIONS),
        *(lambda name=name: getattr(covariance, name) for name in ("rank", "trace")),
        covariance.logdet,
        covariance.to_dense,
        lambda: covariance.mahalanobis(x),
        lambda: covariance.sample(2),
        lambda: covariance.power_spectrum(FourierBasis((3, 4))),
    ]
    for operation in refused:
        with pytest.raises(InputError, match=r"depends on the class; call given\(labels\) first"):
            operation()
    assert (covariance.size, covariance.shape, covariance.is_singular) == (24, (2, 3, 4), True)
    assert not ClassCovariance([MEMBERS[0][0]]).is_singular


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, r"give labels, integers in \[0, 4\)"),
        (torch.tensor([0, 4]), r"label 4 is of no class: labels must be in \[0, 4\)"),
        (torch.tensor([-1]), r"label -1 is of no class: labels must be in \[0, 4\)"),
        (torch.tensor([0.0]), r"must be integers \(B,\), got torch.float32 \(1,\)"),
        (torch.tensor([True]), "got torch.bool"),
        (torch.tensor(1), r"got torch.int64 \(\)"),
        (torch.tensor([[1]]), r"got torch.int64 \(1, 1\)"),
        (torch.zeros(0, dtype=torch.int64), r"got torch.int64 \(0,\)"),
    ],
    ids=str,
)
def test_bad_labels_are_refused(labels, message):
    with pytest.raises(InputError, match=message):
        by_class().given(labels)


def test_labels_must_be_one_per_sample():
    covariance = by_class().given(LABELS)
    for x in (fields(5), fields(), fields(1, 6)):
        with pytest.raises(InputError, match="needs 6 samples on its first axis, one per label"):
            covariance.apply(x)
    with pytest.raises(InputError, match="needs 6 samples"):
        covariance.sample(3)
    with pytest.raises(InputError, match="does not end in"):
        covariance.apply(torch.zeros(6, 2, 3, 5))


# Other bases


def assert_mean_power(covariance: Covariance, basis: Basis, U: torch.Tensor) -> None:
    """Compare `mean_power` with the diagonal of `U Sigma U*`, rows of `U` being those of all channels."""
    expected = torch.einsum("kx,xy,ky->k", U, covariance.to_dense().to(U.dtype), U.conj()).real
    actual = covariance.mean_power(basis)
    assert actual.dtype == torch.float64
    torch.testing.assert_close(actual, expected.reshape(2, *basis.coefficients), rtol=1e-9, atol=1e-12)


SEEN = [
    IsotropicCovariance((2, 4, 2), 3.0),
    Case(("red",), (2, 4, 2)).covariance(),
    Case(("red", "low_pass"), (2, 4, 2)).covariance(),
    Case(("red", "low_pass"), (2, 4, 2), mixed=True).covariance(),
    Case(("red",), (2, 4, 2), "variance", "cosine").covariance(),
    ModulatedCovariance(Table(amplitudes((2, 4, 2), 3)), Case(("red", "raw"), (2, 4, 2), mixed=True).covariance()),
    ModulatedCovariance(Table(amplitudes((4, 2))), Case(("red",), (2, 4, 2), "variance", "haar").covariance()),
    DenseCovariance(torch.diag(amplitudes((16,))), (2, 4, 2)),
]


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("kind", ["fourier", "cosine", "haar"])
@pytest.mark.parametrize("covariance", SEEN, ids=lambda c: type(c).__name__)
def test_mean_power_is_exact_in_any_basis(covariance, kind, mixed, monkeypatch):
    basis = make_basis(kind, (4, 2))
    rows = transform(kind, (4, 2)).reshape(4, 2, 8)[:, : basis.coefficients[-1]].flatten(0, 1)
    A = torch.tensor(MIX if mixed else [[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64).to(rows.dtype)
    seen_in = ChannelBasis((4, 2), basis, MIX) if mixed else basis
    assert_mean_power(covariance, seen_in, torch.kron(A, rows))
    # In chunks that do not divide the number of fields.
    monkeypatch.setattr("sagd.noise.covariance.base.CHUNK", 16 * 5)
    assert_mean_power(covariance, seen_in, torch.kron(A, rows))


def test_known_powers_need_no_sweep(monkeypatch):
    """Large fields: closed forms are used where there are any."""
    monkeypatch.setattr(Covariance, "_unit_fields", lambda self: pytest.fail("swept over all unit fields"))
    spatial = (64, 64)
    red = SpectralCovariance(PowerLaw(-0.5), (3, *spatial))
    mixed = ChannelBasis(spatial, FourierBasis(spatial), torch.linalg.qr(FACTOR[:3, :3])[0])
    own = SpectralCovariance(PerChannel((PowerLaw(-0.5), Flat(), BandPass(0, 0.5, outside=0.1))), (3, *spatial), mixed)
    for inner, basis in product((red, own), (mixed, FourierBasis(spatial))):
        modulated = ModulatedCovariance(Ball(0.3, outside=0.1), inner)
        for covariance in (inner, modulated):
            power = covariance.mean_power(basis)
            # Parseval: the powers of all degrees of freedom add up to the trace.
            assert float((power * basis.multiplicity()).sum()) == pytest.approx(covariance.trace, rel=1e-10)


def test_bases_in_which_it_is_diagonal():
    red = Case(("red",), (2, 4, 5)).covariance()
    fourier = FourierBasis((4, 5))
    mixed = ChannelBasis((4, 5), fourier, MIX)
    assert torch.equal(red.power_spectrum(mixed), red.eigenvalues)
    own = Case(("red", "blue"), (2, 4, 5)).covariance()
    assert own.power_spectrum(fourier).shape == (2, 4, 3)
    for covariance, basis in ((own, mixed), (red, CosineBasis((4, 5))), (replace_basis(own, mixed), fourier)):
        with pytest.raises(InputError, match="not known to be diagonal"):
            covariance.power_spectrum(basis)


def replace_basis(covariance: SpectralCovariance, basis: Basis) -> SpectralCovariance:
    return SpectralCovariance(covariance.spectrum, covariance.shape, basis, covariance.calibration)


@pytest.mark.parametrize(
    "spectrum",
    [Notch(((0.25, 0.125),), 0.1), Oriented(45, 30), PerChannel((Flat(), Notch(((0.25, -0.125),), 0.1)))],
    ids=lambda s: s.kind,
)
@pytest.mark.parametrize("kind", ["cosine", "haar"])
def test_mirrored_bases_cannot_tell_mirror_images(spectrum, kind):
    spatial = (8, 8)
    assert SpectralCovariance(spectrum, (2, *spatial)).trace == pytest.approx(128)
    for basis in (make_basis(kind, spatial), ChannelBasis(spatial, make_basis(kind, spatial), MIX)):
        with pytest.raises(
            InputError, match=r"differ between a frequency and its mirror image by up to .*; use the Four"
        ):
            SpectralCovariance(spectrum, (2, *spatial), basis)


@pytest.mark.parametrize(
    "spectrum",
    [
        Notch(((0.25, 0.125), (0.25, -0.125))),
        Notch(((0.25, 0.0),)),
        Oriented(0, 40),
        Oriented(90, 40),
        AxisPowerLaw((0.2, -0.3)),
        Tabulated(amplitudes((8, 8))),
    ],
    ids=str,
)
def test_symmetric_spectra_fit_mirrored_bases(spectrum):
    for basis in (CosineBasis((8, 8)), WaveletBasis((8, 8), levels=1)):
        assert SpectralCovariance(spectrum, (1, 8, 8), basis).trace == pytest.approx(64)


@pytest.mark.parametrize("kind", ["zonal", "cosine"])
def test_mixed_bases_tell_only_periodic_directions(kind):
    """Of latitude, longitude and level, waves eastwards are told from waves westwards only against another period."""
    spatial = (6, 4, 8)
    basis = MixedBasis(spatial, (1, 2)) if kind == "zonal" else CosineBasis(spatial)
    tilted = Notch(((0.0, 0.25, 0.125),), 0.1)
    if kind == "zonal":
        assert SpectralCovariance(tilted, (1, *spatial), basis).trace == pytest.approx(192)
    else:
        with pytest.raises(InputError, match="differ between a frequency and its mirror image"):
            SpectralCovariance(tilted, (1, *spatial), basis)
    for at in ((0.25, 0.25, 0.0), (0.25, 0.0, 0.125)):
        with pytest.raises(InputError, match="mirror image"):
            SpectralCovariance(Notch((at,), 0.1), (1, *spatial), basis)


@pytest.mark.parametrize("spectrum", [PowerLaw(-0.6), BandPass(0.0, 0.4)], ids=str)
def test_noise_on_a_globe(spectrum):
    """Stationary eastwards, mirrored at the poles: the covariance of two places by the method of images.

    On a grid of twice the latitudes that is periodic, the noise of radius alone is stationary with autocovariance `r`;
    folded at the poles, `Cov[x(i, a), x(j, b)] = r(i - j, a - b) + r(i + j + 1, a - b)`, with `r` of white noise of
    half the power there.
    """
    rows, columns = 3, 5
    covariance = SpectralCovariance(spectrum, (1, rows, columns), MixedBasis((rows, columns), (1,)), "none")
    frequencies = signed_frequencies((2 * rows, columns))
    r = torch.fft.ifft2(spectrum.weights(frequencies).square().to(torch.complex128)).real
    i, j = torch.arange(rows)[:, None, None, None], torch.arange(rows)[None, None, :, None]
    east = (torch.arange(columns)[None, :, None, None] - torch.arange(columns)) % columns
    expected = r[(i - j) % (2 * rows), east] + r[(i + j + 1) % (2 * rows), east]
    size = rows * columns
    torch.testing.assert_close(covariance.to_dense(), expected.reshape(size, size), rtol=0, atol=1e-12)


# Calibration


def test_mean_log_snr_is_that_of_white_noise_whatever_the_data():
    """Over the frequencies that carry noise; measured with data spectra that no calibration has seen."""
    shape = (2, 6, 7)
    for spectrum in (PowerLaw(-0.8), PerChannel((BandPass(0, 0.5), PowerLaw(0.4))), Flat() * BandPass(0.2, 0.9)):
        covariance = SpectralCovariance(spectrum, shape, calibration="snr")
        noise = covariance.mean_power(covariance.basis)
        count = covariance.basis.multiplicity() * (noise > 0)
        for seed in (0, 1):
            S = torch.rand(noise.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.01
            log_snr = torch.where(noise > 0, S / noise, 1.0).log()
            white = torch.where(noise > 0, S, 1.0).log()
            assert float((count * log_snr).sum()) == pytest.approx(float((count * white).sum()), abs=1e-10)
        raw = SpectralCovariance(spectrum, shape, calibration="none").weights
        ratio = (covariance.weights / raw)[raw > 0]
        assert float(ratio.max() - ratio.min()) < 1e-12 * float(ratio.max())  # one factor for all channels


# MATH.md section 2, rules of exactness


def test_linspace_frequencies_give_another_covariance():
    """Rule 1: a grid from linspace(-.5, .5) has no DC, is not Hermitian, and colours the noise differently."""
    side = 8
    published = PowerLaw(-0.5).weights(torch.linspace(-0.5, 0.5, side, dtype=torch.float64)[None])
    # Read in FFT order after the usual shift, w(k) and w(-k) differ: the filtered noise is not even real.
    shifted = torch.fft.ifftshift(published)
    assert not torch.allclose(shifted[1:], shifted[1:].flip(0))
    filtered = torch.fft.ifft(torch.fft.fft(torch.randn(side, dtype=torch.float64)) * shifted)
    assert filtered.imag.abs().max() > 1e-3
    # Its real part is noise of another covariance than fftfreq's.
    even = (shifted.square() + shifted.roll(-1).flip(0).square()) / 2
    ours = SpectralCovariance(PowerLaw(-0.5), (1, side)).to_dense()
    assert (stationary_matrix(even / even.mean(), (1, side)) - ours).abs().max() > 0.05


def test_weights_without_hermitian_symmetry_are_refused():
    with pytest.raises(InputError, match=r"weights differ between f and -f by up to 0\.5"):
        SpectralCovariance(Custom(lambda f: 1 + f[0]), (1, 4, 4))


@pytest.mark.parametrize("scale", [1e-200, 1e-13, 1, 1e13, 1e200])
def test_asymmetry_is_judged_and_level_calibrated_at_any_scale(scale):
    even, tilted = Custom(lambda f: scale * (1 + f[0].abs())), Custom(lambda f: scale * (1 + f[0]))
    assert SpectralCovariance(even, (1, 5, 4)).trace == pytest.approx(20, rel=1e-12)
    assert SpectralCovariance(even, (1, 5, 4), calibration="snr").logdet() == pytest.approx(0, abs=1e-9)
    with pytest.raises(InputError, match="differ between f and -f"):
        SpectralCovariance(tilted, (1, 5, 4))


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 31, 33), (2, 1000), (1, 9, 10, 11)])
@pytest.mark.parametrize("name", ["red", "blue", "lifted_band", "low_pass"])
def test_calibrated_trace_is_the_dimension(name, shape):
    """Rules 2 and 3, at sizes where a wrong multiplicity of one column is far below any statistical test."""
    covariance = SpectralCovariance(ORACLES[name][0], shape)
    assert covariance.trace == pytest.approx(math.prod(shape), rel=1e-13)


def test_equal_bands_are_white_noise():
    """Rule 4, exactly."""
    covariance = SpectralCovariance(TwoBand(0.3, 0, 0.5, 0.3, 0.5, 1), (1, 8, 9))
    assert torch.equal(covariance.eigenvalues, torch.ones(8, 5, dtype=torch.float64))
    x = torch.randn(2, 1, 8, 9, dtype=torch.float64)
    torch.testing.assert_close(covariance.sqrt(x), x, rtol=0, atol=1e-14)


def test_bands_that_share_an_edge_split_the_noise():
    """Rule 4: low- and high-pass projections add up to the identity and are orthogonal."""
    low, high = (SpectralCovariance(BandPass(*edges), (1, 10, 10)) for edges in ((0, 0.4), (0.4, 1)))
    x = torch.randn(3, 1, 10, 10, dtype=torch.float64)
    torch.testing.assert_close(low.project(x) + high.project(x), x, rtol=0, atol=1e-13)
    torch.testing.assert_close(low.project(high.project(x)), torch.zeros_like(x), rtol=0, atol=1e-13)
    assert low.rank + high.rank == 100


@pytest.mark.parametrize("alpha", [-1.0, -0.4, 0.5])
@pytest.mark.parametrize("shape", [(2, 4096), (1, 64, 48), (1, 16, 18, 20)])
def test_log_psd_of_the_noise_has_slope_two_alpha(alpha, shape):
    """Rule 5, exactly from the eigenvalues and measured on samples with an FFT of our own.

    Each log-periodogram ordinate of Gaussian noise has variance pi^2/6, so the least-squares slope over the half
    spectrum is a z-test: level 1e-6, 8 samples per case, fixed seed.
    """
    covariance = SpectralCovariance(PowerLaw(alpha), shape)
    radius = covariance.basis.radius()
    off_line = (covariance.eigenvalues.log() - 2 * alpha * radius.log())[radius > 0]
    assert off_line.max() - off_line.min() < 1e-12

    spatial, axes = shape[1:], tuple(range(-len(shape) + 1, 0))
    eps = covariance.sample(8, torch.Generator().manual_seed(7), torch.float64).numpy()
    periodogram = np.abs(np.fft.fftn(eps, axes=axes, norm="ortho")) ** 2
    r = np.sqrt(sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(n) for n in spatial], indexing="ij")))
    # One of each pair f, -f, and none of the self-conjugate ones: independent exponential ordinates.
    rank_of = np.arange(r.size).reshape(spatial)
    mirror = np.roll(np.flip(rank_of), 1, axis=tuple(range(len(spatial))))
    half = rank_of < mirror
    centred = np.log(r[half]) - np.log(r[half]).mean()
    ordinates = np.log(periodogram[..., half]).reshape(-1, half.sum())
    slope = float((ordinates @ centred).mean() / (centred @ centred))
    std = math.pi / math.sqrt(6 * len(ordinates) * (centred @ centred))
    assert abs(slope - 2 * alpha) < 4.9 * std
    assert std < 0.03


def test_noise_is_not_normalised_sample_by_sample():
    """Rule 3: norms vary as a Gaussian's do, `Var ||eps||^2 = 2 tr Sigma^2`; 4000 draws, fixed seed, level 1e-6."""
    covariance = SpectralCovariance(PowerLaw(-0.8), (1, 8, 8))
    norms = covariance.sample(4000, torch.Generator().manual_seed(3), torch.float64).flatten(1).square().sum(1)
    moments = [float((covariance.basis.multiplicity() * covariance.eigenvalues**k).sum()) for k in (1, 2, 4)]
    assert abs(float(norms.mean()) - 64) < 4.9 * math.sqrt(2 * moments[1] / 4000)
    # Fourth cumulant of a sum of chi-squared variables: 48 tr Sigma^4.
    spread = math.sqrt((48 * moments[2] + 2 * (2 * moments[1]) ** 2) / 4000)
    assert abs(float(norms.var()) - 2 * moments[1]) < 4.9 * spread


def test_power_spectrum_is_what_samples_show():
    covariance = SpectralCovariance(PowerLaw(-0.5), (2, 6, 5))
    basis = FourierBasis((6, 5))
    assert torch.equal(covariance.power_spectrum(basis), covariance.eigenvalues)
    assert torch.equal(IsotropicCovariance((2, 6, 5), 3.0).power_spectrum(basis), torch.full((6, 3), 3.0).double())
    with pytest.raises(InputError, match="not known to be diagonal"):
        covariance.power_spectrum(FourierBasis((5, 6)))
    with pytest.raises(InputError, match="not known to be diagonal"):
        DenseCovariance(torch.eye(60), (2, 6, 5)).power_spectrum(basis)


# Bad input


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.tensor([1.0, -0.25, 1.0]), r"reach -0\.25; they must not be negative"),
        (torch.tensor([1.0, math.nan, 1.0]), "hold NaN or infinity"),
        (torch.tensor([1.0, math.inf, 1.0]), "hold NaN or infinity"),
        (torch.zeros(3), r"are zero at every frequency of \(4,\)"),
        (torch.ones(4), r"have shape \(4,\), the basis needs \(3,\)"),
        (torch.ones(1, 1, 3), r"have shape \(1, 1, 3\), the basis needs \(3,\)"),
    ],
)
def test_bad_weights_are_refused(values, message):
    with pytest.raises(InputError, match="weights of custom " + message):
        check_weights(values, FourierBasis((4,)), "custom")
    with pytest.raises(InputError, match="weights of custom " + message):
        SpectralCovariance(Custom(lambda f: values), (1, 4))


def test_the_number_of_spectra_is_that_of_the_channels():
    two = PerChannel((Flat(), PowerLaw(-0.5)))
    with pytest.raises(InputError, match=r"per_channel.* has 2 spectra, the data has 3 channels; give one each"):
        SpectralCovariance(two, (3, 8))
    with pytest.raises(InputError, match=r"tabulated.* has 1 spectra, the data has 2 channels"):
        SpectralCovariance(Tabulated(torch.ones(1, 5)), (2, 8))
    with pytest.raises(InputError, match="basis mixes 2 channels, the data has 3"):
        SpectralCovariance(Flat(), (3, 8), ChannelBasis((8,), FourierBasis((8,)), MIX))


def test_an_empty_band_is_refused():
    with pytest.raises(InputError, match=r"band_pass\(low=0\.9\) are zero at every frequency of \(1, 8\)"):
        SpectralCovariance(BandPass(low=0.9), (1, 1, 8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpectralCovariance(Flat(), (8,)), r"must be \(channels, \*spatial\) .* got \(8,\)"),
        (lambda: SpectralCovariance(Flat(), (1, 0)), r"positive sides, got \(1, 0\)"),
        (
            lambda: SpectralCovariance(Flat(), (1, 4), FourierBasis((5,))),
            r"shape \(5,\), covariance for \(4,\)",
        ),
        (
            lambda: SpectralCovariance(Flat(), (1, 4), calibration="std"),  # type: ignore[arg-type]
            "'variance', 'snr' or 'none', got 'std'",
        ),
        (lambda: IsotropicCovariance((1, 4), 0.0), "variance must be positive, got 0.0"),
        (lambda: IsotropicCovariance((1, 4), math.nan), "variance must be positive, got nan"),
        (lambda: DenseCovariance(torch.eye(3), (1, 4)), r"must be \(4, 4\) for shape \(1, 4\), got \(3, 3\)"),
        (lambda: DenseCovariance(torch.ones(2, 2).triu(), (1, 2)), "finite and symmetric"),
        (lambda: DenseCovariance(torch.full((2, 2), math.nan), (1, 2)), "finite and symmetric"),
        (lambda: DenseCovariance(torch.diag(torch.tensor([1.0, -0.5])), (1, 2)), "smallest eigenvalue is -0.5"),
        (lambda: DenseCovariance(torch.zeros(2, 2), (1, 2)), "positive semi-definite"),
        (
            lambda: ModulatedCovariance(Uniform(), SpectralCovariance(BandPass(0, 0.5), (1, 8))),
            r"full rank, got rank 3 of 8: no exact projection exists for others; use a spectrum with positive weights",
        ),
        (lambda: ModulatedCovariance(Uniform(), by_class()), "modulate that of each class"),
        (
            lambda: ModulatedCovariance(Table(torch.ones(3, 4)), IsotropicCovariance((2, 4))),
            "the region has 3 channels, the data has 2; give one each",
        ),
        (lambda: ModulatedCovariance(Table(torch.ones(5)), IsotropicCovariance((1, 4))), r"shape \(5,\)"),
        (lambda: ClassCovariance([]), "at least one class, got none"),
        (lambda: ClassCovariance([by_class()]), "covariance of class 0 depends on the class itself"),
        (
            lambda: ClassCovariance([IsotropicCovariance((1, 4)), IsotropicCovariance((1, 5))]),
            r"covariances of class 0 and 1 have shapes \(1, 4\) and \(1, 5\)",
        ),
    ],
)
def test_bad_covariances_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_generators_need_a_batch_axis():
    with pytest.raises(InputError, match="got 3 generators and no batch axis"):
        IsotropicCovariance((3, 4)).sample((), sample_generators(0, 3))


def test_singular_error_is_an_input_error():
    with pytest.raises(InputError, match="solving of a singular covariance: 11 of 16 dimensions are empty"):
        SpectralCovariance(BandPass(0, 0.4), (1, 4, 4)).solve(torch.zeros(1, 4, 4))
    assert issubclass(SingularCovarianceError, InputError)


# Identity


def test_white_noise_takes_the_route_without_transform():
    assert build_covariance(Flat(), (3, 4)) == IsotropicCovariance((3, 4))
    assert build_covariance(Flat(), (3, 4), "snr", CosineBasis((4,))) == IsotropicCovariance((3, 4))
    assert build_covariance(PowerLaw(-0.1), (3, 4), "none") == SpectralCovariance(
        PowerLaw(-0.1), (3, 4), calibration="none"
    )
    with pytest.raises(InputError, match=r"basis is for spatial shape \(5,\), covariance for \(4,\)"):
        build_covariance(Flat(), (3, 4), basis=CosineBasis((5,)))


def test_covariances_are_built_from_their_parts():
    red, box, cosine = PowerLaw(-0.1), Box((0.25,), (0.75,), outside=0.5), CosineBasis((4,))
    spectral = SpectralCovariance(red, (3, 4), cosine, "snr")
    assert build_covariance(red, (3, 4), "snr", cosine) == spectral
    assert build_covariance(red, (3, 4), "snr", cosine, box) == ModulatedCovariance(box, spectral)
    assert build_covariance(Flat(), (3, 4), region=box) == ModulatedCovariance(box, IsotropicCovariance((3, 4)))
    spectrum = ClassConditional({"cat": red}, default=Flat())
    for region in (None, box):
        members = [build_covariance(member, (3, 4), "snr", cosine, region) for member in (Flat(), red, Flat())]
        by_name = build_covariance(spectrum, (3, 4), "snr", cosine, region, classes=["dog", "cat", "fox"])
        assert by_name == ClassCovariance(members)
    with pytest.raises(InputError, match=r"by_class.* depends on the class: give the names of the classes"):
        build_covariance(spectrum, (3, 4))
    with pytest.raises(InputError, match="is no class"):
        build_covariance(spectrum, (3, 4), classes=["dog", "fox"])
    with pytest.raises(InputError, match=r"whitening.* depends on the data: give its statistics"):
        build_covariance(Whitening(0.5), (3, 4))


DESCRIBED = [
    ClassCovariance([member for member, _ in MEMBERS]),
    ModulatedCovariance(Ball(0.3, outside=0.2), Case(("red", "blue"), (2, 4, 4), "snr", "haar", True).covariance()),
    SpectralCovariance(Tabulated(amplitudes((2, 4, 4))), (2, 4, 4), CosineBasis((4, 4)), "none"),
]


@pytest.mark.parametrize("covariance", DESCRIBED, ids=lambda c: type(c).__name__)
def test_descriptions_rebuild_what_they_describe(covariance):
    rebuilt = Covariance.from_dict(json.loads(json.dumps(covariance.to_dict())))
    assert rebuilt == covariance
    assert rebuilt.fingerprint() == covariance.fingerprint()
    assert type(rebuilt) is type(covariance)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "spektral"}, "unknown covariance 'spektral'; did you mean 'spectral'"),
        ({"kind": None}, "unknown covariance None"),
        ({"kind": "labelled"}, "unknown covariance 'labelled'"),
        ({"spectrum": None}, "covariance 'spectral'"),
        ({"basis": "FourierBasis"}, "covariance 'spectral'"),
        ({"basis": {"kind": "fourier", "spatial": [5]}}, r"basis is for spatial shape \(5,\)"),
        ({"shape": 3}, r"shape must be \(channels, \*spatial\) with positive sides, got 3"),
        ({"extra": 1}, "unexpected keyword argument 'extra'"),
        ({"calibration": "std"}, "got 'std'"),
    ],
    ids=str,
)
def test_bad_descriptions_are_refused(changes, message):
    described = SpectralCovariance(PowerLaw(-0.5), (1, 4)).to_dict()
    with pytest.raises(InputError, match=message):
        Covariance.from_dict(described | changes)


def test_incomplete_descriptions_are_refused():
    described = SpectralCovariance(PowerLaw(-0.5), (1, 4)).to_dict()
    for name in ("spectrum", "basis", "shape"):
        with pytest.raises(InputError, match=f"'{name}'"):
            Covariance.from_dict({k: v for k, v in described.items() if k != name})
    with pytest.raises(InputError, match="described by a mapping with a kind, got 'flat'"):
        Covariance.from_dict("flat")  # type: ignore[arg-type]


def test_labelled_covariances_are_told_apart():
    one, same, other = (by_class().given(torch.tensor(labels)) for labels in ([0, 1], [0, 1], [1, 0]))
    assert isinstance(one, LabelledCovariance)
    assert one == same != other
    assert one.given(None) is one


def test_white_draws_are_common_to_all_covariances():
    """The same seed means the same `xi` whatever the colour, so that processes can be compared draw by draw."""
    shape = (2, 4, 6)
    white = IsotropicCovariance(shape).sample(3, sample_generators(1, 3), torch.float64)
    coloured = SpectralCovariance(PowerLaw(0.3), shape)
    torch.testing.assert_close(coloured.whiten(coloured.sample(3, sample_generators(1, 3), torch.float64)), white)


def test_fingerprints_tell_covariances_apart():
    shape = (1, 4, 4)
    different = [
        SpectralCovariance(PowerLaw(-0.5), shape),
        SpectralCovariance(PowerLaw(-0.4), shape),
        SpectralCovariance(PowerLaw(-0.5), shape, calibration="none"),
        SpectralCovariance(PowerLaw(-0.5), (2, 4, 4)),
        IsotropicCovariance(shape),
        DenseCovariance(torch.eye(16), shape),
        DenseCovariance(2 * torch.eye(16), shape),
        SpectralCovariance(PowerLaw(-0.5), shape, CosineBasis((4, 4))),
        SpectralCovariance(PowerLaw(-0.5), shape, calibration="snr"),
        ModulatedCovariance(Uniform(1.0), IsotropicCovariance(shape)),
        ClassCovariance([IsotropicCovariance(shape)]),
    ]
    assert len({c.fingerprint() for c in different}) == len(set(different)) == len(different)


def test_whole_and_fractional_parameters_are_the_same_covariance():
    """`alpha=1` and `alpha=1.0`, `-0.0` and `0.0` are equal, and so must their fingerprints be."""
    for a, b in ((1, 1.0), (-0.0, 0.0)):
        one, other = (SpectralCovariance(PowerLaw(alpha), (1, 4)) for alpha in (a, b))
        assert one == other
        assert one.fingerprint() == other.fingerprint()
        assert hash(one) == hash(other)


def test_weights_too_steep_for_rounding_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"power_law.* span a factor of .*e\+0\d, more than 1e\+06: .* milder spectrum"
    ):
        SpectralCovariance(PowerLaw(-1, epsilon=1e-10), (1, 8, 8))
    with pytest.raises(InputError, match=r"power_law alpha=300 leaves the range of numbers"):
        SpectralCovariance(PowerLaw(300), (1, 32, 32))


def test_steep_weights_are_filtered_in_double_precision() -> None:
    covariance = SpectralCovariance(PowerLaw(-0.5, epsilon=1e-10), (1, 8, 8))
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    exact = covariance.solve(x.double())
    torch.testing.assert_close(covariance.solve(x).double(), exact, rtol=1e-6, atol=1e-6 * float(exact.abs().max()))


def test_steep_regions_are_filtered_in_double_precision() -> None:
    m = torch.logspace(-4, 0, 16, dtype=torch.float64)
    covariance = ModulatedCovariance(Table(m), SpectralCovariance(PowerLaw(-0.5), (1, 16)))
    x = torch.randn(2, 1, 16, generator=torch.Generator().manual_seed(0))
    for operation in (covariance.apply, covariance.solve, covariance.whiten, covariance.sqrt):
        torch.testing.assert_close(operation(x), operation(x.double()).float(), rtol=1e-6, atol=0)


def test_what_is_kept_under_inference_mode_serves_in_training() -> None:
    covariance = ModulatedCovariance(Ball(0.3, outside=0.1), SpectralCovariance(PowerLaw(-0.5), (1, 8)))
    with torch.inference_mode():
        covariance.sample(2)
    x = torch.randn(2, 1, 8, requires_grad=True)
    covariance.sqrt(x).sum().backward()
    assert x.grad is not None


def test_the_foot_of_a_soft_edge_carries_no_noise() -> None:
    """Pixel 1 lies where the edge begins, but for rounding."""
    box = Box((0.25,), (1.0,), soft=0.125)
    assert 0 < float(box.amplitude((8,))[1]) < 1e-12
    covariance = ModulatedCovariance(box, IsotropicCovariance((1, 8)))
    assert covariance.rank == int((box.amplitude((8,)) > 1e-6).sum()) == 6
    assert torch.equal(covariance.project(torch.ones(1, 8))[0, :3], torch.tensor([0.0, 0.0, 1.0]))
