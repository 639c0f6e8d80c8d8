"""Denoisers of mixed states: numbers, and categories whose posterior mean is a softmax.

A category of K levels is one of the corners e_1, …, e_K of a simplex. Given the noisy state, its posterior mean is
E[x_0 | x] = Σ p(k | x) e_k, so that a network which gives probabilities is a denoiser that all samplers serve. The noise on its
own coordinates is known exactly: log p(k | x) = log π_k + x_k/σ² + F_k(x, σ)/s_k + const, where π_k is how frequent the level
is, s_k² = π_k (1 - π_k) is its variance, and F_k is what all other variables say. A network whose answer is 0 takes all
variables to be independent, and rare levels are as easy to learn as numbers of unit variance.

One network learns the joint distribution and every conditional distribution: flags mark variables as given, clean, or absent.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from ..data.variables import ABSENT, FREE, GIVEN, Variables
from ..rng import Rng
from ..tensors import per_sample
from .base import Denoiser
from .category_levels import CategoryLevels
from .precondition import ConditionalNetwork, Parametrization, Precision, WithNetwork, check_whitening
from .questions import Questions
from .reading_questions import ReadingQuestions
from .whitening import PrincipalMaps, Whitening

__all__ = [
    "ConditionalMixed",
    "ConditionedMixed",
    "GivenVariables",
    "MixedDenoiser",
    "MixedNetwork",
    "RestrictedNumbers",
]

_READINGS = 4  # of a row, which take as much work as a vector does
_TOGETHER = 4  # rows with the same question, where each pattern of given values has maps of its own
_SHARP = 0.01  # the level below which the noise on a category says no more: its level is then certain
_UNINFORMED = 5.0  # a level at which the noise on a category says little, so that an input that says nothing is usual
_HIDDEN = 0.75  # of the rows that ask for one category given others: nothing of it is seen, as in `category_log_probs`


class MixedNetwork(WithNetwork):
    """The network of mixed states: its inputs, its answers and its losses.

    Arguments:
        network: A network F(x, c), or F(x, c, context), with x of shape `(B, size + 2 count)`, a state and two flags for each
            variable, given and absent; c, the noise label, of shape `(B,)`; and answers of shape `(B, size)`.
        variables: How states are made of variables.
        parametrization: What F predicts of numbers; by default that of EDM.
        precision: "float32", or "bfloat16" for automatic mixed precision.
        share: The fraction of the rows in training that are conditional: some of their variables are given or absent.
        asked: Questions that half of these rows ask, each as often: FREE, GIVEN or ABSENT for each variable; every other time
            less a part of what is given. The other rows ask for random variables given random others.
        whitening: The moments of the numbers, whose thin directions then have coefficients of their own, those of EDM; given
            some of them, by their Gaussian conditional distribution.
        frequencies: How frequent each level of each category is, one number for each coordinate; if left out, all levels of a
            category alike, and F_k is not scaled.

    Raises:
        ValueError: If there is no such precision, the share is not a fraction, or questions or frequencies do not fit the
            variables.
    """

    owners: Tensor
    questions: Questions | ReadingQuestions

    def __init__(
        self,
        network: nn.Module,
        variables: Variables,
        parametrization: Parametrization | None = None,
        precision: Precision = "float32",
        share: float = 0.2,
        asked: Sequence[Sequence[int]] = (),
        whitening: Whitening | None = None,
        frequencies: Sequence[float] = (),
    ) -> None:
        super().__init__(network, parametrization, precision)
        check_whitening(whitening, self.parametrization)
        self.whitening = whitening
        if not 0 <= share <= 1:
            raise ValueError(f"share is the fraction of conditional rows, from 0 to 1, got {share:g}")
        if asked and variables.readings:
            raise ValueError("questions about readings are random, and none are asked more often: leave asked out")
        self.variables = variables
        self.share, self.asked = share, tuple(tuple(question) for question in asked)
        self.frequencies = tuple(frequencies)
        self.categories = CategoryLevels(variables.levels, self.frequencies)
        together = 1 if whitening is None else _TOGETHER
        self.questions = (
            ReadingQuestions(variables) if variables.readings else Questions(variables, self.asked, together)
        )
        self.register_buffer("owners", torch.tensor(variables.owners, dtype=torch.long), persistent=False)

    def outputs(
        self, x: Tensor, level: Tensor, status: Tensor | None = None, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The means of the numbers, `(B, N)`, and the log-probabilities of the levels of all categories, `(B, C)`.

        Arguments:
            x: States `(B, size)`: noisy where variables are free, clean where they are given, anything where they are absent.
            level: The noise level, `()` or `(B, 1)`.
            status: FREE, GIVEN or ABSENT for each variable, `(B, V)`; all are free if left out.
            context: What else is known, `(B, *shape)`.
        """
        n, scale = self.variables.numbers, self.parametrization.scale
        evidence = x[:, n:] / level.clamp_min(_SHARP) ** 2
        label = per_sample(torch.log(level / scale) / 4, x)
        maps = self._maps(x[:, :n], status)
        answer = self.answer(self._inputs(x, level, evidence, status, maps), label, context).to(x.dtype)
        log_probs = self.categories.log_probs(evidence, answer[:, n:])
        if maps is None:
            skip, gain = self.parametrization.coefficients(level)
            return skip * x[:, :n] + gain * answer[:, :n], log_probs
        skip, gain = maps.coefficients(level)
        return maps.states(skip * maps.coordinates(x[:, :n]) + gain * maps.turned(answer[:, :n])), log_probs

    def _maps(self, numbers: Tensor, status: Tensor | None) -> PrincipalMaps | None:
        """The maps of the numbers that are free, given those that are given."""
        if self.whitening is None:
            return None
        if status is None:
            return self.whitening.maps(numbers)
        return self.whitening.maps_given(numbers, status[:, : self.variables.numbers])

    def _inputs(
        self, x: Tensor, level: Tensor, evidence: Tensor, status: Tensor | None, maps: PrincipalMaps | None
    ) -> Tensor:
        """The input of the network: numbers with unit variance, probabilities of levels by their own coordinates, flags.

        The probabilities are sufficient statistics of the coordinates of a category: the rest of their noise is left out.
        """
        n, scale = self.variables.numbers, self.parametrization.scale
        if maps is None:
            numbers = torch.rsqrt(level**2 + scale**2) * x[:, :n]
        else:
            numbers = maps.inputs(maps.coordinates(x[:, :n]), level)
        noisy = (numbers, self.categories.standardized(self.categories.log_probs(evidence).exp()))
        if status is None:
            if self.variables.readings:
                raise ValueError("readings have times and channels, and these are given: take given_variables(…)")
            return torch.cat((*noisy, x.new_zeros(len(x), 2 * self.variables.count)), 1)
        owned = status.index_select(1, self.owners)
        clean = torch.cat((x[:, :n] / scale, self.categories.standardized(x[:, n:])), 1)
        inputs = torch.where(owned == GIVEN, clean, torch.cat(noisy, 1)).masked_fill(owned == ABSENT, 0.0)
        return torch.cat((inputs, (status == GIVEN).to(x), (status == ABSENT).to(x)), 1)

    def mean(self, x: Tensor, level: Tensor, status: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """E[x_0 | x] of the free variables, with arguments as in `outputs`, of shape `(B, size)`."""
        numbers, log_probs = self.outputs(x, level, status, context)
        return torch.cat((numbers, log_probs.exp()), 1)

    def losses(self, x0: Tensor, level: Tensor, weight: Tensor, rng: Rng, context: Tensor | None = None) -> Tensor:
        """w (D - x_0)² summed over the free numbers, and the cross-entropies of the free categories, over V: `(B,)`.

        A share of the rows is conditional. Missing values, which are NaN, are absent, or independent draws where the
        state says by an indicator that they are missing. Most factors of the chain rule of categories are learned as they
        are asked for, with a category of which nothing is seen: where noise shows it, there is nothing to learn.
        """
        n = self.variables.numbers
        status, x0 = self.questions.draw(x0, self.share, rng.child("question"))
        free = status == FREE
        noisy = x0 + level * rng.normal_like(x0)
        if self.share > 0 and self.variables.levels:
            hidden = rng.child("hidden").uniform((len(x0), 1), x0.dtype, x0.device) < _HIDDEN
            hidden = hidden & self.questions.are_factors(status)
            level, noisy = torch.where(hidden, _UNINFORMED, level), noisy.masked_fill(hidden, 0.0)
        x = torch.where(free.index_select(1, self.owners), noisy, x0)
        numbers, log_probs = self.outputs(x, level, status, context)
        errors = torch.cat(
            (weight * (numbers - x0[:, :n]) ** 2, -self.categories.blocks.sums(x0[:, n:] * log_probs)), 1
        )
        return (errors * free).sum(1) / self.variables.count


class _Mixed(Denoiser):
    """What denoisers of mixed states share, with or without a context."""

    @abc.abstractmethod
    def _whole(self) -> tuple[MixedNetwork, Tensor | None]:
        """The network, and the context, `(M, *shape)`."""

    @property
    def work(self) -> int:
        return 1 + self._whole()[0].variables.readings // _READINGS

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        network, context = self._whole()
        return network.mean(x, level, None, None if context is None else _for_each(context, x))

    def denoising_loss(self, x0: Tensor, level: Tensor, weight: Tensor, rng: Rng) -> Tensor:
        network, context = self._whole()
        return network.losses(x0, level, weight, rng, None if context is None else _for_each(context, x0))

    def given_variables(self, values: Tensor, status: Tensor) -> Denoiser:
        """The denoiser of the conditional distribution of some variables given others.

        Arguments:
            values: States that hold the given values, `(M, size)`; sample i has row i modulo M.
            status: FREE, GIVEN or ABSENT for each variable, `(M, V)`.

        Raises:
            TypeError: If no rows in training were conditional, `share=0`.
            ValueError: If the shapes do not fit, or the value of a given variable is missing.
        """
        if not self.completes:
            return super().given_variables(values, status)
        network, context = self._whole()
        return GivenVariables(network, values, status, context)

    def asked_for(self, free: Tensor) -> bool:
        return any([s == FREE for s in question] == free.tolist() for question in self._whole()[0].asked)

    def restricted(self, values: Tensor, status: Tensor) -> Denoiser:
        if not self.completes:
            return super().restricted(values, status)
        network, context = self._whole()
        return RestrictedNumbers(GivenVariables(network, values, status, context))

    @torch.no_grad()
    def category_log_probs(self, values: Tensor, status: Tensor, category: int) -> Tensor:
        """The log-probabilities of the levels of a category given the variables that are given, `(M, K)`, by one evaluation.

        All corners are as far from the origin, so that coordinates of 0 at any level say nothing about a category, and its
        probabilities are those given the given variables alone.

        Arguments:
            values: States that hold the given values, `(M, size)`.
            status: FREE, GIVEN or ABSENT for each variable, `(M, V)`; those that are not given are left out.
            category: The number of the category, from 0.

        Raises:
            TypeError: If no rows in training were conditional, `share=0`.
            IndexError: If there is no such category.
        """
        if not self.completes:
            return super().category_log_probs(values, status, category)
        network, context = self._whole()
        variables = network.variables
        if not 0 <= category < len(variables.levels):
            raise IndexError(f"there are {len(variables.levels)} categories, counted from 0, got category {category}")
        asked = torch.where(status == GIVEN, GIVEN, ABSENT)
        asked[:, variables.numbers + category] = FREE
        given = GivenVariables(network, values, asked, context)
        start, stop = variables.blocks[category]
        level = torch.full((), _UNINFORMED, dtype=values.dtype, device=values.device)
        _, log_probs = given.outputs(torch.zeros_like(values).expand(given.contexts, -1), level)
        return log_probs[:, start - variables.numbers : stop - variables.numbers]


class MixedDenoiser(MixedNetwork, _Mixed):
    """A denoiser of mixed states that is made of a network.

    Arguments:
        network: A network F(x, c) with x of shape `(B, size + 2 count)`, a state and two flags for each variable, given and
            absent; c, the noise label, of shape `(B,)`; and answers of shape `(B, size)`.
        variables: How states are made of variables.
        parametrization: What F predicts of numbers; by default that of EDM.
        precision: "float32", or "bfloat16" for automatic mixed precision.
        share: The fraction of the rows in training that are conditional.
        asked: Questions that half of these rows ask, each as often: FREE, GIVEN or ABSENT for each variable.
        whitening: The moments of the numbers, whose thin directions then have coefficients of their own, those of EDM; given
            some of them, by their Gaussian conditional distribution.
        frequencies: How frequent each level of each category is, one number for each coordinate; if left out, all levels of a
            category alike, and F_k is not scaled.

    Raises:
        ValueError: If there is no such precision, the share is not a fraction, or questions or frequencies do not fit the
            variables.

    References:
        Dieleman et al., 2022, Continuous diffusion for categorical data (score interpolation); Mueller et al., 2025,
        Continuous diffusion for mixed-type tabular data.

    Example:
        >>> from scorefield.nn import ResidualMLP
        >>> variables = Variables(1, (3,))
        >>> denoiser = MixedDenoiser(ResidualMLP(variables.size, extra=2 * variables.count), variables)
        >>> denoiser(torch.zeros(1, 4), torch.tensor(1.0))
        tensor([[0.0000, 0.3333, 0.3333, 0.3333]], grad_fn=<CatBackward0>)
    """

    @property
    def completes(self) -> bool:  # type: ignore[override]
        return self.share > 0

    def _whole(self) -> tuple[MixedNetwork, Tensor | None]:
        return self, None


class ConditionalMixed(MixedNetwork, ConditionalNetwork):
    """A conditional denoiser of mixed states: `given(context)` is a denoiser that completes, as `MixedDenoiser` is.

    Arguments:
        network: A network F(x, c, context), as that of `MixedDenoiser`, with contexts of shape `(B, *shape)`, whose last
            channel is 1 where there is no context and all others are 0.
        variables: How states are made of variables.
        shape: The shape of one context, `(size,)`.
        unconditional: Whether it has learned the distribution of data without context.
        parametrization: What F predicts of numbers; by default that of EDM.
        precision: "float32", or "bfloat16" for automatic mixed precision.
        share: The fraction of the rows in training that are conditional.
        asked: Questions that half of these rows ask, each as often: FREE, GIVEN or ABSENT for each variable.
        whitening: The moments of the numbers, whose thin directions then have coefficients of their own, those of EDM; given
            some of them, by their Gaussian conditional distribution.
        frequencies: How frequent each level of each category is, one number for each coordinate; if left out, all levels of a
            category alike, and F_k is not scaled.

    Raises:
        ValueError: If there is no such precision, the share is not a fraction, or questions or frequencies do not fit the
            variables.
    """

    def __init__(
        self,
        network: nn.Module,
        variables: Variables,
        shape: Sequence[int],
        unconditional: bool = True,
        parametrization: Parametrization | None = None,
        precision: Precision = "float32",
        share: float = 0.2,
        asked: Sequence[Sequence[int]] = (),
        whitening: Whitening | None = None,
        frequencies: Sequence[float] = (),
    ) -> None:
        super().__init__(network, variables, parametrization, precision, share, asked, whitening, frequencies)
        self.shape = tuple(shape)
        self.unconditional = unconditional

    def conditioned(self, context: Tensor) -> Denoiser:
        return ConditionedMixed(self, context)


class ConditionedMixed(_Mixed):
    """The denoiser of mixed states for a context: what `ConditionalMixed.given` returns.

    Arguments:
        conditional: The conditional denoiser.
        context: The context of all states, or one for each state of a batch, `(M, *shape)`.
    """

    context: Tensor

    def __init__(self, conditional: MixedNetwork, context: Tensor) -> None:
        super().__init__()
        self.conditional = conditional
        self.register_buffer("context", context)

    @property
    def completes(self) -> bool:  # type: ignore[override]
        return self.conditional.share > 0

    def _whole(self) -> tuple[MixedNetwork, Tensor | None]:
        return self.conditional, self.context

    @property
    def contexts(self) -> int:
        return len(self.context)

    def samples(self, index: Tensor) -> Denoiser:
        return self if self.contexts == 1 else ConditionedMixed(self.conditional, _rows(self.context, index))


class GivenVariables(Denoiser):
    """The denoiser of some variables of mixed states given others: what `given_variables` returns.

    At given variables its answer is their value; at absent ones it is 0 for numbers, equal probabilities for categories, and
    for indicators that nothing is missing.

    Arguments:
        mixed: The network.
        values: States that hold the given values, `(M, size)`; sample i has row i modulo M.
        status: FREE, GIVEN or ABSENT for each variable, `(M, V)`.
        context: What else is known, `(M, *shape)` or `(1, *shape)`.

    Raises:
        ValueError: If the shapes do not fit, or the value of a given variable is missing.
    """

    values: Tensor
    status: Tensor
    context: Tensor | None
    free: Tensor

    def __init__(self, mixed: MixedNetwork, values: Tensor, status: Tensor, context: Tensor | None = None) -> None:
        super().__init__()
        variables = mixed.variables
        if (
            values.ndim != 2
            or tuple(status.shape) != (len(values), variables.count)
            or values.shape[1] != variables.size
        ):
            need = f"values (M, {variables.size}) and status (M, {variables.count})"
            raise ValueError(f"given variables need {need}, got {tuple(values.shape)} and {tuple(status.shape)}")
        index = torch.arange(math.lcm(len(values), 1 if context is None else len(context)), device=values.device)
        values, status = _rows(values, index), _rows(status, index).to(values.device)
        owned = status.index_select(1, mixed.owners.to(status.device))
        missing = (owned == GIVEN) & values.isnan()
        if bool(missing.any()):
            row, place = missing.nonzero()[0].tolist()
            what = f"variable {variables.owners[place]} of row {row} is given and its value is missing (NaN)"
            raise ValueError(f"{what}: give a value, or make it absent")
        self.mixed = mixed
        neutral = torch.cat((values.new_zeros(variables.numbers), 1 / mixed.categories.blocks.sizes.to(values)))
        for block in (variables.blocks[v - variables.numbers] for v in {*variables.indicators} if v >= 0):
            neutral[slice(*block)] = values.new_tensor((1.0, 0.0))  # exact, whatever noise a sampler leaves
        self.register_buffer("values", torch.where(owned == GIVEN, values, neutral))
        self.register_buffer("status", status)
        self.register_buffer("context", None if context is None else _rows(context, index))
        self.register_buffer("free", owned == FREE, persistent=False)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        numbers, log_probs = self.outputs(x, level)
        mean = torch.cat((numbers, log_probs.exp()), 1)
        return torch.where(_for_each(self.free, x), mean, _for_each(self.values, x).to(x.dtype))

    def outputs(self, x: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """The means of the numbers, `(B, N)`, and the log-probabilities of the levels of all categories, `(B, C)`."""
        context = None if self.context is None else _for_each(self.context, x)
        known = torch.where(_for_each(self.free, x), x, _for_each(self.values, x).to(x.dtype))
        return self.mixed.outputs(known, level, _for_each(self.status, x), context)

    def given_variables(self, values: Tensor, status: Tensor) -> Denoiser:
        """The denoiser given other variables besides these.

        Raises:
            ValueError: If a variable is given another value.
        """
        index = torch.arange(math.lcm(len(self.values), len(values)), device=self.values.device)
        old, new = _rows(self.status, index), _rows(status.to(self.status.device), index)
        owners = self.mixed.owners.to(old.device)
        one, two = _rows(self.values, index), _rows(values.to(self.values), index)
        both = ((old == GIVEN) & (new == GIVEN)).index_select(1, owners)
        if bool((both & (one != two)).any()):
            raise ValueError("a variable is given two values: leave one of them out")
        taken = (old == FREE) & (new == GIVEN)
        joined = torch.where(taken.index_select(1, owners), two, one)
        context = None if self.context is None else _rows(self.context, index)
        return GivenVariables(self.mixed, joined, torch.where(taken, new, old), context)

    @property
    def contexts(self) -> int:
        return len(self.values)

    def samples(self, index: Tensor) -> Denoiser:
        if self.contexts == 1:
            return self
        context = None if self.context is None else _rows(self.context, index)
        return GivenVariables(self.mixed, _rows(self.values, index), _rows(self.status, index), context)


class RestrictedNumbers(Denoiser):
    """The denoiser of the free numbers of a mixed state alone: what `restricted` returns.

    Arguments:
        given: The denoiser of whole states, all of whose free variables are numbers, the same in each row.

    Raises:
        ValueError: If a category is free, or the rows differ in what is.
    """

    free: Tensor

    def __init__(self, given: GivenVariables) -> None:
        super().__init__()
        count, free = given.mixed.variables.numbers, given.status == FREE
        if bool(free[:, count:].any()):
            raise ValueError("densities of numbers need every category given or absent, and some are free: give them")
        if bool((free != free[:1]).any()):
            raise ValueError("the rows differ in which numbers are free: split them into parts that agree")
        self.given = given
        self.register_buffer("free", free[0].nonzero()[:, 0], persistent=False)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        whole = x.new_zeros(len(x), self.given.mixed.variables.size).index_copy(1, self.free, x)
        return self.given(whole, level).index_select(1, self.free)  # type: ignore[no-any-return]


def _rows(rows: Tensor, index: Tensor) -> Tensor:
    """The rows at `index`, modulo their number."""
    return rows.index_select(0, index.to(rows.device) % len(rows))


def _for_each(rows: Tensor, x: Tensor) -> Tensor:
    """One row for each state; a ValueError if there are neither one nor as many."""
    if len(rows) not in (1, len(x)):
        need = "take one context, or one for each"
        raise ValueError(f"{len(x)} states {need}, got {len(rows)}: use samples(index) for a part of them")
    return rows.expand(len(x), *rows.shape[1:])
