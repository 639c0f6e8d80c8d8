"""Log-densities, with their errors."""

from .base import LogProb as LogProb
from .bound import Bound as Bound, bound as bound
from .data_units import DataDensity as DataDensity
from .density import Density as Density
from .discrete import BitsPerDim as BitsPerDim, bits_per_dim as bits_per_dim, spacing as spacing
from .marginal import marginal as marginal
from .probability_flow import log_prob as log_prob
from .self_check import self_check as self_check
from .typicality import typicality as typicality

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
