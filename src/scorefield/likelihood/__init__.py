"""Log-densities, with their errors."""

from .base import LogProb
from .bound import Bound, bound
from .data_units import DataDensity
from .density import Density
from .discrete import BitsPerDim, bits_per_dim, spacing
from .marginal import marginal
from .probability_flow import log_prob
from .self_check import self_check
from .typicality import typicality

__all__ = [
    "BitsPerDim",
    "Bound",
    "DataDensity",
    "Density",
    "LogProb",
    "bits_per_dim",
    "bound",
    "log_prob",
    "marginal",
    "self_check",
    "spacing",
    "typicality",
]
