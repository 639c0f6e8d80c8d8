"""Decoupled annealing: at every level a datum is drawn that agrees with the measurement, and noised again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..mcmc.transition import ChainState, MetropolisLangevin, Target, Transition
from ..measurement.noise import GaussianNoise
from ..rng import Rng
from ..samplers.ancestral import Ancestral
from ..samplers.base import OneStepSampler, Sampler
from ..tensors import sum_events
from .measured import StandardizedMeasurement
from .methods import NoisyState
from .posterior import Posterior
from .solve import Apply, columns, krylov_root, root, solved

__all__ = ["DAPS"]

_LENGTHS = (1.0, 0.5, 0.25, 0.0)  # parts of a step of Gauss-Newton that are tried
_WHOLE = 64  # up to how many numbers of a datum its covariance is a matrix, at a product for each
_TOLERANCE = 1e-3
_KRYLOV = 8  # products with the derivative that draw from it in more dimensions


@dataclass(frozen=True)
class DAPS(OneStepSampler):
    """Decoupled annealing posterior sampling (DAPS; Zhang et al., 2025), for any A, linear or not.

    A step from t to s draws x_0 from N(x_0; D, V) p(y | x_0), where D and V are the mean and the covariance of x_0 given x_t,
    and noises it to x_s = α_s x_0 + σ_s z. So neighbouring steps need not be close, which helps where A is far from linear.
    V is level² ∂D/∂x, as for `MomentMatching`. For a linear A with Gaussian noise the draw is made by perturbing and solving:
    exact for Gaussian data at any number of steps. For others Gauss-Newton iterations begin it, and `moves` of a chain go
    on; there V is known as a matrix up to 64 numbers a datum, and beyond is that of standard normal data. Where x_0 given x_t
    is not Gaussian it weighs modes wrongly, which no number of steps mends. One evaluation with its derivative, and a
    product with it for each of up to 64 numbers; beyond, up to 8 + `iterations`, or none if A is not linear.

    With a `flow` it is as published: x̂, the end of the prior's flow from x_t, is put for D, and r² = level² / (1 + level²) for
    V (the paper has r = level, wider than data are). No derivative of the network, and `substeps` + 1 evaluations; exact for
    no data, and about twice too wide for Gaussian ones: x̂ has their whole variance, and r² comes on top of it.

    Of a diffusion without a measurement it draws as `Ancestral` does.

    Arguments:
        newton: How many iterations of Gauss-Newton, at most.
        transition: The move of the chain, in units of the standard deviations of x_0.
        moves: How many, where the draw is not exact.
        iterations: How many iterations at most solve for a datum.
        flow: The way from x_t to x̂, if it is to be as published.
        substeps: How many steps that takes.
    """

    newton: int = 4
    transition: Transition = MetropolisLangevin(0.3)  # noqa: RUF009  # a frozen value
    moves: int = 20
    iterations: int = 20
    flow: Sampler | None = None
    substeps: int = 4

    def __post_init__(self) -> None:
        for name, least in (("newton", 1), ("moves", 0), ("iterations", 1), ("substeps", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"DAPS needs {name} >= {least}, got {name}={getattr(self, name)}")

    @property
    def evaluations(self) -> int | None:
        """1, beside the products with the derivative; with a `flow`, those of the flow and of its end."""
        if self.flow is None:
            return 1
        each = self.flow.evaluations
        return None if each is None else self.substeps * each + 1

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        posterior = diffusion.denoiser
        if not isinstance(posterior, Posterior):
            return Ancestral().step(diffusion, x, t, s, rng)
        with torch.inference_mode(False), torch.enable_grad():
            if self.flow is None:
                alpha, sigma = diffusion.process(t)
                guess = _Guess.of(posterior.state(x / alpha, sigma / alpha), _exact(posterior.measured))
            else:
                prior = Diffusion(diffusion.process, posterior.prior, posterior.moments or diffusion.moments)
                guess = _Guess.round(self._end(self.flow, prior, x, t, rng), prior.process.level(t))
        datum = self._agreeing(posterior.measured, guess, rng)
        return diffusion.process.mix(datum, rng.normal_like(x), s)

    def _end(self, flow: Sampler, prior: Diffusion, x: Tensor, t: Tensor, rng: Rng) -> Tensor:
        """The end of the prior's flow from states at the time `t`."""
        first, last = prior.process.level(t), prior.process.level(torch.zeros_like(t))
        if bool(last >= first):
            return prior.split(x, t)[0]
        turn = torch.linspace(1, 0, self.substeps + 1, dtype=t.dtype, device=t.device)
        levels = torch.tan(torch.atan(last) + turn * (torch.atan(first) - torch.atan(last)))
        times = prior.process.time(levels)
        times[0], times[-1] = t, 0
        with torch.no_grad():
            move = flow.start(prior, times, rng)
            for a, b in pairwise(times):
                x = move(x, a, b)
            return prior.split(x, times[-1])[0]

    def _agreeing(self, measured: StandardizedMeasurement, guess: _Guess, rng: Rng) -> Tensor:
        """Draws from N(x_0; D, V) p(y | x_0)."""
        exact = _exact(measured)
        z = rng.normal_like(guess.mean)
        drawn = guess.mean + guess.root(z)
        with torch.no_grad():
            shift = rng.normal_like(measured.ideal(drawn))
        here = _Try(drawn, torch.zeros_like(drawn))
        for _ in range(1 if exact else self.newton):
            here = self._nearer(measured, guess, here, drawn, shift, exact)
        return here.x if exact else self._chain(measured, guess, z + guess.root(here.dual), rng)

    def _nearer(
        self, measured: StandardizedMeasurement, guess: _Guess, here: _Try, drawn: Tensor, shift: Tensor, exact: bool
    ) -> _Try:
        """A step of Gauss-Newton to the least (x - drawn)ᵀ V⁻¹ (x - drawn) + ‖y + shift - A(x)‖²: its end, for a linear A."""
        with torch.enable_grad():
            line = measured.line(here.x.detach().requires_grad_())
        r = line.residual + shift + line.push(here.x - drawn)
        v = solved(lambda v: line.push(guess.spread(line.pull(v))), r, self.iterations, _TOLERANCE)
        dual = line.pull(v)
        end = _Try(drawn + guess.spread(dual), dual)
        if exact:
            return end
        tried = [_Try(*(a + part * (b - a) for a, b in zip(here, end))) for part in _LENGTHS]
        cost = torch.stack([_cost(measured, one, drawn, shift) for one in tried])
        best = cost.argmin(0), torch.arange(len(drawn), device=drawn.device)
        return _Try(*(torch.stack(parts)[best] for parts in zip(*tried)))

    def _chain(self, measured: StandardizedMeasurement, guess: _Guess, w: Tensor, rng: Rng) -> Tensor:
        """Moves of a chain of x = D + √V w from some w, in units of the narrowest direction of the law of w."""
        with torch.enable_grad():
            line = measured.line((guess.mean + guess.root(w)).detach().requires_grad_())
        scale = (1 + line.steepness(guess.root)).rsqrt()  # of each sample: chains move in their own units

        def height(v: Tensor) -> Tensor:
            there = w + scale * v
            return measured.log_prob(guess.mean + guess.root(there)) - sum_events(there**2) / 2

        law, here = Target(log_prob=height), ChainState(torch.zeros_like(w))
        for _ in range(self.moves):
            luck = rng.uniform((len(w),), w.dtype, w.device) if self.transition.adjusted else None
            here, _ = self.transition.move(law, here, 1.0, rng.normal_like(w), luck)
        return guess.mean + guess.root(w + scale * here.x)


