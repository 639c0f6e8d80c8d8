"""The units of grids: one elementwise map for each channel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .base import Units
from .bases import Bases
from .column_map import ColumnMap
from .end_atoms import EndAtoms

__all__ = ["ChannelUnits", "Limits"]

Limits = tuple[float | None, float | None]


class ChannelUnits(Units):
    """One map for each channel of a grid, the same at every place: affine, log, softplus or logit.

    Where many values are on a bound, exact zeros say, these are an atom: their states lie beyond those of all other values,
    behind one of the `gaps`, and come back exactly (`EndAtoms`). Where a few are, they are put at half the distance of the
    nearest other one, `margins`, and what is nearer to a bound than three quarters of it is on the bound. Where none are, what
    a map leads beyond its limit is mirrored at it.

    Arguments:
        shape: The shape `(C, *S)` of a sample.
        channels: The maps of the channels, without splines, atoms and lattices.
        margins: The distances from the bounds within which values lie on them, `(C, 2)`; 0 for none.
        limits: The bounds of each channel, where they lie inside of those of its map; by default those of the maps.
        gaps: Between the state of the nearest value and that of an atom on a bound, in states, `(C, 2)`; 0 for no atom. None
            for no atoms at all.

    Raises:
        ValueError: If there is not one map for each channel, a map is more than its base, or an atom is not on a bound.

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
        limits: Sequence[Limits] = (),
        gaps: Tensor | None = None,
    ) -> None:
        super().__init__(shape)
        self.channels, self.margins, self.gaps = tuple(channels), margins, gaps
        self.limits = tuple((low, high) for low, high in limits)
        if len(self.channels) != self.shape[0] or margins.shape != (self.shape[0], 2):
            what = f"{self.shape[0]} channels need as many maps and margins"
            raise ValueError(f"{what}, got {len(self.channels)} and {tuple(margins.shape)}")
        if any(m.knots is not None or m.atoms is not None or m.lattice[1] or not m.is_number for m in self.channels):
            raise ValueError("channels of a grid have maps without splines, atoms and lattices")
        tail = (2, -1, *(1,) * (len(self.shape) - 1))
        ends = torch.tensor([[low, high] for low, high in map(_extent, self.bounds)], dtype=torch.float64)
        self.register_buffer("ends", ends.T.reshape(tail).contiguous(), persistent=False)
        self.register_buffer("reach", margins.double().T.reshape(tail).contiguous(), persistent=False)
        self.bases = Bases(self.channels, len(self.shape) - 1)
        self.end_atoms = None if gaps is None else self._end_atoms(gaps, tail)
        self.has_cells = self.end_atoms is not None

    def _end_atoms(self, gaps: Tensor, tail: tuple[int, ...]) -> EndAtoms | None:
        """The atoms on bounds, which are then nothing else."""
        if gaps.shape != self.margins.shape or not bool((gaps.isfinite() & (gaps >= 0)).all()):
            raise ValueError(f"gaps are {tuple(self.margins.shape)} numbers >= 0, got {tuple(gaps.shape)}")
        here = gaps.double().T.reshape(tail)
        if not bool((self.ends.isfinite() & (self.reach > 0))[here > 0].all()):
            raise ValueError("an atom of a channel is on a bound, with a margin > 0 to the nearest other value")
        return EndAtoms(self.bases, self.ends, self.reach, here) if bool((here > 0).any()) else None

    @property
    def bounds(self) -> tuple[Limits, ...]:
        """The limits, or those of the maps."""
        return self.limits or tuple(m.bounds for m in self.channels)

    @property
    def atoms(self) -> tuple[tuple[float, ...], ...]:
        """The bounds of each channel that have positive probability."""
        if self.gaps is None:
            return super().atoms
        pairs = zip(self.bounds, self.gaps.tolist())
        return tuple(
            tuple(b for b, gap in zip(bounds, gap_pair) if b is not None and gap) for bounds, gap_pair in pairs
        )

    def _states(self, x: Tensor, place: Tensor | None) -> tuple[Tensor, Tensor]:
        """States in float64, and the logs of their derivatives; data on a bound lie a little inside."""
        low, high = self.ends + torch.stack((self.reach[0], -self.reach[1])) / 2
        z, log_slope = self.bases(torch.where(x.isnan(), x, x.clamp(low, high)))
        if self.end_atoms is None:
            return z, log_slope
        at = torch.full_like(x, 0.5) if place is None else place.double()
        return self.end_atoms(x, z, log_slope, at)  # type: ignore[no-any-return]

    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Maps data, `(B, *shape)`, to states of the same shape."""
        return self._states(x.double(), place)[0].to(x.dtype)

    def state_errors(self, x: Tensor, errors: Tensor) -> Tensor:
        """|∂ state / ∂ x| times `errors`, of the shape of x; 0 on a bound, where states do not change."""
        wide, gaps = x.double(), torch.zeros_like(self.reach) if self.end_atoms is None else self.end_atoms.gaps
        still = torch.zeros_like(wide, dtype=torch.bool) if self.end_atoms is None else self.end_atoms.find(wide)
        for distance, reach, gap in zip((wide - self.ends[0], self.ends[1] - wide), self.reach, gaps):
            still = still | ((gap == 0) & (distance < reach / 2))
        slope = torch.where(still, 0.0, self._states(wide, None)[1].exp())
        return (slope * errors).to(errors.dtype)

    def inverse(self, x: Tensor) -> Tensor:
        """Maps states, `(B, *shape)`, to data of the same shape, in float64, within their bounds."""
        state = x.double()
        data: Tensor = self.bases.inverse(state)
        for side, sign in enumerate((1, -1)):
            end, reach = self.ends[side], self.reach[side]
            free = True if self.end_atoms is None else self.end_atoms.gaps[side] == 0
            finite = torch.where(end.isfinite(), end, 0.0)
            mirrored = finite + sign * (sign * (data - finite)).abs()  # where no values are on the bound
            data = torch.where(end.isfinite() & (reach == 0) & free, mirrored, data)
            data = torch.where((sign * (data - end) < 0.75 * reach) & free, end, data)
        if self.end_atoms is not None:
            data = self.end_atoms.inverse(state, data)
        return torch.where(data.isnan(), data, data.clamp(*self.ends))

    def log_volume(self, x: Tensor, place: Tensor | None = None, counted: Tensor | None = None) -> Tensor:
        """log |det ∂ state / ∂ x| at data `(B, *shape)`, of shape `(B,)`; by the place for atoms."""
        slope = self._states(x.double(), place)[1]
        return (slope if counted is None else torch.where(counted, slope, 0.0)).flatten(1).sum(1)

    def __repr__(self) -> str:
        """The shape, and the kinds of maps, with atoms."""
        found = [" and ".join(f"{value:.6g}" for value in values) for values in self.atoms]
        kinds = [f"{m.base}{f' with atoms at {at}' if at else ''}" for m, at in zip(self.channels, found)]
        return f"ChannelUnits({self.shape}, {', '.join(kinds)})"


def _extent(bounds: Limits) -> tuple[float, float]:
    """Bounds as numbers, infinite where there is none."""
    low, high = bounds
    return -math.inf if low is None else low, math.inf if high is None else high
