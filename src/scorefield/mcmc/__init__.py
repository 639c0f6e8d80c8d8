"""Markov chain Monte Carlo for any score or log-density, independent of diffusion models."""

from .chain import Chain, langevin
from .effective_size import autocorrelation, effective_sample_size
from .importance import annealed_importance, geometric, score_importance
from .sequential import Population, sequential_monte_carlo
from .simulated_annealing import AnnealingResult, simulated_annealing, tempered
from .transition import (
    ChainState,
    GaussianLangevin,
    Hamiltonian,
    Langevin,
    MetropolisLangevin,
    Target,
    Transition,
    Unadjusted,
)
from .weighted import Estimate, WeightedSamples

__all__ = [
    "AnnealingResult",
    "Chain",
    "ChainState",
    "Estimate",
    "GaussianLangevin",
    "Hamiltonian",
    "Langevin",
    "MetropolisLangevin",
    "Population",
    "Target",
    "Transition",
    "Unadjusted",
    "WeightedSamples",
    "annealed_importance",
    "autocorrelation",
    "effective_sample_size",
    "geometric",
    "langevin",
    "score_importance",
    "sequential_monte_carlo",
    "simulated_annealing",
    "tempered",
]
