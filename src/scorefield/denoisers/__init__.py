"""Denoisers: learned, exact, and what networks predict."""

from .base import ConditionalDenoiser, Denoiser, DenoiserModule, PreconditionedNetwork
from .blended import Blended
from .classifier import ClassifierGuided, NoisyClassifier
from .conditional import ComposedDenoiser, Guided
from .consistency import ConditionalConsistency, ConsistencyFunction
from .energy import AnalyticDensity, EnergyDenoiser
from .exact import Empirical, Gaussian, Mixture, PrincipalMixture
from .mixed import ConditionalMixed, ConditionedMixed, GivenVariables, MixedDenoiser, RestrictedNumbers
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
    share_of_network,
)
from .pretrained import (
    FlowConditioning,
    IndexConditioning,
    LevelConditioning,
    NoiseConditioning,
    PretrainedConditional,
    PretrainedDenoiser,
    TimeConditioning,
    TutorialConditioning,
)
from .uncertainty import WithUncertainty
from .whitening import PrincipalMaps, Whitening

__all__ = [
    "AnalyticDensity",
    "Blended",
    "ClassifierGuided",
    "ComposedDenoiser",
    "ConditionalDenoiser",
    "ConditionalConsistency",
    "ConditionalMixed",
    "ConditionalPreconditioned",
    "Conditioned",
    "ConditionedMixed",
    "ConsistencyFunction",
    "DataPrediction",
    "Denoiser",
    "DenoiserModule",
    "EDMPrediction",
    "Empirical",
    "EnergyDenoiser",
    "FlowConditioning",
    "FlowPrediction",
    "Gaussian",
    "GivenVariables",
    "Guided",
    "IndexConditioning",
    "LevelConditioning",
    "MixedDenoiser",
    "Mixture",
    "NCSNDenoiser",
    "NoiseConditioning",
    "NoisePrediction",
    "NoisyClassifier",
    "Parametrization",
    "Preconditioned",
    "PreconditionedNetwork",
    "PretrainedConditional",
    "PretrainedDenoiser",
    "PrincipalMaps",
    "PrincipalMixture",
    "RestrictedNumbers",
    "ScorePrediction",
    "TimeConditioning",
    "TutorialConditioning",
    "VPrediction",
    "Whitening",
    "WithUncertainty",
    "share_of_network",
]
