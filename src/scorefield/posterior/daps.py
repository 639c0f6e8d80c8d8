"""DAPS: at every level, data that agree with the measurement are drawn and noised again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..mcmc.transition import MetropolisLangevin, Target, Transition
from ..rng import Rng
from ..samplers.ancestral import Ancestral
from ..samplers.base import OneStepSampler, Sampler
from ..tensors import sum_events
from .measured import StandardizedMeasurement
from .methods import NoisyState, PosteriorSampler
from .posterior import Posterior
from .solve import Apply, columns, krylov_root, root, solved

__all__ = ["DAPS"]

_LENGTHS = (1.0, 0.5, 0.25, 0.0)  # fractions of a Gauss-Newton step that are tried
_WHOLE = 64  # up to this many numbers of a data point its covariance is a matrix, at a product for each
_TOLERANCE = 1e-3
_KRYLOV = 8  # products with the derivative that draw from it in more dimensions


@dataclass(frozen=True)
class DAPS(OneStepSampler, PosteriorSampler):
    """Decoupled annealing posterior sampling (DAPS; Zhang et al., 2025), for any A, linear or not.

    A step from t to s draws x_0 from N(x_0; D, V) p(y | x_0), where D and V are the mean and the covariance of x_0 given x_t,
    and noises it to x_s = α_s x_0 + σ_s z. So consecutive states need not be close, which helps where A is far from linear.
    V is level² ∂D/∂x, as for `MomentMatching`. For a linear A with Gaussian noise the draw is made by perturbing and solving:
    exact for Gaussian data at any number of steps. Otherwise the draw starts with Gauss-Newton iterations, followed by
    `moves` of a Markov chain; there V is a matrix up to 64 numbers, and beyond that of standard normal data. Where x_0 given
    x_t is not Gaussian, modes get wrong weights, whatever the number of steps. One evaluation with its derivative, and a
    product with it for each of up to 64 numbers; beyond, up to 8 + `iterations`, or none if A is not linear.

    With a `flow` it is as published: x̂, the end of the prior's flow from x_t, replaces D, and r² = level² / (1 + level²)
    replaces V (the paper has r = level, wider than the data). No derivative of the network, and `substeps` + 1 evaluations;
    exact for no data, and the variance is about twice too large for Gaussian ones: x̂ has all of it, and r² comes on top.

    Without a measurement it samples as `Ancestral` does. It has no log-density.

    Arguments:
        newton: The largest number of Gauss-Newton iterations.
        transition: The move of the Markov chain, in units of the standard deviations of x_0.
        moves: The number of moves, where the draw is not exact.
        iterations: The largest number of iterations of the linear solver.
        flow: The sampler from x_t to x̂, for DAPS as published.
        substeps: Its number of steps.

    Raises:
        ValueError: If a number is too small.
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
        """1, in addition to the products with the derivative; with a `flow`, those of the flow and of its end."""
        if self.flow is None:
            return 1
        each = self.flow.evaluations
        return None if each is None else self.substeps * each + 1

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        posterior = Posterior.of(diffusion.denoiser)
        if posterior is None:
            return Ancestral().step(diffusion, x, t, s, rng)
        with torch.inference_mode(False), torch.enable_grad():
            if self.flow is None:
                alpha, sigma = diffusion.process(t)
                approximation = _Approximation.of(posterior.state(x / alpha, sigma / alpha))
            else:
                prior = posterior.prior_diffusion(diffusion)
                approximation = _Approximation.isotropic(self._end(self.flow, prior, x, t, rng), prior.process.level(t))
        drawn = self._draw(posterior.measured, approximation, rng)
        return diffusion.process.mix(drawn, rng.normal_like(x), s)

    def _end(self, flow: Sampler, prior: Diffusion, x: Tensor, t: Tensor, rng: Rng) -> Tensor:
        """The end of the prior's flow from states at the time `t`."""
        first, last = prior.process.level(t), prior.process.level(torch.zeros_like(t))
        if bool(last >= first):
            return prior.split(x, t)[0]
        fraction = torch.linspace(1, 0, self.substeps + 1, dtype=t.dtype, device=t.device)
        levels = torch.tan(torch.atan(last) + fraction * (torch.atan(first) - torch.atan(last)))
        times = prior.process.time(levels)
        times[0], times[-1] = t, 0
        with torch.no_grad():
            move = flow.start(prior, times, rng)
            for a, b in pairwise(times):
                x = move(x, a, b)
            return prior.split(x, times[-1])[0]

    def _draw(self, measured: StandardizedMeasurement, approximation: _Approximation, rng: Rng) -> Tensor:
        """Draws from N(x_0; D, V) p(y | x_0)."""
        exact = measured.linear_gaussian  # then perturbing and solving is exact
        z = rng.normal_like(approximation.mean)
        drawn = approximation.mean + approximation.root(z)
        with torch.no_grad():
            shift = rng.normal_like(measured.ideal(drawn))
        current = _Iterate(drawn, torch.zeros_like(drawn))
        for _ in range(1 if exact else self.newton):
            current = self._gauss_newton(measured, approximation, current, drawn, shift)
        if exact:
            return current.x
        return self._chain(measured, approximation, z + approximation.root(current.dual), rng)

    def _gauss_newton(
        self,
        measured: StandardizedMeasurement,
        approximation: _Approximation,
        current: _Iterate,
        drawn: Tensor,
        shift: Tensor,
    ) -> _Iterate:
        """A step to the least (x - drawn)ᵀ V⁻¹ (x - drawn) + ‖y + shift - A(x)‖²: its minimum, for linear A."""
        with torch.enable_grad():
            linearized = measured.linearize(current.x.detach().requires_grad_())
        r = linearized.residual + shift + linearized.push(current.x - drawn)
        product = lambda v: linearized.push(approximation.covariance(linearized.pull(v)))  # noqa: E731
        dual = linearized.pull(solved(product, r, self.iterations, _TOLERANCE))
        end = _Iterate(drawn + approximation.covariance(dual), dual)
        if measured.linear_gaussian:
            return end
        tried = [_Iterate(*(a + part * (b - a) for a, b in zip(current, end))) for part in _LENGTHS]
        cost = torch.stack([_cost(measured, one, drawn, shift) for one in tried])
        best = cost.argmin(0), torch.arange(len(drawn), device=drawn.device)
        return _Iterate(*(torch.stack(parts)[best] for parts in zip(*tried)))

    def _chain(self, measured: StandardizedMeasurement, approximation: _Approximation, w: Tensor, rng: Rng) -> Tensor:
        """Moves of a Markov chain of x = D + √V w from some w, in units of the narrowest direction of w."""
        with torch.enable_grad():
            linearized = measured.linearize((approximation.mean + approximation.root(w)).detach().requires_grad_())
        scale = (1 + linearized.steepness(approximation.root)).rsqrt()  # of each sample: chains move in their own units

        def log_density(v: Tensor) -> Tensor:
            moved = w + scale * v
            return measured.log_prob(approximation.mean + approximation.root(moved)) - sum_events(moved**2) / 2

        v = self.transition.run(Target(log_prob=log_density), torch.zeros_like(w), 1.0, self.moves, rng)
        return approximation.mean + approximation.root(w + scale * v)


