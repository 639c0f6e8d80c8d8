"""Annealed Langevin dynamics: Markov chains on the distributions of decreasing noise levels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..mcmc.chain import Chain, block_size, run_chains
from ..mcmc.transition import Langevin, Target, Transition
from ..rng import Rng
from .base import OneStepSampler
from .corrector import correct

__all__ = ["AnnealedLangevin", "ConsistentAnnealed", "annealed_langevin"]


def annealed_langevin(
    target: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    levels: Sequence[float] | Tensor,
    rng: Rng,
    transition: Transition = Langevin(),  # noqa: B008  # a frozen value
    moves: int = 100,
    denoise: bool = True,
    keep: bool = False,
    block: int | None = None,
) -> Chain:
    """Annealed Langevin dynamics (NCSN, Song & Ermon, 2019, Algorithm 1; NCSNv2, 2020, Algorithm 1), of any score.

    Each level makes `moves` moves with its own score and the step a = ratio · level², and hands its states to the
    next. The a_i = ε σ_i²/σ_L² of both papers is `Langevin.from_full(ε, σ_L)` in the convention of NCSNv2 and of the
    image code of NCSN, and `Langevin.from_half(ε, σ_L)` in that of Algorithm 1 of NCSN.

    Arguments:
        target: (x, level) ↦ the score of the data plus noise of a level of shape `()`, `(B, *D)` to `(B, *D)`; or the
            log-density, `(B, *D)` to `(B,)`. A network that wants a level for each sample: `level.expand(len(x))`.
        x: The initial states, of shape `(B, *D)`.
        levels: The noise levels, decreasing.
        rng: The source of randomness. Chain i depends on `(seed, i)` alone.
        transition: The move.
        moves: The number of moves at each level.
        denoise: Whether the last noise is removed: x + σ_L² s(x, σ_L) (Tweedie's formula), by one more evaluation.
        keep: Whether the states at the end of each level are kept.
        block: The number of chains that move together; by default 2,048 on a CPU, all on a GPU. It affects only the speed.

    Returns:
        The last states, the acceptance of each chain and the states that were kept.

    Raises:
        ValueError: If the levels do not fall, or `target` gives another shape.
        RuntimeError: If a state is not finite.

    Example:
        >>> from scorefield.rng import Samples
        >>> score = lambda x, level: -x / (1 + level**2)  # of standard normal data
        >>> chain = annealed_langevin(score, torch.zeros(500, 2), [10.0, 3.0, 1.0, 0.3], Samples(seed=0, count=500))
        >>> bool((chain.state.std(0) - 1).abs().max() < 0.15)
        True
    """
    values = [float(level) for level in levels]
    if not values or not all(a > b for a, b in pairwise([math.inf, *values, 0.0])):
        raise ValueError(f"levels must be positive and fall, from the most noise to the least; got {values[:8]}")
    ladder = _ladder(target, x, values)
    chain = run_chains(ladder, x, moves, rng, transition, len(values) if keep else 0, moves, block)
    if not denoise:
        return chain
    target_at, level = ladder[-1]
    with torch.no_grad():
        parts = [part + level**2 * target_at.gradient(part) for part in chain.state.split(block_size(x, block))]  # type: ignore[no-untyped-call]
    return chain._replace(state=torch.cat(parts))


def _ladder(target: Callable[[Tensor, Tensor], Tensor], x: Tensor, levels: list[float]) -> list[tuple[Target, float]]:
    """The target at each level, with the level."""

    def at(level: float) -> Callable[[Tensor], Tensor]:
        value = torch.as_tensor(level, dtype=x.dtype, device=x.device)
        return lambda state: target(state, value)

    is_score = Target.of(at(levels[0]), x).score is not None
    return [(Target(score=at(level)) if is_score else Target(log_prob=at(level)), level) for level in levels]


@dataclass(frozen=True)
class AnnealedLangevin(OneStepSampler):
    """Annealed Langevin dynamics on any schedule, for any process (Song & Ermon, 2019).

    A step carries u = x/α from t to s, and lets it move at the level of s; the schedule `LogLevel` gives the ladder of NCSN.
    Samples are wider than the data: for point-like data the variance over level² is, in n moves of `Langevin` at levels that
    fall by γ, at last b (1 - q)/(1 - qγ²), where b = 1/(1 - ratio/2) and q = (1 - ratio)²ⁿ. It needs many evaluations, and is
    meant for comparisons with the papers, and for transitions with a test. `moves` evaluations a step.

    Arguments:
        transition: The move. `MetropolisLangevin` needs a denoiser that has `log_prob(x, level)`.
        moves: How many at each level.
    """

    transition: Transition = Langevin()  # noqa: RUF009  # a frozen value
    moves: int = 10

    def __post_init__(self) -> None:
        if self.moves < 1:
            raise ValueError(f"AnnealedLangevin needs at least 1 move at each level, got moves={self.moves}")

    @property
    def evaluations(self) -> int | None:
        return None if self.transition.adjusted else self.moves

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        carried = x * (diffusion.process.alpha(s) / diffusion.process.alpha(t))
        return correct(self.transition, diffusion, carried, s, self.moves, rng)


@dataclass(frozen=True)
class ConsistentAnnealed(OneStepSampler):
    """Consistent annealed sampling (Jolicoeur-Martineau et al., 2021): one move a level, with the noise that it lacks.

    With u = x/α and levels σ → σ',

        u + r σ² s(u) + β σ' z,    β² = 1 - (1 - r)² σ²/σ'²,

    keeps the noise of point-like data at exactly σ', for any r from 1 - σ'/σ (no fresh noise: DDIM) to 1 + σ'/σ. Without
    a ratio, r = 1 - σ'²/σ² on every step: ancestral sampling, `DDIM(1)`. With a fixed one a step takes r²σ²v/(v + σ²) off
    the variance v of wide data, however many steps there are. At σ' = σ it is `GaussianLangevin(-log(1 - r))`.

    Arguments:
        ratio: r, the step over level², between 0 and 2.
    """

    ratio: float | None = None

    evaluations = 1

    def __post_init__(self) -> None:
        if self.ratio is not None and not 0 < self.ratio < 2:
            raise ValueError(f"ConsistentAnnealed needs 0 < ratio < 2, got ratio={self.ratio:g}")

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        mean, noise = diffusion.split(x, t)
        fall = diffusion.process.level(s) / diffusion.process.level(t)
        kept = fall**2 if self.ratio is None else torch.full_like(fall, 1 - self.ratio)
        fresh = 1 - (kept / fall) ** 2  # β²
        if float(fresh) < -1e-12:
            need = f"a ratio from {float(1 - fall):.3g} to {float(1 + fall):.3g} where levels fall by {float(1 / fall):.3g}"
            raise ValueError(f"ConsistentAnnealed needs {need}, got ratio={self.ratio:g}: take more steps, or no ratio")
        noise = kept / fall * noise + torch.sqrt(fresh.clamp_min(0)) * rng.normal_like(x)
        return diffusion.process.mix(mean, noise, s)
