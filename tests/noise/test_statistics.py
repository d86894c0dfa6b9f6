import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import fft

from sagd.errors import InputError
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.basis.wavelet import WaveletBasis
from sagd.noise.covariance.spectral import SpectralCovariance
from sagd.noise.places import area_weights
from sagd.noise.spectra.power_law import PowerLaw
from sagd.noise.statistics import DataStatistics, channel_covariance, jumps, measure, moments, radial_profile


@pytest.mark.parametrize("shape", [(7,), (4, 6), (5, 4), (3, 4, 2)])
def test_measure_against_numpys_full_fft(shape):
    x = np.random.default_rng(0).normal(2.0, 3.0, (50, 2, *shape))
    axes = tuple(range(2, 2 + len(shape)))
    full = np.abs(np.fft.fftn(x - x.mean(0), axes=axes, norm="ortho")) ** 2
    statistics = measure(torch.from_numpy(x), batch_size=7)
    np.testing.assert_allclose(statistics.mean.numpy(), x.mean(0), atol=1e-12)
    half = full.sum(0)[..., : shape[-1] // 2 + 1] / 49
    np.testing.assert_allclose(statistics.spectrum.numpy(), half, rtol=1e-10)
    # Parseval: the mean of the spectrum over all d frequencies is the mean variance of a value.
    assert statistics.variance == pytest.approx(x.var(0, ddof=1).mean(), rel=1e-12)
    assert (statistics.count, statistics.basis) == (50, FourierBasis(shape))


def test_measured_spectrum_of_noise_is_its_power_spectrum():
    """4000 draws, fixed seed. A coefficient's variance estimate has relative deviation sqrt(2 / (m N)), `m` degrees of
    freedom (1 if self-conjugate, else 2); level 1e-6 over 24 coefficients is 5.6 deviations."""
    covariance = SpectralCovariance(PowerLaw(-0.7), (1, 6, 6))
    statistics = measure(covariance.sample(4000, torch.Generator().manual_seed(0), torch.float64))
    full = torch.ones(6, 4, dtype=torch.float64) * 2
    full[0, 0] = full[3, 0] = full[0, 3] = full[3, 3] = 1
    deviation = statistics.spectrum[0] / covariance.eigenvalues - 1
    assert (deviation.abs() < 5.6 * torch.sqrt(2 / (full * 4000))).all()


def test_integers_and_half_precision_are_measured_in_float64():
    x = torch.randint(0, 256, (20, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    expected = measure(x.double())
    for dtype in (torch.uint8, torch.float32, torch.float16):
        assert torch.equal(measure(x.to(dtype)).spectrum, expected.spectrum)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(1, 1, 4), r"at least two samples .* got shape \(1, 1, 4\)"),
        (torch.zeros(4, 4), r"got shape \(4, 4\)"),
        (torch.full((3, 1, 4), math.nan), "non-finite values"),
        (torch.tensor([math.inf, -math.inf, 0.0, 1.0]).reshape(4, 1, 1), "non-finite values"),
    ],
)
def test_bad_data_is_refused(x, message):
    with pytest.raises(InputError, match=message):
        measure(x)


def test_a_basis_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"does not end in \(8,\)"):
        measure(torch.zeros(3, 1, 4), FourierBasis((8,)))


