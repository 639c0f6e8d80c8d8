"""Samplers."""

from .ancestral import DDIM as DDIM
from .base import (
    Adaptive as Adaptive,
    Kernel as Kernel,
    Move as Move,
    Sampler as Sampler,
    sample as sample,
    trajectory as trajectory,
    walk as walk,
)
from .exponential import ExponentialAdams as ExponentialAdams
from .ode import DPM as DPM, Heun as Heun
