"""The units of grids: one elementwise map for each channel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..data.summary import Summary
from .base import Units
from .bases import Bases
from .column_map import Base, ColumnMap
from .standardize import Standardize
from .wishes import Wish

__all__ = ["ChannelUnits", "choose_channels"]

_Limits = tuple[float | None, float | None]
_DECADES = 2.0  # from the 5 % to the 95 % quantile of a positive channel, for its logarithm to be taken unasked

_ON_BOUND = 0.01  # of the values of a quantity, for that value to be a bound


class ChannelUnits(Units):
    """One map for each channel of a grid, the same at every place: affine, log or logit.

    Values on a bound, exact zeros say, are put at half the distance of the nearest other one, `margins`, and come back
    exactly: what is nearer to a bound than three quarters of it is on the bound. Where no values are on a bound, what a map
    leads beyond its limit is mirrored at it.

    Arguments:
        shape: The shape `(C, *S)` of a sample.
        channels: The maps of the channels, without splines, atoms and lattices.
        margins: The distances from the bounds within which values lie on them, `(C, 2)`; 0 for none.
        limits: The bounds of each channel, where they lie inside of those of its map; by default those of the maps.

    Raises:
        ValueError: If there is not one map for each channel, or a map is more than its base.

    Example:
        >>> units = ChannelUnits((1, 2, 2), (ColumnMap(base="log", lower=0.0),), torch.zeros(1, 2))
        >>> field = torch.tensor([[[[1.0, 2.0], [4.0, 0.5]]]]).double()
        >>> bool(torch.allclose(units.inverse(units(field)), field))
        True
    """

    ends: Tensor
    reach: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        channels: Sequence[ColumnMap],
        margins: Tensor,
        limits: Sequence[_Limits] = (),
    ) -> None:
        super().__init__(shape)
        self.channels, self.margins = tuple(channels), margins
        self.limits = tuple((low, high) for low, high in limits)
        if len(self.channels) != self.shape[0] or margins.shape != (self.shape[0], 2):
            what = f"{self.shape[0]} channels need as many maps and margins"
            raise ValueError(f"{what}, got {len(self.channels)} and {tuple(margins.shape)}")
        if any(m.knots is not None or m.atoms is not None or m.lattice[1] or not m.is_number for m in self.channels):
            raise ValueError("channels of a grid have affine, log or logit maps, without splines, atoms and lattices")
        tail = (-1, *(1,) * (len(self.shape) - 1))
        pairs = self.bounds
        ends = torch.tensor([[low, high] for low, high in map(_extent, pairs)], dtype=torch.float64)
        self.register_buffer("ends", ends.T.reshape(2, *tail).contiguous(), persistent=False)
        self.register_buffer("reach", margins.double().T.reshape(2, *tail).contiguous(), persistent=False)
        self.bases = Bases(self.channels, len(self.shape) - 1)

    @property
    def bounds(self) -> tuple[_Limits, ...]:
        """The limits, or those of the maps."""
        return self.limits or tuple(m.bounds for m in self.channels)

    def _inside(self, x: Tensor) -> Tensor:
        """Data, those on a bound a little inside."""
        low, high = self.ends + torch.stack((self.reach[0], -self.reach[1])) / 2
        return torch.where(x.isnan(), x, x.clamp(low, high))

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Maps data, `(B, *shape)`, to states of the same shape."""
        return self.bases(self._inside(x.double()))[0].to(x.dtype)  # type: ignore[no-any-return]

    def inverse(self, x: Tensor) -> Tensor:
        """Maps states, `(B, *shape)`, to data of the same shape, in float64, within their bounds."""
        data: Tensor = self.bases.inverse(x.double())
        for end, reach, sign in zip(self.ends, self.reach, (1, -1)):
            finite = torch.where(end.isfinite(), end, 0.0)
            mirrored = finite + sign * (sign * (data - finite)).abs()  # where no values are on the bound
            data = torch.where(end.isfinite() & (reach == 0), mirrored, data)
            data = torch.where(sign * (data - end) < 0.75 * reach, end, data)
        return torch.where(data.isnan(), data, data.clamp(*self.ends))

    def log_volume(self, x: Tensor, place: Tensor | None = None, counted: Tensor | None = None) -> Tensor:
        """log |det ∂ state / ∂ x| at data `(B, *shape)`, of shape `(B,)`."""
        slope: Tensor = self.bases(self._inside(x.double()))[1]
        return (slope if counted is None else torch.where(counted, slope, 0.0)).flatten(1).sum(1)

    def __repr__(self) -> str:
        """The shape, and the kinds of maps."""
        return f"ChannelUnits({self.shape}, {', '.join(m.base for m in self.channels)})"


def _extent(bounds: _Limits) -> tuple[float, float]:
    """Bounds as numbers, infinite where there is none."""
    low, high = bounds
    return -math.inf if low is None else low, math.inf if high is None else high


