"""What posteriors of a simulator share: they are called as those of `sbi`."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from torch import Tensor

from ..bars import shown
from ..deprecation import renamed_arguments
from ..progress import mapped
from ..rng import Samples
from ..user_values import real_tensor
from ..warned import warn_outside
from .nearness import Nearness
from .simulations import Simulations, rows_of

__all__ = ["SimulationPosterior"]

_PARTS = "numpy.hstack([x.real, x.imag])"
_CLIMBERS, _CLIMBS, _SHRINK = (
    200,
    24,
    0.75,
)  # points around the best one so far, how often, and how much nearer each time


class SimulationPosterior(metaclass=abc.ABCMeta):  # shared by the methods here, not made to be extended
    """The posterior of a simulator's parameters given what was observed.

    `set_default_x` says once what was observed; then no call needs it.
    """

    default_x: Tensor | None = None
    kept: Tensor | None = None
    """The columns of an observation that say something; None for all."""
    width: int | None = None
    """How many numbers an observation has, where that is known."""
    size: int | None = None
    """How many parameters there are, where that is known."""
    same: Tensor | None = None
    """The values of numbers that every simulation has, `(width,)`; NaN of those that differ."""
    nearness: Nearness | None = None
    """Says whether an observation is like the simulations, where these are known."""
    takes_missing = False
    """Whether numbers of an observation may be NaN."""

    def learned_from(self, simulations: Simulations) -> Self:
        """This posterior, which knows what its observations and parameters look like."""
        self.kept, self.width, self.size = simulations.kept, simulations.width, simulations.size
        self.same, self.nearness = simulations.same, simulations.nearness
        return self

    @abc.abstractmethod
    def draw(self, count: int, x: Tensor, seed: int, **how: Any) -> Tensor:
        """Draws parameters, `(count, P)` in float64, given an observation as it was passed."""

    @abc.abstractmethod
    def log_density(self, theta: Tensor, x: Tensor, **how: Any) -> Tensor:
        """Log-densities of parameters `(N, P)`, `(N,)` in float64, given an observation as it was passed."""

    def set_default_x(self, x: Any) -> Self:
        """What was observed, for calls that pass none: `(Q,)`, or several independent ones of the same parameters, `(m, Q)`."""
        self.default_x = real_tensor(x, "observations", _PARTS)
        return self

    @renamed_arguments(shape="sample_shape")
    def sample(
        self,
        sample_shape: tuple[int, ...] | int = (1,),
        x: Any = None,
        seed: int = 0,
        *,
        show_progress_bars: bool | None = None,
        **how: Any,
    ) -> Tensor:
        """Draws parameters given an observation, `(Q,)`, or several independent ones of the same parameters, `(m, Q)`.

        Arguments:
            sample_shape: How many, as a shape or as a number.
            x: What was observed; by default that of `set_default_x`.
            seed: The seed.
            show_progress_bars: Whether a bar is shown; by default in a terminal or a notebook, and elsewhere one line.
            how: Further arguments of this kind of posterior.

        Returns:
            Parameters, of shape `(*sample_shape, P)`, in float32.

        Raises:
            ValueError: If nothing was observed, or no draw is asked for.
        """
        sample_shape = _shape(sample_shape)
        count = math.prod(sample_shape)
        with shown(show_progress_bars):
            found = self.draw(count, self._asked(x), seed, **how)
        return found[:count].float().reshape(*sample_shape, -1)

    def sample_batched(
        self,
        sample_shape: tuple[int, ...] | int,
        x: Any,
        seed: int = 0,
        *,
        show_progress_bars: bool | None = None,
        **how: Any,
    ) -> Tensor:
        """Draws from one posterior for each of B observations, `(B, Q)` or `(B, m, Q)`: `(*sample_shape, B, P)`."""
        sample_shape = _shape(sample_shape)
        each = self._each_asked(real_tensor(x, "observations", _PARTS))
        with shown(show_progress_bars):
            found = mapped(lambda one: self.draw(math.prod(sample_shape), one, seed, **how), each, len(each))
            drawn = [some[: math.prod(sample_shape)] for some in found]
        return torch.stack(drawn, 1).float().reshape(*sample_shape, len(each), -1)

    def log_prob(self, theta: Any, x: Any = None, **how: Any) -> Tensor:
        """Log-densities of parameters given an observation; -inf where the prior has none.

        Arguments:
            theta: Parameters, `(N, P)`, or one set of them, `(P,)`.
            x: What was observed; by default that of `set_default_x`.
            how: Further arguments of this kind of posterior.

        Returns:
            One number for each set, `(N,)`, in float64.
        """
        rows = rows_of(theta)
        if self.size is not None and self.size > 1 and rows.shape == (self.size, 1):
            rows = rows.T
        if self.size is not None and rows.shape[1:] != (self.size,):
            raise ValueError(f"log_prob takes parameters (N, {self.size}), got {tuple(rows.shape)}: reshape them")
        return self.log_density(rows, self._asked(x), **how)

    def log_prob_batched(self, theta: Any, x: Any, **how: Any) -> Tensor:
        """Log-densities of parameters `(N, B, P)` given B observations, each its own column of them: `(N, B)`."""
        theta = real_tensor(theta, "parameters")
        each = self._each_asked(real_tensor(x, "observations", _PARTS))
        if theta.ndim != 3 or theta.shape[1] != len(each):
            got = f"{tuple(theta.shape)} and {len(each)}"
            raise ValueError(f"log_prob_batched takes parameters (N, B, P) and B observations, got {got}: reshape them")
        return torch.stack([self.log_density(theta[:, i], one, **how) for i, one in enumerate(each)], 1)

    def map(self, x: Any = None, seed: int = 0, count: int = 1000) -> Tensor:
        """The most probable parameters given an observation, `(P,)`: the best of `count` draws, and then of points around.

        Arguments:
            x: What was observed; by default that of `set_default_x`.
            seed: The seed of the draws.
            count: How many draws the search begins with.
        """
        observed = self._asked(x)
        return _climbed(lambda theta: self.climb(theta, observed), self.draw(count, observed, seed), seed).float()

    def climb(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log-densities up to a constant, `(N,)`, where these cost less."""
        return self.log_density(theta, x)

    def _asked(self, x: Any) -> Tensor:
        """`observed`, with a warning where it is unlike all simulations."""
        return self._each_asked([self.default_x if x is None else x])[0]

    def _each_asked(self, x: Iterable[Any]) -> list[Tensor]:
        """The same of several, with one warning."""
        found = [self.observed(one) for one in x]
        said = [] if self.nearness is None else [self.nearness.beyond(one) for one in found]
        unlike = [each for each in said if each is not None]
        if unlike:
            many = f"{len(unlike)} of {len(found)} observations are" if len(found) > 1 else "this observation is"
            what = f"{many} unlike all simulations: {unlike[0]}"
            warn_outside(
                f"{what}; what is said there is an extrapolation: check the observation, or simulate more like it"
            )
        return found

    def observed(self, x: Any) -> Tensor:
        """What was passed as observed, or set before, in float64.

        Raises:
            ValueError: If there is neither, or it does not have the form of a simulation.
        """
        if x is None and self.default_x is None:
            raise ValueError("a posterior is one given data: pass x=…, what was observed, or set_default_x once")
        found = real_tensor(self.default_x if x is None else x, "observations", _PARTS)
        if self.width is not None and self.width > 1 and found.shape[-1:] != (self.width,):
            raise ValueError(
                f"an observation has {self.width} numbers, got shape {tuple(found.shape)}: pass (Q,) or (m, Q)"
            )
        if not found.numel():
            raise ValueError(
                f"an observation has one number or more, got shape {tuple(found.shape)}: pass (Q,) or (m, Q)"
            )
        if bool(found.isinf().any()):
            raise ValueError("a number of the observation is infinite: pass finite numbers")
        if self.same is not None:
            differs = (torch.isfinite(self.same) & (found != self.same) & ~found.isnan()).reshape(-1, len(self.same))
            if bool(differs.any()):
                i = int(differs.any(0).nonzero()[0])
                what = f"number {i} of an observation is {self.same[i]:g} in every simulation, and not in this one"
                raise ValueError(f"{what}: the simulator cannot make it; check the observation, or simulate more")
        if bool(found.isnan().any()) and not self.takes_missing:
            raise ValueError("a number of the observation is missing (NaN): JointInference answers about the others")
        return found if self.kept is None else found[..., self.kept]


