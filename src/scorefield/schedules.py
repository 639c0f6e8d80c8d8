"""Schedules: the times that a sampler steps through, found by what is uniform in them.

Where none is chosen it is `DEFAULT_SCHEDULE`, uniform in the logarithm of the level on every process. A direction of standard
deviation s is decided at levels around s, and gets as many steps as any other, however thin it is; the clock of a process may
go through all levels below 0.1 in a single step.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from .processes import Process

__all__ = [
    "DDPM",
    "DEFAULT_SCHEDULE",
    "Angle",
    "ExplicitLevels",
    "Karras",
    "Learned",
    "LogLevel",
    "Schedule",
    "UniformTime",
]

_MOST = 100_000_000  # steps: their times alone are 800 MB
_FINE = 2048  # intervals in which a density of steps is integrated


class Schedule(abc.ABC):
    """A choice of times between noise and data, for any process. To add one, write `levels`."""

    steps: ClassVar[int | None] = None

    @property
    def others(self) -> int | None:
        """How many steps of `DEFAULT_SCHEDULE` other samplers take than the one it is for; None if it serves all."""
        return None

    @property
    def to_be_learned(self) -> bool:
        """Whether it waits for a model, for which it is to be learned."""
        return False

    @abc.abstractmethod
    def levels(self, process: Process, count: int) -> Tensor:
        """`count` noise levels in float64 that decrease, the first and the last within reach of the process."""

    def times(self, process: Process, steps: int | None) -> Tensor:
        """The times for `steps` steps, of shape `(steps + 1,)`, in float64, decreasing.

        Raises:
            TypeError: If `levels` does not return a tensor.
            ValueError: If `steps` is below 1, or the levels are not as many as they must be, do not decrease, or are not
                all levels of the process.
        """
        count, name = _checked(steps) + 1, type(self).__name__
        levels = self.levels(process, count)
        if not isinstance(levels, Tensor):
            got = type(levels).__name__
            raise TypeError(f"{name}.levels must return a tensor of {count} levels, got {got}: return torch.tensor(…)")
        if levels.shape != (count,):
            raise ValueError(f"{name}.levels must return {count} levels, shape ({count},), got {tuple(levels.shape)}")
        (low, high), shown = process.ends(), [round(level, 4) for level in levels[:8].tolist()]
        within = (levels <= high * (1 + 1e-6)) & (levels >= low * (1 - 1e-6))  # false for NaN
        if not bool(within.all()) or not bool((levels.diff() < 0).all()):
            reach = f"between {high:.4g} and {low:.4g}, those of {type(process).__name__}"
            raise ValueError(f"{name} must give levels that decrease {reach}; it gives {shown}")
        return process.time(levels)


def _checked(steps: int | None) -> int:
    if steps is None:
        raise ValueError("the number of steps is missing: give steps=, or a schedule that knows it")
    if steps < 1:
        raise ValueError(f"a sampler needs at least 1 step, got steps={steps}")
    if steps > _MOST:
        raise ValueError(f"a sampler takes at most {_MOST:,} steps, got steps={steps}")
    return steps


def _between(first: float, last: float, count: int) -> Tensor:
    return torch.linspace(first, last, count, dtype=torch.float64)


@dataclass(frozen=True)
class UniformTime(Schedule):
    """Uniform in the clock of the process: for EDM the schedule of Karras et al. (2022), for VE a geometric ladder.

    The last of 32 steps divides the level by 30 to 120 on VP, SubVP, Cosine, Flow and TutorialVE by default. That is
    the usual choice for images, and takes most of the variance of directions whose standard deviation is 0.01.
    """

    def levels(self, process: Process, count: int) -> Tensor:
        return process.level(_between(1.0, 0.0, count))

    def times(self, process: Process, steps: int | None) -> Tensor:
        return _between(1.0, 0.0, _checked(steps) + 1)


@dataclass(frozen=True)
class Karras(Schedule):
    """Uniform in level^(1/rho) (Karras et al., 2022, eq. 5).

    Arguments:
        rho: The power; the larger, the more steps at small levels.
    """

    rho: float = 7.0

    def __post_init__(self) -> None:
        if not 0 < self.rho < math.inf:
            raise ValueError(f"Karras needs rho > 0, got rho={self.rho:g}")

    def levels(self, process: Process, count: int) -> Tensor:
        last, first = (level ** (1 / self.rho) for level in process.ends())
        return _between(first, last, count) ** self.rho


@dataclass(frozen=True)
class LogLevel(Schedule):
    """Uniform in the logarithm of the level: the geometric ladder of NCSN, equal steps in the log-SNR. The default.

    With a shift it is uniform in log(level + shift): below that level, where little is left to decide, steps grow.

    Arguments:
        shift: The level below which steps grow; 0 for none.
        fallback: How many steps of `DEFAULT_SCHEDULE` another sampler takes, if it was chosen for one; None if for all.

    Example:
        >>> from scorefield.processes import EDM
        >>> LogLevel(0.1).levels(EDM(0.01, 10.0), 5).round(decimals=3)
        tensor([10.0000,  3.1630,  0.9540,  0.2410,  0.0100], dtype=torch.float64)
    """

    shift: float = 0.0
    fallback: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.shift < math.inf:
            raise ValueError(f"LogLevel needs 0 <= shift < inf, got shift={self.shift:g}")
        if self.fallback is not None and self.fallback < 1:
            raise ValueError(f"LogLevel needs at least 1 step for other samplers, got fallback={self.fallback}")

    @property
    def others(self) -> int | None:
        return self.fallback

    def levels(self, process: Process, count: int) -> Tensor:
        if self.shift == 0:
            last, first = map(math.log, process.ends())
            return torch.exp(_between(first, last, count))
        low, high = process.ends()
        inside = torch.exp(_between(math.log(high + self.shift), math.log(low + self.shift), count)) - self.shift
        inside[0], inside[-1] = high, low
        return inside


DEFAULT_SCHEDULE: Schedule = LogLevel()
"""The schedule where none is chosen."""


@dataclass(frozen=True)
class Learned(Schedule):
    """A density of steps over the logarithm of the level that was learned for one model and its sampler.

    `samplers.learn_steps` finds it, so that few steps end where many do. The logarithm of the density is piecewise linear
    between equally spaced log-levels, and constant beyond them; any number of steps can be asked for. Without values it is
    `LogLevel`: so it stands in what is asked of `fit`, which learns it for a deterministic sampler.

    Arguments:
        density: The logarithms of the density, from the largest level to the smallest, up to a constant; none, or two or more.
        high: The largest of these levels, and `low` the smallest; where they are 0, the ends of the process.
        low: See `high`.
        fallback: How many steps of `DEFAULT_SCHEDULE` another sampler takes, to which this schedule means nothing.

    Example:
        >>> from scorefield.processes import VE
        >>> process = VE(0.01, 100.0)
        >>> Learned((0.0, 0.0)).levels(process, 3)
        tensor([1.0000e+02, 1.0000e+00, 1.0000e-02], dtype=torch.float64)
        >>> Learned((0.0, 2.0)).levels(process, 3).round(decimals=2)  # more steps at small levels
        tensor([1.0000e+02, 1.4000e-01, 1.0000e-02], dtype=torch.float64)
    """

    density: tuple[float, ...] = ()
    high: float = 0.0
    low: float = 0.0
    fallback: int = 32

    def __post_init__(self) -> None:
        object.__setattr__(self, "density", tuple(map(float, self.density)))
        if len(self.density) == 1 or not all(map(math.isfinite, self.density)):
            raise ValueError(f"Learned needs no values or at least two finite ones, got density={self.density[:8]}")
        if not (self.high == self.low == 0 or 0 < self.low < self.high < math.inf):
            raise ValueError(f"Learned needs levels 0 < low < high, or none, got low={self.low:g}, high={self.high:g}")
        if self.fallback < 1:
            raise ValueError(f"Learned needs at least 1 step for other samplers, got fallback={self.fallback}")

    @property
    def others(self) -> int:
        return self.fallback

    @property
    def to_be_learned(self) -> bool:
        return not self.density

    def levels(self, process: Process, count: int) -> Tensor:
        low, high = process.ends()
        if not self.density:
            return LogLevel().levels(process, count)
        y = np.linspace(math.log(high), math.log(low), _FINE + 1)
        ends = (math.log(self.high or high), math.log(self.low or low))
        density = np.exp(np.interp(-y, -np.linspace(*ends, len(self.density)), self.density))
        part = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
        found = np.exp(np.interp(np.linspace(0, part[-1], count), part, y))
        found[0], found[-1] = high, low
        return torch.from_numpy(found)


@dataclass(frozen=True)
class Angle(Schedule):
    """Uniform in φ = arctan(level / scale): the same share of data becomes noise in each step.

    Arguments:
        scale: The standard deviation of the data, in the units of the state.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(f"Angle needs scale > 0, got scale={self.scale:g}")

    def levels(self, process: Process, count: int) -> Tensor:
        last, first = (math.atan(level / self.scale) for level in process.ends())
        return self.scale * torch.tan(_between(first, last, count))


