"""Resampling of bands against dense linear algebra on Gaussian data `x ~ N(mu, K)`, `K` stationary in no basis.

The "networks" are the exact posterior means, by matrices: given the noisy band and the clean rest.
"""

import math

import pytest
import torch

from sagd.build.objects import build_process
from sagd.build.schema import OmissionConfig, ProcessConfig
from sagd.errors import InputError
from sagd.model.denoiser import NetworkDenoiser
from sagd.model.wrappers import Guided, Wrapper
from sagd.networks.adapter import Adapter
from sagd.noise.bands import mask
from sagd.noise.basis.channels import ChannelBasis
from sagd.noise.basis.cosine import CosineBasis
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.spectra.damage import Ring, Strip
from sagd.noise.statistics import DataStatistics
from sagd.resampling.bands import PROFILE, BandLaw, BandModel, image_channels, random_bands
from sagd.resampling.objective import BandLoss
from sagd.resampling.run import resample
from sagd.testing.oracles import gaussian_fields, operator_matrix
from sagd.training.objective import DenoisingLoss

SHAPE, BAND, SIZE = (1, 6, 6), "ring(low=0.3, high=0.6)", 36
BASIS = FourierBasis(SHAPE[1:])


def operator(values, basis=BASIS):
    return operator_matrix(values, basis, (1, *basis.spatial))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def data():
    """Mean and covariance of the data."""
    g = generator(1)
    root = torch.randn(SIZE, 14, generator=g, dtype=torch.float64) / 4
    return torch.randn(SIZE, generator=g, dtype=torch.float64) / 3, root @ root.T + 1e-2 * torch.eye(SIZE).double()


def draws(data, count, seed):
    return gaussian_fields(*data, SHAPE, count, generator(seed))


def conditional(data, band, basis=BASIS):
    """Gain, offset and covariance of the band given the rest: `E[P x | (1-P) x] = gain (1-P) x + offset`."""
    mean, k = data
    p = operator((mask(band, basis) > 0).double(), basis)
    rest = torch.eye(len(p)).double() - p
    gain = p @ k @ rest @ torch.linalg.pinv(rest @ k @ rest, rtol=1e-9, hermitian=True)
    return gain, p @ mean - gain @ rest @ mean, p @ k @ p - gain @ k @ p


class Oracle(torch.nn.Module):
    """`E[x_0 | P x_t, (1-P) x_0]` for a prediction `x0`, from what a network is shown."""

    def __init__(self, data, band, process, basis=BASIS):
        super().__init__()
        self.gain, self.offset, self.spread = conditional(data, band, basis)
        self.process, self.seen, self.time = process, [], None

    def forward(self, x, timestep, image):
        self.seen.append((x, image))
        t = self.time
        alpha = float(self.process.schedule.alpha(torch.tensor(t)))
        sigma = float(self.process.schedule.sigma(torch.tensor(t)))
        noisy, rest = x.double().flatten(1), image[:, :1].double().flatten(1)
        noisy = noisy * math.sqrt(alpha**2 + sigma**2)
        prior = rest @ self.gain.T + self.offset
        inner = alpha**2 * self.spread + sigma**2 * torch.eye(len(self.spread)).double()
        update = alpha * self.spread @ torch.linalg.inv(inner)
        return (prior + (noisy - alpha * prior) @ update.T).reshape(-1, *self.process.shape)


class Timed(Wrapper):
    """Tells the oracle the time, which networks get as a time step."""

    def estimate(self, x_t, t, condition=None):
        self.denoiser.network.time = float(torch.as_tensor(t).flatten()[0])
        return self.denoiser.estimate(x_t, t, condition)


def shown(network, own, prediction, **options):
    """The denoiser of a network that is shown an image."""
    return NetworkDenoiser(network, own, prediction, names=("image",), **options)


def process(**config):
    return build_process(ProcessConfig(**config), SHAPE)


def exact(data, band=BAND, bands=None, **config):
    own = process(**config)
    return BandModel(Timed(shown(Oracle(data, band, own), own, "x0")), BandLaw(bands or band, BASIS))


def network_of(model):
    return model.denoiser.denoiser.network


