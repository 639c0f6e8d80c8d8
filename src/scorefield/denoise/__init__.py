"""Denoisers: learned, exact, and what networks predict."""

from .base import Denoiser as Denoiser
from .classifier import Classified as Classified, Classifier as Classifier
from .conditional import Composed as Composed, Given as Given, Guided as Guided, part_of as part_of
from .energy import Density as Density, Energy as Energy
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
from .uncertain import Uncertain as Uncertain
