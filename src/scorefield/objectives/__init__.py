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

`FlowMapMatching` and `DistributionMatching` are other kinds of losses: with them a network learns the probability flow of a
model, and to draw as that model draws, in place of data.
"""

from .base import Objective
from .denoising import DenoisingScoreMatching, posterior_mean
from .distribution_matching import DistributionMatching
from .flow_map import FlowMapMatching, PathLevels
from .implicit import ExactScoreMatching, SlicedScoreMatching
from .levels import LevelDistribution, LogNormal, LogUniform, ProcessLevels, SingleLevel, WithLowTail
from .per_level import LevelObjective, excess
from .probe import GaussianProbe, Probe, Rademacher, Sphere
from .uncertainty import LearnedUncertainty
from .weighting import EDMWeighting, FisherWeighting, LikelihoodWeighting, NoiseWeighting, Weighting

__all__ = ["DenoisingScoreMatching", "EDMWeighting", "ExactScoreMatching", "FisherWeighting"]
__all__ += ["DistributionMatching", "FlowMapMatching", "GaussianProbe"]
__all__ += ["LearnedUncertainty", "LevelDistribution", "LevelObjective", "LikelihoodWeighting", "LogNormal"]
__all__ += [
    "LogUniform",
    "NoiseWeighting",
    "Objective",
    "PathLevels",
    "Probe",
    "ProcessLevels",
    "Rademacher",
    "SingleLevel",
]
__all__ += ["SlicedScoreMatching", "Sphere", "Weighting", "WithLowTail", "excess", "posterior_mean"]
