"""Denoisers: learned, exact, and what networks predict."""

from .base import Denoiser as Denoiser
from .classifier import ClassifierGuided as ClassifierGuided, NoisyClassifier as NoisyClassifier
from .conditional import (
    ComposedDenoiser as ComposedDenoiser,
    Conditioned as Conditioned,
    Guided as Guided,
    part_of as part_of,
)
from .energy import AnalyticDensity as AnalyticDensity, EnergyDenoiser as EnergyDenoiser
from .exact import Empirical as Empirical, Gaussian as Gaussian, Mixture as Mixture
from .ncsn import NCSNDenoiser as NCSNDenoiser
from .precondition import (
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
