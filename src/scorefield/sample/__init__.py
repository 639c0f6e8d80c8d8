"""Samplers."""

from .ancestral import DDIM as DDIM
from .base import Kernel as Kernel, Sampler as Sampler, sample as sample, trajectory as trajectory
from .exponential import ExponentialAdams as ExponentialAdams
from .ode import DPM as DPM, Heun as Heun
