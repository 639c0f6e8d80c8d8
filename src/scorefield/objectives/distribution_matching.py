"""Matching of distributions: a network that draws in a few evaluations learns to draw what a model draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoisers.base import Denoiser
from ..rng import Rng
from ..tensors import expand, sum_events
from .levels import LevelDistribution

__all__ = ["DistributionMatching"]


@dataclass(frozen=True)
class DistributionMatching:
    """‖f - [f - (D_own(x) - D(x))]‖² / 2n, x = f + σ z, where [·] has no gradient: that of a divergence of distributions.

    The derivative of KL(q ∗ N(0, σ²) ‖ p ∗ N(0, σ²)) with respect to a sample f of q is the difference of two scores at the
    noisy sample, (D_own - D) / σ², of the denoisers of q and of p. D is that of a teacher; D_own learns, by denoising, the
    samples that the student f draws, all the time. A squared error to where the flow leads asks for more than a small network
    can do, and is least for blurred answers; this asks for samples that are as probable as the teacher's, and as various.

    Half of the samples are drawn in one evaluation. The other half are these with noise of a level of the ladder, drawn anew
    from there, as samplers do that take several evaluations. Each half has a D_own: one for both would push the better half
    to make up for what the other lacks. All levels σ count alike, by the distance of the answers.

    Arguments:
        levels: The noise levels σ.
        ladder: The levels at which the student is asked: the largest, from which it draws in one evaluation, and others, of
            which each is as probable as it is often named.
        scale: The standard deviation of the data.

    Raises:
        ValueError: If the ladder has not two levels, or one is not positive.

    References:
        Yin et al., 2024, One-step diffusion with distribution matching distillation, and Improved distribution matching
        distillation.

    Example:
        >>> from scorefield.denoisers import Gaussian
        >>> from scorefield.objectives import LogNormal
        >>> from scorefield.rng import Steps
        >>> normal = Gaussian(torch.zeros(1), torch.ones(1))
        >>> loss = DistributionMatching(LogNormal(0.5, 1.2), (40.0, 2.0))
        >>> student, own = loss(normal, (normal, normal), normal, 40 * torch.ones(3, 1), Steps(0))
        >>> student, own.shape
        (tensor([0., 0., 0., 0., 0., 0.]), torch.Size([6]))
    """

    levels: LevelDistribution
    ladder: tuple[float, ...]
    scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "ladder", tuple(map(float, self.ladder)))
        if len(self.ladder) < 2 or not min(self.ladder) > 0:
            raise ValueError(f"DistributionMatching needs two positive levels or more, got {self.ladder}")

    def __call__(
        self, student: Denoiser, own: Sequence[Denoiser], teacher: Denoiser, x: Tensor, rng: Rng
    ) -> tuple[Tensor, Tensor]:
        """The losses of the student and of the denoisers of its samples, each of shape `(2 B,)`.

        Arguments:
            student: The consistency function that learns, for the contexts of the states.
            own: The denoisers of its samples in one evaluation, and in several.
            teacher: The denoiser of the model.
            x: States at the largest level, `(B, *D)`.
            rng: Where levels and noise come from.
        """
        twice = torch.arange(2 * len(x), device=x.device) % len(x)
        drawn = torch.cat(self.drawn(student, x, rng.child("answers")))
        known, n = drawn.detach(), drawn[0].numel()
        u = [part.stratified(len(x), x.dtype, x.device) for part in (rng.child("first"), rng.child("second"))]
        level = expand(self.levels.draw(torch.cat(u)), known).clamp(max=self.ladder[0])
        noisy = known + level * rng.normal_like(known)
        found = torch.cat([each(*part) for each, *part in zip(own, noisy.chunk(2), level.chunk(2), strict=True)])
        with torch.no_grad():
            wanted = known - (found - teacher.samples(twice)(noisy, level))
        weight = 1 / level**2 + 1 / self.scale**2
        return sum_events((drawn - wanted) ** 2) / (2 * n), sum_events(weight * (found - known) ** 2) / n

    def drawn(self, student: Denoiser, x: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        """Samples in one evaluation, from states `(B, *D)` at the largest level, and as many that were drawn anew from them."""
        first = student(x, expand(x.new_full((len(x),), self.ladder[0]), x))
        others = torch.tensor(self.ladder[1:], dtype=x.dtype, device=x.device)
        place = (rng.uniform((len(x),), torch.float64, x.device) * len(others)).long()
        level = expand(others[place], x)
        return first, student(first.detach() + level * rng.normal_like(x), level)
