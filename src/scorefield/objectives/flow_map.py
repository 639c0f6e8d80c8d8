"""Matching of a flow map: a network learns in one evaluation what a solver of the probability flow finds in many."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoisers.base import Denoiser
from ..rng import Rng
from ..tensors import expand, per_sample, sum_events
from .levels import LevelDistribution

__all__ = ["FlowMapMatching", "PathLevels"]


@dataclass(frozen=True)
class PathLevels(LevelDistribution):
    """Levels that were given, all as probable.

    Arguments:
        values: The levels, in the units of the state.

    Raises:
        ValueError: If there are none, or one is not positive.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(map(float, self.values)))
        if not self.values or not min(self.values) > 0:
            raise ValueError(f"PathLevels needs one positive level or more, got {self.values[:8]}")

    def draw(self, u: Tensor) -> Tensor:
        ordered = torch.tensor(sorted(self.values), dtype=u.dtype, device=u.device)
        return ordered[(u * len(ordered)).long().clamp_max(len(ordered) - 1)]


@dataclass(frozen=True)
class FlowMapMatching:
    """w(σ) ‖f(x_σ, σ) - x_0‖² / n with w = 1/σ² + 1/scale², on paths of the probability flow of a teacher.

    A path is the states of a teacher's trajectory at the levels of a ladder, and x_0, where it ends. Other losses of
    distillation compare a network with itself at a neighbouring level, as those of consistency training do, and say little of
    how good it is. This is the error of the flow map: it is 0 for a network that has learned it, and can be measured on paths
    that training did not see. Each evaluation of the teacher gives an example to learn from, as each state of a path is one.

    It is not a loss that a denoiser minimizes: it has the interface of `LevelObjective`, for paths in place of data.

    Arguments:
        levels: The ladder, of L levels that decrease.
        scale: The standard deviation of the data.

    References:
        Luhman and Luhman, 2021, Knowledge distillation in iterative generative models; Boffi et al., 2024, Flow map matching.

    Example:
        >>> from scorefield.denoisers import Gaussian
        >>> from scorefield.rng import Steps
        >>> normal, ladder = Gaussian(torch.zeros(1), torch.ones(1)), PathLevels((2.0, 1.0))
        >>> paths = torch.tensor([[[2.0], [1.0], [0.5]]])  # the states at these levels, and their end
        >>> FlowMapMatching(ladder).at(normal, paths, torch.ones(1, 1, 1), Steps(0))  # (1 + 1) · (1/2 - 1/2)²
        tensor([0.])
    """

    levels: PathLevels
    scale: float = 1.0

    def __call__(self, denoiser: Denoiser, paths: Tensor, rng: Rng) -> Tensor:
        """The losses of paths `(B, L + 1, *D)`, of shape `(B,)`, each at one level, which `rng` draws."""
        u = rng.stratified(len(paths), paths.dtype, paths.device)
        return self.at(denoiser, paths, expand(self.levels.draw(u), paths), rng)

    def at(self, denoiser: Denoiser, paths: Tensor, level: Tensor, rng: Rng) -> Tensor:
        """The losses of paths `(B, L + 1, *D)` at levels of the ladder, which broadcast against them, of shape `(B,)`.

        Arguments:
            denoiser: What learns the flow map.
            paths: States at the levels of the ladder, from the largest to the smallest, and their end.
            level: The levels; other ones count as the nearest of the ladder.
            rng: Not used: nothing is random but the paths.
        """
        ladder = torch.tensor(self.levels.values, dtype=paths.dtype, device=paths.device)
        place = (per_sample(level, paths)[:, None].log() - ladder.log()).abs().argmin(1)
        x, end = paths[torch.arange(len(paths), device=paths.device), place], paths[:, -1]
        there = expand(ladder[place], x)
        error = denoiser(x, there) - end
        return sum_events((1 / there**2 + 1 / self.scale**2) * error**2) / end[0].numel()
