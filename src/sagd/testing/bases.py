"""What every basis must satisfy."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sagd.errors import InputError
from sagd.noise.basis.base import Basis, build_basis
from sagd.testing.checks import assert_close, assert_copies, devices, normal, raises


class BasisContract(ABC):
    """What every orthonormal transform `U` must satisfy. Supply `basis` and `matrix`; keep `d` to a few hundred.

    Fields are `(*, *spatial)`, or `(*, C, *spatial)` where the basis mixes `C` channels.
    """

    @abstractmethod
    def basis(self) -> Basis:
        """A fresh basis."""

    @abstractmethod
    def matrix(self) -> Tensor:
        """Its forward transform as a dense matrix built independently, real or complex.

        `(coefficients, d)`, or `(C coefficients, C d)` where the basis mixes `C` channels.
        """

    def test_forward_matches_the_matrix(self) -> None:
        """`forward` is the matrix, for any number of batch axes; the input is left alone."""
        basis, shape, matrix = self.basis(), self._shape(), self.matrix()
        for batch in ((), (3,), (2, 3)):
            x = normal((*batch, *shape))
            before = x.clone()
            expected = x.flatten(-len(shape)).to(matrix.dtype) @ matrix.T
            expected = expected.reshape(*batch, *shape[: -basis.rank], *basis.coefficients)
            assert_close(basis.forward(x), expected, f"forward with batch {batch}")
            assert torch.equal(x, before), "the input was changed"

    def test_inverse_is_exact(self) -> None:
        """`inverse` undoes `forward`, and keeps the type; the coefficients are left alone."""
        basis = self.basis()
        x = normal((2, 3, *self._shape()))
        c = basis.forward(x)
        before = c.clone()
        assert_close(basis.inverse(c), x, "inverse of forward")
        assert torch.equal(c, before), "the coefficients were changed"
        narrow = basis.forward(x.float())
        assert_close(narrow, c.to(narrow.dtype), "forward, float32", 1e-5)
        assert_close(basis.inverse(narrow), x.float(), "inverse of forward, float32", 1e-5)

    def test_layout_of_memory_does_not_matter(self) -> None:
        """Transposed and expanded fields are transformed like their contiguous copies."""
        basis, shape = self.basis(), self._shape()
        x = normal((*reversed(shape), 2)).permute(*range(len(shape), -1, -1))
        c = basis.forward(x)
        assert_close(c, basis.forward(x.contiguous()), "forward of a transposed field")
        turned = c.mT.contiguous().mT if c.ndim > 1 else c
        assert_close(basis.inverse(turned), x.contiguous(), "inverse of transposed coefficients")
        expanded = normal(shape).expand(4, 1, *shape)
        assert_close(basis.forward(expanded), basis.forward(expanded.contiguous()), "forward of an expanded field")
        narrow = c[:1].expand(4, *c.shape[1:])
        assert_close(basis.inverse(narrow), basis.inverse(narrow.contiguous()), "inverse of expanded coefficients")

    def test_multiplicity_resolves_the_identity(self) -> None:
        """`sum_f m(f) u_f* u_f^T = 1` in each channel; Parseval's identity and `sum_f m(f) = d` are consequences."""
        basis, matrix = self.basis(), self.matrix()
        multiplicity = basis.multiplicity()
        assert (multiplicity.dtype, tuple(multiplicity.shape)) == (torch.float64, basis.coefficients)
        resolved = (matrix.mH * multiplicity.flatten().repeat(basis.channels or 1)) @ matrix
        identity = torch.eye(len(resolved), dtype=torch.float64)
        assert_close(resolved.real.clone(), identity, "resolution of the identity")
        assert float(multiplicity.sum()) == basis.size

    def test_frequencies(self) -> None:
        """One frequency vector per coefficient, none above Nyquist, without sign where mirrored; `rho` in [0, 1]."""
        basis = self.basis()
        frequencies = basis.frequencies()
        assert frequencies.dtype == torch.float64
        assert tuple(frequencies.shape) == (basis.rank, *basis.coefficients)
        assert float(frequencies.abs().max()) <= 0.5
        assert all(float(frequencies[axis].min()) >= 0 for axis in basis.mirrored)
        assert float(basis.relative_radius().min()) >= 0
        assert float(basis.relative_radius().max()) <= 1 + 1e-12

    def test_what_it_claims_to_be(self) -> None:
        """A mix of channels in front of a basis of the axes; cyclic shifts leave the size of Fourier coefficients."""
        basis, x = self.basis(), normal(self._shape())
        part, mixed = basis.spatial_part, x
        assert part.channels is None
        assert (basis.mixing is None) == (basis.channels is None)
        if basis.mixing is not None:
            mixed = torch.einsum("kc,c...->k...", torch.tensor(basis.mixing, dtype=torch.float64), x)
        assert_close(part.forward(mixed), basis.forward(x), "the parts in turn")
        if basis.is_fourier:
            shifted = basis.forward(x.roll(1, -1))
            assert_close(shifted.abs(), basis.forward(x).abs(), "coefficients of a shifted field")

    def test_gradients(self) -> None:
        """`forward` and a filter in the basis pass `gradcheck`."""
        basis = self.basis()
        x = normal((2, *self._shape())).requires_grad_()
        weights = basis.radius() + 0.5
        torch.autograd.gradcheck(basis.forward, x, fast_mode=True)
        torch.autograd.gradcheck(lambda y: basis.inverse(basis.forward(y) * weights), x, fast_mode=True)

    def test_devices(self) -> None:
        """Results stay on the input's device."""
        basis, shape = self.basis(), self._shape()
        for device in devices():
            there = basis.inverse(basis.forward(normal(shape).to(device)))
            assert (there.device.type, tuple(there.shape)) == (device.type, shape)

    def test_copies_are_equal(self) -> None:
        """Copies and fresh bases are equal, another shape is not."""
        basis = self.basis()
        assert_copies(basis)
        assert basis == self.basis()
        assert basis != Basis.from_dict(_on_shape(basis.to_dict(), (*basis.spatial, 1)))

    def test_mapping_describes_the_basis(self) -> None:
        """The mapping survives JSON and reads back as the same basis, as does the text."""
        basis = self.basis()
        mapping = json.loads(json.dumps(basis.to_dict()))
        assert mapping == basis.to_dict()
        for other in (Basis.from_dict(mapping), Basis.parse(str(basis)), build_basis(mapping, basis.spatial)):
            assert (type(other), other) == (type(basis), basis)

    def test_real_even_weights_are_accepted(self) -> None:
        """Functions of `|f|` make real operators."""
        self.basis().check_symmetry(torch.exp(-self.basis().radius()))

    def test_other_shapes_are_refused(self) -> None:
        """A tensor of another shape is an error, not padded or cut."""
        basis, channels = self.basis(), self._shape()[: -self.basis().rank]
        with raises(InputError, "does not end in"):
            basis.forward(torch.zeros(*channels, *basis.spatial[:-1], basis.spatial[-1] + 1))
        with raises(InputError, "does not end in"):
            basis.inverse(torch.zeros(*channels, *basis.coefficients[:-1], basis.coefficients[-1] + 1))
        for count in channels:
            with raises(InputError, f"{count} channels"):
                basis.forward(torch.zeros(count + 1, *basis.spatial))
            with raises(InputError, f"{count} channels"):
                basis.inverse(torch.zeros(*basis.coefficients))

    def _shape(self) -> tuple[int, ...]:
        """Shape of one field."""
        basis = self.basis()
        return basis.spatial if basis.channels is None else (basis.channels, *basis.spatial)


def _on_shape(mapping: dict[str, Any], spatial: Sequence[int]) -> dict[str, Any]:
    """The description of the same kind of basis on another spatial shape."""
    nested = {name: _on_shape(value, spatial) for name, value in mapping.items() if isinstance(value, dict)}
    return {**mapping, **nested, "spatial": spatial}
