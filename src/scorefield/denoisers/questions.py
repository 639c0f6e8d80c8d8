"""What a network of mixed states is asked in training: which variables are free, given or absent in each row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from ..data.variables import ABSENT, FREE, GIVEN, Variables
from ..rng import Rng
from .blocks import Blocks

__all__ = ["Questions"]

_CHAIN, _COMPLETE = 0.25, 0.625  # of the conditional rows: factors of the chain rule of categories, then no missingness
_FEW, _ONE = 0.5, 0.6  # of the random questions: one value or two are given; of these: one


class Questions(nn.Module):
    """Random questions about rows of data, as status of their variables.

    In joint rows all variables are free. Conditional rows are of three kinds. In a factor of the chain rule, what comes
    earlier in the order is given, one category, or all numbers at the end, is free, and the rest is absent. Half of these are
    factors of a marginal: of some variables alone, where the others are absent with their indicators. In the rest,
    variables are given, free or absent at random: one or two of them are given in half of these rows, since this is what is
    asked most, and as many as it happens in all others. In complete questions indicators are absent, so that values are those
    that would have been there; else the distribution has missing values as the data have, and what is absent is so with its
    indicator.

    Where a value and its indicator are absent, it may miss or not: the distribution of the others is that of all rows. Where
    the indicator alone is absent, it is that of rows that have the value.

    A missing value is an independent draw (standard normal, or a random level) wherever its indicator is free, as the
    distribution of states with indicators has it; elsewhere, and where there is no indicator, it is absent. So is the number
    of an atom, by the category that says which atom it is.

    Arguments:
        variables: How states are made of variables.
        asked: The status of each variable in questions that half of the conditional rows ask, each as often; half of these
            leave some of what is given out, at random.
        together: How many rows after one another are asked the same.

    Raises:
        ValueError: If such a question does not say FREE, GIVEN or ABSENT of each variable, or nothing is free in it.
    """

    first: Tensor
    order: Tensor
    is_indicator: Tensor
    owners: Tensor
    alone: Tensor
    with_atom: Tensor
    atom_of: Tensor
    with_flag: Tensor
    flag_of: Tensor
    asked: Tensor

    def __init__(self, variables: Variables, asked: Sequence[Sequence[int]] = (), together: int = 1) -> None:
        super().__init__()
        for question in asked:
            if len(question) != variables.count or FREE not in question or not {*question} <= {FREE, GIVEN, ABSENT}:
                need = f"one status for each of {variables.count} variables, of which one at least is free"
                raise ValueError(f"a question that is asked has {need}, got {tuple(question)}")
        self.variables, self.together = variables, together
        self.blocks = Blocks(variables.levels)
        of_blocks = [start for start, _ in variables.blocks]
        places = {category: place for place, category in enumerate(chain(variables))}
        last = len(variables.levels)
        indicators = {i for i in variables.indicators if i >= 0}
        atoms = (*variables.atoms, *(-1 for _ in variables.levels))
        flags = [flag if atom < 0 else -1 for flag, atom in zip(variables.indicators, atoms)]
        known = {
            "first": torch.tensor([*range(variables.numbers), *of_blocks], dtype=torch.long),
            "order": torch.tensor([last] * variables.numbers + [places[k] for k in range(last)], dtype=torch.long),
            "is_indicator": torch.tensor([v in indicators for v in range(variables.count)]),
            "owners": torch.tensor(variables.owners, dtype=torch.long),
            "alone": torch.tensor([max(pair) < 0 for pair in zip(atoms, flags)]),
            "asked": torch.tensor([list(question) for question in asked], dtype=torch.long).reshape(
                -1, variables.count
            ),
        }
        for name, said_by in (("atom", atoms), ("flag", flags)):
            known[f"{name}_of"] = torch.tensor([v for v in said_by if v >= 0], dtype=torch.long)
            known[f"with_{name}"] = torch.tensor([v for v, k in enumerate(said_by) if k >= 0], dtype=torch.long)
        for name, tensor in known.items():
            self.register_buffer(name, tensor, persistent=False)
        self._linked = not bool(self.alone.all())

    def are_factors(self, status: Tensor) -> Tensor:
        """Whether rows ask for a factor of the chain rule: for one category alone, given no number, `(B, 1)`.

        Questions about a category that `asked` asks for alone are none: they have many more rows.

        Arguments:
            status: The status of each variable, `(B, V)`.
        """
        n, free = self.variables.numbers, status == FREE
        one = (free.sum(1, keepdim=True) == 1) & (status[:, :n] == ABSENT).all(1, keepdim=True)
        asked = self.asked == FREE
        often = (asked & (asked.sum(1, keepdim=True) == 1)).any(0)
        return one & ~(free & often).any(1, keepdim=True)

    @property
    def _links(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Numbers and what says whether they are atoms, then those categories and all else and what says whether they miss."""
        return (self.with_atom, self.atom_of), (self.with_flag, self.flag_of)

    def draw(self, x0: Tensor, share: float, rng: Rng) -> tuple[Tensor, Tensor]:
        """Draws what is asked about rows.

        Arguments:
            x0: States `(B, size)`, NaN where values are missing.
            share: The fraction of conditional rows.
            rng: The source.

        Returns:
            The status of each variable, `(B, V)`, and states without NaN, `(B, size)`.
        """
        missing = x0.index_select(1, self.first).isnan()
        status = torch.zeros(missing.shape, dtype=torch.long, device=x0.device)
        if share > 0:
            u = rng.uniform((len(x0), self.variables.count + 3), x0.dtype, x0.device)
            if self.together > 1:
                u = u[:: self.together].repeat_interleave(self.together, 0)[: len(x0)]
            status = self._conditional(u[:, :3].split(1, 1), u[:, 3:], share)  # type: ignore[no-untyped-call]
        if not bool(missing.any()):
            return status, x0
        status = self._with_patterns(status, missing).masked_fill(missing & self.alone, ABSENT)
        for own, said_by in reversed(self._links):  # where both miss, the category before its number
            drawn = ~missing.index_select(1, own) | (status.index_select(1, said_by) == FREE)
            status = status.index_copy(1, own, torch.where(drawn, status.index_select(1, own), ABSENT))
        return status, self._filled(x0, rng.child("missing"))

    def _conditional(self, of_row: tuple[Tensor, ...], u: Tensor, share: float) -> Tensor:
        """The status of variables as if all were there, from uniform numbers: three a row, `(B, 1)`, and one each, `(B, V)`."""
        place, a, b = of_row[0] / share, of_row[1], of_row[2]
        which = 2 * place - 1 if len(self.asked) else place
        kind = torch.where(
            which < _COMPLETE, (which - _CHAIN) / (_COMPLETE - _CHAIN), (which - _COMPLETE) / (1 - _COMPLETE)
        )
        a = torch.where((kind >= 0) & (kind < _FEW), _few(u, a < _ONE), a)
        absent = (2 * b - 1).clamp_min(0.0) * (1 - a)  # of half of the rows, none is absent
        status = (u < a + absent).long() + ((u >= a) & (u < a + absent)).long()
        if self._linked:
            status = self._consistent(status, which < _COMPLETE)
        link = torch.floor(2 * b * max(len(self.variables.levels), 1)).long().clamp_max(len(self.variables.levels))
        factor = (self.order < link).long() + 2 * (self.order > link).long()
        if self.variables.levels:
            status = torch.where(which < _CHAIN, self._of_some(factor, u < 2 * a - 1), status)  # a marginal in half
        if len(self.asked):
            status = torch.where(place < 0.5, self._asked(2 * place[:, 0], u < 2 * b - 1), status)
        return torch.where(place < 1, status, FREE)

    def _of_some(self, factor: Tensor, left: Tensor) -> Tensor:
        """Factors of a marginal: less what is `left` out, `(B, V)`, with its categories of atoms and its indicators.

        The category that is asked for stays, and all numbers if none would.
        """
        asked = (factor == FREE) & (torch.arange(factor.shape[1], device=factor.device) >= self.variables.numbers)
        left = left & ~asked
        for own, said_by in self._links:
            left = left.index_copy(1, said_by, left.index_select(1, own)) & ~asked
        some = factor.masked_fill(left, ABSENT)
        return torch.where((some == FREE).any(1, keepdim=True), some, factor)

    def _asked(self, place: Tensor, left: Tensor) -> Tensor:
        """Questions that are asked, by a uniform number, `(B,)`, less what is left out, `(B, V)`, of what they give."""
        question = self.asked.index_select(
            0, torch.floor(place * len(self.asked)).long().clamp_max(len(self.asked) - 1)
        )
        for own, said_by in self._links:
            left = left.index_copy(1, said_by, left.index_select(1, own))
        return torch.where((question == GIVEN) & left, ABSENT, question)

    def _consistent(self, status: Tensor, complete: Tensor) -> Tensor:
        """With indicators absent in complete rows; elsewhere known or absent where their variable is, and free where it is.

        Categories of atoms are known where their number is, and free at least where it is, in all rows.
        """
        found = [status]
        for own, said_by in self._links:
            value, known = (found[-1].index_select(1, index) for index in (own, said_by))
            known = torch.where((value == FREE) & (known == ABSENT), FREE, torch.where(value == GIVEN, GIVEN, known))
            if len(found) == 2:  # indicators, the second of the links
                known = torch.where(value == ABSENT, ABSENT, known)
            found.append(found[-1].index_copy(1, said_by, known))
        return torch.where(complete, found[1].masked_fill(self.is_indicator, ABSENT), found[2])

    def _with_patterns(self, status: Tensor, missing: Tensor) -> Tensor:
        """With all indicators given where a question without missingness needs a value that is missing.

        Such a row says nothing about that question, and another one without the value would have too many rows that miss it.
        What misses is given in place of it, so that the choice of the question depends on what is given alone.
        """
        own, said_by = self._links[1]
        needed = missing.index_select(1, own) & (status.index_select(1, own) != ABSENT)
        unsaid = (needed & (status.index_select(1, said_by) == ABSENT)).any(1, keepdim=True)
        return torch.where(unsaid & self.is_indicator, GIVEN, status)

    def _filled(self, x0: Tensor, rng: Rng) -> Tensor:
        """States whose missing values are independent draws."""
        n = self.variables.numbers
        normal = rng.normal((len(x0), n), x0.dtype, x0.device)
        u = rng.uniform((len(x0), len(self.variables.levels)), x0.dtype, x0.device)
        return torch.where(x0.isnan(), torch.cat((normal, self.blocks.corners(u)), 1), x0)


def _few(u: Tensor, one: Tensor) -> Tensor:
    """A number above one of the numbers of a row `(B, V)`, or above two of them, and below all others, `(B, 1)`."""
    ranked, last = u.sort(1).values, u.shape[1] - 1
    place = (~one).long().clamp_max(max(last - 1, 0))
    return (ranked.gather(1, place) + ranked.gather(1, (place + 1).clamp_max(last))) / 2


def chain(variables: Variables) -> tuple[int, ...]:
    """The order of the categories in the chain rule: indicators first, because what is missing must not show earlier.

    Example:
        >>> chain(Variables(1, (3, 2), (2, -1, -1)))
        (1, 0)
    """
    indicators = {i - variables.numbers for i in variables.indicators if i >= 0}
    return (*sorted(indicators), *(k for k in range(len(variables.levels)) if k not in indicators))
