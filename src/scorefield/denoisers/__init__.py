"""Denoisers: learned, exact, and what networks predict."""

from .base import ConditionalDenoiser, Denoiser, DenoiserModule, PreconditionedNetwork
from .blended import Blended
from .classifier import ClassifierGuided, NoisyClassifier
from .conditional import ComposedDenoiser, Guided
from .energy import AnalyticDensity, EnergyDenoiser
from .exact import Empirical, Gaussian, Mixture
from .ncsn import NCSNDenoiser
from .precondition import (
    ConditionalPreconditioned,
    Conditioned,
    DataPrediction,
    EDMPrediction,
    FlowPrediction,
    NoisePrediction,
    Parametrization,
    Preconditioned,
    ScorePrediction,
    VPrediction,
)
from .pretrained import IndexConditioning, LevelConditioning, NoiseConditioning, PretrainedDenoiser, TimeConditioning
from .uncertainty import WithUncertainty

__all__ = [
    "AnalyticDensity",
    "Blended",
    "ClassifierGuided",
    "ComposedDenoiser",
    "ConditionalDenoiser",
    "ConditionalPreconditioned",
    "Conditioned",
    "DataPrediction",
    "Denoiser",
    "DenoiserModule",
    "EDMPrediction",
    "Empirical",
    "EnergyDenoiser",
    "FlowPrediction",
    "Gaussian",
    "Guided",
    "IndexConditioning",
    "LevelConditioning",
    "Mixture",
    "NCSNDenoiser",
    "NoiseConditioning",
    "NoisePrediction",
    "NoisyClassifier",
    "Parametrization",
    "Preconditioned",
    "PreconditionedNetwork",
    "PretrainedDenoiser",
    "ScorePrediction",
    "TimeConditioning",
    "VPrediction",
    "WithUncertainty",
]
