"""Simulation-based inference by one model of parameters and data together: any of them given any other."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..conditions import KnownValues
from ..data import known_values
from ..fitting import Options, plan, prepare, train
from ..model import Model
from ..settings import Data, Network, Training
from .posteriors import SimulationPosterior
from .simulations import Simulations

__all__ = ["JointInference", "JointPosterior"]


class JointInference(Simulations):
    """A model of the joint distribution of parameters and data, called as `sbi` calls its methods.

    One network learns every conditional distribution: the posterior, which it is asked for most, the likelihood, the posterior
    given a part of the data, the data that follow from others. Numbers of the data may be missing, in simulations and in what
    was observed. `model` is a model like any other, of a table with the columns theta_0, …, x_0, …:
    `model.condition(x_2=0.3).sample(100)`.

    Arguments:
        prior: The prior of the parameters: any distribution with a `support`, as those of torch.distributions, for its bounds;
            a list of such, of independent parameters; or the bounds, (low, high), each a number or one a parameter; None for
            parameters without bounds.

    References:
        Gloeckler et al., 2024, All-in-one simulation-based inference.

    Example:
        >>> theta = torch.rand(400, 1) * 2 - 1
        >>> x = theta + 0.1 * torch.randn(400, 2)
        >>> inference = JointInference(prior=(-1.0, 1.0)).append_simulations(theta, x)
        >>> model = inference.train(training=Training(steps=200))
        >>> inference.build_posterior().sample((50,), x=[0.3, float("nan")]).shape  # the second number was not measured
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
        """Fits the joint distribution of parameters and data.

        Arguments:
            training: How to train, and the budget.
            network: What network to build.
            seed: The seed of everything that is random.
            device: "auto", "cpu", "cuda", …
            training_batch_size: The batch size, if `training` does not say one.
            show_train_summary: Whether what was chosen, and why training stopped, is printed.

        Raises:
            ValueError: If there are no simulations yet, or data are sets.
        """
        import pandas as pd

        theta, x = self.pairs()
        if x.ndim != 2:
            raise ValueError(
                "a joint model takes data (N, Q): of sets of exchangeable ones, (N, n, Q), use NLE or NPSE"
            )
        how = training or Training()
        if training_batch_size is not None and how.batch is None:
            how = replace(how, batch=training_batch_size)
        names = [f"theta_{i}" for i in range(theta.shape[1])]
        columns = [*names, *(f"x_{i}" for i in self.places(x.shape[1]))]
        frame = pd.DataFrame(torch.cat([theta, x], 1).numpy(), columns=columns)
        low, high = (bound.expand(len(names)).tolist() for bound in (self.low, self.high))
        bounds = {name: (_finite(a), _finite(b)) for name, a, b in zip(names, low, high)}
        bounds = {name: pair for name, pair in bounds.items() if pair != (None, None)}
        data = Data(structure="vector", missing="complete", targets=tuple(names), bounds=bounds or None)
        wish = Options(data, network or Network(), how, seed=seed, device=device)
        prepared = prepare(frame, wish)
        for relation in prepared.relations.items if prepared.relations else ():
            if relation.target >= len(names) and sum(column < len(names) for column in relation.columns) > 1:
                what = f"{relation.describe(columns)} in every simulation, without noise, so that there is no joint density"
                raise ValueError(f"{what}: leave this number out, or add the noise of measuring it")
        fitted = train(plan(prepared, wish))
        self.model = fitted.model
        if show_train_summary:
            print(fitted)  # what was asked for
        return self.model

    def places(self, count: int) -> list[int]:
        """The places of the data columns that vary, among all: as many as `count`."""
        return list(range(count)) if self.kept is None else self.kept.tolist()

    def build_posterior(self, model: Model | None = None) -> JointPosterior:
        """The posterior, by the model that was trained, or another that was."""
        model = model or self.model
        if model is None:
            raise ValueError("there is no posterior before training: train() first")
        found = JointPosterior(model).learned_from(self)
        found.nearness = None  # the model of a table warns of its columns
        return found


class JointPosterior(SimulationPosterior):
    """The posterior of parameters, columns theta_0, …, given data, columns x_0, …, of which some may be missing (NaN)."""

    takes_missing = True

    def __init__(self, model: Model) -> None:
        self.model = model
        names = [str(name) for name in model.schema.columns or ()]
        self.parameters = [name for name in names if name.startswith("theta_")]
        self.data = [name for name in names if name.startswith("x_")]
        if not self.parameters or not self.data:
            raise ValueError(f"a joint model has columns theta_0, … and x_0, …, got {', '.join(names) or 'an array'}")

    def draw(self, count: int, x: Tensor, seed: int, **how: Any) -> Tensor:
        drawn = self._given(x).sample(count, seed, **how)
        return torch.from_numpy(np.array(drawn[self.parameters], dtype=float))

    def _given(self, x: Tensor) -> Model:
        """The model of the parameters given the numbers that were observed; those that were not are integrated over."""
        known, model = self._known(x), self.model
        if not model.denoiser.completes:  # particles draw what was not measured, too
            return model.condition(known) if known else model
        rows, flags = known_values(model.schema, known)
        left_out = torch.tensor([name in self.data and name not in known for name in [*self.parameters, *self.data]])
        condition = KnownValues(rows, flags, names=tuple(known), left_out=left_out)
        others = (each for each in model.conditions if not isinstance(each, KnownValues))
        return model.replace(conditions=(condition.to(model.device), *others))

    def log_density(self, theta: Tensor, x: Tensor, **how: Any) -> Tensor:
        import pandas as pd

        known = self._known(x)
        rows = pd.DataFrame(theta.numpy(), columns=self.parameters)
        rows[self.data] = [known.get(name, math.nan) for name in self.data]
        value = torch.full((len(theta),), -math.inf, dtype=torch.float64)
        bounds = [self.model.schema.table[i].bounds for i in range(len(self.parameters))]
        inside = np.ones(len(theta), bool)
        for name, (low, high) in zip(self.parameters, bounds):
            inside &= (rows[name] > (-math.inf if low is None else low)).to_numpy()
            inside &= (rows[name] < (math.inf if high is None else high)).to_numpy()
        if inside.any():
            found = self.model.density(**how).conditional(rows[inside], [*known])
            value[torch.from_numpy(inside)] = found.value.double()
        return value

    def _known(self, x: Tensor) -> dict[Any, Any]:
        """The numbers that were observed, by name, with those that follow from them exactly.

        Raises:
            ValueError: If no simulation can be like this.
        """
        if x.ndim == 2 and len(x) > 1:
            raise ValueError(
                f"a joint model knows one observation, got {len(x)}: use NLE for several of the same parameters"
            )
        values = x.reshape(-1).tolist()
        if len(values) != len(self.data):
            names = ", ".join(self.data[:8]) + ", …" * (len(self.data) > 8)
            what = f"an observation has {len(self.data)} numbers ({names}), got {len(values)}"
            raise ValueError(f"{what}: NaN where one is missing")
        known: dict[Any, Any] = {name: value for name, value in zip(self.data, values) if not math.isnan(value)}
        if not known:
            return known
        self.model.condition(known)  # says what no simulation can be like, and warns of what none was
        units = self.model.standardize
        rows, flags = units.derived(*(part.to(units.device) for part in known_values(self.model.schema, known)))
        places = range(len(self.parameters), len(self.parameters) + len(self.data))
        return {name: float(rows[0, i]) for name, i in zip(self.data, places) if bool(flags[0, i])}


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None
