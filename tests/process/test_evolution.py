"""How signal and noise of each frequency evolve, against the formulas written out for a few frequencies."""

import copy
import json
import math
import pickle
from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.base import Flat
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.spectra.whitening import Whitening
from sagd.noise.statistics import measure
from sagd.process.evolution import Blurring, Common, Evolution, Frequencies, Interpolated, Sequential
from sagd.process.schedule import CosineSchedule, RectifiedSchedule, Schedule, VESchedule, VPSchedule

SCHEDULES = [VPSchedule(), CosineSchedule(), VESchedule(0.05, 5.0), RectifiedSchedule()]
EVOLUTIONS = [
    *(Common(), Blurring(), Blurring(3.0, 0.1)),
    *(Interpolated(), Interpolated("power_law(alpha=0.5)", 2.0), Interpolated("exponential_decay(beta=2) + flat")),
    *(Sequential(), Sequential("low", 0.2, 0.1), Sequential(width=1)),
]
TIMES = torch.tensor([0.0, 0.05, 0.3, 0.62, 0.97, 1.0], dtype=torch.float64)


def frequencies(spatial: tuple[int, ...] = (6, 5), channels: int = 2) -> Frequencies:
    """Weights that differ between frequencies, channels and the two ends."""
    basis = FourierBasis(spatial)
    near = torch.stack([(0.3 + basis.radius()) ** (c + 0.5) for c in range(channels)])
    return Frequencies(basis.frequencies(), near, 1.5 - near)


def coefficients(evolution: Evolution, schedule: Schedule, f: Frequencies, t: float) -> tuple[Tensor, Tensor]:
    return evolution.coefficients(torch.tensor(t, dtype=torch.float64), schedule, f)


@pytest.mark.parametrize("evolution", EVOLUTIONS, ids=str)
class TestEveryEvolution:
    def test_starts_at_data_and_ends_in_noise(self, evolution: Evolution) -> None:
        """`a_0 = 1` and `s_0 = 0` exactly; at `t = 1` noise is the schedule's, of the far weights."""
        f = frequencies()
        far = f.far if evolution.far_spectrum is not None else f.near
        for schedule in SCHEDULES:
            a, s = coefficients(evolution, schedule, f, 0.0)
            torch.testing.assert_close(a, torch.ones_like(f.near), rtol=0, atol=1e-15)
            assert (s == 0).all()
            a, s = coefficients(evolution, schedule, f, 1.0)
            torch.testing.assert_close(s, schedule.sigma(torch.ones(()).double()) * far, rtol=1e-9, atol=0)
            assert (a <= schedule.alpha(torch.ones(()).double()) + 1e-12).all()

    def test_one_time_per_sample(self, evolution: Evolution) -> None:
        """A batch axis of times gives a batch axis of coefficients, `(B, C, *coefficients)`."""
        f = frequencies()
        whole = evolution.coefficients(TIMES.reshape(-1, 1, 1, 1), VPSchedule(), f)
        for i, t in enumerate(TIMES.tolist()):
            for all_, one in zip(whole, coefficients(evolution, VPSchedule(), f, t), strict=True):
                assert all_.shape == (len(TIMES), 2, 6, 3)
                assert all_.dtype == torch.float64
                assert torch.equal(all_[i], one)

    def test_three_equal_forms(self, evolution: Evolution) -> None:
        """Object, mapping (also through JSON) and text are one and the same; copies are equal."""
        mapping = json.loads(json.dumps(evolution.to_dict()))
        assert mapping == evolution.to_dict()
        for other in (Evolution.from_dict(mapping), Evolution.parse(str(evolution)), Evolution.parse(mapping)):
            assert (type(other), other, hash(other)) == (type(evolution), evolution, hash(evolution))
        for other in (pickle.loads(pickle.dumps(evolution)), copy.deepcopy(evolution)):
            assert other == evolution
        with pytest.raises(FrozenInstanceError):
            evolution.kind = "other"  # type: ignore[misc]

    def test_needs_no_data(self, evolution: Evolution) -> None:
        """Nothing here is made from statistics: resolving changes nothing."""
        assert evolution.resolve(measure(torch.randn(4, 2, 6, 5))) == evolution


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_common_is_the_papers_process(schedule: Schedule) -> None:
    f = frequencies()
    for t in TIMES.tolist():
        a, s = coefficients(Common(), schedule, f, t)
        time = torch.tensor(t, dtype=torch.float64)
        torch.testing.assert_close(a, schedule.alpha(time).expand(2, 6, 3))
        torch.testing.assert_close(s, schedule.sigma(time) * f.near)


