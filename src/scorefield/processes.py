"""Noise processes: how data turn into noise.

A process is two functions of the time t ∈ [0, 1], the signal scale α and the noise scale σ,

    x_t = α_t x_0 + σ_t z,    z ~ N(0, I),

with t = 0 the data and t = 1 (almost) pure noise. All else follows: the noise level σ/α, which must increase with t,
and the linear SDE  dx = f x dt + g dw  with these marginals,

    f = (log α)',    g² = α² (σ²/α²)'.

To add a process, write a frozen dataclass with `alpha` and `sigma`.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["EDM", "VE", "VP", "Cosine", "Flow", "Process", "SubVP", "TutorialVE"]


class Process(abc.ABC):
    """A family of Gaussian kernels p(x_t | x_0) = N(α_t x_0, σ_t² I)."""

    @abc.abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """The signal scale α_t, of the shape of `t`."""

    @abc.abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """The noise scale σ_t, of the shape of `t`."""

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The pair (α_t, σ_t)."""
        return self.alpha(t), self.sigma(t)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The derivatives (α'_t, σ'_t), each of the shape of `t`."""
        pull = torch.func.vjp(self.__call__, t)[1]  # forward mode takes several times as long
        one, zero = torch.ones_like(t), torch.zeros_like(t)
        return pull((one, zero))[0], pull((zero, one))[0]

    def level(self, t: Tensor) -> Tensor:
        """The noise level σ_t / α_t: the σ of NCSN and EDM, once x_t is divided by α_t."""
        alpha, sigma = self(t)
        return sigma / alpha

    def time(self, level: Tensor) -> Tensor:
        """The time at which the process reaches `level`, by bisection: the inverse of `level`.

        Levels below that of t = 0 give 0, levels above that of t = 1 give 1.

        Example:
            >>> t = torch.tensor(0.25, dtype=torch.float64)
            >>> round(float(VP().time(VP().level(t))), 12)
            0.25
        """
        low, high = torch.zeros_like(level), torch.ones_like(level)
        for _ in range(60):
            middle = (low + high) / 2
            above = self.level(middle) > level
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return (low + high) / 2

    def sde(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The coefficients (f_t, g_t²) of dx = f x dt + g dw (Song et al., 2021, Section 3.4)."""
        (alpha, sigma), (alpha_dot, sigma_dot) = self(t), self.rates(t)
        f = alpha_dot / alpha
        return f, 2 * sigma * (sigma_dot - f * sigma)

    def mix(self, x0: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """α_t x_0 + σ_t z: perturbs data with noise, or puts the two halves of a state together."""
        alpha, sigma = self(t)
        return alpha * x0 + sigma * z


def _ordered(process: Process, low: str, high: str) -> None:
    a, b = getattr(process, low), getattr(process, high)
    if not 0 < a < b < math.inf:
        raise ValueError(f"{type(process).__name__} needs 0 < {low} < {high}, got {low}={a:g}, {high}={b:g}")


def _fraction(process: Process, name: str) -> None:
    if not 0 < getattr(process, name) < 0.5:
        raise ValueError(f"{type(process).__name__} needs 0 < {name} < 0.5, got {name}={getattr(process, name):g}")


@dataclass(frozen=True)
class VE(Process):
    """Variance exploding: α = 1 and σ geometric, the levels of NCSN in continuous time (Song et al., 2021).

    Arguments:
        sigma_min: The level at t = 0, in the units of the state.
        sigma_max: The level at t = 1.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        _ordered(self, "sigma_min", "sigma_max")

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min * torch.exp(t * math.log(self.sigma_max / self.sigma_min))


@dataclass(frozen=True)
class TutorialVE(Process):
    """Variance exploding with the diffusion coefficient g(t) = base^t: σ² = (base^(2t) - 1) / (2 ln base).

    The process of the tutorial on score-based models by Song (2021).

    Arguments:
        base: The number that is raised to the power t, above 1.
        start: The clock starts here: σ would vanish at 0.
    """

    base: float = 25.0
    start: float = 1e-5

    def __post_init__(self) -> None:
        if not 1 < self.base < math.inf:
            raise ValueError(f"TutorialVE needs base > 1, got base={self.base:g}")
        _fraction(self, "start")

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        rate = 2 * math.log(self.base)
        return torch.sqrt(torch.expm1(rate * (self.start + (1 - self.start) * t)) / rate)


@dataclass(frozen=True)
class LinearBeta(Process):
    """The signal of DDPM in continuous time: (log α)' = -β/2 with β linear in t.

    Arguments:
        beta_min: β at the beginning of the clock.
        beta_max: β at its end.
        start: The clock starts here: σ would vanish at 0.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    start: float = 1e-5

    def __post_init__(self) -> None:
        _ordered(self, "beta_min", "beta_max")
        _fraction(self, "start")

    def integral(self, t: Tensor) -> Tensor:
        """∫β up to the time `t`, of the shape of `t`."""
        t = self.start + (1 - self.start) * t
        return t * self.beta_min + t**2 * (self.beta_max - self.beta_min) / 2

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(-self.integral(t) / 2)


@dataclass(frozen=True)
class VP(LinearBeta):
    """Variance preserving: α² + σ² = 1 (Song et al., 2021)."""

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sqrt(-torch.expm1(-self.integral(t)))


@dataclass(frozen=True)
class SubVP(LinearBeta):
    """Sub-variance preserving: the signal of VP with the smaller noise σ = 1 - α² (Song et al., 2021)."""

    start: float = 1e-3

    def sigma(self, t: Tensor) -> Tensor:
        return -torch.expm1(-self.integral(t))


@dataclass(frozen=True)
class Cosine(Process):
    """Variance preserving with ᾱ = α² a squared cosine (Nichol & Dhariwal, 2021).

    Arguments:
        offset: The s of the paper.
        start: The clock starts here: σ would vanish at 0.
        stop: It stops that much before the end, where α would vanish.
    """

    offset: float = 0.008
    start: float = 1e-4
    stop: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("offset", "start", "stop"):
            _fraction(self, name)

    def _angles(self, t: Tensor) -> tuple[Tensor, float]:
        """How far the angle has turned from its beginning, and that beginning."""
        turn = math.pi / 2 / (1 + self.offset)
        return turn * (self.start + (1 - self.start - self.stop) * t), turn * self.offset

    def alpha(self, t: Tensor) -> Tensor:
        angle, first = self._angles(t)
        return torch.cos(first + angle) / math.cos(first)

    def sigma(self, t: Tensor) -> Tensor:
        angle, first = self._angles(t)  # cos² a - cos² b = sin(b - a) sin(a + b) keeps its digits where t is small
        return torch.sqrt(torch.sin(angle) * torch.sin(2 * first + angle)) / math.cos(first)


@dataclass(frozen=True)
class EDM(Process):
    """α = 1 and σ polynomial: uniform steps in t are the ρ-grid of Karras et al. (2022).

    Arguments:
        sigma_min: The level at t = 0, in the units of the state.
        sigma_max: The level at t = 1.
        rho: The power; the larger, the more steps at small levels.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        _ordered(self, "sigma_min", "sigma_max")
        if not 0 < self.rho < math.inf:
            raise ValueError(f"EDM needs rho > 0, got rho={self.rho:g}")

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return (low + t * (high - low)) ** self.rho


@dataclass(frozen=True)
class Flow(Process):
    """Straight lines from data to noise: rectified flow, flow matching (Liu et al., 2023; Lipman et al., 2023).

    Arguments:
        margin: Keeps σ_0 and α_1 off zero.
    """

    margin: float = 1e-3

    def __post_init__(self) -> None:
        _fraction(self, "margin")

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t * (1 - self.margin)

    def sigma(self, t: Tensor) -> Tensor:
        return self.margin + t * (1 - self.margin)
