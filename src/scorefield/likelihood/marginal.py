"""Log-densities of some features of vectors, the others integrated out.

One or two others: by adaptive quadrature, with an estimate of its error. More: by importance sampling, with its
standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import Schema
from ..denoisers import Gaussian
from ..rng import Samples
from .base import LogProb

__all__ = ["marginal", "positions", "values_of"]

Density = Callable[[Tensor], LogProb]

_REACH = 5.0  # of the quadrature: to sinh 5 = 74 standard deviations on both sides
_PANELS, _NODES = {1: 16, 2: 8}, {1: 8, 2: 5}  # along each axis: panels to begin with, and nodes in each
_EMPTY = 1e-6  # a panel with so little of the integral, in tolerances, is not looked at again
_DEPTH = 10  # how often panels are halved at most
_MEANS = ("solver_error", "end_error", "truncation")


@dataclass(frozen=True)
class _Panels:
    """Boxes in the coordinates t, with x = m + s sinh t, each for a row of the data."""

    row: Tensor  # (P,)
    low: Tensor  # (P, d)
    width: Tensor  # (P, d)

    @classmethod
    def first(cls, rows: int, dim: int) -> _Panels:
        edges = torch.linspace(-_REACH, _REACH, _PANELS[dim] + 1, dtype=torch.float64)[:-1]
        low = torch.cartesian_prod(*[edges] * dim).reshape(-1, dim)
        width = torch.full_like(low, 2 * _REACH / _PANELS[dim])
        row = torch.arange(rows).repeat_interleave(len(low))
        return cls(row, low.repeat(rows, 1), width.repeat(rows, 1))

    def halves(self) -> _Panels:
        """Each cut in two along every axis: the parts of a box are beside each other."""
        dim = self.low.shape[1]
        corner = torch.cartesian_prod(*[torch.tensor([0.0, 0.5], dtype=torch.float64)] * dim).reshape(-1, dim)
        low = (self.low[:, None] + corner * self.width[:, None]).reshape(-1, dim)
        return _Panels(self.row.repeat_interleave(len(corner)), low, (self.width / 2).repeat_interleave(len(corner), 0))

    def nodes(self) -> tuple[Tensor, Tensor]:
        """Gauss-Legendre nodes t `(P, n, d)` and their log-weights `(P, n)`."""
        dim = self.low.shape[1]
        node, weight = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(_NODES[dim]))
        t = torch.cartesian_prod(*[(node + 1) / 2] * dim).reshape(-1, dim)
        log_weight = torch.cartesian_prod(*[(weight / 2).log()] * dim).reshape(-1, dim).sum(1)
        return self.low[:, None] + t * self.width[:, None], log_weight + self.width.log().sum(1)[:, None]

    def at(self, mask: Tensor) -> _Panels:
        return _Panels(self.row[mask], self.low[mask], self.width[mask])


@dataclass(frozen=True)
class _Part:
    """The integral over each panel, less exp of `shift` a row, and over it the errors and the cost of the density."""

    total: Tensor  # (P,)
    means: Tensor  # (P, 3): the integrals of the density times its solver error, end error and truncation
    spent: Tensor  # (P,)

    def at(self, mask: Tensor) -> _Part:
        return _Part(*(getattr(self, f.name)[mask] for f in fields(self)))

    def grouped(self, size: int) -> _Part:
        """The sums over so many neighbours."""
        return _Part(*(getattr(self, f.name).unflatten(0, (-1, size)).sum(1) for f in fields(self)))


@dataclass(frozen=True)
class _Integral:
    """What is integrated: where features stand, those that are kept, and the scales of the others."""

    density: Density
    kept: Tensor  # (B, k)
    keep: list[int]
    other: list[int]
    mean: Tensor
    scale: Tensor

    def whole(self, rows: Tensor, y: Tensor) -> Tensor:
        """Data with the others put in: `(M,)` and `(M, d)` to `(M, n)`."""
        x = y.new_empty(len(y), len(self.keep) + len(self.other))
        x[:, self.keep], x[:, self.other] = self.kept[rows], y
        return x

    def over(self, panels: _Panels, shift: Tensor | None) -> tuple[_Part, Tensor]:
        """The integrals over panels, and the shift of each row, which is found if none is given."""
        t, log_weight = panels.nodes()
        count, nodes, dim = t.shape
        y = self.mean + self.scale * torch.sinh(t)
        found = self.density(self.whole(panels.row.repeat_interleave(nodes), y.reshape(-1, dim)))
        slope = (torch.log(self.scale) + torch.log(torch.cosh(t))).sum(-1)
        logs = found.value.reshape(count, nodes) + slope + log_weight
        if shift is None:
            shift = torch.full((len(self.kept),), -math.inf, dtype=torch.float64)
            shift = shift.scatter_reduce(0, panels.row, logs.amax(1), "amax")
        values = torch.exp(logs - shift[panels.row][:, None])
        errors = torch.stack([getattr(found, name).reshape(count, nodes) for name in _MEANS], -1)
        means = (values[..., None] * errors).sum(1)
        return _Part(values.sum(1), means, found.evaluations.reshape(count, nodes).sum(1)), shift


def _quadrature(integral: _Integral, tolerance: float) -> LogProb:
    """Adaptive: a panel is halved until that changes the integral of its row by less than its share of the tolerance."""
    rows, dim = len(integral.kept), len(integral.other)
    panels = _Panels.first(rows, dim)
    coarse, shift = integral.over(panels, None)
    total, means, off = (torch.zeros(rows, *s, dtype=torch.float64) for s in ((), (len(_MEANS),), ()))
    spent = torch.zeros(rows, dtype=torch.int64).index_add(0, panels.row, coarse.spent)
    share = coarse.total / total.index_add(0, panels.row, coarse.total)[panels.row]
    seen = share > _EMPTY * tolerance  # the rest are the far tails
    panels, coarse = panels.at(seen), coarse.at(seen)
    for depth in range(_DEPTH):
        halves = panels.halves()
        fine, _ = integral.over(halves, shift)
        spent = spent.index_add(0, halves.row, fine.spent)
        both = fine.grouped(2**dim)
        change = (both.total - coarse.total).abs()
        all_of_it = total.index_add(0, panels.row, both.total)
        rough = change > 0.03 * tolerance * all_of_it[panels.row]
        done = ~rough if depth < _DEPTH - 1 else torch.ones_like(rough)
        total = total.index_add(0, panels.row[done], both.total[done])
        means = means.index_add(0, panels.row[done], both.means[done])
        off = off.index_add(0, panels.row[done], change[done])
        if bool(done.all()):
            break
        again = (~done).repeat_interleave(2**dim)
        panels, coarse = halves.at(again), fine.at(again)
    solver, end, truncation = (means / total[:, None]).unbind(1)
    return LogProb(shift + total.log(), torch.zeros_like(total), solver + off / total, end, truncation, spent)


def _proposals(law: Gaussian, keep: list[int], other: list[int], kept: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Gaussians of the others by the moments: given those that are kept, and of all data; means `(B, d)`, roots `(d, d)`."""
    full = torch.diag(law.covariance.reshape(-1)) if law.diagonal else law.covariance
    full = full.double() + 1e-9 * full.diagonal().mean() * torch.eye(len(full), dtype=torch.float64)
    mean, cross, inner = law.mean.double(), full[other][:, keep], full[keep][:, keep]
    slope = torch.linalg.solve(inner, cross.T).T
    given = full[other][:, other] - slope @ cross.T
    middle = mean[other] + (kept - mean[keep]) @ slope.T
    wide = 1.5**2 * full[other][:, other]
    return [
        (middle, torch.linalg.cholesky(1.5**2 * (given + given.T) / 2)),
        (mean[other].expand_as(middle), torch.linalg.cholesky((wide + wide.T) / 2)),
    ]


