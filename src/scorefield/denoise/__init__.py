"""Denoisers: learned, exact, and what networks predict."""

from .base import Denoiser as Denoiser
from .exact import Empirical as Empirical, Gaussian as Gaussian, Mixture as Mixture
from .labelled import (
    ByIndex as ByIndex,
    ByLevel as ByLevel,
    ByTime as ByTime,
    Labelled as Labelled,
    Labels as Labels,
)
from .precondition import (
    Flow as Flow,
    Karras as Karras,
    Mean as Mean,
    Noise as Noise,
    Parametrization as Parametrization,
    Preconditioned as Preconditioned,
    Score as Score,
    Velocity as Velocity,
)
from .published import Scored as Scored