@dataclass(frozen=True)
class DDPM(Schedule):
    """The discrete table of DDPM: levels √(1/ᾱ - 1) with ᾱ_i = Π (1 - β_j), β linear (Ho et al., 2020).

    Of the entries within reach of the process, steps + 1 are taken, as evenly as whole numbers can be, both ends among them.

    Arguments:
        count: The length of the table.
        beta_min: Its first β.
        beta_max: Its last β.
    """

    count: int = 1000
    beta_min: float = 1e-4
    beta_max: float = 0.02

    def __post_init__(self) -> None:
        if self.count < 2 or not 0 < self.beta_min < self.beta_max < 1:
            got = f"count={self.count}, beta_min={self.beta_min:g}, beta_max={self.beta_max:g}"
            raise ValueError(f"DDPM needs count >= 2 and 0 < beta_min < beta_max < 1, got {got}")

    def levels(self, process: Process, count: int) -> Tensor:
        beta = _between(self.beta_min, self.beta_max, self.count)
        level = torch.sqrt(torch.expm1(-torch.log1p(-beta).cumsum(0))).flip(0)
        low, high = process.ends()
        level = level[(level <= high * (1 + 1e-9)) & (level >= low * (1 - 1e-9))]
        if count > len(level):
            what = f"{len(level)} of the {self.count} levels of the table lie between {low:.3g} and {high:.3g}"
            raise ValueError(f"{what}, not enough for {count - 1} steps: take at most {max(len(level) - 1, 0)}")
        return level[_between(0, len(level) - 1, count).round().long()]


