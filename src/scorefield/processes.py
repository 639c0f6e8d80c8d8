"""Noise processes: how data rate into noise.

A process is two functions of the time t ∈ [0, 1], the signal scale α and the noise scale σ,

    x_t = α_t x_0 + σ_t z,    z ~ N(0, I),

with t = 0 the data and t = 1 (almost) pure noise. All else follows: the noise level σ/α, which must increase with t,
and the linear SDE  dx = f x dt + g dw  with these marginals,

    f = (log α)',    g² = α² (σ²/α²)'.

To add a process, write a frozen dataclass with `alpha` and `sigma`. α must be positive and the level must increase; σ may be 0
at t = 0, where samplers then stop a little before (`Process.checked`).
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["EDM", "VE", "VP", "Cosine", "Flow", "Process", "SubVP", "TimeWindow", "TutorialVE"]

_SMALLEST = 1e-4  # the level that stands for 0, over the largest one


def _derivative(value: Tensor, at: Tensor, differentiable: bool) -> Tensor:
    """The derivative of numbers that depend on one of `at` each; 0 where they do not depend on it."""
    if not value.requires_grad:
        return torch.zeros_like(at)
    found = torch.autograd.grad(value.sum(), at, create_graph=differentiable, retain_graph=True, materialize_grads=True)
    return found[0]


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
        with torch.inference_mode(False), torch.enable_grad():
            try:
                at = t if t.requires_grad else t.detach().clone().requires_grad_()
            except RuntimeError:  # within a transform of torch.func, which elsewhere would import a compiler
                pull = torch.func.vjp(self.__call__, t)[1]  # forward mode takes several times as long
                one, zero = torch.ones_like(t), torch.zeros_like(t)
                return pull((one, zero))[0], pull((zero, one))[0]
            alpha, sigma = self(at)
            return _derivative(alpha, at, t.requires_grad), _derivative(sigma, at, t.requires_grad)

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

    def ends(self) -> tuple[float, float]:
        """The smallest and the largest level, those of t = 0 and t = 1."""
        low, high = self.level(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
        return low, high

    def checked(self) -> Process:
        """The process as samplers use it: one that starts at level 0 starts a little above.

        Returns:
            The process itself, or the part of it from 1e-4 of its largest level on.

        Raises:
            TypeError: If `alpha` or `sigma` does not return a tensor of the shape of t.
            ValueError: If α is not positive, or the level does not increase.
        """
        name, t = type(self).__name__, torch.linspace(0, 1, 129, dtype=torch.float64)
        alpha, sigma = _scale(self.alpha, t, f"{name}.alpha"), _scale(self.sigma, t, f"{name}.sigma")
        if not bool((alpha > 0).all()):
            at = int((alpha <= 0).nonzero()[0])
            raise ValueError(f"{name}.alpha is {float(alpha[at]):.3g} at t = {float(t[at]):.3g}: it must be positive")
        level = sigma / alpha
        if float(level[0]) < 0 or not bool((level.diff() > 0).all()):
            at = 0 if float(level[0]) < 0 else int((level.diff() <= 0).nonzero()[0])
            what = f"the level sigma/alpha of {name} is {float(level[at]):.3g} at t = {float(t[at]):.3g}"
            need = "it must start at 0 or above and increase with t"
            raise ValueError(f"{what} and does not increase from there: {need}")
        low, high = self.ends()
        return self if low > 0 else self.within(_SMALLEST * high, high)

    def within(self, low: float, high: float) -> Process:
        """The part of this process whose levels lie between `low` and `high`; the process itself, if all of them do.

        Raises:
            ValueError: If it has no levels there.
        """
        first, last = self.ends()
        if first >= low * (1 - 1e-9) and last <= high * (1 + 1e-9):
            return self
        if first >= high or last <= low:
            have = f"{type(self).__name__} has levels {first:.3g} to {last:.3g}"
            raise ValueError(f"{have}, and needs some between {low:.3g} and {high:.3g}: choose its levels wider")
        levels = torch.tensor([max(low, first), min(high, last)], dtype=torch.float64)
        start, stop = self.time(levels).tolist()
        return TimeWindow(self, start, stop)

    def spanning(self, low: float, high: float) -> Process:
        """This process with the level `low` at t = 0 and `high` at t = 1, as far as it reaches.

        Example:
            >>> [round(level, 6) for level in VP().spanning(0.01, 50.0).ends()]
            [0.01, 50.0]
        """
        return self.within(low, high)

    def matched(self, low: float, high: float) -> Process:
        """The process for a denoiser that knows the levels from `low` to `high`.

        With its default arguments a process takes these levels (`spanning`); otherwise its own levels are kept, without
        those that the denoiser does not know (`within`).

        Raises:
            TypeError: If `alpha` or `sigma` does not return a tensor of the shape of t.
            ValueError: If the process cannot be used, or has none of these levels.
        """
        self.checked()
        known: tuple[Any, ...] = dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()
        default = all(getattr(self, field.name) == field.default for field in known)
        return self.spanning(low, high) if default else self.within(low, high)

    def sde(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The coefficients (f_t, g_t²) of dx = f x dt + g dw (Song et al., 2021, Section 3.4)."""
        (alpha, sigma), (alpha_dot, sigma_dot) = self(t), self.rates(t)
        f = alpha_dot / alpha
        return f, 2 * sigma * (sigma_dot - f * sigma)

    def mix(self, x0: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """α_t x_0 + σ_t z: perturbs data with noise, or puts the two halves of a state together."""
        alpha, sigma = self(t)
        return alpha * x0 + sigma * z


class UnscaledProcess(Process):
    """A process that leaves the scale of the data as it is: α = 1."""

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)


