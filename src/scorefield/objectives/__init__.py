"""Training objectives. They need a distribution of noise levels, but no diffusion process.

Each of them compares a denoiser D with the exact denoiser D* by the same expectation,

    E[loss] = w(σ) (E‖D* - x_0‖² + E‖D - D*‖²) / n,    ‖D - D*‖² = σ⁴ ‖s - ∇ log p_σ‖²,

at each level σ, for data x_0 with n components. The first term is the same for every denoiser, the second is the error of
the score. Objectives with the same levels and the same weighting w therefore have the same mean for every denoiser, and
their values can be compared. They differ in variance, in cost and in what they need:

    DenoisingScoreMatching    needs x_0 and the noise; its variance grows as the level falls
    ExactScoreMatching        needs the divergence of the network: n derivatives per step
    SlicedScoreMatching       estimates that divergence with Hutchinson probes: one derivative per probe
    LearnedUncertainty        divides any of them by its mean at each level, which is learned

Exact and sliced score matching also work without noise (`noisy=False`).
"""

from .base import Objective as Objective
from .denoising import DenoisingScoreMatching as DenoisingScoreMatching, posterior_mean as posterior_mean
from .implicit import ExactScoreMatching as ExactScoreMatching, SlicedScoreMatching as SlicedScoreMatching
from .levels import (
    LevelDistribution as LevelDistribution,
    LogNormal as LogNormal,
    LogUniform as LogUniform,
    ProcessLevels as ProcessLevels,
    SingleLevel as SingleLevel,
    WithLowTail as WithLowTail,
)
from .per_level import LevelObjective as LevelObjective, excess as excess
from .probe import GaussianProbe as GaussianProbe, Probe as Probe, Rademacher as Rademacher, Sphere as Sphere
from .uncertainty import LearnedUncertainty as LearnedUncertainty
from .weighting import (
    EDMWeighting as EDMWeighting,
    FisherWeighting as FisherWeighting,
    LikelihoodWeighting as LikelihoodWeighting,
    NoiseWeighting as NoiseWeighting,
    Weighting as Weighting,
)

__all__ = [
    "DenoisingScoreMatching",
    "EDMWeighting",
    "ExactScoreMatching",
    "FisherWeighting",
    "GaussianProbe",
    "LearnedUncertainty",
    "LevelDistribution",
    "LevelObjective",
    "LikelihoodWeighting",
    "LogNormal",
    "LogUniform",
    "NoiseWeighting",
    "Objective",
    "Probe",
    "ProcessLevels",
    "Rademacher",
    "SingleLevel",
    "SlicedScoreMatching",
    "Sphere",
    "Weighting",
    "WithLowTail",
    "excess",
    "posterior_mean",
]
