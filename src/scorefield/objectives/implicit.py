"""Score matching without a target: an integration by parts puts the divergence of the network in its place."""

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

    As r = σ² s, this is w σ⁴ (‖s‖² + 2 ∇·s) / n, Hyvärinen's loss twice, plus w σ². In the mean it is what denoising score
    matching of the same levels and weighting is, for every denoiser: Stein's unbiased estimate of E‖D - x_0‖². It scatters
    less where the level is small, for it knows nothing of the noise, and costs n derivatives a step.

    Without noise (`noisy=False`) x = x_0 and D(x, σ) = x + σ² s(x) with s the score of the data themselves; the level is a
    label, and the network should meet one alone (`SingleLevel`). As a denoiser that is the truth to order σ⁴: give a small
    level, and samplers of one level (`langevin`), for nothing was learned of others. Fewer data than such a score needs let
    the loss fall without bound: the divergence at the data goes to -∞. Noise is what prevents it.

    Arguments:
        levels: The law of the noise levels.
        weighting: The weight of each.
        noisy: Whether noise of the level is added to the data.
    """

    levels: LevelDistribution
    weighting: Weighting = EDMWeighting()  # noqa: RUF009  # a frozen value
    noisy: bool = True

    def at(self, denoiser: Denoiser, x0: Tensor, level: Tensor, rng: Rng) -> Tensor:
        x = x0 + level * rng.normal_like(x0) if self.noisy else x0
        residual, spread = divergence(lambda x: denoiser(x, level) - x, x)
        return _estimate(self.weight(level), level, sum_events(residual**2), spread, x0)

    def weight(self, level: Tensor) -> Tensor:
        return self.weighting(level)


@dataclass(frozen=True)
class SlicedScoreMatching(LevelObjective):
    """Exact score matching seen along random directions v, one derivative each (Song et al., 2019).

    The divergence is vᵀ ∂r/∂x v. With variance reduction (`reduced`) ‖r‖² stays as it is; without, it is (v·r)², and the
    score, too, is known along v alone. The mean is that of `ExactScoreMatching`, in which all else is explained.

    Arguments:
        levels: The law of the noise levels.
        weighting: The weight of each.
        probe: The law of the directions.
        count: How many directions a datum.
        reduced: Whether the variance is reduced: "SSM-VR".
        noisy: Whether noise of the level is added to the data.
    """

    levels: LevelDistribution
    weighting: Weighting = EDMWeighting()  # noqa: RUF009  # a frozen value
    probe: Probe = Rademacher()  # noqa: RUF009
    count: int = 1
    reduced: bool = True
    noisy: bool = True

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"SlicedScoreMatching needs at least 1 direction a datum, got count={self.count}")

    def at(self, denoiser: Denoiser, x0: Tensor, level: Tensor, rng: Rng) -> Tensor:
        x = x0 + level * rng.normal_like(x0) if self.noisy else x0
        probes = torch.stack([self.probe.draw(x, rng) for _ in range(self.count)], 1)
        residual, spread = divergence(lambda x: denoiser(x, level) - x, x, probes)
        if self.reduced:
            square = sum_events(residual**2)
        else:
            square = torch.stack([sum_events(v * residual) ** 2 for v in probes.unbind(1)], 1).mean(1)
        return _estimate(self.weight(level), level, square, spread.mean(1), x0)

    def weight(self, level: Tensor) -> Tensor:
        return self.weighting(level)


def _estimate(weight: Tensor, level: Tensor, square: Tensor, spread: Tensor, x0: Tensor) -> Tensor:
    """w (‖r‖² + 2σ² ∇·r + n σ²) / n, of shape `(B,)`."""
    n, one = x0[0].numel(), expand(square, x0)
    found = weight * (one + level**2 * (2 * expand(spread, x0) + n)) / n
    return found.reshape(-1)
