"""Samplers."""

from .adaptive import AdaptiveSDE as AdaptiveSDE
from .ancestral import DDIM as DDIM, Ancestral as Ancestral
from .annealed import (
    AnnealedLangevin as AnnealedLangevin,
    ConsistentAnnealed as ConsistentAnnealed,
    annealed_langevin as annealed_langevin,
)
from .base import (
    AdaptiveSampler as AdaptiveSampler,
    Move as Move,
    OneStepSampler as OneStepSampler,
    Sampler as Sampler,
)
from .churn import Churn as Churn
from .corrector import PredictorCorrector as PredictorCorrector
from .draw import sample as sample, trajectory as trajectory, trajectory_from as trajectory_from
from .exponential import ExponentialAdams as ExponentialAdams
from .latent import decode as decode, encode as encode, spherical_interpolation as spherical_interpolation
from .multistep import DPM as DPM, IPNDM as IPNDM, UniPC as UniPC
from .ode import DPM2S as DPM2S, DormandPrince as DormandPrince, Heun as Heun
from .sampling import Sampling as Sampling, SamplingLike as SamplingLike
from .sde import (
    SRA1 as SRA1,
    EulerMaruyama as EulerMaruyama,
    Milstein as Milstein,
    ReverseDiffusion as ReverseDiffusion,
    StochasticHeun as StochasticHeun,
)

__all__ = [
    "AdaptiveSDE",
    "AdaptiveSampler",
    "Ancestral",
    "AnnealedLangevin",
    "Churn",
    "ConsistentAnnealed",
    "DDIM",
    "DPM",
    "DPM2S",
    "DormandPrince",
    "EulerMaruyama",
    "ExponentialAdams",
    "Heun",
    "IPNDM",
    "Milstein",
    "Move",
    "OneStepSampler",
    "PredictorCorrector",
    "ReverseDiffusion",
    "SRA1",
    "Sampler",
    "Sampling",
    "SamplingLike",
    "StochasticHeun",
    "UniPC",
    "annealed_langevin",
    "decode",
    "encode",
    "sample",
    "spherical_interpolation",
    "trajectory",
    "trajectory_from",
]