@dataclass(frozen=True)
class ExplicitLevels(Schedule):
    """Levels that were given: those of a paper, or a ladder that was calibrated.

    Arguments:
        values: The levels, which decrease.

    Example:
        >>> from scorefield.processes import VE
        >>> ExplicitLevels((10.0, 1.0, 0.1)).times(VE(0.01, 100.0), None)
        tensor([0.7500, 0.5000, 0.2500], dtype=torch.float64)
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(map(float, self.values)))
        falling = all(a > b for a, b in zip(self.values, self.values[1:]))
        if len(self.values) < 2 or not falling or not self.values[-1] > 0 or not self.values[0] < math.inf:
            raise ValueError(f"ExplicitLevels needs two positive levels or more that decrease, got {self.values[:8]}")

    @property
    def steps(self) -> int:  # type: ignore[override]  # a property here, a constant of the others
        """The number of steps between the levels."""
        return len(self.values) - 1

    def levels(self, process: Process, count: int) -> Tensor:
        low, high = process.ends()
        if self.values[0] > high * (1 + 1e-9) or self.values[-1] < low * (1 - 1e-9):
            got, reach = f"{self.values[0]:g} to {self.values[-1]:g}", f"{high:g} to {low:g}"
            name = type(process).__name__
            raise ValueError(f"{name} runs through levels {reach}, got {got}: choose its levels wider")
        return torch.tensor(self.values, dtype=torch.float64)

    def times(self, process: Process, steps: int | None) -> Tensor:
        if steps not in (None, self.steps):
            raise ValueError(f"{len(self.values)} levels make {self.steps} steps, got steps={steps}: leave steps out")
        return process.time(self.levels(process, self.steps + 1))
