"""Training objectives. None needs a noise process: a law of noise levels is enough.

All of them compare a denoiser D with the truth D* by the same number,

    E[loss] = w(σ) (E‖D* - x_0‖² + E‖D - D*‖²) / n,    ‖D - D*‖² = σ⁴ ‖s - ∇ log p_σ‖²,

at each level σ, for data x_0 of n numbers: the first term is what no denoiser avoids, the second the error of the score.
Objectives of the same levels and the same weighting w therefore have the same mean for every denoiser, and their values can
be compared; what differs is how much they scatter, what they cost, and what they need to know.

    DenoisingScoreMatching    needs x_0 and its noise; scatters by the noise, more the smaller the level is
    ExactScoreMatching        needs the divergence of the network: n derivatives a step
    SlicedScoreMatching       the same along random probes: one derivative a step, scatters by the probes
    LearnedUncertainty        any of them, divided by its size at each level, which is learned

The last two also work on data without noise (`noisy=False`), where the others say nothing.
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
