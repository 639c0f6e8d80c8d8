"""Samplers."""

from .adaptive import AdaptiveSDE
from .ancestral import DDIM, Ancestral
from .annealed import AnnealedLangevin, ConsistentAnnealed, annealed_langevin
from .base import AdaptiveSampler, Move, OneStepSampler, Sampler
from .churn import Churn
from .consistency import Consistency
from .corrector import PredictorCorrector
from .defaults import few_steps_sampling, flow_sampling, image_sampling, sde_sampling, unlearned
from .draw import sample, trajectory, trajectory_from
from .exponential import ExponentialAdams
from .latent import decode, encode, latents_of, spherical_interpolation
from .learned import LearnedSteps, learn_steps
from .multistep import DPM, IPNDM, UniPC
from .ode import DPM2S, DormandPrince, Heun
from .resolution import finest_level, resolving, steps_for, variance_ratios
from .restart import Restart
from .sampling import Sampling, SamplingLike
from .sde import SRA1, EulerMaruyama, Milstein, ReverseDiffusion, StochasticHeun

__all__ = [
    "AdaptiveSDE",
    "AdaptiveSampler",
    "Ancestral",
    "AnnealedLangevin",
    "Churn",
    "Consistency",
    "ConsistentAnnealed",
    "DDIM",
    "DPM",
    "DPM2S",
    "DormandPrince",
    "EulerMaruyama",
    "ExponentialAdams",
    "Heun",
    "IPNDM",
    "LearnedSteps",
    "Milstein",
    "Move",
    "OneStepSampler",
    "PredictorCorrector",
    "Restart",
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
    "latents_of",
    "few_steps_sampling",
    "finest_level",
    "flow_sampling",
    "image_sampling",
    "learn_steps",
    "resolving",
    "sample",
    "sde_sampling",
    "spherical_interpolation",
    "steps_for",
    "trajectory",
    "trajectory_from",
    "unlearned",
    "variance_ratios",
]
