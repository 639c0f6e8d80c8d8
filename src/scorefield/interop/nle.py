"""Simulation-based inference by the likelihood: data given parameters are learned, and posteriors follow by Bayes' rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..context import Context
from ..fitting import Options, plan, prepare, train
from ..likelihood import DataDensity
from ..mcmc import Population, sequential_monte_carlo
from ..model import Model
from ..nn import ConditionalGaussian
from ..rng import Samples, permutation, torch_seeded
from ..settings import Data, Network, Training
from ..training import train_gaussian
from ..units import Standardize
from .simulations import Simulations, rows_of

__all__ = ["NLE", "LearnedLikelihood", "NLEPosterior"]

_HELD_OUT = 0.1  # of the simulations
_FEWEST = 1000  # points of a population
_STEPS = 20_000  # of training the Gaussian, at most
_JUDGED = 2000  # held-out observations by which a likelihood is chosen, at most
_TOLERANCE = 0.1  # of a likelihood among many that decide about moves
_AT_ONCE = 50_000  # observations whose likelihoods are computed at once
_BATCH = 1000  # and of which equations are solved together
_LEFT, _MOVED, _MOVES = 0.3, 2.0, 30  # for a population between the two likelihoods, where moves are expensive


class LearnedLikelihood(nn.Module):
    """p(x | θ) of one observation: z = W(θ) (x - m(θ)), and a diffusion model of z given θ.

    m and W are those of a Gaussian that was learned first: z has mean 0 and covariance 1 whatever θ is, as far as it is
    right, so that a simulator may be as noisy for some parameters as it is exact for others. Without a model z is standard
    normal. Saved and loaded by `scorefield.checkpoint`.

    Arguments:
        units: The units of observations.
        context: How parameters become numbers.
        gaussian: The Gaussian.
        model: The model of z given θ; None where the Gaussian suffices.
    """

    def __init__(
        self, units: Standardize, context: Context, gaussian: ConditionalGaussian, model: Model | None = None
    ) -> None:
        super().__init__()
        self.units, self.context, self.gaussian, self.model = units, context, gaussian, model

    @torch.no_grad()
    def log_prob(self, theta: Any, x: Any, tolerance: float | None = None) -> Tensor:
        """The log-densities of independent observations together, Σ log p(x_i | θ).

        Arguments:
            theta: Parameters, `(N, P)`.
            x: m observations of the same parameters, `(m, Q)`, or one, `(Q,)`.
            tolerance: That of `Model.log_prob`. The network computes in float32.

        Returns:
            One number for each row of `theta`, `(N,)`, in float64.
        """
        if self.model is None:
            return self.gaussian_log_prob(theta, x)
        return self._over(theta, x, lambda z, given: self._inside(z, given, tolerance))

    @torch.no_grad()
    def gaussian_log_prob(self, theta: Any, x: Any) -> Tensor:
        """The same by the Gaussian alone, `(N,)`: no equation is solved."""
        return self._over(theta, x, lambda z, given: _normal(z))

    def _inside(self, z: Tensor, given: Tensor, tolerance: float | None = None) -> Tensor:
        """The log-densities of z by the model, `(B,)`."""
        conditioned = self.model.conditioned_on(given)  # type: ignore[union-attr]  # there is one
        return DataDensity(conditioned.diffusion, conditioned.standardize, _BATCH, tolerance=tolerance)(z).value

    def _over(self, theta: Any, x: Any, inside: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        theta = torch.as_tensor(np.asarray(theta), dtype=torch.float64)
        observed = self.units(torch.as_tensor(np.asarray(x), dtype=torch.float64).reshape(-1, *self.units.shape))
        values = []
        for some in theta.split(max(1, _AT_ONCE // len(observed))):
            given = self.context(some.numpy()).repeat_interleave(len(observed), 0)
            z, volume = self.gaussian(observed.repeat(len(some), 1).float(), given[:, :-1])
            value = inside(z.double(), given) + volume.double() + self.units.log_det
            values.append(value.reshape(len(some), -1).sum(1))
        return torch.cat(values)

    @torch.no_grad()
    def sample(self, theta: Any, seed: int = 0) -> Tensor:
        """Draws one observation for each row of parameters, `(N, P)` to `(N, Q)`: the simulator as it was learned."""
        given = self.context(np.asarray(theta, dtype=float))
        if self.model is None:
            z = Samples(seed, 0, len(given), "observation").normal((len(given), self.gaussian.features))
        else:
            z = torch.as_tensor(np.asarray(self.model.conditioned_on(given).sample(len(given), seed)))
        return self.units.inverse(self.gaussian.inverse(z.float(), given[:, :-1]).double())


def _normal(z: Tensor) -> Tensor:
    """The log-density of the standard normal distribution, `(B, n)` to `(B,)`."""
    return -z.square().sum(1) / 2 - z.shape[1] * math.log(2 * math.pi) / 2


@dataclass(frozen=True)
class _Prior:
    """The prior: a distribution of torch.distributions or one like it, or uniform between bounds."""

    distribution: Any
    low: Tensor
    high: Tensor

    def draw(self, count: int, seed: int) -> Tensor:
        if not hasattr(self.distribution, "sample"):
            u = Samples(seed, 0, count, "prior").uniform((count, len(self.low)), torch.float64)
            return self.low + (self.high - self.low) * u
        with torch_seeded(seed):
            theta = torch.as_tensor(self.distribution.sample((count,)), dtype=torch.float64)
        return theta.reshape(count, -1)

    def log_prob(self, theta: Tensor) -> Tensor:
        inside = ((theta > self.low) & (theta < self.high)).all(1)
        value = torch.full((len(theta),), -math.inf, dtype=torch.float64)
        if hasattr(self.distribution, "sample"):
            if bool(inside.any()):
                density = self.distribution.log_prob(theta[inside].to(torch.get_default_dtype()))
                value[inside] = density.double().reshape(int(inside.sum()), -1).sum(1)
            return value
        return torch.where(inside, -torch.log(self.high - self.low).sum(), value)


class NLE(Simulations):
    """Neural likelihood estimation (Papamakarios et al., 2019) by a diffusion model, called as `sbi` calls its methods.

    Where observations are several independent ones, each of them counts, and any number of them can be given afterwards,
    exactly: their likelihoods multiply. Posteriors are drawn by sequential Monte Carlo, first with the Gaussian that the
    likelihood holds, then with the likelihood itself. Made for few numbers an observation, and tens of parameters at most.

    Arguments:
        prior: The prior of the parameters, in simulations and in posteriors: a distribution as those of torch.distributions;
            or bounds (low, high), each a number or one a parameter, between which it is uniform.

    Example:
        >>> theta = torch.rand(400, 1) * 2 - 1
        >>> x = theta + 0.1 * torch.randn(400, 1)
        >>> inference = NLE(prior=([-1.0], [1.0])).append_simulations(theta, x)
        >>> likelihood = inference.train(training=Training(steps=200))
        >>> posterior = inference.build_posterior()
        >>> posterior.sample((50,), x=torch.tensor([[0.3], [0.4]])).shape  # two independent observations
        torch.Size([50, 1])
    """

    def __init__(self, prior: Any) -> None:
        super().__init__(prior)
        proper = hasattr(prior, "sample") and hasattr(prior, "log_prob")
        if not proper and not bool((torch.isfinite(self.low) & torch.isfinite(self.high)).all()):
            need = "a distribution with sample and log_prob, or two finite bounds"
            raise ValueError(f"posteriors by a likelihood need a prior, {need}; got {prior!r}")
        self.likelihood: LearnedLikelihood | None = None

    def train(
        self, *, training: Training | None = None, network: Network | None = None, seed: int = 0, device: str = "auto"
    ) -> LearnedLikelihood:
        """Fits the distribution of one observation given the parameters; of sets of n, `(N, n, Q)`, each member counts.

        A tenth of the simulations is held out. The diffusion model is kept if it gives them a higher log-density than the
        Gaussian alone, by more than two standard errors: of a Gaussian simulator it would only learn noise.

        Arguments:
            training: How to train the diffusion model; its steps, if they are given, are also those of the Gaussian.
            network: What network to build for it.
            seed: The seed of everything that is random.
            device: "auto", "cpu", "cuda", …

        Raises:
            ValueError: If there are no simulations yet.
        """
        theta, x = self.pairs()
        count, order = 1 if x.ndim == 2 else x.shape[1], permutation(len(theta), seed, -1)
        theta, x = theta[order], x[order].reshape(-1, x.shape[-1])
        repeated, out = theta.repeat_interleave(count, 0), count * max(1, round(_HELD_OUT * len(theta)))
        units = Standardize(x.shape[1:], x.mean(0), x.std(0))
        context = Context.of(theta.numpy(), x.shape[1:])
        observed, given = units(x).float(), context(repeated.numpy())
        with torch_seeded(seed):
            gaussian = ConditionalGaussian(observed.shape[1], given.shape[1] - 1)
        how = training or Training(unconditional=0.0)
        steps = how.steps or int(min(_STEPS, 100 * len(observed) ** 0.5))
        train_gaussian(gaussian, observed[out:], given[out:, :-1], (observed[:out], given[:out, :-1]), steps, seed=seed)
        with torch.no_grad():
            z = gaussian.eval().requires_grad_(False)(observed, given[:, :-1])[0].double()
        wish = Options(Data(structure="vector"), network or Network(), how, seed=seed, device=device)
        model = train(plan(prepare(z[out:].float().numpy(), wish, repeated[out:].numpy()), wish)).model
        judged = min(out, _JUDGED)
        whole = LearnedLikelihood(units, context, gaussian, model)
        gain = whole._inside(z[:judged], given[:judged]) - _normal(z[:judged])
        better = float(gain.mean()) > 2 * float(gain.std()) / judged**0.5
        self.likelihood = whole if better else LearnedLikelihood(units, context, gaussian)
        return self.likelihood

    def build_posterior(self, likelihood: LearnedLikelihood | None = None) -> NLEPosterior:
        """The posterior, by the likelihood that was trained, or another that was."""
        likelihood = likelihood or self.likelihood
        if likelihood is None:
            raise ValueError("there is no posterior before training: train() first")
        low, high = (bound.expand(len(likelihood.context.columns)) for bound in (self.low, self.high))
        return NLEPosterior(likelihood, _Prior(self.prior, low, high))


class NLEPosterior:
    """The posterior of parameters given any number of independent observations, by their likelihood and the prior."""

    def __init__(self, likelihood: LearnedLikelihood, prior: Any) -> None:
        self.likelihood, self.prior = likelihood, prior

    def sample(self, shape: tuple[int, ...] = (1,), x: Any = None, seed: int = 0) -> Tensor:
        """Draws parameters given observations, `(Q,)` or `(m, Q)`, by sequential Monte Carlo from the prior.

        Arguments:
            shape: How many, as a shape. They are one population: draws are not independent of each other.
            x: What was observed.
            seed: The seed.

        Returns:
            Parameters, of shape `(*shape, P)`, in float32.
        """
        count = math.prod(shape)
        found = self._population(x, max(count, _FEWEST), seed)[0]
        return found.points[:count].float().reshape(*shape, -1)

    def evidence(self, x: Any, seed: int = 0, count: int = _FEWEST) -> float:
        """log p(x), by a population of `count`: over seeds one sees how sure it is."""
        return self._population(x, count, seed)[1]

    def log_prob(self, theta: Any, x: Any = None, seed: int = 0) -> Tensor:
        """Log-densities of parameters `(N, P)` given observations: `(N,)`; -inf where the prior has none.

        Known up to `evidence`, which is estimated with the seed.
        """
        density = self._log_density(rows_of(theta), lambda t: self.likelihood.log_prob(t, self._observed(x)))
        return density - self.evidence(x, seed)

    def _observed(self, x: Any) -> Tensor:
        if x is None:
            raise ValueError("a posterior is one given data: pass x=…, what was observed")
        return torch.as_tensor(np.asarray(x), dtype=torch.float64)

    def _log_density(self, theta: Tensor, likelihood: Callable[[Tensor], Tensor]) -> Tensor:
        value: Tensor = self.prior.log_prob(theta)
        inside = torch.isfinite(value)
        if bool(inside.any()):
            value[inside] = value[inside] + likelihood(theta[inside])
        return value

    def _population(self, x: Any, count: int, seed: int) -> tuple[Population, float]:
        """A population, and log p(x)."""
        observed, rng = self._observed(x), Samples(seed, 0, count, "posterior")

        def near(theta: Tensor) -> Tensor:
            return self._log_density(theta, lambda t: self.likelihood.gaussian_log_prob(t, observed))

        def whole(theta: Tensor) -> Tensor:
            return self._log_density(theta, lambda t: self.likelihood.log_prob(t, observed, _TOLERANCE))

        first = sequential_monte_carlo(self.prior.log_prob, near, self.prior.draw(count, seed), rng.child("near"))
        if self.likelihood.model is None:
            return first, first.log_ratio
        last = sequential_monte_carlo(near, whole, first.points, rng.child("whole"), _LEFT, _MOVED, _MOVES)
        return last, first.log_ratio + last.log_ratio
