"""Orthonormal transforms `U` in which covariances are diagonal.

A basis acts on the last `n` axes of a real tensor `(*, *spatial)`; `forward` gives coefficients `(*, *coefficients)`
and `inverse` is its exact inverse. With `m = multiplicity()`, the number of real degrees of freedom that each stored
coefficient stands for, Parseval's identity reads `||x||^2 = sum_f m(f) |c(f)|^2` and `sum_f m(f) = d = prod(spatial)`.

    fourier    c_k = d^(-1/2) sum_x exp(-2 pi i f_k x) x_x                fields that wrap around at their borders
    cosine     c_k = s_k sum_x cos(2 pi f_k (x + 1/2)) x_x per axis       fields mirrored at their borders
    wavelet    inner products with shifts and dilations of one wavelet    localised in space; borders wrap around
    channels   an orthonormal mix of the channels, then one of the others on each

Frequencies are in cycles per sample. Fourier frequencies come from `fftfreq` (and `rfftfreq` on the last axis), so that
DC is exactly zero and `w(f) = w(-f)` holds for every function of `|f|`. The frequency of a wavelet coefficient is
nominal: the centre of its subband. Float32 and float64 tensors keep their type; others are the caller's to convert.
"""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sagd.description import Description
from sagd.errors import InputError

EDGE = 1e-9
"""Frequencies this close below a band edge, in `rho`, lie on it: they are there but for rounding."""
DENSE_SIDE = 128
"""Up to this side length, transforms other than Fourier's are matrix products; above, they go through an FFT."""


@dataclass(frozen=True)
class Basis(Description, ABC, family="basis"):
    """An orthonormal transform of real fields of one spatial shape.

    A basis is a description too: `{"kind": "fourier", "spatial": [28, 28]}`; see `build_basis` for the text form.

    Args:
        spatial: Side lengths of the spatial axes, e.g. `(32, 32)`; its length is the spatial rank `n`.

    Raises:
        InputError: If `spatial` is empty or holds a non-positive side.
    """

    spatial: tuple[int, ...]

    def __post_init__(self) -> None:
        try:
            sides = tuple(int(side) for side in self.spatial)
            valid = bool(sides) and sides == tuple(self.spatial) and min(sides) >= 1
        except (TypeError, ValueError, OverflowError):
            valid = False
        if not valid:
            raise InputError(f"spatial must hold positive side lengths, got {self.spatial}; e.g. (32, 32)")
        object.__setattr__(self, "spatial", sides)

    @property
    def rank(self) -> int:
        """Spatial rank `n`: 1 for audio, 2 for images, 3 for video and volumes."""
        return len(self.spatial)

    @property
    def size(self) -> int:
        """Number of samples `d = prod(spatial)`, in each channel."""
        return math.prod(self.spatial)

    @property
    def mirrored(self) -> bool:
        """Whether only non-negative frequencies are stored, so that `f` and its mirror image in any axis are one.

        Orientations that differ by such a mirroring cannot be told apart then.
        """
        return False

    @property
    def channels(self) -> int | None:
        """Number of channels that the basis mixes, the axis before the spatial ones; None if it acts on those alone."""
        return None

    @property
    @abstractmethod
    def coefficients(self) -> tuple[int, ...]:
        """Shape of the stored coefficients."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Coefficients `U x` of a real field `(*, *spatial)`, as `(*, *coefficients)`."""

    @abstractmethod
    def inverse(self, c: Tensor) -> Tensor:
        """The real field `U* c` of coefficients `(*, *coefficients)`, as `(*, *spatial)`."""

    @abstractmethod
    def frequencies(self) -> Tensor:
        """Frequency vector of every stored coefficient, in cycles per sample: `(n, *coefficients)`, float64."""

    @abstractmethod
    def multiplicity(self) -> Tensor:
        """Real degrees of freedom each stored coefficient stands for: `(*coefficients)`, float64, summing to `d`."""

    @abstractmethod
    def check_symmetry(self, weights: Tensor) -> None:
        """Raise `InputError` if real weights `(*, *coefficients)` do not map real fields to real fields."""

    def _require_trailing(self, x: Tensor, expected: tuple[int, ...]) -> None:
        if self.channels is not None:
            expected = (self.channels, *expected)
        if tuple(x.shape[-len(expected) :]) != expected:
            layout = "" if self.channels is None else f": {self.channels} channels, then the spatial axes"
            raise InputError(
                f"tensor of shape {tuple(x.shape)} does not end in {expected}, as {type(self).__name__} needs{layout}"
            )

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-self.rank, 0))

    def radius(self) -> Tensor:
        """Radial frequency `r(f) = |f|` in cycles per sample, `(*coefficients)`, float64."""
        return torch.linalg.vector_norm(self.frequencies(), dim=0)

    def relative_radius(self) -> Tensor:
        """`rho = r / r_max`, the fraction of the corner radius `r_max = sqrt(n)/2`: in [0, 1] at every frequency."""
        return self.radius() / corner_radius(self.rank)


