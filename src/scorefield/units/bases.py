"""Coordinates that know the bounds of columns: affine, logarithmic, of inverse softplus and logistic."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from .column_map import ColumnMap

__all__ = ["Bases"]

_AT_BOUND = 8.0  # standard deviations from the center: where a value on its bound is put, or one beyond it


class Bases(nn.Module):
    """y = (T(x) - location) / scale for columns or channels, along the second axis of `(B, C, …)`, in float64.

    T is x, log(x - a), -log(b - x), log(x - a) - log(b - x), or, of the distance d from the only bound and the bend c,
    d + c log(1 - exp(-d/c)), negative for an upper bound.

    Arguments:
        maps: The columns.
        axes: The number of axes after the second one.

    Example:
        >>> bases = Bases([ColumnMap(base="logit", lower=0.0, upper=1.0)])
        >>> y, log_slope = bases(torch.tensor([[0.5]]).double())
        >>> y, log_slope.exp(), bases.inverse(y)
        (tensor([[0.]], dtype=torch.float64), tensor([[4.]], dtype=torch.float64), tensor([[0.5000]], dtype=torch.float64))
    """

    location: Tensor
    scale: Tensor
    curved: Tensor
    low: Tensor
    high: Tensor
    least: Tensor
    most: Tensor
    log_width: Tensor
    soft: Tensor
    bend: Tensor

    def __init__(self, maps: Sequence[ColumnMap], axes: int = 0) -> None:
        super().__init__()
        tail = (-1, *(1,) * axes)
        location = torch.tensor([m.location for m in maps], dtype=torch.float64)
        scale = torch.tensor([m.scale for m in maps], dtype=torch.float64)
        curved = torch.tensor([c for c, m in enumerate(maps) if m.base != "affine"], dtype=torch.long)
        ends = [maps[int(c)].extent for c in curved]
        low = torch.tensor([low for low, _ in ends], dtype=torch.float64)
        high = torch.tensor([high for _, high in ends], dtype=torch.float64)
        first = location[curved] - _AT_BOUND * scale[curved]
        final = location[curved] + _AT_BOUND * scale[curved]
        both = low.isfinite() & high.isfinite()
        width = torch.where(both, high - low, 1.0)
        soft = torch.tensor([maps[int(c)].base == "softplus" for c in curved], dtype=torch.bool)
        bend = torch.tensor([maps[int(c)].bend for c in curved], dtype=torch.float64)
        least = torch.where(both, width * torch.sigmoid(first), torch.where(soft, _softplus(first, bend), first.exp()))
        most = torch.where(
            both, width * torch.sigmoid(-final), torch.where(soft, _softplus(-final, bend), (-final).exp())
        )
        named = {"location": location, "scale": scale, "low": low, "high": high, "least": least, "most": most}
        self.has_soft = bool(soft.any())
        for name, value in {**named, "log_width": width.log(), "soft": soft, "bend": bend}.items():
            self.register_buffer(name, value.reshape(tail), persistent=False)
        self.register_buffer("curved", curved, persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y and log dy/dx at x."""
        slope = (-self.scale.log()).expand(x.shape)
        if not len(self.curved):
            return (x - self.location) / self.scale, slope.clone()
        part = x.index_select(1, self.curved)
        from_low, to_high = part - self.low, self.high - part
        from_low = torch.where(from_low > 0, from_low, torch.where(from_low.isnan(), from_low, self.least))
        to_high = torch.where(to_high > 0, to_high, torch.where(to_high.isnan(), to_high, self.most))
        (from_low, low_slope), (to_high, high_slope) = self._unbounded(from_low), self._unbounded(to_high)
        from_low, low_slope = (torch.where(self.low.isfinite(), part, 0.0) for part in (from_low, low_slope))
        to_high, high_slope = (torch.where(self.high.isfinite(), part, 0.0) for part in (to_high, high_slope))
        y = x.index_copy(1, self.curved, from_low - to_high)
        slope = slope.index_add(1, self.curved, self.log_width + low_slope + high_slope)
        return (y - self.location) / self.scale, slope

    def _unbounded(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        """T of distances from a bound, and the logs of its derivatives."""
        found = distance.log()
        if not self.has_soft:
            return found, -found
        part = (-torch.expm1(-distance / self.bend)).log()
        return torch.where(self.soft, distance + self.bend * part, found), torch.where(self.soft, -part, -found)

    def inverse(self, y: Tensor) -> Tensor:
        """x at y."""
        x = y * self.scale + self.location
        if not len(self.curved):
            return x
        part = x.index_select(1, self.curved)
        above, below = part.clamp_max(700.0).exp(), (-part).clamp_max(700.0).exp()
        if self.has_soft:
            above = torch.where(self.soft, _softplus(part, self.bend), above)
            below = torch.where(self.soft, _softplus(-part, self.bend), below)
        bounded = self.low.isfinite() & self.high.isfinite()
        width = torch.where(bounded, self.high - self.low, 1.0)
        above = torch.where(bounded, width * torch.sigmoid(part), above)
        below = torch.where(bounded, width * torch.sigmoid(-part), below)
        from_high = torch.where(self.low.isfinite(), (part > 0) & bounded, True)  # the nearer bound keeps more digits
        value = torch.where(from_high, self.high - below, self.low + above)
        return x.index_copy(1, self.curved, value)


def _softplus(y: Tensor, bend: Tensor) -> Tensor:
    """b log(1 + exp(y/b)), which inverts d + b log(1 - exp(-d/b))."""
    return bend * torch.logaddexp(y / bend, torch.zeros_like(y))
