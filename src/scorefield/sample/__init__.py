"""Samplers."""

from .ancestral import DDIM as DDIM
from .base import Kernel as Kernel, Sampler as Sampler, sample as sample, trajectory as trajectory
from .ode import DPM as DPM, ExponentialAdams as ExponentialAdams, Heun as Heun
