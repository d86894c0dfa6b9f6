"""The score, and quantities by their names."""

from __future__ import annotations

from torch import Tensor

from sagd.errors import InputError
from sagd.model.parameterisation.base import Direct, Parameterisation, Quantity, require_signal
from sagd.process.base import Process, Time


class Score(Quantity):
    """`grad log q(x_t | x_0) = -Sigma_w^-1 eps / sigma`, pseudo-inverse where `Sigma_w` is singular.

    No network is trained on it: it is unbounded at `t = 0`, and `eps` is the same up to a filter.
    """

    def target(self, process: Process, x_0: Tensor, eps: Tensor, t: Time) -> Tensor:
        """The score of the pair; 0 where a band is unseen."""
        return -process.covariance.solve(eps, pseudo=True) / process.sigma(t, x_0)

    def to_x0(self, process: Process, output: Tensor, x_t: Tensor, t: Time) -> Tensor:
        """`(x_t + sigma^2 Sigma_w score) / alpha`."""
        alpha = process.alpha(t, x_t)
        require_signal("score", process, alpha, t)
        x_0 = (x_t + process.sigma(t, x_t) ** 2 * process.covariance.apply(output)) / alpha
        return process.unseen.completed(x_0, output)


def quantity(kind: Quantity | str) -> Quantity:
    """A quantity of image and noise alone by its name: `score`, `eps`, `x0`, `v`, `velocity`.

    Raises:
        InputError: If there is none of that name, or it is more than that.
    """
    if isinstance(kind, Quantity):
        return kind
    if kind == "score":
        return Score()
    found = Parameterisation.parse(kind)
    if not isinstance(found, Direct):
        raise InputError(f"{kind!r} is no quantity of image and noise alone; known: score, eps, x0, v, velocity")
    return found
