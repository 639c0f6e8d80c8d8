"""Inpainting: what is known is put in its place at every step."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from ..denoisers import Denoiser
from ..diffusion import Diffusion
from ..rng import Rng
from ..samplers.ancestral import Ancestral
from ..samplers.base import Move, Sampler
from .measured import MaskedObservation, StandardizedMeasurement
from .posterior import Posterior

__all__ = ["RePaint"]


@dataclass(frozen=True)
class RePaint(Sampler):
    """Replacement for masks (Song et al., 2021, Appendix I), with the resampling of RePaint (Lugmayr et al., 2022).

    Each step goes by the prior alone, from t to s, and then puts what the mask shows in its place, with as much fresh noise as
    the level of s has more than the measurement; below the level of its own noise a value is left to the prior. Steps are
    made in blocks of `jump`, counted from the last: noise leads back from the end of a block to its beginning (where a value
    is noisier than both, along the bridge that ends in it), and the block is gone again, `repeats` times in all, so that what
    is not seen can agree with what is. Gone once, as in plain replacement, it does not. The noise of what is known tells
    nothing of its fellows, so that even then the law is that of the posterior only at levels that are small beside the data,
    which take the more repeats the smaller they are: the error of the mean falls about as one over `repeats`, and is smallest
    with a jump of 1. `repeats` evaluations a step, whatever the jump; no derivatives of the network.

    Of a diffusion without a measurement nothing is known, and it draws as `Ancestral` does, `repeats` times as slowly.

    Arguments:
        repeats: How often a block is gone.
        jump: How many steps a block has.
    """

    repeats: int = 5
    jump: int = 1

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"RePaint makes a step at least once, got repeats={self.repeats}")
        if self.jump < 1:
            raise ValueError(f"RePaint jumps back over at least one step, got jump={self.jump}")

    @property
    def evaluations(self) -> int:
        return self.repeats

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        prior, measured = _parts(diffusion)
        left, block = len(times) - 1, list[Tensor]()

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            nonlocal left
            left -= 1
            block.append(t)
            way = _Way(prior, None if measured is None else measured.seen(x), rng)
            x = way.down(x, t, s)
            if left % self.jump == 0:
                for _ in range(self.repeats - 1):
                    x = way.up(x, s, block[0])
                    for a, b in pairwise([*block, s]):
                        x = way.down(x, a, b)
                block.clear()
            return x

        return move


def _parts(diffusion: Diffusion) -> tuple[Diffusion, StandardizedMeasurement | None]:
    """A diffusion of the prior alone, and the measurement, if the denoiser is a posterior."""
    denoiser: Denoiser = diffusion.denoiser
    if not isinstance(denoiser, Posterior):
        return diffusion, None
    return Diffusion(diffusion.process, denoiser.prior, denoiser.moments or diffusion.moments), denoiser.measured


@dataclass(frozen=True, eq=False)
class _Way:
    """Steps of the prior with what is seen in its place, and steps back."""

    prior: Diffusion
    seen: MaskedObservation | None
    rng: Rng

    def down(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        x = Ancestral().step(self.prior, x, t, s, self.rng)
        if self.seen is None:
            return x
        alpha, level = self.prior.process.alpha(s), self.prior.process.level(s)
        return alpha * self.seen.placed(x / alpha, level, self.rng.normal_like(x))

    def up(self, x: Tensor, s: Tensor, t: Tensor) -> Tensor:
        process = self.prior.process
        u, low, high = x / process.alpha(s), process.level(s), process.level(t)
        z = self.rng.normal_like(u)
        free = u + (high**2 - low**2).sqrt() * z
        return process.alpha(t) * (free if self.seen is None else self.seen.noised(u, free, low, high, z))
