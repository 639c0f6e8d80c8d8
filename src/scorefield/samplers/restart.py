"""Restart sampling: noise is put back onto a part of the levels, which are gone through again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng
from .base import Move, Sampler
from .multistep import DPM

__all__ = ["Restart"]

_ROUNDING = 1e-6  # steps


@dataclass(frozen=True)
class Restart(Sampler):
    """Restart sampling, with any sampler and any process (Xu et al., 2023, Algorithm 1).

    Once the trajectory has come to the first level at or below `low`, noise is added until it is at the level `high` again, and
    the sampler goes through the levels in between once more, `repeats` times:

        u_high = u_low + √(high² - low²) z,    u = x/α.

    Noise and denoising both leave the distribution of exact data unchanged, so that nothing is gained with an exact score. A
    learned one errs most at large levels, where a network has to know the whole at once. What these errors have left behind is
    forgotten, as the noise between `low` and `high` covers it. Directions of data that are much wider than `high` keep what
    they have.

    Each time it makes one step more than the schedule has there, since the first is a step without memory; their levels are as
    those of the schedule otherwise. With more steps all errors of the sampler vanish.

    Arguments:
        sampler: The sampler that makes the steps, which begins anew each time.
        low: The level from which noise is put back.
        high: The level that is reached with it. A trajectory that begins below it repeats nothing.
        repeats: How many times.

    Raises:
        ValueError: If the levels are not 0 < low < high, `repeats` is below 1, or the sampler does not lead to a level.

    Example:
        >>> from scorefield.samplers import Heun, Sampling
        >>> str(Sampling(Restart(Heun(), low=0.5, high=2.0, repeats=2), 12))
        'Restart(sampler=Heun, low=0.5, high=2, repeats=2, steps=12)'
    """

    sampler: Sampler = DPM(2, eta=0.5)  # noqa: RUF009  # a frozen value
    low: float = 0.7
    high: float = 2.5
    repeats: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise ValueError(f"Restart needs 0 < low < high, got low={self.low:g}, high={self.high:g}")
        if self.repeats < 1:
            raise ValueError(f"Restart needs at least 1 repeat, got repeats={self.repeats}")
        if self.sampler.consistency or self.sampler.gives_data or self.sampler.states != 1:
            what = f"Restart needs a sampler whose steps lead from level to level, got {self.sampler!r}"
            raise ValueError(f"{what}: take DPM(2, eta=0.5), Heun() or another one")

    corrects = True

    @property
    def adaptive(self) -> bool:
        return self.sampler.adaptive

    def evaluations_through(self, levels: Sequence[float]) -> int | None:
        each, at = self.sampler.evaluations, self._lowest(levels)
        if each is None:
            return None
        again = 0 if at is None else len(self._passed(levels, at)) - 1
        return each * (len(levels) - 1 + self.repeats * again)

    def _lowest(self, levels: Sequence[float]) -> int | None:
        """Which level is the first at or below `low`; None if there is none, or the first of all is not above `high`."""
        return next((i for i, level in enumerate(levels) if level <= self.low), None) if levels[0] > self.high else None

    def _passed(self, levels: Sequence[float], at: int) -> list[float]:
        """The levels that are passed again, from `high` down to the one numbered `at`: evenly in numbers of the schedule's."""
        numbers, logarithms = np.arange(len(levels)), np.log(levels)
        first = float(np.interp(-math.log(self.high), -logarithms, numbers))
        between = np.interp(np.linspace(first, at, 2 + math.ceil(at - first - _ROUNDING)), numbers, logarithms)
        return [self.high, *np.exp(between[1:-1]).tolist(), levels[at]]

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        process = diffusion.process
        levels = process.level(times)
        at, inner = self._lowest(levels.tolist()), self.sampler.start(diffusion, times, rng)
        if at is None:
            return inner
        passed = process.time(torch.tensor(self._passed(levels.tolist(), at), dtype=times.dtype, device=times.device))
        passed[-1] = times[at]
        noise = (self.high**2 - levels[at] ** 2).sqrt()
        step = 0

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            nonlocal inner, step
            x, step = inner(x, t, s), step + 1
            if step != at:
                return x
            for _ in range(self.repeats):
                u = x / process.alpha(s)
                x = process.alpha(passed[0]) * (u + noise * rng.normal_like(u))
                for state in self.sampler.trajectory(diffusion, x, passed, rng):
                    x = state
            inner = self.sampler.start(diffusion, times[at:], rng)
            return x

        return move
