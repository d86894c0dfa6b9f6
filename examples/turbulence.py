"""Two-dimensional turbulence, whose spectrum is steep: data on which the choice of the noise matters.

    python examples/turbulence.py fields.npy --field velocity
    sagd train --data.source fields.npy --process.spectrum 'whitening(exponent=1)' --out runs/turbulence

The vorticity `w` of an incompressible flow on a periodic square of side `2 pi`,

    dw/dt + u . grad w = nu Laplace w - mu w + F,    u = (d psi/dy, -d psi/dx),  Laplace psi = -w

decays from random eddies, or is stirred by `F`, white in time, in a ring of wave numbers; viscosity `nu` takes what
arrives at small scales and drag `mu` what gathers at large ones. In Fourier space the linear terms are exact (an
integrating factor), the others are advanced by the method of Runge and Kutta of fourth order, and products are free of
aliases, since the lowest two thirds of the wave numbers are kept. Independent runs lie side by side in a batch of
coefficients `torch.fft.rfft2(w)`.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Flow:
    """What moves a flow and what slows it.

    Attributes:
        viscosity: `nu`.
        drag: `mu`.
        stirring: Enstrophy, half the mean square of the vorticity, that `F` puts in per unit of time.
        ring: Least and largest wave number of `F`, and of the eddies at the beginning.
    """

    viscosity: float = 5e-4
    drag: float = 0.0
    stirring: float = 0.0
    ring: tuple[float, float] = (3.0, 6.0)

    def step(self, w: Tensor, dt: float) -> Tensor:
        """A time step without stirring."""
        x, y = waves(w)
        half = torch.exp(-dt / 2 * (self.viscosity * (x**2 + y**2) + self.drag))
        full = half**2
        a = advection(w)
        b = advection(half * (w + dt / 2 * a))
        c = advection(half * w + dt / 2 * b)
        d = advection(full * w + dt * half * c)
        return full * w + dt / 6 * (full * a + 2 * half * (b + c) + d)

    def stirred(self, w: Tensor, dt: float, generator: torch.Generator) -> Tensor:
        """The flow after what `F` does in a time step."""
        kicks = in_ring(noise(w, generator), *self.ring)
        return w + kicks * (2 * self.stirring * dt / mean_square(kicks).mean()) ** 0.5


def waves(w: Tensor) -> tuple[Tensor, Tensor]:
    """Wave numbers along both axes, which broadcast against coefficients `(*, N, N/2 + 1)`."""
    side, dtype = w.shape[-2], w.real.dtype
    return side * torch.fft.fftfreq(side, dtype=dtype)[:, None], side * torch.fft.rfftfreq(side, dtype=dtype)


def stream(w: Tensor) -> Tensor:
    """Coefficients of the stream function."""
    x, y = waves(w)
    square = x**2 + y**2
    return torch.where(square > 0, w / square.clamp(min=1), 0)


def velocity(w: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients of the velocity along both axes."""
    (x, y), psi = waves(w), stream(w)
    return 1j * y * psi, -1j * x * psi


def advection(w: Tensor) -> Tensor:
    """Coefficients of `-u . grad w`, two thirds of them."""
    side = w.shape[-2]
    factors, kept = _factors(side, w.dtype)
    u, v, along_x, along_y = torch.fft.irfft2(factors[:, None] * w.flatten(0, -3), s=(side, side))
    return (kept * torch.fft.rfft2(u * along_x + v * along_y)).reshape(w.shape)


