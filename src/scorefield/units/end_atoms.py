"""Point masses at the ends of channels: their states lie beyond all others, behind a gap."""

from __future__ import annotations

import math

import torch
import torch.nn as nn
from torch import Tensor

from .bases import Bases
from .normal import log_normal_density, normal_cdf, normal_quantile

__all__ = ["EndAtoms"]

SPREAD = 0.05  # of a gap: the standard deviation of the states of an atom; half of the gap is ten of these
_ROUNDING = 1e-6  # of an end, relative: float32
_LEAST = 1e-12  # of probability: a state at the end of an interval is finite


class EndAtoms(nn.Module):
    """The lowest or the highest values of channels, where these have positive probability, on top of a smooth map.

    Let z be the state of the nearest other value, by the smooth map, and g the gap, in standard deviations of states. Then the
    states of an atom at the lower end are normal around z - g with the standard deviation g / 20, cut off at z - g/2, and
    all states below that are the atom. The place u is the probability in this distribution, so that probabilities
    do not depend on it. What lies between z - g/2 and z are values between the atom and its nearest value, linearly.
    At the upper end it is the same mirrored.

    Arguments:
        bases: The smooth maps of the channels.
        ends: The lower and the upper ends, `(2, C, 1, …)`.
        margins: The distances of the nearest other values, `(2, C, 1, …)`.
        gaps: The gaps; 0 where an end is not an atom, `(2, C, 1, …)`.

    Example:
        >>> from .column_map import ColumnMap
        >>> shape = 2, 1, 1
        >>> ends, gaps = torch.tensor([0.0, 9.0]).double().reshape(shape), torch.tensor([1.0, 0.0]).double().reshape(shape)
        >>> atoms = EndAtoms(Bases([ColumnMap()], 1), ends, torch.full(shape, 0.5).double(), gaps)
        >>> x = torch.tensor([[[0.0, 0.25, 0.5, 3.0]]]).double()
        >>> state, _ = atoms(x, x, torch.zeros_like(x), torch.full_like(x, 0.5))
        >>> state
        tensor([[[-0.5000,  0.2500,  0.5000,  3.0000]]], dtype=torch.float64)
        >>> atoms.inverse(state, state)
        tensor([[[0.0000, 0.2500, 0.5000, 3.0000]]], dtype=torch.float64)
    """

    ends: Tensor
    margins: Tensor
    gaps: Tensor
    nearest: Tensor
    rate: Tensor
    tolerance: Tensor

    def __init__(self, bases: Bases, ends: Tensor, margins: Tensor, gaps: Tensor) -> None:
        super().__init__()
        self.sides = [(side, (1.0, -1.0)[side]) for side in (0, 1) if bool((gaps[side] > 0).any())]
        sign = torch.tensor([1.0, -1.0], dtype=torch.float64).reshape(2, *(1,) * (ends.ndim - 1))
        middle = bases.inverse(torch.zeros_like(ends[:1]))
        near = torch.where(gaps > 0, ends + sign * margins, middle)
        state, log_slope = bases(near)
        margins = torch.where(gaps > 0, margins, 1.0)  # no derivative is NaN where there are no atoms
        named = {"ends": ends, "margins": margins, "gaps": gaps, "nearest": state, "rate": (-log_slope).exp()}
        named["tolerance"] = torch.minimum(_ROUNDING * ends.abs(), margins / 4)
        for name, value in named.items():
            self.register_buffer(name, value.contiguous(), persistent=False)

    def find(self, x: Tensor) -> Tensor:
        """Which data `(B, C, …)` are atoms."""
        below, above = x - self.ends[0], self.ends[1] - x
        hits = zip((below, above), self.tolerance, self.gaps)
        return torch.stack([(gap > 0) & (distance <= near) for distance, near, gap in hits]).any(0)

    def forward(self, x: Tensor, z: Tensor, log_slope: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """States and their log-derivatives, by the place for atoms, from those of the smooth map, all `(B, C, …)`."""
        for side, sign in self.sides:
            margin, gap, nearest = self.margins[side], self.gaps[side], self.nearest[side]
            distance = sign * (x - self.ends[side])
            atom = (gap > 0) & (distance <= self.tolerance[side])
            between = (gap > 0) & (distance < margin) & ~atom
            part = torch.where(between, distance / margin, 1.0)
            z = torch.where(between, nearest - sign * gap / 2 * (1 - part), z)
            log_slope = torch.where(between, (gap / 2 / margin).log(), log_slope)
            t, log_rate = _outward(place if sign > 0 else 1 - place)
            z = torch.where(atom, nearest - sign * gap * (1 + SPREAD * t), z)
            log_slope = torch.where(atom, (SPREAD * gap).log() + log_rate, log_slope)
        return z, log_slope

    def inverse(self, state: Tensor, x: Tensor) -> Tensor:
        """Data of states from those of the smooth map. Gradients go on as at the nearest values, where they would vanish."""
        for side, sign in self.sides:
            margin, gap, end = self.margins[side], self.gaps[side], self.ends[side]
            depth = sign * (self.nearest[side] - state)
            part = (1 - 2 * depth.detach() / gap.clamp_min(1e-300)).clamp(0, 1)
            line = (state - state.detach()) * self.rate[side]
            x = torch.where((gap > 0) & (depth > 0), end + sign * margin * part + line, x)
        return x


def _outward(place: Tensor) -> tuple[Tensor, Tensor]:
    """How far out the states at places lie, in standard deviations, and the log of its derivative: a normal distribution that
    is cut off where the gap is halved, from its far end on.
    """
    low = float(normal_cdf(torch.tensor(-0.5 / SPREAD, dtype=torch.float64)))
    p = (1 - low) * place
    t = -normal_quantile(p.clamp_min(_LEAST), (1 - p).clamp_min(_LEAST))
    return t, math.log1p(-low) - log_normal_density(t)
