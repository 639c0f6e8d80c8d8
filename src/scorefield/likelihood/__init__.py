"""Log-densities."""

from .flow import LogProb as LogProb, log_prob as log_prob
