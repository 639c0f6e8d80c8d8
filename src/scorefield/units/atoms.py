"""Values of positive probability that have intervals of the state of their column, of many columns at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from .column_map import ColumnMap
from .normal import log_normal_density, normal_cdf, normal_quantile

__all__ = ["Atoms"]

_LEAST = 1e-9  # of probability: a state at the end of an interval is finite
_UNDERFLOW = 1e-300
_RELATIVE = 1e-7  # values that differ by rounding of float32 are the same
_SPREAD = 0.15  # of the lengths of atoms' intervals: the standard deviation of what is learned in them
_WIDTH = 0.3  # and the scale of where a density is integrated


class Atoms(nn.Module):
    """The atoms of some columns, with padded tables: they take their probability out of that of continuous values.

    Let w be the probability of what is not an atom, z' the state that it alone would have, and A_j the probability of the
    j atoms below it. Then its state is Φ⁻¹(A_j + w Φ(z')), and that of atom j at a place u is Φ⁻¹(A_j + w Φ(z'_j) + g(u) p_j),
    where z'_j is the state at which continuous values pass the atom, and g the quantile function of a Cauchy distribution
    with the median 1/2 and the scale 0.3, cut to [0, 1]. Probabilities do not depend on g: the volume has its derivative.

    Values are learned at the places of `drawn`, where g(u) is normal with the mean 1/2 and the standard deviation 0.15, cut
    to [0, 1]. An approximate distribution of states then seldom passes the ends of intervals, where one value would be taken
    for another. But it is wider than what it was learned from, up to uniform in g: over places with the density of the latter
    an integral would have weights of up to hundreds, and over those of the Cauchy distribution of at most 2.4. In columns
    of nothing but consecutive atoms, such as counts, the one value would be taken for the next one, and g(u) = u.

    An approximate density of continuous values fills the margin next to an atom, and what lies there is drawn as the atom:
    atoms at the ends of continuous values are therefore separate (`AtomLevels`), but in files that do not say so.

    Arguments:
        maps: The columns, all with atoms.
        edges: z'_j of each column, `(k,)`.

    Example:
        >>> column = ColumnMap(atoms=torch.tensor([[0.0], [0.5]]))
        >>> atoms = Atoms([column], [torch.tensor([0.0])])
        >>> atoms.values_at(torch.tensor([[-2.0], [0.1], [3.0]]).double())[1].T
        tensor([[-1,  0, -1]])
    """

    values: Tensor
    tolerance: Tensor
    below: Tensor
    table: Tensor
    edges: Tensor
    mass: Tensor
    count: Tensor
    start: Tensor
    central: Tensor
    cut_out: Tensor

    def __init__(self, maps: Sequence[ColumnMap], edges: Sequence[Tensor]) -> None:
        super().__init__()
        size, n = max(len(m.values) for m in maps), len(maps)
        values = torch.full((n, size), math.inf, dtype=torch.float64)
        bounds = torch.full((n, 2 * size), math.inf, dtype=torch.float64)
        below = torch.zeros((n, size + 1), dtype=torch.float64)
        table = torch.zeros((n, size, 3), dtype=torch.float64)  # probability below, probability above, its own
        mass = torch.zeros((n, 2), dtype=torch.float64)  # of atoms, of what is none
        for c, (m, passing) in enumerate(zip(maps, edges)):
            k, p = len(m.values), m.probabilities
            sums = torch.cat((torch.zeros(1, dtype=p.dtype), p.cumsum(0)))
            total = 1.0 if m.discrete else float(sums[-1])
            mass[c] = torch.tensor([total, 1 - total], dtype=torch.float64)
            low = sums[:-1] + (1 - total) * normal_cdf(passing.double())
            high = (total - sums[1:]).clamp_min(0) + (1 - total) * normal_cdf(-passing.double())
            values[c, :k], below[c, : k + 1] = m.values, sums
            below[c, k + 1 :] = total
            table[c, :k] = torch.stack((low, high, p), -1)
            ends = torch.stack((normal_quantile(low, high + p), normal_quantile(low + p, high)), -1)
            bounds[c, : 2 * k] = ends.reshape(-1).cummax(0).values
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("tolerance", tolerances(maps), persistent=False)
        self.register_buffer("cut_out", cut_out(maps), persistent=False)
        self.register_buffer("below", below, persistent=False)
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("edges", bounds, persistent=False)
        self.register_buffer("mass", mass, persistent=False)
        self.register_buffer("count", torch.tensor([len(m.values) for m in maps])[:, None], persistent=False)
        central = torch.tensor([not _consecutive(m) for m in maps])
        self.register_buffer("central", central, persistent=False)
        self.register_buffer("start", torch.arange(n), persistent=False)

    def find(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Which atom each value is, -1 for none, and how many are below it, both `(B, C)`.

        In columns of atoms alone every value counts as the nearest of them.
        """
        atom, after = find_atoms_in(self.values, self.tolerance, self.count, x, self.mass[:, 1:] == 0)
        return atom, after

    def forward(
        self, z: Tensor, log_slope: Tensor, found: tuple[Tensor, Tensor], place: Tensor
    ) -> tuple[Tensor, Tensor]:
        """States with atoms, and their log-derivatives, from those of continuous values alone, all `(B, C)`."""
        atom, after = found
        is_atom = atom >= 0
        below = self.below[self.start, after]
        mass, rest = self.mass[:, 0], self.mass[:, 1]
        low, high, own = self.table[self.start, atom.clamp_min(0)].unbind(-1)
        part, log_part = _wide(place)
        part, log_part = torch.where(self.central, part, place), torch.where(self.central, log_part, 0.0)
        p = torch.where(is_atom, low + part * own, below + rest * normal_cdf(z))
        q = torch.where(is_atom, high + (1 - part) * own, mass - below + rest * normal_cdf(-z))
        least = torch.full_like(p, _UNDERFLOW).masked_fill(is_atom, _LEAST)
        state = normal_quantile(p.maximum(least), q.maximum(least))
        log_rate = torch.where(is_atom, own.log() + log_part, rest.log() + log_normal_density(z) + log_slope)
        return state, log_rate - log_normal_density(state)

    def lengths(self, after: Tensor) -> Tensor:
        """The length of the line that the cells of so many atoms would take, `(B, C)`."""
        return self.cut_out.gather(1, after.T).T

    def drawn(self, place: Tensor) -> Tensor:
        """The places at which values are learned, `(B, C)`, from uniform ones."""
        return torch.where(self.central, _learned(place), place)

    def values_at(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The value of each atom that is hit, its index (-1 for none), and the atoms below, all `(B, C)`."""
        position = torch.searchsorted(self.edges, state.T.contiguous(), right=True)
        after = (position // 2).minimum(self.count)
        hit = (position % 2 == 1) | (self.mass[:, 1:] == 0)
        atom = after.minimum(self.count - 1)
        return self.values.gather(1, atom).T, torch.where(hit, atom, -1).T, after.T

    def continuous(self, state: Tensor, after: Tensor) -> Tensor:
        """The states that continuous values alone would have, `(B, C)`; anything where an atom is."""
        mass, rest = self.mass[:, 0], self.mass[:, 1].clamp_min(_UNDERFLOW)
        below = self.below[self.start, after]
        u = (normal_cdf(state) - below) / rest
        v = (normal_cdf(-state) - (mass - below)) / rest
        return normal_quantile(u.clamp(_UNDERFLOW, 1.0), v.clamp(_UNDERFLOW, 1.0))


def find_atoms_in(
    values: Tensor, tolerance: Tensor, count: Tensor, x: Tensor, always: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Which atom each value is, -1 for none, and how many are below it, both `(B, C)`.

    Arguments:
        values: The atoms of each column, increasing, padded by infinity, `(C, k)`.
        tolerance: How far a value may lie from each of them, `(C, k)`.
        count: How many there are, `(C, 1)`.
        x: The values, `(B, C)`.
        always: The columns in which every value counts as the nearest atom, `(C, 1)`; none by default.
    """
    x = x.T.contiguous()
    after = torch.searchsorted(values, x)
    lower, upper = (after - 1).clamp_min(0), after.minimum(count - 1)
    to_lower = (x - values.gather(1, lower)).abs()
    to_upper = (values.gather(1, upper) - x).abs()
    nearest = torch.where(to_lower < to_upper, lower, upper)
    hit = torch.minimum(to_lower, to_upper) <= tolerance.gather(1, nearest)
    hit = hit if always is None else hit | always
    return torch.where(hit, nearest, -1).T, after.T


def cut_out(maps: Sequence[ColumnMap]) -> Tensor:
    """The length of the line that the cells of the first atoms of each column would take, padded, `(C, k + 1)`."""
    found = torch.zeros((len(maps), 1 + max(len(m.values) for m in maps)), dtype=torch.float64)
    for c, m in enumerate(maps):
        found[c, : len(m.values) + 1] = m.cut_out
    return found


def tolerances(maps: Sequence[ColumnMap]) -> Tensor:
    """How far values may lie from each atom of each column to count as the same, `(C, k)`."""
    size = max(len(m.values) for m in maps)
    return torch.stack([_tolerance(m, size) for m in maps])


def _wide(place: Tensor) -> tuple[Tensor, Tensor]:
    """Which part of an atom's probability lies below a place, and the log of its derivative."""
    widest = math.atan(0.5 / _WIDTH)
    angle = widest * (2 * place - 1)
    return (0.5 + _WIDTH * angle.tan()).clamp(0, 1), math.log(2 * widest * _WIDTH) - 2 * angle.cos().log()


def _learned(place: Tensor) -> Tensor:
    """The places whose parts are normal around the middle, from uniform ones."""
    low = 0.5 * math.erfc(0.5 / _SPREAD / math.sqrt(2))
    z = normal_quantile(low + (1 - 2 * low) * place, low + (1 - 2 * low) * (1 - place))
    part = (0.5 + _SPREAD * z).clamp(0, 1)
    return 0.5 + ((part - 0.5) / _WIDTH).atan() / (2 * math.atan(0.5 / _WIDTH))


def _consecutive(column: ColumnMap) -> bool:
    """Whether all values are atoms, with equal steps between them."""
    steps = column.values.diff()
    return column.discrete and len(steps) > 1 and bool((steps - steps[0]).abs().max() < 1e-3 * steps[0])


def _tolerance(column: ColumnMap, size: int) -> Tensor:
    """How far values may lie from each atom to count as the same, `(size,)`: a quarter of a step on a lattice."""
    values, step = column.values, column.lattice[1] / column.lattice[2]
    found = torch.full((size,), step / 4, dtype=torch.float64)
    if not step:
        gap = float(values.diff().min()) if len(values) > 1 else math.inf
        found[: len(values)] = (_RELATIVE * values.abs()).clamp_max(0.01 * gap)
    return found
