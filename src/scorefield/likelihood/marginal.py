"""Marginal log-densities of some features of vectors.

One or two other features are integrated out by adaptive quadrature, with an estimate of its error; more by importance
sampling, with its standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import Schema, check_distinct, encoded, excluded, native
from ..denoisers import Gaussian
from ..rng import Samples
from .base import LogProb

__all__ = ["marginal", "positions", "values_of"]

Density = Callable[[Tensor], LogProb]

_REACH = 5.0  # the quadrature reaches sinh 5 = 74 standard deviations on both sides
_PANELS, _NODES = {1: 16, 2: 8}, {1: 8, 2: 5}  # along each axis: initial panels, and nodes in each
_NEGLIGIBLE = 1e-6  # in tolerances: a panel with a smaller share of the integral is not refined
_DEPTH = 10  # panels are halved at most this often
_ERRORS = ("solver_error", "end_error", "truncation")


@dataclass(frozen=True)
class _Panels:
    """Boxes in the coordinates t, with x = m + s sinh t; each belongs to one row of the data."""

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
        """Every box halved along each axis; the parts of a box are adjacent."""
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
class _PanelIntegrals:
    """The integral over each panel, divided by exp(shift) of its row, with the errors and the cost of the density."""

    total: Tensor  # (P,)
    errors: Tensor  # (P, 3): the integrals of the density times its solver error, end error and truncation
    evaluations: Tensor  # (P,)

    def at(self, mask: Tensor) -> _PanelIntegrals:
        return _PanelIntegrals(*(getattr(self, f.name)[mask] for f in fields(self)))

    def grouped(self, size: int) -> _PanelIntegrals:
        """The sums over groups of `size` adjacent panels."""
        return _PanelIntegrals(*(getattr(self, f.name).unflatten(0, (-1, size)).sum(1) for f in fields(self)))


@dataclass(frozen=True)
class _Integral:
    """The integrand, and the mean and scale of the features integrated out."""

    density: Density
    kept: Tensor  # (B, k)
    keep: list[int]
    other: list[int]
    mean: Tensor
    scale: Tensor

    def whole(self, rows: Tensor, y: Tensor) -> Tensor:
        """Whole vectors, of shape `(M, n)`, from row indices `(M,)` and the other features `(M, d)`."""
        x = y.new_empty(len(y), len(self.keep) + len(self.other))
        x[:, self.keep], x[:, self.other] = self.kept[rows], y
        return x

    def over(self, panels: _Panels, shift: Tensor | None) -> tuple[_PanelIntegrals, Tensor]:
        """The integrals over panels, and the shift of each row, which is computed if none is given."""
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
        errors = torch.stack([getattr(found, name).reshape(count, nodes) for name in _ERRORS], -1)
        weighted = (values[..., None] * errors).sum(1)
        return _PanelIntegrals(values.sum(1), weighted, found.evaluations.reshape(count, nodes).sum(1)), shift


def _quadrature(integral: _Integral, tolerance: float) -> LogProb:
    """Adaptive quadrature: a panel is halved until that changes the integral of its row by less than 3 % of `tolerance`."""
    rows, dim = len(integral.kept), len(integral.other)
    panels = _Panels.first(rows, dim)
    coarse, shift = integral.over(panels, None)
    total, errors, change_sum = (torch.zeros(rows, *s, dtype=torch.float64) for s in ((), (len(_ERRORS),), ()))
    evaluations = torch.zeros(rows, dtype=torch.int64).index_add(0, panels.row, coarse.evaluations)
    share = coarse.total / total.index_add(0, panels.row, coarse.total)[panels.row]
    relevant = share > _NEGLIGIBLE * tolerance  # the rest are the far tails
    panels, coarse = panels.at(relevant), coarse.at(relevant)
    for depth in range(_DEPTH):
        halves = panels.halves()
        fine, _ = integral.over(halves, shift)
        evaluations = evaluations.index_add(0, halves.row, fine.evaluations)
        refined = fine.grouped(2**dim)
        change = (refined.total - coarse.total).abs()
        integral_so_far = total.index_add(0, panels.row, refined.total)
        rough = change > 0.03 * tolerance * integral_so_far[panels.row]
        done = ~rough if depth < _DEPTH - 1 else torch.ones_like(rough)
        total = total.index_add(0, panels.row[done], refined.total[done])
        errors = errors.index_add(0, panels.row[done], refined.errors[done])
        change_sum = change_sum.index_add(0, panels.row[done], change[done])
        if bool(done.all()):
            break
        again = (~done).repeat_interleave(2**dim)
        panels, coarse = halves.at(again), fine.at(again)
    solver, end, truncation = (errors / total[:, None]).unbind(1)
    solver = solver + change_sum / total
    return LogProb(shift + total.log(), torch.zeros_like(total), solver, end, truncation, evaluations)


def _proposals(moments: Gaussian, keep: list[int], other: list[int], kept: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Two Gaussians of the other features, conditional on the kept ones and marginal: means `(B, d)`, roots `(d, d)`."""
    full = torch.diag(moments.covariance.reshape(-1)) if moments.diagonal else moments.covariance
    full = full.double() + 1e-9 * full.diagonal().mean() * torch.eye(len(full), dtype=torch.float64)
    mean, cross, inner = moments.mean.double(), full[other][:, keep], full[keep][:, keep]
    slope = torch.linalg.solve(inner, cross.T).T
    conditional = full[other][:, other] - slope @ cross.T
    conditional_mean = mean[other] + (kept - mean[keep]) @ slope.T
    marginal = 1.5**2 * full[other][:, other]
    return [
        (conditional_mean, torch.linalg.cholesky(1.5**2 * (conditional + conditional.T) / 2)),
        (mean[other].expand_as(conditional_mean), torch.linalg.cholesky((marginal + marginal.T) / 2)),
    ]