@functools.lru_cache(maxsize=2)
def _factors(side: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """What makes of vorticity the velocity and its own gradient, `(4, N, N/2 + 1)`; minus one for what is kept."""
    one = torch.ones(side, side // 2 + 1, dtype=dtype)
    x, y = waves(one)
    factors = torch.stack([*velocity(one), 1j * x * one, 1j * y * one])
    return factors, -((x.abs() < side / 3) & (y < side / 3)).to(one.real)


def noise(w: Tensor, generator: torch.Generator) -> Tensor:
    """Coefficients of white noise, like `w`."""
    side = w.shape[-2]
    return torch.fft.rfft2(torch.randn(*w.shape[:-1], side, generator=generator, dtype=w.real.dtype))


def in_ring(w: Tensor, least: float, most: float) -> Tensor:
    """Those whose wave numbers lie in a ring."""
    x, y = waves(w)
    k = torch.sqrt(x**2 + y**2)
    return torch.where((k >= least) & (k <= most), w, 0)


def mean_square(w: Tensor) -> Tensor:
    """Mean square of each field, from its coefficients."""
    side = w.shape[-2]
    return torch.fft.irfft2(w, s=(side, side)).square().mean((-2, -1))


def on_grid(w: Tensor, side: int) -> Tensor:
    """Fields `(*, side, side)` of coefficients on a finer grid, from the wave numbers that they can hold."""
    fine, end = w.shape[-2], side // 2
    rows = torch.cat([w[..., :end, :end], w.new_zeros(*w.shape[:-2], 1, end), w[..., fine - end + 1 :, :end]], -2)
    return torch.fft.irfft2(torch.nn.functional.pad(rows, (0, 1)), s=(side, side)) * (side / fine) ** 2


def simulate(
    runs: int,
    times: int,
    side: int = 64,
    flow: Flow | None = None,
    dt: float = 0.02,
    every: int = 50,
    spin_up: int = 300,
    seed: int = 0,
) -> Iterator[Tensor]:
    """Coefficients of the vorticity of independent runs `(runs, N, N/2 + 1)`, at one time after the other.

    Args:
        runs: Number of runs.
        times: Number of times.
        side: `N`.
        flow: What moves it.
        dt: Time step.
        every: Steps from one time to the next.
        spin_up: Steps before the first one.
        seed: Of beginnings and stirring.
    """
    flow, generator = flow or Flow(), torch.Generator().manual_seed(seed)
    w = in_ring(noise(torch.zeros(runs, side, side // 2 + 1, dtype=torch.complex64), generator), *flow.ring)
    w = w * (4 / mean_square(w).mean().sqrt())
    for step in range(1, spin_up + every * times + 1):
        w = flow.step(w, dt)
        w = flow.stirred(w, dt, generator) if flow.stirring else w
        if step > spin_up and (step - spin_up) % every == 0:
            yield w


FIELDS = {"vorticity": lambda w: w, "velocity": lambda w: velocity(w)[0], "stream": stream}
"""What can be written of coefficients of the vorticity, from the flattest spectrum to the steepest."""


def fields(flows: Iterable[Tensor], side: int) -> dict[str, Tensor]:
    """All kinds of `FIELDS` on a grid, each `(N, side, side)`, those of a run one after the other.

    Vorticity decays; that of each time is divided by its root mean square over all runs, as if time had run slower.
    """
    parts = [
        {name: on_grid(field(w / mean_square(w).mean().sqrt()), side) for name, field in FIELDS.items()} for w in flows
    ]
    return {name: torch.stack([part[name] for part in parts], 1).flatten(0, 1) for name in FIELDS}


def main(args: list[str] | None = None) -> None:
    """Write fields `(N, H, W)`, float32; those of a run follow each other."""
    parser = argparse.ArgumentParser(description="Write fields of two-dimensional turbulence to a .npy file.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--field", choices=[*FIELDS], default="velocity", help="default: velocity, along one axis")
    parser.add_argument("--runs", type=int, default=320, help="independent runs; default: 320")
    parser.add_argument("--times", type=int, default=8, help="fields of each; default: 8")
    parser.add_argument("--side", type=int, default=32, help="pixels a side; default: 32, of 64 that are simulated")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(args)
    flows = simulate(given.runs, given.times, 2 * given.side, seed=given.seed)
    np.save(given.out, fields(flows, given.side)[given.field].numpy())


if __name__ == "__main__":
    main()