@pytest.mark.parametrize("sampler", ["heun", "dpm_solver"])
def test_resampled_bands_follow_the_exact_conditional_law(data, sampler):
    """Mean and covariance of 4000 draws of one image's band given the rest; errors at most 5 standard errors."""
    x = draws(data, 1, 3)
    config = {"sampler": sampler, "steps": 24, "grid": "karras(sigma_min=0.002)"}
    count = 4000
    y = resample(exact(data, schedule="cosine"), x, BAND, **config, count=count)[:, 0].flatten(1)
    gain, offset, spread = conditional(data, BAND)
    rest = (torch.eye(SIZE).double() - operator(mask(BAND, BASIS))) @ x[0].flatten()
    expected = rest + gain @ rest + offset
    scale = spread.diagonal().max().sqrt()
    assert ((y.mean(0) - expected).abs() / scale).max() < 5 / math.sqrt(count) + 0.01
    covariance = torch.cov(y.T)
    assert (covariance - spread).abs().max() / scale**2 < 5 * math.sqrt(2 / count) + 0.02


def test_the_rest_stays_to_rounding(data):
    x = draws(data, 3, 4)
    y = resample(exact(data), x, BAND, steps=4, grid="karras", count=2)
    assert y.shape == (2, 3, *SHAPE)
    outside = mask(BAND, BASIS) == 0
    change = BASIS.forward(y - x).abs()
    assert float((change * outside).max()) < 1e-12
    assert float((change * ~outside).amax((-1, -2)).min()) > 1e-2
    assert not torch.equal(y[0], y[1])


