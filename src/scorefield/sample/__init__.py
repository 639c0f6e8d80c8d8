"""Samplers."""

from .adaptive import AdaptiveSDE as AdaptiveSDE
from .ancestral import DDIM as DDIM, Ancestral as Ancestral
from .annealed import (
    AnnealedLangevin as AnnealedLangevin,
    ConsistentAnnealed as ConsistentAnnealed,
    annealed_langevin as annealed_langevin,
)
from .base import (
    Adaptive as Adaptive,
    Kernel as Kernel,
    Move as Move,
    Sampler as Sampler,
    sample as sample,
    trajectory as trajectory,
    walk as walk,
)
from .chain import Chain as Chain, langevin as langevin
from .churn import Churn as Churn
from .corrector import PredictorCorrector as PredictorCorrector
from .exponential import ExponentialAdams as ExponentialAdams
from .latent import arc as arc, decode as decode, encode as encode
from .multistep import DPM as DPM, IPNDM as IPNDM, UniPC as UniPC
from .ode import DPM2S as DPM2S, DormandPrince as DormandPrince, Heun as Heun
from .sde import (
    SRA1 as SRA1,
    EulerMaruyama as EulerMaruyama,
    Milstein as Milstein,
    ReverseDiffusion as ReverseDiffusion,
    StochasticHeun as StochasticHeun,
)
from .transition import (
    GaussianLangevin as GaussianLangevin,
    Langevin as Langevin,
    Law as Law,
    MetropolisLangevin as MetropolisLangevin,
    Point as Point,
    Transition as Transition,
)