def _scale(scale: Callable[[Tensor], object], t: Tensor, what: str) -> Tensor:
    """A scale as a user's process returns it, if it is what it must be."""
    try:
        value = scale(t)
    except (TypeError, ValueError, RuntimeError) as error:
        need = f"{what} must take a tensor of times, such as shape {tuple(t.shape)}"
        raise TypeError(f"{need}, and failed ({error}): use torch.cos, not math.cos, and the like") from error
    if not isinstance(value, Tensor) or value.shape != t.shape:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{what}(t) must return a tensor of the shape of t, {tuple(t.shape)}, got {got}")
    broken = ~torch.isfinite(value)
    if bool(broken.any()):
        where = f"{float(value[broken][0])} at t = {float(t[broken][0]):.3g}"
        raise ValueError(f"{what} is {where}: the scales of a process must be finite from t = 0 to t = 1")
    return value


def _ordered(process: Process, low: str, high: str) -> None:
    a, b = getattr(process, low), getattr(process, high)
    if not 0 < a < b < math.inf:
        raise ValueError(f"{type(process).__name__} needs 0 < {low} < {high}, got {low}={a:g}, {high}={b:g}")


def _fraction(process: Process, name: str) -> None:
    if not 0 < getattr(process, name) < 0.5:
        raise ValueError(f"{type(process).__name__} needs 0 < {name} < 0.5, got {name}={getattr(process, name):g}")


@dataclass(frozen=True)
class TimeWindow(Process):
    """A part of another process: its times from `start` to `stop`, with a clock that runs from 0 to 1 again.

    Arguments:
        process: The other process.
        start: The time of it that is 0 here.
        stop: The time of it that is 1 here.

    Raises:
        ValueError: If not 0 <= start < stop <= 1.
    """

    process: Process
    start: float
    stop: float

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop <= 1:
            raise ValueError(f"TimeWindow needs 0 <= start < stop <= 1, got start={self.start:g}, stop={self.stop:g}")

    def _inner(self, t: Tensor) -> Tensor:
        return self.start + (self.stop - self.start) * t.double()

    def alpha(self, t: Tensor) -> Tensor:
        return self.process.alpha(self._inner(t)).to(t.dtype)

    def sigma(self, t: Tensor) -> Tensor:
        return self.process.sigma(self._inner(t)).to(t.dtype)

    def spanning(self, low: float, high: float) -> Process:
        return self.process.spanning(low, high)


