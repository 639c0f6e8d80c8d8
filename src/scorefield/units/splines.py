"""Smooth monotone maps of many columns at once: rational-quadratic splines with analytic tails."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from .column_map import ColumnMap
from .normal import log_normal_density, quantile_of_log

__all__ = ["Splines"]

_AT_BOUND = 20.0  # nats below the outermost knot: where a value on its bound is put, or one beyond it


class Splines(nn.Module):
    """The splines of some columns, with padded knots: z = g(y), for y of shape `(B, C)`.

    Between knots it is the rational quadratic that takes given values and slopes at both: monotone, with a continuous
    derivative, and inverted by a quadratic equation. Beyond the outermost knot, at which p is left,
    P(excess > e) = p (1 + ξ e / β)^(-1/ξ), the generalized Pareto distribution; with β = 0 the line goes on straight.

    Arguments:
        maps: The columns, all with knots.

    References:
        Gregory and Delbourgo, 1982, "Piecewise rational quadratic interpolation to monotonic data"; Pickands, 1975,
        "Statistical inference using extreme order statistics", for the tails.

    Example:
        >>> knots = torch.tensor([[-1.0, 0.0, 2.0], [-1.0, 0.0, 1.0], [1.0, 0.7, 0.5]]).double()
        >>> splines = Splines([ColumnMap(knots=knots, tails=torch.tensor([[0.0, 0.0], [0.4, 0.2]]))])
        >>> y = torch.tensor([[-3.0], [1.0], [5.0]]).double()
        >>> bool(torch.allclose(splines.inverse(splines(y)[0]), y))
        True
    """

    y: Tensor
    z: Tensor
    bins: Tensor
    start: Tensor
    low: Tensor
    high: Tensor
    tails: Tensor

    def __init__(self, maps: Sequence[ColumnMap]) -> None:
        super().__init__()
        size = max(m.knots.shape[1] for m in maps if m.knots is not None)
        tables = torch.full((3, len(maps), size), math.inf, dtype=torch.float64)
        inner = torch.full((2, len(maps), max(size - 2, 1)), math.inf, dtype=torch.float64)
        tails = torch.zeros((6, 2, len(maps)), dtype=torch.float64)
        for c, m in enumerate(maps):
            if m.knots is None or m.tails is None:
                raise ValueError(f"column {c} has no knots: leave it out")
            k, n = m.knots.double(), m.knots.shape[1]
            tables[:, c, :n] = k
            inner[:, c, : n - 2] = k[:2, 1:-1]
            for side, (end, sign) in enumerate(((0, -1), (-1, 1))):
                log_p = torch.special.log_ndtr(-sign * k[1, end])
                tails[:, side, c] = torch.cat((k[:, end], log_p[None], m.tails[side].double()))
        y, z, slope = tables
        bins = torch.stack((y[:, :-1], y.diff(), z[:, :-1], z.diff(), slope[:, :-1], slope[:, 1:]))
        named = {"y": inner[0], "z": inner[1], "bins": bins.flatten(1), "tails": tails.flatten(1)}
        named |= {"low": tails[:2, 0, :, None], "high": tails[:2, 1, :, None]}
        for name, value in named.items():
            self.register_buffer(name, value.contiguous(), persistent=False)
        self.register_buffer("start", (size - 1) * torch.arange(len(maps))[:, None], persistent=False)

    def _bins(self, inner: Tensor, x: Tensor) -> list[Tensor]:
        """The bin of each value, `(C, B)`: left ends and widths in y and z, slopes at both ends."""
        index = (torch.searchsorted(inner, x) + self.start).reshape(-1)
        return [table.index_select(0, index).reshape(x.shape) for table in self.bins]

    def _beyond(self, x: Tensor, which: int) -> tuple[Tensor, list[Tensor], Tensor]:
        """Where values `(C, B)` lie beyond the outermost knots: places, parameters of the tails, and signs."""
        above = x > self.high[which]
        place = ((x < self.low[which]) | above).reshape(-1).nonzero()[:, 0]
        side = above.reshape(-1).index_select(0, place).long()
        tail = side * len(x) + place // x.shape[1]
        return place, [table.index_select(0, tail) for table in self.tails], 2 * side - 1

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """z and log dz/dy at y, all of shape `(B, C)`."""
        y = y.T.contiguous()
        inside = torch.minimum(torch.maximum(y, self.low[0]), self.high[0])
        left, width, base, height, first, last = self._bins(self.y, inside)
        t = (inside - left) / width
        mean, bend = height / width, t * (1 - t)
        below = mean + (first + last - 2 * mean) * bend
        z = base + height * (mean * t * t + first * bend) / below
        slope = (last * t * t + 2 * mean * bend + first * (1 - t) ** 2) * (mean / below) ** 2
        log_slope = slope.log()
        place, tail, sign = self._beyond(y, 0)
        if len(place):
            outer, log_outer = _tail(y.reshape(-1).index_select(0, place), tail, sign)
            z.view(-1).index_copy_(0, place, outer)
            log_slope.view(-1).index_copy_(0, place, log_outer)
        return z.T, log_slope.T

    def inverse(self, z: Tensor) -> Tensor:
        """y at z, of shape `(B, C)`."""
        z = z.T.contiguous()
        inside = torch.minimum(torch.maximum(z, self.low[1]), self.high[1])
        left, width, base, height, first, last = self._bins(self.z, inside)
        rise, mean = inside - base, height / width
        bend = rise * (first + last - 2 * mean)
        a, b, c = height * (mean - first) + bend, height * first - bend, -mean * rise
        root = (b * b - 4 * a * c).clamp_min(0).sqrt()
        y = left + width * (2 * c / (-b - root))
        place, tail, sign = self._beyond(z, 1)
        if len(place):
            outer = _tail_inverse(z.reshape(-1).index_select(0, place), tail, sign)
            y.view(-1).index_copy_(0, place, outer)
        return y.T


def _tail(y: Tensor, tail: Sequence[Tensor], sign: Tensor) -> tuple[Tensor, Tensor]:
    """z and log dz/dy beyond the outermost knots."""
    end, z_end, slope, log_p, scale, shape = tail
    excess = sign * (y - end)
    linear = scale == 0
    ratio = excess / torch.where(linear, 1.0, scale)
    inside = torch.where(linear | (shape * ratio <= -1), 0.0, shape * ratio)
    log_left = torch.where(shape * ratio <= -1, _AT_BOUND * shape, torch.log1p(inside))
    fall = torch.where(shape == 0, ratio, log_left / torch.where(shape == 0, 1.0, shape))  # 0 / 0 has no gradient
    log_q = log_p - torch.where(linear, 0.0, fall)
    z = quantile_of_log(log_q)
    log_slope = log_q - scale.log() - log_left - log_normal_density(z)
    straight = z_end + slope * (y - end)
    return torch.where(linear, straight, -sign * z), torch.where(linear, slope.log(), log_slope)


def _tail_inverse(z: Tensor, tail: Sequence[Tensor], sign: Tensor) -> Tensor:
    """y beyond the outermost knots."""
    end, z_end, slope, log_p, scale, shape = tail
    fall = log_p - torch.special.log_ndtr(-sign * z)
    curved = torch.expm1(shape * fall) / torch.where(shape == 0, 1.0, shape)  # 0 / 0 has no gradient
    pareto = scale * torch.where(shape == 0, fall, curved)
    excess = torch.where(scale == 0, sign * (z - z_end) / slope, pareto)
    return end + sign * excess
