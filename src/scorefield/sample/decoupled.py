"""Decoupled annealing: at every level a datum is drawn that agrees with the measurement, and noised again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..measurement.noise import Gaussian as GaussianNoise
from ..posterior import Measured
from ..posterior.solve import conjugate_gradients
from ..rng import Rng
from ..tensors import sum_events
from .base import Kernel, Sampler
from .exponential import ExponentialAdams
from .inpaint import parts
from .transition import Law, MetropolisLangevin, Point, Transition

__all__ = ["DAPS"]

_LENGTHS = (1.0, 0.5, 0.25, 0.0)  # parts of a step of Gauss-Newton that are tried


@dataclass(frozen=True)
class DAPS(Kernel):
    """Decoupled annealing posterior sampling (DAPS; Zhang et al., 2025), for any A, linear or not.

    A step from t to s solves the flow of the prior from x_t to a datum x̂, draws x_0 from N(x_0; x̂, r²) p(y | x_0) with
    r² = level² / (1 + level²) at t (the paper has r = level, wider than data are), and noises it to x_s = α_s x_0 + σ_s z. For
    a linear A with Gaussian noise that draw is exact, by perturbing and solving. For others it begins at the same by
    Gauss-Newton iterations, and goes on by `moves` of a chain. So neighbouring steps need not be close, which helps where A is
    far from linear. N(x̂, r²) stands for p(x_0 | x_t) without being it: exact for no data, and for Gaussian ones too wide. No
    derivative of the network; `substeps` + 1 evaluations a step.

    Of a diffusion without a measurement it draws by noising again what the flow gives.

    Arguments:
        flow: The way from x_t to x̂.
        substeps: How many steps it takes.
        newton: How many iterations of Gauss-Newton, at most.
        transition: The move of the chain, in units of the narrowest direction of the law of x_0.
        moves: How many, where the draw is not exact.
        iterations: How many conjugate gradients at most solve for a datum.
    """

    flow: Sampler = ExponentialAdams(2)  # noqa: RUF009  # a frozen value
    substeps: int = 4
    newton: int = 4
    transition: Transition = MetropolisLangevin(0.3)  # noqa: RUF009
    moves: int = 20
    iterations: int = 50

    def __post_init__(self) -> None:
        for name, least in (("substeps", 1), ("newton", 1), ("moves", 0), ("iterations", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"DAPS needs {name} >= {least}, got {name}={getattr(self, name)}")

    def step(self, diffusion: Diffusion, x: Tensor, t: Tensor, s: Tensor, rng: Rng) -> Tensor:
        prior, measured = parts(diffusion)
        datum = self._datum(prior, x, t, rng)
        if measured is not None:
            level = prior.process.level(t)
            datum = self._agreeing(measured, datum, level / torch.sqrt(1 + level**2), rng)
        return prior.process.mix(datum, rng.normal_like(x), s)

    def _datum(self, prior: Diffusion, x: Tensor, t: Tensor, rng: Rng) -> Tensor:
        """The end of the prior's flow from states at the time `t`."""
        first, last = prior.process.level(t), prior.process.level(torch.zeros_like(t))
        if bool(last >= first):
            return prior.split(x, t)[0]
        turn = torch.linspace(1, 0, self.substeps + 1, dtype=t.dtype, device=t.device)
        levels = torch.tan(torch.atan(last) + turn * (torch.atan(first) - torch.atan(last)))
        times = prior.process.time(levels)
        times[0], times[-1] = t, 0
        move = self.flow.start(prior, times, rng)
        for a, b in pairwise(times):
            x = move(x, a, b)
        return prior.split(x, times[-1])[0]

    def _agreeing(self, measured: Measured, centre: Tensor, width: Tensor, rng: Rng) -> Tensor:
        """Draws from N(x_0; centre, width²) p(y | x_0)."""
        exact = measured.linear and isinstance(measured.measurement.noise, GaussianNoise)
        drawn = centre + width * rng.normal_like(centre)
        with torch.no_grad():
            shift = rng.normal_like(measured.ideal(centre))
        x = drawn
        for _ in range(1 if exact else self.newton):
            x = self._nearer(measured, x, drawn, shift, width, exact)
        if exact:
            return x
        return self._chain(measured, x, centre, width, rng)

    def _nearer(
        self, measured: Measured, x: Tensor, drawn: Tensor, shift: Tensor, width: Tensor, exact: bool
    ) -> Tensor:
        """A step of Gauss-Newton towards the least ‖x - drawn‖²/width² + ‖y + shift - A(x)‖²: its end, for a linear A."""
        with torch.enable_grad():
            line = measured.line(x.detach().requires_grad_())
        r = line.residual + shift + line.push(x - drawn)
        v = conjugate_gradients(lambda v: line.push(width**2 * line.pull(v)), r, self.iterations, 1e-6)
        end = drawn + width**2 * line.pull(v)
        if exact:
            return end
        tried = torch.stack([x + part * (end - x) for part in _LENGTHS])
        return _lowest(tried, torch.stack([_cost(measured, one, drawn, shift, width) for one in tried]))

    def _chain(self, measured: Measured, x: Tensor, centre: Tensor, width: Tensor, rng: Rng) -> Tensor:
        with torch.enable_grad():
            line = measured.line(x.detach().requires_grad_())
        scale = (width**-2 + line.steepness()).rsqrt()  # of each sample: chains move in their own units

        def height(w: Tensor) -> Tensor:
            here = x + scale * w
            return measured.log_prob(here) - sum_events(((here - centre) / width) ** 2) / 2

        law, here = Law(log_prob=height), Point(torch.zeros_like(x))
        for _ in range(self.moves):
            luck = rng.uniform((len(x),), x.dtype, x.device) if self.transition.tests else None
            here, _ = self.transition.move(law, here, 1.0, rng.normal_like(x), luck)
        return x + scale * here.x


def _cost(measured: Measured, x: Tensor, drawn: Tensor, shift: Tensor, width: Tensor) -> Tensor:
    """‖x - drawn‖²/width² + ‖y + shift - A(x)‖², of shape `(B,)`; infinite where it is no number."""
    r = measured.line(x).residual + shift
    return (sum_events(((x - drawn) / width) ** 2) + r.square().sum(1)).nan_to_num(torch.inf)


def _lowest(tried: Tensor, cost: Tensor) -> Tensor:
    """Of tries `(K, B, *D)` the one of the least cost `(K, B)`, for each sample: `(B, *D)`."""
    return tried[cost.argmin(0), torch.arange(cost.shape[1], device=cost.device)]