class _Try(NamedTuple):
    """A datum x = drawn + V u, and u: each of shape `(B, *D)`."""

    x: Tensor
    dual: Tensor


@dataclass(frozen=True, eq=False)
class _Guess:
    """N(x_0; D, V), what is taken for the law of x_0 given x_t: maps are `(B, *D)` to `(B, *D)`."""

    mean: Tensor
    spread: Apply  # V
    root: Apply  # √V; no linear map where V is a product alone, but good for independent standard normal numbers

    @classmethod
    def of(cls, state: NoisyState, exact: bool) -> _Guess:
        """With the mean that a denoiser says, and the covariance, unless it is too dear."""
        mean, shape = state.mean.detach(), state.mean.shape
        flat = lambda v: state.spread(v.reshape(shape)).detach().flatten(1)  # noqa: E731
        if mean[0].numel() <= _WHOLE:
            half = root(columns(flat, mean.flatten(1)))
            turn = lambda w: (half @ w.flatten(1)[..., None]).reshape(shape)  # noqa: E731
            return cls(mean, lambda v: turn(turn(v)), turn)
        if not exact:
            return cls.round(mean, state.level)
        draw = lambda z: krylov_root(flat, z.flatten(1), _KRYLOV).reshape(shape)  # noqa: E731
        return cls(mean, lambda v: flat(v).reshape(shape), draw)

    @classmethod
    def round(cls, mean: Tensor, level: Tensor) -> _Guess:
        """With the variance of standard normal data."""
        variance = level**2 / (1 + level**2)
        turn = lambda w: variance.sqrt() * w  # noqa: E731
        return cls(mean, lambda v: variance * v, turn)


def _exact(measured: StandardizedMeasurement) -> bool:
    """Whether perturbing and solving draws exactly."""
    return measured.linear and isinstance(measured.measurement.noise, GaussianNoise)


def _cost(measured: StandardizedMeasurement, one: _Try, drawn: Tensor, shift: Tensor) -> Tensor:
    """(x - drawn)ᵀ V⁻¹ (x - drawn) + ‖y + shift - A(x)‖², of shape `(B,)`; infinite where it is no number."""
    r = measured.line(one.x).residual + shift
    return (sum_events(one.dual * (one.x - drawn)) + r.square().sum(1)).nan_to_num(torch.inf)
