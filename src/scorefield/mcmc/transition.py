"""Transitions: moves of a Markov chain that leave a law, or nearly so, as it is."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

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
    """Where chains are, and what they know of their law there."""

    x: Tensor
    """States, of shape `(B, *D)`."""

    known: tuple[Tensor, Tensor] | None = None
    """The log-density up to a constant, `(B,)`, and the score, `(B, *D)`, if they were computed."""


@dataclass(frozen=True)
class Target:
    """What a chain may know of the law that it draws from: the score, the log-density, or both.

    Arguments:
        score: x ↦ ∇ log p(x), `(B, *D)` to `(B, *D)`.
        log_prob: x ↦ log p(x) up to a constant, `(B, *D)` to `(B,)`; its gradient is the score, unless that is given.

    Example:
        >>> law = Target(log_prob=lambda x: -(x**2).sum(1) / 2)
        >>> law.slope(torch.tensor([[1.0, 2.0]]))
        tensor([[-1., -2.]])
    """

    score: Callable[[Tensor], Tensor] | None = None
    log_prob: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if self.score is None and self.log_prob is None:
            raise ValueError("a law needs a score, a log-density, or both: Target(score=…) or Target(log_prob=…)")

    @classmethod
    def of(cls, target: Target | Callable[[Tensor], Tensor], x: Tensor) -> Target:
        """The law of a function that is a score if it gives the shape of `x`, and a log-density if it gives `(B,)`."""
        if isinstance(target, Target):
            return target
        if x.ndim < 2:
            what = f"for x of shape {tuple(x.shape)} a score and a log-density give the same shape"
            raise ValueError(f"{what}: say which, Target(score=f) or Target(log_prob=f), or give x the shape (B, 1)")
        with torch.no_grad():
            given = target(x[:1])
        if not isinstance(given, Tensor):
            raise TypeError(
                f"a score or a log-density gives a tensor, got {type(given).__name__}: compute it with torch"
            )
        if given.shape == x[:1].shape:
            return cls(score=target)
        if given.shape == (1,):
            return cls(log_prob=target)
        need = f"the shape of x, {tuple(x[:1].shape)}, from a score or (1,) from a log-density"
        raise ValueError(f"one state must give {need}; got {tuple(given.shape)}")

    def slope(self, x: Tensor) -> Tensor:
        """∇ log p at `x`, of the shape and the type of `x`."""
        return self._climb(x)[1] if self.score is None else self.score(x).to(x.dtype)

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density up to a constant, `(B,)`, and ∇ log p, `(B, *D)`, at `x`."""
        if self.log_prob is None:
            what = "testing a proposal needs the log-density, and of this law the score alone is known"
            raise ValueError(f"{what}: give a log-density, or both as Target(score=…, log_prob=…), or take Langevin")
        return self._climb(x) if self.score is None else (self.log_prob(x), self.slope(x))

    def _climb(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The log-density, and its gradient with respect to `x` alone."""
        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            value = self.log_prob(leaf)  # type: ignore[misc]  # there is one where there is no score
            if not value.requires_grad:
                what = "the log-density cannot be differentiated: it does not follow from x by operations of torch"
                raise ValueError(f"{what}; compute it with torch and without detach, or give Target(score=…)")
            return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]


class Transition(abc.ABC):
    """A move that leaves a law as it is, or nearly so: as an object, a pure recipe. To add one, write `move`."""

    adjusted: ClassVar[bool] = False
    """Whether proposals are accepted or rejected, which needs a log-density and a uniform number for each sample."""

    @abc.abstractmethod
    def move(
        self, law: Target, here: ChainState, scale: float, z: Tensor, u: Tensor | None
    ) -> tuple[ChainState, Tensor | None]:
        """Moves each sample by itself.

        Arguments:
            law: The law to leave as it is.
            here: States x, of shape `(B, *D)`, and what is known there.
            scale: A standard deviation of the law, in the units of x, that sizes the step.
            z: Standard normal noise, of shape `(B, *D)`.
            u: Uniform numbers, of shape `(B,)`, if the transition tests its proposals.

        Returns:
            The new states, and the chance `(B,)` that each proposal had to be accepted; None if there is no test.
        """


class Unadjusted(Transition):
    """A move without a test, x + a s(x) + b z: to add one, write `factors`."""

    @abc.abstractmethod
    def factors(self, scale: float) -> tuple[float, float]:
        """The pair (a, b)."""

    def move(
        self, law: Target, here: ChainState, scale: float, z: Tensor, u: Tensor | None
    ) -> tuple[ChainState, Tensor | None]:
        a, b = self.factors(scale)
        return ChainState(torch.add(here.x, law.slope(here.x), alpha=a).add_(z, alpha=b)), None


@dataclass(frozen=True)
class ScaledTransition(Transition):
    """A transition whose step is a = ratio · scale²: one number for every unit, level and convention.

    Conventions differ by a factor of 2, and each constructor names its formula:

        from_full    x + ε s + √(2ε) z        NCSNv2, the image code of NCSN
        from_half    x + α/2 s + √α z         Algorithm 1 of NCSN, its toy code, most tutorials
        from_snr     ε = 2 (snr ‖z‖/‖s‖)²     the corrector of Score SDE, for scores as long as √d / sigma

    `sigma` is the level that the number belongs to. On a ladder with α_i = ε σ_i²/σ_L² that is σ_L, the smallest, and
    the ratio is the same on every level.

    Arguments:
        ratio: The step over scale², between 0 and 2.
    """

    ratio: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 2:
            why = "a Gaussian of the scale is left for infinity from 2 on"
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

    On N(μ, σ²) with σ = scale it forgets |1 - ratio| of the distance to μ each move, and comes to rest at the variance
    σ²/(1 - ratio/2): 5 % too wide for 0.1. In directions σ that are wider than the scale the error is smaller, by
    (scale/σ)². Good where only a score is known, and cheap.
    """

    def factors(self, scale: float) -> tuple[float, float]:
        a = self.full_step(scale)
        return a, math.sqrt(2 * a)


@dataclass(frozen=True)
class GaussianLangevin(Unadjusted):
    """Langevin for the time `duration`, exact on N(μ, scale² I): x + (1 - e^-h) scale² s(x) + √(1 - e^-2h) scale z.

    One evaluation of the score. Where data are narrow beside the level it makes no error at any h (`Langevin` makes
    ratio/2); where they are wide it comes to rest at the variance (1 + e^-h)/2 times the true one: keep h below about ¼.

    Arguments:
        duration: h, in units in which the distance to μ falls by 1/e in the time 1.
    """

    duration: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.duration < math.inf:
            raise ValueError(f"GaussianLangevin needs duration > 0, got duration={self.duration:g}")

    def factors(self, scale: float) -> tuple[float, float]:
        return -math.expm1(-self.duration) * scale**2, math.sqrt(-math.expm1(-2 * self.duration)) * scale


@dataclass(frozen=True)
class MetropolisLangevin(ScaledTransition):
    """Langevin with a test, which leaves the law exactly as it is (MALA; Roberts & Tweedie, 1996).

    The proposal y = x + a s(x) + √(2a) z, a = ratio · scale², is accepted with the chance

        min(1, exp[log p(y) - log p(x) + (‖y - x - a s(x)‖² - ‖x - y - a s(y)‖²) / 4a]),

    each sample by itself; else the sample stays. One evaluation of log-density and score, remembered from move to move.
    The step to take is one at which between half and four fifths are accepted; it shrinks with the dimension, as d^-1/3.
    A proposal where the log-density is -∞ or no number is rejected.
    """

    adjusted: ClassVar[bool] = True

    def move(
        self, law: Target, here: ChainState, scale: float, z: Tensor, u: Tensor | None
    ) -> tuple[ChainState, Tensor | None]:
        x, (height, slope) = here.x, here.known or _begin(law, here.x)
        a = self.full_step(scale)
        y = torch.add(x, slope, alpha=a).add_(z, alpha=math.sqrt(2 * a))
        there = law.look(y)
        back = z + math.sqrt(a / 2) * (slope + there[1])  # (x - y - a s(y)) / √(2a), up to its sign
        gain = there[0] - height + (sum_events(z**2) - sum_events(back**2)) / 2
        return _accept((x, height, slope), (y, *there), gain, u)


@dataclass(frozen=True)
class Hamiltonian(ScaledTransition):
    """Hamiltonian dynamics with a test, which leaves the law exactly as it is (HMC; Duane et al., 1987; Neal, 2011).

    From a fresh momentum z, `leaps` leapfrog steps of the size ε = √(2 ratio) · scale lead to a proposal, accepted with the
    chance min(1, exp[log p(y) - log p(x) + (‖z‖² - ‖p‖²) / 2]) where it arrives with the momentum p. One leap is
    `MetropolisLangevin` to the last digit; several carry a sample farther than a random walk of as many moves does. On a
    Gaussian of the scale, a quarter of a turn, leaps · √(2 ratio) = π/2, is the farthest, and a half comes back on the other
    side: the default is a little more than a quarter. `leaps` evaluations a move.

    Arguments:
        ratio: The square of a leap, over twice the scale².
        leaps: How many leaps a move.
    """

    leaps: int = 4

    adjusted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.leaps < 1:
            raise ValueError(f"Hamiltonian needs at least 1 leap a move, got leaps={self.leaps}")

    def move(
        self, law: Target, here: ChainState, scale: float, z: Tensor, u: Tensor | None
    ) -> tuple[ChainState, Tensor | None]:
        x, (height, slope) = here.x, here.known or _begin(law, here.x)
        leap = math.sqrt(self.half_step(scale))
        y, p = x, torch.add(z, slope, alpha=leap / 2)
        for _ in range(self.leaps - 1):
            y = torch.add(y, p, alpha=leap)
            p = torch.add(p, law.slope(y), alpha=leap)
        y = torch.add(y, p, alpha=leap)
        there = law.look(y)
        p = torch.add(p, there[1], alpha=leap / 2)
        gain = there[0] - height + (sum_events(z**2) - sum_events(p**2)) / 2
        return _accept((x, height, slope), (y, *there), gain, u)


def _accept(
    old: tuple[Tensor, Tensor, Tensor], new: tuple[Tensor, Tensor, Tensor], gain: Tensor, u: Tensor | None
) -> tuple[ChainState, Tensor]:
    """The new states, heights and slopes where the chance exp(gain) is above `u`; else the old ones."""
    chance = torch.exp(gain.clamp_max(0)).nan_to_num(0.0)
    accepted = chance > u  # type: ignore[operator]  # there are numbers where proposals are tested
    x, height, slope = (torch.where(expand(accepted, b), b, a) for a, b in zip(old, new))
    return ChainState(x, (height, slope)), chance


def _begin(law: Target, x: Tensor) -> tuple[Tensor, Tensor]:
    """What is known where a chain begins: the log-density must be finite there, or no test would mean anything."""
    height, slope = law.look(x)
    bad = ~torch.isfinite(height)
    if bool(bad.any()):
        where = f"{int(bad.sum())} of {len(x)} states, the first of them sample {int(bad.nonzero()[0])}"
        raise ValueError(f"the log-density is not finite at {where}: begin where the law has mass")
    return height, slope