def test_blurring_by_hand() -> None:
    """`exp(-(2 pi |f|)^2 tau)`, in the cosine basis `2 pi f = pi k / N`; at `t = 1/2` the blur has half its width.

    `blur_max = 4`, `scale_min = 0.1`: at `t = 1/2`, `tau = (4 sin^2(pi/4))^2 / 2 = 2`; at `t = 1` it is 8.
    """
    basis = CosineBasis((3, 5))
    f = Frequencies(basis.frequencies(), torch.ones(1, 3, 5).double(), torch.ones(1, 3, 5).double())
    for t, tau in ((0.5, 2.0), (1.0, 8.0), (1 / 3, 0.5)):
        a, s = coefficients(Blurring(4.0, 0.1), VESchedule(), f, t)
        for i in range(3):
            for k in range(5):
                square = (math.pi * i / 3) ** 2 + (math.pi * k / 5) ** 2
                assert float(a[0, i, k]) == pytest.approx(0.9 * math.exp(-square * tau) + 0.1, rel=1e-12)
        assert (s == VESchedule().sigma(torch.tensor(t, dtype=torch.float64))).all()


def test_blurring_is_convolution_with_a_gaussian() -> None:
    """The meaning of `blur_max`: the standard deviation at `t = 1`, in samples. A delta in the middle of a long line
    becomes a Gaussian of that width, but for the share that is left."""
    basis = FourierBasis((201,))
    f = Frequencies(basis.frequencies(), torch.ones(1, 101).double(), torch.ones(1, 101).double())
    delta = torch.zeros(201, dtype=torch.float64)
    delta[100] = 1
    a, _ = coefficients(Blurring(5.0, 1e-9), VESchedule(), f, 1.0)
    x = torch.arange(201, dtype=torch.float64) - 100
    gaussian = torch.exp(-(x**2) / 50) / math.sqrt(50 * math.pi)
    torch.testing.assert_close(basis.inverse(a[0] * basis.forward(delta)), gaussian, rtol=0, atol=1e-8)


@pytest.mark.parametrize("power", [1.0, 0.5, 3.0])
def test_interpolated_weights(power: float) -> None:
    """`sigma_t` times a straight line from the near to the far weights in `t^power`; monotone in between."""
    f, schedule = frequencies(), CosineSchedule()
    weights = []
    for t in (1e-9, *TIMES[1:].tolist()):
        a, s = coefficients(Interpolated(power=power), schedule, f, t)
        time = torch.tensor(t, dtype=torch.float64)
        torch.testing.assert_close(a, schedule.alpha(time).expand(2, 6, 3))
        weights.append(s / schedule.sigma(time))
        torch.testing.assert_close(weights[-1], f.near + t**power * (f.far - f.near))
    assert ((weights[0] - f.near).abs() <= 1e-9**power * (f.far - f.near).abs() + 1e-15).all()
    torch.testing.assert_close(weights[-1], f.far)
    moves = torch.stack(weights).diff(dim=0) * (f.far - f.near).sign()
    assert (moves >= 0).all()


