"""Drawing samples: what a model does with a denoiser and a `Sampling`."""

from __future__ import annotations

import abc
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
import torch.nn as nn
from torch import Tensor

from .bars import shown
from .blockwise import block_rows, each_in_one_thread, in_one_thread, regrouped
from .constraints import Constraint, Rules, draw_valid
from .data import Schema
from .denoisers import Gaussian
from .deprecation import renamed_arguments, suggests_arguments
from .diffusion import Diffusion
from .processes import Process
from .progress import mapped, part
from .rng import Mixed, Rng, SampleBlock, Samples
from .samplers import (
    DormandPrince,
    Sampler,
    Sampling,
    SamplingLike,
    UniPC,
    decode,
    encode,
    latents_of,
    sample,
    spherical_interpolation,
    trajectory,
)
from .schedules import DEFAULT_SCHEDULE, Schedule
from .units import Units

__all__ = ["GenerativeModel"]


class GenerativeModel(nn.Module, abc.ABC):
    """What draws samples in the form and the units of the data. `Model` adds conditions, densities and files.

    Arguments:
        schema: The form of the data.
        standardize: Their units.
        moments: The mean and the covariance of standardized data.
        sampling: How samples are drawn by default: the noise process (any will do), and the sampler, its steps and the
            schedule; 32 steps of `UniPC`, uniform in the logarithm of the level, where it does not say them.

    Raises:
        ValueError: If `sampling` has no process.
    """

    def __init__(self, schema: Schema, standardize: Units, moments: Gaussian, sampling: Sampling) -> None:
        super().__init__()
        if sampling.process is None:
            raise ValueError("a model needs a noise process: Sampling(process=…)")
        sampling = sampling.replace(process=sampling.process.checked())
        self.schema = schema
        self.standardize = standardize
        self.moments = moments
        self.sampling = sampling.merged(Sampling(UniPC(), 32, DEFAULT_SCHEDULE))

    @property
    @abc.abstractmethod
    def diffusion(self) -> Diffusion:
        """The diffusion that samples are drawn from; an error that says what is missing, if it cannot be used yet."""

    @property
    @abc.abstractmethod
    def _precise(self) -> Diffusion:
        """The diffusion for densities and latents, never in bfloat16."""

    @property
    def process(self) -> Process:
        """The noise process that the model samples with."""
        return cast(Process, self.sampling.process)  # the constructor has seen to it

    @property
    def sampler(self) -> Sampler:
        """The sampler that the model uses by default."""
        return cast(Sampler, self.sampling.sampler)

    @property
    def steps(self) -> int:
        """The number of steps that it takes by default; 1 if the sampler chooses its own."""
        return self.sampling.step_count

    @property
    def schedule(self) -> Schedule:
        """The schedule of times that it steps through by default."""
        return cast(Schedule, self.sampling.schedule)

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return self.moments.mean.device

    @renamed_arguments(grid="schedule")
    @suggests_arguments
    def sample(
        self,
        count: int,
        seed: int = 0,
        sampler: SamplingLike = None,
        steps: int | None = None,
        denoise: bool = True,
        batch: int | None = None,
        schedule: Schedule | str | None = None,
        process: Process | str | None = None,
        *,
        progress: bool | None = None,
    ) -> Any:
        """Draws samples.

        Sample i depends on the seed and on i alone. On a CPU it has the same bits whatever the count, the batch, the number
        of processes and of threads: samples are computed in whole blocks, each of the same samples and in one thread.

        Arguments:
            count: The number of samples.
            seed: The seed.
            sampler: The sampler, or all of how samples are drawn (a `Sampling`, or a call such as
                `"heun(steps=20, schedule=karras)"`); what is left out is the model's own.
            steps: The number of steps.
            denoise: Whether the noise of the smallest level is removed at the end.
            batch: How many are drawn at once, in whole blocks (512 vectors; 4 to 16 grids); memory grows with it.
            schedule: The times to step through (`scorefield.schedules`), or the call of one.
            process: The noise process (`scorefield.processes`), or the call of one. With its default arguments it takes the
                levels that the model has learned; otherwise its own, as far as the model has learned them.
            progress: Whether a bar is shown; by default in a terminal or a notebook, and elsewhere one line of what takes long.

        Returns:
            `count` samples in the form of the data that the model learned: an array, a tensor, a table.

        Raises:
            ValueError: If `count` or `steps` is not positive, or a call cannot be read.
            RuntimeError: If a state becomes non-finite (NaN or inf), or too few samples satisfy the declared constraints.

        Example:
            >>> import numpy as np, scorefield
            >>> model = scorefield.fit(np.random.default_rng(0).normal(size=500), training=scorefield.Training(steps=200))
            >>> model.sample(100, sampler="heun(steps=20)", process="vp").shape
            (100,)
        """
        with shown(progress):
            drawn = list(self.batches(count, seed, sampler, steps, denoise, batch, schedule, process))
        return self.schema.pack(torch.cat(drawn))

    @renamed_arguments(grid="schedule")
    @suggests_arguments
    def batches(
        self,
        count: int,
        seed: int = 0,
        sampler: SamplingLike = None,
        steps: int | None = None,
        denoise: bool = True,
        batch: int | None = None,
        schedule: Schedule | str | None = None,
        process: Process | str | None = None,
        chosen: Sequence[int] | None = None,
    ) -> Iterator[Tensor]:
        """Draws samples a batch at a time, `(B, *D)` in the layout of networks and the units of the data, as `sample` does.

        Memory stays bounded however many are drawn; `model.schema.pack` gives a batch the form of the data. With `chosen`,
        those batches alone are drawn, by their numbers, each of `batch_size` samples: several processes share them.
        """
        self._check(count, batch, seed)
        sampling = self._chosen(sampler, steps, schedule, process)
        size, asked = self.batch_size(sampling, batch), batch
        diffusion, sources, rules = self.diffusion, self._sources(count, seed, size, chosen), self._rules()

        def draw(numbers: Tensor, rng: Rng) -> Tensor:
            return self._draw(diffusion, numbers, rng, sampling, denoise)

        def drawn(rng: Samples) -> Tensor:
            done = min(1.0, rng.start / count)  # by numbers: the last batch may be a small one
            with part(done, min(1.0, (rng.start + rng.count) / count), "drawing samples"):
                return draw_valid(draw, rules, rng).x if rules else draw(_numbers(rng), rng)

        valid = map(drawn, sources)
        return valid if asked is None or asked == size or chosen is not None else regrouped(valid, asked)

    def batch_size(self, sampler: SamplingLike = None, batch: int | None = None) -> int:
        """How many samples are drawn at once where `batch` are asked for: on a CPU in whole blocks."""
        block = self._block(self._chosen(sampler))
        return -(-(batch or self._batch()) // block) * block

    def _rules(self) -> Rules:
        """What samples must satisfy: declared constraints, and relations of columns that follow from others."""
        found = [Constraint(text) for text in self.schema.constraints]
        return Rules(found, self.schema.pack, self.schema.columns, self._outside(), self.schema.table)

    def _outside(self) -> Callable[[Tensor], Tensor] | None:
        """Which drawn data are impossible, `(B, *D)` to `(B,)`; None where all are possible."""
        return self.standardize.outside

    def _sources(self, count: int, seed: int, size: int, chosen: Sequence[int] | None = None) -> Iterator[Samples]:
        """The random source of each batch of `size`, or of the chosen ones."""
        starts = range(0, count, size) if chosen is None else (i * size for i in chosen)
        return (Samples(seed, start, min(size, count - start), "sample") for start in starts)

    def _chosen(
        self,
        sampler: SamplingLike,
        steps: int | None = None,
        schedule: Schedule | str | None = None,
        process: Process | str | None = None,
    ) -> Sampling:
        """What was asked for, and the model's own for the rest."""
        return self._merged(Sampling.asked(sampler, steps, schedule, process))

    def _merged(self, sampling: Sampling) -> Sampling:
        """Completed by the model's own; a process or a schedule of another kind must start where data are drowned."""
        found = self._matched(sampling).merged(self.sampling)
        if (found.process, found.schedule) != (self.process, self.schedule):
            found.check_start(self.process.ends()[1])
        return found

    def _matched(self, sampling: Sampling) -> Sampling:
        """With levels of the process that the model has learned."""
        if sampling.process is None or sampling.process == self.process:
            return sampling
        return sampling.replace(process=sampling.process.matched(*self.process.ends()))

    def _draw(
        self, diffusion: Diffusion, numbers: Tensor, rng: Rng, sampling: Sampling, denoise: bool = True
    ) -> Tensor:
        """The samples of some numbers `(B,)`, in the units of the data; `sampling` is complete."""
        shape = self.standardize.state_shape

        def drawn(block: SampleBlock) -> Tensor:
            part = diffusion.samples(block.numbers)
            x = sample(part, (len(block.numbers), *shape), sampling, block.rng, denoise, device=self.device)
            data = self._completed(self.standardize.inverse(x), block, sampling, denoise)
            return data.to("cpu", self._dtype())[block.kept]

        if not self._blocked:
            return drawn(SampleBlock(rng, numbers, slice(None)))
        blocks = rng.blocks(numbers, self._block(sampling))
        return torch.cat(each_in_one_thread(drawn, blocks, at_once=len(shape) > 1))

    def _completed(self, x: Tensor, block: SampleBlock, sampling: Sampling, denoise: bool = True) -> Tensor:
        """The rows `(B, *D)` of a block, in the units of the data, with draws for what they miss if they must not."""
        return x

    @property
    def _blocked(self) -> bool:
        """Whether samples are computed in blocks: on a GPU small ones would leave most of it idle."""
        return self.device.type == "cpu"

    @property
    def _work(self) -> int:
        """How many times the work of the learned denoiser a step takes, roughly."""
        return 1

    def computed(self, count: int, sampler: SamplingLike = None) -> int:
        """How many samples are computed where `count` are asked for: on a CPU whole blocks, so that their bits are the same.

        Arguments:
            count: The number of samples.
            sampler: How they are drawn, as for `sample`.
        """
        block = self._block(self._chosen(sampler))
        return -(-count // block) * block

    def _block(self, sampling: Sampling) -> int:
        """How many samples are computed together."""
        states = cast(Sampler, sampling.sampler).states * self._work
        return block_rows(self.standardize.state_shape, states) if self._blocked else 1

    @renamed_arguments(grid="schedule")
    @suggests_arguments
    def trajectory(
        self,
        count: int,
        seed: int = 0,
        sampler: SamplingLike = None,
        steps: int | None = None,
        schedule: Schedule | str | None = None,
        process: Process | str | None = None,
    ) -> Iterator[tuple[float, Tensor]]:
        """The trajectories of `count` samples from noise to data, for pictures. The arguments are those of `sample`.

        Returns:
            Pairs of a noise level and the state, of shape `(count, *D)` in the layout of networks and the units of the
            data, scaled to the standard deviation of the data at every level.

        Raises:
            ValueError: If `count` or `steps` is not positive.
        """
        self._check(count, None, seed)
        sampling = self._chosen(sampler, steps, schedule, process)
        chosen, times = sampling.parts()[1:]
        diffusion, rng = replace(self.diffusion, process=chosen), Samples(seed, 0, count, "sample")
        size = self._block(sampling) if self._blocked else count
        blocks, shape = rng.blocks(_numbers(rng), size), (size, *self.standardize.state_shape)
        runs = [trajectory(diffusion.samples(b.numbers), shape, sampling, b.rng, device=self.device) for b in blocks]
        together = zip(*runs, strict=True)
        for i, states in enumerate(in_one_thread(together) if self._blocked else together):
            level, alpha = states[0][0], float(chosen.alpha(times[i])) if i < len(times) else 1.0
            scale = alpha * (1 + level**2) ** 0.5
            parts = [(self.standardize.inverse(state / scale), block) for (_, state), block in zip(states, blocks)]
            if i == len(times):
                parts = [(self._completed(x, block, sampling), block) for x, block in parts]
            yield level, torch.cat([x[block.kept] for x, block in parts]).to("cpu", self._dtype())

    @renamed_arguments(grid="schedule")
    @suggests_arguments
    def encode(
        self,
        x: Any,
        sampler: SamplingLike = None,
        steps: int | None = None,
        schedule: Schedule | str | None = None,
        process: Process | str | None = None,
    ) -> Tensor:
        """The latents of data, found by the probability flow: standard normal if the model is right.

        Arguments:
            x: N examples in the form that the model learned.
            sampler: A deterministic sampler, a `Sampling` or a call; by default DormandPrince(), which chooses its steps.
            steps, schedule, process: As for `sample`.

        Returns:
            Latents, of shape `(N, *D)` in the layout of networks, in float64.

        Raises:
            ValueError: If `x` has another form or missing values, there are neither one nor N contexts, or the sampler draws
                noise.
        """
        self.schema.require_one_length("encode", "sample or impute instead")
        sampling = self._flow(Sampling.asked(sampler, steps, schedule, process))
        data = self.schema.unpack(x, torch.float64).to(self.device)
        state = self.standardize.filled(self.standardize(data))
        if bool(data.isnan().any()):
            raise ValueError("rows with missing values have no latents: fill them first, model.impute(x)")
        return self._moved(
            state, lambda diffusion, some: encode(diffusion, some, sampling).cpu(), "finding latents"
        ).cpu()

    @renamed_arguments(grid="schedule")
    @suggests_arguments
    def decode(
        self,
        latents: Any,
        sampler: SamplingLike = None,
        steps: int | None = None,
        schedule: Schedule | str | None = None,
        process: Process | str | None = None,
    ) -> Any:
        """The data of latents: the inverse of `encode`, with the same arguments.

        Arguments:
            latents: Standard normal numbers, of shape `(N, *D)` in the layout of networks.
            sampler, steps, schedule, process: As for `encode`.

        Returns:
            N examples in the form that the model learned.

        Raises:
            ValueError: If the latents have another shape, the sampler draws noise, or there are neither one nor N contexts.
        """
        self.schema.require_one_length("decode", "sample or impute instead")
        sampling = self._flow(Sampling.asked(sampler, steps, schedule, process))
        z = latents_of(latents, self.moments.mean.shape).to(self.device)
        found = self._moved(z, lambda diffusion, some: decode(diffusion, some, sampling), "decoding latents")
        return self.schema.pack(self.standardize.inverse(found).to("cpu", self._dtype()))

    def _moved(self, x: Tensor, move: Callable[[Diffusion, Tensor], Tensor], what: str) -> Tensor:
        """Rows along the probability flow, a batch at a time; no rows as they are."""
        if not len(x):
            return x
        with shown(), part(0, 1, what):
            pairs = self._parts(self._precise, x)
            return torch.cat([*mapped(lambda pair: move(*pair), pairs, -(-len(x) // self._batch()))])

    def _parts(self, diffusion: Diffusion, x: Tensor) -> Iterator[tuple[Diffusion, Tensor]]:
        """Batches of rows, each with the diffusion of these rows."""
        diffusion.check_rows(len(x))
        start = 0
        for some in x.split(self._batch()):  # type: ignore[no-untyped-call]
            yield diffusion.samples(start + torch.arange(len(some))), some
            start += len(some)

    def _flow(self, sampling: Sampling) -> Sampling:
        """What was asked for; without a sampler, the probability flow to a tolerance."""
        if sampling.sampler is None:
            sampling = sampling.merged(Sampling(DormandPrince(), 1, DEFAULT_SCHEDULE))
        return self._merged(sampling)

    def interpolate(self, a: Any, b: Any, frames: int = 8, sampler: SamplingLike = None) -> list[Any]:
        """Interpolations between examples, through their latents: each frame is as likely as data are.

        Arguments:
            a, b: N examples each, in the form that the model learned.
            frames: The number of frames, including the two ends.
            sampler: A deterministic sampler, a `Sampling` or a call; by default DormandPrince().

        Returns:
            `frames` sets of N examples; the first is `a` and the last `b`, up to the error of the solver.

        Raises:
            ValueError: If `a` and `b` have other forms or counts, or `frames` is below 2.
        """
        ends = (self.encode(a, sampler), self.encode(b, sampler))
        return [*mapped(lambda z: self.decode(z, sampler), spherical_interpolation(*ends, frames))]

    def interpolate_seeds(
        self, count: int, seeds: tuple[int, int] = (0, 1), frames: int = 8, sampler: SamplingLike = None
    ) -> list[Any]:
        """Interpolations between the samples of two seeds, through the noise that is drawn (NCSNv2), for any sampler.

        Arguments:
            count, seeds: The number of samples of each of two seeds.
            frames: The number of frames, including the two ends.
            sampler: The sampler, a `Sampling` or a call, other than the model's own.

        Returns:
            `frames` sets of `count` samples from the distribution that the sampler draws from, from those of the first seed
            to those of the second.

        Raises:
            ValueError: If `count` is not positive, or `frames` is below 2.
        """
        self._check(count, None)
        if frames < 2:
            raise ValueError(f"an interpolation has two ends: frames must be 2 or more, got {frames}")
        sampling, diffusion, found = self._chosen(sampler), self.diffusion, []
        size = self.batch_size(sampling)
        for angle in (math.pi / 2 * i / (frames - 1) for i in range(frames)):
            pairs = zip(*(self._sources(count, seed, size) for seed in seeds))
            parts = [self._draw(diffusion, _numbers(a), Mixed(a, b, angle), sampling) for a, b in pairs]
            found.append(self.schema.pack(torch.cat(parts)))
        return found

    def morph(
        self,
        count: int,
        seeds: tuple[int, int] = (0, 1),
        frames: int = 8,
        sampler: SamplingLike = None,
        steps: int | None = None,
        grid: Schedule | None = None,
    ) -> list[Any]:
        """The old name of `interpolate_seeds`."""
        warnings.warn("morph is now interpolate_seeds", DeprecationWarning, stacklevel=2)
        return self.interpolate_seeds(count, seeds, frames, Sampling.of(sampler, steps, grid))

    def _batch(self) -> int:
        """As many as keep the caches of a CPU, or a GPU, busy."""
        numbers = 200_000 if self.device.type == "cpu" else 4_000_000
        return max(8, min(numbers // self.moments.mean.numel(), numbers // 200))

    def _dtype(self) -> torch.dtype:
        """The type that holds the digits of the data: 32-bit integers have more than float32."""
        wide = ("float64", "int64", "uint64", "int32", "uint32")
        return torch.float64 if self.schema.dtype in wide else torch.float32

    @staticmethod
    def _check(count: int, batch: int | None, seed: int = 0) -> None:
        values = {"count": (count, 100), "batch": (1 if batch is None else batch, 100), "seed": (seed, 0)}
        for name, (value, example) in values.items():
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise TypeError(f"{name} must be a whole number, got {value!r}: write {name}={example}, say")
        if count < 1 or (batch is not None and batch < 1):
            got = f"got count={count}" if batch is None else f"got count={count}, batch={batch}"
            raise ValueError(f"at least one sample is drawn, in batches of at least one; {got}")


def _numbers(samples: Samples) -> Tensor:
    """The numbers of the samples of a source."""
    return samples.start + torch.arange(samples.count)
