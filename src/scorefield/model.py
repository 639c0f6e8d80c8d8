"""The model: what `fit` returns, what a file holds, what every command starts from."""

from __future__ import annotations

import copy
import math
import os
from typing import Any

import torch.nn as nn
from torch import Tensor

from . import checkpoint
from .conditioning import conditioned, waits
from .context import Context
from .data import Schema
from .denoisers import Conditioned, Denoiser, Gaussian, Guided, Preconditioned, part_of
from .diffusion import Diffusion
from .generative import GenerativeModel
from .likelihood import DataDensity, Density, LogProb
from .measurement import Measurement
from .posterior import Method, Posterior, given as posterior
from .samplers import Sampler, Sampling
from .standardize import Standardize

__all__ = ["Model", "load"]


class Model(GenerativeModel):
    """A generative model of data, in the units and the form of the data.

    Arguments:
        schema: The form of the data.
        standardize: Their units.
        denoiser: The denoiser of standardized data.
        moments: The mean and the covariance of standardized data.
        sampling: How samples are drawn by default: the noise process (any will do), and the sampler, its steps and the
            schedule; 16 steps of `ExponentialAdams` in the clock of the process where it does not say them.
        context: How what is given beside data becomes numbers, if the model has learned the law of data given it.

    Raises:
        ValueError: If `sampling` has no process.
    """

    def __init__(
        self,
        schema: Schema,
        standardize: Standardize,
        denoiser: Denoiser,
        moments: Gaussian,
        sampling: Sampling,
        context: Context | None = None,
    ) -> None:
        super().__init__(schema, standardize, moments, sampling)
        self.denoiser = denoiser
        self.context = context

    @property
    def diffusion(self) -> Diffusion:
        """The diffusion of standardized data: what samplers and likelihoods take."""
        return Diffusion(self.process, self._answering(), self.moments)

    def _answering(self) -> Denoiser:
        """The denoiser, unless it waits for a context that it cannot do without."""
        if self.context is not None and waits(self.denoiser, self.context):
            names = ", ".join(f"{name}=…" for name in self.context.names)
            raise ValueError(f"this model knows the law of data given something alone: model.given({names}).sample(…)")
        return self.denoiser

    def _of_samples(self, indices: Tensor) -> Denoiser:
        return part_of(self._answering(), indices)

    def log_prob(
        self,
        x: Any,
        probes: int | None = None,
        tolerance: float | None = None,
        seed: int = 0,
        batch: int | None = None,
        target_error: float | None = None,
        extrapolate: bool = False,
    ) -> LogProb:
        """The log-density of data, in nats and in the units of the data, with its errors.

        The law is that of the data with noise of the smallest level (`process`). What that adds is estimated in each
        case (`truncation`).

        Arguments:
            x: Data in the form that the model learned.
            probes: How many random probes estimate the divergence; by default it is exact up to 64 dimensions.
            tolerance: The error of a step of the solver, by default 1e-5 (`scorefield.likelihood.log_prob`).
            seed: The seed of the probes.
            batch: How many data are integrated at once.
            target_error: Instead of a tolerance: the error in nats below which every log-density should come.
            extrapolate: Whether the truncation is removed, and the error of the Gaussian at the largest level.

        Returns:
            The values, what is known of their errors, and the numbers of evaluations, each of shape `(N,)`.

        Raises:
            ValueError: If `x` has another form.
        """
        return self.density(seed, probes, tolerance, batch, target_error, extrapolate).log_prob(x)

    def density(
        self,
        seed: int = 0,
        probes: int | None = None,
        tolerance: float | None = None,
        batch: int | None = None,
        target_error: float | None = None,
        extrapolate: bool = False,
    ) -> Density:
        """More than `log_prob`, with its arguments: bits per dimension, bounds, marginals, conditionals, p-values."""
        self._check(1, batch)
        how = (batch or self._batch(), seed, probes, tolerance, target_error, extrapolate)
        return Density(self.schema, DataDensity(self._precise, self.standardize, *how))

    def given(
        self,
        context: Any = None,
        guidance: float = 1.0,
        interval: tuple[float, float] = (0.0, math.inf),
        weak: Model | None = None,
        **named: Any,
    ) -> Model:
        """The model of the law of data given something: sampled, asked for densities and saved like any other.

        Arguments:
            context: What is given, as `fit` was given it: one for all samples, or M of them, of which sample i (in densities,
                datum i) has that of row i mod M. Or a `scorefield.measurement.Measurement`, with method=…, one of
                `scorefield.posterior`, or a sampler that finds its own way to posteriors (`DAPS`, `RePaint`).
            guidance: Sharpens what is given by leading away from what the model says without it; 1 leaves the law as it is,
                other weights make it that of nothing exact.
            interval: The noise levels at which it guides, in standard deviations of the data.
            weak: A weaker model of the same data to lead away from instead, given the same.
            named: Instead of `context`: columns by their names, as in `model.given(label=3)`.

        Raises:
            ValueError: If the model was fitted without context, or does not know what is given.

        Example:
            >>> import numpy as np, scorefield
            >>> label = np.arange(400) % 2
            >>> x = np.random.default_rng(0).normal(10.0 * label)
            >>> model = scorefield.fit(x, context=label, training=scorefield.Training(steps=300))
            >>> bool(model.given(label=0).sample(100).mean() < 5 < model.given(label=1).sample(100).mean())
            True
        """
        if isinstance(context, Measurement):
            return self._measured(context, **named)
        if self.context is None:
            raise ValueError("this model was fitted without context, nothing can be given to it: fit(x, context=…)")
        return self.told(self.context(named if context is None else context), guidance, interval, weak)

    def _measured(self, measurement: Measurement, method: Method | Sampler | None = None) -> Model:
        """The posterior: a method may also be a sampler that finds its own way to one, DAPS or RePaint."""
        sampling = Sampling(method if isinstance(method, Sampler) else None).merged(self.sampling)
        model = None if isinstance(method, Sampler) else method
        parts = (model, self.schema.layout, self.standardize, self.moments)
        denoiser, moments = posterior(self._answering(), measurement, *parts)
        return Model(self.schema, self.standardize, denoiser, moments, sampling).train(self.training)

    def told(
        self,
        rows: Tensor,
        guidance: float = 1.0,
        interval: tuple[float, float] = (0.0, math.inf),
        weak: Model | None = None,
    ) -> Model:
        """`given`, with what is given as `model.context` makes it: numbers for the network, `(M, size, …)`."""
        if self.context is None:
            raise ValueError("this model was fitted without context, nothing can be given to it: fit(x, context=…)")
        other = None if weak is None else weak.denoiser
        denoiser = conditioned(self.denoiser, self.context, rows.to(self.device), guidance, interval, other)
        parts = (self.schema, self.standardize, denoiser, self.moments, self.sampling)
        return Model(*parts, self.context).train(self.training)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model: one `.safetensors` file, whole or not at all."""
        if isinstance(self.denoiser, Posterior):
            self.denoiser.check_plain()
        checkpoint.save(self, path)

    @property
    def _precise(self) -> Diffusion:
        """The diffusion for densities and latents: never in bfloat16, and for vectors, where it costs little, in float64."""
        denoiser: Denoiser = self._answering()
        if len(self.schema.inner_shape) == 1:
            denoiser = copy.deepcopy(denoiser).double()
        elif isinstance(denoiser, Preconditioned | Conditioned | Guided):
            denoiser = denoiser.exactly()
        return Diffusion(self.process, denoiser, self.moments)


def load(
    path: str | os.PathLike[str], trusted: tuple[str, ...] = ("scorefield",), network: nn.Module | None = None
) -> Model:
    """Reads a model that `Model.save` or `fit` wrote. No code of the file is run.

    Arguments:
        path: The file, or the folder of a run.
        trusted: The packages whose classes may be built.
        network: Your own network, if the model was fitted with one that cannot be built from its arguments.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated, foreign, or no model.
    """
    if os.path.isdir(path):
        path = os.path.join(path, "model.safetensors")
    model = checkpoint.load(path, trusted, network)
    if not isinstance(model, Model):
        raise ValueError(f"{path} holds a {type(model).__name__}, not a model: read it with scorefield.checkpoint.load")
    return model
