"""RePaint: inpainting that replaces the known components at every step."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from ..diffusion import Diffusion
from ..rng import Rng
from ..samplers.ancestral import Ancestral
from ..samplers.base import Move
from .measured import MaskedObservation
from .methods import PosteriorSampler
from .posterior import Posterior

__all__ = ["RePaint"]


@dataclass(frozen=True)
class RePaint(PosteriorSampler):
    """Replacement for masks (Song et al., 2021, Appendix I), with the resampling of RePaint (Lugmayr et al., 2022).

    Each step from t to s is one of the prior; then the measured components are replaced, with as much fresh noise as the level
    of s has more than the measurement; below the level of its own noise a component is left to the prior. Steps are made in
    blocks of `jump`, counted from the last: noise leads back from the end of a block to its beginning (where a value is noisier
    than both, along the bridge that ends in it), and the block is repeated, `repeats` times in all, so that the other
    components come to agree with the measured ones. Without repeats, as in plain replacement, they do not. The noise of a
    measured component is independent of the others, so that even with repeats the distribution is the posterior only at levels
    much smaller than the data, which need the more repeats the smaller they are: the error of the mean falls about as one over
    `repeats`, and is smallest with a jump of 1. `repeats` evaluations a step, whatever the jump; no derivatives of the network.

    Without a measurement it samples as `Ancestral` does, `repeats` times as slowly. It draws samples only: no log-density
    belongs to it.

    Arguments:
        repeats: How often each block is made.
        jump: The number of steps of a block.

    Raises:
        ValueError: If one of them is below 1.
    """

    repeats: int = 5
    jump: int = 1

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"RePaint makes each step at least once, got repeats={self.repeats}")
        if self.jump < 1:
            raise ValueError(f"RePaint jumps back over at least one step, got jump={self.jump}")

    @property
    def evaluations(self) -> int:
        return self.repeats

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        posterior = Posterior.of(diffusion.denoiser)
        prior = diffusion if posterior is None else posterior.prior_diffusion(diffusion)
        left, block = len(times) - 1, list[Tensor]()

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            nonlocal left
            left -= 1
            block.append(t)
            steps = _Steps(prior, None if posterior is None else posterior.measured.masked(x), rng)
            x = steps.down(x, t, s)
            if left % self.jump == 0:
                for _ in range(self.repeats - 1):
                    x = steps.up(x, s, block[0])
                    for a, b in pairwise([*block, s]):
                        x = steps.down(x, a, b)
                block.clear()
            return x

        return move


@dataclass(frozen=True, eq=False)
class _Steps:
    """Steps of the prior with the measured components replaced, and steps back."""

    prior: Diffusion
    observed: MaskedObservation | None
    rng: Rng

    def down(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        x = Ancestral().step(self.prior, x, t, s, self.rng)
        if self.observed is None:
            return x
        alpha, level = self.prior.process.alpha(s), self.prior.process.level(s)
        return alpha * self.observed.replaced(x / alpha, level, self.rng.normal_like(x))

    def up(self, x: Tensor, s: Tensor, t: Tensor) -> Tensor:
        process = self.prior.process
        u, low, high = x / process.alpha(s), process.level(s), process.level(t)
        z = self.rng.normal_like(u)
        free = u + (high**2 - low**2).sqrt() * z
        return process.alpha(t) * (free if self.observed is None else self.observed.noised(u, free, low, high, z))
