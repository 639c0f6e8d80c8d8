"""Posteriors of a prior and a measurement, and the models of the likelihood of noisy states."""

from .daps import DAPS as DAPS
from .exact import ExactPosterior as ExactPosterior, exact_posterior as exact_posterior
from .measured import LinearizedMeasurement as LinearizedMeasurement, StandardizedMeasurement as StandardizedMeasurement
from .methods import (
    DPS as DPS,
    TMPD as TMPD,
    AnnealedLikelihood as AnnealedLikelihood,
    Method as Method,
    MomentMatching as MomentMatching,
    NoisyState as NoisyState,
    PiGDM as PiGDM,
    PosteriorMethod as PosteriorMethod,
)
from .posterior import Posterior as Posterior, PosteriorMoments as PosteriorMoments, posterior_of as posterior_of
from .repaint import RePaint as RePaint
from .twisted_smc import TwistedSMC as TwistedSMC, twisted_smc as twisted_smc

__all__ = [
    "AnnealedLikelihood",
    "DAPS",
    "DPS",
    "ExactPosterior",
    "LinearizedMeasurement",
    "Method",
    "MomentMatching",
    "NoisyState",
    "PiGDM",
    "Posterior",
    "PosteriorMoments",
    "RePaint",
    "StandardizedMeasurement",
    "TMPD",
    "TwistedSMC",
    "exact_posterior",
    "given",
    "twisted_smc",
]