def _shape(sample_shape: tuple[int, ...] | int) -> tuple[int, ...]:
    """How many draws, as a shape."""
    shape = (sample_shape,) if isinstance(sample_shape, int) else tuple(sample_shape)
    if math.prod(shape) < 1:
        raise ValueError(f"ask for one draw or more, got sample_shape={shape}")
    return shape


def _climbed(log_density: Callable[[Tensor], Tensor], draws: Tensor, seed: int) -> Tensor:
    """The point of the highest density that a search from the best draw finds, in ever smaller steps of the draws' shape."""
    some = draws[: min(len(draws), _CLIMBERS)]
    values = log_density(some)
    best, top = some[int(values.argmax())], float(values.max())
    a, b = draws[torch.arange(_CLIMBERS) % len(draws)], draws[(torch.arange(_CLIMBERS) * 7 + 3) % len(draws)]
    length, rng = 0.5, Samples(seed, 0, _CLIMBERS, "search")
    for i in range(_CLIMBS):
        turned = rng.child(f"{i}").uniform((_CLIMBERS, 2), torch.float64)
        signs = torch.where(turned[:, :1] < 0.5, -1.0, 1.0) * turned[:, 1:]
        order = rng.child(f"order {i}").uniform((_CLIMBERS, 1), torch.float64)[:, 0].argsort()
        points = best + length * signs * (a - b[order])
        values = log_density(points)
        if float(values.max()) > top:
            best, top = points[int(values.argmax())], float(values.max())
        else:
            length *= _SHRINK
    return best
