"""Measurements of data, y = A(x) + noise: operators, kinds of noise."""

from .base import LinearOperator as LinearOperator, Operator as Operator
from .grids import Blur as Blur, Downsample as Downsample, Fourier as Fourier, Grey as Grey, Radon as Radon
from .noise import (
    CorrelatedNoise as CorrelatedNoise,
    Noise as Noise,
    PoissonNoise as PoissonNoise,
    WhiteNoise as WhiteNoise,
)
from .observed import Measurement as Measurement
from .plain import Compose as Compose, Function as Function, Linear as Linear, Mask as Mask, Simulator as Simulator

__all__ = [
    "Blur",
    "Compose",
    "CorrelatedNoise",
    "Downsample",
    "Fourier",
    "Function",
    "Grey",
    "Linear",
    "LinearOperator",
    "Mask",
    "Measurement",
    "Noise",
    "Operator",
    "PoissonNoise",
    "Radon",
    "Simulator",
    "WhiteNoise",
]
