"""A lower bound on the log-density of the SDE model (Song et al., 2021, maximum likelihood training, Theorem 3).

The SDE model is the distribution that the reverse SDE with the learned score draws from the prior. Its density is not that
of the probability flow, and cannot be computed. In the variance v = σ² of u = x/α, whatever the process,

    log p(x) ≥ E[log π(u_T)] - ½ ∫ E[2∇·s + |s|²] dv,    u_v = x + √(v - v_0) z,

with equality for the exact score. Three things keep the variance of this estimate low. The Gaussian with the data's
moments, for which the right-hand side equals its log-density, is subtracted (r = s - s_N). ∇·r is E[r·z]/√(v - v_0)
over antithetic pairs ±z, whose leading terms cancel. The variances are stratified, uniform in log(v/(v + scale²)), with
two draws in each stratum.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion import Diffusion
from ..gaussian_frame import GaussianFrame
from ..rng import Samples
from ..tensors import expand, sum_events

__all__ = ["Bound", "bound"]


@dataclass(frozen=True)
class Bound:
    """Lower bounds in nats, each of shape `(B,)`, in float64.

    Arguments:
        value: The bounds: unbiased estimates, whatever the number of draws.
        standard_error: The standard error of each over its draws.
        evaluations: The number of evaluations of the denoiser (int64).
    """

    value: Tensor
    standard_error: Tensor
    evaluations: Tensor


def _integrand(diffusion: Diffusion, frame: GaussianFrame, x: Tensor, first: Tensor, v: Tensor, z: Tensor) -> Tensor:
    """|r|² + 2 r·(s_N + z/√(v - v_0)) for variances of shape `(B,)`, of shape `(B,)`."""
    variance, added = expand(v, x), expand((v - first**2).sqrt(), x)
    u, level = x + added * z, variance.sqrt()
    gaussian_mean = frame.gaussian(u, level)
    r = (diffusion.denoiser(u, level).to(u.dtype) - gaussian_mean) / variance
    return sum_events(r * (r + 2 * (gaussian_mean - u) / variance + 2 * z / added))


def _prior_correction(diffusion: Diffusion, frame: GaussianFrame, u: Tensor, alpha: Tensor, last: Tensor) -> Tensor:
    """log π - log N at the largest level; 0 if the prior has the data's moments."""
    if diffusion.moments is not None:
        return u.new_zeros(len(u))
    return diffusion.prior_log_prob(alpha * u) + u[0].numel() * torch.log(alpha) - frame.gaussian.log_prob(u, last)


def bound(diffusion: Diffusion, x: Tensor, rng: Samples, draws: int = 64) -> Bound:
    """A lower bound on the log-density of the SDE model at the smallest level, in nats (ELBO).

    Arguments:
        diffusion: A diffusion model.
        x: Data, of shape `(B, *D)`.
        rng: The random source of these samples.
        draws: The number of noise levels drawn for each sample, even; each takes two evaluations of the denoiser.

    Returns:
        The bounds, their standard errors and the numbers of evaluations, each of shape `(B,)`.

    Raises:
        ValueError: If `draws` is odd or below 4, or `x` does not have the shape of the moments.

    Example:
        >>> from scorefield.denoisers import Gaussian
        >>> from scorefield.processes import VE
        >>> exact = Gaussian(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=torch.float64)
        >>> bound(Diffusion(VE(0.001, 50.0), exact, exact), x, Samples(0, count=2)).value
        tensor([-1.8379, -4.3379], dtype=torch.float64)
    """
    if draws < 4 or draws % 2:
        raise ValueError(f"the bound needs an even number of draws, at least 4, got draws={draws}")
    if diffusion.moments is not None and diffusion.moments.mean.shape != x.shape[1:]:
        shapes = f"{tuple(x.shape[1:])} and {tuple(diffusion.moments.mean.shape)}"
        raise ValueError(f"the data and the moments of the diffusion must have the same shape, got {shapes}")
    x = x.detach().double()
    ends = torch.arange(2, dtype=torch.float64, device=x.device)
    alpha, (first, last) = diffusion.process.alpha(ends[1]), diffusion.process.level(ends)
    frame, strata = GaussianFrame.of(diffusion.moments, x, first), draws // 2
    square = frame.scale**2
    low, high = (float(-torch.log1p(square / level**2)) for level in (first, last))  # log(v/(v + scale²))
    position = rng.child("levels").uniform((len(x), 2, strata), torch.float64, x.device)
    values = x.new_zeros(len(x), 2, strata)
    with torch.no_grad():
        for k in range(strata):
            for j in range(2):
                log_ratio = low + (high - low) * (k + position[:, j, k].clamp_min(1e-9)) / strata
                v = square / torch.expm1(-log_ratio)
                weight = (high - low) * v * (v + square) / square
                z = rng.child(f"noise {2 * k + j}").normal(tuple(x.shape), torch.float64, x.device)
                pair = [_integrand(diffusion, frame, x, first, v, sign * z) for sign in (1, -1)]
                noise = (last**2 - first**2).sqrt() * z
                prior = [_prior_correction(diffusion, frame, x + sign * noise, alpha, last) for sign in (1, -1)]
                values[:, j, k] = (prior[0] + prior[1]) / 2 - weight * (pair[0] + pair[1]) / 4
    error = (values[:, 0] - values[:, 1]).square().sum(1).sqrt() / (2 * strata)
    evaluations = torch.full((len(x),), 2 * draws, dtype=torch.int64, device=x.device)
    return Bound(frame.gaussian.log_prob(x, first) + values.mean((1, 2)), error, evaluations)
