"""Log-densities, with their errors."""

from .base import LogProb as LogProb
from .bound import Bound as Bound, bound as bound
from .density import Density as Density
from .discrete import BitsPerDim as BitsPerDim, bits_per_dim as bits_per_dim, spacing as spacing
from .flow import log_prob as log_prob
from .marginal import marginal as marginal
from .twin import self_check as self_check
from .units import Scaled as Scaled
from .unusual import typicality as typicality
