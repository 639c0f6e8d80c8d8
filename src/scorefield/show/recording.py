"""The states of samples while they are drawn, for pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng
from ..samplers import Sampler
from ..samplers.base import Move

__all__ = ["RecordingSampler"]

Show = Callable[[int, int, float, Tensor], None]
"""Takes the number of a step, that of all steps, the noise level, and the state `(B, *D)` with the variance of data."""


class RecordingSampler(Sampler):
    """A sampler that shows the states of the first batch, and draws what another one draws.

    Arguments:
        inner: The sampler that draws.
        show: What takes the states.
        frames: How many of them, the first and the last among them.
    """

    def __init__(self, inner: Sampler, show: Show, frames: int) -> None:
        self.inner = inner
        self.show = show
        self.frames = frames
        self._done = False

    @property
    def deterministic(self) -> bool:
        return self.inner.deterministic

    @property
    def evaluations(self) -> int | None:
        return self.inner.evaluations

    @property
    def adaptive(self) -> bool:
        return self.inner.adaptive

    @property
    def gives_data(self) -> bool:  # type: ignore[override]
        """Whether the last move gives data."""
        return self.inner.gives_data

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        return self.inner.start(diffusion, times, rng)

    def trajectory(self, diffusion: Diffusion, x: Tensor, times: Tensor, rng: Rng) -> Iterator[Tensor]:
        again, self._done = self._done, True
        last = len(times) - 1
        shown = set(np.rint(np.linspace(0, last, min(self.frames, last + 1))).astype(int).tolist())
        for i, state in enumerate(self.inner.trajectory(diffusion, x, times, rng)):
            if not again and i in shown:
                level, alpha = float(diffusion.process.level(times[i])), float(diffusion.process.alpha(times[i]))
                self.show(i, last, level, state / alpha / (1 + level**2) ** 0.5)
            yield state
