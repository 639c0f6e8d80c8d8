"""Posteriors of a prior and a measurement, and the models of the likelihood of noisy states."""

from .daps import DAPS
from .exact import ExactPosterior, exact_posterior
from .known import KnownCoordinates, ReplacementSMC
from .levels import SmallestLevel
from .measured import LinearizedMeasurement, StandardizedMeasurement
from .methods import DPS, TMPD, AnnealedLikelihood, Method, MomentMatching, NoisyState, PiGDM, PosteriorMethod
from .particles import TwistedParticles
from .posterior import Posterior, PosteriorMoments, posterior_of
from .repaint import RePaint
from .twisted_smc import TwistedSMC, twisted_smc

__all__ = [
    "AnnealedLikelihood",
    "DAPS",
    "DPS",
    "ExactPosterior",
    "LinearizedMeasurement",
    "KnownCoordinates",
    "Method",
    "MomentMatching",
    "NoisyState",
    "PiGDM",
    "Posterior",
    "PosteriorMethod",
    "PosteriorMoments",
    "RePaint",
    "ReplacementSMC",
    "SmallestLevel",
    "StandardizedMeasurement",
    "TMPD",
    "TwistedParticles",
    "TwistedSMC",
    "exact_posterior",
    "posterior_of",
    "twisted_smc",
]