@pytest.mark.parametrize(
    ("shape", "bands"), [((70,), 5), ((100,), 50), ((9,), 4), ((8, 8), 4), ((12, 7), 6), ((4, 5, 6), 5)]
)
def test_radial_profile_against_the_full_grid_and_exact_edges(shape, bands):
    """Means over all d frequencies of `rho` in `[k/K, (k+1)/K)`, the last band closed, by rational arithmetic."""
    basis = FourierBasis(shape)
    radius2 = np.empty(shape, dtype=object)
    for place in np.ndindex(*shape):
        signed = [Fraction(k if 2 * k <= n else k - n, n) for k, n in zip(place, shape, strict=True)]
        radius2[place] = 4 * sum(f**2 for f in signed) / len(shape)
    band = np.vectorize(lambda r2: max(k for k in range(bands) if Fraction(k, bands) ** 2 <= r2))(radius2)

    x = np.random.default_rng(1).normal(size=(2, *shape))
    power = np.abs(np.fft.fftn(x, axes=tuple(range(1, 1 + len(shape))), norm="ortho")) ** 2
    profile = radial_profile(torch.from_numpy(power[..., : shape[-1] // 2 + 1].copy()), basis, bands)
    for k in range(bands):
        inside = band == k
        assert float(profile.degrees_of_freedom[k]) == inside.sum()
        if inside.any():
            np.testing.assert_allclose(profile.values[:, k].numpy(), power[:, inside].mean(1), rtol=1e-12)
        else:
            assert profile.values[:, k].isnan().all()
    assert float(profile.degrees_of_freedom.sum()) == math.prod(shape)
    np.testing.assert_allclose(profile.edges.numpy(), np.arange(bands + 1) / bands)
    np.testing.assert_allclose(profile.centres.numpy(), (np.arange(bands) + 0.5) / bands)


def test_profiles_need_a_band():
    with pytest.raises(InputError, match="bands must be at least 1, got 0"):
        radial_profile(torch.ones(3), FourierBasis((4,)), 0)


@pytest.mark.parametrize("mixed", [False, True], ids=["as given", "colours"])
def test_measure_in_the_cosine_basis_against_scipy(mixed):
    """Variances of the coefficients of scipy's transform, of channels as they are or mixed first."""
    x = np.random.default_rng(0).normal(1.0, 2.0, (40, 2, 4, 5))
    x[:, 1] += 0.7 * x[:, 0]
    mix = np.array([[0.6, 0.8], [-0.8, 0.6]])
    inner = CosineBasis((4, 5))
    basis = ChannelBasis((4, 5), inner, mix.tolist()) if mixed else inner
    y = np.einsum("kc,ncij->nkij", mix, x) if mixed else x
    statistics = measure(torch.from_numpy(x), basis, batch_size=7)
    expected = fft.dctn(y, axes=(2, 3), norm="ortho").var(0, ddof=1)
    np.testing.assert_allclose(statistics.spectrum.numpy(), expected, rtol=1e-10)
    np.testing.assert_allclose(statistics.mean.numpy(), x.mean(0), atol=1e-12)
    assert statistics.variance == pytest.approx(x.var(0, ddof=1).mean(), rel=1e-12)


def test_variance_does_not_depend_on_the_basis():
    x = torch.randn(20, 2, 4, 8, generator=torch.Generator().manual_seed(0))
    bases = [FourierBasis((4, 8)), CosineBasis((4, 8)), WaveletBasis((4, 8), "haar", 1)]
    variances = [measure(x, basis).variance for basis in bases]
    assert variances == pytest.approx([variances[0]] * 3, rel=1e-12)


def test_draws_that_do_not_come_out_even_are_weighed_alike(monkeypatch):
    """White noise has power 1 in every basis, however many are drawn at a time: of 4096 draws, to 5 sigma."""
    monkeypatch.setattr("sagd.noise.statistics._DRAWN", 700 * 36)
    basis = FourierBasis((6, 6))
    spectrum = torch.ones(1, *basis.coefficients, dtype=torch.float64)
    white = DataStatistics(torch.zeros(1, 6, 6, dtype=torch.float64), spectrum, 9, basis)
    assert white.on(CosineBasis((6, 6))).variance == pytest.approx(1, abs=5 * math.sqrt(2 / 4096 / 36))


def test_statistics_of_another_basis_by_the_whole_covariance():
    """The spectrum is the diagonal of the covariance there: closed from cosines, else by 4096 draws, to 5 sigma."""
    cosine, fourier = CosineBasis((4, 5)), FourierBasis((4, 5))
    spectrum = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    known = DataStatistics(torch.zeros(2, 4, 5, dtype=torch.float64), spectrum, 7, cosine)
    found = known.on(fourier)
    assert (found.count, found.basis, found.spectrum.shape) == (7, fourier, (2, 4, 3))
    units = cosine.inverse(torch.eye(20, dtype=torch.float64).reshape(20, 1, 4, 5))
    shares = fourier.forward(units).abs().square().reshape(20, 4, 3)
    exact = torch.einsum("ck,kij->cij", spectrum.flatten(1), shares)
    torch.testing.assert_close(found.spectrum, exact)
    assert known.on(cosine) is known
    back = found.on(cosine)
    waves, power = fourier.forward(units).reshape(20, 12), (fourier.multiplicity() * found.spectrum).flatten(1)
    moved = torch.einsum("kf,cf->ck", waves.abs().square(), power)
    assert float((back.spectrum.flatten(1) / moved - 1).abs().max()) < 5 * math.sqrt(2 / 4096)


@pytest.mark.parametrize("shape", [(7,), (4, 6), (3, 4, 2)])
def test_channel_covariance_against_numpy(shape):
    """About the mean image, over samples and places; `N - 1` samples are free."""
    x = np.random.default_rng(0).normal(2.0, 3.0, (30, 3, *shape))
    x[:, 2] -= 0.5 * x[:, 0]
    x += np.random.default_rng(1).normal(0, 5, (1, 3, *shape))
    values = (x - x.mean(0)).swapaxes(0, 1).reshape(3, -1)
    expected = values @ values.T / (29 * np.prod(shape))
    got = channel_covariance(torch.from_numpy(x), batch_size=7)
    assert got.dtype == torch.float64
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-10)
    # Its trace is the variance that `measure` finds.
    assert float(got.trace()) == pytest.approx(3 * measure(torch.from_numpy(x)).variance, rel=1e-12)


def test_decorrelated_channels_are_uncorrelated():
    x = torch.randn(50, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x + 0.8 * x.mean(1, keepdim=True) + 0.3 * x.roll(1, 1)
    basis = ChannelBasis.decorrelating(channel_covariance(x), FourierBasis((4, 4)))
    mixed = torch.einsum("kc,ncij->nkij", torch.tensor(basis.matrix, dtype=torch.float64), x)
    values = channel_covariance(mixed)
    torch.testing.assert_close(values, torch.diag(values.diagonal()), rtol=0, atol=1e-12)
    assert (values.diagonal().diff() < 0).all()


def test_channels_of_bad_data_are_refused():
    with pytest.raises(InputError, match=r"at least two samples .* got shape \(1, 3, 4\)"):
        channel_covariance(torch.zeros(1, 3, 4))
    with pytest.raises(InputError, match="non-finite values"):
        channel_covariance(torch.full((3, 2, 4), math.nan))


# Missing values.


def holes(*shape, share=0.7, seed=5):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.parametrize("shape", [(1, 1, 4, 6), (50, 1, 4, 6), (50, 2, 4, 6), (1, 4, 6), (2, 4, 6)])
def test_measure_with_missing_values_against_numpy(shape):
    """By its definition, with whatever in place of what is missing."""
    x = np.random.default_rng(0).normal(2.0, 3.0, (50, 2, 4, 6))
    mask = holes(*shape)
    m = np.broadcast_to(mask.numpy() if len(shape) == 4 else mask.numpy()[None], x.shape)
    counts = m.sum(0)
    mean = np.where(counts > 0, np.where(m, x, 0).sum(0) / np.maximum(counts, 1), 0)
    full = np.abs(np.fft.fftn(np.where(m, x - mean, 0), axes=(2, 3), norm="ortho")) ** 2
    expected = full.sum(0)[..., :4] / np.maximum(counts - 1, 0).mean((1, 2))[:, None, None]
    statistics = measure(torch.from_numpy(np.where(m, x, np.nan)), batch_size=7, mask=mask)
    np.testing.assert_allclose(statistics.mean.numpy(), mean, atol=1e-12)
    np.testing.assert_allclose(statistics.spectrum.numpy(), expected, rtol=1e-10)
    # Parseval: the variance of a value, over degrees of freedom.
    within = sum(np.where(m, x - mean, 0)[:, c].__pow__(2).sum() / np.maximum(counts - 1, 0)[c].sum() for c in (0, 1))
    assert statistics.variance == pytest.approx(within / 2, rel=1e-12)


def test_nothing_missing_changes_nothing():
    x = torch.randn(9, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    plain = measure(x, "cosine")
    for mask in (torch.ones(1, 5, 4), torch.ones(9, 2, 5, 4, dtype=torch.bool)):
        masked = measure(x, "cosine", mask=mask)
        torch.testing.assert_close(masked.mean, plain.mean, rtol=0, atol=1e-15)
        torch.testing.assert_close(masked.spectrum, plain.spectrum, rtol=1e-14, atol=0)


@pytest.mark.parametrize("exponent", [0.0, -0.8])
@pytest.mark.parametrize("kind", ["fourier", "cosine", "mixed(periodic=[1])"])
def test_bias_of_spectra_under_random_masks(exponent, kind):
    """`(1 - q) S + q mean(S)` if each value is missing with probability `q`: white noise is measured without bias.

    In any orthonormal basis, since masks of independent places leave the diagonal of `Sigma` and scale the rest. 6000
    draws, fixed seed; each estimate has relative deviation at most `sqrt(2 / N)` and some for the weights; 6 of them
    over 36 coefficients are a level of 1e-7.
    """
    basis = measure(torch.zeros(2, 1, 6, 6), kind).basis
    covariance = SpectralCovariance(PowerLaw(exponent), (1, 6, 6), basis)
    x = covariance.sample(6000, torch.Generator().manual_seed(0), torch.float64)
    share = 0.6
    found = measure(x, basis, mask=holes(6000, 1, 6, 6, share=share)).spectrum[0]
    # Off the diagonal of places `Sigma` is scaled by `share^2`, on it by `share`; the estimate is over `share`.
    Sigma = covariance.to_dense()
    seen = share * Sigma + (1 - share) * torch.diag(Sigma.diagonal())
    rows = basis.forward(torch.eye(36, dtype=torch.float64).reshape(36, 6, 6)).flatten(1).T
    expected = torch.einsum("kx,xy,ky->k", rows, seen.to(rows.dtype), rows.conj()).real.reshape(basis.coefficients)
    if kind == "fourier":  # stationary: all places have the same variance
        blend = share * covariance.eigenvalues + (1 - share) * 1.0
        torch.testing.assert_close(expected, blend, rtol=1e-9, atol=1e-12)
    assert ((found / expected - 1).abs() < 6 * math.sqrt(2 / 6000)).all()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(4, 5), r"a mask is for all samples, or one for each of 3, got shape \(4, 5\)"),
        (torch.ones(2, 1, 4, 5), "one for each of 3"),
        (torch.ones(3, 2, 4, 5), r"mask must have shape \(1 or 1, 4, 5\) for each sample, got \(2, 4, 5\)"),
        (torch.full((1, 4, 5), 0.5), r"holds 1 \(or True\) where data is valid and 0"),
        (torch.zeros(1, 4, 5), "no place is valid in two samples"),
        (torch.eye(3)[:, None, None, :1].expand(3, 1, 4, 5), "no place is valid in two samples"),
    ],
)
def test_bad_masks_are_refused(mask, message):
    with pytest.raises(InputError, match=message):
        measure(torch.randn(3, 1, 4, 5), mask=mask)


# Averages over places that count differently.


def test_moments_against_numpy():
    x = np.random.default_rng(1).normal([[[[1.0]], [[-2.0]]]], [[[[3.0]], [[0.5]]]], (30, 2, 4, 6))
    mask, area = holes(30, 1, 4, 6), area_weights([60, 20, -20, -60], (4, 6))
    W = np.broadcast_to(mask.numpy() * area.numpy(), x.shape)
    found = moments(torch.from_numpy(np.where(W > 0, x, np.nan)), mask, area, batch_size=7)
    for c in (0, 1):
        mean = np.average(x[:, c], weights=W[:, c])
        assert float(found.mean[c]) == pytest.approx(mean, rel=1e-12)
        assert float(found.std[c]) == pytest.approx(np.sqrt(np.average((x[:, c] - mean) ** 2, weights=W[:, c])))
    plain = moments(torch.from_numpy(x))
    np.testing.assert_allclose(plain.mean.numpy(), x.mean((0, 2, 3)))
    np.testing.assert_allclose(plain.std.numpy(), x.std((0, 2, 3)))


def test_moments_skip_places_without_weight():
    x = torch.tensor([[[1.0, math.nan, 3.0]], [[3.0, math.nan, 5.0]]])
    found = moments(x, weight_field=torch.tensor([[1.0, 0.0, 1.0]]))
    assert (found.mean.tolist(), found.std.tolist()) == ([3.0], [pytest.approx(math.sqrt(2))])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "non-finite values"),
        ({"mask": torch.zeros(1, 3)}, "no value of a channel counts"),
        ({"weight_field": torch.ones(1, 4)}, r"weight_field must have shape \(1 or 1, 3\)"),
        ({"weight_field": -torch.ones(1, 3)}, "nowhere negative"),
    ],
)
def test_bad_moments(arguments, message):
    with pytest.raises(InputError, match=message):
        moments(torch.tensor([[[1.0, math.nan, 3.0]]]), **arguments)


