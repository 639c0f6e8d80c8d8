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
    tails: Tensor

    def __init__(self, maps: Sequence[ColumnMap]) -> None:
        super().__init__()
        size = max(m.knots.shape[1] for m in maps if m.knots is not None)
        y = torch.full((len(maps), size), math.inf, dtype=torch.float64)
        z, slope = y.clone(), y.clone()
        tails = torch.zeros((len(maps), 2, 6), dtype=torch.float64)
        for c, m in enumerate(maps):
            if m.knots is None or m.tails is None:
                raise ValueError(f"column {c} has no knots: leave it out")
            k = m.knots.double()
            y[c, : k.shape[1]], z[c, : k.shape[1]], slope[c, : k.shape[1]] = k
            for side, (end, sign) in enumerate(((0, -1), (-1, 1))):  # y, z, slope, log p, β, ξ
                log_p = torch.special.log_ndtr(-sign * k[1, end])
                tails[c, side] = torch.cat((k[:, end], log_p[None], m.tails[side].double()))
        bins = torch.stack((y[:, :-1], y.diff(), z[:, :-1], z.diff(), slope[:, :-1], slope[:, 1:]), -1)
        self.register_buffer("y", y, persistent=False)
        self.register_buffer("z", z, persistent=False)
        self.register_buffer("bins", bins.reshape(-1, 6), persistent=False)
        self.register_buffer("start", (size - 1) * torch.arange(len(maps))[:, None], persistent=False)
        self.register_buffer("tails", tails, persistent=False)

    def _bins(self, knots: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        """The bin of each value, `(B, C)`: left ends and widths in y and z, slopes at both ends."""
        found = torch.searchsorted(knots, x.T.contiguous(), right=True) - 1
        last = torch.isfinite(knots).sum(1, keepdim=True) - 2
        index = (found.clamp_min(0).minimum(last) + self.start).T
        return self.bins[index].unbind(-1)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """z and log dz/dy at y, all of shape `(B, C)`."""
        low, high = self.tails[:, 0, 0], self.tails[:, 1, 0]
        inside = y.clamp(low, high)
        left, width, base, height, first, last = self._bins(self.y, inside)
        t = (inside - left) / width
        mean, bend = height / width, t * (1 - t)
        below = mean + (first + last - 2 * mean) * bend
        z = base + height * (mean * t * t + first * bend) / below
        slope = (last * t * t + 2 * mean * bend + first * (1 - t) ** 2) * (mean / below) ** 2
        log_slope = slope.log()
        for side, beyond in enumerate((y < low, y > high)):
            if bool(beyond.any()):
                row, column = beyond.nonzero(as_tuple=True)
                z[row, column], log_slope[row, column] = self._tail(y[row, column], column, side)
        return z, log_slope

    def _tail(self, y: Tensor, column: Tensor, side: int) -> tuple[Tensor, Tensor]:
        end, z_end, slope, log_p, scale, shape = self.tails[column, side].unbind(-1)
        sign = 2 * side - 1
        excess = sign * (y - end)
        linear = scale == 0
        scale, shape = torch.where(linear, 1.0, scale), torch.where(shape == 0, 1e-9, shape)
        floor = torch.where(linear, 0.0, 1 + shape * excess / scale)
        left = floor.clamp_min(1e-12)  # what lies on or beyond a bound counts as just inside
        log_q = log_p - left.log() / shape
        z = quantile_of_log(log_q)
        log_slope = log_q - (scale * left).log() - log_normal_density(z)
        straight = z_end + slope * (y - end)
        return torch.where(linear, straight, -sign * z), torch.where(linear, slope.log(), log_slope)

    def inverse(self, z: Tensor) -> Tensor:
        """y at z, of shape `(B, C)`."""
        low, high = self.tails[:, 0, 1], self.tails[:, 1, 1]
        inside = z.clamp(low, high)
        left, width, base, height, first, last = self._bins(self.z, inside)
        rise, mean = inside - base, height / width
        bend = rise * (first + last - 2 * mean)
        a, b, c = height * (mean - first) + bend, height * first - bend, -mean * rise
        root = (b * b - 4 * a * c).clamp_min(0).sqrt()
        y = left + width * (2 * c / (-b - root))
        for side, beyond in enumerate((z < low, z > high)):
            if bool(beyond.any()):
                row, column = beyond.nonzero(as_tuple=True)
                y[row, column] = self._tail_inverse(z[row, column], column, side)
        return y

    def _tail_inverse(self, z: Tensor, column: Tensor, side: int) -> Tensor:
        end, z_end, slope, log_p, scale, shape = self.tails[column, side].unbind(-1)
        sign = 2 * side - 1
        shape = torch.where(shape == 0, 1e-9, shape)
        log_left = torch.special.log_ndtr(-sign * z) - log_p
        excess = torch.where(scale == 0, sign * (z - z_end) / slope, scale / shape * torch.expm1(-shape * log_left))
        return end + sign * excess
