"""The model: what `fit` returns, what a file holds, what every command starts from."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from . import checkpoint
from .conditioning import conditioned, waits
from .context import Context
from .data import Schema
from .denoisers import Conditioned, Denoiser, Gaussian, Guided, Preconditioned, part_of
from .diffusion import Diffusion
from .likelihood import DataDensity, Density, LogProb
from .measurement import Measurement
from .posterior import Method, Posterior, given as posterior
from .processes import Process
from .rng import Mixed, Rng, Samples
from .samplers import (
    AdaptiveSampler,
    ExponentialAdams,
    Sampler,
    decode,
    encode,
    sample,
    spherical_interpolation,
    trajectory,
)
from .schedules import Schedule, UniformTime
from .standardize import Standardize

__all__ = ["Model", "load"]


class Model(nn.Module):
    """A generative model of data, in the units and the form of the data.

    Arguments:
        schema: The form of the data.
        standardize: Their units.
        process: The noise process to sample by; any will do.
        denoiser: The denoiser of standardized data.
        moments: The mean and the covariance of standardized data.
        sampler: The sampler that `sample` uses by default.
        steps: The number of steps that it takes by default.
        grid: The times that it steps through by default; uniform in the clock of the process, if none is given.
        context: How what is given beside data becomes numbers, if the model has learned the law of data given it.
    """

    def __init__(
        self,
        schema: Schema,
        standardize: Standardize,
        process: Process,
        denoiser: Denoiser,
        moments: Gaussian,
        sampler: Sampler | None = None,
        steps: int = 16,
        grid: Schedule | None = None,
        context: Context | None = None,
    ) -> None:
        super().__init__()
        self.schema = schema
        self.standardize = standardize
        self.process = process
        self.denoiser = denoiser
        self.moments = moments
        self.sampler = sampler or ExponentialAdams()
        self.steps = steps
        self.grid = grid
        self.context = context

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.moments.mean.device

    @property
    def diffusion(self) -> Diffusion:
        """The diffusion of standardized data: what samplers and likelihoods take."""
        return Diffusion(self.process, self.denoiser, self.moments)

    def sample(
        self,
        count: int,
        seed: int = 0,
        sampler: Sampler | None = None,
        steps: int | None = None,
        denoise: bool = True,
        batch: int | None = None,
        grid: Schedule | None = None,
    ) -> Any:
        """Draws new realizations.

        Sample i depends on the seed and on i alone, whatever the count and the batch.

        Arguments:
            count: How many.
            seed: The seed.
            sampler: The way from noise to data, another than the model's own.
            steps: How many steps it takes.
            denoise: Whether the last noise is removed.
            batch: How many are drawn at once; memory grows with it.
            grid: The times it steps through, others than the model's own (`scorefield.schedules`).

        Returns:
            `count` realizations in the form of the data that the model learned: an array, a tensor, a table.

        Raises:
            ValueError: If `count` or `steps` is not positive.
            RuntimeError: If the sampler leaves the finite numbers.
        """
        drawn = list(self.batches(count, seed, sampler, steps, denoise, batch, grid))
        return self.schema.pack(torch.cat(drawn))

    def batches(
        self,
        count: int,
        seed: int = 0,
        sampler: Sampler | None = None,
        steps: int | None = None,
        denoise: bool = True,
        batch: int | None = None,
        grid: Schedule | None = None,
    ) -> Iterator[Tensor]:
        """Draws new realizations a batch at a time, `(B, *D)` in the layout of networks and the units of the data.

        Memory stays bounded however many are asked for; `model.schema.pack` gives a batch the form of the data.
        """
        self._check(count, batch)
        size = batch or self._batch()
        for start in range(0, count, size):
            rng = Samples(seed, start, min(size, count - start), "sample")
            yield self._draw(start, rng.count, rng, sampler, steps, denoise, grid)

    def _draw(
        self,
        start: int,
        count: int,
        rng: Rng,
        sampler: Sampler | None,
        steps: int | None,
        denoise: bool,
        grid: Schedule | None,
    ) -> Tensor:
        """A batch, in the units of the data."""
        shape = (count, *self.schema.inner_shape)
        sampler, steps, grid = self._way(sampler, steps, grid)
        denoiser = part_of(self._answerable(), start + torch.arange(count))
        if denoiser is not self.denoiser and isinstance(sampler, AdaptiveSampler):
            what = f"{type(sampler).__name__} lets samples drop out one by one, and takes one context at a time"
            raise ValueError(f"{what}: give one, or take a sampler with fixed steps")
        diffusion = Diffusion(self.process, denoiser, self.moments)
        x = sample(diffusion, shape, sampler, steps, rng, denoise, device=self.device, grid=grid)
        return self.standardize.inverse(x).to("cpu", self._dtype())

    def _answerable(self) -> Denoiser:
        """The denoiser, unless it waits for a context that it cannot do without."""
        if self.context is not None and waits(self.denoiser, self.context):
            names = ", ".join(f"{name}=…" for name in self.context.names)
            raise ValueError(f"this model knows the law of data given something alone: model.given({names}).sample(…)")
        return self.denoiser

    def _way(
        self, sampler: Sampler | None, steps: int | None, grid: Schedule | None
    ) -> tuple[Sampler, int | None, Schedule]:
        """What was asked for, or the model's own. A grid may know its steps; a sampler with its own needs but one."""
        sampler, grid = sampler or self.sampler, grid or self.grid or UniformTime()
        if steps is None and grid.steps is None:
            steps = 1 if isinstance(sampler, AdaptiveSampler) else self.steps
        return sampler, steps, grid

    def trajectory(
        self,
        count: int,
        seed: int = 0,
        sampler: Sampler | None = None,
        steps: int | None = None,
        grid: Schedule | None = None,
    ) -> Iterator[tuple[float, Tensor]]:
        """The way of `count` realizations from noise to data, for pictures.

        Returns:
            Pairs of a noise level and the state, of shape `(count, *D)` in the layout of networks and the units of the
            data, shrunk to the spread of the data at every level.
        """
        self._check(count, None)
        rng = Samples(seed, 0, count, "sample")
        shape = (count, *self.schema.inner_shape)
        sampler, steps, grid = self._way(sampler, steps, grid)
        diffusion = Diffusion(self.process, part_of(self._answerable(), torch.arange(count)), self.moments)
        path = trajectory(diffusion, shape, sampler, steps, rng, device=self.device, grid=grid)
        times = grid.times(self.process, steps)
        for i, (level, x) in enumerate(path):
            alpha = float(self.process.alpha(times[i])) if i < len(times) else 1.0
            yield level, self.standardize.inverse(x / alpha / (1 + level**2) ** 0.5).to("cpu", self._dtype())

    def encode(
        self, x: Any, sampler: Sampler | None = None, steps: int | None = 1, grid: Schedule | None = None
    ) -> Tensor:
        """The latents of data: what the probability flow makes of them, standard normal if the model is right.

        Arguments:
            x: N data in the form that the model learned.
            sampler: A sampler without fresh noise, by default DormandPrince(), which finds its own steps.
            steps: How many steps it takes.
            grid: The times it steps through.

        Returns:
            Latents, of shape `(N, *D)` in the layout of networks, in float64.

        Raises:
            ValueError: If `x` has another form, or the sampler draws noise.
        """
        state, diffusion = self.standardize(self.schema.unpack(x, torch.float64).to(self.device)), self._precise
        return torch.cat([encode(diffusion, part, sampler, steps, grid).cpu() for part in state.split(self._batch())])

    def decode(
        self, latents: Tensor, sampler: Sampler | None = None, steps: int | None = 1, grid: Schedule | None = None
    ) -> Any:
        """The data of latents: the inverse of `encode`, with the same arguments.

        Arguments:
            latents: Standard normal numbers, of shape `(N, *D)` in the layout of networks.
            sampler: A sampler without fresh noise, by default DormandPrince().
            steps: How many steps it takes.
            grid: The times it steps through.

        Returns:
            N data in the form that the model learned.

        Raises:
            ValueError: If the sampler draws noise.
        """
        diffusion, z = self._precise, latents.to(self.device, torch.float64)
        parts = [decode(diffusion, part, sampler, steps, grid) for part in z.split(self._batch())]
        return self.schema.pack(self.standardize.inverse(torch.cat(parts)).to("cpu", self._dtype()))

    def interpolate(self, a: Any, b: Any, frames: int = 8, sampler: Sampler | None = None) -> list[Any]:
        """Ways between data, through their latents: each frame is as likely as data are.

        Arguments:
            a: N data in the form that the model learned.
            b: As many others.
            frames: The number of frames, the two ends among them.
            sampler: A sampler without fresh noise, by default DormandPrince().

        Returns:
            `frames` sets of N data in the form that the model learned; the first is `a` and the last `b`, up to the
            error of the solver.

        Raises:
            ValueError: If `a` and `b` have other forms or counts, or `frames` is below 2.
        """
        ends = (self.encode(a, sampler), self.encode(b, sampler))
        return [self.decode(z, sampler) for z in spherical_interpolation(*ends, frames)]

    def morph(
        self,
        count: int,
        seeds: tuple[int, int] = (0, 1),
        frames: int = 8,
        sampler: Sampler | None = None,
        steps: int | None = None,
        grid: Schedule | None = None,
    ) -> list[Any]:
        """Ways between the samples of two seeds, through the noise that a sampler is led by (NCSNv2, for any sampler).

        Arguments:
            count: How many samples of each seed.
            seeds: The two seeds.
            frames: The number of frames, the two ends among them.
            sampler: The way from noise to data, another than the model's own.
            steps: How many steps it takes.
            grid: The times it steps through.

        Returns:
            `frames` sets of `count` samples, each of the law that the sampler draws from; the first are those of the
            first seed, the last those of the second.

        Raises:
            ValueError: If `count` is not positive, or `frames` is below 2.
        """
        self._check(count, None)
        if frames < 2:
            raise ValueError(f"a way between two seeds has two ends: frames must be 2 or more, got {frames}")
        found = []
        for i in range(frames):
            parts = []
            for start in range(0, count, self._batch()):
                first, second = (Samples(s, start, min(self._batch(), count - start), "sample") for s in seeds)
                rng = Mixed(first, second, math.pi / 2 * i / (frames - 1))
                parts.append(self._draw(start, first.count, rng, sampler, steps, True, grid))
            found.append(self.schema.pack(torch.cat(parts)))
        return found

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
        sampler = method if isinstance(method, Sampler) else self.sampler
        model = None if isinstance(method, Sampler) else method
        parts = (model, self.schema.layout, self.standardize, self.moments)
        denoiser, moments = posterior(self._answerable(), measurement, *parts)
        other = (self.schema, self.standardize, self.process, denoiser, moments, sampler, self.steps, self.grid)
        return Model(*other).train(self.training)

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
        parts = (
            self.schema,
            self.standardize,
            self.process,
            denoiser,
            self.moments,
            self.sampler,
            self.steps,
            self.grid,
        )
        return Model(*parts, self.context).train(self.training)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model: one `.safetensors` file, whole or not at all."""
        if isinstance(self.denoiser, Posterior):
            self.denoiser.check_plain()
        checkpoint.save(self, path)

    @property
    def _precise(self) -> Diffusion:
        """The diffusion for densities and latents: never in bfloat16, and for vectors, where it costs little, in float64."""
        denoiser: Denoiser = self.denoiser
        if len(self.schema.inner_shape) == 1:
            denoiser = copy.deepcopy(denoiser).double()
        elif isinstance(denoiser, Preconditioned | Conditioned | Guided):
            denoiser = denoiser.exactly()
        return Diffusion(self.process, denoiser, self.moments)

    def _batch(self) -> int:
        """As many as keep the caches of a CPU, or a GPU, busy."""
        numbers = 200_000 if self.device.type == "cpu" else 4_000_000
        return max(8, min(numbers // self.moments.mean.numel(), numbers // 200))

    def _dtype(self) -> torch.dtype:
        """The type that holds the digits of the data: 32-bit integers have more than float32."""
        wide = ("float64", "int64", "uint64", "int32", "uint32")
        return torch.float64 if self.schema.dtype in wide else torch.float32

    @staticmethod
    def _check(count: int, batch: int | None) -> None:
        if count < 1 or (batch is not None and batch < 1):
            raise ValueError(
                f"at least one sample is drawn, in batches of at least one; got count={count}, batch={batch}"
            )


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
