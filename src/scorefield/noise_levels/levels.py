"""Noise levels: one value that the loss, the parametrization and samplers share."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from ..processes import EDM
from .ladder import PUBLISHED_OVERLAP, Ladder
from .langevin import Annealing, best_ratio, fixed_point, one_level

__all__ = ["NoiseLevels"]

_EVALUATIONS = 1200  # of a network, for a sample by annealed Langevin dynamics: about those of NCSNv2 on CIFAR-10
_LABELS = (
    "smallest level σ_min",
    "largest level σ_max",
    "mean of ln σ in training",
    "standard deviation of ln σ in training",
    "part of training below them",
)
_OF_ANNEALING = (
    "Langevin moves T at each level",
    "their step r = ε/σ_L²",
    "ε, for moves x + ε s + √(2ε) z",
    "variance ρ* at the end, of σ_L²",
)
_NARROW = 2e-3  # standard deviations: the smallest level of a conditional model, at most
_COST_OF_TAIL = "twice: that much less for the others; 0: bits per dimension as with σ_min = 0.02"


@dataclass(frozen=True)
class NoiseLevels:
    """Noise levels, in units of the standardized data.

    Arguments:
        sigma_min: The smallest noise level.
        sigma_max: The largest noise level.
        level_mean: The mean of ln σ in training.
        level_std: The standard deviation of ln σ in training.
        reasons: Why: a sentence for each of the four, in this order, and one for the tail if there is one.
        reach: The largest distance between two examples, the first level of a ladder; σ_max if it is not known.
        numbers: The dimension of an example, which a ladder depends on.
        overlap: How much neighbouring levels of a ladder overlap.
        moves: The moves of annealed Langevin dynamics at each level; as many as make 1,200 in all, by default.
        ratio: Their step r in units of σ²; by default the one that ends with the least variance.
        tail: The part of training at the smallest levels, from σ_min up, uniform in ln σ; 0 for only those of the normal
            distribution.

    Example:
        >>> given = NoiseLevels(0.01, 50.0, -0.5, 1.2, numbers=3072, overlap=0.5667)
        >>> given.ladder.count, given.annealing.moves, round(given.annealing.variance, 3)
        (232, 5, 1.096)
    """

    sigma_min: float
    sigma_max: float
    level_mean: float
    level_std: float
    reasons: tuple[str, ...] = ("given",) * 4
    reach: float | None = None
    numbers: int | None = None
    overlap: float = 0.5
    moves: int | None = None
    ratio: float | None = None
    tail: float = 0.0

    scale: ClassVar[float] = 1.0
    """The standard deviation of standardized data: the scale of the loss and of the preconditioner."""

    def process(self) -> EDM:
        """The noise process between the two levels."""
        return EDM(self.sigma_min, self.sigma_max)

    @property
    def ladder(self) -> Ladder:
        """The levels of NCSNv2: from the largest distance between data down to the smallest level.

        Raises:
            ValueError: If the dimension is not known.
        """
        if self.numbers is None:
            raise ValueError("a ladder depends on the dimension of the data: give NoiseLevels(…, numbers=…)")
        return Ladder.overlapping(self.reach or self.sigma_max, self.sigma_min, self.numbers, self.overlap)

    @property
    def annealing(self) -> Annealing:
        """The settings of annealed Langevin dynamics on the ladder."""
        ladder = self.ladder
        moves = self.moves or max(3, min(100, round(_EVALUATIONS / ladder.count)))
        ratio = self.ratio or best_ratio(moves, ladder.gap)
        return Annealing(moves, ratio, ladder.gap)

    def table(self) -> list[tuple[str, float, str]]:
        """What every fit uses: rows of name, value and reason."""
        values = (self.sigma_min, self.sigma_max, self.level_mean, self.level_std)
        return list(zip(_LABELS, (*values, self.tail) if self.tail else values, self.reasons))

    def narrower(self) -> NoiseLevels:
        """The same for conditional distributions of vectors, which may be narrower than all data, each by another factor."""
        why = "what is given may leave less open than distances between data show, and more or less of it"
        kept = self.reasons[1], self.reasons[2] + "; lower: " + why, self.reasons[3] + "; wider: " + why
        low, first = min(self.sigma_min, _NARROW), self.reasons[0] if self.sigma_min <= _NARROW else why
        mean, std = self.level_mean - 0.7, 1.5 * self.level_std
        return replace(
            self, sigma_min=low, level_mean=mean, level_std=std, reasons=(first, *kept, *self.reasons[4:]), tail=0.0
        )

    def scaled(self, factor: float) -> NoiseLevels:
        """The same for data that are larger by a factor."""
        reach = None if self.reach is None else factor * self.reach
        low, high, mean = factor * self.sigma_min, factor * self.sigma_max, self.level_mean + math.log(factor)
        return replace(self, sigma_min=low, sigma_max=high, level_mean=mean, reach=reach)

    def published(self, sigma_min: float) -> NoiseLevels:
        """The same with the choices of NCSNv2 as published: its overlap, and its criterion for Langevin steps.

        Arguments:
            sigma_min: The smallest level: `ncsnv2_smallest_level` of the data is that of NCSNv2.
        """
        reasons = ("that of NCSNv2: 0.01 where data are between 0 and 1", *self.reasons[1:])
        found = replace(self, sigma_min=sigma_min, reasons=reasons, overlap=PUBLISHED_OVERLAP, ratio=None)
        return replace(found, ratio=best_ratio(found.annealing.moves, found.ladder.gap, one_level))

    def rows(self, unit: float | None = None) -> list[tuple[str, float, str, str]]:
        """All choices: rows of name, value, reason, and what it would cost to change it.

        Arguments:
            unit: The standard deviation of the data in their own units, if it is one number.
        """
        costs = (*_cost_of_ends(self.process()), *_cost_of_distribution(self.level_mean, self.level_std), _COST_OF_TAIL)
        rows = [(*row, cost) for row, cost in zip(self.table(), costs)]
        return rows if self.numbers is None else rows + self._ladder_rows(unit) + self._annealing_rows()

    def _ladder_rows(self, unit: float | None) -> list[tuple[str, float, str, str]]:
        ladder = self.ladder
        ends = (ladder.first, ladder.last)
        first, last = ("" if unit is None else f", {v * unit:.5g} in the units of the data" for v in ends)
        published = abs(self.overlap - PUBLISHED_OVERLAP) > 1e-3
        other = PUBLISHED_OVERLAP if published else 0.5
        count = Ladder.overlapping(*ends, ladder.numbers, other).count
        reach = "the largest distance between two examples" if self.reach else "σ_max: distances are not known"
        reach += f"{first}: it reaches all examples"
        shared = "the part of a level's noise that lies where that of the next one does"
        root = f"Φ(√(2D)(γ-1)+3γ) - Φ(√(2D)(γ-1)-3γ) = C in D = {ladder.numbers:,} dimensions"
        root += "; in few dimensions levels always overlap, and γ is at most 2" if ladder.numbers < 18 else ""
        double = f"{math.log(2) / math.log(ladder.gap):.3g} more levels"
        other_cost = f"{other:g}: {count} levels" + (", as published" if published else "")
        cost = f"evaluations of the network: {ladder.count} for each move at a level"
        return [
            ("first level σ_1 of a ladder", ladder.first, reach, f"twice: {double}"),
            ("its last level σ_L", ladder.last, f"the smallest level σ_min{last}", f"half: {double}"),
            ("overlap C of its neighbours", self.overlap, shared, other_cost),
            ("their ratio γ", ladder.gap, root, f"its square root: {2 * ladder.count - 1} levels"),
            ("number of levels L", ladder.count, "1 + ln(σ_1/σ_L) / ln γ, rounded", cost),
        ]

    def _annealing_rows(self) -> list[tuple[str, float, str, str]]:
        ladder, steps = self.ladder, self.annealing
        moves, gap, step = steps.moves, steps.gap, steps.step(ladder.last)
        doubled = fixed_point(best_ratio(2 * moves, gap), 2 * moves, gap)
        paper = best_ratio(moves, gap, one_level)
        budget = f"a budget of {_EVALUATIONS:,} evaluations, 3 to 100: {moves * ladder.count:,} in all"
        costs = (
            f"twice: {2 * moves * ladder.count:,} evaluations, ρ* = {doubled:.4g}",
            f"{paper:.3g}, the best after one level alone: ρ* = {fixed_point(paper, moves, gap):.4g}",
            f"{2 * step:.3g} where moves are x + ε/2 s + √ε z, as in the paper of NCSN",
            "the last denoising takes most of the excess away",
        )
        reasons = (
            budget if self.moves is None else "given",
            "the least variance after all levels" if self.ratio is None else "given",
            "r σ_L²: the convention of NCSNv2, and of NCSN's code for images",
            f"the fixed point over levels; after one level {one_level(steps.ratio, moves, gap):.4g}",
        )
        return list(zip(_OF_ANNEALING, (moves, steps.ratio, step, steps.variance), reasons, costs))


def _cost_of_ends(process: EDM) -> tuple[str, str]:
    """The share of a sampler's steps that smaller and larger ends take."""
    low, high = process.sigma_min, process.sigma_max
    share = float(EDM(low / 2, high).time(torch.tensor(low, dtype=torch.float64)))
    other = 1 - float(EDM(low, 2 * high).time(torch.tensor(high, dtype=torch.float64)))
    return f"half: {100 * share:.2g} % of a sampler's steps", f"twice: {100 * other:.2g} % of a sampler's steps"


def _cost_of_distribution(mean: float, std: float) -> tuple[str, str]:
    low, high = math.exp(mean - 2 * std), math.exp(mean + 2 * std)
    where = f"95 % of training is between {low:.2g} and {high:.2g}; 1 more: between {math.e * low:.2g} and {math.e * high:.2g}"
    return where, f"twice: {math.exp(mean - 4 * std):.2g} to {math.exp(mean + 4 * std):.2g}, each level half as often"
