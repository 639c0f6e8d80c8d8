"""The interface of units: the invertible map between data and the states that models work on."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..data.variables import GIVEN, Variables
from ..rng import Samples

__all__ = ["Units"]


class Units(nn.Module, abc.ABC):
    """An invertible map from data, in their own units, to states, which have about mean 0 and standard deviation 1.

    To add one, write `forward`, `inverse` and `log_volume`. Values that stand for cells (whole numbers, atoms) are
    spread over them: `forward` takes a place in the cell for each value, and `inverse` maps the whole cell to the value.

    Arguments:
        shape: The shape `D` of a sample of the data, in the layout of networks.
    """

    affine: ClassVar[bool] = False
    """Whether it is the map (x - mean) / std."""

    has_cells: bool = False
    """Whether values stand for cells, so that `forward` depends on the place."""

    @property
    def smooth(self) -> Tensor:
        """Whether each column, or channel, of the data follows its state smoothly: not categories, atoms and constants."""
        return torch.ones(self.shape[0], dtype=torch.bool)

    @property
    def atoms(self) -> tuple[tuple[float, ...], ...]:
        """The values of positive probability of each column, or channel, increasing."""
        return ((),) * self.shape[0]

    @property
    def bounds(self) -> tuple[tuple[float | None, float | None], ...]:
        """What the values of each column, or channel, cannot lie below and above; None where there is no such bound."""
        return ((None, None),) * self.shape[0]

    def derived(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Known values of rows, with those that follow from them exactly.

        Arguments:
            x: Rows of data, `(M, *shape)`.
            known: Which values are known, true or false, `(M, *shape)`.
        """
        return x, known

    def contradiction(self, x: Tensor, known: Tensor) -> str | None:
        """What known values of rows contradict that holds in all rows, in words; None where nothing does.

        Arguments:
            x: Rows of data, `(M, *shape)`.
            known: Which values are known, true or false, `(M, *shape)`.
        """
        return None

    def contradicting(self, x: Tensor, known: Tensor) -> Tensor:
        """Which known values of rows cannot be together, whatever the others are, `(M, *shape)`: as if each were a mistake.

        Arguments:
            x: Rows of data, `(M, *shape)`.
            known: Which values are known, true or false, `(M, *shape)`.
        """
        return torch.zeros_like(known)

    outside: Callable[[Tensor], Tensor] | None = None
    """Says which data `(B, *D)`, though drawn, are impossible, `(B,)`; None where all that is drawn is possible."""

    variables: Variables | None = None
    """How states are made of variables, if some are categories; None if every coordinate is a number."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """The shape of a state; that of the data, unless columns become several coordinates or none."""
        return self.shape

    @property
    def device(self) -> torch.device:
        """Where the map is computed."""
        return next((each.device for each in self.buffers()), torch.device("cpu"))

    @abc.abstractmethod
    def forward(self, x: Tensor, place: Tensor | None = None) -> Tensor:
        """Maps data, `(B, *shape)`, to states, `(B, *state_shape)`.

        Arguments:
            x: The data; NaN for missing values of a table.
            place: The place of each value in its cell, on [0, 1), `(B, *shape)`; in the middle if left out.
        """

    def drawn(self, place: Tensor) -> Tensor:
        """The places in cells at which networks learn values, `(B, *shape)`, from uniform ones.

        They differ from uniform ones where a value's state keeps away from the ends of its interval in training. An integral
        over the cell takes uniform places all the same, which are not as seldom at the ends.

        Arguments:
            place: Uniform numbers on [0, 1), `(B, *shape)`.
        """
        return place

    @abc.abstractmethod
    def inverse(self, x: Tensor) -> Tensor:
        """Maps states, `(B, *state_shape)`, to data, `(B, *shape)`."""

    def with_known(self, drawn: Tensor, x: Tensor, known: Tensor) -> Tensor:
        """Data that were drawn, `(B, *shape)`, with known values, and what equals them exactly.

        Arguments:
            drawn: The data, from `inverse`.
            x: The known values, `(B, *shape)`.
            known: Which ones are known, true or false, `(B, *shape)`.
        """
        return torch.where(known, x, drawn)

    @abc.abstractmethod
    def log_volume(self, x: Tensor, place: Tensor | None = None, counted: Tensor | None = None) -> Tensor:
        """log |det ∂ state / ∂ x| at data `(B, *shape)`, of shape `(B,)`: what a log-density of states lacks.

        For an atom, the derivative is that by the place: the mean over places of the density of states, times this volume,
        is then its probability. For a value on a lattice that mean is the probability of its cell over the width of the cell,
        a density; for whole numbers both are the same. Categories do not count, nor do missing values.

        Arguments:
            x: The data.
            place: The place of each value in its cell; in the middle if left out.
            counted: The values of tables whose density it is, true or false, `(B, C)`; the others are known. All by default.
        """

    def state_errors(self, x: Tensor, errors: Tensor) -> Tensor:
        """The standard deviations of states of data with small errors: |∂ state / ∂ x| times `errors`, of the shape of x."""
        return torch.func.jvp(self.forward, (x,), (errors,))[1].abs()  # type: ignore[no-any-return]

    def step_of_data(self, step: Tensor) -> Tensor:
        """The step of data that a step of states `(B, *D)` makes, for affine units: the derivative of `inverse`.

        Raises:
            TypeError: If the units are not affine, so that it depends on the state.
        """
        raise TypeError(f"{type(self).__name__} is not affine: its derivative depends on the state")

    def filled(self, state: Tensor, seed: int = 0) -> Tensor:
        """States whose missing values (NaN) are independent draws, as a model of missingness learns them.

        Arguments:
            state: States, `(B, *state_shape)`.
            seed: The seed of the draws: standard normal numbers, and random levels of categories.
        """
        variables, lost = self.variables, state.isnan()
        if variables is None or not bool(lost.any()):
            return state
        rng = Samples(seed, 0, len(state), "missing")
        drawn = [rng.normal((len(state), variables.numbers), state.dtype, state.device)]
        u = rng.uniform((len(state), len(variables.levels)), state.dtype, state.device)
        for levels, place in zip(variables.levels, u.unbind(1)):
            drawn.append(F.one_hot((place * levels).long().clamp_max(levels - 1), levels).to(state))
        return torch.where(lost, torch.cat(drawn, 1), state)

    def status(self, known: Tensor, x: Tensor, complete: bool = False) -> Tensor:
        """What each variable is in the conditional distribution of the other values given some.

        Arguments:
            known: Which values are given, `(M, *shape)`, true or false.
            x: The data, NaN where a value is missing.
            complete: Whether missingness is left out: indicators are absent, and so are missing values.

        Returns:
            FREE, GIVEN or ABSENT (`data.variables`) for each variable, of shape `(M, V)`; V is the number of
            coordinates where every coordinate is a number.
        """
        return known.flatten(1).long()

    def variables_of(self, columns: Tensor) -> Tensor:
        """Which variables say something of some columns, true or false, `(V,)`.

        Arguments:
            columns: Which columns, true or false, of the shape of a row.
        """
        return columns.flatten().bool()

    def numbers_of(self, x: Tensor) -> Tensor:
        """The state of each column of data that has a number of its own there, `(M, C)`; NaN for all others.

        Arguments:
            x: Rows of data, `(M, C)`.
        """
        state, found = self(x), torch.full_like(x, torch.nan)
        count = state.shape[1] if self.variables is None else self.variables.numbers
        for c, column in enumerate(torch.eye(x.shape[1], dtype=torch.bool, device=x.device)):
            places = self.variables_of(column).nonzero()[:, 0].tolist()
            if places and places[0] < count:
                found[:, c] = state[:, places[0]]
        return found

    def targets(self, wanted: Tensor, known: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """What has a part in the log-density of wanted values given known ones.

        Arguments:
            wanted: Which values are wanted, true or false, `(M, *shape)`.
            known: Which ones are known, `(M, *shape)`.
            x: The data, NaN where a value is missing.

        Returns:
            The variables, true or false, `(M, V)`, and the values, `(M, *shape)`, as `log_volume` counts them.
        """
        union, given = self.status(wanted | known, x), self.status(known, x)
        return (union == GIVEN) & (given != GIVEN), wanted & ~known
