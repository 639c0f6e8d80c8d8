"""Denoisers made of pretrained networks with their own noise conditioning.

Such a network takes a noise label of its own: the level, an index into a list of levels, or a time up to 999; and the
state at the scale of its own process. Converting both makes it a denoiser for every process and every sampler.

To add a convention, write `range`, `label` and, if the state is scaled, `alpha`.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn as nn
from torch import Tensor

from ..tensors import per_sample
from .base import Denoiser
from .precondition import ConditionalNetwork, Conditioned, Parametrization

__all__ = ["FlowConditioning", "IndexConditioning", "LevelConditioning", "NoiseConditioning"]
__all__ += ["PretrainedConditional", "PretrainedDenoiser", "TimeConditioning", "TutorialConditioning"]


class NoiseConditioning(abc.ABC):
    """How a network takes the noise level, and on which levels it was trained."""

    @abc.abstractmethod
    def range(self) -> tuple[float, float]:
        """The lowest and the highest level of its training."""

    @abc.abstractmethod
    def label(self, level: Tensor) -> Tensor:
        """The label of a level in that range, of the shape of `level`."""

    def alpha(self, level: Tensor) -> Tensor:
        """The scale α of the data in the state that the network takes, of the shape of `level`; 1 by default."""
        return torch.ones_like(level)


def _check(labels: NoiseConditioning, low: float, high: float) -> None:
    if not 0 < low < high < math.inf:
        raise ValueError(f"{type(labels).__name__} needs levels 0 < low < high, got low={low:g}, high={high:g}")


@dataclass(frozen=True)
class LevelConditioning(NoiseConditioning):
    """The level is its own label, as for the networks of Song et al. (2021) on the variance exploding process.

    Arguments:
        low: The lowest level.
        high: The highest.
    """

    low: float = 0.01
    high: float = 50.0

    def __post_init__(self) -> None:
        _check(self, self.low, self.high)

    def range(self) -> tuple[float, float]:
        return self.low, self.high

    def label(self, level: Tensor) -> Tensor:
        return level


@dataclass(frozen=True)
class IndexConditioning(NoiseConditioning):
    """The label is a place in a list of levels, as for DDPM; between two levels it is interpolated in their logarithms.

    Arguments:
        levels: The levels σ/α, strictly rising or falling; the label of the first is 0.
        preserving: Whether the state has the scale α = 1/√(1 + level²), as for DDPM; otherwise it is 1.
    """

    levels: Sequence[float]
    preserving: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(float(level) for level in self.levels))
        if len(self.levels) < 2:
            raise ValueError(f"IndexConditioning needs two levels at least, got {len(self.levels)}")
        _check(self, *self.range())
        if tuple(sorted(set(self.levels), reverse=self._falls)) != self.levels:
            need = "levels that rise throughout or fall throughout"
            raise ValueError(f"IndexConditioning needs {need}: sort them, each once")

    @property
    def _falls(self) -> bool:
        return self.levels[0] > self.levels[-1]

    def range(self) -> tuple[float, float]:
        return min(self.levels), max(self.levels)

    def label(self, level: Tensor) -> Tensor:
        table = torch.tensor(sorted(self.levels), dtype=torch.float64).log().to(level.device)
        log_level = level.double().log().contiguous()
        above = torch.searchsorted(table, log_level).clamp(1, len(table) - 1)
        place = above - 1 + (log_level - table[above - 1]) / (table[above] - table[above - 1])
        return (len(table) - 1 - place if self._falls else place).clamp(0, len(table) - 1)

    def alpha(self, level: Tensor) -> Tensor:
        return torch.rsqrt(1 + level**2) if self.preserving else torch.ones_like(level)


@dataclass(frozen=True)
class TimeConditioning(NoiseConditioning):
    """The label is the time of the VP or the sub-VP process of Song et al. (2021), times that of its end.

    Arguments:
        beta_min: β at time 0.
        beta_max: β at time 1.
        sub: Whether the process is sub-VP.
        last: The label of the time 1.
        start: The earliest time of the training.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    sub: bool = False
    last: float = 999.0
    start: float = 1e-5

    def __post_init__(self) -> None:
        if not (0 < self.beta_min < self.beta_max < math.inf and self.last > 0 and 0 < self.start < 1):
            got = f"beta_min={self.beta_min:g}, beta_max={self.beta_max:g}, last={self.last:g}, start={self.start:g}"
            raise ValueError(f"TimeConditioning needs 0 < beta_min < beta_max, last > 0 and 0 < start < 1, got {got}")

    def range(self) -> tuple[float, float]:
        return self._level(self.start), self._level(1.0)

    def label(self, level: Tensor) -> Tensor:
        b, slope = self._integral(level), self.beta_max - self.beta_min
        return self.last * 2 * b / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * slope * b))

    def alpha(self, level: Tensor) -> Tensor:
        return torch.exp(-self._integral(level) / 2)

    def _level(self, time: float) -> float:
        b = time * self.beta_min + time**2 * (self.beta_max - self.beta_min) / 2
        return 2 * math.sinh(b / 2) if self.sub else math.sqrt(math.expm1(b))

    def _integral(self, level: Tensor) -> Tensor:
        """∫β up to the time of a level, which is √(e^∫β - 1) for VP and 2 sinh(∫β / 2) for sub-VP."""
        return 2 * torch.asinh(level / 2) if self.sub else torch.log1p(level**2)


