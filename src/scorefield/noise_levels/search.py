"""The search for the farthest pair: bounds for all pairs that may matter, distances for the few that pass."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..progress import report
from .points import Points, evenly_spaced

__all__ = ["Best", "Search"]

_MEASURE = 100.0  # the cost of measuring a pair, in products of one column
_TOGETHER = 512  # columns that are added up at once in float32: the bound on their rounding error stays small
_FEW, _MANY = 64, 4096  # pairs of a block that are measured at once, and one by one
_STORED = 2**29  # bytes of projections
_TINY = torch.finfo(torch.float64).eps


class Best:
    """The farthest pair so far."""

    def __init__(self, points: Points) -> None:
        self.points = points
        self.value = 0.0
        self.pair = (0, 1)

    def measure(self, pairs: Tensor) -> None:
        """Measures pairs of data, of shape `(P, 2)`, in float64; a sum that decides is rounded once."""
        for part in pairs.split(max(1, 2**20 // self.points.numbers)):  # type: ignore[no-untyped-call]
            a, b = (self.points.take(side) for side in part.unbind(1))
            squares = (a - b).square_()
            for i in squares.sum(1).topk(min(8, len(part))).indices.tolist():
                value = math.sqrt(math.fsum(squares[i].tolist()))
                if value > self.value:
                    self.value, self.pair = value, (int(part[i].min()), int(part[i].max()))


class Search:
    """Searches the pairs that may be farther apart than the best one.

    An example becomes b = (P, ρ, h, 1) with P its projection, ρ² = r² - |P|² and h = r²/2, and a = (-P, ρ, 1, h): then a · b is
    half of the bound |P_i - P_j|² + (ρ_i + ρ_j)². All is in units of the largest radius.

    Arguments:
        points: The data.
        best: The farthest pair so far.
        centre: Any point near the mean, of shape `(n,)`.
        radii: The distances of the data from it, of shape `(N,)`.
        tolerance: The relative error that the result may have.
    """

    def __init__(self, points: Points, best: Best, centre: Tensor, radii: Tensor, tolerance: float) -> None:
        self.points, self.best, self.centre, self.tolerance = points, best, centre, tolerance
        self.scale = float(radii.max())
        self.slack = 1e-12 + 4 * points.numbers * _TINY
        self.widest = float(radii.topk(2).values.sum()) * (1 + self.slack)
        order = radii.argsort(descending=True)
        order = points.distinct(order[: self._reach(radii[order] / self.scale, 1.0)])
        self.order, self.radii = order, radii[order] / self.scale
        # a lower precision of float32 products would break the bound on their error
        self.dtype = torch.float32 if torch.get_float32_matmul_precision() == "highest" else torch.float64
        self.directions = self._directions()
        self.stored: Tensor | None = None
        if self.directions is not None:
            self.stored = torch.empty(len(order), self.directions.shape[1] + 3, dtype=self.dtype)
            for part in order.argsort().split(points.size):  # type: ignore[no-untyped-call]  # as they lie on disk
                self.stored[part] = self._lift(part)
        columns = points.numbers if self.directions is None else self.directions.shape[1]
        steps = min(columns, _TOGETHER) + columns / _TOGETHER + 16
        # a sum of n products is off by at most about n ε Σ|a b|, and here Σ|a b| ≤ 2
        self.margin = 2 * steps * torch.finfo(self.dtype).eps + 4 * (points.numbers + 16) * _TINY

    @property
    def target(self) -> float:
        """Pairs that are not farther apart than this do not matter."""
        return self.best.value * (1 + self.tolerance) / self.scale

    @property
    def _passing(self) -> float:
        return self.target**2 / 2 - self.margin

    def _reach(self, radii: Tensor, radius: float) -> int:
        """How many of the decreasing `radii` can make a pair that matters with one of `radius`."""
        return int(torch.searchsorted(-radii, radius - self.target + self.slack, right=True))

    def _directions(self) -> Tensor | None:
        """As many directions as cost the least, of shape `(n, k)`, by a sample of pairs; None if nothing beats all pairs."""
        big = int((self.radii >= self.target / 2 - self.slack).sum())
        if big < 2:
            return None
        numbers, most = self.points.numbers, _STORED // (4 * len(self.order)) - 3
        some = self.order[evenly_spaced(big, max(128, min(1024, 2**25 // numbers)))]
        directions = _principal(self.points.take(some) - self.centre)
        rows, columns = evenly_spaced(big, 256), evenly_spaced(len(self.order), 2048)
        (p, r), (q, s) = self._project(rows, directions), self._project(columns, directions)
        possible = r[:, None] + s >= self.target
        costs = {numbers: float(numbers)}
        for k in (4, 8, 16, 24, 32, 48, 64):
            if k < numbers and k <= min(max(most, 4), directions.shape[1]):
                rest = [self._rest(*part) for part in ((r, p[:, :k]), (s, q[:, :k]))]
                bound = torch.cdist(p[:, :k], q[:, :k]).square() + (rest[0][:, None] + rest[1]) ** 2
                passed = int(((bound >= self.target**2) & possible).sum()) + 1
                costs[k] = k + _MEASURE * numbers * passed / max(1, int(possible.sum()))
        chosen = min(costs, key=lambda k: costs[k])
        return directions[:, :chosen] if chosen < numbers else None

    def _project(self, places: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Projections, of shape `(B, k)`, and radii."""
        parts = [(x - self.centre) @ directions for _, x in self.points.chunks(self.order[places])]
        return torch.cat(parts) / self.scale, self.radii[places]

    def _rest(self, r: Tensor, p: Tensor) -> Tensor:
        """A lower bound on the distances of data from their projections."""
        return (r.square() * (1 + 4 * (self.points.numbers + 16) * _TINY) - p.square().sum(1)).clamp_min(0).sqrt()

    def _lift(self, places: Tensor) -> Tensor:
        """The vectors b of data, of shape `(B, k + 3)`."""
        if self.directions is None:
            p, r = (self.points.take(self.order[places]) - self.centre) / self.scale, self.radii[places]
            rest = torch.zeros_like(r)
        else:
            p, r = self._project(places, self.directions)
            rest = self._rest(r, p)
        half = r.square() / 2
        return torch.cat([p, torch.stack([rest, half, torch.ones_like(half)], 1)], 1).to(self.dtype)

    def _vectors(self, start: int, stop: int) -> Tensor:
        if self.stored is not None:
            return self.stored[start:stop]
        return self._lift(torch.arange(start, stop))

    def run(self, limit: float) -> float:
        """Searches from the outside inwards, stops after `limit` products, and gives a bound on all distances."""
        most = 2**24 if self.directions is None else 2**40
        rows, columns = (min(size, max(64, most // self.points.numbers)) for size in (512, 2048))
        work = 0.0
        for start in range(0, len(self.order) - 1, rows):
            radius = float(self.radii[start])
            if (stop := self._reach(self.radii, radius)) <= start + 1:
                break
            report(max(start / len(self.order), min(1.0, work / max(limit, 1.0))))
            if work >= limit:
                return min(max(2 * radius + self.slack, self.target) * self.scale, self.widest)
            a = self._vectors(start, min(start + rows, len(self.order)))
            a = torch.cat([-a[:, :-3], a[:, -3:-2], a[:, -1:], a[:, -2:-1]], 1)
            for first in range(start, stop, columns):
                b = self._vectors(first, min(first + columns, stop))
                self._measure_passing(_products(a, b), start, first)
                work += a.numel() * len(b)
        return min(self.best.value * (1 + self.tolerance), self.widest)

    def _measure_passing(self, half: Tensor, start: int, first: int) -> None:
        """Measures the pairs of a block whose bounds, of shape `(A, B)`, pass."""
        if float(half.max()) < self._passing:
            return
        pairs = (half >= self._passing).nonzero()
        pairs = pairs[pairs[:, 0] + start < pairs[:, 1] + first]
        if len(pairs) > _FEW:  # the most promising first: the others may then be left out
            bound = half[pairs[:, 0], pairs[:, 1]]
            self._measure(pairs[bound.topk(_FEW).indices], start, first)
            pairs = pairs[bound >= self._passing]
        if len(pairs) > _MANY and self.points.numbers <= _MANY:
            pairs = self._thin(pairs, start, first)
        self._measure(pairs, start, first)

    def _measure(self, pairs: Tensor, start: int, first: int) -> None:
        if len(pairs):
            self.best.measure(torch.stack([self.order[pairs[:, 0] + start], self.order[pairs[:, 1] + first]], 1))

    def _thin(self, pairs: Tensor, start: int, first: int) -> Tensor:
        """The farthest of many pairs, by products in float64, which are exact for integers; of equally far ones, some."""
        rows, i = pairs[:, 0].unique(return_inverse=True)  # type: ignore[no-untyped-call]
        columns, j = pairs[:, 1].unique(return_inverse=True)  # type: ignore[no-untyped-call]
        a, b = self.points.take(self.order[rows + start]), self.points.take(self.order[columns + first])
        a, b = a - b[0], b - b[0]
        squares = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
        return pairs[squares[i, j].topk(_MANY).indices]


def _products(a: Tensor, b: Tensor) -> Tensor:
    """a bᵀ, with the sums over many columns in parts."""
    total = a[:, :_TOGETHER] @ b[:, :_TOGETHER].T
    for start in range(_TOGETHER, a.shape[1], _TOGETHER):
        total.addmm_(a[:, start : start + _TOGETHER], b[:, start : start + _TOGETHER].T)
    return total


def _principal(x: Tensor, count: int = 64) -> Tensor:
    """Orthonormal directions near the widest of data `(N, n)`, the widest first, `(n, k)`, by subspace iteration."""
    basis = torch.linalg.qr(x[evenly_spaced(len(x), count)].T).Q
    for _ in range(3):
        basis = torch.linalg.qr(x.T @ (x @ basis)).Q
    projected = x @ basis
    rotation = torch.linalg.eigh(projected.T @ projected).eigenvectors.flip(1)
    principal: Tensor = torch.linalg.qr(basis @ rotation).Q
    return principal