@pytest.mark.parametrize(
    ("basis", "soft"),
    [
        (BASIS, "ring(low=0.3, high=0.6, soft=0.3)"),
        (FourierBasis((24,)), "ring(low=0.3, high=0.6, soft=0.4)"),
        (CosineBasis((5, 6)), "ring(low=0.4, high=0.7, soft=0.3)"),
    ],
    ids=str,
)
def test_soft_edges_keep_the_law(basis, soft):
    """Of 4000 Gaussian images, each resampled once, mean and variance at every frequency are those of the data; and
    of 4000 draws of one image those of `m + sqrt(1-b) (x - m) + sqrt(b) (x_hat - m)`. Errors are at most 5 standard
    errors, and 2 % for the steps of the sampler."""
    shape, size, count, g = (1, *basis.spatial), basis.size, 4000, generator(1)
    root = torch.randn(size, size // 2, generator=g, dtype=torch.float64) / 4
    data = torch.randn(size, generator=g, dtype=torch.float64) / 3, root @ root.T + 1e-2 * torch.eye(size).double()
    own = build_process(ProcessConfig(schedule="cosine", basis=basis.kind), shape)
    model = BandModel(Timed(shown(Oracle(data, soft, own, basis), own, "x0")), BandLaw(soft, basis))
    config = {"sampler": "heun", "steps": 24, "grid": "karras(sigma_min=0.002)"}
    b = mask(soft, basis)
    between = (b > 0.2) & (b < 0.8)
    assert between.any()
    u, v = operator((1 - b).sqrt(), basis), operator(b.sqrt(), basis)

    def close(y, mean, covariance):
        y = basis.forward(y.reshape(-1, *shape))[:, 0]
        mean = basis.forward(mean.reshape(1, *shape))[0, 0]
        values, vectors = torch.linalg.eigh(covariance)
        roots = (vectors * values.clamp(min=0).sqrt()).T.reshape(-1, *shape)
        variance = basis.forward(roots)[:, 0].abs().square().sum(0)
        scale = variance.max()
        assert ((y.mean(0) - mean).abs() / scale.sqrt()).max() < 5 / math.sqrt(count) + 0.01
        found = (y - mean).abs().square().mean(0)
        assert ((found - variance).abs() < (5 * math.sqrt(2 / count) + 0.02) * variance + 2e-3 * scale).all()

    x = gaussian_fields(*data, shape, count, generator(2))
    close(resample(model, x, soft, **config, batch_size=count)[0], *data)
    gain, offset, spread = conditional(data, soft, basis)
    p = operator((b > 0).double(), basis)
    given = x[0].flatten()
    m = given - p @ given + gain @ (given - p @ given) + offset
    drawn = resample(model, x[:1], soft, **config, count=count, batch_size=count)[:, 0]
    close(drawn, m + u @ (given - m), v @ spread @ v)


def test_draws_do_not_depend_on_the_batch(data):
    x, config = draws(data, 3, 5).float(), {"sampler": "ddpm", "steps": 3, "grid": "karras"}
    whole = resample(exact(data), x, BAND, **config, count=2, seed=7, batch_size=6)
    parts = resample(exact(data), x, BAND, **config, count=2, seed=7, batch_size=4)
    assert torch.allclose(whole, parts, atol=1e-6)
    alone = resample(exact(data), x[:1], BAND, **config, count=2, seed=7)
    assert torch.allclose(alone, whole[:, :1], atol=1e-6)


def test_what_a_network_is_shown(data):
    """The noisy band, the clean rest, and the share of each radius that the band takes."""
    model = exact(data)
    x_0, x_t = draws(data, 2, 6).float(), torch.randn(2, *SHAPE, generator=generator())
    b = torch.stack([mask(BAND, BASIS), mask("ring(low=0.6)", BASIS)])
    model.given_images(x_0, b).estimate(x_t, 0.4)
    noisy, image = network_of(model).seen[0]
    assert noisy.shape == x_t.shape
    assert image.shape == (2, image_channels(1), 6, 6) == (2, 1 + PROFILE, 6, 6)
    seen = torch.cat([noisy, image], dim=1)
    for i in range(2):
        p = operator(b[i])
        assert torch.allclose(seen[i, 0].flatten().double(), p @ x_t[i].flatten().double(), atol=1e-5)
        rest = x_0[i].flatten().double() - p @ x_0[i].flatten().double()
        assert torch.allclose(seen[i, 1].flatten().double(), rest, atol=1e-5)
        rho = BASIS.relative_radius()
        for k, channel in enumerate(seen[i, 2:]):
            ring = (rho + 1e-9) * PROFILE // 1 == k if k < PROFILE - 1 else rho + 1e-9 >= k / PROFILE
            m = BASIS.multiplicity() * ring
            share = float((m * b[i]).sum() / m.sum()) if m.sum() else 0.0
            assert torch.allclose(channel, torch.tensor(share), atol=1e-5)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v", "velocity", "edm", "wiener", "wiener(exponent=0.5)"])
def test_the_loss_is_of_the_band_alone(data, prediction):
    """For a network that outputs zero it is the mean square of the target in the band; elsewhere it does not look."""
    own, x = process(schedule="cosine(log_snr_min=-10)"), draws(data, 400, 8)
    statistics = DataStatistics(data[0].reshape(SHAPE), torch.full((1, *BASIS.coefficients), 0.3).double(), 100, BASIS)
    outside = operator(1 - mask(BAND, BASIS))

    class Junk(torch.nn.Module):
        def forward(self, x, timestep, image):
            return (torch.randn(len(x), SIZE, generator=generator(2)).double() @ outside.T).reshape(-1, *SHAPE).to(x)

    def loss(network):
        denoiser = shown(network, own, prediction, statistics=statistics)
        return float(BandLoss(DenoisingLoss(), BandLaw(BAND, BASIS))(denoiser, x, generator=generator(9)))

    zero = loss(lambda x, t, image: torch.zeros_like(x))
    assert loss(Junk()) == pytest.approx(zero, rel=1e-5)
    # By hand, with the same draws: times, then noise.
    plain = shown(lambda x, t, image: x, own, prediction, statistics=statistics)
    g = generator(9)
    eps = own.noise(x, g)
    t = DenoisingLoss().time.sample(len(x), own, g)
    target = (plain.target(x, eps, t).flatten(1) @ operator(mask(BAND, BASIS)).T).square().sum(1)
    rank = float((mask(BAND, BASIS) * BASIS.multiplicity()).sum())
    assert zero == pytest.approx(float(target.mean() / rank), rel=1e-4)


def test_learning_finds_the_conditional_mean(data):
    """A linear network, trained by the loss on a fixed band, ends at the exact gain to a tenth."""
    own, x = process(schedule="rectified"), draws(data, 4096, 11).float()
    linear = torch.nn.Linear(2 * SIZE, SIZE)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = linear

        def forward(self, x, timestep, image):
            return self.linear(torch.cat([x, image[:, :1]], dim=1).flatten(1)).reshape(-1, *SHAPE)

    denoiser = shown(Network(), own, "x0")

    class Late:
        """All times 1: only noise is seen of the band."""

        def sample(self, count, process, generator=None):
            return torch.ones(count, dtype=torch.float64)

    loss = BandLoss(DenoisingLoss(time=Late()), BandLaw(BAND, BASIS))
    adam = torch.optim.Adam(linear.parameters(), lr=3e-3)
    for step in range(600):
        adam.zero_grad()
        loss(denoiser, x, generator=generator(step)).backward()
        adam.step()
    gain, offset, _ = conditional(data, BAND)
    rest = torch.eye(SIZE).double() - operator(mask(BAND, BASIS))
    test = draws(data, 500, 12).flatten(1) @ rest.T
    with torch.no_grad():
        given = torch.cat([torch.zeros(500, SIZE), test.float()], dim=1)
        found = linear(given).double() @ operator(mask(BAND, BASIS)).T
    exact_mean = test @ gain.T + offset
    assert float((found - exact_mean).square().mean() / (exact_mean - exact_mean.mean(0)).square().mean()) < 0.1


@pytest.mark.parametrize(
    "basis", [FourierBasis((16,)), FourierBasis((12, 14)), FourierBasis((6, 6, 6)), CosineBasis((8, 8))], ids=str
)
def test_random_bands(basis):
    b = random_bands(300, basis, generator())
    assert b.shape == (300, *basis.coefficients)
    assert set(b.unique().tolist()) == {0.0, 1.0}
    share = b.flatten(1).mean(1)
    assert share.min() > 0
    assert 0.02 < float((share == 1).float().mean()) < 0.25
    rho = basis.relative_radius().flatten()
    low, high = b.flatten(1)[:, rho.argmin()], b.flatten(1)[:, rho.argmax()]
    for both in ((0, 0), (0, 1), (1, 0), (1, 1)):  # rings and wedges, high-pass, low-pass, everything
        assert ((low == both[0]) & (high == both[1])).any()
    # Fields stay real: a mask is as symmetric as a power spectrum.
    for mask_ in b[:50]:
        basis.check_symmetry(mask_)
    assert torch.equal(b, random_bands(300, basis, generator()))


def test_random_bands_have_directions_in_mixed_channels_too():
    inner = FourierBasis((12, 14))
    mixed = ChannelBasis((12, 14), inner, ((0.6, 0.8), (-0.8, 0.6)))
    assert torch.equal(random_bands(300, mixed, generator()), random_bands(300, inner, generator()))


def test_one_model_for_all_bands(data):
    """A `random` model takes any band, and draws whole images where none is given."""
    denoiser = exact(data, bands="random")
    x = draws(data, 1, 4)
    for band in (BAND, Strip(axis=0, low=0.1), Ring(0.6, 1.0)):
        assert resample(denoiser, x, band, steps=2, grid="karras").shape == (1, 1, *SHAPE)
    denoiser.estimate(torch.randn(2, *SHAPE), 0.5)
    image = network_of(denoiser).seen[-1][1]
    assert (image[:, 0] == 0).all()
    assert (image[:, 1:].amax((0, 2, 3)) <= 1).all()
    assert image[:, 1:].max() == 1


def test_images_are_given_to_a_denoiser_of_their_own(data):
    """The model itself stays without; and what is shown of them is no condition that a user gives."""
    model = exact(data)
    bound = model.given_images(draws(data, 1, 0), mask(BAND, BASIS)[None])
    with pytest.raises(InputError, match=r"use Model\.resample, or train with denoiser\.bands random"):
        model.estimate(torch.randn(1, *SHAPE), 0.5)
    bound.estimate(torch.randn(1, *SHAPE), 0.5)
    assert model.names == bound.names == ()


def test_other_denoisers_resample_nothing(data):
    with pytest.raises(InputError, match="resamples no bands; train one with denoiser"):
        resample(exact(data).denoiser, draws(data, 1, 0), BAND)


def test_guidance_reaches_the_band(data):
    """`D + g (D_c - D)` in the band; the rest stays the given one."""
    own, x_0, x_t = process(), draws(data, 2, 6), torch.randn(2, *SHAPE, generator=generator()).double()
    network = lambda x, t, labels, image: (labels + 1.0).reshape(-1, 1, 1, 1) * x  # noqa: E731
    plain = shown(network, own, "x0", null={"labels": 3})
    b, labels = mask(BAND, BASIS).expand(2, -1, -1), torch.tensor([0, 1])
    law = BandLaw("random", BASIS)
    with_label, without = (BandModel(plain, law).given_images(x_0, b).estimate(x_t, 0.4, c) for c in (labels, None))
    guided = BandModel(Guided(plain, 2.5), law).given_images(x_0, b).estimate(x_t, 0.4, labels)
    torch.testing.assert_close(guided, without + 2.5 * (with_label - without))
    outside = operator(1 - mask(BAND, BASIS))
    torch.testing.assert_close(guided.flatten(1) @ outside, x_0.flatten(1) @ outside)


@pytest.mark.parametrize(
    ("bands", "config", "message"),
    [
        ("ring()", {}, "every frequency"),
        ("rings", {}, "unknown spectrum 'rings'"),
        ("random", {"spectrum": "band_pass(low=0.1, high=0.5)"}, "noise at every frequency"),
        ("random", {"omission": OmissionConfig("fill", BAND)}, "noise at every frequency"),
        ("per_channel(spectra=['ring(high=0.5)', 'ring(low=0.5)'])", {}, "alike in all channels"),
    ],
)
def test_models_that_cannot_be(data, bands, config, message):
    with pytest.raises(InputError, match=message):
        exact(data, bands=bands, **config)


@pytest.mark.parametrize("shape", [(2, 15), (3, 7, 6), (1, 6, 5, 4)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_any_shape(shape, dtype):
    """Data of one to three dimensions and several channels; a network that knows nothing changes the band alone."""
    basis = FourierBasis(shape[1:])
    own = build_process(ProcessConfig(schedule="cosine"), shape)
    denoiser, law = shown(lambda x, t, image: 0 * x, own, "edm"), BandLaw("random", basis)
    x = torch.randn(3, *shape, generator=generator(), dtype=dtype)
    loss = BandLoss(DenoisingLoss(), law)(denoiser, x, generator=generator(1))
    assert loss.ndim == 0
    assert 0 < float(loss) < 10
    y = resample(BandModel(denoiser, law), x, "ring(low=0.5)", steps=2, grid="karras", count=2)
    assert y.dtype == dtype
    change = basis.forward((y - x).double()).abs()
    inside = mask("ring(low=0.5)", basis) > 0
    assert float((change * ~inside).max()) < (1e-5 if dtype == torch.float32 else 1e-12)
    assert float((change * inside).max()) > 0.1


def test_images_of_another_scale(data):
    statistics = DataStatistics(data[0].reshape(SHAPE), torch.full((1, *BASIS.coefficients), 0.3).double(), 100, BASIS)
    with pytest.raises(InputError, match=r"images reach from .* scale 8-bit images to \[-1, 1\]"):
        resample(exact(data), 100 * draws(data, 2, 0), BAND, steps=2, statistics=statistics)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"band": "ring(low=0.2, high=0.6)"}, "changes the band .*; train one with denoiser.bands random"),
        ({"band": "ring()"}, "every frequency"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"x": torch.zeros(1, 1, 5, 6)}, "got shape"),
        ({"x": torch.full((1, *SHAPE), float("nan"))}, "finite"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"condition": torch.tensor([0, 1])}, "got 2 labels for 1 samples"),
    ],
)
def test_what_cannot_be_resampled(data, change, message):
    arguments = {"x": draws(data, 1, 0), "band": BAND} | change
    with pytest.raises(InputError, match=message):
        resample(exact(data), steps=2, grid="karras", **arguments)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
def test_images_of_any_precision(data, dtype):
    """A float32 network; what is outside of the band stays to the precision of the images."""
    torch.manual_seed(0)
    network = Adapter(torch.nn.Conv2d(1 + image_channels(1), 1, 3, padding=1), time=None)
    denoiser = BandModel(shown(network, process(), "edm"), BandLaw("random", BASIS))
    x = draws(data, 2, 0).to(dtype)
    y = resample(denoiser, x, BAND, steps=2, grid="karras")
    assert y.dtype == dtype
    change = BASIS.forward(y.double() - x.double()).abs()
    b = mask(BAND, BASIS)
    # Rounding moves a number by half an eps of it, and so, in an orthonormal basis, a coefficient by that of the norm.
    rounding = torch.finfo(dtype).eps / 2 * float(y.double().flatten(1).norm(dim=1).max())
    assert float((change * (1 - b)).max()) < (1e-12 if dtype == torch.float64 else rounding)
    assert float((change * b).max()) > 0.1
