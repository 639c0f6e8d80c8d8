"""Samples that carry weights, and what may be said of them."""

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
    """A number, or several, with the standard error of each."""

    value: Tensor
    standard_error: Tensor


@dataclass(frozen=True, eq=False)
class WeightedSamples:
    """Points that stand for a law together with their weights, and not without.

    It is no tensor, no array and no sequence, so that none of what takes samples takes it by mistake: `mean` and `resample`
    are the ways out.

    Arguments:
        points: N points, of shape `(N, *D)`.
        log_weight: The logarithms of their weights, of shape `(N,)`.

    Raises:
        ValueError: If there is not one weight a point.
        RuntimeError: If a weight is no number, or all are 0.

    Example:
        >>> both = WeightedSamples(torch.tensor([[0.0], [1.0]]), torch.tensor([0.0, math.log(3.0)]))
        >>> both.mean().value, round(both.effective_sample_size, 3)
        (tensor([0.7500]), 1.6)
    """

    points: Tensor
    log_weight: Tensor

    __iter__ = None

    def __post_init__(self) -> None:
        if self.log_weight.shape != self.points.shape[:1] or len(self.points) < 2:
            need = f"one for each of two points or more, got {tuple(self.log_weight.shape)}"
            raise ValueError(f"weights must be {need} for points of shape {tuple(self.points.shape)}")
        bad = torch.isnan(self.log_weight) | (self.log_weight == math.inf)
        if bool(bad.any()) or not bool((self.log_weight > -math.inf).any()):
            what = f"{int(bad.sum())} of {len(bad)} weights are no numbers" if bool(bad.any()) else "all weights are 0"
            raise RuntimeError(f"{what}: take smaller steps, or laws that are closer to each other")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("these samples have weights: resample(count, rng) makes samples without, mean(f) averages them")

    @property
    def weights(self) -> Tensor:
        """The weights, of shape `(N,)`, which sum to 1."""
        return self.log_weight.softmax(0)

    @property
    def log_mean_weight(self) -> Estimate:
        """The logarithm of the mean weight, and its standard error (by the delta method), each of shape `()`.

        Of annealed importance sampling it is log Z of the last law less that of the first. Its mean lies below the truth, by
        half the square of the error; and where few points carry the weight (`effective_sample_size`) the error is itself too
        small to be believed.
        """
        count = len(self.log_weight)
        value = self.log_weight.logsumexp(0) - math.log(count)
        spread = (self.weights.square().sum() - 1 / count).clamp_min(0) * count / (count - 1)
        return Estimate(value, spread.sqrt())

    @property
    def effective_sample_size(self) -> float:
        """(Σ w)² / Σ w²: how many points without weights would know a mean as well, roughly; from 1 to N."""
        return float(1 / self.weights.square().sum())

    def mean(self, f: Callable[[Tensor], Tensor] | None = None) -> Estimate:
        """The mean of a function under the law, with its standard error.

        Arguments:
            f: A function of points, `(N, *D)` to `(N, *E)`; by default the points themselves.

        Returns:
            The mean and its standard error, each of shape `E`.
        """
        values = self.points if f is None else f(self.points)
        values = values.to(self.log_weight.dtype)
        w = self.weights.reshape(-1, *(1,) * (values.ndim - 1))
        mean = (w * values).sum(0)
        return Estimate(mean, (w * (values - mean)).square().sum(0).sqrt())

    def resample(self, count: int, rng: Rng) -> Tensor:
        """Draws points by weight, each as often as `count` times its weight, rounded up or down: systematic resampling.

        Points of large weights are repeated: that they are `count` does not make them worth more than
        `effective_sample_size` ones.

        Arguments:
            count: How many.
            rng: The source of randomness; if it names samples, `count` of them.

        Returns:
            Points without weights, of shape `(count, *D)`.

        References:
            Kitagawa, 1996; Douc & Cappé, 2005.
        """
        if count < 1:
            raise ValueError(f"at least 1 point is drawn, got count={count}")
        shift = rng.uniform((count,), torch.float64)[0]
        comb = (torch.arange(count, dtype=torch.float64) + shift) / count
        ends = self.weights.double().cumsum(0).cpu()
        chosen = torch.searchsorted(ends / ends[-1], comb, right=True).clamp_max(len(ends) - 1)
        return self.points[chosen.to(self.points.device)]
