"""Posteriors of models: their evidence, by particles, where methods are biased, and whether to trust one with a measurement."""

from .approximating import ApproximationError, approximation_error
from .ranks import RankTest, rank_test
from .simulating import PosteriorCheck, check_posterior
from .weighing import evidence, misfit

__all__ = [
    "ApproximationError",
    "PosteriorCheck",
    "RankTest",
    "approximation_error",
    "check_posterior",
    "evidence",
    "misfit",
    "rank_test",
]
