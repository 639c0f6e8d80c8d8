"""Transitions: moves of a Markov chain that leave a target distribution invariant, or nearly so."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from ..rng import Rng
from ..tensors import expand, sum_events

__all__ = [
    "ChainState",
    "GaussianLangevin",
    "Hamiltonian",
    "Langevin",
    "MetropolisLangevin",
    "ScaledTransition",
    "Target",
    "Transition",
    "Unadjusted",
]


class ChainState(NamedTuple):
    """The states of chains, with the log-density and the score there."""

    x: Tensor
    """States, of shape `(B, *D)`."""

    known: tuple[Tensor, Tensor] | None = None
    """The log-density up to a constant, `(B,)`, and the score, `(B, *D)`; None if they have not been computed."""


@dataclass(frozen=True)
class Target:
    """A target distribution, given by its score, its log-density, or both.

    Arguments:
        score: x ↦ ∇ log p(x), `(B, *D)` to `(B, *D)`.
        log_prob: x ↦ log p(x) up to a constant, `(B, *D)` to `(B,)`. Its gradient is the score, unless a score is given.

    Raises:
        ValueError: If both are missing.

    Example:
        >>> target = Target(log_prob=lambda x: -(x**2).sum(1) / 2)
        >>> target.gradient(torch.tensor([[1.0, 2.0]]))
        tensor([[-1., -2.]])
    """

    score: Callable[[Tensor], Tensor] | None = None
    log_prob: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if self.score is None and self.log_prob is None:
            raise ValueError("a target needs a score or a log-density: Target(score=…) or Target(log_prob=…)")

    @classmethod
    def of(cls, target: Target | Callable[[Tensor], Tensor], x: Tensor) -> Target:
        """The target of a function: its score if the output has the shape of `x`, its log-density if it has the shape `(B,)`.

        Raises:
            ValueError: If the function gives another shape, or the two shapes agree because `x` has the shape `(B,)`.
            TypeError: If the function does not give a tensor.
        """
        if isinstance(target, Target):
            return target
        if x.ndim < 2:
            what = f"for x of shape {tuple(x.shape)} a score and a log-density have the same shape"
            raise ValueError(f"{what}: pass Target(score=f) or Target(log_prob=f), or x of shape (B, 1)")
        with torch.no_grad():
            output = target(x[:1])
        if not isinstance(output, Tensor):
            raise TypeError(f"a target must return a tensor, got {type(output).__name__}: compute it with torch")
        if output.shape == x[:1].shape:
            return cls(score=target)
        if output.shape == (1,):
            return cls(log_prob=target)
        need = f"{tuple(x[:1].shape)} (a score) or (1,) (a log-density)"
        raise ValueError(f"for one state a target must return the shape {need}, got {tuple(output.shape)}")

    def gradient(self, x: Tensor) -> Tensor:
        """∇ log p at `x`, of the shape and type of `x`."""
        return self._by_autograd(x)[1] if self.score is None else self.score(x).to(x.dtype)

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density up to a constant, `(B,)`, and ∇ log p, `(B, *D)`, at `x`.

        Raises:
            ValueError: If the target has no log-density, or it cannot be differentiated.
        """
        if self.log_prob is None:
            what = "a Metropolis test needs the log-density, and this target has only a score"
            raise ValueError(f"{what}: pass Target(score=…, log_prob=…), or use Langevin")
        return self._by_autograd(x) if self.score is None else (self.log_prob(x), self.gradient(x))

    def _by_autograd(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density, and its gradient with respect to `x` alone."""
        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            value = self.log_prob(leaf)  # type: ignore[misc]  # there is one if there is no score
            if not value.requires_grad:
                what = "the log-density cannot be differentiated with respect to x"
                raise ValueError(f"{what}: compute it with torch and without detach, or pass Target(score=…)")
            return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]


Moved = tuple[ChainState, Tensor | None]
"""The new states, and the acceptance probability of each proposal, `(B,)`; None without a test."""


class Transition(abc.ABC):
    """A move that leaves the target distribution invariant, or nearly so. To add one, write `move`."""

    adjusted: ClassVar[bool] = False
    """Whether moves have a Metropolis test, which needs a log-density and a uniform number per chain."""

    @abc.abstractmethod
    def move(self, target: Target, state: ChainState, scale: float, z: Tensor, u: Tensor | None) -> Moved:
        """Moves each chain independently.

        Arguments:
            target: The target distribution.
            state: The states of B chains, of shape `(B, *D)`.
            scale: A standard deviation of the target, in the units of x, to which the step is proportional.
            z: Standard normal noise, of shape `(B, *D)`.
            u: Uniform numbers, of shape `(B,)`, if the transition is adjusted.

        Returns:
            The new states, and the acceptance probability of each proposal, `(B,)`; None without a test.
        """

    def run(self, target: Target, x: Tensor, scale: float, moves: int, rng: Rng) -> Tensor:
        """The states after several moves, each with noise of its own."""
        state = ChainState(x)
        for _ in range(moves):
            u = rng.uniform((len(x),), x.dtype, x.device) if self.adjusted else None
            state, _ = self.move(target, state, scale, rng.normal_like(x), u)
        return state.x


class Unadjusted(Transition):
    """A move without a Metropolis test, x + a s(x) + b z. To add one, write `factors`."""

    @abc.abstractmethod
    def factors(self, scale: float) -> tuple[float, float]:
        """The pair (a, b) for a scale of the target."""

    def move(self, target: Target, state: ChainState, scale: float, z: Tensor, u: Tensor | None) -> Moved:
        a, b = self.factors(scale)
        return ChainState(torch.add(state.x, target.gradient(state.x), alpha=a).add_(z, alpha=b)), None


@dataclass(frozen=True)
class ScaledTransition(Transition):
    """A transition with the step a = ratio · scale²: one number, independent of units, level and convention.

    Conventions differ by a factor of 2; each constructor states its formula:

        from_full    x + ε s + √(2ε) z        NCSNv2, the image code of NCSN
        from_half    x + α/2 s + √α z         Algorithm 1 of NCSN, its toy code, most tutorials
        from_snr     ε = 2 (snr ‖z‖/‖s‖)²     the corrector of Score SDE, for scores of norm √d / sigma

    `sigma` is the level for which the step is given. For noise levels with α_i = ε σ_i²/σ_L² it is the smallest level σ_L, and
    the ratio is the same at every level.

    Arguments:
        ratio: The step over scale², between 0 and 2.

    Raises:
        ValueError: If the ratio is not between 0 and 2.
    """

    ratio: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 2:
            why = "from 2 on, chains diverge even on a Gaussian"
            raise ValueError(f"{type(self).__name__} needs 0 < ratio < 2, got ratio={self.ratio:g}: {why}")

    @classmethod
    def from_full(cls, step: float, sigma: float) -> Self:
        """From ε of x + ε s + √(2ε) z at the level `sigma`.

        Example:
            >>> Langevin.from_full(6.2e-6, 0.01).ratio  # NCSNv2 on CIFAR-10
            0.062
        """
        return cls(step / sigma**2)

    @classmethod
    def from_half(cls, step: float, sigma: float) -> Self:
        """From α of x + α/2 s + √α z at the level `sigma`.

        Example:
            >>> Langevin.from_half(0.1, 1.0).ratio  # Figure 3 of NCSN
            0.05
        """
        return cls(step / sigma**2 / 2)

    @classmethod
    def from_snr(cls, snr: float) -> Self:
        """From the signal-to-noise ratio of Score SDE: 2 snr².

        Example:
            >>> round(Langevin.from_snr(0.16).ratio, 4)
            0.0512
        """
        return cls(2 * snr**2)

    def full_step(self, sigma: float) -> float:
        """The ε of x + ε s + √(2ε) z at the level `sigma`."""
        return self.ratio * sigma**2

    def half_step(self, sigma: float) -> float:
        """The α of x + α/2 s + √α z at the level `sigma`."""
        return 2 * self.ratio * sigma**2

    @property
    def snr(self) -> float:
        """The signal-to-noise ratio of Score SDE."""
        return math.sqrt(self.ratio / 2)


@dataclass(frozen=True)
class Langevin(Unadjusted, ScaledTransition):
    """Unadjusted Langevin, x + a s(x) + √(2a) z with a = ratio · scale². One evaluation of the score.

    On N(μ, σ²) with σ = scale, each move multiplies the distance to μ by |1 - ratio|, and the stationary variance is
    σ²/(1 - ratio/2): 5 % too large for a ratio of 0.1. In directions with a larger standard deviation σ the error is smaller
    by (scale/σ)². It is cheap, and needs only a score.

    Arguments:
        ratio: The step over scale², between 0 and 2.
    """

    def factors(self, scale: float) -> tuple[float, float]:
        a = self.full_step(scale)
        return a, math.sqrt(2 * a)


@dataclass(frozen=True)
class GaussianLangevin(Unadjusted):
    """Langevin dynamics over a time h, exact on N(μ, scale² I): x + (1 - e^-h) scale² s(x) + √(1 - e^-2h) scale z.

    One evaluation of the score. If the data are narrow compared with the level there is no error at any h (with `Langevin` it
    is ratio/2); if they are wide the stationary variance is (1 + e^-h)/2 times the true one: keep h below about ¼.

    Arguments:
        duration: The time h, in units in which the distance to μ falls by 1/e in the time 1.

    Raises:
        ValueError: If the duration is not positive and finite.
    """

    duration: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.duration < math.inf:
            raise ValueError(f"GaussianLangevin needs duration > 0, got duration={self.duration:g}")

    def factors(self, scale: float) -> tuple[float, float]:
        return -math.expm1(-self.duration) * scale**2, math.sqrt(-math.expm1(-2 * self.duration)) * scale


@dataclass(frozen=True)
class MetropolisLangevin(ScaledTransition):
    """Metropolis-adjusted Langevin, which leaves the target exactly invariant (MALA; Roberts & Tweedie, 1996).

    The proposal y = x + a s(x) + √(2a) z, a = ratio · scale², is accepted with the probability

        min(1, exp[log p(y) - log p(x) + (‖y - x - a s(x)‖² - ‖x - y - a s(y)‖²) / 4a]),

    independently for each chain; otherwise the state is kept. One evaluation of the log-density and the score per move. Choose
    the ratio such that 50 to 80 % of the proposals are accepted; it decreases with the dimension as d^-1/3. A proposal where
    the log-density is -∞ or NaN is rejected.

    Arguments:
        ratio: The step over scale², between 0 and 2.
    """

    adjusted: ClassVar[bool] = True

    def move(self, target: Target, state: ChainState, scale: float, z: Tensor, u: Tensor | None) -> Moved:
        x, (log_prob, score) = state.x, state.known or _initial(target, state.x)
        a = self.full_step(scale)
        y = torch.add(x, score, alpha=a).add_(z, alpha=math.sqrt(2 * a))
        proposed = target.value_and_gradient(y)
        reverse = z + math.sqrt(a / 2) * (score + proposed[1])  # (x - y - a s(y)) / √(2a), up to its sign
        log_ratio = proposed[0] - log_prob + (sum_events(z**2) - sum_events(reverse**2)) / 2
        return _accept((x, log_prob, score), (y, *proposed), log_ratio, u)


@dataclass(frozen=True)
class Hamiltonian(ScaledTransition):
    """Hamiltonian Monte Carlo, which leaves the target exactly invariant (HMC; Duane et al., 1987; Neal, 2011).

    From a new momentum z, `leaps` leapfrog steps of size ε = √(2 ratio) · scale give a proposal y with the momentum p, which is
    accepted with the probability min(1, exp[log p(y) - log p(x) + (‖z‖² - ‖p‖²) / 2]). With one leapfrog step it is
    `MetropolisLangevin`. On a Gaussian with this scale the trajectory is periodic: a quarter of the period, with
    leaps · √(2 ratio) = π/2, goes farthest. The default is slightly more. It takes `leaps` evaluations per move.

    Arguments:
        ratio: Half of the squared leapfrog step size, over scale².
        leaps: The number of leapfrog steps per move.

    Raises:
        ValueError: If the ratio is not between 0 and 2, or `leaps` is below 1.
    """

    leaps: int = 4

    adjusted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.leaps < 1:
            raise ValueError(f"Hamiltonian needs at least 1 leapfrog step per move, got leaps={self.leaps}")

    def move(self, target: Target, state: ChainState, scale: float, z: Tensor, u: Tensor | None) -> Moved:
        x, (log_prob, score) = state.x, state.known or _initial(target, state.x)
        step = math.sqrt(self.half_step(scale))
        y, p = x, torch.add(z, score, alpha=step / 2)
        for _ in range(self.leaps - 1):
            y = torch.add(y, p, alpha=step)
            p = torch.add(p, target.gradient(y), alpha=step)
        y = torch.add(y, p, alpha=step)
        proposed = target.value_and_gradient(y)
        p = torch.add(p, proposed[1], alpha=step / 2)
        log_ratio = proposed[0] - log_prob + (sum_events(z**2) - sum_events(p**2)) / 2
        return _accept((x, log_prob, score), (y, *proposed), log_ratio, u)


def _accept(
    old: tuple[Tensor, Tensor, Tensor], new: tuple[Tensor, Tensor, Tensor], log_ratio: Tensor, u: Tensor | None
) -> tuple[ChainState, Tensor]:
    """The new states, log-densities and scores where min(1, exp(log_ratio)) is above `u`, else the old ones."""
    probability = torch.exp(log_ratio.clamp_max(0)).nan_to_num(0.0)
    accepted = probability > u  # type: ignore[operator]  # adjusted transitions are given uniform numbers
    x, log_prob, score = (torch.where(expand(accepted, b), b, a) for a, b in zip(old, new))
    return ChainState(x, (log_prob, score)), probability


def _initial(target: Target, x: Tensor) -> tuple[Tensor, Tensor]:
    """The log-density and the score at the first states: a Metropolis test needs a finite log-density there."""
    log_prob, score = target.value_and_gradient(x)
    bad = ~torch.isfinite(log_prob)
    if bool(bad.any()):
        where = f"{int(bad.sum())} of {len(x)} initial states (the first is sample {int(bad.nonzero()[0])})"
        raise ValueError(f"the log-density is not finite at {where}: start where the target has mass")
    return log_prob, score
