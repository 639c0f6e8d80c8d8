"""All measurements of the same data as one: linear, or the best linear regression on the data given a noisy state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..denoisers import Gaussian
from .measured import StandardizedMeasurement
from .methods import NoisyState
from .posterior import Posterior

__all__ = ["FAR", "JointMeasurement", "Regression", "distance"]

FAR = 0.5
"""m numbers are far from what is likely where √(rᵀ S⁻¹ r) > √m + FAR."""

_LOG_TAU = math.log(2 * math.pi)
_POINTS = 16  # pairs of points at which a function is measured, or two for each number, if these are more


class Regression(NamedTuple):
    """y given x_0, about a mean D, as r = G (x_0 - D) + noise of unit variance.

    Arguments:
        matrix: G, `(B, k, n)` or `(1, k, n)`, with k <= n.
        residual: r, `(B, k)`.
        log_scale: What log N(r; …) lacks to be log p(y): the volume of the noise, and what G does not see, `(B,)`.
    """

    matrix: Tensor
    residual: Tensor
    log_scale: Tensor

    def reduced(self) -> Regression:
        """The same with at most n numbers: those of y on which the likelihood of x_0 depends."""
        g, r = self.matrix, self.residual
        if g.shape[1] <= g.shape[2]:
            return self
        q, triangle = torch.linalg.qr(g)
        kept = (q.mT @ r[..., None])[..., 0]
        left = r - (q @ kept[..., None])[..., 0]
        lost = g.shape[1] - g.shape[2]
        scale = self.log_scale - (left.square().sum(1) + lost * _LOG_TAU) / 2
        return Regression(triangle, kept, scale)


@dataclass(frozen=True, eq=False)
class JointMeasurement:
    """All measurements of the same data, as posteriors hold them one around another.

    Arguments:
        posteriors: The posteriors, each with one measurement, the prior of the last being that of the data.
    """

    posteriors: tuple[Posterior, ...]

    @classmethod
    def of(cls, posterior: Posterior) -> JointMeasurement:
        """Those of a posterior."""
        found = [posterior]
        while (inner := Posterior.of(found[-1].prior)) is not None:
            found.append(inner)
        return cls(tuple(found))

    @property
    def measured(self) -> tuple[StandardizedMeasurement, ...]:
        """The measurements."""
        return tuple(each.measured for each in self.posteriors)

    @property
    def moments(self) -> Gaussian | None:
        """The moments of the data, if they are known."""
        return self.posteriors[-1].moments

    @property
    def linear_gaussian(self) -> bool:
        """Whether all operators are linear, and all noise Gaussian."""
        return all(each.linear_gaussian for each in self.measured)

    @property
    def gaussian(self) -> bool:
        """Whether the posterior is Gaussian: every guided step is then exact, and all weights are equal."""
        return self.posteriors[-1].prior.gaussian and self.linear_gaussian

    @property
    def learned(self) -> bool:
        """Whether the denoiser of the data has parameters, and so knows only such states as it has learned."""
        return any(True for _ in self.posteriors[-1].prior.parameters())

    @cached_property
    def outside(self) -> bool:
        """Whether a linear measurement is outside of what the moments of the data make likely."""
        return self.moments is not None and not self.gaussian and distance(self.measured, self.moments) > FAR

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(y | x) of all measurements, `(B, *D)` to `(B,)`."""
        return torch.stack([each.log_prob(x) for each in self.measured]).sum(0)

    def state(self, x: Tensor, level: Tensor) -> NoisyState:
        """Noisy states of the prior."""
        return self.posteriors[-1].state(x, level)

    def mean(self, x: Tensor, level: Tensor) -> Tensor:
        """E[x_0 | x], `(B, *D)`."""
        with torch.no_grad():
            return self.posteriors[-1].prior(x, level)  # type: ignore[no-any-return]

    def samples(self, index: Tensor) -> JointMeasurement:
        """Those of some samples of a batch, by their indices."""
        return JointMeasurement.of(self.posteriors[0].samples(index))  # type: ignore[arg-type]  # a posterior again

    def regression(self, mean: Tensor, root: Tensor) -> Regression:
        """The regression of y on x_0 for x_0 ~ N(mean, root rootᵀ), `(B, *D)` and `(B, n, n)`."""
        return _joined(self.measured, mean, root)


def distance(measured: Sequence[StandardizedMeasurement], moments: Gaussian) -> float:
    """How far linear measurements lie from what Gaussian data make likely: √(rᵀ S⁻¹ r) - √m for m numbers; 0 for others.

    Arguments:
        measured: Measurements of the same data, which are vectors.
        moments: The moments of the data.
    """
    if not all(each.linear_gaussian for each in measured):
        return 0.0
    mean, covariance = moments.mean[None].double(), moments.covariance.double()
    n = mean[0].numel()
    covariance = torch.diag(covariance.flatten()) if moments.diagonal else covariance.reshape(n, n)
    eye = torch.eye(n).to(covariance)
    found = _joined(measured, mean, torch.linalg.cholesky(covariance + 1e-10 * covariance.diagonal().max() * eye)[None])
    total = found.matrix @ covariance @ found.matrix.mT + torch.eye(found.matrix.shape[1]).to(covariance)
    square = (found.residual * torch.linalg.solve(total, found.residual[..., None])[..., 0]).sum(1)
    return float(square.max().sqrt()) - math.sqrt(total.shape[1])


