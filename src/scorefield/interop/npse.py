"""Simulation-based inference: the posterior of a simulator's parameters, learned from pairs of parameters and data."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..denoisers import ComposedDenoiser
from ..fitting import Fitted, Options, plan, prepare, train
from ..mcmc import GaussianLangevin
from ..model import Model
from ..samplers import AnnealedLangevin
from ..settings import Data, Network, Training
from .simulations import Simulations, bounded, rows_of, unbounded

__all__ = ["NPSE", "NPSEPosterior"]

_BUDGETS = (1000, 5000, 25_000)  # steps


class NPSE(Simulations):
    """Neural posterior score estimation (Geffner et al., 2023; Sharrock et al., 2024), called as `sbi` calls its methods.

    Parameters with two finite bounds are learned on the real line, z = logit((θ - low)/(high - low)), so that all draws lie
    in the support, and log-densities of θ include the Jacobian.

    Arguments:
        prior: The prior of the parameters: any distribution with a `support`, as those of torch.distributions, for its bounds;
            or the bounds themselves, (low, high), each a number or one a parameter; None for parameters without bounds.

    Example:
        >>> theta = torch.rand(400, 1) * 2 - 1
        >>> x = theta + 0.1 * torch.randn(400, 1)
        >>> inference = NPSE(prior=(-1.0, 1.0)).append_simulations(theta, x)
        >>> model = inference.train(training=Training(steps=200))
        >>> posterior = inference.build_posterior()
        >>> posterior.sample((50,), x=torch.tensor([0.3])).shape
        torch.Size([50, 1])
    """

    def __init__(self, prior: Any = None) -> None:
        super().__init__(prior)
        self.model: Model | None = None

    def train(
        self, *, training: Training | None = None, network: Network | None = None, seed: int = 0, device: str = "auto"
    ) -> Model:
        """Fits the posterior of the parameters: a model of unbounded ones, with the observations as its context.

        How long a network may learn before it memorizes its simulations differs a hundredfold between simulators. Without
        a budget, a short one is tried, then five times as much, until the loss of held-out simulations falls no more.

        Arguments:
            training: How to train; by default no context is dropped (`unconditional=0.1` also learns the prior, which
                several observations together need).
            network: What network to build.
            seed: The seed of everything that is random.
            device: "auto", "cpu", "cuda", …

        Raises:
            ValueError: If there are no simulations yet.
        """
        theta, x = self.pairs()
        z, _ = unbounded(theta, self.low, self.high)
        how, found = training or Training(unconditional=0.0), list[Fitted]()
        wish = Options(Data(structure="vector"), network or Network(), how, seed=seed, device=device)
        prepared = prepare(z.numpy(), wish, x.numpy())
        open_end = how.minutes is how.steps is how.epochs is None
        for steps in _BUDGETS if open_end else (how.steps,):
            found.append(train(plan(prepared, replace(wish, training=replace(how, steps=steps)))))
            if len(found) > 1 and found[-1].held_out_loss >= found[-2].held_out_loss:
                break
        self.model = min(found, key=lambda fitted: fitted.held_out_loss).model
        return self.model

    def build_posterior(self, model: Model | None = None) -> NPSEPosterior:
        """The posterior, by the model that was trained, or another that was."""
        model = model or self.model
        if model is None:
            raise ValueError("there is no posterior before training: train() first")
        return NPSEPosterior(model, self.low, self.high)


class NPSEPosterior:
    """The posterior of parameters between two bounds, by a model of unbounded parameters with the data as its context."""

    def __init__(self, model: Model, low: Tensor | float = -math.inf, high: Tensor | float = math.inf) -> None:
        if model.context is None:
            raise ValueError("a posterior needs a model that was fitted with the data as its context")
        self.model = model
        self.low = torch.as_tensor(low, dtype=torch.float64)
        self.high = torch.as_tensor(high, dtype=torch.float64)

    def sample(self, shape: tuple[int, ...] = (1,), x: Any = None, seed: int = 0, **how: Any) -> Tensor:
        """Draws parameters given an observation, `(Q,)` or the `(n, Q)` that simulations were made of, or given several
        independent ones of the same parameters, `(m, Q)`.

        For several of one each, scores are composed: Σ ∇ log p(θ|x_i) - (m - 1) ∇ log p(θ), which is the score of the
        posterior without noise, but of no distribution with it (Geffner et al., 2023): draws come from annealed Langevin
        dynamics.

        Arguments:
            shape: How many, as a shape.
            x: What was observed.
            seed: The seed.
            how: Further arguments of `Model.sample`.

        Returns:
            Parameters, of shape `(*shape, P)`, in float32.
        """
        rows, count = self._observed(x), math.prod(shape)
        conditioned = self.model.conditioned_on(rows) if len(rows) == 1 else self._composed(rows)
        if len(rows) > 1:
            how = {"sampler": AnnealedLangevin(GaussianLangevin(0.2), 8), "steps": 60, **how}
        z = torch.as_tensor(np.asarray(conditioned.sample(count, seed, **how)), dtype=torch.float64).reshape(count, -1)
        return bounded(z, self.low, self.high).float().reshape(*shape, -1)

    def log_prob(self, theta: Any, x: Any = None, **how: Any) -> Tensor:
        """Log-densities of parameters `(N, P)` given an observation `(Q,)`: `(N,)`; -inf outside of the bounds.

        Raises:
            ValueError: If several observations are given: of the composed score no density is known.
        """
        rows = self._observed(x)
        if len(rows) > 1:
            raise ValueError(f"log_prob knows one observation, got {len(rows)}: draw samples for several")
        theta = rows_of(theta)
        inside = ((theta > self.low) & (theta < self.high)).all(1)
        value = torch.full((len(theta),), -math.inf, dtype=torch.float64)
        if bool(inside.any()):
            z, volume = unbounded(theta[inside], self.low, self.high)
            form = z[:, 0] if self.model.schema.shape == () else z
            value[inside] = self.model.conditioned_on(rows).log_prob(form.numpy(), **how).value + volume
        return value

    def _observed(self, x: Any) -> Tensor:
        if x is None or self.model.context is None:
            raise ValueError("a posterior is one given data: pass x=…, what was observed")
        rows: Tensor = self.model.context(np.asarray(x, dtype=float))
        return rows

    def _composed(self, rows: Tensor) -> Model:
        """The model given several independent observations."""
        learned = self.model.denoiser
        if not learned.unconditional:
            need = "a model that has also learned the prior of the parameters"
            raise ValueError(f"several observations need {need}: train with unconditional=0.1")
        denoiser = ComposedDenoiser(learned, rows.to(self.model.device))
        return self.model.replace(denoiser=denoiser, context=None, conditions=())