def _walks(rows=4000, length=64):
    """Stationary random walks `(N, 1, length)` whose neighbours correlate with 0.95 (AR(1), unit variance)."""
    r, x = 0.95, torch.randn(rows, length, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    walks = [x[:, 0]]
    for column in x.T[1:]:
        walks.append(r * walks[-1] + math.sqrt(1 - r * r) * column)
    return torch.stack(walks, 1)[:, None]


def test_jumps_of_pieces_of_a_record():
    """Of AR(1) the step has power 2 (1 - r), the jump 2 (1 - r^63); 4000 draws, 5 standard errors of a variance."""
    assert jumps(_walks())[0] == pytest.approx((1 - 0.95**63) / 0.05, rel=5 * math.sqrt(2 / 4000))


def test_jumps_are_one_where_axes_close_on_themselves():
    covariance = SpectralCovariance(PowerLaw(-1.0), (1, 12, 10))
    x = covariance.sample(4000, torch.Generator().manual_seed(0), torch.float64)
    assert jumps(x) == pytest.approx((1, 1), rel=0.15)
    wound = x[..., torch.arange(7)]
    assert jumps(wound)[0] == pytest.approx(1, rel=0.15)
    assert jumps(wound)[1] > 2


def test_jumps_by_hand_and_by_mask():
    x = torch.tensor([[[0.0, 1.0, 3.0, 5.0]], [[2.0, 2.0, 2.0, 99.0]]])
    known = torch.tensor([[[1, 1, 1, 1]], [[1, 1, 1, 0]]])
    assert jumps(x, known) == pytest.approx((25 / (9 / 5),))
    assert jumps(x, known * torch.tensor([1, 1, 1, 0])) == (1.0,)  # no field is known at both ends
    assert jumps(torch.zeros(3, 1, 5)) == (1.0,)
    assert jumps(x[..., :1]) == (1.0,)
    assert jumps(x, known * torch.tensor([1, 0, 0, 1])) == (1.0,)  # no step is known
    assert jumps(torch.tensor([[[0.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]]]))[0] == pytest.approx(2)


def test_masks_of_jumps_hide_what_is_beneath():
    x, known = _walks(200), torch.ones(200, 1, 64)
    known[:, :, 20:30] = 0
    broken = torch.where(known > 0, x, torch.nan)
    assert jumps(broken, known) == pytest.approx(jumps(torch.where(known > 0, x, 7.0), known))