def choose_channels(
    x: Tensor, asked: Sequence[Wish], summary: Summary | None = None, quantities: bool = False
) -> tuple[Units, tuple[str, ...]]:
    """The map of each channel of grids `(N, C, *S)`: as asked for, or log where values above 0 span decades.

    Arguments:
        x: The grids, in float64.
        asked: What is known and asked of each channel.
        summary: The moments of all data; by default those of `x`.
        quantities: Whether channels are quantities of their own, and not the colours of pictures: one that is nowhere
            negative is then bounded by 0 where 1 % are exact zeros, or a normal distribution would go below; by 1 or 100, too,
            where 1 % are that.

    Raises:
        ValueError: If what was asked for does not fit the values.

    Example:
        >>> fields = torch.linspace(-8.0, 8.0, 320).reshape(20, 1, 4, 4).double().exp()
        >>> choose_channels(fields, [Wish(0)])[1]
        ('log: positive, spans 7 decades',)
    """
    found = [_channel(x[:, c], wish, quantities) for c, wish in enumerate(asked)]
    maps, near, limits, reasons = zip(*found)
    if all(m.base == "affine" for m in maps):
        return _standardize(x, summary), reasons
    margins = torch.tensor(near, dtype=torch.float64)
    limits = () if limits == tuple(m.bounds for m in maps) else limits
    return ChannelUnits(x.shape[1:], maps, margins, limits), reasons


def _channel(x: Tensor, wish: Wish, quantity: bool) -> tuple[ColumnMap, tuple[float, float], _Limits, str]:
    """The map of one channel, how near to its bounds values are on them, the bounds, and why."""
    values = x.flatten()
    low, high = float(values.min()), float(values.max())
    lower, upper = wish.bounds
    if (lower is not None and low < lower) or (upper is not None and high > upper):
        what = f"channel {wish.name!r} is declared to be in [{lower}, {upper}] and holds {low:.6g} to {high:.6g}"
        raise ValueError(f"{what}: widen the bounds, or leave out these rows")
    reason, offset = "as asked", 0.0
    if wish.transform == "log" and lower is None and upper is None:
        if low < 0:
            raise ValueError(
                f"the logarithm of channel {wish.name!r} needs values above 0, it holds {low:.6g}: give it bounds"
            )
        lower = 0.0
    elif wish.free and low > 0 and _over_decades(values):
        lower, reason = 0.0, f"log: positive, spans {math.log10(high / low):.0f} decades"
    elif wish.free and quantity and low < high:
        lower, upper, reason = _evident(values)
        offset = 0.0 if lower is None or upper is not None else _offset(values)
    if lower is None and upper is None:
        mean, std = float(values.mean()), float(values.std(correction=0))
        return ColumnMap(location=mean, scale=std if std > 0 else 1.0), (0.0, 0.0), (None, None), "affine"
    return *_curved(values, lower, upper, offset), (lower, upper), reason


def _offset(values: Tensor) -> float:
    """The number c of log(x + c), which is a logarithm far out and nearly straight near 0: the mean of the values above 0.

    Errors of a network are factors under a plain logarithm, which draws values far beyond those of a gamma distribution, say.
    """
    return float(values[values > 0].mean())


def _evident(values: Tensor) -> tuple[float | None, float | None, str]:
    """The bounds that the values of a quantity show, and the reason."""
    zeros, low, high = float((values == 0).double().mean()), float(values.min()), float(values.max())
    if low < 0 or (zeros < _ON_BOUND and float(values.mean()) > 2 * float(values.std(correction=0))):
        return None, None, ""
    reason = "nowhere negative" + (f", {100 * zeros:.2g} % zeros" if zeros else "")
    if high in (1.0, 100.0) and float((values == high).double().mean()) >= _ON_BOUND:
        return 0.0, high, f"logit: {reason}, at most {high:g}"
    return 0.0, None, f"log(x + c): {reason}"


def _over_decades(values: Tensor) -> bool:
    """Whether positive values span decades and their logarithms are more symmetric than they are themselves."""
    first, last = np.quantile(values.numpy(), (0.05, 0.95))
    return bool(last >= 10**_DECADES * first) and abs(_skewness(values.log())) < 0.5 * abs(_skewness(values))


def _skewness(values: Tensor) -> float:
    z = (values - values.mean()) / values.std(correction=0)
    return float((z**3).mean())


def _curved(
    values: Tensor, lower: float | None, upper: float | None, offset: float = 0.0
) -> tuple[ColumnMap, tuple[float, float]]:
    """A channel with bounds: the standardized coordinates that know them, and the margins.

    With an offset the lower bound of the map lies below that of the values, and less is clipped.
    """
    margins = [0.0, 0.0]
    for side, distance in enumerate(
        (values - lower if lower is not None else None, upper - values if upper is not None else None)
    ):
        if distance is not None and bool((distance == 0).any()):
            inner = distance[distance > 0]
            margins[side] = float(inner.min()) if len(inner) else 1.0
    base: Base = "log" if lower is None or upper is None else "logit"
    limits = (lower, upper)
    lower = lower if lower is None else lower - offset
    plain = ColumnMap(base=base, lower=lower, upper=upper)
    units = ChannelUnits((1, 1), (plain,), torch.tensor([margins], dtype=torch.float64), (limits,))
    states = units(values[:, None, None])
    scale = float(states.std(correction=0))
    located = ColumnMap(
        base=base, lower=lower, upper=upper, location=float(states.mean()), scale=scale if scale > 0 else 1.0
    )
    return located, (margins[0], margins[1])


def _standardize(x: Tensor, summary: Summary | None) -> Standardize:
    """One mean and standard deviation a channel."""
    axes = tuple(range(1, x.ndim - 1))
    mean, variance = (x.mean(0), x.var(0, correction=0)) if summary is None else (summary.mean, summary.variance)
    center = mean.mean(axes, keepdim=True)
    spread = (variance + (mean - center) ** 2).mean(axes, keepdim=True)
    return Standardize(tuple(mean.shape), center, spread.sqrt())
