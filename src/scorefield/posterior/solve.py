"""(I + W)⁻¹ r for each sample of a batch, W being symmetric and, up to errors of a network, not negative."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Apply", "columns", "conjugate_gradients", "direct", "krylov_root", "positive", "root", "solved"]

Apply = Callable[[Tensor], Tensor]
"""v ↦ W v, `(B, m)` to `(B, m)`, separately for each sample."""


def columns(apply: Apply, like: Tensor) -> Tensor:
    """W as a matrix `(B, m, m)`, by one product for each of its columns."""
    unit = torch.eye(like.shape[1], dtype=like.dtype, device=like.device)
    found = torch.stack([apply(e.expand(like.shape)) for e in unit], 2)
    return (found + found.mT) / 2


def positive(w: Tensor) -> Tensor:
    """Symmetric matrices `(B, m, m)` without their negative part; gradients pass as through the identity."""
    values, vectors = torch.linalg.eigh(w.detach())
    if not bool((values < 0).any()):
        return w
    return w + ((vectors * values.clamp_min(0)[:, None]) @ vectors.mT - w).detach()  # type: ignore[no-any-return]


def direct(w: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """(I + W)⁻¹ r, `(B, m)`, and log det(I + W), `(B,)`, for matrices `(B, m, m)`."""
    total = positive(w) + torch.eye(r.shape[1], dtype=r.dtype, device=r.device)
    return torch.linalg.solve(total, r[..., None])[..., 0], torch.linalg.slogdet(total)[1]


def root(w: Tensor) -> Tensor:
    """Symmetric roots of the positive part of symmetric matrices `(B, m, m)`."""
    values, vectors = torch.linalg.eigh(w)
    return (vectors * values.clamp_min(0).sqrt()[:, None]) @ vectors.mT  # type: ignore[no-any-return]


def solved(apply: Apply, r: Tensor, iterations: int, tolerance: float) -> Tensor:
    """(I + W)⁻¹ r, `(B, m)`: exact for at most as many numbers as there are iterations, as conjugate gradients would be."""
    if r.shape[1] <= iterations:
        return direct(columns(apply, r), r)[0]
    return conjugate_gradients(apply, r, iterations, tolerance)


def conjugate_gradients(apply: Apply, r: Tensor, iterations: int, tolerance: float) -> Tensor:
    """(I + W)⁻¹ r, of shape `(B, m)`, by conjugate gradients.

    Each sample takes its own steps and stops by itself: when its residual is below `tolerance` of r, or where W proves not
    to be positive. The result is the best iterate, so that no residual ends larger than it began.
    """
    v, residual, direction = torch.zeros_like(r), r, r
    square = r.square().sum(1, keepdim=True)
    goal, best, least = tolerance**2 * square, v, square
    active = square > 0
    for _ in range(iterations):
        if not bool(active.any()):
            break
        product = direction + apply(direction)
        curvature = (direction * product).sum(1, keepdim=True)
        active = active & (curvature > 0)
        step = torch.where(active, square / torch.where(active, curvature, 1.0), 0.0)
        v, residual = v + step * direction, residual - step * product
        after = torch.where(active, residual.square().sum(1, keepdim=True), square)
        better = after < least
        best, least = torch.where(better, v, best), torch.where(better, after, least)
        direction = torch.where(active, residual + after / torch.where(active, square, 1.0) * direction, direction)
        square, active = after, active & (after > goal)
    return best


def krylov_root(apply: Apply, z: Tensor, count: int) -> Tensor:
    """√W z, of shape `(B, m)`, by `count` products: in the space of z, W z, W² z, … (Lanczos).

    For standard normal z it is a draw from N(0, W), as far as that space allows.
    """
    length = z.norm(dim=1, keepdim=True).clamp_min(1e-30)
    basis, diagonal, off_diagonal = [z / length], list[Tensor](), list[Tensor]()
    for _ in range(min(count, z.shape[1])):
        product = apply(basis[-1])
        diagonal.append((product * basis[-1]).sum(1))
        for _ in range(2):  # the second time against rounding
            known = torch.stack(basis, 2)
            product = product - (known @ (known.mT @ product[..., None]))[..., 0]
        norm = product.norm(dim=1, keepdim=True)
        off_diagonal.append(norm[:, 0])
        basis.append(product / norm.clamp_min(1e-30))
    whole = torch.diag_embed(torch.stack(diagonal, 1))
    if len(diagonal) > 1:
        off = torch.diag_embed(torch.stack(off_diagonal[:-1], 1), 1)
        whole = whole + off + off.mT
    return length * (torch.stack(basis[:-1], 2) @ root(whole)[:, :, :1])[..., 0]  # type: ignore[no-any-return]
