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
from .posteriors import SimulationPosterior
from .simulations import Simulations, bounded, unbounded

__all__ = ["NPSE", "NPSEPosterior"]

_BUDGETS = (1000, 5000, 25_000)  # steps


class NPSE(Simulations):
    """Neural posterior score estimation (Geffner et al., 2023; Sharrock et al., 2024), called as `sbi` calls its methods.

    Parameters with two finite bounds are learned on the real line, z = logit((θ - low)/(high - low)), so that all draws lie
    in the support, and log-densities of θ include the Jacobian.

    Arguments:
        prior: The prior of the parameters: any distribution with a `support`, as those of torch.distributions, for its bounds;
            a list of such, of independent parameters; or the bounds, (low, high), each a number or one a parameter; None for
            parameters without bounds.

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
        self,
        *,
        training: Training | None = None,
        network: Network | None = None,
        seed: int = 0,
        device: str = "auto",
        training_batch_size: int | None = None,
        show_train_summary: bool = False,
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
            training_batch_size: The batch size, if `training` does not say one.
            show_train_summary: Whether the held-out losses of the budgets that were tried are printed.

        Raises:
            ValueError: If there are no simulations yet, or numbers are missing.
        """
        theta, x = self.complete_pairs()
        z, _ = unbounded(theta, self.low, self.high)
        how, found = training or Training(unconditional=0.0), list[Fitted]()
        how = how if training_batch_size is None or how.batch is not None else replace(how, batch=training_batch_size)
        wish = Options(Data(structure="vector"), network or Network(), how, seed=seed, device=device)
        prepared = prepare(z.numpy(), wish, x.numpy())
        open_end = how.minutes is how.steps is how.epochs is None
        for steps in _BUDGETS if open_end else (how.steps,):
            found.append(train(plan(prepared, replace(wish, training=replace(how, steps=steps)))))
            if len(found) > 1 and found[-1].held_out_loss >= found[-2].held_out_loss:
                break
        if show_train_summary:
            losses = " then ".join(f"{each.held_out_loss:.4f}" for each in found)
            print(f"held-out loss: {losses}; kept: the lowest")  # what was asked for
        self.model = min(found, key=lambda fitted: fitted.held_out_loss).model
        return self.model

    def build_posterior(self, model: Model | None = None) -> NPSEPosterior:
        """The posterior, by the model that was trained, or another that was."""
        model = model or self.model
        if model is None:
            raise ValueError("there is no posterior before training: train() first")
        found = NPSEPosterior(model, self.low, self.high)
        return found.learned_from(self)


class NPSEPosterior(SimulationPosterior):
    """The posterior of parameters between two bounds, by a model of unbounded parameters with the data as its context."""

    def __init__(self, model: Model, low: Tensor | float = -math.inf, high: Tensor | float = math.inf) -> None:
        if model.context is None:
            raise ValueError("a posterior needs a model that was fitted with the data as its context")
        self.model = model
        self.low = torch.as_tensor(low, dtype=torch.float64)
        self.high = torch.as_tensor(high, dtype=torch.float64)

    def draw(self, count: int, x: Tensor, seed: int, **how: Any) -> Tensor:
        """Draws parameters, `(count, P)`, given an observation, `(Q,)` or the `(n, Q)` that simulations were made of, or given
        several independent ones of the same parameters, `(m, Q)`.

        For several of one each, scores are composed: Σ ∇ log p(θ|x_i) - (m - 1) ∇ log p(θ), which is the score of the
        posterior without noise, but of no distribution with it (Geffner et al., 2023): draws come from annealed Langevin
        dynamics.
        """
        rows = self._encoded(x)
        conditioned = self.model.conditioned_on(rows) if len(rows) == 1 else self._composed(rows)
        if len(rows) > 1:
            how = {"sampler": AnnealedLangevin(GaussianLangevin(0.2), 8), "steps": 60, **how}
        z = torch.as_tensor(np.asarray(conditioned.sample(count, seed, **how)), dtype=torch.float64).reshape(count, -1)
        return bounded(z, self.low, self.high)

    def log_density(self, theta: Tensor, x: Tensor, **how: Any) -> Tensor:
        rows = self._encoded(x)
        if len(rows) > 1:
            raise ValueError(f"log_prob knows one observation, got {len(rows)}: draw samples for several")
        inside = ((theta > self.low) & (theta < self.high)).all(1)
        value = torch.full((len(theta),), -math.inf, dtype=torch.float64)
        if bool(inside.any()):
            z, volume = unbounded(theta[inside], self.low, self.high)
            form = z[:, 0] if self.model.schema.shape == () else z
            value[inside] = self.model.conditioned_on(rows).log_prob(form.numpy(), **how).value + volume
        return value

    def _encoded(self, x: Tensor) -> Tensor:
        context = self.model.context
        if context is None:
            raise ValueError("a posterior needs a model that was fitted with the data as its context")
        rows: Tensor = context(x.numpy())
        return rows

    def _composed(self, rows: Tensor) -> Model:
        """The model given several independent observations."""
        learned = self.model.denoiser
        if not learned.unconditional:
            need = "a model that has also learned the prior of the parameters"
            raise ValueError(f"several observations need {need}: train with unconditional=0.1")
        denoiser = ComposedDenoiser(learned, rows.to(self.model.device))
        return self.model.replace(denoiser=denoiser, context=None, conditions=())
