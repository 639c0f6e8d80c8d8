"""Reverse steps of vectors with a measurement: Gaussian, with whole covariances, and with the ratio that corrects them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..tensors import expand
from .joint import FAR, JointMeasurement, Regression
from .solve import columns, positive

__all__ = ["GuidedStates", "guided_states"]

_LOG_TAU = math.log(2 * math.pi)
_JITTER = 1e-10  # of the largest variance
_LONGEST = 8.0  # the longest tilt of states of a network, in deviations of their noise: it has learned no others
_TILTS = 5  # at most
_NEAR = 0.5  # squared deviations that the last tilt leaves
_NODES = 8  # of the integral along a tilt


class GuidedStates(NamedTuple):
    """Gaussian distributions of the data given noisy states, before and after the measurement.

    Arguments:
        mean: E[x_0 | x], `(B, n)`.
        root: A lower root of Cov[x_0 | x], `(B, n, n)`.
        shift: E[x_0 | x, y] - E[x_0 | x], `(B, n)`.
        informed: A root of Cov[x_0 | x, y], `(B, n, n)`.
        log_volume: log det of it, `(B,)`.
        log_prob: log p(y | x), `(B,)`.
    """

    mean: Tensor
    root: Tensor
    shift: Tensor
    informed: Tensor
    log_volume: Tensor
    log_prob: Tensor

    def take(self, index: Tensor) -> GuidedStates:
        """Those of some states."""
        return GuidedStates(*(each[index] for each in self))

    @classmethod
    def joined(cls, parts: list[GuidedStates]) -> GuidedStates:
        """Those of several batches."""
        return parts[0] if len(parts) == 1 else cls(*(torch.cat(each) for each in zip(*parts)))

    def step(self, u: Tensor, kept: float, after: float, z: Tensor) -> tuple[Tensor, Tensor]:
        """A reverse step u' ~ N(κ u + (1 - κ) E[x_0 | x, y], …) and log p(u' | u) - log q(u' | u, y), of states `(B, n)`.

        The covariances are level'² (1 - κ) I + (1 - κ)² C with those of x_0, C, without and with the measurement: for Gaussian
        data and linear A the ratio is that of p(y | u') and p(y | u), for any length of the step.
        """
        noise = after**2 * (1 - kept) * torch.eye(u.shape[1], dtype=u.dtype, device=u.device)
        prior = _root(noise + (1 - kept) ** 2 * self.root @ self.root.mT)
        proposal = _root(noise + (1 - kept) ** 2 * self.informed @ self.informed.mT)
        away = (1 - kept) * self.shift + (proposal @ z[..., None])[..., 0]
        moved = kept * u + (1 - kept) * self.mean + away
        volume = (proposal.diagonal(dim1=1, dim2=2).log()).sum(1)
        return moved, _log_ratio(prior, away, volume, z)

    def data(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """x_0 ~ N(E[x_0 | x, y], Cov[x_0 | x, y]), and log N(x_0; E[x_0 | x], Cov[x_0 | x]) - log q(x_0)."""
        away = self.shift + (self.informed @ z[..., None])[..., 0]
        return self.mean + away, _log_ratio(self.root, away, self.log_volume, z)


def guided_states(joint: JointMeasurement, u: Tensor, level: Tensor) -> GuidedStates:
    """The Gaussian distributions of the data given states u = x / α of shape `(B, *D)` of vectors of n numbers.

    The Gaussian of the moments of x_0 given a state says little of its tails. Where y is outside of what the data make likely,
    states are therefore tilted to where it is expected.
    """
    mean, root = _moments(joint, u, level)
    regression = joint.regression(mean, root)
    plain = _conditioned(regression, root)
    found = GuidedStates(mean.flatten(1).double(), root, *plain[:3], plain.log_prob + regression.log_scale)
    if not joint.outside:
        return found
    far = plain.square > (math.sqrt(regression.residual.shape[1]) + FAR) ** 2
    if not bool(far.any()):
        return found
    index = far.nonzero()[:, 0]
    own = joint if joint.posteriors[0].contexts == 1 else joint.samples(index)
    one = regression._replace(residual=regression.residual[far], log_scale=regression.log_scale[far])
    tilted = _tilted(own, u[far], level, mean[far], one, plain.take(far))
    parts = [each.clone() for each in found[2:]]
    for whole, part in zip(parts, (tilted.shift, tilted.informed, tilted.log_volume, tilted.log_prob)):
        whole[index] = part
    return found._replace(shift=parts[0], informed=parts[1], log_volume=parts[2], log_prob=parts[3])


def _moments(joint: JointMeasurement, u: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """E[x_0 | x], `(B, *D)`, and a lower root of Cov[x_0 | x], `(B, n, n)`."""
    with torch.inference_mode(False), torch.enable_grad():
        state = joint.state(u, level)
        whole = columns(lambda v: state.covariance(v.reshape(u.shape)).flatten(1), u.flatten(1)).detach().double()
        return state.mean.detach(), _root(whole)


class _Conditioned(NamedTuple):
    """N(D, C) given a regression of which the residual is r.

    Arguments:
        shift: The mean less D, `(B, n)`.
        informed: A root of the covariance, `(B, n, n)`.
        log_volume: log det of it, `(B,)`.
        log_prob: log N(r; 0, S), S = I + G C Gᵀ, `(B,)`.
        square: rᵀ S⁻¹ r, `(B,)`.
        solved: S⁻¹ r, `(B, k)`.
        log_det: log det S / 2, `(B,)`.
    """

    shift: Tensor
    informed: Tensor
    log_volume: Tensor
    log_prob: Tensor
    square: Tensor
    solved: Tensor
    log_det: Tensor

    def take(self, which: Tensor) -> _Conditioned:
        """Those of some states."""
        return _Conditioned(*(each[which] for each in self))


def _conditioned(regression: Regression, root: Tensor) -> _Conditioned:
    shown, r = regression.matrix @ root, regression.residual
    eye = torch.eye(root.shape[1], dtype=root.dtype, device=root.device).expand_as(root)
    upper = torch.linalg.qr(torch.cat((eye, shown), 1), mode="r")[
        1
    ]  # I + shownᵀ shown, without squares of large numbers
    informed = torch.linalg.solve_triangular(upper, root, upper=True, left=False)
    small = torch.eye(r.shape[1], dtype=root.dtype, device=root.device)
    inner = torch.linalg.cholesky(small + shown @ shown.mT)
    white = torch.linalg.solve_triangular(inner, r[..., None], upper=False)
    solved = torch.linalg.solve_triangular(inner.mT, white, upper=True)
    log_det = upper.diagonal(dim1=1, dim2=2).abs().log().sum(1)
    square = white[..., 0].square().sum(1)
    log_prob = -(square + r.shape[1] * _LOG_TAU) / 2 - log_det
    volume = root.diagonal(dim1=1, dim2=2).log().sum(1) - log_det
    return _Conditioned(
        (root @ (shown.mT @ solved))[..., 0], informed, volume, log_prob, square, solved[..., 0], log_det
    )


def _tilted(
    joint: JointMeasurement, u: Tensor, level: Tensor, mean: Tensor, regression: Regression, plain: _Conditioned
) -> _Conditioned:
    """Shifts, roots, their volumes and log p(y | x), from moments of x_0 where y is expected.

    The distribution of x_0 given x, tilted by exp(τᵀ G x_0), is that given x + level² Gᵀ τ. Moments are those of the tilt at
    which r, the residual, equals τ (the saddle point), found by Newton's method; and with q = r - τ there,

        log p(y | x) = |τ|² / 2 - ∫ τᵀ r(s τ) ds + log N(q; 0, I + G C Gᵀ), s from 0 to 1,

    exact at any τ if x_0 given the tilted state is Gaussian.
    """
    g, tilt = regression.matrix, torch.zeros_like(regression.residual)
    step, best, chosen, where = plain, plain, tilt, mean
    for i in range(_TILTS):
        tilt = tilt + step.solved
        tilt = _shortened(tilt, g, level) if joint.learned else tilt
        there, root = _moments(joint, u + level**2 * _pulled(tilt, g).reshape(u.shape).to(u), level)
        residual = _moved(regression, there - mean)
        step = _conditioned(regression._replace(residual=residual - tilt), root)
        better = (step.square < best.square) | (i == 0)
        best = _Conditioned(*(torch.where(expand(better, a), a, b) for a, b in zip(step, best)))
        chosen, where = torch.where(better[:, None], tilt, chosen), torch.where(expand(better, mean), there, where)
        if bool((best.square < _NEAR).all()):
            break
    log_prob = best.log_prob + regression.log_scale + chosen.square().sum(1) / 2
    along = level**2 * _pulled(chosen, g).reshape(u.shape).to(u)
    for s, w in zip(*(each.tolist() for each in np.polynomial.legendre.leggauss(_NODES))):
        residual = _moved(regression, joint.mean(u + (1 + s) / 2 * along, level) - mean)
        log_prob = log_prob - w / 2 * (chosen * residual).sum(1)
    return best._replace(shift=best.shift + (where - mean).flatten(1).double(), log_prob=log_prob)


def _pulled(tilt: Tensor, g: Tensor) -> Tensor:
    """Gᵀ τ, `(B, n)`."""
    return (g.mT @ tilt[..., None])[..., 0]


def _moved(regression: Regression, shift: Tensor) -> Tensor:
    """The residual where the mean has moved."""
    return regression.residual - (regression.matrix @ shift.flatten(1).double()[..., None])[..., 0]


def _shortened(tilt: Tensor, g: Tensor, level: Tensor) -> Tensor:
    """A tilt, at most so long as networks have learned."""
    length = level * _pulled(tilt, g).norm(dim=1, keepdim=True)
    return tilt * (_LONGEST / length.clamp_min(_LONGEST))  # type: ignore[no-any-return]


def _root(w: Tensor) -> Tensor:
    """Lower roots of symmetric matrices `(B, n, n)`, whose negative part is left out."""
    scale = w.diagonal(dim1=1, dim2=2).amax(1).clamp_min(1e-30)[:, None, None]
    eye = torch.eye(w.shape[1], dtype=w.dtype, device=w.device)
    found, failed = torch.linalg.cholesky_ex(w + _JITTER * scale * eye)
    if bool((failed > 0).any()):
        bad = failed > 0
        found[bad] = torch.linalg.cholesky(positive(w[bad]) + 10 * _JITTER * scale[bad] * eye)
    return found  # type: ignore[no-any-return]


def _log_ratio(prior: Tensor, away: Tensor, log_volume: Tensor, z: Tensor) -> Tensor:
    """log N(away; 0, prior priorᵀ) - log N(z; 0, I) + the volume of the proposal."""
    white = torch.linalg.solve_triangular(prior, away[..., None], upper=False)[..., 0]
    ratio: Tensor = (z.square() - white.square()).sum(1) / 2 + log_volume
    return ratio - prior.diagonal(dim1=1, dim2=2).log().sum(1)
