"""(I + W)⁻¹ r for each sample of a batch by itself, W being symmetric and, but for errors of a network, not negative."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Apply", "columns", "conjugate_gradients", "direct", "positive"]

Apply = Callable[[Tensor], Tensor]
"""v ↦ W v, `(B, m)` to `(B, m)`, each sample by itself."""


def columns(apply: Apply, like: Tensor) -> Tensor:
    """W as a matrix `(B, m, m)`, by one product for each of its columns."""
    unit = torch.eye(like.shape[1], dtype=like.dtype, device=like.device)
    found = torch.stack([apply(e.expand(like.shape)) for e in unit], 2)
    return (found + found.mT) / 2


def positive(w: Tensor) -> Tensor:
    """Symmetric matrices `(B, m, m)` rid of what is negative in them; gradients pass as if nothing had happened."""
    values, vectors = torch.linalg.eigh(w.detach())
    if not bool((values < 0).any()):
        return w
    return w + ((vectors * values.clamp_min(0)[:, None]) @ vectors.mT - w).detach()


def direct(w: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """(I + W)⁻¹ r, `(B, m)`, and log det(I + W), `(B,)`, for matrices `(B, m, m)`."""
    total = positive(w) + torch.eye(r.shape[1], dtype=r.dtype, device=r.device)
    return torch.linalg.solve(total, r[..., None])[..., 0], torch.linalg.slogdet(total)[1]


def conjugate_gradients(apply: Apply, r: Tensor, iterations: int, tolerance: float) -> Tensor:
    """(I + W)⁻¹ r, of shape `(B, m)`, by conjugate gradients.

    Each sample takes steps of its own, and stops on its own: when its residual is below `tolerance` of r, or where W turns
    out to be no positive matrix. What it gives is the best of its iterates, so that no sample ends farther than it began.
    """
    v, rest, ahead = torch.zeros_like(r), r, r
    square = r.square().sum(1, keepdim=True)
    goal, best, least = tolerance**2 * square, v, square
    active = square > 0
    for _ in range(iterations):
        if not bool(active.any()):
            break
        turned = ahead + apply(ahead)
        curvature = (ahead * turned).sum(1, keepdim=True)
        active = active & (curvature > 0)
        step = torch.where(active, square / torch.where(active, curvature, 1.0), 0.0)
        v, rest = v + step * ahead, rest - step * turned
        after = torch.where(active, rest.square().sum(1, keepdim=True), square)
        better = after < least
        best, least = torch.where(better, v, best), torch.where(better, after, least)
        ahead = torch.where(active, rest + after / torch.where(active, square, 1.0) * ahead, ahead)
        square, active = after, active & (after > goal)
    return best
