"""Markov chain Monte Carlo for any score or log-density, independent of diffusion models."""

from .chain import Chain as Chain, langevin as langevin
from .effective_size import autocorrelation as autocorrelation, effective_sample_size as effective_sample_size
from .importance import (
    annealed_importance as annealed_importance,
    geometric as geometric,
    score_importance as score_importance,
)
from .sequential import Population as Population, sequential_monte_carlo as sequential_monte_carlo
from .simulated_annealing import (
    AnnealingResult as AnnealingResult,
    simulated_annealing as simulated_annealing,
    tempered as tempered,
)
from .transition import (
    ChainState as ChainState,
    GaussianLangevin as GaussianLangevin,
    Hamiltonian as Hamiltonian,
    Langevin as Langevin,
    MetropolisLangevin as MetropolisLangevin,
    Target as Target,
    Transition as Transition,
    Unadjusted as Unadjusted,
)
from .weighted import Estimate as Estimate, WeightedSamples as WeightedSamples

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
