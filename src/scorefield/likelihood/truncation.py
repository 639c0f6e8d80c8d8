"""Corrections at both ends of the probability flow: levels below its first and above its last.

Write log q_σ = log N_σ + h, with N_σ the Gaussian that has the moments of data plus noise. In the coordinates of
`GaussianFrame` the slope of the flow is a multiple of ∇h, so one more evaluation of the denoiser, with its divergence,
gives h at either end.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..denoisers import Denoiser
from ..gaussian_frame import GaussianFrame
from .probes import trace

__all__ = ["prior_mismatch", "residual_score", "truncation"]


def residual_score(frame: GaussianFrame, w: Tensor, slope: Tensor, level: Tensor) -> Tensor:
    """∇h at `w` for the slope dw/dφ of the flow there, each of shape `(B, n)`, at a level of shape `()` or `(B,)`."""
    widths, column = frame.widths(level), level.reshape(-1, 1)
    return -slope * widths**2 * frame.scale / (column * (column**2 + frame.scale**2))


def _residual_score_at(frame: GaussianFrame, denoiser: Denoiser, w: Tensor, level: Tensor) -> Tensor:
    level = level.expand(len(w))
    return residual_score(frame, w, frame.slope(denoiser, w, torch.atan(level / frame.scale)), level)


def prior_mismatch(
    frame: GaussianFrame, denoiser: Denoiser, w: Tensor, level: Tensor, z: Tensor | None, degree: int
) -> tuple[Tensor, Tensor]:
    """An estimate of h = log q - log N at a large level, and a bound that is rarely exceeded: `(B,)` each.

    Each term of degree d in the Hermite polynomials of w is an eigenfunction, w·∇h - ∆h = d h, and falls as σ^-d. What
    is left at the largest level is the lowest degree that the Gaussian does not match: 3 if it has all moments.
    """
    with torch.enable_grad():
        w = w.detach().requires_grad_()
        gradient = _residual_score_at(frame, denoiser, w, level)
        widths = frame.widths(level)
        laplacian = trace(gradient, w, z, widths, 1 / widths)
    sum_of_terms = ((w * gradient).sum(1) - laplacian.mean(1)).detach()
    return sum_of_terms / degree, sum_of_terms.abs() * (1.5 if degree == 1 else 0.5)


def _variance_derivative(
    frame: GaussianFrame, denoiser: Denoiser, u: Tensor, level: Tensor, z: Tensor | None
) -> Tensor:
    """d log q/d(σ²) = ½ (∇·s + |s|²), of shape `(B, K)`: the heat equation for a log-density."""
    with torch.enable_grad():
        w = frame.into(u, level).detach().requires_grad_()
        gradient = _residual_score_at(frame, denoiser, w, level)
        widths = frame.widths(level)
        score = (gradient - w) / widths
        divergence = trace(gradient, w, z, 1 / widths, 1 / widths) - (1 / widths**2).sum()
    return (divergence + score.square().sum(1, keepdim=True)).detach() / 2


def truncation(
    frame: GaussianFrame, denoiser: Denoiser, u: Tensor, level: Tensor, z: Tensor | None
) -> tuple[Tensor, Tensor]:
    """log q_σ - log q_0 at `u` for a small level σ, of shape `(B, K)`, and its error `(B,)`.

    To second order in σ²: the derivatives at σ² and 2σ², both of which the denoiser has learned, give the one at σ²/2,
    which is multiplied by σ². The error is the size of the second-order term.
    """
    first, second = (_variance_derivative(frame, denoiser, u, level * factor, z) for factor in (1.0, math.sqrt(2)))
    correction = level**2 * (first - second) / 2
    return level**2 * first + correction, correction.mean(1).abs()
