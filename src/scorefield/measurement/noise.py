"""Noise: the distribution of a measurement given the output of an ideal instrument."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..rng import Rng
from ..user_values import real_tensor

__all__ = ["CorrelatedNoise", "Noise", "PoissonNoise", "WhiteNoise"]

_LOG_TAU = math.log(2 * math.pi)
_FLOOR = 0.1  # counts: what an expected count is taken for where a state makes it less, or negative


class Noise(abc.ABC):
    """The distribution of y given a = A(x). Both are flattened: `(B, m)`."""

    @abc.abstractmethod
    def mean(self, a: Tensor) -> Tensor:
        """E[y | a], of shape `(B, m)`."""

    @abc.abstractmethod
    def whiten(self, r: Tensor, mean: Tensor) -> Tensor:
        """L⁻¹ r with L Lᵀ = Cov[y | a], where E[y | a] is `mean`: `(B, m)`, linear in `r`."""

    @abc.abstractmethod
    def log_volume(self, mean: Tensor) -> Tensor:
        """log det L, of shape `(B,)`."""

    @abc.abstractmethod
    def log_prob(self, y: Tensor, a: Tensor) -> Tensor:
        """log p(y | a) in nats, of shape `(B,)`."""

    @abc.abstractmethod
    def draw(self, a: Tensor, rng: Rng) -> Tensor:
        """Draws y given a, of shape `(B, m)`."""

    @abc.abstractmethod
    def check(self, y: Tensor) -> None:
        """Whether `y`, of shape `E`, may have this noise; ValueError if not."""

    def taken(self, places: Tensor) -> Noise:
        """The noise of the components of y in another order, `(m,)`: itself where it is the same for all of them."""
        return self


class GaussianNoise(Noise):
    """Additive Gaussian noise. To add one, write `whiten`, `log_volume`, `draw` and `check`."""

    def mean(self, a: Tensor) -> Tensor:
        return a

    def log_prob(self, y: Tensor, a: Tensor) -> Tensor:
        r = self.whiten(y - a, a)
        return -(r.square().sum(1) + a.shape[1] * _LOG_TAU) / 2 - self.log_volume(a)


@dataclass(frozen=True, eq=False)
class WhiteNoise(GaussianNoise):
    """Independent Gaussian noise.

    Arguments:
        std: Its standard deviation, in the units of y; one number, or one for each component, broadcasting against y.
    """

    std: float | Tensor

    def __post_init__(self) -> None:
        std = real_tensor(self.std, "standard deviations of noise", "one standard deviation for each")
        if not bool((std > 0).all()) or not bool(torch.isfinite(std).all()):
            what = f"a standard deviation of noise must be positive and finite, got {float(std.min()):g}"
            raise ValueError(f"{what}: without noise, give 1 % of the standard deviation of the data")
        object.__setattr__(self, "std", float(std) if std.ndim == 0 else std)

    def _scale(self, like: Tensor) -> Tensor:
        std = torch.as_tensor(self.std, dtype=torch.float64, device=like.device)
        return std.reshape(-1).to(like)

    def whiten(self, r: Tensor, mean: Tensor) -> Tensor:
        return r / self._scale(r)

    def log_volume(self, mean: Tensor) -> Tensor:
        return self._scale(mean).log().expand(mean.shape).sum(1)

    def draw(self, a: Tensor, rng: Rng) -> Tensor:
        return a + self._scale(a) * rng.normal_like(a)

    def taken(self, places: Tensor) -> Noise:
        std = torch.as_tensor(self.std)
        return self if std.numel() == 1 else WhiteNoise(std.reshape(-1)[places])

    def check(self, y: Tensor) -> None:
        if isinstance(self.std, Tensor) and self.std.numel() not in (1, y.numel()):
            need = f"one number, or one for each of the {y.numel()} measured ones, {tuple(y.shape)}"
            more = f"; a covariance has the shape ({y.numel()}, {y.numel()})"
            raise ValueError(f"noise must be {need}, got shape {tuple(self.std.shape)}{more}")


@dataclass(frozen=True, eq=False)
class CorrelatedNoise(GaussianNoise):
    """Gaussian noise of a covariance.

    Arguments:
        covariance: Of the flattened y, of shape `(m, m)`.
    """

    covariance: Tensor
    _root: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        given = real_tensor(self.covariance, "covariances of noise", "as the covariance of both together")
        square = given.ndim == 2 and given.shape[0] == given.shape[1]
        root, failed = torch.linalg.cholesky_ex(given) if square else (given, torch.ones(()))
        if not square or bool(failed) or not torch.allclose(given, given.T, rtol=1e-6):
            what = "symmetric, finite and without negative or zero variances in any direction"
            raise ValueError(f"a covariance of noise must be {what}, got one of shape {tuple(given.shape)} that is not")
        object.__setattr__(self, "covariance", given)
        object.__setattr__(self, "_root", root)

    def whiten(self, r: Tensor, mean: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self._root.to(r), r.T, upper=False).T  # type: ignore[no-any-return]

    def log_volume(self, mean: Tensor) -> Tensor:
        return self._root.diagonal().log().sum().to(mean).expand(len(mean))

    def draw(self, a: Tensor, rng: Rng) -> Tensor:
        return a + rng.normal_like(a) @ self._root.to(a).T

    def taken(self, places: Tensor) -> Noise:
        return CorrelatedNoise(self.covariance[places][:, places])

    def check(self, y: Tensor) -> None:
        if len(self.covariance) != y.numel():
            need = f"the shape ({y.numel()}, {y.numel()}) for {y.numel()} measured numbers"
            raise ValueError(f"a covariance of noise needs {need}, got {tuple(self.covariance.shape)}")


@dataclass(frozen=True)
class PoissonNoise(Noise):
    """Counts: y ~ PoissonNoise(gain · A(x)).

    Where methods need a Gaussian, it is the one of the same mean and variance, gain · A, but of at least a tenth of a count.

    Arguments:
        gain: The counts that a unit of A(x) is expected to give.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.gain < math.inf:
            raise ValueError(f"Poisson needs gain > 0, got gain={self.gain:g}")

    def mean(self, a: Tensor) -> Tensor:
        return self.gain * a

    def whiten(self, r: Tensor, mean: Tensor) -> Tensor:
        return r / mean.detach().clamp_min(_FLOOR).sqrt()

    def log_volume(self, mean: Tensor) -> Tensor:
        return mean.detach().clamp_min(_FLOOR).log().sum(1) / 2

    def log_prob(self, y: Tensor, a: Tensor) -> Tensor:
        rate = self.mean(a).clamp_min(_FLOOR)
        return (y * rate.log() - rate - torch.lgamma(y + 1)).sum(1)

    def draw(self, a: Tensor, rng: Rng) -> Tensor:
        """By bisection of the cumulative distribution function: P(y <= k) = Q(k + 1, rate)."""
        rate = self.mean(a).double().clamp_min(0)
        u = rng.uniform(tuple(a.shape), torch.float64, a.device)
        low, high = torch.full_like(rate, -1.0), (rate + 40 * (rate + 1).sqrt()).ceil()
        while bool((high - low > 1).any()):
            middle = ((low + high) / 2).floor()
            above = torch.special.gammaincc(middle + 1, rate) > u
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return high.to(a)

    def check(self, y: Tensor) -> None:
        if bool((y < 0).any()) or bool((y != y.round()).any()):
            raise ValueError("Poisson noise is of counts, whole numbers from 0 on: y holds others; give y in counts")
