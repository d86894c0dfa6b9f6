"""What a network's output stands for and what it sees, a prediction a file; importing any makes all known to texts."""

# Kinds are shown to people in this order.
# isort: off
from sagd.model.parameterisation.base import Direct, Parameterisation, Quantity
from sagd.model.parameterisation.eps import Eps
from sagd.model.parameterisation.x0 import X0
from sagd.model.parameterisation.v import V
from sagd.model.parameterisation.velocity import Velocity
from sagd.model.parameterisation.edm import Edm
from sagd.model.parameterisation.wiener import Wiener
from sagd.model.parameterisation.score import Score, quantity
from sagd.plugins import import_all

__all__ = [
    "X0",
    "Direct",
    "Edm",
    "Eps",
    "Parameterisation",
    "Quantity",
    "Score",
    "V",
    "Velocity",
    "Wiener",
    "quantity",
]

import_all(__name__, __path__)
