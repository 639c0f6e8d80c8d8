"""Posteriors: a prior and a measurement, and how what lies between is modelled."""

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
)
from .posterior import Posterior as Posterior, PosteriorMoments as PosteriorMoments, given as given
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