@dataclass(frozen=True)
class FlowConditioning(NoiseConditioning):
    """The label is the time τ of flow matching, times that of its end; the state is (1 - τ) x_0 + τ z, at level τ / (1 - τ).

    Arguments:
        last: The label of the time 1.
        low: The lowest level.
        high: The highest; at the time 1 it is infinite.
    """

    last: float = 1000.0
    low: float = 1e-3
    high: float = 1e4

    def __post_init__(self) -> None:
        _check(self, self.low, self.high)
        if not 0 < self.last < math.inf:
            raise ValueError(f"FlowConditioning needs last > 0, the label of the time 1, got last={self.last:g}")

    def range(self) -> tuple[float, float]:
        return self.low, self.high

    def label(self, level: Tensor) -> Tensor:
        return self.last * level / (1 + level)

    def alpha(self, level: Tensor) -> Tensor:
        return 1 / (1 + level)


@dataclass(frozen=True)
class TutorialConditioning(NoiseConditioning):
    """The label is the time t of the tutorial by Song (2021), at the level σ with σ² = (base^2t - 1) / (2 ln base).

    Arguments:
        base: The number that is raised to the power t, above 1.
        start: The earliest time of the training.
    """

    base: float = 25.0
    start: float = 1e-5

    def __post_init__(self) -> None:
        if not (1 < self.base < math.inf and 0 < self.start < 1):
            got = f"base={self.base:g}, start={self.start:g}"
            raise ValueError(f"TutorialConditioning needs base > 1 and 0 < start < 1, got {got}")

    def range(self) -> tuple[float, float]:
        rate = 2 * math.log(self.base)
        return math.sqrt(math.expm1(rate * self.start) / rate), math.sqrt(math.expm1(rate) / rate)

    def label(self, level: Tensor) -> Tensor:
        rate = 2 * math.log(self.base)
        return torch.log1p(rate * level**2) / rate


class PretrainedDenoiser(Denoiser):
    """A denoiser made of a network with its own noise conditioning.

    Beyond the levels of its training the nearest level is used: below with the same score, above with the state scaled down to
    the largest level.

    Arguments:
        network: A network F(x, c) with x of shape `(B, *D)` and c, its label, of shape `(B,)`.
        labels: How it takes the noise level.
        parametrization: What F predicts.

    Example:
        >>> from scorefield.denoisers import NoisePrediction
        >>> from scorefield.nn import MLP
        >>> denoiser = PretrainedDenoiser(MLP(3), TimeConditioning(), NoisePrediction())  # F = 0 at first
        >>> denoiser(torch.ones(1, 3), torch.tensor(0.5))
        tensor([[1., 1., 1.]], grad_fn=<LerpBackward1>)
    """

    def __init__(self, network: nn.Module, labels: NoiseConditioning, parametrization: Parametrization) -> None:
        super().__init__()
        self.network = network
        self.labels = labels
        self.parametrization = parametrization

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return _denoised(self._output, self.labels, self.parametrization, x, level)

    def _output(self, x: Tensor, label: Tensor) -> Tensor:
        """The output of the network, computed in its own type, for a label for all or for each sample."""
        dtype = next((p.dtype for p in self.network.parameters()), x.dtype)
        return self.network(x.to(dtype), per_sample(label, x).to(dtype)).to(x.dtype)  # type: ignore[no-any-return]


class PretrainedConditional(ConditionalNetwork):
    """A conditional denoiser made of a network with its own noise conditioning; see `PretrainedDenoiser`.

    Arguments:
        network: A network F(x, c, context) with x of shape `(B, *D)`, c, its label, of shape `(B,)`, and contexts of shape
            `(B, *shape)`.
        shape: The shape of one context; its last number is 1 where there is none, which the network has not learned.
        labels: How it takes the noise level.
        parametrization: What F predicts.
    """

    unconditional = False

    def __init__(
        self, network: nn.Module, shape: Sequence[int], labels: NoiseConditioning, parametrization: Parametrization
    ) -> None:
        super().__init__(network, parametrization)
        self.shape = tuple(shape)
        self.labels = labels

    def conditioned(self, context: Tensor) -> Denoiser:
        return Conditioned(self, context)

    def denoise(self, x: Tensor, level: Tensor, context: Tensor) -> Tensor:
        """D(x, level | context), with a context for each state, `(B, *D)` and `(B, *shape)` to `(B, *D)`."""

        def output(x: Tensor, label: Tensor) -> Tensor:
            return self.answer(x, per_sample(label, x), context).to(x.dtype)

        return _denoised(output, self.labels, self.parametrization, x, level)


def _denoised(
    output: Callable[[Tensor, Tensor], Tensor],
    labels: NoiseConditioning,
    parametrization: Parametrization,
    x: Tensor,
    level: Tensor,
) -> Tensor:
    """The denoised mean by a network on the levels of its training, and by the nearest of them elsewhere."""
    low, high = labels.range()
    known = level.clamp(low, high)
    x = (x * (high / level).clamp_max(1)).to(x.dtype)
    skip, out = parametrization.coefficients(known)
    mean = skip * x + out * output(labels.alpha(known) * x, labels.label(known))
    return torch.lerp(x, mean.to(x.dtype), (level / low).clamp_max(1).square().to(x.dtype))
