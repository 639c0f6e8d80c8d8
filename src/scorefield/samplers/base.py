"""What a sampler is: a method that takes states from noise to data."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng

__all__ = ["AdaptiveSampler", "Move", "OneStepSampler", "Sampler"]


Move = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t, t, s) → x_s: moves a state of shape `(B, *D)` from one time of shape `()` to another."""


class Sampler(abc.ABC):
    """A method that takes states from x_1 to x_0, and says what it does.

    It holds hyperparameters, and neither a model, nor a schedule, nor a state. The trajectory of a sample must not depend on
    the other samples of the batch.
    """

    @property
    def deterministic(self) -> bool:
        """Whether it draws no noise: then it can also step upwards, from data to latents. False unless a class says so."""
        return False

    @property
    def evaluations(self) -> int | None:
        """How often it evaluates the denoiser in a step; None where that is not fixed, or a class does not say it."""
        return None

    @property
    def adaptive(self) -> bool:
        """Whether it chooses its own steps: then the schedule only says where the state is shown."""
        return False

    def evaluations_through(self, levels: Sequence[float]) -> int | None:
        """How often it evaluates the denoiser on a trajectory through these levels; None where that is not fixed."""
        return None if self.evaluations is None else self.evaluations * (len(levels) - 1)

    @property
    def corrects(self) -> bool:
        """Whether it spends evaluations on the errors of a learned score. Posteriors and guided models leave them out."""
        return False

    gives_data: bool = False
    """Whether the last move of its trajectory gives data, which have no noise left to remove."""

    consistency: bool = False
    """Whether it draws with a consistency function (`denoisers.ConsistencyFunction`): all others need a denoiser."""

    def check_denoiser(self, diffusion: Diffusion) -> None:
        """Whether a diffusion holds what it draws with.

        Raises:
            ValueError: If it needs a denoiser and gets a consistency function, or the other way round.
        """
        name = type(self).__name__
        if not self.consistency:
            diffusion.denoiser.check_mean(f"the sampler {name}")
        elif diffusion.denoiser.distilled_from is None:
            what = f"the sampler {name} draws with a consistency function, and this model is a denoiser"
            raise ValueError(f"{what}: distill it first, model.distill(), or take another sampler")

    @property
    def states(self) -> int:
        """How many states it holds for a sample: 1 unless each is drawn from particles of its own."""
        return 1

    @abc.abstractmethod
    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        """Begins a trajectory through `times`, of shape `(n + 1,)`, and returns the move that makes its steps.

        The move is called with neighbours of `times`, in their order, and holds what the sampler remembers.
        """

    def trajectory(self, diffusion: Diffusion, x: Tensor, times: Tensor, rng: Rng) -> Iterator[Tensor]:
        """Yields the state, of shape `(B, *D)`, at each of `times`; the first state is `x`."""
        move = self.start(diffusion, times, rng)
        yield x
        for t, s in pairwise(times):
            x = move(x, t, s)
            yield x


class OneStepSampler(Sampler):
    """A sampler without memory: a chain of transitions x_t → x_s. To add one, write `step`."""

    @abc.abstractmethod
    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        """Moves the state `x`, of shape `(B, *D)`, from the time `t` to the time `s`, both of shape `()`."""

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        return lambda x, t, s: self.step(diffusion, x, t, s, rng)


class AdaptiveSampler(Sampler):
    """A sampler that chooses its own steps, for each sample separately."""

    adaptive = True
