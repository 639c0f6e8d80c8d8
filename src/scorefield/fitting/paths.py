"""Paths of the probability flow of a model, as what a consistency function learns from."""

from __future__ import annotations

from collections.abc import Callable, Sized

import torch
from torch import Tensor

from ..context import drop_context
from ..diffusion import Diffusion
from ..rng import Rng, Samples, Steps
from ..samplers import Sampling, trajectory_from
from ..training.feed import Reference

__all__ = ["Paths", "Starts"]

_SIZE = 2**20  # numbers that the teacher sees at once


class Paths:
    """Batches of new paths, each addressed by its number: nothing to save for a resumed run.

    A path is the states of a trajectory at the levels of the teacher's schedule, from noise on, and the data where it ends. As
    each of its states is an example, a batch is taken as many times as there are levels before the next one is drawn: an
    example costs one evaluation of the teacher.

    Arguments:
        teacher: The diffusion for some contexts, `(B, *shape)`, or for None without context.
        sampling: A deterministic sampler, its steps, schedule and process.
        shape: The shape of a state.
        batch: The batch size.
        seed: The seed.
        device: Where the teacher computes.
        context: The contexts of the data, `(N, *shape)`, from which those of paths are drawn; None for an unconditional model.
        unconditional: The fraction of the paths whose context is dropped.
    """

    def __init__(
        self,
        teacher: Callable[[Tensor | None], Diffusion],
        sampling: Sampling,
        shape: tuple[int, ...],
        batch: int,
        seed: int,
        device: torch.device,
        context: Tensor | None = None,
        unconditional: float = 0.0,
    ) -> None:
        self.teacher, self.sampling, self.shape = teacher, sampling, shape
        self.batch, self.device, self.context, self.unconditional = batch, device, context, unconditional
        self.uses = sampling.step_count + 1
        self._rng = Steps(seed, device).child("path")
        self._group: tuple[int, Tensor, Tensor | None] = (-1, torch.empty(0), None)

    @property
    def rows(self) -> Sized:
        """The paths of a group of batches; there is no end to new ones."""
        return range(self.batch * self.uses)

    def batches(self, number: int, count: int = 1) -> Tensor:
        """The paths of the batches `number` to `number + count`, `(count · batch, L + 1, *D)` in float32."""
        return torch.cat([self._of(each)[0] for each in range(number, number + count)])

    def contexts(self, number: int, count: int = 1) -> Tensor | None:
        """The contexts of these paths, `(count · batch, *shape)`; None for an unconditional model."""
        found = [self._of(each)[1] for each in range(number, number + count)]
        return None if self.context is None else torch.cat([each for each in found if each is not None])

    def reference(self, number: int, count: int, size: int) -> Reference:
        """None: targets are not averaged."""
        return Reference()

    def _of(self, number: int) -> tuple[Tensor, Tensor | None]:
        """The paths of a batch, and their contexts."""
        group = number // self.uses
        if group != self._group[0]:
            self._group = (group, *self._drawn(self.batch, self._rng.at(group)))
        return self._group[1:]

    def held_out(self, count: int, seed: int) -> tuple[Tensor, Tensor | None]:
        """Paths that are in no batch, `(count, L + 1, *D)`, and their contexts.

        Arguments:
            count: How many.
            seed: Their seed.
        """
        return self._drawn(count, Samples(seed, 0, count, "held-out paths"))

    @torch.no_grad()
    def _drawn(self, count: int, rng: Rng) -> tuple[Tensor, Tensor | None]:
        """New paths, and their contexts."""
        sampler, process, times = self.sampling.parts()
        context = self.drawn_contexts(count, rng.child("context"))
        size = max(1, _SIZE // max(1, torch.Size(self.shape).numel()))
        noise = rng.child("noise").normal((count, *self.shape), torch.float32, self.device)
        found = []
        for part in torch.arange(count).split(size):  # type: ignore[no-untyped-call]
            diffusion = self.teacher(None if context is None else context[part])
            start = diffusion.colour(noise[part], times[0])
            steps = trajectory_from(diffusion, start, sampler, times.to(self.device), rng)
            alphas = [*process.alpha(times).tolist(), 1.0]
            found.append(torch.stack([x / alpha for alpha, (_, x) in zip(alphas, steps, strict=True)], 1))
        return torch.cat(found), context

    def drawn_contexts(self, count: int, rng: Rng) -> Tensor | None:
        """Contexts of the data, drawn at random, some of them replaced by none."""
        if self.context is None:
            return None
        some = (rng.uniform((count,), torch.float64) * len(self.context)).long()
        context = self.context[some.to(self.context.device)].to(self.device)
        if not self.unconditional:
            return context
        return drop_context(
            context, rng.child("none").uniform((count,), torch.float64, self.device) < self.unconditional
        )


class Starts:
    """Batches of new states at the largest level, from which paths begin, each addressed by its number.

    Arguments:
        paths: How they are drawn, and with what contexts.
        batch: The batch size.
        seed: The seed.
    """

    def __init__(self, paths: Paths, batch: int, seed: int) -> None:
        self.paths, self.batch, self.device = paths, batch, paths.device
        self._rng = Steps(seed, paths.device).child("start")

    @property
    def rows(self) -> Sized:
        """The states of a batch; there is no end to new ones."""
        return range(self.batch)

    def batches(self, number: int, count: int = 1) -> Tensor:
        """The states of the batches `number` to `number + count`, `(count · batch, *D)` in float32."""
        return torch.cat([self._of(each) for each in range(number, number + count)])

    def contexts(self, number: int, count: int = 1) -> Tensor | None:
        """The contexts of these states, `(count · batch, *shape)`; None for an unconditional model."""
        found = [self._contexts(each) for each in range(number, number + count)]
        return None if self.paths.context is None else torch.cat([each for each in found if each is not None])

    def reference(self, number: int, count: int, size: int) -> Reference:
        """None: targets are not averaged."""
        return Reference()

    def _contexts(self, number: int) -> Tensor | None:
        return self.paths.drawn_contexts(self.batch, self._rng.at(number).child("context"))

    @torch.no_grad()
    def _of(self, number: int) -> Tensor:
        _, process, times = self.paths.sampling.parts()
        shape = (self.batch, *self.paths.shape)
        noise = self._rng.at(number).child("noise").normal(shape, torch.float32, self.device)
        return self.paths.teacher(self._contexts(number)).colour(noise, times[0]) / process.alpha(times[0])
