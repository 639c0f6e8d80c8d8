"""Held-out data with noise, and what a denoiser returns for them: computed once, used by all checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoisers import Denoiser
from ..derivatives import divergence
from ..progress import report
from ..rng import Samples
from ..tensors import sum_events

__all__ = ["EXACT", "NoisyStates", "noisy_states", "score_of"]

EXACT = 64  # up to this many coordinates derivatives are exact
_PROBES = 4
_BATCH = 2**16  # numbers at once


@dataclass(frozen=True)
class NoisyStates:
    """What a denoiser says of data with noise of one level.

    Arguments:
        level: The level.
        x0: The data, of shape `(N, *D)`.
        x: The data with noise.
        mean: D(x, level).
        spread: ∇·D, of shape `(N,)`: exact, or by random signs.
    """

    level: float
    x0: Tensor
    x: Tensor
    mean: Tensor
    spread: Tensor

    @property
    def score(self) -> Tensor:
        """The score, of shape `(N, *D)`."""
        return (self.mean - self.x) / self.level**2

    @property
    def divergence(self) -> Tensor:
        """∇·s, of shape `(N,)`."""
        return (self.spread - self.x[0].numel()) / self.level**2

    @property
    def loss(self) -> Tensor:
        """(1/σ² + 1) ‖D - x_0‖² / n, of shape `(N,)`: the loss of training, in standard units."""
        return (self.level**-2 + 1) * sum_events((self.mean - self.x0) ** 2) / self.x[0].numel()


def score_of(denoiser: Denoiser, x: Tensor, level: Tensor | float) -> Tensor:
    """∇ log p_σ at `x`."""
    level = torch.as_tensor(level, dtype=x.dtype, device=x.device)
    result: Tensor = (denoiser(x, level) - x) / level**2
    return result


@torch.no_grad()
def noisy_states(
    denoiser: Denoiser, x0: Tensor, levels: Sequence[float], seed: int, spreads: bool = True
) -> list[NoisyStates]:
    """The states of data at each level, with noise fixed by `seed`: two denoisers meet the same.

    `spreads` says whether divergences are needed."""
    found, n = [], x0[0].numel()
    for i, level in enumerate(levels):
        report(i / len(levels))
        rng = Samples(seed, 0, len(x0), f"level {i}")
        x, sigma = x0 + level * rng.normal_like(x0), torch.tensor(level, dtype=x0.dtype, device=x0.device)
        probes = None
        if n > EXACT:
            u = rng.child("probes").uniform((len(x), _PROBES, *x.shape[1:]), torch.float32)
            probes = torch.where(u < 0.5, -1.0, 1.0).to(x)
        means, totals = [], []
        for start in range(0, len(x), max(1, _BATCH // n)):
            rows = slice(start, start + max(1, _BATCH // n))
            if spreads:
                one = divergence(lambda x, s=sigma: denoiser(x, s), x[rows], None if probes is None else probes[rows])  # type: ignore[misc]
                means.append(one.value)
                totals.append(one.divergence if probes is None else one.divergence.mean(1))
            else:
                means.append(denoiser(x[rows], sigma))
                totals.append(x.new_full(x[rows].shape[:1], torch.nan))
        found.append(NoisyStates(level, x0, x, torch.cat(means), torch.cat(totals)))
    return found