def _importance(integral: _Integral, moments: Gaussian, draws: int, rng: Samples) -> LogProb:
    """Importance sampling from an even mixture of two Gaussians."""
    kept, dim = integral.kept, len(integral.other)
    pair = _proposals(moments, integral.keep, integral.other, kept)
    z = rng.normal((len(kept), draws, dim), torch.float64)
    first = torch.arange(draws) < draws // 2
    narrow, wide = (mean[:, None] + z @ root.T for mean, root in pair)
    y = torch.where(first[:, None], narrow, wide)
    gaussians = [torch.distributions.MultivariateNormal(mean[:, None], scale_tril=root) for mean, root in pair]
    shares = (math.log(draws // 2 / draws), math.log((draws - draws // 2) / draws))
    parts = [q.log_prob(y) + share for q, share in zip(gaussians, shares)]  # type: ignore[no-untyped-call]
    proposal = torch.logsumexp(torch.stack(parts), 0)
    rows = torch.arange(len(kept)).repeat_interleave(draws)
    found = integral.density(integral.whole(rows, y.reshape(-1, dim)))
    logs = found.value.reshape(len(kept), draws) - proposal
    value = logs.logsumexp(1) - math.log(draws)
    weights = torch.exp(logs - value[:, None])
    solver, end, truncation = ((weights * getattr(found, name).reshape(len(kept), draws)).mean(1) for name in _ERRORS)
    evaluations = found.evaluations.reshape(len(kept), draws).sum(1)
    return LogProb(value, weights.std(1) / math.sqrt(draws), solver, end, truncation, evaluations)


def marginal(
    density: Density,
    kept: Tensor,
    keep: Sequence[int],
    moments: Gaussian,
    rng: Samples,
    tolerance: float = 1e-3,
    draws: int = 1000,
) -> LogProb:
    """The marginal log-density in nats of some features of vectors.

    One or two other features are integrated out by adaptive quadrature over 74 standard deviations on both sides, until
    halving a panel changes the integral by less than a share of `tolerance`, which is added to the solver's error; structure
    narrower than a thirtieth of a standard deviation may be missed. More are integrated out by importance sampling from a
    mixture of two Gaussians with the data's moments; a standard error above about 0.3 is an underestimate.

    Arguments:
        density: Log-densities of whole vectors, of shape `(M, n)`.
        kept: The values of the features that are kept, of shape `(B, k)`, in float64.
        keep: The positions of these features, in this order.
        moments: The mean and covariance of the data, of n features.
        rng: The random source of these samples.
        tolerance: The relative error of the quadrature.
        draws: The number of draws for each example, where more than two features are integrated out.

    Returns:
        The log-densities; `evaluations` is the total over all vectors at which the density was needed.

    Raises:
        ValueError: If `keep` names no features, all of them, or one that does not exist, or `draws` is below 2.
    """
    if draws < 2:
        raise ValueError(f"a marginal by importance sampling needs at least 2 draws, got draws={draws}")
    size = moments.mean.numel()
    keep = list(keep)
    if moments.mean.ndim != 1 or not 0 < len(set(keep)) == len(keep) < size or not set(keep) <= set(range(size)):
        raise ValueError(f"a marginal keeps some of the features 0 to {size - 1} of a vector, got {keep}")
    other = [i for i in range(size) if i not in keep]
    variance = moments.covariance if moments.diagonal else moments.covariance.diagonal()
    mean, scale = moments.mean.double()[other], variance.double()[other].sqrt()
    integral = _Integral(density, kept.double(), keep, other, mean, scale)
    if len(other) > 2:
        return _importance(integral, moments, draws, rng)
    return _quadrature(integral, tolerance)


def positions(schema: Schema, features: Sequence[Any]) -> list[int]:
    """The positions of features of vectors that are named by position or by column.

    Raises:
        ValueError: If the data are not vectors, or have no such column.
    """
    if schema.structure != "vector":
        raise ValueError(f"marginals and conditionals need the features of vectors, but these data are {schema.reason}")
    names = list(schema.columns or range(schema.inner_shape[0]))
    missing = [feature for feature in features if feature not in names]
    if missing:
        raise ValueError(f"there is no feature {missing[0]!r}: the features are {', '.join(map(str, names))}")
    return [names.index(feature) for feature in features]


def values_of(x: Any, features: Sequence[Any], schema: Schema) -> tuple[Tensor, Tensor]:
    """The values of these features, from a table with these columns or an array of them alone.

    Returns:
        The values, `(N, k)` in float64, and which rows have probability 0, `(N,)`.

    Raises:
        ValueError: If a table lacks a column, or an array has another number of columns.
    """
    places = positions(schema, features)
    if schema.columns is not None and hasattr(x, "columns"):
        missing = [name for name in features if name not in x.columns]
        if missing:
            raise ValueError(f"the table has no column {missing[0]!r}: it has {', '.join(map(str, x.columns))}")
        if hasattr(x, "iloc"):
            check_distinct(x)
        if schema.table:
            pairs = [encoded(schema.table[i], native(x)[name]) for i, name in zip(places, features)]
            values, outside = (torch.from_numpy(np.stack(each, 1)) for each in zip(*pairs))
            return values, (outside | excluded(schema, values, places)).any(1)
        x = x[list(features)].to_numpy()
    values = torch.from_numpy(np.array(x, dtype=np.float64, order="C"))
    if values.ndim != 2 or values.shape[1] != len(features):
        raise ValueError(f"{len(features)} features need an array (N, {len(features)}), got {tuple(values.shape)}")
    outside = excluded(schema, values, places)
    for k, place in enumerate(places if schema.table else ()):
        outside[:, k] |= torch.from_numpy(schema.table[place].excluded(values[:, k].numpy()))
    return values, outside.any(1)


def excluded_given(schema: Schema, x: Any, given: Sequence[Any]) -> Tensor:
    """Which rows are given values of probability 0, `(N,)`."""
    whole = x if hasattr(x, "columns") else schema.unpack(x, torch.float64)[:, positions(schema, given)].numpy()
    return values_of(whole, given, schema)[1]