@dataclass(frozen=True)
class VE(UnscaledProcess):
    """Variance exploding: α = 1 and σ geometric, the levels of NCSN in continuous time (Song et al., 2021).

    Arguments:
        sigma_min: The level at t = 0, in the units of the state.
        sigma_max: The level at t = 1.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        _ordered(self, "sigma_min", "sigma_max")

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min * torch.exp(t * math.log(self.sigma_max / self.sigma_min))

    def spanning(self, low: float, high: float) -> Process:
        return VE(low, high)


@dataclass(frozen=True)
class TutorialVE(UnscaledProcess):
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

    def sigma(self, t: Tensor) -> Tensor:
        rate = 2 * math.log(self.base)
        return torch.sqrt(torch.expm1(rate * (self.start + (1 - self.start) * t)) / rate)

    def spanning(self, low: float, high: float) -> Process:
        if high < 2:  # no base leads to levels below 1 at the end of the clock
            rate = 2 * math.log(self.base)
            return TutorialVE(self.base, math.log1p(rate * low**2) / rate).within(low, high)
        least, most = 1 + 1e-9, max(2.0, 4 * (1 + high) ** 2)
        for _ in range(200):  # by bisection: the level at t = 1 increases with the base
            middle = (least + most) / 2
            above = math.expm1(2 * math.log(middle)) / (2 * math.log(middle)) > high**2
            least, most = (least, middle) if above else (middle, most)
        rate = 2 * math.log(most)
        start = math.log1p(rate * low**2) / rate
        return TutorialVE(most, start) if 0 < start < 0.5 else self.within(low, high)


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

    def _scaled(self, first: float, last: float) -> Process:
        """The same process with β in proportion, so that ∫β runs from `first` at t = 0 to `last` at t = 1."""
        scale = last / ((self.beta_min + self.beta_max) / 2)
        low, rise = scale * self.beta_min, scale * (self.beta_max - self.beta_min)
        start = 2 * first / (low + math.sqrt(low**2 + 2 * rise * first))  # low s + rise s²/2 = first
        wide = type(self)(low, low + rise, min(start, 0.49))
        return wide if start < 0.49 else TimeWindow(wide, (start - 0.49) / 0.51, 1.0)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(-self.integral(t) / 2)


@dataclass(frozen=True)
class VP(LinearBeta):
    """Variance preserving: α² + σ² = 1 (Song et al., 2021)."""

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sqrt(-torch.expm1(-self.integral(t)))

    def spanning(self, low: float, high: float) -> Process:
        return self._scaled(math.log1p(low**2), math.log1p(high**2))


@dataclass(frozen=True)
class SubVP(LinearBeta):
    """Sub-variance preserving: the signal of VP with the smaller noise σ = 1 - α² (Song et al., 2021)."""

    start: float = 1e-3

    def sigma(self, t: Tensor) -> Tensor:
        return -torch.expm1(-self.integral(t))

    def spanning(self, low: float, high: float) -> Process:
        return self._scaled(*(2 * math.asinh(level / 2) for level in (low, high)))


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
        """The angle since the beginning, and that of the beginning."""
        rate = math.pi / 2 / (1 + self.offset)
        return rate * (self.start + (1 - self.start - self.stop) * t), rate * self.offset

    def alpha(self, t: Tensor) -> Tensor:
        angle, first = self._angles(t)
        return torch.cos(first + angle) / math.cos(first)

    def sigma(self, t: Tensor) -> Tensor:
        angle, first = self._angles(t)  # cos² a - cos² b = sin(b - a) sin(a + b) keeps its digits where t is small
        return torch.sqrt(torch.sin(angle) * torch.sin(2 * first + angle)) / math.cos(first)

    def spanning(self, low: float, high: float) -> Process:
        start, stop = min(self.start, low / 100), min(self.stop, 0.1 / high)
        return Cosine(self.offset, max(start**2, 1e-12), max(stop, 1e-9)).within(low, high)


@dataclass(frozen=True)
class EDM(UnscaledProcess):
    """α = 1 and σ polynomial: uniform steps in t are the ρ-schedule of Karras et al. (2022).

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

    def sigma(self, t: Tensor) -> Tensor:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return (low + t * (high - low)) ** self.rho  # type: ignore[no-any-return]

    def spanning(self, low: float, high: float) -> Process:
        return EDM(low, high, self.rho)


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

    def spanning(self, low: float, high: float) -> Process:
        return Flow(min(self.margin, low, 1 / high)).within(low, high)
