"""Implicit score matching: integration by parts replaces the target by the divergence of the network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoisers.base import Denoiser
from ..derivatives import divergence
from ..rng import Rng
from ..tensors import expand, sum_events
from .levels import LevelDistribution
from .per_level import LevelObjective
from .probe import Probe, Rademacher
from .weighting import EDMWeighting, Weighting

__all__ = ["ExactScoreMatching", "SlicedScoreMatching"]


@dataclass(frozen=True)
class ExactScoreMatching(LevelObjective):
    """w(σ) (‖r‖² + 2σ² ∇·r + n σ²) / n with r = D(x, σ) - x, at x = x_0 + σ z (Hyvärinen, 2005).

    As r = σ² s, this is w σ⁴ (‖s‖² + 2 ∇·s) / n, twice Hyvärinen's loss, plus w σ². It has the mean of denoising score
    matching with the same levels and weighting, for every denoiser: Stein's unbiased estimate of E‖D - x_0‖². Its variance is
    lower at small levels, because it does not contain the noise; it costs n derivatives per step.

    Without noise (`noisy=False`) x = x_0 and D(x, σ) = x + σ² s(x), where s is the score of the data themselves. The level is
    then only a label, and there should be one (`SingleLevel`). The exact denoiser differs from this by order σ⁴: use a small
    level, and samplers that need a single one (`langevin`). With too few data the loss is unbounded below, because the
    divergence at the data goes to -∞; noise prevents this.

    Arguments:
        levels: The distribution of the noise levels.
        weighting: The weight of each level.
        noisy: Whether noise of the level is added to the data.
    """

    levels: LevelDistribution
    weighting: Weighting = EDMWeighting()  # noqa: RUF009  # a frozen value
    noisy: bool = True

    def at(self, denoiser: Denoiser, x0: Tensor, level: Tensor, rng: Rng) -> Tensor:
        x = x0 + level * rng.normal_like(x0) if self.noisy else x0
        residual, trace = divergence(lambda x: denoiser(x, level) - x, x)
        return _estimate(self.weight(level), level, sum_events(residual**2), trace, x0)

    def weight(self, level: Tensor) -> Tensor:
        return self.weighting(level)

    def check_samples(self) -> None:
        _check_noisy(self, self.noisy)
        super().check_samples()


@dataclass(frozen=True)
class SlicedScoreMatching(LevelObjective):
    """Score matching along random directions v, with one derivative per direction (Song et al., 2019).

    The divergence is estimated by vᵀ ∂r/∂x v. With variance reduction (`reduced`) the term ‖r‖² is kept; without, it is
    estimated by (v·r)². The mean is that of `ExactScoreMatching`, which explains the rest.

    Arguments:
        levels: The distribution of the noise levels.
        weighting: The weight of each level.
        probe: The distribution of the directions.
        count: The number of directions per sample.
        reduced: Whether the variance is reduced ("SSM-VR").
        noisy: Whether noise of the level is added to the data.

    Raises:
        ValueError: If `count` is below 1.
    """

    levels: LevelDistribution
    weighting: Weighting = EDMWeighting()  # noqa: RUF009  # a frozen value
    probe: Probe = Rademacher()  # noqa: RUF009
    count: int = 1
    reduced: bool = True
    noisy: bool = True

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"SlicedScoreMatching needs at least 1 direction per sample, got count={self.count}")

    def at(self, denoiser: Denoiser, x0: Tensor, level: Tensor, rng: Rng) -> Tensor:
        x = x0 + level * rng.normal_like(x0) if self.noisy else x0
        probes = torch.stack([self.probe.draw(x, rng) for _ in range(self.count)], 1)
        residual, traces = divergence(lambda x: denoiser(x, level) - x, x, probes)
        if self.reduced:
            square = sum_events(residual**2)
        else:
            square = torch.stack([sum_events(v * residual) ** 2 for v in probes.unbind(1)], 1).mean(1)
        return _estimate(self.weight(level), level, square, traces.mean(1), x0)

    def weight(self, level: Tensor) -> Tensor:
        return self.weighting(level)

    def check_samples(self) -> None:
        _check_noisy(self, self.noisy)
        super().check_samples()


def _check_noisy(objective: LevelObjective, noisy: bool) -> None:
    """Raises a ValueError if no noise is added to the data."""
    if not noisy:
        what = f"{type(objective).__name__}(noisy=False) learns the score of data without noise, and samples start from noise"
        raise ValueError(
            f"{what}: leave noisy=False out, or train for the score alone with scorefield.training.Trainer"
        )


def _estimate(weight: Tensor, level: Tensor, square: Tensor, trace: Tensor, x0: Tensor) -> Tensor:
    """w (‖r‖² + 2σ² ∇·r + n σ²) / n, of shape `(B,)`."""
    n = x0[0].numel()
    loss = weight * (expand(square, x0) + level**2 * (2 * expand(trace, x0) + n)) / n
    return loss.reshape(-1)
