"""Measurements of data, y = A(x) + noise: operators, kinds of noise."""

from .base import LinearOperator, Operator
from .grids import Blur, Downsample, Fourier, Grey, Radon
from .noise import CorrelatedNoise, Noise, PoissonNoise, WhiteNoise
from .observed import Measurement
from .plain import Compose, Function, Linear, Mask, Simulator

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
