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
from .decoupled import DAPS as DAPS
from .exponential import ExponentialAdams as ExponentialAdams
from .importance import (
    annealed_importance as annealed_importance,
    geometric as geometric,
    score_importance as score_importance,
)
from .inpaint import RePaint as RePaint
from .latent import arc as arc, decode as decode, encode as encode
from .multistep import DPM as DPM, IPNDM as IPNDM, UniPC as UniPC
from .ode import DPM2S as DPM2S, DormandPrince as DormandPrince, Heun as Heun
from .optimum import Optimum as Optimum, simulated_annealing as simulated_annealing, tempered as tempered
from .particle import Twisted as Twisted, twisted as twisted
from .sde import (
    SRA1 as SRA1,
    EulerMaruyama as EulerMaruyama,
    Milstein as Milstein,
    ReverseDiffusion as ReverseDiffusion,
    StochasticHeun as StochasticHeun,
)
from .sequential import Population as Population, sequential_monte_carlo as sequential_monte_carlo
from .transition import (
    GaussianLangevin as GaussianLangevin,
    Hamiltonian as Hamiltonian,
    Langevin as Langevin,
    Law as Law,
    MetropolisLangevin as MetropolisLangevin,
    Point as Point,
    Transition as Transition,
    Unadjusted as Unadjusted,
)
from .weighted import Estimate as Estimate, Weighted as Weighted
