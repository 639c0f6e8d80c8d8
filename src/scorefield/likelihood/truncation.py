"""What the flow does not reach: levels below its first and above its last.

With the Gaussian of the data's moments taken out, log q_σ = log N_σ + h, the slope of the flow in the frame is a
multiple of ∇h: one more evaluation of the denoiser, with its divergence, tells of h at an end.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..denoisers import Denoiser
from ..gaussian_frame import GaussianFrame
from .probes import trace

__all__ = ["beyond", "prior_mismatch", "truncation"]


def beyond(frame: GaussianFrame, w: Tensor, v: Tensor, level: Tensor) -> Tensor:
    """∇h at `w`, where the slope of the flow is `v`, each of shape `(B, n)`, for a level of shape `()` or `(B,)`."""
    widths, column = frame.widths(level), level.reshape(-1, 1)
    return -v * widths**2 * frame.scale / (column * (column**2 + frame.scale**2))


def _gradient(frame: GaussianFrame, denoiser: Denoiser, w: Tensor, level: Tensor) -> Tensor:
    level = level.expand(len(w))
    return beyond(frame, w, frame.slope(denoiser, w, torch.atan(level / frame.scale)), level)


def prior_mismatch(
    frame: GaussianFrame, denoiser: Denoiser, w: Tensor, level: Tensor, z: Tensor | None, degree: int
) -> tuple[Tensor, Tensor]:
    """About log q less that of the Gaussian of the frame at a large level, and a number that it hardly exceeds: `(B,)`.

    The term of degree d in the Hermite polynomials of w is an eigenfunction, w·∇h - ∆h = d h. It falls as σ^-d: what is
    left at the end is of the lowest degree that the Gaussian does not have, 3 for one with all moments.
    """
    with torch.enable_grad():
        w = w.detach().requires_grad_()
        slope = _gradient(frame, denoiser, w, level)
        widths = frame.widths(level)
        laplacian = trace(slope, w, z, widths, 1 / widths)
    sum_of_terms = ((w * slope).sum(1) - laplacian.mean(1)).detach()
    return sum_of_terms / degree, sum_of_terms.abs() * (1.5 if degree == 1 else 0.5)


def _heat(frame: GaussianFrame, denoiser: Denoiser, u: Tensor, level: Tensor, z: Tensor | None) -> Tensor:
    """d log q/d(σ²) = ½ (∇·s + |s|²), of shape `(B, K)`: log-densities obey the equation of heat."""
    with torch.enable_grad():
        w = frame.into(u, level).detach().requires_grad_()
        slope = _gradient(frame, denoiser, w, level)
        widths = frame.widths(level)
        score = (slope - w) / widths
        bend = trace(slope, w, z, 1 / widths, 1 / widths) - (1 / widths**2).sum()
    return (bend + score.square().sum(1, keepdim=True)).detach() / 2


def truncation(
    frame: GaussianFrame, denoiser: Denoiser, u: Tensor, level: Tensor, z: Tensor | None
) -> tuple[Tensor, Tensor]:
    """log q_σ - log q_0 at `u` for a small level σ, of shape `(B, K)`, and its error `(B,)`.

    To second order in σ², from the rates at σ² and 2σ², both levels that the denoiser has learned: the rate at σ²/2
    times σ². The error is what the second one changed.
    """
    first, second = (_heat(frame, denoiser, u, level * factor, z) for factor in (1.0, math.sqrt(2)))
    correction = level**2 * (first - second) / 2
    return level**2 * first + correction, correction.mean(1).abs()
