"""How one column becomes coordinates of a state, as a plain value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .periodic import bent, moved

__all__ = ["Base", "ColumnMap"]

Base = Literal["affine", "log", "softplus", "logit"]
_BOUNDS = {"affine": (0, 1, 2), "log": (1,), "softplus": (1,), "logit": (2,)}  # how many a base takes


@dataclass(frozen=True, eq=False)
class ColumnMap:
    """The map between a column and its coordinates: a category, a constant, or a number.

    A number x first gets coordinates that know its bounds, T(x) = x, log(x - lower), -log(upper - x),
    log(x - lower) - log(upper - x), or the inverse of a softplus, d + b log(1 - exp(-d/b)) with d = x - lower and the bend b,
    and the negative of that with d = upper - x. Then y = (T(x) - location) / scale. With knots, a monotone rational-quadratic
    spline follows, z = g(y), with analytic tails beyond the outermost knots. Atoms are values of positive probability: levels
    of a category, or each with an interval of standard normal probability as large as its own. On a lattice, a value that is
    not an atom stands for the cell around it. A column of few values that are all atoms may be a category itself, whose levels
    stand for them.

    Arguments:
        levels: The number of levels of a category; 0 for a number. One level has no state. Values are codes of levels, unless
            there are atoms: then level k stands for the k-th of these.
        constant: The only value of a column that has no state.
        missing: Whether values may be missing.
        base: What precedes the spline: "affine"; "log" or "softplus" for one bound; "logit" for two.
        lower: What values other than atoms are not below.
        upper: What values other than atoms are not above.
        location: The center of T(x).
        scale: The scale of T(x), positive.
        bend: Of a softplus the distance from the bound where it turns from a logarithm to a straight line, positive.
        knots: y, z and dz/dy at the knots of the spline, `(3, K)` with K > 1, all increasing but the last row; None
            without a spline.
        tails: For the lower and the upper tail, `(2, 2)`: scale and shape of a generalized Pareto distribution of the
            excesses of y over the outermost knot. With scale 0 the tail is normal: z goes on as a straight line.
        atoms: The values of positive probability, increasing, and these probabilities, `(2, k)`.
        lattice: (origin, step, denominator) of the lattice (origin + k step) / denominator; a step of 0 for none.
        fine: Whether the lattice is so fine that its values are learned as points; samples are rounded to it all the same.
        cycle: For dates whose days or weeks are not alike, the parts of one, `(2, K)`: their ends, increasing, and places on a
            line where there is as much room as there are data, over the same length. What is said of x above holds for
            places on this line, from which the cells of atoms are cut out; None for x itself.
        clock: Of a cycle by a clock that is put forward and back, values and what it shows there, `(2, K)`, increasing, with
            slope 1 beyond; None for one that is not.
        separate: Whether a category of its own says which atom a value is, if any: the state is then that of continuous values
            alone. Else atoms have intervals of the state, as in columns of nothing but atoms, and in files that do not say.

    Raises:
        ValueError: If the parts do not fit together.

    Example:
        >>> ColumnMap(base="log", lower=0.0, location=1.0, scale=2.0).is_number
        True
        >>> ColumnMap(levels=3, missing=True).coordinates
        3
    """

    levels: int = 0
    constant: float | None = None
    missing: bool = False
    base: Base = "affine"
    lower: float | None = None
    upper: float | None = None
    location: float = 0.0
    scale: float = 1.0
    bend: float = 1.0
    knots: Tensor | None = None
    tails: Tensor | None = None
    atoms: Tensor | None = None
    lattice: tuple[float, float, float] = (0.0, 0.0, 1.0)
    fine: bool = False
    separate: bool = False
    cycle: Tensor | None = None
    clock: Tensor | None = None

    def __post_init__(self) -> None:
        if not (self.scale > 0 and math.isfinite(self.scale) and math.isfinite(self.location)):
            raise ValueError(f"a column needs a finite location and a scale > 0, got {self.location:g}, {self.scale:g}")
        bounds = (self.lower is not None) + (self.upper is not None)
        if self.base not in _BOUNDS:
            raise ValueError(f"base is 'affine', 'log', 'softplus' or 'logit', got {self.base!r}")
        if not (self.bend > 0 and math.isfinite(self.bend)):
            raise ValueError(f"a bend is a finite number > 0, got {self.bend:g}")
        if bounds not in _BOUNDS[self.base]:
            what = "two bounds" if self.base == "logit" else "one bound"
            raise ValueError(f"a {self.base} map needs {what}, got lower={self.lower}, upper={self.upper}")
        if self.lower is not None and self.upper is not None and not self.lower < self.upper:
            raise ValueError(f"bounds must be increasing, got {self.lower:g} and {self.upper:g}")
        self._check_tensors()

    def _check_tensors(self) -> None:
        if (self.knots is None) != (self.tails is None):
            raise ValueError("knots and tails go together: give both or none")
        if self.knots is not None and self.tails is not None:
            ordered = self.knots.ndim == 2 and len(self.knots) == 3 and self.knots.shape[1] > 1
            if not ordered or not bool((self.knots[:2].diff() > 0).all()) or not bool((self.knots[2] > 0).all()):
                raise ValueError("knots are (3, K): increasing y, increasing z, and positive slopes")
            if self.tails.shape != (2, 2) or bool((self.tails[:, 0] < 0).any()):
                raise ValueError("tails are (2, 2): a scale >= 0 and a shape for the lower and the upper one")
        if self.cycle is not None:
            whole = self.cycle.ndim == 2 and len(self.cycle) == 2 and self.cycle.shape[1] > 1
            if not whole or not bool((self.cycle.diff() > 0).all()):
                raise ValueError("a cycle is (2, K), increasing")
            length, new = (float(each[-1] - each[0]) for each in self.cycle)
            if abs(new - length) > 1e-9 * length:
                raise ValueError(f"a cycle is as long on the new line, got {length:g} and {new:g}")
        if self.clock is not None:
            rows = self.clock.ndim == 2 and len(self.clock) == 2 and self.clock.shape[1] > 1
            if not rows or not bool((self.clock.diff() > 0).all()) or self.cycle is None:
                raise ValueError("a clock is (2, K), increasing, of a column with a cycle")
        if self.atoms is not None:
            fine = self.atoms.ndim == 2 and len(self.atoms) == 2 and self.atoms.shape[1] > 0
            if not fine or not bool((self.atoms[0].diff() > 0).all()) or not bool((self.atoms[1] > 0).all()):
                raise ValueError("atoms are (2, k): increasing values, and their probabilities > 0")
            if float(self.atoms[1].sum()) > 1 + 1e-9:
                raise ValueError(f"probabilities of atoms add up to {float(self.atoms[1].sum()):g}, more than 1")
        if self.levels and self.atoms is not None and not (self.discrete and len(self.values) == self.levels):
            raise ValueError(
                f"{self.levels} levels stand for as many atoms, and there is nothing else: give all values"
            )
        if self.cycle is not None and self.discrete:
            raise ValueError("a column of nothing but atoms has no line, and no cycle: leave the cycle out")
        if self.separate and (self.atoms is None or self.discrete):
            raise ValueError(
                "separate atoms are among continuous values: give some, whose probabilities add up to less than 1"
            )

    @property
    def is_number(self) -> bool:
        """Whether it has one coordinate, a number."""
        return self.levels == 0 and self.constant is None

    @property
    def coordinates(self) -> int:
        """The number of its coordinates, without those of its indicator."""
        return 1 if self.is_number else self.levels * (self.levels > 1)

    @property
    def values(self) -> Tensor:
        """The atoms' values, `(k,)`."""
        return torch.zeros(0, dtype=torch.float64) if self.atoms is None else self.atoms[0].double()

    @property
    def probabilities(self) -> Tensor:
        """The atoms' probabilities, `(k,)`."""
        return torch.zeros(0, dtype=torch.float64) if self.atoms is None else self.atoms[1].double()

    @property
    def discrete(self) -> bool:
        """Whether there is nothing but atoms."""
        return self.atoms is not None and float(self.atoms[1].sum()) > 1 - 1e-9

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """What values cannot lie below and above."""
        return self.lower, self.upper

    @property
    def step(self) -> float:
        """The width of the cells that values stand for; 0 where they are points."""
        return 0.0 if self.fine else self.lattice[1] / self.lattice[2]

    @property
    def has_cells(self) -> bool:
        """Whether some values stand for cells."""
        return self.is_number and (self.atoms is not None or self.step > 0)

    @property
    def extent(self) -> tuple[float, float]:
        """The bounds of what precedes the spline: cells reach beyond values, and those of atoms are cut out."""
        low = -math.inf if self.lower is None else self.lower - self.step / 2
        high = math.inf if self.upper is None else self.upper + self.step / 2
        ends = torch.tensor([low, high], dtype=torch.float64)
        found = self.on_line(ends) - self.cut_out[(self.values < ends[:, None]).sum(1)]
        return float(found[0]), float(found[1])

    @property
    def cut_out(self) -> Tensor:
        """The length of the line that the cells of the first 0, 1, …, k atoms would take, `(k + 1,)`."""
        count = len(self.values)
        if self.cycle is None or self.step == 0:
            return self.step * torch.arange(count + 1, dtype=torch.float64)
        ends = [self.on_line(self.values + side * self.step / 2) for side in (-1, 1)]
        return torch.cat((torch.zeros(1, dtype=torch.float64), (ends[1] - ends[0]).cumsum(0)))

    @property
    def cuts(self) -> Tensor:
        """Where the cells of atoms were, on the line from which they are cut out, `(k,)`."""
        return self.on_line(self.values - self.step / 2) - self.cut_out[:-1]

    def on_line(self, values: Tensor) -> Tensor:
        """The places of values `(n,)` on the line of the cycle, with all cells; the values where there is no cycle."""
        if self.cycle is None:
            return values
        shown = values if self.clock is None else bent(values, *self.clock.double())[0]
        return torch.where(values.isfinite(), moved(shown, *self.cycle.double())[0], values)
