"""Denoisers: learned, exact, and what networks predict."""

from .base import (
    ConditionalDenoiser as ConditionalDenoiser,
    Denoiser as Denoiser,
    DenoiserModule as DenoiserModule,
    PreconditionedNetwork as PreconditionedNetwork,
)
from .classifier import ClassifierGuided as ClassifierGuided, NoisyClassifier as NoisyClassifier
from .conditional import ComposedDenoiser as ComposedDenoiser, Guided as Guided
from .energy import AnalyticDensity as AnalyticDensity, EnergyDenoiser as EnergyDenoiser
from .exact import Empirical as Empirical, Gaussian as Gaussian, Mixture as Mixture
from .ncsn import NCSNDenoiser as NCSNDenoiser
from .precondition import (
    ConditionalPreconditioned as ConditionalPreconditioned,
    Conditioned as Conditioned,
    DataPrediction as DataPrediction,
    EDMPrediction as EDMPrediction,
    FlowPrediction as FlowPrediction,
    NoisePrediction as NoisePrediction,
    Parametrization as Parametrization,
    Preconditioned as Preconditioned,
    ScorePrediction as ScorePrediction,
    VPrediction as VPrediction,
)
from .pretrained import (
    IndexConditioning as IndexConditioning,
    LevelConditioning as LevelConditioning,
    NoiseConditioning as NoiseConditioning,
    PretrainedDenoiser as PretrainedDenoiser,
    TimeConditioning as TimeConditioning,
)
from .uncertainty import WithUncertainty as WithUncertainty

__all__ = [
    "AnalyticDensity",
    "ClassifierGuided",
    "ComposedDenoiser",
    "Conditioned",
    "DataPrediction",
    "Denoiser",
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
    "PretrainedDenoiser",
    "ScorePrediction",
    "TimeConditioning",
    "VPrediction",
    "WithUncertainty",
    "part_of",
]
