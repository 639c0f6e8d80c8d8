"""Posteriors: a prior and a measurement, and how what lies between is modelled."""

from .exact import Conditioned as Conditioned, condition as condition
from .measured import Line as Line, Measured as Measured
from .methods import (
    DPS as DPS,
    TMPD as TMPD,
    Annealed as Annealed,
    Method as Method,
    MomentMatching as MomentMatching,
    PiGDM as PiGDM,
    State as State,
)
from .posterior import Look as Look, Posterior as Posterior, given as given