def _importance(integral: _Integral, law: Gaussian, draws: int, rng: Samples) -> LogProb:
    """Weights of draws from two Gaussians, half of them each, by the density of their mixture."""
    kept, dim = integral.kept, len(integral.other)
    pair = _proposals(law, integral.keep, integral.other, kept)
    z = rng.normal((len(kept), draws, dim), torch.float64)
    first = torch.arange(draws) < draws // 2
    narrow, wide = (mean[:, None] + z @ root.T for mean, root in pair)
    y = torch.where(first[:, None], narrow, wide)
    laws = [torch.distributions.MultivariateNormal(mean[:, None], scale_tril=root) for mean, root in pair]
    shares = (math.log(draws // 2 / draws), math.log((draws - draws // 2) / draws))
    proposal = torch.logsumexp(torch.stack([q.log_prob(y) + share for q, share in zip(laws, shares)]), 0)
    rows = torch.arange(len(kept)).repeat_interleave(draws)
    found = integral.density(integral.whole(rows, y.reshape(-1, dim)))
    logs = found.value.reshape(len(kept), draws) - proposal
    value = logs.logsumexp(1) - math.log(draws)
    weights = torch.exp(logs - value[:, None])
    solver, end, truncation = ((weights * getattr(found, name).reshape(len(kept), draws)).mean(1) for name in _MEANS)
    spent = found.evaluations.reshape(len(kept), draws).sum(1)
    return LogProb(value, weights.std(1) / math.sqrt(draws), solver, end, truncation, spent)


def marginal(
    density: Density,
    kept: Tensor,
    keep: Sequence[int],
    law: Gaussian,
    rng: Samples,
    tolerance: float = 1e-3,
    draws: int = 1000,
) -> LogProb:
    """The log-density in nats of some features of vectors.

    One or two others are integrated out by adaptive quadrature over 74 standard deviations on both sides, until halving
    a panel changes the integral by less than a share of `tolerance`; what the last halving changed is part of the
    solver's error. Structure that is narrower than a thirtieth of a standard deviation may be overlooked. More than two
    are integrated out by importance sampling from two Gaussians of the data's moments; the standard error is that of
    the weights, and is too small where it is above 0.3 or so: a few weights are then most of the sum.

    Arguments:
        density: Log-densities of whole vectors, of shape `(M, n)`.
        kept: The features that are kept, of shape `(B, k)`, in float64.
        keep: Which these are, in their order.
        law: The mean and the covariance of the data, of n features.
        rng: The source of draws, which names the samples.
        tolerance: The relative error of the quadrature.
        draws: How many vectors are drawn for each datum, where there are more than two others.

    Returns:
        The log-densities; `evaluations` counts those at all the vectors that a datum took.

    Raises:
        ValueError: If `keep` names no features, or all, or one that there is not, or `draws` is below 2.
    """
    if draws < 2:
        raise ValueError(f"importance sampling needs draws to compare, draws >= 2, got draws={draws}")
    size = law.mean.numel()
    keep = list(keep)
    if law.mean.ndim != 1 or not 0 < len(set(keep)) == len(keep) < size or not set(keep) <= set(range(size)):
        raise ValueError(f"a marginal keeps some of the features 0 to {size - 1} of a vector, got {keep}")
    other = [i for i in range(size) if i not in keep]
    variance = law.covariance if law.diagonal else law.covariance.diagonal()
    mean, scale = law.mean.double()[other], variance.double()[other].sqrt()
    integral = _Integral(density, kept.double(), keep, other, mean, scale)
    if len(other) > 2:
        return _importance(integral, law, draws, rng)
    return _quadrature(integral, tolerance)


def positions(schema: Schema, features: Sequence[Any]) -> list[int]:
    """Where features of vectors stand, given by position or by the name of a column.

    Raises:
        ValueError: If the data are no vectors, or one is not among the columns.
    """
    if schema.structure != "vector":
        raise ValueError(f"marginals and conditionals are of the features of vectors, these data are {schema.reason}")
    names = list(schema.columns or range(schema.inner_shape[0]))
    missing = [feature for feature in features if feature not in names]
    if missing:
        raise ValueError(f"there is no feature {missing[0]!r}: there are {', '.join(map(str, names))}")
    return [names.index(feature) for feature in features]


def values_of(x: Any, features: Sequence[Any], schema: Schema) -> Tensor:
    """The values of these features in a table that has them, or in an array of them alone: `(N, k)` in float64.

    Raises:
        ValueError: If an array has another number of columns.
    """
    if schema.columns is not None and hasattr(x, "columns"):
        missing = [name for name in features if name not in x.columns]
        if missing:
            raise ValueError(f"the table has no column {missing[0]!r}: it has {', '.join(map(str, x.columns))}")
        x = x[list(features)].to_numpy()
    values = torch.from_numpy(np.array(x, dtype=np.float64, order="C"))
    if values.ndim != 2 or values.shape[1] != len(features):
        raise ValueError(f"{len(features)} features need an array (N, {len(features)}), got {tuple(values.shape)}")
    return values
