"""What every covariance must satisfy."""

from __future__ import annotations

import copy
import json
import math
import pickle
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from sagd.errors import InputError, SingularCovarianceError
from sagd.noise.basis.fourier import FourierBasis
from sagd.noise.covariance.base import Covariance
from sagd.noise.covariance.isotropic import IsotropicCovariance
from sagd.random import sample_generators
from sagd.testing.checks import assert_close, assert_copies, assert_within, devices, normal, quantile, raises
from sagd.testing.oracles import fourier_matrix


class CovarianceContract(ABC):
    """What every covariance must satisfy. Supply `covariance` and `matrix`; keep the size to a few dozen.

    Statistical tests draw `draws` samples from a fixed `seed` and fail a correct covariance with probability `level`.
    """

    seed: ClassVar[int] = 0
    draws: ClassVar[int] = 4000
    level: ClassVar[float] = 1e-6
    tolerance: ClassVar[float] = 1e-9
    """Relative agreement of float64 results with the dense matrix."""
    symmetric_root: ClassVar[bool] = True
    """Whether `sqrt` is the symmetric root of `Sigma`; else it is any factor `L` with `L L^T = Sigma`."""
    refused: ClassVar[tuple[str, ...]] = ()
    """Which of whiten, solve, mahalanobis and logdet are refused, `pseudo` or not."""
    rebuilds: ClassVar[bool] = True
    """Whether `Covariance.from_dict` rebuilds it from its description; else that is refused."""

    # Powers of Sigma that the operations stand for.
    _powers: ClassVar[dict[str, float]] = {"apply": 1, "sqrt": 0.5, "project": 0, "whiten": -0.5, "solve": -1}
    _inverses: ClassVar[tuple[str, ...]] = ("whiten", "solve")

    @abstractmethod
    def covariance(self) -> Covariance:
        """A fresh covariance."""

    @abstractmethod
    def matrix(self) -> Tensor:
        """The same covariance as a dense matrix built independently, `(size, size)`, float64."""

    def test_operations_match_the_matrix(self) -> None:
        """Each operation is its power of `Sigma`, the pseudo-inverse where singular; the input is left alone."""
        covariance = self.covariance()
        x = self._fields(3)
        before = x.clone()
        for name in self._operations():
            expected = (x.flatten(1) @ self._operation_matrix(name).T).reshape(x.shape)
            assert_close(self._operate(covariance, name, x), expected, name, self.tolerance)
        assert torch.equal(x, before), "the input was changed"

    def test_root_is_a_factor(self) -> None:
        """`L L^T = Sigma`, from all unit fields."""
        root = self._root()
        assert_close(root @ root.T, self.matrix(), "product of the root and its transpose", self.tolerance)

    def test_mean_power_matches_the_matrix(self) -> None:
        """`E |U eps|^2` in the Fourier basis, with the dense DFT; a basis of another shape is refused."""
        channels, *spatial = self.covariance().shape
        basis = FourierBasis(tuple(spatial))
        half = fourier_matrix(spatial).reshape(*spatial, -1)[..., : basis.coefficients[-1], :].reshape(-1, basis.size)
        blocks = self.matrix().reshape(channels, basis.size, channels, basis.size)
        own = torch.stack([blocks[c, :, c] for c in range(channels)]).to(half.dtype)
        expected = torch.einsum("kx,cxy,ky->ck", half, own, half.conj()).real.reshape(channels, *basis.coefficients)
        assert_close(self.covariance().mean_power(basis), expected, "mean power", self.tolerance)
        with raises(InputError, "basis is for spatial shape"):
            self.covariance().mean_power(FourierBasis((*spatial[:-1], spatial[-1] + 1)))

    def test_labels_do_not_matter(self) -> None:
        """`given` is the identity, and the covariance the only one of its classes."""
        covariance = self.covariance()
        assert covariance.members == (covariance,)
        assert not covariance.depends_on_class
        for labels in (None, torch.tensor([0, 3])):
            assert covariance.given(labels) is covariance

    def test_summaries_match_the_matrix(self) -> None:
        """Size, rank, trace, log-determinant and dense form."""
        covariance, matrix = self.covariance(), self.matrix()
        values = self._eigenvalues()
        assert covariance.size == len(matrix)
        assert covariance.rank == len(values)
        assert covariance.is_singular == (len(values) < len(matrix))
        assert math.isclose(covariance.trace, float(matrix.trace()), rel_tol=self.tolerance)
        logdet, size = float(values.log().sum()), float(values.log().abs().sum())
        if "logdet" not in self.refused:
            assert math.isclose(covariance.logdet(pseudo=True), logdet, abs_tol=self.tolerance * max(1, size))
        assert_close(covariance.to_dense(), matrix, "to_dense", self.tolerance)

    def test_what_it_claims_to_be(self) -> None:
        """White noise is a multiple of the identity; what names a basis is diagonal in it."""
        covariance, matrix = self.covariance(), self.matrix()
        if covariance.is_white:
            level = matrix[0, 0] * torch.eye(len(matrix), dtype=matrix.dtype)
            assert_close(matrix, level, "matrix of white noise", self.tolerance)
        if covariance.basis is not None:
            assert covariance.is_diagonal_in(covariance.basis)

    def test_mahalanobis_matches_the_matrix(self) -> None:
        """`x^T Sigma^+ x` per sample, in float64."""
        if "mahalanobis" in self.refused:
            return
        x = self._fields(3)
        flat = x.flatten(1)
        expected = torch.einsum("bi,ij,bj->b", flat, self._power(-1), flat)
        assert_close(self.covariance().mahalanobis(x, pseudo=True), expected, "mahalanobis", self.tolerance)
        assert self.covariance().mahalanobis(x.float(), pseudo=True).dtype == torch.float64

    def test_inverses_of_singular_covariances_are_refused(self) -> None:
        """Without `pseudo` an inverse of a singular covariance is an error that names it; else both agree."""
        covariance, x = self.covariance(), self._fields(2)
        for name in (*self._inverses, "mahalanobis"):
            operation = getattr(covariance, name)
            if covariance.is_singular:
                empty = covariance.size - covariance.rank
                with raises(SingularCovarianceError, rf"{empty} of {covariance.size}.*pseudo=True"):
                    operation(x)
            elif name not in self.refused:
                assert_close(operation(x), operation(x, pseudo=True), name, 0)
        if covariance.is_singular:
            with raises(SingularCovarianceError, "pseudo=True"):
                covariance.logdet()
        elif "logdet" not in self.refused:
            assert covariance.logdet() == covariance.logdet(pseudo=True)

    def test_what_is_refused(self) -> None:
        """Operations named in `refused` raise `InputError` in one line, with `pseudo` too."""
        covariance, x = self.covariance(), self._fields(2)
        for name in self.refused:
            with raises(InputError, r"^[^\n]+$"):
                covariance.logdet(pseudo=True) if name == "logdet" else getattr(covariance, name)(x, pseudo=True)

    def test_batch_axes(self) -> None:
        """No batch axis, one, or several."""
        covariance = self.covariance()
        x = self._fields(2, 3)
        for name in self._operations():
            whole = self._operate(covariance, name, x)
            assert_close(self._operate(covariance, name, x[1, 2]), whole[1, 2], f"{name} without batch", 1e-12)
            assert_close(self._operate(covariance, name, x[1]), whole[1], f"{name} with one batch axis", 1e-12)
        if "mahalanobis" in self.refused:
            return
        norms = covariance.mahalanobis(x, pseudo=True)
        assert tuple(norms.shape) == (2, 3)
        assert_close(covariance.mahalanobis(x[1, 2], pseudo=True), norms[1, 2], "mahalanobis without batch", 1e-12)

    def test_gradients(self) -> None:
        """All operations pass `gradcheck` in float64."""
        covariance, x = self.covariance(), self._fields(2).requires_grad_()
        for name in self._operations():
            torch.autograd.gradcheck(lambda y, name=name: self._operate(covariance, name, y), x, fast_mode=True)
        if "mahalanobis" not in self.refused:
            torch.autograd.gradcheck(lambda y: covariance.mahalanobis(y, pseudo=True), x, fast_mode=True)

    def test_types(self) -> None:
        """Results keep the input's type; half precision is computed in float32 and rounded once."""
        covariance, exact = self.covariance(), self._fields(3)
        for name in self._operations():
            expected = self._operate(covariance, name, exact).float()
            assert_close(self._operate(covariance, name, exact.float()), expected, f"{name} in float32", 1e-5)
            for dtype in (torch.bfloat16, torch.float16):
                x = exact.to(dtype)
                expected = self._operate(covariance, name, x.float()).to(dtype)
                assert_close(self._operate(covariance, name, x), expected, f"{name} in {dtype}", 0)

    def test_devices(self) -> None:
        """Results stay on the input's device and agree with the CPU's."""
        covariance, x = self.covariance(), self._fields(2).float()
        for device in devices():
            for name in self._operations():
                there = self._operate(covariance, name, x.to(device))
                assert (there.device.type, there.dtype, there.shape) == (device.type, x.dtype, x.shape)
                if device.type != "meta":
                    assert_close(there.cpu(), self._operate(covariance, name, x), f"{name} on {device}", 1e-5)
            assert covariance.sample(2, device=device).device.type == device.type

    def test_samples_are_coloured_white_noise(self) -> None:
        """A sample is exactly `L xi` with `xi` the generator's own normal draws, and lies in the range."""
        covariance = self.covariance()
        eps = covariance.sample(3, torch.Generator().manual_seed(self.seed), torch.float64)
        white = normal((3, *covariance.shape), self.seed)
        expected = (white.flatten(1) @ self._operation_matrix("sqrt").T).reshape(eps.shape)
        assert_close(eps, expected, "sample", self.tolerance)
        assert_close(covariance.project(eps), eps, "projection of a sample", self.tolerance)

    def test_samples_are_gaussian_with_this_covariance(self) -> None:
        """Mean, covariance, and law of `eps^T Sigma^+ eps`, which is chi-squared with `rank` degrees of freedom.

        The last one fails for noise that is rescaled sample by sample, whose norm does not vary as a Gaussian's does.
        """
        covariance, matrix, n = self.covariance(), self.matrix(), self.draws
        eps = covariance.sample(n, torch.Generator().manual_seed(self.seed + 1), torch.float64)
        flat = eps.flatten(1)
        # Three families of two-sided z-tests share `level`.
        z = quantile(self.level / 3 / matrix.numel())
        variance = matrix.diagonal()
        floor = 1e-12 * float(variance.max())
        std = ((variance[:, None] * variance + matrix.square()) / n).sqrt()
        assert_within(flat.T @ flat / n - matrix, z * std + floor, "sample covariance")
        assert_within(flat.mean(0), z * (variance / n).sqrt() + floor, "sample mean")
        k = int(covariance.rank)
        squared = torch.einsum("bi,ij,bj->b", flat, self._power(-1), flat)
        z = quantile(self.level / 6)
        assert_within(squared.mean() - k, torch.tensor(z * math.sqrt(2 * k / n)), "mean of squared norms")
        spread = 2 * k * math.sqrt((2 + 12 / k) / n)
        assert_within(squared.var() - 2 * k, torch.tensor(z * spread), "variance of squared norms")

    def test_samples_do_not_depend_on_the_batch(self) -> None:
        """With a generator per sample, splitting the batch changes nothing; a wrong number of them is refused."""
        covariance = self.covariance()
        whole = covariance.sample(4, sample_generators(self.seed, 4))
        parts = [
            covariance.sample(count, sample_generators(self.seed, count, first)) for count, first in ((1, 0), (3, 1))
        ]
        assert_close(torch.cat(parts), whole, "split batch", 1e-6)
        assert not torch.equal(whole[0], whole[1]), "two generators gave the same sample"
        with raises(InputError, "one per sample"):
            covariance.sample(3, sample_generators(self.seed, 2))

    def test_sample_shapes_and_types(self) -> None:
        """Any batch shape and floating type; float32 by default."""
        covariance = self.covariance()
        for batch in ((), (2,), (2, 3)):
            assert tuple(covariance.sample(batch).shape) == (*batch, *covariance.shape)
        assert covariance.sample(1).dtype == torch.get_default_dtype()
        for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
            assert covariance.sample(1, dtype=dtype).dtype == dtype

    def test_description_identifies_the_covariance(self) -> None:
        """Equal objects have equal JSON descriptions, fingerprints and hashes; other covariances differ."""
        covariance, again = self.covariance(), self.covariance()
        described = covariance.to_dict()
        assert json.loads(json.dumps(described)) == described
        covariance.apply(self._fields(1))
        assert covariance.to_dict() == described
        assert covariance == again
        assert (covariance.fingerprint(), hash(covariance)) == (again.fingerprint(), hash(again))
        other = IsotropicCovariance(covariance.shape, variance=math.e)
        assert covariance != other
        assert covariance.fingerprint() != other.fingerprint()

    def test_description_rebuilds_the_covariance(self) -> None:
        """Through JSON, with the same action; or it is refused."""
        covariance, x = self.covariance(), self._fields(2)
        described = json.loads(json.dumps(covariance.to_dict()))
        if not self.rebuilds:
            with raises(InputError, "cannot be rebuilt"):
                Covariance.from_dict(described)
            return
        rebuilt = Covariance.from_dict(described)
        assert rebuilt == covariance
        assert_close(rebuilt.apply(x), covariance.apply(x), "apply of a rebuilt covariance", 0)

    def test_copies_are_equal(self) -> None:
        """Pickled and deep copies, made before and after use, do the same."""
        covariance, x = self.covariance(), self._fields(2)
        assert_copies(covariance)
        expected = covariance.apply(x)
        assert_copies(covariance)
        for clone in (pickle.loads(pickle.dumps(covariance)), copy.deepcopy(covariance)):
            assert_close(clone.apply(x), expected, "apply of a copy", 0)

    def test_bad_fields_are_refused(self) -> None:
        """Other shapes and integers are errors that name what was given."""
        covariance = self.covariance()
        larger = (*covariance.shape[:-1], covariance.shape[-1] + 1)
        for name in self._operations():
            with raises(InputError, "does not end in"):
                self._operate(covariance, name, torch.zeros(larger))
            with raises(InputError, "floating point"):
                self._operate(covariance, name, torch.zeros(covariance.shape, dtype=torch.int64))

    def _fields(self, *batch: int) -> Tensor:
        return normal((*batch, *self.covariance().shape), self.seed)

    def _operations(self) -> list[str]:
        """Names of the operations on fields that are not refused."""
        return [name for name in self._powers if name not in self.refused]

    def _operation_matrix(self, name: str) -> Tensor:
        """What an operation must be, as a matrix `(size, size)`."""
        if self.symmetric_root or name not in ("sqrt", "whiten"):
            return self._power(self._powers[name])
        # Any factor will do; the root of the tolerance of `_power` tells its zero singular values.
        return self._root() if name == "sqrt" else torch.linalg.pinv(self._root(), rtol=1e-5)

    def _root(self) -> Tensor:
        """The factor `L` of `sqrt` as a matrix, `(size, size)`."""
        covariance = self.covariance()
        eye = torch.eye(covariance.size, dtype=torch.float64).reshape(-1, *covariance.shape)
        return covariance.sqrt(eye).flatten(1).T

    def _operate(self, covariance: Covariance, name: str, x: Tensor) -> Tensor:
        operation = getattr(covariance, name)
        return operation(x, pseudo=True) if name in self._inverses else operation(x)

    def _eigenvalues(self) -> Tensor:
        """Non-zero eigenvalues of the dense matrix."""
        values = torch.linalg.eigvalsh(self.matrix())
        return values[values > 1e-10 * values.max()]

    def _power(self, power: float) -> Tensor:
        """`Sigma^power` on its range, from the eigenvectors of the dense matrix."""
        values, vectors = torch.linalg.eigh(self.matrix())
        inside = values > 1e-10 * values.max()
        return (vectors[:, inside] * values[inside] ** power) @ vectors[:, inside].T