def test_interpolated_keeps_a_spectrum_that_needs_data() -> None:
    """`far` made from the data is resolved with the rest."""
    statistics = measure(torch.randn(9, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    evolution = Interpolated(Whitening(0.5), 2.0)
    assert evolution.far_spectrum.needs_data
    resolved = evolution.resolve(statistics)
    assert resolved == Interpolated(Whitening(0.5).resolve(statistics), 2.0)
    assert Evolution.from_dict(json.loads(json.dumps(resolved.to_dict()))) == resolved
    assert Evolution.parse(str(evolution)) == evolution


def test_far_spectra() -> None:
    assert Interpolated("power_law(alpha=0.5)").far_spectrum == PowerLaw(0.5)
    assert Interpolated().far_spectrum == Flat()
    assert Common().far_spectrum is Blurring().far_spectrum is Sequential().far_spectrum is None


@pytest.mark.parametrize("first", ["high", "low"])
@pytest.mark.parametrize("width", [0.05, 0.3, 0.5, 1.0])
def test_sequential_clock_by_hand(first: str, width: float) -> None:
    """`u = leak t + (1 - leak) h((t - start)/width)`, one frequency at a time, in plain numbers."""
    f, schedule, leak = frequencies(), VPSchedule(), 0.03
    evolution = Sequential(first, width, leak)  # type: ignore[arg-type]
    corner = math.hypot(0.5, 0.4)
    for t in TIMES.tolist():
        a, s = coefficients(evolution, schedule, f, t)
        for i in range(6):
            for k in range(3):
                radius = math.hypot((i if i <= 3 else i - 6) / 6, k / 5)
                place = radius / corner
                start = (1 - width) * (1 - place if first == "high" else place)
                v = min(max((t - start) / width, 0.0), 1.0)
                u = torch.tensor(min(leak * t + (1 - leak) * (3 * v**2 - 2 * v**3), 1.0), dtype=torch.float64)
                # The schedule's sigma falls steeply to 0 next to u = 0.
                assert a[0, i, k].item() == pytest.approx(schedule.alpha(u).item(), rel=1e-9)
                expected = schedule.sigma(u) * f.near[:, i, k]
                torch.testing.assert_close(s[:, i, k], expected, rtol=1e-6, atol=1e-12)


def drowned_time(evolution: Evolution, schedule: Schedule, f: Frequencies) -> Tensor:
    """First of many times at which noise exceeds a signal of unit power."""
    times = torch.linspace(0, 1, 2001, dtype=torch.float64)
    a, s = evolution.coefficients(times.reshape(-1, 1, 1, 1), schedule, f)
    return times[(s >= a).double().argmax(0)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_order_of_drowning(schedule: Schedule) -> None:
    """By `|f|`, the higher first or the lower first, whatever the schedule; without order at full width."""
    basis = FourierBasis((6, 5))
    white = Frequencies(basis.frequencies(), torch.ones(1, 6, 3).double(), torch.ones(1, 6, 3).double())
    radius, order = basis.radius().flatten().sort()
    distinct = radius.diff() > 1e-9
    for first, sign in (("high", -1), ("low", 1)):
        times = drowned_time(Sequential(first, 0.3), schedule, white).flatten()[order]  # type: ignore[arg-type]
        moves = sign * times.diff()
        assert (moves[distinct] > 0).all()
        assert (moves[~distinct] == 0).all()
        together = drowned_time(Sequential(first, 1.0), schedule, white)  # type: ignore[arg-type]
        assert together.min() == together.max()


def test_windows_of_time() -> None:
    """Before its window a frequency only leaks, after it is as noisy as it will be but for the leak; with windows of a
    tenth, the lowest and the highest frequencies never move at the same time."""
    f, leak, width = frequencies(), 0.02, 0.1
    evolution = Sequential("high", width, leak)
    u = torch.stack([evolution.coefficients(t, RectifiedSchedule(), f)[1] / f.near for t in TIMES.new_tensor(GRID)])
    time = TIMES.new_tensor(GRID).reshape(-1, 1, 1, 1)
    place = FourierBasis((6, 5)).radius() / math.hypot(0.5, 0.4)
    start = (1 - width) * (1 - place)
    before, after = (time <= start).expand_as(u), (time >= start + width).expand_as(u)
    torch.testing.assert_close(u[before], (leak * time).expand_as(u)[before], rtol=0, atol=1e-12)
    torch.testing.assert_close(u[after], (leak * time + 1 - leak).expand_as(u)[after], rtol=0, atol=1e-12)
    inside = ~before & ~after
    assert not (inside[:, :, 0, 0] & inside[:, :, 3, 2]).any()
    assert (u.diff(dim=0) > 0).all()


GRID = [i / 200 for i in range(201)]


def test_a_single_frequency_has_its_place() -> None:
    """A grid that holds nothing but DC: no order, and no division by zero."""
    f = Frequencies(torch.zeros(1, 1).double(), torch.ones(1, 1).double(), torch.ones(1, 1).double())
    for first in ("high", "low"):
        a, s = coefficients(Sequential(first), VPSchedule(), f, 0.7)  # type: ignore[arg-type]
        assert torch.isfinite(a).all()
        assert torch.isfinite(s).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blurring(blur_max=0)", r"blur_max must be positive \(in pixels\), got 0; e.g. 20"),
        ("blurring(blur_max=1e400)", "blurring blur_max must be a finite number"),
        ("blurring(scale_min='small')", "blurring scale_min must be a finite number, got 'small'"),
        ("interpolated(power=None)", "interpolated power must be a finite number"),
        ("sequential(width='wide')", "sequential width must be a finite number"),
        ("sequential(leak=True)", "sequential leak must be a finite number"),
        ("blurring(scale_min=0)", r"scale_min must lie in \(0, 1\), got 0; e.g. 0.001"),
        ("blurring(scale_min=1)", r"scale_min must lie in \(0, 1\), got 1"),
        ("interpolated(power=0)", "power must be positive, got 0; 1 is linear"),
        ("interpolated(power=-1)", "power must be positive, got -1"),
        ("interpolated(far='flatt')", "unknown spectrum 'flatt'; did you mean 'flat'"),
        ("sequential(first='middle')", "first must be 'high' or 'low', got 'middle'"),
        ("sequential(width=0.01)", r"width must lie in \[0.05, 1\], got 0.01; e.g. 0.5"),
        ("sequential(width=1.5)", r"width must lie in \[0.05, 1\], got 1.5"),
        ("sequential(leak=0)", r"leak must lie in \(0, 1\), got 0; e.g. 0.02"),
        ("sequential(leak=1)", r"leak must lie in \(0, 1\), got 1"),
        ("sequential(wdith=1)", "no parameter 'wdith'; did you mean 'width'"),
        ("blur", "unknown evolution 'blur'"),
        ("squential", "did you mean 'sequential'"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Evolution.parse(text)
