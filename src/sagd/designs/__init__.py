"""What the data says about the noise: levels, slope, and whether a process meets it at both ends of time."""

from sagd.designs.ends import SIGNAL_LIMIT, EndCheck, check_ends
from sagd.designs.levels import Inspection, PowerLawFit, fit_power_law, inspect

__all__ = ["SIGNAL_LIMIT", "EndCheck", "Inspection", "PowerLawFit", "check_ends", "fit_power_law", "inspect"]
