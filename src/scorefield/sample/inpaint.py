"""Inpainting: what is known is put in its place at every step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..denoise import Denoiser
from ..diffusion import Diffusion
from ..posterior import Measured, Posterior
from ..rng import Rng
from .ancestral import Ancestral
from .base import Kernel

__all__ = ["RePaint", "parts"]


def parts(diffusion: Diffusion) -> tuple[Diffusion, Measured | None]:
    """A diffusion of the prior alone, and the measurement, if the denoiser is a posterior."""
    denoiser: Denoiser = diffusion.denoiser
    if not isinstance(denoiser, Posterior):
        return diffusion, None
    return Diffusion(diffusion.process, denoiser.prior, denoiser.moments or diffusion.moments), denoiser.measured


@dataclass(frozen=True)
class RePaint(Kernel):
    """Replacement for masks (Song et al., 2021, Appendix I), with the resampling of RePaint (Lugmayr et al., 2022).

    Each step goes by the prior alone, from t to s, and then puts what the mask shows in its place, with as much fresh noise as
    the level of s has more than the measurement; below the level of its own noise a value is left to the prior. Between
    `repeats`, noise leads back from s to t (where a value is noisier than both, along the bridge that ends in it), so that what
    is not seen can agree with what is: once, as in plain replacement, it does not; many times, it does better. The law is that
    of no posterior at any number of steps: the noise of what is known tells nothing of its fellows. Good for masks where
    derivatives of the network are too dear. `repeats` evaluations a step.

    Of a diffusion without a measurement nothing is known, and it draws as `Ancestral` does, `repeats` times as slowly.

    Arguments:
        repeats: How often a step is made.
    """

    repeats: int = 5

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"RePaint makes a step at least once, got repeats={self.repeats}")

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        prior, measured = parts(diffusion)
        (alpha, before), (alpha_after, after) = ((prior.process.alpha(r), prior.process.level(r)) for r in (t, s))
        seen = None if measured is None else measured.seen(x)
        for i in range(self.repeats):
            u = Ancestral().step(prior, x, t, s, rng) / alpha_after
            if seen is not None:
                u = seen.placed(u, after, rng.normal_like(u))
            if i < self.repeats - 1:
                z = rng.normal_like(u)
                free = u + (before**2 - after**2).sqrt() * z
                x = alpha * (free if seen is None else seen.noised(u, free, after, before, z))
        return alpha_after * u
