"""Weighted samples and their estimates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from ..rng import Rng

__all__ = ["Estimate", "WeightedSamples"]


class Estimate(NamedTuple):
    """An estimate with its standard error, componentwise."""

    value: Tensor
    standard_error: Tensor


@dataclass(frozen=True, eq=False)
class WeightedSamples:
    """Points that represent a distribution only together with their weights.

    It is not a tensor, an array or a sequence, so that it cannot be mistaken for plain samples. Use `mean` or `resample`.

    Arguments:
        points: N points, of shape `(N, *D)`.
        log_weight: The logarithms of their weights, of shape `(N,)`.

    Raises:
        ValueError: If there are fewer than two points, or not one weight per point.
        RuntimeError: If a weight is NaN or infinite, or all are 0.

    Example:
        >>> samples = WeightedSamples(torch.tensor([[0.0], [1.0]]), torch.tensor([0.0, math.log(3.0)]))
        >>> samples.mean().value, round(samples.effective_sample_size, 3)
        (tensor([0.7500]), 1.6)
    """

    points: Tensor
    log_weight: Tensor

    __iter__ = None

    def __post_init__(self) -> None:
        if self.log_weight.shape != self.points.shape[:1] or len(self.points) < 2:
            got = f"log_weight of shape {tuple(self.log_weight.shape)} for points of shape {tuple(self.points.shape)}"
            raise ValueError(f"WeightedSamples needs at least two points and one weight per point, got {got}")
        bad = torch.isnan(self.log_weight) | (self.log_weight == math.inf)
        if bool(bad.any()) or not bool((self.log_weight > -math.inf).any()):
            what = f"{int(bad.sum())} of {len(bad)} weights are NaN or inf" if bool(bad.any()) else "all weights are 0"
            raise RuntimeError(f"{what}: use smaller steps, or distributions that are closer to each other")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("weighted samples are not an array: use resample(count, rng) or mean(f)")

    @property
    def weights(self) -> Tensor:
        """The weights, of shape `(N,)`; they sum to 1."""
        return self.log_weight.softmax(0)

    @property
    def log_mean_weight(self) -> Estimate:
        """The logarithm of the mean weight, with its standard error by the delta method, both of shape `()`.

        For annealed importance sampling it estimates log Z of the last distribution minus that of the first. It is biased
        downwards by half of the squared error. If few points carry most of the weight (`effective_sample_size`), the
        standard error is underestimated.
        """
        count = len(self.log_weight)
        value = self.log_weight.logsumexp(0) - math.log(count)
        variance = (self.weights.square().sum() - 1 / count).clamp_min(0) * count / (count - 1)
        return Estimate(value, variance.sqrt())

    @property
    def effective_sample_size(self) -> float:
        """(Σ w)² / Σ w², between 1 and N: roughly, how many unweighted points would give means of the same precision."""
        return float(1 / self.weights.square().sum())

    def mean(self, f: Callable[[Tensor], Tensor] | None = None) -> Estimate:
        """The mean of a function under the distribution, with its standard error.

        Arguments:
            f: A function of points, `(N, *D)` to `(N, *E)`; the identity by default.

        Returns:
            The mean and its standard error, both of shape `E`.
        """
        values = (self.points if f is None else f(self.points)).to(self.log_weight.dtype)
        w = self.weights.reshape(-1, *(1,) * (values.ndim - 1))
        mean = (w * values).sum(0)
        return Estimate(mean, (w * (values - mean)).square().sum(0).sqrt())

    def resample(self, count: int, rng: Rng) -> Tensor:
        """Systematic resampling: draws each point `count` times its weight, rounded up or down.

        Points with large weights are repeated: the result contains no more information than `effective_sample_size` points.

        Arguments:
            count: The number of points to draw.
            rng: The source of random numbers; a source of samples must have `count` of them.

        Returns:
            Unweighted points, of shape `(count, *D)`.

        Raises:
            ValueError: If `count` is below 1.

        References:
            Kitagawa, 1996; Douc & Cappé, 2005.
        """
        if count < 1:
            raise ValueError(f"resample needs count >= 1, got count={count}")
        shift = rng.uniform((count,), torch.float64)[0]
        comb = (torch.arange(count, dtype=torch.float64) + shift) / count
        ends = self.weights.double().cumsum(0).cpu()
        chosen = torch.searchsorted(ends / ends[-1], comb, right=True).clamp_max(len(ends) - 1)
        return self.points[chosen.to(self.points.device)]