class _Iterate(NamedTuple):
    """Data x = drawn + V u, and u: each of shape `(B, *D)`."""

    x: Tensor
    dual: Tensor


@dataclass(frozen=True, eq=False)
class _Approximation:
    """N(x_0; D, V), the approximate distribution of x_0 given x_t: maps are `(B, *D)` to `(B, *D)`."""

    mean: Tensor
    covariance: Apply  # V
    root: Apply  # √V; not a linear map where V is only known by products, but right for standard normal numbers

    @classmethod
    def of(cls, state: NoisyState) -> _Approximation:
        """With the mean of a denoiser, and its covariance, unless that is too expensive."""
        mean, shape = state.mean.detach(), state.mean.shape
        flat = lambda v: state.covariance(v.reshape(shape)).detach().flatten(1)  # noqa: E731
        if mean[0].numel() <= _WHOLE:
            half = root(columns(flat, mean.flatten(1)))
            multiply = lambda w: (half @ w.flatten(1)[..., None]).reshape(shape)  # noqa: E731
            return cls(mean, lambda v: multiply(multiply(v)), multiply)  # type: ignore[no-untyped-call]
        if not state.measured.linear_gaussian:
            return cls.isotropic(mean, state.level)
        draw = lambda z: krylov_root(flat, z.flatten(1), _KRYLOV).reshape(shape)  # noqa: E731
        return cls(mean, lambda v: flat(v).reshape(shape), draw)  # type: ignore[no-untyped-call]

    @classmethod
    def isotropic(cls, mean: Tensor, level: Tensor) -> _Approximation:
        """With the variance of standard normal data."""
        variance = level**2 / (1 + level**2)
        return cls(mean, lambda v: variance * v, lambda w: variance.sqrt() * w)


def _cost(measured: StandardizedMeasurement, one: _Iterate, drawn: Tensor, shift: Tensor) -> Tensor:
    """(x - drawn)ᵀ V⁻¹ (x - drawn) + ‖y + shift - A(x)‖², of shape `(B,)`; infinite where it is NaN."""
    r = measured.linearize(one.x).residual + shift
    return (sum_events(one.dual * (one.x - drawn)) + r.square().sum(1)).nan_to_num(torch.inf)
