"""The reverse SDE with steps that each sample chooses for itself, along a Brownian path that rejections leave unbiased."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoisers.base import Denoiser
from ..diffusion import Diffusion
from ..rng import Rng
from ..tensors import expand
from .base import AdaptiveSampler, Move

__all__ = ["AdaptiveSDE"]

_SAFETY, _POWER = 0.9, 0.9  # θ and r of Jolicoeur-Martineau et al. (2021)
_SHRINK, _GROW, _FIRST = 0.2, 5.0, 0.1  # a step changes by these factors at most; the first one


@dataclass(frozen=True)
class AdaptiveSDE(AdaptiveSampler):
    """Stochastic Heun with steps that each sample chooses for itself ("Gotta Go Fast", Jolicoeur-Martineau et al., 2021).

    In λ = -ln level and u = x/α the reverse SDE of every process is du = 2 (D - u) dλ + dM, where M is a Brownian motion in
    the clock level². A step of h = λ_s - λ_t tries

        K1 = 2h (D(u, level_t) - u) + ΔM,   u' = u + K1,   K2 = 2h (D(u', level_s) - u') + ΔM,   E = ½ (K2 - K1),

    and moves to u' + E = u + ½ (K1 + K2) if e, the root mean square over the sample's event of E / max(atol, rtol |u|,
    rtol |u'|), is at most 1. The next attempt is 0.9 e^(-0.9) times as long, between 0.2 and 5. Two evaluations an attempt, one
    after a rejection, of the samples that have not arrived.

    Noise is never drawn anew after a rejection, which would prefer noise that is easy to follow and bias the samples: a shorter
    attempt takes a part of it, by a Brownian bridge (Rackauckas & Nie, 2017). There is no number of steps to choose, and one
    step of the schedule is enough. At rtol = 0.1, 0.03 and 0.01 Gaussian samples are 1.8, 0.9 and 0.3 % too narrow, after 57,
    146 and 344 steps; with a schedule that suits the data `StochasticHeun` is more accurate with as many.

    Arguments:
        rtol: The error of a step in units of the state.
        atol: The error of a step, in the units of the data, where the state is small. Directions of a smaller standard
            deviation come out too wide: with a tenth of it 3.4 times the variance.
        max_attempts: How often a sample may try a step between two times of the schedule.

    Raises:
        RuntimeError: If a sample needs more than `max_attempts`, or its denoiser is not finite.
    """

    rtol: float = 0.05
    atol: float = 0.01
    max_attempts: int = 10_000

    def __post_init__(self) -> None:
        if not (0 < self.rtol < math.inf and 0 < self.atol < math.inf):
            raise ValueError(f"AdaptiveSDE needs rtol > 0 and atol > 0, got rtol={self.rtol:g}, atol={self.atol:g}")
        if self.max_attempts < 1:
            raise ValueError(f"AdaptiveSDE needs max_attempts >= 1, got max_attempts={self.max_attempts}")

    def start(self, diffusion: Diffusion, times: Tensor, rng: Rng) -> Move:
        process = diffusion.process
        steps: Tensor | None = None
        legs = 0

        def move(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
            nonlocal steps, legs
            if steps is None:
                steps = torch.full((len(x),), _FIRST, dtype=torch.float64, device=x.device)
            before, after = (process.level(time.double()) ** 2 for time in (t, s))
            if not before >= after:
                raise ValueError(f"AdaptiveSDE goes from noise to data: times must decrease, got {t:g} and then {s:g}")
            # a source of its own for each leg: attempt k of a sample finds its noise however many its companions need
            noise, legs = rng.child(f"leg {legs}"), legs + 1
            u, steps = self._descend(diffusion.denoiser, x / process.alpha(t), before, after, steps, noise)
            return process.alpha(s) * u

        return move

    def _descend(
        self, denoiser: Denoiser, u: Tensor, start: Tensor, stop: Tensor, steps: Tensor, rng: Rng
    ) -> tuple[Tensor, Tensor]:
        """Takes states `u` from the variance `start` to `stop`: where they arrive, and the steps to try next, `(B,)`."""
        u, steps, means, path = u.clone(), steps.clone(), torch.zeros_like(u), _Path(u)
        now, moved = start.expand(len(u)).clone(), torch.arange(len(u), device=u.device)
        for _ in range(self.max_attempts):
            rows, moved = (now > stop).nonzero()[:, 0], moved[now[moved] > stop]
            if len(rows) == 0:
                break
            if len(moved):
                means[moved] = _denoise(denoiser.samples(moved), u[moved], now[moved])
            z = rng.normal_like(u)  # for all samples, arrived or not: call k is attempt k of each
            here, step = now[rows], steps[rows]
            wanted = here * torch.exp(-2 * step)
            there = torch.maximum(wanted, path.ends(rows)).clamp_min(stop)
            if bool((stuck := there >= here).any()):  # the level stands still
                where = f"sample {int(rows[stuck][0])} at level {float(here[stuck][0]) ** 0.5:.3g}"
                why = "needs steps of no length, its denoiser is not finite there"
                raise RuntimeError(f"AdaptiveSDE is stuck: {where} {why}")
            noise = path.increments(rows, here, there, z[rows])
            new, error = self._attempt(denoiser.samples(rows), u[rows], means[rows], here, there, noise)
            accepted = error <= 1
            moved = rows[accepted]
            u[moved], now[moved] = new[accepted], there[accepted]
            path.leave(moved)
            factor = (_SAFETY * error**-_POWER).clamp(_SHRINK, _GROW).nan_to_num(_SHRINK)
            best = factor * torch.log(here / there) / 2
            cut = accepted & (there > wanted)  # a shorter step than wanted went well: no reason to shorten the next one
            steps[rows] = torch.where(cut, torch.maximum(best, step), best)
        if left := int((now > stop).sum()):
            where = f"sample {int(now.argmax())} is at level {float(now.max()) ** 0.5:.3g} of {float(stop) ** 0.5:.3g}"
            what = f"AdaptiveSDE made {self.max_attempts} attempts and {left} samples did not arrive ({where})"
            raise RuntimeError(f"{what}: loosen rtol or atol, or raise max_attempts")
        return u, steps

    def _attempt(
        self, denoiser: Denoiser, u: Tensor, mean: Tensor, here: Tensor, there: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Heun's states, and the errors of Euler's in units of the tolerance, `(b,)`."""
        twice = expand(torch.log(here / there).to(u), u)
        first = twice * (mean - u)
        euler = u + first + noise
        second = twice * (_denoise(denoiser, euler, there) - euler)
        error = (second - first) / 2
        tolerance = (self.rtol * torch.maximum(u.abs(), euler.abs())).clamp_min(self.atol)
        return euler + error, (error / tolerance).reshape(len(u), -1).double().square().mean(1).sqrt()


def _denoise(denoiser: Denoiser, u: Tensor, variance: Tensor) -> Tensor:
    """Asks for each sample at a level of its own."""
    return denoiser(u, expand(variance.sqrt().to(u), u))  # type: ignore[no-any-return]


class _Path:
    """Brownian paths in the clock v = level², which runs down: one for each sample of `x`, known as far as they were drawn.

    A sample's pieces lie on a stack, the nearest on top. At the bottom lies an endless one, of which nothing is known.
    """

    def __init__(self, x: Tensor) -> None:
        self.top = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        self.stops = torch.full((1, len(x)), -math.inf, dtype=torch.float64, device=x.device)
        self.pieces = torch.zeros_like(x)[None]

    def ends(self, rows: Tensor) -> Tensor:
        """Where the top pieces of some samples end, `(b,)`: no attempt may go beyond."""
        return self.stops[self.top[rows], rows]

    def increments(self, rows: Tensor, here: Tensor, there: Tensor, z: Tensor) -> Tensor:
        """What the paths do from `here` to `there`, of shape `(b, *D)`, which then are their top pieces.

        Of a piece that does w from `here` to its end, the share p of its length does N(p w, p (1 - p) (here - end)): the
        Brownian bridge, drawn by `z`. For the endless piece p = 0, and this is N(0, here - there).
        """
        top, end = self.top[rows], self.ends(rows)
        share = (here - there) / (here - end)
        deviation = torch.sqrt((here - there) * (1 - share))
        drawn = expand(share.to(z), z) * self.pieces[top, rows] + expand(deviation.to(z), z) * z
        cut = there > end
        rows, top = rows[cut], top[cut]
        if len(rows) and int(top.max()) + 1 == len(self.stops):
            self.stops = torch.cat([self.stops, torch.zeros_like(self.stops[:1])])
            self.pieces = torch.cat([self.pieces, torch.zeros_like(self.pieces[:1])])
        self.pieces[top, rows] -= drawn[cut]
        self.stops[top + 1, rows], self.pieces[top + 1, rows] = there[cut], drawn[cut]
        self.top[rows] += 1
        return drawn

    def leave(self, rows: Tensor) -> None:
        """Some samples went on to the end of their top pieces."""
        self.top[rows] -= 1