def _joined(measured: Sequence[StandardizedMeasurement], mean: Tensor, root: Tensor) -> Regression:
    found = [_regression(each, mean.double(), root) for each in measured]
    count = max(len(each.matrix) for each in found)
    whole = Regression(
        torch.cat([each.matrix.expand(count, -1, -1) for each in found], 1),
        torch.cat([each.residual for each in found], 1),
        torch.stack([each.log_scale for each in found]).sum(0),
    )
    return whole.reduced()


def _plain(measured: StandardizedMeasurement, mean: Tensor) -> tuple[Tensor, Tensor]:
    """The residual in units of the noise `(B, m)`, and the volume of the noise `(B,)`, without derivatives."""
    noise, a = measured.measurement.noise, measured.ideal(mean)
    centre = noise.mean(a)
    volume = torch.as_tensor(noise.log_volume(centre)).expand(len(mean))
    return noise.whiten(measured.numbers(a) - centre, centre), volume


def _regression(measured: StandardizedMeasurement, mean: Tensor, root: Tensor) -> Regression:
    operator = measured.measurement.operator
    if measured.linear_gaussian:
        with torch.inference_mode(False), torch.enable_grad():
            same = mean[:1].detach().repeat(measured.measurement.y.numel(), *(1,) * (mean.ndim - 1))
            one = replace(measured, y=None).linearize(same.requires_grad_())
            unit = torch.eye(one.mean.shape[1], dtype=one.mean.dtype, device=mean.device)
            matrix = one.pull(unit).flatten(1)[None]
        with torch.no_grad():
            residual, volume = _plain(measured, mean)
        return Regression(matrix, residual, -volume)
    if measured.linear or operator.costly:
        return _tangent(measured, mean)
    return _statistical(measured, mean, root)


def _tangent(measured: StandardizedMeasurement, mean: Tensor) -> Regression:
    """The derivative at the mean, by a backward pass for each measured number."""
    with torch.inference_mode(False), torch.enable_grad():
        linear = measured.linearize(mean.detach().clone().requires_grad_())
        measured.check_finite(linear.mean, linear.u)
        residual = linear.residual
        units = torch.eye(residual.shape[1], dtype=residual.dtype, device=residual.device)
        matrix = torch.stack([linear.pull(e.expand(residual.shape)).flatten(1) for e in units], 1)
    volume = measured.measurement.noise.log_volume(linear.mean.detach())
    return Regression(matrix, residual, -torch.as_tensor(volume).expand(len(mean)))


def _statistical(measured: StandardizedMeasurement, mean: Tensor, root: Tensor) -> Regression:
    """The best linear regression over points of N(mean, root rootᵀ); what it leaves out adds to the noise.

    A derivative at the mean may be 0 where A takes many values, as that of x² between x and -x.
    """
    points = _normal_points(root.shape[1]).to(root)
    count, noise = len(points), measured.measurement.noise
    away = (root @ points.T).mT.reshape(len(mean), count, *mean.shape[1:])
    with torch.no_grad():
        x = (mean[:, None] + away).flatten(0, 1)
        a = measured.ideal(x)
        measured.check_finite(a, x)
        y = measured.numbers(a).expand(len(a) if measured.y is None else len(mean), -1)
        y = y if measured.y is None else y.repeat_interleave(count, 0)
        means = noise.mean(a)
        centre = means.reshape(-1, count, means.shape[1]).mean(1)
        r = noise.whiten(y - means, centre.repeat_interleave(count, 0)).double()
        r = r.reshape(len(mean), count, -1)
    middle = r.mean(1)
    along = -(r.mT @ points) / count
    left = r - middle[:, None] + points @ along.mT
    scatter = left.mT @ left / count
    scale = torch.linalg.cholesky(scatter + torch.eye(scatter.shape[1], dtype=scatter.dtype, device=scatter.device))
    residual = torch.linalg.solve_triangular(scale, middle[..., None], upper=False)[..., 0]
    matrix = torch.linalg.solve_triangular(scale, along, upper=False)
    matrix = torch.linalg.solve_triangular(root.mT, matrix.mT, upper=True).mT
    volume = torch.as_tensor(noise.log_volume(centre)).expand(len(mean)) + scale.diagonal(dim1=1, dim2=2).log().sum(1)
    return Regression(matrix, residual, -volume)


@lru_cache(maxsize=32)
def _normal_points(n: int) -> Tensor:
    """Points `(K, n)` in pairs z and -z that have the mean 0 and the covariance I exactly."""
    pairs = max(_POINTS, 2 * n)
    engine = torch.quasirandom.SobolEngine(n, scramble=True, seed=0)  # type: ignore[no-untyped-call]
    u = engine.draw(pairs, dtype=torch.float64)
    z = torch.special.ndtri(u.clamp(1e-6, 1 - 1e-6))
    z = torch.cat((z, -z))
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(z.T @ z / len(z)), z.T, upper=False)
    return white.T.contiguous()  # type: ignore[no-any-return]
