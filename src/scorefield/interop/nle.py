"""Simulation-based inference by the likelihood: data given parameters are learned, and posteriors follow by Bayes' rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..context import Context
from ..fitting import Options, plan, prepare, train
from ..likelihood import DataDensity
from ..mcmc import Population, WeightedSamples, sequential_monte_carlo
from ..model import Model
from ..nn import ConditionalGaussian
from ..progress import part
from ..rng import Samples, generator, permutation, torch_seeded
from ..settings import Data, Network, Training
from ..training import train_density
from ..units import Standardize
from ..user_values import real_tensor
from .binary_likelihood import fit_binary_likelihood
from .independent_parts import IndependentParts, find_parts, split
from .mixture_likelihood import MixtureLikelihood, batch_and_steps, fit_mixture_likelihood
from .posteriors import SimulationPosterior
from .simulations import Simulations

__all__ = ["NLE", "LearnedLikelihood", "NLEPosterior"]

_HELD_OUT = 0.1  # of the simulations
_FEWEST = 1000  # points of a population
_STEPS = 20_000  # of training the Gaussian, at most
_JUDGED = 2000  # held-out observations by which a likelihood is chosen, at most
_TOLERANCE = 0.1  # of a likelihood among many that decide about moves
_AT_ONCE = 50_000  # observations whose likelihoods are computed at once
_BATCH = 1000  # and of which equations are solved together
_RATE = 4e-3  # the learning rate of the Gaussian
_PLAIN = Training(unconditional=0.0)
_WEIGHED = 8  # times as many draws as a population has points, by which an evidence is estimated
_WIDTHS, _SHARES = (1.0, 1.5, 3.0), (0.6, 0.3, 0.1)  # of the Gaussians that they come from, relative to the population
_EFFECTIVE = 0.1  # of these draws, below which the mean of populations is the better estimate
_POPULATIONS = 8
_SETTLED = 3.0  # accepted moves of a population's points at the end, for each parameter
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
        theta = real_tensor(theta, "parameters")
        observed = self.units(real_tensor(x, "observations").reshape(-1, *self.units.shape))
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
        given = self.context(real_tensor(theta, "parameters").numpy())
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


AnyLikelihood = LearnedLikelihood | MixtureLikelihood | IndependentParts


class NLE(Simulations):
    """Neural likelihood estimation (Papamakarios et al., 2019), called as `sbi` calls its methods.

    Where observations are several independent ones, each of them counts, and any number of them can be given afterwards,
    exactly: their likelihoods multiply. The prior counts in posteriors alone, so that simulations may come from any
    distribution of parameters: those of a first posterior make a second one sharper. The likelihood is a mixture of Gaussians,
    or a diffusion model. Posteriors are drawn by sequential Monte Carlo. Made for tens of numbers an observation, and tens of
    parameters at most.

    Arguments:
        prior: The prior of the parameters in posteriors: a distribution as those of torch.distributions, or a list of such, of
            independent parameters; or bounds (low, high), each a number or one a parameter, between which it is uniform.

    Example:
        >>> theta = torch.rand(400, 1) * 2 - 1
        >>> x = theta + 0.1 * torch.randn(400, 1)
        >>> inference = NLE(prior=([-1.0], [1.0])).append_simulations(theta, x)
        >>> likelihood = inference.train(max_num_epochs=20)
        >>> posterior = inference.build_posterior()
        >>> posterior.sample((50,), x=torch.tensor([[0.3], [0.4]])).shape  # two independent observations
        torch.Size([50, 1])
    """

    def __init__(self, prior: Any) -> None:
        super().__init__(prior)
        proper = hasattr(self.prior, "sample") and hasattr(self.prior, "log_prob")
        if not proper and not bool((torch.isfinite(self.low) & torch.isfinite(self.high)).all()):
            need = "a distribution with sample and log_prob, or two finite bounds"
            raise ValueError(f"posteriors by a likelihood need a prior, {need}; got {prior!r}")
        self.likelihood: AnyLikelihood | None = None

    def train(
        self,
        *,
        density: Literal["mixture", "diffusion"] | None = None,
        training: Training | None = None,
        network: Network | None = None,
        seed: int = 0,
        device: str = "auto",
        training_batch_size: int | None = None,
        max_num_epochs: float | None = None,
        show_train_summary: bool = False,
    ) -> AnyLikelihood:
        """Fits the distribution of one observation given the parameters; of sets of n, `(N, n, Q)`, each member counts.

        A tenth of the simulations is held out, and decides when to stop and what to keep: one Gaussian or eight, or, of a
        diffusion model, whether it is better than the Gaussian alone by more than two standard errors.

        Arguments:
            density: "mixture": Gaussians whose weights, means and covariances are functions of the parameters; or
                "diffusion", which has any shape, and takes longer. By default a mixture, and a diffusion model where
                `training` or `network` say how to train one.
            training: How to train the diffusion model; its steps, if they are given, are also those of the Gaussian.
            network: What network to build for it.
            seed: The seed of everything that is random.
            device: Where the diffusion model is trained: "auto", "cpu", "cuda", …
            training_batch_size: How many observations a step of a mixture takes; None: 128 of up to 2,000 rows, 256 of more.
            max_num_epochs: How often a mixture passes all of them at most; by default as their number asks for.
            show_train_summary: Whether what was learned is printed.

        Raises:
            ValueError: If there are no simulations yet, or numbers are missing.
        """
        theta, x = self.complete_pairs()
        count, order = 1 if x.ndim == 2 else x.shape[1], permutation(len(theta), seed, -1)
        theta, x = theta[order], x[order].reshape(-1, x.shape[-1])
        repeated, out = theta.repeat_interleave(count, 0), count * max(1, round(_HELD_OUT * len(theta)))
        if (density or ("diffusion" if training or network else "mixture")) == "diffusion":
            wish = Options(Data(structure="vector"), network or Network(), training or _PLAIN, seed=seed, device=device)
            self.likelihood, said = _by_diffusion(repeated, x, out, wish)
        else:
            how = seed, training_batch_size, max_num_epochs
            fit = _by_parts if count == 1 else _of_one
            self.likelihood, said = fit(repeated, x, (self.low, self.high), out, *how)
        if show_train_summary:
            print(said)  # what was asked for
        return self.likelihood

    def build_posterior(self, likelihood: AnyLikelihood | None = None) -> NLEPosterior:
        """The posterior, by the likelihood that was trained, or another that was."""
        likelihood = likelihood or self.likelihood
        if likelihood is None:
            raise ValueError("there is no posterior before training: train() first")
        low, high = (bound.expand(len(likelihood.context.columns)) for bound in (self.low, self.high))
        found = NLEPosterior(likelihood, _Prior(self.prior, low, high))
        return found.learned_from(self)


def _of_one(
    theta: Tensor, x: Tensor, bounds: tuple[Tensor, Tensor], held_out: int, *how: Any
) -> tuple[MixtureLikelihood, str]:
    """The likelihood of an observation as it is: of numbers with two values each, or a mixture of Gaussians."""
    binary = fit_binary_likelihood(theta, x, bounds, held_out, *how)
    return binary or fit_mixture_likelihood(theta, x, bounds, held_out, *how)


def _by_parts(
    theta: Tensor,
    x: Tensor,
    bounds: tuple[Tensor, Tensor],
    held_out: int,
    seed: int,
    batch: int | None,
    epochs: float | None,
) -> tuple[MixtureLikelihood | IndependentParts, str]:
    """The likelihood of an observation; where it looks like independent parts, theirs, if held-out observations say so."""

    def whole(pilot: bool) -> tuple[MixtureLikelihood, str]:
        return _of_one(theta, x, bounds, held_out, seed, batch, epochs, pilot)

    def by_parts(parts: int, strided: bool, pilot: bool) -> tuple[IndependentParts, str]:
        rows, each = split(x, parts, strided).flatten(0, 1), theta.repeat_interleave(parts, 0)
        size, steps = batch_and_steps(len(x), None, None)
        capped = steps == batch_and_steps(len(rows), None, None)[1]  # more rows get no more steps: each takes more
        many = size * parts if batch is None and capped else batch
        found, said = _of_one(each, rows, bounds, held_out * parts, seed, many, epochs, pilot)
        return IndependentParts(found, parts, strided), said

    found = find_parts(theta, x)
    if found is None:
        return whole(False)
    with part(0, 0.3):
        gain = by_parts(*found, True)[0].paired_log_prob(theta[:held_out], x[:held_out])
        gain = gain - whole(True)[0].paired_log_prob(theta[:held_out], x[:held_out])
    with part(0.3, 1):
        likelihood, said = by_parts(*found, False) if float(gain.mean()) > 0 else whole(False)
    error = float(gain.std()) / held_out**0.5 if held_out > 1 else math.inf
    by = f"as {found[0]} independent parts it is {float(gain.mean()):+.2f} ± {error:.2f} nats more probable than as a whole"
    return likelihood, f"an observation: {by}; {said}"


def _by_diffusion(theta: Tensor, x: Tensor, out: int, wish: Options) -> tuple[LearnedLikelihood, str]:
    """A Gaussian, and a diffusion model of what it leaves, if that is better."""
    units, seed, how = Standardize(x.shape[1:], x.mean(0), x.std(0)), wish.seed, wish.training
    context = Context.of(theta.numpy(), x.shape[1:])
    observed, given = units(x).float(), context(theta.numpy())
    with torch_seeded(seed):
        gaussian = ConditionalGaussian(observed.shape[1], given.shape[1] - 1)
    steps = how.steps or int(min(_STEPS, 100 * len(observed) ** 0.5))
    held_out = observed[:out], given[:out, :-1]
    train_density(gaussian, observed[out:], given[out:, :-1], held_out, steps, learning_rate=_RATE, seed=seed)
    with torch.no_grad():
        z = gaussian.eval().requires_grad_(False)(observed, given[:, :-1])[0].double()
    model = train(plan(prepare(z[out:].float().numpy(), wish, theta[out:].numpy()), wish)).model
    judged = min(out, _JUDGED)
    whole = LearnedLikelihood(units, context, gaussian, model)
    gain = whole._inside(z[:judged], given[:judged]) - _normal(z[:judged])
    better = float(gain.mean()) > 2 * float(gain.std()) / judged**0.5
    kept = "kept" if better else "not kept"
    said = f"a diffusion model adds {float(gain.mean()):.3f} to held-out log-densities of a Gaussian: {kept}"
    return whole if better else LearnedLikelihood(units, context, gaussian), said


class NLEPosterior(SimulationPosterior):
    """The posterior of parameters given any number of independent observations, by their likelihood and the prior.

    Draws, `sample`, are one population of sequential Monte Carlo: they are not independent of each other. Log-densities,
    `log_prob`, are known up to `evidence`, which is an estimate that depends on the seed: all of them are shifted by its error.
    """

    def __init__(self, likelihood: AnyLikelihood, prior: Any) -> None:
        self.likelihood, self.prior = likelihood, prior

    def draw(self, count: int, x: Tensor, seed: int, **how: Any) -> Tensor:
        return self._population(x, max(count, _FEWEST), seed)[0].points[:count]

    def population(self, x: Tensor, count: int, seed: int) -> tuple[Tensor, float]:
        """A population, `(count, P)`, and log p(x)."""
        found, evidence = self._population(x, count, seed)
        return found.points, evidence

    def evidence(self, x: Any = None, seed: int = 0, count: int = _FEWEST) -> float:
        """log p(x), an estimate; over seeds one sees how sure it is.

        It is the mean weight of 8 `count` draws from Gaussians of three widths with the moments of a population of `count`.
        Where these are so unlike the posterior that less than a tenth of the draws is effective, it is the mean of 8
        populations.

        Arguments:
            x: What was observed; by default that of `set_default_x`.
            seed: The seed.
            count: The size of a population. Of 1000, the standard error is about 0.01 in three dimensions; of the populations
                alone it is about 0.03.
        """
        return self._evidence(self.observed(x), seed, count)

    def log_density(self, theta: Tensor, x: Tensor, seed: int = 0, **how: Any) -> Tensor:
        return self.unnormalized(theta, x) - self._evidence(x, seed, _FEWEST)

    def _evidence(self, observed: Tensor, seed: int, count: int) -> float:
        """log p(x)."""
        population, first = self._population(observed, count, seed)
        draws, log_proposal = _around(population.points.double(), Samples(seed, 0, _WEIGHED * count, "evidence"))
        values = self._log_density(draws, lambda t: self.likelihood.log_prob(t, observed, _TOLERANCE))
        if bool((log_weight := values.double() - log_proposal).isfinite().any()):
            weighted = WeightedSamples(draws, log_weight.nan_to_num(-math.inf, neginf=-math.inf))
            if weighted.effective_sample_size >= _EFFECTIVE * len(draws):
                return float(weighted.log_mean_weight.value)
        seeds = generator(seed).integers(2**31, size=_POPULATIONS - 1).tolist()
        more = [self._population(observed, count, each)[1] for each in seeds]
        found = torch.tensor([first, *more], dtype=torch.float64)
        return float(found.logsumexp(0)) - math.log(len(found))

    def unnormalized(self, theta: Tensor, x: Tensor) -> Tensor:
        """log p(x | θ) + log p(θ), `(N,)`."""
        return self._log_density(theta, lambda t: self.likelihood.log_prob(t, x))

    def climb(self, theta: Tensor, x: Tensor) -> Tensor:
        return self.unnormalized(theta, x)

    def _log_density(self, theta: Tensor, likelihood: Callable[[Tensor], Tensor]) -> Tensor:
        value: Tensor = self.prior.log_prob(theta)
        inside = torch.isfinite(value)
        if bool(inside.any()):
            value[inside] = value[inside] + likelihood(theta[inside])
        return value

    def _population(self, observed: Tensor, count: int, seed: int) -> tuple[Population, float]:
        """A population, and log p(x)."""
        rng = Samples(seed, 0, count, "posterior")

        def near(theta: Tensor) -> Tensor:
            return self._log_density(theta, lambda t: self.likelihood.gaussian_log_prob(t, observed))

        def whole(theta: Tensor) -> Tensor:
            return self._log_density(theta, lambda t: self.likelihood.log_prob(t, observed, _TOLERANCE))

        start = self.prior.draw(count, seed)
        enough = _SETTLED * start.shape[1] if self.likelihood.model is None else 0.0
        first = sequential_monte_carlo(self.prior.log_prob, near, start, rng.child("near"), at_the_end=enough)
        if self.likelihood.model is None:
            return first, first.log_ratio
        last = sequential_monte_carlo(near, whole, first.points, rng.child("whole"), _LEFT, _MOVED, _MOVES)
        return last, first.log_ratio + last.log_ratio


def _around(points: Tensor, rng: Samples) -> tuple[Tensor, Tensor]:
    """Draws from Gaussians of several widths with the moments of points `(N, P)`, `(M, P)`, and their log-densities, `(M,)`."""
    size = points.shape[1]
    covariance = points.T.cov().reshape(size, size)
    factor = torch.linalg.cholesky(covariance + 1e-9 * torch.diag(covariance.diagonal()))
    widths, shares = (torch.tensor(each, dtype=torch.float64) for each in (_WIDTHS, _SHARES))
    which = torch.searchsorted(shares.cumsum(0), rng.child("width").uniform((rng.count, 1), torch.float64)[:, 0])
    z = rng.normal((rng.count, size), torch.float64) * widths[which.clamp_max(len(widths) - 1), None]
    square = z.square().sum(1, keepdim=True) / widths.square()
    each = -square / 2 - size * (widths.log() + math.log(2 * math.pi) / 2) + shares.log()
    return points.mean(0) + z @ factor.T, each.logsumexp(1) - factor.diagonal().log().sum()
