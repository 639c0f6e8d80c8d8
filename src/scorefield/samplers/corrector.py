"""Predictor-corrector sampling: after each step of any sampler, moves that leave the distribution at its time unchanged."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..diffusion import Diffusion
from ..mcmc.transition import Langevin, Target, Transition
from ..rng import Rng
from .ancestral import DDIM
from .base import Move, Sampler

__all__ = ["PredictorCorrector", "correct"]


def correct(transition: Transition, diffusion: Diffusion, x: Tensor, s: Tensor, moves: int, rng: Rng) -> Tensor:
    """Moves states, of shape `(B, *D)`, along chains that leave the distribution at the time `s` unchanged.

    They move in u = x/α_s, where every process is the data plus noise of its level; the level is the scale of the steps.
    """
    denoiser, level = diffusion.denoiser, diffusion.process.level(s)
    known = denoiser.has_log_prob
    if transition.adjusted and not known:
        what = f"{type(transition).__name__} tests its proposals with the log_prob(x, level) of a denoiser"
        have = f"{type(denoiser).__name__} has none, denoisers.Gaussian and denoisers.Mixture do"
        raise ValueError(f"{what}: {have}; or take Langevin")
    log_prob = (lambda u: denoiser.log_prob(u, level)) if known else None
    target = Target(lambda u: (denoiser(u, level) - u) / level**2, log_prob)
    alpha = diffusion.process.alpha(s)
    return alpha * transition.run(target, x / alpha, float(level), moves, rng)


@dataclass(frozen=True)
class PredictorCorrector(Sampler):
    """Predictor-corrector sampling (Song et al., 2021, Algorithm 1), with any sampler and any process.

    Each step of the predictor from t to s is followed by moves that leave the distribution at s unchanged: they remove the
    errors made so far, at the price of their own bias. Score SDE measures its step with norms of score and noise averaged over
    the batch; here it is a multiple of the level (`Langevin.from_snr`), so that samples stay independent. One evaluation for
    each move in addition to those of the predictor.

    A predictor that remembers extrapolates across the fresh noise, and enlarges it: that spoils `DPM` from order 2 and `IPNDM`
    with few steps, but not `DDIM`, `Heun` and `ExponentialAdams`.

    Arguments:
        predictor: The sampler that makes the steps.
        corrector: The moves between them.
        moves: How many moves follow each step.
    """

    predictor: Sampler = DDIM(1.0)  # noqa: RUF009  # a frozen value
    corrector: Transition = Langevin(0.05)  # noqa: RUF009
    moves: int = 1

    def __post_init__(self) -> None:
        if self.moves < 1:
            raise ValueError(f"PredictorCorrector needs at least 1 move of the corrector, got moves={self.moves}")

    @property
    def evaluations(self) -> int | None:
        predicted = self.predictor.evaluations
        return None if predicted is None or self.corrector.adjusted else predicted + self.moves

    @property
    def adaptive(self) -> bool:
        return self.predictor.adaptive

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        predict = self.predictor.start(diffusion, times, rng)

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            return correct(self.corrector, diffusion, predict(x, t, s), s, self.moves, rng)

        return move
