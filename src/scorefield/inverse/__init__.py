"""Posteriors of models: their evidence, by particles, and whether a method is to be trusted with a measurement."""

from .ranks import RankTest, rank_test
from .simulating import PosteriorCheck, check_posterior
from .weighing import evidence, misfit

__all__ = ["PosteriorCheck", "RankTest", "check_posterior", "evidence", "misfit", "rank_test"]
