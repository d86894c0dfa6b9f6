"""What the data says about the noise: levels, slope, and whether a process meets it at both ends of time."""

from sagd.design.ends import SIGNAL_LIMIT, EndCheck, check_ends
from sagd.design.levels import Inspection, PowerLawFit, fit_power_law, inspect

__all__ = ["SIGNAL_LIMIT", "EndCheck", "Inspection", "PowerLawFit", "check_ends", "fit_power_law", "inspect"]
