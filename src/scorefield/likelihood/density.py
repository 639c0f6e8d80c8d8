"""Log-densities, bounds, bits per dimension, marginals and p-values of data in the user's own form and units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..data import Schema, flags_of, free_first, rows_and_excluded
from .base import LogProb
from .bound import Bound
from .data_units import DataDensity
from .discrete import BitsPerDim, spacing
from .marginal import excluded_given, positions, values_of
from .typicality import typicality

__all__ = ["Density"]


@dataclass(frozen=True)
class Density:
    """Everything that a model says about the density of data, with one setting of the solver.

    Arguments:
        schema: The form of the data: shape, type, names of columns.
        inner: The log-densities in the units of the data and the layout of networks.
    """

    schema: Schema
    inner: DataDensity

    def _unpack(self, x: Any) -> Tensor:
        return self.schema.unpack(x, torch.float64)

    def _possible(self, x: Any) -> tuple[Tensor, Tensor]:
        """Rows, and which of them have probability 0; the values of these are those of another, to compute with."""
        data, outside = rows_and_excluded(self.schema, x)
        return _filled(data, outside), outside

    def log_prob(self, x: Any) -> LogProb:
        """The log-densities of N examples in nats, with their errors, each of shape `(N,)`.

        Of a row of a table with missing values, where the data never miss, it is the marginal log-density of the others. It is
        -inf, without an error, beyond the bounds of columns and between the values of a lattice.

        Raises:
            ValueError: If values are missing in data whose network knows the joint distribution only.
        """
        data, outside = self._possible(x)
        if bool(outside.all()):
            return LogProb.impossible(len(data))
        lost = data.isnan().flatten(1).any(1)
        if self.inner.units.variables is None and bool(lost.any()):
            what = f"row {int(lost.int().argmax())} has a missing value, and this model knows the joint density only"
            raise ValueError(f"{what}: leave such rows out, or take model.density().marginal(x, of=[…])")
        return self.inner(data).excluding(outside)

    def bound(self, x: Any, draws: int = 64) -> Bound:
        """Lower bounds on the log-densities of the SDE model (ELBO), with their standard errors.

        Arguments:
            x: N examples.
            draws: The number of noise levels drawn for each example, even; each costs two evaluations.

        Raises:
            ValueError: If `draws` is odd or below 4.
        """
        data, outside = self._possible(x)
        if bool(outside.all()):
            found = LogProb.impossible(len(data))
            return Bound(found.value, found.standard_error, found.evaluations)
        bound = self.inner.bound(data, draws)
        return replace(bound, value=torch.where(outside, -torch.inf, bound.value))

    def bits_per_dim(self, x: Any, draws: int = 4, step: Any = None) -> BitsPerDim:
        """Bits per dimension of integers or rounded numbers by uniform dequantization, with their standard errors.

        Arguments:
            x: N examples.
            draws: The number of uniform draws within the cell of each example.
            step: The distance between neighbouring values, 0 for continuous features: one number, or one per feature in
                the layout of networks. By default 1 for integers, and the spacing found in `x` for other features.

        Raises:
            ValueError: If no feature holds integers or rounded numbers, `draws` is below 1, or a step is negative.
        """
        self.schema.require_one_length("bits_per_dim", "take model.log_prob(x)")
        data = self._unpack(x)
        width = spacing(data, self.schema.integer) if step is None else torch.as_tensor(step, dtype=torch.float64)
        return self.inner.bits_per_dim(data, width, draws)

    def typicality(self, x: Any, reference: Any) -> Tensor:
        """Two-sided p-values of the log-densities of data among those of held-out data, of shape `(N,)`.

        Arguments:
            x: N examples.
            reference: Data that the model was not trained on: p is at least 2/(1 + their number).

        Raises:
            ValueError: If there are no reference data.
        """
        return typicality(self.log_prob(x).value, self.log_prob(reference).value)

    def marginal(self, x: Any, of: Sequence[Any], draws: int = 1000) -> LogProb:
        """The marginal log-densities of some features of vectors.

        One or two other features are integrated out by adaptive quadrature, more by importance sampling, up to the
        reported errors. Each example takes hundreds of log-densities.

        Arguments:
            x: The values of these features, an array `(N, k)` in the order of `of`, or a table with these columns.
            of: Their positions, or names of columns.
            draws: For importance sampling: the number of draws for each example.

        Raises:
            ValueError: If the data are not vectors, or have no such features.
        """
        self.schema.require_one_length("a marginal", "leave out readings, and take model.log_prob(x)")
        keep = positions(self.schema, of)
        values, outside = values_of(x, of, self.schema)
        if bool(outside.all()):
            return LogProb.impossible(len(values))
        return self.inner.marginal(_filled(values, outside), keep, draws).excluding(outside)

    def conditional(self, x: Any, given: Sequence[Any], draws: int = 1000) -> LogProb:
        """The log-densities of all other features conditional on some, log p(x) - log p(given), with the errors of both.

        A network of mixed data (tables with categories, atoms or missing values) also answers this question itself, less
        exactly as a rule. Its answer is taken where all others are categories, whose probabilities then add up to 1; where they
        are the numbers that training asks for (`Data(targets=…)`); and of readings.

        Arguments:
            x: N examples, with all features.
            given: The positions of the features that are conditioned on, or names of columns. Where rows are made of
                readings: true or false for each reading, in the order of the data.
            draws: As for `marginal`.

        Raises:
            ValueError: If the data are not vectors, have no such features, or what is given has probability 0.
        """
        if self.schema.readings is not None:
            encoded = self.schema.readings.encoded(x)
            return self.inner.of_known(*free_first(torch.from_numpy(encoded.x), flags_of(given, encoded)))
        keep = positions(self.schema, given)
        data, outside = self._possible(x)
        if bool((beyond := excluded_given(self.schema, x, given)).any()):
            row = int(beyond.int().argmax())
            raise ValueError(f"row {row} is given values of probability 0 ({', '.join(map(str, given))}): leave it out")
        if bool(outside.all()):
            return LogProb.impossible(len(data))
        return self.inner.conditional(data, keep, draws).excluding(outside)


def _filled(x: Tensor, outside: Tensor) -> Tensor:
    """Rows with those of probability 0 replaced by the first of the others, if there is one."""
    if not bool(outside.any()) or bool(outside.all()):
        return x
    filler = x[int((~outside).int().argmax())]
    return torch.where(outside.reshape(-1, *(1,) * (x.ndim - 1)), filler, x)
