"""Simulation-based inference by a posterior that is a mixture of Gaussians, in closed form."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from ..context import Context
from ..nn import ConditionalMixture
from ..rng import Samples, permutation
from .mixture_likelihood import fit_mixture
from .posteriors import SimulationPosterior
from .simulations import Simulations, bounded, unbounded

__all__ = ["NPE", "LearnedPosterior", "NPEPosterior"]

HELD_OUT = 0.1  # of the simulations


class LearnedPosterior(nn.Module):
    """p(θ | x) by `ConditionalMixture`, of parameters on the whole line. Saved and loaded by `scorefield.checkpoint`.

    Arguments:
        context: How observations become numbers.
        mixture: The mixture of standardized parameters on the whole line.
        mean, std: What standardizes them, `(P,)`.
        low, high: The bounds of the parameters, `()` or `(P,)`.
    """

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self, context: Context, mixture: ConditionalMixture, mean: Tensor, std: Tensor, low: Tensor, high: Tensor
    ) -> None:
        super().__init__()
        self.context, self.mixture = context, mixture
        for name, value in (("mean", mean), ("std", std), ("low", low), ("high", high)):
            self.register_buffer(name, value)

    def encoded(self, x: Tensor) -> Tensor:
        """Observations `(N, Q)` as the network takes them, `(N, size)`."""
        given: Tensor = self.context(x.numpy())
        return given[:, :-1]

    @torch.no_grad()
    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-densities of parameters, `(N, P)`, given one observation each, `(N, Q)`, or one of all, `(1, Q)`: `(N,)`."""
        inside = ((theta > self.low) & (theta < self.high)).all(1)
        value = torch.full((len(theta),), -torch.inf, dtype=torch.float64)
        if bool(inside.any()):
            z, volume = unbounded(theta[inside], self.low, self.high)
            given = self.encoded(x if len(x) == 1 else x[inside])
            found = self.mixture.log_prob(((z - self.mean) / self.std).float(), given).double()
            value[inside] = found + volume - self.std.log().sum()
        return value

    @torch.no_grad()
    def sample(self, x: Tensor, seed: int = 0, count: int | None = None) -> Tensor:
        """One draw for each observation, `(N, Q)` to `(N, P)` in float64; or `count` of them for one, `(1, Q)`."""
        count = len(x) if count is None else count
        z = self.mixture.sample(self.encoded(x), Samples(seed, 0, count, "parameters"), count).double()
        return bounded(z * self.std + self.mean, self.low, self.high)


class NPE(Simulations):
    """Neural posterior estimation by a mixture density network (Papamakarios and Murray, 2016), called as `sbi` calls it.

    The quickest of the methods here, in training and for each observation; it needs no density of the prior, and observations
    may have hundreds of numbers. Simulations must come from the prior.

    Arguments:
        prior: The prior of the parameters: any distribution with a `support`, as those of torch.distributions, for its bounds;
            a list of such, of independent parameters; or the bounds, (low, high), each a number or one a parameter; None for
            parameters without bounds.

    References:
        Papamakarios and Murray, 2016, Fast ε-free inference of simulation models with Bayesian conditional density estimation.

    Example:
        >>> theta = torch.rand(400, 1) * 2 - 1
        >>> x = theta + 0.1 * torch.randn(400, 1)
        >>> inference = NPE(prior=(-1.0, 1.0)).append_simulations(theta, x)
        >>> posterior = inference.train(max_num_epochs=20) and inference.build_posterior()
        >>> posterior.sample((50,), x=torch.tensor([0.3])).shape
        torch.Size([50, 1])
    """

    def __init__(self, prior: Any = None) -> None:
        super().__init__(prior)
        self.estimator: LearnedPosterior | None = None

    def append_simulations(self, theta: Any, x: Any) -> Self:
        super().append_simulations(theta, x)
        if self._x[-1].ndim != 2:
            del self._theta[-1], self._x[-1]
            raise ValueError("NPE takes observations (N, Q): of sets of exchangeable ones, (N, n, Q), use NLE or NPSE")
        return self

    def train(
        self,
        *,
        seed: int = 0,
        training_batch_size: int | None = None,
        max_num_epochs: float | None = None,
        show_train_summary: bool = False,
    ) -> LearnedPosterior:
        """Fits the posterior of the parameters given an observation.

        Arguments:
            seed: The seed of everything that is random.
            training_batch_size: How many simulations a step takes; None: 128 of up to 2,000 rows, 256 of more.
            max_num_epochs: How often all of them are passed at most; by default as their number asks for.
            show_train_summary: Whether what was learned is printed.

        Raises:
            ValueError: If there are no simulations yet, or numbers are missing.
        """
        theta, x = self.complete_pairs()
        order = permutation(len(theta), seed, -1)
        z = unbounded(theta[order], self.low, self.high)[0]
        mean, std = z.mean(0), z.std(0)
        context = Context.of(x.numpy(), theta.shape[1:])
        given = context(x[order].numpy())[:, :-1]
        out = max(1, round(HELD_OUT * len(theta)))
        mixture, said = fit_mixture(((z - mean) / std).float(), given, out, seed, training_batch_size, max_num_epochs)
        if show_train_summary:
            print(said)  # what was asked for
        self.estimator = LearnedPosterior(context, mixture, mean, std, self.low, self.high)
        return self.estimator

    def build_posterior(self, estimator: LearnedPosterior | None = None) -> NPEPosterior:
        """The posterior, by the estimator that was trained, or another that was."""
        estimator = estimator or self.estimator
        if estimator is None:
            raise ValueError("there is no posterior before training: train() first")
        found = NPEPosterior(estimator)
        return found.learned_from(self)


class NPEPosterior(SimulationPosterior):
    """The posterior of parameters given one observation, in closed form."""

    def __init__(self, estimator: LearnedPosterior) -> None:
        self.estimator = estimator

    def draw(self, count: int, x: Tensor, seed: int, **how: Any) -> Tensor:
        return self.estimator.sample(self._one(x), seed, count)

    def log_density(self, theta: Tensor, x: Tensor, **how: Any) -> Tensor:
        return self.estimator.log_prob(theta, self._one(x))

    def _one(self, x: Tensor) -> Tensor:
        if x.ndim == 2 and len(x) > 1:
            raise ValueError(f"NPE knows one observation, got {len(x)}: use NLE for several of the same parameters")
        width = self.width if self.kept is None else len(self.kept)
        if width is not None and x.numel() != width:
            raise ValueError(f"an observation of NPE has shape ({self.width},), got {tuple(x.shape)}")
        return x.reshape(1, -1)