def corner_radius(rank: int) -> float:
    """Largest radial frequency of an `n`-dimensional grid, `r_max = sqrt(n)/2` cycles per sample."""
    return math.sqrt(rank) / 2


def build_basis(text: str | dict[str, Any] | Basis, spatial: tuple[int, ...]) -> Basis:
    """The basis for one spatial shape, described without it.

    >>> build_basis("cosine", (4, 5))
    CosineBasis(spatial=(4, 5))
    >>> build_basis("wavelet(name='db2', levels=1)", (8, 4)).to_dict()
    {'kind': 'wavelet', 'spatial': [8, 4], 'name': 'db2', 'levels': 1}

    Args:
        text: `kind` or `kind(name=value, ...)`, the same as a mapping, or a basis.
        spatial: Side lengths of the spatial axes.

    Raises:
        InputError: On unknown names or parameters, on values that the basis refuses on these axes, and if `text` names
            another spatial shape.
    """
    basis = text if isinstance(text, Basis) else Basis.from_dict({"spatial": spatial, **Basis.read(text)})
    if basis.spatial != tuple(spatial):
        raise InputError(f"basis is for spatial shape {basis.spatial}, wanted for {tuple(spatial)}; leave spatial out")
    return basis


@dataclass(frozen=True)
class FourierBasis(Basis, kind="fourier"):
    """The unitary discrete Fourier transform, stored as the half spectrum of a real field.

    >>> basis = FourierBasis((4, 5))
    >>> basis.coefficients
    (4, 3)
    >>> x = torch.randn(2, 4, 5, dtype=torch.float64)
    >>> bool(torch.allclose(basis.inverse(basis.forward(x)), x))
    True
    """

    @property
    def coefficients(self) -> tuple[int, ...]:
        """Half of the last axis is stored: `(*spatial[:-1], spatial[-1] // 2 + 1)`."""
        return (*self.spatial[:-1], self.spatial[-1] // 2 + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Orthonormal real FFT over the spatial axes; complex `(*, *coefficients)`."""
        self._require_trailing(x, self.spatial)
        return torch.fft.rfftn(x, dim=self._axes, norm="ortho")

    def inverse(self, c: Tensor) -> Tensor:
        """Orthonormal inverse real FFT; real `(*, *spatial)`."""
        self._require_trailing(c, self.coefficients)
        return torch.fft.irfftn(c, s=self.spatial, dim=self._axes, norm="ortho")

    def frequencies(self) -> Tensor:
        """`fftfreq` on every axis but the last, `rfftfreq` on the last: `(n, *coefficients)`, float64."""
        axes = [torch.fft.fftfreq(side, dtype=torch.float64) for side in self.spatial[:-1]]
        axes.append(torch.fft.rfftfreq(self.spatial[-1], dtype=torch.float64))
        return torch.stack(torch.meshgrid(*axes, indexing="ij"))

    def multiplicity(self) -> Tensor:
        """1 on self-conjugate columns of the last axis (DC, and Nyquist if even), 2 elsewhere."""
        last = torch.full((self.coefficients[-1],), 2.0, dtype=torch.float64)
        last[self._self_conjugate_columns()] = 1.0
        return last.expand(self.coefficients).clone()

    def check_symmetry(self, weights: Tensor) -> None:
        """Weights of a real operator satisfy `w(k) = w(-k)`; only the self-conjugate columns can violate it."""
        columns = weights[..., self._self_conjugate_columns()]
        axes = tuple(range(weights.ndim - self.rank, weights.ndim - 1))
        mirrored = torch.roll(torch.flip(columns, axes), shifts=(1,) * len(axes), dims=axes) if axes else columns
        excess = (columns - mirrored).abs().max().item()
        if excess > 1e-12 * weights.abs().max().item():
            raise InputError(
                f"weights differ between f and -f by up to {excess:.3g}, which no real field allows;"
                " make them even, e.g. a function of |f|"
            )

    def _self_conjugate_columns(self) -> list[int]:
        side = self.spatial[-1]
        return [0, side // 2] if side % 2 == 0 and side > 1 else [0]


@dataclass(frozen=True)
class _RealBasis(Basis):
    """As many real coefficients as samples, each one degree of freedom, with no condition among them."""

    @property
    def coefficients(self) -> tuple[int, ...]:
        """The spatial shape itself."""
        return self.spatial

    @property
    def mirrored(self) -> bool:
        """True: frequencies have no sign."""
        return True

    def multiplicity(self) -> Tensor:
        """Ones."""
        return torch.ones(self.spatial, dtype=torch.float64)

    def check_symmetry(self, weights: Tensor) -> None:
        """Any real weights map real fields to real fields."""


@dataclass(frozen=True)
class CosineBasis(_RealBasis, kind="cosine"):
    """The orthonormal discrete cosine transform (DCT-II) on every spatial axis.

    It continues a field beyond its borders by reflection, where Fourier's wraps around: noise at one border is not
    correlated with the opposite one. Along an axis of `N` samples,
    `c_k = sqrt((2 - [k = 0]) / N) sum_x cos(pi (x + 1/2) k / N) x_x`.

    >>> CosineBasis((4,)).frequencies()
    tensor([[0.0000, 0.1250, 0.2500, 0.3750]], dtype=torch.float64)

    Source: Ahmed, Natarajan, Rao, "Discrete Cosine Transform" (1974); above `DENSE_SIDE` samples per side the algorithm
    of Makhoul, "A fast cosine transform in one and two dimensions" (1980), which needs one real FFT of the same length.
    """

    def forward(self, x: Tensor) -> Tensor:
        """DCT-II over the spatial axes; real `(*, *spatial)`."""
        self._require_trailing(x, self.spatial)
        for axis in self._axes:
            x = _dct(x, axis)
        return x

    def inverse(self, c: Tensor) -> Tensor:
        """Its transpose, the DCT-III; real `(*, *spatial)`."""
        self._require_trailing(c, self.spatial)
        for axis in self._axes:
            c = _inverse_dct(c, axis)
        return c

    def frequencies(self) -> Tensor:
        """`f_k = k / (2N)` on every axis: `(n, *spatial)`, float64."""
        axes = [torch.arange(side, dtype=torch.float64) / (2 * side) for side in self.spatial]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"))


@dataclass(frozen=True)
class WaveletBasis(_RealBasis, kind="wavelet"):
    """An orthonormal separable wavelet transform with periodic borders, in Mallat's layout.

    Each level splits the low-pass block, at first the whole field, into halves along every axis, low-pass before
    high-pass; the next level goes on with the corner that is low-pass in all axes. Coefficients are those of
    `pywt.wavedecn(x, name, "periodization", levels)`, arranged by `pywt.coeffs_to_array`. Sides of length 1 are left
    alone. Frequencies are the centres of the subbands: along an axis, `[2^-(j+1), 2^-j]` for what level `j` passed
    high, `[0, 2^-(j+1)]` for what it passed low, and 0 for a side of length 1.

    Args:
        spatial: Side lengths; those longer than 1 must divide by `2^levels`.
        name: An orthogonal wavelet of PyWavelets, e.g. "haar", "db2", "sym4", "coif1".
        levels: Number of levels; by default the largest that the sides allow, at most 5.

    Raises:
        InputError: If PyWavelets is missing, the wavelet unknown or not orthogonal, or a side does not divide.

    Source: Mallat, "A theory for multiresolution signal decomposition: the wavelet representation" (1989).

    >>> basis = WaveletBasis((8,), levels=2)
    >>> basis.frequencies()
    tensor([[0.0625, 0.0625, 0.1875, 0.1875, 0.3750, 0.3750, 0.3750, 0.3750]], dtype=torch.float64)
    """

    name: str = "haar"
    levels: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_orthogonal(self.name)
        # The number is kept, so that equal transforms are equal bases.
        object.__setattr__(self, "levels", _wavelet_levels(self.spatial, self.levels))

    def forward(self, x: Tensor) -> Tensor:
        """Wavelet transform over the spatial axes; real `(*, *spatial)`."""
        self._require_trailing(x, self.spatial)
        return self._transform(x, range(self._depth), _split)

    def inverse(self, c: Tensor) -> Tensor:
        """Its transpose, from the coarsest level to the finest; real `(*, *spatial)`."""
        self._require_trailing(c, self.spatial)
        return self._transform(c, reversed(range(self._depth)), _merge)

    def frequencies(self) -> Tensor:
        """Centre of the subband on every axis: `(n, *spatial)`, float64."""
        level = torch.stack(_grid([_axis_levels(side, self._depth) for side in self.spatial])).amin(0)
        centres = []
        for index, side in zip(_grid([torch.arange(side) for side in self.spatial]), self.spatial, strict=True):
            # Low-pass along this axis is the half of the level's block before `side / 2^level`.
            centre = torch.where(index << level < side, 0.25, 0.75).double() * 0.5 ** level.double()
            centres.append(centre if side > 1 else torch.zeros_like(centre))
        return torch.stack(centres)

    @property
    def _depth(self) -> int:
        return self.levels or 0

    def _transform(self, x: Tensor, levels: Iterable[int], step: Callable[[Tensor, int, str], Tensor]) -> Tensor:
        """One step per level and axis, each on the block that `level` halvings of every side leave."""
        y = x.clone()
        for level in levels:
            block: tuple[Any, ...] = (..., *[slice(side >> level or 1) for side in self.spatial])
            # An FFT keeps its input for the gradient, which must not be a view of what is written to below.
            part = y[block].clone() if level else y
            for axis in self._axes:
                if self.spatial[axis] > 1:
                    part = step(part, axis, self.name)
            if level:
                y[block] = part
            else:
                y = part
        return y


@dataclass(frozen=True)
class ChannelBasis(Basis, kind="channels"):
    """An orthonormal mix of the channels, then another basis on the spatial axes of each new channel.

    Acts on `(*, C, *spatial)` and gives `(*, C, *coefficients)`; frequencies, multiplicities and symmetry are those of
    `inner`, in every channel.

    Args:
        spatial: Side lengths of the spatial axes.
        inner: Basis of the spatial axes, or its description, with or without `spatial`.
        matrix: Rows of an orthonormal `(C, C)` matrix, one per new channel; nested sequences or a tensor. It is used as
            it is, so that `inverse` is exact to the accuracy with which its rows are orthonormal.

    Raises:
        InputError: If `inner` is of another shape or mixes channels itself, or `matrix` is not orthonormal to 1e-6.

    >>> basis = ChannelBasis((4,), "cosine", [[0.6, 0.8], [-0.8, 0.6]])
    >>> basis.channels, basis.coefficients, tuple(basis.forward(torch.zeros(7, 2, 4)).shape)
    (2, (4,), (7, 2, 4))
    """

    inner: Basis
    matrix: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        inner = build_basis(self.inner, self.spatial)
        if inner.channels is not None:
            raise InputError(f"inner must act on the spatial axes alone, got {inner.kind!r}; multiply the two matrices")
        object.__setattr__(self, "inner", inner)
        object.__setattr__(self, "matrix", _orthonormal_rows(self.matrix))

    @classmethod
    def decorrelating(cls, covariance: Tensor, inner: Basis) -> ChannelBasis:
        """The mix in which channels are uncorrelated: eigenvectors of their covariance, by decreasing variance.

        The largest entry of each row is made positive (the first of them, if several are as large).

        Args:
            covariance: Covariance of the channels, symmetric positive semi-definite `(C, C)`.
            inner: Basis of the spatial axes.

        Raises:
            InputError: If `covariance` is not such a matrix.
        """
        covariance = torch.as_tensor(covariance, dtype=torch.float64, device="cpu").detach()
        if covariance.ndim != 2 or len(covariance) != covariance.shape[-1] or not covariance.numel():
            raise InputError(f"channel covariance must be a matrix (C, C), got shape {tuple(covariance.shape)}")
        scale = covariance.abs().max()
        if not torch.isfinite(scale) or (covariance - covariance.T).abs().max() > 1e-6 * scale:
            raise InputError("channel covariance must be finite and symmetric")
        values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
        if values[0] < -1e-6 * scale:
            raise InputError(f"channel covariance must have no negative eigenvalues, got {values[0].item():.3g}")
        rows = vectors.T[values.argsort(descending=True, stable=True)]
        size = rows.abs()
        # Not argmax of the size: which of two equal entries is the larger is a matter of rounding.
        largest = (size > size.amax(1, keepdim=True) - 1e-6).double().argmax(1, keepdim=True)
        return cls(inner.spatial, inner, rows * rows.gather(1, largest).sign())

    @property
    def channels(self) -> int:
        """`C`."""
        return len(self.matrix)

    @property
    def mirrored(self) -> bool:
        """As `inner`."""
        return self.inner.mirrored

    @property
    def coefficients(self) -> tuple[int, ...]:
        """Those of `inner`, in each channel."""
        return self.inner.coefficients

    def forward(self, x: Tensor) -> Tensor:
        """`(*, C, *spatial) -> (*, C, *coefficients)`."""
        self._require_trailing(x, self.spatial)
        mix = _channel_matrix(self.matrix, x.dtype, x.device)
        return self.inner.forward(_multiply(mix, x, -self.rank - 1))

    def inverse(self, c: Tensor) -> Tensor:
        """`(*, C, *coefficients) -> (*, C, *spatial)`."""
        self._require_trailing(c, self.coefficients)
        x = self.inner.inverse(c)
        return _multiply(_channel_matrix(self.matrix, x.dtype, x.device).T, x, -self.rank - 1)

    def frequencies(self) -> Tensor:
        """Those of `inner`."""
        return self.inner.frequencies()

    def multiplicity(self) -> Tensor:
        """That of `inner`."""
        return self.inner.multiplicity()

    def check_symmetry(self, weights: Tensor) -> None:
        """The condition of `inner`, in each channel."""
        self.inner.check_symmetry(weights)


def _grid(axes: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.meshgrid(*axes, indexing="ij")


def _multiply(matrix: Tensor, x: Tensor, axis: int) -> Tensor:
    """The matrix times `x` along one axis, counted from the end; without copies of contiguous `x`."""
    if axis == -1:
        return x @ matrix.T
    return (matrix @ x.flatten(axis + 1)).reshape(x.shape)


# Constants of the transforms, once per size, type and device. Those made under inference mode could not be used in
# training later.


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _dct_matrix(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """DCT-II, `(side, side)`: rows are frequencies."""
    k, x = torch.arange(side)[:, None], torch.arange(side)
    # Reducing modulo the period in integers keeps the phases exact to rounding.
    phase = (k * (2 * x + 1) % (4 * side)).double() * (math.pi / (2 * side))
    matrix = torch.cos(phase) * math.sqrt(2 / side)
    matrix[0] = side**-0.5
    return matrix.to(device=device, dtype=dtype)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _dct_twiddle(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`s_k exp(-i pi k / (2 side))` for `k <= side / 2`, with `s_0 = 1` and the others `sqrt(2)`; complex."""
    k = torch.arange(side // 2 + 1, dtype=torch.float64)
    size = torch.full_like(k, math.sqrt(2))
    size[0] = 1.0
    return torch.polar(size, k * (-math.pi / (2 * side))).to(device=device, dtype=dtype.to_complex())


def _dct(x: Tensor, axis: int) -> Tensor:
    """DCT-II along one axis."""
    side = x.shape[axis]
    if side <= DENSE_SIDE:
        return _multiply(_dct_matrix(side, x.dtype, x.device), x, axis)
    x = x.movedim(axis, -1)
    folded = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)
    w = torch.fft.rfft(folded, norm="ortho") * _dct_twiddle(side, x.dtype, x.device)
    # w_k = c_k - i c_(N-k), since the folded field is real.
    return torch.cat([w.real, -w.imag[..., 1 : (side + 1) // 2].flip(-1)], -1).movedim(-1, axis)


def _inverse_dct(c: Tensor, axis: int) -> Tensor:
    """DCT-III along one axis: the steps of `_dct` backwards."""
    side = c.shape[axis]
    if side <= DENSE_SIDE:
        return _multiply(_dct_matrix(side, c.dtype, c.device).T, c, axis)
    c = c.movedim(axis, -1)
    half = side // 2
    w = torch.complex(c[..., : half + 1], -functional.pad(c.flip(-1)[..., :half], (1, 0)))
    folded = torch.fft.irfft(w / _dct_twiddle(side, c.dtype, c.device), n=side, norm="ortho")
    even, odd = folded[..., : side - half], folded[..., side - half :].flip(-1)
    pairs = torch.stack([even, functional.pad(odd, (0, side % 2))], -1)
    return pairs.flatten(-2)[..., :side].movedim(-1, axis)


def _pywt() -> Any:
    try:
        import pywt
    except ImportError:
        raise InputError("wavelet bases need PyWavelets: pip install PyWavelets, or sagd[wavelets]") from None
    return pywt


def _require_orthogonal(name: str) -> None:
    """Refuse what is no wavelet whose even shifts are orthonormal, by the filter and not only by its label."""
    pywt = _pywt()
    known = pywt.wavelist(kind="discrete")
    if name not in known:
        close = difflib.get_close_matches(str(name).lower(), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "try 'haar', 'db2' to 'db38', 'sym2' to 'sym20' or 'coif1'"
        raise InputError(f"unknown wavelet {name!r}; {hint}")
    wavelet = pywt.Wavelet(name)
    low = torch.tensor(wavelet.dec_lo, dtype=torch.float64)
    shifts = functional.conv1d(low[None, None], low[None, None], padding=len(low) - 2, stride=2).flatten()
    shifts[len(shifts) // 2] -= 1
    if not wavelet.orthogonal or shifts.abs().max() > 1e-9:
        raise InputError(f"wavelet {name!r} is not orthogonal; try 'haar', 'db2', 'sym4' or 'coif1'")


def _wavelet_levels(spatial: tuple[int, ...], levels: int | None) -> int:
    """The number of levels, checked against the sides; the default if None."""
    split = [side for side in spatial if side > 1]
    # The lowest set bit of a side is the largest power of 2 that divides it.
    most = min([(side & -side).bit_length() - 1 for side in split], default=1)
    if levels is not None and (isinstance(levels, bool) or not isinstance(levels, int) or levels < 1):
        raise InputError(f"levels must be a positive integer, got {levels!r}; leave it out for as many as fit")
    if most == 0:
        odd = next(side for side in split if side % 2)
        raise InputError(f"wavelets need even sides (or 1), got {odd} in {spatial}; crop or pad, or use 'cosine'")
    if levels is not None and split and levels > most:
        raise InputError(f"{levels} levels need sides that divide by {2**levels}, got {spatial}; use levels={most}")
    return levels or min(most, 5)


def _axis_levels(side: int, depth: int) -> Tensor:
    """The level at which each position along one axis in Mallat's layout left the low-pass block."""
    level = torch.full((side,), depth)
    for j in range(1, depth + 1 if side > 1 else 1):
        level[side >> j : side >> (j - 1)] = j
    return level


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _split_matrix(side: int, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """One level along an axis of even length, `(side, side)`: low-pass rows, then high-pass rows."""
    eye = torch.eye(side, dtype=torch.float64).numpy()
    low, high = (torch.from_numpy(half) for half in _pywt().dwt(eye, name, mode="periodization", axis=0))
    return torch.cat([low, high]).to(device=device, dtype=dtype)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _split_response(side: int, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Fourier transforms of the first low-pass and the first high-pass row of `_split_matrix`, `(2, side // 2 + 1)`."""
    first = torch.zeros(side // 2, dtype=torch.float64)
    first[0] = 1.0
    pairs = ((first.numpy(), None), (None, first.numpy()))
    rows = [torch.from_numpy(_pywt().idwt(*pair, name, mode="periodization")) for pair in pairs]
    return torch.fft.rfft(torch.stack(rows)).to(device=device, dtype=dtype.to_complex())


def _split(x: Tensor, axis: int, name: str) -> Tensor:
    """One level along one axis: low-pass half, then high-pass half."""
    side = x.shape[axis]
    if side <= DENSE_SIDE:
        return _multiply(_split_matrix(side, name, x.dtype, x.device), x, axis)
    # The rows are shifts by 2 of the first: a correlation, of which every other sample is kept.
    response = _split_response(side, name, x.dtype, x.device)
    product = torch.fft.rfft(x.movedim(axis, -1)).unsqueeze(-2) * response.conj()
    return torch.fft.irfft(product, n=side)[..., ::2].flatten(-2).movedim(-1, axis)


def _merge(c: Tensor, axis: int, name: str) -> Tensor:
    """The transpose of `_split`."""
    side = c.shape[axis]
    if side <= DENSE_SIDE:
        return _multiply(_split_matrix(side, name, c.dtype, c.device).T, c, axis)
    halves = c.movedim(axis, -1).unflatten(-1, (2, side // 2))
    spread = torch.stack([halves, torch.zeros_like(halves)], -1).flatten(-2)
    product = (torch.fft.rfft(spread) * _split_response(side, name, c.dtype, c.device)).sum(-2)
    return torch.fft.irfft(product, n=side).movedim(-1, axis)


def _orthonormal_rows(matrix: Any) -> tuple[tuple[float, ...], ...]:
    """Rows of a square orthonormal matrix as plain numbers."""
    try:
        values = torch.as_tensor(matrix, dtype=torch.float64, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"channel matrix must be rows of numbers, got {matrix!r}; e.g. [[0.6, 0.8], [-0.8, 0.6]]"
        ) from None
    if values.ndim != 2 or len(values) != values.shape[-1] or not values.numel():
        raise InputError(f"channel matrix must be square (C, C), got shape {tuple(values.shape)}")
    error = (values @ values.T - torch.eye(len(values), dtype=torch.float64)).abs().max().item()
    if not error <= 1e-6:
        raise InputError(
            f"rows of the channel matrix are orthonormal to {error:.3g} only, 1e-6 is needed; see torch.linalg.qr"
        )
    # Adding zero turns -0.0 into 0.0: equal matrices have equal JSON.
    return tuple(tuple(value + 0.0 for value in row) for row in values.tolist())


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _channel_matrix(rows: tuple[tuple[float, ...], ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).to(device=device, dtype=dtype)
